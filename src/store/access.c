/* access - workspaces, and the keys that open them. */
#include "store/store_priv.h"

#include "codec/text.h"
#include "model/limits.h"

#include <string.h>

enum { ROLES_TEXT_SIZE = 64 };

static const struct {
    struct str name;
    unsigned bit;
} roles[] = {
    {STR_INIT("ingest"), ROLE_INGEST},
    {STR_INIT("read"), ROLE_READ},
    {STR_INIT("triage"), ROLE_TRIAGE},
    {STR_INIT("admin"), ROLE_ADMIN},
};

static struct str
write_roles(unsigned bits, char out[static ROLES_TEXT_SIZE])
{
    size_t len = 0;
    for (size_t i = 0; i < COUNT_OF(roles); i++) {
        if ((bits & roles[i].bit) == 0)
            continue;
        if (len > 0)
            out[len++] = ' ';
        memcpy(out + len, roles[i].name.ptr, roles[i].name.len);
        len += roles[i].name.len;
    }
    return (struct str){out, len};
}

static unsigned
read_roles(struct str text)
{
    unsigned bits = 0;
    while (text.ptr != NULL) {
        struct str name = str_split(&text, ' ');
        for (size_t i = 0; i < COUNT_OF(roles); i++)
            if (str_equal(name, roles[i].name))
                bits |= roles[i].bit;
    }
    return bits;
}

/* Whether one more fits; `statement` counts those there are. */
static bool
check_room(struct sql *sql, sqlite3_stmt *statement, int64_t most, const char *what,
           struct err *err)
{
    int64_t count = 0;
    if (!sql_number(sql, statement, &count, err))
        return false;
    if (count >= most)
        return err_set(err, ERR_LIMIT, "there are %lld %s already, the most there may be",
                       (long long)count, what);
    return true;
}

/* -- workspaces ------------------------------------------------------------------ */

static bool
insert_workspace(struct sql *sql, const struct store_workspace *workspace, struct err *err)
{
    static const char count[] = "SELECT count(*) FROM workspaces";
    static const char insert[] = "INSERT INTO workspaces VALUES (?1, ?2, ?3)";
    sqlite3_stmt *counting = sql_statement(sql, count, err);
    sqlite3_stmt *statement = counting == NULL ? NULL : sql_statement(sql, insert, err);
    if (statement == NULL || !check_room(sql, counting, LIMIT_WORKSPACES, "workspaces", err))
        return false;
    sql_bind_str(statement, 1, workspace->id);
    sql_bind_str(statement, 2, workspace->name);
    sql_bind_int(statement, 3, workspace->created_at);
    if (sql_do(sql, statement, err))
        return true;
    if (err->code == ERR_CONFLICT)
        err_set(err, ERR_CONFLICT, "a workspace named %.*s exists already",
                STR_ARG(workspace->name));
    return false;
}

static bool
read_workspaces(struct sql *sql, struct sql_list *list, struct err *err)
{
    static const char text[] = "SELECT id, name, created_at FROM workspaces"
                               " ORDER BY created_at, id";
    sqlite3_stmt *statement = sql_statement(sql, text, err);
    if (statement == NULL)
        return false;
    for (bool row = true;;) {
        if (!sql_step(sql, statement, &row, err))
            return false;
        if (!row)
            return sql_full(list->arena, err);
        struct store_workspace *workspace = sql_list_add(list);
        if (workspace == NULL)
            break;
        workspace->id = sql_copy(statement, 0, list->arena);
        workspace->name = sql_copy(statement, 1, list->arena);
        workspace->created_at = sql_int(statement, 2);
    }
    sql_done(statement);
    return sql_full(list->arena, err);
}

bool
store_workspaces(struct store *store, struct arena *arena, struct store_workspace **list_out,
                 size_t *count_out, struct err *err)
{
    struct sql_list list = {.arena = arena, .size = sizeof **list_out};
    sql_lock(&store->read);
    bool ok = read_workspaces(&store->read, &list, err);
    sql_unlock(&store->read);
    if (!ok)
        return false;
    *list_out = (struct store_workspace *)(void *)list.items;
    *count_out = list.count;
    return true;
}

