/* format - a segment as it is written, byte by byte.
 *
 * All integers are little-endian; everything begins at a multiple of 8. A segment is a file named
 * by the position of its first row, in twenty digits, and ".log":
 *
 *   a header    0   8  "TocsinLg"
 *               8   4  version, 1
 *              12   4  size of the header: 96 + note, rounded up to 8
 *              16   8  seed of the folder's terms
 *              24   8  position of the first row, as in the name
 *              32   8  the segment before: its first position, 0 if there is none;
 *              40   8    the offset where what counts of it ends,
 *              48   8    the position of its last row,
 *              56  32    the last closing hash
 *              88   4  length of the note
 *              92   4  CRC32C of the header, these four bytes left out
 *              96      the owner's note, then zeros
 *   records     0   4  "Tocr"
 *               4   4  CRC32C of all that follows, padding included
 *               8   4  length, padding not included
 *              12   1  kind: 1 to 250 are rows, 254 an orderly stop, 255 closes a commit
 *              13   1  number of terms
 *              14   2  length of the label
 *              16   8  position; a stop and a close repeat the row's before them
 *              24      terms, 8 bytes each, ascending, each once; label; payload; zeros up to 8
 *   and zeros as far as the file was reserved.
 *
 * The payload of a closing record: hash (32), offset where its commit begins (8), number of records
 * before it (4), zeros (4). The hash is SHA-256 of the previous closing hash and the SHA-256 of
 * each record of the commit, padding included. Before the first of all stands SHA-256 of the text
 * "tocsin commit chain 1". A segment's first commit follows the hash in the header. */
#include "log/log_priv.h"

#include <stdio.h>

enum {
    VERSION = 1,
    WINDOW = 2 * 1024 * 1024,
    AT_CRC = 4,
    AT_LEN = 8,
    AT_KIND = 12,
    AT_TERMS = 13,
    AT_LABEL = 14,
    AT_AT = 16,
};
_Static_assert((int)WINDOW > (int)RECORD_MAX, "one look is enough");

static const char header_magic[8] = {'T', 'o', 'c', 's', 'i', 'n', 'L', 'g'};
static const char record_magic[4] = {'T', 'o', 'c', 'r'};

struct tail
tail_of_nothing(void)
{
    struct tail tail = {0};
    sha256_once(STR("tocsin commit chain 1"), tail.hash);
    return tail;
}

bool
tail_equal(const struct tail *a, const struct tail *b)
{
    return a->first == b->first && a->end == b->end && a->at == b->at &&
           memcmp(a->hash, b->hash, sizeof a->hash) == 0;
}

void
segment_name(char name[static NAME_SIZE], uint64_t first)
{
    int len = snprintf(name, NAME_SIZE, "%020llu.log", (unsigned long long)first);
    must(len == 24);
}

bool
segment_name_parse(const char *name, uint64_t *first_out)
{
    uint64_t first = 0;
    for (size_t i = 0; i < 20; i++) {
        if (name[i] < '0' || name[i] > '9')
            return false;
        unsigned digit = (unsigned)(name[i] - '0');
        if (first > (UINT64_MAX - digit) / 10)
            return false;
        first = first * 10 + digit;
    }
    if (strcmp(name + 20, ".log") != 0)
        return false;
    *first_out = first;
    return true;
}

/* -- the header of a segment ------------------------------------------------- */

static uint32_t
header_crc(const unsigned char *bytes, uint32_t size)
{
    return crc32c(crc32c(0, bytes, 92), bytes + HEADER_SIZE, size - HEADER_SIZE);
}

void
header_encode(struct buffer *out, const struct header *header, struct str note)
{
    uint32_t size = HEADER_SIZE + (uint32_t)align8(note.len);
    char *bytes = buffer_reserve(out, size);
    must(bytes != NULL && note.len <= NOTE_MAX);
    memset(bytes, 0, size);
    memcpy(bytes, header_magic, sizeof header_magic);
    put32(bytes + 8, VERSION);
    put32(bytes + 12, size);
    put64(bytes + 16, header->seed);
    put64(bytes + 24, header->first);
    put64(bytes + 32, header->prev.first);
    put64(bytes + 40, header->prev.end);
    put64(bytes + 48, header->prev.at);
    memcpy(bytes + 56, header->prev.hash, LOG_HASH_SIZE);
    put32(bytes + 88, (uint32_t)note.len);
    if (note.len > 0)
        memcpy(bytes + HEADER_SIZE, note.ptr, note.len);
    put32(bytes + 92, header_crc((const unsigned char *)bytes, size));
    out->len += size;
}

