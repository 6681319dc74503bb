/* json - JSON in (RFC 8259, strict, by simdjson) and out, and the canonical
 * form of RFC 8785. */
#ifndef CODEC_JSON_H
#define CODEC_JSON_H

#include "base/base.h"

#define JSON_DEPTH_MAX   64               /* deeper text is ERR_INPUT */
#define JSON_SAFE_INT    9007199254740991 /* 2^53 - 1 */
#define JSON_NUMBER_SIZE 32               /* room for any number in ECMAScript form */

enum json_type {
    JSON_ABSENT, /* what json_get gives for a name that is not there */
    JSON_NULL,
    JSON_BOOL,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT,
};

/* A value, with all below it in the arena it was parsed into. */
struct json {
    enum json_type type;
    uint32_t count;    /* of items or members */
    bool is_integer;   /* written without fraction and exponent, and fits int64_t */
    bool out_of_range; /* a number that no double holds, or an integer beyond ±JSON_SAFE_INT */
    union {
        bool truth;
        struct {
            double number;
            int64_t integer; /* when is_integer */
        };
        struct str text;
        const struct json *items;
        const struct json_member *members; /* in the order sent; a name may occur twice */
    };
};

struct json_member {
    struct str name;
    struct json value;
};

/* A parser is kept by a thread and used again: 1 MiB of its own memory; larger
 * texts get more for the call. */
struct json_parser;
struct json_parser *json_parser_new(void);
void json_parser_free(struct json_parser *parser);

/* Parses one text, all of it. ERR_INPUT: not JSON, not UTF-8, or deeper than JSON_DEPTH_MAX (the
 * sentence says what, and where if known). ERR_LIMIT: the arena is too small. A number that is
 * too large is not an error here: `out_of_range` marks it, so that the reader can name it. */
bool json_parse(struct json_parser *parser, struct str text, struct arena *arena,
                struct json *json_out, struct err *err) MUST_USE;

/* -- reading ------------------------------------------------------------ */

/* The member of that name (the first); JSON_ABSENT when there is none or `object` is no object. */
const struct json *json_get(const struct json *object, struct str name);
/* The first name that occurs twice in this object (not below it), or an absent str. */
struct str json_duplicate(const struct json *object);
/* How deep it nests: 1 for a scalar, or for an empty object; 2 for an object of scalars. */
size_t json_depth(const struct json *json);
struct json json_of_str(struct str text); /* JSON_ABSENT when absent */
struct json json_of_double(double number);
struct json json_of_int(int64_t number);
struct json json_of_bool(bool truth);

/* -- writing ------------------------------------------------------------ */

/* Numbers in the form of ECMAScript's Number::toString (RFC 8785, 3.2.2.3), the shortest that
 * reads back; strings with the escapes of RFC 8785, 3.2.2.2. */
size_t json_format_number(double number, char out[static JSON_NUMBER_SIZE]);
void json_write_string(struct buffer *out, struct str text); /* UTF-8, as it is not checked here */
void json_write_integer(struct buffer *out, int64_t number);
void json_write(struct buffer *out, const struct json *json); /* members as they come, compact */

/* RFC 8785: names sorted by UTF-16 units. Exact integers are written as their digits. The value
 * must hold no duplicate names (must()). `arena` is for the sorting. */
void json_write_canonical(struct buffer *out, const struct json *json, struct arena *arena);

/* A small writer of structures. Commas are put by looking at the last byte of `out`: a value or a
 * name that follows anything but `{ [ :` (or an empty buffer, or a newline) gets one. */
void json_open(struct buffer *out, char bracket);  /* '{' or '[' */
void json_close(struct buffer *out, char bracket); /* '}' or ']' */
void json_name(struct buffer *out, const char *name);
void json_str(struct buffer *out, struct str text); /* absent: null */
void json_int(struct buffer *out, int64_t number);
void json_double(struct buffer *out, double number);
void json_bool(struct buffer *out, bool truth);
void json_null(struct buffer *out);
void json_raw(struct buffer *out, struct str json_text); /* as it is; absent: null */
void json_time(struct buffer *out, int64_t time_us);     /* an RFC 3339 string */

/* name and value in one */
void json_put_str(struct buffer *out, const char *name, struct str text);
void json_put_int(struct buffer *out, const char *name, int64_t number);
void json_put_double(struct buffer *out, const char *name, double number);
void json_put_bool(struct buffer *out, const char *name, bool truth);
void json_put_null(struct buffer *out, const char *name);
void json_put_raw(struct buffer *out, const char *name, struct str json_text);
void json_put_time(struct buffer *out, const char *name, int64_t time_us);

#endif
