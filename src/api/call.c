/* A call: a request taken off libh2o, on its way through the program, and its answer back. */
#include "api/api_priv.h"
#include "intake/intake.h"
#include "model/limits.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What libh2o keeps for us with its request: disposed of when the answer is sent, or the client has
 * left, whichever comes first. */
struct link {
    struct call *call;
};

static struct str
str_of(h2o_iovec_t vec)
{
    return (struct str){vec.base, vec.len};
}

static void
on_request_gone(void *self)
{
    struct link *link = self;
    struct call *call = link->call;
    if (call == NULL)
        return;
    call->req = NULL;
    if (!call->lent)
        call_recycle(call);
}

static void
write_request_id(struct call *call)
{
    struct worker *worker = call->worker;
    const uint32_t parts[] = {htonl(worker->request_seed), htonl(worker->request_number++)};
    memcpy(call->request_id, "req_", 4);
    hex_encode(parts, sizeof parts, call->request_id + 4);
    call->request_id[4 + 2 * sizeof parts] = '\0';
}

struct call *
call_new(struct worker *worker, h2o_req_t *req)
{
    struct call *call = worker->free_calls;
    if (call != NULL) {
        worker->free_calls = call->next;
        worker->free_count--;
    } else {
        call = base_alloc(1, sizeof *call);
        arena_init(&call->submission.arena, API_ARENA_FIRST, API_ARENA_MAX);
        buffer_init(&call->out, API_ANSWER_MAX);
    }
    call->api = worker->api;
    call->worker = worker;
    call->req = req;
    struct clock clock = worker->api->options.clock;
    call->taken_at_us = clock.wall_us(clock.self);
    call->access = worker_access(worker);
    atomic_fetch_add(&call->access->references, 1);
    write_request_id(call);
    call->submission.sink = &worker->sink;
    call->submission.sender = call;
    struct link *link = h2o_mem_alloc_shared(&req->pool, sizeof *link, on_request_gone);
    link->call = call;
    return call;
}

void
call_recycle(struct call *call)
{
    struct worker *worker = call->worker;
    access_release(call->access);
    if (worker->free_count >= API_CALLS_KEPT || call->out.cap > 1024 * 1024) {
        call_free(call);
        return;
    }
    struct arena arena = call->submission.arena;
    struct buffer out = call->out;
    arena_reset(&arena);
    buffer_clear(&out);
    *call = (struct call){.submission.arena = arena, .out = out, .worker = worker};
    call->next = worker->free_calls;
    worker->free_calls = call;
    worker->free_count++;
}

void
call_free(struct call *call)
{
    arena_fini(&call->submission.arena);
    buffer_fini(&call->out);
    base_free(call);
}

struct arena *
call_arena(struct call *call)
{
    return &call->submission.arena;
}

/* -- taking a request --------------------------------------------------------- */

static struct str
header(const h2o_req_t *req, const h2o_token_t *token)
{
    ssize_t at = h2o_find_header(&req->headers, token, -1);
    return at < 0 ? (struct str){0} : str_of(req->headers.entries[at].value);
}

static void
find_peer(struct call *call, const h2o_req_t *req)
{
    struct sockaddr_storage from;
    struct address peer;
    socklen_t len = req->conn->callbacks->get_peername(req->conn, (struct sockaddr *)&from);
    if (len == 0)
        return;
    char text[ADDRESS_TEXT_SIZE];
    memset(&peer, 0, sizeof peer);
    if (from.ss_family == AF_INET) {
        peer.is_v4 = true;
        memcpy(peer.bytes, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);
        memcpy(peer.bytes + 12, &((const struct sockaddr_in *)&from)->sin_addr, 4);
    } else {
        memcpy(peer.bytes, &((const struct sockaddr_in6 *)&from)->sin6_addr, 16);
        peer.is_v4 = memcmp(peer.bytes, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12) == 0;
    }
    const struct api_options *options = &call->api->options;
    struct str forwarded = {0};
    for (size_t i = 0; i < options->trusted_count && !call->from_proxy; i++)
        call->from_proxy = network_contains(&options->trusted[i], &peer);
    if (options->trusted_count > 0) {
        ssize_t at = h2o_find_header_by_str(&req->headers, H2O_STRLIT("x-forwarded-for"), -1);
        if (at >= 0)
            forwarded = str_of(req->headers.entries[at].value);
    }
    call->has_peer = intake_client_address(&peer, forwarded, options->trusted,
                                           options->trusted_count, &call->peer);
    if (!call->has_peer)
        return;
    struct str written = {text, address_format(&call->peer, text)};
    must(arena_copy(call_arena(call), written, &call->peer_text));
}

