/* off_hours - something happens at night, on a day off or on a holiday, by the clock of a place. No
 * state of its own. */
#include "detect/detect_priv.h"

#include <inttypes.h>

struct off_hours {
    struct named_zone timezone;
    int64_t start_hour, end_hour;
    unsigned days;
    struct integers holidays;
};

static const char *const weekdays[] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun", NULL};

#define AT(member) offsetof(struct off_hours, member)
static const struct condition conditions[] = {
    {
        .name = "timezone",
        .type = CONDITION_ZONE,
        .offset = AT(timezone),
        .required = true,
        .summary = "Whose clock counts: an IANA time zone, daylight saving included.",
    },
    {
        .name = "start_hour",
        .type = CONDITION_INTEGER,
        .offset = AT(start_hour),
        .low = 0,
        .high = 23,
        .summary =
            "The first hour that is off. Goes with end_hour; both may be left out when days or "
            "holidays are given.",
    },
    {
        .name = "end_hour",
        .type = CONDITION_INTEGER,
        .offset = AT(end_hour),
        .low = 0,
        .high = 23,
        .summary = "The first hour that is not off any more. When it is the smaller one, the time "
                   "wraps over midnight.",
    },
    {
        .name = "days",
        .type = CONDITION_WEEKDAYS,
        .offset = AT(days),
        .low = 1,
        .high = 7,
        .choices = weekdays,
        .summary = "Weekdays that are off all day.",
    },
    {
        .name = "holidays",
        .type = CONDITION_DATES,
        .offset = AT(holidays),
        .low = 1,
        .high = CONDITION_LIST_MAX,
        .summary = "Dates that are off all day, such as 2026-12-25.",
    },
};

static bool
check(struct reading *reading, void *self)
{
    const struct off_hours *rule = self;
    bool start = rule->start_hour != NOT_GIVEN, end = rule->end_hour != NOT_GIVEN;
    if (start != end)
        return reading_complain(reading,
                                start ? STR("conditions.end_hour") : STR("conditions.start_hour"),
                                "is required: start_hour and end_hour go together");
    if (start && rule->start_hour == rule->end_hour)
        return reading_complain(reading, STR("conditions.end_hour"), "must differ from start_hour");
    if (!start && rule->days == 0 && rule->holidays.count == 0)
        return reading_complain(reading, STR("conditions.start_hour"),
                                "is required unless days or holidays are given");
    return true;
}

static bool
is_holiday(const struct off_hours *rule, const struct local_time *local)
{
    int64_t today;
    if (rule->holidays.count == 0 || !time_date(local->year, local->month, local->day, &today))
        return false;
    for (size_t i = 0; i < rule->holidays.count; i++)
        if (rule->holidays.items[i] == today)
            return true;
    return false;
}

static bool
is_off_hour(const struct off_hours *rule, int hour)
{
    if (rule->start_hour == NOT_GIVEN)
        return false;
    bool from = hour >= rule->start_hour, to = hour < rule->end_hour;
    return rule->start_hour < rule->end_hour ? from && to : from || to;
}

enum why { WHY_NOT, WHY_HOLIDAY, WHY_DAY, WHY_HOURS };

static enum why
why_off(const struct off_hours *rule, const struct local_time *local)
{
    if (is_holiday(rule, local))
        return WHY_HOLIDAY;
    if (rule->days >> local->weekday & 1)
        return WHY_DAY;
    return is_off_hour(rule, local->hour) ? WHY_HOURS : WHY_NOT;
}

static void
put_hour(struct buffer *out, const char *name, int64_t hour)
{
    if (hour == NOT_GIVEN)
        json_put_null(out, name);
    else
        json_put_int(out, name, hour);
}

static void
step(const void *self, const struct event *event, struct fold *fold)
{
    static const char *const names[] = {"Monday", "Tuesday",  "Wednesday", "Thursday",
                                        "Friday", "Saturday", "Sunday"};
    static const struct str whys[] = {[WHY_HOLIDAY] = STR_INIT("holiday"),
                                      [WHY_DAY] = STR_INIT("day"),
                                      [WHY_HOURS] = STR_INIT("hours")};
    const struct off_hours *rule = self;
    struct local_time local;
    zone_local(rule->timezone.zone, event->occurred_at, &local);
    enum why why = why_off(rule, &local);
    if (why == WHY_NOT || !fold_fires(fold))
        return;
    struct buffer *reason = &fold->reason, *context = &fold->context;
    tell_action(reason, event);
    buffer_printf(reason, " at %02d:%02d on %s, %d-%02d-%02d (%.*s): ", local.hour, local.minute,
                  names[local.weekday], local.year, local.month, local.day,
                  STR_ARG(rule->timezone.name));
    if (why == WHY_HOURS)
        buffer_printf(reason, "between %02" PRId64 ":00 and %02" PRId64 ":00", rule->start_hour,
                      rule->end_hour);
    else
        buffer_add(reason, why == WHY_HOLIDAY ? STR("a holiday") : STR("a day off"));

    char text[LOCAL_TIME_TEXT_SIZE];
    json_put_str(context, "local_time", (struct str){text, local_time_format(&local, text)});
    json_put_str(context, "timezone", rule->timezone.name);
    put_hour(context, "start_hour", rule->start_hour);
    put_hour(context, "end_hour", rule->end_hour);
    json_put_str(context, "why", whys[why]);
}

const struct detector off_hours_detector = {
    .rule_type = "off_hours",
    .summary = "Something happens outside working hours, on a day off, or on a holiday.",
    .notes = "Hours are those of the event's occurred_at in the zone, daylight saving included. "
             "22 to 6 means from 22:00:00 to 05:59:59; 0 as end_hour is midnight. Days and "
             "holidays are whole days of that zone. There is no state but the cooldown. Context: "
             "local_time with its offset, timezone, start_hour, end_hour, why (holiday before "
             "day before hours).",
    .severity = SEVERITY_LOW,
    .cooldown_minutes = 60,
    .conditions = conditions,
    .condition_count = COUNT_OF(conditions),
    .size = sizeof(struct off_hours),
    .check = check,
    .step = step,
};
