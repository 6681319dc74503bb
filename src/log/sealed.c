/* sealed - reading a sealed segment, its frames aside (the format stands in seal.c). Everything is
 * read by pread, its checksum is looked at, and its numbers are not believed: a file may be damaged
 * in any way. To find a term's rows, the filter says no, or the term's bucket is read, and if the
 * rows are many, the chunks of their list that are wanted. */
#include "log/log_priv.h"

enum { PROBES = 7, TAG_LIST = LIST_INLINE_MAX + 1 };
enum { VERSION = 1, AT_CRC = 12, SECTION_ENTRY = 24, AT_SECTIONS = 112 };
_Static_assert(AT_SECTIONS + SECTION_COUNT * SECTION_ENTRY == SEALED_HEAD, "as seal.c says");

static const char sealed_magic[8] = {'T', 'o', 'c', 's', 'i', 'n', 'S', 'g'};

const char *const section_names[SECTION_COUNT] = {
    [SECTION_HEADER] = "plain header", [SECTION_DICTIONARY] = "dictionary",
    [SECTION_FRAMES] = "frames",       [SECTION_DIRECTORY] = "frame directory",
    [SECTION_LABELS] = "labels",       [SECTION_BLOOM] = "filter",
    [SECTION_BUCKETS] = "terms",       [SECTION_BUCKET_DIRECTORY] = "term directory",
    [SECTION_LISTS] = "row lists",
};

/* -- the head ------------------------------------------------------------------- */

bool
is_sealed(const unsigned char *bytes)
{
    return memcmp(bytes, sealed_magic, sizeof sealed_magic) == 0;
}

static uint32_t
head_crc(const unsigned char *bytes)
{
    return crc32c(crc32c(0, bytes, AT_CRC), bytes + AT_CRC + 4, SEALED_HEAD - AT_CRC - 4);
}

void
sealed_head_encode(unsigned char out[static SEALED_HEAD], const struct sealed *sealed)
{
    memset(out, 0, SEALED_HEAD);
    memcpy(out, sealed_magic, sizeof sealed_magic);
    put32(out + 8, VERSION);
    put64(out + 16, sealed->seed);
    put64(out + 24, sealed->first);
    put64(out + 32, sealed->tail.at);
    put64(out + 40, sealed->tail.end);
    memcpy(out + 48, sealed->tail.hash, LOG_HASH_SIZE);
    put64(out + 80, sealed->rows);
    put64(out + 88, sealed->commits);
    put64(out + 96, sealed->terms);
    put32(out + 104, sealed->bucket_bits);
    put32(out + 108, sealed->frames);
    for (size_t i = 0; i < SECTION_COUNT; i++) {
        unsigned char *entry = out + AT_SECTIONS + i * SECTION_ENTRY;
        put64(entry, sealed->sections[i].offset);
        put64(entry + 8, sealed->sections[i].len);
        put32(entry + 16, sealed->sections[i].crc);
    }
    put32(out + AT_CRC, head_crc(out));
}

static const char *
check_sizes(const struct sealed *sealed, uint64_t file_size)
{
    uint64_t at = SEALED_HEAD;
    const struct section *sections = sealed->sections;
    for (size_t i = 0; i < SECTION_COUNT; i++) {
        if (sections[i].offset != at || sections[i].len % 8 != 0 || sections[i].len > file_size)
            return "the sections of the sealed segment do not follow each other";
        at += sections[i].len;
    }
    if (at != file_size)
        return "the sealed segment has not the size its head says";
    uint64_t buckets = 1ull << (sealed->bucket_bits > 24 ? 25 : sealed->bucket_bits);
    if (sealed->bucket_bits > 24 || sealed->tail.end > INT32_MAX ||
        sealed->rows > sealed->tail.end / RECORD_HEAD ||
        sections[SECTION_DIRECTORY].len != (uint64_t)sealed->frames * DIRECTORY_ENTRY ||
        sections[SECTION_BUCKET_DIRECTORY].len != align8((buckets + 1) * 4) ||
        sections[SECTION_BLOOM].len % BLOOM_BLOCK != 0 ||
        sections[SECTION_BUCKETS].len > UINT32_MAX || sections[SECTION_FRAMES].len > UINT32_MAX ||
        (sealed->rows > 0 && sealed->frames == 0))
        return "the sealed segment's numbers cannot be";
    return NULL;
}

