/* list - pages of events and alerts: the index finds, each record is asked
 * itself, and neither time nor the number of records looked at is without a
 * bound. */
#include "codec/time.h"
#include "journal/journal_priv.h"

#define TOTAL_MAX      10000
#define CLOCK_EVERY    64 /* rows between two looks at the clock */
#define ALERT_SLACK_US ((log_at)TIME_US_PER_MINUTE)

/* A page while it is filled. */
struct listing {
    struct str workspace_id;
    enum journal_kind kind;
    const struct journal_page *page;
    bool (*holds)(struct listing *listing, const struct journal_row *row, bool *holds_out,
                  struct err *err);
    const struct journal_event_filter *event_filter;
    const struct journal_alert_filter *alert_filter;
    struct reader *reader;
    journal_row_fn fn;
    void *self;
    struct journal_page_result result;
    log_at last_shown;
    uint64_t looked;
    int64_t began_us;
    bool failed;
    struct err *err;
};

static bool
has_spent_its_budget(const struct listing *listing)
{
    const struct journal_page *page = listing->page;
    if (listing->looked >= page->budget_rows)
        return true;
    return listing->looked % CLOCK_EVERY == 0 &&
           page->clock.monotonic_us(page->clock.self) - listing->began_us >= page->budget_us;
}

/* Stops the list: what comes next lies beyond `at`. */
static bool
stop_at(struct listing *listing, log_at at)
{
    listing->result.has_more = true;
    listing->result.next_cursor = at;
    return false;
}

static bool
look_at(void *self, const struct log_row *from)
{
    struct listing *listing = self;
    struct journal_row row;
    bool holds = false;
    if (!row_decode(from, &row)) {
        listing->failed = !row_corrupt(from, listing->err);
        return false;
    }
    listing->looked++;
    if (row.kind == listing->kind && str_equal(row.workspace_id, listing->workspace_id) &&
        !listing->holds(listing, &row, &holds, listing->err)) {
        listing->failed = true;
        return false;
    }
    if (holds) {
        if (listing->result.count == listing->page->limit)
            return stop_at(listing, listing->last_shown);
        listing->result.count++;
        listing->last_shown = row.at;
        if (!listing->fn(listing->self, &row))
            return stop_at(listing, row.at);
    }
    return !has_spent_its_budget(listing) || stop_at(listing, row.at);
}

/* The bounds of the page, 0 standing for none. */
static struct log_span
whole_span(const struct journal_page *page)
{
    return (struct log_span){page->from, page->to == 0 ? UINT64_MAX : page->to, !page->ascending};
}

/* What of the span lies beyond the cursor; false when nothing does. */
static bool
apply_cursor(const struct journal_page *page, struct log_span *span)
{
    if (page->cursor != 0 && page->ascending && page->cursor >= span->from) {
        if (page->cursor == UINT64_MAX)
            return false;
        span->from = page->cursor + 1;
    }
    if (page->cursor != 0 && !page->ascending && page->cursor <= span->to)
        span->to = page->cursor - 1;
    return span->from <= span->to;
}

static bool
fill_page(struct journal *journal, struct listing *listing, const struct query *query,
          struct log_span span, struct err *err)
{
    const struct journal_page *page = listing->page;
    must(page->limit > 0 && page->budget_rows > 0);
    if (query->nothing || !apply_cursor(page, &span))
        return true;
    listing->err = err;
    listing->began_us = page->clock.monotonic_us(page->clock.self);
    listing->reader = reader_take(journal);
    bool ok =
        log_find(journal->log, span, query->groups, query->group_count, look_at, listing, err) &&
        !listing->failed;
    reader_give(journal, listing->reader);
    return ok;
}

/* Counts from the index alone, over the whole span and whatever the cursor. */
static bool
count_total(struct journal *journal, const struct query *query, struct log_span span,
            struct journal_page_result *result, struct err *err)
{
    uint64_t count = 0;
    bool none = query->nothing || span.from > span.to;
    if (!none && !log_count(journal->log, span, query->groups, query->group_count, TOTAL_MAX + 1,
                            &count, err))
        return false;
    result->total = count > TOTAL_MAX ? TOTAL_MAX : count;
    result->total_is_exact = count <= TOTAL_MAX && !query->inexact;
    return true;
}

static bool
is_bounded(const struct journal_page *page)
{
    return page->from != 0 || (page->to != 0 && page->to != UINT64_MAX);
}

/* -- events ------------------------------------------------------------------------ */

