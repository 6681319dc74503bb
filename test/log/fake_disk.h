/* fake_disk - a disk in memory that fails when asked to, and can lose power.
 *
 * It knows, sector by sector, what has been synced. A call that fails leaves half of what it should
 * have done: half of a write, a rename or removal that happened or did not. A power cut keeps of
 * each sector that was not synced either the old or the new bytes. It is taken as a picture of the
 * disk at one call, in the middle of it, while the log that was writing lives on and knows nothing.
 * */
#ifndef FAKE_DISK_H
#define FAKE_DISK_H

#include "log/log.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FAKE_SECTOR = 512, FAKE_NAMES = 64 };

struct fake_inode {
    unsigned refs;
    unsigned char *now, *synced;
    bool *dirty; /* per sector */
    size_t len, synced_len, cap;
};

struct fake_name {
    char name[64];
    struct fake_inode *inode; /* NULL: none of this name */
};

struct log_file {
    struct fake_inode *inode;
};

struct fake_disk {
    pthread_mutex_t mutex;
    struct fake_name names[FAKE_NAMES];
    unsigned calls;
    unsigned fail_at, fail_for; /* from call number `fail_at` on, so many fail; 0: none */
    const char *fail_next;      /* the next call of this name fails, whatever else is called */
    unsigned cut_at;            /* the call at which the power is cut; 0: never */
    struct fake_disk *cut;      /* what was there afterwards */
    void (*on_cut)(void *self);
    void *on_cut_self;
    uint64_t random;
    bool full; /* reserving fails, and writing beyond the end */
};

static inline uint64_t
fake_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state * 0x2545F4914F6CDD1Du;
}

/* -- inodes ------------------------------------------------------------------------ */

static inline void
fake_grow(struct fake_inode *inode, size_t len)
{
    if (len > inode->cap) {
        size_t cap = (len * 3 / 2 + FAKE_SECTOR) / FAKE_SECTOR * FAKE_SECTOR;
        size_t sectors = cap / FAKE_SECTOR, before = inode->cap / FAKE_SECTOR;
        inode->now = base_realloc(inode->now, cap);
        inode->synced = base_realloc(inode->synced, cap);
        inode->dirty = base_realloc(inode->dirty, sectors);
        memset(inode->now + inode->cap, 0, cap - inode->cap);
        memset(inode->synced + inode->cap, 0, cap - inode->cap);
        memset(inode->dirty + before, 0, sectors - before);
        inode->cap = cap;
    }
}

static inline void
fake_unref(struct fake_inode *inode)
{
    if (inode == NULL || --inode->refs > 0)
        return;
    base_free(inode->now);
    base_free(inode->synced);
    base_free(inode->dirty);
    base_free(inode);
}

static inline void
fake_put(struct fake_inode *inode, uint64_t at, const void *data, size_t len)
{
    fake_grow(inode, (size_t)at + len);
    if (len == 0)
        return;
    memcpy(inode->now + at, data, len);
    for (size_t i = (size_t)at / FAKE_SECTOR; i <= ((size_t)at + len - 1) / FAKE_SECTOR; i++)
        inode->dirty[i] = true;
    if (at + len > inode->len)
        inode->len = (size_t)at + len;
}

static inline struct fake_name *
fake_find(struct fake_disk *disk, const char *name, bool make)
{
    for (size_t i = 0; i < FAKE_NAMES; i++)
        if (disk->names[i].inode != NULL && strcmp(disk->names[i].name, name) == 0)
            return &disk->names[i];
    for (size_t i = 0; make && i < FAKE_NAMES; i++)
        if (disk->names[i].inode == NULL) {
            snprintf(disk->names[i].name, sizeof disk->names[i].name, "%s", name);
            return &disk->names[i];
        }
    must(!make);
    return NULL;
}

/* -- the power is cut ----------------------------------------------------------------- */

static inline struct fake_disk *
fake_new(uint64_t random)
{
    struct fake_disk *disk = base_alloc(1, sizeof *disk);
    must(pthread_mutex_init(&disk->mutex, NULL) == 0);
    disk->random = random * 0x9E3779B97F4A7C15u + 1;
    return disk;
}

static inline void
fake_free(struct fake_disk *disk)
{
    if (disk == NULL)
        return;
    for (size_t i = 0; i < FAKE_NAMES; i++)
        fake_unref(disk->names[i].inode);
    fake_free(disk->cut);
    pthread_mutex_destroy(&disk->mutex);
    base_free(disk);
}

