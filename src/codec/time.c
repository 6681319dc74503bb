/* time - RFC 3339 texts, the proleptic Gregorian calendar, and IANA time zones (by GLib). */
#include "codec/time.h"

#include <glib.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

/* Days from 0000-03-01 to 1970-01-01; a year that begins in March has its leap day last. */
enum { DAYS_TO_EPOCH = 719468, DAYS_PER_400_YEARS = 146097 };

static bool
is_leap(int year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int64_t
days_of(int year, int month, int day)
{
    /* 400 years are added so that January and February of the year 0 stay positive. */
    int64_t march_year = (int64_t)year + 400 - (month <= 2 ? 1 : 0);
    int64_t era = march_year / 400, year_of_era = march_year % 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return (era - 1) * DAYS_PER_400_YEARS + day_of_era - DAYS_TO_EPOCH;
}

bool
time_date(int year, int month, int day, int64_t *days_out)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (year < 0 || year > 9999 || month < 1 || month > 12 || day < 1)
        return false;
    if (day > lengths[month - 1] + (month == 2 && is_leap(year) ? 1 : 0))
        return false;
    *days_out = days_of(year, month, day);
    return true;
}

/* -- parsing --------------------------------------------------------------------------- */

struct reader {
    const char *at, *end;
    bool wrong;
};

static int
read_digits(struct reader *reader, int count)
{
    int number = 0;
    for (int i = 0; i < count; i++) {
        if (reader->at == reader->end || *reader->at < '0' || *reader->at > '9') {
            reader->wrong = true;
            return 0;
        }
        number = number * 10 + (*reader->at++ - '0');
    }
    return number;
}

/* The next character, if it is `upper` or its lower case. */
static bool
take(struct reader *reader, char upper)
{
    if (reader->at == reader->end || (*reader->at != upper && *reader->at != (upper | 0x20)))
        return false;
    reader->at++;
    return true;
}

static void
expect(struct reader *reader, char c)
{
    if (reader->at == reader->end || *reader->at != c)
        reader->wrong = true;
    else
        reader->at++;
}

static int
read_fraction_us(struct reader *reader)
{
    if (reader->at == reader->end || *reader->at != '.')
        return 0;
    reader->at++;
    int us = 0, unit = 100000, count = 0;
    for (; reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9'; count++) {
        us += (*reader->at++ - '0') * unit;
        unit /= 10;
    }
    if (count == 0)
        reader->wrong = true;
    return us;
}

static int64_t
read_offset_us(struct reader *reader)
{
    if (take(reader, 'Z'))
        return 0;
    char sign = reader->at == reader->end ? '\0' : *reader->at++;
    int hours = read_digits(reader, 2);
    expect(reader, ':');
    int minutes = read_digits(reader, 2);
    if ((sign != '+' && sign != '-') || hours > 23 || minutes > 59)
        reader->wrong = true;
    int64_t offset = hours * TIME_US_PER_HOUR + minutes * TIME_US_PER_MINUTE;
    return sign == '-' ? -offset : offset;
}

bool
time_parse(struct str text, int64_t *time_us_out)
{
    struct reader reader = {text.ptr, text.ptr + text.len, false};
    if (text.len == 0)
        return false;
    int year = read_digits(&reader, 4);
    expect(&reader, '-');
    int month = read_digits(&reader, 2);
    expect(&reader, '-');
    int day = read_digits(&reader, 2);
    if (!take(&reader, 'T'))
        return false;
    int hour = read_digits(&reader, 2);
    expect(&reader, ':');
    int minute = read_digits(&reader, 2);
    expect(&reader, ':');
    int second = read_digits(&reader, 2);
    int us = read_fraction_us(&reader);
    int64_t offset_us = read_offset_us(&reader);

    int64_t days;
    if (reader.wrong || reader.at != reader.end || hour > 23 || minute > 59 || second > 60 ||
        !time_date(year, month, day, &days))
        return false;
    if (second == 60) {
        second = 59;
        us = 999999;
    }
    int64_t time_us = days * TIME_US_PER_DAY + hour * TIME_US_PER_HOUR +
                      minute * TIME_US_PER_MINUTE + second * TIME_US_PER_SECOND + us - offset_us;
    if (time_us < TIME_US_MIN || time_us > TIME_US_MAX)
        return false;
    *time_us_out = time_us;
    return true;
}

