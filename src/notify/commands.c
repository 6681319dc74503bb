/* commands - what other threads ask of the notify thread: replays and tests. */
#include "notify/notify_priv.h"

#include "model/ids.h"

#include <stdio.h>
#include <string.h>

/* On the stack of the thread that waits for it. */
struct test {
    const struct webhook *webhook;
    struct notify_result *result_out;
    struct err err;
    bool done;
};

static void
lock(struct notify *notify)
{
    must(pthread_mutex_lock(&notify->lock) == 0);
}

static void
unlock(struct notify *notify)
{
    must(pthread_mutex_unlock(&notify->lock) == 0);
}

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
    lock(notify);
    bool any = notify->command_count > 0;
    if (any) {
        *command_out = notify->commands[notify->first_command];
        notify->first_command = (notify->first_command + 1) % COMMANDS_MAX;
        notify->command_count--;
    }
    unlock(notify);
    return any;
}

/* -- replays ------------------------------------- */

bool
notify_replay(struct notify *notify, struct str workspace_id, struct str delivery_id,
              struct err *err)
{
    struct arena arena;
    struct store_delivery delivery;
    struct command command = {.now_us = wall_us(notify)};
    arena_init(&arena, 4096, 1024 * 1024);
    bool ok = store_delivery_replay(notify->options.store, workspace_id, delivery_id,
                                    command.now_us, &arena, &delivery, err);
    if (ok) {
        must(delivery.workspace_id.len <= sizeof command.workspace_id);
        must(delivery.webhook_id.len <= sizeof command.webhook_id);
        memcpy(command.workspace_id, delivery.workspace_id.ptr, delivery.workspace_id.len);
        memcpy(command.webhook_id, delivery.webhook_id.ptr, delivery.webhook_id.len);
        command.workspace_id_len = delivery.workspace_id.len;
        command.webhook_id_len = delivery.webhook_id.len;
        if (!webhook_event_parse(delivery.event_type, &command.kind))
            command.kind = WEBHOOK_ALERT;
        command.record_at = delivery.record_at;
        command.attempts = delivery.attempts;
        lock(notify);
        ok = push(notify, &command, err);
        unlock(notify);
    }
    arena_fini(&arena);
    notify_wake(notify);
    return ok;
}

static void
run_replay(struct notify *notify, const struct command *command)
{
    struct str workspace_id = {command->workspace_id, command->workspace_id_len};
    struct str webhook_id = {command->webhook_id, command->webhook_id_len};
    struct lane *lane = lanes_make(&notify->lanes, workspace_id, webhook_id);
    struct job *job = lanes_job(lane, command->record_at, command->kind);
    if (job != NULL && job->place == JOB_FLYING)
        return; /* it is being sent at this moment */
    if (job == NULL) {
        job = lanes_add(&notify->lanes, lane, command->record_at, command->kind, command->now_us);
        job->attempts = (uint32_t)command->attempts;
    }
    job->attempts_before = job->attempts;
    lanes_ready(&notify->lanes, job);
}

/* -- tests ------------------------------------- */

bool
notify_test(struct notify *notify, const struct webhook *webhook, struct notify_result *result_out,
            struct err *err)
{
    struct test test = {.webhook = webhook, .result_out = result_out};
    struct command command = {.test = &test};
    lock(notify);
    bool ok = push(notify, &command, err);
    unlock(notify);
    if (!ok)
        return false;
    notify_wake(notify);
    lock(notify);
    while (!test.done)
        must(pthread_cond_wait(&notify->answered, &notify->lock) == 0);
    unlock(notify);
    if (test.err.code != ERR_NONE)
        *err = test.err;
    return test.err.code == ERR_NONE;
}

/* After this the test is not ours any more: its thread goes on. */
static void
end_test(struct notify *notify, struct test *test)
{
    lock(notify);
    test->done = true;
    must(pthread_cond_broadcast(&notify->answered) == 0);
    unlock(notify);
}

void
commands_test_done(struct notify *notify, struct test *test, const struct notify_result *result)
{
    *test->result_out = *result;
    end_test(notify, test);
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
    char id[ID_SIZE];
    id_new(notify->options.random, "msg_", id);
    buffer_clear(&notify->body);
    format_write_test(&notify->body, test->webhook, flight->began_at, notify->options.random);
    flight->test = test;
    notify->flying++;
    struct notify_result failed = {.token = flight->token, .retry_after_us = -1};
    struct err err = {0};
    if (send_request(notify, flight, test->webhook, (struct str){id, ID_SIZE}, &err))
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
        } else {
            run_replay(notify, &command);
        }
    }
}

void
commands_refuse(struct notify *notify)
{
    lock(notify);
    notify->refusing = true;
    unlock(notify);
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
