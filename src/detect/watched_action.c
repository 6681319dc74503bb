/* watched_action - actions that somebody always wants to hear of: every event that the rule
 * sees. */
#include "detect/detect_priv.h"

static void
step(const void *self, const struct event *event, struct fold *fold)
{
    (void)self;
    if (!fold_fires(fold))
        return;
    tell_action(&fold->reason, event);
    if (event->resource_type.len > 0)
        buffer_printf(&fold->reason, " on %.*s", STR_ARG(utf8_cut(event->resource_type, 128)));
    if (event->resource_id.len > 0)
        buffer_printf(&fold->reason, " %.*s", STR_ARG(utf8_cut(event->resource_id, 128)));
    if (event->location.country.len > 0) {
        buffer_add(&fold->reason, STR(" from "));
        tell_place(&fold->reason, event->location.city, event->location.country);
    }
    json_put_str(&fold->context, "action", utf8_cut(event->action, LIMIT_ID_BYTES));
}

const struct detector watched_action_detector = {
    .rule_type = "watched_action",
    .summary = "Every event that action_pattern and where let through: for what somebody always "
               "wants to hear of.",
    .notes = "An API key made by a service account, a second factor switched off: action_pattern "
             "and where say what. Context: action.",
    .severity = SEVERITY_MEDIUM,
    .step = step,
};
