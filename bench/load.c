/* load - sends requests to a server and times them: one thread, one request at a time per
 * connection.
 *
 *     build/release/bench/load --to PORT [--key KEY] [--count N] [--connections N] [--batch N]
 *                              [--distinct] [--actors N] [--seed N] [--rate N] [--ring N] [--get
 * PATH] build/release/bench/load --print N [--actors N] [--distinct]
 *
 * --batch 0 posts single events; --rate keeps to so many requests a second, and then a request's
 * time begins when it was due, whether or not it could be sent; --ring makes one event in N carry
 * the monotonic time in its name; --get asks for PATH, whose `*` is an actor's number. --print
 * writes events as lines instead. The outcome is one line of JSON. */
#include "base/system.h"
#include "traffic.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 4096, HEAD_MAX = 4096, READ_BYTES = 256 << 10, BATCH_MAX = 1000 };

struct options {
    uint64_t port, count, connections, batch, actors, seed, rate, ring, print;
    bool distinct;
    const char *key, *get;
};

struct connection {
    int fd;
    char *request;
    size_t request_len, sent;
    char head[HEAD_MAX];
    size_t head_len, body_left;
    bool waiting, in_body, failed;
    int64_t began_us;
    unsigned events;
};

struct load {
    struct options options;
    struct traffic traffic;
    struct connection *connections;
    char *scratch; /* a body, and what is read and not looked at */
    int epoll;
    uint64_t begun, done, failed, events, body_bytes;
    uint32_t *took_us;
    int64_t started_us, tenth_us[11];
    char first_failure[256];
};

static int64_t
now_us(void)
{
    struct clock clock = clock_system();
    return clock.monotonic_us(clock.self);
}

static void
give_up(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* -- requests ------------------------------------------------------------------------ */

static size_t
write_batch(struct load *load, char *to)
{
    char *at = to;
    memcpy(at, "{\"events\":[", 11);
    at += 11;
    for (uint64_t i = 0; i < load->options.batch; i++) {
        at += traffic_event(&load->traffic, at);
        *at++ = ',';
    }
    at[-1] = ']';
    *at++ = '}';
    return (size_t)(at - to);
}

static size_t
write_get(struct load *load, char *to)
{
    uint64_t number = load->traffic.number++;
    uint64_t actor = hash64(load->traffic.seed, &number, sizeof number) % load->traffic.actors;
    const char *path = load->options.get, *star = strchr(path, '*');
    int before = star == NULL ? (int)strlen(path) : (int)(star - path);
    char digits[12] = "";
    if (star != NULL)
        snprintf(digits, sizeof digits, "%07u", (unsigned)actor % 10000000);
    return (size_t)snprintf(to, HEAD_MAX,
                            "GET %.*s%s%s HTTP/1.1\r\nHost: localhost\r\n"
                            "Authorization: Bearer %s\r\n\r\n",
                            before, path, digits, star == NULL ? "" : star + 1, load->options.key);
}

static void
write_request(struct load *load, struct connection *connection)
{
    const struct options *options = &load->options;
    if (options->get != NULL) {
        connection->request_len = write_get(load, connection->request);
        return;
    }
    int64_t wall = clock_system().wall_us(NULL);
    load->traffic.occurred_at = wall;
    size_t len = options->batch > 0 ? write_batch(load, load->scratch)
                                    : traffic_event(&load->traffic, load->scratch);
    int head = snprintf(connection->request, HEAD_MAX,
                        "POST /api/v1/events%s HTTP/1.1\r\nHost: localhost\r\n"
                        "Authorization: Bearer %s\r\nContent-Type: application/json\r\n"
                        "Content-Length: %zu\r\n\r\n",
                        options->batch > 0 ? "/batch" : "", options->key, len);
    memcpy(connection->request + head, load->scratch, len);
    connection->request_len = (size_t)head + len;
    connection->events = options->batch > 0 ? (unsigned)options->batch : 1;
}

/* -- a connection ------------------------------------------------------------------------ */

static void
watch(struct load *load, struct connection *connection, int how, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = connection};
    if (epoll_ctl(load->epoll, how, connection->fd, &event) != 0)
        give_up("epoll");
}

static void
open_connection(struct load *load, struct connection *connection)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)load->options.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection->fd < 0 || connect(connection->fd, (struct sockaddr *)&to, sizeof to) != 0)
        give_up("connecting");
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    connection->request = base_alloc(HEAD_MAX + (load->options.batch + 1) * TRAFFIC_EVENT_MAX, 1);
    watch(load, connection, EPOLL_CTL_ADD, EPOLLIN);
}

