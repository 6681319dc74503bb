/* The server: one listening socket shared by all workers, TLS, start and orderly stop. */
#include "api/api_priv.h"
#include "model/limits.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LISTEN_BACKLOG 4096
#define POOL_THREADS   4
#define POOL_JOBS_MAX  1024

/* "127.0.0.1:7410" or "[::1]:7410". */
static bool
parse_listen(const char *text, struct sockaddr_storage *to, socklen_t *len_out, struct err *err)
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL)
        return err_set(err, ERR_INPUT, "--listen %s: wants ADDRESS:PORT", text);
    struct str host = {text, (size_t)(colon - text)};
    if (host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
        host = (struct str){host.ptr + 1, host.len - 2};
    int64_t port = 0;
    struct address address;
    if (!str_to_int(str_from(colon + 1), &port) || port < 0 || port > 65535)
        return err_set(err, ERR_INPUT, "--listen %s: the port is a number from 0 to 65535", text);
    if (!address_parse(host, &address))
        return err_set(err, ERR_INPUT, "--listen %s: wants an IP address before the port", text);
    memset(to, 0, sizeof *to);
    if (address.is_v4) {
        struct sockaddr_in *in = (struct sockaddr_in *)to;
        in->sin_family = AF_INET;
        in->sin_port = htons((uint16_t)port);
        memcpy(&in->sin_addr, address.bytes + 12, 4);
        *len_out = sizeof *in;
    } else {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)to;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons((uint16_t)port);
        memcpy(&in6->sin6_addr, address.bytes, 16);
        *len_out = sizeof *in6;
    }
    return true;
}

static void
write_url(struct api *api, const struct sockaddr_storage *at)
{
    char host[INET6_ADDRSTRLEN];
    const char *scheme = api->tls != NULL ? "https" : "http";
    if (at->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)at;
        inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
        snprintf(api->url, sizeof api->url, "%s://%s:%u", scheme, host, ntohs(in->sin_port));
    } else {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)at;
        inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
        snprintf(api->url, sizeof api->url, "%s://[%s]:%u", scheme, host, ntohs(in6->sin6_port));
    }
}

/* One socket for all workers, without SO_REUSEPORT, so that a second server on the port fails. */
static bool
open_listener(struct api *api, struct err *err)
{
    struct sockaddr_storage at = {.ss_family = AF_UNSPEC};
    socklen_t len = 0;
    const char *listen_at = api->options.listen;
    if (!parse_listen(listen_at, &at, &len, err))
        return false;
    int fd = socket(at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_set(err, ERR_IO, "listen on %s: %m", listen_at);
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (const struct sockaddr *)&at, len) != 0 || listen(fd, LISTEN_BACKLOG) != 0) {
        err_set(err, ERR_IO, "listen on %s: %m", listen_at);
        close(fd);
        return false;
    }
    struct sockaddr_storage bound;
    memset(&bound, 0, sizeof bound);
    len = sizeof bound;
    must(getsockname(fd, (struct sockaddr *)&bound, &len) == 0);
    write_url(api, &bound);
    api->listen_fd = fd;
    return true;
}

static int
choose_h2(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
          unsigned in_len, void *self)
{
    static const unsigned char ours[] = "\x02h2\x08http/1.1";
    (void)ssl, (void)self;
    unsigned char *chosen = NULL;
    int found = SSL_select_next_proto(&chosen, out_len, ours, sizeof ours - 1, in, in_len);
    *out = chosen;
    return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

bool
tls_load(const char *cert, const char *key, bool http2, SSL_CTX **tls_out, struct err *err)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    must(tls != NULL);
    SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION);
    SSL_CTX_set_options(tls, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    /* Sessions are not resumed: a ticket key kept for a process's lifetime would undo forward
     * secrecy, and reloads would have to carry it over. */
    SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(tls, SSL_OP_NO_TICKET);
    const char *what = NULL;
    if (SSL_CTX_use_certificate_chain_file(tls, cert) != 1)
        what = cert;
    else if (SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1)
        what = key;
    else if (SSL_CTX_check_private_key(tls) != 1)
        what = key;
    if (what != NULL) {
        char reason[120];
        ERR_error_string_n(ERR_get_error(), reason, sizeof reason);
        ERR_clear_error();
        SSL_CTX_free(tls);
        return err_set(err, ERR_INPUT, "tls: %s: %s", what, reason);
    }
    if (http2)
        SSL_CTX_set_alpn_select_cb(tls, choose_h2, NULL);
    *tls_out = tls;
    return true;
}

