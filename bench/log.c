/* bench/log - what the log does a second, held against a plain synced append of the same bytes.
 *
 *     build/release/bench/log [--rows N] [--delay MICROSECONDS] [--folder DIR] [--small] [--plain]
 *
 * Commits of 2,000 rows: a made-up login event of about 600 bytes of JSON behind two hashes,
 * thirteen terms. `--delay` is added to each sync, for disks slower than the machine's; `--small`
 * takes rows of 100 bytes with three terms; `--plain` ends after the plain append. The folder is
 * removed at the end. */
#include "base/system.h"
#include "codec/hash.h"
#include "log/log.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { COMMIT = 2000, TERMS = 13, ACTORS = 100000, QUERIES = 2000, POOL = 64 };

struct bench {
    uint64_t rows, delay_us;
    const char *folder;
    bool small, plain;
    uint64_t random;
    log_at at;
    unsigned char previous[32];
    struct log_disk disk;
    struct log *log;
};

static double
now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t
any(struct bench *bench, uint64_t below)
{
    bench->random ^= bench->random << 13;
    bench->random ^= bench->random >> 7;
    bench->random ^= bench->random << 17;
    return bench->random * 0x2545F4914F6CDD1Du % below;
}

/* -- rows ----------------------------------------------------------------------------- */

struct row {
    char json[1024];
    unsigned char hashes[64];
    uint64_t terms[TERMS];
    struct log_record record;
};

static const char *const agents[] = {
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Ver",
    "Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 16_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML) Mobile/",
};
static const char *const actions[] = {
    "auth.login",        "auth.login",  "auth.login",       "auth.login_failed",
    "auth.mfa_verified", "auth.logout", "doc.deleted",      "doc.read",
    "doc.read",          "doc.read",    "invoice.exported",
};
static const char *const countries[] = {"US", "DE", "FR", "RO", "GB", "IN", "BR", "AU"};
static const char *const cities[] = {"Ashburn", "Berlin", "Paris",    "Cluj-Napoca",
                                     "London",  "Pune",   "Curitiba", "Sydney"};

static uint64_t
term(unsigned field, uint64_t value)
{
    return hash64(field, &value, sizeof value);
}

static void
make_small(struct bench *bench, struct row *row, uint64_t actor)
{
    snprintf(row->json, sizeof row->json,
             "{\"actor\":\"user_%06llu\",\"n\":%016llx,\"text\":\"what is said about it\"}",
             (unsigned long long)actor, (unsigned long long)any(bench, UINT64_MAX));
    row->terms[0] = term(0, actor);
    row->terms[1] = term(1, any(bench, 8));
    row->terms[2] = term(2, any(bench, UINT64_MAX));
    row->record = (struct log_record){
        .kind = 1,
        .terms = row->terms,
        .term_count = 3,
        .parts = {str_from(row->json)},
    };
}

