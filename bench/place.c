/* place - how long it takes to load geo files, and to look an address up.
 *
 *   build/release/bench/place FOLDER FILE.mmdb...
 *
 * FOLDER takes the copies, as the data folder would. Unseen addresses are random public ones,
 * cached ones the same 1,000 again; prefixes are 100,000 random ones of both families. */
#include "enrich/enrich_priv.h"

#include "codec/hash.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { LOOKUPS = 1000000, PREFIXES = 100000, AGAIN = 1000 };

/* Of the processor, not of the day: others may be at work on the machine. */
static int64_t
now_us(void)
{
    struct timespec now;
    must(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) == 0);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static struct address
some_address(uint64_t seed, bool v4)
{
    unsigned char bits[16];
    uint64_t high = hash64(1, &seed, sizeof seed), low = hash64(2, &seed, sizeof seed);
    struct address address;
    memcpy(bits, &high, 8);
    memcpy(bits + 8, &low, 8);
    must(address_parse(v4 ? STR("8.0.0.0") : STR("2a00::"), &address));
    memcpy(address.bytes + (v4 ? 13 : 1), bits, v4 ? 3 : 15);
    if (v4)
        address.bytes[12] = (unsigned char)(20 + bits[4] % 60);
    return address;
}

static void
print_rate(const char *what, int64_t began, uint64_t count)
{
    printf("%-44s %8.3f us\n", what, (double)(now_us() - began) / (double)count);
}

static void
measure_networks(void)
{
    static struct networks_entry entries[PREFIXES];
    for (uint64_t i = 0; i < PREFIXES; i++) {
        struct address address = some_address(i, i % 2 == 0);
        unsigned wider = (unsigned)(i % 16);
        entries[i] = (struct networks_entry){network_of(&address, 32 - wider, 64 - wider), i + 1};
    }
    int64_t began = now_us();
    struct networks *networks = networks_new(entries, PREFIXES, NETWORKS_UNION);
    printf("%-44s %8lld ms\n", "100,000 prefixes made ready", (long long)(now_us() - began) / 1000);
    uint64_t found = 0;
    static struct address asked[4096];
    for (uint64_t i = 0; i < COUNT_OF(asked); i++)
        asked[i] = some_address(i * 3, i % 2 == 0);
    began = now_us();
    for (uint64_t i = 0; i < LOOKUPS; i++)
        found += networks_find(networks, &asked[i % COUNT_OF(asked)]) != 0;
    print_rate("longest prefix of 100,000", began, LOOKUPS);
    must(found > 0);
    networks_free(networks);
}

static void
measure_lookups(struct enrich *enrich, const char *what, bool v4, uint64_t distinct)
{
    struct enrich_reader *reader = enrich_reader_new(enrich);
    struct arena arena;
    struct err err;
    size_t known = 0;
    static struct address asked[LOOKUPS / 4];
    arena_init(&arena, 4096, 1 << 20);
    for (uint64_t i = 0; i < COUNT_OF(asked); i++)
        asked[i] = some_address(i % distinct, v4);
    int64_t began = now_us();
    for (uint64_t i = 0; i < COUNT_OF(asked); i++) {
        struct event event = {.has_address = true, .address = asked[i]};
        arena_reset(&arena);
        must(enrich_event(reader, &arena, &event, &err));
        known += event.location.known;
    }
    print_rate(what, began, COUNT_OF(asked));
    printf("%-44s %8.1f %%\n", "   of them known", 100.0 * (double)known / COUNT_OF(asked));
    arena_fini(&arena);
    enrich_reader_free(reader);
}

int
main(int argc, char **argv)
{
    struct enrich_options options = {.folder = argc > 1 ? argv[1] : NULL};
    const char *geo[GEO_FILES_MAX];
    struct enrich *enrich;
    struct err err;

    for (int i = 2; i < argc && options.geo_count < GEO_FILES_MAX; i++)
        geo[options.geo_count++] = argv[i];
    options.geo = geo;
    for (int round = 0; round < 2; round++) {
        int64_t began = now_us();
        if (!enrich_open(&options, &enrich, &err)) {
            fprintf(stderr, "%s\n", err.text);
            return 1;
        }
        printf("%-44s %8lld ms\n", round == 0 ? "opened" : "opened again",
               (long long)(now_us() - began) / 1000);
        if (round == 0)
            enrich_close(enrich);
    }
    measure_networks();
    measure_lookups(enrich, "IPv4 address, unseen", true, UINT64_MAX);
    measure_lookups(enrich, "IPv4 address, of 1,000", true, AGAIN);
    measure_lookups(enrich, "IPv6 address, unseen", false, UINT64_MAX);
    measure_lookups(enrich, "IPv6 address, of 1,000", false, AGAIN);
    enrich_close(enrich);
    return 0;
}