const char *
sealed_head_parse(const unsigned char bytes[static SEALED_HEAD], uint64_t file_size,
                  struct sealed *sealed_out)
{
    if (!is_sealed(bytes))
        return "no sealed segment begins here";
    if (get32(bytes + 8) != VERSION)
        return "the sealed segment's version is not ours";
    if (!crc_is(get32(bytes + AT_CRC), head_crc(bytes)))
        return "the head does not match its checksum";
    struct sealed sealed = {
        .seed = get64(bytes + 16),
        .first = get64(bytes + 24),
        .tail = {get64(bytes + 24), get64(bytes + 40), get64(bytes + 32), {0}},
        .rows = get64(bytes + 80),
        .commits = get64(bytes + 88),
        .terms = get64(bytes + 96),
        .size = file_size,
        .bucket_bits = get32(bytes + 104),
        .frames = get32(bytes + 108),
    };
    memcpy(sealed.tail.hash, bytes + 48, LOG_HASH_SIZE);
    for (size_t i = 0; i < SECTION_COUNT; i++) {
        const unsigned char *entry = bytes + AT_SECTIONS + i * SECTION_ENTRY;
        sealed.sections[i] = (struct section){get64(entry), get64(entry + 8), get32(entry + 16)};
    }
    const char *why = check_sizes(&sealed, file_size);
    if (why == NULL)
        *sealed_out = sealed;
    return why;
}

bool
sealed_open(struct log *log, struct log_file *file, struct segment **segment_out, char **note_out,
            struct err *err)
{
    const struct log_disk *disk = &log->disk;
    unsigned char head[SEALED_HEAD];
    uint64_t size;
    if (!disk->size(disk->self, file, &size, err))
        return false;
    if (size < SEALED_HEAD)
        return err_set(err, ERR_CORRUPT, "offset 0: the sealed segment is cut off");
    if (!disk->read(disk->self, file, 0, head, sizeof head, err))
        return false;
    struct sealed sealed;
    struct header header;
    const char *why = sealed_head_parse(head, size, &sealed);
    if (why != NULL)
        return err_set(err, ERR_CORRUPT, "offset 0: %s", why);
    uint64_t limit = SEALED_HEAD + sealed.sections[SECTION_HEADER].len;
    if (!header_read(disk, file, SEALED_HEAD, limit, &header, note_out, err))
        return false;
    if (header.seed != sealed.seed || header.first != sealed.first ||
        header.size != sealed.sections[SECTION_HEADER].len) {
        if (note_out != NULL)
            base_free(*note_out);
        return err_set(err, ERR_CORRUPT, "offset %d: the header is another segment's", SEALED_HEAD);
    }
    struct segment *segment = segment_new(log, file, &header);
    segment->sealed = base_alloc(1, sizeof sealed);
    *segment->sealed = sealed;
    segment->tail = sealed.tail;
    segment->end = sealed.tail.end;
    *segment_out = segment;
    return true;
}

/* -- reading -------------------------------------------------------------------------- */

bool
sealed_damaged(const struct segment *segment, uint64_t offset, const char *why, struct err *err)
{
    err_set(err, ERR_CORRUPT, "log: %s: offset %llu: %s", segment->name, (unsigned long long)offset,
            why);
    return false;
}

bool
sealed_read(const struct segment *segment, uint64_t at, void *to, size_t len, struct err *err)
{
    bool ok = segment->disk->read(segment->disk->self, segment->file, at, to, len, err);
    if (!ok)
        err_prefix(err, "log: %s", segment->name);
    return ok;
}

