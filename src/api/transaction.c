/* Transactions: an event is told of before it is stored, and stored if enough of those who are told
 * agree.
 *
 * A call takes three stages, and waits nowhere: the engine tries the event; the notify thread asks
 * the webhooks; and the engine stores it like any other. Each hands it on to the next, without the
 * call's worker, which a login would have to wait for twice more. From the first to the last its
 * idempotency key is held. */
#include "api/api_priv.h"

#define TRANSACTIONS_MAX 1000            /* of a workspace, at once */
#define TRANSACTION_US   (4LL * 1000000) /* all of it: clients give up after five seconds */

enum stage { TRYING, ASKING, STORING, STOPPED }; /* the last: it could not be stored */

struct transaction {
    enum stage stage;
    struct gauge *gauge;
    struct notify_transaction ask;
};

/* -- how many at once -------------------------------------------------------------- */

/* Lives as long as the api, whatever snapshots come and go. */
struct gauge {
    struct gauge *next;
    char workspace_id[WORKSPACE_ID_SIZE];
    _Atomic size_t count;
};

struct gauge *
transaction_gauge(struct api *api, struct str workspace_id)
{
    must(workspace_id.len == WORKSPACE_ID_SIZE);
    for (struct gauge *gauge = api->gauges; gauge != NULL; gauge = gauge->next)
        if (memcmp(gauge->workspace_id, workspace_id.ptr, WORKSPACE_ID_SIZE) == 0)
            return gauge;
    struct gauge *gauge = base_alloc(1, sizeof *gauge);
    memcpy(gauge->workspace_id, workspace_id.ptr, WORKSPACE_ID_SIZE);
    gauge->next = api->gauges;
    api->gauges = gauge;
    return gauge;
}

void
transaction_free_gauges(struct api *api)
{
    for (struct gauge *gauge = api->gauges, *next; gauge != NULL; gauge = next) {
        next = gauge->next;
        base_free(gauge);
    }
    api->gauges = NULL;
}

static bool
enter(struct gauge *gauge)
{
    if (atomic_fetch_add(&gauge->count, 1) < TRANSACTIONS_MAX)
        return true;
    atomic_fetch_sub(&gauge->count, 1);
    return false;
}

/* -- the first round: what would it raise? ----------------------------------------- */

static const struct event *
event_of(const struct call *call)
{
    return &call->submission.items[0].event;
}

/* A batch is stored without: a thousand events are no login that somebody waits for. */
bool
transaction_wanted(const struct call *call)
{
    if (!call->access->any_transactions || call->route->handle == ingest_batch)
        return false;
    const struct access_workspace *workspace = access_workspace(call->access, call->workspace_id);
    if (workspace == NULL || !transactions_any(&workspace->transactions))
        return false;
    const enum transaction_type *of = workspace->transactions.of;
    enum webhook_event kind;
    bool is_login = webhook_login_kind(event_of(call), &kind);
    return of[WEBHOOK_ALERT] != TRANSACTION_NONE || (is_login && of[kind] != TRANSACTION_NONE) ||
           (is_login && kind == WEBHOOK_LOGIN_SUCCESS &&
            (of[WEBHOOK_LOGIN_SUSPICIOUS] != TRANSACTION_NONE ||
             of[WEBHOOK_LOGIN_NEW_DEVICE] != TRANSACTION_NONE));
}

static bool
refuse_busy(struct call *call, const char *why)
{
    atomic_fetch_add(&call->worker->refused, 1);
    call->retry_after_s = 1;
    call_fail(call, 503, "overloaded", "%s; nothing was stored. Try again in a second.", why);
    return false;
}

/* The end, whatever came of it. */
static void
leave(struct call *call)
{
    struct transaction *transaction = call->transaction;
    engine_let_go(call->api->options.engine, &call->submission);
    atomic_fetch_sub(&transaction->gauge->count, 1);
    call->transaction = NULL;
}

bool
transaction_begin(struct call *call)
{
    const struct access_workspace *workspace = access_workspace(call->access, call->workspace_id);
    struct transaction *transaction = arena_new(call_arena(call), struct transaction);
    must(workspace != NULL && transaction != NULL);
    *transaction = (struct transaction){.stage = TRYING, .gauge = workspace->gauge};
    if (!enter(transaction->gauge))
        return refuse_busy(call, "Too many transactions are under way in this workspace");
    call->transaction = transaction;
    call->submission.trial = true;
    if (engine_submit(call->api->options.engine, &call->submission))
        return true;
    leave(call);
    return refuse_busy(call, "Too many events are waiting");
}

/* -- the second and the third: who is for it, and then it is stored ----------------- */

/* False: the call goes back to its worker. */
static bool
store(struct call *call)
{
    struct transaction *transaction = call->transaction;
    struct submission *submission = &call->submission;
    transaction->stage = STORING;
    submission->trial = false;
    submission->items[0].status = ENGINE_WAITING;
    if (engine_submit(call->api->options.engine, submission))
        return true;
    transaction->stage = STOPPED;
    return false;
}

static void
on_asked(void *self)
{
    struct call *call = self;
    if (call->transaction->ask.verdict != NOTIFY_PASSED || !store(call))
        worker_return(call, call);
}

