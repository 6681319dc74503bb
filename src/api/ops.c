/* What operators and their machines ask: alive, ready, numbers, the contract itself. */
#include "api/api_priv.h"
#include "codec/time.h"

#include <string.h>

#define FILES_MAX 32

void
ops_healthz(struct call *call)
{
    struct buffer *out = call_answer(call, 200);
    json_open(out, '{');
    json_put_str(out, "status", STR("ok"));
    json_close(out, '}');
}

static void
write_files(struct call *call, struct buffer *out)
{
    struct enrich_file files[FILES_MAX];
    size_t count = enrich_files(call->api->options.enrich, files, FILES_MAX);
    json_name(out, "geo_files");
    json_open(out, '[');
    for (size_t i = 0; i < count; i++) {
        json_open(out, '{');
        json_put_str(out, "name", str_from(files[i].name));
        json_put_str(out, "kind", str_from(files[i].kind));
        json_put_int(out, "entries", (int64_t)files[i].entries);
        if (files[i].built_at_us != 0) {
            json_put_time(out, "built_at", files[i].built_at_us);
            json_put_int(out, "age_days",
                         (call->taken_at_us - files[i].built_at_us) / TIME_US_PER_DAY);
        } else {
            json_put_null(out, "built_at");
            json_put_null(out, "age_days");
        }
        json_close(out, '}');
    }
    json_close(out, ']');
    json_put_str(out, "attribution", enrich_attribution(call->api->options.enrich));
}

void
ops_readyz(struct call *call)
{
    struct api *api = call->api;
    struct engine_stats engine;
    engine_stats(api->options.engine, &engine);
    log_at newest = log_durable(journal_log(api->options.journal));
    bool ready = !atomic_load(&api->stopping);
    struct buffer *out = call_answer(call, ready ? 200 : 503);
    json_open(out, '{');
    json_put_str(out, "status", ready ? STR("ready") : STR("stopping"));
    json_put_str(out, "version", str_from(api->options.version));
    if (newest != 0)
        json_put_time(out, "newest_record_at", (int64_t)newest);
    else
        json_put_null(out, "newest_record_at");
    json_put_int(out, "clock_behind_ms", engine.clock_behind_us / 1000);
    json_put_int(out, "rules_active", (int64_t)engine.rules_active);
    json_put_int(out, "rules_learning", (int64_t)engine.rules_learning);
    write_files(call, out);
    json_close(out, '}');
}

/* -- metrics, in Prometheus' text format ------------------------------------------------ */

static void
metric(struct buffer *out, const char *name, const char *type, const char *help, double value)
{
    char number[JSON_NUMBER_SIZE];
    size_t len = json_format_number(value, number);
    buffer_printf(out, "# HELP tocsin_%s %s\n# TYPE tocsin_%s %s\ntocsin_%s %.*s\n", name, help,
                  name, type, name, (int)len, number);
}

struct number {
    const char *name, *type, *help;
    double value;
};

static void
write_numbers(struct buffer *out, const struct number *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        metric(out, numbers[i].name, numbers[i].type, numbers[i].help, numbers[i].value);
}

static void
write_engine(struct call *call, struct buffer *out)
{
    struct engine_stats s;
    engine_stats(call->api->options.engine, &s);
    const struct number numbers[] = {
        {"events_total", "counter", "Events stored.", (double)s.events},
        {"events_duplicate_total", "counter", "Events whose key was seen before.",
         (double)s.duplicates},
        {"alerts_total", "counter", "Alerts raised.", (double)s.alerts},
        {"alerts_suppressed_total", "counter", "Alerts held back by a cooldown.",
         (double)s.suppressed},
        {"commits_failed_total", "counter", "Commits that the disk refused.",
         (double)s.failed_commits},
        {"engine_queue_events", "gauge", "Events that wait for the engine.",
         (double)s.queue_events},
        {"recovery_differences_total", "counter",
         "Alerts in the log that the fold at start did not give, or the other way round.",
         (double)s.recovery_differences},
        {"checkpoints_total", "counter", "Checkpoints of rule state written.",
         (double)s.checkpoints},
        {"checkpoints_late_total", "counter", "Checkpoints due before the last was done.",
         (double)s.checkpoints_late},
        {"rule_subjects", "gauge", "Subjects that rules keep a state of.", (double)s.subjects},
        {"rule_subjects_dropped_total", "counter",
         "Subjects that had to go because a rule held too many.", (double)s.subjects_dropped},
        {"rule_state_bytes", "gauge", "Memory of rule states.", (double)s.state_bytes},
        {"clock_behind_seconds", "gauge", "How far the clock is behind the newest record.",
         (double)s.clock_behind_us / 1e6},
        {"rules_active", "gauge", "Rules in force.", (double)s.rules_active},
        {"rules_learning", "gauge", "Rules that learn from history.", (double)s.rules_learning},
    };
    write_numbers(out, numbers, COUNT_OF(numbers));
}

