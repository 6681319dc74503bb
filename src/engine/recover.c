/* recover - the states of all rules as they were when the server stopped, however it stopped.
 *
 * The checkpoint gives the states at one position, and the rules that were in force there. From
 * there the log is folded on, as it was folded live; the alerts that this gives must be those
 * that stand in the log. A rule that came into force behind the checkpoint is folded in a second
 * pass, from where its learning began: quietly up to its record, then as live. Without a
 * checkpoint that is every rule. */
#include "engine/engine_priv.h"

#include <inttypes.h>
#include <string.h>

enum { SAID_MOST = 10, WORTH_SAYING_US = 1000000 };

struct computed { /* an alert of the event in hand */
    char id[ALERT_ID_SIZE];
    bool seen;
};
struct recovery {
    struct engine *engine;
    bool second; /* pass */
    struct computed *computed;
    size_t computed_count, computed_cap;
    log_at event_at;
    uint64_t events, differences;
    bool ok;
    struct err *err;
};

/* -- differences ------------------------------------------------------------------- */

static void
say_difference(struct recovery *recovery, struct str alert_id, const char *what)
{
    if (++recovery->differences <= SAID_MOST)
        diag_warn("engine: recovery: alert %.*s of the event at %" PRIu64 " %s", STR_ARG(alert_id),
                  recovery->event_at, what);
    else if (recovery->differences == SAID_MOST + 1)
        diag_warn("engine: recovery: there are more differences; see the metrics");
}

/* All alerts of an event stand behind it, before the next one. */
static void
end_event(struct recovery *recovery)
{
    for (size_t i = 0; i < recovery->computed_count; i++)
        if (!recovery->computed[i].seen)
            say_difference(recovery, (struct str){recovery->computed[i].id, ALERT_ID_SIZE},
                           "is not in the log, but computed");
    recovery->computed_count = 0;
}

/* -- rows of the log --------------------------------------------------------------- */

static void
on_event(struct recovery *recovery, const struct journal_row *row, const struct event *event)
{
    struct engine *engine = recovery->engine;
    const struct workspace *workspace = workspaces_find(&engine->workspaces, row->workspace_id);
    end_event(recovery);
    recovery->events++;
    recovery->event_at = row->at;
    arena_reset(&engine->reader.arena);
    for (size_t i = 0; workspace != NULL && i < workspace->count; i++) {
        struct lineage *lineage = workspace->lineages[i];
        struct alert alert;
        if (row->at <= lineage->folded_to ||
            !detect_step(lineage->compiled, lineage->table, event, row->at < lineage->in_force_at,
                         &engine->reader.arena, &alert))
            continue;
        recovery->computed = grow(recovery->computed, recovery->computed_count,
                                  &recovery->computed_cap, sizeof *recovery->computed);
        struct computed *computed = &recovery->computed[recovery->computed_count++];
        must(alert.id.len == ALERT_ID_SIZE);
        memcpy(computed->id, alert.id.ptr, ALERT_ID_SIZE);
        computed->seen = false;
    }
}

static bool
on_alert(struct recovery *recovery, const struct journal_row *row)
{
    struct engine *engine = recovery->engine;
    struct fold_reader *reader = &engine->reader;
    struct json json;
    struct alert alert;
    arena_reset(&reader->arena);
    if (!json_parse(reader->parser, row->stored, &reader->arena, &json, recovery->err) ||
        !alert_read_stored(&json, &reader->arena, &alert, recovery->err))
        return err_prefix(recovery->err, "engine: the alert at %" PRIu64, row->at);
    for (size_t i = 0; i < recovery->computed_count; i++) {
        struct computed *computed = &recovery->computed[i];
        if (str_equal(alert.id, (struct str){computed->id, ALERT_ID_SIZE})) {
            computed->seen = true;
            return true;
        }
    }
    const struct standing *standing = standings_find(&engine->standings, alert.rule_id);
    if (standing != NULL && row->at > standing->lineage->folded_to &&
        row->at > standing->lineage->in_force_at)
        say_difference(recovery, alert.id, "is in the log, but not computed");
    return true;
}

/* -- rules ------------------------------------------------------------------------- */

