/* json_priv - what json_simdjson.cc, the one C++ file, does for json_parse.c
 * and json_number.c. Plain C types only: both languages read this.
 *
 * THE TAPE (simdjson, doc/tape.md). A run of 64-bit words: a type character in
 * the top byte, a payload in the rest. A root word comes first. Strings point
 * into `strings`: 4 bytes of length (native order), the bytes, a NUL. Integers
 * and doubles take a second word with the bits. An opening bracket holds the
 * index behind its closing one (32 bits) and its count of items or members
 * (24 bits, saturated). */
#ifndef CODEC_JSON_PRIV_H
#define CODEC_JSON_PRIV_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How many readable bytes must follow the text. */
#define SIMD_PADDING 64

enum simd_answer {
    SIMD_OK,
    SIMD_NUMBER, /* a number is malformed, or too large */
    SIMD_DEPTH,
    SIMD_UTF8,
    SIMD_STRING,
    SIMD_CUT_SHORT,
    SIMD_EMPTY,
    SIMD_SYNTAX,
};

struct simd_tape {
    const uint64_t *words;
    const unsigned char *strings;
};

struct simd;
struct simd *simd_new(size_t capacity, size_t depth_max); /* NULL: no memory */
void simd_free(struct simd *simd);
/* The tape is good until the next call. */
enum simd_answer simd_parse(struct simd *simd, const char *padded, size_t len,
                            struct simd_tape *tape_out);

/* The shortest digits that read back as this finite number, as "d.ddde-xx"; returns the length. */
size_t simd_shortest(double number, char *out, size_t size);

#ifdef __cplusplus
}
#endif

#endif
