/* Alerts as read, and what an analyst says of them. */
#include "api/api_priv.h"
#include "codec/time.h"
#include "model/limits.h"

#define ALERTS_KEPT (LIMIT_PAGE + 1)

/* Rows are gathered first, so that what the store knows of them is asked for once. */
struct gathering {
    struct call *call;
    struct tools tools;
    struct alert alerts[ALERTS_KEPT];
    size_t count;
    bool ok;
    struct err err;
};

static bool
gather(void *self, const struct journal_row *row)
{
    struct gathering *gathering = self;
    struct arena *arena = call_arena(gathering->call);
    struct json stored;
    must(gathering->count < ALERTS_KEPT);
    struct alert *alert = &gathering->alerts[gathering->count];
    gathering->ok =
        json_parse(gathering->tools.parser, row->stored, arena, &stored, &gathering->err) &&
        alert_read_stored(&stored, arena, alert, &gathering->err);
    alert->at = (int64_t)row->at;
    gathering->count += gathering->ok;
    return gathering->ok;
}

static bool
on_event(void *self, const struct journal_row *row)
{
    struct gathering *gathering = self;
    struct buffer *out = &gathering->call->out;
    json_open(out, '{');
    gathering->ok = answer_event_row(out, call_arena(gathering->call), gathering->tools.parser, row,
                                     &gathering->err);
    json_close(out, '}');
    return false;
}

static bool
write_alert(struct gathering *gathering, const struct alert *alert,
            const struct alert_triage *triage, struct err *err)
{
    struct call *call = gathering->call;
    struct buffer *out = &call->out;
    json_open(out, '{');
    alert_write_members(out, alert, triage);
    json_name(out, "event");
    bool ok = journal_event_at(call->api->options.journal, call->workspace_id,
                               (log_at)alert->event_at, on_event, gathering, err);
    if (!ok && err->code == ERR_NOT_FOUND) { /* its segment is gone by retention */
        *err = (struct err){0};
        json_null(out);
        ok = true;
    }
    if (ok && !gathering->ok) {
        *err = gathering->err;
        ok = false;
    }
    json_close(out, '}');
    return ok;
}

static bool
write_alerts(struct gathering *gathering, struct err *err)
{
    struct call *call = gathering->call;
    struct str ids[ALERTS_KEPT];
    struct alert_triage triage[ALERTS_KEPT];
    for (size_t i = 0; i < gathering->count; i++)
        ids[i] = gathering->alerts[i].id;
    if (gathering->count > 0 && !store_triage(call->api->options.store, call->workspace_id, ids,
                                              gathering->count, call_arena(call), triage, err))
        return false;
    for (size_t i = 0; i < gathering->count; i++)
        if (!write_alert(gathering, &gathering->alerts[i], &triage[i], err))
            return false;
    return true;
}

/* -- the list --------------------------------------------------------------------------- */

static const char *const statuses[] = {"open", "acknowledged", "resolved", "false_positive"};

static bool
is_status(struct str text)
{
    for (size_t i = 0; i < COUNT_OF(statuses); i++)
        if (str_equal(text, str_from(statuses[i])))
            return true;
    return false;
}

struct wanted {
    struct call *call;
    struct str status;
    struct arena arena; /* of one question */
    struct err err;
};

static bool
has_status(void *self, struct str alert_id)
{
    struct wanted *wanted = self;
    struct alert_triage triage;
    arena_reset(&wanted->arena);
    return store_triage(wanted->call->api->options.store, wanted->call->workspace_id, &alert_id, 1,
                        &wanted->arena, &triage, &wanted->err) &&
           str_equal(triage.status, wanted->status);
}

static bool
read_filter(struct call *call, struct journal_alert_filter *filter, struct wanted *wanted)
{
    enum severity severity;
    *filter = (struct journal_alert_filter){
        .rule_type = call_query(call, "rule_type"),
        .rule_id = call_query(call, "rule_id"),
        .severity = call_query(call, "severity"),
        .actor_id = call_query(call, "actor_id"),
        .tenants = call->key->key.tenants,
        .tenant_count = call->key->key.tenant_count,
    };
    wanted->status = call_query(call, "status");
    if (wanted->status.ptr != NULL && !is_status(wanted->status)) {
        call_fail(call, 422, "validation_failed",
                  "The status parameter is open, acknowledged, resolved or false_positive.");
        return false;
    }
    if (filter->severity.ptr != NULL && !severity_parse(filter->severity, &severity)) {
        call_fail(call, 422, "validation_failed",
                  "The severity parameter is low, medium, high or critical.");
        return false;
    }
    if (filter->rule_type.ptr != NULL && !detect_type_exists(filter->rule_type)) {
        call_fail(call, 422, "validation_failed", "There is no rule type %.*s.",
                  (int)(filter->rule_type.len < 100 ? filter->rule_type.len : 100),
                  filter->rule_type.ptr);
        return false;
    }
    if (wanted->status.ptr != NULL) {
        filter->keep = has_status;
        filter->keep_self = wanted;
    }
    return true;
}