/* -- keys ------------------------------------------------------------------------ */

static void
write_networks(struct buffer *out, const struct store_key *key)
{
    json_open(out, '[');
    for (size_t i = 0; i < key->network_count; i++) {
        char text[ADDRESS_TEXT_SIZE + 4];
        size_t len = network_format(&key->networks[i], text);
        json_str(out, (struct str){text, len});
    }
    json_close(out, ']');
}

static void
write_tenants(struct buffer *out, const struct store_key *key)
{
    json_open(out, '[');
    for (size_t i = 0; i < key->tenant_count; i++)
        json_str(out, key->tenants[i]);
    json_close(out, ']');
}

/* The texts of a key's row that are not in the key as such. */
struct key_texts {
    struct buffer networks, tenants;
    char hash[2 * SHA256_SIZE], roles[ROLES_TEXT_SIZE];
};

static bool
insert_key(struct sql *sql, const struct store_key *key, struct key_texts *texts, struct err *err)
{
    static const char count[] = "SELECT count(*) FROM keys WHERE workspace_id = ?1";
    static const char insert[] =
        "INSERT INTO keys (id, workspace_id, label, prefix, hash, roles, rate_per_minute,"
        " networks, tenants, expires_at, created_at) VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11)";
    sqlite3_stmt *counting = sql_statement(sql, count, err);
    sqlite3_stmt *statement = counting == NULL ? NULL : sql_statement(sql, insert, err);
    if (statement == NULL)
        return false;
    sql_bind_str(counting, 1, key->workspace_id);
    if (!check_room(sql, counting, LIMIT_KEYS, "keys", err))
        return false;
    sql_bind_str(statement, 1, key->id);
    sql_bind_str(statement, 2, key->workspace_id);
    sql_bind_str(statement, 3, key->label);
    sql_bind_str(statement, 4, key->prefix);
    sql_bind_str(statement, 5, (struct str){texts->hash, sizeof texts->hash});
    sql_bind_str(statement, 6, write_roles(key->roles, texts->roles));
    sql_bind_int(statement, 7, key->rate_per_minute);
    sql_bind_str(statement, 8, buffer_str(&texts->networks));
    sql_bind_str(statement, 9, buffer_str(&texts->tenants));
    sql_bind_int(statement, 10, key->expires_at);
    sql_bind_int(statement, 11, key->created_at);
    return sql_do(sql, statement, err);
}

static bool
put_key(struct sql *sql, const struct store_key *key, struct err *err)
{
    struct key_texts texts;
    buffer_init(&texts.networks, SIZE_MAX / 4);
    buffer_init(&texts.tenants, SIZE_MAX / 4);
    write_networks(&texts.networks, key);
    write_tenants(&texts.tenants, key);
    hex_encode(key->hash, SHA256_SIZE, texts.hash);
    bool ok = insert_key(sql, key, &texts, err);
    buffer_fini(&texts.networks);
    buffer_fini(&texts.tenants);
    return ok;
}

bool
store_key_add(struct store *store, const struct store_key *key, struct err *err)
{
    struct sql *sql = &store->write;
    sql_lock(sql);
    bool ok = sql_begin(sql, err) && sql_end(sql, put_key(sql, key, err), err);
    sql_unlock(sql);
    if (ok)
        store_changed(store);
    return ok;
}

bool
store_key_delete(struct store *store, struct str workspace_id, struct str id, struct err *err)
{
    static const char text[] = "DELETE FROM keys WHERE workspace_id = ?1 AND id = ?2";
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
        ok = err_set(err, ERR_NOT_FOUND, "there is no key %.*s", STR_ARG(id));
    sql_unlock(sql);
    if (ok)
        store_changed(store);
    return ok;
}

static bool
read_networks(const struct json *json, struct arena *arena, struct store_key *key)
{
    struct network *networks = arena_array(arena, json->count, struct network);
    if (json->type != JSON_ARRAY || networks == NULL)
        return false;
    for (uint32_t i = 0; i < json->count; i++)
        if (json->items[i].type != JSON_STRING || !network_parse(json->items[i].text, &networks[i]))
            return false;
    key->networks = networks;
    key->network_count = json->count;
    return true;
}

