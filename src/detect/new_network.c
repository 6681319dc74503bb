/* new_network - an actor acts from a network it has never used: the autonomous system, or else the
 * neighbourhood of the address. */
#include "detect/detect_priv.h"

#include <inttypes.h>
#include <stdio.h>

enum { NEAR_V4 = 24, NEAR_V6 = 48, TEXT_SIZE = ADDRESS_TEXT_SIZE + 4 };

static struct str
network_of_event(const struct event *event, char room[static TEXT_SIZE])
{
    if (event->network.asn != 0) {
        int len = snprintf(room, TEXT_SIZE, "AS%" PRId64, event->network.asn);
        return (struct str){room, (size_t)len};
    }
    if (!event->has_address)
        return (struct str){0};
    struct network near = network_of(&event->address, NEAR_V4, NEAR_V6);
    return (struct str){room, network_format(&near, room)};
}

static void
step(const void *conditions, const struct event *event, struct fold *fold)
{
    char room[TEXT_SIZE];
    struct sighting sighting;
    struct str network = network_of_event(event, room);
    if (!first_seen_step(conditions, network, event, fold, &sighting))
        return;
    struct buffer *reason = &fold->reason;
    tell_action(reason, event);
    buffer_printf(reason, " from %.*s", STR_ARG(network));
    if (event->network.org.len > 0)
        buffer_printf(reason, " (%.*s)", STR_ARG(utf8_cut(event->network.org, 128)));
    if (sighting.known_once) {
        buffer_add(reason, STR(": a network not used for a long time"));
    } else {
        buffer_add(reason, STR(": until now only from "));
        tell_list(reason, sighting.previous, sighting.count);
    }
    json_put_texts(&fold->context, "previous_networks", sighting.previous, sighting.count);
    json_put_str(&fold->context, "new_network", network);
}

const struct detector new_network_detector = {
    .rule_type = "new_network",
    .summary =
        "An actor acts from a network it has not used before: the autonomous system where it "
        "is known, else the /24 or /48 around the address.",
    .notes = "The value is the autonomous system, written AS64500, else the /24 or /48 that "
             "holds the address. Otherwise as new_country. Context: previous_networks, "
             "new_network.",
    .severity = SEVERITY_LOW,
    .habit = true,
    .conditions = first_seen_conditions,
    .condition_count = COUNT_OF(first_seen_conditions),
    .size = sizeof(struct first_seen),
    .step = step,
    .memory_us = first_seen_memory_us,
};
