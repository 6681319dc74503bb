/* Events as read: lists, one by one, and the proof of their chain. */
#include "api/api_priv.h"
#include "codec/time.h"
#include "model/limits.h"

#define VERIFY_DEFAULT 10000

struct listing {
    struct call *call;
    struct tools tools;
    bool ok;
    struct err err;
};

static bool
on_event(void *self, const struct journal_row *row)
{
    struct listing *listing = self;
    struct buffer *out = &listing->call->out;
    json_open(out, '{');
    listing->ok =
        answer_event_row(out, call_arena(listing->call), listing->tools.parser, row, &listing->err);
    json_close(out, '}');
    return listing->ok;
}

static struct journal_event_filter
read_filter(const struct call *call)
{
    return (struct journal_event_filter){
        .actor_id = call_query(call, "actor_id"),
        .action = call_query(call, "action"),
        .resource = call_query(call, "resource"),
        .resource_id = call_query(call, "resource_id"),
        .tenant_id = call_query(call, "tenant_id"),
        .session_id = call_query(call, "session_id"),
        .target_type = call_query(call, "target_type"),
        .target_id = call_query(call, "target_id"),
        .ip_address = call_query(call, "ip_address"),
        .ip_country = call_query(call, "ip_country"),
        .search = call_query(call, "search"),
        .tenants = call->key->key.tenants,
        .tenant_count = call->key->key.tenant_count,
    };
}

void
events_list(struct call *call)
{
    struct journal_page page;
    struct journal_page_result result;
    struct err err = {0};
    if (!call_read_page(call, &page))
        return;
    struct journal_event_filter filter = read_filter(call);
    struct address address;
    char text[ADDRESS_TEXT_SIZE];
    if (filter.ip_address.ptr != NULL && address_parse(filter.ip_address, &address))
        filter.ip_address = (struct str){text, address_format(&address, text)};

    struct listing listing = {.call = call, .tools = tools_take(call->api), .ok = true};
    struct buffer *out = answer_list(call);
    bool ok = journal_list_events(call->api->options.journal, call->workspace_id, &filter, &page,
                                  on_event, &listing, &result, &err);
    tools_give(call->api, listing.tools);
    if (ok && listing.ok) {
        answer_pagination(out, &result);
        return;
    }
    call->status = 0;
    call_fail_err(call, ok ? &listing.err : &err);
}

/* -- one event --------------------------------------------------------------------- */

struct one {
    struct listing listing;
    bool with_source, hidden;
    struct str event_id;
    struct str source; /* in the arena; absent: none */
};

static bool
on_source(void *self, const struct journal_row *row)
{
    struct one *one = self;
    must(arena_copy(call_arena(one->listing.call), row->stored, &one->source));
    return false;
}

/* The members at the top level and again under `data`: documentation and client types of the
 * product we are compatible with disagree, and both work. */
static bool
on_one(void *self, const struct journal_row *row)
{
    struct one *one = self;
    struct call *call = one->listing.call;
    struct arena *arena = call_arena(call);
    struct json stored;
    struct event event;
    struct err *err = &one->listing.err;
    one->listing.ok = json_parse(one->listing.tools.parser, row->stored, arena, &stored, err) &&
                      event_read_stored(&stored, arena, &event, err);
    if (!one->listing.ok)
        return false;
    one->hidden = !call_may_see_tenant(call, event.tenant_id);
    if (one->hidden)
        return false;
    struct buffer *out = call_answer(call, 200);
    for (int depth = 0; depth < 2; depth++) {
        json_open(out, '{');
        event_write_members(out, &event, &row->integrity);
        if (one->with_source)
            json_put_raw(out, "source_record", one->source);
        if (depth == 0)
            json_name(out, "data");
    }
    json_close(out, '}');
    json_close(out, '}');
    return false;
}

