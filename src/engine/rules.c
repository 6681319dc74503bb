/* rules - lineages of rules, where the engine finds them by workspace, and how the others see
 * them. */
#include "engine/engine_priv.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void *
grow(void *items, size_t count, size_t *cap, size_t size)
{
    if (count < *cap)
        return items;
    *cap = *cap == 0 ? 16 : *cap * 2;
    return base_realloc(items, *cap * size);
}

/* -- lineages ---------------------------------------------------------------------- */

static struct str
table_name(const struct rule *rule)
{
    char text[256];
    int len = snprintf(text, sizeof text, "%.*s/%" PRId64 "/%" PRId64, STR_ARG(rule->id),
                       rule->fold_version, rule->learnt_from);
    must(len > 0 && (size_t)len < sizeof text);
    return base_copy((struct str){text, (size_t)len});
}

bool
lineage_new(struct engine *engine, const struct rule *rule, const struct rule *const *others,
            size_t other_count, struct lineage **lineage_out, struct err *err)
{
    must(rule->learnt_from > 0);
    struct detect_rule *compiled = detect_rule_new(rule, others, other_count, err);
    if (compiled == NULL)
        return false;
    struct lineage *lineage = base_alloc(1, sizeof *lineage);
    lineage->engine = engine;
    lineage->table_name = table_name(rule);
    lineage->compiled = compiled;
    lineage->table = detect_table_new(engine->options.subjects_max);
    lineage->late = detect_rule_is_late(compiled);
    lineage->learnt_from = (log_at)rule->learnt_from;
    lineage->folded_to = lineage->learnt_from - 1;
    *lineage_out = lineage;
    return true;
}

void
lineage_free(struct lineage *lineage)
{
    if (lineage == NULL)
        return;
    must(lineage->workspace == NULL && !lineage->frozen);
    detect_rule_free(lineage->compiled);
    detect_table_free(lineage->table);
    base_free((char *)(uintptr_t)lineage->table_name.ptr);
    base_free((char *)(uintptr_t)lineage->row.ptr);
    base_free(lineage);
}

const struct rule *
lineage_rule(const struct lineage *lineage)
{
    return detect_rule_of(lineage->compiled);
}

/* -- workspaces -------------------------------------------------------------------- */

static struct workspace **
slot_of(const struct workspaces *workspaces, struct str id)
{
    size_t at = (size_t)hash64(0, id.ptr, id.len) & (workspaces->cap - 1);
    while (workspaces->slots[at] != NULL && !str_equal(workspaces->slots[at]->id, id))
        at = (at + 1) & (workspaces->cap - 1);
    return &workspaces->slots[at];
}

struct workspace *
workspaces_find(const struct workspaces *workspaces, struct str id)
{
    return workspaces->cap == 0 ? NULL : *slot_of(workspaces, id);
}

static void
make_room(struct workspaces *workspaces)
{
    if ((workspaces->count + 1) * 2 <= workspaces->cap)
        return;
    struct workspaces more = {.cap = workspaces->cap == 0 ? 64 : workspaces->cap * 2,
                              .count = workspaces->count};
    more.slots = base_alloc(more.cap, sizeof(struct workspace *));
    for (size_t i = 0; i < workspaces->cap; i++)
        if (workspaces->slots[i] != NULL)
            *slot_of(&more, workspaces->slots[i]->id) = workspaces->slots[i];
    base_free(workspaces->slots);
    *workspaces = more;
}

struct workspace *
workspaces_need(struct workspaces *workspaces, struct str id)
{
    make_room(workspaces);
    struct workspace **slot = slot_of(workspaces, id);
    if (*slot == NULL) {
        *slot = base_alloc(1, sizeof **slot);
        (*slot)->id = base_copy(id);
        workspaces->count++;
    }
    return *slot;
}

void
workspaces_free(struct workspaces *workspaces)
{
    for (size_t i = 0; i < workspaces->cap; i++) {
        struct workspace *workspace = workspaces->slots[i];
        if (workspace == NULL)
            continue;
        for (size_t j = 0; j < workspace->count; j++) {
            workspace->lineages[j]->workspace = NULL;
            lineage_free(workspace->lineages[j]);
        }
        base_free(workspace->lineages);
        base_free((char *)(uintptr_t)workspace->id.ptr);
        base_free(workspace);
    }
    base_free(workspaces->slots);
    *workspaces = (struct workspaces){0};
}

/* One order, however they came in: a commit that failed leaves no trace of it either. */
static bool
comes_before(const struct lineage *a, const struct lineage *b)
{
    if (a->late != b->late)
        return b->late;
    const struct rule *first = lineage_rule(a), *second = lineage_rule(b);
    if (first->created_at != second->created_at)
        return first->created_at < second->created_at;
    return str_compare(first->id, second->id) < 0;
}

void
workspace_warm(const struct workspace *workspace, const struct event *const *events, size_t count)
{
    struct detect_pair pairs[16];
    size_t pair_count = 0;
    for (size_t i = 0; i < workspace->count; i++) {
        const struct lineage *lineage = workspace->lineages[i];
        pairs[pair_count++] = (struct detect_pair){lineage->compiled, lineage->table};
        if (pair_count < COUNT_OF(pairs) && i + 1 < workspace->count)
            continue;
        detect_warm(pairs, pair_count, events, count);
        pair_count = 0;
    }
}

void
workspace_add(struct workspace *workspace, struct lineage *lineage)
{
    must(lineage->workspace == NULL);
    workspace->lineages =
        grow(workspace->lineages, workspace->count, &workspace->cap, sizeof(struct lineage *));
    size_t at = workspace->count++;
    for (; at > 0 && comes_before(lineage, workspace->lineages[at - 1]); at--)
        workspace->lineages[at] = workspace->lineages[at - 1];
    workspace->lineages[at] = lineage;
    lineage->workspace = workspace;
}

