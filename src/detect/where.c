/* where - conditions on the fields of an event.
 *
 * A condition on an array holds if it holds for one element. `ne` and `not_in` are the exact
 * negation of `eq` and `in`; every other op but `absent` fails on a field that is not there. */
#include "detect/detect_priv.h"

#include <string.h>

#define WHERE_MAX 50

enum op { OP_EQ, OP_IN, OP_GT, OP_GTE, OP_LT, OP_LTE, OP_EXISTS, OP_GLOB, OP_CIDR };

struct where_item {
    struct event_path path;
    enum op op;
    bool negated;
    const struct json *values; /* scalars: one of them must hold */
    size_t value_count;
    struct networks networks; /* OP_CIDR */
};

static const struct {
    struct str name;
    enum op op;
    bool negated;
} ops[] = {
    {STR_INIT("eq"), OP_EQ, false},         {STR_INIT("ne"), OP_EQ, true},
    {STR_INIT("in"), OP_IN, false},         {STR_INIT("not_in"), OP_IN, true},
    {STR_INIT("gt"), OP_GT, false},         {STR_INIT("gte"), OP_GTE, false},
    {STR_INIT("lt"), OP_LT, false},         {STR_INIT("lte"), OP_LTE, false},
    {STR_INIT("exists"), OP_EXISTS, false}, {STR_INIT("absent"), OP_EXISTS, true},
    {STR_INIT("glob"), OP_GLOB, false},     {STR_INIT("cidr"), OP_CIDR, false},
};

/* -- reading ----------------------------------------------------------------------- */

static bool
read_scalar(struct reading *reading, enum op op, struct str path, const struct json *value)
{
    bool text = value->type == JSON_STRING && value->text.len <= LIMIT_STRING_BYTES;
    bool number = value->type == JSON_NUMBER && !value->out_of_range;
    if (op == OP_GLOB && !text)
        return reading_complain(reading, path, "must be a glob of up to %d bytes",
                                LIMIT_STRING_BYTES);
    if ((op == OP_EQ || op == OP_IN) && !text && !number && value->type != JSON_BOOL)
        return reading_complain(reading, path,
                                "must be a text of up to %d bytes, a number, true or false",
                                LIMIT_STRING_BYTES);
    if (!text && !number && value->type != JSON_BOOL)
        return reading_complain(reading, path, "must be a number or a text");
    if (value->type == JSON_BOOL && op != OP_EQ && op != OP_IN)
        return reading_complain(reading, path, "must be a number or a text");
    return true;
}

static bool
read_values(struct reading *reading, struct str path, const struct json *sent,
            struct where_item *item)
{
    if (item->op == OP_EXISTS)
        return sent->type == JSON_ABSENT ||
               reading_complain(reading, path, "has no meaning for this op");
    if (sent->type == JSON_ABSENT || sent->type == JSON_NULL)
        return reading_complain(reading, path, "is required and must not be null");
    if (item->op == OP_CIDR) {
        static const struct condition row = {.type = CONDITION_NETWORKS};
        return networks_read(reading, &row, path, sent, &item->networks);
    }
    bool list = item->op == OP_IN || (item->op == OP_GLOB && sent->type == JSON_ARRAY);
    if (!list) {
        struct json *copy = reading_alloc(reading, 1, sizeof *copy);
        if (copy == NULL)
            return false;
        *copy = *sent; /* the reader's own is on its stack */
        item->values = copy;
        item->value_count = 1;
        return read_scalar(reading, item->op, path, sent);
    }
    if (sent->type != JSON_ARRAY || sent->count == 0 || sent->count > CONDITION_LIST_MAX)
        return reading_complain(reading, path, "must be a list of 1 to %d values",
                                CONDITION_LIST_MAX);
    for (uint32_t i = 0; i < sent->count; i++)
        if (!read_scalar(reading, item->op, path_item(reading, path, i), &sent->items[i]))
            return false;
    item->values = sent->items;
    item->value_count = sent->count;
    return true;
}

static bool
read_op(struct reading *reading, struct str path, const struct json *sent, struct where_item *item)
{
    for (size_t i = 0; sent->type == JSON_STRING && i < COUNT_OF(ops); i++) {
        if (!str_equal(sent->text, ops[i].name))
            continue;
        item->op = ops[i].op;
        item->negated = ops[i].negated;
        return true;
    }
    return reading_complain(reading, path,
                            "must be one of eq, ne, in, not_in, gt, gte, lt, lte, exists, absent, "
                            "glob, cidr");
}

