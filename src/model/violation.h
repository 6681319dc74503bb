/* violation - what is wrong with something that was sent, field by field. */
#ifndef MODEL_VIOLATION_H
#define MODEL_VIOLATION_H

#include "base/base.h"

#define VIOLATIONS_MAX 50 /* more are counted, not listed */

struct violation {
    struct str field;   /* "events[3].metadata" */
    struct str message; /* "The metadata field may hold at most 50 keys." */
};

/* Texts live in the arena. A zeroed one with `arena` set is ready. */
struct violations {
    struct arena *arena;
    struct violation *items;
    size_t count; /* of items */
    size_t total; /* found */
};

/* `field` and `message` are copied. Always returns false, so that a reader can `return` it. */
bool violations_add(struct violations *violations, struct str field, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
/* "The FIELD field must be MUST_BE." */
bool violations_must_be(struct violations *violations, const char *field, const char *must_be);

#endif
