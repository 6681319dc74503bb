/* What is promised of events as they are sent (api.md). */
#include "tap.h"

#include <stdlib.h>

#include "codec/text.h"
#include "codec/time.h"
#include "intake/intake.h"
#include "model/ids.h"
#include "model/limits.h"
#include "support/event_maker.h"

#define NOW_US 1774621938291034 /* 2026-03-27T14:32:18.291034Z */

static struct arena arena;
static struct json_parser *parser;

static void
fill_ones(void *self, void *bytes, size_t len)
{
    (void)self;
    memset(bytes, 0xab, len);
}

static struct intake_context
context_now(void)
{
    return (struct intake_context){
        .arena = &arena, .random = {.fill = fill_ones}, .now_us = NOW_US};
}

static struct json
parse(struct str text)
{
    struct json json = {0};
    struct err err = {0};
    if (!CHECK(json_parse(parser, text, &arena, &json, &err)))
        printf("# %s: %.200s\n", err.text, text.ptr);
    return json;
}

static bool
read_text(const struct intake_context *context, const char *text, struct event *event,
          struct violations *violations)
{
    struct json json = parse(str_from(text));
    *violations = (struct violations){.arena = &arena};
    bool ok = intake_read_event(context, &json, "", event, violations);
    CHECK(ok == (violations->total == 0));
    return ok;
}

#define REQUIRED "\"actor_id\":\"u\",\"action\":\"a\""

/* Reads an event that must be good. */
static struct event
good(const char *text)
{
    struct intake_context context = context_now();
    struct event event = {0};
    struct violations violations;
    if (!CHECK(read_text(&context, text, &event, &violations)))
        printf("# %.*s: %s\n", STR_ARG(violations.items[0].message), text);
    return event;
}

static void
test_everything_of_the_contract_is_taken(void)
{
    struct event event = good(
        "{\"actor_id\":\"user_5a3c8f\",\"actor_name\":\"Jordan Mitchell\",\"actor_type\":\"user\","
        "\"action\":\"auth.login\",\"action_category\":\"auth\",\"resource\":\"account\","
        "\"resource_id\":\"acc_1\",\"resource_name\":\"Main\","
        "\"targets\":[{\"type\":\"doc\",\"id\":\"d\",\"name\":null,\"metadata\":{\"a\":1}}],"
        "\"metadata\":{\"mfa_used\":true},\"session_id\":\"sess_1\",\"tenant_id\":\"org_1\","
        "\"idempotency_key\":\"k1\",\"version\":2,\"occurred_at\":\"2026-03-27T10:32:18-04:00\","
        "\"ip_address\":\"::ffff:198.51.100.42\",\"user_agent\":\"Mozilla/5.0\"}");
    CHECK(str_equal(event.actor_name, STR("Jordan Mitchell")));
    CHECK(str_equal(event.resource_type, STR("account")));
    CHECK(str_equal(event.resource_id, STR("acc_1")));
    CHECK(str_equal(event.ip_address, STR("198.51.100.42")));
    CHECK(event.has_address && event.address.is_v4);
    CHECK_INT(event.occurred_at, 1774621938000000);
    CHECK(event.has_version);
    CHECK_INT(event.version, 2);
    CHECK_INT(event.targets.count, 1);
    CHECK(str_starts(event.id, STR("evt_")));
    CHECK_INT((intmax_t)event.id.len, ID_SIZE);
    CHECK_INT(event.created_at, 0);
}

static void
test_null_and_empty_are_absent(void)
{
    struct event event = good(
        "{" REQUIRED ",\"actor_name\":null,\"metadata\":null,\"targets\":null,\"version\":null,"
        "\"occurred_at\":null,\"ip_address\":\"\",\"session_id\":\"\",\"resource\":null,"
        "\"user_agent\":null,\"tenant_id\":null,\"resource_id\":\"\"}");
    CHECK(event.actor_name.ptr == NULL && event.session_id.ptr == NULL);
    CHECK(event.metadata.type == JSON_ABSENT && event.targets.type == JSON_ABSENT);
    CHECK(event.ip_address.ptr == NULL && !event.has_address && !event.has_version);
    CHECK(event.resource_id.ptr == NULL);
    CHECK_INT(event.occurred_at, NOW_US);
}

static void
test_empty_lists_of_php_are_empty_objects(void)
{
    struct event event =
        good("{" REQUIRED ",\"metadata\":[],\"resource\":[],"
             "\"targets\":[{\"type\":\"a\",\"metadata\":[]},{\"type\":\"b\",\"id\":\"1\"}]}");
    CHECK(event.metadata.type == JSON_OBJECT);
    CHECK(json_get(&event.targets.items[0], STR("metadata"))->type == JSON_OBJECT);
    CHECK_INT(event.targets.items[1].count, 2);
    CHECK(good("{" REQUIRED ",\"targets\":[]}").targets.type == JSON_ABSENT);
}

