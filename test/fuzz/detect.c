/* Any bytes as a rule and the events it sees. The first line is a rule as sent: what is accepted
 * is accepted again as it was written, and compiles. Each other line is an event in its stored
 * form, or else words that become one; the rule is stepped over all of them, and what it raises
 * must be JSON. */
#include "codec/text.h"
#include "detect/detect.h"

#include <string.h>

enum { EVENTS_MAX = 400 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct run {
    struct json_parser *parser;
    struct arena arena;
    struct detect_rule *rule;
    struct detect_table *table;
    int64_t count;
};

static bool
parse(struct run *run, struct str text, struct json *json_out)
{
    struct err err = {0};
    return json_parse(run->parser, text, &run->arena, json_out, &err);
}

static void
check_read_again(struct run *run, const struct rule *rule)
{
    struct buffer written;
    struct json sent;
    struct rule again = {0};
    struct violations violations = {.arena = &run->arena};
    buffer_init(&written, 1 << 22);
    rule_write(&written, rule, RULE_ACTIVE, false);
    must(parse(run, buffer_str(&written), &sent));
    must(detect_read_rule(&sent, false, &run->arena, &again, &violations));
    must(str_equal(again.conditions, rule->conditions));
    must(again.cooldown_minutes == rule->cooldown_minutes && again.severity == rule->severity);
    buffer_fini(&written);
}

static bool
read_rule(struct run *run, struct str line)
{
    struct json sent;
    struct rule rule = {0};
    struct violations violations = {.arena = &run->arena};
    struct err err = {0};
    if (!parse(run, line, &sent))
        return false;
    if (!detect_read_rule(&sent, false, &run->arena, &rule, &violations)) {
        must(violations.total > 0 && violations.items[0].field.ptr != NULL);
        return false;
    }
    must(violations.total == 0);
    check_read_again(run, &rule);
    rule.id = STR("rul_1");
    rule.workspace_id = STR("ws_1");
    /* A combination of one rule that is always there, so that it is not silent for want of
     * others. */
    struct rule other = {.id = STR("other"),
                         .name = STR("other"),
                         .rule_type = STR("watched_action"),
                         .conditions = STR("{\"action_pattern\":\"*\"}"),
                         .enabled = true};
    const struct rule *others[] = {&other};
    run->rule = detect_rule_new(&rule, others, 1, &err);
    must(run->rule != NULL);
    return true;
}

static void
make_event(struct str line, struct event *event)
{
    struct str rest = line;
    *event = (struct event){.id = STR("evt_1")};
    struct str *const texts[] = {
        &event->actor_id,         &event->action,     &event->ip_address,
        &event->location.country, &event->session_id, &event->user_agent,
        &event->device.browser,   &event->device.os,  &event->location.city};
    for (size_t i = 0; i < COUNT_OF(texts) && rest.ptr != NULL; i++) {
        struct str word = str_split(&rest, ' ');
        *texts[i] = word.len == 0 ? (struct str){0} : utf8_cut(word, 1 << 16);
        if (!utf8_valid(*texts[i])) /* nothing else gets this far */
            *texts[i] = STR("?");
    }
    if (event->actor_id.len == 0)
        event->actor_id = STR("a");
    if (event->action.len == 0)
        event->action = STR("login");
    event->has_address = address_parse(event->ip_address, &event->address);
    event->location.has_point = line.len % 3 != 0;
    event->location.latitude = (double)(line.len * 7 % 181) - 90;
    event->location.longitude = (double)(line.len * 13 % 361) - 180;
    event->network.asn = (int64_t)(line.len % 4);
    event->occurred_at = (int64_t)hash64(1, line.ptr, line.len) % (400 * TIME_US_PER_DAY);
}

static void
step(struct run *run, struct str line)
{
    struct event event;
    struct json stored;
    struct alert alert;
    struct err err = {0};
    if (!parse(run, line, &stored) || !event_read_stored(&stored, &run->arena, &event, &err))
        make_event(line, &event);
    event.created_at = ++run->count;
    if (!detect_step(run->rule, run->table, &event, run->count % 5 == 0, &run->arena, &alert))
        return;
    must(alert.reason.len > 0 && alert.id.len == ALERT_ID_SIZE);
    must(parse(run, alert.context, &stored) && stored.type == JSON_OBJECT);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = {(const char *)data, size};
    static struct json_parser *parser; /* kept by the thread, as everywhere */
    if (parser == NULL)
        parser = json_parser_new();
    struct run run = {.parser = parser, .table = detect_table_new(4)};
    arena_init(&run.arena, 1 << 16, 1 << 28);
    if (read_rule(&run, str_split(&rest, '\n')))
        for (int i = 0; rest.ptr != NULL && i < EVENTS_MAX; i++)
            step(&run, str_split(&rest, '\n'));
    detect_table_free(run.table);
    detect_rule_free(run.rule);
    arena_fini(&run.arena);
    return 0;
}
