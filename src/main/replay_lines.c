/* replay_lines - the lines of a file become events, on as many threads as there are processors.
 *
 * Whoever is free reads the next chunk of whole lines and takes it in by itself; the chunks lie in
 * a ring, and the one who folds takes them out in the order of the file. A chunk is small, so that
 * its events are still in the cache when they are folded; a line that is longer has one to itself.
 * What lies in memory is bounded by the ring. */
#include "intake/intake.h"
#include "main/main_priv.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#define LINE_BYTES_MAX (4u * 1024u * 1024u) /* no event may be so long */
#define ARENA_MAX      (64u * 1024u * 1024u)

#define TEXT_MAX (LINE_BYTES_MAX + 4u * CHUNK_BYTES)

enum {
    CHUNK_BYTES = 1 << 16,
    CHUNK_LINES = 256,
    ARENA_FIRST = 1 << 19,
    THREADS_MAX = 16,
    CHUNKS_MAX = 2 * THREADS_MAX + 2,
};

enum chunk_state { CHUNK_EMPTY, CHUNK_TAKEN, CHUNK_READY };

struct chunk {
    enum chunk_state state; /* under lines->lock */
    struct buffer text;
    uint64_t first_line;
    size_t line_count;
    struct arena arena;
    struct line *lines;
    size_t count; /* without the blank ones */
    bool failed, last;
};

struct lines {
    int fd;
    struct enrich *enrich;
    struct clock clock;
    struct random random;
    pthread_t threads[THREADS_MAX];
    size_t thread_count;

    pthread_mutex_t reading; /* over what follows */
    struct buffer rest;      /* read, and behind the last line of the last chunk */
    uint64_t line_count;
    size_t next_read;
    bool ended, failed, over; /* of the file; of all lines */
    struct err err;

    pthread_mutex_t lock; /* over the states of chunks */
    pthread_cond_t emptied, readied;
    bool given_up;
    struct chunk chunks[CHUNKS_MAX];
    size_t chunk_count;

