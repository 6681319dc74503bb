/* devices - what a user agent says of browser, system and kind of device, by uap-core's regexes.
 *
 * In each of the three lists the first regex that matches wins, as in every other reader of that
 * file; the prefilter only leaves out those that cannot match. Matching is bytewise. A regex that
 * runs into the match limit counts as not matching: the sender chooses the text. */
#include "enrich/enrich_priv.h"

#include "codec/text.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <string.h>
#include <yaml.h>

enum {
    REGEXES_MAX = 20000,
    GROUPS_MAX = 10,     /* $0 to $9 */
    MATCH_LIMIT = 20000, /* 60 us of going back and forth */
    JIT_STACK_FIRST = 32 * 1024,
    JIT_STACK_MAX = 512 * 1024
};

struct regex {
    enum device_kind kind;
    pcre2_code *code;
    struct str replacement; /* of the name, with $1…; absent: group 1 */
};

struct devices {
    struct arena arena;    /* replacements */
    struct regex *regexes; /* in the order of the file */
    size_t count, room;
    size_t first[DEVICE_KINDS], end[DEVICE_KINDS]; /* first SIZE_MAX: no such list */
    struct prefilter *prefilter;
};

struct device_scratch {
    struct prefilter_scratch *prefilter;
    pcre2_match_data *groups;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
    size_t tried;
};

/* -- reading the file -------------------------------------------------------- */

static const struct {
    const char *list, *replacement;
} kinds[] = {
    [DEVICE_BROWSER] = {"user_agent_parsers", "family_replacement"},
    [DEVICE_OS] = {"os_parsers", "os_replacement"},
    [DEVICE_MODEL] = {"device_parsers", "device_replacement"},
};
_Static_assert(COUNT_OF(kinds) == DEVICE_KINDS, "a kind lacks its row");

/* One row of a list, while it is read. */
struct row {
    struct str regex, flag, replacement;
    size_t line;
};

struct yaml_reader {
    yaml_parser_t parser;
    yaml_event_t event; /* the one in hand */
    const char *path;
    struct arena *arena;
};

static bool
yaml_next(struct yaml_reader *reader, struct err *err)
{
    yaml_event_delete(&reader->event);
    if (!yaml_parser_parse(&reader->parser, &reader->event)) {
        memset(&reader->event, 0, sizeof reader->event);
        return err_set(err, ERR_INPUT, "%s: line %zu: %s", reader->path,
                       reader->parser.problem_mark.line + 1, reader->parser.problem);
    }
    return true;
}

static bool
unexpected(struct yaml_reader *reader, struct err *err)
{
    return err_set(err, ERR_INPUT, "%s: line %zu: not what a list of regexes looks like",
                   reader->path, reader->event.start_mark.line + 1);
}

static bool
yaml_expect(struct yaml_reader *reader, yaml_event_type_t type, struct err *err)
{
    return yaml_next(reader, err) && (reader->event.type == type || unexpected(reader, err));
}

static struct str
yaml_text(const struct yaml_reader *reader)
{
    return (struct str){(const char *)reader->event.data.scalar.value,
                        reader->event.data.scalar.length};
}

/* The members of a row; the mapping has begun. Those that are not ours are passed over. */
static bool
read_row(struct yaml_reader *reader, const char *replacement, struct row *row, struct err *err)
{
    *row = (struct row){.line = reader->event.start_mark.line + 1};
    for (;;) {
        struct str unused, *member = &unused;
        if (!yaml_next(reader, err))
            return false;
        if (reader->event.type == YAML_MAPPING_END_EVENT)
            break;
        if (reader->event.type != YAML_SCALAR_EVENT)
            return unexpected(reader, err);
        struct str name = yaml_text(reader);
        if (str_equal(name, STR("regex")))
            member = &row->regex;
        else if (str_equal(name, STR("regex_flag")))
            member = &row->flag;
        else if (str_equal(name, str_from(replacement)))
            member = &row->replacement;
        if (!yaml_expect(reader, YAML_SCALAR_EVENT, err))
            return false;
        if (!arena_copy(reader->arena, yaml_text(reader), member))
            return err_set(err, ERR_LIMIT, "%s: too long", reader->path);
    }
    if (row->regex.len == 0)
        return err_set(err, ERR_INPUT, "%s: line %zu: no regex", reader->path, row->line);
    if (row->flag.ptr != NULL && !str_equal(row->flag, STR("i")))
        return err_set(err, ERR_INPUT, "%s: line %zu: regex_flag knows only i", reader->path,
                       row->line);
    return true;
}

static bool
add_regex(struct devices *devices, enum device_kind kind, const struct row *row, const char *path,
          struct err *err)
{
    int code;
    PCRE2_SIZE offset;
    uint32_t options = row->flag.ptr != NULL ? PCRE2_CASELESS : 0;
    struct regex regex = {.kind = kind, .replacement = row->replacement};