static bool
event_holds(struct listing *listing, const struct journal_row *row, bool *holds_out,
            struct err *err)
{
    struct event event;
    if (!reader_event(listing->reader, row->stored, &event, err))
        return false;
    *holds_out = filter_holds(listing->event_filter, &event);
    return true;
}

bool
journal_list_events(struct journal *journal, struct str workspace_id,
                    const struct journal_event_filter *filter, const struct journal_page *page,
                    journal_row_fn fn, void *self, struct journal_page_result *result_out,
                    struct err *err)
{
    struct query query;
    struct log_span span = whole_span(page);
    struct listing listing = {.workspace_id = workspace_id,
                              .kind = JOURNAL_EVENT,
                              .page = page,
                              .holds = event_holds,
                              .event_filter = filter,
                              .fn = fn,
                              .self = self};
    uint64_t alerts;
    if (!query_events(journal, workspace_id, filter, span, &query, err))
        return false;
    if (!query.filtered && !is_bounded(page)) {
        heads_counts(journal, workspace_id, &listing.result.total, &alerts);
        listing.result.total_is_exact = true;
    } else if (!count_total(journal, &query, span, &listing.result, err)) {
        return false;
    }
    if (!fill_page(journal, &listing, &query, span, err))
        return false;
    *result_out = listing.result;
    return true;
}

/* -- alerts ------------------------------------------------------------------------- */

static bool
text_is(const struct json *object, struct str name, struct str wanted)
{
    const struct json *value = json_get(object, name);
    return wanted.ptr == NULL || (value->type == JSON_STRING && str_equal(value->text, wanted));
}

static bool
triggered_within(const struct json *alert, const struct journal_page *page)
{
    const struct json *value = json_get(alert, STR("triggered_at"));
    int64_t time_us;
    if (value->type != JSON_STRING || !time_parse(value->text, &time_us) || time_us < 0)
        return false;
    return (log_at)time_us >= page->from && (page->to == 0 || (log_at)time_us <= page->to);
}

static bool
alert_holds(struct listing *listing, const struct journal_row *row, bool *holds_out,
            struct err *err)
{
    const struct journal_alert_filter *filter = listing->alert_filter;
    struct json alert;
    if (!reader_json(listing->reader, row->stored, &alert, err))
        return false;
    const struct json *id = json_get(&alert, STR("id"));
    const struct json *tenant = json_get(&alert, STR("tenant_id"));
    bool of_tenant = filter->tenant_count == 0;
    for (size_t i = 0; i < filter->tenant_count; i++)
        of_tenant = of_tenant ||
                    (tenant->type == JSON_STRING && str_equal(tenant->text, filter->tenants[i]));
    *holds_out = of_tenant && text_is(&alert, STR("rule_type"), filter->rule_type) &&
                 text_is(&alert, STR("rule_id"), filter->rule_id) &&
                 text_is(&alert, STR("severity"), filter->severity) &&
                 text_is(&alert, STR("actor_id"), filter->actor_id) &&
                 triggered_within(&alert, listing->page) &&
                 (filter->keep == NULL ||
                  (id->type == JSON_STRING && filter->keep(filter->keep_self, id->text)));
    return true;
}

bool
journal_list_alerts(struct journal *journal, struct str workspace_id,
                    const struct journal_alert_filter *filter, const struct journal_page *page,
                    journal_row_fn fn, void *self, struct journal_page_result *result_out,
                    struct err *err)
{
    struct query query;
    struct log_span span = whole_span(page);
    span.from = span.from > ALERT_SLACK_US ? span.from - ALERT_SLACK_US : 0;
    span.to = span.to < UINT64_MAX - ALERT_SLACK_US ? span.to + ALERT_SLACK_US : UINT64_MAX;
    struct listing listing = {.workspace_id = workspace_id,
                              .kind = JOURNAL_ALERT,
                              .page = page,
                              .holds = alert_holds,
                              .alert_filter = filter,
                              .fn = fn,
                              .self = self};
    uint64_t events;
    query_alerts(journal, workspace_id, filter, &query);
    if (!query.filtered && !is_bounded(page)) {
        heads_counts(journal, workspace_id, &events, &listing.result.total);
        listing.result.total_is_exact = true;
    } else {
        /* Positions are a minute wider than what was asked for. */
        query.inexact = query.inexact || is_bounded(page);
        if (!count_total(journal, &query, span, &listing.result, err))
            return false;
    }
    if (!fill_page(journal, &listing, &query, span, err))
        return false;
    *result_out = listing.result;
    return true;
}