static void
make_event(struct bench *bench, struct row *row, uint64_t actor)
{
    size_t action = any(bench, COUNT_OF(actions)), place = actor * 7919 % COUNT_OF(countries);
    uint64_t id = any(bench, UINT64_MAX), id2 = any(bench, UINT64_MAX);
    uint64_t key = any(bench, UINT64_MAX), key2 = any(bench, UINT64_MAX);
    uint64_t session = any(bench, 4) + actor * 4, address = actor * 31 + any(bench, 3);
    uint64_t doc = any(bench, 50000);
    unsigned us = (unsigned)(bench->at % 1000000), s = (unsigned)(bench->at / 1000000);
    snprintf(
        row->json, sizeof row->json,
        "{\"action\":\"%s\",\"actor_id\":\"user_%06llu\",\"actor_name\":\"Person %llu\","
        "\"created_at\":\"2026-03-%02uT%02u:%02u:%02u.%06uZ\",\"id\":\"evt_%016llx%016llx\","
        "\"idempotency_key\":\"%016llx%016llx\",\"network\":{\"city\":\"%s\",\"country\":\"%s\","
        "\"ip\":\"%llu.%llu.%llu.%llu\",\"lat\":%llu.%03llu,\"lon\":%llu.%03llu},"
        "\"occurred_at\":\"2026-03-%02uT%02u:%02u:%02u.%03uZ\",\"resource\":\"document\","
        "\"session_id\":\"sess_%012llx\",\"target_id\":\"doc_%llu\",\"tenant_id\":\"tenant_%llu\","
        "\"user_agent\":\"%s%llu.0.0.0 Safari/537.36\"}",
        actions[action], (unsigned long long)actor, (unsigned long long)actor, 1 + s / 86400 % 28,
        s / 3600 % 24, s / 60 % 60, s % 60, us, (unsigned long long)id, (unsigned long long)id2,
        (unsigned long long)key, (unsigned long long)key2, cities[place], countries[place],
        (unsigned long long)(20 + address % 200), (unsigned long long)(address / 200 % 256),
        (unsigned long long)(address / 51200 % 256), (unsigned long long)(address * 13 % 256),
        (unsigned long long)(place * 7 + 3), (unsigned long long)(address % 1000),
        (unsigned long long)(place * 11 + 1), (unsigned long long)(address * 7 % 1000),
        1 + s / 86400 % 28, s / 3600 % 24, s / 60 % 60, s % 60, us / 1000,
        (unsigned long long)(session * 0x9E3779B97F4Au), (unsigned long long)doc,
        (unsigned long long)(actor % 40), agents[actor % COUNT_OF(agents)],
        (unsigned long long)(100 + actor % 20));
    const uint64_t values[TERMS] = {actor, action, session, actor % 40, address, place, 1,
                                    doc,   1,      id,      key,        1,       2};
    for (unsigned i = 0; i < TERMS; i++)
        row->terms[i] = term(i, values[i]);
    memcpy(row->hashes, bench->previous, 32);
    sha256_once((struct str){row->json, strlen(row->json)}, row->hashes + 32);
    memcpy(bench->previous, row->hashes + 32, 32);
    row->record = (struct log_record){
        .kind = 1,
        .terms = row->terms,
        .term_count = TERMS,
        .label = str_from(actions[action]),
        .parts = {{(char *)row->hashes, sizeof row->hashes}, str_from(row->json)},
    };
}

/* Making a row costs more than keeping it: so much of a commit is made beforehand. */
static void
make_rows(struct bench *bench, struct row *rows)
{
    for (size_t i = 0; i < COMMIT; i++) {
        uint64_t actor = any(bench, ACTORS);
        bench->at += 1 + any(bench, 200);
        if (bench->small)
            make_small(bench, &rows[i], actor);
        else
            make_event(bench, &rows[i], actor);
        rows[i].record.at = bench->at;
    }
}

/* -- the ceiling --------------------------------------------------------------------------- */

/* Bytes and checksums into a reserved file, and a sync for each commit: no hash, no index. */
static double
plain_rate(struct bench *bench, const struct row *rows)
{
    struct log_file *file;
    struct err err = {0};
    const struct log_disk *disk = &bench->disk;
    uint64_t at = 0, count = bench->rows < 400000 ? bench->rows : 400000;
    struct buffer bytes;
    buffer_init(&bytes, 64 * 1024 * 1024);
    must(disk->open(disk->self, "plain.tmp", true, &file, &err));
    must(disk->reserve(disk->self, file, 256 * 1024 * 1024, &err));
    double begun = now();
    for (uint64_t done = 0; done < count; done += COMMIT) {
        buffer_clear(&bytes);
        for (size_t i = 0; i < COMMIT; i++) {
            const struct log_record *record = &rows[i].record;
            size_t from = bytes.len;
            buffer_add_bytes(&bytes, (char[24]){0}, 24);
            buffer_add_bytes(&bytes, record->terms, 8 * record->term_count);
            buffer_add(&bytes, record->parts[0]);
            buffer_add(&bytes, record->parts[1]);
            uint32_t crc = crc32c(0, bytes.ptr + from, bytes.len - from);
            memcpy(bytes.ptr + from, &crc, sizeof crc);
        }
        at = at + bytes.len > 256 * 1024 * 1024 ? 0 : at;
        must(disk->write(disk->self, file, at, bytes.ptr, bytes.len, &err));
        must(disk->sync(disk->self, file, &err));
        at += bytes.len;
    }
    double took = now() - begun;
    disk->close(disk->self, file);
    must(disk->remove(disk->self, "plain.tmp", &err));
    buffer_fini(&bytes);
    return (double)count / took;
}

