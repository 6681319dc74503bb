/* system - the machine's own clock, randomness and standard error. */
#include "base/system.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#undef diag_note /* here stand the functions */
#undef diag_warn
#undef diag_error

static int64_t
read_clock_us(clockid_t id)
{
    struct timespec now;
    must(clock_gettime(id, &now) == 0);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int64_t
system_wall_us(void *self)
{
    (void)self;
    return read_clock_us(CLOCK_REALTIME);
}

static int64_t
system_monotonic_us(void *self)
{
    (void)self;
    return read_clock_us(CLOCK_MONOTONIC);
}

struct clock
clock_system(void)
{
    return (struct clock){.wall_us = system_wall_us, .monotonic_us = system_monotonic_us};
}

static void
ask_kernel(unsigned char *at, size_t len)
{
    while (len > 0) {
        ssize_t got = getrandom(at, len, 0);
        must(got > 0 || (got < 0 && errno == EINTR));
        if (got > 0) {
            at += got;
            len -= (size_t)got;
        }
    }
}

/* Each event's id wants ten random bytes, and a call of the kernel for each would be a tenth of
 * the cost of an event in a batch. So each thread has some in store, and forgets what it has
 * given away. */
static void
system_fill(void *self, void *bytes, size_t len)
{
    static _Thread_local struct {
        unsigned char bytes[512];
        size_t left;
    } store;
    (void)self;
    if (len > sizeof store.bytes / 8) {
        ask_kernel(bytes, len);
        return;
    }
    if (store.left < len) {
        ask_kernel(store.bytes, sizeof store.bytes);
        store.left = sizeof store.bytes;
    }
    store.left -= len;
    memcpy(bytes, store.bytes + store.left, len);
    explicit_bzero(store.bytes + store.left, len);
}

struct random
random_system(void)
{
    return (struct random){.fill = system_fill};
}

/* One write of one line is whole even when several threads speak. What cannot be shown would let
 * a client forge lines, so it is escaped. */
static void
say(const char *level, const char *fmt, va_list args)
{
    char text[1024], line[sizeof text * 4 + 64];
    vsnprintf(text, sizeof text, fmt, args);

    size_t len = (size_t)snprintf(line, sizeof line, "tocsin: %s", level);
    for (const char *at = text; *at != '\0'; at++) {
        unsigned char c = (unsigned char)*at;
        if (c < 0x20 || c == 0x7f)
            len += (size_t)snprintf(line + len, sizeof line - len, "\\x%02x", c);
        else
            line[len++] = (char)c;
    }
    line[len++] = '\n';
    /* If nobody can be told, there is nobody to tell about it. */
    ssize_t written = write(STDERR_FILENO, line, len);
    (void)written;
}

void
diag_note(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    say("", fmt, args);
    va_end(args);
}

void
diag_warn(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    say("warning: ", fmt, args);
    va_end(args);
}

void
diag_error(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    say("error: ", fmt, args);
    va_end(args);
}
