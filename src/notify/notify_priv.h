/* notify_priv - what the files of this folder share.
 *
 * IN MEMORY. A *job* is a delivery that is neither delivered nor dead: a few words that say which
 * record is to reach whom and when. A *lane* is a webhook with its jobs. The store holds the same,
 * later and for good: the *book* keeps what is still to be written there.
 *
 * Only the notify thread touches these, but for what `lock` guards. */
#ifndef NOTIFY_PRIV_H
#define NOTIFY_PRIV_H

#include "codec/text.h"
#include "codec/time.h"
#include "format/format.h"
#include "notify/notify.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    WAITING_MAX = 500000, /* of all webhooks; then the oldest of the fullest lane is dead */
    LANE_FLYING_MAX = 8,
    FLYING_MAX = 256,
    FLYING_SPARE = 64, /* of them: only for lanes that have nothing in flight */
    TESTS_MAX = 16,
    COMMANDS_MAX = 256,
    BOOK_MAX =
        4096, /* rows, and outcomes, that may wait for the store; then nothing new is begun */
    BOOK_BATCH = 500,
    PAYLOAD_MAX = 4 * 1024 * 1024,
    SCRATCH_MAX = 16 * 1024 * 1024,
};
#define BOOK_DELAY_US  50000
#define RETRY_LATER_US TIME_US_PER_SECOND /* after the store or the log said no */
#define RETRY_MOST_US  (10 * TIME_US_PER_SECOND)

/* -- jobs and lanes (lanes.c) ------------------------------------- */

enum job_place { JOB_WAITING, JOB_READY, JOB_FLYING };

struct job {
    struct lane *lane;
    struct job *older, *newer; /* in the lane, by record */
    int64_t record_at;
    enum webhook_event kind;
    int64_t next_at; /* wall clock, while waiting */
    uint32_t attempts, attempts_before;
    enum job_place place;
    size_t heap_at;       /* while waiting or ready */
    bool is_streamed;     /* of every login: kept only where the first attempt fails */
    uint64_t batch;       /* the book's, in which its row waits to be written; 0: it has none */
    size_t row;           /* there */
    struct job *gathered; /* while in flight: the next that goes out in the same mail */
};

struct heap {
    struct job **items;
    size_t count, cap;
    bool by_record; /* else by next_at */
};

struct lane {
    struct str workspace_id, webhook_id;
    const struct webhook *webhook; /* of the newest snapshot; NULL: the store has none of that id */
    struct job *oldest, *newest;
    int64_t since;     /* the webhook's, as it was known */
    int64_t seen;      /* alerts up to here have been looked at for it */
    int64_t login_at;  /* of a format that tells of logins: the newest suspicious one's event */
    int64_t device_at; /* the same, with a new device */
    size_t count;      /* of jobs */
    struct heap ready; /* oldest record first */
    unsigned flying, allowed;
    unsigned failures;          /* since the last success */
    int64_t paused_until;       /* the receiver asked for it */
    struct lane *next, *before; /* among the lanes with something ready */
    bool is_active;
    bool gone;                        /* it was switched off here; the store may not know yet */
    int64_t failing_since, failed_at; /* as in struct webhook */
    bool health_changed;              /* and in no page of the book yet */
    uint64_t health_batch;            /* the page that has the newest; 0: none */
    struct letters *letters;          /* of a mail address: what it got lately; NULL: a webhook's */
};

struct lanes {
    struct lane **sorted; /* by workspace, then webhook */
    size_t count, cap;
    struct lane *first_active, *last_active; /* those with something ready */
    size_t active_count;
    struct heap waiting; /* of all lanes, soonest first */
    struct job *free_jobs;
    struct job_chunk *chunks;
    size_t job_count, letter_count; /* the second: those for mail addresses */
};

