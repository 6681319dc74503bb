/* A worker: one thread, one libh2o loop, its connections and its mailbox. */
#include "api/api_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define ROUND_MS       500           /* the longest a loop sleeps */
#define WATCH_US       (250 * 1000)  /* how often unread bodies are summed up */
#define STOP_LINGER_US (150 * 1000)  /* idle connections may still send a request */
#define STOP_US        (4500 * 1000) /* after this, connections are cut */
#define ACCEPT_BURST   16

struct connection {
    h2o_socket_t *sock;
    struct worker *worker;
    struct connection *next, **link;
};

static void on_accept(h2o_socket_t *listener, const char *error);

static void
start_accepting(struct worker *worker)
{
    if (worker->accepting || worker->stopping || worker->connection_count >= API_CONNECTIONS_MAX)
        return;
    worker->accepting = true;
    h2o_socket_read_start(worker->listener, on_accept);
}

static void
stop_accepting(struct worker *worker)
{
    if (!worker->accepting)
        return;
    worker->accepting = false;
    h2o_socket_read_stop(worker->listener);
}

static void
on_connection_close(void *self)
{
    struct connection *connection = self;
    struct worker *worker = connection->worker;
    *connection->link = connection->next;
    if (connection->next != NULL)
        connection->next->link = connection->link;
    base_free(connection);
    worker->connection_count--;
    atomic_store_explicit(&worker->open_connections, worker->connection_count,
                          memory_order_relaxed);
    start_accepting(worker);
}

static void
follow(struct worker *worker, h2o_socket_t *sock)
{
    struct connection *connection = base_alloc(1, sizeof *connection);
    *connection = (struct connection){
        .sock = sock, .worker = worker, .next = worker->connections, .link = &worker->connections};
    if (worker->connections != NULL)
        worker->connections->link = &connection->next;
    worker->connections = connection;
    worker->connection_count++;
    atomic_store_explicit(&worker->open_connections, worker->connection_count,
                          memory_order_relaxed);
    sock->on_close.cb = on_connection_close;
    sock->on_close.data = connection;
}

/* Whoever connects after a reload gets the new certificate. */
static void
refresh_tls(struct worker *worker)
{
    struct api *api = worker->api;
    if (atomic_load(&api->tls_generation) == worker->tls_generation)
        return;
    pthread_mutex_lock(&api->tls_lock);
    SSL_CTX_up_ref(api->tls);
    SSL_CTX_free(worker->accept.ssl_ctx);
    worker->accept.ssl_ctx = api->tls;
    worker->tls_generation = atomic_load(&api->tls_generation);
    pthread_mutex_unlock(&api->tls_lock);
}

static void
on_accept(h2o_socket_t *listener, const char *error)
{
    struct worker *worker = listener->data;
    if (error != NULL)
        return;
    refresh_tls(worker);
    for (size_t i = 0; i < ACCEPT_BURST && worker->accepting; i++) {
        h2o_socket_t *sock = h2o_evloop_socket_accept(listener);
        if (sock == NULL)
            return;
        follow(worker, sock);
        if (worker->connection_count >= API_CONNECTIONS_MAX)
            stop_accepting(worker);
        h2o_accept(&worker->accept, sock);
    }
}

/* -- the mailbox ------------------------------------------------------------- */

static void
wake(struct worker *worker)
{
    h2o_multithread_message_t *message = h2o_mem_alloc(sizeof *message);
    *message = (h2o_multithread_message_t){{NULL, NULL}};
    h2o_multithread_send_message(&worker->mailbox, message);
}

void
worker_return(struct call *first, struct call *last)
{
    struct worker *worker = first->worker;
    last->next = NULL;
    /* Woken under the lock: the worker cannot take what is its last call before that. */
    pthread_mutex_lock(&worker->inbox_lock);
    bool was_empty = worker->inbox == NULL;
    *worker->inbox_end = first;
    worker->inbox_end = &last->next;
    if (was_empty)
        wake(worker);
    pthread_mutex_unlock(&worker->inbox_lock);
}

void
worker_end(struct worker *worker)
{
    pthread_mutex_lock(&worker->inbox_lock);
    worker->told_to_end = true;
    wake(worker);
    pthread_mutex_unlock(&worker->inbox_lock);
}

