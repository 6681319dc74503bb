/* What the files of api/ share: a request taken off libh2o, and the tables it goes through. */
#ifndef API_PRIV_H
#define API_PRIV_H

#include "api/api.h"

#include <h2o.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#define API_CONNECTIONS_MAX 1024                   /* of one worker */
#define API_UNREAD_MAX      (256u * 1024u * 1024u) /* bytes of bodies not yet read whole */
#define API_ON_WORKER_MAX   (128u * 1024u)         /* larger bodies are parsed on the pool */
#define API_ARENA_FIRST     (16u * 1024u)
#define API_ARENA_MAX       (128u * 1024u * 1024u) /* memory of one request */
#define API_ANSWER_MAX      (64u * 1024u * 1024u)
#define API_CALLS_KEPT      256 /* finished calls a worker keeps to use again */
#define API_PARAMETERS_MAX  2   /* in a path */
#define API_QUERY_MAX       24  /* parameters of a query */
#define API_TOKEN_SIZE      64  /* room for the text of a key */

struct call;

/* -- routes (routes.c) ------------------------------------------------------- */

enum route_run {
    RUN_ON_WORKER, /* answers at once, waits for nothing */
    RUN_INGEST,    /* on the worker; on the pool when the body is large */
    RUN_ON_POOL,
};

enum media { MEDIA_JSON = 1, MEDIA_NDJSON = 2 }; /* bits: what a body may be */

/* A row of a table of query parameters, ended by a NULL name. */
struct parameter {
    const char *name;
    const char *summary;
};

struct route {
    const char *method;
    const char *path;     /* "/api/v1/events/{id}" */
    unsigned roles;       /* ROLE_ bits, any of which opens it; 0: no key is asked for */
    bool first_workspace; /* only for keys of the first workspace */
    enum route_run run;
    void (*handle)(struct call *call);
    const struct parameter *query; /* NULL: none */
    unsigned media;                /* 0: takes no body */
    size_t body_max;
    const char *summary;
    const char *body_schema, *answer_schema; /* names in openapi.json; NULL: none */
};
extern const struct route api_routes[];
extern const size_t api_route_count;

enum route_match { ROUTE_FOUND, ROUTE_NO_PATH, ROUTE_NO_METHOD };
/* On ROUTE_FOUND, `parameters_out` holds what stood for {…}, still percent-encoded. On
 * ROUTE_NO_METHOD, `allow_out` (at least 64 bytes) lists the methods there are. */
enum route_match route_find(struct str method, struct str path, const struct route **route_out,
                            struct str parameters_out[static API_PARAMETERS_MAX],
                            char allow_out[static 64]);

/* -- who calls (access.c) -------------------------------------------------------- */

/* Lives as long as the api, so that a new snapshot does not forgive what was used up. */
struct rate {
    char key_id[ID_SIZE];
    _Atomic int64_t next_at_us; /* theoretical arrival time of the generic cell rate algorithm */
    struct rate *next;
};
struct access_key {
    struct store_key key;
    struct rate *rate;
};
struct fusionauth_key {
    struct str kid; /* absent: of any token */
    struct jwt_key *key;
};
struct access_workspace {
    struct store_workspace workspace;
    bool address_from_peer;
    struct fusionauth_key *fusionauth_keys;
    size_t fusionauth_key_count;
    struct transactions transactions;
    struct gauge *gauge;      /* of its transactions */
    struct access_key signer; /* who sends what is signed by one of them: may only send */
};
/* What workers read, never changed once made. */
struct access {
    _Atomic int references;
    uint64_t generation;
    struct arena arena;
    struct access_key *keys;
    size_t key_count;
    uint32_t *slots; /* open addressing on the hash's first bytes; 0 empty, else index + 1 */
    size_t slot_count;
    struct access_workspace *workspaces; /* the first is "default" */
    bool any_transactions;               /* of any of them */
    size_t workspace_count;
};
/* Makes a new snapshot from the store and publishes it. A thread of the pool, or start-up. */
bool access_refresh(struct api *api, struct err *err) MUST_USE;
struct access *access_take(struct api *api); /* the newest; give back with access_release */
void access_release(struct access *access);
const struct access_key *access_find(const struct access *access, struct str token);
const struct access_workspace *access_workspace(const struct access *access, struct str id);
/* Fills call->key and workspace, or answers 401, 403, 429. */
bool access_check(struct call *call);

/* -- a request ---------------------------------------------------------------------- */

struct query_value {
    struct str name, value; /* decoded, in the arena */
};

/* All it needs lies in its arena (submission.arena), so it can outlive its connection. It belongs
 * to its worker, is lent to the pool or the engine, and comes back through the worker's mailbox. */
