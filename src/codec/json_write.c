/* json_write - trees to text, and a small writer of structures. */
#include "codec/json.h"
#include "codec/time.h"

#include <stdlib.h>
#include <string.h>

/* -- strings ----------------------------------------------------------------------- */

/* Not 0 if a byte of the word is below 0x20, a quote, or a backslash. */
static uint64_t
special_bytes(uint64_t word)
{
    const uint64_t ones = 0x0101010101010101, tops = 0x8080808080808080;
    uint64_t quote = word ^ (ones * '"'), backslash = word ^ (ones * '\\');
    return (((word - ones * 0x20) & ~word) | ((quote - ones) & ~quote) |
            ((backslash - ones) & ~backslash)) &
           tops;
}

static bool
is_special(char c)
{
    return (unsigned char)c < 0x20 || c == '"' || c == '\\';
}

static void
write_escape(struct buffer *out, char c)
{
    static const char names[0x20] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
    static const char hex[] = "0123456789abcdef";
    unsigned char byte = (unsigned char)c;
    char escape[6] = {'\\', c};
    size_t len = 2;
    if (byte < 0x20 && names[byte] != 0) {
        escape[1] = names[byte];
    } else if (byte < 0x20) {
        memcpy(escape + 1, "u00", 3);
        escape[4] = hex[byte >> 4];
        escape[5] = hex[byte & 15];
        len = 6;
    }
    buffer_add_bytes(out, escape, len);
}

static size_t
copy_up_to_special(char *to, const char *from, size_t len)
{
    size_t i = 0;
    for (; i < len && !is_special(from[i]); i++)
        to[i] = from[i];
    return i;
}

/* Fewer than eight bytes, as two halves that may overlap. */
static bool
copy_short(char *to, const char *from, size_t len)
{
    if (len >= 4) {
        uint32_t low, high;
        memcpy(&low, from, 4);
        memcpy(&high, from + len - 4, 4);
        memcpy(to, &low, 4);
        memcpy(to + len - 4, &high, 4);
        return special_bytes((uint64_t)high << 32 | low) == 0;
    }
    return copy_up_to_special(to, from, len) == len;
}

/* Sixteen bytes, or as many as one register of the machine takes, each on its own. */
typedef unsigned char block __attribute__((vector_size(16)));

static block
take_block(char *to, const char *from)
{
    block bytes;
    memcpy(&bytes, from, sizeof bytes);
    memcpy(to, &bytes, sizeof bytes);
    return (block)(bytes < 0x20) | (block)(bytes == '"') | (block)(bytes == '\\');
}

/* As copy_plain, of at least one block. */
static bool
copy_blocks(char *to, const char *from, size_t len)
{
    uint64_t halves[2];
    block special = {0};
    for (size_t i = 0; i + sizeof special < len; i += sizeof special)
        special |= take_block(to + i, from + i);
    special |= take_block(to + len - sizeof special, from + len - sizeof special);
    memcpy(halves, &special, sizeof halves);
    return (halves[0] | halves[1]) == 0;
}

/* Copies all to `to`, eight bytes at a time, the last eight over some of those before; false when
 * a byte needs an escape. Most strings are short, and a loop over single bytes at their end would
 * take longer than all the rest. */
static bool
copy_plain(char *to, const char *from, size_t len)
{
    if (len < 8)
        return copy_short(to, from, len);
    if (len >= sizeof(block))
        return copy_blocks(to, from, len);
    uint64_t word, special = 0;
    for (size_t i = 0; i + 8 < len; i += 8) {
        memcpy(&word, from + i, 8);
        memcpy(to + i, &word, 8);
        special |= special_bytes(word);
    }
    memcpy(&word, from + len - 8, 8);
    memcpy(to + len - 8, &word, 8);
    return (special | special_bytes(word)) == 0;
}

/* Where a byte needs an escape: run after run. */
static void
write_escaped(struct buffer *out, struct str text)
{
    for (size_t done = 0; done < text.len;) {
        char *at = buffer_reserve(out, text.len - done);
        if (at == NULL)
            return;
        size_t run = copy_up_to_special(at, text.ptr + done, text.len - done);
        out->len += run;
        done += run;
        if (done < text.len)
            write_escape(out, text.ptr[done++]);
    }
}

