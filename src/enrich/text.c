/* text - the files that people write: places (CSV) and address lists (one CIDR a line). */
#include "enrich/enrich_priv.h"

#include "codec/text.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PLACE_FIELDS = 6, PLACE_TEXT_MAX = 256, LIST_NAME_MAX = 64 };

/* -- files and lines -------------------------------------------------------- */

static bool
read_all(int fd, size_t max, struct buffer *text, const char *path, struct err *err)
{
    for (;;) {
        char *room = buffer_reserve(text, 65536);
        if (room == NULL)
            return err_set(err, ERR_LIMIT, "%s: longer than %zu bytes", path, max);
        ssize_t got = read(fd, room, 65536);
        if (got < 0)
            return err_set(err, ERR_IO, "%s: %m", path);
        if (got == 0)
            return true;
        text->len += (size_t)got;
        if (text->len > max)
            return err_set(err, ERR_LIMIT, "%s: longer than %zu bytes", path, max);
    }
}

bool
text_read_file(const char *path, size_t max, struct str *text_out, struct err *err)
{
    struct buffer text;
    struct stat status;
    /* Without O_NONBLOCK a named pipe would hold us here until somebody writes. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return err_set(err, ERR_IO, "%s: %m", path);

    buffer_init(&text, max + 65536);
    bool ok = fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
    if (!ok)
        err_set(err, ERR_INPUT, "%s: no regular file", path);
    ok = ok && read_all(fd, max, &text, path, err);
    close(fd);
    if (ok)
        *text_out = base_copy(buffer_str(&text));
    buffer_fini(&text);
    return ok;
}

void
text_free(struct str text)
{
    union {
        const char *text;
        void *block;
    } owned = {.text = text.ptr};
    base_free(owned.block);
}

struct lines {
    struct str rest, line;
    unsigned long number;
    const char *path;
};

static struct lines
lines_of(struct str text, const char *path)
{
    if (str_starts(text, STR("\xef\xbb\xbf"))) /* what some editors put before UTF-8 */
        text = (struct str){text.ptr + 3, text.len - 3};
    return (struct lines){.rest = text, .path = path};
}

static bool
is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct str
trim(struct str text)
{
    while (text.len > 0 && is_blank(text.ptr[0]))
        text = (struct str){text.ptr + 1, text.len - 1};
    while (text.len > 0 && is_blank(text.ptr[text.len - 1]))
        text.len--;
    return text;
}

/* The next line that says something. `*more_out` false: there is none. */
static bool
next_line(struct lines *lines, bool *more_out, struct err *err)
{
    while (lines->rest.ptr != NULL && lines->rest.len > 0) {
        struct str line = str_split(&lines->rest, '\n');
        lines->number++;
        if (line.len > 0 && line.ptr[line.len - 1] == '\r')
            line.len--;
        if (line.len > TEXT_LINE_MAX)
            return err_set(err, ERR_INPUT, "%s: line %lu: longer than %d bytes", lines->path,
                           lines->number, TEXT_LINE_MAX);
        if (!utf8_valid(line))
            return err_set(err, ERR_INPUT, "%s: line %lu: not UTF-8", lines->path, lines->number);
        line = trim(line);
        if (line.len == 0 || line.ptr[0] == '#')
            continue;
        lines->line = line;
        *more_out = true;
        return true;
    }
    *more_out = false;
    return true;
}

static bool
complain(const struct lines *lines, struct err *err, const char *what, struct str shown)
{
    struct str cut = utf8_cut(shown, 60);
    return err_set(err, ERR_INPUT, "%s: line %lu: %s: \"%.*s\"", lines->path, lines->number, what,
                   STR_ARG(cut));
}

/* A growing table of prefixes, at start-up. */
struct entries {
    struct networks_entry *items;
    size_t count, room;
};

static void
add_entry(struct entries *entries, struct network network, uint64_t value)
{
    if (entries->count == entries->room) {
        entries->room = entries->room == 0 ? 256 : entries->room * 2;
        entries->items = base_realloc(entries->items, entries->room * sizeof *entries->items);
    }
    entries->items[entries->count++] = (struct networks_entry){network, value};
}

/* -- places ------------------------------------------------------------------ */

struct places {
    struct arena arena; /* the strings */
    struct place *rows;
    size_t count, room;
    struct networks *networks; /* value: index of the row + 1 */
};

/* Cuts one field of RFC 4180 off `*rest` (absent after the last); `scratch` takes a quoted one. */
static bool
next_field(struct str *rest, char *scratch, struct str *field_out)
{
    if (rest->len == 0 || rest->ptr[0] != '"') {
        *field_out = str_split(rest, ',');
        return memchr(field_out->ptr, '"', field_out->len) == NULL;
    }
    size_t len = 0, at = 1;
    for (;; at++) {
        if (at >= rest->len)
            return false;
        if (rest->ptr[at] == '"') {
            if (at + 1 >= rest->len || rest->ptr[at + 1] != '"')
                break;
            at++;
        }
        scratch[len++] = rest->ptr[at];
    }
    at++;
    if (at < rest->len && rest->ptr[at] != ',')
        return false;
    *field_out = (struct str){scratch, len};
    *rest = at < rest->len ? (struct str){rest->ptr + at + 1, rest->len - at - 1} : (struct str){0};
    return true;
}

