/* segment - segments, counted, the list of them that readers hold, and making the next one.
 *
 * A new segment is made ahead under the name next.tmp, so that a full disk shows there; it gets its
 * header, is synced, and then its name. A segment in which no commit ever succeeded is not followed
 * but replaced. A file whose renaming or removal may or may not have happened is a stray: until it
 * is surely gone nothing is written, because recovery would take it for the newest. */
#include "log/log_priv.h"

#include <time.h>

struct segment *
segment_new(struct log *log, struct log_file *file, const struct header *header)
{
    struct segment *segment = base_alloc(1, sizeof *segment);
    atomic_init(&segment->refs, 1);
    segment->id = atomic_fetch_add(&log->next_id, 1);
    segment->file = file;
    segment->disk = &log->disk;
    segment->header = *header;
    segment->end = header->size;
    segment_name(segment->name, header->first);
    return segment;
}

void
segment_unref(struct segment *segment)
{
    if (segment == NULL || atomic_fetch_sub(&segment->refs, 1) != 1)
        return;
    if (segment->file != NULL)
        segment->disk->close(segment->disk->self, segment->file);
    memory_index_free(segment->memory);
    base_free(segment->sealed);
    base_free(segment);
}

struct segments *
segments_take(struct log *log)
{
    pthread_mutex_lock(&log->mutex);
    struct segments *segments = log->segments;
    atomic_fetch_add(&segments->refs, 1);
    pthread_mutex_unlock(&log->mutex);
    return segments;
}

void
segments_release(struct segments *segments)
{
    if (segments == NULL || atomic_fetch_sub(&segments->refs, 1) != 1)
        return;
    for (size_t i = 0; i < segments->count; i++)
        segment_unref(segments->items[i]);
    base_free(segments);
}

static void
note_open_since(struct log *log, const struct segments *segments)
{
    uint64_t since = atomic_load(&log->open_since);
    for (size_t i = segments->count; i > 0; i--) {
        if (segments->items[i - 1]->sealed != NULL) {
            if (i == segments->count) /* all are sealed */
                since = segments->items[i - 1]->sealed->tail.at + 1;
            break;
        }
        since = segments->items[i - 1]->header.first;
    }
    atomic_store(&log->open_since, since);
}

void
segments_change(struct log *log, struct segment *drop, struct segment *add)
{
    pthread_mutex_lock(&log->mutex);
    struct segments *old = log->segments;
    size_t count = old == NULL ? 0 : old->count;
    struct segments *new = base_alloc(1, sizeof *new + (count + 1) * sizeof(struct segment *));
    atomic_init(&new->refs, 1);
    for (size_t i = 0; i < count; i++) {
        struct segment *item = old->items[i];
        if (item == drop) {
            if (add != NULL)
                new->items[new->count++] = add;
            add = NULL;
        } else {
            atomic_fetch_add(&item->refs, 1);
            new->items[new->count++] = item;
        }
    }
    if (add != NULL)
        new->items[new->count++] = add;
    log->segments = new;
    note_open_since(log, new);
    pthread_mutex_unlock(&log->mutex);
    segments_release(old);
}

/* -- the next one --------------------------------------------------------------- */

static void
drop_next(struct log *log)
{
    if (log->next.file != NULL)
        log->disk.close(log->disk.self, log->next.file);
    log->next.file = NULL;
    log->next.reserved = log->next.zeroed = 0;
}

bool
prepare_next(struct log *log, uint64_t bytes, struct err *err)
{
    pthread_mutex_lock(&log->next.mutex);
    struct next *next = &log->next;
    bool ok =
        next->file != NULL || log->disk.open(log->disk.self, "next.tmp", true, &next->file, err);
    if (ok && next->reserved < bytes) {
        ok = log->disk.reserve(log->disk.self, next->file, bytes, err);
        if (ok)
            next->reserved = bytes;
        else
            drop_next(log);
    }
    pthread_mutex_unlock(&log->next.mutex);
    return ok;
}

/* A block that is written for the first time, reserved though it is, has the sync write the map of
 * the file too: a second wait. Zeros written ahead take that off small commits, which wait for
 * little else. What could not be done is only slower. */
static bool
fill_some(struct log *log, uint64_t to)
{
    enum { FILL_CHUNK = 256 * 1024 };
    const struct log_disk *disk = &log->disk;
    struct next *next = &log->next;
    struct err ignored;
    pthread_mutex_lock(&next->mutex);
    if (to > next->reserved) /* 0 where there is no file */
        to = next->reserved;
    uint64_t left = to > next->zeroed ? to - next->zeroed : 0;
    uint64_t len = left < FILL_CHUNK ? left : FILL_CHUNK;
    bool ok = len > 0 && disk->zero(disk->self, next->file, next->zeroed, len, &ignored);
    if (ok) {
        next->zeroed += len;
        ok = next->zeroed < next->reserved || disk->sync(disk->self, next->file, &ignored);
    }
    pthread_mutex_unlock(&next->mutex);
    return ok;
}

void
fill_next(struct log *log, uint64_t to)
{
    if (log->disk.zero == NULL)
        return;
    while (!atomic_load(&log->next.wanted) && !atomic_load(&log->stopping) && fill_some(log, to))
        ;
}

static bool
clear_strays(struct log *log, struct err *err)
{
    for (size_t i = 0; i < COUNT_OF(log->strays); i++) {
        if (log->strays[i][0] == '\0')
            continue;
        if (!log->disk.remove(log->disk.self, log->strays[i], err))
            return err_prefix(err, "log: %s", log->strays[i]);
        log->strays[i][0] = '\0';
    }
    return true;
}

