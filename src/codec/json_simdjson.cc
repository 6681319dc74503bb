/* json_simdjson - the one C++ file: simdjson's parser and C++17's shortest
 * digits, behind the C face of json_priv.h. */
#include "codec/json_priv.h"

#include <charconv>
#include <new>

#define SIMDJSON_EXCEPTIONS 0
#include <simdjson.h>

static_assert(SIMD_PADDING >= simdjson::SIMDJSON_PADDING, "json_parse.c pads too little");

struct simd {
    simdjson::dom::parser parser;
};

struct simd *
simd_new(size_t capacity, size_t depth_max)
{
    struct simd *simd = new (std::nothrow) struct simd;
    if (simd == nullptr)
        return nullptr;
    /* parse() would allocate by itself, but for a depth of its own choice. */
    if (simd->parser.allocate(capacity, depth_max) != simdjson::SUCCESS ||
        simd->parser.doc.allocate(capacity) != simdjson::SUCCESS) {
        delete simd;
        return nullptr;
    }
    return simd;
}

void
simd_free(struct simd *simd)
{
    delete simd;
}

static enum simd_answer
answer_of(simdjson::error_code error)
{
    switch (error) {
    case simdjson::SUCCESS:
        return SIMD_OK;
    case simdjson::NUMBER_ERROR:
        return SIMD_NUMBER;
    case simdjson::DEPTH_ERROR:
        return SIMD_DEPTH;
    case simdjson::UTF8_ERROR:
        return SIMD_UTF8;
    case simdjson::STRING_ERROR:
    case simdjson::UNESCAPED_CHARS:
        return SIMD_STRING;
    case simdjson::UNCLOSED_STRING:
        return SIMD_CUT_SHORT;
    case simdjson::EMPTY:
        return SIMD_EMPTY;
    default:
        return SIMD_SYNTAX;
    }
}

enum simd_answer
simd_parse(struct simd *simd, const char *padded, size_t len, struct simd_tape *tape_out)
{
    simdjson::error_code error = simd->parser.parse(padded, len, false).error();
    if (error == simdjson::SUCCESS) {
        tape_out->words = simd->parser.doc.tape.get();
        tape_out->strings = simd->parser.doc.string_buf.get();
    }
    return answer_of(error);
}

size_t
simd_shortest(double number, char *out, size_t size)
{
    return static_cast<size_t>(
        std::to_chars(out, out + size, number, std::chars_format::scientific).ptr - out);
}
