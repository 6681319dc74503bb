/* What becomes of a delivery, in virtual time: the whole schedule in milliseconds. */
#include "notify/bench.h"

#include "codec/json.h"
#include "codec/time.h"

static struct store_delivery
only_delivery(struct bench *bench, struct store_attempt **attempts_out, size_t *count_out)
{
    struct store_delivery_filter filter = {.limit = 10};
    struct store_delivery *list = NULL, delivery = {0};
    size_t count = 0;
    CHECK(store_deliveries(bench->store, BENCH_WORKSPACE, &filter, &bench->arena, &list, &count,
                           &bench->err));
    if (CHECK_INT((intmax_t)count, 1))
        CHECK(store_delivery(bench->store, BENCH_WORKSPACE, list[0].id, &bench->arena, &delivery,
                             attempts_out, count_out, &bench->err));
    return delivery;
}

static void
test_an_alert_is_delivered_at_once_and_said_to_be(void)
{
    struct bench bench;
    bench_init(&bench);
    bench_webhook(&bench, STR("whk_a"), STR("https://a.example/hook"));
    bench_open_notify(&bench);
    int64_t at = bench_alert(&bench);
    bench_settle(&bench);

    struct store_attempt *attempts = NULL;
    size_t count = 0;
    struct store_delivery delivery = only_delivery(&bench, &attempts, &count);
    CHECK_INT(delivery.status, DELIVERY_DELIVERED);
    CHECK_INT(delivery.record_at, at);
    CHECK(str_equal(delivery.event_type, STR("alert.triggered")));
    if (CHECK_INT((intmax_t)count, 1)) {
        CHECK_INT(attempts[0].status, 200);
        CHECK_INT(attempts[0].duration_us, 1000);
        CHECK(str_equal(attempts[0].answer, STR("seen")) && attempts[0].error.ptr == NULL);
    }
    CHECK_INT((intmax_t)bench.fake.count, 1);
    CHECK(str_equal(str_from(bench.fake.requests[0].id), delivery.id));
    struct alert_triage triage;
    CHECK(store_triage(bench.store, BENCH_WORKSPACE, &delivery.alert_id, 1, &bench.arena, &triage,
                       &bench.err));
    CHECK(triage.notified_at > 0);
    struct notify_stats stats = bench_stats(&bench);
    CHECK_INT((intmax_t)stats.attempts_delivered, 1);
    CHECK_INT((intmax_t)stats.latency.count, 1);
    CHECK_INT((intmax_t)stats.waiting, 0);
    bench_fini(&bench);
}

static void
test_the_payload_holds_the_alert_its_event_and_its_context(void)
{
    struct bench bench;
    bench_init(&bench);
    bench_webhook(&bench, STR("whk_a"), STR("https://a.example/hook"));
    bench_open_notify(&bench);
    bench_alert(&bench);
    bench_settle(&bench);

    struct json_parser *parser = json_parser_new();
    struct json body;
    CHECK(json_parse(parser, str_from(bench.fake.last_body), &bench.arena, &body, &bench.err));
    static const char *const names[] = {"event_type",   "alert_id", "rule_id", "rule_name",
                                        "rule_type",    "severity", "reason",  "triggered_at",
                                        "workspace_id", "event",    "context"};
    if (CHECK_INT(body.count, COUNT_OF(names)))
        for (size_t i = 0; i < COUNT_OF(names); i++)
            CHECK(str_equal(body.members[i].name, str_from(names[i])));
    CHECK(str_equal(json_get(&body, STR("severity"))->text, STR("medium")));
    CHECK(str_equal(json_get(&body, STR("workspace_id"))->text, BENCH_WORKSPACE));
    const struct json *event = json_get(&body, STR("event"));
    CHECK(str_equal(json_get(event, STR("actor_id"))->text, STR("user_5a3c8f")));
    CHECK(str_equal(json_get(event, STR("actor_name"))->text, STR("Jordan \"J\" Mitchell")));
    CHECK(str_equal(json_get(event, STR("ip_country"))->text, STR("RO")));
    CHECK(str_equal(json_get(event, STR("ip_city"))->text, STR("Bucharest")));
    CHECK_INT(json_get(event, STR("integrity"))->type, JSON_OBJECT);
    CHECK_INT(json_get(event, STR("occurred_at"))->type, JSON_STRING);
    const struct json *context = json_get(&body, STR("context"));
    CHECK(str_equal(json_get(context, STR("new_country"))->text, STR("RO")));
    CHECK(strstr(bench.fake.last_headers, "Content-Type: application/json\n") != NULL);
    CHECK(strstr(bench.fake.last_headers, "User-Agent: Tocsin/9.9\n") != NULL);

    /* What was signed is what was sent. */
    struct webhook webhook = bench_webhook_like(STR("whk_a"), STR(""));
    struct buffer signature;
    buffer_init(&signature, 4096);
    notify_sign(&signature, &webhook, str_from(bench.fake.requests[0].id),
                bench.fake.requests[0].at, str_from(bench.fake.last_body));
    buffer_add_char(&signature, '\0');
    CHECK(strstr(bench.fake.last_headers, signature.ptr) != NULL);
    buffer_fini(&signature);
    json_parser_free(parser);
    bench_fini(&bench);
}

