/* keyring - the keys that the server signs with, and the signature of FusionAuth's webhooks.
 *
 * X-FusionAuth-Signature-JWT is a token with one claim, the SHA-256 of the body. It is signed with
 * the webhook's secret as its owner was given it, or with a key of the server, whose public half
 * anybody may fetch. A server's key is made once per algorithm and kept among the settings of no
 * workspace. */
#include "notify/notify_priv.h"

#include "codec/hash.h"
#include "codec/text.h"

#include <string.h>

#define NAME_PREFIX "signing_key_"

enum { KEYS_MAX = JWT_ED25519 + 1, PEM_MAX = 16384 };

struct keyring {
    struct jwt_key *keys[KEYS_MAX]; /* by algorithm; NULL: not made yet */
};

struct loading {
    struct keyring *keyring;
    struct json_parser *parser;
    struct arena arena;
    struct err err;
};

static void
load_key(void *self, struct str workspace_id, struct str name, struct str value)
{
    struct loading *loading = self;
    struct str prefix = STR(NAME_PREFIX);
    enum jwt_algorithm algorithm;
    struct json json;
    if (workspace_id.len > 0 || !str_starts(name, prefix) ||
        !jwt_algorithm_parse((struct str){name.ptr + prefix.len, name.len - prefix.len},
                             &algorithm) ||
        jwt_is_shared(algorithm) || loading->keyring->keys[algorithm] != NULL)
        return;
    if (!json_parse(loading->parser, value, &loading->arena, &json, &loading->err))
        return;
    if (json.type != JSON_STRING ||
        !jwt_key_read(algorithm, json.text, &loading->keyring->keys[algorithm], &loading->err))
        loading->keyring->keys[algorithm] = NULL;
}

bool
keyring_read(struct store *store, struct json_parser *parser, struct keyring **keyring_out,
             struct err *err)
{
    struct loading loading = {.keyring = base_alloc(1, sizeof(struct keyring)), .parser = parser};
    arena_init(&loading.arena, 4096, (size_t)8 * PEM_MAX);
    bool ok = store_settings(store, STR(""), load_key, &loading, err);
    arena_fini(&loading.arena);
    if (ok && loading.err.code != ERR_NONE)
        ok = err_set(err, ERR_CORRUPT, "a stored signing key %s", loading.err.text);
    if (ok)
        *keyring_out = loading.keyring;
    else
        keyring_free(loading.keyring);
    return ok;
}

void
keyring_free(struct keyring *keyring)
{
    for (size_t i = 0; keyring != NULL && i < KEYS_MAX; i++)
        jwt_key_free(keyring->keys[i]);
    base_free(keyring);
}

bool
notify_make_key(struct store *store, enum jwt_algorithm algorithm, struct json_parser *parser,
                struct err *err)
{
    struct keyring *keyring = NULL;
    if (jwt_is_shared(algorithm))
        return true;
    if (!keyring_read(store, parser, &keyring, err))
        return false;
    bool is_there = keyring->keys[algorithm] != NULL;
    keyring_free(keyring);
    if (is_there)
        return true;

    struct buffer pem, value, name;
    buffer_init(&pem, PEM_MAX);
    buffer_init(&value, (size_t)2 * PEM_MAX);
    buffer_init(&name, 64);
    jwt_key_make(algorithm, &pem);
    json_write_string(&value, buffer_str(&pem));
    buffer_add(&name, STR(NAME_PREFIX));
    buffer_add(&name, jwt_algorithm_name(algorithm));
    /* Of two that are made at once the first one stays. */
    bool ok = store_setting_add(store, STR(""), buffer_str(&name), buffer_str(&value), err);
    buffer_fini(&name);
    buffer_fini(&value);
    buffer_fini(&pem);
    return ok;
}

bool
notify_write_jwks(struct store *store, struct json_parser *parser, struct buffer *out,
                  struct err *err)
{
    struct keyring *keyring = NULL;
    if (!keyring_read(store, parser, &keyring, err))
        return false;
    json_open(out, '{');
    json_name(out, "keys");
    json_open(out, '[');
    for (size_t i = 0; i < KEYS_MAX; i++)
        if (keyring->keys[i] != NULL)
            jwt_key_write_public(out, keyring->keys[i]);
    json_close(out, ']');
    json_close(out, '}');
    keyring_free(keyring);
    return true;
}

static void
sign(struct buffer *out, const struct jwt_key *key, struct str body)
{
    unsigned char hash[SHA256_SIZE];
    struct buffer claims;
    sha256_once(body, hash);
    buffer_init(&claims, 256);
    buffer_add(&claims, STR("{\"request_body_sha256\":\""));
    base64_encode(&claims, (struct str){(const char *)hash, sizeof hash}, false);
    buffer_add(&claims, STR("\"}"));
    buffer_add(out, STR("X-FusionAuth-Signature-JWT: "));
    jwt_sign(out, key, buffer_str(&claims));
    buffer_add_char(out, '\n');
    buffer_fini(&claims);
}

bool
keyring_sign(struct buffer *out, const struct keyring *keyring, const struct webhook *webhook,
             struct str body, struct err *err)
{
    enum jwt_algorithm algorithm = webhook->signing_algorithm;
    struct jwt_key *shared = NULL;
    if (jwt_is_shared(algorithm)) {
        if (!jwt_key_read(algorithm, webhook->secret, &shared, err))
            return err_prefix(err, "the webhook's secret");
        sign(out, shared, body);
        jwt_key_free(shared);
        return true;
    }
    if (keyring == NULL || keyring->keys[algorithm] == NULL)
        return err_set(err, ERR_INPUT, "there is no key to sign with for %.*s",
                       STR_ARG(jwt_algorithm_name(algorithm)));
    sign(out, keyring->keys[algorithm], body);
    return true;
}
