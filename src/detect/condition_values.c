/* condition_values - the value of one condition, by the type of its row. */
#include "detect/detect_priv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool
read_integer(struct reading *reading, const struct condition *row, struct str path,
             const struct json *sent, void *out)
{
    if (sent->type != JSON_NUMBER || sent->out_of_range || sent->number != floor(sent->number) ||
        sent->number < row->low || sent->number > row->high)
        return reading_complain(reading, path, "must be an integer from %.0f to %.0f", row->low,
                                row->high);
    *(int64_t *)out = (int64_t)sent->number;
    return true;
}

static bool
read_number(struct reading *reading, const struct condition *row, struct str path,
            const struct json *sent, void *out)
{
    if (sent->type != JSON_NUMBER || sent->out_of_range || !(sent->number >= row->low) ||
        !(sent->number <= row->high))
        return reading_complain(reading, path, "must be a number from %.0f to %.0f", row->low,
                                row->high);
    *(double *)out = sent->number;
    return true;
}

static bool
read_boolean(struct reading *reading, const struct condition *row, struct str path,
             const struct json *sent, void *out)
{
    (void)row;
    if (sent->type != JSON_BOOL)
        return reading_complain(reading, path, "must be true or false");
    *(bool *)out = sent->truth;
    return true;
}

/* -- fields, zones --------------------------------------------------------------- */

static bool
read_path(struct reading *reading, struct str path, const struct json *sent,
          struct event_path *field_out)
{
    if (sent->type != JSON_STRING || sent->text.len > LIMIT_STRING_BYTES ||
        !event_path_parse(sent->text, field_out))
        return reading_complain(reading, path,
                                "must name a field of the event, such as actor_id, device.os or "
                                "metadata.<key>");
    return true;
}

static bool
read_field(struct reading *reading, const struct condition *row, struct str path,
           const struct json *sent, void *out)
{
    (void)row;
    struct event_path *field = reading_alloc(reading, 1, sizeof *field);
    if (field == NULL || !read_path(reading, path, sent, field))
        return false;
    *(struct fields *)out = (struct fields){field, 1};
    return true;
}

/* A list of so many items as the row allows. */
static bool
check_list(struct reading *reading, const struct condition *row, struct str path,
           const struct json *sent)
{
    double high = row->high > 0 ? row->high : CONDITION_LIST_MAX;
    if (sent->type != JSON_ARRAY || sent->count < row->low || sent->count > high)
        return reading_complain(reading, path, "must be a list of %.0f to %.0f items", row->low,
                                high);
    return true;
}

static bool
read_fields(struct reading *reading, const struct condition *row, struct str path,
            const struct json *sent, void *out)
{
    if (!check_list(reading, row, path, sent))
        return false;
    struct event_path *items = reading_alloc(reading, sent->count, sizeof *items);
    if (items == NULL)
        return false;
    for (uint32_t i = 0; i < sent->count; i++) {
        struct str at = path_item(reading, path, i);
        if (!read_path(reading, at, &sent->items[i], &items[i]))
            return false;
        for (uint32_t j = 0; j < i; j++)
            if (str_equal(items[j].text, items[i].text))
                return reading_complain(reading, at, "names a field that stands before it");
    }
    *(struct fields *)out = (struct fields){items, sent->count};
    return true;
}

static bool
read_zone(struct reading *reading, const struct condition *row, struct str path,
          const struct json *sent, void *out)
{
    (void)row;
    const struct zone *zone = sent->type == JSON_STRING ? zone_find(sent->text) : NULL;
    if (zone == NULL)
        return reading_complain(reading, path, "must be an IANA time zone, such as Europe/Berlin");
    *(struct named_zone *)out = (struct named_zone){sent->text, zone};
    return true;
}

/* -- lists ------------------------------------------------------------------------- */

static int
find_choice(const char *const *choices, const struct json *value)
{
    if (value->type != JSON_STRING)
        return -1;
    for (int i = 0; choices[i] != NULL; i++)
        if (str_equal(value->text, str_from(choices[i])))
            return i;
    return -1;
}

/* Becomes bits; what is allowed stands in the row. */
static bool
read_choices(struct reading *reading, const struct condition *row, struct str path,
             const struct json *sent, void *out)
{
    unsigned bits = 0;
    if (!check_list(reading, row, path, sent))
        return false;
    for (uint32_t i = 0; i < sent->count; i++) {
        int choice = find_choice(row->choices, &sent->items[i]);
        if (choice < 0) {
            char all[128] = "";
            for (int j = 0; row->choices[j] != NULL; j++) {
                strncat(all, j == 0 ? "" : ", ", sizeof all - strlen(all) - 1);
                strncat(all, row->choices[j], sizeof all - strlen(all) - 1);
            }
            return reading_complain(reading, path_item(reading, path, i), "must be one of %s", all);
        }
        bits |= 1u << choice;
    }
    *(unsigned *)out = bits;
    return true;
}

