/* enrich - what an address and a user agent tell: place, network, device.
 *
 * Files are copied into the data folder under their hash, walked once, and opened from there, so
 * that a file overwritten in place cannot hurt the process. A reload makes a new snapshot beside
 * the old one; readers keep the one they took until they give it back. */
#ifndef ENRICH_H
#define ENRICH_H

#include "model/event.h"

struct enrich_options {
    const char *folder;     /* <data>/geo; NULL: open the files where they are (replay) */
    const char *const *geo; /* MMDB files of places, flat (DB-IP) or nested (MaxMind) schema */
    size_t geo_count;
    const char *asn;     /* MMDB file of networks, or NULL */
    const char *places;  /* CSV, or NULL */
    const char *devices; /* uap-core regexes.yaml; NULL: Debian's, and where that is missing devices
                            are unknown, said once */
    const char *const *ip_lists; /* "NAME=FILE" */
    size_t ip_list_count;
    int64_t now_us; /* to tell the age of the files */
};

struct enrich;
/* False (ERR_INPUT, ERR_IO) names the file and, for text files, the line. No geo files at all is no
 * error: events get null places, and a warning is said once. */
bool enrich_open(const struct enrich_options *options, struct enrich **enrich_out,
                 struct err *err) MUST_USE;
void enrich_close(struct enrich *enrich);
/* Reads all files again (SIGHUP); whatever is asked after it has returned is answered from the new
 * ones. On false the old ones stay in use. Any one thread. */
bool enrich_reload(struct enrich *enrich, int64_t now_us, struct err *err) MUST_USE;

/* Per thread: caches of addresses and user agents, and the reference on the snapshot, which each
 * question moves to the newest one. */
struct enrich_reader;
struct enrich_reader *enrich_reader_new(struct enrich *enrich);
void enrich_reader_free(struct enrich_reader *reader);
/* Lets go of files that were replaced: a thread that is asked nothing calls it now and then. */
void enrich_refresh(struct enrich_reader *reader);

/* What enrich_event will want of these events: their addresses are looked up together, which takes
 * less time than one by one, and kept; what is known of their user agents is asked of memory. */
void enrich_warm(struct enrich_reader *reader, const struct event *const *events, size_t count);

/* Fills location, network, device of the event from its address and user agent. Strings are
 * copied into the arena. ERR_LIMIT when that is full. */
bool enrich_event(struct enrich_reader *reader, struct arena *arena, struct event *event,
                  struct err *err) MUST_USE;

struct enrich_file {
    char name[128];      /* as given */
    char kind[16];       /* geo, asn, places, devices, list */
    int64_t built_at_us; /* 0: the file does not tell */
    uint64_t entries;    /* rows, networks, regexes; of an MMDB file the nodes of its tree */
};
/* What is loaded now, for /readyz and metrics; returns the count, at most `max`. Thread-safe. */
size_t enrich_files(struct enrich *enrich, struct enrich_file *files_out, size_t max);
/* The attribution to show, e.g. "IP geolocation by DB-IP"; absent when none is due. */
struct str enrich_attribution(struct enrich *enrich);

#endif
