/* Every address we answer to, in one table. doc/api.md and openapi.json are made from it. */
#include "api/api_priv.h"
#include "model/limits.h"

#include <string.h>

#define API "/api/v1"

/* clang-format off */
static const struct parameter event_query[] = {
    {"actor_id", "Only events of this actor."},
    {"action", "Only this action; may hold * for any run of characters."},
    {"resource", "Only this type of resource."},
    {"resource_id", "Only this resource."},
    {"tenant_id", "Only this tenant."},
    {"session_id", "Only this session."},
    {"target_type", "Only events with a target of this type."},
    {"target_id", "Only events with this target."},
    {"ip_address", "Only from this address."},
    {"ip_country", "Only from this country (ISO 3166-1 alpha-2)."},
    {"search", "Holds this text, case ignored: actor name, action, resource name, metadata."},
    {"from", "Stored at or after this time (RFC 3339)."},
    {"to", "Stored at or before this time."},
    {"order", "desc (newest first) or asc."},
    {"limit", "How many rows, 1 to 100 (25)."},
    {"cursor", "next_cursor of the page before."},
    {NULL, NULL},
};
static const struct parameter alert_query[] = {
    {"rule_type", "Only alerts of this type of rule."},
    {"rule_id", "Only alerts of this rule."},
    {"severity", "low, medium, high or critical."},
    {"status", "open, acknowledged, resolved or false_positive."},
    {"actor_id", "Only alerts about this actor."},
    {"from", "Triggered at or after this time (RFC 3339)."},
    {"to", "Triggered at or before this time."},
    {"order", "desc (newest first) or asc."},
    {"limit", "How many rows, 1 to 100 (25)."},
    {"cursor", "next_cursor of the page before."},
    {NULL, NULL},
};
static const struct parameter verify_query[] = {
    {"from", "From this time of storing on (RFC 3339)."},
    {"to", "Up to this time."},
    {"limit", "How many events at most, 1 to 1000000 (10000)."},
    {NULL, NULL},
};
static const struct parameter delivery_query[] = {
    {"webhook_id", "Only deliveries to this webhook."},
    {"email", "Only mail to this address."},
    {"alert_id", "Only deliveries of this alert."},
    {"status", "pending, delivered or dead."},
    {"limit", "How many rows, 1 to 100 (25)."},
    {"cursor", "next_cursor of the page before."},
    {NULL, NULL},
};
static const struct parameter batch_query[] = {
    {"backfill", "true: alerts are recorded, but nothing is delivered for these events."},
    {NULL, NULL},
};
static const struct parameter event_get_query[] = {
    {"include", "source: also what the source sent beyond our fields."},
    {NULL, NULL},
};

enum {
    SMALL = 256 * 1024, /* bodies of what people configure */
    NONE = 0,
};

