/* seal_index - the index of a sealed segment as it is written, made from the one in memory.
 *
 *   labels            number (4); for each: length (2), text
 *   filter            blocks of 64 bytes: 480 bits, and a CRC32C that begins with the number of the
 *                     block; a term has its seven bits in one block
 *   terms             buckets by the term's first bits: CRC32C of the bucket's number and what
 *                     follows (4), number of terms (4), and for each term, ascending:
 *                       a tag: low three bits, how many bytes the step has, less one; the others,
 *                         how many rows the term has, or 31
 *                       the step from the term before (from the bucket's least term for the first)
 *                       up to 30 rows: the first, then steps, as varints
 *                       31: number of rows, and where in the row lists they stand, as varints
 *   term directory    where each bucket begins (4), and the end of the last
 *   row lists         for each 128 rows: first row (4), where they end (4), CRC32C (4); CRC32C of
 *                     all these (4); then the rows: the first of each 128, then steps, as varints
 * Each section is filled up with zeros to a multiple of eight. */
#include "log/log_priv.h"

#include <stdlib.h>

enum { TERMS_PER_BUCKET = 64, BITS_MAX = 24, TAG_LIST = LIST_INLINE_MAX + 1 };

struct entry {
    uint64_t term, posting;
};

/* What one sealing needs beside the file; gone with it. */
struct work {
    const struct memory_index *index;
    struct sink *sink;
    struct entry *entries;
    size_t count;
    uint32_t bits;  /* that choose a bucket */
    uint32_t *rows; /* of one term, backwards from the end */
    uint32_t row_count;
    struct buffer bucket, directory, lists, list;
};

static int
compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return (x->term > y->term) - (x->term < y->term);
}

/* Terms are hashes, so their first bits spread them evenly: put into buckets first, they are sorted
 * a few at a time, within reach of the nearest cache. */
static void
sort_terms(struct work *work, const struct entry *entries)
{
    size_t buckets = (size_t)1 << work->bits;
    size_t *ends = base_alloc(buckets + 1, sizeof *ends);
    for (size_t i = 0; i < work->count; i++)
        ends[bucket_of(entries[i].term, work->bits) + 1]++;
    for (size_t i = 0; i < buckets; i++)
        ends[i + 1] += ends[i];
    for (size_t i = 0; i < work->count; i++)
        work->entries[ends[bucket_of(entries[i].term, work->bits)]++] = entries[i];
    for (size_t i = 0, from = 0; i < buckets; from = ends[i++])
        qsort(work->entries + from, ends[i] - from, sizeof *entries, compare_entries);
    base_free(ends);
}

static void
collect_terms(struct work *work)
{
    size_t all = memory_index_terms(work->index);
    struct entry *entries = base_alloc(all + 1, sizeof *entries);
    for (size_t i = 0; i < all; i++) {
        struct entry *entry = &entries[work->count];
        entry->term = memory_index_term(work->index, i, &entry->posting);
        if (entry->posting != POSTING_NONE)
            work->count++;
    }
    while (work->bits < BITS_MAX && work->count >> work->bits > TERMS_PER_BUCKET)
        work->bits++;
    work->entries = base_alloc(work->count + 1, sizeof *work->entries);
    sort_terms(work, entries);
    base_free(entries);
}

/* -- labels and the filter ------------------------------------------------------------ */

static bool
write_labels(struct work *work, struct err *err)
{
    struct sink *sink = work->sink;
    uint32_t count = 0;
    const struct label *label;
    for (label = memory_index_labels(work->index); label != NULL; label = label->older)
        if (label->first != UINT32_MAX)
            count++;
    if (!sink_begin(sink, SECTION_LABELS, err) || !sink_add(sink, &count, sizeof count, err))
        return false;
    for (label = memory_index_labels(work->index); label != NULL; label = label->older) {
        if (label->first == UINT32_MAX)
            continue;
        uint16_t len = (uint16_t)label->len;
        if (!sink_add(sink, &len, sizeof len, err) || !sink_add(sink, label->text, len, err))
            return false;
    }
    return true;
}

static bool
write_filter(struct work *work, struct err *err)
{
    uint64_t blocks = (work->count + BLOOM_TERMS - 1) / BLOOM_TERMS;
    unsigned char *bits = base_alloc((size_t)blocks + 1, BLOOM_BLOCK);
    for (size_t i = 0; i < work->count; i++)
        filter_add(bits, blocks, work->entries[i].term);
    filter_finish(bits, blocks);
    bool ok = sink_begin(work->sink, SECTION_BLOOM, err) &&
              sink_add(work->sink, bits, (size_t)blocks * BLOOM_BLOCK, err);
    base_free(bits);
    return ok;
}

/* -- terms and their rows ---------------------------------------------------------------- */

static void
add_varint(struct buffer *out, uint64_t value)
{
    for (; value >= 128; value >>= 7)
        buffer_add_char(out, (char)(value | 128));
    buffer_add_char(out, (char)value);
}

