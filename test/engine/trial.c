/* A trial tells what an event would raise now, and changes nothing (E1, E3 hold as if it had not
 * been); its idempotency key is held until it is let go of. */
#include "support/oracle.h"
#include "support/rig.h"

#include "tap.h"

static const char *const rules[] = {
    "{\"name\": \"Country\", \"rule_type\": \"new_country\","
    " \"conditions\": {\"action_pattern\": \"*\"}, \"channels\": []}",
    "{\"name\": \"Often\", \"rule_type\": \"repeated_action\", \"cooldown_minutes\": 1,"
    " \"conditions\": {\"action_pattern\": \"*\", \"threshold\": 3, \"window_minutes\": 60},"
    " \"channels\": []}",
    "{\"name\": \"Device\", \"rule_type\": \"new_device\","
    " \"conditions\": {\"action_pattern\": \"*\"}, \"channels\": []}",
};

struct scene {
    struct rig rig;
    struct dice dice;
};

static void
start(struct scene *scene)
{
    struct err err = {0};
    if (!CHECK(rig_start(&scene->rig, &err)))
        printf("# %s\n", err.text);
}

static void
begin(struct scene *scene, size_t subjects_max)
{
    scene->dice.state = 11;
    rig_init(&scene->rig);
    scene->rig.subjects_max = subjects_max;
    start(scene);
    for (unsigned i = 0; i < COUNT_OF(rules); i++)
        rig_await_rule(&scene->rig, i + 1,
                       rig_put_rule(&scene->rig, rig_workspace(0), i + 1, rules[i]));
}

static void
end(struct scene *scene)
{
    rig_halt(&scene->rig);
    struct oracle_verdict verdict =
        oracle_ask(scene->rig.journal, scene->rig.states, scene->rig.subjects_max);
    CHECK_INT((intmax_t)oracle_faults(&verdict), 0);
    rig_close(&scene->rig);
    rig_fini(&scene->rig);
}

static struct submission *
one(struct scene *scene, const char *key)
{
    struct submission *submission = rig_submission(&scene->rig, rig_workspace(0), 1);
    struct event event = rig_event(&scene->rig, &scene->dice, &submission->arena);
    event.idempotency_key = str_from(key);
    rig_item(submission, 0, &event);
    return submission;
}

static enum engine_status
go(struct scene *scene, struct submission *submission, bool trial)
{
    submission->trial = trial;
    submission->items[0].status = ENGINE_WAITING;
    rig_submit(&scene->rig, submission);
    rig_await(&scene->rig, submission);
    return submission->items[0].status;
}

static enum engine_status
send(struct scene *scene, const char *key)
{
    struct submission *submission = one(scene, key);
    enum engine_status status = go(scene, submission, false);
    rig_submission_free(submission);
    return status;
}

static bool
same_alerts(const struct alert *before, size_t before_count, const struct engine_item *item)
{
    if (before_count != item->alert_count)
        return false;
    for (size_t i = 0; i < before_count; i++)
        if (!str_equal(before[i].id, item->alerts[i].id) ||
            !str_equal(before[i].reason, item->alerts[i].reason) ||
            !str_equal(before[i].context, item->alerts[i].context))
            return false;
    return true;
}

/* Tried twice, then stored: the same three times. Tables are full, so that a state that was kept
 * would push out another. */
static void
test_e1_what_is_tried_is_what_is_stored_next(void)
{
    enum { EVENTS = 400 };
    struct scene scene;
    size_t alerts = 0, wrong = 0;
    begin(&scene, 5);
    for (size_t i = 0; i < EVENTS; i++) {
        struct submission *submission = one(&scene, NULL);
        const struct engine_item *item = &submission->items[0];
        log_at before = log_durable(journal_log(scene.rig.journal));
        wrong += go(&scene, submission, true) != ENGINE_TRIED;
        const struct alert *first = item->alerts;
        size_t count = item->alert_count;
        wrong += item->at <= before || item->event.created_at != (int64_t)item->at;
        wrong += go(&scene, submission, true) != ENGINE_TRIED || !same_alerts(first, count, item);
        wrong += log_durable(journal_log(scene.rig.journal)) != before;
        if (i % 3 != 0)
            wrong +=
                go(&scene, submission, false) != ENGINE_STORED || !same_alerts(first, count, item);
        alerts += count;
        rig_submission_free(submission);
    }
    CHECK_INT((intmax_t)wrong, 0);
    CHECK(alerts > 50);
    end(&scene);
}

