/* What is promised of lists: by whatever filter, in both orders, over pages of
 * any size and with any budget, the same rows as asking every event in turn. */
#include "tap.h"

#include "codec/text.h"
#include "support/journal_fixture.h"

#define EVENTS 500
static const char *const workspaces[2] = {"ws_00000001", "ws_00000002"};

static struct fixture fixture;

/* All that was put in, in order. */
static struct {
    struct event event;
    size_t workspace;
} stored[EVENTS];
static size_t stored_count;

static void
fill(uint64_t seed, uint64_t segment_bytes)
{
    fixture_open(&fixture, segment_bytes, seed);
    for (stored_count = 0; stored_count < EVENTS; stored_count++) {
        struct event event = dice_event(&fixture.dice, &fixture.arena);
        struct event_integrity integrity;
        size_t workspace = dice_below(&fixture.dice, 2);
        CHECK(fixture_add(&fixture, workspaces[workspace], &event, &integrity));
        stored[stored_count].event = event;
        stored[stored_count].workspace = workspace;
        if (stored_count % 10 == 9)
            CHECK(fixture_commit(&fixture));
    }
}

/* -- asking every event in turn --------------------------------------------------------- */

static bool
same_or_any(struct str wanted, struct str value)
{
    return wanted.ptr == NULL || str_equal(wanted, value);
}

static bool
text_of(const struct json *object, struct str name, struct str wanted)
{
    const struct json *value = json_get(object, name);
    return wanted.ptr == NULL || (value->type == JSON_STRING && str_equal(value->text, wanted));
}

/* The metadata as a reader would see it, escapes undone where it is text. */
static bool
search_any(const struct json *json, struct str part)
{
    bool found = json->type == JSON_STRING && text_contains_nocase(json->text, part);
    if (json->type == JSON_NUMBER || json->type == JSON_BOOL) {
        struct buffer text;
        buffer_init(&text, 100);
        json_write(&text, json);
        found = text_contains_nocase(buffer_str(&text), part);
        buffer_fini(&text);
    }
    for (uint32_t i = 0; i < json->count && json->type == JSON_ARRAY; i++)
        found = found || search_any(&json->items[i], part);
    for (uint32_t i = 0; i < json->count && json->type == JSON_OBJECT; i++)
        found = found || text_contains_nocase(json->members[i].name, part) ||
                search_any(&json->members[i].value, part);
    return found;
}

static bool
wanted(const struct journal_event_filter *filter, const struct event *event)
{
    bool tenant = filter->tenant_count == 0,
         target = filter->target_type.ptr == NULL && filter->target_id.ptr == NULL;
    for (size_t i = 0; i < filter->tenant_count; i++)
        tenant = tenant || str_equal(filter->tenants[i], event->tenant_id);
    for (uint32_t i = 0; i < event->targets.count; i++)
        target = target || (text_of(&event->targets.items[i], STR("type"), filter->target_type) &&
                            text_of(&event->targets.items[i], STR("id"), filter->target_id));
    return tenant && target && same_or_any(filter->actor_id, event->actor_id) &&
           (filter->action.ptr == NULL || glob_match(filter->action, event->action)) &&
           same_or_any(filter->resource, event->resource_type) &&
           same_or_any(filter->resource_id, event->resource_id) &&
           same_or_any(filter->tenant_id, event->tenant_id) &&
           same_or_any(filter->session_id, event->session_id) &&
           same_or_any(filter->ip_address, event->ip_address) &&
           same_or_any(filter->ip_country, event->location.country) &&
           (filter->search.ptr == NULL || text_contains_nocase(event->actor_name, filter->search) ||
            text_contains_nocase(event->action, filter->search) ||
            text_contains_nocase(event->resource_name, filter->search) ||
            search_any(&event->metadata, filter->search));
}

/* Positions of all that fits, in the order of the page. */
static size_t
brute_force(size_t workspace, const struct journal_event_filter *filter,
            const struct journal_page *page, log_at *found)
{
    size_t count = 0;
    for (size_t i = 0; i < stored_count; i++) {
        size_t at = page->ascending ? i : stored_count - 1 - i;
        log_at position = (log_at)stored[at].event.created_at;
        if (stored[at].workspace == workspace && position >= page->from &&
            (page->to == 0 || position <= page->to) && wanted(filter, &stored[at].event))
            found[count++] = position;
    }
    return count;
}

