/* fusionauth - an event as FusionAuth's webhooks send it, old shapes and new, becomes one of ours.
 *
 * What rules need goes into our fields and into metadata; the whole of what was sent, less its
 * secrets, becomes the source record beside the event. FusionAuth delivers more than once, so its
 * event id is the idempotency key. Fields and types that are not known here are kept, not refused:
 * they come from another product's next version. */
#include <stdio.h>
#include <string.h>

#include "codec/text.h"
#include "codec/time.h"
#include "intake/intake_priv.h"
#include "model/ids.h"
#include "model/limits.h"

#define SOURCE_DEPTH_MAX 32

/* -- the source record ----------------------------------------------------------- */

/* Names whose values are nobody's business, wherever they stand. Lists and objects are emptied, so
 * that the shape stays; anything else goes. */
static bool
is_secret(struct str name)
{
    static const char *const names[] = {
        "password",      "salt",         "factor",        "encryptionScheme",    "tokens",
        "recoveryCodes", "refreshToken", "token",         "authenticationToken", "secret",
        "authenticator", "trustToken",   "secretEncoded",
    };
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (str_equal(name, str_from(names[i])))
            return true;
    return false;
}

struct securing {
    struct arena *arena;
    const char *wrong; /* the first thing that cannot be kept; NULL: none */
};

static struct json secured(struct securing *securing, const struct json *value, size_t depth);

static struct json
secured_object(struct securing *securing, const struct json *value, size_t depth)
{
    struct json copy = *value;
    struct json_member *members = arena_array(securing->arena, value->count, struct json_member);
    copy.count = 0;
    copy.members = members;
    if (members == NULL || json_duplicate(value).ptr != NULL) {
        securing->wrong = members == NULL ? "is too large" : "has a name twice";
        return copy;
    }
    for (size_t i = 0; i < value->count; i++) {
        struct json_member member = value->members[i];
        if (is_secret(member.name)) {
            if (member.value.type != JSON_OBJECT && member.value.type != JSON_ARRAY)
                continue;
            member.value.count = 0;
        } else {
            member.value = secured(securing, &member.value, depth + 1);
        }
        members[copy.count++] = member;
    }
    return copy;
}

static struct json
secured(struct securing *securing, const struct json *value, size_t depth)
{
    if (depth > SOURCE_DEPTH_MAX) {
        securing->wrong = "is nested more than 32 deep";
        return (struct json){.type = JSON_NULL};
    }
    if (value->type == JSON_NUMBER && value->out_of_range && !value->is_integer)
        securing->wrong = "holds a number that cannot be kept";
    if (value->type == JSON_OBJECT)
        return secured_object(securing, value, depth);
    if (value->type != JSON_ARRAY)
        return *value;
    struct json copy = *value;
    struct json *items = arena_array(securing->arena, value->count, struct json);
    copy.items = items;
    copy.count = items != NULL ? value->count : 0;
    if (items == NULL)
        securing->wrong = "is too large";
    for (size_t i = 0; i < copy.count; i++)
        items[i] = secured(securing, &value->items[i], depth + 1);
    return copy;
}

static bool
make_source(const struct reading *reading, const struct json *event, struct str *source_out)
{
    struct arena *arena = reading->context->arena;
    struct securing securing = {.arena = arena};
    struct json copy = secured(&securing, event, 1);
    if (securing.wrong != NULL)
        return intake_refuse(reading, STR("event"), securing.wrong);
    struct buffer text;
    buffer_init(&text, LIMIT_SOURCE_BYTES);
    json_write_canonical(&text, &copy, arena);
    bool fits = !text.ran_out && arena_copy(arena, buffer_str(&text), source_out);
    buffer_fini(&text);
    if (!fits)
        return intake_refuse(reading, STR("event"), "may be at most 256 KiB");

    unsigned char hash[SHA256_SIZE];
    char *hex = arena_alloc(arena, 2 * SHA256_SIZE, 1, 1);
    if (hex == NULL)
        return intake_refuse(reading, STR("event"), "is too large");
    sha256_once(*source_out, hash);
    hex_encode(hash, sizeof hash, hex);
    reading->event->source =
        (struct event_source){.kind = STR("fusionauth"), .sha256 = {hex, 2 * SHA256_SIZE}};
    return true;
}

