/* doc/rules.md is made of doc/rules.in.md, the rows of the rule types, and the scenarios. The
 * test fails when the file in the tree is another one; `--write` (tools/make-rules-doc) makes it
 * anew. */
#include "detect/detect.h"
#include "tap.h"

#include <glob.h>
#include <inttypes.h>
#include <stdlib.h>

enum { DOC_MAX = 1 << 22 };

static const char path_in[] = "doc/rules.in.md", path_out[] = "doc/rules.md";
static struct arena arena;

static struct str
read_file(const char *path)
{
    FILE *file = fopen(path, "r");
    char *text = arena_array(&arena, DOC_MAX, char);
    must(text != NULL);
    if (file == NULL)
        return (struct str){0};
    size_t len = fread(text, 1, DOC_MAX, file);
    must(len < DOC_MAX);
    fclose(file);
    return (struct str){text, len};
}

static struct str
text_of(const struct json *object, const char *name)
{
    return json_get(object, str_from(name))->text;
}

/* -- a table of conditions -------------------------------------------------------------- */

static void
write_range(struct buffer *out, const struct json *row)
{
    const struct json *range = json_get(row, STR("range")), *items = json_get(row, STR("items"));
    const struct json *values = json_get(row, STR("values"));
    if (values->type == JSON_ARRAY)
        for (uint32_t i = 0; i < values->count; i++)
            buffer_printf(out, "%s%.*s", i == 0 ? "" : ", ", STR_ARG(values->items[i].text));
    else if (range->type == JSON_OBJECT)
        buffer_printf(out, "%.0f to %.0f", json_get(range, STR("min"))->number,
                      json_get(range, STR("max"))->number);
    else if (items->type == JSON_OBJECT)
        buffer_printf(out, "%.0f to %.0f items", json_get(items, STR("min"))->number,
                      json_get(items, STR("max"))->number);
}

static void
write_default(struct buffer *out, const struct json *row)
{
    const struct json *value = json_get(row, STR("default"));
    if (json_get(row, STR("required"))->truth) {
        buffer_add(out, STR("required"));
    } else if (value->type != JSON_NULL) {
        struct buffer text;
        buffer_init(&text, DOC_MAX);
        json_write(&text, value);
        if (text.len <= 80)
            buffer_printf(out, "`%.*s`", STR_ARG(buffer_str(&text)));
        else
            buffer_printf(out, "%" PRIu32 " of them, see GET /rule-types", value->count);
        buffer_fini(&text);
    }
}

static void
write_rows(struct buffer *out, const struct json *rows, const char *prefix)
{
    for (uint32_t i = 0; i < rows->count; i++) {
        const struct json *row = &rows->items[i], *members = json_get(row, STR("members"));
        char below[64];
        buffer_printf(out, "| `%s%.*s` | %.*s | ", prefix, STR_ARG(text_of(row, "name")),
                      STR_ARG(text_of(row, "type")));
        write_range(out, row);
        buffer_add(out, STR(" | "));
        write_default(out, row);
        buffer_printf(out, " | %.*s |\n", STR_ARG(text_of(row, "summary")));
        snprintf(below, sizeof below, "%s%.*s.", prefix, STR_ARG(text_of(row, "name")));
        if (members->type == JSON_ARRAY && !str_equal(text_of(row, "name"), STR("exclude")))
            write_rows(out, members, below);
    }
}

/* -- a rule type ---------------------------------------------------------------------------- */

static void
write_scenarios(struct buffer *out, struct str type)
{
    static const char *const ends[] = {".scn", "-*.scn"};
    for (size_t i = 0; i < COUNT_OF(ends); i++) {
        char pattern[256];
        glob_t found = {0};
        int len = snprintf(pattern, sizeof pattern, "test/scenario/%.*s%s", STR_ARG(type), ends[i]);
        must(len > 0 && (size_t)len < sizeof pattern);
        bool any = glob(pattern, 0, NULL, &found) == 0;
        CHECK(any || i > 0); /* every type has its scenario */
        for (size_t j = 0; any && j < found.gl_pathc; j++) {
            struct str text = read_file(found.gl_pathv[j]);
            buffer_printf(out, "\n`%s`:\n\n```\n", found.gl_pathv[j]);
            buffer_add(out, text);
            buffer_add(out, STR("```\n"));
        }
        globfree(&found);
    }
}

static void
write_type(struct buffer *out, const struct json *type)
{
    struct str name = text_of(type, "rule_type");
    buffer_printf(out, "## %.*s\n\n%.*s\n", STR_ARG(name), STR_ARG(text_of(type, "summary")));
    buffer_printf(out, "Severity %.*s, cooldown %.0f minutes, unless the rule says otherwise.\n\n",
                  STR_ARG(text_of(type, "severity")),
                  json_get(type, STR("cooldown_minutes"))->number);
    buffer_printf(out, "%.*s\n\n", STR_ARG(text_of(type, "notes")));
    buffer_add(out, STR("| condition | type | range | default | |\n|---|---|---|---|---|\n"));
    write_rows(out, json_get(type, STR("conditions")), "");
    write_scenarios(out, name);
    buffer_add_char(out, '\n');
}

static void
write_doc(struct buffer *out)
{
    struct buffer types;
    struct json json;
    struct json_parser *parser = json_parser_new();
    struct str rest = read_file(path_in);
    const char *mark = rest.ptr == NULL ? NULL : strstr(rest.ptr, "@types@");
    must(mark != NULL);
    buffer_add(out, STR("<!-- Made by tools/make-rules-doc; edit doc/rules.in.md, the rows in "
                        "src/detect/, or test/scenario/. -->\n\n"));
    buffer_add(out, (struct str){rest.ptr, (size_t)(mark - rest.ptr)});
    buffer_init(&types, DOC_MAX);
    detect_write_types(&types);
    must(json_parse(parser, buffer_str(&types), &arena, &json, &(struct err){0}));
    for (uint32_t i = 0; i < json.count; i++)
        write_type(out, &json.items[i]);
    out->len--; /* the last blank line */
    json_parser_free(parser);
    buffer_fini(&types);
}

static void
test_the_page_of_rules_is_the_one_the_rows_make(void)
{
    struct buffer out;
    arena_init(&arena, 1 << 20, (size_t)1 << 30);
    buffer_init(&out, DOC_MAX);
    write_doc(&out);
    if (!CHECK(str_equal(read_file(path_out), buffer_str(&out))))
        printf("# run tools/make-rules-doc\n");
    buffer_fini(&out);
    arena_fini(&arena);
}

int
main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--write") == 0) {
        struct buffer out;
        arena_init(&arena, 1 << 20, (size_t)1 << 30);
        buffer_init(&out, DOC_MAX);
        write_doc(&out);
        FILE *file = fopen(path_out, "w");
        must(file != NULL && fwrite(out.ptr, 1, out.len, file) == out.len && fclose(file) == 0);
        buffer_fini(&out);
        arena_fini(&arena);
        return 0;
    }
    RUN(test_the_page_of_rules_is_the_one_the_rows_make);
    return tap_done();
}
