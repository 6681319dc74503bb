/* page - how a page looks, as text and as HTML: a row for each kind of line.
 *
 * The HTML is one column of blocks with styles of its own, which is what mail programs agree on and
 * what a phone can show: no table, no picture, nothing loaded from elsewhere. */
#include "mail/mail_priv.h"

#include "codec/text.h"
#include "codec/time.h"

#include <string.h>

static const struct {
    struct str text_before, text_after; /* around the line; the label stands between */
    struct str html_before, html_after;
} looks[LINE_KINDS] = {
    [LINE_TITLE] = {STR_INIT(""), STR_INIT("\n"),
                    STR_INIT("<h1 style=\"font-size:20px;line-height:1.3;margin:0 0 12px\">"),
                    STR_INIT("</h1>\n")},
    [LINE_LEAD] = {STR_INIT("\n"), STR_INIT("\n\n"),
                   STR_INIT("<p style=\"font-size:17px;margin:0 0 16px\">"), STR_INIT("</p>\n")},
    [LINE_FACT] = {STR_INIT(""), STR_INIT("\n"), STR_INIT("<p style=\"margin:0 0 8px\">"),
                   STR_INIT("</p>\n")},
    [LINE_HEADING] = {STR_INIT("\n"), STR_INIT("\n"),
                      STR_INIT("<h2 style=\"font-size:16px;margin:20px 0 6px\">"),
                      STR_INIT("</h2>\n")},
    [LINE_PARAGRAPH] = {STR_INIT(""), STR_INIT("\n"), STR_INIT("<p style=\"margin:0 0 8px\">"),
                        STR_INIT("</p>\n")},
    [LINE_BULLET] = {STR_INIT("- "), STR_INIT("\n"),
                     STR_INIT("<p style=\"margin:0 0 6px;padding-left:16px\">&#8226; "),
                     STR_INIT("</p>\n")},
    [LINE_LINK] = {STR_INIT("\n"), STR_INIT("\n"), STR_INIT("<p style=\"margin:20px 0\">"),
                   STR_INIT("</p>\n")},
    [LINE_FOOT] = {STR_INIT(""), STR_INIT("\n"),
                   STR_INIT("<p style=\"font-size:13px;color:#666666;margin:0 0 4px\">"),
                   STR_INIT("</p>\n")},
};

static const struct str colours[SEVERITY_COUNT] = {
    [SEVERITY_LOW] = STR_INIT("#4a6785"),
    [SEVERITY_MEDIUM] = STR_INIT("#a06a00"),
    [SEVERITY_HIGH] = STR_INIT("#c2410c"),
    [SEVERITY_CRITICAL] = STR_INIT("#b00020"),
};

/* -- clean text --------------------------------------------------------------------- */

/* The characters beyond ASCII that change how the text around them is read: marks of direction,
 * and separators of lines. */
static bool
is_treacherous(const unsigned char *c, size_t left)
{
    if (left >= 2 && ((c[0] == 0xC2 && c[1] < 0xA0) || (c[0] == 0xD8 && c[1] == 0x9C)))
        return true; /* U+0080..U+009F, U+061C */
    if (left < 3)
        return false;
    if (c[0] == 0xE2 && c[1] == 0x80)
        return (c[2] >= 0x8B && c[2] <= 0x8F) || (c[2] >= 0xA8 && c[2] <= 0xAE);
    if (c[0] == 0xE2 && c[1] == 0x81)
        return c[2] >= 0xA0 && c[2] <= 0xAF; /* U+2060..U+206F */
    return c[0] == 0xEF && c[1] == 0xBB && c[2] == 0xBF;
}

static size_t
character_len(unsigned char c)
{
    return c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
}

void
clean_add(struct buffer *out, struct str text)
{
    struct str shown = text.len > SHOWN_MAX ? utf8_cut(text, SHOWN_MAX) : text;
    for (size_t i = 0; i < shown.len;) {
        struct str rest = {shown.ptr + i, shown.len - i};
        unsigned char c = (unsigned char)rest.ptr[0];
        size_t len = character_len(c);
        if (c < ' ' || c == 0x7F) {
            buffer_add_char(out, ' ');
        } else if (str_starts(rest, STR("://"))) {
            buffer_add(out, STR("[:]//")); /* a mail program would make a link of it */
            len = 3;
        } else if (c >= 0x80 && (len > rest.len || !utf8_valid((struct str){rest.ptr, len}))) {
            buffer_add_char(out, '?');
            len = 1;
        } else if (is_treacherous((const unsigned char *)rest.ptr, rest.len)) {
            buffer_add_char(out, ' ');
        } else {
            buffer_add(out, (struct str){rest.ptr, len});
        }
        i += len;
    }
    if (shown.len < text.len)
        buffer_add(out, STR("\xE2\x80\xA6"));
}

/* -- lines -------------------------------------------------------------------------- */

void
page_init(struct page *page)
{
    *page = (struct page){0};
    buffer_init(&page->texts, MAIL_MESSAGE_MAX);
}

void
page_fini(struct page *page)
{
    buffer_fini(&page->texts);
}

struct buffer *
page_open(struct page *page, enum line_kind kind, const char *label)
{
    must(!page->is_open);
    page->is_open = true;
    if (page->count < PAGE_LINES_MAX)
        page->lines[page->count] =
            (struct line){.kind = kind, .label = label, .at = page->texts.len};
    return &page->texts;
}