static void
test_e3_a_trial_leaves_nothing_behind(void)
{
    struct scene scene;
    struct engine_stats stats;
    begin(&scene, 0);
    for (size_t i = 0; i < 100; i++) {
        struct submission *submission = one(&scene, NULL);
        CHECK_INT(go(&scene, submission, true), ENGINE_TRIED);
        rig_submission_free(submission);
        CHECK_INT(send(&scene, NULL), ENGINE_STORED);
    }
    engine_stats(scene.rig.engine, &stats);
    CHECK_INT((intmax_t)stats.events, 100);
    rig_stop(&scene.rig);
    rig_forget_states(&scene.rig);
    start(&scene);
    engine_stats(scene.rig.engine, &stats);
    CHECK_INT((intmax_t)stats.recovery_differences, 0);
    end(&scene);
}

static void
test_e2_a_held_key_is_nobody_elses(void)
{
    struct scene scene;
    begin(&scene, 0);
    struct submission *first = one(&scene, "a"), *second = one(&scene, "a");
    struct submission *batch = rig_submission(&scene.rig, rig_workspace(0), 3);
    for (size_t i = 0; i < 3; i++) {
        struct event event = rig_event(&scene.rig, &scene.dice, &batch->arena);
        event.idempotency_key = i == 1 ? STR("a") : (struct str){0};
        rig_item(batch, i, &event);
    }
    CHECK_INT(go(&scene, first, true), ENGINE_TRIED);
    CHECK_INT(go(&scene, second, true), ENGINE_HELD);
    CHECK_INT(go(&scene, second, false), ENGINE_HELD);
    CHECK_INT(go(&scene, batch, false), ENGINE_STORED);
    CHECK_INT(batch->items[1].status, ENGINE_HELD);
    CHECK_INT(batch->items[2].status, ENGINE_STORED);
    CHECK_INT(send(&scene, "b"), ENGINE_STORED);

    /* The one that holds it is stored; who comes next gets the first answer. */
    CHECK_INT(go(&scene, first, false), ENGINE_STORED);
    CHECK_INT(send(&scene, "a"), ENGINE_DUPLICATE);
    engine_let_go(scene.rig.engine, first);
    CHECK_INT(go(&scene, second, true), ENGINE_DUPLICATE);
    CHECK_INT((intmax_t)second->items[0].at, (intmax_t)first->items[0].at);
    rig_submission_free(first);
    rig_submission_free(second);
    rig_submission_free(batch);
    end(&scene);
}

static void
test_e2_a_key_that_was_let_go_of_is_free_again(void)
{
    struct scene scene;
    begin(&scene, 0);
    struct submission *first = one(&scene, "a");
    CHECK_INT(go(&scene, first, true), ENGINE_TRIED);
    CHECK_INT(send(&scene, "a"), ENGINE_HELD);
    engine_let_go(scene.rig.engine, first);
    engine_let_go(scene.rig.engine, first); /* twice is once */
    CHECK_INT(send(&scene, "a"), ENGINE_STORED);
    CHECK_INT(send(&scene, "a"), ENGINE_DUPLICATE);
    rig_submission_free(first);
    end(&scene);
}

/* E4: when it cannot be stored, what was tried can be tried again. */
static void
test_e4_a_commit_that_failed_after_a_trial_changed_nothing(void)
{
    struct scene scene;
    begin(&scene, 0);
    for (size_t i = 0; i < 20; i++)
        CHECK_INT(send(&scene, NULL), ENGINE_STORED);
    struct submission *first = one(&scene, "a");
    CHECK_INT(go(&scene, first, true), ENGINE_TRIED);
    const struct alert *alerts = first->items[0].alerts;
    size_t count = first->items[0].alert_count;
    fault_disk_arm(&scene.rig.fault, 0, 1);
    CHECK_INT(go(&scene, first, false), ENGINE_FAILED);
    engine_let_go(scene.rig.engine, first);
    CHECK_INT(go(&scene, first, true), ENGINE_TRIED);
    CHECK(same_alerts(alerts, count, &first->items[0]));
    CHECK_INT(go(&scene, first, false), ENGINE_STORED);
    engine_let_go(scene.rig.engine, first);
    rig_submission_free(first);
    end(&scene);
}

int
main(void)
{
    RUN(test_e1_what_is_tried_is_what_is_stored_next);
    RUN(test_e3_a_trial_leaves_nothing_behind);
    RUN(test_e2_a_held_key_is_nobody_elses);
    RUN(test_e2_a_key_that_was_let_go_of_is_free_again);
    RUN(test_e4_a_commit_that_failed_after_a_trial_changed_nothing);
    return tap_done();
}
