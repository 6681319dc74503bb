/* read - what alerts, rules and webhooks have in common when they are read
 * back from their written forms. */
#include "model/model_priv.h"

static bool
is_none(const struct json *value)
{
    return value->type == JSON_ABSENT || value->type == JSON_NULL;
}

bool
model_read_str(const struct json *object, const char *name, struct str *text_out)
{
    const struct json *value = json_get(object, str_from(name));
    if (is_none(value))
        return true;
    if (value->type != JSON_STRING)
        return false;
    *text_out = value->text;
    return true;
}

bool
model_read_int(const struct json *object, const char *name, int64_t *number_out)
{
    const struct json *value = json_get(object, str_from(name));
    if (is_none(value))
        return true;
    if (value->type != JSON_NUMBER || !value->is_integer)
        return false;
    *number_out = value->integer;
    return true;
}

bool
model_read_bool(const struct json *object, const char *name, bool *truth_out)
{
    const struct json *value = json_get(object, str_from(name));
    if (is_none(value))
        return true;
    if (value->type != JSON_BOOL)
        return false;
    *truth_out = value->truth;
    return true;
}

bool
model_read_time(const struct json *object, const char *name, int64_t *time_us_out)
{
    struct str text = {0};
    if (!model_read_str(object, name, &text))
        return false;
    return text.ptr == NULL || time_parse(text, time_us_out);
}

bool
model_read_json(const struct json *object, const char *name, enum json_type type,
                struct json *json_out)
{
    const struct json *value = json_get(object, str_from(name));
    if (is_none(value))
        return true;
    if (value->type != type)
        return false;
    *json_out = *value;
    return true;
}

bool
model_text_of(const struct json *json, bool canonical, struct arena *arena, struct str *text_out)
{
    struct buffer text;
    buffer_init(&text, arena->limit);
    if (canonical)
        json_write_canonical(&text, json, arena);
    else
        json_write(&text, json);
    bool ok = !text.ran_out && !arena->ran_out && arena_copy(arena, buffer_str(&text), text_out);
    buffer_fini(&text);
    return ok;
}

void
model_put_json(struct buffer *out, const char *name, const struct json *value)
{
    if (value->type == JSON_ABSENT)
        return;
    json_name(out, name);
    json_write(out, value);
}

bool
model_list_holds(const struct json *list, struct str text)
{
    for (uint32_t i = 0; list->type == JSON_ARRAY && i < list->count; i++)
        if (list->items[i].type == JSON_STRING && str_equal(list->items[i].text, text))
            return true;
    return false;
}
