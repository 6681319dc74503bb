/* enrich_priv - the parts that a snapshot is made of. Each is made at load, never changes
 * afterwards, and is read by any number of threads at once. */
#ifndef ENRICH_PRIV_H
#define ENRICH_PRIV_H

#include "enrich/enrich.h"
#include "model/limits.h"

#include <maxminddb.h>

/* -- networks: which prefix holds an address ---------------------------------- */

struct networks_entry {
    struct network network;
    uint64_t value; /* not 0 */
};

enum networks_mode {
    NETWORKS_LONGEST, /* the value of the longest prefix */
    NETWORKS_UNION,   /* the bits of all prefixes together */
};

struct networks;
/* Sorts the entries where they are. No prefix twice with NETWORKS_LONGEST. */
struct networks *networks_new(struct networks_entry *entries, size_t count,
                              enum networks_mode mode);
void networks_free(struct networks *networks); /* NULL is fine */
/* 0 when no prefix holds it. */
uint64_t networks_find(const struct networks *networks, const struct address *address);

/* -- text files: places and address lists --------------------------------------- */

#define TEXT_FILE_MAX (256u << 20)
#define TEXT_LINE_MAX 4096

/* The whole of a regular file, on the heap (text_free). ERR_IO; ERR_LIMIT beyond `max`. */
bool text_read_file(const char *path, size_t max, struct str *text_out, struct err *err) MUST_USE;
void text_free(struct str text);

struct place {
    unsigned long line;
    struct network network;
    struct event_location location;
    struct str name;
};

struct places;
/* Parses the CSV of detection.md section 4. ERR_INPUT names the file and the line. */
bool places_parse(struct str text, const char *path, struct places **places_out,
                  struct err *err) MUST_USE;
void places_free(struct places *places);
const struct place *places_find(const struct places *places, const struct address *address);
size_t places_count(const struct places *places);

/* Address lists in the order of their names; a set of them is bits in that order. */
struct lists;
struct lists *lists_new(void);
/* Adds the lines of one file; the same name may come from several. */
bool lists_parse(struct lists *lists, struct str name, struct str text, const char *path,
                 struct err *err) MUST_USE;
void lists_finish(struct lists *lists); /* after the last file, before the first question */
void lists_free(struct lists *lists);
uint64_t lists_find(const struct lists *lists, const struct address *address);
size_t lists_count(const struct lists *lists);
struct str lists_name(const struct lists *lists, size_t index);

/* -- MMDB files -------------------------------------------------------------------- */

enum mmdb_schema { MMDB_UNKNOWN, MMDB_FLAT, MMDB_NESTED, MMDB_NETWORKS };

#define MMDB_MEMBERS_MAX 16
struct mmdb {
    MMDB_s db;
    enum mmdb_schema schema;
    uint32_t *first; /* lookup.c: the node or record that 16 bits of an IPv4 address lead to */
    /* Names stand in the file once, and all records of a flat file point to them: so a member is
     * known by where its name lies. */
    uint32_t names[MMDB_MEMBERS_MAX];
    unsigned char fields[MMDB_MEMBERS_MAX];
    size_t name_count;
    bool is_dbip, is_geolite; /* whom to name as the source */
    char copy[80];            /* file name in the folder; empty when opened where it lies */
};

/* Opens the file, or its verified copy in `folder`, and walks it once. `want` MMDB_NETWORKS for an
 * ASN file, else any schema of places. ERR_INPUT: damaged, or holds something else. */
bool mmdb_open(const char *path, const char *folder, enum mmdb_schema want, struct mmdb **mmdb_out,
               struct err *err) MUST_USE;
void mmdb_close(struct mmdb *mmdb);
#define MMDB_TOGETHER 16
struct mmdb_search {
    const struct address *address;
    struct event_location *location; /* filled in when found; strings point into the mapped file */
    bool found;
};
/* Those of up to MMDB_TOGETHER addresses that are not found yet: what one waits for from memory,
 * the others do too. */
