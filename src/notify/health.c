/* health - whether receivers answer, and what becomes of a webhook whose does not for days.
 *
 * A receiver fails from the first failure after a success on. After five days of that, seen at a
 * failure, its webhook is switched off and the workspace's admins are written to. Where nothing was
 * sent for two days, longer than the schedule ever waits, nothing is known of that time, and it
 * begins anew. */
#include "notify/notify_priv.h"

#include "model/webhook_call.h"

#define FAILING_MAX_US (5 * TIME_US_PER_DAY)
#define UNKNOWN_US     (2 * TIME_US_PER_DAY)

void
health_take(const struct notify *notify, struct lane *lane, const struct webhook *webhook)
{
    if (lane->health_changed || !book_is_written(&notify->book, lane->health_batch))
        return;
    lane->failing_since = webhook->failing_since;
    lane->failed_at = webhook->failed_at;
}

void
health_note(struct notify *notify, struct lane *lane, int64_t at, bool delivered)
{
    if (lane->webhook == NULL || (delivered && lane->failing_since == 0))
        return;
    lane->health_changed = true;
    if (delivered) {
        lane->failing_since = lane->failed_at = 0;
        return;
    }
    if (lane->failing_since == 0 || at - lane->failed_at > UNKNOWN_US)
        lane->failing_since = at;
    lane->failed_at = at;
    if (at - lane->failing_since >= FAILING_MAX_US && !lane->gone)
        health_switch_off(notify, lane, "its receiver has failed for five days");
}

static void
write_to_admins(struct notify *notify, const struct webhook *webhook, const char *why)
{
    struct err err = {0};
    struct buffer text, url;
    buffer_init(&text, 16384);
    buffer_init(&url, WEBHOOK_URL_MAX + 64);
    webhook_url_write_shown(&url, webhook);
    buffer_printf(&text, "The webhook %.*s is switched off: %s.\n\n", STR_ARG(webhook->id), why);
    buffer_printf(&text, "URL: %.*s\n", (int)url.len, url.ptr);
    if (webhook->description.len > 0)
        buffer_printf(&text, "Description: %.*s\n", STR_ARG(webhook->description));
    buffer_add(&text,
               STR("\nAlerts raised from now on are not sent to it. When its receiver answers "
                   "again, switch it on\n(PATCH /webhooks/{id}, enabled) and have what was "
                   "given up sent again\n(POST /webhooks/{id}/replay).\n"));
    if (!post_notice(notify, webhook->workspace_id, STR("A webhook is switched off"),
                     buffer_str(&text), &err))
        diag_warn("nobody could be told that webhook %.*s is switched off: %s",
                  STR_ARG(webhook->id), err.text);
    buffer_fini(&text);
    buffer_fini(&url);
}

void
health_switch_off(struct notify *notify, struct lane *lane, const char *why)
{
    struct err err = {0};
    lane->gone = true;
    notify->counts.webhooks_disabled++;
    diag_warn("webhook %.*s is switched off: %s", STR_ARG(lane->webhook_id), why);
    if (lane->webhook == NULL)
        return;
    struct log *log = journal_log(notify->options.journal);
    if (!store_webhook_disable(notify->options.store, lane->webhook, str_from(why),
                               (int64_t)log_durable(log) + 1, wall_us(notify), &err) &&
        err.code != ERR_NOT_FOUND)
        diag_warn("webhook %.*s: %s", STR_ARG(lane->webhook_id), err.text);
    write_to_admins(notify, lane->webhook, why);
}

void
health_close(struct notify *notify)
{
    const struct book *book = &notify->book;
    for (size_t i = 0; i < notify->lanes.count; i++) {
        struct lane *lane = notify->lanes.sorted[i];
        if (!lane->health_changed)
            continue;
        *book_page_add_health(book->open) = (struct store_health){
            lane->workspace_id, lane->webhook_id, lane->failing_since, lane->failed_at};
        lane->health_changed = false;
        lane->health_batch = book->batch;
    }
}

uint64_t
health_failing(const struct notify *notify)
{
    uint64_t failing = 0;
    for (size_t i = 0; i < notify->lanes.count; i++) {
        const struct lane *lane = notify->lanes.sorted[i];
        failing += lane->failing_since != 0 && lane->webhook != NULL && lane->webhook->enabled;
    }
    return failing;
}
