/* facts - what a person wants to know of an alert, one row per fact. */
#include "format/format_priv.h"

#include "codec/text.h"

static void
add_both(struct buffer *out, struct str what, struct str more)
{
    buffer_add(out, what.len > 0 ? what : more);
    if (what.len > 0 && more.len > 0)
        buffer_printf(out, " (%.*s)", STR_ARG(more));
}

static void
write_actor(struct buffer *out, const struct format_parts *parts)
{
    add_both(out, parts->event->actor_name, parts->event->actor_id);
}

static void
write_action(struct buffer *out, const struct format_parts *parts)
{
    buffer_add(out, parts->event->action);
}

static void
write_place(struct buffer *out, const struct format_parts *parts)
{
    const struct event_location *place = &parts->event->location;
    const struct str names[] = {place->city, place->region, place->country};
    size_t before = out->len;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (names[i].len == 0 || (i > 0 && str_equal(names[i], names[i - 1])))
            continue;
        if (out->len > before)
            buffer_add(out, STR(", "));
        buffer_add(out, names[i]);
    }
}

static void
write_address(struct buffer *out, const struct format_parts *parts)
{
    buffer_add(out, parts->event->ip_address);
}

static void
write_network(struct buffer *out, const struct format_parts *parts)
{
    const struct event_network *network = &parts->event->network;
    buffer_add(out, network->org.len > 0 ? network->org : network->name);
    if (network->asn != 0)
        buffer_printf(out, "%sAS%lld", network->org.len + network->name.len > 0 ? ", " : "",
                      (long long)network->asn);
}

static void
write_device(struct buffer *out, const struct format_parts *parts)
{
    const struct event_device *device = &parts->event->device;
    buffer_add(out, device->browser);
    if (device->browser.len > 0 && device->os.len > 0)
        buffer_add(out, STR(" on "));
    buffer_add(out, device->os);
    if (device->browser.len + device->os.len == 0)
        buffer_add(out, parts->event->user_agent);
}

static void
write_time(struct buffer *out, const struct format_parts *parts)
{
    char text[TIME_TEXT_SIZE];
    time_format(parts->event->occurred_at, text);
    buffer_printf(out, "%.10s %.8s UTC", text, text + 11);
}

static void
write_tenant(struct buffer *out, const struct format_parts *parts)
{
    buffer_add(out, parts->event->tenant_id);
}

static void
write_rule(struct buffer *out, const struct format_parts *parts)
{
    if (parts->alert_count > 0)
        add_both(out, parts->alerts[0].alert.rule_name, parts->alerts[0].alert.rule_type);
}

const struct format_fact format_facts[] = {
    {"actor", "Who", write_actor},         {"action", "What", write_action},
    {"place", "Where", write_place},       {"ip_address", "Address", write_address},
    {"network", "Network", write_network}, {"device", "Device", write_device},
    {"occurred_at", "When", write_time},   {"tenant", "Tenant", write_tenant},
    {"rule", "Rule", write_rule},
};
const size_t format_fact_count = COUNT_OF(format_facts);

void
format_write_link(struct buffer *out, const struct format_parts *parts)
{
    struct str base = parts->public_url;
    while (base.len > 0 && base.ptr[base.len - 1] == '/')
        base.len--;
    if (base.len > 0 && parts->alert_count > 0)
        buffer_printf(out, "%.*s/alerts/%.*s", STR_ARG(base), STR_ARG(parts->alerts[0].alert.id));
}

void
format_add_cut(struct buffer *out, struct str text, size_t size)
{
    struct str more = STR("…");
    must(size > more.len);
    if (text.len <= size) {
        buffer_add(out, text);
        return;
    }
    buffer_add(out, utf8_cut(text, size - more.len));
    buffer_add(out, more);
}
