/* follow - from the log to jobs: a cursor that makes a delivery for every alert and every
 * webhook in force that takes it. */
#include "notify/notify_priv.h"

#include <string.h>

enum { WEBHOOKS_MEMORY = 256 * 1024 * 1024 };
#define SAY_DROPPED_EVERY_US TIME_US_PER_MINUTE
#define LOOK_BACK_US         (10 * TIME_US_PER_MINUTE)

/* -- webhooks ------------------------------------- */

/* A webhook is known here a little later than it is in force: alerts may have come in between.
 * The log is read again from there, for it alone. */
static void
look_back(struct notify *notify, struct lane *late)
{
    struct book *book = &notify->book;
    int64_t cursor = book->cursor, back = late->since - 1;
    if (notify->generation == 0 || back >= cursor || cursor - back > LOOK_BACK_US)
        return;
    for (size_t i = 0; i < notify->lanes.count; i++)
        if (notify->lanes.sorted[i] != late && notify->lanes.sorted[i]->seen < cursor)
            notify->lanes.sorted[i]->seen = cursor;
    late->seen = back;
    book->cursor = back;
}

static bool
hears_logins(const struct webhook *webhook)
{
    return webhook->format == WEBHOOK_FUSIONAUTH &&
           (webhook_wants(webhook, WEBHOOK_LOGIN_SUCCESS) ||
            webhook_wants(webhook, WEBHOOK_LOGIN_FAILED));
}

static bool
read_webhooks(struct notify *notify, struct err *err)
{
    struct webhook *list = NULL;
    size_t count = 0;
    struct arena arena;
    arena_init(&arena, 16384, WEBHOOKS_MEMORY);
    if (!store_webhooks(notify->options.store, (struct str){0}, true, &arena, &list, &count, err)) {
        arena_fini(&arena);
        return false;
    }
    struct keyring *keyring = NULL;
    if (!post_read_members(notify, err) ||
        !keyring_read(notify->options.store, notify->parser, &keyring, err)) {
        arena_fini(&arena);
        return false;
    }
    keyring_free(notify->keyring);
    notify->keyring = keyring;
    notify->hears_logins = false;
    for (size_t i = 0; i < notify->lanes.count; i++)
        notify->lanes.sorted[i]->webhook = NULL;
    for (size_t i = 0; i < count; i++) {
        struct lane *lane = lanes_make(&notify->lanes, list[i].workspace_id, list[i].id);
        lane->webhook = &list[i];
        lane->gone = list[i].disabled_reason.ptr != NULL;
        health_take(notify, lane, &list[i]);
        notify->hears_logins |= hears_logins(&list[i]);
        if (lane->since == list[i].since)
            continue;
        lane->since = list[i].since;
        look_back(notify, lane);
    }
    arena_fini(&notify->webhooks_arena);
    notify->webhooks_arena = arena;
    return true;
}

void
follow_webhooks(struct notify *notify)
{
    uint64_t generation = store_generation(notify->options.store);
    if (generation == notify->generation || monotonic_us(notify) < notify->webhooks_retry_at)
        return;
    struct err err = {0};
    if (read_webhooks(notify, &err)) {
        notify->generation = generation;
        notify->store_failed = false;
        return;
    }
    if (!notify->store_failed)
        diag_warn("webhooks could not be read: %s", err.text);
    notify->store_failed = true;
    notify->webhooks_retry_at = monotonic_us(notify) + RETRY_LATER_US;
}

/* -- the store's pending ones, at start ------------------------------------- */

static void
load_one(void *self, const struct store_delivery *delivery)
{
    struct notify *notify = self;
    struct lane *lane = lanes_make(&notify->lanes, delivery->workspace_id, delivery->webhook_id);
    enum webhook_event kind;
    if (!webhook_event_parse(delivery->event_type, &kind))
        kind = WEBHOOK_ALERT;
    struct job *job =
        lanes_add(&notify->lanes, lane, delivery->record_at, kind, delivery->next_attempt_at);
    job->attempts = (uint32_t)delivery->attempts;
    job->attempts_before = (uint32_t)delivery->attempts_before;
}

bool
follow_load_pending(struct notify *notify, struct err *err)
{
    struct store *store = notify->options.store;
    if (!store_delivery_cursor(store, &notify->book.cursor, err))
        return false;
    notify->book.closed_cursor = notify->book.cursor;
    return store_deliveries_pending(store, load_one, notify, err);
}

/* -- the log ------------------------------------- */

static void
drop_oldest(struct notify *notify, struct lane *lane)
{
    struct job *job = lanes_oldest(lane);
    if (job == NULL)
        return;
    int64_t now = monotonic_us(notify);
    if (notify->dropped_said_at == 0 || now - notify->dropped_said_at > SAY_DROPPED_EVERY_US) {
        notify->dropped_said_at = now;
        diag_warn("more than %zu deliveries wait for webhook %.*s; the oldest are given up",
                  lane->count - 1, STR_ARG(lane->webhook_id));
    }
    send_dead(notify, job, "given up: too many deliveries wait for this webhook");
}

