/* table - subject -> cell: a chained hash table over nodes that are also a list in the order in
 * which the subjects have to go: by stamp, then by subject, so that the order does not depend on
 * the way the table came about. A put out of that order (a restored checkpoint, an undone
 * change) only notes that the list is to be sorted before the next subject goes. */
#include "detect/detect_priv.h"

#include <stdlib.h>
#include <string.h>

enum { NONE = 0, NODES_FIRST = 64, SCRATCH_SIZE = DETECT_STATE_MAX + 64 };

struct node {
    struct detect_cell *cell; /* NULL: free */
    uint32_t hash;
    uint32_t chain;        /* the next in its bucket, or of the free nodes */
    uint32_t newer, older; /* in the list */
};

struct detect_table {
    struct node
        *nodes; /* [0] is the list's head: its `older` is the newest, its `newer` the oldest */
    uint32_t *buckets;
    uint32_t cap; /* of nodes, a power of two; of buckets there are twice as many */
    uint32_t used, free;
    size_t count, max, bytes;
    uint64_t dropped, late;
    uint64_t seed;
    bool unsorted;
    detect_change_fn watch;
    void *watch_self;
    unsigned char *scratch;
};

/* -- cells -------------------------------------------------------------------------- */

struct detect_cell *
detect_cell_keep(struct detect_cell *cell)
{
    __atomic_add_fetch(&cell->references, 1, __ATOMIC_RELAXED);
    return cell;
}

void
detect_cell_release(struct detect_cell *cell)
{
    uint32_t left = __atomic_sub_fetch(&cell->references, 1, __ATOMIC_ACQ_REL);
    must(left != UINT32_MAX);
    if (left == 0)
        base_free(cell);
}

static struct detect_cell *
new_cell(struct str subject, struct str state, uint64_t stamp, size_t room)
{
    must(subject.len <= DETECT_SUBJECT_MAX && state.len <= room && room <= 2 * SCRATCH_SIZE);
    struct detect_cell *cell = base_alloc(1, sizeof *cell + subject.len + room);
    cell->references = 1;
    cell->state_room = (uint32_t)room;
    cell->subject_len = (uint32_t)subject.len;
    cell->state_len = (uint32_t)state.len;
    cell->stamp = stamp;
    if (subject.len > 0)
        memcpy(cell->bytes, subject.ptr, subject.len);
    if (state.len > 0)
        memcpy(cell->bytes + subject.len, state.ptr, state.len);
    return cell;
}

struct detect_cell *
detect_cell_new(struct str subject, struct str state, uint64_t stamp)
{
    return new_cell(subject, state, stamp, state.len);
}

static struct str
subject_of(const struct detect_cell *cell)
{
    return (struct str){cell->bytes, cell->subject_len};
}

/* The heap's own, and a node with its two buckets, of which a table may have twice as many. */
size_t
detect_cell_bytes(const struct detect_cell *cell)
{
    enum { HEAP = 16, PLACE = 3 * (sizeof(struct node) + 2 * sizeof(uint32_t)) / 2 };
    return sizeof *cell + cell->subject_len + cell->state_room + HEAP + PLACE;
}

/* -- nodes ---------------------------------------------------------------------------- */

struct detect_table *
detect_table_new(size_t subjects_max)
{
    struct detect_table *table = base_alloc(1, sizeof *table);
    table->max = subjects_max == 0 || subjects_max > DETECT_SUBJECTS_MAX ? DETECT_SUBJECTS_MAX
                                                                         : subjects_max;
    table->cap = NODES_FIRST;
    table->nodes = base_alloc(table->cap, sizeof *table->nodes);
    table->buckets = base_alloc(2 * table->cap, sizeof *table->buckets);
    table->used = 1;
    /* Senders choose subjects; where a table lies they do not know. Nothing seen from outside
     * depends on it. */
    table->seed = (uint64_t)(uintptr_t)table * UINT64_C(0x9e3779b97f4a7c15);
    return table;
}

void
detect_table_free(struct detect_table *table)
{
    if (table == NULL)
        return;
    for (uint32_t i = 1; i < table->used; i++)
        if (table->nodes[i].cell != NULL)
            detect_cell_release(table->nodes[i].cell);
    base_free(table->nodes);
    base_free(table->buckets);
    base_free(table->scratch);
    base_free(table);
}

/* Twice as many as nodes: to pass by the node of another is a wait for memory each time. */
static uint32_t
bucket_mask(const struct detect_table *table)
{
    return 2 * table->cap - 1;
}

uint32_t
table_hash(const struct detect_table *table, struct str subject)
{
    return (uint32_t)hash64(table->seed, subject.ptr, subject.len);
}

/* Beside a cell also its node's neighbours in the list, which the node leaves when the state
 * changes. A function that only prefetches counts as one without effect, and gcc drops calls of
 * it: hence always_inline. */
