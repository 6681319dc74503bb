/* batch - submissions become records: deduped, stamped, detected, chained.
 *
 * Submissions stand in line. The first gets a turn of at most TURN items and then stands at the
 * end, so that a batch of thousands does not keep a single event waiting. */
#include "engine/engine_priv.h"

#include "model/limits.h"

#include <string.h>

enum {
    TURN = 250,
    ARENA_ROOM = 2 << 20,   /* an alert's texts, and their copies while they are made */
    RECORD_OVERHEAD = 1536, /* head, terms, label, prefix of one record, at most */
    COMMIT_ROOM = 7 << 20,  /* of LOG_COMMIT_MAX; estimates are generous, and this more so */
};
_Static_assert(COMMIT_ROOM + LIMIT_ALERT_BYTES < LOG_COMMIT_MAX, "a commit would not fit the log");

/* -- keys -------------------------------------------------------------------------- */

static struct str
absent_as_empty(struct str text)
{
    return text.ptr == NULL ? STR("") : text;
}

static void
add_part(struct buffer *key, struct str text)
{
    uint32_t len = (uint32_t)text.len;
    buffer_add_bytes(key, &len, sizeof len);
    buffer_add(key, absent_as_empty(text));
}

struct str
engine_write_key(struct buffer *key, struct str workspace_id, const struct event *event)
{
    buffer_clear(key);
    add_part(key, workspace_id);
    add_part(key, event->tenant_id);
    add_part(key, event->idempotency_key);
    must(!key->ran_out);
    return buffer_str(key);
}

/* Where the first event with this key is, 0 if there is none. What is on its way is looked at
 * before the log: it may have landed meanwhile, but then it is still noted here. */
bool
engine_find_first(struct engine *engine, const struct submission *submission,
                  const struct engine_item *item, uint64_t hash, log_at *at_out, struct err *err)
{
    struct str key = buffer_str(&engine->key);
    if (item->key_found != 0) {
        *at_out = item->key_found;
        return true;
    }
    *at_out = commit_find_key(engine->building, hash, key);
    if (*at_out == 0 && engine->flying != NULL)
        *at_out = commit_find_key(engine->flying, hash, key);
    if (*at_out != 0)
        return true;
    struct log_span span = {.from = item->key_looked_to + 1, .to = UINT64_MAX};
    return journal_find_key(engine->journal, submission->workspace_id, item->event.tenant_id,
                            item->event.idempotency_key, span, at_out, err);
}

/* -- detecting --------------------------------------------------------------------- */

/* The sender's limit is for what was sent; what the engine adds comes on top. */
static void
make_room(struct arena *arena)
{
    if (arena->limit - arena->total < ARENA_ROOM)
        arena->limit = arena->total + ARENA_ROOM;
}

static bool
detect_one(struct submission *submission, const struct lineage *lineage, const struct event *event,
           struct alert *alert)
{
    struct arena *arena = &submission->arena;
    make_room(arena);
    return submission->trial
               ? detect_try(lineage->compiled, lineage->table, event, arena, alert)
               : detect_step(lineage->compiled, lineage->table, event, false, arena, alert);
}

void
engine_detect(struct engine *engine, struct submission *submission,
              const struct workspace *workspace, struct engine_item *item)
{
    size_t count = 0;
    for (size_t i = 0; workspace != NULL && i < workspace->count; i++) {
        engine->found = grow(engine->found, count, &engine->found_cap, sizeof *engine->found);
        struct alert *alert = &engine->found[count];
        if (!detect_one(submission, workspace->lineages[i], &item->event, alert))
            continue;
        alert->at = (int64_t)stamp_next(&engine->stamp);
        alert->triggered_at = alert->at;
        alert->silent = submission->backfill;
        count++;
    }
    item->alert_count = count;
    item->alerts = NULL;
    if (count == 0)
        return;
    make_room(&submission->arena);
    item->alerts = arena_array(&submission->arena, count, struct alert);
    must(item->alerts != NULL);
    memcpy(item->alerts, engine->found, count * sizeof *engine->found);
}

/* How many were held back before this one, as its context tells. */
static uint64_t
held_back(const struct alert *alert)
{
    static const char name[] = "\"suppressed\":";
    const char *at = alert->context.len == 0
                         ? NULL
                         : memmem(alert->context.ptr, alert->context.len, name, sizeof name - 1);
    if (at == NULL || at == alert->context.ptr || at[-1] == '\\')
        return 0;
    const char *end = alert->context.ptr + alert->context.len;
    uint64_t count = 0;
    for (at += sizeof name - 1; at < end && *at >= '0' && *at <= '9'; at++)
        count = count * 10 + (uint64_t)(*at - '0');
    return count;
}

