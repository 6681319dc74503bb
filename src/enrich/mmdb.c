/* mmdb - places and networks from MMDB files.
 *
 * Three shapes of records are read; which one a file has is told by its records, not by its name:
 *   flat (DB-IP, from npm)   country_code, state1, city, postcode, latitude, longitude, timezone
 *   nested (MaxMind, DB-IP)  country.iso_code, subdivisions[0], city.names.en, location, postal
 *   networks                 autonomous_system_number and …_organization, or asn and as_name */
#include "enrich/enrich_priv.h"

#include "codec/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef const char *const *path;

#define PATH(...) ((path)(const char *const[]){__VA_ARGS__, NULL})

static bool
get(MMDB_entry_s entry, path where, MMDB_entry_data_s *value)
{
    return MMDB_aget_value(&entry, value, where) == MMDB_SUCCESS && value->has_data;
}

static struct str
text_of(struct str bytes)
{
    return bytes.len == 0 ? (struct str){0} : utf8_cut(bytes, LIMIT_STRING_BYTES);
}

/* Absent when it is not there, no string, or empty. */
static struct str
get_text(MMDB_entry_s entry, path where)
{
    MMDB_entry_data_s value;
    if (!get(entry, where, &value) || value.type != MMDB_DATA_TYPE_UTF8_STRING)
        return (struct str){0};
    return text_of((struct str){value.utf8_string, value.data_size});
}

/* DB-IP keeps coordinates as 32-bit floats. The decimal that was meant has few digits; without this
 * 37.422 would become 37.42200088500977. */
static double
meant(float stored)
{
    double rounded = round((double)stored * 1e5) / 1e5;
    return (float)rounded == stored ? rounded : (double)stored;
}

static bool
is_angle(double degrees, double most)
{
    return degrees >= -most && degrees <= most; /* NaN is not */
}

static bool
get_degrees(MMDB_entry_s entry, path where, double most, double *degrees_out)
{
    MMDB_entry_data_s value;
    double degrees;
    if (!get(entry, where, &value))
        return false;
    if (value.type == MMDB_DATA_TYPE_DOUBLE)
        degrees = value.double_value;
    else if (value.type == MMDB_DATA_TYPE_FLOAT)
        degrees = meant(value.float_value);
    else
        return false;
    if (!is_angle(degrees, most))
        return false;
    *degrees_out = degrees;
    return true;
}

/* A number, or a text like "AS64500". 0: unknown. */
static int64_t
get_asn(MMDB_entry_s entry, path where)
{
    MMDB_entry_data_s value;
    int64_t number = 0;
    if (!get(entry, where, &value))
        return 0;
    switch (value.type) {
    case MMDB_DATA_TYPE_UINT16:
        number = value.uint16;
        break;
    case MMDB_DATA_TYPE_UINT32:
        number = value.uint32;
        break;
    case MMDB_DATA_TYPE_UINT64:
        number = value.uint64 <= UINT32_MAX ? (int64_t)value.uint64 : 0;
        break;
    case MMDB_DATA_TYPE_UTF8_STRING: {
        struct str text = {value.utf8_string, value.data_size};
        if (str_starts(text, STR("AS")))
            text = (struct str){text.ptr + 2, text.len - 2};
        if (!str_to_int(text, &number))
            number = 0;
        break;
    }
    default:
        break;
    }
    return number > 0 && number <= UINT32_MAX ? number : 0;
}

/* -- opening ------------------------------------------------------------------- */

struct probe {
    struct mmdb *mmdb;
    enum mmdb_schema want;
    bool all; /* or only until the schema is known */
};

static enum mmdb_schema
schema_of(MMDB_entry_s entry, enum mmdb_schema want)
{
    MMDB_entry_data_s value;
    if (want == MMDB_NETWORKS)
        return get(entry, PATH("autonomous_system_number"), &value) ||
                       get(entry, PATH("autonomous_system_organization"), &value) ||
                       get(entry, PATH("asn"), &value)
                   ? MMDB_NETWORKS
                   : MMDB_UNKNOWN;
    if (get(entry, PATH("country", "iso_code"), &value) ||
        get(entry, PATH("city", "names"), &value) ||
        get(entry, PATH("location", "latitude"), &value))
        return MMDB_NESTED;
    if (get(entry, PATH("country_code"), &value) || get(entry, PATH("latitude"), &value))
        return MMDB_FLAT;
    return MMDB_UNKNOWN;
}

static bool
see_record(void *self, const MMDB_s *db, uint32_t offset)
{
    struct probe *probe = self;
    if (probe->mmdb->schema == MMDB_UNKNOWN)
        probe->mmdb->schema = schema_of((MMDB_entry_s){db, offset}, probe->want);
    return probe->all || probe->mmdb->schema == MMDB_UNKNOWN;
}

