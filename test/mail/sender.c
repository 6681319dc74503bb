/* Messages under way: how many at once, what is told of each, and an end that does not wait for
 * mail servers. */
#include "mail/mail.h"

#include "base/system.h"
#include "tap.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

/* -- who is woken when something has ended ------------------------------------------- */

struct bell {
    pthread_mutex_t lock;
    pthread_cond_t rung;
    int count;
};

static void
ring(void *self)
{
    struct bell *bell = self;
    must(pthread_mutex_lock(&bell->lock) == 0);
    bell->count++;
    must(pthread_cond_signal(&bell->rung) == 0);
    must(pthread_mutex_unlock(&bell->lock) == 0);
}

static void
wait_for(struct bell *bell, int count)
{
    must(pthread_mutex_lock(&bell->lock) == 0);
    while (bell->count < count)
        must(pthread_cond_wait(&bell->rung, &bell->lock) == 0);
    must(pthread_mutex_unlock(&bell->lock) == 0);
}

/* -- a mail server that takes connections and says nothing, or is not there ------------ */

static int
listen_silently(int *port_out)
{
    int silent = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof at;
    must(bind(silent, (struct sockaddr *)&at, sizeof at) == 0 && listen(silent, 64) == 0);
    must(getsockname(silent, (struct sockaddr *)&at, &len) == 0);
    *port_out = ntohs(at.sin_port);
    return silent;
}

struct bench {
    struct bell bell;
    struct mail_server *server;
    struct mail_sender *sender;
};

static void
bench_init(struct bench *bench, int port)
{
    char url[64];
    struct err err = {0};
    snprintf(url, sizeof url, "smtp://127.0.0.1:%d", port);
    struct mail_server_options options = {.url = url, .from = "tocsin@example.com"};
    *bench = (struct bench){.bell = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0}};
    must(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
    must(mail_server_new(&options, &bench->server, &err));
    bench->sender = mail_sender_new(bench->server, ring, &bench->bell);
}

static void
bench_fini(struct bench *bench)
{
    mail_sender_free(bench->sender);
    mail_server_free(bench->server);
    curl_global_cleanup();
}

static void
test_each_message_has_its_own_result(void)
{
    int port = 0;
    struct bench bench;
    close(listen_silently(&port)); /* nobody listens there now */
    bench_init(&bench, port);
    for (int round = 0; round < 3; round++) {
        bool seen[MAIL_AT_ONCE] = {false};
        struct mail_result result;
        for (uint64_t i = 0; i < MAIL_AT_ONCE; i++)
            CHECK(mail_sender_start(bench.sender, i, STR("ana@example.com"), STR("x\r\n")));
        wait_for(&bench.bell, (round + 1) * MAIL_AT_ONCE);
        while (mail_sender_take(bench.sender, &result)) {
            CHECK(result.token < MAIL_AT_ONCE && !seen[result.token]);
            seen[result.token % MAIL_AT_ONCE] = true;
            CHECK_INT(result.outcome, MAIL_TRY_LATER);
            CHECK_INT(result.code, 0);
            CHECK(result.error[0] != '\0' && result.answer_len == 0);
        }
        for (size_t i = 0; i < MAIL_AT_ONCE; i++)
            CHECK(seen[i]);
    }
    bench_fini(&bench);
}

static void
test_no_more_than_so_many_are_under_way_and_the_end_waits_for_none(void)
{
    int port = 0, silent = listen_silently(&port);
    struct bench bench;
    struct mail_result result;
    bench_init(&bench, port);
    for (uint64_t i = 0; i < MAIL_AT_ONCE; i++)
        CHECK(mail_sender_start(bench.sender, i, STR("ana@example.com"), STR("x\r\n")));
    CHECK(!mail_sender_start(bench.sender, 99, STR("ana@example.com"), STR("x\r\n")));
    CHECK(!mail_sender_take(bench.sender, &result));
    struct pollfd come = {.fd = silent, .events = POLLIN};
    CHECK(poll(&come, 1, 10000) == 1); /* one is connected, and waits for a greeting */
    struct clock clock = clock_system();
    int64_t began = clock.monotonic_us(clock.self);
    bench_fini(&bench);
    CHECK(clock.monotonic_us(clock.self) - began < 10000000); /* a greeting may take a minute */
    close(silent);
}

int
main(void)
{
    RUN(test_each_message_has_its_own_result);
    RUN(test_no_more_than_so_many_are_under_way_and_the_end_waits_for_none);
    return tap_done();
}
