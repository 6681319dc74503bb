/* engine_priv - what the files of the engine share.
 *
 * THREADS. One engine thread owns the stamps, the tables of all rules in force and the commit
 * being built. The log's writer thread says when a commit is durable. The learner compares the
 * rules asked for with those in force and folds new ones over history aside. The keeper writes
 * checkpoints. They talk by one request at a time (learner to engine) and one checkpoint at a
 * time (engine to keeper), both under `lock`; each wakes the engine through its queue. */
#ifndef ENGINE_PRIV_H
#define ENGINE_PRIV_H

#include "engine/engine.h"

#include <pthread.h>
#include <stdatomic.h>

#define LEARNING_US        (90LL * 24 * 3600 * 1000000)
#define CHECKPOINT_US      (60LL * 1000000)
#define CHECKPOINT_BYTES   (64u * 1024 * 1024)
#define LAST_CHECKPOINT_US (3LL * 1000000)
#define CHECKPOINT_EVENTS  500000
#define RETRY_US           1000000 /* after a store or disk said no to a helper thread */
#define RULES_TABLE        "rules" /* of a checkpoint; a rule's own table has a slash in its name */

/* -- stamp.c: positions ------------------------------------------------------------ */

struct stamp {
    struct clock clock;
    log_at last; /* the newest position given out */
    int64_t now; /* the time that is followed, at the last look */
    int64_t anchor_wall, anchor_monotonic;
    int64_t doubted_since; /* monotonic; when `doubting` */
    bool doubting;         /* the wall clock jumped ahead and is not followed */
};
void stamp_init(struct stamp *stamp, struct clock clock, log_at last);
void stamp_look(struct stamp *stamp);
log_at stamp_next(struct stamp *stamp);

/* -- rules.c: rules in force and their states -------------------------------------- */

/* One unbroken fold of a rule, from where learning began, with one table of states. A change of
 * name or cooldown gives it another compiled rule; a change of conditions is another lineage. */
struct lineage {
    struct engine *engine;
    struct str table_name; /* "<rule id>/<fold version>/<learnt from>" */
    struct detect_rule *compiled;
    struct detect_table *table;
    struct workspace *workspace; /* while in force */
    bool late;
    log_at learnt_from;
    log_at in_force_at; /* 0 until it is */
    log_at folded_to;   /* while it is learnt or recovered */
    int64_t bytes;      /* of its states, about */
    struct str row;     /* of the checkpoint's table of rules, once it has landed */

    /* States with a stamp beyond `cut` were not in a checkpoint yet. While `frozen`, what was
     * changed between `cut_before` and `cut` is on its way into one. */
    uint64_t cut, cut_before;
    bool frozen, dropping;
    struct lineage *next; /* landed, retired or dropping ones */
};
/* The rule's own id and versions name it. False: it cannot be run. */
bool lineage_new(struct engine *engine, const struct rule *rule, const struct rule *const *others,
                 size_t other_count, struct lineage **lineage_out, struct err *err) MUST_USE;
void lineage_free(struct lineage *lineage);
const struct rule *lineage_rule(const struct lineage *lineage);

struct workspace {
    struct str id;
    struct lineage **lineages; /* late ones last, by id within; the engine's own order */
    size_t count, cap;
};
struct workspaces {
    struct workspace **slots; /* open addressing by hash */
    size_t count, cap;
};
struct workspace *workspaces_find(const struct workspaces *workspaces, struct str id);
struct workspace *workspaces_need(struct workspaces *workspaces, struct str id);
void workspaces_free(struct workspaces *workspaces);
void workspace_add(struct workspace *workspace, struct lineage *lineage);
void workspace_remove(struct workspace *workspace, struct lineage *lineage);
/* Has the states of these events fetched, for all rules in force. */
void workspace_warm(const struct workspace *workspace, const struct event *const *events,
                    size_t count);

/* A rule in force, as every thread but the engine's sees it: under engine->lock, changed by the
 * learner alone. */