const char *
header_head(const unsigned char *bytes, struct header *header_out)
{
    if (memcmp(bytes, header_magic, sizeof header_magic) != 0)
        return "no segment begins here";
    if (get32(bytes + 8) != VERSION)
        return "the segment's version is not ours";
    struct header header = {
        .seed = get64(bytes + 16),
        .first = get64(bytes + 24),
        .prev = {get64(bytes + 32), get64(bytes + 40), get64(bytes + 48), {0}},
        .size = get32(bytes + 12),
        .note_len = get32(bytes + 88),
    };
    memcpy(header.prev.hash, bytes + 56, LOG_HASH_SIZE);
    if (header.note_len > NOTE_MAX || header.size != HEADER_SIZE + align8(header.note_len))
        return "the header's length cannot be";
    *header_out = header;
    return NULL;
}

const char *
header_check(const unsigned char *bytes, const struct header *header)
{
    if (!crc_is(get32(bytes + 92), header_crc(bytes, header->size)))
        return "the header does not match its checksum";
    return NULL;
}

bool
header_read(const struct log_disk *disk, struct log_file *file, uint64_t at, uint64_t limit,
            struct header *header_out, char **note_out, struct err *err)
{
    unsigned char head[HEADER_SIZE];
    struct header header;
    if (limit - at < HEADER_SIZE)
        return err_set(err, ERR_CORRUPT, "offset %llu: the header is cut off",
                       (unsigned long long)at);
    if (!disk->read(disk->self, file, at, head, sizeof head, err))
        return false;
    const char *why = header_head(head, &header);
    if (why == NULL && header.size > limit - at)
        why = "the header is cut off";
    if (why != NULL)
        return err_set(err, ERR_CORRUPT, "offset %llu: %s", (unsigned long long)at, why);
    unsigned char *bytes = base_alloc(header.size, 1);
    bool ok = disk->read(disk->self, file, at, bytes, header.size, err);
    if (ok && (why = header_check(bytes, &header)) != NULL)
        ok = err_set(err, ERR_CORRUPT, "offset %llu: %s", (unsigned long long)at, why);
    if (ok && note_out != NULL) {
        char *note = base_alloc(header.note_len + 1, 1);
        memcpy(note, bytes + HEADER_SIZE, header.note_len);
        *note_out = note;
    }
    base_free(bytes);
    if (ok)
        *header_out = header;
    return ok;
}

/* -- records -------------------------------------------------------------------- */

static size_t
record_len(const struct log_record *record)
{
    size_t len = RECORD_HEAD + 8 * record->term_count + record->label.len;
    for (size_t i = 0; i < COUNT_OF(record->parts); i++)
        len += record->parts[i].len;
    return len;
}

size_t
record_size(const struct log_record *record)
{
    return align8(record_len(record));
}

/* Sorted and each once, so that a sealed segment can drop them and have them back from its index
 * exactly as they stood. */
static size_t
sort_terms(uint64_t *sorted, const uint64_t *terms, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        size_t at = kept;
        while (at > 0 && sorted[at - 1] > terms[i])
            at--;
        if (at > 0 && sorted[at - 1] == terms[i])
            continue;
        memmove(sorted + at + 1, sorted + at, (kept - at) * sizeof *sorted);
        sorted[at] = terms[i];
        kept++;
    }
    return kept;
}

void
record_encode(char *to, const struct log_record *record, uint8_t kind)
{
    uint64_t terms[LOG_TERMS_MAX];
    size_t count = sort_terms(terms, record->terms, record->term_count);
    size_t len = record_len(record) - 8 * (record->term_count - count);

    memcpy(to, record_magic, sizeof record_magic);
    put32(to + AT_CRC, 0);
    put32(to + AT_LEN, (uint32_t)len);
    to[AT_KIND] = (char)kind;
    to[AT_TERMS] = (char)count;
    memcpy(to + AT_LABEL, &(uint16_t){(uint16_t)record->label.len}, 2);
    put64(to + AT_AT, record->at);
    memcpy(to + RECORD_HEAD, terms, 8 * count);
    char *at = to + RECORD_HEAD + 8 * count;
    if (record->label.len > 0)
        memcpy(at, record->label.ptr, record->label.len);
    at += record->label.len;
    for (size_t i = 0; i < COUNT_OF(record->parts); i++) {
        if (record->parts[i].len > 0)
            memcpy(at, record->parts[i].ptr, record->parts[i].len);
        at += record->parts[i].len;
    }
    memset(at, 0, align8(len) - len);
}

