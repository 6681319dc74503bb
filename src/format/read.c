/* read - the parts of a body, from the log. */
#include "format/format_priv.h"

#include "codec/text.h"
#include "model/ids.h"

enum { ALERTS_MAX = 1000 };

/* What was found in the log. */
struct found {
    const struct format_reader *reader;
    const struct webhook *webhook;
    bool found;
    struct format_alert *alerts; /* room for ALERTS_MAX */
    size_t alert_count;
    struct event event;
    struct event_integrity integrity;
    struct json source;
    struct err err; /* a row that cannot be read */
};

static bool
parse(struct found *found, struct str stored, struct json *json_out)
{
    const struct format_reader *reader = found->reader;
    return json_parse(reader->parser, stored, reader->arena, json_out, &found->err);
}

static bool
read_alert(struct found *found, const struct journal_row *row, struct format_alert *alert_out)
{
    struct json json;
    if (!parse(found, row->stored, &json) ||
        !alert_read_stored(&json, found->reader->arena, &alert_out->alert, &found->err))
        return false;
    alert_out->alert.at = (int64_t)row->at;
    alert_out->context = *json_get(&json, STR("context"));
    return true;
}

static bool
on_alert(void *self, const struct journal_row *row)
{
    struct found *found = self;
    found->found = str_equal(row->workspace_id, found->webhook->workspace_id) &&
                   read_alert(found, row, &found->alerts[0]);
    found->alert_count = found->found;
    return false;
}

/* Those of a login that the webhook hears of. */
static bool
on_alert_of_login(void *self, const struct journal_row *row)
{
    struct found *found = self;
    struct format_alert *alert = &found->alerts[found->alert_count];
    *alert = (struct format_alert){0};
    if (!read_alert(found, row, alert))
        return false;
    found->alert_count += webhook_hears(found->webhook, &alert->alert);
    return found->alert_count < ALERTS_MAX;
}

static bool
on_event(void *self, const struct journal_row *row)
{
    struct found *found = self;
    struct json json;
    if (!parse(found, row->stored, &json) ||
        !event_read_stored(&json, found->reader->arena, &found->event, &found->err))
        return false;
    found->integrity = row->integrity;
    found->found = true;
    return false;
}

static bool
on_source(void *self, const struct journal_row *row)
{
    struct found *found = self;
    struct str kept;
    if (arena_copy(found->reader->arena, row->stored, &kept))
        (void)parse(found, kept, &found->source);
    return false;
}

/* `ok`: what the journal said. */
static bool
check_found(struct found *found, bool ok, const char *what, struct err *err)
{
    if (!ok)
        return err_prefix(err, "%s", what);
    if (found->found)
        return true;
    if (found->err.code != ERR_NONE)
        return err_set(err, ERR_CORRUPT, "%s: %s", what, found->err.text);
    return err_set(err, ERR_NOT_FOUND, "%s is not in the log any more", what);
}

static bool
find_event(struct found *found, int64_t at, struct err *err)
{
    found->found = false;
    bool ok = journal_event_at(found->reader->journal, found->webhook->workspace_id, (log_at)at,
                               on_event, found, err);
    return check_found(found, ok, "the event", err);
}

static bool
find_alert(struct found *found, int64_t record_at, struct err *err)
{
    struct log_span span = {.from = (log_at)record_at, .to = (log_at)record_at};
    bool ok = journal_scan(found->reader->journal, span, JOURNAL_KIND_BIT(JOURNAL_ALERT),
                           found->webhook->workspace_id, on_alert, found, err);
    return check_found(found, ok, "the alert", err) &&
           find_event(found, found->alerts[0].alert.event_at, err);
}

/* A rule that was changed or deleted since is held to what it is now. */
static bool
begins_with_password_change(const struct format_reader *reader, struct str workspace_id,
                            const struct alert *alert)
{
    struct rule rule;
    struct json conditions;
    struct err err = {0};
    struct arena *arena = reader->arena;
    if (!str_equal(alert->rule_type, STR("sequence")) ||
        !store_rule(reader->store, workspace_id, alert->rule_id, arena, &rule, &err) ||
        !json_parse(reader->parser, rule.conditions, arena, &conditions, &err))
        return false;
    const struct json *pattern =
        json_get(json_get(&conditions, STR("first")), STR("action_pattern"));
    size_t count = pattern->type == JSON_ARRAY ? pattern->count : 1;
    const struct json *texts = pattern->type == JSON_ARRAY ? pattern->items : pattern;
    for (size_t i = 0; i < count; i++)
        if (texts[i].type == JSON_STRING && text_contains_nocase(texts[i].text, STR("password")))
            return true;
    return false;
}

static bool
find_login(struct found *found, enum webhook_event kind, int64_t record_at, struct err *err)
{
    struct journal *journal = found->reader->journal;
    struct err no_source = {0};
    if (!find_event(found, record_at, err))
        return false;
    if (found->event.source.kind.len > 0 &&
        !journal_find_source(journal, found->webhook->workspace_id, found->event.id, on_source,
                             found, &no_source) &&
        no_source.code != ERR_NOT_FOUND) {
        *err = no_source;
        return false;
    }
    if (webhook_event_is_plain(kind))
        return true;
    bool ok = journal_alerts_of(journal, found->webhook->workspace_id, found->event.id,
                                on_alert_of_login, found, err);
    found->found = found->alert_count > 0;
    if (!check_found(found, ok, "what the login raised", err))
        return false;
    for (size_t i = 0; i < found->alert_count; i++)
        found->alerts[i].after_password_change = begins_with_password_change(
            found->reader, found->webhook->workspace_id, &found->alerts[i].alert);
    return true;
}

bool
format_read(const struct format_reader *reader, const struct webhook *webhook,
            enum webhook_event kind, int64_t record_at, struct format_parts *parts_out,
            struct err *err)
{
    bool is_login = webhook_event_is_login(kind);
    struct arena *arena = reader->arena;
    struct found *found = arena_new(arena, struct found);
    must(found != NULL);
    *found = (struct found){.reader = reader, .webhook = webhook};
    found->alerts = arena_array(arena, is_login ? ALERTS_MAX : 1, struct format_alert);
    must(found->alerts != NULL);
    if (!(is_login ? find_login(found, kind, record_at, err) : find_alert(found, record_at, err)))
        return false;
    struct format_parts parts = {.arena = arena,
                                 .webhook = webhook,
                                 .kind = kind,
                                 .alerts = found->alerts,
                                 .alert_count = found->alert_count,
                                 .event = &found->event,
                                 .integrity = &found->integrity,
                                 .source = found->source};
    struct str id = format_record_id(&parts);
    if (id.len != ID_SIZE)
        return err_set(err, ERR_CORRUPT, "the record's id has %zu bytes", id.len);
    *parts_out = parts;
    return true;
}

bool
format_take_alert(const struct format_reader *reader, struct str workspace_id,
                  const struct alert *alert, struct format_alert *alert_out, struct err *err)
{
    struct format_alert taken = {.alert = *alert};
    struct str context = alert->context.len > 0 ? alert->context : STR("{}");
    if (!json_parse(reader->parser, context, reader->arena, &taken.context, err))
        return false;
    taken.after_password_change = begins_with_password_change(reader, workspace_id, alert);
    *alert_out = taken;
    return true;
}