struct standing {
    struct rule *rule;
    struct rule **others; /* that it lists, as they stood when it was learnt */
    size_t other_count;
    struct lineage *lineage;
};
struct standings {
    struct standing **items; /* by rule id */
    size_t count, cap;
};
struct standing *standing_new(const struct rule *rule, const struct rule *const *others,
                              size_t other_count);
void standing_free(struct standing *standing);
struct standing *standings_find(const struct standings *standings, struct str rule_id);
void standings_put(struct standings *standings,
                   struct standing *standing); /* frees the one before */
void standings_remove(struct standings *standings, struct str rule_id);
void standings_free(struct standings *standings);

/* The ids of rules that this one lists ("all" of its conditions). */
size_t rules_listed(struct json_parser *parser, const struct rule *rule, struct arena *arena,
                    struct str **ids_out);
/* The standing ones among those it lists, in its order. */
size_t standings_listed(const struct standings *standings, struct json_parser *parser,
                        const struct rule *rule, struct arena *arena,
                        const struct rule ***others_out);

/* Events read back from the log. */
struct fold_reader {
    struct json_parser *parser;
    struct arena arena; /* of one event, and the alerts it may raise */
};
void fold_reader_init(struct fold_reader *reader);
void fold_reader_fini(struct fold_reader *reader);
bool fold_reader_event(struct fold_reader *reader, const struct journal_row *row,
                       struct event *event_out, struct err *err) MUST_USE;
bool fold_reader_rule(struct fold_reader *reader, const struct journal_row *row,
                      struct rule *rule_out, struct err *err) MUST_USE;

/* -- dirt.c: states that a checkpoint has yet to hold ------------------------------ */

/* Rows that name a subject by one of its cells; a list of chunks, so that lists join at once. */
struct dirt_row {
    struct lineage *lineage;
    struct detect_cell *cell;
    bool gone;
};
#define DIRT_ROWS 1000
struct dirt_chunk {
    struct dirt_chunk *next;
    size_t count, taken;
    struct dirt_row rows[DIRT_ROWS];
};
struct dirt {
    struct dirt_chunk *first, *last;
    size_t rows, bytes;
};
/* Takes over the reference to the cell. */
void dirt_add(struct dirt *dirt, struct lineage *lineage, struct detect_cell *cell, bool gone);
/* All rows, by lineage and subject, those of one subject as they came: so a tree on disk is written
 * from one end to the other. base_free it. */
struct dirt_place {
    const struct dirt_row *row;
    uint64_t key;    /* eight bytes of the subject, behind what all of its lineage begin with */
    uint32_t group;  /* the lineage's number */
    uint32_t number; /* when it came */
};
struct dirt_place *dirt_sort(const struct dirt *dirt);
bool dirt_take(struct dirt *dirt, struct dirt_row *row_out); /* the reference goes with it */
void dirt_join(struct dirt *dirt, struct dirt *more);
void dirt_clear(struct dirt *dirt);
/* Every state of the lineage's table. */
void dirt_add_all(struct dirt *dirt, struct lineage *lineage);
void dirt_forget(struct dirt *dirt, struct lineage *lineage); /* its rows */

struct rule_row { /* of RULES_TABLE */
    struct rule_row *next;
    struct str id, row; /* row absent: gone */
};
struct rule_rows {
    struct rule_row *first, *last;
};
void rule_rows_add(struct rule_rows *rows, struct str id, struct str row); /* takes `row` over */
void rule_rows_clear(struct rule_rows *rows);
/* The row: the rule and those it lists, in their internal form. */
struct str rule_row_write(const struct standing *standing);

struct name_list { /* of tables to drop */
    struct str *items;
    size_t count, cap;
};
void name_list_add(struct name_list *list, struct str name);
void name_list_clear(struct name_list *list);

/* -- the learner's request to the engine ------------------------------------------- */

