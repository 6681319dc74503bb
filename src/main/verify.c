/* tocsin verify: reads the whole log of a stopped server and says what does not fit. */
#include "journal/journal.h"
#include "main/main_priv.h"

#include <stdio.h>
#include <string.h>

#define PATH_SIZE      4096
#define WORKSPACES_MAX 1000

struct verifying {
    uint64_t findings;
    struct str workspaces[WORKSPACES_MAX];
    size_t workspace_count;
};

static void
on_finding(void *self, const struct log_finding *finding)
{
    struct verifying *verifying = self;
    verifying->findings++;
    printf("%s: offset %llu: %s\n", finding->file, (unsigned long long)finding->offset,
           finding->text);
}

static void
on_break(void *self, const struct journal_break *found)
{
    struct verifying *verifying = self;
    char expected[2 * SHA256_SIZE], actual[2 * SHA256_SIZE];
    verifying->findings++;
    hex_encode(found->expected, SHA256_SIZE, expected);
    hex_encode(found->actual, SHA256_SIZE, actual);
    printf("event %.*s: %s: expected %.*s, actual %.*s\n", STR_ARG(found->event_id), found->type,
           (int)sizeof expected, expected, (int)sizeof actual, actual);
}

static bool
note_workspace(void *self, const struct journal_row *row)
{
    struct verifying *verifying = self;
    for (size_t i = 0; i < verifying->workspace_count; i++)
        if (str_equal(verifying->workspaces[i], row->workspace_id))
            return true;
    if (verifying->workspace_count < WORKSPACES_MAX)
        verifying->workspaces[verifying->workspace_count++] = base_copy(row->workspace_id);
    return true;
}

static bool
verify_chains(struct verifying *verifying, struct journal *journal, struct err *err)
{
    struct log_span all = {.from = 0, .to = UINT64_MAX};
    if (!journal_scan(journal, all, JOURNAL_KIND_BIT(JOURNAL_EVENT), (struct str){0},
                      note_workspace, verifying, err))
        return false;
    for (size_t i = 0; i < verifying->workspace_count; i++) {
        struct journal_verdict verdict;
        struct str workspace = verifying->workspaces[i];
        if (!journal_verify(journal, workspace, all, UINT64_MAX, on_break, verifying, &verdict,
                            err))
            return false;
        char hash[2 * SHA256_SIZE];
        hex_encode(verdict.head_hash, SHA256_SIZE, hash);
        printf("workspace %.*s: %llu events", STR_ARG(workspace),
               (unsigned long long)verdict.events_checked);
        if (verdict.has_head)
            printf(", head %.*s %.*s", ID_SIZE, verdict.head_event_id, (int)sizeof hash, hash);
        printf("\n");
    }
    return true;
}

static bool
verify(struct verifying *verifying, const struct log_disk *disk, struct err *err)
{
    struct journal_options options = {.log = {.disk = *disk, .read_only = true}};
    struct log_recovery recovery;
    struct journal *journal = NULL;
    uint64_t records = 0;
    if (!journal_open(&options, &journal, &recovery, err))
        return false;
    bool ok = log_verify(journal_log(journal), on_finding, verifying, &records, err);
    /* Where the bytes themselves do not fit, the chain over them says nothing more. */
    if (ok && verifying->findings == 0)
        ok = verify_chains(verifying, journal, err);
    journal_close(journal);
    if (ok)
        printf("%llu records, %llu findings\n", (unsigned long long)records,
               (unsigned long long)verifying->findings);
    return ok;
}

int
command_verify(const struct options *options)
{
    char folder[PATH_SIZE];
    struct log_disk disk;
    struct err err = {0};
    if (snprintf(folder, sizeof folder, "%s/log", options->data) >= PATH_SIZE)
        return EXIT_USAGE;
    if (!log_disk_open(folder, 0, &disk, &err))
        return fail(&err);
    struct verifying *verifying = base_alloc(1, sizeof *verifying);
    bool ok = verify(verifying, &disk, &err);
    log_disk_close(&disk);
    bool whole = ok && verifying->findings == 0;
    for (size_t i = 0; i < verifying->workspace_count; i++)
        base_free((char *)(uintptr_t)verifying->workspaces[i].ptr);
    base_free(verifying);
    if (!ok)
        return fail(&err);
    return whole ? EXIT_STOPPED : EXIT_FAILED;
}
