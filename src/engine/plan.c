/* plan - what of the rules asked for is not in force, and what is in force and not asked for any
 * more.
 *
 * A rule that lists others folds its own copies of them, as they stand in the log when it comes
 * into force. So it waits until those it lists are in force as asked for, and learns again when
 * one of them has changed, come or gone. */
#include "engine/engine_priv.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { ARENA_FIRST = 64 << 10, ARENA_MOST = 1 << 30, SWITCHES_MOST = 16 };

struct plan {
    struct engine *engine;
    struct learning *learning;
    struct arena arena;
    struct rule *wanted; /* by id */
    size_t count;
    struct rule_switch switches[SWITCHES_MOST];
    size_t switch_count;
    struct str *pending; /* in the arena */
    size_t pending_count;
};

/* -- jobs -------------------------------------------------------------------------- */

static struct standing *
find_job(const struct learning *learning, struct str rule_id, size_t *at_out)
{
    for (size_t i = 0; i < learning->job_count; i++) {
        if (str_equal(learning->jobs[i]->rule->id, rule_id)) {
            *at_out = i;
            return learning->jobs[i];
        }
    }
    return NULL;
}

void
learning_cancel(struct engine *engine, size_t job)
{
    struct learning *learning = &engine->learning;
    struct standing *standing = learning->jobs[job];
    learning->jobs[job] = learning->jobs[--learning->job_count];
    lineage_free(standing->lineage);
    standing_free(standing);
}

bool
others_same(const struct standing *standing, const struct rule *const *others, size_t count,
            bool to_the_letter)
{
    if (standing->other_count != count)
        return false;
    for (size_t i = 0; i < count; i++) {
        const struct rule *then = standing->others[i], *now = others[i];
        if (!str_equal(then->id, now->id) || then->fold_version != now->fold_version ||
            (to_the_letter && then->version != now->version))
            return false;
    }
    return true;
}

/* -- rules that cannot be run ------------------------------------------------------ */

static struct str
broken_name(const struct rule *rule, char room[static 256])
{
    int len = snprintf(room, 256, "%.*s/%" PRId64, STR_ARG(rule->id), rule->version);
    must(len > 0 && len < 256);
    return (struct str){room, (size_t)len};
}

static bool
is_broken(const struct learning *learning, const struct rule *rule)
{
    char room[256];
    struct str name = broken_name(rule, room);
    for (size_t i = 0; i < learning->broken_count; i++)
        if (str_equal(learning->broken[i], name))
            return true;
    return false;
}

static void
note_broken(struct learning *learning, const struct rule *rule, const struct err *why)
{
    diag_error("engine: rule %.*s (%.*s) cannot be run and is not in force: %s", STR_ARG(rule->id),
               STR_ARG(rule->name), why->text);
    char room[256];
    learning->broken =
        grow(learning->broken, learning->broken_count, &learning->broken_cap, sizeof(struct str));
    learning->broken[learning->broken_count++] = base_copy(broken_name(rule, room));
}

/* -- switches that need no learning ------------------------------------------------ */

static void
settle_switch(struct engine *engine, struct rule_switch *item, bool done)
{
    detect_rule_free(item->compiled); /* the one that is out of use now */
    base_free((char *)(uintptr_t)item->row.ptr);
    if (done && item->kind == SWITCH_OUT) {
        standings_remove(&engine->standings, item->rule->id);
    } else if (done) {
        struct standing *before = standings_find(&engine->standings, item->rule->id);
        struct standing *now = standing_new(item->rule, (const struct rule *const *)before->others,
                                            before->other_count);
        now->lineage = before->lineage;
        standings_put(&engine->standings, now);
    }
    rule_free(item->rule);
    *item = (struct rule_switch){0};
}

static bool
send_switches(struct plan *plan, struct err *err)
{
    struct engine *engine = plan->engine;
    if (plan->switch_count == 0)
        return true;
    struct switch_request request = {.items = plan->switches, .count = plan->switch_count};
    learning_request(engine, &request);
    bool done = request.outcome == REQUEST_DONE;
    engine_lock(engine);
    for (size_t i = 0; i < plan->switch_count; i++)
        settle_switch(engine, &plan->switches[i], done);
    engine_unlock(engine);
    plan->switch_count = 0;
    plan->learning->again = true;
    if (!done)
        *err = request.err;
    return done;
}

