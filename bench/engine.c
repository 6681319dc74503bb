/* bench/engine - what the engine does a second, without HTTP: submissions in, answers out.
 *
 *     build/release/bench/engine [--events N] [--batch N] [--flying N] [--rules N] [--actors N]
 *                                [--keys] [--delay MICROSECONDS] [--folder DIR]
 *
 * Logins of 100,000 actors with five rules in force, in batches of 500 of which eight are out at a
 * time; `--batch 1 --flying 64` plays single requests. Says how the processor's time falls on the
 * threads. It ends as a crash would: `--folder DIR --events 0` then shows what recovery takes. */
#include "codec/time.h"
#include "engine/engine.h"

#include <dirent.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { POOL_EVENTS = 100000, STORED_MOST = 4096 };

struct slot {
    struct submission submission;
    struct slot *next;
};

struct bench {
    size_t events, batch, flying, rules, actors;
    bool keys;
    int64_t delay_us;
    char folder[128];
    struct log_disk disk;
    struct journal *journal;
    struct store *store;
    struct store_states *states;
    struct engine *engine;
    struct arena arena; /* of the pool of events */
    struct engine_item *pool;
    struct slot *slots, *free;
    struct engine_sink sink;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t out, refused, alerts;
    uint64_t number;
};

static double
seconds(void)
{
    struct clock clock = clock_system();
    return (double)clock.monotonic_us(clock.self) / 1e6;
}

/* -- events ------------------------------------------------------------------------ */

__attribute__((format(printf, 2, 3))) static struct str
text(struct bench *bench, const char *format, ...)
{
    char room[128];
    struct str copy;
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(room, sizeof room, format, arguments);
    va_end(arguments);
    must(len > 0 && arena_copy(&bench->arena, (struct str){room, (size_t)len}, &copy));
    return copy;
}

static struct event
make_event(struct bench *bench, size_t number)
{
    static const struct str actions[] = {STR_INIT("auth.login"), STR_INIT("auth.login"),
                                         STR_INIT("auth.login_failed"), STR_INIT("doc.read"),
                                         STR_INIT("doc.deleted")};
    static const struct str countries[] = {STR_INIT("US"), STR_INIT("DE"), STR_INIT("RO")};
    size_t actor = (number * 2654435761u >> 7) % bench->actors;
    struct event event = {0};
    event.id = text(bench, "evt_00000000-0000-7000-8000-%012zx", number);
    event.actor_id = text(bench, "user_%zu", actor);
    event.actor_name = text(bench, "Jordan Mitchell %zu", actor);
    event.actor_type = STR("user");
    event.action = actions[number % COUNT_OF(actions)];
    event.session_id = text(bench, "session_%zu", actor);
    event.user_agent = STR("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36");
    event.ip_address = text(bench, "198.51.100.%zu", actor % 250);
    event.has_address = address_parse(event.ip_address, &event.address);
    event.location = (struct event_location){.known = true,
                                             .country = countries[actor % COUNT_OF(countries)],
                                             .city = STR("Ashburn"),
                                             .has_point = true,
                                             .latitude = 39.04,
                                             .longitude = -77.48};
    event.device = (struct event_device){
        .known = true, .browser = STR("Chrome"), .os = STR("Windows"), .type = STR("desktop")};
    event.occurred_at = TIME_US_PER_DAY * 20000;
    if (bench->keys)
        event.idempotency_key = text(bench, "key_%020zu", number);
    return event;
}

