/* address - IP addresses and networks, and which of them belong to one host on
 * the public network: the IANA registries of special-purpose IPv4 and IPv6
 * addresses (RFC 6890 and the documents since), as a table. */
#include "codec/address.h"

#include <arpa/inet.h>
#include <string.h>

static const unsigned char mapped[12] = {[10] = 0xFF, [11] = 0xFF};

bool
address_parse(struct str text, struct address *address_out)
{
    char copy[ADDRESS_TEXT_SIZE];
    if (text.len == 0 || text.len >= sizeof copy || memchr(text.ptr, '\0', text.len) != NULL)
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';

    struct address address = {.is_v4 = memchr(copy, ':', text.len) == NULL};
    if (address.is_v4)
        memcpy(address.bytes, mapped, sizeof mapped);
    if (inet_pton(address.is_v4 ? AF_INET : AF_INET6, copy,
                  address.bytes + (address.is_v4 ? sizeof mapped : 0)) != 1)
        return false;
    address.is_v4 = memcmp(address.bytes, mapped, sizeof mapped) == 0;
    *address_out = address;
    return true;
}

static char *
put_number(char *at, unsigned number, unsigned base)
{
    char digits[8];
    size_t first = sizeof digits;
    do {
        digits[--first] = "0123456789abcdef"[number % base];
        number /= base;
    } while (number > 0);
    memcpy(at, digits + first, sizeof digits - first);
    return at + (sizeof digits - first);
}

static char *
put_v4(char *at, const unsigned char *bytes)
{
    for (int i = 0; i < 4; i++) {
        if (i > 0)
            *at++ = '.';
        at = put_number(at, bytes[i], 10);
    }
    return at;
}

/* RFC 5952, 4.2: the longest run of at least two zero groups, the first of equals. */
static void
find_zeros(const unsigned groups[8], int *first_out, int *count_out)
{
    *first_out = -1;
    *count_out = 1;
    for (int i = 0; i < 8; i++) {
        int end = i;
        while (end < 8 && groups[end] == 0)
            end++;
        if (end - i > *count_out) {
            *first_out = i;
            *count_out = end - i;
        }
    }
}

static char *
put_v6(char *at, const unsigned char *bytes)
{
    unsigned groups[8];
    for (int i = 0; i < 8; i++)
        groups[i] = (unsigned)bytes[2 * i] << 8 | bytes[2 * i + 1];
    int zeros, count;
    find_zeros(groups, &zeros, &count);
    for (int i = 0; i < 8; i++) {
        if (i == zeros) {
            *at++ = ':';
            i += count - 1;
            if (i == 7)
                *at++ = ':';
            continue;
        }
        if (i > 0)
            *at++ = ':';
        at = put_number(at, groups[i], 16);
    }
    return at;
}

size_t
address_format(const struct address *address, char out[static ADDRESS_TEXT_SIZE])
{
    char *end =
        address->is_v4 ? put_v4(out, address->bytes + sizeof mapped) : put_v6(out, address->bytes);
    return (size_t)(end - out);
}

/* -- networks ------------------------------------------------------------------------ */

/* Of all 16 bytes, how many bits the network fixes. */
static unsigned
fixed_bits(const struct network *network)
{
    return network->prefix + (network->base.is_v4 ? 96 : 0);
}

static void
clear_beyond(struct network *network)
{
    unsigned fixed = fixed_bits(network);
    for (unsigned i = 0; i < 16; i++) {
        unsigned keep = fixed >= 8 * (i + 1) ? 8 : (fixed > 8 * i ? fixed - 8 * i : 0);
        network->base.bytes[i] &= (unsigned char)(0xFF00 >> keep);
    }
}

static bool
parse_prefix(struct str text, unsigned *prefix_out)
{
    if (text.len == 0 || text.len > 3 || (text.len > 1 && text.ptr[0] == '0'))
        return false;
    int64_t number;
    if (!str_to_int(text, &number) || number < 0)
        return false;
    *prefix_out = (unsigned)number;
    return true;
}

bool
network_parse(struct str text, struct network *network_out)
{
    struct str rest = text;
    struct str address = str_split(&rest, '/');
    struct network network;
    if (!address_parse(address, &network.base))
        return false;
    network.prefix = network.base.is_v4 ? 32 : 128;
    if (rest.ptr != NULL) {
        unsigned prefix;
        bool written_v6 = memchr(address.ptr, ':', address.len) != NULL;
        unsigned skipped = network.base.is_v4 && written_v6 ? 96 : 0;
        /* A prefix shorter than ::ffff:0:0/96 holds more than IPv4, so it cannot be normalised. */
        if (!parse_prefix(rest, &prefix) || prefix < skipped || prefix - skipped > network.prefix)
            return false;
        network.prefix = prefix - skipped;
    }
    clear_beyond(&network);
    *network_out = network;
    return true;
}

size_t
network_format(const struct network *network, char out[static ADDRESS_TEXT_SIZE + 4])
{
    size_t len = address_format(&network->base, out);
    out[len] = '/';
    return (size_t)(put_number(out + len + 1, network->prefix, 10) - out);
}

bool
network_contains(const struct network *network, const struct address *address)
{
    if (network->base.is_v4 != address->is_v4)
        return false;
    unsigned fixed = fixed_bits(network);
    if (memcmp(network->base.bytes, address->bytes, fixed / 8) != 0)
        return false;
    if (fixed % 8 == 0)
        return true;
    unsigned differ = network->base.bytes[fixed / 8] ^ address->bytes[fixed / 8];
    return differ >> (8 - fixed % 8) == 0;
}