/* A section as it stands, its checksum looked at. */
bool
sealed_section(const struct segment *segment, enum section_name name, unsigned char *to,
               struct err *err)
{
    const struct section *section = &segment->sealed->sections[name];
    if (!sealed_read(segment, section->offset, to, (size_t)section->len, err))
        return false;
    if (!crc_is(section->crc, crc32c(0, to, (size_t)section->len)))
        return sealed_damaged(segment, section->offset, "the section does not match its checksum",
                              err);
    return true;
}

bool
sealed_labels(const struct segment *segment, struct arena *arena, struct str *labels_out,
              struct err *err)
{
    size_t len = (size_t)segment->sealed->sections[SECTION_LABELS].len;
    unsigned char *bytes = arena_alloc(arena, len, 1, 8);
    if (bytes == NULL)
        return err_set(err, ERR_LIMIT, "log: the labels take too much memory");
    if (!sealed_section(segment, SECTION_LABELS, bytes, err))
        return false;
    *labels_out = (struct str){(const char *)bytes, len};
    return true;
}

/* -- the filter ---------------------------------------------------------------------- */

static uint64_t
block_of(uint64_t term, uint64_t blocks)
{
    uint64_t mixed = (term ^ term >> 29) * 0x9E3779B97F4A7C15u;
    return (mixed >> 32) * blocks >> 32;
}

static bool
probe_bit(uint64_t term, unsigned probe, uint32_t *bit_out)
{
    uint64_t mixed = (term ^ term >> 32) * 0xD6E8FEB86659FD93u;
    uint32_t base = (uint32_t)mixed, step = (uint32_t)(mixed >> 32) | 1;
    *bit_out = (uint32_t)((uint64_t)(base + probe * step) * BLOOM_BITS >> 32);
    return probe < PROBES;
}

void
filter_add(unsigned char *filter, uint64_t blocks, uint64_t term)
{
    unsigned char *block = filter + block_of(term, blocks) * BLOOM_BLOCK;
    uint32_t bit;
    for (unsigned probe = 0; probe_bit(term, probe, &bit); probe++)
        block[bit / 8] = (unsigned char)(block[bit / 8] | 1u << bit % 8);
}

void
filter_finish(unsigned char *filter, uint64_t blocks)
{
    for (uint64_t i = 0; i < blocks; i++) {
        unsigned char *block = filter + i * BLOOM_BLOCK;
        put32(block + BLOOM_BLOCK - 4, crc32c((uint32_t)i, block, BLOOM_BLOCK - 4));
    }
}

/* False also when it cannot be told: then err says why. */
static bool
may_hold(const struct segment *segment, uint64_t term, bool *may_out, struct err *err)
{
    const struct section *section = &segment->sealed->sections[SECTION_BLOOM];
    *may_out = section->len > 0;
    if (section->len == 0)
        return true;
    uint64_t number = block_of(term, section->len / BLOOM_BLOCK);
    uint64_t at = section->offset + number * BLOOM_BLOCK;
    unsigned char block[BLOOM_BLOCK];
    if (!sealed_read(segment, at, block, sizeof block, err))
        return false;
    if (!crc_is(get32(block + BLOOM_BLOCK - 4), crc32c((uint32_t)number, block, BLOOM_BLOCK - 4)))
        return sealed_damaged(segment, at, "the filter does not match its checksum", err);
    uint32_t bit;
    for (unsigned probe = 0; probe_bit(term, probe, &bit); probe++)
        if ((block[bit / 8] >> bit % 8 & 1) == 0)
            *may_out = false;
    return true;
}

/* -- buckets ---------------------------------------------------------------------------- */

uint32_t
bucket_of(uint64_t term, uint32_t bits)
{
    return bits == 0 ? 0 : (uint32_t)(term >> (64 - bits));
}

static bool
get_varint(const unsigned char **at, const unsigned char *end, uint64_t *value_out)
{
    uint64_t value = 0;
    for (unsigned shift = 0; *at < end && shift < 63; shift += 7) {
        unsigned char byte = *(*at)++;
        value |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) {
            *value_out = value;
            return true;
        }
    }
    return false;
}

