/* L2: any byte that changes in a stored segment is found by log_verify and named, and a log with
 * damage does not open. A torn end does, and loses nothing but itself (see log/log.h and
 * recover.c). */
#include "log/segment_file.h"

/* The record a byte of a plain segment lies in. */
static size_t
record_of(const struct fake_inode *file, size_t at)
{
    size_t record = get32(file->now + 12), next = record;
    while (next <= at) {
        record = next;
        next += (get32(file->now + next + 8) + 7) / 8 * 8;
    }
    return record;
}

static void
test_any_byte_changed_in_a_plain_segment_is_found_and_named(void)
{
    struct sample sample;
    char name[64];
    struct fake_disk *disk = make(&sample, 1, false, name);
    struct fake_inode *file = fake_file(disk, name);
    size_t end = used(file), header = get32(file->now + 12), last = record_of(file, end - 1);
    for (size_t at = 0; at < end; at++) {
        struct log_recovery recovery = {0};
        struct err err = {0};
        size_t record = at < header ? 0 : record_of(file, at);
        log_at position = at < header ? 0 : get64(file->now + record + 16);
        file->now[at] ^= (unsigned char)(1 + at % 255);
        struct finds finds = verify(disk, position);
        bool right = CHECK(finds.count > 0) && CHECK_TEXT(finds.file, name);
        /* A damaged position or length cannot be told; the place always can. */
        if (at >= header && at < last)
            right = right && CHECK(finds.offset == record);
        if (at >= header + 24 && at < last && at >= record + 24)
            right = right && CHECK(finds.named);
        bool opened = opens(disk, &recovery, &err);
        /* The last closing record is the one whose damage looks like a torn end. */
        right = right && CHECK(at >= last ? opened && recovery.torn : !opened);
        if (!opened)
            right =
                right && CHECK_INT(err.code, ERR_CORRUPT) && CHECK(strstr(err.text, name) != NULL);
        file->now[at] ^= (unsigned char)(1 + at % 255);
        if (!right) {
            printf("# at byte %zu, record at %zu: %s (offset %llu); %s\n", at, record, finds.text,
                   (unsigned long long)finds.offset, err.text);
            break;
        }
    }
    CHECK(verify(disk, 0).count == 0);
    sample_fini(&sample);
    fake_free(disk);
}

static void
test_any_byte_changed_in_a_sealed_segment_is_found(void)
{
    struct sample sample;
    char name[64];
    struct fake_disk *disk = make(&sample, 3, true, name);
    struct fake_inode *file = fake_file(disk, name);
    CHECK(memcmp(file->now, "TocsinSg", 8) == 0);
    /* Every byte of the head; behind it, what is long is alike: every 23rd. */
    for (size_t at = 0; at < file->len; at += at < 330 ? 1 : 23) {
        file->now[at] ^= (unsigned char)(1 + at % 255);
        struct finds finds = verify(disk, 0);
        file->now[at] ^= (unsigned char)(1 + at % 255);
        if (!CHECK(finds.count > 0) || !CHECK_TEXT(finds.file, name)) {
            printf("# at byte %zu of %zu\n", at, file->len);
            break;
        }
    }
    CHECK(verify(disk, 0).count == 0);
    sample_fini(&sample);
    fake_free(disk);
}

/* A damaged frame costs the rows of that frame, and queries that need it say so. */
static void
test_reading_a_damaged_frame_is_an_error_and_the_rest_can_be_read(void)
{
    struct sample sample;
    struct log_recovery recovery;
    struct err err = {0};
    char name[64];
    struct fake_disk *disk = make(&sample, 3, true, name);
    struct fake_inode *file = fake_file(disk, name);
    uint64_t frames = get64(file->now + 112 + 2 * 24), len = get64(file->now + 112 + 2 * 24 + 8);
    file->now[frames + len / 2] ^= 1;
    struct log *log = sample_open(disk, false, &recovery, &err);
    struct sample_look look = {&sample, NULL, 0, 0, false};
    size_t *wanted = base_alloc(sample.count, sizeof *wanted);
    for (size_t i = 0; i < sample.count; i++)
        wanted[i] = i;
    look.wanted = wanted;
    look.count = sample.count;
    CHECK(log != NULL);
    CHECK(!log_scan(log, (struct log_span){0, UINT64_MAX, false}, 0, sample_see, &look, &err));
    CHECK_INT(err.code, ERR_CORRUPT);
    CHECK(strstr(err.text, name) != NULL && strstr(err.text, "offset") != NULL);
    CHECK(look.seen > 0 && !look.wrong);
    log_at last = sample.rows[sample.count - 1].at;
    for (size_t i = 0; i < sample.count; i++)
        wanted[i] = sample.count - 1 - i;
    look = (struct sample_look){&sample, wanted, 5, 0, false};
    CHECK(log_scan(log, (struct log_span){sample.rows[sample.count - 5].at, last, true}, 0,
                   sample_see, &look, &err));
    CHECK_INT((intmax_t)look.seen, 5);
    log_close(log);
    base_free(wanted);
    sample_fini(&sample);
    fake_free(disk);
}

