/* deliveries - what has to reach whom, and what each attempt came to. */
#include "store/store_priv.h"

#include <string.h>

enum { PRUNE_ROWS = 1000, REVIVE_ROWS = 1000 };

/* -- making ---------------------------------------------------------------------- */

static bool
insert_delivery(struct sql *sql, sqlite3_stmt *statement, const struct store_delivery *delivery,
                int64_t created_at, struct err *err)
{
    sql_bind_str(statement, 1, delivery->id);
    sql_bind_str(statement, 2, delivery->workspace_id);
    sql_bind_str(statement, 3, delivery->webhook_id);
    sql_bind_str(statement, 4, delivery->alert_id);
    sql_bind_str(statement, 5, delivery->event_type);
    sql_bind_int(statement, 6, delivery->record_at);
    sql_bind_str(statement, 7, store_delivery_status[delivery->status]);
    sql_bind_int(statement, 8, delivery->attempts);
    sql_bind_int(statement, 9, delivery->attempts_before);
    sql_bind_int(statement, 10, delivery->next_attempt_at);
    sql_bind_int(statement, 11, created_at);
    return sql_do(sql, statement, err);
}

static bool
make_rows(struct sql *sql, const struct store_delivery *rows, size_t count, int64_t *newest,
          struct err *err)
{
    static const char text[] =
        "INSERT INTO deliveries (id, workspace_id, webhook_id, alert_id, event_type, record_at,"
        " status, attempts, attempts_before, next_attempt_at, created_at, updated_at)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?11) ON CONFLICT DO NOTHING";
    sqlite3_stmt *statement = sql_statement(sql, text, err);
    if (statement == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        int64_t at = rows[i].created_at > *newest ? rows[i].created_at : *newest + 1;
        if (!insert_delivery(sql, statement, &rows[i], at, err))
            return false;
        *newest = at;
    }
    return true;
}

static bool
move_cursor(struct sql *sql, int64_t cursor, struct err *err)
{
    static const char text[] = "UPDATE cursor SET position = max(position, ?1)";
    sqlite3_stmt *statement = sql_statement(sql, text, err);
    if (statement == NULL)
        return false;
    sql_bind_int(statement, 1, cursor);
    return sql_do(sql, statement, err);
}

bool
store_deliveries_make(struct store *store, const struct store_delivery *rows, size_t count,
                      int64_t cursor, struct err *err)
{
    struct sql *sql = &store->write;
    sql_lock(sql);
    int64_t newest = store->newest_delivery;
    bool ok =
        sql_begin(sql, err) &&
        sql_end(sql, make_rows(sql, rows, count, &newest, err) && move_cursor(sql, cursor, err),
                err);
    if (ok)
        store->newest_delivery = newest;
    sql_unlock(sql);
    return ok;
}

bool
store_delivery_cursor(struct store *store, int64_t *cursor_out, struct err *err)
{
    static const char text[] = "SELECT position FROM cursor";
    struct sql *sql = &store->read;
    sql_lock(sql);
    sqlite3_stmt *statement = sql_statement(sql, text, err);
    bool ok = statement != NULL && sql_number(sql, statement, cursor_out, err);
    sql_unlock(sql);
    return ok;
}

/* -- outcomes -------------------------------------------------------------------- */

static bool
write_attempt(struct sql *sql, int64_t n, const struct store_attempt *attempt, struct err *err)
{
    static const char insert[] = "INSERT OR REPLACE INTO attempts"
                                 " (delivery, number, at, duration_us, status, error, answer)"
                                 " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    static const char thin[] = "DELETE FROM attempts WHERE delivery = ?1 AND number <= ?2";
    sqlite3_stmt *inserting = sql_statement(sql, insert, err);
    sqlite3_stmt *thinning = inserting == NULL ? NULL : sql_statement(sql, thin, err);
    if (thinning == NULL)
        return false;
    sql_bind_int(inserting, 1, n);
    sql_bind_int(inserting, 2, attempt->number);
    sql_bind_int(inserting, 3, attempt->at);
    sql_bind_int(inserting, 4, attempt->duration_us);
    sql_bind_int(inserting, 5, attempt->status);
    sql_bind_str(inserting, 6, attempt->error);
    sql_bind_str(inserting, 7, attempt->answer);
    if (!sql_do(sql, inserting, err))
        return false;
    if (attempt->number <= STORE_ATTEMPTS_MAX)
        return true;
    sql_bind_int(thinning, 1, n);
    sql_bind_int(thinning, 2, attempt->number - STORE_ATTEMPTS_MAX);
    return sql_do(sql, thinning, err);
}

