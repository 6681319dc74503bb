/* histogram - how long things took, in buckets as Prometheus counts them. Not guarded: one thread
 * at a time. */
#ifndef BASE_HISTOGRAM_H
#define BASE_HISTOGRAM_H

#include "base/base.h"

#define HISTOGRAM_BUCKETS 16

/* Upper bounds, in microseconds, inclusive; what is above all of them is in `count` alone. */
extern const int64_t histogram_bound_us[HISTOGRAM_BUCKETS];

struct histogram {
    uint64_t bucket[HISTOGRAM_BUCKETS], count;
    int64_t sum_us;
};
void histogram_add(struct histogram *histogram, int64_t us);

#endif
