/* h2o_constant - what libh2o can do when nothing is done: every request gets the same answer.
 *
 *     build/release/bench/h2o_constant [--threads N] [--size BYTES]
 *
 * The ceiling that the server is held against, so it stands as the server does: one loop a thread,
 * one listening socket for all. Prints the port it listens on. */
#include "base/base.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <h2o.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ACCEPT_BURST = 16, SIZE_MOST = 1 << 20 };

struct constant {
    h2o_globalconf_t config;
    h2o_iovec_t body;
    int listen_fd;
};

struct loop {
    struct constant *constant;
    h2o_context_t ctx;
    h2o_accept_ctx_t accept;
    pthread_t thread;
};

struct handler {
    h2o_handler_t super;
    struct constant *constant;
};

static int
on_request(h2o_handler_t *self, h2o_req_t *req)
{
    static h2o_generator_t generator = {NULL, NULL};
    struct handler *handler = (struct handler *)self;
    req->res.status = 201;
    req->res.reason = "Created";
    req->res.content_length = handler->constant->body.len;
    h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL,
                   H2O_STRLIT("application/json"));
    h2o_start_response(req, &generator);
    h2o_send(req, &handler->constant->body, 1, H2O_SEND_STATE_FINAL);
    return 0;
}

static void
on_accept(h2o_socket_t *listener, const char *error)
{
    struct loop *loop = listener->data;
    if (error != NULL)
        return;
    for (unsigned i = 0; i < ACCEPT_BURST; i++) {
        h2o_socket_t *sock = h2o_evloop_socket_accept(listener);
        if (sock == NULL)
            return;
        h2o_accept(&loop->accept, sock);
    }
}

static void *
run(void *self)
{
    struct loop *loop = self;
    h2o_context_init(&loop->ctx, h2o_evloop_create(), &loop->constant->config);
    loop->accept = (h2o_accept_ctx_t){.ctx = &loop->ctx, .hosts = loop->constant->config.hosts};
    int fd = fcntl(loop->constant->listen_fd, F_DUPFD_CLOEXEC, 3);
    h2o_socket_t *listener =
        h2o_evloop_socket_create(loop->ctx.loop, fd, H2O_SOCKET_FLAG_DONT_READ);
    listener->data = loop;
    h2o_socket_read_start(listener, on_accept);
    for (;;)
        h2o_evloop_run(loop->ctx.loop, INT32_MAX);
    return NULL;
}

static int
open_listener(unsigned *port_out)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    must(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 1024) == 0);
    must(getsockname(fd, (struct sockaddr *)&at, &len) == 0);
    *port_out = ntohs(at.sin_port);
    return fd;
}

int
main(int argc, char **argv)
{
    static struct constant constant;
    size_t threads = 1, size = 600;
    unsigned port;
    for (int i = 1; i + 1 < argc; i += 2) {
        size_t *option = strcmp(argv[i], "--threads") == 0 ? &threads : &size;
        *option = strtoul(argv[i + 1], NULL, 10);
    }
    must(threads > 0 && threads <= 64 && size > 0 && size <= SIZE_MOST);
    constant.body = h2o_iovec_init(base_alloc(size, 1), size);
    memset(constant.body.base, 'x', size);
    constant.listen_fd = open_listener(&port);
    h2o_config_init(&constant.config);
    constant.config.server_name = (h2o_iovec_t){NULL, 0};
    h2o_hostconf_t *host =
        h2o_config_register_host(&constant.config, h2o_iovec_init(H2O_STRLIT("default")), 65535);
    h2o_pathconf_t *path = h2o_config_register_path(host, "/", 0);
    struct handler *handler = (struct handler *)h2o_create_handler(path, sizeof *handler);
    handler->super.on_req = on_request;
    handler->constant = &constant;

    struct loop *loops = base_alloc(threads, sizeof *loops);
    for (size_t i = 0; i < threads; i++)
        loops[i].constant = &constant;
    printf("listening on http://127.0.0.1:%u\n", port);
    fflush(stdout);
    for (size_t i = 1; i < threads; i++)
        must(pthread_create(&loops[i].thread, NULL, run, &loops[i]) == 0);
    run(&loops[0]);
    return 0;
}
