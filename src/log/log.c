/* log - opening and closing, and between them the owner's commits and the thread that writes them.
 *
 * There are two commits: one is built while the other is in flight. The owner hands one over and
 * then links its rows into the memory index while the writer writes and syncs; the writer publishes
 * when both are done. Checksums and hashes are taken by whoever has time: by the owner as long as
 * it would only wait for the commit before, by the writer for the rest.
 *
 * What a failure leaves (L1): after a failed write the file is cut back to the last commit and that
 * is synced; if this fails too, or if the sync of a commit failed, nothing is written to that
 * segment any more, and the next one's header says where it ended. */
#include "log/log_priv.h"
#include "base/system.h"

#include <time.h>

enum { CACHE_BYTES = 32 * 1024 * 1024 };
#define SEGMENT_MAX (1024u * 1024u * 1024u)

/* -- building a commit ------------------------------------------------------------------- */

static void
clear(struct commit *commit)
{
    buffer_clear(&commit->bytes);
    buffer_clear(&commit->hashes);
    commit->count = 0;
    commit->hashed = 0;
}

static struct commit *
other_commit(struct log *log)
{
    return log->building == &log->commits[0] ? &log->commits[1] : &log->commits[0];
}

bool
log_in_flight(const struct log *log)
{
    struct log *shared = (struct log *)(uintptr_t)log;
    pthread_mutex_lock(&shared->mutex);
    bool in_flight = log->in_flight != NULL;
    pthread_mutex_unlock(&shared->mutex);
    return in_flight;
}

void
log_discard(struct log *log)
{
    clear(log->building);
    log->last_at = log_in_flight(log) ? other_commit(log)->last_at : log_durable(log);
}

static void
add(struct log *log, const struct log_record *record, uint8_t kind)
{
    struct commit *commit = log->building;
    char *to = buffer_reserve(&commit->bytes, record_size(record));
    must(to != NULL);
    record_encode(to, record, kind);
    struct record_view view;
    must(record_head((const unsigned char *)to, &view) == NULL);
    commit->bytes.len += view.size;
    if (commit->count++ == 0)
        commit->first_at = record->at;
    commit->last_at = log->last_at = record->at;
}

bool
log_add(struct log *log, const struct log_record *record, struct err *err)
{
    must(!log->read_only);
    must(record->kind >= 1 && record->kind <= KIND_ROW_MAX && record->at > log->last_at);
    must(record->term_count <= LOG_TERMS_MAX && record->label.len <= LABEL_MAX);
    size_t payload_len = 0;
    for (size_t i = 0; i < COUNT_OF(record->parts); i++)
        payload_len += record->parts[i].len;
    must(payload_len <= LOG_PAYLOAD_MAX);
    if (log->building->bytes.len + record_size(record) + CLOSE_SIZE > LOG_COMMIT_MAX)
        return err_set(err, ERR_LIMIT, "log: the commit would be larger than %u bytes",
                       LOG_COMMIT_MAX);
    add(log, record, record->kind);
    return true;
}

/* -- checksums and hashes ------------------------------------------------------------ */

/* Of one record; false when there is none left. */
static bool
hash_one(struct commit *commit, struct sha256 *sha, size_t records_len)
{
    if (commit->hashed == records_len)
        return false;
    char *bytes = commit->bytes.ptr + commit->hashed;
    struct record_view view;
    must(record_head((const unsigned char *)bytes, &view) == NULL);
    record_finish(bytes, view.size);
    char *hash = buffer_reserve(&commit->hashes, LOG_HASH_SIZE);
    must(hash != NULL);
    sha256_begin(sha);
    sha256_add(sha, bytes, view.size);
    sha256_end(sha, (unsigned char *)hash);
    commit->hashes.len += LOG_HASH_SIZE;
    commit->hashed += view.size;
    return true;
}

/* The closing record's room was made by the owner, so that nothing moves under its eyes. */
static void
finish_commit(struct log *log, struct commit *commit, uint64_t offset, struct tail *tail)
{
    size_t records_len = commit->bytes.len - CLOSE_SIZE;
    while (hash_one(commit, log->writer_sha, records_len))
        ;
    sha256_begin(log->chain_sha);
    sha256_add(log->chain_sha, log->tail.hash, LOG_HASH_SIZE);
    sha256_add(log->chain_sha, commit->hashes.ptr, commit->hashes.len);
    sha256_end(log->chain_sha, tail->hash);
    close_encode(commit->bytes.ptr + records_len, tail->hash, offset, commit->count,
                 commit->last_at);
    tail->first = log->open->header.first;
    tail->end = offset + commit->bytes.len;
    tail->at = commit->last_at;
}

