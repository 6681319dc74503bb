/* checkpoint - the states of all rules as they stood at one position, written while the engine
 * goes on.
 *
 * States are never changed, only replaced, so a checkpoint is a list of references. The engine
 * makes it in two ways at once. When it cuts, at the position of a commit that has landed, it
 * begins to look up what was listed as changed since the cut before, a few thousand subjects at a
 * time, between commits; and before a state from before the cut is replaced, it is put aside
 * (`overtaken`). The keeper writes what was looked up first and what was overtaken over it.
 *
 * A checkpoint that cannot be written is tried again; until then there is no other, for it would
 * lack these states. When the file was lost, or the lists have grown out of bounds meanwhile, the
 * next one holds everything. */
#include "engine/engine_priv.h"

#include <inttypes.h>

enum { SLICE_MOST = 2000, PACE = 2, LOOK_EVERY = 256, LAST_ROWS_MAX = 500000, ROWS_MAX = 8000000 };
#define RETRY_WRITE_US (10LL * 1000000)

static void
checkpoint_free(struct checkpoint *checkpoint)
{
    if (checkpoint == NULL)
        return;
    dirt_clear(&checkpoint->found);
    dirt_clear(&checkpoint->overtaken);
    rule_rows_clear(&checkpoint->rules);
    name_list_clear(&checkpoint->dropped);
    for (struct lineage *lineage = checkpoint->dropping, *next; lineage != NULL; lineage = next) {
        next = lineage->next;
        lineage_free(lineage);
    }
    base_free(checkpoint);
}