void
events_get(struct call *call)
{
    struct journal *journal = call->api->options.journal;
    struct str id = call->parameters[0], include = call_query(call, "include");
    struct err err = {0};
    if (include.ptr != NULL && !str_equal(include, STR("source"))) {
        call_fail(call, 422, "validation_failed", "The include parameter may be source.");
        return;
    }
    struct one one = {.listing = {.call = call, .ok = true}, .with_source = include.ptr != NULL};
    one.listing.tools = tools_take(call->api);
    bool ok = true;
    if (one.with_source)
        ok = journal_find_source(journal, call->workspace_id, id, on_source, &one, &err) ||
             err.code == ERR_NOT_FOUND;
    ok = ok && journal_find_event(journal, call->workspace_id, id, on_one, &one, &err);
    tools_give(call->api, one.listing.tools);
    if ((!ok && err.code == ERR_NOT_FOUND) || one.hidden) {
        call->status = 0;
        call_fail(call, 404, "not_found", "There is no event %.*s.",
                  (int)(id.len < 100 ? id.len : 100), id.ptr);
    } else if (!ok || !one.listing.ok) {
        call->status = 0;
        call_fail_err(call, ok ? &one.listing.err : &err);
    }
}

/* -- the chain ----------------------------------------------------------------------- */

static void
put_hash(struct buffer *out, const char *name, const unsigned char hash[static SHA256_SIZE])
{
    char text[2 * SHA256_SIZE];
    hex_encode(hash, SHA256_SIZE, text);
    json_put_str(out, name, (struct str){text, sizeof text});
}

static void
on_break(void *self, const struct journal_break *found)
{
    struct buffer *out = self;
    json_open(out, '{');
    json_put_str(out, "event_id", found->event_id);
    json_put_str(out, "type", str_from(found->type));
    put_hash(out, "expected_hash", found->expected);
    put_hash(out, "actual_hash", found->actual);
    json_close(out, '}');
}

static void
write_verdict(struct buffer *out, const struct journal_verdict *verdict, struct str breaks)
{
    json_open(out, '{');
    json_name(out, "data");
    json_open(out, '{');
    json_put_bool(out, "valid", verdict->valid);
    json_put_int(out, "events_checked", (int64_t)verdict->events_checked);
    json_name(out, "breaks");
    json_open(out, '[');
    json_raw(out, breaks);
    json_close(out, ']');
    json_name(out, "head");
    if (verdict->has_head) {
        json_open(out, '{');
        json_put_str(out, "event_id", (struct str){verdict->head_event_id, ID_SIZE});
        put_hash(out, "event_hash", verdict->head_hash);
        json_put_time(out, "created_at", verdict->head_created_at);
        json_close(out, '}');
    } else {
        json_null(out);
    }
    json_close(out, '}');
    json_close(out, '}');
}

void
events_verify(struct call *call)
{
    struct str text = call_query(call, "limit");
    int64_t limit = VERIFY_DEFAULT;
    struct journal_page page;
    struct err err = {0};
    if (text.ptr != NULL && (!str_to_int(text, &limit) || limit < 1 || limit > LIMIT_VERIFY)) {
        call_fail(call, 422, "validation_failed",
                  "The limit parameter must be a number from 1 to %d.", LIMIT_VERIFY);
        return;
    }
    for (size_t i = 0; i < call->query_count; i++) /* its bounds differ from those of lists */
        if (str_equal(call->query[i].name, STR("limit")))
            call->query[i].value = STR("");
    if (!call_read_page(call, &page))
        return;
    struct buffer breaks;
    buffer_init(&breaks, API_ANSWER_MAX / 2);
    struct journal_verdict verdict;
    struct log_span span = {.from = page.from, .to = page.to};
    bool ok = journal_verify(call->api->options.journal, call->workspace_id, span, (uint64_t)limit,
                             on_break, &breaks, &verdict, &err);
    if (ok)
        write_verdict(call_answer(call, 200), &verdict, buffer_str(&breaks));
    else
        call_fail_err(call, &err);
    buffer_fini(&breaks);
}
