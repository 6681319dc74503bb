/* MMDB files: what is found in each shape of records, and that damage is refused before use. */
#include "enrich/enrich_priv.h"

#include "enrich/mmdb_writer.h"
#include "tap.h"

#include <stdlib.h>

/* libmaxminddb 1.7 keeps a few kilobytes when it refuses damaged metadata: asked by sanitizers. */
const char *__lsan_default_suppressions(void);
const char *
__lsan_default_suppressions(void)
{
    return "leak:libmaxminddb";
}

static char folder[] = "/tmp/tocsin-mmdb-XXXXXX";
static char file[64];

static struct mmdb *
open_file(enum mmdb_schema want)
{
    struct mmdb *mmdb = NULL;
    struct err err = {0};
    if (!CHECK(mmdb_open(file, NULL, want, &mmdb, &err)))
        printf("# %s\n", err.text);
    fflush(stdout);
    must(mmdb != NULL);
    return mmdb;
}

static struct event_location
find(const struct mmdb *mmdb, const char *text)
{
    struct event_location location = {0};
    struct address address;
    must(address_parse(str_from(text), &address));
    bool found = mmdb_find_place(mmdb, &address, &location);
    CHECK(found == location.known);
    return location;
}

static void
test_the_flat_schema_is_read(void)
{
    struct mmdb_writer writer;
    writer_init(&writer, 4, "city ipv4");
    writer.build_epoch = 1780666922;
    int berlin = add_flat(&writer, "DE", "Berlin", 52.52F, 13.405F);
    int bare = add_flat(&writer, "US", "", 37.422F, -122.085F);
    int nothing = add_flat(&writer, "ZZ", "", 100.0F, 0.0F);
    writer_add(&writer, "8.8.8.0/24", berlin);
    writer_add(&writer, "8.8.9.0/24", bare);
    writer_add(&writer, "8.8.10.0/24", nothing);
    writer_save(&writer, file);
    writer_fini(&writer);

    struct mmdb *mmdb = open_file(MMDB_UNKNOWN);
    CHECK_INT(mmdb->schema, MMDB_FLAT);
    CHECK(mmdb->is_dbip);
    struct event_location location = find(mmdb, "8.8.8.8");
    CHECK_STR(location.country, STR("DE"));
    CHECK_STR(location.city, STR("Berlin"));
    CHECK_STR(location.region, STR("A State"));
    CHECK(location.postal_code.ptr == NULL && location.time_zone.ptr == NULL);
    CHECK(location.latitude == 52.52 && location.longitude == 13.405); /* not 52.52000045776367 */
    location = find(mmdb, "8.8.9.1");
    CHECK(location.city.ptr == NULL && location.region.ptr == NULL);
    CHECK(location.latitude == 37.422 && location.longitude == -122.085);
    CHECK(!find(mmdb, "8.8.10.1").known); /* ZZ, off the globe: nothing is known */
    CHECK(!find(mmdb, "9.9.9.9").known);
    CHECK(!find(mmdb, "2001:4860::1").known);
    mmdb_close(mmdb);
}

static void
test_the_nested_schema_is_read_for_both_families(void)
{
    struct mmdb_writer writer;
    writer_init(&writer, 6, "GeoLite2-City");
    int place = add_nested(&writer, "RO", "Bucharest", 44.4268, 26.1025);
    writer_add(&writer, "86.120.0.0/16", place);
    writer_add(&writer, "2a02:2f00::/28", place);
    writer_save(&writer, file);
    writer_fini(&writer);

    struct mmdb *mmdb = open_file(MMDB_UNKNOWN);
    CHECK_INT(mmdb->schema, MMDB_NESTED);
    CHECK(mmdb->is_geolite && !mmdb->is_dbip);
    static const char *const addresses[] = {"86.120.1.1", "::ffff:86.120.1.1", "2a02:2f01::5"};
    for (size_t i = 0; i < COUNT_OF(addresses); i++) {
        struct event_location location = find(mmdb, addresses[i]);
        CHECK_STR(location.country, STR("RO"));
        CHECK_STR(location.city, STR("Bucharest"));
        CHECK_STR(location.region, STR("B"));
        CHECK_STR(location.postal_code, STR("010011"));
        CHECK_STR(location.time_zone, STR("Europe/Bucharest"));
        CHECK(location.has_point && location.latitude == 44.4268 && location.longitude == 26.1025);
    }
    CHECK(!find(mmdb, "86.121.0.1").known);
    CHECK(!find(mmdb, "2a02:2f10::1").known);
    mmdb_close(mmdb);
}

