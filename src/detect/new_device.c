/* new_device - an actor acts from a device it has never used: metadata.device_id, or else browser,
 * system and type as the user agent tells them, without versions. */
#include "detect/detect_priv.h"

#include <stdio.h>
#include <string.h>

enum { HASH_SHOWN = 8 };

/* A device's name as it is kept and shown: what is too long is cut, and its hash put behind. */
static struct str
keep(struct str name, char room[static SEEN_VALUE_MAX])
{
    unsigned char hash[SHA256_SIZE];
    size_t hash_len = 2 * HASH_SHOWN;
    if (name.len <= SEEN_VALUE_MAX)
        return name;
    struct str cut = utf8_cut(name, SEEN_VALUE_MAX - hash_len - 1);
    sha256_once(name, hash);
    memmove(room, cut.ptr, cut.len);
    room[cut.len] = '~';
    hex_encode(hash, HASH_SHOWN, room + cut.len + 1);
    return (struct str){room, cut.len + 1 + hash_len};
}

/* Written with limits: what does not fit is cut at them. */
static struct str
device_of_agent(const struct event_device *device, char room[static SEEN_VALUE_MAX])
{
    const struct str parts[] = {device->browser, device->os, device->type};
    size_t len = 0;
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        struct str part = utf8_cut(parts[i], SEEN_VALUE_MAX / COUNT_OF(parts) - 2);
        if (part.len == 0)
            continue;
        if (len > 0) {
            memcpy(room + len, ", ", 2);
            len += 2;
        }
        memcpy(room + len, part.ptr, part.len);
        len += part.len;
    }
    return (struct str){room, len};
}

static struct str
device_of(const struct event *event, char room[static SEEN_VALUE_MAX])
{
    const struct json *id = json_get(&event->metadata, STR("device_id"));
    if (id->type == JSON_STRING && id->text.len > 0)
        return keep(id->text, room);
    if (id->type == JSON_NUMBER) {
        char digits[JSON_NUMBER_SIZE];
        size_t len = json_format_number(id->number, digits);
        memcpy(room, digits, len);
        return (struct str){room, len};
    }
    return device_of_agent(&event->device, room);
}

static void
step(const void *conditions, const struct event *event, struct fold *fold)
{
    char room[SEEN_VALUE_MAX];
    struct sighting sighting;
    struct str device = device_of(event, room);
    if (!first_seen_step(conditions, device, event, fold, &sighting))
        return;
    tell_action(&fold->reason, event);
    buffer_printf(&fold->reason, " with %.*s: ", STR_ARG(device));
    if (sighting.known_once)
        buffer_add(&fold->reason, STR("a device not used for a long time"));
    else
        buffer_printf(&fold->reason, "first time with this device, %zu known", sighting.count);
    json_put_texts(&fold->context, "known_devices", sighting.previous, sighting.count);
    json_put_str(&fold->context, "device", device);
}

const struct detector new_device_detector = {
    .rule_type = "new_device",
    .summary = "An actor uses a device it has not used before: metadata.device_id, or else the "
               "browser, system and device type of the user agent, without versions.",
    .notes = "The value is metadata.device_id (a text or a number), else browser, system and "
             "type with commas between them. What is longer than 256 bytes is cut and ends in ~ "
             "and a part of its hash. Otherwise as new_country. Context: known_devices, device.",
    .severity = SEVERITY_LOW,
    .habit = true,
    .conditions = first_seen_conditions,
    .condition_count = COUNT_OF(first_seen_conditions),
    .size = sizeof(struct first_seen),
    .step = step,
    .memory_us = first_seen_memory_us,
};
