/* impossible_travel - two places too far apart for the time between them.
 *
 * STATE. How many places, then each: coordinates, time, number of the network, then city,
 * country, address, event id as texts; in the order of time, stored order where times are equal.
 * How many habitual places, then each: name, day last counted, days counted; in the order in
 * which they entered. */
#include "detect/detect_priv.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { PLACES_MAX = 4, HABITS_MAX = 16, CITY_MAX = 128, COUNTRY_MAX = 16, HABIT_MAX = 160 };

struct impossible_travel {
    double min_distance_km, max_speed_kmh;
    bool same_network;
    int64_t habitual_after;
};

#define AT(member) offsetof(struct impossible_travel, member)
static const struct condition conditions[] = {
    {
        .name = "min_distance_km",
        .type = CONDITION_NUMBER,
        .offset = AT(min_distance_km),
        .low = 1,
        .high = 20000,
        .fallback = "500",
        .summary = "Nearer places are never too far: geo data is not that exact.",
    },
    {
        .name = "max_speed_kmh",
        .type = CONDITION_NUMBER,
        .offset = AT(max_speed_kmh),
        .low = 1,
        .high = 40000,
        .fallback = "900",
        .summary = "From this speed on nobody can have travelled.",
    },
    {
        .name = "same_network",
        .type = CONDITION_BOOLEAN,
        .offset = AT(same_network),
        .fallback = "true",
        .summary = "Stay silent when both places are in the same autonomous system, as far as that "
                   "is known.",
    },
    {
        .name = "habitual_after",
        .type = CONDITION_INTEGER,
        .offset = AT(habitual_after),
        .low = 1,
        .high = 365,
        .fallback = "5",
        .summary = "Stay silent between two places that the actor was each seen in on so many "
                   "different days (UTC) before.",
    },
};

struct place {
    double latitude, longitude;
    int64_t time_us, asn;
    struct str city, country, address, event_id;
};
struct habit {
    struct str name;
    int64_t last_day;
    uint64_t days; /* counted; no further than habitual_after */
};
struct travels {
    size_t place_count, habit_count;
    struct place places[PLACES_MAX + 1];
    struct habit habits[HABITS_MAX + 1];
};

/* -- the state ------------------------------------------------------------------------ */

static void
read_travels(struct str state, struct travels *travels)
{
    travels->place_count = travels->habit_count = 0;
    if (state.len == 0)
        return;
    struct state_reader reader = state_read(state);
    travels->place_count = state_take_count(&reader);
    must(travels->place_count <= PLACES_MAX);
    for (size_t i = 0; i < travels->place_count; i++) {
        struct place *place = &travels->places[i];
        place->latitude = state_take_double(&reader);
        place->longitude = state_take_double(&reader);
        place->time_us = state_take_time(&reader);
        place->asn = (int64_t)state_take_count(&reader);
        place->city = state_take_text(&reader);
        place->country = state_take_text(&reader);
        place->address = state_take_text(&reader);
        place->event_id = state_take_text(&reader);
    }
    travels->habit_count = state_take_count(&reader);
    must(travels->habit_count <= HABITS_MAX);
    for (size_t i = 0; i < travels->habit_count; i++) {
        struct habit *habit = &travels->habits[i];
        habit->name = state_take_text(&reader);
        habit->last_day = state_take_time(&reader);
        habit->days = state_take_count(&reader);
    }
}

static void
write_travels(struct state_writer *writer, const struct travels *travels)
{
    state_put_count(writer, travels->place_count);
    for (size_t i = 0; i < travels->place_count; i++) {
        const struct place *place = &travels->places[i];
        state_put_double(writer, place->latitude);
        state_put_double(writer, place->longitude);
        state_put_time(writer, place->time_us);
        state_put_count(writer, (uint64_t)place->asn);
        state_put_text(writer, place->city);
        state_put_text(writer, place->country);
        state_put_text(writer, place->address);
        state_put_text(writer, place->event_id);
    }
    state_put_count(writer, travels->habit_count);
    for (size_t i = 0; i < travels->habit_count; i++) {
        const struct habit *habit = &travels->habits[i];
        state_put_text(writer, habit->name);
        state_put_time(writer, habit->last_day);
        state_put_count(writer, habit->days);
    }
}

/* -- places ---------------------------------------------------------------------------- */