static int
by_id(const void *a, const void *b)
{
    return str_compare(((const struct rule *)a)->id, ((const struct rule *)b)->id);
}

/* NULL: not asked for, or switched off. */
static struct rule *
wanted_rule(const struct plan *plan, struct str id)
{
    struct rule key = {.id = id};
    struct rule *rule =
        plan->count == 0 ? NULL : bsearch(&key, plan->wanted, plan->count, sizeof key, by_id);
    return rule != NULL && rule->enabled ? rule : NULL;
}

/* The standings are changed by this thread alone, so it may look without the lock. */
static bool
switch_out_unwanted(struct plan *plan, struct err *err)
{
    struct engine *engine = plan->engine;
    for (size_t i = 0; i < engine->standings.count; i++) {
        const struct standing *standing = engine->standings.items[i];
        if (wanted_rule(plan, standing->rule->id) != NULL)
            continue;
        plan->switches[plan->switch_count++] = (struct rule_switch){
            .kind = SWITCH_OUT, .rule = rule_copy(standing->rule), .old = standing->lineage};
        if (plan->switch_count < SWITCHES_MOST)
            continue;
        if (!send_switches(plan, err))
            return false;
        i = SIZE_MAX; /* they are fewer now: from the beginning */
    }
    return send_switches(plan, err);
}

static bool
amend(struct plan *plan, const struct standing *standing, const struct rule *rule, struct err *err)
{
    struct rule next = *rule;
    next.learnt_from = standing->rule->learnt_from;
    const struct rule *const *others = (const struct rule *const *)standing->others;
    struct err why = {0};
    struct detect_rule *compiled = detect_rule_new(&next, others, standing->other_count, &why);
    if (compiled == NULL) {
        note_broken(plan->learning, rule, &why);
        plan->learning->again = true; /* to be listed as pending */
        return true;
    }
    struct standing amended = {
        .rule = &next, .others = standing->others, .other_count = standing->other_count};
    plan->switches[plan->switch_count++] = (struct rule_switch){
        .kind = SWITCH_AMEND,
        .rule = rule_copy(&next),
        .old = standing->lineage,
        .compiled = compiled,
        .row = rule_row_write(&amended),
    };
    return plan->switch_count < SWITCHES_MOST || send_switches(plan, err);
}

/* -- rules to be learnt ------------------------------------------------------------ */

/* As far back as the horizon and the rule's own memory go; another than the lineage it follows
 * has, so that its records tell the two apart. */
static int64_t
learn_from(struct engine *engine, int64_t memory_us, const struct standing *standing)
{
    struct clock clock = engine->options.clock;
    int64_t now = clock.wall_us(clock.self), durable = (int64_t)log_durable(engine->log);
    now = durable > now ? durable : now;
    int64_t from = 1, back = engine->options.learning_us;
    if (memory_us < INT64_MAX - back && now - back - memory_us > 1)
        from = now - back - memory_us;
    return standing != NULL && standing->rule->learnt_from == from ? from + 1 : from;
}

static void
begin_job(struct plan *plan, const struct rule *rule, const struct rule *const *others,
          size_t other_count)
{
    struct engine *engine = plan->engine;
    struct learning *learning = plan->learning;
    struct err err = {0};
    struct lineage *lineage = NULL;
    struct detect_rule *probe = detect_rule_new(rule, others, other_count, &err);
    struct rule next = *rule;
    if (probe != NULL) {
        next.learnt_from = learn_from(engine, detect_rule_memory_us(probe),
                                      standings_find(&engine->standings, rule->id));
        detect_rule_free(probe);
    }
    if (probe == NULL || !lineage_new(engine, &next, others, other_count, &lineage, &err)) {
        note_broken(learning, rule, &err);
        return;
    }
    struct standing *job = standing_new(&next, others, other_count);
    job->lineage = lineage;
    learning->jobs =
        grow(learning->jobs, learning->job_count, &learning->job_cap, sizeof(struct standing *));
    learning->jobs[learning->job_count++] = job;
}

/* Those it lists are in force as they are asked for, or not asked for. */
static bool
listed_are_ready(const struct plan *plan, const struct rule *rule)
{
    struct str *ids;
    struct arena *arena = (struct arena *)(uintptr_t)&plan->arena;
    size_t count = rules_listed(plan->learning->reader.parser, rule, arena, &ids);
    for (size_t i = 0; i < count; i++) {
        const struct rule *listed = wanted_rule(plan, ids[i]);
        if (listed == NULL || is_broken(plan->learning, listed))
            continue;
        const struct standing *standing = standings_find(&plan->engine->standings, ids[i]);
        if (standing == NULL || standing->rule->fold_version != listed->fold_version)
            return false;
    }
    return true;
}

