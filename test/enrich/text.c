/* Places and address lists as people write them: what is read, and what is refused by line. */
#include "enrich/enrich_priv.h"

#include "tap.h"

static struct places *
read_places(const char *text)
{
    struct places *places = NULL;
    struct err err = {0};
    if (!CHECK(places_parse(str_from(text), "places.csv", &places, &err)))
        printf("# %s\n", err.text);
    return places;
}

static const struct place *
find(const struct places *places, const char *text)
{
    struct address address;
    must(address_parse(str_from(text), &address));
    return places_find(places, &address);
}

static void
test_a_row_says_all_of_a_place(void)
{
    struct places *places =
        read_places("# our offices\r\n"
                    "\r\n"
                    "10.1.0.0/16,DE,Berlin,52.52,13.405,head office\r\n"
                    "  \n"
                    "10.1.2.0/24,us,\"New York, \"\"NY\"\"\",40.7,-74,\"vpn, \"\"east\"\"\"\n"
                    "192.0.2.7,,,,,exit 7\n"
                    "2001:db8::/32,RO,Bucure\xc8\x99ti,,,");
    const struct place *place = find(places, "10.1.0.1");
    CHECK_STR(place->location.country, STR("DE"));
    CHECK_STR(place->location.city, STR("Berlin"));
    CHECK(place->location.known && place->location.has_point);
    CHECK(place->location.latitude == 52.52 && place->location.longitude == 13.405);
    CHECK_STR(place->name, STR("head office"));

    place = find(places, "10.1.2.3");
    CHECK_STR(place->location.country, STR("US"));
    CHECK_STR(place->location.city, STR("New York, \"NY\""));
    CHECK_STR(place->name, STR("vpn, \"east\""));

    place = find(places, "192.0.2.7");
    CHECK(!place->location.known && place->location.country.ptr == NULL);
    CHECK(!place->location.has_point);
    CHECK_STR(place->name, STR("exit 7"));

    place = find(places, "2001:db8::9");
    CHECK_STR(place->location.city, STR("Bucure\xc8\x99ti"));
    CHECK(place->name.ptr == NULL && !place->location.has_point);
    CHECK(find(places, "10.2.0.1") == NULL);
    CHECK_INT((intmax_t)places_count(places), 4);
    places_free(places);
}

static void
test_a_bad_row_is_refused_by_file_and_line(void)
{
    static char long_line[TEXT_LINE_MAX + 100];
    memset(long_line, 'x', sizeof long_line - 1);
    const char *const rows[] = {
        "10.0.0.0/8,DE,Berlin,52.5,13.4",           /* a field is missing */
        "10.0.0.0/8,DE,Berlin,52.5,13.4,name,more", /* one too many */
        "10.0.0.0/33,DE,,,,",                       /* no network */
        "nowhere,DE,,,,",
        "10.0.0.0/8,DEU,,,,", /* no country */
        "10.0.0.0/8,1x,,,,",
        "10.0.0.0/8, DE,,,,",
        "10.0.0.0/8,DE,,91,0,", /* off the globe */
        "10.0.0.0/8,DE,,0,-180.5,",
        "10.0.0.0/8,DE,,52.5,,", /* half a point */
        "10.0.0.0/8,DE,,nan,0,",
        "10.0.0.0/8,DE,,0x10,0,",
        "10.0.0.0/8,DE,,1e,0,",
        "10.0.0.0/8,DE,,\"\",13,",
        "10.0.0.0/8,DE,\"Berlin,,,", /* a quote not closed */
        "10.0.0.0/8,DE,\"Ber\"lin,,,",
        "10.0.0.0/8,DE,Ber\"lin\",,,",
        "10.0.0.0/8,DE,a\x01z,,,", /* a control character */
        "10.0.0.0/8,DE,\xff,,,",   /* not UTF-8 */
        "192.0.2.1,FR,,,,again",   /* twice */
        long_line,
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct places *places = NULL;
        struct err err = {0};
        struct buffer text;
        buffer_init(&text, 1 << 16);
        buffer_printf(&text, "# one\n192.0.2.1,FR,,,,\n%s\n10.9.0.0/16,FR,,,,\n", rows[i]);
        CHECK(!places_parse(buffer_str(&text), "places.csv", &places, &err));
        CHECK_INT(err.code, ERR_INPUT);
        if (!CHECK(strstr(err.text, "places.csv: line 3: ") == err.text))
            printf("# row %zu: %s\n", i, err.text);
        CHECK(places == NULL);
        buffer_fini(&text);
    }
}

