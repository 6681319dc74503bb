/* A message holds what there is to tell, and nothing that somebody else wrote is more than text. */
#include "codec/text.h"
#include "mail/check.h"

#include <ctype.h>

struct bench {
    struct buffer message, part;
    struct mail_letter letter;
    struct alert alert;
    struct event event;
    struct json context;
    struct arena arena;
    struct json_parser *parser;
};

static void
bench_init(struct bench *bench)
{
    *bench = (struct bench){
        .letter = {.from = STR("tocsin@example.com"),
                   .to = STR("ana@example.org"),
                   .id = STR("dlv_2de75f12-b534-829b-9682-c0883ba4b24e"),
                   .date_us = 1774621061000000, /* Fri 27 Mar 2026, 14:17:41 UTC */
                   .workspace_id = STR("ws_0000beef"),
                   .public_url = STR("https://tocsin.example")},
        .alert = {.id = STR("alt_07601cbf-9b93-8d44-8619-dbf39c2591ea"),
                  .rule_id = STR("rul_1"),
                  .rule_name = STR("Login from a new country"),
                  .rule_type = STR("new_country"),
                  .severity = SEVERITY_HIGH,
                  .reason = STR("Jordan Mitchell signed in from Bucharest, RO: first time there"),
                  .actor_id = STR("user_5a3c8f"),
                  .event_at = 1774621061000000},
        .event = {.actor_id = STR("user_5a3c8f"),
                  .actor_name = STR("Jordan Mitchell"),
                  .actor_type = STR("user"),
                  .action = STR("auth.login"),
                  .tenant_id = STR("org_acme"),
                  .ip_address = STR("91.203.144.12"),
                  .user_agent = STR("Mozilla/5.0"),
                  .location = {.known = true,
                               .country = STR("RO"),
                               .city = STR("Bucharest"),
                               .time_zone = STR("Europe/Bucharest")},
                  .network = {.known = true, .asn = 9009, .org = STR("M247 Europe SRL")},
                  .device = {.known = true,
                             .browser = STR("Firefox"),
                             .os = STR("Linux"),
                             .type = STR("desktop")},
                  .occurred_at = 1774621061000000},
    };
    buffer_init(&bench->message, MAIL_MESSAGE_MAX);
    buffer_init(&bench->part, MAIL_MESSAGE_MAX);
    arena_init(&bench->arena, 65536, 16u << 20);
    bench->parser = json_parser_new();
}

static void
bench_fini(struct bench *bench)
{
    buffer_fini(&bench->message);
    buffer_fini(&bench->part);
    arena_fini(&bench->arena);
    json_parser_free(bench->parser);
}

static void
set_context(struct bench *bench, const char *text)
{
    struct err err = {0};
    must(json_parse(bench->parser, str_from(text), &bench->arena, &bench->context, &err));
}

static struct mail_alert
alert_of(const struct bench *bench)
{
    return (struct mail_alert){&bench->alert, bench->context, &bench->event};
}

static void
check_good(struct bench *bench)
{
    const char *bad = check_message(buffer_str(&bench->message));
    if (!CHECK(bad == NULL))
        printf("# %s:\n# %.*s\n", bad, (int)bench->message.len, bench->message.ptr);
}

static void
write_alert(struct bench *bench)
{
    struct mail_alert alert = alert_of(bench);
    CHECK(mail_write_alert(&bench->message, &bench->letter, &alert));
    check_good(bench);
}

static bool
holds(struct bench *bench, int part, const char *text)
{
    check_decode(buffer_str(&bench->message), part, &bench->part);
    buffer_add_char(&bench->part, '\0');
    bool found = strstr(bench->part.ptr, text) != NULL;
    if (!found)
        printf("# no \"%s\" in part %d:\n%s\n", text, part, bench->part.ptr);
    return found;
}

static bool
has_header(struct bench *bench, const char *text)
{
    buffer_add_char(&bench->message, '\0');
    bench->message.len--;
    return strstr(bench->message.ptr, text) != NULL;
}