/* A disk as it would be found after the power was cut now; with `kind`, nothing is lost. */
static inline struct fake_disk *
fake_copy(struct fake_disk *disk, bool kind)
{
    struct fake_disk *copy = fake_new(fake_random(&disk->random));
    for (size_t i = 0; i < FAKE_NAMES; i++) {
        const struct fake_inode *from = disk->names[i].inode;
        if (from == NULL)
            continue;
        struct fake_inode *to = base_alloc(1, sizeof *to);
        to->refs = 1;
        bool new_len = kind || fake_random(&disk->random) % 2 == 0;
        fake_grow(to, from->cap);
        to->len = to->synced_len = new_len ? from->len : from->synced_len;
        for (size_t at = 0; at < to->len; at += FAKE_SECTOR) {
            bool new =
                !from->dirty[at / FAKE_SECTOR] || kind || fake_random(&disk->random) % 2 == 0;
            size_t len = to->len - at < FAKE_SECTOR ? to->len - at : FAKE_SECTOR;
            memcpy(to->now + at, (new ? from->now : from->synced) + at, len);
            memcpy(to->synced + at, to->now + at, len);
        }
        copy->names[i] = disk->names[i];
        copy->names[i].inode = to;
    }
    return copy;
}

/* Every call comes by here. True: it is to fail. */
static inline bool
fake_call(struct fake_disk *disk, const char *what, struct err *err)
{
    unsigned call = ++disk->calls;
    bool next = disk->fail_next != NULL && strcmp(disk->fail_next, what) == 0;
    if (next)
        disk->fail_next = NULL;
    else if (disk->fail_at == 0 || call < disk->fail_at || call - disk->fail_at >= disk->fail_for)
        return false;
    err_set(err, ERR_IO, "fake disk: call %u (%s) fails", call, what);
    return true;
}

/* And by here when it has done half of its work. */
static inline void
fake_half(struct fake_disk *disk)
{
    if (disk->cut_at == 0 || disk->calls != disk->cut_at || disk->cut != NULL)
        return;
    if (disk->on_cut != NULL)
        disk->on_cut(disk->on_cut_self);
    disk->cut = fake_copy(disk, false);
}

/* -- the calls ------------------------------------------------------------------------------ */

static inline bool
fake_open(void *self, const char *name, bool create, struct log_file **file_out, struct err *err)
{
    struct fake_disk *disk = self;
    pthread_mutex_lock(&disk->mutex);
    bool fails = fake_call(disk, "open", err);
    struct fake_name *entry = fails ? NULL : fake_find(disk, name, create);
    if (!fails && entry == NULL) {
        err_set(err, ERR_IO, "%s: no such file", name);
        fails = true;
    }
    if (!fails && create) {
        fake_unref(entry->inode);
        entry->inode = base_alloc(1, sizeof *entry->inode);
        entry->inode->refs = 1;
    }
    fake_half(disk);
    if (!fails) {
        *file_out = base_alloc(1, sizeof **file_out);
        (*file_out)->inode = entry->inode;
        entry->inode->refs++;
    }
    pthread_mutex_unlock(&disk->mutex);
    return !fails;
}

static inline void
fake_close(void *self, struct log_file *file)
{
    struct fake_disk *disk = self;
    pthread_mutex_lock(&disk->mutex);
    fake_unref(file->inode);
    pthread_mutex_unlock(&disk->mutex);
    base_free(file);
}

static inline bool
fake_write(void *self, struct log_file *file, uint64_t at, const void *data, size_t len,
           struct err *err)
{
    struct fake_disk *disk = self;
    pthread_mutex_lock(&disk->mutex);
    bool fails = fake_call(disk, "write", err);
    if (!fails && disk->full && at + len > file->inode->len)
        fails = !err_set(err, ERR_IO, "fake disk: full");
    fake_put(file->inode, at, data, len / 2);
    fake_half(disk);
    if (!fails)
        fake_put(file->inode, at, data, len);
    pthread_mutex_unlock(&disk->mutex);
    return !fails;
}

static inline bool
fake_read(void *self, struct log_file *file, uint64_t at, void *data, size_t len, struct err *err)
{
    struct fake_disk *disk = self;
    pthread_mutex_lock(&disk->mutex);
    bool fails = fake_call(disk, "read", err);
    if (!fails && (at > file->inode->len || len > file->inode->len - at))
        fails = !err_set(err, ERR_IO, "fake disk: reading beyond the end");
    if (!fails && len > 0)
        memcpy(data, file->inode->now + at, len);
    fake_half(disk);
    pthread_mutex_unlock(&disk->mutex);
    return !fails;
}

