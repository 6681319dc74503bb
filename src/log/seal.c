/* seal - a full segment becomes a sealed one, on a thread of its own: the same records byte for
 * byte, compressed, with an index. It is made under the name seal.tmp and takes the place of the
 * plain file when it is synced; until then the memory index serves.
 *
 *   head       0   8  "TocsinSg"
 *              8   4  version, 1
 *             12   4  CRC32C of the head, these four bytes left out
 *             16   8  seed
 *             24   8  position of the first row, as in the name
 *             32   8  position of the last row
 *             40   8  where the records ended in the plain segment
 *             48  32  the last closing hash
 *             80   8  number of rows
 *             88   8  number of commits
 *             96   8  number of terms
 *            104   4  how many of a term's first bits choose its bucket
 *            108   4  number of frames
 *            112      for each section: offset (8), length (8), CRC32C (4), zeros (4)
 *   sections, one behind the other, each filled up with zeros to a multiple of eight:
 *     plain header       as it was
 *     dictionary         for zstd; empty in a small segment
 *     frames             records whose terms are cut out (the index has them all, and they stand in
 *                        ascending order, so they can be put back), about 16 KiB of them, zstd;
 *                        one that would not get smaller is kept as it is
 *     frame directory    32 bytes for each: offset in the section (4), packed length (4), unpacked
 *                        length (4), CRC32C of the packed bytes (4), position of the first record
 *                        (8), number of the first row (4), offset in the plain segment / 8 (4)
 *     labels, filter, terms, term directory, row lists    (seal_index.c) */
#include "log/log_priv.h"
#include "base/system.h"

#include <errno.h>
#include <time.h>
#include <zdict.h>
#include <zstd.h>

enum {
    SINK_BUFFER = 1024 * 1024,
    LEVEL = 1, /* with a dictionary no larger than 3 makes it, and faster */
    DICTIONARY_MAX = 32 * 1024,
    DICTIONARY_FROM = 1024 * 1024, /* a smaller segment has none */
    SAMPLES_MAX = 1024 * 1024,     /* bytes to train from */
    SAMPLE_MAX = 8 * 1024,
    RETRY_S = 1,
};

/* -- the sink ------------------------------------------------------------------------- */

static bool
sink_flush(struct sink *sink, struct err *err)
{
    size_t len = sink->buffer.len;
    if (len == 0)
        return true;
    if (!sink->disk->write(sink->disk->self, sink->file, sink->at, sink->buffer.ptr, len, err))
        return false;
    sink->at += len;
    buffer_clear(&sink->buffer);
    return true;
}

bool
sink_add(struct sink *sink, const void *bytes, size_t len, struct err *err)
{
    struct section *section = &sink->sealed->sections[sink->section];
    section->crc = crc32c(section->crc, bytes, len);
    section->len += len;
    const char *from = bytes;
    while (len > 0) {
        size_t part = SINK_BUFFER - sink->buffer.len;
        if (part > len)
            part = len;
        buffer_add_bytes(&sink->buffer, from, part);
        from += part;
        len -= part;
        if (sink->buffer.len == SINK_BUFFER && !sink_flush(sink, err))
            return false;
    }
    return true;
}

static bool
fill_up(struct sink *sink, struct err *err)
{
    if (sink->section < 0)
        return true;
    uint64_t len = sink->sealed->sections[sink->section].len;
    return sink_add(sink, (char[8]){0}, (size_t)(align8(len) - len), err);
}

bool
sink_begin(struct sink *sink, enum section_name section, struct err *err)
{
    if (!fill_up(sink, err))
        return false;
    sink->section = (int)section;
    sink->sealed->sections[section] = (struct section){.offset = sink->at + sink->buffer.len};
    return true;
}

bool
sink_end(struct sink *sink, struct err *err)
{
    return fill_up(sink, err) && sink_flush(sink, err);
}

/* -- the dictionary ---------------------------------------------------------------------- */

struct seal {
    struct log *log;
    struct segment *segment;
    struct sealed sealed;
    struct sink sink;
    struct buffer records, packed, directory; /* of one frame; packed; of all frames */
    struct frame frame;                       /* the one being filled */
    uint32_t rows;
    ZSTD_CCtx *packer;
    ZSTD_CDict *dictionary;
};

