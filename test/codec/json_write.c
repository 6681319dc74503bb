#include "codec/json.h"
#include "tap.h"

#include <math.h>
#include <stdlib.h>

static struct json_parser *parser;
static struct arena arena;
static struct buffer out;

static struct str
canonical(struct str text)
{
    struct json json;
    struct err err = {0};
    arena_reset(&arena);
    buffer_clear(&out);
    if (!json_parse(parser, text, &arena, &json, &err))
        return (struct str){0};
    json_write_canonical(&out, &json, &arena);
    return buffer_str(&out);
}

/* RFC 8785, 3.2.2 and 3.2.4. */
static void
test_published_sample_becomes_canonical(void)
{
    CHECK_STR(canonical(STR(
                  "{\n"
                  "  \"numbers\": [333333333.33333329, 1E30, 4.50,\n"
                  "              2e-3, 0.000000000000000000000000001],\n"
                  "  \"string\": \"\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\\"\\/\",\n"
                  "  \"literals\": [null, true, false]\n"
                  "}")),
              STR("{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,"
                  "0.002,1e-27],\"string\":\"\xE2\x82\xAC$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}"));
}

/* RFC 8785, 3.2.3: by UTF-16 units, so that the emoji comes before the Hebrew letter. */
static void
test_published_names_sort_by_utf16_units(void)
{
    CHECK_STR(canonical(STR("{\"\\u20ac\":\"Euro Sign\",\"\\r\":\"Carriage Return\","
                            "\"\\ufb33\":\"Hebrew Letter Dalet With Dagesh\",\"1\":\"One\","
                            "\"\\ud83d\\ude00\":\"Emoji: Grinning Face\",\"\\u0080\":\"Control\","
                            "\"\\u00f6\":\"Latin Small Letter O With Diaeresis\"}")),
              STR("{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\xC2\x80\":\"Control\","
                  "\"\xC3\xB6\":\"Latin Small Letter O With Diaeresis\","
                  "\"\xE2\x82\xAC\":\"Euro Sign\",\"\xF0\x9F\x98\x80\":\"Emoji: Grinning Face\","
                  "\"\xEF\xAC\xB3\":\"Hebrew Letter Dalet With Dagesh\"}"));
}

static void
test_names_sort_below_and_by_length(void)
{
    CHECK_STR(canonical(STR("{\"b\":1,\"aa\":{\"z\":[{\"y\":1,\"x\":2}],\"\":0},\"a\":3}")),
              STR("{\"a\":3,\"aa\":{\"\":0,\"z\":[{\"x\":2,\"y\":1}]},\"b\":1}"));
}

static void
test_many_names_sort_too(void)
{
    struct buffer text, want;
    buffer_init(&text, 1 << 20);
    buffer_init(&want, 1 << 20);
    json_open(&text, '{');
    json_open(&want, '{');
    for (int i = 0; i < 1000; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%03d", i * 7919 % 1000);
        json_put_int(&text, name, 1);
        snprintf(name, sizeof name, "n%03d", i);
        json_put_int(&want, name, 1);
    }
    json_close(&text, '}');
    json_close(&want, '}');
    CHECK_STR(canonical(buffer_str(&text)), buffer_str(&want));
    buffer_fini(&text);
    buffer_fini(&want);
}

static void
test_canonical_form_is_a_fixed_point(void)
{
    static const struct str texts[] = {
        STR_INIT("{\"z\":[1e21,123456789012345680000,-0,-0.0,5e-324],\"\\u007f\":\"\\u2028\\b\"}"),
        STR_INIT("[9007199254740993,-9223372036854775808,1e-7,0.000001,100000000000000000000]"),
        STR_INIT("{\"b\":{\"d\":[],\"c\":{}},\"a\":\"\\ud834\\udd1e\"}"),
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct str once = base_copy(canonical(texts[i]));
        CHECK(once.len > 2);
        CHECK_STR(canonical(once), once);
        base_free((char *)(uintptr_t)once.ptr);
    }
}

static void
test_exact_integers_are_written_as_their_digits(void)
{
    CHECK_STR(canonical(STR("[9007199254740993,9223372036854775807,-9223372036854775808,-0]")),
              STR("[9007199254740993,9223372036854775807,-9223372036854775808,0]"));
}

static void
test_plain_writing_keeps_the_order_sent(void)
{
    struct json json;
    struct err err = {0};
    arena_reset(&arena);
    buffer_clear(&out);
    struct str text = STR("{\"b\":[1,2.5,\"x\",{}],\"a\":null,\"b\":true}");
    CHECK(json_parse(parser, text, &arena, &json, &err));
    json_write(&out, &json);
    CHECK_STR(buffer_str(&out), text);
}