/* -- formatting ------------------------------------------------------------------------ */

static char *
put2(char *at, int number)
{
    at[0] = (char)('0' + number / 10);
    at[1] = (char)('0' + number % 10);
    return at + 2;
}

/* The calendar and the clock of an instant, its offset 0. */
static void
split(int64_t time_us, struct local_time *out)
{
    must(time_us >= TIME_US_MIN - TIME_US_PER_DAY && time_us <= TIME_US_MAX + TIME_US_PER_DAY);
    int64_t days = time_us / TIME_US_PER_DAY, us = time_us % TIME_US_PER_DAY;
    if (us < 0) {
        us += TIME_US_PER_DAY;
        days--;
    }

    int64_t shifted = days + DAYS_TO_EPOCH + DAYS_PER_400_YEARS;
    int era = (int)(shifted / DAYS_PER_400_YEARS) - 1;
    int day_of_era = (int)(shifted % DAYS_PER_400_YEARS);
    int year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int from_march = (5 * day_of_year + 2) / 153;
    int seconds = (int)(us / TIME_US_PER_SECOND);

    *out = (struct local_time){
        .day = day_of_year - (153 * from_march + 2) / 5 + 1,
        .month = from_march < 10 ? from_march + 3 : from_march - 9,
        .weekday = (int)((shifted + 2) % 7), /* 0000-03-01, and so 400 years before, a Wednesday */
        .hour = seconds / 3600,
        .minute = seconds / 60 % 60,
        .second = seconds % 60,
        .microsecond = (int)(us % TIME_US_PER_SECOND),
    };
    out->year = era * 400 + year_of_era + (out->month <= 2 ? 1 : 0);
}

static char *
put_date_time(char *at, const struct local_time *time)
{
    at = put2(put2(at, time->year / 100), time->year % 100);
    *at++ = '-';
    at = put2(at, time->month);
    *at++ = '-';
    at = put2(at, time->day);
    *at++ = 'T';
    at = put2(at, time->hour);
    *at++ = ':';
    at = put2(at, time->minute);
    *at++ = ':';
    at = put2(at, time->second);
    *at++ = '.';
    at = put2(at, time->microsecond / 10000);
    at = put2(at, time->microsecond / 100 % 100);
    return put2(at, time->microsecond % 100);
}

void
time_format(int64_t time_us, char out[static TIME_TEXT_SIZE])
{
    must(time_us >= TIME_US_MIN && time_us <= TIME_US_MAX);
    struct local_time time;
    split(time_us, &time);
    *put_date_time(out, &time) = 'Z';
}

size_t
local_time_format(const struct local_time *local, char out[static LOCAL_TIME_TEXT_SIZE])
{
    char *at = put_date_time(out, local);
    int minutes = (local->offset_seconds < 0 ? -local->offset_seconds : local->offset_seconds) / 60;
    *at++ = local->offset_seconds < 0 ? '-' : '+';
    at = put2(at, minutes / 60);
    *at++ = ':';
    return (size_t)(put2(at, minutes % 60) - out);
}

/* -- zones --------------------------------------------------------------------------- */

#define ZONE_LIST "/usr/share/zoneinfo/tzdata.zi"

enum { LIST_MAX = 4 << 20 };

/* GLib looks through all that a zone has ever decreed, for each question. But instants mostly lie
 * together, and an offset mostly holds for the whole of a quarter of an hour: so the offset of
 * such a quarter is kept, in one word with the quarter's number, for any thread to find. */
enum { QUARTER_SECONDS = 900, QUARTERS_KEPT = 1024, OFFSET_BITS = 18 };
#define OFFSET_BIAS  (1 << (OFFSET_BITS - 1))
#define QUARTER_BIAS (INT64_C(1) << 31)

