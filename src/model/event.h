/* event - something an actor did, as every later room sees it, and its two
 * written forms.
 *
 * Plain data: no owners, no callbacks. Strings borrow from the arena that the event was read into.
 * An absent string has ptr NULL; an empty string that was sent is absent too.
 *
 * STORED FORM: canonical JSON (RFC 8785) of the members in house.md section 5; what is stored is
 * what is hashed. ANSWERED FORM: `api.md`, "An event, as answered". */
#ifndef MODEL_EVENT_H
#define MODEL_EVENT_H

#include "codec/address.h"
#include "codec/hash.h"
#include "codec/json.h"

struct event_location {
    bool known; /* something of the place is known */
    struct str country, region, city, postal_code, time_zone;
    bool has_point;
    double latitude, longitude;
};

struct event_network {
    bool known;
    int64_t asn; /* 0: unknown */
    struct str org, name;
    const struct str *lists; /* names of the address lists that hold the address, sorted */
    size_t list_count;
};

struct event_device {
    bool known;
    struct str browser, os,
        type; /* families without versions; type: desktop mobile tablet bot other */
    struct str browser_version, os_version; /* not stored when absent */
};

struct event_source {
    struct str kind;   /* "fusionauth"; absent: none */
    struct str sha256; /* hex of the source record's bytes */
};

struct event {
    struct str id; /* evt_<uuidv7> */
    struct str actor_id, actor_name, actor_type;
    struct str action, action_category;
    struct str resource_type, resource_id, resource_name;
    struct json targets;  /* JSON_ABSENT or an array */
    struct json metadata; /* JSON_ABSENT or an object */
    struct str tenant_id, session_id, idempotency_key;
    bool has_version;
    int64_t version;
    struct str ip_address; /* as address_format writes it */
    bool has_address;
    struct address address; /* when has_address */
    struct str user_agent;
    struct event_location location; /* ip_country and ip_city are its country and city */
    struct event_network network;
    struct event_device device;
    struct event_source source;
    int64_t occurred_at; /* microseconds */
    int64_t created_at;  /* microseconds; 0 until the engine stamps it; its position in the log */
};

struct event_integrity {
    unsigned char previous_hash[SHA256_SIZE];
    unsigned char hash[SHA256_SIZE];
};

/* Appends the stored form. `resource` and `targets` always stand in it. `*created_at_offset_out`
 * is where, counted from the first byte appended, the TIME_TEXT_SIZE characters of created_at
 * stand, so that a later hand can fill them. */
void event_write_stored(struct buffer *out, const struct event *event, struct arena *arena,
                        size_t *created_at_offset_out);

/* Reads a stored form back (parsed already), or the answered form of an export: nulls and the
 * members that reads add are passed over. ERR_CORRUPT when it is neither, or has a member that is
 * not known here. */
bool event_read_stored(const struct json *stored, struct arena *arena, struct event *event_out,
                       struct err *err) MUST_USE;

/* Appends the members of the answered form, without the outer braces, so that a caller can add its
 * own. `integrity` NULL leaves that member null. */
void event_write_members(struct buffer *out, const struct event *event,
                         const struct event_integrity *integrity);

/* The redundant `integrity` hash: SHA-256(previous, stored). */
void event_hash(struct sha256 *sha, const unsigned char previous[static SHA256_SIZE],
                struct str stored, unsigned char out[static SHA256_SIZE]);
/* The hash before a workspace's first event. */
void event_chain_start(struct str workspace_id, unsigned char out[static SHA256_SIZE]);

/* -- fields by path: what a rule's `where`, group_by and distinct can name -------- */

#define EVENT_PATH_DEPTH 8
struct event_path {
    struct str text;                    /* "device.os", "metadata.mfa_used" */
    int field;                          /* index in the table of fields */
    struct str below[EVENT_PATH_DEPTH]; /* names below it, for metadata and targets */
    size_t below_count;
};
/* False: no such field, or one that a replay cannot give again (id, created_at, integrity). Texts
 * are borrowed from `text`. */
bool event_path_parse(struct str text, struct event_path *path_out) MUST_USE;
/* Calls `fn` for each value at the path (a path through an array visits each element; an array at
 * the end too); null and empty strings are absent and not shown. Stops when `fn` says false. */
void event_path_each(const struct event *event, const struct event_path *path,
                     bool (*fn)(void *self, const struct json *value), void *self);
/* The first scalar (string, number, boolean) at the path, or JSON_ABSENT. Of occurred_at the
 * microseconds, as a number: its text would have nowhere to live. */
struct json event_path_scalar(const struct event *event, const struct event_path *path);

#endif
