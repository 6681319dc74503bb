/* tocsin replay: folds rules over events from a file, without a server. One alert a line on
 * standard output, a summary on standard error. */
#include "detect/detect.h"
#include "enrich/enrich.h"
#include "intake/intake.h"
#include "main/main_priv.h"
#include "model/ids.h"
#include "model/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RULES_FILE_MAX (64u * 1024u * 1024u)
#define LINE_MAX_BYTES (4u * 1024u * 1024u)
#define ARENA_MAX      (64u * 1024u * 1024u)
#define READ_BYTES     (1u << 20)
#define OUT_BYTES      (1u << 16)
#define COMPLAINTS_MAX 20 /* more refused lines are only counted */

struct running {
    struct detect_rule *rule;
    struct detect_table *table;
};

/* Keys seen, as 64-bit hashes in open addressing: a collision in 2^64 may drop one event of a
 * file. */
struct seen {
    uint64_t *slots;
    size_t slot_count, count;
};

struct replay {
    const struct options *options;
    struct arena rules_arena, arena;
    struct rule *rules;
    size_t rule_count;
    struct running *running;
    struct json_parser *parser;
    struct enrich *enrich;
    struct enrich_reader *reader;
    struct clock clock;
    struct random random;
    struct seen seen;
    struct buffer out;
    int64_t last_stamp;
    uint64_t line_number, events, refused, duplicates, alerts;
};

/* -- rules ------------------------------------------------------------------------- */

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
read_rule(struct replay *replay, const struct json *sent, size_t number, struct err *err)
{
    struct arena *arena = &replay->rules_arena;
    struct rule *rule = &replay->rules[number];
    struct violations violations = {.arena = arena};
    const char *path = replay->options->rules;
    if (sent->type != JSON_OBJECT)
        return err_set(err, ERR_INPUT, "%s: rule %zu is no object", path, number + 1);
    const struct json *id = json_get(sent, STR("id"));
    struct json postable = without_read_only(sent, arena);
    *rule = (struct rule){.workspace_id = STR("ws_replay"), .enabled = true};
    if (!detect_read_rule(&postable, false, arena, rule, &violations))
        return err_set(err, ERR_INPUT, "%s: rule %zu: %.*s: %.*s", path, number + 1,
                       STR_ARG(violations.items[0].field), STR_ARG(violations.items[0].message));
    char fresh[ID_SIZE];
    id_new(replay->random, "rul_", fresh);
    rule->id = id->type == JSON_STRING ? id->text : (struct str){fresh, sizeof fresh};
    return arena_copy(arena, rule->id, &rule->id) || err_set(err, ERR_INPUT, "%s: too large", path);
}

static bool
compile(struct replay *replay, struct err *err)
{
    struct arena *arena = &replay->rules_arena;
    const struct rule **others = arena_array(arena, replay->rule_count, const struct rule *);
    replay->running = arena_array(arena, replay->rule_count, struct running);
    must(others != NULL && replay->running != NULL);
    size_t count = 0;
    for (size_t i = 0; i < replay->rule_count; i++)
        others[i] = &replay->rules[i];
    /* Combinations fold after the plain rules. */
    for (int late = 0; late < 2; late++) {
        for (size_t i = 0; i < replay->rule_count; i++) {
            struct detect_rule *rule =
                detect_rule_new(&replay->rules[i], others, replay->rule_count, err);
            if (rule == NULL)
                return err_prefix(err, "%s: rule %zu", replay->options->rules, i + 1);
            if (!replay->rules[i].enabled || detect_rule_is_late(rule) != (late == 1)) {
                detect_rule_free(rule);
                continue;
            }
            replay->running[count++] =
                (struct running){rule, detect_table_new(DETECT_SUBJECTS_MAX)};
        }
    }
    replay->rule_count = count;
    return true;
}

static bool
read_rules(struct replay *replay, struct err *err)
{
    struct buffer text;
    struct json json;
    buffer_init(&text, RULES_FILE_MAX);
    bool ok = read_file(replay->options->rules, &text, err) &&
              json_parse(replay->parser, buffer_str(&text), &replay->rules_arena, &json, err);
    buffer_fini(&text);
    if (!ok)
        return err_prefix(err, "replay");
    const struct json *list = json.type == JSON_ARRAY ? &json : json_get(&json, STR("rules"));
    if (list->type == JSON_ABSENT)
        list = json_get(&json, STR("data")); /* as GET /rules prints them */
    if (list->type != JSON_ARRAY)
        return err_set(err, ERR_INPUT, "%s: wants {\"rules\":[…]} or a list of rules",
                       replay->options->rules);
    replay->rules = arena_array(&replay->rules_arena, list->count, struct rule);
    must(replay->rules != NULL);
    replay->rule_count = list->count;
    for (size_t i = 0; i < list->count; i++)
        if (!read_rule(replay, &list->items[i], i, err))
            return false;
    return compile(replay, err);
}

