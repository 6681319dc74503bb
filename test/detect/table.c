/* The table of states: who goes when it is full, and that a change undone was none. */
#include "detect/detect.h"
#include "support/event_maker.h"
#include "tap.h"

#include <stdlib.h>

static struct detect_cell *
cell(const char *subject, const char *state, uint64_t stamp)
{
    return detect_cell_new(str_from(subject), str_from(state), stamp);
}

static struct str
state_of(const struct detect_table *table, const char *subject)
{
    const struct detect_cell *found = detect_table_get(table, str_from(subject));
    if (found == NULL)
        return STR("-");
    return (struct str){found->bytes + found->subject_len, found->state_len};
}

static void
test_a_subject_has_the_state_put_last(void)
{
    struct detect_table *table = detect_table_new(0);
    CHECK(detect_table_get(table, STR("a")) == NULL);
    detect_table_put(table, cell("a", "1", 1));
    detect_table_put(table, cell("b", "2", 2));
    detect_table_put(table, cell("a", "three", 3));
    detect_table_put(table, cell("", "nobody", 4));
    CHECK_STR(state_of(table, "a"), STR("three"));
    CHECK_STR(state_of(table, "b"), STR("2"));
    CHECK_STR(state_of(table, ""), STR("nobody"));
    CHECK_INT((intmax_t)detect_table_count(table), 3);
    CHECK(detect_table_bytes(table) > 0);
    detect_table_free(table);
}

static void
test_a_full_table_drops_the_oldest_stamp(void)
{
    struct detect_table *table = detect_table_new(3);
    detect_table_put(table, cell("a", "", 1));
    detect_table_put(table, cell("b", "", 2));
    detect_table_put(table, cell("c", "", 3));
    detect_table_put(table, cell("a", "", 4));
    detect_table_put(table, cell("d", "", 5));
    CHECK(detect_table_get(table, STR("b")) == NULL);
    CHECK(detect_table_get(table, STR("a")) != NULL);
    CHECK_INT((intmax_t)detect_table_count(table), 3);
    CHECK_INT((intmax_t)detect_table_dropped(table), 1);
    detect_table_free(table);
}

static void
test_the_order_does_not_depend_on_how_the_table_was_filled(void)
{
    struct detect_table *table = detect_table_new(4);
    detect_table_put(table, cell("c", "", 7));
    detect_table_put(table, cell("b", "", 9));
    detect_table_put(table, cell("d", "", 7)); /* the same stamp: by subject */
    detect_table_put(table, cell("a", "", 8));
    detect_table_put(table, cell("e", "", 10));
    CHECK(detect_table_get(table, STR("c")) == NULL);
    detect_table_put(table, cell("f", "", 11));
    CHECK(detect_table_get(table, STR("d")) == NULL);
    detect_table_put(table, cell("g", "", 12));
    CHECK(detect_table_get(table, STR("a")) == NULL);
    CHECK(detect_table_get(table, STR("b")) != NULL);
    detect_table_free(table);
}

/* -- changes -------------------------------------------------------------------------- */

enum { CHANGES_MAX = 4096 };
struct changes {
    struct {
        struct detect_cell *before, *after;
    } items[CHANGES_MAX];
    size_t count;
};

static void
note(void *self, struct detect_table *table, struct detect_cell *before, struct detect_cell *after)
{
    struct changes *changes = self;
    (void)table;
    must(changes->count < CHANGES_MAX && (before != NULL || after != NULL));
    changes->items[changes->count].before = before == NULL ? NULL : detect_cell_keep(before);
    changes->items[changes->count++].after = after == NULL ? NULL : detect_cell_keep(after);
}

static void
undo(struct changes *changes, struct detect_table *table)
{
    while (changes->count > 0) {
        struct detect_cell *before = changes->items[--changes->count].before;
        struct detect_cell *after = changes->items[changes->count].after;
        detect_table_undo(table, before, after);
        if (before != NULL)
            detect_cell_release(before);
        if (after != NULL)
            detect_cell_release(after);
    }
}

static void
put_random(struct dice *dice, struct detect_table *table, uint64_t stamp)
{
    char subject[16], state[32];
    snprintf(subject, sizeof subject, "s%zu", dice_below(dice, 60));
    snprintf(state, sizeof state, "%.*s", (int)dice_below(dice, 8), "01234567");
    detect_table_put(table, cell(subject, state, stamp));
}

