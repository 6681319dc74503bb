/* A transaction asks all at once; what they said decides, and is the first attempt of what is
 * delivered afterwards. N1 holds with it: one delivery for each alert and webhook, no more calls
 * than attempts. */
#include "bench.h"

enum { ALERTS = 2 };

/* An event that nobody has stored yet, what it would raise, and the question about it. */
struct login {
    char event_id[ID_SIZE], alert_ids[ALERTS][ALERT_ID_SIZE];
    struct event event;
    struct alert alerts[ALERTS];
    size_t alert_count;
    struct transactions settings;
    struct arena arena;
    struct notify_transaction ask;
    bool done;
};

static void
on_done(void *self)
{
    struct login *login = self;
    CHECK(!login->done);
    login->done = true;
}

static void
begin(struct login *login, struct bench *bench, enum transaction_type type, size_t alert_count)
{
    static const struct str rules[ALERTS] = {STR_INIT("rul_a"), STR_INIT("rul_b")};
    *login = (struct login){.alert_count = alert_count};
    login->settings.of[WEBHOOK_ALERT] = type;
    arena_init(&login->arena, 4096, 1 << 20);
    id_new_event((struct random){&bench->seed, bench_dice}, bench->next_at, login->event_id);
    login->event = (struct event){
        .id = {login->event_id, ID_SIZE},
        .actor_id = STR("ana"),
        .action = STR("auth.login"),
        .occurred_at = bench->next_at,
        .created_at = bench->next_at,
    };
    for (size_t i = 0; i < alert_count; i++) {
        alert_id(login->event.id, rules[i], login->alert_ids[i]);
        login->alerts[i] = (struct alert){
            .id = {login->alert_ids[i], ALERT_ID_SIZE},
            .rule_id = rules[i],
            .rule_name = STR("n"),
            .rule_type = STR("new_country"),
            .severity = SEVERITY_MEDIUM,
            .channels = CHANNEL_WEBHOOK,
            .reason = STR("r"),
            .context = STR("{}"),
            .event_id = login->event.id,
            .event_at = bench->next_at,
            .triggered_at = bench->next_at,
            .actor_id = login->event.actor_id,
            .at = bench->next_at + 1 + (int64_t)i,
        };
    }
    login->ask = (struct notify_transaction){
        .arena = &login->arena,
        .workspace_id = BENCH_WORKSPACE,
        .settings = &login->settings,
        .event = &login->event,
        .at = bench->next_at,
        .alerts = login->alerts,
        .alert_count = alert_count,
        .ends_at = bench->now_us + 4000000,
        .done = on_done,
        .self = login,
    };
}

/* Into the log, a little later than it was tried. */
static int64_t
keep(struct login *login, struct bench *bench)
{
    bench->next_at += 100;
    login->event.created_at = bench->next_at;
    bench_add_event(bench, &login->event);
    int64_t at = bench->next_at;
    for (size_t i = 0; i < login->alert_count; i++) {
        struct alert alert = login->alerts[i];
        alert.event_at = bench->next_at;
        alert.at = ++at;
        must(journal_add_alert(bench->journal, (log_at)at, BENCH_WORKSPACE, &alert, &bench->err));
    }
    bench_commit(bench);
    bench->next_at = at + 10;
    return at;
}

static enum notify_verdict
ask(struct login *login, struct bench *bench)
{
    notify_ask(bench->notify, &login->ask);
    for (int i = 0; i < 5 && !login->done; i++)
        notify_round(bench->notify, 0);
    CHECK(login->done);
    return login->ask.verdict;
}

static void
end(struct login *login)
{
    arena_fini(&login->arena);
}

struct counts {
    size_t rows, delivered, attempts;
};

static struct counts
count_rows(struct bench *bench)
{
    struct store_delivery_filter filter = {.limit = 100};
    struct store_delivery *list;
    struct counts counts = {0};
    CHECK(store_deliveries(bench->store, BENCH_WORKSPACE, &filter, &bench->arena, &list,
                           &counts.rows, &bench->err));
    for (size_t i = 0; i < counts.rows; i++) {
        counts.delivered += list[i].status == DELIVERY_DELIVERED;
        counts.attempts += (size_t)list[i].attempts;
    }
    return counts;
}

