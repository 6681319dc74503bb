/* Rules as sent: what is read, what is written in, and that nonsense is refused by the field's
 * name. */
#include "support/rule_maker.h"
#include "tap.h"

#define RULE(type, conditions)                                                                     \
    "{\"name\":\"n\",\"rule_type\":\"" type "\",\"channels\":[],\"conditions\":{" conditions "}}"
#define SEEN "\"action_pattern\":\"a\""

static struct arena arena;

static void
check_conditions(const char *json, const char *want)
{
    struct rule rule = {0};
    struct violation violation = {0};
    if (!CHECK(try_rule(&arena, json, &rule, &violation)))
        printf("# %.*s: %.*s\n", STR_ARG(violation.field), STR_ARG(violation.message));
    else
        CHECK_STR(rule.conditions, str_from(want));
}

static void
test_defaults_are_written_in(void)
{
    arena_init(&arena, 1 << 16, 1 << 26);
    check_conditions(RULE("new_country", SEEN), "{\"action_pattern\":\"a\",\"min_history\":1}");
    check_conditions(RULE("repeated_action", SEEN ",\"threshold\":5.0,\"window_minutes\":10"),
                     "{\"action_pattern\":\"a\",\"group_by\":[\"actor_id\"],\"threshold\":5,"
                     "\"window_minutes\":10}");
    check_conditions(
        RULE("high_volume_destructive", ""),
        "{\"action_pattern\":[\"*.deleted\",\"*.removed\",\"*.destroyed\",\"*.purged\"],"
        "\"group_by\":[\"actor_id\"],\"threshold\":10,\"window_minutes\":5}");
    check_conditions(
        RULE("high_volume_destructive", "\"window_seconds\":30,\"action_pattern\":\"x\""),
        "{\"action_pattern\":\"x\",\"group_by\":[\"actor_id\"],\"threshold\":10,"
        "\"window_seconds\":30}");
    check_conditions(RULE("ingestion_spike", ""),
                     "{\"action_pattern\":\"*\",\"baseline_windows\":12,\"min_events\":100,"
                     "\"multiplier\":3,\"window_minutes\":5}");
    check_conditions(RULE("impossible_travel", SEEN),
                     "{\"action_pattern\":\"a\",\"habitual_after\":5,\"max_speed_kmh\":900,"
                     "\"min_distance_km\":500,\"same_network\":true}");
    check_conditions(RULE("dormant_account", SEEN), "{\"action_pattern\":\"a\",\"days\":90}");
    check_conditions(RULE("session_anomaly", SEEN),
                     "{\"action_pattern\":\"a\",\"check\":[\"country\",\"device\"]}");
    check_conditions(
        RULE("sequence", "\"first\":{\"action_pattern\":\"a\"},\"then\":{\"action_pattern\":\"b\"},"
                         "\"within_minutes\":5"),
        "{\"action_pattern\":\"*\",\"first\":{\"action_pattern\":\"a\",\"count\":1},"
        "\"group_by\":[\"actor_id\"],\"then\":{\"action_pattern\":\"b\"},"
        "\"within_minutes\":5}");
    check_conditions(RULE("combination", "\"all\":[\"r\"]"),
                     "{\"action_pattern\":\"*\",\"all\":[\"r\"],\"within_minutes\":0}");
    arena_fini(&arena);
}

