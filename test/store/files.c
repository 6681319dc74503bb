/* The two files: their rights, their versions, damage, and a disk that says no. */
#include "store/store_priv.h"

#include "tap.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* -- a folder, and what is done to files in it ----------------------------------------- */

static void
folder_new(char folder[static 64])
{
    snprintf(folder, 64, "/tmp/tocsin-store-XXXXXX");
    must(mkdtemp(folder) != NULL);
}

static void
folder_free(const char *folder)
{
    static const char *const names[] = {"tocsin.db",    "tocsin.db-wal", "tocsin.db-shm",
                                        "state.db",     "state.db-wal",  "state.db-shm",
                                        "state.db.bad", "made-up.db"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    CHECK(rmdir(folder) == 0);
}

static void
run_sql(const char *folder, const char *name, const char *text)
{
    char path[128];
    sqlite3 *db = NULL;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    CHECK(sqlite3_open(path, &db) == SQLITE_OK);
    CHECK(sqlite3_exec(db, text, NULL, NULL, NULL) == SQLITE_OK);
    sqlite3_close(db);
}

static void
overwrite(const char *folder, const char *name, off_t at, const char *bytes, size_t len)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int file = open(path, O_WRONLY | O_CREAT, 0600);
    CHECK(file >= 0);
    CHECK(pwrite(file, bytes, len, at) == (ssize_t)len);
    close(file);
}

static bool
open_store(const char *folder, struct err *err)
{
    struct store *store = NULL;
    if (!store_open(folder, &store, err))
        return false;
    store_close(store);
    return true;
}

/* -- versions ----------------------------------------------------------------------------- */

static void
test_files_can_be_read_by_their_owner_only(void)
{
    char folder[64], path[128];
    struct err err = {0};
    struct store *store = NULL;
    struct store_states *states = NULL;
    folder_new(folder);
    overwrite(folder, "tocsin.db", 0, "", 0);
    snprintf(path, sizeof path, "%s/tocsin.db", folder);
    CHECK(chmod(path, 0644) == 0); /* somebody's hand */
    mode_t mask = umask(0);
    CHECK(store_open(folder, &store, &err));
    CHECK(store_states_open(folder, &states, &err));
    umask(mask);
    static const char *const names[] = {"tocsin.db", "tocsin.db-wal", "tocsin.db-shm",
                                        "state.db",  "state.db-wal",  "state.db-shm"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct stat stat_of = {0};
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        CHECK(stat(path, &stat_of) == 0);
        CHECK_INT(stat_of.st_mode & 0777, 0600);
    }
    store_close(store);
    store_states_close(states);
    folder_free(folder);
}

static const char step_a[] = "CREATE TABLE a (x INTEGER); INSERT INTO a VALUES (5);";
static const char step_b[] = "ALTER TABLE a ADD COLUMN y INTEGER; UPDATE a SET y = x * 2;";
static const char step_bad[] = "UPDATE a SET x = 99; CREATE TABLE a (x INTEGER);";

static bool
migrate(const char *folder, const char *const *steps, size_t count, struct err *err)
{
    struct sql sql;
    if (!sql_open(&sql, folder, "made-up.db", err))
        return false;
    bool ok = sql_migrate(&sql, steps, count, err);
    sql_close(&sql);
    return ok;
}

static int64_t
ask_file(const char *folder, const char *text)
{
    struct sql sql;
    struct err err = {0};
    int64_t number = -1;
    CHECK(sql_open(&sql, folder, "made-up.db", &err));
    sqlite3_stmt *statement = sql_statement(&sql, text, &err);
    if (CHECK(statement != NULL))
        CHECK(sql_number(&sql, statement, &number, &err));
    sql_close(&sql);
    return number;
}

