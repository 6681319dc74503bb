/* What is configured comes back as it was put: workspaces, keys, rules, webhooks, settings,
 * triage. */
#include "support/store_bench.h"

#include "model/limits.h"
#include "tap.h"

#include <pthread.h>

static bool
same(struct str a, struct str b)
{
    if ((a.ptr == NULL) != (b.ptr == NULL))
        return false;
    return str_equal(a, b);
}

/* -- workspaces and keys ---------------------------------------------------------- */

static void
test_workspaces_come_back_in_order_and_names_are_unique(void)
{
    struct bench bench = bench_new();
    struct store_workspace first = {STR("ws_00000001"), STR("default"), 10};
    struct store_workspace second = {STR("ws_00000002"), STR("acme"), 20};
    struct store_workspace rival = {STR("ws_00000003"), STR("acme"), 30};
    uint64_t generation = store_generation(bench.store);
    CHECK(store_workspace_add(bench.store, &second, NULL, &bench.err));
    CHECK(store_workspace_add(bench.store, &first, NULL, &bench.err));
    CHECK(store_generation(bench.store) > generation);
    generation = store_generation(bench.store);
    CHECK(!store_workspace_add(bench.store, &rival, NULL, &bench.err));
    CHECK_INT(bench.err.code, ERR_CONFLICT);
    CHECK(store_generation(bench.store) == generation);
    rival.name = STR("other"); /* the refusal left nothing open */
    CHECK(store_workspace_add(bench.store, &rival, NULL, &bench.err));

    bench_reopen(&bench);
    struct store_workspace *list = NULL;
    size_t count = 0;
    CHECK(store_workspaces(bench.store, &bench.arena, &list, &count, &bench.err));
    if (CHECK_INT((intmax_t)count, 3)) {
        CHECK(same(list[0].id, first.id) && same(list[0].name, first.name));
        CHECK(same(list[1].id, second.id));
        CHECK_INT(list[1].created_at, 20);
    }
    bench_free(&bench);
}

static struct store_key
sample_key(struct str id)
{
    static struct network networks[2];
    static const struct str tenants[] = {STR_INIT("org \"a\""), STR_INIT("org_b")};
    must(network_parse(STR("10.0.0.0/8"), &networks[0]));
    must(network_parse(STR("2001:db8::/32"), &networks[1]));
    struct store_key key = {
        .workspace_id = STR("ws_00000001"),
        .id = id,
        .prefix = STR("imk_sk_ab"),
        .roles = ROLE_INGEST | ROLE_TRIAGE,
        .rate_per_minute = 60,
        .networks = networks,
        .network_count = COUNT_OF(networks),
        .tenants = tenants,
        .tenant_count = COUNT_OF(tenants),
        .expires_at = 77,
        .created_at = 5,
    };
    for (size_t i = 0; i < sizeof key.hash; i++)
        key.hash[i] = (unsigned char)(i * 7 + id.len + (unsigned char)id.ptr[0]);
    return key;
}

static void
test_a_key_comes_back_with_every_bound_it_was_given(void)
{
    struct bench bench = bench_new();
    struct store_key key = sample_key(STR("key_1"));
    CHECK(store_key_add(bench.store, &key, &bench.err));
    bench_reopen(&bench);
    struct store_key *list = NULL;
    size_t count = 0;
    CHECK(store_keys(bench.store, (struct str){0}, &bench.arena, &list, &count, &bench.err));
    if (CHECK_INT((intmax_t)count, 1)) {
        CHECK(same(list[0].id, key.id) && same(list[0].workspace_id, key.workspace_id));
        CHECK(list[0].label.ptr == NULL);
        CHECK(same(list[0].prefix, key.prefix));
        CHECK(memcmp(list[0].hash, key.hash, sizeof key.hash) == 0);
        CHECK_INT(list[0].roles, ROLE_INGEST | ROLE_TRIAGE);
        CHECK_INT(list[0].rate_per_minute, 60);
        CHECK_INT(list[0].expires_at, 77);
        CHECK_INT((intmax_t)list[0].network_count, 2);
        CHECK_INT(list[0].networks[1].prefix, 32);
        CHECK(memcmp(list[0].networks[1].base.bytes, key.networks[1].base.bytes, 16) == 0);
        CHECK_INT((intmax_t)list[0].tenant_count, 2);
        CHECK(same(list[0].tenants[0], key.tenants[0]));
    }
    bench_free(&bench);
}

