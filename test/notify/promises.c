/* N1 and its neighbours: exactly one delivery for each alert and each webhook that takes it,
 * whatever the receivers, the store or a crash do. */
#include "notify/bench.h"

#include "codec/time.h"

#include <signal.h>
#include <sys/resource.h>

/* As if killed: nothing that was not written is. */
static void
crash(struct bench *bench)
{
    notify_free(bench->notify);
    bench->notify = NULL;
    bench->fake.open_count = 0;
    store_close(bench->store);
    bench->store = NULL;
    must(store_open(bench->folder, &bench->store, &bench->err));
    bench_open_notify(bench);
}

static void
test_a_receiver_that_hangs_delays_no_other(void)
{
    enum { MANY = 10000 };
    struct bench bench;
    bench_init(&bench);
    bench_webhook(&bench, STR("whk_a"), STR("https://hangs.example/"));
    bench_webhook(&bench, STR("whk_b"), STR("https://works.example/"));
    bench_open_notify(&bench);
    bench.fake.hangs = "hangs";
    bench_alerts(&bench, MANY);
    bench_settle(&bench);
    CHECK_INT((intmax_t)bench_sent_to(&bench, "works"), MANY);
    CHECK_INT((intmax_t)bench_sent_to(&bench, "hangs"), 1); /* it has yet to show that it works */
    CHECK_INT(bench_counts(&bench).delivered, MANY);
    CHECK_INT(bench_counts(&bench).pending, MANY);

    /* It comes back to its senses: by and by it gets all of them, the oldest first. */
    bench.fake.hangs = NULL;
    bench_settle(&bench);
    CHECK_INT(bench_counts(&bench).delivered, 2 * MANY);

    /* And loses them again. */
    size_t sent = bench_sent_to(&bench, "hangs");
    bench.fake.hangs = "hangs";
    bench_alerts(&bench, 100);
    bench_settle(&bench);
    CHECK_INT((intmax_t)(bench_sent_to(&bench, "hangs") - sent), 8);
    CHECK_INT(bench_counts(&bench).delivered, 2 * MANY + 100);
    bench_fini(&bench);
}

static void
test_a_hundred_receivers_that_hang_at_once_delay_no_other(void)
{
    for (int worked_before = 0; worked_before < 2; worked_before++) {
        struct bench bench;
        char ids[100][16];
        bench_init(&bench);
        for (int i = 0; i < 100; i++) {
            snprintf(ids[i], sizeof ids[i], "whk_%02d", i);
            bench_webhook(&bench, str_from(ids[i]),
                          i < 99 ? STR("https://hangs.example/") : STR("https://works.example/"));
        }
        bench_open_notify(&bench);
        if (worked_before) {
            bench_alerts(&bench, 30);
            bench_settle(&bench);
        }
        bench.fake.hangs = "hangs";
        bench_alerts(&bench, 30);
        bench_settle(&bench);
        CHECK_INT((intmax_t)bench_sent_to(&bench, "works"), worked_before ? 60 : 30);
        bench_fini(&bench);
    }
}

static void
test_what_a_crash_forgot_goes_out_again_under_the_same_id(void)
{
    struct bench bench;
    bench_init(&bench);
    bench_webhook(&bench, STR("whk_a"), STR("https://a.example/"));
    bench_open_notify(&bench);
    bench_alert(&bench);
    notify_round(bench.notify, 0); /* sent and answered, nothing written yet */
    CHECK_INT((intmax_t)bench.fake.count, 1);
    CHECK_INT(bench_counts(&bench).pending, 0);
    crash(&bench);
    bench_settle(&bench);
    if (CHECK_INT((intmax_t)bench.fake.count, 2))
        CHECK_TEXT(bench.fake.requests[1].id, bench.fake.requests[0].id);
    CHECK_INT(bench_counts(&bench).delivered, 1);
    crash(&bench);
    bench_pass(&bench, TIME_US_PER_DAY);
    CHECK_INT((intmax_t)bench.fake.count, 2); /* written is written */
    bench_fini(&bench);
}

