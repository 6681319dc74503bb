#include "support/store_bench.h"

#include "tap.h"

#include <stdlib.h>
#include <unistd.h>

struct bench
bench_new(void)
{
    struct bench bench = {.folder = "/tmp/tocsin-store-XXXXXX"};
    must(mkdtemp(bench.folder) != NULL);
    arena_init(&bench.arena, 4096, 64u << 20);
    must(store_open(bench.folder, &bench.store, &bench.err));
    return bench;
}

void
bench_reopen(struct bench *bench)
{
    store_close(bench->store);
    bench->store = NULL;
    CHECK(store_open(bench->folder, &bench->store, &bench->err));
}

void
bench_free(struct bench *bench)
{
    store_close(bench->store);
    arena_fini(&bench->arena);
    char path[128];
    snprintf(path, sizeof path, "%s/tocsin.db", bench->folder);
    CHECK(unlink(path) == 0);
    CHECK(rmdir(bench->folder) == 0);
}
