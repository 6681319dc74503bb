/* base - must, str, err and the process-lifetime heap. */
#include "base/base.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#undef err_set /* here stand the functions */
#undef err_prefix

void
must_fail(const char *cond, const char *file, int line)
{
    fprintf(stderr, "%s:%d: must: %s\n", file, line, cond);
    abort();
}

int
str_compare(struct str a, struct str b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common == 0 ? 0 : memcmp(a.ptr, b.ptr, common);
    if (order != 0)
        return order;
    return a.len == b.len ? 0 : (a.len < b.len ? -1 : 1);
}

bool
str_starts(struct str text, struct str prefix)
{
    return text.len >= prefix.len && str_equal((struct str){text.ptr, prefix.len}, prefix);
}

struct str
str_from(const char *text)
{
    return (struct str){text, text == NULL ? 0 : strlen(text)};
}

struct str
str_split(struct str *rest, char separator)
{
    struct str whole = *rest;
    const char *at = whole.len == 0 ? NULL : memchr(whole.ptr, separator, whole.len);
    if (at == NULL) {
        *rest = (struct str){0};
        return whole;
    }
    size_t len = (size_t)(at - whole.ptr);
    *rest = (struct str){at + 1, whole.len - len - 1};
    return (struct str){whole.ptr, len};
}

bool
str_to_int(struct str text, int64_t *number_out)
{
    bool negative = text.len > 0 && text.ptr[0] == '-';
    size_t first = negative ? 1 : 0;
    if (text.len == first || text.len - first > 19)
        return false;

    /* Nineteen digits always fit 64 bits without a sign. */
    uint64_t number = 0;
    for (size_t i = first; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        number = number * 10 + (uint64_t)(text.ptr[i] - '0');
    }
    if (number > (uint64_t)INT64_MAX + (negative ? 1 : 0))
        return false;
    *number_out = negative ? (int64_t)(0 - number) : (int64_t)number;
    return true;
}

bool
err_set(struct err *err, enum err_code code, const char *fmt, ...)
{
    must(code != ERR_NONE);

    va_list args;
    va_start(args, fmt);
    vsnprintf(err->text, sizeof err->text, fmt, args);
    va_end(args);
    err->code = code;
    return false;
}

/* Puts the caller's context in front: "read: EOF" becomes "log: read: EOF". */
bool
err_prefix(struct err *err, const char *fmt, ...)
{
    must(err->code != ERR_NONE);

    char tail[sizeof err->text];
    memcpy(tail, err->text, sizeof tail);

    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(err->text, sizeof err->text, fmt, args);
    va_end(args);
    int room = (int)sizeof err->text - len;
    if (len >= 0 && room > 3)
        snprintf(err->text + len, (size_t)room, ": %.*s", room - 3, tail);
    return false;
}

void *
base_alloc(size_t count, size_t size)
{
    /* calloc may give NULL for nothing, and callers are promised that it never is. */
    void *block = calloc(count == 0 ? 1 : count, size == 0 ? 1 : size);
    must(block != NULL);
    return block;
}

void *
base_realloc(void *block, size_t size)
{
    void *moved = realloc(block, size == 0 ? 1 : size);
    must(moved != NULL);
    return moved;
}

void
base_free(void *block)
{
    free(block);
}

void
base_trim(void)
{
    (void)malloc_trim(0);
}

struct str
base_copy(struct str text)
{
    if (text.ptr == NULL)
        return text;
    char *copy = base_alloc(text.len, 1);
    memcpy(copy, text.ptr, text.len);
    return (struct str){copy, text.len};
}
