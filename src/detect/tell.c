/* tell - the words of a reason: one sentence that a person can act on. */
#include "detect/detect_priv.h"

#include <inttypes.h>

enum { SHOWN_MAX = 128, LIST_SHOWN = 3 };

static struct str
cut(struct str text)
{
    return utf8_cut(text, SHOWN_MAX);
}

struct str
actor_shown(const struct event *event)
{
    return cut(event->actor_name.len > 0 ? event->actor_name : event->actor_id);
}

static bool
ends_with(struct str text, struct str end)
{
    return text.len >= end.len &&
           str_equal((struct str){text.ptr + text.len - end.len, end.len}, end);
}

void
tell_action(struct buffer *out, const struct event *event)
{
    buffer_add(out, actor_shown(event));
    if (ends_with(event->action, STR(".login")) || str_equal(event->action, STR("login")))
        buffer_add(out, STR(" signed in"));
    else if (ends_with(event->action, STR("login_failed")))
        buffer_add(out, STR(" failed to sign in"));
    else
        buffer_printf(out, " did %.*s", STR_ARG(cut(event->action)));
}

void
tell_place(struct buffer *out, struct str city, struct str country)
{
    if (city.len > 0)
        buffer_add(out, cut(city));
    if (city.len > 0 && country.len > 0)
        buffer_add(out, STR(", "));
    if (country.len > 0)
        buffer_add(out, cut(country));
    if (city.len == 0 && country.len == 0)
        buffer_add(out, STR("an unknown place"));
}

void
tell_list(struct buffer *out, const struct str *items, size_t count)
{
    size_t shown = count > LIST_SHOWN ? LIST_SHOWN : count;
    for (size_t i = 0; i < shown; i++) {
        if (i > 0)
            buffer_add(out, i + 1 == count ? STR(" and ") : STR(", "));
        buffer_add(out, cut(items[i]));
    }
    if (count > shown)
        buffer_printf(out, " and %zu more", count - shown);
}

void
tell_duration(struct buffer *out, int64_t duration_us)
{
    static const struct {
        int64_t us;
        const char *name;
    } units[] = {
        {TIME_US_PER_DAY, "day"},
        {TIME_US_PER_HOUR, "hour"},
        {TIME_US_PER_MINUTE, "minute"},
        {TIME_US_PER_SECOND, "second"},
    };
    size_t at = 0;
    /* The largest unit of which there are two, or that fits exactly. */
    while (at + 1 < COUNT_OF(units) && duration_us < 2 * units[at].us &&
           duration_us != units[at].us)
        at++;
    int64_t count = duration_us / units[at].us;
    buffer_printf(out, "%" PRId64 " %s%s", count, units[at].name, count == 1 ? "" : "s");
}

void
json_put_texts(struct buffer *out, const char *name, const struct str *items, size_t count)
{
    json_name(out, name);
    json_open(out, '[');
    for (size_t i = 0; i < count; i++)
        json_str(out, items[i]);
    json_close(out, ']');
}
