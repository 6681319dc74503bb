/* log_priv - what the files of the log share. The format is told in format.c and seal.c. */
#ifndef LOG_PRIV_H
#define LOG_PRIV_H

#include "log/log.h"
#include "codec/hash.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the format is little-endian");

enum {
    HEADER_SIZE = 96, /* of a segment, its note aside */
    NOTE_MAX = 1024 * 1024,
    LABEL_MAX = 300,
    RECORD_HEAD = 24,
    RECORD_MAX = RECORD_HEAD + 8 * LOG_TERMS_MAX + LABEL_MAX + 4 + (int)LOG_PAYLOAD_MAX,
    CLOSE_SIZE = RECORD_HEAD + 48,
    KIND_ROW_MAX = 250,
    NAME_SIZE = 32,
    SEALS_WAITING_MAX = 2,
    SEAL_WAIT_S = 5, /* how long the owner waits for a seal that goes on */
    SEALED_HEAD = 328,
    FRAME_SIZE = 16 * 1024,
    DIRECTORY_ENTRY = 32,
    BLOOM_BLOCK = 64,
    BLOOM_BITS = 480, /* of a block; its last four bytes are a checksum */
    BLOOM_TERMS = 40, /* of a block: 12 bits each */
    BUCKET_HEAD = 8,
    LIST_INLINE_MAX = 30, /* rows of a term that stand beside it */
    LIST_CHUNK = 128,
    LIST_ENTRY = 12,
};

