/* rule - what somebody asked to be told about, and its written form. What its
 * conditions mean is known in detect/ alone. */
#ifndef MODEL_RULE_H
#define MODEL_RULE_H

#include "codec/json.h"

enum severity { SEVERITY_LOW, SEVERITY_MEDIUM, SEVERITY_HIGH, SEVERITY_CRITICAL, SEVERITY_COUNT };
struct str severity_name(enum severity severity);
bool severity_parse(struct str text, enum severity *severity_out) MUST_USE;

enum { CHANNEL_WEBHOOK = 1, CHANNEL_EMAIL = 2 }; /* bits */

enum rule_status { RULE_LEARNING, RULE_ACTIVE, RULE_DISABLED };

struct rule {
    struct str workspace_id;
    struct str id; /* rul_<uuid> */
    struct str name;
    struct str rule_type;
    struct str conditions; /* canonical JSON of the object, with its defaults written in */
    unsigned channels;     /* CHANNEL_ bits */
    struct json emails;    /* JSON_ABSENT or an array of addresses named on the rule */
    enum severity severity;
    bool enabled;
    int64_t cooldown_minutes;
    int64_t version;      /* counts every change of the rule */
    int64_t fold_version; /* counts changes that need learning again: conditions, enabled */
    int64_t created_at, updated_at;
    int64_t learnt_from; /* position where learning began; 0 until in force */
};

/* Appends the whole rule as an object, as in detection.md section 1. `status` names its status.
 * With `internal`, also workspace_id, version, fold_version, learnt_from: the form of rule
 * records. */
void rule_write(struct buffer *out, const struct rule *rule, enum rule_status status,
                bool internal);
/* Reads the internal form back. Strings borrow from the arena of `json`. ERR_CORRUPT. */
bool rule_read(const struct json *json, struct arena *arena, struct rule *rule_out,
               struct err *err) MUST_USE;
/* Copies all strings into one block of the heap; free with rule_free. */
struct rule *rule_copy(const struct rule *rule);
void rule_free(struct rule *rule);

#endif
