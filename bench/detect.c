/* detect - what each rule type costs per event, and what its states take.
 *
 *   build/release/bench/detect [EVENTS] [ACTORS]      (1,000,000 and 100,000)
 *
 * Processor time, not time, less what making the events takes. Every rule sees every event, in
 * stored order, actors at random; the states of the next events are fetched ahead, as the engine
 * and replay do. `watched` is the same with a watcher on the table that keeps what was changed, as
 * the engine does until a commit is durable. */
#include "codec/hash.h"
#include "detect/detect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* An event is one of the prepared ones, with another actor's digits in it. Few enough to stay in
 * the cache, as an event that was just read is. */
enum { PREPARED = 1 << 10, DIGITS = 12 };

#define SEEN "\"action_pattern\":\"auth.*\""
static const struct {
    const char *type, *conditions;
} rules[] = {
    {"new_country", SEEN},
    {"new_device", SEEN},
    {"new_network", SEEN},
    {"off_hours", SEEN ",\"timezone\":\"America/New_York\",\"start_hour\":22,\"end_hour\":6"},
    {"repeated_action", SEEN ",\"threshold\":5,\"window_minutes\":10"},
    {"repeated_action",
     SEEN ",\"threshold\":20,\"window_minutes\":10,\"group_by\":[\"ip_address\"],"
          "\"distinct\":\"metadata.email\""},
    {"high_volume_destructive", SEEN},
    {"ingestion_spike", SEEN},
    {"impossible_travel", SEEN},
    {"dormant_account", SEEN},
    {"blocklisted_ip", SEEN ",\"networks\":[\"203.0.113.0/24\",\"2001:db8::/32\"]"},
    {"suspicious_user_agent", SEEN},
    {"watched_action",
     SEEN ",\"where\":[{\"field\":\"metadata.mfa\",\"op\":\"eq\",\"value\":false}]"},
    {"session_anomaly", SEEN},
    {"sequence", "\"first\":{\"action_pattern\":\"auth.login_failed\",\"count\":5},"
                 "\"then\":{\"action_pattern\":\"auth.login\"},\"within_minutes\":10"},
    {"combination", "\"all\":[\"rul_0\",\"rul_3\"]"},
    {"watched_action", "\"action_pattern\":\"none.*\""}, /* what it costs to see nothing */
};

static struct event prepared[PREPARED];
static struct aim { /* what is written anew for each actor */
    char *digits[3];
    char *address;
} aims[PREPARED];
static struct rule made[COUNT_OF(rules)];

/* Of this thread's own time, so that what else runs on the machine counts little. */
static int64_t
now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec * TIME_US_PER_SECOND + now.tv_nsec / 1000;
}

static struct str
numbered(struct arena *arena, const char *prefix, char **digits_out)
{
    char text[64];
    struct str copied;
    int len = snprintf(text, sizeof text, "%s%0*d", prefix, DIGITS, 0);
    must(arena_copy(arena, str_from(text), &copied));
    *digits_out = (char *)(uintptr_t)copied.ptr + len - DIGITS;
    return copied;
}

static void
prepare(struct arena *arena)
{
    static const char *const countries[] = {"US", "US", "US", "US", "US", "US", "US", "RO"};
    for (uint64_t i = 0; i < PREPARED; i++) {
        uint64_t roll = hash64(5, &i, sizeof i);
        struct event *event = &prepared[i];
        struct aim *aim = &aims[i];
        char *unused;
        struct json_member *members = arena_array(arena, 2, struct json_member);
        must(members != NULL);
        members[0] =
            (struct json_member){STR("email"), json_of_str(numbered(arena, "m", &aim->digits[0]))};
        members[1] = (struct json_member){STR("mfa"), json_of_bool(roll % 64 != 0)};
        *event = (struct event){
            .id = numbered(arena, "evt_00000000-0000-7000-8000-", &unused),
            .actor_id = numbered(arena, "user_", &aim->digits[1]),
            .actor_type = STR("user"),
            .action = roll >> 20 & 3 ? STR("auth.login") : STR("auth.login_failed"),
            .session_id = numbered(arena, "sess_", &aim->digits[2]),
            .metadata = {.type = JSON_OBJECT, .count = 2, .members = members},
            .user_agent = STR("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 "
                              "(KHTML, like Gecko) Chrome/122.0.0.0 Safari/537.36"),
            .location = {.known = true,
                         .country = str_from(countries[roll >> 24 & 7]),
                         .city = STR("Springfield"),
                         .has_point = true,
                         .latitude = 39.8 + (double)(roll >> 28 & 7) / 100,
                         .longitude = -89.6},
            .network = {.known = true, .asn = 64500 + (int64_t)(roll >> 32 & 7)},
            .device = {.known = true,
                       .browser = STR("Chrome"),
                       .os = STR("Mac OS X"),
                       .type = STR("desktop")},
        };
        must(arena_copy(arena, STR("2001:500::8000:8000"), &event->ip_address));
        must(address_parse(event->ip_address, &event->address));
        aim->address = (char *)(uintptr_t)event->ip_address.ptr;
        event->has_address = true;
    }
}