static void
test_each_type_has_its_severity_and_cooldown(void)
{
    static const struct {
        const char *json;
        enum severity severity;
        int64_t cooldown;
    } types[] = {
        {RULE("new_country", SEEN), SEVERITY_MEDIUM, 0},
        {RULE("new_device", SEEN), SEVERITY_LOW, 0},
        {RULE("new_network", SEEN), SEVERITY_LOW, 0},
        {RULE("off_hours", SEEN ",\"timezone\":\"UTC\",\"days\":[\"sun\"]"), SEVERITY_LOW, 60},
        {RULE("repeated_action", SEEN ",\"threshold\":2,\"window_seconds\":1"), SEVERITY_HIGH, 0},
        {RULE("high_volume_destructive", ""), SEVERITY_HIGH, 0},
        {RULE("ingestion_spike", ""), SEVERITY_MEDIUM, 0},
        {RULE("impossible_travel", SEEN), SEVERITY_HIGH, 60},
        {RULE("dormant_account", SEEN), SEVERITY_MEDIUM, 0},
        {RULE("blocklisted_ip", SEEN ",\"lists\":[\"tor\"]"), SEVERITY_HIGH, 60},
        {RULE("suspicious_user_agent", SEEN), SEVERITY_MEDIUM, 60},
        {RULE("watched_action", SEEN), SEVERITY_MEDIUM, 0},
        {RULE("session_anomaly", SEEN), SEVERITY_HIGH, 0},
        {RULE("sequence", "\"first\":{" SEEN "},\"then\":{" SEEN "},\"within_minutes\":1"),
         SEVERITY_HIGH, 0},
        {RULE("combination", "\"all\":[\"r\"]"), SEVERITY_HIGH, 0},
    };
    arena_init(&arena, 1 << 16, 1 << 26);
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        struct rule rule = {0};
        struct violation violation = {0};
        if (!CHECK(try_rule(&arena, types[i].json, &rule, &violation)))
            continue;
        CHECK_INT(rule.severity, types[i].severity);
        CHECK_INT(rule.cooldown_minutes, types[i].cooldown);
        CHECK(rule.enabled);
        CHECK(detect_type_exists(rule.rule_type));
    }
    arena_fini(&arena);
}

/* Its own output, read again, changes nothing; and it compiles. */
static void
test_reading_what_was_written_changes_nothing(void)
{
    static const char *const rules[] = {
        RULE("off_hours", SEEN ",\"timezone\":\"Europe/Berlin\",\"start_hour\":22,\"end_hour\":6,"
                               "\"days\":[\"sat\"],\"holidays\":[\"2026-12-25\"]"),
        RULE("repeated_action", SEEN
             ",\"threshold\":5,\"window_seconds\":90,\"group_by\":[\"ip_address\",\"metadata.x\"],"
             "\"distinct\":\"metadata.y.z\",\"reset_on\":{\"action_pattern\":[\"b\",\"c.*\"],"
             "\"where\":[{\"field\":\"device.os\",\"op\":\"in\",\"value\":[\"a\",1,true]}]}"),
        RULE("new_country", SEEN
             ",\"exclude\":{\"actors\":[\"a\"],\"networks\":[\"10.0.0.0/8\",\"::1\"],"
             "\"countries\":[\"DE\"],\"asns\":[1,4294967295],\"user_agents\":[\"*Bot*\"]},"
             "\"where\":[{\"field\":\"metadata.a\",\"op\":\"exists\"},{\"field\":\"ip_address\","
             "\"op\":\"cidr\",\"value\":[\"10.0.0.0/8\"]},{\"field\":\"metadata.n\","
             "\"op\":\"lt\",\"value\":1.50}]"),
        RULE("suspicious_user_agent", SEEN),
        RULE("high_volume_destructive", "\"window_seconds\":9"),
        RULE("sequence", "\"first\":{" SEEN "},\"then\":{" SEEN "},\"within_minutes\":1"),
    };
    arena_init(&arena, 1 << 16, 1 << 26);
    for (size_t i = 0; i < COUNT_OF(rules); i++) {
        struct rule once = make_rule(&arena, "rul-1", rules[i]), again = {0};
        struct buffer written;
        struct violation violation = {0};
        buffer_init(&written, 1 << 20);
        rule_write(&written, &once, RULE_ACTIVE, false);
        buffer_add_char(&written, 0);
        if (!CHECK(try_rule(&arena, written.ptr, &again, &violation)))
            printf("# %.*s\n", STR_ARG(violation.message));
        CHECK_STR(again.conditions, once.conditions);
        CHECK_STR(again.name, once.name);
        CHECK_INT(again.severity, once.severity);
        CHECK_INT(again.cooldown_minutes, once.cooldown_minutes);
        CHECK_INT(again.channels, once.channels);
        detect_rule_free(compile_rule(&once, NULL, 0));
        buffer_fini(&written);
    }
    arena_fini(&arena);
}