/* -- the list ------------------------------------------------------------------------------- */

struct rows {
    log_at at[EVENTS];
    size_t count;
};

static bool
take_row(void *self, const struct journal_row *row)
{
    struct rows *rows = self;
    must(row->kind == JOURNAL_EVENT && rows->count < EVENTS);
    rows->at[rows->count++] = row->at;
    return true;
}

static struct str
maybe(const char *const *list, size_t count, size_t one_in)
{
    if (!dice_one_in(&fixture.dice, one_in))
        return (struct str){0};
    return str_from(list[dice_below(&fixture.dice, count)]);
}

static struct journal_event_filter
random_filter(void)
{
    static const char *const actors[] = {"user_1", "user_2", "b\"o\\b", "nobody"};
    static const char *const actions[] = {"auth.login", "auth.*", "*.deleted",
                                          "*",          "x*",     "doc.created"};
    static const char *const few[] = {"one", "two", "three", "four"};
    static const char *const types[] = {"document", "user", "team"};
    static const char *const ids[] = {"t1", "t7", "t39"};
    static const char *const addresses[] = {"198.51.100.42", "2001:db8::1", "10.0.0.5"};
    static const char *const countries[] = {"US", "RO", "XX"};
    static const char *const words[] = {"A", "1", "true", "\xc3\x89", "LOGIN", "\"", "zz"};
    static const struct str tenants[] = {STR_INIT("one"), STR_INIT("three"), STR_INIT("none")};
    struct journal_event_filter filter = {
        .actor_id = maybe(actors, COUNT_OF(actors), 4),
        .action = maybe(actions, COUNT_OF(actions), 4),
        .resource = maybe(few, COUNT_OF(few), 8),
        .resource_id = maybe(few, COUNT_OF(few), 8),
        .tenant_id = maybe(few, COUNT_OF(few), 8),
        .session_id = maybe(few, COUNT_OF(few), 8),
        .target_type = maybe(types, COUNT_OF(types), 5),
        .target_id = maybe(ids, COUNT_OF(ids), 5),
        .ip_address = maybe(addresses, COUNT_OF(addresses), 8),
        .ip_country = maybe(countries, COUNT_OF(countries), 8),
        .search = maybe(words, COUNT_OF(words), 5),
    };
    if (dice_one_in(&fixture.dice, 5)) {
        filter.tenants = tenants;
        filter.tenant_count = 1 + dice_below(&fixture.dice, COUNT_OF(tenants));
    }
    return filter;
}

static struct journal_page
random_page(void)
{
    struct journal_page page = {
        .limit = 1 + dice_below(&fixture.dice, 30),
        .ascending = dice_one_in(&fixture.dice, 2),
        .budget_us = INT64_MAX,
        .budget_rows = dice_one_in(&fixture.dice, 2) ? 1 + dice_below(&fixture.dice, 40) : 200000,
        .clock = clock_system()};
    if (dice_one_in(&fixture.dice, 3))
        page.from = (log_at)stored[dice_below(&fixture.dice, EVENTS)].event.created_at;
    if (dice_one_in(&fixture.dice, 3))
        page.to = (log_at)stored[dice_below(&fixture.dice, EVENTS)].event.created_at;
    return page;
}

static void
check_total(const struct journal_page_result *result, size_t want)
{
    if (result->total_is_exact)
        CHECK_INT((intmax_t)result->total, (intmax_t)want);
    else
        CHECK(result->total >= want);
}

/* Pages through all of it, cursor by cursor. */
static void
list_all(size_t workspace, const struct journal_event_filter *filter, struct journal_page *page,
         struct rows *rows, size_t want)
{
    for (size_t pages = 0; pages < 2 * EVENTS; pages++) {
        struct journal_page_result result = {0};
        struct err err = {0};
        size_t before = rows->count;
        if (!CHECK(journal_list_events(fixture.journal, str_from(workspaces[workspace]), filter,
                                       page, take_row, rows, &result, &err))) {
            printf("# %s\n", err.text);
            return;
        }
        CHECK_INT((intmax_t)result.count, (intmax_t)(rows->count - before));
        CHECK(result.count <= page->limit);
        check_total(&result, want);
        if (!result.has_more) {
            CHECK_INT((intmax_t)result.next_cursor, 0);
            return;
        }
        CHECK(page->budget_rows < 200000 || result.count == page->limit);
        page->cursor = result.next_cursor;
    }
    CHECK(!"the pages never end");
}

