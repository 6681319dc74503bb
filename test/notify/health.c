/* Receivers that fail for days, and what is sent again when they answer: in virtual time. */
#include "notify/bench.h"

#include "codec/time.h"

static struct webhook
stored_webhook(struct bench *bench)
{
    struct webhook *list = NULL;
    size_t count = 0;
    CHECK(store_webhooks(bench->store, BENCH_WORKSPACE, false, &bench->arena, &list, &count,
                         &bench->err));
    must(count == 1);
    return list[0];
}

static void
restart(struct bench *bench)
{
    notify_free(bench->notify);
    bench->fake.open_count = 0;
    store_close(bench->store);
    must(store_open(bench->folder, &bench->store, &bench->err));
    bench_open_notify(bench);
}

/* An alert every twelve hours, for so many of them; each fails. */
static void
fail_for(struct bench *bench, int half_days)
{
    bench->fake.status = 500;
    for (int i = 0; i < half_days; i++) {
        bench_alert(bench);
        bench_settle(bench);
        bench_pass(bench, TIME_US_PER_DAY / 2);
    }
}

static void
give_up(struct bench *bench, int count)
{
    bench->fake.status = 500;
    bench_alerts(bench, count);
    for (int i = 0; i < 55; i++)
        bench_pass(bench, 2 * TIME_US_PER_HOUR);
    CHECK_INT(bench_counts(bench).pending, 0);
}

static void
test_after_five_days_of_failing_a_webhook_is_switched_off_and_says_why(void)
{
    struct bench bench;
    bench_init(&bench);
    bench_webhook(&bench, STR("whk_a"), STR("https://a.example/"));
    bench_open_notify(&bench);
    int64_t began = bench.now_us;
    fail_for(&bench, 5);
    restart(&bench); /* what is known of it is not forgotten */
    fail_for(&bench, 4);
    struct webhook webhook = stored_webhook(&bench);
    CHECK(webhook.enabled && webhook.disabled_reason.ptr == NULL);
    CHECK(webhook.failing_since >= began && webhook.failing_since < began + TIME_US_PER_MINUTE);
    CHECK_INT((intmax_t)bench_stats(&bench).webhooks_failing, 1);
    fail_for(&bench, 3);
    webhook = stored_webhook(&bench);
    CHECK(!webhook.enabled && webhook.until > 0);
    CHECK(str_equal(webhook.disabled_reason, STR("its receiver has failed for five days")));
    CHECK(webhook.failing_since > 0);
    CHECK_INT((intmax_t)bench_stats(&bench).webhooks_disabled, 1);
    size_t sent = bench.fake.count;
    bench_pass(&bench, 5 * TIME_US_PER_DAY);
    CHECK_INT((intmax_t)bench.fake.count, (intmax_t)sent);
    CHECK_INT(bench_counts(&bench).pending, 0);

    /* Switched on again, it begins anew. */
    webhook.enabled = true;
    webhook.disabled_reason = (struct str){0};
    must(store_webhook_put(bench.store, &webhook, &bench.err));
    CHECK_INT(stored_webhook(&bench).failing_since, 0);
    fail_for(&bench, 2);
    CHECK(stored_webhook(&bench).enabled);
    bench_fini(&bench);
}

static void
test_one_success_ends_the_failing(void)
{
    struct bench bench;
    bench_init(&bench);
    bench_webhook(&bench, STR("whk_a"), STR("https://a.example/"));
    bench_open_notify(&bench);
    fail_for(&bench, 9);
    bench.fake.status = 200;
    bench_alert(&bench);
    bench_settle(&bench);
    CHECK_INT(stored_webhook(&bench).failing_since, 0);
    CHECK_INT((intmax_t)bench_stats(&bench).webhooks_failing, 0);
    bench_pass(&bench, TIME_US_PER_DAY + TIME_US_PER_DAY / 2); /* all that waited arrives */
    fail_for(&bench, 9);
    CHECK(stored_webhook(&bench).enabled);
    bench_fini(&bench);
}

/* Two failures with nothing but silence between them are no five days of failing. */
static void
test_days_without_an_attempt_do_not_count(void)
{
    struct bench bench;
    bench_init(&bench);
    bench_webhook(&bench, STR("whk_a"), STR("https://a.example/"));
    bench_open_notify(&bench);
    give_up(&bench, 1);
    bench_pass(&bench, 4 * TIME_US_PER_DAY);
    CHECK_INT(bench_counts(&bench).dead, 1);
    bench_alert(&bench);
    bench_settle(&bench);
    struct webhook webhook = stored_webhook(&bench);
    CHECK(webhook.enabled && webhook.failing_since > bench.now_us - TIME_US_PER_DAY);
    bench_fini(&bench);
}

