/* repeated - so many events within a window: the fold of repeated_action and
 * high_volume_destructive.
 *
 * STATE. The newest time the group has shown; what is counted, each with its time and, where
 * different values are counted, the hash of its value; then the latest addresses and actors,
 * each with its time. At most threshold - 1 are ever counted: the next one fires, and the window
 * is emptied. */
#include "detect/detect_priv.h"

#include <string.h>

enum { COUNTED_MAX = 1000, LATEST_MAX = 10, HASH_SIZE = 16, ADDRESS_MAX = 64 };

struct counted {
    int64_t time_us;
    unsigned char hash[HASH_SIZE]; /* with `distinct` */
};
/* The latest different texts, in no order. */
struct latest {
    size_t count;
    struct {
        int64_t time_us;
        struct str text;
    } items[LATEST_MAX + 1];
};
struct window {
    int64_t newest_us;
    size_t count;
    struct counted counted[COUNTED_MAX];
    struct latest addresses, actors;
};

bool
repeated_check(struct reading *reading, void *conditions)
{
    struct repeated *rule = conditions;
    bool minutes = rule->window_minutes != NOT_GIVEN, seconds = rule->window_seconds != NOT_GIVEN;
    if (minutes && seconds)
        return reading_complain(reading, STR("conditions.window_seconds"),
                                "cannot be given together with window_minutes");
    if (!minutes && !seconds)
        return reading_complain(reading, STR("conditions.window_minutes"),
                                "is required, or window_seconds");
    rule->window_us = minutes ? rule->window_minutes * TIME_US_PER_MINUTE
                              : rule->window_seconds * TIME_US_PER_SECOND;
    for (size_t i = 0; i < rule->group_by.count && rule->distinct.count > 0; i++)
        if (str_equal(rule->group_by.items[i].text, rule->distinct.items[0].text))
            return reading_complain(reading, STR("conditions.distinct"),
                                    "must not be one of group_by");
    return true;
}

int64_t
repeated_memory_us(const void *conditions)
{
    return ((const struct repeated *)conditions)->window_us;
}

bool
repeated_sees(const struct filter *filter, const void *conditions, const struct event *event)
{
    const struct repeated *rule = conditions;
    return filter_takes(filter, event) ||
           (rule->reset_on != NULL && match_holds(rule->reset_on, event));
}

bool
repeated_subject(const void *conditions, const struct event *event, struct subject *subject)
{
    return subject_of_fields(subject, &((const struct repeated *)conditions)->group_by, event);
}

/* -- the state -------------------------------------------------------------------- */

static void
read_latest(struct state_reader *reader, struct latest *latest)
{
    latest->count = state_take_count(reader);
    must(latest->count <= LATEST_MAX);
    for (size_t i = 0; i < latest->count; i++) {
        latest->items[i].time_us = state_take_time(reader);
        latest->items[i].text = state_take_text(reader);
    }
}

static void
read_window(const struct repeated *rule, struct str state, struct window *window)
{
    window->newest_us = INT64_MIN;
    window->count = window->addresses.count = window->actors.count = 0;
    if (state.len == 0)
        return;
    struct state_reader reader = state_read(state);
    window->newest_us = state_take_time(&reader);
    window->count = state_take_count(&reader);
    must(window->count < COUNTED_MAX);
    for (size_t i = 0; i < window->count; i++) {
        window->counted[i].time_us = state_take_time(&reader);
        if (rule->distinct.count > 0)
            memcpy(window->counted[i].hash, state_take_bytes(&reader, HASH_SIZE).ptr, HASH_SIZE);
    }
    read_latest(&reader, &window->addresses);
    read_latest(&reader, &window->actors);
}

static void
write_latest(struct state_writer *writer, const struct latest *latest)
{
    state_put_count(writer, latest->count);
    for (size_t i = 0; i < latest->count; i++) {
        state_put_time(writer, latest->items[i].time_us);
        state_put_text(writer, latest->items[i].text);
    }
}

