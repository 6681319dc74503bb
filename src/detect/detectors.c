/* detectors - the table of rule types, and what it says about itself. */
#include "detect/detect_priv.h"

static const struct detector *const detectors[] = {
    &new_country_detector,           &new_device_detector,
    &new_network_detector,           &off_hours_detector,
    &repeated_action_detector,       &high_volume_destructive_detector,
    &ingestion_spike_detector,       &impossible_travel_detector,
    &dormant_account_detector,       &blocklisted_ip_detector,
    &suspicious_user_agent_detector, &watched_action_detector,
    &session_anomaly_detector,       &sequence_detector,
    &combination_detector,
};

const struct detector *
detector_find(struct str rule_type)
{
    for (size_t i = 0; i < COUNT_OF(detectors); i++)
        if (str_equal(rule_type, str_from(detectors[i]->rule_type)))
            return detectors[i];
    return NULL;
}

bool
detect_type_exists(struct str rule_type)
{
    return detector_find(rule_type) != NULL;
}

static void
write_range(struct buffer *out, const struct condition *row)
{
    bool number = row->type == CONDITION_INTEGER || row->type == CONDITION_NUMBER;
    json_name(out, number || row->high <= 0 ? "range" : "items");
    if (row->high <= 0) {
        json_null(out);
        return;
    }
    json_open(out, '{');
    json_put_double(out, "min", row->low);
    json_put_double(out, "max", row->high);
    json_close(out, '}');
}

static void
write_choices(struct buffer *out, const char *const *choices)
{
    json_name(out, "values");
    json_open(out, '[');
    for (; *choices != NULL; choices++)
        json_str(out, str_from(*choices));
    json_close(out, ']');
}

static void write_rows(struct buffer *out, const struct condition *rows, size_t count,
                       const char *pattern);

static void
write_row(struct buffer *out, const struct condition *row, const char *pattern)
{
    const char *fallback = pattern != NULL ? pattern : row->fallback;
    json_open(out, '{');
    json_put_str(out, "name", str_from(row->name));
    json_put_str(out, "type", str_from(condition_type_name(row->type)));
    json_put_bool(out, "required", row->required && pattern == NULL);
    write_range(out, row);
    if (row->choices != NULL)
        write_choices(out, row->choices);
    json_put_raw(out, "default", str_from(fallback));
    json_put_str(out, "summary", str_from(row->summary));
    if (row->members != NULL) {
        json_name(out, "members");
        json_open(out, '[');
        write_rows(out, row->members, row->member_count, NULL);
        json_close(out, ']');
    }
    json_close(out, '}');
}

static void
write_rows(struct buffer *out, const struct condition *rows, size_t count, const char *pattern)
{
    for (size_t i = 0; i < count; i++)
        write_row(out, &rows[i], i == 0 ? pattern : NULL);
}

void
detect_write_types(struct buffer *out)
{
    json_open(out, '[');
    for (size_t i = 0; i < COUNT_OF(detectors); i++) {
        const struct detector *type = detectors[i];
        json_open(out, '{');
        json_put_str(out, "rule_type", str_from(type->rule_type));
        json_put_str(out, "summary", str_from(type->summary));
        json_put_str(out, "notes", str_from(type->notes));
        json_put_str(out, "severity", severity_name(type->severity));
        json_put_int(out, "cooldown_minutes", type->cooldown_minutes);
        json_name(out, "conditions");
        json_open(out, '[');
        write_rows(out, common_conditions, 1, type->pattern);
        write_rows(out, type->conditions, type->condition_count, NULL);
        write_rows(out, common_conditions + 1, COUNT_OF(common_conditions) - 1, NULL);
        json_close(out, ']');
        json_close(out, '}');
    }
    json_close(out, ']');
}