static void
send_more(struct load *load, struct connection *connection)
{
    while (connection->sent < connection->request_len) {
        ssize_t n = send(connection->fd, connection->request + connection->sent,
                         connection->request_len - connection->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            watch(load, connection, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
            return;
        }
        if (n < 0)
            give_up("sending");
        connection->sent += (size_t)n;
    }
}

static int64_t
due_us(const struct load *load)
{
    return load->started_us + (int64_t)(load->begun * 1000000 / load->options.rate);
}

/* The next request of this connection, unless all are sent or it is not due yet. */
static void
begin(struct load *load, struct connection *connection)
{
    const struct options *options = &load->options;
    if (load->begun == options->count)
        return;
    int64_t now = now_us(), due = now;
    if (options->rate > 0) {
        due = due_us(load);
        if (due > now)
            return;
    }
    load->begun++;
    write_request(load, connection);
    connection->sent = connection->head_len = 0;
    connection->in_body = false;
    connection->waiting = true;
    connection->began_us = due;
    send_more(load, connection);
}

static void
end(struct load *load, struct connection *connection)
{
    int64_t now = now_us(), took = now - connection->began_us;
    load->took_us[load->done++] = took > UINT32_MAX ? UINT32_MAX : (uint32_t)took;
    load->events += connection->failed ? 0 : connection->events;
    load->failed += connection->failed;
    if (load->done * 10 % load->options.count < 10)
        load->tenth_us[load->done * 10 / load->options.count] = now;
    connection->waiting = false;
    begin(load, connection);
}

/* -- answers ------------------------------------------------------------------------------ */

static size_t
content_length(const char *head)
{
    const char *line = strcasestr(head, "\r\ncontent-length:");
    return line == NULL ? 0 : strtoul(line + 17, NULL, 10);
}

/* Takes what was read into the head; returns how much of it belonged there. */
static size_t
take_head(struct load *load, struct connection *connection, const char *bytes, size_t len)
{
    size_t room = HEAD_MAX - 1 - connection->head_len, before = connection->head_len;
    size_t taken = len < room ? len : room;
    memcpy(connection->head + before, bytes, taken);
    connection->head[before + taken] = '\0';
    connection->head_len += taken;
    const char *end_of_head = strstr(connection->head, "\r\n\r\n");
    if (end_of_head == NULL) {
        must(taken == len);
        return len;
    }
    connection->in_body = true;
    connection->body_left = content_length(connection->head);
    connection->failed = connection->head_len < 10 || connection->head[9] != '2';
    load->body_bytes += connection->body_left;
    if (connection->failed && load->first_failure[0] == '\0')
        snprintf(load->first_failure, sizeof load->first_failure, "%.255s", connection->head);
    return (size_t)(end_of_head + 4 - connection->head) - before;
}

static void
receive(struct load *load, struct connection *connection)
{
    ssize_t n = recv(connection->fd, load->scratch, READ_BYTES, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n == 0)
        errno = ECONNRESET;
    if (n <= 0)
        give_up("receiving");
    size_t len = (size_t)n, at = 0;
    if (!connection->in_body)
        at = take_head(load, connection, load->scratch, len);
    if (!connection->in_body)
        return;
    must(len - at <= connection->body_left);
    connection->body_left -= len - at;
    if (connection->body_left == 0)
        end(load, connection);
}

/* -- the run ---------------------------------------------------------------------------------- */

/* Until an answer comes or a request is due: at its microsecond, because what is late counts. */
static int
wait_for(struct load *load, struct epoll_event *events, int max)
{
    const struct options *options = &load->options;
    bool can_begin =
        load->begun < options->count && load->begun - load->done < options->connections;
    if (options->rate == 0 || !can_begin)
        return epoll_wait(load->epoll, events, max, -1);
    int64_t left = due_us(load) - now_us();
    if (left < 0)
        left = 0;
    struct timespec until = {.tv_sec = left / 1000000, .tv_nsec = left % 1000000 * 1000};
    return epoll_pwait2(load->epoll, events, max, &until, NULL);
}

static void
serve(struct load *load)
{
    struct epoll_event events[256];
    bool paced = load->options.rate > 0;
    while (load->done < load->options.count) {
        int count = wait_for(load, events, COUNT_OF(events));
        if (count < 0 && errno != EINTR)
            give_up("epoll");
        for (int i = 0; i < count; i++) {
            struct connection *connection = events[i].data.ptr;
            if ((events[i].events & EPOLLOUT) != 0) {
                watch(load, connection, EPOLL_CTL_MOD, EPOLLIN);
                send_more(load, connection);
            }
            if ((events[i].events & ~(uint32_t)EPOLLOUT) != 0)
                receive(load, connection);
        }
        for (size_t i = 0; paced && i < load->options.connections; i++)
            if (!load->connections[i].waiting)
                begin(load, &load->connections[i]);
    }
}

static int
compare(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void
report(struct load *load)
{
    double seconds = (double)(now_us() - load->started_us) / 1e6;
    double first = (double)(load->tenth_us[1] - load->started_us);
    double last = (double)(load->tenth_us[10] - load->tenth_us[9]);
    uint64_t done = load->done;
    qsort(load->took_us, done, sizeof *load->took_us, compare);
    printf("{\"requests\":%llu,\"events\":%llu,\"failed\":%llu,\"seconds\":%.3f,"
           "\"requests_per_s\":%.0f,\"events_per_s\":%.0f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,"
           "\"max_ms\":%.3f,\"body_bytes\":%llu,\"last_to_first_tenth\":%.3f}\n",
           (unsigned long long)done, (unsigned long long)load->events,
           (unsigned long long)load->failed, seconds, (double)done / seconds,
           (double)load->events / seconds, load->took_us[done / 2] / 1e3,
           load->took_us[done * 99 / 100] / 1e3, load->took_us[done - 1] / 1e3,
           (unsigned long long)(load->body_bytes / done), last > 0 ? first / last : 0);
    if (load->failed > 0)
        fprintf(stderr, "load: %llu failed; the first answer of them:\n%s\n",
                (unsigned long long)load->failed, load->first_failure);
}

static void
print_events(struct load *load)
{
    enum { APART_US = 20000 };
    char event[TRAFFIC_EVENT_MAX + 1];
    uint64_t count = load->options.print;
    int64_t at = clock_system().wall_us(NULL) - (int64_t)count * APART_US;
    for (uint64_t i = 0; i < count; i++) {
        load->traffic.occurred_at = at += APART_US;
        size_t len = traffic_event(&load->traffic, event);
        event[len++] = '\n';
        fwrite(event, 1, len, stdout);
    }
}

static bool
read_options(int argc, char **argv, struct options *options)
{
    const struct {
        const char *name;
        uint64_t *number;
    } numbers[] = {
        {"--to", &options->port},       {"--count", &options->count},
        {"--batch", &options->batch},   {"--connections", &options->connections},
        {"--actors", &options->actors}, {"--seed", &options->seed},
        {"--rate", &options->rate},     {"--ring", &options->ring},
        {"--print", &options->print},
    };
    for (int i = 1; i < argc; i++) {
        size_t row = 0;
        if (strcmp(argv[i], "--distinct") == 0) {
            options->distinct = true;
            continue;
        }
        if (i + 1 == argc)
            return false;
        while (row < COUNT_OF(numbers) && strcmp(argv[i], numbers[row].name) != 0)
            row++;
        if (row < COUNT_OF(numbers))
            *numbers[row].number = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--key") == 0)
            options->key = argv[i + 1];
        else if (strcmp(argv[i], "--get") == 0)
            options->get = argv[i + 1];
        else
            return false;
        i++;
    }
    return options->count > 0 && options->actors > 0 && options->batch <= BATCH_MAX &&
           options->connections > 0 && options->connections <= CONNECTIONS_MAX;
}

int
main(int argc, char **argv)
{
    struct load load = {.options = {.count = 100000,
                                    .connections = 64,
                                    .actors = TRAFFIC_ACTORS,
                                    .seed = 1,
                                    .key = "none"}};
    struct options *options = &load.options;
    if (!read_options(argc, argv, options))
        return fprintf(stderr, "load: wrong usage; see bench/load.c\n"), 2;
    load.traffic = (struct traffic){.seed = options->seed,
                                    .actors = options->actors,
                                    .distinct = options->distinct,
                                    .ring = options->ring,
                                    .now = now_us};
    if (options->print > 0)
        return print_events(&load), 0;
    load.epoll = epoll_create1(EPOLL_CLOEXEC);
    load.scratch = base_alloc(READ_BYTES + (options->batch + 1) * TRAFFIC_EVENT_MAX, 1);
    load.took_us = base_alloc(options->count, sizeof *load.took_us);
    load.connections = base_alloc(options->connections, sizeof *load.connections);
    for (size_t i = 0; i < options->connections; i++)
        open_connection(&load, &load.connections[i]);
    load.started_us = now_us();
    for (size_t i = 0; i < options->connections; i++)
        begin(&load, &load.connections[i]);
    serve(&load);
    report(&load);
    return load.failed > 0;
}
