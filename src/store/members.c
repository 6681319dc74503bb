/* members - the people of a workspace; and notices, what the server has to say to its admins. */
#include "store/store_priv.h"

#include "model/limits.h"

const struct str store_member_role[MEMBER_ROLES] = {
    [MEMBER_OWNER] = STR_INIT("owner"),
    [MEMBER_ADMIN] = STR_INIT("admin"),
    [MEMBER_ANALYST] = STR_INIT("analyst"),
    [MEMBER_VIEWER] = STR_INIT("viewer"),
};

bool
store_member_role_parse(struct str text, enum member_role *role_out)
{
    for (size_t i = 0; i < MEMBER_ROLES; i++) {
        if (str_equal(text, store_member_role[i])) {
            *role_out = (enum member_role)i;
            return true;
        }
    }
    return false;
}

static bool
check_room(struct sql *sql, struct str workspace_id, struct err *err)
{
    static const char text[] = "SELECT count(*) FROM members WHERE workspace_id = ?1";
    sqlite3_stmt *statement = sql_statement(sql, text, err);
    int64_t count = 0;
    if (statement == NULL)
        return false;
    sql_bind_str(statement, 1, workspace_id);
    if (!sql_number(sql, statement, &count, err))
        return false;
    if (count >= LIMIT_MEMBERS)
        return err_set(err, ERR_LIMIT, "a workspace holds at most %d members", LIMIT_MEMBERS);
    return true;
}

/* Both statements take the same values in the same places. */
static bool
write_member(struct sql *sql, const char *text, const struct store_member *member, struct err *err)
{
    sqlite3_stmt *statement = sql_statement(sql, text, err);
    if (statement == NULL)
        return false;
    sql_bind_str(statement, 1, member->id);
    sql_bind_str(statement, 2, member->workspace_id);
    sql_bind_str(statement, 3, member->email);
    sql_bind_str(statement, 4, member->name);
    sql_bind_str(statement, 5, store_member_role[member->role]);
    sql_bind_int(statement, 6, member->updated_at);
    if (sql_do(sql, statement, err))
        return true;
    if (err->code == ERR_CONFLICT)
        err_set(err, ERR_CONFLICT, "there is a member with the address %.*s already",
                STR_ARG(member->email));
    return false;
}

static bool
insert_member(struct sql *sql, const struct store_member *member, struct err *err)
{
    static const char text[] = "INSERT INTO members (id, workspace_id, email, name, role,"
                               " created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)";
    return check_room(sql, member->workspace_id, err) && write_member(sql, text, member, err);
}

static bool
missing(struct str id, struct err *err)
{
    return err_set(err, ERR_NOT_FOUND, "there is no member %.*s", STR_ARG(id));
}

static bool
update_member(struct sql *sql, const struct store_member *member, struct err *err)
{
    static const char text[] = "UPDATE members SET email = ?3, name = ?4, role = ?5,"
                               " updated_at = ?6 WHERE id = ?1 AND workspace_id = ?2";
    return write_member(sql, text, member, err) &&
           (sql_changes(sql) > 0 || missing(member->id, err));
}

static bool
change(struct store *store, bool (*how)(struct sql *, const struct store_member *, struct err *),
       const struct store_member *member, struct err *err)
{
    struct sql *sql = &store->write;
    sql_lock(sql);
    bool ok = sql_begin(sql, err) && sql_end(sql, how(sql, member, err), err);
    sql_unlock(sql);
    if (ok)
        store_changed(store);
    return ok;
}

bool
store_member_add(struct store *store, const struct store_member *member, struct err *err)
{
    return change(store, insert_member, member, err);
}

bool
store_member_update(struct store *store, const struct store_member *member, struct err *err)
{
    return change(store, update_member, member, err);
}

static bool
delete_member(struct sql *sql, const struct store_member *member, struct err *err)
{
    static const char text[] = "DELETE FROM members WHERE id = ?1 AND workspace_id = ?2";
    sqlite3_stmt *statement = sql_statement(sql, text, err);
    if (statement == NULL)
        return false;
    sql_bind_str(statement, 1, member->id);
    sql_bind_str(statement, 2, member->workspace_id);
    return sql_do(sql, statement, err) && (sql_changes(sql) > 0 || missing(member->id, err));
}

bool
store_member_delete(struct store *store, struct str workspace_id, struct str id, struct err *err)
{
    struct store_member member = {.workspace_id = workspace_id, .id = id};
    return change(store, delete_member, &member, err);
}

