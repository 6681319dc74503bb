/* recover - from a folder to a log that can be written to.
 *
 * First everything is looked at, then, if all is well, something is changed. Every header must name
 * the segment before it, its end and its closing hash. Sealed segments are believed by their heads;
 * plain ones are read from front to back, every checksum and every closing hash, and their memory
 * index is made on the way. What follows the last closed commit of the newest segment is the torn
 * end of a write and is dropped, unless a whole closing record comes after it: then something
 * before that was damaged. One thing looks like damage and is none: a disk may write the sectors of
 * one write in any order, so that its closing record is there and a sector before it is not. Where
 * such a sector was, the reserved file reads zero; so that much is taken for a torn end too, if the
 * closing record belongs to that very commit and is the last thing in the file. */
#include "log/log_priv.h"

#include <stdio.h>
#include <stdlib.h>

enum { SECTOR = 512, LOOK = 1024 * 1024 };

struct found {
    uint64_t first;
    struct segment *segment;
};

struct recovery {
    struct log *log;
    struct log_recovery *out;
    struct found *found;
    size_t count, room;
    struct buffer pending; /* the commit being read */
    struct chain chain;
    bool has_chain;
    uint64_t cut_from; /* of the newest segment, when its end is torn */
};

static bool
corrupt(const char *name, uint64_t offset, const char *why, struct err *err)
{
    return err_set(err, ERR_CORRUPT, "log: %s: offset %llu: %s", name, (unsigned long long)offset,
                   why);
}

/* -- which segments there are ------------------------------------------------------- */

static void
note_name(void *self, const char *name)
{
    struct recovery *recovery = self;
    uint64_t first;
    if (!segment_name_parse(name, &first))
        return;
    if (recovery->count == recovery->room) {
        recovery->room = recovery->room * 2 + 64;
        recovery->found = base_realloc(recovery->found, recovery->room * sizeof *recovery->found);
    }
    recovery->found[recovery->count++] = (struct found){first, NULL};
}

static int
compare_found(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    return (x->first > y->first) - (x->first < y->first);
}

static bool
open_segment(struct log *log, const char *name, bool newest, struct segment **segment_out,
             struct err *err)
{
    const struct log_disk *disk = &log->disk;
    struct log_file *file;
    uint64_t size;
    unsigned char magic[8];
    struct header header;
    char *note = NULL;
    if (!disk->open(disk->self, name, false, &file, err))
        return false;
    bool ok = disk->size(disk->self, file, &size, err);
    if (ok && size < HEADER_SIZE)
        ok = err_set(err, ERR_CORRUPT, "offset 0: the segment is shorter than a header");
    ok = ok && disk->read(disk->self, file, 0, magic, sizeof magic, err);
    if (ok && is_sealed(magic)) {
        ok = sealed_open(log, file, segment_out, &note, err);
    } else if (ok) {
        ok = header_read(disk, file, 0, size, &header, &note, err);
        if (ok)
            *segment_out = segment_new(log, file, &header);
    }
    if (!ok) {
        disk->close(disk->self, file);
        return err_prefix(err, "log: %s", name);
    }
    if (newest)
        buffer_add_bytes(&log->newest_note, note, (*segment_out)->header.note_len);
    base_free(note);
    return true;
}

static bool
open_all(struct recovery *recovery, struct err *err)
{
    struct log *log = recovery->log;
    struct tail before = tail_of_nothing();
    for (size_t i = 0; i < recovery->count; i++) {
        struct found *found = &recovery->found[i];
        char name[NAME_SIZE];
        segment_name(name, found->first);
        if (!open_segment(log, name, i + 1 == recovery->count, &found->segment, err))
            return false;
        const struct segment *segment = found->segment;
        if (segment->header.first != found->first)
            return corrupt(name, 24, "the segment was not made under this name", err);
        if (i == 0)
            log->seed = segment->header.seed;
        if (segment->header.seed != log->seed)
            return corrupt(name, 16, "the segment belongs to another folder", err);
        if (segment->header.prev.first != before.first)
            return corrupt(name, 32, "the segment before this one is missing", err);
        if (segment->header.prev.at >= segment->header.first ||
            (i == 0 && !tail_equal(&segment->header.prev, &before)))
            return corrupt(name, 32, "the header does not follow what is before it", err);
        if (i > 0 && recovery->found[i - 1].segment->sealed != NULL &&
            !tail_equal(&segment->header.prev, &recovery->found[i - 1].segment->tail))
            return corrupt(name, 32, "the header does not follow the end of the one before", err);
        before.first = found->first;
    }
    return true;
}

/* -- reading a plain one ---------------------------------------------------------------- */