/* -- torn ends ---------- */

/* The file of the newest segment cut at every length, and at every length with the reserved zeros
 * behind it: what was closed by then is there, the rest is dropped and said. */
static void
test_a_torn_end_of_any_length_costs_the_last_commit_only(void)
{
    struct sample sample;
    char name[64];
    struct place place[40];
    struct fake_disk *kept = make(&sample, 1, false, name);
    struct fake_inode *file = fake_file(kept, name);
    size_t count = places(file, place, 40), end = used(file), header = place[0].at;
    for (size_t cut = header; cut <= end; cut++) {
        for (int zeros = 0; zeros < 2; zeros++) {
            struct log_recovery recovery = {0};
            struct err err = {0};
            struct fake_disk *disk = fake_copy(kept, true);
            struct fake_inode *torn = fake_file(disk, name);
            memset(torn->now + cut, 0, torn->len - cut);
            if (zeros == 0)
                torn->len = cut;
            size_t closed = header, used_to = cut;
            for (size_t i = 0; i < count; i++)
                if (file->now[place[i].at + 12] == 255 &&
                    (zeros ? place[i].at < cut : place[i].at + place[i].size <= cut) &&
                    memcmp(torn->now + place[i].at, file->now + place[i].at, place[i].size) == 0)
                    closed = place[i].at + place[i].size;
            while (used_to > closed && torn->now[used_to - 1] == 0)
                used_to--;
            struct finds finds = verify(disk, 0);
            bool right = CHECK((finds.count > 0) == (used_to > closed)) &&
                         CHECK(finds.count == 0 || finds.offset == closed);
            struct log *log = sample_open(disk, false, &recovery, &err);
            right = right && CHECK(log != NULL) && CHECK(recovery.torn == (used_to > closed));
            if (right && recovery.torn)
                right = CHECK(strstr(recovery.torn_text, name) != NULL) &&
                        CHECK(recovery.torn_bytes > 0 && recovery.torn_bytes < cut - closed + 8);
            right = right && CHECK(sample_intact(log));
            if (log != NULL)
                log_close(log);
            fake_free(disk);
            if (!right) {
                printf("# cut at %zu, closed at %zu, %s zeros: %s\n", cut, closed,
                       zeros ? "with" : "without", err.text);
                cut = end;
                break;
            }
        }
    }
    sample_fini(&sample);
    fake_free(kept);
}

/* Not torn: a whole closing record comes after it, so something that was done is damaged. */
static void
test_damage_before_a_closing_record_is_not_taken_for_a_torn_end(void)
{
    struct sample sample;
    struct log_recovery recovery;
    struct err err = {0};
    char name[64], offset[32];
    struct place place[40];
    struct fake_disk *disk = make(&sample, 3, false, name);
    struct fake_inode *file = fake_file(disk, name);
    places(file, place, 40);
    file->now[place[9].at + 30] ^= 4; /* of the third commit of four and the stop */
    size_t before = file->len;
    unsigned char *picture = base_alloc(file->len, 1);
    memcpy(picture, file->now, file->len);
    struct log *log = sample_open(disk, false, &recovery, &err);
    CHECK(log == NULL);
    CHECK_INT(err.code, ERR_CORRUPT);
    snprintf(offset, sizeof offset, "offset %zu", place[9].at);
    CHECK(strstr(err.text, name) != NULL && strstr(err.text, offset) != NULL);
    CHECK(file->len == before && memcmp(file->now, picture, before) == 0); /* nothing was changed */
    base_free(picture);
    sample_fini(&sample);
    fake_free(disk);
}

static void
test_a_damaged_log_opened_for_reading_only_answers_with_the_damage(void)
{
    struct sample sample;
    struct log_recovery recovery;
    struct err err = {0};
    char name[64];
    struct fake_disk *disk = make(&sample, 3, true, name);
    fake_file(disk, name)->now[20] ^= 1;
    struct log *log = sample_open(disk, true, &recovery, &err);
    CHECK(log != NULL);
    struct sample_look look = {&sample, NULL, 0, 0, false};
    CHECK(!log_scan(log, (struct log_span){0, UINT64_MAX, false}, 0, sample_see, &look, &err));
    CHECK_INT(err.code, ERR_CORRUPT);
    CHECK(strstr(err.text, name) != NULL);
    log_close(log);
    sample_fini(&sample);
    fake_free(disk);
}

int
main(void)
{
    RUN(test_any_byte_changed_in_a_plain_segment_is_found_and_named);
    RUN(test_any_byte_changed_in_a_sealed_segment_is_found);
    RUN(test_reading_a_damaged_frame_is_an_error_and_the_rest_can_be_read);
    RUN(test_a_torn_end_of_any_length_costs_the_last_commit_only);
    RUN(test_damage_before_a_closing_record_is_not_taken_for_a_torn_end);
    RUN(test_a_damaged_log_opened_for_reading_only_answers_with_the_damage);
    return tap_done();
}