static bool
copy(struct call *call, struct str from, struct str *to)
{
    if (from.ptr == NULL)
        return true;
    if (arena_copy(call_arena(call), from, to))
        return true;
    call_fail(call, 413, "body_too_large", "The request is larger than %u bytes.", API_ARENA_MAX);
    return false;
}

/* Everything a handler may want is copied: the request can go away while it is being answered. */
static bool
take_request(struct call *call, h2o_req_t *req)
{
    struct str whole = str_of(req->path);
    bool has_query = req->query_at != SIZE_MAX;
    struct str path = {whole.ptr, has_query ? req->query_at : whole.len};
    struct str query = {0};
    if (has_query)
        query = (struct str){whole.ptr + req->query_at + 1, whole.len - req->query_at - 1};
    return copy(call, str_of(req->method), &call->method) && copy(call, path, &call->path) &&
           copy(call, query, &call->query_text) &&
           copy(call, header(req, H2O_TOKEN_CONTENT_TYPE), &call->media_type);
}

static bool
check_media(struct call *call)
{
    struct str rest = call->media_type;
    struct str type = str_split(&rest, ';');
    while (type.len > 0 && type.ptr[type.len - 1] == ' ')
        type.len--;
    bool plain = str_equal(type, STR("application/json")); /* as nearly all write it */
    bool ndjson = !plain && glob_match_nocase(STR("application/x-ndjson"), type);
    bool json = plain || type.len == 0 || glob_match_nocase(STR("application/json"), type) ||
                glob_match_nocase(STR("application/*+json"), type);
    call->media_type = ndjson ? STR("ndjson") : STR("json");
    unsigned kind = ndjson ? MEDIA_NDJSON : json ? MEDIA_JSON : 0;
    if ((call->route->media & kind) != 0 || call->route->media == 0)
        return true;
    call_fail(call, 415, "unsupported_media_type", "The Content-Type must be application/json%s.",
              (call->route->media & MEDIA_NDJSON) != 0 ? " or application/x-ndjson" : "");
    return false;
}

static bool
find_route(struct call *call)
{
    struct str method = call->method;
    if (str_equal(method, STR("HEAD")))
        method = STR("GET");
    switch (route_find(method, call->path, &call->route, call->parameters, call->allow)) {
    case ROUTE_FOUND:
        break;
    case ROUTE_NO_PATH:
        call_fail(call, 404, "not_found", "There is no route %.*s.",
                  (int)(call->path.len < 200 ? call->path.len : 200), call->path.ptr);
        return false;
    case ROUTE_NO_METHOD:
        call_fail(call, 405, "method_not_allowed", "This route takes %s.", call->allow);
        return false;
    }
    for (size_t i = 0; i < API_PARAMETERS_MAX; i++) {
        struct str *parameter = &call->parameters[i];
        if (parameter->ptr == NULL)
            continue;
        *parameter = percent_decode(call_arena(call), *parameter, false);
        if (parameter->ptr == NULL) {
            call_fail(call, 404, "not_found", "The path is not well encoded.");
            return false;
        }
    }
    return true;
}

static bool
take_body(struct call *call, h2o_req_t *req)
{
    struct str body = str_of(req->entity);
    if (call->route->media == 0)
        return true;
    if (body.len > call->route->body_max) {
        call->close = true;
        call_fail(call, 413, "body_too_large", "The body may hold at most %zu bytes; it has %zu.",
                  call->route->body_max, body.len);
        return false;
    }
    if (!check_media(call))
        return false;
    /* What is parsed on this thread, now, need not be copied. */
    if (call->route->run == RUN_INGEST && body.len <= API_ON_WORKER_MAX) {
        call->body = body;
        return true;
    }
    return copy(call, body, &call->body);
}

