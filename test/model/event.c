/* What is promised of the written forms of an event. */
#include "tap.h"

#include "codec/text.h"
#include "codec/time.h"
#include "support/event_maker.h"

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

static struct str
stored_form(struct buffer *out, const struct event *event)
{
    size_t offset;
    size_t start = out->len;
    event_write_stored(out, event, &arena, &offset);
    return (struct str){out->ptr + start, out->len - start};
}

static void
test_stored_form_is_canonical_json(void)
{
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct dice dice = {seed};
        struct event event = dice_event(&dice, &arena);
        struct buffer stored, canonical;
        buffer_init(&stored, 1 << 20);
        buffer_init(&canonical, 1 << 20);
        struct str text = stored_form(&stored, &event);
        struct json json = parse(text);
        json_write_canonical(&canonical, &json, &arena);
        CHECK(str_equal(text, buffer_str(&canonical)));
        buffer_fini(&stored);
        buffer_fini(&canonical);
        arena_reset(&arena);
    }
}

static bool
same_list(const struct event_network *a, const struct event_network *b)
{
    bool same = a->list_count == b->list_count;
    for (size_t i = 0; same && i < a->list_count; i++)
        same = str_equal(a->lists[i], b->lists[i]);
    return same;
}

static bool
same_json(const struct json *a, const struct json *b)
{
    struct buffer left, right;
    buffer_init(&left, 1 << 20);
    buffer_init(&right, 1 << 20);
    json_write_canonical(&left, a, &arena);
    json_write_canonical(&right, b, &arena);
    bool same = a->type == b->type && str_equal(buffer_str(&left), buffer_str(&right));
    buffer_fini(&left);
    buffer_fini(&right);
    return same;
}

static bool
same_strings(const struct event *a, const struct event *b)
{
    const struct {
        struct str left, right;
    } pairs[] = {
        {a->id, b->id},
        {a->actor_id, b->actor_id},
        {a->actor_name, b->actor_name},
        {a->actor_type, b->actor_type},
        {a->action, b->action},
        {a->action_category, b->action_category},
        {a->resource_type, b->resource_type},
        {a->resource_id, b->resource_id},
        {a->resource_name, b->resource_name},
        {a->tenant_id, b->tenant_id},
        {a->session_id, b->session_id},
        {a->idempotency_key, b->idempotency_key},
        {a->ip_address, b->ip_address},
        {a->user_agent, b->user_agent},
        {a->location.country, b->location.country},
        {a->location.city, b->location.city},
        {a->location.region, b->location.region},
        {a->location.postal_code, b->location.postal_code},
        {a->location.time_zone, b->location.time_zone},
        {a->network.org, b->network.org},
        {a->network.name, b->network.name},
        {a->device.browser, b->device.browser},
        {a->device.os, b->device.os},
        {a->device.type, b->device.type},
        {a->device.browser_version, b->device.browser_version},
        {a->device.os_version, b->device.os_version},
        {a->source.kind, b->source.kind},
        {a->source.sha256, b->source.sha256},
    };
    for (size_t i = 0; i < COUNT_OF(pairs); i++) {
        if (!str_equal(pairs[i].left, pairs[i].right) ||
            (pairs[i].left.ptr == NULL) != (pairs[i].right.ptr == NULL)) {
            printf("# string %zu differs\n", i);
            return false;
        }
    }
    return true;
}

static bool
same_event(const struct event *a, const struct event *b)
{
    return same_strings(a, b) && same_json(&a->metadata, &b->metadata) &&
           same_json(&a->targets, &b->targets) && a->has_version == b->has_version &&
           a->version == b->version && a->has_address == b->has_address &&
           memcmp(&a->address.bytes, &b->address.bytes, sizeof a->address.bytes) == 0 &&
           a->location.known == b->location.known &&
           a->location.has_point == b->location.has_point &&
           memcmp(&a->location.latitude, &b->location.latitude, sizeof(double)) == 0 &&
           memcmp(&a->location.longitude, &b->location.longitude, sizeof(double)) == 0 &&
           a->network.known == b->network.known && a->network.asn == b->network.asn &&
           same_list(&a->network, &b->network) && a->device.known == b->device.known &&
           a->occurred_at == b->occurred_at && a->created_at == b->created_at;
}

