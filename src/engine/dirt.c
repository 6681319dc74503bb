/* dirt - what a checkpoint has yet to hold: states, and rows of rules and names.
 *
 * A row names a subject by one of its cells, not necessarily the newest. A subject may be listed
 * more than once: rows only say where to look. */
#include "engine/engine_priv.h"

#include <stdlib.h>

static size_t
weight(const struct detect_cell *cell)
{
    return sizeof *cell + cell->subject_len + cell->state_len;
}

void
dirt_add(struct dirt *dirt, struct lineage *lineage, struct detect_cell *cell, bool gone)
{
    struct dirt_chunk *chunk = dirt->last;
    if (chunk == NULL || chunk->count == DIRT_ROWS) {
        chunk = base_alloc(1, sizeof *chunk);
        if (dirt->last == NULL)
            dirt->first = chunk;
        else
            dirt->last->next = chunk;
        dirt->last = chunk;
    }
    chunk->rows[chunk->count++] = (struct dirt_row){lineage, cell, gone};
    dirt->rows++;
    dirt->bytes += weight(cell);
}

/* -- in order ---------------------------------------------------------------------- */

/* Subjects of one lineage begin alike for long, and to look at a cell is to wait for memory: the
 * bytes behind the common ones are sorted by first. */
struct group {
    const struct lineage *lineage;
    struct str first;
    size_t common;
};

struct groups {
    struct group *items;
    size_t count, cap, last;
};

static struct str
subject_of(const struct dirt_row *row)
{
    return (struct str){row->cell->bytes, row->cell->subject_len};
}

/* Rows of one lineage mostly follow one another. */
static uint32_t
find_group(struct groups *groups, const struct dirt_row *row)
{
    size_t at = groups->last;
    if (at >= groups->count || groups->items[at].lineage != row->lineage)
        for (at = 0; at < groups->count && groups->items[at].lineage != row->lineage;)
            at++;
    if (at == groups->count) {
        struct str subject = subject_of(row);
        groups->items = grow(groups->items, at, &groups->cap, sizeof *groups->items);
        groups->items[groups->count++] = (struct group){row->lineage, subject, subject.len};
    }
    groups->last = at;
    return (uint32_t)at;
}

static void
shorten(struct group *group, struct str subject)
{
    size_t most = subject.len < group->common ? subject.len : group->common, same = 0;
    while (same < most && subject.ptr[same] == group->first.ptr[same])
        same++;
    group->common = same;
}

static uint64_t
key_of(struct str subject, size_t common)
{
    uint64_t key = 0;
    for (size_t i = common; i < common + sizeof key; i++)
        key = key << 8 | (i < subject.len ? (unsigned char)subject.ptr[i] : 0);
    return key;
}

static int
compare_places(const void *left, const void *right)
{
    const struct dirt_place *a = left, *b = right;
    if (a->group != b->group)
        return a->group < b->group ? -1 : 1;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    int order = str_compare(subject_of(a->row), subject_of(b->row));
    return order != 0 ? order : (a->number > b->number) - (a->number < b->number);
}

struct dirt_place *
dirt_sort(const struct dirt *dirt)
{
    struct dirt_place *places = base_alloc(dirt->rows + 1, sizeof *places);
    struct groups groups = {0};
    uint32_t count = 0;
    must(dirt->rows < UINT32_MAX);
    for (const struct dirt_chunk *chunk = dirt->first; chunk != NULL; chunk = chunk->next) {
        for (size_t i = chunk->taken; i < chunk->count; i++, count++) {
            const struct dirt_row *row = &chunk->rows[i];
            uint32_t group = find_group(&groups, row);
            shorten(&groups.items[group], subject_of(row));
            places[count] = (struct dirt_place){.row = row, .group = group, .number = count};
        }
    }
    must(count == dirt->rows);
    for (uint32_t i = 0; i < count; i++)
        places[i].key = key_of(subject_of(places[i].row), groups.items[places[i].group].common);
    base_free(groups.items);
    qsort(places, count, sizeof *places, compare_places);
    return places;
}