static void
add_rows(struct buffer *out, const uint32_t *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        add_varint(out, i == 0 ? rows[0] : rows[i] - rows[i - 1]);
}

static const uint32_t *
rows_of(struct work *work, uint64_t posting, size_t *count_out)
{
    uint32_t *rows = work->rows + work->row_count;
    for (; posting != POSTING_NONE; posting = memory_index_older(work->index, posting)) {
        must(rows > work->rows);
        *--rows = (uint32_t)(posting >> 32);
    }
    *count_out = (size_t)(work->rows + work->row_count - rows);
    return rows;
}

static void
add_list(struct work *work, const uint32_t *rows, size_t count)
{
    struct buffer *data = &work->list;
    buffer_clear(data);
    size_t table_at = work->lists.len, chunks = (count + LIST_CHUNK - 1) / LIST_CHUNK;
    for (size_t i = 0; i < chunks; i++) {
        size_t from = data->len, rest = count - i * LIST_CHUNK;
        add_rows(data, rows + i * LIST_CHUNK, rest < LIST_CHUNK ? rest : LIST_CHUNK);
        unsigned char entry[LIST_ENTRY];
        put32(entry, rows[i * LIST_CHUNK]);
        put32(entry + 4, (uint32_t)data->len);
        put32(entry + 8, crc32c(0, data->ptr + from, data->len - from));
        buffer_add_bytes(&work->lists, entry, sizeof entry);
    }
    uint32_t crc = crc32c(0, work->lists.ptr + table_at, work->lists.len - table_at);
    buffer_add_bytes(&work->lists, &crc, sizeof crc);
    buffer_add_bytes(&work->lists, data->ptr, data->len);
}

static void
add_term(struct work *work, const struct entry *entry, uint64_t step)
{
    size_t count, size = 1;
    const uint32_t *rows = rows_of(work, entry->posting, &count);
    while (size < 8 && step >> (8 * size) != 0)
        size++;
    size_t in_tag = count <= LIST_INLINE_MAX ? count : TAG_LIST;
    buffer_add_char(&work->bucket, (char)(in_tag << 3 | (size - 1)));
    buffer_add_bytes(&work->bucket, &step, size);
    if (in_tag != TAG_LIST) {
        add_rows(&work->bucket, rows, count);
        return;
    }
    add_varint(&work->bucket, count);
    add_varint(&work->bucket, work->lists.len);
    add_list(work, rows, count);
}

static bool
write_buckets(struct work *work, uint32_t bits, struct err *err)
{
    uint32_t at = 0;
    size_t next = 0;
    if (!sink_begin(work->sink, SECTION_BUCKETS, err))
        return false;
    for (uint32_t number = 0; number < 1u << bits; number++) {
        uint64_t term = bits == 0 ? 0 : (uint64_t)number << (64 - bits);
        size_t first = next;
        buffer_clear(&work->bucket);
        buffer_add_bytes(&work->bucket, (char[BUCKET_HEAD]){0}, BUCKET_HEAD);
        for (; next < work->count && bucket_of(work->entries[next].term, bits) == number; next++) {
            add_term(work, &work->entries[next], work->entries[next].term - term);
            term = work->entries[next].term;
        }
        char *bytes = work->bucket.ptr, name[4];
        size_t len = work->bucket.len;
        put32(name, number);
        put32(bytes + 4, (uint32_t)(next - first));
        put32(bytes, crc32c(crc32c(0, name, 4), bytes + 4, len - 4));
        buffer_add_bytes(&work->directory, &at, sizeof at);
        at += (uint32_t)len;
        if (!sink_add(work->sink, bytes, len, err))
            return false;
    }
    buffer_add_bytes(&work->directory, &at, sizeof at);
    must(next == work->count);
    return sink_begin(work->sink, SECTION_BUCKET_DIRECTORY, err) &&
           sink_add(work->sink, work->directory.ptr, work->directory.len, err) &&
           sink_begin(work->sink, SECTION_LISTS, err) &&
           sink_add(work->sink, work->lists.ptr, work->lists.len, err);
}

bool
seal_index(struct sink *sink, const struct memory_index *index, struct err *err)
{
    struct work work = {.index = index, .sink = sink, .row_count = memory_index_rows(index)};
    buffer_init(&work.bucket, UINT32_MAX);
    buffer_init(&work.directory, UINT32_MAX);
    buffer_init(&work.lists, UINT32_MAX);
    buffer_init(&work.list, UINT32_MAX);
    collect_terms(&work);
    work.rows = base_alloc((size_t)work.row_count + 1, sizeof *work.rows);

    sink->sealed->bucket_bits = work.bits;
    sink->sealed->terms = work.count;
    bool ok = write_labels(&work, err) && write_filter(&work, err) &&
              write_buckets(&work, work.bits, err);
    must(!work.bucket.ran_out && !work.directory.ran_out && !work.lists.ran_out);

    base_free(work.rows);
    base_free(work.entries);
    buffer_fini(&work.bucket);
    buffer_fini(&work.directory);
    buffer_fini(&work.lists);
    buffer_fini(&work.list);
    return ok;
}
