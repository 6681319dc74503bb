#include "codec/hash.h"
#include "codec/text.h"
#include "tap.h"

static void
check_hex(const unsigned char *bytes, const char *want)
{
    char text[2 * SHA256_SIZE];
    hex_encode(bytes, SHA256_SIZE, text);
    CHECK_STR(((struct str){text, sizeof text}), str_from(want));
}

/* FIPS 180-4's examples. */
static void
test_sha256_published_vectors(void)
{
    static const struct {
        struct str text;
        const char *hash;
    } rows[] = {
        {STR_INIT(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {STR_INIT("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {STR_INIT("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    struct sha256 *sha = sha256_new();
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        unsigned char hash[SHA256_SIZE];
        sha256_once(rows[i].text, hash);
        check_hex(hash, rows[i].hash);
        /* The same context again and again, byte by byte. */
        sha256_begin(sha);
        for (size_t at = 0; at < rows[i].text.len; at++)
            sha256_add(sha, rows[i].text.ptr + at, 1);
        sha256_end(sha, hash);
        check_hex(hash, rows[i].hash);
    }
    sha256_free(sha);
}

/* RFC 4231, cases 1, 2 and 6. */
static void
test_hmac_published_vectors(void)
{
    unsigned char hash[SHA256_SIZE];
    hmac_sha256(
        STR("\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b"),
        STR("Hi There"), hash);
    check_hex(hash, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    hmac_sha256(STR("Jefe"), STR("what do ya want for nothing?"), hash);
    check_hex(hash, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    char key[131];
    memset(key, 0xaa, sizeof key);
    hmac_sha256((struct str){key, sizeof key},
                STR("Test Using Larger Than Block-Size Key - Hash Key First"), hash);
    check_hex(hash, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    /* By Python's hmac: an empty key and an empty message. */
    hmac_sha256((struct str){0}, (struct str){0}, hash);
    check_hex(hash, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

/* RFC 3720, B.4, and the check value of the CRC catalogues. */
static void
test_crc32c_published_vectors_by_machine_and_by_table(void)
{
    unsigned char bytes[32] = {0};
    uint32_t (*const ways[])(uint32_t, const void *, size_t) = {crc32c, crc32c_by_table};
    for (size_t way = 0; way < COUNT_OF(ways); way++) {
        memset(bytes, 0, sizeof bytes);
        CHECK_INT(ways[way](0, bytes, 32), 0x8A9136AA);
        memset(bytes, 0xFF, sizeof bytes);
        CHECK_INT(ways[way](0, bytes, 32), 0x62A8AB43);
        for (size_t i = 0; i < 32; i++)
            bytes[i] = (unsigned char)i;
        CHECK_INT(ways[way](0, bytes, 32), 0x46DD794E);
        CHECK_INT(ways[way](0, "123456789", 9), 0xE3069283);
        CHECK_INT(ways[way](ways[way](0, "1234", 4), "56789", 5), 0xE3069283);
        CHECK_INT(ways[way](0, bytes, 0), 0);
    }
}

static void
test_hash64_depends_on_seed_and_bytes(void)
{
    CHECK(hash64(0, "abc", 3) == 0x78AF5F94892F3950);
    CHECK(hash64(1, "abc", 3) != hash64(0, "abc", 3));
    CHECK(hash64(0, "abd", 3) != hash64(0, "abc", 3));
}

static void
test_constant_time_equal_is_equal(void)
{
    CHECK(constant_time_equal("abcd", "abcd", 4));
    CHECK(!constant_time_equal("abcd", "abce", 4));
    CHECK(constant_time_equal("abcd", "abce", 3));
    CHECK(constant_time_equal("", "", 0));
}

int
main(void)
{
    RUN(test_sha256_published_vectors);
    RUN(test_hmac_published_vectors);
    RUN(test_crc32c_published_vectors_by_machine_and_by_table);
    RUN(test_hash64_depends_on_seed_and_bytes);
    RUN(test_constant_time_equal_is_equal);
    return tap_done();
}
