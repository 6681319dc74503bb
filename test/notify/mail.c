/* Mail: N1 for addresses as for webhooks. The clock is a number. */
#include "notify/mail_bench.h"

/* The newest delivery to an address. */
static struct store_delivery
newest(struct bench *bench, struct store_attempt **attempts_out, size_t *count_out)
{
    struct store_delivery_filter filter = {.webhook_id = STR("mailto:ana@example.com"), .limit = 1};
    struct store_delivery *list = NULL, delivery = {0};
    size_t count = 0;
    CHECK(store_deliveries(bench->store, BENCH_WORKSPACE, &filter, &bench->arena, &list, &count,
                           &bench->err));
    if (CHECK_INT((intmax_t)count, 1))
        CHECK(store_delivery(bench->store, BENCH_WORKSPACE, list[0].id, &bench->arena, &delivery,
                             attempts_out, count_out, &bench->err));
    return delivery;
}

/* -- who ------------------------------------------------------------------------------ */

static void
test_owners_admins_and_who_the_rule_names_are_written_to_once_each(void)
{
    struct bench bench;
    begin(&bench);
    add_member(&bench, "mem_2", "ben@example.com", MEMBER_ADMIN);
    add_member(&bench, "mem_3", "cyd@example.com", MEMBER_ANALYST);
    add_member(&bench, "mem_4", "dee@example.com", MEMBER_VIEWER);
    struct json named[] = {json_of_str(STR("ANA@example.com")), json_of_str(STR("eve@example.com")),
                           json_of_str(STR("x@y\r\nBcc: z@z"))};
    struct alert alert = mailed();
    alert.emails = (struct json){.type = JSON_ARRAY, .count = 3, .items = named};
    add_alert(&bench, alert);
    bench_settle(&bench);
    CHECK_INT((intmax_t)bench.fake.count, 3);
    CHECK_INT((intmax_t)bench_sent_to(&bench, "mailto:ana@example.com"), 1);
    CHECK_INT((intmax_t)bench_sent_to(&bench, "mailto:ben@example.com"), 1);
    CHECK_INT((intmax_t)bench_sent_to(&bench, "mailto:eve@example.com"), 1);
    CHECK_INT(bench_counts(&bench).delivered, 3);
    bench_fini(&bench);
}

static void
test_nobody_is_written_to_for_silent_alerts_or_other_channels(void)
{
    struct bench bench;
    begin(&bench);
    struct alert alert = mailed();
    alert.silent = true;
    add_alert(&bench, alert);
    alert = mailed();
    alert.channels = CHANNEL_WEBHOOK;
    add_alert(&bench, alert);
    bench_settle(&bench);
    CHECK_INT((intmax_t)bench.fake.count, 0);
    CHECK_INT(bench_counts(&bench).pending, 0);
    bench_fini(&bench);
}

static void
test_without_a_mail_server_nothing_is_kept_for_later(void)
{
    struct bench bench;
    begin(&bench);
    bench.mail = NULL;
    crash(&bench);
    add_alerts(&bench, 3);
    bench_settle(&bench);
    CHECK_INT(bench_counts(&bench).pending, 0);
    notify_stop(bench.notify);
    bench.mail = &mail_bench_server;
    crash(&bench);
    bench_settle(&bench);
    CHECK_INT((intmax_t)bench.fake.count, 0);
    add_alerts(&bench, 1);
    bench_settle(&bench);
    CHECK_INT((intmax_t)bench.fake.count, 1);
    bench_fini(&bench);
}

static void
test_what_waits_for_somebody_who_left_is_not_sent(void)
{
    struct bench bench;
    begin(&bench);
    bench.fake.status = 451;
    add_alerts(&bench, 1);
    bench_settle(&bench);
    must(store_member_delete(bench.store, BENCH_WORKSPACE, STR("mem_1"), &bench.err));
    bench_pass(&bench, TIME_US_PER_DAY);
    CHECK_INT((intmax_t)bench.fake.count, 1);
    CHECK_INT(bench_counts(&bench).dead, 1);
    bench_fini(&bench);
}