static void
test_a_pending_delivery_keeps_its_place_in_the_schedule_over_a_restart(void)
{
    struct bench bench;
    bench_init(&bench);
    bench_webhook(&bench, STR("whk_a"), STR("https://a.example/"));
    bench_open_notify(&bench);
    bench.fake.status = 500;
    bench_alert(&bench);
    bench_settle(&bench);
    bench_pass(&bench, 6 * TIME_US_PER_SECOND); /* the second attempt; the next in five minutes */
    crash(&bench);
    bench_pass(&bench, 3 * TIME_US_PER_MINUTE);
    CHECK_INT((intmax_t)bench.fake.count, 2);
    bench_pass(&bench, 3 * TIME_US_PER_MINUTE);
    CHECK_INT((intmax_t)bench.fake.count, 3);
    bench_fini(&bench);
}

static void
test_each_webhook_gets_what_it_takes_and_nothing_else(void)
{
    struct bench bench;
    bench_init(&bench);
    struct webhook ended = bench_webhook_like(STR("whk_ended"), STR("https://ended.example/"));
    struct webhook later = bench_webhook_like(STR("whk_later"), STR("https://later.example/"));
    struct webhook high = bench_webhook_like(STR("whk_high"), STR("https://high.example/"));
    high.has_min_severity = true;
    high.min_severity = SEVERITY_HIGH;
    later.since = BENCH_EPOCH + 20; /* from the third alert on */
    bench_open_notify(&bench);
    must(store_webhook_put(bench.store, &ended, &bench.err));
    must(store_webhook_put(bench.store, &later, &bench.err));
    must(store_webhook_put(bench.store, &high, &bench.err));
    /* Gone when the alerts are looked at, but in force when the first two were raised. */
    must(
        store_webhook_delete(bench.store, BENCH_WORKSPACE, ended.id, BENCH_EPOCH + 20, &bench.err));
    struct alert like = {.severity = SEVERITY_MEDIUM, .channels = CHANNEL_WEBHOOK};
    bench_alert_like(&bench, like);
    bench_alert_like(&bench, like);
    bench_alert_like(&bench, like);
    like.severity = SEVERITY_CRITICAL;
    bench_alert_like(&bench, like);
    like.silent = true; /* of history sent in afterwards */
    bench_alert_like(&bench, like);
    like = (struct alert){.severity = SEVERITY_CRITICAL, .channels = CHANNEL_EMAIL};
    bench_alert_like(&bench, like);
    bench_commit(&bench);
    bench_settle(&bench);
    CHECK_INT((intmax_t)bench_sent_to(&bench, "ended"), 2);
    CHECK_INT((intmax_t)bench_sent_to(&bench, "later"), 2);
    CHECK_INT((intmax_t)bench_sent_to(&bench, "high"), 1);
    CHECK_INT(bench_counts(&bench).delivered, 5);
    bench_fini(&bench);
}

static void
test_a_webhook_seen_late_still_gets_what_came_since_it_was_made(void)
{
    struct bench bench;
    bench_init(&bench);
    bench_webhook(&bench, STR("whk_a"), STR("https://old.example/"));
    bench_open_notify(&bench);
    bench_alerts(&bench, 4);
    bench_settle(&bench);
    /* In force from the third alert on, but put into the store only now. */
    struct webhook webhook = bench_webhook_like(STR("whk_b"), STR("https://new.example/"));
    webhook.since = BENCH_EPOCH + 20;
    must(store_webhook_put(bench.store, &webhook, &bench.err));
    bench_alert(&bench);
    bench_settle(&bench);
    CHECK_INT((intmax_t)bench_sent_to(&bench, "new"), 3);
    CHECK_INT((intmax_t)bench_sent_to(&bench, "old"), 5);
    bench_settle(&bench);
    crash(&bench);
    bench_settle(&bench);
    CHECK_INT((intmax_t)bench.fake.count, 8);
    bench_fini(&bench);
}

