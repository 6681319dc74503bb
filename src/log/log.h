/* log - the append-only record of everything we were told and did.
 *
 * Knows bytes, terms and hashes; no event, no JSON. One thread writes (the
 * owner); any thread may read. The format stands in doc/log-format.md and at the
 * heads of the files that write it (format.c, seal.c, seal_index.c).
 *
 * A log is a folder of segments of about `segment_bytes`. A segment is a header and a run of
 * records; records are grouped in commits, each ended by a closing record with the hash of the
 * commit chain. The newest segment is open: plain bytes, its index in memory. Older ones are
 * sealed by a thread of the log's own: compressed frames and a sorted index in the same file.
 *
 * INVARIANTS. The tests in test/log/ are named after them.
 *   L1  When a commit's `done` says ok, the whole commit survives kill -9 and power loss. One that
 *       did not say ok is afterwards there whole or not at all, and never once a later one is
 *       acknowledged.
 *   L2  Changing any byte of a stored record, or removing, adding or moving one, is found by
 *       log_verify and named.
 *   L3  No two records have the same position, and later in the log means greater.
 *   L4  A query by index and a scan of the whole log give the same rows in the same order.
 */
#ifndef LOG_H
#define LOG_H

#include "base/base.h"
#include "base/histogram.h"

#define LOG_HASH_SIZE     32
#define LOG_TERMS_MAX     64                   /* of one record */
#define LOG_PAYLOAD_MAX   (1024u * 1024u)      /* bytes of one record */
#define LOG_COMMIT_MAX    (8u * 1024u * 1024u) /* bytes of one commit */
#define LOG_SEGMENT_MIN   (64u * 1024u)
#define LOG_SEGMENT_BYTES (256u * 1024u * 1024u) /* default */
#define LOG_KIND_CLOSE    255 /* kinds 1..250 are the owner's; this one ends a commit */
#define LOG_KIND_STOP     254 /* written by log_close: an orderly end */

/* A record's position: microseconds, strictly increasing through the log. */
typedef uint64_t log_at;

/* -- the disk, as far as the log can see it; tests hand in one that fails ----
 * Every call returns false with ERR_IO and the reason. Files are named within the folder. */
struct log_file; /* the disk's own */
struct log_disk {
    void *self;
    bool (*open)(void *self, const char *name, bool create, struct log_file **file_out,
                 struct err *err); /* create: empty, whatever was there */
    bool (*write)(void *self, struct log_file *file, uint64_t at, const void *data, size_t len,
                  struct err *err);
    bool (*read)(void *self, struct log_file *file, uint64_t at, void *data, size_t len,
                 struct err *err);                                    /* all of it, or false */
    bool (*sync)(void *self, struct log_file *file, struct err *err); /* fdatasync */
    bool (*truncate)(void *self, struct log_file *file, uint64_t len, struct err *err);
    bool (*reserve)(void *self, struct log_file *file, uint64_t len, struct err *err);
    /* Zeros onto reserved bytes, on the disk when it returns, though only a sync makes them
     * durable; NULL: the disk does not want them. */
    bool (*zero)(void *self, struct log_file *file, uint64_t at, uint64_t len, struct err *err);
    bool (*size)(void *self, struct log_file *file, uint64_t *len_out, struct err *err);
    void (*close)(void *self, struct log_file *file);
    bool (*rename)(void *self, const char *from, const char *to, struct err *err); /* + sync dir */
    bool (*remove)(void *self, const char *name,
                   struct err *err); /* + sync dir; true if not there */
    bool (*list)(void *self, void (*name)(void *each, const char *name), void *each,
                 struct err *err);
};
/* The real one, for a folder (made 0700 if missing; files 0600). `sync_delay_us` is added to each
 * sync, for benches that play a slower disk. ERR_IO when another process holds its lock. */
bool log_disk_open(const char *folder, int64_t sync_delay_us, struct log_disk *disk_out,
                   struct err *err) MUST_USE;
void log_disk_close(struct log_disk *disk);

/* -- a record ------------------------------------------------------------ */

struct log_record {
    log_at at;             /* greater than every one before */
    uint8_t kind;          /* 1..250 */
    const uint64_t *terms; /* hashes it can be found by; kept in ascending order, each once */
    size_t term_count;
    struct str label; /* optional, at most 300 bytes: distinct labels can be listed (log_labels) */
    struct str parts[3]; /* the payload, joined */
};

/* What a reader is shown; good for the time of the callback only. */
struct log_row {
    log_at at;
    uint8_t kind;
    struct str payload;
    struct str label;
};
/* Returns false to stop; that is no error. */
typedef bool (*log_row_fn)(void *self, const struct log_row *row);

/* -- opening ------------------------------------------------------------- */

struct log_options {
    struct log_disk disk;   /* must outlive the log */
    uint64_t segment_bytes; /* 0: LOG_SEGMENT_BYTES */
    uint64_t cache_bytes;   /* of unpacked frames; 0: 32 MiB */
    bool read_only;         /* for offline verify: recovers nothing, writes nothing */
    /* Asked when a new segment is made: an opaque note (at most 1 MiB) kept in its header, for the
     * owner to start from (log_note): the state at that segment's beginning. That is the state
     * *before* the commit in hand, which will be the segment's first, and after all that were
     * handed over. May be NULL. Called on the owner's thread, from log_commit. */
    void (*write_note)(void *self, struct buffer *note_out);
    void *note_self;
};

