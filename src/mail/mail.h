/* mail - what a mail says, and how it travels.
 *
 * A message is made whole (RFC 5322, MIME: text and HTML, quoted-printable) by pure functions from
 * an alert, its event, or a text. Whatever stands in these was chosen by somebody else, an attacker
 * perhaps: no byte of it can end a header, begin a part, or become a tag or a link.
 *
 * THREADS. Everything about one actor refers to one root, which is never sent itself, so that a
 * mail program shows it as one conversation. A message's own id is its delivery's: sent again, it
 * is the same message. */
#ifndef MAIL_H
#define MAIL_H

#include "base/system.h"
#include "model/alert.h"
#include "model/event.h"

#define MAIL_MESSAGE_MAX (512u * 1024u)
#define MAIL_DIGEST_LIST 50 /* alerts that a digest tells of one by one */

/* -- messages (alert.c, digest.c, notice.c) --------------------------------------------- */

struct mail_letter {
    struct str from, to; /* addresses, mail_address_valid */
    struct str id;       /* of the delivery: letters, digits, and `_-.` */
    int64_t date_us;
    struct str workspace_id;
    struct str public_url; /* where people reach the server; absent: no links */
};

/* `context` is an object. */
struct mail_alert {
    const struct alert *alert;
    struct json context;
    const struct event *event; /* NULL: it is not in the log any more */
};

struct mail_notice {
    struct str subject, text; /* lines of the text end in "\n" */
};

/* Each clears `out` and writes a whole message with lines ended by CRLF. False: it does not fit
 * into `out`. */
bool mail_write_alert(struct buffer *out, const struct mail_letter *letter,
                      const struct mail_alert *alert) MUST_USE;
/* Many in one: how many of what, and the first of them, the gravest first. */
bool mail_write_digest(struct buffer *out, const struct mail_letter *letter,
                       const struct mail_alert *alerts, size_t count,
                       const struct mail_notice *notices, size_t notice_count) MUST_USE;
bool mail_write_notice(struct buffer *out, const struct mail_letter *letter,
                       const struct mail_notice *notice) MUST_USE;
/* What POST /settings/test-email sends. */
bool mail_write_test(struct buffer *out, const struct mail_letter *letter) MUST_USE;

/* -- the way out (smtp.c) ---------------------------------------------------------------- */

/* The operator's choice, by the command line: any host, private ones too.
 *
 * ENCRYPTION. smtps:// is TLS from the first byte. With smtp:// and a user, or a CA file, STARTTLS
 * is demanded. Either way the server's certificate must be good, so that a password is shown to
 * nobody else. With neither, STARTTLS is used where the server offers it and no certificate is
 * asked for: somebody in between could take the offer away, so asking would protect nothing. */
struct mail_server {
    char *url;             /* smtp[s]://host:port */
    char *user, *password; /* NULL: none */
    char *ca_file;         /* NULL: the system's */
    char *from;
    bool must_encrypt, verifies;
};
struct mail_server_options {
    const char *url;      /* smtp[s]://[user@]host[:port]; the user percent-encoded */
    const char *password; /* NULL: none */
    const char *ca_file;  /* NULL: the system's */
    const char *from;
};
/* ERR_INPUT names the option that is wrong. The texts are copied. */
bool mail_server_new(const struct mail_server_options *options, struct mail_server **server_out,
                     struct err *err) MUST_USE;
void mail_server_free(struct mail_server *server);

/* THREADS. libcurl waits inside one call for what a mail server says behind the end of a message,
 * and behind QUIT, and some think for long: so each message has a thread of the sender's while it
 * is under way, and whoever hands messages in waits for none. */
#define MAIL_AT_ONCE    8
#define MAIL_ERROR_SIZE 160
struct mail_sender;
/* `wake`: called on any thread when there is something for mail_sender_take. */
struct mail_sender *mail_sender_new(const struct mail_server *server, void (*wake)(void *self),
                                    void *self);
/* What is under way is broken off: its fate is not known. Waits a second or so at most. */
void mail_sender_free(struct mail_sender *sender);
/* False: MAIL_AT_ONCE are under way, or not taken yet. The texts are copied. */
bool mail_sender_start(struct mail_sender *sender, uint64_t token, struct str to,
                       struct str message) MUST_USE;

enum mail_outcome {
    MAIL_ACCEPTED,
    MAIL_TRY_LATER, /* 4xx, a refused login, or no answer */
    MAIL_REFUSED,   /* 5xx: it will never be taken */
};
#define MAIL_ANSWER_SIZE 1024
struct mail_result {
    uint64_t token;
    enum mail_outcome outcome;
    int64_t code; /* that the server said last; 0: none */
    int64_t duration_us;
    char error[MAIL_ERROR_SIZE];   /* "": none */
    char answer[MAIL_ANSWER_SIZE]; /* what the server said last, without the line's end */
    size_t answer_len;
};
/* The next that has ended, if there is one. */
bool mail_sender_take(struct mail_sender *sender, struct mail_result *result_out) MUST_USE;

#endif