static void
configure(struct api *api)
{
    int64_t timeout_ms = api->options.request_timeout_ms;
    h2o_config_init(&api->config);
    api->config.server_name = (h2o_iovec_t){NULL, 0}; /* no Server header */
    api->config.http1.req_timeout = (uint64_t)timeout_ms;
    api->config.http2.idle_timeout = (uint64_t)timeout_ms;
    api->config.http2.graceful_shutdown_timeout = 1000;
    api->config.http2.max_concurrent_requests_per_connection = 100;
    api->config.http1.upgrade_to_http2 = 0;
    api->config.handshake_timeout = (uint64_t)timeout_ms;
    /* The library cuts the connection where it refuses a body, and many clients then never see
     * why. So it takes somewhat more than any route does, and the route refuses in words. */
    api->config.max_request_entity_size = 2 * (size_t)LIMIT_BODY_BATCH;
    api->host =
        h2o_config_register_host(&api->config, h2o_iovec_init(H2O_STRLIT("default")), 65535);
    h2o_pathconf_t *path = h2o_config_register_path(api->host, "/", 0);
    h2o_handler_t *handler = h2o_create_handler(path, sizeof *handler);
    handler->on_req = worker_on_request;
    fallback_register(api->host);
}

static size_t
core_count(void)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores < 1 ? 1 : (size_t)cores;
}

static void
free_api(struct api *api)
{
    while (api->tools_count > 0) {
        tools_fini(&api->tools[--api->tools_count]);
    }
    transaction_free_gauges(api);
    while (api->rates != NULL) {
        struct rate *next = api->rates->next;
        base_free(api->rates);
        api->rates = next;
    }
    if (api->access != NULL)
        access_release(api->access);
    if (api->tls != NULL)
        SSL_CTX_free(api->tls);
    if (api->listen_fd >= 0)
        close(api->listen_fd);
    pthread_mutex_destroy(&api->tls_lock);
    pthread_mutex_destroy(&api->access_lock);
    pthread_mutex_destroy(&api->tools_lock);
    base_free(api->workers);
    base_free(api);
}

bool
api_start(const struct api_options *options, struct api **api_out, struct err *err)
{
    struct api *api = base_alloc(1, sizeof *api);
    api->options = *options;
    if (api->options.request_timeout_ms == 0)
        api->options.request_timeout_ms = 60000;
    api->listen_fd = -1;
    api->started_at_us = options->clock.wall_us(options->clock.self);
    pthread_mutex_init(&api->tls_lock, NULL);
    pthread_mutex_init(&api->access_lock, NULL);
    pthread_mutex_init(&api->tools_lock, NULL);

    if ((options->tls_cert == NULL) != (options->tls_key == NULL)) {
        err_set(err, ERR_INPUT, "--tls-cert and --tls-key go together");
        goto refuse;
    }
    if (options->tls_cert != NULL &&
        !tls_load(options->tls_cert, options->tls_key, options->http2, &api->tls, err))
        goto refuse;
    if (!access_refresh(api, err) || !open_listener(api, err))
        goto refuse;

    configure(api);
    api->pool = pool_new(POOL_THREADS, POOL_JOBS_MAX);
    api->worker_count = options->workers > 0 ? options->workers : core_count();
    api->workers = base_alloc(api->worker_count, sizeof *api->workers);
    for (size_t i = 0; i < api->worker_count; i++)
        worker_start(api, &api->workers[i], i);
    *api_out = api;
    return true;

refuse:
    free_api(api);
    return false;
}

const char *
api_url(const struct api *api)
{
    return api->url;
}

/* libh2o keeps the bare pointer of a context from the moment a connection is accepted until its
 * first bytes come, so a context outlives its use by as long as a handshake may take. */
struct retired {
    SSL_CTX *tls;
    int64_t since_us; /* monotonic */
    struct retired *next;
};

static void
free_retired(struct api *api, int64_t before_us)
{
    for (struct retired **at = &api->retired; *at != NULL;) {
        struct retired *retired = *at;
        if (retired->since_us >= before_us) {
            at = &retired->next;
            continue;
        }
        *at = retired->next;
        SSL_CTX_free(retired->tls);
        base_free(retired);
    }
}

static void
retire(struct api *api, SSL_CTX *tls)
{
    struct clock clock = api->options.clock;
    int64_t now = clock.monotonic_us(clock.self);
    free_retired(api, now - 2 * 1000 * api->options.request_timeout_ms);
    struct retired *retired = base_alloc(1, sizeof *retired);
    *retired = (struct retired){tls, now, api->retired};
    api->retired = retired;
}

bool
api_reload(struct api *api, struct err *err)
{
    if (api->options.tls_cert == NULL)
        return true;
    SSL_CTX *fresh = NULL;
    if (!tls_load(api->options.tls_cert, api->options.tls_key, api->options.http2, &fresh, err))
        return false;
    pthread_mutex_lock(&api->tls_lock);
    SSL_CTX *old = api->tls;
    api->tls = fresh;
    atomic_fetch_add(&api->tls_generation, 1);
    pthread_mutex_unlock(&api->tls_lock);
    retire(api, old);
    return true;
}

void
api_stop(struct api *api)
{
    atomic_store(&api->stopping, true);
    for (size_t i = 0; i < api->worker_count; i++)
        worker_end(&api->workers[i]);
    for (size_t i = 0; i < api->worker_count; i++)
        worker_join(&api->workers[i]);
    pool_free(api->pool);
    for (size_t i = 0; i < api->worker_count; i++)
        worker_fini(&api->workers[i]);
    h2o_config_dispose(&api->config);
    free_retired(api, INT64_MAX);
    free_api(api);
}
