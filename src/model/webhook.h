/* webhook - who is called when something is found, and how. */
#ifndef MODEL_WEBHOOK_H
#define MODEL_WEBHOOK_H

#include "codec/jwt.h"
#include "model/alert.h"
#include "model/violation.h"

enum webhook_format {
    WEBHOOK_IMMUTABLE,
    WEBHOOK_FUSIONAUTH,
    WEBHOOK_SLACK,
    WEBHOOK_PAGERDUTY,
};

struct str webhook_format_name(enum webhook_format format);
bool webhook_format_parse(struct str text, enum webhook_format *format_out) MUST_USE;
/* Where it is called when nothing else is said; absent: that must be said. */
struct str webhook_format_url(enum webhook_format format);
/* Whoever knows the URL may post: it is a secret. */
bool webhook_url_is_secret(enum webhook_format format);

/* What a delivery tells of. A format has its own: "alert.…" of an alert each, FusionAuth's of a
 * login each. */
enum webhook_event {
    WEBHOOK_ALERT,
    WEBHOOK_ALERT_RESOLVED,   /* somebody said what became of it */
    WEBHOOK_LOGIN_SUSPICIOUS, /* with every alert that the login raised */
    WEBHOOK_LOGIN_NEW_DEVICE,
    WEBHOOK_LOGIN_SUCCESS,
    WEBHOOK_LOGIN_FAILED,
    WEBHOOK_NOTICE, /* of the server itself, to admins by mail: no format has it */
    WEBHOOK_EVENTS,
};
struct str webhook_event_name(enum webhook_event event);
bool webhook_event_parse(struct str text, enum webhook_event *event_out) MUST_USE;
bool webhook_event_is_login(enum webhook_event event); /* of an event, not of an alert */
bool webhook_event_is_plain(enum webhook_event event); /* of every login, suspicious or not */
bool webhook_event_is_of(enum webhook_event event, enum webhook_format format);
/* Whether a webhook that names no events is told of it. */
bool webhook_event_is_default(enum webhook_event event, enum webhook_format format);
/* Which of FusionAuth's a login is (success or failed); false: it is none. */
bool webhook_login_kind(const struct event *event, enum webhook_event *kind_out);

#define WEBHOOK_URL_MAX         2048
#define WEBHOOK_SECRET_MIN      16
#define WEBHOOK_SECRET_MAX      256
#define WEBHOOK_HEADERS_MAX     20
#define WEBHOOK_ROUTING_KEY_MIN 16
#define WEBHOOK_ROUTING_KEY_MAX 128
#define WEBHOOK_PUBLIC_KEY_SIZE 49 /* "whpk_" and base64 of 32 bytes */

struct webhook {
    struct str workspace_id;
    struct str id; /* whk_<uuid> */
    struct str url, description;
    enum webhook_format format;
    struct json events;     /* array of event types, e.g. ["alert.triggered"] */
    struct json rule_types; /* JSON_ABSENT or array: only these */
    bool has_min_severity;
    enum severity min_severity;
    struct json tenant_ids; /* array; empty: all */
    bool enabled;
    struct str disabled_reason; /* why the server switched it off; absent otherwise */
    struct str secret;          /* whsec_… or as given */
    struct str old_secret;      /* still signs until old_secret_until; absent otherwise */
    int64_t old_secret_until;
    bool asymmetric;            /* signs by Ed25519 too */
    struct str signing_key;     /* whsk_…: base64 of the 32 secret and the 32 public bytes */
    struct str old_signing_key; /* as old_secret */
    struct str routing_key;     /* of format pagerduty: whose incident it is */
    int64_t failing_since;      /* the first of the failures since the last success; 0: none */
    int64_t failed_at;          /* the newest of them */
    struct json headers;        /* JSON_ABSENT or object of strings */
    enum jwt_algorithm signing_algorithm; /* of format fusionauth: HS… by the secret */
    int64_t connect_timeout_ms, timeout_ms;
    int64_t since, until; /* log positions; until 0: in force */
    int64_t created_at, updated_at;
};

/* Whether it takes this alert: channel, events, rule_types, min_severity, tenants, since <= at <
 * until; never a silent one. `enabled` is not asked: switching off sets `until`, and what came
 * before is still owed. */
bool webhook_takes(const struct webhook *webhook, const struct alert *alert);
/* The same without asking for `events`: whether a login's delivery tells of this alert. */
bool webhook_hears(const struct webhook *webhook, const struct alert *alert);
/* Whether it lists this among its `events`. */
bool webhook_wants(const struct webhook *webhook, enum webhook_event event);
/* Whether it is told that this alert was resolved, now. */
bool webhook_takes_resolved(const struct webhook *webhook, const struct alert *alert);
/* Whether it takes every event of this kind, and of this tenant at this position. */
bool webhook_takes_login(const struct webhook *webhook, enum webhook_event kind,
                         struct str tenant_id, int64_t at);

/* The public half of a signing key. False: it is none. */
bool webhook_public_key(struct str signing_key, char out[static WEBHOOK_PUBLIC_KEY_SIZE]) MUST_USE;

/* The answered form, an object; the secret only when `with_secret`. */
void webhook_write(struct buffer *out, const struct webhook *webhook, bool with_secret);

/* The configuration as kept in the store: an object with every member, secrets too. */
void webhook_write_stored(struct buffer *out, const struct webhook *webhook);
bool webhook_read_stored(const struct json *stored, struct webhook *webhook_out,
                         struct err *err) MUST_USE;

/* What was sent to POST or PATCH /webhooks, laid over `*webhook`: url http or https with a host
 * and no user part, known formats and events, ranges. Complaints name the field. A zeroed one
 * (timeouts of 0) is new: it gets the defaults and may be given a secret; when it came without
 * one, the caller makes it ("whsec_" and base64 of 24 to 64 random bytes), and the signing key of
 * one that is asymmetric. On false `*webhook` is as it was. */
bool webhook_read(const struct json *sent, struct arena *arena, struct webhook *webhook,
                  struct violations *violations) MUST_USE;

#endif
