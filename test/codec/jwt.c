/* Tokens: the published vectors, and that a token counts only under the key that it is for. */
#include "codec/jwt.h"

#include <stdio.h>
#include <string.h>

#include "tap.h"

#include "codec/text.h"

struct bench {
    struct arena arena;
    struct json_parser *parser;
    struct buffer out;
    struct err err;
};

static void
init(struct bench *bench)
{
    *bench = (struct bench){.parser = json_parser_new()};
    arena_init(&bench->arena, 65536, 1 << 20);
    buffer_init(&bench->out, 65536);
}

static void
fini(struct bench *bench)
{
    buffer_fini(&bench->out);
    arena_fini(&bench->arena);
    json_parser_free(bench->parser);
}

static bool
is_good(struct bench *bench, const struct jwt_key *key, struct str token)
{
    struct jwt jwt;
    return jwt_open(token, bench->parser, &bench->arena, &jwt, &bench->err) &&
           jwt_verify(key, &jwt);
}

/* RFC 7515, appendix A.1: an HMAC key of 64 bytes. */
#define A1_KEY                                                                                     \
    "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"
#define A1_TOKEN                                                                                   \
    "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."                                                    \
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVl" \
    "fQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"

static void
test_the_hmac_vector_of_rfc_7515_holds(void)
{
    struct bench bench;
    struct jwt_key *key = NULL;
    struct buffer secret;
    init(&bench);
    buffer_init(&secret, 256);
    CHECK(base64_decode(&secret, STR(A1_KEY), true));
    CHECK(jwt_key_read(JWT_HS256, buffer_str(&secret), &key, &bench.err));
    CHECK(is_good(&bench, key, STR(A1_TOKEN)));

    char broken[] = A1_TOKEN;
    broken[60] ^= 1; /* of the payload */
    CHECK(!is_good(&bench, key, (struct str){broken, sizeof broken - 1}));
    jwt_key_free(key);
    buffer_fini(&secret);
    fini(&bench);
}

/* RFC 8037, appendix A: the public key in PEM form, and its thumbprint. */
static void
test_the_ed25519_vector_of_rfc_8037_holds(void)
{
    struct bench bench;
    struct jwt_key *key = NULL;
    init(&bench);
    struct str pem = STR("-----BEGIN PUBLIC KEY-----\n"
                         "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n"
                         "-----END PUBLIC KEY-----\n");
    if (CHECK(jwt_key_read(JWT_ED25519, pem, &key, &bench.err))) {
        CHECK(str_equal(jwt_key_kid(key), STR("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k")));
        struct buffer signature;
        buffer_init(&signature, 256);
        CHECK(base64_decode(&signature,
                            STR("hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5B"
                                "hVsPt9g7sVvpAr_MuM0KAg"),
                            true));
        struct jwt jwt = {.algorithm = STR("EdDSA"),
                          .signed_part =
                              STR("eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"),
                          .signature = buffer_str(&signature)};
        CHECK(jwt_verify(key, &jwt));
        jwt.signature.len--;
        CHECK(!jwt_verify(key, &jwt));
        buffer_fini(&signature);
    }
    jwt_key_free(key);
    fini(&bench);
}

static struct jwt_key *
made(struct bench *bench, enum jwt_algorithm algorithm)
{
    struct jwt_key *key = NULL;
    struct buffer pem;
    buffer_init(&pem, 16384);
    if (jwt_is_shared(algorithm))
        buffer_add(&pem, STR("a secret of many bytes"));
    else
        jwt_key_make(algorithm, &pem);
    must(jwt_key_read(algorithm, buffer_str(&pem), &key, &bench->err));
    buffer_fini(&pem);
    return key;
}

