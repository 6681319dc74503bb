#include "support/oracle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* -- the log in memory ------------------------------------------------------------- */

struct seen_event {
    log_at at;
    struct str workspace_id;
    struct event event;
};
struct seen_alert {
    log_at at;
    char id[ALERT_ID_SIZE];
    bool computed;
};
struct seen_rule {
    log_at at;
    bool in_force;
    struct rule *rule;
};
struct seen {
    struct json_parser *parser;
    struct arena arena;
    struct seen_event *events;
    size_t event_count, event_cap;
    struct seen_alert *alerts;
    size_t alert_count, alert_cap;
    struct seen_rule *rules;
    size_t rule_count, rule_cap;
    struct oracle_verdict verdict;
};

static void *
one_more(void *items, size_t count, size_t *cap, size_t size)
{
    if (count < *cap)
        return items;
    *cap = *cap == 0 ? 256 : *cap * 2;
    return base_realloc(items, *cap * size);
}

static struct str
kept(struct seen *seen, struct str text)
{
    struct str copy;
    must(arena_copy(&seen->arena, text, &copy));
    return copy;
}

static struct json
parse(struct seen *seen, struct str text)
{
    struct json json;
    struct err err = {0};
    must(json_parse(seen->parser, text, &seen->arena, &json, &err));
    return json;
}

static void
see_event(struct seen *seen, const struct journal_row *row)
{
    struct err err = {0};
    seen->events =
        one_more(seen->events, seen->event_count, &seen->event_cap, sizeof *seen->events);
    struct seen_event *event = &seen->events[seen->event_count++];
    struct json json = parse(seen, row->stored);
    event->at = row->at;
    event->workspace_id = kept(seen, row->workspace_id);
    must(event_read_stored(&json, &seen->arena, &event->event, &err));
    if (event->event.created_at != (int64_t)row->at)
        seen->verdict.alerts_astray++;
}

static void
see_alert(struct seen *seen, const struct journal_row *row)
{
    struct err err = {0};
    struct alert alert;
    struct json json = parse(seen, row->stored);
    must(alert_read_stored(&json, &seen->arena, &alert, &err));
    const struct seen_event *event =
        seen->event_count > 0 ? &seen->events[seen->event_count - 1] : NULL;
    if (event == NULL || alert.event_at != (int64_t)event->at || alert.at != (int64_t)row->at ||
        !str_equal(alert.event_id, event->event.id))
        seen->verdict.alerts_astray++;
    seen->alerts =
        one_more(seen->alerts, seen->alert_count, &seen->alert_cap, sizeof *seen->alerts);
    struct seen_alert *seen_alert = &seen->alerts[seen->alert_count++];
    *seen_alert = (struct seen_alert){.at = row->at};
    memcpy(seen_alert->id, alert.id.ptr, ALERT_ID_SIZE);
}

static void
see_rule(struct seen *seen, const struct journal_row *row)
{
    struct err err = {0};
    struct rule rule;
    struct json json = parse(seen, row->stored);
    must(rule_read(&json, &seen->arena, &rule, &err));
    seen->rules = one_more(seen->rules, seen->rule_count, &seen->rule_cap, sizeof *seen->rules);
    seen->rules[seen->rule_count++] = (struct seen_rule){row->at, row->in_force, rule_copy(&rule)};
}

static bool
on_row(void *self, const struct journal_row *row)
{
    struct seen *seen = self;
    if (row->kind == JOURNAL_EVENT)
        see_event(seen, row);
    else if (row->kind == JOURNAL_ALERT)
        see_alert(seen, row);
    else if (row->kind == JOURNAL_RULE)
        see_rule(seen, row);
    return true;
}

static int
by_id(const void *a, const void *b)
{
    return memcmp(((const struct seen_alert *)a)->id, ((const struct seen_alert *)b)->id,
                  ALERT_ID_SIZE);
}

/* -- one lineage ------------------------------------------------------------------- */

/* The rules in force at a record, the newest record of each. */
static size_t
in_force_at(const struct seen *seen, size_t record, const struct rule **rules_out)
{
    size_t count = 0;
    for (size_t i = record; i-- > 0;) {
        bool newest = true;
        for (size_t j = i + 1; j < record && newest; j++)
            newest = !str_equal(seen->rules[j].rule->id, seen->rules[i].rule->id);
        if (newest && seen->rules[i].in_force &&
            str_equal(seen->rules[i].rule->workspace_id, seen->rules[record].rule->workspace_id))
            rules_out[count++] = seen->rules[i].rule;
    }
    return count;
}

