#include "support/journal_fixture.h"

#include <ftw.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIRST_AT 1774621938000000u /* 2026-03-27T14:32:18Z */

static bool
may_work(struct fixture *fixture, struct err *err)
{
    int left = atomic_load(&fixture->fail_after);
    if (left == 0) {
        atomic_store(&fixture->has_failed, true);
        return err_set(err, ERR_IO, "the disk was told to fail");
    }
    if (left > 0)
        atomic_fetch_sub(&fixture->fail_after, 1);
    return true;
}

static bool
failing_open(void *self, const char *name, bool create, struct log_file **file_out, struct err *err)
{
    struct fixture *fixture = self;
    return fixture->disk.open(fixture->disk.self, name, create, file_out, err);
}

static bool
failing_write(void *self, struct log_file *file, uint64_t at, const void *data, size_t len,
              struct err *err)
{
    struct fixture *fixture = self;
    return may_work(fixture, err) &&
           fixture->disk.write(fixture->disk.self, file, at, data, len, err);
}

static bool
failing_read(void *self, struct log_file *file, uint64_t at, void *data, size_t len,
             struct err *err)
{
    struct fixture *fixture = self;
    return fixture->disk.read(fixture->disk.self, file, at, data, len, err);
}

static bool
failing_sync(void *self, struct log_file *file, struct err *err)
{
    struct fixture *fixture = self;
    return may_work(fixture, err) && fixture->disk.sync(fixture->disk.self, file, err);
}

static bool
failing_truncate(void *self, struct log_file *file, uint64_t len, struct err *err)
{
    struct fixture *fixture = self;
    return fixture->disk.truncate(fixture->disk.self, file, len, err);
}

static bool
failing_reserve(void *self, struct log_file *file, uint64_t len, struct err *err)
{
    struct fixture *fixture = self;
    return fixture->disk.reserve(fixture->disk.self, file, len, err);
}

static bool
failing_size(void *self, struct log_file *file, uint64_t *len_out, struct err *err)
{
    struct fixture *fixture = self;
    return fixture->disk.size(fixture->disk.self, file, len_out, err);
}

static void
failing_close(void *self, struct log_file *file)
{
    struct fixture *fixture = self;
    fixture->disk.close(fixture->disk.self, file);
}

static bool
failing_rename(void *self, const char *from, const char *to, struct err *err)
{
    struct fixture *fixture = self;
    return fixture->disk.rename(fixture->disk.self, from, to, err);
}

static bool
failing_remove(void *self, const char *name, struct err *err)
{
    struct fixture *fixture = self;
    return fixture->disk.remove(fixture->disk.self, name, err);
}

static bool
failing_list(void *self, void (*name)(void *each, const char *name), void *each, struct err *err)
{
    struct fixture *fixture = self;
    return fixture->disk.list(fixture->disk.self, name, each, err);
}

static void
say_and_stop(const char *what, const struct err *err)
{
    printf("# %s: %s\n", what, err->text);
    fflush(stdout);
    must(!"the fixture cannot go on");
}

static void
open_journal(struct fixture *fixture)
{
    struct err err = {0};
    fixture->failing = (struct log_disk){
        .self = fixture,
        .open = failing_open,
        .write = failing_write,
        .read = failing_read,
        .sync = failing_sync,
        .truncate = failing_truncate,
        .reserve = failing_reserve,
        .size = failing_size,
        .close = failing_close,
        .rename = failing_rename,
        .remove = failing_remove,
        .list = failing_list,
    };
    struct journal_options options = {
        .log = {.disk = fixture->failing, .segment_bytes = fixture->segment_bytes}};
    if (!log_disk_open(fixture->folder, 0, &fixture->disk, &err))
        say_and_stop("disk", &err);
    if (!journal_open(&options, &fixture->journal, &fixture->recovery, &err))
        say_and_stop("journal", &err);
    log_at durable = log_durable(journal_log(fixture->journal));
    if (durable > fixture->at)
        fixture->at = durable;
}

void
fixture_open(struct fixture *fixture, uint64_t segment_bytes, uint64_t seed)
{
    *fixture = (struct fixture){.segment_bytes = segment_bytes, .at = FIRST_AT, .dice = {seed}};
    atomic_store(&fixture->fail_after, -1);
    (void)snprintf(fixture->folder, sizeof fixture->folder, "/tmp/tocsin-journal-XXXXXX");
    must(mkdtemp(fixture->folder) != NULL);
    arena_init(&fixture->arena, 1 << 16, (size_t)1 << 28);
    open_journal(fixture);
}

void
fixture_reopen(struct fixture *fixture)
{
    journal_close(fixture->journal);
    log_disk_close(&fixture->disk);
    open_journal(fixture);
}

static int
remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

void
fixture_close(struct fixture *fixture)
{
    journal_close(fixture->journal);
    log_disk_close(&fixture->disk);
    must(nftw(fixture->folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS) == 0);
    arena_fini(&fixture->arena);
}

bool
fixture_add(struct fixture *fixture, const char *workspace_id, struct event *event,
            struct event_integrity *integrity_out)
{
    struct buffer stored;
    struct err err = {0};
    size_t offset;
    buffer_init(&stored, 1 << 20);
    event->created_at = (int64_t)(fixture->at + 1 + dice_below(&fixture->dice, 3));
    event_write_stored(&stored, event, &fixture->arena, &offset);
    struct journal_event record = {.workspace_id = str_from(workspace_id),
                                   .event = event,
                                   .stored = stored.ptr,
                                   .stored_len = stored.len,
                                   .created_at_offset = offset,
                                   .silent = fixture->silent};
    bool ok = journal_add_event(fixture->journal, (log_at)event->created_at, &record, integrity_out,
                                &err);
    buffer_fini(&stored);
    if (ok)
        fixture->at = (log_at)event->created_at;
    return ok;
}

void
fixture_add_alert(struct fixture *fixture, const char *workspace_id, struct alert *alert)
{
    struct err err = {0};
    alert->at = (int64_t)++fixture->at;
    if (!journal_add_alert(fixture->journal, fixture->at, str_from(workspace_id), alert, &err))
        say_and_stop("alert", &err);
}

bool
fixture_commit(struct fixture *fixture)
{
    struct err err = {0};
    struct log_stats stats;
    do {
        sched_yield();
        log_stats(journal_log(fixture->journal), &stats);
    } while (stats.seals_waiting > 1 && !atomic_load(&fixture->has_failed));
    return journal_commit(fixture->journal, NULL, NULL, &err) &&
           journal_drain(fixture->journal, &err);
}