bool
rows_decode(const unsigned char **at, const unsigned char *end, size_t count, uint32_t *rows_out)
{
    uint64_t row = 0, step;
    for (size_t i = 0; i < count; i++) {
        if (!get_varint(at, end, &step) || (i > 0 && step == 0) || step > UINT32_MAX)
            return false;
        row += step;
        if (row >= UINT32_MAX)
            return false;
        rows_out[i] = (uint32_t)row;
    }
    return true;
}

static const char *
bucket_begin(struct bucket *bucket, const unsigned char *bytes, size_t len, uint32_t number,
             uint32_t bits)
{
    unsigned char name[4];
    put32(name, number);
    if (len < BUCKET_HEAD)
        return "the bucket of terms is too short";
    if (!crc_is(get32(bytes), crc32c(crc32c(0, name, 4), bytes + 4, len - 4)))
        return "the bucket of terms does not match its checksum";
    *bucket = (struct bucket){
        .at = bytes + BUCKET_HEAD,
        .end = bytes + len,
        .term = bits == 0 ? 0 : (uint64_t)number << (64 - bits),
        .left = get32(bytes + 4),
        .first = true,
    };
    return NULL;
}

bool
bucket_next(struct bucket *bucket, const char **why_out)
{
    *why_out = NULL;
    if (bucket->left == 0) {
        if (bucket->at != bucket->end)
            *why_out = "the bucket of terms has more than it says";
        return false;
    }
    *why_out = "the bucket of terms cannot be read";
    if (bucket->at == bucket->end)
        return false;
    unsigned tag = *bucket->at++;
    size_t size = (tag & 7) + 1;
    if ((size_t)(bucket->end - bucket->at) < size)
        return false;
    uint64_t step = 0;
    memcpy(&step, bucket->at, size);
    bucket->at += size;
    if (bucket->term + step < bucket->term || (step == 0 && !bucket->first))
        return false;
    bucket->term += step;
    bucket->first = false;
    bucket->left--;
    uint32_t rows[LIST_INLINE_MAX];
    uint64_t count;
    if (tag >> 3 != TAG_LIST) {
        bucket->count = tag >> 3;
        bucket->rows = bucket->at;
        if (bucket->count == 0 || !rows_decode(&bucket->at, bucket->end, bucket->count, rows))
            return false;
    } else {
        bucket->rows = NULL;
        if (!get_varint(&bucket->at, bucket->end, &count) || count <= LIST_INLINE_MAX ||
            count >= UINT32_MAX || !get_varint(&bucket->at, bucket->end, &bucket->list))
            return false;
        bucket->count = (uint32_t)count;
    }
    *why_out = NULL;
    return true;
}

/* -- a term's rows ------------------------------------------------------------------------ */

bool
sealed_list(const struct segment *segment, const struct bucket *bucket, struct arena *arena,
            struct list *list_out, struct err *err)
{
    const struct section *section = &segment->sealed->sections[SECTION_LISTS];
    struct list list = {.count = bucket->count};
    list.chunks = (list.count + LIST_CHUNK - 1) / LIST_CHUNK;
    size_t table_len = list.chunks * LIST_ENTRY;
    if (bucket->list > section->len || table_len + 4 > section->len - bucket->list)
        return sealed_damaged(segment, section->offset, "a list of rows goes beyond its section",
                              err);
    unsigned char *table = arena_alloc(arena, table_len + 4, 1, 8);
    if (table == NULL)
        return err_set(err, ERR_LIMIT, "log: a list of rows takes too much memory");
    uint64_t at = section->offset + bucket->list;
    if (!sealed_read(segment, at, table, table_len + 4, err))
        return false;
    if (!crc_is(get32(table + table_len), crc32c(0, table, table_len)))
        return sealed_damaged(segment, at, "a list of rows does not match its checksum", err);
    uint32_t end = 0;
    for (size_t i = 0; i < list.chunks; i++) {
        if (get32(table + i * LIST_ENTRY + 4) < end)
            return sealed_damaged(segment, at, "a list of rows is out of order", err);
        end = get32(table + i * LIST_ENTRY + 4);
    }
    if (end > section->len - bucket->list - table_len - 4)
        return sealed_damaged(segment, at, "a list of rows goes beyond its section", err);
    list.table = table;
    list.offset = at + table_len + 4;
    *list_out = list;
    return true;
}

