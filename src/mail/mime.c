/* mime - the envelope of a message: headers of RFC 5322 with encoded words (RFC 2047), and two
 * parts in quoted-printable (RFC 2045).
 *
 * No line of ours is longer than 76 characters. The boundary holds `=_`, which quoted-printable
 * never writes, so no part can hold the boundary. */
#include "mail/mail_priv.h"

#include "codec/hash.h"
#include "codec/text.h"
#include "codec/time.h"

#include <string.h>

#define BOUNDARY "=_tocsin"
#define CRLF     "\r\n"

enum {
    LINE_MAX_CHARS = 76,
    WORD_BYTES_MAX = 39, /* of an encoded word: 52 characters of base64, and =?UTF-8?B? ?= */
    SUBJECT_MAX = 200,
    PLAIN_SUBJECT_MAX = 66, /* "Subject: " stands before it */
};

/* -- headers ------------------------------------------------------------------------ */

static bool
is_plain(struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] < ' ' || text.ptr[i] > '~' ||
            (text.ptr[i] == '=' && i + 1 < text.len && text.ptr[i + 1] == '?'))
            return false;
    return true;
}

static void
add_subject(struct buffer *out, struct str subject)
{
    buffer_add(out, STR("Subject: "));
    if (subject.len <= PLAIN_SUBJECT_MAX && is_plain(subject)) {
        buffer_add(out, subject);
        buffer_add(out, STR(CRLF));
        return;
    }
    for (bool first = true; subject.len > 0; first = false) {
        struct str word = utf8_cut(subject, WORD_BYTES_MAX);
        buffer_add(out, first ? STR("=?UTF-8?B?") : STR(CRLF " =?UTF-8?B?"));
        base64_encode(out, word, false);
        buffer_add(out, STR("?="));
        subject = (struct str){subject.ptr + word.len, subject.len - word.len};
    }
    buffer_add(out, STR(CRLF));
}

static void
add_date(struct buffer *out, int64_t time_us)
{
    static const char *const days[] = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct local_time utc = utc_of(time_us);
    buffer_printf(out, "Date: %s, %d %s %04d %02d:%02d:%02d +0000" CRLF, days[utc.weekday], utc.day,
                  months[utc.month - 1], utc.year, utc.hour, utc.minute, utc.second);
}

static struct str
domain_of(struct str address)
{
    (void)str_split(&address, '@');
    return address;
}

struct str
thread_of(const char *kind, struct str workspace_id, struct str subject,
          char out[static THREAD_SIZE])
{
    unsigned char hash[SHA256_SIZE];
    struct buffer both;
    buffer_init(&both, 64 * 1024);
    buffer_add(&both, workspace_id);
    buffer_add_char(&both, '\0');
    buffer_add(&both, subject);
    sha256_once(buffer_str(&both), hash);
    buffer_fini(&both);
    size_t len = strlen(kind);
    must(len + 1 + 2 * 16 <= THREAD_SIZE);
    memcpy(out, kind, len);
    out[len] = '.';
    hex_encode(hash, 16, out + len + 1);
    return (struct str){out, len + 1 + 2 * 16};
}

static bool
is_id(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '_' || c == '-' || c == '.'))
            return false;
    }
    return text.len > 0;
}

static void
add_headers(struct buffer *out, const struct message *message, struct str subject)
{
    const struct mail_letter *letter = message->letter;
    struct str domain = domain_of(letter->from);
    /* What makes these is ours; who hands in more has a bug. */
    must(mail_address_valid(letter->from) && mail_address_valid(letter->to) && is_id(letter->id));
    buffer_printf(out, "From: Tocsin" CRLF " <%.*s>" CRLF, STR_ARG(letter->from));
    buffer_printf(out, "To: <%.*s>" CRLF, STR_ARG(letter->to));
    add_subject(out, subject);
    add_date(out, letter->date_us);
    buffer_printf(out, "Message-ID:" CRLF " <%.*s@%.*s>" CRLF, STR_ARG(letter->id),
                  STR_ARG(domain));
    if (message->thread.len > 0)
        for (int i = 0; i < 2; i++)
            buffer_printf(out, "%s:" CRLF " <%.*s@%.*s>" CRLF,
                          i == 0 ? "In-Reply-To" : "References", STR_ARG(message->thread),
                          STR_ARG(domain));
    /* Nobody's machine need answer. */
    buffer_add(out, STR("Auto-Submitted: auto-generated" CRLF "X-Auto-Response-Suppress: All" CRLF
                        "MIME-Version: 1.0" CRLF
                        "Content-Type: multipart/alternative; boundary=\"" BOUNDARY "\"" CRLF));
}

/* -- parts -------------------------------------------------------------------------- */

static void
add_coded(struct buffer *out, unsigned char c)
{
    static const char digits[] = "0123456789ABCDEF";
    char coded[3] = {'=', digits[c >> 4], digits[c & 15]};
    buffer_add_bytes(out, coded, sizeof coded);
}

/* A blank before a line's end would be lost, "From " at its beginning changed, and a lone dot would
 * be the message's end for a server that reads it so. */
static bool
must_code(struct str text, size_t at, size_t column)
{
    unsigned char c = (unsigned char)text.ptr[at];
    bool last = at + 1 == text.len || text.ptr[at + 1] == '\n';
    if (c == ' ')
        return last;
    return c == '=' || c < ' ' || c > '~' || (column == 0 && (c == 'F' || c == '.'));
}

/* Lines of `text` end in "\n". */
static void
add_quoted(struct buffer *out, struct str text)
{
    size_t column = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\n') {
            buffer_add(out, STR(CRLF));
            column = 0;
            continue;
        }
        size_t width = must_code(text, i, column) ? 3 : 1;
        if (column + width > LINE_MAX_CHARS - 1) {
            buffer_add(out, STR("=" CRLF));
            column = 0;
            width = must_code(text, i, column) ? 3 : 1;
        }
        if (width == 3)
            add_coded(out, (unsigned char)text.ptr[i]);
        else
            buffer_add_char(out, text.ptr[i]);
        column += width;
    }
}

static void
add_part(struct buffer *out, const char *type, struct str body)
{
    buffer_printf(out,
                  CRLF "--" BOUNDARY CRLF "Content-Type: %s; charset=utf-8" CRLF
                       "Content-Transfer-Encoding: quoted-printable" CRLF CRLF,
                  type);
    add_quoted(out, body);
}

bool
message_write(struct buffer *out, const struct message *message)
{
    struct buffer subject, body;
    buffer_init(&subject, MAIL_MESSAGE_MAX);
    buffer_init(&body, MAIL_MESSAGE_MAX);
    clean_add(&subject, message->subject);
    buffer_clear(out);
    add_headers(out, message, utf8_cut(buffer_str(&subject), SUBJECT_MAX));
    page_write_text(&body, message->page);
    add_part(out, "text/plain", buffer_str(&body));
    bool ok = !body.ran_out;
    buffer_clear(&body);
    page_write_html(&body, message->page);
    add_part(out, "text/html", buffer_str(&body));
    buffer_add(out, STR(CRLF "--" BOUNDARY "--" CRLF));
    ok = ok && !body.ran_out && !subject.ran_out && !message->page->texts.ran_out && !out->ran_out;
    buffer_fini(&subject);
    buffer_fini(&body);
    return ok;
}
