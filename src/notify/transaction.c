/* transaction - webhooks that are asked before an event is stored.
 *
 * All that take it are called at once, beside the lanes and their limits, with what a trial has
 * found. When the last has answered, or its time is over, whoever asked is told. If enough were
 * good, what each of them said is kept until the event has come by in the log: there each delivery
 * is made as ever, and where its receiver was called already, what came of that is its first
 * attempt. So nobody is called twice for one delivery, and who failed is tried again.
 */
#include "notify/notify_priv.h"

#include "format/format.h"

#include <string.h>

#define TOKEN_OURS (UINT64_C(1) << 63) /* other requests count from 1 */

/* -- the verdict ------------------------------------------------------------------- */

static void
answer(struct notify_transaction *transaction, enum notify_verdict verdict)
{
    transaction->verdict = verdict;
    transaction->done(transaction->self);
}

static struct str
copy(struct arena *arena, struct str text)
{
    struct str kept;
    return arena_copy(arena, text, &kept) ? kept : (struct str){0};
}

static void
say(struct notify_transaction *transaction, const struct asked *asked)
{
    struct arena *arena = transaction->arena;
    transaction->said = arena_array(arena, asked->count, struct notify_said);
    for (const struct outcall *call = asked->first; call != NULL && transaction->said != NULL;
         call = call->next) {
        const struct notify_result *result = &call->result;
        char answer[sizeof result->answer];
        struct str sent = {result->answer, result->answer_len};
        struct str text = {answer, send_copy_text(answer, sent, sizeof answer)};
        transaction->said[transaction->said_count++] = (struct notify_said){
            .webhook_id = copy(arena, call->lane->webhook_id),
            .kind = call->kind,
            .alert_id =
                call->kind == WEBHOOK_ALERT ? transaction->alerts[call->alert].id : (struct str){0},
            .good = call->good,
            .status = result->status,
            .duration_us = result->duration_us,
            .error =
                result->error[0] == '\0' ? (struct str){0} : copy(arena, str_from(result->error)),
            .answer = result->status == 0 ? (struct str){0} : copy(arena, text),
        };
    }
}

/* Of one kind, and of an alert each, all that were asked count together. */
static bool
is_enough(const struct asked *asked, const struct outcall *of)
{
    size_t count = 0, good = 0;
    for (const struct outcall *call = asked->first; call != NULL; call = call->next) {
        if (call->kind != of->kind || call->alert != of->alert)
            continue;
        count++;
        good += call->good;
    }
    return transaction_passes(asked->transaction->settings->of[of->kind], count, good);
}

static void
finish(struct notify *notify, struct asked *asked)
{
    struct asking *asking = notify->asking;
    struct notify_transaction *transaction = asked->transaction;
    bool passed = true;
    for (const struct outcall *call = asked->first; call != NULL && passed; call = call->next)
        passed = is_enough(asked, call);
    say(transaction, asked);
    asked->transaction = NULL;
    notify->counts.transactions_passed += passed;
    notify->counts.transactions_failed += !passed;
    if (passed) {
        told_keep(asking, asked);
        transaction->asked = asked;
    } else {
        told_unlink(asking, asked);
        told_release(asking, asked);
    }
    answer(transaction, passed ? NOTIFY_PASSED : NOTIFY_REFUSED);
}

static void
take_result(struct notify *notify, struct outcall *call, const struct notify_result *result)
{
    struct asked *asked = call->of;
    call->token = 0;
    call->result = *result;
    call->good = result->status >= 200 && result->status < 300;
    if (result->status == 410 && !call->lane->gone)
        health_switch_off(notify, call->lane, "its receiver answered 410 Gone");
    notify->counts.in_transactions--;
    if (--asked->open == 0)
        finish(notify, asked);
}

bool
asking_done(struct notify *notify, const struct notify_result *result)
{
    if ((result->token & TOKEN_OURS) == 0)
        return false;
    struct outcall *call = &notify->asking->calls[result->token % ASKING_CALLS];
    if (call->token == result->token)
        take_result(notify, call, result);
    return true;
}

/* -- whom to ask ------------------------------------------------------------------- */

static bool
add_call(struct notify *notify, struct asked *asked, struct lane *lane, enum webhook_event kind,
         size_t alert)
{
    struct outcall *call = told_take_call(notify->asking);
    if (call == NULL)
        return false;
    *call = (struct outcall){.of = asked, .lane = lane, .kind = kind, .alert = alert};
    *asked->end = call;
    asked->end = &call->next;
    asked->count++;
    return true;
}

