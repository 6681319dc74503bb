/* detect_priv - what the rule types and their frame share.
 *
 * A rule type is one file with one `struct detector`: rows for its conditions, and a step. The
 * frame reads the conditions into the type's own struct by those rows, decides which events it
 * sees, keeps its states and the cooldown, and makes the alert out of what it wrote. */
#ifndef DETECT_PRIV_H
#define DETECT_PRIV_H

#include "codec/address.h"
#include "codec/text.h"
#include "detect/detect.h"
#include "model/limits.h"

#include <endian.h>

#define NOT_GIVEN          INT64_MIN /* an integer condition without a value */
#define CONDITION_LIST_MAX 1000      /* items of any list */
#define CONDITIONS_MAX     65536     /* bytes of a rule's conditions, canonical form */
#define GROUP_FIELDS_MAX   4
#define CHILDREN_MAX       10 /* rules that one combination lists */

/* -- what conditions become ---------------------------------------------------- */

enum glob_shape {
    GLOB_EXACT, /* no star */
    GLOB_PREFIX,
    GLOB_SUFFIX,
    GLOB_INSIDE, /* *text* */
    GLOB_OTHER,
};
struct glob {
    struct str text;   /* as given */
    struct str needle; /* what is between the outer stars; lower case when case is ignored */
    enum glob_shape shape;
};
struct globs {
    const struct glob *items;
    size_t count;
};
struct fields {
    const struct event_path *items;
    size_t count;
};
struct networks {
    const struct network *items; /* the longest prefixes first */
    size_t count;
};
struct texts {
    const struct str *items;
    size_t count;
};
struct integers {
    const int64_t *items;
    size_t count;
};
struct where {
    const struct where_item *items;
    size_t count;
};
struct named_zone {
    struct str name;
    const struct zone *zone;
};
struct exclude {
    struct texts actors, countries;
    struct networks networks;
    struct integers asns;
    struct globs user_agents;
};
/* Which events a rule sees. */
struct filter {
    struct globs actions;
    struct where where;
    const struct exclude *exclude; /* NULL: nobody */
};
/* An event of a certain kind: `first`, `then`, `reset_on`. */
struct match {
    struct globs actions;
    struct where where;
    int64_t count;
};

/* -- rows of conditions ----------------------------------------------------------- */

/* Behind each stands what it becomes. */
enum condition_type {
    CONDITION_INTEGER,   /* int64_t; range low..high */
    CONDITION_NUMBER,    /* double; range low..high */
    CONDITION_BOOLEAN,   /* bool */
    CONDITION_ACTIONS,   /* struct globs: one glob or a list */
    CONDITION_AGENTS,    /* struct globs, case ignored */
    CONDITION_WHERE,     /* struct where */
    CONDITION_FIELD,     /* struct fields of one */
    CONDITION_FIELDS,    /* struct fields */
    CONDITION_ZONE,      /* struct named_zone */
    CONDITION_WEEKDAYS,  /* unsigned, bit 0 is Monday */
    CONDITION_CHOICES,   /* unsigned, bit 0 is the first of `choices` */
    CONDITION_DATES,     /* struct integers: days since the epoch */
    CONDITION_NETWORKS,  /* struct networks */
    CONDITION_TEXTS,     /* struct texts */
    CONDITION_COUNTRIES, /* struct texts */
    CONDITION_ASNS,      /* struct integers */
    CONDITION_RULES,     /* struct texts: ids of rules */
    CONDITION_OBJECT,    /* pointer to a struct; NULL: not given */
    CONDITION_TYPE_COUNT,
};

struct condition {
    const char *name;
    enum condition_type type;
    size_t offset; /* in the struct that the rows fill */
    bool required;
    double low, high;           /* of a number; of a list: how many items */
    const char *fallback;       /* the default, as JSON; NULL: none */
    const char *unless;         /* no default when this other one is given */
    const char *const *choices; /* ended by NULL */
    const struct condition *members;
    size_t member_count, size;
    const char *summary;
};

