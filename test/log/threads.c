/* Any thread may read while the owner writes, rolls and the sealer seals: what it sees is a part of
 * the log from its beginning, of whole commits, in order. */
#include "log/sample.h"

enum { READERS = 3, COMMITS = 1500, ROWS = 12 };

struct shared {
    struct log *log;
    atomic_bool over;
    atomic_uint wrong, rounds;
    atomic_ullong acked; /* the position of the newest row that is done */
};

/* Row `i` of commit `n` has the position n * 100 + i, the terms n and i, and says so. */
static bool
add_row(struct log *log, unsigned commit, unsigned row, struct err *err)
{
    char text[64];
    uint64_t terms[] = {hash64(1, &commit, sizeof commit), hash64(2, &row, sizeof row)};
    snprintf(text, sizeof text, "commit %u row %u, and some more of it", commit, row);
    return log_add(log,
                   &(struct log_record){.at = (log_at)commit * 100 + row,
                                        .kind = 1,
                                        .terms = terms,
                                        .term_count = 2,
                                        .label = row == 0 ? STR("first") : STR("other"),
                                        .parts = {str_from(text), STR(", in two parts")}},
                   err);
}

struct look {
    log_at from, last;
    uint64_t rows, step;
    bool wrong;
};

static bool
see(void *self, const struct log_row *row)
{
    struct look *look = self;
    char text[64];
    snprintf(text, sizeof text, "commit %u row %u,", (unsigned)(row->at / 100),
             (unsigned)(row->at % 100));
    bool right = str_starts(row->payload, str_from(text));
    if (look->step == 1 && look->last != 0) { /* a scan: no row is left out */
        log_at next = look->last % 100 == ROWS - 1 ? (look->last / 100 + 1) * 100 : look->last + 1;
        right = right && row->at == next;
    }
    if (look->step == 100) /* one row of each commit, backwards */
        right = right && (look->last == 0 || row->at + 100 == look->last);
    look->last = row->at;
    look->rows++;
    look->wrong = look->wrong || !right;
    return right;
}

static void *
read_on(void *self)
{
    struct shared *shared = self;
    while (!atomic_load(&shared->over)) {
        struct err err = {0};
        unsigned first = 0, last = ROWS - 1;
        uint64_t terms[] = {hash64(2, &first, sizeof first), hash64(2, &last, sizeof last)};
        struct log_any groups[] = {{&terms[0], 1}, {&terms[1], 1}};
        log_at acked = atomic_load(&shared->acked);
        uint64_t count = 0;

        struct look scan = {.step = 1}, find = {.step = 100};
        bool ok =
            log_scan(shared->log, (struct log_span){0, UINT64_MAX, false}, 0, see, &scan, &err);
        ok = ok && !scan.wrong && (scan.rows == 0 || scan.last % 100 == ROWS - 1) &&
             scan.last >= acked; /* what was done before it began is there */
        ok = ok && log_find(shared->log, (struct log_span){0, UINT64_MAX, true}, &groups[1], 1, see,
                            &find, &err);
        ok = ok && !find.wrong && find.rows * ROWS >= scan.rows;
        ok = ok && log_count(shared->log, (struct log_span){0, UINT64_MAX, true}, &groups[0], 1,
                             UINT64_MAX, &count, &err);
        ok = ok && count >= find.rows;
        if (!ok)
            atomic_fetch_add(&shared->wrong, 1);
        atomic_fetch_add(&shared->rounds, 1);
    }
    return NULL;
}

static void *
verify_on(void *self)
{
    struct shared *shared = self;
    while (!atomic_load(&shared->over)) {
        unsigned findings = 0;
        uint64_t records;
        struct err err = {0};
        struct log_stats stats;
        log_stats(shared->log, &stats);
        if (!log_verify(shared->log, sample_count_finding, &findings, &records, &err) ||
            findings > 0)
            atomic_fetch_add(&shared->wrong, 1);
    }
    return NULL;
}

static void
note_done(void *self, bool ok, const struct err *err)
{
    struct shared *shared = self;
    (void)err;
    if (ok)
        atomic_store(&shared->acked, log_durable(shared->log));
}

static void
test_readers_see_whole_commits_from_the_beginning(void)
{
    struct log_recovery recovery;
    struct err err = {0};
    struct shared shared = {.log = NULL};
    struct fake_disk *disk = fake_new(3);
    shared.log = sample_open(disk, false, &recovery, &err);
    pthread_t readers[READERS], verifier;
    for (size_t i = 0; i < READERS; i++)
        must(pthread_create(&readers[i], NULL, read_on, &shared) == 0);
    must(pthread_create(&verifier, NULL, verify_on, &shared) == 0);

    for (unsigned commit = 1; commit <= COMMITS; commit++) {
        for (unsigned row = 0; row < ROWS; row++)
            CHECK(add_row(shared.log, commit, row, &err));
        /* Two may wait to be sealed; this owner waits with them. */
        if (!log_commit(shared.log, note_done, &shared, &err)) {
            CHECK(log_settle(shared.log, &err));
            commit--;
        }
    }
    CHECK(log_drain(shared.log, &err));
    while (atomic_load(&shared.rounds) < READERS)
        sched_yield();
    atomic_store(&shared.over, true);
    for (size_t i = 0; i < READERS; i++)
        must(pthread_join(readers[i], NULL) == 0);
    must(pthread_join(verifier, NULL) == 0);
    CHECK_INT(atomic_load(&shared.wrong), 0);
    struct log_stats stats;
    log_stats(shared.log, &stats);
    CHECK_INT((intmax_t)stats.records, COMMITS * ROWS);
    CHECK(stats.segments > 3);
    CHECK(stats.cache_bytes <= 256 * 1024);
    log_close(shared.log);
    fake_free(disk);
}

int
main(void)
{
    RUN(test_readers_see_whole_commits_from_the_beginning);
    return tap_done();
}
