/* send - what is ready goes out, and what came of it decides what is next.
 *
 * SCHEDULE. 2xx: delivered. 410: dead, and the webhook is switched off. Anything else (3xx too:
 * we do not follow) is tried again after 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h,
 * each ±10 %; then it is dead. Retry-After with 429 or 503 puts the next attempt off further, up
 * to a day, and holds back the webhook's other deliveries too, up to five minutes.
 *
 * FAIRNESS. The lanes take turns. A lane begins with one request in flight; each success doubles
 * that, up to eight, each failure halves it, so that receivers that hang hold few places, and some
 * places are kept for lanes that hold none. One that says no quickly would take as much of our time
 * as one that works: after eight failures without a success a lane is asked twenty times a second,
 * until it answers well. */
#include "notify/notify_priv.h"

#include "codec/text.h"
#include "model/ids.h"
#include "model/webhook_call.h"

#include <string.h>

enum { START_MAX = 64, ILL_FAILURES = 8, HEADER_LINES_MAX = 64, TIMEOUT_MAX_MS = 60000 };
#define ILL_PAUSE_US       50000
#define PAUSE_MAX_US       (5 * TIME_US_PER_MINUTE)
#define RETRY_AFTER_MAX_US TIME_US_PER_DAY
#define LOG_RETRY_US       (5 * TIME_US_PER_SECOND)

static const int64_t schedule_us[] = {
    5 * TIME_US_PER_SECOND, 5 * TIME_US_PER_MINUTE, 30 * TIME_US_PER_MINUTE,
    2 * TIME_US_PER_HOUR,   5 * TIME_US_PER_HOUR,   10 * TIME_US_PER_HOUR,
    14 * TIME_US_PER_HOUR,  20 * TIME_US_PER_HOUR,  24 * TIME_US_PER_HOUR,
};
_Static_assert(COUNT_OF(schedule_us) == NOTIFY_SCHEDULE_STEPS, "the schedule in notify.h");

int64_t
send_retry_delay(struct random random, unsigned step)
{
    must(step >= 1 && step <= NOTIFY_SCHEDULE_STEPS);
    uint32_t dice = 0;
    random.fill(random.self, &dice, sizeof dice);
    int64_t delay = schedule_us[step - 1];
    return delay * 9 / 10 + delay / 5 * (int64_t)(dice % 10001) / 10000;
}

/* -- the request ------------------------------------- */

/* A line break in it would be another header. */
static bool
is_clean(struct str text, bool is_name)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c < 0x20 || c == 0x7f || (is_name && (c == ':' || c == ' ' || c == ';')))
            return false;
    }
    return !is_name || text.len > 0;
}

static void
add_own_headers(struct buffer *out, const struct webhook *webhook)
{
    if (webhook->headers.type != JSON_OBJECT)
        return;
    for (uint32_t i = 0; i < webhook->headers.count; i++) {
        const struct json_member *member = &webhook->headers.members[i];
        if (member->value.type == JSON_STRING && member->value.text.len > 0 &&
            is_clean(member->name, true) && is_clean(member->value.text, false) &&
            !webhook_header_is_reserved(member->name))
            buffer_printf(out, "%.*s: %.*s\n", STR_ARG(member->name), STR_ARG(member->value.text));
    }
}

/* Turns lines into texts of their own. */
static void
cut_lines(struct buffer *headers, const char *lines[static HEADER_LINES_MAX])
{
    size_t count = 0;
    char *at = headers->ptr, *end = headers->ptr + headers->len;
    while (at < end && count + 1 < HEADER_LINES_MAX) {
        lines[count++] = at;
        char *stop = memchr(at, '\n', (size_t)(end - at));
        must(stop != NULL);
        *stop = '\0';
        at = stop + 1;
    }
    lines[count] = NULL;
}

/* No wait is for ever, whatever stands in the store. */
static int64_t
bounded_ms(int64_t ms)
{
    return ms > 0 && ms < TIMEOUT_MAX_MS ? ms : TIMEOUT_MAX_MS;
}

