/* An alert as Slack and PagerDuty are told of it: their limits hold whatever stands in it. */
#include "format/format.h"

#include <string.h>

#include "tap.h"

enum { LONG = 5000 };

struct scene {
    struct arena arena;
    struct json_parser *parser;
    struct webhook webhook;
    struct event event;
    struct format_alert alert;
    struct format_parts parts;
    struct buffer out;
    struct json body;
};

static void
scene_begin(struct scene *scene, enum webhook_format format)
{
    *scene = (struct scene){
        .parser = json_parser_new(),
        .webhook = {.id = STR("whk_1"),
                    .workspace_id = STR("ws_1"),
                    .format = format,
                    .routing_key = STR("R0123456789ABCDEF")},
        .event = {.id = STR("evt_1"),
                  .actor_id = STR("user_5a"),
                  .actor_name = STR("Jordan"),
                  .action = STR("auth.login"),
                  .ip_address = STR("91.203.144.12"),
                  .user_agent = STR("curl/8"),
                  .location = {.known = true, .country = STR("RO"), .city = STR("Bucharest")},
                  .network = {.known = true, .asn = 9009, .org = STR("M247")},
                  .device = {.known = true, .browser = STR("Chrome"), .os = STR("macOS")},
                  .occurred_at = 1774621938291034},
        .alert.alert = {.id = STR("alt_1"),
                        .rule_id = STR("rul_1"),
                        .rule_name = STR("Login from New Country"),
                        .rule_type = STR("new_country"),
                        .severity = SEVERITY_HIGH,
                        .reason = STR("Jordan signed in from Bucharest"),
                        .triggered_at = 1774621938291034,
                        .context = STR("{\"new_country\":\"RO\"}")},
    };
    arena_init(&scene->arena, 4096, 1 << 22);
    buffer_init(&scene->out, 1 << 20);
    scene->parts = (struct format_parts){.arena = &scene->arena,
                                         .webhook = &scene->webhook,
                                         .kind = WEBHOOK_ALERT,
                                         .alerts = &scene->alert,
                                         .alert_count = 1,
                                         .event = &scene->event};
}

static void
scene_write(struct scene *scene)
{
    struct err err = {0};
    buffer_clear(&scene->out);
    CHECK(format_write(&scene->out, &scene->parts, &err));
    if (!CHECK(
            json_parse(scene->parser, buffer_str(&scene->out), &scene->arena, &scene->body, &err)))
        printf("# %s: %.*s\n", err.text, (int)scene->out.len, scene->out.ptr);
}

static void
scene_end(struct scene *scene)
{
    buffer_fini(&scene->out);
    arena_fini(&scene->arena);
    json_parser_free(scene->parser);
}

static bool
holds(const struct scene *scene, const char *text)
{
    bool found = memmem(scene->out.ptr, scene->out.len, text, strlen(text)) != NULL;
    if (!found)
        printf("# %s is not in %.*s\n", text, (int)scene->out.len, scene->out.ptr);
    return found;
}

static size_t
characters(struct str text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.len; i++)
        count += ((unsigned char)text.ptr[i] & 0xC0) != 0x80;
    return count;
}

/* Everything that a user or an admin can write, `unit` again and again. */
static void
fill(struct scene *scene, const char *unit)
{
    static char text[LONG + 8];
    size_t len = 0;
    while (len + strlen(unit) <= LONG) {
        memcpy(text + len, unit, strlen(unit));
        len += strlen(unit);
    }
    struct str much = {text, len};
    struct event *event = &scene->event;
    struct alert *alert = &scene->alert.alert;
    event->actor_name = event->actor_id = event->action = event->tenant_id = much;
    event->location.city = event->location.region = event->network.org = much;
    event->device.browser = event->device.os = much;
    alert->reason = alert->rule_name = much;
}

/* -- Slack ----------------------------------------------------------------- */

static void
check_text(const struct json *text, size_t most)
{
    struct str type = json_get(text, STR("type"))->text, shown = json_get(text, STR("text"))->text;
    CHECK(shown.len > 0 && characters(shown) <= most);
    if (!str_equal(type, STR("mrkdwn")))
        return;
    CHECK(json_get(text, STR("verbatim"))->truth);
    /* Each & begins one of three entities, whole; < and > only stand around our own link. */
    for (size_t i = 0; i < shown.len; i++) {
        struct str rest = {shown.ptr + i, shown.len - i};
        if (rest.ptr[0] == '&')
            CHECK(str_starts(rest, STR("&amp;")) || str_starts(rest, STR("&lt;")) ||
                  str_starts(rest, STR("&gt;")));
        if (rest.ptr[0] == '<')
            CHECK(str_starts(rest, STR("<https://t.example/alerts/alt_1|Open the alert>")));
    }
}