static void
test_another_url_is_another_receiver(void)
{
    struct bench bench;
    bench_init(&bench);
    bench_webhook(&bench, STR("whk_a"), STR("https://a.example/"));
    bench_open_notify(&bench);
    fail_for(&bench, 9);
    struct webhook webhook = stored_webhook(&bench);
    webhook.description = STR("changed");
    must(store_webhook_put(bench.store, &webhook, &bench.err));
    CHECK(stored_webhook(&bench).failing_since > 0);
    webhook.url = STR("https://b.example/");
    must(store_webhook_put(bench.store, &webhook, &bench.err));
    CHECK_INT(stored_webhook(&bench).failing_since, 0);
    fail_for(&bench, 4);
    CHECK(stored_webhook(&bench).enabled);
    bench_fini(&bench);
}

/* -- what was given up -------------------------------------------------------- */

/* All that was delivered, as if it had been given up. */
static void
make_dead(struct bench *bench)
{
    struct store_delivery_filter filter = {
        .has_status = true, .status = DELIVERY_DELIVERED, .limit = 100000};
    struct store_delivery *list = NULL;
    size_t count = 0;
    CHECK(store_deliveries(bench->store, BENCH_WORKSPACE, &filter, &bench->arena, &list, &count,
                           &bench->err));
    struct store_outcome *outcomes = arena_array(&bench->arena, count, struct store_outcome);
    must(outcomes != NULL);
    for (size_t i = 0; i < count; i++) {
        outcomes[i] = (struct store_outcome){.delivery = list[i]};
        outcomes[i].delivery.status = DELIVERY_DEAD;
        outcomes[i].attempt.number = outcomes[i].delivery.attempts;
    }
    CHECK(store_deliveries_update(bench->store, outcomes, count, &bench->err));
}

static void
test_the_dead_of_a_webhook_since_a_time_are_sent_again(void)
{
    enum { MANY = 2500 }; /* more than are revived at a time */
    struct bench bench;
    bench_init(&bench);
    bench_webhook(&bench, STR("whk_a"), STR("https://a.example/"));
    bench_open_notify(&bench);
    int64_t half = bench.next_at + 10 * (MANY / 2);
    bench_alerts(&bench, MANY);
    bench_settle(&bench);
    make_dead(&bench);
    CHECK_INT(bench_counts(&bench).dead, MANY);
    size_t before = bench.fake.count, count = 0;
    /* Newer ones wait for it, and some are in flight. */
    bench.fake.hangs = "a.example";
    bench_alerts(&bench, 100);
    bench_settle(&bench);
    CHECK(
        notify_replay_dead(bench.notify, BENCH_WORKSPACE, STR("whk_a"), half, &count, &bench.err));
    CHECK_INT((intmax_t)count, MANY / 2);
    CHECK(notify_replay_dead(bench.notify, BENCH_WORKSPACE, STR("whk_other"), half, &count,
                             &bench.err));
    CHECK_INT((intmax_t)count, 0);
    bench.fake.hangs = NULL;
    bench.fake.status = 200;
    bench_settle(&bench);
    CHECK_INT(bench_counts(&bench).delivered, MANY / 2 + 100);
    CHECK_INT(bench_counts(&bench).dead, MANY / 2);
    CHECK_INT((intmax_t)(bench.fake.count - before), MANY / 2 + 100);
    bench_settle(&bench);
    CHECK_INT((intmax_t)(bench.fake.count - before), MANY / 2 + 100); /* each once */
    bench_fini(&bench);
}

static void
test_what_is_sent_again_has_a_schedule_of_its_own_and_outlives_a_restart(void)
{
    struct bench bench;
    size_t count = 0;
    bench_init(&bench);
    bench_webhook(&bench, STR("whk_a"), STR("https://a.example/"));
    bench_open_notify(&bench);
    give_up(&bench, 3);
    size_t before = bench.fake.count;
    CHECK(notify_replay_dead(bench.notify, BENCH_WORKSPACE, STR("whk_a"), 0, &count, &bench.err));
    CHECK_INT((intmax_t)count, 3);
    restart(&bench); /* before the thread has heard of it */
    bench_settle(&bench);
    CHECK_INT((intmax_t)(bench.fake.count - before), 3);
    CHECK_INT(bench_counts(&bench).pending, 3);
    bench_pass(&bench, 6 * TIME_US_PER_SECOND);
    CHECK_INT((intmax_t)(bench.fake.count - before), 6);
    bench.fake.status = 200;
    bench_pass(&bench, 6 * TIME_US_PER_MINUTE);
    CHECK_INT(bench_counts(&bench).delivered, 3);
    bench_fini(&bench);
}

