/* The rules that a new workspace begins with. They call nobody until there is somebody to call: the
 * first webhook, or the first owner or admin who can be written to, gives channels to those of them
 * that were left as they are. */
#include "api/api_priv.h"
#include "model/ids.h"

#include <string.h>

#define STARTER_ARENA (1024u * 1024u)
#define MEMBERS_ARENA (256u * 1024u * 1024u)
#define SETTING       "starter_rules" /* ids, as long as they wait for channels */

/* As they would be posted. */
static const char *const starter_rules[] = {
    "{\"name\":\"Login from a new country\",\"rule_type\":\"new_country\","
    "\"conditions\":{\"action_pattern\":\"auth.login\"},\"channels\":[]}",

    "{\"name\":\"Impossible travel\",\"rule_type\":\"impossible_travel\","
    "\"conditions\":{\"action_pattern\":\"auth.login\"},\"channels\":[]}",

    /* Failures of nobody in particular are told apart by what was typed, below. */
    "{\"name\":\"Brute force on an account\",\"rule_type\":\"repeated_action\","
    "\"conditions\":{\"action_pattern\":\"auth.login_failed\",\"threshold\":10,"
    "\"window_minutes\":10,"
    "\"where\":[{\"field\":\"actor_type\",\"op\":\"ne\",\"value\":\"anonymous\"}]},"
    "\"channels\":[]}",

    "{\"name\":\"Brute force on an address typed in\",\"rule_type\":\"repeated_action\","
    "\"conditions\":{\"action_pattern\":\"auth.login_failed\",\"threshold\":10,"
    "\"window_minutes\":10,\"group_by\":[\"metadata.attempted_email\"]},\"channels\":[]}",

    "{\"name\":\"Password spray from one address\",\"rule_type\":\"repeated_action\","
    "\"conditions\":{\"action_pattern\":\"auth.login_failed\",\"threshold\":10,"
    "\"window_minutes\":10,\"group_by\":[\"ip_address\"],"
    "\"distinct\":\"metadata.attempted_email\"},\"channels\":[]}",

    "{\"name\":\"Brute force that got in\",\"rule_type\":\"sequence\","
    "\"conditions\":{\"first\":{\"action_pattern\":\"auth.login_failed\",\"count\":5},"
    "\"then\":{\"action_pattern\":\"auth.login\"},\"within_minutes\":10,"
    "\"group_by\":[\"ip_address\"]},\"channels\":[],\"severity\":\"critical\"}",

    "{\"name\":\"Admin at night\",\"rule_type\":\"off_hours\","
    "\"conditions\":{\"action_pattern\":\"auth.login\",\"timezone\":\"UTC\",\"start_hour\":22,"
    "\"end_hour\":6,"
    "\"where\":[{\"field\":\"actor_type\",\"op\":\"in\",\"value\":[\"admin\",\"owner\"]}]},"
    "\"channels\":[]}",
};

static bool
read_rule(struct json_parser *parser, const char *text, struct arena *arena, struct rule *rule,
          struct err *err)
{
    struct json json;
    struct violations violations = {.arena = arena};
    if (!json_parse(parser, str_from(text), arena, &json, err))
        return false;
    must(detect_read_rule(&json, false, arena, rule, &violations)); /* ours, and tested */
    return true;
}

/* With their ids as a setting says them. */
static bool
read_rules(const struct store_workspace *workspace, struct random random, struct arena *arena,
           struct rule rules[static COUNT_OF(starter_rules)], struct buffer *ids, struct err *err)
{
    struct json_parser *parser = json_parser_new();
    bool ok = true;
    json_open(ids, '[');
    for (size_t i = 0; ok && i < COUNT_OF(starter_rules); i++) {
        int64_t at = workspace->created_at + (int64_t)i; /* alerts come in this order */
        char id[ID_SIZE];
        id_new(random, "rul_", id);
        rules[i] = (struct rule){
            .workspace_id = workspace->id, .enabled = true, .created_at = at, .updated_at = at};
        ok = read_rule(parser, starter_rules[i], arena, &rules[i], err) &&
             (arena_copy(arena, (struct str){id, sizeof id}, &rules[i].id) ||
              err_set(err, ERR_LIMIT, "the starter rules do not fit"));
        if (ok)
            json_str(ids, rules[i].id);
    }
    json_close(ids, ']');
    json_parser_free(parser);
    return ok;
}

