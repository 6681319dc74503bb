/* What the log promises about writing: L1 and L3, commits in flight, limits, rolling and sealing,
 * and that a failure leaves nothing behind (see log/log.h). */
#include "log/sample.h"

static struct fake_disk *disk;
static struct log *log_;
static struct log_recovery recovery;
static struct sample sample;

static void
begin(uint64_t seed)
{
    struct err err = {0};
    disk = fake_new(seed);
    sample_init(&sample, seed);
    log_ = sample_open(disk, false, &recovery, &err);
    must(log_ != NULL);
}

static void
end(void)
{
    log_close(log_);
    sample_fini(&sample);
    fake_free(disk);
}

static void
reopen(void)
{
    struct err err = {0};
    log_close(log_);
    log_ = sample_open(disk, false, &recovery, &err);
    if (!CHECK(log_ != NULL)) {
        printf("# %s\n", err.text);
        exit(1);
    }
}

static void
test_an_empty_log_can_be_asked_anything(void)
{
    begin(1);
    log_at before;
    CHECK_INT((intmax_t)log_durable(log_), 0);
    CHECK_INT((intmax_t)log_note(log_, &before).len, 0);
    CHECK(sample_queries(&sample, log_, 5));
    CHECK(sample_intact(log_));
    reopen();
    CHECK(!recovery.torn && recovery.stopped_in_order);
    end();
}

static void
test_what_is_done_is_there_again_after_a_restart(void)
{
    struct err err = {0};
    begin(2);
    for (int i = 0; i < 10; i++)
        CHECK(sample_commit(&sample, log_, 1 + (size_t)i, &err));
    uint64_t seed = log_seed(log_);
    CHECK_INT((intmax_t)log_durable(log_), (intmax_t)sample.at);
    CHECK(sample_queries(&sample, log_, 20));
    reopen();
    CHECK(recovery.stopped_in_order && !recovery.torn);
    CHECK(log_seed(log_) == seed);
    CHECK_INT((intmax_t)log_durable(log_), (intmax_t)sample.at);
    CHECK(sample_queries(&sample, log_, 20));
    CHECK(sample_commit(&sample, log_, 3, &err));
    CHECK(sample_whole(&sample, log_));
    CHECK(sample_intact(log_));
    end();
}

struct done {
    atomic_uint calls, ok;
};

static void
note_done(void *self, bool ok, const struct err *err)
{
    struct done *done = self;
    (void)err;
    atomic_fetch_add(&done->ok, ok);
    atomic_fetch_add(&done->calls, 1);
}

static void
test_rows_not_committed_are_not_shown_and_can_be_dropped(void)
{
    struct err err = {0};
    begin(3);
    CHECK(sample_commit(&sample, log_, 5, &err));
    sample_build(&sample, log_, 5);
    size_t with = sample.count;
    sample.count -= 5;
    CHECK(sample_whole(&sample, log_));
    log_discard(log_);
    sample.count = with;
    sample_undo(&sample, sample.commits);
    sample.at = sample.rows[sample.count - 1].at;
    CHECK(sample_commit(&sample, log_, 5, &err)); /* the positions can be used again */
    CHECK(sample_queries(&sample, log_, 10));
    end();
}

static void
test_done_is_called_once_for_each_commit_in_flight(void)
{
    struct err err = {0};
    struct done done = {0};
    begin(4);
    for (unsigned i = 0; i < 50; i++) {
        sample_build(&sample, log_, 4);
        CHECK(log_commit(log_, note_done, &done, &err));
    }
    CHECK(log_drain(log_, &err));
    CHECK(!log_in_flight(log_));
    CHECK_INT(atomic_load(&done.calls), 50);
    CHECK_INT(atomic_load(&done.ok), 50);
    CHECK(sample_queries(&sample, log_, 10));
    end();
}

static void
test_a_commit_has_a_largest_size(void)
{
    static char payload[LOG_PAYLOAD_MAX];
    struct err err = {0};
    struct log_record record = {.kind = 1, .parts = {{payload, sizeof payload}}};
    begin(5);
    memset(payload, 'x', sizeof payload);
    for (record.at = 1; log_add(log_, &record, &err); record.at++)
        ;
    CHECK_INT(err.code, ERR_LIMIT);
    CHECK_INT((intmax_t)record.at, 8);
    CHECK(log_commit(log_, NULL, NULL, &err)); /* larger than a segment, and fits all the same */
    CHECK(log_add(log_, &record, &err));
    CHECK(log_commit(log_, NULL, NULL, &err));
    CHECK(log_settle(log_, &err));
    CHECK_INT((intmax_t)log_durable(log_), 8);
    CHECK(sample_intact(log_));
    reopen();
    CHECK_INT((intmax_t)log_durable(log_), 8);
    end();
}

/* -- segments ---------------------------------------------------------------------- */

static void
fill_segments(uint64_t segments)
{
    struct err err = {0};
    struct log_stats stats = {0};
    while (stats.segments < segments) {
        if (!sample_commit(&sample, log_, 1 + sample_any(&sample, 40), &err)) {
            printf("# %s\n", err.text);
            must(false);
        }
        CHECK(log_settle(log_, &err));
        log_stats(log_, &stats);
    }
}