/* A job for this rule that is of no use any more goes; true if one goes on. */
static bool
look_at_job(struct plan *plan, const struct rule *rule, const struct rule *const *others,
            size_t other_count, bool wanted)
{
    size_t at;
    struct standing *job = find_job(plan->learning, rule->id, &at);
    if (job == NULL)
        return false;
    if (wanted && job->rule->version == rule->version &&
        others_same(job, others, other_count, true))
        return true;
    /* Another name while it learns is rare enough to begin again. */
    learning_cancel(plan->engine, at);
    return false;
}

static bool
consider(struct plan *plan, const struct rule *rule, struct err *err)
{
    struct engine *engine = plan->engine;
    if (is_broken(plan->learning, rule)) {
        plan->pending[plan->pending_count++] = rule->id;
        (void)look_at_job(plan, rule, NULL, 0, false);
        return true;
    }
    const struct rule **others;
    size_t other_count = standings_listed(&engine->standings, plan->learning->reader.parser, rule,
                                          &plan->arena, &others);
    const struct standing *standing = standings_find(&engine->standings, rule->id);
    bool ready = listed_are_ready(plan, rule);
    bool stands = standing != NULL && standing->rule->fold_version == rule->fold_version &&
                  others_same(standing, others, other_count, false);
    if (!stands || !ready)
        plan->pending[plan->pending_count++] = rule->id;
    if (stands) {
        (void)look_at_job(plan, rule, NULL, 0, false);
        return standing->rule->version == rule->version || amend(plan, standing, rule, err);
    }
    if (!look_at_job(plan, rule, others, other_count, ready) && ready)
        begin_job(plan, rule, others, other_count);
    return true;
}

static void
cancel_unwanted_jobs(struct plan *plan)
{
    for (size_t i = plan->learning->job_count; i > 0; i--)
        if (wanted_rule(plan, plan->learning->jobs[i - 1]->rule->id) == NULL)
            learning_cancel(plan->engine, i - 1);
}

static void
publish_pending(struct plan *plan, uint64_t asked)
{
    struct learning *learning = plan->learning;
    engine_lock(plan->engine);
    for (size_t i = 0; i < learning->pending_count; i++)
        base_free((char *)(uintptr_t)learning->pending[i].ptr);
    learning->pending_count = 0;
    for (size_t i = 0; i < plan->pending_count; i++) {
        learning->pending = grow(learning->pending, learning->pending_count, &learning->pending_cap,
                                 sizeof(struct str));
        learning->pending[learning->pending_count++] = base_copy(plan->pending[i]);
    }
    learning->planned = asked;
    pthread_cond_broadcast(&plan->engine->changed);
    engine_unlock(plan->engine);
}

static bool
make(struct plan *plan, struct err *err)
{
    struct engine *engine = plan->engine;
    if (!store_rules(engine->options.store, (struct str){0}, &plan->arena, &plan->wanted,
                     &plan->count, err))
        return false;
    if (plan->count > 0)
        qsort(plan->wanted, plan->count, sizeof *plan->wanted, by_id);
    plan->pending = arena_array(&plan->arena, plan->count, struct str);
    must(plan->pending != NULL);
    cancel_unwanted_jobs(plan);
    if (!switch_out_unwanted(plan, err))
        return false;
    for (size_t i = 0; i < plan->count; i++)
        if (plan->wanted[i].enabled && !consider(plan, &plan->wanted[i], err))
            return false;
    return send_switches(plan, err);
}

bool
learning_plan(struct engine *engine, struct err *err)
{
    struct learning *learning = &engine->learning;
    struct plan plan = {.engine = engine, .learning = learning};
    arena_init(&plan.arena, ARENA_FIRST, ARENA_MOST);
    engine_lock(engine);
    uint64_t asked = learning->asked;
    engine_unlock(engine);
    learning->again = false;
    bool ok = make(&plan, err);
    if (ok)
        publish_pending(&plan, asked);
    else
        learning->again = true;
    arena_fini(&plan.arena);
    return ok;
}
