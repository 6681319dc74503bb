/* Events come in: what was sent is read, enriched and written in its stored form, ready for the
 * engine. On a worker's thread, or on the pool when the body is large. */
#include "api/api_priv.h"
#include "intake/intake.h"
#include "model/limits.h"

#include <stdio.h>
#include <string.h>

/* how far back a key is looked for: over seven days */
#define KEY_DAYS_US   (8LL * 86400 * 1000000)
#define ITEM_OVERHEAD 1024u /* memory of an event beside its stored form */

struct reading {
    struct call *call;
    struct intake_context intake;
    struct tools tools;
    struct refusal *refusals; /* one per item, in a batch */
    log_at open_since;
};

static void
begin_reading(struct reading *reading, struct call *call)
{
    struct api *api = call->api;
    *reading = (struct reading){.call = call};
    if (call->on_worker)
        reading->tools = call->worker->tools;
    else
        reading->tools = tools_take(api);
    reading->intake = (struct intake_context){
        .arena = call_arena(call), .random = api->options.random, .now_us = call->taken_at_us};
    const struct access_workspace *workspace = access_workspace(call->access, call->workspace_id);
    bool peer_counts = call->from_proxy || (workspace != NULL && workspace->address_from_peer &&
                                            address_is_public(&call->peer));
    if (call->has_peer && peer_counts)
        reading->intake.peer_address = call->peer_text;
    reading->open_since = log_open_since(journal_log(api->options.journal));
}

static void
end_reading(struct reading *reading)
{
    if (!reading->call->on_worker)
        tools_give(reading->call->api, reading->tools);
}

/* An idempotency key may lie in a sealed segment: those never change, so it is looked for here,
 * and the engine has only the younger ones to look through. */
static bool
look_for_key(struct reading *reading, struct engine_item *item, struct err *err)
{
    const struct event *event = &item->event;
    if (event->idempotency_key.len == 0 || reading->open_since <= 1)
        return true;
    int64_t from = reading->call->taken_at_us - KEY_DAYS_US;
    struct log_span span = {.from = from > 0 ? (log_at)from : 0, .to = reading->open_since - 1};
    item->key_looked_to = span.to;
    return journal_find_key(reading->call->api->options.journal, reading->call->workspace_id,
                            event->tenant_id, event->idempotency_key, span, &item->key_found, err);
}

static bool
write_stored(struct reading *reading, struct engine_item *item, struct err *err)
{
    struct call *call = reading->call;
    struct buffer *stored = reading->tools.stored;
    struct str kept;
    must(stored != NULL);
    buffer_clear(stored);
    event_write_stored(stored, &item->event, call_arena(call), &item->created_at_offset);
    if (stored->ran_out || call_arena(call)->ran_out ||
        !arena_copy(call_arena(call), buffer_str(stored), &kept))
        return err_set(err, ERR_LIMIT, "The event is too large once it is written out.");
    item->stored = (char *)(uintptr_t)kept.ptr;
    item->stored_len = kept.len;
    call->submission.weight += kept.len + ITEM_OVERHEAD;
    return true;
}

static bool
finish_item(struct reading *reading, const char *prefix, struct engine_item *item,
            struct refusal *refusal, struct err *err)
{
    struct call *call = reading->call;
    if (!call_may_see_tenant(call, item->event.tenant_id)) {
        char field[64];
        snprintf(field, sizeof field, "%stenant_id", prefix);
        refusal->code = "forbidden";
        return violations_add(&refusal->violations, str_from(field),
                              "This key may only send events of its own tenants.");
    }
    return enrich_event(reading->tools.enrich, call_arena(call), &item->event, err) &&
           look_for_key(reading, item, err) && write_stored(reading, item, err);
}

/* False: a complaint was added, or `err` says what failed beside the event itself. */
static bool
read_item(struct reading *reading, const struct json *sent, const char *prefix,
          struct engine_item *item, struct refusal *refusal, struct err *err)
{
    struct call *call = reading->call;
    refusal->code = "validation_failed";
    refusal->violations.arena = call_arena(call);
    if (!intake_read_event(&reading->intake, sent, prefix, &item->event, &refusal->violations))
        return false;
    return finish_item(reading, prefix, item, refusal, err);
}

