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
    for (size_t i = 0; i < notify->lanes.count; i++)
        notify->lanes.sorted[i]->webhook = NULL;
    for (size_t i = 0; i < count; i++) {
        struct lane *lane = lanes_make(&notify->lanes, list[i].workspace_id, list[i].id);
        lane->webhook = &list[i];
        lane->gone = list[i].disabled_reason.ptr != NULL;
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
    struct job *job =
        lanes_add(&notify->lanes, lane, delivery->record_at, delivery->next_attempt_at);
    job->attempts = (uint32_t)delivery->attempts;
    job->attempts_before = (uint32_t)delivery->attempts_before;
}

bool
follow_load_pending(struct notify *notify, struct err *err)
{
    struct store *store = notify->options.store;
    if (!store_delivery_cursor(store, &notify->book.cursor, err))
        return false;
    notify->book.written_cursor = notify->book.cursor;
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

static void
make_room(struct notify *notify, struct lane *lane)
{
    if (lane->count > notify->options.waiting_max)
        drop_oldest(notify, lane);
    if (notify->lanes.job_count > WAITING_MAX)
        drop_oldest(notify, lanes_fullest(&notify->lanes));
}

/* One that is switched off without saying since when takes nothing from now on. */
static bool
takes(const struct lane *lane, const struct alert *alert)
{
    const struct webhook *webhook = lane->webhook;
    return webhook != NULL && alert->at > lane->seen && (webhook->enabled || webhook->until != 0) &&
           webhook_takes(webhook, alert);
}

static void
make_delivery(struct notify *notify, struct lane *lane, const struct alert *alert, int64_t now_us)
{
    struct job *job = lanes_add(&notify->lanes, lane, alert->at, now_us);
    lanes_ready(&notify->lanes, job);
    struct book_row *row = book_add_row(notify);
    row->lane = lane;
    row->record_at = alert->at;
    row->made_at = now_us;
    memcpy(row->alert_id, alert->id.ptr, ID_SIZE);
    payload_delivery_id(alert->id, lane->webhook_id, row->id);
    make_room(notify, lane);
}

struct follower {
    struct notify *notify;
    int64_t now_us;
    bool stopped; /* the book is full: not all was read */
};

static bool
take_alert(struct follower *follower, struct str workspace_id, const struct alert *alert)
{
    struct notify *notify = follower->notify;
    size_t count = 0, takers = 0;
    struct lane **lanes = lanes_of(&notify->lanes, workspace_id, &count);
    for (size_t i = 0; i < count; i++)
        takers += takes(lanes[i], alert);
    /* Room for each row, and for the outcome of each that has to make way. */
    follower->stopped =
        !book_has_row_room(&notify->book, takers) ||
        (takers > 0 && notify->book.outcome_count + notify->flying + 2 * takers > BOOK_MAX);
    if (follower->stopped)
        return false;
    for (size_t i = 0; i < count; i++)
        if (takes(lanes[i], alert))
            make_delivery(notify, lanes[i], alert, follower->now_us);
    return true;
}

static bool
follow_row(void *self, const struct journal_row *row)
{
    struct follower *follower = self;
    struct notify *notify = follower->notify;
    struct json json;
    struct alert alert = {0};
    struct err err = {0};
    arena_reset(&notify->scratch);
    if (!json_parse(notify->parser, row->stored, &notify->scratch, &json, &err) ||
        !alert_read_stored(&json, &notify->scratch, &alert, &err) || alert.id.len != ID_SIZE) {
        diag_error("the alert at %llu of the log cannot be read: %s", (unsigned long long)row->at,
                   err.text);
        notify->book.cursor = (int64_t)row->at;
        return true;
    }
    alert.at = (int64_t)row->at;
    if (!take_alert(follower, row->workspace_id, &alert))
        return false;
    notify->book.cursor = (int64_t)row->at;
    return true;
}

bool
follow_log(struct notify *notify)
{
    struct journal *journal = notify->options.journal;
    struct book *book = &notify->book;
    log_at durable = log_durable(journal_log(journal));
    if (durable <= (log_at)book->cursor || notify->generation == 0 ||
        monotonic_us(notify) < notify->follow_retry_at)
        return false;
    struct follower follower = {.notify = notify, .now_us = wall_us(notify)};
    struct log_span span = {.from = (log_at)book->cursor + 1, .to = durable};
    struct err err = {0};
    if (!journal_scan(journal, span, JOURNAL_KIND_BIT(JOURNAL_ALERT), (struct str){0}, follow_row,
                      &follower, &err)) {
        if (!notify->log_failed)
            diag_warn("alerts could not be read for delivery: %s", err.text);
        notify->log_failed = true;
        notify->follow_retry_at = monotonic_us(notify) + RETRY_LATER_US;
        return false;
    }
    notify->log_failed = false;
    if (!follower.stopped)
        book->cursor = (int64_t)durable;
    return follower.stopped && book->retry_us == 0;
}