static void
test_n1_who_was_asked_is_not_called_again(void)
{
    struct bench bench;
    struct login login;
    bench_init(&bench);
    bench_webhook(&bench, STR("whk_a"), STR("http://a/"));
    bench_webhook(&bench, STR("whk_b"), STR("http://b/"));
    bench_open_notify(&bench);
    bench_settle(&bench);
    begin(&login, &bench, TRANSACTION_ABSOLUTE_MAJORITY, 2);
    CHECK_INT(ask(&login, &bench), NOTIFY_PASSED);
    CHECK_INT((intmax_t)login.ask.said_count, 4);
    CHECK_INT((intmax_t)bench.fake.count, 4);
    CHECK_INT((intmax_t)count_rows(&bench).rows, 0);
    notify_settle(bench.notify, &login.ask, keep(&login, &bench));
    bench_pass(&bench, 1000000);
    struct counts counts = count_rows(&bench);
    CHECK_INT((intmax_t)counts.rows, 4);
    CHECK_INT((intmax_t)counts.delivered, 4);
    CHECK_INT((intmax_t)counts.attempts, 4);
    CHECK_INT((intmax_t)bench.fake.count, 4);
    end(&login);
    bench_fini(&bench);
}

static void
test_n1_the_log_may_come_by_before_it_is_said_that_it_is_stored(void)
{
    struct bench bench;
    struct login login;
    bench_init(&bench);
    bench_webhook(&bench, STR("whk_a"), STR("http://a/"));
    bench_open_notify(&bench);
    bench_settle(&bench);
    begin(&login, &bench, TRANSACTION_ANY, 1);
    CHECK_INT(ask(&login, &bench), NOTIFY_PASSED);
    int64_t last_at = keep(&login, &bench);
    bench_settle(&bench);
    notify_settle(bench.notify, &login.ask, last_at);
    notify_settle(bench.notify, &login.ask, last_at); /* twice is once */
    bench_settle(&bench);
    CHECK_INT((intmax_t)count_rows(&bench).delivered, 1);
    CHECK_INT((intmax_t)bench.fake.count, 1);
    end(&login);
    bench_fini(&bench);
}

static void
test_who_failed_is_tried_again_when_the_rest_agreed(void)
{
    struct bench bench;
    struct login login;
    bench_init(&bench);
    bench_webhook(&bench, STR("whk_a"), STR("http://a/"));
    bench_webhook(&bench, STR("whk_b"), STR("http://bad/"));
    bench_open_notify(&bench);
    bench_settle(&bench);
    bench.fake.other = "bad";
    bench.fake.other_status = 500;
    begin(&login, &bench, TRANSACTION_SIMPLE_MAJORITY, 1);
    CHECK_INT(ask(&login, &bench), NOTIFY_PASSED);
    notify_settle(bench.notify, &login.ask, keep(&login, &bench));
    bench_settle(&bench);
    CHECK_INT((intmax_t)count_rows(&bench).delivered, 1);
    CHECK_INT((intmax_t)bench.fake.count, 2);
    bench.fake.other = NULL;
    bench_pass(&bench, 6000000);
    CHECK_INT((intmax_t)count_rows(&bench).delivered, 2);
    CHECK_INT((intmax_t)bench_sent_to(&bench, "bad"), 2);
    CHECK_INT((intmax_t)bench_sent_to(&bench, "a/"), 1);
    CHECK(strcmp(bench.fake.requests[2].id, bench.fake.requests[0].id) == 0 ||
          strcmp(bench.fake.requests[2].id, bench.fake.requests[1].id) == 0);
    end(&login);
    bench_fini(&bench);
}

static void
test_who_is_refused_leaves_nothing(void)
{
    struct bench bench;
    struct login login;
    bench_init(&bench);
    bench_webhook(&bench, STR("whk_a"), STR("http://a/"));
    bench_open_notify(&bench);
    bench_settle(&bench);
    bench.fake.status = 500;
    begin(&login, &bench, TRANSACTION_ANY, 1);
    CHECK_INT(ask(&login, &bench), NOTIFY_REFUSED);
    CHECK_INT((intmax_t)login.ask.said_count, 1);
    CHECK_INT((intmax_t)login.ask.said[0].status, 500);
    CHECK(!login.ask.said[0].good);
    notify_settle(bench.notify, &login.ask, 0);
    bench_pass(&bench, 10000000);
    CHECK_INT((intmax_t)count_rows(&bench).rows, 0);
    CHECK_INT((intmax_t)bench.fake.count, 1);
    CHECK_INT((intmax_t)bench_stats(&bench).transactions_failed, 1);
    end(&login);
    bench_fini(&bench);
}

/* The disk said no after all had agreed: they were told of an event that is not there. */
static void
test_what_was_not_stored_is_not_delivered(void)
{
    struct bench bench;
    struct login login;
    bench_init(&bench);
    bench_webhook(&bench, STR("whk_a"), STR("http://a/"));
    bench_open_notify(&bench);
    bench_settle(&bench);
    begin(&login, &bench, TRANSACTION_ANY, 1);
    CHECK_INT(ask(&login, &bench), NOTIFY_PASSED);
    notify_settle(bench.notify, &login.ask, 0);
    bench_pass(&bench, 10000000);
    CHECK_INT((intmax_t)count_rows(&bench).rows, 0);
    /* The same event, were it stored now, would be told anew. */
    (void)keep(&login, &bench);
    bench_settle(&bench);
    CHECK_INT((intmax_t)count_rows(&bench).delivered, 1);
    CHECK_INT((intmax_t)bench.fake.count, 2);
    end(&login);
    bench_fini(&bench);
}

