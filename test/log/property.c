/* L1 to L4 under everything at once: random commits, segments so small that many are sealed, calls
 * that fail, and the power cut in the middle of any call. What is found afterwards must be what was
 * done, and at most the one commit more that was under way. */
#include "log/sample.h"

enum { ROUNDS = TAP_ROUNDS(60), COMMITS = 120, COMMITS_MAX = 512, QUERIES = 12 };

struct world {
    struct fake_disk *disk;
    struct log *log;
    struct sample sample;
    struct sample all; /* every row ever handed over, in the log or not */
    atomic_bool acked[COMMITS_MAX];
    bool acked_at_cut[COMMITS_MAX];
};

static void
note_cut(void *self)
{
    struct world *world = self;
    for (size_t i = 0; i < COMMITS_MAX; i++)
        world->acked_at_cut[i] = atomic_load(&world->acked[i]);
}

struct handed {
    struct world *world;
    uint32_t commit;
};

static void
note_done(void *self, bool ok, const struct err *err)
{
    struct handed *handed = self;
    (void)err;
    if (ok)
        atomic_store(&handed->world->acked[handed->commit], true);
}

/* Which commits went wrong shows in what the log says is durable. */
static void
take_back(struct world *world)
{
    struct sample *sample = &world->sample;
    while (sample->count > 0 && sample->rows[sample->count - 1].at > log_durable(world->log))
        sample->count--;
    sample->at = sample->count == 0 ? 1000 : sample->rows[sample->count - 1].at;
}

/* Commits of all sizes, two in flight, some of them failing; what failed is taken back. */
static void
write_for_a_while(struct world *world, unsigned commits)
{
    static struct handed handed[COMMITS_MAX];
    struct sample *sample = &world->sample;
    struct err err = {0};
    for (unsigned i = 0; i < commits; i++) {
        size_t from = sample->count;
        size_t rows =
            sample_any(sample, 8) == 0 ? 1 + sample_any(sample, 200) : 1 + sample_any(sample, 12);
        sample_build(sample, world->log, rows);
        for (; from < sample->count; from++)
            world->all.rows[world->all.count++] = sample->rows[from];
        must(sample->commits < COMMITS_MAX);
        struct handed *this = &handed[sample->commits];
        *this = (struct handed){world, sample->commits};
        bool ok = log_commit(world->log, note_done, this, &err);
        if (ok && sample_any(sample, 4) == 0)
            ok = log_drain(world->log, &err);
        if (ok)
            continue;
        take_back(world);
        (void)!log_settle(world->log, &err);
    }
    if (!log_drain(world->log, &err))
        take_back(world);
}

/* -- after the cut ------------------------------------------------------------------------ */

struct seen {
    log_at *ats;
    uint64_t *sums;
    size_t count;
};

static bool
see(void *self, const struct log_row *row)
{
    struct seen *seen = self;
    must(seen->count < SAMPLE_ROWS);
    seen->ats[seen->count] = row->at;
    seen->sums[seen->count++] = hash64(0, row->payload.ptr, row->payload.len);
    return true;
}

/* The commit that begins at row `at` of those seen, whole; 0: there is none such. Positions of rows
 * that failed may have been used again, so the payload counts too. */
static uint32_t
next_commit(const struct sample *all, const struct seen *seen, size_t *at, size_t *from)
{
    for (; *from < all->count; ++*from) {
        uint32_t commit = all->rows[*from].commit;
        size_t i = *from, j = *at;
        while (i < all->count && all->rows[i].commit == commit && j < seen->count &&
               all->rows[i].at == seen->ats[j] &&
               hash64(0, all->rows[i].payload, all->rows[i].payload_len) == seen->sums[j]) {
            i++;
            j++;
        }
        bool begins = *from == 0 || all->rows[*from - 1].commit != commit;
        bool ends = i == all->count || all->rows[i].commit != commit;
        if (begins && ends) {
            *from = i;
            *at = j;
            return commit;
        }
    }
    return 0;
}

/* L1: the commits that were done by then, all of them and in order, and at most one more, the last.
 * */
static bool
is_whole(const struct world *world, const struct seen *seen)
{
    size_t at = 0, from = 0;
    uint32_t commit, last = 0;
    bool more = false;
    while (at < seen->count) {
        commit = next_commit(&world->all, seen, &at, &from);
        if (commit == 0 || more)
            return false;
        for (uint32_t i = last + 1; i < commit; i++)
            if (world->acked_at_cut[i])
                return false;
        more = !world->acked_at_cut[commit];
        last = commit;
    }
    for (uint32_t i = last + 1; i < COMMITS_MAX; i++)
        if (world->acked_at_cut[i])
            return false;
    return true;
}

