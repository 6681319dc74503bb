/* What is promised of webhooks: which alerts they take, what may be asked for,
 * and their written forms. */
#include "tap.h"

#include "model/webhook.h"

/* Of the test suite of the Standard Webhooks libraries. */
#define SIGNING_KEY                                                                                \
    "whsk_6Xb/dCcHpPea21PS1N9VY/"                                                                  \
    "NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
#define PUBLIC_KEY "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="

static struct arena arena;
static struct json_parser *parser;

static struct json
parse(const char *text)
{
    struct json json = {0};
    struct err err = {0};
    if (!CHECK(json_parse(parser, str_from(text), &arena, &json, &err)))
        printf("# %s: %s\n", err.text, text);
    return json;
}

static bool
read_over(const char *text, struct webhook *webhook, struct violations *violations)
{
    struct json json = parse(text);
    *violations = (struct violations){.arena = &arena};
    return webhook_read(&json, &arena, webhook, violations);
}

static void
test_a_new_webhook_gets_the_defaults(void)
{
    struct webhook webhook = {0};
    struct violations violations;
    CHECK(read_over("{\"url\":\"https://hooks.example.com/t\"}", &webhook, &violations));
    CHECK(webhook.enabled);
    CHECK_INT(webhook.connect_timeout_ms, 2000);
    CHECK_INT(webhook.timeout_ms, 10000);
    CHECK_INT(webhook.format, WEBHOOK_IMMUTABLE);
    CHECK_INT(webhook.events.count, 1);
    CHECK(webhook.secret.ptr == NULL);
    CHECK(read_over("{\"enabled\":false,\"min_severity\":\"high\"}", &webhook, &violations));
    CHECK(!webhook.enabled && webhook.has_min_severity);
    CHECK(read_over("{\"timeout_ms\":500,\"min_severity\":null}", &webhook, &violations));
    CHECK(!webhook.enabled && !webhook.has_min_severity);
    CHECK_INT(webhook.timeout_ms, 500);
}

static void
test_good_urls_are_taken(void)
{
    static const char *const good[] = {
        "http://127.0.0.1:9000/hook", "https://example.com",  "HTTPS://Example.COM/?a=b@c",
        "http://[::1]:80/",           "http://[2001:db8::1]",
    };
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        char text[200];
        struct webhook webhook = {0};
        struct violations violations;
        (void)snprintf(text, sizeof text, "{\"url\":\"%s\"}", good[i]);
        if (!CHECK(read_over(text, &webhook, &violations)))
            printf("# %s\n", good[i]);
    }
}