static bool
wants(const struct notify_transaction *transaction, const struct lane *lane,
      enum webhook_event kind)
{
    return transaction->settings->of[kind] != TRANSACTION_NONE &&
           webhook_wants(lane->webhook, kind);
}

static bool
add_alerts(struct notify *notify, struct asked *asked, struct lane *lane)
{
    const struct notify_transaction *transaction = asked->transaction;
    if (!wants(transaction, lane, WEBHOOK_ALERT))
        return true;
    for (size_t i = 0; i < transaction->alert_count; i++)
        if (webhook_takes(lane->webhook, &transaction->alerts[i]) &&
            !add_call(notify, asked, lane, WEBHOOK_ALERT, i))
            return false;
    return true;
}

static bool
add_login(struct notify *notify, struct asked *asked, struct lane *lane)
{
    const struct notify_transaction *transaction = asked->transaction;
    enum webhook_event kind;
    bool hears = false, new_device = false;
    if (!webhook_login_kind(transaction->event, &kind))
        return true;
    if (wants(transaction, lane, kind) &&
        webhook_takes_login(lane->webhook, kind, transaction->event->tenant_id, transaction->at) &&
        !add_call(notify, asked, lane, kind, 0))
        return false;
    if (kind != WEBHOOK_LOGIN_SUCCESS)
        return true;
    for (size_t i = 0; i < transaction->alert_count; i++) {
        bool heard = webhook_hears(lane->webhook, &transaction->alerts[i]);
        hears |= heard;
        new_device |= heard && str_equal(transaction->alerts[i].rule_type, STR("new_device"));
    }
    return (!hears || !wants(transaction, lane, WEBHOOK_LOGIN_SUSPICIOUS) ||
            add_call(notify, asked, lane, WEBHOOK_LOGIN_SUSPICIOUS, 0)) &&
           (!new_device || !wants(transaction, lane, WEBHOOK_LOGIN_NEW_DEVICE) ||
            add_call(notify, asked, lane, WEBHOOK_LOGIN_NEW_DEVICE, 0));
}

/* Channels where people read refuse nothing: they are told afterwards. */
static bool
plan(struct notify *notify, struct asked *asked)
{
    size_t count = 0;
    struct lane **lanes = lanes_of(&notify->lanes, asked->transaction->workspace_id, &count);
    for (size_t i = 0; i < count; i++) {
        const struct webhook *webhook = lanes[i]->webhook;
        if (webhook == NULL || !webhook->enabled || lanes[i]->gone)
            continue;
        if ((webhook->format == WEBHOOK_IMMUTABLE && !add_alerts(notify, asked, lanes[i])) ||
            (webhook->format == WEBHOOK_FUSIONAUTH && !add_login(notify, asked, lanes[i])))
            return false;
    }
    return true;
}

/* -- asking ------------------------------------------------------------------------ */

/* What the webhook hears of: the alert in question, or of a login all it would be told. */
static bool
take_alerts(const struct format_reader *reader, const struct outcall *call,
            struct format_parts *parts, struct err *err)
{
    const struct notify_transaction *transaction = call->of->transaction;
    struct format_alert *taken =
        arena_array(reader->arena, transaction->alert_count, struct format_alert);
    must(taken != NULL);
    parts->alerts = taken;
    if (webhook_event_is_plain(call->kind))
        return true;
    for (size_t i = 0; i < transaction->alert_count; i++) {
        bool told = call->kind == WEBHOOK_ALERT
                        ? i == call->alert
                        : webhook_hears(parts->webhook, &transaction->alerts[i]);
        if (told && !format_take_alert(reader, transaction->workspace_id, &transaction->alerts[i],
                                       &taken[parts->alert_count++], err))
            return false;
    }
    return true;
}

static bool
write_body(struct notify *notify, struct outcall *call, struct err *err)
{
    const struct notify_transaction *transaction = call->of->transaction;
    const struct webhook *webhook = call->lane->webhook;
    struct format_reader reader = {.journal = notify->options.journal,
                                   .store = notify->options.store,
                                   .parser = notify->parser,
                                   .arena = &notify->scratch};
    struct format_parts parts = {.arena = &notify->scratch,
                                 .webhook = webhook,
                                 .kind = call->kind,
                                 .event = transaction->event,
                                 .public_url = notify->options.public_url};
    arena_reset(&notify->scratch);
    buffer_clear(&notify->body);
    if ((transaction->source.len > 0 &&
         !json_parse(notify->parser, transaction->source, &notify->scratch, &parts.source, err)) ||
        !take_alerts(&reader, call, &parts, err) || !format_write(&notify->body, &parts, err))
        return false;
    format_delivery_id(format_record_id(&parts), call->kind, webhook->id, call->id);
    return true;
}

