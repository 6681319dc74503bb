/* Paths and queries: percent-encoding, and the parameters that a route lists. */
#include "api/api_priv.h"

#include <string.h>

static int
hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

struct str
percent_decode(struct arena *arena, struct str text, bool plus_is_space)
{
    char *out = arena_alloc(arena, text.len + 1, 1, 1);
    size_t len = 0;
    if (out == NULL)
        return (struct str){0};
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '%') {
            int high = i + 2 < text.len ? hex_digit(text.ptr[i + 1]) : -1;
            int low = i + 2 < text.len ? hex_digit(text.ptr[i + 2]) : -1;
            if (high < 0 || low < 0)
                return (struct str){0};
            c = (char)(high * 16 + low);
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        out[len++] = c;
    }
    struct str decoded = {out, len};
    return utf8_valid(decoded) ? decoded : (struct str){0};
}

static bool
is_listed(const struct route *route, struct str name)
{
    for (const struct parameter *p = route->query; p != NULL && p->name != NULL; p++)
        if (str_equal(str_from(p->name), name))
            return true;
    return false;
}

static bool
add_value(struct call *call, struct str name, struct str value)
{
    if (name.ptr == NULL || value.ptr == NULL) {
        call_fail(call, 422, "validation_failed", "The query is not well encoded UTF-8.");
        return false;
    }
    if (!is_listed(call->route, name)) {
        call_fail(call, 422, "validation_failed", "There is no query parameter %.*s here.",
                  (int)(name.len < 100 ? name.len : 100), name.ptr);
        return false;
    }
    for (size_t i = 0; i < call->query_count; i++) {
        if (str_equal(call->query[i].name, name)) {
            call_fail(call, 422, "validation_failed", "The query parameter %.*s is there twice.",
                      STR_ARG(name));
            return false;
        }
    }
    must(call->query_count < API_QUERY_MAX); /* no route lists so many */
    call->query[call->query_count++] = (struct query_value){name, value};
    return true;
}

bool
call_read_query(struct call *call)
{
    struct str rest = call->query_text;
    while (rest.ptr != NULL) {
        struct str value = str_split(&rest, '&');
        if (value.len == 0)
            continue;
        struct str name = str_split(&value, '=');
        if (value.ptr == NULL)
            value = STR("");
        struct arena *arena = call_arena(call);
        if (!add_value(call, percent_decode(arena, name, true), percent_decode(arena, value, true)))
            return false;
    }
    return true;
}

struct str
call_query(const struct call *call, const char *name)
{
    struct str wanted = str_from(name);
    for (size_t i = 0; i < call->query_count; i++)
        if (str_equal(call->query[i].name, wanted) && call->query[i].value.len > 0)
            return call->query[i].value;
    return (struct str){0};
}