static bool
print_cell(void *self, struct detect_cell *cell_of)
{
    char line[128];
    snprintf(line, sizeof line, "%.*s=%.*s@%llu\n", (int)cell_of->subject_len, cell_of->bytes,
             (int)cell_of->state_len, cell_of->bytes + cell_of->subject_len,
             (unsigned long long)cell_of->stamp);
    buffer_add(self, str_from(line));
    return true;
}

/* Everything a table shows, in the order in which its subjects would go: they are made to. */
static void
print_to_the_end(struct detect_table *table, struct buffer *out)
{
    static struct changes gone;
    size_t count = detect_table_count(table);
    buffer_printf(out, "%zu subjects, %llu dropped\n", count,
                  (unsigned long long)detect_table_dropped(table));
    for (size_t i = 0; i < 40; i++) {
        char subject[16];
        snprintf(subject, sizeof subject, "new%zu", i);
        detect_table_watch(table, note, &gone);
        detect_table_put(table, cell(subject, "", 1000000 + i));
    }
    detect_table_watch(table, NULL, NULL);
    for (size_t i = 0; i < gone.count; i++)
        if (gone.items[i].after == NULL)
            print_cell(out, gone.items[i].before);
    undo(&gone, table);
}

static void
test_undoing_changes_restores_the_table_exactly(void)
{
    static struct changes changes;
    struct dice dice = {.state = 7};
    for (int round = 0; round < 50; round++) {
        struct detect_table *table = detect_table_new(20 + dice_below(&dice, 30));
        struct buffer before, after;
        uint64_t stamp = 1;
        buffer_init(&before, 1 << 20);
        buffer_init(&after, 1 << 20);
        for (size_t i = dice_below(&dice, 200); i > 0; i--)
            put_random(&dice, table, stamp++);
        size_t bytes = detect_table_bytes(table);
        print_to_the_end(table, &before);
        CHECK(detect_table_bytes(table) >= bytes);

        detect_table_watch(table, note, &changes);
        for (size_t i = dice_below(&dice, 200); i > 0; i--)
            put_random(&dice, table, stamp++);
        detect_table_watch(table, NULL, NULL);
        undo(&changes, table);
        print_to_the_end(table, &after);
        CHECK_STR(buffer_str(&after), buffer_str(&before));
        buffer_fini(&before);
        buffer_fini(&after);
        detect_table_free(table);
    }
}

static void
test_a_change_is_told_before_it_takes_effect(void)
{
    static struct changes changes;
    struct detect_table *table = detect_table_new(1);
    detect_table_watch(table, note, &changes);
    detect_table_put(table, cell("a", "1", 1));
    detect_table_put(table, cell("a", "2", 2));
    detect_table_put(table, cell("b", "3", 3));
    CHECK_INT((intmax_t)changes.count, 4);
    CHECK(changes.items[0].before == NULL && changes.items[0].after != NULL);
    CHECK(changes.items[1].before == changes.items[0].after);
    CHECK(changes.items[2].before == changes.items[1].after && changes.items[2].after == NULL);
    CHECK(changes.items[3].before == NULL && changes.items[3].after != NULL);
    undo(&changes, table);
    CHECK_INT((intmax_t)detect_table_count(table), 0);
    CHECK_INT((intmax_t)detect_table_dropped(table), 0);
    detect_table_free(table);
}

static void
test_a_cell_that_somebody_keeps_outlives_the_table(void)
{
    struct detect_table *table = detect_table_new(0);
    detect_table_put(table, cell("a", "kept", 1));
    struct detect_cell *kept = NULL;
    for (int i = 0; i < 100; i++) {
        char subject[16];
        snprintf(subject, sizeof subject, "x%d", i);
        detect_table_put(table, cell(subject, "", 2));
    }
    kept = detect_cell_keep((struct detect_cell *)(uintptr_t)detect_table_get(table, STR("a")));
    detect_table_put(table, cell("a", "other", 3));
    detect_table_free(table);
    CHECK_STR(((struct str){kept->bytes + kept->subject_len, kept->state_len}), STR("kept"));
    detect_cell_release(kept);
}

int
main(void)
{
    RUN(test_a_subject_has_the_state_put_last);
    RUN(test_a_full_table_drops_the_oldest_stamp);
    RUN(test_the_order_does_not_depend_on_how_the_table_was_filled);
    RUN(test_undoing_changes_restores_the_table_exactly);
    RUN(test_a_change_is_told_before_it_takes_effect);
    RUN(test_a_cell_that_somebody_keeps_outlives_the_table);
    return tap_done();
}
