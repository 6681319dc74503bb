/* E2: an idempotency key of a workspace and tenant makes at most one event, wherever the first
 * one is: in the same batch, in the commit before, in the log, in the log of yesterday's server. */
#include "support/rig.h"

#include "tap.h"

#include <sched.h>

static struct event
keyed_event(struct rig *rig, struct dice *dice, struct arena *arena, const char *tenant,
            const char *key)
{
    struct event event = rig_event(rig, dice, arena);
    event.tenant_id = str_from(tenant);
    event.idempotency_key = str_from(key);
    return event;
}

struct scene {
    struct rig rig;
    struct dice dice;
};

static void
begin(struct scene *scene)
{
    struct err err = {0};
    scene->dice.state = 7;
    rig_init(&scene->rig);
    CHECK(rig_start(&scene->rig, &err));
}

static void
again(struct scene *scene)
{
    struct err err = {0};
    rig_stop(&scene->rig);
    CHECK(rig_start(&scene->rig, &err));
}

static void
end(struct scene *scene)
{
    rig_stop(&scene->rig);
    rig_fini(&scene->rig);
}

static struct submission *
batch(struct scene *scene, size_t workspace, size_t count)
{
    return rig_submission(&scene->rig, rig_workspace(workspace), count);
}

static void
put(struct scene *scene, struct submission *submission, size_t number, const char *tenant,
    const char *key)
{
    struct event event = keyed_event(&scene->rig, &scene->dice, &submission->arena, tenant, key);
    rig_item(submission, number, &event);
}

static void
go(struct scene *scene, struct submission *submission)
{
    rig_submit(&scene->rig, submission);
    rig_wait(&scene->rig);
}

/* One event with this key; gives what became of it and where the first one is. */
static enum engine_status
send(struct scene *scene, size_t workspace, const char *tenant, const char *key, log_at *at_out)
{
    struct submission *submission = batch(scene, workspace, 1);
    put(scene, submission, 0, tenant, key);
    go(scene, submission);
    enum engine_status status = submission->items[0].status;
    *at_out = submission->items[0].at;
    rig_submission_free(submission);
    return status;
}

static void
test_e2_same_key_twice_in_a_batch(void)
{
    struct scene scene;
    begin(&scene);
    struct submission *submission = batch(&scene, 0, 4);
    put(&scene, submission, 0, NULL, "a");
    put(&scene, submission, 1, NULL, "b");
    put(&scene, submission, 2, NULL, "a");
    put(&scene, submission, 3, NULL, NULL);
    go(&scene, submission);
    CHECK_INT(submission->items[0].status, ENGINE_STORED);
    CHECK_INT(submission->items[1].status, ENGINE_STORED);
    CHECK_INT(submission->items[2].status, ENGINE_DUPLICATE);
    CHECK_INT((intmax_t)submission->items[2].at, (intmax_t)submission->items[0].at);
    CHECK_INT(submission->items[3].status, ENGINE_STORED);
    rig_submission_free(submission);
    end(&scene);
}

static void
test_e2_same_key_in_commits_that_follow_each_other(void)
{
    struct scene scene;
    struct submission *sent[200];
    begin(&scene);
    for (size_t i = 0; i < COUNT_OF(sent); i++) {
        sent[i] = batch(&scene, 0, 1);
        put(&scene, sent[i], 0, NULL, i % 2 == 0 ? "even" : "odd");
        rig_submit(&scene.rig, sent[i]);
    }
    rig_wait(&scene.rig);
    size_t stored = 0;
    for (size_t i = 0; i < COUNT_OF(sent); i++) {
        stored += sent[i]->items[0].status == ENGINE_STORED;
        CHECK_INT((intmax_t)sent[i]->items[0].at, (intmax_t)sent[i % 2]->items[0].at);
        if (i >= 2)
            CHECK_INT(sent[i]->items[0].status, ENGINE_DUPLICATE);
    }
    CHECK_INT((intmax_t)stored, 2);
    for (size_t i = 0; i < COUNT_OF(sent); i++)
        rig_submission_free(sent[i]);
    end(&scene);
}

