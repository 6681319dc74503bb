#include "support/fault_disk.h"

static bool
fails(struct fault_disk *fault, unsigned kind, struct err *err)
{
    if ((fault->kinds & kind) == 0)
        return false;
    int64_t call = atomic_fetch_add(&fault->calls, 1) + 1;
    int64_t first = atomic_load(&fault->fail_at);
    if (first == 0 || call < first || call >= first + atomic_load(&fault->fail_for))
        return false;
    atomic_fetch_add(&fault->failed, 1);
    err_set(err, ERR_IO, "fault: call %lld", (long long)call);
    return true;
}

static bool
fault_open(void *self, const char *name, bool create, struct log_file **file_out, struct err *err)
{
    struct fault_disk *fault = self;
    if (create && fails(fault, FAULT_MAKE, err))
        return false;
    return fault->real.open(fault->real.self, name, create, file_out, err);
}

static bool
fault_write(void *self, struct log_file *file, uint64_t at, const void *data, size_t len,
            struct err *err)
{
    struct fault_disk *fault = self;
    if (!fails(fault, FAULT_WRITE, err))
        return fault->real.write(fault->real.self, file, at, data, len, err);
    struct err ignored;
    (void)fault->real.write(fault->real.self, file, at, data, len / 2, &ignored);
    return false;
}

static bool
fault_read(void *self, struct log_file *file, uint64_t at, void *data, size_t len, struct err *err)
{
    struct fault_disk *fault = self;
    return fault->real.read(fault->real.self, file, at, data, len, err);
}

static bool
fault_sync(void *self, struct log_file *file, struct err *err)
{
    struct fault_disk *fault = self;
    return !fails(fault, FAULT_SYNC, err) && fault->real.sync(fault->real.self, file, err);
}

static bool
fault_truncate(void *self, struct log_file *file, uint64_t len, struct err *err)
{
    struct fault_disk *fault = self;
    return !fails(fault, FAULT_TRUNCATE, err) &&
           fault->real.truncate(fault->real.self, file, len, err);
}

static bool
fault_reserve(void *self, struct log_file *file, uint64_t len, struct err *err)
{
    struct fault_disk *fault = self;
    return !fails(fault, FAULT_MAKE, err) && fault->real.reserve(fault->real.self, file, len, err);
}

static bool
fault_size(void *self, struct log_file *file, uint64_t *len_out, struct err *err)
{
    struct fault_disk *fault = self;
    return fault->real.size(fault->real.self, file, len_out, err);
}

static void
fault_close(void *self, struct log_file *file)
{
    struct fault_disk *fault = self;
    fault->real.close(fault->real.self, file);
}

static bool
fault_rename(void *self, const char *from, const char *to, struct err *err)
{
    struct fault_disk *fault = self;
    return !fails(fault, FAULT_MAKE, err) && fault->real.rename(fault->real.self, from, to, err);
}

static bool
fault_remove(void *self, const char *name, struct err *err)
{
    struct fault_disk *fault = self;
    return fault->real.remove(fault->real.self, name, err);
}

static bool
fault_list(void *self, void (*name)(void *each, const char *name), void *each, struct err *err)
{
    struct fault_disk *fault = self;
    return fault->real.list(fault->real.self, name, each, err);
}

struct log_disk
fault_disk(struct fault_disk *fault, struct log_disk real)
{
    fault->real = real;
    if (fault->kinds == 0)
        fault->kinds = FAULT_ALL;
    return (struct log_disk){
        .self = fault,
        .open = fault_open,
        .write = fault_write,
        .read = fault_read,
        .sync = fault_sync,
        .truncate = fault_truncate,
        .reserve = fault_reserve,
        .size = fault_size,
        .close = fault_close,
        .rename = fault_rename,
        .remove = fault_remove,
        .list = fault_list,
    };
}

void
fault_disk_arm(struct fault_disk *fault, int64_t later, int64_t fail_for)
{
    atomic_store(&fault->fail_for, fail_for);
    atomic_store(&fault->fail_at, atomic_load(&fault->calls) + 1 + later);
}