static void
test_a_deleted_key_is_gone_and_only_its_workspace_can_delete_it(void)
{
    struct bench bench = bench_new();
    struct store_key key = sample_key(STR("key_1"));
    struct store_key *list = NULL;
    size_t count = 9;
    CHECK(store_key_add(bench.store, &key, &bench.err));
    CHECK(!store_key_delete(bench.store, STR("ws_other"), key.id, &bench.err));
    CHECK_INT(bench.err.code, ERR_NOT_FOUND);
    CHECK(store_key_delete(bench.store, key.workspace_id, key.id, &bench.err));
    CHECK(!store_key_delete(bench.store, key.workspace_id, key.id, &bench.err));
    CHECK(store_keys(bench.store, key.workspace_id, &bench.arena, &list, &count, &bench.err));
    CHECK_INT((intmax_t)count, 0);
    bench_free(&bench);
}

/* -- rules ------------------------------------------------------------------------- */

static struct rule
sample_rule(struct str id)
{
    return (struct rule){
        .workspace_id = STR("ws_00000001"),
        .id = id,
        .name = STR("Login from \"New\" Country"),
        .rule_type = STR("new_country"),
        .conditions = STR("{\"action_pattern\":\"auth.login\"}"),
        .channels = CHANNEL_WEBHOOK,
        .severity = SEVERITY_HIGH,
        .enabled = true,
        .cooldown_minutes = 7,
        .created_at = 1000000,
        .updated_at = 2000000,
    };
}

static void
test_a_rule_counts_its_versions_and_those_that_need_learning(void)
{
    struct bench bench = bench_new();
    struct rule rule = sample_rule(STR("rul_1")), back = {0};
    CHECK(store_rule_put(bench.store, &rule, &bench.err));
    CHECK_INT(rule.version, 1);
    CHECK_INT(rule.fold_version, 1);
    rule.name = STR("other");
    rule.severity = SEVERITY_LOW;
    CHECK(store_rule_put(bench.store, &rule, &bench.err));
    CHECK_INT(rule.version, 2);
    CHECK_INT(rule.fold_version, 1);
    rule.conditions = STR("{\"action_pattern\":\"*\"}");
    CHECK(store_rule_put(bench.store, &rule, &bench.err));
    rule.enabled = false;
    CHECK(store_rule_put(bench.store, &rule, &bench.err));
    CHECK_INT(rule.version, 4);
    CHECK_INT(rule.fold_version, 3);

    bench_reopen(&bench);
    CHECK(store_rule(bench.store, rule.workspace_id, rule.id, &bench.arena, &back, &bench.err));
    CHECK(same(back.name, rule.name) && same(back.rule_type, rule.rule_type));
    CHECK(same(back.conditions, rule.conditions));
    CHECK_INT(back.channels, CHANNEL_WEBHOOK);
    CHECK_INT(back.severity, SEVERITY_LOW);
    CHECK(!back.enabled);
    CHECK_INT(back.cooldown_minutes, 7);
    CHECK_INT(back.version, 4);
    CHECK_INT(back.fold_version, 3);
    CHECK_INT(back.created_at, 1000000);
    CHECK(!store_rule(bench.store, STR("ws_x"), rule.id, &bench.arena, &back, &bench.err));
    CHECK_INT(bench.err.code, ERR_NOT_FOUND);
    CHECK(store_rule_delete(bench.store, rule.workspace_id, rule.id, &bench.err));
    CHECK(!store_rule_delete(bench.store, rule.workspace_id, rule.id, &bench.err));
    CHECK_INT(bench.err.code, ERR_NOT_FOUND);
    bench_free(&bench);
}