    if (devices->count == REGEXES_MAX)
        return err_set(err, ERR_LIMIT, "%s: more than %d regexes", path, REGEXES_MAX);
    regex.code =
        pcre2_compile((PCRE2_SPTR)row->regex.ptr, row->regex.len, options, &code, &offset, NULL);
    if (regex.code == NULL) {
        char why[128];
        pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof why);
        return err_set(err, ERR_INPUT, "%s: line %zu: %s", path, row->line, why);
    }
    /* Where there is no JIT, pcre2_match does without. */
    (void)pcre2_jit_compile(regex.code, PCRE2_JIT_COMPLETE);
    if (devices->count == devices->room) {
        devices->room = devices->room == 0 ? 2048 : devices->room * 2;
        devices->regexes = base_realloc(devices->regexes, devices->room * sizeof *devices->regexes);
    }
    devices->regexes[devices->count++] = regex;
    prefilter_add(devices->prefilter, row->regex);
    return true;
}

/* A list of rows; its name has been read. */
static bool
read_list(struct yaml_reader *reader, struct devices *devices, enum device_kind kind,
          struct err *err)
{
    if (!yaml_expect(reader, YAML_SEQUENCE_START_EVENT, err))
        return false;
    for (;;) {
        struct row row;
        if (!yaml_next(reader, err))
            return false;
        if (reader->event.type == YAML_SEQUENCE_END_EVENT)
            return true;
        if (reader->event.type != YAML_MAPPING_START_EVENT)
            return unexpected(reader, err);
        if (!read_row(reader, kinds[kind].replacement, &row, err) ||
            !add_regex(devices, kind, &row, reader->path, err))
            return false;
    }
}

/* The three lists, in any order, each at most once. */
static bool
read_lists(struct yaml_reader *reader, struct devices *devices, struct err *err)
{
    if (!yaml_expect(reader, YAML_STREAM_START_EVENT, err) ||
        !yaml_expect(reader, YAML_DOCUMENT_START_EVENT, err) ||
        !yaml_expect(reader, YAML_MAPPING_START_EVENT, err))
        return false;
    for (;;) {
        if (!yaml_next(reader, err))
            return false;
        if (reader->event.type == YAML_MAPPING_END_EVENT)
            return devices->count > 0 ||
                   err_set(err, ERR_INPUT, "%s: no regexes in it", reader->path);
        if (reader->event.type != YAML_SCALAR_EVENT)
            return unexpected(reader, err);
        size_t kind = 0;
        while (kind < DEVICE_KINDS && !str_equal(yaml_text(reader), str_from(kinds[kind].list)))
            kind++;
        if (kind == DEVICE_KINDS || devices->first[kind] != SIZE_MAX)
            return unexpected(reader, err);
        devices->first[kind] = devices->count;
        if (!read_list(reader, devices, (enum device_kind)kind, err))
            return false;
        devices->end[kind] = devices->count;
    }
}

bool
devices_parse_yaml(struct str yaml, const char *path, struct devices **devices_out, struct err *err)
{
    struct devices *devices = base_alloc(1, sizeof *devices);
    struct yaml_reader reader = {.path = path, .arena = &devices->arena};

    arena_init(&devices->arena, 65536, 64u << 20);
    devices->prefilter = prefilter_new();
    for (size_t kind = 0; kind < DEVICE_KINDS; kind++)
        devices->first[kind] = SIZE_MAX;
    must(yaml_parser_initialize(&reader.parser));
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)yaml.ptr, yaml.len);
    bool ok = read_lists(&reader, devices, err);
    yaml_event_delete(&reader.event);
    yaml_parser_delete(&reader.parser);
    if (!ok) {
        devices_free(devices);
        return false;
    }
    prefilter_finish(devices->prefilter);
    *devices_out = devices;
    return true;
}

void
devices_free(struct devices *devices)
{
    if (devices == NULL)
        return;
    for (size_t i = 0; i < devices->count; i++)
        pcre2_code_free(devices->regexes[i].code);
    prefilter_free(devices->prefilter);
    arena_fini(&devices->arena);
    base_free(devices->regexes);
    base_free(devices);
}

size_t
devices_count(const struct devices *devices)
{
    return devices->count;
}

/* -- matching ------------------------------------------------------------------ */

struct device_scratch *
device_scratch_new(const struct devices *devices)
{
    struct device_scratch *scratch = base_alloc(1, sizeof *scratch);
    scratch->prefilter = prefilter_scratch_new(devices->prefilter);
    scratch->groups = pcre2_match_data_create(GROUPS_MAX, NULL);
    scratch->context = pcre2_match_context_create(NULL);
    scratch->stack = pcre2_jit_stack_create(JIT_STACK_FIRST, JIT_STACK_MAX, NULL);
    must(scratch->groups != NULL && scratch->context != NULL);
    pcre2_set_match_limit(scratch->context, MATCH_LIMIT);
    if (scratch->stack != NULL)
        pcre2_jit_stack_assign(scratch->context, NULL, scratch->stack);
    return scratch;
}

