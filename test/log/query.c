/* What the reading calls promise beside giving the right rows: they stop when they are told to,
 * count as far as they are asked to, and the bounds of a span are in it. */
#include "log/sample.h"

static struct fake_disk *disk;
static struct log *log_;
static struct sample sample;

static void
begin(void)
{
    struct log_recovery recovery;
    struct err err = {0};
    struct log_stats stats = {0};
    disk = fake_new(21);
    sample_init(&sample, 21);
    log_ = sample_open(disk, false, &recovery, &err);
    must(log_ != NULL);
    while (stats.segments < 3) { /* two sealed, one open */
        must(sample_commit(&sample, log_, 50, &err) && log_settle(log_, &err));
        log_stats(log_, &stats);
    }
    must(sample_commit(&sample, log_, 300, &err));
}

static void
end(void)
{
    log_close(log_);
    sample_fini(&sample);
    fake_free(disk);
}

struct take {
    size_t count, most;
    log_at last;
};

static bool
take(void *self, const struct log_row *row)
{
    struct take *taken = self;
    taken->last = row->at;
    return ++taken->count < taken->most;
}

static bool
take_label(void *self, struct str label)
{
    struct take *taken = self;
    (void)label;
    return ++taken->count < taken->most;
}

/* A term that every second row or so has. */
static uint64_t
frequent_term(void)
{
    uint64_t number = 1;
    return hash64(0, &number, sizeof number);
}

static void
test_a_callback_that_says_stop_is_not_called_again(void)
{
    struct err err = {0};
    uint64_t term = frequent_term();
    struct log_any group = {&term, 1};
    begin();
    for (int descending = 0; descending < 2; descending++) {
        struct log_span span = {0, UINT64_MAX, descending == 1};
        struct take taken = {.most = 7};
        CHECK(log_scan(log_, span, 0, take, &taken, &err));
        CHECK_INT((intmax_t)taken.count, 7);
        CHECK(taken.last == sample.rows[descending == 1 ? sample.count - 7 : 6].at);
        taken = (struct take){.most = 7};
        CHECK(log_find(log_, span, &group, 1, take, &taken, &err));
        CHECK_INT((intmax_t)taken.count, 7);
        taken = (struct take){.most = 2};
        CHECK(log_labels(log_, span, take_label, &taken, &err));
        CHECK_INT((intmax_t)taken.count, 2);
    }
    end();
}

static void
test_a_count_goes_as_far_as_it_is_asked_to(void)
{
    struct err err = {0};
    uint64_t term = frequent_term(), count = 0, all = 0;
    struct log_any group = {&term, 1}, none = {&term, 0};
    struct log_span span = {0, UINT64_MAX, false};
    begin();
    CHECK(log_count(log_, span, &group, 1, UINT64_MAX, &all, &err));
    CHECK(all > 100);
    CHECK(log_count(log_, span, &group, 1, 10, &count, &err));
    CHECK_INT((intmax_t)count, 10);
    CHECK(log_count(log_, span, &group, 1, all + 1, &count, &err));
    CHECK_INT((intmax_t)count, (intmax_t)all);
    CHECK(log_count(log_, span, &none, 1, 10, &count, &err)); /* one of no terms: no rows */
    CHECK_INT((intmax_t)count, 0);
    end();
}

static void
test_both_ends_of_a_span_are_in_it(void)
{
    begin();
    for (size_t i = 0; i + 40 < sample.count; i += 37) {
        struct log_span span = {sample.rows[i].at, sample.rows[i + 40].at, i % 2 == 0};
        if (!CHECK(sample_agrees(&sample, log_, span, 0, NULL, 0)))
            break;
        span.from = span.to = sample.rows[i].at; /* one row */
        if (!CHECK(sample_agrees(&sample, log_, span, 0, NULL, 0)))
            break;
    }
    struct log_span nothing = {sample.rows[5].at, sample.rows[4].at, false};
    CHECK(sample_agrees(&sample, log_, nothing, 0, NULL, 0));
    end();
}

/* A reader of what is before log_open_since and one of what is from it on see all, each row once.
 * */
static void
test_what_is_sealed_and_what_is_open_meet(void)
{
    begin();
    log_at since = log_open_since(log_);
    struct log_span sealed = {0, since - 1, false}, open = {since, UINT64_MAX, false};
    CHECK(sample_agrees(&sample, log_, sealed, 0, NULL, 0));
    CHECK(sample_agrees(&sample, log_, open, 0, NULL, 0));
    size_t before = 0;
    while (before < sample.count && sample.rows[before].at < since)
        before++;
    CHECK(before > 0 && before < sample.count && sample.rows[before].at == since);
    end();
}

/* Only a segment of a megabyte and more gets a dictionary. */
static void
test_a_segment_packed_with_a_dictionary_answers_the_same(void)
{
    struct log_recovery recovery;
    struct err err = {0};
    struct log_stats stats = {0};
    disk = fake_new(22);
    sample_init(&sample, 22);
    struct log_options options = {.disk = fake_table(disk), .segment_bytes = 1200 * 1024};
    CHECK(log_open(&options, &log_, &recovery, &err));
    while (stats.segments < 2) {
        sample.commits++;
        for (int i = 0; i < 200; i++)
            must(sample_add(log_, sample_make(&sample, SAMPLE_PAYLOAD), &err));
        must(log_commit(log_, NULL, NULL, &err) && log_settle(log_, &err));
        log_stats(log_, &stats);
    }
    char name[64];
    uint64_t dictionary_len;
    snprintf(name, sizeof name, "%020llu.log", (unsigned long long)sample.rows[0].at);
    memcpy(&dictionary_len, fake_file(disk, name)->now + 112 + 24 + 8, sizeof dictionary_len);
    CHECK(dictionary_len > 0);
    CHECK(sample_queries(&sample, log_, 20));
    CHECK(sample_intact(log_));
    log_close(log_);
    CHECK(log_open(&options, &log_, &recovery, &err));
    CHECK(sample_queries(&sample, log_, 20));
    end();
}

int
main(void)
{
    RUN(test_a_segment_packed_with_a_dictionary_answers_the_same);
    RUN(test_a_callback_that_says_stop_is_not_called_again);
    RUN(test_a_count_goes_as_far_as_it_is_asked_to);
    RUN(test_both_ends_of_a_span_are_in_it);
    RUN(test_what_is_sealed_and_what_is_open_meet);
    return tap_done();
}
