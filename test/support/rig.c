#include "support/rig.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WALL_FIRST = 1767225600, ARENA_FIRST = 16 << 10, ARENA_MOST = 256 << 20 };

/* -- the clock --------------------------------------------------------------------- */

static int64_t
wall(void *self)
{
    struct rig *rig = self;
    return atomic_fetch_add(&rig->wall_us, rig->step_us) + rig->step_us;
}

static int64_t
monotonic(void *self)
{
    struct rig *rig = self;
    return atomic_fetch_add(&rig->monotonic_us, rig->step_us) + rig->step_us;
}

/* The monotonic one first: the other way round would look like a jump. */
void
rig_pass_time(struct rig *rig, int64_t us)
{
    atomic_fetch_add(&rig->monotonic_us, us);
    atomic_fetch_add(&rig->wall_us, us);
}

static void
count_wake(void *self)
{
    struct rig *rig = self;
    atomic_fetch_add(&rig->wakes, 1);
}

/* -- the folder -------------------------------------------------------------------- */

static void
remove_folder(const char *folder)
{
    DIR *dir = opendir(folder);
    must(dir != NULL);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char path[512];
        struct stat stat;
        if (entry->d_name[0] == '.' &&
            (entry->d_name[1] == '\0' || strcmp(entry->d_name, "..") == 0))
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        must(lstat(path, &stat) == 0);
        if (S_ISDIR(stat.st_mode))
            remove_folder(path);
        else
            must(unlink(path) == 0);
    }
    closedir(dir);
    must(rmdir(folder) == 0);
}

static const char *const state_files[] = {"state.db", "state.db-wal", "state.db-shm"};

static void
copy_file(const char *folder, const char *name, const char *from, const char *to)
{
    char source[128], target[128];
    char bytes[65536];
    snprintf(source, sizeof source, "%s/%s%s", folder, name, from);
    snprintf(target, sizeof target, "%s/%s%s", folder, name, to);
    (void)unlink(target);
    FILE *in = fopen(source, "rb");
    if (in == NULL)
        return;
    FILE *out = fopen(target, "wb");
    must(out != NULL);
    for (size_t len; (len = fread(bytes, 1, sizeof bytes, in)) > 0;)
        must(fwrite(bytes, 1, len, out) == len);
    must(fclose(out) == 0 && fclose(in) == 0);
}

void
rig_forget_states(struct rig *rig)
{
    must(rig->engine == NULL);
    for (size_t i = 0; i < COUNT_OF(state_files); i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", rig->folder, state_files[i]);
        (void)unlink(path);
    }
}

void
rig_save_states(struct rig *rig)
{
    for (size_t i = 0; i < COUNT_OF(state_files); i++)
        copy_file(rig->folder, state_files[i], "", ".saved");
}

void
rig_restore_states(struct rig *rig)
{
    for (size_t i = 0; i < COUNT_OF(state_files); i++)
        copy_file(rig->folder, state_files[i], ".saved", "");
}

/* -- the sender -------------------------------------------------------------------- */

static void
on_done(void *self, struct submission *finished)
{
    struct rig *rig = self;
    must(pthread_mutex_lock(&rig->lock) == 0);
    rig->sink_calls++;
    while (finished != NULL) {
        struct submission *next = finished->next;
        finished->next = NULL;
        *(bool *)finished->sender = true;
        must(rig->lent-- > 0);
        finished = next;
    }
    pthread_cond_broadcast(&rig->changed);
    must(pthread_mutex_unlock(&rig->lock) == 0);
}

struct submission *
rig_submission(struct rig *rig, struct str workspace_id, size_t count)
{
    struct submission *submission = base_alloc(1, sizeof *submission);
    arena_init(&submission->arena, ARENA_FIRST, ARENA_MOST);
    must(arena_copy(&submission->arena, workspace_id, &submission->workspace_id));
    submission->items = arena_array(&submission->arena, count, struct engine_item);
    submission->sender = arena_new(&submission->arena, bool);
    must(submission->items != NULL && submission->sender != NULL);
    submission->count = count;
    submission->sink = &rig->sink;
    return submission;
}

void
rig_item(struct submission *submission, size_t number, const struct event *event)
{
    struct engine_item *item = &submission->items[number];
    struct buffer stored;
    struct str copy;
    buffer_init(&stored, 4 << 20);
    *item = (struct engine_item){.event = *event};
    event_write_stored(&stored, event, &submission->arena, &item->created_at_offset);
    must(!stored.ran_out && arena_copy(&submission->arena, buffer_str(&stored), &copy));
    item->stored = (char *)(uintptr_t)copy.ptr;
    item->stored_len = copy.len;
    submission->weight += copy.len;
    buffer_fini(&stored);
}

void
rig_submission_free(struct submission *submission)
{
    arena_fini(&submission->arena);
    base_free(submission);
}

