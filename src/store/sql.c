/* sql - what every table's file needs of SQLite, with our errors and our memory. */
#include "store/store_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Somebody looking with sqlite3 may hold the file for a moment. */
enum { BUSY_MS = 5000, LIST_FIRST = 16 };

static bool
prepare_file(const char *path, struct err *err)
{
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0)
        return err_set(err, ERR_IO, "store: %s: %s", path, strerror(errno));
    /* SQLite gives its -wal and -shm files the rights of the main one. */
    bool ok = fchmod(file, 0600) == 0;
    if (!ok)
        err_set(err, ERR_IO, "store: %s: %s", path, strerror(errno));
    close(file);
    return ok;
}

bool
sql_open(struct sql *sql, const char *folder, const char *name, struct err *err)
{
    int len = snprintf(sql->path, sizeof sql->path, "%s/%s", folder, name);
    if (len < 0 || (size_t)len >= sizeof sql->path)
        return err_set(err, ERR_INPUT, "store: the folder's name is too long");
    if (!prepare_file(sql->path, err))
        return false;

    must(pthread_mutex_init(&sql->lock, NULL) == 0);
    sql->parser = json_parser_new();
    sql->kept_count = 0;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    if (sqlite3_open_v2(sql->path, &sql->db, flags, NULL) != SQLITE_OK) {
        sql_fail(sql, err);
        sql_close(sql);
        return false;
    }
    sqlite3_busy_timeout(sql->db, BUSY_MS);
    return true;
}

void
sql_close(struct sql *sql)
{
    for (size_t i = 0; i < sql->kept_count; i++)
        sqlite3_finalize(sql->kept[i].statement);
    sql->kept_count = 0;
    must(sqlite3_close(sql->db) == SQLITE_OK);
    sql->db = NULL;
    json_parser_free(sql->parser);
    sql->parser = NULL;
    must(pthread_mutex_destroy(&sql->lock) == 0);
}

void
sql_lock(struct sql *sql)
{
    must(pthread_mutex_lock(&sql->lock) == 0);
}

void
sql_unlock(struct sql *sql)
{
    must(pthread_mutex_unlock(&sql->lock) == 0);
}

static enum err_code
code_of(int result)
{
    switch (result & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
        return ERR_CORRUPT;
    case SQLITE_CONSTRAINT:
        return ERR_CONFLICT;
    default:
        return ERR_IO;
    }
}

bool
sql_fail(struct sql *sql, struct err *err)
{
    int result = sqlite3_extended_errcode(sql->db);
    must((result & 0xff) != SQLITE_MISUSE);
    return err_set(err, code_of(result), "store: %s: %s", sql->path, sqlite3_errmsg(sql->db));
}

bool
sql_run(struct sql *sql, const char *text, struct err *err)
{
    if (sqlite3_exec(sql->db, text, NULL, NULL, NULL) != SQLITE_OK)
        return sql_fail(sql, err);
    return true;
}

bool
sql_begin(struct sql *sql, struct err *err)
{
    return sql_run(sql, "BEGIN IMMEDIATE", err);
}

bool
sql_begin_read(struct sql *sql, struct err *err)
{
    return sql_run(sql, "BEGIN", err);
}

bool
sql_end(struct sql *sql, bool ok, struct err *err)
{
    if (ok && sql_run(sql, "COMMIT", err))
        return true;
    /* A full disk may have rolled it back already; the first cause is the one to report. */
    if (!sqlite3_get_autocommit(sql->db))
        sqlite3_exec(sql->db, "ROLLBACK", NULL, NULL, NULL);
    return false;
}

/* -- statements ---------------------------------------------------------------- */

sqlite3_stmt *
sql_statement(struct sql *sql, const char *text, struct err *err)
{
    for (size_t i = 0; i < sql->kept_count; i++)
        if (sql->kept[i].text == text)
            return sql->kept[i].statement;

    must(sql->kept_count < SQL_KEPT_MAX);
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v3(sql->db, text, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL) !=
        SQLITE_OK) {
        sql_fail(sql, err);
        return NULL;
    }
    sql->kept[sql->kept_count].text = text;
    sql->kept[sql->kept_count++].statement = statement;
    return statement;
}

