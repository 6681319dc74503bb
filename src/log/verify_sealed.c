/* verify_sealed - a sealed segment checked against itself: each section's checksum, the frames, the
 * records put together again with the terms that the index has for them (so that a record's own
 * checksum and the commit chain speak for the index too), the filter and the labels. */
#include "log/log_priv.h"

enum { READ = 1024 * 1024 };

struct known_label {
    struct str text;
    bool met;
};

struct sealed_verify {
    struct sealed_check *check;
    const struct sealed *sealed;
    struct arena arena; /* of one bucket, or of the labels */
    uint32_t *begins;   /* of each row's terms; rows + 1 */
    uint64_t *terms;    /* NULL: the index cannot be read */
    uint32_t term_total;
    unsigned char *filter;
    struct known_label *labels;
    size_t label_count;
    struct buffer record; /* put together */
    uint32_t row;
    uint64_t plain_at; /* in the plain segment */
    uint64_t commits;
};

static void
say(struct sealed_verify *verify, uint64_t offset, log_at at, const char *text)
{
    verify->check->say(verify->check->self, offset, at, text);
}

static uint64_t
offset_of(const struct sealed_verify *verify, enum section_name name)
{
    return verify->sealed->sections[name].offset;
}

/* -- sections ------------------------------------------------------------------------ */

static bool
check_section(struct sealed_verify *verify, enum section_name name, bool *right_out,
              struct err *err)
{
    const struct segment *segment = verify->check->segment;
    const struct section *section = &verify->sealed->sections[name];
    unsigned char *bytes = base_alloc(READ, 1);
    uint32_t crc = 0;
    bool ok = true;
    for (uint64_t at = 0; ok && at < section->len;) {
        size_t len = section->len - at < READ ? (size_t)(section->len - at) : READ;
        ok = segment->disk->read(segment->disk->self, segment->file, section->offset + at, bytes,
                                 len, err);
        crc = crc32c(crc, bytes, len);
        at += len;
    }
    base_free(bytes);
    *right_out = ok && crc_is(section->crc, crc);
    if (ok && !*right_out) {
        struct err text = {0};
        err_set(&text, ERR_CORRUPT, "the %s do not match their checksum", section_names[name]);
        say(verify, section->offset, 0, text.text);
    }
    return ok;
}

/* -- the index, turned round ----------------------------------------------------------- */

typedef bool (*row_fn)(struct sealed_verify *verify, uint64_t term, uint32_t row);

static bool
count_row(struct sealed_verify *verify, uint64_t term, uint32_t row)
{
    (void)term;
    if (row >= verify->sealed->rows || verify->begins[row] >= LOG_TERMS_MAX)
        return false;
    verify->begins[row]++;
    return true;
}

/* Terms come in ascending order, so each row's do too, which is how they stood in its record. */
static bool
place_row(struct sealed_verify *verify, uint64_t term, uint32_t row)
{
    if (row >= verify->sealed->rows || verify->begins[row] >= verify->term_total)
        return false;
    verify->terms[verify->begins[row]++] = term;
    return true;
}

static bool
each_row(struct sealed_verify *verify, const struct bucket *bucket, row_fn fn, struct err *err)
{
    const struct sealed_check *check = verify->check;
    uint32_t rows[LIST_CHUNK];
    size_t count = bucket->count;
    bool ok = true;
    if (bucket->rows != NULL) {
        const unsigned char *at = bucket->rows;
        must(rows_decode(&at, bucket->end, count, rows));
        for (size_t i = 0; ok && i < count; i++)
            ok = fn(verify, bucket->term, rows[i]);
    } else {
        struct list list;
        if (!sealed_list(check->segment, bucket, &verify->arena, &list, err))
            return false;
        uint32_t last = 0;
        for (size_t chunk = 0; ok && chunk < list.chunks; chunk++) {
            if (!sealed_chunk(check->segment, &list, chunk, rows, &count, err))
                return false;
            ok = chunk == 0 || rows[0] > last;
            for (size_t i = 0; ok && i < count; i++)
                ok = fn(verify, bucket->term, rows[i]);
            last = rows[count - 1];
        }
    }
    return ok || err_set(err, ERR_CORRUPT, "a term is said to be of rows that cannot be");
}

