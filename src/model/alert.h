/* alert - what a rule found in an event, and its written forms. */
#ifndef MODEL_ALERT_H
#define MODEL_ALERT_H

#include "model/event.h"
#include "model/rule.h"

struct alert {
    struct str id; /* alt_<uuidv8 of event id and rule id> */
    struct str rule_id, rule_name, rule_type;
    enum severity severity;
    unsigned channels;  /* of the rule when it fired */
    struct json emails; /* of the rule when it fired */
    bool silent;        /* raised by history sent in afterwards: recorded, not delivered */
    struct str reason;
    int64_t triggered_at; /* wall clock, microseconds */
    struct str event_id;
    int64_t event_at; /* the event's position */
    struct str actor_id, tenant_id;
    struct str context; /* JSON object */
    int64_t at;         /* the alert's own position; 0 until stamped */
};

/* What the store knows beside the log. */
struct alert_triage {
    struct str status;   /* open, acknowledged, resolved, false_positive */
    struct str note;     /* absent: none */
    struct str by;       /* key or member that said so */
    int64_t at;          /* 0: never touched */
    int64_t notified_at; /* 0: nobody yet */
};

/* SHA-256(event id, rule id), first 16 bytes, as UUIDv8, after "alt_". Both ids as text. */
#define ALERT_ID_SIZE 40
void alert_id(struct str event_id, struct str rule_id, char out[static ALERT_ID_SIZE]);

/* The stored form: one JSON object with every member above. */
void alert_write_stored(struct buffer *out, const struct alert *alert);
/* Reads it back; `context` is written anew into the arena. ERR_CORRUPT when it is none. */
bool alert_read_stored(const struct json *stored, struct arena *arena, struct alert *alert_out,
                       struct err *err) MUST_USE;

/* Appends the members of the answered form without the outer braces: id, rule_id, rule_name,
 * rule_type, severity, reason, triggered_at, notified_at, status, note, … event_id, context. The
 * caller adds `event` where it belongs. `triage` NULL: open. */
void alert_write_members(struct buffer *out, const struct alert *alert,
                         const struct alert_triage *triage);

#endif
