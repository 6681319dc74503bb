/* state - the bytes of a state: counts of seven bits a byte, times and doubles of eight,
 * little-endian, texts behind their length. What is read was written here: anything else is our
 * bug. */
#include "detect/detect_priv.h"

#include <string.h>

uint64_t
state_take_long_count(struct state_reader *reader)
{
    uint64_t count = 0;
    for (unsigned shift = 0;; shift += 7) {
        must(reader->at < reader->end && shift < 64);
        unsigned char byte = *reader->at++;
        count |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return count;
    }
}

static unsigned char *
reserve(struct state_writer *writer, size_t len)
{
    must(len <= writer->cap - writer->len);
    unsigned char *at = writer->bytes + writer->len;
    writer->len += len;
    return at;
}

void
state_put_count(struct state_writer *writer, uint64_t count)
{
    for (; count >= 0x80; count >>= 7)
        *reserve(writer, 1) = (unsigned char)(count | 0x80);
    *reserve(writer, 1) = (unsigned char)count;
}

static void
put_word(struct state_writer *writer, uint64_t word)
{
    word = htole64(word);
    memcpy(reserve(writer, sizeof word), &word, sizeof word);
}

void
state_put_time(struct state_writer *writer, int64_t time_us)
{
    put_word(writer, (uint64_t)time_us);
}

void
state_put_double(struct state_writer *writer, double number)
{
    uint64_t word;
    memcpy(&word, &number, sizeof word);
    put_word(writer, word);
}

void
state_put_bytes(struct state_writer *writer, const void *bytes, size_t len)
{
    if (len > 0)
        memcpy(reserve(writer, len), bytes, len);
}

void
state_put_text(struct state_writer *writer, struct str text)
{
    state_put_count(writer, text.len);
    state_put_bytes(writer, text.ptr, text.len);
}
