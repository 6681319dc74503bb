/* rules - what somebody asked to be told about, as last asked for. (What is in force stands in the
 * log.) */
#include "store/store_priv.h"

#include "model/limits.h"

#include <string.h>

/* What of the rule stands there already decides what its new versions are. */
struct before {
    bool found;
    int64_t version, fold_version;
    bool same_fold;
};

static bool
look_before(struct sql *sql, const struct rule *rule, struct before *before_out, struct err *err)
{
    static const char text[] = "SELECT version, fold_version, rule_type, conditions, enabled"
                               " FROM rules WHERE id = ?1 AND workspace_id = ?2";
    sqlite3_stmt *statement = sql_statement(sql, text, err);
    if (statement == NULL)
        return false;
    sql_bind_str(statement, 1, rule->id);
    sql_bind_str(statement, 2, rule->workspace_id);
    *before_out = (struct before){0};
    if (!sql_step(sql, statement, &before_out->found, err))
        return false;
    if (!before_out->found)
        return true;
    before_out->version = sql_int(statement, 0);
    before_out->fold_version = sql_int(statement, 1);
    before_out->same_fold = str_equal(sql_str(statement, 2), rule->rule_type) &&
                            str_equal(sql_str(statement, 3), rule->conditions) &&
                            (sql_int(statement, 4) != 0) == rule->enabled;
    sql_done(statement);
    return true;
}

static bool
check_room(struct sql *sql, const struct rule *rule, struct err *err)
{
    static const char text[] = "SELECT count(*) FROM rules WHERE workspace_id = ?1";
    sqlite3_stmt *statement = sql_statement(sql, text, err);
    int64_t count = 0;
    if (statement == NULL)
        return false;
    sql_bind_str(statement, 1, rule->workspace_id);
    if (!sql_number(sql, statement, &count, err))
        return false;
    if (count >= LIMIT_RULES)
        return err_set(err, ERR_LIMIT, "a workspace holds at most %d rules", LIMIT_RULES);
    return true;
}

static bool
write_row(struct sql *sql, const struct rule *rule, struct str body, struct err *err)
{
    static const char text[] =
        "INSERT INTO rules (id, workspace_id, name, rule_type, conditions, enabled, version,"
        " fold_version, created_at, updated_at, body) VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11)"
        " ON CONFLICT (id) DO UPDATE SET name = ?3, rule_type = ?4, conditions = ?5, enabled = ?6,"
        " version = ?7, fold_version = ?8, created_at = ?9, updated_at = ?10, body = ?11"
        " WHERE workspace_id = ?2";
    sqlite3_stmt *statement = sql_statement(sql, text, err);
    if (statement == NULL)
        return false;
    sql_bind_str(statement, 1, rule->id);
    sql_bind_str(statement, 2, rule->workspace_id);
    sql_bind_str(statement, 3, rule->name);
    sql_bind_str(statement, 4, rule->rule_type);
    sql_bind_str(statement, 5, rule->conditions);
    sql_bind_int(statement, 6, rule->enabled);
    sql_bind_int(statement, 7, rule->version);
    sql_bind_int(statement, 8, rule->fold_version);
    sql_bind_int(statement, 9, rule->created_at);
    sql_bind_int(statement, 10, rule->updated_at);
    sql_bind_str(statement, 11, body);
    return sql_do(sql, statement, err);
}

bool
sql_put_rule(struct sql *sql, struct rule *rule, struct err *err)
{
    struct before before;
    if (!look_before(sql, rule, &before, err))
        return false;
    if (!before.found && !check_room(sql, rule, err))
        return false;
    rule->version = before.version + 1;
    rule->fold_version = before.fold_version + !before.same_fold;

    struct buffer body;
    buffer_init(&body, SIZE_MAX / 4);
    rule_write(&body, rule, rule->enabled ? RULE_LEARNING : RULE_DISABLED, true);
    bool ok = write_row(sql, rule, buffer_str(&body), err);
    buffer_fini(&body);
    return ok;
}

