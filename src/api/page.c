/* What all lists have in common: limit, cursor, order, bounds of time, and the pagination object.
 * */
#include "api/api_priv.h"
#include "codec/time.h"
#include "model/limits.h"

#include <string.h>

#define BUDGET_US   (1000 * 1000)
#define BUDGET_ROWS 200000

static bool
read_time(struct call *call, const char *name, log_at *time_out)
{
    struct str text = call_query(call, name);
    int64_t time_us = 0;
    if (text.ptr == NULL)
        return true;
    if (!time_parse(text, &time_us)) {
        call_fail(call, 422, "validation_failed", "The %s parameter must be an RFC 3339 time.",
                  name);
        return false;
    }
    *time_out = time_us > 0 ? (log_at)time_us : 0;
    return true;
}

/* {"created_at":"…"} in URL-safe base64. */
static bool
read_cursor(struct call *call, log_at *cursor_out)
{
    struct str text = call_query(call, "cursor");
    int64_t time_us = 0;
    if (text.ptr == NULL)
        return true;
    struct buffer decoded;
    buffer_init(&decoded, 256);
    struct tools tools = tools_take(call->api);
    struct json json;
    struct err err = {0};
    bool ok = text.len < 200 && base64_decode(&decoded, text, true) &&
              json_parse(tools.parser, buffer_str(&decoded), call_arena(call), &json, &err);
    tools_give(call->api, tools);
    buffer_fini(&decoded);
    const struct json *at = ok ? json_get(&json, STR("created_at")) : NULL;
    ok = at != NULL && at->type == JSON_STRING && time_parse(at->text, &time_us) && time_us > 0;
    if (!ok) {
        call_fail(call, 400, "invalid_cursor", "The cursor is not one that a list has given.");
        return false;
    }
    *cursor_out = (log_at)time_us;
    return true;
}

static bool
read_limit(struct call *call, size_t *limit_out)
{
    struct str text = call_query(call, "limit");
    int64_t limit = LIMIT_PAGE_DEFAULT;
    if (text.ptr != NULL && (!str_to_int(text, &limit) || limit < 1 || limit > LIMIT_PAGE)) {
        call_fail(call, 422, "validation_failed",
                  "The limit parameter must be a number from 1 to %d.", LIMIT_PAGE);
        return false;
    }
    *limit_out = (size_t)limit;
    return true;
}

bool
call_read_limit(struct call *call, size_t *limit_out, int64_t *cursor_out)
{
    log_at cursor = 0;
    if (!read_limit(call, limit_out) || !read_cursor(call, &cursor))
        return false;
    *cursor_out = (int64_t)cursor;
    return true;
}

bool
call_read_page(struct call *call, struct journal_page *page_out)
{
    struct journal_page page = {.from = 0,
                                .to = UINT64_MAX,
                                .budget_us = BUDGET_US,
                                .budget_rows = BUDGET_ROWS,
                                .clock = call->api->options.clock};
    struct str order = call_query(call, "order");
    page.ascending = str_equal(order, STR("asc"));
    if (order.ptr != NULL && !page.ascending && !str_equal(order, STR("desc"))) {
        call_fail(call, 422, "validation_failed", "The order parameter is asc or desc.");
        return false;
    }
    if (!read_limit(call, &page.limit) || !read_cursor(call, &page.cursor) ||
        !read_time(call, "from", &page.from) || !read_time(call, "to", &page.to))
        return false;
    *page_out = page;
    return true;
}

struct buffer *
answer_list(struct call *call)
{
    struct buffer *out = call_answer(call, 200);
    json_open(out, '{');
    json_name(out, "data");
    json_open(out, '[');
    return out;
}

void
answer_pagination(struct buffer *out, const struct journal_page_result *result)
{
    json_close(out, ']');
    json_name(out, "pagination");
    json_open(out, '{');
    json_put_bool(out, "has_more", result->has_more);
    json_name(out, "next_cursor");
    if (result->has_more && result->next_cursor != 0) {
        char time_text[TIME_TEXT_SIZE];
        struct buffer cursor, encoded;
        buffer_init(&cursor, 256);
        buffer_init(&encoded, 256);
        time_format((int64_t)result->next_cursor, time_text);
        json_open(&cursor, '{');
        json_put_str(&cursor, "created_at", (struct str){time_text, TIME_TEXT_SIZE});
        json_close(&cursor, '}');
        base64_encode(&encoded, buffer_str(&cursor), true);
        json_str(out, buffer_str(&encoded));
        buffer_fini(&cursor);
        buffer_fini(&encoded);
    } else {
        json_null(out);
    }
    json_put_int(out, "total", (int64_t)result->total);
    json_put_bool(out, "total_is_exact", result->total_is_exact);
    json_close(out, '}');
    json_close(out, '}');
}

void
answer_all_listed(struct buffer *out, size_t count)
{
    struct journal_page_result all = {.count = count, .total = count, .total_is_exact = true};
    answer_pagination(out, &all);
}

bool
call_check_members(struct call *call, const struct json *object, const char *const *known)
{
    struct str twice = json_duplicate(object);
    if (twice.ptr != NULL) {
        call_fail(call, 422, "validation_failed", "The %.*s field is there twice.",
                  (int)(twice.len < 100 ? twice.len : 100), twice.ptr);
        return false;
    }
    for (size_t i = 0; i < object->count; i++) {
        struct str name = object->members[i].name;
        bool found = false;
        for (const char *const *k = known; *k != NULL && !found; k++)
            found = str_equal(str_from(*k), name);
        if (!found) {
            call_fail(call, 422, "validation_failed", "The %.*s field is not known here.",
                      (int)(name.len < 100 ? name.len : 100), name.ptr);
            return false;
        }
    }
    return true;
}
