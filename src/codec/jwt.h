/* jwt - JSON Web Tokens of one kind of key each (RFC 7515, 7517, 7518, 7638, 8037), by OpenSSL.
 *
 * The algorithm belongs to the key: a token that names another is refused, whatever it is signed
 * with. Keys never change once made and may be used by all threads. */
#ifndef CODEC_JWT_H
#define CODEC_JWT_H

#include "codec/json.h"

enum jwt_algorithm { JWT_HS256, JWT_HS384, JWT_HS512, JWT_RS256, JWT_ES256, JWT_ED25519 };

/* "HS256", "RS256", …; Ed25519 also as "EdDSA", which is how a token names it. */
struct str jwt_algorithm_name(enum jwt_algorithm algorithm);
bool jwt_algorithm_parse(struct str name, enum jwt_algorithm *algorithm_out) MUST_USE;
bool jwt_is_shared(enum jwt_algorithm algorithm); /* HS…: both sides hold the same secret */

#define JWT_KID_SIZE 43 /* an RFC 7638 thumbprint in base64url */

struct jwt_key;
/* HS…: a secret of at least one byte. The others: PEM, of a private key (signs and verifies) or a
 * public one (verifies). ERR_INPUT: it is none, or of another kind than the algorithm asks for. */
bool jwt_key_read(enum jwt_algorithm algorithm, struct str text, struct jwt_key **key_out,
                  struct err *err) MUST_USE;
/* A new pair, as the PEM of its private half. Takes a while for RS256; never of a shared secret. */
void jwt_key_make(enum jwt_algorithm algorithm, struct buffer *pem_out);
void jwt_key_free(struct jwt_key *key);
/* The thumbprint; absent of a shared secret. */
struct str jwt_key_kid(const struct jwt_key *key);
/* The public half as a JSON Web Key with kid, alg and use. */
void jwt_key_write_public(struct buffer *out, const struct jwt_key *key);

/* Appends the compact form; the kid stands in its header where the key has one. */
void jwt_sign(struct buffer *out, const struct jwt_key *key, struct str payload);

/* A token taken apart; nothing in it is to be believed before jwt_verify said yes. */
struct jwt {
    struct str kid;       /* absent: none */
    struct str algorithm; /* as its header names it */
    struct json payload;  /* an object */
    struct str signed_part, signature;
};
/* ERR_INPUT: not three parts of base64url, the first two JSON objects. */
bool jwt_open(struct str token, struct json_parser *parser, struct arena *arena,
              struct jwt *jwt_out, struct err *err) MUST_USE;
bool jwt_verify(const struct jwt_key *key, const struct jwt *jwt) MUST_USE;

#endif
