/* literals - what a regex cannot match without.
 *
 * A small reader of the regex syntax that people write for user agents. Of each part it knows
 * either all texts that the part can match (when they are few: "exact") or sets of literals of
 * which one must occur. Where it meets a construct that it does not know it gives up on the whole
 * regex, which then is tried on every text: slower, never wrong. */
#include "enrich/enrich_priv.h"

#include <string.h>

enum {
    EXACT_MAX = 24, /* texts kept as exact */
    DEPTH_MAX = 40,
    REPEAT_MAX = 4 /* copies written out for x{n} */
};

struct part {
    bool exact;
    struct literal_set texts; /* when exact; may hold the empty text */
    struct literal_set sets[LITERAL_SETS_MAX];
    size_t set_count;
};

struct reader {
    const char *at, *end;
    struct arena *arena;
    unsigned depth;
    bool lost; /* met something not understood */
};

static bool read_alternatives(struct reader *reader, struct part *part_out);

/* -- sets -------------------------------------------------------------------- */

static struct literal_set
new_set(struct reader *reader, size_t room)
{
    struct literal_set set = {0, arena_array(reader->arena, room, struct str)};
    reader->lost = reader->lost || set.items == NULL;
    return set;
}

static void
add_text(struct literal_set *set, struct str text)
{
    for (size_t i = 0; i < set->count; i++)
        if (str_equal(set->items[i], text))
            return;
    set->items[set->count++] = text;
}

static struct part
exact_part(struct reader *reader, struct str text)
{
    struct part part = {.exact = true, .texts = new_set(reader, 1)};
    if (!reader->lost)
        add_text(&part.texts, text);
    return part;
}

static size_t
shortest(const struct literal_set *set)
{
    size_t len = set->count == 0 ? 0 : SIZE_MAX;
    for (size_t i = 0; i < set->count; i++)
        len = set->items[i].len < len ? set->items[i].len : len;
    return len;
}

/* A longer shortest literal first; then fewer of them. */
static bool
is_better(const struct literal_set *a, const struct literal_set *b)
{
    size_t a_len = shortest(a), b_len = shortest(b);
    return a_len != b_len ? a_len > b_len : a->count < b->count;
}

/* Keeps the best sets that there is room for. */
static void
keep_set(struct part *part, const struct literal_set *set)
{
    size_t worst = 0;
    if (shortest(set) == 0 || set->count > LITERAL_ITEMS_MAX)
        return;
    if (part->set_count < LITERAL_SETS_MAX) {
        part->sets[part->set_count++] = *set;
        return;
    }
    for (size_t i = 1; i < part->set_count; i++)
        if (is_better(&part->sets[worst], &part->sets[i]))
            worst = i;
    if (is_better(set, &part->sets[worst]))
        part->sets[worst] = *set;
}

static void
keep_sets_of(struct part *part, const struct part *other)
{
    for (size_t i = 0; i < other->set_count; i++)
        keep_set(part, &other->sets[i]);
}

/* -- joining parts ------------------------------------------------------------- */

/* All texts of `left` followed by all of `right`; false when they are too many or too long. */
static bool
cross(struct reader *reader, const struct literal_set *left, const struct literal_set *right,
      struct literal_set *product_out)
{
    if (left->count * right->count > EXACT_MAX)
        return false;
    struct literal_set product = new_set(reader, left->count * right->count);
    for (size_t i = 0; !reader->lost && i < left->count; i++) {
        for (size_t k = 0; k < right->count; k++) {
            struct str a = left->items[i], b = right->items[k];
            char *text = arena_array(reader->arena, a.len + b.len + 1, char);
            if (text == NULL || a.len + b.len > 4 * LITERAL_MAX)
                return false;
            memcpy(text, a.ptr, a.len);
            memcpy(text + a.len, b.ptr, b.len);
            add_text(&product, (struct str){text, a.len + b.len});
        }
    }
    *product_out = product;
    return !reader->lost;
}

/* `whole`, then `next`. What `whole` has as texts is what stands right before `next`; when no more
 * can be joined to it, it becomes a set. */
static void
append(struct reader *reader, struct part *whole, const struct part *next)
{
    struct literal_set product;
    if (next->exact) {
        if (cross(reader, &whole->texts, &next->texts, &product)) {
            whole->texts = product;
            return;
        }
        keep_set(whole, &whole->texts);
        whole->texts = next->texts;
        whole->exact = false;
        return;
    }
    keep_set(whole, &whole->texts);
    keep_sets_of(whole, next);
    whole->texts = exact_part(reader, STR("")).texts;
    whole->exact = false;
}

