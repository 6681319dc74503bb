/* What is promised of the written forms of alerts and rules, of ids and of
 * violations. */
#include "tap.h"

#include "codec/text.h"
#include "model/alert.h"
#include "model/ids.h"
#include "model/violation.h"

static struct arena arena;
static struct json_parser *parser;

static struct json
parse(struct str text)
{
    struct json json = {0};
    struct err err = {0};
    if (!CHECK(json_parse(parser, text, &arena, &json, &err)))
        printf("# %s: %.*s\n", err.text, STR_ARG(text));
    return json;
}

static struct alert
sample_alert(void)
{
    static const char emails[] = "[\"sec@example.com\",\"ops@example.com\"]";
    return (struct alert){
        .id = STR("alt_1"),
        .rule_id = STR("rul_1"),
        .rule_name = STR("Login from \"New\" Country"),
        .rule_type = STR("new_country"),
        .severity = SEVERITY_MEDIUM,
        .channels = CHANNEL_EMAIL | CHANNEL_WEBHOOK,
        .emails = parse(STR(emails)),
        .silent = true,
        .reason = STR("first time outside US"),
        .triggered_at = 1774621938291034,
        .event_id = STR("evt_1"),
        .event_at = 1774621938291030,
        .actor_id = STR("user_1"),
        .context = STR("{\"new_country\":\"RO\",\"previous_countries\":[\"US\"]}"),
        .at = 1774621938291031,
    };
}

static void
test_alert_reads_back_as_written(void)
{
    struct alert alert = sample_alert(), again;
    struct err err = {0};
    struct buffer out, out_again;
    buffer_init(&out, 1 << 16);
    buffer_init(&out_again, 1 << 16);
    alert_write_stored(&out, &alert);
    struct json json = parse(buffer_str(&out));
    if (CHECK(alert_read_stored(&json, &arena, &again, &err))) {
        alert_write_stored(&out_again, &again);
        CHECK(str_equal(buffer_str(&out), buffer_str(&out_again)));
        CHECK(str_equal(again.context, alert.context));
        CHECK(again.tenant_id.ptr == NULL);
        CHECK_INT(again.at, alert.at);
        CHECK_INT(again.emails.count, 2);
        CHECK(again.silent);
    }
    json = parse(STR("{\"id\":\"alt_1\",\"event_id\":\"evt_1\",\"severity\":\"deadly\"}"));
    CHECK(!alert_read_stored(&json, &arena, &again, &err));
    CHECK_INT(err.code, ERR_CORRUPT);
    buffer_fini(&out);
    buffer_fini(&out_again);
}

static void
test_alert_is_answered_open_until_somebody_looks(void)
{
    struct alert alert = sample_alert();
    struct alert_triage triage = {
        .status = STR("resolved"), .note = STR("it was me"), .notified_at = 1774621938291034};
    struct buffer out;
    buffer_init(&out, 1 << 16);
    alert_write_members(&out, &alert, NULL);
    buffer_add_char(&out, '\0');
    CHECK(strstr(out.ptr, "\"notified_at\":null,\"status\":\"open\",\"note\":null") != NULL);
    CHECK(strstr(out.ptr, "\"context\":{\"new_country\"") != NULL);
    buffer_clear(&out);
    alert_write_members(&out, &alert, &triage);
    buffer_add_char(&out, '\0');
    CHECK(strstr(out.ptr, "\"notified_at\":\"2026-03-27T14:32:18.291034Z\","
                          "\"status\":\"resolved\",\"note\":\"it was me\"") != NULL);
    buffer_fini(&out);
}

static void
test_alert_id_is_made_of_event_and_rule(void)
{
    char id[ALERT_ID_SIZE + 1] = {0}, other[ALERT_ID_SIZE + 1] = {0};
    struct uuid uuid;
    unsigned char hash[SHA256_SIZE];
    alert_id(STR("evt_1"), STR("rul_1"), id);
    alert_id(STR("evt_1"), STR("rul_2"), other);
    CHECK(strcmp(id, other) != 0);
    sha256_once(STR("evt_1rul_1"), hash);
    CHECK(uuid_parse((struct str){id + 4, UUID_TEXT_SIZE}, &uuid));
    CHECK(memcmp(uuid.bytes, hash, 6) == 0);
    CHECK_INT(uuid.bytes[6] >> 4, 8);
    CHECK(memcmp(id, "alt_", 4) == 0);
}

static struct rule
sample_rule(void)
{
    return (struct rule){
        .workspace_id = STR("ws_00000001"),
        .id = STR("rul_1"),
        .name = STR("Brute Force"),
        .rule_type = STR("repeated_action"),
        .conditions = STR("{\"action_pattern\":\"auth.login_failed\",\"threshold\":5}"),
        .channels = CHANNEL_WEBHOOK | CHANNEL_EMAIL,
        .emails = parse(STR("[\"sec@example.com\"]")),
        .severity = SEVERITY_HIGH,
        .enabled = true,
        .cooldown_minutes = 7,
        .version = 3,
        .fold_version = 2,
        .created_at = 1774621938291034,
        .updated_at = 1774621938291035,
        .learnt_from = 1774621938290000,
    };
}

