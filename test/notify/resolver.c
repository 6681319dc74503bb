/* Name servers that never answer. This program has a getaddrinfo of its own, which libcurl calls
 * instead of libc's: names under never.example are looked up for as long as the test wants. */
#include "notify/bench.h"
#include "notify/receiver.h"

#include <netdb.h>

enum { MANY = 200, HANGING = 8 };

static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int inside; /* threads that look up a name which is never found */
static bool released;

static bool
ends_in(const char *name, const char *end)
{
    size_t len = strlen(name), end_len = strlen(end);
    return len >= end_len && strcmp(name + len - end_len, end) == 0;
}

static int
loopback(const char *service, struct addrinfo **out)
{
    struct addrinfo *info = base_alloc(1, sizeof *info + sizeof(struct sockaddr_in));
    struct sockaddr_in *in = (struct sockaddr_in *)(void *)(info + 1);
    *in = (struct sockaddr_in){.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)(service == NULL ? 0 : atoi(service))),
                               .sin_addr = {htonl(INADDR_LOOPBACK)}};
    *info = (struct addrinfo){.ai_family = AF_INET,
                              .ai_socktype = SOCK_STREAM,
                              .ai_protocol = IPPROTO_TCP,
                              .ai_addrlen = sizeof *in,
                              .ai_addr = (struct sockaddr *)in};
    *out = info;
    return 0;
}

int
getaddrinfo(const char *restrict name, const char *restrict service,
            const struct addrinfo *restrict hints, struct addrinfo **restrict out)
{
    (void)hints;
    if (!ends_in(name, "never.example"))
        return loopback(service, out);
    must(pthread_mutex_lock(&guard) == 0);
    inside++;
    must(pthread_cond_broadcast(&changed) == 0);
    while (!released)
        must(pthread_cond_wait(&changed, &guard) == 0);
    inside--;
    must(pthread_cond_broadcast(&changed) == 0);
    must(pthread_mutex_unlock(&guard) == 0);
    return EAI_AGAIN;
}

void
freeaddrinfo(struct addrinfo *info)
{
    base_free(info);
}

static void
wait_for_lookups(int least)
{
    must(pthread_mutex_lock(&guard) == 0);
    while (inside < least)
        must(pthread_cond_wait(&changed, &guard) == 0);
    must(pthread_mutex_unlock(&guard) == 0);
}

/* So that none of libcurl's threads is left when the program ends. */
static void
release_lookups(void)
{
    must(pthread_mutex_lock(&guard) == 0);
    released = true;
    must(pthread_cond_broadcast(&changed) == 0);
    while (inside > 0)
        must(pthread_cond_wait(&changed, &guard) == 0);
    must(pthread_mutex_unlock(&guard) == 0);
}

static int64_t
now_us(void)
{
    struct clock clock = clock_system();
    return clock.monotonic_us(clock.self);
}

static void
open_real(struct bench *bench)
{
    struct network loopback_network;
    struct notify_transport transport;
    must(network_parse(STR("127.0.0.0/8"), &loopback_network));
    must(notify_transport_curl(&loopback_network, 1, &transport, &bench->err));
    struct notify_options options = {
        .journal = bench->journal,
        .store = bench->store,
        .clock = clock_system(),
        .random = random_system(),
        .transport = transport,
    };
    must(notify_new(&options, &bench->notify, &bench->err));
}

static void
put_webhook(struct bench *bench, struct str id, const char *url)
{
    struct webhook webhook = bench_webhook_like(id, str_from(url));
    webhook.connect_timeout_ms = 10000;
    must(store_webhook_put(bench->store, &webhook, &bench->err));
}

static bool
delivered(struct bench *bench, struct receiver *receiver, int64_t want)
{
    for (int i = 0; i < 12000 && bench_counts(bench).delivered < want; i++)
        receiver_pause(receiver, 5);
    return bench_counts(bench).delivered == want;
}

static void
test_a_resolver_that_never_answers_stalls_nobody(void)
{
    struct bench bench;
    char url[64], ids[HANGING][16];
    struct receiver *works = receiver_new();
    bench_init(&bench);
    snprintf(url, sizeof url, "http://works.example:%d/ok", works->port);
    put_webhook(&bench, STR("whk_works"), url);
    for (int i = 0; i < HANGING; i++) {
        snprintf(ids[i], sizeof ids[i], "whk_%02d", i);
        put_webhook(&bench, str_from(ids[i]), "http://name.never.example/hook");
    }
    open_real(&bench);
    notify_start(bench.notify);
    bench_alert(&bench);
    notify_wake(bench.notify);
    wait_for_lookups(HANGING); /* each of them hangs before there is more to deliver */
    bench_alerts(&bench, MANY - 1);
    notify_wake(bench.notify);
    CHECK(delivered(&bench, works, MANY));
    CHECK_INT(receiver_count(works, &works->requests), MANY);

    /* Nor does a stop wait for them, beyond what every request in flight is given. */
    int64_t began = now_us();
    notify_stop(bench.notify);
    bench_fini(&bench);
    CHECK(now_us() - began < 8000000);
    receiver_free(works);
}

static void
got_one(void *each, const struct notify_result *result)
{
    *(struct notify_result *)each = *result;
}

static void
test_looking_up_a_name_ends_with_the_timeout_for_connecting(void)
{
    static const char *const headers[] = {NULL};
    struct notify_transport transport;
    struct notify_result result = {0};
    struct err err = {0};
    must(notify_transport_curl(NULL, 0, &transport, &err));
    struct notify_request request = {.token = 7,
                                     .url = "http://name.never.example/",
                                     .headers = headers,
                                     .body = STR("{}"),
                                     .connect_timeout_ms = 100,
                                     .timeout_ms = 60000};
    int64_t began = now_us();
    CHECK(transport.start(transport.self, &request, &err));
    while (result.token == 0)
        transport.run(transport.self, 100000, got_one, &result);
    CHECK_INT(result.status, 0);
    CHECK(strstr(result.error, "timed out") != NULL);
    transport.close(transport.self);
    CHECK(now_us() - began < 10000000);
}

int
main(void)
{
    RUN(test_a_resolver_that_never_answers_stalls_nobody);
    RUN(test_looking_up_a_name_ends_with_the_timeout_for_connecting);
    release_lookups();
    return tap_done();
}