/* -- out of it --------------------------------------------------------------------- */

bool
dirt_take(struct dirt *dirt, struct dirt_row *row_out)
{
    struct dirt_chunk *chunk = dirt->first;
    while (chunk != NULL && chunk->taken == chunk->count) {
        dirt->first = chunk->next;
        base_free(chunk);
        chunk = dirt->first;
    }
    if (chunk == NULL) {
        *dirt = (struct dirt){0};
        return false;
    }
    *row_out = chunk->rows[chunk->taken++];
    dirt->rows--;
    dirt->bytes -= weight(row_out->cell);
    if (dirt->rows == 0) { /* nobody need ask once more to be rid of the last chunk */
        base_free(chunk);
        *dirt = (struct dirt){0};
    }
    return true;
}

void
dirt_join(struct dirt *dirt, struct dirt *more)
{
    if (more->first == NULL)
        return;
    if (dirt->last == NULL)
        dirt->first = more->first;
    else
        dirt->last->next = more->first;
    dirt->last = more->last;
    dirt->rows += more->rows;
    dirt->bytes += more->bytes;
    *more = (struct dirt){0};
}

void
dirt_clear(struct dirt *dirt)
{
    struct dirt_row row;
    while (dirt_take(dirt, &row))
        detect_cell_release(row.cell);
}

struct everything {
    struct dirt *dirt;
    struct lineage *lineage;
};

static bool
add_one(void *self, struct detect_cell *cell)
{
    struct everything *everything = self;
    dirt_add(everything->dirt, everything->lineage, detect_cell_keep(cell), false);
    return true;
}

void
dirt_add_all(struct dirt *dirt, struct lineage *lineage)
{
    struct everything everything = {dirt, lineage};
    detect_table_each(lineage->table, add_one, &everything);
}

void
dirt_forget(struct dirt *dirt, struct lineage *lineage)
{
    struct dirt kept = {0};
    struct dirt_row row;
    while (dirt_take(dirt, &row)) {
        if (row.lineage == lineage)
            detect_cell_release(row.cell);
        else
            dirt_add(&kept, row.lineage, row.cell, row.gone);
    }
    *dirt = kept;
}

/* -- rows of rules and names ------------------------------------------------------- */

void
rule_rows_add(struct rule_rows *rows, struct str id, struct str row)
{
    struct rule_row *added = base_alloc(1, sizeof *added);
    *added = (struct rule_row){.id = base_copy(id), .row = row};
    if (rows->last == NULL)
        rows->first = added;
    else
        rows->last->next = added;
    rows->last = added;
}

void
rule_rows_clear(struct rule_rows *rows)
{
    for (struct rule_row *row = rows->first, *next; row != NULL; row = next) {
        next = row->next;
        base_free((char *)(uintptr_t)row->id.ptr);
        base_free((char *)(uintptr_t)row->row.ptr);
        base_free(row);
    }
    *rows = (struct rule_rows){0};
}

struct str
rule_row_write(const struct standing *standing)
{
    struct buffer text;
    buffer_init(&text, SIZE_MAX);
    json_open(&text, '[');
    rule_write(&text, standing->rule, RULE_ACTIVE, true);
    for (size_t i = 0; i < standing->other_count; i++)
        rule_write(&text, standing->others[i], RULE_ACTIVE, true);
    json_close(&text, ']');
    struct str row = base_copy(buffer_str(&text));
    buffer_fini(&text);
    return row;
}

void
name_list_add(struct name_list *list, struct str name)
{
    list->items = grow(list->items, list->count, &list->cap, sizeof *list->items);
    list->items[list->count++] = base_copy(name);
}

void
name_list_clear(struct name_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        base_free((char *)(uintptr_t)list->items[i].ptr);
    base_free(list->items);
    *list = (struct name_list){0};
}
