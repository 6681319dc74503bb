/* detect - what each rule type costs per event, and what its states take.
 *
 *   build/release/bench/detect [EVENTS] [ACTORS]      (1,000,000 and 100,000)
 *
 * Processor time, not time. Every rule sees every event, in stored order, actors at random.
 * `watched` is the same with a watcher on the table that keeps what was changed, as the engine
 * does until a commit is durable. */
#include "codec/hash.h"
#include "detect/detect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PREPARED = 1 << 17, ALERTS_MAX = 1 << 22 };

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
numbered(struct arena *arena, const char *prefix, uint64_t number)
{
    char text[64];
    struct str copied;
    snprintf(text, sizeof text, "%s%012llu", prefix, (unsigned long long)number);
    must(arena_copy(arena, str_from(text), &copied));
    return copied;
}

static void
prepare(struct arena *arena, uint64_t actors)
{
    static const char *const countries[] = {"US", "US", "US", "US", "US", "US", "US", "RO"};
    for (uint64_t i = 0; i < PREPARED; i++) {
        uint64_t roll = hash64(5, &i, sizeof i), actor = roll % actors;
        struct event *event = &prepared[i];
        struct json_member *members = arena_array(arena, 2, struct json_member);
        char ip[32];
        snprintf(ip, sizeof ip, "198.%u.%u.%u", 18 + (unsigned)(actor >> 16 & 1),
                 (unsigned)(actor >> 8 & 255), (unsigned)(actor & 255));
        members[0] = (struct json_member){STR("email"), json_of_str(numbered(arena, "m", actor))};
        members[1] = (struct json_member){STR("mfa"), json_of_bool(roll % 64 != 0)};
        *event = (struct event){
            .id = numbered(arena, "evt_00000000-0000-7000-8000-", i),
            .actor_id = numbered(arena, "user_", actor),
            .actor_type = STR("user"),
            .action = roll >> 20 & 3 ? STR("auth.login") : STR("auth.login_failed"),
            .session_id = numbered(arena, "sess_", actor),
            .metadata = {.type = JSON_OBJECT, .count = 2, .members = members},
            .user_agent = STR("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 "
                              "(KHTML, like Gecko) Chrome/122.0.0.0 Safari/537.36"),
            .location = {.known = true,
                         .country = str_from(countries[roll >> 24 & 7]),
                         .city = STR("Springfield"),
                         .has_point = true,
                         .latitude = 39.8 + (double)(roll >> 28 & 7) / 100,
                         .longitude = -89.6},
            .network = {.known = true, .asn = 64500 + (int64_t)(actor % 7)},
            .device = {.known = true,
                       .browser = STR("Chrome"),
                       .os = STR("Mac OS X"),
                       .type = STR("desktop")},
        };
        must(arena_copy(arena, str_from(ip), &event->ip_address));
        must(address_parse(event->ip_address, &event->address));
        event->has_address = true;
    }
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

static double
fold(const struct detect_rule *rule, struct detect_table *table, uint64_t events, uint64_t *alerts)
{
    struct arena arena;
    struct alert alert;
    int64_t time = 1774569600 * TIME_US_PER_SECOND;
    arena_init(&arena, 1 << 16, 1 << 22);
    int64_t began = now_us();
    for (uint64_t i = 0; i < events; i++) {
        struct event *event = &prepared[i % PREPARED];
        event->occurred_at = time += 20000;
        event->created_at = (int64_t)i + 1;
        if (!detect_step(rule, table, event, false, &arena, &alert))
            continue;
        ++*alerts;
        arena_reset(&arena);
    }
    double each = (double)(now_us() - began) / (double)events;
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

int
main(int argc, char **argv)
{
    uint64_t events = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    uint64_t actors = argc > 2 ? strtoull(argv[2], NULL, 10) : 100000;
    const struct rule *others[COUNT_OF(rules)];
    struct arena arena;
    arena_init(&arena, 1 << 20, (size_t)1 << 30);
    prepare(&arena, actors);
    make_rules(&arena);
    printf("%-26s %10s %10s %10s %10s %10s\n", "rule type", "us/event", "watched", "alerts",
           "subjects", "bytes each");
    for (size_t i = 0; i < COUNT_OF(rules); i++)
        others[i] = &made[i];
    for (size_t i = 0; i < COUNT_OF(rules); i++) {
        struct err err = {0};
        struct detect_rule *rule = detect_rule_new(&made[i], others, COUNT_OF(rules), &err);
        must(rule != NULL);
        struct detect_table *plain = detect_table_new(0), *watched = detect_table_new(0);
        uint64_t alerts = 0, ignored = 0;
        size_t next = 0;
        detect_table_watch(watched, release_old, &next);
        double each = fold(rule, plain, events, &alerts);
        double each_watched = fold(rule, watched, events, &ignored);
        must(alerts == ignored);
        size_t subjects = detect_table_count(plain);
        printf("%-26s %10.3f %10.3f %10llu %10zu %10zu\n", rules[i].type, each, each_watched,
               (unsigned long long)alerts, subjects,
               subjects == 0 ? 0 : detect_table_bytes(plain) / subjects);
        detect_table_free(plain);
        detect_table_free(watched);
        detect_rule_free(rule);
    }
    arena_fini(&arena);
    return 0;
}