bool
send_request(struct notify *notify, struct flight *flight, const struct webhook *webhook,
             struct str message_id, struct err *err)
{
    const char *version = notify->options.version;
    struct buffer *headers = &notify->headers;
    buffer_clear(headers);
    buffer_add(headers, STR("Content-Type: application/json\n"));
    buffer_printf(headers, "User-Agent: Tocsin%s%s\n", version == NULL ? "" : "/",
                  version == NULL ? "" : version);
    notify_sign(headers, webhook, message_id, flight->began_at, buffer_str(&notify->body));
    if (webhook->format == WEBHOOK_FUSIONAUTH &&
        !keyring_sign(headers, notify->keyring, webhook, buffer_str(&notify->body), err))
        return false;
    add_own_headers(headers, webhook);
    if (headers->ran_out)
        return err_set(err, ERR_LIMIT, "the headers are too long");

    const char *lines[HEADER_LINES_MAX];
    cut_lines(headers, lines);
    char url[WEBHOOK_URL_MAX + 1];
    if (webhook->url.len >= sizeof url || memchr(webhook->url.ptr, '\0', webhook->url.len) != NULL)
        return err_set(err, ERR_INPUT, "the URL cannot be called");
    memcpy(url, webhook->url.ptr, webhook->url.len);
    url[webhook->url.len] = '\0';
    struct notify_request request = {
        .token = flight->token,
        .url = url,
        .headers = lines,
        .body = buffer_str(&notify->body),
        .connect_timeout_ms = bounded_ms(webhook->connect_timeout_ms),
        .timeout_ms = bounded_ms(webhook->timeout_ms),
    };
    const struct notify_transport *transport = &notify->options.transport;
    return transport->start(transport->self, &request, err);
}

struct flight *
send_free_flight(struct notify *notify)
{
    for (size_t i = 0; i < COUNT_OF(notify->flights); i++) {
        struct flight *flight = &notify->flights[i];
        if (flight->job != NULL || flight->test != NULL)
            continue;
        *flight = (struct flight){
            .token = ++notify->serial * COUNT_OF(notify->flights) + i,
            .began_at = wall_us(notify),
            .began_monotonic = monotonic_us(notify),
        };
        return flight;
    }
    return NULL;
}

/* -- what came of it ------------------------------------- */

/* An answer is shown to people and written as JSON: text, whatever the receiver sent. */
size_t
send_copy_text(char *out, struct str text, size_t size)
{
    text = utf8_cut(text, size);
    bool valid = utf8_valid(text);
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        out[i] = c == '\0' || (c >= 0x80 && !valid) ? '?' : (char)c;
    }
    return text.len;
}

struct book_outcome *
send_begin_outcome(struct notify *notify, struct job *job, enum delivery_status status)
{
    struct book_outcome *outcome = book_add_outcome(notify);
    outcome->lane = job->lane;
    outcome->kind = job->kind;
    outcome->record_at = job->record_at;
    outcome->status = status;
    outcome->number = ++job->attempts;
    outcome->at = wall_us(notify);
    outcome->next_attempt_at = outcome->at;
    return outcome;
}

void
send_dead(struct notify *notify, struct job *job, const char *why)
{
    struct book_outcome *outcome = send_begin_outcome(notify, job, DELIVERY_DEAD);
    size_t len = send_copy_text(outcome->error, str_from(why), sizeof outcome->error - 1);
    outcome->error[len] = '\0';
    if (job->lane->letters != NULL)
        notify->counts.mail_dead++;
    else
        notify->counts.deliveries_dead++;
    lanes_remove(&notify->lanes, job);
}

/* `job` has this attempt counted already. */
static void
count_attempt(struct notify *notify, const struct job *job, const struct notify_result *result,
              int64_t now_us)
{
    struct notify_stats *counts = &notify->counts;
    histogram_add(&counts->duration, result->duration_us);
    if (result->status < 200 || result->status >= 300) {
        *(result->status == 0 ? &counts->attempts_unanswered : &counts->attempts_failed) += 1;
        return;
    }
    counts->attempts_delivered++;
    if (job->attempts == 1 && job->kind != WEBHOOK_ALERT_RESOLVED)
        histogram_add(&counts->latency, now_us > job->record_at ? now_us - job->record_at : 0);
}

