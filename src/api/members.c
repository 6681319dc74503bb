/* Members: the people of a workspace. What the server does with them: mail goes to owners and
 * admins. */
#include "api/api_priv.h"
#include "model/ids.h"
#include "model/limits.h"

#include <string.h>

#define NAME_MAX_BYTES 256

static const char *const known[] = {"email", "name", "role", NULL};

static void
write_member(struct buffer *out, const struct store_member *member)
{
    json_open(out, '{');
    json_put_str(out, "id", member->id);
    json_put_str(out, "email", member->email);
    json_put_str(out, "name", member->name);
    json_put_str(out, "role", store_member_role[member->role]);
    json_put_time(out, "created_at", member->created_at);
    json_put_time(out, "updated_at", member->updated_at);
    json_close(out, '}');
}

static bool
read_all(struct call *call, struct store_member **list_out, size_t *count_out)
{
    struct err err = {0};
    if (store_members(call->api->options.store, call->workspace_id, call_arena(call), list_out,
                      count_out, &err))
        return true;
    call_fail_err(call, &err);
    return false;
}

void
members_list(struct call *call)
{
    struct store_member *members = NULL;
    size_t count = 0;
    if (!read_all(call, &members, &count))
        return;
    struct buffer *out = answer_list(call);
    for (size_t i = 0; i < count; i++)
        write_member(out, &members[i]);
    answer_all_listed(out, count);
}

/* -- what was sent ------------------------------------------------------------------ */

static void
read_email(const struct json *sent, struct store_member *member, struct violations *violations)
{
    if (sent->type == JSON_STRING && mail_address_valid(sent->text))
        member->email = sent->text;
    else if (sent->type != JSON_ABSENT || member->email.ptr == NULL)
        violations_must_be(violations, "email",
                           "a mail address such as ana@example.com (ASCII, no spaces)");
}

static void
read_name(const struct json *sent, struct store_member *member, struct violations *violations)
{
    if (sent->type == JSON_NULL)
        member->name = (struct str){0};
    else if (sent->type == JSON_STRING && sent->text.len > 0 && sent->text.len <= NAME_MAX_BYTES)
        member->name = sent->text;
    else if (sent->type != JSON_ABSENT)
        violations_must_be(violations, "name", "a string of 1 to 256 bytes, or null");
}

static void
read_role(const struct json *sent, bool is_new, struct store_member *member,
          struct violations *violations)
{
    if (sent->type == JSON_ABSENT && !is_new)
        return;
    if (sent->type != JSON_STRING || !store_member_role_parse(sent->text, &member->role))
        violations_must_be(violations, "role", "one of owner, admin, analyst, viewer");
}

/* What was sent, laid over `*member`; a zeroed one is new. */
static bool
read_member(struct call *call, struct store_member *member)
{
    struct violations violations = {.arena = call_arena(call)};
    bool is_new = member->id.ptr == NULL;
    if (!call_read_json(call) || !call_check_members(call, &call->json, known))
        return false;
    read_email(json_get(&call->json, STR("email")), member, &violations);
    read_name(json_get(&call->json, STR("name")), member, &violations);
    read_role(json_get(&call->json, STR("role")), is_new, member, &violations);
    if (violations.count == 0)
        return true;
    call_fail_fields(call, &violations);
    return false;
}

/* An owner or admin who can be written to is somebody for the starter rules to call. */
static bool
give_channels(struct call *call, const struct store_member *member, struct err *err)
{
    bool written_to = member->role == MEMBER_OWNER || member->role == MEMBER_ADMIN;
    return !written_to || !call->api->options.has_mail || starter_give_channels(call, err);
}

/* -- changing ------------------------------------------------------------------------ */

void
members_post(struct call *call)
{
    char id[ID_SIZE];
    struct err err = {0};
    struct store_member member = {.workspace_id = call->workspace_id,
                                  .created_at = call->taken_at_us,
                                  .updated_at = call->taken_at_us};
    if (!read_member(call, &member))
        return;
    id_new(call->api->options.random, "mem_", id);
    member.id = (struct str){id, sizeof id};
    if (store_member_add(call->api->options.store, &member, &err) &&
        give_channels(call, &member, &err))
        write_member(call_answer(call, 201), &member);
    else
        call_fail_err(call, &err);
}

static void
fail_missing(struct call *call)
{
    struct str id = call->parameters[0];
    call_fail(call, 404, "not_found", "There is no member %.*s.",
              (int)(id.len < 100 ? id.len : 100), id.ptr);
}

static bool
find(struct call *call, struct store_member *member_out)
{
    struct store_member *members = NULL;
    size_t count = 0;
    if (!read_all(call, &members, &count))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (str_equal(members[i].id, call->parameters[0])) {
            *member_out = members[i];
            return true;
        }
    }
    fail_missing(call);
    return false;
}

void
members_patch(struct call *call)
{
    struct store_member member;
    struct err err = {0};
    if (!find(call, &member) || !read_member(call, &member))
        return;
    member.updated_at = call->taken_at_us;
    if (store_member_update(call->api->options.store, &member, &err) &&
        give_channels(call, &member, &err))
        write_member(call_answer(call, 200), &member);
    else if (err.code == ERR_NOT_FOUND)
        fail_missing(call);
    else
        call_fail_err(call, &err);
}

void
members_delete(struct call *call)
{
    struct err err = {0};
    struct str id = call->parameters[0];
    if (!store_member_delete(call->api->options.store, call->workspace_id, id, &err)) {
        if (err.code == ERR_NOT_FOUND)
            fail_missing(call);
        else
            call_fail_err(call, &err);
        return;
    }
    struct buffer *out = call_answer(call, 200);
    json_open(out, '{');
    json_put_str(out, "id", id);
    json_put_bool(out, "deleted", true);
    json_close(out, '}');
}
