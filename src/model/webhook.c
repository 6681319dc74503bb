/* webhook - which alerts it takes, and its written forms. What users send is
 * read in webhook_read.c. */
#include "model/model_priv.h"
#include "model/webhook_call.h"

#include "codec/text.h"

#include <string.h>

/* A format's bit of an event. */
#define BIT(event) (1u << (event))

static const struct {
    struct str name;
    struct str url; /* where it is called when nothing else is said */
    bool url_is_secret;
    unsigned of, default_of; /* bits of the events that it has, and tells when none are named */
} formats[] = {
    [WEBHOOK_IMMUTABLE] = {.name = STR_INIT("immutable"),
                           .of = BIT(WEBHOOK_ALERT) | BIT(WEBHOOK_ALERT_RESOLVED),
                           .default_of = BIT(WEBHOOK_ALERT)},
    [WEBHOOK_FUSIONAUTH] = {.name = STR_INIT("fusionauth"),
                            .of = BIT(WEBHOOK_LOGIN_SUSPICIOUS) | BIT(WEBHOOK_LOGIN_NEW_DEVICE) |
                                  BIT(WEBHOOK_LOGIN_SUCCESS) | BIT(WEBHOOK_LOGIN_FAILED),
                            .default_of = BIT(WEBHOOK_LOGIN_SUSPICIOUS)},
    [WEBHOOK_SLACK] = {.name = STR_INIT("slack"),
                       .url_is_secret = true,
                       .of = BIT(WEBHOOK_ALERT) | BIT(WEBHOOK_ALERT_RESOLVED),
                       .default_of = BIT(WEBHOOK_ALERT)},
    [WEBHOOK_PAGERDUTY] = {.name = STR_INIT("pagerduty"),
                           .url = STR_INIT("https://events.pagerduty.com/v2/enqueue"),
                           .of = BIT(WEBHOOK_ALERT) | BIT(WEBHOOK_ALERT_RESOLVED),
                           .default_of = BIT(WEBHOOK_ALERT) | BIT(WEBHOOK_ALERT_RESOLVED)},
};

struct str
webhook_format_name(enum webhook_format format)
{
    must((size_t)format < COUNT_OF(formats));
    return formats[format].name;
}

bool
webhook_format_parse(struct str text, enum webhook_format *format_out)
{
    for (size_t i = 0; i < COUNT_OF(formats); i++) {
        if (str_equal(formats[i].name, text)) {
            *format_out = (enum webhook_format)i;
            return true;
        }
    }
    return false;
}

struct str
webhook_format_url(enum webhook_format format)
{
    must((size_t)format < COUNT_OF(formats));
    return formats[format].url;
}

bool
webhook_url_is_secret(enum webhook_format format)
{
    must((size_t)format < COUNT_OF(formats));
    return formats[format].url_is_secret;
}

/* -- what is told ------------------------------------------------------------------ */

static const struct str kinds[WEBHOOK_EVENTS] = {
    [WEBHOOK_ALERT] = STR_INIT("alert.triggered"),
    [WEBHOOK_ALERT_RESOLVED] = STR_INIT("alert.resolved"),
    [WEBHOOK_LOGIN_SUSPICIOUS] = STR_INIT("user.login.suspicious"),
    [WEBHOOK_LOGIN_NEW_DEVICE] = STR_INIT("user.login.new-device"),
    [WEBHOOK_LOGIN_SUCCESS] = STR_INIT("user.login.success"),
    [WEBHOOK_LOGIN_FAILED] = STR_INIT("user.login.failed"),
    [WEBHOOK_NOTICE] = STR_INIT("notice"),
};

struct str
webhook_event_name(enum webhook_event event)
{
    must((size_t)event < COUNT_OF(kinds));
    return kinds[event];
}

bool
webhook_event_parse(struct str text, enum webhook_event *event_out)
{
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        if (str_equal(kinds[i], text)) {
            *event_out = (enum webhook_event)i;
            return true;
        }
    }
    return false;
}

bool
webhook_event_is_of(enum webhook_event event, enum webhook_format format)
{
    must((size_t)event < COUNT_OF(kinds) && (size_t)format < COUNT_OF(formats));
    return (formats[format].of & BIT(event)) != 0;
}

bool
webhook_event_is_default(enum webhook_event event, enum webhook_format format)
{
    must((size_t)event < COUNT_OF(kinds) && (size_t)format < COUNT_OF(formats));
    return (formats[format].default_of & BIT(event)) != 0;
}

bool
webhook_event_is_login(enum webhook_event event)
{
    must((size_t)event < COUNT_OF(kinds));
    return event != WEBHOOK_ALERT && event != WEBHOOK_ALERT_RESOLVED && event != WEBHOOK_NOTICE;
}

bool
webhook_event_is_plain(enum webhook_event event)
{
    return event == WEBHOOK_LOGIN_SUCCESS || event == WEBHOOK_LOGIN_FAILED;
}

