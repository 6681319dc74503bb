/* POST /rules/backtest: what a rule would have raised over a stretch of stored history. */
#include "api/api_priv.h"
#include "codec/time.h"
#include "model/ids.h"

#include <string.h>

static bool
read_bound(struct call *call, const char *name, log_at *at_out)
{
    const struct json *sent = json_get(&call->json, str_from(name));
    int64_t time_us = 0;
    if (sent->type == JSON_ABSENT || sent->type == JSON_NULL)
        return true;
    if (sent->type != JSON_STRING || !time_parse(sent->text, &time_us)) {
        call_fail(call, 422, "validation_failed", "The %s field must be an RFC 3339 time.", name);
        return false;
    }
    *at_out = time_us > 0 ? (log_at)time_us : 0;
    return true;
}

/* A whole rule, or the id of one. */
static bool
read_rule(struct call *call, struct rule *rule)
{
    const struct json *sent = json_get(&call->json, STR("rule"));
    const struct json *id = json_get(&call->json, STR("rule_id"));
    struct err err = {0};
    if ((sent->type == JSON_OBJECT) == (id->type == JSON_STRING)) {
        call_fail(call, 422, "validation_failed",
                  "Either the rule field (a rule) or the rule_id field (a string) is required.");
        return false;
    }
    if (id->type == JSON_STRING) {
        if (store_rule(call->api->options.store, call->workspace_id, id->text, call_arena(call),
                       rule, &err))
            return true;
        if (err.code == ERR_NOT_FOUND)
            call_fail(call, 404, "not_found", "There is no rule %.*s.",
                      (int)(id->text.len < 100 ? id->text.len : 100), id->text.ptr);
        else
            call_fail_err(call, &err);
        return false;
    }
    char fresh[ID_SIZE];
    *rule = (struct rule){.workspace_id = call->workspace_id, .enabled = true};
    if (!rule_read_sent(call, sent, false, rule))
        return false;
    id_new(call->api->options.random, "rul_", fresh);
    struct str text = {fresh, sizeof fresh};
    must(arena_copy(call_arena(call), text, &rule->id));
    return true;
}

static void
write_result(struct buffer *out, const struct engine_backtest *result)
{
    json_open(out, '{');
    json_put_int(out, "events_scanned", (int64_t)result->events_scanned);
    json_put_int(out, "events_matched", (int64_t)result->events_matched);
    json_put_int(out, "alerts_total", (int64_t)result->alerts_total);
    json_name(out, "alerts");
    json_open(out, '[');
    for (size_t i = 0; i < result->alert_count; i++) {
        json_open(out, '{');
        alert_write_members(out, &result->alerts[i], NULL);
        json_close(out, '}');
    }
    json_close(out, ']');
    json_name(out, "by_day");
    json_open(out, '[');
    for (size_t i = 0; i < result->day_count; i++) {
        json_open(out, '{');
        json_put_str(out, "day", str_from(result->by_day[i].day));
        json_put_int(out, "count", (int64_t)result->by_day[i].count);
        json_close(out, '}');
    }
    json_close(out, ']');
    json_name(out, "by_actor");
    json_open(out, '[');
    for (size_t i = 0; i < result->actor_count; i++) {
        json_open(out, '{');
        json_put_str(out, "actor_id", result->by_actor[i].actor_id);
        json_put_int(out, "count", (int64_t)result->by_actor[i].count);
        json_close(out, '}');
    }
    json_close(out, ']');
    json_close(out, '}');
}

void
rules_backtest(struct call *call)
{
    static const char *const known[] = {"rule", "rule_id", "from", "to", NULL};
    struct log_span span = {.from = 0, .to = UINT64_MAX};
    struct rule rule;
    struct engine_backtest result;
    struct err err = {0};
    if (!call_read_json(call) || !call_check_members(call, &call->json, known) ||
        !read_bound(call, "from", &span.from) || !read_bound(call, "to", &span.to) ||
        !read_rule(call, &rule))
        return;
    if (engine_backtest(call->api->options.engine, &rule, span, call_arena(call), &result, &err))
        write_result(call_answer(call, 200), &result);
    else
        call_fail_err(call, &err);
}