static bool
read_texts(struct reading *reading, const struct condition *row, struct str path,
           const struct json *sent, void *out)
{
    if (!check_list(reading, row, path, sent))
        return false;
    struct str *items = reading_alloc(reading, sent->count, sizeof *items);
    if (items == NULL)
        return false;
    for (uint32_t i = 0; i < sent->count; i++) {
        const struct json *item = &sent->items[i];
        if (item->type != JSON_STRING || item->text.len == 0 || item->text.len > LIMIT_ID_BYTES)
            return reading_complain(reading, path_item(reading, path, i),
                                    "must be a text of 1 to %d bytes", LIMIT_ID_BYTES);
        items[i] = item->text;
    }
    *(struct texts *)out = (struct texts){items, sent->count};
    return true;
}

static bool
read_countries(struct reading *reading, const struct condition *row, struct str path,
               const struct json *sent, void *out)
{
    if (!read_texts(reading, row, path, sent, out))
        return false;
    const struct texts *texts = out;
    for (size_t i = 0; i < texts->count; i++) {
        struct str text = texts->items[i];
        if (text.len != 2 || text.ptr[0] < 'A' || text.ptr[0] > 'Z' || text.ptr[1] < 'A' ||
            text.ptr[1] > 'Z')
            return reading_complain(reading, path_item(reading, path, i),
                                    "must be a country's two capital letters");
    }
    return true;
}

static bool
read_rules(struct reading *reading, const struct condition *row, struct str path,
           const struct json *sent, void *out)
{
    if (!read_texts(reading, row, path, sent, out))
        return false;
    const struct texts *texts = out;
    for (size_t i = 0; i < texts->count; i++)
        for (size_t j = 0; j < i; j++)
            if (str_equal(texts->items[i], texts->items[j]))
                return reading_complain(reading, path_item(reading, path, i),
                                        "names a rule that stands before it");
    return true;
}

static bool
parse_date(struct str text, int64_t *days_out)
{
    int64_t year, month, day;
    struct str rest = text;
    if (text.len != 10 || text.ptr[4] != '-' || text.ptr[7] != '-')
        return false;
    return str_to_int(str_split(&rest, '-'), &year) && str_to_int(str_split(&rest, '-'), &month) &&
           str_to_int(rest, &day) && time_date((int)year, (int)month, (int)day, days_out);
}

static bool
read_integers(struct reading *reading, const struct condition *row, struct str path,
              const struct json *sent, void *out)
{
    if (!check_list(reading, row, path, sent))
        return false;
    int64_t *items = reading_alloc(reading, sent->count, sizeof *items);
    if (items == NULL)
        return false;
    for (uint32_t i = 0; i < sent->count; i++) {
        const struct json *item = &sent->items[i];
        struct str at = path_item(reading, path, i);
        if (row->type == CONDITION_DATES &&
            (item->type != JSON_STRING || !parse_date(item->text, &items[i])))
            return reading_complain(reading, at, "must be a date, such as 2026-12-25");
        static const struct condition asn = {.low = 1, .high = UINT32_MAX};
        if (row->type == CONDITION_ASNS && !read_integer(reading, &asn, at, item, &items[i]))
            return false;
    }
    *(struct integers *)out = (struct integers){items, sent->count};
    return true;
}

/* -- all of them ---------------------------------------------------------------------- */

static const struct {
    const char *name; /* in GET /rule-types and doc/rules.md */
    bool (*read)(struct reading *reading, const struct condition *row, struct str path,
                 const struct json *sent, void *out);
} types[CONDITION_TYPE_COUNT] = {
    [CONDITION_INTEGER] = {"integer", read_integer},
    [CONDITION_NUMBER] = {"number", read_number},
    [CONDITION_BOOLEAN] = {"boolean", read_boolean},
    [CONDITION_ACTIONS] = {"glob or list of globs", globs_read},
    [CONDITION_AGENTS] = {"glob or list of globs", globs_read},
    [CONDITION_WHERE] = {"list of {field, op, value}", where_read},
    [CONDITION_FIELD] = {"field", read_field},
    [CONDITION_FIELDS] = {"list of fields", read_fields},
    [CONDITION_ZONE] = {"time zone", read_zone},
    [CONDITION_WEEKDAYS] = {"list of weekdays", read_choices},
    [CONDITION_CHOICES] = {"list", read_choices},
    [CONDITION_DATES] = {"list of dates", read_integers},
    [CONDITION_NETWORKS] = {"list of networks", networks_read},
    [CONDITION_TEXTS] = {"list of texts", read_texts},
    [CONDITION_COUNTRIES] = {"list of countries", read_countries},
    [CONDITION_ASNS] = {"list of integers", read_integers},
    [CONDITION_RULES] = {"list of rule ids", read_rules},
    [CONDITION_OBJECT] = {"object", NULL},
};

bool
condition_read_value(struct reading *reading, const struct condition *row, struct str path,
                     const struct json *sent, void *out)
{
    must(types[row->type].read != NULL);
    return types[row->type].read(reading, row, path, sent, out);
}

const char *
condition_type_name(enum condition_type type)
{
    must(type < CONDITION_TYPE_COUNT);
    return types[type].name;
}
