/* A rule is a fold, for every rule type and over random events, among them late ones and
 * duplicates: wherever it is cut, its states carried over as bytes, the alerts are the same; and
 * a stretch that is undone has left nothing. */
#include "support/event_maker.h"
#include "support/rule_maker.h"
#include "tap.h"

enum { EVENTS = 400, RULES = 18, CHANGES_MAX = 100000, CELLS_MAX = 10000 };

#define RULE(type, cooldown, conditions)                                                           \
    "{\"name\":\"" type "\",\"rule_type\":\"" type                                                 \
    "\",\"channels\":[],\"cooldown_minutes\":" cooldown ",\"conditions\":{" conditions "}}"

static const char *const rule_texts[RULES] = {
    RULE("new_country", "%d", "\"action_pattern\":\"auth.*\",\"forget_after_days\":1"),
    RULE("new_device", "%d", "\"action_pattern\":\"*\""),
    RULE("new_network", "%d", "\"action_pattern\":\"*\",\"min_history\":3"),
    RULE("off_hours", "%d",
         "\"action_pattern\":\"*\",\"timezone\":\"Asia/Kolkata\",\"start_hour\":20,\"end_hour\":4"),
    RULE("repeated_action", "%d",
         "\"action_pattern\":\"auth.login_failed\",\"threshold\":3,\"window_minutes\":60,"
         "\"reset_on\":{\"action_pattern\":\"auth.login\"}"),
    RULE("repeated_action", "%d",
         "\"action_pattern\":\"auth.login_failed\",\"threshold\":3,\"window_seconds\":7200,"
         "\"group_by\":[\"ip_address\"],\"distinct\":\"metadata.email\""),
    RULE("high_volume_destructive", "%d", "\"threshold\":4,\"window_minutes\":2000"),
    RULE("ingestion_spike", "%d",
         "\"window_minutes\":30,\"baseline_windows\":4,\"multiplier\":1.5,\"min_events\":2"),
    RULE("impossible_travel", "%d", "\"action_pattern\":\"*\",\"habitual_after\":3"),
    RULE("dormant_account", "%d", "\"action_pattern\":\"file.deleted\",\"days\":1"),
    RULE("blocklisted_ip", "%d", "\"action_pattern\":\"*\",\"networks\":[\"203.0.113.0/25\"]"),
    RULE("suspicious_user_agent", "%d", "\"action_pattern\":\"*\",\"missing\":true"),
    RULE("watched_action", "%d", "\"action_pattern\":\"mfa.*\""),
    RULE("session_anomaly", "%d", "\"action_pattern\":\"*\""),
    RULE("sequence", "%d",
         "\"first\":{\"action_pattern\":\"auth.login_failed\",\"count\":2},"
         "\"then\":{\"action_pattern\":\"auth.login\"},\"within_minutes\":90"),
    RULE("sequence", "%d",
         "\"first\":{\"action_pattern\":\"auth.*\"},\"then\":{\"action_pattern\":\"*\"},"
         "\"within_minutes\":30,\"group_by\":[\"actor_id\",\"session_id\"]"),
    RULE("combination", "%d", "\"all\":[\"rul-0\",\"rul-3\"],\"within_minutes\":0"),
    RULE("combination", "%d",
         "\"all\":[\"rul-4\",\"rul-8\",\"rul-12\"],\"within_minutes\":600,"
         "\"where\":[{\"field\":\"metadata.email\",\"op\":\"ne\",\"value\":\"a@x\"}]"),
};

struct changes {
    struct {
        struct detect_table *table;
        struct detect_cell *before, *after;
    } items[CHANGES_MAX];
    size_t count;
};

static struct arena arena;
static struct event events[EVENTS];
static struct detect_rule *rules[RULES];
static struct changes changes;

/* -- events ------------------------------------------------------------------------- */