static inline bool
fake_sync(void *self, struct log_file *file, struct err *err)
{
    struct fake_disk *disk = self;
    struct fake_inode *inode = file->inode;
    pthread_mutex_lock(&disk->mutex);
    bool fails = fake_call(disk, "sync", err);
    fake_half(disk);
    /* After a failed sync the dirty sectors may or may not be on disk: still either. */
    for (size_t i = 0; !fails && i < inode->cap / FAKE_SECTOR; i++) {
        if (inode->dirty[i])
            memcpy(inode->synced + i * FAKE_SECTOR, inode->now + i * FAKE_SECTOR, FAKE_SECTOR);
        inode->dirty[i] = false;
    }
    if (!fails)
        inode->synced_len = inode->len;
    pthread_mutex_unlock(&disk->mutex);
    return !fails;
}

static inline bool
fake_truncate(void *self, struct log_file *file, uint64_t len, struct err *err)
{
    struct fake_disk *disk = self;
    struct fake_inode *inode = file->inode;
    pthread_mutex_lock(&disk->mutex);
    bool fails = fake_call(disk, "truncate", err);
    fake_half(disk);
    if (!fails && len < inode->len) {
        size_t from = (size_t)len, size = inode->len - from;
        memset(inode->now + from, 0, size);
        for (size_t i = from / FAKE_SECTOR; i <= (inode->len - 1) / FAKE_SECTOR; i++)
            inode->dirty[i] = true;
        inode->len = (size_t)len;
    }
    pthread_mutex_unlock(&disk->mutex);
    return !fails;
}

static inline bool
fake_reserve(void *self, struct log_file *file, uint64_t len, struct err *err)
{
    struct fake_disk *disk = self;
    pthread_mutex_lock(&disk->mutex);
    bool fails = fake_call(disk, "reserve", err);
    fake_half(disk);
    if (!fails && disk->full && len > file->inode->len)
        fails = !err_set(err, ERR_IO, "fake disk: full");
    if (!fails && len > file->inode->len) {
        fake_grow(file->inode, (size_t)len);
        file->inode->len = (size_t)len;
    }
    pthread_mutex_unlock(&disk->mutex);
    return !fails;
}

static inline bool
fake_size(void *self, struct log_file *file, uint64_t *len_out, struct err *err)
{
    struct fake_disk *disk = self;
    pthread_mutex_lock(&disk->mutex);
    bool fails = fake_call(disk, "size", err);
    if (!fails)
        *len_out = file->inode->len;
    fake_half(disk);
    pthread_mutex_unlock(&disk->mutex);
    return !fails;
}

static inline bool
fake_rename(void *self, const char *from, const char *to, struct err *err)
{
    struct fake_disk *disk = self;
    pthread_mutex_lock(&disk->mutex);
    bool fails = fake_call(disk, "rename", err);
    fake_half(disk);
    struct fake_name *old = fake_find(disk, from, false);
    if (old == NULL) {
        fails = !err_set(err, ERR_IO, "%s: no such file", from);
    } else if (!fails || fake_random(&disk->random) % 2 == 0) {
        struct fake_inode *inode = old->inode;
        old->inode = NULL;
        struct fake_name *new = fake_find(disk, to, true);
        fake_unref(new->inode);
        new->inode = inode;
    }
    pthread_mutex_unlock(&disk->mutex);
    return !fails;
}

static inline bool
fake_remove(void *self, const char *name, struct err *err)
{
    struct fake_disk *disk = self;
    pthread_mutex_lock(&disk->mutex);
    bool fails = fake_call(disk, "remove", err);
    fake_half(disk);
    struct fake_name *entry = fake_find(disk, name, false);
    if (entry != NULL && (!fails || fake_random(&disk->random) % 2 == 0)) {
        fake_unref(entry->inode);
        entry->inode = NULL;
    }
    pthread_mutex_unlock(&disk->mutex);
    return !fails;
}

static inline bool
fake_list(void *self, void (*each_name)(void *each, const char *name), void *each, struct err *err)
{
    struct fake_disk *disk = self;
    pthread_mutex_lock(&disk->mutex);
    bool fails = fake_call(disk, "list", err);
    for (size_t i = 0; !fails && i < FAKE_NAMES; i++)
        if (disk->names[i].inode != NULL)
            each_name(each, disk->names[i].name);
    fake_half(disk);
    pthread_mutex_unlock(&disk->mutex);
    return !fails;
}

static inline struct log_disk
fake_table(struct fake_disk *disk)
{
    return (struct log_disk){
        .self = disk,
        .open = fake_open,
        .write = fake_write,
        .read = fake_read,
        .sync = fake_sync,
        .truncate = fake_truncate,
        .reserve = fake_reserve,
        .size = fake_size,
        .close = fake_close,
        .rename = fake_rename,
        .remove = fake_remove,
        .list = fake_list,
    };
}

/* The bytes of a file, to be looked at or damaged; NULL: no such file. */
static inline struct fake_inode *
fake_file(struct fake_disk *disk, const char *name)
{
    struct fake_name *entry = fake_find(disk, name, false);
    return entry == NULL ? NULL : entry->inode;
}

#endif