static void
test_complaints_name_the_field(void)
{
    static const struct {
        const char *text, *field;
    } rows[] = {
        {"{}", "url"},
        {"{\"url\":\"ftp://example.com/\"}", "url"},
        {"{\"url\":\"https://user:pw@example.com/\"}", "url"},
        {"{\"url\":\"https://\"}", "url"},
        {"{\"url\":\"https:///path\"}", "url"},
        {"{\"url\":\"https://example.com:0/\"}", "url"},
        {"{\"url\":\"https://example.com:99999/\"}", "url"},
        {"{\"url\":\"https://example.com:/\"}", "url"},
        {"{\"url\":\"https://[1.2.3.4/\"}", "url"},
        {"{\"url\":\"https://a b/\"}", "url"},
        {"{\"url\":\"https://example.com/\\r\\nX: y\"}", "url"},
        {"{\"url\":\"https://example.com\\\\@evil.example\"}", "url"},
        {"{\"url\":5}", "url"},
        {"{\"url\":\"https://e.x/\",\"colour\":1}", "colour"},
        {"{\"format\":\"slack\"}", "url"},
        {"{\"format\":\"pagerduty\"}", "routing_key"},
        {"{\"format\":\"pagerduty\",\"routing_key\":\"with a blank in it\"}", "routing_key"},
        {"{\"url\":\"https://e.x/\",\"routing_key\":\"R0123456789ABCDEF\"}", "routing_key"},
        {"{\"url\":\"https://e.x/\",\"asymmetric\":1}", "asymmetric"},
        {"{\"url\":\"https://e.x/\",\"public_key\":\"whpk_x\"}", "public_key"},
        {"{\"url\":\"https://e.x/\",\"failing_since\":null}", "failing_since"},
        {"{\"url\":\"https://e.x/\",\"events\":[\"user.login.suspicious\"]}", "events"},
        {"{\"url\":\"https://e.x/\",\"events\":[\"alert.triggered\"],\"format\":\"fusionauth\"}",
         "events"},
        {"{\"url\":\"https://e.x/\",\"signing_algorithm\":\"HS512\"}", "signing_algorithm"},
        {"{\"url\":\"https://e.x/\",\"headers\":{\"X-FusionAuth-Signature-JWT\":\"b\"}}",
         "headers"},
        {"{\"url\":\"https://e.x/\",\"format\":\"morse\"}", "format"},
        {"{\"url\":\"https://e.x/\",\"events\":[\"event.created\"]}", "events"},
        {"{\"url\":\"https://e.x/\",\"events\":[]}", "events"},
        {"{\"url\":\"https://e.x/\",\"secret\":\"short\"}", "secret"},
        {"{\"url\":\"https://e.x/\",\"secret\":\"whsec_not!base64!at!all\"}", "secret"},
        {"{\"url\":\"https://e.x/\",\"headers\":{\"X-A\":\"b\\r\\nc\"}}", "headers"},
        {"{\"url\":\"https://e.x/\",\"headers\":{\"X A\":\"b\"}}", "headers"},
        {"{\"url\":\"https://e.x/\",\"headers\":{\"Webhook-Id\":\"b\"}}", "headers"},
        {"{\"url\":\"https://e.x/\",\"headers\":{\"x-immutable-signature\":\"b\"}}", "headers"},
        {"{\"url\":\"https://e.x/\",\"headers\":{\"X-A\":\"b\",\"x-a\":\"c\"}}", "headers"},
        {"{\"url\":\"https://e.x/\",\"headers\":[\"a\"]}", "headers"},
        {"{\"url\":\"https://e.x/\",\"timeout_ms\":99}", "timeout_ms"},
        {"{\"url\":\"https://e.x/\",\"timeout_ms\":30001}", "timeout_ms"},
        {"{\"url\":\"https://e.x/\",\"connect_timeout_ms\":1.5e3}", "connect_timeout_ms"},
        {"{\"url\":\"https://e.x/\",\"tenant_ids\":[1]}", "tenant_ids"},
        {"{\"url\":\"https://e.x/\",\"min_severity\":\"deadly\"}", "min_severity"},
        {"{\"url\":\"https://e.x/\",\"enabled\":\"yes\"}", "enabled"},
        {"{\"url\":\"https://e.x/\",\"id\":\"whk_1\"}", "id"},
        {"{\"url\":\"https://e.x/\",\"url\":\"https://e.y/\"}", "url"},
        {"[]", "webhook"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct webhook webhook = {0};
        struct violations violations;
        if (!CHECK(!read_over(rows[i].text, &webhook, &violations)) ||
            !CHECK(str_equal(violations.items[0].field, str_from(rows[i].field))))
            printf("# %s\n", rows[i].text);
        CHECK(webhook.url.ptr == NULL);
    }
}

static void
test_a_format_has_events_of_its_own(void)
{
    struct webhook webhook = {0};
    struct violations violations;
    CHECK(read_over("{\"url\":\"https://e.x/\",\"format\":\"fusionauth\"}", &webhook, &violations));
    CHECK(webhook.events.count == 1 && webhook_wants(&webhook, WEBHOOK_LOGIN_SUSPICIOUS));
    CHECK(read_over("{\"events\":[\"user.login.failed\"],\"signing_algorithm\":\"ES256\"}",
                    &webhook, &violations));
    CHECK(webhook_wants(&webhook, WEBHOOK_LOGIN_FAILED) &&
          !webhook_wants(&webhook, WEBHOOK_LOGIN_SUSPICIOUS));
    CHECK_INT(webhook.signing_algorithm, JWT_ES256);
    /* Another format asks for other events, and begins with its own. */
    CHECK(read_over("{\"format\":\"immutable\"}", &webhook, &violations));
    CHECK(webhook.events.count == 1 && webhook_wants(&webhook, WEBHOOK_ALERT));
}

static void
test_a_session_used_again_is_a_login_to_fusionauth_alone(void)
{
    enum webhook_event kind = WEBHOOK_ALERT;
    struct event event = {.action = STR("auth.session_reused")};
    CHECK(!webhook_login_kind(&event, &kind));
    event.source.kind = STR("fusionauth");
    CHECK(webhook_login_kind(&event, &kind) && kind == WEBHOOK_LOGIN_SUCCESS);
    event.action = STR("auth.login_failed");
    CHECK(webhook_login_kind(&event, &kind) && kind == WEBHOOK_LOGIN_FAILED);
    event.action = STR("auth.logout");
    CHECK(!webhook_login_kind(&event, &kind));
}

static void
test_secret_is_given_once(void)
{
    struct webhook webhook = {0};
    struct violations violations;
    CHECK(read_over("{\"url\":\"https://e.x/\",\"secret\":\"sixteen bytes ok\"}", &webhook,
                    &violations));
    CHECK(str_equal(webhook.secret, STR("sixteen bytes ok")));
    CHECK(!read_over("{\"secret\":\"another sixteen b\"}", &webhook, &violations));
    struct webhook standard = {0};
    CHECK(read_over("{\"url\":\"https://e.x/\","
                    "\"secret\":\"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"}",
                    &standard, &violations));
}