/* -- fields ------------------------------------------------------------------------ */

/* The text of a member, cut to `max`, or absent. NULs are no text. */
static struct str
text_of(const struct json *object, const char *name, size_t max)
{
    const struct json *value = json_get(object, str_from(name));
    if (value->type != JSON_STRING || value->text.len == 0 ||
        memchr(value->text.ptr, '\0', value->text.len) != NULL)
        return (struct str){0};
    return utf8_cut(value->text, max);
}

static struct str
first_of(struct str a, struct str b)
{
    return a.len > 0 ? a : b;
}

static struct str
name_of_identities(const struct json *user)
{
    const struct json *identities = json_get(user, STR("identities"));
    struct str any = {0};
    for (size_t i = 0; identities->type == JSON_ARRAY && i < identities->count; i++) {
        const struct json *identity = &identities->items[i];
        struct str shown = first_of(text_of(identity, "displayValue", LIMIT_STRING_BYTES),
                                    text_of(identity, "value", LIMIT_STRING_BYTES));
        if (json_get(identity, STR("primary"))->type == JSON_BOOL &&
            json_get(identity, STR("primary"))->truth)
            return shown;
        any = first_of(any, shown);
    }
    return any;
}

/* A user may have no mail address: what there is, from the most personal on. */
static struct str
name_of(const struct json *user, struct arena *arena)
{
    struct str full = text_of(user, "fullName", LIMIT_STRING_BYTES);
    struct str first = text_of(user, "firstName", 500), last = text_of(user, "lastName", 500);
    if (full.len > 0)
        return full;
    if (first.len > 0 && last.len > 0) {
        char *joined = arena_alloc(arena, first.len + last.len + 1, 1, 1);
        if (joined != NULL) {
            memcpy(joined, first.ptr, first.len);
            joined[first.len] = ' ';
            memcpy(joined + first.len + 1, last.ptr, last.len);
            return (struct str){joined, first.len + last.len + 1};
        }
    }
    struct str part = first_of(first, last);
    struct str shown = first_of(part, name_of_identities(user));
    return first_of(shown, first_of(text_of(user, "username", LIMIT_STRING_BYTES),
                                    text_of(user, "email", LIMIT_STRING_BYTES)));
}

static struct str
action_of(struct str type, struct str authentication_type)
{
    if (str_equal(type, STR("user.login.success"))) {
        /* A session that was used again is no login: nobody typed anything. */
        if (str_equal(authentication_type, STR("PING")))
            return STR("auth.session_reused");
        return STR("auth.login");
    }
    if (str_equal(type, STR("user.login.failed")))
        return STR("auth.login_failed");
    return utf8_cut(type, LIMIT_ID_BYTES);
}

static bool
read_instant(const struct reading *reading, const struct json *event)
{
    const struct json *instant = json_get(event, STR("createInstant"));
    int64_t now_us = reading->context->now_us;
    if (instant->type == JSON_ABSENT || instant->type == JSON_NULL) {
        reading->event->occurred_at = now_us;
        return true;
    }
    if (instant->type != JSON_NUMBER || !instant->is_integer || instant->integer < 0 ||
        instant->integer > TIME_US_MAX / 1000)
        return intake_refuse(reading, STR("event.createInstant"),
                             "must be milliseconds since 1970");
    reading->event->occurred_at = instant->integer * 1000;
    if (!reading->context->replay && reading->event->occurred_at > now_us + LIMIT_FUTURE_US)
        return intake_refuse(reading, STR("event.createInstant"),
                             "may be at most five minutes ahead");
    return true;
}

/* -- metadata ------------------------------------------------------------------------ */

#define METADATA_MAX 16

struct gathering {
    struct json_member *members;
    size_t count;
};

static void
gather(struct gathering *gathering, const char *name, struct str text)
{
    if (text.len > 0 && gathering->count < METADATA_MAX)
        gathering->members[gathering->count++] =
            (struct json_member){str_from(name), json_of_str(text)};
}