int
worker_on_request(h2o_handler_t *handler, h2o_req_t *req)
{
    (void)handler;
    struct worker *worker = H2O_STRUCT_FROM_MEMBER(struct worker, ctx, req->conn->ctx);
    struct call *call = call_new(worker, req);
    find_peer(call, req);
    if (!take_request(call, req) || !find_route(call) || !access_check(call) ||
        !take_body(call, req) || !call_read_query(call)) {
        call_send(call);
        return 0;
    }
    call->allow[0] = '\0';
    const struct route *route = call->route;
    if (route->run == RUN_ON_POOL ||
        (route->run == RUN_INGEST && call->body.len > API_ON_WORKER_MAX)) {
        worker_lend_to_pool(call, route->handle);
        return 0;
    }
    call->on_worker = true;
    route->handle(call);
    call->on_worker = false;
    if (call->status != 0) {
        call_send(call);
        return 0;
    }
    call->lent = true;
    worker->calls_lent++;
    if (!ingest_submit(call)) {
        call->lent = false;
        worker->calls_lent--;
        call_send(call);
    }
    return 0;
}

/* -- the answer ---------------------------------------------------------------- */

static const char *
reason_of(int status)
{
    /* clang-format off */
    static const struct { int status; const char *reason; } reasons[] = {
        {200, "OK"}, {201, "Created"}, {400, "Bad Request"}, {401, "Unauthorized"},
        {403, "Forbidden"}, {404, "Not Found"}, {405, "Method Not Allowed"}, {409, "Conflict"},
        {413, "Content Too Large"}, {415, "Unsupported Media Type"},
        {422, "Unprocessable Content"}, {429, "Too Many Requests"},
        {500, "Internal Server Error"}, {503, "Service Unavailable"}, {504, "Gateway Timeout"},
    };
    /* clang-format on */
    for (size_t i = 0; i < COUNT_OF(reasons); i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "Unknown";
}

static void
add_header(h2o_req_t *req, const char *name, const char *value)
{
    h2o_iovec_t kept = h2o_strdup(&req->pool, value, SIZE_MAX);
    h2o_add_header_by_str(&req->pool, &req->res.headers, name, strlen(name), 0, NULL, kept.base,
                          kept.len);
}

void
call_send(struct call *call)
{
    static h2o_generator_t generator = {NULL, NULL};
    h2o_req_t *req = call->req;
    must(call->status >= 100 && call->status < 600 && !call->lent);
    if (req == NULL) {
        call_recycle(call);
        return;
    }
    if (call->out.ran_out) {
        buffer_clear(&call->out);
        call->status = 0;
        call_fail(call, 500, "internal", "The answer is larger than %u bytes.", API_ANSWER_MAX);
    }
    atomic_fetch_add_explicit(&call->worker->answers[call->status / 100], 1, memory_order_relaxed);
    req->res.status = call->status;
    req->res.reason = reason_of(call->status);
    req->res.content_length = call->out.len;
    const char *type = call->content_type != NULL ? call->content_type : "application/json";
    h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL, type, strlen(type));
    h2o_add_header_by_str(&req->pool, &req->res.headers, H2O_STRLIT("x-request-id"), 0, NULL,
                          call->request_id, strlen(call->request_id));
    if (call->retry_after_s > 0) {
        char text[16];
        snprintf(text, sizeof text, "%d", call->retry_after_s);
        add_header(req, "retry-after", text);
    }
    if (call->allow[0] != '\0')
        add_header(req, "allow", call->allow);
    if (call->status == 401)
        add_header(req, "www-authenticate", "Bearer");
    if (call->close)
        req->http1_is_persistent = 0;
    bool head = str_equal(call->method, STR("HEAD"));
    h2o_iovec_t body = h2o_iovec_init(call->out.ptr, call->out.len);
    h2o_start_response(req, &generator);
    h2o_send(req, &body, head || body.len == 0 ? 0 : 1, H2O_SEND_STATE_FINAL);
}

struct buffer *
call_answer(struct call *call, int status)
{
    must(call->status == 0);
    call->status = status;
    buffer_clear(&call->out);
    return &call->out;
}

