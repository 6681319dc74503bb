/* ed25519 - OpenSSL's, for keys as plain bytes. */
#include "codec/ed25519.h"

#include <openssl/evp.h>

void
ed25519_public(const unsigned char secret[static ED25519_KEY_SIZE],
               unsigned char out[static ED25519_KEY_SIZE])
{
    size_t len = ED25519_KEY_SIZE;
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, secret, ED25519_KEY_SIZE);
    must(key != NULL);
    must(EVP_PKEY_get_raw_public_key(key, out, &len) == 1 && len == ED25519_KEY_SIZE);
    EVP_PKEY_free(key);
}

void
ed25519_sign(const unsigned char secret[static ED25519_KEY_SIZE], struct str message,
             unsigned char out[static ED25519_SIGNATURE_SIZE])
{
    size_t len = ED25519_SIGNATURE_SIZE;
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, secret, ED25519_KEY_SIZE);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    must(key != NULL && context != NULL);
    must(EVP_DigestSignInit(context, NULL, NULL, NULL, key) == 1);
    must(EVP_DigestSign(context, out, &len, (const unsigned char *)message.ptr, message.len) == 1);
    must(len == ED25519_SIGNATURE_SIZE);
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
}
