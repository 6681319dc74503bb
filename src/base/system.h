/* system - what a module is handed instead of asking the machine itself: time,
 * randomness, a place to say things to the operator. Tests hand in their own. */
#ifndef BASE_SYSTEM_H
#define BASE_SYSTEM_H

#include "base/base.h"

/* Microseconds. `wall` since the Unix epoch; `monotonic` since some moment. */
struct clock {
    void *self;
    int64_t (*wall_us)(void *self);
    int64_t (*monotonic_us)(void *self);
};
struct clock clock_system(void);

/* Fills with bytes nobody can guess (getrandom). Never fails. */
struct random {
    void *self;
    void (*fill)(void *self, void *bytes, size_t len);
};
struct random random_system(void);

/* Diagnostics for the operator: one line each on standard error, whole even
 * when several threads speak, control characters escaped:
 * "tocsin: warning: geo: city.mmdb is 120 days old". */
void diag_note(const char *fmt, ...) PRINTF_LIKE(1, 2);
void diag_warn(const char *fmt, ...) PRINTF_LIKE(1, 2);
void diag_error(const char *fmt, ...) PRINTF_LIKE(1, 2);
#define diag_note(...)  (__extension__ diag_note(__VA_ARGS__)) /* for %m, as in base.h */
#define diag_warn(...)  (__extension__ diag_warn(__VA_ARGS__))
#define diag_error(...) (__extension__ diag_error(__VA_ARGS__))

#endif
