/* A segment's file of any bytes, plain or sealed: opened, verified, scanned, asked. It may be
 * refused, and nothing else may happen. */
#include "log/fake_disk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
note_finding(void *self, const struct log_finding *finding)
{
    uint64_t *count = self;
    must(finding->text[0] != '\0');
    ++*count;
}

static bool
see_row(void *self, const struct log_row *row)
{
    uint64_t *sum = self;
    *sum += row->at + row->kind;
    for (size_t i = 0; i < row->payload.len; i++)
        *sum += (unsigned char)row->payload.ptr[i];
    for (size_t i = 0; i < row->label.len; i++)
        *sum += (unsigned char)row->label.ptr[i];
    return true;
}

static bool
see_label(void *self, struct str label)
{
    uint64_t *sum = self;
    for (size_t i = 0; i < label.len; i++)
        *sum += (unsigned char)label.ptr[i];
    return true;
}

static void
ask(struct log *log, const uint8_t *data, size_t size)
{
    struct err err;
    uint64_t sum = 0, records;
    (void)!log_verify(log, note_finding, &sum, &records, &err);
    for (int descending = 0; descending < 2; descending++) {
        struct log_span all = {0, UINT64_MAX, descending == 1};
        (void)!log_scan(log, all, 0, see_row, &sum, &err);
        (void)!log_labels(log, all, see_label, &sum, &err);
        /* Terms that may be in it: words of the file. */
        for (size_t at = 0; at + 16 <= size && at < 4096; at += 8 + at / 8) {
            uint64_t terms[2];
            memcpy(terms, data + at, sizeof terms);
            struct log_any groups[] = {{&terms[0], 2}, {&terms[0], 1}};
            struct log_span some = {terms[1] % 5000, UINT64_MAX - terms[0] % 7, descending == 1};
            (void)!log_find(log, all, groups, 1, see_row, &sum, &err);
            (void)!log_find(log, some, groups, 2, see_row, &sum, &err);
            (void)!log_count(log, all, &groups[1], 1, 1000, &sum, &err);
        }
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fake_disk *disk = fake_new(1);
    struct log_disk table = fake_table(disk);
    struct log_file *file;
    struct log_recovery recovery;
    struct log *log;
    struct err err;
    must(table.open(disk, "00000000000000001000.log", true, &file, &err));
    must(table.write(disk, file, 0, data, size, &err));
    table.close(disk, file);
    struct log_options options = {
        .disk = table,
        .segment_bytes = LOG_SEGMENT_MIN,
        .cache_bytes = 64 * 1024,
        .read_only = true,
    };
    if (log_open(&options, &log, &recovery, &err)) {
        ask(log, data, size);
        log_close(log);
    }
    fake_free(disk);
    return 0;
}
