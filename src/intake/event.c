/* event - one event as sent (api.md): one row per field, all complaints at
 * once, each by name. */
#include <string.h>

#include "codec/text.h"
#include "codec/time.h"
#include "intake/intake_priv.h"
#include "model/ids.h"
#include "model/limits.h"

/* Reads a string; null and "" are absent. */
static bool
take_text(const struct reading *reading, struct str name, const struct json *value,
          struct str *text_out)
{
    if (value->type != JSON_STRING)
        return intake_refuse(reading, name, "must be a string");
    if (value->text.len > LIMIT_STRING_BYTES)
        return intake_refuse(reading, name, "may be at most 1,024 bytes");
    if (memchr(value->text.ptr, '\0', value->text.len) != NULL)
        return intake_refuse(reading, name, "may not hold a NUL");
    if (value->text.len > 0)
        *text_out = value->text;
    return true;
}

struct field;
typedef bool (*read_fn)(const struct reading *reading, const struct field *field,
                        const struct json *value);
struct field {
    struct str name;
    read_fn read;
    size_t offset; /* in struct event, for read_text and read_id */
};

static bool
read_text(const struct reading *reading, const struct field *field, const struct json *value)
{
    char *event = (char *)reading->event;
    return take_text(reading, field->name, value, (struct str *)(void *)(event + field->offset));
}

static bool
read_id(const struct reading *reading, const struct field *field, const struct json *value)
{
    if (value->type == JSON_STRING && value->text.len > LIMIT_ID_BYTES)
        return intake_refuse(reading, field->name, "may be at most 256 bytes");
    return read_text(reading, field, value);
}

static bool
read_metadata(const struct reading *reading, const struct field *field, const struct json *value)
{
    (void)field;
    return intake_read_metadata(reading, value);
}

static bool
read_targets(const struct reading *reading, const struct field *field, const struct json *value)
{
    (void)field;
    return intake_read_targets(reading, value);
}

static bool
read_version(const struct reading *reading, const struct field *field, const struct json *value)
{
    if (value->type != JSON_NUMBER || !value->is_integer || value->out_of_range)
        return intake_refuse(reading, field->name, "must be an integer within 2^53 - 1");
    reading->event->has_version = true;
    reading->event->version = value->integer;
    return true;
}

static bool
read_occurred_at(const struct reading *reading, const struct field *field, const struct json *value)
{
    int64_t time_us;
    const struct intake_context *context = reading->context;
    if (value->type != JSON_STRING || !time_parse(value->text, &time_us))
        return intake_refuse(reading, field->name, "must be an RFC 3339 time");
    if (time_us < 0)
        return intake_refuse(reading, field->name, "may not be before 1970");
    if (!context->replay && time_us > context->now_us + LIMIT_FUTURE_US)
        return intake_refuse(reading, field->name, "may be at most five minutes ahead");
    reading->event->occurred_at = time_us;
    return true;
}

static bool
set_address(const struct reading *reading, struct str text)
{
    struct event *event = reading->event;
    char out[ADDRESS_TEXT_SIZE];
    if (!address_parse(text, &event->address))
        return false;
    event->has_address = true;
    struct str normal = {out, address_format(&event->address, out)};
    /* Running out is remembered by the arena, and looked at in the end. */
    (void)!arena_copy(reading->context->arena, normal, &event->ip_address);
    return true;
}

static bool
read_ip_address(const struct reading *reading, const struct field *field, const struct json *value)
{
    struct str text = {0};
    if (!take_text(reading, field->name, value, &text))
        return false;
    if (text.ptr != NULL && !set_address(reading, text))
        return intake_refuse(reading, field->name, "must be an IP address");
    return true;
}

/* Chosen by the one who signs in, so it is cut and never refused for what it holds. */
static bool
read_user_agent(const struct reading *reading, const struct field *field, const struct json *value)
{
    if (value->type != JSON_STRING)
        return intake_refuse(reading, field->name, "must be a string");
    struct str text = value->text;
    struct str whole = str_split(&text, '\0');
    struct str cut = utf8_cut(whole, LIMIT_STRING_BYTES);
    if (cut.len > 0)
        reading->event->user_agent = cut;
    return true;
}

/* -- resource: its type, or an object of all three ------------------------------ */

/* Sets what may have been said already; saying the same twice is no contradiction. */
static bool
set_once(const struct reading *reading, struct str name, struct str text, struct str *at)
{
    if (text.ptr == NULL)
        return true;
    if (at->ptr != NULL && !str_equal(*at, text))
        return intake_refuse(reading, name, "contradicts the resource object");
    *at = text;
    return true;
}

static bool
read_resource_member(const struct reading *reading, const struct json_member *member)
{
    struct event *event = reading->event;
    const struct {
        struct str name, path, flat;
        struct str *at;
    } members[] = {
        {STR("type"), STR("resource.type"), STR("resource"), &event->resource_type},
        {STR("id"), STR("resource.id"), STR("resource_id"), &event->resource_id},
        {STR("name"), STR("resource.name"), STR("resource_name"), &event->resource_name},
    };
    for (size_t i = 0; i < COUNT_OF(members); i++) {
        if (!str_equal(members[i].name, member->name))
            continue;
        struct str text = {0};
        if (member->value.type == JSON_NULL)
            return true;
        return take_text(reading, members[i].path, &member->value, &text) &&
               set_once(reading, members[i].flat, text, members[i].at);
    }
    struct intake_step object = {.name = STR("resource")};
    struct intake_step step = {.up = &object, .name = member->name};
    return intake_refuse_step(reading, &step, "is not known");
}

