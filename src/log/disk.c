/* disk - the real one: a folder, held by a lock, whose files only we may read. */
#include "log/log_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct folder {
    int fd, lock_fd;
    int64_t sync_delay_us;
};
struct log_file {
    int fd;
};

static bool
sync_folder(const struct folder *folder, struct err *err)
{
    if (fsync(folder->fd) != 0)
        return err_set(err, ERR_IO, "syncing the folder: %m");
    return true;
}

/* A folder just made is only there for good once the one that it is in has been synced. */
static bool
sync_parent(int folder_fd, struct err *err)
{
    int fd = openat(folder_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (!ok)
        err_set(err, ERR_IO, "syncing the folder it is in: %m");
    if (fd >= 0)
        close(fd);
    return ok;
}

static bool
disk_open(void *self, const char *name, bool create, struct log_file **file_out, struct err *err)
{
    const struct folder *folder = self;
    int flags = O_RDWR | O_CLOEXEC | (create ? O_CREAT | O_TRUNC : 0);
    int fd = openat(folder->fd, name, flags, 0600);
    if (fd < 0)
        return err_set(err, ERR_IO, "%s: opening: %m", name);
    if (create && !sync_folder(folder, err)) {
        close(fd);
        return false;
    }
    struct log_file *file = base_alloc(1, sizeof *file);
    file->fd = fd;
    *file_out = file;
    return true;
}

static bool
disk_write(void *self, struct log_file *file, uint64_t at, const void *data, size_t len,
           struct err *err)
{
    (void)self;
    const char *from = data;
    while (len > 0) {
        ssize_t n = pwrite(file->fd, from, len, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_set(err, ERR_IO, "writing at %llu: %m", (unsigned long long)at);
        from += n;
        at += (uint64_t)n;
        len -= (size_t)n;
    }
    return true;
}

static bool
disk_read(void *self, struct log_file *file, uint64_t at, void *data, size_t len, struct err *err)
{
    (void)self;
    char *to = data;
    while (len > 0) {
        ssize_t n = pread(file->fd, to, len, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(err, ERR_IO, "reading at %llu: %m", (unsigned long long)at);
        if (n == 0)
            return err_set(err, ERR_IO, "reading at %llu: the file ends", (unsigned long long)at);
        to += n;
        at += (uint64_t)n;
        len -= (size_t)n;
    }
    return true;
}

static bool
disk_sync(void *self, struct log_file *file, struct err *err)
{
    const struct folder *folder = self;
    if (fdatasync(file->fd) != 0)
        return err_set(err, ERR_IO, "syncing: %m");
    if (folder->sync_delay_us > 0) {
        struct timespec left = {folder->sync_delay_us / 1000000,
                                folder->sync_delay_us % 1000000 * 1000};
        while (nanosleep(&left, &left) != 0 && errno == EINTR)
            ;
    }
    return true;
}

static bool
disk_truncate(void *self, struct log_file *file, uint64_t len, struct err *err)
{
    (void)self;
    if (ftruncate(file->fd, (off_t)len) != 0)
        return err_set(err, ERR_IO, "cutting to %llu: %m", (unsigned long long)len);
    return true;
}

static bool
disk_reserve(void *self, struct log_file *file, uint64_t len, struct err *err)
{
    (void)self;
    int error;
    do
        error = posix_fallocate(file->fd, 0, (off_t)len);
    while (error == EINTR);
    if (error == 0)
        return true;
    errno = error;
    return err_set(err, ERR_IO, "reserving %llu bytes: %m", (unsigned long long)len);
}

/* One file's pages are written and waited for by any sync of that file: the file that is written
 * to must not be given zeros, only the one after it. */
static bool
disk_zero(void *self, struct log_file *file, uint64_t at, uint64_t len, struct err *err)
{
    enum { CHUNK = 64 * 1024 };
    static const char zeros[CHUNK];
    for (uint64_t done = 0; done < len;) {
        size_t part = len - done < CHUNK ? (size_t)(len - done) : CHUNK;
        if (!disk_write(self, file, at + done, zeros, part, err))
            return false;
        done += part;
    }
    /* Without the flush of a sync, which would stand before the next one of the log. */
    unsigned how = SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
    if (sync_file_range(file->fd, (off_t)at, (off_t)len, how) != 0)
        return err_set(err, ERR_IO, "writing zeros: %m");
    return true;
}

static bool
disk_size(void *self, struct log_file *file, uint64_t *len_out, struct err *err)
{
    (void)self;
    struct stat stat;
    if (fstat(file->fd, &stat) != 0)
        return err_set(err, ERR_IO, "asking for the size: %m");
    *len_out = (uint64_t)stat.st_size;
    return true;
}

static void
disk_close(void *self, struct log_file *file)
{
    (void)self;
    close(file->fd);
    base_free(file);
}

static bool
disk_rename(void *self, const char *from, const char *to, struct err *err)
{
    const struct folder *folder = self;
    if (renameat(folder->fd, from, folder->fd, to) != 0)
        return err_set(err, ERR_IO, "renaming %s to %s: %m", from, to);
    return sync_folder(folder, err);
}

static bool
disk_remove(void *self, const char *name, struct err *err)
{
    const struct folder *folder = self;
    if (unlinkat(folder->fd, name, 0) != 0 && errno != ENOENT)
        return err_set(err, ERR_IO, "removing %s: %m", name);
    return sync_folder(folder, err);
}

static bool
disk_list(void *self, void (*each_name)(void *each, const char *name), void *each, struct err *err)
{
    const struct folder *folder = self;
    int fd = openat(folder->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        if (fd >= 0)
            close(fd);
        return err_set(err, ERR_IO, "listing the folder: %m");
    }
    struct dirent *entry;
    errno = 0;
    while ((entry = readdir(dir)) != NULL)
        each_name(each, entry->d_name);
    bool ok = errno == 0 || err_set(err, ERR_IO, "listing the folder: %m");
    closedir(dir);
    return ok;
}

bool
log_disk_open(const char *folder_name, int64_t sync_delay_us, struct log_disk *disk_out,
              struct err *err)
{
    bool made = mkdir(folder_name, 0700) == 0;
    if (!made && errno != EEXIST)
        return err_set(err, ERR_IO, "log: %s: making the folder: %m", folder_name);
    int fd = open(folder_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_set(err, ERR_IO, "log: %s: %m", folder_name);
    if (made && !sync_parent(fd, err)) {
        close(fd);
        return err_prefix(err, "log: %s", folder_name);
    }
    int lock_fd = openat(fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock_fd < 0) {
        err_set(err, ERR_IO, "log: %s/lock: %m", folder_name);
        goto close_folder;
    }
    if (flock(lock_fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK)
            err_set(err, ERR_IO, "log: %s is in use by another process", folder_name);
        else
            err_set(err, ERR_IO, "log: %s/lock: %m", folder_name);
        goto close_lock;
    }
    struct folder *folder = base_alloc(1, sizeof *folder);
    *folder = (struct folder){fd, lock_fd, sync_delay_us};
    *disk_out = (struct log_disk){
        .self = folder,
        .open = disk_open,
        .write = disk_write,
        .read = disk_read,
        .sync = disk_sync,
        .truncate = disk_truncate,
        .reserve = disk_reserve,
        .zero = disk_zero,
        .size = disk_size,
        .close = disk_close,
        .rename = disk_rename,
        .remove = disk_remove,
        .list = disk_list,
    };
    return true;

close_lock:
    close(lock_fd);
close_folder:
    close(fd);
    return false;
}

void
log_disk_close(struct log_disk *disk)
{
    struct folder *folder = disk->self;
    close(folder->lock_fd);
    close(folder->fd);
    base_free(folder);
    *disk = (struct log_disk){0};
}