void
follow_make_room(struct notify *notify, struct lane *lane)
{
    if (lane->count > notify->options.waiting_max)
        drop_oldest(notify, lane);
    if (notify->lanes.job_count > WAITING_MAX)
        drop_oldest(notify, lanes_fullest(&notify->lanes));
}

/* One that is switched off without saying since when takes nothing from now on. */
static bool
is_open(const struct lane *lane, int64_t at)
{
    const struct webhook *webhook = lane->webhook;
    return webhook != NULL && at > lane->seen && (webhook->enabled || webhook->until != 0);
}

void
follow_deliver(struct notify *notify, struct lane *lane, const struct occasion *occasion,
               int64_t now_us)
{
    struct job *job = lanes_add(&notify->lanes, lane, occasion->record_at, occasion->kind, now_us);
    struct book_row *row = book_add_row(notify);
    job->batch = notify->book.batch;
    job->row = notify->book.open->row_count - 1;
    row->lane = lane;
    row->kind = occasion->kind;
    row->record_at = occasion->record_at;
    row->made_at = now_us;
    row->alert_id_len = occasion->alert_id.len;
    must(row->alert_id_len <= sizeof row->alert_id);
    if (row->alert_id_len > 0)
        memcpy(row->alert_id, occasion->alert_id.ptr, row->alert_id_len);
    format_delivery_id(occasion->record_id, occasion->kind, lane->webhook_id, row->id);
    if (!told_already(notify, job, row->id))
        lanes_ready(&notify->lanes, job);
    follow_make_room(notify, lane);
}

struct follower {
    struct notify *notify;
    int64_t now_us;
    bool stopped; /* the book is full: not all was read */
    struct err err;
};

/* Room for each row, and for the outcome of each that has to make way. */
static bool
has_room(struct follower *follower, size_t takers)
{
    const struct notify *notify = follower->notify;
    follower->stopped = !book_has_row_room(&notify->book, takers) ||
                        (takers > 0 && !book_has_outcome_room(notify, 2 * takers));
    return !follower->stopped;
}

struct login_look {
    struct notify *notify;
    bool is_login;
};

/* Whether an alert is of a login that went well: only then is it a suspicious login. */
static bool
look_at_login(void *self, const struct journal_row *row)
{
    struct login_look *look = self;
    struct notify *notify = look->notify;
    struct json json;
    struct event event = {0};
    enum webhook_event kind;
    struct err err = {0};
    bool read = json_parse(notify->parser, row->stored, &notify->scratch, &json, &err) &&
                event_read_stored(&json, &notify->scratch, &event, &err);
    look->is_login = read && webhook_login_kind(&event, &kind) && kind == WEBHOOK_LOGIN_SUCCESS;
    return false;
}

/* False: the log could not be read; an event that is gone is no login. */
static bool
is_login(struct follower *follower, struct str workspace_id, const struct alert *alert,
         bool *is_login_out)
{
    struct login_look look = {.notify = follower->notify};
    struct err err = {0};
    bool ok = journal_event_at(follower->notify->options.journal, workspace_id,
                               (log_at)alert->event_at, look_at_login, &look, &err);
    *is_login_out = ok && look.is_login;
    if (ok || err.code == ERR_NOT_FOUND)
        return true;
    follower->err = err;
    return false;
}

/* One delivery per login and kind, however many alerts it raised: they lie side by side. */
static void
tell_of_login(struct follower *follower, struct lane *lane, const struct alert *alert)
{
    struct notify *notify = follower->notify;
    struct occasion occasion = {.kind = WEBHOOK_LOGIN_SUSPICIOUS,
                                .record_at = alert->event_at,
                                .record_id = alert->event_id,
                                .alert_id = alert->id};
    if (webhook_wants(lane->webhook, occasion.kind) && lane->login_at != alert->event_at) {
        lane->login_at = alert->event_at;
        follow_deliver(notify, lane, &occasion, follower->now_us);
    }
    occasion.kind = WEBHOOK_LOGIN_NEW_DEVICE;
    if (webhook_wants(lane->webhook, occasion.kind) && lane->device_at != alert->event_at &&
        str_equal(alert->rule_type, STR("new_device"))) {
        lane->device_at = alert->event_at;
        follow_deliver(notify, lane, &occasion, follower->now_us);
    }
}

static bool
tells_of_logins(const struct lane *lane, const struct alert *alert)
{
    return is_open(lane, alert->at) && lane->webhook->format == WEBHOOK_FUSIONAUTH &&
           webhook_hears(lane->webhook, alert);
}