static void
check_message(const struct scene *scene)
{
    const struct json *blocks = json_get(&scene->body, STR("blocks"));
    CHECK(blocks->count >= 3 && blocks->count <= 50);
    CHECK(characters(json_get(&scene->body, STR("text"))->text) <= 3000);
    for (uint32_t i = 0; i < blocks->count; i++) {
        const struct json *block = &blocks->items[i], *text = json_get(block, STR("text")),
                          *fields = json_get(block, STR("fields")),
                          *elements = json_get(block, STR("elements"));
        bool header = str_equal(json_get(block, STR("type"))->text, STR("header"));
        if (text->type == JSON_OBJECT)
            check_text(text, header ? 150 : 3000);
        CHECK(fields->type == JSON_ABSENT || (fields->count > 0 && fields->count <= 10));
        for (uint32_t f = 0; fields->type == JSON_ARRAY && f < fields->count; f++)
            check_text(&fields->items[f], 2000);
        for (uint32_t e = 0; elements->type == JSON_ARRAY && e < elements->count; e++)
            check_text(&elements->items[e], 3000);
    }
}

static void
test_a_message_says_what_who_where_and_when(void)
{
    struct scene scene;
    scene_begin(&scene, WEBHOOK_SLACK);
    scene.parts.public_url = STR("https://t.example/");
    scene_write(&scene);
    check_message(&scene);
    CHECK(holds(&scene, "\"High: Login from New Country\""));
    CHECK(holds(&scene, "\"text\":\"High: Jordan signed in from Bucharest\""));
    CHECK(holds(&scene, "*Who*\\nJordan (user_5a)"));
    CHECK(holds(&scene, "*Where*\\nBucharest, RO"));
    CHECK(holds(&scene, "*Address*\\n91.203.144.12"));
    CHECK(holds(&scene, "*Network*\\nM247, AS9009"));
    CHECK(holds(&scene, "*Device*\\nChrome on macOS"));
    CHECK(holds(&scene, "*When*\\n2026-03-27 14:32:18 UTC"));
    CHECK(holds(&scene, "<https://t.example/alerts/alt_1|Open the alert>"));
    scene.parts.kind = WEBHOOK_ALERT_RESOLVED;
    scene_write(&scene);
    CHECK(holds(&scene, "\"Resolved: Login from New Country\""));
    scene_end(&scene);
}

static void
test_the_limits_of_block_kit_hold_and_nothing_is_cut_in_two(void)
{
    static const char *const units[] = {"x", "&", "<!channel>", "ä", "€<", "😀", "a&b"};
    for (size_t i = 0; i < COUNT_OF(units); i++) {
        struct scene scene;
        scene_begin(&scene, WEBHOOK_SLACK);
        scene.parts.public_url = STR("https://t.example");
        fill(&scene, units[i]);
        scene_write(&scene);
        check_message(&scene);
        scene_end(&scene);
    }
}

static void
test_what_means_something_to_slack_is_escaped(void)
{
    struct scene scene;
    scene_begin(&scene, WEBHOOK_SLACK);
    scene.event.actor_name = STR("<!channel> & <https://evil.example|us>");
    scene.alert.alert.reason = STR("1 < 2 && 3 > 2");
    scene_write(&scene);
    check_message(&scene);
    CHECK(holds(&scene, "&lt;!channel&gt; &amp; &lt;https://evil.example|us&gt;"));
    CHECK(holds(&scene, "1 &lt; 2 &amp;&amp; 3 &gt; 2"));
    scene_end(&scene);
}

/* -- PagerDuty ------------------------------------------------------------- */