static void
test_an_alert_tells_what_who_where_when_why_and_what_next(void)
{
    static const char *const told[] = {
        "High: Login from a new country",
        "Jordan Mitchell signed in from Bucharest, RO: first time there",
        "What: auth.login",
        "Who: Jordan Mitchell (user_5a3c8f), user, tenant org_acme",
        "Where: Bucharest, RO",
        "Address: 91.203.144.12",
        "Network: AS9009 M247 Europe SRL",
        "Device: Firefox on Linux, desktop",
        "When, by the clock there: Fri 27 Mar 2026, 16:17:41 Europe/Bucharest (UTC+02:00)",
        "When: Fri 27 Mar 2026, 14:17:41 UTC",
        "The rule fires when an actor acts from a country that it has not been seen in before.",
        "Until now: US, CA.",
        "What to do next\n- Ask the person",
        "Open the alert: https://tocsin.example/alerts/alt_07601cbf-9b93-8d44-8619-dbf39c2591ea",
        "Workspace: ws_0000beef",
    };
    struct bench bench;
    bench_init(&bench);
    set_context(&bench, "{\"new_country\":\"RO\",\"previous_countries\":[\"US\",\"CA\"]}");
    write_alert(&bench);
    for (size_t i = 0; i < COUNT_OF(told); i++)
        CHECK(holds(&bench, 0, told[i]));
    CHECK(holds(&bench, 1, "<meta name=\"viewport\""));
    CHECK(holds(&bench, 1, "Until now: US, CA."));
    CHECK(has_header(&bench, "Subject: [High] Login from a new country: Jordan Mitchell"));
    CHECK(has_header(&bench, "Date: Fri, 27 Mar 2026 14:17:41 +0000\r\n"));
    CHECK(has_header(&bench, "<dlv_2de75f12-b534-829b-9682-c0883ba4b24e@example.com>\r\n"));
    bench_fini(&bench);
}

static void
test_the_rules_clock_is_told_where_the_rule_has_one(void)
{
    struct bench bench;
    bench_init(&bench);
    bench.alert.rule_type = STR("off_hours");
    set_context(&bench, "{\"timezone\":\"America/New_York\",\"start_hour\":22,\"end_hour\":6}");
    write_alert(&bench);
    CHECK(holds(&bench, 0,
                "by the rule's clock: Fri 27 Mar 2026, 10:17:41 America/New_York (UTC-04:00)"));
    CHECK(holds(&bench, 0, "Quiet is from 22:00 to 6:00, by the clock of America/New_York."));
    set_context(&bench,
                "{\"timezone\":\"America/New_York\",\"start_hour\":null,\"end_hour\":null}");
    write_alert(&bench);
    CHECK(holds(&bench, 0, "Quiet is by the clock of America/New_York."));
    bench_fini(&bench);
}

/* What each type's context holds, as its detector writes it, fills its sentence. */
static void
test_every_type_of_rule_says_what_was_usual(void)
{
    static const struct {
        const char *type, *context, *told;
    } rows[] = {
        {"new_device", "{\"known_devices\":[\"Firefox on Linux\"],\"device\":\"x\"}",
         "Devices known until now: Firefox on Linux."},
        {"new_network", "{\"previous_networks\":[\"AS1\",\"AS2\"]}",
         "Networks known until now: AS1, AS2."},
        {"impossible_travel",
         "{\"from\":{\"city\":\"Berlin\",\"country\":\"DE\",\"ip_address\":\"1.2.3.4\","
         "\"occurred_at\":\"2026-03-27T13:00:00.000000Z\"},\"distance_km\":1294.5}",
         "Before that: Berlin, DE, from 1.2.3.4, Fri 27 Mar 2026, 13:00:00 UTC; 1294.5 km away."},
        {"impossible_travel",
         "{\"from\":{\"city\":null,\"country\":\"DE\",\"occurred_at\":"
         "\"2026-03-27T13:00:00.000000Z\"}}",
         "Before that: DE, Fri 27 Mar 2026, 13:00:00 UTC."},
        {"repeated_action",
         "{\"count\":12,\"threshold\":10,\"window_minutes\":5,\"ip_addresses\":[\"1.2.3.4\"]}",
         "The rule calls 10 within 5 minutes too often; it was 12, from 1.2.3.4."},
        {"ingestion_spike", "{\"count\":900,\"baseline\":41.26}",
         "In such a window 41.3 events came on average; now 900."},
        {"dormant_account", "{\"last_seen\":\"2025-03-27T13:00:00.000000Z\",\"idle_days\":365}",
         "Last seen Thu 27 Mar 2025, 13:00:00 UTC, 365 days before."},
        {"blocklisted_ip", "{\"network\":\"91.203.0.0/16\",\"list\":null}",
         "The address is in 91.203.0.0/16."},
        {"combination", "{\"alerts\":[{\"rule_name\":\"A\"},{\"rule_name\":\"B\"}]}",
         "Together: A, B."},
        {"session_anomaly",
         "{\"began\":{\"country\":\"US\",\"browser\":\"Safari\",\"os\":null,"
         "\"occurred_at\":\"2026-03-27T13:00:00.000000Z\"}}",
         "The session began in US with Safari, Fri 27 Mar 2026, 13:00:00 UTC."},
        {"watched_action", "{}", "This rule learns nothing"},
        {"new_country", "{\"previous_countries\":[]}", "Nothing is known of the time before."},
        {"of_the_future", "{}", "A rule of your workspace fired."},
    };
    struct bench bench;
    bench_init(&bench);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        bench.alert.rule_type = str_from(rows[i].type);
        set_context(&bench, rows[i].context);
        write_alert(&bench);
        CHECK(holds(&bench, 0, rows[i].told));
    }
    bench_fini(&bench);
}

