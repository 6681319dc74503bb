/* Members come back as they were put, one address once in a workspace; and notices. */
#include "support/store_bench.h"

#include "model/limits.h"
#include "tap.h"

#include <sqlite3.h>
#include <unistd.h>

static struct store_member
member_like(const char *id, const char *email)
{
    return (struct store_member){.workspace_id = STR("ws_a"),
                                 .id = str_from(id),
                                 .email = str_from(email),
                                 .role = MEMBER_ADMIN,
                                 .created_at = 5,
                                 .updated_at = 5};
}

static size_t
list(struct bench *bench, struct str workspace_id, struct store_member **list_out)
{
    size_t count = 0;
    CHECK(store_members(bench->store, workspace_id, &bench->arena, list_out, &count, &bench->err));
    return count;
}

static void
test_a_member_comes_back_as_it_was_put(void)
{
    struct bench bench = bench_new();
    struct store_member *members = NULL;
    uint64_t before = store_generation(bench.store);
    struct store_member ana = member_like("mem_1", "Ana@Example.com");
    ana.name = STR("Ana Ma\xc3\xb1"
                   "ana");
    ana.role = MEMBER_OWNER;
    CHECK(store_member_add(bench.store, &ana, &bench.err));
    CHECK(store_generation(bench.store) > before); /* who keeps a snapshot will look again */
    ana.role = MEMBER_VIEWER;
    ana.updated_at = 9;
    CHECK(store_member_update(bench.store, &ana, &bench.err));
    store_close(bench.store);
    must(store_open(bench.folder, &bench.store, &bench.err));
    if (CHECK_INT((intmax_t)list(&bench, STR("ws_a"), &members), 1)) {
        CHECK_STR(members[0].id, STR("mem_1"));
        CHECK_STR(members[0].workspace_id, STR("ws_a"));
        CHECK_STR(members[0].email, STR("Ana@Example.com"));
        CHECK_STR(members[0].name, ana.name);
        CHECK_INT(members[0].role, MEMBER_VIEWER);
        CHECK_INT(members[0].created_at, 5);
        CHECK_INT(members[0].updated_at, 9);
    }
    CHECK(store_member_delete(bench.store, STR("ws_a"), STR("mem_1"), &bench.err));
    CHECK_INT((intmax_t)list(&bench, (struct str){0}, &members), 0);
    bench_free(&bench);
}

static void
test_an_address_is_there_once_in_a_workspace_whatever_its_case(void)
{
    struct bench bench = bench_new();
    struct store_member *members = NULL;
    struct store_member ana = member_like("mem_1", "ana@example.com");
    struct store_member same = member_like("mem_2", "ANA@example.COM");
    struct store_member ben = member_like("mem_3", "ben@example.com");
    CHECK(store_member_add(bench.store, &ana, &bench.err));
    CHECK(!store_member_add(bench.store, &same, &bench.err));
    CHECK_INT(bench.err.code, ERR_CONFLICT);
    CHECK(strstr(bench.err.text, "ANA@example.COM") != NULL);
    CHECK(store_member_add(bench.store, &ben, &bench.err));
    ben.email = STR("Ana@Example.com");
    CHECK(!store_member_update(bench.store, &ben, &bench.err));
    CHECK_INT(bench.err.code, ERR_CONFLICT);
    same.workspace_id = STR("ws_b");
    CHECK(store_member_add(bench.store, &same, &bench.err));
    ana.email = STR("ANA@EXAMPLE.COM"); /* its own, written otherwise */
    CHECK(store_member_update(bench.store, &ana, &bench.err));
    CHECK_INT((intmax_t)list(&bench, (struct str){0}, &members), 3);
    CHECK_INT((intmax_t)list(&bench, STR("ws_b"), &members), 1);
    bench_free(&bench);
}

