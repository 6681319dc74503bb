/* What the engine made of a submission, as answered. */
#include "api/api_priv.h"
#include "model/risk.h"

#include <string.h>

#define HELD_MESSAGE                                                                               \
    "An event with this idempotency_key is being told to webhooks; try again when it is known "    \
    "whether it is stored."
#define RISKS_MAX 256 /* more alerts of one event than rules of a workspace there are not */

static void
write_risk(struct buffer *out, const struct alert *alerts, size_t count)
{
    enum severity severities[RISKS_MAX];
    must(count <= RISKS_MAX);
    for (size_t i = 0; i < count; i++)
        severities[i] = alerts[i].severity;
    risk_write(out, risk_of(severities, count));
}

static void
write_alerts(struct buffer *out, const struct engine_item *item)
{
    json_name(out, "alerts");
    json_open(out, '[');
    for (size_t i = 0; i < item->alert_count; i++) {
        json_open(out, '{');
        alert_write_members(out, &item->alerts[i], NULL);
        json_close(out, '}');
    }
    json_close(out, ']');
}

/* -- duplicates: the first event, read back --------------------------------------- */

struct reading_back {
    struct call *call;
    struct tools tools;
    bool whole; /* with the members of the event, else only its id */
    struct str event_id;
    enum severity severities[RISKS_MAX];
    size_t severity_count;
    bool ok;
    struct err err;
};

bool
answer_event_row(struct buffer *out, struct arena *arena, struct json_parser *parser,
                 const struct journal_row *row, struct err *err)
{
    struct json stored;
    struct event event;
    if (!json_parse(parser, row->stored, arena, &stored, err) ||
        !event_read_stored(&stored, arena, &event, err))
        return false;
    event_write_members(out, &event, &row->integrity);
    return true;
}

static bool
on_event(void *self, const struct journal_row *row)
{
    struct reading_back *back = self;
    struct call *call = back->call;
    struct json stored;
    back->ok = json_parse(back->tools.parser, row->stored, call_arena(call), &stored, &back->err);
    if (!back->ok)
        return false;
    back->event_id = json_get(&stored, STR("id"))->text;
    if (back->whole)
        back->ok =
            answer_event_row(&call->out, call_arena(call), back->tools.parser, row, &back->err);
    else
        json_put_str(&call->out, "id", back->event_id);
    return false;
}

static bool
on_alert(void *self, const struct journal_row *row)
{
    struct reading_back *back = self;
    struct call *call = back->call;
    struct json stored;
    struct alert alert;
    back->ok = json_parse(back->tools.parser, row->stored, call_arena(call), &stored, &back->err) &&
               alert_read_stored(&stored, call_arena(call), &alert, &back->err);
    if (!back->ok)
        return false;
    if (back->severity_count < RISKS_MAX)
        back->severities[back->severity_count++] = alert.severity;
    json_open(&call->out, '{');
    alert_write_members(&call->out, &alert, NULL);
    json_close(&call->out, '}');
    return true;
}

static bool
write_duplicate(struct reading_back *back, const struct engine_item *item, struct err *err)
{
    struct call *call = back->call;
    struct journal *journal = call->api->options.journal;
    back->ok = false;
    back->severity_count = 0;
    if (!journal_event_at(journal, call->workspace_id, item->at, on_event, back, err))
        return false;
    if (!back->ok)
        goto failed;
    json_put_str(&call->out, "status", STR("duplicate"));
    json_name(&call->out, "alerts");
    json_open(&call->out, '[');
    if (!journal_alerts_of(journal, call->workspace_id, back->event_id, on_alert, back, err))
        return false;
    if (!back->ok)
        goto failed;
    json_close(&call->out, ']');
    risk_write(&call->out, risk_of(back->severities, back->severity_count));
    return true;

failed:
    *err = back->err;
    return false;
}

/* -- one item ------------------------------------------------------------------------ */

