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

static void
put_present(struct buffer *out, const char *name, struct str text)
{
    if (text.len > 0)
        json_put_str(out, name, text);
}

/* A member below the top level: null when there is none. */
static void
put_inner(struct buffer *out, const char *name, struct str text)
{
    json_put_str(out, name, text.len > 0 ? text : (struct str){0});
}

/* -- the nested objects, the same in both forms ----------------------------- */

static void
write_device(struct buffer *out, const struct event_device *device)
{
    json_open(out, '{');
    put_inner(out, "browser", device->browser);
    put_present(out, "browser_version", device->browser_version);
    put_inner(out, "os", device->os);
    put_present(out, "os_version", device->os_version);
    put_inner(out, "type", device->type);
    json_close(out, '}');
}

static void
write_location(struct buffer *out, const struct event_location *location)
{
    json_open(out, '{');
    put_inner(out, "city", location->city);
    put_inner(out, "country", location->country);
    if (location->has_point) {
        json_put_double(out, "latitude", location->latitude);
        json_put_double(out, "longitude", location->longitude);
    } else {
        json_put_null(out, "latitude");
        json_put_null(out, "longitude");
    }
    put_inner(out, "postal_code", location->postal_code);
    put_inner(out, "region", location->region);
    put_inner(out, "time_zone", location->time_zone);
    json_close(out, '}');
}

static void
write_network(struct buffer *out, const struct event_network *network)
{
    json_open(out, '{');
    if (network->asn != 0)
        json_put_int(out, "asn", network->asn);
    else
        json_put_null(out, "asn");
    json_name(out, "lists");
    json_open(out, '[');
    for (size_t i = 0; i < network->list_count; i++)
        json_str(out, network->lists[i]);
    json_close(out, ']');
    put_inner(out, "name", network->name);
    put_inner(out, "org", network->org);
    json_close(out, '}');
}

static void
write_three(struct buffer *out, struct str id, struct str name, struct str type)
{
    json_open(out, '{');
    put_inner(out, "id", id);
    put_inner(out, "name", name);
    put_inner(out, "type", type);
    json_close(out, '}');
}

static void
write_source(struct buffer *out, const struct event_source *source)
{
    json_open(out, '{');
    put_inner(out, "kind", source->kind);
    put_inner(out, "sha256", source->sha256);
    json_close(out, '}');
}

/* -- the stored form ---------------------------------------------------------- */

static void
write_device_to_network(struct buffer *out, const struct event *event, struct arena *arena)
{
    if (event->device.known) {
        json_name(out, "device");
        write_device(out, &event->device);
    }
    put_present(out, "id", event->id);
    put_present(out, "idempotency_key", event->idempotency_key);
    put_present(out, "ip_address", event->ip_address);
    if (event->location.known) {
        put_present(out, "ip_city", event->location.city);
        put_present(out, "ip_country", event->location.country);
        json_name(out, "location");
        write_location(out, &event->location);
    }
    if (event->metadata.type != JSON_ABSENT) {
        json_name(out, "metadata");
        json_write_canonical(out, &event->metadata, arena);
    }
    if (event->network.known) {
        json_name(out, "network");
        write_network(out, &event->network);
    }
}

static void
write_occurred_to_version(struct buffer *out, const struct event *event, struct arena *arena)
{
    json_put_time(out, "occurred_at", event->occurred_at);
    json_name(out, "resource");
    write_three(out, event->resource_id, event->resource_name, event->resource_type);
    put_present(out, "session_id", event->session_id);
    if (event->source.kind.len > 0) {
        json_name(out, "source");
        write_source(out, &event->source);
    }
    json_name(out, "targets");
    if (event->targets.type == JSON_ABSENT)
        buffer_add(out, STR("[]"));
    else
        json_write_canonical(out, &event->targets, arena);
    put_present(out, "tenant_id", event->tenant_id);
    put_present(out, "user_agent", event->user_agent);
    if (event->has_version)
        json_put_int(out, "version", event->version);
}