void
workspace_remove(struct workspace *workspace, struct lineage *lineage)
{
    must(lineage->workspace == workspace);
    size_t at = 0;
    while (workspace->lineages[at] != lineage)
        at++;
    workspace->count--;
    memmove(&workspace->lineages[at], &workspace->lineages[at + 1],
            (workspace->count - at) * sizeof(struct lineage *));
    lineage->workspace = NULL;
}

/* -- standings --------------------------------------------------------------------- */

struct standing *
standing_new(const struct rule *rule, const struct rule *const *others, size_t other_count)
{
    struct standing *standing = base_alloc(1, sizeof *standing);
    standing->rule = rule_copy(rule);
    standing->others = base_alloc(other_count, sizeof(struct rule *));
    standing->other_count = other_count;
    for (size_t i = 0; i < other_count; i++)
        standing->others[i] = rule_copy(others[i]);
    return standing;
}

void
standing_free(struct standing *standing)
{
    if (standing == NULL)
        return;
    rule_free(standing->rule);
    for (size_t i = 0; i < standing->other_count; i++)
        rule_free(standing->others[i]);
    base_free(standing->others);
    base_free(standing);
}

/* Where it is, or where it would be put. */
static size_t
place_of(const struct standings *standings, struct str rule_id, bool *there_out)
{
    size_t low = 0, high = standings->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = str_compare(standings->items[middle]->rule->id, rule_id);
        if (order == 0) {
            *there_out = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *there_out = false;
    return low;
}

struct standing *
standings_find(const struct standings *standings, struct str rule_id)
{
    bool there;
    size_t at = place_of(standings, rule_id, &there);
    return there ? standings->items[at] : NULL;
}

void
standings_put(struct standings *standings, struct standing *standing)
{
    bool there;
    size_t at = place_of(standings, standing->rule->id, &there);
    if (there) {
        standing_free(standings->items[at]);
    } else {
        standings->items =
            grow(standings->items, standings->count, &standings->cap, sizeof(struct standing *));
        memmove(&standings->items[at + 1], &standings->items[at],
                (standings->count - at) * sizeof(struct standing *));
        standings->count++;
    }
    standings->items[at] = standing;
}

void
standings_remove(struct standings *standings, struct str rule_id)
{
    bool there;
    size_t at = place_of(standings, rule_id, &there);
    must(there);
    standing_free(standings->items[at]);
    standings->count--;
    memmove(&standings->items[at], &standings->items[at + 1],
            (standings->count - at) * sizeof(struct standing *));
}

void
standings_free(struct standings *standings)
{
    for (size_t i = 0; i < standings->count; i++)
        standing_free(standings->items[i]);
    base_free(standings->items);
    *standings = (struct standings){0};
}

size_t
rules_listed(struct json_parser *parser, const struct rule *rule, struct arena *arena,
             struct str **ids_out)
{
    struct json conditions;
    struct err err = {0};
    *ids_out = NULL;
    if (!json_parse(parser, rule->conditions, arena, &conditions, &err))
        return 0;
    const struct json *all = json_get(&conditions, STR("all"));
    if (all->type != JSON_ARRAY)
        return 0;
    struct str *ids = arena_array(arena, all->count, struct str);
    must(ids != NULL);
    size_t count = 0;
    for (size_t i = 0; i < all->count; i++)
        if (all->items[i].type == JSON_STRING)
            ids[count++] = all->items[i].text;
    *ids_out = ids;
    return count;
}

size_t
standings_listed(const struct standings *standings, struct json_parser *parser,
                 const struct rule *rule, struct arena *arena, const struct rule ***others_out)
{
    struct str *ids;
    size_t listed = rules_listed(parser, rule, arena, &ids), count = 0;
    const struct rule **others = arena_array(arena, listed, const struct rule *);
    must(others != NULL);
    for (size_t i = 0; i < listed; i++) {
        const struct standing *standing = standings_find(standings, ids[i]);
        if (standing != NULL && str_equal(standing->rule->workspace_id, rule->workspace_id))
            others[count++] = standing->rule;
    }
    *others_out = others;
    return count;
}

/* -- reading back ------------------------------------------------------------------ */

void
fold_reader_init(struct fold_reader *reader)
{
    enum { FIRST = 256 << 10, MOST = 64 << 20 };
    reader->parser = json_parser_new();
    arena_init(&reader->arena, FIRST, MOST);
}

void
fold_reader_fini(struct fold_reader *reader)
{
    json_parser_free(reader->parser);
    arena_fini(&reader->arena);
}

static bool
read_json(struct fold_reader *reader, const struct journal_row *row, struct json *json_out,
          struct err *err)
{
    arena_reset(&reader->arena);
    return json_parse(reader->parser, row->stored, &reader->arena, json_out, err);
}

bool
fold_reader_event(struct fold_reader *reader, const struct journal_row *row,
                  struct event *event_out, struct err *err)
{
    struct json json;
    if (!read_json(reader, row, &json, err) ||
        !event_read_stored(&json, &reader->arena, event_out, err))
        return err_prefix(err, "engine: the event at %" PRIu64, row->at);
    event_out->created_at = (int64_t)row->at;
    return true;
}

bool
fold_reader_rule(struct fold_reader *reader, const struct journal_row *row, struct rule *rule_out,
                 struct err *err)
{
    struct json json;
    if (!read_json(reader, row, &json, err) || !rule_read(&json, &reader->arena, rule_out, err))
        return err_prefix(err, "engine: the rule record at %" PRIu64, row->at);
    return true;
}
