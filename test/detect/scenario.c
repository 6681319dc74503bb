/* Plays .scn files through detect/ and holds what the rules say against them. Without arguments,
 * all of test/scenario/. A line that begins with a blank goes on with the line before it; # is a
 * comment.
 *
 *   rule {…}                a rule as it is posted; "id" may name it. Before all events.
 *   subjects 3              each rule keeps so many subjects
 *   learn, live             from here on the rules learn silently; alert (as from the beginning)
 *   at TIME ACTOR ACTION k=v …    an event. TIME is RFC 3339, or +5m from the event before
 *   alert TYPE ACTOR {…}    what the event above must raise; its context must hold what is in {…},
 *                           and lack what is null there
 *
 * Keys of an event: name, type, ip, country, city, at=LAT,LON, asn, network, lists=a,b, browser,
 * os, device, agent, session, tenant, and metadata.<key>, whose value may be JSON. "quotes" keep
 * blanks. An alert that no line expects is a failure as much as one that is missing. */
#include "detect/detect.h"
#include "model/ids.h"
#include "tap.h"

#include <glob.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { RULES_MAX = 8, ALERTS_MAX = 16, METADATA_MAX = 16, LISTS_MAX = 8, LINE_MAX_BYTES = 65536 };

struct play {
    const char *file;
    int line;
    struct arena arena;
    struct json_parser *parser;
    struct rule rules[RULES_MAX];
    struct detect_rule *compiled[RULES_MAX];
    struct detect_table *tables[RULES_MAX];
    size_t rule_count, subjects_max;
    bool started, quiet;
    int64_t now_us, events;
    struct alert alerts[ALERTS_MAX];
    bool expected[ALERTS_MAX];
    size_t alert_count;
};

static void
fail(const struct play *play, const char *what, struct str detail)
{
    printf("# %.*s\n", STR_ARG(detail));
    tap_check(false, what, play->file, play->line);
}

static struct str
word(struct str *rest)
{
    while (rest->len > 0 && rest->ptr[0] == ' ')
        *rest = (struct str){rest->ptr + 1, rest->len - 1};
    struct str text = {rest->ptr, 0};
    bool quoted = false;
    while (text.len < rest->len && (quoted || rest->ptr[text.len] != ' '))
        quoted ^= rest->ptr[text.len++] == '"';
    *rest = (struct str){rest->ptr + text.len, rest->len - text.len};
    return text;
}

static struct str
unquote(struct str text)
{
    if (text.len >= 2 && text.ptr[0] == '"' && text.ptr[text.len - 1] == '"')
        return (struct str){text.ptr + 1, text.len - 2};
    return text;
}

static struct str
keep(struct play *play, struct str text)
{
    struct str kept;
    must(arena_copy(&play->arena, text, &kept));
    return kept;
}

static struct json
parse(struct play *play, struct str text)
{
    struct json json = {0};
    struct err err = {0};
    if (!json_parse(play->parser, text, &play->arena, &json, &err))
        fail(play, err.text, text);
    return json;
}

/* -- events ----------------------------------------------------------------------------- */

static double
number(struct str text)
{
    char digits[64];
    snprintf(digits, sizeof digits, "%.*s", STR_ARG(text));
    return strtod(digits, NULL);
}

/* +90s, -5m, +2h, +1d from the event before, or a time by itself. */
static bool
read_time(struct play *play, struct str text)
{
    static const struct {
        char unit;
        int64_t us;
    } units[] = {{'u', 1},
                 {'s', TIME_US_PER_SECOND},
                 {'m', TIME_US_PER_MINUTE},
                 {'h', TIME_US_PER_HOUR},
                 {'d', TIME_US_PER_DAY}};
    if (text.len < 3 || (text.ptr[0] != '+' && text.ptr[0] != '-'))
        return time_parse(text, &play->now_us);
    int64_t count;
    if (!str_to_int((struct str){text.ptr + 1, text.len - 2}, &count))
        return false;
    for (size_t i = 0; i < COUNT_OF(units); i++)
        if (units[i].unit == text.ptr[text.len - 1]) {
            play->now_us += (text.ptr[0] == '-' ? -count : count) * units[i].us;
            return true;
        }
    return false;
}

static void
read_lists(struct play *play, struct str names, struct event *event)
{
    struct str *lists = arena_array(&play->arena, LISTS_MAX, struct str);
    while (names.ptr != NULL && event->network.list_count < LISTS_MAX)
        lists[event->network.list_count++] = str_split(&names, ',');
    event->network.lists = lists;
}

static void
read_place(struct str text, struct event *event)
{
    event->location.latitude = number(str_split(&text, ','));
    event->location.longitude = number(text);
    event->location.has_point = true;
}

