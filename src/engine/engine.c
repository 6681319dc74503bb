/* engine - the engine's thread, and what others may ask of it. */
#include "engine/engine_priv.h"

#include <errno.h>
#include <time.h>

enum {
    LEFT_SUBJECTS = 100000, /* with fewer, all memory is given back, whoever asks */
    POP_MOST = 256,
    POP_EVENTS = 16, /* fewer are not worth waking for while a commit is in flight: it wakes too */
    KEY_MOST = 64 << 10
};

/* -- the lock, and waiting --------------------------------------------------------- */

void
engine_lock(struct engine *engine)
{
    must(pthread_mutex_lock(&engine->lock) == 0);
}

void
engine_unlock(struct engine *engine)
{
    must(pthread_mutex_unlock(&engine->lock) == 0);
}

bool
engine_wait(struct engine *engine, pthread_cond_t *condition, int64_t wait_us)
{
    struct timespec until;
    must(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
    int64_t ns = until.tv_nsec + wait_us % 1000000 * 1000;
    until.tv_sec += wait_us / 1000000 + ns / 1000000000;
    until.tv_nsec = ns % 1000000000;
    int told = pthread_cond_timedwait(condition, &engine->lock, &until);
    must(told == 0 || told == ETIMEDOUT);
    return told == 0;
}

void
engine_count_states(struct engine *engine, struct lineage *lineage, int64_t subjects, int64_t bytes)
{
    lineage->bytes += bytes;
    if (subjects != 0)
        atomic_fetch_add_explicit(&engine->counters.subjects, subjects, memory_order_relaxed);
    if (bytes != 0)
        atomic_fetch_add_explicit(&engine->counters.state_bytes, bytes, memory_order_relaxed);
}

/* -- the engine's thread ----------------------------------------------------------- */

static bool
has_something_built(const struct engine *engine)
{
    return engine->building->part_count > 0 || engine->building->records > 0;
}

/* Takes what is in the queue, or waits for something to do: a submission, a request of the
 * learner, a commit that lands, a checkpoint that is due. Each of them wakes the queue. */
static void
collect(struct engine *engine, bool more_to_do)
{
    void *taken[POP_MOST];
    bool idle = !more_to_do && engine->line_first == NULL && !atomic_load(&engine->mail) &&
                (engine->flying != NULL || !has_something_built(engine));
    size_t count = idle && engine->flying != NULL
                       ? queue_pop_heavy(engine->queue, taken, POP_MOST, POP_EVENTS)
                       : queue_pop(engine->queue, taken, POP_MOST, idle ? -1 : 0);
    for (size_t i = 0; i < count; i++) {
        struct submission *submission = taken[i];
        submission->progress = 0;
        submission->next = NULL;
        if (engine->line_last == NULL)
            engine->line_first = submission;
        else
            engine->line_last->next = submission;
        engine->line_last = submission;
    }
}

static void
build(struct engine *engine)
{
    while (engine->line_first != NULL && !engine->building->full)
        engine_take_turn(engine);
}

/* No timer: what is there goes out as soon as the commit before it has landed. */
static void *
engine_main(void *self)
{
    struct engine *engine = self;
    bool more_to_do = false;
    for (;;) {
        collect(engine, more_to_do);
        engine_land(engine);
        engine_switch(engine);
        build(engine);
        if (has_something_built(engine) && (engine->flying == NULL || engine->building->full))
            engine_hand_over(engine);
        more_to_do = keeping_work(engine);
        if (queue_is_closed(engine->queue) && queue_count(engine->queue) == 0 &&
            engine->line_first == NULL) {
            engine_flush(engine);
            if (engine->line_first == NULL && !atomic_load(&engine->mail))
                break;
        }
    }
    /* A commit is seen to have landed while the log's writer is still on its way out of `done`,
     * where it wakes the queue; it is through when the log has nothing in flight. */
    struct err err = {0};
    must(journal_drain(engine->journal, &err));
    keeping_last(engine);
    return NULL;
}

/* -- starting and stopping --------------------------------------------------------- */

static struct engine *
engine_new(const struct engine_options *options)
{
    struct engine *engine = base_alloc(1, sizeof *engine);
    engine->options = *options;
    struct engine_options *own = &engine->options;
    own->checkpoint_us = own->checkpoint_us > 0 ? own->checkpoint_us : CHECKPOINT_US;
    own->checkpoint_bytes = own->checkpoint_bytes > 0 ? own->checkpoint_bytes : CHECKPOINT_BYTES;
    if (own->last_checkpoint_us == 0)
        own->last_checkpoint_us = LAST_CHECKPOINT_US;
    own->learning_us = own->learning_us > 0 ? own->learning_us : LEARNING_US;
    if (own->subjects_max == 0 || own->subjects_max > DETECT_SUBJECTS_MAX)
        own->subjects_max = DETECT_SUBJECTS_MAX;
    engine->journal = options->journal;
    engine->log = journal_log(options->journal);

    pthread_condattr_t attr;
    must(pthread_mutex_init(&engine->lock, NULL) == 0);
    must(pthread_condattr_init(&attr) == 0);
    must(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    must(pthread_cond_init(&engine->changed, &attr) == 0);
    pthread_condattr_destroy(&attr);

    /* The bounds are counted in events and bytes, beside it. */
    engine->queue = queue_new(ENGINE_QUEUE_EVENTS, SIZE_MAX);
    fold_reader_init(&engine->reader);
    fold_reader_init(&engine->learning.reader);
    buffer_init(&engine->key, KEY_MOST);
    for (size_t i = 0; i < COUNT_OF(engine->commits); i++)
        commit_init(&engine->commits[i], engine);
    engine->building = &engine->commits[0];
    keeping_init(engine);
    held_keys_init(&engine->held);
    return engine;
}

/* The order of the lists matters little: what a table owns goes with it. */
static void
engine_free(struct engine *engine)
{
    keeping_fini(engine);
    held_keys_fini(&engine->held);
    learning_fini(engine);
    standings_free(&engine->standings);
    for (struct lineage *lineage = engine->landed; lineage != NULL; lineage = lineage->next)
        lineage->frozen = false;
    workspaces_free(&engine->workspaces);
    for (size_t i = 0; i < COUNT_OF(engine->commits); i++)
        commit_fini(&engine->commits[i]);
    fold_reader_fini(&engine->reader);
    fold_reader_fini(&engine->learning.reader);
    buffer_fini(&engine->key);
    base_free(engine->found);
    queue_free(engine->queue);
    must(pthread_cond_destroy(&engine->changed) == 0);
    must(pthread_mutex_destroy(&engine->lock) == 0);
    base_free(engine);
}

bool
engine_start(const struct engine_options *options, struct engine **engine_out, struct err *err)
{
    struct engine *engine = engine_new(options);
    if (!engine_recover(engine, err)) {
        engine_free(engine);
        return false;
    }
    stamp_init(&engine->stamp, engine->options.clock, log_durable(engine->log));
    engine->building->last_before = engine->stamp.last;
    engine->learning.asked = 1;
    must(pthread_create(&engine->thread, NULL, engine_main, engine) == 0);
    must(pthread_create(&engine->learner, NULL, learner_main, engine) == 0);
    must(pthread_create(&engine->keeper, NULL, keeper_main, engine) == 0);
    *engine_out = engine;
    return true;
}

/* Millions of states take seconds to give back one by one. Where a leak is looked for, this says
 * that it is none. */
static struct engine *volatile left_alone;

/* The learner first, while the engine still answers it; the keeper last, with the last
 * checkpoint. */
void
engine_stop(struct engine *engine)
{
    if (engine == NULL)
        return;
    engine_lock(engine);
    engine->learning.stop = true;
    pthread_cond_broadcast(&engine->changed);
    engine_unlock(engine);
    must(pthread_join(engine->learner, NULL) == 0);

    queue_close(engine->queue);
    must(pthread_join(engine->thread, NULL) == 0);

    engine_lock(engine);
    engine->keeping.stop = true;
    pthread_cond_broadcast(&engine->keeping.changed);
    engine_unlock(engine);
    must(pthread_join(engine->keeper, NULL) == 0);
    if (engine->options.ends_process && atomic_load(&engine->counters.subjects) > LEFT_SUBJECTS)
        left_alone = engine;
    else
        engine_free(engine);
}

/* -- what others ask --------------------------------------------------------------- */

/* Adds if the sum stays within the bound. */
static bool
reserve(_Atomic size_t *sum, size_t more, size_t most)
{
    size_t now = atomic_load(sum);
    do {
        if (more > most || now > most - more)
            return false;
    } while (!atomic_compare_exchange_weak(sum, &now, now + more));
    return true;
}

bool
engine_submit(struct engine *engine, struct submission *submission)
{
    must(submission->sink != NULL && submission->workspace_id.ptr != NULL);
    size_t events = submission->count == 0 ? 1 : submission->count;
    if (!reserve(&engine->queued_events, events, ENGINE_QUEUE_EVENTS))
        return false;
    if (reserve(&engine->queued_bytes, submission->weight, ENGINE_QUEUE_BYTES)) {
        if (queue_push(engine->queue, submission, events))
            return true;
        atomic_fetch_sub(&engine->queued_bytes, submission->weight);
    }
    atomic_fetch_sub(&engine->queued_events, events);
    return false;
}

void
engine_stats(struct engine *engine, struct engine_stats *stats_out)
{
    const struct counters *counters = &engine->counters;
    int64_t subjects = atomic_load(&counters->subjects),
            bytes = atomic_load(&counters->state_bytes);
    struct clock clock = engine->options.clock;
    int64_t behind = (int64_t)log_durable(engine->log) - clock.wall_us(clock.self);
    *stats_out = (struct engine_stats){
        .events = atomic_load(&counters->events),
        .duplicates = atomic_load(&counters->duplicates),
        .alerts = atomic_load(&counters->alerts),
        .suppressed = atomic_load(&counters->suppressed),
        .failed_commits = atomic_load(&counters->failed_commits),
        .queue_events = atomic_load(&engine->queued_events),
        .recovery_differences = atomic_load(&counters->differences),
        .checkpoints = atomic_load(&counters->checkpoints),
        .checkpoints_late = atomic_load(&counters->checkpoints_late),
        .subjects = subjects > 0 ? (uint64_t)subjects : 0,
        .subjects_dropped = atomic_load(&counters->dropped),
        .state_bytes = bytes > 0 ? (uint64_t)bytes : 0,
        .checkpoint_at = atomic_load(&counters->checkpoint_at),
        .clock_behind_us = behind > 0 ? behind : 0,
    };
    engine_lock(engine);
    stats_out->rules_active = engine->standings.count;
    stats_out->rules_learning = engine->learning.pending_count;
    engine_unlock(engine);
}

enum rule_status
engine_rule_status(struct engine *engine, const struct rule *rule)
{
    if (!rule->enabled)
        return RULE_DISABLED;
    engine_lock(engine);
    const struct standing *standing = standings_find(&engine->standings, rule->id);
    bool active = standing != NULL && standing->rule->fold_version == rule->fold_version;
    engine_unlock(engine);
    return active ? RULE_ACTIVE : RULE_LEARNING;
}

void
engine_rules_changed(struct engine *engine)
{
    engine_lock(engine);
    engine->learning.asked++;
    pthread_cond_broadcast(&engine->changed);
    engine_unlock(engine);
}

/* With the lock held: the store was looked into since, and nothing about this rule is under way. */
static bool
is_settled(const struct engine *engine, struct str rule_id, int64_t version, uint64_t asked)
{
    const struct learning *learning = &engine->learning;
    if (learning->planned < asked)
        return false;
    for (size_t i = 0; i < learning->pending_count; i++)
        if (str_equal(learning->pending[i], rule_id))
            return false;
    const struct standing *standing = standings_find(&engine->standings, rule_id);
    return standing == NULL || standing->rule->version >= version;
}

bool
engine_wait_rule(struct engine *engine, struct str rule_id, int64_t version, int64_t wait_us)
{
    enum { MONOTONIC_US = 1000 };
    struct timespec now;
    must(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    int64_t until = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / MONOTONIC_US + wait_us;
    engine_lock(engine);
    uint64_t asked = engine->learning.asked;
    bool settled;
    while (!(settled = is_settled(engine, rule_id, version, asked)) && !engine->learning.stop) {
        must(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
        int64_t left = until - ((int64_t)now.tv_sec * 1000000 + now.tv_nsec / MONOTONIC_US);
        if (left <= 0 || !engine_wait(engine, &engine->changed, left))
            break;
    }
    settled = settled || is_settled(engine, rule_id, version, asked);
    engine_unlock(engine);
    return settled;
}