static void
check_network(const struct mmdb *mmdb, const char *text, int64_t want_asn, const char *want_org)
{
    struct address address;
    int64_t asn = 0;
    struct str org = {0};
    must(address_parse(str_from(text), &address));
    CHECK(mmdb_find_network(mmdb, &address, &asn, &org) == (want_asn != 0));
    CHECK_INT(asn, want_asn);
    CHECK_STR(org, str_from(want_org));
}

static void
test_networks_are_read_under_either_name(void)
{
    struct mmdb_writer writer;
    writer_init(&writer, 6, "GeoLite2-ASN");
    writer_add(&writer, "8.8.8.0/24", add_asn(&writer, 4200000001u, "Example"));
    int at = writer_here(&writer);
    put_map(&writer.data, 2);
    put_text(&writer.data, "asn");
    put_text(&writer.data, "AS64500");
    put_text(&writer.data, "as_name");
    put_text(&writer.data, "Other Example");
    writer_add(&writer, "2001:4860::/32", at);
    writer_save(&writer, file);
    writer_fini(&writer);

    struct mmdb *mmdb = open_file(MMDB_NETWORKS);
    check_network(mmdb, "8.8.8.8", 4200000001, "Example");
    check_network(mmdb, "2001:4860::1", 64500, "Other Example");
    check_network(mmdb, "8.8.9.8", 0, NULL);
    mmdb_close(mmdb);
}

static void
check_refused(enum mmdb_schema want, const char *complaint)
{
    struct mmdb *mmdb = NULL;
    struct err err = {0};
    CHECK(!mmdb_open(file, NULL, want, &mmdb, &err));
    CHECK_INT(err.code, ERR_INPUT);
    CHECK(strstr(err.text, file) == err.text);
    if (!CHECK(strstr(err.text, complaint) != NULL))
        printf("# %s\n", err.text);
    CHECK(mmdb == NULL);
}

static void
test_a_file_of_something_else_is_refused(void)
{
    struct mmdb_writer writer;
    writer_init(&writer, 4, "Somebody-Elses");
    writer_add(&writer, "8.8.8.0/24", add_asn(&writer, 1, "x"));
    writer_save(&writer, file);
    writer_fini(&writer);
    check_refused(MMDB_UNKNOWN, "no places");

    writer_init(&writer, 4, "city");
    writer_add(&writer, "8.8.8.0/24", add_flat(&writer, "DE", "x", 1, 1));
    writer_save(&writer, file);
    writer_fini(&writer);
    check_refused(MMDB_NETWORKS, "no networks");

    write_file(file, STR("not a database at all"));
    check_refused(MMDB_UNKNOWN, "no MMDB file");
    write_file(file, STR(""));
    check_refused(MMDB_UNKNOWN, "no MMDB file");
}

/* -- damage ------------------------------------------------------------------------ */

static void
test_damage_in_the_tree_is_found(void)
{
    static const struct {
        int node, side, way;
        const char *complaint;
    } rows[] = {
        {3, 0, 1, "a circle at node 1"},
        {23, 0, WRITER_DATA + 100000, "record in the tree"},
        {23, 1, WRITER_DATA - 1, "record in the tree"}, /* into the zeros before the data */
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct mmdb_writer writer;
        writer_init(&writer, 4, "city");
        writer_add(&writer, "8.8.8.0/24", add_flat(&writer, "DE", "x", 1, 1));
        int *way = &writer.nodes[rows[i].node][rows[i].side];
        way = *way == WRITER_EMPTY ? way : &writer.nodes[rows[i].node][!rows[i].side];
        *way = rows[i].way;
        writer_save(&writer, file);
        writer_fini(&writer);
        check_refused(MMDB_UNKNOWN, rows[i].complaint);
    }
}

