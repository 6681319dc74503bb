/* reader - one thread's way into the files: its reference on the snapshot and its caches.
 *
 * People sign in again from where they did, and with what: both answers are kept per thread, in
 * tables of fixed size. A new answer takes the oldest of the places that its hash allows. A new
 * snapshot empties them. */
#include "enrich/enrich_priv.h"

#include "base/system.h"
#include "codec/hash.h"
#include "codec/text.h"

#include <string.h>

enum {
    WAYS = 8,
    ADDRESS_SETS = 512, /* 4,096 addresses */
    AGENT_SETS = 512    /* 4,096 user agents */
};

/* Which places of a set are taken, and by what: most that are not meant are told by their tag. */
struct set {
    uint32_t tags[WAYS]; /* of hashes, never 0; 0: free */
    uint32_t next;       /* the oldest */
};

struct address_entry {
    struct address address;
    struct event_location location; /* strings belong to the snapshot */
    int64_t asn;
    struct str org, name;
    uint64_t lists;
};

struct agent_entry {
    struct str type;
    unsigned short text_len, browser_len, os_len;
    char texts[2 * DEVICE_NAME_MAX + USER_AGENT_MAX]; /* browser, os, text, one behind the other */
};

struct enrich_reader {
    struct enrich *enrich;
    struct snapshot *snapshot;
    uint64_t seed;                  /* the sender chooses the texts, but not where they go */
    struct device_scratch *scratch; /* NULL without devices */
    struct device device;           /* the one found last */
    struct set address_sets[ADDRESS_SETS], agent_sets[AGENT_SETS];
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
    memset(reader->address_sets, 0, sizeof reader->address_sets);
    memset(reader->agent_sets, 0, sizeof reader->agent_sets);
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

/* -- sets ------------------------------------------------------------------------ */

static uint32_t
tag_of(uint64_t hash)
{
    return (uint32_t)(hash >> 32) | 1;
}

/* The next place from `way` on that may be it; WAYS: there is none. */
static size_t
next_way(const struct set *set, uint32_t tag, size_t way)
{
    while (way < WAYS && set->tags[way] != tag)
        way++;
    return way;
}

static size_t
take_way(struct set *set, uint32_t tag)
{
    size_t way = set->next++ % WAYS;
    set->tags[way] = tag;
    return way;
}

/* -- addresses ------------------------------------------------------------------- */

/* Of entries that have their addresses, MMDB_TOGETHER at most. */
static void
look_up(const struct snapshot *snapshot, struct address_entry *entries, size_t count)
{
    struct mmdb_search searches[MMDB_TOGETHER];
    size_t search_count = 0;
    for (size_t i = 0; i < count; i++) {
        struct address_entry *entry = &entries[i];
        const struct address *address = &entry->address;
        const struct place *place =
            snapshot->places == NULL ? NULL : places_find(snapshot->places, address);
        bool public = address_is_public(address);
        if (place != NULL) {
            entry->location = place->location;
            entry->name = place->name;
        } else if (public) {
            searches[search_count++] =
                (struct mmdb_search){.address = address, .location = &entry->location};
        }
        if (public && snapshot->asn != NULL)
            (void)mmdb_find_network(snapshot->asn, address, &entry->asn, &entry->org);
        if (snapshot->lists != NULL)
            entry->lists = lists_find(snapshot->lists, address);
    }
    for (size_t i = 0; i < snapshot->geo_count; i++)
        mmdb_find_places(snapshot->geo[i], searches, search_count);
}

static uint64_t
hash_address(const struct enrich_reader *reader, const struct address *address)
{
    return hash64(reader->seed, address->bytes, sizeof address->bytes);
}

static const struct address_entry *
find_address(const struct enrich_reader *reader, const struct address *address, uint64_t hash)
{
    const struct set *set = &reader->address_sets[hash % ADDRESS_SETS];
    const struct address_entry *entries = reader->addresses[hash % ADDRESS_SETS];
    uint32_t tag = tag_of(hash);
    for (size_t way = next_way(set, tag, 0); way < WAYS; way = next_way(set, tag, way + 1))
        if (entries[way].address.is_v4 == address->is_v4 &&
            memcmp(entries[way].address.bytes, address->bytes, sizeof address->bytes) == 0)
            return &entries[way];
    return NULL;
}

static const struct address_entry *
keep_address(struct enrich_reader *reader, const struct address_entry *fresh)
{
    uint64_t hash = hash_address(reader, &fresh->address);
    size_t way = take_way(&reader->address_sets[hash % ADDRESS_SETS], tag_of(hash));
    struct address_entry *entry = &reader->addresses[hash % ADDRESS_SETS][way];
    *entry = *fresh;
    return entry;
}

static void
look_up_and_keep(struct enrich_reader *reader, struct address_entry *fresh, size_t count)
{
    look_up(reader->snapshot, fresh, count);
    for (size_t i = 0; i < count; i++)
        (void)keep_address(reader, &fresh[i]);
}

static void
warm_addresses(struct enrich_reader *reader, const struct event *const *events, size_t count)
{
    struct address_entry fresh[MMDB_TOGETHER];
    size_t fresh_count = 0;
    for (size_t i = 0; i < count; i++) {
        const struct address *address = &events[i]->address;
        if (!events[i]->has_address ||
            find_address(reader, address, hash_address(reader, address)) != NULL)
            continue;
        fresh[fresh_count++] = (struct address_entry){.address = *address};
        if (fresh_count == MMDB_TOGETHER) {
            look_up_and_keep(reader, fresh, fresh_count);
            fresh_count = 0;
        }
    }
    look_up_and_keep(reader, fresh, fresh_count);
}

static const struct address_entry *
need_address(struct enrich_reader *reader, const struct address *address)
{
    const struct address_entry *found =
        find_address(reader, address, hash_address(reader, address));
    if (found != NULL)
        return found;
    struct address_entry fresh = {.address = *address};
    look_up(reader->snapshot, &fresh, 1);
    return keep_address(reader, &fresh);
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
    const struct address_entry *entry = need_address(reader, &event->address);
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

static struct str
browser_of(const struct agent_entry *entry)
{
    return (struct str){entry->texts, entry->browser_len};
}

static struct str
os_of(const struct agent_entry *entry)
{
    return (struct str){entry->texts + entry->browser_len, entry->os_len};
}

static struct str
text_of(const struct agent_entry *entry)
{
    return (struct str){entry->texts + entry->browser_len + entry->os_len, entry->text_len};
}

static void
find_out(struct enrich_reader *reader, struct str text, struct agent_entry *entry)
{
    struct device *device = &reader->device;
    devices_find(reader->snapshot->devices, reader->scratch, text, false, device);
    entry->type = device->type;
    entry->browser_len = device->len[DEVICE_BROWSER];
    entry->os_len = device->len[DEVICE_OS];
    entry->text_len = (unsigned short)text.len;
    char *at = entry->texts;
    memcpy(at, device->name[DEVICE_BROWSER], entry->browser_len);
    memcpy(at += entry->browser_len, device->name[DEVICE_OS], entry->os_len);
    memcpy(at + entry->os_len, text.ptr, text.len);
}

static uint64_t
hash_agent(const struct enrich_reader *reader, struct str text)
{
    return hash64(reader->seed, text.ptr, text.len);
}

/* Inline, or gcc takes it for a function without effect and drops the calls. */
__attribute__((always_inline)) static inline void
warm_agent(const struct enrich_reader *reader, struct str text)
{
    enum { LINE = 64, LINES = 4 };
    uint64_t hash = hash_agent(reader, text);
    size_t way = next_way(&reader->agent_sets[hash % AGENT_SETS], tag_of(hash), 0);
    if (way == WAYS)
        return;
    const char *entry = (const char *)&reader->agents[hash % AGENT_SETS][way];
    for (size_t line = 0; line < LINES; line++)
        __builtin_prefetch(entry + line * LINE);
}

static const struct agent_entry *
need_agent(struct enrich_reader *reader, struct str text)
{
    uint64_t hash = hash_agent(reader, text);
    struct set *set = &reader->agent_sets[hash % AGENT_SETS];
    struct agent_entry *entries = reader->agents[hash % AGENT_SETS];
    uint32_t tag = tag_of(hash);
    for (size_t way = next_way(set, tag, 0); way < WAYS; way = next_way(set, tag, way + 1))
        if (str_equal(text_of(&entries[way]), text))
            return &entries[way];
    struct agent_entry *entry = &entries[take_way(set, tag)];
    find_out(reader, text, entry);
    return entry;
}

static bool
fill_device(struct enrich_reader *reader, struct arena *arena, struct event *event)
{
    struct event_device *device = &event->device;
    const struct agent_entry *entry =
        need_agent(reader, utf8_cut(event->user_agent, USER_AGENT_MAX));
    struct str *const texts[] = {&device->browser, &device->os};

    device->known = true;
    device->browser = browser_of(entry);
    device->os = os_of(entry);
    device->type = entry->type;
    return settle_all(texts, COUNT_OF(texts), arena);
}

void
enrich_warm(struct enrich_reader *reader, const struct event *const *events, size_t count)
{
    enrich_refresh(reader);
    for (size_t i = 0; i < count; i++)
        if (events[i]->user_agent.len > 0 && reader->snapshot->devices != NULL)
            warm_agent(reader, utf8_cut(events[i]->user_agent, USER_AGENT_MAX));
    warm_addresses(reader, events, count);
}

bool
enrich_event(struct enrich_reader *reader, struct arena *arena, struct event *event,
             struct err *err)
{
    enrich_refresh(reader);
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
