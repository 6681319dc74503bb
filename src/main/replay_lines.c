/* replay_lines - the lines of a file become events, and are folded, on all processors.
 *
 * Each thread reads a chunk of whole lines, takes it in, waits until those before it are folded,
 * and folds it: the events are still in its cache then. One thread more than there are processors,
 * so that none of these is idle while a thread waits for its turn. A chunk is small; a line that is
 * longer has one to itself. */
#include "intake/intake.h"
#include "main/main_priv.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#define LINE_BYTES_MAX (4u * 1024u * 1024u) /* no event may be so long */
#define ARENA_MAX      (64u * 1024u * 1024u)

#define TEXT_MAX (LINE_BYTES_MAX + 4u * CHUNK_BYTES)

enum { CHUNK_BYTES = 1 << 16, CHUNK_LINES = 256, ARENA_FIRST = 1 << 19, PROCESSORS_MAX = 16 };

struct chunk {
    uint64_t number; /* from 0 */
    struct buffer text;
    uint64_t first_line;
    size_t line_count;
    struct arena arena;
    struct line lines[CHUNK_LINES];
    size_t count; /* without the blank ones */
    bool failed;  /* it cannot be read */
};

struct run {
    const struct lines_options *options;

    pthread_mutex_t reading; /* over what follows */
    struct buffer rest;      /* read, and behind the last line of the last chunk */
    uint64_t line_count, chunk_count;
    bool ended, failed, over; /* of the file; of all lines */
    struct err err;

    pthread_mutex_t lock;
    pthread_cond_t moved;
    uint64_t turn; /* number of the chunk to be folded next; under `lock` */
};

static void
lock(pthread_mutex_t *mutex)
{
    must(pthread_mutex_lock(mutex) == 0);
}

static void
unlock(pthread_mutex_t *mutex)
{
    must(pthread_mutex_unlock(mutex) == 0);
}

/* -- reading ------------------------------------------------------------------------- */