static bool
each_bucket(struct sealed_verify *verify, row_fn fn, struct err *err)
{
    const struct sealed *sealed = verify->sealed;
    uint64_t terms = 0, blocks = sealed->sections[SECTION_BLOOM].len / BLOOM_BLOCK;
    for (uint32_t number = 0; number < 1u << sealed->bucket_bits; number++) {
        struct bucket bucket = {0};
        const char *why;
        arena_reset(&verify->arena);
        if (!sealed_bucket(verify->check->segment, number, &verify->arena, &bucket, err))
            return false;
        while (bucket_next(&bucket, &why)) {
            if (bucket_of(bucket.term, sealed->bucket_bits) != number)
                return err_set(err, ERR_CORRUPT, "a term stands in a bucket of others");
            if (fn == count_row && blocks > 0)
                filter_add(verify->filter, blocks, bucket.term);
            terms++;
            if (!each_row(verify, &bucket, fn, err))
                return false;
        }
        if (why != NULL)
            return err_set(err, ERR_CORRUPT, "%s", why);
    }
    if (terms != sealed->terms)
        return err_set(err, ERR_CORRUPT, "there are not as many terms as the head says");
    return true;
}

static bool
turn_index(struct sealed_verify *verify, struct err *err)
{
    const struct sealed *sealed = verify->sealed;
    size_t rows = (size_t)sealed->rows;
    verify->filter = base_alloc((size_t)sealed->sections[SECTION_BLOOM].len + 1, 1);
    verify->begins = base_alloc(rows + 1, sizeof *verify->begins);
    if (!each_bucket(verify, count_row, err))
        return false;
    uint32_t sum = 0;
    for (size_t i = 0; i <= rows; i++) {
        uint32_t count = verify->begins[i];
        verify->begins[i] = sum;
        sum += count;
    }
    verify->term_total = sum;
    verify->terms = base_alloc((size_t)sum + 1, sizeof *verify->terms);
    if (!each_bucket(verify, place_row, err))
        return false;
    for (size_t i = rows; i > 0; i--) /* each has come to where the next begins */
        verify->begins[i] = verify->begins[i - 1];
    verify->begins[0] = 0;
    return true;
}

/* The filter is made again from the terms: it must be the very same. */
static bool
check_filter(struct sealed_verify *verify, struct err *err)
{
    const struct segment *segment = verify->check->segment;
    const struct section *section = &verify->sealed->sections[SECTION_BLOOM];
    filter_finish(verify->filter, section->len / BLOOM_BLOCK);
    unsigned char *bytes = base_alloc((size_t)section->len + 1, 1);
    bool ok = segment->disk->read(segment->disk->self, segment->file, section->offset, bytes,
                                  (size_t)section->len, err);
    uint64_t blocks = (verify->sealed->terms + BLOOM_TERMS - 1) / BLOOM_TERMS;
    if (ok && (blocks * BLOOM_BLOCK != section->len ||
               memcmp(bytes, verify->filter, (size_t)section->len) != 0))
        say(verify, section->offset, 0, "the filter is not that of the terms");
    base_free(bytes);
    return ok;
}

/* -- labels --------------------------------------------------------------------------------- */

