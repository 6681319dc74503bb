/* query - what readers ask: rows by position or by terms, how many, which labels. A query takes the
 * list of segments once, and of each, when its turn comes, the rows published by then; neither
 * changes under it, whatever is written, rolled or sealed meanwhile. So it sees the log as it was
 * at some moment since it began. */
#include "log/log_priv.h"

enum { ARENA_MAX = 256 * 1024 * 1024, SEEN = 1024 };

struct query {
    struct log *log;
    struct log_span span;
    uint32_t kinds;
    const struct log_any *groups; /* NULL: all rows */
    size_t group_count;
    log_row_fn fn;
    void *self;
    struct arena arena; /* of one segment */
    bool stopped;
    uint64_t most, count;
};

/* Does the span meet the segment at all? If so, its rows. */
static bool
meets(const struct log_span *span, const struct segment *segment, uint32_t *rows_out)
{
    if (segment->header.first > span->to)
        return false;
    if (segment->sealed != NULL) {
        *rows_out = (uint32_t)segment->sealed->rows;
        return segment->sealed->rows > 0 && segment->sealed->tail.at >= span->from;
    }
    *rows_out = memory_index_rows(segment->memory);
    return *rows_out > 0 && memory_index_row(segment->memory, *rows_out - 1).at >= span->from;
}

static bool
rows_of_span(const struct view *view, const struct log_span *span, uint32_t *low_out,
             uint32_t *high_out, struct err *err)
{
    *high_out = view->rows;
    return rows_from(view, span->from, low_out, err) &&
           (span->to == UINT64_MAX || rows_from(view, span->to + 1, high_out, err));
}

/* Newest or oldest first, as the span says; `each` may set query->stopped. */
static bool
each_segment(struct query *query, bool (*each)(struct query *, struct view, struct err *),
             struct err *err)
{
    struct log *log = query->log;
    if (log->damage.code != ERR_NONE) {
        *err = log->damage;
        return false;
    }
    if (query->span.from > query->span.to)
        return true;
    struct segments *segments = segments_take(log);
    bool ok = true;
    for (size_t i = 0; ok && !query->stopped && i < segments->count; i++) {
        size_t number = query->span.descending ? segments->count - 1 - i : i;
        struct view view = {log, segments->items[number], 0, query->span.descending};
        if (meets(&query->span, view.segment, &view.rows))
            ok = each(query, view, err);
        arena_reset(&query->arena);
    }
    segments_release(segments);
    return ok;
}

/* -- scan ----------------------------------------------------------------------------- */

static bool
kind_wanted(const struct query *query, uint8_t kind)
{
    return query->kinds == 0 || (kind < 32 && (query->kinds >> kind & 1) != 0);
}

static bool
scan_segment(struct query *query, struct view view, struct err *err)
{
    uint32_t low, high;
    if (!rows_of_span(&view, &query->span, &low, &high, err))
        return false;
    struct reader reader;
    reader_init(&reader, view, true);
    bool ok = true;
    for (uint32_t i = low; ok && !query->stopped && i < high; i++) {
        uint32_t number = view.descending ? high - 1 - (i - low) : i;
        struct log_row row;
        uint8_t kind = reader_kind(&reader, number);
        if (kind != 0 && !kind_wanted(query, kind))
            continue;
        ok = reader_row(&reader, number, &row, err);
        if (ok && kind_wanted(query, row.kind))
            query->stopped = !query->fn(query->self, &row);
    }
    reader_fini(&reader);
    return ok;
}

bool
log_scan(struct log *log, struct log_span span, uint32_t kinds, log_row_fn fn, void *self,
         struct err *err)
{
    struct query query = {.log = log, .span = span, .kinds = kinds, .fn = fn, .self = self};
    arena_init(&query.arena, 4096, ARENA_MAX);
    bool ok = each_segment(&query, scan_segment, err);
    arena_fini(&query.arena);
    return ok;
}

/* -- find and count --------------------------------------------------------------------- */

static bool
begin(struct query *query, struct view view, struct match *match, struct err *err)
{
    return rows_of_span(&view, &query->span, &match->low, &match->high, err) &&
           match_begin(match, view, query->groups, query->group_count, &query->arena, err);
}

static bool
find_in_segment(struct query *query, struct view view, struct err *err)
{
    struct match match;
    if (!begin(query, view, &match, err))
        return false;
    struct reader reader;
    reader_init(&reader, view, false);
    bool ok = true;
    while (ok && !query->stopped) {
        uint32_t number;
        bool found;
        struct log_row row;
        ok = match_next(&match, &number, &found, err);
        if (!ok || !found)
            break;
        ok = reader_row(&reader, number, &row, err);
        if (ok)
            query->stopped = !query->fn(query->self, &row);
    }
    reader_fini(&reader);
    return ok;
}

