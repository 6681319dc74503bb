/* journal - opening and closing, and the chain heads found at the start. */
#include <string.h>

#include "journal/journal_priv.h"

/* What the newest segment's rows are folded into. */
struct catching {
    struct journal *journal;
    bool ok;
    struct err *err;
};

static bool
catch_up(void *self, const struct log_row *from)
{
    struct catching *catching = self;
    struct journal *journal = catching->journal;
    struct journal_row row;
    if (!row_decode(from, &row) || row.workspace_id.len == 0 || journal->heads.count == HEADS_MAX)
        return catching->ok = row_corrupt(from, catching->err);
    struct head *head = heads_of(journal, row.workspace_id);
    if (row.kind == JOURNAL_EVENT) {
        memcpy(head->hash, row.integrity.hash, SHA256_SIZE);
        head->events++;
    } else {
        head->alerts++;
    }
    return true;
}

/* From the note of the newest segment, then what that segment holds. */
static bool
find_heads(struct journal *journal, struct err *err)
{
    log_at before = 0;
    struct str note = log_note(journal->log, &before);
    if (!heads_read_note(journal, note, err))
        return false;
    struct catching catching = {journal, true, err};
    struct log_span span = {before + 1, UINT64_MAX, false};
    uint32_t kinds = JOURNAL_KIND_BIT(JOURNAL_EVENT) | JOURNAL_KIND_BIT(JOURNAL_ALERT);
    if (!log_scan(journal->log, span, kinds, catch_up, &catching, err) || !catching.ok)
        return false;
    for (size_t i = 0; i < journal->heads.count; i++) {
        struct head *head = &journal->heads.list[i];
        atomic_store(&head->durable_events, head->events);
        atomic_store(&head->durable_alerts, head->alerts);
    }
    return true;
}

bool
journal_open(const struct journal_options *options, struct journal **journal_out,
             struct log_recovery *recovery_out, struct err *err)
{
    struct journal *journal = base_alloc(1, sizeof *journal);
    must(pthread_mutex_init(&journal->readers_lock, NULL) == 0);
    journal->sha = sha256_new();
    heads_init(journal);
    struct log_options log_options = options->log;
    log_options.write_note = heads_write_note;
    log_options.note_self = journal;
    if (log_open(&log_options, &journal->log, recovery_out, err)) {
        journal->seed = log_seed(journal->log);
        if (find_heads(journal, err)) {
            *journal_out = journal;
            return true;
        }
    }
    journal_close(journal);
    return false;
}

void
journal_close(struct journal *journal)
{
    if (journal->log != NULL)
        log_close(journal->log);
    while (journal->reader_count > 0) {
        struct reader *reader = journal->readers[--journal->reader_count];
        json_parser_free(reader->parser);
        arena_fini(&reader->arena);
        base_free(reader);
    }
    heads_fini(journal);
    sha256_free(journal->sha);
    pthread_mutex_destroy(&journal->readers_lock);
    base_free(journal);
}

struct log *
journal_log(struct journal *journal)
{
    return journal->log;
}
