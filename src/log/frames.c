/* frames - the unpacked pieces of sealed segments, in a cache that gives up the least recently used
 * first. It is bounded by what they weigh; a piece that somebody holds stays until it is let go, in
 * or out of the cache. */
#include "log/log_priv.h"

#include <zstd.h>

enum { SLOTS = 4096, UNPACKERS_MAX = 8 };

struct cache {
    pthread_mutex_t mutex;
    uint64_t bytes, bytes_max;
    struct block *slots[SLOTS];
    struct block ends; /* newer: the least recent; older: the most recent */
    ZSTD_DCtx *unpackers[UNPACKERS_MAX];
    size_t unpacker_count;
};

struct cache *
cache_new(uint64_t bytes_max)
{
    struct cache *cache = base_alloc(1, sizeof *cache);
    must(pthread_mutex_init(&cache->mutex, NULL) == 0);
    cache->bytes_max = bytes_max;
    cache->ends.newer = cache->ends.older = &cache->ends;
    return cache;
}

struct block *
block_new(size_t bytes, size_t offsets)
{
    size_t size = sizeof(struct block) + offsets * sizeof(uint32_t) + bytes;
    struct block *block = base_alloc(1, size);
    block->size = size;
    block->refs = 1;
    block->count = (uint32_t)offsets;
    block->len = (uint32_t)bytes;
    block->offsets = (uint32_t *)(block + 1);
    block->bytes = (unsigned char *)(block->offsets + offsets);
    return block;
}

static void
block_free(struct block *block)
{
    ZSTD_freeDDict(block->dictionary);
    base_free(block);
}

static struct block **
slot_of(struct cache *cache, uint64_t segment_id, int64_t number)
{
    uint64_t mixed = (segment_id * 0x9E3779B97F4A7C15u) ^ ((uint64_t)number * 0xC2B2AE3D27D4EB4Fu);
    return &cache->slots[(mixed >> 40) % SLOTS];
}

static void
make_newest(struct cache *cache, struct block *block)
{
    block->older = cache->ends.older;
    block->newer = &cache->ends;
    block->older->newer = block->newer->older = block;
}

static void
leave_order(struct block *block)
{
    block->older->newer = block->newer;
    block->newer->older = block->older;
}

/* Out of the table; freed unless held, and then by the last holder. */
static void
drop(struct cache *cache, struct block *block)
{
    struct block **at = slot_of(cache, block->segment_id, block->number);
    while (*at != block)
        at = &(*at)->chain;
    *at = block->chain;
    leave_order(block);
    cache->bytes -= block->size;
    if (--block->refs == 0)
        block_free(block);
}

void
cache_free(struct cache *cache)
{
    if (cache == NULL)
        return;
    while (cache->ends.newer != &cache->ends) {
        must(cache->ends.newer->refs == 1);
        drop(cache, cache->ends.newer);
    }
    for (size_t i = 0; i < cache->unpacker_count; i++)
        ZSTD_freeDCtx(cache->unpackers[i]);
    must(pthread_mutex_destroy(&cache->mutex) == 0);
    base_free(cache);
}

static struct block *
find(struct cache *cache, uint64_t segment_id, int64_t number)
{
    struct block *block = *slot_of(cache, segment_id, number);
    while (block != NULL && (block->segment_id != segment_id || block->number != number))
        block = block->chain;
    if (block == NULL)
        return NULL;
    block->refs++;
    leave_order(block);
    make_newest(cache, block);
    return block;
}

struct block *
cache_find(struct cache *cache, uint64_t segment_id, int64_t number)
{
    pthread_mutex_lock(&cache->mutex);
    struct block *block = find(cache, segment_id, number);
    pthread_mutex_unlock(&cache->mutex);
    return block;
}

struct block *
cache_put(struct cache *cache, struct block *block)
{
    pthread_mutex_lock(&cache->mutex);
    struct block *there = find(cache, block->segment_id, block->number);
    if (there != NULL) {
        block_free(block);
        block = there;
    } else {
        struct block **slot = slot_of(cache, block->segment_id, block->number);
        block->chain = *slot;
        *slot = block;
        block->refs++; /* the cache's own */
        make_newest(cache, block);
        cache->bytes += block->size;
        while (cache->bytes > cache->bytes_max && cache->ends.newer != block)
            drop(cache, cache->ends.newer);
    }
    pthread_mutex_unlock(&cache->mutex);
    return block;
}