/* -- the writer's thread ---------------------------------------------------------------- */

static uint64_t
now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void
note_sync(struct log *log, uint64_t took_us)
{
    must(pthread_mutex_lock(&log->mutex) == 0);
    histogram_add(&log->syncs, (int64_t)took_us);
    must(pthread_mutex_unlock(&log->mutex) == 0);
}

static bool
write_commit(struct log *log, struct commit *commit, struct tail *tail, struct err *err)
{
    const struct log_disk *disk = &log->disk;
    struct segment *open = log->open;
    finish_commit(log, commit, open->end, tail);
    if (!disk->write(disk->self, open->file, open->end, commit->bytes.ptr, commit->bytes.len,
                     err)) {
        struct err ignored;
        if (!disk->truncate(disk->self, open->file, open->end, &ignored) ||
            !disk->sync(disk->self, open->file, &ignored))
            log->needs_roll = true;
        /* Without room reserved a later write may fail, and says so then. */
        else
            (void)disk->reserve(disk->self, open->file, log->segment_bytes, &ignored);
        goto failed;
    }
    uint64_t begun = now_us();
    bool synced = disk->sync(disk->self, open->file, err);
    note_sync(log, now_us() - begun);
    if (synced)
        return true;
    log->needs_roll = true;
failed:
    return err_prefix(err, "log: %s: the commit at %llu", open->name,
                      (unsigned long long)open->end);
}

/* How much of the next segment should have zeros by now; 0: nothing new. From a quarter of this one
 * to seven eighths they keep step with what is written, so that they never fill the disk's time. A
 * large commit waits for its own bytes, not for the map of the file: zeros would be in its way. */
static uint64_t
zeros_due(const struct log *log, const struct commit *commit, const struct tail *tail)
{
    enum { STEPS = 256, STEP_MIN = 1024, SMALL_COMMIT = 64 * 1024 };
    struct segment *open = log->open;
    uint64_t begin = log->segment_bytes / 4, step = log->segment_bytes / STEPS;
    if (tail->end < begin || tail->end < open->zeros_at || commit->bytes.len > SMALL_COMMIT)
        return 0;
    step = step < STEP_MIN ? STEP_MIN : step;
    open->zeros_at = tail->end + step;
    return (tail->end - begin + step) * 8 / 5;
}

static void
publish(struct log *log, const struct commit *commit, const struct tail *tail)
{
    struct segment *open = log->open;
    uint64_t zeros = zeros_due(log, commit, tail);
    log->tail = *tail;
    memory_index_publish(open->memory);
    atomic_store(&log->durable, commit->last_at);
    atomic_fetch_add(&log->commits_done, 1);
    pthread_mutex_lock(&log->mutex);
    open->end = tail->end;
    if (zeros > 0) {
        log->zeros_to = zeros;
        pthread_cond_broadcast(&log->to_sealer);
    }
    pthread_mutex_unlock(&log->mutex);
}

static void
serve(struct log *log, struct commit *commit)
{
    struct err err = {0};
    struct tail tail;
    bool ok = write_commit(log, commit, &tail, &err);
    pthread_mutex_lock(&log->mutex);
    while (!log->linked)
        pthread_cond_wait(&log->to_writer, &log->mutex);
    pthread_mutex_unlock(&log->mutex);

    if (ok)
        publish(log, commit, &tail);
    else
        memory_index_undo(log->open->memory, commit->bytes.ptr, commit->bytes.len - CLOSE_SIZE);
    if (commit->done != NULL)
        commit->done(commit->self, ok, &err);

    pthread_mutex_lock(&log->mutex);
    log->in_flight = NULL;
    log->failed = !ok;
    log->failure = err;
    pthread_mutex_unlock(&log->mutex);
    /* Not under the mutex, here and below: it is the first thing that who wakes up wants. */
    pthread_cond_broadcast(&log->to_owner);
}

static void *
writer_main(void *self)
{
    struct log *log = self;
    for (;;) {
        pthread_mutex_lock(&log->mutex);
        while (log->in_flight == NULL && !log->ending)
            pthread_cond_wait(&log->to_writer, &log->mutex);
        struct commit *commit = log->in_flight;
        pthread_mutex_unlock(&log->mutex);
        if (commit == NULL)
            return NULL;
        serve(log, commit);
    }
}

