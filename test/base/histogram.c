/* Histograms, as Prometheus counts. */
#include "base/histogram.h"

#include "tap.h"

static void
test_a_time_is_counted_in_the_first_bucket_that_holds_it(void)
{
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        struct histogram histogram = {0};
        histogram_add(&histogram, histogram_bound_us[i]);
        histogram_add(&histogram, histogram_bound_us[i] + 1);
        CHECK_INT((intmax_t)histogram.bucket[i], 1);
        CHECK(i + 1 == HISTOGRAM_BUCKETS || histogram.bucket[i + 1] == 1);
        CHECK_INT((intmax_t)histogram.count, 2);
        CHECK_INT(histogram.sum_us, 2 * histogram_bound_us[i] + 1);
    }
}

static void
test_bounds_rise(void)
{
    for (size_t i = 1; i < HISTOGRAM_BUCKETS; i++)
        CHECK(histogram_bound_us[i] > histogram_bound_us[i - 1]);
}

int
main(void)
{
    RUN(test_a_time_is_counted_in_the_first_bucket_that_holds_it);
    RUN(test_bounds_rise);
    return tap_done();
}