static bool
read_item(struct reading *reading, struct str path, const struct json *sent,
          struct where_item *item)
{
    if (sent->type != JSON_OBJECT)
        return reading_complain(reading, path, "must be an object of field, op and value");
    bool good = true;
    for (uint32_t i = 0; i < sent->count; i++) {
        struct str name = sent->members[i].name;
        if (!str_equal(name, STR("field")) && !str_equal(name, STR("op")) &&
            !str_equal(name, STR("value")))
            good = reading_complain(reading, path_member(reading, path, name), "is not known here");
    }
    struct str twice = json_duplicate(sent);
    if (twice.ptr != NULL)
        good = reading_complain(reading, path_member(reading, path, twice), "occurs twice");
    const struct json *field = json_get(sent, STR("field"));
    if (field->type != JSON_STRING || field->text.len > LIMIT_STRING_BYTES ||
        !event_path_parse(field->text, &item->path))
        good = reading_complain(reading, path_member(reading, path, STR("field")),
                                "must name a field of the event (not id, created_at, integrity)");
    if (!read_op(reading, path_member(reading, path, STR("op")), json_get(sent, STR("op")), item))
        return false;
    return read_values(reading, path_member(reading, path, STR("value")),
                       json_get(sent, STR("value")), item) &&
           good;
}

bool
where_read(struct reading *reading, const struct condition *row, struct str path,
           const struct json *sent, void *out)
{
    (void)row;
    if (sent->type != JSON_ARRAY || sent->count > WHERE_MAX)
        return reading_complain(reading, path, "must be a list of up to %d conditions", WHERE_MAX);
    struct where_item *items = reading_alloc(reading, sent->count, sizeof *items);
    if (items == NULL)
        return false;
    bool good = true;
    for (uint32_t i = 0; i < sent->count; i++)
        good &= read_item(reading, path_item(reading, path, i), &sent->items[i], &items[i]);
    *(struct where *)out = (struct where){items, sent->count};
    return good;
}

/* -- asking ------------------------------------------------------------------------- */

static bool
equal(const struct json *a, const struct json *b)
{
    if (a->type != b->type)
        return false;
    if (a->type == JSON_STRING)
        return str_equal(a->text, b->text);
    if (a->type == JSON_BOOL)
        return a->truth == b->truth;
    if (a->type != JSON_NUMBER)
        return false;
    return a->is_integer && b->is_integer ? a->integer == b->integer : a->number == b->number;
}

static bool
in_order(enum op op, const struct json *value, const struct json *bound)
{
    int order;
    if (value->type == JSON_NUMBER && bound->type == JSON_NUMBER)
        order = (value->number > bound->number) - (value->number < bound->number);
    else if (value->type == JSON_STRING && bound->type == JSON_STRING)
        order = str_compare(value->text, bound->text);
    else
        return false;
    if (order == 0)
        return op == OP_GTE || op == OP_LTE;
    return (order > 0) == (op == OP_GT || op == OP_GTE);
}

static bool
in_networks(const struct networks *networks, const struct json *value)
{
    struct address address;
    return value->type == JSON_STRING && address_parse(value->text, &address) &&
           named_networks_find(networks, &address) != NULL;
}

static bool
holds(const struct where_item *item, const struct json *value)
{
    if (item->op == OP_EXISTS)
        return true;
    if (item->op == OP_CIDR)
        return in_networks(&item->networks, value);
    for (size_t i = 0; i < item->value_count; i++) {
        const struct json *wanted = &item->values[i];
        if (item->op == OP_EQ || item->op == OP_IN ? equal(value, wanted)
            : item->op == OP_GLOB
                ? value->type == JSON_STRING && glob_match(wanted->text, value->text)
                : in_order(item->op, value, wanted))
            return true;
    }
    return false;
}

struct asking {
    const struct where_item *item;
    bool found;
};

static bool
ask(void *self, const struct json *value)
{
    struct asking *asking = self;
    asking->found = holds(asking->item, value);
    return !asking->found;
}

bool
where_holds(const struct where *where, const struct event *event)
{
    for (size_t i = 0; i < where->count; i++) {
        struct asking asking = {&where->items[i], false};
        event_path_each(event, &where->items[i].path, ask, &asking);
        if (asking.found == where->items[i].negated)
            return false;
    }
    return true;
}
