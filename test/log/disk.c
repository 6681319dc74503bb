/* The real disk: a folder only we may read, held against a second process; and L1 when the process
 * that writes is killed. */
#include "log/log.h"
#include "tap.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64];

static void
make_folder(void)
{
    char made[] = "/tmp/tocsin-log-XXXXXX";
    must(mkdtemp(made) != NULL);
    snprintf(folder, sizeof folder, "%s/log", made);
}

static void
remove_folder(void)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL)
        if (entry->d_name[0] != '.')
            unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir != NULL)
        closedir(dir);
    rmdir(folder);
    *strrchr(folder, '/') = '\0';
    CHECK(rmdir(folder) == 0);
}

static struct log *
open_log(struct log_disk *disk, struct log_recovery *recovery)
{
    struct err err = {0};
    struct log *log = NULL;
    if (!log_disk_open(folder, 0, disk, &err) ||
        !log_open(&(struct log_options){.disk = *disk, .segment_bytes = LOG_SEGMENT_MIN}, &log,
                  recovery, &err))
        printf("# %s\n", err.text);
    return log;
}

/* Commit `n` has n % 7 + 1 rows, of the positions n * 10 and on. */
static bool
add_commit(struct log *log, unsigned commit, struct err *err)
{
    char text[400];
    memset(text, 'a' + (int)(commit % 26), sizeof text);
    for (unsigned i = 0; i <= commit % 7; i++) {
        uint64_t term = commit;
        struct log_record record = {
            .at = (log_at)commit * 10 + i,
            .kind = 1,
            .terms = &term,
            .term_count = 1,
            .parts = {{text, sizeof text - commit % 300}},
        };
        if (!log_add(log, &record, err))
            return false;
    }
    return true;
}

static void
test_the_folder_is_ours_alone(void)
{
    struct log_disk disk, second;
    struct log_recovery recovery;
    struct err err = {0};
    struct stat stat_buffer;
    char path[128];
    make_folder();
    struct log *log = open_log(&disk, &recovery);
    CHECK(log != NULL);
    CHECK(add_commit(log, 1, &err) && log_commit(log, NULL, NULL, &err) && log_drain(log, &err));
    CHECK(stat(folder, &stat_buffer) == 0);
    CHECK_INT(stat_buffer.st_mode & 0777, 0700);
    snprintf(path, sizeof path, "%s/%020d.log", folder, 10);
    CHECK(stat(path, &stat_buffer) == 0);
    CHECK_INT(stat_buffer.st_mode & 0777, 0600);
    CHECK(!log_disk_open(folder, 0, &second, &err));
    CHECK_INT(err.code, ERR_IO);
    CHECK(strstr(err.text, "in use") != NULL && strstr(err.text, folder) != NULL);
    log_close(log);
    log_disk_close(&disk);
    CHECK(log_disk_open(folder, 0, &second, &err));
    log_disk_close(&second);
    remove_folder();
}

static void
test_a_folder_that_cannot_be_made_is_an_error(void)
{
    struct log_disk disk;
    struct err err = {0};
    CHECK(!log_disk_open("/proc/no/such/folder", 0, &disk, &err));
    CHECK_INT(err.code, ERR_IO);
    CHECK(strstr(err.text, "/proc/no/such/folder") != NULL);
}

/* -- zeros ahead -------------------------------------------------------------------------- */

static bool (*real_zero)(void *self, struct log_file *file, uint64_t at, uint64_t len,
                         struct err *err);
static sem_t asked;
static _Atomic uint64_t zeroed;

static bool
watched_zero(void *self, struct log_file *file, uint64_t at, uint64_t len, struct err *err)
{
    bool ok = real_zero(self, file, at, len, err);
    if (ok)
        atomic_fetch_add(&zeroed, len);
    must(sem_post(&asked) == 0);
    return ok;
}

static bool
refused_zero(void *self, struct log_file *file, uint64_t at, uint64_t len, struct err *err)
{
    (void)self, (void)file, (void)at, (void)len;
    must(sem_post(&asked) == 0);
    return err_set(err, ERR_IO, "no zeros today");
}

static bool
add_commits(struct log *log, unsigned from, unsigned to)
{
    struct err err = {0};
    for (unsigned commit = from; commit < to; commit++)
        if (!add_commit(log, commit, &err) || !log_commit(log, NULL, NULL, &err))
            return false;
    return log_drain(log, &err);
}

static void
no_finding(void *self, const struct log_finding *finding)
{
    (void)self, (void)finding;
    CHECK(false);
}

static uint64_t
open_bytes(const struct log *log)
{
    struct log_stats stats;
    log_stats(log, &stats);
    return stats.open_bytes;
}

/* Zeros keep step with what is written: never far behind, and never far ahead. */
static void
fill_in_step(struct log *log, unsigned *commit)
{
    const uint64_t begin = LOG_SEGMENT_MIN / 4, end = LOG_SEGMENT_MIN / 8 * 7, step = 4096;
    while (open_bytes(log) < end) {
        CHECK(add_commits(log, *commit, *commit + 1));
        ++*commit;
        uint64_t written = open_bytes(log) > begin ? (open_bytes(log) - begin) * 8 / 5 : 0;
        while (atomic_load(&zeroed) < written)
            must(sem_wait(&asked) == 0 || errno == EINTR);
        CHECK(atomic_load(&zeroed) <= written + step);
    }
    CHECK(atomic_load(&zeroed) >= LOG_SEGMENT_MIN);
}

/* A quarter of a segment in small commits, and zeros are asked for; then on over some segments,
 * into what was filled. Everything is there afterwards. */