enum switch_kind {
    SWITCH_IN,    /* `lineage` comes into force, in place of `old` if there is one */
    SWITCH_AMEND, /* `old` goes on with another compiled rule */
    SWITCH_OUT,   /* `old` ceases */
};
struct rule_switch {
    enum switch_kind kind;
    struct rule *rule; /* to be recorded */
    struct lineage *lineage, *old;
    struct detect_rule *compiled; /* AMEND: the new one; the old one after it was done */
    struct str row;               /* for the checkpoint; the engine takes it over when it lands */
    struct dirt dirt;             /* IN: every state; likewise */
};

enum request_outcome { REQUEST_WAITING, REQUEST_DONE, REQUEST_FAILED, REQUEST_BEHIND };
struct switch_request {
    struct rule_switch *items;
    size_t count;
    log_at folded_to; /* the lineages that come in are folded up to here; moves on with the tail */
    enum request_outcome outcome; /* under engine->lock */
    struct err err;
};
/* Folds what is missing, adds the rule records to the commit being built. */
void engine_switch(struct engine *engine);
void engine_switch_undo(struct engine *engine, struct switch_request *request);
void engine_switch_landed(struct engine *engine, struct switch_request *request);

/* -- commit.c: the commit being built, the one in flight --------------------------- */

struct change {
    struct lineage *lineage;
    struct detect_cell *before, *after;
};
struct part { /* items of a submission that are in this commit */
    struct submission *submission;
    size_t first, end;
};
struct finished { /* what goes to a sink when this commit is durable */
    const struct engine_sink *sink;
    struct submission *first, *last;
};
struct key_slot {
    uint64_t hash;
    uint32_t generation; /* of the commit; another: free */
    uint32_t len;
    const char *bytes; /* workspace, tenant, key */
    log_at at;
};
#define KEY_SLOTS 8192 /* a power of two, well above what one commit holds */
_Static_assert(KEY_SLOTS >= 2 * ENGINE_COMMIT_EVENTS, "keys of a commit would crowd");

enum commit_state { COMMIT_BUILDING, COMMIT_FLYING, COMMIT_LANDED, COMMIT_FAILED };
struct commit {
    struct engine *engine;
    _Atomic int state; /* enum commit_state */
    size_t records, items, bytes;
    bool full, wake;
    log_at last_before; /* stamp to go back to */
    log_at last;        /* position of its newest record, once handed over */
    struct change *changes;
    size_t change_count, change_cap;
    struct part *parts;
    size_t part_count, part_cap;
    struct finished *finished;
    size_t finished_count, finished_cap;
    struct arena arena; /* keys */
    struct key_slot *keys;
    size_t key_count;
    uint32_t generation;
    struct switch_request *request;
    uint64_t events, duplicates, alerts, suppressed;
    struct err err; /* why it failed */
};
void commit_init(struct commit *commit, struct engine *engine);
void commit_fini(struct commit *commit);
void commit_add_part(struct commit *commit, struct submission *submission, size_t first,
                     size_t end);
void commit_finish(struct commit *commit, struct submission *submission);
void commit_add_key(struct commit *commit, uint64_t hash, struct str key, log_at at);
log_at commit_find_key(const struct commit *commit, uint64_t hash, struct str key); /* 0: no */
/* Takes back changes of tables down to the first `count`. */
void commit_undo_changes(struct commit *commit, size_t count);
/* Called by a lineage's table before each change. */
void commit_on_change(void *self, struct detect_table *table, struct detect_cell *before,
                      struct detect_cell *after);
/* Hands the commit being built over; waits for the one in flight first. */
void engine_hand_over(struct engine *engine);
/* Looks after the commit in flight, if it has come down. */
void engine_land(struct engine *engine);
/* Nothing is built and nothing in flight afterwards. */
void engine_flush(struct engine *engine);
/* The commit being built cannot be: everything of it fails. */
void engine_break_commit(struct engine *engine, const struct err *why);