void mmdb_find_places(const struct mmdb *mmdb, struct mmdb_search *searches, size_t count);
/* False when nothing is known. */
bool mmdb_find_place(const struct mmdb *mmdb, const struct address *address,
                     struct event_location *location_out);
bool mmdb_find_network(const struct mmdb *mmdb, const struct address *address, int64_t *asn_out,
                       struct str *org_out);

/* Walks the search tree and every record: each branch ends within the bits of an address, each
 * record decodes within the file, each string is UTF-8. `see` is called with each distinct record,
 * and ends the walk by saying false. */
bool mmdb_walk(const MMDB_s *db, bool (*see)(void *self, const MMDB_s *db, uint32_t offset),
               void *self, struct err *err) MUST_USE;

/* Both records of a node of the search tree: below node_count a node, above it what is found. */
static inline void
mmdb_read_node(const MMDB_s *db, uint32_t node, uint32_t records[static 2])
{
    const uint8_t *at = db->file_content + (size_t)node * db->full_record_byte_size;
    uint32_t left = (uint32_t)at[0] << 16 | (uint32_t)at[1] << 8 | at[2];
    if (db->metadata.record_size == 24) {
        records[0] = left;
        records[1] = (uint32_t)at[3] << 16 | (uint32_t)at[4] << 8 | at[5];
    } else if (db->metadata.record_size == 28) { /* they share the byte in the middle */
        records[0] = (uint32_t)(at[3] & 0xf0) << 20 | left;
        records[1] =
            (uint32_t)(at[3] & 0x0f) << 24 | (uint32_t)at[4] << 16 | (uint32_t)at[5] << 8 | at[6];
    } else {
        records[0] = left << 8 | at[3];
        records[1] = (uint32_t)at[4] << 24 | (uint32_t)at[5] << 16 | (uint32_t)at[6] << 8 | at[7];
    }
}

/* lookup.c: the records of up to MMDB_TOGETHER addresses, as offsets into the data section. */
#define MMDB_NONE UINT32_MAX
void lookup_prepare(struct mmdb *mmdb); /* after the file was found sound */
void lookup_fini(struct mmdb *mmdb);
void lookup_find(const struct mmdb *mmdb, const struct address *const *addresses, size_t count,
                 uint32_t *offsets_out);

/* A record in one pass, where the library would begin anew for each name. */
enum mmdb_kind { MMDB_OTHER, MMDB_STRING, MMDB_DOUBLE, MMDB_FLOAT };
struct mmdb_member { /* offsets into the data section, of what pointers lead to */
    uint32_t name, value;
};
/* Asks the processor for the values too. False: it has more than MMDB_MEMBERS_MAX, or lists and
 * maps within. */
bool mmdb_members(const MMDB_s *db, uint32_t offset,
                  struct mmdb_member members[static MMDB_MEMBERS_MAX], size_t *count_out) MUST_USE;
/* A number's bytes are big-endian. */
bool mmdb_scalar(const MMDB_s *db, uint32_t offset, enum mmdb_kind *kind_out,
                 struct str *bytes_out) MUST_USE;

#define COPY_NAME_SIZE 70 /* 64 hex digits, ".mmdb", NUL */
#define COPY_PART_NAME "copying.part"
/* Sees to it that `folder` holds a copy of `path` (0600). Either it has its name already, which is
 * the SHA-256 of its content; or `*fresh_out`: it lies under COPY_PART_NAME, and copy_keep gives it
 * its name once it was found sound. */
bool copy_into(const char *path, const char *folder, char name_out[static COPY_NAME_SIZE],
               bool *fresh_out, struct err *err) MUST_USE;
bool copy_keep(const char *folder, const char *name, struct err *err) MUST_USE;
/* Removes copies whose names are not among those kept, and what a crash left half copied. */
void copy_sweep(const char *folder, const char *const *kept, size_t kept_count);

/* -- user agents ------------------------------------------------------------------- */

#define USER_AGENT_MAX  512 /* bytes looked at */
#define DEVICE_NAME_MAX 200 /* bytes of a family's name kept */

