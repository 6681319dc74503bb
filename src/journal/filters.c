/* filters - what a list asks for: as terms for the index, and as questions to
 * the record itself. Both are needed: the terms find, the record decides. */
#include "codec/text.h"
#include "journal/journal_priv.h"

/* -- the record itself ----------------------------------------------------------- */

static bool
is_or_any(struct str wanted, struct str value)
{
    return wanted.ptr == NULL || (value.ptr != NULL && str_equal(wanted, value));
}

static bool
member_is(const struct json *object, struct str name, struct str wanted)
{
    const struct json *value = json_get(object, name);
    return wanted.ptr == NULL || (value->type == JSON_STRING && str_equal(value->text, wanted));
}

/* One target that fits both. */
static bool
target_holds(const struct journal_event_filter *filter, const struct event *event)
{
    if (filter->target_type.ptr == NULL && filter->target_id.ptr == NULL)
        return true;
    for (uint32_t i = 0; i < event->targets.count; i++)
        if (member_is(&event->targets.items[i], STR("type"), filter->target_type) &&
            member_is(&event->targets.items[i], STR("id"), filter->target_id))
            return true;
    return false;
}

static bool
json_contains(const struct json *json, struct str part)
{
    char number[JSON_NUMBER_SIZE];
    switch (json->type) {
    case JSON_STRING:
        return text_contains_nocase(json->text, part);
    case JSON_NUMBER: {
        size_t len = json_format_number(json->number, number);
        return text_contains_nocase((struct str){number, len}, part);
    }
    case JSON_BOOL:
        return text_contains_nocase(json->truth ? STR("true") : STR("false"), part);
    case JSON_ARRAY:
        for (uint32_t i = 0; i < json->count; i++)
            if (json_contains(&json->items[i], part))
                return true;
        return false;
    case JSON_OBJECT:
        for (uint32_t i = 0; i < json->count; i++)
            if (text_contains_nocase(json->members[i].name, part) ||
                json_contains(&json->members[i].value, part))
                return true;
        return false;
    case JSON_NULL:
    case JSON_ABSENT:
        break;
    }
    return false;
}

static bool
search_holds(struct str part, const struct event *event)
{
    return part.ptr == NULL || text_contains_nocase(event->actor_name, part) ||
           text_contains_nocase(event->action, part) ||
           text_contains_nocase(event->resource_name, part) ||
           json_contains(&event->metadata, part);
}

static bool
tenant_holds(const struct journal_event_filter *filter, const struct event *event)
{
    for (size_t i = 0; i < filter->tenant_count; i++)
        if (event->tenant_id.ptr != NULL && str_equal(filter->tenants[i], event->tenant_id))
            return true;
    return filter->tenant_count == 0;
}

static struct str
normal_address(struct str text, char out[static ADDRESS_TEXT_SIZE])
{
    struct address address;
    if (text.ptr == NULL || !address_parse(text, &address))
        return text;
    return (struct str){out, address_format(&address, out)};
}

bool
filter_holds(const struct journal_event_filter *filter, const struct event *event)
{
    char address[ADDRESS_TEXT_SIZE];
    struct str none = {0};
    return is_or_any(filter->actor_id, event->actor_id) &&
           (filter->action.ptr == NULL || glob_match(filter->action, event->action)) &&
           is_or_any(filter->resource, event->resource_type) &&
           is_or_any(filter->resource_id, event->resource_id) &&
           is_or_any(filter->tenant_id, event->tenant_id) &&
           is_or_any(filter->session_id, event->session_id) &&
           is_or_any(normal_address(filter->ip_address, address), event->ip_address) &&
           is_or_any(filter->ip_country, event->location.known ? event->location.country : none) &&
           tenant_holds(filter, event) && target_holds(filter, event) &&
           search_holds(filter->search, event);
}

/* -- terms ------------------------------------------------------------------------- */

/* A query while it is put together. */
struct making {
    struct journal *journal;
    struct str workspace_id;
    struct query *query;
};

static void
add_group(struct making *making, const uint64_t *terms, size_t count)
{
    struct query *query = making->query;
    must(query->group_count < QUERY_GROUPS);
    must(query->term_count + count <= COUNT_OF(query->terms));
    uint64_t *kept = query->terms + query->term_count;
    for (size_t i = 0; i < count; i++)
        kept[i] = terms[i];
    query->term_count += count;
    query->groups[query->group_count++] = (struct log_any){kept, count};
    query->filtered = true;
}

static void
add_term(struct making *making, enum term_field field, struct str value)
{
    if (value.ptr == NULL)
        return;
    uint64_t term = term_of(making->journal, field, making->workspace_id, value);
    add_group(making, &term, 1);
}

static void
add_tenants(struct making *making, enum term_field field, const struct str *tenants, size_t count)
{
    uint64_t terms[LIMIT_TENANTS];
    if (count == 0)
        return;
    if (count > LIMIT_TENANTS) {
        making->query->inexact = making->query->filtered = true;
        return;
    }
    for (size_t i = 0; i < count; i++)
        terms[i] = term_of(making->journal, field, making->workspace_id, tenants[i]);
    add_group(making, terms, count);
}

