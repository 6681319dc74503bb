/* feed - rows of the log for recovery, read and parsed ahead by a thread of their own, so that
 * parsing and folding, which take about as long, go on side by side. */
#include "engine/engine_priv.h"

#include <inttypes.h>

enum { BATCHES = 3, BATCH_ROWS = 256, BATCH_FIRST = 4 << 20 };

struct batch {
    struct arena arena;
    struct feed_row rows[BATCH_ROWS];
    size_t count;
};
struct feed {
    struct engine *engine;
    struct log_span span;
    uint32_t kinds;
    struct queue *full, *empty;
    struct batch *filling;
    struct json_parser *parser;
    atomic_bool given_up; /* by the one who folds */
    bool ok;
    struct err err; /* of the thread; read when it has ended */
};

static struct batch *
next_batch(struct queue *queue)
{
    void *batch = NULL;
    while (queue_pop(queue, &batch, 1, -1) == 0)
        if (queue_is_closed(queue))
            return NULL;
    return batch;
}

/* -- the thread ---------------------------------------------------------------------- */

static bool
parse_event(struct feed *feed, struct feed_row *row)
{
    struct arena *arena = &feed->filling->arena;
    struct json json;
    if (!json_parse(feed->parser, row->row.stored, arena, &json, &feed->err) ||
        !event_read_stored(&json, arena, &row->event, &feed->err))
        return err_prefix(&feed->err, "engine: the event at %" PRIu64, row->row.at);
    row->event.created_at = (int64_t)row->row.at;
    return true;
}

static void
send(struct feed *feed)
{
    must(queue_push(feed->full, feed->filling, 0));
    feed->filling = NULL;
}

/* Only events are parsed here; of the others, which are few, the text is kept. */
static bool
on_row(void *self, const struct journal_row *from)
{
    struct feed *feed = self;
    if (atomic_load(&feed->given_up))
        return false;
    if (feed->filling == NULL)
        feed->filling = next_batch(feed->empty);
    struct batch *batch = feed->filling;
    struct feed_row *row = &batch->rows[batch->count];
    row->row = *from;
    must(arena_copy(&batch->arena, from->workspace_id, &row->row.workspace_id));
    if (from->kind == JOURNAL_EVENT)
        feed->ok = parse_event(feed, row);
    else
        must(arena_copy(&batch->arena, from->stored, &row->row.stored));
    if (!feed->ok)
        return false;
    if (++batch->count == BATCH_ROWS)
        send(feed);
    return true;
}

static void *
feed_main(void *self)
{
    struct feed *feed = self;
    feed->ok = true;
    bool scanned = journal_scan(feed->engine->journal, feed->span, feed->kinds, (struct str){0},
                                on_row, feed, &feed->err);
    feed->ok = feed->ok && scanned;
    if (feed->filling != NULL)
        send(feed);
    queue_close(feed->full);
    return NULL;
}

/* -- the one who folds ------------------------------------------------------------------ */

/* Has the states of the next events of one workspace fetched; most often there is but one. */
static void
warm(const struct feed *feed, const struct batch *batch, size_t first)
{
    const struct event *events[DETECT_WARM];
    const struct workspace *workspace = NULL;
    size_t count = 0;
    for (size_t i = first; i < batch->count && count < DETECT_WARM; i++) {
        const struct feed_row *row = &batch->rows[i];
        if (row->row.kind != JOURNAL_EVENT)
            continue;
        if (workspace == NULL)
            workspace = workspaces_find(&feed->engine->workspaces, row->row.workspace_id);
        if (workspace == NULL || !str_equal(workspace->id, row->row.workspace_id))
            break;
        events[count++] = &row->event;
    }
    if (count > 0)
        workspace_warm(workspace, events, count);
}

static void
fold_batch(struct feed *feed, struct batch *batch, feed_fn fn, void *self)
{
    warm(feed, batch, 0);
    for (size_t i = 0; i < batch->count && !atomic_load(&feed->given_up); i++) {
        if (i % DETECT_WARM == 0)
            warm(feed, batch, i + DETECT_WARM);
        if (!fn(self, &batch->rows[i]))
            atomic_store(&feed->given_up, true);
    }
    arena_reset(&batch->arena);
    batch->count = 0;
}

bool
feed_scan(struct engine *engine, const struct log_span *span, uint32_t kinds, feed_fn fn,
          void *self, struct err *err)
{
    struct feed feed = {.engine = engine, .span = *span, .kinds = kinds};
    struct batch *batches = base_alloc(BATCHES, sizeof *batches);
    pthread_t thread;
    feed.full = queue_new(BATCHES, SIZE_MAX);
    feed.empty = queue_new(BATCHES, SIZE_MAX);
    feed.parser = json_parser_new();
    for (size_t i = 0; i < BATCHES; i++) {
        arena_init(&batches[i].arena, BATCH_FIRST, SIZE_MAX);
        must(queue_push(feed.empty, &batches[i], 0));
    }
    must(pthread_create(&thread, NULL, feed_main, &feed) == 0);
    for (struct batch *batch; (batch = next_batch(feed.full)) != NULL;) {
        fold_batch(&feed, batch, fn, self);
        must(queue_push(feed.empty, batch, 0));
    }
    must(pthread_join(thread, NULL) == 0);

    void *left[BATCHES];
    (void)queue_pop(feed.empty, left, BATCHES, 0);
    queue_free(feed.full);
    queue_free(feed.empty);
    json_parser_free(feed.parser);
    for (size_t i = 0; i < BATCHES; i++)
        arena_fini(&batches[i].arena);
    base_free(batches);
    if (!feed.ok)
        *err = feed.err;
    return feed.ok;
}