static void
ask(struct call *call)
{
    struct api *api = call->api;
    struct transaction *transaction = call->transaction;
    const struct access_workspace *workspace = access_workspace(call->access, call->workspace_id);
    const struct engine_item *item = &call->submission.items[0];
    struct clock clock = api->options.clock;
    int64_t past = clock.wall_us(clock.self) - call->taken_at_us;
    if (past < 0 || past > TRANSACTION_US)
        past = past < 0 ? 0 : TRANSACTION_US;
    transaction->stage = ASKING;
    transaction->ask = (struct notify_transaction){
        .arena = call_arena(call),
        .workspace_id = call->workspace_id,
        .settings = &workspace->transactions,
        .event = &item->event,
        .at = (int64_t)item->at,
        .source = item->source,
        .alerts = item->alerts,
        .alert_count = item->alert_count,
        .ends_at = clock.monotonic_us(clock.self) + TRANSACTION_US - past,
        .done = on_asked,
        .self = call,
    };
    notify_ask(api->options.notify, &transaction->ask);
}

/* Most logins are not suspicious: of what raised nothing only those hear who hear of every one. */
static bool
somebody_may_care(const struct call *call)
{
    const struct access_workspace *workspace = access_workspace(call->access, call->workspace_id);
    enum webhook_event kind;
    return call->submission.items[0].alert_count > 0 ||
           (webhook_login_kind(event_of(call), &kind) &&
            workspace->transactions.of[kind] != TRANSACTION_NONE);
}

bool
transaction_hand_on(struct call *call)
{
    if (call->transaction == NULL || call->transaction->stage != TRYING ||
        call->submission.items[0].status != ENGINE_TRIED)
        return false;
    if (!somebody_may_care(call))
        return store(call);
    ask(call);
    return true;
}

/* -- the answer -------------------------------------------------------------------- */

static void
write_said(struct buffer *out, const struct notify_said *said)
{
    json_open(out, '{');
    json_put_str(out, "webhook_id", said->webhook_id);
    json_put_str(out, "event_type", webhook_event_name(said->kind));
    json_put_str(out, "alert_id", said->alert_id);
    json_put_bool(out, "delivered", said->good);
    if (said->status > 0)
        json_put_int(out, "status", said->status);
    else
        json_put_null(out, "status");
    json_put_int(out, "duration_ms", said->duration_us / 1000);
    json_put_str(out, "error", said->error);
    json_put_str(out, "answer", said->answer);
    json_close(out, '}');
}

static void
fail(struct call *call)
{
    const struct notify_transaction *ask = &call->transaction->ask;
    size_t good = 0;
    for (size_t i = 0; i < ask->said_count; i++)
        good += ask->said[i].good;
    struct buffer *out = call_answer(call, 504);
    struct buffer text;
    buffer_init(&text, 512);
    buffer_printf(&text,
                  "%zu of %zu calls of webhooks were answered well in time, which the "
                  "workspace's transactions setting does not take for enough; nothing was stored.",
                  good, ask->said_count);
    json_open(out, '{');
    json_put_str(out, "error", STR("webhook_transaction_failed"));
    json_put_str(out, "message", buffer_str(&text));
    json_name(out, "webhooks");
    json_open(out, '[');
    for (size_t i = 0; i < ask->said_count; i++)
        write_said(out, &ask->said[i]);
    json_close(out, ']');
    json_close(out, '}');
    buffer_fini(&text);
}

/* Those that were asked, and what they said is kept for: up to here its records go. */
static void
settle(struct call *call)
{
    const struct engine_item *item = &call->submission.items[0];
    bool stored = item->status == ENGINE_STORED;
    int64_t last_at = stored ? (int64_t)item->at : 0;
    if (stored && item->alert_count > 0)
        last_at = item->alerts[item->alert_count - 1].at;
    notify_settle(call->api->options.notify, &call->transaction->ask, last_at);
}

bool
transaction_ends(struct call *call)
{
    struct transaction *transaction = call->transaction;
    if (transaction == NULL)
        return false;
    bool refused = transaction->stage == ASKING || transaction->stage == STOPPED;
    settle(call);
    if (transaction->stage == STOPPED)
        (void)refuse_busy(call, "Too many events are waiting");
    else if (refused && transaction->ask.verdict == NOTIFY_REFUSED)
        fail(call);
    else if (refused)
        (void)refuse_busy(call, "The webhooks of the transaction cannot be called now");
    leave(call);
    if (refused)
        call_send(call);
    return refused; /* else answered as ever: stored, seen before, held by another, or failed */
}

/* -- the setting ------------------------------------------------------------------- */

bool
transaction_check_setting(struct call *call, const struct json *sent)
{
    struct transactions read = {0};
    const char *why = "";
    if (transactions_read(sent, &read, &why))
        return true;
    call_fail(call, 422, "validation_failed", "The transactions field %s.", why);
    return false;
}

void
transaction_read_setting(struct str json, struct arena *arena, struct transactions *out)
{
    struct json_parser *parser = json_parser_new();
    struct json setting;
    struct err err = {0};
    const char *why;
    *out = (struct transactions){0};
    if (!json_parse(parser, json, arena, &setting, &err) || !transactions_read(&setting, out, &why))
        *out = (struct transactions){0};
    json_parser_free(parser);
}

/* What is sent of it is laid over what there is. */
void
transaction_merge_setting(struct call *call, const struct json *sent, struct buffer *out)
{
    struct transactions merged = {0};
    const char *why;
    struct access *access = access_take(call->api);
    const struct access_workspace *workspace = access_workspace(access, call->workspace_id);
    if (workspace != NULL)
        merged = workspace->transactions;
    access_release(access);
    must(transactions_read(sent, &merged, &why));
    transactions_write(out, &merged);
}

void
transaction_write_setting(struct call *call, struct buffer *out, struct str json)
{
    struct transactions setting;
    transaction_read_setting(json, call_arena(call), &setting);
    transactions_write(out, &setting);
}
