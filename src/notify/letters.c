/* letters - what waits for a mail address goes out, and what came of it decides what is next.
 *
 * ONE BY ONE, OR GATHERED. An address gets at most LETTERS_MAX mails in any window (ten minutes).
 * As long as what waits fits into what is left of that, each goes out by itself; when more waits,
 * all of it goes out as one digest, and the next digest not before a window has passed.
 *
 * SCHEDULE. 2xx: delivered. 5xx about the message: dead. All else, a server that cannot be reached
 * or that knows our password no more, is tried again like a webhook. Jobs that went out in one
 * digest are tried again at one moment, so that they are one digest again, with the same id.
 *
 * FAIRNESS. One mail to an address at a time, and MAIL_FLYING_MAX in all: a mail server that hangs
 * holds few of the places that webhooks share. */
#include "notify/notify_priv.h"

#include "codec/hash.h"
#include "codec/text.h"

#include <string.h>

enum {
    LETTERS_MAX = 10,
    MAIL_TESTS_MAX = 2,
    MAIL_FLYING_MAX = MAIL_AT_ONCE - MAIL_TESTS_MAX,
    DIGEST_MAX = 1000, /* alerts; what is more follows in another */
    DIGEST_MEMORY = 64 * 1024 * 1024,
    DIGEST_FULL = 48 * 1024 * 1024, /* of that: no more is gathered then */
    ADDRESS_ID_SIZE = ID_SIZE,
};
#define WINDOW_US    (10 * TIME_US_PER_MINUTE)
#define LOG_RETRY_US (5 * TIME_US_PER_SECOND)

struct letters {
    int64_t sent_at[LETTERS_MAX]; /* a ring: when mails went out */
    size_t next;
    int64_t digest_at; /* no digest before */
};

struct letters *
letters_new(void)
{
    return base_alloc(1, sizeof(struct letters));
}

void
letters_free(struct letters *letters)
{
    base_free(letters);
}

static int64_t
window_us(const struct notify *notify)
{
    return notify->options.mail_window_us != 0 ? notify->options.mail_window_us : WINDOW_US;
}

static size_t
count_recent(const struct notify *notify, const struct letters *letters, int64_t now_us)
{
    size_t count = 0;
    for (size_t i = 0; i < LETTERS_MAX; i++)
        count += letters->sent_at[i] != 0 && letters->sent_at[i] > now_us - window_us(notify);
    return count;
}

static void
note_sent(struct letters *letters, int64_t now_us)
{
    letters->sent_at[letters->next] = now_us;
    letters->next = (letters->next + 1) % LETTERS_MAX;
}

/* One to an address at a time: the newest in the ring is the one that failed. */
static void
forget_sent(struct letters *letters)
{
    letters->next = (letters->next + LETTERS_MAX - 1) % LETTERS_MAX;
    letters->sent_at[letters->next] = 0;
}

/* -- reading what a mail tells of ----------------------------------------------------- */

struct reading {
    struct notify *notify;
    struct lane *lane;
    struct arena arena;
    struct mail_alert *alerts;
    struct mail_notice *notices;
    size_t alert_count, notice_count;
    struct job *first, **end; /* those that were read, a chain */
    struct buffer ids;        /* of their deliveries */
    char id[ID_SIZE];         /* of the newest */
};

static void
begin_reading(struct reading *reading, struct notify *notify, struct lane *lane, size_t most)
{
    *reading = (struct reading){.notify = notify, .lane = lane};
    reading->end = &reading->first;
    arena_init(&reading->arena, 64 * 1024, DIGEST_MEMORY);
    buffer_init(&reading->ids, (DIGEST_MAX + 1) * ID_SIZE + 1);
    reading->alerts = arena_array(&reading->arena, most, struct mail_alert);
    reading->notices = arena_array(&reading->arena, most, struct mail_notice);
    must(reading->alerts != NULL && reading->notices != NULL);
}

