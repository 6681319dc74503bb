/* oracle - what must be in the log and in the checkpoint, computed from the log's events and rule
 * records alone, one rule at a time, in the plainest way there is. */
#ifndef SUPPORT_ORACLE_H
#define SUPPORT_ORACLE_H

#include "support/rig.h"

struct oracle_verdict {
    size_t events, alerts, lineages; /* seen in the log */
    size_t alerts_missing;           /* computed, not in the log */
    size_t alerts_too_many;          /* in the log, not computed */
    size_t alerts_astray;            /* not behind their own event, or with another's position */
    size_t states, states_wrong;     /* in the checkpoint; wrong, missing or too many */
};
/* The journal is open. With `states`, the checkpoint must be of the log's end. */
struct oracle_verdict oracle_ask(struct journal *journal, struct store_states *states,
                                 size_t subjects_max);
/* As many as there are faults in it. */
size_t oracle_faults(const struct oracle_verdict *verdict);

#endif
