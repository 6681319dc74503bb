/* Rules come into force, are amended and cease; E1 at their edges. */
#include "support/oracle.h"
#include "support/rig.h"

#include "codec/time.h"

#include "tap.h"

#define NEW_COUNTRY(name, more)                                                                    \
    "{\"name\": \"" name "\", \"rule_type\": \"new_country\","                                     \
    " \"conditions\": {\"action_pattern\": \"auth.login\"}, \"channels\": []" more "}"

struct scene {
    struct rig rig;
    struct arena arena;
    uint64_t alerts; /* raised by the last event */
    struct str context;
};

static void
start(struct scene *scene)
{
    struct err err = {0};
    CHECK(rig_start(&scene->rig, &err));
}

static void
begin(struct scene *scene)
{
    *scene = (struct scene){0};
    rig_init(&scene->rig);
    arena_init(&scene->arena, 65536, 1 << 26);
    start(scene);
}

static void
end(struct scene *scene)
{
    rig_halt(&scene->rig);
    struct oracle_verdict verdict =
        oracle_ask(scene->rig.journal, scene->rig.states, scene->rig.subjects_max);
    CHECK_INT((intmax_t)oracle_faults(&verdict), 0);
    rig_close(&scene->rig);
    arena_fini(&scene->arena);
    rig_fini(&scene->rig);
}

static void
again(struct scene *scene)
{
    rig_stop(&scene->rig);
    start(scene);
    struct engine_stats stats;
    engine_stats(scene->rig.engine, &stats);
    CHECK_INT((intmax_t)stats.recovery_differences, 0);
}

/* Somebody signs in from a country; gives how many alerts that raised. */
static size_t
login(struct scene *scene, size_t workspace, const char *actor, const char *country)
{
    struct dice dice = {99};
    struct event event = rig_event(&scene->rig, &dice, &scene->arena);
    event.actor_id = str_from(actor);
    event.action = STR("auth.login");
    event.location.country = str_from(country);
    event.occurred_at = atomic_load(&scene->rig.wall_us);
    struct submission *sent = rig_send(&scene->rig, rig_workspace(workspace), &event);
    CHECK_INT(sent->items[0].status, ENGINE_STORED);
    size_t count = sent->items[0].alert_count;
    if (count > 0)
        must(arena_copy(&scene->arena, sent->items[0].alerts[0].context, &scene->context));
    rig_submission_free(sent);
    return count;
}

static int64_t
put(struct scene *scene, unsigned number, const char *json)
{
    int64_t version = rig_put_rule(&scene->rig, rig_workspace(0), number, json);
    rig_await_rule(&scene->rig, number, version);
    return version;
}

static void
take_out(struct scene *scene, unsigned number)
{
    rig_delete_rule(&scene->rig, rig_workspace(0), number);
    rig_await_rule(&scene->rig, number, INT64_MAX);
}

static void
test_a_new_rule_knows_history_and_raises_nothing_for_it(void)
{
    struct scene scene;
    begin(&scene);
    CHECK_INT((intmax_t)login(&scene, 0, "ana", "US"), 0);
    CHECK_INT((intmax_t)login(&scene, 0, "ana", "RO"), 0);
    put(&scene, 1, NEW_COUNTRY("New country", ""));
    CHECK_INT((intmax_t)login(&scene, 0, "ana", "RO"), 0);
    CHECK_INT((intmax_t)login(&scene, 0, "ana", "DE"), 1);
    CHECK_INT((intmax_t)login(&scene, 0, "ana", "DE"), 0);
    end(&scene);
}

static void
test_the_alert_of_a_durable_event_wakes_who_delivers(void)
{
    struct scene scene;
    begin(&scene);
    put(&scene, 1, NEW_COUNTRY("New country", ""));
    uint64_t before = atomic_load(&scene.rig.wakes);
    CHECK(before > 0); /* the rule's record */
    CHECK_INT((intmax_t)login(&scene, 0, "ana", "US"), 0);
    CHECK_INT((intmax_t)atomic_load(&scene.rig.wakes), (intmax_t)before);
    CHECK_INT((intmax_t)login(&scene, 0, "ana", "RO"), 1);
    CHECK(atomic_load(&scene.rig.wakes) > before);
    end(&scene);
}

static void
test_workspaces_do_not_see_each_other(void)
{
    struct scene scene;
    begin(&scene);
    CHECK_INT((intmax_t)login(&scene, 0, "ana", "US"), 0);
    put(&scene, 1, NEW_COUNTRY("New country", ""));
    CHECK_INT((intmax_t)login(&scene, 1, "ana", "RO"), 0);
    CHECK_INT((intmax_t)login(&scene, 0, "ana", "RO"), 1);
    end(&scene);
}