static void
test_an_incident_is_triggered_and_resolved_under_one_key(void)
{
    struct scene scene;
    scene_begin(&scene, WEBHOOK_PAGERDUTY);
    scene.parts.public_url = STR("https://t.example");
    scene_write(&scene);
    const struct json *payload = json_get(&scene.body, STR("payload"));
    const struct json *details = json_get(payload, STR("custom_details"));
    CHECK(str_equal(json_get(&scene.body, STR("routing_key"))->text, STR("R0123456789ABCDEF")));
    CHECK(str_equal(json_get(&scene.body, STR("event_action"))->text, STR("trigger")));
    CHECK(str_equal(json_get(&scene.body, STR("dedup_key"))->text, STR("alt_1")));
    CHECK(str_equal(json_get(&scene.body, STR("client_url"))->text,
                    STR("https://t.example/alerts/alt_1")));
    CHECK(
        str_equal(json_get(payload, STR("summary"))->text, STR("Jordan signed in from Bucharest")));
    CHECK(str_equal(json_get(payload, STR("source"))->text, STR("user_5a")));
    CHECK(str_equal(json_get(payload, STR("timestamp"))->text, STR("2026-03-27T14:32:18.291034Z")));
    CHECK(str_equal(json_get(details, STR("ip_address"))->text, STR("91.203.144.12")));
    CHECK(str_equal(json_get(json_get(details, STR("context")), STR("new_country"))->text,
                    STR("RO")));
    scene.parts.kind = WEBHOOK_ALERT_RESOLVED;
    scene_write(&scene);
    CHECK(str_equal(buffer_str(&scene.out), STR("{\"routing_key\":\"R0123456789ABCDEF\","
                                                "\"event_action\":\"resolve\","
                                                "\"dedup_key\":\"alt_1\"}")));
    scene_end(&scene);
}

static void
test_each_severity_has_pagerdutys_name(void)
{
    static const char *const names[] = {[SEVERITY_LOW] = "info",
                                        [SEVERITY_MEDIUM] = "warning",
                                        [SEVERITY_HIGH] = "error",
                                        [SEVERITY_CRITICAL] = "critical"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct scene scene;
        scene_begin(&scene, WEBHOOK_PAGERDUTY);
        scene.alert.alert.severity = (enum severity)i;
        scene_write(&scene);
        const struct json *payload = json_get(&scene.body, STR("payload"));
        CHECK(str_equal(json_get(payload, STR("severity"))->text, str_from(names[i])));
        scene_end(&scene);
    }
}

static void
test_a_summary_of_at_most_1024_characters(void)
{
    static const char *const units[] = {"x", "€", "😀"};
    for (size_t i = 0; i < COUNT_OF(units); i++) {
        struct scene scene;
        scene_begin(&scene, WEBHOOK_PAGERDUTY);
        fill(&scene, units[i]);
        scene_write(&scene);
        const struct json *payload = json_get(&scene.body, STR("payload"));
        struct str summary = json_get(payload, STR("summary"))->text;
        CHECK(summary.len > 1000 && summary.len <= 1024);
        CHECK(json_get(payload, STR("source"))->text.len <= 255);
        scene_end(&scene);
    }
}

/* -- all ------------------------------------------------------------------- */

static void
test_a_format_is_not_told_of_what_it_has_no_words_for(void)
{
    for (enum webhook_format format = WEBHOOK_IMMUTABLE; format <= WEBHOOK_PAGERDUTY; format++) {
        struct scene scene;
        struct err err = {0};
        scene_begin(&scene, format);
        scene.parts.kind = format == WEBHOOK_FUSIONAUTH ? WEBHOOK_ALERT : WEBHOOK_LOGIN_SUSPICIOUS;
        CHECK(!format_write(&scene.out, &scene.parts, &err));
        CHECK_INT(err.code, ERR_INPUT);
        format_write_test(&scene.out, &scene.webhook, 1, random_system());
        CHECK(json_parse(scene.parser, buffer_str(&scene.out), &scene.arena, &scene.body, &err));
        scene_end(&scene);
    }
}

int
main(void)
{
    RUN(test_a_message_says_what_who_where_and_when);
    RUN(test_the_limits_of_block_kit_hold_and_nothing_is_cut_in_two);
    RUN(test_what_means_something_to_slack_is_escaped);
    RUN(test_an_incident_is_triggered_and_resolved_under_one_key);
    RUN(test_each_severity_has_pagerdutys_name);
    RUN(test_a_summary_of_at_most_1024_characters);
    RUN(test_a_format_is_not_told_of_what_it_has_no_words_for);
    return tap_done();
}
