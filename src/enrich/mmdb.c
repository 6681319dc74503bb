/* mmdb - places and networks from MMDB files.
 *
 * Three shapes of records are read; which one a file has is told by its records, not by its name:
 *   flat (DB-IP, from npm)   country_code, state1, city, postcode, latitude, longitude, timezone
 *   nested (MaxMind, DB-IP)  country.iso_code, subdivisions[0], city.names.en, location, postal
 *   networks                 autonomous_system_number and …_organization, or asn and as_name */
#include "enrich/enrich_priv.h"

#include "codec/text.h"

#include <errno.h>
#include <math.h>
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

/* -- flat records ---------------------------------------------------------------- */

enum field { COUNTRY, REGION, CITY, POSTAL_CODE, TIME_ZONE, LATITUDE, LONGITUDE, FIELDS };

static enum field
field_of_name(struct str name)
{
    static const struct str names[FIELDS] = {[COUNTRY] = STR_INIT("country_code"),
                                             [REGION] = STR_INIT("state1"),
                                             [CITY] = STR_INIT("city"),
                                             [POSTAL_CODE] = STR_INIT("postcode"),
                                             [TIME_ZONE] = STR_INIT("timezone"),
                                             [LATITUDE] = STR_INIT("latitude"),
                                             [LONGITUDE] = STR_INIT("longitude")};
    enum field field = COUNTRY;
    while (field < FIELDS && !str_equal(names[field], name))
        field++;
    return field;
}

/* `guess` is where the same member stood among those of the first record. */
static enum field
field_of(const struct mmdb *mmdb, uint32_t name_at, size_t guess)
{
    enum mmdb_kind kind;
    struct str name;
    if (guess < mmdb->name_count && mmdb->names[guess] == name_at)
        return mmdb->fields[guess];
    if (!mmdb_scalar(&mmdb->db, name_at, &kind, &name) || kind != MMDB_STRING)
        return FIELDS;
    return field_of_name(name);
}

/* Of the first record that is seen. */
static void
note_names(struct mmdb *mmdb, uint32_t offset)
{
    struct mmdb_member members[MMDB_MEMBERS_MAX];
    size_t count;
    if (!mmdb_members(&mmdb->db, offset, members, &count))
        return;
    for (size_t i = 0; i < count; i++) {
        mmdb->fields[i] = (unsigned char)field_of(mmdb, members[i].name, MMDB_MEMBERS_MAX);
        mmdb->names[i] = members[i].name;
    }
    mmdb->name_count = count;
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
    if (probe->mmdb->schema == MMDB_FLAT && probe->mmdb->name_count == 0)
        note_names(probe->mmdb, offset);
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
    lookup_prepare(mmdb);
    *mmdb_out = mmdb;
    return true;
}

void
mmdb_close(struct mmdb *mmdb)
{
    if (mmdb == NULL)
        return;
    lookup_fini(mmdb);
    MMDB_close(&mmdb->db);
    base_free(mmdb);
}

/* -- looking up ------------------------------------------------------------------ */