/* Another name, severity or cooldown keeps what was learnt, and is in force from its record on. */
static void
test_another_name_keeps_the_state(void)
{
    struct scene scene;
    begin(&scene);
    put(&scene, 1, NEW_COUNTRY("Old", ""));
    CHECK_INT((intmax_t)login(&scene, 0, "ana", "US"), 0);
    CHECK_INT((intmax_t)login(&scene, 0, "ana", "RO"), 1);
    CHECK_INT(put(&scene, 1, NEW_COUNTRY("New", ", \"severity\": \"critical\"")), 2);
    CHECK_INT((intmax_t)login(&scene, 0, "ana", "RO"), 0);
    struct dice dice = {99};
    struct event event = rig_event(&scene.rig, &dice, &scene.arena);
    event.actor_id = STR("ana");
    event.action = STR("auth.login");
    event.location.country = STR("DE");
    struct submission *sent = rig_send(&scene.rig, rig_workspace(0), &event);
    CHECK_INT((intmax_t)sent->items[0].alert_count, 1);
    CHECK_STR(sent->items[0].alerts[0].rule_name, STR("New"));
    CHECK_INT(sent->items[0].alerts[0].severity, SEVERITY_CRITICAL);
    rig_submission_free(sent);
    again(&scene);
    CHECK_INT((intmax_t)login(&scene, 0, "ana", "DE"), 0);
    end(&scene);
}

static void
test_other_conditions_learn_again(void)
{
    struct scene scene;
    begin(&scene);
    put(&scene, 1, NEW_COUNTRY("Rule", ""));
    CHECK_INT((intmax_t)login(&scene, 0, "ana", "US"), 0);
    CHECK_INT((intmax_t)login(&scene, 0, "ana", "RO"), 1);
    put(&scene, 1,
        "{\"name\": \"Rule\", \"rule_type\": \"new_country\", \"channels\": [],"
        " \"conditions\": {\"action_pattern\": \"auth.*\", \"min_history\": 4}}");
    CHECK_INT((intmax_t)login(&scene, 0, "ana", "DE"), 0);
    CHECK_INT((intmax_t)login(&scene, 0, "ana", "AU"), 0);
    CHECK_INT((intmax_t)login(&scene, 0, "ana", "FR"), 1);
    end(&scene);
}

static void
test_a_rule_that_is_off_or_gone_raises_nothing(void)
{
    struct scene scene;
    begin(&scene);
    put(&scene, 1, NEW_COUNTRY("Rule", ""));
    CHECK_INT((intmax_t)login(&scene, 0, "ana", "US"), 0);
    put(&scene, 1, NEW_COUNTRY("Rule", ", \"enabled\": false"));
    CHECK_INT((intmax_t)login(&scene, 0, "ana", "RO"), 0);
    put(&scene, 1, NEW_COUNTRY("Rule", ""));
    CHECK_INT((intmax_t)login(&scene, 0, "ana", "RO"), 0); /* learnt meanwhile */
    CHECK_INT((intmax_t)login(&scene, 0, "ana", "DE"), 1);
    take_out(&scene, 1);
    CHECK_INT((intmax_t)login(&scene, 0, "ana", "AU"), 0);
    again(&scene);
    CHECK_INT((intmax_t)login(&scene, 0, "ana", "FR"), 0);
    end(&scene);
}

static void
test_status_says_whether_a_rule_is_in_force(void)
{
    struct scene scene;
    struct rule rule;
    struct err err = {0};
    char id[ID_SIZE];
    begin(&scene);
    put(&scene, 1, NEW_COUNTRY("Rule", ""));
    rig_rule_id(1, id);
    must(store_rule(scene.rig.store, rig_workspace(0), (struct str){id, ID_SIZE}, &scene.arena,
                    &rule, &err));
    CHECK_INT(engine_rule_status(scene.rig.engine, &rule), RULE_ACTIVE);
    rule.fold_version++;
    CHECK_INT(engine_rule_status(scene.rig.engine, &rule), RULE_LEARNING);
    rule.enabled = false;
    CHECK_INT(engine_rule_status(scene.rig.engine, &rule), RULE_DISABLED);
    struct engine_stats stats;
    engine_stats(scene.rig.engine, &stats);
    CHECK_INT((intmax_t)stats.rules_active, 1);
    CHECK_INT((intmax_t)stats.rules_learning, 0);
    end(&scene);
}