struct log_recovery {
    bool torn; /* something after the last closed commit was dropped */
    uint64_t torn_bytes;
    char torn_text[200];   /* "000....log: 312 bytes after offset 81920 were no whole commit" */
    bool stopped_in_order; /* the last commit is a stop, or there is none */
};

struct log;
/* Recovers: ERR_CORRUPT names file and offset of damage that is more than a torn end; then nothing
 * has been changed on disk. With read_only, damage is no obstacle: log_verify tells all of it, and
 * the reading calls answer with it. A new folder gets a random seed for hash terms. */
bool log_open(const struct log_options *options, struct log **log_out,
              struct log_recovery *recovery_out, struct err *err) MUST_USE;
/* Waits for what is in flight, appends a stop commit (not in read_only), ends the threads. */
void log_close(struct log *log);

uint64_t log_seed(const struct log *log); /* for making terms; fixed for the folder's lifetime */
/* The newest durable record's position; 0 when empty. Any thread. */
log_at log_durable(const struct log *log);
/* The note in the newest segment's header, and the position before its first record. The note is
 * borrowed for the log's lifetime or until the next segment. */
struct str log_note(const struct log *log, log_at *before_out);

/* -- writing: the owner's thread ------------------------------------------ */

/* Adds a record to the commit being built. False (ERR_LIMIT) when the commit would grow beyond
 * LOG_COMMIT_MAX: commit first. Payload and terms are copied. */
bool log_add(struct log *log, const struct log_record *record, struct err *err) MUST_USE;

/* Called once for each commit that was handed over, on the log's writer thread, in order. When ok,
 * the records are durable and readers can see them. When not, nothing of it is in the log. */
typedef void (*log_done_fn)(void *self, bool ok, const struct err *err);

/* Hands the commit that was built to the writer thread, which writes and syncs it while the next
 * can be built. Waits first for the one before, if that is still in flight. False (ERR_IO): the one
 * before failed, or a new segment could not be made: this one is dropped too, its `done` is not
 * called, and the caller must undo both. After that the log can be used again. */
bool log_commit(struct log *log, log_done_fn done, void *self, struct err *err) MUST_USE;
void log_discard(struct log *log); /* drops the commit being built */
/* Waits for the commit in flight; false if it failed (its `done` has been called): then the one
 * being built is dropped too. */
bool log_drain(struct log *log, struct err *err) MUST_USE;
bool log_in_flight(const struct log *log);
/* Waits until no segment waits to be sealed; false (ERR_IO) if one could not be. Any thread. For
 * imports that outrun the sealing, and for benches and tests. */
bool log_settle(struct log *log, struct err *err) MUST_USE;

/* -- reading: any thread ---------------------------------------------------- */

/* Every record (closing and stop records left out) with from <= at <= to, in order. Rows of commits
 * that are durable only. `kinds`: a bit set (1 << kind) for kinds 1..31; 0 means all. */
struct log_span {
    log_at from, to; /* both ends included */
    bool descending;
};
bool log_scan(struct log *log, struct log_span span, uint32_t kinds, log_row_fn fn, void *self,
              struct err *err) MUST_USE;

/* One of these terms. */
struct log_any {
    const uint64_t *terms;
    size_t count;
};
/* Rows that have one term of each group. Terms are hashes: a row may be a collision, so the
 * caller checks the row itself. Needs at least one group. */
bool log_find(struct log *log, struct log_span span, const struct log_any *groups, size_t count,
              log_row_fn fn, void *self, struct err *err) MUST_USE;
/* How many rows log_find would show, from the index alone, counting to `most`. */
bool log_count(struct log *log, struct log_span span, const struct log_any *groups, size_t count,
               uint64_t most, uint64_t *count_out, struct err *err) MUST_USE;
/* Every distinct label of the segments that meet the span. */
bool log_labels(struct log *log, struct log_span span, bool (*fn)(void *self, struct str label),
                void *self, struct err *err) MUST_USE;

/* The first position that is not in a sealed segment: what is before it can only be read from disk
 * (slow), what is from it on is in the memory index (fast, never waits for disk reads of frames).
 * */
log_at log_open_since(const struct log *log);

/* -- verifying --------------------------------------------------------------- */

struct log_finding {
    char file[64];
    uint64_t offset;
    log_at at; /* of the record, 0 when it cannot be told */
    char text[160];
};
/* Reads everything from disk again: headers, CRCs, order, the commit chain, the sealed indexes
 * against the records. Calls `fn` for each thing found wrong; `records_out` counts what was read. A
 * torn end of the newest segment is a finding too. False only if it could not go on at all. */
bool log_verify(struct log *log, void (*fn)(void *self, const struct log_finding *finding),
                void *self, uint64_t *records_out, struct err *err) MUST_USE;

/* -- numbers for metrics -------------------------------------------------------- */

struct log_stats {
    uint64_t segments, sealed_bytes, sealed_records, open_bytes, records;
    uint64_t commits;       /* since it was opened */
    struct histogram syncs; /* of commits, likewise; each waits for one */
    uint64_t memory_index_bytes, cache_bytes, seals_waiting;
};
void log_stats(const struct log *log, struct log_stats *stats_out);

#endif
