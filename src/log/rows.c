/* rows - a segment's rows by number, whichever kind of segment it is, and which of them match.
 *
 * The rows that have one term of each of some groups are found by walking the terms' lists in step.
 * Each list can say its next row at or beyond a given one (in the query's direction); the rows all
 * groups agree on are the answer. */
#include "log/log_priv.h"

enum { AHEAD = 128 * 1024 };

/* -- positions ---------------------------------------------------------------------- */

static uint32_t
memory_rows_from(const struct view *view, log_at at)
{
    uint32_t low = 0, high = view->rows;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (memory_index_row(view->segment->memory, middle).at < at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool
rows_from(const struct view *view, log_at at, uint32_t *row_out, struct err *err)
{
    const struct segment *segment = view->segment;
    if (segment->memory != NULL) {
        *row_out = memory_rows_from(view, at);
        return true;
    }
    *row_out = at > segment->sealed->tail.at ? view->rows : 0;
    if (at <= segment->header.first || at > segment->sealed->tail.at)
        return true;

    struct block *directory, *frame;
    if (!sealed_directory(view->log, segment, &directory, err))
        return false;
    /* The last frame that begins before `at`: the row is in it, or is the next one's first. */
    uint32_t low = 0, high = segment->sealed->frames;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (frame_parse(directory->bytes + (size_t)middle * DIRECTORY_ENTRY).first_at < at)
            low = middle + 1;
        else
            high = middle;
    }
    uint32_t first_row = 0;
    if (low > 0)
        first_row = frame_parse(directory->bytes + (size_t)(low - 1) * DIRECTORY_ENTRY).first_row;
    cache_release(view->log->cache, directory);
    if (low == 0)
        return true;
    if (!sealed_frame(view->log, segment, low - 1, true, &frame, err))
        return false;
    uint32_t row = 0;
    struct record_view record;
    while (row < frame->count &&
           record_head_cut(frame->bytes + frame->offsets[row], &record) == NULL && record.at < at)
        row++;
    cache_release(view->log->cache, frame);
    *row_out = first_row + row;
    return true;
}

/* -- reading --------------------------------------------------------------------------- */

void
reader_init(struct reader *reader, struct view view, bool ahead)
{
    *reader = (struct reader){.view = view, .ahead = ahead};
    buffer_init(&reader->window, AHEAD + RECORD_MAX);
}

void
reader_fini(struct reader *reader)
{
    cache_release(reader->view.log->cache, reader->frame);
    buffer_fini(&reader->window);
}

uint8_t
reader_kind(const struct reader *reader, uint32_t row)
{
    const struct memory_index *memory = reader->view.segment->memory;
    return memory == NULL ? 0 : (uint8_t)memory_index_row(memory, row).size_kind;
}

static bool
fill_window(struct reader *reader, uint64_t at, size_t len, struct err *err)
{
    const struct view *view = &reader->view;
    const struct segment *segment = view->segment;
    uint64_t from = at, to = at + len;
    if (reader->ahead && view->descending) {
        uint64_t first = (uint64_t)memory_index_row(segment->memory, 0).offset8 * 8;
        from = to > AHEAD && to - AHEAD > first ? to - AHEAD : first;
        from = from > at ? at : from;
    } else if (reader->ahead) {
        struct memory_row last = memory_index_row(segment->memory, view->rows - 1);
        uint64_t end = (uint64_t)last.offset8 * 8 + (uint64_t)(last.size_kind >> 8) * 8;
        to = from + AHEAD < end ? from + AHEAD : end;
        to = to < at + len ? at + len : to;
    }
    buffer_clear(&reader->window);
    char *bytes = buffer_reserve(&reader->window, (size_t)(to - from));
    must(bytes != NULL);
    if (!segment->disk->read(segment->disk->self, segment->file, from, bytes, (size_t)(to - from),
                             err))
        return err_prefix(err, "log: %s", segment->name);
    reader->window.len = (size_t)(to - from);
    reader->window_at = from;
    return true;
}

static bool
memory_reader_row(struct reader *reader, uint32_t row, struct record_view *record, struct err *err)
{
    const struct segment *segment = reader->view.segment;
    struct memory_row place = memory_index_row(segment->memory, row);
    uint64_t at = (uint64_t)place.offset8 * 8;
    size_t len = (size_t)(place.size_kind >> 8) * 8;
    bool there = reader->window.len > 0 && at >= reader->window_at &&
                 at + len <= reader->window_at + reader->window.len;
    if (!there && !fill_window(reader, at, len, err))
        return false;
    const unsigned char *bytes =
        (const unsigned char *)reader->window.ptr + (at - reader->window_at);
    const char *why = record_head(bytes, record);
    if (why == NULL && (record->at != place.at || record->size != len))
        why = "this is not the record that was written";
    if (why == NULL)
        why = record_check(bytes, record);
    if (why != NULL)
        return err_set(err, ERR_CORRUPT, "log: %s: offset %llu: %s", segment->name,
                       (unsigned long long)at, why);
    return true;
}

static bool
find_frame(struct reader *reader, uint32_t row, struct err *err)
{
    const struct view *view = &reader->view;
    struct block *directory;
    if (!sealed_directory(view->log, view->segment, &directory, err))
        return false;
    /* The last frame whose first row is not behind it; frames without a row are passed over. */
    uint32_t low = 0, high = view->segment->sealed->frames;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (frame_parse(directory->bytes + (size_t)middle * DIRECTORY_ENTRY).first_row <= row)
            low = middle + 1;
        else
            high = middle;
    }
    uint32_t first_row =
        frame_parse(directory->bytes + (size_t)(low - 1) * DIRECTORY_ENTRY).first_row;
    cache_release(view->log->cache, directory);
    cache_release(view->log->cache, reader->frame);
    reader->frame = NULL;
    if (!sealed_frame(view->log, view->segment, low - 1, !reader->ahead, &reader->frame, err))
        return false;
    reader->frame_from = first_row;
    reader->frame_to = first_row + reader->frame->count;
    if (row >= reader->frame_to)
        return err_set(err, ERR_CORRUPT, "log: %s: row %u is in no frame", view->segment->name,
                       row);
    return true;
}

