/* event_read - a stored event becomes a struct event again.
 *
 * Reads the answered form too (an export is given to `tocsin replay`): nulls are absent, and the
 * closed list of members that reads add is passed over. Any other name that is not ours is damage:
 * a member that was dropped in silence would come back as another event. */
#include <string.h>

#include "codec/text.h"
#include "codec/time.h"
#include "model/event.h"

/* Where a member goes; `at` is its place in struct event. */
struct target {
    struct event *event;
    struct arena *arena;
    void *at;
};

static bool
read_text(const struct json *value, const struct target *target)
{
    if (value->type != JSON_STRING)
        return false;
    *(struct str *)target->at = value->text.len > 0 ? value->text : (struct str){0};
    return true;
}

static bool
read_time(const struct json *value, const struct target *target)
{
    return value->type == JSON_STRING && time_parse(value->text, (int64_t *)target->at);
}

static bool
read_value(const struct json *value, const struct target *target)
{
    *(struct json *)target->at = *value;
    return true;
}

static bool
read_metadata(const struct json *value, const struct target *target)
{
    return value->type == JSON_OBJECT && read_value(value, target);
}

/* None is stored as an empty list. */
static bool
read_targets(const struct json *value, const struct target *target)
{
    if (value->type != JSON_ARRAY)
        return false;
    return value->count == 0 || read_value(value, target);
}

static bool
read_address(const struct json *value, const struct target *target)
{
    struct event *event = target->event;
    if (!read_text(value, target))
        return false;
    event->has_address = address_parse(event->ip_address, &event->address);
    return true;
}

static bool
read_version(const struct json *value, const struct target *target)
{
    if (value->type != JSON_NUMBER || !value->is_integer)
        return false;
    target->event->has_version = true;
    target->event->version = value->integer;
    return true;
}

static bool
read_nothing(const struct json *value, const struct target *target)
{
    (void)value;
    (void)target;
    return true;
}

/* -- the nested objects ------------------------------------------------------- */

/* A text of a nested object: null or absent is none. */
static bool
inner_text(const struct json *object, struct str name, struct str *text_out)
{
    const struct json *value = json_get(object, name);
    if (value->type == JSON_ABSENT || value->type == JSON_NULL)
        return true;
    if (value->type != JSON_STRING)
        return false;
    *text_out = value->text.len > 0 ? value->text : (struct str){0};
    return true;
}

static bool
read_resource(const struct json *value, const struct target *target)
{
    struct event *event = target->event;
    return value->type == JSON_OBJECT && inner_text(value, STR("type"), &event->resource_type) &&
           inner_text(value, STR("id"), &event->resource_id) &&
           inner_text(value, STR("name"), &event->resource_name);
}

static bool
read_device(const struct json *value, const struct target *target)
{
    struct event_device *device = &target->event->device;
    device->known = true;
    return value->type == JSON_OBJECT && inner_text(value, STR("browser"), &device->browser) &&
           inner_text(value, STR("browser_version"), &device->browser_version) &&
           inner_text(value, STR("os"), &device->os) &&
           inner_text(value, STR("os_version"), &device->os_version) &&
           inner_text(value, STR("type"), &device->type);
}

static bool
read_location(const struct json *value, const struct target *target)
{
    struct event_location *location = &target->event->location;
    const struct json *latitude = json_get(value, STR("latitude"));
    const struct json *longitude = json_get(value, STR("longitude"));
    location->known = true;
    location->has_point = latitude->type == JSON_NUMBER && longitude->type == JSON_NUMBER;
    if (location->has_point) {
        location->latitude = latitude->number;
        location->longitude = longitude->number;
    }
    return value->type == JSON_OBJECT && inner_text(value, STR("city"), &location->city) &&
           inner_text(value, STR("country"), &location->country) &&
           inner_text(value, STR("postal_code"), &location->postal_code) &&
           inner_text(value, STR("region"), &location->region) &&
           inner_text(value, STR("time_zone"), &location->time_zone);
}

static bool
read_network(const struct json *value, const struct target *target)
{
    struct event_network *network = &target->event->network;
    const struct json *asn = json_get(value, STR("asn"));
    const struct json *lists = json_get(value, STR("lists"));
    network->known = true;
    if (asn->type == JSON_NUMBER && asn->is_integer)
        network->asn = asn->integer;
    if (lists->type == JSON_ARRAY && lists->count > 0) {
        struct str *names = arena_array(target->arena, lists->count, struct str);
        for (uint32_t i = 0; i < lists->count; i++) {
            if (names == NULL || lists->items[i].type != JSON_STRING)
                return false;
            names[i] = lists->items[i].text;
        }
        network->lists = names;
        network->list_count = lists->count;
    }
    return value->type == JSON_OBJECT && inner_text(value, STR("name"), &network->name) &&
           inner_text(value, STR("org"), &network->org);
}