struct reading {
    struct arena *arena;
    struct violations *violations;
};
/* Notes that the field at `path` … ("must be an integer"). Always false. */
bool reading_complain(struct reading *reading, struct str path, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
/* Arena memory; NULL is noted once, at the end of the reading. */
void *reading_alloc(struct reading *reading, size_t count, size_t size);
struct str path_member(struct reading *reading, struct str path, struct str name);
struct str path_item(struct reading *reading, struct str path, size_t index);

/* Reads an object by rows into the struct at `out`; `whole_out` is it with its defaults. */
bool conditions_read(struct reading *reading, const struct condition *rows, size_t count,
                     struct str path, const struct json *sent, void *out,
                     struct json *whole_out) MUST_USE;
/* One value by its row. */
bool condition_read_value(struct reading *reading, const struct condition *row, struct str path,
                          const struct json *sent, void *out) MUST_USE;
bool where_read(struct reading *reading, const struct condition *row, struct str path,
                const struct json *sent, void *out) MUST_USE;
bool networks_read(struct reading *reading, const struct condition *row, struct str path,
                   const struct json *sent, void *out) MUST_USE;
bool globs_read(struct reading *reading, const struct condition *row, struct str path,
                const struct json *sent, void *out) MUST_USE;
const char *condition_type_name(enum condition_type type);

/* Rows that more than one type has. */
extern const struct condition
    common_conditions[3]; /* into struct filter; the first is action_pattern */
extern const struct condition match_members[2]; /* into struct match */

/* -- asking ------------------------------------------------------------------------- */

bool globs_match(const struct globs *globs, struct str text);
/* Case ignored; the first that matches, or NULL. */
const struct glob *globs_match_agent(const struct globs *globs, struct str agent);
bool where_holds(const struct where *where, const struct event *event);
/* The longest that holds the address, or NULL. */
const struct network *named_networks_find(const struct networks *networks,
                                          const struct address *address);
bool match_holds(const struct match *match, const struct event *event);
bool filter_takes(const struct filter *filter, const struct event *event); /* but for exclude */
bool exclude_holds(const struct exclude *exclude, const struct event *event);

/* -- subjects -------------------------------------------------------------------------- */

struct subject {
    size_t len;
    char bytes[DETECT_SUBJECT_MAX];
};
void subject_add(struct subject *subject, const void *bytes, size_t len);
/* The values of these fields; false when one is absent. */
bool subject_of_fields(struct subject *subject, const struct fields *fields,
                       const struct event *event) MUST_USE;
/* {"field": value, …} */
void group_write(struct buffer *out, const struct fields *fields, const struct event *event);

/* -- states: flat bytes, little-endian ---------------------------------------------------- */

struct state_reader {
    const unsigned char *at, *end;
};
struct state_writer {
    unsigned char *bytes;
    size_t len, cap;
};
uint64_t state_take_long_count(struct state_reader *reader);
void state_put_count(struct state_writer *writer, uint64_t count);
void state_put_time(struct state_writer *writer, int64_t time_us);
void state_put_double(struct state_writer *writer, double number);
void state_put_text(struct state_writer *writer, struct str text);
void state_put_bytes(struct state_writer *writer, const void *bytes, size_t len);

/* Every step reads its state: inline. */
static inline struct state_reader
state_read(struct str state) /* absent: empty */
{
    const unsigned char *at = (const unsigned char *)state.ptr;
    return (struct state_reader){at, at == NULL ? at : at + state.len};
}

static inline uint64_t
state_take_count(struct state_reader *reader)
{
    must(reader->at < reader->end);
    return *reader->at < 0x80 ? *reader->at++ : state_take_long_count(reader);
}

static inline struct str
state_take_bytes(struct state_reader *reader, size_t len)
{
    must((size_t)(reader->end - reader->at) >= len);
    struct str bytes = {(const char *)reader->at, len};
    reader->at += len;
    return bytes;
}

static inline uint64_t
state_take_word(struct state_reader *reader)
{
    uint64_t word;
    memcpy(&word, state_take_bytes(reader, sizeof word).ptr, sizeof word);
    return le64toh(word);
}

static inline int64_t
state_take_time(struct state_reader *reader)
{
    return (int64_t)state_take_word(reader);
}

static inline double
state_take_double(struct state_reader *reader)
{
    uint64_t word = state_take_word(reader);
    double number;
    memcpy(&number, &word, sizeof number);
    return number;
}

static inline struct str
state_take_text(struct state_reader *reader) /* an empty one is absent */
{
    struct str text = state_take_bytes(reader, state_take_count(reader));
    return text.len == 0 ? (struct str){0} : text;
}

/* -- a step -------------------------------------------------------------------------------- */

/* What one listed rule of a combination did on this event. */
struct child_outcome {
    bool fired, raised;
};

struct fold {
    const struct detect_rule *rule;
    struct str old;          /* the state before; absent: none */
    struct state_writer out; /* the state after, once fold_change was called */
    bool changed;
    bool quiet;   /* learning */
    bool wanted;  /* an alert would be raised, so reason and context are to be written */
    bool fired;   /* set by fold_fires */
    bool dropped; /* the event came too late for its window */
    struct buffer reason, context; /* the members of the context, without its braces */
    struct child_outcome children[CHILDREN_MAX];
};
/* The rule has found something. True: write reason and context. */
bool fold_fires(struct fold *fold);
/* Begins the new state. What `old` points to stays readable. */
struct state_writer *fold_change(struct fold *fold);

/* -- a rule type ------------------------------------------------------------------------------ */

struct detector {
    const char *rule_type;
    const char *summary; /* one sentence */
    const char *notes;   /* what there is to know beyond it, and the context */
    enum severity severity;
    int64_t cooldown_minutes;
    const char *pattern; /* default of action_pattern, as JSON; NULL: required */
    bool habit;          /* about somebody's habits: anonymous actors are not seen */
    bool late;           /* folds after the others */
    const struct condition *conditions;
    size_t condition_count, size; /* the struct they fill */
    /* What no single row can say; may prepare more in the struct. NULL: nothing. */
    bool (*check)(struct reading *reading, void *conditions);
    /* NULL: filter_takes. `exclude` is asked by the frame. */
    bool (*sees)(const struct filter *filter, const void *conditions, const struct event *event);
    /* NULL: the actor. False: the event is not for this rule. */
    bool (*subject)(const void *conditions, const struct event *event, struct subject *subject);
    void (*step)(const void *conditions, const struct event *event, struct fold *fold);
    int64_t (*memory_us)(const void *conditions);
};
const struct detector *detector_find(struct str rule_type); /* NULL: no such type */

struct detect_rule {
    const struct detector *type;
    struct rule *rule;
    struct arena arena; /* of the conditions */
    struct filter filter;
    void *conditions;
    int64_t cooldown_us;
    struct detect_rule *children[CHILDREN_MAX]; /* NULL where one is missing */
    size_t child_count;
    bool silenced; /* one is */
};

/* Reads a rule's conditions by the rows of its type. */
bool rule_conditions_read(struct reading *reading, const struct detector *type,
                          const struct json *sent, struct filter *filter_out, void **conditions_out,
                          struct json *whole_out) MUST_USE;

uint32_t table_hash(const struct detect_table *table, struct str subject);
/* Fetches what lies on the way to these subjects. */
enum table_stage { TABLE_BUCKETS, TABLE_NODES, TABLE_CELLS, TABLE_STAGES };
void table_warm(const struct detect_table *table, enum table_stage stage, const uint32_t *hashes,
                size_t count);
/* Where a subject is, or would be; good until the table changes. */
struct table_spot {
    uint32_t hash, node;
    const struct detect_cell *cell; /* NULL: it is not there */
};
struct table_spot table_find(const struct detect_table *table, struct str subject);
/* Puts what the fold made of a subject: as detect_table_put, but makes the cell itself. */
void table_store(struct detect_table *table, const struct table_spot *spot, struct str subject,
                 struct str state, uint64_t stamp);
struct state_writer table_scratch(struct detect_table *table); /* room for one state */
void table_count_late(struct detect_table *table);

/* -- saying it ------------------------------------------------------------------------------- */

struct str actor_shown(const struct event *event);                         /* the name, or the id */
void tell_action(struct buffer *out, const struct event *event);           /* "Ana signed in" */
void tell_place(struct buffer *out, struct str city, struct str country);  /* "Bucharest, RO" */
void tell_list(struct buffer *out, const struct str *items, size_t count); /* "US, DE and 4 more" */
void tell_duration(struct buffer *out, int64_t duration_us);               /* "5 minutes" */
void json_put_texts(struct buffer *out, const char *name, const struct str *items, size_t count);

/* -- folds that several types share (first_seen.c, repeated.c) -------------------- */

#define SEEN_MAX       64  /* values that one state knows */
#define SEEN_VALUE_MAX 256 /* bytes of a value; a longer one is cut and ends in its hash */

struct first_seen {
    int64_t min_history, forget_after_days;
};
extern const struct condition first_seen_conditions[2]; /* into struct first_seen */
int64_t first_seen_memory_us(const void *conditions);
struct sighting {
    struct str previous[SEEN_MAX]; /* in order of first sight, less the value itself */
    size_t count;
    bool known_once; /* it was seen before, but is forgotten */
};
/* Folds one value. True: it is new; write reason and context. */
bool first_seen_step(const void *conditions, struct str value, const struct event *event,
                     struct fold *fold, struct sighting *sighting_out);

struct repeated {
    int64_t threshold, window_minutes, window_seconds;
    struct fields group_by, distinct;
    const struct match *reset_on; /* NULL: nothing does */
    int64_t window_us;
};
bool repeated_check(struct reading *reading, void *conditions);
bool repeated_sees(const struct filter *filter, const void *conditions, const struct event *event);
bool repeated_subject(const void *conditions, const struct event *event, struct subject *subject);
void repeated_step(const void *conditions, const struct event *event, struct fold *fold);
int64_t repeated_memory_us(const void *conditions);

/* Kilometres along a great circle; degrees in. */
double distance_km(double lat_a, double lon_a, double lat_b, double lon_b);

/* -- the types --------------------------------------------------------------------------------- */

extern const struct detector new_country_detector, new_device_detector, new_network_detector,
    off_hours_detector, repeated_action_detector, high_volume_destructive_detector,
    ingestion_spike_detector, impossible_travel_detector, dormant_account_detector,
    blocklisted_ip_detector, suspicious_user_agent_detector, watched_action_detector,
    session_anomaly_detector, sequence_detector, combination_detector;

#endif
