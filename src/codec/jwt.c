/* jwt - tokens of OpenSSL's keys. */
#include "codec/jwt.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <string.h>

#include "codec/hash.h"
#include "codec/text.h"

enum {
    RSA_BITS = 2048,
    EC_HALF = 32,
    SIGNATURE_MAX = 1024, /* of RSA with 8192 bits */
    TOKEN_MAX = 16384,
    PEM_MAX = 16384,
};

static const struct {
    struct str name, header_name;
    const char *type; /* of the key, as OpenSSL calls it; NULL: a shared secret */
    const EVP_MD *(*digest)(void);
} algorithms[] = {
    [JWT_HS256] = {STR_INIT("HS256"), STR_INIT("HS256"), NULL, EVP_sha256},
    [JWT_HS384] = {STR_INIT("HS384"), STR_INIT("HS384"), NULL, EVP_sha384},
    [JWT_HS512] = {STR_INIT("HS512"), STR_INIT("HS512"), NULL, EVP_sha512},
    [JWT_RS256] = {STR_INIT("RS256"), STR_INIT("RS256"), "RSA", EVP_sha256},
    [JWT_ES256] = {STR_INIT("ES256"), STR_INIT("ES256"), "EC", EVP_sha256},
    [JWT_ED25519] = {STR_INIT("Ed25519"), STR_INIT("EdDSA"), "ED25519", NULL},
};

struct jwt_key {
    enum jwt_algorithm algorithm;
    EVP_PKEY *pair;    /* NULL: a shared secret */
    struct str secret; /* base_copy */
    char kid[JWT_KID_SIZE];
};

struct str
jwt_algorithm_name(enum jwt_algorithm algorithm)
{
    must((size_t)algorithm < COUNT_OF(algorithms));
    return algorithms[algorithm].name;
}

bool
jwt_algorithm_parse(struct str name, enum jwt_algorithm *algorithm_out)
{
    for (size_t i = 0; i < COUNT_OF(algorithms); i++) {
        if (str_equal(name, algorithms[i].name) || str_equal(name, algorithms[i].header_name)) {
            *algorithm_out = (enum jwt_algorithm)i;
            return true;
        }
    }
    return false;
}

bool
jwt_is_shared(enum jwt_algorithm algorithm)
{
    must((size_t)algorithm < COUNT_OF(algorithms));
    return algorithms[algorithm].type == NULL;
}

/* -- public keys --------------------------------------------------------------- */

static void
put_bytes(struct buffer *out, const char *name, const void *bytes, size_t len)
{
    json_name(out, name);
    buffer_add_char(out, '"');
    base64_encode(out, (struct str){bytes, len}, true);
    buffer_add_char(out, '"');
}

static void
put_number(struct buffer *out, const char *name, const EVP_PKEY *pair, const char *parameter,
           size_t len)
{
    unsigned char bytes[SIGNATURE_MAX];
    BIGNUM *number = NULL;
    must(EVP_PKEY_get_bn_param(pair, parameter, &number) == 1);
    if (len == 0)
        len = (size_t)BN_num_bytes(number);
    must(len <= sizeof bytes && BN_bn2binpad(number, bytes, (int)len) == (int)len);
    put_bytes(out, name, bytes, len);
    BN_free(number);
}

/* The members that make the key, in the order that RFC 7638 hashes them in. */
static void
put_public(struct buffer *out, const struct jwt_key *key)
{
    if (key->algorithm == JWT_RS256) {
        put_number(out, "e", key->pair, OSSL_PKEY_PARAM_RSA_E, 0);
        json_put_str(out, "kty", STR("RSA"));
        put_number(out, "n", key->pair, OSSL_PKEY_PARAM_RSA_N, 0);
    } else if (key->algorithm == JWT_ES256) {
        json_put_str(out, "crv", STR("P-256"));
        json_put_str(out, "kty", STR("EC"));
        put_number(out, "x", key->pair, OSSL_PKEY_PARAM_EC_PUB_X, EC_HALF);
        put_number(out, "y", key->pair, OSSL_PKEY_PARAM_EC_PUB_Y, EC_HALF);
    } else {
        unsigned char bytes[32];
        size_t len = sizeof bytes;
        must(EVP_PKEY_get_raw_public_key(key->pair, bytes, &len) == 1 && len == sizeof bytes);
        json_put_str(out, "crv", STR("Ed25519"));
        json_put_str(out, "kty", STR("OKP"));
        put_bytes(out, "x", bytes, sizeof bytes);
    }
}

