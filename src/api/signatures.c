/* Signatures of FusionAuth's webhooks: those that come in, by keys that a workspace was given, and
 * the public halves of the keys that those going out are signed with. */
#include "api/api_priv.h"

#include <string.h>

#define KEYS_MAX 20
#define KID_MAX  200

/* -- the setting --------------------------------------------------------------------- */

/* False: `*why_out` says what is wrong with it. */
static bool
read_key(const struct json *item, struct fusionauth_key *key_out, const char **why_out)
{
    const struct json *kid = json_get(item, STR("kid")), *key = json_get(item, STR("key"));
    const struct json *algorithm = json_get(item, STR("algorithm"));
    enum jwt_algorithm found;
    struct err err = {0};
    bool has_kid = kid->type == JSON_STRING && kid->text.len > 0 && kid->text.len <= KID_MAX;
    size_t known = 2 + (kid->type != JSON_ABSENT);
    *why_out = "must be a list of at most 20 objects with algorithm, key and perhaps kid";
    if (item->type != JSON_OBJECT || item->count != known || key->type != JSON_STRING ||
        (!has_kid && kid->type != JSON_ABSENT && kid->type != JSON_NULL))
        return false;
    *why_out = "has an algorithm that is none of HS256, HS384, HS512, RS256, ES256, Ed25519";
    if (algorithm->type != JSON_STRING || !jwt_algorithm_parse(algorithm->text, &found))
        return false;
    *why_out = "holds a key that does not fit its algorithm: a secret of 16 bytes and more for "
               "HS256, HS384 and HS512, else a public key in PEM form";
    if ((jwt_is_shared(found) && key->text.len < 16) ||
        !jwt_key_read(found, key->text, &key_out->key, &err))
        return false;
    key_out->kid = has_kid ? kid->text : (struct str){0};
    return true;
}

bool
signatures_check(struct call *call, const struct json *setting)
{
    const char *why = "must be a list of at most 20 objects with algorithm, key and perhaps kid";
    bool ok = setting->type == JSON_ARRAY && setting->count <= KEYS_MAX;
    for (size_t i = 0; ok && i < setting->count; i++) {
        struct fusionauth_key key = {0};
        ok = read_key(&setting->items[i], &key, &why);
        jwt_key_free(key.key);
    }
    if (!ok)
        call_fail(call, 422, "validation_failed", "The fusionauth_keys field %s.", why);
    return ok;
}

void
signatures_read(struct str json, struct arena *arena, struct fusionauth_key **keys_out,
                size_t *count_out)
{
    struct json_parser *parser = json_parser_new();
    struct json setting;
    struct err err = {0};
    const char *why;
    if (json_parse(parser, json, arena, &setting, &err) && setting.type == JSON_ARRAY) {
        struct fusionauth_key *keys = arena_array(arena, setting.count, struct fusionauth_key);
        must(keys != NULL);
        *keys_out = keys;
        for (size_t i = 0; i < setting.count; i++)
            *count_out += read_key(&setting.items[i], &keys[*count_out], &why);
    }
    json_parser_free(parser);
}

/* As answered: a secret is not shown again. */
void
signatures_write_setting(struct buffer *out, const struct json *setting)
{
    json_open(out, '[');
    for (size_t i = 0; setting->type == JSON_ARRAY && i < setting->count; i++) {
        const struct json *item = &setting->items[i];
        enum jwt_algorithm algorithm;
        struct str name = json_get(item, STR("algorithm"))->text;
        const struct json *kid = json_get(item, STR("kid"));
        json_open(out, '{');
        json_put_str(out, "kid", kid->type == JSON_STRING ? kid->text : (struct str){0});
        json_put_str(out, "algorithm", name);
        if (jwt_algorithm_parse(name, &algorithm) && !jwt_is_shared(algorithm))
            json_put_str(out, "key", json_get(item, STR("key"))->text);
        json_close(out, '}');
    }
    json_close(out, ']');
}

/* -- the check ----------------------------------------------------------------------- */

static struct str
signature_of(const struct call *call)
{
    const h2o_req_t *req = call->req;
    ssize_t at =
        h2o_find_header_by_str(&req->headers, H2O_STRLIT("x-fusionauth-signature-jwt"), -1);
    if (at < 0)
        return (struct str){0};
    h2o_iovec_t value = req->headers.entries[at].value;
    return (struct str){value.base, value.len};
}

static bool
is_signed_by(const struct access_workspace *workspace, const struct jwt *jwt)
{
    for (size_t i = 0; i < workspace->fusionauth_key_count; i++) {
        const struct fusionauth_key *key = &workspace->fusionauth_keys[i];
        if ((key->kid.len == 0 || jwt->kid.len == 0 || str_equal(key->kid, jwt->kid)) &&
            jwt_verify(key->key, jwt))
            return true;
    }
    return false;
}

static bool
claims_body(const struct call *call, const struct jwt *jwt)
{
    const struct json *claim = json_get(&jwt->payload, STR("request_body_sha256"));
    unsigned char hash[SHA256_SIZE];
    struct buffer text;
    sha256_once((struct str){call->req->entity.base, call->req->entity.len}, hash);
    buffer_init(&text, 64);
    base64_encode(&text, (struct str){(const char *)hash, sizeof hash}, false);
    bool same = claim->type == JSON_STRING && claim->text.len == text.len &&
                constant_time_equal(claim->text.ptr, text.ptr, text.len);
    buffer_fini(&text);
    return same;
}

enum signature_verdict
signatures_judge(struct call *call, const struct access_workspace *only,
                 const struct access_workspace **workspace_out)
{
    struct str token = signature_of(call);
    struct jwt jwt;
    struct err err = {0};
    if (token.ptr == NULL)
        return SIGNATURE_NONE;
    if (!jwt_open(token, call->worker->tools.parser, call_arena(call), &jwt, &err) ||
        !claims_body(call, &jwt))
        return SIGNATURE_WRONG;
    const struct access *access = call->access;
    for (size_t i = 0; i < access->workspace_count; i++) {
        const struct access_workspace *workspace = &access->workspaces[i];
        if ((only == NULL || workspace == only) && is_signed_by(workspace, &jwt)) {
            *workspace_out = workspace;
            return SIGNATURE_GOOD;
        }
    }
    return SIGNATURE_WRONG;
}

/* -- what we sign with ----------------------------------------------------------------- */

void
signatures_jwks(struct call *call)
{
    struct tools tools = tools_take(call->api);
    struct buffer keys;
    struct err err = {0};
    buffer_init(&keys, 65536);
    if (notify_write_jwks(call->api->options.store, tools.parser, &keys, &err))
        buffer_add(call_answer(call, 200), buffer_str(&keys));
    else
        call_fail_err(call, &err);
    buffer_fini(&keys);
    tools_give(call->api, tools);
}

bool
signatures_make_key(struct call *call, enum jwt_algorithm algorithm)
{
    struct tools tools = tools_take(call->api);
    struct err err = {0};
    bool ok = notify_make_key(call->api->options.store, algorithm, tools.parser, &err);
    tools_give(call->api, tools);
    if (!ok)
        call_fail_err(call, &err);
    return ok;
}