static void
test_a_workspace_holds_no_more_rules_than_the_limit(void)
{
    struct bench bench = bench_new();
    char id[16];
    for (int i = 0; i < LIMIT_RULES; i++) {
        snprintf(id, sizeof id, "rul_%03d", i);
        struct rule rule = sample_rule(str_from(id));
        CHECK(store_rule_put(bench.store, &rule, &bench.err));
    }
    struct rule more = sample_rule(STR("rul_more")), known = sample_rule(STR("rul_000"));
    CHECK(!store_rule_put(bench.store, &more, &bench.err));
    CHECK_INT(bench.err.code, ERR_LIMIT);
    CHECK_INT(more.version, 0);
    CHECK(store_rule_put(bench.store, &known, &bench.err)); /* a change is no new one */
    more.workspace_id = STR("ws_00000002");
    CHECK(store_rule_put(bench.store, &more, &bench.err));

    struct rule *list = NULL;
    size_t count = 0;
    CHECK(store_rules(bench.store, known.workspace_id, &bench.arena, &list, &count, &bench.err));
    CHECK_INT((intmax_t)count, LIMIT_RULES);
    CHECK(store_rules(bench.store, (struct str){0}, &bench.arena, &list, &count, &bench.err));
    CHECK_INT((intmax_t)count, LIMIT_RULES + 1);
    bench_free(&bench);
}

/* -- webhooks ---------------------------------------------------------------------- */

static struct webhook
sample_webhook(struct str id)
{
    return (struct webhook){
        .workspace_id = STR("ws_00000001"),
        .id = id,
        .url = STR("https://hooks.example.com/x"),
        .format = WEBHOOK_IMMUTABLE,
        .events = {.type = JSON_ARRAY},
        .tenant_ids = {.type = JSON_ARRAY},
        .enabled = true,
        .secret = STR("whsec_c2VjcmV0"),
        .connect_timeout_ms = 3000,
        .timeout_ms = 10000,
        .since = 100,
        .created_at = 1000000,
        .updated_at = 1000000,
    };
}

static struct webhook
only_webhook(struct bench *bench, bool ended)
{
    struct webhook *list = NULL;
    size_t count = 0;
    CHECK(store_webhooks(bench->store, (struct str){0}, ended, &bench->arena, &list, &count,
                         &bench->err));
    return CHECK_INT((intmax_t)count, 1) ? list[0] : (struct webhook){0};
}

static void
test_a_deleted_webhook_is_not_listed_but_kept_with_its_end(void)
{
    struct bench bench = bench_new();
    struct webhook webhook = sample_webhook(STR("whk_1"));
    CHECK(store_webhook_put(bench.store, &webhook, &bench.err));
    struct webhook back = only_webhook(&bench, false);
    CHECK(same(back.url, webhook.url) && same(back.secret, webhook.secret));
    CHECK_INT(back.since, 100);
    CHECK_INT(back.until, 0);

    uint64_t generation = store_generation(bench.store);
    CHECK(store_webhook_delete(bench.store, webhook.workspace_id, webhook.id, 500, &bench.err));
    CHECK(store_generation(bench.store) > generation);
    struct webhook *list = NULL;
    size_t count = 9;
    CHECK(store_webhooks(bench.store, webhook.workspace_id, false, &bench.arena, &list, &count,
                         &bench.err));
    CHECK_INT((intmax_t)count, 0);
    CHECK_INT(only_webhook(&bench, true).until, 500);
    CHECK(!store_webhook_delete(bench.store, webhook.workspace_id, webhook.id, 9, &bench.err));
    CHECK_INT(bench.err.code, ERR_NOT_FOUND);
    CHECK(!store_webhook_put(bench.store, &webhook, &bench.err)); /* it stays deleted */
    CHECK_INT(bench.err.code, ERR_NOT_FOUND);
    bench_free(&bench);
}

static void
test_a_webhook_that_was_switched_off_says_why_and_since_when(void)
{
    struct bench bench = bench_new();
    struct webhook webhook = sample_webhook(STR("whk_1"));
    CHECK(store_webhook_put(bench.store, &webhook, &bench.err));
    CHECK(store_webhook_disable(bench.store, &webhook, STR("it answered 410"), 300, 9000000,
                                &bench.err));
    bench_reopen(&bench);
    struct webhook back = only_webhook(&bench, false);
    CHECK(!back.enabled);
    CHECK(same(back.disabled_reason, STR("it answered 410")));
    CHECK_INT(back.until, 300);
    CHECK_INT(back.updated_at, 9000000);
    back.enabled = true; /* by hand: in force again */
    CHECK(store_webhook_put(bench.store, &back, &bench.err));
    CHECK_INT(only_webhook(&bench, false).until, 0);
    bench_free(&bench);
}

