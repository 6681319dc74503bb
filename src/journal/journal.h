/* journal - events, their sources, alerts and rules as records of the log: which
 * terms they are found by, the event chain, filtered queries.
 *
 * RECORDS. Every payload begins with one byte, the length of the workspace id, and the id. Then:
 *   JOURNAL_EVENT   previous hash (32 bytes), event hash (32 bytes), '-' if nobody is to be told of
 *                   it, stored form of the event (which begins with '{')
 *   JOURNAL_SOURCE  event id (40 bytes), what the source sent beyond our fields, as JSON
 *   JOURNAL_ALERT   stored form of the alert
 *   JOURNAL_RULE    one byte ('+' in force from here, '-' ceased), internal form of the rule
 * The event chain runs through a workspace's events; its heads are kept in each segment's note.
 *
 * The writing half belongs to the engine's thread; the reading half is for any thread. */
#ifndef JOURNAL_H
#define JOURNAL_H

#include "log/log.h"
#include "model/alert.h"
#include "model/event.h"
#include "model/ids.h"
#include "model/rule.h"

enum journal_kind { JOURNAL_EVENT = 1, JOURNAL_SOURCE, JOURNAL_ALERT, JOURNAL_RULE };
#define JOURNAL_KIND_BIT(kind) (1u << (kind))

struct journal;
struct journal_options {
    struct log_options log; /* write_note is the journal's own */
};
/* Opens the log and finds the heads of all event chains (note, then the newest segment). */
bool journal_open(const struct journal_options *options, struct journal **journal_out,
                  struct log_recovery *recovery_out, struct err *err) MUST_USE;
void journal_close(struct journal *journal);
struct log *journal_log(struct journal *journal); /* for stats, verify, positions */

/* -- writing ---------------------------------------------------------------- */

/* Stamps (fills created_at into `stored` at the offset), chains and adds one event; `at` is
 * greater than any position before. The integrity goes out to be answered. */
struct journal_event {
    struct str workspace_id;
    const struct event *event; /* for its terms */
    char *stored;              /* stored form, created_at to be filled in */
    size_t stored_len, created_at_offset;
    bool silent; /* of history sent in afterwards: nobody is told of it */
};
bool journal_add_event(struct journal *journal, log_at at, const struct journal_event *event,
                       struct event_integrity *integrity_out, struct err *err) MUST_USE;
bool journal_add_source(struct journal *journal, log_at at, struct str workspace_id,
                        struct str event_id, struct str source, struct err *err) MUST_USE;
bool journal_add_alert(struct journal *journal, log_at at, struct str workspace_id,
                       const struct alert *alert, struct err *err) MUST_USE;
bool journal_add_rule(struct journal *journal, log_at at, const struct rule *rule, bool in_force,
                      struct err *err) MUST_USE;
/* As log_commit, log_discard, log_drain; the chain heads follow: whatever failed or was dropped has
 * not moved them. ERR_LIMIT from an add means: commit what there is, then add again. */
bool journal_commit(struct journal *journal, log_done_fn done, void *self,
                    struct err *err) MUST_USE;
void journal_discard(struct journal *journal);
/* False: the commit in flight failed, and what was being built on it is discarded too. */
bool journal_drain(struct journal *journal, struct err *err) MUST_USE;

/* -- reading ------------------------------------------------------------------- */

/* A record of any kind, taken apart but not parsed. Good for the callback only. */
struct journal_row {
    log_at at;
    enum journal_kind kind;
    struct str workspace_id;
    struct event_integrity integrity; /* of an event */
    struct str event_id;              /* of a source: whose it is */
    struct str stored;                /* the JSON */
    bool in_force;                    /* of a rule */
    bool silent;                      /* of an event; an alert says it itself */
};
typedef bool (*journal_row_fn)(void *self, const struct journal_row *row); /* false: stop */

/* All records of the kinds (JOURNAL_KIND_BIT) in the span. For recovery, learning, delivery,
 * export. `workspace_id` absent: all workspaces. */
bool journal_scan(struct journal *journal, struct log_span span, uint32_t kinds,
                  struct str workspace_id, journal_row_fn fn, void *self, struct err *err) MUST_USE;