const struct route api_routes[] = {
    {"POST", API "/events", ROLE_INGEST, false,
     RUN_INGEST, ingest_one, NULL, MEDIA_JSON, LIMIT_BODY_EVENT,
     "Store one event. Answers the event as stored and the alerts that it raised, once "
     "both are durable.",
     "EventInput", "StoredEvent"},
    {"POST", API "/events/batch", ROLE_INGEST, false,
     RUN_INGEST, ingest_batch, batch_query, MEDIA_JSON | MEDIA_NDJSON, LIMIT_BODY_BATCH,
     "Store up to 1,000 events, or as NDJSON up to 10,000. Good ones are stored though "
     "others are not.",
     "Batch", "BatchAnswer"},
    {"POST", API "/intake/fusionauth", ROLE_INGEST, false,
     RUN_INGEST, ingest_fusionauth, NULL, MEDIA_JSON, LIMIT_BODY_EVENT,
     "Store an event as FusionAuth's webhooks send it. The key may be the password of Basic "
     "authentication; where the setting fusionauth_keys names a signing key, the header "
     "X-FusionAuth-Signature-JWT alone will do.",
     "FusionAuthEvent", "StoredEvent"},
    {"GET", API "/events", ROLE_READ, false, RUN_ON_POOL, events_list, event_query, 0, NONE,
     "Events, newest first.", NULL, "EventList"},
    {"GET", API "/events/{id}", ROLE_READ, false, RUN_ON_POOL, events_get, event_get_query, 0, NONE,
     "One event; its members stand at the top level and again under data.", NULL, "Event"},
    {"GET", API "/verify", ROLE_READ, false, RUN_ON_POOL, events_verify, verify_query, 0, NONE,
     "Recompute the hash chain of the workspace's events.", NULL, "Verdict"},
    {"GET", API "/alerts", ROLE_READ, false, RUN_ON_POOL, alerts_list, alert_query, 0, NONE,
     "Alerts, newest first, each with its event.", NULL, "AlertList"},
    {"GET", API "/alerts/{id}", ROLE_READ, false, RUN_ON_POOL, alerts_get, NULL, 0, NONE,
     "One alert with its event.", NULL, "Alert"},
    {"PATCH", API "/alerts/{id}", ROLE_TRIAGE, false,
     RUN_ON_POOL, alerts_patch, NULL, MEDIA_JSON, SMALL,
     "Say what became of an alert: status and note.", "Triage", "Alert"},
    {"GET", API "/rules", ROLE_READ, false, RUN_ON_POOL, rules_list, NULL, 0, NONE,
     "All rules.", NULL, "RuleList"},
    {"POST", API "/rules", ROLE_ADMIN, false, RUN_ON_POOL, rules_post, NULL, MEDIA_JSON, SMALL,
     "Make a rule. It learns from history first; with little history it is active at once.",
     "RuleInput", "Rule"},
    {"POST", API "/rules/backtest", ROLE_READ, false,
     RUN_ON_POOL, rules_backtest, NULL, MEDIA_JSON, SMALL,
     "What a rule would have raised between two times. Nothing is stored or sent.",
     "Backtest", "BacktestAnswer"},
    {"GET", API "/rules/{id}", ROLE_READ, false, RUN_ON_POOL, rules_get, NULL, 0, NONE,
     "One rule.", NULL, "Rule"},
    {"PUT", API "/rules/{id}", ROLE_ADMIN, false, RUN_ON_POOL, rules_put, NULL, MEDIA_JSON, SMALL,
     "Replace a rule.", "RuleInput", "Rule"},
    {"PATCH", API "/rules/{id}", ROLE_ADMIN, false,
     RUN_ON_POOL, rules_patch, NULL, MEDIA_JSON, SMALL,
     "Change some members of a rule.", "RulePatch", "Rule"},
    {"DELETE", API "/rules/{id}", ROLE_ADMIN, false, RUN_ON_POOL, rules_delete, NULL, 0, NONE,
     "Delete a rule. Its alerts stay.", NULL, "Deleted"},
    {"GET", API "/rule-types", ROLE_READ, false, RUN_ON_POOL, rules_types, NULL, 0, NONE,
     "Every type of rule with its conditions.", NULL, "RuleTypes"},
    {"GET", API "/webhooks", ROLE_ADMIN, false, RUN_ON_POOL, webhooks_list, NULL, 0, NONE,
     "All webhooks, without their secrets.", NULL, "WebhookList"},
    {"POST", API "/webhooks", ROLE_ADMIN, false,
     RUN_ON_POOL, webhooks_post, NULL, MEDIA_JSON, SMALL,
     "Make a webhook. The answer shows its secret, this once.", "WebhookInput", "Webhook"},
    {"GET", API "/webhooks/{id}", ROLE_ADMIN, false, RUN_ON_POOL, webhooks_get, NULL, 0, NONE,
     "One webhook, without its secret.", NULL, "Webhook"},
    {"PATCH", API "/webhooks/{id}", ROLE_ADMIN, false,
     RUN_ON_POOL, webhooks_patch, NULL, MEDIA_JSON, SMALL,
     "Change some members of a webhook.", "WebhookPatch", "Webhook"},
    {"DELETE", API "/webhooks/{id}", ROLE_ADMIN, false, RUN_ON_POOL, webhooks_delete, NULL, 0, NONE,
     "Delete a webhook. Alerts from here on are not sent to it.", NULL, "Deleted"},
    {"POST", API "/webhooks/{id}/test", ROLE_ADMIN, false,
     RUN_ON_POOL, webhooks_test, NULL, MEDIA_JSON, SMALL,
     "Send a test event to a webhook and wait for what it answers.", NULL, "WebhookTest"},
    {"POST", API "/webhooks/{id}/rotate-secret", ROLE_ADMIN, false,
     RUN_ON_POOL, webhooks_rotate, NULL, MEDIA_JSON, SMALL,
     "Make a new secret, shown this once. The old one signs too for 24 hours.", NULL, "Webhook"},
    {"POST", API "/webhooks/{id}/replay", ROLE_ADMIN, false,
     RUN_ON_POOL, webhooks_replay, NULL, MEDIA_JSON, SMALL,
     "Send every dead delivery of a webhook again, of what was raised since a time.",
     "WebhookReplay", "WebhookReplayAnswer"},
    {"GET", API "/deliveries", ROLE_ADMIN, false,
     RUN_ON_POOL, deliveries_list, delivery_query, 0, NONE,
     "What was sent to webhooks and by mail, newest first.", NULL, "DeliveryList"},
    {"GET", API "/deliveries/{id}", ROLE_ADMIN, false, RUN_ON_POOL, deliveries_get, NULL, 0, NONE,
     "One delivery with every attempt.", NULL, "Delivery"},
    {"POST", API "/deliveries/{id}/replay", ROLE_ADMIN, false,
     RUN_ON_POOL, deliveries_replay, NULL, MEDIA_JSON, SMALL,
     "Send a delivery again, now.", NULL, "Delivery"},
    {"GET", API "/keys", ROLE_ADMIN, false, RUN_ON_POOL, keys_list, NULL, 0, NONE,
     "All keys, without their texts.", NULL, "KeyList"},
    {"POST", API "/keys", ROLE_ADMIN, false, RUN_ON_POOL, keys_post, NULL, MEDIA_JSON, SMALL,
     "Make a key. The answer shows its text, this once.", "KeyInput", "Key"},
    {"DELETE", API "/keys/{id}", ROLE_ADMIN, false, RUN_ON_POOL, keys_delete, NULL, 0, NONE,
     "Take a key back, at once.", NULL, "Deleted"},
    {"GET", API "/members", ROLE_ADMIN, false, RUN_ON_POOL, members_list, NULL, 0, NONE,
     "The people of the workspace, oldest first.", NULL, "MemberList"},
    {"POST", API "/members", ROLE_ADMIN, false,
     RUN_ON_POOL, members_post, NULL, MEDIA_JSON, SMALL,
     "Add a person. Owners and admins are written to when a rule with the channel email fires.",
     "MemberInput", "Member"},
    {"PATCH", API "/members/{id}", ROLE_ADMIN, false,
     RUN_ON_POOL, members_patch, NULL, MEDIA_JSON, SMALL,
     "Change a person's address, name or role.", "MemberPatch", "Member"},
    {"DELETE", API "/members/{id}", ROLE_ADMIN, false, RUN_ON_POOL, members_delete, NULL, 0, NONE,
     "Remove a person. What still waits to be mailed to the address is not sent.", NULL, "Deleted"},
    {"GET", API "/settings", ROLE_ADMIN, false, RUN_ON_POOL, settings_get, NULL, 0, NONE,
     "The workspace's settings.", NULL, "Settings"},
    {"PATCH", API "/settings", ROLE_ADMIN, false,
     RUN_ON_POOL, settings_patch, NULL, MEDIA_JSON, SMALL,
     "Change settings.", "Settings", "Settings"},
    {"POST", API "/settings/test-email", ROLE_ADMIN, false,
     RUN_ON_POOL, mail_test, NULL, MEDIA_JSON, SMALL,
     "Send a test mail, to an address or to the first owner or admin, and wait for what the mail "
     "server says.",
     "MailTestInput", "MailTest"},
    {"GET", API "/workspaces", ROLE_ADMIN, true, RUN_ON_POOL, workspaces_list, NULL, 0, NONE,
     "All workspaces. Only for admins of the first.", NULL, "WorkspaceList"},
    {"POST", API "/workspaces", ROLE_ADMIN, true,
     RUN_ON_POOL, workspaces_post, NULL, MEDIA_JSON, SMALL,
     "Make a workspace with a chain, rules, keys and settings of its own. The answer shows "
     "its first admin key.",
     "WorkspaceInput", "Workspace"},
    {"GET", "/healthz", 0, false, RUN_ON_WORKER, ops_healthz, NULL, 0, NONE,
     "Alive: nothing more is said.", NULL, "Health"},
    {"GET", "/readyz", 0, false, RUN_ON_POOL, ops_readyz, NULL, 0, NONE,
     "Ready to take events; the age of the geo data, the clock, the rules.", NULL, "Ready"},
    {"GET", "/metrics", ROLE_READ, false, RUN_ON_POOL, ops_metrics, NULL, 0, NONE,
     "Numbers in Prometheus' text format. Without a key where the server runs with "
     "--metrics-public.",
     NULL, NULL},
    {"GET", "/.well-known/jwks.json", 0, false, RUN_ON_POOL, signatures_jwks, NULL, 0, NONE,
     "The public keys that webhooks of the format fusionauth are signed with.", NULL, "KeySet"},
    {"GET", "/openapi.json", 0, false, RUN_ON_POOL, ops_openapi, NULL, 0, NONE,
     "This contract as OpenAPI 3.1.", NULL, NULL},
};
/* clang-format on */
const size_t api_route_count = COUNT_OF(api_routes);

