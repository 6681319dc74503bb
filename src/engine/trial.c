/* trial - what an event would raise, told before it is stored.
 *
 * A transaction wants to know first and store later, or never. So the event steps on copies: what
 * a step would write is thrown away (detect_try), no position is used up, no record is made. What
 * it shares with a stored event is that it has its place in the line: it sees every event before
 * it, be that durable yet or not.
 *
 * From here until engine_let_go its idempotency key is *held*: who comes with it is sent away, for
 * there is no first answer yet that could be given again. */
#include "engine/engine_priv.h"

#include <string.h>

void
held_keys_init(struct held_keys *held)
{
    must(pthread_mutex_init(&held->lock, NULL) == 0);
}

void
held_keys_fini(struct held_keys *held)
{
    must(atomic_load(&held->count) == 0);
    must(pthread_mutex_destroy(&held->lock) == 0);
}

static struct held_key **
find_held(struct held_keys *held, uint64_t hash, struct str key)
{
    struct held_key **link = &held->buckets[hash % COUNT_OF(held->buckets)];
    while (*link != NULL && ((*link)->hash != hash || !str_equal((*link)->key, key)))
        link = &(*link)->next;
    return link;
}

bool
engine_is_held(struct engine *engine, uint64_t hash, struct str key)
{
    struct held_keys *held = &engine->held;
    /* Only this thread adds to them. */
    if (atomic_load_explicit(&held->count, memory_order_relaxed) == 0)
        return false;
    must(pthread_mutex_lock(&held->lock) == 0);
    bool found = *find_held(held, hash, key) != NULL;
    must(pthread_mutex_unlock(&held->lock) == 0);
    return found;
}

/* The submission keeps the memory. */
static void
hold(struct engine *engine, struct submission *submission, uint64_t hash, struct str key)
{
    struct held_keys *held = &engine->held;
    struct held_key *own = &submission->held;
    must(arena_copy(&submission->arena, key, &own->key));
    own->hash = hash;
    must(pthread_mutex_lock(&held->lock) == 0);
    struct held_key **link = find_held(held, hash, key);
    must(*link == NULL);
    own->next = NULL;
    *link = own;
    atomic_fetch_add(&held->count, 1);
    must(pthread_mutex_unlock(&held->lock) == 0);
    submission->holds = true;
}

void
engine_let_go(struct engine *engine, struct submission *submission)
{
    struct held_keys *held = &engine->held;
    if (!submission->holds)
        return;
    submission->holds = false;
    must(pthread_mutex_lock(&held->lock) == 0);
    struct held_key **link = find_held(held, submission->held.hash, submission->held.key);
    must(*link == &submission->held);
    *link = submission->held.next;
    atomic_fetch_sub(&held->count, 1);
    must(pthread_mutex_unlock(&held->lock) == 0);
}

/* -- trying ------------------------------------------------------------------------ */

/* Positions as the event and its alerts would have them, were they the next. */
static void
try_item(struct engine *engine, struct submission *submission, struct engine_item *item)
{
    const struct workspace *workspace =
        workspaces_find(&engine->workspaces, submission->workspace_id);
    log_at last = engine->stamp.last;
    stamp_look(&engine->stamp);
    item->at = stamp_next(&engine->stamp);
    item->event.created_at = (int64_t)item->at;
    engine_detect(engine, submission, workspace, item);
    engine->stamp.last = last;
    item->status = ENGINE_TRIED;
}

/* What has been seen is answered as ever, and what cannot be looked for fails as ever: neither
 * needs a trial. */
bool
engine_try(struct engine *engine, struct submission *submission)
{
    must(submission->count == 1 && !submission->items[0].skip && !submission->holds);
    struct engine_item *item = &submission->items[0];
    if (item->event.idempotency_key.len > 0) {
        struct str key = engine_write_key(&engine->key, submission->workspace_id, &item->event);
        uint64_t hash = hash64(0, key.ptr, key.len);
        log_at first = 0;
        struct err unreadable = {0};
        if (!engine_find_first(engine, submission, item, hash, &first, &unreadable) || first != 0) {
            submission->trial = false;
            return false;
        }
        if (engine_is_held(engine, hash, key)) {
            item->status = ENGINE_HELD;
            return true;
        }
        hold(engine, submission, hash, key);
    }
    if (engine->warmed > 0)
        engine->warmed--;
    try_item(engine, submission, item);
    return true;
}