void
event_write_stored(struct buffer *out, const struct event *event, struct arena *arena,
                   size_t *created_at_offset_out)
{
    size_t start = out->len;
    buffer_add_char(out, '{'); /* not json_open: no comma, whatever stands before */
    put_present(out, "action", event->action);
    put_present(out, "action_category", event->action_category);
    put_present(out, "actor_id", event->actor_id);
    put_present(out, "actor_name", event->actor_name);
    put_present(out, "actor_type", event->actor_type);
    json_put_time(out, "created_at", event->created_at);
    *created_at_offset_out = out->len - start - TIME_TEXT_SIZE - 1;
    write_device_to_network(out, event, arena);
    write_occurred_to_version(out, event, arena);
    json_close(out, '}');
}

/* -- the answered form ---------------------------------------------------------- */

static void
put_value(struct buffer *out, const char *name, const struct json *value, struct str otherwise)
{
    json_name(out, name);
    if (value->type == JSON_ABSENT)
        buffer_add(out, otherwise);
    else
        json_write(out, value);
}

static void
write_what(struct buffer *out, const struct event *event)
{
    put_inner(out, "id", event->id);
    put_inner(out, "actor_id", event->actor_id);
    put_inner(out, "actor_name", event->actor_name);
    put_inner(out, "actor_type", event->actor_type);
    json_name(out, "actor");
    write_three(out, event->actor_id, event->actor_name, event->actor_type);
    put_inner(out, "action", event->action);
    put_inner(out, "action_category", event->action_category);
    json_name(out, "resource");
    write_three(out, event->resource_id, event->resource_name, event->resource_type);
    put_inner(out, "resource_id", event->resource_id);
    put_inner(out, "resource_name", event->resource_name);
    put_value(out, "targets", &event->targets, STR("[]"));
    put_value(out, "metadata", &event->metadata, STR("null"));
    put_inner(out, "tenant_id", event->tenant_id);
    put_inner(out, "session_id", event->session_id);
    put_inner(out, "idempotency_key", event->idempotency_key);
    if (event->has_version)
        json_put_int(out, "version", event->version);
    else
        json_put_null(out, "version");
}

static void
write_from_where(struct buffer *out, const struct event *event)
{
    struct str none = {0};
    bool placed = event->location.known;
    put_inner(out, "ip_address", event->ip_address);
    put_inner(out, "ip_country", placed ? event->location.country : none);
    put_inner(out, "ip_city", placed ? event->location.city : none);
    put_inner(out, "user_agent", event->user_agent);
    json_name(out, "location");
    if (placed)
        write_location(out, &event->location);
    else
        json_null(out);
    json_name(out, "network");
    if (event->network.known)
        write_network(out, &event->network);
    else
        json_null(out);
    json_name(out, "device");
    if (event->device.known)
        write_device(out, &event->device);
    else
        json_null(out);
    json_name(out, "source");
    if (event->source.kind.len > 0)
        write_source(out, &event->source);
    else
        json_null(out);
}

static void
put_hash(struct buffer *out, const char *name, const unsigned char hash[static SHA256_SIZE])
{
    char hex[2 * SHA256_SIZE];
    hex_encode(hash, SHA256_SIZE, hex);
    json_put_str(out, name, (struct str){hex, sizeof hex});
}

void
event_write_members(struct buffer *out, const struct event *event,
                    const struct event_integrity *integrity)
{
    write_what(out, event);
    write_from_where(out, event);
    json_name(out, "integrity");
    if (integrity != NULL) {
        json_open(out, '{');
        put_hash(out, "event_hash", integrity->hash);
        put_hash(out, "previous_event_hash", integrity->previous_hash);
        json_close(out, '}');
    } else {
        json_null(out);
    }
    json_put_time(out, "occurred_at", event->occurred_at);
    json_put_time(out, "created_at", event->created_at);
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