struct call {
    struct submission submission; /* ingestion; its arena serves every call */
    struct api *api;
    struct worker *worker;
    h2o_req_t *req; /* the worker's thread only; NULL: the client has left */
    bool lent;      /* with the pool or the engine */
    bool on_worker; /* being read on the worker, with the worker's own tools */
    const struct route *route;
    struct str method, path, query_text, body, media_type;
    struct str parameters[API_PARAMETERS_MAX];
    struct query_value query[API_QUERY_MAX];
    size_t query_count;
    struct address peer;       /* the client's, after the proxy rule */
    bool has_peer, from_proxy; /* from_proxy: told by a trusted proxy */
    struct str peer_text;
    int64_t taken_at_us;
    char request_id[24];
    struct access *access; /* counted while the call lives */
    const struct access_key *key;
    struct str workspace_id;         /* of the key */
    struct json json;                /* the body, once call_read_json has */
    void *state;                     /* a handler's own */
    struct transaction *transaction; /* under way, or NULL */

    int status; /* of the answer; 0: none yet */
    struct buffer out;
    const char *content_type; /* NULL: JSON */
    int retry_after_s;        /* 0: no header */
    char allow[64];           /* "": no header */
    bool close;               /* the connection, after this answer */

    struct call *next; /* in a mailbox or the free list */
};

/* Answers. Each may be called once, anywhere the call is held; it is sent when the call is back on
 * its worker. */