static bool
take_alert(struct follower *follower, struct str workspace_id, const struct alert *alert)
{
    struct notify *notify = follower->notify;
    struct occasion occasion = {.kind = WEBHOOK_ALERT,
                                .record_at = alert->at,
                                .record_id = alert->id,
                                .alert_id = alert->id};
    size_t count = 0, tellers = 0, takers = post_count(notify, workspace_id, alert);
    bool login = false;
    struct lane **lanes = lanes_of(&notify->lanes, workspace_id, &count);
    for (size_t i = 0; i < count; i++) {
        takers += is_open(lanes[i], alert->at) && webhook_takes(lanes[i]->webhook, alert);
        tellers += tells_of_logins(lanes[i], alert);
    }
    if (!has_room(follower, takers + 2 * tellers) ||
        (tellers > 0 && !is_login(follower, workspace_id, alert, &login)))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (is_open(lanes[i], alert->at) && webhook_takes(lanes[i]->webhook, alert))
            follow_deliver(notify, lanes[i], &occasion, follower->now_us);
        if (login && tells_of_logins(lanes[i], alert))
            tell_of_login(follower, lanes[i], alert);
    }
    post_take(notify, workspace_id, alert, follower->now_us);
    return true;
}

static bool
take_event(struct follower *follower, struct str workspace_id, const struct event *event,
           int64_t at)
{
    struct notify *notify = follower->notify;
    struct occasion occasion = {.record_at = at, .record_id = event->id, .alert_id = STR("")};
    size_t count = 0, takers = 0;
    if (!webhook_login_kind(event, &occasion.kind))
        return true;
    struct lane **lanes = lanes_of(&notify->lanes, workspace_id, &count);
    for (int making = 0; making < 2; making++) {
        for (size_t i = 0; i < count; i++) {
            if (!is_open(lanes[i], at) ||
                !webhook_takes_login(lanes[i]->webhook, occasion.kind, event->tenant_id, at))
                continue;
            if (making)
                follow_deliver(notify, lanes[i], &occasion, follower->now_us);
            else
                takers++;
        }
        if (!making && !has_room(follower, takers))
            return false;
    }
    return true;
}

/* False: not all could be done with it. Damage is said and passed over. */
static bool
take_row(struct follower *follower, const struct journal_row *row)
{
    struct notify *notify = follower->notify;
    struct json json;
    struct alert alert = {0};
    struct event event = {0};
    struct err err = {0};
    bool is_alert = row->kind == JOURNAL_ALERT;
    if (row->silent)
        return true;
    bool ok = json_parse(notify->parser, row->stored, &notify->scratch, &json, &err);
    if (is_alert)
        ok = ok && alert_read_stored(&json, &notify->scratch, &alert, &err) &&
             alert.id.len == ID_SIZE;
    else
        ok = ok && event_read_stored(&json, &notify->scratch, &event, &err) &&
             event.id.len == ID_SIZE;
    if (!ok) {
        diag_error("the %s at %llu of the log cannot be read: %s", is_alert ? "alert" : "event",
                   (unsigned long long)row->at, err.text);
        return true;
    }
    alert.at = (int64_t)row->at;
    return is_alert ? take_alert(follower, row->workspace_id, &alert)
                    : take_event(follower, row->workspace_id, &event, (int64_t)row->at);
}

static bool
follow_row(void *self, const struct journal_row *row)
{
    struct follower *follower = self;
    arena_reset(&follower->notify->scratch);
    if (!take_row(follower, row))
        return false;
    follower->notify->book.cursor = (int64_t)row->at;
    return true;
}

static void
note_log_failed(struct notify *notify, const struct err *err)
{
    if (!notify->log_failed)
        diag_warn("alerts could not be read for delivery: %s", err->text);
    notify->log_failed = true;
    notify->follow_retry_at = monotonic_us(notify) + RETRY_LATER_US;
}

bool
follow_log(struct notify *notify)
{
    struct journal *journal = notify->options.journal;
    struct book *book = &notify->book;
    /* In this order: whoever was there before an alert is told of it. */
    log_at durable = log_durable(journal_log(journal));
    follow_webhooks(notify);
    if (durable <= (log_at)book->cursor || notify->generation == 0 ||
        monotonic_us(notify) < notify->follow_retry_at)
        return false;
    struct follower follower = {.notify = notify, .now_us = wall_us(notify)};
    struct log_span span = {.from = (log_at)book->cursor + 1, .to = durable};
    struct err err = {0};
    uint32_t kinds = JOURNAL_KIND_BIT(JOURNAL_ALERT);
    if (notify->hears_logins)
        kinds |= JOURNAL_KIND_BIT(JOURNAL_EVENT);
    bool ok = journal_scan(journal, span, kinds, (struct str){0}, follow_row, &follower, &err);
    if (!ok || follower.err.code != ERR_NONE) {
        note_log_failed(notify, ok ? &follower.err : &err);
        return false;
    }
    notify->log_failed = false;
    if (!follower.stopped)
        book->cursor = (int64_t)durable;
    return follower.stopped && book->closed_now == CLOSED_NONE;
}