static void
test_resource_is_a_type_or_an_object(void)
{
    struct event event =
        good("{" REQUIRED ",\"resource\":{\"type\":\"doc\",\"id\":\"d1\",\"name\":null},"
             "\"resource_id\":\"d1\",\"resource_name\":\"Plan\"}");
    CHECK(str_equal(event.resource_type, STR("doc")));
    CHECK(str_equal(event.resource_id, STR("d1")));
    CHECK(str_equal(event.resource_name, STR("Plan")));
}

static void
test_tenant_is_found_in_the_metadata(void)
{
    struct event event = good("{" REQUIRED ",\"metadata\":{\"tenant_id\":\"org_acme_corp\"}}");
    CHECK(str_equal(event.tenant_id, STR("org_acme_corp")));
    event = good("{" REQUIRED ",\"tenant_id\":\"t\",\"metadata\":{\"tenant_id\":\"other\"}}");
    CHECK(str_equal(event.tenant_id, STR("t")));
    event = good("{" REQUIRED ",\"metadata\":{\"tenant_id\":5}}");
    CHECK(event.tenant_id.ptr == NULL);
}

static void
test_peer_address_stands_in_for_none(void)
{
    struct intake_context context = context_now();
    struct violations violations;
    struct event event = {0};
    context.peer_address = STR("203.0.113.9");
    CHECK(read_text(&context, "{" REQUIRED "}", &event, &violations));
    CHECK(str_equal(event.ip_address, STR("203.0.113.9")) && event.has_address);
    CHECK(read_text(&context, "{" REQUIRED ",\"ip_address\":\"2001:DB8:0::1\"}", &event,
                    &violations));
    CHECK(str_equal(event.ip_address, STR("2001:db8::1")));
}

/* A text of `count` copies of `piece` within an event's member; good as long as the arena. */
static const char *
long_member(const char *before, const char *piece, size_t count, const char *after)
{
    struct buffer text;
    struct str copy = {0};
    buffer_init(&text, 1 << 24);
    buffer_add(&text, str_from(before));
    for (size_t i = 0; i < count; i++)
        buffer_add(&text, str_from(piece));
    buffer_add_bytes(&text, after, strlen(after) + 1);
    must(arena_copy(&arena, buffer_str(&text), &copy));
    buffer_fini(&text);
    return copy.ptr;
}

static void
test_user_agent_is_cut_and_not_refused(void)
{
    struct event event =
        good(long_member("{" REQUIRED ",\"user_agent\":\"x", "\xe2\x82\xac", 500, "\"}"));
    CHECK_INT((intmax_t)event.user_agent.len, 1 + 341 * 3);
    event = good("{" REQUIRED ",\"user_agent\":\"curl\\u0000/8\"}");
    CHECK(str_equal(event.user_agent, STR("curl")));
}

/* -- refusals ------------------------------------------------------------------- */

static void
expect(const struct intake_context *context, const char *text, const char *field,
       const char *message)
{
    struct event event;
    struct violations violations;
    memset(&event, 0x5a, sizeof event);
    struct event before = event;
    if (!CHECK(!read_text(context, text, &event, &violations)) || !CHECK(violations.count > 0)) {
        printf("# %.200s\n", text);
        return;
    }
    CHECK(memcmp(&event, &before, sizeof event) == 0);
    char got[600];
    (void)snprintf(got, sizeof got, "%.*s|%.*s", STR_ARG(violations.items[0].field),
                   STR_ARG(violations.items[0].message));
    char want[600];
    (void)snprintf(want, sizeof want, "%s|%s", field, message);
    CHECK_TEXT(got, want);
}