/* Only the first delivery of an alert counts as the time somebody was told. */
static bool
mark_notified(struct sql *sql, int64_t n, int64_t at, struct err *err)
{
    static const char text[] =
        "INSERT INTO triage (workspace_id, alert_id, status, at, notified_at)"
        " SELECT workspace_id, alert_id, 'open', 0, ?2 FROM deliveries"
        " WHERE n = ?1 AND alert_id <> '' AND event_type <> 'alert.resolved'"
        " ON CONFLICT DO UPDATE SET notified_at = ?2 WHERE notified_at = 0";
    sqlite3_stmt *statement = sql_statement(sql, text, err);
    if (statement == NULL)
        return false;
    sql_bind_int(statement, 1, n);
    sql_bind_int(statement, 2, at);
    return sql_do(sql, statement, err);
}

static bool
forget_row(struct sql *sql, int64_t n, struct err *err)
{
    static const char text[] = "DELETE FROM deliveries WHERE n = ?1";
    sqlite3_stmt *statement = sql_statement(sql, text, err);
    if (statement == NULL)
        return false;
    sql_bind_int(statement, 1, n);
    return sql_do(sql, statement, err);
}

static bool
write_outcome(struct sql *sql, const struct store_outcome *outcome, struct err *err)
{
    static const char find[] = "SELECT n FROM deliveries WHERE webhook_id = ?1 AND record_at = ?2"
                               " AND event_type = ?3";
    static const char update[] = "UPDATE deliveries SET status = ?2, attempts = ?3,"
                                 " next_attempt_at = ?4, updated_at = max(updated_at, ?5)"
                                 " WHERE n = ?1";
    const struct store_delivery *delivery = &outcome->delivery;
    sqlite3_stmt *finding = sql_statement(sql, find, err);
    sqlite3_stmt *updating = finding == NULL ? NULL : sql_statement(sql, update, err);
    int64_t n = 0;
    if (updating == NULL)
        return false;
    sql_bind_str(finding, 1, delivery->webhook_id);
    sql_bind_int(finding, 2, delivery->record_at);
    sql_bind_str(finding, 3, delivery->event_type);
    if (!sql_number(sql, finding, &n, err))
        return false;
    if (n == 0)
        return true; /* pruned meanwhile */
    if (outcome->forget)
        return forget_row(sql, n, err);
    sql_bind_int(updating, 1, n);
    sql_bind_str(updating, 2, store_delivery_status[delivery->status]);
    sql_bind_int(updating, 3, delivery->attempts);
    sql_bind_int(updating, 4, delivery->next_attempt_at);
    sql_bind_int(updating, 5, outcome->attempt.at + outcome->attempt.duration_us);
    if (!sql_do(sql, updating, err) || !write_attempt(sql, n, &outcome->attempt, err))
        return false;
    return delivery->status != DELIVERY_DELIVERED ||
           mark_notified(sql, n, outcome->attempt.at + outcome->attempt.duration_us, err);
}

static bool
write_outcomes(struct sql *sql, const struct store_outcome *outcomes, size_t count, struct err *err)
{
    for (size_t i = 0; i < count; i++)
        if (!write_outcome(sql, &outcomes[i], err))
            return false;
    return true;
}

bool
store_deliveries_update(struct store *store, const struct store_outcome *outcomes, size_t count,
                        struct err *err)
{
    struct sql *sql = &store->write;
    sql_lock(sql);
    bool ok = sql_begin(sql, err) && sql_end(sql, write_outcomes(sql, outcomes, count, err), err);
    sql_unlock(sql);
    return ok;
}

static bool
replay_row(struct sql *sql, struct str workspace_id, struct str id, int64_t now_us, struct err *err)
{
    static const char text[] =
        "UPDATE deliveries SET status = 'pending', attempts_before = attempts,"
        " next_attempt_at = ?3, updated_at = ?3 WHERE id = ?1 AND workspace_id = ?2";
    sqlite3_stmt *statement = sql_statement(sql, text, err);
    if (statement == NULL)
        return false;
    sql_bind_str(statement, 1, id);
    sql_bind_str(statement, 2, workspace_id);
    sql_bind_int(statement, 3, now_us);
    if (!sql_do(sql, statement, err))
        return false;
    if (sql_changes(sql) == 0)
        return err_set(err, ERR_NOT_FOUND, "there is no delivery %.*s", STR_ARG(id));
    return true;
}