static bool
make_metadata(const struct reading *reading, const struct json *event, struct str raw_address)
{
    static const struct {
        const char *name, *from;
    } texts[] = {
        {"application_id", "applicationId"},
        {"authentication_type", "authenticationType"},
        {"connector_id", "connectorId"},
        {"identity_provider_id", "identityProviderId"},
        {"identity_provider_name", "identityProviderName"},
    };
    const struct json *info = json_get(event, STR("info"));
    struct gathering gathering = {
        .members = arena_array(reading->context->arena, METADATA_MAX, struct json_member)};
    if (gathering.members == NULL)
        return intake_refuse(reading, STR("event"), "is too large");
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        gather(&gathering, texts[i].name, text_of(event, texts[i].from, LIMIT_STRING_BYTES));
    gather(&gathering, "device_name", text_of(info, "deviceName", LIMIT_STRING_BYTES));
    gather(&gathering, "device_type", text_of(info, "deviceType", LIMIT_STRING_BYTES));
    gather(&gathering, "ip_address_raw", raw_address);
    gather(&gathering, "reason_code",
           text_of(json_get(event, STR("reason")), "code", LIMIT_STRING_BYTES));
    if (gathering.count > 0)
        reading->event->metadata = (struct json){
            .type = JSON_OBJECT, .count = (uint32_t)gathering.count, .members = gathering.members};
    return true;
}

/* Both fields hold the same where both are there; the newer one wins. */
static struct str
read_address(const struct reading *reading, const struct json *event)
{
    struct event *out = reading->event;
    const struct json *info = json_get(event, STR("info"));
    struct str sent = first_of(text_of(info, "ipAddress", LIMIT_STRING_BYTES),
                               text_of(event, "ipAddress", LIMIT_STRING_BYTES));
    if (sent.len == 0)
        return (struct str){0};
    if (!address_parse(sent, &out->address))
        return sent;
    char *text = arena_alloc(reading->context->arena, ADDRESS_TEXT_SIZE, 1, 1);
    if (text == NULL)
        return sent;
    out->has_address = true;
    out->ip_address = (struct str){text, address_format(&out->address, text)};
    return (struct str){0};
}

static bool
read_who(const struct reading *reading, const struct json *event)
{
    struct event *out = reading->event;
    const struct json *user = json_get(event, STR("user"));
    out->actor_id = first_of(text_of(user, "id", LIMIT_ID_BYTES),
                             text_of(event, "linkedObjectId", LIMIT_ID_BYTES));
    out->actor_type = STR("user");
    if (out->actor_id.len == 0) { /* an event of the instance, of nobody's */
        out->actor_id = STR("fusionauth");
        out->actor_type = STR("system");
    }
    out->actor_name = name_of(user, reading->context->arena);
    out->tenant_id = text_of(event, "tenantId", LIMIT_STRING_BYTES);
    struct str application = text_of(event, "applicationId", LIMIT_STRING_BYTES);
    if (application.len > 0) {
        out->resource_type = STR("application");
        out->resource_id = application;
    }
    return true;
}

bool
intake_read_fusionauth(const struct intake_context *context, const struct json *sent,
                       struct event *event_out, struct str *source_out,
                       struct violations *violations)
{
    struct event made = {0};
    struct reading reading = {context, "", &made, violations};
    const struct json *event = json_get(sent, STR("event"));
    if (event->type != JSON_OBJECT)
        return intake_refuse(&reading, STR("event"), "must be an object");
    struct str type = text_of(event, "type", LIMIT_STRING_BYTES);
    if (type.len == 0)
        return intake_refuse(&reading, STR("event.type"), "is required");

    struct str source;
    if (!make_source(&reading, event, &source) || !read_instant(&reading, event) ||
        !read_who(&reading, event))
        return false;
    struct str raw_address = read_address(&reading, event);
    if (!make_metadata(&reading, event, raw_address))
        return false;
    made.action = action_of(type, text_of(event, "authenticationType", LIMIT_STRING_BYTES));
    made.idempotency_key = text_of(event, "id", LIMIT_STRING_BYTES);
    made.user_agent = text_of(json_get(event, STR("info")), "userAgent", LIMIT_STRING_BYTES);
    char *id = arena_alloc(context->arena, ID_SIZE, 1, 1);
    if (id == NULL)
        return intake_refuse(&reading, STR("event"), "is too large");
    id_new_event(context->random, context->now_us, id);
    made.id = (struct str){id, ID_SIZE};
    *event_out = made;
    *source_out = source;
    return true;
}
