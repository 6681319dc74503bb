/* format - what a webhook's receiver is told: one file per format, one table of them.
 *
 * A body is written from parts: the alerts, their event, and what its source sent. They are read
 * from the log each time something is sent, so that thousands may wait and cost a few words each;
 * whoever has them at hand may fill them in instead. */
#ifndef FORMAT_H
#define FORMAT_H

#include "base/system.h"
#include "journal/journal.h"
#include "store/store.h"

struct format_alert {
    struct alert alert;
    struct json context;        /* an object */
    bool after_password_change; /* of a sequence that begins with one */
};
struct format_parts {
    struct arena *arena; /* for what has to be put together */
    const struct webhook *webhook;
    enum webhook_event kind;
    const struct format_alert *alerts; /* of a login all that the webhook hears of; else the one */
    size_t alert_count;
    const struct event *event;
    const struct event_integrity *integrity; /* NULL: not in the log */
    struct json source;                      /* JSON_ABSENT: there is none */
    struct str public_url;                   /* of this server; absent: not known */
};

struct format_reader {
    struct journal *journal;
    struct store *store;
    struct json_parser *parser;
    struct arena *arena; /* everything in the parts lives here */
};
/* What is told of: the alert at `record_at`, or of a login the event there and what it raised.
 * ERR_NOT_FOUND: it is not in the log any more. */
bool format_read(const struct format_reader *reader, const struct webhook *webhook,
                 enum webhook_event kind, int64_t record_at, struct format_parts *parts_out,
                 struct err *err) MUST_USE;
/* The same of an alert that is at hand and not in the log. */
bool format_take_alert(const struct format_reader *reader, struct str workspace_id,
                       const struct alert *alert, struct format_alert *alert_out,
                       struct err *err) MUST_USE;
/* Appends the body in the webhook's format. ERR_INPUT: the format has no such event; ERR_LIMIT: the
 * buffer or the arena is too small. */
bool format_write(struct buffer *out, const struct format_parts *parts, struct err *err) MUST_USE;
/* The body of POST /webhooks/{id}/test. */
void format_write_test(struct buffer *out, const struct webhook *webhook, int64_t now_us,
                       struct random random);
/* dlv_<uuidv8>: the same for the same record (an alert, or an event), kind and webhook, always. */
void format_delivery_id(struct str record_id, enum webhook_event kind, struct str webhook_id,
                        char out[static ID_SIZE]);
/* The id of the record that the parts tell of: the alert's, or of a login the event's. */
struct str format_record_id(const struct format_parts *parts);

/* -- what a person wants to know of an alert, a row each ------------------------------------- */

struct format_fact {
    const char *name, *label; /* for machines and for people */
    /* Appends it as plain text; nothing: it is not known. */
    void (*write)(struct buffer *out, const struct format_parts *parts);
};
extern const struct format_fact format_facts[];
extern const size_t format_fact_count;

/* Where the alert can be looked at; nothing without a public_url. */
void format_write_link(struct buffer *out, const struct format_parts *parts);
/* At most `size` bytes, whole characters; what was cut ends in "…". */
void format_add_cut(struct buffer *out, struct str text, size_t size);

#endif
