/* mmdb - a geo file as it may come from anywhere: what the walk lets pass must be safe to read. */
#include "enrich/enrich_priv.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* libmaxminddb 1.7 keeps a few kilobytes when it refuses damaged metadata: asked by sanitizers. */
const char *__lsan_default_suppressions(void);
const char *
__lsan_default_suppressions(void)
{
    return "leak:libmaxminddb";
}

static void
look_up(const struct mmdb *mmdb, const char *text)
{
    struct event_location location;
    struct address address;
    struct str org;
    int64_t asn;
    must(address_parse(str_from(text), &address));
    (void)mmdb_find_place(mmdb, &address, &location);
    (void)mmdb_find_network(mmdb, &address, &asn, &org);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    struct mmdb *mmdb;
    struct err err;
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    must(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    for (int networks = 0; networks < 2; networks++) {
        if (!mmdb_open(path, NULL, networks ? MMDB_NETWORKS : MMDB_UNKNOWN, &mmdb, &err))
            continue;
        look_up(mmdb, "8.8.8.8");
        look_up(mmdb, "0.0.0.0");
        look_up(mmdb, "255.255.255.255");
        look_up(mmdb, "2a02::1");
        look_up(mmdb, "ffff::");
        mmdb_close(mmdb);
    }
    close(fd);
    return 0;
}