    struct chunk *out; /* what the one who folds is at, or NULL */
    size_t next_out;
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

static void
wait_for(pthread_cond_t *condition, pthread_mutex_t *mutex)
{
    must(pthread_cond_wait(condition, mutex) == 0);
}

/* -- reading ------------------------------------------------------------------------- */

/* Until there are `len` bytes, or no more. */
static void
read_to(struct lines *lines, struct buffer *text, size_t len)
{
    while (text->len < len && !lines->ended) {
        char *room = buffer_reserve(text, len - text->len);
        must(room != NULL);
        ssize_t got = read(lines->fd, room, len - text->len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            lines->failed = !err_set(&lines->err, ERR_IO, "events: %m");
        if (got <= 0)
            lines->ended = true;
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
count_last_line(const struct lines *lines, struct chunk *chunk, size_t end)
{
    size_t len = chunk->text.len;
    if (!lines->ended || lines->failed || end == len || chunk->line_count == CHUNK_LINES ||
        memchr(chunk->text.ptr + end, '\n', len - end) != NULL)
        return end;
    chunk->line_count++;
    return len;
}

static void
read_chunk(struct lines *lines, struct chunk *chunk)
{
    struct buffer *text = &chunk->text;
    buffer_clear(text);
    buffer_add(text, buffer_str(&lines->rest));
    buffer_clear(&lines->rest);
    read_to(lines, text, CHUNK_BYTES);
    must(text->ptr != NULL);
    size_t end = count_lines(chunk, CHUNK_LINES);
    while (end == 0 && !lines->ended && text->len <= LINE_BYTES_MAX) {
        read_to(lines, text, text->len + CHUNK_BYTES);
        end = count_lines(chunk, 1);
    }
    end = count_last_line(lines, chunk, end);
    if (chunk->line_count <= 1 && (end > 0 ? end - 1 : text->len) > LINE_BYTES_MAX) {
        lines->failed = !err_set(&lines->err, ERR_INPUT, "line %llu: longer than %u bytes",
                                 (unsigned long long)lines->line_count + 1, LINE_BYTES_MAX);
        end = chunk->line_count = 0;
    }
    chunk->failed = lines->failed && end == 0;
    if (!chunk->failed)
        buffer_add_bytes(&lines->rest, text->ptr + end, text->len - end);
    chunk->last = lines->over =
        chunk->failed || (lines->ended && !lines->failed && lines->rest.len == 0);
    text->len = end;
    chunk->first_line = lines->line_count + 1;
    lines->line_count += chunk->line_count;
}

/* The next chunk of the file, in the next place of the ring; NULL: there is none. */
static struct chunk *
take_chunk(struct lines *lines)
{
    struct chunk *chunk = &lines->chunks[lines->next_read];
    if (lines->over)
        return NULL;
    lock(&lines->lock);
    while (chunk->state != CHUNK_EMPTY && !lines->given_up)
        wait_for(&lines->emptied, &lines->lock);
    bool given_up = lines->given_up;
    chunk->state = given_up ? chunk->state : CHUNK_TAKEN;
    unlock(&lines->lock);
    if (given_up)
        return NULL;
    read_chunk(lines, chunk);
    lines->next_read = (lines->next_read + 1) % lines->chunk_count;
    return chunk;
}

/* -- taking in ----------------------------------------------------------------------- */

/* One thread's tools. */
struct taker {
    struct lines *lines;
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
take_posted(struct taker *taker, const struct json *sent, struct arena *arena, struct line *line)
{
    struct violations violations = {.arena = arena};
    struct err err = {0};
    struct intake_context context = {
        .arena = arena, .random = taker->lines->random, .now_us = taker->now_us, .replay = true};
    line->kind = LINE_POSTED;
    if (!intake_read_event(&context, sent, "", &line->event, &violations))
        refuse(line, arena, violations.items[0].message);
    else if (!enrich_event(taker->reader, arena, &line->event, &err))
        refuse(line, arena, str_from(err.text));
}

static void
take_line(struct taker *taker, struct str text, struct arena *arena, struct line *line)
{
    struct json sent;
    struct err err = {0};
    line->kind = LINE_STORED;
    if (!json_parse(taker->parser, text, arena, &sent, &err)) {
        refuse(line, arena, str_from(err.text));
    } else if (json_get(&sent, STR("created_at"))->type != JSON_STRING) {
        take_posted(taker, &sent, arena, line);
    } else if (!event_read_stored(&sent, arena, &line->event, &err)) {
        refuse(line, arena, str_from(err.text));
    }
}

static void
take_in(struct taker *taker, struct chunk *chunk)
{
    struct str rest = buffer_str(&chunk->text);
    taker->now_us = taker->lines->clock.wall_us(taker->lines->clock.self);
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
}

static void *
taker_main(void *self)
{
    struct lines *lines = self;
    struct taker taker = {
        .lines = lines, .parser = json_parser_new(), .reader = enrich_reader_new(lines->enrich)};
    for (;;) {
        lock(&lines->reading);
        struct chunk *chunk = take_chunk(lines);
        unlock(&lines->reading);
        if (chunk == NULL)
            break;
        take_in(&taker, chunk);
        lock(&lines->lock);
        chunk->state = CHUNK_READY;
        unlock(&lines->lock);
        must(pthread_cond_signal(&lines->readied) == 0);
    }
    enrich_reader_free(taker.reader);
    json_parser_free(taker.parser);
    return NULL;
}

/* -- the one who folds ----------------------------------------------------------------- */

struct lines *
lines_new(int fd, struct enrich *enrich, struct clock clock, struct random random)
{
    struct lines *lines = base_alloc(1, sizeof *lines);
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    *lines = (struct lines){.fd = fd, .enrich = enrich, .clock = clock, .random = random};
    lines->thread_count = processors < 1             ? 1
                          : processors > THREADS_MAX ? THREADS_MAX
                                                     : (size_t)processors;
    lines->chunk_count = 2 * lines->thread_count + 2;
    must(pthread_mutex_init(&lines->reading, NULL) == 0);
    must(pthread_mutex_init(&lines->lock, NULL) == 0);
    must(pthread_cond_init(&lines->emptied, NULL) == 0);
    must(pthread_cond_init(&lines->readied, NULL) == 0);
    buffer_init(&lines->rest, TEXT_MAX);
    for (size_t i = 0; i < lines->chunk_count; i++) {
        struct chunk *chunk = &lines->chunks[i];
        buffer_init(&chunk->text, TEXT_MAX);
        arena_init(&chunk->arena, ARENA_FIRST, ARENA_MAX);
        chunk->lines = base_alloc(CHUNK_LINES, sizeof *chunk->lines);
    }
    for (size_t i = 0; i < lines->thread_count; i++)
        must(pthread_create(&lines->threads[i], NULL, taker_main, lines) == 0);
    return lines;
}

void
lines_free(struct lines *lines)
{
    lock(&lines->lock);
    lines->given_up = true;
    unlock(&lines->lock);
    must(pthread_cond_broadcast(&lines->emptied) == 0);
    for (size_t i = 0; i < lines->thread_count; i++)
        must(pthread_join(lines->threads[i], NULL) == 0);
    for (size_t i = 0; i < lines->chunk_count; i++) {
        buffer_fini(&lines->chunks[i].text);
        arena_fini(&lines->chunks[i].arena);
        base_free(lines->chunks[i].lines);
    }
    buffer_fini(&lines->rest);
    must(pthread_cond_destroy(&lines->emptied) == 0);
    must(pthread_cond_destroy(&lines->readied) == 0);
    must(pthread_mutex_destroy(&lines->lock) == 0);
    must(pthread_mutex_destroy(&lines->reading) == 0);
    base_free(lines);
}

/* The chunk that is not needed any more goes back; the next one, once it is ready. */
static void
turn_over(struct lines *lines)
{
    struct chunk *before = lines->out, *next = &lines->chunks[lines->next_out];
    lock(&lines->lock);
    if (before != NULL)
        before->state = CHUNK_EMPTY;
    unlock(&lines->lock);
    if (before != NULL)
        must(pthread_cond_signal(&lines->emptied) == 0);
    lock(&lines->lock);
    while (next->state != CHUNK_READY)
        wait_for(&lines->readied, &lines->lock);
    unlock(&lines->lock);
    lines->out = next;
    lines->next_out = (lines->next_out + 1) % lines->chunk_count;
}

bool
lines_next(struct lines *lines, struct line **lines_out, size_t *count_out, struct err *err)
{
    do {
        if (lines->out != NULL && lines->out->last) {
            if (lines->out->failed)
                *err = lines->err;
            return false;
        }
        turn_over(lines);
    } while (lines->out->count == 0);
    *lines_out = lines->out->lines;
    *count_out = lines->out->count;
    return true;
}
