/* ip_list - a file of addresses, one a line. */
#include "enrich/enrich_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lists *lists = lists_new();
    struct address address;
    struct err err;
    must(lists_parse(lists, STR("other"), STR("192.0.2.0/24"), "other.txt", &err));
    bool ok =
        lists_parse(lists, STR("fuzz"), (struct str){(const char *)data, size}, "fuzz.txt", &err);
    if (ok) {
        lists_finish(lists);
        must(address_parse(STR("192.0.2.77"), &address));
        uint64_t set = lists_find(lists, &address);
        must((set & 2) != 0 && set < 4); /* fuzz is 0, other is 1 */
    }
    lists_free(lists);
    return 0;
}
