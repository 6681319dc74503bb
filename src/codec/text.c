/* text - hex, base64, UTF-8, globs and UUIDs. */
#include "codec/text.h"

#include <endian.h>
#include <string.h>

/* -- hex ------------------------------------------------------------------------- */

/* Four bytes at once: each half byte gets a byte of its own, in order, and then the distance to
 * its digit. */
static uint64_t
eight_digits(const unsigned char *at)
{
    uint64_t four =
        (uint64_t)at[0] | (uint64_t)at[1] << 16 | (uint64_t)at[2] << 32 | (uint64_t)at[3] << 48;
    uint64_t halves = (four >> 4 & 0x000F000F000F000F) | (four & 0x000F000F000F000F) << 8;
    uint64_t letters = (halves + 0x0606060606060606) >> 4 & 0x0101010101010101;
    return halves + 0x3030303030303030 + letters * ('a' - '0' - 10);
}

void
hex_encode(const void *bytes, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *at = bytes;
    size_t i = 0;
    for (; len - i >= 4; i += 4) {
        uint64_t eight = htole64(eight_digits(at + i));
        memcpy(out + 2 * i, &eight, sizeof eight);
    }
    for (; i < len; i++) {
        out[2 * i] = digits[at[i] >> 4];
        out[2 * i + 1] = digits[at[i] & 15];
    }
}

static int
hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool
hex_decode(struct str text, void *out, size_t len)
{
    if (text.len != 2 * len)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (hex_value(text.ptr[i]) < 0)
            return false;
    unsigned char *bytes = out;
    for (size_t i = 0; i < len; i++)
        bytes[i] =
            (unsigned char)(hex_value(text.ptr[2 * i]) << 4 | hex_value(text.ptr[2 * i + 1]));
    return true;
}

/* -- base64 ---------------------------------------------------------------------- */

void
base64_encode(struct buffer *out, struct str bytes, bool url)
{
    const char *digits = url ? "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
                             : "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *in = (const unsigned char *)bytes.ptr;
    size_t i = 0;
    for (; bytes.len - i >= 3; i += 3) {
        unsigned group = (unsigned)in[i] << 16 | (unsigned)in[i + 1] << 8 | in[i + 2];
        char four[4] = {digits[group >> 18], digits[group >> 12 & 63], digits[group >> 6 & 63],
                        digits[group & 63]};
        buffer_add_bytes(out, four, 4);
    }
    size_t rest = bytes.len - i;
    if (rest == 0)
        return;
    unsigned group = (unsigned)in[i] << 16 | (rest == 2 ? (unsigned)in[i + 1] << 8 : 0);
    char four[4] = {digits[group >> 18], digits[group >> 12 & 63],
                    rest == 2 ? digits[group >> 6 & 63] : '=', '='};
    buffer_add_bytes(out, four, url ? rest + 1 : 4);
}

static int
base64_value(char c, bool url)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == (url ? '-' : '+'))
        return 62;
    if (c == (url ? '_' : '/'))
        return 63;
    return -1;
}

/* Without padding. Strict: the bits that the last digit does not need must be 0, so that no two
 * texts mean the same bytes. */
static bool
decode_digits(char *out, struct str text, bool url)
{
    unsigned group = 0;
    size_t made = 0;
    for (size_t i = 0; i < text.len; i++) {
        int value = base64_value(text.ptr[i], url);
        if (value < 0)
            return false;
        group = group << 6 | (unsigned)value;
        if (i % 4 != 0)
            out[made++] = (char)(group >> (6 - 2 * (i % 4)));
    }
    size_t spare_bits = text.len % 4 == 2 ? 4 : (text.len % 4 == 3 ? 2 : 0);
    return (group & ((1U << spare_bits) - 1)) == 0;
}

bool
base64_decode(struct buffer *out, struct str text, bool url)
{
    if (!url) {
        if (text.len % 4 != 0)
            return false;
        for (int i = 0; i < 2 && text.len > 0 && text.ptr[text.len - 1] == '='; i++)
            text.len--;
    }
    if (text.len % 4 == 1)
        return false;
    size_t len = text.len / 4 * 3 + (text.len % 4 == 0 ? 0 : text.len % 4 - 1);
    char *at = buffer_reserve(out, len);
    if (at == NULL || !decode_digits(at, text, url))
        return false;
    out->len += len;
    return true;
}

/* -- UTF-8 ------------------------------------------------------------------------- */

/* The length of the character at `at`, 0 when it is malformed (RFC 3629). */
static size_t
utf8_char_len(const unsigned char *at, size_t len)
{
    unsigned char lead = at[0];
    if (lead < 0x80)
        return 1;
    size_t need = lead >= 0xF0 ? 4 : (lead >= 0xE0 ? 3 : 2);
    if (lead < 0xC2 || lead > 0xF4 || len < need)
        return 0;
    for (size_t i = 1; i < need; i++)
        if ((at[i] & 0xC0) != 0x80)
            return 0;
    bool overlong = (lead == 0xE0 && at[1] < 0xA0) || (lead == 0xF0 && at[1] < 0x90);
    bool surrogate = lead == 0xED && at[1] >= 0xA0;
    bool beyond = lead == 0xF4 && at[1] >= 0x90;
    return overlong || surrogate || beyond ? 0 : need;
}