void
sql_bind_str(sqlite3_stmt *statement, int at, struct str text)
{
    int result = text.ptr == NULL
                     ? sqlite3_bind_null(statement, at)
                     : sqlite3_bind_text(statement, at, text.ptr, (int)text.len, SQLITE_STATIC);
    must(result == SQLITE_OK);
}

void
sql_bind_blob(sqlite3_stmt *statement, int at, struct str bytes)
{
    must(sqlite3_bind_blob(statement, at, bytes.len == 0 ? "" : bytes.ptr, (int)bytes.len,
                           SQLITE_STATIC) == SQLITE_OK);
}

void
sql_bind_int(sqlite3_stmt *statement, int at, int64_t number)
{
    must(sqlite3_bind_int64(statement, at, number) == SQLITE_OK);
}

void
sql_done(sqlite3_stmt *statement)
{
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
}

bool
sql_step(struct sql *sql, sqlite3_stmt *statement, bool *row_out, struct err *err)
{
    int result = sqlite3_step(statement);
    *row_out = result == SQLITE_ROW;
    if (*row_out)
        return true;
    bool ok = result == SQLITE_DONE;
    if (!ok)
        sql_fail(sql, err);
    sql_done(statement);
    return ok;
}

bool
sql_do(struct sql *sql, sqlite3_stmt *statement, struct err *err)
{
    bool row = false;
    if (!sql_step(sql, statement, &row, err))
        return false;
    must(!row);
    return true;
}

int64_t
sql_changes(struct sql *sql)
{
    return sqlite3_changes64(sql->db);
}

/* -- columns ------------------------------------------------------------------- */

struct str
sql_str(sqlite3_stmt *statement, int column)
{
    if (sqlite3_column_type(statement, column) == SQLITE_NULL)
        return (struct str){0};
    const void *bytes = sqlite3_column_blob(statement, column);
    size_t len = (size_t)sqlite3_column_bytes(statement, column);
    return (struct str){bytes == NULL ? "" : bytes, len};
}

struct str
sql_copy(sqlite3_stmt *statement, int column, struct arena *arena)
{
    struct str copy = {0};
    bool copied = arena_copy(arena, sql_str(statement, column), &copy);
    return copied ? copy : (struct str){0}; /* the caller asks sql_full once */
}

int64_t
sql_int(sqlite3_stmt *statement, int column)
{
    return sqlite3_column_int64(statement, column);
}

bool
sql_number(struct sql *sql, sqlite3_stmt *statement, int64_t *number_out, struct err *err)
{
    bool row = false;
    if (!sql_step(sql, statement, &row, err))
        return false;
    *number_out = row ? sql_int(statement, 0) : 0;
    sql_done(statement);
    return true;
}

bool
sql_json(struct sql *sql, sqlite3_stmt *statement, int column, struct arena *arena,
         struct json *json_out, struct err *err)
{
    struct str text = sql_str(statement, column);
    if (text.ptr == NULL) {
        *json_out = (struct json){.type = JSON_ABSENT};
        return true;
    }
    if (json_parse(sql->parser, text, arena, json_out, err))
        return true;
    if (err->code == ERR_INPUT)
        err->code = ERR_CORRUPT;
    return err_prefix(err, "store: %s: column %s", sql->path,
                      sqlite3_column_name(statement, column));
}

/* -- lists --------------------------------------------------------------------- */

void *
sql_list_add(struct sql_list *list)
{
    if (list->count == list->cap) {
        size_t cap = list->cap == 0 ? LIST_FIRST : list->cap * 2;
        char *items = arena_alloc(list->arena, cap, list->size, _Alignof(max_align_t));
        if (items == NULL)
            return NULL;
        if (list->count > 0)
            memcpy(items, list->items, list->count * list->size);
        list->items = items;
        list->cap = cap;
    }
    return list->items + list->count++ * list->size;
}

bool
sql_full(const struct arena *arena, struct err *err)
{
    if (!arena->ran_out)
        return true;
    return err_set(err, ERR_LIMIT, "store: the answer does not fit");
}
