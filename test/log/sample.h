/* sample - commits of made-up rows, remembered, so that what a log shows can be held against what
 * it was given. */
#ifndef SAMPLE_H
#define SAMPLE_H

#include "codec/hash.h"
#include "log/fake_disk.h"
#include "tap.h"

#include <stdatomic.h>

enum { SAMPLE_ROWS = 10000, SAMPLE_TERMS = 6, SAMPLE_PAYLOAD = 400 };

struct sample_row {
    log_at at;
    uint8_t kind;
    uint32_t commit;
    size_t term_count, payload_len;
    uint64_t terms[SAMPLE_TERMS];
    char label[16];
    char payload[SAMPLE_PAYLOAD];
};

/* What has been given to the log and not taken back. Rows of one commit have one number. */
struct sample {
    uint64_t random;
    log_at at;
    uint32_t commits;
    size_t count;
    struct sample_row *rows;
};

static inline void
sample_init(struct sample *sample, uint64_t seed)
{
    *sample = (struct sample){.random = seed * 0x9E3779B97F4A7C15u + 7, .at = 1000};
    sample->rows = base_alloc(SAMPLE_ROWS, sizeof *sample->rows);
}

static inline void
sample_fini(struct sample *sample)
{
    base_free(sample->rows);
}

static inline uint64_t
sample_any(struct sample *sample, uint64_t below)
{
    return fake_random(&sample->random) % below;
}

/* A few terms are in every second row, some in a few, most in one. */
static inline uint64_t
sample_term(uint64_t random)
{
    static const uint64_t spread[4] = {2, 20, 300, 100000};
    uint64_t sort = random % 4, number = random / 4 % spread[sort];
    return hash64(sort, &number, sizeof number);
}

static inline struct sample_row *
sample_make(struct sample *sample, size_t payload_max)
{
    must(sample->count < SAMPLE_ROWS && payload_max <= SAMPLE_PAYLOAD);
    struct sample_row *row = &sample->rows[sample->count++];
    sample->at += 1 + sample_any(sample, 5);
    *row = (struct sample_row){.at = sample->at, .commit = sample->commits};
    row->kind = (uint8_t)(1 + sample_any(sample, 4));
    row->term_count = sample_any(sample, SAMPLE_TERMS + 1);
    for (size_t i = 0; i < row->term_count; i++)
        row->terms[i] = sample_term(fake_random(&sample->random));
    if (sample_any(sample, 3) > 0)
        snprintf(row->label, sizeof row->label, "label-%u", (unsigned)sample_any(sample, 12));
    row->payload_len = sample_any(sample, payload_max + 1);
    bool text = sample_any(sample, 2) == 0;
    for (size_t i = 0; i < row->payload_len; i++)
        row->payload[i] =
            (char)(text ? "user-login: "[i % 12] : (int)(1 + sample_any(sample, 255)));
    return row;
}

static inline bool
sample_add(struct log *log, const struct sample_row *row, struct err *err)
{
    size_t half = row->payload_len / 3;
    return log_add(
        log,
        &(struct log_record){
            .at = row->at,
            .kind = row->kind,
            .terms = row->terms,
            .term_count = row->term_count,
            .label = str_from(row->label),
            .parts = {{row->payload, half}, {row->payload + half, row->payload_len - half}},
        },
        err);
}

/* Makes and adds a commit of so many rows; not committed yet. */
static inline void
sample_build(struct sample *sample, struct log *log, size_t rows)
{
    struct err err = {0};
    sample->commits++;
    for (size_t i = 0; i < rows; i++)
        if (!CHECK(sample_add(log, sample_make(sample, 120), &err)))
            printf("# %s\n", err.text);
}

/* Takes back the newest commits, from number `commit` on. */
static inline void
sample_undo(struct sample *sample, uint32_t commit)
{
    while (sample->count > 0 && sample->rows[sample->count - 1].commit >= commit)
        sample->count--;
}

/* A commit, done and durable. */
static inline bool
sample_commit(struct sample *sample, struct log *log, size_t rows, struct err *err)
{
    sample_build(sample, log, rows);
    if (log_commit(log, NULL, NULL, err) && log_drain(log, err))
        return true;
    sample_undo(sample, sample->commits);
    sample->at = sample->count == 0 ? 1000 : sample->rows[sample->count - 1].at;
    return false;
}

/* -- holding a log against it ------------------------------------------------------------ */

struct sample_look {
    const struct sample *sample;
    const size_t *wanted; /* numbers of rows, in the order they should come */
    size_t count, seen;
    bool wrong;
};

static inline bool
sample_see(void *self, const struct log_row *row)
{
    struct sample_look *look = self;
    if (look->seen == look->count) {
        printf("# a row too many, at %llu\n", (unsigned long long)row->at);
        look->wrong = true;
        return false;
    }
    const struct sample_row *want = &look->sample->rows[look->wanted[look->seen++]];
    bool same = row->at == want->at && row->kind == want->kind &&
                str_equal(row->payload, (struct str){want->payload, want->payload_len}) &&
                str_equal(row->label, str_from(want->label));
    if (!same)
        printf("# row %zu: got the one at %llu, want the one at %llu\n", look->seen,
               (unsigned long long)row->at, (unsigned long long)want->at);
    look->wrong = look->wrong || !same;
    return same;
}