static bool
read_tenants(const struct json *json, struct arena *arena, struct store_key *key)
{
    struct str *tenants = arena_array(arena, json->count, struct str);
    if (json->type != JSON_ARRAY || tenants == NULL)
        return false;
    for (uint32_t i = 0; i < json->count; i++) {
        if (json->items[i].type != JSON_STRING)
            return false;
        tenants[i] = json->items[i].text;
    }
    key->tenants = tenants;
    key->tenant_count = json->count;
    return true;
}

static bool
read_key(struct sql *sql, sqlite3_stmt *statement, struct arena *arena, struct store_key *key,
         struct err *err)
{
    key->id = sql_copy(statement, 0, arena);
    key->workspace_id = sql_copy(statement, 1, arena);
    key->label = sql_copy(statement, 2, arena);
    key->prefix = sql_copy(statement, 3, arena);
    key->roles = read_roles(sql_str(statement, 5));
    key->rate_per_minute = sql_int(statement, 6);
    key->expires_at = sql_int(statement, 9);
    key->created_at = sql_int(statement, 10);
    struct json networks, tenants;
    if (!sql_json(sql, statement, 7, arena, &networks, err) ||
        !sql_json(sql, statement, 8, arena, &tenants, err))
        return false;
    /* A bound that cannot be read must not become no bound. */
    bool whole = hex_decode(sql_str(statement, 4), key->hash, SHA256_SIZE) &&
                 read_networks(&networks, arena, key) && read_tenants(&tenants, arena, key);
    if (!whole && !arena->ran_out)
        return err_set(err, ERR_CORRUPT, "store: %s: the row of key %.*s is damaged", sql->path,
                       STR_ARG(key->id));
    return sql_full(arena, err);
}

static bool
read_keys(struct sql *sql, struct str workspace_id, struct sql_list *list, struct err *err)
{
    static const char text[] =
        "SELECT id, workspace_id, label, prefix, hash, roles, rate_per_minute, networks, tenants,"
        " expires_at, created_at FROM keys WHERE ?1 IS NULL OR workspace_id = ?1"
        " ORDER BY created_at, id";
    sqlite3_stmt *statement = sql_statement(sql, text, err);
    if (statement == NULL)
        return false;
    sql_bind_str(statement, 1, workspace_id);
    for (bool row = true;;) {
        if (!sql_step(sql, statement, &row, err))
            return false;
        if (!row)
            return true;
        struct store_key *key = sql_list_add(list);
        if (key == NULL ? !sql_full(list->arena, err)
                        : !read_key(sql, statement, list->arena, key, err))
            break;
    }
    sql_done(statement);
    return false;
}

bool
store_keys(struct store *store, struct str workspace_id, struct arena *arena,
           struct store_key **list_out, size_t *count_out, struct err *err)
{
    struct sql_list list = {.arena = arena, .size = sizeof **list_out};
    sql_lock(&store->read);
    bool ok = read_keys(&store->read, workspace_id, &list, err);
    sql_unlock(&store->read);
    if (!ok)
        return false;
    *list_out = (struct store_key *)(void *)list.items;
    *count_out = list.count;
    return true;
}

/* -- a workspace with what it begins with ------------------------------------------ */

static bool
put_workspace(struct sql *sql, const struct store_workspace *workspace,
              const struct store_beginning *with, struct err *err)
{
    if (!insert_workspace(sql, workspace, err))
        return false;
    if (with == NULL)
        return true;
    for (size_t i = 0; i < with->rule_count; i++)
        if (!sql_put_rule(sql, &with->rules[i], err))
            return false;
    return put_key(sql, with->key, err) &&
           sql_put_setting(sql, workspace->id, with->setting, with->json, err);
}

bool
store_workspace_add(struct store *store, const struct store_workspace *workspace,
                    const struct store_beginning *with, struct err *err)
{
    struct sql *sql = &store->write;
    sql_lock(sql);
    bool ok = sql_begin(sql, err) && sql_end(sql, put_workspace(sql, workspace, with, err), err);
    sql_unlock(sql);
    if (ok)
        store_changed(store);
    return ok;
}
