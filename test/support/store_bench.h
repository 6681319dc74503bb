/* store_bench - a store in a folder of its own, opened again in between. */
#ifndef SUPPORT_STORE_BENCH_H
#define SUPPORT_STORE_BENCH_H

#include "store/store.h"

struct bench {
    char folder[64];
    struct store *store;
    struct arena arena;
    struct err err;
};

struct bench bench_new(void);
void bench_reopen(struct bench *bench); /* as after an orderly stop */
void bench_free(struct bench *bench);   /* and the folder, in which nothing else may be left */

#endif
