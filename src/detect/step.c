/* step - one rule over one event: the frame around the rule types.
 *
 * STATE. Flags; when the rule last raised an alert for the subject, and how many were held back
 * since, if there is either; then the type's own bytes. In the table of a combination each
 * subject has a byte in front: the number of the listed rule, or OWN for the combination's own. */
#include "detect/detect_priv.h"

#include <string.h>

enum { HAS_LAST = 1, HAS_HELD = 2, HEAD_MAX = 1 + 8 + 10, OWN = 0xff };

/* What goes through all rules of one step. */
struct walk {
    struct detect_table *table;
    const struct event *event;
    bool quiet;
    bool tries; /* nothing is kept */
};

struct verdict {
    bool fired, raised;
    uint64_t held; /* before this one was raised */
};

/* What the frame keeps of a subject. */
struct cooldown {
    bool has_last;
    int64_t last_us;
    uint64_t held;
};

bool
detect_sees(const struct detect_rule *rule, const struct event *event)
{
    const struct detector *type = rule->type;
    if (rule->silenced)
        return false;
    if (!(type->sees != NULL ? type->sees(&rule->filter, rule->conditions, event)
                             : filter_takes(&rule->filter, event)))
        return false;
    if (type->habit && str_equal(event->actor_type, STR("anonymous")))
        return false;
    return rule->filter.exclude == NULL || !exclude_holds(rule->filter.exclude, event);
}

/* Not by clearing all of it: most steps need little. */
static void
fold_begin(struct fold *fold, bool wanted)
{
    fold->old = (struct str){0};
    fold->changed = fold->fired = fold->dropped = false;
    fold->wanted = wanted;
}

bool
fold_fires(struct fold *fold)
{
    fold->fired = true;
    if (!fold->wanted)
        return false;
    buffer_init(&fold->reason, LIMIT_ALERT_BYTES);
    buffer_init(&fold->context, LIMIT_ALERT_BYTES);
    json_open(&fold->context, '{');
    return true;
}

struct state_writer *
fold_change(struct fold *fold)
{
    fold->changed = true;
    return &fold->out;
}

static struct cooldown
read_cooldown(const struct detect_cell *cell, struct str *rest_out)
{
    struct cooldown cooldown = {0};
    if (cell == NULL)
        return cooldown;
    struct state_reader reader =
        state_read((struct str){cell->bytes + cell->subject_len, cell->state_len});
    uint64_t flags = state_take_count(&reader);
    cooldown.has_last = flags & HAS_LAST;
    if (cooldown.has_last)
        cooldown.last_us = state_take_time(&reader);
    if (flags & HAS_HELD)
        cooldown.held = state_take_count(&reader);
    *rest_out = (struct str){(const char *)reader.at, (size_t)(reader.end - reader.at)};
    return cooldown;
}

static bool
holds_back(const struct detect_rule *rule, const struct cooldown *cooldown, int64_t time_us)
{
    int64_t apart =
        time_us > cooldown->last_us ? time_us - cooldown->last_us : cooldown->last_us - time_us;
    return cooldown->has_last && apart < rule->cooldown_us;
}

/* The state begins HEAD_MAX into the scratch memory; its head is put right before it. */
static void
store(const struct walk *walk, const struct table_spot *spot, struct str subject,
      const struct cooldown *cooldown, const struct fold *fold)
{
    unsigned char head[HEAD_MAX];
    struct state_writer writer = {head, 0, sizeof head};
    state_put_count(&writer,
                    (cooldown->has_last ? HAS_LAST : 0u) | (cooldown->held > 0 ? HAS_HELD : 0u));
    if (cooldown->has_last)
        state_put_time(&writer, cooldown->last_us);
    if (cooldown->held > 0)
        state_put_count(&writer, cooldown->held);

    unsigned char *begin = fold->out.bytes - writer.len;
    size_t len = fold->out.len;
    if (!fold->changed) {
        len = fold->old.len;
        if (len > 0)
            memcpy(fold->out.bytes, fold->old.ptr, len);
    }
    memcpy(begin, head, writer.len);
    table_store(walk->table, spot, subject, (struct str){(const char *)begin, writer.len + len},
                (uint64_t)walk->event->created_at);
}

