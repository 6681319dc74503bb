/* restore - the states and rules of the newest checkpoint. */
#include "engine/engine_priv.h"

#include <inttypes.h>
#include <string.h>

struct loaded_table {
    struct str name;
    struct detect_table *table;
};
struct loading {
    struct engine *engine;
    bool names_only;
    struct loaded_table *tables; /* table NULL: taken by its lineage */
    size_t table_count, table_cap;
    struct buffer rules; /* rows, each behind its length */
};

static void
on_state(void *self, const struct store_state *row)
{
    struct loading *loading = self;
    if (str_equal(row->table, STR(RULES_TABLE)) && !loading->names_only) {
        size_t len = row->state.len;
        buffer_add_bytes(&loading->rules, &len, sizeof len);
        buffer_add(&loading->rules, row->state);
        return;
    }
    size_t at = loading->table_count;
    while (at > 0 && !str_equal(loading->tables[at - 1].name, row->table))
        at--;
    if (at == 0) {
        loading->tables = grow(loading->tables, loading->table_count, &loading->table_cap,
                               sizeof *loading->tables);
        loading->tables[loading->table_count++] = (struct loaded_table){
            base_copy(row->table),
            loading->names_only ? NULL : detect_table_new(loading->engine->options.subjects_max)};
        at = loading->table_count;
    }
    if (!loading->names_only)
        detect_table_put(loading->tables[at - 1].table,
                         detect_cell_new(row->subject, row->state, row->stamp));
}

static void
on_change(void *self, struct detect_table *table, struct detect_cell *before,
          struct detect_cell *after)
{
    struct lineage *lineage = self;
    must(table == lineage->table);
    keeping_on_change(lineage->engine, lineage, before, after);
}

static void
take_table(struct loading *loading, struct lineage *lineage)
{
    for (size_t i = 0; i < loading->table_count; i++) {
        struct loaded_table *loaded = &loading->tables[i];
        if (loaded->table != NULL && str_equal(loaded->name, lineage->table_name)) {
            detect_table_free(lineage->table);
            lineage->table = loaded->table;
            loaded->table = NULL;
        }
    }
}

/* A row of the table of rules: the rule, and those it lists. */
static bool
load_rule(struct loading *loading, struct str text, log_at position, struct err *err)
{
    enum { OTHERS_MOST = 64 };
    struct engine *engine = loading->engine;
    struct arena *arena = &engine->reader.arena;
    struct rule rules[1 + OTHERS_MOST];
    const struct rule *others[OTHERS_MOST];
    struct json list;
    arena_reset(arena);
    if (!json_parse(engine->reader.parser, text, arena, &list, err))
        return false;
    if (list.type != JSON_ARRAY || list.count == 0 || list.count > COUNT_OF(rules))
        return err_set(err, ERR_CORRUPT, "engine: a rule of the checkpoint is no list");
    for (size_t i = 0; i < list.count; i++) {
        if (!rule_read(&list.items[i], arena, &rules[i], err))
            return false;
        if (i > 0)
            others[i - 1] = &rules[i];
    }
    struct lineage *lineage;
    struct err why = {0};
    if (rules[0].learnt_from <= 0 ||
        !lineage_new(engine, &rules[0], others, list.count - 1, &lineage, &why)) {
        recover_say_broken(&rules[0], &why);
        return true;
    }
    take_table(loading, lineage);
    lineage->folded_to = lineage->cut = position;
    lineage->in_force_at = 1;
    detect_table_watch(lineage->table, on_change, lineage);
    recover_put_standing(engine, &rules[0], others, list.count - 1, lineage);
    workspace_add(workspaces_need(&engine->workspaces, rules[0].workspace_id), lineage);
    return true;
}

static bool
load_rules(struct loading *loading, log_at position, struct err *err)
{
    struct str rest = buffer_str(&loading->rules);
    while (rest.len > 0) {
        size_t len;
        memcpy(&len, rest.ptr, sizeof len);
        struct str text = {rest.ptr + sizeof len, len};
        if (!load_rule(loading, text, position, err))
            return false;
        rest = (struct str){text.ptr + len, rest.len - sizeof len - len};
    }
    return true;
}

static bool
note_record(void *self, const struct journal_row *row)
{
    *(log_at *)self = row->at;
    return false;
}

/* It must be of this log as it is now, and not of one that was put back since. */
static bool
is_usable(struct engine *engine, int64_t position)
{
    if (position <= 0 || (log_at)position > engine->keeping.landed)
        return false;
    log_at found = 0;
    struct err err = {0};
    struct log_span span = {.from = (log_at)position, .to = (log_at)position};
    uint32_t kinds = JOURNAL_KIND_BIT(JOURNAL_EVENT) | JOURNAL_KIND_BIT(JOURNAL_SOURCE) |
                     JOURNAL_KIND_BIT(JOURNAL_ALERT) | JOURNAL_KIND_BIT(JOURNAL_RULE);
    return journal_scan(engine->journal, span, kinds, (struct str){0}, note_record, &found, &err) &&
           found == (log_at)position;
}

static void
loading_fini(struct loading *loading)
{
    for (size_t i = 0; i < loading->table_count; i++) {
        base_free((char *)(uintptr_t)loading->tables[i].name.ptr);
        detect_table_free(loading->tables[i].table);
    }
    base_free(loading->tables);
    buffer_fini(&loading->rules);
}

static void
forget_standings(struct engine *engine)
{
    while (engine->standings.count > 0)
        recover_remove_standing(engine, engine->standings.items[0]->rule->id);
}

bool
engine_restore(struct engine *engine, log_at *position_out)
{
    struct loading loading = {.engine = engine};
    struct err err = {0};
    int64_t position = 0;
    buffer_init(&loading.rules, SIZE_MAX / 4);
    bool ok = store_states_position(engine->options.states, log_seed(engine->log), &position, &err);
    loading.names_only = !ok || !is_usable(engine, position);
    if (ok && loading.names_only && position != 0)
        err_set(&err, ERR_CORRUPT, "engine: it is at %" PRId64 ", where this log has no record",
                position);
    ok =
        store_states_read(engine->options.states, on_state, &loading, &err) && err.code == ERR_NONE;
    if (ok && !loading.names_only && !load_rules(&loading, (log_at)position, &err)) {
        forget_standings(engine);
        ok = false;
    }
    if (!ok)
        diag_warn("engine: the checkpoint cannot be used (%s); the whole log is folded", err.text);
    bool usable = ok && !loading.names_only;
    for (size_t i = 0; i < loading.table_count; i++)
        if (!usable || loading.tables[i].table != NULL)
            name_list_add(&engine->keeping.dropped, loading.tables[i].name);
    if (!usable)
        name_list_add(&engine->keeping.dropped, STR(RULES_TABLE));
    loading_fini(&loading);
    *position_out = usable ? (log_at)position : 0;
    return usable;
}
