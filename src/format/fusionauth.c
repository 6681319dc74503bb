/* fusionauth - a login as FusionAuth's own webhooks tell of it, so that a receiver written
 * for them needs no change.
 *
 * Names are sorted, nulls are left out, instants are milliseconds since 1970. What FusionAuth sent
 * of this login is told again as it was; a login from elsewhere is told with what is known of it.
 * Why the login is suspicious stands in `info.data.tocsin`, which belongs to us. */
#include "format/format_priv.h"

#include "codec/hash.h"
#include "codec/text.h"

#include <string.h>

/* The connector of FusionAuth's own users, the same in every installation. */
#define OWN_CONNECTOR STR("e3306678-a53a-4964-9040-1c96f36dda72")

enum { MEMBERS_MAX = 24, DEPTH_MAX = 64, PLACE_MAX = 4096 };

/* -- building ---------------------------------------------------------------------- */

struct object {
    struct arena *arena;
    struct json_member members[MEMBERS_MAX];
    size_t count;
};

static struct json
array_of(struct arena *arena, const struct json *items, size_t count)
{
    struct json *kept = arena_array(arena, count, struct json);
    if (kept == NULL)
        return (struct json){.type = JSON_ARRAY};
    if (count > 0)
        memcpy(kept, items, count * sizeof *items);
    return (struct json){.type = JSON_ARRAY, .count = (uint32_t)count, .items = kept};
}

static void
put(struct object *object, const char *name, struct json value)
{
    if (value.type == JSON_ABSENT || value.type == JSON_NULL)
        return;
    must(object->count < MEMBERS_MAX);
    object->members[object->count++] = (struct json_member){str_from(name), value};
}

static void
put_text(struct object *object, const char *name, struct str text)
{
    if (text.len > 0)
        put(object, name, json_of_str(text));
}

static void
put_instant(struct object *object, const char *name, int64_t time_us)
{
    put(object, name, json_of_int(time_us / 1000));
}

static struct json
finished(const struct object *object)
{
    struct json_member *kept = arena_array(object->arena, object->count, struct json_member);
    if (kept == NULL)
        return (struct json){.type = JSON_OBJECT};
    if (object->count > 0)
        memcpy(kept, object->members, object->count * sizeof *kept);
    return (struct json){.type = JSON_OBJECT, .count = (uint32_t)object->count, .members = kept};
}

static struct json
without_nulls(struct arena *arena, const struct json *value, size_t depth)
{
    struct json copy = *value;
    if (value->type != JSON_OBJECT || depth > DEPTH_MAX)
        return copy;
    struct json_member *kept = arena_array(arena, value->count, struct json_member);
    copy.count = 0;
    copy.members = kept;
    for (uint32_t i = 0; kept != NULL && i < value->count; i++) {
        const struct json_member *member = &value->members[i];
        if (member->value.type != JSON_NULL)
            kept[copy.count++] =
                (struct json_member){member->name, without_nulls(arena, &member->value, depth + 1)};
    }
    return copy;
}

static struct str
text_of(const struct json *object, const char *name)
{
    const struct json *value = json_get(object, str_from(name));
    return value->type == JSON_STRING ? value->text : (struct str){0};
}

static struct str
first_of(struct str a, struct str b)
{
    return a.len > 0 ? a : b;
}

/* What FusionAuth sent under its name, else what is kept of it under ours. */
static struct str
told(const struct format_parts *parts, const char *name, const char *kept_as)
{
    return first_of(text_of(&parts->source, name), text_of(&parts->event->metadata, kept_as));
}

/* -- info -------------------------------------------------------------------------- */

struct place {
    struct str city, region, country, zipcode;
    double latitude, longitude;
};

