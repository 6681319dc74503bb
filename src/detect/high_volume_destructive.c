/* high_volume_destructive - somebody deletes a lot in a short time. The fold of repeated_action
 * with other defaults. */
#include "detect/detect_priv.h"

#define AT(member) offsetof(struct repeated, member)
static const struct condition conditions[] = {
    {
        .name = "threshold",
        .type = CONDITION_INTEGER,
        .offset = AT(threshold),
        .low = 2,
        .high = 1000,
        .fallback = "10",
        .summary = "How many make an alert. The window is empty afterwards.",
    },
    {
        .name = "window_minutes",
        .type = CONDITION_INTEGER,
        .offset = AT(window_minutes),
        .low = 1,
        .high = 10080,
        .fallback = "5",
        .unless = "window_seconds",
        .summary = "How far apart the first and the last may be.",
    },
    {
        .name = "window_seconds",
        .type = CONDITION_INTEGER,
        .offset = AT(window_seconds),
        .low = 1,
        .high = 604800,
        .summary = "The same in seconds, instead of window_minutes.",
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

const struct detector high_volume_destructive_detector = {
    .rule_type = "high_volume_destructive",
    .summary = "Somebody deletes, removes or destroys many things within a window.",
    .notes = "As repeated_action, with other defaults. Context: the same.",
    .severity = SEVERITY_HIGH,
    .pattern = "[\"*.deleted\",\"*.removed\",\"*.destroyed\",\"*.purged\"]",
    .conditions = conditions,
    .condition_count = COUNT_OF(conditions),
    .size = sizeof(struct repeated),
    .check = repeated_check,
    .sees = repeated_sees,
    .subject = repeated_subject,
    .step = repeated_step,
    .memory_us = repeated_memory_us,
};