/* An alert that only the second decision raised, and one that only the first did. */
static void
test_what_was_decided_otherwise_the_second_time(void)
{
    struct bench bench;
    struct login login;
    bench_init(&bench);
    bench_webhook(&bench, STR("whk_a"), STR("http://a/"));
    bench_open_notify(&bench);
    bench_settle(&bench);
    begin(&login, &bench, TRANSACTION_ANY, 2);
    login.ask.alert_count = 1;
    CHECK_INT(ask(&login, &bench), NOTIFY_PASSED);
    CHECK_INT((intmax_t)bench.fake.count, 1);
    notify_settle(bench.notify, &login.ask, keep(&login, &bench));
    bench_settle(&bench);
    CHECK_INT((intmax_t)count_rows(&bench).delivered, 2);
    CHECK_INT((intmax_t)bench.fake.count, 2);
    end(&login);

    begin(&login, &bench, TRANSACTION_ANY, 2);
    CHECK_INT(ask(&login, &bench), NOTIFY_PASSED);
    login.alert_count = 1;
    notify_settle(bench.notify, &login.ask, keep(&login, &bench));
    bench_pass(&bench, 1000000);
    CHECK_INT((intmax_t)count_rows(&bench).rows, 3);
    CHECK_INT((intmax_t)bench.fake.count, 4);
    end(&login);
    bench_fini(&bench);
}

static void
test_what_a_crash_forgot_is_told_again_under_the_same_id(void)
{
    struct bench bench;
    struct login login;
    bench_init(&bench);
    bench_webhook(&bench, STR("whk_a"), STR("http://a/"));
    bench_open_notify(&bench);
    bench_settle(&bench);
    begin(&login, &bench, TRANSACTION_ANY, 1);
    CHECK_INT(ask(&login, &bench), NOTIFY_PASSED);
    (void)keep(&login, &bench);
    notify_free(bench.notify);
    bench_open_notify(&bench);
    bench_settle(&bench);
    CHECK_INT((intmax_t)bench.fake.count, 2);
    CHECK(strcmp(bench.fake.requests[0].id, bench.fake.requests[1].id) == 0);
    CHECK_INT((intmax_t)count_rows(&bench).delivered, 1);
    end(&login);
    bench_fini(&bench);
}

/* Each alert is a question of its own. */
static void
test_enough_is_counted_for_each_alert(void)
{
    struct bench bench;
    struct login login;
    static const struct json high[] = {{.type = JSON_STRING, .text = STR_INIT("blocklisted_ip")}};
    bench_init(&bench);
    bench_webhook(&bench, STR("whk_a"), STR("http://a/"));
    struct webhook picky = bench_webhook_like(STR("whk_b"), STR("http://bad/"));
    picky.rule_types = (struct json){.type = JSON_ARRAY, .count = 1, .items = high};
    must(store_webhook_put(bench.store, &picky, &bench.err));
    bench_open_notify(&bench);
    bench_settle(&bench);
    bench.fake.other = "bad";
    bench.fake.other_status = 500;
    begin(&login, &bench, TRANSACTION_SUPER_MAJORITY, 2);
    login.alerts[1].rule_type = STR("blocklisted_ip");
    CHECK_INT(ask(&login, &bench), NOTIFY_REFUSED); /* the second has one of two */
    CHECK_INT((intmax_t)login.ask.said_count, 3);
    end(&login);
    begin(&login, &bench, TRANSACTION_SIMPLE_MAJORITY, 2);
    login.alerts[1].rule_type = STR("blocklisted_ip");
    CHECK_INT(ask(&login, &bench), NOTIFY_PASSED);
    notify_settle(bench.notify, &login.ask, 0);
    end(&login);
    bench_fini(&bench);
}

static void
test_nobody_to_ask_is_agreement(void)
{
    struct bench bench;
    struct login login;
    bench_init(&bench);
    bench_webhook(&bench, STR("whk_a"), STR("http://a/"));
    bench_open_notify(&bench);
    bench_settle(&bench);
    begin(&login, &bench, TRANSACTION_ABSOLUTE_MAJORITY, 0);
    CHECK_INT(ask(&login, &bench), NOTIFY_PASSED);
    end(&login);
    begin(&login, &bench, TRANSACTION_NONE, 1);
    CHECK_INT(ask(&login, &bench), NOTIFY_PASSED);
    end(&login);
    begin(&login, &bench, TRANSACTION_ANY, 1);
    login.ask.workspace_id = STR("ws_0000dead");
    CHECK_INT(ask(&login, &bench), NOTIFY_PASSED);
    end(&login);
    CHECK_INT((intmax_t)bench.fake.count, 0);
    bench_fini(&bench);
}

