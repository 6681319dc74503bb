#include "codec/json.h"
#include "tap.h"

#include <float.h>
#include <math.h>

static struct json_parser *parser;
static struct arena arena;
static struct err err;

static bool
parse(struct str text, struct json *json_out)
{
    arena_reset(&arena);
    err = (struct err){0};
    return json_parse(parser, text, &arena, json_out, &err);
}

static void
test_values_arrive_as_they_were_sent(void)
{
    struct json json;
    if (!CHECK(
            parse(STR(" {\"a\":[1,-2.5,true,false,null,\"x\\u20ac\\u0000\"],\"\":{}} \n"), &json)))
        return;
    CHECK_INT(json.type, JSON_OBJECT);
    CHECK_INT(json.count, 2);
    const struct json *a = json_get(&json, STR("a"));
    CHECK_INT(a->type, JSON_ARRAY);
    CHECK_INT(a->count, 6);
    CHECK(a->items[0].is_integer && a->items[0].integer == 1 && a->items[0].number == 1.0);
    CHECK(!a->items[1].is_integer && a->items[1].number == -2.5 && !a->items[1].out_of_range);
    CHECK(a->items[2].type == JSON_BOOL && a->items[2].truth && !a->items[3].truth);
    CHECK_INT(a->items[4].type, JSON_NULL);
    CHECK_STR(a->items[5].text, STR("x\xE2\x82\xAC\0"));
    CHECK_STR(json.members[1].name, STR(""));
    CHECK_INT(json_get(&json, STR("b"))->type, JSON_ABSENT);
    CHECK_INT(json_get(a, STR("a"))->type, JSON_ABSENT);
}

static void
test_tree_outlives_the_next_parse(void)
{
    struct json first, second;
    arena_reset(&arena);
    CHECK(json_parse(parser, STR("[\"first\"]"), &arena, &first, &err));
    CHECK(json_parse(parser, STR("[\"other\"]"), &arena, &second, &err));
    CHECK_STR(first.items[0].text, STR("first"));
}

static void
test_what_is_not_json_is_refused(void)
{
    static const struct str texts[] = {
        STR_INIT(""),
        STR_INIT("  "),
        STR_INIT("nul"),
        STR_INIT("[1,2"),
        STR_INIT("[1,]"),
        STR_INIT("{\"a\":1,}"),
        STR_INIT("{\"a\" 1}"),
        STR_INIT("{a:1}"),
        STR_INIT("{'a':1}"),
        STR_INIT("[1] x"),
        STR_INIT("1 2"),
        STR_INIT("\xEF\xBB\xBF{}"),
        STR_INIT("\"abc"),
        STR_INIT("\"a\nb\""),
        STR_INIT("\"\\q\""),
        STR_INIT("\"\\ud800\""),
        STR_INIT("\"\\udc00\""),
        STR_INIT("\"\\ud800\\u0041\""),
        STR_INIT("\"\xFF\""),
        STR_INIT("\"\xED\xA0\x80\""),
        STR_INIT("\"\xC0\x80\""),
        STR_INIT("01"),
        STR_INIT("-01"),
        STR_INIT("1."),
        STR_INIT(".5"),
        STR_INIT("+1"),
        STR_INIT("-"),
        STR_INIT("1e"),
        STR_INIT("1e+"),
        STR_INIT("0x10"),
        STR_INIT("NaN"),
        STR_INIT("Infinity"),
        STR_INIT("[1e999,01]"),
        STR_INIT("[1e999,1.]"),
        STR_INIT("[1e999 1]"),
        STR_INIT("1e999x"),
        STR_INIT("[1]\0"),
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct json json = {.count = 77};
        if (!CHECK(!parse(texts[i], &json)))
            printf("# took: %.*s\n", STR_ARG(texts[i]));
        CHECK_INT(err.code, ERR_INPUT);
        CHECK(err.text[0] != '\0');
        CHECK_INT(json.count, 77);
    }
}

static void
test_refusal_says_where_it_knows(void)
{
    struct json json;
    CHECK(!parse(STR("{\"a\":01}"), &json));
    CHECK_TEXT(err.text, "JSON: a number is malformed at byte 5");
    CHECK(!parse(STR("[\"abc\xFF\"]"), &json));
    CHECK_TEXT(err.text, "JSON: not UTF-8 at byte 5");
}