static void
fail_item(struct call *call, const struct refusal *refusal, const struct err *err)
{
    if (err->code == ERR_LIMIT)
        call_fail(call, 413, "body_too_large", "%s", err->text);
    else if (err->code != ERR_NONE)
        call_fail_err(call, err);
    else if (strcmp(refusal->code, "forbidden") == 0)
        call_fail(call, 403, "forbidden", "%.*s", STR_ARG(refusal->violations.items[0].message));
    else if (strcmp(refusal->code, "malformed_json") == 0)
        call_fail(call, 400, "malformed_json", "%.*s",
                  STR_ARG(refusal->violations.items[0].message));
    else
        call_fail_fields(call, &refusal->violations);
}

static bool
parse(struct reading *reading, struct str text, struct json *json_out, struct err *err)
{
    return json_parse(reading->tools.parser, text, call_arena(reading->call), json_out, err);
}

static void
fail_parse(struct call *call, const struct err *err)
{
    if (err->code == ERR_LIMIT)
        call_fail(call, 413, "body_too_large", "%s", err->text);
    else
        call_fail(call, 400, "malformed_json", "%s", err->text);
}

static bool
make_items(struct call *call, size_t count)
{
    call->submission.items = arena_array(call_arena(call), count, struct engine_item);
    call->submission.count = count;
    if (call->submission.items != NULL)
        return true;
    call_fail(call, 413, "body_too_large", "The request takes too much memory.");
    return false;
}

void
ingest_one(struct call *call)
{
    struct reading reading;
    struct refusal refusal = {0};
    struct err err = {0};
    struct json sent;
    begin_reading(&reading, call);
    if (!parse(&reading, call->body, &sent, &err))
        fail_parse(call, &err);
    else if (make_items(call, 1) &&
             !read_item(&reading, &sent, "", &call->submission.items[0], &refusal, &err))
        fail_item(call, &refusal, &err);
    end_reading(&reading);
}

static bool
read_fusionauth(struct reading *reading, const struct json *sent, struct engine_item *item,
                struct refusal *refusal, struct err *err)
{
    struct call *call = reading->call;
    refusal->code = "validation_failed";
    refusal->violations.arena = call_arena(call);
    if (!intake_read_fusionauth(&reading->intake, sent, &item->event, &item->source,
                                &refusal->violations))
        return false;
    call->submission.weight += item->source.len;
    return finish_item(reading, "event.", item, refusal, err);
}

void
ingest_fusionauth(struct call *call)
{
    struct reading reading;
    struct refusal refusal = {0};
    struct err err = {0};
    struct json sent;
    begin_reading(&reading, call);
    if (!parse(&reading, call->body, &sent, &err))
        fail_parse(call, &err);
    else if (make_items(call, 1) &&
             !read_fusionauth(&reading, &sent, &call->submission.items[0], &refusal, &err))
        fail_item(call, &refusal, &err);
    end_reading(&reading);
}

/* -- batches ------------------------------------------------------------------- */

/* None of the items is good: the whole is 422. */
static void
fail_all(struct call *call, const struct refusal *refusals, size_t count)
{
    struct violations all = {.arena = call_arena(call)};
    must(count == 0 || refusals != NULL);
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < refusals[i].violations.count; j++)
            violations_add(&all, refusals[i].violations.items[j].field, "%.*s",
                           STR_ARG(refusals[i].violations.items[j].message));
    if (all.count == 0)
        call_fail(call, 422, "validation_failed", "The batch holds no events.");
    else
        call_fail_fields(call, &all);
}

/* One item of a batch; false only when the whole request cannot go on. */
static bool
read_batch_item(struct reading *reading, size_t number, const struct json *sent, struct err *err)
{
    struct call *call = reading->call;
    struct engine_item *item = &call->submission.items[number];
    struct refusal *refusal = &reading->refusals[number];
    char prefix[32];
    snprintf(prefix, sizeof prefix, "events[%zu].", number);
    if (read_item(reading, sent, prefix, item, refusal, err))
        return true;
    item->skip = true;
    return err->code == ERR_NONE;
}

