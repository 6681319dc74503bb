/* terms - the hashes a record can be found by. A term is XXH3, under the
 * folder's seed, of the field, the workspace and the value; a collision costs
 * time and nothing else, since whoever reads checks the record. */
#include <string.h>

#include "journal/journal_priv.h"

/* What is longer is cut, on both sides alike. */
#define VALUE_MAX LIMIT_STRING_BYTES

static size_t
put(unsigned char *to, struct str text, size_t len_max)
{
    size_t len = text.len < len_max ? text.len : len_max;
    if (len > 0)
        memcpy(to, text.ptr, len);
    return len;
}

uint64_t
term_of_two(const struct journal *journal, enum term_field field, struct str workspace_id,
            struct str first, struct str second)
{
    unsigned char bytes[2 + 255 + VALUE_MAX + 1 + VALUE_MAX];
    size_t len = 0;
    bytes[len++] = (unsigned char)field;
    bytes[len++] = (unsigned char)workspace_id.len;
    len += put(bytes + len, workspace_id, 255);
    len += put(bytes + len, first, VALUE_MAX);
    bytes[len++] = '\0'; /* no string of an event holds one */
    len += put(bytes + len, second, VALUE_MAX);
    return hash64(journal->seed, bytes, len);
}

uint64_t
term_of(const struct journal *journal, enum term_field field, struct str workspace_id,
        struct str value)
{
    return term_of_two(journal, field, workspace_id, value, (struct str){0});
}

uint64_t
term_of_kind(const struct journal *journal, enum journal_kind kind, struct str workspace_id)
{
    char name = (char)kind;
    return term_of(journal, TERM_KIND, workspace_id, (struct str){&name, 1});
}

/* The terms of one record while they are gathered. */
struct gathering {
    const struct journal *journal;
    struct str workspace_id;
    uint64_t *terms;
    size_t count;
};

static void
add(struct gathering *gathering, enum term_field field, struct str value)
{
    if (value.len > 0)
        gathering->terms[gathering->count++] =
            term_of(gathering->journal, field, gathering->workspace_id, value);
}

/* False: no room is left (one is kept for the term that says so). */
static bool
add_once(struct gathering *gathering, uint64_t term)
{
    for (size_t i = 0; i < gathering->count; i++)
        if (gathering->terms[i] == term)
            return true;
    if (gathering->count + 1 >= LOG_TERMS_MAX)
        return false;
    gathering->terms[gathering->count++] = term;
    return true;
}

static struct str
text_member(const struct json *object, struct str name)
{
    const struct json *value = json_get(object, name);
    return value->type == JSON_STRING ? value->text : (struct str){0};
}

static bool
add_target(struct gathering *gathering, const struct json *target)
{
    const struct journal *journal = gathering->journal;
    struct str workspace_id = gathering->workspace_id;
    struct str type = text_member(target, STR("type")), id = text_member(target, STR("id"));
    if (!add_once(gathering, term_of(journal, TERM_TARGET_TYPE, workspace_id, type)))
        return false;
    return id.len == 0 ||
           (add_once(gathering, term_of(journal, TERM_TARGET_ID, workspace_id, id)) &&
            add_once(gathering, term_of_two(journal, TERM_TARGET, workspace_id, type, id)));
}

size_t
terms_of_event(const struct journal *journal, struct str workspace_id, const struct event *event,
               uint64_t terms[static LOG_TERMS_MAX])
{
    struct gathering gathering = {journal, workspace_id, terms, 0};
    terms[gathering.count++] = term_of_kind(journal, JOURNAL_EVENT, workspace_id);
    add(&gathering, TERM_EVENT_ID, event->id);
    add(&gathering, TERM_ACTOR, event->actor_id);
    add(&gathering, TERM_ACTION, event->action);
    add(&gathering, TERM_RESOURCE, event->resource_type);
    add(&gathering, TERM_RESOURCE_ID, event->resource_id);
    add(&gathering, TERM_SESSION, event->session_id);
    add(&gathering, TERM_TENANT, event->tenant_id);
    add(&gathering, TERM_IP, event->ip_address);
    if (event->location.known)
        add(&gathering, TERM_COUNTRY, event->location.country);
    if (event->idempotency_key.len > 0)
        terms[gathering.count++] =
            term_of_two(journal, TERM_KEY, workspace_id, event->tenant_id, event->idempotency_key);
    for (uint32_t i = 0; i < event->targets.count; i++) {
        if (!add_target(&gathering, &event->targets.items[i])) {
            terms[gathering.count++] =
                term_of(journal, TERM_TARGETS_MANY, workspace_id, (struct str){0});
            break;
        }
    }
    return gathering.count;
}

size_t
terms_of_alert(const struct journal *journal, struct str workspace_id, const struct alert *alert,
               uint64_t terms[static LOG_TERMS_MAX])
{
    struct gathering gathering = {journal, workspace_id, terms, 0};
    terms[gathering.count++] = term_of_kind(journal, JOURNAL_ALERT, workspace_id);
    add(&gathering, TERM_ALERT_ID, alert->id);
    add(&gathering, TERM_ALERT_EVENT, alert->event_id);
    add(&gathering, TERM_ALERT_RULE, alert->rule_id);
    add(&gathering, TERM_ALERT_RULE_TYPE, alert->rule_type);
    add(&gathering, TERM_ALERT_SEVERITY, severity_name(alert->severity));
    add(&gathering, TERM_ALERT_ACTOR, alert->actor_id);
    add(&gathering, TERM_ALERT_TENANT, alert->tenant_id);
    return gathering.count;
}