static int64_t
next_attempt(struct notify *notify, const struct job *job, const struct notify_result *result,
             int64_t now_us)
{
    int64_t delay = send_retry_delay(notify->options.random, job->attempts - job->attempts_before);
    bool asked = result->retry_after_us >= 0 && (result->status == 429 || result->status == 503);
    if (!asked)
        return now_us + delay;
    int64_t after =
        result->retry_after_us < RETRY_AFTER_MAX_US ? result->retry_after_us : RETRY_AFTER_MAX_US;
    job->lane->paused_until = now_us + (after < PAUSE_MAX_US ? after : PAUSE_MAX_US);
    return now_us + (after > delay ? after : delay);
}

static enum delivery_status
judge(const struct job *job, const struct notify_result *result)
{
    if (result->status >= 200 && result->status < 300)
        return DELIVERY_DELIVERED;
    bool last = job->attempts + 1 - job->attempts_before > NOTIFY_SCHEDULE_STEPS;
    return result->status == 410 || last ? DELIVERY_DEAD : DELIVERY_PENDING;
}

static void
adjust_lane(struct lane *lane, bool delivered, int64_t now_us)
{
    if (delivered) {
        lane->failures = 0;
        lane->allowed = lane->allowed * 2 < LANE_FLYING_MAX ? lane->allowed * 2 : LANE_FLYING_MAX;
        return;
    }
    if (lane->allowed > 1)
        lane->allowed /= 2;
    if (++lane->failures >= ILL_FAILURES && lane->paused_until < now_us + ILL_PAUSE_US)
        lane->paused_until = now_us + ILL_PAUSE_US;
}

void
send_settle(struct notify *notify, struct job *job, int64_t began_at,
            const struct notify_result *result)
{
    struct lane *lane = job->lane;
    enum delivery_status status = judge(job, result);
    struct book_outcome *outcome = send_begin_outcome(notify, job, status);
    int64_t now = outcome->at;
    outcome->at = began_at;
    outcome->duration_us = result->duration_us;
    outcome->http_status = result->status;
    size_t len = send_copy_text(outcome->error, str_from(result->error), sizeof outcome->error - 1);
    outcome->error[len] = '\0';
    outcome->has_answer = result->status != 0;
    outcome->answer_len = send_copy_text(
        outcome->answer, (struct str){result->answer, result->answer_len}, sizeof outcome->answer);

    adjust_lane(lane, status == DELIVERY_DELIVERED, now);
    count_attempt(notify, job, result, now);
    health_note(notify, lane, now, status == DELIVERY_DELIVERED);
    if (result->status == 410 && !lane->gone)
        health_switch_off(notify, lane, "its receiver answered 410 Gone");
    if (status == DELIVERY_PENDING) {
        outcome->next_attempt_at = next_attempt(notify, job, result, now);
        lanes_wait(&notify->lanes, job, outcome->next_attempt_at);
        return;
    }
    notify->counts.deliveries_dead += status == DELIVERY_DEAD;
    /* A stream of every login would fill the store with rows that say that all is well. */
    if (status == DELIVERY_DELIVERED && job->attempts == 1 && job->is_streamed)
        book_forget(notify, job);
    lanes_remove(&notify->lanes, job);
}

void
send_done(void *self, const struct notify_result *result)
{
    struct notify *notify = self;
    if (asking_done(notify, result))
        return;
    struct flight *flight = &notify->flights[result->token % COUNT_OF(notify->flights)];
    if (flight->token != result->token || (flight->job == NULL && flight->test == NULL))
        return;
    notify->flying--;
    if (flight->test != NULL) {
        commands_test_done(notify, flight->test, result);
    } else {
        flight->job->lane->flying--;
        if (flight->job->lane->letters != NULL)
            letters_done(notify, flight, result);
        else
            send_settle(notify, flight->job, flight->began_at, result);
    }
    flight->job = NULL;
    flight->test = NULL;
}

/* -- starting ------------------------------------- */

/* Why this will never be sent, or NULL. What was found while a webhook was in force is owed to
 * it once, even if it was switched off meanwhile; retries are not. */
