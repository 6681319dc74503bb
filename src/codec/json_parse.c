/* json_parse - text to tree. simdjson (json_simdjson.cc) makes a tape, which is
 * copied into the caller's arena as the tree of json.h.
 *
 * simdjson refuses a text with a number that is too large, and does not say
 * which. So such a text is read a second time, after each number that is well
 * formed but too large has been overwritten by a 0 and its place in the order
 * of numbers noted: the tree then says `out_of_range` exactly there. */
#include "codec/json.h"
#include "codec/json_priv.h"
#include "codec/text.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    KEPT_SIZE = 1 << 20,
    TEXT_MAX = 256 << 20,
    TAPE_COUNT_MAX = 0xFFFFFF, /* counts on the tape stop here */
    SLACK = 16, /* bytes that may be read behind a string on the tape, which is padded */
    SIMD_LEVELS = JSON_DEPTH_MAX + 1, /* simdjson counts the text itself as a level */
};

struct too_large {
    size_t ordinal; /* 0 for the first number of the text */
    double value;
};

struct json_parser {
    struct simd *simd;
    char *padded; /* KEPT_SIZE and the padding */
    struct too_large *too_large;
    size_t too_large_count, too_large_cap;
};

struct json_parser *
json_parser_new(void)
{
    struct json_parser *parser = base_alloc(1, sizeof *parser);
    parser->simd = simd_new(KEPT_SIZE, SIMD_LEVELS);
    must(parser->simd != NULL);
    parser->padded = base_alloc(KEPT_SIZE + SIMD_PADDING, 1);
    return parser;
}

void
json_parser_free(struct json_parser *parser)
{
    if (parser == NULL)
        return;
    simd_free(parser->simd);
    base_free(parser->padded);
    base_free(parser->too_large);
    base_free(parser);
}

/* -- numbers that are too large ------------------------------------------------ */

static size_t
skip_digits(const char *text, size_t at)
{
    while (text[at] >= '0' && text[at] <= '9')
        at++;
    return at;
}

/* The length of the number at `text` (NUL-terminated) by RFC 8259, section 6; 0 if it is none. */
static size_t
number_len(const char *text, bool *integer_out)
{
    size_t first = text[0] == '-' ? 1 : 0;
    size_t at = skip_digits(text, first);
    if (at == first || (text[first] == '0' && at > first + 1))
        return 0;
    *integer_out = true;
    if (text[at] == '.') {
        size_t fraction = at + 1;
        at = skip_digits(text, fraction);
        if (at == fraction)
            return 0;
        *integer_out = false;
    }
    if (text[at] == 'e' || text[at] == 'E') {
        size_t exponent = at + 1;
        if (text[exponent] == '+' || text[exponent] == '-')
            exponent++;
        at = skip_digits(text, exponent);
        if (at == exponent)
            return 0;
        *integer_out = false;
    }
    return at;
}

/* By the bounds at which simdjson refuses. */
static bool
is_too_large(const char *text, bool integer, double value)
{
    if (!integer)
        return isinf(value);
    errno = 0;
    if (text[0] == '-')
        (void)strtoll(text, NULL, 10);
    else
        (void)strtoull(text, NULL, 10);
    return errno == ERANGE;
}

static void
note_too_large(struct json_parser *parser, size_t ordinal, double value)
{
    if (parser->too_large_count == parser->too_large_cap) {
        parser->too_large_cap = parser->too_large_cap == 0 ? 16 : parser->too_large_cap * 2;
        parser->too_large =
            base_realloc(parser->too_large, parser->too_large_cap * sizeof *parser->too_large);
    }
    if (isinf(value))
        value = value > 0 ? DBL_MAX : -DBL_MAX;
    parser->too_large[parser->too_large_count++] = (struct too_large){ordinal, value};
}

static size_t
skip_string(const char *text, size_t len, size_t at)
{
    for (at++; at < len && text[at] != '"'; at++)
        if (text[at] == '\\')
            at++;
    return at + 1;
}

/* False at a number that is malformed, and then *at_out says where. */
static bool
blank_too_large(struct json_parser *parser, char *text, size_t len, size_t *at_out)
{
    size_t ordinal = 0;
    for (size_t at = 0; at < len;) {
        if (text[at] == '"') {
            at = skip_string(text, len, at);
        } else if (text[at] == '-' || (text[at] >= '0' && text[at] <= '9')) {
            bool integer;
            size_t number = number_len(text + at, &integer);
            if (number == 0) {
                *at_out = at;
                return false;
            }
            double value = strtod(text + at, NULL);
            if (is_too_large(text + at, integer, value)) {
                note_too_large(parser, ordinal, value);
                memset(text + at, ' ', number);
                text[at] = '0';
            }
            ordinal++;
            at += number;
        } else {
            at++;
        }
    }
    return true;
}