/* The times between attempts, each within ten percent of what api.md says. */
static void
test_a_dead_receiver_is_tried_by_the_schedule_and_then_given_up(void)
{
    static const int64_t wants_us[] = {
        5 * TIME_US_PER_SECOND, 5 * TIME_US_PER_MINUTE, 30 * TIME_US_PER_MINUTE,
        2 * TIME_US_PER_HOUR,   5 * TIME_US_PER_HOUR,   10 * TIME_US_PER_HOUR,
        14 * TIME_US_PER_HOUR,  20 * TIME_US_PER_HOUR,  24 * TIME_US_PER_HOUR,
    };
    struct bench bench;
    bench_init(&bench);
    bench_webhook(&bench, STR("whk_a"), STR("https://a.example/hook"));
    bench_open_notify(&bench);
    bench.fake.status = 0;
    bench_alert(&bench);
    bench_settle(&bench);
    for (size_t i = 0; i < COUNT_OF(wants_us); i++) {
        int64_t began = bench.now_us;
        while (bench.fake.count == i + 1 && bench.now_us - began < wants_us[i] * 2)
            bench_pass(&bench, wants_us[i] / 200);
        if (!CHECK_INT((intmax_t)bench.fake.count, (intmax_t)i + 2))
            break;
        int64_t took = bench.fake.requests[i + 1].at - bench.fake.requests[i].at;
        CHECK(took >= wants_us[i] * 9 / 10);
        CHECK(took <= wants_us[i] * 111 / 100 + 300000);
        CHECK_TEXT(bench.fake.requests[i + 1].id, bench.fake.requests[0].id);
    }
    struct store_attempt *attempts = NULL;
    size_t count = 0;
    struct store_delivery delivery = only_delivery(&bench, &attempts, &count);
    CHECK_INT(delivery.status, DELIVERY_DEAD);
    CHECK_INT((intmax_t)count, NOTIFY_SCHEDULE_STEPS + 1);
    CHECK(str_equal(attempts[0].error, STR("connection refused")));
    CHECK(attempts[0].answer.ptr == NULL);
    bench_pass(&bench, 30 * TIME_US_PER_DAY);
    CHECK_INT((intmax_t)bench.fake.count, NOTIFY_SCHEDULE_STEPS + 1);
    CHECK_INT((intmax_t)bench_stats(&bench).deliveries_dead, 1);

    /* And then by hand, with a schedule of its own. */
    CHECK(notify_replay(bench.notify, BENCH_WORKSPACE, delivery.id, &bench.err));
    bench_settle(&bench);
    CHECK_INT((intmax_t)bench.fake.count, NOTIFY_SCHEDULE_STEPS + 2);
    bench.fake.status = 204;
    bench_pass(&bench, 6 * TIME_US_PER_SECOND);
    delivery = only_delivery(&bench, &attempts, &count);
    CHECK_INT(delivery.status, DELIVERY_DELIVERED);
    CHECK_INT((intmax_t)count, NOTIFY_SCHEDULE_STEPS + 3);
    bench_fini(&bench);
}

static void
test_only_2xx_is_delivered(void)
{
    static const int64_t failures[] = {100, 199, 300, 301, 302, 307, 308, 400, 404, 429, 500, 503};
    static const int64_t successes[] = {200, 201, 202, 204, 299};
    for (size_t i = 0; i < COUNT_OF(failures) + COUNT_OF(successes); i++) {
        bool fails = i < COUNT_OF(failures);
        struct bench bench;
        bench_init(&bench);
        bench_webhook(&bench, STR("whk_a"), STR("https://a.example/hook"));
        bench_open_notify(&bench);
        bench.fake.status = fails ? failures[i] : successes[i - COUNT_OF(failures)];
        bench_alert(&bench);
        bench_settle(&bench);
        struct store_delivery_counts counts = bench_counts(&bench);
        CHECK_INT(counts.pending, fails);
        CHECK_INT(counts.delivered, !fails);
        bench_fini(&bench);
    }
}

