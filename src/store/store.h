/* store - what is configured and what is pending, in SQLite: workspaces, keys, rules as asked
 * for, webhooks, settings, triage, deliveries (tocsin.db); and the checkpoints of rule states
 * (state.db), which are derived and can be deleted.
 *
 * ERR_IO: the disk is full or says no, nothing was changed. ERR_CORRUPT: the file is damaged, or
 * none of ours; the sentence names it.
 *
 * Calls may take milliseconds (a sync): only threads of the pool, the notify thread and the
 * engine's helpers call here, never an http worker or the engine's own thread. Every call is
 * thread-safe and one transaction. Structures that come out live in the arena given. */
#ifndef STORE_H
#define STORE_H

#include "base/system.h"
#include "codec/address.h"
#include "model/alert.h"
#include "model/rule.h"
#include "model/webhook.h"

#define STORE_SCHEMA_VERSION 4

struct store;
/* Opens or makes `folder`/tocsin.db (0600), checks it (quick_check), migrates an older schema. A
 * newer schema, or a file that cannot be read, is ERR_CORRUPT naming the file. */
bool store_open(const char *folder, struct store **store_out, struct err *err) MUST_USE;
void store_close(struct store *store);
/* Counts every change of workspaces, keys, members, webhooks and settings: who keeps a snapshot of
 * them looks whether it is still the newest. Cheap; any thread. */
uint64_t store_generation(const struct store *store);

/* -- workspaces ------------------------------------------------------------- */
struct store_workspace {
    struct str id, name; /* ws_<8 hex>; the first is named "default" */
    int64_t created_at;
};
struct store_beginning {
    const struct store_key *key;
    struct rule *rules; /* get their versions */
    size_t rule_count;
    struct str setting, json; /* one setting, by name */
};
/* With all that it begins with (NULL: nothing), or not at all. ERR_CONFLICT: the name is taken. */
bool store_workspace_add(struct store *store, const struct store_workspace *workspace,
                         const struct store_beginning *with, struct err *err) MUST_USE;
bool store_workspaces(struct store *store, struct arena *arena, struct store_workspace **list_out,
                      size_t *count_out, struct err *err) MUST_USE;

/* -- keys ----------------------------------------------------------------------- */
enum { ROLE_INGEST = 1, ROLE_READ = 2, ROLE_TRIAGE = 4, ROLE_ADMIN = 8 };
struct store_key {
    struct str workspace_id, id, label;
    struct str prefix;               /* the first characters, to tell keys apart in a list */
    unsigned char hash[SHA256_SIZE]; /* of the whole key */
    unsigned roles;
    int64_t rate_per_minute;        /* 0: no limit */
    const struct network *networks; /* empty: from anywhere */
    size_t network_count;
    const struct str *tenants; /* empty: all */
    size_t tenant_count;
    int64_t expires_at; /* 0: never */
    int64_t created_at;
};
bool store_key_add(struct store *store, const struct store_key *key, struct err *err) MUST_USE;
bool store_key_delete(struct store *store, struct str workspace_id, struct str id,
                      struct err *err) MUST_USE; /* ERR_NOT_FOUND */
/* workspace_id absent: of all workspaces. */
bool store_keys(struct store *store, struct str workspace_id, struct arena *arena,
                struct store_key **list_out, size_t *count_out, struct err *err) MUST_USE;

/* -- members: the people of a workspace, and whom mail goes to -------------------------- */
enum member_role { MEMBER_OWNER, MEMBER_ADMIN, MEMBER_ANALYST, MEMBER_VIEWER, MEMBER_ROLES };
extern const struct str store_member_role[MEMBER_ROLES];
bool store_member_role_parse(struct str text, enum member_role *role_out) MUST_USE;
struct store_member {
    struct str workspace_id, id; /* mem_<uuid> */
    struct str email;            /* once in a workspace, whatever its case */
    struct str name;             /* absent: none was given */
    enum member_role role;
    int64_t created_at, updated_at;
};
/* ERR_CONFLICT: the address is taken. ERR_LIMIT beyond LIMIT_MEMBERS. */
bool store_member_add(struct store *store, const struct store_member *member,
                      struct err *err) MUST_USE;
/* Email, name and role; ERR_NOT_FOUND, ERR_CONFLICT. */
bool store_member_update(struct store *store, const struct store_member *member,
                         struct err *err) MUST_USE;
bool store_member_delete(struct store *store, struct str workspace_id, struct str id,
                         struct err *err) MUST_USE; /* ERR_NOT_FOUND */
/* workspace_id absent: of all workspaces, one after the other. Oldest first. */
bool store_members(struct store *store, struct str workspace_id, struct arena *arena,
                   struct store_member **list_out, size_t *count_out, struct err *err) MUST_USE;

