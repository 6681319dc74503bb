/* Every address we answer to, in one table. doc/api.md and openapi.json are made from it. */
#include "api/api_priv.h"

#include <string.h>

static bool
match_path(struct str pattern, struct str path,
           struct str parameters_out[static API_PARAMETERS_MAX])
{
    size_t found = 0;
    while (pattern.ptr != NULL && path.ptr != NULL) {
        struct str want = str_split(&pattern, '/'), got = str_split(&path, '/');
        if (want.len > 0 && want.ptr[0] == '{') {
            if (got.len == 0)
                return false;
            must(found < API_PARAMETERS_MAX);
            parameters_out[found++] = got;
        } else if (!str_equal(want, got)) {
            return false;
        }
    }
    return pattern.ptr == NULL && path.ptr == NULL;
}

enum route_match
route_find(struct str method, struct str path, const struct route **route_out,
           struct str parameters_out[static API_PARAMETERS_MAX], char allow_out[static 64])
{
    struct str found[API_PARAMETERS_MAX];
    size_t allow_len = 0;
    for (size_t i = 0; i < api_route_count; i++) {
        const struct route *route = &api_routes[i];
        memset(found, 0, sizeof found);
        if (!match_path(str_from(route->path), path, found))
            continue;
        if (str_equal(method, str_from(route->method))) {
            *route_out = route;
            memcpy(parameters_out, found, sizeof found);
            return ROUTE_FOUND;
        }
        size_t len = strlen(route->method), gap = allow_len > 0 ? 2 : 0;
        must(allow_len + gap + len < 64);
        memcpy(allow_out + allow_len, ", ", gap);
        memcpy(allow_out + allow_len + gap, route->method, len + 1);
        allow_len += gap + len;
    }
    return allow_len > 0 ? ROUTE_NO_METHOD : ROUTE_NO_PATH;
}
