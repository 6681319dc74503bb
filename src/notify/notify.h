/* notify - who wants to hear of an alert gets it: schedule, payloads, signatures, transport.
 *
 * A thread of its own follows the log from a stored cursor, makes a delivery for every alert and
 * every webhook in force that takes it, and sends what is due; another writes down what came of it.
 * N1: for every alert, and every webhook with since <= its position < until that takes it, there is
 * exactly one delivery; it ends delivered or dead. What a crash forgets goes out again under the
 * same webhook-id. */
#ifndef NOTIFY_H
#define NOTIFY_H

#include "base/histogram.h"
#include "base/system.h"
#include "codec/address.h"
#include "journal/journal.h"
#include "mail/mail.h"
#include "model/transaction.h"
#include "store/store.h"

#define NOTIFY_MAIL_PREFIX                                                                         \
    "mailto:"                   /* and the address: what deliveries by mail have for a webhook */
#define NOTIFY_SCHEDULE_STEPS 9 /* retries after the first attempt */
#define NOTIFY_WAITING_MAX    100000 /* deliveries per webhook; then the oldest is dead */

/* How requests are made; the real one is libcurl's (notify_transport_curl), tests hand in
 * theirs. All calls on the notify thread. */
struct notify_request { /* all of it is copied by `start` */
    uint64_t token;     /* given back with the result */
    const char *url;
    const char *const *headers; /* "Name: value", NULL at the end */
    struct str body;
    int64_t connect_timeout_ms, timeout_ms;
    /* NULL: HTTP. Else `body` goes to `mail_to` by it, and only `token` counts of what is above; it
     * is not copied. */
    const struct mail_server *mail;
    struct str mail_to;
};
struct notify_result {
    uint64_t token;
    int64_t status;         /* HTTP, or SMTP's; 0: none, see error */
    bool is_final;          /* of mail: the server will never take this message */
    int64_t retry_after_us; /* from Retry-After, -1: none */
    int64_t duration_us;
    char error[160];
    char answer[1024];
    size_t answer_len;
};
struct notify_transport {
    void *self;
    bool (*start)(void *self, const struct notify_request *request, struct err *err);
    /* Works for at most wait_us, or until woken; hands each finished request to `done`. */
    void (*run)(void *self, int64_t wait_us,
                void (*done)(void *each, const struct notify_result *result), void *each);
    void (*wake)(void *self); /* from any thread: `run` returns soon */
    void (*close)(void *self);
};
/* `allow`: networks that may be called although not public. */
bool notify_transport_curl(const struct network *allow, size_t allow_count,
                           struct notify_transport *transport_out, struct err *err) MUST_USE;

struct notify_options {
    struct journal *journal;
    struct store *store;
    struct clock clock;
    struct random random;              /* for the ±10 % of the schedule */
    struct notify_transport transport; /* taken over: closed by notify_free */
    const struct mail_server *mail;    /* NULL: nobody is written to; it must outlive us */
    int64_t mail_window_us;            /* of a digest; 0: ten minutes */
    size_t waiting_max;                /* deliveries per webhook; 0: NOTIFY_WAITING_MAX */
    struct str public_url;             /* for links; absent: there are none */
    const char *version;               /* for User-Agent: Tocsin/<version>; NULL: none is named */
};

struct notify;
bool notify_new(const struct notify_options *options, struct notify **notify_out,
                struct err *err) MUST_USE;
/* One round: reads the log from the cursor, makes rows, sends what is due, waits at most wait_us
 * for something to happen. notify_start runs rounds on a thread; tests call it themselves. */
void notify_round(struct notify *notify, int64_t wait_us);
void notify_start(struct notify *notify);
void notify_stop(struct notify *notify); /* requests in flight get two seconds */
void notify_free(struct notify *notify);

/* There is something new in the log, or a webhook has changed. Any thread; never waits. */
void notify_wake(struct notify *notify);
/* Makes a delivery due now, whatever its status (POST /deliveries/{id}/replay). */
bool notify_replay(struct notify *notify, struct str workspace_id, struct str delivery_id,
                   struct err *err) MUST_USE;
/* The same of every dead delivery of this webhook whose record is not before `since`; of more than
 * may wait, the newest. */
bool notify_replay_dead(struct notify *notify, struct str workspace_id, struct str webhook_id,
                        int64_t since, size_t *count_out, struct err *err) MUST_USE;