enum device_kind { DEVICE_BROWSER, DEVICE_OS, DEVICE_MODEL, DEVICE_KINDS };

struct device {
    char name[DEVICE_KINDS][DEVICE_NAME_MAX]; /* families; "Other" where nothing matched */
    unsigned short len[DEVICE_KINDS];
    int regex[DEVICE_KINDS]; /* which one matched, -1 for none */
    struct str type;         /* static */
};

struct devices;
bool devices_parse_yaml(struct str yaml, const char *path, struct devices **devices_out,
                        struct err *err) MUST_USE;
void devices_free(struct devices *devices);
size_t devices_count(const struct devices *devices);

/* What one thread needs for matching. */
struct device_scratch;
struct device_scratch *device_scratch_new(const struct devices *devices);
void device_scratch_free(struct device_scratch *scratch);
/* With `plain` each regex is tried, without the prefilter: the same answer, slowly (for tests). */
void devices_find(const struct devices *devices, struct device_scratch *scratch,
                  struct str user_agent, bool plain, struct device *device_out);
/* How many regexes the prefilter let through the last time. */
size_t device_scratch_tried(const struct device_scratch *scratch);

/* desktop, mobile, tablet, bot, other: from the families and the text itself. */
struct str device_type(struct str os, struct str model, struct str user_agent);

/* -- prefilter: which regexes can match at all --------------------------------------- */

/* From each regex the literals are taken of which at least one must occur (several such sets, if
 * there are); one pass over a text tells whose sets are all met. Sound, never complete. */
struct prefilter;
struct prefilter *prefilter_new(void);
void prefilter_add(struct prefilter *prefilter, struct str regex); /* numbered from 0 */
void prefilter_finish(struct prefilter *prefilter);
void prefilter_free(struct prefilter *prefilter);
size_t prefilter_unfiltered(const struct prefilter *prefilter); /* regexes that always pass */

struct prefilter_scratch;
struct prefilter_scratch *prefilter_scratch_new(const struct prefilter *prefilter);
void prefilter_scratch_free(struct prefilter_scratch *scratch);
/* One bit for each regex that may match, in a table that stays valid until the next call. */
const uint64_t *prefilter_scan(const struct prefilter *prefilter, struct prefilter_scratch *scratch,
                               struct str text);

/* -- literals: what a regex cannot match without -------------------------------------- */

#define LITERAL_MAX       12  /* bytes of one literal; longer ones are cut */
#define LITERAL_SETS_MAX  8   /* per regex */
#define LITERAL_ITEMS_MAX 400 /* per set */

struct literal_set {
    size_t count;
    struct str *items; /* lowercase, none empty; at least one occurs in whatever matches */
};

/* Fills up to LITERAL_SETS_MAX sets; 0 for a regex that tells nothing or is beyond what is
 * understood here. Made in the arena. */
size_t literals_of(struct str regex, struct arena *arena,
                   struct literal_set sets_out[static LITERAL_SETS_MAX]);

/* -- the snapshot ------------------------------------------------------------------ */

#define GEO_FILES_MAX  16
#define LIST_FILES_MAX 64
#define FILES_MAX      (GEO_FILES_MAX + LIST_FILES_MAX + 3)

struct snapshot {
    int references; /* under the lock of struct enrich */
    struct mmdb *geo[GEO_FILES_MAX];
    size_t geo_count;
    struct mmdb *asn;        /* or NULL */
    struct places *places;   /* or NULL */
    struct lists *lists;     /* or NULL */
    struct devices *devices; /* or NULL */
    struct enrich_file files[FILES_MAX];
    size_t file_count;
};

bool snapshot_load(const struct enrich_options *options, struct snapshot **snapshot_out,
                   struct err *err) MUST_USE;
void snapshot_free(struct snapshot *snapshot);

/* The newest snapshot, with a reference that snapshot_give gives back. */
struct snapshot *snapshot_take(struct enrich *enrich);
bool snapshot_is_newest(struct enrich *enrich, const struct snapshot *snapshot);
void snapshot_give(struct enrich *enrich, struct snapshot *snapshot);

#endif