/* False: the event is for no subject of this rule. `prefix` < 0: none. */
static bool
find_subject(const struct detect_rule *rule, int prefix, const struct event *event,
             struct subject *room, struct str *subject_out)
{
    /* No event of ours has a longer one; a file given to replay may. */
    if (rule->type->subject == NULL && event->actor_id.len > LIMIT_STRING_BYTES)
        return false;
    if (prefix < 0 && rule->type->subject == NULL) {
        *subject_out = event->actor_id;
        return true;
    }
    room->len = 0;
    if (prefix >= 0)
        subject_add(room, &(unsigned char){(unsigned char)prefix}, 1);
    if (rule->type->subject == NULL)
        subject_add(room, event->actor_id.ptr, event->actor_id.len);
    else if (!rule->type->subject(rule->conditions, event, room))
        return false;
    *subject_out = (struct str){room->bytes, room->len};
    return true;
}

static struct verdict
step_one(const struct walk *walk, const struct detect_rule *rule, int prefix, struct fold *fold)
{
    struct verdict verdict = {0};
    struct subject room;
    struct str subject;
    if (!find_subject(rule, prefix, walk->event, &room, &subject))
        return verdict;
    int64_t now = walk->event->occurred_at;
    struct table_spot spot = table_find(walk->table, subject);
    struct cooldown cooldown = read_cooldown(spot.cell, &fold->old);
    bool raises = !walk->quiet && !holds_back(rule, &cooldown, now);
    struct state_writer scratch = table_scratch(walk->table);
    fold->rule = rule;
    fold->quiet = walk->quiet;
    fold->wanted = fold->wanted && raises;
    fold->out = (struct state_writer){scratch.bytes + HEAD_MAX, 0, DETECT_STATE_MAX - HEAD_MAX};
    rule->type->step(rule->conditions, walk->event, fold);

    if (fold->dropped && !walk->tries)
        table_count_late(walk->table);
    verdict = (struct verdict){fold->fired, fold->fired && raises, cooldown.held};
    /* Without a cooldown nobody asks when the last one was. */
    bool keeps = fold->fired && !walk->quiet && (rule->cooldown_us > 0 || cooldown.has_last);
    if (keeps && raises)
        cooldown = (struct cooldown){true, now, 0};
    else if (keeps)
        cooldown.held++;
    /* No step reads a subject twice, so what is not kept is not missed either. */
    if ((fold->changed || keeps) && !walk->tries)
        store(walk, &spot, subject, &cooldown, fold);
    return verdict;
}

/* The listed rules first, silently; then, if one of them fired, the combination itself. */
static struct verdict
step_rule(const struct walk *walk, const struct detect_rule *rule, struct fold *fold)
{
    if (rule->child_count == 0)
        return step_one(walk, rule, -1, fold);
    bool any = false;
    memset(fold->children, 0, sizeof fold->children);
    for (size_t i = 0; i < rule->child_count; i++) {
        if (!detect_sees(rule->children[i], walk->event))
            continue;
        struct fold below;
        fold_begin(&below, false);
        struct verdict verdict = step_one(walk, rule->children[i], (int)i, &below);
        fold->children[i] = (struct child_outcome){verdict.fired, verdict.raised};
        any |= verdict.fired;
    }
    return any ? step_one(walk, rule, OWN, fold) : (struct verdict){0};
}

static struct str
copy(struct arena *arena, struct str text)
{
    struct str copied;
    bool fits = arena_copy(arena, text, &copied);
    must(fits);
    return copied;
}

/* A list of texts, which is all that `emails` can be. */
static struct json
copy_texts(struct arena *arena, const struct json *list)
{
    struct json copied = *list;
    if (list->type != JSON_ARRAY)
        return (struct json){0};
    struct json *items = arena_array(arena, list->count, struct json);
    must(items != NULL);
    for (uint32_t i = 0; i < list->count; i++)
        items[i] = json_of_str(copy(arena, list->items[i].text));
    copied.items = items;
    return copied;
}