/* Until there are `len` bytes, or no more. */
static void
read_to(struct run *run, struct buffer *text, size_t len)
{
    while (text->len < len && !run->ended) {
        char *room = buffer_reserve(text, len - text->len);
        must(room != NULL);
        ssize_t got = read(run->options->fd, room, len - text->len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            run->failed = !err_set(&run->err, ERR_IO, "events: %m");
        if (got <= 0)
            run->ended = true;
        else
            text->len += (size_t)got;
    }
}

/* How long the first `most` lines are, or as many as there are. */
static size_t
count_lines(struct chunk *chunk, size_t most)
{
    size_t end = 0;
    for (chunk->line_count = 0; chunk->line_count < most; chunk->line_count++) {
        const char *newline = memchr(chunk->text.ptr + end, '\n', chunk->text.len - end);
        if (newline == NULL)
            break;
        end = (size_t)(newline - chunk->text.ptr) + 1;
    }
    return end;
}

/* Nobody has closed the last line of the file, perhaps. */
static size_t
count_last_line(const struct run *run, struct chunk *chunk, size_t end)
{
    size_t len = chunk->text.len;
    if (!run->ended || run->failed || end == len || chunk->line_count == CHUNK_LINES ||
        memchr(chunk->text.ptr + end, '\n', len - end) != NULL)
        return end;
    chunk->line_count++;
    return len;
}

static void
read_chunk(struct run *run, struct chunk *chunk)
{
    struct buffer *text = &chunk->text;
    buffer_clear(text);
    buffer_add(text, buffer_str(&run->rest));
    buffer_clear(&run->rest);
    read_to(run, text, CHUNK_BYTES);
    must(text->ptr != NULL);
    size_t end = count_lines(chunk, CHUNK_LINES);
    while (end == 0 && !run->ended && text->len <= LINE_BYTES_MAX) {
        read_to(run, text, text->len + CHUNK_BYTES);
        end = count_lines(chunk, 1);
    }
    end = count_last_line(run, chunk, end);
    if (chunk->line_count <= 1 && (end > 0 ? end - 1 : text->len) > LINE_BYTES_MAX) {
        run->failed = !err_set(&run->err, ERR_INPUT, "line %llu: longer than %u bytes",
                               (unsigned long long)run->line_count + 1, LINE_BYTES_MAX);
        end = chunk->line_count = 0;
    }
    chunk->failed = run->failed && end == 0;
    if (!chunk->failed)
        buffer_add_bytes(&run->rest, text->ptr + end, text->len - end);
    run->over = chunk->failed || (run->ended && !run->failed && run->rest.len == 0);
    text->len = end;
    chunk->number = run->chunk_count++;
    chunk->first_line = run->line_count + 1;
    run->line_count += chunk->line_count;
}

/* False: there is no more. */
static bool
take_chunk(struct run *run, struct chunk *chunk)
{
    lock(&run->reading);
    bool taken = !run->over;
    if (taken)
        read_chunk(run, chunk);
    unlock(&run->reading);
    return taken;
}

/* -- taking in ----------------------------------------------------------------------- */

/* One thread's tools. */
struct taker {
    struct run *run;
    struct json_parser *parser;
    struct enrich_reader *reader;
    int64_t now_us;
};

static void
refuse(struct line *line, struct arena *arena, struct str complaint)
{
    line->kind = LINE_REFUSED;
    must(arena_copy(arena, complaint, &line->complaint));
}

static void
take_line(struct taker *taker, struct str text, struct arena *arena, struct line *line)
{
    struct json sent;
    struct err err = {0};
    struct violations violations = {.arena = arena};
    struct intake_context context = {.arena = arena,
                                     .random = taker->run->options->random,
                                     .now_us = taker->now_us,
                                     .replay = true};
    line->kind = LINE_STORED;
    if (!json_parse(taker->parser, text, arena, &sent, &err)) {
        refuse(line, arena, str_from(err.text));
    } else if (json_get(&sent, STR("created_at"))->type != JSON_STRING) {
        line->kind = LINE_POSTED;
        if (!intake_read_event(&context, &sent, "", &line->event, &violations))
            refuse(line, arena, violations.items[0].message);
    } else if (!event_read_stored(&sent, arena, &line->event, &err)) {
        refuse(line, arena, str_from(err.text));
    }
}

static void
enrich_lines(struct taker *taker, struct chunk *chunk)
{
    const struct event *posted[CHUNK_LINES];
    size_t posted_count = 0;
    for (size_t i = 0; i < chunk->count; i++)
        if (chunk->lines[i].kind == LINE_POSTED)
            posted[posted_count++] = &chunk->lines[i].event;
    enrich_warm(taker->reader, posted, posted_count);
    for (size_t i = 0; i < chunk->count; i++) {
        struct line *line = &chunk->lines[i];
        struct err err = {0};
        if (line->kind == LINE_POSTED &&
            !enrich_event(taker->reader, &chunk->arena, &line->event, &err))
            refuse(line, &chunk->arena, str_from(err.text));
    }
}

static void
take_in(struct taker *taker, struct chunk *chunk)
{
    struct str rest = buffer_str(&chunk->text);
    struct clock clock = taker->run->options->clock;
    taker->now_us = clock.wall_us(clock.self);
    arena_reset(&chunk->arena);
    chunk->count = 0;
    for (size_t i = 0; i < chunk->line_count; i++) {
        struct str text = str_split(&rest, '\n');
        if (text.len > 0 && text.ptr[text.len - 1] == '\r')
            text.len--;
        if (text.len == 0)
            continue;
        struct line *line = &chunk->lines[chunk->count++];
        line->number = chunk->first_line + i;
        take_line(taker, text, &chunk->arena, line);
    }
    enrich_lines(taker, chunk);
}

/* -- folding --------------------------------------------------------------------------- */

static void
fold(struct run *run, struct chunk *chunk)
{
    lock(&run->lock);
    while (run->turn != chunk->number)
        must(pthread_cond_wait(&run->moved, &run->lock) == 0);
    unlock(&run->lock);
    if (chunk->count > 0)
        run->options->fold(run->options->self, chunk->lines, chunk->count);
    lock(&run->lock);
    run->turn++;
    unlock(&run->lock);
    must(pthread_cond_broadcast(&run->moved) == 0);
}

static void *
taker_main(void *self)
{
    struct run *run = self;
    struct chunk *chunk = base_alloc(1, sizeof *chunk);
    struct taker taker = {
        .run = run, .parser = json_parser_new(), .reader = enrich_reader_new(run->options->enrich)};
    buffer_init(&chunk->text, TEXT_MAX);
    arena_init(&chunk->arena, ARENA_FIRST, ARENA_MAX);
    while (take_chunk(run, chunk)) {
        take_in(&taker, chunk);
        fold(run, chunk);
    }
    enrich_reader_free(taker.reader);
    json_parser_free(taker.parser);
    buffer_fini(&chunk->text);
    arena_fini(&chunk->arena);
    base_free(chunk);
    return NULL;
}

bool
lines_fold(const struct lines_options *options, struct err *err)
{
    struct run run = {.options = options};
    pthread_t threads[PROCESSORS_MAX + 1];
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    size_t count = processors < 1                ? 1
                   : processors > PROCESSORS_MAX ? PROCESSORS_MAX
                                                 : (size_t)processors;
    must(pthread_mutex_init(&run.reading, NULL) == 0);
    must(pthread_mutex_init(&run.lock, NULL) == 0);
    must(pthread_cond_init(&run.moved, NULL) == 0);
    buffer_init(&run.rest, TEXT_MAX);
    for (size_t i = 0; i <= count; i++)
        must(pthread_create(&threads[i], NULL, taker_main, &run) == 0);
    for (size_t i = 0; i <= count; i++)
        must(pthread_join(threads[i], NULL) == 0);
    buffer_fini(&run.rest);
    must(pthread_cond_destroy(&run.moved) == 0);
    must(pthread_mutex_destroy(&run.lock) == 0);
    must(pthread_mutex_destroy(&run.reading) == 0);
    if (run.failed)
        *err = run.err;
    return !run.failed;
}
