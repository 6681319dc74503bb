/* enrich - the files in use, as one counted snapshot that a reload replaces as a whole. */
#include "enrich/enrich_priv.h"

#include "base/system.h"
#include "codec/time.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DEVICES_DEFAULT "/usr/share/uap-core/regexes.yaml"
#define DEVICES_MAX     (16u << 20)

enum { AGE_WARN_DAYS = 90 };

struct enrich {
    struct enrich_options options; /* its strings are ours */
    pthread_mutex_t lock;          /* over the references, and the exchange of `newest` */
    _Atomic(struct snapshot *) newest;
};

/* -- loading ------------------------------------------------------------------- */

static struct enrich_file *
add_file(struct snapshot *snapshot, const char *name, const char *kind, uint64_t entries)
{
    must(snapshot->file_count < FILES_MAX);
    struct enrich_file *file = &snapshot->files[snapshot->file_count++];
    snprintf(file->name, sizeof file->name, "%s", name);
    snprintf(file->kind, sizeof file->kind, "%s", kind);
    file->entries = entries;
    return file;
}

static bool
load_mmdb(struct snapshot *snapshot, const struct enrich_options *options, const char *path,
          struct mmdb **slot, struct err *err)
{
    bool is_asn = slot == &snapshot->asn;
    if (!mmdb_open(path, options->folder, is_asn ? MMDB_NETWORKS : MMDB_UNKNOWN, slot, err))
        return false;

    struct enrich_file *file =
        add_file(snapshot, path, is_asn ? "asn" : "geo", (*slot)->db.metadata.node_count);
    uint64_t built_s = (*slot)->db.metadata.build_epoch;
    if (built_s == 0 || built_s > (uint64_t)(TIME_US_MAX / TIME_US_PER_SECOND))
        return true;
    file->built_at_us = (int64_t)built_s * TIME_US_PER_SECOND;
    int64_t age_us = options->now_us - file->built_at_us;
    int64_t age_days = age_us > 0 ? age_us / TIME_US_PER_DAY : 0;
    if (age_days > AGE_WARN_DAYS)
        diag_warn("%s: %s is %lld days old: addresses move, places may be wrong", file->kind, path,
                  (long long)age_days);
    else
        diag_note("%s: %s is %lld days old", file->kind, path, (long long)age_days);
    return true;
}

static bool
load_places(struct snapshot *snapshot, const char *path, struct err *err)
{
    struct str text;
    if (!text_read_file(path, TEXT_FILE_MAX, &text, err))
        return false;
    bool ok = places_parse(text, path, &snapshot->places, err);
    text_free(text);
    if (ok)
        add_file(snapshot, path, "places", places_count(snapshot->places));
    return ok;
}

static bool
load_list(struct snapshot *snapshot, const char *option, struct err *err)
{
    struct str text, path = str_from(option), name = str_split(&path, '=');
    if (path.ptr == NULL || path.len == 0)
        return err_set(err, ERR_INPUT, "\"%s\" is not NAME=FILE", option);
    if (!text_read_file(path.ptr, TEXT_FILE_MAX, &text, err))
        return false;
    size_t before = lists_count(snapshot->lists);
    bool ok = lists_parse(snapshot->lists, name, text, path.ptr, err);
    text_free(text);
    if (ok)
        add_file(snapshot, path.ptr, "list", lists_count(snapshot->lists) - before);
    return ok;
}

static bool
load_devices(struct snapshot *snapshot, const char *path, struct err *err)
{
    struct str text;
    if (path == NULL && access(DEVICES_DEFAULT, F_OK) < 0) {
        diag_warn("devices: %s is missing (Debian's uap-core): devices stay unknown",
                  DEVICES_DEFAULT);
        return true;
    }
    path = path == NULL ? DEVICES_DEFAULT : path;
    if (!text_read_file(path, DEVICES_MAX, &text, err))
        return false;
    bool ok = devices_parse_yaml(text, path, &snapshot->devices, err);
    text_free(text);
    if (ok)
        add_file(snapshot, path, "devices", devices_count(snapshot->devices));
    return ok;
}

