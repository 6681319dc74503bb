/* hash - OpenSSL's digests with their contexts used again, CRC32C, XXH3. */
#include "codec/hash.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <pthread.h>
#include <string.h>
#include <xxhash.h>

/* Looking an algorithm up by name costs more than hashing an event, so it is done once for the
 * process; what is found is constant and may be used by all threads. */
static pthread_once_t fetched = PTHREAD_ONCE_INIT;
static EVP_MD *sha256_md;
static EVP_MAC *hmac_mac;

static void
fetch(void)
{
    sha256_md = EVP_MD_fetch(NULL, "SHA256", NULL);
    hmac_mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    must(sha256_md != NULL && hmac_mac != NULL);
}

struct sha256 {
    EVP_MD_CTX *context;
};

struct sha256 *
sha256_new(void)
{
    must(pthread_once(&fetched, fetch) == 0);
    struct sha256 *sha = base_alloc(1, sizeof *sha);
    sha->context = EVP_MD_CTX_new();
    must(sha->context != NULL);
    must(EVP_DigestInit_ex2(sha->context, sha256_md, NULL) == 1);
    return sha;
}

void
sha256_free(struct sha256 *sha)
{
    if (sha == NULL)
        return;
    EVP_MD_CTX_free(sha->context);
    base_free(sha);
}

void
sha256_begin(struct sha256 *sha)
{
    /* Without an algorithm the context keeps the one it has, which is much faster. */
    must(EVP_DigestInit_ex2(sha->context, NULL, NULL) == 1);
}

void
sha256_add(struct sha256 *sha, const void *bytes, size_t len)
{
    must(EVP_DigestUpdate(sha->context, bytes, len) == 1);
}

void
sha256_end(struct sha256 *sha, unsigned char out[static SHA256_SIZE])
{
    must(EVP_DigestFinal_ex(sha->context, out, NULL) == 1);
}

void
sha256_once(struct str bytes, unsigned char out[static SHA256_SIZE])
{
    must(pthread_once(&fetched, fetch) == 0);
    must(EVP_Digest(bytes.ptr, bytes.len, out, NULL, sha256_md, NULL) == 1);
}

void
hmac_sha256(struct str key, struct str message, unsigned char out[static SHA256_SIZE])
{
    must(pthread_once(&fetched, fetch) == 0);
    char digest[] = "SHA256";
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    /* A NULL key would mean: the one set before. */
    const unsigned char *secret = (const unsigned char *)(key.ptr == NULL ? "" : key.ptr);
    EVP_MAC_CTX *context = EVP_MAC_CTX_new(hmac_mac);
    must(context != NULL);
    must(EVP_MAC_init(context, secret, key.len, params) == 1);
    must(EVP_MAC_update(context, (const unsigned char *)message.ptr, message.len) == 1);
    size_t len = 0;
    must(EVP_MAC_final(context, out, &len, SHA256_SIZE) == 1 && len == SHA256_SIZE);
    EVP_MAC_CTX_free(context);
}

bool
constant_time_equal(const void *a, const void *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}

uint64_t
hash64(uint64_t seed, const void *bytes, size_t len)
{
    return XXH3_64bits_withSeed(bytes, len, seed);
}

/* -- CRC32C --------------------------------------------------------------------------- */

uint32_t
crc32c_by_table(uint32_t so_far, const void *bytes, size_t len)
{
    /* Half a byte at a time: 0x82F63B78, the polynomial reflected, shifted 0 to 4 times. */
    static const uint32_t table[16] = {
        0x00000000, 0x105EC76F, 0x20BD8EDE, 0x30E349B1, 0x417B1DBC, 0x5125DAD3,
        0x61C69362, 0x7198540D, 0x82F63B78, 0x92A8FC17, 0xA24BB5A6, 0xB21572C9,
        0xC38D26C4, 0xD3D3E1AB, 0xE330A81A, 0xF36E6F75,
    };
    const unsigned char *at = bytes;
    uint32_t crc = ~so_far;
    for (size_t i = 0; i < len; i++) {
        crc ^= at[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

#if defined(__x86_64__)
#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t
crc32c_by_machine(uint32_t so_far, const void *bytes, size_t len)
{
    const unsigned char *at = bytes;
    uint64_t crc = ~so_far;
    for (; len >= 8; at += 8, len -= 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        crc = _mm_crc32_u64(crc, word);
    }
    uint32_t rest = (uint32_t)crc;
    for (; len > 0; at++, len--)
        rest = _mm_crc32_u8(rest, *at);
    return ~rest;
}

uint32_t
crc32c(uint32_t so_far, const void *bytes, size_t len)
{
    if (__builtin_cpu_supports("sse4.2"))
        return crc32c_by_machine(so_far, bytes, len);
    return crc32c_by_table(so_far, bytes, len);
}
#else
uint32_t
crc32c(uint32_t so_far, const void *bytes, size_t len)
{
    return crc32c_by_table(so_far, bytes, len);
}
#endif
