/* The room as others see it: events filled in, copies, reloads, several threads at once. */
#include "enrich/enrich_priv.h"

#include "codec/hash.h"
#include "codec/time.h"
#include "enrich/mmdb_writer.h"
#include "tap.h"

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>

#define BUILT_S 1790000000LL

static char folder[] = "/tmp/tocsin-enrich-XXXXXX";
static char data[64], v4_file[64], v6_file[64], asn_file[64], places_file[64], list_file[64];
static char list_option[80], devices_file[64];

/* -- the files that most tests begin with -------------------------------------------- */

static void
write_v4(const char *country, const char *city)
{
    struct mmdb_writer writer;
    writer_init(&writer, 4, "DBIP-City");
    writer.build_epoch = BUILT_S;
    int place = add_flat(&writer, country, city, 52.52F, 13.405F);
    writer_add(&writer, "8.8.0.0/16", place);
    writer_add(&writer, "10.0.0.0/8", place); /* as no serious file would */
    writer_save(&writer, v4_file);
    writer_fini(&writer);
}

static void
write_files(void)
{
    struct mmdb_writer writer;
    write_v4("DE", "Berlin");
    writer_init(&writer, 6, "DBIP-City");
    writer.build_epoch = BUILT_S;
    writer_add(&writer, "2a02::/16", add_nested(&writer, "RO", "Bucharest", 44.4, 26.1));
    writer_add(&writer, "9.9.0.0/16", add_nested(&writer, "CH", "Zurich", 47.4, 8.5));
    writer_add(&writer, "8.8.0.0/16", add_nested(&writer, "XX", "Shadowed", 1, 1));
    writer_save(&writer, v6_file);
    writer_fini(&writer);
    writer_init(&writer, 6, "GeoLite2-ASN");
    writer.build_epoch = BUILT_S;
    int asn = add_asn(&writer, 64500, "Example Net");
    writer_add(&writer, "8.8.0.0/16", asn);
    writer_add(&writer, "10.0.0.0/8", asn);
    writer_save(&writer, asn_file);
    writer_fini(&writer);
    write_file(places_file, STR("10.1.0.0/16,FR,Paris,48.85,2.35,office\n"
                                "8.8.4.0/24,,,,,exit\n"));
    write_file(list_file, STR("8.8.4.4\n10.0.0.0/8\n"));
    write_file(devices_file, STR("user_agent_parsers:\n  - regex: '(curl)/(\\d+)'\n"
                                 "os_parsers:\n  - regex: 'Windows'\n"
                                 "    os_replacement: 'Windows'\n"));
}

static const char *const geo[] = {v4_file, v6_file};
static const char *const lists[] = {list_option};

static struct enrich_options
all_options(void)
{
    return (struct enrich_options){.folder = data,
                                   .geo = geo,
                                   .geo_count = 2,
                                   .asn = asn_file,
                                   .places = places_file,
                                   .devices = devices_file,
                                   .ip_lists = lists,
                                   .ip_list_count = 1,
                                   .now_us = BUILT_S * TIME_US_PER_SECOND};
}