static void
cut_terms(struct buffer *out, const struct record_view *view)
{
    size_t terms = 8 * view->term_count;
    buffer_add_bytes(out, view->bytes, RECORD_HEAD);
    buffer_add_bytes(out, view->bytes + RECORD_HEAD + terms, view->size - RECORD_HEAD - terms);
}

/* Rows from all over the segment, as they will stand in frames. */
static bool
take_samples(struct seal *seal, struct buffer *samples, size_t *sizes, size_t *count_out,
             struct err *err)
{
    const struct segment *segment = seal->segment;
    uint32_t rows = memory_index_rows(segment->memory);
    uint64_t step = segment->end / SAMPLES_MAX + 1;
    unsigned char *bytes = base_alloc(SAMPLE_MAX, 1);
    bool ok = true;
    size_t count = 0;
    for (uint64_t i = 0; ok && i < rows; i += step) {
        struct memory_row row = memory_index_row(segment->memory, (uint32_t)i);
        size_t size = (size_t)(row.size_kind >> 8) * 8, before = samples->len;
        if (size > SAMPLE_MAX)
            continue;
        if (samples->len + size > samples->limit)
            break;
        struct record_view view;
        ok = segment->disk->read(segment->disk->self, segment->file, (uint64_t)row.offset8 * 8,
                                 bytes, size, err);
        if (!ok || record_head(bytes, &view) != NULL || view.size != size)
            continue;
        cut_terms(samples, &view);
        sizes[count++] = samples->len - before;
    }
    base_free(bytes);
    *count_out = count;
    return ok;
}

static bool
write_dictionary(struct seal *seal, struct err *err)
{
    if (!sink_begin(&seal->sink, SECTION_DICTIONARY, err))
        return false;
    if (seal->segment->end < DICTIONARY_FROM)
        return true;
    struct buffer samples;
    buffer_init(&samples, SAMPLES_MAX);
    size_t *sizes = base_alloc(SAMPLES_MAX / RECORD_HEAD, sizeof *sizes), count;
    size_t room = DICTIONARY_MAX;
    char *dictionary = base_alloc(DICTIONARY_MAX + 8, 1);
    bool ok = take_samples(seal, &samples, sizes, &count, err);
    if (ok && count > 0) {
        if (room > samples.len / 16)
            room = samples.len / 16;
        size_t len = ZDICT_trainFromBuffer(dictionary, room, samples.ptr, sizes, (unsigned)count);
        /* Rows that have nothing in common give none, and need none. */
        if (!ZDICT_isError(len)) {
            len = align8(len);
            seal->dictionary = ZSTD_createCDict(dictionary, len, LEVEL);
            must(seal->dictionary != NULL);
            ok = sink_add(&seal->sink, dictionary, len, err);
        }
    }
    base_free(dictionary);
    base_free(sizes);
    buffer_fini(&samples);
    return ok;
}

/* -- frames --------------------------------------------------------------------------------- */

static bool
end_frame(struct seal *seal, struct err *err)
{
    struct frame *frame = &seal->frame;
    if (seal->records.len == 0)
        return true;
    frame->unpacked = (uint32_t)seal->records.len;
    size_t room = ZSTD_compressBound(seal->records.len);
    buffer_clear(&seal->packed);
    char *packed = buffer_reserve(&seal->packed, room);
    must(packed != NULL);
    size_t len = ZSTD_compress2(seal->packer, packed, room, seal->records.ptr, seal->records.len);
    must(!ZSTD_isError(len));
    if (len >= seal->records.len) {
        packed = seal->records.ptr;
        len = seal->records.len;
    }
    frame->packed = (uint32_t)len;
    frame->crc = crc32c(0, packed, len);
    frame->offset = seal->sealed.sections[SECTION_FRAMES].len;
    unsigned char entry[DIRECTORY_ENTRY];
    frame_encode(entry, frame);
    buffer_add_bytes(&seal->directory, entry, sizeof entry);
    seal->sealed.frames++;
    buffer_clear(&seal->records);
    return sink_add(&seal->sink, packed, len, err);
}