static size_t
alert_bytes(const struct alert *alert)
{
    return alert->context.len + alert->reason.len + alert->rule_name.len + alert->actor_id.len +
           2 * RECORD_OVERHEAD;
}

/* The states that the next items in line will be held against lie all over memory: asked for
 * together, they are waited for once. */
static void
warm(struct engine *engine, const struct workspace *workspace)
{
    const struct event *events[DETECT_WARM];
    size_t count = 0;
    const struct submission *submission = engine->line_first;
    for (; submission != NULL && count < DETECT_WARM; submission = submission->next) {
        if (!str_equal(submission->workspace_id, workspace->id))
            break;
        for (size_t i = submission->progress; i < submission->count && count < DETECT_WARM; i++)
            if (!submission->items[i].skip)
                events[count++] = &submission->items[i].event;
    }
    workspace_warm(workspace, events, count);
    engine->warmed = count > 0 ? count - 1 : 0; /* the one in hand is among them */
}

/* -- one item ---------------------------------------------------------------------- */

enum taken { TAKEN, NO_ROOM, BROKEN };

/* Its records; false: the commit cannot be built any more. */
static bool
add_records(struct engine *engine, struct submission *submission, struct engine_item *item,
            struct err *err)
{
    struct journal *journal = engine->journal;
    struct commit *commit = engine->building;
    struct journal_event event = {
        .workspace_id = submission->workspace_id,
        .event = &item->event,
        .stored = item->stored,
        .stored_len = item->stored_len,
        .created_at_offset = item->created_at_offset,
        .silent = submission->backfill,
    };
    if (!journal_add_event(journal, item->at, &event, &item->integrity, err))
        return false;
    commit->records++;
    if (item->source.ptr != NULL) {
        log_at at = item->at + 1; /* kept free by stamp_item */
        if (!journal_add_source(journal, at, submission->workspace_id, item->event.id, item->source,
                                err))
            return false;
        commit->records++;
    }
    for (size_t i = 0; i < item->alert_count; i++) {
        const struct alert *alert = &item->alerts[i];
        if (!journal_add_alert(journal, (log_at)alert->at, submission->workspace_id, alert, err))
            return false;
        commit->records++;
    }
    return true;
}

static void
stamp_item(struct engine *engine, struct engine_item *item)
{
    item->at = stamp_next(&engine->stamp);
    item->event.created_at = (int64_t)item->at;
    if (item->source.ptr != NULL)
        engine->stamp.last++;
}

static size_t
detect_item(struct engine *engine, struct submission *submission, const struct workspace *workspace,
            struct engine_item *item)
{
    if (engine->warmed > 0)
        engine->warmed--;
    else if (workspace != NULL)
        warm(engine, workspace);
    engine_detect(engine, submission, workspace, item);
    size_t bytes = item->stored_len + RECORD_OVERHEAD;
    if (item->source.ptr != NULL)
        bytes += item->source.len + RECORD_OVERHEAD;
    for (size_t i = 0; i < item->alert_count; i++)
        bytes += alert_bytes(&item->alerts[i]);
    return bytes;
}

static void
fail_item(struct engine_item *item)
{
    item->status = ENGINE_FAILED;
    item->at = 0;
    item->alerts = NULL;
    item->alert_count = 0;
}

/* An event and its alerts go into one commit or not at all. */
static enum taken
store_item(struct engine *engine, struct submission *submission, const struct workspace *workspace,
           struct engine_item *item, struct err *err)
{
    struct commit *commit = engine->building;
    size_t mark = commit->change_count;
    log_at last = engine->stamp.last;
    stamp_item(engine, item);
    size_t bytes = detect_item(engine, submission, workspace, item);
    bool too_large = bytes > COMMIT_ROOM || item->stored_len + RECORD_OVERHEAD > LOG_PAYLOAD_MAX;
    if (too_large || commit->bytes + bytes > COMMIT_ROOM) {
        commit_undo_changes(commit, mark);
        engine->stamp.last = last;
        fail_item(item);
        if (!too_large) {
            item->status = ENGINE_WAITING;
            return NO_ROOM;
        }
        diag_warn("engine: event %.*s and its alerts are %zu bytes, too large for one commit",
                  STR_ARG(item->event.id), bytes);
        return TAKEN;
    }
    if (!add_records(engine, submission, item, err))
        return BROKEN;
    commit->bytes += bytes;
    commit->events++;
    commit->alerts += item->alert_count;
    commit->wake = commit->wake || item->alert_count > 0;
    for (size_t i = 0; i < item->alert_count; i++)
        commit->suppressed += held_back(&item->alerts[i]);
    item->status = ENGINE_STORED;
    return TAKEN;
}

