/* The real transport against real receivers on loopback: well-behaved ones, hostile ones, and those
 * it must not call at all. */
#include "notify/receiver.h"

#include "notify/notify_priv.h"

#include <openssl/ssl.h>
#include <stdlib.h>

struct got {
    size_t count;
    struct notify_result last;
};

static void
got_one(void *each, const struct notify_result *result)
{
    struct got *got = each;
    got->count++;
    got->last = *result;
}

static struct notify_transport
open_transport(const char *allow)
{
    struct notify_transport transport;
    struct network network;
    struct err err = {0};
    bool some = allow != NULL;
    must(!some || network_parse(str_from(allow), &network));
    must(notify_transport_curl(&network, some ? 1 : 0, &transport, &err));
    return transport;
}

/* Longer than a busy machine with a sanitizer takes to shake hands: only what hangs gets there. */
enum { PATIENCE_MS = 60000 };

static bool
start(struct notify_transport *transport, const char *url, int64_t timeout_ms)
{
    static const char *const headers[] = {"Content-Type: application/json", "X-Mark: 1", NULL};
    struct err err = {0};
    struct notify_request request = {.token = 7,
                                     .url = url,
                                     .headers = headers,
                                     .body = STR("{\"a\":1}"),
                                     .connect_timeout_ms = timeout_ms,
                                     .timeout_ms = timeout_ms};
    return transport->start(transport->self, &request, &err);
}

static struct notify_result
call_with(struct notify_transport *transport, const char *url, int64_t timeout_ms)
{
    struct got got = {0};
    CHECK(start(transport, url, timeout_ms));
    while (got.count == 0)
        transport->run(transport->self, 100000, got_one, &got);
    CHECK_INT((intmax_t)got.last.token, 7);
    return got.last;
}

/* Calls `path` of a receiver on 127.0.0.1, which is allowed. */
static struct notify_result
call_path(const char *path)
{
    struct receiver *receiver = receiver_new();
    struct notify_transport transport = open_transport("127.0.0.0/8");
    char url[128];
    snprintf(url, sizeof url, "http://127.0.0.1:%d%s", receiver->port, path);
    struct notify_result result = call_with(&transport, url, PATIENCE_MS);
    transport.close(transport.self);
    receiver_free(receiver);
    return result;
}

static void
test_a_request_arrives_as_it_was_made(void)
{
    struct receiver *receiver = receiver_new();
    struct notify_transport transport = open_transport("127.0.0.0/8");
    char url[128];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/ok?x=y", receiver->port);
    struct notify_result result = call_with(&transport, url, PATIENCE_MS);
    CHECK_INT(result.status, 200);
    CHECK_TEXT(result.error, "");
    CHECK(str_equal((struct str){result.answer, result.answer_len}, STR("thanks")));
    CHECK_INT(result.retry_after_us, -1);
    CHECK(result.duration_us > 0);
    struct str request = receiver_last(receiver);
    CHECK(str_starts(request, STR("POST /ok?x=y HTTP/1.1\r\n")));
    CHECK(strstr(request.ptr, "\r\nContent-Type: application/json\r\n") != NULL);
    CHECK(strstr(request.ptr, "\r\nX-Mark: 1\r\n") != NULL);
    CHECK(strstr(request.ptr, "Expect") == NULL);
    CHECK(strstr(request.ptr, "\r\n\r\n{\"a\":1}") != NULL);
    transport.close(transport.self);
    receiver_free(receiver);
}

static void
test_connections_are_used_again(void)
{
    struct receiver *receiver = receiver_new();
    struct notify_transport transport = open_transport("127.0.0.0/8");
    char url[128];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/ok", receiver->port);
    for (int i = 0; i < 50; i++)
        CHECK_INT(call_with(&transport, url, PATIENCE_MS).status, 200);
    CHECK_INT(receiver_count(receiver, &receiver->requests), 50);
    CHECK_INT(receiver_count(receiver, &receiver->connections), 1);
    transport.close(transport.self);
    receiver_free(receiver);
}

static void
test_a_redirect_is_not_followed(void)
{
    struct receiver *receiver = receiver_new();
    struct notify_transport transport = open_transport("127.0.0.0/8");
    char url[128];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/redirect", receiver->port);
    CHECK_INT(call_with(&transport, url, PATIENCE_MS).status, 302);
    CHECK_INT(receiver_count(receiver, &receiver->requests), 1);
    transport.close(transport.self);
    receiver_free(receiver);
}