/* -- the owner's side ---------------------------------------------------------------------- */

static bool
wait_for_writer(struct log *log, struct err *err)
{
    pthread_mutex_lock(&log->mutex);
    while (log->in_flight != NULL)
        pthread_cond_wait(&log->to_owner, &log->mutex);
    bool failed = log->failed;
    log->failed = false;
    if (failed)
        *err = log->failure;
    pthread_mutex_unlock(&log->mutex);
    return !failed;
}

bool
log_drain(struct log *log, struct err *err)
{
    if (wait_for_writer(log, err))
        return true;
    log_discard(log);
    return false;
}

static void
hand_over(struct log *log)
{
    struct commit *commit = log->building;
    char *room = buffer_reserve(&commit->bytes, CLOSE_SIZE);
    must(room != NULL);
    size_t records_len = commit->bytes.len;
    commit->bytes.len += CLOSE_SIZE;
    uint64_t offset = log->open->end;

    pthread_mutex_lock(&log->mutex);
    log->in_flight = commit;
    log->linked = false;
    pthread_mutex_unlock(&log->mutex);
    pthread_cond_signal(&log->to_writer);

    log->building = other_commit(log);
    clear(log->building);
    memory_index_link(log->open->memory, commit->bytes.ptr, records_len, offset);

    pthread_mutex_lock(&log->mutex);
    log->linked = true;
    pthread_mutex_unlock(&log->mutex);
    pthread_cond_signal(&log->to_writer);
}

bool
log_commit(struct log *log, log_done_fn done, void *self, struct err *err)
{
    struct commit *commit = log->building;
    must(!log->read_only && commit->count > 0);
    while (log_in_flight(log) && hash_one(commit, log->owner_sha, commit->bytes.len))
        ;
    if (!wait_for_writer(log, err) || !make_room(log, err)) {
        log_discard(log);
        return false;
    }
    commit->done = done;
    commit->self = self;
    hand_over(log);
    return true;
}

/* Without a segment that can be written to there is none to stop in order; a log that was never
 * written to needs none. */
static bool
commit_stop(struct log *log, struct err *err)
{
    log_discard(log);
    if (!log_drain(log, err))
        return false;
    log_discard(log);
    if (log->tail.first == 0)
        return true;
    if (log->open == NULL || log->needs_roll || log->strays[0][0] != '\0' ||
        log->strays[1][0] != '\0' || log->tail.first != log->open->header.first)
        return err_set(err, ERR_IO, "log: no segment to end in order");
    add(log, &(struct log_record){.at = log->last_at}, LOG_KIND_STOP);
    log->building->done = NULL;
    hand_over(log);
    return log_drain(log, err);
}

/* -- opening and closing --------------------------------------------------------------- */

