#include "support/event_maker.h"

#include <stdio.h>
#include <string.h>

#include "model/ids.h"

uint64_t
dice_roll(struct dice *dice)
{
    must(dice->state != 0);
    dice->state ^= dice->state >> 12;
    dice->state ^= dice->state << 25;
    dice->state ^= dice->state >> 27;
    return dice->state * 2685821657736338717u;
}

size_t
dice_below(struct dice *dice, size_t count)
{
    return (size_t)((dice_roll(dice) >> 11) % count);
}

bool
dice_one_in(struct dice *dice, size_t count)
{
    return dice_below(dice, count) == 0;
}

static struct str
kept(struct arena *arena, const char *bytes, size_t len)
{
    struct str copy = {0};
    must(arena_copy(arena, (struct str){bytes, len}, &copy));
    return copy;
}

struct str
dice_text(struct dice *dice, struct arena *arena, size_t len_max)
{
    static const char *const pieces[] = {"a",
                                         "Z",
                                         "7",
                                         " ",
                                         "\"",
                                         "\\",
                                         "/",
                                         "\n",
                                         "\t",
                                         "\x01",
                                         "\x1f",
                                         "\x7f",
                                         "\xc3\xa9",
                                         ".",
                                         "*",
                                         "\xe2\x82\xac",
                                         "\xf0\x9f\x94\x94",
                                         "\xe2\x80\xa8"};
    char text[256];
    size_t len = 0, want = 1 + dice_below(dice, len_max < sizeof text ? len_max : sizeof text);
    while (len < want) {
        const char *piece = pieces[dice_below(dice, COUNT_OF(pieces))];
        size_t piece_len = strlen(piece);
        if (len + piece_len > want)
            break;
        memcpy(text + len, piece, piece_len);
        len += piece_len;
    }
    if (len == 0)
        text[len++] = 'x';
    return kept(arena, text, len);
}

static struct json
dice_number(struct dice *dice)
{
    static const double doubles[] = {
        0.1, -1.5, 1e21, 1e-7, 4.5e15, 5e-324, 1.7976931348623157e308, 333333333.3333333};
    switch (dice_below(dice, 3)) {
    case 0:
        return json_of_double(doubles[dice_below(dice, COUNT_OF(doubles))]);
    case 1:
        return json_of_int((int64_t)dice_below(dice, 100) - 50);
    default:
        return json_of_int((int64_t)(dice_roll(dice) >> 11) * (dice_one_in(dice, 2) ? 1 : -1));
    }
}

struct json
dice_object(struct dice *dice, struct arena *arena, size_t depth)
{
    uint32_t count = (uint32_t)dice_below(dice, 5);
    struct json_member *members = arena_array(arena, count, struct json_member);
    must(members != NULL);
    for (uint32_t i = 0; i < count; i++) {
        char name[32];
        struct str tail = dice_text(dice, arena, 6);
        int len = snprintf(name, sizeof name, "%.*s%u", STR_ARG(tail), i);
        members[i].name = kept(arena, name, (size_t)len);
        members[i].value = dice_json(dice, arena, depth > 0 ? depth - 1 : 0);
    }
    return (struct json){.type = JSON_OBJECT, .count = count, .members = members};
}

static struct json
dice_list(struct dice *dice, struct arena *arena, size_t depth)
{
    uint32_t count = (uint32_t)dice_below(dice, 4);
    struct json *items = arena_array(arena, count, struct json);
    must(items != NULL);
    for (uint32_t i = 0; i < count; i++)
        items[i] = dice_json(dice, arena, depth > 0 ? depth - 1 : 0);
    return (struct json){.type = JSON_ARRAY, .count = count, .items = items};
}

struct json
dice_json(struct dice *dice, struct arena *arena, size_t depth)
{
    switch (dice_below(dice, depth > 0 ? 6 : 4)) {
    case 0:
        return (struct json){.type = JSON_NULL};
    case 1:
        return json_of_bool(dice_one_in(dice, 2));
    case 2:
        return dice_number(dice);
    case 3:
        return json_of_str(dice_text(dice, arena, 20));
    case 4:
        return dice_list(dice, arena, depth);
    default:
        return dice_object(dice, arena, depth);
    }
}

/* One of a few, or none. */
static struct str
pick(struct dice *dice, const struct str *list, size_t count)
{
    size_t which = dice_below(dice, count + 1);
    return which < count ? list[which] : (struct str){0};
}

static struct str
maybe_text(struct dice *dice, struct arena *arena)
{
    return dice_one_in(dice, 2) ? dice_text(dice, arena, 40) : (struct str){0};
}

