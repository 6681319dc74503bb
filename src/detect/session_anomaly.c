/* session_anomaly - a session goes on from another country, or another browser or system:
 * somebody else holds its cookie.
 *
 * STATE. When it began; then the countries and the browser and system pairs it has shown, at
 * most KNOWN_MAX of each, in order of first sight. A pair is kept as browser, slash, system. */
#include "detect/detect_priv.h"

#include <string.h>

enum { KNOWN_MAX = 8, VALUE_MAX = 128, CHECK_COUNTRY = 1, CHECK_DEVICE = 2, SESSION_DAYS = 30 };

struct session_anomaly {
    unsigned check;
};

static const char *const checks[] = {"country", "device", NULL};
static const struct condition conditions[] = {
    {
        .name = "check",
        .type = CONDITION_CHOICES,
        .offset = offsetof(struct session_anomaly, check),
        .low = 1,
        .high = 2,
        .choices = checks,
        .fallback = "[\"country\",\"device\"]",
        .summary =
            "What must not change within a session: the country, and the browser and system.",
    },
};

struct known {
    size_t count;
    struct str values[KNOWN_MAX];
};
struct session {
    int64_t began_us;
    struct known countries, devices;
};

static bool
subject(const void *self, const struct event *event, struct subject *subject_out)
{
    (void)self;
    if (event->session_id.len == 0 || event->session_id.len > LIMIT_STRING_BYTES)
        return false;
    subject_add(subject_out, event->session_id.ptr, event->session_id.len);
    return true;
}

static int64_t
memory_us(const void *self)
{
    (void)self;
    return SESSION_DAYS * TIME_US_PER_DAY; /* few sessions live longer */
}

static void
read_known(struct state_reader *reader, struct known *known)
{
    known->count = state_take_count(reader);
    must(known->count <= KNOWN_MAX);
    for (size_t i = 0; i < known->count; i++)
        known->values[i] = state_take_text(reader);
}

static void
write_known(struct state_writer *writer, const struct known *known)
{
    state_put_count(writer, known->count);
    for (size_t i = 0; i < known->count; i++)
        state_put_text(writer, known->values[i]);
}

/* Browser and system as one text; absent when neither is known. */
static struct str
device_of(const struct event *event, char room[static VALUE_MAX + 1])
{
    struct str browser = utf8_cut(event->device.browser, VALUE_MAX / 2);
    struct str os = utf8_cut(event->device.os, VALUE_MAX / 2);
    if (browser.len + os.len == 0)
        return (struct str){0};
    if (browser.len > 0)
        memcpy(room, browser.ptr, browser.len);
    room[browser.len] = '/';
    if (os.len > 0)
        memcpy(room + browser.len + 1, os.ptr, os.len);
    return (struct str){room, browser.len + 1 + os.len};
}

/* True: the session has shown others, but not this one. What it lacked is learnt silently; beyond
 * KNOWN_MAX it has shown so much that nothing is an anomaly any more. */
static bool
is_anomaly(struct known *known, struct str value)
{
    if (value.len == 0 || known->count == KNOWN_MAX)
        return false;
    for (size_t i = 0; i < known->count; i++)
        if (str_equal(known->values[i], value))
            return false;
    known->values[known->count++] = value;
    return known->count > 1;
}

static struct str
first(const struct known *known)
{
    return known->count > 0 ? known->values[0] : (struct str){0};
}

static void
put_shown(struct buffer *out, const char *name, struct str country, struct str device)
{
    struct str os = device, browser = str_split(&os, '/');
    json_name(out, name);
    json_open(out, '{');
    json_put_str(out, "country", country);
    json_put_str(out, "browser", browser.len > 0 ? browser : (struct str){0});
    json_put_str(out, "os", os.len > 0 ? os : (struct str){0});
}

static void
tell(const struct event *event, const struct session *session, unsigned changed, struct fold *fold)
{
    struct buffer *reason = &fold->reason, *context = &fold->context;
    char room[VALUE_MAX + 1];
    struct str device = device_of(event, room);
    struct str country = utf8_cut(event->location.country, VALUE_MAX);
    buffer_printf(reason, "The session of %.*s went on", STR_ARG(actor_shown(event)));
    if (changed & CHECK_COUNTRY)
        buffer_printf(reason, " in %.*s, having begun in %.*s", STR_ARG(country),
                      STR_ARG(first(&session->countries)));
    if (changed == (CHECK_COUNTRY | CHECK_DEVICE))
        buffer_add(reason, STR(", and"));
    if (changed & CHECK_DEVICE)
        buffer_printf(reason, " with %.*s, having begun with %.*s", STR_ARG(device),
                      STR_ARG(first(&session->devices)));

    put_shown(context, "began", first(&session->countries), first(&session->devices));
    json_put_time(context, "occurred_at", session->began_us);
    json_close(context, '}');
    put_shown(context, "now", country, device);
    json_put_time(context, "occurred_at", event->occurred_at);
    json_close(context, '}');
    struct str names[2];
    size_t count = 0;
    for (size_t i = 0; checks[i] != NULL; i++)
        if (changed >> i & 1)
            names[count++] = str_from(checks[i]);
    json_put_texts(context, "changed", names, count);
}

static void
step(const void *self, const struct event *event, struct fold *fold)
{
    const struct session_anomaly *rule = self;
    struct session session = {.began_us = event->occurred_at};
    char room[VALUE_MAX + 1];
    unsigned changed = 0;
    if (fold->old.len > 0) {
        struct state_reader reader = state_read(fold->old);
        session.began_us = state_take_time(&reader);
        read_known(&reader, &session.countries);
        read_known(&reader, &session.devices);
    }
    if (rule->check & CHECK_COUNTRY &&
        is_anomaly(&session.countries, utf8_cut(event->location.country, VALUE_MAX)))
        changed |= CHECK_COUNTRY;
    if (rule->check & CHECK_DEVICE && is_anomaly(&session.devices, device_of(event, room)))
        changed |= CHECK_DEVICE;
    if (changed != 0 && fold_fires(fold))
        tell(event, &session, changed, fold);
    struct state_writer *writer = fold_change(fold);
    state_put_time(writer, session.began_us);
    write_known(writer, &session.countries);
    write_known(writer, &session.devices);
}

const struct detector session_anomaly_detector = {
    .rule_type = "session_anomaly",
    .summary = "A session goes on from another country, or with another browser or system.",
    .notes = "The subject is the session_id; events without one are not seen. What the beginning "
             "lacked is learnt silently when it is first known. Eight countries and eight pairs "
             "of browser and system are kept; a session that has shown so many is silent. "
             "Context: began and now (country, browser, os, occurred_at), changed.",
    .severity = SEVERITY_HIGH,
    .conditions = conditions,
    .condition_count = COUNT_OF(conditions),
    .size = sizeof(struct session_anomaly),
    .subject = subject,
    .step = step,
    .memory_us = memory_us,
};
