/* What is promised of records: that they are found by what names them, that the
 * chain runs through all of them across segments and restarts, and that a commit
 * that failed has moved nothing. */
#include "tap.h"

#include <stdlib.h>

#include "codec/text.h"
#include "support/journal_fixture.h"

#define WS            "ws_00000001"
#define SMALL_SEGMENT LOG_SEGMENT_MIN

static struct fixture fixture;

static void
no_break(void *self, const struct journal_break *found)
{
    ++*(int *)self;
    printf("# %s at %.*s\n", found->type, STR_ARG(found->event_id));
}

static struct journal_verdict
verify(const char *workspace_id, struct log_span span, uint64_t limit)
{
    struct journal_verdict verdict = {0};
    struct err err = {0};
    int breaks = 0;
    if (!CHECK(journal_verify(fixture.journal, str_from(workspace_id), span, limit, no_break,
                              &breaks, &verdict, &err)))
        printf("# %s\n", err.text);
    CHECK(verdict.valid == (breaks == 0));
    return verdict;
}

static const struct log_span everything = {0, UINT64_MAX, false};

/* -- finding ---------------------------------------------------------------------- */

struct seen {
    int count;
    log_at at;
    char stored[4096];
    size_t len;
};

static bool
note_row(void *self, const struct journal_row *row)
{
    struct seen *seen = self;
    seen->count++;
    seen->at = row->at;
    seen->len = row->stored.len < sizeof seen->stored ? row->stored.len : sizeof seen->stored;
    memcpy(seen->stored, row->stored.ptr, seen->len);
    return true;
}

static struct event
plain_event(const char *id, const char *actor, const char *key)
{
    return (struct event){.id = str_from(id),
                          .actor_id = str_from(actor),
                          .action = STR("auth.login"),
                          .tenant_id = STR("t1"),
                          .idempotency_key = str_from(key),
                          .occurred_at = 1};
}

#define EVENT_ID   "evt_019d2fb4-0000-7000-8000-000000000001"
#define EVENT_ID_2 "evt_019d2fb4-0000-7000-8000-000000000002"

static struct alert
plain_alert(const char *id, const char *event_id)
{
    return (struct alert){.id = str_from(id),
                          .rule_id = STR("rul_1"),
                          .rule_name = STR("n"),
                          .rule_type = STR("new_country"),
                          .severity = SEVERITY_HIGH,
                          .reason = STR("r"),
                          .triggered_at = 1774621938000000,
                          .event_id = str_from(event_id),
                          .actor_id = STR("u1"),
                          .context = STR("{}")};
}

static void
fill_with_one_of_each(void)
{
    struct event_integrity integrity;
    struct event event = plain_event(EVENT_ID, "u1", "key-1");
    CHECK(fixture_add(&fixture, WS, &event, &integrity));
    struct err err = {0};
    CHECK(journal_add_source(fixture.journal, ++fixture.at, STR(WS), STR(EVENT_ID),
                             STR("{\"user\":1}"), &err));
    struct alert alert = plain_alert("alt_1", EVENT_ID), second = plain_alert("alt_2", EVENT_ID);
    fixture_add_alert(&fixture, WS, &alert);
    fixture_add_alert(&fixture, WS, &second);
    struct rule rule = {.workspace_id = STR(WS),
                        .id = STR("rul_1"),
                        .name = STR("n"),
                        .rule_type = STR("new_country"),
                        .conditions = STR("{}")};
    CHECK(journal_add_rule(fixture.journal, ++fixture.at, &rule, true, &err));
    event = plain_event(EVENT_ID_2, "u2", "key-2");
    CHECK(fixture_add(&fixture, "ws_00000002", &event, &integrity));
    CHECK(fixture_commit(&fixture));
}