void
cache_release(struct cache *cache, struct block *block)
{
    if (block == NULL)
        return;
    pthread_mutex_lock(&cache->mutex);
    bool last = --block->refs == 0;
    pthread_mutex_unlock(&cache->mutex);
    if (last)
        block_free(block);
}

void *
cache_take_unpacker(struct cache *cache)
{
    ZSTD_DCtx *unpacker = NULL;
    pthread_mutex_lock(&cache->mutex);
    if (cache->unpacker_count > 0)
        unpacker = cache->unpackers[--cache->unpacker_count];
    pthread_mutex_unlock(&cache->mutex);
    if (unpacker == NULL)
        unpacker = ZSTD_createDCtx();
    must(unpacker != NULL);
    return unpacker;
}

void
cache_give_unpacker(struct cache *cache, void *unpacker)
{
    pthread_mutex_lock(&cache->mutex);
    if (cache->unpacker_count < UNPACKERS_MAX) {
        cache->unpackers[cache->unpacker_count++] = unpacker;
        unpacker = NULL;
    }
    pthread_mutex_unlock(&cache->mutex);
    ZSTD_freeDCtx(unpacker);
}

uint64_t
cache_bytes(struct cache *cache)
{
    pthread_mutex_lock(&cache->mutex);
    uint64_t bytes = cache->bytes;
    pthread_mutex_unlock(&cache->mutex);
    return bytes;
}

/* -- frames ------------------------------------------------------------------------ */

void
frame_encode(unsigned char out[static DIRECTORY_ENTRY], const struct frame *frame)
{
    put32(out, (uint32_t)frame->offset);
    put32(out + 4, frame->packed);
    put32(out + 8, frame->unpacked);
    put32(out + 12, frame->crc);
    put64(out + 16, frame->first_at);
    put32(out + 24, frame->first_row);
    put32(out + 28, frame->plain_offset8);
}

struct frame
frame_parse(const unsigned char bytes[static DIRECTORY_ENTRY])
{
    return (struct frame){
        .offset = get32(bytes),
        .packed = get32(bytes + 4),
        .unpacked = get32(bytes + 8),
        .crc = get32(bytes + 12),
        .first_at = get64(bytes + 16),
        .first_row = get32(bytes + 24),
        .plain_offset8 = get32(bytes + 28),
    };
}

bool
sealed_directory(struct log *log, const struct segment *segment, struct block **block_out,
                 struct err *err)
{
    struct block *block = cache_find(log->cache, segment->id, BLOCK_DIRECTORY);
    if (block == NULL) {
        const struct sealed *sealed = segment->sealed;
        const struct section *section = &sealed->sections[SECTION_DIRECTORY];
        block = block_new((size_t)section->len, 0);
        block->segment_id = segment->id;
        block->number = BLOCK_DIRECTORY;
        bool ok = sealed_section(segment, SECTION_DIRECTORY, block->bytes, err);
        uint64_t frames_len = sealed->sections[SECTION_FRAMES].len;
        struct frame before = {0};
        for (uint32_t i = 0; ok && i < sealed->frames; i++) {
            struct frame frame = frame_parse(block->bytes + (size_t)i * DIRECTORY_ENTRY);
            if (frame.offset + frame.packed > frames_len || frame.packed > frame.unpacked ||
                frame.unpacked > FRAME_SIZE + RECORD_MAX || frame.first_row > sealed->rows ||
                frame.first_row < before.first_row || (i == 0 && frame.first_row != 0))
                ok = sealed_damaged(segment, section->offset + (uint64_t)i * DIRECTORY_ENTRY,
                                    "the frame's place cannot be", err);
            before = frame;
        }
        if (!ok) {
            base_free(block);
            return false;
        }
        block = cache_put(log->cache, block);
    }
    *block_out = block;
    return true;
}

