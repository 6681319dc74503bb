/* networks - a set of networks that is asked for the longest one holding an address: ordered by
 * prefix, longest first, then by base, so that each prefix length is one binary search. */
#include "detect/detect_priv.h"

#include <stdlib.h>
#include <string.h>

/* IPv4 addresses are kept in mapped form, so 96 bits stand before them. */
static unsigned
bits(const struct network *network)
{
    return network->prefix + (network->base.is_v4 ? 96 : 0);
}

static int
compare(const void *left, const void *right)
{
    const struct network *a = left, *b = right;
    if (a->base.is_v4 != b->base.is_v4)
        return a->base.is_v4 ? -1 : 1;
    if (a->prefix != b->prefix)
        return a->prefix > b->prefix ? -1 : 1;
    return memcmp(a->base.bytes, b->base.bytes, sizeof a->base.bytes);
}

bool
networks_read(struct reading *reading, const struct condition *row, struct str path,
              const struct json *sent, void *out)
{
    bool one = sent->type == JSON_STRING && row->low == 0 && row->high == 0;
    size_t count = one ? 1 : sent->count;
    size_t high = row->high > 0 ? (size_t)row->high : CONDITION_LIST_MAX;
    if (!one && (sent->type != JSON_ARRAY || (double)count < row->low || count > high))
        return reading_complain(reading, path, "must be a list of %.0f to %zu networks", row->low,
                                high);
    struct network *items = reading_alloc(reading, count, sizeof *items);
    if (items == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        const struct json *item = one ? sent : &sent->items[i];
        if (item->type != JSON_STRING || !network_parse(item->text, &items[i]))
            return reading_complain(reading, one ? path : path_item(reading, path, i),
                                    "must be a network, such as 10.0.0.0/8 or 2001:db8::/32");
    }
    qsort(items, count, sizeof *items, compare);
    *(struct networks *)out = (struct networks){items, count};
    return true;
}

const struct network *
named_networks_find(const struct networks *networks, const struct address *address)
{
    for (size_t first = 0; first < networks->count;) {
        const struct network *group = &networks->items[first];
        size_t end = first + 1;
        while (end < networks->count && bits(&networks->items[end]) == bits(group) &&
               networks->items[end].base.is_v4 == group->base.is_v4)
            end++;
        if (group->base.is_v4 == address->is_v4) {
            struct network key = address->is_v4 ? network_of(address, group->prefix, 0)
                                                : network_of(address, 0, group->prefix);
            const struct network *found = bsearch(&key, group, end - first, sizeof *group, compare);
            if (found != NULL)
                return found;
        }
        first = end;
    }
    return NULL;
}
