/* globs - patterns on actions and user agents. Most have no star, or one at an end, and are a
 * comparison; only the others go through the general matcher. */
#include "detect/detect_priv.h"

#include <string.h>

static char
lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Finds the shape; false when the arena ran out. */
static bool
shape_glob(struct reading *reading, struct str text, bool nocase, struct glob *glob_out)
{
    struct str needle = text;
    bool before = needle.len > 0 && needle.ptr[0] == '*';
    if (before)
        needle = (struct str){needle.ptr + 1, needle.len - 1};
    bool after = needle.len > 0 && needle.ptr[needle.len - 1] == '*';
    if (after)
        needle.len--;
    bool inner = needle.len > 0 && memchr(needle.ptr, '*', needle.len) != NULL;
    static const enum glob_shape shapes[2][2] = {{GLOB_EXACT, GLOB_PREFIX},
                                                 {GLOB_SUFFIX, GLOB_INSIDE}};
    if (nocase) {
        char *small = reading_alloc(reading, needle.len, 1);
        if (small == NULL)
            return false;
        for (size_t i = 0; i < needle.len; i++)
            small[i] = lower(needle.ptr[i]);
        needle.ptr = small;
    }
    *glob_out = (struct glob){text, needle, inner ? GLOB_OTHER : shapes[before][after]};
    return true;
}

bool
globs_read(struct reading *reading, const struct condition *row, struct str path,
           const struct json *sent, void *out)
{
    bool nocase = row->type == CONDITION_AGENTS;
    size_t len_max = nocase ? LIMIT_STRING_BYTES : LIMIT_ID_BYTES;
    bool one = sent->type == JSON_STRING;
    size_t count = one ? 1 : sent->count;
    if (!one && (sent->type != JSON_ARRAY || (count == 0 && !nocase) || count > CONDITION_LIST_MAX))
        return reading_complain(reading, path, "must be a glob or a list of up to %d globs",
                                CONDITION_LIST_MAX);
    struct glob *items = reading_alloc(reading, count, sizeof *items);
    if (items == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        const struct json *item = one ? sent : &sent->items[i];
        if (item->type != JSON_STRING || item->text.len == 0 || item->text.len > len_max)
            return reading_complain(reading, one ? path : path_item(reading, path, i),
                                    "must be a glob of 1 to %zu bytes", len_max);
        if (!shape_glob(reading, item->text, nocase, &items[i]))
            return false;
    }
    *(struct globs *)out = (struct globs){items, count};
    return true;
}

static bool
matches(const struct glob *glob, struct str text)
{
    struct str needle = glob->needle;
    if (glob->shape == GLOB_OTHER)
        return glob_match(glob->text, text);
    if (text.len < needle.len || (glob->shape == GLOB_EXACT && text.len != needle.len))
        return false;
    switch (glob->shape) {
    case GLOB_SUFFIX:
        return str_equal((struct str){text.ptr + text.len - needle.len, needle.len}, needle);
    case GLOB_INSIDE:
        return needle.len == 0 || memmem(text.ptr, text.len, needle.ptr, needle.len) != NULL;
    case GLOB_EXACT:
    case GLOB_PREFIX:
    case GLOB_OTHER:
        break;
    }
    return str_starts(text, needle);
}

bool
globs_match(const struct globs *globs, struct str text)
{
    for (size_t i = 0; i < globs->count; i++)
        if (matches(&globs->items[i], text))
            return true;
    return false;
}

/* Which pairs of bytes stand side by side in a text, by a bit for about each. */
enum { PAIR_BITS = 1024 };
struct pairs {
    uint64_t bits[PAIR_BITS / 64];
};

static unsigned
pair_at(const char *at)
{
    return ((unsigned char)at[0] * 37u + (unsigned char)at[1]) % PAIR_BITS;
}

static bool
has_pair(const struct pairs *pairs, const char *at)
{
    unsigned pair = pair_at(at);
    return (pairs->bits[pair / 64] >> pair % 64 & 1) != 0;
}

/* What lies inside cannot, if its first pair or its last does not: that is all that most patterns
 * cost. */
static bool
may_match(const struct glob *glob, const struct pairs *pairs)
{
    struct str needle = glob->needle;
    return glob->shape != GLOB_INSIDE || needle.len < 2 ||
           (has_pair(pairs, needle.ptr) && has_pair(pairs, needle.ptr + needle.len - 2));
}

const struct glob *
globs_match_agent(const struct globs *globs, struct str agent)
{
    char small[LIMIT_STRING_BYTES];
    struct str text = {small, agent.len < sizeof small ? agent.len : sizeof small};
    struct pairs pairs = {{0}};
    if (globs->count == 0)
        return NULL;
    for (size_t i = 0; i < text.len; i++)
        small[i] = lower(agent.ptr[i]);
    for (size_t i = 0; i + 1 < text.len; i++) {
        unsigned pair = pair_at(small + i);
        pairs.bits[pair / 64] |= (uint64_t)1 << pair % 64;
    }
    for (size_t i = 0; i < globs->count; i++) {
        const struct glob *glob = &globs->items[i];
        if (may_match(glob, &pairs) &&
            (glob->shape == GLOB_OTHER ? glob_match_nocase(glob->text, text) : matches(glob, text)))
            return glob;
    }
    return NULL;
}