static void
test_reading_gives_back_what_was_written(void)
{
    for (uint64_t seed = 1; seed <= 500; seed++) {
        struct dice dice = {seed};
        struct event event = dice_event(&dice, &arena), again;
        struct buffer out, out_again;
        struct err err = {0};
        event.created_at = (int64_t)(dice_roll(&dice) >> 13);
        buffer_init(&out, 1 << 20);
        buffer_init(&out_again, 1 << 20);
        struct str stored = stored_form(&out, &event);
        struct json json = parse(stored);
        if (CHECK(event_read_stored(&json, &arena, &again, &err))) {
            CHECK(same_event(&event, &again));
            CHECK(str_equal(stored_form(&out_again, &again), stored));
        } else {
            printf("# %s: %.*s\n", err.text, STR_ARG(stored));
        }
        buffer_fini(&out);
        buffer_fini(&out_again);
        arena_reset(&arena);
    }
}

/* Whoever has an export can check it: what reads add is taken away, and the stored bytes remain. */
static void
test_answered_form_less_its_additions_is_the_stored_form(void)
{
    static const char *const added[] = {"integrity", "actor", "resource_id", "resource_name"};
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct dice dice = {seed};
        struct event event = dice_event(&dice, &arena);
        struct event_integrity integrity = {0};
        struct buffer stored, answered, left;
        buffer_init(&stored, 1 << 20);
        buffer_init(&answered, 1 << 20);
        buffer_init(&left, 1 << 20);
        json_open(&answered, '{');
        event_write_members(&answered, &event, &integrity);
        json_close(&answered, '}');
        struct json json = parse(buffer_str(&answered));
        struct json_member *members = arena_array(&arena, json.count, struct json_member);
        uint32_t count = 0;
        for (uint32_t i = 0; i < json.count; i++) {
            bool keep = json.members[i].value.type != JSON_NULL;
            for (size_t k = 0; k < COUNT_OF(added); k++)
                keep = keep && !str_equal(json.members[i].name, str_from(added[k]));
            if (keep)
                members[count++] = json.members[i];
        }
        json.members = members;
        json.count = count;
        json_write_canonical(&left, &json, &arena);
        CHECK(str_equal(buffer_str(&left), stored_form(&stored, &event)));
        buffer_fini(&stored);
        buffer_fini(&answered);
        buffer_fini(&left);
        arena_reset(&arena);
    }
}

static struct event
small_event(void)
{
    return (struct event){
        .id = STR("evt_9f3a2c1d-4b5e-7f7a-8b9c-0d1e2f3a4b5c"),
        .actor_id = STR("user_5a3c8f"),
        .action = STR("auth.login"),
        .occurred_at = 1774621938291034,
    };
}

static void
test_stored_form_leaves_out_what_is_absent(void)
{
    struct event event = small_event();
    struct buffer out;
    buffer_init(&out, 4096);
    struct str stored = stored_form(&out, &event);
    buffer_add_char(&out, '\0');
    CHECK_TEXT(stored.ptr,
               "{\"action\":\"auth.login\",\"actor_id\":\"user_5a3c8f\","
               "\"created_at\":\"1970-01-01T00:00:00.000000Z\","
               "\"id\":\"evt_9f3a2c1d-4b5e-7f7a-8b9c-0d1e2f3a4b5c\","
               "\"occurred_at\":\"2026-03-27T14:32:18.291034Z\","
               "\"resource\":{\"id\":null,\"name\":null,\"type\":null},\"targets\":[]}");
    buffer_fini(&out);
}

static void
test_answered_form_names_every_member(void)
{
    struct event event = small_event();
    struct buffer out;
    buffer_init(&out, 4096);
    event_write_members(&out, &event, NULL);
    buffer_add_char(&out, '\0');
    CHECK_TEXT(out.ptr,
               "\"id\":\"evt_9f3a2c1d-4b5e-7f7a-8b9c-0d1e2f3a4b5c\",\"actor_id\":\"user_5a3c8f\","
               "\"actor_name\":null,\"actor_type\":null,"
               "\"actor\":{\"id\":\"user_5a3c8f\",\"name\":null,\"type\":null},"
               "\"action\":\"auth.login\",\"action_category\":null,"
               "\"resource\":{\"id\":null,\"name\":null,\"type\":null},\"resource_id\":null,"
               "\"resource_name\":null,\"targets\":[],\"metadata\":null,\"tenant_id\":null,"
               "\"session_id\":null,\"idempotency_key\":null,\"version\":null,"
               "\"ip_address\":null,\"ip_country\":null,\"ip_city\":null,\"user_agent\":null,"
               "\"location\":null,\"network\":null,\"device\":null,\"source\":null,"
               "\"integrity\":null,\"occurred_at\":\"2026-03-27T14:32:18.291034Z\","
               "\"created_at\":\"1970-01-01T00:00:00.000000Z\"");
    buffer_fini(&out);
}

