/* alert - the written forms of an alert, and its identity. */
#include <string.h>

#include "codec/text.h"
#include "model/alert.h"
#include "model/model_priv.h"

void
alert_id(struct str event_id, struct str rule_id, char out[static ALERT_ID_SIZE])
{
    unsigned char hash[SHA256_SIZE];
    struct sha256 *sha = sha256_new();
    sha256_begin(sha);
    sha256_add(sha, event_id.ptr, event_id.len);
    sha256_add(sha, rule_id.ptr, rule_id.len);
    sha256_end(sha, hash);
    sha256_free(sha);

    struct uuid uuid = uuid_v8(hash);
    memcpy(out, "alt_", 4);
    uuid_format(&uuid, out + 4);
}

void
alert_write_stored(struct buffer *out, const struct alert *alert)
{
    json_open(out, '{');
    json_put_str(out, "id", alert->id);
    json_put_str(out, "rule_id", alert->rule_id);
    json_put_str(out, "rule_name", alert->rule_name);
    json_put_str(out, "rule_type", alert->rule_type);
    json_put_str(out, "severity", severity_name(alert->severity));
    json_put_int(out, "channels", (int64_t)alert->channels);
    model_put_json(out, "emails", &alert->emails);
    json_put_bool(out, "silent", alert->silent);
    json_put_str(out, "reason", alert->reason);
    json_put_time(out, "triggered_at", alert->triggered_at);
    json_put_str(out, "event_id", alert->event_id);
    json_put_int(out, "event_at", alert->event_at);
    json_put_str(out, "actor_id", alert->actor_id);
    json_put_str(out, "tenant_id", alert->tenant_id);
    json_put_raw(out, "context", alert->context);
    json_put_int(out, "at", alert->at);
    json_close(out, '}');
}

bool
alert_read_stored(const struct json *stored, struct arena *arena, struct alert *alert_out,
                  struct err *err)
{
    struct alert alert = {0};
    struct str severity = {0};
    struct json context = {0};
    int64_t channels = 0;
    bool ok = stored->type == JSON_OBJECT && model_read_str(stored, "id", &alert.id) &&
              model_read_str(stored, "rule_id", &alert.rule_id) &&
              model_read_str(stored, "rule_name", &alert.rule_name) &&
              model_read_str(stored, "rule_type", &alert.rule_type) &&
              model_read_str(stored, "severity", &severity) &&
              model_read_int(stored, "channels", &channels) &&
              model_read_json(stored, "emails", JSON_ARRAY, &alert.emails) &&
              model_read_bool(stored, "silent", &alert.silent) &&
              model_read_str(stored, "reason", &alert.reason) &&
              model_read_time(stored, "triggered_at", &alert.triggered_at) &&
              model_read_str(stored, "event_id", &alert.event_id) &&
              model_read_int(stored, "event_at", &alert.event_at) &&
              model_read_str(stored, "actor_id", &alert.actor_id) &&
              model_read_str(stored, "tenant_id", &alert.tenant_id) &&
              model_read_json(stored, "context", JSON_OBJECT, &context) &&
              model_read_int(stored, "at", &alert.at);
    if (!ok || alert.id.len == 0 || alert.event_id.len == 0 ||
        !severity_parse(severity, &alert.severity))
        return err_set(err, ERR_CORRUPT, "a stored alert cannot be read");
    alert.channels = (unsigned)channels;
    if (context.type == JSON_OBJECT && !model_text_of(&context, false, arena, &alert.context))
        return err_set(err, ERR_LIMIT, "a stored alert does not fit into memory");
    *alert_out = alert;
    return true;
}

static void
put_time_or_null(struct buffer *out, const char *name, int64_t time_us)
{
    if (time_us != 0)
        json_put_time(out, name, time_us);
    else
        json_put_null(out, name);
}

void
alert_write_members(struct buffer *out, const struct alert *alert,
                    const struct alert_triage *triage)
{
    static const struct alert_triage untouched = {.status = STR_INIT("open")};
    if (triage == NULL)
        triage = &untouched;
    json_put_str(out, "id", alert->id);
    json_put_str(out, "rule_id", alert->rule_id);
    json_put_str(out, "rule_name", alert->rule_name);
    json_put_str(out, "rule_type", alert->rule_type);
    json_put_str(out, "severity", severity_name(alert->severity));
    json_put_str(out, "reason", alert->reason);
    json_put_time(out, "triggered_at", alert->triggered_at);
    put_time_or_null(out, "notified_at", triage->notified_at);
    json_put_str(out, "status", triage->status.len > 0 ? triage->status : untouched.status);
    json_put_str(out, "note", triage->note);
    json_put_str(out, "triaged_by", triage->by);
    put_time_or_null(out, "triaged_at", triage->at);
    json_put_str(out, "event_id", alert->event_id);
    json_put_str(out, "actor_id", alert->actor_id);
    json_put_str(out, "tenant_id", alert->tenant_id);
    json_put_raw(out, "context", alert->context.ptr != NULL ? alert->context : STR("{}"));
}
