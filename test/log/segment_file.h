/* segment_file - a log on a fake disk to be damaged, and what its files look like inside. */
#ifndef SEGMENT_FILE_H
#define SEGMENT_FILE_H

#include "codec/hash.h"
#include "log/sample.h"

struct finds {
    unsigned count;
    char file[64];
    uint64_t offset; /* of the first */
    log_at at;
    char text[160];
    log_at wanted; /* was there one that names this record? */
    bool named;
};

static inline void
note_finding(void *self, const struct log_finding *finding)
{
    struct finds *finds = self;
    if (finds->count++ == 0) {
        finds->offset = finding->offset;
        finds->at = finding->at;
        memcpy(finds->file, finding->file, sizeof finds->file);
        memcpy(finds->text, finding->text, sizeof finds->text);
    }
    finds->named = finds->named || finding->at == finds->wanted;
}

/* What verify says of the disk as it is, opened for reading only. */
static inline struct finds
verify(struct fake_disk *disk, log_at wanted)
{
    struct finds finds = {.wanted = wanted};
    struct log_recovery recovery;
    struct err err = {0};
    uint64_t records;
    struct log *log = sample_open(disk, true, &recovery, &err);
    if (!CHECK(log != NULL)) {
        printf("# %s\n", err.text);
        return finds;
    }
    CHECK(log_verify(log, note_finding, &finds, &records, &err));
    log_close(log);
    return finds;
}

static inline bool
opens(struct fake_disk *disk, struct log_recovery *recovery, struct err *err)
{
    struct fake_disk *copy = fake_copy(disk, true);
    struct log *log = sample_open(copy, false, recovery, err);
    if (log != NULL)
        log_close(log);
    fake_free(copy);
    return log != NULL;
}

/* A log of some small commits in one segment, or, `sealed`, in two of which the first is sealed. */
static inline struct fake_disk *
make(struct sample *sample, size_t rows, bool sealed, char name[static 64])
{
    struct log_recovery recovery;
    struct err err = {0};
    struct log_stats stats = {0};
    struct fake_disk *disk = fake_new(5);
    sample_init(sample, 5);
    struct log *log = sample_open(disk, false, &recovery, &err);
    must(log != NULL);
    for (int i = 0; i < 4; i++)
        must(sample_commit(sample, log, rows, &err));
    snprintf(name, 64, "%020llu.log", (unsigned long long)sample->rows[0].at);
    while (sealed && stats.segments < 2) {
        must(sample_commit(sample, log, 60, &err));
        must(log_settle(log, &err));
        log_stats(log, &stats);
    }
    log_close(log);
    return disk;
}

static inline uint32_t
get32(const unsigned char *from)
{
    uint32_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

static inline uint64_t
get64(const unsigned char *from)
{
    uint64_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

static inline void
put32(unsigned char *to, uint32_t value)
{
    memcpy(to, &value, sizeof value);
}

/* Where the records of a plain segment end. */
static inline size_t
used(const struct fake_inode *file)
{
    size_t at = get32(file->now + 12);
    while (at + 24 <= file->len && memcmp(file->now + at, "Tocr", 4) == 0)
        at += (get32(file->now + at + 8) + 7) / 8 * 8;
    return at;
}

struct place {
    size_t at, size;
    log_at position;
};

static inline size_t
places(const struct fake_inode *file, struct place *out, size_t max)
{
    size_t count = 0;
    for (size_t at = get32(file->now + 12); at < used(file) && count < max;) {
        size_t size = (get32(file->now + at + 8) + 7) / 8 * 8;
        out[count++] = (struct place){at, size, get64(file->now + at + 16)};
        at += size;
    }
    return count;
}

#endif
