/* replay_rules - the rules of a file, each with a table of its own. */
#include "main/main_priv.h"
#include "model/ids.h"

#include <fcntl.h>
#include <unistd.h>

#define RULES_FILE_MAX (64u * 1024u * 1024u)
#define READ_BYTES     (1u << 20)

struct reading {
    const char *path;
    struct arena *arena;
    struct random random;
    struct rule *rules;
    size_t count;
};

static bool
read_file(const char *path, struct buffer *text, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(err, ERR_INPUT, "%s: %m", path);
    for (;;) {
        char *room = buffer_reserve(text, READ_BYTES);
        ssize_t got = room != NULL ? read(fd, room, READ_BYTES) : 0;
        if (room == NULL || got < 0) {
            close(fd);
            return room == NULL ? err_set(err, ERR_INPUT, "%s: is larger than %u bytes", path,
                                          RULES_FILE_MAX)
                                : err_set(err, ERR_INPUT, "%s: %m", path);
        }
        if (got == 0)
            break;
        text->len += (size_t)got;
    }
    close(fd);
    return true;
}

/* What GET /rules prints beside what can be posted. */
static bool
is_read_only(struct str name)
{
    static const char *const names[] = {"id", "status", "created_at", "updated_at", "version"};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (str_equal(name, str_from(names[i])))
            return true;
    return false;
}

static struct json
without_read_only(const struct json *sent, struct arena *arena)
{
    struct json kept = *sent;
    struct json_member *members = arena_array(arena, sent->count, struct json_member);
    must(members != NULL);
    kept.count = 0;
    for (size_t i = 0; i < sent->count; i++)
        if (!is_read_only(sent->members[i].name))
            members[kept.count++] = sent->members[i];
    kept.members = members;
    return kept;
}

static bool
read_rule(const struct reading *reading, const struct json *sent, size_t number, struct err *err)
{
    struct arena *arena = reading->arena;
    struct rule *rule = &reading->rules[number];
    struct violations violations = {.arena = arena};
    const char *path = reading->path;
    if (sent->type != JSON_OBJECT)
        return err_set(err, ERR_INPUT, "%s: rule %zu is no object", path, number + 1);
    const struct json *id = json_get(sent, STR("id"));
    struct json postable = without_read_only(sent, arena);
    *rule = (struct rule){.workspace_id = STR("ws_replay"), .enabled = true};
    if (!detect_read_rule(&postable, false, arena, rule, &violations))
        return err_set(err, ERR_INPUT, "%s: rule %zu: %.*s: %.*s", path, number + 1,
                       STR_ARG(violations.items[0].field), STR_ARG(violations.items[0].message));
    char fresh[ID_SIZE];
    id_new(reading->random, "rul_", fresh);
    rule->id = id->type == JSON_STRING ? id->text : (struct str){fresh, sizeof fresh};
    return arena_copy(arena, rule->id, &rule->id) || err_set(err, ERR_INPUT, "%s: too large", path);
}

static bool
compile(const struct reading *reading, struct running_rules *running, struct err *err)
{
    const struct rule **others = arena_array(reading->arena, reading->count, const struct rule *);
    running->items = arena_array(reading->arena, reading->count, struct running);
    running->pairs = arena_array(reading->arena, reading->count, struct detect_pair);
    must(others != NULL && running->items != NULL && running->pairs != NULL);
    for (size_t i = 0; i < reading->count; i++)
        others[i] = &reading->rules[i];
    /* Combinations fold after the plain rules. */
    for (int late = 0; late < 2; late++) {
        for (size_t i = 0; i < reading->count; i++) {
            struct detect_rule *rule =
                detect_rule_new(&reading->rules[i], others, reading->count, err);
            if (rule == NULL)
                return err_prefix(err, "%s: rule %zu", reading->path, i + 1);
            if (!reading->rules[i].enabled || detect_rule_is_late(rule) != (late == 1)) {
                detect_rule_free(rule);
                continue;
            }
            struct detect_table *table = detect_table_new(DETECT_SUBJECTS_MAX);
            running->items[running->count] = (struct running){rule, table};
            running->pairs[running->count++] = (struct detect_pair){rule, table};
        }
    }
    return true;
}

static bool
read_list(struct reading *reading, const struct json *json, struct err *err)
{
    const struct json *list = json->type == JSON_ARRAY ? json : json_get(json, STR("rules"));
    if (list->type == JSON_ABSENT)
        list = json_get(json, STR("data")); /* as GET /rules prints them */
    if (list->type != JSON_ARRAY)
        return err_set(err, ERR_INPUT, "%s: wants {\"rules\":[…]} or a list of rules",
                       reading->path);
    reading->rules = arena_array(reading->arena, list->count, struct rule);
    must(reading->rules != NULL);
    reading->count = list->count;
    for (size_t i = 0; i < list->count; i++)
        if (!read_rule(reading, &list->items[i], i, err))
            return false;
    return true;
}

bool
running_read(struct running_rules *rules, const char *path, struct random random, struct err *err)
{
    struct reading reading = {.path = path, .arena = &rules->arena, .random = random};
    struct json_parser *parser = json_parser_new();
    struct buffer text;
    struct json json;
    arena_init(&rules->arena, 64 * 1024, RULES_FILE_MAX);
    buffer_init(&text, RULES_FILE_MAX);
    bool parsed = read_file(path, &text, err) &&
                  json_parse(parser, buffer_str(&text), &rules->arena, &json, err);
    buffer_fini(&text);
    json_parser_free(parser);
    if (!parsed)
        return err_prefix(err, "replay");
    return read_list(&reading, &json, err) && compile(&reading, rules, err);
}

void
running_free(struct running_rules *rules)
{
    for (size_t i = 0; i < rules->count; i++) {
        detect_rule_free(rules->items[i].rule);
        detect_table_free(rules->items[i].table);
    }
    arena_fini(&rules->arena);
    *rules = (struct running_rules){0};
}
