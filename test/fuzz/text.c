/* The first byte says how much of the rest is a pattern; the remainder is a text. */
#include "codec/text.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_base64(struct str text, bool url)
{
    struct buffer bytes, again;
    buffer_init(&bytes, 4 << 20);
    buffer_init(&again, 4 << 20);
    if (base64_decode(&bytes, text, url)) {
        base64_encode(&again, buffer_str(&bytes), url);
        must(str_equal(buffer_str(&again), text));
    }
    buffer_fini(&bytes);
    buffer_fini(&again);
}

static void
check_hex(struct str text)
{
    unsigned char bytes[64];
    char again[128];
    size_t len = text.len / 2;
    if (len > sizeof bytes || !hex_decode(text, bytes, len))
        return;
    hex_encode(bytes, len, again);
    must(glob_match_nocase((struct str){again, 2 * len}, text));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    size_t split = data[0] < size - 1 ? data[0] : size - 1;
    struct str pattern = {(const char *)data + 1, split};
    struct str text = {(const char *)data + 1 + split, size - 1 - split};
    must(!glob_match(pattern, text) || glob_match_nocase(pattern, text));
    if (memchr(pattern.ptr, '*', pattern.len) == NULL)
        must(glob_match(pattern, text) == str_equal(pattern, text));
    must(text_contains_nocase(text, text) && text_contains_nocase(text, STR("")));
    if (text_contains_nocase(text, pattern) && text.len < 4096)
        must(text_contains_nocase(text, utf8_cut(pattern, pattern.len / 2)) ||
             !utf8_valid(pattern));
    for (size_t max = 0; max <= text.len && max < 70; max++)
        must(utf8_cut(text, max).len <= max &&
             (!utf8_valid(text) || utf8_valid(utf8_cut(text, max))));
    must(utf8_valid_len(text) <= text.len);
    check_base64(text, false);
    check_base64(text, true);
    check_hex(text);
    struct uuid uuid;
    if (uuid_parse(text, &uuid)) {
        char again[UUID_TEXT_SIZE];
        uuid_format(&uuid, again);
        must(glob_match_nocase((struct str){again, sizeof again}, text));
    }
    return 0;
}
