/* What is promised of the client's address and of lines. */
#include "tap.h"

#include "intake/intake.h"

static struct network trusted[3];

static void
expect(const char *peer_text, struct str header, const char *want)
{
    struct address peer, found;
    char text[ADDRESS_TEXT_SIZE + 1] = "nothing";
    CHECK(address_parse(str_from(peer_text), &peer));
    if (intake_client_address(&peer, header, trusted, COUNT_OF(trusted), &found))
        text[address_format(&found, text)] = '\0';
    if (strcmp(text, want) != 0)
        printf("# %s, \"%.*s\"\n", peer_text, STR_ARG(header));
    CHECK_TEXT(text, want);
}

static void
test_client_is_the_last_address_that_is_not_a_proxy(void)
{
    static const struct {
        const char *peer;
        struct str header;
        const char *want;
    } rows[] = {
        /* A peer we do not trust speaks for itself, whatever it claims. */
        {"203.0.113.7", STR_INIT("198.51.100.1"), "203.0.113.7"},
        {"203.0.113.7", {NULL, 0}, "203.0.113.7"},
        {"10.0.0.1", STR_INIT("198.51.100.1"), "198.51.100.1"},
        {"::ffff:10.0.0.1", STR_INIT("198.51.100.1"), "198.51.100.1"},
        /* What stands to the left of the first stranger was written by the stranger. */
        {"10.0.0.1", STR_INIT("1.1.1.1, 198.51.100.1, 10.2.2.2"), "198.51.100.1"},
        {"10.0.0.1", STR_INIT("garbage, 198.51.100.1,10.2.2.2 , 10.0.0.9"), "198.51.100.1"},
        {"10.0.0.1", STR_INIT("198.51.100.1:4711"), "198.51.100.1"},
        {"10.0.0.1", STR_INIT("2001:db8::1"), "2001:db8::1"},
        {"10.0.0.1", STR_INIT("[2001:db8::1]"), "2001:db8::1"},
        {"10.0.0.1", STR_INIT("[2001:db8::1]:443"), "2001:db8::1"},
        {"10.0.0.1", STR_INIT("\"[2001:db8::1]:443\""), "2001:db8::1"},
        {"10.0.0.1", STR_INIT("::ffff:198.51.100.1"), "198.51.100.1"},
        {"10.0.0.1", STR_INIT(" \t198.51.100.1\t , , "), "198.51.100.1"},
        {"fd00::1", STR_INIT("198.51.100.1, fd00::2"), "198.51.100.1"},
        /* Not to be understood, or nothing there: nothing is known. */
        {"10.0.0.1", {NULL, 0}, "nothing"},
        {"10.0.0.1", STR_INIT(""), "nothing"},
        {"10.0.0.1", STR_INIT(",,"), "nothing"},
        {"10.0.0.1", STR_INIT("198.51.100.1, unknown"), "nothing"},
        {"10.0.0.1", STR_INIT("198.51.100.1, 10.2.2.2, 300.1.1.1"), "nothing"},
        {"10.0.0.1", STR_INIT("198.51.100.1:99999"), "nothing"},
        {"10.0.0.1", STR_INIT("198.51.100.1:"), "nothing"},
        {"10.0.0.1", STR_INIT("[198.51.100.1]"), "nothing"},
        {"10.0.0.1", STR_INIT("[2001:db8::1"), "nothing"},
        {"10.0.0.1", STR_INIT("[2001:db8::1]x"), "nothing"},
        {"10.0.0.1", STR_INIT("[2001:db8::1]:"), "nothing"},
        {"10.0.0.1", STR_INIT("fe80::1%eth0"), "nothing"},
        {"10.0.0.1", STR_INIT("10.1.1.1, 10.2.2.2"), "nothing"},
        {"10.0.0.1", STR_INIT("\""), "nothing"},
        {"10.0.0.1", STR_INIT("["), "nothing"},
    };
    CHECK(network_parse(STR("10.0.0.0/8"), &trusted[0]));
    CHECK(network_parse(STR("fd00::/8"), &trusted[1]));
    CHECK(network_parse(STR("192.0.2.1"), &trusted[2]));
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        expect(rows[i].peer, rows[i].header, rows[i].want);
}

static void
test_lines_end_with_lf_or_crlf_and_blank_ones_are_skipped(void)
{
    struct str rest = STR("\n{\"a\":1}\r\n\r\n  \t\n{\"b\":2}\n{\"c\":3}"), line;
    CHECK(intake_next_line(&rest, &line) && str_equal(line, STR("{\"a\":1}")));
    CHECK(intake_next_line(&rest, &line) && str_equal(line, STR("{\"b\":2}")));
    CHECK(intake_next_line(&rest, &line) && str_equal(line, STR("{\"c\":3}")));
    CHECK(!intake_next_line(&rest, &line));
    CHECK(!intake_next_line(&rest, &line));
    rest = STR("");
    CHECK(!intake_next_line(&rest, &line));
}

int
main(void)
{
    RUN(test_client_is_the_last_address_that_is_not_a_proxy);
    RUN(test_lines_end_with_lf_or_crlf_and_blank_ones_are_skipped);
    return tap_done();
}