/* When its texts are not all of it, what is left of them becomes a set too. */
static void
finish(struct part *part)
{
    if (!part->exact)
        keep_set(part, &part->texts);
}

/* The one set that tells most of a part; false when it tells nothing. */
static bool
best_set(const struct part *part, struct literal_set *set_out)
{
    if (part->exact) {
        *set_out = part->texts;
        return shortest(set_out) > 0;
    }
    if (part->set_count == 0)
        return false;
    *set_out = part->sets[0];
    for (size_t i = 1; i < part->set_count; i++)
        if (is_better(&part->sets[i], set_out))
            *set_out = part->sets[i];
    return true;
}

/* `whole` or `next`. */
static void
alternate(struct reader *reader, struct part *whole, const struct part *next)
{
    struct literal_set a = whole->texts, b = next->texts;
    bool exact = whole->exact && next->exact && a.count + b.count <= LITERAL_ITEMS_MAX;
    if (!exact &&
        (!best_set(whole, &a) || !best_set(next, &b) || a.count + b.count > LITERAL_ITEMS_MAX)) {
        *whole = (struct part){.exact = false};
        return;
    }
    struct literal_set both = new_set(reader, a.count + b.count);
    for (size_t i = 0; !reader->lost && i < a.count; i++)
        add_text(&both, a.items[i]);
    for (size_t i = 0; !reader->lost && i < b.count; i++)
        add_text(&both, b.items[i]);
    *whole = (struct part){.exact = exact};
    if (exact)
        whole->texts = both;
    else
        keep_set(whole, &both);
}

/* -- reading ------------------------------------------------------------------- */

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static char
lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static struct part
one_char(struct reader *reader, char c)
{
    char *text = arena_array(reader->arena, 1, char);
    if (text == NULL) {
        reader->lost = true;
        return (struct part){.exact = false};
    }
    *text = lower(c);
    return exact_part(reader, (struct str){text, 1});
}

/* Behind a backslash, outside of a class. */
static struct part
read_escape(struct reader *reader)
{
    char c = reader->at < reader->end ? *reader->at++ : '\0';
    if (c == 'b' || c == 'B')
        return exact_part(reader, STR(""));
    if (c != '\0' && strchr("dDwWsShHvVtnrf", c) != NULL)
        return (struct part){.exact = false};
    if (c > ' ' && c < 0x7f && !is_digit(c) && !(lower(c) >= 'a' && lower(c) <= 'z'))
        return one_char(reader, c);
    if (c == ' ')
        return one_char(reader, c);
    reader->lost = true;
    return (struct part){.exact = false};
}

/* Skips to the end of a class; gathers its members while they are single characters. Returns
 * whether they are all of the class. */
static bool
read_members(struct reader *reader, char members[static 256], size_t *count)
{
    bool listed = true;
    for (bool first = true;; first = false) {
        if (reader->at >= reader->end) {
            reader->lost = true;
            return false;
        }
        char c = *reader->at++;
        if (c == ']' && !first)
            return listed;
        if (c == '[' && reader->at < reader->end && strchr(":.=", *reader->at) != NULL)
            reader->lost = true;
        if (c == '\\') {
            c = reader->at < reader->end ? *reader->at++ : '\0';
            if (is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'z') || c == '\0')
                listed = false;
        }
        if (reader->at + 1 < reader->end && reader->at[0] == '-' && reader->at[1] != ']')
            listed = false;
        if (*count < 256)
            members[(*count)++] = lower(c);
    }
}

static struct part
read_class(struct reader *reader)
{
    char members[256];
    size_t count = 0;
    bool negated = reader->at < reader->end && *reader->at == '^';
    struct part part = {.exact = true};

    reader->at += negated;
    bool listed = read_members(reader, members, &count);
    if (!listed || negated || count > 6)
        return (struct part){.exact = false};
    part.texts = new_set(reader, count);
    for (size_t i = 0; !reader->lost && i < count; i++)
        add_text(&part.texts, one_char(reader, members[i]).texts.items[0]);
    return part;
}

static struct part
read_group(struct reader *reader)
{
    struct part part = {.exact = false};
    if (reader->at < reader->end && *reader->at == '*') {
        reader->lost = true;
        return part;
    }
    if (reader->at < reader->end && *reader->at == '?') {
        if (reader->at + 1 >= reader->end || reader->at[1] != ':') {
            reader->lost = true;
            return part;
        }
        reader->at += 2;
    }
    if (++reader->depth > DEPTH_MAX || !read_alternatives(reader, &part) ||
        reader->at >= reader->end || *reader->at != ')')
        reader->lost = true;
    reader->depth--;
    reader->at += !reader->lost;
    return part;
}

