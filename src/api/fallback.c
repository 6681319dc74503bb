/* What libh2o answers by itself before a handler is asked (a request it cannot parse, a body too
 * large) goes down the host's fallback path. A filter there puts a JSON body in its place. */
#include "api/api_priv.h"

#include <string.h>

struct replacement {
    h2o_ostream_t super;
    bool sent;
};

static const char *
body_for(int status)
{
    if (status == 413)
        return "{\"error\":\"body_too_large\",\"message\":\"The body is larger than any route "
               "takes (16 MiB).\"}";
    if (status == 400)
        return "{\"error\":\"malformed_json\",\"message\":\"The request is not well formed.\"}";
    return "{\"error\":\"internal\",\"message\":\"The request could not be taken.\"}";
}

static void
replace(h2o_ostream_t *self, h2o_req_t *req, h2o_iovec_t *bufs, size_t count,
        h2o_send_state_t state)
{
    struct replacement *replacement = H2O_STRUCT_FROM_MEMBER(struct replacement, super, self);
    (void)bufs, (void)count;
    const char *body = body_for(req->res.status);
    h2o_iovec_t ours = h2o_iovec_init(body, strlen(body));
    bool first = !replacement->sent;
    replacement->sent = true;
    h2o_ostream_send_next(self, req, first ? &ours : NULL, first ? 1 : 0, state);
}

static void
on_setup(h2o_filter_t *self, h2o_req_t *req, h2o_ostream_t **slot)
{
    (void)self;
    h2o_set_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE,
                   H2O_STRLIT("application/json"), 1);
    /* No call was made for it, so the identity is a fixed one. */
    h2o_set_header_by_str(&req->pool, &req->res.headers, H2O_STRLIT("x-request-id"), 0,
                          H2O_STRLIT("req_refused"), 1);
    req->res.content_length = strlen(body_for(req->res.status));
    h2o_ostream_t *ostream = h2o_add_ostream(req, sizeof(struct replacement), slot);
    struct replacement *replacement = H2O_STRUCT_FROM_MEMBER(struct replacement, super, ostream);
    replacement->sent = false;
    ostream->do_send = replace;
    slot = &ostream->next;
    h2o_setup_next_ostream(req, slot);
}

void
fallback_register(h2o_hostconf_t *host)
{
    h2o_filter_t *filter = h2o_create_filter(&host->fallback_path, sizeof *filter);
    filter->on_setup_ostream = on_setup;
}
