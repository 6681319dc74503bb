/* Copies and reloads: no file that changes, and no reload, hurts those who are reading. */
#include "enrich/fixture.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

/* -- copies ----------------------------------------------------------------------------------- */

static void
test_a_file_overwritten_in_place_hurts_nobody(void)
{
    struct arena arena;
    char name[400];
    struct enrich *enrich = open_all();
    struct enrich_reader *reader = enrich_reader_new(enrich);
    arena_init(&arena, 4096, 1 << 20);
    CHECK_INT((intmax_t)count_copies(name), 3);
    must(truncate(v4_file, 10) == 0);
    write_file(v6_file, STR("now this"));
    CHECK_STR(ask(reader, &arena, "8.8.8.8", NULL).location.city, STR("Berlin"));
    CHECK_STR(ask(reader, &arena, "2a02::1", NULL).location.city, STR("Bucharest"));
    arena_fini(&arena);
    enrich_reader_free(reader);
    enrich_close(enrich);
    write_files();
}

static void
test_a_copy_that_was_damaged_is_made_again(void)
{
    struct arena arena;
    char name[400];
    enrich_close(open_all());
    CHECK_INT((intmax_t)count_copies(name), 3);
    must(truncate(name, 20) == 0);
    struct enrich *enrich = open_all();
    CHECK_INT((intmax_t)count_copies(name), 3);
    arena_init(&arena, 4096, 1 << 20);
    struct enrich_reader *reader = enrich_reader_new(enrich);
    CHECK_STR(ask(reader, &arena, "8.8.8.8", NULL).location.city, STR("Berlin"));
    CHECK_STR(ask(reader, &arena, "2a02::1", NULL).location.city, STR("Bucharest"));
    CHECK_INT(ask(reader, &arena, "8.8.8.8", NULL).network.asn, 64500);
    arena_fini(&arena);
    enrich_reader_free(reader);
    enrich_close(enrich);
}

/* -- reload --------------------------------------------------------------------------------- */

static void
reload(struct enrich *enrich)
{
    struct err err = {0};
    int kept = hush("/dev/null");
    bool ok = enrich_reload(enrich, BUILT_S * TIME_US_PER_SECOND, &err);
    speak(kept);
    if (!CHECK(ok))
        printf("# %s\n", err.text);
}

static void
test_a_reload_counts_for_whatever_is_asked_after_it(void)
{
    struct arena arena;
    char name[400];
    struct enrich *enrich = open_all();
    struct enrich_reader *reader = enrich_reader_new(enrich);
    arena_init(&arena, 4096, 1 << 20);
    CHECK_STR(ask(reader, &arena, "8.8.8.8", NULL).location.city, STR("Berlin"));
    write_v4("AT", "Vienna");
    reload(enrich);
    CHECK_INT((intmax_t)count_copies(name), 3); /* the old one is gone from the folder */
    CHECK_STR(ask(reader, &arena, "8.8.8.8", NULL).location.city, STR("Vienna"));
    CHECK_STR(ask(reader, &arena, "8.8.1.1", NULL).location.city, STR("Vienna"));
    arena_fini(&arena);
    enrich_reader_free(reader);
    enrich_close(enrich);
    write_files();
}

static void
check_refused_reload(struct enrich *enrich, const char *path, struct str content,
                     const char *complaint)
{
    struct arena arena;
    struct err err = {0};
    char name[400];
    struct enrich_reader *reader = enrich_reader_new(enrich);
    arena_init(&arena, 4096, 1 << 20);
    if (content.ptr == NULL)
        must(unlink(path) == 0);
    else
        write_file(path, content);
    int kept = hush("/dev/null");
    CHECK(!enrich_reload(enrich, 0, &err));
    speak(kept);
    CHECK(strstr(err.text, path) != NULL);
    if (!CHECK(strstr(err.text, complaint) != NULL))
        printf("# %s\n", err.text);
    CHECK_INT((intmax_t)count_copies(name), 3); /* nothing of it stays */
    struct event event = ask(reader, &arena, "8.8.4.4", "curl/8");
    CHECK_STR(event.network.name, STR("exit"));
    CHECK_INT((intmax_t)event.network.list_count, 1);
    CHECK_STR(event.device.browser, STR("curl"));
    CHECK_STR(ask(reader, &arena, "8.8.8.8", NULL).location.city, STR("Berlin"));
    CHECK_STR(ask(reader, &arena, "2a02::8", NULL).location.city, STR("Bucharest"));
    arena_fini(&arena);
    enrich_reader_free(reader);
    write_files();
    reload(enrich);
}