void
json_write_string(struct buffer *out, struct str text)
{
    char *at = buffer_reserve(out, text.len + 2);
    if (at == NULL)
        return;
    *at = '"';
    if (copy_plain(at + 1, text.ptr, text.len)) {
        at[text.len + 1] = '"';
        out->len += text.len + 2;
        return;
    }
    out->len += 1;
    write_escaped(out, text);
    buffer_add_char(out, '"');
}

/* -- trees --------------------------------------------------------------------------- */

__attribute__((noinline)) static void
write_scalar(struct buffer *out, const struct json *json)
{
    char digits[JSON_NUMBER_SIZE];
    switch (json->type) {
    case JSON_BOOL:
        buffer_add(out, json->truth ? STR("true") : STR("false"));
        break;
    case JSON_NUMBER:
        if (json->is_integer)
            json_write_integer(out, json->integer);
        else
            buffer_add_bytes(out, digits, json_format_number(json->number, digits));
        break;
    case JSON_STRING:
        json_write_string(out, json->text);
        break;
    default:
        buffer_add(out, STR("null"));
    }
}

/* The order of UTF-16 units, seen from UTF-8: that of the bytes, except that the characters
 * beyond U+FFFF (lead byte F0 and up), being surrogate pairs there, come before U+E000..U+FFFF
 * (lead bytes EE and EF). */
static int
compare_names(struct str a, struct str b)
{
    size_t common = a.len < b.len ? a.len : b.len, i = 0;
    while (i < common && a.ptr[i] == b.ptr[i])
        i++;
    if (i == common)
        return a.len == b.len ? 0 : (a.len < b.len ? -1 : 1);
    unsigned char x = (unsigned char)a.ptr[i], y = (unsigned char)b.ptr[i];
    if (x >= 0xEE && y >= 0xEE && (x >= 0xF0) != (y >= 0xF0))
        return x >= 0xF0 ? -1 : 1;
    return x < y ? -1 : 1;
}

static bool
is_sorted(const struct json *object)
{
    for (size_t i = 1; i < object->count; i++)
        if (compare_names(object->members[i - 1].name, object->members[i].name) >= 0)
            return false;
    return true;
}

static int
compare_members(const void *a, const void *b)
{
    const struct json_member *const *x = a, *const *y = b;
    return compare_names((*x)->name, (*y)->name);
}

/* Most objects have few members and come nearly sorted. */
static void
insertion_sort(const struct json_member **sorted, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        const struct json_member *member = sorted[i];
        size_t at = i;
        for (; at > 0 && compare_names(sorted[at - 1]->name, member->name) > 0; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = member;
    }
}

static void write_tree(struct buffer *out, const struct json *json, struct arena *arena);

static void
write_member(struct buffer *out, const struct json_member *member, bool first, struct arena *arena)
{
    if (!first)
        buffer_add_char(out, ',');
    json_write_string(out, member->name);
    buffer_add_char(out, ':');
    if (member->value.type == JSON_STRING)
        json_write_string(out, member->value.text);
    else
        write_tree(out, &member->value, arena);
}

/* Apart, because its array would weigh on the frame of each level of write_tree. */
__attribute__((noinline)) static void
write_sorted(struct buffer *out, const struct json *object, struct arena *arena)
{
    enum { FEW = 32 };
    const struct json_member *few[FEW], **sorted = few;
    size_t count = object->count;
    if (count > FEW)
        sorted = arena_array(arena, count, const struct json_member *);
    if (sorted == NULL) {
        out->ran_out = true;
        return;
    }
    for (size_t i = 0; i < count; i++)
        sorted[i] = &object->members[i];
    if (count > FEW)
        qsort(sorted, count, sizeof(void *), compare_members);
    else
        insertion_sort(sorted, count);
    for (size_t i = 0; i < count; i++) {
        must(i == 0 || compare_names(sorted[i - 1]->name, sorted[i]->name) != 0);
        write_member(out, sorted[i], i == 0, arena);
    }
}