static void
find_thumbprint(struct jwt_key *key)
{
    unsigned char hash[SHA256_SIZE];
    struct buffer text;
    buffer_init(&text, TOKEN_MAX);
    json_open(&text, '{');
    put_public(&text, key);
    json_close(&text, '}');
    sha256_once(buffer_str(&text), hash);
    buffer_clear(&text);
    base64_encode(&text, (struct str){(const char *)hash, sizeof hash}, true);
    must(text.len == JWT_KID_SIZE);
    memcpy(key->kid, text.ptr, JWT_KID_SIZE);
    buffer_fini(&text);
}

struct str
jwt_key_kid(const struct jwt_key *key)
{
    return key->pair == NULL ? (struct str){0} : (struct str){key->kid, JWT_KID_SIZE};
}

void
jwt_key_write_public(struct buffer *out, const struct jwt_key *key)
{
    must(key->pair != NULL);
    json_open(out, '{');
    json_put_str(out, "alg", algorithms[key->algorithm].header_name);
    json_put_str(out, "kid", jwt_key_kid(key));
    json_put_str(out, "use", STR("sig"));
    put_public(out, key);
    json_close(out, '}');
}

/* -- keys ------------------------------------------------------------------------ */

static int
no_passphrase(char *text, int size, int writing, void *self)
{
    (void)text, (void)size, (void)writing, (void)self;
    return -1;
}

static EVP_PKEY *
read_pem(struct str text)
{
    EVP_PKEY *pair = NULL;
    if (text.len > PEM_MAX)
        return NULL;
    for (int i = 0; i < 2 && pair == NULL; i++) {
        BIO *bio = BIO_new_mem_buf(text.ptr, (int)text.len);
        must(bio != NULL);
        pair = i == 0 ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL)
                      : PEM_read_bio_PUBKEY(bio, NULL, no_passphrase, NULL);
        BIO_free(bio);
    }
    ERR_clear_error(); /* what is left there would be taken for a fault of this thread's TLS */
    return pair;
}

static bool
is_of(enum jwt_algorithm algorithm, const EVP_PKEY *pair)
{
    char group[32] = "";
    if (EVP_PKEY_is_a(pair, algorithms[algorithm].type) != 1)
        return false;
    if (algorithm == JWT_RS256)
        return EVP_PKEY_get_bits(pair) >= RSA_BITS && EVP_PKEY_get_bits(pair) <= SIGNATURE_MAX * 8;
    return algorithm != JWT_ES256 ||
           (EVP_PKEY_get_group_name(pair, group, sizeof group, NULL) == 1 &&
            strcmp(group, "prime256v1") == 0);
}

bool
jwt_key_read(enum jwt_algorithm algorithm, struct str text, struct jwt_key **key_out,
             struct err *err)
{
    struct jwt_key key = {.algorithm = algorithm};
    if (text.len == 0)
        return err_set(err, ERR_INPUT, "is empty");
    if (!jwt_is_shared(algorithm)) {
        key.pair = read_pem(text);
        if (key.pair == NULL)
            return err_set(err, ERR_INPUT, "is no key in PEM form");
        if (!is_of(algorithm, key.pair)) {
            EVP_PKEY_free(key.pair);
            return err_set(err, ERR_INPUT, "is no key for %.*s (RSA has at least %d bits)",
                           STR_ARG(algorithms[algorithm].name), RSA_BITS);
        }
        find_thumbprint(&key);
    } else {
        key.secret = base_copy(text);
    }
    *key_out = base_alloc(1, sizeof key);
    **key_out = key;
    return true;
}

