#include "base/queue.h"
#include "base/system.h"
#include "tap.h"

#include <pthread.h>
#include <stdatomic.h>

static void *
item_of(size_t number)
{
    return (void *)(uintptr_t)number;
}

static void
test_queue_keeps_order_across_its_end(void)
{
    struct queue *queue = queue_new(3, 100);
    void *items[3];
    size_t pushed = 1, popped = 1;
    for (int round = 0; round < 5; round++) {
        CHECK(queue_push(queue, item_of(pushed++), 1));
        CHECK(queue_push(queue, item_of(pushed++), 1));
        CHECK_INT((intmax_t)queue_pop(queue, items, 3, 0), 2);
        CHECK(items[0] == item_of(popped) && items[1] == item_of(popped + 1));
        popped += 2;
    }
    CHECK_INT((intmax_t)queue_pop(queue, items, 3, 0), 0);
    queue_free(queue);
}

static void
test_full_queue_takes_nothing(void)
{
    struct queue *queue = queue_new(2, 10);
    void *items[2];
    CHECK(queue_push(queue, item_of(1), 6));
    CHECK(!queue_push(queue, item_of(2), 5));
    CHECK(queue_push(queue, item_of(3), 4));
    CHECK(!queue_push(queue, item_of(4), 0));
    CHECK_INT((intmax_t)queue_count(queue), 2);
    CHECK_INT((intmax_t)queue_pop(queue, items, 1, 0), 1);
    CHECK(!queue_push(queue, item_of(5), 7));
    CHECK(queue_push(queue, item_of(6), 6));
    CHECK_INT((intmax_t)queue_pop(queue, items, 2, 0), 2);
    CHECK(items[0] == item_of(3) && items[1] == item_of(6));
    CHECK(!queue_push(queue, item_of(7), 11));
    queue_free(queue);
}

static void
test_closed_queue_gives_what_is_left(void)
{
    struct queue *queue = queue_new(4, 4);
    void *items[4];
    CHECK(queue_push(queue, item_of(1), 1));
    CHECK(!queue_is_closed(queue));
    queue_close(queue);
    CHECK(queue_is_closed(queue));
    CHECK(!queue_push(queue, item_of(2), 1));
    CHECK_INT((intmax_t)queue_pop(queue, items, 4, -1), 1);
    CHECK_INT((intmax_t)queue_pop(queue, items, 4, -1), 0);
    queue_free(queue);
}

static void
test_pop_waits_as_long_as_it_was_told(void)
{
    struct clock clock = clock_system();
    struct queue *queue = queue_new(1, 1);
    void *item;
    int64_t before = clock.monotonic_us(clock.self);
    CHECK_INT((intmax_t)queue_pop(queue, &item, 1, 20000), 0);
    CHECK(clock.monotonic_us(clock.self) - before >= 20000);
    queue_wake(queue);
    CHECK_INT((intmax_t)queue_pop(queue, &item, 1, -1), 0);
    queue_free(queue);
}

/* A push that is too light for who waits does not end the wait; the one that completes it does. */
static void *
push_light_then_heavy(void *self)
{
    struct queue *queue = self;
    must(queue_push(queue, item_of(1), 3));
    must(queue_push(queue, item_of(2), 3));
    must(queue_push(queue, item_of(3), 4));
    return NULL;
}

static void
test_heavy_pop_waits_for_weight(void)
{
    struct queue *queue = queue_new(8, 100);
    for (int i = 0; i < 50; i++) {
        pthread_t thread;
        void *items[8];
        must(pthread_create(&thread, NULL, push_light_then_heavy, queue) == 0);
        CHECK_INT((intmax_t)queue_pop_heavy(queue, items, 8, 10), 3);
        must(pthread_join(thread, NULL) == 0);
    }
    void *item;
    must(queue_push(queue, item_of(1), 1));
    queue_wake(queue);
    CHECK_INT((intmax_t)queue_pop_heavy(queue, &item, 1, 10), 1);
    must(queue_push(queue, item_of(1), 1));
    queue_close(queue);
    CHECK_INT((intmax_t)queue_pop_heavy(queue, &item, 1, 10), 1);
    CHECK_INT((intmax_t)queue_pop_heavy(queue, &item, 1, 10), 0);
    queue_free(queue);
}

/* -- many threads ----------------------------------------------------------------- */

enum { PRODUCERS = 3, CONSUMERS = 3, EACH = 4000 };

struct crowd {
    struct queue *queue;
    atomic_size_t sum, count, producers;
};