static void
test_a_subject_beyond_ascii_is_encoded_whole_characters_at_a_time(void)
{
    struct bench bench;
    bench_init(&bench);
    bench.alert.rule_name = STR("\xE7\x99\xBB\xE9\x8C\xB2 \xE7\x99\xBB\xE9\x8C\xB2 "
                                "\xE7\x99\xBB\xE9\x8C\xB2 \xE7\x99\xBB\xE9\x8C\xB2 and more");
    write_alert(&bench);
    struct str head = buffer_str(&bench.message);
    struct buffer subject;
    buffer_init(&subject, 4096);
    int words = 0;
    for (size_t i = 0;
         i + 10 < head.len && !str_starts((struct str){head.ptr + i, 5}, STR("\nDate")); i++) {
        struct str rest = {head.ptr + i, head.len - i};
        if (!str_starts(rest, STR("=?UTF-8?B?")))
            continue;
        const char *end = memchr(rest.ptr + 10, '?', rest.len - 10);
        size_t before = subject.len;
        CHECK(base64_decode(&subject, (struct str){rest.ptr + 10, (size_t)(end - rest.ptr - 10)},
                            false));
        CHECK(utf8_valid((struct str){subject.ptr + before, subject.len - before}));
        words++;
    }
    CHECK(words > 1);
    buffer_add_char(&subject, '\0');
    CHECK_TEXT(subject.ptr, "[High] \xE7\x99\xBB\xE9\x8C\xB2 \xE7\x99\xBB\xE9\x8C\xB2 "
                            "\xE7\x99\xBB\xE9\x8C\xB2 \xE7\x99\xBB\xE9\x8C\xB2 and more: "
                            "Jordan Mitchell (user_5a3c8f)");
    buffer_fini(&subject);
    bench_fini(&bench);
}

static void
test_one_actor_is_one_thread_and_a_message_is_itself_again(void)
{
    struct bench bench;
    struct buffer first;
    bench_init(&bench);
    buffer_init(&first, MAIL_MESSAGE_MAX);
    write_alert(&bench);
    buffer_add(&first, buffer_str(&bench.message));
    write_alert(&bench);
    CHECK_STR(buffer_str(&bench.message), buffer_str(&first));

    static const char *const ours = "References:\r\n <actor.";
    const char *at = NULL, *other = NULL;
    char root[80];
    CHECK(has_header(&bench, ours));
    at = strstr(bench.message.ptr, ours);
    snprintf(root, sizeof root, "%.60s", at);
    bench.letter.id = STR("dlv_other");
    bench.alert.rule_name = STR("Another rule");
    write_alert(&bench);
    CHECK(has_header(&bench, root));
    bench.alert.actor_id = STR("somebody_else");
    write_alert(&bench);
    CHECK(!has_header(&bench, root));
    other = strstr(bench.message.ptr, ours);
    CHECK(other != NULL);
    buffer_fini(&first);
    bench_fini(&bench);
}

