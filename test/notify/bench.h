/* bench - a log with alerts, a store, a clock that stands still until it is told, and a transport
 * that answers as it is told. */
#ifndef TEST_NOTIFY_BENCH_H
#define TEST_NOTIFY_BENCH_H

#include "model/ids.h"
#include "notify/notify.h"

#include "tap.h"

#include <ftw.h>
#include <stdlib.h>
#include <unistd.h>

#define BENCH_EPOCH     1790000000000000LL /* September 2026 */
#define BENCH_WORKSPACE STR("ws_0000beef")

/* -- the transport ------------------------------------- */

enum { FAKE_REQUESTS = 40000 };

struct fake_request {
    uint64_t token;
    char url[64], id[ID_SIZE + 1];
    int64_t at; /* wall clock */
};

struct fake {
    struct fake_request *requests;
    size_t count, open_count;
    size_t *open; /* indices of those not answered yet */
    char *last_body, *last_headers;
    int64_t status, retry_after_us; /* what all but hanging ones are answered */
    const char *hangs;              /* URLs with this in them are never answered */
    const char *other;              /* those with this in them are answered other_status */
    int64_t other_status;
    int64_t last_wait_us;
    struct clock clock;
    bool refuses; /* start says no */
};

/* A mail counts as a request to `mailto:` and its address; what stands for its id is the message's.
 */
static inline void
fake_take_mail(struct fake *fake, struct fake_request *made, const struct notify_request *request)
{
    static const char before[] = "\r\nMessage-ID:\r\n <";
    base_free(fake->last_body);
    fake->last_body = base_alloc(request->body.len + 1, 1);
    memcpy(fake->last_body, request->body.ptr, request->body.len);
    snprintf(made->url, sizeof made->url, "mailto:%.*s", STR_ARG(request->mail_to));
    const char *id = strstr(fake->last_body, before);
    must(id != NULL);
    snprintf(made->id, sizeof made->id, "%.40s", id + sizeof before - 1);
}

static inline bool
fake_start(void *self, const struct notify_request *request, struct err *err)
{
    struct fake *fake = self;
    if (fake->refuses)
        return err_set(err, ERR_IO, "no more sockets");
    must(fake->count < FAKE_REQUESTS);
    struct fake_request *made = &fake->requests[fake->count++];
    *made = (struct fake_request){.token = request->token};
    fake->open[fake->open_count++] = fake->count - 1;
    made->at = fake->clock.wall_us(fake->clock.self);
    if (request->mail != NULL) {
        fake_take_mail(fake, made, request);
        return true;
    }
    snprintf(made->url, sizeof made->url, "%s", request->url);
    struct buffer headers;
    buffer_init(&headers, 1 << 20);
    for (size_t i = 0; request->headers[i] != NULL; i++) {
        buffer_printf(&headers, "%s\n", request->headers[i]);
        if (strncmp(request->headers[i], "webhook-id: ", 12) == 0)
            snprintf(made->id, sizeof made->id, "%s", request->headers[i] + 12);
    }
    buffer_add_char(&headers, '\0');
    base_free(fake->last_headers);
    base_free(fake->last_body);
    fake->last_headers = headers.ptr;
    fake->last_body = base_alloc(request->body.len + 1, 1);
    memcpy(fake->last_body, request->body.ptr, request->body.len);
    return true;
}

static inline void
fake_run(void *self, int64_t wait_us, void (*done)(void *each, const struct notify_result *result),
         void *each)
{
    struct fake *fake = self;
    fake->last_wait_us = wait_us;
    size_t kept = 0, end = fake->open_count;
    for (size_t i = 0; i < end; i++) {
        const struct fake_request *request = &fake->requests[fake->open[i]];
        if (fake->hangs != NULL && strstr(request->url, fake->hangs) != NULL) {
            fake->open[kept++] = fake->open[i];
            continue;
        }
        bool other = fake->other != NULL && strstr(request->url, fake->other) != NULL;
        struct notify_result result = {
            .token = request->token,
            .status = other ? fake->other_status : fake->status,
            .is_final = strncmp(request->url, "mailto:", 7) == 0 && fake->status / 100 == 5,
            .retry_after_us = fake->retry_after_us,
            .duration_us = 1000,
            .answer = "seen",
            .answer_len = 4,
        };
        if (result.status == 0)
            snprintf(result.error, sizeof result.error, "connection refused");
        done(each, &result);
    }
    fake->open_count = kept;
}

static inline void
fake_wake(void *self)
{
    (void)self;
}

/* -- the dice ------------------------------------- */

static inline void
bench_dice(void *self, void *bytes, size_t len)
{
    uint64_t *seed = self;
    for (size_t i = 0; i < len; i++) {
        *seed = *seed * 6364136223846793005u + 1442695040888963407u;
        ((unsigned char *)bytes)[i] = (unsigned char)(*seed >> 33);
    }
}

