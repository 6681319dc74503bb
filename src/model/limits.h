/* limits - every bound a client can meet, in one place; doc and errors name them. */
#ifndef MODEL_LIMITS_H
#define MODEL_LIMITS_H

#define LIMIT_ID_BYTES        256  /* actor_id, action */
#define LIMIT_STRING_BYTES    1024 /* every other string of an event */
#define LIMIT_TARGETS         100
#define LIMIT_TARGETS_BYTES   65536  /* metadata of all targets together, canonical form */
#define LIMIT_TARGETS_WHOLE   524288 /* all of targets, canonical: a record must hold it */
#define LIMIT_METADATA_KEYS   50
#define LIMIT_METADATA_BYTES  65536 /* canonical form */
#define LIMIT_METADATA_DEPTH  8
#define LIMIT_BODY_EVENT      (1024u * 1024u)
#define LIMIT_BODY_BATCH      (16u * 1024u * 1024u)
#define LIMIT_BATCH_EVENTS    1000
#define LIMIT_NDJSON_EVENTS   10000
#define LIMIT_FUTURE_US       (5 * 60 * 1000000LL) /* occurred_at ahead of the clock */
#define LIMIT_RULES           200                  /* per workspace */
#define LIMIT_RULE_NAME_BYTES 256
#define LIMIT_WEBHOOKS        100 /* per workspace */
#define LIMIT_KEYS            1000
#define LIMIT_MEMBERS         200 /* per workspace */
#define LIMIT_WORKSPACES      1000
#define LIMIT_PAGE            100
#define LIMIT_PAGE_DEFAULT    25
#define LIMIT_VERIFY          1000000 /* events one GET /verify may check; default 10,000 */
#define LIMIT_TENANTS         100     /* named on one key or webhook */
#define LIMIT_NOTE_BYTES      4096    /* an analyst's note on an alert */
#define LIMIT_SOURCE_BYTES    (256u * 1024u)
#define LIMIT_LISTS           16 /* address lists that one event may be on */
#define LIMIT_ALERT_BYTES     (256u * 1024u)

#endif
