/* What is promised of commits that fail: whatever failed or was dropped has not
 * moved a chain head (E4), and what was acknowledged is there after a restart. */
#include "tap.h"

#include <sched.h>

#include "support/journal_fixture.h"

#define WORKSPACES 3
static const char *const workspaces[WORKSPACES] = {"ws_00000001", "ws_00000002", "ws_00000003"};

static struct fixture fixture;

/* What the heads should be. */
struct heads_seen {
    unsigned char hash[WORKSPACES][SHA256_SIZE];
    uint64_t events[WORKSPACES];
};
static struct heads_seen durable, flight, current;
static unsigned failures; /* commits that did not come through */

/* On the log's writer thread; the test looks at `durable` when that has settled. */
static void
note_outcome(void *self, bool ok, const struct err *err)
{
    (void)err;
    if (ok)
        durable = *(const struct heads_seen *)self;
}

static void
add_some(void)
{
    size_t count = 1 + dice_below(&fixture.dice, 5);
    for (size_t i = 0; i < count; i++) {
        size_t which = dice_below(&fixture.dice, WORKSPACES);
        struct event event = dice_event(&fixture.dice, &fixture.arena);
        struct event_integrity integrity;
        if (!CHECK(fixture_add(&fixture, workspaces[which], &event, &integrity)))
            return;
        CHECK(memcmp(integrity.previous_hash, current.hash[which], SHA256_SIZE) == 0);
        memcpy(current.hash[which], integrity.hash, SHA256_SIZE);
        current.events[which]++;
    }
}

static bool
drain(void)
{
    struct err err = {0};
    if (journal_drain(fixture.journal, &err))
        return true;
    failures++;
    current = flight = durable;
    return false;
}

/* Each commit has a snapshot of its own: two are alive while one is in flight. */
static void
commit(void)
{
    static struct heads_seen snapshots[2];
    static size_t next;
    struct err err = {0};
    struct heads_seen *snapshot = &snapshots[next++ % 2];
    *snapshot = current;
    if (journal_commit(fixture.journal, note_outcome, snapshot, &err)) {
        flight = current;
        return;
    }
    failures++;
    current = flight = durable;
}

static bool
take_row(void *self, const struct journal_row *row)
{
    (void)self;
    (void)row;
    return true;
}

static void
no_break(void *self, const struct journal_break *found)
{
    (void)self;
    printf("# %s\n", found->type);
}

static void
check_against_the_log(void)
{
    for (size_t i = 0; i < WORKSPACES; i++) {
        struct journal_verdict verdict = {0};
        struct err err = {0};
        struct log_span all = {0, UINT64_MAX, false};
        CHECK(journal_verify(fixture.journal, str_from(workspaces[i]), all, UINT64_MAX, no_break,
                             NULL, &verdict, &err));
        CHECK(verdict.valid);
        CHECK_INT((intmax_t)verdict.events_checked, (intmax_t)durable.events[i]);
        if (verdict.has_head)
            CHECK(memcmp(verdict.head_hash, durable.hash[i], SHA256_SIZE) == 0);
        struct journal_event_filter filter = {0};
        struct journal_page page = {
            .limit = 1, .budget_us = INT64_MAX, .budget_rows = 10, .clock = clock_system()};
        struct journal_page_result result;
        CHECK(journal_list_events(fixture.journal, str_from(workspaces[i]), &filter, &page,
                                  take_row, NULL, &result, &err));
        CHECK_INT((intmax_t)result.total, (intmax_t)durable.events[i]);
    }
}

static void
begin(uint64_t seed)
{
    fixture_open(&fixture, LOG_SEGMENT_MIN, seed);
    for (size_t i = 0; i < WORKSPACES; i++) {
        event_chain_start(str_from(workspaces[i]), current.hash[i]);
        current.events[i] = 0;
    }
    durable = flight = current;
}

/* Segments that could not be sealed are sealed by a thread of the log's own; until then it may say
 * no. */
static void
commit_after_healing(void)
{
    for (int tries = 0; tries < 1000000; tries++) {
        current = durable;
        add_some();
        if (fixture_commit(&fixture)) {
            durable = flight = current;
            return;
        }
        sched_yield();
    }
    CHECK(!"the log stays broken");
}

static void
test_what_failed_or_was_dropped_has_moved_nothing(void)
{
    for (uint64_t seed = 1; seed <= 40; seed++) {
        begin(seed);
        for (int step = 0; step < 60; step++) {
            size_t action = dice_below(&fixture.dice, 10);
            if (action == 0)
                atomic_store(&fixture.fail_after, (int)dice_below(&fixture.dice, 4));
            if (action == 1 || action == 2)
                atomic_store(&fixture.fail_after, -1);
            add_some();
            if (action == 3) {
                journal_discard(fixture.journal);
                current = flight;
            } else {
                commit();
            }
            if (action == 4)
                (void)drain();
        }
        atomic_store(&fixture.fail_after, -1);
        (void)drain();
        journal_discard(fixture.journal);
        current = durable;
        check_against_the_log();
        /* A commit whose sync failed may be there after a restart, but not once a later one was
         * acknowledged (L1). */
        commit_after_healing();
        check_against_the_log();
        fixture_reopen(&fixture);
        check_against_the_log();
        commit_after_healing();
        check_against_the_log();
        fixture_close(&fixture);
    }
    CHECK(failures > 5);
}

int
main(void)
{
    RUN(test_what_failed_or_was_dropped_has_moved_nothing);
    return tap_done();
}