void
record_finish(char *bytes, size_t size)
{
    put32(bytes + AT_CRC, crc32c(0, bytes + AT_LEN, size - AT_LEN));
}

void
close_encode(char *to, const unsigned char hash[static LOG_HASH_SIZE], uint64_t start,
             uint32_t count, log_at at)
{
    char rest[16] = {0};
    put64(rest, start);
    put32(rest + 8, count);
    struct log_record record = {
        .at = at,
        .parts = {{(const char *)hash, LOG_HASH_SIZE}, {rest, sizeof rest}},
    };
    must(record_size(&record) == CLOSE_SIZE);
    record_encode(to, &record, LOG_KIND_CLOSE);
    record_finish(to, CLOSE_SIZE);
}

const char *
record_head(const unsigned char *bytes, struct record_view *view_out)
{
    if (memcmp(bytes, record_magic, sizeof record_magic) != 0)
        return "no record begins here";
    uint16_t label_len;
    memcpy(&label_len, bytes + AT_LABEL, sizeof label_len);
    size_t len = get32(bytes + AT_LEN), terms = bytes[AT_TERMS];
    size_t before = RECORD_HEAD + 8 * terms + label_len;
    if (terms > LOG_TERMS_MAX || label_len > LABEL_MAX || len < before ||
        len - before > LOG_PAYLOAD_MAX)
        return "the record's lengths cannot be";
    const char *text = (const char *)bytes;
    *view_out = (struct record_view){
        .bytes = bytes,
        .size = align8(len),
        .at = get64(bytes + AT_AT),
        .kind = bytes[AT_KIND],
        .term_count = terms,
        .label = {text + RECORD_HEAD + 8 * terms, label_len},
        .payload = {text + before, len - before},
    };
    return NULL;
}

const char *
record_head_cut(const unsigned char *bytes, struct record_view *view_out)
{
    const char *why = record_head(bytes, view_out);
    if (why != NULL)
        return why;
    size_t cut = 8 * view_out->term_count;
    view_out->size -= cut;
    view_out->label.ptr -= cut;
    view_out->payload.ptr -= cut;
    return NULL;
}

const char *
record_check(const unsigned char *bytes, struct record_view *view)
{
    if (!crc_is(get32(bytes + AT_CRC), crc32c(0, bytes + AT_LEN, view->size - AT_LEN)))
        return "the record does not match its checksum";
    for (size_t i = 1; i < view->term_count; i++)
        if (get64(bytes + RECORD_HEAD + 8 * i) <= get64(bytes + RECORD_HEAD + 8 * (i - 1)))
            return "the record's terms are not in order";
    if (view->kind == LOG_KIND_CLOSE && (view->size != CLOSE_SIZE || view->payload.len != 48))
        return "the closing record's length cannot be";
    return NULL;
}

/* -- reading from front to back ------------------------------------------------------ */

void
walk_init(struct walk *walk, const struct log_disk *disk, struct log_file *file, uint64_t limit)
{
    *walk = (struct walk){.disk = disk, .file = file, .limit = limit};
    walk->window = base_alloc(WINDOW, 1);
}

void
walk_fini(struct walk *walk)
{
    base_free(walk->window);
    *walk = (struct walk){0};
}

bool
walk_bytes(struct walk *walk, size_t want, const unsigned char **bytes_out, size_t *len_out,
           struct err *err)
{
    must(want <= WINDOW && walk->at <= walk->limit);
    uint64_t left = walk->limit - walk->at;
    if (want > left)
        want = (size_t)left;
    bool there =
        walk->at >= walk->window_at && walk->at + want <= walk->window_at + walk->window_len;
    if (!there) {
        size_t len = left < WINDOW ? (size_t)left : WINDOW;
        walk->window_len = 0;
        if (!walk->disk->read(walk->disk->self, walk->file, walk->at, walk->window, len, err))
            return false;
        walk->window_at = walk->at;
        walk->window_len = len;
    }
    size_t skip = (size_t)(walk->at - walk->window_at);
    *bytes_out = walk->window + skip;
    *len_out = walk->window_len - skip;
    return true;
}