static bool
read_source(const struct json *value, const struct target *target)
{
    struct event_source *source = &target->event->source;
    return value->type == JSON_OBJECT && inner_text(value, STR("kind"), &source->kind) &&
           inner_text(value, STR("sha256"), &source->sha256);
}

/* An export that knows the country but no more of the place; `location`, which comes later in
 * sorted order, says the same again. */
static bool
read_place(const struct json *value, const struct target *target)
{
    target->event->location.known = true;
    return read_text(value, target);
}

/* -- the table ------------------------------------------------------------------ */

#define AT(member) offsetof(struct event, member)
static const struct {
    struct str name;
    bool (*read)(const struct json *value, const struct target *target);
    size_t offset;
} members[] = {
    {STR_INIT("action"), read_text, AT(action)},
    {STR_INIT("action_category"), read_text, AT(action_category)},
    {STR_INIT("actor_id"), read_text, AT(actor_id)},
    {STR_INIT("actor_name"), read_text, AT(actor_name)},
    {STR_INIT("actor_type"), read_text, AT(actor_type)},
    {STR_INIT("created_at"), read_time, AT(created_at)},
    {STR_INIT("device"), read_device, 0},
    {STR_INIT("id"), read_text, AT(id)},
    {STR_INIT("idempotency_key"), read_text, AT(idempotency_key)},
    {STR_INIT("ip_address"), read_address, AT(ip_address)},
    {STR_INIT("ip_city"), read_place, AT(location.city)},
    {STR_INIT("ip_country"), read_place, AT(location.country)},
    {STR_INIT("location"), read_location, 0},
    {STR_INIT("metadata"), read_metadata, AT(metadata)},
    {STR_INIT("network"), read_network, 0},
    {STR_INIT("occurred_at"), read_time, AT(occurred_at)},
    {STR_INIT("resource"), read_resource, 0},
    {STR_INIT("session_id"), read_text, AT(session_id)},
    {STR_INIT("source"), read_source, 0},
    {STR_INIT("targets"), read_targets, AT(targets)},
    {STR_INIT("tenant_id"), read_text, AT(tenant_id)},
    {STR_INIT("user_agent"), read_text, AT(user_agent)},
    {STR_INIT("version"), read_version, 0},
    /* What reads add. */
    {STR_INIT("actor"), read_nothing, 0},
    {STR_INIT("resource_id"), read_nothing, 0},
    {STR_INIT("resource_name"), read_nothing, 0},
    {STR_INIT("integrity"), read_nothing, 0},
    {STR_INIT("status"), read_nothing, 0},
    {STR_INIT("alerts"), read_nothing, 0},
    {STR_INIT("risk"), read_nothing, 0},
    {STR_INIT("warnings"), read_nothing, 0},
    {STR_INIT("data"), read_nothing, 0},
};

/* Stored members come in the table's order, so the search begins behind the last one found. */
static size_t
find_member(struct str name, size_t after)
{
    for (size_t tried = 0; tried < COUNT_OF(members); tried++) {
        size_t i =
            after + tried < COUNT_OF(members) ? after + tried : after + tried - COUNT_OF(members);
        if (members[i].name.len == name.len && memcmp(members[i].name.ptr, name.ptr, name.len) == 0)
            return i;
    }
    return COUNT_OF(members);
}

bool
event_read_stored(const struct json *stored, struct arena *arena, struct event *event_out,
                  struct err *err)
{
    if (stored->type != JSON_OBJECT)
        return err_set(err, ERR_CORRUPT, "a stored event is no JSON object");
    struct event event = {0};
    size_t next = 0;
    for (uint32_t i = 0; i < stored->count; i++) {
        const struct json_member *member = &stored->members[i];
        size_t found = find_member(member->name, next);
        if (found == COUNT_OF(members))
            return err_set(err, ERR_CORRUPT, "a stored event has an unknown member %.*s",
                           STR_ARG(utf8_cut(member->name, 60)));
        next = found + 1;
        if (member->value.type == JSON_NULL)
            continue;
        struct target target = {&event, arena, (char *)&event + members[found].offset};
        if (!members[found].read(&member->value, &target))
            return err_set(err, ERR_CORRUPT, "member %.*s of a stored event cannot be read",
                           STR_ARG(members[found].name));
    }
    if (event.action.len == 0 || event.actor_id.len == 0 || event.id.len == 0)
        return err_set(err, ERR_CORRUPT, "a stored event lacks its id, actor_id or action");
    *event_out = event;
    return true;
}
