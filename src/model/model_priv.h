/* model_priv - reading written forms back, member by member. Each says whether
 * the value has the right type; null and absent leave the target as it was. */
#ifndef MODEL_PRIV_H
#define MODEL_PRIV_H

#include "codec/json.h"
#include "codec/time.h"

bool model_read_str(const struct json *object, const char *name, struct str *text_out) MUST_USE;
bool model_read_int(const struct json *object, const char *name, int64_t *number_out) MUST_USE;
bool model_read_bool(const struct json *object, const char *name, bool *truth_out) MUST_USE;
bool model_read_time(const struct json *object, const char *name, int64_t *time_us_out) MUST_USE;
/* Of that type, or absent. */
bool model_read_json(const struct json *object, const char *name, enum json_type type,
                     struct json *json_out) MUST_USE;
/* Writes the value into the arena as text; `canonical` as RFC 8785 has it. */
bool model_text_of(const struct json *json, bool canonical, struct arena *arena,
                   struct str *text_out) MUST_USE;
/* `value` as a member, or nothing when it is absent. */
void model_put_json(struct buffer *out, const char *name, const struct json *value);
/* A list of strings that holds `text`; an absent one holds nothing. */
bool model_list_holds(const struct json *list, struct str text);

#endif
