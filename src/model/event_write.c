/* event_write - the two written forms of an event, and its chain.
 *
 * STORED: the names of the top level are known, so they are written in sorted order by hand and
 * only what a client sent (metadata, targets) is put into canonical order. `resource` and `targets`
 * always stand there, because they are always answered as an object and an array: so whoever has
 * the answered form gets the stored bytes by taking away `integrity`, `actor`, `resource_id`,
 * `resource_name` and the top-level nulls. */
#include <string.h>

#include "codec/text.h"
#include "codec/time.h"
#include "model/event.h"

/* Names are written as they will stand, comma and colon included: this runs for every event, and
 * nothing about them is left to find out. */
#define FIRST(name) STR("{\"" name "\":")
#define NEXT(name)  STR(",\"" name "\":")

/* A top-level member: left out when there is none. */
static void
put_present(struct buffer *out, struct str name, struct str text)
{
    if (text.len == 0)
        return;
    buffer_add(out, name);
    json_write_string(out, text);
}

/* A member that always stands there: null when there is none. */
static void
put(struct buffer *out, struct str name, struct str text)
{
    buffer_add(out, name);
    if (text.len > 0)
        json_write_string(out, text);
    else
        buffer_add(out, STR("null"));
}

static void
put_number(struct buffer *out, struct str name, double number)
{
    char digits[JSON_NUMBER_SIZE];
    buffer_add(out, name);
    buffer_add_bytes(out, digits, json_format_number(number, digits));
}

static void
put_time(struct buffer *out, struct str name, int64_t time_us)
{
    char text[TIME_TEXT_SIZE + 2];
    text[0] = text[TIME_TEXT_SIZE + 1] = '"';
    time_format(time_us, text + 1);
    buffer_add(out, name);
    buffer_add_bytes(out, text, sizeof text);
}

/* -- the nested objects, the same in both forms ----------------------------- */

static void
write_device(struct buffer *out, const struct event_device *device)
{
    put(out, FIRST("browser"), device->browser);
    put_present(out, NEXT("browser_version"), device->browser_version);
    put(out, NEXT("os"), device->os);
    put_present(out, NEXT("os_version"), device->os_version);
    put(out, NEXT("type"), device->type);
    buffer_add_char(out, '}');
}

static void
write_location(struct buffer *out, const struct event_location *location)
{
    put(out, FIRST("city"), location->city);
    put(out, NEXT("country"), location->country);
    if (location->has_point) {
        put_number(out, NEXT("latitude"), location->latitude);
        put_number(out, NEXT("longitude"), location->longitude);
    } else {
        buffer_add(out, STR(",\"latitude\":null,\"longitude\":null"));
    }
    put(out, NEXT("postal_code"), location->postal_code);
    put(out, NEXT("region"), location->region);
    put(out, NEXT("time_zone"), location->time_zone);
    buffer_add_char(out, '}');
}

static void
write_network(struct buffer *out, const struct event_network *network)
{
    buffer_add(out, FIRST("asn"));
    if (network->asn != 0)
        json_write_integer(out, network->asn);
    else
        buffer_add(out, STR("null"));
    buffer_add(out, NEXT("lists"));
    buffer_add_char(out, '[');
    for (size_t i = 0; i < network->list_count; i++)
        json_str(out, network->lists[i]);
    buffer_add_char(out, ']');
    put(out, NEXT("name"), network->name);
    put(out, NEXT("org"), network->org);
    buffer_add_char(out, '}');
}

static void
write_three(struct buffer *out, struct str id, struct str name, struct str type)
{
    put(out, FIRST("id"), id);
    put(out, NEXT("name"), name);
    put(out, NEXT("type"), type);
    buffer_add_char(out, '}');
}

static void
write_source(struct buffer *out, const struct event_source *source)
{
    put(out, FIRST("kind"), source->kind);
    put(out, NEXT("sha256"), source->sha256);
    buffer_add_char(out, '}');
}

/* -- the stored form ---------------------------------------------------------- */

static void
write_device_to_network(struct buffer *out, const struct event *event, struct arena *arena)
{
    if (event->device.known) {
        buffer_add(out, NEXT("device"));
        write_device(out, &event->device);
    }
    put_present(out, NEXT("id"), event->id);
    put_present(out, NEXT("idempotency_key"), event->idempotency_key);
    put_present(out, NEXT("ip_address"), event->ip_address);
    if (event->location.known) {
        put_present(out, NEXT("ip_city"), event->location.city);
        put_present(out, NEXT("ip_country"), event->location.country);
        buffer_add(out, NEXT("location"));
        write_location(out, &event->location);
    }
    if (event->metadata.type != JSON_ABSENT) {
        buffer_add(out, NEXT("metadata"));
        json_write_canonical(out, &event->metadata, arena);
    }
    if (event->network.known) {
        buffer_add(out, NEXT("network"));
        write_network(out, &event->network);
    }
}

static void
write_occurred_to_version(struct buffer *out, const struct event *event, struct arena *arena)
{
    put_time(out, NEXT("occurred_at"), event->occurred_at);
    buffer_add(out, NEXT("resource"));
    write_three(out, event->resource_id, event->resource_name, event->resource_type);
    put_present(out, NEXT("session_id"), event->session_id);
    if (event->source.kind.len > 0) {
        buffer_add(out, NEXT("source"));
        write_source(out, &event->source);
    }
    buffer_add(out, NEXT("targets"));
    if (event->targets.type == JSON_ABSENT)
        buffer_add(out, STR("[]"));
    else
        json_write_canonical(out, &event->targets, arena);
    put_present(out, NEXT("tenant_id"), event->tenant_id);
    put_present(out, NEXT("user_agent"), event->user_agent);
    if (event->has_version) {
        buffer_add(out, NEXT("version"));
        json_write_integer(out, event->version);
    }
}