static void
test_a_line_beyond_the_limit_is_refused(void)
{
    static char text[TEXT_LINE_MAX + 3];
    struct places *places;
    struct err err = {0};
    memset(text, 'x', sizeof text);
    text[0] = '#';
    text[TEXT_LINE_MAX] = '\n';
    CHECK(places_parse((struct str){text, TEXT_LINE_MAX + 1}, "f", &places, &err));
    places_free(places);
    text[TEXT_LINE_MAX] = 'x';
    CHECK(!places_parse((struct str){text, TEXT_LINE_MAX + 1}, "f", &places, &err));
    CHECK_TEXT(err.text, "f: line 1: longer than 4096 bytes");
}

static void
test_an_empty_file_of_places_is_fine(void)
{
    struct places *places = read_places("\n# nothing yet");
    CHECK(find(places, "10.0.0.1") == NULL);
    places_free(places);
    places = read_places("\xef\xbb\xbf"
                         "10.0.0.0/8,DE,,,,");
    CHECK(find(places, "10.0.0.1") != NULL);
    places_free(places);
}

static void
check_lists(const struct lists *lists, const char *text, const char *want)
{
    struct address address;
    char names[256] = "";
    must(address_parse(str_from(text), &address));
    uint64_t set = lists_find(lists, &address);
    for (size_t i = 0; i < LIMIT_LISTS; i++) {
        if ((set >> i & 1) == 0)
            continue;
        struct str name = lists_name(lists, i);
        size_t len = strlen(names);
        snprintf(names + len, sizeof names - len, "%.*s ", STR_ARG(name));
    }
    CHECK_TEXT(names, want);
}

static void
test_an_address_is_on_all_its_lists_by_name(void)
{
    struct lists *lists = lists_new();
    struct err err;
    CHECK(lists_parse(lists, STR("tor"), STR("192.0.2.1\n192.0.2.2 # exit\n"), "tor.txt", &err));
    CHECK(lists_parse(lists, STR("bad"), STR("192.0.2.0/24\n#none\n\n2001:db8::/32#x\n"), "bad.txt",
                      &err));
    CHECK(lists_parse(lists, STR("cloud"), STR("192.0.2.2/31\r\n"), "cloud.txt", &err));
    CHECK(lists_parse(lists, STR("tor"), STR("198.51.100.1"), "tor2.txt", &err));
    lists_finish(lists);
    check_lists(lists, "192.0.2.1", "bad tor ");
    check_lists(lists, "192.0.2.2", "bad cloud tor ");
    check_lists(lists, "192.0.2.3", "bad cloud ");
    check_lists(lists, "192.0.2.4", "bad ");
    check_lists(lists, "192.0.3.4", "");
    check_lists(lists, "198.51.100.1", "tor ");
    check_lists(lists, "2001:db8::1", "bad ");
    CHECK_INT((intmax_t)lists_count(lists), 6);
    lists_free(lists);
}

static void
test_a_bad_line_of_a_list_is_refused_by_file_and_line(void)
{
    static const char *const lines[] = {
        "192.0.2.0/24 ; SBL1", "192.0.2.0-192.0.2.9", "deny 192.0.2.1;",       "example.org",
        "192.0.2.0/24,reason", "192.0.2.0/-1",        "192.0.2.0/24 192.0.2.1"};
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        struct lists *lists = lists_new();
        struct err err = {0};
        char text[200];
        snprintf(text, sizeof text, "192.0.2.1\n%s\n", lines[i]);
        CHECK(!lists_parse(lists, STR("bad"), str_from(text), "bad.txt", &err));
        CHECK_INT(err.code, ERR_INPUT);
        if (!CHECK(strstr(err.text, "bad.txt: line 2: no network") == err.text))
            printf("# %s\n", err.text);
        lists_free(lists);
    }
}

static void
test_more_lists_than_an_event_can_name_are_refused(void)
{
    struct lists *lists = lists_new();
    struct err err = {0};
    char name[16];
    for (int i = 0; i < LIMIT_LISTS; i++) {
        snprintf(name, sizeof name, "list%02d", i);
        CHECK(lists_parse(lists, str_from(name), STR("192.0.2.1"), "f", &err));
    }
    CHECK(!lists_parse(lists, STR("one-more"), STR("192.0.2.1"), "f", &err));
    CHECK_INT(err.code, ERR_LIMIT);
    CHECK(!lists_parse(lists, STR(""), STR("192.0.2.1"), "f", &err));
    CHECK(!lists_parse(lists, STR("a b"), STR("192.0.2.1"), "f", &err));
    lists_free(lists);
}

int
main(void)
{
    RUN(test_a_row_says_all_of_a_place);
    RUN(test_a_bad_row_is_refused_by_file_and_line);
    RUN(test_a_line_beyond_the_limit_is_refused);
    RUN(test_an_empty_file_of_places_is_fine);
    RUN(test_an_address_is_on_all_its_lists_by_name);
    RUN(test_a_bad_line_of_a_list_is_refused_by_file_and_line);
    RUN(test_more_lists_than_an_event_can_name_are_refused);
    return tap_done();
}