bool
store_delivery_replay(struct store *store, struct str workspace_id, struct str id, int64_t now_us,
                      struct arena *arena, struct store_delivery *delivery_out, struct err *err)
{
    sql_lock(&store->write);
    bool ok = replay_row(&store->write, workspace_id, id, now_us, err);
    sql_unlock(&store->write);
    struct store_attempt *attempts;
    size_t count;
    return ok &&
           store_delivery(store, workspace_id, id, arena, delivery_out, &attempts, &count, err);
}

static bool
revive_some(struct sql *sql, const struct store_range *range, int64_t now_us, size_t most,
            struct err *err)
{
    static const char text[] =
        "UPDATE deliveries SET status = 'pending', attempts_before = attempts,"
        " next_attempt_at = ?5, updated_at = ?5 WHERE n IN (SELECT n FROM deliveries"
        " WHERE webhook_id = ?1 AND workspace_id = ?2 AND record_at BETWEEN ?3 AND ?4"
        " AND status = 'dead' ORDER BY record_at DESC LIMIT ?6)";
    sqlite3_stmt *statement = sql_statement(sql, text, err);
    if (statement == NULL)
        return false;
    sql_bind_str(statement, 1, range->webhook_id);
    sql_bind_str(statement, 2, range->workspace_id);
    sql_bind_int(statement, 3, range->from);
    sql_bind_int(statement, 4, range->to);
    sql_bind_int(statement, 5, now_us);
    sql_bind_int(statement, 6, (int64_t)most);
    return sql_do(sql, statement, err);
}

bool
store_deliveries_revive(struct store *store, const struct store_range *range, int64_t now_us,
                        size_t most, size_t *count_out, struct err *err)
{
    /* In small transactions, so that nobody else waits long. */
    struct sql *sql = &store->write;
    size_t count = 0;
    for (size_t some = REVIVE_ROWS; some == REVIVE_ROWS && count < most; count += some) {
        size_t left = most - count;
        sql_lock(sql);
        bool ok = revive_some(sql, range, now_us, left < REVIVE_ROWS ? left : REVIVE_ROWS, err);
        some = ok ? (size_t)sql_changes(sql) : 0;
        sql_unlock(sql);
        if (!ok)
            return false;
    }
    *count_out = count;
    return true;
}

/* -- pruning --------------------------------------------------------------------- */

/* Rows are made in the order of their created_at, so those behind the first that is an hour younger
 * need no look. */
#define HOUR_US "3600000000"
#define FIRST_YOUNG                                                                                \
    "coalesce((SELECT n FROM deliveries WHERE created_at >= ?1 + " HOUR_US                         \
    " ORDER BY n LIMIT 1), 9223372036854775807)"
#define OLDEST                                                                                     \
    "(SELECT n FROM deliveries WHERE status <> 'pending' AND updated_at < ?1"                      \
    " AND n < " FIRST_YOUNG " ORDER BY n LIMIT ?2)"

static bool
prune_some(struct sql *sql, int64_t before, struct err *err)
{
    static const char texts[][320] = {"DELETE FROM attempts WHERE delivery IN " OLDEST,
                                      "DELETE FROM deliveries WHERE n IN " OLDEST};
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        sqlite3_stmt *statement = sql_statement(sql, texts[i], err);
        if (statement == NULL)
            return false;
        sql_bind_int(statement, 1, before);
        sql_bind_int(statement, 2, PRUNE_ROWS);
        if (!sql_do(sql, statement, err))
            return false;
    }
    return true;
}

static bool
prune_notices(struct sql *sql, int64_t before, struct err *err)
{
    static const char text[] = "DELETE FROM notices WHERE at < ?1";
    sqlite3_stmt *statement = sql_statement(sql, text, err);
    if (statement == NULL)
        return false;
    sql_bind_int(statement, 1, before);
    return sql_do(sql, statement, err);
}

bool
store_deliveries_prune(struct store *store, int64_t before, struct err *err)
{
    /* In small transactions, so that nobody else waits long. */
    struct sql *sql = &store->write;
    for (int64_t pruned = PRUNE_ROWS; pruned == PRUNE_ROWS;) {
        sql_lock(sql);
        bool ok = sql_begin(sql, err) && sql_end(sql, prune_some(sql, before, err), err);
        pruned = sql_changes(sql);
        sql_unlock(sql);
        if (!ok)
            return false;
    }
    sql_lock(sql);
    bool ok = prune_notices(sql, before, err);
    sql_unlock(sql);
    return ok;
}