void
alerts_list(struct call *call)
{
    struct journal_page page;
    struct journal_page_result result;
    struct journal_alert_filter filter;
    struct wanted wanted = {.call = call};
    struct err err = {0};
    if (!call_read_page(call, &page) || !read_filter(call, &filter, &wanted))
        return;
    struct gathering *gathering = arena_new(call_arena(call), struct gathering);
    must(gathering != NULL);
    *gathering = (struct gathering){.call = call, .tools = tools_take(call->api), .ok = true};
    arena_init(&wanted.arena, 4096, 64 * 1024);

    struct buffer *out = answer_list(call);
    bool ok = journal_list_alerts(call->api->options.journal, call->workspace_id, &filter, &page,
                                  gather, gathering, &result, &err);
    if (ok && (!gathering->ok || wanted.err.code != ERR_NONE)) {
        err = gathering->ok ? wanted.err : gathering->err;
        ok = false;
    }
    ok = ok && write_alerts(gathering, &err);
    tools_give(call->api, gathering->tools);
    arena_fini(&wanted.arena);
    if (ok) {
        answer_pagination(out, &result);
        return;
    }
    call->status = 0;
    call_fail_err(call, &err);
}

/* -- one alert -------------------------------------------------------------------------------- */

static bool
find(struct gathering *gathering, struct err *err)
{
    struct call *call = gathering->call;
    struct str id = call->parameters[0];
    if (!journal_find_alert(call->api->options.journal, call->workspace_id, id, gather, gathering,
                            err))
        return false;
    if (!gathering->ok) {
        *err = gathering->err;
        return false;
    }
    if (!call_may_see_tenant(call, gathering->alerts[0].tenant_id))
        return err_set(err, ERR_NOT_FOUND, "There is no alert of this id.");
    return true;
}

static struct gathering *
begin(struct call *call)
{
    struct gathering *gathering = arena_new(call_arena(call), struct gathering);
    must(gathering != NULL);
    *gathering = (struct gathering){.call = call, .tools = tools_take(call->api), .ok = true};
    return gathering;
}

static void
answer_found(struct gathering *gathering, bool ok, struct err *err)
{
    struct call *call = gathering->call;
    if (ok) {
        call_answer(call, 200);
        ok = write_alerts(gathering, err);
        call->status = ok ? 200 : 0;
    }
    tools_give(call->api, gathering->tools);
    if (!ok && err->code == ERR_NOT_FOUND)
        call_fail(call, 404, "not_found", "There is no alert %.*s.",
                  (int)(call->parameters[0].len < 100 ? call->parameters[0].len : 100),
                  call->parameters[0].ptr);
    else if (!ok)
        call_fail_err(call, err);
}

void
alerts_get(struct call *call)
{
    struct err err = {0};
    struct gathering *gathering = begin(call);
    answer_found(gathering, find(gathering, &err), &err);
}

static bool
read_patch(struct call *call, struct alert_triage *triage)
{
    static const char *const known[] = {"status", "note", NULL};
    if (!call_read_json(call) || !call_check_members(call, &call->json, known))
        return false;
    const struct json *status = json_get(&call->json, STR("status"));
    const struct json *note = json_get(&call->json, STR("note"));
    if (status->type != JSON_ABSENT) {
        if (status->type != JSON_STRING || !is_status(status->text)) {
            call_fail(call, 422, "validation_failed",
                      "The status field is open, acknowledged, resolved or false_positive.");
            return false;
        }
        triage->status = status->text;
    }
    if (note->type == JSON_NULL) {
        triage->note = (struct str){0};
    } else if (note->type != JSON_ABSENT) {
        if (note->type != JSON_STRING || note->text.len > LIMIT_NOTE_BYTES) {
            call_fail(call, 422, "validation_failed",
                      "The note field must be a string of at most %d bytes.", LIMIT_NOTE_BYTES);
            return false;
        }
        triage->note = note->text;
    }
    triage->by = call->key->key.id;
    triage->at = call->taken_at_us;
    return true;
}

void
alerts_patch(struct call *call)
{
    struct store *store = call->api->options.store;
    struct alert_triage triage;
    struct err err = {0};
    struct gathering *gathering = begin(call);
    bool ok = find(gathering, &err) && store_triage(store, call->workspace_id, &call->parameters[0],
                                                    1, call_arena(call), &triage, &err);
    if (ok && !read_patch(call, &triage)) {
        tools_give(call->api, gathering->tools);
        return;
    }
    /* What closes it is told each time it is said: a request that got no answer comes again. */
    bool closes = ok && (str_equal(triage.status, STR("resolved")) ||
                         str_equal(triage.status, STR("false_positive")));
    ok = ok && store_triage_put(store, call->workspace_id, call->parameters[0], &triage, &err) &&
         (!closes || notify_resolved(call->api->options.notify, call->workspace_id,
                                     &gathering->alerts[0], &err));
    answer_found(gathering, ok, &err);
}
