/* The thread itself, with real receivers, while others ask things of it. This program has an
 * fdatasync of its own, which SQLite calls instead of libc's: a sync of the store takes as long as
 * the test wants. */
#include "notify/bench.h"
#include "notify/receiver.h"

#include <errno.h>
#include <sys/syscall.h>

enum { MANY = 400, ASKERS = 3, ASKS = 20 };

static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool stuck, broken; /* the disk under the store */
static int refusals;

static bool
is_of_store(int fd)
{
    char link[64], path[512];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path);
    struct str name = {path, len < 0 ? 0 : (size_t)len}, end = STR("tocsin.db-wal");
    return name.len > end.len && memcmp(name.ptr + name.len - end.len, end.ptr, end.len) == 0;
}

int
fdatasync(int fd)
{
    must(pthread_mutex_lock(&guard) == 0);
    while (stuck && is_of_store(fd))
        must(pthread_cond_wait(&changed, &guard) == 0);
    bool refused = broken && is_of_store(fd);
    refusals += refused;
    must(pthread_cond_broadcast(&changed) == 0);
    must(pthread_mutex_unlock(&guard) == 0);
    errno = EIO;
    return refused ? -1 : (int)syscall(SYS_fdatasync, fd);
}

static void
set_disk(bool is_stuck, bool is_broken)
{
    must(pthread_mutex_lock(&guard) == 0);
    stuck = is_stuck;
    broken = is_broken;
    must(pthread_cond_broadcast(&changed) == 0);
    must(pthread_mutex_unlock(&guard) == 0);
}

static void
wait_for_refusal(void)
{
    must(pthread_mutex_lock(&guard) == 0);
    while (refusals == 0)
        must(pthread_cond_wait(&changed, &guard) == 0);
    must(pthread_mutex_unlock(&guard) == 0);
}

static void
open_real(struct bench *bench)
{
    struct network loopback;
    struct notify_transport transport;
    must(network_parse(STR("127.0.0.0/8"), &loopback));
    must(notify_transport_curl(&loopback, 1, &transport, &bench->err));
    struct notify_options options = {
        .journal = bench->journal,
        .store = bench->store,
        .clock = clock_system(),
        .random = random_system(),
        .transport = transport,
    };
    must(notify_new(&options, &bench->notify, &bench->err));
}

static struct str
url_of(char text[static 64], const struct receiver *receiver, const char *path)
{
    int len = snprintf(text, 64, "http://127.0.0.1:%d%s", receiver->port, path);
    return (struct str){text, (size_t)len};
}

/* One webhook, whose receiver answers as its path says. */
struct scene {
    struct bench bench;
    struct receiver *receiver;
    char url[64];
};

static void
begin(struct scene *scene, const char *path)
{
    scene->receiver = receiver_new();
    bench_init(&scene->bench);
    bench_webhook(&scene->bench, STR("whk_a"), url_of(scene->url, scene->receiver, path));
    open_real(&scene->bench);
    notify_start(scene->bench.notify);
}

static void
end(struct scene *scene)
{
    notify_stop(scene->bench.notify);
    bench_fini(&scene->bench);
    receiver_free(scene->receiver);
}

static void
ring(struct bench *bench, int alerts)
{
    bench_alerts(bench, alerts);
    notify_wake(bench->notify);
}

/* Waits for a number to be reached, at most a minute. */
static bool
reaches(struct receiver *receiver, const int *number, int want)
{
    for (int i = 0; i < 12000 && receiver_count(receiver, number) < want; i++)
        receiver_pause(receiver, 5);
    return receiver_count(receiver, number) >= want;
}

static bool
delivered(struct bench *bench, struct receiver *receiver, int64_t want)
{
    for (int i = 0; i < 12000 && bench_counts(bench).delivered < want; i++)
        receiver_pause(receiver, 5);
    return bench_counts(bench).delivered == want;
}

static void
test_a_real_receiver_that_hangs_delays_no_other(void)
{
    struct bench bench;
    char urls[2][64];
    struct receiver *works = receiver_new(), *hangs = receiver_new();
    bench_init(&bench);
    bench_webhook(&bench, STR("whk_a"), url_of(urls[0], hangs, "/hang"));
    bench_webhook(&bench, STR("whk_b"), url_of(urls[1], works, "/ok"));
    open_real(&bench);
    notify_start(bench.notify);
    ring(&bench, MANY);
    CHECK(delivered(&bench, works, MANY));
    CHECK_INT(receiver_count(works, &works->requests), MANY);
    CHECK(receiver_count(works, &works->connections) <= 8);
    CHECK(reaches(hangs, &hangs->requests, 1));
    CHECK_INT(receiver_count(hangs, &hangs->requests), 1);
    receiver_free(hangs); /* its connections break: what was in flight has failed */
    notify_stop(bench.notify);
    CHECK_INT(bench_counts(&bench).pending, MANY);
    bench_fini(&bench);
    receiver_free(works);
}