static struct log *
log_new(const struct log_options *options)
{
    struct log *log = base_alloc(1, sizeof *log);
    log->disk = options->disk;
    log->segment_bytes = options->segment_bytes == 0 ? LOG_SEGMENT_BYTES : options->segment_bytes;
    must(log->segment_bytes >= LOG_SEGMENT_MIN && log->segment_bytes <= SEGMENT_MAX);
    log->read_only = options->read_only;
    log->write_note = options->write_note;
    log->note_self = options->note_self;
    log->cache = cache_new(options->cache_bytes == 0 ? CACHE_BYTES : options->cache_bytes);
    log->tail = tail_of_nothing();
    struct random random = random_system();
    random.fill(random.self, &log->seed, sizeof log->seed);
    for (size_t i = 0; i < COUNT_OF(log->commits); i++) {
        buffer_init(&log->commits[i].bytes, LOG_COMMIT_MAX);
        buffer_init(&log->commits[i].hashes, LOG_COMMIT_MAX / RECORD_HEAD * LOG_HASH_SIZE);
    }
    log->building = &log->commits[0];
    buffer_init(&log->note, NOTE_MAX);
    buffer_init(&log->newest_note, NOTE_MAX);
    log->owner_sha = sha256_new();
    log->writer_sha = sha256_new();
    log->chain_sha = sha256_new();
    must(pthread_mutex_init(&log->next.mutex, NULL) == 0);
    must(pthread_mutex_init(&log->mutex, NULL) == 0);
    pthread_condattr_t attr;
    must(pthread_condattr_init(&attr) == 0);
    must(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    must(pthread_cond_init(&log->to_writer, &attr) == 0);
    must(pthread_cond_init(&log->to_owner, &attr) == 0);
    must(pthread_cond_init(&log->to_sealer, &attr) == 0);
    must(pthread_cond_init(&log->sealed, &attr) == 0);
    must(pthread_condattr_destroy(&attr) == 0);
    segments_change(log, NULL, NULL);
    return log;
}

static void
log_free(struct log *log)
{
    if (log->next.file != NULL)
        log->disk.close(log->disk.self, log->next.file);
    segments_release(log->segments);
    cache_free(log->cache);
    for (size_t i = 0; i < COUNT_OF(log->commits); i++) {
        buffer_fini(&log->commits[i].bytes);
        buffer_fini(&log->commits[i].hashes);
    }
    buffer_fini(&log->note);
    buffer_fini(&log->newest_note);
    sha256_free(log->owner_sha);
    sha256_free(log->writer_sha);
    sha256_free(log->chain_sha);
    pthread_mutex_destroy(&log->next.mutex);
    pthread_mutex_destroy(&log->mutex);
    pthread_cond_destroy(&log->to_writer);
    pthread_cond_destroy(&log->to_owner);
    pthread_cond_destroy(&log->to_sealer);
    pthread_cond_destroy(&log->sealed);
    base_free(log);
}

bool
log_open(const struct log_options *options, struct log **log_out, struct log_recovery *recovery_out,
         struct err *err)
{
    struct log *log = log_new(options);
    struct err why = {0};
    if (!recover(log, recovery_out, &why)) {
        /* Damage is what log_verify is for, so it must not keep one from asking. */
        if (!log->read_only || why.code != ERR_CORRUPT) {
            *err = why;
            log_free(log);
            return false;
        }
        log->damage = why;
    }
    if (!log->read_only) {
        must(pthread_create(&log->writer, NULL, writer_main, log) == 0);
        must(pthread_create(&log->sealer, NULL, sealer_main, log) == 0);
    }
    *log_out = log;
    return true;
}

void
log_close(struct log *log)
{
    if (!log->read_only) {
        struct err err = {0};
        if (!commit_stop(log, &err))
            diag_warn("%s: the log does not end in order", err.text);
        atomic_store(&log->stopping, true);
        pthread_mutex_lock(&log->mutex);
        log->ending = true;
        pthread_cond_broadcast(&log->to_writer);
        pthread_cond_broadcast(&log->to_sealer);
        pthread_mutex_unlock(&log->mutex);
        must(pthread_join(log->writer, NULL) == 0);
        must(pthread_join(log->sealer, NULL) == 0);
        struct err ignored;
        (void)!log->disk.remove(log->disk.self, "next.tmp", &ignored);
    }
    log_free(log);
}

uint64_t
log_seed(const struct log *log)
{
    return log->seed;
}

log_at
log_durable(const struct log *log)
{
    return atomic_load(&log->durable);
}

log_at
log_open_since(const struct log *log)
{
    return atomic_load(&log->open_since);
}

struct str
log_note(const struct log *log, log_at *before_out)
{
    *before_out = log->note_before;
    return buffer_str(&log->newest_note);
}

void
log_stats(const struct log *log, struct log_stats *stats_out)
{
    /* Taking a reference changes what is shared, though nothing of the log. */
    struct log *shared = (struct log *)(uintptr_t)log;
    struct segments *segments = segments_take(shared);
    struct log_stats stats = {
        .segments = segments->count,
        .commits = atomic_load(&log->commits_done),
        .cache_bytes = cache_bytes(log->cache),
    };
    pthread_mutex_lock(&shared->mutex);
    stats.seals_waiting = log->sealing_count;
    stats.syncs = log->syncs;
    for (size_t i = 0; i < segments->count; i++) {
        const struct segment *segment = segments->items[i];
        if (segment->sealed != NULL) {
            stats.sealed_bytes += segment->sealed->size;
            stats.sealed_records += segment->sealed->rows;
            stats.records += segment->sealed->rows;
        } else {
            stats.open_bytes += segment->end;
            stats.records += memory_index_rows(segment->memory);
            stats.memory_index_bytes += memory_index_bytes(segment->memory);
        }
    }
    pthread_mutex_unlock(&shared->mutex);
    segments_release(segments);
    *stats_out = stats;
}