static void
test_full_segments_are_sealed_and_answer_as_before(void)
{
    struct err err = {0};
    struct log_stats stats;
    begin(6);
    fill_segments(4);
    log_stats(log_, &stats);
    CHECK_INT((intmax_t)stats.segments, 4);
    CHECK_INT((intmax_t)stats.seals_waiting, 0);
    CHECK(stats.sealed_bytes > 0 && stats.records == sample.count);
    CHECK(log_open_since(log_) > sample.rows[0].at && log_open_since(log_) <= sample.at);
    CHECK(sample_queries(&sample, log_, 60));
    CHECK(sample_intact(log_));
    reopen();
    CHECK(sample_queries(&sample, log_, 60));
    CHECK(sample_intact(log_));
    CHECK(sample_commit(&sample, log_, 7, &err));
    CHECK(sample_whole(&sample, log_));
    end();
}

static unsigned label_bits;

static bool
note_label(void *self, struct str label)
{
    unsigned *calls = self;
    ++*calls;
    int64_t number;
    if (str_to_int((struct str){label.ptr + 6, label.len - 6}, &number))
        label_bits |= 1u << number;
    return true;
}

static void
test_labels_are_listed_once_each(void)
{
    struct err err = {0};
    unsigned calls = 0;
    begin(7);
    fill_segments(3);
    label_bits = 0;
    CHECK(log_labels(log_, (struct log_span){0, UINT64_MAX, false}, note_label, &calls, &err));
    CHECK_INT(calls, 12);
    CHECK_INT(label_bits, 0xFFF);
    calls = 0;
    CHECK(log_labels(log_, (struct log_span){0, 999, false}, note_label, &calls, &err));
    CHECK_INT(calls, 0);
    end();
}

static void
write_note(void *self, struct buffer *note)
{
    const unsigned *number = self;
    buffer_printf(note, "note %u", *number);
}

static void
test_a_segment_keeps_the_note_of_its_beginning(void)
{
    struct err err = {0};
    unsigned number = 0, in_header = 0;
    log_at before, first = 0;
    struct log_options options = {.segment_bytes = LOG_SEGMENT_MIN, .write_note = write_note};
    struct log_stats stats = {0};
    begin(8);
    log_close(log_);
    options.disk = fake_table(disk);
    options.note_self = &number;
    CHECK(log_open(&options, &log_, &recovery, &err));
    for (number = 1; stats.segments < 3; number++) {
        uint64_t segments = stats.segments;
        CHECK(sample_commit(&sample, log_, 30, &err));
        CHECK(log_settle(log_, &err));
        log_stats(log_, &stats);
        if (stats.segments > segments) {
            in_header = number;
            first = sample.rows[sample.count - 30].at;
        }
    }
    char text[32];
    snprintf(text, sizeof text, "note %u", in_header);
    CHECK_STR(log_note(log_, &before), str_from(text));
    CHECK(before < first && before == sample.rows[sample.count - 31].at);
    log_close(log_);
    CHECK(log_open(&options, &log_, &recovery, &err));
    CHECK_STR(log_note(log_, &before), str_from(text));
    CHECK(before < first && before == sample.rows[sample.count - 31].at);
    end();
}

/* -- failures -------------------------------------------------------------------------- */

/* A disk that cannot take another segment: writing stops, reading goes on, and when there is room
 * again all is well. */
static void
test_a_full_disk_stops_writing_only(void)
{
    struct err err = {0};
    begin(9);
    CHECK(sample_commit(&sample, log_, 10, &err));
    CHECK(log_settle(log_, &err));
    pthread_mutex_lock(&disk->mutex);
    disk->full = true;
    pthread_mutex_unlock(&disk->mutex);
    while (sample_commit(&sample, log_, 20, &err))
        ;
    CHECK_INT(err.code, ERR_IO);
    CHECK(!sample_commit(&sample, log_, 20, &err));
    CHECK(sample_queries(&sample, log_, 20));
    CHECK(sample_intact(log_));
    pthread_mutex_lock(&disk->mutex);
    disk->full = false;
    pthread_mutex_unlock(&disk->mutex);
    for (int i = 0; i < 20; i++)
        CHECK(sample_commit(&sample, log_, 20, &err));
    CHECK(sample_queries(&sample, log_, 20));
    reopen();
    CHECK(sample_queries(&sample, log_, 20));
    CHECK(sample_intact(log_));
    end();
}

/* L1, for every call that can fail, once and for long: whatever was done stays, whatever failed is
 * not there, and when the disk is well again so is the log. */