static void
test_an_older_file_is_brought_up_step_by_step(void)
{
    static const char *const steps[] = {step_a, step_b};
    char folder[64];
    struct err err = {0};
    folder_new(folder);
    CHECK(migrate(folder, steps, 1, &err));
    CHECK_INT(ask_file(folder, "PRAGMA user_version"), 1);
    CHECK(migrate(folder, steps, 2, &err));
    CHECK_INT(ask_file(folder, "PRAGMA user_version"), 2);
    CHECK_INT(ask_file(folder, "SELECT y FROM a"), 10);
    CHECK(migrate(folder, steps, 2, &err)); /* nothing to do */
    CHECK_INT(ask_file(folder, "SELECT count(*) FROM a"), 1);
    folder_free(folder);
}

static void
test_a_step_that_fails_leaves_the_file_as_it_was(void)
{
    static const char *const steps[] = {step_a, step_bad};
    char folder[64];
    struct err err = {0};
    folder_new(folder);
    CHECK(migrate(folder, steps, 1, &err));
    CHECK(!migrate(folder, steps, 2, &err));
    CHECK_INT(ask_file(folder, "PRAGMA user_version"), 1);
    CHECK_INT(ask_file(folder, "SELECT x FROM a"), 5);
    folder_free(folder);
}

static void
test_a_newer_file_is_refused_by_name(void)
{
    char folder[64], text[64];
    struct err err = {0};
    folder_new(folder);
    CHECK(open_store(folder, &err));
    snprintf(text, sizeof text, "PRAGMA user_version = %d", STORE_SCHEMA_VERSION + 1);
    run_sql(folder, "tocsin.db", text);
    CHECK(!open_store(folder, &err));
    CHECK_INT(err.code, ERR_CORRUPT);
    CHECK(strstr(err.text, "tocsin.db") != NULL && strstr(err.text, "newer") != NULL);
    folder_free(folder);
}

static void
test_another_programs_file_is_refused(void)
{
    char folder[64];
    struct err err = {0};
    folder_new(folder);
    run_sql(folder, "tocsin.db", "CREATE TABLE somebody (x)");
    CHECK(!open_store(folder, &err));
    CHECK_INT(err.code, ERR_CORRUPT);
    CHECK(strstr(err.text, "tocsin.db") != NULL);
    folder_free(folder);
}

/* -- damage ---------------------------------------------------------------------------------- */

static void
test_a_damaged_store_is_refused_by_name(void)
{
    static const off_t places[] = {0, 4096, 3 * 4096, 5 * 4096}; /* the header; whole pages */
    static char junk[4096];
    memset(junk, 0xa5, sizeof junk);
    for (size_t i = 0; i < COUNT_OF(places); i++) {
        char folder[64];
        struct err err = {0};
        folder_new(folder);
        CHECK(open_store(folder, &err));
        overwrite(folder, "tocsin.db", places[i], junk, sizeof junk);
        CHECK(!open_store(folder, &err));
        CHECK_INT(err.code, ERR_CORRUPT);
        CHECK(strstr(err.text, "tocsin.db") != NULL);
        folder_free(folder);
    }
}

static void
test_a_damaged_row_is_an_error_and_no_weaker_key(void)
{
    char folder[64];
    struct err err = {0};
    struct store *store = NULL;
    struct arena arena;
    struct store_key *list = NULL;
    size_t count = 0;
    static const char *const networks[] = {"{}", "[\"10.0.0\"]", "[", "[5]"};
    for (size_t i = 0; i < COUNT_OF(networks); i++) {
        folder_new(folder);
        arena_init(&arena, 4096, 1 << 20);
        struct store_key key = {
            .workspace_id = STR("ws_1"), .id = STR("key_1"), .roles = ROLE_READ};
        CHECK(store_open(folder, &store, &err));
        CHECK(store_key_add(store, &key, &err));
        char text[128];
        snprintf(text, sizeof text, "UPDATE keys SET networks = '%s'", networks[i]);
        run_sql(folder, "tocsin.db", text);
        CHECK(!store_keys(store, (struct str){0}, &arena, &list, &count, &err));
        CHECK_INT(err.code, ERR_CORRUPT);
        CHECK(strstr(err.text, "tocsin.db") != NULL);
        store_close(store);
        arena_fini(&arena);
        folder_free(folder);
    }
}

