/* mmdb_writer - makes small MMDB files for the tests: 24-bit records, a tree of whatever prefixes
 * are added, records given as encoded values. The format stands in src/enrich/walk.c. */
#ifndef MMDB_WRITER_H
#define MMDB_WRITER_H

#include "codec/address.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { WRITER_NODES = 4096, WRITER_EMPTY = -1, WRITER_DATA = 1 << 24 };

struct mmdb_writer {
    unsigned ip_version;
    int nodes[WRITER_NODES][2]; /* node, WRITER_EMPTY, or WRITER_DATA + offset */
    int node_count;
    struct buffer data;
    const char *type, *description;
    uint64_t build_epoch;
};

static inline void
writer_init(struct mmdb_writer *writer, unsigned ip_version, const char *type)
{
    *writer = (struct mmdb_writer){
        .ip_version = ip_version, .type = type, .node_count = 1, .build_epoch = 1790000000};
    writer->nodes[0][0] = writer->nodes[0][1] = WRITER_EMPTY;
    buffer_init(&writer->data, 1 << 20);
}

static inline void
writer_fini(struct mmdb_writer *writer)
{
    buffer_fini(&writer->data);
}

/* -- values, appended to any buffer ------------------------------------------- */

static inline void
put_control(struct buffer *out, unsigned type, unsigned size)
{
    unsigned small = size < 29 ? size : 29; /* up to 284 */
    buffer_add_char(out, (char)(type < 8 ? type << 5 | small : small));
    if (type >= 8)
        buffer_add_char(out, (char)(type - 7));
    if (size >= 29)
        buffer_add_char(out, (char)(size - 29));
}

static inline void
put_map(struct buffer *out, unsigned members)
{
    put_control(out, 7, members);
}

static inline void
put_array(struct buffer *out, unsigned members)
{
    put_control(out, 11, members);
}

static inline void
put_text(struct buffer *out, const char *text)
{
    put_control(out, 2, (unsigned)strlen(text));
    buffer_add(out, str_from(text));
}

static inline void
put_number(struct buffer *out, unsigned type, uint64_t number, unsigned size)
{
    put_control(out, type, size);
    for (unsigned i = size; i-- > 0;)
        buffer_add_char(out, (char)(number >> (8 * i)));
}

static inline void
put_uint32(struct buffer *out, uint32_t number)
{
    put_number(out, 6, number, 4);
}

static inline void
put_double(struct buffer *out, double number)
{
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    put_number(out, 3, bits, 8);
}

static inline void
put_float(struct buffer *out, float number)
{
    uint32_t bits;
    memcpy(&bits, &number, sizeof bits);
    put_number(out, 15, bits, 4);
}

/* -- the file ------------------------------------------------------------------ */

/* Where the next record will begin. */
static inline int
writer_here(const struct mmdb_writer *writer)
{
    return (int)writer->data.len;
}

/* The network leads to the record at `offset`. In an IPv6 file IPv4 lies under ::/96. */
static inline void
writer_add(struct mmdb_writer *writer, const char *network_text, int offset)
{
    struct network network;
    unsigned char bits[16] = {0};
    must(network_parse(str_from(network_text), &network));
    unsigned prefix = network.prefix;
    memcpy(bits, network.base.bytes, 16);
    if (network.base.is_v4) {
        memset(bits, 0, 12);
        if (writer->ip_version == 4)
            memmove(bits, bits + 12, 4);
        else
            prefix += 96;
    }
    int node = 0;
    for (unsigned i = 0; i < prefix; i++) {
        int *way = &writer->nodes[node][bits[i / 8] >> (7 - i % 8) & 1];
        if (i + 1 == prefix) {
            *way = WRITER_DATA + offset;
            return;
        }
        if (*way < 0) {
            must(writer->node_count < WRITER_NODES);
            *way = writer->node_count++;
            writer->nodes[*way][0] = writer->nodes[*way][1] = WRITER_EMPTY;
        }
        must(*way < WRITER_DATA);
        node = *way;
    }
}