/* Learning reaches back so far and no farther; the position is in the rule's record. */
static void
test_learning_begins_at_its_horizon(void)
{
    struct scene scene;
    *(&scene) = (struct scene){0};
    rig_init(&scene.rig);
    arena_init(&scene.arena, 65536, 1 << 26);
    scene.rig.learning_us = TIME_US_PER_HOUR;
    start(&scene);
    static const char rule[] =
        "{\"name\": \"Burst\", \"rule_type\": \"repeated_action\", \"channels\": [], "
        "\"conditions\":"
        " {\"action_pattern\": \"auth.login\", \"threshold\": 3, \"window_minutes\": 600}}";
    CHECK_INT((intmax_t)login(&scene, 0, "ana", "US"), 0);
    rig_pass_time(&scene.rig, 12 * TIME_US_PER_HOUR);
    CHECK_INT((intmax_t)login(&scene, 0, "ben", "US"), 0);
    put(&scene, 1, rule);
    CHECK_INT((intmax_t)login(&scene, 0, "ana", "US"), 0);
    CHECK_INT((intmax_t)login(&scene, 0, "ben", "US"), 0);
    CHECK_INT((intmax_t)login(&scene, 0, "ben", "US"), 1);
    end(&scene);
}

static void
test_a_combination_follows_the_rules_it_lists(void)
{
    if (!detect_type_exists(STR("combination")))
        return;
    struct scene scene;
    char json[512], first[ID_SIZE], second[ID_SIZE];
    rig_rule_id(1, first);
    rig_rule_id(2, second);
    snprintf(json, sizeof json,
             "{\"name\": \"Both\", \"rule_type\": \"combination\", \"channels\": [],"
             " \"conditions\": {\"all\": [\"%.*s\", \"%.*s\"], \"within_minutes\": 60}}",
             ID_SIZE, first, ID_SIZE, second);
    static const char watched[] = "{\"name\": \"Any\", \"rule_type\": \"watched_action\","
                                  " \"conditions\": {\"action_pattern\": \"%s\"},"
                                  " \"channels\": []}";
    char any[256], none[256];
    snprintf(any, sizeof any, watched, "auth.login");
    snprintf(none, sizeof none, watched, "nothing.at.all");
    begin(&scene);
    put(&scene, 1, NEW_COUNTRY("Rule", ""));
    put(&scene, 2, any);
    put(&scene, 3, json);
    CHECK_INT((intmax_t)login(&scene, 0, "ana", "US"), 1); /* the watched action */
    CHECK_INT((intmax_t)login(&scene, 0, "ana", "RO"), 3);
    put(&scene, 2, none); /* the combination learns again */
    rig_await_rule(&scene.rig, 3, 1);
    CHECK_INT((intmax_t)login(&scene, 0, "ana", "DE"), 1);
    put(&scene, 2, any);
    rig_await_rule(&scene.rig, 3, 1);
    CHECK_INT((intmax_t)login(&scene, 0, "ana", "AU"), 3);
    again(&scene);
    CHECK_INT((intmax_t)login(&scene, 0, "ana", "FR"), 3);
    take_out(&scene, 2);
    rig_await_rule(&scene.rig, 3, 1);
    CHECK_INT((intmax_t)login(&scene, 0, "ana", "IT"), 1);
    end(&scene);
}

/* What cannot be run is said, keeps nobody else from running, and is never said to be in force. */
static void
test_a_rule_that_cannot_be_run_is_not_in_force(void)
{
    struct scene scene;
    struct err err = {0};
    char id[ID_SIZE];
    begin(&scene);
    rig_rule_id(5, id);
    struct rule rule = {
        .workspace_id = rig_workspace(0),
        .id = {id, ID_SIZE},
        .name = STR("Broken"),
        .rule_type = STR("new_country"),
        .conditions = STR("{\"threshold\":\"many\"}"),
        .enabled = true,
        .created_at = 1,
        .updated_at = 1,
    };
    must(store_rule_put(scene.rig.store, &rule, &err));
    engine_rules_changed(scene.rig.engine);
    put(&scene, 1, NEW_COUNTRY("Rule", ""));
    CHECK(!engine_wait_rule(scene.rig.engine, rule.id, rule.version, 1000));
    CHECK_INT(engine_rule_status(scene.rig.engine, &rule), RULE_LEARNING);
    CHECK_INT((intmax_t)login(&scene, 0, "ana", "US"), 0);
    CHECK_INT((intmax_t)login(&scene, 0, "ana", "RO"), 1);
    end(&scene);
}

int
main(void)
{
    RUN(test_a_new_rule_knows_history_and_raises_nothing_for_it);
    RUN(test_the_alert_of_a_durable_event_wakes_who_delivers);
    RUN(test_workspaces_do_not_see_each_other);
    RUN(test_another_name_keeps_the_state);
    RUN(test_other_conditions_learn_again);
    RUN(test_a_rule_that_is_off_or_gone_raises_nothing);
    RUN(test_status_says_whether_a_rule_is_in_force);
    RUN(test_learning_begins_at_its_horizon);
    RUN(test_a_combination_follows_the_rules_it_lists);
    RUN(test_a_rule_that_cannot_be_run_is_not_in_force);
    return tap_done();
}
