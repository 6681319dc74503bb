/* rows - records of the log taken apart, and the parsers that read their JSON. */
#include <string.h>

#include "journal/journal_priv.h"

/* Enough for the largest record, parsed; most take some kilobytes. */
#define ARENA_FIRST (16u << 10)
#define ARENA_MAX   (64u << 20)

static bool
cut(struct str *rest, size_t len, struct str *piece_out)
{
    if (rest->len < len)
        return false;
    *piece_out = (struct str){rest->ptr, len};
    rest->ptr += len;
    rest->len -= len;
    return true;
}

bool
row_decode(const struct log_row *from, struct journal_row *row_out)
{
    struct journal_row row = {.at = from->at, .kind = (enum journal_kind)from->kind};
    struct str rest = from->payload, piece;
    if (!cut(&rest, 1, &piece) || !cut(&rest, (unsigned char)piece.ptr[0], &row.workspace_id))
        return false;
    switch (row.kind) {
    case JOURNAL_EVENT:
        if (!cut(&rest, SHA256_SIZE, &piece))
            return false;
        memcpy(row.integrity.previous_hash, piece.ptr, SHA256_SIZE);
        if (!cut(&rest, SHA256_SIZE, &piece))
            return false;
        memcpy(row.integrity.hash, piece.ptr, SHA256_SIZE);
        row.silent = rest.len > 0 && rest.ptr[0] == ROW_SILENT;
        if (row.silent && !cut(&rest, 1, &piece))
            return false;
        break;
    case JOURNAL_SOURCE:
        if (!cut(&rest, ID_SIZE, &row.event_id))
            return false;
        break;
    case JOURNAL_ALERT:
        break;
    case JOURNAL_RULE:
        if (!cut(&rest, 1, &piece) || (piece.ptr[0] != '+' && piece.ptr[0] != '-'))
            return false;
        row.in_force = piece.ptr[0] == '+';
        break;
    default:
        return false;
    }
    row.stored = rest;
    *row_out = row;
    return true;
}

bool
row_corrupt(const struct log_row *row, struct err *err)
{
    return err_set(err, ERR_CORRUPT, "journal: the record at %llu of kind %u cannot be read",
                   (unsigned long long)row->at, row->kind);
}

struct str
row_member(struct str stored, struct str pattern)
{
    const char *found = memmem(stored.ptr, stored.len, pattern.ptr, pattern.len);
    if (found == NULL)
        return (struct str){0};
    const char *begin = found + pattern.len;
    const char *end = memchr(begin, '"', stored.len - (size_t)(begin - stored.ptr));
    if (end == NULL)
        return (struct str){0};
    return (struct str){begin, (size_t)(end - begin)};
}

struct str
row_id(const struct journal_row *row)
{
    return row_member(row->stored, ROW_ID);
}

/* -- readers ------------------------------------------------------------------- */

struct reader *
reader_take(struct journal *journal)
{
    struct reader *reader = NULL;
    pthread_mutex_lock(&journal->readers_lock);
    if (journal->reader_count > 0)
        reader = journal->readers[--journal->reader_count];
    pthread_mutex_unlock(&journal->readers_lock);
    if (reader == NULL) {
        reader = base_alloc(1, sizeof *reader);
        reader->parser = json_parser_new();
        arena_init(&reader->arena, ARENA_FIRST, ARENA_MAX);
    }
    return reader;
}

void
reader_give(struct journal *journal, struct reader *reader)
{
    pthread_mutex_lock(&journal->readers_lock);
    if (journal->reader_count < READERS_MAX) {
        journal->readers[journal->reader_count++] = reader;
        reader = NULL;
    }
    pthread_mutex_unlock(&journal->readers_lock);
    if (reader == NULL)
        return;
    json_parser_free(reader->parser);
    arena_fini(&reader->arena);
    base_free(reader);
}

bool
reader_json(struct reader *reader, struct str stored, struct json *json_out, struct err *err)
{
    arena_reset(&reader->arena);
    if (json_parse(reader->parser, stored, &reader->arena, json_out, err))
        return true;
    err->code = ERR_CORRUPT;
    return err_prefix(err, "journal: a stored record");
}

bool
reader_event(struct reader *reader, struct str stored, struct event *event_out, struct err *err)
{
    struct json json;
    return reader_json(reader, stored, &json, err) &&
           event_read_stored(&json, &reader->arena, event_out, err);
}
