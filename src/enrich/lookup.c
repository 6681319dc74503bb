/* lookup - from addresses to the records of an MMDB file.
 *
 * The way down the search tree is a chain of waits for memory, one for each bit or so. The first
 * 16 bits of an IPv4 address are looked up in a table made at the start, and the ways of several
 * addresses go down side by side, so that they are waited for together. */
#include "enrich/enrich_priv.h"

enum { FIRST_BITS = 16, V4_BITS = 32, V6_BITS = 128, V4_FROM_BIT = V6_BITS - V4_BITS, LINE = 64 };

struct way {
    const unsigned char *bits;
    unsigned depth, end;
    uint32_t record;
};

static bool
is_node(const struct mmdb *mmdb, uint32_t record)
{
    return record < mmdb->db.metadata.node_count;
}

static uint32_t
child_of(const struct mmdb *mmdb, uint32_t node, unsigned side)
{
    uint32_t records[2];
    mmdb_read_node(&mmdb->db, node, records);
    return records[side];
}

/* Fills the part of the table that lies under the record. */
static void
fill_first(struct mmdb *mmdb, uint32_t record, unsigned prefix, unsigned depth)
{
    if (depth < FIRST_BITS && is_node(mmdb, record)) {
        uint32_t records[2];
        mmdb_read_node(&mmdb->db, record, records);
        fill_first(mmdb, records[0], prefix << 1, depth + 1);
        fill_first(mmdb, records[1], prefix << 1 | 1, depth + 1);
        return;
    }
    unsigned wider = FIRST_BITS - depth;
    for (unsigned i = 0; i < 1u << wider; i++)
        mmdb->first[(prefix << wider) + i] = record;
}

void
lookup_prepare(struct mmdb *mmdb)
{
    uint32_t root = 0;
    if (mmdb->db.metadata.ip_version == 6)
        for (unsigned i = 0; i < V4_FROM_BIT && is_node(mmdb, root); i++)
            root = child_of(mmdb, root, 0);
    mmdb->first = base_alloc(1u << FIRST_BITS, sizeof *mmdb->first);
    fill_first(mmdb, root, 0, 0);
}

void
lookup_fini(struct mmdb *mmdb)
{
    base_free(mmdb->first);
    mmdb->first = NULL;
}

/* Inline, or gcc takes it for a function without effect and drops the calls. */
__attribute__((always_inline)) static inline void
fetch(const struct mmdb *mmdb, uint32_t record)
{
    uint32_t nodes = mmdb->db.metadata.node_count;
    if (record < nodes) {
        __builtin_prefetch(mmdb->db.file_content + (size_t)record * mmdb->db.full_record_byte_size);
    } else if (record > nodes) {
        const uint8_t *at = mmdb->db.data_section + (record - nodes - 16);
        __builtin_prefetch(at);
        __builtin_prefetch(at + LINE);
    }
}

/* An IPv4 file knows no IPv6 addresses. */
static struct way
begin(const struct mmdb *mmdb, const struct address *address)
{
    struct way way = {.bits = address->bytes, .end = V6_BITS};
    if (address->is_v4) {
        way.bits += V4_FROM_BIT / 8;
        way.record = mmdb->first[way.bits[0] << 8 | way.bits[1]];
        way.depth = FIRST_BITS;
        way.end = V4_BITS;
    } else if (mmdb->db.metadata.ip_version == 4) {
        way.record = mmdb->db.metadata.node_count;
    }
    return way;
}

void
lookup_find(const struct mmdb *mmdb, const struct address *const *addresses, size_t count,
            uint32_t *offsets_out)
{
    struct way ways[MMDB_TOGETHER];
    uint32_t nodes = mmdb->db.metadata.node_count;
    must(count <= MMDB_TOGETHER);
    for (size_t i = 0; i < count; i++) {
        ways[i] = begin(mmdb, addresses[i]);
        fetch(mmdb, ways[i].record);
    }
    for (bool more = true; more;) {
        more = false;
        for (size_t i = 0; i < count; i++) {
            struct way *way = &ways[i];
            if (!is_node(mmdb, way->record) || way->depth == way->end)
                continue;
            unsigned bit = way->bits[way->depth / 8] >> (7 - way->depth % 8) & 1;
            way->record = child_of(mmdb, way->record, bit);
            way->depth++;
            fetch(mmdb, way->record);
            more = true;
        }
    }
    for (size_t i = 0; i < count; i++)
        offsets_out[i] = ways[i].record > nodes ? ways[i].record - nodes - 16 : MMDB_NONE;
}
