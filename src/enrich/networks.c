/* networks - which prefix holds an address.
 *
 * Prefixes nest or are disjoint, so they cut the line of all addresses into runs that have one
 * answer each. The runs' first addresses are kept sorted, one table for each family, and a question
 * is a binary search: 17 steps for 100,000 prefixes. */
#include "enrich/enrich_priv.h"

#include <stdlib.h>
#include <string.h>

__extension__ typedef unsigned __int128 wide;

struct table {
    wide *starts; /* sorted; the first is 0 */
    uint64_t *values;
    size_t count;
};

struct networks {
    struct table v4, v6;
};

static wide
wide_of(const struct address *address)
{
    wide number = 0;
    for (size_t i = address->is_v4 ? 12 : 0; i < 16; i++)
        number = number << 8 | address->bytes[i];
    return number;
}

static wide
last_of(const struct network *network)
{
    unsigned host_bits = (network->base.is_v4 ? 32 : 128) - network->prefix;
    wide host = host_bits == 128 ? ~(wide)0 : ((wide)1 << host_bits) - 1;
    return wide_of(&network->base) | host;
}

/* By family, then by first address, the wider prefix first: a parent comes before its children. */
static int
compare_entries(const void *left, const void *right)
{
    const struct networks_entry *a = left, *b = right;
    if (a->network.base.is_v4 != b->network.base.is_v4)
        return a->network.base.is_v4 ? -1 : 1;
    int order = memcmp(a->network.base.bytes, b->network.base.bytes, 16);
    if (order != 0)
        return order;
    return (a->network.prefix > b->network.prefix) - (a->network.prefix < b->network.prefix);
}

static void
begin_run(struct table *table, wide start, uint64_t value)
{
    if (table->count > 0 && table->starts[table->count - 1] == start)
        table->count--;
    else if (table->count > 0 && table->values[table->count - 1] == value)
        return;
    table->starts[table->count] = start;
    table->values[table->count] = value;
    table->count++;
}

struct open_prefix {
    wide last;
    uint64_t value;
};

/* Ends the prefixes on the stack that lie wholly before `start`; what follows each belongs to the
 * one below it. Returns the new depth. */
static size_t
close_before(struct table *table, const struct open_prefix *stack, size_t depth, wide start)
{
    while (depth > 0 && stack[depth - 1].last < start) {
        depth--;
        begin_run(table, stack[depth].last + 1, depth > 0 ? stack[depth - 1].value : 0);
    }
    return depth;
}

static void
build(struct table *table, const struct networks_entry *entries, size_t count,
      enum networks_mode mode)
{
    struct open_prefix stack[129 + 1];
    size_t depth = 0;
    wide top = count > 0 && entries[0].network.base.is_v4 ? 0xffffffffu : ~(wide)0;

    table->starts = base_alloc(2 * count + 1, sizeof *table->starts);
    table->values = base_alloc(2 * count + 1, sizeof *table->values);
    begin_run(table, 0, 0);
    for (size_t i = 0; i < count; i++) {
        const struct network *network = &entries[i].network;
        uint64_t value = entries[i].value;
        wide start = wide_of(&network->base), last = last_of(network);
        depth = close_before(table, stack, depth, start);
        if (mode == NETWORKS_UNION && depth > 0)
            value |= stack[depth - 1].value;
        if (depth > 0 && stack[depth - 1].last == last)
            depth--; /* both end there: what lies below it follows either */
        must(depth < COUNT_OF(stack));
        stack[depth++] = (struct open_prefix){last, value};
        begin_run(table, start, value);
    }
    while (depth > 0 && stack[depth - 1].last != top)
        depth = close_before(table, stack, depth, stack[depth - 1].last + 1);
}

struct networks *
networks_new(struct networks_entry *entries, size_t count, enum networks_mode mode)
{
    struct networks *networks = base_alloc(1, sizeof *networks);
    size_t v4_count = 0;

    if (count > 0)
        qsort(entries, count, sizeof *entries, compare_entries);
    while (v4_count < count && entries[v4_count].network.base.is_v4)
        v4_count++;
    build(&networks->v4, entries, v4_count, mode);
    build(&networks->v6, entries + v4_count, count - v4_count, mode);
    return networks;
}

void
networks_free(struct networks *networks)
{
    if (networks == NULL)
        return;
    base_free(networks->v4.starts);
    base_free(networks->v4.values);
    base_free(networks->v6.starts);
    base_free(networks->v6.values);
    base_free(networks);
}

uint64_t
networks_find(const struct networks *networks, const struct address *address)
{
    const struct table *table = address->is_v4 ? &networks->v4 : &networks->v6;
    wide wanted = wide_of(address);
    size_t low = 0, count = table->count;

    while (count > 1) {
        size_t half = count / 2;
        low = table->starts[low + half] <= wanted ? low + half : low;
        count -= half;
    }
    return table->values[low];
}
