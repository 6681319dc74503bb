/* L2: what somebody changes who can compute checksums is found by log_verify all the same, by the
 * commit chain, and named. */
#include "log/segment_file.h"

/* Puts `len` bytes in the place of `old`, moving what follows. */
static void
splice(struct fake_inode *file, size_t at, size_t old, const void *bytes, size_t len)
{
    size_t end = used(file);
    unsigned char *rest = base_alloc(end - at - old + 1, 1);
    memcpy(rest, file->now + at + old, end - at - old);
    memset(file->now + at, 0, end - at);
    memcpy(file->now + at, bytes, len);
    memcpy(file->now + at + len, rest, end - at - old);
    base_free(rest);
}

static void
check_tampered(struct fake_disk *disk, const char *name, log_at named, const char *what)
{
    struct log_recovery recovery;
    struct err err = {0};
    struct finds finds = verify(disk, named);
    if (!CHECK(finds.count > 0) || !CHECK(finds.named))
        printf("# %s: %s at %llu, record %llu; wanted record %llu\n", what, finds.text,
               (unsigned long long)finds.offset, (unsigned long long)finds.at,
               (unsigned long long)named);
    CHECK_TEXT(finds.file, name);
    CHECK(!opens(disk, &recovery, &err));
    CHECK_INT(err.code, ERR_CORRUPT);
}

/* Each commit is three rows and a closing record; numbers 5, 6 and 7 are rows of the second. */
static void
test_records_removed_moved_or_added_in_a_plain_segment_are_named(void)
{
    struct sample sample;
    char name[64];
    unsigned char bytes[4096];
    struct place place[20];
    struct fake_disk *kept = make(&sample, 3, false, name), *disk;
    must(places(fake_file(kept, name), place, 20) >= 16);
    log_at closing = place[7].position;

    disk = fake_copy(kept, true);
    splice(fake_file(disk, name), place[5].at, place[5].size, "", 0);
    check_tampered(disk, name, closing, "removed");
    fake_free(disk);

    disk = fake_copy(kept, true);
    struct fake_inode *file = fake_file(disk, name);
    memcpy(bytes, file->now + place[5].at, place[5].size);
    memmove(file->now + place[4].at + place[5].size, file->now + place[4].at, place[4].size);
    memcpy(file->now + place[4].at, bytes, place[5].size);
    check_tampered(disk, name, place[4].position, "swapped");
    fake_free(disk);

    disk = fake_copy(kept, true);
    file = fake_file(disk, name);
    memcpy(bytes, file->now + place[5].at, place[5].size);
    splice(file, place[6].at, 0, bytes, place[5].size);
    check_tampered(disk, name, place[5].position, "added");
    fake_free(disk);

    /* A whole commit taken out: the next one's closing record does not follow. */
    disk = fake_copy(kept, true);
    splice(fake_file(disk, name), place[4].at, place[8].at - place[4].at, "", 0);
    check_tampered(disk, name, place[11].position, "commit removed");
    fake_free(disk);

    /* A payload changed, its checksum made right again. */
    disk = fake_copy(kept, true);
    file = fake_file(disk, name);
    file->now[place[5].at + place[5].size - 9] ^= 1;
    put32(file->now + place[5].at + 4, crc32c(0, file->now + place[5].at + 8, place[5].size - 8));
    check_tampered(disk, name, closing, "rewritten");
    fake_free(disk);

    sample_fini(&sample);
    fake_free(kept);
}

/* The frames of random payloads are kept as they are, so that one can be rewritten in its place,
 * with every checksum made right: frame, directory, head. Only the chain is left to tell. */
static void
make_checksums_right(struct fake_inode *file)
{
    unsigned char *head = file->now;
    unsigned char *frames = file->now + get64(head + 112 + 2 * 24);
    uint64_t frames_len = get64(head + 112 + 2 * 24 + 8);
    unsigned char *directory = file->now + get64(head + 112 + 3 * 24);
    uint64_t directory_len = get64(head + 112 + 3 * 24 + 8);
    for (uint64_t i = 0; i < directory_len; i += 32)
        put32(directory + i + 12,
              crc32c(0, frames + get32(directory + i), get32(directory + i + 4)));
    put32(head + 112 + 2 * 24 + 16, crc32c(0, frames, frames_len));
    put32(head + 112 + 3 * 24 + 16, crc32c(0, directory, directory_len));
    put32(head + 12, crc32c(crc32c(0, head, 12), head + 16, 328 - 16));
}