/* -- the bench ------------------------------------- */

struct bench {
    char folder[64];
    struct log_disk disk;
    struct journal *journal;
    struct store *store;
    struct notify *notify;
    struct fake fake;
    int64_t now_us;
    uint64_t seed;
    size_t waiting_max;
    const struct mail_server *mail; /* NULL: none */
    int64_t next_at;                /* of the next record */
    /* Done once, when the clock has been asked that often: something in the middle of a round. */
    void (*meanwhile)(struct bench *bench);
    int asks_before;
    struct arena arena;
    struct err err;
};

static inline int64_t
bench_now(void *self)
{
    struct bench *bench = self;
    void (*meanwhile)(struct bench * bench) = bench->meanwhile;
    if (meanwhile != NULL && bench->asks_before-- == 0) {
        bench->meanwhile = NULL;
        meanwhile(bench);
    }
    return bench->now_us;
}

static inline struct clock
bench_clock(struct bench *bench)
{
    return (struct clock){bench, bench_now, bench_now};
}

static inline void
bench_open_notify(struct bench *bench)
{
    bench->fake.clock = bench_clock(bench);
    struct notify_options options = {
        .journal = bench->journal,
        .store = bench->store,
        .clock = bench_clock(bench),
        .random = {&bench->seed, bench_dice},
        .transport = {&bench->fake, fake_start, fake_run, fake_wake, fake_wake},
        .waiting_max = bench->waiting_max,
        .mail = bench->mail,
        .version = "9.9",
    };
    must(notify_new(&options, &bench->notify, &bench->err));
}

static inline void
bench_open_log_and_store(struct bench *bench)
{
    struct log_recovery recovery;
    struct journal_options options = {0};
    char folder[80];
    snprintf(folder, sizeof folder, "%s/log", bench->folder);
    must(log_disk_open(folder, 0, &bench->disk, &bench->err));
    options.log.disk = bench->disk;
    must(journal_open(&options, &bench->journal, &recovery, &bench->err));
    must(store_open(bench->folder, &bench->store, &bench->err));
}

/* In place: the clock is part of it. */
static inline void
bench_init(struct bench *bench)
{
    *bench = (struct bench){.folder = "/tmp/tocsin-notify-XXXXXX",
                            .now_us = BENCH_EPOCH,
                            .next_at = BENCH_EPOCH,
                            .fake = {.status = 200, .retry_after_us = -1}};
    must(mkdtemp(bench->folder) != NULL);
    arena_init(&bench->arena, 65536, 256u << 20);
    bench->fake.requests = base_alloc(FAKE_REQUESTS, sizeof(struct fake_request));
    bench->fake.open = base_alloc(FAKE_REQUESTS, sizeof(size_t));
    bench_open_log_and_store(bench);
}

static inline int
bench_remove(const char *path, const struct stat *info, int type, struct FTW *ftw)
{
    (void)info, (void)type, (void)ftw;
    return remove(path);
}

static inline void
bench_fini(struct bench *bench)
{
    notify_free(bench->notify);
    journal_close(bench->journal);
    log_disk_close(&bench->disk);
    store_close(bench->store);
    arena_fini(&bench->arena);
    base_free(bench->fake.requests);
    base_free(bench->fake.open);
    base_free(bench->fake.last_body);
    base_free(bench->fake.last_headers);
    CHECK(nftw(bench->folder, bench_remove, 8, FTW_DEPTH | FTW_PHYS) == 0);
}

static inline void
bench_done(void *self, bool ok, const struct err *err)
{
    (void)self, (void)err;
    must(ok);
}

/* -- what there is to deliver ------------------------------------- */

static inline void
bench_add_event(struct bench *bench, struct event *event)
{
    struct buffer stored;
    size_t offset = 0;
    struct event_integrity integrity;
    buffer_init(&stored, 1 << 20);
    event_write_stored(&stored, event, &bench->arena, &offset);
    struct journal_event row = {.workspace_id = BENCH_WORKSPACE,
                                .event = event,
                                .stored = stored.ptr,
                                .stored_len = stored.len,
                                .created_at_offset = offset};
    must(journal_add_event(bench->journal, (log_at)event->created_at, &row, &integrity,
                           &bench->err));
    buffer_fini(&stored);
}