static void
make_targets(struct dice *dice, struct arena *arena, struct event *event)
{
    static const struct str types[] = {STR_INIT("document"), STR_INIT("user"), STR_INIT("team")};
    uint32_t count = (uint32_t)dice_below(dice, dice_one_in(dice, 20) ? 60 : 4);
    if (count == 0)
        return;
    struct json *items = arena_array(arena, count, struct json);
    must(items != NULL);
    for (uint32_t i = 0; i < count; i++) {
        struct json_member *members = arena_array(arena, 3, struct json_member);
        must(members != NULL);
        char id[24];
        int len = snprintf(id, sizeof id, "t%zu", dice_below(dice, 40));
        members[0] = (struct json_member){STR("type"), json_of_str(types[dice_below(dice, 3)])};
        members[1] = (struct json_member){STR("id"), json_of_str(kept(arena, id, (size_t)len))};
        members[2] = (struct json_member){STR("metadata"), dice_object(dice, arena, 1)};
        uint32_t member_count = 1 + (uint32_t)dice_below(dice, 3);
        items[i] = (struct json){.type = JSON_OBJECT, .count = member_count, .members = members};
    }
    event->targets = (struct json){.type = JSON_ARRAY, .count = count, .items = items};
}

static void
make_place(struct dice *dice, struct arena *arena, struct event *event)
{
    static const struct str countries[] = {STR_INIT("US"), STR_INIT("RO"), STR_INIT("DE")};
    static const struct str addresses[] = {STR_INIT("198.51.100.42"), STR_INIT("91.203.144.12"),
                                           STR_INIT("2001:db8::1"), STR_INIT("10.0.0.5")};
    static const struct str lists[] = {STR_INIT("tor"), STR_INIT("vpn")};
    event->ip_address = pick(dice, addresses, COUNT_OF(addresses));
    if (event->ip_address.ptr != NULL)
        event->has_address = address_parse(event->ip_address, &event->address);
    event->location.known = dice_one_in(dice, 2);
    if (event->location.known) {
        event->location.country = pick(dice, countries, COUNT_OF(countries));
        event->location.city = maybe_text(dice, arena);
        event->location.time_zone = maybe_text(dice, arena);
        event->location.has_point = dice_one_in(dice, 2);
        if (event->location.has_point) {
            event->location.latitude = (double)dice_below(dice, 1800000) / 1e4 - 90;
            event->location.longitude = (double)dice_below(dice, 3600000) / 1e4 - 180;
        }
    }
    event->network.known = dice_one_in(dice, 2);
    if (event->network.known) {
        event->network.asn = (int64_t)dice_below(dice, 3) * 64512;
        event->network.org = maybe_text(dice, arena);
        event->network.list_count = dice_below(dice, 3);
        event->network.lists = event->network.list_count > 0 ? lists : NULL;
    }
    event->device.known = dice_one_in(dice, 2);
    if (event->device.known) {
        event->device.browser = maybe_text(dice, arena);
        event->device.os = maybe_text(dice, arena);
        event->device.os_version = maybe_text(dice, arena);
    }
    if (dice_one_in(dice, 8))
        event->source = (struct event_source){STR("fusionauth"), STR("00ff")};
}

static void
fill_random(void *self, void *bytes, size_t len)
{
    unsigned char *at = bytes;
    for (size_t i = 0; i < len; i++)
        at[i] = (unsigned char)(dice_roll(self) >> 40);
}

struct event
dice_event(struct dice *dice, struct arena *arena)
{
    static const struct str actors[] = {STR_INIT("user_1"), STR_INIT("user_2"), STR_INIT("b\"o\\b"),
                                        STR_INIT("user_3")};
    static const struct str actions[] = {STR_INIT("auth.login"), STR_INIT("auth.login_failed"),
                                         STR_INIT("doc.deleted"), STR_INIT("doc.created")};
    static const struct str few[] = {STR_INIT("one"), STR_INIT("two"), STR_INIT("three")};
    struct event event = {.occurred_at = (int64_t)(dice_roll(dice) >> 13)};
    char *id = arena_array(arena, ID_SIZE, char);
    must(id != NULL);
    id_new_event((struct random){dice, fill_random}, event.occurred_at, id);
    event.id = (struct str){id, ID_SIZE};
    event.actor_id = actors[dice_below(dice, COUNT_OF(actors))];
    event.actor_name = maybe_text(dice, arena);
    event.actor_type = pick(dice, few, COUNT_OF(few));
    event.action = actions[dice_below(dice, COUNT_OF(actions))];
    event.action_category = pick(dice, few, COUNT_OF(few));
    event.resource_type = pick(dice, few, COUNT_OF(few));
    event.resource_id = pick(dice, few, COUNT_OF(few));
    event.resource_name = maybe_text(dice, arena);
    event.tenant_id = pick(dice, few, COUNT_OF(few));
    event.session_id = pick(dice, few, COUNT_OF(few));
    event.idempotency_key = maybe_text(dice, arena);
    event.user_agent = maybe_text(dice, arena);
    event.has_version = dice_one_in(dice, 3);
    event.version = event.has_version ? (int64_t)dice_below(dice, 1000) - 500 : 0;
    if (dice_one_in(dice, 2))
        event.metadata = dice_object(dice, arena, 3);
    make_targets(dice, arena, &event);
    make_place(dice, arena, &event);
    return event;
}