/* On a slow disk: the second is built while the first is being synced. */
static void
test_e2_same_key_while_the_first_is_in_flight(void)
{
    enum { SLOW_US = 100000 };
    struct scene scene;
    log_at at;
    begin(&scene);
    scene.rig.sync_delay_us = SLOW_US;
    again(&scene);
    CHECK_INT(send(&scene, 0, NULL, "before", &at), ENGINE_STORED);
    struct submission *first = batch(&scene, 0, 1), *second = batch(&scene, 0, 2);
    put(&scene, first, 0, NULL, "a");
    put(&scene, second, 0, NULL, "a");
    put(&scene, second, 1, NULL, "b");
    rig_submit(&scene.rig, first);
    while (!log_in_flight(journal_log(scene.rig.journal)))
        sched_yield();
    go(&scene, second);
    CHECK_INT(first->items[0].status, ENGINE_STORED);
    CHECK_INT(second->items[0].status, ENGINE_DUPLICATE);
    CHECK_INT((intmax_t)second->items[0].at, (intmax_t)first->items[0].at);
    CHECK_INT(second->items[1].status, ENGINE_STORED);
    rig_submission_free(first);
    rig_submission_free(second);
    end(&scene);
}

static void
test_e2_a_key_is_remembered_over_a_restart(void)
{
    struct scene scene;
    log_at first, second;
    begin(&scene);
    CHECK_INT(send(&scene, 0, "acme", "a", &first), ENGINE_STORED);
    again(&scene);
    CHECK_INT(send(&scene, 0, "acme", "a", &second), ENGINE_DUPLICATE);
    CHECK_INT((intmax_t)second, (intmax_t)first);
    end(&scene);
}

static void
test_e2_tenants_and_workspaces_have_keys_of_their_own(void)
{
    struct scene scene;
    log_at at;
    begin(&scene);
    CHECK_INT(send(&scene, 0, NULL, "a", &at), ENGINE_STORED);
    CHECK_INT(send(&scene, 0, "acme", "a", &at), ENGINE_STORED);
    CHECK_INT(send(&scene, 0, "umbrella", "a", &at), ENGINE_STORED);
    CHECK_INT(send(&scene, 1, "acme", "a", &at), ENGINE_STORED);
    CHECK_INT(send(&scene, 0, "acme", "a", &at), ENGINE_DUPLICATE);
    /* The parts of a key do not run into each other. */
    CHECK_INT(send(&scene, 0, "ac", "mea", &at), ENGINE_STORED);
    end(&scene);
}

static void
test_e2_what_the_worker_has_found_counts(void)
{
    struct scene scene;
    log_at first;
    begin(&scene);
    CHECK_INT(send(&scene, 0, NULL, "a", &first), ENGINE_STORED);
    struct submission *submission = batch(&scene, 0, 2);
    put(&scene, submission, 0, NULL, "a");
    submission->items[0].key_looked_to = first;
    submission->items[0].key_found = first;
    put(&scene, submission, 1, NULL, "fresh");
    submission->items[1].key_looked_to = first;
    go(&scene, submission);
    CHECK_INT(submission->items[0].status, ENGINE_DUPLICATE);
    CHECK_INT((intmax_t)submission->items[0].at, (intmax_t)first);
    CHECK_INT(submission->items[1].status, ENGINE_STORED);
    rig_submission_free(submission);
    end(&scene);
}