/* -- batch.c: submissions ---------------------------------------------------------- */

/* One turn of the submission that waits first. */
void engine_take_turn(struct engine *engine);
/* Takes those whose progress is SUBMISSION_FAILED out of the line and gives them back. */
#define SUBMISSION_FAILED SIZE_MAX
void engine_fail_waiting(struct engine *engine);

/* Workspace, tenant and key of an event, as keys are compared; good until the next call. */
struct str engine_write_key(struct buffer *key, struct str workspace_id, const struct event *event);
/* Where the first event with the item's key is, 0 if there is none; what engine->key holds is the
 * key. */
bool engine_find_first(struct engine *engine, const struct submission *submission,
                       const struct engine_item *item, uint64_t hash, log_at *at_out,
                       struct err *err) MUST_USE;
/* The alerts that the rules raise for the event, stamped behind it, into the submission's arena.
 * Of a trial the states stay as they are. */
void engine_detect(struct engine *engine, struct submission *submission,
                   const struct workspace *workspace, struct engine_item *item);

/* -- trial.c ----------------------------------------------------------------------- */

/* Keys of transactions under way; the engine's thread adds, any takes out. */
struct held_keys {
    pthread_mutex_t lock;
    _Atomic size_t count;
    struct held_key *buckets[1024];
};
void held_keys_init(struct held_keys *held);
void held_keys_fini(struct held_keys *held);
/* Asked by the engine's thread, after it has looked for the key among what is stored. */
bool engine_is_held(struct engine *engine, uint64_t hash, struct str key);
/* True: it is done with. False: it is a trial no more, and to be taken like any other. */
bool engine_try(struct engine *engine, struct submission *submission);

/* -- checkpoint.c ------------------------------------------------------------------ */

struct checkpoint { /* on its way to the store */
    log_at position;
    struct dirt found, overtaken; /* in this order: what was overtaken is written over */
    struct rule_rows rules;
    struct name_list dropped;
    struct lineage *dropping; /* to be freed with it */
};

struct keeping {
    /* the engine's */
    struct dirt dirt;    /* changed since the last cut */
    struct dirt to_find; /* of the cut that is being taken */
    struct rule_rows rules;
    struct name_list dropped;
    struct lineage *retired;
    struct checkpoint *taking; /* not NULL: a cut is being taken */
    log_at landed, cut_at;
    uint64_t events; /* landed since the cut */
    bool whole;      /* nothing is listed: the next one holds every state */
    /* shared */
    _Atomic bool due, busy; /* busy: from the cut until it is written */
    _Atomic bool lost;      /* what was written before is gone */
    _Atomic int64_t end_at; /* monotonic: no writing after that; 0: the end is not near */
    /* under engine->lock */
    struct checkpoint *handed;
    bool hurry;   /* the end is near: no waiting for a better moment */
    bool gave_up; /* one could not be written: no later one may be */
    bool stop;
    int64_t took_us;    /* writing the last one */
    int64_t written_at; /* monotonic */
    pthread_cond_t changed;
};
void keeping_init(struct engine *engine);
void keeping_fini(struct engine *engine);
/* The engine's: a state of this lineage changes; `before` NULL: new; `after` NULL: goes. */
void keeping_on_change(struct engine *engine, struct lineage *lineage, struct detect_cell *before,
                       struct detect_cell *after);
/* A bit of the work that a due checkpoint is; true when there is more to do at once. */
bool keeping_work(struct engine *engine);
void keeping_last(struct engine *engine); /* all of it, at the end */
void *keeper_main(void *engine);

/* -- learn.c ----------------------------------------------------------------------- */

