/* payload - what a delivery says: alert and event are read from the log each time they are sent, so
 * that thousands may wait and cost a few words each. */
#include "notify/notify_priv.h"

#include "codec/hash.h"
#include "codec/text.h"
#include "model/ids.h"

#include <string.h>

/* One file per format. A format without a writer is refused when a webhook is made. */
static const payload_fn writers[] = {
    [WEBHOOK_IMMUTABLE] = payload_immutable,
    [WEBHOOK_FUSIONAUTH] = payload_fusionauth,
    [WEBHOOK_PAGERDUTY] = NULL,
};

enum { ALERTS_MAX = 1000 };

/* What was found in the log. */
struct found {
    struct notify *notify;
    const struct webhook *webhook;
    struct str workspace_id; /* the one it must be of */
    bool found;
    struct payload_alert *alerts; /* room for ALERTS_MAX */
    size_t alert_count;
    struct event event;
    struct event_integrity integrity;
    struct json source;
    struct err err; /* a row that cannot be read */
};

static bool
parse(struct found *found, struct str stored, struct json *json_out)
{
    struct notify *notify = found->notify;
    return json_parse(notify->parser, stored, &notify->scratch, json_out, &found->err);
}

static bool
read_alert(struct found *found, const struct journal_row *row, struct payload_alert *alert_out)
{
    struct json json;
    if (!parse(found, row->stored, &json) ||
        !alert_read_stored(&json, &found->notify->scratch, &alert_out->alert, &found->err))
        return false;
    alert_out->alert.at = (int64_t)row->at;
    alert_out->context = *json_get(&json, STR("context"));
    return true;
}

static bool
on_alert(void *self, const struct journal_row *row)
{
    struct found *found = self;
    found->found = str_equal(row->workspace_id, found->workspace_id) &&
                   read_alert(found, row, &found->alerts[0]);
    found->alert_count = found->found;
    return false;
}

/* Those of a login that the webhook hears of. */
static bool
on_alert_of_login(void *self, const struct journal_row *row)
{
    struct found *found = self;
    struct payload_alert *alert = &found->alerts[found->alert_count];
    *alert = (struct payload_alert){0};
    if (!read_alert(found, row, alert))
        return false;
    found->alert_count += webhook_hears(found->webhook, &alert->alert);
    return found->alert_count < ALERTS_MAX;
}

static bool
on_event(void *self, const struct journal_row *row)
{
    struct found *found = self;
    struct json json;
    if (!parse(found, row->stored, &json) ||
        !event_read_stored(&json, &found->notify->scratch, &found->event, &found->err))
        return false;
    found->integrity = row->integrity;
    found->found = true;
    return false;
}

static bool
on_source(void *self, const struct journal_row *row)
{
    struct found *found = self;
    struct str kept;
    if (arena_copy(&found->notify->scratch, row->stored, &kept))
        (void)parse(found, kept, &found->source);
    return false;
}

/* `ok`: what the journal said. */
static bool
check_found(struct found *found, bool ok, const char *what, struct err *err)
{
    if (!ok)
        return err_prefix(err, "%s", what);
    if (found->found)
        return true;
    if (found->err.code != ERR_NONE)
        return err_set(err, ERR_CORRUPT, "%s: %s", what, found->err.text);
    return err_set(err, ERR_NOT_FOUND, "%s is not in the log any more", what);
}

static bool
find_event(struct found *found, int64_t at, struct err *err)
{
    found->found = false;
    bool ok = journal_event_at(found->notify->options.journal, found->workspace_id, (log_at)at,
                               on_event, found, err);
    return check_found(found, ok, "the event", err);
}

static bool
find_alert(struct found *found, int64_t record_at, struct err *err)
{
    struct log_span span = {.from = (log_at)record_at, .to = (log_at)record_at};
    bool ok = journal_scan(found->notify->options.journal, span, JOURNAL_KIND_BIT(JOURNAL_ALERT),
                           found->workspace_id, on_alert, found, err);
    return check_found(found, ok, "the alert", err) &&
           find_event(found, found->alerts[0].alert.event_at, err);
}

/* A rule that was changed or deleted since is held to what it is now. */
static bool
begins_with_password_change(struct found *found, const struct alert *alert)
{
    struct rule rule;
    struct json conditions;
    struct err err = {0};
    struct arena *arena = &found->notify->scratch;
    if (!str_equal(alert->rule_type, STR("sequence")) ||
        !store_rule(found->notify->options.store, found->workspace_id, alert->rule_id, arena, &rule,
                    &err) ||
        !json_parse(found->notify->parser, rule.conditions, arena, &conditions, &err))
        return false;
    const struct json *pattern =
        json_get(json_get(&conditions, STR("first")), STR("action_pattern"));
    size_t count = pattern->type == JSON_ARRAY ? pattern->count : 1;
    const struct json *texts = pattern->type == JSON_ARRAY ? pattern->items : pattern;
    for (size_t i = 0; i < count; i++)
        if (texts[i].type == JSON_STRING && text_contains_nocase(texts[i].text, STR("password")))
            return true;
    return false;
}