bool
webhook_login_kind(const struct event *event, enum webhook_event *kind_out)
{
    /* FusionAuth calls a session that is used again a login, and tells of it as one. */
    bool reused = str_equal(event->action, STR("auth.session_reused")) &&
                  str_equal(event->source.kind, STR("fusionauth"));
    if (reused || str_equal(event->action, STR("auth.login")))
        *kind_out = WEBHOOK_LOGIN_SUCCESS;
    else if (str_equal(event->action, STR("auth.login_failed")))
        *kind_out = WEBHOOK_LOGIN_FAILED;
    else
        return false;
    return true;
}

/* -- what is taken ----------------------------------------------------------------- */

static bool
is_in_force(const struct webhook *webhook, int64_t at)
{
    return at >= webhook->since && (webhook->until == 0 || at < webhook->until);
}

static bool
is_for(const struct webhook *webhook, struct str tenant_id)
{
    return webhook->tenant_ids.count == 0 || model_list_holds(&webhook->tenant_ids, tenant_id);
}

bool
webhook_wants(const struct webhook *webhook, enum webhook_event event)
{
    return model_list_holds(&webhook->events, webhook_event_name(event));
}

bool
webhook_takes_login(const struct webhook *webhook, enum webhook_event kind, struct str tenant_id,
                    int64_t at)
{
    return is_in_force(webhook, at) && is_for(webhook, tenant_id) && webhook_wants(webhook, kind);
}

bool
webhook_takes(const struct webhook *webhook, const struct alert *alert)
{
    return webhook_wants(webhook, WEBHOOK_ALERT) && webhook_hears(webhook, alert);
}

bool
webhook_takes_resolved(const struct webhook *webhook, const struct alert *alert)
{
    return webhook->enabled && webhook_wants(webhook, WEBHOOK_ALERT_RESOLVED) &&
           webhook_hears(webhook, alert);
}

bool
webhook_hears(const struct webhook *webhook, const struct alert *alert)
{
    if (alert->silent || !(alert->channels & CHANNEL_WEBHOOK))
        return false;
    if (!is_in_force(webhook, alert->at))
        return false;
    if (webhook->rule_types.count > 0 && !model_list_holds(&webhook->rule_types, alert->rule_type))
        return false;
    if (webhook->has_min_severity && alert->severity < webhook->min_severity)
        return false;
    return is_for(webhook, alert->tenant_id);
}

/* -- written forms --------------------------------------------------------------- */

enum { KEY_HALF = 32 };

bool
webhook_public_key(struct str signing_key, char out[static WEBHOOK_PUBLIC_KEY_SIZE])
{
    struct str prefix = STR("whsk_"), text = signing_key;
    struct buffer key, shown;
    if (!str_starts(text, prefix))
        return false;
    buffer_init(&key, 2 * (size_t)KEY_HALF);
    buffer_init(&shown, WEBHOOK_PUBLIC_KEY_SIZE + 1);
    bool ok =
        base64_decode(&key, (struct str){text.ptr + prefix.len, text.len - prefix.len}, false) &&
        key.len == 2 * (size_t)KEY_HALF;
    if (ok) {
        buffer_add(&shown, STR("whpk_"));
        base64_encode(&shown, (struct str){key.ptr + KEY_HALF, KEY_HALF}, false);
        must(shown.len == WEBHOOK_PUBLIC_KEY_SIZE);
        memcpy(out, shown.ptr, WEBHOOK_PUBLIC_KEY_SIZE);
    }
    buffer_fini(&key);
    buffer_fini(&shown);
    return ok;
}

static void
put_public_key(struct buffer *out, const struct webhook *webhook)
{
    char text[WEBHOOK_PUBLIC_KEY_SIZE];
    bool has = webhook->asymmetric && webhook_public_key(webhook->signing_key, text);
    json_put_str(out, "public_key", has ? (struct str){text, sizeof text} : (struct str){0});
}

static void
put_list(struct buffer *out, const char *name, const struct json *list)
{
    json_name(out, name);
    if (list->type == JSON_ARRAY)
        json_write(out, list);
    else
        buffer_add(out, STR("[]"));
}

static void
write_settings(struct buffer *out, const struct webhook *webhook)
{
    json_put_str(out, "id", webhook->id);
    json_put_str(out, "description", webhook->description);
    json_put_str(out, "format", webhook_format_name(webhook->format));
    put_list(out, "events", &webhook->events);
    put_list(out, "rule_types", &webhook->rule_types);
    json_put_str(out, "min_severity",
                 webhook->has_min_severity ? severity_name(webhook->min_severity)
                                           : (struct str){0});
    put_list(out, "tenant_ids", &webhook->tenant_ids);
    json_put_bool(out, "enabled", webhook->enabled);
    json_put_str(out, "disabled_reason", webhook->disabled_reason);
    json_put_bool(out, "asymmetric", webhook->asymmetric);
    if (webhook->format == WEBHOOK_FUSIONAUTH)
        json_put_str(out, "signing_algorithm", jwt_algorithm_name(webhook->signing_algorithm));
    json_put_int(out, "connect_timeout_ms", webhook->connect_timeout_ms);
    json_put_int(out, "timeout_ms", webhook->timeout_ms);
    json_put_time(out, "created_at", webhook->created_at);
    json_put_time(out, "updated_at", webhook->updated_at);
}