static bool
load_all(struct snapshot *snapshot, const struct enrich_options *options, struct err *err)
{
    for (size_t i = 0; i < options->geo_count; i++) {
        if (!load_mmdb(snapshot, options, options->geo[i], &snapshot->geo[i], err))
            return err_prefix(err, "geo");
        snapshot->geo_count++;
    }
    if (options->asn != NULL && !load_mmdb(snapshot, options, options->asn, &snapshot->asn, err))
        return err_prefix(err, "asn");
    if (options->places != NULL && !load_places(snapshot, options->places, err))
        return err_prefix(err, "places");
    if (options->ip_list_count > 0)
        snapshot->lists = lists_new();
    for (size_t i = 0; i < options->ip_list_count; i++)
        if (!load_list(snapshot, options->ip_lists[i], err))
            return err_prefix(err, "ip-list");
    if (snapshot->lists != NULL)
        lists_finish(snapshot->lists);
    if (!load_devices(snapshot, options->devices, err))
        return err_prefix(err, "devices");
    return true;
}

bool
snapshot_load(const struct enrich_options *options, struct snapshot **snapshot_out, struct err *err)
{
    struct snapshot *snapshot = base_alloc(1, sizeof *snapshot);
    const char *kept[GEO_FILES_MAX + 1];
    size_t kept_count = 0;

    if (!load_all(snapshot, options, err)) {
        snapshot_free(snapshot);
        return false;
    }
    for (size_t i = 0; i < snapshot->geo_count; i++)
        kept[kept_count++] = snapshot->geo[i]->copy;
    if (snapshot->asn != NULL)
        kept[kept_count++] = snapshot->asn->copy;
    if (options->folder != NULL)
        copy_sweep(options->folder, kept, kept_count);
    *snapshot_out = snapshot;
    return true;
}

void
snapshot_free(struct snapshot *snapshot)
{
    must(snapshot->references == 0);
    for (size_t i = 0; i < snapshot->geo_count; i++)
        mmdb_close(snapshot->geo[i]);
    mmdb_close(snapshot->asn);
    places_free(snapshot->places);
    lists_free(snapshot->lists);
    devices_free(snapshot->devices);
    base_free(snapshot);
}

/* -- options of our own --------------------------------------------------------- */

static const char *
copy_text(const char *text)
{
    if (text == NULL)
        return NULL;
    size_t size = strlen(text) + 1;
    char *copy = base_alloc(size, 1);
    memcpy(copy, text, size);
    return copy;
}

static void
free_text(const char *text)
{
    text_free((struct str){text, 0});
}

static const char *const *
copy_texts(const char *const *texts, size_t count)
{
    const char **copy = base_alloc(count + 1, sizeof *copy);
    for (size_t i = 0; i < count; i++)
        copy[i] = copy_text(texts[i]);
    return copy;
}

static void
free_texts(const char *const *texts, size_t count)
{
    union {
        const char *const *texts;
        void *block;
    } owned = {.texts = texts};
    for (size_t i = 0; i < count; i++)
        free_text(texts[i]);
    base_free(owned.block);
}

static struct enrich_options
copy_options(const struct enrich_options *options)
{
    struct enrich_options copy = *options;
    copy.folder = copy_text(options->folder);
    copy.geo = copy_texts(options->geo, options->geo_count);
    copy.asn = copy_text(options->asn);
    copy.places = copy_text(options->places);
    copy.devices = copy_text(options->devices);
    copy.ip_lists = copy_texts(options->ip_lists, options->ip_list_count);
    return copy;
}

static void
free_options(struct enrich_options *options)
{
    free_text(options->folder);
    free_texts(options->geo, options->geo_count);
    free_text(options->asn);
    free_text(options->places);
    free_text(options->devices);
    free_texts(options->ip_lists, options->ip_list_count);
}

/* -- opening, reloading ----------------------------------------------------------- */

