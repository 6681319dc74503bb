/* sign - how a receiver can tell that a body is ours.
 *
 * X-Immutable-Signature: HMAC-SHA256 of the raw body, keyed with the secret as its owner was
 * given it. It has room for one signature: that of the newest secret.
 *
 * Standard Webhooks 1.0: HMAC-SHA256 of "<id>.<seconds>.<body>", keyed with the bytes that stand
 * in base64 behind "whsec_" (or, without that prefix, the secret itself). A webhook that asks for
 * it has an Ed25519 signature of the same text besides ("v1a"), by a key of its own. While a
 * rotation lasts, those by the old secret and the old key follow, each after a space. */
#include "notify/notify_priv.h"

#include "codec/ed25519.h"
#include "codec/hash.h"
#include "codec/text.h"

#include <string.h>

enum { KEY_MAX = 4096 };

static void
add_v1(struct buffer *out, struct str secret, struct str message)
{
    struct str prefix = STR("whsec_");
    struct buffer key;
    buffer_init(&key, KEY_MAX);
    if (str_starts(secret, prefix) &&
        base64_decode(&key, (struct str){secret.ptr + prefix.len, secret.len - prefix.len}, false))
        secret = buffer_str(&key);

    unsigned char mac[SHA256_SIZE];
    hmac_sha256(secret, message, mac);
    buffer_add(out, STR("v1,"));
    base64_encode(out, (struct str){(const char *)mac, sizeof mac}, false);
    buffer_fini(&key);
}

/* Nothing of a key that is none: only a hand in the store can have put it there. */
static void
add_v1a(struct buffer *out, struct str signing_key, struct str message)
{
    struct str prefix = STR("whsk_");
    unsigned char signature[ED25519_SIGNATURE_SIZE];
    struct buffer key;
    buffer_init(&key, KEY_MAX);
    if (str_starts(signing_key, prefix) &&
        base64_decode(&key,
                      (struct str){signing_key.ptr + prefix.len, signing_key.len - prefix.len},
                      false) &&
        key.len == 2 * (size_t)ED25519_KEY_SIZE) {
        ed25519_sign((const unsigned char *)key.ptr, message, signature);
        buffer_add(out, STR(" v1a,"));
        base64_encode(out, (struct str){(const char *)signature, sizeof signature}, false);
    }
    buffer_fini(&key);
}

void
notify_sign(struct buffer *out, const struct webhook *webhook, struct str message_id,
            int64_t now_us, struct str body)
{
    unsigned char mac[SHA256_SIZE];
    char hex[2 * SHA256_SIZE];
    hmac_sha256(webhook->secret, body, mac);
    hex_encode(mac, sizeof mac, hex);
    buffer_printf(out, "X-Immutable-Signature: sha256=%.*s\n", (int)sizeof hex, hex);

    long long seconds = (long long)(now_us / TIME_US_PER_SECOND);
    struct buffer message;
    buffer_init(&message, body.len + message_id.len + 32);
    buffer_printf(&message, "%.*s.%lld.", STR_ARG(message_id), seconds);
    buffer_add(&message, body);
    buffer_printf(out, "webhook-id: %.*s\nwebhook-timestamp: %lld\nwebhook-signature: ",
                  STR_ARG(message_id), seconds);
    add_v1(out, webhook->secret, buffer_str(&message));
    bool rotating = now_us < webhook->old_secret_until;
    if (webhook->old_secret.len > 0 && rotating) {
        buffer_add_char(out, ' ');
        add_v1(out, webhook->old_secret, buffer_str(&message));
    }
    if (webhook->asymmetric)
        add_v1a(out, webhook->signing_key, buffer_str(&message));
    if (webhook->asymmetric && rotating)
        add_v1a(out, webhook->old_signing_key, buffer_str(&message));
    buffer_add_char(out, '\n');
    buffer_fini(&message);
}
