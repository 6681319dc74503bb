/* memory_index - the index of a segment that is not sealed. One thread writes, any may read without
 * a lock.
 *
 * A table of chain heads, of fixed size, leads to one node for each term; the node holds the newest
 * row and where the one before stands, in one word, and each older row is such a word of its own.
 * All lie in chunks that never move. The writer prepares a node or word, then stores what leads to
 * it with release. About every 64th row of a term has a mark beside its word, and the marks have a
 * chain of their own, so that a reader can leap over what it does not want. A word that is no
 * longer wanted (its commit failed) is taken out of its list but never used again, since a reader
 * may be standing on it. A reader takes the count of published rows first and passes over every row
 * at or past it. */
#include "log/log_priv.h"

enum {
    CHUNK_BITS = 14,
    CHUNK = 1 << CHUNK_BITS,
    LABEL_TABLE = 4096,
};
#define POSTINGS_END UINT32_MAX /* as the place of older ones */

struct node {
    uint64_t term;
    _Atomic uint64_t newest;
    uint32_t next;         /* in the table's chain: number + 1 */
    _Atomic uint32_t mark; /* the newest: number + 1 */
};

struct mark {
    uint64_t word;  /* as it stood when this row was the newest */
    uint32_t older; /* number + 1 */
};

struct chunks {
    char **chunks;
    size_t size, max; /* of an element; how many there may be */
    size_t count;     /* the writer's */
};

struct memory_index {
    void *table_memory;
    _Atomic uint32_t *table; /* node number + 1 */
    uint32_t table_mask;
    struct chunks rows, nodes, words, marks;
    _Atomic uint32_t published;
    struct arena label_arena;
    struct label **label_table;
    struct label *_Atomic labels;
    _Atomic size_t bytes;
};

/* -- chunks ------------------------------------------------------------------- */

static void
chunks_init(struct chunks *chunks, size_t size, size_t max)
{
    size_t chunk_count = max / CHUNK + 1;
    *chunks =
        (struct chunks){base_alloc(chunk_count, sizeof(char *)), size, chunk_count * CHUNK, 0};
}

static void
chunks_fini(struct chunks *chunks)
{
    for (size_t i = 0; i < chunks->max / CHUNK; i++)
        base_free(chunks->chunks[i]);
    base_free(chunks->chunks);
}

static inline void *
chunks_at(const struct chunks *chunks, size_t number)
{
    return chunks->chunks[number >> CHUNK_BITS] + (number & (CHUNK - 1)) * chunks->size;
}

/* Makes room for number `count`; the caller counts it in when it is whole. */
static void *
chunks_add(struct memory_index *index, struct chunks *chunks)
{
    must(chunks->count < chunks->max);
    char **chunk = &chunks->chunks[chunks->count >> CHUNK_BITS];
    if (*chunk == NULL) {
        *chunk = base_alloc(CHUNK, chunks->size);
        atomic_fetch_add_explicit(&index->bytes, CHUNK * chunks->size, memory_order_relaxed);
    }
    return chunks_at(chunks, chunks->count);
}

struct memory_index *
memory_index_new(uint64_t bytes)
{
    struct memory_index *index = base_alloc(1, sizeof *index);
    uint32_t slots = 256;
    while (slots < bytes / 256 && slots < 1u << 24)
        slots *= 2;
    index->table = index->table_memory = base_alloc(slots, sizeof *index->table);
    index->table_mask = slots - 1;
    /* A row takes at least 24 bytes of the file and a term 8. */
    chunks_init(&index->rows, sizeof(struct memory_row), (size_t)bytes / RECORD_HEAD);
    chunks_init(&index->nodes, sizeof(struct node), (size_t)bytes / 8);
    chunks_init(&index->words, sizeof(uint64_t), (size_t)bytes / 8);
    chunks_init(&index->marks, sizeof(struct mark), (size_t)bytes / 8);
    arena_init(&index->label_arena, 4096, (size_t)bytes * 4 + 64 * 1024);
    index->label_table = base_alloc(LABEL_TABLE, sizeof(struct label *));
    atomic_init(&index->bytes, slots * sizeof *index->table);
    return index;
}

void
memory_index_free(struct memory_index *index)
{
    if (index == NULL)
        return;
    chunks_fini(&index->rows);
    chunks_fini(&index->nodes);
    chunks_fini(&index->words);
    chunks_fini(&index->marks);
    arena_fini(&index->label_arena);
    base_free(index->label_table);
    base_free(index->table_memory);
    base_free(index);
}