static void
test_of_a_body_without_end_the_first_kilobyte_is_kept(void)
{
    struct notify_result result = call_path("/endless");
    CHECK_INT(result.status, 200); /* it had said so before */
    CHECK_INT((intmax_t)result.answer_len, 1024);
    CHECK(result.answer[0] == 'x' && result.answer[1023] == 'x');
    CHECK(result.duration_us < PATIENCE_MS * 1000);
}

static void
test_headers_without_end_are_a_failure(void)
{
    struct notify_result result = call_path("/endless-headers");
    CHECK_INT(result.status, 0);
    CHECK(strstr(result.error, "too long") != NULL);
}

static void
test_garbage_is_a_failure(void)
{
    static const char *const paths[] = {"/garbage", "/nothing", "/half", "/reset"};
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        struct notify_result result = call_path(paths[i]);
        CHECK_INT(result.status, 0);
        CHECK(result.error[0] != '\0');
    }
}

static void
test_a_receiver_that_says_nothing_is_given_up_after_the_timeout(void)
{
    struct receiver *receiver = receiver_new();
    struct notify_transport transport = open_transport("127.0.0.0/8");
    static const char *const paths[] = {"/hang", "/drip"}; /* drip: the headers, byte by byte */
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        char url[128];
        snprintf(url, sizeof url, "http://127.0.0.1:%d%s", receiver->port, paths[i]);
        struct notify_result result = call_with(&transport, url, 150);
        CHECK_INT(result.status, 0);
        CHECK(strstr(result.error, "timed out") != NULL);
    }
    transport.close(transport.self);
    receiver_free(receiver);
}

static void
test_retry_after_is_read_from_the_answer(void)
{
    CHECK_INT(call_path("/busy").status, 503);
    CHECK_INT(call_path("/busy").retry_after_us, 120 * TIME_US_PER_SECOND);
    CHECK_INT(transport_retry_after(STR(" 0 \r\n")), 0);
    CHECK_INT(transport_retry_after(STR("-5")), -1);
    CHECK_INT(transport_retry_after(STR("")), -1);
    CHECK_INT(transport_retry_after(STR("soon")), -1);
    CHECK_INT(transport_retry_after(STR("99999999999999999999")), -1);
    CHECK_INT(transport_retry_after(STR("Sun, 06 Nov 1994 08:49:37 GMT")), 0);
    CHECK(transport_retry_after(STR("Fri, 31 Dec 2100 23:59:59 GMT")) > TIME_US_PER_DAY);
}

/* -- whom we do not call ----------------------------------------------------------------- */

static void
test_what_is_not_public_is_refused_in_every_disguise(void)
{
    static const char *const hosts[] = {
        "127.0.0.1",
        "localhost",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b::a9fe:a9fe]",
        "[64:ff9b::a64:a64]",
        "[64:ff9b:1::7f00:1]",
        "[64:ff9b:1:ffff::a9fe:a9fe]",
        "[::127.0.0.1]",
        "[2002:a9fe:a9fe::]",
        "[2002:6440:1::]",
        "168.63.129.16",
        "100.100.100.200",
        "192.0.0.192",
        "[ff02::1]",
        "[fec0::1]",
        "239.255.255.250",
        "[2002:7f00:1::]",
        "169.254.169.254",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "[fc00::1]",
        "224.0.0.1",
        "255.255.255.255",
    };
    struct receiver *receiver = receiver_new();
    struct notify_transport transport = open_transport(NULL);
    for (size_t i = 0; i < COUNT_OF(hosts); i++) {
        char url[128];
        snprintf(url, sizeof url, "http://%s:%d/ok", hosts[i], receiver->port);
        struct notify_result result = call_with(&transport, url, PATIENCE_MS);
        CHECK_INT(result.status, 0);
        if (!CHECK(strstr(result.error, "refused to call") != NULL))
            printf("# %s: %s\n", url, result.error);
    }
    CHECK_INT(receiver_count(receiver, &receiver->connections), 0);
    transport.close(transport.self);
    receiver_free(receiver);
}

static void
test_what_is_allowed_is_called_and_its_neighbour_is_not(void)
{
    struct receiver *receiver = receiver_new();
    struct notify_transport transport = open_transport("127.0.0.1/32");
    char url[128];
    snprintf(url, sizeof url, "http://[::ffff:127.0.0.1]:%d/ok", receiver->port);
    CHECK_INT(call_with(&transport, url, PATIENCE_MS).status, 200);
    snprintf(url, sizeof url, "http://127.0.0.2:%d/ok", receiver->port);
    CHECK_INT(call_with(&transport, url, PATIENCE_MS).status, 0);
    transport.close(transport.self);
    receiver_free(receiver);
}

