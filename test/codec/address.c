#include "codec/address.h"
#include "tap.h"

static struct address
address_of(const char *text)
{
    struct address address = {0};
    if (!address_parse(str_from(text), &address))
        printf("# not an address: %s\n", text), tap_failed_here++;
    return address;
}

/* The last rows are RFC 5952, sections 4 and 5. */
static void
test_addresses_have_one_written_form(void)
{
    static const struct {
        const char *text, *formatted;
        bool is_v4;
    } rows[] = {
        {"192.0.2.1", "192.0.2.1", true},
        {"0.0.0.0", "0.0.0.0", true},
        {"255.255.255.255", "255.255.255.255", true},
        {"::ffff:192.0.2.1", "192.0.2.1", true},
        {"::FFFF:c000:201", "192.0.2.1", true},
        {"0:0:0:0:0:ffff:10.0.0.1", "10.0.0.1", true},
        {"::", "::", false},
        {"::1", "::1", false},
        {"1::", "1::", false},
        {"::1.2.3.4", "::102:304", false},
        {"2001:0db8::0001", "2001:db8::1", false},
        {"2001:db8:0:0:0:0:2:1", "2001:db8::2:1", false},
        {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1", false},
        {"2001:0:0:1:0:0:0:1", "2001:0:0:1::1", false},
        {"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1", false},
        {"2001:DB8::ABCD", "2001:db8::abcd", false},
        {"0:1:2:3:4:5:6:7", "0:1:2:3:4:5:6:7", false},
        {"1:2:3:4:5:6:0:0", "1:2:3:4:5:6::", false},
        {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
         false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char text[ADDRESS_TEXT_SIZE];
        struct address address = address_of(rows[i].text);
        CHECK_INT(address.is_v4, rows[i].is_v4);
        size_t len = address_format(&address, text);
        CHECK_STR(((struct str){text, len}), str_from(rows[i].formatted));
    }
}

static void
test_what_is_not_an_address_is_refused(void)
{
    static const struct str texts[] = {
        STR_INIT(""),
        STR_INIT("1.2.3"),
        STR_INIT("1.2.3.4.5"),
        STR_INIT("1.2.3.256"),
        STR_INIT("01.2.3.4"),
        STR_INIT("1.2.3.04"),
        STR_INIT("1.2.3.4 "),
        STR_INIT(" 1.2.3.4"),
        STR_INIT("1.2.3.4:80"),
        STR_INIT("1.2.3.4\0"),
        STR_INIT("0x7f.0.0.1"),
        STR_INIT("2130706433"),
        STR_INIT("[::1]"),
        STR_INIT("fe80::1%lo"),
        STR_INIT(":::"),
        STR_INIT("1::2::3"),
        STR_INIT("12345::"),
        STR_INIT("1:2:3:4:5:6:7"),
        STR_INIT(":"),
        STR_INIT("1:2:3:4:5:6:7:8:9"),
        STR_INIT("::ffff:1.2.3.256"),
        STR_INIT("0000:0000:0000:0000:0000:0000:0000:00000000000000000000001"),
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct address address;
        if (!CHECK(!address_parse(texts[i], &address)))
            printf("# took: %.*s\n", STR_ARG(texts[i]));
    }
}

static void
test_networks_lose_what_lies_beyond_their_prefix(void)
{
    static const struct {
        const char *text, *formatted; /* NULL: refused */
    } rows[] = {
        {"10.1.2.3/8", "10.0.0.0/8"},
        {"10.255.255.255/15", "10.254.0.0/15"},
        {"10.1.2.3", "10.1.2.3/32"},
        {"1.2.3.4/0", "0.0.0.0/0"},
        {"::ffff:10.1.2.3/104", "10.0.0.0/8"},
        {"::ffff:10.1.2.3", "10.1.2.3/32"},
        {"2001:db8:ffff::1/33", "2001:db8:8000::/33"},
        {"2001:db8::1", "2001:db8::1/128"},
        {"ffff::/0", "::/0"},
        {"::ffff:0:0/95", NULL},
        {"10.0.0.0/33", NULL},
        {"10.0.0.0/104", NULL},
        {"::/129", NULL},
        {"::ffff:1.2.3.4/129", NULL},
        {"10.0.0.0/", NULL},
        {"10.0.0.0/08", NULL},
        {"10.0.0.0/-1", NULL},
        {"10.0.0.0/8/8", NULL},
        {"10.0.0.0/ 8", NULL},
        {"/8", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct network network;
        char text[ADDRESS_TEXT_SIZE + 4];
        bool parsed = network_parse(str_from(rows[i].text), &network);
        if (!CHECK_INT(parsed, rows[i].formatted != NULL))
            printf("# %s\n", rows[i].text);
        if (parsed && rows[i].formatted != NULL) {
            size_t len = network_format(&network, text);
            CHECK_STR(((struct str){text, len}), str_from(rows[i].formatted));
        }
    }
}

static void
test_a_network_holds_its_own_and_no_others(void)
{
    static const struct {
        const char *network, *address;
        bool held;
    } rows[] = {
        {"10.0.0.0/8", "10.255.0.1", true},
        {"10.0.0.0/8", "11.0.0.0", false},
        {"10.0.0.0/8", "::ffff:10.1.2.3", true},
        {"10.1.2.128/25", "10.1.2.127", false},
        {"10.1.2.128/25", "10.1.2.128", true},
        {"10.1.2.3", "10.1.2.3", true},
        {"10.1.2.3", "10.1.2.2", false},
        {"0.0.0.0/0", "255.1.1.1", true},
        {"0.0.0.0/0", "2001:db8::1", false},
        {"::/0", "1.2.3.4", false},
        {"::/0", "2001:db8::1", true},
        {"2001:db8::/33", "2001:db8:7fff::1", true},
        {"2001:db8::/33", "2001:db8:8000::1", false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct network network;
        struct address address = address_of(rows[i].address);
        CHECK(network_parse(str_from(rows[i].network), &network));
        if (!CHECK_INT(network_contains(&network, &address), rows[i].held))
            printf("# %s in %s\n", rows[i].address, rows[i].network);
    }
    struct address v4 = address_of("10.1.2.3"), v6 = address_of("2001:db8:1:2:3::4");
    char text[ADDRESS_TEXT_SIZE + 4];
    struct network of = network_of(&v4, 24, 48);
    CHECK_STR(((struct str){text, network_format(&of, text)}), STR("10.1.2.0/24"));
    of = network_of(&v6, 24, 48);
    CHECK_STR(((struct str){text, network_format(&of, text)}), STR("2001:db8:1::/48"));
}

static const struct {
    const char *address;
    bool is_public, safe;
} special[] = {
    {"8.8.8.8", true, true},
    {"1.1.1.1", true, true},
    {"223.255.255.255", true, true},
    {"0.0.0.0", false, false},
    {"0.1.2.3", false, false},
    {"10.0.0.1", false, false},
    {"100.63.255.255", true, true},
    {"100.64.0.1", false, false},
    {"100.127.255.255", false, false},
    {"100.128.0.0", true, true},
    {"127.0.0.1", false, false},
    {"169.254.169.254", false, false},
    {"168.63.129.15", true, true},
    {"168.63.129.16", false, false},
    {"100.100.100.200", false, false},
    {"172.15.255.255", true, true},
    {"172.16.0.1", false, false},
    {"172.31.255.255", false, false},
    {"172.32.0.0", true, true},
    {"192.0.0.1", false, false},
    {"192.0.2.1", false, true},
    {"192.88.99.1", false, false},
    {"192.168.1.1", false, false},
    {"198.17.255.255", true, true},
    {"198.18.0.1", false, false},
    {"198.19.255.255", false, false},
    {"198.51.100.1", false, true},
    {"203.0.113.77", false, true},
    {"224.0.0.1", false, false},
    {"239.255.255.255", false, false},
    {"240.0.0.1", false, false},
    {"255.255.255.255", false, false},
    {"::ffff:127.0.0.1", false, false},
    {"::ffff:8.8.8.8", true, true},
    {"2a00:1450:4001:800::200e", true, true},
    {"2606:4700::1111", true, true},
    {"::", false, false},
    {"::1", false, false},
    {"::7f00:1", false, false},
    {"64:ff9b::808:808", false, true},
    {"64:ff9b::7f00:1", false, false},
    {"64:ff9b::a9fe:a9fe", false, false},
    {"64:ff9b:1::a00:1", false, false},
    {"100::1", false, false},
    {"2001:db8::1", false, true},
    {"3fff::1", false, true},
    {"3fff:1000::1", true, true},
    {"2001:20::1", false, false},
    {"2001:200::1", true, true},
    {"2002:808:808::1", false, true},
    {"2002:7f00:1::", false, false},
    {"2002:a00:1::1", false, false},
    {"2001:0:808:808::f7f7:f7f7", false, true},  /* Teredo, client 8.8.8.8 */
    {"2001:0:808:808::80ff:fffe", false, false}, /* Teredo, client 127.0.0.1 */
    {"2001:0:a00:1::f7f7:f7f7", false, false},   /* Teredo, server 10.0.0.1 */
    {"fc00::1", false, false},
    {"fdff::1", false, false},
    {"fe80::1", false, false},
    {"fec0::1", false, false},
    {"ff02::1", false, false},
    {"5f00::1", false, false},
    {"4000::1", false, false},
};

static void
test_special_purpose_addresses_by_the_registries(void)
{
    for (size_t i = 0; i < COUNT_OF(special); i++) {
        struct address address = address_of(special[i].address);
        bool right = CHECK_INT(address_is_public(&address), special[i].is_public);
        right = CHECK_INT(address_is_safe_to_call(&address), special[i].safe) && right;
        if (!right)
            printf("# %s\n", special[i].address);
    }
}

int
main(void)
{
    RUN(test_addresses_have_one_written_form);
    RUN(test_what_is_not_an_address_is_refused);
    RUN(test_networks_lose_what_lies_beyond_their_prefix);
    RUN(test_a_network_holds_its_own_and_no_others);
    RUN(test_special_purpose_addresses_by_the_registries);
    return tap_done();
}