/* An event of some actor, from that actor's own address. */
static struct event *
next_event(uint64_t number, uint64_t actors)
{
    uint64_t actor = hash64(6, &number, sizeof number) % actors;
    struct event *event = &prepared[number % PREPARED];
    const struct aim *aim = &aims[number % PREPARED];
    char digits[DIGITS];
    for (uint64_t i = DIGITS, rest = actor; i-- > 0; rest /= 10)
        digits[i] = (char)('0' + rest % 10);
    for (size_t i = 0; i < COUNT_OF(aim->digits); i++)
        memcpy(aim->digits[i], digits, DIGITS);
    for (unsigned i = 0; i < 4; i++) { /* "2001:500::8hhh:8hhh", the same width for all */
        unsigned char byte = (unsigned char)(actor >> (6 * (3 - i)) & 63);
        event->address.bytes[12 + i] = (unsigned char)(byte | (i % 2 == 0 ? 0x80 : 0));
    }
    for (unsigned i = 0; i < 8; i++) {
        unsigned char byte = event->address.bytes[12 + i / 2];
        aim->address[10 + i + (i > 3)] = "0123456789abcdef"[i % 2 == 0 ? byte >> 4 : byte & 15];
    }
    event->created_at = (int64_t)number + 1;
    event->occurred_at = (1774569600 + (int64_t)number / 50) * TIME_US_PER_SECOND;
    return event;
}

static void
release_old(void *self, struct detect_table *table, struct detect_cell *before,
            struct detect_cell *after)
{
    /* The last so many changes are kept, as those of a commit in flight. */
    static struct detect_cell *kept[4096];
    size_t *next = self;
    struct detect_cell **slot = &kept[(*next)++ % COUNT_OF(kept)];
    (void)table;
    (void)after;
    if (*slot != NULL)
        detect_cell_release(*slot);
    *slot = before == NULL ? NULL : detect_cell_keep(before);
}

/* Microseconds an event. Without a rule: of making them. */
static double
fold(const struct detect_rule *rule, struct detect_table *table, const uint64_t limits[static 2],
     uint64_t *alerts)
{
    const struct event *ahead[DETECT_WARM];
    const struct detect_pair pair = {rule, table};
    struct arena arena;
    struct alert alert;
    arena_init(&arena, 1 << 16, 1 << 22);
    int64_t began = now_us();
    for (uint64_t i = 0; i < limits[0]; i += DETECT_WARM) {
        for (uint64_t j = 0; j < DETECT_WARM; j++)
            ahead[j] = next_event(i + j, limits[1]);
        if (rule == NULL)
            continue;
        detect_warm(&pair, 1, ahead, DETECT_WARM);
        for (uint64_t j = 0; j < DETECT_WARM; j++) {
            if (!detect_step(rule, table, ahead[j], false, &arena, &alert))
                continue;
            ++*alerts;
            arena_reset(&arena);
        }
    }
    double each = (double)(now_us() - began) / (double)limits[0];
    arena_fini(&arena);
    return each;
}

static void
make_rules(struct arena *arena)
{
    struct json_parser *parser = json_parser_new();
    for (size_t i = 0; i < COUNT_OF(rules); i++) {
        char text[1024], id[16];
        struct json sent;
        struct violations violations = {.arena = arena};
        struct err err = {0};
        snprintf(text, sizeof text,
                 "{\"name\":\"n\",\"rule_type\":\"%s\",\"channels\":[],\"conditions\":{%s}}",
                 rules[i].type, rules[i].conditions);
        must(json_parse(parser, str_from(text), arena, &sent, &err));
        must(detect_read_rule(&sent, false, arena, &made[i], &violations));
        snprintf(id, sizeof id, "rul_%zu", i);
        must(arena_copy(arena, str_from(id), &made[i].id));
    }
    json_parser_free(parser);
}

static void
measure(size_t i, const struct rule *const *others, const uint64_t limits[static 2], double making)
{
    struct err err = {0};
    struct detect_rule *rule = detect_rule_new(&made[i], others, COUNT_OF(rules), &err);
    must(rule != NULL);
    struct detect_table *plain = detect_table_new(0), *watched = detect_table_new(0);
    uint64_t alerts = 0, ignored = 0;
    size_t next = 0;
    detect_table_watch(watched, release_old, &next);
    double each = fold(rule, plain, limits, &alerts) - making;
    size_t subjects = detect_table_count(plain), bytes = detect_table_bytes(plain);
    uint64_t dropped = detect_table_dropped(plain);
    detect_table_free(plain);
    double each_watched = fold(rule, watched, limits, &ignored) - making;
    must(alerts == ignored);
    printf("%-24s %9.3f %9.3f %9llu %9zu %9llu %7zu %9.1f\n", rules[i].type, each, each_watched,
           (unsigned long long)alerts, subjects, (unsigned long long)dropped,
           subjects == 0 ? 0 : bytes / subjects, (double)bytes / 1e6);
    detect_table_free(watched);
    detect_rule_free(rule);
}

int
main(int argc, char **argv)
{
    const uint64_t limits[2] = {argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000,
                                argc > 2 ? strtoull(argv[2], NULL, 10) : 100000};
    const struct rule *others[COUNT_OF(rules)];
    struct arena arena;
    arena_init(&arena, 1 << 20, (size_t)1 << 30);
    prepare(&arena);
    make_rules(&arena);
    for (size_t i = 0; i < COUNT_OF(rules); i++)
        others[i] = &made[i];
    double making = fold(NULL, NULL, limits, NULL);
    printf("%-24s %9s %9s %9s %9s %9s %7s %9s\n", "rule type", "us/event", "watched", "alerts",
           "subjects", "dropped", "bytes", "megabytes");
    for (size_t i = 0; i < COUNT_OF(rules); i++)
        measure(i, others, limits, making);
    arena_fini(&arena);
    return 0;
}
