/* delivery_reads - deliveries as they are asked for: those to be sent, lists for people, counts. */
#include "store/store_priv.h"

const struct str store_delivery_status[] = {
    [DELIVERY_PENDING] = STR_INIT("pending"),
    [DELIVERY_DELIVERED] = STR_INIT("delivered"),
    [DELIVERY_DEAD] = STR_INIT("dead"),
};

#define COLUMNS                                                                                    \
    " id, workspace_id, webhook_id, alert_id, event_type, record_at, status, attempts,"            \
    " attempts_before, next_attempt_at, created_at, updated_at, n "

static enum delivery_status
status_of(struct str name)
{
    for (size_t i = 0; i < COUNT_OF(store_delivery_status); i++)
        if (str_equal(name, store_delivery_status[i]))
            return (enum delivery_status)i;
    return DELIVERY_DEAD; /* a hand that edited the file; nothing is sent for it */
}

/* Texts are borrowed from the row. */
static struct store_delivery
row_delivery(sqlite3_stmt *row)
{
    return (struct store_delivery){
        .id = sql_str(row, 0),
        .workspace_id = sql_str(row, 1),
        .webhook_id = sql_str(row, 2),
        .alert_id = sql_str(row, 3),
        .event_type = sql_str(row, 4),
        .record_at = sql_int(row, 5),
        .status = status_of(sql_str(row, 6)),
        .attempts = sql_int(row, 7),
        .attempts_before = sql_int(row, 8),
        .next_attempt_at = sql_int(row, 9),
        .created_at = sql_int(row, 10),
        .updated_at = sql_int(row, 11),
    };
}

static void
copy_delivery(sqlite3_stmt *row, struct arena *arena, struct store_delivery *delivery_out)
{
    *delivery_out = row_delivery(row);
    delivery_out->id = sql_copy(row, 0, arena);
    delivery_out->workspace_id = sql_copy(row, 1, arena);
    delivery_out->webhook_id = sql_copy(row, 2, arena);
    delivery_out->alert_id = sql_copy(row, 3, arena);
    delivery_out->event_type = sql_copy(row, 4, arena);
}

static bool
each_row(struct sql *sql, sqlite3_stmt *statement,
         void (*fn)(void *self, const struct store_delivery *delivery), void *self, struct err *err)
{
    for (bool row = true;;) {
        if (!sql_step(sql, statement, &row, err))
            return false;
        if (!row)
            return true;
        struct store_delivery delivery = row_delivery(statement);
        fn(self, &delivery);
    }
}

static bool
read_pending(struct sql *sql, void (*fn)(void *self, const struct store_delivery *delivery),
             void *self, struct err *err)
{
    static const char text[] = "SELECT" COLUMNS "FROM deliveries WHERE status = 'pending'"
                               " ORDER BY record_at";
    sqlite3_stmt *statement = sql_statement(sql, text, err);
    return statement != NULL && each_row(sql, statement, fn, self, err);
}

bool
store_deliveries_pending(struct store *store,
                         void (*fn)(void *self, const struct store_delivery *delivery), void *self,
                         struct err *err)
{
    sql_lock(&store->read);
    bool ok = read_pending(&store->read, fn, self, err);
    sql_unlock(&store->read);
    return ok;
}

static bool
read_pending_of(struct sql *sql, const struct store_range *range,
                void (*fn)(void *self, const struct store_delivery *delivery), void *self,
                struct err *err)
{
    static const char text[] = "SELECT" COLUMNS "FROM deliveries WHERE webhook_id = ?1"
                               " AND workspace_id = ?2 AND record_at BETWEEN ?3 AND ?4"
                               " AND status = 'pending' ORDER BY record_at";
    sqlite3_stmt *statement = sql_statement(sql, text, err);
    if (statement == NULL)
        return false;
    sql_bind_str(statement, 1, range->webhook_id);
    sql_bind_str(statement, 2, range->workspace_id);
    sql_bind_int(statement, 3, range->from);
    sql_bind_int(statement, 4, range->to);
    return each_row(sql, statement, fn, self, err);
}