static void
test_number_too_large_is_marked_where_it_stands(void)
{
    struct json json;
    if (!CHECK(parse(STR("[1,\"1e400 \\\" 99999999999999999999\",1e400,-1e400,2.5,"
                         "99999999999999999999,-9223372036854775809,3]"),
                     &json)))
        return;
    CHECK_INT(json.count, 8);
    static const struct {
        bool out_of_range;
        double number;
    } want[] = {{false, 1},   {false, 0},   {true, DBL_MAX}, {true, -DBL_MAX},
                {false, 2.5}, {true, 1e20}, {true, -0x1p63}, {false, 3}};
    for (size_t i = 0; i < COUNT_OF(want); i++) {
        CHECK_INT(json.items[i].out_of_range, want[i].out_of_range);
        if (i != 1)
            CHECK(json.items[i].number == want[i].number);
    }
    CHECK_STR(json.items[1].text, STR("1e400 \" 99999999999999999999"));
    CHECK(!json.items[5].is_integer);
}

static void
test_integers_are_exact_and_their_bounds_known(void)
{
    struct json json;
    if (!CHECK(parse(STR("[9007199254740991,-9007199254740991,9007199254740992,"
                         "-9007199254740992,9223372036854775807,-9223372036854775808,"
                         "9223372036854775808,18446744073709551615,-0,-0.0,1.0,1e2,1e-400]"),
                     &json)))
        return;
    static const struct {
        bool is_integer, out_of_range;
        int64_t integer;
        double number;
    } want[] = {
        {true, false, 9007199254740991, 9007199254740991.0},
        {true, false, -9007199254740991, -9007199254740991.0},
        {true, true, 9007199254740992, 0x1p53},
        {true, true, -9007199254740992, -0x1p53},
        {true, true, INT64_MAX, 0x1p63},
        {true, true, INT64_MIN, -0x1p63},
        {false, true, 0, 0x1p63},
        {false, true, 0, 0x1p64},
        {true, false, 0, 0},
        {false, false, 0, 0},
        {false, false, 0, 1},
        {false, false, 0, 100},
        {false, false, 0, 0},
    };
    for (size_t i = 0; i < COUNT_OF(want); i++) {
        const struct json *item = &json.items[i];
        CHECK_INT(item->is_integer, want[i].is_integer);
        CHECK_INT(item->out_of_range, want[i].out_of_range);
        CHECK(item->number == want[i].number);
        if (want[i].is_integer)
            CHECK_INT(item->integer, want[i].integer);
    }
}

/* Brackets `depth` deep, with `inside` in the innermost. */
static bool
parse_nested(size_t depth, const char *inside, struct json *json_out)
{
    char text[400] = "";
    memset(text, '[', depth);
    memcpy(text + depth, inside, strlen(inside));
    memset(text + depth + strlen(inside), ']', depth);
    return parse((struct str){text, 2 * depth + strlen(inside)}, json_out);
}

static void
test_depth_ends_at_its_bound(void)
{
    struct json json;
    CHECK(parse_nested(JSON_DEPTH_MAX, "", &json));
    CHECK_INT((intmax_t)json_depth(&json), JSON_DEPTH_MAX);
    CHECK(parse_nested(JSON_DEPTH_MAX, "1", &json));
    static const char *const insides[] = {"", "1", "{}", "\"x\""};
    for (size_t i = 0; i < COUNT_OF(insides); i++) {
        CHECK(!parse_nested(JSON_DEPTH_MAX + 1, insides[i], &json));
        CHECK_INT(err.code, ERR_INPUT);
        CHECK_TEXT(err.text, "JSON: nested deeper than 64");
    }
    CHECK(!parse_nested(190, "", &json));
    CHECK(!parse_nested(JSON_DEPTH_MAX, "{}", &json));
}

