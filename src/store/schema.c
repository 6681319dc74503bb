/* schema - what stands in tocsin.db, and how an older file becomes a newer one.
 *
 * Times are microseconds since 1970 (`datetime(created_at / 1000000, 'unixepoch')` reads them).
 * What one would look for has a column; the rest of a rule or a webhook is one JSON object in
 * `body`. */
#include "store/store_priv.h"

#include <stdio.h>

/* In the file's header, so that another program's file is told apart ("TOCS"). */
#define APPLICATION_ID "1414480723"

static const char step_1[] =
    "CREATE TABLE workspaces (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
    " created_at INTEGER NOT NULL) WITHOUT ROWID;"

    /* hash: SHA-256 of the key, in hex; roles: names with spaces between; networks, tenants:
     * JSON */
    "CREATE TABLE keys (id TEXT PRIMARY KEY, workspace_id TEXT NOT NULL, label TEXT, prefix TEXT,"
    " hash TEXT NOT NULL UNIQUE, roles TEXT NOT NULL, rate_per_minute INTEGER NOT NULL,"
    " networks TEXT NOT NULL, tenants TEXT NOT NULL, expires_at INTEGER NOT NULL,"
    " created_at INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX keys_of ON keys (workspace_id, created_at);"

    "CREATE TABLE rules (id TEXT PRIMARY KEY, workspace_id TEXT NOT NULL, name TEXT NOT NULL,"
    " rule_type TEXT NOT NULL, conditions TEXT NOT NULL, enabled INTEGER NOT NULL,"
    " version INTEGER NOT NULL, fold_version INTEGER NOT NULL, created_at INTEGER NOT NULL,"
    " updated_at INTEGER NOT NULL, body TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX rules_of ON rules (workspace_id, created_at);"

    /* since, until: positions in the log; until 0: in force */
    "CREATE TABLE webhooks (id TEXT PRIMARY KEY, workspace_id TEXT NOT NULL, url TEXT NOT NULL,"
    " enabled INTEGER NOT NULL, deleted INTEGER NOT NULL, since INTEGER NOT NULL,"
    " until INTEGER NOT NULL, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,"
    " body TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX webhooks_of ON webhooks (workspace_id, created_at);"

    "CREATE TABLE settings (workspace_id TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL,"
    " PRIMARY KEY (workspace_id, name)) WITHOUT ROWID;"

    "CREATE TABLE triage (workspace_id TEXT NOT NULL, alert_id TEXT NOT NULL, status TEXT NOT NULL,"
    " note TEXT, by TEXT, at INTEGER NOT NULL, notified_at INTEGER NOT NULL,"
    " PRIMARY KEY (workspace_id, alert_id)) WITHOUT ROWID;"

    /* created_at is unique among them: a list's cursor */
    "CREATE TABLE deliveries (n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,"
    " workspace_id TEXT NOT NULL, webhook_id TEXT NOT NULL, alert_id TEXT NOT NULL,"
    " event_type TEXT NOT NULL, record_at INTEGER NOT NULL, status TEXT NOT NULL,"
    " attempts INTEGER NOT NULL, attempts_before INTEGER NOT NULL,"
    " next_attempt_at INTEGER NOT NULL, created_at INTEGER NOT NULL,"
    " updated_at INTEGER NOT NULL, UNIQUE (webhook_id, record_at));"
    "CREATE INDEX deliveries_of ON deliveries (workspace_id, created_at);"
    "CREATE INDEX deliveries_by_status ON deliveries (status, workspace_id, created_at);"
    "CREATE INDEX deliveries_by_webhook ON deliveries (webhook_id, created_at);"
    "CREATE INDEX deliveries_by_alert ON deliveries (alert_id);"

    "CREATE TABLE attempts (delivery INTEGER NOT NULL, number INTEGER NOT NULL,"
    " at INTEGER NOT NULL, duration_us INTEGER NOT NULL, status INTEGER NOT NULL, error TEXT,"
    " answer TEXT, PRIMARY KEY (delivery, number)) WITHOUT ROWID;"

    /* how far into the log deliveries have been made */
    "CREATE TABLE cursor (one INTEGER PRIMARY KEY CHECK (one = 1), position INTEGER NOT NULL);"
    "INSERT INTO cursor VALUES (1, 0);";

/* A login may be told of in several ways. */
static const char step_2[] =
    "CREATE TABLE deliveries_2 (n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,"
    " workspace_id TEXT NOT NULL, webhook_id TEXT NOT NULL, alert_id TEXT NOT NULL,"
    " event_type TEXT NOT NULL, record_at INTEGER NOT NULL, status TEXT NOT NULL,"
    " attempts INTEGER NOT NULL, attempts_before INTEGER NOT NULL,"
    " next_attempt_at INTEGER NOT NULL, created_at INTEGER NOT NULL,"
    " updated_at INTEGER NOT NULL, UNIQUE (webhook_id, record_at, event_type));"
    "INSERT INTO deliveries_2 SELECT * FROM deliveries;"
    "DROP TABLE deliveries;"
    "ALTER TABLE deliveries_2 RENAME TO deliveries;"
    "CREATE INDEX deliveries_of ON deliveries (workspace_id, created_at);"
    "CREATE INDEX deliveries_by_status ON deliveries (status, workspace_id, created_at);"
    "CREATE INDEX deliveries_by_webhook ON deliveries (webhook_id, created_at);"
    "CREATE INDEX deliveries_by_alert ON deliveries (alert_id);";