bool
store_deliveries_pending_of(struct store *store, const struct store_range *range,
                            void (*fn)(void *self, const struct store_delivery *delivery),
                            void *self, struct err *err)
{
    sql_lock(&store->read);
    bool ok = read_pending_of(&store->read, range, fn, self, err);
    sql_unlock(&store->read);
    return ok;
}

/* Each with the index that fits; what it has no column for is checked row by row. */
#define WHERE_ALL "workspace_id = ?1 AND created_at < ?2"
#define IF_GIVEN  " AND (?3 IS NULL OR webhook_id = ?3) AND (?4 IS NULL OR status = ?4)"
#define NEWEST    " ORDER BY created_at DESC LIMIT ?5"
static const char list_all[] = "SELECT" COLUMNS "FROM deliveries INDEXED BY deliveries_of"
                               " WHERE " WHERE_ALL IF_GIVEN " AND ?6 IS NULL" NEWEST;
static const char list_by_status[] =
    "SELECT" COLUMNS "FROM deliveries INDEXED BY deliveries_by_status"
    " WHERE " WHERE_ALL " AND status = ?4 AND ?3 IS NULL AND ?6 IS NULL" NEWEST;
static const char list_by_webhook[] =
    "SELECT" COLUMNS "FROM deliveries INDEXED BY deliveries_by_webhook"
    " WHERE " WHERE_ALL
    " AND webhook_id = ?3 AND (?4 IS NULL OR status = ?4) AND ?6 IS NULL" NEWEST;
static const char list_by_alert[] =
    "SELECT" COLUMNS "FROM deliveries INDEXED BY deliveries_by_alert"
    " WHERE " WHERE_ALL IF_GIVEN " AND alert_id = ?6" NEWEST;

static const char *
list_text(const struct store_delivery_filter *filter)
{
    if (filter->alert_id.ptr != NULL)
        return list_by_alert;
    if (filter->webhook_id.ptr != NULL)
        return list_by_webhook;
    return filter->has_status ? list_by_status : list_all;
}

static bool
read_list(struct sql *sql, struct str workspace_id, const struct store_delivery_filter *filter,
          struct sql_list *list, struct err *err)
{
    sqlite3_stmt *statement = sql_statement(sql, list_text(filter), err);
    if (statement == NULL)
        return false;
    sql_bind_str(statement, 1, workspace_id);
    sql_bind_int(statement, 2, filter->cursor == 0 ? INT64_MAX : filter->cursor);
    sql_bind_str(statement, 3, filter->webhook_id);
    sql_bind_str(statement, 4,
                 filter->has_status ? store_delivery_status[filter->status] : (struct str){0});
    sql_bind_int(statement, 5, (int64_t)filter->limit);
    sql_bind_str(statement, 6, filter->alert_id);
    for (bool row = true;;) {
        if (!sql_step(sql, statement, &row, err))
            return false;
        if (!row)
            return sql_full(list->arena, err);
        struct store_delivery *delivery = sql_list_add(list);
        if (delivery == NULL)
            break;
        copy_delivery(statement, list->arena, delivery);
    }
    sql_done(statement);
    return sql_full(list->arena, err);
}

bool
store_deliveries(struct store *store, struct str workspace_id,
                 const struct store_delivery_filter *filter, struct arena *arena,
                 struct store_delivery **list_out, size_t *count_out, struct err *err)
{
    struct sql_list list = {.arena = arena, .size = sizeof **list_out};
    sql_lock(&store->read);
    bool ok = read_list(&store->read, workspace_id, filter, &list, err);
    sql_unlock(&store->read);
    if (!ok)
        return false;
    *list_out = (struct store_delivery *)(void *)list.items;
    *count_out = list.count;
    return true;
}