static void
write_refused(struct buffer *out, const struct refusal *refusal)
{
    const struct violations *violations = &refusal->violations;
    json_put_str(out, "status", STR("invalid"));
    json_put_str(out, "error", str_from(refusal->code));
    json_put_str(out, "message", violations->items[0].message);
    json_name(out, "violations");
    json_open(out, '[');
    for (size_t i = 0; i < violations->count; i++) {
        json_open(out, '{');
        json_put_str(out, "field", violations->items[i].field);
        json_put_str(out, "message", violations->items[i].message);
        json_close(out, '}');
    }
    json_close(out, ']');
}

static void
write_held(struct buffer *out)
{
    json_put_str(out, "status", STR("invalid"));
    json_put_str(out, "error", STR("conflict"));
    json_put_str(out, "message", STR(HELD_MESSAGE));
    json_name(out, "violations");
    json_raw(out, STR("[]"));
}

static void
write_stored(struct buffer *out, struct engine_item *item, bool whole)
{
    item->event.created_at = (int64_t)item->at;
    if (whole)
        event_write_members(out, &item->event, &item->integrity);
    else
        json_put_str(out, "id", item->event.id);
    json_put_str(out, "status", STR("stored"));
    write_alerts(out, item);
    write_risk(out, item->alerts, item->alert_count);
    if (!item->event.has_address) {
        json_name(out, "warnings");
        json_raw(out, STR("[\"no_ip_address\"]"));
    }
}

static bool
write_item(struct reading_back *back, size_t number, struct err *err)
{
    struct call *call = back->call;
    struct engine_item *item = &call->submission.items[number];
    struct buffer *out = &call->out;
    bool ok = true;
    json_open(out, '{');
    if (item->skip)
        write_refused(out, (const struct refusal *)call->state + number);
    else if (item->status == ENGINE_HELD)
        write_held(out);
    else if (item->status == ENGINE_DUPLICATE)
        ok = write_duplicate(back, item, err);
    else
        write_stored(out, item, back->whole);
    json_close(out, '}');
    return ok;
}

static void
write_answer(struct call *call, struct reading_back *back)
{
    struct submission *submission = &call->submission;
    struct err err = {0};
    bool batch = call->state != NULL, ok = true;
    back->whole = !batch;
    bool duplicate = !batch && submission->items[0].status == ENGINE_DUPLICATE;
    struct buffer *out = call_answer(call, batch || duplicate ? 200 : 201);
    if (batch) {
        json_open(out, '{');
        json_name(out, "events");
        json_open(out, '[');
    }
    for (size_t i = 0; ok && i < submission->count; i++)
        ok = write_item(back, i, &err);
    if (batch) {
        json_close(out, ']');
        json_close(out, '}');
    }
    if (!ok) {
        call->status = 0;
        call_fail_err(call, &err);
    }
}

/* Reading the first event back may go to a sealed segment, so it is done on the pool. */
static void
answer_on_pool(struct call *call)
{
    struct reading_back back = {.call = call, .tools = tools_take(call->api)};
    write_answer(call, &back);
    tools_give(call->api, back.tools);
}

void
ingest_finished(struct call *call)
{
    struct submission *submission = &call->submission;
    if (transaction_ends(call))
        return;
    size_t failed = 0, duplicates = 0, sent = 0;
    for (size_t i = 0; i < submission->count; i++) {
        const struct engine_item *item = &submission->items[i];
        sent += !item->skip;
        failed += !item->skip && item->status == ENGINE_FAILED;
        duplicates += !item->skip && item->status == ENGINE_DUPLICATE;
        must(item->skip || item->status != ENGINE_WAITING);
    }
    if (failed > 0) {
        call->retry_after_s = 5;
        call_fail(call, 503, "overloaded",
                  "Storage does not answer: %zu of %zu events could not be stored.", failed, sent);
        call_send(call);
    } else if (call->state == NULL && submission->items[0].status == ENGINE_HELD) {
        call->retry_after_s = 1;
        call_fail(call, 409, "conflict", HELD_MESSAGE);
        call_send(call);
    } else if (duplicates > 0) {
        worker_lend_to_pool(call, answer_on_pool);
    } else {
        struct reading_back back = {.call = call};
        write_answer(call, &back);
        call_send(call);
    }
}