/* -- tape to tree ----------------------------------------------------------------- */

struct walk {
    const uint64_t *next;
    const unsigned char *strings;
    struct arena *arena;
    char *text; /* room for what strings are still to come, and SLACK bytes */
    struct err *err;
    const struct too_large *too_large, *too_large_end;
    size_t ordinal;
};

static bool
ran_out(struct walk *walk)
{
    return err_set(walk->err, ERR_LIMIT, "JSON: more than %zu bytes of memory are needed",
                   walk->arena->limit);
}

#if defined(__SANITIZE_ADDRESS__)
/* Each string by itself, so that reading beyond its end is seen. */
static bool
keep_text(struct walk *walk, struct str text, struct str *text_out)
{
    return arena_copy(walk->arena, text, text_out) || ran_out(walk);
}
#else
/* All strings into one piece, which is as long as the text that holds them. Most are short: two
 * words at once, of which the next string overwrites what was too much, beat a call of memcpy. */
static bool
keep_text(struct walk *walk, struct str text, struct str *text_out)
{
    *text_out = (struct str){walk->text, text.len};
    if (text.len <= SLACK)
        memcpy(walk->text, text.ptr, SLACK);
    else
        memcpy(walk->text, text.ptr, text.len);
    walk->text += text.len;
    return true;
}
#endif

static bool
read_text(struct walk *walk, struct str *text_out)
{
    const unsigned char *at = walk->strings + (*walk->next++ & 0xFFFFFFFFFFFFFF);
    uint32_t len;
    memcpy(&len, at, sizeof len);
    return keep_text(walk, (struct str){(const char *)at + sizeof len, len}, text_out);
}

static void
read_number(struct walk *walk, char type, struct json *out)
{
    uint64_t bits = *walk->next++;
    out->type = JSON_NUMBER;
    if (walk->too_large != walk->too_large_end && walk->too_large->ordinal == walk->ordinal) {
        out->out_of_range = true;
        out->number = walk->too_large++->value;
    } else if (type == 'd') {
        memcpy(&out->number, &bits, sizeof bits);
    } else if (type == 'u') {
        out->out_of_range = true;
        out->number = (double)bits;
    } else {
        int64_t integer = (int64_t)bits;
        out->is_integer = true;
        out->integer = integer;
        out->number = (double)integer;
        out->out_of_range = integer > JSON_SAFE_INT || integer < -JSON_SAFE_INT;
    }
    walk->ordinal++;
}

static const uint64_t *
skip_value(const uint64_t *tape, const uint64_t *at)
{
    char type = (char)(*at >> 56);
    if (type == '{' || type == '[')
        return tape + (uint32_t)*at;
    return at + (type == 'd' || type == 'l' || type == 'u' ? 2 : 1);
}

/* The count of a container whose first word is at walk->next - 1. */
static size_t
count_of(const struct walk *walk, const uint64_t *tape, bool object)
{
    uint64_t opening = walk->next[-1];
    size_t count = (size_t)(opening >> 32) & TAPE_COUNT_MAX;
    if (count < TAPE_COUNT_MAX)
        return count;
    const uint64_t *end = tape + (uint32_t)opening - 1;
    count = 0;
    for (const uint64_t *at = walk->next; at < end; count++)
        at = skip_value(tape, object ? at + 1 : at);
    return count;
}

static bool read_value(struct walk *walk, const uint64_t *tape, size_t depth, struct json *out);

static bool
read_object(struct walk *walk, const uint64_t *tape, size_t depth, struct json *out)
{
    size_t count = count_of(walk, tape, true);
    struct json_member *members = arena_array(walk->arena, count, struct json_member);
    if (members == NULL)
        return ran_out(walk);
    for (size_t i = 0; i < count; i++)
        if (!read_text(walk, &members[i].name) || !read_value(walk, tape, depth, &members[i].value))
            return false;
    walk->next++; /* the closing bracket */
    out->type = JSON_OBJECT;
    out->count = (uint32_t)count;
    out->members = members;
    return true;
}