static inline void
put_metadata(struct buffer *out, const struct mmdb_writer *writer)
{
    put_map(out, 9);
    put_text(out, "node_count");
    put_uint32(out, (uint32_t)writer->node_count);
    put_text(out, "record_size");
    put_number(out, 5, 24, 2);
    put_text(out, "ip_version");
    put_number(out, 5, writer->ip_version, 2);
    put_text(out, "database_type");
    put_text(out, writer->type);
    put_text(out, "languages");
    put_array(out, 1);
    put_text(out, "en");
    put_text(out, "binary_format_major_version");
    put_number(out, 5, 2, 2);
    put_text(out, "binary_format_minor_version");
    put_number(out, 5, 0, 2);
    put_text(out, "build_epoch");
    put_number(out, 9, writer->build_epoch, 8);
    put_text(out, "description");
    put_map(out, writer->description != NULL);
    if (writer->description != NULL) {
        put_text(out, "en");
        put_text(out, writer->description);
    }
}

static inline void
writer_encode(const struct mmdb_writer *writer, struct buffer *out)
{
    static const char zeros[16];
    for (int i = 0; i < writer->node_count; i++) {
        for (int side = 0; side < 2; side++) {
            int way = writer->nodes[i][side];
            if (way == WRITER_EMPTY)
                way = writer->node_count;
            else if (way >= WRITER_DATA)
                way = way - WRITER_DATA + writer->node_count + 16;
            for (int shift = 16; shift >= 0; shift -= 8)
                buffer_add_char(out, (char)(way >> shift));
        }
    }
    buffer_add_bytes(out, zeros, sizeof zeros);
    buffer_add(out, buffer_str(&writer->data));
    buffer_add(out, STR("\xab\xcd\xefMaxMind.com"));
    put_metadata(out, writer);
}

/* -- files ---------------------------------------------------------------------- */

static inline void
write_file(const char *path, struct str content)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    must(fd >= 0 && write(fd, content.ptr, content.len) == (ssize_t)content.len);
    must(close(fd) == 0);
}

static inline void
writer_save(const struct mmdb_writer *writer, const char *path)
{
    struct buffer file;
    buffer_init(&file, 1 << 20);
    writer_encode(writer, &file);
    write_file(path, buffer_str(&file));
    buffer_fini(&file);
}

/* -- records as the two providers write them ------------------------------------- */

static inline int
add_flat(struct mmdb_writer *writer, const char *country, const char *city, float latitude,
         float longitude)
{
    struct buffer *out = &writer->data;
    int at = writer_here(writer);
    put_map(out, 8);
    put_text(out, "city");
    put_text(out, city);
    put_text(out, "country_code");
    put_text(out, country);
    put_text(out, "latitude");
    put_float(out, latitude);
    put_text(out, "longitude");
    put_float(out, longitude);
    put_text(out, "postcode");
    put_text(out, "");
    put_text(out, "state1");
    put_text(out, city[0] == '\0' ? "" : "A State");
    put_text(out, "state2");
    put_text(out, "");
    put_text(out, "timezone");
    put_text(out, "");
    return at;
}

static inline int
add_nested(struct mmdb_writer *writer, const char *country, const char *city, double latitude,
           double longitude)
{
    struct buffer *out = &writer->data;
    int at = writer_here(writer);
    put_map(out, 5);
    put_text(out, "city");
    put_map(out, 1);
    put_text(out, "names");
    put_map(out, 2);
    put_text(out, "de");
    put_text(out, "Anderswo");
    put_text(out, "en");
    put_text(out, city);
    put_text(out, "country");
    put_map(out, 1);
    put_text(out, "iso_code");
    put_text(out, country);
    put_text(out, "location");
    put_map(out, 3);
    put_text(out, "latitude");
    put_double(out, latitude);
    put_text(out, "longitude");
    put_double(out, longitude);
    put_text(out, "time_zone");
    put_text(out, "Europe/Bucharest");
    put_text(out, "postal");
    put_map(out, 1);
    put_text(out, "code");
    put_text(out, "010011");
    put_text(out, "subdivisions");
    put_array(out, 1);
    put_map(out, 2);
    put_text(out, "iso_code");
    put_text(out, "B");
    put_text(out, "names");
    put_map(out, 1);
    put_text(out, "en");
    put_text(out, "Bucuresti");
    return at;
}

static inline int
add_asn(struct mmdb_writer *writer, uint32_t number, const char *organization)
{
    struct buffer *out = &writer->data;
    int at = writer_here(writer);
    put_map(out, 2);
    put_text(out, "autonomous_system_number");
    put_uint32(out, number);
    put_text(out, "autonomous_system_organization");
    put_text(out, organization);
    return at;
}

#endif