bool
reader_row(struct reader *reader, uint32_t row, struct log_row *row_out, struct err *err)
{
    struct record_view record;
    must(row < reader->view.rows);
    if (reader->view.segment->memory != NULL) {
        if (!memory_reader_row(reader, row, &record, err))
            return false;
    } else {
        bool there = reader->frame != NULL && row >= reader->frame_from && row < reader->frame_to;
        if (!there && !find_frame(reader, row, err))
            return false;
        uint32_t at = reader->frame->offsets[row - reader->frame_from];
        must(record_head_cut(reader->frame->bytes + at, &record) == NULL);
    }
    *row_out = (struct log_row){record.at, record.kind, record.payload, record.label};
    return true;
}

/* -- lists of a term's rows ------------------------------------------------------------- */
/* One term's rows. In a sealed segment and when reading forwards in an open one they stand in an
 * array, or in chunks that are fetched; backwards in an open one the chain itself is walked. */
struct cursor {
    struct list list;
    const uint32_t *values; /* `list.rows`, or the chunk in hand */
    size_t value_count, chunk;
    uint32_t *room;         /* for a chunk */
    struct posting posting; /* in the chain */
    bool chained, over;
    uint32_t row; /* where it stands */
};

/* How many of the ascending values are less than `row`. */
static size_t
count_below(const uint32_t *values, size_t count, uint32_t row)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (values[middle] < row)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool
load_chunk(const struct match *match, struct cursor *cursor, size_t chunk, struct err *err)
{
    if (cursor->values != NULL && cursor->chunk == chunk)
        return true;
    cursor->values = NULL;
    if (!sealed_chunk(match->view.segment, &cursor->list, chunk, cursor->room, &cursor->value_count,
                      err))
        return false;
    cursor->values = cursor->room;
    cursor->chunk = chunk;
    return true;
}