static struct json
parse(const char *text)
{
    struct json json = {0};
    struct json_parser *parser = json_parser_new();
    CHECK(json_parse(parser, str_from(text), &arena, &json, &(struct err){0}));
    json_parser_free(parser);
    return json;
}

static void
test_a_patch_keeps_what_was_not_sent(void)
{
    arena_init(&arena, 1 << 16, 1 << 26);
    struct rule rule =
        make_rule(&arena, "rul-1",
                  "{\"name\":\"n\",\"rule_type\":\"new_country\",\"channels\":"
                  "[\"email\"],\"emails\":[\"soc@example.org\"],\"conditions\":{" SEEN
                  "},\"cooldown_minutes\":7}");
    struct violations violations = {.arena = &arena};
    struct rule before = rule;
    struct json sent = parse("{\"severity\":\"critical\"}");
    CHECK(detect_read_rule(&sent, true, &arena, &rule, &violations));
    CHECK_INT(rule.severity, SEVERITY_CRITICAL);
    CHECK_STR(rule.conditions, before.conditions);
    CHECK_INT(rule.cooldown_minutes, 7);
    CHECK_INT(rule.channels, CHANNEL_EMAIL);
    CHECK_INT(rule.emails.count, 1);

    sent = parse("{\"conditions\":{\"action_pattern\":\"b\",\"min_history\":2},\"enabled\":false}");
    CHECK(detect_read_rule(&sent, true, &arena, &rule, &violations));
    CHECK_STR(rule.conditions, STR("{\"action_pattern\":\"b\",\"min_history\":2}"));
    CHECK(!rule.enabled);

    /* Another type needs conditions of its own; on refusal nothing has changed. */
    before = rule;
    sent = parse("{\"rule_type\":\"new_device\",\"name\":\"other\"}");
    CHECK(!detect_read_rule(&sent, true, &arena, &rule, &violations));
    CHECK_STR(violations.items[0].field, STR("conditions"));
    CHECK_STR(rule.name, before.name);
    CHECK_STR(rule.rule_type, STR("new_country"));

    /* A PUT goes back to the defaults of what it does not send. */
    violations.total = violations.count = 0;
    sent = parse(RULE("new_country", SEEN));
    CHECK(detect_read_rule(&sent, false, &arena, &rule, &violations));
    CHECK(rule.enabled && rule.emails.type == JSON_ABSENT);
    CHECK_INT(rule.severity, SEVERITY_MEDIUM);
    CHECK_INT(rule.cooldown_minutes, 0);
    arena_fini(&arena);
}

/* -- nonsense ----------------------------------------------------------------------- */

#define RA(more)        RULE("repeated_action", SEEN ",\"threshold\":5,\"window_minutes\":10," more)
#define WHERE(item)     RULE("watched_action", SEEN ",\"where\":[" item "]")
#define EXCLUDE(member) RULE("watched_action", SEEN ",\"exclude\":{" member "}")
#define OFF(more)       RULE("off_hours", SEEN ",\"timezone\":\"UTC\"," more)

