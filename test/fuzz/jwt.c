/* Tokens and keys that somebody else wrote. The first byte says which: 'k' a key in any algorithm's
 * form, anything else a token.
 *
 * Whatever a token says, it is believed only if the key's own algorithm stands in its header, and
 * no longer once a byte of it is another. */
#include "codec/jwt.h"
#include "codec/text.h"

#define SECRET "a secret that both sides know"

enum { MUTATIONS = 16 };

static bool
is_believed(struct str token, const struct jwt_key *key, struct str algorithm)
{
    static struct json_parser *parser; /* kept by the thread, as everywhere */
    if (parser == NULL)
        parser = json_parser_new();
    struct arena arena;
    struct jwt jwt;
    struct err err = {0};
    arena_init(&arena, 4096, 4 << 20);
    bool opened = jwt_open(token, parser, &arena, &jwt, &err);
    bool believed = opened && jwt_verify(key, &jwt);
    must(!opened || jwt.payload.type == JSON_OBJECT);
    must(!believed || str_equal(jwt.algorithm, algorithm));
    must(opened || err.code == ERR_INPUT || err.code == ERR_LIMIT);
    arena_fini(&arena);
    return believed;
}

static void
try_token(struct str token, enum jwt_algorithm algorithm, struct str name)
{
    struct jwt_key *key = NULL;
    struct err err = {0};
    must(jwt_key_read(algorithm, STR(SECRET), &key, &err));
    if (is_believed(token, key, name)) {
        char copy[4096];
        for (size_t i = 0; i < MUTATIONS && token.len > 0 && token.len <= sizeof copy; i++) {
            memcpy(copy, token.ptr, token.len);
            copy[(token.len - 1) * i / (MUTATIONS - 1)] ^= 1;
            must(!is_believed((struct str){copy, token.len}, key, name));
        }
    }
    jwt_key_free(key);
}

static void
try_key(struct str text)
{
    for (int i = JWT_HS256; i <= JWT_ED25519; i++) {
        enum jwt_algorithm algorithm = (enum jwt_algorithm)i;
        struct jwt_key *key = NULL;
        struct err err = {0};
        struct buffer out;
        if (!jwt_key_read(algorithm, text, &key, &err)) {
            must(err.code == ERR_INPUT);
            continue;
        }
        buffer_init(&out, 65536);
        if (!jwt_is_shared(algorithm)) {
            must(jwt_key_kid(key).len == JWT_KID_SIZE);
            jwt_key_write_public(&out, key);
            must(!out.ran_out && out.len > 0);
        }
        buffer_fini(&out);
        jwt_key_free(key);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    if (len == 0)
        return 0;
    struct str rest = {(const char *)bytes + 1, len - 1};
    if (bytes[0] == 'k') {
        try_key(rest);
        return 0;
    }
    try_token(rest, JWT_HS256, STR("HS256"));
    try_token(rest, JWT_HS512, STR("HS512"));
    return 0;
}
