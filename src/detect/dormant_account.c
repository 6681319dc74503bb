/* dormant_account - somebody comes back after a long time.
 *
 * STATE. When the actor was last seen. */
#include "detect/detect_priv.h"

#include <inttypes.h>

struct dormant_account {
    int64_t days;
};

static const struct condition conditions[] = {
    {
        .name = "days",
        .type = CONDITION_INTEGER,
        .offset = offsetof(struct dormant_account, days),
        .low = 1,
        .high = 3650,
        .fallback = "90",
        .summary = "How long ago the last matching event must be at least.",
    },
};

/* However long it was, it is told: nothing is too old to matter. */
static int64_t
memory_us(const void *self)
{
    (void)self;
    return INT64_MAX;
}

static void
step(const void *self, const struct event *event, struct fold *fold)
{
    const struct dormant_account *rule = self;
    int64_t now_us = event->occurred_at, last_us = now_us;
    if (fold->old.len > 0) {
        struct state_reader reader = state_read(fold->old);
        last_us = state_take_time(&reader);
    }
    int64_t idle_us = now_us - last_us, idle_days = idle_us / TIME_US_PER_DAY;
    if (idle_us >= rule->days * TIME_US_PER_DAY && fold_fires(fold)) {
        char last[TIME_TEXT_SIZE];
        time_format(last_us, last);
        tell_action(&fold->reason, event);
        buffer_printf(&fold->reason, " after %" PRId64 " days of silence: last seen on %.10s",
                      idle_days, last);
        json_put_time(&fold->context, "last_seen", last_us);
        json_put_int(&fold->context, "idle_days", idle_days);
    }
    state_put_time(fold_change(fold), now_us > last_us ? now_us : last_us);
}

const struct detector dormant_account_detector = {
    .rule_type = "dormant_account",
    .summary = "An actor acts again after not having been seen for a long time.",
    .notes = "The first event of an actor is learnt. Late events never fire and do not turn the "
             "last sight back. Anonymous actors are not seen. Context: last_seen, idle_days "
             "(whole days).",
    .severity = SEVERITY_MEDIUM,
    .habit = true,
    .conditions = conditions,
    .condition_count = COUNT_OF(conditions),
    .size = sizeof(struct dormant_account),
    .step = step,
    .memory_us = memory_us,
};