static void
test_retries_end_when_the_webhook_is_deleted(void)
{
    struct bench bench;
    bench_init(&bench);
    bench_webhook(&bench, STR("whk_a"), STR("https://a.example/"));
    bench_open_notify(&bench);
    bench.fake.status = 500;
    int64_t at = bench_alert(&bench);
    bench_settle(&bench);
    must(store_webhook_delete(bench.store, BENCH_WORKSPACE, STR("whk_a"), at + 1, &bench.err));
    bench_pass(&bench, TIME_US_PER_DAY);
    CHECK_INT((intmax_t)bench.fake.count, 1);
    CHECK_INT(bench_counts(&bench).dead, 1);
    bench_fini(&bench);
}

/* Random alerts, answers, crashes and pauses; at the end everybody has everything once. */
static void
test_every_alert_ends_in_exactly_one_delivery_per_webhook(void)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct bench bench;
        bench_init(&bench);
        bench.seed = seed;
        bench_webhook(&bench, STR("whk_a"), STR("https://a.example/"));
        bench_webhook(&bench, STR("whk_b"), STR("https://b.example/"));
        bench_open_notify(&bench);
        uint64_t dice = seed * 77;
        int alerts = 0;
        for (int step = 0; step < 40; step++) {
            uint8_t roll[2];
            bench_dice(&dice, roll, sizeof roll);
            static const int64_t answers[] = {200, 500, 0, 301, 200, 204};
            bench.fake.status = answers[roll[1] % COUNT_OF(answers)];
            bench.fake.hangs = roll[1] % 5 == 0 ? "a.example" : NULL;
            if (roll[0] % 4 == 0)
                crash(&bench);
            else if (roll[0] % 4 == 1)
                bench.now_us += 7 * TIME_US_PER_SECOND;
            else
                alerts += 1 + roll[1] % 3, bench_alerts(&bench, 1 + roll[1] % 3);
            notify_round(bench.notify, 0);
        }
        bench.fake.status = 200;
        bench.fake.hangs = NULL;
        for (int i = 0; i < 12; i++)
            bench_pass(&bench, TIME_US_PER_HOUR);
        struct store_delivery_counts counts = bench_counts(&bench);
        CHECK_INT(counts.delivered, 2 * alerts);
        CHECK_INT(counts.pending + counts.dead, 0);
        bench_fini(&bench);
    }
}

static void
test_beyond_the_most_that_may_wait_the_oldest_is_dead(void)
{
    struct bench bench;
    bench_init(&bench);
    bench.waiting_max = 100;
    bench_webhook(&bench, STR("whk_a"), STR("https://a.example/"));
    bench_open_notify(&bench);
    bench.fake.hangs = "a.example";
    bench_alerts(&bench, 150);
    bench_settle(&bench);
    CHECK_INT(bench_counts(&bench).dead, 50);
    CHECK_INT(bench_counts(&bench).pending, 100);
    struct store_delivery_filter filter = {.has_status = true, .status = DELIVERY_DEAD, .limit = 1};
    struct store_delivery *list = NULL, delivery;
    struct store_attempt *attempts = NULL;
    size_t count = 0, attempt_count = 0;
    CHECK(store_deliveries(bench.store, BENCH_WORKSPACE, &filter, &bench.arena, &list, &count,
                           &bench.err));
    CHECK(store_delivery(bench.store, BENCH_WORKSPACE, list[0].id, &bench.arena, &delivery,
                         &attempts, &attempt_count, &bench.err));
    CHECK(attempt_count == 1 && attempts[0].error.len > 0); /* and it says why */
    bench.fake.hangs = NULL;
    bench_settle(&bench);
    CHECK_INT(bench_counts(&bench).delivered, 100);
    bench_fini(&bench);
}

/* -- a store that says no ------------------------------------- */