static void
test_a_tree_deeper_than_an_address_is_refused(void)
{
    struct mmdb_writer writer;
    writer_init(&writer, 4, "city");
    writer_add(&writer, "8.8.8.8", add_flat(&writer, "DE", "x", 1, 1));
    int end = writer.node_count - 1; /* the node of the 32nd bit */
    writer.nodes[end][1] = writer.node_count++;
    writer.nodes[writer.node_count - 1][0] = WRITER_EMPTY;
    writer.nodes[writer.node_count - 1][1] = WRITER_EMPTY;
    writer_save(&writer, file);
    check_refused(MMDB_UNKNOWN, "too deep");
    writer.nodes[end][1] = WRITER_EMPTY;
    writer.nodes[5][1] = 1; /* two ways to node 1, no circle? node 1 is above 5: there is one */
    writer_save(&writer, file);
    check_refused(MMDB_UNKNOWN, "a circle");
    writer_fini(&writer);
}

static void
test_a_tree_deeper_than_any_address_is_refused(void)
{
    struct mmdb_writer writer;
    writer_init(&writer, 6, "city");
    writer_add(&writer, "2a02::/16", add_flat(&writer, "DE", "x", 1, 1));
    int node = 0;
    for (int i = 0; i < 300; i++) {
        writer.nodes[node][1] = writer.node_count;
        node = writer.node_count++;
        writer.nodes[node][0] = writer.nodes[node][1] = WRITER_EMPTY;
    }
    writer_save(&writer, file);
    writer_fini(&writer);
    check_refused(MMDB_UNKNOWN, "too deep");
}

static void
test_two_ways_to_one_node_are_fine(void)
{
    struct mmdb_writer writer;
    writer_init(&writer, 6, "city");
    writer_add(&writer, "8.8.8.0/24", add_flat(&writer, "DE", "x", 1, 1));
    /* As MaxMind does: ::ffff:0:0/96 leads to where ::/96 does. */
    int node = 0, top = writer.node_count;
    for (int i = 0; i < 96; i++)
        node = writer.nodes[node][0];
    writer_add(&writer, "2002::/16", 0);
    writer.nodes[writer.node_count - 1][0] = node; /* 16 + 32 levels */
    writer_save(&writer, file);
    struct mmdb *mmdb = open_file(MMDB_UNKNOWN);
    CHECK_STR(find(mmdb, "8.8.8.8").country, STR("DE"));
    CHECK(top < writer.node_count);
    mmdb_close(mmdb);
    writer_fini(&writer);
}

/* A record that is good but for one value. */
static void
check_bad_value(void (*put)(struct buffer *out))
{
    struct mmdb_writer writer;
    writer_init(&writer, 4, "city");
    int at = writer_here(&writer);
    put_map(&writer.data, 2);
    put_text(&writer.data, "country_code");
    put_text(&writer.data, "DE");
    put(&writer.data);
    writer_add(&writer, "8.8.8.0/24", at);
    writer_save(&writer, file);
    writer_fini(&writer);
    check_refused(MMDB_UNKNOWN, "damaged");
}

static void
put_bad_text(struct buffer *out)
{
    put_text(out, "city");
    put_text(out, "\xc3(");
}

static void
put_number_for_a_name(struct buffer *out)
{
    put_uint32(out, 7);
    put_text(out, "x");
}

static void
put_far_pointer(struct buffer *out)
{
    put_text(out, "city");
    buffer_add(out, STR("\x3f\xff\xff\xff\xff"));
}