static void
read_metadata(struct play *play, struct str name, struct str value, struct event *event)
{
    struct json_member *members = arena_array(&play->arena, METADATA_MAX, struct json_member);
    uint32_t count = event->metadata.count;
    must(count < METADATA_MAX);
    if (count > 0)
        memcpy(members, event->metadata.members, count * sizeof *members);
    bool json = value.len > 0 && strchr("{[-0123456789tfn", value.ptr[0]) != NULL;
    struct json read = {0};
    if (!json || !json_parse(play->parser, value, &play->arena, &read, &(struct err){0}))
        read = json_of_str(unquote(value));
    members[count] = (struct json_member){name, read};
    event->metadata = (struct json){.type = JSON_OBJECT, .count = count + 1, .members = members};
}

static bool
read_field(struct play *play, struct str pair, struct event *event)
{
    struct str value = pair, name = str_split(&value, '=');
    const struct {
        struct str name;
        struct str *at;
        bool *known;
    } texts[] = {
        {STR("name"), &event->actor_name, NULL},
        {STR("type"), &event->actor_type, NULL},
        {STR("session"), &event->session_id, NULL},
        {STR("tenant"), &event->tenant_id, NULL},
        {STR("agent"), &event->user_agent, NULL},
        {STR("country"), &event->location.country, &event->location.known},
        {STR("city"), &event->location.city, &event->location.known},
        {STR("network"), &event->network.name, &event->network.known},
        {STR("browser"), &event->device.browser, &event->device.known},
        {STR("os"), &event->device.os, &event->device.known},
        {STR("device"), &event->device.type, &event->device.known},
    };
    if (value.ptr == NULL)
        return false;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        if (!str_equal(name, texts[i].name))
            continue;
        *texts[i].at = unquote(value);
        if (texts[i].known != NULL)
            *texts[i].known = true;
        return true;
    }
    if (str_equal(name, STR("ip"))) {
        char text[ADDRESS_TEXT_SIZE];
        event->has_address = address_parse(value, &event->address);
        event->ip_address = keep(play, (struct str){text, address_format(&event->address, text)});
        return event->has_address;
    }
    if (str_equal(name, STR("at")))
        read_place(value, event);
    else if (str_equal(name, STR("asn")))
        event->network.known = str_to_int(value, &event->network.asn);
    else if (str_equal(name, STR("lists")))
        read_lists(play, value, event);
    else if (str_starts(name, STR("metadata.")))
        read_metadata(play, (struct str){name.ptr + 9, name.len - 9}, value, event);
    else
        return false;
    return true;
}

/* -- what lines do ------------------------------------------------------------------------- */

static void
check_all_expected(struct play *play)
{
    for (size_t i = 0; i < play->alert_count; i++)
        if (!play->expected[i]) {
            fail(play, "an alert that the file does not expect (before this line)",
                 play->alerts[i].reason);
            printf("# %.*s %.*s\n", STR_ARG(play->alerts[i].rule_type),
                   STR_ARG(play->alerts[i].context));
        }
    play->alert_count = 0;
}

static void
start(struct play *play)
{
    const struct rule *rules[RULES_MAX];
    for (size_t i = 0; i < play->rule_count; i++)
        rules[i] = &play->rules[i];
    for (size_t i = 0; i < play->rule_count; i++) {
        struct err err = {0};
        play->compiled[i] = detect_rule_new(&play->rules[i], rules, play->rule_count, &err);
        play->tables[i] = detect_table_new(play->subjects_max);
        if (play->compiled[i] == NULL)
            fail(play, err.text, play->rules[i].name);
    }
    play->started = true;
}

static void
fold(struct play *play, const struct event *event)
{
    for (int late = 0; late < 2; late++)
        for (size_t i = 0; i < play->rule_count; i++) {
            if (play->compiled[i] == NULL || detect_rule_is_late(play->compiled[i]) != late)
                continue;
            must(play->alert_count < ALERTS_MAX);
            play->expected[play->alert_count] = false;
            play->alert_count += detect_step(play->compiled[i], play->tables[i], event, play->quiet,
                                             &play->arena, &play->alerts[play->alert_count]);
        }
}

static void
play_event(struct play *play, struct str rest)
{
    char id[ID_SIZE + 8];
    struct event event = {.created_at = ++play->events};
    if (!play->started)
        start(play);
    if (!read_time(play, word(&rest)))
        fail(play, "a time that is none", rest);
    snprintf(id, sizeof id, "evt_%036" PRId64, play->events);
    event.id = keep(play, str_from(id));
    event.occurred_at = play->now_us;
    event.actor_id = unquote(word(&rest));
    event.action = word(&rest);
    for (struct str pair = word(&rest); pair.len > 0; pair = word(&rest))
        if (!read_field(play, pair, &event))
            fail(play, "a field that the player does not know", pair);
    fold(play, &event);
}

