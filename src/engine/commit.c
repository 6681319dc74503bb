/* commit - the commit being built, the one in flight, and what becomes of them.
 *
 * E4. Everything that building a commit changes in memory is noted in it. When it fails, and with
 * it the one built on top of it, the changes are taken back, newest first, and all that waited is
 * told so. The log's writer thread answers what landed; what failed is answered by the engine's
 * thread, after memory is as it was. */
#include "engine/engine_priv.h"

#include <string.h>

enum { KEYS_FIRST = 64 << 10, KEYS_MOST = 64 << 20 };

void
commit_init(struct commit *commit, struct engine *engine)
{
    *commit = (struct commit){.engine = engine, .generation = 1};
    commit->keys = base_alloc(KEY_SLOTS, sizeof *commit->keys);
    arena_init(&commit->arena, KEYS_FIRST, KEYS_MOST);
}

void
commit_fini(struct commit *commit)
{
    must(commit->part_count == 0 && commit->change_count == 0);
    base_free(commit->changes);
    base_free(commit->parts);
    base_free(commit->finished);
    base_free(commit->keys);
    arena_fini(&commit->arena);
}

/* Ready to be built. */
static void
begin(struct commit *commit)
{
    for (size_t i = 0; i < commit->change_count; i++) {
        if (commit->changes[i].before != NULL)
            detect_cell_release(commit->changes[i].before);
        if (commit->changes[i].after != NULL)
            detect_cell_release(commit->changes[i].after);
    }
    commit->records = commit->items = commit->bytes = 0;
    commit->full = commit->wake = false;
    commit->change_count = commit->part_count = commit->finished_count = commit->key_count = 0;
    commit->events = commit->duplicates = commit->alerts = commit->suppressed = 0;
    commit->request = NULL;
    commit->generation++;
    arena_reset(&commit->arena);
    commit->last_before = commit->engine->stamp.last;
    atomic_store(&commit->state, COMMIT_BUILDING);
}

/* -- what is in it ----------------------------------------------------------------- */

void
commit_add_part(struct commit *commit, struct submission *submission, size_t first, size_t end)
{
    commit->parts =
        grow(commit->parts, commit->part_count, &commit->part_cap, sizeof *commit->parts);
    commit->parts[commit->part_count++] = (struct part){submission, first, end};
}

void
commit_finish(struct commit *commit, struct submission *submission)
{
    submission->next = NULL;
    for (size_t i = 0; i < commit->finished_count; i++) {
        struct finished *finished = &commit->finished[i];
        if (finished->sink == submission->sink) {
            finished->last->next = submission;
            finished->last = submission;
            return;
        }
    }
    commit->finished = grow(commit->finished, commit->finished_count, &commit->finished_cap,
                            sizeof *commit->finished);
    commit->finished[commit->finished_count++] =
        (struct finished){submission->sink, submission, submission};
}

static struct key_slot *
key_slot(const struct commit *commit, uint64_t hash, struct str key)
{
    for (size_t at = (size_t)hash & (KEY_SLOTS - 1);; at = (at + 1) & (KEY_SLOTS - 1)) {
        struct key_slot *slot = &commit->keys[at];
        if (slot->generation != commit->generation)
            return slot;
        if (slot->hash == hash && str_equal((struct str){slot->bytes, slot->len}, key))
            return slot;
    }
}

/* The key is copied: its submission may be answered and gone before this commit is looked after. */
void
commit_add_key(struct commit *commit, uint64_t hash, struct str key, log_at at)
{
    must(commit->key_count < KEY_SLOTS / 2);
    struct str copy;
    must(arena_copy(&commit->arena, key, &copy));
    commit->key_count++;
    *key_slot(commit, hash, key) =
        (struct key_slot){hash, commit->generation, (uint32_t)copy.len, copy.ptr, at};
}

log_at
commit_find_key(const struct commit *commit, uint64_t hash, struct str key)
{
    if (commit->key_count == 0)
        return 0;
    const struct key_slot *slot = key_slot(commit, hash, key);
    return slot->generation == commit->generation ? slot->at : 0;
}