static bool
read_members(struct sql *sql, struct str workspace_id, struct sql_list *list, struct err *err)
{
    static const char text[] =
        "SELECT id, workspace_id, email, name, role, created_at, updated_at FROM members"
        " WHERE ?1 IS NULL OR workspace_id = ?1 ORDER BY workspace_id, created_at, id";
    sqlite3_stmt *statement = sql_statement(sql, text, err);
    if (statement == NULL)
        return false;
    sql_bind_str(statement, 1, workspace_id);
    for (bool row = true;;) {
        if (!sql_step(sql, statement, &row, err))
            return false;
        if (!row)
            return sql_full(list->arena, err);
        struct store_member *member = sql_list_add(list);
        if (member == NULL)
            break;
        *member = (struct store_member){
            .id = sql_copy(statement, 0, list->arena),
            .workspace_id = sql_copy(statement, 1, list->arena),
            .email = sql_copy(statement, 2, list->arena),
            .name = sql_copy(statement, 3, list->arena),
            .role = MEMBER_VIEWER, /* what a hand wrote into the file gives no more than that */
            .created_at = sql_int(statement, 5),
            .updated_at = sql_int(statement, 6),
        };
        (void)!store_member_role_parse(sql_str(statement, 4), &member->role);
    }
    sql_done(statement);
    return sql_full(list->arena, err);
}

bool
store_members(struct store *store, struct str workspace_id, struct arena *arena,
              struct store_member **list_out, size_t *count_out, struct err *err)
{
    struct sql_list list = {.arena = arena, .size = sizeof **list_out};
    sql_lock(&store->read);
    bool ok = read_members(&store->read, workspace_id, &list, err);
    sql_unlock(&store->read);
    if (!ok)
        return false;
    *list_out = (struct store_member *)(void *)list.items;
    *count_out = list.count;
    return true;
}

/* -- notices ---------------------------------------------------------------------- */

static bool
insert_notice(struct sql *sql, struct store_notice *notice, struct err *err)
{
    static const char free_at[] = "SELECT max(?1, coalesce(max(at) + 1, 0)) FROM notices";
    static const char insert[] = "INSERT INTO notices (at, workspace_id, subject, text)"
                                 " VALUES (?1, ?2, ?3, ?4)";
    sqlite3_stmt *asking = sql_statement(sql, free_at, err);
    sqlite3_stmt *statement = asking == NULL ? NULL : sql_statement(sql, insert, err);
    int64_t at = 0;
    if (statement == NULL)
        return false;
    sql_bind_int(asking, 1, notice->at);
    if (!sql_number(sql, asking, &at, err))
        return false;
    sql_bind_int(statement, 1, at);
    sql_bind_str(statement, 2, notice->workspace_id);
    sql_bind_str(statement, 3, notice->subject);
    sql_bind_str(statement, 4, notice->text);
    if (!sql_do(sql, statement, err))
        return false;
    notice->at = at;
    return true;
}

bool
store_notice_add(struct store *store, struct store_notice *notice, struct err *err)
{
    struct store_notice made = *notice;
    struct sql *sql = &store->write;
    sql_lock(sql);
    bool ok = sql_begin(sql, err) && sql_end(sql, insert_notice(sql, &made, err), err);
    sql_unlock(sql);
    if (ok)
        notice->at = made.at;
    return ok;
}

static bool
read_notice(struct sql *sql, int64_t at, struct arena *arena, struct store_notice *notice_out,
            struct err *err)
{
    static const char text[] = "SELECT workspace_id, subject, text FROM notices WHERE at = ?1";
    sqlite3_stmt *statement = sql_statement(sql, text, err);
    bool row = false;
    if (statement == NULL)
        return false;
    sql_bind_int(statement, 1, at);
    if (!sql_step(sql, statement, &row, err))
        return false;
    if (!row)
        return err_set(err, ERR_NOT_FOUND, "the notice is not kept any more");
    *notice_out = (struct store_notice){.workspace_id = sql_copy(statement, 0, arena),
                                        .subject = sql_copy(statement, 1, arena),
                                        .text = sql_copy(statement, 2, arena),
                                        .at = at};
    sql_done(statement);
    return sql_full(arena, err);
}

bool
store_notice(struct store *store, int64_t at, struct arena *arena, struct store_notice *notice_out,
             struct err *err)
{
    sql_lock(&store->read);
    bool ok = read_notice(&store->read, at, arena, notice_out, err);
    sql_unlock(&store->read);
    return ok;
}