static bool
split_fields(struct str line, char *scratch, struct str fields[static PLACE_FIELDS])
{
    size_t count = 0;
    for (struct str rest = line; rest.ptr != NULL; count++) {
        struct str field;
        if (count == PLACE_FIELDS || !next_field(&rest, scratch, &field))
            return false;
        fields[count] = field;
        scratch += field.len;
    }
    return count == PLACE_FIELDS;
}

/* An empty one is absent. No control characters: it is shown to people. */
static bool
read_text(struct places *places, struct str field, struct str *text_out)
{
    *text_out = (struct str){0};
    if (field.len > PLACE_TEXT_MAX)
        return false;
    for (size_t i = 0; i < field.len; i++)
        if ((unsigned char)field.ptr[i] < ' ' || field.ptr[i] == 0x7f)
            return false;
    return field.len == 0 || arena_copy(&places->arena, field, text_out);
}

static bool
read_country(struct places *places, struct str field, struct str *country_out)
{
    char code[2];
    if (field.len != 0 && field.len != 2)
        return false;
    for (size_t i = 0; i < field.len; i++) {
        code[i] = (char)(field.ptr[i] & ~0x20);
        if (code[i] < 'A' || code[i] > 'Z' || field.ptr[i] < 'A')
            return false;
    }
    return read_text(places, (struct str){field.len > 0 ? code : field.ptr, field.len},
                     country_out);
}

static bool
read_degrees(struct str field, double most, double *degrees_out)
{
    char text[32];
    char *end;
    if (field.len == 0 || field.len >= sizeof text)
        return false;
    for (size_t i = 0; i < field.len; i++)
        if (memchr("0123456789+-.eE", field.ptr[i], 15) == NULL)
            return false;
    memcpy(text, field.ptr, field.len);
    text[field.len] = '\0';
    *degrees_out = strtod(text, &end);
    return *end == '\0' && end != text && *degrees_out >= -most && *degrees_out <= most;
}

static bool
read_point(struct str latitude, struct str longitude, struct event_location *location)
{
    location->has_point = latitude.len > 0 || longitude.len > 0;
    return !location->has_point || (read_degrees(latitude, 90, &location->latitude) &&
                                    read_degrees(longitude, 180, &location->longitude));
}

static bool
read_place(struct places *places, const struct lines *lines, struct place *place, struct err *err)
{
    char scratch[TEXT_LINE_MAX];
    struct str fields[PLACE_FIELDS];
    struct event_location *location = &place->location;

    if (!split_fields(lines->line, scratch, fields))
        return complain(lines, err, "not CIDR,country,city,latitude,longitude,name", lines->line);
    if (!network_parse(fields[0], &place->network))
        return complain(lines, err, "no network", fields[0]);
    if (!read_country(places, fields[1], &location->country))
        return complain(lines, err, "no country of two letters", fields[1]);
    if (!read_text(places, fields[2], &location->city))
        return complain(lines, err, "no name of a city", fields[2]);
    if (!read_point(fields[3], fields[4], location))
        return complain(lines, err, "no latitude and longitude", lines->line);
    if (!read_text(places, fields[5], &place->name))
        return complain(lines, err, "no name of a network", fields[5]);
    location->known =
        location->country.ptr != NULL || location->city.ptr != NULL || location->has_point;
    return true;
}

static void
add_place(struct places *places, const struct place *place)
{
    if (places->count == places->room) {
        places->room = places->room == 0 ? 64 : places->room * 2;
        places->rows = base_realloc(places->rows, places->room * sizeof *places->rows);
    }
    places->rows[places->count++] = *place;
}

/* Two rows for one network would leave it to chance which is meant. The entries are sorted. */
static bool
refuse_twice(const struct places *places, const struct entries *entries, const char *path,
             struct err *err)
{
    for (size_t i = 1; i < entries->count; i++) {
        const struct place *a = &places->rows[entries->items[i - 1].value - 1];
        const struct place *b = &places->rows[entries->items[i].value - 1];
        if (a->network.prefix == b->network.prefix &&
            a->network.base.is_v4 == b->network.base.is_v4 &&
            memcmp(a->network.base.bytes, b->network.base.bytes, 16) == 0)
            return err_set(err, ERR_INPUT, "%s: line %lu: the network of line %lu again", path,
                           a->line > b->line ? a->line : b->line,
                           a->line > b->line ? b->line : a->line);
    }
    return true;
}

