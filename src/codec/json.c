/* json - looking into a tree that was parsed, and making values of one's own. */
#include "codec/json.h"
#include "codec/hash.h"

const struct json *
json_get(const struct json *object, struct str name)
{
    static const struct json absent = {.type = JSON_ABSENT};
    if (object->type != JSON_OBJECT)
        return &absent;
    for (size_t i = 0; i < object->count; i++)
        if (str_equal(object->members[i].name, name))
            return &object->members[i].value;
    return &absent;
}

/* Objects as they are sent have few members; for those, comparing each with each beats sorting.
 * For the others a table of positions, open addressing, keeps the work linear. */
enum { COMPARE_EACH_MAX = 24 };

static struct str
duplicate_in_table(const struct json *object)
{
    size_t size = 64;
    while (size < (size_t)object->count * 2)
        size *= 2;
    uint32_t *table = base_alloc(size, sizeof *table); /* position + 1, or 0 */
    struct str found = {0};
    for (uint32_t i = 0; i < object->count && found.ptr == NULL; i++) {
        struct str name = object->members[i].name;
        size_t at = (size_t)hash64(size, name.ptr, name.len) & (size - 1);
        while (table[at] != 0 && !str_equal(object->members[table[at] - 1].name, name))
            at = (at + 1) & (size - 1);
        if (table[at] != 0)
            found = name;
        table[at] = i + 1;
    }
    base_free(table);
    return found;
}

/* A bit that the same name sets again, and few others. */
static uint64_t
shape_of(struct str name)
{
    unsigned char first = name.len > 0 ? (unsigned char)name.ptr[0] : 0;
    unsigned char last = name.len > 0 ? (unsigned char)name.ptr[name.len - 1] : 0;
    return (uint64_t)1 << ((name.len * 5 + first * 3u + last) % 64);
}

struct str
json_duplicate(const struct json *object)
{
    if (object->type != JSON_OBJECT)
        return (struct str){0};
    if (object->count > COMPARE_EACH_MAX)
        return duplicate_in_table(object);
    uint64_t shapes = 0;
    for (size_t i = 0; i < object->count; i++) {
        uint64_t shape = shape_of(object->members[i].name);
        for (size_t before = 0; (shapes & shape) != 0 && before < i; before++)
            if (str_equal(object->members[before].name, object->members[i].name))
                return object->members[i].name;
        shapes |= shape;
    }
    return (struct str){0};
}

size_t
json_depth(const struct json *json)
{
    size_t below = 0;
    for (size_t i = 0; i < json->count; i++) {
        bool object = json->type == JSON_OBJECT;
        size_t depth = json_depth(object ? &json->members[i].value : &json->items[i]);
        if (depth > below)
            below = depth;
    }
    return below + 1;
}

struct json
json_of_str(struct str text)
{
    if (text.ptr == NULL)
        return (struct json){.type = JSON_ABSENT};
    return (struct json){.type = JSON_STRING, .text = text};
}

struct json
json_of_double(double number)
{
    return (struct json){.type = JSON_NUMBER, .number = number};
}

struct json
json_of_int(int64_t number)
{
    struct json json = {.type = JSON_NUMBER, .is_integer = true};
    json.integer = number;
    json.number = (double)number;
    json.out_of_range = number > JSON_SAFE_INT || number < -JSON_SAFE_INT;
    return json;
}

struct json
json_of_bool(bool truth)
{
    return (struct json){.type = JSON_BOOL, .truth = truth};
}
