/* write - the owner's half: records are added to a commit, and the commit is
 * handed to the log. Chain heads move with the records and are put back with
 * them (E4). */
#include <string.h>

#include "codec/time.h"
#include "journal/journal_priv.h"

enum { BEFORE_JSON_MAX = 2 * SHA256_SIZE + 1 };

static bool
add_record(struct journal *journal, struct log_record *record, struct str workspace_id,
           struct str before_json, struct str json, struct err *err)
{
    unsigned char head[1 + 255 + BEFORE_JSON_MAX];
    must(workspace_id.len > 0 && workspace_id.len < 256);
    must(before_json.len <= BEFORE_JSON_MAX);
    head[0] = (unsigned char)workspace_id.len;
    memcpy(head + 1, workspace_id.ptr, workspace_id.len);
    size_t len = 1 + workspace_id.len;
    if (before_json.len > 0)
        memcpy(head + len, before_json.ptr, before_json.len);
    len += before_json.len;
    record->parts[0] = (struct str){(const char *)head, len};
    record->parts[1] = json;
    bool ok = log_add(journal->log, record, err);
    record->parts[0] = (struct str){0}; /* it pointed into this call */
    return ok;
}

bool
journal_add_event(struct journal *journal, log_at at, const struct journal_event *event,
                  struct event_integrity *integrity_out, struct err *err)
{
    must(event->created_at_offset + TIME_TEXT_SIZE <= event->stored_len);
    time_format((int64_t)at, event->stored + event->created_at_offset);
    struct str stored = {event->stored, event->stored_len};

    struct head *head = heads_of(journal, event->workspace_id);
    unsigned char hashes[BEFORE_JSON_MAX];
    memcpy(hashes, head->hash, SHA256_SIZE);
    event_hash(journal->sha, head->hash, stored, hashes + SHA256_SIZE);

    uint64_t terms[LOG_TERMS_MAX];
    struct log_record record = {
        .at = at,
        .kind = JOURNAL_EVENT,
        .terms = terms,
        .term_count = terms_of_event(journal, event->workspace_id, event->event, terms),
        .label = event->event->action,
    };
    hashes[2 * (size_t)SHA256_SIZE] = ROW_SILENT;
    struct str before = {(const char *)hashes, sizeof hashes - !event->silent};
    if (!add_record(journal, &record, event->workspace_id, before, stored, err))
        return false;
    heads_save(journal, head);
    memcpy(head->hash, hashes + SHA256_SIZE, SHA256_SIZE);
    head->events++;
    memcpy(integrity_out->previous_hash, hashes, SHA256_SIZE);
    memcpy(integrity_out->hash, hashes + SHA256_SIZE, SHA256_SIZE);
    return true;
}

bool
journal_add_source(struct journal *journal, log_at at, struct str workspace_id, struct str event_id,
                   struct str source, struct err *err)
{
    must(event_id.len == ID_SIZE);
    uint64_t terms[] = {
        term_of_kind(journal, JOURNAL_SOURCE, workspace_id),
        term_of(journal, TERM_SOURCE_EVENT, workspace_id, event_id),
    };
    struct log_record record = {
        .at = at, .kind = JOURNAL_SOURCE, .terms = terms, .term_count = COUNT_OF(terms)};
    return add_record(journal, &record, workspace_id, event_id, source, err);
}

bool
journal_add_alert(struct journal *journal, log_at at, struct str workspace_id,
                  const struct alert *alert, struct err *err)
{
    struct alert stamped = *alert;
    stamped.at = (int64_t)at;
    uint64_t terms[LOG_TERMS_MAX];
    struct log_record record = {
        .at = at,
        .kind = JOURNAL_ALERT,
        .terms = terms,
        .term_count = terms_of_alert(journal, workspace_id, alert, terms),
    };
    struct buffer stored;
    buffer_init(&stored, LOG_PAYLOAD_MAX / 2);
    alert_write_stored(&stored, &stamped);
    must(!stored.ran_out); /* LIMIT_ALERT_BYTES is less */
    bool ok = add_record(journal, &record, workspace_id, (struct str){0}, buffer_str(&stored), err);
    buffer_fini(&stored);
    if (!ok)
        return false;
    struct head *head = heads_of(journal, workspace_id);
    heads_save(journal, head);
    head->alerts++;
    return true;
}

bool
journal_add_rule(struct journal *journal, log_at at, const struct rule *rule, bool in_force,
                 struct err *err)
{
    uint64_t terms[] = {
        term_of_kind(journal, JOURNAL_RULE, rule->workspace_id),
        term_of(journal, TERM_RULE, rule->workspace_id, rule->id),
    };
    struct log_record record = {
        .at = at, .kind = JOURNAL_RULE, .terms = terms, .term_count = COUNT_OF(terms)};
    struct buffer stored;
    buffer_init(&stored, LOG_PAYLOAD_MAX / 2);
    rule_write(&stored, rule, in_force ? RULE_ACTIVE : RULE_DISABLED, true);
    must(!stored.ran_out);
    bool ok = add_record(journal, &record, rule->workspace_id, in_force ? STR("+") : STR("-"),
                         buffer_str(&stored), err);
    buffer_fini(&stored);
    return ok;
}

/* -- commits ---------------------------------------------------------------------- */

/* On the log's writer thread. The owner touches this commit again only after the log has said that
 * it is no longer in flight. */
static void
commit_done(void *self, bool ok, const struct err *err)
{
    struct journal_commit *commit = self;
    if (ok)
        heads_publish(commit);
    atomic_store(&commit->failed, !ok);
    if (commit->done != NULL)
        commit->done(commit->done_self, ok, err);
}

static void
begin_commit(struct journal *journal, struct journal_commit *commit)
{
    commit->serial = ++journal->serial;
    commit->change_count = 0;
    journal->building = commit;
}

static void
undo_flight(struct journal *journal)
{
    if (journal->flight != NULL && atomic_load(&journal->flight->failed))
        heads_undo(journal->flight);
    journal->flight = NULL;
}

bool
journal_commit(struct journal *journal, log_done_fn done, void *self, struct err *err)
{
    struct journal_commit *commit = journal->building;
    for (size_t i = 0; i < commit->change_count; i++) {
        commit->changes[i].events_after = commit->changes[i].head->events;
        commit->changes[i].alerts_after = commit->changes[i].head->alerts;
    }
    commit->done = done;
    commit->done_self = self;
    atomic_store(&commit->failed, false);
    if (!log_commit(journal->log, commit_done, commit, err)) {
        /* Newest first: what was built stands on what was in flight. */
        heads_undo(commit);
        undo_flight(journal);
        begin_commit(journal, commit);
        return false;
    }
    struct journal_commit *other =
        commit == &journal->commits[0] ? &journal->commits[1] : &journal->commits[0];
    journal->flight = commit;
    begin_commit(journal, other);
    return true;
}

void
journal_discard(struct journal *journal)
{
    log_discard(journal->log);
    heads_undo(journal->building);
    begin_commit(journal, journal->building);
}

bool
journal_drain(struct journal *journal, struct err *err)
{
    if (log_drain(journal->log, err)) {
        journal->flight = NULL;
        return true;
    }
    journal_discard(journal);
    undo_flight(journal);
    return false;
}
