/* The room as others see it: what an event is told, what is refused, what is said of the files. */
#include "codec/hash.h"
#include "enrich/fixture.h"

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

/* -- what is refused ------------------------------------------------------------------- */

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

int
main(void)
{
    fixture_begin();
    RUN(test_an_event_is_filled_in);
    RUN(test_a_row_of_places_stands_for_the_whole_record);
    RUN(test_nothing_given_is_nothing_known);
    RUN(test_strings_outlive_the_files);
    RUN(test_a_full_arena_is_said);
    RUN(test_caches_change_no_answer);
    RUN(test_opening_names_what_is_wrong);
    RUN(test_files_and_source_are_told);
    RUN(test_files_older_than_90_days_are_warned_of);
    fixture_end();
    return tap_done();
}