static void
test_every_byte_is_escaped_as_the_rfc_says(void)
{
    for (int c = 0; c < 0x80; c++) {
        /* Long enough on both sides for the eight-byte steps to meet the byte in each place. */
        for (size_t before = 0; before < 10; before++) {
            char text[24], want[48];
            memset(text, 'x', sizeof text);
            text[before] = (char)c;
            static const char short_forms[] = "\b\t\n\f\r\"\\", letters[] = "btnfr\"\\";
            const char *found = c == 0 ? NULL : strchr(short_forms, c);
            int len;
            if (found != NULL)
                len = snprintf(want, sizeof want, "\"%.*s\\%c%.*s\"", (int)before, text,
                               letters[found - short_forms], 8, "xxxxxxxx");
            else if (c < 0x20)
                len = snprintf(want, sizeof want, "\"%.*s\\u%04x%.*s\"", (int)before, text,
                               (unsigned)c, 8, "xxxxxxxx");
            else
                len = snprintf(want, sizeof want, "\"%.*s%c%.*s\"", (int)before, text, c, 8,
                               "xxxxxxxx");
            buffer_clear(&out);
            json_write_string(&out, (struct str){text, before + 9});
            CHECK_STR(buffer_str(&out), ((struct str){want, (size_t)len}));
        }
    }
}

static void
test_string_that_does_not_fit_runs_out(void)
{
    struct buffer small;
    buffer_init(&small, 8);
    json_write_string(&small, STR("123456"));
    CHECK_STR(buffer_str(&small), STR("\"123456\""));
    CHECK(!small.ran_out);
    buffer_clear(&small);
    json_write_string(&small, STR("1234\n6"));
    CHECK(small.ran_out);
    buffer_fini(&small);
}

static void
test_sorting_without_memory_runs_out(void)
{
    struct json members_of = {.type = JSON_OBJECT, .count = 40};
    struct json_member members[40];
    char names[40];
    for (size_t i = 0; i < 40; i++) {
        names[i] = (char)('z' - i);
        members[i] = (struct json_member){{&names[i], 1}, json_of_bool(true)};
    }
    members_of.members = members;
    struct arena none;
    arena_init(&none, 0, 0);
    buffer_clear(&out);
    json_write_canonical(&out, &members_of, &none);
    CHECK(out.ran_out);
    arena_fini(&none);
}

static void
test_structures_put_their_own_commas(void)
{
    buffer_clear(&out);
    json_open(&out, '{');
    json_put_str(&out, "text", STR("a\"b"));
    json_put_str(&out, "absent", (struct str){0});
    json_put_int(&out, "int", -5);
    json_put_double(&out, "double", 0.5);
    json_put_bool(&out, "yes", true);
    json_put_null(&out, "null");
    json_put_raw(&out, "raw", STR("{\"x\":[]}"));
    json_put_raw(&out, "none", (struct str){0});
    json_put_time(&out, "time", 1774621938291034);
    json_name(&out, "list");
    json_open(&out, '[');
    json_open(&out, '{');
    json_close(&out, '}');
    json_int(&out, 1);
    json_open(&out, '[');
    json_close(&out, ']');
    json_bool(&out, false);
    json_double(&out, 1e21);
    json_null(&out);
    json_str(&out, STR(""));
    json_close(&out, ']');
    json_close(&out, '}');
    buffer_add_char(&out, '\n');
    json_int(&out, INT64_MIN);
    CHECK_STR(buffer_str(&out),
              STR("{\"text\":\"a\\\"b\",\"absent\":null,\"int\":-5,\"double\":0.5,\"yes\":true,"
                  "\"null\":null,\"raw\":{\"x\":[]},\"none\":null,"
                  "\"time\":\"2026-03-27T14:32:18.291034Z\","
                  "\"list\":[{},1,[],false,1e+21,null,\"\"]}\n-9223372036854775808"));
}

int
main(void)
{
    parser = json_parser_new();
    arena_init(&arena, 4096, 16 << 20);
    buffer_init(&out, 1 << 20);
    RUN(test_published_sample_becomes_canonical);
    RUN(test_published_names_sort_by_utf16_units);
    RUN(test_names_sort_below_and_by_length);
    RUN(test_many_names_sort_too);
    RUN(test_canonical_form_is_a_fixed_point);
    RUN(test_exact_integers_are_written_as_their_digits);
    RUN(test_plain_writing_keeps_the_order_sent);
    RUN(test_every_byte_is_escaped_as_the_rfc_says);
    RUN(test_string_that_does_not_fit_runs_out);
    RUN(test_sorting_without_memory_runs_out);
    RUN(test_structures_put_their_own_commas);
    buffer_fini(&out);
    arena_fini(&arena);
    json_parser_free(parser);
    return tap_done();
}