static void
test_created_at_can_be_filled_in_at_its_offset(void)
{
    struct event event = small_event();
    struct buffer out;
    size_t offset;
    buffer_init(&out, 4096);
    buffer_add(&out, STR("before"));
    event_write_stored(&out, &event, &arena, &offset);
    time_format(event.occurred_at, out.ptr + 6 + offset);
    struct str filled = {out.ptr + 6, out.len - 6};
    struct json json = parse(filled);
    struct event again;
    struct err err = {0};
    CHECK(event_read_stored(&json, &arena, &again, &err));
    CHECK_INT(again.created_at, event.occurred_at);
    buffer_fini(&out);
}

static void
test_export_of_the_answered_form_is_read_too(void)
{
    struct event event = small_event(), again;
    struct err err = {0};
    event.resource_type = STR("account");
    event.resource_id = STR("acc_1");
    struct buffer out, stored, stored_again;
    buffer_init(&out, 4096);
    buffer_init(&stored, 4096);
    buffer_init(&stored_again, 4096);
    json_open(&out, '{');
    event_write_members(&out, &event, &(struct event_integrity){0});
    json_put_str(&out, "status", STR("stored"));
    json_close(&out, '}');
    struct json json = parse(buffer_str(&out));
    if (CHECK(event_read_stored(&json, &arena, &again, &err)))
        CHECK(str_equal(stored_form(&stored, &event), stored_form(&stored_again, &again)));
    buffer_fini(&out);
    buffer_fini(&stored);
    buffer_fini(&stored_again);
}

static void
test_what_is_no_stored_event_is_refused(void)
{
    static const char *const bad[] = {
        "[]",
        "{}",
        "{\"id\":\"evt_1\",\"action\":\"a\"}",
        "{\"id\":\"evt_1\",\"action\":\"a\",\"actor_id\":1}",
        "{\"id\":\"evt_1\",\"action\":\"a\",\"actor_id\":\"b\",\"created_at\":\"yesterday\"}",
        "{\"id\":\"evt_1\",\"action\":\"a\",\"actor_id\":\"b\",\"colour\":\"red\"}",
        "{\"id\":\"evt_1\",\"action\":\"a\",\"actor_id\":\"b\",\"location\":[]}",
        "{\"id\":\"evt_1\",\"action\":\"a\",\"actor_id\":\"b\",\"network\":{\"lists\":[1]}}",
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct event event;
        struct err err = {0};
        struct json json = parse(str_from(bad[i]));
        if (!CHECK(!event_read_stored(&json, &arena, &event, &err)))
            printf("# %s\n", bad[i]);
        CHECK_INT(err.code, ERR_CORRUPT);
    }
}

/* Ten lines of Python over the bytes say the same. */
static void
test_chain_is_sha256_of_previous_and_stored(void)
{
    unsigned char start[SHA256_SIZE], next[SHA256_SIZE];
    char hex[2 * SHA256_SIZE + 1] = {0};
    struct sha256 *sha = sha256_new();
    event_chain_start(STR("ws_0a1b2c3d"), start);
    hex_encode(start, sizeof start, hex);
    CHECK_TEXT(hex, "a80399754f5ac2429dfd7444125028f5fc80d99c6e596db36b99e86b2983629f");
    event_hash(sha, start, STR("{\"action\":\"auth.login\"}"), next);
    hex_encode(next, sizeof next, hex);
    CHECK_TEXT(hex, "0d1d965b03a83175c1e193c7c5887cb6a7c6ff207fba026b7669c1e068c95a2b");
    sha256_free(sha);
}

int
main(void)
{
    arena_init(&arena, 1 << 16, 1 << 26);
    parser = json_parser_new();
    RUN(test_stored_form_is_canonical_json);
    RUN(test_reading_gives_back_what_was_written);
    RUN(test_answered_form_less_its_additions_is_the_stored_form);
    RUN(test_stored_form_leaves_out_what_is_absent);
    RUN(test_answered_form_names_every_member);
    RUN(test_created_at_can_be_filled_in_at_its_offset);
    RUN(test_export_of_the_answered_form_is_read_too);
    RUN(test_what_is_no_stored_event_is_refused);
    RUN(test_chain_is_sha256_of_previous_and_stored);
    json_parser_free(parser);
    arena_fini(&arena);
    return tap_done();
}
