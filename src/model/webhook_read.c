/* webhook_read - a webhook as users send it: checked member by member, every
 * complaint names the field. One row per member. */
#include "codec/text.h"
#include "model/limits.h"
#include "model/webhook_call.h"

/* What the rows are given. */
struct reading {
    struct webhook *webhook;
    const struct webhook *before;
    struct arena *arena;
    struct violations *violations;
    bool is_new;
    struct str name; /* of the member at hand */
};

static bool
refuse(const struct reading *reading, const char *why)
{
    return violations_add(reading->violations, reading->name, "The %.*s field %s.",
                          STR_ARG(reading->name), why);
}

static bool
is_null(const struct json *value)
{
    return value->type == JSON_NULL;
}

static bool
read_url(const struct reading *reading, const struct json *value)
{
    if (value->type != JSON_STRING || value->text.len == 0)
        return refuse(reading, "must be a URL");
    struct buffer shown;
    buffer_init(&shown, WEBHOOK_URL_MAX + 64);
    webhook_url_write_shown(&shown, reading->before);
    bool same = str_equal(value->text, buffer_str(&shown));
    buffer_fini(&shown);
    if (same)
        return true;
    const char *wrong = webhook_url_wrong(value->text);
    if (wrong != NULL)
        return refuse(reading, wrong);
    reading->webhook->url = value->text;
    return true;
}

static bool
read_description(const struct reading *reading, const struct json *value)
{
    if (is_null(value)) {
        reading->webhook->description = (struct str){0};
        return true;
    }
    if (value->type != JSON_STRING || value->text.len > LIMIT_STRING_BYTES)
        return refuse(reading, "must be a string of at most 1,024 bytes");
    reading->webhook->description = value->text;
    return true;
}

static bool
read_format(const struct reading *reading, const struct json *value)
{
    enum webhook_format format;
    if (value->type != JSON_STRING || !webhook_format_parse(value->text, &format))
        return refuse(reading, "must be one of immutable, fusionauth, slack, pagerduty");
    reading->webhook->format = format;
    return true;
}

static bool
is_list_of_strings(const struct json *value, size_t count_max, size_t len_max)
{
    if (value->type != JSON_ARRAY || value->count > count_max)
        return false;
    for (uint32_t i = 0; i < value->count; i++) {
        const struct json *item = &value->items[i];
        if (item->type != JSON_STRING || item->text.len == 0 || item->text.len > len_max)
            return false;
    }
    return true;
}

static bool
read_events(const struct reading *reading, const struct json *value)
{
    if (!is_list_of_strings(value, 10, 64) || value->count == 0)
        return refuse(reading, "must be a list with at least one event type");
    reading->webhook->events = *value;
    return true;
}

/* Which events go depends on the format, which may stand behind them. */
static bool
check_events(const struct webhook *webhook, struct violations *violations)
{
    for (uint32_t i = 0; i < webhook->events.count; i++) {
        struct str name = webhook->events.items[i].text;
        enum webhook_event event;
        if (!webhook_event_parse(name, &event) || !webhook_event_is_of(event, webhook->format))
            return violations_add(violations, STR("events"),
                                  "The event type %.*s is not known to the format %.*s.",
                                  STR_ARG(name), STR_ARG(webhook_format_name(webhook->format)));
    }
    return true;
}

static bool
read_signing_algorithm(const struct reading *reading, const struct json *value)
{
    enum jwt_algorithm algorithm;
    if (value->type != JSON_STRING || !jwt_algorithm_parse(value->text, &algorithm) ||
        algorithm == JWT_HS384 || algorithm == JWT_HS512)
        return refuse(reading, "must be one of HS256, RS256, ES256, Ed25519");
    reading->webhook->signing_algorithm = algorithm;
    return true;
}

static bool
read_rule_types(const struct reading *reading, const struct json *value)
{
    if (!is_null(value) && !is_list_of_strings(value, 50, 64))
        return refuse(reading, "must be a list of at most 50 rule types");
    reading->webhook->rule_types = is_null(value) ? (struct json){0} : *value;
    return true;
}

static bool
read_min_severity(const struct reading *reading, const struct json *value)
{
    reading->webhook->has_min_severity = !is_null(value);
    if (is_null(value))
        return true;
    if (value->type != JSON_STRING || !severity_parse(value->text, &reading->webhook->min_severity))
        return refuse(reading, "must be one of low, medium, high, critical");
    return true;
}

static bool
read_tenant_ids(const struct reading *reading, const struct json *value)
{
    if (!is_null(value) && !is_list_of_strings(value, LIMIT_TENANTS, LIMIT_STRING_BYTES))
        return refuse(reading, "must be a list of at most 100 tenant ids");
    reading->webhook->tenant_ids = is_null(value) ? (struct json){.type = JSON_ARRAY} : *value;
    return true;
}

