/* filter - which events a rule sees, and who did them. */
#include "detect/detect_priv.h"

#include <string.h>

bool
filter_takes(const struct filter *filter, const struct event *event)
{
    return globs_match(&filter->actions, event->action) &&
           (filter->where.count == 0 || where_holds(&filter->where, event));
}

bool
match_holds(const struct match *match, const struct event *event)
{
    return globs_match(&match->actions, event->action) &&
           (match->where.count == 0 || where_holds(&match->where, event));
}

static bool
texts_hold(const struct texts *texts, struct str text)
{
    for (size_t i = 0; text.len > 0 && i < texts->count; i++)
        if (str_equal(texts->items[i], text))
            return true;
    return false;
}

bool
exclude_holds(const struct exclude *exclude, const struct event *event)
{
    for (size_t i = 0; i < exclude->asns.count; i++)
        if (exclude->asns.items[i] == event->network.asn)
            return true;
    return texts_hold(&exclude->actors, event->actor_id) ||
           texts_hold(&exclude->countries, event->location.country) ||
           (event->has_address &&
            named_networks_find(&exclude->networks, &event->address) != NULL) ||
           (event->user_agent.len > 0 &&
            globs_match_agent(&exclude->user_agents, event->user_agent) != NULL);
}

/* -- subjects ---------------------------------------------------------------------- */

void
subject_add(struct subject *subject, const void *bytes, size_t len)
{
    must(len <= sizeof subject->bytes - subject->len);
    if (len > 0)
        memcpy(subject->bytes + subject->len, bytes, len);
    subject->len += len;
}

/* A mark of the type, then the value; a text with its length before it, so that no two groups
 * have the same bytes. Metadata may hold texts longer than a field: their hash stands for them. */
static void
add_value(struct subject *subject, const struct json *value)
{
    unsigned char hash[SHA256_SIZE];
    switch (value->type) {
    case JSON_STRING:
        if (value->text.len > LIMIT_STRING_BYTES) {
            sha256_once(value->text, hash);
            subject_add(subject, "h", 1);
            subject_add(subject, hash, sizeof hash);
            return;
        }
        subject_add(subject,
                    (const char[]){'s', (char)(value->text.len & 0xff),
                                   (char)(value->text.len >> 8 & 0xff)},
                    3);
        subject_add(subject, value->text.ptr, value->text.len);
        return;
    case JSON_NUMBER: {
        double number = value->number == 0 ? 0 : value->number; /* -0 is 0 */
        subject_add(subject, "n", 1);
        subject_add(subject, &number, sizeof number);
        return;
    }
    case JSON_BOOL:
        subject_add(subject, value->truth ? "t" : "f", 1);
        return;
    case JSON_ABSENT:
    case JSON_NULL:
    case JSON_ARRAY:
    case JSON_OBJECT:
        break;
    }
    must(!"a value that groups");
}

bool
subject_of_fields(struct subject *subject, const struct fields *fields, const struct event *event)
{
    for (size_t i = 0; i < fields->count; i++) {
        struct json value = event_path_scalar(event, &fields->items[i]);
        if (value.type == JSON_ABSENT)
            return false;
        add_value(subject, &value);
    }
    return true;
}

void
group_write(struct buffer *out, const struct fields *fields, const struct event *event)
{
    json_name(out, "group");
    json_open(out, '{');
    for (size_t i = 0; i < fields->count; i++) {
        struct json value = event_path_scalar(event, &fields->items[i]);
        struct str name = fields->items[i].text;
        if (value.type == JSON_STRING)
            value.text = utf8_cut(value.text, LIMIT_STRING_BYTES);
        json_str(out, name);
        buffer_add_char(out, ':');
        json_write(out, &value);
    }
    json_close(out, '}');
}