static void
end_reading(struct reading *reading)
{
    arena_fini(&reading->arena);
    buffer_fini(&reading->ids);
}

static bool
read_alert(struct reading *reading, const struct job *job, struct err *err)
{
    struct notify *notify = reading->notify;
    struct webhook reader_of = {.workspace_id = reading->lane->workspace_id};
    struct format_reader reader = {.journal = notify->options.journal,
                                   .store = notify->options.store,
                                   .parser = notify->parser,
                                   .arena = &reading->arena};
    struct format_parts parts;
    if (!format_read(&reader, &reader_of, WEBHOOK_ALERT, job->record_at, &parts, err))
        return false;
    const struct alert *alert = &parts.alerts[0].alert;
    if (!post_is_meant(notify, reading->lane, alert))
        return err_set(err, ERR_NOT_FOUND,
                       "the address is no owner's or admin's any more, nor named by the rule");
    format_delivery_id(format_record_id(&parts), job->kind, reading->lane->webhook_id, reading->id);
    reading->alerts[reading->alert_count++] = (struct mail_alert){
        .alert = alert, .context = parts.alerts[0].context, .event = parts.event};
    return true;
}

static bool
read_notice(struct reading *reading, const struct job *job, struct err *err)
{
    struct store_notice notice;
    char record[POST_NOTICE_ID_SIZE];
    if (!store_notice(reading->notify->options.store, job->record_at, &reading->arena, &notice,
                      err))
        return false;
    if (!post_is_meant(reading->notify, reading->lane, NULL))
        return err_set(err, ERR_NOT_FOUND, "the address is no owner's or admin's any more");
    format_delivery_id(post_notice_id(job->record_at, record), job->kind, reading->lane->webhook_id,
                       reading->id);
    reading->notices[reading->notice_count++] =
        (struct mail_notice){.subject = notice.subject, .text = notice.text};
    return true;
}

/* Takes over the job: into the chain, back to wait, or dead. False: no more can be read now. */
static bool
read_job(struct reading *reading, struct job *job)
{
    struct notify *notify = reading->notify;
    struct err err = {0};
    bool ok = job->kind == WEBHOOK_ALERT ? read_alert(reading, job, &err)
              : job->kind == WEBHOOK_NOTICE
                  ? read_notice(reading, job, &err)
                  : err_set(&err, ERR_INPUT, "mail tells of no such event");
    if (ok) {
        buffer_add(&reading->ids, (struct str){reading->id, ID_SIZE});
        job->gathered = NULL;
        *reading->end = job;
        reading->end = &job->gathered;
        return reading->arena.total < DIGEST_FULL;
    }
    if (err.code != ERR_IO) {
        send_dead(notify, job, err.text);
        return true;
    }
    if (!notify->log_failed)
        diag_warn("mail waits for what it tells of: %s", err.text);
    notify->log_failed = true;
    lanes_wait(&notify->lanes, job, wall_us(notify) + LOG_RETRY_US);
    return false;
}

/* -- the message ---------------------------------------------------------------------- */

static struct mail_letter
letter_to(const struct notify *notify, struct str workspace_id, struct str to, struct str id)
{
    return (struct mail_letter){.from = str_from(notify->options.mail->from),
                                .to = to,
                                .id = id,
                                .date_us = wall_us(notify),
                                .workspace_id = workspace_id,
                                .public_url = notify->options.public_url};
}

/* A digest's id is made of those in it. */
static struct str
message_id(const struct reading *reading, char out[static ID_SIZE])
{
    unsigned char hash[SHA256_SIZE];
    if (reading->alert_count + reading->notice_count == 1)
        return (struct str){reading->id, ID_SIZE};
    sha256_once(buffer_str(&reading->ids), hash);
    struct uuid uuid = uuid_v8(hash);
    memcpy(out, "dig_", 4);
    uuid_format(&uuid, out + 4);
    return (struct str){out, ID_SIZE};
}

