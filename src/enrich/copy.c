/* copy - geo files are opened from copies that nobody else writes to.
 *
 * A copy is named by the SHA-256 of its content, "<64 hex digits>.mmdb", mode 0600. It is written
 * and synced under another name, walked there, and renamed; so what has a proper name, and the
 * content that the name says, is whole and was found sound. */
#include "enrich/enrich_priv.h"

#include "codec/hash.h"
#include "codec/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = 256 * 1024, HEX_SIZE = 2 * SHA256_SIZE };
_Static_assert(COPY_NAME_SIZE == HEX_SIZE + sizeof ".mmdb", "a hash, a suffix, a NUL");

#define PART_NAME COPY_PART_NAME

static bool
write_all(int fd, const char *bytes, size_t len, struct err *err)
{
    while (len > 0) {
        ssize_t put = write(fd, bytes, len);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return err_set(err, ERR_IO, "the copy: %m");
        bytes += put;
        len -= (size_t)put;
    }
    return true;
}

/* Reads all of `from`, from its beginning, into the hash, and into `to` unless that is -1. */
static bool
pour(int from, int to, char name_out[static COPY_NAME_SIZE], struct err *err)
{
    struct sha256 *sha = sha256_new();
    char *chunk = base_alloc(CHUNK, 1);
    unsigned char hash[SHA256_SIZE];
    bool ok = true;

    sha256_begin(sha);
    for (off_t at = 0; ok;) {
        ssize_t got = pread(from, chunk, CHUNK, at);
        if (got == 0)
            break;
        ok = got > 0 || err_set(err, ERR_IO, "%m");
        if (ok && to >= 0)
            ok = write_all(to, chunk, (size_t)got, err);
        if (ok)
            sha256_add(sha, chunk, (size_t)got);
        at += got;
    }
    sha256_end(sha, hash);
    sha256_free(sha);
    base_free(chunk);
    if (ok) {
        hex_encode(hash, sizeof hash, name_out);
        memcpy(name_out + HEX_SIZE, ".mmdb", sizeof ".mmdb");
    }
    return ok;
}

/* Whether the folder has a file of this name with the content that the name says. */
static bool
have_copy(int folder, const char *name)
{
    char found[COPY_NAME_SIZE];
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return false;
    bool have = pour(fd, -1, found, &(struct err){0}) && strcmp(found, name) == 0;
    close(fd);
    return have;
}

static bool
make_copy(int from, int folder, char name_out[static COPY_NAME_SIZE], struct err *err)
{
    (void)unlinkat(folder, PART_NAME, 0);
    int to = openat(folder, PART_NAME, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (to < 0)
        return err_set(err, ERR_IO, "the copy: %m");
    bool ok = pour(from, to, name_out, err);
    if (ok && fsync(to) < 0)
        ok = err_set(err, ERR_IO, "the copy: %m");
    if (close(to) < 0 && ok)
        ok = err_set(err, ERR_IO, "the copy: %m");
    if (!ok)
        (void)unlinkat(folder, PART_NAME, 0);
    return ok;
}

static bool
open_source(const char *path, int *fd_out, struct err *err)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return err_set(err, ERR_IO, "%m");
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
        close(fd);
        return err_set(err, ERR_INPUT, "no regular file");
    }
    *fd_out = fd;
    return true;
}

bool
copy_into(const char *path, const char *folder, char name_out[static COPY_NAME_SIZE],
          bool *fresh_out, struct err *err)
{
    char name[COPY_NAME_SIZE];
    bool fresh = false;
    int from = -1;

    if (!open_source(path, &from, err))
        return false;
    if (mkdir(folder, 0700) < 0 && errno != EEXIST) {
        close(from);
        return err_set(err, ERR_IO, "the folder %s: %m", folder);
    }
    int into = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (into < 0) {
        close(from);
        return err_set(err, ERR_IO, "the folder %s: %m", folder);
    }
    /* What is hashed first may be another content than what is copied then, if somebody writes the
     * file right now; the copy's name is always that of what was copied. */
    bool ok = pour(from, -1, name, err);
    if (ok && !have_copy(into, name)) {
        fresh = true;
        ok = make_copy(from, into, name, err);
    }
    close(into);
    close(from);
    if (ok) {
        memcpy(name_out, name, sizeof name);
        *fresh_out = fresh;
    }
    return ok;
}

bool
copy_keep(const char *folder, const char *name, struct err *err)
{
    int into = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = into >= 0 && renameat(into, PART_NAME, into, name) == 0 && fsync(into) == 0;
    if (!ok)
        err_set(err, ERR_IO, "the copy: %m");
    if (into >= 0)
        close(into);
    return ok;
}

static bool
is_ours(const char *name)
{
    unsigned char hash[SHA256_SIZE];
    return strcmp(name, PART_NAME) == 0 ||
           (strlen(name) == COPY_NAME_SIZE - 1 && strcmp(name + HEX_SIZE, ".mmdb") == 0 &&
            hex_decode((struct str){name, HEX_SIZE}, hash, sizeof hash));
}

void
copy_sweep(const char *folder, const char *const *kept, size_t kept_count)
{
    DIR *listing = opendir(folder);
    if (listing == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(listing)) != NULL;) {
        bool keep = !is_ours(entry->d_name);
        for (size_t i = 0; i < kept_count && !keep; i++)
            keep = strcmp(entry->d_name, kept[i]) == 0;
        if (!keep)
            (void)unlinkat(dirfd(listing), entry->d_name, 0);
    }
    closedir(listing);
}