static bool
read_array(struct walk *walk, const uint64_t *tape, size_t depth, struct json *out)
{
    size_t count = count_of(walk, tape, false);
    struct json *items = arena_array(walk->arena, count, struct json);
    if (items == NULL)
        return ran_out(walk);
    for (size_t i = 0; i < count; i++)
        if (!read_value(walk, tape, depth, &items[i]))
            return false;
    walk->next++; /* the closing bracket */
    out->type = JSON_ARRAY;
    out->count = (uint32_t)count;
    out->items = items;
    return true;
}

/* `out` is zeroed; `depth` is how many brackets are open around it. */
static bool
read_value(struct walk *walk, const uint64_t *tape, size_t depth, struct json *out)
{
    char type = (char)(*walk->next >> 56);
    if (type == '"') {
        out->type = JSON_STRING;
        return read_text(walk, &out->text);
    }
    walk->next++;
    if (type == '{' || type == '[') {
        if (depth == JSON_DEPTH_MAX)
            return err_set(walk->err, ERR_INPUT, "JSON: nested deeper than %d", JSON_DEPTH_MAX);
        return type == '{' ? read_object(walk, tape, depth + 1, out)
                           : read_array(walk, tape, depth + 1, out);
    }
    if (type == 'n') {
        out->type = JSON_NULL;
    } else if (type == 't' || type == 'f') {
        out->type = JSON_BOOL;
        out->truth = type == 't';
    } else {
        read_number(walk, type, out);
    }
    return true;
}

/* -- the whole --------------------------------------------------------------------- */

static bool
refuse(enum simd_answer answer, struct str text, struct err *err)
{
    static const char *const complaints[] = {
        [SIMD_NUMBER] = "a number is malformed",
        [SIMD_STRING] = "a string holds a bare control character or a wrong escape",
        [SIMD_CUT_SHORT] = "a string is not closed",
        [SIMD_EMPTY] = "the text is empty",
        [SIMD_SYNTAX] = "the text is malformed, or goes on after its end",
    };
    if (answer == SIMD_DEPTH)
        return err_set(err, ERR_INPUT, "JSON: nested deeper than %d", JSON_DEPTH_MAX);
    if (answer == SIMD_UTF8)
        return err_set(err, ERR_INPUT, "JSON: not UTF-8 at byte %zu", utf8_valid_len(text));
    must(answer < COUNT_OF(complaints) && complaints[answer] != NULL);
    return err_set(err, ERR_INPUT, "JSON: %s", complaints[answer]);
}

static bool
parse_padded(struct json_parser *parser, struct simd *simd, char *padded, struct str text,
             struct simd_tape *tape_out, struct err *err)
{
    parser->too_large_count = 0;
    enum simd_answer answer = simd_parse(simd, padded, text.len, tape_out);
    if (answer == SIMD_NUMBER) {
        size_t at;
        if (!blank_too_large(parser, padded, text.len, &at))
            return err_set(err, ERR_INPUT, "JSON: a number is malformed at byte %zu", at);
        answer = simd_parse(simd, padded, text.len, tape_out);
    }
    return answer == SIMD_OK || refuse(answer, text, err);
}

static bool
parse_with(struct json_parser *parser, struct simd *simd, char *padded, struct str text,
           struct arena *arena, struct json *json_out, struct err *err)
{
    if (text.len > 0)
        memcpy(padded, text.ptr, text.len);
    memset(padded + text.len, 0, SIMD_PADDING);
    struct simd_tape tape;
    if (!parse_padded(parser, simd, padded, text, &tape, err))
        return false;

    struct walk walk = {
        .next = tape.words + 1,
        .strings = tape.strings,
        .arena = arena,
        .text = arena_array(arena, text.len + SLACK, char),
        .err = err,
        .too_large = parser->too_large,
        .too_large_end = parser->too_large + parser->too_large_count,
    };
    if (walk.text == NULL)
        return ran_out(&walk);
    struct json json = {0};
    if (!read_value(&walk, tape.words, 0, &json))
        return false;
    *json_out = json;
    return true;
}

bool
json_parse(struct json_parser *parser, struct str text, struct arena *arena, struct json *json_out,
           struct err *err)
{
    if (text.len <= KEPT_SIZE)
        return parse_with(parser, parser->simd, parser->padded, text, arena, json_out, err);
    if (text.len > TEXT_MAX)
        return err_set(err, ERR_LIMIT, "JSON: a text of more than %d bytes", TEXT_MAX);

    struct simd *simd = simd_new(text.len, SIMD_LEVELS);
    must(simd != NULL);
    char *padded = base_alloc(text.len + SIMD_PADDING, 1);
    bool parsed = parse_with(parser, simd, padded, text, arena, json_out, err);
    base_free(padded);
    simd_free(simd);
    return parsed;
}
