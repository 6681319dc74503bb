/* mail_priv - a page, its two written forms, and the envelope around them.
 *
 * A page is a list of lines, each with a kind. page.c knows how a kind looks as text and as HTML;
 * who makes a page knows what it says. All text in a page is clean: valid UTF-8, one line, without
 * control characters, and its links do not work (those of a LINE_LINK do). */
#ifndef MAIL_PRIV_H
#define MAIL_PRIV_H

#include "codec/time.h"
#include "mail/mail.h"

#include <curl/curl.h>
#include <stdatomic.h>

enum { PAGE_LINES_MAX = 256, SHOWN_MAX = 400 };

enum line_kind {
    LINE_TITLE,
    LINE_LEAD, /* what it is about, in a sentence */
    LINE_FACT, /* with a label */
    LINE_HEADING,
    LINE_PARAGRAPH,
    LINE_BULLET,
    LINE_LINK, /* with a label */
    LINE_FOOT,
    LINE_KINDS,
};

struct line {
    enum line_kind kind;
    const char *label; /* NULL: none */
    size_t at, len;    /* in the page's texts */
};

struct page {
    enum severity severity;
    bool has_severity;
    struct buffer texts;
    struct line lines[PAGE_LINES_MAX]; /* what is more is left out */
    size_t count;
    bool is_open;
};

void page_init(struct page *page);
void page_fini(struct page *page);
/* A line that is written between the two; one that stays empty is no line. What is appended must
 * be clean. */
struct buffer *page_open(struct page *page, enum line_kind kind, const char *label);
void page_close(struct page *page);
/* One of our own texts, or of anybody's: it is cleaned. */
void page_add(struct page *page, enum line_kind kind, const char *label, struct str text);
void page_write_text(struct buffer *out, const struct page *page);
void page_write_html(struct buffer *out, const struct page *page);

/* Appends it cleaned, at most SHOWN_MAX bytes of it, with an ellipsis where more was there. */
void clean_add(struct buffer *out, struct str text);

/* -- times, as people read them (page.c) -- */

struct local_time utc_of(int64_t time_us);
/* Fri 27 Mar 2026, 07:17:41 UTC */
void tell_utc(struct buffer *out, int64_t time_us);
/* The same in a zone, with its name and offset; false: there is no such zone, nothing is added. */
bool tell_local(struct buffer *out, int64_t time_us, struct str zone_name) MUST_USE;

/* -- what a type of rule means to people (lore.c) -- */

enum { LORE_STEPS_MAX = 3 };
struct lore {
    const char *rule_type;
    const char *why;   /* why such a rule fires */
    const char *usual; /* a template over the alert's context; NULL: it learns nothing */
    const char *next[LORE_STEPS_MAX];
};
/* Never NULL: a type that is not known has general advice. */
const struct lore *lore_of(struct str rule_type);
/* `{name}` or `{name.name}` is a value of the context. What stands in `[]` is left out when a value
 * in it is not there; without brackets nothing at all is written then. */
void lore_fill(struct buffer *out, const char *template, const struct json *context);

/* -- the envelope (mime.c) -- */

struct message {
    const struct mail_letter *letter;
    struct str subject; /* cleaned here */
    struct str thread;  /* left of the @; absent: it belongs to none */
    const struct page *page;
};
bool message_write(struct buffer *out, const struct message *message) MUST_USE;
/* `actor.<hash>`: the root of what is said about an actor. */
#define THREAD_SIZE 64
struct str thread_of(const char *kind, struct str workspace_id, struct str subject,
                     char out[static THREAD_SIZE]);

/* -- a message under way (smtp.c) -- */

struct mail_transfer {
    CURL *easy;
    struct curl_slist *to;
    struct str message; /* borrowed */
    size_t sent;
    const atomic_bool *stop; /* then it is broken off */
    char error[CURL_ERROR_SIZE];
    char answer[MAIL_ANSWER_SIZE];
    size_t answer_len;
    int64_t answer_code;
    bool between_lines, said_quit;
};
/* Sends it, waiting; `result_out` is filled in but for its token. */
void transfer_run(const struct mail_server *server, struct str to, struct str message,
                  const atomic_bool *stop, struct mail_result *result_out);

/* Who is meant, as text; and where people see the alert (public_url absent: nothing). */
void tell_actor(struct buffer *out, const struct mail_alert *alert);
void tell_link(struct buffer *out, const struct mail_letter *letter, struct str alert_id);

#endif
