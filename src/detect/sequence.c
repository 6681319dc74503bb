/* sequence - one thing, so many times, and then another: a password guessed at and then got right.
 *
 * STATE. The time of the last `then`; the latest `count` firsts, in the order of time. */
#include "detect/detect_priv.h"

#include <inttypes.h>
#include <string.h>

enum { FIRSTS_MAX = 1000 };

struct sequence {
    const struct match *first, *then;
    int64_t within_minutes;
    struct fields group_by;
};

static const struct condition first_members[] = {
    {
        .name = "action_pattern",
        .type = CONDITION_ACTIONS,
        .offset = offsetof(struct match, actions),
        .required = true,
        .summary = "A glob or a list of globs on the action.",
    },
    {
        .name = "where",
        .type = CONDITION_WHERE,
        .offset = offsetof(struct match, where),
        .summary = "Conditions on other fields, all of which must hold.",
    },
    {
        .name = "count",
        .type = CONDITION_INTEGER,
        .offset = offsetof(struct match, count),
        .low = 1,
        .high = FIRSTS_MAX,
        .fallback = "1",
        .summary = "How many of them there must be.",
    },
};

#define AT(member) offsetof(struct sequence, member)
static const struct condition conditions[] = {
    {
        .name = "first",
        .type = CONDITION_OBJECT,
        .offset = AT(first),
        .required = true,
        .members = first_members,
        .member_count = COUNT_OF(first_members),
        .size = sizeof(struct match),
        .summary = "What comes first, and how often.",
    },
    {
        .name = "then",
        .type = CONDITION_OBJECT,
        .offset = AT(then),
        .required = true,
        .members = match_members,
        .member_count = COUNT_OF(match_members),
        .size = sizeof(struct match),
        .summary = "What comes then. It uses up all firsts before it.",
    },
    {
        .name = "within_minutes",
        .type = CONDITION_INTEGER,
        .offset = AT(within_minutes),
        .required = true,
        .low = 1,
        .high = 43200,
        .summary = "How long before it the oldest of the firsts may be.",
    },
    {
        .name = "group_by",
        .type = CONDITION_FIELDS,
        .offset = AT(group_by),
        .low = 1,
        .high = GROUP_FIELDS_MAX,
        .fallback = "[\"actor_id\"]",
        .summary = "Fields of the event that first and then must share.",
    },
};

struct course {
    int64_t last_then_us;
    size_t count;
    int64_t firsts[FIRSTS_MAX + 1];
};

static bool
sees(const struct filter *filter, const void *self, const struct event *event)
{
    const struct sequence *rule = self;
    return (match_holds(rule->first, event) || match_holds(rule->then, event)) &&
           filter_takes(filter, event);
}

static bool
subject(const void *self, const struct event *event, struct subject *subject_out)
{
    return subject_of_fields(subject_out, &((const struct sequence *)self)->group_by, event);
}

static int64_t
memory_us(const void *self)
{
    return ((const struct sequence *)self)->within_minutes * TIME_US_PER_MINUTE;
}

static void
read_course(struct str state, struct course *course)
{
    course->last_then_us = INT64_MIN;
    course->count = 0;
    if (state.len == 0)
        return;
    struct state_reader reader = state_read(state);
    course->last_then_us = state_take_time(&reader);
    course->count = state_take_count(&reader);
    must(course->count <= FIRSTS_MAX);
    for (size_t i = 0; i < course->count; i++)
        course->firsts[i] = state_take_time(&reader);
}

static void
write_course(struct state_writer *writer, const struct course *course)
{
    state_put_time(writer, course->last_then_us);
    state_put_count(writer, course->count);
    for (size_t i = 0; i < course->count; i++)
        state_put_time(writer, course->firsts[i]);
}

static void
tell(const struct sequence *rule, const struct event *event, const struct course *course,
     struct fold *fold)
{
    struct buffer *reason = &fold->reason, *context = &fold->context;
    int64_t now_us = event->occurred_at, first_us = course->firsts[0];
    int64_t last_us = course->firsts[course->count - 1];
    tell_action(reason, event);
    buffer_printf(reason, " after %" PRId64 " × %.*s", rule->first->count,
                  STR_ARG(rule->first->actions.items[0].text));
    if (rule->first->actions.count > 1)
        buffer_add(reason, STR(" and the like"));
    buffer_add(reason, STR(" within "));
    tell_duration(reason, rule->within_minutes * TIME_US_PER_MINUTE);
    json_put_int(context, "count", rule->first->count);
    json_put_time(context, "first_at", first_us);
    json_put_time(context, "last_at", last_us);
    json_put_time(context, "then_at", now_us);
    group_write(context, &rule->group_by, event);
}

/* All firsts up to its time are used up, whether it fires or not. */
static void
judge_then(const struct sequence *rule, const struct event *event, struct course *course,
           struct fold *fold)
{
    int64_t now_us = event->occurred_at;
    size_t used = 0;
    while (used < course->count && course->firsts[used] <= now_us)
        used++;
    /* At most `count` are kept, so all of them must lie in the window. */
    if (used > 0 && used == (size_t)rule->first->count &&
        now_us - course->firsts[0] <= rule->within_minutes * TIME_US_PER_MINUTE && fold_fires(fold))
        tell(rule, event, course, fold);
    course->count -= used;
    memmove(course->firsts, course->firsts + used, course->count * sizeof course->firsts[0]);
    if (course->last_then_us < now_us)
        course->last_then_us = now_us;
}

static void
keep_first(const struct sequence *rule, int64_t time_us, struct course *course)
{
    size_t at = course->count;
    if (time_us < course->last_then_us)
        return;
    while (at > 0 && course->firsts[at - 1] > time_us)
        at--;
    memmove(&course->firsts[at + 1], &course->firsts[at],
            (course->count - at) * sizeof course->firsts[0]);
    course->firsts[at] = time_us;
    if (++course->count <= (size_t)rule->first->count)
        return;
    course->count--;
    memmove(course->firsts, course->firsts + 1, course->count * sizeof course->firsts[0]);
}

static void
step(const void *self, const struct event *event, struct fold *fold)
{
    const struct sequence *rule = self;
    bool is_then = match_holds(rule->then, event), is_first = match_holds(rule->first, event);
    struct course course;
    read_course(fold->old, &course);
    if (is_then)
        judge_then(rule, event, &course, fold);
    if (is_first)
        keep_first(rule, event->occurred_at, &course);
    write_course(fold_change(fold), &course);
}

const struct detector sequence_detector = {
    .rule_type = "sequence",
    .summary = "One thing happens, once or many times, and then another.",
    .notes = "The subject is the group. The latest count firsts are kept; then fires if all of "
             "them lie within within_minutes before it. Any then, firing or not, uses up the "
             "firsts up to its own time, and a first from before the last then is out. An event "
             "that is both is judged as then, and kept as first. Context: count, first_at, "
             "last_at, then_at, group.",
    .severity = SEVERITY_HIGH,
    .pattern = "\"*\"",
    .conditions = conditions,
    .condition_count = COUNT_OF(conditions),
    .size = sizeof(struct sequence),
    .sees = sees,
    .subject = subject,
    .step = step,
    .memory_us = memory_us,
};