static void
write_error(struct call *call, int status, const char *code, struct str message)
{
    struct buffer *out = call_answer(call, status);
    json_open(out, '{');
    json_put_str(out, "error", str_from(code));
    json_put_str(out, "message", message);
}

void
call_fail(struct call *call, int status, const char *code, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    /* What a client sent may be quoted in it. */
    struct str message = utf8_cut(str_from(text), sizeof text);
    if (!utf8_valid(message))
        message = STR("The request is not well formed.");
    write_error(call, status, code, message);
    json_close(&call->out, '}');
}

void
call_fail_err(struct call *call, const struct err *err)
{
    switch (err->code) {
    case ERR_INPUT:
        call_fail(call, 422, "validation_failed", "%s", err->text);
        return;
    case ERR_LIMIT:
        call_fail(call, 422, "validation_failed", "%s", err->text);
        return;
    case ERR_NOT_FOUND:
        call_fail(call, 404, "not_found", "%s", err->text);
        return;
    case ERR_CONFLICT:
        call_fail(call, 409, "conflict", "%s", err->text);
        return;
    case ERR_IO:
        /* Paths and reasons are for the operator, not for the client. */
        diag_error("%s: %s", call->request_id, err->text);
        call->retry_after_s = 5;
        call_fail(call, 503, "overloaded", "Storage does not answer; nothing was changed.");
        return;
    case ERR_CORRUPT:
    case ERR_NONE:
        break;
    }
    diag_error("%s: %s", call->request_id, err->text);
    call_fail(call, 500, "internal", "Something is wrong on our side (request %s).",
              call->request_id);
}

void
call_fail_fields(struct call *call, const struct violations *violations)
{
    must(violations->count > 0);
    write_error(call, 422, "validation_failed", violations->items[0].message);
    struct buffer *out = &call->out;
    json_name(out, "violations");
    json_open(out, '[');
    for (size_t i = 0; i < violations->count; i++) {
        json_open(out, '{');
        json_put_str(out, "field", violations->items[i].field);
        json_put_str(out, "message", violations->items[i].message);
        json_close(out, '}');
    }
    json_close(out, ']');
    json_close(out, '}');
}

#define STORED_MAX (LIMIT_BODY_EVENT + 65536u)

void
tools_init(struct api *api, struct tools *tools)
{
    *tools = (struct tools){.parser = json_parser_new(),
                            .enrich = enrich_reader_new(api->options.enrich),
                            .stored = base_alloc(1, sizeof *tools->stored)};
    buffer_init(tools->stored, STORED_MAX);
}

void
tools_fini(struct tools *tools)
{
    json_parser_free(tools->parser);
    enrich_reader_free(tools->enrich);
    buffer_fini(tools->stored);
    base_free(tools->stored);
}

struct tools
tools_take(struct api *api)
{
    struct tools tools = {0};
    pthread_mutex_lock(&api->tools_lock);
    if (api->tools_count > 0)
        tools = api->tools[--api->tools_count];
    pthread_mutex_unlock(&api->tools_lock);
    if (tools.parser == NULL)
        tools_init(api, &tools);
    return tools;
}

void
tools_give(struct api *api, struct tools tools)
{
    pthread_mutex_lock(&api->tools_lock);
    bool kept = api->tools_count < COUNT_OF(api->tools);
    if (kept)
        api->tools[api->tools_count++] = tools;
    pthread_mutex_unlock(&api->tools_lock);
    if (kept)
        return;
    tools_fini(&tools);
}

bool
call_read_json(struct call *call)
{
    struct err err = {0};
    struct str body = call->body.len > 0 ? call->body : STR("{}");
    struct tools tools = tools_take(call->api);
    bool ok = json_parse(tools.parser, body, call_arena(call), &call->json, &err);
    tools_give(call->api, tools);
    if (!ok) {
        int status = err.code == ERR_LIMIT ? 413 : 400;
        call_fail(call, status, status == 413 ? "body_too_large" : "malformed_json", "%s",
                  err.text);
        return false;
    }
    if (call->json.type == JSON_ARRAY && call->json.count == 0)
        call->json = (struct json){.type = JSON_OBJECT};
    if (call->json.type == JSON_OBJECT)
        return true;
    call_fail(call, 422, "validation_failed", "The body must be a JSON object.");
    return false;
}
