/* pagerduty - an alert as an event of PagerDuty's Events API v2: it triggers an incident, and what
 * somebody says became of the alert resolves it. Both bear the alert's id as their dedup_key, so
 * that what is sent twice is one incident. */
#include "format/format_priv.h"

enum { SUMMARY_MAX = 1024, FACT_MAX = 65536, SOURCE_MAX = 255 };

static const struct str severities[] = {
    [SEVERITY_LOW] = STR_INIT("info"),
    [SEVERITY_MEDIUM] = STR_INIT("warning"),
    [SEVERITY_HIGH] = STR_INIT("error"),
    [SEVERITY_CRITICAL] = STR_INIT("critical"),
};

static void
put_cut(struct buffer *out, const char *name, struct str text, size_t size)
{
    struct buffer cut;
    buffer_init(&cut, size + 1);
    format_add_cut(&cut, text, size);
    json_put_str(out, name, buffer_str(&cut));
    buffer_fini(&cut);
}

static void
write_details(struct buffer *out, const struct format_parts *parts)
{
    const struct alert *alert = &parts->alerts[0].alert;
    struct buffer fact;
    buffer_init(&fact, FACT_MAX);
    json_name(out, "custom_details");
    json_open(out, '{');
    for (size_t i = 0; i < format_fact_count; i++) {
        buffer_clear(&fact);
        format_facts[i].write(&fact, parts);
        if (fact.len > 0)
            json_put_str(out, format_facts[i].name, buffer_str(&fact));
    }
    json_put_str(out, "alert_id", alert->id);
    json_put_str(out, "event_id", parts->event->id);
    json_put_raw(out, "context", alert->context.len > 0 ? alert->context : STR("{}"));
    json_close(out, '}');
    buffer_fini(&fact);
}

static void
write_payload(struct buffer *out, const struct format_parts *parts)
{
    const struct alert *alert = &parts->alerts[0].alert;
    json_name(out, "payload");
    json_open(out, '{');
    put_cut(out, "summary", alert->reason.len > 0 ? alert->reason : alert->rule_name, SUMMARY_MAX);
    put_cut(out, "source", parts->event->actor_id, SOURCE_MAX);
    json_put_str(out, "severity", severities[alert->severity]);
    json_put_time(out, "timestamp", alert->triggered_at);
    json_put_str(out, "class", alert->rule_type);
    json_put_str(out, "group", parts->webhook->workspace_id);
    write_details(out, parts);
    json_close(out, '}');
}

static void
write_link(struct buffer *out, const struct format_parts *parts)
{
    struct buffer link;
    buffer_init(&link, FACT_MAX);
    format_write_link(&link, parts);
    json_put_str(out, "client", STR("Tocsin"));
    if (link.len > 0)
        json_put_str(out, "client_url", buffer_str(&link));
    buffer_fini(&link);
}

void
pagerduty_write(struct buffer *out, const struct format_parts *parts)
{
    bool resolves = parts->kind == WEBHOOK_ALERT_RESOLVED;
    json_open(out, '{');
    json_put_str(out, "routing_key", parts->webhook->routing_key);
    json_put_str(out, "event_action", resolves ? STR("resolve") : STR("trigger"));
    json_put_str(out, "dedup_key", parts->alerts[0].alert.id);
    if (!resolves) {
        write_link(out, parts);
        write_payload(out, parts);
    }
    json_close(out, '}');
}

/* Of the lowest severity, and always the same incident. */
void
pagerduty_write_test(struct buffer *out, const struct webhook *webhook, int64_t now_us,
                     struct random random)
{
    (void)random;
    json_open(out, '{');
    json_put_str(out, "routing_key", webhook->routing_key);
    json_put_str(out, "event_action", STR("trigger"));
    json_put_str(out, "dedup_key", webhook->id);
    json_put_str(out, "client", STR("Tocsin"));
    json_name(out, "payload");
    json_open(out, '{');
    json_put_str(out, "summary", STR("A test of a webhook by Tocsin: nothing has happened"));
    json_put_str(out, "source", webhook->id);
    json_put_str(out, "severity", STR("info"));
    json_put_time(out, "timestamp", now_us);
    json_close(out, '}');
    json_close(out, '}');
}