/* -- notices: what the server itself has to say to a workspace's admins ------------------ */
struct store_notice {
    struct str workspace_id, subject, text;
    int64_t at; /* its identity: moved on until no other has it */
};
bool store_notice_add(struct store *store, struct store_notice *notice, struct err *err) MUST_USE;
bool store_notice(struct store *store, int64_t at, struct arena *arena,
                  struct store_notice *notice_out, struct err *err) MUST_USE; /* ERR_NOT_FOUND */

/* -- rules, as asked for ------------------------------------------------------------- */
/* Adds or replaces by id; bumps version, and fold_version when conditions, rule_type or enabled
 * changed; fills in both. ERR_LIMIT beyond LIMIT_RULES. */
bool store_rule_put(struct store *store, struct rule *rule, struct err *err) MUST_USE;
bool store_rule_delete(struct store *store, struct str workspace_id, struct str id,
                       struct err *err) MUST_USE;
bool store_rules(struct store *store, struct str workspace_id, struct arena *arena,
                 struct rule **list_out, size_t *count_out, struct err *err) MUST_USE;
bool store_rule(struct store *store, struct str workspace_id, struct str id, struct arena *arena,
                struct rule *rule_out, struct err *err) MUST_USE;

/* -- webhooks --------------------------------------------------------------------------- */
/* Adds or replaces by id; an enabled one is in force (`until` 0). ERR_LIMIT beyond LIMIT_WEBHOOKS,
 * ERR_NOT_FOUND when it was deleted. */
bool store_webhook_put(struct store *store, const struct webhook *webhook,
                       struct err *err) MUST_USE;
/* Kept, with `until`, as long as deliveries of it may be wanted; not listed any more. */
bool store_webhook_delete(struct store *store, struct str workspace_id, struct str id,
                          int64_t until, struct err *err) MUST_USE;
/* Switches it off with a reason that is shown; `until` as above. ERR_NOT_FOUND. */
bool store_webhook_disable(struct store *store, const struct webhook *webhook, struct str reason,
                           int64_t until, int64_t now_us, struct err *err) MUST_USE;
/* How its receiver does: the first and the newest failure since the last success; zeros: it
 * answers. Forgotten when it is switched on again or gets another URL. Counts as no change: only
 * the list shows it. */
struct store_health {
    struct str workspace_id, webhook_id;
    int64_t failing_since, failed_at;
};
bool store_webhooks_health(struct store *store, const struct store_health *list, size_t count,
                           struct err *err) MUST_USE;
/* workspace_id absent: all; `ended` also those deleted. */
bool store_webhooks(struct store *store, struct str workspace_id, bool ended, struct arena *arena,
                    struct webhook **list_out, size_t *count_out, struct err *err) MUST_USE;

/* -- settings: small texts by name, per workspace ------------------------------------------ */
bool store_setting_put(struct store *store, struct str workspace_id, struct str name,
                       struct str json, struct err *err) MUST_USE;
/* Puts it where there is none yet, and leaves one that is there as it is. */
bool store_setting_add(struct store *store, struct str workspace_id, struct str name,
                       struct str json, struct err *err) MUST_USE;
bool store_settings(struct store *store, struct str workspace_id,
                    void (*fn)(void *self, struct str workspace_id, struct str name,
                               struct str json),
                    void *self, struct err *err) MUST_USE;

/* -- triage --------------------------------------------------------------------------------- */
bool store_triage_put(struct store *store, struct str workspace_id, struct str alert_id,
                      const struct alert_triage *triage, struct err *err) MUST_USE;
/* Of these alerts, in the order asked; what was never touched is "open"; notified_at is the first
 * successful delivery. */
bool store_triage(struct store *store, struct str workspace_id, const struct str *alert_ids,
                  size_t count, struct arena *arena, struct alert_triage *list_out,
                  struct err *err) MUST_USE;

/* -- deliveries --------------------------------------------------------------------------------
 * A row is unique by (record, webhook, event type): `record_at` is the position of the alert, or,
 * in a format that tells of logins, of the event. */
enum delivery_status { DELIVERY_PENDING, DELIVERY_DELIVERED, DELIVERY_DEAD };
struct store_delivery {
    struct str workspace_id, id; /* dlv_<uuid> = webhook-id header msg id */
    struct str webhook_id, event_type;
    struct str alert_id; /* the first, where it tells of several; empty: it tells of none */
    int64_t record_at;
    enum delivery_status status;
    int64_t attempts;
    int64_t attempts_before; /* the newest replay: from there its schedule counts */
    int64_t next_attempt_at; /* wall clock, when pending */
    int64_t created_at, updated_at;
};
struct store_attempt {
    int64_t number, at, duration_us;
    int64_t status;    /* HTTP; 0: no answer */
    struct str error;  /* absent: none */
    struct str answer; /* its first 1 KiB */
};
/* Makes rows (those that are there already stay as they are) and moves the cursor, in one
 * transaction. A row's created_at is moved on until it is greater than all others', so that a
 * list has a cursor. */