static void
test_only_its_workspace_can_change_or_delete_a_member(void)
{
    struct bench bench = bench_new();
    struct store_member ana = member_like("mem_1", "ana@example.com");
    CHECK(store_member_add(bench.store, &ana, &bench.err));
    ana.workspace_id = STR("ws_b");
    CHECK(!store_member_update(bench.store, &ana, &bench.err));
    CHECK_INT(bench.err.code, ERR_NOT_FOUND);
    CHECK(!store_member_delete(bench.store, STR("ws_b"), STR("mem_1"), &bench.err));
    CHECK_INT(bench.err.code, ERR_NOT_FOUND);
    CHECK(store_member_delete(bench.store, STR("ws_a"), STR("mem_1"), &bench.err));
    CHECK(!store_member_delete(bench.store, STR("ws_a"), STR("mem_1"), &bench.err));
    bench_free(&bench);
}

static void
test_a_workspace_holds_no_more_members_than_the_limit(void)
{
    struct bench bench = bench_new();
    char id[32], email[64];
    bool ok = true;
    for (int i = 0; i < LIMIT_MEMBERS && ok; i++) {
        snprintf(id, sizeof id, "mem_%d", i);
        snprintf(email, sizeof email, "m%d@example.com", i);
        struct store_member member = member_like(id, email);
        ok = store_member_add(bench.store, &member, &bench.err);
    }
    CHECK(ok);
    struct store_member one_more = member_like("mem_x", "x@example.com");
    CHECK(!store_member_add(bench.store, &one_more, &bench.err));
    CHECK_INT(bench.err.code, ERR_LIMIT);
    one_more.workspace_id = STR("ws_b");
    CHECK(store_member_add(bench.store, &one_more, &bench.err));
    bench_free(&bench);
}

static void
test_notices_never_share_their_moment_and_go_with_time(void)
{
    struct bench bench = bench_new();
    struct store_notice first = {.workspace_id = STR("ws_a"),
                                 .subject = STR("A webhook is switched off"),
                                 .text = STR("It failed.\nFor five days."),
                                 .at = 1000};
    struct store_notice second = first, found = {0};
    CHECK(store_notice_add(bench.store, &first, &bench.err));
    CHECK(store_notice_add(bench.store, &second, &bench.err));
    CHECK_INT(first.at, 1000);
    CHECK_INT(second.at, 1001);
    CHECK(store_notice(bench.store, 1001, &bench.arena, &found, &bench.err));
    CHECK_STR(found.workspace_id, first.workspace_id);
    CHECK_STR(found.subject, first.subject);
    CHECK_STR(found.text, first.text);
    CHECK_INT(found.at, 1001);
    CHECK(store_deliveries_prune(bench.store, 1001, &bench.err));
    CHECK(!store_notice(bench.store, 1000, &bench.arena, &found, &bench.err));
    CHECK_INT(bench.err.code, ERR_NOT_FOUND);
    CHECK(store_notice(bench.store, 1001, &bench.arena, &found, &bench.err));
    bench_free(&bench);
}