static void
test_depth_counts_levels(void)
{
    struct json json;
    CHECK(parse(STR("1"), &json));
    CHECK_INT((intmax_t)json_depth(&json), 1);
    CHECK(parse(STR("{}"), &json));
    CHECK_INT((intmax_t)json_depth(&json), 1);
    CHECK(parse(STR("{\"a\":1,\"b\":[{}],\"c\":2}"), &json));
    CHECK_INT((intmax_t)json_depth(&json), 3);
}

static void
test_small_arena_is_a_limit_not_a_crash(void)
{
    struct str text = STR("{\"a\":[1,2,3,{\"b\":\"some text\"}],\"c\":\"more text\"}");
    for (size_t limit = 0; limit < 4096; limit += 8) {
        struct arena small;
        struct json json;
        arena_init(&small, 64, limit);
        bool parsed = json_parse(parser, text, &small, &json, &err);
        if (!parsed)
            CHECK_INT(err.code, ERR_LIMIT);
        arena_fini(&small);
        if (parsed)
            return;
    }
    CHECK(false);
}

static void
test_text_beyond_the_kept_parser(void)
{
    enum { ITEMS = 200000 };
    struct buffer buffer;
    buffer_init(&buffer, 16 << 20);
    buffer_add_char(&buffer, '[');
    for (int i = 0; i < ITEMS; i++)
        buffer_printf(&buffer, "%s\"n%d\"", i == 0 ? "" : ",", i);
    buffer_add_char(&buffer, ']');
    CHECK(buffer.len > 1 << 20);
    struct json json;
    if (CHECK(parse(buffer_str(&buffer), &json))) {
        CHECK_INT(json.count, ITEMS);
        CHECK_STR(json.items[ITEMS - 1].text, STR("n199999"));
    }
    buffer.ptr[buffer.len - 1] = ' ';
    CHECK(!parse(buffer_str(&buffer), &json));
    CHECK(parse(STR("[1]"), &json));
    buffer_fini(&buffer);
}

static void
test_first_duplicate_name_is_found_in_small_and_large_objects(void)
{
    struct json json;
    CHECK(parse(STR("{\"a\":1,\"b\":{\"x\":1,\"x\":2},\"c\":3}"), &json));
    CHECK(json_duplicate(&json).ptr == NULL);
    CHECK_STR(json_duplicate(json_get(&json, STR("b"))), STR("x"));
    CHECK(parse(STR("{\"a\":1,\"b\":2,\"b\":3,\"a\":4}"), &json));
    CHECK_STR(json_duplicate(&json), STR("b"));
    CHECK(json_get(&json, STR("a"))->integer == 1);
    CHECK(parse(STR("{\"a\":1,\"\\u0061\":2}"), &json));
    CHECK_STR(json_duplicate(&json), STR("a"));

    struct buffer buffer;
    buffer_init(&buffer, 1 << 20);
    for (int twice = 0; twice < 2; twice++) {
        buffer_clear(&buffer);
        json_open(&buffer, '{');
        for (int i = 0; i < 5000; i++) {
            char name[16];
            snprintf(name, sizeof name, "name%d", i);
            json_put_int(&buffer, name, i);
        }
        if (twice)
            json_put_int(&buffer, "name7", 7);
        json_close(&buffer, '}');
        CHECK(parse(buffer_str(&buffer), &json));
        CHECK_STR(json_duplicate(&json), twice ? STR("name7") : STR(""));
    }
    buffer_fini(&buffer);
}

int
main(void)
{
    parser = json_parser_new();
    arena_init(&arena, 4096, 64 << 20);
    RUN(test_values_arrive_as_they_were_sent);
    RUN(test_tree_outlives_the_next_parse);
    RUN(test_what_is_not_json_is_refused);
    RUN(test_refusal_says_where_it_knows);
    RUN(test_number_too_large_is_marked_where_it_stands);
    RUN(test_integers_are_exact_and_their_bounds_known);
    RUN(test_depth_ends_at_its_bound);
    RUN(test_depth_counts_levels);
    RUN(test_small_arena_is_a_limit_not_a_crash);
    RUN(test_text_beyond_the_kept_parser);
    RUN(test_first_duplicate_name_is_found_in_small_and_large_objects);
    arena_fini(&arena);
    json_parser_free(parser);
    return tap_done();
}
