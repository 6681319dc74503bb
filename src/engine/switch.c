/* switch - rules come into force, are amended, and cease, between two commits.
 *
 * The learner has folded history aside up to a position that is durable. The engine first lets
 * everything that is on its way land, folds what came since, and then adds the rule's record: the
 * first record of the next commit. So each event is either before the record, and was learnt
 * from, or after it, and is alerted on. */
#include "engine/engine_priv.h"

#include <inttypes.h>

enum { TAIL_MAX = 20000 }; /* events; beyond, the learner has to come closer first */

/* -- the tail ---------------------------------------------------------------------- */

struct tail {
    struct engine *engine;
    struct switch_request *request;
    size_t events;
    bool ok;
    struct err *err;
};

/* The learner has listed the states that were there when it handed them over. */
static void
on_tail_change(void *self, struct detect_table *table, struct detect_cell *before,
               struct detect_cell *after)
{
    struct rule_switch *item = self;
    must(table == item->lineage->table);
    if (before == NULL)
        dirt_add(&item->dirt, item->lineage, detect_cell_keep(after), false);
}

static bool
on_tail_event(void *self, const struct journal_row *row)
{
    struct tail *tail = self;
    struct engine *engine = tail->engine;
    if (++tail->events > TAIL_MAX)
        return false;
    struct event event;
    bool parsed = false;
    for (size_t i = 0; i < tail->request->count; i++) {
        struct lineage *lineage = tail->request->items[i].lineage;
        if (tail->request->items[i].kind != SWITCH_IN || row->at <= lineage->folded_to ||
            !str_equal(row->workspace_id, lineage_rule(lineage)->workspace_id))
            continue;
        if (!parsed && !fold_reader_event(&engine->reader, row, &event, tail->err))
            return tail->ok = false;
        parsed = true;
        struct alert alert;
        (void)detect_step(lineage->compiled, lineage->table, &event, true, &engine->reader.arena,
                          &alert);
    }
    tail->request->folded_to = row->at;
    return true;
}

static bool
has_any_in(const struct switch_request *request)
{
    for (size_t i = 0; i < request->count; i++)
        if (request->items[i].kind == SWITCH_IN)
            return true;
    return false;
}

/* Whatever comes of it, request->folded_to says how far the lineages are folded. */
static bool
fold_tail(struct engine *engine, struct switch_request *request, struct err *err)
{
    log_at durable = log_durable(engine->log);
    if (!has_any_in(request) || request->folded_to >= durable)
        return true;
    struct tail tail = {.engine = engine, .request = request, .ok = true, .err = err};
    struct log_span span = {.from = request->folded_to + 1, .to = durable};
    for (size_t i = 0; i < request->count; i++)
        if (request->items[i].kind == SWITCH_IN)
            detect_table_watch(request->items[i].lineage->table, on_tail_change,
                               &request->items[i]);
    bool ok = journal_scan(engine->journal, span, JOURNAL_KIND_BIT(JOURNAL_EVENT), (struct str){0},
                           on_tail_event, &tail, err) &&
              tail.ok;
    for (size_t i = 0; i < request->count; i++)
        if (request->items[i].kind == SWITCH_IN)
            detect_table_watch(request->items[i].lineage->table, NULL, NULL);
    if (ok && tail.events > TAIL_MAX)
        return err_set(err, ERR_LIMIT, "engine: more than %d events came meanwhile", TAIL_MAX);
    if (ok)
        request->folded_to = durable;
    return ok;
}

/* -- in and out of the tables ------------------------------------------------------ */

static void
count_table(struct engine *engine, struct lineage *lineage, int64_t sign)
{
    if (sign > 0)
        lineage->bytes = (int64_t)detect_table_bytes(lineage->table);
    int64_t subjects = (int64_t)detect_table_count(lineage->table);
    atomic_fetch_add(&engine->counters.subjects, sign * subjects);
    atomic_fetch_add(&engine->counters.state_bytes, sign * lineage->bytes);
}

static void
enter(struct engine *engine, struct lineage *lineage)
{
    struct str workspace_id = lineage_rule(lineage)->workspace_id;
    workspace_add(workspaces_need(&engine->workspaces, workspace_id), lineage);
    detect_table_watch(lineage->table, commit_on_change, lineage);
    count_table(engine, lineage, 1);
}

static void
leave(struct engine *engine, struct lineage *lineage)
{
    workspace_remove(lineage->workspace, lineage);
    detect_table_watch(lineage->table, NULL, NULL);
    count_table(engine, lineage, -1);
}

