/* reader - one thread's way into the files: its reference on the snapshot and its caches.
 *
 * People sign in again from where they did, and with what: both answers are kept per thread, in
 * tables of fixed size. A new answer takes the older place of the two that its hash allows. A new
 * snapshot empties them. */
#include "enrich/enrich_priv.h"

#include "base/system.h"
#include "codec/hash.h"
#include "codec/text.h"

#include <string.h>

enum {
    ADDRESS_SETS = 2048, /* of two: 4,096 addresses */
    AGENT_SETS = 2048,   /* of two: 4,096 user agents */
    WAYS = 2
};

struct address_entry {
    bool used;
    struct address address;
    struct event_location location; /* strings belong to the snapshot */
    int64_t asn;
    struct str org, name;
    uint64_t lists;
};

struct agent_entry {
    bool used;
    unsigned short text_len, browser_len, os_len;
    struct str type;
    char text[USER_AGENT_MAX];
    char browser[DEVICE_NAME_MAX], os[DEVICE_NAME_MAX];
};

struct enrich_reader {
    struct enrich *enrich;
    struct snapshot *snapshot;
    uint64_t seed;                  /* the sender chooses the texts, but not where they go */
    struct device_scratch *scratch; /* NULL without devices */
    struct device device;           /* the one found last */
    struct address_entry (*addresses)[WAYS];
    struct agent_entry (*agents)[WAYS];
};

static void
begin_snapshot(struct enrich_reader *reader)
{
    reader->snapshot = snapshot_take(reader->enrich);
    if (reader->snapshot->devices != NULL)
        reader->scratch = device_scratch_new(reader->snapshot->devices);
    reader->addresses = base_alloc(ADDRESS_SETS, sizeof *reader->addresses);
    reader->agents = base_alloc(AGENT_SETS, sizeof *reader->agents);
}

static void
end_snapshot(struct enrich_reader *reader)
{
    device_scratch_free(reader->scratch);
    reader->scratch = NULL;
    base_free(reader->addresses);
    base_free(reader->agents);
    snapshot_give(reader->enrich, reader->snapshot);
}

struct enrich_reader *
enrich_reader_new(struct enrich *enrich)
{
    struct enrich_reader *reader = base_alloc(1, sizeof *reader);
    struct random random = random_system();
    reader->enrich = enrich;
    random.fill(random.self, &reader->seed, sizeof reader->seed);
    begin_snapshot(reader);
    return reader;
}

void
enrich_reader_free(struct enrich_reader *reader)
{
    if (reader == NULL)
        return;
    end_snapshot(reader);
    base_free(reader);
}

void
enrich_refresh(struct enrich_reader *reader)
{
    if (snapshot_is_newest(reader->enrich, reader->snapshot))
        return;
    end_snapshot(reader);
    begin_snapshot(reader);
}

/* -- addresses ------------------------------------------------------------------- */

static void
look_up(const struct snapshot *snapshot, const struct address *address, struct address_entry *entry)
{
    const struct place *place =
        snapshot->places == NULL ? NULL : places_find(snapshot->places, address);
    bool public = address_is_public(address);

    *entry = (struct address_entry){.used = true, .address = *address};
    if (place != NULL) {
        entry->location = place->location;
        entry->name = place->name;
    }
    for (size_t i = 0; public && place == NULL && i < snapshot->geo_count; i++)
        if (mmdb_find_place(snapshot->geo[i], address, &entry->location))
            break;
    if (public && snapshot->asn != NULL)
        (void)mmdb_find_network(snapshot->asn, address, &entry->asn, &entry->org);
    if (snapshot->lists != NULL)
        entry->lists = lists_find(snapshot->lists, address);
}

static bool
is_same(const struct address_entry *entry, const struct address *address)
{
    return entry->used && entry->address.is_v4 == address->is_v4 &&
           memcmp(entry->address.bytes, address->bytes, sizeof address->bytes) == 0;
}

static const struct address_entry *
find_address(struct enrich_reader *reader, const struct address *address)
{
    uint64_t hash = hash64(reader->seed, address->bytes, sizeof address->bytes);
    struct address_entry *set = reader->addresses[hash % ADDRESS_SETS];
    if (is_same(&set[0], address))
        return &set[0];
    if (is_same(&set[1], address))
        return &set[1];
    set[1] = set[0];
    look_up(reader->snapshot, address, &set[0]);
    return &set[0];
}