void lanes_init(struct lanes *lanes);
void lanes_fini(struct lanes *lanes);
struct lane *lanes_find(const struct lanes *lanes, struct str workspace_id, struct str webhook_id);
struct lane *lanes_make(struct lanes *lanes, struct str workspace_id, struct str webhook_id);
/* The lanes of a workspace lie side by side. */
struct lane **lanes_of(const struct lanes *lanes, struct str workspace_id, size_t *count_out);
/* A new job, waiting for `next_at`. */
struct job *lanes_add(struct lanes *lanes, struct lane *lane, int64_t record_at,
                      enum webhook_event kind, int64_t next_at);
/* The same of an old record: `newer` is the first job behind it, or NULL. */
struct job *lanes_insert(struct lanes *lanes, struct lane *lane, const struct job *like,
                         struct job *newer);
void lanes_remove(struct lanes *lanes, struct job *job);
void lanes_wait(struct lanes *lanes, struct job *job, int64_t next_at);
void lanes_ready(struct lanes *lanes, struct job *job);
/* The lanes with something ready, in turn: the first goes to the end. */
struct lane *lanes_turn(struct lanes *lanes);
/* The ready job with the oldest record is the caller's to send; NULL: none. */
struct job *lanes_take(struct lanes *lanes, struct lane *lane);
/* Makes all that are due by now ready. */
void lanes_wake_due(struct lanes *lanes, int64_t now_us);
struct job *lanes_job(const struct lane *lane, int64_t record_at, enum webhook_event kind);
/* The first whose record is not older; NULL: none. */
struct job *lanes_from(const struct lane *lane, int64_t record_at);
/* Whether the lane still has to tell that this alert was raised at all. */
const struct job *lanes_before(const struct job *job);
/* The oldest that is not being sent right now. */
struct job *lanes_oldest(const struct lane *lane);
struct lane *lanes_fullest(const struct lanes *lanes);

/* -- what is to be written (book.c, book_page.c) ------------------------------------- */

struct book_row {
    struct lane *lane;
    char id[ID_SIZE], alert_id[ID_SIZE];
    size_t alert_id_len; /* 0: it tells of none */
    enum webhook_event kind;
    int64_t record_at, made_at;
};

struct book_outcome {
    struct lane *lane;
    enum webhook_event kind;
    int64_t record_at, next_attempt_at;
    enum delivery_status status;
    int64_t number, at, duration_us, http_status;
    char error[160];
    char answer[1024];
    size_t answer_len;
    bool has_answer;
    bool forget; /* its row goes: nobody asks for it */
};

/* What is written at once. Of the lanes only their names are looked at, which never change. */
struct book_page {
    struct book_row *rows;
    struct book_outcome *outcomes;
    struct store_health *health;
    size_t row_count, row_cap, outcome_count, outcome_cap, health_count, health_cap;
    size_t forgotten; /* of its rows: they are not written */
    int64_t cursor;   /* 0: it did not move */
    struct arena arena;
};

void book_page_init(struct book_page *page);
void book_page_fini(struct book_page *page);
bool book_page_is_empty(const struct book_page *page);
struct store_health *book_page_add_health(struct book_page *page);
/* For whichever thread has the page. What was written is gone from it, also where it then fails. */
bool book_page_write(struct book_page *page, struct store *store, struct err *err) MUST_USE;

enum book_closed { CLOSED_NONE, CLOSED_WAITS, CLOSED_WRITING };

struct book {
    struct book_page *open;      /* takes what comes */
    struct book_page *closed;    /* is written, or waits for that */
    enum book_closed closed_now; /* whose the closed page is: nobody's, ours, the writer's */
    size_t closed_rows, closed_outcomes; /* it had so many */
    uint64_t batch;                      /* the number of the open page, from 1 */
    int64_t cursor;        /* every alert up to here has its rows in the store or in a page */
    int64_t closed_cursor; /* as the store has it, or will have with the closed page */
    int64_t first_at;      /* monotonic: since when something is in the open page; 0: nothing is */
    int64_t cursor_at;     /* monotonic: when a page took the cursor last */
    int64_t retry_at;      /* monotonic: the store failed, not before then */
    int64_t retry_us;      /* longer with each failure; 0: the last one worked */

