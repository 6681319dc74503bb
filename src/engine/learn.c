/* learn - new rules are folded over stored history, aside, in slices, while ingestion goes on.
 *
 * All rules being learnt share one pass over the log; one that comes later has the log read again
 * from where it begins, and the others skip what they have seen. When a slice has come to the end
 * of what is durable, the engine does the rest (switch.c). Nothing of this is kept: after a
 * restart it begins again. */
#include "engine/engine_priv.h"

enum { SLICE = 5000, CLOSE = 1000, SWITCHES_MOST = 16 };

/* -- one slice --------------------------------------------------------------------- */

struct slice {
    struct learning *learning;
    size_t events;
    bool stopped, ok;
    log_at last;
    struct err *err;
};

static bool
on_event(void *self, const struct journal_row *row)
{
    struct slice *slice = self;
    struct learning *learning = slice->learning;
    struct event event;
    bool parsed = false;
    for (size_t i = 0; i < learning->job_count; i++) {
        struct standing *job = learning->jobs[i];
        struct lineage *lineage = job->lineage;
        if (row->at <= lineage->folded_to || !str_equal(row->workspace_id, job->rule->workspace_id))
            continue;
        if (!parsed && !fold_reader_event(&learning->reader, row, &event, slice->err))
            return slice->ok = false;
        parsed = true;
        struct alert alert;
        (void)detect_step(lineage->compiled, lineage->table, &event, true, &learning->reader.arena,
                          &alert);
    }
    slice->last = row->at;
    slice->stopped = ++slice->events >= SLICE;
    return !slice->stopped;
}

static log_at
least_folded(const struct learning *learning)
{
    log_at least = UINT64_MAX;
    for (size_t i = 0; i < learning->job_count; i++)
        if (learning->jobs[i]->lineage->folded_to < least)
            least = learning->jobs[i]->lineage->folded_to;
    return least;
}

/* Only the one workspace's, when there is but one. */
static struct str
common_workspace(const struct learning *learning)
{
    struct str id = learning->jobs[0]->rule->workspace_id;
    for (size_t i = 1; i < learning->job_count; i++)
        if (!str_equal(learning->jobs[i]->rule->workspace_id, id))
            return (struct str){0};
    return id;
}

static void
move_on(struct learning *learning, log_at position)
{
    for (size_t i = 0; i < learning->job_count; i++)
        if (learning->jobs[i]->lineage->folded_to < position)
            learning->jobs[i]->lineage->folded_to = position;
}

/* `*close_out`: all of them are so near the end that the engine may do the rest. */
static bool
learn_slice(struct engine *engine, bool *close_out, struct err *err)
{
    struct learning *learning = &engine->learning;
    struct slice slice = {.learning = learning, .ok = true, .err = err};
    log_at durable = log_durable(engine->log);
    struct log_span span = {.from = least_folded(learning) + 1, .to = durable};
    *close_out = true;
    if (span.from > span.to)
        return true;
    bool ok = journal_scan(engine->journal, span, JOURNAL_KIND_BIT(JOURNAL_EVENT),
                           common_workspace(learning), on_event, &slice, err) &&
              slice.ok;
    if (!ok) {
        /* What was folded must not be folded again. */
        if (slice.last > 0)
            move_on(learning, slice.last);
        return false;
    }
    move_on(learning, slice.stopped ? slice.last : durable);
    *close_out = !slice.stopped && slice.events <= CLOSE;
    return true;
}

/* -- handing over to the engine ---------------------------------------------------- */

void
learning_request(struct engine *engine, struct switch_request *request)
{
    engine_lock(engine);
    request->outcome = REQUEST_WAITING;
    engine->learning.request = request;
    atomic_store(&engine->mail, true);
    engine_unlock(engine);
    queue_wake(engine->queue);
    engine_lock(engine);
    while (request->outcome == REQUEST_WAITING)
        must(pthread_cond_wait(&engine->changed, &engine->lock) == 0);
    engine_unlock(engine);
}

static void
forget_pending(struct learning *learning, struct str rule_id)
{
    for (size_t i = 0; i < learning->pending_count; i++) {
        if (!str_equal(learning->pending[i], rule_id))
            continue;
        base_free((char *)(uintptr_t)learning->pending[i].ptr);
        learning->pending[i] = learning->pending[--learning->pending_count];
        return;
    }
}

static struct rule_switch
switch_in(struct engine *engine, struct standing *job)
{
    const struct standing *before = standings_find(&engine->standings, job->rule->id);
    struct rule_switch item = {
        .kind = SWITCH_IN,
        .rule = job->rule,
        .lineage = job->lineage,
        .old = before == NULL ? NULL : before->lineage,
        .row = rule_row_write(job),
    };
    dirt_add_all(&item.dirt, job->lineage);
    return item;
}