static bool
read_enabled(const struct reading *reading, const struct json *value)
{
    if (value->type != JSON_BOOL)
        return refuse(reading, "must be true or false");
    reading->webhook->enabled = value->truth;
    if (value->truth)
        reading->webhook->disabled_reason = (struct str){0};
    return true;
}

/* One of Standard Webhooks is base64 behind its prefix, 24 to 64 bytes; any other is taken as it
 * is. */
static bool
is_good_secret(struct str secret)
{
    if (!str_starts(secret, STR("whsec_")))
        return true;
    struct buffer bytes;
    buffer_init(&bytes, WEBHOOK_SECRET_MAX);
    bool ok = base64_decode(&bytes, (struct str){secret.ptr + 6, secret.len - 6}, false) &&
              bytes.len >= 24 && bytes.len <= 64;
    buffer_fini(&bytes);
    return ok;
}

static bool
read_secret(const struct reading *reading, const struct json *value)
{
    if (is_null(value))
        return true;
    if (!reading->is_new)
        return refuse(reading, "is changed by POST /webhooks/{id}/rotate-secret");
    if (value->type != JSON_STRING || value->text.len < WEBHOOK_SECRET_MIN ||
        value->text.len > WEBHOOK_SECRET_MAX)
        return refuse(reading, "must be a string of 16 to 256 bytes");
    if (!is_good_secret(value->text))
        return refuse(reading, "must hold base64 of 24 to 64 bytes behind whsec_");
    reading->webhook->secret = value->text;
    return true;
}

static bool
read_headers(const struct reading *reading, const struct json *value)
{
    if (is_null(value) || (value->type == JSON_ARRAY && value->count == 0)) {
        reading->webhook->headers = (struct json){0};
        return true;
    }
    if (value->type != JSON_OBJECT || value->count > WEBHOOK_HEADERS_MAX)
        return refuse(reading, "must be an object of at most 20 headers");
    for (uint32_t i = 0; i < value->count; i++) {
        const char *why = webhook_header_wrong(value, i);
        if (why != NULL)
            return violations_add(reading->violations, reading->name, "The headers field: %.*s %s.",
                                  STR_ARG(utf8_cut(value->members[i].name, 100)), why);
    }
    struct json headers = *value;
    if (!webhook_headers_keep_hidden(&headers, &reading->before->headers, reading->arena))
        return refuse(reading, "is too large");
    reading->webhook->headers = headers;
    return true;
}

/* The secret of whoever takes the alerts, not ours. */
static bool
read_routing_key(const struct reading *reading, const struct json *value)
{
    if (is_null(value))
        return true; /* as it is shown */
    bool ok = value->type == JSON_STRING && value->text.len >= WEBHOOK_ROUTING_KEY_MIN &&
              value->text.len <= WEBHOOK_ROUTING_KEY_MAX;
    for (size_t i = 0; ok && i < value->text.len; i++)
        ok = value->text.ptr[i] > ' ' && value->text.ptr[i] <= '~';
    if (!ok)
        return refuse(reading, "must be an integration key of 16 to 128 visible characters");
    reading->webhook->routing_key = value->text;
    return true;
}

static bool
read_asymmetric(const struct reading *reading, const struct json *value)
{
    if (value->type != JSON_BOOL)
        return refuse(reading, "must be true or false");
    reading->webhook->asymmetric = value->truth;
    return true;
}

static bool
is_in_range(const struct json *value, int64_t least, int64_t most)
{
    return value->type == JSON_NUMBER && value->is_integer && value->integer >= least &&
           value->integer <= most;
}

static bool
read_connect_timeout(const struct reading *reading, const struct json *value)
{
    if (!is_in_range(value, 100, 10000))
        return refuse(reading, "must be an integer from 100 to 10000");
    reading->webhook->connect_timeout_ms = value->integer;
    return true;
}

static bool
read_timeout(const struct reading *reading, const struct json *value)
{
    if (!is_in_range(value, 100, 30000))
        return refuse(reading, "must be an integer from 100 to 30000");
    reading->webhook->timeout_ms = value->integer;
    return true;
}

static bool
read_fixed(const struct reading *reading, const struct json *value)
{
    (void)value;
    return refuse(reading, "is set by the server");
}

