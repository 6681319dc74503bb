/* Deliveries: what was sent to whom, every attempt, and another one on request. */
#include "api/api_priv.h"

#include <string.h>

static const char *const status_names[] = {
    [DELIVERY_PENDING] = "pending",
    [DELIVERY_DELIVERED] = "delivered",
    [DELIVERY_DEAD] = "dead",
};

static void
write_members(struct buffer *out, const struct store_delivery *delivery)
{
    json_put_str(out, "id", delivery->id);
    bool is_mail = str_starts(delivery->webhook_id, STR(NOTIFY_MAIL_PREFIX));
    size_t prefix = sizeof NOTIFY_MAIL_PREFIX - 1;
    json_put_str(out, "channel", is_mail ? STR("email") : STR("webhook"));
    json_put_str(out, "webhook_id", is_mail ? (struct str){0} : delivery->webhook_id);
    json_put_str(
        out, "email",
        is_mail ? (struct str){delivery->webhook_id.ptr + prefix, delivery->webhook_id.len - prefix}
                : (struct str){0});
    json_put_str(out, "alert_id",
                 delivery->alert_id.len > 0 ? delivery->alert_id : (struct str){0});
    json_put_str(out, "event_type", delivery->event_type);
    json_put_str(out, "status", str_from(status_names[delivery->status]));
    json_put_int(out, "attempts_made", delivery->attempts);
    if (delivery->status == DELIVERY_PENDING && delivery->next_attempt_at > 0)
        json_put_time(out, "next_attempt_at", delivery->next_attempt_at);
    else
        json_put_null(out, "next_attempt_at");
    json_put_time(out, "created_at", delivery->created_at);
    json_put_time(out, "updated_at", delivery->updated_at);
}

/* Mail to an address has an id of this and the address, where others have their webhook's. */
static bool
read_email(struct call *call, struct store_delivery_filter *filter)
{
    struct str email = call_query(call, "email");
    if (email.ptr == NULL)
        return true;
    if (filter->webhook_id.ptr != NULL || !mail_address_valid(email)) {
        call_fail(call, 422, "validation_failed",
                  "The email parameter is a mail address, and goes without webhook_id.");
        return false;
    }
    size_t prefix = sizeof NOTIFY_MAIL_PREFIX - 1;
    char *id = arena_array(call_arena(call), prefix + email.len, char);
    must(id != NULL);
    memcpy(id, NOTIFY_MAIL_PREFIX, prefix);
    memcpy(id + prefix, email.ptr, email.len);
    filter->webhook_id = (struct str){id, prefix + email.len};
    return true;
}

static bool
read_filter(struct call *call, struct store_delivery_filter *filter)
{
    struct str status = call_query(call, "status");
    *filter = (struct store_delivery_filter){.webhook_id = call_query(call, "webhook_id"),
                                             .alert_id = call_query(call, "alert_id")};
    for (size_t i = 0; i < COUNT_OF(status_names) && status.ptr != NULL; i++) {
        if (str_equal(status, str_from(status_names[i]))) {
            filter->has_status = true;
            filter->status = (enum delivery_status)i;
        }
    }
    if (status.ptr != NULL && !filter->has_status) {
        call_fail(call, 422, "validation_failed",
                  "The status parameter is pending, delivered or dead.");
        return false;
    }
    return read_email(call, filter) && call_read_limit(call, &filter->limit, &filter->cursor);
}

void
deliveries_list(struct call *call)
{
    struct store_delivery_filter filter;
    struct store_delivery *list = NULL;
    size_t count = 0;
    struct err err = {0};
    if (!read_filter(call, &filter))
        return;
    size_t limit = filter.limit++; /* one more tells whether there are more */
    if (!store_deliveries(call->api->options.store, call->workspace_id, &filter, call_arena(call),
                          &list, &count, &err)) {
        call_fail_err(call, &err);
        return;
    }
    struct journal_page_result result = {.has_more = count > limit};
    result.count = result.has_more ? limit : count;
    result.total = count;
    result.total_is_exact = !result.has_more && filter.cursor == 0;
    if (result.has_more)
        result.next_cursor = (log_at)list[limit - 1].created_at;
    struct buffer *out = answer_list(call);
    for (size_t i = 0; i < result.count; i++) {
        json_open(out, '{');
        write_members(out, &list[i]);
        json_close(out, '}');
    }
    answer_pagination(out, &result);
}

static void
write_attempt(struct buffer *out, const struct store_attempt *attempt)
{
    json_open(out, '{');
    json_put_int(out, "number", attempt->number);
    json_put_time(out, "at", attempt->at);
    json_put_int(out, "duration_ms", attempt->duration_us / 1000);
    if (attempt->status > 0)
        json_put_int(out, "status", attempt->status);
    else
        json_put_null(out, "status");
    json_put_str(out, "error", attempt->error);
    struct str answer = utf8_cut(attempt->answer, 1024);
    json_put_str(out, "answer", utf8_valid(answer) ? answer : STR("(not text)"));
    json_close(out, '}');
}

static void
answer_one(struct call *call)
{
    struct store_delivery delivery;
    struct store_attempt *attempts = NULL;
    size_t count = 0;
    struct err err = {0};
    struct str id = call->parameters[0];
    if (!store_delivery(call->api->options.store, call->workspace_id, id, call_arena(call),
                        &delivery, &attempts, &count, &err)) {
        if (err.code == ERR_NOT_FOUND)
            call_fail(call, 404, "not_found", "There is no delivery %.*s.",
                      (int)(id.len < 100 ? id.len : 100), id.ptr);
        else
            call_fail_err(call, &err);
        return;
    }
    struct buffer *out = call_answer(call, 200);
    json_open(out, '{');
    write_members(out, &delivery);
    json_name(out, "attempts");
    json_open(out, '[');
    for (size_t i = 0; i < count; i++)
        write_attempt(out, &attempts[i]);
    json_close(out, ']');
    json_close(out, '}');
}

void
deliveries_get(struct call *call)
{
    answer_one(call);
}

void
deliveries_replay(struct call *call)
{
    struct err err = {0};
    if (notify_replay(call->api->options.notify, call->workspace_id, call->parameters[0], &err))
        answer_one(call);
    else if (err.code == ERR_NOT_FOUND)
        call_fail(call, 404, "not_found", "There is no delivery %.*s.",
                  (int)(call->parameters[0].len < 100 ? call->parameters[0].len : 100),
                  call->parameters[0].ptr);
    else
        call_fail_err(call, &err);
}