void
recover_say_broken(const struct rule *rule, const struct err *why)
{
    diag_error("engine: recovery: rule %.*s (%.*s) cannot be run and is not in force: %s",
               STR_ARG(rule->id), STR_ARG(rule->name), why->text);
}

/* Whatever lists its states keeps it until the next checkpoint has dropped them. */
void
recover_remove_standing(struct engine *engine, struct str rule_id)
{
    struct standing *standing = standings_find(&engine->standings, rule_id);
    if (standing == NULL)
        return;
    struct lineage *lineage = standing->lineage;
    workspace_remove(lineage->workspace, lineage);
    detect_table_watch(lineage->table, NULL, NULL);
    lineage->next = engine->keeping.retired;
    engine->keeping.retired = lineage;
    rule_rows_add(&engine->keeping.rules, rule_id, (struct str){0});
    standings_remove(&engine->standings, rule_id);
}

void
recover_put_standing(struct engine *engine, const struct rule *rule,
                     const struct rule *const *others, size_t other_count, struct lineage *lineage)
{
    struct standing *standing = standing_new(rule, others, other_count);
    standing->lineage = lineage;
    standings_put(&engine->standings, standing);
}

/* It is folded in the second pass. */
static void
begin_lineage(struct engine *engine, const struct rule *rule, log_at at)
{
    const struct rule **others;
    struct lineage *lineage;
    struct err err = {0};
    size_t other_count = standings_listed(&engine->standings, engine->reader.parser, rule,
                                          &engine->reader.arena, &others);
    if (rule->learnt_from <= 0)
        err_set(&err, ERR_CORRUPT, "it does not say where its learning began");
    if (rule->learnt_from <= 0 || !lineage_new(engine, rule, others, other_count, &lineage, &err)) {
        recover_say_broken(rule, &err);
        return;
    }
    lineage->folded_to = UINT64_MAX;
    lineage->in_force_at = at;
    recover_put_standing(engine, rule, others, other_count, lineage);
    workspace_add(workspaces_need(&engine->workspaces, rule->workspace_id), lineage);
}

/* Another compiled rule, the same states. False: it cannot be run. */
static bool
amend(const struct standing *standing, const struct rule *rule)
{
    struct err err = {0};
    struct detect_rule *compiled = detect_rule_new(
        rule, (const struct rule *const *)standing->others, standing->other_count, &err);
    if (compiled == NULL) {
        recover_say_broken(rule, &err);
        return false;
    }
    detect_rule_free(standing->lineage->compiled);
    standing->lineage->compiled = compiled;
    return true;
}

static bool
is_same_lineage(const struct standing *standing, const struct rule *rule)
{
    return standing != NULL && standing->rule->fold_version == rule->fold_version &&
           standing->rule->learnt_from == rule->learnt_from;
}

static void
on_rule_first(struct engine *engine, const struct rule *rule, const struct journal_row *row)
{
    struct standing *standing = standings_find(&engine->standings, rule->id);
    if (!row->in_force) {
        recover_remove_standing(engine, rule->id);
    } else if (!is_same_lineage(standing, rule)) {
        recover_remove_standing(engine, rule->id);
        begin_lineage(engine, rule, row->at);
    } else {
        struct lineage *lineage = standing->lineage;
        bool later = lineage->folded_to == UINT64_MAX;
        if (!later && !amend(standing, rule))
            recover_remove_standing(engine, rule->id);
        else
            recover_put_standing(engine, rule, (const struct rule *const *)standing->others,
                                 standing->other_count, lineage);
    }
}

static bool
on_rule(struct recovery *recovery, const struct journal_row *row)
{
    struct engine *engine = recovery->engine;
    struct rule rule;
    struct err err = {0};
    if (!fold_reader_rule(&engine->reader, row, &rule, &err)) {
        diag_error("%s; it is not in force", err.text);
        return true;
    }
    if (!recovery->second) {
        on_rule_first(engine, &rule, row);
        return true;
    }
    const struct standing *standing = standings_find(&engine->standings, rule.id);
    if (row->in_force && is_same_lineage(standing, &rule) &&
        row->at > standing->lineage->folded_to && row->at > standing->lineage->in_force_at &&
        !amend(standing, &rule))
        recover_remove_standing(engine, rule.id);
    return true;
}