static bool
read_resource(const struct reading *reading, const struct field *field, const struct json *value)
{
    if (value->type == JSON_STRING)
        return take_text(reading, field->name, value, &reading->event->resource_type);
    if (value->type == JSON_ARRAY && value->count == 0)
        return true;
    if (value->type != JSON_OBJECT)
        return intake_refuse(reading, field->name, "must be a string or an object");
    if (json_duplicate(value).ptr != NULL)
        return intake_refuse(reading, field->name, "has a member twice");
    bool ok = true;
    for (uint32_t i = 0; i < value->count; i++)
        ok = read_resource_member(reading, &value->members[i]) && ok;
    return ok;
}

static bool
read_resource_part(const struct reading *reading, const struct field *field,
                   const struct json *value)
{
    struct str text = {0};
    char *event = (char *)reading->event;
    return take_text(reading, field->name, value, &text) &&
           set_once(reading, field->name, text, (struct str *)(void *)(event + field->offset));
}

/* -- the table ----------------------------------------------------------------------- */

#define AT(member) offsetof(struct event, member)
static const struct field fields[] = {
    {STR_INIT("actor_id"), read_id, AT(actor_id)},
    {STR_INIT("actor_name"), read_text, AT(actor_name)},
    {STR_INIT("actor_type"), read_text, AT(actor_type)},
    {STR_INIT("action"), read_id, AT(action)},
    {STR_INIT("action_category"), read_text, AT(action_category)},
    {STR_INIT("resource"), read_resource, 0},
    {STR_INIT("resource_id"), read_resource_part, AT(resource_id)},
    {STR_INIT("resource_name"), read_resource_part, AT(resource_name)},
    {STR_INIT("targets"), read_targets, 0},
    {STR_INIT("metadata"), read_metadata, 0},
    {STR_INIT("session_id"), read_text, AT(session_id)},
    {STR_INIT("tenant_id"), read_text, AT(tenant_id)},
    {STR_INIT("idempotency_key"), read_text, AT(idempotency_key)},
    {STR_INIT("version"), read_version, 0},
    {STR_INIT("occurred_at"), read_occurred_at, 0},
    {STR_INIT("ip_address"), read_ip_address, 0},
    {STR_INIT("user_agent"), read_user_agent, 0},
};

/* Members mostly come in the order of the table, so the search begins at `*next`, behind the one
 * found before. */
static bool
read_member(const struct reading *reading, const struct json_member *member, size_t *next)
{
    for (size_t n = 0; n < COUNT_OF(fields); n++) {
        const struct field *field = &fields[(*next + n) % COUNT_OF(fields)];
        if (!str_equal(field->name, member->name))
            continue;
        *next = (size_t)(field - fields) + 1;
        if (member->value.type == JSON_NULL)
            return true;
        return field->read(reading, field, &member->value);
    }
    struct intake_step step = {.name = member->name};
    return intake_refuse_step(reading, &step, "is not known");
}

static bool
is_given(const struct json *sent, const char *name)
{
    const struct json *value = json_get(sent, str_from(name));
    return value->type != JSON_ABSENT && value->type != JSON_NULL &&
           !(value->type == JSON_STRING && value->text.len == 0);
}

static bool
check_required(const struct reading *reading, const struct json *sent)
{
    static const char *const required[] = {"actor_id", "action", "occurred_at"};
    size_t count = reading->context->replay ? COUNT_OF(required) : COUNT_OF(required) - 1;
    bool ok = true;
    for (size_t i = 0; i < count; i++)
        if (!is_given(sent, required[i]))
            ok = intake_refuse(reading, str_from(required[i]), "is required");
    return ok;
}

/* The published clients can name a tenant in the metadata only. */
static bool
take_tenant(const struct reading *reading)
{
    struct event *event = reading->event;
    const struct json *tenant = json_get(&event->metadata, STR("tenant_id"));
    if (event->tenant_id.ptr != NULL || tenant->type != JSON_STRING)
        return true;
    return take_text(reading, STR("metadata.tenant_id"), tenant, &event->tenant_id);
}

static bool
fill_in(const struct reading *reading)
{
    struct event *event = reading->event;
    const struct intake_context *context = reading->context;
    char *id = arena_array(context->arena, ID_SIZE, char);
    if (id != NULL) {
        id_new_event(context->random, context->now_us, id);
        event->id = (struct str){id, ID_SIZE};
    }
    if (event->ip_address.ptr == NULL && context->peer_address.ptr != NULL)
        (void)set_address(reading, context->peer_address);
    if (context->arena->ran_out)
        return intake_refuse(reading, STR("event"), "does not fit into the memory of a request");
    return true;
}

bool
intake_read_event(const struct intake_context *context, const struct json *sent, const char *prefix,
                  struct event *event_out, struct violations *violations)
{
    struct event event = {.occurred_at = context->now_us};
    const struct reading reading = {context, prefix, &event, violations};
    if (sent->type != JSON_OBJECT)
        return intake_refuse(&reading, STR("event"), "must be a JSON object");

    bool ok = check_required(&reading, sent);
    struct str twice = json_duplicate(sent);
    if (twice.ptr != NULL) {
        struct intake_step step = {.name = twice};
        ok = intake_refuse_step(&reading, &step, "is given twice");
    }
    size_t next = 0;
    for (uint32_t i = 0; i < sent->count; i++)
        ok = read_member(&reading, &sent->members[i], &next) && ok;
    if (!ok || !take_tenant(&reading) || !fill_in(&reading))
        return false;
    *event_out = event;
    return true;
}
