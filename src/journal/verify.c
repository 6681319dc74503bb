/* verify - the event chain computed anew. Whatever is found wrong, the walk
 * goes on from what is stored, so that one break is told once. */
#include <string.h>

#include "codec/time.h"
#include "journal/journal_priv.h"

struct verifying {
    struct str workspace_id;
    struct sha256 *sha;
    uint64_t limit;
    unsigned char previous[SHA256_SIZE]; /* the hash stored with the event before */
    void (*fn)(void *self, const struct journal_break *found);
    void *self;
    struct journal_verdict verdict;
    bool corrupt;
    struct err *err;
};

static bool
decode(struct verifying *verifying, const struct log_row *from, struct journal_row *row_out)
{
    if (!row_decode(from, row_out)) {
        verifying->corrupt = !row_corrupt(from, verifying->err);
        return false;
    }
    return true;
}

static bool
is_ours(const struct verifying *verifying, const struct journal_row *row)
{
    return row->kind == JOURNAL_EVENT && str_equal(row->workspace_id, verifying->workspace_id);
}

static bool
take_predecessor(void *self, const struct log_row *from)
{
    struct verifying *verifying = self;
    struct journal_row row;
    if (!decode(verifying, from, &row))
        return false;
    if (!is_ours(verifying, &row))
        return true;
    memcpy(verifying->previous, row.integrity.hash, SHA256_SIZE);
    return false;
}

static void
compare(struct verifying *verifying, const struct journal_row *row, const char *type,
        const unsigned char *expected, const unsigned char *actual)
{
    if (memcmp(expected, actual, SHA256_SIZE) == 0)
        return;
    struct journal_break found = {.event_id = row_id(row), .type = type};
    memcpy(found.expected, expected, SHA256_SIZE);
    memcpy(found.actual, actual, SHA256_SIZE);
    verifying->verdict.valid = false;
    verifying->fn(verifying->self, &found);
}

static bool
check_event(void *self, const struct log_row *from)
{
    struct verifying *verifying = self;
    struct journal_verdict *verdict = &verifying->verdict;
    struct journal_row row;
    unsigned char computed[SHA256_SIZE];
    if (verdict->events_checked == verifying->limit || !decode(verifying, from, &row))
        return false;
    if (!is_ours(verifying, &row))
        return true;
    compare(verifying, &row, "chain_break", verifying->previous, row.integrity.previous_hash);
    event_hash(verifying->sha, row.integrity.previous_hash, row.stored, computed);
    compare(verifying, &row, "hash_mismatch", computed, row.integrity.hash);

    memcpy(verifying->previous, row.integrity.hash, SHA256_SIZE);
    verdict->events_checked++;
    verdict->has_head = true;
    struct str id = row_id(&row);
    memset(verdict->head_event_id, 0, ID_SIZE);
    if (id.len > 0)
        memcpy(verdict->head_event_id, id.ptr, id.len < ID_SIZE ? id.len : ID_SIZE);
    memcpy(verdict->head_hash, row.integrity.hash, SHA256_SIZE);
    verdict->head_created_at = (int64_t)row.at;
    return true;
}

bool
journal_verify(struct journal *journal, struct str workspace_id, struct log_span span,
               uint64_t limit, void (*fn)(void *self, const struct journal_break *found),
               void *self, struct journal_verdict *verdict_out, struct err *err)
{
    struct verifying verifying = {.workspace_id = workspace_id,
                                  .limit = limit,
                                  .fn = fn,
                                  .self = self,
                                  .verdict = {.valid = true},
                                  .err = err};
    uint64_t term = term_of_kind(journal, JOURNAL_EVENT, workspace_id);
    struct log_any group = {&term, 1};
    bool ok = true;
    event_chain_start(workspace_id, verifying.previous);
    if (span.from > 0) {
        struct log_span before = {0, span.from - 1, true};
        ok = log_find(journal->log, before, &group, 1, take_predecessor, &verifying, err);
    }
    span.descending = false;
    verifying.sha = sha256_new();
    ok = ok && !verifying.corrupt &&
         log_find(journal->log, span, &group, 1, check_event, &verifying, err) &&
         !verifying.corrupt;
    sha256_free(verifying.sha);
    if (ok)
        *verdict_out = verifying.verdict;
    return ok;
}