/* Whom to name. The npm package of DB-IP says its name only on the outside, so a flat file is taken
 * for theirs unless it says that it is somebody else's. */
static void
tell_source(struct mmdb *mmdb, const char *file)
{
    const MMDB_metadata_s *metadata = &mmdb->db.metadata;
    struct str texts[8] = {str_from(file), str_from(metadata->database_type)};
    size_t count = 2;
    for (size_t i = 0; i < metadata->description.count && count < COUNT_OF(texts); i++)
        texts[count++] = str_from(metadata->description.descriptions[i]->description);
    for (size_t i = 0; i < count; i++) {
        mmdb->is_dbip = mmdb->is_dbip || text_contains_nocase(texts[i], STR("dbip")) ||
                        text_contains_nocase(texts[i], STR("db-ip"));
        mmdb->is_geolite = mmdb->is_geolite || text_contains_nocase(texts[i], STR("geolite"));
    }
    if (mmdb->schema == MMDB_FLAT && !mmdb->is_geolite)
        mmdb->is_dbip = true;
}

static bool
open_and_walk(struct probe *probe, const char *file, struct err *err)
{
    struct mmdb *mmdb = probe->mmdb;
    int status = MMDB_open(file, MMDB_MODE_MMAP, &mmdb->db);
    /* An empty file cannot be mapped: EINVAL. That is the file's fault, not the disk's. */
    if ((status == MMDB_FILE_OPEN_ERROR || status == MMDB_IO_ERROR) && errno != EINVAL)
        return err_set(err, ERR_IO, "%m");
    if (status != MMDB_SUCCESS)
        return err_set(err, ERR_INPUT, "no MMDB file, or a damaged one: %s", MMDB_strerror(status));
    bool ok = mmdb_walk(&mmdb->db, see_record, probe, err);
    if (ok && mmdb->schema == MMDB_UNKNOWN)
        ok = err_set(err, ERR_INPUT, "no %s in it that are understood",
                     probe->want == MMDB_NETWORKS ? "networks" : "places");
    if (!ok)
        MMDB_close(&mmdb->db);
    return ok;
}

/* A copy that has its name already was walked when it got it. */
static bool
open_copy(struct probe *probe, const char *file, const char *folder, struct err *err)
{
    char copy[4096];
    if (!copy_into(file, folder, probe->mmdb->copy, &probe->all, err))
        return false;
    const char *name = probe->all ? COPY_PART_NAME : probe->mmdb->copy;
    if ((size_t)snprintf(copy, sizeof copy, "%s/%s", folder, name) >= sizeof copy)
        return err_set(err, ERR_INPUT, "the folder's name is too long");
    bool ok = open_and_walk(probe, copy, err);
    if (ok && probe->all) {
        ok = copy_keep(folder, probe->mmdb->copy, err);
        if (!ok)
            MMDB_close(&probe->mmdb->db);
    }
    if (!ok && probe->all)
        (void)unlink(copy);
    return ok;
}

bool
mmdb_open(const char *file, const char *folder, enum mmdb_schema want, struct mmdb **mmdb_out,
          struct err *err)
{
    struct mmdb *mmdb = base_alloc(1, sizeof *mmdb);
    struct probe probe = {mmdb, want, true};
    bool ok =
        folder == NULL ? open_and_walk(&probe, file, err) : open_copy(&probe, file, folder, err);
    if (!ok) {
        base_free(mmdb);
        return err_prefix(err, "%s", file);
    }
    tell_source(mmdb, file);
    *mmdb_out = mmdb;
    return true;
}

void
mmdb_close(struct mmdb *mmdb)
{
    if (mmdb == NULL)
        return;
    MMDB_close(&mmdb->db);
    base_free(mmdb);
}

/* -- looking up ------------------------------------------------------------------ */

/* To ask an IPv4 file for an IPv6 address is an error there; here it only is not found. */
static bool
find_entry(const struct mmdb *mmdb, const struct address *address, MMDB_entry_s *entry_out)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } socket_address = {0};
    int status;

    if (address->is_v4) {
        socket_address.v4.sin_family = AF_INET;
        memcpy(&socket_address.v4.sin_addr, address->bytes + 12, 4);
    } else {
        socket_address.v6.sin6_family = AF_INET6;
        memcpy(&socket_address.v6.sin6_addr, address->bytes, 16);
    }
    MMDB_lookup_result_s result = MMDB_lookup_sockaddr(&mmdb->db, &socket_address.any, &status);
    if (status != MMDB_SUCCESS || !result.found_entry)
        return false;
    *entry_out = result.entry;
    return true;
}