bool
log_find(struct log *log, struct log_span span, const struct log_any *groups, size_t count,
         log_row_fn fn, void *self, struct err *err)
{
    struct query query = {
        .log = log,
        .span = span,
        .groups = groups,
        .group_count = count,
        .fn = fn,
        .self = self,
    };
    arena_init(&query.arena, 16 * 1024, ARENA_MAX);
    bool ok = each_segment(&query, find_in_segment, err);
    arena_fini(&query.arena);
    return ok;
}

static bool
count_in_segment(struct query *query, struct view view, struct err *err)
{
    struct match match;
    uint64_t known;
    if (!begin(query, view, &match, err))
        return false;
    if (match_count(&match, &known)) {
        query->count += known;
    } else {
        bool found = true;
        while (found && query->count < query->most) {
            uint32_t number;
            if (!match_next(&match, &number, &found, err))
                return false;
            query->count += found;
        }
    }
    if (query->count > query->most)
        query->count = query->most;
    query->stopped = query->count == query->most;
    return true;
}

bool
log_count(struct log *log, struct log_span span, const struct log_any *groups, size_t count,
          uint64_t most, uint64_t *count_out, struct err *err)
{
    span.descending = true; /* in an open segment the chains lead backwards */
    struct query query = {
        .log = log,
        .span = span,
        .groups = groups,
        .group_count = count,
        .most = most,
    };
    arena_init(&query.arena, 16 * 1024, ARENA_MAX);
    bool ok = each_segment(&query, count_in_segment, err);
    if (ok)
        *count_out = query.count;
    arena_fini(&query.arena);
    return ok;
}

/* -- labels -------------------------------------------------------------------------------- */

struct seen_label {
    struct seen_label *next;
    struct str text;
};

struct labels {
    struct query query;
    struct arena arena; /* of the whole query */
    struct seen_label *seen[SEEN];
    bool (*fn)(void *self, struct str label);
    void *self;
};

static bool
show_label(struct labels *labels, struct str text, struct err *err)
{
    struct seen_label **slot = &labels->seen[hash64(0, text.ptr, text.len) % SEEN];
    for (const struct seen_label *seen = *slot; seen != NULL; seen = seen->next)
        if (str_equal(seen->text, text))
            return true;
    struct seen_label *new = arena_new(&labels->arena, struct seen_label);
    if (new == NULL || !arena_copy(&labels->arena, text, &new->text))
        return err_set(err, ERR_LIMIT, "log: the labels take too much memory");
    new->next = *slot;
    *slot = new;
    labels->query.stopped = !labels->fn(labels->self, new->text);
    return true;
}

static bool
labels_of_segment(struct query *query, struct view view, struct err *err)
{
    struct labels *labels = query->self;
    if (view.segment->memory != NULL) {
        const struct label *label = memory_index_labels(view.segment->memory);
        for (; label != NULL && !query->stopped; label = label->older)
            if (atomic_load_explicit(&label->first, memory_order_acquire) < view.rows &&
                !show_label(labels, (struct str){label->text, label->len}, err))
                return false;
        return true;
    }
    struct str bytes;
    if (!sealed_labels(view.segment, &query->arena, &bytes, err))
        return false;
    uint32_t left = bytes.len >= 4 ? get32(bytes.ptr) : 0;
    for (size_t at = 4; left > 0 && !query->stopped; left--) {
        uint16_t len;
        if (at + sizeof len > bytes.len)
            break;
        memcpy(&len, bytes.ptr + at, sizeof len);
        at += sizeof len;
        if (len > bytes.len - at)
            break;
        if (!show_label(labels, (struct str){bytes.ptr + at, len}, err))
            return false;
        at += len;
    }
    return true;
}

bool
log_labels(struct log *log, struct log_span span, bool (*fn)(void *self, struct str label),
           void *self, struct err *err)
{
    struct labels *labels = base_alloc(1, sizeof *labels);
    labels->query = (struct query){.log = log, .span = span, .self = labels};
    labels->fn = fn;
    labels->self = self;
    arena_init(&labels->query.arena, 16 * 1024, ARENA_MAX);
    arena_init(&labels->arena, 16 * 1024, ARENA_MAX);
    bool ok = each_segment(&labels->query, labels_of_segment, err);
    arena_fini(&labels->query.arena);
    arena_fini(&labels->arena);
    base_free(labels);
    return ok;
}
