/* webhook - which alerts it takes, and its written forms. What users send is
 * read in webhook_read.c. */
#include "model/model_priv.h"
#include "model/webhook.h"

static const struct {
    struct str name;
    bool deliverable; /* there is a writer of its payload in notify/ */
} formats[] = {
    [WEBHOOK_IMMUTABLE] = {STR_INIT("immutable"), true},
    [WEBHOOK_FUSIONAUTH] = {STR_INIT("fusionauth"), false},
    [WEBHOOK_SLACK] = {STR_INIT("slack"), false},
    [WEBHOOK_PAGERDUTY] = {STR_INIT("pagerduty"), false},
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

bool
webhook_format_is_deliverable(enum webhook_format format)
{
    must((size_t)format < COUNT_OF(formats));
    return formats[format].deliverable;
}

bool
webhook_takes(const struct webhook *webhook, const struct alert *alert)
{
    if (alert->silent || !(alert->channels & CHANNEL_WEBHOOK))
        return false;
    if (alert->at < webhook->since || (webhook->until != 0 && alert->at >= webhook->until))
        return false;
    if (!model_list_holds(&webhook->events, STR("alert.triggered")))
        return false;
    if (webhook->rule_types.count > 0 && !model_list_holds(&webhook->rule_types, alert->rule_type))
        return false;
    if (webhook->has_min_severity && alert->severity < webhook->min_severity)
        return false;
    return webhook->tenant_ids.count == 0 ||
           model_list_holds(&webhook->tenant_ids, alert->tenant_id);
}

/* -- written forms --------------------------------------------------------------- */

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
    json_put_str(out, "url", webhook->url);
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
    json_name(out, "headers");
    if (webhook->headers.type == JSON_OBJECT)
        json_write(out, &webhook->headers);
    else
        buffer_add(out, STR("{}"));
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
    if (with_secret)
        json_put_str(out, "secret", webhook->secret);
    json_close(out, '}');
}

void
webhook_write_stored(struct buffer *out, const struct webhook *webhook)
{
    json_open(out, '{');
    write_settings(out, webhook);
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
    struct str format = {0}, severity = {0};
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
        (webhook.has_min_severity && !severity_parse(severity, &webhook.min_severity)))
        return err_set(err, ERR_CORRUPT, "a stored webhook cannot be read");
    *webhook_out = webhook;
    return true;
}