void
webhook_write(struct buffer *out, const struct webhook *webhook, bool with_secret)
{
    json_open(out, '{');
    write_settings(out, webhook);
    struct buffer url;
    buffer_init(&url, WEBHOOK_URL_MAX + 64);
    webhook_url_write_shown(&url, webhook);
    json_put_str(out, "url", buffer_str(&url));
    buffer_fini(&url);
    json_name(out, "headers");
    webhook_headers_write_shown(out, webhook);
    put_public_key(out, webhook);
    if (webhook->failing_since != 0)
        json_put_time(out, "failing_since", webhook->failing_since);
    else
        json_put_null(out, "failing_since");
    if (with_secret)
        json_put_str(out, "secret", webhook->secret);
    json_close(out, '}');
}

void
webhook_write_stored(struct buffer *out, const struct webhook *webhook)
{
    json_open(out, '{');
    write_settings(out, webhook);
    json_put_str(out, "url", webhook->url);
    model_put_json(out, "headers", &webhook->headers);
    json_put_str(out, "signing_key", webhook->signing_key);
    json_put_str(out, "old_signing_key", webhook->old_signing_key);
    json_put_str(out, "routing_key", webhook->routing_key);
    json_put_str(out, "workspace_id", webhook->workspace_id);
    json_put_str(out, "secret", webhook->secret);
    json_put_str(out, "old_secret", webhook->old_secret);
    json_put_int(out, "old_secret_until", webhook->old_secret_until);
    json_put_int(out, "since", webhook->since);
    json_put_int(out, "until", webhook->until);
    json_close(out, '}');
}

bool
webhook_read_stored(const struct json *stored, struct webhook *webhook_out, struct err *err)
{
    struct webhook webhook = {0};
    struct str format = {0}, severity = {0}, algorithm = {0};
    bool ok = stored->type == JSON_OBJECT && model_read_str(stored, "id", &webhook.id) &&
              model_read_str(stored, "url", &webhook.url) &&
              model_read_str(stored, "description", &webhook.description) &&
              model_read_str(stored, "format", &format) &&
              model_read_json(stored, "events", JSON_ARRAY, &webhook.events) &&
              model_read_json(stored, "rule_types", JSON_ARRAY, &webhook.rule_types) &&
              model_read_str(stored, "min_severity", &severity) &&
              model_read_json(stored, "tenant_ids", JSON_ARRAY, &webhook.tenant_ids) &&
              model_read_bool(stored, "enabled", &webhook.enabled) &&
              model_read_str(stored, "disabled_reason", &webhook.disabled_reason) &&
              model_read_json(stored, "headers", JSON_OBJECT, &webhook.headers) &&
              model_read_str(stored, "signing_algorithm", &algorithm) &&
              model_read_bool(stored, "asymmetric", &webhook.asymmetric) &&
              model_read_str(stored, "signing_key", &webhook.signing_key) &&
              model_read_str(stored, "old_signing_key", &webhook.old_signing_key) &&
              model_read_str(stored, "routing_key", &webhook.routing_key) &&
              model_read_int(stored, "connect_timeout_ms", &webhook.connect_timeout_ms) &&
              model_read_int(stored, "timeout_ms", &webhook.timeout_ms) &&
              model_read_time(stored, "created_at", &webhook.created_at) &&
              model_read_time(stored, "updated_at", &webhook.updated_at) &&
              model_read_str(stored, "workspace_id", &webhook.workspace_id) &&
              model_read_str(stored, "secret", &webhook.secret) &&
              model_read_str(stored, "old_secret", &webhook.old_secret) &&
              model_read_int(stored, "old_secret_until", &webhook.old_secret_until) &&
              model_read_int(stored, "since", &webhook.since) &&
              model_read_int(stored, "until", &webhook.until);
    webhook.has_min_severity = severity.ptr != NULL;
    if (!ok || webhook.id.len == 0 || webhook.url.len == 0 ||
        !webhook_format_parse(format, &webhook.format) ||
        (webhook.has_min_severity && !severity_parse(severity, &webhook.min_severity)) ||
        (algorithm.ptr != NULL && !jwt_algorithm_parse(algorithm, &webhook.signing_algorithm)))
        return err_set(err, ERR_CORRUPT, "a stored webhook cannot be read");
    *webhook_out = webhook;
    return true;
}
