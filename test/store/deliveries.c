/* Deliveries: made once, found by what people ask for, and none lost in between. */
#include "support/store_bench.h"

#include "tap.h"

#include <pthread.h>
#include <stdatomic.h>

/* Delivery i of alert i for webhook "whk_a" or "whk_b". */
struct texts {
    char id[24], alert[24];
};
static struct store_delivery
sample(struct texts *texts, int i, struct str webhook_id)
{
    snprintf(texts->id, sizeof texts->id, "dlv_%c%05d", webhook_id.ptr[4], i);
    snprintf(texts->alert, sizeof texts->alert, "alt_%05d", i);
    return (struct store_delivery){
        .workspace_id = STR("ws_1"),
        .id = str_from(texts->id),
        .webhook_id = webhook_id,
        .alert_id = str_from(texts->alert),
        .event_type = STR("alert.triggered"),
        .record_at = 1000 + i,
        .status = DELIVERY_PENDING,
        .next_attempt_at = 5000,
        .created_at = 5000,
    };
}

static void
make(struct bench *bench, int from, int to, struct str webhook_id)
{
    static struct texts texts[4096];
    static struct store_delivery rows[4096];
    for (int i = from; i < to; i++)
        rows[i - from] = sample(&texts[i - from], i, webhook_id);
    CHECK(store_deliveries_make(bench->store, rows, (size_t)(to - from), 1000 + to, &bench->err));
}

static struct store_outcome
outcome(struct store_delivery delivery, enum delivery_status status, int64_t number)
{
    delivery.status = status;
    delivery.attempts = number;
    delivery.next_attempt_at = 9000;
    return (struct store_outcome){
        .delivery = delivery,
        .attempt = {.number = number, .at = 6000 + number, .duration_us = 50, .status = 200},
    };
}

static size_t
list(struct bench *bench, struct store_delivery_filter filter, struct store_delivery **out)
{
    size_t count = 0;
    CHECK(store_deliveries(bench->store, STR("ws_1"), &filter, &bench->arena, out, &count,
                           &bench->err));
    return count;
}

/* The row, its attempts, and how many of these there are. */
static size_t
read_back(struct bench *bench, struct str id, struct store_delivery *row_out,
          struct store_attempt **attempts_out)
{
    size_t count = 0;
    CHECK(store_delivery(bench->store, STR("ws_1"), id, &bench->arena, row_out, attempts_out,
                         &count, &bench->err));
    return count;
}

static void
count_row(void *self, const struct store_delivery *delivery)
{
    int64_t *seen = self; /* how many, and the last record */
    CHECK(delivery->record_at > seen[1] || seen[0] == 0);
    seen[0]++;
    seen[1] = delivery->record_at;
}

static void
test_a_delivery_is_made_once_and_the_cursor_moves_with_it(void)
{
    struct bench bench = bench_new();
    int64_t cursor = -1, seen[2] = {0};
    CHECK(store_delivery_cursor(bench.store, &cursor, &bench.err));
    CHECK_INT(cursor, 0);
    make(&bench, 0, 3, STR("whk_a"));
    struct texts texts;
    struct store_outcome done = outcome(sample(&texts, 1, STR("whk_a")), DELIVERY_DELIVERED, 1);
    CHECK(store_deliveries_update(bench.store, &done, 1, &bench.err));
    make(&bench, 0, 4, STR("whk_a")); /* a crash forgot the cursor: the same again, and one more */
    CHECK(store_delivery_cursor(bench.store, &cursor, &bench.err));
    CHECK_INT(cursor, 1004);
    CHECK(store_deliveries_pending(bench.store, count_row, seen, &bench.err));
    CHECK_INT(seen[0], 3); /* 0, 2 and 3: what was delivered stays so */
    struct store_delivery *rows;
    CHECK_INT((intmax_t)list(&bench, (struct store_delivery_filter){.limit = 100}, &rows), 4);
    CHECK(store_deliveries_make(bench.store, NULL, 0, 900, &bench.err));
    CHECK(store_delivery_cursor(bench.store, &cursor, &bench.err));
    CHECK_INT(cursor, 1004); /* never back */
    bench_free(&bench);
}