static void
test_what_a_key_signs_it_verifies_and_no_other_does(void)
{
    enum { COUNT = JWT_ED25519 + 1 };
    struct bench bench;
    struct jwt_key *keys[COUNT];
    init(&bench);
    for (int i = 0; i < COUNT; i++)
        keys[i] = made(&bench, (enum jwt_algorithm)i);
    for (int i = 0; i < COUNT; i++) {
        buffer_clear(&bench.out);
        jwt_sign(&bench.out, keys[i], STR("{\"request_body_sha256\":\"x\"}"));
        for (int j = 0; j < COUNT; j++)
            if (!CHECK(is_good(&bench, keys[j], buffer_str(&bench.out)) == (i == j)))
                printf("# signed by %d, verified by %d\n", i, j);
        bench.out.ptr[bench.out.len - 10] ^= 4;
        CHECK(!is_good(&bench, keys[i], buffer_str(&bench.out)));
    }
    for (int i = 0; i < COUNT; i++)
        jwt_key_free(keys[i]);
    fini(&bench);
}

/* The oldest attack on JWT: a token signed with the text of the public key as an HMAC secret. */
static void
test_the_algorithm_is_the_keys_not_the_tokens(void)
{
    struct bench bench;
    struct jwt_key *pair, *shared = NULL;
    struct buffer pem;
    init(&bench);
    buffer_init(&pem, 16384);
    jwt_key_make(JWT_ES256, &pem);
    CHECK(jwt_key_read(JWT_ES256, buffer_str(&pem), &pair, &bench.err));
    CHECK(jwt_key_read(JWT_HS256, buffer_str(&pem), &shared, &bench.err));
    jwt_sign(&bench.out, shared, STR("{}"));
    CHECK(is_good(&bench, shared, buffer_str(&bench.out)));
    CHECK(!is_good(&bench, pair, buffer_str(&bench.out)));
    /* {"alg":"none"} */
    CHECK(!is_good(&bench, pair, STR("eyJhbGciOiJub25lIn0.e30.e30")));
    jwt_key_free(shared);
    jwt_key_free(pair);
    buffer_fini(&pem);
    fini(&bench);
}

static void
test_a_key_of_another_kind_is_refused(void)
{
    struct bench bench;
    struct jwt_key *key = NULL;
    struct buffer pem;
    init(&bench);
    buffer_init(&pem, 16384);
    jwt_key_make(JWT_ES256, &pem);
    CHECK(!jwt_key_read(JWT_RS256, buffer_str(&pem), &key, &bench.err));
    CHECK(!jwt_key_read(JWT_ED25519, buffer_str(&pem), &key, &bench.err));
    CHECK(!jwt_key_read(JWT_ES256, STR("no PEM at all"), &key, &bench.err));
    CHECK(!jwt_key_read(JWT_HS256, STR(""), &key, &bench.err));
    buffer_fini(&pem);
    fini(&bench);
}

static void
test_what_is_no_token_is_refused(void)
{
    static const char *const texts[] = {
        "",
        ".",
        "..",
        "a.b",
        "e30.e30.e30",
        "eyJhbGciOiJIUzI1NiJ9.e30.",
        "!.e30.e30",
        "eyJhbGciOiJIUzI1NiJ9.e30.e30.e30",
        "eyJhbGciOiJIUzI1NiJ9.W10.e30",
        /* {"alg":"HS256","crit":["x"]} */
        "eyJhbGciOiJIUzI1NiIsImNyaXQiOlsieCJdfQ.e30.e30",
    };
    struct bench bench;
    init(&bench);
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct jwt jwt;
        if (!CHECK(!jwt_open(str_from(texts[i]), bench.parser, &bench.arena, &jwt, &bench.err)))
            printf("# %s\n", texts[i]);
    }
    fini(&bench);
}

int
main(void)
{
    RUN(test_the_hmac_vector_of_rfc_7515_holds);
    RUN(test_the_ed25519_vector_of_rfc_8037_holds);
    RUN(test_what_a_key_signs_it_verifies_and_no_other_does);
    RUN(test_the_algorithm_is_the_keys_not_the_tokens);
    RUN(test_a_key_of_another_kind_is_refused);
    RUN(test_what_is_no_token_is_refused);
    return tap_done();
}
