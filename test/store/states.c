/* Checkpoints of rule states: whole or not at all, and never worth stopping for. */
#include "store/store.h"

#include "tap.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { SEED = 0x5eed };

static void
folder_free(const char *folder)
{
    static const char *const names[] = {"state.db", "state.db-wal", "state.db-shm", "state.db.bad"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    CHECK(rmdir(folder) == 0);
}

static struct store_states *
open_states(const char *folder)
{
    struct store_states *states = NULL;
    struct err err = {0};
    must(store_states_open(folder, &states, &err));
    return states;
}

/* Rows made as they are asked for. */
struct source {
    size_t at, count;
    bool gone, abandons;
    const char *table;
    char subject[32], state[100];
};

static enum store_next
next_row(void *self, struct store_state *row_out)
{
    struct source *source = self;
    if (source->at == source->count)
        return source->abandons ? STORE_NEXT_ABANDON : STORE_NEXT_END;
    size_t i = source->at++;
    /* Spread over the keys, with a NUL inside, as subjects may have. */
    snprintf(source->subject, sizeof source->subject, "%08zx_user_%zu",
             i * 2654435761u & 0xffffffff, i);
    source->subject[8] = '\0';
    memset(source->state, (int)('a' + i % 26), sizeof source->state);
    *row_out = (struct store_state){
        .table = str_from(source->table),
        .subject = {source->subject, 9 + strlen(source->subject + 9)},
        .state = {source->state, 20 + i % 80},
        .stamp = i,
        .gone = source->gone,
    };
    return STORE_NEXT_ROW;
}

static bool
write_rows(struct store_states *states, int64_t position, struct source source, struct err *err)
{
    return store_states_write(states, position, SEED, next_row, &source, NULL, 0, err);
}

struct seen {
    size_t count, bytes;
    uint64_t stamps;
    const char *table; /* only of this one */
};

static void
see(void *self, const struct store_state *row)
{
    struct seen *seen = self;
    if (!str_equal(row->table, str_from(seen->table)))
        return;
    seen->count++;
    seen->bytes += row->subject.len + row->state.len;
    seen->stamps += row->stamp;
}

static struct seen
read_all(struct store_states *states, const char *table)
{
    struct seen seen = {.table = table};
    struct err err = {0};
    CHECK(store_states_read(states, see, &seen, &err));
    return seen;
}

static int64_t
position(struct store_states *states, uint64_t seed)
{
    int64_t at = -1;
    struct err err = {0};
    CHECK(store_states_position(states, seed, &at, &err));
    return at;
}

static void
test_a_checkpoint_comes_back_whole(void)
{
    char folder[] = "/tmp/tocsin-states-XXXXXX";
    must(mkdtemp(folder) != NULL);
    struct err err = {0};
    struct store_states *states = open_states(folder);
    CHECK_INT(position(states, SEED), 0);
    struct source one = {.count = 1000, .table = "one"}, two = {.count = 30, .table = "two"};
    CHECK(write_rows(states, 70, one, &err));
    CHECK(write_rows(states, 80, two, &err));
    struct source again = {.count = 10, .table = "one", .gone = true};
    CHECK(write_rows(states, 90, again, &err));
    store_states_close(states);

    states = open_states(folder);
    CHECK_INT(position(states, SEED), 90);
    CHECK_INT((intmax_t)read_all(states, "one").count, 990);
    CHECK_INT((intmax_t)read_all(states, "one").stamps, 999 * 1000 / 2 - 45);
    CHECK_INT((intmax_t)read_all(states, "two").count, 30);
    struct str dropped[] = {STR("one"), STR("never was")};
    struct source none = {.table = "two"};
    CHECK(store_states_write(states, 95, SEED, next_row, &none, dropped, 2, &err));
    CHECK_INT((intmax_t)read_all(states, "one").count, 0);
    CHECK_INT((intmax_t)read_all(states, "two").count, 30);
    CHECK_INT(position(states, SEED), 95);
    store_states_close(states);
    folder_free(folder);
}

static void
test_what_was_abandoned_leaves_the_checkpoint_before_as_it_was(void)
{
    char folder[] = "/tmp/tocsin-states-XXXXXX";
    must(mkdtemp(folder) != NULL);
    struct err err = {0};
    struct store_states *states = open_states(folder);
    struct source whole = {.count = 10, .table = "one"};
    struct source part = {.count = 5000, .table = "one", .abandons = true};
    CHECK(write_rows(states, 70, whole, &err));
    CHECK(!write_rows(states, 80, part, &err));
    CHECK_INT(err.code, ERR_LIMIT);
    CHECK_INT(position(states, SEED), 70);
    CHECK_INT((intmax_t)read_all(states, "one").count, 10);
    part.abandons = false;
    CHECK(write_rows(states, 90, part, &err));
    CHECK_INT((intmax_t)read_all(states, "one").count, 5000);
    store_states_close(states);
    folder_free(folder);
}

static void
test_states_of_another_log_are_thrown_away(void)
{
    char folder[] = "/tmp/tocsin-states-XXXXXX";
    must(mkdtemp(folder) != NULL);
    struct err err = {0};
    struct store_states *states = open_states(folder);
    CHECK(write_rows(states, 70, (struct source){.count = 5, .table = "one"}, &err));
    CHECK_INT(position(states, SEED + 1), 0);
    CHECK_INT((intmax_t)read_all(states, "one").count, 0);
    CHECK_INT(position(states, SEED), 0);
    store_states_close(states);
    folder_free(folder);
}

static void
overwrite(const char *folder, off_t at, size_t len)
{
    char path[128];
    static char junk[65536];
    memset(junk, 0xa5, sizeof junk);
    snprintf(path, sizeof path, "%s/state.db", folder);
    int file = open(path, O_WRONLY | O_CREAT, 0600);
    CHECK(file >= 0);
    CHECK(pwrite(file, junk, len, at) == (ssize_t)len);
    close(file);
}

static void
test_a_file_that_cannot_be_read_is_begun_anew(void)
{
    char folder[] = "/tmp/tocsin-states-XXXXXX", path[128];
    must(mkdtemp(folder) != NULL);
    struct err err = {0};
    struct store_states *states = open_states(folder);
    CHECK(write_rows(states, 70, (struct source){.count = 5, .table = "one"}, &err));
    store_states_close(states);
    overwrite(folder, 0, 4096);
    states = open_states(folder);
    CHECK_INT(position(states, SEED), 0);
    snprintf(path, sizeof path, "%s/state.db.bad", folder);
    CHECK(access(path, F_OK) == 0);
    CHECK(write_rows(states, 71, (struct source){.count = 5, .table = "one"}, &err));
    CHECK_INT(position(states, SEED), 71);
    store_states_close(states);
    folder_free(folder);
}

static void
test_damage_found_while_reading_leaves_an_empty_file_to_go_on_with(void)
{
    char folder[] = "/tmp/tocsin-states-XXXXXX";
    must(mkdtemp(folder) != NULL);
    struct err err = {0};
    struct store_states *states = open_states(folder);
    CHECK(write_rows(states, 70, (struct source){.count = 3000, .table = "one"}, &err));
    store_states_close(states);
    overwrite(folder, 8 * 4096, 65536); /* the header and the schema are whole */
    states = open_states(folder);
    struct seen seen = {.table = "one"};
    CHECK(!store_states_read(states, see, &seen, &err));
    CHECK_INT(err.code, ERR_CORRUPT);
    CHECK(strstr(err.text, "state.db") != NULL);
    CHECK_INT(position(states, SEED), 0);
    CHECK(write_rows(states, 90, (struct source){.count = 3, .table = "one"}, &err));
    CHECK_INT((intmax_t)read_all(states, "one").count, 3);
    store_states_close(states);
    folder_free(folder);
}

static void
test_a_hundred_thousand_states_are_one_checkpoint(void)
{
    enum { MANY = 100000 };
    char folder[] = "/tmp/tocsin-states-XXXXXX";
    must(mkdtemp(folder) != NULL);
    struct err err = {0};
    struct store_states *states = open_states(folder);
    int64_t began = clock_system().monotonic_us(NULL);
    CHECK(write_rows(states, 70, (struct source){.count = MANY, .table = "one"}, &err));
    int64_t written = clock_system().monotonic_us(NULL);
    CHECK_INT((intmax_t)read_all(states, "one").count, MANY);
    int64_t read = clock_system().monotonic_us(NULL);
    printf("# %d states: written in %lld ms, read in %lld ms\n", MANY,
           (long long)(written - began) / 1000, (long long)(read - written) / 1000);
    store_states_close(states);
    folder_free(folder);
}

int
main(void)
{
    RUN(test_a_checkpoint_comes_back_whole);
    RUN(test_what_was_abandoned_leaves_the_checkpoint_before_as_it_was);
    RUN(test_states_of_another_log_are_thrown_away);
    RUN(test_a_file_that_cannot_be_read_is_begun_anew);
    RUN(test_damage_found_while_reading_leaves_an_empty_file_to_go_on_with);
    RUN(test_a_hundred_thousand_states_are_one_checkpoint);
    return tap_done();
}