/* The block's dictionary is NULL when the segment has none. */
static bool
take_dictionary(struct log *log, const struct segment *segment, struct block **block_out,
                struct err *err)
{
    struct block *block = cache_find(log->cache, segment->id, BLOCK_DICTIONARY);
    if (block == NULL) {
        size_t len = (size_t)segment->sealed->sections[SECTION_DICTIONARY].len;
        block = block_new(len, 0);
        block->segment_id = segment->id;
        block->number = BLOCK_DICTIONARY;
        if (!sealed_section(segment, SECTION_DICTIONARY, block->bytes, err)) {
            base_free(block);
            return false;
        }
        if (len > 0) {
            block->dictionary = ZSTD_createDDict(block->bytes, len);
            must(block->dictionary != NULL);
            block->size += ZSTD_sizeof_DDict(block->dictionary);
        }
        block = cache_put(log->cache, block);
    }
    *block_out = block;
    return true;
}

static bool
unpack(struct log *log, const struct segment *segment, const struct frame *frame, unsigned char *to,
       struct err *err)
{
    uint64_t offset = segment->sealed->sections[SECTION_FRAMES].offset + frame->offset;
    if (frame->packed == frame->unpacked) {
        if (!sealed_read(segment, offset, to, frame->packed, err))
            return false;
        if (!crc_is(frame->crc, crc32c(0, to, frame->packed)))
            return sealed_damaged(segment, offset, "the frame does not match its checksum", err);
        return true;
    }
    struct block *dictionary;
    if (!take_dictionary(log, segment, &dictionary, err))
        return false;
    unsigned char small[FRAME_SIZE];
    unsigned char *packed = frame->packed <= sizeof small ? small : base_alloc(frame->packed, 1);
    bool ok = sealed_read(segment, offset, packed, frame->packed, err);
    if (ok && !crc_is(frame->crc, crc32c(0, packed, frame->packed)))
        ok = sealed_damaged(segment, offset, "the frame does not match its checksum", err);
    if (ok) {
        ZSTD_DCtx *unpacker = cache_take_unpacker(log->cache);
        size_t len =
            dictionary->dictionary != NULL
                ? ZSTD_decompress_usingDDict(unpacker, to, frame->unpacked, packed, frame->packed,
                                             dictionary->dictionary)
                : ZSTD_decompressDCtx(unpacker, to, frame->unpacked, packed, frame->packed);
        cache_give_unpacker(log->cache, unpacker);
        if (len != frame->unpacked)
            ok = sealed_damaged(segment, offset, "the frame cannot be unpacked", err);
    }
    if (packed != small)
        base_free(packed);
    cache_release(log->cache, dictionary);
    return ok;
}

/* Fills in where each row begins. False when the records do not fill the frame exactly. */
static bool
find_rows(struct block *block, uint32_t rows)
{
    uint32_t at = 0, found = 0;
    struct record_view view;
    while (at < block->len) {
        if (block->len - at < RECORD_HEAD || record_head_cut(block->bytes + at, &view) != NULL ||
            view.size > block->len - at)
            return false;
        if (view.kind <= KIND_ROW_MAX) {
            if (found == rows)
                return false;
            block->offsets[found++] = at;
        }
        at += (uint32_t)view.size;
    }
    return found == rows;
}

bool
sealed_frame(struct log *log, const struct segment *segment, int64_t number, bool keep,
             struct block **block_out, struct err *err)
{
    struct block *block = cache_find(log->cache, segment->id, number);
    if (block != NULL) {
        *block_out = block;
        return true;
    }
    struct block *directory;
    if (!sealed_directory(log, segment, &directory, err))
        return false;
    struct frame frame = frame_parse(directory->bytes + number * DIRECTORY_ENTRY);
    uint32_t rows_end = (uint32_t)segment->sealed->rows;
    if (number + 1 < segment->sealed->frames)
        rows_end = frame_parse(directory->bytes + (number + 1) * DIRECTORY_ENTRY).first_row;
    cache_release(log->cache, directory);

    uint32_t rows = rows_end - frame.first_row;
    if (rows > frame.unpacked / RECORD_HEAD)
        return sealed_damaged(segment, segment->sealed->sections[SECTION_DIRECTORY].offset,
                              "a frame cannot have so many rows", err);
    block = block_new(frame.unpacked, rows);
    block->segment_id = segment->id;
    block->number = number;
    bool ok = unpack(log, segment, &frame, block->bytes, err);
    if (ok && !find_rows(block, rows))
        ok =
            sealed_damaged(segment, segment->sealed->sections[SECTION_FRAMES].offset + frame.offset,
                           "the frame's rows are not those of the directory", err);
    if (!ok) {
        base_free(block);
        return false;
    }
    *block_out = keep ? cache_put(log->cache, block) : block;
    return true;
}