void
event_write_stored(struct buffer *out, const struct event *event, struct arena *arena,
                   size_t *created_at_offset_out)
{
    size_t start = out->len;
    must(event->action.len > 0);
    put(out, FIRST("action"), event->action);
    put_present(out, NEXT("action_category"), event->action_category);
    put_present(out, NEXT("actor_id"), event->actor_id);
    put_present(out, NEXT("actor_name"), event->actor_name);
    put_present(out, NEXT("actor_type"), event->actor_type);
    put_time(out, NEXT("created_at"), event->created_at);
    *created_at_offset_out = out->len - start - TIME_TEXT_SIZE - 1;
    write_device_to_network(out, event, arena);
    write_occurred_to_version(out, event, arena);
    buffer_add_char(out, '}');
}

/* -- the answered form ---------------------------------------------------------- */

static void
put_value(struct buffer *out, struct str name, const struct json *value, struct str otherwise)
{
    buffer_add(out, name);
    if (value->type == JSON_ABSENT)
        buffer_add(out, otherwise);
    else
        json_write(out, value);
}

static void
write_what(struct buffer *out, const struct event *event)
{
    json_put_str(out, "id", event->id); /* what stands before it is the caller's */
    put(out, NEXT("actor_id"), event->actor_id);
    put(out, NEXT("actor_name"), event->actor_name);
    put(out, NEXT("actor_type"), event->actor_type);
    buffer_add(out, NEXT("actor"));
    write_three(out, event->actor_id, event->actor_name, event->actor_type);
    put(out, NEXT("action"), event->action);
    put(out, NEXT("action_category"), event->action_category);
    buffer_add(out, NEXT("resource"));
    write_three(out, event->resource_id, event->resource_name, event->resource_type);
    put(out, NEXT("resource_id"), event->resource_id);
    put(out, NEXT("resource_name"), event->resource_name);
    put_value(out, NEXT("targets"), &event->targets, STR("[]"));
    put_value(out, NEXT("metadata"), &event->metadata, STR("null"));
    put(out, NEXT("tenant_id"), event->tenant_id);
    put(out, NEXT("session_id"), event->session_id);
    put(out, NEXT("idempotency_key"), event->idempotency_key);
    buffer_add(out, NEXT("version"));
    if (event->has_version)
        json_write_integer(out, event->version);
    else
        buffer_add(out, STR("null"));
}

static void
write_from_where(struct buffer *out, const struct event *event)
{
    struct str none = {0};
    bool placed = event->location.known;
    put(out, NEXT("ip_address"), event->ip_address);
    put(out, NEXT("ip_country"), placed ? event->location.country : none);
    put(out, NEXT("ip_city"), placed ? event->location.city : none);
    put(out, NEXT("user_agent"), event->user_agent);
    buffer_add(out, NEXT("location"));
    if (placed)
        write_location(out, &event->location);
    else
        buffer_add(out, STR("null"));
    buffer_add(out, NEXT("network"));
    if (event->network.known)
        write_network(out, &event->network);
    else
        buffer_add(out, STR("null"));
    buffer_add(out, NEXT("device"));
    if (event->device.known)
        write_device(out, &event->device);
    else
        buffer_add(out, STR("null"));
    buffer_add(out, NEXT("source"));
    if (event->source.kind.len > 0)
        write_source(out, &event->source);
    else
        buffer_add(out, STR("null"));
}

static void
put_hash(struct buffer *out, struct str name, const unsigned char hash[static SHA256_SIZE])
{
    char hex[2 * SHA256_SIZE + 2];
    hex[0] = hex[sizeof hex - 1] = '"';
    hex_encode(hash, SHA256_SIZE, hex + 1);
    buffer_add(out, name);
    buffer_add_bytes(out, hex, sizeof hex);
}

void
event_write_members(struct buffer *out, const struct event *event,
                    const struct event_integrity *integrity)
{
    write_what(out, event);
    write_from_where(out, event);
    buffer_add(out, NEXT("integrity"));
    if (integrity != NULL) {
        put_hash(out, FIRST("event_hash"), integrity->hash);
        put_hash(out, NEXT("previous_event_hash"), integrity->previous_hash);
        buffer_add_char(out, '}');
    } else {
        buffer_add(out, STR("null"));
    }
    put_time(out, NEXT("occurred_at"), event->occurred_at);
    put_time(out, NEXT("created_at"), event->created_at);
}

/* -- the chain -------------------------------------------------------------------- */

void
event_hash(struct sha256 *sha, const unsigned char previous[static SHA256_SIZE], struct str stored,
           unsigned char out[static SHA256_SIZE])
{
    sha256_begin(sha);
    sha256_add(sha, previous, SHA256_SIZE);
    sha256_add(sha, stored.ptr, stored.len);
    sha256_end(sha, out);
}

void
event_chain_start(struct str workspace_id, unsigned char out[static SHA256_SIZE])
{
    static const char words[] = "tocsin event chain 1 ";
    char text[sizeof words + 256];
    must(workspace_id.len < 256);
    memcpy(text, words, sizeof words - 1);
    memcpy(text + sizeof words - 1, workspace_id.ptr, workspace_id.len);
    sha256_once((struct str){text, sizeof words - 1 + workspace_id.len}, out);
}