/* What begins with a kind's term finds all of a workspace. */
static void
add_kind(struct making *making, enum journal_kind kind)
{
    bool filtered = making->query->filtered;
    uint64_t term = term_of_kind(making->journal, kind, making->workspace_id);
    if (making->query->group_count == 0)
        add_group(making, &term, 1);
    making->query->filtered = filtered;
}

/* The distinct actions of the log that fit a pattern. */
struct actions {
    const struct making *making;
    struct str pattern;
    uint64_t terms[QUERY_ACTIONS];
    size_t count;
    bool too_many;
};

static bool
take_action(void *self, struct str label)
{
    struct actions *actions = self;
    if (!glob_match(actions->pattern, label))
        return true;
    actions->too_many = actions->count == QUERY_ACTIONS;
    if (actions->too_many)
        return false;
    actions->terms[actions->count++] =
        term_of(actions->making->journal, TERM_ACTION, actions->making->workspace_id, label);
    return true;
}

static bool
add_action(struct making *making, struct str action, struct log_span span, struct err *err)
{
    bool is_pattern = false;
    for (size_t i = 0; i < action.len; i++)
        is_pattern = is_pattern || action.ptr[i] == '*';
    if (!is_pattern) {
        add_term(making, TERM_ACTION, action);
        return true;
    }
    struct actions actions = {.making = making, .pattern = action};
    if (!log_labels(making->journal->log, span, take_action, &actions, err))
        return false;
    if (actions.too_many)
        making->query->inexact = making->query->filtered = true;
    else if (actions.count == 0)
        making->query->nothing = making->query->filtered = true;
    else
        add_group(making, actions.terms, actions.count);
    return true;
}

/* Events with more targets than have terms are found by any question about targets. */
static bool
add_target(struct making *making, const struct journal_event_filter *filter, struct log_span span,
           struct err *err)
{
    struct str type = filter->target_type, id = filter->target_id;
    if (type.ptr == NULL && id.ptr == NULL)
        return true;
    struct journal *journal = making->journal;
    struct str workspace_id = making->workspace_id;
    uint64_t many = term_of(journal, TERM_TARGETS_MANY, workspace_id, (struct str){0});
    uint64_t term = type.ptr == NULL ? term_of(journal, TERM_TARGET_ID, workspace_id, id)
                    : id.ptr == NULL ? term_of(journal, TERM_TARGET_TYPE, workspace_id, type)
                                     : term_of_two(journal, TERM_TARGET, workspace_id, type, id);
    uint64_t terms[] = {term, many};
    add_group(making, terms, COUNT_OF(terms));

    struct log_any group = {&many, 1};
    uint64_t count;
    if (!log_count(journal->log, span, &group, 1, 1, &count, err))
        return false;
    if (count > 0)
        making->query->inexact = true;
    return true;
}

bool
query_events(struct journal *journal, struct str workspace_id,
             const struct journal_event_filter *filter, struct log_span span,
             struct query *query_out, struct err *err)
{
    char address[ADDRESS_TEXT_SIZE];
    *query_out = (struct query){0};
    struct making making = {journal, workspace_id, query_out};
    add_term(&making, TERM_ACTOR, filter->actor_id);
    add_term(&making, TERM_RESOURCE, filter->resource);
    add_term(&making, TERM_RESOURCE_ID, filter->resource_id);
    add_term(&making, TERM_TENANT, filter->tenant_id);
    add_term(&making, TERM_SESSION, filter->session_id);
    add_term(&making, TERM_IP, normal_address(filter->ip_address, address));
    add_term(&making, TERM_COUNTRY, filter->ip_country);
    add_tenants(&making, TERM_TENANT, filter->tenants, filter->tenant_count);
    if (filter->action.ptr != NULL && !add_action(&making, filter->action, span, err))
        return false;
    if (!add_target(&making, filter, span, err))
        return false;
    if (filter->search.ptr != NULL)
        query_out->inexact = query_out->filtered = true;
    add_kind(&making, JOURNAL_EVENT);
    return true;
}

void
query_alerts(struct journal *journal, struct str workspace_id,
             const struct journal_alert_filter *filter, struct query *query_out)
{
    *query_out = (struct query){0};
    struct making making = {journal, workspace_id, query_out};
    add_term(&making, TERM_ALERT_RULE_TYPE, filter->rule_type);
    add_term(&making, TERM_ALERT_RULE, filter->rule_id);
    add_term(&making, TERM_ALERT_SEVERITY, filter->severity);
    add_term(&making, TERM_ALERT_ACTOR, filter->actor_id);
    add_tenants(&making, TERM_ALERT_TENANT, filter->tenants, filter->tenant_count);
    if (filter->keep != NULL)
        query_out->inexact = query_out->filtered = true;
    add_kind(&making, JOURNAL_ALERT);
}
