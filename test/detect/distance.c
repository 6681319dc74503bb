/* Great-circle distances as impossible_travel tells them, against published ones, to half a
 * percent. */
#include "support/rule_maker.h"
#include "tap.h"

#include <math.h>

static const struct {
    const char *pair;
    double lat_a, lon_a, lat_b, lon_b;
    double published_km;
} pairs[] = {
    /* As airlines and airports publish them. */
    {"London LHR - New York JFK", 51.4706, -0.4619, 40.6398, -73.7789, 5554},
    {"Paris CDG - New York JFK", 49.0128, 2.5500, 40.6398, -73.7789, 5837},
    {"London LHR - Sydney SYD", 51.4706, -0.4619, -33.9461, 151.1772, 17016},
    {"Singapore SIN - Newark EWR", 1.3502, 103.9940, 40.6925, -74.1687, 15344},
    {"Perth PER - London LHR", -31.9403, 115.9670, 51.4706, -0.4619, 14499},
    {"Doha DOH - Auckland AKL", 25.2731, 51.6081, -37.0081, 174.7917, 14526},
    {"Nashville BNA - Los Angeles LAX", 36.1200, -86.6700, 33.9400, -118.4000, 2887},
    /* By geometry: parts of a circle of 40,030 km. */
    {"pole to pole", 90, 0, -90, 0, 20015.1},
    {"a quarter along the equator", 0, 10, 0, 100, 10007.6},
    {"a degree over the antimeridian", 10, 179.75, 10, -179.25, 109.5},
    {"over the north pole", 80, 20, 80, -160, 2223.9},
};

static double
told_distance(size_t at)
{
    struct arena arena;
    arena_init(&arena, 1 << 16, 1 << 24);
    struct rule rule = make_rule(&arena, "rul-1",
                                 "{\"name\":\"t\",\"rule_type\":\"impossible_travel\","
                                 "\"channels\":[],\"conditions\":{\"action_pattern\":\"*\","
                                 "\"min_distance_km\":1,\"max_speed_kmh\":1}}");
    struct detect_rule *compiled = compile_rule(&rule, NULL, 0);
    struct detect_table *table = detect_table_new(0);
    struct event event = {.id = STR("evt_1"),
                          .actor_id = STR("ana"),
                          .action = STR("login"),
                          .ip_address = STR("203.0.113.1"),
                          .created_at = 1,
                          .location = {.known = true,
                                       .has_point = true,
                                       .latitude = pairs[at].lat_a,
                                       .longitude = pairs[at].lon_a}};
    struct alert alert;
    CHECK(!detect_step(compiled, table, &event, false, &arena, &alert));
    event.ip_address = STR("203.0.113.2");
    event.created_at = 2;
    event.location.latitude = pairs[at].lat_b;
    event.location.longitude = pairs[at].lon_b;
    double told = 0;
    struct json context;
    struct json_parser *parser = json_parser_new();
    if (CHECK(detect_step(compiled, table, &event, false, &arena, &alert)) &&
        CHECK(json_parse(parser, alert.context, &arena, &context, &(struct err){0})))
        told = json_get(&context, STR("distance_km"))->number;
    json_parser_free(parser);
    detect_table_free(table);
    detect_rule_free(compiled);
    arena_fini(&arena);
    return told;
}

static void
test_distances_agree_with_published_ones_to_half_a_percent(void)
{
    for (size_t i = 0; i < COUNT_OF(pairs); i++) {
        double told = told_distance(i);
        printf("# %s: %.1f km, published %.1f\n", pairs[i].pair, told, pairs[i].published_km);
        CHECK(fabs(told - pairs[i].published_km) <= pairs[i].published_km * 0.005);
    }
}

int
main(void)
{
    RUN(test_distances_agree_with_published_ones_to_half_a_percent);
    return tap_done();
}
