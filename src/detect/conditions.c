/* conditions - an object read by rows: unknown and doubled members are refused by name, ranges are
 * held, defaults are written in. */
#include "detect/detect_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const struct condition match_members[2] = {
    {
        .name = "action_pattern",
        .type = CONDITION_ACTIONS,
        .offset = offsetof(struct match, actions),
        .required = true,
        .summary = "A glob or a list of globs on the action.",
    },
    {
        .name = "where",
        .type = CONDITION_WHERE,
        .offset = offsetof(struct match, where),
        .summary = "Conditions on other fields, all of which must hold.",
    },
};

#define EXCLUDE(member) offsetof(struct exclude, member)
static const struct condition exclude_members[] = {
    {
        .name = "actors",
        .type = CONDITION_TEXTS,
        .offset = EXCLUDE(actors),
        .low = 0,
        .high = CONDITION_LIST_MAX,
        .summary = "Ids of actors.",
    },
    {
        .name = "networks",
        .type = CONDITION_NETWORKS,
        .offset = EXCLUDE(networks),
        .low = 0,
        .high = CONDITION_LIST_MAX,
        .summary = "Networks in CIDR notation, or single addresses.",
    },
    {
        .name = "countries",
        .type = CONDITION_COUNTRIES,
        .offset = EXCLUDE(countries),
        .low = 0,
        .high = CONDITION_LIST_MAX,
        .summary = "Countries by their two letters.",
    },
    {
        .name = "asns",
        .type = CONDITION_ASNS,
        .offset = EXCLUDE(asns),
        .low = 0,
        .high = CONDITION_LIST_MAX,
        .summary = "Numbers of autonomous systems.",
    },
    {
        .name = "user_agents",
        .type = CONDITION_AGENTS,
        .offset = EXCLUDE(user_agents),
        .low = 0,
        .high = CONDITION_LIST_MAX,
        .summary = "Globs on the user agent, case ignored.",
    },
};

const struct condition common_conditions[3] = {
    {
        .name = "action_pattern",
        .type = CONDITION_ACTIONS,
        .offset = offsetof(struct filter, actions),
        .required = true,
        .summary = "Which actions the rule sees: a glob or a list of globs; only * is special.",
    },
    {
        .name = "where",
        .type = CONDITION_WHERE,
        .offset = offsetof(struct filter, where),
        .summary =
            "Conditions {field, op, value} on the event, all of which must hold. Ops: eq ne in "
            "not_in gt gte lt lte exists absent glob cidr.",
    },
    {
        .name = "exclude",
        .type = CONDITION_OBJECT,
        .offset = offsetof(struct filter, exclude),
        .members = exclude_members,
        .member_count = COUNT_OF(exclude_members),
        .size = sizeof(struct exclude),
        .summary = "Events that the rule never sees.",
    },
};

