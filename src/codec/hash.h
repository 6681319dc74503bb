/* hash - SHA-256 and HMAC-SHA256 (OpenSSL), CRC32C, XXH3. */
#ifndef CODEC_HASH_H
#define CODEC_HASH_H

#include "base/base.h"

#define SHA256_SIZE 32

/* A context is kept by a thread and used again. */
struct sha256;
struct sha256 *sha256_new(void);
void sha256_free(struct sha256 *sha);
void sha256_begin(struct sha256 *sha);
void sha256_add(struct sha256 *sha, const void *bytes, size_t len);
void sha256_end(struct sha256 *sha, unsigned char out[static SHA256_SIZE]);
void sha256_once(struct str bytes, unsigned char out[static SHA256_SIZE]); /* with one of its own */

void hmac_sha256(struct str key, struct str message, unsigned char out[static SHA256_SIZE]);
bool constant_time_equal(const void *a, const void *b, size_t len);

uint32_t crc32c(uint32_t so_far, const void *bytes, size_t len); /* Castagnoli; begin with 0 */
/* The same for any machine, slowly: what crc32c falls back on. */
uint32_t crc32c_by_table(uint32_t so_far, const void *bytes, size_t len);
uint64_t hash64(uint64_t seed, const void *bytes, size_t len); /* XXH3 */

#endif