/* Takes the record into the commit being read; a closing one puts all of it into the index. */
static const char *
take_record(struct recovery *recovery, struct segment *segment, const struct record_view *record,
            uint64_t offset)
{
    struct chain *chain = &recovery->chain;
    bool first = segment->end == segment->header.size && chain->count == 0;
    if (first && record->kind <= KIND_ROW_MAX && record->at != segment->header.first)
        return "the first row is not the one the segment is named by";
    const char *why = chain_add(chain, record, offset);
    if (why != NULL)
        return why;
    if (record->kind != LOG_KIND_CLOSE) {
        buffer_add_bytes(&recovery->pending, record->bytes, record->size);
        return recovery->pending.ran_out ? "the commit is larger than one can be" : NULL;
    }
    if (!memory_index_has_room(segment->memory, recovery->pending.len))
        return "the segment has more in it than there is room for";
    memory_index_link(segment->memory, recovery->pending.ptr, recovery->pending.len, segment->end);
    memory_index_publish(segment->memory);
    buffer_clear(&recovery->pending);
    segment->end = offset + record->size;
    segment->tail = chain->tail;
    return NULL;
}

static void
look_at_word(struct rest *rest, const unsigned char *bytes, size_t len, uint64_t offset)
{
    struct record_view view;
    if (get64(bytes) == 0)
        return;
    rest->used_to = offset + 8;
    if (len < CLOSE_SIZE || record_head(bytes, &view) != NULL || view.kind != LOG_KIND_CLOSE ||
        view.size != CLOSE_SIZE || record_check(bytes, &view) != NULL)
        return;
    if (rest->closes++ == 0) {
        rest->close_start = get64(view.payload.ptr + LOG_HASH_SIZE);
        rest->close_end = offset + CLOSE_SIZE;
    }
}

bool
look_behind(struct walk *walk, uint64_t from, struct rest *rest, struct err *err)
{
    *rest = (struct rest){.used_to = from};
    walk->at = from;
    while (walk->at < walk->limit) {
        const unsigned char *bytes;
        size_t len;
        if (!walk_bytes(walk, LOOK, &bytes, &len, err))
            return false;
        bool last = walk->at + len >= walk->limit;
        size_t stop = last ? len : len - CLOSE_SIZE; /* one that begins here must be all in view */
        size_t i = 0;
        for (; i + 8 <= len && i < stop; i += 8)
            look_at_word(rest, bytes + i, len - i, walk->at + i);
        if (last) {
            for (size_t j = i; j < len; j++) /* a file cut off within a word */
                if (bytes[j] != 0)
                    rest->used_to = walk->at + len;
            i = len;
        }
        walk->at += i;
    }
    return true;
}

/* Does the record at `offset`, which cannot be read, lie in part in a sector that was never
 * written? Its length cannot be believed: what is at `limit` was written. */
static bool
lost_sector(struct walk *walk, uint64_t offset, uint64_t limit, bool *lost_out, struct err *err)
{
    const unsigned char *bytes;
    size_t len;
    struct record_view view;
    *lost_out = false;
    walk->at = offset;
    if (!walk_bytes(walk, RECORD_MAX, &bytes, &len, err))
        return false;
    if (len > limit - offset)
        len = (size_t)(limit - offset);
    size_t size = RECORD_HEAD;
    if (len >= RECORD_HEAD && record_head(bytes, &view) == NULL)
        size = view.size;
    for (size_t at = 0; at < size && at < len;) {
        size_t end = at + SECTOR - (size_t)((offset + at) % SECTOR);
        end = end > len ? len : end;
        bool zero = true;
        for (size_t i = at; i < end; i++)
            zero = zero && bytes[i] == 0;
        *lost_out = *lost_out || zero;
        at = end;
    }
    return true;
}

/* The newest segment's records end at `bad`: torn, or damaged? */
static bool
judge_end(struct recovery *recovery, const struct segment *segment, struct walk *walk,
          const char *why, struct err *err)
{
    uint64_t bad = walk->at;
    struct rest rest;
    if (!look_behind(walk, bad, &rest, err))
        return false;
    if (bad == segment->end && rest.used_to == bad)
        return true; /* nothing but reserved space */
    bool lost = false;
    if (rest.closes > 0 && !lost_sector(walk, bad, rest.close_end - CLOSE_SIZE, &lost, err))
        return false;
    bool one_write =
        rest.closes == 1 && rest.close_start == segment->end && rest.close_end == rest.used_to;
    if (rest.closes > 0 && !(lost && one_write))
        return corrupt(segment->name, bad, why, err);

    struct log_recovery *out = recovery->out;
    out->torn = true;
    out->torn_bytes = rest.used_to - segment->end;
    snprintf(out->torn_text, sizeof out->torn_text,
             "%s: %llu bytes after offset %llu were no whole commit", segment->name,
             (unsigned long long)out->torn_bytes, (unsigned long long)segment->end);
    recovery->cut_from = segment->end;
    return true;
}