static const struct {
    const char *text, *field, *message;
} complaints[] = {
    {"[]", "event", "The event field must be a JSON object."},
    {"{\"action\":\"a\"}", "actor_id", "The actor_id field is required."},
    {"{\"actor_id\":\"u\"}", "action", "The action field is required."},
    {"{\"actor_id\":\"\",\"action\":\"a\"}", "actor_id", "The actor_id field is required."},
    {"{\"actor_id\":null,\"action\":\"a\"}", "actor_id", "The actor_id field is required."},
    {"{\"actor_id\":7,\"action\":\"a\"}", "actor_id", "The actor_id field must be a string."},
    {"{" REQUIRED ",\"actorid\":1}", "actorid", "The actorid field is not known."},
    {"{" REQUIRED ",\"id\":\"evt_1\"}", "id", "The id field is not known."},
    {"{" REQUIRED ",\"action\":\"b\"}", "action", "The action field is given twice."},
    {"{" REQUIRED ",\"version\":1.5}", "version",
     "The version field must be an integer within 2^53 - 1."},
    {"{" REQUIRED ",\"version\":9007199254740993}", "version",
     "The version field must be an integer within 2^53 - 1."},
    {"{" REQUIRED ",\"session_id\":\"a\\u0000b\"}", "session_id",
     "The session_id field may not hold a NUL."},
    {"{" REQUIRED ",\"ip_address\":\"300.1.1.1\"}", "ip_address",
     "The ip_address field must be an IP address."},
    {"{" REQUIRED ",\"occurred_at\":\"yesterday\"}", "occurred_at",
     "The occurred_at field must be an RFC 3339 time."},
    {"{" REQUIRED ",\"occurred_at\":1774621938}", "occurred_at",
     "The occurred_at field must be an RFC 3339 time."},
    {"{" REQUIRED ",\"occurred_at\":\"1969-12-31T23:59:59Z\"}", "occurred_at",
     "The occurred_at field may not be before 1970."},
    {"{" REQUIRED ",\"occurred_at\":\"2026-03-27T14:37:18.291035Z\"}", "occurred_at",
     "The occurred_at field may be at most five minutes ahead."},
    {"{" REQUIRED ",\"resource\":5}", "resource",
     "The resource field must be a string or an object."},
    {"{" REQUIRED ",\"resource\":{\"kind\":\"x\"}}", "resource.kind",
     "The resource.kind field is not known."},
    {"{" REQUIRED ",\"resource\":{\"id\":5}}", "resource.id",
     "The resource.id field must be a string."},
    {"{" REQUIRED ",\"resource\":{\"id\":\"a\"},\"resource_id\":\"b\"}", "resource_id",
     "The resource_id field contradicts the resource object."},
    {"{" REQUIRED ",\"resource_id\":\"b\",\"resource\":{\"id\":\"a\"}}", "resource_id",
     "The resource_id field contradicts the resource object."},
    {"{" REQUIRED ",\"metadata\":\"x\"}", "metadata", "The metadata field must be an object."},
    {"{" REQUIRED ",\"metadata\":{\"a\":{\"b\":1,\"b\":2}}}", "metadata.a.b",
     "The metadata.a.b field is given twice."},
    {"{" REQUIRED ",\"metadata\":{\"a\":[1,{\"n\":9007199254740992}]}}", "metadata.a[1].n",
     "The metadata.a[1].n field is a number that cannot be kept exactly: send it as a "
     "string."},
    {"{" REQUIRED ",\"metadata\":{\"big\":1e400}}", "metadata.big",
     "The metadata.big field is a number that cannot be kept exactly: send it as a string."},
    {"{" REQUIRED ",\"metadata\":{\"a\":\"\\u0000\"}}", "metadata.a",
     "The metadata.a field may not hold a NUL."},
    {"{" REQUIRED ",\"targets\":{}}", "targets", "The targets field must be a list."},
    {"{" REQUIRED ",\"targets\":[5]}", "targets[0]", "The targets[0] field must be an object."},
    {"{" REQUIRED ",\"targets\":[{\"id\":\"x\"}]}", "targets[0].type",
     "The targets[0].type field is required."},
    {"{" REQUIRED ",\"targets\":[{\"type\":\"x\",\"kind\":1}]}", "targets[0].kind",
     "The targets[0].kind field is not known."},
    {"{" REQUIRED ",\"targets\":[{\"type\":\"x\"},{\"type\":\"x\",\"type\":\"y\"}]}", "targets[1]",
     "The targets[1] field has a member twice."},
    {"{" REQUIRED ",\"targets\":[{\"type\":\"x\"},{\"type\":\"x\"},"
     "{\"type\":\"x\",\"metadata\":{\"x\":12345678901234567890}}]}",
     "targets[2].metadata.x",
     "The targets[2].metadata.x field is a number that cannot be kept exactly: send it as a "
     "string."},
    {"{" REQUIRED ",\"targets\":[{\"type\":\"x\",\"metadata\":[1]}]}", "targets[0].metadata",
     "The targets[0].metadata field must be an object."},
};

static void
test_complaints_name_the_field(void)
{
    struct intake_context context = context_now();
    for (size_t i = 0; i < COUNT_OF(complaints); i++)
        expect(&context, complaints[i].text, complaints[i].field, complaints[i].message);
}