static void *
produce(void *self)
{
    struct crowd *crowd = self;
    for (size_t i = 1; i <= EACH; i++)
        while (!queue_push(crowd->queue, item_of(i), 1))
            sched_yield();
    if (atomic_fetch_sub(&crowd->producers, 1) == 1)
        queue_close(crowd->queue);
    return NULL;
}

static void *
consume(void *self)
{
    struct crowd *crowd = self;
    void *items[7];
    size_t got;
    while ((got = queue_pop(crowd->queue, items, 7, -1)) > 0 || !queue_is_closed(crowd->queue)) {
        for (size_t i = 0; i < got; i++)
            atomic_fetch_add(&crowd->sum, (size_t)(uintptr_t)items[i]);
        atomic_fetch_add(&crowd->count, got);
    }
    return NULL;
}

static void
test_every_item_is_popped_once(void)
{
    struct crowd crowd = {.queue = queue_new(64, 64), .producers = PRODUCERS};
    pthread_t threads[PRODUCERS + CONSUMERS];
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        must(pthread_create(&threads[i], NULL, i < PRODUCERS ? produce : consume, &crowd) == 0);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        must(pthread_join(threads[i], NULL) == 0);
    CHECK_INT((intmax_t)crowd.count, PRODUCERS * EACH);
    CHECK_INT((intmax_t)crowd.sum, (intmax_t)PRODUCERS * EACH * (EACH + 1) / 2);
    queue_free(crowd.queue);
}

static void *
wake_up(void *self)
{
    queue_wake(self);
    return NULL;
}

static void
test_wake_ends_an_endless_wait(void)
{
    struct queue *queue = queue_new(1, 1);
    for (int i = 0; i < 50; i++) {
        pthread_t thread;
        void *item;
        must(pthread_create(&thread, NULL, wake_up, queue) == 0);
        CHECK_INT((intmax_t)queue_pop(queue, &item, 1, -1), 0);
        must(pthread_join(thread, NULL) == 0);
    }
    queue_free(queue);
}

static void
count_one(void *self)
{
    atomic_fetch_add((atomic_int *)self, 1);
}

static void
test_pool_runs_each_job_once_even_when_freed_at_once(void)
{
    atomic_int ran = 0;
    int taken = 0;
    struct pool *pool = pool_new(3, 16);
    for (int i = 0; i < 1000; i++)
        taken += pool_run(pool, count_one, &ran);
    pool_free(pool);
    CHECK(taken >= 16);
    CHECK_INT(ran, taken);
}

static void
push_one(void *self)
{
    must(queue_push(self, item_of(1), 1));
}

static void
test_pool_runs_jobs_as_they_come(void)
{
    struct queue *done = queue_new(8, 8);
    struct pool *pool = pool_new(2, 8);
    for (int i = 0; i < 20; i++) {
        void *item;
        CHECK(pool_run(pool, push_one, done));
        CHECK_INT((intmax_t)queue_pop(done, &item, 1, -1), 1);
    }
    pool_free(pool);
    queue_free(done);
}

struct gate {
    pthread_mutex_t lock;
};

static void
pass_gate(void *self)
{
    struct gate *gate = self;
    must(pthread_mutex_lock(&gate->lock) == 0);
    must(pthread_mutex_unlock(&gate->lock) == 0);
}

static void
test_full_pool_refuses(void)
{
    struct gate gate = {PTHREAD_MUTEX_INITIALIZER};
    must(pthread_mutex_lock(&gate.lock) == 0);
    struct pool *pool = pool_new(1, 2);
    size_t taken = 0;
    while (pool_run(pool, pass_gate, &gate))
        taken++;
    CHECK(taken == 2 || taken == 3); /* the thread may hold one already */
    must(pthread_mutex_unlock(&gate.lock) == 0);
    pool_free(pool);
}

static void
test_randomness_does_not_repeat(void)
{
    struct random random = random_system();
    unsigned char a[32] = {0}, b[32] = {0};
    random.fill(random.self, a, sizeof a);
    random.fill(random.self, b, sizeof b);
    CHECK(memcmp(a, b, sizeof a) != 0);
}

int
main(void)
{
    RUN(test_queue_keeps_order_across_its_end);
    RUN(test_full_queue_takes_nothing);
    RUN(test_closed_queue_gives_what_is_left);
    RUN(test_pop_waits_as_long_as_it_was_told);
    RUN(test_every_item_is_popped_once);
    RUN(test_wake_ends_an_endless_wait);
    RUN(test_heavy_pop_waits_for_weight);
    RUN(test_pool_runs_each_job_once_even_when_freed_at_once);
    RUN(test_pool_runs_jobs_as_they_come);
    RUN(test_full_pool_refuses);
    RUN(test_randomness_does_not_repeat);
    return tap_done();
}
