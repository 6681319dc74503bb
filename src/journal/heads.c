/* heads - where each workspace's event chain stands, and how many events and
 * alerts it has; moved with each record, put back when a commit fails.
 *
 * NOTE, in each segment's header: one byte 1 (the version), then per workspace
 *   1 byte   length of its id
 *            the id
 *   32 bytes hash of its newest event before the segment (or the chain's start)
 *   8 bytes  events so far, little-endian
 *   8 bytes  alerts so far */
#include <string.h>

#include "journal/journal_priv.h"

#define NOTE_VERSION 1
#define NOTE_NUMBERS (SHA256_SIZE + 8 + 8)

void
heads_init(struct journal *journal)
{
    journal->heads.list = base_alloc(HEADS_MAX, sizeof *journal->heads.list);
    for (size_t i = 0; i < COUNT_OF(journal->commits); i++)
        journal->commits[i].changes = base_alloc(HEADS_MAX, sizeof *journal->commits[i].changes);
    journal->serial = 1;
    journal->building = &journal->commits[0];
    journal->building->serial = journal->serial;
}

void
heads_fini(struct journal *journal)
{
    for (size_t i = 0; i < journal->heads.count; i++)
        base_free((void *)(uintptr_t)journal->heads.list[i].workspace_id.ptr);
    base_free(journal->heads.list);
    for (size_t i = 0; i < COUNT_OF(journal->commits); i++)
        base_free(journal->commits[i].changes);
}

struct head *
heads_of(struct journal *journal, struct str workspace_id)
{
    struct heads *heads = &journal->heads;
    size_t slot = hash64(journal->seed, workspace_id.ptr, workspace_id.len) % HEAD_SLOTS;
    for (; heads->slots[slot] != 0; slot = (slot + 1) % HEAD_SLOTS) {
        struct head *head = &heads->list[heads->slots[slot] - 1];
        if (str_equal(head->workspace_id, workspace_id))
            return head;
    }
    size_t count = heads->count;
    must(count < HEADS_MAX && workspace_id.len > 0 && workspace_id.len < 256);
    struct head *head = &heads->list[count];
    head->workspace_id = base_copy(workspace_id);
    event_chain_start(workspace_id, head->hash);
    heads->slots[slot] = (uint16_t)(count + 1);
    atomic_store_explicit(&heads->count, count + 1, memory_order_release);
    return head;
}

void
heads_save(struct journal *journal, struct head *head)
{
    struct journal_commit *commit = journal->building;
    if (head->saved_in == commit->serial)
        return;
    struct head_change *change = &commit->changes[commit->change_count++];
    change->head = head;
    memcpy(change->hash, head->hash, SHA256_SIZE);
    change->events = head->events;
    change->alerts = head->alerts;
    head->saved_in = commit->serial;
}

void
heads_undo(struct journal_commit *commit)
{
    for (size_t i = 0; i < commit->change_count; i++) {
        const struct head_change *change = &commit->changes[i];
        memcpy(change->head->hash, change->hash, SHA256_SIZE);
        change->head->events = change->events;
        change->head->alerts = change->alerts;
        change->head->saved_in = 0;
    }
    commit->change_count = 0;
}

void
heads_publish(struct journal_commit *commit)
{
    for (size_t i = 0; i < commit->change_count; i++) {
        const struct head_change *change = &commit->changes[i];
        atomic_store(&change->head->durable_events, change->events_after);
        atomic_store(&change->head->durable_alerts, change->alerts_after);
    }
}

void
heads_counts(struct journal *journal, struct str workspace_id, uint64_t *events_out,
             uint64_t *alerts_out)
{
    size_t count = atomic_load_explicit(&journal->heads.count, memory_order_acquire);
    *events_out = *alerts_out = 0;
    for (size_t i = 0; i < count; i++) {
        struct head *head = &journal->heads.list[i];
        if (!str_equal(head->workspace_id, workspace_id))
            continue;
        *events_out = atomic_load(&head->durable_events);
        *alerts_out = atomic_load(&head->durable_alerts);
        return;
    }
}

/* -- the note ------------------------------------------------------------------ */

static void
add_number(struct buffer *note, uint64_t number)
{
    for (unsigned i = 0; i < 8; i++)
        buffer_add_char(note, (char)(unsigned char)(number >> (8 * i)));
}

static void
add_head(struct buffer *note, struct str workspace_id, const unsigned char *hash, uint64_t events,
         uint64_t alerts)
{
    if (events == 0 && alerts == 0)
        return;
    buffer_add_char(note, (char)(unsigned char)workspace_id.len);
    buffer_add(note, workspace_id);
    buffer_add_bytes(note, hash, SHA256_SIZE);
    add_number(note, events);
    add_number(note, alerts);
}

void
heads_write_note(void *self, struct buffer *note)
{
    const struct journal *journal = self;
    const struct journal_commit *building = journal->building;
    buffer_add_char(note, NOTE_VERSION);
    /* The segment is made for the commit being built, which lies behind the note: what that commit
     * moved is told as it was before. */
    for (size_t i = 0; i < building->change_count; i++) {
        const struct head_change *change = &building->changes[i];
        add_head(note, change->head->workspace_id, change->hash, change->events, change->alerts);
    }
    for (size_t i = 0; i < journal->heads.count; i++) {
        const struct head *head = &journal->heads.list[i];
        if (head->saved_in != building->serial)
            add_head(note, head->workspace_id, head->hash, head->events, head->alerts);
    }
}

static uint64_t
read_number(const char *from)
{
    uint64_t number = 0;
    for (unsigned i = 0; i < 8; i++)
        number |= (uint64_t)(unsigned char)from[i] << (8 * i);
    return number;
}

bool
heads_read_note(struct journal *journal, struct str note, struct err *err)
{
    if (note.len == 0)
        return true;
    if (note.ptr[0] != NOTE_VERSION)
        return err_set(err, ERR_CORRUPT, "journal: a segment's note of version %d, not %d",
                       note.ptr[0], NOTE_VERSION);
    size_t at = 1;
    while (at < note.len) {
        size_t len = (unsigned char)note.ptr[at];
        if (len == 0 || note.len - at < 1 + len + NOTE_NUMBERS || journal->heads.count == HEADS_MAX)
            return err_set(err, ERR_CORRUPT, "journal: a segment's note cannot be read");
        struct head *head = heads_of(journal, (struct str){note.ptr + at + 1, len});
        const char *numbers = note.ptr + at + 1 + len;
        memcpy(head->hash, numbers, SHA256_SIZE);
        head->events = read_number(numbers + SHA256_SIZE);
        head->alerts = read_number(numbers + SHA256_SIZE + 8);
        at += 1 + len + NOTE_NUMBERS;
    }
    return true;
}