static bool
start(struct notify *notify, struct outcall *call, struct err *err)
{
    struct asking *asking = notify->asking;
    size_t number = (size_t)(call - asking->calls);
    struct flight flight = {.token = TOKEN_OURS | (++asking->serial * ASKING_CALLS + number),
                            .began_at = wall_us(notify),
                            .began_monotonic = monotonic_us(notify)};
    call->token = flight.token;
    call->began_at = flight.began_at;
    int64_t left_ms = (call->of->transaction->ends_at - flight.began_monotonic) / 1000;
    if (!write_body(notify, call, err))
        return false;
    if (left_ms <= 0)
        return err_set(err, ERR_IO, "there was no time left to call it");
    struct webhook bounded = *call->lane->webhook;
    if (bounded.timeout_ms <= 0 || bounded.timeout_ms > left_ms)
        bounded.timeout_ms = left_ms;
    if (bounded.connect_timeout_ms <= 0 || bounded.connect_timeout_ms > left_ms)
        bounded.connect_timeout_ms = left_ms;
    return send_request(notify, &flight, &bounded, (struct str){call->id, ID_SIZE}, err);
}

static void
begin(struct notify *notify, struct notify_transaction *transaction)
{
    struct asking *asking = notify->asking;
    struct asked *asked = notify->generation == 0 ? NULL : told_take_asked(asking);
    if (asked == NULL) {
        answer(transaction, NOTIFY_BUSY);
        return;
    }
    *asked = (struct asked){.transaction = transaction, .next = asking->live};
    asked->end = &asked->first;
    bool all = plan(notify, asked);
    if (!all || asked->count == 0) {
        told_release(asking, asked);
        answer(transaction, all ? NOTIFY_PASSED : NOTIFY_BUSY);
        return;
    }
    asking->live = asked;
    asked->open = asked->count;
    notify->counts.in_transactions += asked->count;
    for (struct outcall *call = asked->first, *next; call != NULL; call = next) {
        struct err err = {0};
        struct notify_result failed = {.retry_after_us = -1};
        next = call->next; /* the last may end it */
        if (start(notify, call, &err))
            continue;
        size_t len = send_copy_text(failed.error, str_from(err.text), sizeof failed.error - 1);
        failed.error[len] = '\0';
        take_result(notify, call, &failed);
    }
}

void
notify_ask(struct notify *notify, struct notify_transaction *transaction)
{
    struct asking *asking = notify->asking;
    transaction->next = NULL;
    transaction->asked = NULL;
    transaction->said_count = 0;
    notify_lock(notify);
    bool refused = notify->refusing;
    if (!refused) {
        *asking->end = transaction;
        asking->end = &transaction->next;
    }
    notify_unlock(notify);
    if (refused)
        answer(transaction, NOTIFY_BUSY);
    else
        notify_wake(notify);
}

static struct notify_transaction *
take_all(struct notify *notify)
{
    struct asking *asking = notify->asking;
    notify_lock(notify);
    struct notify_transaction *first = asking->first;
    asking->first = NULL;
    asking->end = &asking->first;
    notify_unlock(notify);
    return first;
}

void
asking_run(struct notify *notify)
{
    struct notify_transaction *each = take_all(notify), *next;
    if (each != NULL)
        follow_webhooks(notify); /* after they were taken: whoever was there before is asked */
    for (; each != NULL; each = next) {
        next = each->next;
        begin(notify, each);
    }
}

/* The end: nobody is answered by a receiver any more. */
void
asking_refuse(struct notify *notify)
{
    for (struct notify_transaction *each = take_all(notify), *next; each != NULL; each = next) {
        next = each->next;
        answer(each, NOTIFY_BUSY);
    }
    for (struct asked *asked = notify->asking->live; asked != NULL; asked = asked->next) {
        struct notify_transaction *transaction = asked->transaction;
        asked->transaction = NULL;
        for (struct outcall *call = asked->first; call != NULL; call = call->next)
            call->token = 0;
        if (transaction != NULL)
            answer(transaction, NOTIFY_BUSY);
    }
}