static bool
read_labels(struct sealed_verify *verify, struct err *err)
{
    struct str bytes;
    arena_reset(&verify->arena);
    if (!sealed_labels(verify->check->segment, &verify->arena, &bytes, err))
        return false;
    size_t at = 4, count = bytes.len >= 4 ? get32(bytes.ptr) : 0;
    if (count > bytes.len / 2)
        return err_set(err, ERR_CORRUPT, "there cannot be so many labels");
    verify->labels = base_alloc(count + 1, sizeof *verify->labels);
    for (size_t i = 0; i < count; i++) {
        uint16_t len = 0;
        if (at + sizeof len <= bytes.len)
            memcpy(&len, bytes.ptr + at, sizeof len);
        at += sizeof len;
        if (at > bytes.len || len > bytes.len - at)
            return err_set(err, ERR_CORRUPT, "the labels go beyond their section");
        verify->labels[verify->label_count++].text = (struct str){bytes.ptr + at, len};
        at += len;
    }
    return true;
}

static void
meet_label(struct sealed_verify *verify, const struct record_view *view, uint64_t offset)
{
    if (view->label.len == 0 || verify->labels == NULL)
        return;
    for (size_t i = 0; i < verify->label_count; i++) {
        struct known_label *label = &verify->labels[i];
        if (!str_equal(label->text, view->label))
            continue;
        label->met = true;
        /* Rows in a row mostly have the same few: the next one looks here first. */
        struct known_label swap = verify->labels[i / 2];
        verify->labels[i / 2] = *label;
        *label = swap;
        return;
    }
    say(verify, offset, view->at, "the record's label is not among those of the segment");
}

/* -- frames ------------------------------------------------------------------------------------ */

static void
check_record(struct sealed_verify *verify, const struct record_view *cut, uint64_t offset)
{
    struct chain *chain = verify->check->chain;
    struct buffer *whole = &verify->record;
    bool is_row = cut->kind <= KIND_ROW_MAX;
    size_t terms = 0;
    const uint64_t *from = NULL;
    if (is_row && verify->terms != NULL && verify->row < verify->sealed->rows) {
        terms = verify->begins[verify->row + 1] - verify->begins[verify->row];
        from = verify->terms + verify->begins[verify->row];
    }
    verify->row += is_row;
    verify->check->records += is_row;
    if (terms != cut->term_count) {
        if (verify->terms != NULL)
            say(verify, offset, cut->at, "the record's terms are not those of the index");
        chain->lost = true;
        chain->at = is_row ? cut->at : chain->at;
        return;
    }
    buffer_clear(whole);
    buffer_add_bytes(whole, cut->bytes, RECORD_HEAD);
    buffer_add_bytes(whole, from, 8 * terms);
    buffer_add_bytes(whole, cut->bytes + RECORD_HEAD, cut->size - RECORD_HEAD);
    struct record_view view;
    const unsigned char *bytes = (const unsigned char *)whole->ptr;
    const char *why = record_head(bytes, &view);
    if (why == NULL && record_check(bytes, &view) != NULL)
        why = "the record, or its terms in the index, do not match its checksum";
    if (why != NULL) {
        say(verify, offset, cut->at, why);
        chain->lost = true;
        return;
    }
    if (verify->plain_at == verify->check->segment->header.size && is_row &&
        view.at != verify->sealed->first)
        say(verify, offset, view.at, "the first row is not the one of the name");
    why = chain_add(chain, &view, verify->plain_at);
    if (why != NULL)
        say(verify, offset, view.at, why);
    meet_label(verify, &view, offset);
    verify->commits += view.kind == LOG_KIND_CLOSE;
}

static void
check_frame(struct sealed_verify *verify, uint32_t number, const struct frame *frame)
{
    const struct sealed_check *check = verify->check;
    uint64_t offset = offset_of(verify, SECTION_FRAMES) + frame->offset;
    struct block *block;
    struct err err = {0};
    if (frame->first_row != verify->row || frame->plain_offset8 != verify->plain_at / 8)
        say(verify, offset_of(verify, SECTION_DIRECTORY) + (uint64_t)number * DIRECTORY_ENTRY,
            frame->first_at, "the directory's entry is not that of the frame");
    verify->row = frame->first_row;
    verify->plain_at = (uint64_t)frame->plain_offset8 * 8;
    if (!sealed_frame(check->log, check->segment, number, false, &block, &err)) {
        say(verify, offset, frame->first_at, text_of(&err));
        check->chain->lost = true;
        return;
    }
    struct record_view view;
    for (uint32_t at = 0; at < block->len; at += (uint32_t)view.size) {
        must(record_head_cut(block->bytes + at, &view) == NULL);
        if (at == 0 && view.at != frame->first_at)
            say(verify, offset, frame->first_at,
                "the directory has another position for the frame");
        check_record(verify, &view, offset);
        verify->plain_at += view.size + 8 * view.term_count;
    }
    cache_release(check->log->cache, block);
}