void
page_close(struct page *page)
{
    must(page->is_open);
    page->is_open = false;
    if (page->count == PAGE_LINES_MAX)
        return;
    struct line *line = &page->lines[page->count];
    line->len = page->texts.len - line->at;
    page->count += line->len > 0;
}

void
page_add(struct page *page, enum line_kind kind, const char *label, struct str text)
{
    clean_add(page_open(page, kind, label), text);
    page_close(page);
}

static struct str
text_of(const struct page *page, const struct line *line)
{
    return (struct str){page->texts.ptr + line->at, line->len};
}

void
page_write_text(struct buffer *out, const struct page *page)
{
    enum line_kind before = LINE_TITLE;
    for (size_t i = 0; i < page->count; i++) {
        const struct line *line = &page->lines[i];
        if (line->kind == LINE_FOOT && before != LINE_FOOT)
            buffer_add(out, STR("\n-- \n"));
        buffer_add(out, looks[line->kind].text_before);
        if (line->label != NULL)
            buffer_printf(out, "%s: ", line->label);
        buffer_add(out, text_of(page, line));
        buffer_add(out, looks[line->kind].text_after);
        before = line->kind;
    }
}

static void
add_escaped(struct buffer *out, struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        struct str entity = c == '&'    ? STR("&amp;")
                            : c == '<'  ? STR("&lt;")
                            : c == '>'  ? STR("&gt;")
                            : c == '"'  ? STR("&quot;")
                            : c == '\'' ? STR("&#39;")
                                        : (struct str){&text.ptr[i], 1};
        buffer_add(out, entity);
    }
}

static void
add_html_line(struct buffer *out, const struct page *page, const struct line *line)
{
    buffer_add(out, looks[line->kind].html_before);
    if (line->kind == LINE_LINK) {
        buffer_add(out, STR("<a style=\"display:inline-block;padding:12px 20px;color:#ffffff;"
                            "background:#1f3a5f;text-decoration:none;border-radius:4px\" href=\""));
        add_escaped(out, text_of(page, line));
        buffer_printf(out, "\">%s</a>", line->label);
    } else {
        if (line->label != NULL)
            buffer_printf(out, "<span style=\"color:#666666\">%s</span><br>", line->label);
        add_escaped(out, text_of(page, line));
    }
    buffer_add(out, looks[line->kind].html_after);
}

void
page_write_html(struct buffer *out, const struct page *page)
{
    buffer_add(out, STR("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
                        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                        "</head><body style=\"margin:0;padding:16px;font-family:-apple-system,"
                        "'Segoe UI',Roboto,Helvetica,Arial,sans-serif;font-size:16px;"
                        "line-height:1.45;color:#1a1a1a;background:#ffffff\">\n"
                        "<div style=\"max-width:560px;margin:0 auto;word-wrap:break-word;"
                        "overflow-wrap:anywhere"));
    if (page->has_severity)
        buffer_printf(out, ";border-left:6px solid %.*s;padding-left:14px",
                      STR_ARG(colours[page->severity]));
    buffer_add(out, STR("\">\n"));
    for (size_t i = 0; i < page->count; i++)
        add_html_line(out, page, &page->lines[i]);
    buffer_add(out, STR("</div></body></html>\n"));
}

/* -- times -------------------------------------------------------------------------- */

static void
tell_time(struct buffer *out, const struct local_time *time)
{
    static const char *const days[] = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    buffer_printf(out, "%s %d %s %04d, %02d:%02d:%02d", days[time->weekday], time->day,
                  months[time->month - 1], time->year, time->hour, time->minute, time->second);
}

static int
digits(const char *text, int count)
{
    int number = 0;
    for (int i = 0; i < count; i++)
        number = number * 10 + (text[i] - '0');
    return number;
}

struct local_time
utc_of(int64_t time_us)
{
    char text[TIME_TEXT_SIZE]; /* 2026-03-27T14:32:18.291034Z */
    time_format(time_us, text);
    struct local_time utc = {.year = digits(text, 4),
                             .month = digits(text + 5, 2),
                             .day = digits(text + 8, 2),
                             .hour = digits(text + 11, 2),
                             .minute = digits(text + 14, 2),
                             .second = digits(text + 17, 2)};
    int64_t days = 0;
    must(time_date(utc.year, utc.month, utc.day, &days));
    utc.weekday = (int)(((days + 3) % 7 + 7) % 7); /* the epoch was a Thursday */
    return utc;
}

void
tell_utc(struct buffer *out, int64_t time_us)
{
    struct local_time utc = utc_of(time_us);
    tell_time(out, &utc);
    buffer_add(out, STR(" UTC"));
}

bool
tell_local(struct buffer *out, int64_t time_us, struct str zone_name)
{
    const struct zone *zone = zone_name.len > 0 ? zone_find(zone_name) : NULL;
    struct local_time local;
    if (zone == NULL)
        return false;
    zone_local(zone, time_us, &local);
    tell_time(out, &local);
    int offset = local.offset_seconds / 60;
    buffer_add(out, STR(" "));
    clean_add(out, zone_name);
    buffer_printf(out, " (UTC%c%02d:%02d)", offset < 0 ? '-' : '+',
                  offset < 0 ? -offset / 60 : offset / 60, offset < 0 ? -offset % 60 : offset % 60);
    return true;
}