bool
walk_record(struct walk *walk, struct record_view *view_out, const char **why_out, struct err *err)
{
    const unsigned char *bytes;
    size_t len;
    struct record_view view;
    if (!walk_bytes(walk, RECORD_HEAD, &bytes, &len, err))
        return false;
    *why_out = len < RECORD_HEAD ? "no record fits here" : record_head(bytes, &view);
    if (*why_out != NULL)
        return true;
    if (!walk_bytes(walk, view.size, &bytes, &len, err))
        return false;
    if (len < view.size) {
        *why_out = "the record goes beyond the end";
        return true;
    }
    must(record_head(bytes, &view) == NULL);
    *why_out = record_check(bytes, &view);
    if (*why_out == NULL)
        *view_out = view;
    return true;
}

/* -- the commit chain ------------------------------------------------------------------ */

void
chain_init(struct chain *chain, const struct header *header)
{
    *chain = (struct chain){.record_sha = sha256_new(), .commit_sha = sha256_new()};
    chain_enter(chain, header);
}

void
chain_enter(struct chain *chain, const struct header *header)
{
    chain->tail = header->prev;
    chain->tail.first = header->first;
    chain->tail.end = chain->start = header->size;
    chain->at = header->prev.at;
    chain->count = 0;
    chain->lost = chain->stopping = false;
}

void
chain_fini(struct chain *chain)
{
    sha256_free(chain->record_sha);
    sha256_free(chain->commit_sha);
}

static const char *
chain_close(struct chain *chain, const struct record_view *view, uint64_t offset)
{
    unsigned char hash[LOG_HASH_SIZE];
    const unsigned char *stored = (const unsigned char *)view->payload.ptr;
    const char *why = NULL;
    if (chain->count == 0)
        sha256_begin(chain->commit_sha);
    sha256_end(chain->commit_sha, hash);
    if (get32(stored + 44) != 0)
        why = "the closing record has something in its padding";
    else if (chain->lost)
        why = NULL; /* what was lost has been said already */
    else if (get32(stored + 40) != chain->count || chain->count == 0)
        why = "the commit has not as many records as its closing record says";
    else if (get64(stored + 32) != chain->start)
        why = "the commit does not begin where its closing record says";
    else if (view->at != chain->at)
        why = "the closing record has not the position of the commit's last row";
    else if (!BELIEVE && memcmp(hash, stored, LOG_HASH_SIZE) != 0)
        why = "the commit does not match its closing hash";

    chain->tail.end = chain->start = offset + view->size;
    chain->tail.at = chain->at = view->at;
    memcpy(chain->tail.hash, stored, LOG_HASH_SIZE);
    chain->count = 0;
    chain->stopped = chain->stopping;
    chain->lost = chain->stopping = false;
    return why;
}

const char *
chain_add(struct chain *chain, const struct record_view *view, uint64_t offset)
{
    if (view->kind == LOG_KIND_CLOSE)
        return chain_close(chain, view, offset);

    if (chain->count == 0) {
        sha256_begin(chain->commit_sha);
        sha256_add(chain->commit_sha, chain->tail.hash, LOG_HASH_SIZE);
    }
    unsigned char hash[LOG_HASH_SIZE];
    sha256_begin(chain->record_sha);
    sha256_add(chain->record_sha, view->bytes, view->size);
    sha256_end(chain->record_sha, hash);
    sha256_add(chain->commit_sha, hash, sizeof hash);
    chain->count++;

    if (view->kind == LOG_KIND_STOP) {
        chain->stopping = true;
        return view->at == chain->at ? NULL : "the stop has not the position of the row before it";
    }
    if (view->kind == 0 || view->kind > KIND_ROW_MAX)
        return "the record's kind is unknown";
    bool in_order = view->at > chain->at;
    chain->at = view->at;
    return in_order ? NULL : "the record's position is not greater than the one before it";
}