/* An event and an alert of it, durable; the alert's position. */
static inline int64_t
bench_alert_like(struct bench *bench, struct alert like)
{
    char event_id[ID_SIZE], id[ALERT_ID_SIZE];
    id_new_event((struct random){&bench->seed, bench_dice}, bench->next_at, event_id);
    struct event event = {
        .id = {event_id, ID_SIZE},
        .actor_id = STR("user_5a3c8f"),
        .actor_name = STR("Jordan \"J\" Mitchell"),
        .action = STR("auth.login"),
        .ip_address = STR("91.203.144.12"),
        .occurred_at = bench->next_at - 500,
        .created_at = bench->next_at,
        .location = {.known = true, .country = STR("RO"), .city = STR("Bucharest")},
    };
    struct alert alert = like;
    if (like.actor_id.ptr != NULL)
        event.actor_id = like.actor_id;
    alert.rule_id = STR("rul_6b1f0c1e-0000-4000-8000-000000000001");
    alert.rule_name = STR("Login from New Country");
    if (alert.rule_type.ptr == NULL)
        alert.rule_type = STR("new_country");
    alert_id(event.id, alert.rule_id, id);
    alert.id = (struct str){id, sizeof id};
    alert.reason = STR("Jordan signed in from Bucharest, RO: first time outside US");
    alert.triggered_at = bench->next_at;
    alert.event_id = event.id;
    alert.event_at = bench->next_at;
    alert.actor_id = event.actor_id;
    alert.context = STR("{\"new_country\":\"RO\",\"previous_countries\":[\"US\"]}");
    alert.at = bench->next_at + 1;
    bench_add_event(bench, &event);
    must(journal_add_alert(bench->journal, (log_at)alert.at, BENCH_WORKSPACE, &alert, &bench->err));
    bench->next_at += 10;
    arena_reset(&bench->arena);
    return alert.at;
}

static inline void
bench_commit(struct bench *bench)
{
    must(journal_commit(bench->journal, bench_done, NULL, &bench->err));
    must(journal_drain(bench->journal, &bench->err));
}

static inline int64_t
bench_alert(struct bench *bench)
{
    int64_t at = bench_alert_like(
        bench, (struct alert){.severity = SEVERITY_MEDIUM, .channels = CHANNEL_WEBHOOK});
    bench_commit(bench);
    return at;
}

static inline void
bench_alerts(struct bench *bench, int count)
{
    for (int i = 0; i < count; i++) {
        bench_alert_like(bench,
                         (struct alert){.severity = SEVERITY_MEDIUM, .channels = CHANNEL_WEBHOOK});
        if (i % 500 == 499 || i + 1 == count)
            bench_commit(bench);
    }
}

static inline struct webhook
bench_webhook_like(struct str id, struct str url)
{
    static const struct json takes[] = {{.type = JSON_STRING, .text = STR_INIT("alert.triggered")}};
    return (struct webhook){
        .workspace_id = BENCH_WORKSPACE,
        .id = id,
        .url = url,
        .format = WEBHOOK_IMMUTABLE,
        .events = {.type = JSON_ARRAY, .count = 1, .items = takes},
        .tenant_ids = {.type = JSON_ARRAY},
        .enabled = true,
        .secret = STR("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        .connect_timeout_ms = 2000,
        .timeout_ms = 10000,
        .since = 1,
        .created_at = BENCH_EPOCH,
        .updated_at = BENCH_EPOCH,
    };
}

static inline void
bench_webhook(struct bench *bench, struct str id, struct str url)
{
    struct webhook webhook = bench_webhook_like(id, url);
    must(store_webhook_put(bench->store, &webhook, &bench->err));
}

/* -- running ------------------------------------- */

/* Rounds until there is nothing to do at this moment, and all of it is written. */
static inline void
bench_settle(struct bench *bench)
{
    int quiet = 0;
    for (int i = 0; quiet < 3 && CHECK(i < 100000); i++) {
        size_t before = bench->fake.count;
        notify_round(bench->notify, 1000000);
        bool idle = bench->fake.count == before && bench->fake.last_wait_us > 0;
        quiet = idle ? quiet + 1 : 0;
        if (idle && quiet == 2)
            bench->now_us += 60000; /* the book is written after 50 ms */
    }
}

static inline void
bench_pass(struct bench *bench, int64_t us)
{
    bench->now_us += us;
    bench_settle(bench);
}

static inline struct notify_stats
bench_stats(struct bench *bench)
{
    struct notify_stats stats;
    notify_stats(bench->notify, &stats);
    return stats;
}

static inline struct store_delivery_counts
bench_counts(struct bench *bench)
{
    struct store_delivery_counts counts = {0};
    CHECK(store_delivery_counts(bench->store, &counts, &bench->err));
    return counts;
}

/* How many requests went to URLs with this in them. */
static inline size_t
bench_sent_to(const struct bench *bench, const char *part)
{
    size_t count = 0;
    for (size_t i = 0; i < bench->fake.count; i++)
        count += strstr(bench->fake.requests[i].url, part) != NULL;
    return count;
}

#endif
