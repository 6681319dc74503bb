/* commands - what other threads ask of the notify thread: replays, what became of alerts, tests. */
#include "notify/notify_priv.h"

#include "model/ids.h"

#include <stdio.h>
#include <string.h>

/* On the stack of the thread that waits for it. */
struct test {
    const struct webhook *webhook; /* NULL: a mail */
    struct str workspace_id, to;   /* of a mail */
    struct notify_result *result_out;
    struct err err;
    bool done;
};

/* With the lock held. */
static bool
push(struct notify *notify, const struct command *command, struct err *err)
{
    if (notify->refusing)
        return err_set(err, ERR_IO, "deliveries are being stopped");
    if (notify->command_count == COMMANDS_MAX)
        return err_set(err, ERR_LIMIT, "too much is asked of deliveries at once; try again");
    notify->commands[(notify->first_command + notify->command_count++) % COMMANDS_MAX] = *command;
    return true;
}

static bool
pop(struct notify *notify, struct command *command_out)
{
    notify_lock(notify);
    bool any = notify->command_count > 0;
    if (any) {
        *command_out = notify->commands[notify->first_command];
        notify->first_command = (notify->first_command + 1) % COMMANDS_MAX;
        notify->command_count--;
    }
    notify_unlock(notify);
    return any;
}

/* -- what was made due in the store ------------------------------------- */

static bool
ask_to_take_up(struct notify *notify, const struct store_range *range, struct err *err)
{
    struct command command = {.workspace_id_len = range->workspace_id.len,
                              .webhook_id_len = range->webhook_id.len,
                              .from = range->from,
                              .to = range->to};
    must(range->workspace_id.len <= sizeof command.workspace_id);
    must(range->webhook_id.len <= sizeof command.webhook_id);
    memcpy(command.workspace_id, range->workspace_id.ptr, range->workspace_id.len);
    memcpy(command.webhook_id, range->webhook_id.ptr, range->webhook_id.len);
    notify_lock(notify);
    bool ok = push(notify, &command, err);
    notify_unlock(notify);
    notify_wake(notify);
    return ok;
}

bool
notify_replay(struct notify *notify, struct str workspace_id, struct str delivery_id,
              struct err *err)
{
    struct arena arena;
    struct store_delivery delivery;
    arena_init(&arena, 4096, 1024 * 1024);
    bool ok = store_delivery_replay(notify->options.store, workspace_id, delivery_id,
                                    wall_us(notify), &arena, &delivery, err);
    if (ok) {
        struct store_range range = {delivery.workspace_id, delivery.webhook_id, delivery.record_at,
                                    delivery.record_at};
        ok = ask_to_take_up(notify, &range, err);
    }
    arena_fini(&arena);
    return ok;
}

bool
notify_replay_dead(struct notify *notify, struct str workspace_id, struct str webhook_id,
                   int64_t since, size_t *count_out, struct err *err)
{
    struct store_range range = {workspace_id, webhook_id, since, INT64_MAX};
    return store_deliveries_revive(notify->options.store, &range, wall_us(notify),
                                   notify->options.waiting_max, count_out, err) &&
           (*count_out == 0 || ask_to_take_up(notify, &range, err));
}

static bool
tell_resolved(struct notify *notify, const struct webhook *webhook, const struct alert *alert,
              struct err *err)
{
    char id[ID_SIZE];
    int64_t now = wall_us(notify);
    format_delivery_id(alert->id, WEBHOOK_ALERT_RESOLVED, webhook->id, id);
    struct store_delivery row = {
        .workspace_id = webhook->workspace_id,
        .id = {id, ID_SIZE},
        .webhook_id = webhook->id,
        .alert_id = alert->id,
        .event_type = webhook_event_name(WEBHOOK_ALERT_RESOLVED),
        .record_at = alert->at,
        .status = DELIVERY_PENDING,
        .next_attempt_at = now,
        .created_at = now,
    };
    struct store_range range = {webhook->workspace_id, webhook->id, alert->at, alert->at};
    return store_deliveries_make(notify->options.store, &row, 1, 0, err) &&
           ask_to_take_up(notify, &range, err);
}