static void
test_no_other_protocol_no_user_part_no_proxy(void)
{
    struct receiver *receiver = receiver_new();
    char url[128], proxy[64];
    snprintf(proxy, sizeof proxy, "http://127.0.0.1:%d", receiver->port);
    setenv("http_proxy", proxy, 1);
    setenv("ALL_PROXY", proxy, 1);
    struct notify_transport transport = open_transport("127.0.0.0/8");
    static const char *const urls[] = {"file:///etc/passwd", "gopher://127.0.0.1/",
                                       "ftp://127.0.0.1/",   "dict://127.0.0.1/",
                                       "nonsense",           "http://"};
    for (size_t i = 0; i < COUNT_OF(urls); i++)
        CHECK_INT(call_with(&transport, urls[i], 500).status, 0);
    snprintf(url, sizeof url, "http://user:pass@127.0.0.1:%d/ok", receiver->port);
    CHECK_INT(call_with(&transport, url, 500).status, 0);
    CHECK_INT(call_with(&transport, "http://169.254.169.254/latest/meta-data", 500).status, 0);
    CHECK_INT(receiver_count(receiver, &receiver->connections), 0);
    transport.close(transport.self);
    unsetenv("http_proxy");
    unsetenv("ALL_PROXY");
    receiver_free(receiver);
}

static void
test_a_certificate_nobody_signed_is_refused(void)
{
    struct receiver *receiver = receiver_new_tls();
    struct notify_transport transport = open_transport("127.0.0.0/8");
    char url[128];
    snprintf(url, sizeof url, "https://127.0.0.1:%d/ok", receiver->port);
    struct notify_result result = call_with(&transport, url, PATIENCE_MS);
    CHECK_INT(result.status, 0);
    if (!CHECK(strstr(result.error, "certificate") != NULL))
        printf("# %s\n", result.error);
    CHECK_INT(receiver_count(receiver, &receiver->requests), 0);
    transport.close(transport.self);
    receiver_free(receiver);
}

static void
test_tls_older_than_1_2_is_refused(void)
{
    struct receiver *receiver = receiver_new_tls();
    must(SSL_CTX_set_max_proto_version(receiver->tls, TLS1_1_VERSION) == 1);
    SSL_CTX_set_min_proto_version(receiver->tls, TLS1_VERSION);
    SSL_CTX_set_security_level(receiver->tls, 0);
    struct notify_transport transport = open_transport("127.0.0.0/8");
    char url[128];
    snprintf(url, sizeof url, "https://127.0.0.1:%d/ok", receiver->port);
    struct notify_result result = call_with(&transport, url, PATIENCE_MS);
    CHECK_INT(result.status, 0);
    if (!CHECK(strstr(result.error, "version") != NULL || strstr(result.error, "protocol") != NULL))
        printf("# %s\n", result.error);
    transport.close(transport.self);
    receiver_free(receiver);
}

static void
test_closing_abandons_what_is_in_flight(void)
{
    struct receiver *receiver = receiver_new();
    struct notify_transport transport = open_transport("127.0.0.0/8");
    char url[128];
    struct got got = {0};
    snprintf(url, sizeof url, "http://127.0.0.1:%d/hang", receiver->port);
    for (int i = 0; i < 5; i++)
        CHECK(start(&transport, url, 60000));
    while (receiver_count(receiver, &receiver->requests) < 5)
        transport.run(transport.self, 10000, got_one, &got);
    transport.close(transport.self);
    CHECK_INT((intmax_t)got.count, 0);
    receiver_free(receiver);
}

int
main(void)
{
    RUN(test_a_request_arrives_as_it_was_made);
    RUN(test_connections_are_used_again);
    RUN(test_a_redirect_is_not_followed);
    RUN(test_of_a_body_without_end_the_first_kilobyte_is_kept);
    RUN(test_headers_without_end_are_a_failure);
    RUN(test_garbage_is_a_failure);
    RUN(test_a_receiver_that_says_nothing_is_given_up_after_the_timeout);
    RUN(test_retry_after_is_read_from_the_answer);
    RUN(test_what_is_not_public_is_refused_in_every_disguise);
    RUN(test_what_is_allowed_is_called_and_its_neighbour_is_not);
    RUN(test_no_other_protocol_no_user_part_no_proxy);
    RUN(test_a_certificate_nobody_signed_is_refused);
    RUN(test_tls_older_than_1_2_is_refused);
    RUN(test_closing_abandons_what_is_in_flight);
    return tap_done();
}
