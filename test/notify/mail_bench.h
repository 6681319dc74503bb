/* mail_bench - a bench with a mail server and one owner to write to. */
#ifndef TEST_NOTIFY_MAIL_BENCH_H
#define TEST_NOTIFY_MAIL_BENCH_H

#include "notify/bench.h"

#include "codec/time.h"

static char mail_bench_url[] = "smtp://localhost", mail_bench_from[] = "tocsin@example.com";
static const struct mail_server mail_bench_server = {.url = mail_bench_url,
                                                     .from = mail_bench_from};

static inline void
add_member(struct bench *bench, const char *id, const char *email, enum member_role role)
{
    struct store_member member = {.workspace_id = BENCH_WORKSPACE,
                                  .id = str_from(id),
                                  .email = str_from(email),
                                  .role = role,
                                  .created_at = BENCH_EPOCH,
                                  .updated_at = BENCH_EPOCH};
    must(store_member_add(bench->store, &member, &bench->err));
}

static inline void
begin(struct bench *bench)
{
    bench_init(bench);
    bench->mail = &mail_bench_server;
    bench->fake.status = 250;
    add_member(bench, "mem_1", "ana@example.com", MEMBER_OWNER);
    bench_open_notify(bench);
}

static inline struct alert
mailed(void)
{
    return (struct alert){.severity = SEVERITY_MEDIUM, .channels = CHANNEL_EMAIL};
}

static inline int64_t
add_alert(struct bench *bench, struct alert like)
{
    int64_t at = bench_alert_like(bench, like);
    bench_commit(bench);
    return at;
}

static inline void
add_alerts(struct bench *bench, int count)
{
    for (int i = 0; i < count; i++)
        bench_alert_like(bench, mailed());
    bench_commit(bench);
}

/* As if killed: nothing that was not written is. */
static inline void
crash(struct bench *bench)
{
    notify_free(bench->notify);
    bench->notify = NULL;
    bench->fake.open_count = 0;
    store_close(bench->store);
    bench->store = NULL;
    must(store_open(bench->folder, &bench->store, &bench->err));
    bench_open_notify(bench);
}

static inline bool
says(const struct bench *bench, const char *text)
{
    bool found = bench->fake.last_body != NULL && strstr(bench->fake.last_body, text) != NULL;
    if (!found)
        printf("# no \"%s\" in:\n%s\n", text,
               bench->fake.last_body == NULL ? "nothing" : bench->fake.last_body);
    return found;
}

#endif