static bool
check_frames(struct sealed_verify *verify, struct err *err)
{
    const struct sealed_check *check = verify->check;
    const struct sealed *sealed = verify->sealed;
    struct block *directory;
    if (!sealed_directory(check->log, check->segment, &directory, err))
        return false;
    uint64_t end = 0;
    verify->plain_at = check->segment->header.size;
    for (uint32_t i = 0; i < sealed->frames; i++) {
        struct frame frame = frame_parse(directory->bytes + (size_t)i * DIRECTORY_ENTRY);
        if (frame.offset != end)
            say(verify, offset_of(verify, SECTION_FRAMES) + end, frame.first_at,
                "the frames do not follow each other");
        end = frame.offset + frame.packed;
        check_frame(verify, i, &frame);
    }
    cache_release(check->log->cache, directory);
    if (align8(end) != sealed->sections[SECTION_FRAMES].len)
        say(verify, offset_of(verify, SECTION_FRAMES) + end, 0,
            "the frames do not fill their section");
    return true;
}

static void
check_ends(struct sealed_verify *verify)
{
    const struct sealed *sealed = verify->sealed;
    struct chain *chain = verify->check->chain;
    if (verify->row != sealed->rows || verify->commits != sealed->commits ||
        !tail_equal(&chain->tail, &sealed->tail) || chain->count > 0)
        say(verify, 0, chain->tail.at, "the records do not end as the head says");
    for (size_t i = 0; i < verify->label_count; i++)
        if (!verify->labels[i].met)
            say(verify, offset_of(verify, SECTION_LABELS), 0, "no record has this label");
    chain->tail = sealed->tail;
    chain->at = sealed->tail.at;
}

bool
verify_sealed(struct sealed_check *check, struct err *err)
{
    struct sealed_verify verify = {.check = check, .sealed = check->segment->sealed};
    bool ok = true, right[SECTION_COUNT];
    arena_init(&verify.arena, 64 * 1024, UINT32_MAX);
    buffer_init(&verify.record, RECORD_MAX);
    for (int i = 0; ok && i < SECTION_COUNT; i++)
        ok = check_section(&verify, (enum section_name)i, &right[i], err);
    if (ok && right[SECTION_BUCKETS] && right[SECTION_BUCKET_DIRECTORY] && right[SECTION_LISTS]) {
        struct err why = {0};
        if (!turn_index(&verify, &why)) {
            say(&verify, offset_of(&verify, SECTION_BUCKETS), 0, text_of(&why));
            base_free(verify.terms);
            verify.terms = NULL;
        } else if (right[SECTION_BLOOM]) {
            ok = check_filter(&verify, err);
        }
    }
    if (ok && right[SECTION_LABELS]) {
        struct err why = {0};
        if (!read_labels(&verify, &why))
            say(&verify, offset_of(&verify, SECTION_LABELS), 0, text_of(&why));
    }
    if (ok && right[SECTION_DIRECTORY]) {
        ok = check_frames(&verify, err);
        if (ok)
            check_ends(&verify);
    }
    check->chain->tail = verify.sealed->tail;
    check->chain->at = verify.sealed->tail.at;
    base_free(verify.filter);
    base_free(verify.begins);
    base_free(verify.terms);
    base_free(verify.labels);
    buffer_fini(&verify.record);
    arena_fini(&verify.arena);
    return ok;
}