struct network
network_of(const struct address *address, unsigned prefix_v4, unsigned prefix_v6)
{
    must(prefix_v4 <= 32 && prefix_v6 <= 128);
    struct network network = {*address, address->is_v4 ? prefix_v4 : prefix_v6};
    clear_beyond(&network);
    return network;
}

/* -- kinds ---------------------------------------------------------------------------- */

enum kind {
    LOCAL,   /* private, loopback, link-local, shared, reserved, multicast: never to be called */
    EXAMPLE, /* documentation: nobody is there */
    TUNNEL,  /* an IPv4 address is inside */
};

static const struct {
    unsigned char first[16];
    bool is_v4; /* then `first` holds four bytes, and `prefix` counts from them */
    unsigned prefix;
    enum kind kind;
} special[] = {
    {{0}, true, 8, LOCAL},                          /* this network */
    {{10}, true, 8, LOCAL},                         /* private */
    {{100, 64}, true, 10, LOCAL},                   /* shared, carrier-grade NAT */
    {{127}, true, 8, LOCAL},                        /* loopback */
    {{169, 254}, true, 16, LOCAL},                  /* link-local */
    {{168, 63, 129, 16}, true, 32, LOCAL},          /* Azure's platform, though it looks public */
    {{172, 16}, true, 12, LOCAL},                   /* private */
    {{192, 0, 0}, true, 24, LOCAL},                 /* protocol assignments */
    {{192, 0, 2}, true, 24, EXAMPLE},               /* TEST-NET-1 */
    {{192, 88, 99}, true, 24, LOCAL},               /* 6to4 relays, withdrawn */
    {{192, 168}, true, 16, LOCAL},                  /* private */
    {{198, 18}, true, 15, LOCAL},                   /* benchmarking */
    {{198, 51, 100}, true, 24, EXAMPLE},            /* TEST-NET-2 */
    {{203, 0, 113}, true, 24, EXAMPLE},             /* TEST-NET-3 */
    {{224}, true, 4, LOCAL},                        /* multicast */
    {{240}, true, 4, LOCAL},                        /* reserved, broadcast */
    {{0, 0x64, 0xFF, 0x9B}, false, 96, TUNNEL},     /* NAT64 */
    {{0x20, 0x01, 0, 0}, false, 32, TUNNEL},        /* Teredo */
    {{0x20, 0x01, 0x0D, 0xB8}, false, 32, EXAMPLE}, /* documentation */
    {{0x20, 0x01, 0, 0}, false, 23, LOCAL},         /* protocol assignments */
    {{0x20, 0x02}, false, 16, TUNNEL},              /* 6to4 */
    {{0x3F, 0xFF, 0}, false, 20, EXAMPLE},          /* documentation */
};

static const struct network unicast_v6 = {{.bytes = {0x20}}, 3};

static int
find_special(const struct address *address)
{
    for (size_t i = 0; i < COUNT_OF(special); i++) {
        const unsigned char *bytes = address->bytes + (special[i].is_v4 ? 12 : 0);
        /* Most rows differ at once, and this is asked for each event. */
        if (special[i].is_v4 != address->is_v4 ||
            (special[i].prefix >= 8 && special[i].first[0] != bytes[0]))
            continue;
        struct network network = {{.is_v4 = special[i].is_v4}, special[i].prefix};
        if (special[i].is_v4) {
            network.base.bytes[10] = network.base.bytes[11] = 0xFF;
            memcpy(network.base.bytes + 12, special[i].first, 4);
        } else {
            memcpy(network.base.bytes, special[i].first, 16);
        }
        if (network_contains(&network, address))
            return (int)i;
    }
    return -1;
}

/* Where IPv6 has no row: only 2000::/3 has been given out for single hosts. */
static bool
is_ordinary(const struct address *address)
{
    return address->is_v4 || network_contains(&unicast_v6, address);
}

bool
address_is_public(const struct address *address)
{
    return is_ordinary(address) && find_special(address) < 0;
}

static struct address
inner_v4(const struct address *outer, size_t at, unsigned char flip)
{
    struct address inner = {.is_v4 = true, .bytes = {[10] = 0xFF, [11] = 0xFF}};
    for (size_t i = 0; i < 4; i++)
        inner.bytes[12 + i] = outer->bytes[at + i] ^ flip;
    return inner;
}

static bool
is_safe_v4(struct address address)
{
    int row = find_special(&address);
    return row < 0 || special[row].kind == EXAMPLE;
}

static bool
is_safe_tunnel(const struct address *address)
{
    if (address->bytes[0] == 0) /* RFC 6052, 2.1 */
        return is_safe_v4(inner_v4(address, 12, 0));
    if (address->bytes[1] == 0x02) /* RFC 3056, 2 */
        return is_safe_v4(inner_v4(address, 2, 0));
    /* Teredo, RFC 4380, 4: the server's address, and the client's with all bits turned. */
    return is_safe_v4(inner_v4(address, 4, 0)) && is_safe_v4(inner_v4(address, 12, 0xFF));
}

bool
address_is_safe_to_call(const struct address *address)
{
    if (address->is_v4)
        return is_safe_v4(*address);
    int row = find_special(address);
    if (row < 0)
        return is_ordinary(address);
    if (special[row].kind == TUNNEL)
        return is_safe_tunnel(address);
    return special[row].kind == EXAMPLE;
}
