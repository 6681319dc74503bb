/* rule - the written form of a rule, and copies of it that live on. */
#include <string.h>

#include "model/model_priv.h"
#include "model/rule.h"

static const struct str severities[] = {
    [SEVERITY_LOW] = STR_INIT("low"),
    [SEVERITY_MEDIUM] = STR_INIT("medium"),
    [SEVERITY_HIGH] = STR_INIT("high"),
    [SEVERITY_CRITICAL] = STR_INIT("critical"),
};
_Static_assert(COUNT_OF(severities) == SEVERITY_COUNT, "a severity lacks its name");

static const struct str statuses[] = {
    [RULE_LEARNING] = STR_INIT("learning"),
    [RULE_ACTIVE] = STR_INIT("active"),
    [RULE_DISABLED] = STR_INIT("disabled"),
};

static const struct {
    unsigned bit;
    struct str name;
} channels[] = {
    {CHANNEL_EMAIL, STR_INIT("email")},
    {CHANNEL_WEBHOOK, STR_INIT("webhook")},
};

struct str
severity_name(enum severity severity)
{
    must((unsigned)severity < SEVERITY_COUNT);
    return severities[severity];
}

bool
severity_parse(struct str text, enum severity *severity_out)
{
    for (unsigned i = 0; i < SEVERITY_COUNT; i++) {
        if (str_equal(severities[i], text)) {
            *severity_out = (enum severity)i;
            return true;
        }
    }
    return false;
}

void
rule_write(struct buffer *out, const struct rule *rule, enum rule_status status, bool internal)
{
    json_open(out, '{');
    json_put_str(out, "id", rule->id);
    json_put_str(out, "name", rule->name);
    json_put_str(out, "rule_type", rule->rule_type);
    json_put_raw(out, "conditions", rule->conditions);
    json_name(out, "channels");
    json_open(out, '[');
    for (size_t i = 0; i < COUNT_OF(channels); i++)
        if (rule->channels & channels[i].bit)
            json_str(out, channels[i].name);
    json_close(out, ']');
    model_put_json(out, "emails", &rule->emails);
    json_put_str(out, "severity", severity_name(rule->severity));
    json_put_bool(out, "enabled", rule->enabled);
    json_put_int(out, "cooldown_minutes", rule->cooldown_minutes);
    json_put_str(out, "status", statuses[status]);
    json_put_time(out, "created_at", rule->created_at);
    json_put_time(out, "updated_at", rule->updated_at);
    if (internal) {
        json_put_str(out, "workspace_id", rule->workspace_id);
        json_put_int(out, "version", rule->version);
        json_put_int(out, "fold_version", rule->fold_version);
        json_put_int(out, "learnt_from", rule->learnt_from);
    }
    json_close(out, '}');
}

static bool
read_channels(const struct json *json, unsigned *channels_out)
{
    struct json list = {0};
    if (!model_read_json(json, "channels", JSON_ARRAY, &list))
        return false;
    *channels_out = 0;
    for (uint32_t i = 0; i < list.count; i++) {
        unsigned bit = 0;
        for (size_t row = 0; row < COUNT_OF(channels); row++)
            if (list.items[i].type == JSON_STRING &&
                str_equal(list.items[i].text, channels[row].name))
                bit = channels[row].bit;
        if (bit == 0)
            return false;
        *channels_out |= bit;
    }
    return true;
}

bool
rule_read(const struct json *json, struct arena *arena, struct rule *rule_out, struct err *err)
{
    struct rule rule = {0};
    struct str severity = {0};
    struct json conditions = {0};
    bool ok = json->type == JSON_OBJECT && model_read_str(json, "id", &rule.id) &&
              model_read_str(json, "name", &rule.name) &&
              model_read_str(json, "rule_type", &rule.rule_type) &&
              model_read_json(json, "conditions", JSON_OBJECT, &conditions) &&
              read_channels(json, &rule.channels) &&
              model_read_json(json, "emails", JSON_ARRAY, &rule.emails) &&
              model_read_str(json, "severity", &severity) &&
              model_read_bool(json, "enabled", &rule.enabled) &&
              model_read_int(json, "cooldown_minutes", &rule.cooldown_minutes) &&
              model_read_time(json, "created_at", &rule.created_at) &&
              model_read_time(json, "updated_at", &rule.updated_at) &&
              model_read_str(json, "workspace_id", &rule.workspace_id) &&
              model_read_int(json, "version", &rule.version) &&
              model_read_int(json, "fold_version", &rule.fold_version) &&
              model_read_int(json, "learnt_from", &rule.learnt_from);
    if (!ok || rule.id.len == 0 || rule.rule_type.len == 0 || conditions.type != JSON_OBJECT ||
        !severity_parse(severity, &rule.severity))
        return err_set(err, ERR_CORRUPT, "a stored rule cannot be read");
    if (!model_text_of(&conditions, true, arena, &rule.conditions))
        return err_set(err, ERR_LIMIT, "a stored rule does not fit into memory");
    *rule_out = rule;
    return true;
}

/* -- copies -------------------------------------------------------------------- */

/* Takes pieces off a block; with `at` NULL it only counts, so that the same walk first measures and
 * then copies. */
struct packer {
    char *at;
    size_t used;
};

static void *
take(struct packer *packer, size_t size)
{
    size_t aligned = (size + 15) & ~(size_t)15;
    void *piece = packer->at != NULL ? packer->at + packer->used : NULL;
    packer->used += aligned;
    return piece;
}

static struct str
pack_str(struct packer *packer, struct str text)
{
    if (text.ptr == NULL)
        return text;
    char *copy = take(packer, text.len + 1);
    if (copy == NULL)
        return (struct str){0};
    memcpy(copy, text.ptr, text.len);
    return (struct str){copy, text.len};
}

/* A list of strings; what is not one is left out by rule readers before it comes here. */
static struct json
pack_list(struct packer *packer, const struct json *list)
{
    if (list->type != JSON_ARRAY)
        return (struct json){0};
    struct json *items = take(packer, (list->count + 1) * sizeof *items);
    for (uint32_t i = 0; i < list->count; i++) {
        must(list->items[i].type == JSON_STRING);
        struct str text = pack_str(packer, list->items[i].text);
        if (items != NULL)
            items[i] = json_of_str(text);
    }
    return (struct json){.type = JSON_ARRAY, .count = list->count, .items = items};
}

static void
pack_rule(struct packer *packer, const struct rule *rule, struct rule *copy)
{
    *copy = *rule;
    copy->workspace_id = pack_str(packer, rule->workspace_id);
    copy->id = pack_str(packer, rule->id);
    copy->name = pack_str(packer, rule->name);
    copy->rule_type = pack_str(packer, rule->rule_type);
    copy->conditions = pack_str(packer, rule->conditions);
    copy->emails = pack_list(packer, &rule->emails);
}

struct rule *
rule_copy(const struct rule *rule)
{
    struct packer packer = {0};
    struct rule measured;
    (void)take(&packer, sizeof measured);
    pack_rule(&packer, rule, &measured);

    packer = (struct packer){.at = base_alloc(1, packer.used)};
    struct rule *copy = take(&packer, sizeof *copy);
    pack_rule(&packer, rule, copy);
    return copy;
}

void
rule_free(struct rule *rule)
{
    base_free(rule);
}
