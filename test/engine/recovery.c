/* E3 where something is not as it was left: the checkpoint is damaged, of another log, or ahead
 * of this one; the log holds something that no fold gives. */
#include "support/oracle.h"
#include "support/rig.h"

#include "tap.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static const char rule[] = "{\"name\": \"Country\", \"rule_type\": \"new_country\","
                           " \"conditions\": {\"action_pattern\": \"auth.login\"},"
                           " \"channels\": []}";

static struct engine_stats
start(struct rig *rig)
{
    struct err err = {0};
    struct engine_stats stats = {0};
    if (!CHECK(rig_start(rig, &err)))
        printf("# %s\n", err.text);
    engine_stats(rig->engine, &stats);
    return stats;
}

static struct event
login(struct rig *rig, struct arena *arena, const char *country)
{
    struct dice dice = {5};
    struct event event = rig_event(rig, &dice, arena);
    event.actor_id = STR("ana");
    event.action = STR("auth.login");
    event.location.country = str_from(country);
    return event;
}

static size_t
send_login(struct rig *rig, const char *country)
{
    struct arena arena;
    arena_init(&arena, 4096, 1 << 20);
    struct event event = login(rig, &arena, country);
    struct submission *sent = rig_send(rig, rig_workspace(0), &event);
    size_t alerts = sent->items[0].alert_count;
    CHECK_INT(sent->items[0].status, ENGINE_STORED);
    rig_submission_free(sent);
    arena_fini(&arena);
    return alerts;
}

/* A rule in force, and somebody who was in the US. */
static void
begin(struct rig *rig)
{
    rig_init(rig);
    (void)start(rig);
    rig_await_rule(rig, 1, rig_put_rule(rig, rig_workspace(0), 1, rule));
    CHECK_INT((intmax_t)send_login(rig, "US"), 0);
}

static void
end(struct rig *rig)
{
    rig_halt(rig);
    struct oracle_verdict verdict = oracle_ask(rig->journal, rig->states, rig->subjects_max);
    CHECK_INT((intmax_t)verdict.states_wrong, 0);
    rig_close(rig);
    rig_fini(rig);
}

static void
overwrite(struct rig *rig, const char *name, off_t at)
{
    char path[128], noise[4096];
    snprintf(path, sizeof path, "%s/%s", rig->folder, name);
    memset(noise, 0x5a, sizeof noise);
    int file = open(path, O_WRONLY);
    must(file >= 0 && pwrite(file, noise, sizeof noise, at) == (ssize_t)sizeof noise);
    close(file);
}

static void
test_e3_a_damaged_checkpoint_is_done_without(void)
{
    static const off_t places[] = {0, 4096, 8192};
    for (size_t i = 0; i < COUNT_OF(places); i++) {
        struct rig rig;
        begin(&rig);
        rig_stop(&rig);
        overwrite(&rig, "state.db", places[i]);
        struct engine_stats stats = start(&rig);
        CHECK_INT((intmax_t)stats.recovery_differences, 0);
        CHECK_INT((intmax_t)stats.rules_active, 1);
        CHECK_INT((intmax_t)send_login(&rig, "US"), 0);
        CHECK_INT((intmax_t)send_login(&rig, "RO"), 1);
        end(&rig);
    }
}

/* What an orderly stop has no time to write, the next start reads from the log. */
static void
test_a_stop_does_not_wait_for_a_checkpoint_that_takes_too_long(void)
{
    struct rig rig;
    begin(&rig);
    rig_stop(&rig);
    int64_t written = 0;
    rig.last_checkpoint_us = -1;
    for (int i = 0; i < 2; i++) {
        struct engine_stats stats = start(&rig);
        CHECK_INT((intmax_t)stats.recovery_differences, 0);
        CHECK(i == 0 || stats.checkpoint_at == written);
        written = stats.checkpoint_at;
        CHECK_INT((intmax_t)send_login(&rig, i == 0 ? "RO" : "BR"), 1);
        rig_stop(&rig);
    }
    rig.last_checkpoint_us = 0;
    CHECK_INT((intmax_t)start(&rig).recovery_differences, 0);
    CHECK_INT((intmax_t)send_login(&rig, "US"), 0);
    CHECK_INT((intmax_t)send_login(&rig, "BR"), 0);
    CHECK_INT((intmax_t)send_login(&rig, "FR"), 1);
    end(&rig);
}