static void
count_change(const struct change *change, int64_t sign)
{
    int64_t subjects = 0, bytes = 0;
    if (change->after != NULL) {
        subjects += sign;
        bytes += sign * (int64_t)detect_cell_bytes(change->after);
    } else {
        atomic_fetch_add(&change->lineage->engine->counters.dropped, (uint64_t)sign);
    }
    if (change->before != NULL) {
        subjects -= sign;
        bytes -= sign * (int64_t)detect_cell_bytes(change->before);
    }
    engine_count_states(change->lineage->engine, change->lineage, subjects, bytes);
}

void
commit_on_change(void *self, struct detect_table *table, struct detect_cell *before,
                 struct detect_cell *after)
{
    struct lineage *lineage = self;
    struct engine *engine = lineage->engine;
    struct commit *commit = engine->building;
    must(table == lineage->table);
    commit->changes =
        grow(commit->changes, commit->change_count, &commit->change_cap, sizeof *commit->changes);
    struct change *change = &commit->changes[commit->change_count++];
    *change = (struct change){lineage, before == NULL ? NULL : detect_cell_keep(before),
                              after == NULL ? NULL : detect_cell_keep(after)};
    count_change(change, 1);
    keeping_on_change(engine, lineage, before, after);
}

void
commit_undo_changes(struct commit *commit, size_t count)
{
    while (commit->change_count > count) {
        struct change *change = &commit->changes[--commit->change_count];
        detect_table_undo(change->lineage->table, change->before, change->after);
        count_change(change, -1);
        if (change->before != NULL)
            detect_cell_release(change->before);
        if (change->after != NULL)
            detect_cell_release(change->after);
    }
}

/* -- the log's writer thread ------------------------------------------------------- */

static void
add_counts(struct engine *engine, const struct commit *commit)
{
    struct counters *counters = &engine->counters;
    atomic_fetch_add(&counters->events, commit->events);
    atomic_fetch_add(&counters->duplicates, commit->duplicates);
    atomic_fetch_add(&counters->alerts, commit->alerts);
    atomic_fetch_add(&counters->suppressed, commit->suppressed);
}

static void
answer(const struct commit *commit)
{
    for (size_t i = 0; i < commit->finished_count; i++) {
        const struct finished *finished = &commit->finished[i];
        finished->sink->done(finished->sink->self, finished->first);
    }
}

static void
on_commit_done(void *self, bool ok, const struct err *err)
{
    struct commit *commit = self;
    struct engine *engine = commit->engine;
    if (ok) {
        add_counts(engine, commit);
        if (commit->wake && engine->options.wake != NULL)
            engine->options.wake(engine->options.wake_self);
        answer(commit);
    } else {
        commit->err = *err;
    }
    atomic_store(&commit->state, ok ? COMMIT_LANDED : COMMIT_FAILED);
    queue_wake(engine->queue);
}

/* -- landing and failing ----------------------------------------------------------- */

static void
fail_part(const struct part *part, log_at durable)
{
    for (size_t i = part->first; i < part->end; i++) {
        struct engine_item *item = &part->submission->items[i];
        /* A duplicate of what is durable stays one. */
        if (item->skip || (item->status == ENGINE_DUPLICATE && item->at <= durable))
            continue;
        item->status = ENGINE_FAILED;
        item->at = 0;
        item->alerts = NULL;
        item->alert_count = 0;
    }
    if (part->submission->progress < part->submission->count)
        part->submission->progress = SUBMISSION_FAILED;
}

static void
undo(struct engine *engine, struct commit *commit)
{
    commit_undo_changes(commit, 0);
    if (commit->request != NULL)
        engine_switch_undo(engine, commit->request);
    engine->stamp.last = commit->last_before;
    for (size_t i = 0; i < commit->part_count; i++)
        fail_part(&commit->parts[i], engine->keeping.landed);
    atomic_fetch_add(&engine->counters.failed_commits, 1);
}