bool store_deliveries_make(struct store *store, const struct store_delivery *rows, size_t count,
                           int64_t cursor, struct err *err) MUST_USE;
bool store_delivery_cursor(struct store *store, int64_t *cursor_out, struct err *err) MUST_USE;
/* What an attempt came to: the new status and time of the next, and the attempt itself. A delivered
 * one marks its alert as notified. A row's updated_at never goes back: a transaction calls before
 * the row is made, and clocks are set. Of each delivery the newest STORE_ATTEMPTS_MAX are kept. */
#define STORE_ATTEMPTS_MAX 100
struct store_outcome {
    /* webhook_id, event_type, record_at, status, attempts, next_attempt_at */
    struct store_delivery delivery;
    struct store_attempt attempt;
    bool forget; /* the row goes instead, which has no attempts yet */
};
bool store_deliveries_update(struct store *store, const struct store_outcome *outcomes,
                             size_t count, struct err *err) MUST_USE;
struct store_range {
    struct str workspace_id, webhook_id;
    int64_t from, to; /* record_at, both included */
};
/* Every pending one, oldest record first; texts are borrowed for the call. */
bool store_deliveries_pending(struct store *store,
                              void (*fn)(void *self, const struct store_delivery *delivery),
                              void *self, struct err *err) MUST_USE;
/* The same of one webhook, and of records from..to. */
bool store_deliveries_pending_of(struct store *store, const struct store_range *range,
                                 void (*fn)(void *self, const struct store_delivery *delivery),
                                 void *self, struct err *err) MUST_USE;
/* Makes the dead ones of these pending and due now, each with a schedule of its own: the newest, at
 * most so many. Not one transaction: what is due was made so, however far it got. */
bool store_deliveries_revive(struct store *store, const struct store_range *range, int64_t now_us,
                             size_t most, size_t *count_out, struct err *err) MUST_USE;
/* Makes it pending and due now, whatever it was, with a schedule of its own. ERR_NOT_FOUND. */
bool store_delivery_replay(struct store *store, struct str workspace_id, struct str id,
                           int64_t now_us, struct arena *arena, struct store_delivery *delivery_out,
                           struct err *err) MUST_USE;
struct store_delivery_filter {
    struct str webhook_id, alert_id;
    bool has_status;
    enum delivery_status status;
    int64_t cursor; /* created_at strictly before this; 0: newest */
    size_t limit;
};
bool store_deliveries(struct store *store, struct str workspace_id,
                      const struct store_delivery_filter *filter, struct arena *arena,
                      struct store_delivery **list_out, size_t *count_out,
                      struct err *err) MUST_USE;
bool store_delivery(struct store *store, struct str workspace_id, struct str id,
                    struct arena *arena, struct store_delivery *delivery_out,
                    struct store_attempt **attempts_out, size_t *attempt_count_out,
                    struct err *err) MUST_USE;
/* Counts by status for metrics, and the oldest pending one's creation. */
struct store_delivery_counts {
    int64_t pending, delivered, dead, oldest_pending_at;
};
bool store_delivery_counts(struct store *store, struct store_delivery_counts *counts_out,
                           struct err *err) MUST_USE;
/* Removes delivered and dead ones older than that (retention), and notices. */
bool store_deliveries_prune(struct store *store, int64_t before, struct err *err) MUST_USE;

/* -- checkpoints of rule states (state.db, its own connection) -----------------------------
 * One thread at a time writes. A file that is missing or unreadable is made anew and said (the old
 * one is kept beside it as state.db.bad): it is derived. When damage shows only while reading, that
 * call says ERR_CORRUPT, and the file is then a new and empty one: go on as if there had been
 * none. */
struct store_states;
bool store_states_open(const char *folder, struct store_states **states_out,
                       struct err *err) MUST_USE;
void store_states_close(struct store_states *states);
/* The position of the newest whole checkpoint; 0: none. `log_seed` must be the one it was made
 * with (a checkpoint of another folder's log is thrown away). */
bool store_states_position(struct store_states *states, uint64_t log_seed, int64_t *position_out,
                           struct err *err) MUST_USE;
struct store_state {
    struct str table; /* which rule (and part of it) */
    struct str subject, state;
    uint64_t stamp;
    bool gone; /* to be removed */
};
/* A checkpoint: rows given through `next`, tables to drop whole, and the position, all in one
 * transaction. When `next` abandons it, nothing is written: ERR_LIMIT. */
enum store_next { STORE_NEXT_ROW, STORE_NEXT_END, STORE_NEXT_ABANDON };
bool store_states_write(struct store_states *states, int64_t position, uint64_t log_seed,
                        enum store_next (*next)(void *self, struct store_state *row_out),
                        void *self, const struct str *dropped, size_t dropped_count,
                        struct err *err) MUST_USE;
bool store_states_read(struct store_states *states,
                       void (*fn)(void *self, const struct store_state *row), void *self,
                       struct err *err) MUST_USE;

#endif
