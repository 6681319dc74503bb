/* Positions follow the wall clock, never go back, and do not follow it into a jump. */
#include "engine/engine_priv.h"

#include "tap.h"

enum { SECOND = 1000000 };

struct hands {
    int64_t wall, monotonic;
};

static int64_t
wall(void *self)
{
    return ((struct hands *)self)->wall;
}

static int64_t
monotonic(void *self)
{
    return ((struct hands *)self)->monotonic;
}

static void
pass(struct hands *hands, int64_t us)
{
    hands->wall += us;
    hands->monotonic += us;
}

static log_at
look(struct stamp *stamp)
{
    stamp_look(stamp);
    return stamp_next(stamp);
}

static void
test_a_position_is_the_time_or_one_more_than_the_last(void)
{
    struct hands hands = {1000 * SECOND, 5};
    struct stamp stamp;
    stamp_init(&stamp, (struct clock){&hands, wall, monotonic}, 0);
    CHECK_INT((intmax_t)look(&stamp), 1000 * SECOND);
    CHECK_INT((intmax_t)look(&stamp), 1000 * SECOND + 1);
    CHECK_INT((intmax_t)stamp_next(&stamp), 1000 * SECOND + 2);
    pass(&hands, 10);
    CHECK_INT((intmax_t)look(&stamp), 1000 * SECOND + 10);
}

static void
test_a_clock_set_back_leaves_positions_growing(void)
{
    struct hands hands = {1000 * SECOND, 0};
    struct stamp stamp;
    stamp_init(&stamp, (struct clock){&hands, wall, monotonic}, 2000 * (log_at)SECOND);
    CHECK_INT((intmax_t)look(&stamp), 2000 * (intmax_t)SECOND + 1);
    hands.wall -= 500 * (int64_t)SECOND;
    CHECK_INT((intmax_t)look(&stamp), 2000 * (intmax_t)SECOND + 2);
    hands.wall = 2001 * (int64_t)SECOND;
    hands.monotonic = 1501 * (int64_t)SECOND;
    CHECK_INT((intmax_t)look(&stamp), 2001 * (intmax_t)SECOND);
}

static void
test_a_jump_ahead_is_not_followed_for_a_minute(void)
{
    struct hands hands = {1000 * SECOND, 0};
    struct stamp stamp;
    stamp_init(&stamp, (struct clock){&hands, wall, monotonic}, 0);
    hands.wall += 3600 * (int64_t)SECOND;
    CHECK_INT((intmax_t)look(&stamp), 1000 * SECOND);
    pass(&hands, 30 * SECOND);
    CHECK_INT((intmax_t)look(&stamp), 1030 * SECOND);
    pass(&hands, 30 * SECOND - 1);
    CHECK_INT((intmax_t)look(&stamp), 1060 * SECOND - 1);
    pass(&hands, 1);
    CHECK_INT((intmax_t)look(&stamp), 4660 * (intmax_t)SECOND);
}

static void
test_a_jump_that_is_taken_back_leaves_no_trace(void)
{
    struct hands hands = {1000 * SECOND, 0};
    struct stamp stamp;
    stamp_init(&stamp, (struct clock){&hands, wall, monotonic}, 0);
    hands.wall += 3600 * (int64_t)SECOND;
    pass(&hands, SECOND);
    CHECK_INT((intmax_t)look(&stamp), 1001 * SECOND);
    hands.wall -= 3600 * (int64_t)SECOND;
    pass(&hands, SECOND);
    CHECK_INT((intmax_t)look(&stamp), 1002 * SECOND);
    /* The next one is doubted for a whole minute again. */
    hands.wall += 3600 * (int64_t)SECOND;
    pass(&hands, 59 * SECOND);
    CHECK_INT((intmax_t)look(&stamp), 1061 * SECOND);
}

static void
test_ten_seconds_are_no_jump(void)
{
    struct hands hands = {1000 * SECOND, 0};
    struct stamp stamp;
    stamp_init(&stamp, (struct clock){&hands, wall, monotonic}, 0);
    hands.wall += 10 * SECOND;
    CHECK_INT((intmax_t)look(&stamp), 1010 * SECOND);
    /* Sleeping for an hour is none either: both clocks move. */
    pass(&hands, 1000 * SECOND);
    CHECK_INT((intmax_t)look(&stamp), 2010 * (intmax_t)SECOND);
}

int
main(void)
{
    RUN(test_a_position_is_the_time_or_one_more_than_the_last);
    RUN(test_a_clock_set_back_leaves_positions_growing);
    RUN(test_a_jump_ahead_is_not_followed_for_a_minute);
    RUN(test_a_jump_that_is_taken_back_leaves_no_trace);
    RUN(test_ten_seconds_are_no_jump);
    return tap_done();
}