static const char *
why_not(const struct job *job)
{
    const struct webhook *webhook = job->lane->webhook;
    if (webhook == NULL)
        return "there is no such webhook any more";
    if (job->lane->gone)
        return "the webhook was switched off by the server";
    if (job->attempts > job->attempts_before && (!webhook->enabled || webhook->until != 0))
        return "the webhook was switched off or deleted before the next attempt";
    return NULL;
}

/* Into notify->body, and the delivery's id. */
static bool
write_body(struct notify *notify, const struct job *job, char id_out[static ID_SIZE],
           struct err *err)
{
    const struct webhook *webhook = job->lane->webhook;
    struct format_reader reader = {.journal = notify->options.journal,
                                   .store = notify->options.store,
                                   .parser = notify->parser,
                                   .arena = &notify->scratch};
    struct format_parts parts;
    arena_reset(&notify->scratch);
    buffer_clear(&notify->body);
    if (!format_read(&reader, webhook, job->kind, job->record_at, &parts, err))
        return false;
    parts.public_url = notify->options.public_url;
    if (!format_write(&notify->body, &parts, err))
        return false;
    format_delivery_id(format_record_id(&parts), job->kind, webhook->id, id_out);
    return true;
}

/* What is over is told after what began it. */
static bool
has_to_wait(struct notify *notify, struct job *job)
{
    const struct job *before = lanes_before(job);
    if (before == NULL)
        return false;
    int64_t soon = wall_us(notify) + TIME_US_PER_SECOND;
    lanes_wait(&notify->lanes, job,
               before->place == JOB_WAITING && before->next_at > soon ? before->next_at : soon);
    return true;
}

static void
start_job(struct notify *notify, struct job *job)
{
    char id[ID_SIZE];
    struct err err = {0};
    const char *why = why_not(job);
    if (why != NULL) {
        send_dead(notify, job, why);
        return;
    }
    if (has_to_wait(notify, job))
        return;
    if (!write_body(notify, job, id, &err)) {
        if (err.code != ERR_IO) {
            send_dead(notify, job, err.text);
            return;
        }
        if (!notify->log_failed)
            diag_warn("deliveries wait for the log: %s", err.text);
        notify->log_failed = true;
        lanes_wait(&notify->lanes, job, wall_us(notify) + LOG_RETRY_US);
        return;
    }
    struct flight *flight = send_free_flight(notify);
    must(flight != NULL); /* fewer than FLYING_MAX are in use */
    flight->job = job;
    job->is_streamed = webhook_event_is_plain(job->kind);
    job->lane->flying++;
    notify->flying++;
    if (send_request(notify, flight, job->lane->webhook, (struct str){id, ID_SIZE}, &err))
        return;
    struct notify_result failed = {.token = flight->token, .retry_after_us = -1};
    size_t len = send_copy_text(failed.error, str_from(err.text), sizeof failed.error - 1);
    failed.error[len] = '\0';
    send_done(notify, &failed);
}

static bool
may_send(const struct notify *notify, const struct lane *lane, int64_t now_us)
{
    if (lane->letters != NULL)
        return letters_may_send(notify, lane, now_us);
    unsigned most = lane->flying == 0 ? FLYING_MAX : FLYING_MAX - FLYING_SPARE;
    return lane->flying < lane->allowed && lane->paused_until <= now_us && notify->flying < most &&
           book_has_outcome_room(notify, 1);
}

bool
send_ready(struct notify *notify)
{
    int64_t now = wall_us(notify);
    lanes_wake_due(&notify->lanes, now);
    if (notify->generation == 0)
        return false; /* who is to be called is not known yet */
    for (size_t started = 0, idle = 0; idle < notify->lanes.active_count;) {
        struct lane *lane = lanes_turn(&notify->lanes);
        if (!may_send(notify, lane, now)) {
            idle++;
            continue;
        }
        if (started++ == START_MAX)
            return true;
        idle = 0;
        if (lane->letters != NULL)
            letters_send(notify, lane);
        else
            start_job(notify, lanes_take(&notify->lanes, lane));
    }
    return false;
}