/* -- the log ---------------------------------------------------------------------------------- */

static void
open_log(struct bench *bench)
{
    struct log_recovery recovery;
    struct err err = {0};
    struct log_options options = {.disk = bench->disk};
    double begun = now();
    if (!log_open(&options, &bench->log, &recovery, &err)) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    printf("open                     %8.3f s\n", now() - begun);
}

static void
commit_rows(struct bench *bench, const struct row *rows)
{
    struct err err = {0};
    for (size_t i = 0; i < COMMIT; i++)
        must(log_add(bench->log, &rows[i].record, &err));
    if (log_commit(bench->log, NULL, NULL, &err))
        return;
    /* It outran the sealing; the same again when that is done. */
    if (!log_settle(bench->log, &err)) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    commit_rows(bench, rows);
}

static void
append(struct bench *bench, struct row *rows)
{
    struct err err = {0};
    struct log_stats before, stats;
    double making = 0, first = 0, last = 0, begun = now();
    log_stats(bench->log, &before);
    for (uint64_t done = 0; done < bench->rows; done += COMMIT) {
        double from = now();
        make_rows(bench, rows);
        double made = now();
        making += made - from;
        commit_rows(bench, rows);
        double took = now() - made;
        if (done < bench->rows / 10)
            first += took;
        if (done >= bench->rows / 10 * 9)
            last += took;
    }
    must(log_drain(bench->log, &err));
    double took = now() - begun;
    log_stats(bench->log, &stats);
    printf("log, with index          %8.0f rows/s (%.0f with making the rows), sync %.2f ms\n",
           (double)bench->rows / (took - making), (double)bench->rows / took,
           (double)(stats.syncs.sum_us - before.syncs.sum_us) / 1000 /
               (double)(stats.syncs.count - before.syncs.count));
    printf("last tenth : first tenth %8.2f\n", first / last);
    printf("memory index             %8.1f MB\n", (double)stats.memory_index_bytes / 1e6);
    begun = now();
    must(log_settle(bench->log, &err));
    log_stats(bench->log, &stats);
    printf("sealing the rest took    %8.2f s\n", now() - begun);
    /* All but the open segment's rows, whose share of bytes is known. */
    double sealed_rows =
        (double)stats.records *
        (1 - (double)stats.open_bytes /
                 ((double)stats.open_bytes + (double)(stats.segments - 1) * 268435456.0));
    if (stats.segments > 1)
        printf("sealed                   %8.0f bytes a row\n",
               (double)stats.sealed_bytes / sealed_rows);
}

/* -- queries ---------------------------------------------------------------------------------- */

struct taken {
    unsigned count, most;
};

static bool
take(void *self, const struct log_row *row)
{
    struct taken *taken = self;
    (void)row;
    return ++taken->count < taken->most;
}

