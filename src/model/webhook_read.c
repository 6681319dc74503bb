/* webhook_read - a webhook as users send it: checked member by member, every
 * complaint names the field. One row per member. */
#include <string.h>
#include <strings.h>

#include "codec/text.h"
#include "model/limits.h"
#include "model/webhook.h"

/* What the rows are given. */
struct reading {
    struct webhook *webhook;
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

/* -- url ---------------------------------------------------------------------- */

static bool
is_host_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_';
}

static bool
is_host(struct str host)
{
    if (host.len == 0 || host.len > 253)
        return false;
    if (host.ptr[0] == '[') {
        struct address address;
        return host.ptr[host.len - 1] == ']' &&
               address_parse((struct str){host.ptr + 1, host.len - 2}, &address);
    }
    for (size_t i = 0; i < host.len; i++)
        if (!is_host_char(host.ptr[i]))
            return false;
    return true;
}

/* host, [v6], each with or without a port. */
static bool
is_authority(struct str authority)
{
    size_t host_len = authority.len;
    for (size_t i = authority.len; i > 0; i--) {
        char c = authority.ptr[i - 1];
        if (c == ']')
            break;
        if (c == ':') {
            host_len = i - 1;
            break;
        }
    }
    if (host_len < authority.len) {
        int64_t port = 0;
        struct str digits = {authority.ptr + host_len + 1, authority.len - host_len - 1};
        if (digits.len > 5 || !str_to_int(digits, &port) || port < 1 || port > 65535)
            return false;
    }
    return is_host((struct str){authority.ptr, host_len});
}

static bool
read_url(const struct reading *reading, const struct json *value)
{
    struct str url = value->text;
    if (value->type != JSON_STRING || url.len == 0)
        return refuse(reading, "must be a URL");
    if (url.len > WEBHOOK_URL_MAX)
        return refuse(reading, "may be at most 2,048 bytes");
    for (size_t i = 0; i < url.len; i++)
        if (url.ptr[i] <= ' ' || url.ptr[i] > '~' || url.ptr[i] == '\\')
            return refuse(reading, "holds characters that must be percent-encoded");
    size_t scheme = 0;
    if (url.len > 8 && strncasecmp(url.ptr, "https://", 8) == 0)
        scheme = 8;
    else if (url.len > 7 && strncasecmp(url.ptr, "http://", 7) == 0)
        scheme = 7;
    else
        return refuse(reading, "must begin with https:// or http://");
    struct str authority = {url.ptr + scheme, 0};
    while (scheme + authority.len < url.len && strchr("/?#", authority.ptr[authority.len]) == NULL)
        authority.len++;
    if (memchr(authority.ptr, '@', authority.len) != NULL)
        return refuse(reading, "may not hold a user name or password");
    if (!is_authority(authority))
        return refuse(reading, "has no valid host");
    reading->webhook->url = url;
    return true;
}

/* -- the others ------------------------------------------------------------------- */

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
    if (!webhook_format_is_deliverable(format))
        return violations_add(reading->violations, reading->name,
                              "The format %.*s is not supported by this version.",
                              STR_ARG(webhook_format_name(format)));
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
is_reserved_header(struct str name)
{
    static const char *const reserved[] = {
        "host",
        "content-type",
        "content-length",
        "content-encoding",
        "user-agent",
        "connection",
        "transfer-encoding",
        "te",
        "trailer",
        "upgrade",
        "proxy-authorization",
        "expect",
        "keep-alive",
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
        "x-immutable-signature",
        "x-fusionauth-signature-jwt",
    };
    for (size_t i = 0; i < COUNT_OF(reserved); i++)
        if (strlen(reserved[i]) == name.len && strncasecmp(reserved[i], name.ptr, name.len) == 0)
            return true;
    return false;
}

/* A token of RFC 9110. */
static bool
is_header_name(struct str name)
{
    if (name.len == 0 || name.len > 100)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!alnum && (c == '\0' || strchr("!#$%&'*+-.^_`|~", c) == NULL))
            return false;
    }
    return true;
}

static bool
is_header_value(const struct json *value)
{
    if (value->type != JSON_STRING || value->text.len > LIMIT_STRING_BYTES)
        return false;
    for (size_t i = 0; i < value->text.len; i++) {
        unsigned char c = (unsigned char)value->text.ptr[i];
        if ((c < ' ' && c != '\t') || c > '~')
            return false;
    }
    return true;
}

static bool
header_came_before(const struct json *headers, uint32_t at)
{
    struct str name = headers->members[at].name;
    for (uint32_t i = 0; i < at; i++) {
        struct str other = headers->members[i].name;
        if (other.len == name.len && strncasecmp(other.ptr, name.ptr, name.len) == 0)
            return true;
    }
    return false;
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
        struct str name = value->members[i].name;
        const char *why = !is_header_name(name)                        ? "is no header name"
                          : is_reserved_header(name)                   ? "is set by the server"
                          : !is_header_value(&value->members[i].value) ? "has no valid value"
                          : header_came_before(value, i)               ? "is named twice"
                                                                       : NULL;
        if (why != NULL)
            return violations_add(reading->violations, reading->name, "The headers field: %.*s %s.",
                                  STR_ARG(utf8_cut(name, 100)), why);
    }
    reading->webhook->headers = *value;
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
    {STR_INIT("connect_timeout_ms"), read_connect_timeout},
    {STR_INIT("timeout_ms"), read_timeout},
    {STR_INIT("id"), read_fixed},
    {STR_INIT("disabled_reason"), read_fixed},
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
    struct json *events = arena_new(arena, struct json);
    if (events == NULL)
        return false;
    *events = json_of_str(webhook_event_name(
        webhook->format == WEBHOOK_FUSIONAUTH ? WEBHOOK_LOGIN_SUSPICIOUS : WEBHOOK_ALERT));
    webhook->events = (struct json){.type = JSON_ARRAY, .count = 1, .items = events};
    return true;
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
    struct reading reading = {.webhook = &read, .violations = violations};
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
    if (read.url.ptr == NULL && json_get(sent, STR("url"))->type == JSON_ABSENT)
        violations_add(violations, STR("url"), "The url field is required.");
    bool other_format = reading.is_new || read.format != webhook->format;
    if (other_format && json_get(sent, STR("events"))->type == JSON_ABSENT &&
        !fill_events(&read, arena))
        violations_add(violations, STR("webhook"), "The webhook is too large.");
    (void)check_events(&read, violations);
    if (violations->total != before)
        return false;
    *webhook = read;
    return true;
}