/* Somebody has said what became of this alert: every webhook that takes alert.resolved is told,
 * once, however often this is said. */
bool notify_resolved(struct notify *notify, struct str workspace_id, const struct alert *alert,
                     struct err *err) MUST_USE;
/* Sends one test event ("webhook.test") to this webhook and waits for the answer (at most its
 * timeouts). Any thread but the notify thread. */
bool notify_test(struct notify *notify, const struct webhook *webhook,
                 struct notify_result *result_out, struct err *err) MUST_USE;

/* Sends one test mail and waits for what the mail server says (at most a minute or so). Any thread
 * but the notify thread. ERR_CONFLICT: no mail server is configured. */
bool notify_test_mail(struct notify *notify, struct str workspace_id, struct str to,
                      struct notify_result *result_out, struct err *err) MUST_USE;

/* -- transactions ---------------------------------------------------------------------- */

enum notify_verdict {
    NOTIFY_PASSED,  /* enough of them are for it, or nobody takes it */
    NOTIFY_REFUSED, /* not enough */
    NOTIFY_BUSY,    /* they could not be asked now */
};
struct notify_said { /* what one receiver said */
    struct str webhook_id;
    enum webhook_event kind;
    struct str alert_id; /* absent: it was asked about the login */
    bool good;           /* 2xx, in time */
    int64_t status;      /* HTTP; 0: none, see error */
    int64_t duration_us;
    struct str error, answer; /* absent: none */
};
/* Lent from notify_ask until `done`, with everything it points to. */
struct notify_transaction {
    struct arena *arena; /* for what is said */
    struct str workspace_id;
    const struct transactions *settings;
    const struct event *event; /* as it would be stored at `at` */
    int64_t at;
    struct str source;          /* absent: there is none */
    const struct alert *alerts; /* which it would raise */
    size_t alert_count;
    int64_t ends_at;          /* monotonic: no call lasts longer */
    void (*done)(void *self); /* on the notify thread, as a rule; must not wait */
    void *self;

    enum notify_verdict verdict;
    struct notify_said *said;
    size_t said_count;
    struct asked *asked; /* notify's, as what follows */
    struct notify_transaction *next;
};
/* Calls every webhook that takes what the settings name, all at once, and tells what came of it.
 * Any thread; never waits. */
void notify_ask(struct notify *notify, struct notify_transaction *transaction);
/* Must follow `done`, once it is known what became of the event: its records are in the log, up to
 * `last_at`; or it was not stored (0). Those who were called are not called again for it. Any
 * thread. */
void notify_settle(struct notify *notify, struct notify_transaction *transaction, int64_t last_at);

/* The signature headers of a body, as sent: X-Immutable-Signature and the three of Standard
 * Webhooks, each "Name: value\n" appended. */
void notify_sign(struct buffer *out, const struct webhook *webhook, struct str message_id,
                 int64_t now_us, struct str body);

/* The server's own key of this algorithm, made where there is none yet; nothing of a shared one.
 * To be called before a webhook that signs with it is stored. */
bool notify_make_key(struct store *store, enum jwt_algorithm algorithm, struct json_parser *parser,
                     struct err *err) MUST_USE;
/* The public halves of all of them, as a JSON Web Key Set. */
bool notify_write_jwks(struct store *store, struct json_parser *parser, struct buffer *out,
                       struct err *err) MUST_USE;

struct notify_stats {
    /* Of those that failed, the unanswered ones got no HTTP answer at all. */
    uint64_t attempts_delivered, attempts_failed, attempts_unanswered;
    uint64_t deliveries_dead, in_flight, waiting;
    uint64_t webhooks_failing, webhooks_disabled;                       /* now; since the start */
    uint64_t transactions_passed, transactions_failed, in_transactions; /* the last: requests */
    int64_t oldest_waiting_at;                                          /* 0: none */
    /* attempts at mails; digests are among the accepted */
    uint64_t mail_accepted, mail_failed, mail_refused, mail_digests;
    uint64_t mail_dead, mail_waiting, mail_in_flight; /* deliveries; the last: mails */
    int64_t mail_oldest_waiting_at;                   /* 0: none */
    struct histogram latency;  /* from an alert to its delivery at the first attempt */
    struct histogram duration; /* of requests, whatever came of them */
};
void notify_stats(struct notify *notify, struct notify_stats *stats_out);

#endif
