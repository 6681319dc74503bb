/* check - what holds for every message, whoever chose the texts in it. */
#ifndef TEST_MAIL_CHECK_H
#define TEST_MAIL_CHECK_H

#include "codec/text.h"
#include "mail/mail.h"

#include "tap.h"

#include <strings.h>

static const char *const check_headers[] = {
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "References",
    "Auto-Submitted",
    "X-Auto-Response-Suppress",
    "MIME-Version",
    "Content-Type",
};

/* One line, without its CRLF. NULL: it is good. */
static inline const char *
check_line(struct str line)
{
    if (line.len > 78)
        return "a line is too long";
    for (size_t i = 0; i < line.len; i++)
        if (line.ptr[i] < ' ' || line.ptr[i] > '~')
            return "a byte is no printable character";
    return NULL;
}

/* Cuts the next line off; false: it does not end in CRLF. */
static inline bool
check_cut(struct str *rest, struct str *line_out)
{
    const char *end = memchr(rest->ptr, '\n', rest->len);
    if (end == NULL || end == rest->ptr || end[-1] != '\r')
        return false;
    *line_out = (struct str){rest->ptr, (size_t)(end - 1 - rest->ptr)};
    size_t len = (size_t)(end + 1 - rest->ptr);
    *rest = (struct str){rest->ptr + len, rest->len - len};
    return true;
}

/* Each header is one of ours, there once, in our order; continued lines hold what they may. */
static inline const char *
check_head(struct str *rest)
{
    struct str line;
    size_t next = 0;
    for (bool first = true;; first = false) {
        if (!check_cut(rest, &line))
            return "a header does not end in CRLF";
        const char *bad = check_line(line);
        if (bad != NULL)
            return bad;
        if (line.len == 0)
            return first ? "there are no headers" : NULL;
        if (line.ptr[0] == ' ')
            continue;
        size_t name = 0;
        while (name < line.len && line.ptr[name] != ':')
            name++;
        while (next < COUNT_OF(check_headers) &&
               !str_equal((struct str){line.ptr, name}, str_from(check_headers[next])))
            next++;
        if (next++ == COUNT_OF(check_headers))
            return "a header is not one of ours, or not in its place";
    }
}

static inline const char *
check_message(struct str message)
{
    struct str rest = message, line;
    const char *bad = check_head(&rest);
    size_t boundaries = 0;
    while (bad == NULL && rest.len > 0) {
        if (!check_cut(&rest, &line))
            return "a line does not end in CRLF";
        bad = check_line(line);
        boundaries += str_starts(line, STR("--=_tocsin"));
        if (str_starts(line, STR(".")) || str_starts(line, STR("From ")))
            bad = "a line begins as no line may";
    }
    if (bad == NULL && boundaries != 3)
        bad = "there are not two parts";
    return bad;
}

/* Takes the quoted-printable of one part off; `part` 0: text, 1: HTML. */
static inline void
check_decode(struct str message, int part, struct buffer *out)
{
    struct str rest = message, line;
    int boundary = -1;
    bool in_body = false;
    buffer_clear(out);
    while (rest.len > 0 && check_cut(&rest, &line)) {
        if (str_starts(line, STR("--=_tocsin"))) {
            boundary++;
            in_body = false;
        } else if (boundary == part && !in_body) {
            in_body = line.len == 0;
        } else if (boundary == part) {
            bool soft = line.len > 0 && line.ptr[line.len - 1] == '=';
            for (size_t i = 0; i + soft < line.len; i++) {
                char c = line.ptr[i];
                if (c == '=' && hex_decode((struct str){line.ptr + i + 1, 2}, &c, 1))
                    i += 2;
                buffer_add_char(out, c);
            }
            if (!soft)
                buffer_add_char(out, '\n');
        }
    }
}

#endif