static void
write_over_zeros(bool refuse)
{
    struct log_disk disk;
    struct log_recovery recovery;
    struct log *log;
    struct err err = {0};
    make_folder();
    must(log_disk_open(folder, 0, &disk, &err) && sem_init(&asked, 0, 0) == 0);
    real_zero = disk.zero;
    disk.zero = refuse ? refused_zero : watched_zero;
    atomic_store(&zeroed, 0);
    struct log_options options = {.disk = disk, .segment_bytes = LOG_SEGMENT_MIN};
    CHECK(log_open(&options, &log, &recovery, &err));
    unsigned commit = 20;
    CHECK(add_commits(log, 1, commit));
    while (sem_wait(&asked) != 0)
        must(errno == EINTR);
    if (!refuse)
        fill_in_step(log, &commit);
    CHECK(add_commits(log, commit, 300));
    log_close(log);

    uint64_t records = 0, expected = 0;
    for (commit = 1; commit < 300; commit++)
        expected += commit % 7 + 1;
    CHECK(log_open(&options, &log, &recovery, &err));
    CHECK(log_verify(log, no_finding, NULL, &records, &err));
    CHECK(records == expected);
    log_close(log);
    must(sem_destroy(&asked) == 0);
    log_disk_close(&disk);
    remove_folder();
}

static void
test_the_next_segment_is_given_zeros_while_one_fills_with_small_commits(void)
{
    write_over_zeros(false);
}

static void
test_a_disk_that_cannot_give_zeros_is_only_slower(void)
{
    write_over_zeros(true);
}

/* -- killed ----------------------------------------------------------------------------- */

static void
tell(void *self, bool ok, const struct err *err)
{
    const int *pipe_fd = self;
    (void)err;
    char byte = ok ? '+' : '-';
    must(write(*pipe_fd, &byte, 1) == 1);
}

/* Writes for ever, and says for each commit that it is done. */
_Noreturn static void
be_the_child(int pipe_fd, unsigned commit)
{
    struct log_disk disk;
    struct log_recovery recovery;
    struct err err = {0};
    struct log *log = open_log(&disk, &recovery);
    must(log != NULL);
    for (;; commit++) {
        must(add_commit(log, commit, &err));
        if (!log_commit(log, tell, &pipe_fd, &err)) {
            must(log_settle(log, &err)); /* it outran the sealing */
            commit--;
        }
    }
}

struct look {
    unsigned commit, rows;
    bool wrong;
};

static bool
see(void *self, const struct log_row *row)
{
    struct look *look = self;
    unsigned commit = (unsigned)(row->at / 10), number = (unsigned)(row->at % 10);
    if (number == 0) {
        look->wrong = look->wrong || commit != look->commit + 1 ||
                      (look->commit > 0 && look->rows != look->commit % 7 + 1);
        look->commit = commit;
        look->rows = 0;
    }
    look->wrong = look->wrong || commit != look->commit || number != look->rows ||
                  row->payload.ptr[0] != 'a' + (int)(commit % 26);
    look->rows++;
    return !look->wrong;
}

static void
note_finding(void *self, const struct log_finding *finding)
{
    unsigned *count = self;
    printf("# %s at %llu: %s\n", finding->file, (unsigned long long)finding->offset, finding->text);
    ++*count;
}

/* The number of the newest commit found; all before it must be there, whole, and each once. */
static unsigned
look_at_rest(unsigned acked)
{
    struct log_disk disk;
    struct log_recovery recovery;
    struct err err = {0};
    struct look look = {0};
    unsigned findings = 0;
    uint64_t records;
    struct log *log = open_log(&disk, &recovery);
    if (!CHECK(log != NULL))
        exit(1);
    CHECK(!recovery.stopped_in_order);
    CHECK(log_scan(log, (struct log_span){0, UINT64_MAX, false}, 0, see, &look, &err));
    CHECK(!look.wrong);
    CHECK(look.commit == 0 || look.rows == look.commit % 7 + 1);
    CHECK(look.commit >= acked && look.commit <= acked + 2);
    CHECK(log_verify(log, note_finding, &findings, &records, &err));
    CHECK_INT(findings, 0);
    log_close(log);
    log_disk_close(&disk);
    return look.commit;
}

static void
test_what_was_done_survives_kill_9(void)
{
    make_folder();
    unsigned newest = 0;
    for (unsigned round = 0; round < 12; round++) {
        int ends[2];
        must(pipe(ends) == 0);
        fflush(stdout);
        pid_t child = fork();
        must(child >= 0);
        if (child == 0) {
            close(ends[0]);
            be_the_child(ends[1], newest + 1);
        }
        close(ends[1]);
        /* So many are waited for; then it is killed wherever it is, and what it said is read. */
        unsigned acked = newest, wanted = newest + 1 + round * 37;
        char byte;
        while (acked < wanted && read(ends[0], &byte, 1) == 1)
            acked += CHECK(byte == '+');
        must(kill(child, SIGKILL) == 0);
        while (read(ends[0], &byte, 1) == 1)
            acked += CHECK(byte == '+');
        int status;
        must(waitpid(child, &status, 0) == child);
        CHECK(WIFSIGNALED(status));
        close(ends[0]);
        CHECK(acked >= wanted);
        newest = look_at_rest(acked);
    }
    CHECK(newest > 1000);
    remove_folder();
}

int
main(void)
{
    RUN(test_the_folder_is_ours_alone);
    RUN(test_a_folder_that_cannot_be_made_is_an_error);
    RUN(test_the_next_segment_is_given_zeros_while_one_fills_with_small_commits);
    RUN(test_a_disk_that_cannot_give_zeros_is_only_slower);
    RUN(test_what_was_done_survives_kill_9);
    return tap_done();
}