static void
test_records_are_found_by_what_names_them(void)
{
    fixture_open(&fixture, 0, 1);
    fill_with_one_of_each();
    for (int round = 0; round < 2; round++) {
        struct journal *journal = fixture.journal;
        struct err err = {0};
        struct seen seen = {0};
        CHECK(journal_find_event(journal, STR(WS), STR(EVENT_ID), note_row, &seen, &err));
        CHECK_INT(seen.count, 1);
        log_at at = seen.at;
        seen = (struct seen){0};
        CHECK(journal_event_at(journal, STR(WS), at, note_row, &seen, &err));
        CHECK_INT(seen.count, 1);
        CHECK(!journal_event_at(journal, STR(WS), at + 1, note_row, &seen, &err));
        CHECK_INT(err.code, ERR_NOT_FOUND);
        /* Another workspace's event is not there. */
        CHECK(!journal_find_event(journal, STR(WS), STR(EVENT_ID_2), note_row, &seen, &err));
        CHECK_INT(err.code, ERR_NOT_FOUND);
        seen = (struct seen){0};
        CHECK(journal_find_alert(journal, STR(WS), STR("alt_2"), note_row, &seen, &err));
        CHECK_INT(seen.count, 1);
        CHECK(!journal_find_alert(journal, STR(WS), STR("alt_3"), note_row, &seen, &err));
        seen = (struct seen){0};
        CHECK(journal_alerts_of(journal, STR(WS), STR(EVENT_ID), note_row, &seen, &err));
        CHECK_INT(seen.count, 2);
        seen = (struct seen){0};
        CHECK(journal_alerts_of(journal, STR(WS), STR(EVENT_ID_2), note_row, &seen, &err));
        CHECK_INT(seen.count, 0);
        CHECK(journal_find_source(journal, STR(WS), STR(EVENT_ID), note_row, &seen, &err));
        CHECK(seen.len == 10 && memcmp(seen.stored, "{\"user\":1}", 10) == 0);
        CHECK(!journal_find_source(journal, STR(WS), STR(EVENT_ID_2), note_row, &seen, &err));
        fixture_reopen(&fixture);
    }
    fixture_close(&fixture);
}

static void
test_key_belongs_to_workspace_and_tenant(void)
{
    struct err err = {0};
    log_at at = 99;
    fixture_open(&fixture, 0, 1);
    fill_with_one_of_each();
    struct journal *journal = fixture.journal;
    CHECK(journal_find_key(journal, STR(WS), STR("t1"), STR("key-1"), everything, &at, &err));
    CHECK(at > 0);
    log_at found = at;
    struct log_span before = {0, found - 1, false}, behind = {found + 1, UINT64_MAX, false};
    CHECK(journal_find_key(journal, STR(WS), STR("t1"), STR("key-1"), before, &at, &err));
    CHECK_INT((intmax_t)at, 0);
    CHECK(journal_find_key(journal, STR(WS), STR("t1"), STR("key-1"), behind, &at, &err));
    CHECK_INT((intmax_t)at, 0);
    CHECK(journal_find_key(journal, STR(WS), STR("t2"), STR("key-1"), everything, &at, &err));
    CHECK_INT((intmax_t)at, 0);
    CHECK(journal_find_key(journal, STR(WS), (struct str){0}, STR("key-1"), everything, &at, &err));
    CHECK_INT((intmax_t)at, 0);
    CHECK(journal_find_key(journal, STR(WS), STR("t1"), STR("key-2"), everything, &at, &err));
    CHECK_INT((intmax_t)at, 0);
    fixture_close(&fixture);
}

static bool
count_kinds(void *self, const struct journal_row *row)
{
    int *counts = self;
    counts[row->kind]++;
    if (row->kind == JOURNAL_RULE)
        counts[0] += row->in_force;
    return true;
}

static void
test_scan_shows_the_kinds_and_workspace_asked_for(void)
{
    struct err err = {0};
    int all[5] = {0}, ours[5] = {0}, alerts[5] = {0};
    fixture_open(&fixture, 0, 1);
    fill_with_one_of_each();
    CHECK(journal_scan(fixture.journal, everything, 0, (struct str){0}, count_kinds, all, &err));
    CHECK(all[JOURNAL_EVENT] == 2 && all[JOURNAL_SOURCE] == 1 && all[JOURNAL_ALERT] == 2 &&
          all[JOURNAL_RULE] == 1 && all[0] == 1);
    CHECK(journal_scan(fixture.journal, everything, 0, STR(WS), count_kinds, ours, &err));
    CHECK_INT(ours[JOURNAL_EVENT], 1);
    CHECK(journal_scan(fixture.journal, everything, JOURNAL_KIND_BIT(JOURNAL_ALERT), STR(WS),
                       count_kinds, alerts, &err));
    CHECK(alerts[JOURNAL_ALERT] == 2 && alerts[JOURNAL_EVENT] == 0);
    fixture_close(&fixture);
}

