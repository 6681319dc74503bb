/* tocsin replay: folds rules over events from a file, without a server. One alert a line on
 * standard output, a summary on standard error. */
#include "main/main_priv.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define ARENA_MAX      (64u * 1024u * 1024u)
#define OUT_BYTES      (1u << 16)
#define COMPLAINTS_MAX 20 /* more refused lines are only counted */

/* Keys seen, as 64-bit hashes in open addressing: a collision in 2^64 may drop one event of a
 * file. */
struct seen {
    uint64_t *slots;
    size_t slot_count, count;
};

struct replay {
    const struct options *options;
    struct running_rules rules;
    struct enrich *enrich;
    struct clock clock;
    struct random random;
    struct seen seen;
    struct arena arena; /* of the alerts of one event */
    struct buffer out;
    int64_t last_stamp;
    uint64_t events, refused, duplicates, alerts;
};

/* -- events --------------------------------------------------------------------------- */

static bool
seen_before(struct seen *seen, struct str tenant, struct str key)
{
    uint64_t hash = hash64(hash64(1, tenant.ptr, tenant.len), key.ptr, key.len);
    hash += hash == 0;
    if (seen->count * 2 >= seen->slot_count) {
        struct seen larger = {.slot_count = seen->slot_count > 0 ? seen->slot_count * 2 : 1024};
        larger.slots = base_alloc(larger.slot_count, sizeof *larger.slots);
        larger.count = seen->count;
        for (size_t i = 0; i < seen->slot_count; i++) {
            if (seen->slots[i] == 0)
                continue;
            size_t at = (size_t)seen->slots[i] & (larger.slot_count - 1);
            while (larger.slots[at] != 0)
                at = (at + 1) & (larger.slot_count - 1);
            larger.slots[at] = seen->slots[i];
        }
        base_free(seen->slots);
        *seen = larger;
    }
    size_t at = (size_t)hash & (seen->slot_count - 1);
    for (; seen->slots[at] != 0; at = (at + 1) & (seen->slot_count - 1))
        if (seen->slots[at] == hash)
            return true;
    seen->slots[at] = hash;
    seen->count++;
    return false;
}

static void
complain(struct replay *replay, const struct line *line)
{
    replay->refused++;
    if (replay->refused <= COMPLAINTS_MAX)
        diag_warn("line %llu: %.*s", (unsigned long long)line->number, STR_ARG(line->complaint));
}

/* A posted event comes behind the one before it. False: its key was seen. */
static bool
stamp(struct replay *replay, struct event *event)
{
    if (event->idempotency_key.len > 0 &&
        seen_before(&replay->seen, event->tenant_id, event->idempotency_key)) {
        replay->duplicates++;
        return false;
    }
    event->created_at = replay->last_stamp + 1;
    return true;
}

/* -- the fold ---------------------------------------------------------------------------- */

static void
flush(struct replay *replay)
{
    if (replay->out.len > 0)
        fwrite(replay->out.ptr, 1, replay->out.len, stdout);
    buffer_clear(&replay->out);
}

static void
fold(struct replay *replay, const struct event *event)
{
    replay->events++;
    replay->last_stamp = event->created_at;
    for (size_t i = 0; i < replay->rules.count; i++) {
        const struct running *running = &replay->rules.items[i];
        struct alert alert;
        if (!detect_step(running->rule, running->table, event, false, &replay->arena, &alert))
            continue;
        replay->alerts++;
        alert.triggered_at = event->occurred_at;
        json_open(&replay->out, '{');
        alert_write_members(&replay->out, &alert, NULL);
        json_close(&replay->out, '}');
        buffer_add_char(&replay->out, '\n');
        arena_reset(&replay->arena);
    }
    if (replay->out.len > OUT_BYTES)
        flush(replay);
}

/* Has the states of some lines fetched, those from `first` on. */
static void
warm(const struct replay *replay, const struct line *lines, size_t first, size_t count)
{
    const struct event *events[DETECT_WARM];
    size_t event_count = 0;
    for (size_t i = first; i < count && event_count < DETECT_WARM; i++)
        if (lines[i].kind != LINE_REFUSED)
            events[event_count++] = &lines[i].event;
    detect_warm(replay->rules.pairs, replay->rules.count, events, event_count);
}

/* While some are folded, the states of the next are on their way. */
static void
fold_lines(void *self, struct line *lines, size_t count)
{
    struct replay *replay = self;
    warm(replay, lines, 0, count);
    for (size_t i = 0; i < count; i++) {
        if (i % DETECT_WARM == 0)
            warm(replay, lines, i + DETECT_WARM, count);
        if (lines[i].kind == LINE_REFUSED)
            complain(replay, &lines[i]);
        else if (lines[i].kind == LINE_STORED || stamp(replay, &lines[i].event))
            fold(replay, &lines[i].event);
    }
}

/* -- the command ------------------------------------------------------------------------- */

static bool
open_enrich(struct replay *replay, struct err *err)
{
    const struct options *options = replay->options;
    struct enrich_options enrich = {
        .geo = options->geo.items,
        .geo_count = options->geo.count,
        .asn = options->asn,
        .places = options->places,
        .devices = options->devices,
        .ip_lists = options->ip_list.items,
        .ip_list_count = options->ip_list.count,
        .now_us = replay->clock.wall_us(replay->clock.self),
    };
    return enrich_open(&enrich, &replay->enrich, err);
}

static bool
run(struct replay *replay, struct err *err)
{
    const char *input = replay->options->input;
    bool from_file = input != NULL && strcmp(input, "-") != 0;
    if (!running_read(&replay->rules, replay->options->rules, replay->random, err) ||
        !open_enrich(replay, err))
        return false;
    int fd = from_file ? open(input, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
    if (fd < 0)
        return err_set(err, ERR_INPUT, "%s: %m", input);
    int64_t began = replay->clock.monotonic_us(replay->clock.self);
    struct lines_options lines = {.fd = fd,
                                  .enrich = replay->enrich,
                                  .clock = replay->clock,
                                  .random = replay->random,
                                  .fold = fold_lines,
                                  .self = replay};
    bool ok = lines_fold(&lines, err);
    flush(replay);
    fflush(stdout);
    double seconds = (double)(replay->clock.monotonic_us(replay->clock.self) - began) / 1e6;
    if (from_file)
        close(fd);
    fprintf(stderr, "%llu events, %llu refused, %llu duplicates, %llu alerts in %.2f s\n",
            (unsigned long long)replay->events, (unsigned long long)replay->refused,
            (unsigned long long)replay->duplicates, (unsigned long long)replay->alerts, seconds);
    return ok;
}

int
command_replay(const struct options *options)
{
    struct err err = {0};
    struct replay *replay = base_alloc(1, sizeof *replay);
    *replay =
        (struct replay){.options = options, .clock = clock_system(), .random = random_system()};
    arena_init(&replay->arena, 64 * 1024, ARENA_MAX);
    buffer_init(&replay->out, ARENA_MAX);
    bool ok = run(replay, &err);
    running_free(&replay->rules);
    enrich_close(replay->enrich);
    buffer_fini(&replay->out);
    base_free(replay->seen.slots);
    arena_fini(&replay->arena);
    base_free(replay);
    return ok ? EXIT_STOPPED : fail(&err);
}