static void
test_pages_by_the_cursor_show_every_delivery_once(void)
{
    struct bench bench = bench_new();
    make(&bench, 0, 50, STR("whk_a")); /* all of the same moment */
    make(&bench, 0, 50, STR("whk_b"));
    size_t seen = 0;
    int64_t cursor = 0;
    for (;;) {
        struct store_delivery *rows;
        size_t count =
            list(&bench, (struct store_delivery_filter){.cursor = cursor, .limit = 7}, &rows);
        for (size_t i = 0; i < count; i++) {
            CHECK(cursor == 0 || rows[i].created_at < cursor);
            cursor = rows[i].created_at;
        }
        seen += count;
        if (count < 7)
            break;
    }
    CHECK_INT((intmax_t)seen, 100);
    bench_free(&bench);
}

static void
test_each_filter_finds_what_it_names(void)
{
    struct bench bench = bench_new();
    make(&bench, 0, 10, STR("whk_a"));
    make(&bench, 0, 10, STR("whk_b"));
    struct texts texts;
    struct store_outcome outcomes[] = {
        outcome(sample(&texts, 3, STR("whk_a")), DELIVERY_DELIVERED, 1),
        outcome(sample(&texts, 4, STR("whk_a")), DELIVERY_DEAD, 10),
        outcome(sample(&texts, 4, STR("whk_b")), DELIVERY_DEAD, 10),
    };
    CHECK(store_deliveries_update(bench.store, outcomes, COUNT_OF(outcomes), &bench.err));
    struct store_delivery *rows;
    struct store_delivery_filter by_status = {
        .has_status = true, .status = DELIVERY_DEAD, .limit = 9};
    CHECK_INT((intmax_t)list(&bench, by_status, &rows), 2);
    by_status.webhook_id = STR("whk_b");
    CHECK_INT((intmax_t)list(&bench, by_status, &rows), 1);
    struct store_delivery_filter by_alert = {.alert_id = STR("alt_00004"), .limit = 9};
    CHECK_INT((intmax_t)list(&bench, by_alert, &rows), 2);
    by_alert.webhook_id = STR("whk_a");
    if (CHECK_INT((intmax_t)list(&bench, by_alert, &rows), 1))
        CHECK_INT(rows[0].attempts, 10);
    struct store_delivery_filter by_webhook = {.webhook_id = STR("whk_a"), .limit = 100};
    CHECK_INT((intmax_t)list(&bench, by_webhook, &rows), 10);
    by_webhook.cursor = rows[4].created_at;
    CHECK_INT((intmax_t)list(&bench, by_webhook, &rows), 5);
    struct store_delivery_counts counts;
    CHECK(store_delivery_counts(bench.store, &counts, &bench.err));
    CHECK_INT(counts.pending, 17);
    CHECK_INT(counts.delivered, 1);
    CHECK_INT(counts.dead, 2);
    CHECK_INT(counts.oldest_pending_at, 5000);
    bench_free(&bench);
}

static void
test_attempts_are_kept_with_what_they_came_to(void)
{
    struct bench bench = bench_new();
    make(&bench, 0, 1, STR("whk_a"));
    struct texts texts;
    struct store_delivery delivery = sample(&texts, 0, STR("whk_a")), back;
    struct store_outcome outcomes[] = {outcome(delivery, DELIVERY_PENDING, 1),
                                       outcome(delivery, DELIVERY_DELIVERED, 2)};
    outcomes[0].attempt.status = 0;
    outcomes[0].attempt.error = STR("connection refused");
    outcomes[1].attempt.answer = STR("thanks");
    CHECK(store_deliveries_update(bench.store, outcomes, 2, &bench.err));
    struct store_attempt *attempts;
    size_t count = read_back(&bench, delivery.id, &back, &attempts);
    CHECK_INT(back.status, DELIVERY_DELIVERED);
    CHECK_INT(back.attempts, 2);
    CHECK_INT(back.updated_at, 6052);
    if (CHECK_INT((intmax_t)count, 2)) {
        CHECK(str_equal(attempts[0].error, STR("connection refused")));
        CHECK(attempts[0].answer.ptr == NULL && attempts[0].status == 0);
        CHECK(str_equal(attempts[1].answer, STR("thanks")) && attempts[1].error.ptr == NULL);
        CHECK_INT(attempts[1].at, 6002);
        CHECK_INT(attempts[1].duration_us, 50);
    }
    CHECK(!store_delivery(bench.store, STR("ws_2"), delivery.id, &bench.arena, &back, &attempts,
                          &count, &bench.err));
    CHECK_INT(bench.err.code, ERR_NOT_FOUND);
    bench_free(&bench);
}