static enum taken
take_item(struct engine *engine, struct submission *submission, const struct workspace *workspace,
          struct engine_item *item, struct err *err)
{
    if (item->event.idempotency_key.len == 0)
        return store_item(engine, submission, workspace, item, err);

    struct str key = engine_write_key(&engine->key, submission->workspace_id, &item->event);
    uint64_t hash = hash64(0, key.ptr, key.len);
    log_at first = 0;
    struct err unreadable = {0};
    if (!engine_find_first(engine, submission, item, hash, &first, &unreadable)) {
        diag_warn("engine: idempotency key: %s", unreadable.text);
        fail_item(item);
        return TAKEN;
    }
    if (first != 0) {
        item->status = ENGINE_DUPLICATE;
        item->at = first;
        engine->building->duplicates++;
        return TAKEN;
    }
    if (!submission->holds && engine_is_held(engine, hash, key)) {
        item->status = ENGINE_HELD;
        return TAKEN;
    }
    enum taken taken = store_item(engine, submission, workspace, item, err);
    if (taken == TAKEN && item->status == ENGINE_STORED)
        commit_add_key(engine->building, hash, key, item->at);
    return taken;
}

/* -- the line ---------------------------------------------------------------------- */

static void
step_out(struct engine *engine, struct submission *submission)
{
    engine->line_first = submission->next;
    if (engine->line_first == NULL)
        engine->line_last = NULL;
    submission->next = NULL;
}

static void
stand_last(struct engine *engine, struct submission *submission)
{
    if (engine->line_last == NULL)
        engine->line_first = submission;
    else
        engine->line_last->next = submission;
    engine->line_last = submission;
}

static void
leave_queue(struct engine *engine, const struct submission *submission)
{
    size_t events = submission->count == 0 ? 1 : submission->count;
    atomic_fetch_sub(&engine->queued_events, events);
    atomic_fetch_sub(&engine->queued_bytes, submission->weight);
}

/* Up to TURN of its items; stops when the commit is full or cannot be built any more. */
static enum taken
take_items(struct engine *engine, struct submission *submission, struct err *err)
{
    struct commit *commit = engine->building;
    const struct workspace *workspace =
        workspaces_find(&engine->workspaces, submission->workspace_id);
    size_t end = submission->progress + TURN;
    if (end > submission->count)
        end = submission->count;
    enum taken taken = TAKEN;
    while (submission->progress < end && !commit->full) {
        struct engine_item *item = &submission->items[submission->progress];
        if (!item->skip)
            taken = take_item(engine, submission, workspace, item, err);
        if (taken == NO_ROOM)
            commit->full = true;
        if (taken != TAKEN)
            break;
        submission->progress++;
        commit->items++;
        commit->full =
            commit->items >= ENGINE_COMMIT_EVENTS || commit->bytes >= ENGINE_COMMIT_BYTES;
    }
    return taken;
}

void
engine_take_turn(struct engine *engine)
{
    struct submission *submission = engine->line_first;
    struct commit *commit = engine->building;
    struct err err = {0};
    size_t first = submission->progress;
    if (submission->trial && engine_try(engine, submission)) {
        step_out(engine, submission);
        leave_queue(engine, submission);
        submission->sink->done(submission->sink->self, submission);
        return;
    }
    stamp_look(&engine->stamp);
    bool broken = take_items(engine, submission, &err) == BROKEN;
    /* An item that broke the commit is part of what fails with it. */
    commit_add_part(commit, submission, first, submission->progress + (broken ? 1 : 0));
    if (broken) {
        engine_break_commit(engine, &err);
        return;
    }
    if (submission->progress == submission->count) {
        step_out(engine, submission);
        leave_queue(engine, submission);
        commit_finish(commit, submission);
    } else if (!commit->full && submission->next != NULL) {
        step_out(engine, submission);
        stand_last(engine, submission);
    }
}

void
engine_fail_waiting(struct engine *engine)
{
    struct submission *waiting = engine->line_first;
    engine->line_first = engine->line_last = NULL;
    for (struct submission *next; waiting != NULL; waiting = next) {
        next = waiting->next;
        waiting->next = NULL;
        if (waiting->progress != SUBMISSION_FAILED) {
            stand_last(engine, waiting);
            continue;
        }
        for (size_t i = 0; i < waiting->count; i++)
            if (!waiting->items[i].skip && waiting->items[i].status == ENGINE_WAITING)
                fail_item(&waiting->items[i]);
        leave_queue(engine, waiting);
        waiting->sink->done(waiting->sink->self, waiting);
    }
}
