/* E4: a commit that failed has changed nothing. The disk says no, now and then and for a while,
 * to any kind of call; what was refused is sent again until it is stored; in the end the alerts
 * in the log are the fold of what is in the log, the states too, and each key made one event. */
#include "support/oracle.h"
#include "support/rig.h"

#include "tap.h"

#include <sched.h>

enum { ROUND = 12, TRIES_MOST = 200 };

struct trouble {
    unsigned kinds;
    uint64_t seed;
    int64_t later_most, for_most;
    bool with_rules;
};

static struct submission *
new_submission(struct rig *rig, struct dice *dice)
{
    size_t count = dice_one_in(dice, 3) ? 1 + dice_below(dice, 40) : 1;
    struct str workspace_id = rig_workspace(dice_below(dice, RIG_WORKSPACES));
    struct submission *submission = rig_submission(rig, workspace_id, count);
    for (size_t i = 0; i < count; i++) {
        struct event event = rig_event(rig, dice, &submission->arena);
        event.idempotency_key = event.id;
        rig_item(submission, i, &event);
    }
    return submission;
}

/* What was refused of it, once more. NULL: nothing was. */
static struct submission *
refused(struct rig *rig, const struct submission *sent)
{
    size_t count = 0;
    for (size_t i = 0; i < sent->count; i++)
        count += sent->items[i].status == ENGINE_FAILED;
    if (count == 0)
        return NULL;
    struct submission *again = rig_submission(rig, sent->workspace_id, count);
    for (size_t i = 0, at = 0; i < sent->count; i++) {
        if (sent->items[i].status != ENGINE_FAILED)
            continue;
        struct event event = sent->items[i].event;
        event.created_at = 0;
        must(arena_copy(&again->arena, event.id, &event.id));
        must(arena_copy(&again->arena, event.actor_id, &event.actor_id));
        must(arena_copy(&again->arena, event.session_id, &event.session_id));
        must(arena_copy(&again->arena, event.tenant_id, &event.tenant_id));
        event.idempotency_key = event.id;
        rig_item(again, at++, &event);
    }
    return again;
}

static void
count_items(const struct submission *sent, size_t *stored, size_t *duplicates)
{
    for (size_t i = 0; i < sent->count; i++) {
        *stored += sent->items[i].status == ENGINE_STORED;
        *duplicates += sent->items[i].status == ENGINE_DUPLICATE;
        CHECK(sent->items[i].status != ENGINE_WAITING);
    }
}

/* A log with two segments to be sealed takes nothing; its sealer tries again by itself. */
static void
await_sealing(struct rig *rig)
{
    struct log_stats stats;
    do {
        sched_yield();
        log_stats(journal_log(rig->journal), &stats);
    } while (stats.seals_waiting > 1);
}

/* Sends a round at once, and what was refused of it until nothing is. Gives how many were stored */
static size_t
send_round(struct rig *rig, struct dice *dice, const struct trouble *trouble)
{
    struct submission *sent[ROUND];
    size_t stored = 0, duplicates = 0, left = ROUND;
    for (size_t i = 0; i < ROUND; i++)
        sent[i] = new_submission(rig, dice);
    fault_disk_arm(&rig->fault, (int64_t)dice_below(dice, (size_t)trouble->later_most),
                   1 + (int64_t)dice_below(dice, (size_t)trouble->for_most));
    for (size_t tries = 0; left > 0 && CHECK(tries < TRIES_MOST); tries++) {
        for (size_t i = 0; i < ROUND; i++)
            if (sent[i] != NULL)
                rig_submit(rig, sent[i]);
        if (trouble->with_rules && tries == 0 && dice_one_in(dice, 2))
            (void)rig_change_rule(rig, dice);
        rig_wait(rig);
        await_sealing(rig);
        for (size_t i = 0; i < ROUND; i++) {
            if (sent[i] == NULL)
                continue;
            count_items(sent[i], &stored, &duplicates);
            struct submission *again = refused(rig, sent[i]);
            rig_submission_free(sent[i]);
            sent[i] = again;
            left -= again == NULL;
        }
    }
    CHECK_INT((intmax_t)duplicates, 0);
    return stored;
}

static void
start(struct rig *rig)
{
    struct err err = {0};
    atomic_store(&rig->fault.fail_at, 0);
    if (!CHECK(rig_start(rig, &err)))
        printf("# %s\n", err.text);
    struct engine_stats stats;
    engine_stats(rig->engine, &stats);
    CHECK_INT((intmax_t)stats.recovery_differences, 0);
}