static void
test_what_was_called_before_it_was_written_down_is_not_older_than_its_row(void)
{
    struct bench bench = bench_new();
    make(&bench, 0, 1, STR("whk_a"));
    struct texts texts;
    struct store_delivery delivery = sample(&texts, 0, STR("whk_a")), back;
    struct store_outcome early = outcome(delivery, DELIVERY_DELIVERED, 1);
    early.attempt.at = delivery.created_at - 500;
    CHECK(store_deliveries_update(bench.store, &early, 1, &bench.err));
    struct store_attempt *attempts;
    size_t count = read_back(&bench, delivery.id, &back, &attempts);
    CHECK_INT(back.updated_at, back.created_at);
    if (CHECK_INT((intmax_t)count, 1))
        CHECK_INT(attempts[0].at, delivery.created_at - 500);
    bench_free(&bench);
}

struct writing {
    struct store *store;
    struct store_delivery delivery;
    atomic_bool over;
};

static void *
write_attempts(void *self)
{
    struct writing *writing = self;
    for (int64_t number = 1; number <= STORE_ATTEMPTS_MAX; number++) {
        struct err err = {0};
        struct store_outcome one = outcome(writing->delivery, DELIVERY_PENDING, number);
        must(store_deliveries_update(writing->store, &one, 1, &err));
    }
    atomic_store(&writing->over, true);
    return NULL;
}

static void
test_a_row_and_its_attempts_are_of_one_moment(void)
{
    struct bench bench = bench_new();
    make(&bench, 0, 1, STR("whk_a"));
    struct texts texts;
    struct writing writing = {.store = bench.store, .delivery = sample(&texts, 0, STR("whk_a"))};
    pthread_t thread;
    int torn = 0;
    must(pthread_create(&thread, NULL, write_attempts, &writing) == 0);
    while (!atomic_load(&writing.over)) {
        struct store_delivery back;
        struct store_attempt *attempts;
        arena_reset(&bench.arena);
        size_t count = read_back(&bench, writing.delivery.id, &back, &attempts);
        torn += back.attempts != (int64_t)count;
    }
    must(pthread_join(thread, NULL) == 0);
    CHECK_INT(torn, 0);
    bench_free(&bench);
}

static void
test_only_the_newest_attempts_are_kept(void)
{
    struct bench bench = bench_new();
    make(&bench, 0, 1, STR("whk_a"));
    struct texts texts;
    struct store_delivery delivery = sample(&texts, 0, STR("whk_a")), back;
    for (int i = 1; i <= STORE_ATTEMPTS_MAX + 5; i++) {
        struct store_outcome one = outcome(delivery, DELIVERY_PENDING, i);
        CHECK(store_deliveries_update(bench.store, &one, 1, &bench.err));
    }
    struct store_attempt *attempts;
    size_t count = read_back(&bench, delivery.id, &back, &attempts);
    if (CHECK_INT((intmax_t)count, STORE_ATTEMPTS_MAX))
        CHECK_INT(attempts[0].number, 6);
    bench_free(&bench);
}