__attribute__((always_inline)) static inline void
warm_cell(const struct detect_table *table, const struct node *node, size_t lines)
{
    enum { LINE = 64 };
    if (node->cell == NULL)
        return;
    __builtin_prefetch(&table->nodes[node->newer], 1);
    __builtin_prefetch(&table->nodes[node->older], 1);
    for (size_t line = 0; line < lines; line++)
        __builtin_prefetch((const char *)node->cell + line * LINE, 1);
}

void
table_warm(const struct detect_table *table, enum table_stage stage, const uint32_t *hashes,
           size_t count)
{
    enum { LINE = 64, LINES_MAX = 10 };
    size_t lines = table->count == 0 ? 1 : table->bytes / table->count / LINE + 1;
    for (size_t i = 0; i < count; i++) {
        const uint32_t *bucket = &table->buckets[hashes[i] & bucket_mask(table)];
        if (stage == TABLE_BUCKETS)
            __builtin_prefetch(bucket);
        else if (stage == TABLE_NODES)
            __builtin_prefetch(&table->nodes[*bucket]);
        else
            warm_cell(table, &table->nodes[*bucket], lines < LINES_MAX ? lines : LINES_MAX);
    }
}

static uint32_t
find(const struct detect_table *table, struct str subject, uint32_t hash)
{
    uint32_t at = table->buckets[hash & bucket_mask(table)];
    for (; at != NONE; at = table->nodes[at].chain)
        if (table->nodes[at].hash == hash && str_equal(subject_of(table->nodes[at].cell), subject))
            return at;
    return NONE;
}

static void
grow(struct detect_table *table)
{
    uint32_t cap = table->cap * 2;
    table->nodes = base_realloc(table->nodes, cap * sizeof *table->nodes);
    base_free(table->buckets);
    table->buckets = base_alloc(2 * cap, sizeof *table->buckets);
    table->cap = cap;
    for (uint32_t i = 1; i < table->used; i++) { /* no node is free, or there were room */
        uint32_t *bucket = &table->buckets[table->nodes[i].hash & (2 * cap - 1)];
        table->nodes[i].chain = *bucket;
        *bucket = i;
    }
}

static void
unlink_node(struct detect_table *table, uint32_t at)
{
    struct node *nodes = table->nodes;
    nodes[nodes[at].newer].older = nodes[at].older;
    nodes[nodes[at].older].newer = nodes[at].newer;
}

static int
compare_cells(const struct detect_cell *a, const struct detect_cell *b)
{
    if (a->stamp != b->stamp)
        return a->stamp < b->stamp ? -1 : 1;
    return str_compare(subject_of(a), subject_of(b));
}

/* Links it between `newer` and what is older than that. */
static void
link_below(struct detect_table *table, uint32_t at, uint32_t newer)
{
    struct node *nodes = table->nodes;
    nodes[at].newer = newer;
    nodes[at].older = nodes[newer].older;
    nodes[nodes[at].older].newer = at;
    nodes[newer].older = at;
}

/* Puts a node where its stamp belongs, if that is an end of the list. */
static void
link_node(struct detect_table *table, uint32_t at)
{
    struct node *nodes = table->nodes;
    uint32_t newest = nodes[0].older, oldest = nodes[0].newer;
    if (newest != NONE && compare_cells(nodes[at].cell, nodes[newest].cell) < 0) {
        if (!table->unsorted && compare_cells(nodes[at].cell, nodes[oldest].cell) < 0) {
            link_below(table, at, oldest);
            return;
        }
        table->unsorted = true;
    }
    link_below(table, at, 0);
}

static void
add_node(struct detect_table *table, struct detect_cell *cell, uint32_t hash)
{
    uint32_t at = table->free;
    if (at != NONE) {
        table->free = table->nodes[at].chain;
    } else {
        if (table->used == table->cap)
            grow(table);
        at = table->used++;
    }
    uint32_t *bucket = &table->buckets[hash & bucket_mask(table)];
    table->nodes[at] = (struct node){.cell = cell, .hash = hash, .chain = *bucket};
    *bucket = at;
    link_node(table, at);
    table->count++;
    table->bytes += detect_cell_bytes(cell);
}

/* Releases the table's reference too. */
static void
remove_node(struct detect_table *table, uint32_t at)
{
    struct node *node = &table->nodes[at];
    uint32_t *link = &table->buckets[node->hash & bucket_mask(table)];
    while (*link != at)
        link = &table->nodes[*link].chain;
    *link = node->chain;
    unlink_node(table, at);
    table->count--;
    table->bytes -= detect_cell_bytes(node->cell);
    detect_cell_release(node->cell);
    *node = (struct node){.chain = table->free};
    table->free = at;
}

/* Takes over the reference to `cell`. */
static void
replace_cell(struct detect_table *table, uint32_t at, struct detect_cell *cell)
{
    struct detect_cell *before = table->nodes[at].cell;
    must(before != NULL);
    table->bytes += detect_cell_bytes(cell) - detect_cell_bytes(before);
    unlink_node(table, at);
    table->nodes[at].cell = cell;
    link_node(table, at);
    detect_cell_release(before);
}

static int
compare_nodes(const void *left, const void *right, void *self)
{
    const struct node *nodes = self;
    return compare_cells(nodes[*(const uint32_t *)left].cell, nodes[*(const uint32_t *)right].cell);
}

