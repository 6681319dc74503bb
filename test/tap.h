/* tap - the whole of our unit-test framework: a test program prints TAP, and
 * `prove` runs the programs. A check that fails says where and what, and the
 * test goes on, so that its cleanup runs and sanitizers stay quiet. */
#ifndef TAP_H
#define TAP_H

#include "base/base.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Of so many rounds with other dice, how many to play: TSan makes a round ten times as dear, and
 * what it looks for shows in each, whatever the dice. */
#ifdef __SANITIZE_THREAD__
#define TAP_ROUNDS(n) (((n) + 3) / 4)
#else
#define TAP_ROUNDS(n) (n)
#endif

static unsigned tap_count, tap_failed_here, tap_failed;

static inline bool
tap_check(bool ok, const char *what, const char *file, int line)
{
    if (!ok) {
        printf("# %s:%d: %s\n", file, line, what);
        tap_failed_here++;
    }
    return ok;
}

static inline bool
tap_int(intmax_t got, intmax_t want, const char *what, const char *file, int line)
{
    if (got != want)
        printf("# got %jd, want %jd\n", got, want);
    return tap_check(got == want, what, file, line);
}

static inline bool
tap_text(const char *got, const char *want, const char *what, const char *file, int line)
{
    if (strcmp(got, want) != 0)
        printf("# got  \"%s\"\n# want \"%s\"\n", got, want);
    return tap_check(strcmp(got, want) == 0, what, file, line);
}

static inline bool
tap_str(struct str got, struct str want, const char *what, const char *file, int line)
{
    bool same = str_equal(got, want);
    if (!same)
        printf("# got  \"%.*s\"\n# want \"%.*s\"\n", STR_ARG(got), STR_ARG(want));
    return tap_check(same, what, file, line);
}

#define CHECK(cond)           tap_check((cond), #cond, __FILE__, __LINE__)
#define CHECK_INT(got, want)  tap_int((got), (want), #got " == " #want, __FILE__, __LINE__)
#define CHECK_TEXT(got, want) tap_text((got), (want), #got, __FILE__, __LINE__)
#define CHECK_STR(got, want)  tap_str((got), (want), #got, __FILE__, __LINE__)

#define RUN(test)                                                                                  \
    do {                                                                                           \
        tap_failed_here = 0;                                                                       \
        test();                                                                                    \
        tap_failed += tap_failed_here > 0;                                                         \
        printf("%s %u - %s\n", tap_failed_here ? "not ok" : "ok", ++tap_count, #test);             \
        fflush(stdout); /* a later test that crashes must not take this line along */              \
    } while (0)

static inline int
tap_done(void)
{
    printf("1..%u\n", tap_count);
    return tap_failed > 0;
}

#endif