static const struct {
    const char *json, *field;
} nonsense[] = {
    {"[]", "rule"},
    {"{}", "name"},
    {"{\"name\":\"\",\"rule_type\":\"watched_action\",\"channels\":[],\"conditions\":{" SEEN "}}",
     "name"},
    {"{\"name\":1,\"rule_type\":\"watched_action\",\"channels\":[],\"conditions\":{" SEEN "}}",
     "name"},
    {"{\"name\":\"n\",\"rule_type\":\"newcountry\",\"channels\":[],\"conditions\":{}}",
     "rule_type"},
    {"{\"name\":\"n\",\"rule_type\":null,\"channels\":[],\"conditions\":{}}", "rule_type"},
    {"{\"name\":\"n\",\"rule_type\":\"watched_action\",\"conditions\":{" SEEN "}}", "channels"},
    {"{\"name\":\"n\",\"rule_type\":\"watched_action\",\"channels\":[\"sms\"],\"conditions\":{" SEEN
     "}}",
     "channels[0]"},
    {"{\"name\":\"n\",\"rule_type\":\"watched_action\",\"channels\":[],\"conditions\":[]}",
     "conditions"},
    {"{\"name\":\"n\",\"rule_type\":\"watched_action\",\"channels\":[],\"conditions\":{" SEEN
     "},\"severity\":\"extreme\"}",
     "severity"},
    {"{\"name\":\"n\",\"rule_type\":\"watched_action\",\"channels\":[],\"conditions\":{" SEEN
     "},\"cooldown_minutes\":-1}",
     "cooldown_minutes"},
    {"{\"name\":\"n\",\"rule_type\":\"watched_action\",\"channels\":[],\"conditions\":{" SEEN
     "},\"enabled\":1}",
     "enabled"},
    {"{\"name\":\"n\",\"rule_type\":\"watched_action\",\"channels\":[],\"conditions\":{" SEEN
     "},\"colour\":1}",
     "colour"},
    {"{\"name\":\"n\",\"name\":\"m\",\"rule_type\":\"watched_action\",\"channels\":[],"
     "\"conditions\":{" SEEN "}}",
     "name"},
    {"{\"name\":\"n\",\"rule_type\":\"watched_action\",\"channels\":[],\"conditions\":{" SEEN
     "},\"emails\":[\"a@b\",\"not one\"]}",
     "emails[1]"},
    {RULE("watched_action", ""), "conditions.action_pattern"},
    {RULE("watched_action", "\"action_pattern\":5"), "conditions.action_pattern"},
    {RULE("watched_action", "\"action_pattern\":\"\""), "conditions.action_pattern"},
    {RULE("watched_action", "\"action_pattern\":[]"), "conditions.action_pattern"},
    {RULE("watched_action", "\"action_pattern\":[\"a\",null]"), "conditions.action_pattern[1]"},
    {RULE("watched_action", SEEN ",\"actionpattern\":\"b\""), "conditions.actionpattern"},
    {RULE("watched_action", SEEN ",\"threshold\":5"), "conditions.threshold"},
    {RULE("watched_action", SEEN "," SEEN), "conditions.action_pattern"},
    {RULE("repeated_action", SEEN ",\"window_minutes\":10"), "conditions.threshold"},
    {RULE("repeated_action", SEEN ",\"threshold\":5"), "conditions.window_minutes"},
    {RULE("repeated_action", SEEN ",\"threshold\":0,\"window_minutes\":10"),
     "conditions.threshold"},
    {RULE("repeated_action", SEEN ",\"threshold\":1,\"window_minutes\":10"),
     "conditions.threshold"},
    {RULE("repeated_action", SEEN ",\"threshold\":1001,\"window_minutes\":10"),
     "conditions.threshold"},
    {RULE("repeated_action", SEEN ",\"threshold\":2.5,\"window_minutes\":10"),
     "conditions.threshold"},
    {RULE("repeated_action", SEEN ",\"threshold\":\"5\",\"window_minutes\":10"),
     "conditions.threshold"},
    {RULE("repeated_action", SEEN ",\"threshold\":1e400,\"window_minutes\":10"),
     "conditions.threshold"},
    {RULE("repeated_action", SEEN ",\"threshold\":5,\"window_minutes\":525600"),
     "conditions.window_minutes"},
    {RULE("repeated_action", SEEN ",\"threshold\":5,\"window_seconds\":31536000"),
     "conditions.window_seconds"},
    {RA("\"window_seconds\":5"), "conditions.window_seconds"},
    {RA("\"group_by\":[]"), "conditions.group_by"},
    {RA("\"group_by\":\"actor_id\""), "conditions.group_by"},
    {RA("\"group_by\":[\"actor_id\",\"created_at\"]"), "conditions.group_by[1]"},
    {RA("\"group_by\":[\"nothing\"]"), "conditions.group_by[0]"},
    {RA("\"group_by\":[\"actor_id\",\"actor_id\"]"), "conditions.group_by[1]"},
    {RA("\"group_by\":[\"actor_id\",\"action\",\"tenant_id\",\"session_id\",\"ip_address\"]"),
     "conditions.group_by"},
    {RA("\"distinct\":\"actor_id\""), "conditions.distinct"},
    {RA("\"distinct\":[\"action\"]"), "conditions.distinct"},
    {RA("\"reset_on\":{}"), "conditions.reset_on.action_pattern"},
    {RA("\"reset_on\":{" SEEN ",\"count\":2}"), "conditions.reset_on.count"},
    {RULE("off_hours", SEEN ",\"days\":[\"sun\"]"), "conditions.timezone"},
    {RULE("off_hours", SEEN ",\"timezone\":\"Mars/Olympus\",\"days\":[\"sun\"]"),
     "conditions.timezone"},
    {RULE("off_hours", SEEN ",\"timezone\":\"../../etc/passwd\",\"days\":[\"sun\"]"),
     "conditions.timezone"},
    {RULE("off_hours", SEEN ",\"timezone\":\"UTC\""), "conditions.start_hour"},
    {OFF("\"start_hour\":6,\"end_hour\":6"), "conditions.end_hour"},
    {OFF("\"start_hour\":22"), "conditions.end_hour"},
    {OFF("\"end_hour\":6"), "conditions.start_hour"},
    {OFF("\"start_hour\":22,\"end_hour\":24"), "conditions.end_hour"},
    {OFF("\"days\":[\"sunday\"]"), "conditions.days[0]"},
    {OFF("\"days\":[]"), "conditions.days"},
    {OFF("\"holidays\":[\"2026-02-29\"]"), "conditions.holidays[0]"},
    {OFF("\"holidays\":[\"2026-12-25\",\"25.12.2026\"]"), "conditions.holidays[1]"},
    {RULE("blocklisted_ip", SEEN), "conditions.networks"},
    {RULE("blocklisted_ip", SEEN ",\"networks\":[]"), "conditions.networks"},
    {RULE("blocklisted_ip", SEEN ",\"networks\":[\"10.0.0.0/33\"]"), "conditions.networks[0]"},
    {RULE("blocklisted_ip", SEEN ",\"lists\":[\"\"]"), "conditions.lists[0]"},
    {RULE("impossible_travel", SEEN ",\"max_speed_kmh\":0"), "conditions.max_speed_kmh"},
    {RULE("impossible_travel", SEEN ",\"min_distance_km\":20001"), "conditions.min_distance_km"},
    {RULE("impossible_travel", SEEN ",\"same_network\":\"yes\""), "conditions.same_network"},
    {RULE("session_anomaly", SEEN ",\"check\":[\"planet\"]"), "conditions.check[0]"},
    {RULE("suspicious_user_agent", SEEN ",\"patterns\":[]"), "conditions.patterns"},
    {RULE("sequence", "\"first\":{" SEEN "},\"within_minutes\":5"), "conditions.then"},
    {RULE("sequence", "\"first\":{" SEEN ",\"count\":0},\"then\":{" SEEN "},\"within_minutes\":5"),
     "conditions.first.count"},
    {RULE("sequence", "\"first\":{" SEEN "},\"then\":{" SEEN "},\"within_minutes\":50000"),
     "conditions.within_minutes"},
    {RULE("combination", ""), "conditions.all"},
    {RULE("combination", "\"all\":[]"), "conditions.all"},
    {RULE("combination", "\"all\":[\"a\",\"a\"]"), "conditions.all[1]"},
    {RULE("combination", "\"all\":\"a\""), "conditions.all"},
    {WHERE("{}"), "conditions.where[0].field"},
    {WHERE("5"), "conditions.where[0]"},
    {WHERE("{\"field\":\"id\",\"op\":\"exists\"}"), "conditions.where[0].field"},
    {WHERE("{\"field\":\"integrity.event_hash\",\"op\":\"exists\"}"), "conditions.where[0].field"},
    {WHERE("{\"field\":\"actor_id\",\"op\":\"like\",\"value\":1}"), "conditions.where[0].op"},
    {WHERE("{\"field\":\"actor_id\",\"op\":\"eq\",\"value\":null}"), "conditions.where[0].value"},
    {WHERE("{\"field\":\"actor_id\",\"op\":\"eq\"}"), "conditions.where[0].value"},
    {WHERE("{\"field\":\"actor_id\",\"op\":\"eq\",\"value\":[1]}"), "conditions.where[0].value"},
    {WHERE("{\"field\":\"actor_id\",\"op\":\"in\",\"value\":\"a\"}"), "conditions.where[0].value"},
    {WHERE("{\"field\":\"actor_id\",\"op\":\"in\",\"value\":[]}"), "conditions.where[0].value"},
    {WHERE("{\"field\":\"actor_id\",\"op\":\"in\",\"value\":[1,{}]}"),
     "conditions.where[0].value[1]"},
    {WHERE("{\"field\":\"actor_id\",\"op\":\"gt\",\"value\":true}"), "conditions.where[0].value"},
    {WHERE("{\"field\":\"actor_id\",\"op\":\"cidr\",\"value\":\"here\"}"),
     "conditions.where[0].value"},
    {WHERE("{\"field\":\"actor_id\",\"op\":\"exists\",\"value\":true}"),
     "conditions.where[0].value"},
    {WHERE("{\"field\":\"actor_id\",\"op\":\"exists\",\"note\":1}"), "conditions.where[0].note"},
    {EXCLUDE("\"actor\":[\"a\"]"), "conditions.exclude.actor"},
    {EXCLUDE("\"actors\":\"a\""), "conditions.exclude.actors"},
    {EXCLUDE("\"networks\":[\"x\"]"), "conditions.exclude.networks[0]"},
    {EXCLUDE("\"countries\":[\"usa\"]"), "conditions.exclude.countries[0]"},
    {EXCLUDE("\"asns\":[\"AS1\"]"), "conditions.exclude.asns[0]"},
    {EXCLUDE("\"asns\":[0]"), "conditions.exclude.asns[0]"},
    {EXCLUDE("\"user_agents\":[1]"), "conditions.exclude.user_agents[0]"},
};

