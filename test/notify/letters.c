/* The pace of mail: one by one, or gathered; the threads; and what the server itself has to say. */
#include "notify/mail_bench.h"

/* -- one by one, or gathered ---------------------------------------------------------- */

static void
test_ten_mails_go_out_one_by_one_and_what_is_more_in_one(void)
{
    struct bench bench;
    begin(&bench);
    for (int i = 0; i < 10; i++) {
        add_alerts(&bench, 1);
        bench_pass(&bench, TIME_US_PER_SECOND);
    }
    CHECK_INT((intmax_t)bench.fake.count, 10);
    for (int i = 0; i < 90; i++) {
        add_alerts(&bench, 1);
        bench_pass(&bench, TIME_US_PER_SECOND);
    }
    CHECK_INT((intmax_t)bench.fake.count, 10);
    CHECK_INT((intmax_t)bench_stats(&bench).mail_waiting, 90);
    int64_t first = bench.fake.requests[0].at;
    bench_pass(&bench, first + 599 * TIME_US_PER_SECOND - bench.now_us);
    CHECK_INT((intmax_t)bench.fake.count, 10);
    bench_pass(&bench, 2 * TIME_US_PER_SECOND);
    CHECK_INT((intmax_t)bench.fake.count, 11);
    CHECK(says(&bench, "Subject: 90 alerts at once"));
    CHECK_INT(bench_counts(&bench).delivered, 100);
    CHECK_INT((intmax_t)bench_stats(&bench).mail_digests, 1);

    /* The storm goes on: the next digest a window later. Then calm: one by one again. */
    for (int i = 0; i < 20; i++) {
        add_alerts(&bench, 1);
        bench_pass(&bench, TIME_US_PER_SECOND);
    }
    int64_t digest = bench.fake.requests[10].at;
    size_t before = bench.fake.count;
    bench_pass(&bench, digest + 599 * TIME_US_PER_SECOND - bench.now_us);
    CHECK_INT((intmax_t)bench.fake.count, (intmax_t)before);
    bench_pass(&bench, 2 * TIME_US_PER_SECOND);
    CHECK_INT((intmax_t)bench.fake.count, (intmax_t)before + 1);
    CHECK(says(&bench, " alerts at once"));
    CHECK_INT(bench_counts(&bench).delivered, 120);
    bench_pass(&bench, 11 * TIME_US_PER_MINUTE);
    add_alerts(&bench, 1);
    bench_settle(&bench);
    CHECK(says(&bench, "Subject: [Medium] Login from New Country"));
    bench_fini(&bench);
}

static void
test_many_at_one_moment_are_one_mail_at_once(void)
{
    struct bench bench;
    begin(&bench);
    add_alerts(&bench, 50);
    bench_settle(&bench);
    CHECK_INT((intmax_t)bench.fake.count, 1);
    CHECK(says(&bench, "Subject: 50 alerts at once"));
    CHECK(says(&bench, "50 medium"));
    CHECK_INT(bench_counts(&bench).delivered, 50);
    bench_fini(&bench);
}

static void
test_everything_arrives_whatever_the_server_says_meanwhile(void)
{
    for (uint64_t seed = 1; seed <= 2; seed++) {
        struct bench bench;
        uint64_t dice = seed;
        int alerts = 0;
        begin(&bench);
        for (int i = 0; i < 80; i++) {
            uint8_t roll[3];
            bench_dice(&dice, roll, sizeof roll);
            bench.fake.status = roll[2] % 4 == 0 ? 451 : 250;
            add_alerts(&bench, 1 + (roll[0] % 8 == 0 ? roll[1] % 30 : 0));
            alerts += 1 + (roll[0] % 8 == 0 ? roll[1] % 30 : 0);
            bench_pass(&bench, (roll[2] % 16 == 0 ? 700 : roll[2]) * TIME_US_PER_SECOND);
        }
        bench.fake.status = 250;
        for (int i = 0; i < 200; i++)
            bench_pass(&bench, TIME_US_PER_HOUR);
        CHECK_INT(bench_counts(&bench).delivered, alerts);
        struct notify_stats stats = bench_stats(&bench);
        CHECK(stats.mail_digests > 0 && stats.mail_accepted > stats.mail_digests);
        bench_fini(&bench);
    }
}

static void
test_an_address_never_gets_more_than_ten_mails_in_ten_minutes(void)
{
    struct bench bench;
    begin(&bench);
    for (int i = 0; i < 150; i++) {
        add_alerts(&bench, 1 + (i % 37 == 0 ? 12 : 0));
        bench_pass(&bench, (int64_t)(i % 13) * 5 * TIME_US_PER_SECOND);
    }
    bench_pass(&bench, TIME_US_PER_HOUR);
    for (size_t i = 10; i < bench.fake.count; i++)
        if (!CHECK(bench.fake.requests[i].at - bench.fake.requests[i - 10].at >=
                   10 * TIME_US_PER_MINUTE))
            break;
    CHECK_INT((intmax_t)bench_stats(&bench).mail_waiting, 0);
    bench_fini(&bench);
}

