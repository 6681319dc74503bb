/* notify - one thread's rounds: read the log, send what is due, have written down what came of it.
 */
#include "notify/notify_priv.h"

#include <signal.h>
#include <string.h>

#define ROUND_US       TIME_US_PER_SECOND /* something forgotten is found after so long */
#define STOP_US        (2 * TIME_US_PER_SECOND)
#define STOP_SLICE_US  50000
#define LOOK_OLDEST_US 100000

enum { STOP_SLICES_MAX = 100000 };

static void
release(struct notify *notify)
{
    lanes_fini(&notify->lanes);
    post_free(notify->post);
    asking_free(notify->asking);
    book_fini(&notify->book);
    keyring_free(notify->keyring);
    arena_fini(&notify->webhooks_arena);
    arena_fini(&notify->scratch);
    buffer_fini(&notify->body);
    buffer_fini(&notify->headers);
    json_parser_free(notify->parser);
    must(pthread_cond_destroy(&notify->answered) == 0);
    must(pthread_mutex_destroy(&notify->lock) == 0);
    base_free(notify);
}

bool
notify_new(const struct notify_options *options, struct notify **notify_out, struct err *err)
{
    struct notify *notify = base_alloc(1, sizeof *notify);
    notify->options = *options;
    if (notify->options.waiting_max == 0)
        notify->options.waiting_max = NOTIFY_WAITING_MAX;
    lanes_init(&notify->lanes);
    notify->post = post_new();
    notify->asking = asking_new();
    book_init(&notify->book);
    arena_init(&notify->webhooks_arena, 16384, SCRATCH_MAX);
    arena_init(&notify->scratch, 256 * 1024, SCRATCH_MAX);
    buffer_init(&notify->body, PAYLOAD_MAX);
    buffer_init(&notify->headers, 64 * 1024);
    notify->parser = json_parser_new();
    must(pthread_mutex_init(&notify->lock, NULL) == 0);
    must(pthread_cond_init(&notify->answered, NULL) == 0);
    notify->book.cursor_at = monotonic_us(notify);
    if (!follow_load_pending(notify, err)) {
        release(notify);
        return err_prefix(err, "deliveries");
    }
    *notify_out = notify;
    return true;
}

void
notify_free(struct notify *notify)
{
    if (notify == NULL)
        return;
    must(!notify->running);
    notify->options.transport.close(notify->options.transport.self);
    release(notify);
}

/* -- a round ------------------------------------- */

static int64_t
oldest_waiting(const struct lanes *lanes, bool mail)
{
    int64_t oldest = 0;
    for (size_t i = 0; i < lanes->count; i++) {
        const struct job *job = lanes->sorted[i]->oldest;
        if (job != NULL && (lanes->sorted[i]->letters != NULL) == mail &&
            (oldest == 0 || job->record_at < oldest))
            oldest = job->record_at;
    }
    return oldest;
}

static void
show_stats(struct notify *notify)
{
    struct notify_stats *counts = &notify->counts;
    int64_t now = monotonic_us(notify);
    counts->in_flight = notify->flying - notify->letters_flying + counts->in_transactions;
    counts->waiting = notify->lanes.job_count - notify->lanes.letter_count;
    counts->mail_in_flight = notify->letters_flying;
    counts->mail_waiting = notify->lanes.letter_count;
    if (counts->waiting == 0 || now - notify->oldest_looked_at >= LOOK_OLDEST_US) {
        counts->oldest_waiting_at = oldest_waiting(&notify->lanes, false);
        counts->mail_oldest_waiting_at = oldest_waiting(&notify->lanes, true);
        counts->webhooks_failing = health_failing(notify);
        notify->oldest_looked_at = now;
    }
    notify_lock(notify);
    notify->shown = *counts;
    notify_unlock(notify);
}

static void
not_after(int64_t *wait_us, int64_t moment, int64_t now)
{
    int64_t left = moment > now ? moment - now : 0;
    if (left < *wait_us)
        *wait_us = left;
}

/* How long nothing can happen, but for what the transport or another thread brings. */
static int64_t
time_to_wait(const struct notify *notify, int64_t wait_us)
{
    const struct lanes *lanes = &notify->lanes;
    int64_t wall = wall_us(notify), monotonic = monotonic_us(notify);
    if (lanes->waiting.count > 0)
        not_after(&wait_us, lanes->waiting.items[0]->next_at, wall);
    for (const struct lane *lane = lanes->first_active; lane != NULL; lane = lane->next)
        if (lane->paused_until > wall)
            not_after(&wait_us, lane->paused_until, wall);
    not_after(&wait_us, book_due(&notify->book), monotonic);
    if (notify->follow_retry_at > monotonic)
        not_after(&wait_us, notify->follow_retry_at, monotonic);
    if (notify->webhooks_retry_at > monotonic)
        not_after(&wait_us, notify->webhooks_retry_at, monotonic);
    return wait_us;
}

void
notify_round(struct notify *notify, int64_t wait_us)
{
    commands_run(notify);
    asking_run(notify);
    book_write(notify);
    bool more = follow_log(notify);
    told_forget(notify);
    more = send_ready(notify) || more;

    const struct notify_transport *transport = &notify->options.transport;
    int64_t wait = more ? 0 : time_to_wait(notify, wait_us);
    transport->run(transport->self, wait, send_done, notify);
    show_stats(notify);
}

/* -- the thread ------------------------------------- */

static void *
run_rounds(void *self)
{
    struct notify *notify = self;
    while (!atomic_load(&notify->stopping))
        notify_round(notify, ROUND_US);
    return NULL;
}

void
notify_start(struct notify *notify)
{
    must(!notify->running);
    /* Signals are for the main thread; a receiver that hangs up must not send us SIGPIPE. */
    sigset_t all, before;
    sigfillset(&all);
    must(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
    book_start(notify);
    must(pthread_create(&notify->thread, NULL, run_rounds, notify) == 0);
    must(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    notify->running = true;
}

/* What is in flight after its time is abandoned to the schedule: no outcome is written, so it goes
 * out again, under the same id, after the next start. */
void
notify_stop(struct notify *notify)
{
    const struct notify_transport *transport = &notify->options.transport;
    atomic_store(&notify->stopping, true);
    if (notify->running) {
        notify_wake(notify);
        must(pthread_join(notify->thread, NULL) == 0);
        notify->running = false;
    }
    /* Those who were told of it before it was stored are not told again after the next start. */
    follow_log(notify);
    int64_t end = monotonic_us(notify) + STOP_US;
    for (int i = 0; i < STOP_SLICES_MAX && notify->flying > 0 && monotonic_us(notify) < end; i++)
        transport->run(transport->self, STOP_SLICE_US, send_done, notify);
    commands_refuse(notify);
    if (!book_flush(notify))
        diag_warn("%zu outcomes of deliveries are forgotten; these go out again",
                  notify->book.closed_outcomes + notify->book.open->outcome_count);
    book_stop(&notify->book);
    show_stats(notify);
}

void
notify_wake(struct notify *notify)
{
    notify->options.transport.wake(notify->options.transport.self);
}

void
notify_stats(struct notify *notify, struct notify_stats *stats_out)
{
    notify_lock(notify);
    *stats_out = notify->shown;
    notify_unlock(notify);
}