    bool has_writer; /* else a page is written by whoever closes it */
    pthread_t writer;
    pthread_mutex_t lock;   /* of what follows */
    pthread_cond_t changed; /* any of it */
    bool given, stopping, done, written;
    struct err err; /* if it is done and not written */
};

void book_init(struct book *book);
void book_fini(struct book *book);
/* From here until book_stop, which does not write what is left, a thread of its own writes. */
void book_start(struct notify *notify);
void book_stop(struct book *book);
/* Begins what is due, and takes notice of what is done. */
void book_write(struct notify *notify);
/* Waits until all is in the store; false: the store says no. */
bool book_flush(struct notify *notify);
/* Monotonic time when there is something to write; INT64_MAX: not before another wakes us. */
int64_t book_due(const struct book *book);
/* Whether what was put into the page of this number is in the store. */
bool book_is_written(const struct book *book, uint64_t batch);
bool book_has_row_room(const struct book *book, size_t more);
/* Each request in flight will have an outcome. */
bool book_has_outcome_room(const struct notify *notify, size_t more);
struct book_row *book_add_row(struct notify *notify);
struct book_outcome *book_add_outcome(struct notify *notify);
/* The outcome added last says that this job is over, and nobody needs to know: where its row is
 * still in the open page, neither is written. */
void book_forget(struct notify *notify, const struct job *job);

/* -- requests in flight (send.c) ------------------------------------- */

struct flight {
    struct job *job;   /* NULL and no test: the place is free */
    struct test *test; /* a request of notify_test */
    bool is_mail_test;
    uint64_t token;
    int64_t began_at, began_monotonic;
};

/* Starts what is ready and may go; says whether more could have gone at once. */
bool send_ready(struct notify *notify);
void send_done(void *self, const struct notify_result *result);
/* A job that ends without being sent. */
void send_dead(struct notify *notify, struct job *job, const char *why);
bool send_request(struct notify *notify, struct flight *flight, const struct webhook *webhook,
                  struct str message_id, struct err *err) MUST_USE;
/* What came of an attempt at a job decides what is next. */
void send_settle(struct notify *notify, struct job *job, int64_t began_at,
                 const struct notify_result *result);
/* Text that can be shown, of at most `size` bytes, whatever a receiver sent. */
size_t send_copy_text(char *out, struct str text, size_t size);
struct book_outcome *send_begin_outcome(struct notify *notify, struct job *job,
                                        enum delivery_status status);
struct flight *send_free_flight(struct notify *notify);
int64_t send_retry_delay(struct random random, unsigned step); /* 1 .. NOTIFY_SCHEDULE_STEPS */

/* What Retry-After says, in microseconds; -1: nothing that can be read (curl.c). */
int64_t transport_retry_after(struct str value);

/* -- receivers that fail (health.c) ------------------------------------- */

/* What an attempt said of its receiver. */
void health_note(struct notify *notify, struct lane *lane, int64_t at, bool delivered);
/* Takes over what the store knows, unless something newer is still to be written. */
void health_take(const struct notify *notify, struct lane *lane, const struct webhook *webhook);
/* Nothing more is sent to it; its admins are written to. */
void health_switch_off(struct notify *notify, struct lane *lane, const char *why);
/* Puts what has changed into the open page. */
void health_close(struct notify *notify);
uint64_t health_failing(const struct notify *notify);

/* -- what FusionAuth's webhooks are signed with (keyring.c) ------------------------------- */

struct keyring;
bool keyring_read(struct store *store, struct json_parser *parser, struct keyring **keyring_out,
                  struct err *err) MUST_USE;
void keyring_free(struct keyring *keyring);
/* Appends the header's line. */
bool keyring_sign(struct buffer *out, const struct keyring *keyring, const struct webhook *webhook,
                  struct str body, struct err *err) MUST_USE;