static struct json
write_place(struct arena *arena, const struct place *place)
{
    const struct str shown[] = {place->city, place->region, place->country};
    struct object object = {.arena = arena};
    struct buffer display;
    struct str kept = {0};
    buffer_init(&display, PLACE_MAX);
    for (size_t i = 0; i < COUNT_OF(shown); i++) {
        if (shown[i].len == 0)
            continue;
        if (display.len > 0)
            buffer_add(&display, STR(", "));
        buffer_add(&display, shown[i]);
    }
    if (display.len > 0 && !arena_copy(arena, buffer_str(&display), &kept))
        kept = (struct str){0};
    buffer_fini(&display);
    put_text(&object, "city", place->city);
    put_text(&object, "country", place->country);
    put_text(&object, "displayString", kept);
    put(&object, "latitude", json_of_double(place->latitude));
    put(&object, "longitude", json_of_double(place->longitude));
    put_text(&object, "region", place->region);
    put_text(&object, "zipcode", place->zipcode);
    return finished(&object);
}

/* FusionAuth's own place, where its plan has one; else where we put the address. */
static struct json
location_of(const struct format_parts *parts, const struct json *info)
{
    const struct event_location *ours = &parts->event->location;
    const struct json *theirs = json_get(info, STR("location"));
    const struct json *latitude = json_get(theirs, STR("latitude")),
                      *longitude = json_get(theirs, STR("longitude"));
    struct place place = {ours->city,        ours->region,   ours->country,
                          ours->postal_code, ours->latitude, ours->longitude};
    if (latitude->type == JSON_NUMBER && longitude->type == JSON_NUMBER)
        place = (struct place){text_of(theirs, "city"),    text_of(theirs, "region"),
                               text_of(theirs, "country"), text_of(theirs, "zipcode"),
                               latitude->number,           longitude->number};
    else if (!ours->known)
        return (struct json){0};
    return write_place(parts->arena, &place);
}

static struct json
alert_of(const struct format_parts *parts, const struct format_alert *from)
{
    const struct alert *alert = &from->alert;
    struct object object = {.arena = parts->arena};
    char *time = arena_alloc(parts->arena, TIME_TEXT_SIZE, 1, 1);
    put(&object, "context", from->context);
    put_text(&object, "id", alert->id);
    put_text(&object, "reason", alert->reason);
    put_text(&object, "rule_id", alert->rule_id);
    put_text(&object, "rule_name", alert->rule_name);
    put_text(&object, "rule_type", alert->rule_type);
    put_text(&object, "severity", severity_name(alert->severity));
    if (time != NULL) {
        time_format(alert->triggered_at, time);
        put_text(&object, "triggered_at", (struct str){time, TIME_TEXT_SIZE});
    }
    return finished(&object);
}

static struct json
tocsin_of(const struct format_parts *parts)
{
    struct object object = {.arena = parts->arena};
    struct json *alerts = arena_array(parts->arena, parts->alert_count, struct json);
    for (size_t i = 0; alerts != NULL && i < parts->alert_count; i++)
        alerts[i] = alert_of(parts, &parts->alerts[i]);
    put(&object, "alerts", array_of(parts->arena, alerts, alerts == NULL ? 0 : parts->alert_count));
    put_text(&object, "event_id", parts->event->id);
    put_text(&object, "workspace_id", parts->webhook->workspace_id);
    return finished(&object);
}

/* Whatever stood there, and our part where there is something to explain. */
static struct json
data_of(const struct format_parts *parts, const struct json *info)
{
    const struct json *theirs = json_get(info, STR("data"));
    bool is_object = theirs->type == JSON_OBJECT;
    if (parts->alert_count == 0)
        return is_object ? without_nulls(parts->arena, theirs, 0) : (struct json){0};
    uint32_t count = is_object ? theirs->count : 0;
    struct json_member *kept = arena_array(parts->arena, count + 1, struct json_member);
    struct json data = {.type = JSON_OBJECT, .members = kept};
    for (uint32_t i = 0; kept != NULL && i < count; i++)
        if (!str_equal(theirs->members[i].name, STR("tocsin")) &&
            theirs->members[i].value.type != JSON_NULL)
            kept[data.count++] = theirs->members[i];
    if (kept != NULL)
        kept[data.count++] = (struct json_member){STR("tocsin"), tocsin_of(parts)};
    return data;
}