bool
notify_resolved(struct notify *notify, struct str workspace_id, const struct alert *alert,
                struct err *err)
{
    struct arena arena;
    struct webhook *list = NULL;
    size_t count = 0;
    arena_init(&arena, 16384, (size_t)16 * 1024 * 1024);
    bool ok =
        store_webhooks(notify->options.store, workspace_id, false, &arena, &list, &count, err);
    for (size_t i = 0; ok && i < count; i++)
        if (webhook_takes_resolved(&list[i], alert))
            ok = tell_resolved(notify, &list[i], alert, err);
    arena_fini(&arena);
    return ok;
}

struct taking {
    struct notify *notify;
    struct lane *lane;
    struct job *at; /* the first that is not of an older record than the row at hand */
    int64_t now_us;
};

static struct job *
known_job(const struct taking *taking, const struct store_delivery *delivery,
          enum webhook_event kind)
{
    struct job *job = taking->at;
    while (job != NULL && job->record_at == delivery->record_at && job->kind != kind)
        job = job->newer;
    return job != NULL && job->record_at == delivery->record_at ? job : NULL;
}

/* Rows and jobs come in the same order, so that thousands are gone through once. */
static void
take_up_row(void *self, const struct store_delivery *delivery)
{
    struct taking *taking = self;
    struct lanes *lanes = &taking->notify->lanes;
    enum webhook_event kind;
    if (!webhook_event_parse(delivery->event_type, &kind))
        kind = WEBHOOK_ALERT;
    while (taking->at != NULL && taking->at->record_at < delivery->record_at)
        taking->at = taking->at->newer;
    struct job *job = known_job(taking, delivery, kind);
    bool anew = delivery->attempts_before == delivery->attempts;
    bool is_due = delivery->next_attempt_at <= taking->now_us;
    if (job == NULL) {
        struct job like = {.record_at = delivery->record_at,
                           .kind = kind,
                           .next_at = delivery->next_attempt_at,
                           .attempts = (uint32_t)delivery->attempts,
                           .attempts_before = (uint32_t)delivery->attempts_before};
        job = lanes_insert(lanes, taking->lane, &like, taking->at);
        if (is_due)
            lanes_ready(lanes, job);
        follow_make_room(taking->notify, taking->lane);
    } else if (job->place == JOB_WAITING && anew && is_due) {
        job->attempts_before = job->attempts;
        lanes_ready(lanes, job);
    }
}

/* What came of earlier attempts is written first, so that the store's rows are not behind. */
static bool
take_up(struct notify *notify, const struct command *command)
{
    struct store_range range = {{command->workspace_id, command->workspace_id_len},
                                {command->webhook_id, command->webhook_id_len},
                                command->from,
                                command->to};
    struct err err = {0};
    if (!book_flush(notify))
        return false;
    struct lane *lane = lanes_make(&notify->lanes, range.workspace_id, range.webhook_id);
    struct taking taking = {.notify = notify,
                            .lane = lane,
                            .at = command->from == command->to ? lanes_from(lane, command->from)
                                                               : lane->oldest,
                            .now_us = wall_us(notify)};
    bool ok =
        store_deliveries_pending_of(notify->options.store, &range, take_up_row, &taking, &err);
    if (!ok)
        diag_warn("deliveries to be sent again could not be read: %s", err.text);
    return ok;
}

/* -- tests ------------------------------------- */

