/* slack - an alert as a message of blocks, for an incoming webhook (Slack's Block Kit).
 *
 * A text of the kind mrkdwn holds three characters that mean something wherever they stand, & < >;
 * they are written as entities, so that nobody who signs in under a name like "<!channel>" rings a
 * whole company. `verbatim` keeps Slack from making links of what looks like one. What is longer
 * than a block may be is cut. */
#include "format/format_priv.h"

enum { /* Slack's limits count characters; ours count bytes, of which there are never fewer */
       HEADER_MAX = 150,
       TEXT_MAX = 3000,
       FIELD_MAX = 2000,
       FIELDS_MAX = 10,
       FACT_MAX = 65536,
};

static struct str
entity_of(char c)
{
    return c == '&' ? STR("&amp;") : c == '<' ? STR("&lt;") : c == '>' ? STR("&gt;") : STR("");
}

/* At most so many bytes when written: a character or an entity is there whole or not at all. */
static void
add_escaped(struct buffer *out, struct str text, size_t size)
{
    struct str more = STR("…");
    size_t fits = 0, fits_with_more = 0, written = 0;
    for (size_t i = 0; i < text.len && written <= size; i++) {
        size_t entity = entity_of(text.ptr[i]).len;
        written += entity > 0 ? entity : 1;
        bool ends = i + 1 == text.len || ((unsigned char)text.ptr[i + 1] & 0xC0) != 0x80;
        if (ends && written <= size)
            fits = i + 1;
        if (ends && written + more.len <= size)
            fits_with_more = i + 1;
    }
    size_t end = fits == text.len ? fits : fits_with_more;
    for (size_t i = 0; i < end; i++) {
        struct str entity = entity_of(text.ptr[i]);
        buffer_add(out, entity.len > 0 ? entity : (struct str){text.ptr + i, 1});
    }
    if (end < text.len)
        buffer_add(out, more);
}

static void
put_plain(struct buffer *out, struct str text, size_t size)
{
    struct buffer cut;
    buffer_init(&cut, size + 1);
    format_add_cut(&cut, text, size);
    json_open(out, '{');
    json_put_str(out, "type", STR("plain_text"));
    json_put_str(out, "text", buffer_str(&cut));
    json_close(out, '}');
    buffer_fini(&cut);
}

/* `text` is escaped already. */
static void
put_mrkdwn(struct buffer *out, const struct buffer *text)
{
    json_open(out, '{');
    json_put_str(out, "type", STR("mrkdwn"));
    json_put_str(out, "text", buffer_str(text));
    json_put_bool(out, "verbatim", true);
    json_close(out, '}');
}

static void
put_block(struct buffer *out, const char *type, const char *name)
{
    json_open(out, '{');
    json_put_str(out, "type", str_from(type));
    json_name(out, name);
}

/* -- the blocks ---------------------------------------------------------------------- */

static struct str
title_of(const struct format_parts *parts)
{
    static const struct str by_severity[] = {
        [SEVERITY_LOW] = STR_INIT("Low"),
        [SEVERITY_MEDIUM] = STR_INIT("Medium"),
        [SEVERITY_HIGH] = STR_INIT("High"),
        [SEVERITY_CRITICAL] = STR_INIT("Critical"),
    };
    return parts->kind == WEBHOOK_ALERT_RESOLVED ? STR("Resolved")
                                                 : by_severity[parts->alerts[0].alert.severity];
}

static void
write_header(struct buffer *out, const struct format_parts *parts)
{
    struct buffer text;
    buffer_init(&text, FACT_MAX);
    buffer_printf(&text, "%.*s: %.*s", STR_ARG(title_of(parts)),
                  STR_ARG(parts->alerts[0].alert.rule_name));
    put_block(out, "header", "text");
    put_plain(out, buffer_str(&text), HEADER_MAX);
    json_close(out, '}');
    buffer_fini(&text);
}

static void
write_reason(struct buffer *out, const struct format_parts *parts)
{
    struct buffer text;
    buffer_init(&text, TEXT_MAX + 1);
    add_escaped(&text, parts->alerts[0].alert.reason, TEXT_MAX);
    put_block(out, "section", "text");
    put_mrkdwn(out, &text);
    json_close(out, '}');
    buffer_fini(&text);
}

static void
write_facts(struct buffer *out, const struct format_parts *parts)
{
    struct buffer fact, text;
    buffer_init(&fact, FACT_MAX);
    buffer_init(&text, FIELD_MAX + 1);
    put_block(out, "section", "fields");
    json_open(out, '[');
    for (size_t i = 0, shown = 0; i < format_fact_count && shown < FIELDS_MAX; i++) {
        buffer_clear(&fact);
        format_facts[i].write(&fact, parts);
        if (fact.len == 0)
            continue;
        shown++;
        buffer_clear(&text);
        buffer_printf(&text, "*%s*\n", format_facts[i].label);
        add_escaped(&text, buffer_str(&fact), FIELD_MAX - text.len);
        put_mrkdwn(out, &text);
    }
    json_close(out, ']');
    json_close(out, '}');
    buffer_fini(&fact);
    buffer_fini(&text);
}

static void
write_link(struct buffer *out, const struct format_parts *parts)
{
    struct buffer link, text;
    buffer_init(&link, FACT_MAX);
    buffer_init(&text, TEXT_MAX);
    format_write_link(&link, parts);
    if (link.len > 0)
        buffer_printf(&text, "<%.*s|Open the alert>  ", (int)link.len, link.ptr);
    add_escaped(&text, parts->alerts[0].alert.id, 100);
    put_block(out, "context", "elements");
    json_open(out, '[');
    put_mrkdwn(out, &text);
    json_close(out, ']');
    json_close(out, '}');
    buffer_fini(&link);
    buffer_fini(&text);
}

static void (*const blocks[])(struct buffer *out, const struct format_parts *parts) = {
    write_header,
    write_reason,
    write_facts,
    write_link,
};

/* `text` is what a phone shows, and whoever has blocks read out. */
void
slack_write(struct buffer *out, const struct format_parts *parts)
{
    struct buffer text;
    buffer_init(&text, TEXT_MAX + 1);
    buffer_printf(&text, "%.*s: ", STR_ARG(title_of(parts)));
    add_escaped(&text, parts->alerts[0].alert.reason, TEXT_MAX - text.len);
    json_open(out, '{');
    json_put_str(out, "text", buffer_str(&text));
    json_name(out, "blocks");
    json_open(out, '[');
    for (size_t i = 0; i < COUNT_OF(blocks); i++)
        blocks[i](out, parts);
    json_close(out, ']');
    json_close(out, '}');
    buffer_fini(&text);
}

void
slack_write_test(struct buffer *out, const struct webhook *webhook, int64_t now_us,
                 struct random random)
{
    (void)webhook, (void)now_us, (void)random;
    json_open(out, '{');
    json_put_str(out, "text",
                 STR("A test of this webhook by Tocsin: alerts will look for you here."));
    json_close(out, '}');
}