static int
compare(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void
query(struct bench *bench, const char *name, unsigned fields, unsigned most, bool count_only)
{
    static double took[QUERIES];
    struct err err = {0};
    for (unsigned warm = 0; warm < 2; warm++) {
        bench->random = 99;
        for (unsigned i = 0; i < QUERIES; i++) {
            uint64_t actor = any(bench, ACTORS), counted;
            uint64_t terms[2] = {term(0, actor), term(1, any(bench, 8))};
            struct log_any groups[2] = {{&terms[0], 1}, {&terms[1], 1}};
            const struct log_any *from = fields == 2 ? &groups[1] : groups;
            size_t group_count = fields == 3 ? 2 : 1;
            struct taken taken = {0, most};
            struct log_span span = {0, UINT64_MAX, true};
            double begun = now();
            if (count_only)
                must(log_count(bench->log, span, from, group_count, most, &counted, &err));
            else
                must(log_find(bench->log, span, from, group_count, take, &taken, &err));
            took[i] = (now() - begun) * 1e6;
        }
        qsort(took, QUERIES, sizeof took[0], compare);
        printf("%-32s %s p50 %7.0f us  p99 %7.0f us\n", name, warm ? "again" : "first",
               took[QUERIES / 2], took[QUERIES * 99 / 100]);
    }
}

static bool
count_row(void *self, const struct log_row *row)
{
    uint64_t *rows = self;
    (void)row;
    ++*rows;
    return true;
}

static void
count_finding(void *self, const struct log_finding *finding)
{
    unsigned *count = self;
    printf("finding: %s at %llu: %s\n", finding->file, (unsigned long long)finding->offset,
           finding->text);
    ++*count;
}

static void
read_all(struct bench *bench)
{
    struct err err = {0};
    uint64_t rows = 0;
    unsigned findings = 0;
    double begun = now();
    must(log_scan(bench->log, (struct log_span){0, UINT64_MAX, false}, 0, count_row, &rows, &err));
    printf("scan                     %8.0f rows/s\n", (double)rows / (now() - begun));
    begun = now();
    must(log_verify(bench->log, count_finding, &findings, &rows, &err));
    printf("verify                   %8.0f rows/s, %u findings\n", (double)rows / (now() - begun),
           findings);
}

static void
remove_folder(const char *folder)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL)
        if (entry->d_name[0] != '.')
            unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir != NULL)
        closedir(dir);
    rmdir(folder);
}

static void
measure_log(struct bench *bench, struct row *rows)
{
    open_log(bench);
    append(bench, rows);
    query(bench, "last 20 of an actor", 1, 20, false);
    query(bench, "last 50 of an action", 2, 50, false);
    query(bench, "last 20 of actor and action", 3, 20, false);
    query(bench, "count of an actor, to 10,000", 1, 10000, true);
    query(bench, "count of an action, to 10,000", 2, 10000, true);
    read_all(bench);
    log_close(bench->log);
    open_log(bench);
    log_close(bench->log);
}

int
main(int argc, char **argv)
{
    struct bench bench = {.rows = 2000000, .folder = "/var/tmp/tocsin-bench-log", .random = 7};
    bench.at = 1770000000000000;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--small") == 0)
            bench.small = true;
        else if (strcmp(argv[i], "--plain") == 0)
            bench.plain = true;
        else if (strcmp(argv[i], "--rows") == 0 && i + 1 < argc)
            bench.rows = strtoull(argv[++i], NULL, 10) / COMMIT * COMMIT;
        else if (strcmp(argv[i], "--delay") == 0 && i + 1 < argc)
            bench.delay_us = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--folder") == 0 && i + 1 < argc)
            bench.folder = argv[++i];
        else
            return fprintf(stderr, "unknown argument %s\n", argv[i]), 2;
    }
    struct err err = {0};
    remove_folder(bench.folder);
    must(log_disk_open(bench.folder, (int64_t)bench.delay_us, &bench.disk, &err));
    struct row *rows = base_alloc(COMMIT, sizeof *rows);
    make_rows(&bench, rows);
    printf("%llu rows of %zu bytes, %zu terms, %llu us added to each sync\n",
           (unsigned long long)bench.rows, strlen(rows[0].json), rows[0].record.term_count,
           (unsigned long long)bench.delay_us);
    double plain = plain_rate(&bench, rows);
    printf("plain synced append      %8.0f rows/s\n", plain);
    if (!bench.plain)
        measure_log(&bench, rows);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("most memory              %8.1f MB\n", (double)usage.ru_maxrss / 1000);
    log_disk_close(&bench.disk);
    remove_folder(bench.folder);
    base_free(rows);
    return 0;
}
