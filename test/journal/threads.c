/* What is promised of readers while the engine writes: they see whole commits,
 * in order, and a chain that holds. */
#include "tap.h"

#include <pthread.h>
#include <stdatomic.h>

#include "support/journal_fixture.h"

#define WS      "ws_00000001"
#define COMMITS 150
#define READERS 3

static struct fixture fixture;
static atomic_bool writing;
static atomic_uint wrong; /* tap is for one thread */

struct rows {
    log_at last;
    size_t count;
};

static bool
is_older(void *self, const struct journal_row *row)
{
    struct rows *rows = self;
    if (rows->count++ > 0 && row->at >= rows->last)
        atomic_fetch_add(&wrong, 1);
    rows->last = row->at;
    return true;
}

static void
note_break(void *self, const struct journal_break *found)
{
    (void)self;
    (void)found;
    atomic_fetch_add(&wrong, 1);
}

static void
read_once(struct str actor)
{
    struct journal_event_filter filter = {.actor_id = actor};
    struct journal_page page = {
        .limit = 20, .budget_us = INT64_MAX, .budget_rows = 1000, .clock = clock_system()};
    struct journal_page_result result;
    struct journal_verdict verdict;
    struct rows rows = {0};
    struct err err = {0};
    struct log_span all = {0, UINT64_MAX, false};
    bool ok = journal_list_events(fixture.journal, STR(WS), &filter, &page, is_older, &rows,
                                  &result, &err) &&
              journal_verify(fixture.journal, STR(WS), all, 200, note_break, NULL, &verdict, &err);
    if (!ok || result.count != rows.count)
        atomic_fetch_add(&wrong, 1);
}

static void *
read_on(void *self)
{
    do
        read_once(*(const struct str *)self);
    while (atomic_load(&writing));
    return NULL;
}

static void
test_readers_see_whole_commits_while_they_are_made(void)
{
    static struct str actors[READERS] = {STR_INIT("user_1"), {NULL, 0}, STR_INIT("user_3")};
    pthread_t threads[READERS];
    fixture_open(&fixture, LOG_SEGMENT_MIN, 11);
    atomic_store(&writing, true);
    for (size_t i = 0; i < READERS; i++)
        must(pthread_create(&threads[i], NULL, read_on, &actors[i]) == 0);
    for (int commit = 0; commit < COMMITS; commit++) {
        for (int i = 0; i < 5; i++) {
            struct event event = dice_event(&fixture.dice, &fixture.arena);
            struct event_integrity integrity;
            CHECK(fixture_add(&fixture, WS, &event, &integrity));
        }
        CHECK(fixture_commit(&fixture));
    }
    atomic_store(&writing, false);
    for (size_t i = 0; i < READERS; i++)
        must(pthread_join(threads[i], NULL) == 0);
    CHECK_INT((intmax_t)atomic_load(&wrong), 0);
    fixture_close(&fixture);
}

int
main(void)
{
    RUN(test_readers_see_whole_commits_while_they_are_made);
    return tap_done();
}
