/* stamp - positions: the wall clock in microseconds, but always later than the one before.
 *
 * A wall clock that jumps ahead would carry the log with it, and setting it right again would
 * leave every later position a bare count. So a jump is doubted for a minute, and time goes on by
 * the monotonic clock; only then is it believed. A clock that is set back needs no rule:
 * positions go on from the last. */
#include "engine/engine_priv.h"

#include "codec/time.h"

#include <inttypes.h>

enum { JUMP_US = 10 * 1000000, DOUBT_US = 60 * 1000000 };

static void
anchor(struct stamp *stamp, int64_t wall, int64_t monotonic)
{
    stamp->anchor_wall = wall;
    stamp->anchor_monotonic = monotonic;
    stamp->now = wall;
}

void
stamp_init(struct stamp *stamp, struct clock clock, log_at last)
{
    *stamp = (struct stamp){.clock = clock, .last = last};
    anchor(stamp, clock.wall_us(clock.self), clock.monotonic_us(clock.self));
}

static void
doubt(struct stamp *stamp, int64_t wall, int64_t expected, int64_t monotonic)
{
    if (!stamp->doubting) {
        stamp->doubting = true;
        stamp->doubted_since = monotonic;
        diag_warn("engine: the wall clock jumped ahead by %" PRId64
                  " s; it is not followed for 60 s",
                  (wall - expected) / (int64_t)TIME_US_PER_SECOND);
    }
    if (monotonic - stamp->doubted_since < DOUBT_US) {
        stamp->now = expected;
        return;
    }
    stamp->doubting = false;
    diag_warn("engine: the wall clock is still ahead after 60 s; it is followed again");
    anchor(stamp, wall, monotonic);
}

void
stamp_look(struct stamp *stamp)
{
    int64_t wall = stamp->clock.wall_us(stamp->clock.self);
    int64_t monotonic = stamp->clock.monotonic_us(stamp->clock.self);
    int64_t expected = stamp->anchor_wall + (monotonic - stamp->anchor_monotonic);
    if (wall - expected > JUMP_US) {
        doubt(stamp, wall, expected, monotonic);
        return;
    }
    if (stamp->doubting) {
        stamp->doubting = false;
        diag_note("engine: the wall clock came back; it is followed again");
    }
    anchor(stamp, wall, monotonic);
}

log_at
stamp_next(struct stamp *stamp)
{
    log_at now = stamp->now > 0 ? (log_at)stamp->now : 0;
    stamp->last = now > stamp->last ? now : stamp->last + 1;
    return stamp->last;
}