/* As FusionAuth names a browser: "macOS Chrome". */
static struct str
device_name(const struct format_parts *parts)
{
    const struct event_device *device = &parts->event->device;
    if (device->os.len == 0 || device->browser.len == 0)
        return first_of(device->browser, device->os);
    size_t len = device->os.len + 1 + device->browser.len;
    char *text = arena_alloc(parts->arena, len, 1, 1);
    if (text == NULL)
        return (struct str){0};
    memcpy(text, device->os.ptr, device->os.len);
    text[device->os.len] = ' ';
    memcpy(text + device->os.len + 1, device->browser.ptr, device->browser.len);
    return (struct str){text, len};
}

static struct str
address_of(const struct format_parts *parts)
{
    const struct event *event = parts->event;
    return first_of(event->ip_address, text_of(&event->metadata, "ip_address_raw"));
}

static struct json
info_of(const struct format_parts *parts)
{
    const struct event *event = parts->event;
    const struct json *info = json_get(&parts->source, STR("info"));
    bool ours = parts->source.type != JSON_OBJECT;
    struct object object = {.arena = parts->arena};
    put(&object, "data", data_of(parts, info));
    put_text(&object, "deviceDescription", text_of(info, "deviceDescription"));
    put_text(&object, "deviceName",
             first_of(text_of(info, "deviceName"), ours ? device_name(parts) : (struct str){0}));
    put_text(&object, "deviceType",
             first_of(text_of(info, "deviceType"),
                      ours && event->device.browser.len > 0 ? STR("BROWSER") : (struct str){0}));
    put_text(&object, "ipAddress", address_of(parts));
    put(&object, "location", location_of(parts, info));
    put_text(&object, "os",
             first_of(text_of(info, "os"), ours ? event->device.os : (struct str){0}));
    put_text(&object, "userAgent", event->user_agent);
    return finished(&object);
}

/* -- the event --------------------------------------------------------------------- */

/* Only the names that FusionAuth defines; what it has no name for is told in our own part. */
static struct str
threat_of(const struct format_alert *from)
{
    static const struct {
        const char *rule_type, *threat;
    } threats[] = {
        {"impossible_travel", "ImpossibleTravel"},
        {"new_device", "UnrecognizedDevice"},
        {"blocklisted_ip", "BlocklistedIp"},
        {"dormant_account", "DormantAccount"},
        {"suspicious_user_agent", "SuspiciousUserAgent"},
    };
    for (size_t i = 0; i < COUNT_OF(threats); i++)
        if (str_equal(from->alert.rule_type, str_from(threats[i].rule_type)))
            return str_from(threats[i].threat);
    return from->after_password_change ? STR("RecentPasswordChange") : (struct str){0};
}

static struct json
threats_of(const struct format_parts *parts)
{
    struct json found[MEMBERS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < parts->alert_count; i++) {
        struct str threat = threat_of(&parts->alerts[i]);
        bool again = threat.len == 0;
        for (size_t j = 0; j < count && !again; j++)
            again = str_equal(found[j].text, threat);
        if (!again && count < MEMBERS_MAX)
            found[count++] = json_of_str(threat);
    }
    return array_of(parts->arena, found, count);
}

/* The user as FusionAuth sent it, without secrets; else the least that is a user. */
static struct json
user_of(const struct format_parts *parts)
{
    const struct event *event = parts->event;
    const struct json *sent = json_get(&parts->source, STR("user"));
    if (sent->type == JSON_OBJECT)
        return without_nulls(parts->arena, sent, 0);
    struct json none = array_of(parts->arena, NULL, 0);
    struct object factors = {.arena = parts->arena}, object = {.arena = parts->arena};
    put(&factors, "methods", none);
    put(&factors, "recoveryCodes", none);
    put(&object, "active", json_of_bool(true));
    put_text(&object, "email", text_of(&event->metadata, "email"));
    put_text(&object, "fullName", event->actor_name);
    put_text(&object, "id", event->actor_id);
    put(&object, "memberships", none);
    put(&object, "preferredLanguages", none);
    put(&object, "registrations", none);
    put_text(&object, "tenantId", event->tenant_id);
    put(&object, "twoFactor", finished(&factors));
    put_text(&object, "usernameStatus", STR("ACTIVE"));
    return finished(&object);
}

