/* rig - a whole engine on a folder of its own: log, store, checkpoints, a clock in the test's hand,
 * a disk that fails when told, and a sender that waits. */
#ifndef SUPPORT_RIG_H
#define SUPPORT_RIG_H

#include "engine/engine.h"
#include "support/event_maker.h"
#include "support/fault_disk.h"

#include <pthread.h>

#define RIG_WORKSPACES 3

struct rig {
    char folder[64];
    struct log_disk disk;
    struct fault_disk fault;
    struct journal *journal;
    struct store *store;
    struct store_states *states;
    struct engine *engine;
    struct log_recovery recovery;
    /* set before rig_start; 0: as the engine's own defaults */
    uint64_t segment_bytes;
    int64_t checkpoint_us, last_checkpoint_us, learning_us, sync_delay_us;
    size_t checkpoint_bytes, subjects_max;
    size_t actors; /* in the world of rig_event; 0: twelve */
    /* the clock */
    _Atomic int64_t wall_us, monotonic_us;
    int64_t step_us; /* each look at the wall clock moves it by so much */
    _Atomic uint64_t wakes;
    /* what is out */
    struct engine_sink sink;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t lent, sink_calls;
    struct json_parser *parser;
    uint64_t ids;
};

void rig_init(struct rig *rig); /* makes a folder */
void rig_fini(struct rig *rig); /* removes it */
/* Opens everything and starts the engine; must() on any error but the engine's and the log's. */
bool rig_start(struct rig *rig, struct err *err) MUST_USE;
void rig_stop(struct rig *rig); /* in order, all of it; or in two steps: */
void rig_halt(struct rig *rig); /* the engine; log and store stay open */
void rig_close(struct rig *rig);
void rig_forget_states(struct rig *rig); /* removes state.db, stopped */
/* Copies state.db aside, and back. */
void rig_save_states(struct rig *rig);
void rig_restore_states(struct rig *rig);

void rig_pass_time(struct rig *rig, int64_t us); /* by both clocks */
struct str rig_workspace(size_t number);

/* An event of a small world in which rules find something: few actors, countries and addresses. Its
 * strings are in the arena; occurred_at is around the wall clock, now and then late. */
struct event rig_event(struct rig *rig, struct dice *dice, struct arena *arena);

/* A submission with these events, ready to go; its arena holds all of it. */
struct submission *rig_submission(struct rig *rig, struct str workspace_id, size_t count);
void rig_item(struct submission *submission, size_t number, const struct event *event);
void rig_submission_free(struct submission *submission);
void rig_submit(struct rig *rig, struct submission *submission);      /* goes on at once */
void rig_wait(struct rig *rig);                                       /* for all that are out */
void rig_await(struct rig *rig, const struct submission *submission); /* for this one */
/* One event, waited for. */
struct submission *rig_send(struct rig *rig, struct str workspace_id, const struct event *event);

/* Puts a rule made from JSON as sent; `id` is its number. The engine is told. Gives its version. */
int64_t rig_put_rule(struct rig *rig, struct str workspace_id, unsigned number, const char *json);
void rig_delete_rule(struct rig *rig, struct str workspace_id, unsigned number);
void rig_rule_id(unsigned number, char out[static ID_SIZE]);
void rig_await_rule(struct rig *rig, unsigned number, int64_t version); /* must() within a while */
/* A random change of a random rule: new, other conditions, other name, disabled, deleted. Gives its
 * number. */
unsigned rig_change_rule(struct rig *rig, struct dice *dice);
bool rig_read_rule(struct rig *rig, const char *json, struct arena *arena, struct rule *rule_out);

#endif
