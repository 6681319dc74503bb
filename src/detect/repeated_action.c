/* repeated_action - the same thing too often in a short time: guessing a password, spraying one
 * over many accounts, asking for reset after reset. */
#include "detect/detect_priv.h"

#define AT(member) offsetof(struct repeated, member)
static const struct condition conditions[] = {
    {
        .name = "threshold",
        .type = CONDITION_INTEGER,
        .offset = AT(threshold),
        .required = true,
        .low = 2,
        .high = 1000,
        .summary = "How many make an alert. The window is empty afterwards.",
    },
    {
        .name = "window_minutes",
        .type = CONDITION_INTEGER,
        .offset = AT(window_minutes),
        .low = 1,
        .high = 10080,
        .summary =
            "How far apart the first and the last may be. This or window_seconds is required.",
    },
    {
        .name = "window_seconds",
        .type = CONDITION_INTEGER,
        .offset = AT(window_seconds),
        .low = 1,
        .high = 604800,
        .summary = "The same in seconds.",
    },
    {
        .name = "group_by",
        .type = CONDITION_FIELDS,
        .offset = AT(group_by),
        .low = 1,
        .high = GROUP_FIELDS_MAX,
        .fallback = "[\"actor_id\"]",
        .summary = "Fields of the event; each combination of their values is counted by itself.",
    },
    {
        .name = "distinct",
        .type = CONDITION_FIELD,
        .offset = AT(distinct),
        .summary = "Counts different values of this field instead of events.",
    },
    {
        .name = "reset_on",
        .type = CONDITION_OBJECT,
        .offset = AT(reset_on),
        .members = match_members,
        .member_count = COUNT_OF(match_members),
        .size = sizeof(struct match),
        .summary = "An event of the group that forgives what came before it, and is not counted.",
    },
};

const struct detector repeated_action_detector = {
    .rule_type = "repeated_action",
    .summary = "The same thing happens too often within a window.",
    .notes = "The subject is the group. The event that makes the count within the window reach "
             "the threshold fires, and the window is emptied: an attack that goes on alerts once "
             "per threshold, not per event. A late event joins if it is at most one window older "
             "than the newest the group has shown, and may itself complete the count; older ones "
             "are dropped. reset_on takes away what is not later than it. With distinct, only "
             "the latest time of each value counts. A value to group by or to count is a text, a "
             "number or a truth; without one the event is not counted. Context: count, "
             "threshold, window_minutes, group, first_at, last_at, and the ten latest "
             "ip_addresses and actors of the window, latest first.",
    .severity = SEVERITY_HIGH,
    .conditions = conditions,
    .condition_count = COUNT_OF(conditions),
    .size = sizeof(struct repeated),
    .check = repeated_check,
    .sees = repeated_sees,
    .subject = repeated_subject,
    .step = repeated_step,
    .memory_us = repeated_memory_us,
};
