/* intake - what a client sent becomes events we believe.
 *
 * Every complaint names the field and the limit; an unknown field is refused by name. Nothing here
 * reads a clock: the moment the worker took the request is handed in. */
#ifndef INTAKE_H
#define INTAKE_H

#include "base/system.h"
#include "model/event.h"
#include "model/violation.h"

struct intake_context {
    struct arena *arena;
    struct random random; /* for ids */
    int64_t now_us;       /* when the request was taken; occurred_at where none was sent */
    /* For `tocsin replay`: occurred_at is required, and may lie ahead of now. */
    bool replay;
    /* The address to use when the body names none; absent: none. */
    struct str peer_address;
};

/* Reads one event as sent (api.md, "An event, as sent"). False: violations were added, with
 * `prefix` ("" or "events[3].") before each field. Enrichment is not done here. */
bool intake_read_event(const struct intake_context *context, const struct json *sent,
                       const char *prefix, struct event *event_out,
                       struct violations *violations) MUST_USE;

/* Reads one event as FusionAuth's webhooks send it ({"event":{…}}), of any type, old shapes and
 * new. `*source_out` is what was sent, less its secrets, in canonical form: the source record.
 * Over-long strings are cut. False: violations were added. */
bool intake_read_fusionauth(const struct intake_context *context, const struct json *sent,
                            struct event *event_out, struct str *source_out,
                            struct violations *violations) MUST_USE;

/* One line of NDJSON, or a whole text: cuts the next line (LF or CRLF; blank lines are skipped) off
 * `*rest`. False at the end. */
bool intake_next_line(struct str *rest, struct str *line_out) MUST_USE;

/* The rule for the client's address: `peer` unless it is one of the trusted networks; then the
 * right-most address of `forwarded_for` (X-Forwarded-For, may be absent) that is not. False: the
 * header is not to be understood there, so nothing is known of the client. */
bool intake_client_address(const struct address *peer, struct str forwarded_for,
                           const struct network *trusted, size_t trusted_count,
                           struct address *address_out) MUST_USE;

#endif
