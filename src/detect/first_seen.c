/* first_seen - a value that somebody has never shown before: the fold of new_country, new_device
 * and new_network.
 *
 * STATE. How many events had a value (to SEEN_COUNT_MAX), how many values are known, then each
 * with the time it was last seen, in the order in which they entered. */
#include "detect/detect_priv.h"

#include <string.h>

enum { SEEN_COUNT_MAX = 1000 };

struct value {
    int64_t last_us;
    struct str text;
};
struct seen {
    uint64_t events;
    size_t count;
    struct value values[SEEN_MAX + 1];
};

const struct condition first_seen_conditions[2] = {
    {
        .name = "min_history",
        .type = CONDITION_INTEGER,
        .offset = offsetof(struct first_seen, min_history),
        .low = 1,
        .high = SEEN_COUNT_MAX,
        .fallback = "1",
        .summary = "How many events with a value must have come before.",
    },
    {
        .name = "forget_after_days",
        .type = CONDITION_INTEGER,
        .offset = offsetof(struct first_seen, forget_after_days),
        .low = 1,
        .high = 3650,
        .summary = "A value last seen longer ago than this is new again, unless it is the one seen "
                   "most recently. Left out: nothing is forgotten.",
    },
};

int64_t
first_seen_memory_us(const void *conditions)
{
    const struct first_seen *rule = conditions;
    return rule->forget_after_days == NOT_GIVEN ? INT64_MAX
                                                : rule->forget_after_days * TIME_US_PER_DAY;
}

static void
read_seen(struct str state, struct seen *seen)
{
    seen->events = seen->count = 0;
    if (state.len == 0)
        return;
    struct state_reader reader = state_read(state);
    seen->events = state_take_count(&reader);
    seen->count = state_take_count(&reader);
    must(seen->count <= SEEN_MAX);
    for (size_t i = 0; i < seen->count; i++) {
        seen->values[i].last_us = state_take_time(&reader);
        seen->values[i].text = state_take_text(&reader);
    }
}

static void
write_seen(struct state_writer *writer, const struct seen *seen)
{
    state_put_count(writer, seen->events);
    state_put_count(writer, seen->count);
    for (size_t i = 0; i < seen->count; i++) {
        state_put_time(writer, seen->values[i].last_us);
        state_put_text(writer, seen->values[i].text);
    }
}

/* To make room the smallest last-seen goes; of several the one that entered first. */
static void
make_room(struct seen *seen)
{
    size_t oldest = 0;
    for (size_t i = 1; i < seen->count; i++)
        if (seen->values[i].last_us < seen->values[oldest].last_us)
            oldest = i;
    seen->count--;
    memmove(&seen->values[oldest], &seen->values[oldest + 1],
            (seen->count - oldest) * sizeof seen->values[0]);
}

/* The value seen most recently is never forgotten: coming home alerts nobody. */
static bool
is_forgotten(const struct first_seen *rule, const struct seen *seen, const struct value *value,
             int64_t now_us)
{
    if (rule->forget_after_days == NOT_GIVEN ||
        now_us - value->last_us <= rule->forget_after_days * TIME_US_PER_DAY)
        return false;
    for (size_t i = 0; i < seen->count; i++)
        if (seen->values[i].last_us > value->last_us)
            return true;
    return false;
}

static void
list_previous(const struct seen *seen, const struct value *known, struct sighting *sighting_out)
{
    sighting_out->count = 0;
    sighting_out->known_once = known != NULL;
    for (size_t i = 0; i < seen->count; i++)
        if (&seen->values[i] != known)
            sighting_out->previous[sighting_out->count++] = seen->values[i].text;
}

bool
first_seen_step(const void *conditions, struct str value, const struct event *event,
                struct fold *fold, struct sighting *sighting_out)
{
    const struct first_seen *rule = conditions;
    struct seen seen;
    struct value *known = NULL;
    bool told = false;
    if (value.len == 0)
        return false;
    must(value.len <= SEEN_VALUE_MAX);
    read_seen(fold->old, &seen);
    for (size_t i = 0; i < seen.count && known == NULL; i++)
        if (str_equal(seen.values[i].text, value))
            known = &seen.values[i];

    if (seen.events >= (uint64_t)rule->min_history &&
        (known == NULL || is_forgotten(rule, &seen, known, event->occurred_at)) &&
        fold_fires(fold)) {
        list_previous(&seen, known, sighting_out);
        told = true;
    }
    if (seen.events < SEEN_COUNT_MAX)
        seen.events++;
    if (known == NULL) {
        if (seen.count == SEEN_MAX)
            make_room(&seen);
        seen.values[seen.count++] = (struct value){event->occurred_at, value};
    } else if (known->last_us < event->occurred_at) {
        known->last_us = event->occurred_at;
    }
    write_seen(fold_change(fold), &seen);
    return told;
}