void
rig_submit(struct rig *rig, struct submission *submission)
{
    must(pthread_mutex_lock(&rig->lock) == 0);
    rig->lent++;
    must(pthread_mutex_unlock(&rig->lock) == 0);
    *(bool *)submission->sender = false;
    must(engine_submit(rig->engine, submission));
}

void
rig_wait(struct rig *rig)
{
    must(pthread_mutex_lock(&rig->lock) == 0);
    while (rig->lent > 0)
        must(pthread_cond_wait(&rig->changed, &rig->lock) == 0);
    must(pthread_mutex_unlock(&rig->lock) == 0);
}

void
rig_await(struct rig *rig, const struct submission *submission)
{
    must(pthread_mutex_lock(&rig->lock) == 0);
    while (!*(const bool *)submission->sender)
        must(pthread_cond_wait(&rig->changed, &rig->lock) == 0);
    must(pthread_mutex_unlock(&rig->lock) == 0);
}

struct submission *
rig_send(struct rig *rig, struct str workspace_id, const struct event *event)
{
    struct submission *submission = rig_submission(rig, workspace_id, 1);
    rig_item(submission, 0, event);
    rig_submit(rig, submission);
    rig_await(rig, submission);
    return submission;
}

/* -- from beginning to end --------------------------------------------------------- */

void
rig_init(struct rig *rig)
{
    *rig = (struct rig){.step_us = 100, .segment_bytes = 4u << 20};
    snprintf(rig->folder, sizeof rig->folder, "/tmp/tocsin-engine-XXXXXX");
    must(mkdtemp(rig->folder) != NULL);
    atomic_store(&rig->wall_us, (int64_t)WALL_FIRST * 1000000);
    rig->sink = (struct engine_sink){rig, on_done};
    must(pthread_mutex_init(&rig->lock, NULL) == 0);
    must(pthread_cond_init(&rig->changed, NULL) == 0);
    rig->parser = json_parser_new();
}

void
rig_fini(struct rig *rig)
{
    must(rig->engine == NULL);
    remove_folder(rig->folder);
    json_parser_free(rig->parser);
    must(pthread_mutex_destroy(&rig->lock) == 0);
    must(pthread_cond_destroy(&rig->changed) == 0);
}

struct str
rig_workspace(size_t number)
{
    static const struct str ids[RIG_WORKSPACES] = {STR_INIT("ws_00000001"), STR_INIT("ws_00000002"),
                                                   STR_INIT("ws_00000003")};
    must(number < RIG_WORKSPACES);
    return ids[number];
}

static void
add_workspaces(struct rig *rig)
{
    for (size_t i = 0; i < RIG_WORKSPACES; i++) {
        struct str id = rig_workspace(i);
        struct store_workspace workspace = {.id = id, .name = id, .created_at = 1};
        struct err err = {0};
        must(store_workspace_add(rig->store, &workspace, NULL, &err) || err.code == ERR_CONFLICT);
    }
}

static void
close_all(struct rig *rig)
{
    journal_close(rig->journal);
    rig->journal = NULL;
    store_states_close(rig->states);
    store_close(rig->store);
    log_disk_close(&rig->disk);
}

bool
rig_start(struct rig *rig, struct err *err)
{
    char path[80];
    struct err fatal = {0};
    snprintf(path, sizeof path, "%s/log", rig->folder);
    bool opened = log_disk_open(path, rig->sync_delay_us, &rig->disk, &fatal) &&
                  store_open(rig->folder, &rig->store, &fatal) &&
                  store_states_open(rig->folder, &rig->states, &fatal);
    if (!opened)
        diag_error("rig: %s", fatal.text);
    must(opened);
    add_workspaces(rig);
    struct journal_options journal = {
        .log = {.disk = fault_disk(&rig->fault, rig->disk), .segment_bytes = rig->segment_bytes}};
    if (!journal_open(&journal, &rig->journal, &rig->recovery, err)) {
        rig->journal = NULL;
        close_all(rig);
        return false;
    }
    struct engine_options options = {
        .journal = rig->journal,
        .store = rig->store,
        .states = rig->states,
        .clock = {rig, wall, monotonic},
        .wake = count_wake,
        .wake_self = rig,
        .checkpoint_us = rig->checkpoint_us,
        .checkpoint_bytes = rig->checkpoint_bytes,
        .last_checkpoint_us = rig->last_checkpoint_us,
        .subjects_max = rig->subjects_max,
        .learning_us = rig->learning_us,
    };
    if (!engine_start(&options, &rig->engine, err)) {
        close_all(rig);
        return false;
    }
    return true;
}

void
rig_halt(struct rig *rig)
{
    engine_stop(rig->engine);
    rig->engine = NULL;
    must(rig->lent == 0);
}

void
rig_close(struct rig *rig)
{
    must(rig->engine == NULL);
    close_all(rig);
}

void
rig_stop(struct rig *rig)
{
    rig_halt(rig);
    rig_close(rig);
}