static bool
add_record(struct seal *seal, const struct record_view *view, uint64_t offset, struct err *err)
{
    size_t size = view->size - 8 * view->term_count;
    if (seal->records.len + size > FRAME_SIZE && !end_frame(seal, err))
        return false;
    if (seal->records.len == 0)
        seal->frame = (struct frame){
            .first_at = view->at,
            .first_row = seal->rows,
            .plain_offset8 = (uint32_t)(offset / 8),
        };
    cut_terms(&seal->records, view);
    if (view->kind <= KIND_ROW_MAX)
        seal->rows++;
    else if (view->kind == LOG_KIND_CLOSE)
        seal->sealed.commits++;
    return true;
}

/* The records are checked once more on their way: what is damaged must not lose its original. */
static bool
write_frames(struct seal *seal, struct err *err)
{
    const struct segment *segment = seal->segment;
    struct walk walk;
    struct chain chain;
    walk_init(&walk, segment->disk, segment->file, segment->end);
    chain_init(&chain, &segment->header);
    walk.at = segment->header.size;
    bool ok = sink_begin(&seal->sink, SECTION_FRAMES, err);
    while (ok && walk.at < walk.limit) {
        struct record_view view;
        const char *why;
        ok = walk_record(&walk, &view, &why, err);
        if (ok && why == NULL)
            why = chain_add(&chain, &view, walk.at);
        if (ok && why != NULL)
            ok = err_set(err, ERR_CORRUPT, "offset %llu: %s", (unsigned long long)walk.at, why);
        if (ok && atomic_load(&seal->log->stopping))
            ok = err_set(err, ERR_IO, "the log is being closed");
        if (!ok)
            break;
        ok = add_record(seal, &view, walk.at, err);
        walk.at += view.size;
    }
    if (ok && (!tail_equal(&chain.tail, &segment->tail) ||
               seal->rows != memory_index_rows(segment->memory)))
        ok = err_set(err, ERR_CORRUPT, "offset %llu: this is not what was written",
                     (unsigned long long)segment->end);
    chain_fini(&chain);
    walk_fini(&walk);
    return ok && end_frame(seal, err) && sink_begin(&seal->sink, SECTION_DIRECTORY, err) &&
           sink_add(&seal->sink, seal->directory.ptr, seal->directory.len, err);
}

/* -- all of it -------------------------------------------------------------------------------- */

static bool
copy_header(struct seal *seal, struct err *err)
{
    size_t size = seal->segment->header.size;
    const struct log_disk *disk = seal->segment->disk;
    char *bytes = base_alloc(size, 1);
    bool ok = disk->read(disk->self, seal->segment->file, 0, bytes, size, err) &&
              sink_begin(&seal->sink, SECTION_HEADER, err) &&
              sink_add(&seal->sink, bytes, size, err);
    base_free(bytes);
    return ok;
}

static bool
write_all(struct seal *seal, struct err *err)
{
    ZSTD_CCtx_setParameter(seal->packer, ZSTD_c_compressionLevel, LEVEL);
    ZSTD_CCtx_setParameter(seal->packer, ZSTD_c_contentSizeFlag, 0);
    ZSTD_CCtx_setParameter(seal->packer, ZSTD_c_dictIDFlag, 0);
    if (!copy_header(seal, err) || !write_dictionary(seal, err))
        return false;
    must(!ZSTD_isError(ZSTD_CCtx_refCDict(seal->packer, seal->dictionary)));
    if (!write_frames(seal, err) || !seal_index(&seal->sink, seal->segment->memory, err) ||
        !sink_end(&seal->sink, err))
        return false;

    unsigned char head[SEALED_HEAD];
    const struct log_disk *disk = seal->sink.disk;
    seal->sealed.rows = seal->rows;
    sealed_head_encode(head, &seal->sealed);
    return disk->write(disk->self, seal->sink.file, 0, head, sizeof head, err) &&
           disk->sync(disk->self, seal->sink.file, err) &&
           disk->rename(disk->self, "seal.tmp", seal->segment->name, err);
}

