/* histogram - from a sync of a good disk to a retry of a receiver that was down for an hour. */
#include "base/histogram.h"

const int64_t histogram_bound_us[HISTOGRAM_BUCKETS] = {
    100,   250,    500,    1000,    2000,    5000,     10000,     20000,
    50000, 100000, 250000, 1000000, 5000000, 30000000, 300000000, 3600000000,
};

void
histogram_add(struct histogram *histogram, int64_t us)
{
    size_t bucket = 0;
    while (bucket < HISTOGRAM_BUCKETS && us > histogram_bound_us[bucket])
        bucket++;
    if (bucket < HISTOGRAM_BUCKETS)
        histogram->bucket[bucket]++;
    histogram->count++;
    histogram->sum_us += us;
}
