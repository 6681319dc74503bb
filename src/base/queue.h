/* queue - a bounded queue of pointers between threads, and a pool of threads
 * that eats one. */
#ifndef BASE_QUEUE_H
#define BASE_QUEUE_H

#include "base/base.h"

struct queue;

/* Holds at most `count_max` items that weigh at most `weight_max` together. */
struct queue *queue_new(size_t count_max, size_t weight_max);
void queue_free(struct queue *queue); /* must be empty */

/* False when full or closed: nothing was taken. Any thread. */
bool queue_push(struct queue *queue, void *item, size_t weight) MUST_USE;

/* Waits until there is something, or `wait_us` have passed (negative: for ever), or the queue
 * is closed; returns how many of up to `count` items it put into `items_out`, oldest first. */
size_t queue_pop(struct queue *queue, void **items_out, size_t count, int64_t wait_us);

/* Waits until all that is there weighs at least `weight_least`, or the queue is closed or woken;
 * takes as queue_pop does. For the only popper of a queue, when it has something else under way
 * and need not be roused for little. */
size_t queue_pop_heavy(struct queue *queue, void **items_out, size_t count, size_t weight_least);

/* After this nothing more can be pushed; poppers get what is left, then 0 at once. */
void queue_close(struct queue *queue);
bool queue_is_closed(struct queue *queue);
size_t queue_count(struct queue *queue);
/* Makes one waiting (or the next) queue_pop return, though empty. */
void queue_wake(struct queue *queue);

/* -- pool ------------------------------------------------------------- */

struct pool;
struct pool *pool_new(size_t threads, size_t jobs_max);
/* False when jobs_max wait already. `run(self)` is called once, on a thread of the pool. */
bool pool_run(struct pool *pool, void (*run)(void *self), void *self) MUST_USE;
void pool_free(struct pool *pool); /* runs what waits, then joins */

#endif