static void
make_pool(struct bench *bench)
{
    struct buffer stored;
    buffer_init(&stored, STORED_MOST);
    arena_init(&bench->arena, 1 << 20, SIZE_MAX);
    bench->pool = arena_array(&bench->arena, POOL_EVENTS, struct engine_item);
    must(bench->pool != NULL);
    for (size_t i = 0; i < POOL_EVENTS; i++) {
        struct engine_item *item = &bench->pool[i];
        struct str copy;
        item->event = make_event(bench, i);
        buffer_clear(&stored);
        event_write_stored(&stored, &item->event, &bench->arena, &item->created_at_offset);
        must(!stored.ran_out && arena_copy(&bench->arena, buffer_str(&stored), &copy));
        item->stored = (char *)(uintptr_t)copy.ptr;
        item->stored_len = copy.len;
    }
    printf("an event is %zu bytes as stored\n", bench->pool[0].stored_len);
    buffer_fini(&stored);
}

/* The same event once more, at another time, with another key and another id. */
static void
renew(struct bench *bench, struct engine_item *item, int64_t now)
{
    static const char name[] = "\"occurred_at\":\"";
    char *at = memmem(item->stored, item->stored_len, name, sizeof name - 1);
    must(at != NULL);
    item->event.occurred_at = now;
    time_format(now, at + sizeof name - 1);
    item->status = ENGINE_WAITING;
    item->alert_count = 0;
    uint64_t number = bench->number++;
    char digits[17];
    snprintf(digits, sizeof digits, "%016llx", (unsigned long long)number);
    char *id = memmem(item->stored, item->stored_len, item->event.id.ptr, item->event.id.len);
    must(id != NULL);
    memcpy(id + item->event.id.len - 12, digits + 4, 12);
    memcpy((char *)(uintptr_t)item->event.id.ptr + item->event.id.len - 12, digits + 4, 12);
    struct str key = item->event.idempotency_key;
    if (key.len > 0) {
        char *in_stored = memmem(item->stored, item->stored_len, key.ptr, key.len);
        must(in_stored != NULL);
        memcpy(in_stored + 4, digits, 16);
        memcpy((char *)(uintptr_t)key.ptr + 4, digits, 16);
    }
}

/* -- sending ----------------------------------------------------------------------- */

static void
on_done(void *self, struct submission *finished)
{
    struct bench *bench = self;
    must(pthread_mutex_lock(&bench->lock) == 0);
    for (struct submission *next; finished != NULL; finished = next) {
        struct slot *slot = finished->sender;
        next = finished->next;
        for (size_t i = 0; i < finished->count; i++) {
            bench->refused += finished->items[i].status != ENGINE_STORED;
            bench->alerts += finished->items[i].alert_count;
        }
        slot->next = bench->free;
        bench->free = slot;
        bench->out--;
    }
    pthread_cond_signal(&bench->changed);
    must(pthread_mutex_unlock(&bench->lock) == 0);
}

static struct slot *
take_slot(struct bench *bench)
{
    must(pthread_mutex_lock(&bench->lock) == 0);
    while (bench->free == NULL)
        must(pthread_cond_wait(&bench->changed, &bench->lock) == 0);
    struct slot *slot = bench->free;
    bench->free = slot->next;
    bench->out++;
    must(pthread_mutex_unlock(&bench->lock) == 0);
    return slot;
}

static void
send_all(struct bench *bench, size_t events)
{
    struct clock clock = clock_system();
    size_t batch = bench->batch, at = 0;
    for (size_t sent = 0; sent < events; sent += batch) {
        struct slot *slot = take_slot(bench);
        if (at + batch > POOL_EVENTS)
            at = 0;
        int64_t now = clock.wall_us(clock.self);
        struct submission *submission = &slot->submission;
        submission->items = &bench->pool[at];
        submission->count = batch;
        submission->weight = 0;
        for (size_t i = 0; i < batch; i++) {
            renew(bench, &submission->items[i], now);
            submission->weight += submission->items[i].stored_len;
        }
        arena_reset(&submission->arena);
        at += batch;
        must(engine_submit(bench->engine, submission));
    }
    must(pthread_mutex_lock(&bench->lock) == 0);
    while (bench->out > 0)
        must(pthread_cond_wait(&bench->changed, &bench->lock) == 0);
    must(pthread_mutex_unlock(&bench->lock) == 0);
}

