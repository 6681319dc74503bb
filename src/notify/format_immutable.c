/* format_immutable - an alert as Immutable's webhooks show it, with everything we know besides. */
#include "notify/notify_priv.h"

void
payload_immutable(struct buffer *out, const struct payload_parts *parts)
{
    const struct alert *alert = &parts->alerts[0].alert;
    json_open(out, '{');
    json_put_str(out, "event_type", STR("alert.triggered"));
    json_put_str(out, "alert_id", alert->id);
    json_put_str(out, "rule_id", alert->rule_id);
    json_put_str(out, "rule_name", alert->rule_name);
    json_put_str(out, "rule_type", alert->rule_type);
    json_put_str(out, "severity", severity_name(alert->severity));
    json_put_str(out, "reason", alert->reason);
    json_put_time(out, "triggered_at", alert->triggered_at);
    json_put_str(out, "workspace_id", parts->workspace_id);
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