static struct str
pick(struct dice *dice, const char *const *texts, size_t count)
{
    return str_from(texts[dice_below(dice, count)]);
}
#define PICK(...)                                                                                  \
    pick(dice, (const char *const[]){__VA_ARGS__},                                                 \
         sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

static void
roll_metadata(struct dice *dice, struct event *event)
{
    struct json_member *members = arena_array(&arena, 2, struct json_member);
    uint32_t count = 0;
    if (dice_one_in(dice, 2))
        members[count++] =
            (struct json_member){STR("email"), json_of_str(PICK("a@x", "b@x", "c@x", "d@x"))};
    if (dice_one_in(dice, 3))
        members[count++] =
            (struct json_member){STR("device_id"), json_of_int((int64_t)dice_below(dice, 4))};
    event->metadata = (struct json){.type = JSON_OBJECT, .count = count, .members = members};
}

static void
roll_place(struct dice *dice, struct event *event)
{
    static const struct {
        const char *country, *city;
        double latitude, longitude;
    } places[] = {{"US", "New York", 40.71, -74.01}, {"DE", "Berlin", 52.52, 13.40},
                  {"DE", "Hamburg", 53.55, 9.99},    {"JP", NULL, 35.68, 139.69},
                  {"FJ", NULL, -17, 179.9},          {NULL, NULL, 0, 0}};
    size_t at = dice_below(dice, COUNT_OF(places));
    event->location = (struct event_location){.known = true,
                                              .country = str_from(places[at].country),
                                              .city = str_from(places[at].city),
                                              .has_point = !dice_one_in(dice, 5),
                                              .latitude = places[at].latitude,
                                              .longitude = places[at].longitude};
}

static void
roll_event(struct dice *dice, size_t at, int64_t *now)
{
    struct event *event = &events[at];
    char id[48];
    snprintf(id, sizeof id, "evt_%036zu", at);
    *event = (struct event){.created_at = (int64_t)at + 1};
    must(arena_copy(&arena, str_from(id), &event->id));
    *now += (int64_t)dice_below(dice, 40) * TIME_US_PER_MINUTE;
    event->occurred_at = *now;
    if (dice_one_in(dice, 5)) /* late */
        event->occurred_at -= (int64_t)dice_below(dice, 300) * TIME_US_PER_MINUTE;
    event->actor_id = PICK("ana", "ben", "cay", "unknown");
    event->actor_type = str_equal(event->actor_id, STR("unknown")) ? STR("anonymous") : STR("user");
    event->action = PICK("auth.login", "auth.login_failed", "auth.login_failed", "file.deleted",
                         "mfa.disabled");
    event->session_id = PICK("s1", "s2", "s3", NULL);
    event->ip_address = PICK("203.0.113.7", "203.0.113.200", "2001:db8::1", "198.51.100.1", NULL);
    event->has_address = address_parse(event->ip_address, &event->address);
    event->user_agent = PICK("curl/8", "Mozilla/5.0", NULL);
    event->network.asn = (int64_t)dice_below(dice, 3) * 64500;
    event->device.browser = PICK("Chrome", "Firefox", NULL);
    event->device.os = PICK("Windows", "Linux");
    roll_place(dice, event);
    roll_metadata(dice, event);
    if (at > 0 && dice_one_in(dice, 12)) { /* the same again */
        struct event *same = &events[dice_below(dice, at)];
        struct str own = event->id;
        *event = *same;
        event->id = own;
        event->created_at = (int64_t)at + 1;
    }
}

static void
begin(uint64_t seed, int cooldown)
{
    struct dice dice = {.state = seed};
    int64_t now = 1774569600 * TIME_US_PER_SECOND;
    static struct rule made[RULES];
    static const struct rule *all[RULES];
    static char ids[RULES][8];
    arena_init(&arena, 1 << 20, 1 << 28);
    for (size_t i = 0; i < EVENTS; i++)
        roll_event(&dice, i, &now);
    for (size_t i = 0; i < RULES; i++) {
        char text[1024];
        const char *mark = strstr(rule_texts[i], "%d");
        snprintf(ids[i], sizeof ids[i], "rul-%zu", i);
        snprintf(text, sizeof text, "%.*s%d%s", (int)(mark - rule_texts[i]), rule_texts[i],
                 cooldown, mark + 2);
        made[i] = make_rule(&arena, ids[i], text);
        all[i] = &made[i];
    }
    for (size_t i = 0; i < RULES; i++)
        rules[i] = compile_rule(&made[i], all, RULES);
}

static void
end(void)
{
    for (size_t i = 0; i < RULES; i++)
        detect_rule_free(rules[i]);
    arena_fini(&arena);
}

/* -- folding ------------------------------------------------------------------------- */

struct tables {
    struct detect_table *of[RULES];
};

static struct tables
tables_new(size_t subjects_max)
{
    struct tables tables;
    for (size_t i = 0; i < RULES; i++)
        tables.of[i] = detect_table_new(subjects_max);
    return tables;
}

static void
tables_free(struct tables *tables)
{
    for (size_t i = 0; i < RULES; i++)
        detect_table_free(tables->of[i]);
}

struct stretch {
    size_t from, to;
    bool quiet, brief; /* only which alerts, not what they say */
};

static void
fold(const struct tables *tables, struct stretch stretch, struct buffer *out)
{
    struct arena room;
    arena_init(&room, 1 << 16, 1 << 24);
    for (size_t at = stretch.from; at < stretch.to; at++)
        for (size_t i = 0; i < RULES; i++) {
            struct alert alert;
            arena_reset(&room);
            if (!detect_step(rules[i], tables->of[i], &events[at], stretch.quiet, &room, &alert))
                continue;
            must(!stretch.quiet);
            buffer_printf(out, "%zu %.*s %.*s\n", at, STR_ARG(alert.id), STR_ARG(alert.rule_type));
            if (!stretch.brief)
                buffer_printf(out, "  %.*s %.*s\n", STR_ARG(alert.reason), STR_ARG(alert.context));
        }
    arena_fini(&room);
}

static bool
collect(void *self, struct detect_cell *cell)
{
    struct detect_cell ***next = self;
    *(*next)++ = cell;
    return true;
}

/* New tables with the same states, which went through bytes and came in any order. */
static struct tables
carry_over(const struct tables *old, size_t subjects_max, struct dice *dice)
{
    static struct detect_cell *cells[CELLS_MAX];
    struct tables fresh = tables_new(subjects_max);
    for (size_t i = 0; i < RULES; i++) {
        struct detect_cell **next = cells;
        detect_table_each(old->of[i], collect, &next);
        for (size_t left = (size_t)(next - cells); left > 0; left--) {
            size_t at = dice_below(dice, left);
            const struct detect_cell *cell = cells[at];
            struct str subject = {cell->bytes, cell->subject_len};
            struct str state = {cell->bytes + cell->subject_len, cell->state_len};
            detect_table_put(fresh.of[i], detect_cell_new(subject, state, cell->stamp));
            cells[at] = cells[left - 1];
        }
    }
    return fresh;
}

static void
note(void *self, struct detect_table *table, struct detect_cell *before, struct detect_cell *after)
{
    (void)self;
    must(changes.count < CHANGES_MAX);
    changes.items[changes.count].table = table;
    changes.items[changes.count].before = before == NULL ? NULL : detect_cell_keep(before);
    changes.items[changes.count++].after = after == NULL ? NULL : detect_cell_keep(after);
}

static void
watch(const struct tables *tables, detect_change_fn fn)
{
    for (size_t i = 0; i < RULES; i++)
        detect_table_watch(tables->of[i], fn, NULL);
}

static void
undo(void)
{
    while (changes.count > 0) {
        struct detect_cell *before = changes.items[--changes.count].before;
        struct detect_cell *after = changes.items[changes.count].after;
        detect_table_undo(changes.items[changes.count].table, before, after);
        if (before != NULL)
            detect_cell_release(before);
        if (after != NULL)
            detect_cell_release(after);
    }
}

static const size_t limits[] = {0, 2, 5};

/* -- promises --------------------------------------------------------------------------- */

static void
test_every_type_raises_something(void)
{
    begin(11, 0);
    struct tables tables = tables_new(0);
    struct buffer out;
    buffer_init(&out, 1 << 26);
    fold(&tables, (struct stretch){0, EVENTS, false, true}, &out);
    buffer_add_char(&out, 0);
    for (size_t i = 0; i < RULES; i++) {
        const struct rule *rule = detect_rule_of(rules[i]);
        char word[64];
        snprintf(word, sizeof word, " %.*s\n", STR_ARG(rule->rule_type));
        tap_check(strstr(out.ptr, word) != NULL, rule_texts[i], __FILE__, __LINE__);
    }
    buffer_fini(&out);
    tables_free(&tables);
    end();
}

static void
test_a_fold_may_be_cut_anywhere(void)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct dice dice = {.state = seed * 977};
        begin(seed, seed % 2 == 0 ? 45 : 0);
        for (size_t i = 0; i < COUNT_OF(limits); i++) {
            struct buffer whole, parts;
            size_t cut = dice_below(&dice, EVENTS);
            buffer_init(&whole, 1 << 26);
            buffer_init(&parts, 1 << 26);
            struct tables one = tables_new(limits[i]), first = tables_new(limits[i]);
            fold(&one, (struct stretch){0, EVENTS, false, false}, &whole);
            fold(&first, (struct stretch){0, cut, false, false}, &parts);
            struct tables second = carry_over(&first, limits[i], &dice);
            fold(&second, (struct stretch){cut, EVENTS, false, false}, &parts);
            CHECK(whole.len > 1000);
            CHECK(str_equal(buffer_str(&whole), buffer_str(&parts)));
            tables_free(&one);
            tables_free(&first);
            tables_free(&second);
            buffer_fini(&whole);
            buffer_fini(&parts);
        }
        end();
    }
}

