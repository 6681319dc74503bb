/* Webhooks: who is called. Admins only, so secrets may be made here; each is shown once. */
#include "api/api_priv.h"
#include "codec/ed25519.h"
#include "codec/time.h"
#include "model/ids.h"
#include "model/limits.h"
#include "model/webhook.h"

#include <string.h>

#define SECRET_BYTES     32
#define ROTATION_US      (24LL * 3600 * 1000000)
#define SECRET_TEXT_SIZE 128

static log_at
position(const struct call *call)
{
    return log_durable(journal_log(call->api->options.journal)) + 1;
}

static struct str
key_text(struct call *call, struct str prefix, struct str bytes)
{
    struct buffer text;
    struct str kept;
    buffer_init(&text, SECRET_TEXT_SIZE);
    buffer_add(&text, prefix);
    base64_encode(&text, bytes, false);
    must(!text.ran_out && arena_copy(call_arena(call), buffer_str(&text), &kept));
    buffer_fini(&text);
    return kept;
}

static struct str
new_secret(struct call *call)
{
    unsigned char bytes[SECRET_BYTES];
    call->api->options.random.fill(call->api->options.random.self, bytes, sizeof bytes);
    return key_text(call, STR("whsec_"), (struct str){(const char *)bytes, sizeof bytes});
}

/* The secret half is never shown to anybody. */
static struct str
new_signing_key(struct call *call)
{
    unsigned char bytes[2 * ED25519_KEY_SIZE];
    call->api->options.random.fill(call->api->options.random.self, bytes, ED25519_KEY_SIZE);
    ed25519_public(bytes, bytes + ED25519_KEY_SIZE);
    return key_text(call, STR("whsk_"), (struct str){(const char *)bytes, sizeof bytes});
}

void
webhooks_list(struct call *call)
{
    struct webhook *webhooks = NULL;
    size_t count = 0;
    struct err err = {0};
    if (!store_webhooks(call->api->options.store, call->workspace_id, false, call_arena(call),
                        &webhooks, &count, &err)) {
        call_fail_err(call, &err);
        return;
    }
    struct buffer *out = answer_list(call);
    for (size_t i = 0; i < count; i++)
        webhook_write(out, &webhooks[i], false);
    answer_all_listed(out, count);
}

static bool
find(struct call *call, struct webhook *webhook_out)
{
    struct webhook *webhooks = NULL;
    size_t count = 0;
    struct err err = {0};
    struct str id = call->parameters[0];
    if (!store_webhooks(call->api->options.store, call->workspace_id, false, call_arena(call),
                        &webhooks, &count, &err)) {
        call_fail_err(call, &err);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (str_equal(webhooks[i].id, id)) {
            *webhook_out = webhooks[i];
            return true;
        }
    }
    call_fail(call, 404, "not_found", "There is no webhook %.*s.",
              (int)(id.len < 100 ? id.len : 100), id.ptr);
    return false;
}

void
webhooks_get(struct call *call)
{
    struct webhook webhook;
    if (find(call, &webhook))
        webhook_write(call_answer(call, 200), &webhook, false);
}

/* The webhook's own reader knows the shape of rule_types, not which types there are. */
static bool
check_rule_types(struct call *call, const struct webhook *webhook)
{
    struct violations violations = {.arena = call_arena(call)};
    const struct json *types = &webhook->rule_types;
    for (size_t i = 0; types->type == JSON_ARRAY && i < types->count; i++)
        if (!detect_type_exists(types->items[i].text))
            violations_add(&violations, STR("rule_types"), "There is no rule type %.*s.",
                           STR_ARG(types->items[i].text));
    if (violations.count == 0)
        return true;
    call_fail_fields(call, &violations);
    return false;
}

static void
put_and_answer(struct call *call, struct webhook *webhook, int status, bool with_secret)
{
    struct err err = {0};
    webhook->updated_at = call->taken_at_us;
    if (!store_webhook_put(call->api->options.store, webhook, &err)) {
        call_fail_err(call, &err);
        return;
    }
    notify_wake(call->api->options.notify);
    webhook_write(call_answer(call, status), webhook, with_secret);
}

void
webhooks_post(struct call *call)
{
    char id[ID_SIZE];
    struct webhook webhook = {.workspace_id = call->workspace_id, .enabled = true};
    struct violations violations = {.arena = call_arena(call)};
    if (!call_read_json(call))
        return;
    if (!webhook_read(&call->json, call_arena(call), &webhook, &violations)) {
        call_fail_fields(call, &violations);
        return;
    }
    if (!check_rule_types(call, &webhook) || !signatures_make_key(call, webhook.signing_algorithm))
        return;
    id_new(call->api->options.random, "whk_", id);
    webhook.id = (struct str){id, sizeof id};
    if (webhook.secret.len == 0)
        webhook.secret = new_secret(call);
    if (webhook.asymmetric)
        webhook.signing_key = new_signing_key(call);
    webhook.since = (int64_t)position(call);
    webhook.created_at = call->taken_at_us;
    struct err err = {0};
    if (!starter_give_channels(call, &err)) {
        call_fail_err(call, &err);
        return;
    }
    put_and_answer(call, &webhook, 201, true);
}

