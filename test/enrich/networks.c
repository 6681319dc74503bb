/* Which prefix holds an address: the longest one's value, or all of them together. */
#include "enrich/enrich_priv.h"

#include "codec/hash.h"
#include "tap.h"

static struct address
address_of(const char *text)
{
    struct address address;
    must(address_parse(str_from(text), &address));
    return address;
}

static uint64_t
find(const struct networks *networks, const char *text)
{
    struct address address = address_of(text);
    return networks_find(networks, &address);
}

static struct networks_entry
entry(const char *network, uint64_t value)
{
    struct networks_entry made = {.value = value};
    must(network_parse(str_from(network), &made.network));
    return made;
}

static void
test_longest_prefix_wins(void)
{
    struct networks_entry entries[] = {
        entry("10.0.0.0/8", 1),    entry("10.1.0.0/16", 2),        entry("10.1.255.0/24", 3),
        entry("10.1.255.7", 4),    entry("0.0.0.0/0", 9),          entry("255.255.255.255", 5),
        entry("2001:db8::/32", 6), entry("2001:db8:ffff::/48", 7), entry("::1", 8),
    };
    struct networks *networks = networks_new(entries, COUNT_OF(entries), NETWORKS_LONGEST);
    CHECK_INT((intmax_t)find(networks, "10.0.0.0"), 1);
    CHECK_INT((intmax_t)find(networks, "10.1.0.0"), 2);
    CHECK_INT((intmax_t)find(networks, "10.1.254.255"), 2);
    CHECK_INT((intmax_t)find(networks, "10.1.255.0"), 3);
    CHECK_INT((intmax_t)find(networks, "10.1.255.7"), 4);
    CHECK_INT((intmax_t)find(networks, "10.1.255.8"), 3);
    CHECK_INT((intmax_t)find(networks, "10.2.0.0"), 1);
    CHECK_INT((intmax_t)find(networks, "11.0.0.0"), 9);
    CHECK_INT((intmax_t)find(networks, "255.255.255.255"), 5);
    CHECK_INT((intmax_t)find(networks, "255.255.255.254"), 9);
    CHECK_INT((intmax_t)find(networks, "::ffff:10.1.255.7"), 4);
    CHECK_INT((intmax_t)find(networks, "2001:db8::1"), 6);
    CHECK_INT((intmax_t)find(networks, "2001:db8:ffff:ffff::"), 7);
    CHECK_INT((intmax_t)find(networks, "2001:db9::"), 0);
    CHECK_INT((intmax_t)find(networks, "::1"), 8);
    CHECK_INT((intmax_t)find(networks, "::"), 0);
    networks_free(networks);
}

static void
test_all_ipv6_is_not_ipv4(void)
{
    struct networks_entry entries[] = {entry("::/0", 1), entry("8000::/1", 2)};
    struct networks *networks = networks_new(entries, COUNT_OF(entries), NETWORKS_UNION);
    CHECK_INT((intmax_t)find(networks, "1.2.3.4"), 0);
    CHECK_INT((intmax_t)find(networks, "::"), 1);
    CHECK_INT((intmax_t)find(networks, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), 3);
    networks_free(networks);
}

static void
test_nothing_holds_nothing(void)
{
    struct networks *networks = networks_new(NULL, 0, NETWORKS_LONGEST);
    CHECK_INT((intmax_t)find(networks, "1.2.3.4"), 0);
    CHECK_INT((intmax_t)find(networks, "::1"), 0);
    networks_free(networks);
}

static void
test_the_same_network_many_times_is_one(void)
{
    struct networks_entry entries[1000];
    for (size_t i = 0; i < COUNT_OF(entries); i++)
        entries[i] = entry(i % 3 == 0 ? "10.0.0.0/8" : "10.1.0.0/16", (uint64_t)1 << i % 4);
    struct networks *networks = networks_new(entries, COUNT_OF(entries), NETWORKS_UNION);
    CHECK_INT((intmax_t)find(networks, "10.1.2.3"), 15);
    CHECK_INT((intmax_t)find(networks, "11.1.2.3"), 0);
    networks_free(networks);
}

static uint64_t
dice(uint64_t a, uint64_t b)
{
    uint64_t key[2] = {a, b};
    return hash64(7, key, sizeof key);
}

/* A few hundred addresses close to each other, so that prefixes nest and end together. */
static struct address
some_address(uint64_t seed, bool v4)
{
    uint64_t bits = dice(seed, 1);
    struct address address = address_of(v4 ? "10.0.0.0" : "2001:db8::");
    address.bytes[13] = (unsigned char)(bits & 1);
    address.bytes[14] = (unsigned char)(bits >> 8 & 3);
    address.bytes[15] = (unsigned char)(bits >> 16);
    return address;
}

static void
compare_with_plain_search(enum networks_mode mode, uint64_t round)
{
    struct networks_entry entries[200], sorted[200];
    size_t count = 0;
    while (count < COUNT_OF(entries)) {
        uint64_t seed = dice(round, count);
        struct address address = some_address(seed, seed & 1);
        unsigned prefix = (unsigned)(dice(seed, 2) % 20);
        struct networks_entry made = {.network = network_of(&address, 32 - prefix, 128 - prefix),
                                      .value = mode == NETWORKS_UNION ? (uint64_t)1 << count % 7
                                                                      : count + 1};
        entries[count++] = made;
    }
    memcpy(sorted, entries, sizeof entries);
    struct networks *networks = networks_new(sorted, count, mode);
    for (uint64_t i = 0; i < 2000; i++) {
        struct address address = some_address(dice(round, i + 1000), i & 1);
        uint64_t got = networks_find(networks, &address), want = 0;
        unsigned longest = 0;
        for (size_t k = 0; k < count; k++) {
            if (!network_contains(&entries[k].network, &address))
                continue;
            want |= mode == NETWORKS_UNION ? entries[k].value : 0;
            longest =
                entries[k].network.prefix + 1 > longest ? entries[k].network.prefix + 1 : longest;
        }
        if (mode == NETWORKS_LONGEST) /* of equal prefixes any will do here */
            CHECK(longest == 0 ? got == 0
                               : got != 0 && entries[got - 1].network.prefix + 1 == longest &&
                                     network_contains(&entries[got - 1].network, &address));
        else
            CHECK_INT((intmax_t)got, (intmax_t)want);
    }
    networks_free(networks);
}

static void
test_agrees_with_looking_at_each(void)
{
    for (uint64_t round = 0; round < 20; round++) {
        compare_with_plain_search(NETWORKS_LONGEST, round);
        compare_with_plain_search(NETWORKS_UNION, round);
    }
}

int
main(void)
{
    RUN(test_longest_prefix_wins);
    RUN(test_all_ipv6_is_not_ipv4);
    RUN(test_nothing_holds_nothing);
    RUN(test_the_same_network_many_times_is_one);
    RUN(test_agrees_with_looking_at_each);
    return tap_done();
}