static void
take_inbox(struct worker *worker)
{
    pthread_mutex_lock(&worker->inbox_lock);
    worker->ending = worker->told_to_end;
    struct call *call = worker->inbox;
    worker->inbox = NULL;
    worker->inbox_end = &worker->inbox;
    pthread_mutex_unlock(&worker->inbox_lock);
    while (call != NULL) {
        struct call *next = call->next;
        call->lent = false;
        worker->calls_lent--;
        if (call->status == 0)
            ingest_finished(call);
        else
            call_send(call);
        call = next;
    }
}

static void
on_mail(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages)
{
    while (!h2o_linklist_is_empty(messages)) {
        h2o_linklist_t *link = messages->next;
        /* The analyser does not see that this moves the list on.
         * NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
        h2o_linklist_unlink(link);
        free(H2O_STRUCT_FROM_MEMBER(h2o_multithread_message_t, link, link)); /* the library's */
    }
    take_inbox(H2O_STRUCT_FROM_MEMBER(struct worker, mailbox, receiver));
}

/* What finished comes from the engine linked by submissions; a call begins with its own. */
static void
on_submissions_done(void *self, struct submission *finished)
{
    (void)self;
    struct call *first = NULL, *last = NULL;
    for (struct submission *next; finished != NULL; finished = next) {
        next = finished->next;
        struct call *call = finished->sender;
        if (transaction_hand_on(call))
            continue;
        if (first == NULL)
            first = call;
        else
            last->next = call;
        last = call;
    }
    if (first != NULL)
        worker_return(first, last);
}

struct lent {
    struct call *call;
    void (*run)(struct call *call);
};

static void
run_on_pool(void *self)
{
    struct lent *lent = self;
    struct call *call = lent->call;
    lent->run(call);
    if (call->status != 0 || !ingest_submit(call))
        worker_return(call, call);
}

void
worker_lend_to_pool(struct call *call, void (*run)(struct call *call))
{
    struct lent *lent = arena_new(&call->submission.arena, struct lent);
    must(lent != NULL);
    *lent = (struct lent){call, run};
    call->lent = true;
    call->worker->calls_lent++;
    if (pool_run(call->api->pool, run_on_pool, lent))
        return;
    call->lent = false;
    call->worker->calls_lent--;
    atomic_fetch_add(&call->worker->refused, 1);
    call->retry_after_s = 1;
    call_fail(call, 503, "overloaded", "Too many requests are waiting; try again in a second.");
    call_send(call);
}

/* -- the loop ------------------------------------------------------------------ */

/* libh2o reads a body before a handler can refuse it, so what is unread is bounded here: the
 * largest goes, and nobody else is let in meanwhile. */
static void
bound_unread(struct worker *worker)
{
    size_t total = 0, most = 0;
    struct connection *largest = NULL;
    for (struct connection *c = worker->connections; c != NULL; c = c->next) {
        size_t unread = c->sock->input != NULL ? c->sock->input->size : 0;
        total += unread;
        if (unread > most) {
            most = unread;
            largest = c;
        }
    }
    if (total > API_UNREAD_MAX && largest != NULL) {
        stop_accepting(worker);
        shutdown(h2o_socket_get_fd(largest->sock), SHUT_RDWR);
    } else {
        start_accepting(worker);
    }
}

struct access *
worker_access(struct worker *worker)
{
    struct api *api = worker->api;
    if (atomic_load(&api->access_generation) != worker->access->generation) {
        access_release(worker->access);
        worker->access = access_take(api);
    }
    return worker->access;
}

static void
cut_connections(struct worker *worker)
{
    for (struct connection *c = worker->connections; c != NULL; c = c->next)
        shutdown(h2o_socket_get_fd(c->sock), SHUT_RDWR);
}

/* Whatever was accepted is answered, then connections are closed; the others had time to send. */
static void
run_down(struct worker *worker)
{
    struct clock clock = worker->api->options.clock;
    int64_t began = clock.monotonic_us(clock.self);
    bool cut = false;
    stop_accepting(worker);
    worker->stopping = true;
    h2o_context_request_shutdown(&worker->ctx);
    while (worker->calls_lent > 0 || worker->connection_count > 0) {
        int64_t past = clock.monotonic_us(clock.self) - began;
        if (!cut && ((worker->calls_lent == 0 && past >= STOP_LINGER_US) || past >= STOP_US)) {
            cut_connections(worker);
            cut = true;
        }
        /* Connections that a peer neither reads nor closes go with the process. */
        if (past >= STOP_US && worker->calls_lent == 0)
            return;
        h2o_evloop_run(worker->ctx.loop, 10);
    }
}