static bool
find_login(struct found *found, const struct job *job, struct err *err)
{
    struct journal *journal = found->notify->options.journal;
    struct err no_source = {0};
    if (!find_event(found, job->record_at, err))
        return false;
    if (found->event.source.kind.len > 0 &&
        !journal_find_source(journal, found->workspace_id, found->event.id, on_source, found,
                             &no_source) &&
        no_source.code != ERR_NOT_FOUND) {
        *err = no_source;
        return false;
    }
    if (job->kind == WEBHOOK_LOGIN_SUCCESS || job->kind == WEBHOOK_LOGIN_FAILED)
        return true;
    bool ok = journal_alerts_of(journal, found->workspace_id, found->event.id, on_alert_of_login,
                                found, err);
    found->found = found->alert_count > 0;
    if (!check_found(found, ok, "what the login raised", err))
        return false;
    for (size_t i = 0; i < found->alert_count; i++)
        found->alerts[i].after_password_change =
            begins_with_password_change(found, &found->alerts[i].alert);
    return true;
}

bool
payload_write(struct notify *notify, const struct job *job, char id_out[static ID_SIZE],
              struct err *err)
{
    const struct webhook *webhook = job->lane->webhook;
    payload_fn write =
        (size_t)webhook->format < COUNT_OF(writers) ? writers[webhook->format] : NULL;
    bool is_login = job->kind != WEBHOOK_ALERT;
    if (write == NULL || !webhook_event_is_of(job->kind, webhook->format))
        return err_set(err, ERR_INPUT, "payloads of this format cannot be written");

    arena_reset(&notify->scratch);
    struct found found = {
        .notify = notify, .webhook = webhook, .workspace_id = job->lane->workspace_id};
    found.alerts = arena_array(&notify->scratch, is_login ? ALERTS_MAX : 1, struct payload_alert);
    must(found.alerts != NULL);
    if (!(is_login ? find_login(&found, job, err) : find_alert(&found, job->record_at, err)))
        return false;
    struct str record_id = is_login ? found.event.id : found.alerts[0].alert.id;
    if (record_id.len != ID_SIZE)
        return err_set(err, ERR_CORRUPT, "the record's id has %zu bytes", record_id.len);
    struct payload_parts parts = {.arena = &notify->scratch,
                                  .workspace_id = found.workspace_id,
                                  .kind = job->kind,
                                  .alerts = found.alerts,
                                  .alert_count = found.alert_count,
                                  .event = &found.event,
                                  .integrity = &found.integrity,
                                  .source = found.source};
    buffer_clear(&notify->body);
    write(&notify->body, &parts);
    if (notify->body.ran_out || notify->scratch.ran_out)
        return err_set(err, ERR_LIMIT, "the payload is larger than %d bytes", PAYLOAD_MAX);
    payload_delivery_id(record_id, job->kind, job->lane->webhook_id, id_out);
    return true;
}

void
payload_test(struct buffer *out, const struct webhook *webhook, int64_t now_us,
             struct random random)
{
    if (webhook->format == WEBHOOK_FUSIONAUTH) {
        payload_fusionauth_test(out, now_us, random);
        return;
    }
    json_open(out, '{');
    json_put_str(out, "event_type", STR("webhook.test"));
    json_put_str(out, "webhook_id", webhook->id);
    json_put_str(out, "workspace_id", webhook->workspace_id);
    json_put_time(out, "triggered_at", now_us);
    json_close(out, '}');
}

void
payload_delivery_id(struct str record_id, enum webhook_event kind, struct str webhook_id,
                    char out[static ID_SIZE])
{
    struct buffer both;
    unsigned char hash[SHA256_SIZE];
    buffer_init(&both, 4096);
    buffer_add(&both, record_id);
    if (kind != WEBHOOK_ALERT) /* an alert can be told of in one way only */
        buffer_add(&both, webhook_event_name(kind));
    buffer_add(&both, webhook_id);
    sha256_once(buffer_str(&both), hash);
    buffer_fini(&both);
    struct uuid uuid = uuid_v8(hash);
    memcpy(out, "dlv_", 4);
    uuid_format(&uuid, out + 4);
}
