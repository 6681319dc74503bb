/* buffer - bytes that grow by doubling, up to a stated limit. */
#include "base/base.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CAP_FIRST = 256 };

void
buffer_init(struct buffer *buffer, size_t limit)
{
    *buffer = (struct buffer){.limit = limit};
}

void
buffer_fini(struct buffer *buffer)
{
    free(buffer->ptr);
    *buffer = (struct buffer){0};
}

void
buffer_clear(struct buffer *buffer)
{
    buffer->len = 0;
    buffer->ran_out = false;
}

char *
buffer_grow(struct buffer *buffer, size_t len)
{
    if (buffer->ran_out)
        return NULL;
    if (len > buffer->cap - buffer->len) {
        if (buffer->len > buffer->limit || len > buffer->limit - buffer->len) {
            buffer->ran_out = true;
            return NULL;
        }
        size_t cap = buffer->cap < CAP_FIRST ? CAP_FIRST : buffer->cap;
        while (cap < buffer->len + len)
            cap = cap > SIZE_MAX / 2 ? SIZE_MAX : cap * 2;
        if (cap > buffer->limit)
            cap = buffer->limit;
        buffer->ptr = base_realloc(buffer->ptr, cap);
        buffer->cap = cap;
    }
    /* Nothing was ever added, nothing is wanted: still a place to point to. */
    if (buffer->ptr == NULL)
        buffer->ptr = base_realloc(NULL, 1);
    return buffer->ptr + buffer->len;
}

void
buffer_add_bytes(struct buffer *buffer, const void *bytes, size_t len)
{
    if (len == 0)
        return;
    char *at = buffer_reserve(buffer, len);
    if (at == NULL)
        return;
    memcpy(at, bytes, len);
    buffer->len += len;
}

void
buffer_add(struct buffer *buffer, struct str text)
{
    buffer_add_bytes(buffer, text.ptr, text.len);
}

void
buffer_printf(struct buffer *buffer, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    char small[512];
    int len = vsnprintf(small, sizeof small, fmt, args);
    must(len >= 0);
    if ((size_t)len < sizeof small) {
        buffer_add_bytes(buffer, small, (size_t)len);
    } else {
        char *large = base_alloc((size_t)len + 1, 1);
        vsnprintf(large, (size_t)len + 1, fmt, again);
        buffer_add_bytes(buffer, large, (size_t)len);
        base_free(large);
    }
    va_end(again);
    va_end(args);
}

struct str
buffer_str(const struct buffer *buffer)
{
    return (struct str){buffer->ptr == NULL ? "" : buffer->ptr, buffer->len};
}