static bool
wait_for_test(struct notify *notify, struct test *test, struct err *err)
{
    struct command command = {.test = test};
    notify_lock(notify);
    bool ok = push(notify, &command, err);
    notify_unlock(notify);
    if (!ok)
        return false;
    notify_wake(notify);
    notify_lock(notify);
    while (!test->done)
        must(pthread_cond_wait(&notify->answered, &notify->lock) == 0);
    notify_unlock(notify);
    if (test->err.code != ERR_NONE)
        *err = test->err;
    return test->err.code == ERR_NONE;
}

bool
notify_test(struct notify *notify, const struct webhook *webhook, struct notify_result *result_out,
            struct err *err)
{
    struct test test = {.webhook = webhook, .result_out = result_out};
    return wait_for_test(notify, &test, err);
}

bool
notify_test_mail(struct notify *notify, struct str workspace_id, struct str to,
                 struct notify_result *result_out, struct err *err)
{
    struct test test = {.workspace_id = workspace_id, .to = to, .result_out = result_out};
    if (notify->options.mail == NULL)
        return err_set(err, ERR_CONFLICT, "the server runs without --smtp-url");
    return wait_for_test(notify, &test, err);
}

/* After this the test is not ours any more: its thread goes on. */
static void
end_test(struct notify *notify, struct test *test)
{
    notify_lock(notify);
    test->done = true;
    must(pthread_cond_broadcast(&notify->answered) == 0);
    notify_unlock(notify);
}

void
commands_test_done(struct notify *notify, struct test *test, const struct notify_result *result)
{
    *test->result_out = *result;
    end_test(notify, test);
}

static bool
start_test(struct notify *notify, struct flight *flight, const struct test *test, struct err *err)
{
    char id[ID_SIZE];
    if (test->webhook == NULL)
        return letters_test(notify, flight, test->workspace_id, test->to, err);
    id_new(notify->options.random, "msg_", id);
    buffer_clear(&notify->body);
    format_write_test(&notify->body, test->webhook, flight->began_at, notify->options.random);
    return send_request(notify, flight, test->webhook, (struct str){id, ID_SIZE}, err);
}

static void
run_test(struct notify *notify, struct test *test)
{
    struct flight *flight = send_free_flight(notify);
    if (flight == NULL) {
        err_set(&test->err, ERR_LIMIT, "too many tests at once; try again");
        end_test(notify, test);
        return;
    }
    flight->test = test;
    notify->flying++;
    struct notify_result failed = {.token = flight->token, .retry_after_us = -1};
    struct err err = {0};
    if (start_test(notify, flight, test, &err))
        return;
    snprintf(failed.error, sizeof failed.error, "%.*s", (int)sizeof failed.error - 1, err.text);
    send_done(notify, &failed);
}

/* -- both ------------------------------------- */

void
commands_run(struct notify *notify)
{
    struct command command;
    while (pop(notify, &command)) {
        if (command.test != NULL) {
            /* A key that its webhook signs with may have been made a moment ago. */
            follow_webhooks(notify);
            run_test(notify, command.test);
        } else if (!take_up(notify, &command)) {
            /* It is a pending row by now: it goes out when the store answers again. */
            struct err full = {0};
            notify_lock(notify);
            (void)push(notify, &command, &full);
            notify_unlock(notify);
            return;
        }
    }
}

void
commands_refuse(struct notify *notify)
{
    notify_lock(notify);
    notify->refusing = true;
    notify_unlock(notify);
    asking_refuse(notify);
    /* A replay is a pending row by now: it goes out after the next start. */
    struct command command;
    while (pop(notify, &command)) {
        if (command.test == NULL)
            continue;
        err_set(&command.test->err, ERR_IO, "deliveries are being stopped");
        end_test(notify, command.test);
    }
    for (size_t i = 0; i < COUNT_OF(notify->flights); i++) {
        struct flight *flight = &notify->flights[i];
        if (flight->test == NULL)
            continue;
        err_set(&flight->test->err, ERR_IO, "deliveries are being stopped");
        end_test(notify, flight->test);
        flight->test = NULL;
        notify->flying--;
    }
}