/* -- the chain -------------------------------------------------------------------------- */

/* Random events in three workspaces, over many segments, with restarts in between; the hashes are
 * computed beside it. */
static void
test_chain_runs_through_segments_and_restarts(void)
{
    static const char *const workspaces[] = {"ws_00000001", "ws_00000002", "ws_00000003"};
    unsigned char heads[3][SHA256_SIZE];
    uint64_t counts[3] = {0};
    fixture_open(&fixture, SMALL_SEGMENT, 7);
    for (size_t i = 0; i < COUNT_OF(workspaces); i++)
        event_chain_start(str_from(workspaces[i]), heads[i]);
    for (int commit = 0; commit < 60; commit++) {
        size_t events = 1 + dice_below(&fixture.dice, 20);
        for (size_t i = 0; i < events; i++) {
            size_t which = commit > 20 ? dice_below(&fixture.dice, 3) : 0;
            struct event event = dice_event(&fixture.dice, &fixture.arena);
            struct event_integrity integrity;
            if (!CHECK(fixture_add(&fixture, workspaces[which], &event, &integrity)))
                continue;
            CHECK(memcmp(integrity.previous_hash, heads[which], SHA256_SIZE) == 0);
            memcpy(heads[which], integrity.hash, SHA256_SIZE);
            counts[which]++;
        }
        CHECK(fixture_commit(&fixture));
        if (commit % 7 == 3)
            fixture_reopen(&fixture);
    }
    struct log_stats stats;
    log_stats(journal_log(fixture.journal), &stats);
    CHECK(stats.segments > 3);
    for (size_t i = 0; i < COUNT_OF(workspaces); i++) {
        struct journal_verdict verdict = verify(workspaces[i], everything, UINT64_MAX);
        CHECK(verdict.valid && verdict.has_head);
        CHECK_INT((intmax_t)verdict.events_checked, (intmax_t)counts[i]);
        CHECK(memcmp(verdict.head_hash, heads[i], SHA256_SIZE) == 0);
    }
    struct journal_verdict none = verify("ws_00000009", everything, 10);
    CHECK(none.valid && !none.has_head && none.events_checked == 0);
    struct journal_verdict some = verify(workspaces[0], everything, 10);
    CHECK_INT((intmax_t)some.events_checked, 10);
    struct log_span rest = {(log_at)some.head_created_at + 1, UINT64_MAX, false};
    some = verify(workspaces[0], rest, UINT64_MAX);
    CHECK(some.valid);
    CHECK_INT((intmax_t)some.events_checked, (intmax_t)counts[0] - 10);
    fixture_close(&fixture);
}

/* -- forged records ------------------------------------------------------------------------ */

struct breaks {
    int count;
    char text[8][64];
};

static void
note_break(void *self, const struct journal_break *found)
{
    struct breaks *breaks = self;
    if (breaks->count < 8)
        (void)snprintf(breaks->text[breaks->count], 64, "%s %.*s", found->type,
                       STR_ARG(found->event_id));
    breaks->count++;
}

/* Puts an event record into the log past the journal, with these hashes. */
static void
forge(const char *stored, const unsigned char *previous, const unsigned char *hash, uint64_t term)
{
    struct err err = {0};
    unsigned char head[1 + sizeof WS - 1 + 2 * SHA256_SIZE];
    head[0] = sizeof WS - 1;
    memcpy(head + 1, WS, sizeof WS - 1);
    memcpy(head + sizeof WS, previous, SHA256_SIZE);
    memcpy(head + sizeof WS + SHA256_SIZE, hash, SHA256_SIZE);
    struct log_record record = {.at = ++fixture.at,
                                .kind = JOURNAL_EVENT,
                                .terms = &term,
                                .term_count = 1,
                                .parts = {{(const char *)head, sizeof head}, str_from(stored)}};
    CHECK(log_add(journal_log(fixture.journal), &record, &err));
}

/* The term of "all events of the workspace", as terms.c makes it. */
static uint64_t
kind_term(void)
{
    char bytes[2 + sizeof WS - 1 + 2] = {1, sizeof WS - 1};
    memcpy(bytes + 2, WS, sizeof WS - 1);
    bytes[sizeof bytes - 2] = JOURNAL_EVENT;
    return hash64(log_seed(journal_log(fixture.journal)), bytes, sizeof bytes);
}