static bool
degrees_of(enum mmdb_kind kind, struct str bytes, double most, double *degrees_out)
{
    uint64_t bits = 0;
    double degrees;
    for (size_t i = 0; i < bytes.len && i < sizeof bits; i++)
        bits = bits << 8 | (unsigned char)bytes.ptr[i];
    if (kind == MMDB_DOUBLE) {
        memcpy(&degrees, &bits, sizeof degrees);
    } else if (kind == MMDB_FLOAT) {
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

/* A record whose members are known and asked for. */
struct plain {
    bool is_plain; /* as those of flat files are */
    uint32_t values[FIELDS];
};

static void
find_plain(const struct mmdb *mmdb, uint32_t offset, struct plain *plain)
{
    struct mmdb_member members[MMDB_MEMBERS_MAX];
    size_t count;
    plain->is_plain = mmdb_members(&mmdb->db, offset, members, &count);
    for (size_t i = 0; i < FIELDS; i++)
        plain->values[i] = MMDB_NONE;
    for (size_t i = 0; plain->is_plain && i < count; i++) {
        enum field field = field_of(mmdb, members[i].name, i);
        if (field != FIELDS)
            plain->values[field] = members[i].value;
    }
}

/* False: the record is not as plain as it was thought to be. */
static bool
read_plain(const struct mmdb *mmdb, const struct plain *plain, struct event_location *location)
{
    struct str *const texts[] = {[COUNTRY] = &location->country,
                                 [REGION] = &location->region,
                                 [CITY] = &location->city,
                                 [POSTAL_CODE] = &location->postal_code,
                                 [TIME_ZONE] = &location->time_zone};
    bool points[FIELDS] = {false};
    if (!plain->is_plain)
        return false;
    for (enum field field = 0; field < FIELDS; field++) {
        enum mmdb_kind kind;
        struct str bytes;
        if (plain->values[field] == MMDB_NONE)
            continue;
        if (!mmdb_scalar(&mmdb->db, plain->values[field], &kind, &bytes))
            return false;
        if (field == LATITUDE)
            points[field] = degrees_of(kind, bytes, 90, &location->latitude);
        else if (field == LONGITUDE)
            points[field] = degrees_of(kind, bytes, 180, &location->longitude);
        else if (kind == MMDB_STRING)
            *texts[field] = text_of(bytes);
    }
    location->has_point = points[LATITUDE] && points[LONGITUDE];
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

static bool
read_place(const struct mmdb *mmdb, uint32_t offset, const struct plain *plain,
           struct event_location *location_out)
{
    struct event_location location = {0};
    MMDB_entry_s entry = {&mmdb->db, offset};
    if (mmdb->schema != MMDB_FLAT) {
        read_nested(entry, &location);
    } else if (!read_plain(mmdb, plain, &location)) {
        location = (struct event_location){0};
        read_flat(entry, &location);
    }
    if (str_equal(location.country, STR("ZZ"))) /* the standard's own word for unknown */
        location.country = (struct str){0};
    location.known = location.country.ptr != NULL || location.city.ptr != NULL ||
                     location.region.ptr != NULL || location.has_point;
    if (location.known)
        *location_out = location;
    return location.known;
}

void
mmdb_find_places(const struct mmdb *mmdb, struct mmdb_search *searches, size_t count)
{
    const struct address *addresses[MMDB_TOGETHER];
    uint32_t offsets[MMDB_TOGETHER];
    size_t which[MMDB_TOGETHER], wanted = 0;
    struct plain plain[MMDB_TOGETHER];
    must(count <= MMDB_TOGETHER);
    for (size_t i = 0; i < count; i++) {
        if (searches[i].found)
            continue;
        which[wanted] = i;
        addresses[wanted++] = searches[i].address;
    }
    if (wanted == 0)
        return;
    lookup_find(mmdb, addresses, wanted, offsets);
    for (size_t i = 0; i < wanted; i++)
        if (offsets[i] != MMDB_NONE && mmdb->schema == MMDB_FLAT)
            find_plain(mmdb, offsets[i], &plain[i]);
    for (size_t i = 0; i < wanted; i++)
        searches[which[i]].found =
            offsets[i] != MMDB_NONE &&
            read_place(mmdb, offsets[i], &plain[i], searches[which[i]].location);
}

bool
mmdb_find_place(const struct mmdb *mmdb, const struct address *address,
                struct event_location *location_out)
{
    struct mmdb_search search = {.address = address, .location = location_out};
    mmdb_find_places(mmdb, &search, 1);
    return search.found;
}

bool
mmdb_find_network(const struct mmdb *mmdb, const struct address *address, int64_t *asn_out,
                  struct str *org_out)
{
    uint32_t offset;
    lookup_find(mmdb, &address, 1, &offset);
    if (offset == MMDB_NONE)
        return false;
    MMDB_entry_s entry = {&mmdb->db, offset};
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