static void
test_a_digest_counts_and_shows_the_gravest_first(void)
{
    enum { MANY = 120 };
    struct bench bench;
    static struct alert alerts[MANY];
    static struct mail_alert list[MANY];
    static char names[MANY][40];
    struct mail_notice notice = {.subject = STR("A webhook is off"), .text = STR("It failed.")};
    bench_init(&bench);
    for (size_t i = 0; i < MANY; i++) {
        alerts[i] = bench.alert;
        snprintf(names[i], sizeof names[i], "reason number %zu.", i);
        alerts[i].reason = str_from(names[i]);
        alerts[i].severity = i == 117 ? SEVERITY_CRITICAL : SEVERITY_LOW;
        alerts[i].rule_name = i % 3 == 0 ? STR("Rule A") : STR("Rule B");
        list[i] = (struct mail_alert){&alerts[i], bench.context, &bench.event};
    }
    CHECK(mail_write_digest(&bench.message, &bench.letter, list, MANY, &notice, 1));
    check_good(&bench);
    CHECK(holds(&bench, 0, "1 critical, 119 low"));
    CHECK(holds(&bench, 0, "- 80 \xC3\x97 Rule B\n- 40 \xC3\x97 Rule A"));
    CHECK(holds(&bench, 0, "One by one\n- [critical] Rule A: reason number 117."));
    CHECK(holds(&bench, 0, "and 70 more"));
    CHECK(holds(&bench, 0, "A webhook is off: It failed."));
    CHECK(has_header(&bench, "Subject: 121 messages at once\r\n"));
    CHECK(has_header(&bench, "<actor."));
    alerts[3].actor_id = STR("another");
    CHECK(mail_write_digest(&bench.message, &bench.letter, list, MANY, NULL, 0));
    CHECK(has_header(&bench, "<digest."));
    CHECK(has_header(&bench, "Subject: 120 alerts at once\r\n"));
    bench_fini(&bench);
}

static void
test_a_notice_and_a_test_are_plain_words(void)
{
    struct bench bench;
    bench_init(&bench);
    struct mail_notice notice = {.subject =
                                     STR("A webhook is switched off\r\nBcc: eve@example.com"),
                                 .text = STR("First line.\nSecond line: https://a.example/<x>")};
    CHECK(mail_write_notice(&bench.message, &bench.letter, &notice));
    check_good(&bench);
    CHECK(has_header(&bench, "Subject: A webhook is switched off  Bcc: eve@example.com\r\n"));
    CHECK(holds(&bench, 0, "First line.\nSecond line: https[:]//a.example/<x>\n"));
    CHECK(holds(&bench, 1, "https[:]//a.example/&lt;x&gt;"));
    CHECK(mail_write_test(&bench.message, &bench.letter));
    check_good(&bench);
    CHECK(!has_header(&bench, "References"));
    bench_fini(&bench);
}

static void
test_an_event_that_is_gone_leaves_what_the_alert_holds(void)
{
    struct bench bench;
    bench_init(&bench);
    struct mail_alert alert = {&bench.alert, bench.context, NULL};
    CHECK(mail_write_alert(&bench.message, &bench.letter, &alert));
    check_good(&bench);
    CHECK(holds(&bench, 0, "Who: user_5a3c8f"));
    bench.letter.public_url = (struct str){0};
    CHECK(mail_write_alert(&bench.message, &bench.letter, &alert));
    CHECK(holds(&bench, 0, "Rule: Login"));
    check_decode(buffer_str(&bench.message), 0, &bench.part);
    CHECK(memmem(bench.part.ptr, bench.part.len, "Open the alert", 14) == NULL);
    bench_fini(&bench);
}

/* -- whatever others write ------------------------------------------------------------ */

static const char *const nasty[] = {
    "\r\nBcc: eve@example.com\r\n\r\n<script>alert(1)</script>",
    "\n.\nMAIL FROM:<x@y>\n",
    "--=_tocsin--\r\n\r\n",
    "=?UTF-8?Q?=0D=0ABcc:_eve=40example.com?=",
    "<img src=x onerror=alert(1)>\"'&</p></div>",
    "https://evil.example/login javascript:alert(1)",
    "\xE2\x80\xAEtxt.exe \xE2\x80\x8B\xE2\x81\xA6 \xEF\xBB\xBF\xC2\x85",
    "\xFF\xFE\xC0\x80 \xED\xA0\x80 \xF4\x90\x80\x80",
    "\x01\x02\x7F\t\v\f\x1B[31m",
    "From here\nFrom there\n.. \n   ",
    "",
};