static void
test_a_webhook_that_comes_late_makes_no_second_mail(void)
{
    struct bench bench;
    begin(&bench);
    struct alert alert = mailed();
    alert.channels = CHANNEL_EMAIL | CHANNEL_WEBHOOK;
    add_alert(&bench, alert);
    bench_settle(&bench);
    add_member(&bench, "mem_2", "ben@example.com", MEMBER_ADMIN);
    struct webhook webhook = bench_webhook_like(STR("whk_b"), STR("https://new.example/"));
    webhook.since = BENCH_EPOCH; /* before the alert: the log is read again for it */
    must(store_webhook_put(bench.store, &webhook, &bench.err));
    add_alert(&bench, alert);
    bench_settle(&bench);
    CHECK_INT((intmax_t)bench_sent_to(&bench, "new.example"), 2);
    CHECK_INT((intmax_t)bench_sent_to(&bench, "mailto:ana"), 2);
    CHECK_INT((intmax_t)bench_sent_to(&bench, "mailto:ben"), 1);
    bench_fini(&bench);
}

static void
let_ben_in_and_ring(struct bench *bench)
{
    add_member(bench, "mem_2", "ben@example.com", MEMBER_ADMIN);
    add_alerts(bench, 1);
}

/* At each moment of a round that reads of an alert, until there are no more moments. */
static void
test_whoever_is_added_is_written_to_of_all_that_comes_after(void)
{
    bool happened = true;
    for (int moment = 0; happened && CHECK(moment < 100); moment++) {
        struct bench bench;
        begin(&bench);
        bench_settle(&bench);
        add_alerts(&bench, 1);
        bench.meanwhile = let_ben_in_and_ring;
        bench.asks_before = moment;
        notify_round(bench.notify, 0);
        happened = bench.meanwhile == NULL;
        bench.meanwhile = NULL;
        bench_settle(&bench);
        size_t heard =
            bench_sent_to(&bench, "mailto:ben"); /* of the first too, if it came so early */
        if (!CHECK(happened ? heard >= 1 : heard == 0))
            printf("# moment %d\n", moment);
        CHECK(happened || moment > 2);
        bench_fini(&bench);
    }
}

/* -- the schedule --------------------------------------------------------------------- */

static void
test_a_tempfail_is_tried_again_by_the_schedule_to_the_end(void)
{
    static const int64_t waits[] = {5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400};
    struct bench bench;
    begin(&bench);
    bench.fake.status = 451;
    add_alerts(&bench, 1);
    bench_settle(&bench);
    for (size_t i = 0; i < COUNT_OF(waits); i++) {
        CHECK_INT((intmax_t)bench.fake.count, (intmax_t)i + 1);
        bench_pass(&bench, waits[i] * TIME_US_PER_SECOND * 85 / 100);
        CHECK_INT((intmax_t)bench.fake.count, (intmax_t)i + 1);
        bench_pass(&bench, waits[i] * TIME_US_PER_SECOND * 30 / 100);
        CHECK_INT((intmax_t)bench.fake.count, (intmax_t)i + 2);
        CHECK_TEXT(bench.fake.requests[i + 1].id, bench.fake.requests[0].id); /* the same mail */
    }
    CHECK_INT(bench_counts(&bench).dead, 1);
    struct store_attempt *attempts = NULL;
    size_t count = 0;
    newest(&bench, &attempts, &count);
    CHECK_INT((intmax_t)count, 10);
    CHECK_INT(attempts[0].status, 451);
    CHECK_STR(attempts[0].answer, STR("seen"));
    struct notify_stats stats = bench_stats(&bench);
    CHECK_INT((intmax_t)stats.mail_failed, 10);
    CHECK_INT((intmax_t)stats.mail_dead, 1);
    CHECK_INT((intmax_t)stats.mail_waiting, 0);
    CHECK_INT((intmax_t)(stats.attempts_failed + stats.deliveries_dead + stats.waiting), 0);
    bench_fini(&bench);
}

static void
test_a_refused_message_is_dead_at_once_and_can_be_replayed(void)
{
    struct bench bench;
    begin(&bench);
    bench.fake.status = 550;
    add_alerts(&bench, 1);
    bench_settle(&bench);
    bench_pass(&bench, TIME_US_PER_DAY);
    CHECK_INT((intmax_t)bench.fake.count, 1);
    CHECK_INT(bench_counts(&bench).dead, 1);
    struct store_attempt *attempts = NULL;
    size_t count = 0;
    struct store_delivery delivery = newest(&bench, &attempts, &count);
    bench.fake.status = 250;
    CHECK(notify_replay(bench.notify, BENCH_WORKSPACE, delivery.id, &bench.err));
    bench_settle(&bench);
    CHECK_INT((intmax_t)bench.fake.count, 2);
    CHECK_TEXT(bench.fake.requests[1].id, bench.fake.requests[0].id);
    CHECK_INT(bench_counts(&bench).delivered, 1);
    bench_fini(&bench);
}