void
keeping_init(struct engine *engine)
{
    struct keeping *keeping = &engine->keeping;
    pthread_condattr_t attr;
    must(pthread_condattr_init(&attr) == 0);
    must(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    must(pthread_cond_init(&keeping->changed, &attr) == 0);
    pthread_condattr_destroy(&attr);
}

void
keeping_fini(struct engine *engine)
{
    struct keeping *keeping = &engine->keeping;
    checkpoint_free(keeping->taking);
    checkpoint_free(keeping->handed);
    dirt_clear(&keeping->dirt);
    dirt_clear(&keeping->to_find);
    rule_rows_clear(&keeping->rules);
    name_list_clear(&keeping->dropped);
    for (struct lineage *lineage = keeping->retired, *next; lineage != NULL; lineage = next) {
        next = lineage->next;
        lineage->frozen = false;
        lineage_free(lineage);
    }
    must(pthread_cond_destroy(&keeping->changed) == 0);
}

/* -- the engine's side: what changes ----------------------------------------------- */

/* What is put aside here is as it was at the cut: a state from before it, or the lack of one. */
static void
overtake(struct keeping *keeping, struct lineage *lineage, struct detect_cell *before,
         struct detect_cell *after)
{
    struct dirt *overtaken = &keeping->taking->overtaken;
    if (before == NULL)
        dirt_add(overtaken, lineage, detect_cell_keep(after), true);
    else if (before->stamp <= lineage->cut && before->stamp > lineage->cut_before)
        dirt_add(overtaken, lineage, detect_cell_keep(before), false);
}

/* A state younger than the cut is listed already. */
static void
list(struct keeping *keeping, struct lineage *lineage, struct detect_cell *before,
     struct detect_cell *after)
{
    if (keeping->whole)
        return;
    if (after == NULL)
        dirt_add(&keeping->dirt, lineage, detect_cell_keep(before), true);
    else if (before == NULL || before->stamp <= lineage->cut)
        dirt_add(&keeping->dirt, lineage, detect_cell_keep(after), false);
    if (keeping->dirt.rows > ROWS_MAX) {
        dirt_clear(&keeping->dirt);
        keeping->whole = true;
    }
}

void
keeping_on_change(struct engine *engine, struct lineage *lineage, struct detect_cell *before,
                  struct detect_cell *after)
{
    list(&engine->keeping, lineage, before, after);
    if (lineage->frozen)
        overtake(&engine->keeping, lineage, before, after);
}

/* -- the engine's side: a cut ------------------------------------------------------ */

/* By time; or by what has changed, or by how much recovery would have to fold: then at most a third
 * of the time is spent on writing. */
static bool
is_wanted(struct engine *engine)
{
    struct keeping *keeping = &engine->keeping;
    if (atomic_load(&keeping->lost)) {
        atomic_store(&keeping->lost, false);
        dirt_clear(&keeping->dirt);
        keeping->whole = true;
        keeping->cut_at = 0;
    }
    if (atomic_load(&keeping->busy) || keeping->landed == keeping->cut_at) {
        if (keeping->landed == keeping->cut_at)
            atomic_store(&keeping->due, false);
        return false;
    }
    if (atomic_load(&keeping->due))
        return true;
    if (keeping->dirt.bytes < engine->options.checkpoint_bytes &&
        keeping->events < CHECKPOINT_EVENTS)
        return false;
    struct clock clock = engine->options.clock;
    engine_lock(engine);
    int64_t rested_us = clock.monotonic_us(clock.self) - keeping->written_at;
    bool rested = rested_us >= PACE * keeping->took_us;
    engine_unlock(engine);
    return rested;
}

/* Changes of commits that may still fail: made after the cut, so they count as such. */
static void
look_at_unlanded(struct engine *engine, const struct commit *commit)
{
    if (commit == NULL)
        return;
    for (size_t i = 0; i < commit->change_count; i++) {
        const struct change *change = &commit->changes[i];
        struct detect_cell *cell = change->after != NULL ? change->after : change->before;
        dirt_add(&engine->keeping.dirt, change->lineage, detect_cell_keep(cell),
                 change->after == NULL);
        if (change->lineage->frozen)
            overtake(&engine->keeping, change->lineage, change->before, change->after);
    }
}

/* The stall that this is, some tens of milliseconds per million states, is for the rarest of
 * days. */
static void
list_everything(struct engine *engine, struct checkpoint *taking)
{
    struct keeping *keeping = &engine->keeping;
    keeping->whole = false;
    rule_rows_clear(&keeping->rules);
    name_list_add(&taking->dropped, STR(RULES_TABLE));
    for (struct lineage *lineage = engine->landed; lineage != NULL; lineage = lineage->next) {
        lineage->cut = 0;
        name_list_add(&taking->dropped, lineage->table_name);
        dirt_add_all(&keeping->dirt, lineage);
        rule_rows_add(&keeping->rules, lineage_rule(lineage)->id, base_copy(lineage->row));
    }
}

static void
cut(struct engine *engine)
{
    struct keeping *keeping = &engine->keeping;
    struct checkpoint *taking = base_alloc(1, sizeof *taking);
    atomic_store(&keeping->due, false);
    atomic_store(&keeping->busy, true);
    taking->position = keeping->landed;
    keeping->cut_at = keeping->landed;
    keeping->events = 0;
    keeping->taking = taking;
    taking->dropped = keeping->dropped;
    keeping->dropped = (struct name_list){0};
    if (keeping->whole)
        list_everything(engine, taking);

    for (struct lineage *lineage = engine->landed; lineage != NULL; lineage = lineage->next) {
        lineage->cut_before = lineage->cut;
        lineage->cut = taking->position;
        lineage->frozen = true;
    }
    keeping->to_find = keeping->dirt;
    keeping->dirt = (struct dirt){0};
    look_at_unlanded(engine, engine->flying);
    look_at_unlanded(engine, engine->building);

    taking->rules = keeping->rules;
    keeping->rules = (struct rule_rows){0};
    taking->dropping = keeping->retired;
    keeping->retired = NULL;
    for (struct lineage *lineage = taking->dropping; lineage != NULL; lineage = lineage->next) {
        lineage->dropping = true;
        name_list_add(&taking->dropped, lineage->table_name);
    }
}

static void
find(struct keeping *keeping, struct dirt_row row)
{
    struct lineage *lineage = row.lineage;
    struct str subject = {row.cell->bytes, row.cell->subject_len};
    const struct detect_cell *now =
        lineage->dropping ? NULL : detect_table_get(lineage->table, subject);
    if (lineage->dropping) {
        detect_cell_release(row.cell);
    } else if (now == NULL) {
        dirt_add(&keeping->taking->found, lineage, row.cell, true);
    } else {
        if (now->stamp <= lineage->cut)
            dirt_add(&keeping->taking->found, lineage,
                     detect_cell_keep((struct detect_cell *)(uintptr_t)now), false);
        detect_cell_release(row.cell);
    }
}

static void
thaw(struct lineage *lineage)
{
    for (; lineage != NULL; lineage = lineage->next)
        lineage->frozen = false;
}

static void
hand_over(struct engine *engine)
{
    struct keeping *keeping = &engine->keeping;
    thaw(engine->landed);
    thaw(keeping->retired);
    engine_lock(engine);
    must(keeping->handed == NULL);
    keeping->handed = keeping->taking;
    pthread_cond_broadcast(&keeping->changed);
    engine_unlock(engine);
    keeping->taking = NULL;
}

bool
keeping_work(struct engine *engine)
{
    struct keeping *keeping = &engine->keeping;
    if (keeping->taking == NULL) {
        if (!is_wanted(engine))
            return false;
        cut(engine);
    }
    /* A sixteenth at a time: a small one, too, is taken while states change under it. */
    size_t slice = 1 + keeping->to_find.rows / 16;
    struct dirt_row row;
    for (size_t n = 0; n < slice && n < SLICE_MOST && dirt_take(&keeping->to_find, &row); n++)
        find(keeping, row);
    if (keeping->to_find.rows > 0)
        return true;
    hand_over(engine);
    return false;
}

static bool
is_too_late(struct engine *engine)
{
    int64_t end_at = atomic_load_explicit(&engine->keeping.end_at, memory_order_relaxed);
    struct clock clock = engine->options.clock;
    return end_at != 0 && clock.monotonic_us(clock.self) >= end_at;
}

/* False: what was to be written could not be. */
static bool
await_keeper(struct engine *engine)
{
    struct keeping *keeping = &engine->keeping;
    engine_lock(engine);
    keeping->hurry = true;
    pthread_cond_broadcast(&keeping->changed);
    while (atomic_load(&keeping->busy))
        must(pthread_cond_wait(&engine->changed, &engine->lock) == 0);
    bool gave_up = keeping->gave_up;
    engine_unlock(engine);
    return !gave_up;
}

/* False: there was no time to take it. */
static bool
take_to_the_end(struct engine *engine)
{
    while (keeping_work(engine)) {
        if (is_too_late(engine)) {
            engine_lock(engine);
            engine->keeping.gave_up = true;
            engine_unlock(engine);
            return false;
        }
    }
    return true;
}

static void
say_left_out(void)
{
    diag_note("the last checkpoint would take too long: the next start reads more of the log");
}

/* Once more when it then turns out that the file was lost. What could not be written in time is not
 * begun: sorting alone would take seconds. */
void
keeping_last(struct engine *engine)
{
    struct keeping *keeping = &engine->keeping;
    struct clock clock = engine->options.clock;
    atomic_store(&keeping->end_at,
                 clock.monotonic_us(clock.self) + engine->options.last_checkpoint_us);
    bool taken = keeping->taking == NULL || take_to_the_end(engine);
    for (int tries = 0; tries < 2 && taken && await_keeper(engine); tries++) {
        if (keeping->dirt.rows > LAST_ROWS_MAX) {
            say_left_out();
            return;
        }
        atomic_store(&keeping->due, true);
        taken = take_to_the_end(engine);
    }
}

/* -- the keeper's side ------------------------------------------------------------- */

struct sorted {
    struct dirt_place *places;
    size_t count, at;
};

struct writing {
    struct engine *engine;
    struct sorted lists[2]; /* what was found, and over it what was overtaken */
    size_t list;            /* in hand; after both, the rules */
    struct rule_row *rule;
    size_t given;
};

static struct sorted
sort(const struct dirt *dirt)
{
    return (struct sorted){.places = dirt_sort(dirt), .count = dirt->rows};
}

static bool
next_state(struct sorted *list, struct store_state *row_out)
{
    if (list->at == list->count)
        return false;
    const struct dirt_row *row = list->places[list->at++].row;
    const struct detect_cell *cell = row->cell;
    *row_out = (struct store_state){
        .table = row->lineage->table_name,
        .subject = {cell->bytes, cell->subject_len},
        .state = {cell->bytes + cell->subject_len, cell->state_len},
        .stamp = cell->stamp,
        .gone = row->gone,
    };
    return true;
}

static enum store_next
next_row(void *self, struct store_state *row_out)
{
    struct writing *writing = self;
    if (writing->given++ % LOOK_EVERY == 0 && is_too_late(writing->engine))
        return STORE_NEXT_ABANDON;
    for (; writing->list < COUNT_OF(writing->lists); writing->list++)
        if (next_state(&writing->lists[writing->list], row_out))
            return STORE_NEXT_ROW;
    struct rule_row *rule = writing->rule;
    if (rule == NULL)
        return STORE_NEXT_END;
    writing->rule = rule->next;
    *row_out = (struct store_state){
        .table = STR(RULES_TABLE),
        .subject = rule->id,
        .state = rule->row,
        .gone = rule->row.ptr == NULL,
    };
    return STORE_NEXT_ROW;
}

static bool
write_checkpoint(struct engine *engine, struct checkpoint *checkpoint, struct err *err)
{
    if (is_too_late(engine))
        return err_set(err, ERR_LIMIT, "no time is left");
    struct writing writing = {
        .engine = engine,
        .lists = {sort(&checkpoint->found), sort(&checkpoint->overtaken)},
        .rule = checkpoint->rules.first,
    };
    bool ok = store_states_write(engine->options.states, (int64_t)checkpoint->position,
                                 log_seed(engine->log), next_row, &writing,
                                 checkpoint->dropped.items, checkpoint->dropped.count, err);
    for (size_t i = 0; i < COUNT_OF(writing.lists); i++)
        base_free(writing.lists[i].places);
    return ok;
}

/* With the lock held; lets go of it meanwhile. */
static void
keep(struct engine *engine)
{
    struct keeping *keeping = &engine->keeping;
    struct checkpoint *checkpoint = keeping->handed;
    struct clock clock = engine->options.clock;
    struct err err = {0};
    engine_unlock(engine);
    int64_t began = clock.monotonic_us(clock.self);
    bool ok = write_checkpoint(engine, checkpoint, &err);
    int64_t ended = clock.monotonic_us(clock.self);
    if (ok) {
        atomic_fetch_add(&engine->counters.checkpoints, 1);
        atomic_store(&engine->counters.checkpoint_at, (int64_t)checkpoint->position);
        if (ended - began > engine->options.checkpoint_us)
            atomic_fetch_add(&engine->counters.checkpoints_late, 1);
        checkpoint_free(checkpoint);
        base_trim(); /* with it went every state that was replaced since the one before */
    } else if (err.code == ERR_LIMIT) {
        say_left_out();
    } else {
        diag_warn("engine: checkpoint: %s; it is tried again", err.text);
    }
    if (!ok && err.code == ERR_CORRUPT) {
        atomic_store(&keeping->lost, true);
        checkpoint_free(checkpoint);
        ok = true;
    }
    engine_lock(engine);
    if (!ok && !keeping->hurry) {
        (void)engine_wait(engine, &keeping->changed, RETRY_WRITE_US);
        return;
    }
    keeping->gave_up = !ok;
    keeping->handed = ok ? NULL : keeping->handed;
    keeping->took_us = ended - began;
    keeping->written_at = ended;
    atomic_store(&keeping->busy, false);
    pthread_cond_broadcast(&engine->changed);
    engine_unlock(engine);
    queue_wake(engine->queue);
    engine_lock(engine);
}

/* As important as any other thread: what a crash has to fold anew grows until this is done, and so
 * does what is kept for it. What it may cost is bounded by its pace. */
void *
keeper_main(void *self)
{
    struct engine *engine = self;
    struct keeping *keeping = &engine->keeping;
    engine_lock(engine);
    while (!keeping->gave_up) {
        if (keeping->handed != NULL) {
            keep(engine);
        } else if (keeping->stop) {
            break;
        } else if (!engine_wait(engine, &keeping->changed, engine->options.checkpoint_us)) {
            atomic_store(&keeping->due, true);
            engine_unlock(engine);
            queue_wake(engine->queue);
            engine_lock(engine);
        }
    }
    engine_unlock(engine);
    return NULL;
}