static void
test_nonsense_is_refused_by_the_name_of_the_field(void)
{
    arena_init(&arena, 1 << 16, 1 << 26);
    for (size_t i = 0; i < COUNT_OF(nonsense); i++) {
        struct rule rule = {0};
        struct violation violation = {0};
        if (CHECK(!try_rule(&arena, nonsense[i].json, &rule, &violation))) {
            CHECK_STR(violation.field, str_from(nonsense[i].field));
            CHECK(violation.message.len > 10);
        } else {
            printf("# %s\n", nonsense[i].json);
        }
    }
    arena_fini(&arena);
}

static void
test_what_is_too_long_is_refused(void)
{
    static char text[400000];
    struct rule rule = {0};
    struct violation violation = {0};
    arena_init(&arena, 1 << 16, 1 << 26);
    snprintf(text, sizeof text, RULE("watched_action", "\"action_pattern\":\"%0*d\""), 10240, 0);
    CHECK(!try_rule(&arena, text, &rule, &violation));
    CHECK_STR(violation.field, STR("conditions.action_pattern"));

    /* Each item may stand, all together may not. */
    int len = snprintf(text, sizeof text,
                       "{\"name\":\"n\",\"rule_type\":\"watched_action\",\"channels\":"
                       "[],\"conditions\":{\"action_pattern\":[\"a\"");
    for (int i = 0; i < 900; i++)
        len += snprintf(text + len, sizeof text - (size_t)len, ",\"%0*d\"", 200, i);
    snprintf(text + len, sizeof text - (size_t)len, "]}}");
    CHECK(!try_rule(&arena, text, &rule, &violation));
    CHECK_STR(violation.field, STR("conditions"));
    arena_fini(&arena);
}