static void
test_a_stretch_undone_has_left_nothing(void)
{
    for (uint64_t seed = 21; seed <= 26; seed++) {
        struct dice dice = {.state = seed * 977};
        begin(seed, 45);
        for (size_t i = 0; i < COUNT_OF(limits); i++) {
            struct buffer plain, redone, lost;
            buffer_init(&plain, 1 << 26);
            buffer_init(&redone, 1 << 26);
            buffer_init(&lost, 1 << 26);
            struct tables one = tables_new(limits[i]), other = tables_new(limits[i]);
            fold(&one, (struct stretch){0, EVENTS, false, false}, &plain);
            for (size_t at = 0; at < EVENTS;) {
                size_t next = at + 1 + dice_below(&dice, 60);
                next = next > EVENTS ? EVENTS : next;
                watch(&other, note);
                fold(&other, (struct stretch){at, next, false, false}, &lost);
                watch(&other, NULL);
                undo();
                fold(&other, (struct stretch){at, next, false, false}, &redone);
                at = next;
            }
            CHECK(str_equal(buffer_str(&plain), buffer_str(&redone)));
            CHECK(str_equal(buffer_str(&plain), buffer_str(&lost)));
            for (size_t j = 0; j < RULES; j++)
                CHECK(detect_table_dropped(one.of[j]) == detect_table_dropped(other.of[j]));
            tables_free(&one);
            tables_free(&other);
            buffer_fini(&plain);
            buffer_fini(&redone);
            buffer_fini(&lost);
        }
        end();
    }
}

