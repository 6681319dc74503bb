/* detect - which events are worth telling someone about.
 *
 * A rule is a fold: state', alert? = step(rule, state, event). No clock, no disk, no randomness:
 * time is the event's own, so live detection, learning, back-test and replay are one function.
 * One file per rule type, each with one row in the table of detectors (detectors.c).
 *
 * STATES. A rule keeps a state per subject: a flat run of bytes, at most DETECT_STATE_MAX, made
 * and read by its detector alone. The frame keeps, in front of it, when the rule last raised an
 * alert for the subject and how many were held back since (cooldown). States live in a table per
 * rule. */
#ifndef DETECT_H
#define DETECT_H

#include "codec/time.h"
#include "model/alert.h"
#include "model/event.h"
#include "model/rule.h"
#include "model/violation.h"

#define DETECT_STATE_FORMAT 1       /* states written under another number cannot be read */
#define DETECT_STATE_MAX    65536   /* bytes of one state */
#define DETECT_SUBJECT_MAX  4608    /* bytes of a subject: four fields of 1,024 and their marks */
#define DETECT_SUBJECTS_MAX 1000000 /* of one rule; beyond, the one stepped longest ago goes */

/* -- rules as sent ----------------------------------------------------------------- */

/* Reads what was sent to POST, PUT or PATCH /rules over `*rule` (zeroed for a new one): checks
 * name, rule_type, conditions, channels, severity, enabled, cooldown_minutes; writes all
 * defaults in, so that conditions is whole canonical JSON. `patch`: members not sent stay. An
 * unknown member is refused by name. Texts are made in the arena. Does not touch id, versions,
 * times. */
bool detect_read_rule(const struct json *sent, bool patch, struct arena *arena, struct rule *rule,
                      struct violations *violations) MUST_USE;

/* What only the other rules of the workspace can tell: a combination lists rules that exist and
 * are no combinations, and a rule that one lists does not become one. `others` may hold the rule
 * itself, as it was. True for rules of other types. */
bool detect_check_listed(const struct rule *rule, const struct rule *const *others,
                         size_t other_count, struct violations *violations) MUST_USE;
/* Whether it is a combination that lists this one: then that one cannot be deleted. */
bool detect_lists(const struct rule *rule, struct str rule_id);

/* -- rules that run ------------------------------------------------------------------ */

struct detect_rule; /* compiled; immutable; keeps its own copy of the rule */
/* ERR_INPUT if detect_read_rule would refuse the conditions, or a combination lists one. `others`
 * are the rules a combination may list (may be NULL, 0 for other types); one that is not there
 * silences it. */
struct detect_rule *detect_rule_new(const struct rule *rule, const struct rule *const *others,
                                    size_t other_count, struct err *err) MUST_USE;
void detect_rule_free(struct detect_rule *rule);
const struct rule *detect_rule_of(const struct detect_rule *rule);
/* How far back it remembers at most, in microseconds: learning begins so much before its horizon.
 * INT64_MAX: for ever. */
int64_t detect_rule_memory_us(const struct detect_rule *rule);
/* Combinations fold after the plain rules. */
bool detect_rule_is_late(const struct detect_rule *rule);

/* -- the tables of states ------------------------------------------------------------ */

/* One state, never changed once made, shared by counting. */
struct detect_cell {
    uint32_t references; /* atomic */
    uint32_t subject_len, state_len;
    uint32_t state_room; /* there is memory for so much */
    uint64_t stamp;      /* position of the event that made it: the order in which subjects go */
    char bytes[];        /* subject, then state */
};
/* With one reference. */
struct detect_cell *detect_cell_new(struct str subject, struct str state, uint64_t stamp);
struct detect_cell *detect_cell_keep(struct detect_cell *cell);
void detect_cell_release(struct detect_cell *cell);
size_t detect_cell_bytes(const struct detect_cell *cell); /* of memory, about; in a table */

/* subject -> cell, at most DETECT_SUBJECTS_MAX (or `subjects_max` when smaller, for tests). One
 * thread at a time. */
struct detect_table;
struct detect_table *detect_table_new(size_t subjects_max);
void detect_table_free(struct detect_table *table);
const struct detect_cell *detect_table_get(const struct detect_table *table, struct str subject);
/* Puts a state; takes over the reference to `cell`. Adding one subject too many drops the one with
 * the oldest stamp. */
void detect_table_put(struct detect_table *table, struct detect_cell *cell);
void detect_table_each(const struct detect_table *table,
                       bool (*fn)(void *self, struct detect_cell *cell), void *self);
size_t detect_table_count(const struct detect_table *table);
size_t detect_table_bytes(const struct detect_table *table);     /* those of its cells */
uint64_t detect_table_dropped(const struct detect_table *table); /* subjects that had to go */
uint64_t detect_table_late(const struct detect_table *table); /* events too old for their window */

/* What was changed, so that the owner can put it back or write it down. Called on each put,
 * before it takes effect: `before` NULL when the subject is new; `after` NULL when it goes. */
typedef void (*detect_change_fn)(void *self, struct detect_table *table, struct detect_cell *before,
                                 struct detect_cell *after);
void detect_table_watch(struct detect_table *table, detect_change_fn fn, void *self);
/* Undoes one change, newest first; not watched. Takes over no reference. */
void detect_table_undo(struct detect_table *table, struct detect_cell *before,
                       struct detect_cell *after);

/* -- the fold -------------------------------------------------------------------------- */

/* One rule over one event, which has its created_at (the stamp). True: `*alert_out` is an alert,
 * its texts in the arena, all set but triggered_at, at and silent. `quiet`: learning; nothing is
 * raised, cooldown included. False otherwise; the arena running out is must() (it is sized for
 * it). */
bool detect_step(const struct detect_rule *rule, struct detect_table *table,
                 const struct event *event, bool quiet, struct arena *arena,
                 struct alert *alert_out);

/* The same, and nothing is kept: the table is as it was. What the next step would raise. */
bool detect_try(const struct detect_rule *rule, struct detect_table *table,
                const struct event *event, struct arena *arena, struct alert *alert_out);

/* Asks the processor for the states that these steps will want, so that memory is waited for once
 * and not for each. Changes nothing, and no step needs it; looks at DETECT_WARM events at most. */
#define DETECT_WARM 16
struct detect_pair {
    const struct detect_rule *rule;
    const struct detect_table *table;
};
void detect_warm(const struct detect_pair *pairs, size_t pair_count,
                 const struct event *const *events, size_t count);

/* Quick look whether the rule sees the event at all. */
bool detect_sees(const struct detect_rule *rule, const struct event *event);

/* -- what there is, for doc/rules.md and GET /rule-types --------------------------------- */

/* Appends a JSON array: rule_type, summary, notes, severity, cooldown_minutes, conditions
 * [{name, type, required, range {min,max} or items {min,max} or null, values?, default, summary,
 * members?}]. */
void detect_write_types(struct buffer *out);
bool detect_type_exists(struct str rule_type);

#endif
