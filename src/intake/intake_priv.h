/* intake_priv - how a reader of one event says what is wrong, and the check of
 * values whose shape the sender chooses. */
#ifndef INTAKE_PRIV_H
#define INTAKE_PRIV_H

#include "intake/intake.h"

#define INTAKE_PATH_SIZE 512 /* longer paths are cut */

/* One event while it is read. */
struct reading {
    const struct intake_context *context;
    const char *prefix; /* "" or "events[3]." */
    struct event *event;
    struct violations *violations;
};

/* Adds a complaint: prefix and path, and "The <path> field <why>." Returns false. */
bool intake_refuse(const struct reading *reading, struct str path, const char *why);

/* Where we are within a value: the step above, and a name or an index. */
struct intake_step {
    const struct intake_step *up;
    struct str name;
    size_t index; /* when name is absent */
};

/* The same complaint about the value at that step. */
bool intake_refuse_step(const struct reading *reading, const struct intake_step *step,
                        const char *why);

/* Checks all below `value` (an object): no name twice, no number out of range, no NUL, at most
 * LIMIT_METADATA_DEPTH objects and lists deep. Complains of each. `*size_most` grows by an upper
 * bound of its canonical length. */
bool intake_check_value(const struct reading *reading, const struct json *value,
                        const struct intake_step *step, size_t *size_most);
/* How long the canonical form is, counted to `most` + 1. Only for values that were checked. */
size_t intake_canonical_len(const struct json *value, size_t most, struct arena *arena);

/* The two fields with a shape of their own. */
bool intake_read_metadata(const struct reading *reading, const struct json *value);
bool intake_read_targets(const struct reading *reading, const struct json *value);

#endif
