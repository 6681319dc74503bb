/* immutable - an alert as Immutable's webhooks show it, with everything we know besides. */
#include "format/format_priv.h"

void
immutable_write(struct buffer *out, const struct format_parts *parts)
{
    const struct alert *alert = &parts->alerts[0].alert;
    json_open(out, '{');
    json_put_str(out, "event_type", webhook_event_name(parts->kind));
    json_put_str(out, "alert_id", alert->id);
    json_put_str(out, "rule_id", alert->rule_id);
    json_put_str(out, "rule_name", alert->rule_name);
    json_put_str(out, "rule_type", alert->rule_type);
    json_put_str(out, "severity", severity_name(alert->severity));
    json_put_str(out, "reason", alert->reason);
    json_put_time(out, "triggered_at", alert->triggered_at);
    json_put_str(out, "workspace_id", parts->webhook->workspace_id);
    json_name(out, "event");
    json_open(out, '{');
    event_write_members(out, parts->event, parts->integrity);
    json_close(out, '}');
    if (alert->context.len > 0)
        json_put_raw(out, "context", alert->context);
    else
        json_put_raw(out, "context", STR("{}"));
    json_close(out, '}');
}

void
immutable_write_test(struct buffer *out, const struct webhook *webhook, int64_t now_us,
                     struct random random)
{
    (void)random;
    json_open(out, '{');
    json_put_str(out, "event_type", STR("webhook.test"));
    json_put_str(out, "webhook_id", webhook->id);
    json_put_str(out, "workspace_id", webhook->workspace_id);
    json_put_time(out, "triggered_at", now_us);
    json_close(out, '}');
}
