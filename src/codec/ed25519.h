/* ed25519 - signatures of RFC 8032, by OpenSSL. */
#ifndef CODEC_ED25519_H
#define CODEC_ED25519_H

#include "base/base.h"

#define ED25519_KEY_SIZE       32 /* each half; the secret one is any 32 random bytes */
#define ED25519_SIGNATURE_SIZE 64

void ed25519_public(const unsigned char secret[static ED25519_KEY_SIZE],
                    unsigned char out[static ED25519_KEY_SIZE]);
void ed25519_sign(const unsigned char secret[static ED25519_KEY_SIZE], struct str message,
                  unsigned char out[static ED25519_SIGNATURE_SIZE]);

#endif