static struct str
nasty_text(uint64_t *dice, struct arena *arena)
{
    char *bytes = arena_array(arena, 600, char);
    size_t len = 0, pieces = 1 + *dice % 5;
    must(bytes != NULL);
    for (size_t i = 0; i < pieces; i++) {
        *dice = *dice * 6364136223846793005u + 1442695040888963407u;
        const char *piece = nasty[(*dice >> 33) % COUNT_OF(nasty)];
        size_t piece_len = strlen(piece);
        memcpy(bytes + len, piece, piece_len);
        len += piece_len;
        for (size_t k = (*dice >> 45) % 40; k-- > 0;)
            bytes[len++] = (char)(*dice >> (k % 8 * 8));
    }
    return (struct str){bytes, len};
}

static void
make_nasty(struct bench *bench, uint64_t *dice)
{
    struct str *const texts[] = {
        &bench->alert.rule_name,
        &bench->alert.rule_type,
        &bench->alert.reason,
        &bench->alert.actor_id,
        &bench->alert.id,
        &bench->event.actor_name,
        &bench->event.actor_id,
        &bench->event.actor_type,
        &bench->event.action,
        &bench->event.resource_type,
        &bench->event.resource_name,
        &bench->event.tenant_id,
        &bench->event.ip_address,
        &bench->event.user_agent,
        &bench->event.location.city,
        &bench->event.location.country,
        &bench->event.network.org,
        &bench->event.network.name,
        &bench->event.location.time_zone,
        &bench->event.device.browser,
        &bench->event.device.os,
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        *texts[i] = nasty_text(dice, &bench->arena);
}

static void
test_nothing_in_a_message_is_more_than_text_whoever_wrote_it(void)
{
    struct bench bench;
    bench_init(&bench);
    uint64_t dice = 7;
    for (int i = 0; i < 2000; i++) {
        arena_reset(&bench.arena);
        set_context(&bench, "{\"timezone\":\"../../etc/passwd\\r\\nX: y\",\"previous_countries\":"
                            "[\"\\r\\nBcc: a@b\",\"<b>\"]}");
        make_nasty(&bench, &dice);
        if (i % 2 == 0)
            bench.alert.rule_type = STR("new_country");
        struct mail_alert alert = alert_of(&bench);
        struct mail_notice notice = {nasty_text(&dice, &bench.arena),
                                     nasty_text(&dice, &bench.arena)};
        CHECK(i % 3 == 0   ? mail_write_alert(&bench.message, &bench.letter, &alert)
              : i % 3 == 1 ? mail_write_digest(&bench.message, &bench.letter, &alert, 1, &notice, 1)
                           : mail_write_notice(&bench.message, &bench.letter, &notice));
        const char *bad = check_message(buffer_str(&bench.message));
        for (int part = 0; part < 2 && bad == NULL; part++) {
            check_decode(buffer_str(&bench.message), part, &bench.part);
            if (!utf8_valid(buffer_str(&bench.part)))
                bad = "a part is not UTF-8";
            static const char *const never[] = {"<script", "<img", "<b>", "://evil",
                                                "\xE2\x80\xAE"};
            for (size_t k = part == 1 ? 0 : 3; k < COUNT_OF(never); k++)
                if (memmem(bench.part.ptr, bench.part.len, never[k], strlen(never[k])) != NULL)
                    bad = never[k];
        }
        if (!CHECK(bad == NULL)) {
            printf("# round %d: %s\n%.*s\n", i, bad, (int)bench.message.len, bench.message.ptr);
            break;
        }
    }
    bench_fini(&bench);
}

int
main(void)
{
    RUN(test_an_alert_tells_what_who_where_when_why_and_what_next);
    RUN(test_the_rules_clock_is_told_where_the_rule_has_one);
    RUN(test_every_type_of_rule_says_what_was_usual);
    RUN(test_a_subject_beyond_ascii_is_encoded_whole_characters_at_a_time);
    RUN(test_one_actor_is_one_thread_and_a_message_is_itself_again);
    RUN(test_a_digest_counts_and_shows_the_gravest_first);
    RUN(test_a_notice_and_a_test_are_plain_words);
    RUN(test_an_event_that_is_gone_leaves_what_the_alert_holds);
    RUN(test_nothing_in_a_message_is_more_than_text_whoever_wrote_it);
    return tap_done();
}
