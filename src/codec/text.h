/* text - bytes and their written forms: hex, base64, UTF-8, globs, UUIDs. */
#ifndef CODEC_TEXT_H
#define CODEC_TEXT_H

#include "base/base.h"
#include "base/system.h"

/* Lowercase; writes 2 * len characters, no terminator. */
void hex_encode(const void *bytes, size_t len, char *out);
/* Either case; text.len must be 2 * len, else false. */
bool hex_decode(struct str text, void *out, size_t len) MUST_USE;

/* RFC 4648. `url`: the URL-safe alphabet, without padding. */
void base64_encode(struct buffer *out, struct str bytes, bool url);
/* Strict; with `url`, no padding is expected. False leaves `out` as it was. */
bool base64_decode(struct buffer *out, struct str text, bool url) MUST_USE;

bool utf8_valid(struct str text);
size_t utf8_valid_len(struct str text); /* how far it is valid: up to the first wrong character */
struct str utf8_cut(struct str text, size_t len_max); /* at most so many bytes, whole characters */
/* True if `text` holds `part`, ASCII letters (and what simple folding of U+0080..U+024F, Greek and
 * Cyrillic covers) compared without case. An empty part is held by everything. */
bool text_contains_nocase(struct str text, struct str part);

/* Only `*` is special: any run of bytes, empty too. The whole text must match. Linear in practice:
 * at most pattern.len * text.len steps. */
bool glob_match(struct str pattern, struct str text);
bool glob_match_nocase(struct str pattern, struct str text); /* ASCII case */

/* A mail address as it may stand in an envelope and a header without quoting (RFC 5321): a local
 * part of atoms and dots, 1 to 64 bytes, and a domain of letters, digits and hyphens; ASCII, at
 * most MAIL_ADDRESS_MAX bytes. So no space, no bracket, no line break. */
#define MAIL_ADDRESS_MAX 254
bool mail_address_valid(struct str text);

/* RFC 9562. Formatted: 36 lowercase characters. */
#define UUID_TEXT_SIZE 36
struct uuid {
    unsigned char bytes[16];
};
struct uuid uuid_v4(struct random random);
struct uuid uuid_v7(struct random random, int64_t time_us);
struct uuid uuid_v8(const unsigned char bytes[static 16]); /* sets version and variant bits */
void uuid_format(const struct uuid *uuid, char out[static UUID_TEXT_SIZE]);
bool uuid_parse(struct str text, struct uuid *uuid_out) MUST_USE;

#endif
