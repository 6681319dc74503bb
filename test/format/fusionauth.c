/* A login in FusionAuth's form, made of what there is. */
#include "format/format.h"

#include <string.h>

#include "tap.h"

static struct json
parse(struct arena *arena, const char *text)
{
    struct json_parser *parser = json_parser_new();
    struct json json = {0};
    struct err err = {0};
    must(json_parse(parser, str_from(text), arena, &json, &err));
    json_parser_free(parser);
    return json;
}

static void
check_written(const struct format_parts *parts, const char *want)
{
    struct buffer out;
    buffer_init(&out, 65536);
    struct err err = {0};
    CHECK(format_write(&out, parts, &err));
    buffer_add_char(&out, '\0');
    CHECK_TEXT(out.ptr, want);
    buffer_fini(&out);
}

static void
test_a_failed_login_without_anything_known(void)
{
    struct arena arena;
    arena_init(&arena, 4096, 1 << 20);
    struct event event = {.id = STR("evt_1"),
                          .actor_id = STR("u1"),
                          .action = STR("auth.login_failed"),
                          .occurred_at = 1630383272048999};
    struct webhook webhook = {.format = WEBHOOK_FUSIONAUTH};
    struct format_parts parts = {
        .arena = &arena, .webhook = &webhook, .kind = WEBHOOK_LOGIN_FAILED, .event = &event};
    check_written(&parts,
                  "{\"event\":{\"authenticationType\":\"PASSWORD\",\"createInstant\":1630383272048,"
                  "\"id\":\"d2a1326c-55f3-8204-82ef-bc239a5a2230\",\"info\":{},"
                  "\"reason\":{\"code\":\"credentials\"},\"type\":\"user.login.failed\","
                  "\"user\":{\"active\":true,\"id\":\"u1\",\"memberships\":[],"
                  "\"preferredLanguages\":[],\"registrations\":[],"
                  "\"twoFactor\":{\"methods\":[],\"recoveryCodes\":[]},"
                  "\"usernameStatus\":\"ACTIVE\"}}}");
    arena_fini(&arena);
}

/* Nulls are left out, at any depth; a place without coordinates is at 0,0; what stood in info.data
 * stays beside ours; a threat is named once, and what has no name is not in the list. */
static void
test_a_suspicious_login_with_a_source(void)
{
    struct arena arena;
    arena_init(&arena, 4096, 1 << 20);
    struct event event = {.id = STR("evt_1"),
                          .actor_id = STR("u1"),
                          .ip_address = STR("10.0.0.1"),
                          .location = {.known = true, .country = STR("DE")},
                          .source = {.kind = STR("fusionauth")}};
    struct format_alert alerts[] = {
        {.alert = {.rule_type = STR("new_device")}},
        {.alert = {.rule_type = STR("new_device")}},
        {.alert = {.rule_type = STR("off_hours")}},
        {.alert = {.rule_type = STR("sequence")}, .after_password_change = true},
    };
    struct webhook webhook = {.format = WEBHOOK_FUSIONAUTH, .workspace_id = STR("ws_1")};
    struct format_parts parts = {
        .arena = &arena,
        .webhook = &webhook,
        .kind = WEBHOOK_LOGIN_SUSPICIOUS,
        .alerts = alerts,
        .alert_count = COUNT_OF(alerts),
        .event = &event,
        .source =
            parse(&arena, "{\"authenticationType\":\"GOOGLE\",\"identityProviderName\":null,"
                          "\"info\":{\"data\":{\"x\":1,\"tocsin\":2}},"
                          "\"user\":{\"id\":\"u1\",\"data\":{\"a\":null,\"b\":{\"c\":null}}}}")};
    struct buffer out;
    buffer_init(&out, 65536);
    struct err err = {0};
    CHECK(format_write(&out, &parts, &err));
    struct json whole;
    buffer_add_char(&out, '\0');
    whole = parse(&arena, out.ptr);
    const struct json *told = json_get(&whole, STR("event"));
    const struct json *info = json_get(told, STR("info")), *data = json_get(info, STR("data"));
    const struct json *threats = json_get(told, STR("threatsDetected"));
    CHECK_INT(threats->count, 2);
    CHECK(str_equal(threats->items[0].text, STR("UnrecognizedDevice")));
    CHECK(str_equal(threats->items[1].text, STR("RecentPasswordChange")));
    CHECK_INT(data->count, 2);
    CHECK_INT(json_get(data, STR("x"))->integer, 1);
    CHECK_INT(json_get(json_get(data, STR("tocsin")), STR("alerts"))->count, 4);
    CHECK(strstr(out.ptr, "null") == NULL);
    CHECK(strstr(out.ptr, "\"user\":{\"data\":{\"b\":{}},\"id\":\"u1\"}") != NULL);
    CHECK(strstr(out.ptr, "\"location\":{\"country\":\"DE\",\"displayString\":\"DE\","
                          "\"latitude\":0,\"longitude\":0}") != NULL);
    buffer_fini(&out);
    arena_fini(&arena);
}

int
main(void)
{
    RUN(test_a_failed_login_without_anything_known);
    RUN(test_a_suspicious_login_with_a_source);
    return tap_done();
}