/* The event with this id, or at this position; ERR_NOT_FOUND. */
bool journal_find_event(struct journal *journal, struct str workspace_id, struct str event_id,
                        journal_row_fn fn, void *self, struct err *err) MUST_USE;
bool journal_event_at(struct journal *journal, struct str workspace_id, log_at at,
                      journal_row_fn fn, void *self, struct err *err) MUST_USE;
bool journal_find_alert(struct journal *journal, struct str workspace_id, struct str alert_id,
                        journal_row_fn fn, void *self, struct err *err) MUST_USE;
/* The alerts an event raised, in order. */
bool journal_alerts_of(struct journal *journal, struct str workspace_id, struct str event_id,
                       journal_row_fn fn, void *self, struct err *err) MUST_USE;
bool journal_find_source(struct journal *journal, struct str workspace_id, struct str event_id,
                         journal_row_fn fn, void *self, struct err *err) MUST_USE;

/* Is there an event with this key (of workspace and tenant) in the span? `*at_out` is its
 * position, 0 if none. Kept findable for at least seven days; in fact as long as its segment. */
bool journal_find_key(struct journal *journal, struct str workspace_id, struct str tenant_id,
                      struct str key, struct log_span span, log_at *at_out,
                      struct err *err) MUST_USE;

/* -- lists --------------------------------------------------------------------- */

struct journal_page {
    log_at from, to; /* inclusive; 0 and UINT64_MAX (or 0): no bound */
    log_at cursor;   /* rows strictly beyond it, in the list's direction; 0: from the beginning */
    bool ascending;  /* default: newest first */
    size_t limit;
    int64_t budget_us;    /* looks for at most so long, by `clock`; */
    uint64_t budget_rows; /* and at so many records */
    struct clock clock;
};

struct journal_page_result {
    size_t count;
    bool has_more;
    log_at next_cursor; /* 0: none */
    uint64_t total;     /* from the index alone, to 10,000 */
    bool total_is_exact;
};

/* Absent members do not filter. `tenants`: when count > 0, only events of these (a key's own
 * bounds). */
struct journal_event_filter {
    struct str actor_id, action /* may hold `*` */, resource, resource_id, tenant_id, session_id;
    struct str target_type, target_id, ip_address, ip_country, search;
    const struct str *tenants;
    size_t tenant_count;
};
bool journal_list_events(struct journal *journal, struct str workspace_id,
                         const struct journal_event_filter *filter, const struct journal_page *page,
                         journal_row_fn fn, void *self, struct journal_page_result *result_out,
                         struct err *err) MUST_USE;

struct journal_alert_filter {
    struct str rule_type, rule_id, severity, actor_id;
    const struct str *tenants;
    size_t tenant_count;
    /* Asked for each alert that passes the rest; NULL: no more to ask. For the triage status. */
    bool (*keep)(void *self, struct str alert_id);
    void *keep_self;
};
/* page->from and to are on triggered_at here, which may differ a little from the position: the
 * span of positions looked at is that of the page widened by a minute at both ends. */
bool journal_list_alerts(struct journal *journal, struct str workspace_id,
                         const struct journal_alert_filter *filter, const struct journal_page *page,
                         journal_row_fn fn, void *self, struct journal_page_result *result_out,
                         struct err *err) MUST_USE;

/* -- the event chain -------------------------------------------------------------- */

struct journal_break {
    struct str event_id;
    const char *type; /* "hash_mismatch" or "chain_break" */
    unsigned char expected[SHA256_SIZE], actual[SHA256_SIZE];
};
struct journal_verdict {
    bool valid;
    uint64_t events_checked;
    bool has_head; /* the newest event checked */
    char head_event_id[ID_SIZE];
    unsigned char head_hash[SHA256_SIZE];
    int64_t head_created_at;
};
/* Recomputes the chain over the workspace's events in the span, at most `limit`, oldest first; the
 * predecessor of the first is read too, so that its link is checked. */
bool journal_verify(struct journal *journal, struct str workspace_id, struct log_span span,
                    uint64_t limit, void (*fn)(void *self, const struct journal_break *found),
                    void *self, struct journal_verdict *verdict_out, struct err *err) MUST_USE;

#endif