void
jwt_key_make(enum jwt_algorithm algorithm, struct buffer *pem_out)
{
    EVP_PKEY *pair = algorithm == JWT_RS256 ? EVP_RSA_gen(RSA_BITS)
                     : algorithm == JWT_ES256
                         ? EVP_EC_gen("P-256")
                         : EVP_PKEY_Q_keygen(NULL, NULL, algorithms[algorithm].type);
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    must(!jwt_is_shared(algorithm) && pair != NULL && bio != NULL);
    must(PEM_write_bio_PKCS8PrivateKey(bio, pair, NULL, NULL, 0, NULL, NULL) == 1);
    long len = BIO_get_mem_data(bio, &text);
    buffer_add_bytes(pem_out, text, (size_t)len);
    BIO_free(bio);
    EVP_PKEY_free(pair);
}

void
jwt_key_free(struct jwt_key *key)
{
    if (key == NULL)
        return;
    EVP_PKEY_free(key->pair);
    base_free((char *)(uintptr_t)key->secret.ptr);
    base_free(key);
}

/* -- signatures -------------------------------------------------------------------- */

static size_t
mac_of(const struct jwt_key *key, struct str text, unsigned char out[static EVP_MAX_MD_SIZE])
{
    unsigned len = 0;
    must(HMAC(algorithms[key->algorithm].digest(), key->secret.ptr, (int)key->secret.len,
              (const unsigned char *)text.ptr, text.len, out, &len) != NULL);
    return len;
}

/* RFC 7518 has the two numbers side by side, OpenSSL has them in DER. */
static void
add_ec_signature(struct buffer *out, const unsigned char *der, size_t len)
{
    unsigned char raw[2 * EC_HALF];
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &der, (long)len);
    must(pair != NULL);
    must(BN_bn2binpad(ECDSA_SIG_get0_r(pair), raw, EC_HALF) == EC_HALF);
    must(BN_bn2binpad(ECDSA_SIG_get0_s(pair), raw + EC_HALF, EC_HALF) == EC_HALF);
    ECDSA_SIG_free(pair);
    base64_encode(out, (struct str){(const char *)raw, sizeof raw}, true);
}

static size_t
ec_signature_to_der(struct str raw, unsigned char der[static SIGNATURE_MAX])
{
    if (raw.len != 2 * EC_HALF)
        return 0;
    const unsigned char *bytes = (const unsigned char *)raw.ptr;
    ECDSA_SIG *pair = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(bytes, EC_HALF, NULL), *s = BN_bin2bn(bytes + EC_HALF, EC_HALF, NULL);
    must(pair != NULL && r != NULL && s != NULL && ECDSA_SIG_set0(pair, r, s) == 1);
    int len = i2d_ECDSA_SIG(pair, &der);
    ECDSA_SIG_free(pair);
    return len > 0 ? (size_t)len : 0;
}

static void
add_signature(struct buffer *out, const struct jwt_key *key, struct str text)
{
    unsigned char bytes[SIGNATURE_MAX];
    size_t len = sizeof bytes;
    if (key->pair == NULL) {
        len = mac_of(key, text, bytes);
        base64_encode(out, (struct str){(const char *)bytes, len}, true);
        return;
    }
    const EVP_MD *digest =
        algorithms[key->algorithm].digest == NULL ? NULL : algorithms[key->algorithm].digest();
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    must(context != NULL);
    must(EVP_DigestSignInit(context, NULL, digest, NULL, key->pair) == 1);
    must(EVP_DigestSign(context, bytes, &len, (const unsigned char *)text.ptr, text.len) == 1);
    EVP_MD_CTX_free(context);
    if (key->algorithm == JWT_ES256)
        add_ec_signature(out, bytes, len);
    else
        base64_encode(out, (struct str){(const char *)bytes, len}, true);
}

