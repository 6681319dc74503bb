/* journal_priv - what the files of the journal share. */
#ifndef JOURNAL_PRIV_H
#define JOURNAL_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "codec/hash.h"
#include "journal/journal.h"
#include "model/limits.h"

#define HEADS_MAX   1024 /* workspaces; LIMIT_WORKSPACES and some air */
#define HEAD_SLOTS  4096
#define READERS_MAX 8 /* kept; more are made and thrown away */

/* -- heads.c: where each workspace's chain stands -------------------------------------- */

/* The owner's thread moves it; the atomic counts follow when a commit is durable, for readers. */
struct head {
    struct str workspace_id;
    unsigned char hash[SHA256_SIZE];
    uint64_t events, alerts;
    uint64_t saved_in; /* serial of the commit that has what it was before */
    _Atomic uint64_t durable_events, durable_alerts;
};

/* What a head was before a commit moved it, and what that commit made of its counts. */
struct head_change {
    struct head *head;
    unsigned char hash[SHA256_SIZE];
    uint64_t events, alerts;
    uint64_t events_after, alerts_after;
};

/* There are two: one is built while the other is in flight. */
struct journal_commit {
    uint64_t serial; /* unique, from 1 */
    struct head_change *changes;
    size_t change_count;
    atomic_bool failed;
    log_done_fn done;
    void *done_self;
};

struct heads {
    struct head *list;
    _Atomic size_t count;
    uint16_t slots[HEAD_SLOTS]; /* index + 1, by hash of the workspace's id; the owner's */
};

struct journal {
    struct log *log;
    uint64_t seed;
    struct sha256 *sha; /* the owner's */
    struct heads heads;
    struct journal_commit commits[2];
    struct journal_commit *building;
    struct journal_commit *flight; /* handed over last; NULL before the first, and once undone */
    uint64_t serial;

    pthread_mutex_t readers_lock;
    struct reader *readers[READERS_MAX];
    size_t reader_count;
};

void heads_init(struct journal *journal);
void heads_fini(struct journal *journal);
/* The head of that workspace, made at the chain's start if it is new. The owner's thread. */
struct head *heads_of(struct journal *journal, struct str workspace_id);
/* Remembers what the head was, once per commit, before it is moved. */
void heads_save(struct journal *journal, struct head *head);
void heads_undo(struct journal_commit *commit);
void heads_publish(struct journal_commit *commit); /* the writer's thread */
/* How many durable events and alerts a workspace has; any thread. */
void heads_counts(struct journal *journal, struct str workspace_id, uint64_t *events_out,
                  uint64_t *alerts_out);
/* The note of a segment: heads as they were before the commit being built. */
void heads_write_note(void *self, struct buffer *note);
bool heads_read_note(struct journal *journal, struct str note, struct err *err) MUST_USE;

/* -- terms.c: what a record is found by ---------------------------------------------------- */

enum term_field {
    TERM_KIND = 1,
    TERM_EVENT_ID,
    TERM_ACTOR,
    TERM_ACTION,
    TERM_RESOURCE,
    TERM_RESOURCE_ID,
    TERM_SESSION,
    TERM_TENANT,
    TERM_IP,
    TERM_COUNTRY,
    TERM_KEY, /* tenant and idempotency key */
    TERM_TARGET_TYPE,
    TERM_TARGET_ID,
    TERM_TARGET,       /* type and id */
    TERM_TARGETS_MANY, /* not all of its targets have terms */
    TERM_ALERT_ID,
    TERM_ALERT_EVENT,
    TERM_ALERT_RULE,
    TERM_ALERT_RULE_TYPE,
    TERM_ALERT_SEVERITY,
    TERM_ALERT_ACTOR,
    TERM_ALERT_TENANT,
    TERM_SOURCE_EVENT,
    TERM_RULE,
};
uint64_t term_of(const struct journal *journal, enum term_field field, struct str workspace_id,
                 struct str value);
uint64_t term_of_two(const struct journal *journal, enum term_field field, struct str workspace_id,
                     struct str first, struct str second);
uint64_t term_of_kind(const struct journal *journal, enum journal_kind kind,
                      struct str workspace_id);
size_t terms_of_event(const struct journal *journal, struct str workspace_id,
                      const struct event *event, uint64_t terms[static LOG_TERMS_MAX]);
size_t terms_of_alert(const struct journal *journal, struct str workspace_id,
                      const struct alert *alert, uint64_t terms[static LOG_TERMS_MAX]);

/* -- rows.c: records taken apart -------------------------------------------------------------- */

#define ROW_SILENT '-' /* behind an event's hashes, where JSON begins otherwise */
/* False: these bytes are no record of that kind. */
bool row_decode(const struct log_row *from, struct journal_row *row_out) MUST_USE;
bool row_corrupt(const struct log_row *row, struct err *err); /* says so; returns false */
/* The first member "name" of a stored form; `pattern` is `"name":"`. No string in it can hold these
 * bytes, since a quote inside a string is escaped. Absent when it is not there. */
struct str row_member(struct str stored, struct str pattern);
#define ROW_ID       STR("\"id\":\"")
#define ROW_EVENT_ID STR("\"event_id\":\"")
struct str row_id(const struct journal_row *row); /* of an event, alert or rule */

/* What reading the JSON of rows needs; kept by the journal and lent to one thread at a time. */
struct reader {
    struct json_parser *parser;
    struct arena arena;
};
struct reader *reader_take(struct journal *journal);
void reader_give(struct journal *journal, struct reader *reader);
/* Good until the next call with this reader. */
bool reader_event(struct reader *reader, struct str stored, struct event *event_out,
                  struct err *err) MUST_USE;
bool reader_json(struct reader *reader, struct str stored, struct json *json_out,
                 struct err *err) MUST_USE;

/* -- filters.c: lists ---------------------------------------------------------------------- */

/* Groups of terms, one per filter, and what they cannot tell. */
#define QUERY_GROUPS  16
#define QUERY_ACTIONS 256 /* actions that a pattern may become terms for */
struct query {
    uint64_t terms[QUERY_ACTIONS + LIMIT_TENANTS + 2 * QUERY_GROUPS];
    size_t term_count;
    struct log_any groups[QUERY_GROUPS];
    size_t group_count;
    bool filtered; /* by more than workspace and kind */
    bool inexact;  /* the records themselves must be asked */
    bool nothing;  /* no record can match */
};
bool query_events(struct journal *journal, struct str workspace_id,
                  const struct journal_event_filter *filter, struct log_span span,
                  struct query *query_out, struct err *err) MUST_USE;
void query_alerts(struct journal *journal, struct str workspace_id,
                  const struct journal_alert_filter *filter, struct query *query_out);
bool filter_holds(const struct journal_event_filter *filter, const struct event *event);

#endif