static struct part
read_atom(struct reader *reader)
{
    char c = *reader->at++;
    switch (c) {
    case '(':
        return read_group(reader);
    case '[':
        return read_class(reader);
    case '\\':
        return read_escape(reader);
    case '.':
        return (struct part){.exact = false};
    case '^':
    case '$':
        return exact_part(reader, STR(""));
    case '*':
    case '+':
    case '?':
    case '{':
        reader->lost = true;
        return (struct part){.exact = false};
    default:
        return one_char(reader, c);
    }
}

struct repeat {
    unsigned least;
    bool just_once, at_most_once;
};

static unsigned
read_number(struct reader *reader)
{
    unsigned number = 0;
    if (reader->at >= reader->end || !is_digit(*reader->at))
        reader->lost = true;
    while (reader->at < reader->end && is_digit(*reader->at) && number < 100000)
        number = number * 10 + (unsigned)(*reader->at++ - '0');
    return number;
}

static struct repeat
read_repeat(struct reader *reader)
{
    struct repeat repeat = {1, true, true};
    char c = reader->at < reader->end ? *reader->at : '\0';
    if (c != '*' && c != '+' && c != '?' && c != '{')
        return repeat;
    reader->at++;
    repeat = (struct repeat){c == '+', false, c == '?'};
    if (c == '{') {
        repeat.least = read_number(reader);
        unsigned most = repeat.least;
        if (reader->at < reader->end && *reader->at == ',') {
            reader->at++;
            most = reader->at < reader->end && *reader->at == '}' ? ~0u : read_number(reader);
        }
        if (reader->at >= reader->end || *reader->at != '}')
            reader->lost = true;
        reader->at += !reader->lost;
        repeat.at_most_once = most == 1;
        repeat.just_once = most == 1 && repeat.least == 1;
    }
    if (reader->at < reader->end && (*reader->at == '?' || *reader->at == '+'))
        reader->at++; /* lazy, possessive: the same texts */
    return repeat;
}

/* Adds the part, as often as it must be there, to the whole. */
static void
append_repeated(struct reader *reader, struct part *whole, struct part *part, struct repeat repeat)
{
    struct part any = {.exact = false};
    if (repeat.just_once) {
        append(reader, whole, part);
        return;
    }
    if (repeat.least == 0) {
        struct part none = exact_part(reader, STR(""));
        if (part->exact && repeat.at_most_once && part->texts.count < EXACT_MAX) {
            alternate(reader, part, &none);
            append(reader, whole, part);
        } else {
            append(reader, whole, &any);
        }
        return;
    }
    for (unsigned i = 0; i < repeat.least && i < REPEAT_MAX; i++)
        append(reader, whole, part);
    append(reader, whole, &any);
}

static bool
read_sequence(struct reader *reader, struct part *part_out)
{
    struct part whole = exact_part(reader, STR(""));
    while (!reader->lost && reader->at < reader->end && *reader->at != '|' && *reader->at != ')') {
        struct part part = read_atom(reader);
        struct repeat repeat = read_repeat(reader);
        if (!reader->lost)
            append_repeated(reader, &whole, &part, repeat);
    }
    if (!reader->lost)
        finish(&whole);
    *part_out = whole;
    return !reader->lost;
}

static bool
read_alternatives(struct reader *reader, struct part *part_out)
{
    struct part whole, next;
    if (!read_sequence(reader, &whole))
        return false;
    while (reader->at < reader->end && *reader->at == '|') {
        reader->at++;
        if (!read_sequence(reader, &next))
            return false;
        alternate(reader, &whole, &next);
    }
    *part_out = whole;
    return !reader->lost;
}

/* The first LITERAL_MAX bytes do as well, and keep the automaton small. */
static void
shorten(struct literal_set *set)
{
    struct literal_set cut = {0, set->items};
    for (size_t i = 0; i < set->count; i++) {
        struct str text = set->items[i];
        if (text.len > LITERAL_MAX)
            text.len = LITERAL_MAX;
        add_text(&cut, text);
    }
    *set = cut;
}

size_t
literals_of(struct str regex, struct arena *arena,
            struct literal_set sets_out[static LITERAL_SETS_MAX])
{
    struct reader reader = {.at = regex.ptr, .end = regex.ptr + regex.len, .arena = arena};
    struct part part;
    if (!read_alternatives(&reader, &part) || reader.at != reader.end)
        return 0;
    if (part.exact)
        keep_set(&part, &part.texts);
    for (size_t i = 0; i < part.set_count; i++) {
        sets_out[i] = part.sets[i];
        shorten(&sets_out[i]);
    }
    return part.set_count;
}
