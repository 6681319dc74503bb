/* The shapes of bodies and answers, member by member, for openapi.json. */
#include "api/api_priv.h"

#include <string.h>

/* `type`: string, time, integer, number, boolean, object, any, or the name of another schema; `[]`
 * behind it makes it a list, `?` that it may be null. A `!` in front: it must be sent. */
static const struct member {
    const char *schema, *name, *type;
} members[] = {
    {"Error", "error", "string"},
    {"Error", "message", "string"},
    {"Error", "violations", "Violation[]"},
    {"Violation", "field", "string"},
    {"Violation", "message", "string"},
    {"EventInput", "actor_id", "!string"},
    {"EventInput", "action", "!string"},
    {"EventInput", "actor_name", "string?"},
    {"EventInput", "actor_type", "string?"},
    {"EventInput", "action_category", "string?"},
    {"EventInput", "resource", "any"},
    {"EventInput", "resource_id", "string?"},
    {"EventInput", "resource_name", "string?"},
    {"EventInput", "targets", "Target[]"},
    {"EventInput", "metadata", "object?"},
    {"EventInput", "session_id", "string?"},
    {"EventInput", "tenant_id", "string?"},
    {"EventInput", "idempotency_key", "string?"},
    {"EventInput", "version", "integer?"},
    {"EventInput", "occurred_at", "time?"},
    {"EventInput", "ip_address", "string?"},
    {"EventInput", "user_agent", "string?"},
    {"FusionAuthEvent", "event", "!object"},
    {"Target", "type", "!string"},
    {"Target", "id", "string?"},
    {"Target", "name", "string?"},
    {"Target", "metadata", "object?"},
    {"Actor", "id", "string"},
    {"Actor", "name", "string?"},
    {"Actor", "type", "string?"},
    {"Resource", "type", "string?"},
    {"Resource", "id", "string?"},
    {"Resource", "name", "string?"},
    {"Location", "country", "string?"},
    {"Location", "region", "string?"},
    {"Location", "city", "string?"},
    {"Location", "postal_code", "string?"},
    {"Location", "latitude", "number?"},
    {"Location", "longitude", "number?"},
    {"Location", "time_zone", "string?"},
    {"Network", "asn", "integer?"},
    {"Network", "org", "string?"},
    {"Network", "name", "string?"},
    {"Network", "lists", "string[]"},
    {"Device", "browser", "string?"},
    {"Device", "os", "string?"},
    {"Device", "type", "string?"},
    {"Integrity", "event_hash", "string"},
    {"Integrity", "previous_event_hash", "string"},
    {"Source", "kind", "string"},
    {"Source", "sha256", "string"},
    {"Event", "id", "string"},
    {"Event", "actor_id", "string"},
    {"Event", "actor_name", "string?"},
    {"Event", "actor_type", "string?"},
    {"Event", "actor", "Actor"},
    {"Event", "action", "string"},
    {"Event", "action_category", "string?"},
    {"Event", "resource", "Resource"},
    {"Event", "resource_id", "string?"},
    {"Event", "resource_name", "string?"},
    {"Event", "targets", "Target[]"},
    {"Event", "metadata", "object?"},
    {"Event", "tenant_id", "string?"},
    {"Event", "session_id", "string?"},
    {"Event", "idempotency_key", "string?"},
    {"Event", "version", "integer?"},
    {"Event", "ip_address", "string?"},
    {"Event", "ip_country", "string?"},
    {"Event", "ip_city", "string?"},
    {"Event", "user_agent", "string?"},
    {"Event", "location", "Location?"},
    {"Event", "network", "Network?"},
    {"Event", "device", "Device?"},
    {"Event", "source", "Source?"},
    {"Event", "integrity", "Integrity?"},
    {"Event", "occurred_at", "time"},
    {"Event", "created_at", "time"},
    {"StoredEvent", "id", "string"},
    {"StoredEvent", "status", "string"},
    {"StoredEvent", "alerts", "Alert[]"},
    {"StoredEvent", "risk", "Risk"},
    {"StoredEvent", "warnings", "string[]"},
    {"Risk", "score", "integer"},
    {"Risk", "level", "string"},
    {"Batch", "events", "!EventInput[]"},
    {"BatchAnswer", "events", "BatchItem[]"},
    {"BatchItem", "id", "string"},
    {"BatchItem", "status", "string"},
    {"BatchItem", "alerts", "Alert[]"},
    {"BatchItem", "risk", "Risk"},
    {"BatchItem", "error", "string"},
    {"BatchItem", "message", "string"},
    {"BatchItem", "violations", "Violation[]"},
    {"Pagination", "has_more", "boolean"},
    {"Pagination", "next_cursor", "string?"},
    {"Pagination", "total", "integer"},
    {"Pagination", "total_is_exact", "boolean"},
    {"EventList", "data", "Event[]"},
    {"EventList", "pagination", "Pagination"},
    {"Verdict", "data", "VerdictData"},
    {"VerdictData", "valid", "boolean"},
    {"VerdictData", "events_checked", "integer"},
    {"VerdictData", "breaks", "Break[]"},
    {"VerdictData", "head", "Head?"},
    {"Break", "event_id", "string"},
    {"Break", "type", "string"},
    {"Break", "expected_hash", "string"},
    {"Break", "actual_hash", "string"},
    {"Head", "event_id", "string"},
    {"Head", "event_hash", "string"},
    {"Head", "created_at", "time"},
    {"Alert", "id", "string"},
    {"Alert", "rule_id", "string"},
    {"Alert", "rule_name", "string"},
    {"Alert", "rule_type", "string"},
    {"Alert", "severity", "string"},
    {"Alert", "reason", "string"},
    {"Alert", "triggered_at", "time"},
    {"Alert", "notified_at", "time?"},
    {"Alert", "status", "string"},
    {"Alert", "note", "string?"},
    {"Alert", "event_id", "string"},
    {"Alert", "event", "Event?"},
    {"Alert", "context", "object"},
    {"AlertList", "data", "Alert[]"},
    {"AlertList", "pagination", "Pagination"},
    {"Triage", "status", "string"},
    {"Triage", "note", "string?"},
    {"RuleInput", "name", "!string"},
    {"RuleInput", "rule_type", "!string"},
    {"RuleInput", "conditions", "!object"},
    {"RuleInput", "channels", "!string[]"},
    {"RuleInput", "emails", "string[]?"},
    {"RuleInput", "severity", "string"},
    {"RuleInput", "enabled", "boolean"},
    {"RuleInput", "cooldown_minutes", "integer"},
    {"RulePatch", "name", "string"},
    {"RulePatch", "conditions", "object"},
    {"RulePatch", "channels", "string[]"},
    {"RulePatch", "emails", "string[]?"},
    {"RulePatch", "severity", "string"},
    {"RulePatch", "enabled", "boolean"},
    {"RulePatch", "cooldown_minutes", "integer"},
    {"Rule", "id", "string"},
    {"Rule", "name", "string"},
    {"Rule", "rule_type", "string"},
    {"Rule", "conditions", "object"},
    {"Rule", "channels", "string[]"},
    {"Rule", "emails", "string[]"},
    {"Rule", "severity", "string"},
    {"Rule", "enabled", "boolean"},
    {"Rule", "cooldown_minutes", "integer"},
    {"Rule", "status", "string"},
    {"Rule", "created_at", "time"},
    {"Rule", "updated_at", "time"},
    {"RuleList", "data", "Rule[]"},
    {"RuleList", "pagination", "Pagination"},
    {"RuleTypes", "data", "RuleType[]"},
    {"RuleType", "rule_type", "string"},
    {"RuleType", "summary", "string"},
    {"RuleType", "severity", "string"},
    {"RuleType", "conditions", "object[]"},
    {"Backtest", "rule", "RuleInput"},
    {"Backtest", "rule_id", "string"},
    {"Backtest", "from", "time?"},
    {"Backtest", "to", "time?"},
    {"BacktestAnswer", "events_scanned", "integer"},
    {"BacktestAnswer", "events_matched", "integer"},
    {"BacktestAnswer", "alerts_total", "integer"},
    {"BacktestAnswer", "alerts", "Alert[]"},
    {"BacktestAnswer", "by_day", "object[]"},
    {"BacktestAnswer", "by_actor", "object[]"},
    {"Deleted", "id", "string"},
    {"Deleted", "deleted", "boolean"},
    {"WebhookInput", "url", "!string"},
    {"WebhookInput", "description", "string?"},
    {"WebhookInput", "format", "string"},
    {"WebhookInput", "events", "string[]"},
    {"WebhookInput", "rule_types", "string[]?"},
    {"WebhookInput", "min_severity", "string?"},
    {"WebhookInput", "tenant_ids", "string[]"},
    {"WebhookInput", "enabled", "boolean"},
    {"WebhookInput", "secret", "string"},
    {"WebhookInput", "headers", "object?"},
    {"WebhookInput", "signing_algorithm", "string"},
    {"WebhookInput", "asymmetric", "boolean"},
    {"WebhookInput", "routing_key", "string?"},
    {"WebhookInput", "connect_timeout_ms", "integer"},
    {"WebhookInput", "timeout_ms", "integer"},
    {"WebhookPatch", "url", "string"},
    {"WebhookPatch", "description", "string?"},
    {"WebhookPatch", "format", "string"},
    {"WebhookPatch", "events", "string[]"},
    {"WebhookPatch", "rule_types", "string[]?"},
    {"WebhookPatch", "min_severity", "string?"},
    {"WebhookPatch", "tenant_ids", "string[]"},
    {"WebhookPatch", "enabled", "boolean"},
    {"WebhookPatch", "headers", "object?"},
    {"WebhookPatch", "signing_algorithm", "string"},
    {"WebhookPatch", "asymmetric", "boolean"},
    {"WebhookPatch", "routing_key", "string?"},
    {"WebhookPatch", "connect_timeout_ms", "integer"},
    {"WebhookPatch", "timeout_ms", "integer"},
    {"Webhook", "id", "string"},
    {"Webhook", "url", "string"},
    {"Webhook", "description", "string?"},
    {"Webhook", "format", "string"},
    {"Webhook", "events", "string[]"},
    {"Webhook", "rule_types", "string[]"},
    {"Webhook", "min_severity", "string?"},
    {"Webhook", "tenant_ids", "string[]"},
    {"Webhook", "enabled", "boolean"},
    {"Webhook", "disabled_reason", "string?"},
    {"Webhook", "failing_since", "time?"},
    {"Webhook", "secret", "string"},
    {"Webhook", "public_key", "string?"},
    {"Webhook", "headers", "object"},
    {"Webhook", "asymmetric", "boolean"},
    {"Webhook", "signing_algorithm", "string"},
    {"Webhook", "connect_timeout_ms", "integer"},
    {"Webhook", "timeout_ms", "integer"},
    {"Webhook", "created_at", "time"},
    {"Webhook", "updated_at", "time"},
    {"WebhookList", "data", "Webhook[]"},
    {"WebhookList", "pagination", "Pagination"},
    {"WebhookTest", "delivered", "boolean"},
    {"WebhookTest", "status", "integer"},
    {"WebhookTest", "duration_ms", "integer"},
    {"WebhookTest", "error", "string?"},
    {"WebhookTest", "answer", "string?"},
    {"WebhookReplay", "since", "!time"},
    {"WebhookReplayAnswer", "replayed", "integer"},
    {"Delivery", "id", "string"},
    {"Delivery", "channel", "string"},
    {"Delivery", "webhook_id", "string?"},
    {"Delivery", "email", "string?"},
    {"Delivery", "alert_id", "string?"},
    {"Delivery", "event_type", "string"},
    {"Delivery", "status", "string"},
    {"Delivery", "attempts_made", "integer"},
    {"Delivery", "next_attempt_at", "time?"},
    {"Delivery", "created_at", "time"},
    {"Delivery", "updated_at", "time"},
    {"Delivery", "attempts", "Attempt[]"},
    {"Attempt", "number", "integer"},
    {"Attempt", "at", "time"},
    {"Attempt", "duration_ms", "integer"},
    {"Attempt", "status", "integer?"},
    {"Attempt", "error", "string?"},
    {"Attempt", "answer", "string?"},
    {"DeliveryList", "data", "Delivery[]"},
    {"DeliveryList", "pagination", "Pagination"},
    {"KeyInput", "roles", "!string[]"},
    {"KeyInput", "label", "string?"},
    {"KeyInput", "rate_per_minute", "integer?"},
    {"KeyInput", "ip_allow", "string[]"},
    {"KeyInput", "tenant_ids", "string[]"},
    {"KeyInput", "expires_at", "time?"},
    {"Key", "id", "string"},
    {"Key", "label", "string?"},
    {"Key", "prefix", "string"},
    {"Key", "key", "string"},
    {"Key", "roles", "string[]"},
    {"Key", "rate_per_minute", "integer?"},
    {"Key", "ip_allow", "string[]"},
    {"Key", "tenant_ids", "string[]"},
    {"Key", "expires_at", "time?"},
    {"Key", "created_at", "time"},
    {"KeyList", "data", "Key[]"},
    {"KeyList", "pagination", "Pagination"},
    {"MemberInput", "email", "!string"},
    {"MemberInput", "role", "!string"},
    {"MemberInput", "name", "string?"},
    {"MemberPatch", "email", "string"},
    {"MemberPatch", "role", "string"},
    {"MemberPatch", "name", "string?"},
    {"Member", "id", "string"},
    {"Member", "email", "string"},
    {"Member", "name", "string?"},
    {"Member", "role", "string"},
    {"Member", "created_at", "time"},
    {"Member", "updated_at", "time"},
    {"MemberList", "data", "Member[]"},
    {"MemberList", "pagination", "Pagination"},
    {"Settings", "address_from_peer", "boolean"},
    {"Settings", "fusionauth_keys", "FusionAuthKey[]"},
    {"Settings", "transactions", "Transactions"},
    {"Transactions", "alert.triggered", "string"},
    {"Transactions", "user.login.suspicious", "string"},
    {"Transactions", "user.login.new-device", "string"},
    {"Transactions", "user.login.success", "string"},
    {"Transactions", "user.login.failed", "string"},
    {"TransactionError", "error", "!string"},
    {"TransactionError", "message", "!string"},
    {"TransactionError", "webhooks", "!TransactionAnswer[]"},
    {"TransactionAnswer", "webhook_id", "string"},
    {"TransactionAnswer", "event_type", "string"},
    {"TransactionAnswer", "alert_id", "string?"},
    {"TransactionAnswer", "delivered", "boolean"},
    {"TransactionAnswer", "status", "integer?"},
    {"TransactionAnswer", "duration_ms", "integer"},
    {"TransactionAnswer", "error", "string?"},
    {"TransactionAnswer", "answer", "string?"},
    {"MailTestInput", "to", "string"},
    {"MailTest", "to", "string"},
    {"MailTest", "delivered", "boolean"},
    {"MailTest", "status", "integer?"},
    {"MailTest", "answer", "string?"},
    {"MailTest", "error", "string?"},
    {"MailTest", "duration_ms", "integer"},
    {"FusionAuthKey", "kid", "string?"},
    {"FusionAuthKey", "algorithm", "!string"},
    {"FusionAuthKey", "key", "string"},
    {"KeySet", "keys", "object[]"},
    {"WorkspaceInput", "name", "!string"},
    {"Workspace", "id", "string"},
    {"Workspace", "name", "string"},
    {"Workspace", "created_at", "time"},
    {"Workspace", "admin_key", "string"},
    {"WorkspaceList", "data", "Workspace[]"},
    {"WorkspaceList", "pagination", "Pagination"},
    {"Health", "status", "string"},
    {"Ready", "status", "string"},
    {"Ready", "version", "string"},
    {"Ready", "newest_record_at", "time?"},
    {"Ready", "clock_behind_ms", "integer"},
    {"Ready", "rules_active", "integer"},
    {"Ready", "rules_learning", "integer"},
    {"Ready", "geo_files", "object[]"},
    {"Ready", "attribution", "string?"},
};

