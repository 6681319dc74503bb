/* states - checkpoints of rule states (state.db). All of it can be computed again from the log, so
 * the file is never worth stopping for: what cannot be read is put aside and begun anew. */
#include "store/store_priv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* `tables` gives long names short numbers; `checkpoint` says up to where the states are folded. */
static const char step_1[] =
    "CREATE TABLE tables (n INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);"
    "CREATE TABLE states (tab INTEGER NOT NULL, subject BLOB NOT NULL, stamp INTEGER NOT NULL,"
    " state BLOB NOT NULL, PRIMARY KEY (tab, subject)) WITHOUT ROWID;"
    "CREATE TABLE checkpoint (one INTEGER PRIMARY KEY CHECK (one = 1), position INTEGER NOT NULL,"
    " log_seed INTEGER NOT NULL);";
static const char *const steps[] = {step_1};

enum { FOLDER_SIZE = SQL_PATH_SIZE, TABLE_NAME_MAX = 256 };

struct store_states {
    struct sql sql;
    char folder[FOLDER_SIZE];
};

/* -- opening --------------------------------------------------------------------- */

/* A lost checkpoint costs time, not truth: a sync per checkpoint is not needed, only order. */
static bool
open_file(struct store_states *states, struct err *err)
{
    struct sql *sql = &states->sql;
    if (!sql_open(sql, states->folder, "state.db", err))
        return false;
    if (sql_run(sql,
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
                "PRAGMA cache_size = -32768; PRAGMA journal_size_limit = 16777216;"
                "PRAGMA trusted_schema = OFF;",
                err) &&
        sql_migrate(sql, steps, COUNT_OF(steps), err))
        return true;
    sql_close(sql);
    return false;
}

static bool
put_aside(const struct store_states *states, struct err *err)
{
    char from[FOLDER_SIZE + 16], to[FOLDER_SIZE + 16];
    snprintf(from, sizeof from, "%s/state.db", states->folder);
    snprintf(to, sizeof to, "%s/state.db.bad", states->folder);
    if (rename(from, to) != 0)
        return err_set(err, ERR_IO, "store: %s: %s", from, strerror(errno));
    static const char *const beside[] = {"-wal", "-shm"};
    for (size_t i = 0; i < COUNT_OF(beside); i++) {
        snprintf(from, sizeof from, "%s/state.db%s", states->folder, beside[i]);
        if (remove(from) != 0 && errno != ENOENT)
            return err_set(err, ERR_IO, "store: %s: %s", from, strerror(errno));
    }
    return true;
}

/* The file is closed at this moment. */
static bool
begin_anew(struct store_states *states, const struct err *why, struct err *err)
{
    diag_warn("%s; the states of all rules are computed again from the log", why->text);
    return put_aside(states, err) && open_file(states, err);
}

bool
store_states_open(const char *folder, struct store_states **states_out, struct err *err)
{
    struct store_states *states = base_alloc(1, sizeof *states);
    int len = snprintf(states->folder, sizeof states->folder, "%s", folder);
    bool ok = len > 0 && (size_t)len < sizeof states->folder;
    if (!ok)
        err_set(err, ERR_INPUT, "store: the folder's name is too long");
    if (ok && !open_file(states, err)) {
        struct err why = *err;
        ok = why.code == ERR_CORRUPT && begin_anew(states, &why, err);
    }
    if (!ok) {
        base_free(states);
        return false;
    }
    *states_out = states;
    return true;
}

void
store_states_close(struct store_states *states)
{
    if (states == NULL)
        return;
    if (states->sql.db != NULL)
        sql_close(&states->sql);
    base_free(states);
}

/* After a failed begin_anew there is no file open; try again then. */
static bool
check_open(struct store_states *states, struct err *err)
{
    return states->sql.db != NULL || open_file(states, err);
}

/* Damage that shows while working: the call fails, the next one finds an empty file. */
static bool
give_up_file(struct store_states *states, struct err *err)
{
    if (err->code != ERR_CORRUPT)
        return false;
    struct err why = *err, again = {0};
    sql_close(&states->sql);
    if (!begin_anew(states, &why, &again))
        diag_warn("%s", again.text);
    return false;
}

/* -- position -------------------------------------------------------------------- */

static const char forget_all[] = "DELETE FROM states; DELETE FROM tables; DELETE FROM checkpoint;";

static bool
read_position(struct sql *sql, uint64_t log_seed, int64_t *position_out, struct err *err)
{
    static const char text[] = "SELECT position, log_seed FROM checkpoint";
    sqlite3_stmt *statement = sql_statement(sql, text, err);
    bool row = false;
    if (statement == NULL || !sql_step(sql, statement, &row, err))
        return false;
    *position_out = 0;
    if (!row)
        return true;
    int64_t position = sql_int(statement, 0);
    bool ours = (uint64_t)sql_int(statement, 1) == log_seed;
    sql_done(statement);
    if (ours) {
        *position_out = position;
        return true;
    }
    diag_warn("%s belongs to another log; its states are thrown away", sql->path);
    return sql_begin(sql, err) && sql_end(sql, sql_run(sql, forget_all, err), err);
}

bool
store_states_position(struct store_states *states, uint64_t log_seed, int64_t *position_out,
                      struct err *err)
{
    if (!check_open(states, err))
        return false;
    struct sql *sql = &states->sql;
    int64_t position = 0;
    sql_lock(sql);
    bool ok = read_position(sql, log_seed, &position, err);
    sql_unlock(sql);
    if (!ok)
        return give_up_file(states, err);
    *position_out = position;
    return true;
}

/* -- writing --------------------------------------------------------------------- */

/* The number of the table that the last row was of: rows mostly come table by table. */
struct writer {
    struct sql *sql;
    char name[TABLE_NAME_MAX];
    size_t name_len;
    int64_t number;
};

