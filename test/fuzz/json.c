/* Whatever parses has a canonical form, which parses to the same canonical form. */
#include "codec/json.h"
#include "codec/text.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
has_duplicates(const struct json *json)
{
    if (json_duplicate(json).ptr != NULL)
        return true;
    for (size_t i = 0; i < json->count; i++)
        if (has_duplicates(json->type == JSON_OBJECT ? &json->members[i].value : &json->items[i]))
            return true;
    return false;
}

static void
check_tree(struct json_parser *parser, const struct json *json, struct arena *arena)
{
    struct buffer once, twice;
    buffer_init(&once, 64 << 20);
    buffer_init(&twice, 64 << 20);
    must(json_depth(json) <= JSON_DEPTH_MAX + 1);
    json_write(&once, json);
    must(utf8_valid(buffer_str(&once)));
    if (!has_duplicates(json)) {
        struct json again;
        struct err err = {0};
        buffer_clear(&once);
        json_write_canonical(&once, json, arena);
        must(json_parse(parser, buffer_str(&once), arena, &again, &err));
        json_write_canonical(&twice, &again, arena);
        must(!once.ran_out && str_equal(buffer_str(&once), buffer_str(&twice)));
    }
    buffer_fini(&once);
    buffer_fini(&twice);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct json_parser *parser;
    if (parser == NULL)
        parser = json_parser_new();
    struct arena arena;
    arena_init(&arena, 4096, 64 << 20);
    struct json json;
    struct err err = {0};
    if (json_parse(parser, (struct str){(const char *)data, size}, &arena, &json, &err))
        check_tree(parser, &json, &arena);
    else
        must(err.code == ERR_INPUT && memchr(err.text, '\0', sizeof err.text) != NULL);
    arena_fini(&arena);
    return 0;
}
