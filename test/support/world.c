/* world - the events and rules of the rig's small world. */
#include "support/rig.h"

#include "codec/time.h"

#include <stdio.h>
#include <string.h>

enum { RULES = 24 };

/* -- events ------------------------------------------------------------------------ */

static struct str
numbered(struct arena *arena, const char *what, size_t number)
{
    char text[64];
    struct str copy;
    int len = snprintf(text, sizeof text, "%s%zu", what, number);
    must(len > 0 && arena_copy(arena, (struct str){text, (size_t)len}, &copy));
    return copy;
}

static void
put_place(struct dice *dice, struct event *event)
{
    static const struct {
        struct str address, country, city;
        double latitude, longitude;
    } places[] = {
        {STR_INIT("198.51.100.42"), STR_INIT("US"), STR_INIT("Boston"), 42.36, -71.06},
        {STR_INIT("198.51.100.43"), STR_INIT("US"), STR_INIT("Denver"), 39.74, -104.99},
        {STR_INIT("91.203.144.12"), STR_INIT("RO"), STR_INIT("Bucharest"), 44.43, 26.1},
        {STR_INIT("203.0.113.9"), STR_INIT("AU"), STR_INIT("Sydney"), -33.87, 151.21},
        {STR_INIT("2001:db8::7"), STR_INIT("DE"), STR_INIT("Berlin"), 52.52, 13.4},
    };
    size_t which = dice_one_in(dice, 3) ? dice_below(dice, COUNT_OF(places)) : 0;
    event->ip_address = places[which].address;
    event->has_address = address_parse(event->ip_address, &event->address);
    event->location = (struct event_location){
        .known = true,
        .country = places[which].country,
        .city = places[which].city,
        .has_point = true,
        .latitude = places[which].latitude,
        .longitude = places[which].longitude,
    };
}

struct event
rig_event(struct rig *rig, struct dice *dice, struct arena *arena)
{
    static const struct str actions[] = {STR_INIT("auth.login"), STR_INIT("auth.login"),
                                         STR_INIT("auth.login_failed"),
                                         STR_INIT("document.deleted"), STR_INIT("document.read")};
    static const struct str agents[] = {STR_INIT("Firefox"), STR_INIT("Chrome"), STR_INIT("curl")};
    struct event event = {0};
    char id[ID_SIZE + 1];
    snprintf(id, sizeof id, "evt_00000000-0000-7000-8000-%012llx", (unsigned long long)++rig->ids);
    must(arena_copy(arena, (struct str){id, ID_SIZE}, &event.id));
    event.actor_id =
        numbered(arena, "actor", dice_below(dice, rig->actors == 0 ? 12 : rig->actors));
    event.action = actions[dice_below(dice, COUNT_OF(actions))];
    event.session_id = numbered(arena, "session", dice_below(dice, 20));
    if (dice_one_in(dice, 4))
        event.tenant_id = numbered(arena, "tenant", dice_below(dice, 3));
    event.user_agent = agents[dice_below(dice, COUNT_OF(agents))];
    event.device = (struct event_device){
        .known = true, .browser = event.user_agent, .os = STR("Linux"), .type = STR("desktop")};
    put_place(dice, &event);
    int64_t now = atomic_load(&rig->wall_us);
    event.occurred_at = now - (int64_t)dice_below(dice, 30) * TIME_US_PER_SECOND;
    if (dice_one_in(dice, 10)) /* late */
        event.occurred_at = now - (int64_t)dice_below(dice, 7200) * TIME_US_PER_SECOND;
    return event;
}

/* -- rules ------------------------------------------------------------------------- */

static const char *const templates[][2] = {
    {"new_country", "{\"action_pattern\": \"auth.login\"}"},
    {"new_country", "{\"action_pattern\": \"auth.*\", \"min_history\": 3}"},
    {"repeated_action",
     "{\"action_pattern\": \"auth.login_failed\", \"threshold\": 3, \"window_minutes\": 10}"},
    {"repeated_action", "{\"action_pattern\": \"auth.*\", \"threshold\": 4, \"window_minutes\": 5,"
                        " \"group_by\": [\"ip_address\"], \"distinct\": \"actor_id\"}"},
    {"repeated_action", "{\"action_pattern\": \"*\", \"threshold\": 5, \"window_seconds\": 90,"
                        " \"reset_on\": {\"action_pattern\": \"auth.login\"}}"},
    {"off_hours", "{\"action_pattern\": \"auth.login\", \"timezone\": \"America/New_York\","
                  " \"start_hour\": 0, \"end_hour\": 23}"},
    {"new_device", "{\"action_pattern\": \"auth.*\"}"},
    {"new_network", "{\"action_pattern\": \"auth.login\"}"},
    {"impossible_travel", "{\"action_pattern\": \"auth.login\"}"},
    {"high_volume_destructive", "{\"threshold\": 4}"},
    {"ingestion_spike", "{\"window_minutes\": 1, \"min_events\": 5, \"baseline_windows\": 2}"},
    {"dormant_account", "{\"action_pattern\": \"auth.login\", \"days\": 1}"},
    {"watched_action", "{\"action_pattern\": \"document.deleted\"}"},
    {"session_anomaly", "{\"action_pattern\": \"*\"}"},
    {"suspicious_user_agent", "{\"action_pattern\": \"auth.login\"}"},
    {"sequence", "{\"first\": {\"action_pattern\": \"auth.login_failed\", \"count\": 2},"
                 " \"then\": {\"action_pattern\": \"auth.login\"}, \"within_minutes\": 10}"},
};

