/* ingestion_spike - the workspace gets many more events than it usually does.
 *
 * STATE. Windows are numbered from the Unix epoch. The number of the first event's window, that
 * of the newest, whether that one has fired, and the counts of the newest and of
 * baseline_windows before it, newest first. */
#include "detect/detect_priv.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { BASELINE_MAX = 1000 };

struct ingestion_spike {
    int64_t window_minutes, baseline_windows, min_events;
    double multiplier;
};

#define AT(member) offsetof(struct ingestion_spike, member)
static const struct condition conditions[] = {
    {
        .name = "window_minutes",
        .type = CONDITION_INTEGER,
        .offset = AT(window_minutes),
        .low = 1,
        .high = 10080,
        .fallback = "5",
        .summary = "How long a window is. Windows begin at multiples of it since 1970.",
    },
    {
        .name = "baseline_windows",
        .type = CONDITION_INTEGER,
        .offset = AT(baseline_windows),
        .low = 1,
        .high = BASELINE_MAX,
        .fallback = "12",
        .summary = "How many windows before it a window is held against.",
    },
    {
        .name = "multiplier",
        .type = CONDITION_NUMBER,
        .offset = AT(multiplier),
        .low = 1,
        .high = 1000,
        .fallback = "3",
        .summary = "How many times their mean a window must reach.",
    },
    {
        .name = "min_events",
        .type = CONDITION_INTEGER,
        .offset = AT(min_events),
        .low = 1,
        .high = 1000000000,
        .fallback = "100",
        .summary = "How many events it must have at least.",
    },
};

struct counts {
    int64_t first, newest; /* window numbers */
    bool fired;            /* the newest has */
    uint64_t events[BASELINE_MAX + 1];
};

static bool
subject(const void *self, const struct event *event, struct subject *subject_out)
{
    (void)self;
    (void)event;
    subject_add(subject_out, "*", 1);
    return true;
}

static int64_t
memory_us(const void *self)
{
    const struct ingestion_spike *rule = self;
    return (rule->baseline_windows + 1) * rule->window_minutes * TIME_US_PER_MINUTE;
}

static void
read_counts(const struct ingestion_spike *rule, struct str state, struct counts *counts)
{
    struct state_reader reader = state_read(state);
    counts->first = state_take_time(&reader);
    counts->newest = state_take_time(&reader);
    counts->fired = state_take_count(&reader) != 0;
    for (int64_t i = 0; i <= rule->baseline_windows; i++)
        counts->events[i] = state_take_count(&reader);
}

static void
write_counts(const struct ingestion_spike *rule, struct state_writer *writer,
             const struct counts *counts)
{
    state_put_time(writer, counts->first);
    state_put_time(writer, counts->newest);
    state_put_count(writer, counts->fired);
    for (int64_t i = 0; i <= rule->baseline_windows; i++)
        state_put_count(writer, counts->events[i]);
}

/* Windows that nothing came in are there, with 0. */
static void
move_to(const struct ingestion_spike *rule, struct counts *counts, int64_t window)
{
    int64_t kept = rule->baseline_windows + 1, by = window - counts->newest;
    size_t moved = by < kept ? (size_t)(kept - by) : 0;
    memmove(&counts->events[kept - (int64_t)moved], counts->events,
            moved * sizeof counts->events[0]);
    memset(counts->events, 0, ((size_t)kept - moved) * sizeof counts->events[0]);
    counts->newest = window;
    counts->fired = false;
}

static void
tell(const struct ingestion_spike *rule, const struct counts *counts, double mean,
     struct fold *fold)
{
    struct buffer *reason = &fold->reason, *context = &fold->context;
    int64_t window_us = rule->window_minutes * TIME_US_PER_MINUTE;
    char start[TIME_TEXT_SIZE];
    time_format(counts->newest * window_us, start);
    buffer_printf(reason, "%" PRIu64 " events within ", counts->events[0]);
    tell_duration(reason, window_us);
    buffer_printf(reason, " from %.16sZ, against %.1f on average in the %" PRId64 " windows before",
                  start, mean, rule->baseline_windows);
    json_put_int(context, "count", (int64_t)counts->events[0]);
    json_put_double(context, "baseline", mean);
    json_put_double(context, "multiplier", rule->multiplier);
    json_put_time(context, "window_start", counts->newest * window_us);
}

static void
step(const void *self, const struct event *event, struct fold *fold)
{
    const struct ingestion_spike *rule = self;
    int64_t window_us = rule->window_minutes * TIME_US_PER_MINUTE;
    int64_t window = event->occurred_at / window_us - (event->occurred_at % window_us < 0);
    struct counts counts;
    if (fold->old.len > 0) {
        read_counts(rule, fold->old, &counts);
    } else {
        memset(&counts, 0, sizeof counts);
        counts.first = counts.newest = window;
    }
    if (window > counts.newest)
        move_to(rule, &counts, window);
    int64_t ago = counts.newest - window;
    if (ago > rule->baseline_windows) {
        fold->dropped = true;
        return;
    }
    counts.events[ago]++;

    uint64_t sum = 0;
    for (int64_t i = 1; i <= rule->baseline_windows; i++)
        sum += counts.events[i];
    double windows = (double)rule->baseline_windows;
    if (ago == 0 && !counts.fired && counts.newest - counts.first >= rule->baseline_windows &&
        counts.events[0] >= (uint64_t)rule->min_events &&
        (double)counts.events[0] * windows >= rule->multiplier * (double)sum) {
        counts.fired = true;
        if (fold_fires(fold))
            tell(rule, &counts, (double)sum / windows, fold);
    }
    write_counts(rule, fold_change(fold), &counts);
}

const struct detector ingestion_spike_detector = {
    .rule_type = "ingestion_spike",
    .summary = "The workspace gets many more events in a window than in the windows before it.",
    .notes = "The subject is the workspace. Windows are aligned to multiples of their length "
             "since 1970; empty ones count as 0. A window fires once, on the event that makes it "
             "have min_events and multiplier times the mean of the baseline_windows before it, "
             "but not before so many windows have begun since that of the first event. A late "
             "event is counted in its own window and never fires. Context: count, baseline (the "
             "mean), multiplier, window_start.",
    .severity = SEVERITY_MEDIUM,
    .pattern = "\"*\"",
    .conditions = conditions,
    .condition_count = COUNT_OF(conditions),
    .size = sizeof(struct ingestion_spike),
    .subject = subject,
    .step = step,
    .memory_us = memory_us,
};
