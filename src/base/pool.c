/* pool - threads that run jobs, oldest first. */
#include "base/queue.h"

#include <pthread.h>

struct job {
    void (*run)(void *self);
    void *self;
};

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct job *ring;
    size_t jobs_max, first, count;
    bool closed;
    pthread_t *threads;
    size_t thread_count;
};

static bool
next_job(struct pool *pool, struct job *job_out)
{
    must(pthread_mutex_lock(&pool->lock) == 0);
    while (pool->count == 0 && !pool->closed)
        must(pthread_cond_wait(&pool->changed, &pool->lock) == 0);
    bool have = pool->count > 0;
    if (have) {
        *job_out = pool->ring[pool->first];
        pool->first = (pool->first + 1) % pool->jobs_max;
        pool->count--;
    }
    must(pthread_mutex_unlock(&pool->lock) == 0);
    return have;
}

static void *
work(void *self)
{
    struct pool *pool = self;
    struct job job;
    while (next_job(pool, &job))
        job.run(job.self);
    return NULL;
}

struct pool *
pool_new(size_t threads, size_t jobs_max)
{
    must(threads > 0 && jobs_max > 0);
    struct pool *pool = base_alloc(1, sizeof *pool);
    pool->ring = base_alloc(jobs_max, sizeof *pool->ring);
    pool->jobs_max = jobs_max;
    must(pthread_mutex_init(&pool->lock, NULL) == 0);
    must(pthread_cond_init(&pool->changed, NULL) == 0);
    pool->threads = base_alloc(threads, sizeof *pool->threads);
    pool->thread_count = threads;
    for (size_t i = 0; i < threads; i++)
        must(pthread_create(&pool->threads[i], NULL, work, pool) == 0);
    return pool;
}

bool
pool_run(struct pool *pool, void (*run)(void *self), void *self)
{
    must(pthread_mutex_lock(&pool->lock) == 0);
    bool room = !pool->closed && pool->count < pool->jobs_max;
    if (room) {
        pool->ring[(pool->first + pool->count) % pool->jobs_max] = (struct job){run, self};
        pool->count++;
        pthread_cond_signal(&pool->changed);
    }
    must(pthread_mutex_unlock(&pool->lock) == 0);
    return room;
}

void
pool_free(struct pool *pool)
{
    if (pool == NULL)
        return;
    must(pthread_mutex_lock(&pool->lock) == 0);
    pool->closed = true;
    pthread_cond_broadcast(&pool->changed);
    must(pthread_mutex_unlock(&pool->lock) == 0);
    for (size_t i = 0; i < pool->thread_count; i++)
        must(pthread_join(pool->threads[i], NULL) == 0);
    must(pthread_cond_destroy(&pool->changed) == 0);
    must(pthread_mutex_destroy(&pool->lock) == 0);
    base_free(pool->threads);
    base_free(pool->ring);
    base_free(pool);
}
