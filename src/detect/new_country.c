/* new_country - an actor acts from a country it has never been seen in. */
#include "detect/detect_priv.h"

static void
step(const void *conditions, const struct event *event, struct fold *fold)
{
    struct sighting sighting;
    struct str country = event->location.country;
    if (country.len > SEEN_VALUE_MAX)
        country = utf8_cut(country, SEEN_VALUE_MAX);
    if (!first_seen_step(conditions, country, event, fold, &sighting))
        return;
    struct buffer *reason = &fold->reason, *context = &fold->context;
    tell_action(reason, event);
    buffer_add(reason, STR(" from "));
    tell_place(reason, event->location.city, country);
    if (sighting.known_once) {
        buffer_add(reason, STR(": not seen there for a long time"));
    } else {
        buffer_add(reason, STR(": first time outside "));
        tell_list(reason, sighting.previous, sighting.count);
    }
    json_put_texts(context, "previous_countries", sighting.previous, sighting.count);
    json_put_str(context, "new_country", country);
}

const struct detector new_country_detector = {
    .rule_type = "new_country",
    .summary = "An actor acts from a country it has not been seen in before.",
    .notes = "The value is ip_country. The first one of an actor is learnt silently, and so is "
             "every one until min_history events had a country. 64 are kept; to make room the "
             "one last seen longest ago goes. The country seen most recently is never forgotten: "
             "coming home alerts nobody. Anonymous actors are not seen. Context: "
             "previous_countries, in order of first sight; new_country.",
    .severity = SEVERITY_MEDIUM,
    .habit = true,
    .conditions = first_seen_conditions,
    .condition_count = COUNT_OF(first_seen_conditions),
    .size = sizeof(struct first_seen),
    .step = step,
    .memory_us = first_seen_memory_us,
};
