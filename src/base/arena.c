/* arena - pieces of memory that are given back all at once.
 *
 * A chunk is filled from its front; when one is full, the next is twice its
 * size, as far as the limit allows. In ASan builds everything that is not a
 * piece is poisoned, and a gap follows each piece, so that running over its end
 * is seen although the memory behind it is ours. */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define POISON(at, len)   ASAN_POISON_MEMORY_REGION((at), (len))
#define UNPOISON(at, len) ASAN_UNPOISON_MEMORY_REGION((at), (len))
enum { GAP = 16, ALIGN_MIN = 8 }; /* ASan can tell apart the ends, not the beginnings, of 8 bytes */
#else
#define POISON(at, len)   ((void)(at), (void)(len))
#define UNPOISON(at, len) ((void)(at), (void)(len))
enum { GAP = 0, ALIGN_MIN = 1 };
#endif

enum { CHUNK_ALIGN = 16, CHUNK_MAX = 4 << 20 };

struct arena_chunk {
    struct arena_chunk *next;
    size_t size, used;
    _Alignas(CHUNK_ALIGN) char bytes[];
};

void
arena_init(struct arena *arena, size_t first_size, size_t limit)
{
    *arena = (struct arena){.first_size = first_size, .limit = limit};
}

static void
free_chunks(struct arena_chunk *chunk)
{
    while (chunk != NULL) {
        struct arena_chunk *next = chunk->next;
        UNPOISON(chunk->bytes, chunk->size);
        free(chunk);
        chunk = next;
    }
}

void
arena_reset(struct arena *arena)
{
    arena->ran_out = false;
    struct arena_chunk *first = arena->first;
    if (first == NULL)
        return;
    free_chunks(first->next);
    POISON(first->bytes, first->size);
    first->next = NULL;
    first->used = 0;
    arena->current = first;
    arena->total = first->size;
}

void
arena_fini(struct arena *arena)
{
    free_chunks(arena->first);
    *arena = (struct arena){0};
}

static size_t
chunk_size(const struct arena *arena, size_t needed, size_t room)
{
    size_t size = arena->first_size;
    if (arena->current != NULL)
        size = arena->current->size < CHUNK_MAX / 2 ? arena->current->size * 2 : CHUNK_MAX;
    if (size < needed)
        size = needed;
    return size < room ? size : room;
}

static bool
add_chunk(struct arena *arena, size_t needed)
{
    size_t room = arena->limit - arena->total;
    if (needed > room) {
        arena->ran_out = true;
        return false;
    }
    size_t size = chunk_size(arena, needed, room);
    struct arena_chunk *chunk = malloc(sizeof *chunk + size);
    must(chunk != NULL);
    *chunk = (struct arena_chunk){.size = size};
    POISON(chunk->bytes, size);
    if (arena->current == NULL)
        arena->first = chunk;
    else
        arena->current->next = chunk;
    arena->current = chunk;
    arena->total += size;
    return true;
}

/* As arena_alloc, not zeroed. */
static void *
take(struct arena *arena, size_t len, size_t align)
{
    if (align < ALIGN_MIN)
        align = ALIGN_MIN;
    struct arena_chunk *chunk = arena->current;
    size_t start = chunk == NULL ? 0 : (chunk->used + align - 1) & ~(align - 1);
    if (chunk == NULL || start > chunk->size || len + GAP > chunk->size - start) {
        if (!add_chunk(arena, len + GAP))
            return NULL;
        chunk = arena->current;
        start = 0;
    }
    chunk->used = start + len + GAP;
    UNPOISON(chunk->bytes + start, len);
    return chunk->bytes + start;
}

void *
arena_alloc(struct arena *arena, size_t count, size_t size, size_t align)
{
    must(size > 0 && align > 0 && align <= CHUNK_ALIGN && (align & (align - 1)) == 0);

    if (count > arena->limit / size) {
        arena->ran_out = true;
        return NULL;
    }
    void *piece = take(arena, count * size, align);
    return piece == NULL ? NULL : memset(piece, 0, count * size);
}

bool
arena_copy(struct arena *arena, struct str text, struct str *copy_out)
{
    if (text.ptr == NULL) {
        *copy_out = text;
        return true;
    }
    if (text.len > arena->limit) {
        arena->ran_out = true;
        return false;
    }
    char *copy = take(arena, text.len, 1);
    if (copy == NULL)
        return false;
    memcpy(copy, text.ptr, text.len);
    *copy_out = (struct str){copy, text.len};
    return true;
}