struct learning {
    /* under engine->lock */
    uint64_t asked, planned; /* engine_rules_changed calls; those looked into */
    struct str *pending;     /* ids of rules that are asked for and not in force yet */
    size_t pending_count, pending_cap;
    struct switch_request *request; /* for the engine */
    bool stop;
    /* the learner's own */
    struct standing **jobs; /* rules being learnt */
    size_t job_count, job_cap;
    struct str *broken; /* "<id>/<version>" of rules that cannot be run: each is said once */
    size_t broken_count, broken_cap;
    bool again; /* plan once more: what was switched may let others in */
    struct fold_reader reader;
};
void *learner_main(void *engine);
void learning_fini(struct engine *engine);

/* plan.c: compares what is asked for with what is in force; switches what needs no learning,
 * makes jobs for the rest. */
bool learning_plan(struct engine *engine, struct err *err) MUST_USE;
/* Has the engine do it, and waits; the outcome is in the request. */
void learning_request(struct engine *engine, struct switch_request *request);
/* A job that is not wanted any more, with its lineage. */
void learning_cancel(struct engine *engine, size_t job);
bool others_same(const struct standing *standing, const struct rule *const *others, size_t count,
                 bool to_the_letter);

/* -- feed.c: rows of the log, events parsed ahead on another thread ------------------- */

struct feed_row {
    struct journal_row row; /* `stored` of an event is not kept */
    struct event event;     /* of an event; good for the callback */
};
typedef bool (*feed_fn)(void *self, const struct feed_row *row); /* false: stop */
bool feed_scan(struct engine *engine, const struct log_span *span, uint32_t kinds, feed_fn fn,
               void *self, struct err *err) MUST_USE;

/* -- recover.c --------------------------------------------------------------------- */

/* Fills standings, workspaces, keeping. */
bool engine_recover(struct engine *engine, struct err *err) MUST_USE;
/* restore.c: the checkpoint alone, and its position. False: there is none that can be used; what
 * lies there is dropped with the next. */
bool engine_restore(struct engine *engine, log_at *position_out) MUST_USE;
void recover_say_broken(const struct rule *rule, const struct err *why);
void recover_put_standing(struct engine *engine, const struct rule *rule,
                          const struct rule *const *others, size_t other_count,
                          struct lineage *lineage);
void recover_remove_standing(struct engine *engine, struct str rule_id);

/* -- the engine -------------------------------------------------------------------- */

struct counters {
    _Atomic uint64_t events, duplicates, alerts, suppressed, failed_commits, differences;
    _Atomic uint64_t checkpoints, checkpoints_late, dropped;
    _Atomic int64_t subjects, state_bytes, checkpoint_at;
};

struct engine {
    struct engine_options options;
    struct journal *journal;
    struct log *log;

    struct queue *queue;
    _Atomic size_t queued_events, queued_bytes;
    _Atomic bool mail; /* there is a request */
    struct held_keys held;

    /* the engine thread's */
    struct stamp stamp;
    struct commit commits[2], *building, *flying;
    struct submission *line_first, *line_last; /* taken from the queue, not built yet */
    size_t warmed; /* items at the front of it whose states were asked for */
    struct workspaces workspaces;
    struct lineage *landed; /* in force for good */
    bool failing;           /* the newest commit failed, and that was said */
    struct alert *found;    /* by one event */
    size_t found_cap;
    struct fold_reader reader;
    struct buffer key;

    /* between threads */
    pthread_mutex_t lock;
    pthread_cond_t changed; /* learning and standings */
    struct standings standings;
    struct learning learning;
    struct keeping keeping;
    struct counters counters;

    pthread_t thread, learner, keeper;
};

void engine_lock(struct engine *engine);
void engine_unlock(struct engine *engine);
/* Waits on a condition (CLOCK_MONOTONIC) with the lock held; false: the time has passed. */
bool engine_wait(struct engine *engine, pthread_cond_t *condition, int64_t wait_us);
void engine_count_states(struct engine *engine, struct lineage *lineage, int64_t subjects,
                         int64_t bytes);

/* Grows an array to hold one more. */
void *grow(void *items, size_t count, size_t *cap, size_t size) MUST_USE;

#endif
