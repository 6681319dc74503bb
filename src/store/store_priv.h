/* store_priv - one SQLite file: a connection, the lock around it, the statements it keeps.
 *
 * A call takes the lock, and within it everything is one transaction. Statements are prepared
 * once and found again by the address of their text, so a text is always a static constant. */
#ifndef STORE_PRIV_H
#define STORE_PRIV_H

#include "codec/json.h"
#include "store/store.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

enum { SQL_KEPT_MAX = 64, SQL_PATH_SIZE = 1024 };

struct sql {
    pthread_mutex_t lock;
    sqlite3 *db;
    struct json_parser *parser; /* for the JSON kept in columns */
    char path[SQL_PATH_SIZE];
    struct {
        const char *text;
        sqlite3_stmt *statement;
    } kept[SQL_KEPT_MAX];
    size_t kept_count;
};

struct store {
    struct sql write, read; /* WAL: reading does not wait for writing */
    _Atomic uint64_t generation;
    int64_t newest_delivery; /* created_at; under the lock of `write` */
};

/* Makes the file 0600 if it is missing; nothing is read from it yet. */
bool sql_open(struct sql *sql, const char *folder, const char *name, struct err *err) MUST_USE;
void sql_close(struct sql *sql);

/* The schema as steps: step i takes a file of version i to version i + 1, each in a transaction of
 * its own. ERR_CORRUPT: a newer version, another program's file, or none of SQLite's. */
bool sql_migrate(struct sql *sql, const char *const *steps, size_t count, struct err *err) MUST_USE;
bool sql_quick_check(struct sql *sql, struct err *err) MUST_USE;

/* Says why the last call failed: ERR_CORRUPT when the file is damaged, ERR_CONFLICT when a unique
 * column stands in the way, else ERR_IO. */
bool sql_fail(struct sql *sql, struct err *err);

void sql_lock(struct sql *sql);
void sql_unlock(struct sql *sql);
bool sql_run(struct sql *sql, const char *text, struct err *err) MUST_USE;
bool sql_begin(struct sql *sql, struct err *err) MUST_USE;
/* Several statements read what was there at one moment; sql_end ends it too. */
bool sql_begin_read(struct sql *sql, struct err *err) MUST_USE;
/* Commits when `ok`, else rolls back; so does a commit that fails. Returns whether it is
 * committed. */
bool sql_end(struct sql *sql, bool ok, struct err *err) MUST_USE;

/* A kept statement, ready to be bound; NULL: err is set. */
sqlite3_stmt *sql_statement(struct sql *sql, const char *text, struct err *err) MUST_USE;
/* Bound texts are borrowed until the statement is done. Absent: NULL. */
void sql_bind_str(sqlite3_stmt *statement, int at, struct str text);
void sql_bind_blob(sqlite3_stmt *statement, int at, struct str bytes);
void sql_bind_int(sqlite3_stmt *statement, int at, int64_t number);
/* The next row, if there is one. After the last, and after a failure, the statement is reset. */
bool sql_step(struct sql *sql, sqlite3_stmt *statement, bool *row_out, struct err *err) MUST_USE;
void sql_done(sqlite3_stmt *statement); /* when stopping before the last row */
/* Runs one that gives no rows. */
bool sql_do(struct sql *sql, sqlite3_stmt *statement, struct err *err) MUST_USE;
int64_t sql_changes(struct sql *sql);

/* Columns of the row at hand. NULL is absent, or 0. */
struct str sql_str(sqlite3_stmt *statement, int column); /* borrowed until the next step */
struct str sql_copy(sqlite3_stmt *statement, int column, struct arena *arena);
int64_t sql_int(sqlite3_stmt *statement, int column);
/* One number from a statement that is bound already; 0 when there is no row. */
bool sql_number(struct sql *sql, sqlite3_stmt *statement, int64_t *number_out,
                struct err *err) MUST_USE;
/* Parses a column that holds JSON; ERR_CORRUPT names the table. NULL is JSON_ABSENT. */
bool sql_json(struct sql *sql, sqlite3_stmt *statement, int column, struct arena *arena,
              struct json *json_out, struct err *err) MUST_USE;

/* A list that grows in an arena. Returns the place of the next item, NULL when the arena is
 * full. */
struct sql_list {
    struct arena *arena;
    char *items;
    size_t count, cap, size;
};
void *sql_list_add(struct sql_list *list) MUST_USE;
bool sql_full(const struct arena *arena, struct err *err); /* ERR_LIMIT if it ran out; then false */

/* How a delivery's status is written; indexed by enum delivery_status. */
extern const struct str store_delivery_status[DELIVERY_DEAD + 1];

/* Rows of other files, within a transaction of the caller's. */
bool sql_put_rule(struct sql *sql, struct rule *rule, struct err *err) MUST_USE;
bool sql_put_setting(struct sql *sql, struct str workspace_id, struct str name, struct str json,
                     struct err *err) MUST_USE;

void store_changed(struct store *store); /* a new generation */

#endif