/* role: owner, admin, analyst, viewer */
static const char step_3[] =
    "CREATE TABLE members (id TEXT PRIMARY KEY, workspace_id TEXT NOT NULL,"
    " email TEXT NOT NULL COLLATE NOCASE, name TEXT, role TEXT NOT NULL,"
    " created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,"
    " UNIQUE (workspace_id, email)) WITHOUT ROWID;"

    /* what a delivery of the event type "notice" says; at is its record_at */
    "CREATE TABLE notices (at INTEGER PRIMARY KEY, workspace_id TEXT NOT NULL,"
    " subject TEXT NOT NULL, text TEXT NOT NULL);";

/* Since when a receiver fails, and when it last did. */
static const char step_4[] =
    "ALTER TABLE webhooks ADD COLUMN failing_since INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE webhooks ADD COLUMN failed_at INTEGER NOT NULL DEFAULT 0;";

static const char *const steps[] = {step_1, step_2, step_3, step_4};
_Static_assert(COUNT_OF(steps) == STORE_SCHEMA_VERSION, "a schema version lacks its step");

static bool
ask(struct sql *sql, const char *text, int64_t *number_out, struct err *err)
{
    sqlite3_stmt *statement = sql_statement(sql, text, err);
    return statement != NULL && sql_number(sql, statement, number_out, err);
}

/* A file with tables but without our mark belongs to somebody else. */
static bool
check_ours(struct sql *sql, int64_t *version_out, struct err *err)
{
    int64_t application = 0, tables = 0;
    if (!ask(sql, "PRAGMA application_id", &application, err) ||
        !ask(sql, "PRAGMA user_version", version_out, err) ||
        !ask(sql, "SELECT count(*) FROM sqlite_schema", &tables, err))
        return false;
    bool empty = tables == 0 && *version_out == 0 && application == 0;
    int64_t ours = 0;
    must(str_to_int(STR(APPLICATION_ID), &ours));
    if (!empty && application != ours)
        return err_set(err, ERR_CORRUPT, "store: %s is no file of Tocsin's", sql->path);
    return true;
}

static bool
take_step(struct sql *sql, const char *step, size_t version, struct err *err)
{
    if (!sql_begin(sql, err))
        return false;
    char mark[96];
    snprintf(mark, sizeof mark, "PRAGMA user_version = %zu; PRAGMA application_id = %s", version,
             APPLICATION_ID);
    bool ok = sql_run(sql, step, err) && sql_run(sql, mark, err);
    return sql_end(sql, ok, err);
}

bool
sql_migrate(struct sql *sql, const char *const *step, size_t count, struct err *err)
{
    int64_t version = 0;
    if (!check_ours(sql, &version, err))
        return false;
    if (version < 0 || (uint64_t)version > count)
        return err_set(err, ERR_CORRUPT,
                       "store: %s has schema version %lld, written by a newer Tocsin; this one "
                       "knows versions up to %zu",
                       sql->path, (long long)version, count);
    for (size_t at = (size_t)version; at < count; at++)
        if (!take_step(sql, step[at], at + 1, err))
            return err_prefix(err, "store: migration to version %zu", at + 1);
    return true;
}

bool
sql_quick_check(struct sql *sql, struct err *err)
{
    sqlite3_stmt *statement = sql_statement(sql, "PRAGMA quick_check(1)", err);
    bool row = false;
    if (statement == NULL || !sql_step(sql, statement, &row, err))
        return false;
    struct str found = row ? sql_str(statement, 0) : STR("no answer");
    bool ok = str_equal(found, STR("ok"));
    if (!ok)
        err_set(err, ERR_CORRUPT, "store: %s is damaged: %.*s", sql->path, STR_ARG(found));
    sql_done(statement);
    return ok;
}

/* -- opening ----------------------------------------------------------------------- */

static bool
prepare_write(struct store *store, struct err *err)
{
    struct sql *sql = &store->write;
    return sql_run(sql,
                   "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                   "PRAGMA journal_size_limit = 67108864; PRAGMA trusted_schema = OFF;",
                   err) &&
           sql_quick_check(sql, err) && sql_migrate(sql, steps, COUNT_OF(steps), err) &&
           ask(sql, "SELECT coalesce(max(created_at), 0) FROM deliveries", &store->newest_delivery,
               err);
}

static bool
open_both(struct store *store, const char *folder, struct err *err)
{
    if (!sql_open(&store->write, folder, "tocsin.db", err))
        return false;
    if (!prepare_write(store, err))
        goto undo;
    if (!sql_open(&store->read, folder, "tocsin.db", err))
        goto undo;
    if (sql_run(&store->read, "PRAGMA query_only = ON; PRAGMA trusted_schema = OFF;", err))
        return true;
    sql_close(&store->read);
undo:
    sql_close(&store->write);
    return false;
}

bool
store_open(const char *folder, struct store **store_out, struct err *err)
{
    struct store *store = base_alloc(1, sizeof *store);
    atomic_init(&store->generation, 1);
    if (!open_both(store, folder, err)) {
        base_free(store);
        return false;
    }
    *store_out = store;
    return true;
}

void
store_close(struct store *store)
{
    if (store == NULL)
        return;
    sql_close(&store->read);
    sql_close(&store->write); /* last: it moves the write-ahead log into the file */
    base_free(store);
}

uint64_t
store_generation(const struct store *store)
{
    return atomic_load(&store->generation);
}

void
store_changed(struct store *store)
{
    atomic_fetch_add(&store->generation, 1);
}