static void
test_a_stop_answers_those_that_wait(void)
{
    struct bench bench;
    struct login hanging, late;
    bench_init(&bench);
    bench_webhook(&bench, STR("whk_a"), STR("http://a/"));
    bench_open_notify(&bench);
    bench_settle(&bench);
    bench.fake.hangs = "a/";
    begin(&hanging, &bench, TRANSACTION_ANY, 1);
    notify_ask(bench.notify, &hanging.ask);
    notify_round(bench.notify, 0);
    CHECK(!hanging.done);
    notify_stop(bench.notify);
    CHECK(hanging.done && hanging.ask.verdict == NOTIFY_BUSY);
    begin(&late, &bench, TRANSACTION_ANY, 1);
    notify_ask(bench.notify, &late.ask);
    CHECK(late.done && late.ask.verdict == NOTIFY_BUSY);
    end(&hanging);
    end(&late);
    bench_fini(&bench);
}

/* Too many calls at once, or too many whose event has not come by: 4,096 are kept. */
static void
test_more_than_can_be_kept_is_refused(void)
{
    enum { MANY = 4096 };
    struct bench bench;
    struct login *logins = base_alloc(MANY + 1, sizeof *logins);
    bench_init(&bench);
    bench_webhook(&bench, STR("whk_a"), STR("http://a/"));
    bench_open_notify(&bench);
    bench_settle(&bench);
    bench.fake.hangs = "a/";
    for (size_t i = 0; i <= MANY; i++) {
        begin(&logins[i], &bench, TRANSACTION_ANY, 1);
        bench.next_at += 10;
        notify_ask(bench.notify, &logins[i].ask);
    }
    notify_round(bench.notify, 0);
    CHECK(logins[MANY].done && logins[MANY].ask.verdict == NOTIFY_BUSY);
    bench.fake.hangs = NULL;
    notify_round(bench.notify, 0);
    notify_round(bench.notify, 0);
    size_t passed = 0;
    for (size_t i = 0; i < MANY; i++) {
        passed += logins[i].done && logins[i].ask.verdict == NOTIFY_PASSED;
        notify_settle(bench.notify, &logins[i].ask, 0);
        end(&logins[i]);
    }
    end(&logins[MANY]);
    CHECK_INT((intmax_t)passed, MANY);
    notify_round(bench.notify, 0);
    begin(&logins[0], &bench, TRANSACTION_ANY, 1);
    CHECK_INT(ask(&logins[0], &bench), NOTIFY_PASSED);
    end(&logins[0]);
    bench_fini(&bench);
    base_free(logins);
}

static void
test_a_call_that_cannot_be_made_is_an_answer(void)
{
    struct bench bench;
    struct login login;
    bench_init(&bench);
    bench_webhook(&bench, STR("whk_a"), STR("http://a/"));
    bench_webhook(&bench, STR("whk_b"), STR("http://b/"));
    bench_open_notify(&bench);
    bench_settle(&bench);
    bench.fake.refuses = true;
    begin(&login, &bench, TRANSACTION_ANY, 1);
    CHECK_INT(ask(&login, &bench), NOTIFY_REFUSED);
    CHECK_INT((intmax_t)login.ask.said_count, 2);
    CHECK(str_equal(login.ask.said[0].error, STR("no more sockets")));
    end(&login);
    bench.fake.refuses = false;
    begin(&login, &bench, TRANSACTION_ANY, 1);
    login.ask.ends_at = bench.now_us;
    CHECK_INT(ask(&login, &bench), NOTIFY_REFUSED);
    CHECK_INT((intmax_t)bench.fake.count, 0);
    end(&login);
    bench_fini(&bench);
}

int
main(void)
{
    RUN(test_n1_who_was_asked_is_not_called_again);
    RUN(test_n1_the_log_may_come_by_before_it_is_said_that_it_is_stored);
    RUN(test_who_failed_is_tried_again_when_the_rest_agreed);
    RUN(test_who_is_refused_leaves_nothing);
    RUN(test_what_was_not_stored_is_not_delivered);
    RUN(test_what_was_decided_otherwise_the_second_time);
    RUN(test_what_a_crash_forgot_is_told_again_under_the_same_id);
    RUN(test_enough_is_counted_for_each_alert);
    RUN(test_nobody_to_ask_is_agreement);
    RUN(test_a_stop_answers_those_that_wait);
    RUN(test_more_than_can_be_kept_is_refused);
    RUN(test_a_call_that_cannot_be_made_is_an_answer);
    return tap_done();
}