/* The log was put back from yesterday, the checkpoint was not. */
static void
test_e3_a_checkpoint_ahead_of_the_log_is_done_without(void)
{
    struct rig rig;
    char command[256];
    begin(&rig);
    rig_stop(&rig);
    snprintf(command, sizeof command, "cp -a %s/log %s/log.saved", rig.folder, rig.folder);
    must(system(command) == 0);
    (void)start(&rig);
    CHECK_INT((intmax_t)send_login(&rig, "RO"), 1);
    rig_stop(&rig);
    snprintf(command, sizeof command, "rm -r %s/log && mv %s/log.saved %s/log", rig.folder,
             rig.folder, rig.folder);
    must(system(command) == 0);
    struct engine_stats stats = start(&rig);
    CHECK_INT((intmax_t)stats.recovery_differences, 0);
    CHECK_INT((intmax_t)send_login(&rig, "RO"), 1);
    end(&rig);
}

static void
test_e3_a_checkpoint_of_another_log_is_done_without(void)
{
    struct rig rig;
    char command[256];
    begin(&rig);
    rig_stop(&rig);
    snprintf(command, sizeof command, "rm -r %s/log", rig.folder);
    must(system(command) == 0);
    (void)start(&rig);
    rig_await_rule(&rig, 1, 1);
    CHECK_INT((intmax_t)send_login(&rig, "RO"), 0);
    CHECK_INT((intmax_t)send_login(&rig, "US"), 1);
    end(&rig);
}

static void
add_event(struct rig *rig, log_at at, const struct event *event)
{
    struct submission *written = rig_submission(rig, rig_workspace(0), 1);
    struct event_integrity integrity;
    struct err err = {0};
    rig_item(written, 0, event);
    struct journal_event added = {
        .workspace_id = rig_workspace(0),
        .event = event,
        .stored = written->items[0].stored,
        .stored_len = written->items[0].stored_len,
        .created_at_offset = written->items[0].created_at_offset,
    };
    must(journal_add_event(rig->journal, at, &added, &integrity, &err));
    rig_submission_free(written);
}

/* An event that should have raised an alert and did not; an alert that nothing raised. */
static void
test_what_the_log_holds_against_the_fold_is_counted(void)
{
    struct rig rig;
    struct arena arena;
    struct err err = {0};
    arena_init(&arena, 4096, 1 << 20);
    begin(&rig);
    rig_halt(&rig);
    log_at at = log_durable(journal_log(rig.journal));
    struct event event = login(&rig, &arena, "RO");
    add_event(&rig, ++at, &event);
    event = login(&rig, &arena, "RO");
    add_event(&rig, ++at, &event);
    char id[ID_SIZE];
    rig_rule_id(1, id);
    struct alert alert = {
        .id = STR("alt_00000000-0000-8000-8000-000000000000"),
        .rule_id = {id, ID_SIZE},
        .rule_name = STR("Country"),
        .rule_type = STR("new_country"),
        .reason = STR("none"),
        .event_id = event.id,
        .event_at = (int64_t)at,
        .actor_id = event.actor_id,
        .context = STR("{}"),
    };
    alert.at = alert.triggered_at = (int64_t)++at;
    must(journal_add_alert(rig.journal, at, rig_workspace(0), &alert, &err));
    must(journal_commit(rig.journal, NULL, NULL, &err) && journal_drain(rig.journal, &err));
    rig_close(&rig);
    struct engine_stats stats = start(&rig);
    CHECK_INT((intmax_t)stats.recovery_differences, 2);
    rig_stop(&rig);
    rig_fini(&rig);
    arena_fini(&arena);
}

static void
test_a_clock_behind_the_log_shows(void)
{
    static const int64_t HOUR_US = 3600000000;
    struct rig rig;
    struct engine_stats stats;
    begin(&rig);
    engine_stats(rig.engine, &stats);
    CHECK_INT((intmax_t)stats.clock_behind_us, 0);
    atomic_fetch_sub(&rig.wall_us, (int64_t)HOUR_US);
    engine_stats(rig.engine, &stats);
    CHECK(stats.clock_behind_us > HOUR_US - 1000000LL && stats.clock_behind_us <= HOUR_US);
    CHECK_INT((intmax_t)send_login(&rig, "RO"), 1);
    end(&rig);
}

int
main(void)
{
    RUN(test_e3_a_damaged_checkpoint_is_done_without);
    RUN(test_a_stop_does_not_wait_for_a_checkpoint_that_takes_too_long);
    RUN(test_e3_a_checkpoint_ahead_of_the_log_is_done_without);
    RUN(test_e3_a_checkpoint_of_another_log_is_done_without);
    RUN(test_what_the_log_holds_against_the_fold_is_counted);
    RUN(test_a_clock_behind_the_log_shows);
    return tap_done();
}