static void
compare_many(size_t rounds)
{
    static struct rows rows;
    static log_at want[EVENTS];
    size_t matches = 0;
    for (size_t round = 0; round < rounds; round++) {
        struct journal_event_filter filter = random_filter();
        struct journal_page page = random_page();
        size_t workspace = dice_below(&fixture.dice, 2);
        size_t want_count = brute_force(workspace, &filter, &page, want);
        rows.count = 0;
        list_all(workspace, &filter, &page, &rows, want_count);
        CHECK_INT((intmax_t)rows.count, (intmax_t)want_count);
        if (rows.count == want_count)
            CHECK(memcmp(rows.at, want, want_count * sizeof want[0]) == 0);
        matches += want_count;
    }
    CHECK(matches > rounds);
}

static void
test_lists_are_the_same_as_asking_every_event(void)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        fill(seed, seed == 3 ? 0 : LOG_SEGMENT_MIN);
        compare_many(300);
        fixture_reopen(&fixture);
        compare_many(100);
        fixture_close(&fixture);
    }
}

static void
test_total_without_filters_is_exact(void)
{
    fill(9, LOG_SEGMENT_MIN);
    struct journal_event_filter filter = {0};
    struct journal_page page = {
        .limit = 5, .budget_us = INT64_MAX, .budget_rows = 100, .clock = clock_system()};
    struct journal_page_result result;
    struct rows rows = {.count = 0};
    struct err err = {0};
    log_at all[EVENTS];
    for (size_t i = 0; i < 2; i++) {
        rows.count = 0;
        CHECK(journal_list_events(fixture.journal, str_from(workspaces[i]), &filter, &page,
                                  take_row, &rows, &result, &err));
        CHECK(result.total_is_exact && result.has_more);
        CHECK_INT((intmax_t)result.total, (intmax_t)brute_force(i, &filter, &page, all));
    }
    fixture_close(&fixture);
}

/* A clock that moves on by a second whenever it is asked. */
static int64_t
leaping_clock(void *self)
{
    return *(int64_t *)self += 1000000;
}

static void
test_a_page_ends_when_its_time_is_over(void)
{
    int64_t now = 0;
    fill(5, LOG_SEGMENT_MIN);
    struct journal_event_filter filter = {.search = STR("no event says this")};
    struct journal_page page = {.limit = 5,
                                .budget_us = 1000000,
                                .budget_rows = 200000,
                                .clock = {.self = &now, .monotonic_us = leaping_clock}};
    struct journal_page_result result;
    struct rows rows = {.count = 0};
    struct err err = {0};
    CHECK(journal_list_events(fixture.journal, str_from(workspaces[0]), &filter, &page, take_row,
                              &rows, &result, &err));
    CHECK(result.has_more && result.count == 0 && result.next_cursor > 0);
    CHECK(!result.total_is_exact);
    fixture_close(&fixture);
}

/* -- alerts ----------------------------------------------------------------------------------- */

struct alert_rows {
    char ids[64][8];
    size_t count;
};

static bool
take_alert(void *self, const struct journal_row *row)
{
    struct alert_rows *rows = self;
    struct json json = {0};
    struct err err = {0};
    struct json_parser *parser = json_parser_new();
    CHECK(row->kind == JOURNAL_ALERT);
    CHECK(json_parse(parser, row->stored, &fixture.arena, &json, &err));
    const struct json *id = json_get(&json, STR("id"));
    (void)snprintf(rows->ids[rows->count++], sizeof rows->ids[0], "%.*s", STR_ARG(id->text));
    json_parser_free(parser);
    return true;
}

static bool
keep_even(void *self, struct str alert_id)
{
    (void)self;
    return (alert_id.ptr[alert_id.len - 1] - '0') % 2 == 0;
}

