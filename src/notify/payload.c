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
    [WEBHOOK_PAGERDUTY] = NULL,
};

/* What a row of the log was found to hold. */
struct found {
    struct notify *notify;
    struct str workspace_id; /* the one it must be of */
    bool found;
    struct alert alert;
    struct event event;
    struct event_integrity integrity;
    struct err err; /* a row that cannot be read */
};

static bool
parse(struct found *found, struct str stored, struct json *json_out)
{
    struct notify *notify = found->notify;
    return json_parse(notify->parser, stored, &notify->scratch, json_out, &found->err);
}

static bool
read_alert(void *self, const struct journal_row *row)
{
    struct found *found = self;
    struct json json;
    if (!str_equal(row->workspace_id, found->workspace_id) || !parse(found, row->stored, &json) ||
        !alert_read_stored(&json, &found->notify->scratch, &found->alert, &found->err))
        return false;
    found->alert.at = (int64_t)row->at;
    found->found = true;
    return false;
}

static bool
read_event(void *self, const struct journal_row *row)
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
find_both(struct found *found, int64_t record_at, struct err *err)
{
    struct journal *journal = found->notify->options.journal;
    struct log_span span = {.from = (log_at)record_at, .to = (log_at)record_at};
    bool ok = journal_scan(journal, span, JOURNAL_KIND_BIT(JOURNAL_ALERT), found->workspace_id,
                           read_alert, found, err);
    if (!check_found(found, ok, "the alert", err))
        return false;
    found->found = false;
    ok = journal_event_at(journal, found->workspace_id, (log_at)found->alert.event_at, read_event,
                          found, err);
    return check_found(found, ok, "the alert's event", err);
}

bool
payload_write(struct notify *notify, const struct job *job, char alert_id_out[static ID_SIZE],
              struct err *err)
{
    const struct webhook *webhook = job->lane->webhook;
    payload_fn write =
        (size_t)webhook->format < COUNT_OF(writers) ? writers[webhook->format] : NULL;
    if (write == NULL)
        return err_set(err, ERR_INPUT, "payloads of this format cannot be written");

    arena_reset(&notify->scratch);
    struct found found = {.notify = notify, .workspace_id = job->lane->workspace_id};
    if (!find_both(&found, job->record_at, err))
        return false;
    if (found.alert.id.len != ID_SIZE)
        return err_set(err, ERR_CORRUPT, "the alert's id has %zu bytes", found.alert.id.len);
    struct payload_parts parts = {.workspace_id = found.workspace_id,
                                  .alert = &found.alert,
                                  .event = &found.event,
                                  .integrity = &found.integrity};
    buffer_clear(&notify->body);
    write(&notify->body, &parts);
    if (notify->body.ran_out)
        return err_set(err, ERR_LIMIT, "the payload is larger than %d bytes", PAYLOAD_MAX);
    memcpy(alert_id_out, found.alert.id.ptr, ID_SIZE);
    return true;
}

void
payload_test(struct buffer *out, const struct webhook *webhook, int64_t now_us)
{
    json_open(out, '{');
    json_put_str(out, "event_type", STR("webhook.test"));
    json_put_str(out, "webhook_id", webhook->id);
    json_put_str(out, "workspace_id", webhook->workspace_id);
    json_put_time(out, "triggered_at", now_us);
    json_close(out, '}');
}

void
payload_delivery_id(struct str alert_id, struct str webhook_id, char out[static ID_SIZE])
{
    struct buffer both;
    unsigned char hash[SHA256_SIZE];
    buffer_init(&both, 4096);
    buffer_add(&both, alert_id);
    buffer_add(&both, webhook_id);
    sha256_once(buffer_str(&both), hash);
    buffer_fini(&both);
    struct uuid uuid = uuid_v8(hash);
    memcpy(out, "dlv_", 4);
    uuid_format(&uuid, out + 4);
}
