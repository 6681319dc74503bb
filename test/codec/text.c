#include "codec/text.h"
#include "tap.h"

static void
test_hex_reads_what_it_wrote(void)
{
    unsigned char bytes[256], back[256];
    char text[512];
    for (size_t i = 0; i < 256; i++)
        bytes[i] = (unsigned char)i;
    hex_encode(bytes, sizeof bytes, text);
    CHECK_STR(((struct str){text + 2 * 0x9f, 4}), STR("9fa0"));
    CHECK(hex_decode((struct str){text, sizeof text}, back, sizeof back));
    CHECK(memcmp(bytes, back, sizeof bytes) == 0);
    CHECK(hex_decode(STR("aBCd"), back, 2) && back[0] == 0xAB && back[1] == 0xCD);
    back[0] = 77;
    CHECK(!hex_decode(STR("ab"), back, 2) && !hex_decode(STR("abc"), back, 1));
    CHECK(!hex_decode(STR("0g"), back, 1) && !hex_decode(STR(" 1"), back, 1));
    CHECK(!hex_decode(STR("ab0g"), back, 2) && back[0] == 77);
    CHECK(hex_decode(STR(""), back, 0));
}

/* RFC 4648, section 10. */
static void
test_base64_published_vectors(void)
{
    static const struct {
        struct str plain, coded, url;
    } rows[] = {
        {STR_INIT(""), STR_INIT(""), STR_INIT("")},
        {STR_INIT("f"), STR_INIT("Zg=="), STR_INIT("Zg")},
        {STR_INIT("fo"), STR_INIT("Zm8="), STR_INIT("Zm8")},
        {STR_INIT("foo"), STR_INIT("Zm9v"), STR_INIT("Zm9v")},
        {STR_INIT("foob"), STR_INIT("Zm9vYg=="), STR_INIT("Zm9vYg")},
        {STR_INIT("fooba"), STR_INIT("Zm9vYmE="), STR_INIT("Zm9vYmE")},
        {STR_INIT("foobar"), STR_INIT("Zm9vYmFy"), STR_INIT("Zm9vYmFy")},
        {STR_INIT("\xFB\xEF\xFF"), STR_INIT("++//"), STR_INIT("--__")},
    };
    struct buffer buffer;
    buffer_init(&buffer, 64);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        for (int url = 0; url < 2; url++) {
            struct str coded = url ? rows[i].url : rows[i].coded;
            buffer_clear(&buffer);
            base64_encode(&buffer, rows[i].plain, url);
            CHECK_STR(buffer_str(&buffer), coded);
            buffer_clear(&buffer);
            CHECK(base64_decode(&buffer, coded, url));
            CHECK_STR(buffer_str(&buffer), rows[i].plain);
        }
    }
    buffer_fini(&buffer);
}

static void
test_base64_has_one_form_for_each_bytes(void)
{
    static const struct {
        struct str text;
        bool url;
    } wrong[] = {
        {STR_INIT("Zg"), false},        {STR_INIT("Zg="), false},      {STR_INIT("Zg==="), false},
        {STR_INIT("Zh=="), false},      {STR_INIT("Zm9="), false},     {STR_INIT("Z==="), false},
        {STR_INIT("===="), false},      {STR_INIT("Zg==Zg=="), false}, {STR_INIT("Z"), true},
        {STR_INIT("Zg=="), true},       {STR_INIT("Zh"), true},        {STR_INIT("Zm9v\n"), false},
        {STR_INIT("Zm 9"), false},      {STR_INIT("--__"), false},     {STR_INIT("++//"), true},
        {STR_INIT("Zm9v\0AAA"), false},
    };
    struct buffer buffer;
    buffer_init(&buffer, 64);
    buffer_add(&buffer, STR("kept"));
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        if (!CHECK(!base64_decode(&buffer, wrong[i].text, wrong[i].url)))
            printf("# took: %.*s\n", STR_ARG(wrong[i].text));
        CHECK_STR(buffer_str(&buffer), STR("kept"));
    }
    buffer_fini(&buffer);
}

static void
test_utf8_is_that_of_rfc_3629(void)
{
    static const struct {
        struct str text;
        size_t valid;
    } rows[] = {
        {STR_INIT(""), 0},
        {STR_INIT("plain ascii, longer than eight"), 30},
        {STR_INIT("\x7F\xC2\x80\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBF"), 11},
        {STR_INIT("\xF0\x90\x80\x80\xF4\x8F\xBF\xBF"), 8},
        {STR_INIT("\xED\x9F\xBF\xEE\x80\x80"), 6},
        {STR_INIT("12345678\x80"), 8},
        {STR_INIT("a\xC0\x80"), 1},
        {STR_INIT("a\xC1\xBF"), 1},
        {STR_INIT("\xE0\x9F\xBF"), 0},
        {STR_INIT("\xED\xA0\x80"), 0},
        {STR_INIT("\xED\xBF\xBF"), 0},
        {STR_INIT("\xF0\x8F\xBF\xBF"), 0},
        {STR_INIT("\xF4\x90\x80\x80"), 0},
        {STR_INIT("\xF5\x80\x80\x80"), 0},
        {STR_INIT("\xE2\x82"), 0},
        {STR_INIT("\xE2\x82x"), 0},
        {STR_INIT("\xF0\x9F\x98"), 0},
        {STR_INIT("\xFE"), 0},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        CHECK_INT((intmax_t)utf8_valid_len(rows[i].text), (intmax_t)rows[i].valid);
        CHECK_INT(utf8_valid(rows[i].text), rows[i].valid == rows[i].text.len);
    }
}

