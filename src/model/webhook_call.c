/* webhook_call - what a webhook is called with: its URL and its own headers, and how they are shown
 * where secrets are not. */
#include "model/model_priv.h"
#include "model/webhook_call.h"

#include <string.h>
#include <strings.h>

#include "codec/text.h"
#include "model/limits.h"

/* -- url ---------------------------------------------------------------------- */

static bool
is_host_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_';
}

static bool
is_host(struct str host)
{
    if (host.len == 0 || host.len > 253)
        return false;
    if (host.ptr[0] == '[') {
        struct address address;
        return host.ptr[host.len - 1] == ']' &&
               address_parse((struct str){host.ptr + 1, host.len - 2}, &address);
    }
    for (size_t i = 0; i < host.len; i++)
        if (!is_host_char(host.ptr[i]))
            return false;
    return true;
}

/* host, [v6], each with or without a port. */
static bool
is_authority(struct str authority)
{
    size_t host_len = authority.len;
    for (size_t i = authority.len; i > 0; i--) {
        char c = authority.ptr[i - 1];
        if (c == ']')
            break;
        if (c == ':') {
            host_len = i - 1;
            break;
        }
    }
    if (host_len < authority.len) {
        int64_t port = 0;
        struct str digits = {authority.ptr + host_len + 1, authority.len - host_len - 1};
        if (digits.len > 5 || !str_to_int(digits, &port) || port < 1 || port > 65535)
            return false;
    }
    return is_host((struct str){authority.ptr, host_len});
}

static size_t
scheme_len(struct str url)
{
    static const char *const schemes[] = {"https://", "http://"};
    for (size_t i = 0; i < COUNT_OF(schemes); i++) {
        size_t len = strlen(schemes[i]);
        if (url.len > len && strncasecmp(url.ptr, schemes[i], len) == 0)
            return len;
    }
    return 0;
}

static struct str
authority_of(struct str url)
{
    size_t scheme = scheme_len(url);
    struct str authority = {url.ptr + scheme, 0};
    while (scheme + authority.len < url.len && strchr("/?#", authority.ptr[authority.len]) == NULL)
        authority.len++;
    return authority;
}

const char *
webhook_url_wrong(struct str url)
{
    if (url.len > WEBHOOK_URL_MAX)
        return "may be at most 2,048 bytes";
    for (size_t i = 0; i < url.len; i++)
        if (url.ptr[i] <= ' ' || url.ptr[i] > '~' || url.ptr[i] == '\\')
            return "holds characters that must be percent-encoded";
    if (scheme_len(url) == 0)
        return "must begin with https:// or http://";
    struct str authority = authority_of(url);
    if (memchr(authority.ptr, '@', authority.len) != NULL)
        return "may not hold a user name or password";
    return is_authority(authority) ? NULL : "has no valid host";
}

void
webhook_url_write_shown(struct buffer *out, const struct webhook *webhook)
{
    struct str url = webhook->url;
    if (webhook_url_is_secret(webhook->format) && scheme_len(url) > 0) {
        struct str authority = authority_of(url);
        buffer_add(out, (struct str){url.ptr, (size_t)(authority.ptr - url.ptr) + authority.len});
        buffer_add(out, STR("/" WEBHOOK_HIDDEN));
        return;
    }
    buffer_add(out, url);
}

/* -- headers ---------------------------------------------------------------------- */

bool
webhook_header_is_reserved(struct str name)
{
    static const char *const reserved[] = {
        "host",
        "content-type",
        "content-length",
        "content-encoding",
        "user-agent",
        "connection",
        "transfer-encoding",
        "te",
        "trailer",
        "upgrade",
        "proxy-authorization",
        "expect",
        "keep-alive",
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
        "x-immutable-signature",
        "x-fusionauth-signature-jwt",
    };
    for (size_t i = 0; i < COUNT_OF(reserved); i++)
        if (strlen(reserved[i]) == name.len && strncasecmp(reserved[i], name.ptr, name.len) == 0)
            return true;
    return false;
}

/* A token of RFC 9110. */
static bool
is_header_name(struct str name)
{
    if (name.len == 0 || name.len > 100)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!alnum && (c == '\0' || strchr("!#$%&'*+-.^_`|~", c) == NULL))
            return false;
    }
    return true;
}

static bool
is_header_value(const struct json *value)
{
    if (value->type != JSON_STRING || value->text.len > LIMIT_STRING_BYTES)
        return false;
    for (size_t i = 0; i < value->text.len; i++) {
        unsigned char c = (unsigned char)value->text.ptr[i];
        if ((c < ' ' && c != '\t') || c > '~')
            return false;
    }
    return true;
}

static bool
header_came_before(const struct json *headers, uint32_t at)
{
    struct str name = headers->members[at].name;
    for (uint32_t i = 0; i < at; i++) {
        struct str other = headers->members[i].name;
        if (other.len == name.len && strncasecmp(other.ptr, name.ptr, name.len) == 0)
            return true;
    }
    return false;
}

const char *
webhook_header_wrong(const struct json *headers, uint32_t at)
{
    const struct json_member *member = &headers->members[at];
    return !is_header_name(member->name)              ? "is no header name"
           : webhook_header_is_reserved(member->name) ? "is set by the server"
           : !is_header_value(&member->value)         ? "has no valid value"
           : header_came_before(headers, at)          ? "is named twice"
                                                      : NULL;
}

void
webhook_headers_write_shown(struct buffer *out, const struct webhook *webhook)
{
    const struct json *headers = &webhook->headers;
    json_open(out, '{');
    for (uint32_t i = 0; headers->type == JSON_OBJECT && i < headers->count; i++) {
        struct str name = headers->members[i].name;
        buffer_add(out, i == 0 ? STR("") : STR(","));
        json_write_string(out, name);
        buffer_add(out, STR(":\"" WEBHOOK_HIDDEN "\""));
    }
    json_close(out, '}');
}

static const struct json *
header_before(const struct json *before, struct str name)
{
    for (uint32_t i = 0; before->type == JSON_OBJECT && i < before->count; i++) {
        const struct json_member *member = &before->members[i];
        if (member->name.len == name.len && strncasecmp(member->name.ptr, name.ptr, name.len) == 0)
            return &member->value;
    }
    return NULL;
}

bool
webhook_headers_keep_hidden(struct json *headers, const struct json *before, struct arena *arena)
{
    struct json_member *kept = arena_array(arena, headers->count, struct json_member);
    if (kept == NULL)
        return false;
    for (uint32_t i = 0; i < headers->count; i++) {
        const struct json *value = &headers->members[i].value, *old = NULL;
        kept[i] = headers->members[i];
        if (value->type == JSON_STRING && str_equal(value->text, STR(WEBHOOK_HIDDEN)))
            old = header_before(before, kept[i].name);
        if (old != NULL)
            kept[i].value = *old;
    }
    headers->members = kept;
    return true;
}
