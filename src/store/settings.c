/* settings - small texts by name; and triage: what people made of alerts. */
#include "store/store_priv.h"

static bool
write_row(struct sql *sql, const char *text, const struct str values[static 3], struct err *err)
{
    sqlite3_stmt *statement = sql_statement(sql, text, err);
    if (statement == NULL)
        return false;
    for (int i = 0; i < 3; i++)
        sql_bind_str(statement, i + 1, values[i]);
    return sql_do(sql, statement, err);
}

static bool
write_one(struct store *store, const char *text, const struct str values[static 3], struct err *err)
{
    struct sql *sql = &store->write;
    sql_lock(sql);
    bool ok = write_row(sql, text, values, err);
    sql_unlock(sql);
    if (ok)
        store_changed(store);
    return ok;
}

static const char put_text[] = "INSERT INTO settings VALUES (?1, ?2, ?3)"
                               " ON CONFLICT DO UPDATE SET value = ?3";

bool
sql_put_setting(struct sql *sql, struct str workspace_id, struct str name, struct str json,
                struct err *err)
{
    return write_row(sql, put_text, (const struct str[]){workspace_id, name, json}, err);
}

bool
store_setting_put(struct store *store, struct str workspace_id, struct str name, struct str json,
                  struct err *err)
{
    return write_one(store, put_text, (const struct str[]){workspace_id, name, json}, err);
}

bool
store_setting_add(struct store *store, struct str workspace_id, struct str name, struct str json,
                  struct err *err)
{
    return write_one(store, "INSERT INTO settings VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
                     (const struct str[]){workspace_id, name, json}, err);
}

typedef void (*setting_fn)(void *self, struct str workspace_id, struct str name, struct str json);

static bool
read_settings(struct sql *sql, struct str workspace_id, setting_fn fn, void *self, struct err *err)
{
    static const char text[] = "SELECT workspace_id, name, value FROM settings"
                               " WHERE ?1 IS NULL OR workspace_id = ?1";
    sqlite3_stmt *statement = sql_statement(sql, text, err);
    if (statement == NULL)
        return false;
    sql_bind_str(statement, 1, workspace_id);
    for (bool row = true;;) {
        if (!sql_step(sql, statement, &row, err))
            return false;
        if (!row)
            return true;
        fn(self, sql_str(statement, 0), sql_str(statement, 1), sql_str(statement, 2));
    }
}

bool
store_settings(struct store *store, struct str workspace_id, setting_fn fn, void *self,
               struct err *err)
{
    sql_lock(&store->read);
    bool ok = read_settings(&store->read, workspace_id, fn, self, err);
    sql_unlock(&store->read);
    return ok;
}

/* -- triage ---------------------------------------------------------------------- */

bool
store_triage_put(struct store *store, struct str workspace_id, struct str alert_id,
                 const struct alert_triage *triage, struct err *err)
{
    static const char text[] =
        "INSERT INTO triage (workspace_id, alert_id, status, note, by, at, notified_at)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0)"
        " ON CONFLICT DO UPDATE SET status = ?3, note = ?4, by = ?5, at = ?6";
    struct sql *sql = &store->write;
    sql_lock(sql);
    sqlite3_stmt *statement = sql_statement(sql, text, err);
    bool ok = statement != NULL;
    if (ok) {
        sql_bind_str(statement, 1, workspace_id);
        sql_bind_str(statement, 2, alert_id);
        sql_bind_str(statement, 3, triage->status);
        sql_bind_str(statement, 4, triage->note);
        sql_bind_str(statement, 5, triage->by);
        sql_bind_int(statement, 6, triage->at);
        ok = sql_do(sql, statement, err);
    }
    sql_unlock(sql);
    return ok;
}

static bool
read_triage(struct sql *sql, sqlite3_stmt *statement, struct arena *arena,
            struct alert_triage *triage_out, struct err *err)
{
    bool row = false;
    if (!sql_step(sql, statement, &row, err))
        return false;
    *triage_out = (struct alert_triage){.status = STR("open")};
    if (!row)
        return true;
    *triage_out = (struct alert_triage){
        .status = sql_copy(statement, 0, arena),
        .note = sql_copy(statement, 1, arena),
        .by = sql_copy(statement, 2, arena),
        .at = sql_int(statement, 3),
        .notified_at = sql_int(statement, 4),
    };
    sql_done(statement);
    return sql_full(arena, err);
}

bool
store_triage(struct store *store, struct str workspace_id, const struct str *alert_ids,
             size_t count, struct arena *arena, struct alert_triage *list_out, struct err *err)
{
    static const char text[] = "SELECT status, note, by, at, notified_at FROM triage"
                               " WHERE workspace_id = ?1 AND alert_id = ?2";
    struct sql *sql = &store->read;
    sql_lock(sql);
    sqlite3_stmt *statement = sql_statement(sql, text, err);
    bool ok = statement != NULL;
    for (size_t i = 0; ok && i < count; i++) {
        sql_bind_str(statement, 1, workspace_id);
        sql_bind_str(statement, 2, alert_ids[i]);
        ok = read_triage(sql, statement, arena, &list_out[i], err);
    }
    sql_unlock(sql);
    return ok;
}