/* With an arena: the canonical form. Depth is bounded by who made the tree (JSON_DEPTH_MAX). */
static void
write_tree(struct buffer *out, const struct json *json, struct arena *arena)
{
    if (json->type == JSON_OBJECT) {
        buffer_add_char(out, '{');
        if (arena != NULL && !is_sorted(json))
            write_sorted(out, json, arena);
        else
            for (size_t i = 0; i < json->count; i++)
                write_member(out, &json->members[i], i == 0, arena);
        buffer_add_char(out, '}');
    } else if (json->type == JSON_ARRAY) {
        buffer_add_char(out, '[');
        for (size_t i = 0; i < json->count; i++) {
            if (i > 0)
                buffer_add_char(out, ',');
            write_tree(out, &json->items[i], arena);
        }
        buffer_add_char(out, ']');
    } else {
        write_scalar(out, json);
    }
}

void
json_write(struct buffer *out, const struct json *json)
{
    write_tree(out, json, NULL);
}

void
json_write_canonical(struct buffer *out, const struct json *json, struct arena *arena)
{
    must(arena != NULL);
    write_tree(out, json, arena);
}

/* -- structures without a tree --------------------------------------------------------- */

static void
separate(struct buffer *out)
{
    char last = out->len == 0 ? '\n' : out->ptr[out->len - 1];
    if (last != '{' && last != '[' && last != ':' && last != '\n')
        buffer_add_char(out, ',');
}

void
json_open(struct buffer *out, char bracket)
{
    must(bracket == '{' || bracket == '[');
    separate(out);
    buffer_add_char(out, bracket);
}

void
json_close(struct buffer *out, char bracket)
{
    must(bracket == '}' || bracket == ']');
    buffer_add_char(out, bracket);
}

void
json_name(struct buffer *out, const char *name)
{
    separate(out);
    json_write_string(out, str_from(name));
    buffer_add_char(out, ':');
}

void
json_str(struct buffer *out, struct str text)
{
    separate(out);
    if (text.ptr == NULL)
        buffer_add(out, STR("null"));
    else
        json_write_string(out, text);
}

void
json_int(struct buffer *out, int64_t number)
{
    separate(out);
    json_write_integer(out, number);
}

void
json_double(struct buffer *out, double number)
{
    char digits[JSON_NUMBER_SIZE];
    separate(out);
    buffer_add_bytes(out, digits, json_format_number(number, digits));
}

void
json_bool(struct buffer *out, bool truth)
{
    separate(out);
    buffer_add(out, truth ? STR("true") : STR("false"));
}

void
json_null(struct buffer *out)
{
    separate(out);
    buffer_add(out, STR("null"));
}

void
json_raw(struct buffer *out, struct str json_text)
{
    separate(out);
    buffer_add(out, json_text.ptr == NULL ? STR("null") : json_text);
}

void
json_time(struct buffer *out, int64_t time_us)
{
    char text[TIME_TEXT_SIZE + 2];
    text[0] = text[TIME_TEXT_SIZE + 1] = '"';
    time_format(time_us, text + 1);
    separate(out);
    buffer_add_bytes(out, text, sizeof text);
}

void
json_put_str(struct buffer *out, const char *name, struct str text)
{
    json_name(out, name);
    json_str(out, text);
}

void
json_put_int(struct buffer *out, const char *name, int64_t number)
{
    json_name(out, name);
    json_int(out, number);
}

void
json_put_double(struct buffer *out, const char *name, double number)
{
    json_name(out, name);
    json_double(out, number);
}

void
json_put_bool(struct buffer *out, const char *name, bool truth)
{
    json_name(out, name);
    json_bool(out, truth);
}

void
json_put_null(struct buffer *out, const char *name)
{
    json_name(out, name);
    json_null(out);
}

void
json_put_raw(struct buffer *out, const char *name, struct str json_text)
{
    json_name(out, name);
    json_raw(out, json_text);
}

void
json_put_time(struct buffer *out, const char *name, int64_t time_us)
{
    json_name(out, name);
    json_time(out, time_us);
}
