/* backtest - a rule over stored history: what it would have raised, had it been in force.
 *
 * It learns quietly from as far back as a new rule would, then is folded as live. The ids of its
 * alerts are those of live ones, being made of the event's and the rule's. */
#include "engine/engine_priv.h"

#include <stdlib.h>
#include <string.h>

enum { ALERTS_SHOWN = 100, COUNTS_FIRST = 1 << 20, COUNTS_MOST = 256 << 20 };

struct tally { /* open addressing; texts in the arena of counts */
    struct str text;
    uint64_t count;
};
struct tallies {
    struct tally *slots;
    size_t count, cap;
};

struct backtest {
    struct engine *engine;
    const struct rule *rule;
    struct detect_rule *compiled;
    struct detect_table *table;
    struct fold_reader reader;
    log_at from;
    struct arena counts, *arena;
    struct tallies days, actors;
    struct engine_backtest *result;
    bool ok;
    struct err *err;
};

static struct tally *
slot_of(const struct tallies *tallies, struct str text)
{
    size_t at = (size_t)hash64(0, text.ptr, text.len) & (tallies->cap - 1);
    while (tallies->slots[at].count != 0 && !str_equal(tallies->slots[at].text, text))
        at = (at + 1) & (tallies->cap - 1);
    return &tallies->slots[at];
}

static bool
make_room(struct tallies *tallies, struct arena *arena)
{
    if ((tallies->count + 1) * 2 <= tallies->cap)
        return true;
    struct tallies more = {.count = tallies->count,
                           .cap = tallies->cap == 0 ? 64 : tallies->cap * 2};
    more.slots = arena_array(arena, more.cap, struct tally);
    if (more.slots == NULL)
        return false;
    for (size_t i = 0; i < tallies->cap; i++)
        if (tallies->slots[i].count != 0)
            *slot_of(&more, tallies->slots[i].text) = tallies->slots[i];
    *tallies = more;
    return true;
}

static bool
count_one(struct backtest *test, struct tallies *tallies, struct str text)
{
    bool fits = make_room(tallies, &test->counts);
    struct tally *tally = fits ? slot_of(tallies, text) : NULL;
    if (fits && tally->count == 0) {
        fits = arena_copy(&test->counts, text, &tally->text);
        tallies->count += fits;
    }
    if (!fits)
        return err_set(test->err, ERR_LIMIT, "engine: the back-test raises too many alerts");
    tally->count++;
    return true;
}

/* -- alerts ------------------------------------------------------------------------ */

static bool
keep_text(struct arena *arena, struct str *text)
{
    return arena_copy(arena, *text, text);
}

static bool
keep_alert(struct backtest *test, struct alert alert)
{
    struct engine_backtest *result = test->result;
    struct arena *arena = test->arena;
    bool fits = keep_text(arena, &alert.id) && keep_text(arena, &alert.rule_id) &&
                keep_text(arena, &alert.rule_name) && keep_text(arena, &alert.rule_type) &&
                keep_text(arena, &alert.reason) && keep_text(arena, &alert.event_id) &&
                keep_text(arena, &alert.actor_id) && keep_text(arena, &alert.tenant_id) &&
                keep_text(arena, &alert.context);
    if (!fits)
        return err_set(test->err, ERR_LIMIT, "engine: the back-test's alerts do not fit");
    alert.emails = (struct json){0}; /* nobody is written to */
    result->alerts[result->alert_count++] = alert;
    return true;
}

static bool
on_raised(struct backtest *test, const struct event *event, struct alert *alert)
{
    struct engine_backtest *result = test->result;
    char day[TIME_TEXT_SIZE];
    time_format(event->occurred_at, day);
    alert->triggered_at = event->created_at;
    result->alerts_total++;
    return (result->alert_count == ALERTS_SHOWN || keep_alert(test, *alert)) &&
           count_one(test, &test->days, (struct str){day, 10}) &&
           count_one(test, &test->actors, event->actor_id);
}

static bool
on_event(void *self, const struct journal_row *row)
{
    struct backtest *test = self;
    struct event event;
    struct alert alert;
    test->ok = fold_reader_event(&test->reader, row, &event, test->err);
    if (!test->ok)
        return false;
    bool quiet = row->at < test->from;
    if (!quiet) {
        test->result->events_scanned++;
        test->result->events_matched += detect_sees(test->compiled, &event);
    }
    if (detect_step(test->compiled, test->table, &event, quiet, &test->reader.arena, &alert))
        test->ok = on_raised(test, &event, &alert);
    return test->ok;
}