/* `end`: where the next segment's header says this one ends; NULL for the newest. */
static bool
read_plain(struct recovery *recovery, struct segment *segment, const struct tail *end,
           struct err *err)
{
    const struct log_disk *disk = segment->disk;
    uint64_t size;
    if (!disk->size(disk->self, segment->file, &size, err))
        return err_prefix(err, "log: %s", segment->name);
    if (end != NULL && end->end > size)
        return corrupt(segment->name, size, "the segment is shorter than the next one says", err);
    uint64_t bytes = size > recovery->log->segment_bytes ? size : recovery->log->segment_bytes;
    segment->memory = memory_index_new(bytes + LOG_COMMIT_MAX);
    segment->tail = segment->header.prev;
    chain_enter(&recovery->chain, &segment->header);
    buffer_clear(&recovery->pending);

    struct walk walk;
    walk_init(&walk, disk, segment->file, end == NULL ? size : end->end);
    walk.at = segment->header.size;
    const char *why = NULL;
    bool ok = true;
    while (ok && walk.at < walk.limit) {
        struct record_view record;
        ok = walk_record(&walk, &record, &why, err);
        if (!ok || why != NULL)
            break;
        why = take_record(recovery, segment, &record, walk.at);
        if (why != NULL)
            ok = corrupt(segment->name, walk.at, why, err);
        else
            walk.at += record.size;
    }
    if (ok && end == NULL)
        ok = judge_end(recovery, segment, &walk, why, err);
    else if (ok && why != NULL)
        ok = corrupt(segment->name, walk.at, why, err);
    else if (ok && !tail_equal(end, &segment->tail))
        ok = corrupt(segment->name, segment->end, "the next segment follows another end", err);
    walk_fini(&walk);
    return ok;
}

static bool
read_all(struct recovery *recovery, struct err *err)
{
    struct log *log = recovery->log;
    for (size_t i = 0; i < recovery->count; i++) {
        struct segment *segment = recovery->found[i].segment;
        bool newest = i + 1 == recovery->count;
        if (i == 0)
            chain_init(&recovery->chain, &segment->header);
        recovery->has_chain = true;
        recovery->chain.stopped = false;
        if (segment->sealed != NULL)
            continue;
        const struct tail *end = newest ? NULL : &recovery->found[i + 1].segment->header.prev;
        if (!read_plain(recovery, segment, end, err))
            return false;
    }
    recovery->out->stopped_in_order = recovery->count == 0 || recovery->chain.stopped;
    if (recovery->count > 0)
        log->tail = recovery->found[recovery->count - 1].segment->tail;
    return true;
}

/* -- changing something -------------------------------------------------------------------- */

static bool
tidy_folder(struct recovery *recovery, struct err *err)
{
    struct log *log = recovery->log;
    const struct log_disk *disk = &log->disk;
    struct segment *newest = recovery->found[recovery->count - 1].segment;
    if (recovery->out->torn &&
        (!disk->truncate(disk->self, newest->file, recovery->cut_from, err) ||
         !disk->sync(disk->self, newest->file, err)))
        return err_prefix(err, "log: %s", newest->name);
    struct err ignored; /* a full disk shows again when it is written to */
    if (newest->memory != NULL)
        (void)!disk->reserve(disk->self, newest->file, log->segment_bytes + CLOSE_SIZE + 4096,
                             &ignored);
    return true;
}

static void
take_over(struct recovery *recovery)
{
    struct log *log = recovery->log;
    for (size_t i = 0; i < recovery->count; i++) {
        struct segment *segment = recovery->found[i].segment;
        bool newest = i + 1 == recovery->count;
        recovery->found[i].segment = NULL;
        if (segment->memory != NULL && newest)
            log->open = segment;
        if (segment->memory != NULL && !newest && !log->read_only) {
            segment->waiting = true;
            log->sealing_count++;
        }
        segments_change(log, NULL, segment);
    }
    if (recovery->count > 0)
        log->note_before = log->segments->items[recovery->count - 1]->header.prev.at;
    atomic_store(&log->durable, log->tail.at);
    log->last_at = log->tail.at;
}

bool
recover(struct log *log, struct log_recovery *out, struct err *err)
{
    const struct log_disk *disk = &log->disk;
    struct recovery recovery = {.log = log, .out = out};
    *out = (struct log_recovery){0};
    buffer_init(&recovery.pending, LOG_COMMIT_MAX);
    bool ok = disk->list(disk->self, note_name, &recovery, err) || err_prefix(err, "log");
    if (ok && recovery.count > 0) {
        qsort(recovery.found, recovery.count, sizeof *recovery.found, compare_found);
        ok = open_all(&recovery, err);
    }
    ok = ok && read_all(&recovery, err);
    if (ok && !log->read_only && recovery.count > 0)
        ok = tidy_folder(&recovery, err);
    if (ok && !log->read_only)
        ok = disk->remove(disk->self, "next.tmp", err) && disk->remove(disk->self, "seal.tmp", err);
    if (ok)
        take_over(&recovery);
    for (size_t i = 0; i < recovery.count; i++)
        segment_unref(recovery.found[i].segment);
    if (recovery.has_chain)
        chain_fini(&recovery.chain);
    buffer_fini(&recovery.pending);
    base_free(recovery.found);
    return ok;
}