static void
fail_each_call(unsigned fail_for, uint64_t rows_before)
{
    for (unsigned fail_at = 1;; fail_at++) {
        struct err err = {0};
        unsigned failed = 0;
        begin(100 + fail_at);
        while (sample.count < rows_before)
            must(sample_commit(&sample, log_, 40, &err));
        must(log_settle(log_, &err));

        pthread_mutex_lock(&disk->mutex);
        disk->calls = 0;
        disk->fail_at = fail_at;
        disk->fail_for = fail_for;
        pthread_mutex_unlock(&disk->mutex);
        for (int i = 0; i < 9; i++)
            if (!sample_commit(&sample, log_, 40, &err)) {
                CHECK_INT(err.code, ERR_IO);
                failed++;
            }
        bool settled = log_settle(log_, &err);
        pthread_mutex_lock(&disk->mutex);
        bool met = disk->calls >= fail_at;
        disk->fail_at = 0;
        pthread_mutex_unlock(&disk->mutex);

        CHECK(sample_queries(&sample, log_, 3));
        CHECK(sample_commit(&sample, log_, 3, &err) || log_settle(log_, &err));
        CHECK(log_settle(log_, &err));
        CHECK(sample_commit(&sample, log_, 3, &err));
        CHECK(sample_intact(log_));
        reopen();
        CHECK(recovery.stopped_in_order && !recovery.torn);
        bool right = CHECK(sample_queries(&sample, log_, 3)) && CHECK(sample_intact(log_));
        end();
        if (!right)
            printf("# with call %u failing, %u commits failed\n", fail_at, failed);
        if (!met && settled && failed == 0)
            break;
        if (!CHECK(fail_at < 400) || !right)
            break;
    }
}

static void
test_a_call_that_fails_once_loses_nothing_that_was_done(void)
{
    fail_each_call(1, 0);
    fail_each_call(1, 300);
}

static void
test_calls_that_fail_for_long_lose_nothing_that_was_done(void)
{
    fail_each_call(2, 300);
    fail_each_call(7, 300);
}

/* As L1 says: what follows a commit that failed is dropped with it, and its `done` is not called.
 * */
static void
test_a_failed_commit_takes_the_one_being_built_with_it(void)
{
    struct err err = {0};
    struct done done = {0};
    begin(10);
    CHECK(sample_commit(&sample, log_, 5, &err));
    CHECK(log_settle(log_, &err));
    pthread_mutex_lock(&disk->mutex);
    disk->fail_next = "write"; /* the sealer may be reserving the next segment */
    pthread_mutex_unlock(&disk->mutex);
    sample_build(&sample, log_, 5);
    CHECK(log_commit(log_, note_done, &done, &err));
    sample_build(&sample, log_, 5);
    CHECK(!log_commit(log_, note_done, &done, &err));
    CHECK_INT(err.code, ERR_IO);
    CHECK_INT(atomic_load(&done.calls), 1);
    CHECK_INT(atomic_load(&done.ok), 0);
    sample_undo(&sample, sample.commits - 1);
    sample.at = sample.rows[sample.count - 1].at;
    CHECK(sample_whole(&sample, log_));
    CHECK(sample_commit(&sample, log_, 5, &err));
    CHECK(sample_queries(&sample, log_, 10));
    end();
}

static void
test_two_segments_wait_to_be_sealed_at_most(void)
{
    struct err err = {0};
    struct log_stats stats = {0};
    begin(11);
    CHECK(sample_commit(&sample, log_, 5, &err));
    while (stats.seals_waiting < 2) {
        struct fake_inode *newest = NULL;
        pthread_mutex_lock(&disk->mutex);
        for (size_t i = 0; i < FAKE_NAMES; i++) /* whatever is sealed now finds damage */
            if (disk->names[i].inode != NULL && strstr(disk->names[i].name, ".log") != NULL)
                newest = disk->names[i].inode;
        newest->now[96] ^= 1;
        pthread_mutex_unlock(&disk->mutex);
        uint64_t segments = stats.segments;
        while (stats.segments <= segments + (segments == 0)) {
            must(sample_commit(&sample, log_, 40, &err));
            log_stats(log_, &stats);
        }
    }
    while (sample_commit(&sample, log_, 40, &err))
        ;
    CHECK_INT(err.code, ERR_IO);
    CHECK(strstr(err.text, "two segments wait to be sealed") != NULL);
    log_close(log_);
    sample_fini(&sample);
    fake_free(disk);
}

int
main(void)
{
    RUN(test_an_empty_log_can_be_asked_anything);
    RUN(test_what_is_done_is_there_again_after_a_restart);
    RUN(test_rows_not_committed_are_not_shown_and_can_be_dropped);
    RUN(test_done_is_called_once_for_each_commit_in_flight);
    RUN(test_a_commit_has_a_largest_size);
    RUN(test_full_segments_are_sealed_and_answer_as_before);
    RUN(test_labels_are_listed_once_each);
    RUN(test_a_segment_keeps_the_note_of_its_beginning);
    RUN(test_a_full_disk_stops_writing_only);
    RUN(test_a_failed_commit_takes_the_one_being_built_with_it);
    RUN(test_two_segments_wait_to_be_sealed_at_most);
    RUN(test_a_call_that_fails_once_loses_nothing_that_was_done);
    RUN(test_calls_that_fail_for_long_lose_nothing_that_was_done);
    return tap_done();
}