/* As version 2 made it; every version since has to know its way from there. */
static const char version_2[] =
    "CREATE TABLE workspaces (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
    " created_at INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE keys (id TEXT PRIMARY KEY, workspace_id TEXT NOT NULL, label TEXT, prefix TEXT,"
    " hash TEXT NOT NULL UNIQUE, roles TEXT NOT NULL, rate_per_minute INTEGER NOT NULL,"
    " networks TEXT NOT NULL, tenants TEXT NOT NULL, expires_at INTEGER NOT NULL,"
    " created_at INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE rules (id TEXT PRIMARY KEY, workspace_id TEXT NOT NULL, name TEXT NOT NULL,"
    " rule_type TEXT NOT NULL, conditions TEXT NOT NULL, enabled INTEGER NOT NULL,"
    " version INTEGER NOT NULL, fold_version INTEGER NOT NULL, created_at INTEGER NOT NULL,"
    " updated_at INTEGER NOT NULL, body TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE webhooks (id TEXT PRIMARY KEY, workspace_id TEXT NOT NULL, url TEXT NOT NULL,"
    " enabled INTEGER NOT NULL, deleted INTEGER NOT NULL, since INTEGER NOT NULL,"
    " until INTEGER NOT NULL, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,"
    " body TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE settings (workspace_id TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL,"
    " PRIMARY KEY (workspace_id, name)) WITHOUT ROWID;"
    "CREATE TABLE triage (workspace_id TEXT NOT NULL, alert_id TEXT NOT NULL, status TEXT NOT NULL,"
    " note TEXT, by TEXT, at INTEGER NOT NULL, notified_at INTEGER NOT NULL,"
    " PRIMARY KEY (workspace_id, alert_id)) WITHOUT ROWID;"
    "CREATE TABLE deliveries (n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,"
    " workspace_id TEXT NOT NULL, webhook_id TEXT NOT NULL, alert_id TEXT NOT NULL,"
    " event_type TEXT NOT NULL, record_at INTEGER NOT NULL, status TEXT NOT NULL,"
    " attempts INTEGER NOT NULL, attempts_before INTEGER NOT NULL,"
    " next_attempt_at INTEGER NOT NULL, created_at INTEGER NOT NULL,"
    " updated_at INTEGER NOT NULL, UNIQUE (webhook_id, record_at, event_type));"
    "CREATE INDEX deliveries_of ON deliveries (workspace_id, created_at);"
    "CREATE INDEX deliveries_by_status ON deliveries (status, workspace_id, created_at);"
    "CREATE INDEX deliveries_by_webhook ON deliveries (webhook_id, created_at);"
    "CREATE INDEX deliveries_by_alert ON deliveries (alert_id);"
    "CREATE TABLE attempts (delivery INTEGER NOT NULL, number INTEGER NOT NULL,"
    " at INTEGER NOT NULL, duration_us INTEGER NOT NULL, status INTEGER NOT NULL, error TEXT,"
    " answer TEXT, PRIMARY KEY (delivery, number)) WITHOUT ROWID;"
    "CREATE TABLE cursor (one INTEGER PRIMARY KEY CHECK (one = 1), position INTEGER NOT NULL);"
    "INSERT INTO cursor VALUES (1, 77);"
    "INSERT INTO workspaces VALUES ('ws_a', 'default', 5);"
    "PRAGMA user_version = 2; PRAGMA application_id = 1414480723;";

static void
test_a_file_from_before_members_is_brought_up(void)
{
    struct bench bench = bench_new();
    store_close(bench.store);
    char path[128];
    sqlite3 *db = NULL;
    snprintf(path, sizeof path, "%s/tocsin.db", bench.folder);
    unlink(path);
    must(sqlite3_open(path, &db) == SQLITE_OK);
    must(sqlite3_exec(db, version_2, NULL, NULL, NULL) == SQLITE_OK);
    must(sqlite3_close(db) == SQLITE_OK);
    must(store_open(bench.folder, &bench.store, &bench.err));
    struct store_workspace *workspaces = NULL;
    size_t count = 0;
    int64_t cursor = 0;
    CHECK(store_workspaces(bench.store, &bench.arena, &workspaces, &count, &bench.err));
    CHECK_INT((intmax_t)count, 1);
    CHECK(store_delivery_cursor(bench.store, &cursor, &bench.err));
    CHECK_INT(cursor, 77);
    struct store_member ana = member_like("mem_1", "ana@example.com");
    CHECK(store_member_add(bench.store, &ana, &bench.err));
    bench_free(&bench);
}

int
main(void)
{
    RUN(test_a_member_comes_back_as_it_was_put);
    RUN(test_an_address_is_there_once_in_a_workspace_whatever_its_case);
    RUN(test_only_its_workspace_can_change_or_delete_a_member);
    RUN(test_a_workspace_holds_no_more_members_than_the_limit);
    RUN(test_notices_never_share_their_moment_and_go_with_time);
    RUN(test_a_file_from_before_members_is_brought_up);
    return tap_done();
}
