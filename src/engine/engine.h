/* engine - the one writer: dedupe, stamp, detect, chain, append; answers when it is durable.
 *
 * Takes ordered submissions from a source through a bounded queue; never reads a socket, and a
 * clock only through what it is handed. Keeps no timer: it commits as soon as it has anything,
 * and what comes during a sync is the next commit.
 *
 * INVARIANTS. The tests in test/engine/ are named after them.
 *   E1  Between a rule's record and the next of the same rule, its alerts in the log are exactly
 *       its fold, begun at `learnt_from`.
 *   E2  An event is acknowledged only after it and its alerts are durable; an idempotency key
 *       makes at most one event.
 *   E3  Recovery after a crash at any instant gives the state that an uncrashed run over the same
 *       log has.
 *   E4  A commit that failed has changed nothing in memory either: the retry raises what the
 *       first try would have raised. */
#ifndef ENGINE_H
#define ENGINE_H

#include "base/queue.h"
#include "base/system.h"
#include "detect/detect.h"
#include "journal/journal.h"
#include "store/store.h"

#define ENGINE_QUEUE_EVENTS  65536
#define ENGINE_QUEUE_BYTES   (64u * 1024u * 1024u)
#define ENGINE_COMMIT_EVENTS 2000
#define ENGINE_COMMIT_BYTES  (4u * 1024u * 1024u)

/* -- submissions ------------------------------------------------------------------- */

enum engine_status {
    ENGINE_WAITING,
    ENGINE_STORED,    /* at, integrity, alerts are set */
    ENGINE_DUPLICATE, /* the key was seen: `at` is the first one's position (durable by now) */
    ENGINE_FAILED,    /* the disk said no; nothing of it is stored */
    ENGINE_TRIED,     /* a trial: `at` and alerts are what they would be now; nothing is stored */
    ENGINE_HELD,      /* a transaction holds its key: nothing of it is stored */
};

struct engine_item {
    struct event event;
    char *stored; /* stored form; the engine fills created_at in */
    size_t stored_len, created_at_offset;
    struct str source; /* source record, or absent */
    /* The worker looked for the idempotency key in all sealed segments: up to here. 0 when there is
     * no key. If `key_found` is not 0, the first one's position. */
    log_at key_looked_to, key_found;
    bool skip; /* invalid: not for the engine */

    enum engine_status status;
    log_at at;
    struct event_integrity integrity;
    struct alert *alerts; /* stamped, in the submission's arena */
    size_t alert_count;
};

struct submission;
/* Where finished submissions go: called on the log's writer thread (or the engine's), once per
 * commit with all of this sink's that it finished, linked by `next`. Must not wait. */
struct engine_sink {
    void *self;
    void (*done)(void *self, struct submission *finished);
};

struct held_key { /* the engine's */
    struct held_key *next;
    uint64_t hash;
    struct str key;
};

/* Owned by the sender; lent to the engine from engine_submit until it comes back through its
 * sink. */
struct submission {
    struct arena arena; /* everything in it, and what the engine adds (alerts) */
    struct str workspace_id;
    bool backfill; /* alerts are recorded, nothing is delivered */
    /* Of one item: it is not stored, only what it would raise is found out (ENGINE_TRIED). Its
     * idempotency key is held from then on, until engine_let_go; the same submission may be sent
     * again meanwhile, without `trial`, to be stored. A key seen before makes it no trial. */
    bool trial;
    bool holds; /* a key; the engine's */
    struct held_key held;
    struct engine_item *items;
    size_t count;
    size_t weight; /* bytes, for the queue's bound */
    const struct engine_sink *sink;
    void *sender;            /* the sender's own; the engine does not touch it */
    struct submission *next; /* the engine's while lent */
    size_t progress;         /* the engine's */
};

/* -- the engine -------------------------------------------------------------------- */

struct engine_options {
    struct journal *journal;
    struct store *store;         /* rules as asked for are read from here */
    struct store_states *states; /* checkpoints */
    struct clock clock;
    /* Called after a commit with alerts or rule records is durable; must not wait. */
    void (*wake)(void *self);
    void *wake_self;
    int64_t checkpoint_us;      /* 0: a minute; sooner when 500,000 events have come, */
    size_t checkpoint_bytes;    /* or so many bytes of states changed; 0: 64 MiB */
    int64_t last_checkpoint_us; /* what engine_stop may take for it; 0: 3 s; less: nothing */
    size_t subjects_max;        /* 0: DETECT_SUBJECTS_MAX */
    int64_t learning_us;        /* horizon; 0: 90 days */
    bool ends_process;          /* engine_stop may leave memory to the end of the process */
};

struct engine;
/* Recovers: states from the checkpoint, rules and events from the log behind it, folding silently
 * and comparing the alerts computed with those in the log; differences are said and counted. Then
 * starts the threads (engine, learner, checkpointer). */
bool engine_start(const struct engine_options *options, struct engine **engine_out,
                  struct err *err) MUST_USE;
/* Finishes what was submitted, writes a last checkpoint, ends the threads. Where that would take
 * too long it is left out: the next start folds from the one before. */
void engine_stop(struct engine *engine);

/* False when the queue is full, a submission is too heavy, or the engine is stopping: nothing was
 * taken. Any thread. */
bool engine_submit(struct engine *engine, struct submission *submission) MUST_USE;

/* The end of what began with a trial, stored or not: its key is free. Any thread, while the
 * submission is not lent; does nothing when it holds none. */
void engine_let_go(struct engine *engine, struct submission *submission);

/* The rules in the store have changed (or a webhook: `since` needs a position): the learner
 * compares them with those in force and does what is needed. Any thread; never waits. */
void engine_rules_changed(struct engine *engine);
/* Waits until the rule as it stands in the store (this version) is in force, or gone when it was
 * deleted or disabled; false after wait_us. A thread of the pool. */
bool engine_wait_rule(struct engine *engine, struct str rule_id, int64_t version, int64_t wait_us);
enum rule_status engine_rule_status(struct engine *engine, const struct rule *rule);

/* A rule over stored history, nothing stored or sent (POST /rules/backtest). */
struct engine_backtest_day {
    char day[11]; /* 2026-03-27, the UTC date of the event's occurred_at */
    uint64_t count;
};
struct engine_backtest_actor {
    struct str actor_id;
    uint64_t count;
};
struct engine_backtest {
    uint64_t events_scanned, events_matched, alerts_total;
    struct alert *alerts; /* the first 100 */
    size_t alert_count;
    struct engine_backtest_day *by_day; /* alerts, oldest day first */
    size_t day_count;
    struct engine_backtest_actor by_actor[10]; /* those with most alerts */
    size_t actor_count;
};
bool engine_backtest(struct engine *engine, const struct rule *rule, struct log_span span,
                     struct arena *arena, struct engine_backtest *result_out,
                     struct err *err) MUST_USE;

struct engine_stats {
    uint64_t events, duplicates, alerts, suppressed, failed_commits, queue_events;
    uint64_t recovery_differences, checkpoints, checkpoints_late, subjects, subjects_dropped;
    uint64_t state_bytes;
    int64_t checkpoint_at;   /* position of the newest */
    int64_t clock_behind_us; /* how far the wall clock is behind the newest record; 0: it is not */
    uint64_t rules_active, rules_learning;
};
void engine_stats(struct engine *engine, struct engine_stats *stats_out);

#endif