static bool
check_found(struct world *world, struct fake_disk *disk, unsigned round)
{
    struct log_recovery recovery;
    struct err err = {0};
    struct log *log = sample_open(disk, false, &recovery, &err);
    if (!CHECK(log != NULL)) {
        printf("# round %u: %s\n", round, err.text);
        return false;
    }
    struct seen seen = {base_alloc(SAMPLE_ROWS, 8), base_alloc(SAMPLE_ROWS, 8), 0};
    bool ok = CHECK(log_scan(log, (struct log_span){0, UINT64_MAX, false}, 0, see, &seen, &err));
    /* L3 */
    for (size_t i = 1; ok && i < seen.count; i++)
        ok = CHECK(seen.ats[i] > seen.ats[i - 1]);
    ok = ok && CHECK(is_whole(world, &seen));
    ok = ok && CHECK(sample_intact(log)); /* L2: nothing is wrong, and it says so */
    /* It can be gone on with. */
    struct log_record more = {.at = log_durable(log) + 1, .kind = 1, .parts = {STR("more")}};
    ok = ok && CHECK(log_add(log, &more, &err)) && CHECK(log_commit(log, NULL, NULL, &err)) &&
         CHECK(log_drain(log, &err)) && CHECK(sample_intact(log));
    log_close(log);
    base_free(seen.ats);
    base_free(seen.sums);
    return ok;
}

/* -- rounds ---------- */

static bool
run_round(unsigned round, bool cuts, bool fails)
{
    static struct world world;
    struct log_recovery recovery;
    struct err err = {0};
    memset(&world, 0, sizeof world);
    world.disk = fake_new(round + 1);
    sample_init(&world.sample, round);
    sample_init(&world.all, 0);
    world.log = sample_open(world.disk, false, &recovery, &err);
    must(world.log != NULL);

    pthread_mutex_lock(&world.disk->mutex);
    world.disk->on_cut = note_cut;
    world.disk->on_cut_self = &world;
    unsigned calls = 30 + COMMITS * 3;
    world.disk->cut_at = cuts ? 1 + (unsigned)sample_any(&world.sample, calls) : 0;
    pthread_mutex_unlock(&world.disk->mutex);
    for (unsigned part = 0; part < 3; part++) {
        pthread_mutex_lock(&world.disk->mutex);
        world.disk->fail_at =
            fails ? world.disk->calls + 1 + (unsigned)sample_any(&world.sample, calls) : 0;
        world.disk->fail_for = 1 + (unsigned)sample_any(&world.sample, 3);
        pthread_mutex_unlock(&world.disk->mutex);
        write_for_a_while(&world, COMMITS / 3);
    }
    pthread_mutex_lock(&world.disk->mutex);
    world.disk->fail_at = 0;
    pthread_mutex_unlock(&world.disk->mutex);
    bool ok = CHECK(sample_queries(&world.sample, world.log, QUERIES)); /* L4 */
    ok = ok && CHECK(log_settle(world.log, &err)) && CHECK(sample_intact(world.log)) &&
         CHECK(sample_queries(&world.sample, world.log, QUERIES));
    log_close(world.log);
    if (ok && world.disk->cut != NULL)
        ok = check_found(&world, world.disk->cut, round);
    /* A commit whose sync failed may be there too, as long as none was done after it. */
    note_cut(&world);
    ok = ok && check_found(&world, world.disk, round);
    if (!ok)
        printf("# round %u, the power cut at call %u\n", round, world.disk->cut_at);
    sample_fini(&world.sample);
    sample_fini(&world.all);
    fake_free(world.disk);
    return ok;
}

static void
test_a_query_by_index_and_a_scan_agree_whatever_was_written(void)
{
    for (unsigned round = 0; round < ROUNDS / 4; round++)
        if (!run_round(round, false, false))
            break;
}

static void
test_what_is_done_survives_a_power_cut_in_any_call(void)
{
    for (unsigned round = 1000; round < 1000 + ROUNDS; round++)
        if (!run_round(round, true, false))
            break;
}

static void
test_calls_that_fail_leave_all_else_as_it_was(void)
{
    for (unsigned round = 2000; round < 2000 + ROUNDS / 2; round++)
        if (!run_round(round, false, true))
            break;
}

static void
test_a_power_cut_among_failures_leaves_no_commit_that_a_later_one_passed(void)
{
    for (unsigned round = 3000; round < 3000 + ROUNDS; round++)
        if (!run_round(round, true, true))
            break;
}

int
main(void)
{
    RUN(test_a_query_by_index_and_a_scan_agree_whatever_was_written);
    RUN(test_what_is_done_survives_a_power_cut_in_any_call);
    RUN(test_calls_that_fail_leave_all_else_as_it_was);
    RUN(test_a_power_cut_among_failures_leaves_no_commit_that_a_later_one_passed);
    return tap_done();
}