/* -- what became of an alert -------------------------------------------------- */

static const struct json both[] = {{.type = JSON_STRING, .text = STR_INIT("alert.triggered")},
                                   {.type = JSON_STRING, .text = STR_INIT("alert.resolved")}};

static void
both_webhook(struct bench *bench)
{
    struct webhook webhook = bench_webhook_like(STR("whk_a"), STR("https://a.example/"));
    webhook.format = WEBHOOK_PAGERDUTY;
    webhook.routing_key = STR("R0123456789ABCDEF");
    webhook.events = (struct json){.type = JSON_ARRAY, .count = 2, .items = both};
    must(store_webhook_put(bench->store, &webhook, &bench->err));
}

static bool
say_resolved(struct bench *bench, int64_t at)
{
    struct store_delivery_filter filter = {.limit = 1};
    struct store_delivery *list = NULL;
    size_t count = 0;
    CHECK(store_deliveries(bench->store, BENCH_WORKSPACE, &filter, &bench->arena, &list, &count,
                           &bench->err));
    must(count == 1);
    struct alert alert = {.id = list[0].alert_id,
                          .at = at,
                          .severity = SEVERITY_MEDIUM,
                          .rule_type = STR("new_country"),
                          .channels = CHANNEL_WEBHOOK};
    return notify_resolved(bench->notify, BENCH_WORKSPACE, &alert, &bench->err);
}

static bool
last_says(const struct bench *bench, const char *action)
{
    return strstr(bench->fake.last_body, action) != NULL;
}

static void
test_who_wants_to_know_is_told_once_that_an_alert_is_resolved(void)
{
    struct bench bench;
    bench_init(&bench);
    both_webhook(&bench);
    bench_webhook(&bench, STR("whk_b"), STR("https://b.example/"));
    bench_open_notify(&bench);
    int64_t at = bench_alert(&bench);
    bench_settle(&bench);
    CHECK_INT((intmax_t)bench.fake.count, 2);
    CHECK(say_resolved(&bench, at));
    bench_settle(&bench);
    CHECK_INT((intmax_t)bench_sent_to(&bench, "a.example"), 2);
    CHECK_INT((intmax_t)bench_sent_to(&bench, "b.example"), 1);
    CHECK(last_says(&bench, "\"event_action\":\"resolve\""));
    CHECK(strcmp(bench.fake.requests[2].id, bench.fake.requests[0].id) != 0);
    CHECK(say_resolved(&bench, at));
    bench_settle(&bench);
    restart(&bench);
    bench_settle(&bench);
    CHECK_INT((intmax_t)bench.fake.count, 3);
    CHECK_INT(bench_counts(&bench).delivered, 3);
    bench_fini(&bench);
}

static void
test_an_incident_is_not_resolved_before_it_is_triggered(void)
{
    struct bench bench;
    bench_init(&bench);
    both_webhook(&bench);
    bench_open_notify(&bench);
    bench.fake.status = 500;
    int64_t at = bench_alert(&bench);
    bench_settle(&bench);
    CHECK(say_resolved(&bench, at));
    bench_settle(&bench);
    CHECK_INT((intmax_t)bench.fake.count, 1);
    bench_pass(&bench, 6 * TIME_US_PER_SECOND);
    CHECK(last_says(&bench, "\"event_action\":\"trigger\""));
    bench.fake.status = 202;
    restart(&bench);
    for (int i = 0; i < 4; i++)
        bench_pass(&bench, 2 * TIME_US_PER_MINUTE);
    CHECK_INT((intmax_t)bench.fake.count, 4);
    CHECK(last_says(&bench, "\"event_action\":\"resolve\""));
    CHECK_INT(bench_counts(&bench).delivered, 2);
    bench_fini(&bench);
}

int
main(void)
{
    RUN(test_after_five_days_of_failing_a_webhook_is_switched_off_and_says_why);
    RUN(test_one_success_ends_the_failing);
    RUN(test_days_without_an_attempt_do_not_count);
    RUN(test_another_url_is_another_receiver);
    RUN(test_the_dead_of_a_webhook_since_a_time_are_sent_again);
    RUN(test_what_is_sent_again_has_a_schedule_of_its_own_and_outlives_a_restart);
    RUN(test_who_wants_to_know_is_told_once_that_an_alert_is_resolved);
    RUN(test_an_incident_is_not_resolved_before_it_is_triggered);
    return tap_done();
}