static void
write_histogram(struct buffer *out, const char *name, const char *help,
                const struct histogram *histogram)
{
    buffer_printf(out, "# HELP tocsin_%s %s\n# TYPE tocsin_%s histogram\n", name, help, name);
    uint64_t so_far = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        char bound[JSON_NUMBER_SIZE];
        size_t len = json_format_number((double)histogram_bound_us[i] / 1e6, bound);
        so_far += histogram->bucket[i];
        buffer_printf(out, "tocsin_%s_bucket{le=\"%.*s\"} %llu\n", name, (int)len, bound,
                      (unsigned long long)so_far);
    }
    buffer_printf(out,
                  "tocsin_%s_bucket{le=\"+Inf\"} %llu\ntocsin_%s_sum %.6f\ntocsin_%s_count %llu\n",
                  name, (unsigned long long)histogram->count, name, (double)histogram->sum_us / 1e6,
                  name, (unsigned long long)histogram->count);
}

static void
write_log(struct call *call, struct buffer *out)
{
    struct log_stats s;
    log_stats(journal_log(call->api->options.journal), &s);
    const struct number numbers[] = {
        {"log_segments", "gauge", "Segments of the log.", (double)s.segments},
        {"log_sealed_bytes", "gauge", "Bytes of sealed segments.", (double)s.sealed_bytes},
        {"log_sealed_records", "gauge", "Records in them.", (double)s.sealed_records},
        {"log_open_bytes", "gauge", "Bytes of the open segment.", (double)s.open_bytes},
        {"log_records_total", "counter", "Records appended since the start.", (double)s.records},
        {"log_commits_total", "counter", "Commits since the start.", (double)s.commits},
        {"log_memory_index_bytes", "gauge", "Memory of the open segment's index.",
         (double)s.memory_index_bytes},
        {"log_cache_bytes", "gauge", "Memory of unpacked frames.", (double)s.cache_bytes},
        {"log_seals_waiting", "gauge", "Segments that wait to be sealed.", (double)s.seals_waiting},
    };
    write_numbers(out, numbers, COUNT_OF(numbers));
    write_histogram(out, "log_sync_seconds", "How long commits waited for the disk.", &s.syncs);
}

struct outcome {
    const char *name;
    uint64_t count;
};

static void
write_outcomes(struct buffer *out, const char *name, const char *help,
               const struct outcome *outcomes, size_t count)
{
    buffer_printf(out, "# HELP tocsin_%s %s\n# TYPE tocsin_%s counter\n", name, help, name);
    for (size_t i = 0; i < count; i++)
        buffer_printf(out, "tocsin_%s{outcome=\"%s\"} %llu\n", name, outcomes[i].name,
                      (unsigned long long)outcomes[i].count);
}

/* Seconds; 0 when nothing has waited since then. */
static double
waited_since(const struct call *call, int64_t at)
{
    return at != 0 && call->taken_at_us > at ? (double)(call->taken_at_us - at) / 1e6 : 0;
}

static void
write_notify(struct call *call, struct buffer *out)
{
    struct notify_stats s;
    notify_stats(call->api->options.notify, &s);
    double waited = waited_since(call, s.oldest_waiting_at);
    const struct outcome attempts[] = {
        {"delivered", s.attempts_delivered},
        {"failed", s.attempts_failed},
        {"unanswered", s.attempts_unanswered},
    };
    write_outcomes(out, "webhook_attempts_total", "Attempts by what they came to.", attempts,
                   COUNT_OF(attempts));
    const struct outcome transactions[] = {
        {"passed", s.transactions_passed},
        {"failed", s.transactions_failed},
    };
    write_outcomes(out, "transactions_total", "Transactions by what they came to.", transactions,
                   COUNT_OF(transactions));
    const struct number numbers[] = {
        {"webhook_deliveries_dead_total", "counter", "Deliveries that were given up.",
         (double)s.deliveries_dead},
        {"webhook_in_flight", "gauge", "Requests to receivers under way.", (double)s.in_flight},
        {"webhook_deliveries_waiting", "gauge", "Deliveries that wait.", (double)s.waiting},
        {"webhook_oldest_waiting_seconds", "gauge", "Age of the oldest of them.", waited},
        {"webhooks_failing", "gauge", "Webhooks whose newest attempts all failed.",
         (double)s.webhooks_failing},
        {"webhooks_disabled_total", "counter",
         "Webhooks switched off because their receivers were gone or failed for days.",
         (double)s.webhooks_disabled},
    };
    write_numbers(out, numbers, COUNT_OF(numbers));
    write_histogram(out, "webhook_latency_seconds",
                    "From an alert to its delivery at the first attempt.", &s.latency);
    write_histogram(out, "webhook_request_duration_seconds", "How long requests to receivers took.",
                    &s.duration);
}