/* Learning changes states as detection does; without a cooldown the difference ends with it. */
static void
test_what_was_learnt_silently_alerts_as_if_lived_through(void)
{
    for (uint64_t seed = 31; seed <= 33; seed++) {
        struct dice dice = {.state = seed};
        begin(seed, 0);
        size_t cut = dice_below(&dice, EVENTS);
        struct buffer lived, learnt, before;
        buffer_init(&lived, 1 << 26);
        buffer_init(&learnt, 1 << 26);
        buffer_init(&before, 1 << 26);
        struct tables one = tables_new(0), other = tables_new(0);
        fold(&one, (struct stretch){0, cut, false, true}, &before);
        fold(&one, (struct stretch){cut, EVENTS, false, true}, &lived);
        fold(&other, (struct stretch){0, cut, true, true}, &learnt);
        CHECK_INT((intmax_t)learnt.len, 0);
        fold(&other, (struct stretch){cut, EVENTS, false, true}, &learnt);
        CHECK(str_equal(buffer_str(&lived), buffer_str(&learnt)));
        tables_free(&one);
        tables_free(&other);
        buffer_fini(&lived);
        buffer_fini(&learnt);
        buffer_fini(&before);
        end();
    }
}

static void
test_no_rule_holds_more_subjects_than_it_may(void)
{
    begin(41, 60);
    struct tables tables = tables_new(3);
    struct buffer out;
    buffer_init(&out, 1 << 26);
    for (size_t at = 0; at < EVENTS; at++) {
        fold(&tables, (struct stretch){at, at + 1, false, true}, &out);
        for (size_t i = 0; i < RULES; i++)
            CHECK(detect_table_count(tables.of[i]) <= 3);
    }
    CHECK(detect_table_dropped(tables.of[5]) > 0);
    buffer_fini(&out);
    tables_free(&tables);
    end();
}

/* What the engine keeps to put back, or writes to a checkpoint, is not changed under its hands. */
static void
test_a_kept_cell_does_not_change_with_the_fold(void)
{
    begin(51, 0);
    struct tables tables = tables_new(0);
    static struct detect_cell *cells[CELLS_MAX];
    struct detect_cell **next = cells;
    struct buffer out, before, after;
    buffer_init(&out, 1 << 26);
    buffer_init(&before, 1 << 26);
    buffer_init(&after, 1 << 26);
    fold(&tables, (struct stretch){0, EVENTS / 2, false, true}, &out);
    for (size_t i = 0; i < RULES; i++)
        detect_table_each(tables.of[i], collect, &next);
    size_t count = (size_t)(next - cells);
    for (size_t i = 0; i < count; i++)
        buffer_add_bytes(&before, detect_cell_keep(cells[i])->bytes,
                         cells[i]->subject_len + cells[i]->state_len);
    fold(&tables, (struct stretch){EVENTS / 2, EVENTS, false, true}, &out);
    for (size_t i = 0; i < count; i++) {
        buffer_add_bytes(&after, cells[i]->bytes, cells[i]->subject_len + cells[i]->state_len);
        detect_cell_release(cells[i]);
    }
    CHECK(count > 20 && str_equal(buffer_str(&before), buffer_str(&after)));
    buffer_fini(&out);
    buffer_fini(&before);
    buffer_fini(&after);
    tables_free(&tables);
    end();
}

int
main(void)
{
    RUN(test_every_type_raises_something);
    RUN(test_a_fold_may_be_cut_anywhere);
    RUN(test_a_stretch_undone_has_left_nothing);
    RUN(test_what_was_learnt_silently_alerts_as_if_lived_through);
    RUN(test_a_kept_cell_does_not_change_with_the_fold);
    RUN(test_no_rule_holds_more_subjects_than_it_may);
    return tap_done();
}