static void
test_a_second_burst_waits_for_a_window_after_the_first_digest(void)
{
    struct bench bench;
    begin(&bench);
    add_alerts(&bench, 50);
    bench_settle(&bench);
    add_alerts(&bench, 50);
    bench_pass(&bench, 590 * TIME_US_PER_SECOND);
    CHECK_INT((intmax_t)bench.fake.count, 1);
    bench_pass(&bench, 20 * TIME_US_PER_SECOND);
    CHECK_INT((intmax_t)bench.fake.count, 2);
    CHECK_INT(bench_counts(&bench).delivered, 100);
    bench_fini(&bench);
}

static void
test_mails_that_did_not_go_out_do_not_count(void)
{
    struct bench bench;
    begin(&bench);
    bench.fake.status = 451;
    for (int i = 0; i < 10; i++) {
        add_alerts(&bench, 1);
        bench_pass(&bench, TIME_US_PER_SECOND / 10);
    }
    bench.fake.status = 250;
    bench_pass(&bench, 7 * TIME_US_PER_SECOND);
    CHECK_INT(bench_counts(&bench).delivered, 10);
    bench_fini(&bench);
}

static void
test_a_digest_that_failed_is_the_same_digest_again(void)
{
    struct bench bench;
    begin(&bench);
    bench.fake.status = 451;
    add_alerts(&bench, 30);
    bench_settle(&bench);
    CHECK_INT((intmax_t)bench.fake.count, 1);
    bench.fake.status = 250;
    bench_pass(&bench, 6 * TIME_US_PER_SECOND);
    if (CHECK_INT((intmax_t)bench.fake.count, 2))
        CHECK_TEXT(bench.fake.requests[1].id, bench.fake.requests[0].id);
    CHECK_INT(bench_counts(&bench).delivered, 30);
    bench_fini(&bench);
}

static void
test_more_than_a_digest_holds_goes_out_in_several(void)
{
    struct bench bench;
    begin(&bench);
    add_alerts(&bench, 2500);
    bench_settle(&bench);
    CHECK_INT((intmax_t)bench.fake.count, 3);
    CHECK_INT(bench_counts(&bench).delivered, 2500);
    CHECK(says(&bench, "Subject: 500 alerts at once"));
    bench_fini(&bench);
}

static void
test_one_actor_is_one_thread(void)
{
    struct bench bench;
    char roots[3][120];
    begin(&bench);
    struct alert alert = mailed();
    for (int i = 0; i < 3; i++) {
        alert.actor_id = i == 2 ? STR("somebody_else") : (struct str){0};
        add_alert(&bench, alert);
        bench_settle(&bench);
        const char *at = strstr(bench.fake.last_body, "References:");
        must(at != NULL);
        snprintf(roots[i], sizeof roots[i], "%.*s", (int)strcspn(at, ">"), at);
        CHECK(says(&bench, roots[i] + strlen("References:"))); /* In-Reply-To as well */
    }
    CHECK_TEXT(roots[1], roots[0]);
    CHECK(strcmp(roots[2], roots[0]) != 0);
    CHECK(strcmp(bench.fake.requests[0].id, bench.fake.requests[1].id) != 0);
    bench_fini(&bench);
}

/* -- notices -------------------------------------------------------------------------- */

static void
test_admins_hear_of_a_webhook_that_was_switched_off(void)
{
    struct bench bench;
    begin(&bench);
    bench_webhook(&bench, STR("whk_a"), STR("https://gone.example/"));
    bench.fake.other = "gone.example";
    bench.fake.other_status = 410;
    bench_alert(&bench);
    bench_settle(&bench);
    CHECK_INT((intmax_t)bench_sent_to(&bench, "mailto:ana"), 1);
    CHECK(says(&bench, "whk_a") || says(&bench, "gone[:]") || says(&bench, "switched off"));
    CHECK_INT(bench_counts(&bench).delivered, 1);
    bench_fini(&bench);
}

static void
test_a_notice_survives_a_crash_and_is_gathered_like_alerts(void)
{
    struct bench bench;
    begin(&bench);
    bench_webhook(&bench, STR("whk_a"), STR("https://gone.example/"));
    bench.fake.other = "gone.example";
    bench.fake.other_status = 410;
    bench.fake.hangs = "mailto:";
    bench_alert(&bench);
    bench_settle(&bench);
    crash(&bench);
    add_alerts(&bench, 12);
    bench.fake.hangs = NULL;
    bench_settle(&bench);
    CHECK(says(&bench, "Subject: 13 messages at once"));
    CHECK_INT(bench_counts(&bench).delivered, 13);
    bench_fini(&bench);
}

int
main(void)
{
    RUN(test_ten_mails_go_out_one_by_one_and_what_is_more_in_one);
    RUN(test_many_at_one_moment_are_one_mail_at_once);
    RUN(test_everything_arrives_whatever_the_server_says_meanwhile);
    RUN(test_an_address_never_gets_more_than_ten_mails_in_ten_minutes);
    RUN(test_a_second_burst_waits_for_a_window_after_the_first_digest);
    RUN(test_mails_that_did_not_go_out_do_not_count);
    RUN(test_a_digest_that_failed_is_the_same_digest_again);
    RUN(test_more_than_a_digest_holds_goes_out_in_several);
    RUN(test_one_actor_is_one_thread);
    RUN(test_admins_hear_of_a_webhook_that_was_switched_off);
    RUN(test_a_notice_survives_a_crash_and_is_gathered_like_alerts);
    return tap_done();
}