/* -- combinations ------------------------------------------------------------------------ */

static void
test_a_combination_lists_plain_rules_that_exist(void)
{
    arena_init(&arena, 1 << 16, 1 << 26);
    struct rule plain = make_rule(&arena, "plain", RULE("watched_action", SEEN));
    struct rule both = make_rule(&arena, "both", RULE("combination", "\"all\":[\"plain\"]"));
    const struct rule *others[] = {&plain, &both};
    struct violations violations = {.arena = &arena};
    CHECK(detect_check_listed(&both, others, 2, &violations));
    CHECK(detect_check_listed(&plain, others, 1, &violations));
    CHECK(detect_lists(&both, STR("plain")) && !detect_lists(&both, STR("plai")));
    CHECK(!detect_lists(&plain, STR("plain")));

    struct rule bad = make_rule(&arena, "bad", RULE("combination", "\"all\":[\"both\"]"));
    CHECK(!detect_check_listed(&bad, others, 2, &violations));
    bad = make_rule(&arena, "bad", RULE("combination", "\"all\":[\"plain\",\"bad\"]"));
    CHECK(!detect_check_listed(&bad, others, 2, &violations));
    bad = make_rule(&arena, "bad", RULE("combination", "\"all\":[\"none\"]"));
    CHECK(!detect_check_listed(&bad, others, 2, &violations));
    bad = make_rule(&arena, "plain", RULE("combination", "\"all\":[\"x\"]"));
    struct rule x = make_rule(&arena, "x", RULE("watched_action", SEEN));
    others[0] = &x;
    CHECK(!detect_check_listed(&bad, others, 2, &violations));
    CHECK_INT((intmax_t)violations.count, 4);
    CHECK_STR(violations.items[0].field, STR("conditions.all[0]"));
    CHECK_STR(violations.items[1].field, STR("conditions.all[1]"));
    CHECK_STR(violations.items[2].field, STR("conditions.all[0]"));
    CHECK_STR(violations.items[3].field, STR("rule_type"));
    arena_fini(&arena);
}