/* -- following the log (follow.c) ------------------------------------- */

/* Takes the webhooks and members anew when they have changed; to be called after what they are to
 * be told of was found, or one that came in between would miss it. */
void follow_webhooks(struct notify *notify);
/* What there is to tell of: an alert, an event, a notice. */
struct occasion {
    enum webhook_event kind;
    int64_t record_at;
    struct str record_id, alert_id; /* alert_id empty: it tells of none */
};
void follow_deliver(struct notify *notify, struct lane *lane, const struct occasion *occasion,
                    int64_t now_us);
/* A lane that holds too many gives up its oldest. */
void follow_make_room(struct notify *notify, struct lane *lane);
/* Makes jobs and rows for new alerts, for the webhooks as they are then; says whether there is more
 * to read at once. */
bool follow_log(struct notify *notify);
bool follow_load_pending(struct notify *notify, struct err *err) MUST_USE;

/* -- what other threads ask for (commands.c) ------------------------------------- */

struct command {
    struct test *test; /* NULL: what the store holds of these is to be taken up */
    char workspace_id[ID_SIZE], webhook_id[sizeof NOTIFY_MAIL_PREFIX + MAIL_ADDRESS_MAX];
    size_t workspace_id_len, webhook_id_len;
    int64_t from, to; /* record_at */
};
void commands_run(struct notify *notify);
void commands_test_done(struct notify *notify, struct test *test,
                        const struct notify_result *result);
/* Nobody is answered any more: not those that wait, and not those that will ask. */
void commands_refuse(struct notify *notify);

/* -- transactions (transaction.c, told.c) ------------------------------------- */

enum { ASKING_CALLS = 4096, ASKING_BUCKETS = 4096 };

/* One receiver, asked about one thing. */
struct outcall {
    struct asked *of;
    struct outcall *next;  /* of the same, or free */
    struct outcall *chain; /* in its bucket, while what it said is kept */
    struct lane *lane;
    enum webhook_event kind;
    size_t alert; /* its number; of a login 0 */
    char id[ID_SIZE];
    uint64_t token;
    int64_t began_at;
    bool good;
    struct notify_result result;
};

struct asked {
    struct notify_transaction *transaction; /* NULL: answered */
    struct outcall *first, **end;
    size_t count, open;
    struct asked *next; /* of those under way or kept, or free */
    bool settled;       /* under the lock, as what follows */
    int64_t last_at;    /* of its records; 0: it was not stored */
};

struct asking {
    struct outcall *calls, *free_calls;
    struct asked *all, *free_asked, *live;
    size_t calls_used, asked_used; /* taken at least once */
    struct outcall *buckets[ASKING_BUCKETS];
    uint64_t serial;
    struct notify_transaction *first, **end; /* under the lock: not begun yet */
    _Atomic bool some_settled;
};

void asking_run(struct notify *notify); /* begins those that were asked for */
bool asking_done(struct notify *notify, const struct notify_result *result); /* false: not ours */
void asking_refuse(struct notify *notify);

/* What was said is kept under the ids of the deliveries (told.c). */
struct asking *asking_new(void);
void asking_free(struct asking *asking);
struct outcall *told_take_call(struct asking *asking); /* NULL: all are out */
struct asked *told_take_asked(struct asking *asking);
void told_keep(struct asking *asking, struct asked *asked);
/* Its places are free again; it is not among the live ones any more. */
void told_release(struct asking *asking, struct asked *asked);
void told_unlink(struct asking *asking, const struct asked *asked);
/* True: its receiver has been called already, and what came of it is the job's first attempt. */
bool told_already(struct notify *notify, struct job *job, const char id[static ID_SIZE]);
void told_forget(struct notify *notify); /* what the cursor has passed */

/* -- mail: to whom (post.c), and when (letters.c) ------------------------------------- */