static void
sort_list(struct detect_table *table)
{
    uint32_t *order = base_alloc(table->count, sizeof *order);
    size_t count = 0;
    for (uint32_t at = table->nodes[0].older; at != NONE; at = table->nodes[at].older)
        order[count++] = at;
    must(count == table->count);
    qsort_r(order, count, sizeof *order, compare_nodes, table->nodes);
    table->nodes[0].newer = table->nodes[0].older = 0;
    for (size_t i = 0; i < count; i++)
        link_below(table, order[i], 0);
    base_free(order);
    table->unsorted = false;
}

static void
drop_oldest(struct detect_table *table)
{
    if (table->unsorted)
        sort_list(table);
    uint32_t oldest = table->nodes[0].newer;
    must(oldest != NONE);
    if (table->watch != NULL)
        table->watch(table->watch_self, table, table->nodes[oldest].cell, NULL);
    remove_node(table, oldest);
    table->dropped++;
}

/* -- what the others call ---------------------------------------------------------------- */

struct table_spot
table_find(const struct detect_table *table, struct str subject)
{
    struct table_spot spot = {.hash = table_hash(table, subject)};
    spot.node = find(table, subject, spot.hash);
    spot.cell = spot.node == NONE ? NULL : table->nodes[spot.node].cell;
    return spot;
}

const struct detect_cell *
detect_table_get(const struct detect_table *table, struct str subject)
{
    return table_find(table, subject).cell;
}

static void
put(struct detect_table *table, struct detect_cell *cell, uint32_t hash, uint32_t at)
{
    if (at == NONE && table->count >= table->max)
        drop_oldest(table);
    if (table->watch != NULL)
        table->watch(table->watch_self, table, at == NONE ? NULL : table->nodes[at].cell, cell);
    if (at == NONE)
        add_node(table, cell, hash);
    else
        replace_cell(table, at, cell);
}

void
detect_table_put(struct detect_table *table, struct detect_cell *cell)
{
    uint32_t hash = table_hash(table, subject_of(cell));
    put(table, cell, hash, find(table, subject_of(cell), hash));
}

/* A cell that nobody else can see may be written again. */
static bool
rewrite(struct detect_table *table, uint32_t at, struct str state, uint64_t stamp)
{
    struct detect_cell *cell = table->nodes[at].cell;
    if (state.len > cell->state_room || __atomic_load_n(&cell->references, __ATOMIC_ACQUIRE) != 1)
        return false;
    memcpy(cell->bytes + cell->subject_len, state.ptr, state.len);
    cell->state_len = (uint32_t)state.len;
    cell->stamp = stamp;
    unlink_node(table, at);
    link_node(table, at);
    return true;
}

/* Where nobody watches, cells are written again and again, and states grow by and by. */
void
table_store(struct detect_table *table, const struct table_spot *spot, struct str subject,
            struct str state, uint64_t stamp)
{
    bool alone = table->watch == NULL;
    if (alone && spot->node != NONE && rewrite(table, spot->node, state, stamp))
        return;
    bool grows = alone && spot->node != NONE;
    size_t room = grows ? state.len + state.len / 8 + 16 : state.len;
    put(table, new_cell(subject, state, stamp, room), spot->hash, spot->node);
}

void
detect_table_undo(struct detect_table *table, struct detect_cell *before, struct detect_cell *after)
{
    must(before != NULL || after != NULL);
    struct str subject = subject_of(after != NULL ? after : before);
    uint32_t hash = table_hash(table, subject), at = find(table, subject, hash);
    if (after == NULL) {
        must(at == NONE && table->dropped > 0);
        add_node(table, detect_cell_keep(before), hash);
        table->dropped--;
        return;
    }
    must(at != NONE && table->nodes[at].cell == after);
    if (before == NULL)
        remove_node(table, at);
    else
        replace_cell(table, at, detect_cell_keep(before));
}

void
detect_table_each(const struct detect_table *table,
                  bool (*fn)(void *self, struct detect_cell *cell), void *self)
{
    for (uint32_t at = table->nodes[0].newer; at != NONE; at = table->nodes[at].newer)
        if (!fn(self, table->nodes[at].cell))
            return;
}

void
detect_table_watch(struct detect_table *table, detect_change_fn fn, void *self)
{
    table->watch = fn;
    table->watch_self = self;
}

size_t
detect_table_count(const struct detect_table *table)
{
    return table->count;
}

size_t
detect_table_bytes(const struct detect_table *table)
{
    return table->bytes;
}

uint64_t
detect_table_dropped(const struct detect_table *table)
{
    return table->dropped;
}

uint64_t
detect_table_late(const struct detect_table *table)
{
    return table->late;
}

void
table_count_late(struct detect_table *table)
{
    table->late++;
}

struct state_writer
table_scratch(struct detect_table *table)
{
    if (table->scratch == NULL)
        table->scratch = base_alloc(SCRATCH_SIZE, 1);
    return (struct state_writer){table->scratch, 0, SCRATCH_SIZE};
}
