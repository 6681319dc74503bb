/* address - IP addresses and networks. An IPv4-mapped IPv6 address
 * (::ffff:a.b.c.d) is the IPv4 address; everything here normalises. */
#ifndef CODEC_ADDRESS_H
#define CODEC_ADDRESS_H

#include "base/base.h"

#define ADDRESS_TEXT_SIZE 46

struct address {
    bool is_v4;
    unsigned char bytes[16]; /* IPv4: the mapped form, so that bytes always compare */
};

struct network {
    struct address base;
    unsigned prefix; /* 0..32 for IPv4, 0..128 for IPv6; no bits beyond it are set in base */
};

/* No zone, no port, no leading zeros. */
bool address_parse(struct str text, struct address *address_out) MUST_USE;
/* RFC 5952; returns the length, no terminator. */
size_t address_format(const struct address *address, char out[static ADDRESS_TEXT_SIZE]);
/* "10.0.0.0/8", or a bare address (then the whole of it). Bits beyond the prefix are cleared. */
bool network_parse(struct str text, struct network *network_out) MUST_USE;
size_t network_format(const struct network *network, char out[static ADDRESS_TEXT_SIZE + 4]);
bool network_contains(const struct network *network, const struct address *address);
struct network network_of(const struct address *address, unsigned prefix_v4, unsigned prefix_v6);

/* Globally routable unicast, as far as the IANA special-purpose registries (RFC 6890) tell: not
 * private, loopback, link-local, shared, documentation, multicast, reserved. */
bool address_is_public(const struct address *address);

/* The same question for an address we are about to call: also looks into NAT64 (64:ff9b::/96),
 * 6to4 and Teredo forms, and refuses documentation ranges no more than a resolver would. */
bool address_is_safe_to_call(const struct address *address);

#endif