static void
fill_alerts(void)
{
    static const char *const types[] = {"new_country", "off_hours"};
    static const char *const ids[] = {"alt_0", "alt_1", "alt_2", "alt_3", "alt_4",
                                      "alt_5", "alt_6", "alt_7", "alt_8", "alt_9"};
    fixture_open(&fixture, 0, 3);
    for (size_t i = 0; i < 10; i++) {
        struct alert alert = {.id = str_from(ids[i]),
                              .rule_id = i < 5 ? STR("rul_1") : STR("rul_2"),
                              .rule_name = STR("n"),
                              .rule_type = str_from(types[i % 2]),
                              .severity = i % 3 == 0 ? SEVERITY_HIGH : SEVERITY_LOW,
                              .reason = STR("r"),
                              .triggered_at = (int64_t)fixture.at + 2,
                              .event_id = STR("evt_1"),
                              .actor_id = i % 4 == 0 ? STR("u1") : STR("u2"),
                              .tenant_id = i == 7 ? STR("t1") : (struct str){0},
                              .context = STR("{}")};
        fixture_add_alert(&fixture, workspaces[i == 9], &alert);
    }
    CHECK(fixture_commit(&fixture));
}

static void
expect_alerts(const struct journal_alert_filter *filter, const struct journal_page *page,
              const char *want, int64_t total)
{
    struct alert_rows rows = {.count = 0};
    struct journal_page_result result;
    struct err err = {0};
    char got[64] = "";
    CHECK(journal_list_alerts(fixture.journal, str_from(workspaces[0]), filter, page, take_alert,
                              &rows, &result, &err));
    for (size_t i = 0; i < rows.count && i < sizeof got - 1; i++) {
        got[i] = rows.ids[i][4];
        got[i + 1] = '\0';
    }
    CHECK_TEXT(got, want);
    if (total >= 0)
        CHECK(result.total_is_exact && (int64_t)result.total == total);
    else
        CHECK(!result.total_is_exact);
}

static void
test_alerts_are_listed_by_what_they_say(void)
{
    static const struct str tenants[] = {STR_INIT("t1"), STR_INIT("t2")};
    struct journal_page page = {
        .limit = 100, .budget_us = INT64_MAX, .budget_rows = 1000, .clock = clock_system()};
    struct journal_page first = page, second = page;
    fill_alerts();
    expect_alerts(&(struct journal_alert_filter){0}, &page, "876543210", 9);
    expect_alerts(&(struct journal_alert_filter){.rule_type = STR("off_hours")}, &page, "7531", 4);
    expect_alerts(&(struct journal_alert_filter){.rule_id = STR("rul_2")}, &page, "8765", 4);
    expect_alerts(&(struct journal_alert_filter){.severity = STR("high")}, &page, "630", 3);
    expect_alerts(&(struct journal_alert_filter){.actor_id = STR("u1")}, &page, "840", 3);
    expect_alerts(&(struct journal_alert_filter){.actor_id = STR("u1"), .severity = STR("high")},
                  &page, "0", 1);
    expect_alerts(&(struct journal_alert_filter){.tenants = tenants, .tenant_count = 2}, &page, "7",
                  1);
    expect_alerts(&(struct journal_alert_filter){.keep = keep_even}, &page, "86420", -1);
    page.ascending = true;
    expect_alerts(&(struct journal_alert_filter){0}, &page, "012345678", 9);
    /* triggered_at is a microsecond ahead of the position here. */
    first.from = fixture.at + 1 - 4;
    expect_alerts(&(struct journal_alert_filter){0}, &first, "8765", -1);
    first.to = first.from + 1;
    expect_alerts(&(struct journal_alert_filter){0}, &first, "65", -1);
    second.limit = 4;
    second.cursor = fixture.at - 3;
    expect_alerts(&(struct journal_alert_filter){0}, &second, "5432", 9);
    fixture_close(&fixture);
}

int
main(void)
{
    RUN(test_lists_are_the_same_as_asking_every_event);
    RUN(test_total_without_filters_is_exact);
    RUN(test_a_page_ends_when_its_time_is_over);
    RUN(test_alerts_are_listed_by_what_they_say);
    return tap_done();
}