/* The header goes into next.tmp, and that becomes the segment. */
static bool
name_next(struct log *log, const struct header *header, struct segment **segment_out,
          struct err *err)
{
    const struct log_disk *disk = &log->disk;
    struct buffer bytes;
    buffer_init(&bytes, HEADER_SIZE + NOTE_MAX + 8);
    header_encode(&bytes, header, buffer_str(&log->note));
    struct header whole;
    must(header_head((const unsigned char *)bytes.ptr, &whole) == NULL);

    pthread_mutex_lock(&log->next.mutex);
    bool ok = disk->write(disk->self, log->next.file, 0, bytes.ptr, bytes.len, err) &&
              disk->sync(disk->self, log->next.file, err);
    if (ok) {
        segment_name(log->strays[1], header->first);
        ok = disk->rename(disk->self, "next.tmp", log->strays[1], err);
    }
    if (ok) {
        log->strays[1][0] = '\0';
        *segment_out = segment_new(log, log->next.file, &whole);
        log->next.file = NULL;
    }
    drop_next(log);
    pthread_mutex_unlock(&log->next.mutex);
    buffer_fini(&bytes);
    if (!ok)
        err_prefix(err, "log: making a new segment");
    return ok;
}

/* The segment that was written until now: sealed in its turn, or, having no commit, taken away. */
static void
leave_open_segment(struct log *log)
{
    struct segment *old = log->open;
    log->open = NULL;
    if (log->tail.first != old->header.first) {
        memcpy(log->strays[0], old->name, sizeof old->name);
        segments_change(log, old, NULL);
        return;
    }
    old->tail = log->tail;
    pthread_mutex_lock(&log->mutex);
    old->waiting = true;
    log->sealing_count++;
    pthread_cond_broadcast(&log->to_sealer);
    pthread_mutex_unlock(&log->mutex);
}

/* Sealing that goes on is waited for: what comes meanwhile piles up in front of the owner, whose
 * own bound then refuses more in words, and that is better than to drop a commit that was taken. */
static void
wait_for_sealer(struct log *log)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += SEAL_WAIT_S;
    while (log->sealing_count >= SEALS_WAITING_MAX && log->seal_err.code == ERR_NONE)
        if (pthread_cond_timedwait(&log->sealed, &log->mutex, &until) != 0)
            return;
}

static bool
may_seal_another(struct log *log, struct err *err)
{
    if (log->open == NULL || log->tail.first != log->open->header.first)
        return true;
    pthread_mutex_lock(&log->mutex);
    wait_for_sealer(log);
    bool ok = log->sealing_count < SEALS_WAITING_MAX;
    if (!ok) {
        if (log->seal_err.code != ERR_NONE)
            err_set(err, ERR_IO, "log: two segments wait to be sealed: %.180s", log->seal_err.text);
        else
            err_set(err, ERR_IO, "log: two segments wait to be sealed");
        log->kicked = true;
        pthread_cond_broadcast(&log->to_sealer);
    }
    pthread_mutex_unlock(&log->mutex);
    return ok;
}

static bool
roll(struct log *log, size_t commit_bytes, struct err *err)
{
    buffer_clear(&log->note);
    if (log->write_note != NULL)
        log->write_note(log->note_self, &log->note);
    must(!log->note.ran_out);

    struct header header = {
        .seed = log->seed,
        .first = log->building->first_at,
        .prev = log->tail,
    };
    uint64_t least = HEADER_SIZE + align8(log->note.len) + commit_bytes;
    uint64_t bytes = (least > log->segment_bytes ? least : log->segment_bytes) + CLOSE_SIZE + 4096;
    if (!may_seal_another(log, err))
        return false;
    atomic_store(&log->next.wanted, true);
    bool ready = prepare_next(log, bytes, err);
    atomic_store(&log->next.wanted, false);
    if (!ready)
        return err_prefix(err, "log: making a new segment");
    if (log->open != NULL && log->tail.first != log->open->header.first)
        leave_open_segment(log);
    struct segment *segment = NULL;
    if (!clear_strays(log, err) || !name_next(log, &header, &segment, err))
        return false;

    if (log->open != NULL)
        leave_open_segment(log);
    segment->memory = memory_index_new(bytes + LOG_COMMIT_MAX);
    segments_change(log, NULL, segment);
    log->open = segment;
    log->needs_roll = false;
    struct buffer spare = log->newest_note;
    log->newest_note = log->note;
    log->note = spare;
    log->note_before = header.prev.at;
    pthread_mutex_lock(&log->mutex);
    log->wants_next = true;
    pthread_cond_broadcast(&log->to_sealer);
    pthread_mutex_unlock(&log->mutex);
    return true;
}

/* Does the commit in hand go into the segment that is written to? In one that is still empty it
 * does whatever its size, if the name is right: a commit that failed may have given it another. */
static bool
fits(const struct log *log, size_t bytes)
{
    const struct commit *commit = log->building;
    const struct segment *open = log->open;
    if (open == NULL || log->needs_roll || !memory_index_has_room(open->memory, bytes))
        return false;
    if (log->tail.first != open->header.first)
        return open->header.first == commit->first_at;
    return open->end + bytes <= log->segment_bytes;
}

bool
make_room(struct log *log, struct err *err)
{
    size_t bytes = log->building->bytes.len + CLOSE_SIZE;
    return fits(log, bytes) ? clear_strays(log, err) : roll(log, bytes, err);
}