static void
write_window(const struct repeated *rule, struct state_writer *writer, const struct window *window)
{
    state_put_time(writer, window->newest_us);
    state_put_count(writer, window->count);
    for (size_t i = 0; i < window->count; i++) {
        state_put_time(writer, window->counted[i].time_us);
        if (rule->distinct.count > 0)
            state_put_bytes(writer, window->counted[i].hash, HASH_SIZE);
    }
    write_latest(writer, &window->addresses);
    write_latest(writer, &window->actors);
}

/* -- the fold ----------------------------------------------------------------------- */

/* Keeps only what is later than `time_us`. */
static void
drop_latest(struct latest *latest, int64_t time_us)
{
    size_t kept = 0;
    for (size_t i = 0; i < latest->count; i++)
        if (latest->items[i].time_us > time_us)
            latest->items[kept++] = latest->items[i];
    latest->count = kept;
}

static void
drop_until(struct window *window, int64_t time_us)
{
    size_t kept = 0;
    for (size_t i = 0; i < window->count; i++)
        if (window->counted[i].time_us > time_us)
            window->counted[kept++] = window->counted[i];
    window->count = kept;
    drop_latest(&window->addresses, time_us);
    drop_latest(&window->actors, time_us);
}

/* What falls off the end has ten later ones before it, and they only get later. */
static void
add_latest(struct latest *latest, struct str text, int64_t time_us)
{
    size_t at = 0, oldest = 0;
    if (text.len == 0)
        return;
    while (at < latest->count && !str_equal(latest->items[at].text, text))
        at++;
    if (at < latest->count) {
        if (latest->items[at].time_us < time_us)
            latest->items[at].time_us = time_us;
        return;
    }
    latest->items[at].text = text;
    latest->items[at].time_us = time_us;
    if (++latest->count <= LATEST_MAX)
        return;
    for (size_t i = 1; i < latest->count; i++)
        if (latest->items[i].time_us < latest->items[oldest].time_us)
            oldest = i;
    latest->count--;
    memmove(&latest->items[oldest], &latest->items[oldest + 1],
            (latest->count - oldest) * sizeof latest->items[0]);
}

/* A value as it counts: its type and bytes. False: the event has none. */
static bool
hash_value(const struct repeated *rule, const struct event *event, unsigned char out[HASH_SIZE])
{
    struct subject value;
    unsigned char hash[SHA256_SIZE];
    value.len = 0;
    if (!subject_of_fields(&value, &rule->distinct, event))
        return false;
    sha256_once((struct str){value.bytes, value.len}, hash);
    memcpy(out, hash, HASH_SIZE);
    return true;
}

static void
add_counted(const struct repeated *rule, struct window *window, const struct counted *now)
{
    for (size_t i = 0; i < window->count && rule->distinct.count > 0; i++) {
        if (memcmp(window->counted[i].hash, now->hash, HASH_SIZE) != 0)
            continue;
        if (window->counted[i].time_us < now->time_us)
            window->counted[i].time_us = now->time_us;
        return;
    }
    must(window->count < COUNTED_MAX);
    window->counted[window->count++] = *now;
}

/* -- telling -------------------------------------------------------------------------- */

/* Latest first. */
static void
put_latest(struct buffer *out, const char *name, struct latest *latest)
{
    struct str texts[LATEST_MAX];
    size_t count = 0;
    while (latest->count > 0) {
        size_t newest = 0;
        for (size_t i = 1; i < latest->count; i++)
            if (latest->items[i].time_us >= latest->items[newest].time_us)
                newest = i;
        texts[count++] = latest->items[newest].text;
        latest->count--;
        memmove(&latest->items[newest], &latest->items[newest + 1],
                (latest->count - newest) * sizeof latest->items[0]);
    }
    json_put_texts(out, name, texts, count);
}

