/* dirt - lists of states that a checkpoint has yet to hold.
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

static int
compare_places(const void *left, const void *right)
{
    const struct dirt_place *a = left, *b = right;
    const struct detect_cell *x = a->row->cell, *y = b->row->cell;
    if (a->row->lineage != b->row->lineage)
        return a->row->lineage < b->row->lineage ? -1 : 1;
    int order =
        str_compare((struct str){x->bytes, x->subject_len}, (struct str){y->bytes, y->subject_len});
    return order != 0 ? order : (a->number > b->number) - (a->number < b->number);
}

struct dirt_place *
dirt_sort(const struct dirt *dirt)
{
    struct dirt_place *places = base_alloc(dirt->rows + 1, sizeof *places);
    size_t count = 0;
    for (const struct dirt_chunk *chunk = dirt->first; chunk != NULL; chunk = chunk->next)
        for (size_t i = chunk->taken; i < chunk->count; i++, count++)
            places[count] = (struct dirt_place){&chunk->rows[i], count};
    must(count == dirt->rows);
    qsort(places, count, sizeof *places, compare_places);
    return places;
}

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