static bool
goes_on(const struct seen_rule *first, const struct seen_rule *next)
{
    return next->in_force && next->rule->fold_version == first->rule->fold_version &&
           next->rule->learnt_from == first->rule->learnt_from;
}

/* The next record of the same rule; NULL: none. */
static const struct seen_rule *
next_record(const struct seen *seen, const struct seen_rule *record)
{
    const struct seen_rule *end = seen->rules + seen->rule_count;
    for (const struct seen_rule *next = record + 1; next < end; next++)
        if (str_equal(next->rule->id, record->rule->id))
            return next;
    return NULL;
}

static void
compute(struct seen *seen, struct str id)
{
    struct seen_alert key = {0};
    memcpy(key.id, id.ptr, ALERT_ID_SIZE);
    struct seen_alert *found =
        seen->alert_count == 0
            ? NULL
            : bsearch(&key, seen->alerts, seen->alert_count, sizeof *seen->alerts, by_id);
    if (found == NULL || found->computed)
        seen->verdict.alerts_missing++;
    else
        found->computed = true;
}

/* -- states ------------------------------------------------------------------------ */

struct row {
    struct row *next;
    struct str table, subject, state;
    uint64_t stamp;
    bool expected;
};
struct rows {
    struct row *first;
    struct arena arena;
    size_t count;
};

static void
on_state(void *self, const struct store_state *state)
{
    struct rows *rows = self;
    if (str_equal(state->table, STR("rules")))
        return;
    struct row *row = arena_new(&rows->arena, struct row);
    must(row != NULL && arena_copy(&rows->arena, state->table, &row->table) &&
         arena_copy(&rows->arena, state->subject, &row->subject) &&
         arena_copy(&rows->arena, state->state, &row->state));
    row->stamp = state->stamp;
    row->next = rows->first;
    rows->first = row;
    rows->count++;
}

struct comparing {
    struct rows *rows;
    struct str table;
    size_t wrong;
};

static bool
compare_cell(void *self, struct detect_cell *cell)
{
    struct comparing *comparing = self;
    struct str subject = {cell->bytes, cell->subject_len};
    struct str state = {cell->bytes + cell->subject_len, cell->state_len};
    for (struct row *row = comparing->rows->first; row != NULL; row = row->next) {
        if (!str_equal(row->table, comparing->table) || !str_equal(row->subject, subject))
            continue;
        row->expected = true;
        comparing->wrong += !str_equal(row->state, state) || row->stamp != cell->stamp;
        return true;
    }
    comparing->wrong++;
    return true;
}

/* -- the fold ---------------------------------------------------------------------- */

struct folding {
    struct seen *seen;
    const struct seen_rule *first, *current;
    const struct rule **others;
    size_t other_count;
    struct detect_rule *compiled;
    struct detect_table *table;
};

static struct detect_rule *
compiled(const struct folding *folding, const struct rule *rule)
{
    struct err err = {0};
    struct detect_rule *made = detect_rule_new(rule, folding->others, folding->other_count, &err);
    must(made != NULL);
    return made;
}

/* From where its learning began to where it ends: the end of the log, or a record that ends it. */
static void
fold(struct folding *folding, log_at end)
{
    struct seen *seen = folding->seen;
    for (size_t i = 0; i < seen->event_count; i++) {
        const struct seen_event *event = &seen->events[i];
        if (event->at < (log_at)folding->first->rule->learnt_from || event->at > end ||
            !str_equal(event->workspace_id, folding->first->rule->workspace_id))
            continue;
        const struct seen_rule *next;
        while ((next = next_record(seen, folding->current)) != NULL && next->at < event->at) {
            detect_rule_free(folding->compiled);
            folding->compiled = compiled(folding, next->rule);
            folding->current = next;
        }
        struct alert alert;
        bool quiet = event->at < folding->first->at;
        if (detect_step(folding->compiled, folding->table, &event->event, quiet, &seen->arena,
                        &alert))
            compute(seen, alert.id);
    }
}