bool
memory_index_has_room(const struct memory_index *index, size_t commit_bytes)
{
    size_t terms = commit_bytes / 8;
    return index->rows.count + commit_bytes / RECORD_HEAD < index->rows.max &&
           index->nodes.count + terms < index->nodes.max &&
           index->words.count + terms < index->words.max;
}

/* -- writing ---------------------------------------------------------------------- */

static struct node *
find_node(const struct memory_index *index, uint64_t term)
{
    uint32_t number =
        atomic_load_explicit(&index->table[term & index->table_mask], memory_order_acquire);
    while (number != 0) {
        struct node *node = chunks_at(&index->nodes, number - 1);
        if (node->term == term)
            return node;
        number = node->next;
    }
    return NULL;
}

/* Any rule will do that picks one row in 64 whatever the rows of a term have in common. */
static inline bool
is_marked(uint32_t row)
{
    return row * 0x9E3779B1u >> 26 == 0;
}

static const struct mark *
mark_at(const struct memory_index *index, uint32_t mark)
{
    return chunks_at(&index->marks, mark - 1);
}

static void
link_term(struct memory_index *index, uint64_t term, uint32_t row)
{
    struct node *node = find_node(index, term);
    if (node == NULL) {
        _Atomic uint32_t *slot = &index->table[term & index->table_mask];
        node = chunks_add(index, &index->nodes);
        node->term = term;
        node->next = atomic_load_explicit(slot, memory_order_relaxed);
        atomic_init(&node->newest, (uint64_t)row << 32 | POSTINGS_END);
        index->nodes.count++;
        atomic_store_explicit(slot, (uint32_t)index->nodes.count, memory_order_release);
        return;
    }
    uint64_t older = atomic_load_explicit(&node->newest, memory_order_relaxed);
    uint32_t place = POSTINGS_END;
    if (older != POSTING_NONE) {
        uint64_t *word = chunks_add(index, &index->words);
        *word = older;
        place = (uint32_t)index->words.count++;
    }
    uint64_t newest = (uint64_t)row << 32 | place;
    if (older != POSTING_NONE && is_marked(row)) {
        struct mark *mark = chunks_add(index, &index->marks);
        *mark = (struct mark){newest, atomic_load_explicit(&node->mark, memory_order_relaxed)};
        atomic_store_explicit(&node->mark, (uint32_t)++index->marks.count, memory_order_release);
    }
    atomic_store_explicit(&node->newest, newest, memory_order_release);
}

static void
link_label(struct memory_index *index, struct str text, uint32_t row)
{
    struct label **slot = &index->label_table[hash64(0, text.ptr, text.len) & (LABEL_TABLE - 1)];
    for (struct label *label = *slot; label != NULL; label = label->next) {
        if (label->len != text.len || memcmp(label->text, text.ptr, text.len) != 0)
            continue;
        if (atomic_load_explicit(&label->first, memory_order_relaxed) == UINT32_MAX)
            atomic_store_explicit(&label->first, row, memory_order_release);
        return;
    }
    struct label *label =
        arena_alloc(&index->label_arena, 1, sizeof *label + text.len, _Alignof(struct label));
    must(label != NULL);
    label->len = (uint32_t)text.len;
    memcpy(label->text, text.ptr, text.len);
    atomic_init(&label->first, row);
    label->next = *slot;
    label->older = atomic_load_explicit(&index->labels, memory_order_relaxed);
    *slot = label;
    atomic_store_explicit(&index->labels, label, memory_order_release);
    atomic_fetch_add_explicit(&index->bytes, sizeof *label + text.len, memory_order_relaxed);
}

static inline uint64_t
term_of(const struct record_view *view, size_t i)
{
    return get64(view->bytes + RECORD_HEAD + 8 * i);
}

/* The next record's chain heads are asked for while this one's are looked at: the table is too
 * large for the caches that are near. */
static void
fetch_terms(const struct memory_index *index, const struct record_view *view)
{
    for (size_t i = 0; i < view->term_count; i++)
        __builtin_prefetch(&index->table[term_of(view, i) & index->table_mask]);
}

