/* event_path - the fields of an event by their written names, for the
 * conditions, groups and distinct values of rules. One row per field. */
#include <string.h>

#include "codec/time.h"
#include "model/event.h"

enum kind {
    FIELD_TEXT,
    FIELD_ASN,
    FIELD_LISTS,
    FIELD_VERSION,
    FIELD_POINT, /* a coordinate, when there is a point */
    FIELD_TIME,
    FIELD_JSON,   /* metadata and targets: names may follow */
    FIELD_OBJECT, /* all fields whose name begins with this one and a dot */
};

#define AT(member) offsetof(struct event, member)
static const struct {
    struct str name;
    enum kind kind;
    size_t offset;
} fields[] = {
    {STR_INIT("actor_id"), FIELD_TEXT, AT(actor_id)},
    {STR_INIT("actor_name"), FIELD_TEXT, AT(actor_name)},
    {STR_INIT("actor_type"), FIELD_TEXT, AT(actor_type)},
    {STR_INIT("actor"), FIELD_OBJECT, 0},
    {STR_INIT("actor.id"), FIELD_TEXT, AT(actor_id)},
    {STR_INIT("actor.name"), FIELD_TEXT, AT(actor_name)},
    {STR_INIT("actor.type"), FIELD_TEXT, AT(actor_type)},
    {STR_INIT("action"), FIELD_TEXT, AT(action)},
    {STR_INIT("action_category"), FIELD_TEXT, AT(action_category)},
    {STR_INIT("resource"), FIELD_TEXT, AT(resource_type)}, /* its type, as it is sent */
    {STR_INIT("resource.id"), FIELD_TEXT, AT(resource_id)},
    {STR_INIT("resource.name"), FIELD_TEXT, AT(resource_name)},
    {STR_INIT("resource.type"), FIELD_TEXT, AT(resource_type)},
    {STR_INIT("resource_id"), FIELD_TEXT, AT(resource_id)},
    {STR_INIT("resource_name"), FIELD_TEXT, AT(resource_name)},
    {STR_INIT("tenant_id"), FIELD_TEXT, AT(tenant_id)},
    {STR_INIT("session_id"), FIELD_TEXT, AT(session_id)},
    {STR_INIT("idempotency_key"), FIELD_TEXT, AT(idempotency_key)},
    {STR_INIT("version"), FIELD_VERSION, 0},
    {STR_INIT("ip_address"), FIELD_TEXT, AT(ip_address)},
    {STR_INIT("ip_country"), FIELD_TEXT, AT(location.country)},
    {STR_INIT("ip_city"), FIELD_TEXT, AT(location.city)},
    {STR_INIT("user_agent"), FIELD_TEXT, AT(user_agent)},
    {STR_INIT("location"), FIELD_OBJECT, AT(location.known)},
    {STR_INIT("location.city"), FIELD_TEXT, AT(location.city)},
    {STR_INIT("location.country"), FIELD_TEXT, AT(location.country)},
    {STR_INIT("location.latitude"), FIELD_POINT, AT(location.latitude)},
    {STR_INIT("location.longitude"), FIELD_POINT, AT(location.longitude)},
    {STR_INIT("location.postal_code"), FIELD_TEXT, AT(location.postal_code)},
    {STR_INIT("location.region"), FIELD_TEXT, AT(location.region)},
    {STR_INIT("location.time_zone"), FIELD_TEXT, AT(location.time_zone)},
    {STR_INIT("network"), FIELD_OBJECT, AT(network.known)},
    {STR_INIT("network.asn"), FIELD_ASN, AT(network.asn)},
    {STR_INIT("network.lists"), FIELD_LISTS, 0},
    {STR_INIT("network.name"), FIELD_TEXT, AT(network.name)},
    {STR_INIT("network.org"), FIELD_TEXT, AT(network.org)},
    {STR_INIT("device"), FIELD_OBJECT, AT(device.known)},
    {STR_INIT("device.browser"), FIELD_TEXT, AT(device.browser)},
    {STR_INIT("device.browser_version"), FIELD_TEXT, AT(device.browser_version)},
    {STR_INIT("device.os"), FIELD_TEXT, AT(device.os)},
    {STR_INIT("device.os_version"), FIELD_TEXT, AT(device.os_version)},
    {STR_INIT("device.type"), FIELD_TEXT, AT(device.type)},
    {STR_INIT("source"), FIELD_OBJECT, AT(source.kind)},
    {STR_INIT("source.kind"), FIELD_TEXT, AT(source.kind)},
    {STR_INIT("source.sha256"), FIELD_TEXT, AT(source.sha256)},
    {STR_INIT("occurred_at"), FIELD_TIME, AT(occurred_at)},
    {STR_INIT("targets"), FIELD_JSON, AT(targets)},
    {STR_INIT("metadata"), FIELD_JSON, AT(metadata)},
};
#define OBJECT_MEMBERS_MAX 8

static int
find_field(struct str name)
{
    for (size_t i = 0; i < COUNT_OF(fields); i++)
        if (str_equal(fields[i].name, name))
            return (int)i;
    return -1;
}

/* Below a target there is only what a target may have. */
static bool
is_target_path(const struct event_path *path)
{
    static const struct str names[] = {STR_INIT("type"), STR_INIT("id"), STR_INIT("name")};
    if (path->below_count == 0 || str_equal(path->below[0], STR("metadata")))
        return true;
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (path->below_count == 1 && str_equal(path->below[0], names[i]))
            return true;
    return false;
}