/* The chunk that could hold `row`: the last that does not begin behind it. */
static size_t
chunk_for(const struct list *list, uint32_t row)
{
    size_t low = 0, high = list->chunks;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (get32(list->table + middle * LIST_ENTRY) <= row)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool
seek_down(const struct match *match, struct cursor *cursor, uint32_t row, struct err *err)
{
    if (cursor->list.rows == NULL) {
        size_t chunk = chunk_for(&cursor->list, row);
        cursor->over = chunk == 0;
        if (cursor->over)
            return true;
        if (!load_chunk(match, cursor, chunk - 1, err))
            return false;
    }
    size_t below = count_below(cursor->values, cursor->value_count, row);
    if (below < cursor->value_count && cursor->values[below] == row)
        below++;
    cursor->over = below == 0;
    if (!cursor->over)
        cursor->row = cursor->values[below - 1];
    return true;
}

static bool
seek_up(const struct match *match, struct cursor *cursor, uint32_t row, struct err *err)
{
    size_t chunk = 0;
    if (cursor->list.rows == NULL) {
        chunk = chunk_for(&cursor->list, row);
        chunk -= chunk > 0;
        if (!load_chunk(match, cursor, chunk, err))
            return false;
    }
    size_t below = count_below(cursor->values, cursor->value_count, row);
    if (below == cursor->value_count && cursor->list.rows == NULL &&
        chunk + 1 < cursor->list.chunks) {
        if (!load_chunk(match, cursor, chunk + 1, err))
            return false;
        below = count_below(cursor->values, cursor->value_count, row);
    }
    cursor->over = below == cursor->value_count;
    if (!cursor->over)
        cursor->row = cursor->values[below];
    return true;
}

static void
seek_chain(const struct match *match, struct cursor *cursor, uint32_t row)
{
    memory_index_seek(match->view.segment->memory, &cursor->posting, row);
    cursor->over = cursor->posting.word == POSTING_NONE;
    if (!cursor->over)
        cursor->row = (uint32_t)(cursor->posting.word >> 32);
}

/* Moves to the first row that is not before `row` in the query's direction. */
static bool
seek(const struct match *match, struct cursor *cursor, uint32_t row, struct err *err)
{
    if (cursor->over)
        return true;
    if (cursor->chained) {
        seek_chain(match, cursor, row);
        return true;
    }
    return match->view.descending ? seek_down(match, cursor, row, err)
                                  : seek_up(match, cursor, row, err);
}

/* -- beginning ------------------------------------------------------------------------- */

/* Forwards, the part of a chain that is asked for is turned round first. */
static bool
turn_chain(const struct match *match, struct posting from, struct arena *arena, struct list *list,
           struct err *err)
{
    const struct memory_index *memory = match->view.segment->memory;
    memory_index_seek(memory, &from, match->high - 1);
    uint64_t posting = from.word;
    uint32_t count = 0;
    for (uint64_t at = posting; at != POSTING_NONE && at >> 32 >= match->low; count++)
        at = memory_index_older(memory, at);
    uint32_t *rows = arena_array(arena, count, uint32_t);
    if (rows == NULL)
        return err_set(err, ERR_LIMIT, "log: the query takes too much memory");
    for (uint32_t i = count; i > 0; i--) {
        rows[i - 1] = (uint32_t)(posting >> 32);
        posting = memory_index_older(memory, posting);
    }
    *list = (struct list){.count = count, .rows = rows};
    return true;
}

static bool
begin_cursor(struct match *match, struct cursor *cursor, uint64_t term, struct arena *arena,
             struct err *err)
{
    const struct segment *segment = match->view.segment;
    *cursor = (struct cursor){.over = false};
    if (segment->memory == NULL) {
        if (!sealed_find(segment, term, arena, &cursor->list, err))
            return false;
    } else {
        cursor->posting = memory_index_find(segment->memory, term);
        cursor->chained = match->view.descending;
        if (!cursor->chained && !turn_chain(match, cursor->posting, arena, &cursor->list, err))
            return false;
    }
    cursor->over = !cursor->chained && cursor->list.count == 0;
    cursor->values = cursor->list.rows;
    cursor->value_count = cursor->list.count;
    if (!cursor->over && !cursor->chained && cursor->list.rows == NULL) {
        cursor->room = arena_array(arena, LIST_CHUNK, uint32_t);
        if (cursor->room == NULL)
            return err_set(err, ERR_LIMIT, "log: the query takes too much memory");
    }
    return cursor->over || match->low == match->high || seek(match, cursor, match->next, err);
}

bool
match_begin(struct match *match, struct view view, const struct log_any *groups, size_t count,
            struct arena *arena, struct err *err)
{
    must(count > 0);
    match->view = view;
    match->groups = groups;
    match->group_count = count;
    match->next = view.descending ? match->high - 1 : match->low;
    size_t terms = 0;
    for (size_t i = 0; i < count; i++)
        terms += groups[i].count;
    match->cursors = arena_array(arena, terms, struct cursor);
    if (match->cursors == NULL)
        return err_set(err, ERR_LIMIT, "log: the query takes too much memory");
    struct cursor *cursor = match->cursors;
    match->over = match->low >= match->high;
    for (size_t i = 0; i < count && !match->over; i++) {
        bool any = false;
        for (size_t j = 0; j < groups[i].count; j++, cursor++) {
            if (!begin_cursor(match, cursor, groups[i].terms[j], arena, err))
                return false;
            any = any || !cursor->over;
        }
        match->over = !any;
    }
    return true;
}

/* -- going on ---------------------------------------------------------------------------- */

/* The group's first row that is not before `row`; false in *any_out if there is none. */
static bool
seek_group(const struct match *match, struct cursor *cursors, size_t count, uint32_t *row,
           bool *any_out, struct err *err)
{
    bool down = match->view.descending, any = false;
    uint32_t best = 0;
    for (size_t i = 0; i < count; i++) {
        struct cursor *cursor = &cursors[i];
        bool behind = down ? cursor->row > *row : cursor->row < *row;
        if (behind && !seek(match, cursor, *row, err))
            return false;
        if (cursor->over)
            continue;
        if (!any || (down ? cursor->row > best : cursor->row < best))
            best = cursor->row;
        any = true;
    }
    *any_out = any;
    if (any)
        *row = best;
    return true;
}

bool
match_next(struct match *match, uint32_t *row_out, bool *found_out, struct err *err)
{
    *found_out = false;
    uint32_t row = match->next;
    size_t agreed = 0, group = 0;
    struct cursor *cursors = match->cursors;
    while (!match->over && agreed < match->group_count) {
        uint32_t wanted = row;
        bool any;
        if (!seek_group(match, cursors, match->groups[group].count, &row, &any, err))
            return false;
        if (!any || row < match->low || row >= match->high) {
            match->over = true;
            break;
        }
        agreed = row == wanted || agreed == 0 ? agreed + 1 : 1;
        cursors += match->groups[group].count;
        if (++group == match->group_count) {
            group = 0;
            cursors = match->cursors;
        }
    }
    if (match->over)
        return true;
    *row_out = row;
    *found_out = true;
    match->over = match->view.descending ? row == match->low : row + 1 == match->high;
    match->next = match->view.descending ? row - 1 : row + 1;
    return true;
}

bool
match_count(const struct match *match, uint64_t *count_out)
{
    if (match->group_count != 1 || match->groups[0].count != 1 ||
        match->view.segment->sealed == NULL || match->low != 0 || match->high != match->view.rows)
        return false;
    *count_out = match->over ? 0 : match->cursors[0].list.count;
    return true;
}