static inline bool
sample_has(const struct sample_row *row, const struct log_any *group)
{
    for (size_t i = 0; i < row->term_count; i++)
        for (size_t j = 0; j < group->count; j++)
            if (row->terms[i] == group->terms[j])
                return true;
    return false;
}

/* L4: what the log shows is what a filter over all that it was given shows. `groups` NULL: a scan.
 * */
static inline bool
sample_agrees(const struct sample *sample, struct log *log, struct log_span span, uint32_t kinds,
              const struct log_any *groups, size_t group_count)
{
    size_t *wanted = base_alloc(sample->count + 1, sizeof *wanted), count = 0;
    for (size_t i = 0; i < sample->count; i++) {
        size_t number = span.descending ? sample->count - 1 - i : i;
        const struct sample_row *row = &sample->rows[number];
        bool in = row->at >= span.from && row->at <= span.to;
        if (groups == NULL && kinds != 0)
            in = in && (kinds >> row->kind & 1) != 0;
        for (size_t j = 0; j < group_count; j++)
            in = in && sample_has(row, &groups[j]);
        if (in)
            wanted[count++] = number;
    }
    struct sample_look look = {sample, wanted, count, 0, false};
    struct err err = {0};
    uint64_t counted = count;
    bool ok = groups == NULL
                  ? log_scan(log, span, kinds, sample_see, &look, &err)
                  : log_find(log, span, groups, group_count, sample_see, &look, &err) &&
                        log_count(log, span, groups, group_count, UINT64_MAX, &counted, &err);
    if (!ok)
        printf("# %s\n", err.text);
    if (look.seen != count || counted != count)
        printf("# %zu rows seen, %llu counted, %zu wanted\n", look.seen,
               (unsigned long long)counted, count);
    base_free(wanted);
    return ok && !look.wrong && look.seen == count && counted == count;
}

static inline bool
sample_whole(const struct sample *sample, struct log *log)
{
    return sample_agrees(sample, log, (struct log_span){0, UINT64_MAX, false}, 0, NULL, 0) &&
           sample_agrees(sample, log, (struct log_span){0, UINT64_MAX, true}, 0, NULL, 0);
}

/* Queries of every shape, at random. */
static inline bool
sample_queries(struct sample *sample, struct log *log, unsigned count)
{
    bool ok = sample_whole(sample, log);
    for (unsigned i = 0; ok && i < count; i++) {
        uint64_t terms[3][4];
        struct log_any groups[3];
        size_t group_count = 1 + sample_any(sample, 3);
        for (size_t j = 0; j < group_count; j++) {
            groups[j] = (struct log_any){terms[j], 1 + sample_any(sample, 4)};
            for (size_t k = 0; k < groups[j].count; k++) {
                const struct sample_row *row =
                    sample->count == 0 ? NULL : &sample->rows[sample_any(sample, sample->count)];
                terms[j][k] = row != NULL && row->term_count > 0
                                  ? row->terms[sample_any(sample, row->term_count)]
                                  : sample_term(fake_random(&sample->random));
            }
        }
        struct log_span span = {0, UINT64_MAX, sample_any(sample, 2) == 0};
        if (sample_any(sample, 2) == 0) {
            span.from = 900 + sample_any(sample, sample->at);
            span.to = span.from + sample_any(sample, sample->at);
        }
        uint32_t kinds = (uint32_t)sample_any(sample, 16) << 1;
        ok = sample_agrees(sample, log, span, kinds, groups, group_count) &&
             sample_agrees(sample, log, span, kinds, NULL, 0);
    }
    return ok;
}

/* -- opening --------------------------------------------------------------------------------- */

static inline struct log *
sample_open(struct fake_disk *disk, bool read_only, struct log_recovery *recovery, struct err *err)
{
    struct log *log;
    struct log_options options = {
        .disk = fake_table(disk),
        .segment_bytes = LOG_SEGMENT_MIN,
        .cache_bytes = 256 * 1024,
        .read_only = read_only,
    };
    return log_open(&options, &log, recovery, err) ? log : NULL;
}

static inline void
sample_count_finding(void *self, const struct log_finding *finding)
{
    unsigned *count = self;
    if (++*count == 1)
        printf("# %s at %llu, record %llu: %s\n", finding->file,
               (unsigned long long)finding->offset, (unsigned long long)finding->at, finding->text);
}

static inline bool
sample_intact(struct log *log)
{
    unsigned findings = 0;
    uint64_t records;
    struct err err = {0};
    return log_verify(log, sample_count_finding, &findings, &records, &err) && findings == 0;
}

#endif
