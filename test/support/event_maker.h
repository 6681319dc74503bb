/* event_maker - random events that any room's tests can use, the same ones for
 * the same seed. */
#ifndef SUPPORT_EVENT_MAKER_H
#define SUPPORT_EVENT_MAKER_H

#include "model/event.h"

/* xorshift64*: good enough for tests, and the same everywhere. The seed may not be 0. */
struct dice {
    uint64_t state;
};
uint64_t dice_roll(struct dice *dice);
size_t dice_below(struct dice *dice, size_t count);
bool dice_one_in(struct dice *dice, size_t count);

/* A text of up to `len_max` bytes with everything that is awkward in JSON: quotes, controls,
 * characters of one to four bytes. Never empty, never with a NUL. */
struct str dice_text(struct dice *dice, struct arena *arena, size_t len_max);
/* Any JSON: objects (no name twice), lists, numbers, texts, at most `depth` levels below. */
struct json dice_json(struct dice *dice, struct arena *arena, size_t depth);
struct json dice_object(struct dice *dice, struct arena *arena, size_t depth);

/* Every member may be there or not; what repeats (actors, actions, addresses) is drawn from a few.
 * `id` and `occurred_at` are always there, created_at is 0. */
struct event dice_event(struct dice *dice, struct arena *arena);

#endif