static void
test_what_a_crash_forgot_is_the_same_mail_again(void)
{
    struct bench bench;
    begin(&bench);
    add_alerts(&bench, 1);
    notify_round(bench.notify, 0); /* sent and answered, nothing written yet */
    CHECK_INT((intmax_t)bench.fake.count, 1);
    crash(&bench);
    bench_settle(&bench);
    if (CHECK_INT((intmax_t)bench.fake.count, 2))
        CHECK_TEXT(bench.fake.requests[1].id, bench.fake.requests[0].id);
    crash(&bench);
    bench_pass(&bench, TIME_US_PER_DAY);
    CHECK_INT((intmax_t)bench.fake.count, 2); /* written is written */
    CHECK_INT(bench_counts(&bench).delivered, 1);
    bench_fini(&bench);
}

static void
test_mail_that_waits_when_its_server_is_taken_away_waits_on(void)
{
    struct bench bench;
    begin(&bench);
    bench.fake.status = 0;
    add_alerts(&bench, 2);
    bench_settle(&bench);
    bench.mail = NULL;
    crash(&bench);
    bench_pass(&bench, TIME_US_PER_DAY);
    CHECK_INT(bench_counts(&bench).pending, 2);
    bench.mail = &mail_bench_server;
    bench.fake.status = 250;
    crash(&bench);
    bench_settle(&bench);
    CHECK_INT(bench_counts(&bench).delivered, 2);
    bench_fini(&bench);
}

static void
test_a_mail_server_that_hangs_delays_no_webhook(void)
{
    enum { MANY = 200 };
    struct bench bench;
    begin(&bench);
    bench_webhook(&bench, STR("whk_a"), STR("https://works.example/"));
    for (int i = 0; i < 40; i++) {
        char id[40], email[40];
        snprintf(id, sizeof id, "mem_x%d", i);
        snprintf(email, sizeof email, "x%d@example.com", i);
        add_member(&bench, id, email, MEMBER_ADMIN);
    }
    bench.fake.hangs = "mailto:";
    struct alert alert = mailed();
    alert.channels = CHANNEL_EMAIL | CHANNEL_WEBHOOK;
    for (int i = 0; i < MANY; i++)
        bench_alert_like(&bench, alert);
    bench_commit(&bench);
    bench_settle(&bench);
    bench_pass(&bench, TIME_US_PER_SECOND);
    CHECK_INT((intmax_t)bench_sent_to(&bench, "works"), MANY);
    CHECK_INT((intmax_t)bench_sent_to(&bench, "mailto:"), 6);
    struct notify_stats stats = bench_stats(&bench);
    CHECK_INT((intmax_t)stats.mail_in_flight, 6);
    CHECK_INT((intmax_t)stats.waiting, 0);
    CHECK_INT((intmax_t)stats.mail_waiting, 41 * MANY);
    CHECK(stats.mail_oldest_waiting_at > 0 && stats.oldest_waiting_at == 0);
    bench_fini(&bench);
}

int
main(void)
{
    RUN(test_owners_admins_and_who_the_rule_names_are_written_to_once_each);
    RUN(test_nobody_is_written_to_for_silent_alerts_or_other_channels);
    RUN(test_without_a_mail_server_nothing_is_kept_for_later);
    RUN(test_what_waits_for_somebody_who_left_is_not_sent);
    RUN(test_whoever_is_added_is_written_to_of_all_that_comes_after);
    RUN(test_a_webhook_that_comes_late_makes_no_second_mail);
    RUN(test_a_tempfail_is_tried_again_by_the_schedule_to_the_end);
    RUN(test_a_refused_message_is_dead_at_once_and_can_be_replayed);
    RUN(test_what_a_crash_forgot_is_the_same_mail_again);
    RUN(test_mail_that_waits_when_its_server_is_taken_away_waits_on);
    RUN(test_a_mail_server_that_hangs_delays_no_webhook);
    return tap_done();
}