static void
test_verify_names_what_was_altered_left_out_or_moved(void)
{
    static const char *const stored[] = {
        "{\"action\":\"a\",\"id\":\"one\"}", "{\"action\":\"b\",\"id\":\"two\"}",
        "{\"action\":\"c\",\"id\":\"three\"}", "{\"action\":\"d\",\"id\":\"four\"}"};
    unsigned char hashes[5][SHA256_SIZE];
    struct sha256 *sha = sha256_new();
    struct err err = {0};
    struct breaks breaks = {0};
    struct journal_verdict verdict;
    fixture_open(&fixture, 0, 1);
    uint64_t term = kind_term();
    event_chain_start(STR(WS), hashes[0]);
    for (size_t i = 0; i < COUNT_OF(stored); i++)
        event_hash(sha, hashes[i], str_from(stored[i]), hashes[i + 1]);
    /* one is whole; two was altered; three is left out; four follows. */
    forge(stored[0], hashes[0], hashes[1], term);
    forge("{\"action\":\"x\",\"id\":\"two\"}", hashes[1], hashes[2], term);
    forge(stored[3], hashes[3], hashes[4], term);
    CHECK(log_commit(journal_log(fixture.journal), NULL, NULL, &err));
    CHECK(log_drain(journal_log(fixture.journal), &err));
    CHECK(journal_verify(fixture.journal, STR(WS), everything, 100, note_break, &breaks, &verdict,
                         &err));
    CHECK(!verdict.valid);
    CHECK_INT((intmax_t)verdict.events_checked, 3);
    if (CHECK_INT(breaks.count, 2)) {
        CHECK_TEXT(breaks.text[0], "hash_mismatch two");
        CHECK_TEXT(breaks.text[1], "chain_break four");
    }
    /* A window that begins with four still looks at what came before it. */
    breaks = (struct breaks){0};
    struct log_span last = {fixture.at, UINT64_MAX, false};
    CHECK(journal_verify(fixture.journal, STR(WS), last, 100, note_break, &breaks, &verdict, &err));
    CHECK_INT(breaks.count, 1);
    sha256_free(sha);
    fixture_close(&fixture);
}

struct silence {
    bool silent[2];
    size_t count, wrong;
};

static bool
note_silence(void *self, const struct journal_row *row)
{
    struct silence *silence = self;
    silence->wrong += silence->count >= 2 || row->stored.ptr[0] != '{';
    if (silence->count < 2)
        silence->silent[silence->count++] = row->silent;
    return true;
}

/* The mark is the record's: the event's stored bytes, and so its hash, know nothing of it. */
static void
test_an_event_of_history_says_so(void)
{
    struct err err = {0};
    struct journal_verdict verdict = {0};
    struct event_integrity integrity;
    struct log_span all = {.from = 1, .to = UINT64_MAX};
    fixture_open(&fixture, 0, 1);
    struct event event = plain_event(EVENT_ID, "u1", "key-1");
    CHECK(fixture_add(&fixture, WS, &event, &integrity));
    fixture.silent = true;
    event = plain_event(EVENT_ID_2, "u1", "key-2");
    CHECK(fixture_add(&fixture, WS, &event, &integrity));
    fixture.silent = false;
    CHECK(fixture_commit(&fixture));
    for (int round = 0; round < 2; round++) {
        struct silence silence = {0};
        CHECK(journal_scan(fixture.journal, all, JOURNAL_KIND_BIT(JOURNAL_EVENT), STR(WS),
                           note_silence, &silence, &err));
        CHECK_INT((intmax_t)silence.count, 2);
        CHECK_INT((intmax_t)silence.wrong, 0);
        CHECK(!silence.silent[0] && silence.silent[1]);
        CHECK(journal_verify(fixture.journal, STR(WS), all, 10, NULL, NULL, &verdict, &err));
        CHECK(verdict.valid && verdict.events_checked == 2);
        fixture_reopen(&fixture);
    }
    fixture_close(&fixture);
}

int
main(void)
{
    RUN(test_an_event_of_history_says_so);
    RUN(test_records_are_found_by_what_names_them);
    RUN(test_key_belongs_to_workspace_and_tenant);
    RUN(test_scan_shows_the_kinds_and_workspace_asked_for);
    RUN(test_chain_runs_through_segments_and_restarts);
    RUN(test_verify_names_what_was_altered_left_out_or_moved);
    return tap_done();
}
