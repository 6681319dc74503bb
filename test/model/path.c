/* What is promised of fields by path. */
#include "tap.h"

#include "model/event.h"

static struct arena arena;
static struct json_parser *parser;

static const char sample[] =
    "{\"id\":\"evt_1\",\"action\":\"auth.login\",\"actor_id\":\"u1\",\"actor_type\":\"user\","
    "\"created_at\":\"2026-03-27T14:32:18.291034Z\",\"occurred_at\":\"2026-03-27T14:32:17Z\","
    "\"device\":{\"browser\":\"Chrome\",\"os\":\"macOS\",\"type\":null},"
    "\"ip_country\":\"US\",\"location\":{\"country\":\"US\",\"latitude\":37.5,\"longitude\":-122},"
    "\"network\":{\"asn\":64500,\"lists\":[\"tor\",\"vpn\"],\"name\":null,\"org\":\"Example\"},"
    "\"resource\":{\"type\":\"account\",\"id\":\"acc_1\",\"name\":null},\"version\":3,"
    "\"metadata\":{\"mfa\":true,\"n\":1.5,\"empty\":\"\",\"none\":null,\"deep\":{\"a\":[{\"b\":1},"
    "{\"b\":[2,\"three\"]},{\"c\":4}]},\"tags\":[\"x\",null,\"\",[\"y\"]]},"
    "\"targets\":[{\"type\":\"doc\",\"id\":\"d1\",\"metadata\":{\"k\":1}},{\"type\":\"user\"}]}";

static struct event
sample_event(void)
{
    struct json json = {0};
    struct event event = {0};
    struct err err = {0};
    if (!CHECK(json_parse(parser, STR(sample), &arena, &json, &err)) ||
        !CHECK(event_read_stored(&json, &arena, &event, &err)))
        printf("# %s\n", err.text);
    return event;
}

static bool
collect(void *self, const struct json *value)
{
    struct buffer *out = self;
    if (out->len > 0)
        buffer_add_char(out, ' ');
    struct buffer one;
    buffer_init(&one, 4096);
    json_write(&one, value);
    buffer_add(out, buffer_str(&one));
    buffer_fini(&one);
    return true;
}

static void
test_path_shows_every_value_at_it(void)
{
    static const struct {
        const char *path, *values;
    } rows[] = {
        {"action", "\"auth.login\""},
        {"actor_type", "\"user\""},
        {"actor_name", ""},
        {"actor.id", "\"u1\""},
        {"actor", "{\"id\":\"u1\",\"type\":\"user\"}"},
        {"resource", "\"account\""},
        {"resource.type", "\"account\""},
        {"resource_id", "\"acc_1\""},
        {"version", "3"},
        {"ip_country", "\"US\""},
        {"ip_city", ""},
        {"location.latitude", "37.5"},
        {"location", "{\"country\":\"US\",\"latitude\":37.5,\"longitude\":-122}"},
        {"network.asn", "64500"},
        {"network.lists", "\"tor\" \"vpn\""},
        {"device.os", "\"macOS\""},
        {"device.type", ""},
        {"device", "{\"browser\":\"Chrome\",\"os\":\"macOS\"}"},
        {"source", ""},
        {"source.kind", ""},
        {"occurred_at", "\"2026-03-27T14:32:17.000000Z\""},
        {"metadata.mfa", "true"},
        {"metadata.n", "1.5"},
        {"metadata.empty", ""},
        {"metadata.none", ""},
        {"metadata.nowhere", ""},
        {"metadata.mfa.below", ""},
        {"metadata.deep.a.b", "1 2 \"three\""},
        {"metadata.tags", "\"x\" \"y\""},
        {"targets.type", "\"doc\" \"user\""},
        {"targets.id", "\"d1\""},
        {"targets.metadata.k", "1"},
        {"targets.metadata", "{\"k\":1}"},
    };
    struct event event = sample_event();
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct event_path path;
        struct buffer out;
        buffer_init(&out, 4096);
        if (CHECK(event_path_parse(str_from(rows[i].path), &path)))
            event_path_each(&event, &path, collect, &out);
        buffer_add_char(&out, '\0');
        if (strcmp(out.ptr, rows[i].values) != 0)
            printf("# %s\n", rows[i].path);
        CHECK_TEXT(out.ptr, rows[i].values);
        buffer_fini(&out);
    }
}

static void
test_fields_that_a_replay_cannot_give_are_refused(void)
{
    static const char *const bad[] = {
        "",
        "id",
        "created_at",
        "integrity",
        "integrity.event_hash",
        "colour",
        "metadata.",
        "metadata..a",
        "targets.colour",
        "targets.type.x",
        "device.",
        "device.cpu",
        "metadata.1.2.3.4.5.6.7.8.9",
        "action.x",
        ".metadata",
        "occurred_at.x",
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct event_path path;
        if (!CHECK(!event_path_parse(str_from(bad[i]), &path)))
            printf("# %s\n", bad[i]);
    }
}

static bool
count_and_stop(void *self, const struct json *value)
{
    (void)value;
    ++*(int *)self;
    return false;
}

static void
test_each_stops_when_told(void)
{
    static const char *const paths[] = {"metadata.deep.a.b", "network.lists", "targets.type"};
    struct event event = sample_event();
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        struct event_path path;
        int calls = 0;
        CHECK(event_path_parse(str_from(paths[i]), &path));
        event_path_each(&event, &path, count_and_stop, &calls);
        CHECK_INT(calls, 1);
    }
}

static void
test_scalar_is_the_first_one(void)
{
    struct event event = sample_event();
    struct event_path path;
    CHECK(event_path_parse(STR("metadata.deep.a.b"), &path));
    CHECK(event_path_scalar(&event, &path).type == JSON_NUMBER);
    CHECK(event_path_parse(STR("metadata.deep"), &path));
    CHECK(event_path_scalar(&event, &path).type == JSON_ABSENT);
    CHECK(event_path_parse(STR("metadata.tags"), &path));
    CHECK(str_equal(event_path_scalar(&event, &path).text, STR("x")));
    CHECK(event_path_parse(STR("occurred_at"), &path));
    CHECK_INT(event_path_scalar(&event, &path).integer, event.occurred_at);
}

int
main(void)
{
    arena_init(&arena, 1 << 16, 1 << 24);
    parser = json_parser_new();
    RUN(test_path_shows_every_value_at_it);
    RUN(test_fields_that_a_replay_cannot_give_are_refused);
    RUN(test_each_stops_when_told);
    RUN(test_scalar_is_the_first_one);
    json_parser_free(parser);
    arena_fini(&arena);
    return tap_done();
}