bool
store_rule_put(struct store *store, struct rule *rule, struct err *err)
{
    struct rule next = *rule;
    struct sql *sql = &store->write;
    sql_lock(sql);
    bool ok = sql_begin(sql, err) && sql_end(sql, sql_put_rule(sql, &next, err), err);
    sql_unlock(sql);
    if (ok)
        *rule = next;
    return ok;
}

bool
store_rule_delete(struct store *store, struct str workspace_id, struct str id, struct err *err)
{
    static const char text[] = "DELETE FROM rules WHERE workspace_id = ?1 AND id = ?2";
    struct sql *sql = &store->write;
    sql_lock(sql);
    sqlite3_stmt *statement = sql_statement(sql, text, err);
    bool ok = statement != NULL;
    if (ok) {
        sql_bind_str(statement, 1, workspace_id);
        sql_bind_str(statement, 2, id);
        ok = sql_do(sql, statement, err);
    }
    if (ok && sql_changes(sql) == 0)
        ok = err_set(err, ERR_NOT_FOUND, "there is no rule %.*s", STR_ARG(id));
    sql_unlock(sql);
    return ok;
}

/* -- reading --------------------------------------------------------------------- */

static bool
read_row(struct sql *sql, sqlite3_stmt *statement, struct arena *arena, struct rule *rule_out,
         struct err *err)
{
    struct json body;
    if (!sql_json(sql, statement, 0, arena, &body, err))
        return false;
    if (!rule_read(&body, arena, rule_out, err))
        return err_prefix(err, "store: %s: rules: %.*s", sql->path, STR_ARG(sql_str(statement, 1)));
    return sql_full(arena, err);
}

/* Those of `statement`, which is bound. */
static bool
read_rows(struct sql *sql, sqlite3_stmt *statement, struct sql_list *list, struct err *err)
{
    for (bool row = true;;) {
        if (!sql_step(sql, statement, &row, err))
            return false;
        if (!row)
            return true;
        struct rule *rule = sql_list_add(list);
        if (rule == NULL ? !sql_full(list->arena, err)
                         : !read_row(sql, statement, list->arena, rule, err))
            break;
    }
    sql_done(statement);
    return false;
}

bool
store_rules(struct store *store, struct str workspace_id, struct arena *arena,
            struct rule **list_out, size_t *count_out, struct err *err)
{
    static const char text[] = "SELECT body, id FROM rules WHERE ?1 IS NULL OR workspace_id = ?1"
                               " ORDER BY created_at, id";
    struct sql_list list = {.arena = arena, .size = sizeof **list_out};
    struct sql *sql = &store->read;
    sql_lock(sql);
    sqlite3_stmt *statement = sql_statement(sql, text, err);
    bool ok = statement != NULL;
    if (ok) {
        sql_bind_str(statement, 1, workspace_id);
        ok = read_rows(sql, statement, &list, err);
    }
    sql_unlock(sql);
    if (!ok)
        return false;
    *list_out = (struct rule *)(void *)list.items;
    *count_out = list.count;
    return true;
}

bool
store_rule(struct store *store, struct str workspace_id, struct str id, struct arena *arena,
           struct rule *rule_out, struct err *err)
{
    static const char text[] = "SELECT body, id FROM rules WHERE id = ?1 AND workspace_id = ?2";
    struct sql_list list = {.arena = arena, .size = sizeof *rule_out};
    struct sql *sql = &store->read;
    sql_lock(sql);
    sqlite3_stmt *statement = sql_statement(sql, text, err);
    bool ok = statement != NULL;
    if (ok) {
        sql_bind_str(statement, 1, id);
        sql_bind_str(statement, 2, workspace_id);
        ok = read_rows(sql, statement, &list, err);
    }
    sql_unlock(sql);
    if (!ok)
        return false;
    if (list.count == 0)
        return err_set(err, ERR_NOT_FOUND, "there is no rule %.*s", STR_ARG(id));
    *rule_out = *(struct rule *)(void *)list.items;
    return true;
}