static bool
degrees_of(const struct mmdb_member *member, double most, double *degrees_out)
{
    uint64_t bits = 0;
    double degrees;
    for (size_t i = 0; i < member->bytes.len && i < sizeof bits; i++)
        bits = bits << 8 | (unsigned char)member->bytes.ptr[i];
    if (member->kind == MMDB_DOUBLE) {
        memcpy(&degrees, &bits, sizeof degrees);
    } else if (member->kind == MMDB_FLOAT) {
        uint32_t low = (uint32_t)bits;
        float stored;
        memcpy(&stored, &low, sizeof stored);
        degrees = meant(stored);
    } else {
        return false;
    }
    *degrees_out = degrees;
    return is_angle(degrees, most);
}

/* In one pass; false: the record is not as plain as those of a flat file are. */
static bool
read_plain(const struct mmdb *mmdb, MMDB_entry_s entry, struct event_location *location)
{
    const struct {
        struct str name;
        struct str *text;
    } texts[] = {
        {STR("country_code"), &location->country},
        {STR("state1"), &location->region},
        {STR("city"), &location->city},
        {STR("postcode"), &location->postal_code},
        {STR("timezone"), &location->time_zone},
    };
    struct mmdb_member members[MMDB_MEMBERS_MAX];
    size_t count;
    bool has_latitude = false, has_longitude = false;
    if (!mmdb_members(&mmdb->db, entry.offset, members, &count))
        return false;
    for (size_t i = 0; i < count; i++) {
        const struct mmdb_member *member = &members[i];
        for (size_t t = 0; t < COUNT_OF(texts); t++)
            if (member->kind == MMDB_STRING && str_equal(member->name, texts[t].name))
                *texts[t].text = text_of(member->bytes);
        if (str_equal(member->name, STR("latitude")))
            has_latitude = degrees_of(member, 90, &location->latitude);
        else if (str_equal(member->name, STR("longitude")))
            has_longitude = degrees_of(member, 180, &location->longitude);
    }
    location->has_point = has_latitude && has_longitude;
    return true;
}

static void
read_flat(MMDB_entry_s entry, struct event_location *location)
{
    location->country = get_text(entry, PATH("country_code"));
    location->region = get_text(entry, PATH("state1"));
    location->city = get_text(entry, PATH("city"));
    location->postal_code = get_text(entry, PATH("postcode"));
    location->time_zone = get_text(entry, PATH("timezone"));
    location->has_point = get_degrees(entry, PATH("latitude"), 90, &location->latitude) &&
                          get_degrees(entry, PATH("longitude"), 180, &location->longitude);
}

static void
read_nested(MMDB_entry_s entry, struct event_location *location)
{
    location->country = get_text(entry, PATH("country", "iso_code"));
    location->region = get_text(entry, PATH("subdivisions", "0", "iso_code"));
    if (location->region.ptr == NULL)
        location->region = get_text(entry, PATH("subdivisions", "0", "names", "en"));
    location->city = get_text(entry, PATH("city", "names", "en"));
    location->postal_code = get_text(entry, PATH("postal", "code"));
    location->time_zone = get_text(entry, PATH("location", "time_zone"));
    location->has_point =
        get_degrees(entry, PATH("location", "latitude"), 90, &location->latitude) &&
        get_degrees(entry, PATH("location", "longitude"), 180, &location->longitude);
}

bool
mmdb_find_place(const struct mmdb *mmdb, const struct address *address,
                struct event_location *location_out)
{
    struct event_location location = {0};
    MMDB_entry_s entry;

    if (!find_entry(mmdb, address, &entry))
        return false;
    if (mmdb->schema == MMDB_FLAT && !read_plain(mmdb, entry, &location))
        read_flat(entry, &location);
    else if (mmdb->schema != MMDB_FLAT)
        read_nested(entry, &location);
    if (str_equal(location.country, STR("ZZ"))) /* the standard's own word for unknown */
        location.country = (struct str){0};
    location.known = location.country.ptr != NULL || location.city.ptr != NULL ||
                     location.region.ptr != NULL || location.has_point;
    if (location.known)
        *location_out = location;
    return location.known;
}

bool
mmdb_find_network(const struct mmdb *mmdb, const struct address *address, int64_t *asn_out,
                  struct str *org_out)
{
    MMDB_entry_s entry;
    if (!find_entry(mmdb, address, &entry))
        return false;
    int64_t asn = get_asn(entry, PATH("autonomous_system_number"));
    struct str org = get_text(entry, PATH("autonomous_system_organization"));
    if (asn == 0)
        asn = get_asn(entry, PATH("asn"));
    if (org.ptr == NULL)
        org = get_text(entry, PATH("as_name"));
    if (asn == 0 && org.ptr == NULL)
        return false;
    *asn_out = asn;
    *org_out = org;
    return true;
}
