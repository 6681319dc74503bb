/* Rules: what somebody asks to be told about. The store holds what is asked for; the engine's
 * learner makes it what is in force. */
#include "api/api_priv.h"
#include "model/ids.h"
#include "model/limits.h"

#define IN_FORCE_WAIT_US (2 * 1000 * 1000) /* how long an answer waits for a rule to learn */

void
rules_put_in_force(struct engine *engine, const struct rule *rules, size_t count)
{
    engine_rules_changed(engine);
    for (size_t i = 0; i < count; i++)
        if (!engine_wait_rule(engine, rules[i].id, rules[i].version, IN_FORCE_WAIT_US))
            return;
}

static void
write_rule(struct call *call, struct buffer *out, const struct rule *rule)
{
    rule_write(out, rule, engine_rule_status(call->api->options.engine, rule), false);
}

void
rules_list(struct call *call)
{
    struct rule *rules = NULL;
    size_t count = 0;
    struct err err = {0};
    if (!store_rules(call->api->options.store, call->workspace_id, call_arena(call), &rules, &count,
                     &err)) {
        call_fail_err(call, &err);
        return;
    }
    struct buffer *out = answer_list(call);
    for (size_t i = 0; i < count; i++)
        write_rule(call, out, &rules[i]);
    answer_all_listed(out, count);
}

static bool
find(struct call *call, struct rule *rule)
{
    struct err err = {0};
    struct str id = call->parameters[0];
    if (store_rule(call->api->options.store, call->workspace_id, id, call_arena(call), rule, &err))
        return true;
    if (err.code == ERR_NOT_FOUND)
        call_fail(call, 404, "not_found", "There is no rule %.*s.",
                  (int)(id.len < 100 ? id.len : 100), id.ptr);
    else
        call_fail_err(call, &err);
    return false;
}

void
rules_get(struct call *call)
{
    struct rule rule;
    if (find(call, &rule))
        write_rule(call, call_answer(call, 200), &rule);
}

/* A combination may only list plain rules of its own workspace. */
static bool
check_listed(struct call *call, const struct rule *rule, const struct rule *rules, size_t count)
{
    struct violations violations = {.arena = call_arena(call)};
    const struct rule **others = arena_array(call_arena(call), count, const struct rule *);
    must(others != NULL);
    for (size_t i = 0; i < count; i++)
        others[i] = &rules[i];
    if (detect_check_listed(rule, others, count, &violations))
        return true;
    call_fail_fields(call, &violations);
    return false;
}

bool
rule_read_sent(struct call *call, const struct json *sent, bool patch, struct rule *rule)
{
    struct violations violations = {.arena = call_arena(call)};
    struct rule *rules = NULL;
    size_t count = 0;
    struct err err = {0};
    if (!detect_read_rule(sent, patch, call_arena(call), rule, &violations)) {
        call_fail_fields(call, &violations);
        return false;
    }
    if (!store_rules(call->api->options.store, call->workspace_id, call_arena(call), &rules, &count,
                     &err)) {
        call_fail_err(call, &err);
        return false;
    }
    return check_listed(call, rule, rules, count);
}

static void
put_and_answer(struct call *call, struct rule *rule, int status)
{
    struct err err = {0};
    rule->updated_at = call->taken_at_us;
    if (!store_rule_put(call->api->options.store, rule, &err)) {
        call_fail_err(call, &err);
        return;
    }
    /* With little history it is in force before this answer; otherwise the status says
     * `learning`. */
    rules_put_in_force(call->api->options.engine, rule, 1);
    write_rule(call, call_answer(call, status), rule);
}

void
rules_post(struct call *call)
{
    char id[ID_SIZE];
    struct rule rule = {.workspace_id = call->workspace_id, .enabled = true};
    if (!call_read_json(call) || !rule_read_sent(call, &call->json, false, &rule))
        return;
    id_new(call->api->options.random, "rul_", id);
    rule.id = (struct str){id, sizeof id};
    rule.created_at = call->taken_at_us;
    put_and_answer(call, &rule, 201);
}

static void
replace(struct call *call, bool patch)
{
    struct rule old;
    if (!call_read_json(call) || !find(call, &old))
        return;
    struct rule rule = old;
    if (!patch)
        rule = (struct rule){.workspace_id = old.workspace_id,
                             .id = old.id,
                             .enabled = true,
                             .version = old.version,
                             .fold_version = old.fold_version,
                             .created_at = old.created_at};
    if (rule_read_sent(call, &call->json, patch, &rule))
        put_and_answer(call, &rule, 200);
}

void
rules_put(struct call *call)
{
    replace(call, false);
}

void
rules_patch(struct call *call)
{
    replace(call, true);
}

/* True (and answered with 409) when a combination lists this rule. */
static bool
is_listed(struct call *call, struct str id)
{
    struct rule *rules = NULL;
    size_t count = 0;
    struct err err = {0};
    if (!store_rules(call->api->options.store, call->workspace_id, call_arena(call), &rules, &count,
                     &err)) {
        call_fail_err(call, &err);
        return true;
    }
    for (size_t i = 0; i < count; i++) {
        if (!detect_lists(&rules[i], id))
            continue;
        call_fail(call, 409, "conflict", "The rule is listed by the combination %.*s.",
                  STR_ARG(rules[i].id));
        return true;
    }
    return false;
}

void
rules_delete(struct call *call)
{
    struct rule rule;
    struct err err = {0};
    if (!find(call, &rule) || is_listed(call, rule.id))
        return;
    if (!store_rule_delete(call->api->options.store, call->workspace_id, rule.id, &err)) {
        call_fail_err(call, &err);
        return;
    }
    rule.version++; /* what is still in force is older */
    rules_put_in_force(call->api->options.engine, &rule, 1);
    struct buffer *out = call_answer(call, 200);
    json_open(out, '{');
    json_put_str(out, "id", rule.id);
    json_put_bool(out, "deleted", true);
    json_close(out, '}');
}

void
rules_types(struct call *call)
{
    struct buffer *out = call_answer(call, 200);
    json_open(out, '{');
    json_name(out, "data");
    detect_write_types(out);
    json_close(out, '}');
}