/* Moves the string into `*room`, which has been counted for it. */
static void
settle(struct str *text, char **room)
{
    if (text->ptr == NULL)
        return;
    memcpy(*room, text->ptr, text->len);
    text->ptr = *room;
    *room += text->len;
}

static bool
settle_all(struct str *const *texts, size_t count, struct arena *arena)
{
    size_t len = 0;
    for (size_t i = 0; i < count; i++)
        len += texts[i]->len;
    char *room = arena_array(arena, len, char);
    if (room == NULL)
        return false;
    for (size_t i = 0; i < count; i++)
        settle(texts[i], &room);
    return true;
}

static bool
copy_lists(const struct snapshot *snapshot, uint64_t set, struct arena *arena,
           struct event_network *network)
{
    size_t count = (size_t)__builtin_popcountll(set), at = 0;
    struct str *names = arena_array(arena, count, struct str);
    if (names == NULL)
        return false;
    for (; set != 0; set &= set - 1)
        if (!arena_copy(arena, lists_name(snapshot->lists, (size_t)__builtin_ctzll(set)),
                        &names[at++]))
            return false;
    network->lists = names;
    network->list_count = count;
    return true;
}

static bool
fill_address(struct enrich_reader *reader, struct arena *arena, struct event *event)
{
    const struct address_entry *entry = find_address(reader, &event->address);
    struct event_location *location = &event->location;
    struct event_network *network = &event->network;

    *location = entry->location;
    *network = (struct event_network){.asn = entry->asn, .org = entry->org, .name = entry->name};
    struct str *const texts[] = {&location->country,     &location->region,    &location->city,
                                 &location->postal_code, &location->time_zone, &network->org,
                                 &network->name};
    if (!settle_all(texts, COUNT_OF(texts), arena))
        return false;
    network->known =
        entry->asn != 0 || entry->org.ptr != NULL || entry->name.ptr != NULL || entry->lists != 0;
    return entry->lists == 0 || copy_lists(reader->snapshot, entry->lists, arena, network);
}

/* -- user agents -------------------------------------------------------------------- */

static void
find_out(struct enrich_reader *reader, struct str text, struct agent_entry *entry)
{
    struct device *device = &reader->device;
    devices_find(reader->snapshot->devices, reader->scratch, text, false, device);
    entry->used = true;
    entry->text_len = (unsigned short)text.len;
    memcpy(entry->text, text.ptr, text.len);
    entry->browser_len = device->len[DEVICE_BROWSER];
    memcpy(entry->browser, device->name[DEVICE_BROWSER], entry->browser_len);
    entry->os_len = device->len[DEVICE_OS];
    memcpy(entry->os, device->name[DEVICE_OS], entry->os_len);
    entry->type = device->type;
}

static bool
has_text(const struct agent_entry *entry, struct str text)
{
    return entry->used && str_equal((struct str){entry->text, entry->text_len}, text);
}

static const struct agent_entry *
find_agent(struct enrich_reader *reader, struct str text)
{
    uint64_t hash = hash64(reader->seed, text.ptr, text.len);
    struct agent_entry *set = reader->agents[hash % AGENT_SETS];
    if (has_text(&set[0], text))
        return &set[0];
    if (has_text(&set[1], text))
        return &set[1];
    if (set[0].used)
        set[1] = set[0];
    find_out(reader, text, &set[0]);
    return &set[0];
}

static bool
fill_device(struct enrich_reader *reader, struct arena *arena, struct event *event)
{
    struct event_device *device = &event->device;
    const struct agent_entry *entry =
        find_agent(reader, utf8_cut(event->user_agent, USER_AGENT_MAX));
    struct str *const texts[] = {&device->browser, &device->os};

    device->known = true;
    device->browser = (struct str){entry->browser, entry->browser_len};
    device->os = (struct str){entry->os, entry->os_len};
    device->type = entry->type;
    return settle_all(texts, COUNT_OF(texts), arena);
}

bool
enrich_event(struct enrich_reader *reader, struct arena *arena, struct event *event,
             struct err *err)
{
    event->location = (struct event_location){0};
    event->network = (struct event_network){0};
    event->device = (struct event_device){0};
    if (event->has_address && !fill_address(reader, arena, event))
        return err_set(err, ERR_LIMIT, "enrich: the request's memory is used up");
    if (event->user_agent.len > 0 && reader->snapshot->devices != NULL &&
        !fill_device(reader, arena, event))
        return err_set(err, ERR_LIMIT, "enrich: the request's memory is used up");
    return true;
}