static bool
find_table(struct writer *writer, struct str name, bool make, struct err *err)
{
    static const char insert[] = "INSERT INTO tables (name) VALUES (?1) ON CONFLICT DO NOTHING";
    static const char find[] = "SELECT n FROM tables WHERE name = ?1";
    if (writer->number != 0 && str_equal(name, (struct str){writer->name, writer->name_len}))
        return true;
    must(name.len <= sizeof writer->name);
    sqlite3_stmt *finding = sql_statement(writer->sql, find, err);
    sqlite3_stmt *inserting = finding == NULL ? NULL : sql_statement(writer->sql, insert, err);
    if (inserting == NULL)
        return false;
    if (make) {
        sql_bind_str(inserting, 1, name);
        if (!sql_do(writer->sql, inserting, err))
            return false;
    }
    sql_bind_str(finding, 1, name);
    if (!sql_number(writer->sql, finding, &writer->number, err))
        return false;
    memcpy(writer->name, name.ptr, name.len);
    writer->name_len = name.len;
    return true;
}

static bool
write_row(struct writer *writer, const struct store_state *row, struct err *err)
{
    static const char put[] = "INSERT INTO states (tab, subject, stamp, state)"
                              " VALUES (?1, ?2, ?3, ?4)"
                              " ON CONFLICT DO UPDATE SET stamp = ?3, state = ?4";
    static const char drop[] = "DELETE FROM states WHERE tab = ?1 AND subject = ?2";
    if (!find_table(writer, row->table, !row->gone, err))
        return false;
    sqlite3_stmt *statement = sql_statement(writer->sql, row->gone ? drop : put, err);
    if (statement == NULL)
        return false;
    sql_bind_int(statement, 1, writer->number);
    sql_bind_blob(statement, 2, row->subject);
    if (!row->gone) {
        sql_bind_int(statement, 3, (int64_t)row->stamp);
        sql_bind_blob(statement, 4, row->state);
    }
    return sql_do(writer->sql, statement, err);
}

static bool
drop_table(struct writer *writer, struct str name, struct err *err)
{
    static const char texts[][48] = {"DELETE FROM states WHERE tab = ?1",
                                     "DELETE FROM tables WHERE n = ?1"};
    if (!find_table(writer, name, false, err))
        return false;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        sqlite3_stmt *statement = sql_statement(writer->sql, texts[i], err);
        if (statement == NULL)
            return false;
        sql_bind_int(statement, 1, writer->number);
        if (!sql_do(writer->sql, statement, err))
            return false;
    }
    writer->number = 0;
    return true;
}

static bool
write_position(struct sql *sql, int64_t position, uint64_t log_seed, struct err *err)
{
    static const char text[] = "INSERT INTO checkpoint VALUES (1, ?1, ?2)"
                               " ON CONFLICT DO UPDATE SET position = ?1, log_seed = ?2";
    sqlite3_stmt *statement = sql_statement(sql, text, err);
    if (statement == NULL)
        return false;
    sql_bind_int(statement, 1, position);
    sql_bind_int(statement, 2, (int64_t)log_seed);
    return sql_do(sql, statement, err);
}

struct rows {
    enum store_next (*next)(void *self, struct store_state *row_out);
    void *self;
    const struct str *dropped;
    size_t dropped_count;
};

static bool
write_all(struct sql *sql, const struct rows *rows, struct err *err)
{
    struct writer writer = {.sql = sql};
    for (size_t i = 0; i < rows->dropped_count; i++)
        if (!drop_table(&writer, rows->dropped[i], err))
            return false;
    for (;;) {
        struct store_state row = {0};
        enum store_next next = rows->next(rows->self, &row);
        if (next == STORE_NEXT_END)
            return true;
        if (next == STORE_NEXT_ABANDON)
            return err_set(err, ERR_LIMIT, "states: abandoned");
        if (!write_row(&writer, &row, err))
            return false;
    }
}

bool
store_states_write(struct store_states *states, int64_t position, uint64_t log_seed,
                   enum store_next (*next)(void *self, struct store_state *row_out), void *self,
                   const struct str *dropped, size_t dropped_count, struct err *err)
{
    if (!check_open(states, err))
        return false;
    struct rows rows = {next, self, dropped, dropped_count};
    struct sql *sql = &states->sql;
    sql_lock(sql);
    bool ok =
        sql_begin(sql, err) &&
        sql_end(sql, write_all(sql, &rows, err) && write_position(sql, position, log_seed, err),
                err);
    sql_unlock(sql);
    return ok || give_up_file(states, err);
}

/* -- reading --------------------------------------------------------------------- */

static bool
read_states(struct sql *sql, void (*fn)(void *self, const struct store_state *row), void *self,
            struct err *err)
{
    static const char text[] = "SELECT name, subject, state, stamp FROM states"
                               " JOIN tables ON n = tab ORDER BY tab, subject";
    sqlite3_stmt *statement = sql_statement(sql, text, err);
    if (statement == NULL)
        return false;
    for (bool row = true;;) {
        if (!sql_step(sql, statement, &row, err))
            return false;
        if (!row)
            return true;
        struct store_state state = {
            .table = sql_str(statement, 0),
            .subject = sql_str(statement, 1),
            .state = sql_str(statement, 2),
            .stamp = (uint64_t)sql_int(statement, 3),
        };
        fn(self, &state);
    }
}

bool
store_states_read(struct store_states *states,
                  void (*fn)(void *self, const struct store_state *row), void *self,
                  struct err *err)
{
    if (!check_open(states, err))
        return false;
    sql_lock(&states->sql);
    bool ok = read_states(&states->sql, fn, self, err);
    sql_unlock(&states->sql);
    return ok || give_up_file(states, err);
}
