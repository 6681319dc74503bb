/* queue - a ring of pointers under one lock. Poppers wait by the monotonic
 * clock, so that setting the wall clock neither wakes nor delays them. */
#include "base/queue.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

struct slot {
    void *item;
    size_t weight;
};

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct slot *ring;
    size_t count_max, weight_max;
    size_t first, count, weight;
    size_t waiting; /* threads */
    size_t least;   /* the smallest weight that one of them waits for */
    bool closed, woken;
};

struct queue *
queue_new(size_t count_max, size_t weight_max)
{
    must(count_max > 0);
    struct queue *queue = base_alloc(1, sizeof *queue);
    queue->ring = base_alloc(count_max, sizeof *queue->ring);
    queue->count_max = count_max;
    queue->weight_max = weight_max;

    pthread_condattr_t attr;
    must(pthread_mutex_init(&queue->lock, NULL) == 0);
    must(pthread_condattr_init(&attr) == 0);
    must(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    must(pthread_cond_init(&queue->changed, &attr) == 0);
    pthread_condattr_destroy(&attr);
    return queue;
}

void
queue_free(struct queue *queue)
{
    if (queue == NULL)
        return;
    must(queue->count == 0);
    must(pthread_cond_destroy(&queue->changed) == 0);
    must(pthread_mutex_destroy(&queue->lock) == 0);
    base_free(queue->ring);
    base_free(queue);
}

static void
lock(struct queue *queue)
{
    must(pthread_mutex_lock(&queue->lock) == 0);
}

static void
unlock(struct queue *queue)
{
    must(pthread_mutex_unlock(&queue->lock) == 0);
}

bool
queue_push(struct queue *queue, void *item, size_t weight)
{
    lock(queue);
    bool room = !queue->closed && queue->count < queue->count_max &&
                weight <= queue->weight_max - queue->weight;
    if (room) {
        size_t at = queue->first + queue->count;
        if (at >= queue->count_max)
            at -= queue->count_max;
        queue->ring[at] = (struct slot){item, weight};
        queue->count++;
        queue->weight += weight;
    }
    bool wanted = room && queue->waiting > 0 && queue->weight >= queue->least;
    unlock(queue);
    /* Not under the lock, which is the first thing that who wakes up wants. */
    if (wanted)
        pthread_cond_signal(&queue->changed);
    return room;
}

static struct timespec
deadline_after(int64_t wait_us)
{
    struct timespec at;
    must(clock_gettime(CLOCK_MONOTONIC, &at) == 0);
    int64_t ns = at.tv_nsec + wait_us % 1000000 * 1000;
    at.tv_sec += wait_us / 1000000 + ns / 1000000000;
    at.tv_nsec = ns % 1000000000;
    return at;
}

static bool
has_enough(const struct queue *queue, size_t least)
{
    return (queue->count > 0 && queue->weight >= least) || queue->closed || queue->woken;
}

static void
wait_for_change(struct queue *queue, size_t least, int64_t wait_us)
{
    struct timespec deadline = {0};
    if (wait_us > 0)
        deadline = deadline_after(wait_us);
    queue->least = queue->waiting == 0 || least < queue->least ? least : queue->least;
    queue->waiting++;
    while (!has_enough(queue, least)) {
        if (wait_us < 0) {
            must(pthread_cond_wait(&queue->changed, &queue->lock) == 0);
            continue;
        }
        int told = wait_us == 0 ? ETIMEDOUT
                                : pthread_cond_timedwait(&queue->changed, &queue->lock, &deadline);
        if (told == ETIMEDOUT)
            break;
        must(told == 0);
    }
    queue->waiting--;
}

static size_t
pop(struct queue *queue, void **items_out, size_t count)
{
    queue->woken = false;
    size_t taken = 0;
    while (taken < count && queue->count > 0) {
        struct slot slot = queue->ring[queue->first];
        queue->first = queue->first + 1 == queue->count_max ? 0 : queue->first + 1;
        queue->count--;
        queue->weight -= slot.weight;
        items_out[taken++] = slot.item;
    }
    /* A signal that came while this thread was not waiting may have been meant for another. */
    if (queue->count > 0 && queue->waiting > 0)
        pthread_cond_signal(&queue->changed);
    return taken;
}

size_t
queue_pop(struct queue *queue, void **items_out, size_t count, int64_t wait_us)
{
    lock(queue);
    wait_for_change(queue, 0, wait_us);
    size_t taken = pop(queue, items_out, count);
    unlock(queue);
    return taken;
}

size_t
queue_pop_heavy(struct queue *queue, void **items_out, size_t count, size_t weight_least)
{
    lock(queue);
    wait_for_change(queue, weight_least, -1);
    size_t taken = pop(queue, items_out, count);
    unlock(queue);
    return taken;
}

void
queue_close(struct queue *queue)
{
    lock(queue);
    queue->closed = true;
    pthread_cond_broadcast(&queue->changed);
    unlock(queue);
}

bool
queue_is_closed(struct queue *queue)
{
    lock(queue);
    bool closed = queue->closed;
    unlock(queue);
    return closed;
}

size_t
queue_count(struct queue *queue)
{
    lock(queue);
    size_t count = queue->count;
    unlock(queue);
    return count;
}

void
queue_wake(struct queue *queue)
{
    lock(queue);
    queue->woken = true;
    bool wanted = queue->waiting > 0;
    unlock(queue);
    if (wanted)
        pthread_cond_signal(&queue->changed);
}