static bool
match_path(struct str pattern, struct str path,
           struct str parameters_out[static API_PARAMETERS_MAX])
{
    size_t found = 0;
    while (pattern.ptr != NULL && path.ptr != NULL) {
        struct str want = str_split(&pattern, '/'), got = str_split(&path, '/');
        if (want.len > 0 && want.ptr[0] == '{') {
            if (got.len == 0)
                return false;
            must(found < API_PARAMETERS_MAX);
            parameters_out[found++] = got;
        } else if (!str_equal(want, got)) {
            return false;
        }
    }
    return pattern.ptr == NULL && path.ptr == NULL;
}

enum route_match
route_find(struct str method, struct str path, const struct route **route_out,
           struct str parameters_out[static API_PARAMETERS_MAX], char allow_out[static 64])
{
    struct str found[API_PARAMETERS_MAX];
    size_t allow_len = 0;
    for (size_t i = 0; i < api_route_count; i++) {
        const struct route *route = &api_routes[i];
        memset(found, 0, sizeof found);
        if (!match_path(str_from(route->path), path, found))
            continue;
        if (str_equal(method, str_from(route->method))) {
            *route_out = route;
            memcpy(parameters_out, found, sizeof found);
            return ROUTE_FOUND;
        }
        size_t len = strlen(route->method), gap = allow_len > 0 ? 2 : 0;
        must(allow_len + gap + len < 64);
        memcpy(allow_out + allow_len, ", ", gap);
        memcpy(allow_out + allow_len + gap, route->method, len + 1);
        allow_len += gap + len;
    }
    return allow_len > 0 ? ROUTE_NO_METHOD : ROUTE_NO_PATH;
}
