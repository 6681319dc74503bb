/* Mail: N1 for addresses as for webhooks, with their own pace. The clock is a number. */
#include "notify/bench.h"

#include "codec/time.h"

static struct mail_server server = {.url = "smtp://localhost", .from = "tocsin@example.com"};

static void
add_member(struct bench *bench, const char *id, const char *email, enum member_role role)
{
    struct store_member member = {.workspace_id = BENCH_WORKSPACE,
                                  .id = str_from(id),
                                  .email = str_from(email),
                                  .role = role,
                                  .created_at = BENCH_EPOCH,
                                  .updated_at = BENCH_EPOCH};
    must(store_member_add(bench->store, &member, &bench->err));
}

static void
begin(struct bench *bench)
{
    bench_init(bench);
    bench->mail = &server;
    bench->fake.status = 250;
    add_member(bench, "mem_1", "ana@example.com", MEMBER_OWNER);
    bench_open_notify(bench);
}

static struct alert
mailed(void)
{
    return (struct alert){.severity = SEVERITY_MEDIUM, .channels = CHANNEL_EMAIL};
}

static int64_t
add_alert(struct bench *bench, struct alert like)
{
    int64_t at = bench_alert_like(bench, like);
    bench_commit(bench);
    return at;
}

static void
add_alerts(struct bench *bench, int count)
{
    for (int i = 0; i < count; i++)
        bench_alert_like(bench, mailed());
    bench_commit(bench);
}

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

static bool
says(const struct bench *bench, const char *text)
{
    bool found = bench->fake.last_body != NULL && strstr(bench->fake.last_body, text) != NULL;
    if (!found)
        printf("# no \"%s\" in:\n%s\n", text,
               bench->fake.last_body == NULL ? "nothing" : bench->fake.last_body);
    return found;
}

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
    bench.mail = &server;
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
    bench.mail = &server;
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
        char id[16], email[32];
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
    CHECK_INT((intmax_t)bench_sent_to(&bench, "mailto:"), 8);
    struct notify_stats stats = bench_stats(&bench);
    CHECK_INT((intmax_t)stats.mail_in_flight, 8);
    CHECK_INT((intmax_t)stats.waiting, 0);
    CHECK_INT((intmax_t)stats.mail_waiting, 41 * MANY);
    CHECK(stats.mail_oldest_waiting_at > 0 && stats.oldest_waiting_at == 0);
    bench_fini(&bench);
}

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
    RUN(test_owners_admins_and_who_the_rule_names_are_written_to_once_each);
    RUN(test_nobody_is_written_to_for_silent_alerts_or_other_channels);
    RUN(test_without_a_mail_server_nothing_is_kept_for_later);
    RUN(test_what_waits_for_somebody_who_left_is_not_sent);
    RUN(test_a_webhook_that_comes_late_makes_no_second_mail);
    RUN(test_a_tempfail_is_tried_again_by_the_schedule_to_the_end);
    RUN(test_a_refused_message_is_dead_at_once_and_can_be_replayed);
    RUN(test_what_a_crash_forgot_is_the_same_mail_again);
    RUN(test_mail_that_waits_when_its_server_is_taken_away_waits_on);
    RUN(test_a_mail_server_that_hangs_delays_no_webhook);
    RUN(test_ten_mails_go_out_one_by_one_and_what_is_more_in_one);
    RUN(test_many_at_one_moment_are_one_mail_at_once);
    RUN(test_everything_arrives_whatever_the_server_says_meanwhile);
    RUN(test_an_address_never_gets_more_than_ten_mails_in_ten_minutes);
    RUN(test_a_digest_that_failed_is_the_same_digest_again);
    RUN(test_more_than_a_digest_holds_goes_out_in_several);
    RUN(test_one_actor_is_one_thread);
    RUN(test_admins_hear_of_a_webhook_that_was_switched_off);
    RUN(test_a_notice_survives_a_crash_and_is_gathered_like_alerts);
    return tap_done();
}