bool
sealed_bucket(const struct segment *segment, uint32_t number, struct arena *arena,
              struct bucket *bucket_out, struct err *err)
{
    const struct sealed *sealed = segment->sealed;
    const struct section *section = &sealed->sections[SECTION_BUCKETS];
    uint64_t entry = sealed->sections[SECTION_BUCKET_DIRECTORY].offset + 4ull * number;
    unsigned char ends[8];
    if (!sealed_read(segment, entry, ends, sizeof ends, err))
        return false;
    uint32_t from = get32(ends), to = get32(ends + 4);
    if (from > to || to > section->len)
        return sealed_damaged(segment, entry, "the place of a bucket of terms cannot be", err);
    unsigned char *bytes = arena_alloc(arena, to - from, 1, 8);
    if (bytes == NULL)
        return err_set(err, ERR_LIMIT, "log: a bucket of terms takes too much memory");
    if (!sealed_read(segment, section->offset + from, bytes, to - from, err))
        return false;
    const char *why = bucket_begin(bucket_out, bytes, to - from, number, sealed->bucket_bits);
    if (why != NULL)
        return sealed_damaged(segment, section->offset + from, why, err);
    return true;
}

bool
sealed_find(const struct segment *segment, uint64_t term, struct arena *arena,
            struct list *list_out, struct err *err)
{
    const struct sealed *sealed = segment->sealed;
    *list_out = (struct list){0};
    bool may;
    if (!may_hold(segment, term, &may, err))
        return false;
    if (!may)
        return true;
    struct bucket bucket = {0};
    const char *why;
    if (!sealed_bucket(segment, bucket_of(term, sealed->bucket_bits), arena, &bucket, err))
        return false;
    while (bucket_next(&bucket, &why)) {
        if (bucket.term < term)
            continue;
        if (bucket.term > term)
            return true;
        if (bucket.count > sealed->rows)
            return sealed_damaged(segment, sealed->sections[SECTION_BUCKETS].offset,
                                  "a term has more rows than the segment", err);
        if (bucket.rows == NULL)
            return sealed_list(segment, &bucket, arena, list_out, err);
        uint32_t *rows = arena_array(arena, bucket.count, uint32_t);
        if (rows == NULL)
            return err_set(err, ERR_LIMIT, "log: a term's rows take too much memory");
        must(rows_decode(&bucket.rows, bucket.end, bucket.count, rows));
        *list_out = (struct list){.count = bucket.count, .rows = rows};
        return true;
    }
    if (why != NULL)
        return sealed_damaged(segment, sealed->sections[SECTION_BUCKETS].offset, why, err);
    return true;
}

bool
sealed_chunk(const struct segment *segment, const struct list *list, size_t chunk,
             uint32_t rows_out[static LIST_CHUNK], size_t *count_out, struct err *err)
{
    const unsigned char *entry = list->table + chunk * LIST_ENTRY;
    uint32_t from = chunk == 0 ? 0 : get32(entry - LIST_ENTRY + 4), to = get32(entry + 4);
    unsigned char bytes[LIST_CHUNK * 5];
    uint64_t at = list->offset + from;
    if (to - from > sizeof bytes)
        return sealed_damaged(segment, at, "a list of rows cannot be read", err);
    if (!sealed_read(segment, at, bytes, to - from, err))
        return false;
    if (!crc_is(get32(entry + 8), crc32c(0, bytes, to - from)))
        return sealed_damaged(segment, at, "a list of rows does not match its checksum", err);
    size_t count = chunk + 1 < list->chunks ? LIST_CHUNK : list->count - chunk * LIST_CHUNK;
    const unsigned char *from_bytes = bytes;
    if (!rows_decode(&from_bytes, bytes + (to - from), count, rows_out) ||
        from_bytes != bytes + (to - from) || rows_out[0] != get32(entry))
        return sealed_damaged(segment, at, "a list of rows cannot be read", err);
    *count_out = count;
    return true;
}
