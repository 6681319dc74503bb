/* client - what a request itself says: lines of NDJSON, and whose address it
 * came from. */
#include <string.h>

#include "intake/intake.h"

static bool
is_blank(struct str line)
{
    for (size_t i = 0; i < line.len; i++)
        if (line.ptr[i] != ' ' && line.ptr[i] != '\t')
            return false;
    return true;
}

bool
intake_next_line(struct str *rest, struct str *line_out)
{
    while (rest->ptr != NULL) {
        struct str line = str_split(rest, '\n');
        if (line.len > 0 && line.ptr[line.len - 1] == '\r')
            line.len--;
        if (!is_blank(line)) {
            *line_out = line;
            return true;
        }
    }
    return false;
}

/* -- X-Forwarded-For --------------------------------------------------------------- */

static struct str
trim(struct str text)
{
    while (text.len > 0 && (text.ptr[0] == ' ' || text.ptr[0] == '\t')) {
        text.ptr++;
        text.len--;
    }
    while (text.len > 0 && (text.ptr[text.len - 1] == ' ' || text.ptr[text.len - 1] == '\t'))
        text.len--;
    return text;
}

static bool
is_port(struct str text)
{
    int64_t port;
    return text.len <= 5 && str_to_int(text, &port) && port >= 0 && port <= 65535;
}

/* An address as proxies write it: bare, "a.b.c.d:port", "[v6]", "[v6]:port", each perhaps in
 * double quotes. */
static bool
parse_hop(struct str text, struct address *address_out)
{
    if (text.len >= 2 && text.ptr[0] == '"' && text.ptr[text.len - 1] == '"')
        text = trim((struct str){text.ptr + 1, text.len - 2});
    if (text.len > 0 && text.ptr[0] == '[') {
        struct str rest = {text.ptr + 1, text.len - 1};
        struct str inside = str_split(&rest, ']');
        if (rest.ptr == NULL || memchr(inside.ptr, ':', inside.len) == NULL)
            return false;
        if (rest.len > 0 &&
            (rest.ptr[0] != ':' || !is_port((struct str){rest.ptr + 1, rest.len - 1})))
            return false;
        return address_parse(inside, address_out);
    }
    if (address_parse(text, address_out))
        return true;
    struct str port = text;
    struct str host = str_split(&port, ':');
    return port.ptr != NULL && is_port(port) && address_parse(host, address_out);
}

static bool
is_trusted(const struct address *address, const struct network *trusted, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (network_contains(&trusted[i], address))
            return true;
    return false;
}

/* Cuts the last element off `*rest`; an absent rest follows the first one. */
static struct str
split_last(struct str *rest, char separator)
{
    size_t at = rest->len;
    while (at > 0 && rest->ptr[at - 1] != separator)
        at--;
    struct str last = {rest->ptr + at, rest->len - at};
    *rest = at > 0 ? (struct str){rest->ptr, at - 1} : (struct str){0};
    return last;
}

bool
intake_client_address(const struct address *peer, struct str forwarded_for,
                      const struct network *trusted, size_t trusted_count,
                      struct address *address_out)
{
    if (!is_trusted(peer, trusted, trusted_count)) {
        *address_out = *peer;
        return true;
    }
    while (forwarded_for.ptr != NULL) {
        struct address address;
        struct str hop = trim(split_last(&forwarded_for, ','));
        if (hop.len == 0)
            continue; /* RFC 9110 lets a list hold empty elements */
        if (!parse_hop(hop, &address))
            return false;
        if (!is_trusted(&address, trusted, trusted_count)) {
            *address_out = address;
            return true;
        }
    }
    return false;
}