static void
disk_is_full(bool full)
{
    struct rlimit limit;
    must(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = full ? 0 : limit.rlim_max;
    must(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

static void
test_a_full_disk_loses_no_delivery_and_does_not_spin(void)
{
    struct bench bench;
    bench_init(&bench);
    bench_webhook(&bench, STR("whk_a"), STR("https://a.example/"));
    bench_webhook(&bench, STR("whk_b"), STR("https://b.example/"));
    bench_open_notify(&bench);
    bench_settle(&bench);
    bench_alerts(&bench, 3000);
    disk_is_full(true);
    size_t before = 1;
    for (int i = 0; i < 200 && before != bench.fake.count; i++) {
        before = bench.fake.count;
        for (int k = 0; k < 5; k++)
            notify_round(bench.notify, 1000000);
    }
    /* The receivers hear of it all the same, as far as the book goes; then all is quiet. */
    CHECK(bench.fake.count > 3000 && bench.fake.count < 4200);
    int64_t began = bench.now_us;
    for (int i = 0; i < 20; i++) {
        notify_round(bench.notify, 1000000);
        bench.now_us += bench.fake.last_wait_us;
    }
    CHECK(bench.now_us - began > 10 * TIME_US_PER_SECOND);
    CHECK_INT((intmax_t)bench.fake.count, (intmax_t)before);
    disk_is_full(false);
    bench_pass(&bench, TIME_US_PER_MINUTE);
    CHECK_INT(bench_counts(&bench).delivered, 6000);
    CHECK_INT(bench_counts(&bench).pending + bench_counts(&bench).dead, 0);
    bench_fini(&bench);
}

/* -- stopping ------------------------------------- */

static void
test_a_stop_writes_what_it_knows_and_leaves_the_rest_to_the_schedule(void)
{
    struct bench bench;
    bench_init(&bench);
    bench_webhook(&bench, STR("whk_a"), STR("https://a.example/"));
    bench_webhook(&bench, STR("whk_b"), STR("https://b.example/"));
    bench_open_notify(&bench);
    bench.fake.hangs = "b.example";
    bench_alert(&bench);
    notify_round(bench.notify, 0);
    CHECK_INT(bench_counts(&bench).pending, 0);
    notify_stop(bench.notify);
    CHECK_INT(bench_counts(&bench).delivered, 1);
    CHECK_INT(bench_counts(&bench).pending, 1);
    crash(&bench);
    bench.fake.hangs = NULL;
    bench_settle(&bench);
    CHECK_INT((intmax_t)bench_sent_to(&bench, "a.example"), 1);
    CHECK_INT((intmax_t)bench_sent_to(&bench, "b.example"), 2);
    CHECK_TEXT(bench.fake.requests[2].id, bench.fake.requests[1].id);
    CHECK_INT(bench_counts(&bench).delivered, 2);
    bench_fini(&bench);
}

static void
test_a_transport_that_refuses_counts_as_an_attempt(void)
{
    struct bench bench;
    bench_init(&bench);
    bench_webhook(&bench, STR("whk_a"), STR("https://a.example/"));
    bench_open_notify(&bench);
    bench.fake.refuses = true;
    bench_alert(&bench);
    bench_settle(&bench);
    CHECK_INT(bench_counts(&bench).pending, 1);
    CHECK_INT((intmax_t)bench_stats(&bench).attempts_unanswered, 1);
    bench.fake.refuses = false;
    bench_pass(&bench, 6 * TIME_US_PER_SECOND);
    CHECK_INT(bench_counts(&bench).delivered, 1);
    bench_fini(&bench);
}

int
main(void)
{
    signal(SIGXFSZ, SIG_IGN);
    RUN(test_a_receiver_that_hangs_delays_no_other);
    RUN(test_a_hundred_receivers_that_hang_at_once_delay_no_other);
    RUN(test_what_a_crash_forgot_goes_out_again_under_the_same_id);
    RUN(test_a_pending_delivery_keeps_its_place_in_the_schedule_over_a_restart);
    RUN(test_each_webhook_gets_what_it_takes_and_nothing_else);
    RUN(test_a_webhook_seen_late_still_gets_what_came_since_it_was_made);
    RUN(test_retries_end_when_the_webhook_is_deleted);
    RUN(test_every_alert_ends_in_exactly_one_delivery_per_webhook);
    RUN(test_beyond_the_most_that_may_wait_the_oldest_is_dead);
    RUN(test_a_full_disk_loses_no_delivery_and_does_not_spin);
    RUN(test_a_stop_writes_what_it_knows_and_leaves_the_rest_to_the_schedule);
    RUN(test_a_transport_that_refuses_counts_as_an_attempt);
    return tap_done();
}