/* A commit that holds nothing but duplicates has no records, and is answered all the same. */
static void
test_a_batch_of_duplicates_alone_is_answered(void)
{
    enum { COUNT = 2500 };
    struct scene scene;
    log_at first;
    begin(&scene);
    CHECK_INT(send(&scene, 0, NULL, "a", &first), ENGINE_STORED);
    struct submission *submission = batch(&scene, 0, COUNT);
    for (size_t i = 0; i < COUNT; i++)
        put(&scene, submission, i, NULL, "a");
    go(&scene, submission);
    size_t duplicates = 0;
    for (size_t i = 0; i < COUNT; i++)
        duplicates += submission->items[i].status == ENGINE_DUPLICATE;
    CHECK_INT((intmax_t)duplicates, COUNT);
    rig_submission_free(submission);
    struct engine_stats stats;
    engine_stats(scene.rig.engine, &stats);
    CHECK_INT((intmax_t)stats.events, 1);
    CHECK_INT((intmax_t)stats.duplicates, COUNT);
    end(&scene);
}

static void
test_items_that_are_no_events_are_passed_over(void)
{
    struct scene scene;
    begin(&scene);
    struct submission *submission = batch(&scene, 0, 3);
    put(&scene, submission, 0, NULL, NULL);
    submission->items[1].skip = true;
    put(&scene, submission, 2, NULL, NULL);
    go(&scene, submission);
    CHECK_INT(submission->items[0].status, ENGINE_STORED);
    CHECK_INT(submission->items[1].status, ENGINE_WAITING);
    CHECK_INT(submission->items[2].status, ENGINE_STORED);
    rig_submission_free(submission);
    submission = batch(&scene, 0, 0);
    go(&scene, submission);
    rig_submission_free(submission);
    end(&scene);
}

/* A batch of thousands does not keep a single event waiting until it is through. */
static void
test_single_events_come_between_the_parts_of_a_batch(void)
{
    enum { COUNT = 9000 };
    struct scene scene;
    begin(&scene);
    struct submission *large = batch(&scene, 0, COUNT), *single = batch(&scene, 0, 1);
    for (size_t i = 0; i < COUNT; i++)
        put(&scene, large, i, NULL, NULL);
    put(&scene, single, 0, NULL, NULL);
    rig_submit(&scene.rig, large);
    rig_submit(&scene.rig, single);
    rig_wait(&scene.rig);
    CHECK(single->items[0].at < large->items[COUNT - 1].at);
    for (size_t i = 1; i < COUNT; i++)
        if (!CHECK(large->items[i].at > large->items[i - 1].at))
            break;
    rig_submission_free(large);
    rig_submission_free(single);
    end(&scene);
}

/* The bounds of the queue count what was taken from it and is not built yet. */
static void
test_what_is_too_much_is_refused(void)
{
    struct scene scene;
    begin(&scene);
    struct submission *heavy = batch(&scene, 0, 1), *many = batch(&scene, 0, 1);
    put(&scene, heavy, 0, NULL, NULL);
    heavy->weight = ENGINE_QUEUE_BYTES + 1u;
    CHECK(!engine_submit(scene.rig.engine, heavy));
    many->count = ENGINE_QUEUE_EVENTS + 1;
    CHECK(!engine_submit(scene.rig.engine, many));
    struct engine_stats stats;
    engine_stats(scene.rig.engine, &stats);
    CHECK_INT((intmax_t)stats.queue_events, 0);
    heavy->weight = 1;
    go(&scene, heavy);
    CHECK_INT(heavy->items[0].status, ENGINE_STORED);
    rig_submission_free(heavy);
    rig_submission_free(many);
    end(&scene);
}

int
main(void)
{
    RUN(test_e2_same_key_twice_in_a_batch);
    RUN(test_e2_same_key_in_commits_that_follow_each_other);
    RUN(test_e2_same_key_while_the_first_is_in_flight);
    RUN(test_e2_a_key_is_remembered_over_a_restart);
    RUN(test_e2_tenants_and_workspaces_have_keys_of_their_own);
    RUN(test_e2_what_the_worker_has_found_counts);
    RUN(test_a_batch_of_duplicates_alone_is_answered);
    RUN(test_items_that_are_no_events_are_passed_over);
    RUN(test_single_events_come_between_the_parts_of_a_batch);
    RUN(test_what_is_too_much_is_refused);
    return tap_done();
}