static void
test_a_reload_that_fails_changes_nothing(void)
{
    struct enrich *enrich = open_all();
    static const char *const files[] = {v4_file,     v6_file,   asn_file,
                                        places_file, list_file, devices_file};
    for (size_t i = 0; i < COUNT_OF(files); i++)
        check_refused_reload(enrich, files[i], (struct str){0}, "No such file");
    check_refused_reload(enrich, v4_file, STR("garbage"), "no MMDB file");
    check_refused_reload(enrich, asn_file, STR(""), "no MMDB file");
    check_refused_reload(enrich, places_file, STR("\n10.0.0.0/8\n"), "line 2: ");
    check_refused_reload(enrich, list_file, STR("8.8.8.8\nx\n"), "line 2: no network: \"x\"");
    check_refused_reload(enrich, devices_file, STR("os_parsers:\n  - regex: '('\n"), "line 2: ");
    enrich_close(enrich);
}

/* -- several threads -------------------------------------------------------------------------- */

struct rounds {
    struct enrich *enrich;
    atomic_bool stop;
    atomic_size_t asked, mixed;
};

/* Country and city must be of one and the same file. */
static void *
ask_on(void *self)
{
    struct rounds *rounds = self;
    struct enrich_reader *reader = enrich_reader_new(rounds->enrich);
    struct arena arena;
    arena_init(&arena, 4096, 1 << 20);
    while (!atomic_load(&rounds->stop)) {
        for (int i = 0; i < 20; i++) {
            struct event event = {.user_agent = STR("curl/8.4")};
            struct err err;
            char text[32];
            snprintf(text, sizeof text, "8.8.8.%d", i);
            event.has_address = address_parse(str_from(text), &event.address);
            arena_reset(&arena);
            bool ok = enrich_event(reader, &arena, &event, &err);
            bool german = str_equal(event.location.country, STR("DE")) &&
                          str_equal(event.location.city, STR("Berlin"));
            bool austrian = str_equal(event.location.country, STR("AT")) &&
                            str_equal(event.location.city, STR("Vienna"));
            if (!ok || !(german || austrian) || !str_equal(event.device.browser, STR("curl")))
                atomic_fetch_add(&rounds->mixed, 1);
            atomic_fetch_add(&rounds->asked, 1);
        }
        struct enrich_file files[8];
        if (enrich_files(rounds->enrich, files, COUNT_OF(files)) != 6)
            atomic_fetch_add(&rounds->mixed, 1);
    }
    arena_fini(&arena);
    enrich_reader_free(reader);
    return NULL;
}

static void
test_a_reload_disturbs_no_reader(void)
{
    struct rounds rounds = {.enrich = open_all()};
    pthread_t threads[3];
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        must(pthread_create(&threads[i], NULL, ask_on, &rounds) == 0);
    for (int i = 0; i < 30; i++) {
        write_v4(i % 2 == 0 ? "AT" : "DE", i % 2 == 0 ? "Vienna" : "Berlin");
        reload(rounds.enrich);
        size_t before = atomic_load(&rounds.asked);
        while (atomic_load(&rounds.asked) < before + 10)
            sched_yield();
    }
    atomic_store(&rounds.stop, true);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        must(pthread_join(threads[i], NULL) == 0);
    CHECK_INT((intmax_t)atomic_load(&rounds.mixed), 0);
    enrich_close(rounds.enrich);
    write_files();
}

int
main(void)
{
    fixture_begin();
    RUN(test_a_file_overwritten_in_place_hurts_nobody);
    RUN(test_a_copy_that_was_damaged_is_made_again);
    RUN(test_a_reload_counts_for_whatever_is_asked_after_it);
    RUN(test_a_reload_that_fails_changes_nothing);
    RUN(test_a_reload_disturbs_no_reader);
    fixture_end();
    return tap_done();
}