bool
enrich_open(const struct enrich_options *options, struct enrich **enrich_out, struct err *err)
{
    struct snapshot *snapshot;
    if (options->geo_count > GEO_FILES_MAX)
        return err_set(err, ERR_LIMIT, "geo: more than %d files", GEO_FILES_MAX);
    if (options->ip_list_count > LIST_FILES_MAX)
        return err_set(err, ERR_LIMIT, "ip-list: more than %d files", LIST_FILES_MAX);
    if (!snapshot_load(options, &snapshot, err))
        return false;
    if (options->geo_count == 0 && options->places == NULL)
        diag_warn("geo: no file of places was given: where people sign in from stays unknown");

    struct enrich *enrich = base_alloc(1, sizeof *enrich);
    enrich->options = copy_options(options);
    must(pthread_mutex_init(&enrich->lock, NULL) == 0);
    snapshot->references = 1;
    atomic_init(&enrich->newest, snapshot);
    *enrich_out = enrich;
    return true;
}

void
enrich_close(struct enrich *enrich)
{
    if (enrich == NULL)
        return;
    struct snapshot *snapshot = atomic_load(&enrich->newest);
    must(snapshot->references == 1); /* all readers are gone */
    snapshot_give(enrich, snapshot);
    must(pthread_mutex_destroy(&enrich->lock) == 0);
    free_options(&enrich->options);
    base_free(enrich);
}

bool
enrich_reload(struct enrich *enrich, int64_t now_us, struct err *err)
{
    struct snapshot *fresh, *old;
    enrich->options.now_us = now_us;
    if (!snapshot_load(&enrich->options, &fresh, err))
        return false;

    fresh->references = 1;
    must(pthread_mutex_lock(&enrich->lock) == 0);
    old = atomic_load_explicit(&enrich->newest, memory_order_relaxed);
    atomic_store_explicit(&enrich->newest, fresh, memory_order_release);
    must(pthread_mutex_unlock(&enrich->lock) == 0);
    snapshot_give(enrich, old);
    return true;
}

struct snapshot *
snapshot_take(struct enrich *enrich)
{
    must(pthread_mutex_lock(&enrich->lock) == 0);
    struct snapshot *snapshot = atomic_load_explicit(&enrich->newest, memory_order_relaxed);
    snapshot->references++;
    must(pthread_mutex_unlock(&enrich->lock) == 0);
    return snapshot;
}

/* The caller holds a reference on `snapshot`, so no other can have come to lie at its address. */
bool
snapshot_is_newest(struct enrich *enrich, const struct snapshot *snapshot)
{
    return atomic_load_explicit(&enrich->newest, memory_order_acquire) == snapshot;
}

void
snapshot_give(struct enrich *enrich, struct snapshot *snapshot)
{
    must(pthread_mutex_lock(&enrich->lock) == 0);
    must(snapshot->references > 0);
    bool last = --snapshot->references == 0;
    must(pthread_mutex_unlock(&enrich->lock) == 0);
    if (last)
        snapshot_free(snapshot);
}

/* -- what is loaded ------------------------------------------------------------------ */

size_t
enrich_files(struct enrich *enrich, struct enrich_file *files_out, size_t max)
{
    struct snapshot *snapshot = snapshot_take(enrich);
    size_t count = snapshot->file_count < max ? snapshot->file_count : max;
    if (count > 0)
        memcpy(files_out, snapshot->files, count * sizeof *files_out);
    snapshot_give(enrich, snapshot);
    return count;
}

#define DBIP    "IP geolocation by DB-IP"
#define GEOLITE "includes GeoLite2 data created by MaxMind, available from https://www.maxmind.com"

struct str
enrich_attribution(struct enrich *enrich)
{
    static const struct str texts[2][2] = {
        {{NULL, 0}, STR_INIT(GEOLITE)},
        {STR_INIT(DBIP), STR_INIT(DBIP "; " GEOLITE)},
    };
    struct snapshot *snapshot = snapshot_take(enrich);
    bool dbip = snapshot->asn != NULL && snapshot->asn->is_dbip;
    bool geolite = snapshot->asn != NULL && snapshot->asn->is_geolite;
    for (size_t i = 0; i < snapshot->geo_count; i++) {
        dbip = dbip || snapshot->geo[i]->is_dbip;
        geolite = geolite || snapshot->geo[i]->is_geolite;
    }
    snapshot_give(enrich, snapshot);
    return texts[dbip][geolite];
}