static void
test_410_switches_the_webhook_off_and_nothing_more_is_sent(void)
{
    struct bench bench;
    bench_init(&bench);
    bench_webhook(&bench, STR("whk_a"), STR("https://a.example/hook"));
    bench_open_notify(&bench);
    bench.fake.status = 500;
    bench_alert(&bench);
    bench_settle(&bench);
    bench.fake.status = 410;
    bench_alert(&bench);
    bench_settle(&bench);
    struct webhook *list = NULL;
    size_t count = 0;
    CHECK(store_webhooks(bench.store, BENCH_WORKSPACE, false, &bench.arena, &list, &count,
                         &bench.err));
    CHECK(count == 1 && !list[0].enabled && list[0].disabled_reason.len > 0);
    CHECK(count == 1 && list[0].until > 0);
    bench.fake.status = 200;
    bench_alert(&bench);
    bench_pass(&bench, TIME_US_PER_DAY);
    CHECK_INT((intmax_t)bench.fake.count, 2);
    struct store_delivery_counts counts = bench_counts(&bench);
    CHECK_INT(counts.dead, 2); /* the third alert is none of its business */
    CHECK_INT(counts.pending + counts.delivered, 0);
    bench_fini(&bench);
}

static void
test_retry_after_is_honoured_up_to_a_day_and_holds_the_others_back(void)
{
    static const struct {
        int64_t status, after_us, least_us, most_us;
    } cases[] = {
        {503, 40 * TIME_US_PER_SECOND, 40 * TIME_US_PER_SECOND, 41 * TIME_US_PER_SECOND},
        {429, 3 * TIME_US_PER_DAY, TIME_US_PER_DAY, TIME_US_PER_DAY + TIME_US_PER_MINUTE},
        {429, 1, 4500000, 5600000},
        {500, TIME_US_PER_HOUR, 4500000, 5600000}, /* there it means nothing */
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct bench bench;
        bench_init(&bench);
        bench_webhook(&bench, STR("whk_a"), STR("https://a.example/hook"));
        bench_open_notify(&bench);
        bench.fake.status = cases[i].status;
        bench.fake.retry_after_us = cases[i].after_us;
        bench_alert(&bench);
        bench_settle(&bench);
        bench.fake.status = 200;
        struct store_attempt *attempts = NULL;
        size_t count = 0;
        struct store_delivery delivery = only_delivery(&bench, &attempts, &count);
        int64_t waits = delivery.next_attempt_at - bench.fake.requests[0].at;
        CHECK(waits >= cases[i].least_us && waits <= cases[i].most_us);
        bench_alert(&bench);
        bench_settle(&bench);
        bool held = cases[i].status != 500 && cases[i].after_us > TIME_US_PER_SECOND;
        CHECK_INT((intmax_t)bench.fake.count, held ? 1 : 2);
        bench_pass(&bench, 6 * TIME_US_PER_MINUTE); /* held back for five minutes at most */
        CHECK_INT((intmax_t)bench.fake.count, cases[i].least_us > TIME_US_PER_HOUR ? 2 : 3);
        bench_fini(&bench);
    }
}

static void
test_a_test_is_refused_once_deliveries_are_stopped(void)
{
    struct bench bench;
    bench_init(&bench);
    bench_open_notify(&bench);
    notify_stop(bench.notify);
    struct webhook webhook = bench_webhook_like(STR("whk_a"), STR("https://a.example/"));
    struct notify_result result;
    CHECK(!notify_test(bench.notify, &webhook, &result, &bench.err));
    CHECK_INT(bench.err.code, ERR_IO);
    bench_fini(&bench);
}

int
main(void)
{
    RUN(test_an_alert_is_delivered_at_once_and_said_to_be);
    RUN(test_the_payload_holds_the_alert_its_event_and_its_context);
    RUN(test_a_dead_receiver_is_tried_by_the_schedule_and_then_given_up);
    RUN(test_only_2xx_is_delivered);
    RUN(test_410_switches_the_webhook_off_and_nothing_more_is_sent);
    RUN(test_retry_after_is_honoured_up_to_a_day_and_holds_the_others_back);
    RUN(test_a_test_is_refused_once_deliveries_are_stopped);
    return tap_done();
}