static void
test_cut_keeps_characters_whole(void)
{
    struct str text = STR("a\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80");
    static const size_t kept[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 10};
    for (size_t max = 0; max < COUNT_OF(kept); max++) {
        struct str cut = utf8_cut(text, max);
        CHECK_INT((intmax_t)cut.len, (intmax_t)kept[max]);
        CHECK(utf8_valid(cut));
    }
}

static void
test_contains_looks_past_case(void)
{
    static const struct {
        struct str text, part;
        bool held;
    } rows[] = {
        {STR_INIT("Hello World"), STR_INIT("LO wO"), true},
        {STR_INIT("Hello"), STR_INIT(""), true},
        {STR_INIT(""), STR_INIT(""), true},
        {STR_INIT(""), STR_INIT("a"), false},
        {STR_INIT("ab"), STR_INIT("abc"), false},
        {STR_INIT("aab"), STR_INIT("AB"), true},
        {STR_INIT("M\xC3\x9CLLER"), STR_INIT("m\xC3\xBCller"), true},
        {STR_INIT("\xC3\xBF"), STR_INIT("\xC5\xB8"), true},                 /* y with two dots */
        {STR_INIT("\xCE\xA3\xCE\xA3"), STR_INIT("\xCF\x83\xCF\x82"), true}, /* final sigma */
        {STR_INIT("\xD0\x9F\xD0\xA0\xD0\x98"), STR_INIT("\xD0\xBF\xD1\x80\xD0\xB8"), true},
        {STR_INIT("\xC3\x97"), STR_INIT("\xC3\xB7"), false}, /* times, divided by: no letters */
        {STR_INIT("\xC4\xB0"), STR_INIT("i"), false},        /* a dotted I has no simple folding */
        {STR_INIT("[@]`"), STR_INIT("{`}@"), false},
        {STR_INIT("x\xFFy"), STR_INIT("\xFFY"), true},
        {STR_INIT("\xFF"), STR_INIT("\xFE"), false},
        {STR_INIT("\x80\xBF"), STR_INIT("?"), false}, /* no two bytes of one character */
        {STR_INIT("\xC3"), STR_INIT("\xC3\xA4"), false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (!CHECK_INT(text_contains_nocase(rows[i].text, rows[i].part), rows[i].held))
            printf("# row %zu\n", i);
}

static void
test_only_the_star_is_special_in_a_glob(void)
{
    static const struct {
        struct str pattern, text;
        bool matches, nocase;
    } rows[] = {
        {STR_INIT("auth.*"), STR_INIT("auth.login"), true, true},
        {STR_INIT("auth.*"), STR_INIT("auth."), true, true},
        {STR_INIT("auth.*"), STR_INIT("authx"), false, false},
        {STR_INIT("*"), STR_INIT(""), true, true},
        {STR_INIT(""), STR_INIT(""), true, true},
        {STR_INIT(""), STR_INIT("a"), false, false},
        {STR_INIT("a*b*c"), STR_INIT("axxbyybzzc"), true, true},
        {STR_INIT("a*b*c"), STR_INIT("axxbyybzz"), false, false},
        {STR_INIT("*ab"), STR_INIT("aab"), true, true},
        {STR_INIT("**a**"), STR_INIT("a"), true, true},
        {STR_INIT("a?c"), STR_INIT("abc"), false, false},
        {STR_INIT("[a]"), STR_INIT("a"), false, false},
        {STR_INIT("A*"), STR_INIT("ab"), false, true},
        {STR_INIT("\xC3\x84"), STR_INIT("\xC3\xA4"), false, false},
        {STR_INIT("a"), STR_INIT("a\0"), false, false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        CHECK_INT(glob_match(rows[i].pattern, rows[i].text), rows[i].matches);
        CHECK_INT(glob_match_nocase(rows[i].pattern, rows[i].text), rows[i].nocase);
    }
}

static void
test_hostile_glob_stays_cheap(void)
{
    static char pattern[400], text[4000];
    for (size_t i = 0; i < sizeof pattern; i += 2) {
        pattern[i] = '*';
        pattern[i + 1] = 'a';
    }
    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = 'b';
    CHECK(!glob_match((struct str){pattern, sizeof pattern}, (struct str){text, sizeof text}));
}

static void
fill_ff(void *self, void *bytes, size_t len)
{
    (void)self;
    memset(bytes, 0xFF, len);
}

static void
test_uuids_carry_version_variant_and_time(void)
{
    struct random random = {.fill = fill_ff};
    char text[UUID_TEXT_SIZE];
    struct str formatted = {text, sizeof text};
    struct uuid uuid = uuid_v4(random);
    uuid_format(&uuid, text);
    CHECK_STR(formatted, STR("ffffffff-ffff-4fff-bfff-ffffffffffff"));
    /* RFC 9562, A.6: 2022-02-22T19:22:22Z is 0x017F22E279B0 */
    uuid = uuid_v7(random, 1645557742000000);
    uuid_format(&uuid, text);
    CHECK_STR(formatted, STR("017f22e2-79b0-7fff-bfff-ffffffffffff"));
    uuid = uuid_v8((const unsigned char[16]){0});
    uuid_format(&uuid, text);
    CHECK_STR(formatted, STR("00000000-0000-8000-8000-000000000000"));
}

static void
test_uuid_text_has_one_shape(void)
{
    struct uuid uuid;
    char text[UUID_TEXT_SIZE];
    CHECK(uuid_parse(STR("017F22e2-79b0-7cc3-98c4-dc0c0c07398f"), &uuid));
    uuid_format(&uuid, text);
    CHECK_STR(((struct str){text, sizeof text}), STR("017f22e2-79b0-7cc3-98c4-dc0c0c07398f"));
    CHECK(!uuid_parse(STR("017f22e2-79b0-7cc3-98c4-dc0c0c07398"), &uuid));
    CHECK(!uuid_parse(STR("017f22e2-79b0-7cc3-98c4-dc0c0c07398ff"), &uuid));
    CHECK(!uuid_parse(STR("017f22e2079b0-7cc3-98c4-dc0c0c07398f"), &uuid));
    CHECK(!uuid_parse(STR("g17f22e2-79b0-7cc3-98c4-dc0c0c07398f"), &uuid));
    CHECK(!uuid_parse(STR(""), &uuid));
}

static void
test_a_mail_address_needs_no_quoting(void)
{
    static const char *const good[] = {
        "ana@example.com", "a@b",   "root@localhost",          "first.last+tag@sub.example.co.uk",
        "o'neil@x-y.org",  "1@1.1", "!#$%&'*+-/=?^_`{|}~@a.b", "ANA@EXAMPLE.COM",
    };
    static const char *const bad[] = {
        "",       "@",       "ana",     "@b",          "a@",         "a@b@c", ".a@b",  "a.@b",
        "a..b@c", "a@.b",    "a@b.",    "a@b..c",      "a@-b",       "a@b-",  "a b@c", "a@b c",
        "a@b\n",  "a\r\n@b", "\"a\"@b", "a@[1.2.3.4]", "a,b@c",      "a;b@c", "<a@b>", "a@b>",
        "a(b)@c", "a:b@c",   "a\\b@c",  "\xc3\xa4@b",  "a@\xc3\xa4", "a@b_c",
    };
    for (size_t i = 0; i < COUNT_OF(good); i++)
        if (!CHECK(mail_address_valid(str_from(good[i]))))
            printf("# %s\n", good[i]);
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        if (!CHECK(!mail_address_valid(str_from(bad[i]))))
            printf("# %s\n", bad[i]);
    CHECK(!mail_address_valid((struct str){"a\0b@c", 5}));
    CHECK(!mail_address_valid((struct str){0}));
    char text[400];
    memset(text, 'a', sizeof text);
    text[64] = '@';
    CHECK(mail_address_valid((struct str){text, 100}));
    CHECK(!mail_address_valid((struct str){text, 64 + 1 + 64})); /* a label too long */
    for (size_t i = 70; i < sizeof text; i += 50)
        text[i] = '.';
    CHECK(mail_address_valid((struct str){text, MAIL_ADDRESS_MAX}));
    CHECK(!mail_address_valid((struct str){text, MAIL_ADDRESS_MAX + 1}));
    text[64] = 'a', text[65] = '@';
    CHECK(!mail_address_valid((struct str){text, 100}));
}

int
main(void)
{
    RUN(test_hex_reads_what_it_wrote);
    RUN(test_base64_published_vectors);
    RUN(test_base64_has_one_form_for_each_bytes);
    RUN(test_utf8_is_that_of_rfc_3629);
    RUN(test_cut_keeps_characters_whole);
    RUN(test_contains_looks_past_case);
    RUN(test_only_the_star_is_special_in_a_glob);
    RUN(test_hostile_glob_stays_cheap);
    RUN(test_a_mail_address_needs_no_quoting);
    RUN(test_uuids_carry_version_variant_and_time);
    RUN(test_uuid_text_has_one_shape);
    return tap_done();
}