struct zone {
    struct zone *next;
    struct str name;
    GTimeZone *tz;
    _Atomic uint64_t kept[QUARTERS_KEPT]; /* quarter + 1 and offset; 0: none */
};

/* What has been looked up once stays for the process's lifetime: there are at most as many as
 * tzdata has names, and whoever holds one never has to give it back. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct zone *known;
static struct buffer list;

static void
load_list(void)
{
    gchar *text = NULL;
    gsize len = 0;
    buffer_init(&list, LIST_MAX);
    if (g_file_get_contents(ZONE_LIST, &text, &len, NULL))
        buffer_add_bytes(&list, text, len);
    g_free(text);
}

/* Lines "Z name …" (a zone) and "L target name" (a link). GLib would take more: texts such as
 * "UTC+3" or a path, which nobody should put into a rule. */
static bool
is_listed(struct str name)
{
    if (list.limit == 0)
        load_list();
    struct str rest = buffer_str(&list);
    while (rest.ptr != NULL) {
        struct str line = str_split(&rest, '\n');
        struct str kind = str_split(&line, ' ');
        if (str_equal(kind, STR("L")))
            (void)str_split(&line, ' ');
        else if (!str_equal(kind, STR("Z")))
            continue;
        if (str_equal(str_split(&line, ' '), name))
            return true;
    }
    return false;
}

static struct zone *
load_zone(struct str name)
{
    char text[64];
    if (name.len == 0 || name.len >= sizeof text || !is_listed(name))
        return NULL;
    memcpy(text, name.ptr, name.len);
    text[name.len] = '\0';
    GTimeZone *tz = g_time_zone_new_identifier(text);
    if (tz == NULL)
        return NULL;
    struct zone *zone = base_alloc(1, sizeof *zone);
    zone->next = known;
    zone->name = base_copy(name);
    zone->tz = tz;
    known = zone;
    return zone;
}

const struct zone *
zone_find(struct str name)
{
    must(pthread_mutex_lock(&lock) == 0);
    struct zone *zone = known;
    while (zone != NULL && !str_equal(zone->name, name))
        zone = zone->next;
    if (zone == NULL)
        zone = load_zone(name);
    must(pthread_mutex_unlock(&lock) == 0);
    return zone;
}

static int
offset_at(const struct zone *zone, int64_t seconds)
{
    gint interval = g_time_zone_find_interval(zone->tz, G_TIME_TYPE_UNIVERSAL, seconds);
    return g_time_zone_get_offset(zone->tz, interval);
}

/* Two changes within one quarter are not looked for: no zone has had them. */
static int
offset_of(const struct zone *zone, int64_t seconds)
{
    int64_t quarter = seconds / QUARTER_SECONDS - (seconds % QUARTER_SECONDS < 0 ? 1 : 0);
    uint64_t name = (uint64_t)(quarter + QUARTER_BIAS + 1);
    _Atomic uint64_t *slot = (_Atomic uint64_t *)(uintptr_t)&zone->kept[name % QUARTERS_KEPT];
    uint64_t kept = atomic_load_explicit(slot, memory_order_relaxed);
    if (kept >> OFFSET_BITS == name)
        return (int)(kept & ((1u << OFFSET_BITS) - 1)) - OFFSET_BIAS;
    int offset = offset_at(zone, seconds);
    int64_t begin = quarter * QUARTER_SECONDS;
    if (offset_at(zone, begin) == offset && offset_at(zone, begin + QUARTER_SECONDS - 1) == offset)
        atomic_store_explicit(slot, name << OFFSET_BITS | (uint64_t)(offset + OFFSET_BIAS),
                              memory_order_relaxed);
    return offset;
}

void
zone_local(const struct zone *zone, int64_t time_us, struct local_time *local_out)
{
    int64_t seconds = time_us / TIME_US_PER_SECOND - (time_us % TIME_US_PER_SECOND < 0 ? 1 : 0);
    int offset = offset_of(zone, seconds);
    split(time_us + offset * TIME_US_PER_SECOND, local_out);
    local_out->offset_seconds = offset;
}
