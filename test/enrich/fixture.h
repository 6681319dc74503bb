/* fixture - a folder with small files of every kind, and readers of them, for these tests. */
#ifndef ENRICH_FIXTURE_H
#define ENRICH_FIXTURE_H

#include "enrich/enrich_priv.h"

#include "codec/time.h"
#include "enrich/mmdb_writer.h"
#include "tap.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>

#define BUILT_S 1790000000LL

static char folder[] = "/tmp/tocsin-enrich-XXXXXX";
static char data[64], v4_file[64], v6_file[64], asn_file[64], places_file[64], list_file[64];
static char list_option[80], devices_file[64];

/* -- the files that most tests begin with -------------------------------------------- */

static inline void
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

static inline void
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

static inline struct enrich_options
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
static inline int
hush(const char *where)
{
    int kept = dup(2), fd = open(where, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    must(kept >= 0 && fd >= 0 && dup2(fd, 2) == 2);
    close(fd);
    return kept;
}

static inline void
speak(int kept)
{
    must(dup2(kept, 2) == 2);
    close(kept);
}

static inline struct enrich *
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

static inline struct event
ask(struct enrich_reader *reader, struct arena *arena, const char *address, const char *agent)
{
    struct event event = {.user_agent = str_from(agent)};
    struct err err = {0};
    event.has_address = address != NULL && address_parse(str_from(address), &event.address);
    if (!CHECK(enrich_event(reader, arena, &event, &err)))
        printf("# %s\n", err.text);
    return event;
}

/* -- the folder ------------------------------------------------------------------------- */

static inline size_t
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

static inline void
fixture_begin(void)
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
}

static inline void
fixture_end(void)
{
    char name[400];
    while (count_copies(name) > 0)
        unlink(name);
    rmdir(data);
    const char *const files[] = {v4_file, v6_file, asn_file, places_file, list_file, devices_file};
    for (size_t i = 0; i < COUNT_OF(files); i++)
        unlink(files[i]);
    rmdir(folder);
}

#endif