static const struct {
    struct str name;
    bool (*read)(const struct reading *reading, const struct json *value);
} members[] = {
    {STR_INIT("url"), read_url},
    {STR_INIT("description"), read_description},
    {STR_INIT("format"), read_format},
    {STR_INIT("events"), read_events},
    {STR_INIT("rule_types"), read_rule_types},
    {STR_INIT("min_severity"), read_min_severity},
    {STR_INIT("tenant_ids"), read_tenant_ids},
    {STR_INIT("enabled"), read_enabled},
    {STR_INIT("secret"), read_secret},
    {STR_INIT("headers"), read_headers},
    {STR_INIT("signing_algorithm"), read_signing_algorithm},
    {STR_INIT("asymmetric"), read_asymmetric},
    {STR_INIT("routing_key"), read_routing_key},
    {STR_INIT("connect_timeout_ms"), read_connect_timeout},
    {STR_INIT("timeout_ms"), read_timeout},
    {STR_INIT("id"), read_fixed},
    {STR_INIT("disabled_reason"), read_fixed},
    {STR_INIT("failing_since"), read_fixed},
    {STR_INIT("public_key"), read_fixed},
    {STR_INIT("created_at"), read_fixed},
    {STR_INIT("updated_at"), read_fixed},
};

static bool
read_member(struct reading *reading, const struct json_member *member)
{
    for (size_t i = 0; i < COUNT_OF(members); i++) {
        if (str_equal(members[i].name, member->name)) {
            reading->name = members[i].name;
            return members[i].read(reading, &member->value);
        }
    }
    struct str name = utf8_cut(member->name, 100);
    return violations_add(reading->violations, name, "The %.*s field is not known.", STR_ARG(name));
}

/* Of what a format tells, all that is not said of every login. */
static bool
fill_events(struct webhook *webhook, struct arena *arena)
{
    struct json *events = arena_array(arena, WEBHOOK_EVENTS, struct json);
    uint32_t count = 0;
    if (events == NULL)
        return false;
    for (enum webhook_event event = 0; event < WEBHOOK_EVENTS; event++)
        if (webhook_event_is_default(event, webhook->format))
            events[count++] = json_of_str(webhook_event_name(event));
    webhook->events = (struct json){.type = JSON_ARRAY, .count = count, .items = events};
    return true;
}

/* What one format cannot do without is none of another's business. */
static void
check_routing_key(struct webhook *webhook, const struct json *sent, struct violations *violations)
{
    if (webhook->format == WEBHOOK_PAGERDUTY) {
        if (webhook->routing_key.len == 0)
            violations_add(violations, STR("routing_key"),
                           "The routing_key field is required by the format pagerduty.");
        return;
    }
    if (json_get(sent, STR("routing_key"))->type == JSON_STRING)
        violations_add(violations, STR("routing_key"),
                       "The routing_key field is of the format pagerduty alone.");
    webhook->routing_key = (struct str){0};
}

static void
fill_defaults(struct webhook *webhook)
{
    webhook->tenant_ids = (struct json){.type = JSON_ARRAY};
    webhook->enabled = true;
    webhook->connect_timeout_ms = 2000;
    webhook->timeout_ms = 10000;
}

bool
webhook_read(const struct json *sent, struct arena *arena, struct webhook *webhook,
             struct violations *violations)
{
    if (sent->type != JSON_OBJECT)
        return violations_add(violations, STR("webhook"), "A webhook must be a JSON object.");
    struct webhook read = *webhook;
    struct reading reading = {
        .webhook = &read, .before = webhook, .arena = arena, .violations = violations};
    reading.is_new = webhook->connect_timeout_ms == 0;
    if (reading.is_new)
        fill_defaults(&read);

    size_t before = violations->total;
    struct str twice = json_duplicate(sent);
    if (twice.ptr != NULL)
        violations_add(violations, utf8_cut(twice, 100), "The %.*s field is given twice.",
                       STR_ARG(utf8_cut(twice, 100)));
    for (uint32_t i = 0; i < sent->count; i++)
        (void)read_member(&reading, &sent->members[i]);
    bool has_url = read.url.ptr != NULL || json_get(sent, STR("url"))->type != JSON_ABSENT;
    if (!has_url)
        read.url = webhook_format_url(read.format);
    if (!has_url && read.url.ptr == NULL)
        violations_add(violations, STR("url"), "The url field is required.");
    bool other_format = reading.is_new || read.format != webhook->format;
    if (other_format && json_get(sent, STR("events"))->type == JSON_ABSENT &&
        !fill_events(&read, arena))
        violations_add(violations, STR("webhook"), "The webhook is too large.");
    (void)check_events(&read, violations);
    check_routing_key(&read, sent, violations);
    if (webhook_url_is_secret(webhook->format) && !webhook_url_is_secret(read.format) &&
        read.url.ptr != NULL && read.url.ptr == webhook->url.ptr)
        violations_add(violations, STR("url"), "The url field is required with another format.");
    if (violations->total != before)
        return false;
    *webhook = read;
    return true;
}
