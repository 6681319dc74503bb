/* A rule tried on history raises what it raised, or would have raised, live: the same ids. */
#include "support/rig.h"

#include "codec/time.h"

#include "tap.h"

#include <stdlib.h>

enum { EVENTS = 400, ALERTS_MOST = 100 };

static const char *const rules[] = {
    "{\"name\": \"Country\", \"rule_type\": \"new_country\", \"channels\": [],"
    " \"conditions\": {\"action_pattern\": \"auth.login\"}}",
    "{\"name\": \"Hours\", \"rule_type\": \"off_hours\", \"channels\": [], \"cooldown_minutes\": 3,"
    " \"conditions\": {\"action_pattern\": \"auth.login\", \"timezone\": \"Europe/Berlin\","
    " \"start_hour\": 1, \"end_hour\": 23}}",
    "{\"name\": \"Burst\", \"rule_type\": \"repeated_action\", \"channels\": [],"
    " \"conditions\": {\"action_pattern\": \"auth.*\", \"threshold\": 6, \"window_minutes\": 10,"
    " \"group_by\": [\"ip_address\"]}}",
};

struct ids {
    char ids[EVENTS * COUNT_OF(rules)][ALERT_ID_SIZE];
    size_t count;
};

static void
send_events(struct rig *rig, struct dice *dice, size_t count, unsigned rule, struct ids *raised)
{
    char id[ID_SIZE];
    rig_rule_id(rule, id);
    struct submission *batch = rig_submission(rig, rig_workspace(0), count);
    for (size_t i = 0; i < count; i++) {
        struct event event = rig_event(rig, dice, &batch->arena);
        rig_item(batch, i, &event);
        rig_pass_time(rig, TIME_US_PER_SECOND);
    }
    rig_submit(rig, batch);
    rig_wait(rig);
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < batch->items[i].alert_count; j++) {
            const struct alert *alert = &batch->items[i].alerts[j];
            if (str_equal(alert->rule_id, (struct str){id, ID_SIZE}))
                memcpy(raised->ids[raised->count++], alert->id.ptr, ALERT_ID_SIZE);
        }
    }
    rig_submission_free(batch);
}

static struct engine_backtest
try_rule(struct rig *rig, unsigned number, struct log_span span, struct arena *arena)
{
    struct engine_backtest result;
    struct rule rule;
    struct err err = {0};
    char id[ID_SIZE];
    must(rig_read_rule(rig, rules[number], arena, &rule));
    rig_rule_id(number, id);
    must(arena_copy(arena, (struct str){id, ID_SIZE}, &rule.id));
    rule.workspace_id = rig_workspace(0);
    if (!CHECK(engine_backtest(rig->engine, &rule, span, arena, &result, &err)))
        printf("# %s\n", err.text);
    return result;
}

static void
check_same(const struct engine_backtest *result, const struct ids *raised)
{
    CHECK(raised->count > 0);
    CHECK_INT((intmax_t)result->alerts_total, (intmax_t)raised->count);
    size_t shown = raised->count < ALERTS_MOST ? raised->count : ALERTS_MOST;
    CHECK_INT((intmax_t)result->alert_count, (intmax_t)shown);
    for (size_t i = 0; i < shown && i < result->alert_count; i++)
        CHECK_STR(result->alerts[i].id, ((struct str){raised->ids[i], ALERT_ID_SIZE}));
}

static void
test_e1_a_backtest_raises_what_was_raised_live(void)
{
    for (unsigned number = 0; number < COUNT_OF(rules); number++) {
        struct rig rig;
        struct dice dice = {80 + number};
        struct arena arena;
        struct err err = {0};
        static struct ids before, live;
        before.count = live.count = 0;
        arena_init(&arena, 65536, 1 << 28);
        rig_init(&rig);
        CHECK(rig_start(&rig, &err));
        send_events(&rig, &dice, EVENTS, number, &before);
        rig_await_rule(&rig, number, rig_put_rule(&rig, rig_workspace(0), number, rules[number]));
        log_at in_force = log_durable(journal_log(rig.journal));
        send_events(&rig, &dice, EVENTS, number, &live);
        CHECK_INT((intmax_t)before.count, 0);
        struct log_span span = {.from = in_force, .to = UINT64_MAX};
        struct engine_backtest result = try_rule(&rig, number, span, &arena);
        CHECK_INT((intmax_t)result.events_scanned, EVENTS);
        CHECK(result.events_matched > 0 && result.events_matched <= EVENTS);
        check_same(&result, &live);
        rig_stop(&rig);
        rig_fini(&rig);
        arena_fini(&arena);
    }
}

static void
test_a_backtest_counts_by_day_and_by_actor(void)
{
    struct rig rig;
    struct dice dice = {90};
    struct arena arena;
    struct err err = {0};
    static struct ids live;
    live.count = 0;
    arena_init(&arena, 65536, 1 << 28);
    rig_init(&rig);
    CHECK(rig_start(&rig, &err));
    rig_await_rule(&rig, 0, rig_put_rule(&rig, rig_workspace(0), 0, rules[0]));
    for (size_t day = 0; day < 3; day++) {
        send_events(&rig, &dice, EVENTS / 4, 0, &live);
        rig_pass_time(&rig, TIME_US_PER_DAY);
    }
    struct log_span span = {.from = 1, .to = UINT64_MAX};
    struct engine_backtest result = try_rule(&rig, 0, span, &arena);
    check_same(&result, &live);
    uint64_t by_day = 0, by_actor = 0;
    for (size_t i = 0; i < result.day_count; i++) {
        by_day += result.by_day[i].count;
        CHECK_INT((intmax_t)strlen(result.by_day[i].day), 10);
        CHECK(i == 0 || strcmp(result.by_day[i - 1].day, result.by_day[i].day) < 0);
    }
    for (size_t i = 0; i < result.actor_count; i++) {
        by_actor += result.by_actor[i].count;
        CHECK(i == 0 || result.by_actor[i - 1].count >= result.by_actor[i].count);
    }
    CHECK(result.day_count > 0 && result.actor_count > 0);
    CHECK_INT((intmax_t)by_day, (intmax_t)result.alerts_total);
    CHECK(by_actor <= result.alerts_total);
    struct engine_stats stats;
    engine_stats(rig.engine, &stats);
    CHECK_INT((intmax_t)stats.alerts, (intmax_t)live.count); /* nothing came of trying it */
    rig_stop(&rig);
    rig_fini(&rig);
    arena_fini(&arena);
}

int
main(void)
{
    RUN(test_e1_a_backtest_raises_what_was_raised_live);
    RUN(test_a_backtest_counts_by_day_and_by_actor);
    return tap_done();
}