static void
land(struct engine *engine, struct commit *commit)
{
    if (engine->failing)
        diag_note("engine: commits are durable again");
    engine->failing = false;
    engine->keeping.landed = commit->last;
    engine->keeping.events += commit->events;
    if (commit->request != NULL)
        engine_switch_landed(engine, commit->request);
    begin(commit);
}

/* The commit being built and, if `lower` is not NULL, the one under it: both are undone before
 * anybody hears of it, for a request may have items in both. */
static void
fail(struct engine *engine, struct commit *lower, const struct err *why)
{
    struct commit *upper = engine->building;
    /* Said once until one lands again: a full disk fails thousands. */
    if (!engine->failing)
        diag_warn("engine: commit: %s; what waits is refused", why->text);
    engine->failing = true;
    if (upper->records > 0 || upper->part_count > 0)
        undo(engine, upper);
    if (lower != NULL)
        undo(engine, lower);
    if (lower != NULL) {
        answer(lower);
        begin(lower);
    }
    answer(upper);
    engine_fail_waiting(engine);
    begin(upper);
}

void
engine_break_commit(struct engine *engine, const struct err *why)
{
    journal_discard(engine->journal);
    fail(engine, NULL, why);
}

/* Everything in it is a duplicate of what is durable by now, or was not for the engine at all. */
static void
finish_without_records(struct engine *engine)
{
    struct commit *commit = engine->building;
    must(engine->flying == NULL && commit->change_count == 0);
    add_counts(engine, commit);
    answer(commit);
    begin(commit);
}

/* After a call that waits for the commit in flight: its `done` has returned. */
static bool
take_down(struct engine *engine, struct commit **commit_out)
{
    struct commit *commit = engine->flying;
    *commit_out = commit;
    engine->flying = NULL;
    if (commit == NULL)
        return true;
    must(atomic_load(&commit->state) != COMMIT_FLYING);
    return atomic_load(&commit->state) == COMMIT_LANDED;
}

void
engine_hand_over(struct engine *engine)
{
    struct commit *commit = engine->building, *before;
    if (commit->records == 0) { /* then all it waits for is what is in flight */
        engine_flush(engine);
        return;
    }
    struct err err = {0};
    commit->last = engine->stamp.last;
    atomic_store(&commit->state, COMMIT_FLYING);
    bool taken = journal_commit(engine->journal, on_commit_done, commit, &err);
    bool landed = take_down(engine, &before);
    if (!taken) {
        must(landed || before != NULL);
        struct err why = landed || before == NULL ? err : before->err;
        if (landed && before != NULL)
            land(engine, before);
        fail(engine, landed ? NULL : before, &why);
        return;
    }
    must(landed);
    engine->flying = commit;
    if (before != NULL)
        land(engine, before);
    engine->building = commit == &engine->commits[0] ? &engine->commits[1] : &engine->commits[0];
    engine->building->last_before = engine->stamp.last;
}

void
engine_land(struct engine *engine)
{
    struct commit *commit = engine->flying;
    if (commit == NULL || atomic_load(&commit->state) == COMMIT_FLYING)
        return;
    if (atomic_load(&commit->state) == COMMIT_LANDED) {
        engine->flying = NULL;
        land(engine, commit);
        return;
    }
    /* The log wants to be asked, once; what was being built goes with it. */
    struct err err = {0};
    if (journal_drain(engine->journal, &err))
        journal_discard(engine->journal);
    engine->flying = NULL;
    fail(engine, commit, &commit->err);
}

void
engine_flush(struct engine *engine)
{
    struct commit *building = engine->building;
    if (building->records > 0)
        engine_hand_over(engine);
    struct err err = {0};
    if (engine->flying != NULL && !journal_drain(engine->journal, &err))
        must(atomic_load(&engine->flying->state) == COMMIT_FAILED);
    engine_land(engine);
    if (engine->building->part_count > 0 || engine->building->finished_count > 0)
        finish_without_records(engine);
    must(engine->flying == NULL && engine->building->records == 0);
}
