/* A test mail: sent at once, and what the mail server said is the answer. */
#include "api/api_priv.h"

static bool
find_first(struct call *call, struct str *to_out)
{
    struct store_member *members = NULL;
    size_t count = 0;
    struct err err = {0};
    if (!store_members(call->api->options.store, call->workspace_id, call_arena(call), &members,
                       &count, &err)) {
        call_fail_err(call, &err);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (members[i].role == MEMBER_OWNER || members[i].role == MEMBER_ADMIN) {
            *to_out = members[i].email;
            return true;
        }
    }
    call_fail(call, 422, "validation_failed",
              "The to field must be sent: the workspace has no owner or admin to write to.");
    return false;
}

static bool
read_to(struct call *call, struct str *to_out)
{
    static const char *const known[] = {"to", NULL};
    if (!call_read_json(call) || !call_check_members(call, &call->json, known))
        return false;
    const struct json *to = json_get(&call->json, STR("to"));
    if (to->type == JSON_ABSENT)
        return find_first(call, to_out);
    if (to->type == JSON_STRING && mail_address_valid(to->text)) {
        *to_out = to->text;
        return true;
    }
    call_fail(call, 422, "validation_failed",
              "The to field must be a mail address such as ana@example.com (ASCII, no spaces).");
    return false;
}

void
mail_test(struct call *call)
{
    struct notify_result result;
    struct err err = {0};
    struct str to;
    if (!call->api->options.has_mail) {
        call_fail(call, 409, "conflict",
                  "No mail can be sent: the server runs without --smtp-url.");
        return;
    }
    if (!read_to(call, &to))
        return;
    if (!notify_test_mail(call->api->options.notify, call->workspace_id, to, &result, &err)) {
        call_fail_err(call, &err);
        return;
    }
    struct buffer *out = call_answer(call, 200);
    json_open(out, '{');
    json_put_str(out, "to", to);
    json_put_bool(out, "delivered", result.status >= 200 && result.status < 300);
    if (result.status > 0)
        json_put_int(out, "status", result.status);
    else
        json_put_null(out, "status");
    struct str answer = utf8_cut((struct str){result.answer, result.answer_len}, 1024);
    if (answer.len == 0)
        json_put_null(out, "answer");
    else
        json_put_str(out, "answer", utf8_valid(answer) ? answer : STR("(not text)"));
    json_put_str(out, "error", result.error[0] != '\0' ? str_from(result.error) : (struct str){0});
    json_put_int(out, "duration_ms", result.duration_us / 1000);
    json_close(out, '}');
}