bool
event_path_parse(struct str text, struct event_path *path_out)
{
    if (text.len == 0)
        return false;
    struct event_path path = {.text = text, .field = find_field(text)};
    if (path.field >= 0) {
        *path_out = path;
        return true;
    }
    struct str rest = text;
    path.field = find_field(str_split(&rest, '.'));
    if (path.field < 0 || rest.ptr == NULL || fields[path.field].kind != FIELD_JSON)
        return false;
    while (rest.ptr != NULL) {
        struct str name = str_split(&rest, '.');
        if (name.len == 0 || path.below_count == EVENT_PATH_DEPTH)
            return false;
        path.below[path.below_count++] = name;
    }
    if (fields[path.field].offset == AT(targets) && !is_target_path(&path))
        return false;
    *path_out = path;
    return true;
}

/* -- reading ------------------------------------------------------------------ */

/* The value of a row that is one value; what it has no room for is made in `time_text`. */
static struct json
field_value(const struct event *event, size_t row, char time_text[static TIME_TEXT_SIZE])
{
    const void *at = (const char *)event + fields[row].offset;
    switch (fields[row].kind) {
    case FIELD_TEXT:
        return json_of_str(*(const struct str *)at);
    case FIELD_ASN:
        return event->network.asn != 0 ? json_of_int(event->network.asn) : (struct json){0};
    case FIELD_VERSION:
        return event->has_version ? json_of_int(event->version) : (struct json){0};
    case FIELD_POINT:
        return event->location.has_point ? json_of_double(*(const double *)at) : (struct json){0};
    case FIELD_TIME:
        time_format(event->occurred_at, time_text);
        return json_of_str((struct str){time_text, TIME_TEXT_SIZE});
    case FIELD_JSON:
        return *(const struct json *)at;
    case FIELD_LISTS:
    case FIELD_OBJECT:
        break;
    }
    return (struct json){0};
}

static bool
object_is_known(const struct event *event, size_t row)
{
    switch (fields[row].offset) {
    case AT(location.known):
        return event->location.known;
    case AT(network.known):
        return event->network.known;
    case AT(device.known):
        return event->device.known;
    case AT(source.kind):
        return event->source.kind.len > 0;
    default:
        return true;
    }
}

/* What a call of event_path_each is about. */
struct visit {
    const struct event_path *path;
    bool (*fn)(void *self, const struct json *value);
    void *self;
};

/* Shows what lies at the path below `value`; `depth` names are behind us. */
static bool
visit_value(const struct visit *visit, const struct json *value, size_t depth)
{
    if (value->type == JSON_ARRAY) {
        for (uint32_t i = 0; i < value->count; i++)
            if (!visit_value(visit, &value->items[i], depth))
                return false;
        return true;
    }
    if (depth < visit->path->below_count)
        return value->type != JSON_OBJECT ||
               visit_value(visit, json_get(value, visit->path->below[depth]), depth + 1);
    if (value->type == JSON_ABSENT || value->type == JSON_NULL ||
        (value->type == JSON_STRING && value->text.len == 0))
        return true;
    return visit->fn(visit->self, value);
}

static void
visit_lists(const struct visit *visit, const struct event *event)
{
    for (size_t i = 0; i < event->network.list_count; i++) {
        struct json name = json_of_str(event->network.lists[i]);
        if (!visit_value(visit, &name, 0))
            return;
    }
}

static void
visit_object(const struct visit *visit, const struct event *event, size_t row)
{
    struct json_member members[OBJECT_MEMBERS_MAX];
    char time_text[TIME_TEXT_SIZE];
    uint32_t count = 0;
    if (!object_is_known(event, row))
        return;
    size_t skip = fields[row].name.len + 1;
    for (size_t i = row + 1; i < COUNT_OF(fields) && count < OBJECT_MEMBERS_MAX; i++) {
        struct str name = fields[i].name;
        if (!str_starts(name, fields[row].name) || name.ptr[skip - 1] != '.')
            break;
        struct json value = field_value(event, i, time_text);
        if (value.type != JSON_ABSENT)
            members[count++] = (struct json_member){{name.ptr + skip, name.len - skip}, value};
    }
    struct json object = {.type = JSON_OBJECT, .count = count, .members = members};
    (void)visit_value(visit, &object, 0);
}

void
event_path_each(const struct event *event, const struct event_path *path,
                bool (*fn)(void *self, const struct json *value), void *self)
{
    must(path->field >= 0 && (size_t)path->field < COUNT_OF(fields));
    const struct visit visit = {path, fn, self};
    size_t row = (size_t)path->field;
    char time_text[TIME_TEXT_SIZE];
    if (fields[row].kind == FIELD_LISTS) {
        visit_lists(&visit, event);
    } else if (fields[row].kind == FIELD_OBJECT) {
        visit_object(&visit, event, row);
    } else {
        struct json value = field_value(event, row, time_text);
        (void)visit_value(&visit, &value, 0);
    }
}

static bool
take_scalar(void *self, const struct json *value)
{
    if (value->type != JSON_STRING && value->type != JSON_NUMBER && value->type != JSON_BOOL)
        return true;
    *(struct json *)self = *value;
    return false;
}

struct json
event_path_scalar(const struct event *event, const struct event_path *path)
{
    /* Its text would have to live somewhere; the number groups just as well. */
    if (fields[path->field].kind == FIELD_TIME)
        return json_of_int(event->occurred_at);
    struct json found = {0};
    event_path_each(event, path, take_scalar, &found);
    return found;
}