static void
test_a_workspace_holds_no_more_webhooks_than_the_limit(void)
{
    struct bench bench = bench_new();
    char id[16];
    for (int i = 0; i < LIMIT_WEBHOOKS; i++) {
        snprintf(id, sizeof id, "whk_%03d", i);
        struct webhook webhook = sample_webhook(str_from(id));
        CHECK(store_webhook_put(bench.store, &webhook, &bench.err));
    }
    struct webhook more = sample_webhook(STR("whk_more"));
    struct webhook known = sample_webhook(STR("whk_007"));
    CHECK(!store_webhook_put(bench.store, &more, &bench.err));
    CHECK_INT(bench.err.code, ERR_LIMIT);
    CHECK(store_webhook_put(bench.store, &known, &bench.err));
    CHECK(store_webhook_delete(bench.store, known.workspace_id, known.id, 1, &bench.err));
    CHECK(store_webhook_put(bench.store, &more, &bench.err)); /* there is room again */
    bench_free(&bench);
}

/* -- settings and triage -------------------------------------------------------------- */

static void
show_setting(void *self, struct str workspace_id, struct str name, struct str json)
{
    buffer_printf(self, "%.*s %.*s %.*s\n", STR_ARG(workspace_id), STR_ARG(name), STR_ARG(json));
}

static void
test_a_setting_keeps_its_newest_value(void)
{
    struct bench bench = bench_new();
    struct str one = STR("ws_1"), two = STR("ws_2"), name = STR("transactions");
    CHECK(store_setting_put(bench.store, one, name, STR("\"none\""), &bench.err));
    CHECK(store_setting_put(bench.store, two, name, STR("true"), &bench.err));
    CHECK(store_setting_put(bench.store, one, name, STR("\"all\""), &bench.err));
    bench_reopen(&bench);
    struct buffer text;
    buffer_init(&text, 4096);
    CHECK(store_settings(bench.store, one, show_setting, &text, &bench.err));
    buffer_add_char(&text, '\n');
    CHECK(store_settings(bench.store, (struct str){0}, show_setting, &text, &bench.err));
    buffer_add_char(&text, '\0');
    CHECK_TEXT(text.ptr, "ws_1 transactions \"all\"\n\n"
                         "ws_1 transactions \"all\"\nws_2 transactions true\n");
    buffer_fini(&text);
    bench_free(&bench);
}

static void
test_a_workspace_comes_with_all_that_it_begins_with_or_not_at_all(void)
{
    struct bench bench = bench_new();
    struct store_workspace workspace = {STR("ws_00000001"), STR("default"), 10}, *workspaces;
    struct store_key key = sample_key(STR("key_1")), *keys;
    struct rule rules[] = {sample_rule(STR("rul_1")), sample_rule(STR("rul_2"))}, *found;
    struct store_beginning with = {&key, rules, COUNT_OF(rules), STR("first"), STR("[]")};
    size_t workspace_count, key_count, rule_count;
    struct buffer text;
    buffer_init(&text, 4096);
    CHECK(store_key_add(bench.store, &key, &bench.err)); /* in the way, after all but a setting */
    for (size_t all = 0; all < 2; all++) {
        CHECK(store_workspace_add(bench.store, &workspace, &with, &bench.err) == (all == 1));
        bench_reopen(&bench);
        CHECK(
            store_workspaces(bench.store, &bench.arena, &workspaces, &workspace_count,
                             &bench.err) &&
            store_keys(bench.store, workspace.id, &bench.arena, &keys, &key_count, &bench.err) &&
            store_rules(bench.store, workspace.id, &bench.arena, &found, &rule_count, &bench.err) &&
            store_settings(bench.store, workspace.id, show_setting, &text, &bench.err));
        CHECK_INT((intmax_t)workspace_count, (intmax_t)all);
        CHECK_INT((intmax_t)rule_count, (intmax_t)all * 2);
        CHECK_INT((intmax_t)key_count, 1);
        CHECK((text.len > 0) == (all == 1));
        CHECK(all == 1 || store_key_delete(bench.store, workspace.id, key.id, &bench.err));
    }
    CHECK_INT(rules[1].version, 1);
    buffer_fini(&text);
    bench_free(&bench);
}