/* -- a disk that says no ------------------------------------------------------------------ */

/* A layer between SQLite and its real files: the `fail_at`th write or sync, and all after it
 * when `for_good`, come back with `answer`. */
static struct {
    sqlite3_vfs vfs;
    sqlite3_vfs *real;
    unsigned calls, fail_at;
    bool for_good;
    int answer;
} fault;

struct fault_file {
    sqlite3_file base;
    sqlite3_file *real;
};

static sqlite3_file *
real_of(sqlite3_file *file)
{
    return ((struct fault_file *)file)->real;
}

static bool
fails_now(void)
{
    fault.calls++;
    if (fault.fail_at == 0)
        return false;
    return fault.calls == fault.fail_at || (fault.for_good && fault.calls > fault.fail_at);
}

#define FORWARD(name, ...) return real_of(file)->pMethods->name(real_of(file), __VA_ARGS__)
#define FORWARD_BARE(name) return real_of(file)->pMethods->name(real_of(file))

/* clang-format off */
static int f_close(sqlite3_file *file) { FORWARD_BARE(xClose); }
static int f_read(sqlite3_file *file, void *to, int len, sqlite3_int64 at)
{ FORWARD(xRead, to, len, at); }
static int f_size(sqlite3_file *file, sqlite3_int64 *size) { FORWARD(xFileSize, size); }
static int f_truncate(sqlite3_file *file, sqlite3_int64 size) { FORWARD(xTruncate, size); }
static int f_lock(sqlite3_file *file, int level) { FORWARD(xLock, level); }
static int f_unlock(sqlite3_file *file, int level) { FORWARD(xUnlock, level); }
static int f_reserved(sqlite3_file *file, int *out) { FORWARD(xCheckReservedLock, out); }
static int f_control(sqlite3_file *file, int op, void *arg) { FORWARD(xFileControl, op, arg); }
static int f_sector(sqlite3_file *file) { FORWARD_BARE(xSectorSize); }
static int f_device(sqlite3_file *file) { FORWARD_BARE(xDeviceCharacteristics); }
static int f_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **out)
{ FORWARD(xShmMap, page, size, extend, out); }
static int f_shm_lock(sqlite3_file *file, int at, int n, int flags)
{ FORWARD(xShmLock, at, n, flags); }
static void f_shm_barrier(sqlite3_file *file)
{ real_of(file)->pMethods->xShmBarrier(real_of(file)); }
static int f_shm_unmap(sqlite3_file *file, int drop) { FORWARD(xShmUnmap, drop); }
/* clang-format on */

static int
f_write(sqlite3_file *file, const void *bytes, int len, sqlite3_int64 at)
{
    if (!fails_now())
        FORWARD(xWrite, bytes, len, at);
    /* As real ones do, it leaves half of it behind. */
    real_of(file)->pMethods->xWrite(real_of(file), bytes, len / 2, at);
    return fault.answer;
}

static int
f_sync(sqlite3_file *file, int flags)
{
    if (fails_now())
        return fault.answer == SQLITE_FULL ? SQLITE_IOERR_FSYNC : fault.answer;
    FORWARD(xSync, flags);
}

static const sqlite3_io_methods fault_methods = {
    .iVersion = 2,
    .xClose = f_close,
    .xRead = f_read,
    .xWrite = f_write,
    .xTruncate = f_truncate,
    .xSync = f_sync,
    .xFileSize = f_size,
    .xLock = f_lock,
    .xUnlock = f_unlock,
    .xCheckReservedLock = f_reserved,
    .xFileControl = f_control,
    .xSectorSize = f_sector,
    .xDeviceCharacteristics = f_device,
    .xShmMap = f_shm_map,
    .xShmLock = f_shm_lock,
    .xShmBarrier = f_shm_barrier,
    .xShmUnmap = f_shm_unmap,
};

