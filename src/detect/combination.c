/* combination - several rules fire for one actor, at once or within a window. The frame steps
 * its copies of the listed rules first, and this one only where one of them has fired.
 *
 * STATE. For each listed rule: whether it has fired, and if so whether an alert was raised then,
 * when, and in which event. */
#include "detect/detect_priv.h"

#include <stdlib.h>

struct combination {
    struct texts all; /* the frame looks for it at the beginning */
    int64_t within_minutes;
};

#define AT(member) offsetof(struct combination, member)
static const struct condition conditions[] = {
    {
        .name = "all",
        .type = CONDITION_RULES,
        .offset = AT(all),
        .required = true,
        .low = 1,
        .high = CHILDREN_MAX,
        .summary = "Ids of the rules that must all fire; no combinations.",
    },
    {
        .name = "within_minutes",
        .type = CONDITION_INTEGER,
        .offset = AT(within_minutes),
        .low = 0,
        .high = 43200,
        .fallback = "0",
        .summary = "How far apart they may fire, before or after. 0: in the same event.",
    },
};

struct firing {
    bool fired, raised;
    int64_t time_us;
    struct str event_id;
};

/* The last event is asked for pattern and where by the step: a listed rule's firing counts
 * though it is not such an event. */
static bool
sees(const struct filter *filter, const void *self, const struct event *event)
{
    (void)filter;
    (void)self;
    (void)event;
    return true;
}

static int64_t
memory_us(const void *self)
{
    return ((const struct combination *)self)->within_minutes * TIME_US_PER_MINUTE;
}

static void
read_firings(size_t count, struct str state, struct firing *firings)
{
    struct state_reader reader = state_read(state);
    for (size_t i = 0; i < count; i++) {
        firings[i] = (struct firing){.fired = state.len > 0 && state_take_count(&reader) != 0};
        if (!firings[i].fired)
            continue;
        firings[i].raised = state_take_count(&reader) != 0;
        firings[i].time_us = state_take_time(&reader);
        firings[i].event_id = state_take_text(&reader);
    }
}

static void
write_firings(size_t count, struct state_writer *writer, const struct firing *firings)
{
    for (size_t i = 0; i < count; i++) {
        state_put_count(writer, firings[i].fired);
        if (!firings[i].fired)
            continue;
        state_put_count(writer, firings[i].raised);
        state_put_time(writer, firings[i].time_us);
        state_put_text(writer, firings[i].event_id);
    }
}

/* Whether a listed rule's newest firing lies close enough to this event. Without a window only this
 * event itself does. */
static bool
is_near(const struct combination *rule, const struct firing *firing, const struct event *event)
{
    return firing->fired && rule->within_minutes > 0 &&
           llabs(firing->time_us - event->occurred_at) <= rule->within_minutes * TIME_US_PER_MINUTE;
}

static void
tell(const struct event *event, const struct firing *firings, struct fold *fold)
{
    struct buffer *reason = &fold->reason, *context = &fold->context;
    const struct detect_rule *rule = fold->rule;
    tell_action(reason, event);
    buffer_add(reason, STR(": "));
    json_name(context, "alerts");
    json_open(context, '[');
    for (size_t i = 0; i < rule->child_count; i++) {
        const struct rule *listed = rule->children[i]->rule;
        char id[ALERT_ID_SIZE];
        alert_id(firings[i].event_id, listed->id, id);
        json_open(context, '{');
        json_put_str(context, "id",
                     firings[i].raised ? (struct str){id, sizeof id} : (struct str){0});
        json_put_str(context, "rule_name", listed->name);
        json_put_str(context, "rule_type", listed->rule_type);
        json_close(context, '}');
        buffer_printf(reason, "%s%.*s", i == 0 ? "" : " and ", STR_ARG(listed->name));
    }
    json_close(context, ']');
    buffer_add(reason, rule->child_count > 1 ? STR(" together") : STR(" under these conditions"));
}

static void
step(const void *self, const struct event *event, struct fold *fold)
{
    const struct combination *rule = self;
    size_t count = fold->rule->child_count;
    struct firing kept[CHILDREN_MAX] = {0}, told[CHILDREN_MAX] = {0};
    bool all = true;
    read_firings(count, fold->old, kept);
    for (size_t i = 0; i < count; i++) {
        told[i] = kept[i];
        if (!fold->children[i].fired) {
            all = all && is_near(rule, &kept[i], event);
            continue;
        }
        told[i] = (struct firing){true, fold->children[i].raised, event->occurred_at,
                                  utf8_cut(event->id, LIMIT_ID_BYTES)};
        if (!kept[i].fired || kept[i].time_us <= event->occurred_at)
            kept[i] = told[i];
    }
    if (all && filter_takes(&fold->rule->filter, event)) {
        if (fold_fires(fold))
            tell(event, told, fold);
        for (size_t i = 0; i < count; i++)
            kept[i].fired = false;
    }
    write_firings(count, fold_change(fold), kept);
}

const struct detector combination_detector = {
    .rule_type = "combination",
    .summary = "Several rules fire for the same actor: in the same event, or within a window.",
    .notes = "On an event on which one of the listed rules fires, it fires if every other one "
             "fires on it too, or has its newest firing for that actor within the window. Then "
             "all firings are used up. where and action_pattern are asked of that last event "
             "only, exclude of every event. A firing counts although the listed rule's own "
             "cooldown holds its alert back (then its id is null). It is silent while one of its "
             "rules is disabled; a listed rule cannot be deleted. Context: alerts, each with id, "
             "rule_name, rule_type.",
    .severity = SEVERITY_HIGH,
    .pattern = "\"*\"",
    .late = true,
    .conditions = conditions,
    .condition_count = COUNT_OF(conditions),
    .size = sizeof(struct combination),
    .sees = sees,
    .step = step,
    .memory_us = memory_us,
};