static bool
on_row(void *self, const struct feed_row *fed)
{
    struct recovery *recovery = self;
    const struct journal_row *row = &fed->row;
    switch (row->kind) {
    case JOURNAL_EVENT:
        on_event(recovery, row, &fed->event);
        break;
    case JOURNAL_ALERT:
        recovery->ok = on_alert(recovery, row);
        break;
    case JOURNAL_RULE:
        recovery->ok = on_rule(recovery, row);
        break;
    case JOURNAL_SOURCE:
        break;
    }
    return recovery->ok;
}

/* -- two passes -------------------------------------------------------------------- */

static bool
pass(struct recovery *recovery, log_at from, uint32_t kinds)
{
    struct engine *engine = recovery->engine;
    struct log_span span = {.from = from, .to = engine->keeping.landed};
    if (span.from > span.to)
        return true;
    bool ok = feed_scan(engine, &span, kinds, on_row, recovery, recovery->err);
    end_event(recovery);
    return ok && recovery->ok;
}

/* Those of the first pass stand still now, the others begin. Gives where the first begins. */
static log_at
turn_to_later(struct engine *engine)
{
    log_at first = UINT64_MAX;
    for (size_t i = 0; i < engine->standings.count; i++) {
        struct lineage *lineage = engine->standings.items[i]->lineage;
        bool later = lineage->folded_to == UINT64_MAX;
        lineage->folded_to = later ? lineage->learnt_from - 1 : UINT64_MAX;
        if (later && lineage->learnt_from < first)
            first = lineage->learnt_from;
    }
    return first;
}

static bool
fold_log(struct recovery *recovery, log_at checkpoint)
{
    struct engine *engine = recovery->engine;
    uint32_t rules = JOURNAL_KIND_BIT(JOURNAL_RULE);
    uint32_t all = rules | JOURNAL_KIND_BIT(JOURNAL_EVENT) | JOURNAL_KIND_BIT(JOURNAL_ALERT);
    if (!pass(recovery, checkpoint + 1, engine->standings.count == 0 ? rules : all))
        return false;
    log_at from = turn_to_later(engine);
    recovery->second = true;
    return from == UINT64_MAX || pass(recovery, from, all);
}

/* -- in force ---------------------------------------------------------------------- */

static void
bring_in(struct engine *engine, struct standing *standing, log_at checkpoint)
{
    struct lineage *lineage = standing->lineage;
    lineage->folded_to = engine->keeping.landed;
    detect_table_watch(lineage->table, commit_on_change, lineage);
    if (lineage->cut == 0 || checkpoint == 0)
        dirt_add_all(&engine->keeping.dirt, lineage);
    lineage->row = rule_row_write(standing);
    rule_rows_add(&engine->keeping.rules, standing->rule->id, base_copy(lineage->row));
    lineage->bytes = (int64_t)detect_table_bytes(lineage->table);
    engine_count_states(engine, lineage, (int64_t)detect_table_count(lineage->table), 0);
    atomic_fetch_add(&engine->counters.state_bytes, lineage->bytes);
    lineage->next = engine->landed;
    engine->landed = lineage;
}

bool
engine_recover(struct engine *engine, struct err *err)
{
    struct recovery recovery = {.engine = engine, .ok = true, .err = err};
    log_at checkpoint;
    engine->keeping.landed = log_durable(engine->log);
    if (engine_restore(engine, &checkpoint)) {
        engine->keeping.cut_at = checkpoint;
        atomic_store(&engine->counters.checkpoint_at, (int64_t)checkpoint);
    }
    struct clock clock = engine->options.clock;
    int64_t began = clock.monotonic_us(clock.self);
    bool ok = fold_log(&recovery, checkpoint);
    int64_t took = clock.monotonic_us(clock.self) - began;
    base_free(recovery.computed);
    if (!ok)
        return false;
    if (took >= WORTH_SAYING_US)
        diag_note("engine: %" PRIu64 " events behind the checkpoint were folded anew in %.1f s",
                  recovery.events, (double)took / 1e6);
    for (size_t i = 0; i < engine->standings.count; i++)
        bring_in(engine, engine->standings.items[i], checkpoint);
    atomic_store(&engine->counters.differences, recovery.differences);
    return true;
}