static void
test_webhook_reads_back_as_written(void)
{
    struct webhook webhook = {.id = STR("whk_1"), .workspace_id = STR("ws_1")}, again;
    struct violations violations;
    struct err err = {0};
    CHECK(
        read_over("{\"url\":\"https://e.x/\",\"description\":\"d\",\"rule_types\":[\"off_hours\"],"
                  "\"min_severity\":\"medium\",\"tenant_ids\":[\"t\"],"
                  "\"secret\":\"sixteen bytes ok\",\"headers\":{\"X-Key\":\"v\"}}",
                  &webhook, &violations));
    webhook.old_secret = STR("the one before it");
    webhook.old_secret_until = 77;
    webhook.asymmetric = true;
    webhook.signing_key = STR(SIGNING_KEY);
    webhook.old_signing_key = STR("whsk_old");
    webhook.routing_key = STR("R0123456789ABCDEF");
    webhook.since = 5;
    webhook.until = 9;
    struct buffer out, out_again;
    buffer_init(&out, 1 << 16);
    buffer_init(&out_again, 1 << 16);
    webhook_write_stored(&out, &webhook);
    buffer_add_char(&out, '\0');
    struct json json = parse(out.ptr);
    out.len--;
    if (CHECK(webhook_read_stored(&json, &again, &err))) {
        webhook_write_stored(&out_again, &again);
        CHECK(str_equal(buffer_str(&out), buffer_str(&out_again)));
    }
    buffer_clear(&out);
    webhook_write(&out, &webhook, false);
    buffer_add_char(&out, '\0');
    CHECK(strstr(out.ptr, "secret") == NULL);
    CHECK(strstr(out.ptr, "\"since") == NULL);
    CHECK(strstr(out.ptr, "whsk_") == NULL && strstr(out.ptr, "R0123") == NULL);
    CHECK(strstr(out.ptr, "\"public_key\":\"" PUBLIC_KEY "\"") != NULL);
    CHECK(strstr(out.ptr, "\"headers\":{\"X-Key\":\"********\"}") != NULL);
    CHECK(strstr(out.ptr, "\"url\":\"https://e.x/\"") != NULL);
    buffer_clear(&out);
    webhook_write(&out, &webhook, true);
    buffer_add_char(&out, '\0');
    CHECK(strstr(out.ptr, "\"secret\":\"sixteen bytes ok\"") != NULL);
    CHECK(strstr(out.ptr, "old_secret") == NULL);
    buffer_fini(&out);
    buffer_fini(&out_again);
}

/* A reader of the list changes something else and sends all of it back. */
static void
test_what_comes_back_hidden_stays_as_it_is(void)
{
    struct webhook webhook = {0};
    struct violations violations;
    CHECK(read_over("{\"url\":\"https://hooks.example/services/T1/secret\",\"format\":\"slack\","
                    "\"headers\":{\"X-Key\":\"v\",\"X-Two\":\"w\"}}",
                    &webhook, &violations));
    CHECK(webhook.events.count == 1 && webhook_wants(&webhook, WEBHOOK_ALERT));
    struct buffer out;
    buffer_init(&out, 1 << 16);
    webhook_write(&out, &webhook, true);
    buffer_add_char(&out, '\0');
    CHECK(strstr(out.ptr, "\"url\":\"https://hooks.example/********\"") != NULL);
    CHECK(strstr(out.ptr, "services") == NULL);
    buffer_fini(&out);
    CHECK(read_over("{\"url\":\"https://hooks.example/********\","
                    "\"headers\":{\"x-key\":\"********\",\"X-New\":\"n\"}}",
                    &webhook, &violations));
    CHECK(str_equal(webhook.url, STR("https://hooks.example/services/T1/secret")));
    CHECK_INT(webhook.headers.count, 2);
    CHECK(str_equal(json_get(&webhook.headers, STR("x-key"))->text, STR("v")));
    CHECK(str_equal(json_get(&webhook.headers, STR("X-New"))->text, STR("n")));
    /* Another format would show it. */
    CHECK(!read_over("{\"format\":\"immutable\"}", &webhook, &violations));
    CHECK(str_equal(violations.items[0].field, STR("url")));
    CHECK(read_over("{\"format\":\"immutable\",\"url\":\"https://e.x/\"}", &webhook, &violations));
}

