#include "base/system.h"
#include "tap.h"

#include <errno.h>
#include <unistd.h>

/* What is said on standard error, caught by a pipe in its place. */
struct ear {
    int pipe[2], stderr_before;
};

static struct ear
listen_to_stderr(void)
{
    struct ear ear;
    must(pipe(ear.pipe) == 0);
    ear.stderr_before = dup(STDERR_FILENO);
    must(dup2(ear.pipe[1], STDERR_FILENO) >= 0);
    return ear;
}

static struct str
heard(struct ear *ear, char *out, size_t size)
{
    dup2(ear->stderr_before, STDERR_FILENO);
    close(ear->pipe[1]);
    ssize_t len = read(ear->pipe[0], out, size);
    close(ear->pipe[0]);
    close(ear->stderr_before);
    return (struct str){out, len < 0 ? 0 : (size_t)len};
}

static void
test_one_line_and_no_forged_ones(void)
{
    char text[8192];
    struct ear ear = listen_to_stderr();
    diag_warn("geo: %s", "a\nb\x1B[2Jü");
    CHECK_STR(heard(&ear, text, sizeof text), STR("tocsin: warning: geo: a\\x0ab\\x1b[2Jü\n"));
}

static void
test_levels_and_errno(void)
{
    char text[8192];
    struct ear ear = listen_to_stderr();
    errno = ENOSPC;
    diag_note("x: %m");
    diag_error("y");
    CHECK_STR(heard(&ear, text, sizeof text),
              STR("tocsin: x: No space left on device\ntocsin: error: y\n"));
}

static void
test_long_lines_are_cut(void)
{
    static char longest[5000];
    char text[8192];
    memset(longest, '\n', sizeof longest - 1);
    struct ear ear = listen_to_stderr();
    diag_note("%s", longest);
    struct str line = heard(&ear, text, sizeof text);
    CHECK(line.len > 1000 && line.len < 5000 && line.ptr[line.len - 1] == '\n');
    CHECK(memchr(line.ptr, '\n', line.len) == line.ptr + line.len - 1);
}

int
main(void)
{
    RUN(test_one_line_and_no_forged_ones);
    RUN(test_levels_and_errno);
    RUN(test_long_lines_are_cut);
    return tap_done();
}