static void
test_every_limit_is_exact(void)
{
    static const char *const strings[] = {
        "actor_name",    "actor_type", "action_category", "resource",        "resource_id",
        "resource_name", "session_id", "tenant_id",       "idempotency_key",
    };
    struct intake_context context = context_now();
    for (size_t i = 0; i < COUNT_OF(strings); i++) {
        char before[100], message[100];
        (void)snprintf(before, sizeof before, "{" REQUIRED ",\"%s\":\"", strings[i]);
        (void)snprintf(message, sizeof message, "The %s field may be at most 1,024 bytes.",
                       strings[i]);
        (void)good(long_member(before, "x", LIMIT_STRING_BYTES, "\"}"));
        expect(&context, long_member(before, "x", LIMIT_STRING_BYTES + 1, "\"}"), strings[i],
               message);
    }
    (void)good(long_member("{\"action\":\"a\",\"actor_id\":\"", "x", LIMIT_ID_BYTES, "\"}"));
    expect(&context, long_member("{\"action\":\"a\",\"actor_id\":\"", "x", 257, "\"}"), "actor_id",
           "The actor_id field may be at most 256 bytes.");
    expect(&context, long_member("{\"actor_id\":\"a\",\"action\":\"", "x", 257, "\"}"), "action",
           "The action field may be at most 256 bytes.");
    (void)good(long_member("{" REQUIRED ",\"targets\":[{\"type\":\"x\"}", ",{\"type\":\"x\"}",
                           LIMIT_TARGETS - 1, "]}"));
    expect(&context,
           long_member("{" REQUIRED ",\"targets\":[{\"type\":\"x\"}", ",{\"type\":\"x\"}",
                       LIMIT_TARGETS, "]}"),
           "targets", "The targets field may hold at most 100 targets.");
    (void)good("{" REQUIRED ",\"occurred_at\":\"2026-03-27T14:37:18.291034Z\"}");
    (void)good("{" REQUIRED ",\"version\":-9007199254740991}");
}

static void
test_metadata_limits_are_exact(void)
{
    struct intake_context context = context_now();
    const char *list = "{" REQUIRED ",\"metadata\":{";
    for (int i = 0; i < 51; i++) {
        char key[24];
        (void)snprintf(key, sizeof key, "%s\"k%d\":1", i > 0 ? "," : "", i);
        list = long_member(list, key, 1, "");
        if (i == 49)
            (void)good(long_member(list, "}", 2, ""));
    }
    expect(&context, long_member(list, "}", 2, ""), "metadata",
           "The metadata field may hold at most 50 keys.");
    /* {"a":"…"} is eight bytes around the text. */
    const char *before = "{" REQUIRED ",\"metadata\":{\"a\":\"";
    (void)good(long_member(before, "x", LIMIT_METADATA_BYTES - 8, "\"}}"));
    (void)good(long_member(before, "\\u0001", (LIMIT_METADATA_BYTES - 8) / 6, "\"}}"));
    expect(&context, long_member(before, "x", LIMIT_METADATA_BYTES - 7, "\"}}"), "metadata",
           "The metadata field may be at most 65,536 bytes.");
    expect(&context, long_member(before, "\\u0001", (LIMIT_METADATA_BYTES - 8) / 6 + 1, "\"}}"),
           "metadata", "The metadata field may be at most 65,536 bytes.");
    (void)good(long_member("{" REQUIRED ",\"metadata\":{\"a\":", "[", 7, "1]]]]]]]}}"));
    expect(&context, long_member("{" REQUIRED ",\"metadata\":{\"a\":", "[", 8, "1]]]]]]]]}}"),
           "metadata.a[0][0][0][0][0][0][0]",
           "The metadata.a[0][0][0][0][0][0][0] field lies deeper than 8 levels.");
}

static void
test_targets_are_bounded_together(void)
{
    struct intake_context context = context_now();
    const char *piece = long_member(",{\"type\":\"x\",\"metadata\":{\"a\":\"", "y", 820, "\"}}");
    (void)good(long_member("{" REQUIRED ",\"targets\":[{\"type\":\"x\"}", piece, 78, "]}"));
    expect(&context, long_member("{" REQUIRED ",\"targets\":[{\"type\":\"x\"}", piece, 81, "]}"),
           "targets", "The targets field may hold at most 65,536 bytes of metadata together.");
    /* Characters that JSON must escape are six bytes each: one target of 1,024 is 6 KiB. */
    const char *wide = long_member(",{\"type\":\"", "\\u0001", 1024, "\"}");
    expect(&context, long_member("{" REQUIRED ",\"targets\":[{\"type\":\"x\"}", wide, 90, "]}"),
           "targets", "The targets field may be at most 524,288 bytes in all.");
}