/* -- results ----------------------------------------------------------------------- */

static int
by_text(const void *a, const void *b)
{
    const struct tally *left = a, *right = b;
    return str_compare(left->text, right->text);
}

static int
by_count(const void *a, const void *b)
{
    const struct tally *left = a, *right = b;
    if (left->count != right->count)
        return left->count > right->count ? -1 : 1;
    return by_text(a, b);
}

/* The slots that are used, in order, in front. */
static void
sort(struct tallies *tallies, int (*compare)(const void *, const void *))
{
    size_t count = 0;
    for (size_t i = 0; i < tallies->cap; i++)
        if (tallies->slots[i].count != 0)
            tallies->slots[count++] = tallies->slots[i];
    if (count > 0)
        qsort(tallies->slots, count, sizeof *tallies->slots, compare);
}

static bool
write_counts(struct backtest *test)
{
    struct engine_backtest *result = test->result;
    struct arena *arena = test->arena;
    sort(&test->days, by_text);
    sort(&test->actors, by_count);
    result->by_day = arena_array(arena, test->days.count, struct engine_backtest_day);
    bool fits = result->by_day != NULL;
    result->day_count = fits ? test->days.count : 0;
    for (size_t i = 0; i < result->day_count; i++) {
        memcpy(result->by_day[i].day, test->days.slots[i].text.ptr, test->days.slots[i].text.len);
        result->by_day[i].count = test->days.slots[i].count;
    }
    size_t most = COUNT_OF(result->by_actor);
    result->actor_count = test->actors.count < most ? test->actors.count : most;
    for (size_t i = 0; fits && i < result->actor_count; i++) {
        result->by_actor[i].count = test->actors.slots[i].count;
        result->by_actor[i].actor_id = test->actors.slots[i].text;
        fits = keep_text(arena, &result->by_actor[i].actor_id);
    }
    return fits || err_set(test->err, ERR_LIMIT, "engine: the back-test's counts do not fit");
}

/* -- the rule ---------------------------------------------------------------------- */

static bool
compile(struct backtest *test)
{
    struct engine *engine = test->engine;
    struct arena *arena = &test->counts;
    struct rule *rules;
    size_t count, others = 0;
    if (!store_rules(engine->options.store, test->rule->workspace_id, arena, &rules, &count,
                     test->err))
        return false;
    const struct rule **list = arena_array(arena, count, const struct rule *);
    must(list != NULL);
    for (size_t i = 0; i < count; i++)
        if (rules[i].enabled && !str_equal(rules[i].id, test->rule->id))
            list[others++] = &rules[i];
    test->compiled = detect_rule_new(test->rule, list, others, test->err);
    return test->compiled != NULL;
}

static log_at
learn_from(const struct backtest *test, struct log_span span)
{
    int64_t memory_us = detect_rule_memory_us(test->compiled);
    int64_t back = test->engine->options.learning_us;
    if (memory_us >= INT64_MAX - back || span.from <= (log_at)(back + memory_us))
        return 1;
    return span.from - (log_at)(back + memory_us);
}

bool
engine_backtest(struct engine *engine, const struct rule *rule, struct log_span span,
                struct arena *arena, struct engine_backtest *result_out, struct err *err)
{
    struct engine_backtest result = {0};
    struct backtest test = {.engine = engine,
                            .rule = rule,
                            .from = span.from,
                            .arena = arena,
                            .result = &result,
                            .ok = true,
                            .err = err};
    arena_init(&test.counts, COUNTS_FIRST, COUNTS_MOST);
    fold_reader_init(&test.reader);
    result.alerts = arena_array(arena, ALERTS_SHOWN, struct alert);
    bool ok = result.alerts != NULL || err_set(err, ERR_LIMIT, "engine: no room for a back-test");
    ok = ok && compile(&test);
    if (ok) {
        test.table = detect_table_new(engine->options.subjects_max);
        struct log_span whole = {.from = learn_from(&test, span), .to = span.to};
        ok = journal_scan(engine->journal, whole, JOURNAL_KIND_BIT(JOURNAL_EVENT),
                          rule->workspace_id, on_event, &test, err) &&
             test.ok && write_counts(&test);
    }
    detect_table_free(test.table);
    detect_rule_free(test.compiled);
    fold_reader_fini(&test.reader);
    arena_fini(&test.counts);
    if (ok)
        *result_out = result;
    return ok;
}