static void
test_the_first_delivery_is_when_the_alert_was_notified(void)
{
    struct bench bench = bench_new();
    make(&bench, 0, 1, STR("whk_a"));
    make(&bench, 0, 1, STR("whk_b"));
    struct texts texts;
    struct str alert_id = STR("alt_00000");
    struct alert_triage triage;
    struct store_outcome failed = outcome(sample(&texts, 0, STR("whk_a")), DELIVERY_PENDING, 1);
    CHECK(store_deliveries_update(bench.store, &failed, 1, &bench.err));
    CHECK(store_triage(bench.store, STR("ws_1"), &alert_id, 1, &bench.arena, &triage, &bench.err));
    CHECK_INT(triage.notified_at, 0);
    struct store_outcome first = outcome(sample(&texts, 0, STR("whk_b")), DELIVERY_DELIVERED, 1);
    CHECK(store_deliveries_update(bench.store, &first, 1, &bench.err));
    struct alert_triage said = {.status = STR("acknowledged"), .by = STR("key_1"), .at = 7};
    CHECK(store_triage_put(bench.store, STR("ws_1"), alert_id, &said, &bench.err));
    struct store_outcome later = outcome(sample(&texts, 0, STR("whk_a")), DELIVERY_DELIVERED, 2);
    CHECK(store_deliveries_update(bench.store, &later, 1, &bench.err));
    CHECK(store_triage(bench.store, STR("ws_1"), &alert_id, 1, &bench.arena, &triage, &bench.err));
    CHECK_INT(triage.notified_at, 6051);
    CHECK(str_equal(triage.status, STR("acknowledged")));
    bench_free(&bench);
}

static void
test_a_replayed_delivery_is_due_now_with_a_schedule_of_its_own(void)
{
    struct bench bench = bench_new();
    make(&bench, 0, 1, STR("whk_a"));
    struct texts texts;
    struct store_delivery delivery = sample(&texts, 0, STR("whk_a")), back;
    struct store_outcome dead = outcome(delivery, DELIVERY_DEAD, 10);
    CHECK(store_deliveries_update(bench.store, &dead, 1, &bench.err));
    CHECK(store_delivery_replay(bench.store, STR("ws_1"), delivery.id, 8000, &bench.arena, &back,
                                &bench.err));
    CHECK_INT(back.status, DELIVERY_PENDING);
    CHECK_INT(back.next_attempt_at, 8000);
    CHECK_INT(back.attempts, 10);
    CHECK_INT(back.attempts_before, 10);
    CHECK(!store_delivery_replay(bench.store, STR("ws_2"), delivery.id, 8000, &bench.arena, &back,
                                 &bench.err));
    CHECK_INT(bench.err.code, ERR_NOT_FOUND);
    bench_free(&bench);
}

static void
test_pruning_takes_what_is_old_and_over_and_nothing_else(void)
{
    struct bench bench = bench_new();
    static struct texts texts[2500];
    static struct store_outcome outcomes[2500];
    make(&bench, 0, 2510, STR("whk_a"));
    for (int i = 0; i < 2500; i++) {
        outcomes[i] = outcome(sample(&texts[i], i, STR("whk_a")),
                              i % 2 ? DELIVERY_DEAD : DELIVERY_DELIVERED, 1);
        outcomes[i].attempt.at = 8001;
    }
    CHECK(store_deliveries_update(bench.store, outcomes, 2500, &bench.err));
    struct store_delivery_counts counts;
    CHECK(store_deliveries_prune(bench.store, 8051, &bench.err)); /* updated at 8051: not before */
    CHECK(store_delivery_counts(bench.store, &counts, &bench.err));
    CHECK_INT(counts.dead + counts.delivered, 2500);
    CHECK(store_deliveries_prune(bench.store, 8052, &bench.err));
    CHECK(store_delivery_counts(bench.store, &counts, &bench.err));
    CHECK_INT(counts.dead + counts.delivered, 0);
    CHECK_INT(counts.pending, 10);
    CHECK(store_deliveries_update(bench.store, outcomes, 1, &bench.err)); /* too late: no matter */
    bench_free(&bench);
}

int
main(void)
{
    RUN(test_a_delivery_is_made_once_and_the_cursor_moves_with_it);
    RUN(test_pages_by_the_cursor_show_every_delivery_once);
    RUN(test_each_filter_finds_what_it_names);
    RUN(test_attempts_are_kept_with_what_they_came_to);
    RUN(test_what_was_called_before_it_was_written_down_is_not_older_than_its_row);
    RUN(test_a_row_and_its_attempts_are_of_one_moment);
    RUN(test_only_the_newest_attempts_are_kept);
    RUN(test_the_first_delivery_is_when_the_alert_was_notified);
    RUN(test_a_replayed_delivery_is_due_now_with_a_schedule_of_its_own);
    RUN(test_pruning_takes_what_is_old_and_over_and_nothing_else);
    return tap_done();
}
