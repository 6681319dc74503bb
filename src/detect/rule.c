/* rule - a rule made ready to run: its conditions read into the struct of its type, a combination's
 * listed rules beside it. */
#include "detect/detect_priv.h"

#include <string.h>

enum { ROWS_MAX = 24, ARENA_FIRST = 2048, ARENA_MAX = 32 << 20 };

#define ALIGNED(size) (((size) + 15) & ~(size_t)15)

bool
rule_conditions_read(struct reading *reading, const struct detector *type, const struct json *sent,
                     struct filter *filter_out, void **conditions_out, struct json *whole_out)
{
    struct condition rows[ROWS_MAX];
    size_t count = COUNT_OF(common_conditions);
    must(count + type->condition_count <= COUNT_OF(rows));
    memcpy(rows, common_conditions, sizeof common_conditions);
    if (type->pattern != NULL) {
        rows[0].required = false;
        rows[0].fallback = type->pattern;
    }
    for (size_t i = 0; i < type->condition_count; i++) {
        rows[count] = type->conditions[i];
        rows[count++].offset += ALIGNED(sizeof(struct filter));
    }
    char *block = reading_alloc(reading, 1, ALIGNED(sizeof(struct filter)) + type->size);
    if (block == NULL)
        return false;
    if (!conditions_read(reading, rows, count, STR("conditions"), sent, block, whole_out))
        return false;
    void *conditions = block + ALIGNED(sizeof(struct filter));
    if (type->check != NULL && !type->check(reading, conditions))
        return false;
    memcpy(filter_out, block, sizeof *filter_out);
    *conditions_out = conditions;
    return !reading->arena->ran_out;
}

static bool
compile(struct detect_rule *rule, struct json_parser *parser, struct err *err)
{
    struct json sent, whole;
    struct violations violations = {.arena = &rule->arena};
    struct reading reading = {&rule->arena, &violations};
    if (!json_parse(parser, rule->rule->conditions, &rule->arena, &sent, err))
        return false;
    if (rule_conditions_read(&reading, rule->type, &sent, &rule->filter, &rule->conditions, &whole))
        return true;
    struct str message =
        violations.count > 0 ? violations.items[0].message : STR("The conditions are too large.");
    return err_set(err, ERR_INPUT, "%.*s", STR_ARG(message));
}

static const struct rule *
find_rule(const struct rule *const *rules, size_t count, struct str id)
{
    for (size_t i = 0; i < count; i++)
        if (str_equal(rules[i]->id, id))
            return rules[i];
    return NULL;
}

static bool
add_children(struct detect_rule *rule, const struct rule *const *others, size_t other_count,
             struct err *err)
{
    const struct texts *all = rule->conditions; /* a combination's begin with them */
    must(all->count <= CHILDREN_MAX);
    rule->child_count = all->count;
    for (size_t i = 0; i < all->count; i++) {
        const struct rule *other = find_rule(others, other_count, all->items[i]);
        if (other == NULL || !other->enabled) {
            rule->silenced = true;
            continue;
        }
        const struct detector *type = detector_find(other->rule_type);
        if (type != NULL && type->late)
            return err_set(err, ERR_INPUT, "it lists a combination");
        rule->children[i] = detect_rule_new(other, NULL, 0, err);
        if (rule->children[i] == NULL)
            return false;
    }
    return true;
}

struct detect_rule *
detect_rule_new(const struct rule *rule, const struct rule *const *others, size_t other_count,
                struct err *err)
{
    const struct detector *type = detector_find(rule->rule_type);
    if (type == NULL) {
        err_set(err, ERR_INPUT, "detect: rule %.*s: no rule type %.*s", STR_ARG(rule->id),
                STR_ARG(rule->rule_type));
        return NULL;
    }
    struct json_parser *parser = json_parser_new();
    struct detect_rule *made = base_alloc(1, sizeof *made);
    made->type = type;
    made->rule = rule_copy(rule);
    made->cooldown_us = rule->cooldown_minutes * TIME_US_PER_MINUTE;
    arena_init(&made->arena, ARENA_FIRST, ARENA_MAX);
    bool good =
        compile(made, parser, err) && (!type->late || add_children(made, others, other_count, err));
    json_parser_free(parser);
    if (good)
        return made;
    err_prefix(err, "detect: rule %.*s", STR_ARG(rule->id));
    detect_rule_free(made);
    return NULL;
}

void
detect_rule_free(struct detect_rule *rule)
{
    if (rule == NULL)
        return;
    for (size_t i = 0; i < rule->child_count; i++)
        detect_rule_free(rule->children[i]);
    rule_free(rule->rule);
    arena_fini(&rule->arena);
    base_free(rule);
}

const struct rule *
detect_rule_of(const struct detect_rule *rule)
{
    return rule->rule;
}

int64_t
detect_rule_memory_us(const struct detect_rule *rule)
{
    int64_t most = rule->type->memory_us == NULL ? 0 : rule->type->memory_us(rule->conditions);
    for (size_t i = 0; i < rule->child_count; i++) {
        if (rule->children[i] == NULL)
            continue;
        int64_t below = detect_rule_memory_us(rule->children[i]);
        if (below > most)
            most = below;
    }
    return most;
}

bool
detect_rule_is_late(const struct detect_rule *rule)
{
    return rule->type->late;
}