static bool
write_message(const struct reading *reading, struct buffer *out)
{
    char id[ID_SIZE];
    struct mail_letter letter = letter_to(reading->notify, reading->lane->workspace_id,
                                          post_address(reading->lane), message_id(reading, id));
    if (reading->alert_count + reading->notice_count > 1)
        return mail_write_digest(out, &letter, reading->alerts, reading->alert_count,
                                 reading->notices, reading->notice_count);
    if (reading->alert_count == 1)
        return mail_write_alert(out, &letter, reading->alerts);
    return mail_write_notice(out, &letter, reading->notices);
}

static bool
start(struct notify *notify, const struct flight *flight, struct str to, struct err *err)
{
    const struct notify_transport *transport = &notify->options.transport;
    struct notify_request request = {.token = flight->token,
                                     .body = buffer_str(&notify->body),
                                     .mail = notify->options.mail,
                                     .mail_to = to};
    return transport->start(transport->self, &request, err);
}

/* What never went out has failed like what did. */
static void
fail(struct notify *notify, const struct flight *flight, const struct err *err)
{
    struct notify_result failed = {.token = flight->token, .retry_after_us = -1};
    size_t len = send_copy_text(failed.error, str_from(err->text), sizeof failed.error - 1);
    failed.error[len] = '\0';
    send_done(notify, &failed);
}

static void
send_message(struct notify *notify, struct reading *reading)
{
    struct lane *lane = reading->lane;
    struct err err = {0};
    struct flight *flight = send_free_flight(notify);
    must(flight != NULL); /* fewer than FLYING_MAX are in use */
    flight->job = reading->first;
    lane->flying++;
    notify->flying++;
    notify->letters_flying++;
    note_sent(lane->letters, wall_us(notify));
    buffer_clear(&notify->body);
    if (!write_message(reading, &notify->body))
        err_set(&err, ERR_LIMIT, "the message is too long");
    else if (start(notify, flight, post_address(lane), &err))
        return;
    fail(notify, flight, &err);
}

static void
send_some(struct notify *notify, struct lane *lane, size_t most)
{
    struct reading reading;
    size_t count = 0;
    begin_reading(&reading, notify, lane, most);
    for (struct job *job; count < most && (job = lanes_take(&notify->lanes, lane)) != NULL;) {
        if (!read_job(&reading, job))
            break;
        count = reading.alert_count + reading.notice_count;
    }
    if (reading.first != NULL)
        send_message(notify, &reading);
    end_reading(&reading);
}

/* -- when ----------------------------------------------------------------------------- */

bool
letters_may_send(const struct notify *notify, const struct lane *lane, int64_t now_us)
{
    return notify->options.mail != NULL && lane->flying == 0 && lane->paused_until <= now_us &&
           notify->letters_flying < MAIL_FLYING_MAX && notify->flying < FLYING_MAX &&
           book_has_outcome_room(notify, 1);
}

/* When the oldest of LETTERS_MAX mails leaves the window. */
static int64_t
next_place(const struct notify *notify, const struct letters *letters)
{
    int64_t oldest = INT64_MAX;
    for (size_t i = 0; i < LETTERS_MAX; i++)
        oldest = letters->sent_at[i] < oldest ? letters->sent_at[i] : oldest;
    return oldest + window_us(notify);
}

void
letters_send(struct notify *notify, struct lane *lane)
{
    struct letters *letters = lane->letters;
    int64_t now = wall_us(notify);
    size_t recent = count_recent(notify, letters, now), ready = lane->ready.count;
    if (recent + ready <= LETTERS_MAX) {
        send_some(notify, lane, 1);
        return;
    }
    int64_t at = recent < LETTERS_MAX ? now : next_place(notify, letters);
    if (at < letters->digest_at)
        at = letters->digest_at;
    if (at > now)
        lane->paused_until = at;
    else
        send_some(notify, lane, DIGEST_MAX);
}