static void
make_alert(const struct detect_rule *compiled, const struct event *event, struct fold *fold,
           struct arena *arena, struct alert *alert_out)
{
    const struct rule *rule = compiled->rule;
    char id[ALERT_ID_SIZE];
    must(!fold->reason.ran_out && !fold->context.ran_out);
    alert_id(event->id, rule->id, id);
    *alert_out = (struct alert){
        .id = copy(arena, (struct str){id, sizeof id}),
        .rule_id = copy(arena, rule->id),
        .rule_name = copy(arena, rule->name),
        .rule_type = copy(arena, rule->rule_type),
        .severity = rule->severity,
        .channels = rule->channels,
        .emails = copy_texts(arena, &rule->emails),
        .reason = copy(arena, buffer_str(&fold->reason)),
        .event_id = copy(arena, event->id),
        .event_at = event->created_at,
        .actor_id = copy(arena, event->actor_id),
        .tenant_id = copy(arena, event->tenant_id),
        .context = copy(arena, buffer_str(&fold->context)),
    };
}

/* The hashes of the subjects that the rule will look for. */
static size_t
hash_subjects(const struct detect_pair *pair, const struct event *const *events, size_t count,
              uint32_t hashes[static DETECT_WARM])
{
    const struct detect_rule *rule = pair->rule;
    size_t hashed = 0;
    /* A combination has several subjects for an event; it is rare, and finds them by itself. */
    if (rule->child_count > 0)
        return 0;
    for (size_t i = 0; i < count && hashed < DETECT_WARM; i++) {
        struct subject room;
        struct str subject;
        /* To make a subject of several fields takes longer than to see that none is wanted. */
        if (rule->type->subject != NULL && !detect_sees(rule, events[i]))
            continue;
        if (find_subject(rule, -1, events[i], &room, &subject))
            hashes[hashed++] = table_hash(pair->table, subject);
    }
    return hashed;
}

/* Bucket, node and cell each have to be there before the next can be asked for: so each is asked
 * for of several rules, and then the next. */
void
detect_warm(const struct detect_pair *pairs, size_t pair_count, const struct event *const *events,
            size_t count)
{
    enum { TOGETHER = 8 };
    for (size_t first = 0; first < pair_count; first += TOGETHER) {
        size_t n = pair_count - first < TOGETHER ? pair_count - first : TOGETHER;
        uint32_t hashes[TOGETHER][DETECT_WARM];
        size_t hashed[TOGETHER];
        for (size_t i = 0; i < n; i++)
            hashed[i] = hash_subjects(&pairs[first + i], events, count, hashes[i]);
        for (enum table_stage stage = 0; stage < TABLE_STAGES; stage++)
            for (size_t i = 0; i < n; i++)
                table_warm(pairs[first + i].table, stage, hashes[i], hashed[i]);
    }
}

static bool
walk_rule(const struct walk *walk, const struct detect_rule *rule, struct arena *arena,
          struct alert *alert_out)
{
    const struct event *event = walk->event;
    if (!detect_sees(rule, event))
        return false;
    struct fold fold;
    fold_begin(&fold, true);
    struct verdict verdict = step_rule(walk, rule, &fold);
    if (!verdict.raised)
        return false;
    if (verdict.held > 0)
        json_put_int(&fold.context, "suppressed", (int64_t)verdict.held);
    json_close(&fold.context, '}');
    make_alert(rule, event, &fold, arena, alert_out);
    buffer_fini(&fold.reason);
    buffer_fini(&fold.context);
    return true;
}

bool
detect_step(const struct detect_rule *rule, struct detect_table *table, const struct event *event,
            bool quiet, struct arena *arena, struct alert *alert_out)
{
    const struct walk walk = {.table = table, .event = event, .quiet = quiet};
    return walk_rule(&walk, rule, arena, alert_out);
}

bool
detect_try(const struct detect_rule *rule, struct detect_table *table, const struct event *event,
           struct arena *arena, struct alert *alert_out)
{
    const struct walk walk = {.table = table, .event = event, .tries = true};
    return walk_rule(&walk, rule, arena, alert_out);
}