static void
fold_lineage(struct seen *seen, size_t record, struct rows *rows, size_t subjects_max)
{
    const struct seen_rule *first = &seen->rules[record], *next = first;
    const struct rule **others = base_alloc(record + 1, sizeof *others);
    struct folding folding = {.seen = seen, .first = first, .current = first, .others = others};
    folding.other_count = in_force_at(seen, record, others);
    folding.compiled = compiled(&folding, first->rule);
    folding.table = detect_table_new(subjects_max);
    while ((next = next_record(seen, next)) != NULL && goes_on(first, next)) {
    }
    fold(&folding, next == NULL ? UINT64_MAX : next->at);
    if (next == NULL && rows != NULL) {
        char name[256];
        int len =
            snprintf(name, sizeof name, "%.*s/%lld/%lld", STR_ARG(first->rule->id),
                     (long long)first->rule->fold_version, (long long)first->rule->learnt_from);
        struct comparing comparing = {.rows = rows, .table = {name, (size_t)len}};
        detect_table_each(folding.table, compare_cell, &comparing);
        seen->verdict.states_wrong += comparing.wrong;
    }
    detect_rule_free(folding.compiled);
    detect_table_free(folding.table);
    base_free(others);
    seen->verdict.lineages++;
}

static bool
begins_lineage(const struct seen *seen, size_t record)
{
    if (!seen->rules[record].in_force)
        return false;
    for (size_t i = record; i-- > 0;)
        if (str_equal(seen->rules[i].rule->id, seen->rules[record].rule->id))
            return !seen->rules[i].in_force || !goes_on(&seen->rules[i], &seen->rules[record]);
    return true;
}

static void
judge(struct seen *seen, struct rows *rows, size_t subjects_max)
{
    if (seen->alert_count > 0)
        qsort(seen->alerts, seen->alert_count, sizeof *seen->alerts, by_id);
    for (size_t i = 0; i < seen->rule_count; i++)
        if (begins_lineage(seen, i))
            fold_lineage(seen, i, rows, subjects_max);
    for (size_t i = 0; i < seen->alert_count; i++)
        seen->verdict.alerts_too_many += !seen->alerts[i].computed;
    for (struct row *row = rows == NULL ? NULL : rows->first; row != NULL; row = row->next)
        seen->verdict.states_wrong += !row->expected;
    seen->verdict.states = rows == NULL ? 0 : rows->count;
    seen->verdict.events = seen->event_count;
    seen->verdict.alerts = seen->alert_count;
}

struct oracle_verdict
oracle_ask(struct journal *journal, struct store_states *states, size_t subjects_max)
{
    struct seen seen = {.parser = json_parser_new()};
    struct rows rows = {0};
    struct err err = {0};
    uint32_t kinds = JOURNAL_KIND_BIT(JOURNAL_EVENT) | JOURNAL_KIND_BIT(JOURNAL_ALERT) |
                     JOURNAL_KIND_BIT(JOURNAL_RULE);
    arena_init(&seen.arena, 1 << 20, SIZE_MAX);
    arena_init(&rows.arena, 1 << 20, SIZE_MAX);
    struct log_span span = {.from = 0, .to = UINT64_MAX};
    if (!journal_scan(journal, span, kinds, (struct str){0}, on_row, &seen, &err)) {
        printf("# %s\n", err.text);
        seen.verdict.alerts_astray++;
    }
    if (states != NULL) {
        int64_t position = 0;
        must(store_states_position(states, log_seed(journal_log(journal)), &position, &err));
        must(store_states_read(states, on_state, &rows, &err));
        if (position != (int64_t)log_durable(journal_log(journal)))
            seen.verdict.states_wrong++;
    }
    judge(&seen, states == NULL ? NULL : &rows, subjects_max);
    for (size_t i = 0; i < seen.rule_count; i++)
        rule_free(seen.rules[i].rule);
    base_free(seen.events);
    base_free(seen.alerts);
    base_free(seen.rules);
    json_parser_free(seen.parser);
    arena_fini(&seen.arena);
    arena_fini(&rows.arena);
    return seen.verdict;
}

size_t
oracle_faults(const struct oracle_verdict *verdict)
{
    return verdict->alerts_missing + verdict->alerts_too_many + verdict->alerts_astray +
           verdict->states_wrong;
}