/* 0,0 is what geo data says when it does not know. */
static bool
place_of(const struct event *event, struct place *place_out)
{
    const struct event_location *location = &event->location;
    if (!location->has_point || !(fabs(location->latitude) <= 90) ||
        !(fabs(location->longitude) <= 180) ||
        (location->latitude == 0 && location->longitude == 0))
        return false;
    *place_out = (struct place){
        .latitude = location->latitude,
        .longitude = location->longitude,
        .time_us = event->occurred_at,
        .asn = event->network.asn,
        .city = utf8_cut(location->city, CITY_MAX),
        .country = utf8_cut(location->country, COUNTRY_MAX),
        .address = utf8_cut(event->ip_address, ADDRESS_TEXT_SIZE),
        .event_id = utf8_cut(event->id, LIMIT_ID_BYTES),
    };
    return true;
}

/* Country and city; without a city, country and whole degrees. */
static struct str
habit_name(const struct place *place, char room[static HABIT_MAX])
{
    size_t len = place->country.len;
    if (len > 0)
        memcpy(room, place->country.ptr, len);
    room[len++] = '/';
    if (place->city.len > 0) {
        memcpy(room + len, place->city.ptr, place->city.len);
        return (struct str){room, len + place->city.len};
    }
    int more = snprintf(room + len, HABIT_MAX - len, "%.0f,%.0f", round(place->latitude) + 0.0,
                        round(place->longitude) + 0.0);
    must(more > 0 && len + (size_t)more < HABIT_MAX);
    return (struct str){room, len + (size_t)more};
}

static struct habit *
find_habit(struct travels *travels, struct str name)
{
    for (size_t i = 0; i < travels->habit_count; i++)
        if (str_equal(travels->habits[i].name, name))
            return &travels->habits[i];
    return NULL;
}

static bool
is_habitual(const struct impossible_travel *rule, struct travels *travels,
            const struct place *place)
{
    char room[HABIT_MAX];
    const struct habit *habit = find_habit(travels, habit_name(place, room));
    return habit != NULL && habit->days >= (uint64_t)rule->habitual_after;
}

/* A day counts only if it is later than the last one counted. The 17th place pushes out the one
 * with the oldest last day, of several the one that entered first. `name` must live as long as
 * travels. */
static void
count_day(const struct impossible_travel *rule, struct travels *travels, struct str name,
          int64_t day)
{
    struct habit *habit = find_habit(travels, name);
    if (habit != NULL) {
        if (day > habit->last_day) {
            habit->last_day = day;
            habit->days += habit->days < (uint64_t)rule->habitual_after;
        }
        return;
    }
    travels->habits[travels->habit_count++] = (struct habit){name, day, 1};
    if (travels->habit_count <= HABITS_MAX)
        return;
    size_t oldest = 0;
    for (size_t i = 1; i < travels->habit_count; i++)
        if (travels->habits[i].last_day < travels->habits[oldest].last_day)
            oldest = i;
    travels->habit_count--;
    memmove(&travels->habits[oldest], &travels->habits[oldest + 1],
            (travels->habit_count - oldest) * sizeof travels->habits[0]);
}

/* -- journeys --------------------------------------------------------------------------- */

struct journey {
    const struct place *from;
    double distance_km, speed_kmh; /* infinite when no time has passed */
    int64_t elapsed_us;
};

/* Between the event's place and another one; false: nothing to tell. */
static bool
judge(const struct impossible_travel *rule, struct travels *travels, const struct place *here,
      const struct place *there, struct journey *journey_out)
{
    if (str_equal(here->address, there->address) ||
        (rule->same_network && here->asn != 0 && here->asn == there->asn))
        return false;
    struct journey journey = {.from = there};
    journey.distance_km =
        distance_km(here->latitude, here->longitude, there->latitude, there->longitude);
    journey.elapsed_us = here->time_us > there->time_us ? here->time_us - there->time_us
                                                        : there->time_us - here->time_us;
    journey.speed_kmh = journey.elapsed_us == 0
                            ? INFINITY
                            : journey.distance_km / ((double)journey.elapsed_us / TIME_US_PER_HOUR);
    if (journey.distance_km < rule->min_distance_km || journey.speed_kmh < rule->max_speed_kmh)
        return false;
    if (is_habitual(rule, travels, here) && is_habitual(rule, travels, there))
        return false;
    *journey_out = journey;
    return true;
}

static double
tenth(double number)
{
    return floor(number * 10 + 0.5) / 10;
}

static void
put_place(struct buffer *out, const char *name, const struct place *place)
{
    json_name(out, name);
    json_open(out, '{');
    json_put_str(out, "city", place->city);
    json_put_str(out, "country", place->country);
    json_put_double(out, "latitude", place->latitude);
    json_put_double(out, "longitude", place->longitude);
    json_put_str(out, "ip_address", place->address);
    json_put_time(out, "occurred_at", place->time_us);
    json_put_str(out, "event_id", place->event_id);
    json_close(out, '}');
}