/* The name of the member, pointed to by what is pointed to. */
static void
put_pointer_to_pointer(struct buffer *out)
{
    size_t name = out->len, first;
    put_text(out, "city");
    put_array(out, 2);
    first = out->len;
    buffer_add_char(out, 0x20);
    buffer_add_char(out, (char)name);
    buffer_add_char(out, 0x20);
    buffer_add_char(out, (char)first);
}

static void
put_long_text(struct buffer *out)
{
    put_text(out, "city");
    buffer_add(out, STR("\x5f\xff\xff\xff")); /* 16 MiB to come */
}

static void
put_endless_map(struct buffer *out)
{
    put_text(out, "city");
    buffer_add(out, STR("\xff\xff\xff\xff"));
}

static void
put_unknown_type(struct buffer *out)
{
    put_text(out, "city");
    buffer_add(out, STR("\x01\x09"));
}

static void
put_short_double(struct buffer *out)
{
    put_text(out, "latitude");
    put_number(out, 3, 1, 4);
}

static void
put_deep_arrays(struct buffer *out)
{
    put_text(out, "city");
    for (int i = 0; i < 100; i++)
        put_array(out, 1);
    put_text(out, "x");
}

static void
test_damage_in_the_data_is_found(void)
{
    check_bad_value(put_bad_text);
    check_bad_value(put_number_for_a_name);
    check_bad_value(put_far_pointer);
    check_bad_value(put_pointer_to_pointer);
    check_bad_value(put_long_text);
    check_bad_value(put_endless_map);
    check_bad_value(put_unknown_type);
    check_bad_value(put_short_double);
    check_bad_value(put_deep_arrays);
}

/* Whatever byte is changed or wherever the file is cut: refused, or sound to read. */
static void
test_no_single_fault_does_harm(void)
{
    struct mmdb_writer writer;
    struct buffer whole;
    writer_init(&writer, 6, "city");
    writer_add(&writer, "8.8.8.0/24", add_nested(&writer, "RO", "Bucharest", 44.4, 26.1));
    writer_add(&writer, "2a02::/16", add_flat(&writer, "DE", "Berlin", 52.5F, 13.4F));
    buffer_init(&whole, 1 << 20);
    writer_encode(&writer, &whole);
    writer_fini(&writer);

    size_t refused = 0, step = 7;
    for (size_t i = 0; i < 2 * whole.len; i += step) {
        struct mmdb *mmdb;
        struct err err;
        bool cut = i >= whole.len;
        size_t at = cut ? i - whole.len : i;
        char kept = whole.ptr[at];
        whole.ptr[at] = (char)(kept ^ (cut ? 0 : (int)(0x11 + i % 200)));
        write_file(file, (struct str){whole.ptr, cut ? at : whole.len});
        whole.ptr[at] = kept;
        if (!mmdb_open(file, NULL, MMDB_UNKNOWN, &mmdb, &err)) {
            refused++;
            continue;
        }
        find(mmdb, "8.8.8.8");
        find(mmdb, "2a02::1");
        find(mmdb, "255.255.255.255");
        mmdb_close(mmdb);
    }
    CHECK(refused > whole.len / step / 2);
    buffer_fini(&whole);
}

int
main(void)
{
    must(mkdtemp(folder) != NULL);
    snprintf(file, sizeof file, "%s/a.mmdb", folder);
    RUN(test_the_flat_schema_is_read);
    RUN(test_the_nested_schema_is_read_for_both_families);
    RUN(test_networks_are_read_under_either_name);
    RUN(test_a_file_of_something_else_is_refused);
    RUN(test_damage_in_the_tree_is_found);
    RUN(test_a_tree_deeper_than_an_address_is_refused);
    RUN(test_a_tree_deeper_than_any_address_is_refused);
    RUN(test_two_ways_to_one_node_are_fine);
    RUN(test_damage_in_the_data_is_found);
    RUN(test_no_single_fault_does_harm);
    unlink(file);
    rmdir(folder);
    return tap_done();
}