static void
live_through(const struct trouble *trouble)
{
    struct rig rig;
    struct dice dice = {trouble->seed};
    size_t stored = 0;
    rig_init(&rig);
    rig.fault.kinds = trouble->kinds;
    rig.segment_bytes = 1u << 20;
    rig.checkpoint_us = 20000;
    for (size_t life = 0; life < 2; life++) {
        start(&rig);
        for (size_t i = 0; i < 6; i++)
            rig_await_rule(&rig, rig_change_rule(&rig, &dice), 0);
        for (size_t round = 0; round < 8; round++)
            stored += send_round(&rig, &dice, trouble);
        atomic_store(&rig.fault.fail_at, 0);
        struct engine_stats stats;
        engine_stats(rig.engine, &stats);
        rig_halt(&rig);
        struct oracle_verdict verdict = oracle_ask(rig.journal, rig.states, rig.subjects_max);
        printf("# %zu events, %zu alerts, %llu commits failed\n", verdict.events, verdict.alerts,
               (unsigned long long)stats.failed_commits);
        CHECK(stats.failed_commits > 0);
        CHECK_INT((intmax_t)verdict.events, (intmax_t)stored);
        CHECK_INT((intmax_t)verdict.alerts_missing, 0);
        CHECK_INT((intmax_t)verdict.alerts_too_many, 0);
        CHECK_INT((intmax_t)verdict.alerts_astray, 0);
        CHECK_INT((intmax_t)verdict.states_wrong, 0);
        rig_close(&rig);
    }
    rig_fini(&rig);
}

static void
test_e4_a_write_that_fails_changes_nothing(void)
{
    live_through(&(struct trouble){FAULT_WRITE, 31, 4, 1, false});
    live_through(&(struct trouble){FAULT_WRITE, 32, 4, 4, true});
}

static void
test_e4_a_sync_that_fails_changes_nothing(void)
{
    live_through(&(struct trouble){FAULT_SYNC, 41, 4, 1, false});
    live_through(&(struct trouble){FAULT_SYNC, 42, 4, 4, true});
}

static void
test_e4_any_call_that_fails_changes_nothing(void)
{
    live_through(&(struct trouble){FAULT_ALL, 51, 8, 1, true});
    live_through(&(struct trouble){FAULT_ALL, 52, 8, 6, true});
    live_through(&(struct trouble){FAULT_ALL, 53, 3, 12, true});
}

/* The first of two with the same key fails, and with it the second, which was to be its
 * duplicate. */
static void
test_e4_a_duplicate_fails_with_the_first(void)
{
    struct rig rig;
    struct dice dice = {61};
    rig_init(&rig);
    rig.fault.kinds = FAULT_WRITE;
    start(&rig);
    struct submission *batch = rig_submission(&rig, rig_workspace(0), 2);
    struct event event = rig_event(&rig, &dice, &batch->arena);
    event.idempotency_key = STR("once");
    rig_item(batch, 0, &event);
    rig_item(batch, 1, &event);
    fault_disk_arm(&rig.fault, 0, 1);
    rig_submit(&rig, batch);
    rig_wait(&rig);
    CHECK_INT(batch->items[0].status, ENGINE_FAILED);
    CHECK_INT(batch->items[1].status, ENGINE_FAILED);
    batch->items[0].status = batch->items[1].status = ENGINE_WAITING;
    rig_submit(&rig, batch);
    rig_wait(&rig);
    CHECK_INT(batch->items[0].status, ENGINE_STORED);
    CHECK_INT(batch->items[1].status, ENGINE_DUPLICATE);
    rig_submission_free(batch);
    rig_stop(&rig);
    rig_fini(&rig);
}

/* The part of a batch that is durable stays so; the part that failed, and all behind it, is
 * refused. */
static void
test_e4_a_batch_over_many_commits_keeps_its_beginning(void)
{
    enum { COUNT = 9000 };
    struct rig rig;
    struct dice dice = {71};
    rig_init(&rig);
    rig.fault.kinds = FAULT_SYNC;
    start(&rig);
    struct submission *batch = rig_submission(&rig, rig_workspace(0), 1);
    struct event before = rig_event(&rig, &dice, &batch->arena); /* the segment is made for it */
    rig_submission_free(rig_send(&rig, rig_workspace(0), &before));
    rig_submission_free(batch);
    batch = rig_submission(&rig, rig_workspace(0), COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        struct event event = rig_event(&rig, &dice, &batch->arena);
        rig_item(batch, i, &event);
    }
    fault_disk_arm(&rig.fault, 1, 1);
    rig_submit(&rig, batch);
    rig_wait(&rig);
    size_t stored = 0;
    while (stored < COUNT && batch->items[stored].status == ENGINE_STORED)
        stored++;
    CHECK(stored > 0 && stored < COUNT);
    for (size_t i = stored; i < COUNT; i++)
        if (!CHECK_INT(batch->items[i].status, ENGINE_FAILED))
            break;
    rig_halt(&rig);
    struct oracle_verdict verdict = oracle_ask(rig.journal, rig.states, rig.subjects_max);
    CHECK_INT((intmax_t)verdict.events, (intmax_t)stored + 1);
    rig_submission_free(batch);
    rig_close(&rig);
    rig_fini(&rig);
}

int
main(void)
{
    RUN(test_e4_a_write_that_fails_changes_nothing);
    RUN(test_e4_a_sync_that_fails_changes_nothing);
    RUN(test_e4_any_call_that_fails_changes_nothing);
    RUN(test_e4_a_duplicate_fails_with_the_first);
    RUN(test_e4_a_batch_over_many_commits_keeps_its_beginning);
    return tap_done();
}
