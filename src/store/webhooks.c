/* webhooks - who is called. A deleted one stays as a row with `until`, because alerts raised before
 * it went may still have to be delivered. */
#include "store/store_priv.h"

#include "model/limits.h"

#include <string.h>

/* How many others there are, and whether this one may be written: one that was deleted may not. */
static bool
check_webhook(struct sql *sql, const struct webhook *webhook, struct err *err)
{
    static const char text[] =
        "SELECT count(*) FILTER (WHERE id <> ?2 AND NOT deleted),"
        " count(*) FILTER (WHERE id = ?2 AND deleted) FROM webhooks WHERE workspace_id = ?1";
    sqlite3_stmt *statement = sql_statement(sql, text, err);
    bool row = false;
    if (statement == NULL)
        return false;
    sql_bind_str(statement, 1, webhook->workspace_id);
    sql_bind_str(statement, 2, webhook->id);
    if (!sql_step(sql, statement, &row, err))
        return false;
    int64_t others = sql_int(statement, 0), gone = sql_int(statement, 1);
    sql_done(statement);
    if (gone > 0)
        return err_set(err, ERR_NOT_FOUND, "there is no webhook %.*s", STR_ARG(webhook->id));
    if (others >= LIMIT_WEBHOOKS)
        return err_set(err, ERR_LIMIT, "a workspace holds at most %d webhooks", LIMIT_WEBHOOKS);
    return true;
}

/* What was known of its receiver is of another time, or of another receiver. */
#define ANEW "(?4 AND NOT enabled) OR url <> ?3"

static bool
write_row(struct sql *sql, const struct webhook *webhook, bool deleted, struct err *err)
{
    static const char text[] =
        "INSERT INTO webhooks (id, workspace_id, url, enabled, deleted, since, until, created_at,"
        " updated_at, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
        " ON CONFLICT (id) DO UPDATE SET url = ?3, enabled = ?4, deleted = ?5, since = ?6,"
        " until = ?7, created_at = ?8, updated_at = ?9, body = ?10,"
        " failing_since = CASE WHEN " ANEW " THEN 0 ELSE failing_since END,"
        " failed_at = CASE WHEN " ANEW " THEN 0 ELSE failed_at END WHERE workspace_id = ?2";
    sqlite3_stmt *statement = sql_statement(sql, text, err);
    if (statement == NULL)
        return false;
    struct buffer body;
    buffer_init(&body, SIZE_MAX / 4);
    webhook_write_stored(&body, webhook);
    sql_bind_str(statement, 1, webhook->id);
    sql_bind_str(statement, 2, webhook->workspace_id);
    sql_bind_str(statement, 3, webhook->url);
    sql_bind_int(statement, 4, webhook->enabled);
    sql_bind_int(statement, 5, deleted);
    sql_bind_int(statement, 6, webhook->since);
    sql_bind_int(statement, 7, webhook->until);
    sql_bind_int(statement, 8, webhook->created_at);
    sql_bind_int(statement, 9, webhook->updated_at);
    sql_bind_str(statement, 10, buffer_str(&body));
    bool ok = sql_do(sql, statement, err);
    buffer_fini(&body);
    return ok;
}

bool
store_webhook_put(struct store *store, const struct webhook *webhook, struct err *err)
{
    /* One that is switched on again is in force again. */
    struct webhook next = *webhook;
    if (next.enabled)
        next.until = 0;
    webhook = &next;
    struct sql *sql = &store->write;
    sql_lock(sql);
    bool ok =
        sql_begin(sql, err) &&
        sql_end(sql, check_webhook(sql, webhook, err) && write_row(sql, webhook, false, err), err);
    sql_unlock(sql);
    if (ok)
        store_changed(store);
    return ok;
}

/* -- reading --------------------------------------------------------------------- */

static bool
read_row(struct sql *sql, sqlite3_stmt *statement, struct arena *arena, struct webhook *webhook_out,
         struct err *err)
{
    struct json body;
    if (!sql_json(sql, statement, 0, arena, &body, err))
        return false;
    if (!webhook_read_stored(&body, webhook_out, err))
        return err_prefix(err, "store: %s: webhooks: %.*s", sql->path,
                          STR_ARG(sql_str(statement, 1)));
    webhook_out->failing_since = sql_int(statement, 2);
    webhook_out->failed_at = sql_int(statement, 3);
    return true;
}

static bool
read_rows(struct sql *sql, sqlite3_stmt *statement, struct sql_list *list, struct err *err)
{
    for (bool row = true;;) {
        if (!sql_step(sql, statement, &row, err))
            return false;
        if (!row)
            return true;
        struct webhook *webhook = sql_list_add(list);
        if (webhook == NULL ? !sql_full(list->arena, err)
                            : !read_row(sql, statement, list->arena, webhook, err))
            break;
    }
    sql_done(statement);
    return false;
}