static bool
seal_segment(struct log *log, struct segment *segment, struct err *err)
{
    const struct log_disk *disk = &log->disk;
    struct log_file *file;
    if (!disk->open(disk->self, "seal.tmp", true, &file, err))
        return false;
    struct seal seal = {
        .log = log,
        .segment = segment,
        .sealed = {.seed = log->seed, .first = segment->header.first, .tail = segment->tail},
        .sink = {.disk = disk, .file = file, .at = SEALED_HEAD, .section = -1},
        .packer = ZSTD_createCCtx(),
    };
    must(seal.packer != NULL);
    seal.sink.sealed = &seal.sealed;
    buffer_init(&seal.sink.buffer, SINK_BUFFER);
    buffer_init(&seal.records, FRAME_SIZE + RECORD_MAX);
    buffer_init(&seal.packed, ZSTD_compressBound(FRAME_SIZE + RECORD_MAX));
    buffer_init(&seal.directory, UINT32_MAX);
    struct segment *sealed;
    bool ok = write_all(&seal, err) && sealed_open(log, file, &sealed, NULL, err);
    ZSTD_freeCCtx(seal.packer);
    ZSTD_freeCDict(seal.dictionary);
    buffer_fini(&seal.sink.buffer);
    buffer_fini(&seal.records);
    buffer_fini(&seal.packed);
    buffer_fini(&seal.directory);
    if (ok)
        segments_change(log, segment, sealed);
    else
        disk->close(disk->self, file);
    return ok;
}

/* -- the sealer's thread ---------- */

static struct segment *
oldest_waiting(const struct log *log)
{
    for (size_t i = 0; log->segments != NULL && i < log->segments->count; i++)
        if (log->segments->items[i]->waiting)
            return log->segments->items[i];
    return NULL;
}

/* True: there is something to do. A seal that failed is tried again after a while. */
static bool
wait_for_work(struct log *log)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += RETRY_S;
    while (!log->ending && !log->wants_next && log->zeros_to == 0 && !log->kicked) {
        if (log->seal_err.code == ERR_NONE && log->sealing_count > 0)
            break;
        if (log->sealing_count == 0)
            pthread_cond_wait(&log->to_sealer, &log->mutex);
        else if (pthread_cond_timedwait(&log->to_sealer, &log->mutex, &until) == ETIMEDOUT)
            break;
    }
    return !log->ending;
}

static void
seal_oldest(struct log *log, struct segment *segment)
{
    struct err err = {0};
    bool ok = seal_segment(log, segment, &err);
    pthread_mutex_lock(&log->mutex);
    bool news = !ok && log->seal_err.code == ERR_NONE && !log->ending;
    if (ok) {
        log->sealing_count--;
        log->seal_err = (struct err){0};
    } else {
        err_prefix(&err, "%s cannot be sealed", segment->name);
        log->seal_err = err;
        log->seal_tries++;
    }
    pthread_cond_broadcast(&log->sealed);
    pthread_mutex_unlock(&log->mutex);
    if (news)
        diag_warn("log: %s", err.text);
    segment_unref(segment);
}

void *
sealer_main(void *self)
{
    struct log *log = self;
    for (;;) {
        pthread_mutex_lock(&log->mutex);
        bool more = wait_for_work(log);
        bool wants_next = log->wants_next;
        uint64_t zeros_to = log->zeros_to;
        log->wants_next = log->kicked = false;
        log->zeros_to = 0;
        struct segment *segment = oldest_waiting(log);
        if (segment != NULL)
            atomic_fetch_add(&segment->refs, 1);
        pthread_mutex_unlock(&log->mutex);
        if (!more) {
            segment_unref(segment);
            return NULL;
        }
        struct err ignored; /* a full disk is said when the segment is needed */
        if (wants_next)
            (void)!prepare_next(log, log->segment_bytes + CLOSE_SIZE + 4096, &ignored);
        fill_next(log, zeros_to);
        if (segment != NULL)
            seal_oldest(log, segment);
    }
}

bool
log_settle(struct log *log, struct err *err)
{
    pthread_mutex_lock(&log->mutex);
    uint64_t tries = log->seal_tries;
    log->kicked = true;
    pthread_cond_broadcast(&log->to_sealer);
    while (log->sealing_count > 0 && log->seal_tries == tries)
        pthread_cond_wait(&log->sealed, &log->mutex);
    bool ok = log->sealing_count == 0;
    if (!ok)
        err_set(err, ERR_IO, "log: %.200s", log->seal_err.text);
    pthread_mutex_unlock(&log->mutex);
    return ok;
}