void
memory_index_link(struct memory_index *index, const char *bytes, size_t len, uint64_t offset)
{
    const unsigned char *at = (const unsigned char *)bytes, *end = at + len;
    struct record_view view, next;
    if (at < end)
        must(record_head(at, &next) == NULL);
    while (at < end) {
        view = next;
        if (at + view.size < end) {
            must(record_head(at + view.size, &next) == NULL);
            fetch_terms(index, &next);
        }
        if (view.kind <= KIND_ROW_MAX) {
            uint32_t row = (uint32_t)index->rows.count;
            struct memory_row *entry = chunks_add(index, &index->rows);
            *entry = (struct memory_row){view.at, (uint32_t)(offset / 8),
                                         (uint32_t)(view.size / 8) << 8 | view.kind};
            for (size_t i = 0; i < view.term_count; i++)
                link_term(index, term_of(&view, i), row);
            if (view.label.len > 0)
                link_label(index, view.label, row);
            index->rows.count++;
        }
        at += view.size;
        offset += view.size;
    }
}

void
memory_index_undo(struct memory_index *index, const char *bytes, size_t len)
{
    uint32_t published = memory_index_rows(index);
    const unsigned char *at = (const unsigned char *)bytes, *end = at + len;
    struct record_view view;
    for (; at < end; at += view.size) {
        must(record_head(at, &view) == NULL);
        if (view.kind > KIND_ROW_MAX)
            continue;
        for (size_t i = 0; i < view.term_count; i++) {
            struct node *node = find_node(index, term_of(&view, i));
            must(node != NULL);
            uint64_t word = atomic_load_explicit(&node->newest, memory_order_relaxed);
            while (word != POSTING_NONE && word >> 32 >= published)
                word = memory_index_older(index, word);
            atomic_store_explicit(&node->newest, word, memory_order_release);
            uint32_t mark = atomic_load_explicit(&node->mark, memory_order_relaxed);
            while (mark != 0 && mark_at(index, mark)->word >> 32 >= published)
                mark = mark_at(index, mark)->older;
            atomic_store_explicit(&node->mark, mark, memory_order_release);
        }
    }
    for (struct label *label = index->labels; label != NULL; label = label->older)
        if (atomic_load_explicit(&label->first, memory_order_relaxed) >= published)
            atomic_store_explicit(&label->first, UINT32_MAX, memory_order_release);
    index->rows.count = published;
}

void
memory_index_publish(struct memory_index *index)
{
    atomic_store_explicit(&index->published, (uint32_t)index->rows.count, memory_order_release);
}

/* -- reading ------------------------------------------------------------------------- */

uint32_t
memory_index_rows(const struct memory_index *index)
{
    return atomic_load_explicit(&index->published, memory_order_acquire);
}

struct memory_row
memory_index_row(const struct memory_index *index, uint32_t row)
{
    return *(const struct memory_row *)chunks_at(&index->rows, row);
}

struct posting
memory_index_find(const struct memory_index *index, uint64_t term)
{
    struct node *node = find_node(index, term);
    if (node == NULL)
        return (struct posting){POSTING_NONE, 0};
    uint64_t newest = atomic_load_explicit(&node->newest, memory_order_acquire);
    return (struct posting){newest, atomic_load_explicit(&node->mark, memory_order_acquire)};
}

/* Marks are only followed to words older than the one in hand, so it does no harm that the newest
 * of them may be younger than it, or of a commit that failed: then it is not published for this
 * reader, and `row` is. */
void
memory_index_seek(const struct memory_index *index, struct posting *posting, uint32_t row)
{
    uint64_t word = posting->word;
    if (word == POSTING_NONE || word >> 32 <= row)
        return;
    while (posting->mark != 0) {
        const struct mark *mark = mark_at(index, posting->mark);
        if (mark->word >> 32 <= row)
            break;
        if (mark->word < word)
            word = mark->word;
        posting->mark = mark->older;
    }
    while (word != POSTING_NONE && word >> 32 > row)
        word = memory_index_older(index, word);
    posting->word = word;
}

uint64_t
memory_index_older(const struct memory_index *index, uint64_t posting)
{
    uint32_t place = (uint32_t)posting;
    return place == POSTINGS_END ? POSTING_NONE
                                 : *(const uint64_t *)chunks_at(&index->words, place);
}

const struct label *
memory_index_labels(const struct memory_index *index)
{
    return atomic_load_explicit(&index->labels, memory_order_acquire);
}

size_t
memory_index_bytes(const struct memory_index *index)
{
    return atomic_load_explicit(&index->bytes, memory_order_relaxed);
}

size_t
memory_index_terms(const struct memory_index *index)
{
    return index->nodes.count;
}

uint64_t
memory_index_term(const struct memory_index *index, size_t number, uint64_t *posting_out)
{
    const struct node *node = chunks_at(&index->nodes, number);
    *posting_out = atomic_load_explicit(&node->newest, memory_order_acquire);
    return node->term;
}