/* -- events --------------------------------------------------------------------------- */

static bool
seen_before(struct seen *seen, struct str tenant, struct str key)
{
    uint64_t hash = hash64(hash64(1, tenant.ptr, tenant.len), key.ptr, key.len);
    hash += hash == 0;
    if (seen->count * 2 >= seen->slot_count) {
        struct seen larger = {.slot_count = seen->slot_count > 0 ? seen->slot_count * 2 : 1024};
        larger.slots = base_alloc(larger.slot_count, sizeof *larger.slots);
        larger.count = seen->count;
        for (size_t i = 0; i < seen->slot_count; i++) {
            if (seen->slots[i] == 0)
                continue;
            size_t at = (size_t)seen->slots[i] & (larger.slot_count - 1);
            while (larger.slots[at] != 0)
                at = (at + 1) & (larger.slot_count - 1);
            larger.slots[at] = seen->slots[i];
        }
        base_free(seen->slots);
        *seen = larger;
    }
    size_t at = (size_t)hash & (seen->slot_count - 1);
    for (; seen->slots[at] != 0; at = (at + 1) & (seen->slot_count - 1))
        if (seen->slots[at] == hash)
            return true;
    seen->slots[at] = hash;
    seen->count++;
    return false;
}

static void
complain(struct replay *replay, struct str message)
{
    replay->refused++;
    if (replay->refused <= COMPLAINTS_MAX)
        diag_warn("line %llu: %.*s", (unsigned long long)replay->line_number, STR_ARG(message));
}

/* False: the line is refused (and said), or a duplicate. */
static bool
read_posted(struct replay *replay, const struct json *sent, struct event *event)
{
    struct violations violations = {.arena = &replay->arena};
    struct err err = {0};
    struct intake_context context = {.arena = &replay->arena,
                                     .random = replay->random,
                                     .now_us = replay->clock.wall_us(replay->clock.self),
                                     .replay = true};
    if (!intake_read_event(&context, sent, "", event, &violations)) {
        complain(replay, violations.items[0].message);
        return false;
    }
    if (!enrich_event(replay->reader, &replay->arena, event, &err)) {
        complain(replay, str_from(err.text));
        return false;
    }
    if (event->idempotency_key.len > 0 &&
        seen_before(&replay->seen, event->tenant_id, event->idempotency_key)) {
        replay->duplicates++;
        return false;
    }
    event->created_at = replay->last_stamp + 1;
    return true;
}

static bool
read_event(struct replay *replay, struct str line, struct event *event)
{
    struct json sent;
    struct err err = {0};
    if (!json_parse(replay->parser, line, &replay->arena, &sent, &err)) {
        complain(replay, str_from(err.text));
        return false;
    }
    if (json_get(&sent, STR("created_at"))->type != JSON_STRING)
        return read_posted(replay, &sent, event);
    if (event_read_stored(&sent, &replay->arena, event, &err))
        return true;
    complain(replay, str_from(err.text));
    return false;
}

static void
flush(struct replay *replay)
{
    fwrite(replay->out.ptr, 1, replay->out.len, stdout);
    buffer_clear(&replay->out);
}

static void
on_line(struct replay *replay, struct str line)
{
    struct event event;
    replay->line_number++;
    if (line.len > 0 && line.ptr[line.len - 1] == '\r')
        line.len--;
    if (line.len == 0)
        return;
    arena_reset(&replay->arena);
    if (!read_event(replay, line, &event))
        return;
    replay->events++;
    replay->last_stamp = event.created_at;
    for (size_t i = 0; i < replay->rule_count; i++) {
        struct running *running = &replay->running[i];
        struct alert alert;
        if (!detect_step(running->rule, running->table, &event, false, &replay->arena, &alert))
            continue;
        replay->alerts++;
        alert.triggered_at = event.occurred_at;
        json_open(&replay->out, '{');
        alert_write_members(&replay->out, &alert, NULL);
        json_close(&replay->out, '}');
        buffer_add_char(&replay->out, '\n');
    }
    if (replay->out.len > OUT_BYTES)
        flush(replay);
}