/* Standard error goes elsewhere while files are loaded, which each time says how old they are. */
static int
hush(const char *where)
{
    int kept = dup(2), fd = open(where, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    must(kept >= 0 && fd >= 0 && dup2(fd, 2) == 2);
    close(fd);
    return kept;
}

static void
speak(int kept)
{
    must(dup2(kept, 2) == 2);
    close(kept);
}

static struct enrich *
open_all(void)
{
    struct enrich_options options = all_options();
    struct enrich *enrich = NULL;
    struct err err = {0};
    int kept = hush("/dev/null");
    bool ok = enrich_open(&options, &enrich, &err);
    speak(kept);
    if (!CHECK(ok))
        printf("# %s\n", err.text);
    return enrich;
}

static struct event
ask(struct enrich_reader *reader, struct arena *arena, const char *address, const char *agent)
{
    struct event event = {.user_agent = str_from(agent)};
    struct err err = {0};
    event.has_address = address != NULL && address_parse(str_from(address), &event.address);
    if (!CHECK(enrich_event(reader, arena, &event, &err)))
        printf("# %s\n", err.text);
    return event;
}

/* -- what an event is told -------------------------------------------------------------- */

static void
test_an_event_is_filled_in(void)
{
    struct arena arena;
    struct enrich *enrich = open_all();
    struct enrich_reader *reader = enrich_reader_new(enrich);
    arena_init(&arena, 4096, 1 << 20);

    struct event event = ask(reader, &arena, "8.8.8.8", "curl/8.4 (Windows)");
    CHECK_STR(event.location.country, STR("DE")); /* of the first file that knows it */
    CHECK_STR(event.location.city, STR("Berlin"));
    CHECK_INT(event.network.asn, 64500);
    CHECK_STR(event.network.org, STR("Example Net"));
    CHECK(event.network.known && event.network.name.ptr == NULL && event.network.list_count == 0);
    CHECK_STR(event.device.browser, STR("curl"));
    CHECK_STR(event.device.os, STR("Windows"));
    CHECK_STR(event.device.type, STR("desktop"));
    CHECK(event.device.browser_version.ptr == NULL);

    event = ask(reader, &arena, "9.9.9.9", NULL); /* IPv4 in an IPv6 file */
    CHECK_STR(event.location.country, STR("CH"));
    CHECK(!event.network.known && !event.device.known);
    event = ask(reader, &arena, "2a02::7", "");
    CHECK_STR(event.location.country, STR("RO"));
    CHECK(!event.device.known);
    event = ask(reader, &arena, "7.7.7.7", NULL);
    CHECK(!event.location.known && !event.network.known);
    event = ask(reader, &arena, NULL, "curl/1");
    CHECK(!event.location.known && !event.network.known && event.device.known);
    arena_fini(&arena);
    enrich_reader_free(reader);
    enrich_close(enrich);
}

static void
test_a_row_of_places_stands_for_the_whole_record(void)
{
    struct arena arena;
    struct enrich *enrich = open_all();
    struct enrich_reader *reader = enrich_reader_new(enrich);
    arena_init(&arena, 4096, 1 << 20);

    struct event event = ask(reader, &arena, "8.8.4.4", NULL);
    CHECK(!event.location.known && !event.location.has_point); /* nothing of Berlin is left */
    CHECK_STR(event.network.name, STR("exit"));
    CHECK_INT(event.network.asn, 64500);
    CHECK_INT((intmax_t)event.network.list_count, 1);
    CHECK_STR(event.network.lists[0], STR("mine"));

    event = ask(reader, &arena, "10.1.2.3", NULL);
    CHECK_STR(event.location.country, STR("FR"));
    CHECK_STR(event.network.name, STR("office"));
    CHECK_INT(event.network.asn, 0); /* private: no MMDB file is asked */
    event = ask(reader, &arena, "10.2.0.1", NULL);
    CHECK(!event.location.known);
    CHECK_INT((intmax_t)event.network.list_count, 1); /* lists are asked of every address */
    arena_fini(&arena);
    enrich_reader_free(reader);
    enrich_close(enrich);
}

static void
test_nothing_given_is_nothing_known(void)
{
    struct enrich_options options = {.devices = devices_file};
    struct enrich *enrich;
    struct err err = {0};
    struct arena arena;
    arena_init(&arena, 4096, 1 << 20);
    CHECK(enrich_open(&options, &enrich, &err));
    struct enrich_reader *reader = enrich_reader_new(enrich);
    struct event event = ask(reader, &arena, "8.8.8.8", NULL);
    CHECK(!event.location.known && !event.network.known);
    CHECK(enrich_attribution(enrich).ptr == NULL);
    arena_fini(&arena);
    enrich_reader_free(reader);
    enrich_close(enrich);
}

static void
test_strings_outlive_the_files(void)
{
    struct arena arena;
    struct enrich *enrich = open_all();
    struct enrich_reader *reader = enrich_reader_new(enrich);
    arena_init(&arena, 4096, 1 << 20);
    struct event first = ask(reader, &arena, "8.8.8.8", "curl/8.4 (Windows)");
    struct event second = ask(reader, &arena, "8.8.4.4", "curl/8.4 (Windows)");
    enrich_reader_free(reader);
    enrich_close(enrich);
    CHECK_STR(first.location.city, STR("Berlin"));
    CHECK_STR(first.network.org, STR("Example Net"));
    CHECK_STR(first.device.browser, STR("curl"));
    CHECK_STR(second.network.lists[0], STR("mine"));
    arena_fini(&arena);
}

static void
test_a_full_arena_is_said(void)
{
    struct enrich *enrich = open_all();
    struct enrich_reader *reader = enrich_reader_new(enrich);
    struct arena arena;
    for (size_t limit = 1; limit < 64; limit++) {
        struct event event = {.has_address = true, .user_agent = STR("curl/8.4")};
        struct err err = {0};
        must(address_parse(STR("8.8.4.4"), &event.address));
        arena_init(&arena, limit, limit);
        if (!enrich_event(reader, &arena, &event, &err))
            CHECK_INT(err.code, ERR_LIMIT);
        else
            CHECK(limit > 16);
        arena_fini(&arena);
    }
    enrich_reader_free(reader);
    enrich_close(enrich);
}

/* -- caches ------------------------------------------------------------------------------- */

static void
test_caches_change_no_answer(void)
{
    struct buffer csv;
    struct arena arena;
    char text[64], want[64];
    buffer_init(&csv, 1 << 20);
    for (unsigned i = 0; i < 6000; i++)
        buffer_printf(&csv, "10.%u.%u.0/24,,,,,n%u\n", i / 200, i % 200, i);
    write_file(places_file, buffer_str(&csv));
    buffer_fini(&csv);
    struct enrich *enrich = open_all();
    struct enrich_reader *reader = enrich_reader_new(enrich);
    arena_init(&arena, 4096, 1 << 20);
    for (uint64_t i = 0; i < 40000; i++) {
        unsigned n = (unsigned)(hash64(5, &i, sizeof i) % (i % 3 == 0 ? 6000 : 50));
        arena_reset(&arena);
        snprintf(text, sizeof text, "10.%u.%u.7", n / 200, n % 200);
        snprintf(want, sizeof want, "n%u", n);
        char agent[32];
        snprintf(agent, sizeof agent, "%s/%u", n % 2 == 0 ? "curl" : "wget", n);
        struct event event = ask(reader, &arena, text, agent);
        if (!CHECK_STR(event.network.name, str_from(want)) ||
            !CHECK_STR(event.device.browser, n % 2 == 0 ? STR("curl") : STR("Other")))
            break;
    }
    arena_fini(&arena);
    enrich_reader_free(reader);
    enrich_close(enrich);
    write_files();
}

/* -- copies ----------------------------------------------------------------------------------- */

static size_t
count_copies(char name_out[static 400])
{
    size_t count = 0;
    DIR *listing = opendir(data);
    must(listing != NULL);
    for (struct dirent *entry; (entry = readdir(listing)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        struct stat status;
        count++;
        snprintf(name_out, 400, "%s/%s", data, entry->d_name);
        must(stat(name_out, &status) == 0);
        CHECK_INT(status.st_mode & 07777, 0600);
    }
    closedir(listing);
    return count;
}

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
test_a_reload_is_seen_at_the_next_round(void)
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
    CHECK_STR(ask(reader, &arena, "8.8.8.8", NULL).location.city, STR("Berlin"));
    CHECK_STR(ask(reader, &arena, "8.8.1.1", NULL).location.city, STR("Berlin"));
    enrich_refresh(reader);
    CHECK_STR(ask(reader, &arena, "8.8.8.8", NULL).location.city, STR("Vienna"));
    enrich_refresh(reader);
    CHECK_STR(ask(reader, &arena, "8.8.8.8", NULL).location.city, STR("Vienna"));
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
    enrich_refresh(reader);
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

static void
test_opening_names_what_is_wrong(void)
{
    static const char *const missing[] = {"/nowhere/city.mmdb"};
    static const char *const bare[] = {"/etc/hosts"}, *const a_folder[] = {"/tmp"};
    static const char *const list_of_folder[] = {"x=/tmp"};
    const struct {
        struct enrich_options options;
        const char *complaint;
        enum err_code code;
    } rows[] = {
        {{.geo = missing, .geo_count = 1}, "/nowhere/city.mmdb", ERR_IO},
        {{.folder = data, .geo = missing, .geo_count = 1}, "/nowhere/city.mmdb", ERR_IO},
        {{.folder = data, .geo = a_folder, .geo_count = 1}, "no regular file", ERR_INPUT},
        {{.folder = "/nowhere/geo", .geo = geo, .geo_count = 2}, "/nowhere/geo", ERR_IO},
        {{.ip_lists = bare, .ip_list_count = 1}, "NAME=FILE", ERR_INPUT},
        {{.ip_lists = list_of_folder, .ip_list_count = 1}, "no regular file", ERR_INPUT},
        {{.geo = geo, .geo_count = 17}, "more than 16", ERR_LIMIT},
        {{.devices = "/nowhere.yaml"}, "/nowhere.yaml", ERR_IO},
        {{.places = "/dev/zero"}, "no regular file", ERR_INPUT},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct enrich *enrich = NULL;
        struct err err = {0};
        CHECK(!enrich_open(&rows[i].options, &enrich, &err));
        CHECK_INT(err.code, rows[i].code);
        if (!CHECK(strstr(err.text, rows[i].complaint) != NULL))
            printf("# %s\n", err.text);
    }
}

/* -- what is loaded --------------------------------------------------------------------------- */

static void
test_files_and_source_are_told(void)
{
    struct enrich_file files[8];
    struct enrich *enrich = open_all();
    static const char *const kinds[] = {"geo", "geo", "asn", "places", "list", "devices"};
    static const int entries[] = {0, 0, 0, 2, 2, 2};
    CHECK_INT((intmax_t)enrich_files(enrich, files, 2), 2);
    CHECK_INT((intmax_t)enrich_files(enrich, files, COUNT_OF(files)), COUNT_OF(kinds));
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        CHECK_TEXT(files[i].kind, kinds[i]);
        CHECK(i < 3 ? files[i].entries > 16 : files[i].entries == (uint64_t)entries[i]);
        CHECK_INT(files[i].built_at_us, i < 3 ? BUILT_S * TIME_US_PER_SECOND : 0);
    }
    CHECK_TEXT(files[0].name, v4_file);
    CHECK(str_starts(enrich_attribution(enrich), STR("IP geolocation by DB-IP; ")));
    enrich_close(enrich);

    struct enrich_options options = {.geo = geo, .geo_count = 2, .devices = devices_file};
    struct err err = {0};
    CHECK(enrich_open(&options, &enrich, &err));
    CHECK_STR(enrich_attribution(enrich), STR("IP geolocation by DB-IP"));
    enrich_close(enrich);
}

/* What is said on standard error when the files are `age_days` old. */
static void
read_diagnostics(int64_t age_days, char said[static 4096])
{
    struct enrich_options options = all_options();
    struct enrich *enrich;
    struct err err;
    char path[80];
    snprintf(path, sizeof path, "%s/stderr", folder);
    int kept = hush(path);
    options.now_us += age_days * TIME_US_PER_DAY;
    bool ok = enrich_open(&options, &enrich, &err);
    speak(kept);
    CHECK(ok);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = pread(fd, said, 4095, 0);
    said[len > 0 ? len : 0] = '\0';
    close(fd);
    unlink(path);
    enrich_close(enrich);
}

static void
test_files_older_than_90_days_are_warned_of(void)
{
    char said[4096];
    read_diagnostics(90, said);
    CHECK(strstr(said, "warning") == NULL);
    CHECK(strstr(said, "90 days old") != NULL);
    read_diagnostics(91, said);
    CHECK(strstr(said, "warning: geo: ") != NULL);
    CHECK(strstr(said, "warning: asn: ") != NULL);
    CHECK(strstr(said, v4_file) != NULL && strstr(said, "91 days old") != NULL);
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
        enrich_refresh(reader);
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
    must(mkdtemp(folder) != NULL);
    snprintf(data, sizeof data, "%s/geo", folder);
    snprintf(v4_file, sizeof v4_file, "%s/v4.mmdb", folder);
    snprintf(v6_file, sizeof v6_file, "%s/v6.mmdb", folder);
    snprintf(asn_file, sizeof asn_file, "%s/asn.mmdb", folder);
    snprintf(places_file, sizeof places_file, "%s/places.csv", folder);
    snprintf(list_file, sizeof list_file, "%s/list.txt", folder);
    snprintf(list_option, sizeof list_option, "mine=%s", list_file);
    snprintf(devices_file, sizeof devices_file, "%s/regexes.yaml", folder);
    write_files();
    RUN(test_an_event_is_filled_in);
    RUN(test_a_row_of_places_stands_for_the_whole_record);
    RUN(test_nothing_given_is_nothing_known);
    RUN(test_strings_outlive_the_files);
    RUN(test_a_full_arena_is_said);
    RUN(test_caches_change_no_answer);
    RUN(test_a_file_overwritten_in_place_hurts_nobody);
    RUN(test_a_copy_that_was_damaged_is_made_again);
    RUN(test_a_reload_is_seen_at_the_next_round);
    RUN(test_a_reload_that_fails_changes_nothing);
    RUN(test_opening_names_what_is_wrong);
    RUN(test_files_and_source_are_told);
    RUN(test_files_older_than_90_days_are_warned_of);
    RUN(test_a_reload_disturbs_no_reader);

    char name[400];
    while (count_copies(name) > 0)
        unlink(name);
    rmdir(data);
    const char *const files[] = {v4_file, v6_file, asn_file, places_file, list_file, devices_file};
    for (size_t i = 0; i < COUNT_OF(files); i++)
        unlink(files[i]);
    rmdir(folder);
    return tap_done();
}