/* -- what came of it ------------------------------------------------------------------ */

static enum delivery_status
judge(const struct job *job, const struct notify_result *result)
{
    if (result->status >= 200 && result->status < 300)
        return DELIVERY_DELIVERED;
    bool last = job->attempts + 1 - job->attempts_before > NOTIFY_SCHEDULE_STEPS;
    return result->is_final || last ? DELIVERY_DEAD : DELIVERY_PENDING;
}

static void
settle(struct notify *notify, struct job *job, const struct flight *flight,
       const struct notify_result *result, int64_t next_at)
{
    enum delivery_status status = judge(job, result);
    struct book_outcome *outcome = send_begin_outcome(notify, job, status);
    outcome->at = flight->began_at;
    outcome->duration_us = result->duration_us;
    outcome->http_status = result->status;
    size_t len = send_copy_text(outcome->error, str_from(result->error), sizeof outcome->error - 1);
    outcome->error[len] = '\0';
    outcome->has_answer = result->answer_len > 0;
    outcome->answer_len = send_copy_text(
        outcome->answer, (struct str){result->answer, result->answer_len}, sizeof outcome->answer);
    if (status == DELIVERY_PENDING) {
        outcome->next_attempt_at = next_at;
        lanes_wait(&notify->lanes, job, next_at);
        return;
    }
    notify->counts.mail_dead += status == DELIVERY_DEAD;
    lanes_remove(&notify->lanes, job);
}

static void
count_attempt(struct notify *notify, const struct notify_result *result, bool digest)
{
    struct notify_stats *counts = &notify->counts;
    bool accepted = result->status >= 200 && result->status < 300;
    counts->mail_accepted += accepted;
    counts->mail_refused += !accepted && result->is_final;
    counts->mail_failed += !accepted && !result->is_final;
    counts->mail_digests += accepted && digest;
}

void
letters_done(struct notify *notify, const struct flight *flight, const struct notify_result *result)
{
    struct job *job = flight->job;
    struct lane *lane = job->lane;
    int64_t now = wall_us(notify);
    bool digest = job->gathered != NULL;
    unsigned step = job->attempts + 1 - job->attempts_before;
    int64_t next_at =
        now + send_retry_delay(notify->options.random,
                               step < NOTIFY_SCHEDULE_STEPS ? step : NOTIFY_SCHEDULE_STEPS);
    size_t count = 0;
    notify->letters_flying--;
    count_attempt(notify, result, digest);
    while (job != NULL) {
        struct job *next = job->gathered;
        job->gathered = NULL;
        settle(notify, job, flight, result, next_at);
        job = next;
        count++;
    }
    if (result->status < 200 || result->status >= 300)
        forget_sent(lane->letters);
    else if (digest && count < DIGEST_MAX)
        lane->letters->digest_at = now + window_us(notify);
}

static size_t
count_tests(const struct notify *notify)
{
    size_t count = 0;
    for (size_t i = 0; i < COUNT_OF(notify->flights); i++)
        count += notify->flights[i].test != NULL && notify->flights[i].is_mail_test;
    return count;
}

bool
letters_test(struct notify *notify, struct flight *flight, struct str workspace_id, struct str to,
             struct err *err)
{
    char id[ID_SIZE];
    if (notify->options.mail == NULL)
        return err_set(err, ERR_CONFLICT, "the server runs without --smtp-url");
    if (count_tests(notify) == MAIL_TESTS_MAX)
        return err_set(err, ERR_LIMIT, "too many test mails are under way; try again");
    flight->is_mail_test = true;
    id_new(notify->options.random, "msg_", id);
    struct mail_letter letter = letter_to(notify, workspace_id, to, (struct str){id, ID_SIZE});
    buffer_clear(&notify->body);
    return (mail_write_test(&notify->body, &letter) ||
            err_set(err, ERR_LIMIT, "the message is too long")) &&
           start(notify, flight, to, err);
}