bool
store_webhooks(struct store *store, struct str workspace_id, bool ended, struct arena *arena,
               struct webhook **list_out, size_t *count_out, struct err *err)
{
    static const char text[] = "SELECT body, id, failing_since, failed_at FROM webhooks WHERE (?1 "
                               "IS NULL OR workspace_id = ?1)"
                               " AND (?2 OR NOT deleted) ORDER BY created_at, id";
    struct sql_list list = {.arena = arena, .size = sizeof **list_out};
    struct sql *sql = &store->read;
    sql_lock(sql);
    sqlite3_stmt *statement = sql_statement(sql, text, err);
    bool ok = statement != NULL;
    if (ok) {
        sql_bind_str(statement, 1, workspace_id);
        sql_bind_int(statement, 2, ended);
        ok = read_rows(sql, statement, &list, err);
    }
    sql_unlock(sql);
    if (!ok)
        return false;
    *list_out = (struct webhook *)(void *)list.items;
    *count_out = list.count;
    return true;
}

/* -- changing what is there ------------------------------------------------------ */

/* The webhook as it stands, if it is not deleted. */
static bool
find_row(struct sql *sql, struct str workspace_id, struct str id, struct sql_list *list,
         struct err *err)
{
    static const char text[] = "SELECT body, id, failing_since, failed_at FROM webhooks"
                               " WHERE id = ?1 AND workspace_id = ?2 AND NOT deleted";
    sqlite3_stmt *statement = sql_statement(sql, text, err);
    if (statement == NULL)
        return false;
    sql_bind_str(statement, 1, id);
    sql_bind_str(statement, 2, workspace_id);
    if (!read_rows(sql, statement, list, err))
        return false;
    if (list->count == 0)
        return err_set(err, ERR_NOT_FOUND, "there is no webhook %.*s", STR_ARG(id));
    return true;
}

struct ending {
    struct str workspace_id, id, reason; /* absent: deleted */
    int64_t until, now_us;
};

static bool
end_row(struct sql *sql, const struct ending *ending, struct arena *arena, struct err *err)
{
    struct sql_list list = {.arena = arena, .size = sizeof(struct webhook)};
    if (!find_row(sql, ending->workspace_id, ending->id, &list, err))
        return false;
    struct webhook *webhook = (struct webhook *)(void *)list.items;
    must(webhook != NULL); /* it was found */
    /* One that was switched off before ended then, not now. */
    if (webhook->until == 0)
        webhook->until = ending->until;
    bool deleted = ending->reason.ptr == NULL;
    if (!deleted) {
        webhook->enabled = false;
        webhook->disabled_reason = ending->reason;
        webhook->updated_at = ending->now_us;
    }
    return write_row(sql, webhook, deleted, err);
}

static bool
end_webhook(struct store *store, const struct ending *ending, struct err *err)
{
    struct arena arena;
    arena_init(&arena, 16384, 16u * 1024 * 1024);
    struct sql *sql = &store->write;
    sql_lock(sql);
    bool ok = sql_begin(sql, err) && sql_end(sql, end_row(sql, ending, &arena, err), err);
    sql_unlock(sql);
    arena_fini(&arena);
    if (ok)
        store_changed(store);
    return ok;
}

bool
store_webhook_delete(struct store *store, struct str workspace_id, struct str id, int64_t until,
                     struct err *err)
{
    struct ending ending = {.workspace_id = workspace_id, .id = id, .until = until};
    return end_webhook(store, &ending, err);
}

bool
store_webhook_disable(struct store *store, const struct webhook *webhook, struct str reason,
                      int64_t until, int64_t now_us, struct err *err)
{
    must(reason.ptr != NULL);
    struct ending ending = {.workspace_id = webhook->workspace_id,
                            .id = webhook->id,
                            .reason = reason,
                            .until = until,
                            .now_us = now_us};
    return end_webhook(store, &ending, err);
}

/* -- how receivers do ------------------------------------------------------------ */

static bool
write_health(struct sql *sql, const struct store_health *list, size_t count, struct err *err)
{
    static const char text[] = "UPDATE webhooks SET failing_since = ?3, failed_at = ?4"
                               " WHERE id = ?1 AND workspace_id = ?2";
    sqlite3_stmt *statement = sql_statement(sql, text, err);
    if (statement == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        sql_bind_str(statement, 1, list[i].webhook_id);
        sql_bind_str(statement, 2, list[i].workspace_id);
        sql_bind_int(statement, 3, list[i].failing_since);
        sql_bind_int(statement, 4, list[i].failed_at);
        if (!sql_do(sql, statement, err))
            return false;
    }
    return true;
}

bool
store_webhooks_health(struct store *store, const struct store_health *list, size_t count,
                      struct err *err)
{
    struct sql *sql = &store->write;
    sql_lock(sql);
    bool ok = sql_begin(sql, err) && sql_end(sql, write_health(sql, list, count, err), err);
    sql_unlock(sql);
    return ok;
}