size_t
utf8_valid_len(struct str text)
{
    const unsigned char *bytes = (const unsigned char *)text.ptr;
    size_t at = 0;
    while (at < text.len) {
        uint64_t word;
        if (text.len - at >= sizeof word) {
            memcpy(&word, bytes + at, sizeof word);
            if ((word & 0x8080808080808080) == 0) {
                at += sizeof word;
                continue;
            }
        }
        size_t len = utf8_char_len(bytes + at, text.len - at);
        if (len == 0)
            break;
        at += len;
    }
    return at;
}

bool
utf8_valid(struct str text)
{
    return utf8_valid_len(text) == text.len;
}

struct str
utf8_cut(struct str text, size_t len_max)
{
    if (text.len <= len_max)
        return text;
    size_t len = len_max;
    while (len > 0 && ((unsigned char)text.ptr[len] & 0xC0) == 0x80)
        len--;
    return (struct str){text.ptr, len};
}

/* -- globs ------------------------------------------------------------------------- */

static char
lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* When a character does not match, only the latest star need take one more: what an earlier star
 * could take instead, the latest can as well. */
static bool
match(struct str pattern, struct str text, bool nocase)
{
    size_t p = 0, t = 0, after_star = SIZE_MAX, star_end = 0;
    while (t < text.len) {
        if (p < pattern.len && pattern.ptr[p] == '*') {
            after_star = ++p;
            star_end = t;
        } else if (p < pattern.len && (nocase ? lower(pattern.ptr[p]) == lower(text.ptr[t])
                                              : pattern.ptr[p] == text.ptr[t])) {
            p++;
            t++;
        } else if (after_star != SIZE_MAX) {
            p = after_star;
            t = ++star_end;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.ptr[p] == '*')
        p++;
    return p == pattern.len;
}

bool
glob_match(struct str pattern, struct str text)
{
    return match(pattern, text, false);
}

bool
glob_match_nocase(struct str pattern, struct str text)
{
    return match(pattern, text, true);
}

/* -- mail addresses ---------------------------------------------------------------- */

enum { LOCAL_PART_MAX = 64, DOMAIN_LABEL_MAX = 63 };

static bool
is_letter_or_digit(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool
is_atom(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (!is_letter_or_digit(c) && (c == '\0' || strchr("!#$%&'*+-/=?^_`{|}~", c) == NULL))
            return false;
    }
    return text.len > 0;
}

static bool
is_domain_label(struct str text)
{
    if (text.len == 0 || text.len > DOMAIN_LABEL_MAX || text.ptr[0] == '-' ||
        text.ptr[text.len - 1] == '-')
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (!is_letter_or_digit((unsigned char)text.ptr[i]) && text.ptr[i] != '-')
            return false;
    return true;
}

bool
mail_address_valid(struct str text)
{
    struct str domain = text, local = str_split(&domain, '@');
    if (text.len > MAIL_ADDRESS_MAX || domain.ptr == NULL || local.len > LOCAL_PART_MAX)
        return false;
    while (local.ptr != NULL)
        if (!is_atom(str_split(&local, '.')))
            return false;
    while (domain.ptr != NULL)
        if (!is_domain_label(str_split(&domain, '.')))
            return false;
    return true;
}

/* -- UUIDs (RFC 9562) --------------------------------------------------------------- */

static void
mark(struct uuid *uuid, unsigned version)
{
    uuid->bytes[6] = (unsigned char)((uuid->bytes[6] & 0x0F) | version << 4);
    uuid->bytes[8] = (unsigned char)((uuid->bytes[8] & 0x3F) | 0x80);
}

struct uuid
uuid_v4(struct random random)
{
    struct uuid uuid;
    random.fill(random.self, uuid.bytes, sizeof uuid.bytes);
    mark(&uuid, 4);
    return uuid;
}

struct uuid
uuid_v7(struct random random, int64_t time_us)
{
    struct uuid uuid;
    random.fill(random.self, uuid.bytes, sizeof uuid.bytes);
    uint64_t time_ms = (uint64_t)(time_us / 1000);
    for (int i = 0; i < 6; i++)
        uuid.bytes[i] = (unsigned char)(time_ms >> (40 - 8 * i));
    mark(&uuid, 7);
    return uuid;
}

struct uuid
uuid_v8(const unsigned char bytes[static 16])
{
    struct uuid uuid;
    memcpy(uuid.bytes, bytes, sizeof uuid.bytes);
    mark(&uuid, 8);
    return uuid;
}

/* The groups: how many bytes stand before each hyphen. */
static const size_t group_ends[] = {4, 6, 8, 10, 16};

void
uuid_format(const struct uuid *uuid, char out[static UUID_TEXT_SIZE])
{
    for (size_t i = 0, first = 0; i < COUNT_OF(group_ends); first = group_ends[i++]) {
        if (i > 0)
            *out++ = '-';
        hex_encode(uuid->bytes + first, group_ends[i] - first, out);
        out += 2 * (group_ends[i] - first);
    }
}

bool
uuid_parse(struct str text, struct uuid *uuid_out)
{
    if (text.len != UUID_TEXT_SIZE)
        return false;
    struct uuid uuid;
    const char *at = text.ptr;
    for (size_t i = 0, first = 0; i < COUNT_OF(group_ends); first = group_ends[i++]) {
        if (i > 0 && *at++ != '-')
            return false;
        size_t len = group_ends[i] - first;
        if (!hex_decode((struct str){at, 2 * len}, uuid.bytes + first, len))
            return false;
        at += 2 * len;
    }
    *uuid_out = uuid;
    return true;
}
