/* journal_fixture - a journal in a temporary folder, whose disk can be told to
 * fail, and events put into it as the engine would. */
#ifndef SUPPORT_JOURNAL_FIXTURE_H
#define SUPPORT_JOURNAL_FIXTURE_H

#include <stdatomic.h>

#include "journal/journal.h"
#include "support/event_maker.h"

struct fixture {
    char folder[64];
    struct log_disk disk;    /* the real one */
    struct log_disk failing; /* in front of it */
    atomic_int fail_after;   /* that many writes and syncs work, then all fail; -1: none fails */
    atomic_bool has_failed;
    uint64_t segment_bytes;
    struct journal *journal;
    struct log_recovery recovery;
    log_at at;   /* of the newest record */
    bool silent; /* events are added as history */
    struct arena arena;
    struct dice dice;
};

/* In a new folder. */
void fixture_open(struct fixture *fixture, uint64_t segment_bytes, uint64_t seed);
void fixture_reopen(struct fixture *fixture); /* as after an orderly stop */
void fixture_close(struct fixture *fixture);  /* and the folder is gone */

/* Adds an event to the commit being built; created_at is set in `event`. False: the journal said
 * no. */
bool fixture_add(struct fixture *fixture, const char *workspace_id, struct event *event,
                 struct event_integrity *integrity_out);
void fixture_add_alert(struct fixture *fixture, const char *workspace_id, struct alert *alert);
/* Commits and waits; first for segments to be sealed, of which two may wait at most (unless the
 * disk has failed: then they may never be). */
bool fixture_commit(struct fixture *fixture);

#endif
