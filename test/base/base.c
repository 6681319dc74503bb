#include "base/base.h"
#include "tap.h"

static void
test_strings_compare_by_bytes(void)
{
    CHECK(str_equal(STR("a\0b"), STR("a\0b")));
    CHECK(!str_equal(STR("a\0b"), STR("a\0c")));
    CHECK(str_equal((struct str){0}, STR("")));
    CHECK(str_compare(STR("ab"), STR("abc")) < 0);
    CHECK(str_compare(STR("abc"), STR("ab")) > 0);
    CHECK(str_compare(STR("\xFF"), STR("a")) > 0);
    CHECK_INT(str_compare(STR("x"), STR("x")), 0);
    CHECK(str_starts(STR("abc"), STR("ab")) && str_starts(STR("abc"), STR("")));
    CHECK(!str_starts(STR("a"), STR("ab")));
    CHECK(str_from(NULL).ptr == NULL);
    CHECK_STR(str_from("abc"), STR("abc"));
}

static void
test_split_tells_an_empty_rest_from_none(void)
{
    struct str rest = STR("a,,b,");
    CHECK_STR(str_split(&rest, ','), STR("a"));
    CHECK_STR(str_split(&rest, ','), STR(""));
    CHECK_STR(str_split(&rest, ','), STR("b"));
    CHECK(rest.ptr != NULL && rest.len == 0);
    CHECK_STR(str_split(&rest, ','), STR(""));
    CHECK(rest.ptr == NULL);
}

static void
test_numbers_are_digits_and_nothing_else(void)
{
    static const struct {
        struct str text;
        bool good;
        int64_t number;
    } cases[] = {
        {STR_INIT("0"), true, 0},
        {STR_INIT("-0"), true, 0},
        {STR_INIT("007"), true, 7},
        {STR_INIT("9223372036854775807"), true, INT64_MAX},
        {STR_INIT("-9223372036854775808"), true, INT64_MIN},
        {STR_INIT("9223372036854775808"), false, 0},
        {STR_INIT("-9223372036854775809"), false, 0},
        {STR_INIT("00000000000000000001"), false, 0},
        {STR_INIT(""), false, 0},
        {STR_INIT("-"), false, 0},
        {STR_INIT("+1"), false, 0},
        {STR_INIT(" 1"), false, 0},
        {STR_INIT("1 "), false, 0},
        {STR_INIT("1e3"), false, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int64_t number = 99;
        CHECK_INT(str_to_int(cases[i].text, &number), cases[i].good);
        CHECK_INT(number, cases[i].good ? cases[i].number : 99);
    }
}

static void
test_error_sentence_grows_outward(void)
{
    struct err err = {0};
    CHECK(!err_set(&err, ERR_IO, "write at %d", 4096));
    CHECK(!err_prefix(&err, "log: segment %d", 7));
    CHECK_TEXT(err.text, "log: segment 7: write at 4096");
    CHECK_INT(err.code, ERR_IO);
}

static void
test_error_sentence_is_cut_not_overrun(void)
{
    char longest[sizeof((struct err){0}.text) * 2];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    struct err err = {0};
    err_set(&err, ERR_INPUT, "%s", longest);
    err_prefix(&err, "outer");
    CHECK(strncmp(err.text, "outer: xxx", 10) == 0);
    CHECK_INT((intmax_t)strlen(err.text), sizeof err.text - 1);
    err_prefix(&err, "%s", longest);
    CHECK_INT((intmax_t)strlen(err.text), sizeof err.text - 1);
}

static void
test_heap_copies_keep_absence(void)
{
    CHECK(base_copy((struct str){0}).ptr == NULL);
    struct str copy = base_copy(STR("abc"));
    CHECK_STR(copy, STR("abc"));
    base_free((char *)(uintptr_t)copy.ptr);
    char *nothing = base_alloc(0, 8);
    CHECK(nothing != NULL);
    base_free(nothing);
}

int
main(void)
{
    RUN(test_strings_compare_by_bytes);
    RUN(test_split_tells_an_empty_rest_from_none);
    RUN(test_numbers_are_digits_and_nothing_else);
    RUN(test_error_sentence_grows_outward);
    RUN(test_error_sentence_is_cut_not_overrun);
    RUN(test_heap_copies_keep_absence);
    return tap_done();
}