static void
test_all_complaints_come_at_once_with_their_prefix(void)
{
    struct intake_context context = context_now();
    struct violations violations = {.arena = &arena};
    struct event event;
    struct json json = parse(STR("{\"colour\":1,\"version\":\"x\",\"metadata\":5}"));
    CHECK(!intake_read_event(&context, &json, "events[3].", &event, &violations));
    CHECK_INT((intmax_t)violations.count, 5);
    CHECK(str_equal(violations.items[4].field, STR("events[3].metadata")));
    CHECK(str_equal(violations.items[4].message, STR("The metadata field must be an object.")));
}

static void
test_replay_wants_the_time_and_takes_any(void)
{
    struct intake_context context = context_now();
    struct violations violations;
    struct event event = {0};
    context.replay = true;
    CHECK(read_text(&context, "{" REQUIRED ",\"occurred_at\":\"2099-01-01T00:00:00Z\"}", &event,
                    &violations));
    expect(&context, "{" REQUIRED "}", "occurred_at", "The occurred_at field is required.");
}

/* A name as long as a body, in an arena as small as can be: refused, and cut on a character. */
static void
test_complaints_about_monsters_stay_small_and_valid(void)
{
    struct intake_context context = context_now();
    struct violations violations;
    struct event event;
    const char *texts[] = {
        long_member("{" REQUIRED ",\"", "\xe2\x82\xac", 100000, "\":1}"),
        long_member("{" REQUIRED ",\"metadata\":{\"a", "\xe2\x82\xac", 5000, "\":1e999}}"),
        long_member("{" REQUIRED ",\"metadata\":{\"aa", "\xf0\x9f\x94\x94", 5000, "\":1e999}}"),
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        CHECK(!read_text(&context, texts[i], &event, &violations));
        CHECK(violations.items[0].field.len < 600 && violations.items[0].message.len < 600);
        CHECK(utf8_valid(violations.items[0].field) && utf8_valid(violations.items[0].message));
    }
}

static void
test_what_is_taken_can_be_stored_and_read_again(void)
{
    struct intake_context context = context_now();
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct dice dice = {seed};
        struct event event = {0}, again = {0};
        struct violations violations = {.arena = &arena};
        struct err err = {0};
        struct buffer text, stored;
        size_t offset;
        buffer_init(&text, 1 << 20);
        buffer_init(&stored, 1 << 20);
        json_open(&text, '{');
        json_put_str(&text, "actor_id", dice_text(&dice, &arena, 60));
        json_put_str(&text, "action", dice_text(&dice, &arena, 60));
        json_put_str(&text, "session_id", dice_text(&dice, &arena, 60));
        json_name(&text, "metadata");
        struct json metadata = dice_object(&dice, &arena, 5);
        json_write(&text, &metadata);
        json_close(&text, '}');
        struct json sent = parse(buffer_str(&text));
        if (CHECK(intake_read_event(&context, &sent, "", &event, &violations))) {
            event_write_stored(&stored, &event, &arena, &offset);
            struct json json = parse(buffer_str(&stored));
            CHECK(event_read_stored(&json, &arena, &again, &err));
            CHECK(str_equal(again.session_id, event.session_id));
        } else {
            printf("# %.*s\n", STR_ARG(violations.items[0].message));
        }
        buffer_fini(&text);
        buffer_fini(&stored);
        arena_reset(&arena);
    }
}

int
main(void)
{
    arena_init(&arena, 1 << 20, 1 << 28);
    parser = json_parser_new();
    RUN(test_everything_of_the_contract_is_taken);
    RUN(test_null_and_empty_are_absent);
    RUN(test_empty_lists_of_php_are_empty_objects);
    RUN(test_resource_is_a_type_or_an_object);
    RUN(test_tenant_is_found_in_the_metadata);
    RUN(test_peer_address_stands_in_for_none);
    RUN(test_user_agent_is_cut_and_not_refused);
    RUN(test_complaints_name_the_field);
    RUN(test_every_limit_is_exact);
    RUN(test_metadata_limits_are_exact);
    RUN(test_targets_are_bounded_together);
    RUN(test_all_complaints_come_at_once_with_their_prefix);
    RUN(test_replay_wants_the_time_and_takes_any);
    RUN(test_complaints_about_monsters_stay_small_and_valid);
    RUN(test_what_is_taken_can_be_stored_and_read_again);
    json_parser_free(parser);
    arena_fini(&arena);
    return tap_done();
}
