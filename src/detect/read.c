/* read - a rule as sent, over the rule as it is: one row per member. */
#include "detect/detect_priv.h"

#include <stdio.h>

enum { EMAILS_MAX = 20, COOLDOWN_MAX = 43200 };

/* A rule being read. */
struct draft {
    struct rule rule;
    const struct detector *type; /* NULL: not known */
    const struct json *sent;
    bool type_changed, severity_set, cooldown_set;
};

static bool
read_name(struct reading *reading, const struct json *sent, struct draft *draft)
{
    if (sent->type != JSON_STRING || sent->text.len == 0 || sent->text.len > LIMIT_RULE_NAME_BYTES)
        return reading_complain(reading, STR("name"), "must be a text of 1 to %d bytes",
                                LIMIT_RULE_NAME_BYTES);
    return arena_copy(reading->arena, sent->text, &draft->rule.name);
}

static bool
read_type(struct reading *reading, const struct json *sent, struct draft *draft)
{
    const struct detector *type = sent->type == JSON_STRING ? detector_find(sent->text) : NULL;
    if (type == NULL)
        return reading_complain(reading, STR("rule_type"),
                                "must be one of the types that GET /rule-types lists");
    draft->type_changed = draft->type != NULL && draft->type != type;
    draft->type = type;
    draft->rule.rule_type = str_from(type->rule_type);
    return true;
}

static bool
read_channels(struct reading *reading, const struct json *sent, struct draft *draft)
{
    unsigned channels = 0;
    if (sent->type != JSON_ARRAY)
        return reading_complain(reading, STR("channels"),
                                "must be a list of \"webhook\" and \"email\"");
    for (uint32_t i = 0; i < sent->count; i++) {
        const struct json *item = &sent->items[i];
        if (item->type == JSON_STRING && str_equal(item->text, STR("webhook")))
            channels |= CHANNEL_WEBHOOK;
        else if (item->type == JSON_STRING && str_equal(item->text, STR("email")))
            channels |= CHANNEL_EMAIL;
        else
            return reading_complain(reading, path_item(reading, STR("channels"), i),
                                    "must be \"webhook\" or \"email\"");
    }
    draft->rule.channels = channels;
    return true;
}

static bool
read_emails(struct reading *reading, const struct json *sent, struct draft *draft)
{
    if (sent->type == JSON_NULL) {
        draft->rule.emails = (struct json){0};
        return true;
    }
    if (sent->type != JSON_ARRAY || sent->count > EMAILS_MAX)
        return reading_complain(reading, STR("emails"), "must be a list of up to %d mail addresses",
                                EMAILS_MAX);
    struct json *items = arena_array(reading->arena, sent->count, struct json);
    if (items == NULL)
        return false;
    for (uint32_t i = 0; i < sent->count; i++) {
        struct str text = {0};
        if (sent->items[i].type != JSON_STRING || !mail_address_valid(sent->items[i].text))
            return reading_complain(reading, path_item(reading, STR("emails"), i),
                                    "must be a mail address");
        if (!arena_copy(reading->arena, sent->items[i].text, &text))
            return false;
        items[i] = json_of_str(text);
    }
    draft->rule.emails = (struct json){.type = JSON_ARRAY, .count = sent->count, .items = items};
    return true;
}

static bool
read_severity(struct reading *reading, const struct json *sent, struct draft *draft)
{
    draft->severity_set = true;
    if (sent->type != JSON_STRING || !severity_parse(sent->text, &draft->rule.severity))
        return reading_complain(reading, STR("severity"),
                                "must be one of low, medium, high, critical");
    return true;
}

static bool
read_enabled(struct reading *reading, const struct json *sent, struct draft *draft)
{
    if (sent->type != JSON_BOOL)
        return reading_complain(reading, STR("enabled"), "must be true or false");
    draft->rule.enabled = sent->truth;
    return true;
}

static bool
read_cooldown(struct reading *reading, const struct json *sent, struct draft *draft)
{
    static const struct condition row = {.type = CONDITION_INTEGER, .low = 0, .high = COOLDOWN_MAX};
    draft->cooldown_set = true;
    return condition_read_value(reading, &row, STR("cooldown_minutes"), sent,
                                &draft->rule.cooldown_minutes);
}