bool
reading_complain(struct reading *reading, struct str path, const char *fmt, ...)
{
    char what[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    return violations_add(reading->violations, path, "The %.*s field %s.", STR_ARG(path), what);
}

void *
reading_alloc(struct reading *reading, size_t count, size_t size)
{
    return arena_alloc(reading->arena, count, size, _Alignof(max_align_t));
}

static struct str
join(struct reading *reading, struct str path, struct str tail)
{
    char *joined = reading_alloc(reading, path.len + tail.len, 1);
    if (joined == NULL)
        return path;
    if (path.len > 0)
        memcpy(joined, path.ptr, path.len);
    memcpy(joined + path.len, tail.ptr, tail.len);
    return (struct str){joined, path.len + tail.len};
}

struct str
path_member(struct reading *reading, struct str path, struct str name)
{
    char tail[LIMIT_ID_BYTES + 1] = ".";
    struct str shown = utf8_cut(name, LIMIT_ID_BYTES);
    if (shown.len > 0)
        memcpy(tail + 1, shown.ptr, shown.len);
    return join(reading, path, (struct str){tail, shown.len + 1});
}

struct str
path_item(struct reading *reading, struct str path, size_t index)
{
    char tail[24];
    int len = snprintf(tail, sizeof tail, "[%zu]", index);
    return join(reading, path, (struct str){tail, (size_t)len});
}

static bool
refuse_unknown(struct reading *reading, const struct condition *rows, size_t count, struct str path,
               const struct json *sent)
{
    bool good = true;
    for (uint32_t i = 0; i < sent->count; i++) {
        struct str name = sent->members[i].name;
        bool known = false;
        for (size_t j = 0; j < count && !known; j++)
            known = str_equal(name, str_from(rows[j].name));
        if (!known)
            good = reading_complain(reading, path_member(reading, path, name), "is not known here");
    }
    struct str twice = json_duplicate(sent);
    if (twice.ptr != NULL)
        good = reading_complain(reading, path_member(reading, path, twice), "occurs twice");
    return good;
}

/* A text in a default: no escapes, no commas. */
static struct json
text_of_fallback(struct str text)
{
    must(text.len >= 2 && text.ptr[0] == '"' && text.ptr[text.len - 1] == '"');
    return json_of_str((struct str){text.ptr + 1, text.len - 2});
}

/* Defaults are an integer, true or false, a text, or a list of texts. */
static struct json
parse_fallback(struct reading *reading, struct str text)
{
    int64_t number;
    if (str_equal(text, STR("true")) || str_equal(text, STR("false")))
        return json_of_bool(text.len == 4);
    if (str_to_int(text, &number))
        return json_of_int(number);
    if (text.ptr[0] != '[')
        return text_of_fallback(text);
    struct str rest = {text.ptr + 1, text.len - 2};
    uint32_t count = 0, room = 1;
    for (size_t i = 0; i < rest.len; i++)
        room += rest.ptr[i] == ',';
    struct json *items = reading_alloc(reading, room, sizeof *items);
    if (items == NULL)
        return (struct json){0};
    while (rest.ptr != NULL)
        items[count++] = text_of_fallback(str_split(&rest, ','));
    return (struct json){.type = JSON_ARRAY, .count = count, .items = items};
}

/* The default of a row; absent when it has none. */
static struct json
fallback_of(struct reading *reading, const struct condition *row, const struct json *sent)
{
    if (row->fallback == NULL)
        return (struct json){0};
    if (row->unless != NULL && json_get(sent, str_from(row->unless))->type != JSON_ABSENT)
        return (struct json){0};
    return parse_fallback(reading, str_from(row->fallback));
}

/* A member that is there, or has a default. */
static bool
read_member(struct reading *reading, const struct condition *row, struct str path,
            const struct json *value, void *out, struct json *whole_out)
{
    char *at = (char *)out + row->offset;
    *whole_out = *value;
    if (row->type == CONDITION_OBJECT) {
        void *below = reading_alloc(reading, 1, row->size);
        if (below == NULL || !conditions_read(reading, row->members, row->member_count, path, value,
                                              below, whole_out))
            return false;
        *(void **)(void *)at = below;
        return true;
    }
    if (!condition_read_value(reading, row, path, value, at))
        return false;
    if (row->type == CONDITION_INTEGER) /* 5.0 is 5 */
        *whole_out = json_of_int(*(const int64_t *)(const void *)at);
    return true;
}

bool
conditions_read(struct reading *reading, const struct condition *rows, size_t count,
                struct str path, const struct json *sent, void *out, struct json *whole_out)
{
    if (sent->type != JSON_OBJECT)
        return reading_complain(reading, path, "must be an object");
    bool good = refuse_unknown(reading, rows, count, path, sent);
    struct json_member *members = reading_alloc(reading, count, sizeof *members);
    if (members == NULL)
        return false;
    uint32_t used = 0;
    for (size_t i = 0; i < count; i++) {
        const struct condition *row = &rows[i];
        struct str name = str_from(row->name);
        struct json value = *json_get(sent, name);
        if (value.type == JSON_ABSENT)
            value = fallback_of(reading, row, sent);
        if (value.type == JSON_ABSENT) {
            if (row->type == CONDITION_INTEGER)
                *(int64_t *)(void *)((char *)out + row->offset) = NOT_GIVEN;
            if (row->required)
                good = reading_complain(reading, path_member(reading, path, name), "is required");
            continue;
        }
        members[used].name = name;
        good &= read_member(reading, row, path_member(reading, path, name), &value, out,
                            &members[used].value);
        used++;
    }
    *whole_out = (struct json){.type = JSON_OBJECT, .count = used, .members = members};
    return good && !reading->arena->ran_out;
}
