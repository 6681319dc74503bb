/* E2, E3 over kill -9: a child takes events and changes rules until it is killed at some moment;
 * what it had answered is in the log, the log's alerts are its fold, and the server that comes up
 * after it has the states of one that was never killed. */
#include "support/oracle.h"
#include "support/rig.h"

#include "tap.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SENT = 20 };

struct answered {
    log_at at;
    uint64_t number;
};

/* -- the child ------------------------------------------------------------------------------ */

static void
tell(int pipe, const struct submission *sent, uint64_t number)
{
    for (size_t i = 0; i < sent->count; i++) {
        struct answered answered = {sent->items[i].at, number + i};
        if (sent->items[i].status == ENGINE_STORED)
            must(write(pipe, &answered, sizeof answered) == (ssize_t)sizeof answered);
    }
}

static struct submission *
send_one(struct rig *rig, struct dice *dice, uint64_t *number_out)
{
    size_t count = dice_one_in(dice, 3) ? 1 + dice_below(dice, 200) : 1;
    struct str workspace_id = rig_workspace(dice_below(dice, RIG_WORKSPACES));
    struct submission *sent = rig_submission(rig, workspace_id, count);
    *number_out = rig->ids + 1;
    for (size_t i = 0; i < count; i++) {
        struct event event = rig_event(rig, dice, &sent->arena);
        rig_item(sent, i, &event);
    }
    rig_submit(rig, sent);
    return sent;
}

/* Some are always out, so that there is no quiet moment. Never comes to an end by itself. */
static void
live(struct rig *rig, uint64_t seed, int pipe)
{
    struct dice dice = {seed};
    struct err err = {0};
    struct submission *sent[SENT] = {NULL};
    uint64_t numbers[SENT];
    rig->ids = seed * 1000000;
    must(rig_start(rig, &err));
    for (size_t round = 0;; round++) {
        size_t i = round % SENT;
        if (sent[i] != NULL) {
            rig_await(rig, sent[i]);
            tell(pipe, sent[i], numbers[i]);
            rig_submission_free(sent[i]);
        }
        sent[i] = send_one(rig, &dice, &numbers[i]);
        rig_pass_time(rig, (int64_t)dice_below(&dice, 3000000));
        if (!dice_one_in(&dice, 30))
            continue;
        unsigned number = rig_change_rule(rig, &dice);
        if (dice_one_in(&dice, 2)) /* else it learns while the next are taken */
            rig_await_rule(rig, number, 0);
    }
}

/* -- the one who kills it --------------------------------------------------------------------- */

static bool
read_one(int pipe, struct answered *answered_out)
{
    size_t got = 0;
    while (got < sizeof *answered_out) {
        ssize_t len = read(pipe, (char *)answered_out + got, sizeof *answered_out - got);
        if (len < 0 && errno == EINTR)
            continue;
        if (len <= 0)
            return false;
        got += (size_t)len;
    }
    return true;
}

/* Lets a child answer so many events, kills it, and gives all that it had answered. */
static size_t
run_and_kill(struct rig *rig, uint64_t seed, size_t after, struct answered **answered_out)
{
    int ends[2];
    must(pipe(ends) == 0);
    fflush(stdout);
    pid_t child = fork();
    must(child >= 0);
    if (child == 0) {
        close(ends[0]);
        live(rig, seed, ends[1]);
    }
    close(ends[1]);
    size_t count = 0, cap = 0;
    struct answered *answered = NULL, one;
    while (read_one(ends[0], &one)) {
        if (count == cap) {
            cap = cap == 0 ? 1024 : cap * 2;
            answered = base_realloc(answered, cap * sizeof *answered);
        }
        answered[count++] = one;
        if (count == after)
            must(kill(child, SIGKILL) == 0);
    }
    close(ends[0]);
    int status;
    must(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    *answered_out = answered;
    return count;
}

struct looking {
    struct json_parser *parser;
    uint64_t number;
};

static bool
note_number(void *self, const struct journal_row *row)
{
    struct looking *looking = self;
    struct arena arena;
    struct json json;
    struct err err = {0};
    arena_init(&arena, 16384, 1 << 20);
    must(json_parse(looking->parser, row->stored, &arena, &json, &err));
    struct str id = json_get(&json, STR("id"))->text;
    char digits[13] = {0};
    memcpy(digits, id.ptr + id.len - 12, 12);
    looking->number = strtoull(digits, NULL, 16);
    arena_fini(&arena);
    return true;
}

static void
check_answered(struct rig *rig, const struct answered *answered, size_t count)
{
    size_t lost = 0;
    for (size_t i = 0; i < count; i++) {
        struct looking looking = {rig->parser, 0};
        struct log_span span = {.from = answered[i].at, .to = answered[i].at};
        struct err err = {0};
        must(journal_scan(rig->journal, span, JOURNAL_KIND_BIT(JOURNAL_EVENT), (struct str){0},
                          note_number, &looking, &err));
        lost += looking.number != answered[i].number;
    }
    CHECK_INT((intmax_t)lost, 0);
}

static void
test_e2_e3_kill_at_any_moment(void)
{
    struct rig rig;
    struct dice dice = {17};
    rig_init(&rig);
    rig.segment_bytes = 2u << 20;
    for (uint64_t generation = 1; generation <= 8; generation++) {
        struct answered *answered;
        struct err err = {0};
        /* With many actors a checkpoint takes a while, in which others change. */
        rig.checkpoint_us = generation % 3 == 0 ? 60000000 : 1;
        rig.actors = generation % 2 == 0 ? 12 : 3000;
        size_t after = 1 + dice_below(&dice, 9000);
        size_t count = run_and_kill(&rig, generation, after, &answered);
        CHECK(count >= after);
        if (!CHECK(rig_start(&rig, &err))) {
            printf("# %s\n", err.text);
            break;
        }
        struct engine_stats stats;
        engine_stats(rig.engine, &stats);
        CHECK_INT((intmax_t)stats.recovery_differences, 0);
        check_answered(&rig, answered, count);
        rig_halt(&rig);
        struct oracle_verdict verdict = oracle_ask(rig.journal, rig.states, rig.subjects_max);
        printf("# %zu answered; %zu events, %zu alerts, %zu lineages, %zu states\n", count,
               verdict.events, verdict.alerts, verdict.lineages, verdict.states);
        CHECK_INT((intmax_t)oracle_faults(&verdict), 0);
        rig_close(&rig);
        base_free(answered);
    }
    rig_fini(&rig);
}

int
main(void)
{
    RUN(test_e2_e3_kill_at_any_moment);
    return tap_done();
}