/* -- the engine and what it stands on ---------------------------------------------- */

static void
check(bool ok, const struct err *err)
{
    if (!ok)
        fprintf(stderr, "bench/engine: %s\n", err->text);
    must(ok);
}

static void
start(struct bench *bench)
{
    struct err err = {0};
    char folder[160];
    struct log_recovery recovery;
    snprintf(folder, sizeof folder, "%s/log", bench->folder);
    check(log_disk_open(folder, bench->delay_us, &bench->disk, &err), &err);
    check(store_open(bench->folder, &bench->store, &err), &err);
    check(store_states_open(bench->folder, &bench->states, &err), &err);
    double began = seconds();
    struct journal_options journal = {.log = {.disk = bench->disk}};
    check(journal_open(&journal, &bench->journal, &recovery, &err), &err);
    double opened = seconds();
    struct engine_options options = {.journal = bench->journal,
                                     .store = bench->store,
                                     .states = bench->states,
                                     .clock = clock_system()};
    check(engine_start(&options, &bench->engine, &err), &err);
    printf("start: log %.2f s, engine %.2f s\n", opened - began, seconds() - opened);
}

static void
put_rules(struct bench *bench)
{
    static const char *const rules[][2] = {
        {"new_country", "{\"action_pattern\":\"auth.login\"}"},
        {"new_device", "{\"action_pattern\":\"auth.login\"}"},
        {"repeated_action",
         "{\"action_pattern\":\"auth.login_failed\",\"threshold\":5,\"window_minutes\":10}"},
        {"impossible_travel", "{\"action_pattern\":\"auth.login\"}"},
        {"off_hours", "{\"action_pattern\":\"auth.login\",\"timezone\":\"America/New_York\","
                      "\"start_hour\":2,\"end_hour\":3}"},
    };
    struct json_parser *parser = json_parser_new();
    struct err err = {0};
    for (size_t i = 0; i < bench->rules && i < COUNT_OF(rules); i++) {
        char json[512], id[64];
        struct arena arena;
        struct json sent;
        struct rule rule = {0};
        arena_init(&arena, 4096, 1 << 20);
        snprintf(json, sizeof json,
                 "{\"name\":\"%s\",\"rule_type\":\"%s\",\"channels\":[],\"conditions\":%s}",
                 rules[i][0], rules[i][0], rules[i][1]);
        struct violations violations = {.arena = &arena};
        check(json_parse(parser, str_from(json), &arena, &sent, &err), &err);
        must(detect_read_rule(&sent, false, &arena, &rule, &violations));
        snprintf(id, sizeof id, "rul_00000000-0000-4000-8000-%012zx", i);
        rule.id = str_from(id);
        rule.workspace_id = STR("ws_00000001");
        rule.created_at = rule.updated_at = 1;
        check(store_rule_put(bench->store, &rule, &err), &err);
        engine_rules_changed(bench->engine);
        must(engine_wait_rule(bench->engine, rule.id, rule.version, 60000000));
        arena_fini(&arena);
    }
    json_parser_free(parser);
}

/* -- where the time goes ----------------------------------------------------------- */

/* By thread, in the order they were made: the sender, the log's writer and sealer, the engine, the
 * learner, the keeper. */
static void
print_threads(size_t events)
{
    DIR *tasks = opendir("/proc/self/task");
    must(tasks != NULL);
    printf("us of processor an event, by thread:");
    for (struct dirent *entry; (entry = readdir(tasks)) != NULL;) {
        char path[300], line[512];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "/proc/self/task/%s/schedstat", entry->d_name);
        FILE *file = fopen(path, "r");
        if (file == NULL)
            continue;
        if (fgets(line, sizeof line, file) != NULL)
            printf(" %.2f", (double)strtoull(line, NULL, 10) / 1000 / (double)events);
        fclose(file);
    }
    printf("\n");
    closedir(tasks);
}

