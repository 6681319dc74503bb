/* Any bytes as the body of POST /events, and as an X-Forwarded-For: what is taken can be stored,
 * read back and stored again as the same bytes, and what is refused is refused with a field. */
#include <stdlib.h>
#include <string.h>

#include "codec/text.h"
#include "intake/intake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
fill_ones(void *self, void *bytes, size_t len)
{
    (void)self;
    memset(bytes, 0xab, len);
}

static void
check_taken(struct json_parser *parser, const struct event *event, struct arena *arena)
{
    struct buffer stored, again;
    struct json json;
    struct event read;
    struct err err = {0};
    size_t offset;
    buffer_init(&stored, 1 << 20);
    buffer_init(&again, 1 << 20);
    event_write_stored(&stored, event, arena, &offset);
    must(!stored.ran_out);
    must(json_parse(parser, buffer_str(&stored), arena, &json, &err));
    must(event_read_stored(&json, arena, &read, &err));
    event_write_stored(&again, &read, arena, &offset);
    must(str_equal(buffer_str(&stored), buffer_str(&again)));
    buffer_fini(&stored);
    buffer_fini(&again);
}

static void
check_refused(const struct violations *violations)
{
    must(violations->total > 0);
    for (size_t i = 0; i < violations->count; i++)
        must(violations->items[i].field.len > 0 && utf8_valid(violations->items[i].field) &&
             utf8_valid(violations->items[i].message));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    struct arena arena;
    struct json json;
    struct err err = {0};
    struct event event;
    struct address peer, client;
    struct network trusted;
    arena_init(&arena, 1 << 16, 64u << 20);
    static struct json_parser *parser; /* kept by the thread, as everywhere */
    if (parser == NULL)
        parser = json_parser_new();
    must(address_parse(STR("10.0.0.1"), &peer) && network_parse(STR("10.0.0.0/8"), &trusted));
    (void)!intake_client_address(&peer, text, &trusted, 1, &client);
    if (json_parse(parser, text, &arena, &json, &err)) {
        struct intake_context context = {
            .arena = &arena, .random = {.fill = fill_ones}, .now_us = 1774621938291034};
        struct violations violations = {.arena = &arena};
        if (intake_read_event(&context, &json, "", &event, &violations))
            check_taken(parser, &event, &arena);
        else
            check_refused(&violations);
    }
    arena_fini(&arena);
    return 0;
}