static void
test_triage_is_open_until_somebody_says_otherwise(void)
{
    struct bench bench = bench_new();
    struct str ids[] = {STR("alt_1"), STR("alt_2")};
    struct alert_triage said = {
        .status = STR("resolved"), .note = STR("was me"), .by = STR("key_1"), .at = 44};
    struct alert_triage got[2];
    CHECK(store_triage_put(bench.store, STR("ws_1"), ids[1], &said, &bench.err));
    bench_reopen(&bench);
    CHECK(store_triage(bench.store, STR("ws_1"), ids, 2, &bench.arena, got, &bench.err));
    CHECK(same(got[0].status, STR("open")) && got[0].note.ptr == NULL);
    CHECK_INT(got[0].at, 0);
    CHECK(same(got[1].status, said.status) && same(got[1].note, said.note));
    CHECK(same(got[1].by, said.by));
    CHECK_INT(got[1].at, 44);
    CHECK_INT(got[1].notified_at, 0);
    CHECK(store_triage(bench.store, STR("ws_2"), ids, 2, &bench.arena, got, &bench.err));
    CHECK(same(got[1].status, STR("open"))); /* another workspace's alert of that name */
    bench_free(&bench);
}

static void
test_an_answer_that_does_not_fit_its_arena_is_refused(void)
{
    struct bench bench = bench_new();
    struct store_key key = sample_key(STR("key_1"));
    CHECK(store_key_add(bench.store, &key, &bench.err));
    struct arena small;
    arena_init(&small, 64, 128);
    struct store_key *list = NULL;
    size_t count = 0;
    CHECK(!store_keys(bench.store, (struct str){0}, &small, &list, &count, &bench.err));
    CHECK_INT(bench.err.code, ERR_LIMIT);
    CHECK(store_keys(bench.store, (struct str){0}, &bench.arena, &list, &count, &bench.err));
    arena_fini(&small);
    bench_free(&bench);
}

/* -- many at once ------------------------------------------------------------------------ */

enum { THREADS = 4, CHANGES = 25 };

struct worker {
    struct store *store;
    int number;
    int done;
};

static void *
change_and_read(void *self)
{
    struct worker *worker = self;
    for (int i = 0; i < CHANGES; i++) {
        char id[32];
        struct err err = {0};
        struct arena arena;
        struct webhook *webhooks = NULL;
        struct rule *rules = NULL;
        size_t count = 0;
        arena_init(&arena, 4096, 64u << 20);
        snprintf(id, sizeof id, "rul_%d_%d", worker->number, i);
        struct rule rule = sample_rule(str_from(id));
        struct webhook webhook = sample_webhook(str_from(id));
        worker->done +=
            store_rule_put(worker->store, &rule, &err) &&
            store_webhook_put(worker->store, &webhook, &err) &&
            store_rules(worker->store, (struct str){0}, &arena, &rules, &count, &err) &&
            store_webhooks(worker->store, (struct str){0}, true, &arena, &webhooks, &count, &err) &&
            count > (size_t)i;
        arena_fini(&arena);
    }
    return NULL;
}

static void
test_every_thread_reads_what_it_wrote(void)
{
    struct bench bench = bench_new();
    struct worker workers[THREADS];
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.store = bench.store, .number = i};
        must(pthread_create(&threads[i], NULL, change_and_read, &workers[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        must(pthread_join(threads[i], NULL) == 0);
        CHECK_INT(workers[i].done, CHANGES);
    }
    bench_free(&bench);
}

int
main(void)
{
    RUN(test_workspaces_come_back_in_order_and_names_are_unique);
    RUN(test_a_key_comes_back_with_every_bound_it_was_given);
    RUN(test_a_deleted_key_is_gone_and_only_its_workspace_can_delete_it);
    RUN(test_a_rule_counts_its_versions_and_those_that_need_learning);
    RUN(test_a_workspace_holds_no_more_rules_than_the_limit);
    RUN(test_a_deleted_webhook_is_not_listed_but_kept_with_its_end);
    RUN(test_a_webhook_that_was_switched_off_says_why_and_since_when);
    RUN(test_a_workspace_holds_no_more_webhooks_than_the_limit);
    RUN(test_a_setting_keeps_its_newest_value);
    RUN(test_a_workspace_comes_with_all_that_it_begins_with_or_not_at_all);
    RUN(test_triage_is_open_until_somebody_says_otherwise);
    RUN(test_an_answer_that_does_not_fit_its_arena_is_refused);
    RUN(test_every_thread_reads_what_it_wrote);
    return tap_done();
}