struct asker {
    struct bench *bench;
    struct webhook webhook;
    int good;
};

static void *
ask(void *self)
{
    struct asker *asker = self;
    for (int i = 0; i < ASKS; i++) {
        struct notify_result result = {0};
        struct notify_stats stats;
        struct err err = {0};
        asker->good += notify_test(asker->bench->notify, &asker->webhook, &result, &err) &&
                       result.status == 200;
        notify_stats(asker->bench->notify, &stats);
        notify_wake(asker->bench->notify);
    }
    return NULL;
}

static void
test_tests_and_replays_are_answered_while_deliveries_go_on(void)
{
    struct scene scene;
    begin(&scene, "/ok");
    struct bench *bench = &scene.bench;
    struct asker askers[ASKERS];
    pthread_t threads[ASKERS];
    for (int i = 0; i < ASKERS; i++) {
        askers[i] = (struct asker){
            .bench = bench, .webhook = bench_webhook_like(STR("whk_t"), str_from(scene.url))};
        must(pthread_create(&threads[i], NULL, ask, &askers[i]) == 0);
    }
    ring(bench, 50);
    CHECK(delivered(bench, scene.receiver, 50));
    for (int i = 0; i < ASKERS; i++) {
        must(pthread_join(threads[i], NULL) == 0);
        CHECK_INT(askers[i].good, ASKS);
    }
    struct store_delivery_filter filter = {.limit = 10};
    struct store_delivery *list = NULL;
    size_t count = 0;
    CHECK(store_deliveries(bench->store, BENCH_WORKSPACE, &filter, &bench->arena, &list, &count,
                           &bench->err));
    for (size_t i = 0; i < count; i++)
        CHECK(notify_replay(bench->notify, BENCH_WORKSPACE, list[i].id, &bench->err));
    CHECK(reaches(scene.receiver, &scene.receiver->requests, 50 + ASKERS * ASKS + 10));
    CHECK(delivered(bench, scene.receiver, 50));
    CHECK(!notify_replay(bench->notify, BENCH_WORKSPACE, STR("dlv_none"), &bench->err));
    CHECK_INT(bench->err.code, ERR_NOT_FOUND);
    end(&scene);
}

static void
test_a_real_answer_of_410_switches_the_webhook_off(void)
{
    struct scene scene;
    begin(&scene, "/gone");
    struct bench *bench = &scene.bench;
    ring(bench, 1);
    for (int i = 0; i < 12000 && bench_counts(bench).dead == 0; i++)
        receiver_pause(scene.receiver, 5);
    CHECK_INT(bench_counts(bench).dead, 1);
    end(&scene);
}

static void
test_no_receiver_waits_for_a_disk_that_is_stuck(void)
{
    struct scene scene;
    begin(&scene, "/ok");
    struct bench *bench = &scene.bench;
    set_disk(true, false);
    ring(bench, MANY);
    CHECK(reaches(scene.receiver, &scene.receiver->requests, 1));
    for (int sent = 2; sent <= 5; sent++) { /* the first rows are due by then */
        ring(bench, MANY);
        CHECK(reaches(scene.receiver, &scene.receiver->requests, sent * MANY));
    }
    CHECK_INT(bench_counts(bench).delivered, 0);
    set_disk(false, false);
    CHECK(delivered(bench, scene.receiver, (int64_t)5 * MANY));
    CHECK_INT(receiver_count(scene.receiver, &scene.receiver->requests), 5 * MANY);
    end(&scene);
}

static void
test_a_disk_that_fails_for_a_while_loses_no_outcome(void)
{
    struct scene scene;
    begin(&scene, "/ok");
    struct bench *bench = &scene.bench;
    set_disk(false, true);
    ring(bench, MANY);
    CHECK(reaches(scene.receiver, &scene.receiver->requests, MANY));
    wait_for_refusal();
    CHECK_INT(bench_counts(bench).delivered, 0);
    set_disk(false, false);
    CHECK(delivered(bench, scene.receiver, MANY));
    CHECK_INT(receiver_count(scene.receiver, &scene.receiver->requests), MANY);
    end(&scene);
}

int
main(void)
{
    RUN(test_no_receiver_waits_for_a_disk_that_is_stuck);
    RUN(test_a_disk_that_fails_for_a_while_loses_no_outcome);
    RUN(test_a_real_receiver_that_hangs_delays_no_other);
    RUN(test_tests_and_replays_are_answered_while_deliveries_go_on);
    RUN(test_a_real_answer_of_410_switches_the_webhook_off);
    return tap_done();
}