static void
swap_compiled(struct rule_switch *item)
{
    struct detect_rule *compiled = item->old->compiled;
    item->old->compiled = item->compiled;
    item->compiled = compiled;
}

static void
apply(struct engine *engine, struct rule_switch *item)
{
    if (item->kind == SWITCH_AMEND) {
        swap_compiled(item);
        return;
    }
    if (item->old != NULL)
        leave(engine, item->old);
    if (item->kind == SWITCH_IN)
        enter(engine, item->lineage);
}

static void
take_back(struct engine *engine, struct rule_switch *item)
{
    if (item->kind == SWITCH_AMEND) {
        swap_compiled(item);
        return;
    }
    if (item->kind == SWITCH_IN) {
        leave(engine, item->lineage);
        item->lineage->in_force_at = 0;
        /* Listed by later events of the same commit; it may never come back. */
        dirt_forget(&engine->keeping.dirt, item->lineage);
    }
    if (item->old != NULL)
        enter(engine, item->old);
}

/* -- a request --------------------------------------------------------------------- */

static void
settle(struct engine *engine, struct switch_request *request, enum request_outcome outcome)
{
    engine_lock(engine);
    request->outcome = outcome;
    pthread_cond_broadcast(&engine->changed);
    engine_unlock(engine);
}

static bool
add_records(struct engine *engine, struct switch_request *request, struct err *err)
{
    struct commit *commit = engine->building;
    stamp_look(&engine->stamp);
    for (size_t i = 0; i < request->count; i++) {
        struct rule_switch *item = &request->items[i];
        log_at at = stamp_next(&engine->stamp);
        bool in_force = item->kind != SWITCH_OUT;
        if (!journal_add_rule(engine->journal, at, item->rule, in_force, err))
            return false;
        commit->records++;
        commit->bytes += item->rule->conditions.len;
        if (item->kind == SWITCH_IN)
            item->lineage->in_force_at = at;
    }
    return true;
}

void
engine_switch(struct engine *engine)
{
    if (!atomic_load(&engine->mail))
        return;
    engine_flush(engine);
    engine_lock(engine);
    struct switch_request *request = engine->learning.request;
    engine->learning.request = NULL;
    atomic_store(&engine->mail, false);
    engine_unlock(engine);

    struct commit *commit = engine->building;
    must(commit->records == 0 && commit->change_count == 0);
    if (!fold_tail(engine, request, &request->err)) {
        settle(engine, request, request->err.code == ERR_LIMIT ? REQUEST_BEHIND : REQUEST_FAILED);
        return;
    }
    if (!add_records(engine, request, &request->err)) {
        engine_break_commit(engine, &request->err);
        settle(engine, request, REQUEST_FAILED);
        return;
    }
    for (size_t i = 0; i < request->count; i++)
        apply(engine, &request->items[i]);
    commit->request = request;
    commit->wake = true;
}

/* The changes of the tables were taken back before. */
void
engine_switch_undo(struct engine *engine, struct switch_request *request)
{
    for (size_t i = request->count; i > 0; i--)
        take_back(engine, &request->items[i - 1]);
    err_set(&request->err, ERR_IO, "engine: the commit of the rule's record failed");
    settle(engine, request, REQUEST_FAILED);
}

static void
retire(struct engine *engine, struct lineage *lineage)
{
    struct lineage **link = &engine->landed;
    while (*link != lineage)
        link = &(*link)->next;
    *link = lineage->next;
    lineage->next = engine->keeping.retired;
    engine->keeping.retired = lineage;
}

void
engine_switch_landed(struct engine *engine, struct switch_request *request)
{
    for (size_t i = 0; i < request->count; i++) {
        struct rule_switch *item = &request->items[i];
        struct lineage *now = item->kind == SWITCH_IN ? item->lineage : item->old;
        if (item->kind == SWITCH_IN) {
            item->lineage->next = engine->landed;
            engine->landed = item->lineage;
            if (!engine->keeping.whole)
                dirt_join(&engine->keeping.dirt, &item->dirt);
        }
        if (item->kind != SWITCH_AMEND && item->old != NULL)
            retire(engine, item->old);
        if (item->kind != SWITCH_OUT) {
            must(now != NULL);
            base_free((char *)(uintptr_t)now->row.ptr);
            now->row = base_copy(item->row);
        }
        rule_rows_add(&engine->keeping.rules, item->rule->id, item->row);
        item->row = (struct str){0};
    }
    settle(engine, request, REQUEST_DONE);
}