enum { POST_RECIPIENTS_MAX = 256, POST_NOTICE_ID_SIZE = 32 };

struct post;
struct post *post_new(void);
void post_free(struct post *post);
bool post_read_members(struct notify *notify, struct err *err) MUST_USE;
/* To how many addresses an alert goes by mail; and makes their deliveries. */
size_t post_count(struct notify *notify, struct str workspace_id, const struct alert *alert);
void post_take(struct notify *notify, struct str workspace_id, const struct alert *alert,
               int64_t now_us);
struct str post_address(const struct lane *lane);
/* Whether its address is still an owner's or admin's, or named by the alert's rule (NULL: none). */
bool post_is_meant(const struct notify *notify, const struct lane *lane, const struct alert *alert);
/* What stands for a notice's record where ids are made. */
struct str post_notice_id(int64_t at, char out[static POST_NOTICE_ID_SIZE]);

/* Writes to the owners and admins of a workspace: the subject is one line, the text plain, its
 * lines ended by "\n". For the notify thread. It is kept in the store and goes out like every
 * delivery, with retries and after a crash too. Where no mail can be sent, the operator is told
 * instead. ERR_IO: the store says no, and nothing was kept. */
bool post_notice(struct notify *notify, struct str workspace_id, struct str subject,
                 struct str text, struct err *err) MUST_USE;

struct letters *letters_new(void);
void letters_free(struct letters *letters);
bool letters_may_send(const struct notify *notify, const struct lane *lane, int64_t now_us);
/* Sends one, or a digest, or finds out until when the lane has to wait. */
void letters_send(struct notify *notify, struct lane *lane);
void letters_done(struct notify *notify, const struct flight *flight,
                  const struct notify_result *result);
/* Begins a test's mail. ERR_CONFLICT: no mail server is configured. */
bool letters_test(struct notify *notify, struct flight *flight, struct str workspace_id,
                  struct str to, struct err *err) MUST_USE;

/* -- all of it ------------------------------------- */

struct notify {
    struct notify_options options;
    struct lanes lanes;
    struct book book;
    struct flight flights[FLYING_MAX + TESTS_MAX];
    unsigned flying;
    uint64_t serial; /* for tokens */
    struct post *post;
    unsigned letters_flying; /* of `flying` */
    struct asking *asking;

    struct arena webhooks_arena;
    struct keyring *keyring;   /* what the server signs with; NULL: nothing yet */
    bool hears_logins;         /* a webhook takes every login: events are followed too */
    uint64_t generation;       /* of the store, when the webhooks were read; 0: never */
    int64_t webhooks_retry_at; /* monotonic */
    int64_t follow_retry_at;   /* monotonic */
    bool store_failed, log_failed;

    struct json_parser *parser;
    struct arena scratch;        /* one alert or one request */
    struct buffer body, headers; /* of the request being made */
    struct notify_stats counts;  /* the thread's own */
    int64_t oldest_looked_at;    /* monotonic */
    int64_t dropped_said_at;     /* monotonic */

    pthread_t thread;
    bool running;
    atomic_bool stopping;
    pthread_mutex_t lock;    /* of what follows */
    pthread_cond_t answered; /* a test has its result */
    struct notify_stats shown;
    struct command commands[COMMANDS_MAX]; /* a ring */
    size_t first_command, command_count;
    bool refusing;
};

static inline void
notify_lock(struct notify *notify)
{
    must(pthread_mutex_lock(&notify->lock) == 0);
}

static inline void
notify_unlock(struct notify *notify)
{
    must(pthread_mutex_unlock(&notify->lock) == 0);
}

static inline int64_t
wall_us(const struct notify *notify)
{
    return notify->options.clock.wall_us(notify->options.clock.self);
}

static inline int64_t
monotonic_us(const struct notify *notify)
{
    return notify->options.clock.monotonic_us(notify->options.clock.self);
}

#endif
