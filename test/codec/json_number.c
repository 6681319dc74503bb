#include "codec/json.h"
#include "tap.h"

#include <math.h>
#include <stdlib.h>

static double
double_of(uint64_t bits)
{
    double number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

/* RFC 8785, appendix B, but for its two that are no numbers. */
static void
test_published_numbers(void)
{
    static const struct {
        uint64_t bits;
        const char *text;
    } rows[] = {
        {0x0000000000000000, "0"},
        {0x8000000000000000, "0"},
        {0x0000000000000001, "5e-324"},
        {0x8000000000000001, "-5e-324"},
        {0x7fefffffffffffff, "1.7976931348623157e+308"},
        {0xffefffffffffffff, "-1.7976931348623157e+308"},
        {0x4340000000000000, "9007199254740992"},
        {0xc340000000000000, "-9007199254740992"},
        {0x4430000000000000, "295147905179352830000"},
        {0x44b52d02c7e14af5, "9.999999999999997e+22"},
        {0x44b52d02c7e14af6, "1e+23"},
        {0x44b52d02c7e14af7, "1.0000000000000001e+23"},
        {0x444b1ae4d6e2ef4e, "999999999999999700000"},
        {0x444b1ae4d6e2ef4f, "999999999999999900000"},
        {0x444b1ae4d6e2ef50, "1e+21"},
        {0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7"},
        {0x3eb0c6f7a0b5ed8d, "0.000001"},
        {0x41b3de4355555553, "333333333.3333332"},
        {0x41b3de4355555554, "333333333.33333325"},
        {0x41b3de4355555555, "333333333.3333333"},
        {0x41b3de4355555556, "333333333.3333334"},
        {0x41b3de4355555557, "333333333.33333343"},
        {0xbecbf647612f3696, "-0.0000033333333333333333"},
        {0x43143ff3c1cb0959, "1424953923781206.2"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char text[JSON_NUMBER_SIZE];
        size_t len = json_format_number(double_of(rows[i].bits), text);
        CHECK_STR(((struct str){text, len}), str_from(rows[i].text));
    }
}

static void
test_layout_turns_where_ecmascript_turns(void)
{
    static const struct {
        double number;
        const char *text;
    } rows[] = {
        {1, "1"},
        {-1, "-1"},
        {0.1, "0.1"},
        {10, "10"},
        {123456, "123456"},
        {1.5, "1.5"},
        {9007199254740991.0, "9007199254740991"},
        {1e20, "100000000000000000000"},
        {1.2e21, "1.2e+21"},
        {1e21, "1e+21"},
        {1e-6, "0.000001"},
        {1.25e-6, "0.00000125"},
        {1e-7, "1e-7"},
        {1.25e-7, "1.25e-7"},
        {1e100, "1e+100"},
        {123456789.125, "123456789.125"},
        {2.2250738585072014e-308, "2.2250738585072014e-308"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char text[JSON_NUMBER_SIZE];
        size_t len = json_format_number(rows[i].number, text);
        CHECK_STR(((struct str){text, len}), str_from(rows[i].text));
    }
}

static void
test_any_double_reads_back_as_itself_and_no_shorter_form_does(void)
{
    uint64_t state = 1;
    for (int i = 0; i < 20000; i++) {
        state = state * 6364136223846793005 + 1442695040888963407;
        uint64_t mixed = state ^ state >> 29;
        /* Every other one small, where people's numbers are. */
        double number = i % 2 == 0 ? double_of(mixed) : (double)(int64_t)(mixed >> 30) / 1000.0;
        if (!isfinite(number))
            continue;
        char text[JSON_NUMBER_SIZE + 1], shorter[64];
        size_t len = json_format_number(number, text);
        if (!CHECK(len <= JSON_NUMBER_SIZE - 1))
            return;
        text[len] = '\0';
        CHECK(strtod(text, NULL) == number);
        int digits = 0;
        for (const char *at = text; *at != '\0' && *at != 'e'; at++)
            digits += *at >= (digits == 0 ? '1' : '0') && *at <= '9';
        for (const char *at = text + strcspn(text, "e") - 1; *at == '0' && digits > 1; at--)
            digits--;
        snprintf(shorter, sizeof shorter, "%.*e", digits - 2 < 0 ? 0 : digits - 2, number);
        if (digits > 1 && !CHECK(strtod(shorter, NULL) != number))
            printf("# %s, but %s\n", text, shorter);
    }
}

int
main(void)
{
    RUN(test_published_numbers);
    RUN(test_layout_turns_where_ecmascript_turns);
    RUN(test_any_double_reads_back_as_itself_and_no_shorter_form_does);
    return tap_done();
}