static void
test_rule_reads_back_as_written(void)
{
    struct rule rule = sample_rule(), again;
    struct err err = {0};
    struct buffer out, out_again;
    buffer_init(&out, 1 << 16);
    buffer_init(&out_again, 1 << 16);
    rule_write(&out, &rule, RULE_ACTIVE, true);
    struct json json = parse(buffer_str(&out));
    if (CHECK(rule_read(&json, &arena, &again, &err))) {
        rule_write(&out_again, &again, RULE_ACTIVE, true);
        CHECK(str_equal(buffer_str(&out), buffer_str(&out_again)));
    }
    buffer_clear(&out);
    rule_write(&out, &rule, RULE_LEARNING, false);
    buffer_add_char(&out, '\0');
    CHECK_TEXT(out.ptr,
               "{\"id\":\"rul_1\",\"name\":\"Brute Force\",\"rule_type\":\"repeated_action\","
               "\"conditions\":{\"action_pattern\":\"auth.login_failed\",\"threshold\":5},"
               "\"channels\":[\"email\",\"webhook\"],\"emails\":[\"sec@example.com\"],"
               "\"severity\":\"high\",\"enabled\":true,\"cooldown_minutes\":7,"
               "\"status\":\"learning\",\"created_at\":\"2026-03-27T14:32:18.291034Z\","
               "\"updated_at\":\"2026-03-27T14:32:18.291035Z\"}");
    json = parse(STR("{\"id\":\"rul_1\",\"rule_type\":\"x\",\"severity\":\"low\"}"));
    CHECK(!rule_read(&json, &arena, &again, &err));
    CHECK_INT(err.code, ERR_CORRUPT);
    buffer_fini(&out);
    buffer_fini(&out_again);
}

static void
test_copy_of_a_rule_outlives_its_arena(void)
{
    struct buffer before, after;
    buffer_init(&before, 1 << 16);
    buffer_init(&after, 1 << 16);
    struct rule rule = sample_rule();
    rule_write(&before, &rule, RULE_ACTIVE, true);
    struct json json = parse(buffer_str(&before));
    struct rule read;
    struct err err = {0};
    CHECK(rule_read(&json, &arena, &read, &err));
    struct rule *copy = rule_copy(&read);
    arena_reset(&arena);
    memset(arena_alloc(&arena, 1, 4096, 1), 'x', 4096);
    rule_write(&after, copy, RULE_ACTIVE, true);
    CHECK(str_equal(buffer_str(&before), buffer_str(&after)));
    rule_free(copy);
    buffer_fini(&before);
    buffer_fini(&after);
}

static void
fill_ones(void *self, void *bytes, size_t len)
{
    (void)self;
    memset(bytes, 0xab, len);
}

static void
test_ids_are_a_prefix_and_a_uuid(void)
{
    struct random random = {.fill = fill_ones};
    char id[ID_SIZE + 1] = {0}, workspace[WORKSPACE_ID_SIZE + 1] = {0};
    id_new(random, "rul_", id);
    CHECK_TEXT(id, "rul_abababab-abab-4bab-abab-abababababab");
    id_new_event(random, 1774621938291034, id);
    CHECK(memcmp(id, "evt_", 4) == 0);
    CHECK_INT(id[18], '7');
    id_new_workspace(random, workspace);
    CHECK_TEXT(workspace, "ws_abababab");
}

static void
test_violations_beyond_the_bound_are_counted_only(void)
{
    struct violations violations = {.arena = &arena};
    char long_name[2000];
    memset(long_name, 'n', sizeof long_name);
    for (int i = 0; i < VIOLATIONS_MAX + 7; i++)
        CHECK(!violations_add(&violations, STR("field"), "The %.*s field is not known.",
                              (int)sizeof long_name, long_name));
    CHECK_INT((intmax_t)violations.count, VIOLATIONS_MAX);
    CHECK_INT((intmax_t)violations.total, VIOLATIONS_MAX + 7);
    CHECK(violations.items[0].message.len < 500);
}

int
main(void)
{
    arena_init(&arena, 1 << 16, 1 << 24);
    parser = json_parser_new();
    RUN(test_alert_reads_back_as_written);
    RUN(test_alert_is_answered_open_until_somebody_looks);
    RUN(test_alert_id_is_made_of_event_and_rule);
    RUN(test_rule_reads_back_as_written);
    RUN(test_copy_of_a_rule_outlives_its_arena);
    RUN(test_ids_are_a_prefix_and_a_uuid);
    RUN(test_violations_beyond_the_bound_are_counted_only);
    json_parser_free(parser);
    arena_fini(&arena);
    return tap_done();
}