static bool
begin_batch(struct reading *reading, size_t count, size_t most)
{
    struct call *call = reading->call;
    if (count > most) {
        call_fail(call, 422, "validation_failed", "The batch holds %zu events; at most %zu go.",
                  count, most);
        return false;
    }
    if (!make_items(call, count))
        return false;
    reading->refusals = arena_array(call_arena(call), count, struct refusal);
    call->state = reading->refusals;
    if (reading->refusals != NULL)
        return true;
    call_fail(call, 413, "body_too_large", "The request takes too much memory.");
    return false;
}

static void
read_json_batch(struct reading *reading)
{
    struct call *call = reading->call;
    struct err err = {0};
    struct json body;
    if (!parse(reading, call->body, &body, &err)) {
        fail_parse(call, &err);
        return;
    }
    const struct json *events = json_get(&body, STR("events"));
    if (events->type != JSON_ARRAY) {
        call_fail(call, 422, "validation_failed", "The events field must be an array.");
        return;
    }
    if (body.count > 1) {
        struct str extra = body.members[0].name;
        if (str_equal(extra, STR("events")))
            extra = body.members[1].name;
        call_fail(call, 422, "validation_failed", "The %.*s field is not known here.",
                  (int)(extra.len < 100 ? extra.len : 100), extra.ptr);
        return;
    }
    if (!begin_batch(reading, events->count, LIMIT_BATCH_EVENTS))
        return;
    for (size_t i = 0; i < events->count; i++) {
        if (!read_batch_item(reading, i, &events->items[i], &err)) {
            fail_item(call, &reading->refusals[i], &err);
            return;
        }
    }
}

static size_t
count_lines(struct str text)
{
    struct str line;
    size_t count = 0;
    while (intake_next_line(&text, &line))
        count++;
    return count;
}

static void
read_ndjson_batch(struct reading *reading)
{
    struct call *call = reading->call;
    struct str rest = call->body, line;
    if (!begin_batch(reading, count_lines(rest), LIMIT_NDJSON_EVENTS))
        return;
    for (size_t i = 0; intake_next_line(&rest, &line); i++) {
        struct err err = {0};
        struct json sent;
        struct refusal *refusal = &reading->refusals[i];
        if (!parse(reading, line, &sent, &err)) {
            if (err.code == ERR_LIMIT) {
                fail_parse(call, &err);
                return;
            }
            char field[32];
            snprintf(field, sizeof field, "events[%zu]", i);
            refusal->code = "malformed_json";
            refusal->violations.arena = call_arena(call);
            violations_add(&refusal->violations, str_from(field), "%s", err.text);
            call->submission.items[i].skip = true;
        } else if (!read_batch_item(reading, i, &sent, &err)) {
            fail_item(call, refusal, &err);
            return;
        }
    }
}

void
ingest_batch(struct call *call)
{
    struct str backfill = call_query(call, "backfill");
    if (backfill.ptr != NULL && !str_equal(backfill, STR("true")) &&
        !str_equal(backfill, STR("false"))) {
        call_fail(call, 422, "validation_failed", "The backfill parameter is true or false.");
        return;
    }
    call->submission.backfill = backfill.ptr != NULL && str_equal(backfill, STR("true"));

    struct reading reading;
    begin_reading(&reading, call);
    must(call->media_type.ptr != NULL); /* the route takes a body, so it was looked at */
    if (str_equal(call->media_type, STR("ndjson")))
        read_ndjson_batch(&reading);
    else
        read_json_batch(&reading);
    size_t good = 0;
    for (size_t i = 0; i < call->submission.count; i++)
        good += !call->submission.items[i].skip;
    if (call->status == 0 && good == 0)
        fail_all(call, reading.refusals, call->submission.count);
    end_reading(&reading);
}

bool
ingest_submit(struct call *call)
{
    struct worker *worker = call->worker;
    if (transaction_wanted(call))
        return transaction_begin(call);
    if (engine_submit(call->api->options.engine, &call->submission))
        return true;
    atomic_fetch_add(&worker->refused, 1);
    call->retry_after_s = 1;
    call_fail(call, 503, "overloaded", "Too many events are waiting; try again in a second.");
    return false;
}