static void
write_mail(struct call *call, struct buffer *out)
{
    struct notify_stats s;
    notify_stats(call->api->options.notify, &s);
    double waited = waited_since(call, s.mail_oldest_waiting_at);
    const struct outcome attempts[] = {
        {"accepted", s.mail_accepted},
        {"failed", s.mail_failed},
        {"refused", s.mail_refused},
    };
    write_outcomes(out, "mail_attempts_total", "Mails by what the server made of them.", attempts,
                   COUNT_OF(attempts));
    const struct number numbers[] = {
        {"mail_digests_total", "counter", "Mails accepted that told of several alerts.",
         (double)s.mail_digests},
        {"mail_deliveries_dead_total", "counter", "Deliveries by mail that were given up.",
         (double)s.mail_dead},
        {"mail_in_flight", "gauge", "Mails under way.", (double)s.mail_in_flight},
        {"mail_deliveries_waiting", "gauge", "Deliveries by mail that wait.",
         (double)s.mail_waiting},
        {"mail_oldest_waiting_seconds", "gauge", "Age of the oldest of them.", waited},
    };
    write_numbers(out, numbers, COUNT_OF(numbers));
}

static void
write_http(struct call *call, struct buffer *out)
{
    struct api *api = call->api;
    uint64_t connections = 0, refused = 0;
    buffer_add(out, STR("# HELP tocsin_http_answers_total Answers by class of status.\n"
                        "# TYPE tocsin_http_answers_total counter\n"));
    for (int class = 1; class < 6; class ++) {
        uint64_t total = 0;
        for (size_t i = 0; i < api->worker_count; i++)
            total += atomic_load_explicit(&api->workers[i].answers[class], memory_order_relaxed);
        buffer_printf(out, "tocsin_http_answers_total{class=\"%dxx\"} %llu\n", class,
                      (unsigned long long)total);
    }
    for (size_t i = 0; i < api->worker_count; i++) {
        connections +=
            atomic_load_explicit(&api->workers[i].open_connections, memory_order_relaxed);
        refused += atomic_load_explicit(&api->workers[i].refused, memory_order_relaxed);
    }
    const struct number numbers[] = {
        {"http_connections", "gauge", "Open connections.", (double)connections},
        {"http_overloaded_total", "counter", "Requests refused because too many waited.",
         (double)refused},
        {"start_time_seconds", "gauge", "When the server started, since the Unix epoch.",
         (double)api->started_at_us / 1e6},
    };
    write_numbers(out, numbers, COUNT_OF(numbers));
}

static void
write_geo(struct call *call, struct buffer *out)
{
    struct enrich_file files[FILES_MAX];
    size_t count = enrich_files(call->api->options.enrich, files, FILES_MAX);
    buffer_add(out, STR("# HELP tocsin_geo_file_age_seconds Age of a file of places or networks.\n"
                        "# TYPE tocsin_geo_file_age_seconds gauge\n"));
    for (size_t i = 0; i < count; i++) {
        if (files[i].built_at_us == 0)
            continue;
        struct buffer name;
        buffer_init(&name, 1024);
        json_write_string(&name, str_from(files[i].name)); /* the same escapes do */
        buffer_printf(out, "tocsin_geo_file_age_seconds{file=%.*s} %lld\n", (int)name.len, name.ptr,
                      (long long)((call->taken_at_us - files[i].built_at_us) / 1000000));
        buffer_fini(&name);
    }
}

void
ops_metrics(struct call *call)
{
    struct buffer *out = call_answer(call, 200);
    call->content_type = "text/plain; version=0.0.4; charset=utf-8";
    write_engine(call, out);
    write_log(call, out);
    write_notify(call, out);
    write_mail(call, out);
    write_http(call, out);
    write_geo(call, out);
}

void
ops_openapi(struct call *call)
{
    api_write_openapi(call_answer(call, 200), call->api->options.version);
}