static int
f_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *out, int flags, int *flags_out)
{
    (void)vfs;
    struct fault_file *file = (struct fault_file *)out;
    file->base.pMethods = NULL;
    file->real = (sqlite3_file *)&file[1];
    int result = fault.real->xOpen(fault.real, name, file->real, flags, flags_out);
    if (result == SQLITE_OK)
        file->base.pMethods = &fault_methods;
    return result;
}

static void
fault_install(void)
{
    fault.real = sqlite3_vfs_find(NULL);
    fault.vfs = *fault.real;
    fault.vfs.zName = "fault";
    fault.vfs.pNext = NULL;
    fault.vfs.szOsFile = (int)sizeof(struct fault_file) + fault.real->szOsFile;
    fault.vfs.xOpen = f_open;
    must(sqlite3_vfs_register(&fault.vfs, 1) == SQLITE_OK);
}

static bool
change(struct store *store, struct err *err)
{
    struct store_delivery row = {.workspace_id = STR("ws_1"),
                                 .id = STR("dlv_1"),
                                 .webhook_id = STR("whk_1"),
                                 .alert_id = STR("alt_1"),
                                 .event_type = STR("alert.triggered"),
                                 .record_at = 5,
                                 .created_at = 5};
    return store_deliveries_make(store, &row, 1, 5, err);
}

static int64_t
count_deliveries(struct store *store)
{
    struct store_delivery_counts counts = {0};
    struct err err = {0};
    CHECK(store_delivery_counts(store, &counts, &err));
    return counts.pending;
}

static void
test_a_change_that_failed_changed_nothing_wherever_it_failed(void)
{
    static const int answers[] = {SQLITE_FULL, SQLITE_IOERR_WRITE};
    fault_install();
    for (size_t i = 0; i < COUNT_OF(answers); i++) {
        for (unsigned fail_at = 1;; fail_at++) {
            char folder[64];
            struct err err = {0};
            struct store *store = NULL;
            int64_t cursor = -1;
            folder_new(folder);
            fault.fail_at = 0;
            must(store_open(folder, &store, &err));
            fault.calls = 0;
            fault.answer = answers[i];
            fault.for_good = fail_at % 2;
            fault.fail_at = fail_at;
            bool done = change(store, &err);
            bool hit = fault.calls >= fail_at;
            if (!done) {
                CHECK_INT(err.code, ERR_IO);
                CHECK(strstr(err.text, "tocsin.db") != NULL);
                CHECK_INT(count_deliveries(store), 0); /* reading goes on */
            }
            fault.fail_at = 0;
            CHECK(store_delivery_cursor(store, &cursor, &err));
            CHECK_INT(cursor, done ? 5 : 0);
            CHECK(change(store, &err)); /* and so does writing, once the disk does */
            CHECK_INT(count_deliveries(store), 1);
            store_close(store);
            CHECK(open_store(folder, &err));
            folder_free(folder);
            if (!hit || !CHECK(fail_at < 60))
                break;
        }
    }
    sqlite3_vfs_unregister(&fault.vfs);
}

int
main(void)
{
    RUN(test_files_can_be_read_by_their_owner_only);
    RUN(test_an_older_file_is_brought_up_step_by_step);
    RUN(test_a_step_that_fails_leaves_the_file_as_it_was);
    RUN(test_a_newer_file_is_refused_by_name);
    RUN(test_another_programs_file_is_refused);
    RUN(test_a_damaged_store_is_refused_by_name);
    RUN(test_a_damaged_row_is_an_error_and_no_weaker_key);
    RUN(test_a_change_that_failed_changed_nothing_wherever_it_failed);
    return tap_done();
}
