/* E1, E3: whatever comes in, in whatever pieces, with rules coming, changing and going, over
 * restarts with an old checkpoint, a fresh one or none: the alerts in the log are the fold of
 * what is in the log, and so are the states that a checkpoint holds. */
#include "support/oracle.h"
#include "support/rig.h"

#include "tap.h"

enum { SENT_MOST = 64 };

/* Gives how many events were stored: a log that cannot seal as fast as we write says no now and
 * then. */
static size_t
send_some(struct rig *rig, struct dice *dice, size_t submissions)
{
    size_t stored = 0;
    struct submission *sent[SENT_MOST];
    must(submissions <= SENT_MOST);
    for (size_t i = 0; i < submissions; i++) {
        size_t count = dice_one_in(dice, 6) ? 1 + dice_below(dice, 300) : 1;
        struct str workspace_id = rig_workspace(dice_below(dice, RIG_WORKSPACES));
        sent[i] = rig_submission(rig, workspace_id, count);
        for (size_t j = 0; j < count; j++) {
            struct event event = rig_event(rig, dice, &sent[i]->arena);
            rig_item(sent[i], j, &event);
        }
        rig_submit(rig, sent[i]);
        if (dice_one_in(dice, 3))
            rig_pass_time(rig, (int64_t)dice_below(dice, 9000000));
        if (!dice_one_in(dice, 8))
            continue;
        unsigned number = rig_change_rule(rig, dice);
        if (dice_one_in(dice, 2)) /* else it comes in somewhere among what follows */
            rig_await_rule(rig, number, 0);
    }
    rig_wait(rig);
    for (size_t i = 0; i < submissions; i++) {
        for (size_t j = 0; j < sent[i]->count; j++) {
            stored += sent[i]->items[j].status == ENGINE_STORED;
            CHECK(sent[i]->items[j].status == ENGINE_STORED ||
                  sent[i]->items[j].status == ENGINE_FAILED);
        }
        rig_submission_free(sent[i]);
    }
    return stored;
}

static void
start(struct rig *rig)
{
    struct err err = {0};
    if (!CHECK(rig_start(rig, &err)))
        printf("# %s\n", err.text);
    struct engine_stats stats;
    engine_stats(rig->engine, &stats);
    CHECK_INT((intmax_t)stats.recovery_differences, 0);
}

static void
judge(struct rig *rig, size_t stored)
{
    struct oracle_verdict verdict = oracle_ask(rig->journal, rig->states, rig->subjects_max);
    printf("# %zu events, %zu alerts, %zu lineages, %zu states\n", verdict.events, verdict.alerts,
           verdict.lineages, verdict.states);
    CHECK_INT((intmax_t)verdict.alerts_missing, 0);
    CHECK_INT((intmax_t)verdict.alerts_too_many, 0);
    CHECK_INT((intmax_t)verdict.alerts_astray, 0);
    CHECK_INT((intmax_t)verdict.states_wrong, 0);
    CHECK_INT((intmax_t)verdict.events, (intmax_t)stored);
    CHECK(verdict.lineages > 0);
}

static void
run_world(uint64_t seed, size_t rounds, size_t subjects_max, int64_t checkpoint_us)
{
    struct rig rig;
    struct dice dice = {seed};
    size_t stored = 0;
    rig_init(&rig);
    rig.subjects_max = subjects_max;
    rig.checkpoint_us = checkpoint_us;
    rig.segment_bytes = 4u << 20;
    for (size_t round = 0; round < rounds; round++) {
        start(&rig);
        for (size_t i = 0; i < 4; i++)
            rig_change_rule(&rig, &dice);
        size_t parts = 1 + dice_below(&dice, 4);
        for (size_t part = 0; part < parts; part++)
            stored += send_some(&rig, &dice, 10 + dice_below(&dice, 40));
        rig_halt(&rig);
        judge(&rig, stored);
        rig_close(&rig);
        switch (dice_below(&dice, 4)) {
        case 0:
            rig_forget_states(&rig);
            break;
        case 1:
            rig_save_states(&rig);
            break;
        case 2:
            rig_restore_states(&rig);
            break;
        default:
            break;
        }
    }
    rig_fini(&rig);
}

static void
test_e1_e3_alerts_and_states_are_the_fold_of_the_log(void)
{
    for (uint64_t seed = 1; seed < 1 + TAP_ROUNDS(3); seed++)
        run_world(seed, 3, 0, 0);
}

static void
test_e3_holds_with_checkpoints_taken_all_the_time(void)
{
    for (uint64_t seed = 11; seed < 11 + TAP_ROUNDS(3); seed++)
        run_world(seed, 3, 0, 1000);
}

static void
test_e3_holds_when_subjects_have_to_go(void)
{
    for (uint64_t seed = 21; seed < 21 + TAP_ROUNDS(3); seed++)
        run_world(seed, 3, 5, seed == 21 ? 0 : 1000);
}

int
main(void)
{
    RUN(test_e1_e3_alerts_and_states_are_the_fold_of_the_log);
    RUN(test_e3_holds_with_checkpoints_taken_all_the_time);
    RUN(test_e3_holds_when_subjects_have_to_go);
    return tap_done();
}