static void
tell_group(struct buffer *out, const struct repeated *rule, const struct event *event)
{
    for (size_t i = 0; i < rule->group_by.count; i++) {
        struct json value = event_path_scalar(event, &rule->group_by.items[i]);
        buffer_printf(out, "%s%.*s ", i == 0 ? " for " : " and ",
                      STR_ARG(rule->group_by.items[i].text));
        if (value.type == JSON_STRING)
            buffer_add(out, utf8_cut(value.text, 128));
        else
            json_write(out, &value);
    }
}

static void
tell_reason(struct fold *fold, const struct repeated *rule, const struct event *event, size_t count)
{
    struct buffer *out = &fold->reason;
    const struct globs *actions = &fold->rule->filter.actions;
    bool alike = actions->count == 1 && actions->items[0].shape == GLOB_EXACT;
    bool by_actor =
        rule->group_by.count == 1 && str_equal(rule->group_by.items[0].text, STR("actor_id"));
    if (by_actor && rule->distinct.count == 0)
        tell_action(out, event);
    else
        buffer_add(out, utf8_cut(event->action, LIMIT_ID_BYTES));
    if (rule->distinct.count > 0)
        buffer_printf(out, " with %zu different %.*s", count,
                      STR_ARG(rule->distinct.items[0].text));
    else if (alike)
        buffer_printf(out, " %zu times", count);
    else
        buffer_printf(out, ", number %zu of its kind", count);
    buffer_add(out, STR(" within "));
    tell_duration(out, rule->window_us);
    if (!by_actor || rule->distinct.count > 0)
        tell_group(out, rule, event);
}

static void
tell(const struct repeated *rule, const struct event *event, struct window *window,
     struct fold *fold)
{
    int64_t first = INT64_MAX, last = INT64_MIN;
    for (size_t i = 0; i < window->count; i++) {
        int64_t time_us = window->counted[i].time_us;
        first = time_us < first ? time_us : first;
        last = time_us > last ? time_us : last;
    }
    struct buffer *context = &fold->context;
    tell_reason(fold, rule, event, window->count);
    json_put_int(context, "count", (int64_t)window->count);
    json_put_int(context, "threshold", rule->threshold);
    json_put_double(context, "window_minutes", (double)rule->window_us / TIME_US_PER_MINUTE);
    group_write(context, &rule->group_by, event);
    json_put_time(context, "first_at", first);
    json_put_time(context, "last_at", last);
    put_latest(context, "ip_addresses", &window->addresses);
    put_latest(context, "actors", &window->actors);
}

/* What resets forgives what came before it; late as it may be, nothing after it. */
static void
reset(const struct repeated *rule, const struct event *event, struct fold *fold)
{
    struct window window;
    if (fold->old.len == 0)
        return;
    read_window(rule, fold->old, &window);
    if (window.newest_us < event->occurred_at)
        window.newest_us = event->occurred_at;
    drop_until(&window, event->occurred_at);
    write_window(rule, fold_change(fold), &window);
}

void
repeated_step(const void *conditions, const struct event *event, struct fold *fold)
{
    const struct repeated *rule = conditions;
    struct window window;
    struct counted now = {.time_us = event->occurred_at};
    if (rule->reset_on != NULL && match_holds(rule->reset_on, event)) {
        reset(rule, event, fold);
        return;
    }
    if (rule->distinct.count > 0 && !hash_value(rule, event, now.hash))
        return;
    read_window(rule, fold->old, &window);
    if (window.newest_us != INT64_MIN && now.time_us < window.newest_us - rule->window_us) {
        fold->dropped = true;
        return;
    }
    if (window.newest_us < now.time_us)
        window.newest_us = now.time_us;
    drop_until(&window, window.newest_us - rule->window_us - 1);
    add_counted(rule, &window, &now);
    add_latest(&window.addresses, utf8_cut(event->ip_address, ADDRESS_MAX), now.time_us);
    add_latest(&window.actors, utf8_cut(event->actor_id, LIMIT_ID_BYTES), now.time_us);
    if (window.count >= (size_t)rule->threshold) {
        if (fold_fires(fold))
            tell(rule, event, &window, fold);
        drop_until(&window, INT64_MAX);
    }
    write_window(rule, fold_change(fold), &window);
}
