/* read - records by position and by what names them. */
#include "codec/text.h"
#include "journal/journal_priv.h"

/* A walk over rows of the log, shown as rows of the journal. */
struct walk {
    struct str workspace_id; /* absent: all */
    enum journal_kind kind;  /* 0: any */
    /* Asked for each row of the kind; NULL: all are wanted. */
    bool (*wanted)(void *self, const struct journal_row *row);
    void *wanted_self;
    bool only_one;
    journal_row_fn fn;
    void *self;
    size_t shown;
    bool corrupt;
    struct err *err;
};

static bool
show(void *self, const struct log_row *from)
{
    struct walk *walk = self;
    struct journal_row row;
    if (!row_decode(from, &row)) {
        walk->corrupt = !row_corrupt(from, walk->err);
        return false;
    }
    if (walk->workspace_id.ptr != NULL && !str_equal(row.workspace_id, walk->workspace_id))
        return true;
    if (walk->kind != 0 && row.kind != walk->kind)
        return true;
    if (walk->wanted != NULL && !walk->wanted(walk->wanted_self, &row))
        return true;
    walk->shown++;
    return walk->fn(walk->self, &row) && !walk->only_one;
}

bool
journal_scan(struct journal *journal, struct log_span span, uint32_t kinds, struct str workspace_id,
             journal_row_fn fn, void *self, struct err *err)
{
    struct walk walk = {.workspace_id = workspace_id, .fn = fn, .self = self, .err = err};
    return log_scan(journal->log, span, kinds, show, &walk, err) && !walk.corrupt;
}

static const struct log_span everything = {0, UINT64_MAX, false};

/* All rows with the term that are wanted, oldest first. */
static bool
find(struct journal *journal, uint64_t term, struct walk *walk, struct err *err)
{
    struct log_any group = {&term, 1};
    walk->err = err;
    return log_find(journal->log, everything, &group, 1, show, walk, err) && !walk->corrupt;
}

static bool
found_or(const struct walk *walk, const char *what, struct str id, struct err *err)
{
    struct str shown = utf8_cut(id, 64);
    if (walk->shown > 0)
        return true;
    return err_set(err, ERR_NOT_FOUND, "There is no %s %.*s.", what, STR_ARG(shown));
}

static bool
has_id(void *self, const struct journal_row *row)
{
    return str_equal(row_id(row), *(const struct str *)self);
}

static bool
has_event_id(void *self, const struct journal_row *row)
{
    struct str id =
        row->kind == JOURNAL_SOURCE ? row->event_id : row_member(row->stored, ROW_EVENT_ID);
    return str_equal(id, *(const struct str *)self);
}

bool
journal_find_event(struct journal *journal, struct str workspace_id, struct str event_id,
                   journal_row_fn fn, void *self, struct err *err)
{
    struct walk walk = {.workspace_id = workspace_id,
                        .kind = JOURNAL_EVENT,
                        .wanted = has_id,
                        .wanted_self = &event_id,
                        .only_one = true,
                        .fn = fn,
                        .self = self};
    uint64_t term = term_of(journal, TERM_EVENT_ID, workspace_id, event_id);
    return find(journal, term, &walk, err) && found_or(&walk, "event", event_id, err);
}

bool
journal_event_at(struct journal *journal, struct str workspace_id, log_at at, journal_row_fn fn,
                 void *self, struct err *err)
{
    struct walk walk = {.workspace_id = workspace_id, .fn = fn, .self = self, .err = err};
    struct log_span span = {at, at, false};
    if (!log_scan(journal->log, span, JOURNAL_KIND_BIT(JOURNAL_EVENT), show, &walk, err) ||
        walk.corrupt)
        return false;
    return walk.shown > 0 ||
           err_set(err, ERR_NOT_FOUND, "There is no event at %llu.", (unsigned long long)at);
}

bool
journal_find_alert(struct journal *journal, struct str workspace_id, struct str alert_id,
                   journal_row_fn fn, void *self, struct err *err)
{
    struct walk walk = {.workspace_id = workspace_id,
                        .kind = JOURNAL_ALERT,
                        .wanted = has_id,
                        .wanted_self = &alert_id,
                        .only_one = true,
                        .fn = fn,
                        .self = self};
    uint64_t term = term_of(journal, TERM_ALERT_ID, workspace_id, alert_id);
    return find(journal, term, &walk, err) && found_or(&walk, "alert", alert_id, err);
}

bool
journal_alerts_of(struct journal *journal, struct str workspace_id, struct str event_id,
                  journal_row_fn fn, void *self, struct err *err)
{
    struct walk walk = {.workspace_id = workspace_id,
                        .kind = JOURNAL_ALERT,
                        .wanted = has_event_id,
                        .wanted_self = &event_id,
                        .fn = fn,
                        .self = self};
    return find(journal, term_of(journal, TERM_ALERT_EVENT, workspace_id, event_id), &walk, err);
}

bool
journal_find_source(struct journal *journal, struct str workspace_id, struct str event_id,
                    journal_row_fn fn, void *self, struct err *err)
{
    struct walk walk = {.workspace_id = workspace_id,
                        .kind = JOURNAL_SOURCE,
                        .wanted = has_event_id,
                        .wanted_self = &event_id,
                        .only_one = true,
                        .fn = fn,
                        .self = self};
    uint64_t term = term_of(journal, TERM_SOURCE_EVENT, workspace_id, event_id);
    return find(journal, term, &walk, err) && found_or(&walk, "source of event", event_id, err);
}

/* -- idempotency keys ------------------------------------------------------------ */

struct key_search {
    struct reader *reader;
    struct str tenant_id, key;
    log_at at;
    bool failed;
    struct err *err;
};

/* A row with the term, and its key read out of the record. */
static bool
has_key(void *self, const struct journal_row *row)
{
    struct key_search *search = self;
    struct event event;
    if (!reader_event(search->reader, row->stored, &event, search->err)) {
        search->failed = true;
        return true; /* and the walk ends with this row */
    }
    return str_equal(event.idempotency_key, search->key) &&
           str_equal(event.tenant_id, search->tenant_id);
}

static bool
note_position(void *self, const struct journal_row *row)
{
    *(log_at *)self = row->at;
    return true;
}

bool
journal_find_key(struct journal *journal, struct str workspace_id, struct str tenant_id,
                 struct str key, struct log_span span, log_at *at_out, struct err *err)
{
    struct key_search search = {.tenant_id = tenant_id, .key = key, .err = err};
    log_at at = 0;
    struct walk walk = {.workspace_id = workspace_id,
                        .kind = JOURNAL_EVENT,
                        .wanted = has_key,
                        .wanted_self = &search,
                        .only_one = true,
                        .fn = note_position,
                        .self = &at,
                        .err = err};
    uint64_t term = term_of_two(journal, TERM_KEY, workspace_id, tenant_id, key);
    struct log_any group = {&term, 1};
    search.reader = reader_take(journal);
    bool ok = log_find(journal->log, span, &group, 1, show, &walk, err) && !walk.corrupt &&
              !search.failed;
    reader_give(journal, search.reader);
    if (ok)
        *at_out = at;
    return ok;
}