/* Lines longer than LINE_MAX_BYTES end the run: no event may be so long. */
static bool
read_lines(struct replay *replay, int fd, struct err *err)
{
    struct buffer text;
    buffer_init(&text, LINE_MAX_BYTES + READ_BYTES);
    bool ok = true;
    for (ssize_t got = 1; ok && got > 0;) {
        char *room = buffer_reserve(&text, READ_BYTES);
        if (room == NULL) {
            ok = err_set(err, ERR_INPUT, "line %llu: longer than %u bytes",
                         (unsigned long long)replay->line_number + 1, LINE_MAX_BYTES);
            break;
        }
        got = read(fd, room, READ_BYTES);
        if (got < 0 && errno == EINTR) {
            got = 1;
            continue;
        }
        if (got < 0) {
            ok = err_set(err, ERR_IO, "events: %m");
            break;
        }
        text.len += (size_t)got;
        size_t begin = 0;
        for (;;) {
            const char *end = memchr(text.ptr + begin, '\n', text.len - begin);
            if (end == NULL)
                break;
            on_line(replay, (struct str){text.ptr + begin, (size_t)(end - text.ptr) - begin});
            begin = (size_t)(end - text.ptr) + 1;
        }
        memmove(text.ptr, text.ptr + begin, text.len - begin);
        text.len -= begin;
    }
    if (ok && text.len > 0)
        on_line(replay, buffer_str(&text));
    buffer_fini(&text);
    return ok;
}

/* -- the command ------------------------------------------------------------------------- */

static bool
open_enrich(struct replay *replay, struct err *err)
{
    const struct options *options = replay->options;
    struct enrich_options enrich = {
        .geo = options->geo.items,
        .geo_count = options->geo.count,
        .asn = options->asn,
        .places = options->places,
        .devices = options->devices,
        .ip_lists = options->ip_list.items,
        .ip_list_count = options->ip_list.count,
        .now_us = replay->clock.wall_us(replay->clock.self),
    };
    if (!enrich_open(&enrich, &replay->enrich, err))
        return false;
    replay->reader = enrich_reader_new(replay->enrich);
    return true;
}

static bool
run(struct replay *replay, struct err *err)
{
    const char *input = replay->options->input;
    bool from_file = input != NULL && strcmp(input, "-") != 0;
    if (!read_rules(replay, err) || !open_enrich(replay, err))
        return false;
    int fd = from_file ? open(input, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
    if (fd < 0)
        return err_set(err, ERR_INPUT, "%s: %m", input);
    int64_t began = replay->clock.monotonic_us(replay->clock.self);
    bool ok = read_lines(replay, fd, err);
    flush(replay);
    fflush(stdout);
    double seconds = (double)(replay->clock.monotonic_us(replay->clock.self) - began) / 1e6;
    if (from_file)
        close(fd);
    fprintf(stderr, "%llu events, %llu refused, %llu duplicates, %llu alerts in %.2f s\n",
            (unsigned long long)replay->events, (unsigned long long)replay->refused,
            (unsigned long long)replay->duplicates, (unsigned long long)replay->alerts, seconds);
    return ok;
}

int
command_replay(const struct options *options)
{
    struct err err = {0};
    struct replay *replay = base_alloc(1, sizeof *replay);
    *replay =
        (struct replay){.options = options, .clock = clock_system(), .random = random_system()};
    replay->parser = json_parser_new();
    arena_init(&replay->rules_arena, 64 * 1024, RULES_FILE_MAX);
    arena_init(&replay->arena, 64 * 1024, ARENA_MAX);
    buffer_init(&replay->out, ARENA_MAX);
    bool ok = run(replay, &err);
    for (size_t i = 0; replay->running != NULL && i < replay->rule_count; i++) {
        if (replay->running[i].rule != NULL)
            detect_rule_free(replay->running[i].rule);
        if (replay->running[i].table != NULL)
            detect_table_free(replay->running[i].table);
    }
    if (replay->reader != NULL)
        enrich_reader_free(replay->reader);
    if (replay->enrich != NULL)
        enrich_close(replay->enrich);
    json_parser_free(replay->parser);
    buffer_fini(&replay->out);
    base_free(replay->seen.slots);
    arena_fini(&replay->arena);
    arena_fini(&replay->rules_arena);
    base_free(replay);
    return ok ? EXIT_STOPPED : fail(&err);
}
