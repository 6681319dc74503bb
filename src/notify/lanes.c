/* lanes - which job is next: by record within a webhook, by time among those that wait. */
#include "notify/notify_priv.h"

#include <string.h>

enum { CHUNK_JOBS = 1024, CAP_FIRST = 16 };

struct job_chunk {
    struct job_chunk *next;
    struct job jobs[CHUNK_JOBS];
};

/* -- heaps ------------------------------------- */

static bool
comes_before(const struct heap *heap, const struct job *a, const struct job *b)
{
    if (!heap->by_record && a->next_at != b->next_at)
        return a->next_at < b->next_at;
    return a->record_at < b->record_at;
}

static void
place(struct heap *heap, size_t at, struct job *job)
{
    heap->items[at] = job;
    job->heap_at = at;
}

static void
sift_up(struct heap *heap, size_t at, struct job *job)
{
    while (at > 0 && comes_before(heap, job, heap->items[(at - 1) / 2])) {
        place(heap, at, heap->items[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    place(heap, at, job);
}

static void
sift_down(struct heap *heap, size_t at, struct job *job)
{
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= heap->count)
            break;
        if (child + 1 < heap->count &&
            comes_before(heap, heap->items[child + 1], heap->items[child]))
            child++;
        if (!comes_before(heap, heap->items[child], job))
            break;
        place(heap, at, heap->items[child]);
        at = child;
    }
    place(heap, at, job);
}

static void
heap_add(struct heap *heap, struct job *job)
{
    if (heap->count == heap->cap) {
        heap->cap = heap->cap == 0 ? CAP_FIRST : heap->cap * 2;
        heap->items = base_realloc(heap->items, heap->cap * sizeof(struct job *));
    }
    sift_up(heap, heap->count++, job);
}

static void
heap_remove(struct heap *heap, struct job *job)
{
    size_t at = job->heap_at;
    must(at < heap->count && heap->items[at] == job);
    struct job *last = heap->items[--heap->count];
    if (last == job)
        return;
    if (at > 0 && comes_before(heap, last, heap->items[(at - 1) / 2]))
        sift_up(heap, at, last);
    else
        sift_down(heap, at, last);
}

/* -- lanes ------------------------------------- */

void
lanes_init(struct lanes *lanes)
{
    *lanes = (struct lanes){0};
}

void
lanes_fini(struct lanes *lanes)
{
    for (size_t i = 0; i < lanes->count; i++) {
        struct lane *lane = lanes->sorted[i];
        base_free(lane->ready.items);
        letters_free(lane->letters);
        base_free((void *)(uintptr_t)lane->workspace_id.ptr);
        base_free((void *)(uintptr_t)lane->webhook_id.ptr);
        base_free(lane);
    }
    base_free(lanes->sorted);
    base_free(lanes->waiting.items);
    while (lanes->chunks != NULL) {
        struct job_chunk *next = lanes->chunks->next;
        base_free(lanes->chunks);
        lanes->chunks = next;
    }
    *lanes = (struct lanes){0};
}

/* Where it is, or would have to be. */
static size_t
search(const struct lanes *lanes, struct str workspace_id, struct str webhook_id)
{
    size_t low = 0, high = lanes->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct lane *lane = lanes->sorted[middle];
        int order = str_compare(lane->workspace_id, workspace_id);
        if (order == 0)
            order = str_compare(lane->webhook_id, webhook_id);
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct lane *
lanes_find(const struct lanes *lanes, struct str workspace_id, struct str webhook_id)
{
    size_t at = search(lanes, workspace_id, webhook_id);
    if (at == lanes->count)
        return NULL;
    struct lane *lane = lanes->sorted[at];
    bool same =
        str_equal(lane->workspace_id, workspace_id) && str_equal(lane->webhook_id, webhook_id);
    return same ? lane : NULL;
}

struct lane *
lanes_make(struct lanes *lanes, struct str workspace_id, struct str webhook_id)
{
    struct lane *lane = lanes_find(lanes, workspace_id, webhook_id);
    if (lane != NULL)
        return lane;
    if (lanes->count == lanes->cap) {
        lanes->cap = lanes->cap == 0 ? CAP_FIRST : lanes->cap * 2;
        lanes->sorted = base_realloc(lanes->sorted, lanes->cap * sizeof(struct lane *));
    }
    lane = base_alloc(1, sizeof *lane);
    *lane = (struct lane){.workspace_id = base_copy(workspace_id),
                          .webhook_id = base_copy(webhook_id),
                          .ready = {.by_record = true},
                          .allowed = 1};
    if (str_starts(webhook_id, STR(NOTIFY_MAIL_PREFIX)))
        lane->letters = letters_new();
    size_t at = search(lanes, workspace_id, webhook_id);
    memmove(&lanes->sorted[at + 1], &lanes->sorted[at],
            (lanes->count - at) * sizeof(struct lane *));
    lanes->sorted[at] = lane;
    lanes->count++;
    return lane;
}

struct lane **
lanes_of(const struct lanes *lanes, struct str workspace_id, size_t *count_out)
{
    size_t first = search(lanes, workspace_id, STR("")), end = first;
    while (end < lanes->count && str_equal(lanes->sorted[end]->workspace_id, workspace_id))
        end++;
    *count_out = end - first;
    return lanes->sorted + first;
}

struct lane *
lanes_fullest(const struct lanes *lanes)
{
    struct lane *fullest = NULL;
    for (size_t i = 0; i < lanes->count; i++)
        if (fullest == NULL || lanes->sorted[i]->count > fullest->count)
            fullest = lanes->sorted[i];
    return fullest;
}

/* -- the lanes with something ready ------------------------------------- */

static void
activate(struct lanes *lanes, struct lane *lane)
{
    if (lane->is_active)
        return;
    lane->is_active = true;
    lane->next = NULL;
    lane->before = lanes->last_active;
    if (lanes->last_active != NULL)
        lanes->last_active->next = lane;
    else
        lanes->first_active = lane;
    lanes->last_active = lane;
    lanes->active_count++;
}

static void
deactivate(struct lanes *lanes, struct lane *lane)
{
    lane->is_active = false;
    if (lane->before != NULL)
        lane->before->next = lane->next;
    else
        lanes->first_active = lane->next;
    if (lane->next != NULL)
        lane->next->before = lane->before;
    else
        lanes->last_active = lane->before;
    lane->next = lane->before = NULL;
    lanes->active_count--;
}

struct lane *
lanes_turn(struct lanes *lanes)
{
    struct lane *lane = lanes->first_active;
    deactivate(lanes, lane);
    activate(lanes, lane);
    return lane;
}

/* -- jobs ------------------------------------- */

static struct job *
new_job(struct lanes *lanes)
{
    if (lanes->free_jobs == NULL) {
        struct job_chunk *chunk = base_alloc(1, sizeof *chunk);
        chunk->next = lanes->chunks;
        lanes->chunks = chunk;
        for (size_t i = 0; i < CHUNK_JOBS; i++) {
            chunk->jobs[i].newer = lanes->free_jobs;
            lanes->free_jobs = &chunk->jobs[i];
        }
    }
    struct job *job = lanes->free_jobs;
    lanes->free_jobs = job->newer;
    *job = (struct job){0};
    return job;
}

/* Before `newer`; at the end when that is NULL. */
static void
link_before(struct lane *lane, struct job *job, struct job *newer)
{
    job->newer = newer;
    job->older = newer == NULL ? lane->newest : newer->older;
    if (job->older != NULL)
        job->older->newer = job;
    else
        lane->oldest = job;
    if (job->newer != NULL)
        job->newer->older = job;
    else
        lane->newest = job;
}

/* Out of the heap it is in. */
static void
lift(struct lanes *lanes, struct job *job)
{
    if (job->place == JOB_WAITING)
        heap_remove(&lanes->waiting, job);
    if (job->place == JOB_READY) {
        heap_remove(&job->lane->ready, job);
        if (job->lane->ready.count == 0)
            deactivate(lanes, job->lane);
    }
    job->place = JOB_FLYING;
}

struct job *
lanes_insert(struct lanes *lanes, struct lane *lane, const struct job *like, struct job *newer)
{
    struct job *job = new_job(lanes);
    *job = (struct job){.lane = lane,
                        .record_at = like->record_at,
                        .kind = like->kind,
                        .attempts = like->attempts,
                        .attempts_before = like->attempts_before,
                        .place = JOB_FLYING}; /* in no heap yet */
    link_before(lane, job, newer);
    lane->count++;
    lanes->job_count++;
    lanes->letter_count += lane->letters != NULL;
    lanes_wait(lanes, job, like->next_at);
    return job;
}

struct job *
lanes_from(const struct lane *lane, int64_t record_at)
{
    struct job *from = NULL;
    for (struct job *job = lane->newest; job != NULL && job->record_at >= record_at;
         job = job->older)
        from = job;
    return from;
}

/* New records come last; an older one has to find its place. */
struct job *
lanes_add(struct lanes *lanes, struct lane *lane, int64_t record_at, enum webhook_event kind,
          int64_t next_at)
{
    struct job like = {.record_at = record_at, .kind = kind, .next_at = next_at};
    return lanes_insert(lanes, lane, &like, lanes_from(lane, record_at + 1));
}

/* Those of one record lie side by side. */
const struct job *
lanes_before(const struct job *job)
{
    if (job->kind != WEBHOOK_ALERT_RESOLVED)
        return NULL;
    for (const struct job *o = job->older; o != NULL && o->record_at == job->record_at;
         o = o->older)
        if (o->kind == WEBHOOK_ALERT)
            return o;
    for (const struct job *n = job->newer; n != NULL && n->record_at == job->record_at;
         n = n->newer)
        if (n->kind == WEBHOOK_ALERT)
            return n;
    return NULL;
}

void
lanes_remove(struct lanes *lanes, struct job *job)
{
    struct lane *lane = job->lane;
    lift(lanes, job);
    if (job->older != NULL)
        job->older->newer = job->newer;
    else
        lane->oldest = job->newer;
    if (job->newer != NULL)
        job->newer->older = job->older;
    else
        lane->newest = job->older;
    lane->count--;
    lanes->job_count--;
    lanes->letter_count -= lane->letters != NULL;
    *job = (struct job){.newer = lanes->free_jobs};
    lanes->free_jobs = job;
}

void
lanes_wait(struct lanes *lanes, struct job *job, int64_t next_at)
{
    lift(lanes, job);
    job->next_at = next_at;
    job->place = JOB_WAITING;
    heap_add(&lanes->waiting, job);
}

void
lanes_ready(struct lanes *lanes, struct job *job)
{
    lift(lanes, job);
    job->place = JOB_READY;
    heap_add(&job->lane->ready, job);
    activate(lanes, job->lane);
}

struct job *
lanes_take(struct lanes *lanes, struct lane *lane)
{
    if (lane->ready.count == 0)
        return NULL;
    struct job *job = lane->ready.items[0];
    lift(lanes, job);
    return job;
}

void
lanes_wake_due(struct lanes *lanes, int64_t now_us)
{
    while (lanes->waiting.count > 0 && lanes->waiting.items[0]->next_at <= now_us)
        lanes_ready(lanes, lanes->waiting.items[0]);
}

struct job *
lanes_job(const struct lane *lane, int64_t record_at, enum webhook_event kind)
{
    for (struct job *job = lane->newest; job != NULL; job = job->older)
        if (job->record_at == record_at && job->kind == kind)
            return job;
    return NULL;
}

struct job *
lanes_oldest(const struct lane *lane)
{
    struct job *job = lane->oldest;
    while (job != NULL && job->place == JOB_FLYING)
        job = job->newer;
    return job;
}