static const struct {
    struct str name;
    bool required;
    bool (*read)(struct reading *reading, const struct json *sent, struct draft *draft);
} members[] = {
    {STR_INIT("name"), true, read_name},
    {STR_INIT("rule_type"), true, read_type},
    {STR_INIT("conditions"), true, NULL}, /* after all others: the type must be known */
    {STR_INIT("channels"), true, read_channels},
    {STR_INIT("emails"), false, read_emails},
    {STR_INIT("severity"), false, read_severity},
    {STR_INIT("enabled"), false, read_enabled},
    {STR_INIT("cooldown_minutes"), false, read_cooldown},
    /* What GET adds, so that its answer can be sent back. */
    {STR_INIT("id"), false, NULL},
    {STR_INIT("status"), false, NULL},
    {STR_INIT("created_at"), false, NULL},
    {STR_INIT("updated_at"), false, NULL},
};

static bool
read_members(struct reading *reading, bool patch, struct draft *draft)
{
    bool good = true;
    const struct json *sent = draft->sent;
    for (uint32_t i = 0; i < sent->count; i++) {
        bool known = false;
        for (size_t j = 0; j < COUNT_OF(members) && !known; j++)
            known = str_equal(sent->members[i].name, members[j].name);
        if (!known)
            good = reading_complain(reading, utf8_cut(sent->members[i].name, LIMIT_ID_BYTES),
                                    "is not known here");
    }
    struct str twice = json_duplicate(sent);
    if (twice.ptr != NULL)
        good = reading_complain(reading, utf8_cut(twice, LIMIT_ID_BYTES), "occurs twice");
    for (size_t i = 0; i < COUNT_OF(members); i++) {
        const struct json *value = json_get(sent, members[i].name);
        if (value->type == JSON_ABSENT) {
            if (members[i].required && !patch)
                good = reading_complain(reading, members[i].name, "is required");
            continue;
        }
        if (members[i].read != NULL)
            good &= members[i].read(reading, value, draft);
    }
    return good;
}

static bool
read_conditions(struct reading *reading, struct draft *draft)
{
    const struct json *sent = json_get(draft->sent, STR("conditions"));
    if (sent->type == JSON_ABSENT)
        return !draft->type_changed ||
               reading_complain(reading, STR("conditions"), "must be sent with a new rule_type");
    if (draft->type == NULL)
        return false;
    struct filter filter;
    struct json whole;
    void *conditions;
    if (!rule_conditions_read(reading, draft->type, sent, &filter, &conditions, &whole))
        return false;
    struct buffer text;
    buffer_init(&text, CONDITIONS_MAX);
    json_write_canonical(&text, &whole, reading->arena);
    bool good = !text.ran_out && !reading->arena->ran_out &&
                arena_copy(reading->arena, buffer_str(&text), &draft->rule.conditions);
    if (text.ran_out)
        reading_complain(reading, STR("conditions"), "must take at most %d bytes", CONDITIONS_MAX);
    buffer_fini(&text);
    return good;
}

bool
detect_read_rule(const struct json *sent, bool patch, struct arena *arena, struct rule *rule,
                 struct violations *violations)
{
    struct reading reading = {arena, violations};
    if (sent->type != JSON_OBJECT)
        return violations_add(violations, STR("rule"), "A rule must be an object.");
    struct draft draft = {.rule = *rule, .sent = sent};
    if (rule->rule_type.ptr != NULL)
        draft.type = detector_find(rule->rule_type);
    if (!patch) {
        draft.rule.enabled = true;
        draft.rule.emails = (struct json){0};
    }
    bool good = read_members(&reading, patch, &draft);
    good &= read_conditions(&reading, &draft);
    if (arena->ran_out && violations->total == 0)
        reading_complain(&reading, STR("conditions"), "is too large");
    if (!good || arena->ran_out)
        return false;
    if (!patch && !draft.severity_set)
        draft.rule.severity = draft.type->severity;
    if (!patch && !draft.cooldown_set)
        draft.rule.cooldown_minutes = draft.type->cooldown_minutes;
    *rule = draft.rule;
    return true;
}
