#include "codec/time.h"
#include "tap.h"

#include <pthread.h>

static void
test_rfc3339_texts(void)
{
    static const struct {
        const char *text, *utc; /* NULL: refused */
    } rows[] = {
        {"2026-03-27T14:32:18.291034Z", "2026-03-27T14:32:18.291034Z"},
        {"2026-03-27t14:32:18z", "2026-03-27T14:32:18.000000Z"},
        {"2026-03-27T14:32:18.5+02:00", "2026-03-27T12:32:18.500000Z"},
        {"2026-03-27T14:32:18.1234569-23:59", "2026-03-28T14:31:18.123456Z"},
        {"2026-03-27T00:00:00-00:00", "2026-03-27T00:00:00.000000Z"},
        {"2026-12-31T23:59:59.9999999999999Z", "2026-12-31T23:59:59.999999Z"},
        {"1990-12-31T23:59:60Z", "1990-12-31T23:59:59.999999Z"},
        {"1990-12-31T15:59:60.25-08:00", "1990-12-31T23:59:59.999999Z"},
        {"2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000000Z"},
        {"2000-02-29T00:00:00Z", "2000-02-29T00:00:00.000000Z"},
        {"1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z"},
        {"0000-01-01T00:00:00Z", "0000-01-01T00:00:00.000000Z"},
        {"9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"},
        {"0000-01-01T00:00:00+00:01", NULL},
        {"9999-12-31T23:59:59-00:01", NULL},
        {"2023-02-29T00:00:00Z", NULL},
        {"1900-02-29T00:00:00Z", NULL},
        {"2026-13-01T00:00:00Z", NULL},
        {"2026-00-01T00:00:00Z", NULL},
        {"2026-01-00T00:00:00Z", NULL},
        {"2026-04-31T00:00:00Z", NULL},
        {"2026-01-01T24:00:00Z", NULL},
        {"2026-01-01T00:60:00Z", NULL},
        {"2026-01-01T00:00:61Z", NULL},
        {"2026-01-01T00:00:00.Z", NULL},
        {"2026-01-01T00:00:00", NULL},
        {"2026-01-01T00:00:00+24:00", NULL},
        {"2026-01-01T00:00:00+00:60", NULL},
        {"2026-01-01T00:00:00+0000", NULL},
        {"2026-01-01T00:00:00+00", NULL},
        {"2026-01-01T00:00:00Zx", NULL},
        {"2026-01-01T00:00:00 Z", NULL},
        {"2026-01-01 00:00:00Z", NULL},
        {"2026-1-01T00:00:00Z", NULL},
        {"+026-01-01T00:00:00Z", NULL},
        {"2026-01-01", NULL},
        {"1767225600", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        int64_t time_us = 77;
        if (!CHECK_INT(time_parse(str_from(rows[i].text), &time_us), rows[i].utc != NULL))
            printf("# %s\n", rows[i].text);
        if (rows[i].utc == NULL) {
            CHECK_INT(time_us, 77);
            continue;
        }
        char text[TIME_TEXT_SIZE];
        time_format(time_us, text);
        CHECK_STR(((struct str){text, sizeof text}), str_from(rows[i].utc));
    }
    int64_t time_us;
    CHECK(time_parse(STR("1970-01-01T00:00:00Z"), &time_us) && time_us == 0);
    CHECK(time_parse(STR("2001-09-09T01:46:40Z"), &time_us) && time_us == 1000000000000000);
    CHECK(time_parse(STR("9999-12-31T23:59:59.999999Z"), &time_us) && time_us == TIME_US_MAX);
    CHECK(time_parse(STR("0000-01-01T00:00:00Z"), &time_us) && time_us == TIME_US_MIN);
}

static void
test_every_date_follows_the_one_before(void)
{
    int64_t before = 0, days;
    CHECK(time_date(0, 1, 1, &before));
    for (int year = 0; year <= 9999; year += year == 400 ? 1200 : (year == 2100 ? 7800 : 1))
        for (int month = 1; month <= 12; month++)
            for (int day = 1; day <= 31; day++) {
                if (!time_date(year, month, day, &days))
                    continue;
                bool jumped = month == 1 && day == 1;
                if (!jumped && !CHECK_INT(days, before + 1))
                    return;
                before = days;
                int64_t back;
                char text[TIME_TEXT_SIZE];
                time_format(days * TIME_US_PER_DAY, text);
                if (!CHECK(time_parse((struct str){text, sizeof text}, &back)) ||
                    !CHECK_INT(back, days * TIME_US_PER_DAY))
                    return;
            }
    CHECK(!time_date(-1, 1, 1, &days) && !time_date(10000, 1, 1, &days));
    CHECK(!time_date(2023, 2, 29, &days) && time_date(2024, 2, 29, &days));
}

static struct str
local_text(const char *zone_name, const char *utc, struct local_time *local)
{
    static char text[LOCAL_TIME_TEXT_SIZE];
    const struct zone *zone = zone_find(str_from(zone_name));
    int64_t time_us;
    if (!CHECK(zone != NULL) || !CHECK(time_parse(str_from(utc), &time_us)))
        return (struct str){0};
    zone_local(zone, time_us, local);
    return (struct str){text, local_time_format(local, text)};
}

static void
test_zones_know_summer_and_history(void)
{
    static const struct {
        const char *zone, *utc, *local;
        int weekday;
    } rows[] = {
        {"America/New_York", "2026-03-27T07:17:41.482910Z", "2026-03-27T03:17:41.482910-04:00", 4},
        {"America/New_York", "2026-03-08T06:59:59Z", "2026-03-08T01:59:59.000000-05:00", 6},
        {"America/New_York", "2026-03-08T07:00:00Z", "2026-03-08T03:00:00.000000-04:00", 6},
        {"America/New_York", "1967-10-29T05:59:59.999999Z", "1967-10-29T01:59:59.999999-04:00", 6},
        {"America/New_York", "1967-10-29T06:00:00Z", "1967-10-29T01:00:00.000000-05:00", 6},
        {"Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T02:30:00.000000+02:00", 6},
        {"Europe/Berlin", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00.000000+01:00", 6},
        {"Asia/Kolkata", "2026-01-05T18:29:59.999999Z", "2026-01-05T23:59:59.999999+05:30", 0},
        {"Asia/Kolkata", "2026-01-05T18:30:00Z", "2026-01-06T00:00:00.000000+05:30", 1},
        {"Asia/Kathmandu", "1985-12-31T18:30:00Z", "1986-01-01T00:15:00.000000+05:45", 2},
        {"America/St_Johns", "2026-07-01T00:00:00Z", "2026-06-30T21:30:00.000000-02:30", 1},
        {"UTC", "1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999+00:00", 2},
        {"Etc/GMT+12", "2026-01-01T11:59:59Z", "2025-12-31T23:59:59.000000-12:00", 2},
        {"US/Eastern", "2050-07-01T12:00:00Z", "2050-07-01T08:00:00.000000-04:00", 4},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct local_time local = {0};
        CHECK_STR(local_text(rows[i].zone, rows[i].utc, &local), str_from(rows[i].local));
        CHECK_INT(local.weekday, rows[i].weekday);
    }
}

static void
test_only_listed_zones_are_zones(void)
{
    static const struct str names[] = {
        STR_INIT(""),
        STR_INIT("Mars/Olympus"),
        STR_INIT("europe/berlin"),
        STR_INIT("Europe/Berlin "),
        STR_INIT("Europe"),
        STR_INIT("+02:00"),
        STR_INIT("UTC+3"),
        STR_INIT("EST5EDT,M3.2.0,M11.1.0"),
        STR_INIT("../../etc/passwd"),
        STR_INIT("/usr/share/zoneinfo/UTC"),
        STR_INIT("UTC\0"),
        STR_INIT("a-name-that-is-longer-than-any-zone-will-ever-be-in-all-our-lifetimes-here"),
    };
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (!CHECK(zone_find(names[i]) == NULL))
            printf("# took: %.*s\n", STR_ARG(names[i]));
    CHECK(zone_find(STR("Europe/Berlin")) == zone_find(STR("Europe/Berlin")));
}

static void *
look_up_zones(void *self)
{
    static const char *const names[] = {"Asia/Tokyo", "Africa/Cairo", "America/Lima", "Asia/Dubai"};
    size_t right = 0;
    for (size_t i = 0; i < 400; i++) {
        const struct zone *zone = zone_find(str_from(names[i % COUNT_OF(names)]));
        struct local_time local;
        if (zone == NULL)
            continue;
        zone_local(zone, 1774621938291034, &local);
        right += local.year == 2026;
    }
    *(size_t *)self = right;
    return NULL;
}

static void
test_zones_are_shared_between_threads(void)
{
    pthread_t threads[4];
    size_t right[COUNT_OF(threads)];
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        must(pthread_create(&threads[i], NULL, look_up_zones, &right[i]) == 0);
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        must(pthread_join(threads[i], NULL) == 0);
        CHECK_INT((intmax_t)right[i], 400);
    }
}

int
main(void)
{
    RUN(test_rfc3339_texts);
    RUN(test_every_date_follows_the_one_before);
    RUN(test_zones_know_summer_and_history);
    RUN(test_only_listed_zones_are_zones);
    RUN(test_zones_are_shared_between_threads);
    return tap_done();
}