/* What the engine folded itself counts, whatever became of the request. */
static void
settle(struct engine *engine, struct switch_request *request, size_t first)
{
    struct learning *learning = &engine->learning;
    bool done = request->outcome == REQUEST_DONE;
    engine_lock(engine);
    for (size_t i = request->count; i > 0; i--) {
        struct rule_switch *item = &request->items[i - 1];
        struct standing *job = learning->jobs[first + i - 1];
        base_free((char *)(uintptr_t)item->row.ptr);
        dirt_clear(&item->dirt);
        if (!done) {
            if (job->lineage->folded_to < request->folded_to)
                job->lineage->folded_to = request->folded_to;
            continue;
        }
        standings_put(&engine->standings, job);
        forget_pending(learning, job->rule->id);
        learning->jobs[first + i - 1] = learning->jobs[--learning->job_count];
    }
    if (done)
        pthread_cond_broadcast(&engine->changed);
    engine_unlock(engine);
    learning->again = learning->again || done;
}

/* The last ones first, so that taking out is simple. */
static bool
hand_over(struct engine *engine, struct err *err)
{
    struct learning *learning = &engine->learning;
    while (learning->job_count > 0) {
        struct rule_switch items[SWITCHES_MOST];
        size_t count = learning->job_count < SWITCHES_MOST ? learning->job_count : SWITCHES_MOST;
        size_t first = learning->job_count - count;
        struct switch_request request = {
            .items = items, .count = count, .folded_to = least_folded(learning)};
        for (size_t i = 0; i < count; i++)
            items[i] = switch_in(engine, learning->jobs[first + i]);
        learning_request(engine, &request);
        settle(engine, &request, first);
        if (request.outcome == REQUEST_FAILED) {
            *err = request.err;
            return false;
        }
        if (request.outcome == REQUEST_BEHIND)
            return true;
    }
    return true;
}

/* -- the learner's thread ---------------------------------------------------------- */

/* With the lock held. */
static bool
has_work(const struct learning *learning)
{
    return learning->asked != learning->planned || learning->again || learning->job_count > 0;
}

/* While others wait for the engine, half of the time is theirs. A change of the rules ends the
 * pause. */
static void
pause_for_others(struct engine *engine, int64_t took_us)
{
    if (atomic_load(&engine->queued_events) == 0 || took_us <= 0)
        return;
    engine_lock(engine);
    if (!engine->learning.stop && engine->learning.asked == engine->learning.planned)
        (void)engine_wait(engine, &engine->changed, took_us);
    engine_unlock(engine);
}

static bool
work(struct engine *engine, bool plan, struct err *err)
{
    if (plan && !learning_plan(engine, err))
        return false;
    /* What those switches let in comes first: it may be learnt in the same pass. */
    if (engine->learning.again || engine->learning.job_count == 0)
        return true;
    bool close = false;
    struct clock clock = clock_system();
    int64_t began = clock.monotonic_us(clock.self);
    if (!learn_slice(engine, &close, err))
        return false;
    if (close)
        return hand_over(engine, err);
    pause_for_others(engine, clock.monotonic_us(clock.self) - began);
    return true;
}

void *
learner_main(void *self)
{
    struct engine *engine = self;
    struct learning *learning = &engine->learning;
    engine_lock(engine);
    while (!learning->stop) {
        if (!has_work(learning)) {
            must(pthread_cond_wait(&engine->changed, &engine->lock) == 0);
            continue;
        }
        bool plan = learning->asked != learning->planned || learning->again;
        engine_unlock(engine);
        struct err err = {0};
        bool ok = work(engine, plan, &err);
        if (!ok)
            diag_warn("engine: learning: %s; it is tried again", err.text);
        engine_lock(engine);
        if (!ok && !learning->stop)
            (void)engine_wait(engine, &engine->changed, RETRY_US);
    }
    engine_unlock(engine);
    return NULL;
}

void
learning_fini(struct engine *engine)
{
    struct learning *learning = &engine->learning;
    while (learning->job_count > 0)
        learning_cancel(engine, learning->job_count - 1);
    for (size_t i = 0; i < learning->pending_count; i++)
        base_free((char *)(uintptr_t)learning->pending[i].ptr);
    for (size_t i = 0; i < learning->broken_count; i++)
        base_free((char *)(uintptr_t)learning->broken[i].ptr);
    base_free(learning->jobs);
    base_free(learning->pending);
    base_free(learning->broken);
    *learning = (struct learning){.reader = learning->reader};
}