bool
starter_add_workspace(struct store *store, struct engine *engine, struct random random,
                      const struct store_workspace *workspace, const struct store_key *key,
                      struct err *err)
{
    struct rule rules[COUNT_OF(starter_rules)];
    struct arena arena;
    struct buffer ids;
    arena_init(&arena, 16 * 1024, STARTER_ARENA);
    buffer_init(&ids, 4096);
    bool ok = read_rules(workspace, random, &arena, rules, &ids, err);
    struct store_beginning with = {.key = key,
                                   .rules = rules,
                                   .rule_count = COUNT_OF(rules),
                                   .setting = STR(SETTING),
                                   .json = buffer_str(&ids)};
    ok = ok && store_workspace_add(store, workspace, &with, err);
    if (ok)
        rules_put_in_force(engine, rules, COUNT_OF(rules));
    buffer_fini(&ids);
    arena_fini(&arena);
    return ok;
}

struct waiting {
    struct arena *arena;
    struct str ids;
};

static void
take_setting(void *self, struct str workspace_id, struct str name, struct str json)
{
    struct waiting *waiting = self;
    (void)workspace_id;
    if (str_equal(name, STR(SETTING)))
        must(arena_copy(waiting->arena, json, &waiting->ids));
}

/* Those that are given some, in the arena. */
static bool
give_channels(struct store *store, struct str workspace_id, int64_t now_us, struct arena *arena,
              struct rule **given_out, size_t *count_out, struct err *err)
{
    struct waiting waiting = {.arena = arena};
    struct rule *rules = NULL;
    size_t count = 0;
    *count_out = 0;
    if (!store_settings(store, workspace_id, take_setting, &waiting, err))
        return false;
    if (waiting.ids.len <= 2) /* "[]" */
        return true;
    if (!store_rules(store, workspace_id, arena, &rules, &count, err))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (rules[i].channels != 0 || !text_contains_nocase(waiting.ids, rules[i].id))
            continue;
        rules[i].channels = CHANNEL_WEBHOOK | CHANNEL_EMAIL;
        rules[i].updated_at = now_us;
        if (!store_rule_put(store, &rules[i], err))
            return false;
        rules[(*count_out)++] = rules[i];
    }
    *given_out = rules;
    return store_setting_put(store, workspace_id, STR(SETTING), STR("[]"), err);
}

bool
starter_give_channels(struct call *call, struct err *err)
{
    struct rule *given = NULL;
    size_t count = 0;
    if (!give_channels(call->api->options.store, call->workspace_id, call->taken_at_us,
                       call_arena(call), &given, &count, err))
        return false;
    if (count > 0)
        rules_put_in_force(call->api->options.engine, given, count);
    return true;
}

bool
api_mail_is_there(struct store *store, struct clock clock, struct err *err)
{
    struct store_member *members = NULL;
    struct rule *given = NULL;
    size_t count = 0, given_count = 0;
    struct arena arena;
    arena_init(&arena, 16 * 1024, MEMBERS_ARENA);
    bool ok = store_members(store, (struct str){0}, &arena, &members, &count, err);
    for (size_t i = 0; ok && i < count; i++)
        if (members[i].role == MEMBER_OWNER || members[i].role == MEMBER_ADMIN)
            ok = give_channels(store, members[i].workspace_id, clock.wall_us(clock.self), &arena,
                               &given, &given_count, err);
    arena_fini(&arena);
    return ok;
}
