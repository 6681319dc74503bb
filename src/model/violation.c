/* violation - collects what is wrong with something that was sent. */
#include <stdarg.h>
#include <stdio.h>

#include "codec/text.h"
#include "model/violation.h"

/* Longer ones are cut: a name that was sent may be a megabyte. */
#define MESSAGE_MAX 400

bool
violations_add(struct violations *violations, struct str field, const char *fmt, ...)
{
    violations->total++;
    if (violations->count == VIOLATIONS_MAX)
        return false;
    if (violations->items == NULL)
        violations->items = arena_array(violations->arena, VIOLATIONS_MAX, struct violation);

    char text[MESSAGE_MAX];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    must(len >= 0);
    struct str message = {text, (size_t)len < sizeof text ? (size_t)len : sizeof text - 1};
    message.len = utf8_valid_len(message);

    struct violation found;
    if (violations->items == NULL || !arena_copy(violations->arena, field, &found.field) ||
        !arena_copy(violations->arena, message, &found.message))
        return false; /* the arena remembers that it ran out */
    violations->items[violations->count++] = found;
    return false;
}

bool
violations_must_be(struct violations *violations, const char *field, const char *must_be)
{
    return violations_add(violations, str_from(field), "The %s field must be %s.", field, must_be);
}