static bool
exists(const char *rule_type)
{
    return detect_type_exists(str_from(rule_type));
}

/* Lists two of the rules that live in the same workspace. */
static void
write_combination(struct dice *dice, unsigned number, char conditions[static 512])
{
    char first[ID_SIZE], second[ID_SIZE];
    unsigned base = number % RIG_WORKSPACES;
    rig_rule_id(base + RIG_WORKSPACES * (unsigned)dice_below(dice, 3), first);
    rig_rule_id(base + RIG_WORKSPACES * (3 + (unsigned)dice_below(dice, 3)), second);
    snprintf(conditions, 512, "{\"all\": [\"%.*s\", \"%.*s\"], \"within_minutes\": 60}", ID_SIZE,
             first, ID_SIZE, second);
}

static void
write_rule(struct dice *dice, unsigned number, char json[static 1024])
{
    char conditions[512];
    size_t which = dice_below(dice, COUNT_OF(templates));
    while (!exists(templates[which][0]))
        which = dice_below(dice, COUNT_OF(templates));
    const char *type = templates[which][0];
    snprintf(conditions, sizeof conditions, "%s", templates[which][1]);
    /* Rules with the highest numbers list others, which never list any. */
    if (number >= RIG_WORKSPACES * 6 && exists("combination")) {
        type = "combination";
        write_combination(dice, number, conditions);
    }
    snprintf(json, 1024,
             "{\"name\": \"rule %u %zu\", \"rule_type\": \"%s\", \"conditions\": %s,"
             " \"channels\": [\"webhook\"], \"cooldown_minutes\": %zu, \"enabled\": %s}",
             number, dice_below(dice, 3), type, conditions, dice_below(dice, 3) * 5,
             dice_one_in(dice, 6) ? "false" : "true");
}

void
rig_rule_id(unsigned number, char out[static ID_SIZE])
{
    char text[ID_SIZE + 1];
    snprintf(text, sizeof text, "rul_00000000-0000-4000-8000-%012x", number);
    memcpy(out, text, ID_SIZE);
}

bool
rig_read_rule(struct rig *rig, const char *json, struct arena *arena, struct rule *rule_out)
{
    struct json sent;
    struct err err = {0};
    struct violations violations = {.arena = arena};
    *rule_out = (struct rule){0};
    must(json_parse(rig->parser, str_from(json), arena, &sent, &err));
    bool ok = detect_read_rule(&sent, false, arena, rule_out, &violations);
    for (size_t i = 0; i < violations.count; i++)
        diag_error("rig: %.*s: %.*s", STR_ARG(violations.items[i].field),
                   STR_ARG(violations.items[i].message));
    return ok;
}

int64_t
rig_put_rule(struct rig *rig, struct str workspace_id, unsigned number, const char *json)
{
    struct arena arena;
    struct rule rule;
    struct err err = {0};
    char id[ID_SIZE];
    arena_init(&arena, 4096, 1 << 20);
    must(rig_read_rule(rig, json, &arena, &rule));
    rig_rule_id(number, id);
    rule.id = (struct str){id, ID_SIZE};
    rule.workspace_id = workspace_id;
    rule.created_at = rule.updated_at = 1 + number;
    must(store_rule_put(rig->store, &rule, &err));
    arena_fini(&arena);
    engine_rules_changed(rig->engine);
    return rule.version;
}

void
rig_delete_rule(struct rig *rig, struct str workspace_id, unsigned number)
{
    char id[ID_SIZE];
    struct err err = {0};
    rig_rule_id(number, id);
    must(store_rule_delete(rig->store, workspace_id, (struct str){id, ID_SIZE}, &err) ||
         err.code == ERR_NOT_FOUND);
    engine_rules_changed(rig->engine);
}

void
rig_await_rule(struct rig *rig, unsigned number, int64_t version)
{
    enum { A_WHILE_US = 60 * 1000000 };
    char id[ID_SIZE];
    rig_rule_id(number, id);
    must(engine_wait_rule(rig->engine, (struct str){id, ID_SIZE}, version, A_WHILE_US));
}

/* Another name and cooldown, the same fold. False: there is no such rule. */
static bool
amend_rule(struct rig *rig, struct dice *dice, struct str workspace_id, unsigned number)
{
    struct arena arena;
    struct rule rule;
    struct err err = {0};
    char id[ID_SIZE];
    rig_rule_id(number, id);
    arena_init(&arena, 4096, 1 << 20);
    bool there =
        store_rule(rig->store, workspace_id, (struct str){id, ID_SIZE}, &arena, &rule, &err);
    if (there) {
        rule.name = dice_one_in(dice, 2) ? STR("a rule by another name") : STR("a rule");
        rule.cooldown_minutes = (int64_t)dice_below(dice, 5) * 7;
        must(store_rule_put(rig->store, &rule, &err));
        engine_rules_changed(rig->engine);
    }
    arena_fini(&arena);
    return there;
}

unsigned
rig_change_rule(struct rig *rig, struct dice *dice)
{
    char json[1024];
    unsigned number = (unsigned)dice_below(dice, RULES);
    struct str workspace_id = rig_workspace(number % RIG_WORKSPACES);
    if (dice_one_in(dice, 8)) {
        rig_delete_rule(rig, workspace_id, number);
        return number;
    }
    if (dice_one_in(dice, 2) && amend_rule(rig, dice, workspace_id, number))
        return number;
    write_rule(dice, number, json);
    (void)rig_put_rule(rig, workspace_id, number, json);
    return number;
}
