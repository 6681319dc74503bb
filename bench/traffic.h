/* traffic - made-up logins: the same ones for the server, for its ceiling and for replay.
 *
 * About 600 bytes of JSON each. Every actor has a home address and an agent of its own; one event
 * in 20 is a failed login, one in 256 comes from somewhere else. Digits stand in fixed places, so
 * that making an event costs a fraction of what reading it does. */
#ifndef BENCH_TRAFFIC_H
#define BENCH_TRAFFIC_H

#include "base/base.h"
#include "codec/hash.h"
#include "codec/time.h"

#include <string.h>

#define TRAFFIC_EVENT_MAX 1024
#define TRAFFIC_ACTORS    100000
#define TRAFFIC_ELSEWHERE 256 /* one event in so many */

struct traffic {
    uint64_t seed; /* of a run: keys of two runs differ */
    uint64_t actors;
    bool distinct;        /* a key on every event, and every user agent another */
    uint64_t ring;        /* one event in so many rings: action bench.rung; 0: none */
    int64_t occurred_at;  /* 0: left out */
    int64_t (*now)(void); /* what a ringing event carries in its name */
    uint64_t number;      /* of the next event */
};

struct traffic_text {
    char *at;
};

static inline void
traffic_put(struct traffic_text *out, const char *text)
{
    size_t len = strlen(text);
    memcpy(out->at, text, len);
    out->at += len;
}

static inline void
traffic_digits(struct traffic_text *out, uint64_t number, unsigned digits)
{
    for (unsigned i = digits; i-- > 0; number /= 10)
        out->at[i] = (char)('0' + number % 10);
    out->at += digits;
}

static inline void
traffic_decimal(struct traffic_text *out, uint64_t number)
{
    unsigned digits = 1;
    for (uint64_t rest = number; rest >= 10; rest /= 10)
        digits++;
    traffic_digits(out, number, digits);
}

/* A public address, the same for the same roll. */
static inline void
traffic_address(struct traffic_text *out, uint64_t roll)
{
    static const unsigned char first[] = {2,  5,   8,   12,  24,  31,  37,  46,  50,  62,
                                          66, 71,  73,  77,  80,  81,  84,  86,  88,  91,
                                          93, 109, 121, 133, 151, 176, 188, 201, 212, 217};
    traffic_decimal(out, first[roll % COUNT_OF(first)]);
    for (unsigned i = 1; i < 4; i++) {
        *out->at++ = '.';
        traffic_decimal(out, roll >> (8 * i) & 255);
    }
}

static inline void
traffic_agent(struct traffic_text *out, uint64_t roll, uint64_t version)
{
    static const char *const kinds[][2] = {
        {"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/",
         " Safari/537.36"},
        {"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) "
         "Chrome/",
         " Safari/537.36"},
        {"Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
         "Gecko) Version/",
         " Mobile/15E148 Safari/604.1"},
        {"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:124.0) Gecko/20100101 Firefox/", ""},
        {"Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/",
         " Mobile Safari/537.36"},
    };
    size_t kind = roll % COUNT_OF(kinds);
    traffic_put(out, kinds[kind][0]);
    traffic_digits(out, 90 + roll / 8 % 40, 3);
    traffic_put(out, ".0.");
    traffic_decimal(out, version / 10000);
    *out->at++ = '.';
    traffic_decimal(out, version % 10000);
    traffic_put(out, kinds[kind][1]);
}

static inline void
traffic_actor(struct traffic_text *out, uint64_t actor)
{
    traffic_put(out, "user_");
    traffic_digits(out, actor, 7);
}

static inline void
traffic_session(struct traffic_text *out, uint64_t roll)
{
    static const char digits[] = "0123456789abcdef";
    traffic_put(out, "sess_");
    for (unsigned i = 0; i < 16; i++)
        *out->at++ = digits[roll >> 4 * i & 15];
}

/* Writes the next event; returns its length, at most TRAFFIC_EVENT_MAX. */
static inline size_t
traffic_event(struct traffic *traffic, char *to)
{
    uint64_t number = traffic->number++;
    uint64_t roll = hash64(traffic->seed, &number, sizeof number);
    uint64_t actor = roll % traffic->actors, home = hash64(1, &actor, sizeof actor);
    bool away = (roll >> 40) % TRAFFIC_ELSEWHERE == 0, failed = (roll >> 48) % 20 == 0;
    bool rings = traffic->ring > 0 && number % traffic->ring == 0;
    struct traffic_text out = {to};
    traffic_put(&out, "{\"actor_id\":\"");
    traffic_actor(&out, actor);
    traffic_put(&out, rings ? "\",\"actor_name\":\"rung " : "\",\"actor_name\":\"Person ");
    traffic_decimal(&out, rings ? (uint64_t)traffic->now() : actor);
    traffic_put(&out, "\",\"actor_type\":\"user\",\"action\":\"");
    traffic_put(&out, rings ? "bench.rung" : failed ? "auth.login_failed" : "auth.login");
    traffic_put(&out, "\",\"action_category\":\"authentication\",\"resource\":\"session\","
                      "\"resource_id\":\"");
    traffic_session(&out, roll);
    traffic_put(&out, "\",\"session_id\":\"");
    traffic_session(&out, roll);
    traffic_put(&out, "\",\"tenant_id\":\"tenant_");
    traffic_decimal(&out, actor % 40);
    traffic_put(&out, "\",\"ip_address\":\"");
    traffic_address(&out, away ? roll : home);
    traffic_put(&out, "\",\"user_agent\":\"");
    traffic_agent(&out, home, traffic->distinct ? roll >> 32 : home >> 32 & 3);
    if (traffic->distinct) {
        traffic_put(&out, "\",\"idempotency_key\":\"key_");
        traffic_digits(&out, traffic->seed, 12);
        traffic_digits(&out, number, 12);
    }
    if (traffic->occurred_at != 0) {
        traffic_put(&out, "\",\"occurred_at\":\"");
        time_format(traffic->occurred_at, out.at);
        out.at += TIME_TEXT_SIZE;
    }
    traffic_put(&out, "\",\"metadata\":{\"method\":\"password\",\"mfa\":true,\"attempt\":1,"
                      "\"email\":\"");
    traffic_actor(&out, actor);
    traffic_put(&out, "@example.com\",\"application\":\"storefront\"}}");
    return (size_t)(out.at - to);
}

#endif