static inline uint32_t
get32(const void *from)
{
    uint32_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

static inline uint64_t
get64(const void *from)
{
    uint64_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

static inline void
put32(void *to, uint32_t value)
{
    memcpy(to, &value, sizeof value);
}

static inline void
put64(void *to, uint64_t value)
{
    memcpy(to, &value, sizeof value);
}

static inline uint64_t
align8(uint64_t len)
{
    return (len + 7) & ~(uint64_t)7;
}

/* Fuzzers cannot guess checksums and hashes, so the builds made for them believe all. */
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
#define BELIEVE true
#else
#define BELIEVE false
#endif

static inline bool
crc_is(uint32_t stored, uint32_t computed)
{
    return BELIEVE || stored == computed;
}

/* -- format.c: records and headers as bytes ---------------------------------- */

/* Where the commit chain stands: after the commit that ends at `end` of segment `first`. */
struct tail {
    uint64_t first, end;
    log_at at; /* of the newest row */
    unsigned char hash[LOG_HASH_SIZE];
};
struct tail tail_of_nothing(void);
bool tail_equal(const struct tail *a, const struct tail *b);

struct header {
    uint64_t seed, first;
    struct tail prev;
    uint32_t size; /* with its note and padding */
    uint32_t note_len;
};
void header_encode(struct buffer *out, const struct header *header, struct str note);
/* NULL, or why these bytes (at least HEADER_SIZE) are no header. */
const char *header_head(const unsigned char *bytes, struct header *header_out);
const char *header_check(const unsigned char *bytes, const struct header *header); /* all of it */
/* What stands between `at` and `limit`, with the note (base_free) unless note_out is NULL. */
bool header_read(const struct log_disk *disk, struct log_file *file, uint64_t at, uint64_t limit,
                 struct header *header_out, char **note_out, struct err *err);

struct record_view {
    const unsigned char *bytes; /* all of it */
    size_t size;                /* with padding */
    log_at at;
    uint8_t kind;
    size_t term_count;
    struct str label, payload;
};
size_t record_size(const struct log_record *record);
void record_encode(char *to, const struct log_record *record, uint8_t kind);
void record_finish(char *bytes, size_t size); /* puts the checksum in */
/* NULL, or why no record's head is here (needs RECORD_HEAD bytes); looks at nothing behind it. */
const char *record_head(const unsigned char *bytes, struct record_view *view_out);
const char *record_check(const unsigned char *bytes, struct record_view *view); /* all of it */
/* The same for a record whose terms were cut out, which is how they lie in frames. */
const char *record_head_cut(const unsigned char *bytes, struct record_view *view_out);

/* A plain segment read from front to back. */
struct walk {
    const struct log_disk *disk;
    struct log_file *file;
    uint64_t at, limit;
    unsigned char *window;
    uint64_t window_at;
    size_t window_len;
};
void walk_init(struct walk *walk, const struct log_disk *disk, struct log_file *file,
               uint64_t limit);
void walk_fini(struct walk *walk);
/* Up to `want` bytes at walk->at, more if they are there; fewer only before the limit. */
bool walk_bytes(struct walk *walk, size_t want, const unsigned char **bytes_out, size_t *len_out,
                struct err *err);
/* The record at walk->at, good until the next call; or `*why_out` says why none is there. */
bool walk_record(struct walk *walk, struct record_view *view_out, const char **why_out,
                 struct err *err);

/* The commit chain, checked record by record. Whatever it complains about, it goes on as if that
 * were right, so that what follows is not blamed too. */
struct chain {
    struct sha256 *record_sha, *commit_sha;
    struct tail tail; /* after the last commit that was closed */
    log_at at;        /* of the last row */
    uint64_t start;   /* where the commit being read begins */
    uint32_t count;   /* its records so far */
    bool lost;        /* something in it could not be read: its hash cannot be checked */
    bool stopping;    /* the commit being read holds a stop record */
    bool stopped;     /* the last one closed did */
};
void chain_init(struct chain *chain, const struct header *header);
void chain_enter(struct chain *chain, const struct header *header); /* the next segment */
void chain_fini(struct chain *chain);
const char *chain_add(struct chain *chain, const struct record_view *view, uint64_t offset);

void close_encode(char *to, const unsigned char hash[static LOG_HASH_SIZE], uint64_t start,
                  uint32_t count, log_at at);

void segment_name(char name[static NAME_SIZE], uint64_t first);
bool segment_name_parse(const char *name, uint64_t *first_out);

/* -- memory_index.c: the index of a segment that is not sealed ------------------ */

struct memory_row {
    log_at at;
    uint32_t offset8;   /* in the file, in eights */
    uint32_t size_kind; /* size in eights, times 256, plus the kind */
};
struct label {
    struct label *older, *next; /* of all; in the table's chain */
    _Atomic uint32_t first;     /* the first row with it; UINT32_MAX: none */
    uint32_t len;
    char text[];
};
#define POSTING_NONE UINT64_MAX /* no row; else row << 32 | where the older ones are */

struct memory_index;
struct memory_index *memory_index_new(uint64_t bytes); /* for a segment of at most so many */
void memory_index_free(struct memory_index *index);
bool memory_index_has_room(const struct memory_index *index, size_t commit_bytes);
/* Takes in the rows of a commit at `offset`; readers see them once they are published. */
void memory_index_link(struct memory_index *index, const char *bytes, size_t len, uint64_t offset);
void memory_index_undo(struct memory_index *index, const char *bytes, size_t len);
void memory_index_publish(struct memory_index *index);
uint32_t memory_index_rows(const struct memory_index *index); /* published ones */
struct memory_row memory_index_row(const struct memory_index *index, uint32_t row);
/* A place in a term's rows, newest first. */
struct posting {
    uint64_t word; /* POSTING_NONE: behind the oldest */
    uint32_t mark;
};
struct posting memory_index_find(const struct memory_index *index, uint64_t term);
/* On to the newest row that is not newer than `row`. */
void memory_index_seek(const struct memory_index *index, struct posting *posting, uint32_t row);
uint64_t memory_index_older(const struct memory_index *index, uint64_t posting);
const struct label *memory_index_labels(const struct memory_index *index); /* newest first */
size_t memory_index_bytes(const struct memory_index *index);
/* Each term ever linked, for sealing; some may have no row left. */
size_t memory_index_terms(const struct memory_index *index);
uint64_t memory_index_term(const struct memory_index *index, size_t number, uint64_t *posting_out);

/* -- frames.c: unpacked pieces of sealed segments ---------------------------------- */

enum { BLOCK_DIRECTORY = -1, BLOCK_DICTIONARY = -2 }; /* as numbers; frames count from 0 */
struct block {
    struct block *chain, *newer, *older;
    uint64_t segment_id;
    int64_t number;
    unsigned refs;
    size_t size;      /* of the memory it holds */
    void *dictionary; /* a ZSTD_DDict */
    uint32_t count;   /* of offsets */
    uint32_t len;
    uint32_t *offsets;
    unsigned char *bytes;
};
struct cache;
struct cache *cache_new(uint64_t bytes_max);
void cache_free(struct cache *cache);
struct block *cache_find(struct cache *cache, uint64_t segment_id, int64_t number);
/* Gives a block into the cache's care; the one returned (it, or one that was there) is held. */
struct block *cache_put(struct cache *cache, struct block *block);
void cache_release(struct cache *cache, struct block *block);
struct block *block_new(size_t bytes, size_t offsets); /* not in the cache until it is put there */
void *cache_take_unpacker(struct cache *cache);        /* a ZSTD_DCtx */
void cache_give_unpacker(struct cache *cache, void *unpacker);
uint64_t cache_bytes(struct cache *cache);

/* -- sealed.c: reading a sealed segment --------------------------------------------- */

enum section_name {
    SECTION_HEADER,
    SECTION_DICTIONARY,
    SECTION_FRAMES,
    SECTION_DIRECTORY,
    SECTION_LABELS,
    SECTION_BLOOM,
    SECTION_BUCKETS,
    SECTION_BUCKET_DIRECTORY,
    SECTION_LISTS,
    SECTION_COUNT,
};
struct section {
    uint64_t offset, len;
    uint32_t crc;
};
struct sealed {
    uint64_t seed, first;
    struct tail tail; /* at its end; the offset is the plain one */
    uint64_t rows, commits, terms, size;
    uint32_t bucket_bits, frames;
    struct section sections[SECTION_COUNT];
};
extern const char *const section_names[SECTION_COUNT];
void sealed_head_encode(unsigned char out[static SEALED_HEAD], const struct sealed *sealed);
/* NULL, or why these bytes are no sealed segment of `file_size` bytes. */
const char *sealed_head_parse(const unsigned char bytes[static SEALED_HEAD], uint64_t file_size,
                              struct sealed *sealed_out);
struct segment;
struct log;
bool is_sealed(const unsigned char *bytes); /* the first 8 */
/* Takes over the file on true. `note_out` (may be NULL) as in header_read. */
bool sealed_open(struct log *log, struct log_file *file, struct segment **segment_out,
                 char **note_out, struct err *err);

struct frame {
    uint64_t offset; /* within SECTION_FRAMES */
    uint32_t packed, unpacked, crc;
    log_at first_at; /* of its first record */
    uint32_t first_row, plain_offset8;
};
void frame_encode(unsigned char out[static DIRECTORY_ENTRY], const struct frame *frame);
struct frame frame_parse(const unsigned char bytes[static DIRECTORY_ENTRY]);

bool sealed_damaged(const struct segment *segment, uint64_t offset, const char *why,
                    struct err *err); /* false */
bool sealed_read(const struct segment *segment, uint64_t at, void *to, size_t len, struct err *err);
/* A section as it stands, its checksum looked at. */
bool sealed_section(const struct segment *segment, enum section_name name, unsigned char *to,
                    struct err *err);
bool sealed_directory(struct log *log, const struct segment *segment, struct block **block_out,
                      struct err *err);
/* A frame's records (terms cut out), with the offset of each row. `keep`: in the cache. */
bool sealed_frame(struct log *log, const struct segment *segment, int64_t number, bool keep,
                  struct block **block_out, struct err *err);

/* A term's rows: either here, or in chunks in the file. */
struct list {
    uint32_t count;
    const uint32_t *rows;       /* NULL: in chunks */
    const unsigned char *table; /* LIST_ENTRY bytes each: first row, end, checksum */
    size_t chunks;
    uint64_t offset; /* of the first chunk, in the file */
};
bool sealed_find(const struct segment *segment, uint64_t term, struct arena *arena,
                 struct list *list_out, struct err *err);
bool sealed_chunk(const struct segment *segment, const struct list *list, size_t chunk,
                  uint32_t rows_out[static LIST_CHUNK], size_t *count_out, struct err *err);
/* One bucket's entries, in order; used by lookups and by verify. */
struct bucket {
    const unsigned char *at, *end;
    uint64_t term;
    uint32_t count, left;
    const unsigned char *rows; /* written beside it; NULL: in a list at `list` */
    uint64_t list;
    bool first;
};
bool bucket_next(struct bucket *bucket, const char **why_out); /* false and no why: the end */
bool sealed_bucket(const struct segment *segment, uint32_t number, struct arena *arena,
                   struct bucket *bucket_out, struct err *err);
bool sealed_list(const struct segment *segment, const struct bucket *bucket, struct arena *arena,
                 struct list *list_out, struct err *err);
bool rows_decode(const unsigned char **at, const unsigned char *end, size_t count,
                 uint32_t *rows_out);
bool sealed_labels(const struct segment *segment, struct arena *arena, struct str *labels_out,
                   struct err *err);

/* The filter: so many blocks, zeros at first; the checksums come last. */
void filter_add(unsigned char *filter, uint64_t blocks, uint64_t term);
void filter_finish(unsigned char *filter, uint64_t blocks);
uint32_t bucket_of(uint64_t term, uint32_t bits);

/* -- seal.c, seal_index.c: making one ----------------------------------------------- */

/* What goes into the file being made, through a buffer of a megabyte. */
struct sink {
    const struct log_disk *disk;
    struct log_file *file;
    struct buffer buffer;
    uint64_t at; /* of the buffer's first byte */
    struct sealed *sealed;
    int section; /* -1: none begun */
};
bool sink_add(struct sink *sink, const void *bytes, size_t len, struct err *err);
/* Ends the one before. */
bool sink_begin(struct sink *sink, enum section_name section, struct err *err);
bool sink_end(struct sink *sink, struct err *err);
bool seal_index(struct sink *sink, const struct memory_index *index, struct err *err);
void *sealer_main(void *log);
bool prepare_next(struct log *log, uint64_t bytes, struct err *err);
void fill_next(struct log *log, uint64_t to); /* with zeros, unless it is wanted before */

/* -- segment.c: segments, counted, and the list of them ------------------------------ */

struct segment {
    atomic_uint refs;
    uint64_t id;
    char name[NAME_SIZE];
    struct log_file *file;
    const struct log_disk *disk;
    struct header header;
    struct memory_index *memory; /* NULL: sealed */
    struct sealed *sealed;       /* NULL: plain */
    uint64_t end;      /* of the last commit, where the next is written; changed under log->mutex */
    struct tail tail;  /* the chain at `end`; set when it is no longer written */
    uint64_t zeros_at; /* when it ends there, the next one is given more zeros; the writer's */
    bool waiting;      /* to be sealed; under log->mutex */
};
struct segment *segment_new(struct log *log, struct log_file *file, const struct header *header);
void segment_unref(struct segment *segment);

/* A list never changes; a new one takes its place. */
struct segments {
    atomic_uint refs;
    size_t count;
    struct segment *items[]; /* oldest first */
};
struct segments *segments_take(struct log *log);
void segments_release(struct segments *segments);
/* Takes over the caller's reference of `add` (may be NULL) in place of `drop` (may be NULL). */
void segments_change(struct log *log, struct segment *drop, struct segment *add);
bool make_room(struct log *log, struct err *err); /* for the commit in hand */

/* -- rows.c: a segment's rows, and which of them match -------------------------------------- */

/* A segment as one query sees it: what is published later is not there. */
struct view {
    struct log *log;
    const struct segment *segment;
    uint32_t rows;
    bool descending;
};
/* The first row at or behind the position; view->rows if there is none. */
bool rows_from(const struct view *view, log_at at, uint32_t *row_out, struct err *err);

/* Reads rows one by one, best in the view's direction. */
struct reader {
    struct view view;
    bool ahead; /* neighbours will be wanted too */
    struct block *frame;
    uint32_t frame_from, frame_to; /* its rows */
    struct buffer window;
    uint64_t window_at;
};
void reader_init(struct reader *reader, struct view view, bool ahead);
void reader_fini(struct reader *reader);
bool reader_row(struct reader *reader, uint32_t row, struct log_row *row_out, struct err *err);
uint8_t reader_kind(const struct reader *reader, uint32_t row); /* 0: read it to know */

/* The rows from `low` to before `high` that have one term of each group, in the view's order. */
struct match {
    struct view view;
    uint32_t low, high;
    struct cursor *cursors;
    const struct log_any *groups;
    size_t group_count;
    bool over;
    uint32_t next; /* row to look at */
};
bool match_begin(struct match *match, struct view view, const struct log_any *groups, size_t count,
                 struct arena *arena, struct err *err); /* low and high have been set */
bool match_next(struct match *match, uint32_t *row_out, bool *found_out, struct err *err);
/* Of one term in all rows of a sealed segment; false: it must be counted row by row. */
bool match_count(const struct match *match, uint64_t *count_out);

/* -- log.c: building, handing over, writing ---------------------------------------------- */

struct commit {
    struct buffer bytes, hashes;
    uint32_t count;
    log_at first_at, last_at;
    size_t hashed; /* bytes whose checksums are in and whose hashes are taken */
    log_done_fn done;
    void *self;
};

struct next {
    pthread_mutex_t mutex;
    struct log_file *file; /* NULL: none made */
    uint64_t reserved, zeroed;
    atomic_bool wanted; /* now: no more zeros */
};

struct log {
    struct log_disk disk;
    uint64_t segment_bytes, seed;
    bool read_only;
    struct err damage; /* read_only: why nothing can be read but by log_verify */
    void (*write_note)(void *self, struct buffer *note_out);
    void *note_self;
    struct cache *cache;
    atomic_ullong next_id, durable, open_since;

    /* The owner's. What the writer needs of it stands still while a commit is in flight. */
    struct commit commits[2], *building;
    struct segment *open;            /* NULL: none yet, or the last one had to go */
    struct tail tail;                /* the writer's while a commit is in flight */
    log_at last_at;                  /* of the newest row added */
    bool needs_roll;                 /* likewise */
    char strays[2][NAME_SIZE];       /* files that must be gone before anything is written */
    struct buffer note, newest_note; /* being written; of the newest segment */
    log_at note_before;
    struct sha256 *owner_sha, *writer_sha, *chain_sha;
    struct next next;

    pthread_mutex_t mutex; /* all below */
    pthread_cond_t to_writer, to_owner, to_sealer, sealed;
    struct segments *segments;
    struct commit *in_flight;
    bool linked, failed, ending, wants_next, kicked; /* the last: to seal again at once */
    uint64_t zeros_to;                               /* in the next segment; 0: nothing new */
    size_t sealing_count;                            /* segments that wait to be sealed */
    uint64_t seal_tries;                             /* that failed */
    struct histogram syncs;
    struct err failure, seal_err; /* the second: of the last try; ERR_NONE: it went well */
    pthread_t writer, sealer;

    atomic_ullong commits_done;
    atomic_bool stopping;
};

/* -- recover.c, verify.c -------------------------------------------------------------------- */

/* What lies behind a place where no record could be read. */
struct rest {
    uint64_t used_to;                /* the end of what is not zero */
    unsigned closes;                 /* whole closing records */
    uint64_t close_start, close_end; /* of the first of them */
};
bool look_behind(struct walk *walk, uint64_t from, struct rest *rest, struct err *err);
/* What verify asks of a sealed segment; `chain` has entered it. */
struct sealed_check {
    struct log *log;
    const struct segment *segment;
    struct chain *chain;
    uint64_t records;
    void (*say)(void *self, uint64_t offset, log_at at, const char *text);
    void *self;
};
bool verify_sealed(struct sealed_check *check, struct err *err); /* false: it cannot be read */
const char *text_of(const struct err *err);
bool recover(struct log *log, struct log_recovery *recovery, struct err *err);

#endif
