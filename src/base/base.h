/* base - the few things every folder needs, and no word of our domain.
 *
 *   must     a condition that only a bug of ours can break; always compiled in
 *   str      a borrowed run of bytes: pointer and length, never a terminator
 *   err      why a call said no: a code for the caller, a sentence for a person
 *   arena    memory that lives as long as one request, or one batch
 *   buffer   bytes that grow, up to a limit stated when it is made
 *
 * Two rules hold for every function in the tree that can fail:
 *   1. It returns bool, takes `struct err *` last, and on false has changed
 *      nothing that the caller can see, but for filling in the err.
 *   2. Bad input and a failing disk are errors; a broken invariant is must().
 */
#ifndef BASE_H
#define BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define MUST_USE          __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#define COUNT_OF(array)   (sizeof(array) / sizeof((array)[0]))

#define must(cond) ((cond) ? (void)0 : must_fail(#cond, __FILE__, __LINE__))
__attribute__((noreturn)) void must_fail(const char *cond, const char *file, int line);

/* -- str -------------------------------------------------------------- */

/* An absent string has ptr NULL; an empty one has len 0 and a ptr. */
struct str {
    const char *ptr;
    size_t len;
};

/* clang-format off */
#define STR_INIT(literal) {(literal), sizeof(literal) - 1} /* in a static table */
#define STR(literal) ((struct str)STR_INIT(literal))       /* anywhere else */
#define STR_ARG(str) (int)(str).len, (str).ptr             /* for "%.*s" */
/* clang-format on */

/* Asked for every name of every event: inline, and most answers need not look at the bytes. */
static inline bool
str_equal(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}
int str_compare(struct str a, struct str b); /* byte by byte, as memcmp; a prefix is less */
bool str_starts(struct str text, struct str prefix);
struct str str_from(const char *text); /* of a NUL-terminated text; NULL gives an absent str */

/* Cuts `*rest` at the first `separator`: returns what stood before it and moves
 * `*rest` behind it. Without one, returns all and makes `*rest` absent. */
struct str str_split(struct str *rest, char separator);

/* A decimal number of at most 19 digits, nothing else around it. */
bool str_to_int(struct str text, int64_t *number_out) MUST_USE;

/* -- err -------------------------------------------------------------- */

/* A code exists only where some caller does something different for it. */
enum err_code {
    ERR_NONE,
    ERR_INPUT,     /* the peer sent something we refuse: answer 4xx */
    ERR_LIMIT,     /* a stated bound was reached: answer 413 or 429 */
    ERR_IO,        /* disk or network said no: may work later; answer 503 */
    ERR_CORRUPT,   /* stored bytes disagree with their hash: stop, tell */
    ERR_NOT_FOUND, /* no such thing: answer 404 */
    ERR_CONFLICT,  /* the thing is in the way of another: answer 409 */
};

struct err {
    enum err_code code;
    char text[256]; /* "log: segment 7: write at 4096: No space left" */
};

/* Both return false, so that a caller can write `return err_set(...)`. */
bool err_set(struct err *err, enum err_code code, const char *fmt, ...) PRINTF_LIKE(3, 4);
bool err_prefix(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* %m, what errno says, belongs into a sentence, but is not ISO C: this keeps -Wpedantic quiet. */
#define err_set(...)    (__extension__ err_set(__VA_ARGS__))
#define err_prefix(...) (__extension__ err_prefix(__VA_ARGS__))

/* -- heap, for the process's lifetime and for start-up ------------------- */

/* Zeroed; never NULL (running out of heap is must()). Free with base_free. */
void *base_alloc(size_t count, size_t size) MUST_USE;
void *base_realloc(void *block, size_t size) MUST_USE;
void base_free(void *block);
struct str base_copy(struct str text); /* base_free((char *)copy.ptr) */
/* Gives the system back what is free. Who allocates meanwhile may wait, a millisecond per MB that
 * is given: for after something large. */
void base_trim(void);

/* -- arena ------------------------------------------------------------ */

/* Grows by chunks up to `limit` bytes: the limit is the request's memory limit.
 * Running out is remembered, so that a parser may check once, at its end. Under
 * ASan a poisoned gap lies behind each piece. One thread at a time. */
struct arena_chunk;
struct arena {
    struct arena_chunk *first, *current;
    size_t total; /* bytes of all chunks */
    size_t first_size, limit;
    bool ran_out;
};

/* Memory is taken at the first allocation: a chunk of `first_size` bytes. */
void arena_init(struct arena *arena, size_t first_size, size_t limit);
void arena_reset(struct arena *arena); /* forgets all pieces, keeps the first chunk */
void arena_fini(struct arena *arena);

/* Zeroed memory, or NULL (and ran_out set) when the limit is reached. A count
 * of 0 gives a pointer that is not NULL. */
void *arena_alloc(struct arena *arena, size_t count, size_t size, size_t align) MUST_USE;
bool arena_copy(struct arena *arena, struct str text, struct str *copy_out) MUST_USE;

#define arena_new(arena, type) ((type *)arena_alloc((arena), 1, sizeof(type), _Alignof(type)))
#define arena_array(arena, count, type)                                                            \
    ((type *)arena_alloc((arena), (count), sizeof(type), _Alignof(type)))

/* -- buffer ----------------------------------------------------------- */

/* Appending never fails by itself: beyond `limit`, `ran_out` is set, nothing is
 * added any more, and the owner looks once at the end. */
struct buffer {
    char *ptr;
    size_t len, cap, limit;
    bool ran_out;
};

void buffer_init(struct buffer *buffer, size_t limit); /* on the heap; buffer_fini */
void buffer_fini(struct buffer *buffer);
void buffer_clear(struct buffer *buffer); /* keeps the memory */
void buffer_add(struct buffer *buffer, struct str text);
void buffer_add_bytes(struct buffer *buffer, const void *bytes, size_t len);
void buffer_printf(struct buffer *buffer, const char *fmt, ...) PRINTF_LIKE(2, 3);
char *buffer_grow(struct buffer *buffer, size_t len) MUST_USE; /* buffer_reserve's slow way */

/* Room for `len` more bytes, to be written by the caller who then adds to len; NULL: ran out.
 * These two are called for each token that is written, hence inline. */
static inline MUST_USE char *
buffer_reserve(struct buffer *buffer, size_t len)
{
    if (len < buffer->cap - buffer->len && !buffer->ran_out)
        return buffer->ptr + buffer->len;
    return buffer_grow(buffer, len);
}

static inline void
buffer_add_char(struct buffer *buffer, char c)
{
    char *at = buffer_reserve(buffer, 1);
    if (at == NULL)
        return;
    *at = c;
    buffer->len += 1;
}

struct str buffer_str(const struct buffer *buffer); /* borrowed until the next change */

#endif