/* The same whenever this is sent, so that a receiver can tell a duplicate. */
static struct str
id_of(const struct format_parts *parts)
{
    struct buffer both;
    unsigned char hash[SHA256_SIZE];
    char *text = arena_alloc(parts->arena, UUID_TEXT_SIZE, 1, 1);
    if (text == NULL)
        return (struct str){0};
    buffer_init(&both, 4096);
    buffer_add(&both, parts->event->id);
    buffer_add(&both, webhook_event_name(parts->kind));
    sha256_once(buffer_str(&both), hash);
    buffer_fini(&both);
    struct uuid uuid = uuid_v8(hash);
    uuid_format(&uuid, text);
    return (struct str){text, UUID_TEXT_SIZE};
}

static struct json
reason_of(const struct format_parts *parts)
{
    const struct json *sent = json_get(&parts->source, STR("reason"));
    if (sent->type == JSON_OBJECT)
        return without_nulls(parts->arena, sent, 0);
    struct object object = {.arena = parts->arena};
    put_text(&object, "code",
             first_of(text_of(&parts->event->metadata, "reason_code"), STR("credentials")));
    return finished(&object);
}

void
fusionauth_write(struct buffer *out, const struct format_parts *parts)
{
    const struct event *event = parts->event;
    struct object object = {.arena = parts->arena}, whole = {.arena = parts->arena};
    put_text(&object, "applicationId", told(parts, "applicationId", "application_id"));
    put_text(&object, "authenticationType",
             first_of(told(parts, "authenticationType", "authentication_type"), STR("PASSWORD")));
    put_instant(&object, "createInstant", event->occurred_at);
    put_text(&object, "id", id_of(parts));
    put(&object, "info", info_of(parts));
    put_text(&object, "ipAddress", address_of(parts));
    put_text(&object, "linkedObjectId", text_of(&parts->source, "linkedObjectId"));
    put_text(&object, "tenantId", event->tenant_id);
    put_text(&object, "type", webhook_event_name(parts->kind));
    put(&object, "user", user_of(parts));
    if (parts->kind == WEBHOOK_LOGIN_SUSPICIOUS)
        put(&object, "threatsDetected", threats_of(parts));
    if (parts->kind == WEBHOOK_LOGIN_FAILED) {
        put(&object, "reason", reason_of(parts));
    } else {
        put_text(&object, "connectorId",
                 first_of(told(parts, "connectorId", "connector_id"), OWN_CONNECTOR));
        put_text(&object, "identityProviderId",
                 told(parts, "identityProviderId", "identity_provider_id"));
        put_text(&object, "identityProviderName",
                 told(parts, "identityProviderName", "identity_provider_name"));
    }
    put(&whole, "event", finished(&object));
    struct json json = finished(&whole);
    json_write_canonical(out, &json, parts->arena);
}

void
fusionauth_write_test(struct buffer *out, const struct webhook *webhook, int64_t now_us,
                      struct random random)
{
    (void)webhook;
    char id[UUID_TEXT_SIZE];
    struct uuid uuid = uuid_v4(random);
    uuid_format(&uuid, id);
    json_open(out, '{');
    json_name(out, "event");
    json_open(out, '{');
    json_put_int(out, "createInstant", now_us / 1000);
    json_put_str(out, "id", (struct str){id, sizeof id});
    json_put_str(out, "type", STR("test"));
    json_close(out, '}');
    json_close(out, '}');
}