static bool
holds(const struct json *part, const struct json *whole)
{
    if (part->type == JSON_NULL)
        return whole->type == JSON_NULL || whole->type == JSON_ABSENT;
    if (part->type != whole->type)
        return false;
    if (part->type == JSON_ARRAY) {
        if (part->count != whole->count)
            return false;
        for (uint32_t i = 0; i < part->count; i++)
            if (!holds(&part->items[i], &whole->items[i]))
                return false;
        return true;
    }
    if (part->type == JSON_OBJECT) {
        for (uint32_t i = 0; i < part->count; i++)
            if (!holds(&part->members[i].value, json_get(whole, part->members[i].name)))
                return false;
        return true;
    }
    if (part->type == JSON_NUMBER) /* to half a percent: distances come from elsewhere */
        return part->is_integer
                   ? part->number == whole->number
                   : part->number >= whole->number * 0.995 && part->number <= whole->number * 1.005;
    return part->type == JSON_STRING ? str_equal(part->text, whole->text)
                                     : part->truth == whole->truth;
}

static void
play_alert(struct play *play, struct str rest)
{
    struct str type = word(&rest), actor = unquote(word(&rest));
    struct json wanted = rest.len > 1 ? parse(play, rest) : (struct json){.type = JSON_OBJECT};
    struct str near = {0};
    for (size_t i = 0; i < play->alert_count; i++) {
        const struct alert *alert = &play->alerts[i];
        if (play->expected[i] || !str_equal(alert->rule_type, type) ||
            !str_equal(alert->actor_id, actor))
            continue;
        struct json context = parse(play, alert->context);
        if (holds(&wanted, &context)) {
            play->expected[i] = true;
            tap_check(alert->reason.len > 0, "a reason", play->file, play->line);
            return;
        }
        near = alert->context;
    }
    fail(play, "an alert that did not come", near.ptr == NULL ? STR("nothing like it") : near);
}

static void
play_rule(struct play *play, struct str text)
{
    struct violations violations = {.arena = &play->arena};
    struct json sent = parse(play, text);
    must(play->rule_count < RULES_MAX && !play->started);
    struct rule *rule = &play->rules[play->rule_count];
    if (!detect_read_rule(&sent, false, &play->arena, rule, &violations)) {
        fail(play, "a rule that is refused",
             violations.count > 0 ? violations.items[0].message : text);
        return;
    }
    char id[16];
    snprintf(id, sizeof id, "rule-%zu", play->rule_count + 1);
    const struct json *given = json_get(&sent, STR("id"));
    rule->id = given->type == JSON_STRING ? given->text : keep(play, str_from(id));
    play->rule_count++;
}

static void
play_line(struct play *play, struct str line)
{
    struct str rest = line, verb = word(&rest);
    int64_t subjects;
    if (str_equal(verb, STR("alert"))) {
        play_alert(play, rest);
        return;
    }
    check_all_expected(play);
    if (str_equal(verb, STR("rule")))
        play_rule(play, rest);
    else if (str_equal(verb, STR("at")))
        play_event(play, rest);
    else if (str_equal(verb, STR("learn")) || str_equal(verb, STR("live")))
        play->quiet = str_equal(verb, STR("learn"));
    else if (str_equal(verb, STR("subjects")) && str_to_int(word(&rest), &subjects))
        play->subjects_max = (size_t)subjects;
    else
        fail(play, "a line that the player does not know", line);
}

/* -- files ----------------------------------------------------------------------------------- */

static void
play_lines(struct play *play, FILE *file)
{
    static char line[LINE_MAX_BYTES], whole[LINE_MAX_BYTES];
    size_t len = 0;
    for (int at = 1; fgets(line, sizeof line, file) != NULL; at++) {
        struct str text = {line, strcspn(line, "\n")};
        if (text.len > 0 && text.ptr[0] == ' ' && len > 0) {
            must(len + text.len < sizeof whole);
            memcpy(whole + len, text.ptr, text.len);
            len += text.len;
            continue;
        }
        if (len > 0)
            play_line(play, keep(play, (struct str){whole, len}));
        play->line = at;
        len = text.len > 0 && text.ptr[0] != '#' ? text.len : 0;
        memcpy(whole, text.ptr, len);
    }
    if (len > 0)
        play_line(play, keep(play, (struct str){whole, len}));
    check_all_expected(play);
}

static void
play_file(const char *path)
{
    static struct play play;
    FILE *file = fopen(path, "r");
    must(file != NULL);
    play = (struct play){.file = path, .parser = json_parser_new()};
    arena_init(&play.arena, 1 << 16, 1 << 28);
    tap_failed_here = 0;
    play_lines(&play, file);
    tap_check(play.events > 0, "a scenario without events", path, 0);
    printf("%s %u - %s\n", tap_failed_here ? "not ok" : "ok", ++tap_count, path);
    tap_failed += tap_failed_here > 0;
    for (size_t i = 0; i < play.rule_count; i++) {
        detect_table_free(play.tables[i]);
        detect_rule_free(play.compiled[i]);
    }
    json_parser_free(play.parser);
    arena_fini(&play.arena);
    fclose(file);
}

int
main(int argc, char **argv)
{
    glob_t found = {0};
    for (int i = 1; i < argc; i++)
        play_file(argv[i]);
    if (argc == 1) {
        must(glob("test/scenario/*.scn", 0, NULL, &found) == 0);
        for (size_t i = 0; i < found.gl_pathc; i++)
            play_file(found.gl_pathv[i]);
        globfree(&found);
    }
    return tap_done();
}