void
jwt_sign(struct buffer *out, const struct jwt_key *key, struct str payload)
{
    struct buffer header, text;
    buffer_init(&header, TOKEN_MAX);
    buffer_init(&text, TOKEN_MAX);
    json_open(&header, '{');
    json_put_str(&header, "alg", algorithms[key->algorithm].header_name);
    if (key->pair != NULL)
        json_put_str(&header, "kid", jwt_key_kid(key));
    json_put_str(&header, "typ", STR("JWT"));
    json_close(&header, '}');
    base64_encode(&text, buffer_str(&header), true);
    buffer_add_char(&text, '.');
    base64_encode(&text, payload, true);
    must(!text.ran_out);
    buffer_add(out, buffer_str(&text));
    buffer_add_char(out, '.');
    add_signature(out, key, buffer_str(&text));
    buffer_fini(&header);
    buffer_fini(&text);
}

/* -- reading ------------------------------------------------------------------------- */

static bool
decode(struct str text, struct arena *arena, struct str *out, struct err *err)
{
    struct buffer bytes;
    buffer_init(&bytes, TOKEN_MAX);
    bool ok = base64_decode(&bytes, text, true) && bytes.len > 0 &&
              arena_copy(arena, buffer_str(&bytes), out);
    buffer_fini(&bytes);
    return ok || err_set(err, ERR_INPUT, "the token is not in base64url");
}

bool
jwt_open(struct str token, struct json_parser *parser, struct arena *arena, struct jwt *jwt_out,
         struct err *err)
{
    struct jwt jwt = {0};
    struct json header;
    struct str rest = token, header_text = {0}, payload_text = {0};
    if (token.len > TOKEN_MAX)
        return err_set(err, ERR_INPUT, "the token is too long");
    struct str first = str_split(&rest, '.'), second = str_split(&rest, '.');
    if (rest.ptr == NULL)
        return err_set(err, ERR_INPUT, "the token has fewer than three parts");
    jwt.signed_part = (struct str){token.ptr, first.len + 1 + second.len};
    if (!decode(first, arena, &header_text, err) || !decode(second, arena, &payload_text, err) ||
        !decode(rest, arena, &jwt.signature, err) ||
        !json_parse(parser, header_text, arena, &header, err) ||
        !json_parse(parser, payload_text, arena, &jwt.payload, err))
        return false;
    const struct json *algorithm = json_get(&header, STR("alg")),
                      *kid = json_get(&header, STR("kid"));
    if (jwt.payload.type != JSON_OBJECT || algorithm->type != JSON_STRING)
        return err_set(err, ERR_INPUT, "the token names no algorithm, or holds no claims");
    /* What a token calls critical must be understood, and none of it is (RFC 7515, 4.1.11). */
    if (json_get(&header, STR("crit"))->type != JSON_ABSENT)
        return err_set(err, ERR_INPUT, "the token asks for more than is known here");
    jwt.algorithm = algorithm->text;
    if (kid->type == JSON_STRING)
        jwt.kid = kid->text;
    *jwt_out = jwt;
    return true;
}

bool
jwt_verify(const struct jwt_key *key, const struct jwt *jwt)
{
    enum jwt_algorithm algorithm;
    unsigned char bytes[SIGNATURE_MAX];
    if (!jwt_algorithm_parse(jwt->algorithm, &algorithm) || algorithm != key->algorithm)
        return false;
    if (key->pair == NULL) {
        size_t len = mac_of(key, jwt->signed_part, bytes);
        return jwt->signature.len == len && constant_time_equal(jwt->signature.ptr, bytes, len);
    }
    const unsigned char *signature = (const unsigned char *)jwt->signature.ptr;
    size_t len = jwt->signature.len;
    if (key->algorithm == JWT_ES256) {
        len = ec_signature_to_der(jwt->signature, bytes);
        signature = bytes;
    }
    const EVP_MD *digest =
        algorithms[key->algorithm].digest == NULL ? NULL : algorithms[key->algorithm].digest();
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    must(context != NULL);
    bool ok = len > 0 && EVP_DigestVerifyInit(context, NULL, digest, NULL, key->pair) == 1 &&
              EVP_DigestVerify(context, signature, len, (const unsigned char *)jwt->signed_part.ptr,
                               jwt->signed_part.len) == 1;
    EVP_MD_CTX_free(context);
    ERR_clear_error();
    return ok;
}