static void
print_stats(struct bench *bench)
{
    struct engine_stats stats;
    struct log_stats log;
    engine_stats(bench->engine, &stats);
    log_stats(journal_log(bench->journal), &log);
    printf("%llu commits, %.0f events each; sync %.0f us; %llu states, %.1f MB; %llu checkpoints;"
           " %llu differences\n",
           (unsigned long long)log.commits,
           (double)stats.events / (double)(log.commits == 0 ? 1 : log.commits),
           (double)log.syncs.sum_us / (double)(log.syncs.count == 0 ? 1 : log.syncs.count),
           (unsigned long long)stats.subjects, (double)stats.state_bytes / 1e6,
           (unsigned long long)stats.checkpoints, (unsigned long long)stats.recovery_differences);
}

/* -- main -------------------------------------------------------------------------- */

static void
read_arguments(struct bench *bench, int argc, char **argv)
{
    struct {
        const char *name;
        size_t *number;
    } options[] = {{"--events", &bench->events},
                   {"--batch", &bench->batch},
                   {"--flying", &bench->flying},
                   {"--rules", &bench->rules},
                   {"--actors", &bench->actors}};
    for (int i = 1; i < argc; i++) {
        bool known = strcmp(argv[i], "--keys") == 0;
        bench->keys |= known;
        if (i + 1 < argc && strcmp(argv[i], "--delay") == 0)
            bench->delay_us = (int64_t)strtoull(argv[++i], NULL, 10), known = true;
        else if (i + 1 < argc && strcmp(argv[i], "--folder") == 0)
            snprintf(bench->folder, sizeof bench->folder, "%s", argv[++i]), known = true;
        for (size_t j = 0; !known && i + 1 < argc && j < COUNT_OF(options); j++) {
            if (strcmp(argv[i], options[j].name) == 0) {
                *options[j].number = strtoull(argv[++i], NULL, 10);
                known = true;
            }
        }
        must(known);
    }
    must(bench->batch > 0 && bench->batch * bench->flying <= POOL_EVENTS / 2 && bench->actors > 0);
}

int
main(int argc, char **argv)
{
    static struct bench bench = {
        .events = 2000000, .batch = 500, .flying = 8, .rules = 5, .actors = 100000};
    snprintf(bench.folder, sizeof bench.folder, "/tmp/tocsin-bench-XXXXXX");
    read_arguments(&bench, argc, argv);
    if (strstr(bench.folder, "XXXXXX") != NULL)
        must(mkdtemp(bench.folder) != NULL);
    must(pthread_mutex_init(&bench.lock, NULL) == 0 &&
         pthread_cond_init(&bench.changed, NULL) == 0);
    bench.sink = (struct engine_sink){&bench, on_done};
    bench.slots = base_alloc(bench.flying, sizeof *bench.slots);
    for (size_t i = 0; i < bench.flying; i++) {
        struct slot *slot = &bench.slots[i];
        arena_init(&slot->submission.arena, 4096, 64 << 20);
        slot->submission.workspace_id = STR("ws_00000001");
        slot->submission.sink = &bench.sink;
        slot->submission.sender = slot;
        slot->next = bench.free;
        bench.free = slot;
    }
    make_pool(&bench);
    start(&bench);
    if (bench.events == 0) {
        print_stats(&bench);
        return 0;
    }
    put_rules(&bench);
    send_all(&bench, POOL_EVENTS); /* every actor is known */
    double began = seconds();
    send_all(&bench, bench.events);
    double took = seconds() - began;
    printf("%zu events in %.2f s: %.0f events/s; %zu alerts, %zu refused\n", bench.events, took,
           (double)bench.events / took, bench.alerts, bench.refused);
    print_threads(bench.events + POOL_EVENTS);
    print_stats(&bench);
    fflush(stdout);
    printf("folder: %s\n", bench.folder);
    return 0;
}