static void
test_a_combination_is_silent_while_a_listed_rule_is_not_there(void)
{
    arena_init(&arena, 1 << 16, 1 << 26);
    struct rule plain = make_rule(&arena, "plain", RULE("watched_action", SEEN));
    struct rule both = make_rule(&arena, "both", RULE("combination", "\"all\":[\"plain\"]"));
    struct event event = {
        .id = STR("evt_1"), .actor_id = STR("a"), .action = STR("a"), .created_at = 1};
    for (int i = 0; i < 3; i++) {
        struct alert alert;
        const struct rule *others[] = {&plain};
        plain.enabled = i != 1;
        struct detect_rule *compiled = compile_rule(&both, others, i < 2);
        struct detect_table *table = detect_table_new(0);
        CHECK(detect_rule_is_late(compiled));
        CHECK_INT(detect_step(compiled, table, &event, false, &arena, &alert), i == 0);
        CHECK_INT(detect_sees(compiled, &event), i == 0);
        detect_table_free(table);
        detect_rule_free(compiled);
    }
    arena_fini(&arena);
}

static void
test_a_stored_rule_that_cannot_run_is_an_error(void)
{
    struct err err = {0};
    arena_init(&arena, 1 << 16, 1 << 26);
    struct rule rule = make_rule(&arena, "rul-1", RULE("dormant_account", SEEN));
    rule.conditions = STR("{\"action_pattern\":\"a\",\"days\":0}");
    CHECK(detect_rule_new(&rule, NULL, 0, &err) == NULL && err.code == ERR_INPUT);
    rule.conditions = STR("{\"action_pattern\"");
    CHECK(detect_rule_new(&rule, NULL, 0, &err) == NULL && err.code == ERR_INPUT);
    rule.rule_type = STR("unheard_of");
    CHECK(detect_rule_new(&rule, NULL, 0, &err) == NULL && err.code == ERR_INPUT);
    arena_fini(&arena);
}

int
main(void)
{
    RUN(test_defaults_are_written_in);
    RUN(test_each_type_has_its_severity_and_cooldown);
    RUN(test_reading_what_was_written_changes_nothing);
    RUN(test_a_patch_keeps_what_was_not_sent);
    RUN(test_nonsense_is_refused_by_the_name_of_the_field);
    RUN(test_what_is_too_long_is_refused);
    RUN(test_a_combination_lists_plain_rules_that_exist);
    RUN(test_a_combination_is_silent_while_a_listed_rule_is_not_there);
    RUN(test_a_stored_rule_that_cannot_run_is_an_error);
    return tap_done();
}
