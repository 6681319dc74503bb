/* api - the HTTP server: one table of routes, one file per resource, keys and roles.
 *
 * One worker thread per core, each with its own libh2o loop on the one listening socket. Handlers
 * of ingestion run on the worker and wait for nothing; all others run on the pool with an arena
 * of their own, and their answer goes back to the worker that owns the connection. */
#ifndef API_H
#define API_H

#include "base/queue.h"
#include "base/system.h"
#include "codec/address.h"
#include "engine/engine.h"
#include "enrich/enrich.h"
#include "journal/journal.h"
#include "notify/notify.h"
#include "store/store.h"

struct api_options {
    struct journal *journal;
    struct store *store;
    struct enrich *enrich;
    struct engine *engine;
    struct notify *notify;
    struct clock clock;
    struct random random;
    const char *listen;             /* "127.0.0.1:7410", "[::1]:0" */
    size_t workers;                 /* 0: one per core */
    const char *tls_cert, *tls_key; /* both or neither */
    bool http2;                     /* only with TLS */
    const struct network *trusted;  /* proxies */
    size_t trusted_count;
    bool metrics_public;
    const char *public_url;     /* or NULL */
    bool has_mail;              /* there is a mail server */
    int64_t request_timeout_ms; /* 0: 60 s; for header and body, and for idle connections */
    const char *version;
};

struct api;
/* Listens and starts the workers. ERR_INPUT: bad address, certificate; ERR_IO: the port is taken.
 * */
bool api_start(const struct api_options *options, struct api **api_out, struct err *err) MUST_USE;
/* "http://127.0.0.1:41234" (https with TLS), as it answers. */
const char *api_url(const struct api *api);
/* SIGHUP: reads the certificate again; on false the old one stays. */
bool api_reload(struct api *api, struct err *err) MUST_USE;
/* Stops accepting, answers what was accepted, closes idle connections; returns within five
 * seconds. */
void api_stop(struct api *api);

/* First start: makes workspace "default" with its first admin key and its rules, in force. `key`
 * absent: one is made; the key's text is copied to `key_out` (at least 64 bytes) either way. False
 * with ERR_CONFLICT when there is a workspace already. */
bool api_make_first_key(struct store *store, struct engine *engine, struct random random,
                        struct clock clock, struct str key, char key_out[static 64],
                        struct err *err) MUST_USE;
/* Start-up, where there is a mail server: owners and admins can be written to, so the rules that a
 * workspace began with get their channels, as far as they waited for somebody to call. */
bool api_mail_is_there(struct store *store, struct clock clock, struct err *err) MUST_USE;
/* Another admin key for workspace "default" (`tocsin key`). */
bool api_make_admin_key(struct store *store, struct random random, struct clock clock,
                        char key_out[static 64], struct err *err) MUST_USE;

/* The OpenAPI document made from the table of routes. */
void api_write_openapi(struct buffer *out, const char *version);

#endif