void
device_scratch_free(struct device_scratch *scratch)
{
    if (scratch == NULL)
        return;
    prefilter_scratch_free(scratch->prefilter);
    pcre2_match_data_free(scratch->groups);
    pcre2_match_context_free(scratch->context);
    pcre2_jit_stack_free(scratch->stack);
    base_free(scratch);
}

size_t
device_scratch_tried(const struct device_scratch *scratch)
{
    return scratch->tried;
}

static struct str
group_text(const struct device_scratch *scratch, struct str text, int found, int group)
{
    const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(scratch->groups);
    if (group >= found || ends[2 * group] == PCRE2_UNSET)
        return (struct str){text.ptr, 0};
    return (struct str){text.ptr + ends[2 * group], ends[2 * group + 1] - ends[2 * group]};
}

static size_t
add_to(char *name, size_t len, struct str more)
{
    size_t room = DEVICE_NAME_MAX - len;
    size_t count = more.len < room ? more.len : room;
    memcpy(name + len, more.ptr, count);
    return len + count;
}

static bool
is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Matching bytewise, or cutting, can split a character: then only the ASCII of it is kept. */
static size_t
tidy(char *name, size_t len)
{
    size_t begin = 0, kept = 0;
    bool whole = utf8_valid((struct str){name, len});
    for (size_t i = 0; i < len; i++)
        if (whole || (unsigned char)name[i] < 0x80)
            name[kept++] = name[i];
    while (kept > 0 && is_space(name[kept - 1]))
        kept--;
    while (begin < kept && is_space(name[begin]))
        begin++;
    memmove(name, name + begin, kept - begin);
    return kept - begin;
}

/* Writes the name that the regex gives to what it found; 0 when that is empty. */
static size_t
expand(const struct regex *regex, const struct device_scratch *scratch, struct str text, int found,
       char name[static DEVICE_NAME_MAX])
{
    struct str pattern = regex->replacement;
    size_t len = 0;

    if (pattern.ptr == NULL)
        return tidy(name, add_to(name, 0, group_text(scratch, text, found, 1)));
    for (size_t i = 0; i < pattern.len; i++) {
        bool is_group = pattern.ptr[i] == '$' && i + 1 < pattern.len && pattern.ptr[i + 1] >= '1' &&
                        pattern.ptr[i + 1] <= '9';
        if (is_group) {
            i++;
            len = add_to(name, len, group_text(scratch, text, found, pattern.ptr[i] - '0'));
        } else {
            len = add_to(name, len, (struct str){pattern.ptr + i, 1});
        }
    }
    return tidy(name, len);
}

static bool
try_regex(const struct devices *devices, struct device_scratch *scratch, size_t index,
          struct str text, struct device *device)
{
    const struct regex *regex = &devices->regexes[index];
    scratch->tried++;
    int found = pcre2_match(regex->code, (PCRE2_SPTR)text.ptr, text.len, 0, 0, scratch->groups,
                            scratch->context);
    if (found < 0)
        return false;
    /* 0: more groups than fit; those that do are filled in. */
    size_t len =
        expand(regex, scratch, text, found == 0 ? GROUPS_MAX : found, device->name[regex->kind]);
    device->regex[regex->kind] = (int)index;
    if (len > 0)
        device->len[regex->kind] = (unsigned short)len;
    else
        device->len[regex->kind] =
            (unsigned short)add_to(device->name[regex->kind], 0, STR("Other"));
    return true;
}

/* The first of one kind that matches. */
static void
find_kind(const struct devices *devices, struct device_scratch *scratch, enum device_kind kind,
          const uint64_t *passing, struct str text, struct device *device)
{
    size_t end = devices->end[kind];
    device->regex[kind] = -1;
    device->len[kind] = (unsigned short)add_to(device->name[kind], 0, STR("Other"));
    if (devices->first[kind] == SIZE_MAX)
        return;
    for (size_t i = devices->first[kind]; i < end;) {
        uint64_t left = passing == NULL ? ~(uint64_t)0 : passing[i / 64];
        left &= ~(uint64_t)0 << i % 64;
        if (left == 0) {
            i = (i / 64 + 1) * 64;
            continue;
        }
        i = i / 64 * 64 + (size_t)__builtin_ctzll(left);
        if (i < end && try_regex(devices, scratch, i, text, device))
            return;
        i++;
    }
}

void
devices_find(const struct devices *devices, struct device_scratch *scratch, struct str user_agent,
             bool plain, struct device *device_out)
{
    struct str text = utf8_cut(user_agent, USER_AGENT_MAX);
    const uint64_t *passing =
        plain ? NULL : prefilter_scan(devices->prefilter, scratch->prefilter, text);

    scratch->tried = 0;
    for (enum device_kind kind = 0; kind < DEVICE_KINDS; kind++)
        find_kind(devices, scratch, kind, passing, text, device_out);
    device_out->type = device_type(
        (struct str){device_out->name[DEVICE_OS], device_out->len[DEVICE_OS]},
        (struct str){device_out->name[DEVICE_MODEL], device_out->len[DEVICE_MODEL]}, text);
}
