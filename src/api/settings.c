/* Settings of a workspace, and the workspaces themselves. */
#include "api/api_priv.h"
#include "model/ids.h"
#include "model/limits.h"

#include <string.h>

#define WORKSPACE_NAME_MAX 100
#define SETTING_MAX        262144

#define KEYS         "fusionauth_keys"
#define TRANSACTIONS "transactions"

/* A row per setting: what it is where nobody set it, and what it may be. */
static const struct {
    const char *name;
    const char *fallback; /* JSON */
    enum json_type type;
} settings[] = {
    {"address_from_peer", "false", JSON_BOOL},
    {KEYS, "[]", JSON_ARRAY},
    {TRANSACTIONS, "{}", JSON_OBJECT},
};

struct values {
    struct call *call;
    struct str json[COUNT_OF(settings)];
};

static void
take(void *self, struct str workspace_id, struct str name, struct str json)
{
    struct values *values = self;
    (void)workspace_id;
    for (size_t i = 0; i < COUNT_OF(settings); i++)
        if (str_equal(name, str_from(settings[i].name)))
            must(arena_copy(call_arena(values->call), json, &values->json[i]));
}

static void
write_setting(struct call *call, struct buffer *out, const char *name, struct str value)
{
    if (strcmp(name, TRANSACTIONS) == 0) {
        json_name(out, name);
        transaction_write_setting(call, out, value);
        return;
    }
    if (strcmp(name, KEYS) != 0) {
        json_put_raw(out, name, value);
        return;
    }
    struct tools tools = tools_take(call->api);
    struct json keys = {0};
    struct err err = {0};
    if (!json_parse(tools.parser, value, call_arena(call), &keys, &err))
        keys = (struct json){0};
    tools_give(call->api, tools);
    json_name(out, name);
    signatures_write_setting(out, &keys);
}

void
settings_get(struct call *call)
{
    struct values values = {.call = call};
    struct err err = {0};
    for (size_t i = 0; i < COUNT_OF(settings); i++)
        values.json[i] = str_from(settings[i].fallback);
    if (!store_settings(call->api->options.store, call->workspace_id, take, &values, &err)) {
        call_fail_err(call, &err);
        return;
    }
    struct buffer *out = call_answer(call, 200);
    json_open(out, '{');
    for (size_t i = 0; i < COUNT_OF(settings); i++)
        write_setting(call, out, settings[i].name, values.json[i]);
    json_close(out, '}');
}

static bool
put(struct call *call, const struct json_member *member)
{
    struct buffer text;
    struct err err = {0};
    buffer_init(&text, SETTING_MAX);
    if (str_equal(member->name, STR(TRANSACTIONS)))
        transaction_merge_setting(call, &member->value, &text);
    else
        json_write(&text, &member->value);
    if (text.ran_out) {
        buffer_fini(&text);
        call_fail(call, 413, "body_too_large", "The %.*s field is too large.",
                  STR_ARG(member->name));
        return false;
    }
    bool ok = store_setting_put(call->api->options.store, call->workspace_id, member->name,
                                buffer_str(&text), &err);
    buffer_fini(&text);
    if (!ok)
        call_fail_err(call, &err);
    return ok;
}

static bool
check(struct call *call, const struct json_member *member)
{
    if (str_equal(member->name, STR(KEYS)))
        return signatures_check(call, &member->value);
    if (str_equal(member->name, STR(TRANSACTIONS)))
        return transaction_check_setting(call, &member->value);
    for (size_t i = 0; i < COUNT_OF(settings); i++)
        if (str_equal(member->name, str_from(settings[i].name)) &&
            member->value.type == settings[i].type)
            return true;
    call_fail(call, 422, "validation_failed", "The %.*s field must be true or false.",
              STR_ARG(member->name));
    return false;
}

void
settings_patch(struct call *call)
{
    const char *known[COUNT_OF(settings) + 1] = {NULL};
    for (size_t i = 0; i < COUNT_OF(settings); i++)
        known[i] = settings[i].name;
    if (!call_read_json(call) || !call_check_members(call, &call->json, known))
        return;
    for (size_t i = 0; i < call->json.count; i++)
        if (!check(call, &call->json.members[i]))
            return;
    for (size_t i = 0; i < call->json.count; i++)
        if (!put(call, &call->json.members[i]))
            return;
    struct err err = {0};
    if (access_refresh(call->api, &err))
        settings_get(call);
    else
        call_fail_err(call, &err);
}

/* -- workspaces -------------------------------------------------------------------- */

static void
write_workspace(struct buffer *out, const struct store_workspace *workspace)
{
    json_put_str(out, "id", workspace->id);
    json_put_str(out, "name", workspace->name);
    json_put_time(out, "created_at", workspace->created_at);
}

void
workspaces_list(struct call *call)
{
    struct store_workspace *list = NULL;
    size_t count = 0;
    struct err err = {0};
    if (!store_workspaces(call->api->options.store, call_arena(call), &list, &count, &err)) {
        call_fail_err(call, &err);
        return;
    }
    struct buffer *out = answer_list(call);
    for (size_t i = 0; i < count; i++) {
        json_open(out, '{');
        write_workspace(out, &list[i]);
        json_close(out, '}');
    }
    answer_all_listed(out, count);
}

static bool
read_name(struct call *call, struct str *name_out)
{
    static const char *const known[] = {"name", NULL};
    if (!call_read_json(call) || !call_check_members(call, &call->json, known))
        return false;
    const struct json *name = json_get(&call->json, STR("name"));
    if (name->type != JSON_STRING || name->text.len == 0 || name->text.len > WORKSPACE_NAME_MAX) {
        call_fail(call, 422, "validation_failed",
                  "The name field must be a string of 1 to %d bytes.", WORKSPACE_NAME_MAX);
        return false;
    }
    *name_out = name->text;
    return true;
}

void
workspaces_post(struct call *call)
{
    char id[WORKSPACE_ID_SIZE], key_id[ID_SIZE], text[API_TOKEN_SIZE];
    struct store *store = call->api->options.store;
    struct random random = call->api->options.random;
    struct store_workspace workspace = {.created_at = call->taken_at_us};
    struct err err = {0};
    if (!read_name(call, &workspace.name))
        return;
    id_new_workspace(random, id);
    workspace.id = (struct str){id, sizeof id};
    struct store_key key =
        key_make_admin(random, call->taken_at_us, (struct str){0}, workspace.id, key_id, text);
    if (!starter_add_workspace(store, call->api->options.engine, random, &workspace, &key, &err) ||
        !access_refresh(call->api, &err)) {
        call_fail_err(call, &err);
        return;
    }
    struct buffer *out = call_answer(call, 201);
    json_open(out, '{');
    write_workspace(out, &workspace);
    json_put_str(out, "admin_key", str_from(text));
    json_close(out, '}');
}