/* libh2o keeps the memory of a socket's input per thread, and a socket takes from the thread that
 * made it: so a worker's own thread makes its loop, and takes it apart. */
static void
open_loop(struct worker *worker)
{
    struct api *api = worker->api;
    h2o_context_init(&worker->ctx, h2o_evloop_create(), &api->config);
    h2o_multithread_register_receiver(worker->ctx.queue, &worker->mailbox, on_mail);
    if (api->tls != NULL)
        SSL_CTX_up_ref(api->tls);
    worker->accept =
        (h2o_accept_ctx_t){.ctx = &worker->ctx, .hosts = api->config.hosts, .ssl_ctx = api->tls};
    int fd = fcntl(api->listen_fd, F_DUPFD_CLOEXEC, 3); /* each loop closes its own */
    must(fd >= 0);
    worker->listener = h2o_evloop_socket_create(worker->ctx.loop, fd, H2O_SOCKET_FLAG_DONT_READ);
    worker->listener->data = worker;
}

/* Nothing is lent any more, and whoever told it to end did so under the inbox's lock: what is to
 * come has been sent. */
static void
empty_mailbox(struct worker *worker)
{
    while (!h2o_linklist_is_empty(&worker->mailbox._messages))
        h2o_evloop_run(worker->ctx.loop, 0);
}

static void
close_loop(struct worker *worker)
{
    empty_mailbox(worker);
    h2o_socket_close(worker->listener);
    if (worker->accept.ssl_ctx != NULL)
        SSL_CTX_free(worker->accept.ssl_ctx);
    /* libh2o of this version can not take a context with live connections apart; what is left of
     * it ends with the process. */
    if (worker->connection_count > 0)
        return;
    h2o_loop_t *loop = worker->ctx.loop;
    h2o_multithread_unregister_receiver(worker->ctx.queue, &worker->mailbox);
    /* The request to shut down leaves HTTP/2's timer running, and dispose would stop at it. */
    h2o_timeout_unlink(&worker->ctx.http2._graceful_shutdown_timeout);
    h2o_context_dispose(&worker->ctx);
    h2o_evloop_destroy(loop);
}

static void *
run_worker(void *self)
{
    struct worker *worker = self;
    struct api *api = worker->api;
    struct clock clock = api->options.clock;
    int64_t watched_at = 0;
    open_loop(worker);
    must(sem_post(&worker->opened) == 0);
    start_accepting(worker);
    while (!worker->ending) {
        h2o_evloop_run(worker->ctx.loop, ROUND_MS);
        enrich_refresh(worker->tools.enrich);
        int64_t now = clock.monotonic_us(clock.self);
        if (now - watched_at >= WATCH_US) {
            watched_at = now;
            bound_unread(worker);
        }
    }
    run_down(worker);
    close_loop(worker);
    return NULL;
}

void
worker_start(struct api *api, struct worker *worker, size_t number)
{
    *worker = (struct worker){.api = api, .number = number};
    pthread_mutex_init(&worker->inbox_lock, NULL);
    must(sem_init(&worker->opened, 0, 0) == 0);
    worker->inbox_end = &worker->inbox;
    api->options.random.fill(api->options.random.self, &worker->request_seed,
                             sizeof worker->request_seed);
    tools_init(api, &worker->tools);
    worker->access = access_take(api);
    worker->sink = (struct engine_sink){worker, on_submissions_done};
    must(pthread_create(&worker->thread, NULL, run_worker, worker) == 0);
    while (sem_wait(&worker->opened) != 0)
        must(errno == EINTR);
}

void
worker_join(struct worker *worker)
{
    pthread_join(worker->thread, NULL);
}

void
worker_fini(struct worker *worker)
{
    while (worker->free_calls != NULL) {
        struct call *call = worker->free_calls;
        worker->free_calls = call->next;
        call_free(call);
    }
    tools_fini(&worker->tools);
    access_release(worker->access);
    must(sem_destroy(&worker->opened) == 0);
    pthread_mutex_destroy(&worker->inbox_lock);
}
