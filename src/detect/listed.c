/* listed - which rules a combination may list, asked before it is stored. */
#include "detect/detect_priv.h"

enum { ARENA_FIRST = 4096, ARENA_MAX = 1 << 20 };

/* The ids under `all`, in the arena; JSON_ABSENT when the rule is no combination. */
static struct json
listed_by(const struct rule *rule, struct json_parser *parser, struct arena *arena)
{
    struct json conditions;
    struct err err = {0};
    const struct detector *type = detector_find(rule->rule_type);
    if (type == NULL || !type->late ||
        !json_parse(parser, rule->conditions, arena, &conditions, &err))
        return (struct json){0};
    return *json_get(&conditions, STR("all"));
}

static bool
holds(const struct json *ids, struct str id)
{
    for (uint32_t i = 0; ids->type == JSON_ARRAY && i < ids->count; i++)
        if (ids->items[i].type == JSON_STRING && str_equal(ids->items[i].text, id))
            return true;
    return false;
}

bool
detect_lists(const struct rule *rule, struct str rule_id)
{
    struct arena arena;
    const struct detector *type = detector_find(rule->rule_type);
    if (type == NULL || !type->late)
        return false;
    struct json_parser *parser = json_parser_new();
    arena_init(&arena, ARENA_FIRST, ARENA_MAX);
    struct json ids = listed_by(rule, parser, &arena);
    bool listed = holds(&ids, rule_id);
    arena_fini(&arena);
    json_parser_free(parser);
    return listed;
}

static bool
check_one(struct reading *reading, const struct rule *rule, size_t at, struct str id,
          const struct rule *other)
{
    struct str path = path_item(reading, STR("conditions.all"), at);
    if (rule->id.len > 0 && str_equal(id, rule->id))
        return reading_complain(reading, path, "names the rule itself");
    if (other == NULL)
        return reading_complain(reading, path, "names a rule that does not exist");
    const struct detector *type = detector_find(other->rule_type);
    return (type != NULL && !type->late) ||
           reading_complain(reading, path,
                            "names a combination, and combinations list plain rules");
}

bool
detect_check_listed(const struct rule *rule, const struct rule *const *others, size_t other_count,
                    struct violations *violations)
{
    struct arena arena;
    struct reading reading = {&arena, violations};
    struct json_parser *parser = json_parser_new();
    arena_init(&arena, ARENA_FIRST, ARENA_MAX);
    bool good = true;
    struct json ids = listed_by(rule, parser, &arena);
    for (uint32_t i = 0; ids.type == JSON_ARRAY && i < ids.count; i++) {
        const struct rule *other = NULL;
        for (size_t j = 0; j < other_count && other == NULL; j++)
            if (str_equal(others[j]->id, ids.items[i].text))
                other = others[j];
        good &= check_one(&reading, rule, i, ids.items[i].text, other);
    }
    for (size_t j = 0; j < other_count && ids.type == JSON_ARRAY; j++) {
        struct json theirs = listed_by(others[j], parser, &arena);
        if (!str_equal(others[j]->id, rule->id) && holds(&theirs, rule->id))
            good = reading_complain(&reading, STR("rule_type"),
                                    "cannot be combination: another combination lists the rule");
    }
    arena_fini(&arena);
    json_parser_free(parser);
    return good;
}
