/* time - RFC 3339 texts and IANA time zones. Instants are microseconds since
 * the Unix epoch, UTC. */
#ifndef CODEC_TIME_H
#define CODEC_TIME_H

#include "base/base.h"

#define TIME_TEXT_SIZE     27 /* 2026-03-27T14:32:18.291034Z */
#define TIME_US_PER_SECOND 1000000LL
#define TIME_US_PER_MINUTE (60 * TIME_US_PER_SECOND)
#define TIME_US_PER_HOUR   (60 * TIME_US_PER_MINUTE)
#define TIME_US_PER_DAY    (24 * TIME_US_PER_HOUR)
#define TIME_US_MIN        (-62167219200000000LL) /* the beginning of the year 0 */
#define TIME_US_MAX        253402300799999999LL   /* the end of the year 9999 */

/* Any offset; 1 to 9+ fraction digits (beyond six are cut off) or none; `T` and `Z` in either case;
 * a leap second (:60) is the last microsecond of its minute. Years 0000-9999. */
bool time_parse(struct str text, int64_t *time_us_out) MUST_USE;
/* Always six digits and Z. */
void time_format(int64_t time_us, char out[static TIME_TEXT_SIZE]);

/* The same instant in a zone. */
struct local_time {
    int year, month, day; /* month and day from 1 */
    int weekday;          /* 0 Monday .. 6 Sunday */
    int hour, minute, second, microsecond;
    int offset_seconds; /* east of UTC */
};

/* `name` must stand in tzdata's list (tzdata.zi: zones and links), else NULL. Zones are kept for
 * the process's lifetime and shared: call from any thread, look up once per rule. */
struct zone;
const struct zone *zone_find(struct str name);
void zone_local(const struct zone *zone, int64_t time_us, struct local_time *local_out);
/* 2026-03-27T03:17:41.482910-04:00; returns the length. */
#define LOCAL_TIME_TEXT_SIZE 32
size_t local_time_format(const struct local_time *local, char out[static LOCAL_TIME_TEXT_SIZE]);
/* Days since the epoch of a civil date, and whether the date exists. */
bool time_date(int year, int month, int day, int64_t *days_out);

#endif