void call_fail(struct call *call, int status, const char *code, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
void call_fail_err(struct call *call, const struct err *err); /* the status that fits the code */
void call_fail_fields(struct call *call, const struct violations *violations); /* 422 */
/* Begins a JSON answer: returns the buffer to write to. */
struct buffer *call_answer(struct call *call, int status);

/* Reads the body as one JSON value (`[]` and no body count as {}), which must be an object; else
 * answers 400 or 422. On any thread. */
bool call_read_json(struct call *call) MUST_USE;
/* Splits and decodes the query, refusing parameters that the route does not list and repeated
 * ones. */
bool call_read_query(struct call *call) MUST_USE;
/* The decoded value; absent when not sent or empty. */
struct str call_query(const struct call *call, const char *name);
struct arena *call_arena(struct call *call);
/* Tenants that the key is bound to; count 0: all. */
bool call_may_see_tenant(const struct call *call, struct str tenant_id);
struct str percent_decode(struct arena *arena, struct str text,
                          bool plus_is_space); /* absent: bad */

/* What reading needs is lent to threads. */
struct tools {
    struct json_parser *parser;
    struct enrich_reader *enrich;
    struct buffer *stored; /* one event in its stored form; keeps its memory */
};
void tools_init(struct api *api, struct tools *tools);
void tools_fini(struct tools *tools);
struct tools tools_take(struct api *api);
void tools_give(struct api *api, struct tools tools);

/* -- signatures of FusionAuth's webhooks (signatures.c) ---------------------------------- */

/* The setting `fusionauth_keys`: checked (or 422 is answered), read from its stored form, and
 * written without secrets. */
bool signatures_check(struct call *call, const struct json *setting) MUST_USE;
void signatures_read(struct str json, struct arena *arena, struct fusionauth_key **keys_out,
                     size_t *count_out);
void signatures_write_setting(struct buffer *out, const struct json *setting);
/* Judges the request by its header X-FusionAuth-Signature-JWT; `only`: by this workspace's keys,
 * else whose they are is told. On the worker, before the body is taken. */
enum signature_verdict { SIGNATURE_NONE, SIGNATURE_WRONG, SIGNATURE_GOOD };
enum signature_verdict signatures_judge(struct call *call, const struct access_workspace *only,
                                        const struct access_workspace **workspace_out) MUST_USE;
/* GET /.well-known/jwks.json */
void signatures_jwks(struct call *call);
/* The server's own key, made where there is none yet; false: answered. */
bool signatures_make_key(struct call *call, enum jwt_algorithm algorithm) MUST_USE;

/* -- ingestion (ingest.c, ingest_answer.c) -------------------------------------------- */
/* Handlers: read what was sent into the submission. They either answer (bad input), or leave the
 * call without an answer, ready for ingest_submit. */
void ingest_one(struct call *call);
void ingest_batch(struct call *call);
void ingest_fusionauth(struct call *call);
/* Hands the call, which is lent already, to the engine; it is not to be touched after true. False:
 * the queue is full, and that is the answer. */
bool ingest_submit(struct call *call) MUST_USE;
/* -- transactions (transaction.c) -------------------------------------------------------- */

/* Whether webhooks are to be asked before the call's event is stored. */
bool transaction_wanted(const struct call *call);
/* As ingest_submit, which goes this way when they are. */
bool transaction_begin(struct call *call) MUST_USE;
/* When the engine is through with the call, on the engine's threads. True: it went on to the next
 * stage and is not to be touched; false: it is to go back to its worker. */
bool transaction_hand_on(struct call *call) MUST_USE;
/* On the worker, when the call has come back. True: its transaction was refused, and that has been
 * answered. */
bool transaction_ends(struct call *call) MUST_USE;
/* A workspace's count of them; under access_lock. */
struct gauge *transaction_gauge(struct api *api, struct str workspace_id);
void transaction_free_gauges(struct api *api);
/* The setting `transactions`: checked (or 422 is answered); what is sent laid over what there is;
 * from its stored form; as answered. */
bool transaction_check_setting(struct call *call, const struct json *sent) MUST_USE;
void transaction_merge_setting(struct call *call, const struct json *sent, struct buffer *out);
void transaction_read_setting(struct str json, struct arena *arena, struct transactions *out);
void transaction_write_setting(struct call *call, struct buffer *out, struct str json);

/* What is wrong with one item of a batch; call->state points to an array of them, one per item. */
struct refusal {
    const char *code;
    struct violations violations;
};
/* On the worker, when the engine is through with the call's submission. */
void ingest_finished(struct call *call);
/* Appends one stored event as answered, without braces; `row` as the journal shows it. */
bool answer_event_row(struct buffer *out, struct arena *arena, struct json_parser *parser,
                      const struct journal_row *row, struct err *err) MUST_USE;

/* -- lists (page.c) --------------------------------------------------------------------- */

/* limit, order, cursor, from and to of the query; or answers 400 or 422. */
bool call_read_page(struct call *call, struct journal_page *page_out) MUST_USE;
/* limit and cursor alone, for lists that are not of the log. */
bool call_read_limit(struct call *call, size_t *limit_out, int64_t *cursor_out) MUST_USE;
/* Closes `data` and appends `pagination` and the outer brace. */
/* Begins the 200 of a list; its rows come next, then one of the two that end it. */
struct buffer *answer_list(struct call *call);
void answer_all_listed(struct buffer *out, size_t count);
void answer_pagination(struct buffer *out, const struct journal_page_result *result);
/* Refuses a member of the body that is not in the list (NULL at the end); the list says what is. */
bool call_check_members(struct call *call, const struct json *object, const char *const *known);

/* -- resources: one file each --------------------------------------------------------------- */

void events_list(struct call *call);
void events_get(struct call *call);
void events_verify(struct call *call);
void alerts_list(struct call *call);
void alerts_get(struct call *call);
void alerts_patch(struct call *call);
void rules_list(struct call *call);
void rules_get(struct call *call);
void rules_post(struct call *call);
void rules_put(struct call *call);
void rules_patch(struct call *call);
void rules_delete(struct call *call);
void rules_backtest(struct call *call);
void rules_types(struct call *call);
void webhooks_list(struct call *call);
void webhooks_get(struct call *call);
void webhooks_post(struct call *call);
void webhooks_patch(struct call *call);
void webhooks_delete(struct call *call);
void webhooks_test(struct call *call);
void webhooks_replay(struct call *call);
void webhooks_rotate(struct call *call);
void deliveries_list(struct call *call);
void deliveries_get(struct call *call);
void deliveries_replay(struct call *call);
void keys_list(struct call *call);
void keys_post(struct call *call);
void keys_delete(struct call *call);
void members_list(struct call *call);
void members_post(struct call *call);
void members_patch(struct call *call);
void members_delete(struct call *call);
void mail_test(struct call *call);
void settings_get(struct call *call);
void settings_patch(struct call *call);
void workspaces_list(struct call *call);
void workspaces_post(struct call *call);
void ops_healthz(struct call *call);
void ops_readyz(struct call *call);
void ops_metrics(struct call *call);
void ops_openapi(struct call *call);

/* Appends the members of `schemas` in openapi.json, from a table of members. */
void schemas_write(struct buffer *out);

/* A rule as sent, laid over `*rule`, with what a combination lists held against the workspace's
 * rules; or answers 422 (rules.c). */
bool rule_read_sent(struct call *call, const struct json *sent, bool patch,
                    struct rule *rule) MUST_USE;

/* Has these rules, as they stand in the store, put in force, and waits for that: who is told of
 * them relies on them. One with much to learn takes longer than an answer waits. A thread of the
 * pool. */
void rules_put_in_force(struct engine *engine, const struct rule *rules, size_t count);

/* A new workspace with its first key and the rules that it begins with (starter.c), or none of it;
 * waits for the rules. They have no channels. A thread of the pool. */
bool starter_add_workspace(struct store *store, struct engine *engine, struct random random,
                           const struct store_workspace *workspace, const struct store_key *key,
                           struct err *err) MUST_USE;
/* There is somebody to call now: gives channels to those of them that never had any, and waits
 * until what they find goes there. A thread of the pool. */
bool starter_give_channels(struct call *call, struct err *err) MUST_USE;

/* An admin's key without bounds, to be stored by the caller; refers to its arguments. `given`
 * absent: its text is made. */
struct store_key key_make_admin(struct random random, int64_t now_us, struct str given,
                                struct str workspace_id, char id_out[static ID_SIZE],
                                char text_out[static API_TOKEN_SIZE]);

/* -- workers (worker.c, server.c) --------------------------------------------------------- */

struct connection; /* a socket we follow (worker.c) */

/* The key that came last and whose it was: most requests come with the same, and need not be hashed
 * to be found. Counts for one snapshot only. */
struct seen_token {
    uint64_t generation; /* of the snapshot; 0: none */
    char text[API_TOKEN_SIZE];
    size_t len;
    const struct access_key *key;
};

struct worker {
    struct api *api;
    size_t number;
    pthread_t thread;
    sem_t opened; /* the loop, by the thread itself */
    h2o_context_t ctx;
    h2o_accept_ctx_t accept;
    uint64_t tls_generation; /* of accept.ssl_ctx */
    h2o_socket_t *listener;
    h2o_multithread_receiver_t mailbox;
    struct tools tools; /* its own */
    struct engine_sink sink;
    struct access *access;
    struct seen_token seen;
    struct call *free_calls;
    size_t free_count;
    size_t calls_lent; /* with the pool or the engine */
    struct connection *connections;
    size_t connection_count;
    uint32_t request_number;
    uint32_t request_seed;
    bool accepting, stopping, ending;
    pthread_mutex_t inbox_lock; /* guards the inbox: calls that other threads have finished with */
    struct call *inbox, **inbox_end;
    bool told_to_end;                  /* under the lock too */
    _Atomic uint64_t answers[6];       /* by hundreds of the status */
    _Atomic uint64_t open_connections; /* for metrics */
    _Atomic uint64_t refused;          /* overloaded */
};

struct api {
    struct api_options options;
    struct pool *pool;
    struct worker *workers;
    size_t worker_count;
    int listen_fd;
    char url[96];
    h2o_globalconf_t config;
    h2o_hostconf_t *host;
    pthread_mutex_t tls_lock; /* guards tls */
    SSL_CTX *tls;
    struct retired *retired; /* certificates from before, while handshakes may still name them */
    _Atomic uint64_t tls_generation; /* one more each time that tls changes */
    pthread_mutex_t access_lock;     /* guards access and rates */
    struct access *access;
    _Atomic uint64_t access_generation;
    struct rate *rates;
    struct gauge *gauges;
    pthread_mutex_t tools_lock; /* guards tools */
    struct tools tools[16];
    size_t tools_count;
    _Atomic bool stopping;
    int64_t started_at_us;
};

void worker_start(struct api *api, struct worker *worker, size_t number);
void worker_end(struct worker *worker); /* any thread: answers what it has, then ends */
void worker_join(struct worker *worker);
void worker_fini(struct worker *worker);
/* The newest snapshot; asked for each request, so that a key is gone when its DELETE is answered.
 * */
struct access *worker_access(struct worker *worker);
int worker_on_request(h2o_handler_t *handler, h2o_req_t *req);

/* The worker's thread: a call for a request, and one whose request and reply are done. */
struct call *call_new(struct worker *worker, h2o_req_t *req);
void call_recycle(struct call *call);
void call_free(struct call *call);

/* The worker's thread. Gives an answered call to libh2o, or recycles it if the client has left. */
void call_send(struct call *call);
/* Any thread: puts a call that was lent into its worker's inbox and wakes the worker. */
void worker_return(struct call *first, struct call *last);
/* Lends the call to the pool, where its route's handler runs; answers 503 if the pool is full. */
void worker_lend_to_pool(struct call *call, void (*run)(struct call *call));

bool tls_load(const char *cert, const char *key, bool http2, SSL_CTX **tls_out,
              struct err *err) MUST_USE;
/* Puts JSON bodies on the answers that the library makes by itself (400, 413). */
void fallback_register(h2o_hostconf_t *host);

#endif