bool
places_parse(struct str text, const char *path, struct places **places_out, struct err *err)
{
    struct places *places = base_alloc(1, sizeof *places);
    struct entries entries = {0};
    struct lines lines = lines_of(text, path);
    bool more = false;

    arena_init(&places->arena, 4096, (size_t)TEXT_FILE_MAX * 2);
    for (;;) {
        struct place place = {0};
        if (!next_line(&lines, &more, err))
            goto refuse;
        if (!more)
            break;
        if (!read_place(places, &lines, &place, err))
            goto refuse;
        place.line = lines.number;
        add_place(places, &place);
        add_entry(&entries, place.network, places->count);
    }
    places->networks = networks_new(entries.items, entries.count, NETWORKS_LONGEST);
    if (!refuse_twice(places, &entries, path, err))
        goto refuse;
    base_free(entries.items);
    *places_out = places;
    return true;

refuse:
    base_free(entries.items);
    places_free(places);
    return false;
}

void
places_free(struct places *places)
{
    if (places == NULL)
        return;
    networks_free(places->networks);
    arena_fini(&places->arena);
    base_free(places->rows);
    base_free(places);
}

const struct place *
places_find(const struct places *places, const struct address *address)
{
    uint64_t value = networks_find(places->networks, address);
    return value == 0 ? NULL : &places->rows[value - 1];
}

size_t
places_count(const struct places *places)
{
    return places->count;
}

/* -- address lists ----------------------------------------------------------- */

struct lists {
    struct str names[LIMIT_LISTS]; /* sorted once finished */
    size_t name_count;
    struct entries entries; /* value: bit of the name; gone once finished */
    size_t count;
    struct networks *networks;
};

struct lists *
lists_new(void)
{
    return base_alloc(1, sizeof(struct lists));
}

static bool
is_list_name(struct str name)
{
    if (name.len == 0 || name.len > LIST_NAME_MAX || !utf8_valid(name))
        return false;
    for (size_t i = 0; i < name.len; i++)
        if ((unsigned char)name.ptr[i] <= ' ' || name.ptr[i] == 0x7f)
            return false;
    return true;
}

/* The place of the name; a new one is put where the order of names wants it, which moves the bits
 * of those behind. */
static size_t
place_name(struct lists *lists, struct str name)
{
    size_t at = 0;
    while (at < lists->name_count && str_compare(lists->names[at], name) < 0)
        at++;
    if (at < lists->name_count && str_equal(lists->names[at], name))
        return at;

    uint64_t before = ((uint64_t)1 << at) - 1;
    for (size_t i = 0; i < lists->entries.count; i++) {
        uint64_t *value = &lists->entries.items[i].value;
        *value = (*value & before) | (*value & ~before) << 1;
    }
    memmove(&lists->names[at + 1], &lists->names[at],
            (lists->name_count - at) * sizeof lists->names[0]);
    lists->names[at] = base_copy(name);
    lists->name_count++;
    return at;
}

bool
lists_parse(struct lists *lists, struct str name, struct str text, const char *path,
            struct err *err)
{
    struct lines lines = lines_of(text, path);
    bool more = false, is_new = true;

    must(lists->networks == NULL);
    if (!is_list_name(name))
        return err_set(err, ERR_INPUT, "%s: no name of a list: \"%.*s\"", path, STR_ARG(name));
    for (size_t i = 0; i < lists->name_count; i++)
        is_new = is_new && !str_equal(lists->names[i], name);
    /* An event names all the lists it is on, and may be on all there are. */
    if (is_new && lists->name_count == LIMIT_LISTS)
        return err_set(err, ERR_LIMIT, "%s: more than %d lists", path, LIMIT_LISTS);

    uint64_t bit = (uint64_t)1 << place_name(lists, name);
    for (;;) {
        struct network network;
        if (!next_line(&lines, &more, err))
            return false;
        if (!more)
            return true;
        struct str rest = lines.line;
        if (!network_parse(trim(str_split(&rest, '#')), &network))
            return complain(&lines, err, "no network", lines.line);
        add_entry(&lists->entries, network, bit);
        lists->count++;
    }
}

void
lists_finish(struct lists *lists)
{
    lists->networks = networks_new(lists->entries.items, lists->entries.count, NETWORKS_UNION);
    base_free(lists->entries.items);
    lists->entries = (struct entries){0};
}

void
lists_free(struct lists *lists)
{
    if (lists == NULL)
        return;
    for (size_t i = 0; i < lists->name_count; i++)
        text_free(lists->names[i]);
    networks_free(lists->networks);
    base_free(lists->entries.items);
    base_free(lists);
}

uint64_t
lists_find(const struct lists *lists, const struct address *address)
{
    return networks_find(lists->networks, address);
}

size_t
lists_count(const struct lists *lists)
{
    return lists->count;
}

struct str
lists_name(const struct lists *lists, size_t index)
{
    must(index < lists->name_count);
    return lists->names[index];
}