static void
test_pagerduty_has_a_place_a_key_and_both_events(void)
{
    struct webhook webhook = {0};
    struct violations violations;
    CHECK(read_over("{\"format\":\"pagerduty\",\"routing_key\":\"R0123456789ABCDEF\"}", &webhook,
                    &violations));
    CHECK(str_equal(webhook.url, STR("https://events.pagerduty.com/v2/enqueue")));
    CHECK(webhook_wants(&webhook, WEBHOOK_ALERT));
    CHECK(webhook_wants(&webhook, WEBHOOK_ALERT_RESOLVED));
    CHECK(read_over("{\"routing_key\":null,\"enabled\":false}", &webhook, &violations));
    CHECK(str_equal(webhook.routing_key, STR("R0123456789ABCDEF")));
    CHECK(read_over("{\"format\":\"immutable\"}", &webhook, &violations));
    CHECK(webhook.routing_key.len == 0);
}

static void
test_webhook_takes_what_it_asked_for(void)
{
    struct webhook all = {0}, some = {0};
    struct violations violations;
    struct alert alert = {.channels = CHANNEL_WEBHOOK,
                          .rule_type = STR("off_hours"),
                          .severity = SEVERITY_MEDIUM,
                          .tenant_id = STR("t1"),
                          .at = 100};
    CHECK(read_over("{\"url\":\"https://e.x/\"}", &all, &violations));
    CHECK(read_over("{\"url\":\"https://e.x/\",\"rule_types\":[\"off_hours\"],"
                    "\"min_severity\":\"medium\",\"tenant_ids\":[\"t1\",\"t2\"]}",
                    &some, &violations));
    CHECK(webhook_takes(&all, &alert) && webhook_takes(&some, &alert));
    struct alert other = alert;
    other.tenant_id = (struct str){0};
    CHECK(webhook_takes(&all, &other) && !webhook_takes(&some, &other));
    other = alert;
    other.severity = SEVERITY_LOW;
    CHECK(webhook_takes(&all, &other) && !webhook_takes(&some, &other));
    other = alert;
    other.rule_type = STR("new_country");
    CHECK(webhook_takes(&all, &other) && !webhook_takes(&some, &other));
    other = alert;
    other.channels = CHANNEL_EMAIL;
    CHECK(!webhook_takes(&all, &other));
    other = alert;
    other.silent = true;
    CHECK(!webhook_takes(&all, &other));
    all.since = 100;
    CHECK(webhook_takes(&all, &alert));
    all.since = 101;
    CHECK(!webhook_takes(&all, &alert));
    all.since = 50;
    all.until = 101;
    CHECK(webhook_takes(&all, &alert));
    all.until = 100;
    CHECK(!webhook_takes(&all, &alert));
}

int
main(void)
{
    arena_init(&arena, 1 << 16, 1 << 24);
    parser = json_parser_new();
    RUN(test_a_new_webhook_gets_the_defaults);
    RUN(test_good_urls_are_taken);
    RUN(test_complaints_name_the_field);
    RUN(test_secret_is_given_once);
    RUN(test_webhook_reads_back_as_written);
    RUN(test_what_comes_back_hidden_stays_as_it_is);
    RUN(test_pagerduty_has_a_place_a_key_and_both_events);
    RUN(test_a_format_has_events_of_its_own);
    RUN(test_a_session_used_again_is_a_login_to_fusionauth_alone);
    RUN(test_webhook_takes_what_it_asked_for);
    json_parser_free(parser);
    arena_fini(&arena);
    return tap_done();
}