static void
tell(const struct event *event, const struct place *here, const struct journey *journey,
     struct fold *fold)
{
    struct buffer *reason = &fold->reason, *context = &fold->context;
    bool late = journey->from->time_us > here->time_us;
    tell_action(reason, event);
    buffer_add(reason, STR(" from "));
    tell_place(reason, here->city, here->country);
    buffer_add(reason, STR(", "));
    if (journey->elapsed_us < TIME_US_PER_SECOND)
        buffer_add(reason, STR("moments"));
    else
        tell_duration(reason, journey->elapsed_us);
    buffer_add(reason, late ? STR(" before ") : STR(" after "));
    tell_place(reason, journey->from->city, journey->from->country);
    buffer_printf(reason, ": %.0f km", journey->distance_km);
    /* Of seconds it would be millions, which tell nobody more. */
    if (journey->elapsed_us >= TIME_US_PER_MINUTE)
        buffer_printf(reason, " at %.0f km/h", journey->speed_kmh);

    put_place(context, "from", journey->from);
    put_place(context, "to", here);
    json_put_double(context, "distance_km", tenth(journey->distance_km));
    json_put_double(context, "elapsed_seconds", (double)journey->elapsed_us / TIME_US_PER_SECOND);
    if (journey->elapsed_us > 0)
        json_put_double(context, "speed_kmh", tenth(journey->speed_kmh));
    else
        json_put_null(context, "speed_kmh");
}

/* Puts it behind all that are not later, and keeps the latest. */
static void
insert_place(struct travels *travels, const struct place *place, size_t at)
{
    memmove(&travels->places[at + 1], &travels->places[at],
            (travels->place_count - at) * sizeof travels->places[0]);
    travels->places[at] = *place;
    if (++travels->place_count <= PLACES_MAX)
        return;
    travels->place_count--;
    memmove(travels->places, travels->places + 1, travels->place_count * sizeof travels->places[0]);
}

static void
step(const void *self, const struct event *event, struct fold *fold)
{
    const struct impossible_travel *rule = self;
    struct travels travels;
    struct place here;
    if (!place_of(event, &here))
        return;
    read_travels(fold->old, &travels);
    size_t at = 0;
    for (size_t i = 0; i < travels.place_count; i++) {
        const struct place *kept = &travels.places[i];
        if (kept->time_us == here.time_us && str_equal(kept->address, here.address))
            return; /* the same login delivered again */
        if (kept->time_us <= here.time_us)
            at = i + 1;
    }
    struct journey journey, other;
    bool found = at > 0 && judge(rule, &travels, &here, &travels.places[at - 1], &journey);
    if (at < travels.place_count && judge(rule, &travels, &here, &travels.places[at], &other) &&
        (!found || other.speed_kmh > journey.speed_kmh)) {
        journey = other;
        found = true;
    }
    if (found && fold_fires(fold))
        tell(event, &here, &journey, fold);

    char room[HABIT_MAX];
    int64_t day = here.time_us / TIME_US_PER_DAY - (here.time_us % TIME_US_PER_DAY < 0);
    insert_place(&travels, &here, at);
    count_day(rule, &travels, habit_name(&here, room), day);
    write_travels(fold_change(fold), &travels);
}

/* Half round the earth at the least speed that alerts. */
static int64_t
memory_us(const void *self)
{
    const struct impossible_travel *rule = self;
    return (int64_t)(20016 / rule->max_speed_kmh * TIME_US_PER_HOUR);
}

const struct detector impossible_travel_detector = {
    .rule_type = "impossible_travel",
    .summary = "An actor is seen at two places too far apart for the time in between.",
    .notes = "The latest four places are kept in the order of time. An event is held against the "
             "place before it and, when it is late, the one after it too; the faster journey is "
             "told. Silent are: an event without coordinates, or with 0,0 (geo data's way of not "
             "knowing); the same address, whatever geo data says of it now; the same address at "
             "the same instant, which is the same login delivered again; two places in one "
             "autonomous system; two habitual places. A place is its country and city, without a "
             "city its country and whole degrees; 16 are kept, and a day counts if it is later "
             "than the last one counted. Anonymous actors are not seen. Distances are along the "
             "great circle, rounded to 100 m. Context: from and to (city, country, latitude, "
             "longitude, ip_address, occurred_at, event_id; to is the event's own), distance_km, "
             "elapsed_seconds, speed_kmh (null when no time has passed).",
    .severity = SEVERITY_HIGH,
    .cooldown_minutes = 60,
    .habit = true,
    .conditions = conditions,
    .condition_count = COUNT_OF(conditions),
    .size = sizeof(struct impossible_travel),
    .step = step,
    .memory_us = memory_us,
};
