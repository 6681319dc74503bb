#include "support/rule_maker.h"

#include <stdio.h>

bool
try_rule(struct arena *arena, const char *json, struct rule *rule_out,
         struct violation *violation_out)
{
    struct violations violations = {.arena = arena};
    struct json_parser *parser = json_parser_new();
    struct json sent;
    struct err err = {0};
    struct rule rule = {0};
    bool parsed = json_parse(parser, str_from(json), arena, &sent, &err);
    must(parsed);
    bool good = detect_read_rule(&sent, false, arena, &rule, &violations);
    json_parser_free(parser);
    must(good == (violations.total == 0));
    if (good)
        *rule_out = rule;
    else
        *violation_out = violations.items[0];
    return good;
}

struct rule
make_rule(struct arena *arena, const char *id, const char *json)
{
    struct rule rule = {0};
    struct violation violation = {0};
    if (!try_rule(arena, json, &rule, &violation))
        printf("# %.*s\n", STR_ARG(violation.message));
    must(violation.message.ptr == NULL);
    rule.id = str_from(id);
    rule.workspace_id = STR("ws_00000000");
    return rule;
}

struct detect_rule *
compile_rule(const struct rule *rule, const struct rule *const *others, size_t other_count)
{
    struct err err = {0};
    struct detect_rule *compiled = detect_rule_new(rule, others, other_count, &err);
    if (compiled == NULL)
        printf("# %s\n", err.text);
    must(compiled != NULL);
    return compiled;
}