void
webhooks_patch(struct call *call)
{
    struct webhook webhook;
    struct violations violations = {.arena = call_arena(call)};
    if (!call_read_json(call) || !find(call, &webhook))
        return;
    bool was_enabled = webhook.enabled;
    struct str url = webhook.url;
    if (!webhook_read(&call->json, call_arena(call), &webhook, &violations)) {
        call_fail_fields(call, &violations);
        return;
    }
    if (!check_rule_types(call, &webhook) || !signatures_make_key(call, webhook.signing_algorithm))
        return;
    if (webhook.asymmetric && webhook.signing_key.len == 0)
        webhook.signing_key = new_signing_key(call);
    if (was_enabled && !webhook.enabled)
        webhook.until = (int64_t)position(call);
    /* What was found while it was switched off is not sent afterwards. */
    if (webhook.enabled && !was_enabled) {
        webhook.since = (int64_t)position(call);
        webhook.disabled_reason = (struct str){0};
    }
    if ((webhook.enabled && !was_enabled) || !str_equal(url, webhook.url))
        webhook.failing_since = 0; /* as the store forgets it */
    put_and_answer(call, &webhook, 200, false);
}

void
webhooks_delete(struct call *call)
{
    struct webhook webhook;
    struct err err = {0};
    if (!find(call, &webhook))
        return;
    if (!store_webhook_delete(call->api->options.store, call->workspace_id, webhook.id,
                              (int64_t)position(call), &err)) {
        call_fail_err(call, &err);
        return;
    }
    notify_wake(call->api->options.notify);
    struct buffer *out = call_answer(call, 200);
    json_open(out, '{');
    json_put_str(out, "id", webhook.id);
    json_put_bool(out, "deleted", true);
    json_close(out, '}');
}

void
webhooks_rotate(struct call *call)
{
    struct webhook webhook;
    if (!find(call, &webhook))
        return;
    webhook.old_secret = webhook.secret;
    webhook.old_secret_until = call->taken_at_us + ROTATION_US;
    webhook.secret = new_secret(call);
    if (webhook.asymmetric) {
        webhook.old_signing_key = webhook.signing_key;
        webhook.signing_key = new_signing_key(call);
    }
    put_and_answer(call, &webhook, 200, true);
}

void
webhooks_test(struct call *call)
{
    struct webhook webhook;
    struct notify_result result;
    struct err err = {0};
    if (!find(call, &webhook))
        return;
    if (!notify_test(call->api->options.notify, &webhook, &result, &err)) {
        call_fail_err(call, &err);
        return;
    }
    struct buffer *out = call_answer(call, 200);
    json_open(out, '{');
    json_put_bool(out, "delivered", result.status >= 200 && result.status < 300);
    json_put_int(out, "status", result.status);
    json_put_int(out, "duration_ms", result.duration_us / 1000);
    json_put_str(out, "error", result.error[0] != '\0' ? str_from(result.error) : (struct str){0});
    struct str answer = utf8_cut((struct str){result.answer, result.answer_len}, 1024);
    json_put_str(out, "answer", utf8_valid(answer) ? answer : STR("(not text)"));
    json_close(out, '}');
}

/* Deliveries of one that is switched off would be dead again at once. */
void
webhooks_replay(struct call *call)
{
    static const char *const known[] = {"since", NULL};
    struct webhook webhook;
    struct err err = {0};
    int64_t since = 0;
    size_t count = 0;
    if (!call_read_json(call) || !call_check_members(call, &call->json, known) ||
        !find(call, &webhook))
        return;
    const struct json *sent = json_get(&call->json, STR("since"));
    if (sent->type != JSON_STRING || !time_parse(sent->text, &since)) {
        call_fail(call, 422, "validation_failed", "The since field must be a time (RFC 3339).");
        return;
    }
    if (!webhook.enabled) {
        call_fail(call, 409, "conflict", "The webhook is switched off.");
        return;
    }
    if (!notify_replay_dead(call->api->options.notify, call->workspace_id, webhook.id, since,
                            &count, &err)) {
        call_fail_err(call, &err);
        return;
    }
    struct buffer *out = call_answer(call, 200);
    json_open(out, '{');
    json_put_int(out, "replayed", (int64_t)count);
    json_close(out, '}');
}