static bool
ends_with(struct str *text, struct str end)
{
    if (text->len < end.len || memcmp(text->ptr + text->len - end.len, end.ptr, end.len) != 0)
        return false;
    text->len -= end.len;
    return true;
}

static void
put_type(struct buffer *out, struct str type)
{
    static const char *const plain[] = {"string", "integer", "number", "boolean", "object"};
    json_open(out, '{');
    for (size_t i = 0; i < COUNT_OF(plain); i++)
        if (str_equal(type, str_from(plain[i])))
            json_put_str(out, "type", type);
    if (str_equal(type, STR("time"))) {
        json_put_str(out, "type", STR("string"));
        json_put_str(out, "format", STR("date-time"));
    } else if (type.ptr[0] >= 'A' && type.ptr[0] <= 'Z') {
        struct buffer ref;
        buffer_init(&ref, 128);
        buffer_printf(&ref, "#/components/schemas/%.*s", STR_ARG(type));
        json_put_str(out, "$ref", buffer_str(&ref));
        buffer_fini(&ref);
    }
    json_close(out, '}');
}

static void
write_member(struct buffer *out, const struct member *member)
{
    struct str type = str_from(member->type);
    if (type.ptr[0] == '!')
        type = (struct str){type.ptr + 1, type.len - 1};
    bool nullable = ends_with(&type, STR("?")), list = ends_with(&type, STR("[]"));
    json_name(out, member->name);
    if (nullable)
        buffer_add(out, STR("{\"anyOf\":["));
    if (list)
        buffer_add(out, STR("{\"type\":\"array\",\"items\":"));
    put_type(out, type);
    if (list)
        buffer_add(out, STR("}"));
    if (nullable)
        buffer_add(out, STR(",{\"type\":\"null\"}]}"));
}

void
schemas_write(struct buffer *out)
{
    for (size_t i = 0; i < COUNT_OF(members);) {
        const char *schema = members[i].schema;
        size_t end = i;
        while (end < COUNT_OF(members) && strcmp(members[end].schema, schema) == 0)
            end++;
        json_name(out, schema);
        json_open(out, '{');
        json_put_str(out, "type", STR("object"));
        json_name(out, "required");
        json_open(out, '[');
        for (size_t m = i; m < end; m++)
            if (members[m].type[0] == '!')
                json_str(out, str_from(members[m].name));
        json_close(out, ']');
        json_name(out, "properties");
        json_open(out, '{');
        for (size_t m = i; m < end; m++)
            write_member(out, &members[m]);
        json_close(out, '}');
        json_close(out, '}');
        i = end;
    }
}