static bool
read_attempts(struct sql *sql, int64_t n, struct sql_list *list, struct err *err)
{
    static const char text[] = "SELECT number, at, duration_us, status, error, answer"
                               " FROM attempts WHERE delivery = ?1 ORDER BY number";
    sqlite3_stmt *statement = sql_statement(sql, text, err);
    if (statement == NULL)
        return false;
    sql_bind_int(statement, 1, n);
    for (bool row = true;;) {
        if (!sql_step(sql, statement, &row, err))
            return false;
        if (!row)
            return sql_full(list->arena, err);
        struct store_attempt *attempt = sql_list_add(list);
        if (attempt == NULL)
            break;
        *attempt = (struct store_attempt){
            .number = sql_int(statement, 0),
            .at = sql_int(statement, 1),
            .duration_us = sql_int(statement, 2),
            .status = sql_int(statement, 3),
            .error = sql_copy(statement, 4, list->arena),
            .answer = sql_copy(statement, 5, list->arena),
        };
    }
    sql_done(statement);
    return sql_full(list->arena, err);
}

static bool
read_delivery(struct sql *sql, struct str workspace_id, struct str id,
              struct store_delivery *delivery_out, struct sql_list *attempts, struct err *err)
{
    static const char text[] = "SELECT" COLUMNS "FROM deliveries"
                               " WHERE id = ?1 AND workspace_id = ?2";
    sqlite3_stmt *statement = sql_statement(sql, text, err);
    bool row = false;
    if (statement == NULL)
        return false;
    sql_bind_str(statement, 1, id);
    sql_bind_str(statement, 2, workspace_id);
    if (!sql_step(sql, statement, &row, err))
        return false;
    if (!row)
        return err_set(err, ERR_NOT_FOUND, "there is no delivery %.*s", STR_ARG(id));
    copy_delivery(statement, attempts->arena, delivery_out);
    int64_t n = sql_int(statement, 12);
    sql_done(statement);
    return read_attempts(sql, n, attempts, err);
}

bool
store_delivery(struct store *store, struct str workspace_id, struct str id, struct arena *arena,
               struct store_delivery *delivery_out, struct store_attempt **attempts_out,
               size_t *attempt_count_out, struct err *err)
{
    struct store_delivery delivery;
    struct sql_list attempts = {.arena = arena, .size = sizeof **attempts_out};
    struct sql *sql = &store->read;
    sql_lock(sql);
    bool ok = sql_begin_read(sql, err) &&
              sql_end(sql, read_delivery(sql, workspace_id, id, &delivery, &attempts, err), err);
    sql_unlock(sql);
    if (!ok)
        return false;
    *delivery_out = delivery;
    *attempts_out = (struct store_attempt *)(void *)attempts.items;
    *attempt_count_out = attempts.count;
    return true;
}

static bool
read_counts(struct sql *sql, struct store_delivery_counts *counts, struct err *err)
{
    static const char text[] = "SELECT status, count(*), min(created_at) FROM deliveries"
                               " GROUP BY status";
    sqlite3_stmt *statement = sql_statement(sql, text, err);
    if (statement == NULL)
        return false;
    for (bool row = true;;) {
        if (!sql_step(sql, statement, &row, err))
            return false;
        if (!row)
            return true;
        int64_t *const into[] = {[DELIVERY_PENDING] = &counts->pending,
                                 [DELIVERY_DELIVERED] = &counts->delivered,
                                 [DELIVERY_DEAD] = &counts->dead};
        enum delivery_status status = status_of(sql_str(statement, 0));
        *into[status] += sql_int(statement, 1);
        if (status == DELIVERY_PENDING)
            counts->oldest_pending_at = sql_int(statement, 2);
    }
}

bool
store_delivery_counts(struct store *store, struct store_delivery_counts *counts_out,
                      struct err *err)
{
    struct store_delivery_counts counts = {0};
    sql_lock(&store->read);
    bool ok = read_counts(&store->read, &counts, err);
    sql_unlock(&store->read);
    if (ok)
        *counts_out = counts;
    return ok;
}
