/* What parses as an address or a network has one written form, which parses to the same. */
#include "codec/address.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    struct address address, address_again;
    struct network network, network_again;
    char written[ADDRESS_TEXT_SIZE + 4];
    if (address_parse(text, &address)) {
        size_t len = address_format(&address, written);
        must(len < ADDRESS_TEXT_SIZE);
        must(address_parse((struct str){written, len}, &address_again));
        must(memcmp(address.bytes, address_again.bytes, 16) == 0);
        must(address.is_v4 == address_again.is_v4);
        must(!address_is_public(&address) || address_is_safe_to_call(&address));
        must(network_parse(text, &network) && network_contains(&network, &address));
    }
    if (network_parse(text, &network)) {
        size_t len = network_format(&network, written);
        must(network_parse((struct str){written, len}, &network_again));
        must(network.prefix == network_again.prefix);
        must(network_contains(&network_again, &network.base));
    }
    return 0;
}