enum { PAYLOAD = 4000, SIZE = 24 + PAYLOAD /* in a frame, the term cut out */ };

static struct fake_disk *
make_incompressible(char name[static 64])
{
    struct log_recovery recovery;
    struct err err = {0};
    struct log_stats stats = {0};
    struct fake_disk *disk = fake_new(6);
    struct log *log = sample_open(disk, false, &recovery, &err);
    must(log != NULL);
    uint64_t random = 11;
    log_at at = 1000;
    while (stats.segments < 2) {
        for (int i = 0; i < 10; i++) {
            unsigned char payload[PAYLOAD];
            uint64_t term = hash64(1, &at, sizeof at);
            for (size_t j = 0; j < sizeof payload; j++)
                payload[j] = (unsigned char)fake_random(&random);
            must(log_add(log,
                         &(struct log_record){.at = at++,
                                              .kind = 1,
                                              .terms = &term,
                                              .term_count = 1,
                                              .parts = {{(char *)payload, sizeof payload}}},
                         &err));
        }
        must(log_commit(log, NULL, NULL, &err) && log_settle(log, &err));
        log_stats(log, &stats);
    }
    must(log_settle(log, &err));
    log_close(log);
    snprintf(name, 64, "%020d.log", 1000);
    return disk;
}

static void
test_records_moved_or_rewritten_in_a_sealed_segment_are_named(void)
{
    char name[64];
    struct fake_disk *kept = make_incompressible(name);
    uint64_t frames = get64(fake_file(kept, name)->now + 112 + 2 * 24);
    CHECK(verify(kept, 0).count == 0);

    struct fake_disk *disk = fake_copy(kept, true);
    struct fake_inode *file = fake_file(disk, name);
    unsigned char bytes[SIZE];
    unsigned char *first = file->now + frames + SIZE, *second = first + SIZE;
    CHECK(memcmp(first, "Tocr", 4) == 0 && get64(first + 16) == 1001);
    memcpy(bytes, first, SIZE);
    memcpy(first, second, SIZE);
    memcpy(second, bytes, SIZE);
    make_checksums_right(file);
    struct finds finds = verify(disk, 1001);
    CHECK(finds.count > 0 && finds.named);
    CHECK_TEXT(finds.file, name);
    fake_free(disk);

    /* Rewritten, the record's own checksum right too: the commit's closing record is named. */
    disk = fake_copy(kept, true);
    file = fake_file(disk, name);
    unsigned char whole[SIZE + 8];
    uint64_t at = 1001, term = hash64(1, &at, sizeof at);
    first = file->now + frames + SIZE;
    first[100] ^= 1;
    memcpy(whole, first, 24);
    memcpy(whole + 24, &term, 8);
    memcpy(whole + 32, first + 24, SIZE - 24);
    put32(first + 4, crc32c(0, whole + 8, sizeof whole - 8));
    make_checksums_right(file);
    finds = verify(disk, 1009);
    CHECK(finds.count > 0 && finds.named);
    CHECK(strstr(finds.text, "closing hash") != NULL);
    fake_free(disk);
    fake_free(kept);
}

static void
test_a_segment_that_is_missing_is_named(void)
{
    struct sample sample;
    struct log_recovery recovery;
    struct err err = {0};
    char name[64];
    struct fake_disk *disk = make(&sample, 3, true, name);
    CHECK(fake_remove(disk, name, &err));
    struct finds finds = verify(disk, 0);
    CHECK(finds.count > 0);
    CHECK(strstr(finds.text, "missing") != NULL);
    CHECK(!opens(disk, &recovery, &err));
    CHECK_INT(err.code, ERR_CORRUPT);
    sample_fini(&sample);
    fake_free(disk);
}

int
main(void)
{
    RUN(test_records_removed_moved_or_added_in_a_plain_segment_are_named);
    RUN(test_records_moved_or_rewritten_in_a_sealed_segment_are_named);
    RUN(test_a_segment_that_is_missing_is_named);
    return tap_done();
}
