/* tocsin serve: opens everything in the order of the data, waits for signals, closes in the
 * other. */
#include "api/api.h"
#include "codec/time.h"
#include "main/main_priv.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define PATH_SIZE          4096
#define DELIVERIES_KEPT_US (30 * TIME_US_PER_DAY)

struct server {
    const struct options *options;
    struct clock clock;
    struct random random;
    char log_folder[PATH_SIZE], geo_folder[PATH_SIZE];
    struct log_disk disk;
    bool has_disk;
    struct journal *journal;
    struct store *store;
    struct store_states *states;
    struct enrich *enrich;
    struct engine *engine;
    struct mail_server *mail; /* NULL: nobody is written to */
    struct notify *notify;
    struct api *api;
};

int
fail(const struct err *err)
{
    diag_error("%s", err->text);
    return EXIT_FAILED;
}

/* -- opening --------------------------------------------------------------------- */

static bool
make_folder(const char *path, struct err *err)
{
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return err_set(err, ERR_IO, "%s: %m", path);
    struct stat found;
    if (stat(path, &found) != 0 || !S_ISDIR(found.st_mode))
        return err_set(err, ERR_IO, "%s: is no folder", path);
    if ((found.st_mode & 077) != 0 && chmod(path, 0700) != 0)
        return err_set(err, ERR_IO, "%s: others may read it, and that cannot be changed: %m", path);
    return true;
}

static bool
open_folders(struct server *server, struct err *err)
{
    const char *data = server->options->data;
    int log_len = snprintf(server->log_folder, PATH_SIZE, "%s/log", data);
    int geo_len = snprintf(server->geo_folder, PATH_SIZE, "%s/geo", data);
    if (log_len >= PATH_SIZE || geo_len >= PATH_SIZE)
        return err_set(err, ERR_INPUT, "--data: the path is too long");
    if (!make_folder(data, err))
        return false;
    /* The lock of the log's folder is what keeps a second server off. */
    server->has_disk =
        log_disk_open(server->log_folder, server->options->sync_delay_us, &server->disk, err);
    return server->has_disk;
}

static bool
open_enrich(struct server *server, struct err *err)
{
    const struct options *options = server->options;
    struct enrich_options enrich = {
        .folder = server->geo_folder,
        .geo = options->geo.items,
        .geo_count = options->geo.count,
        .asn = options->asn,
        .places = options->places,
        .devices = options->devices,
        .ip_lists = options->ip_list.items,
        .ip_list_count = options->ip_list.count,
        .now_us = server->clock.wall_us(server->clock.self),
    };
    return enrich_open(&enrich, &server->enrich, err);
}

static bool
open_journal(struct server *server, struct err *err)
{
    struct journal_options options = {
        .log = {.disk = server->disk, .segment_bytes = (uint64_t)server->options->segment_bytes}};
    struct log_recovery recovery;
    if (!journal_open(&options, &server->journal, &recovery, err))
        return false;
    if (recovery.torn)
        diag_warn("log: %s; dropped (nothing in it had been acknowledged)", recovery.torn_text);
    return true;
}

static void
wake_notify(void *self)
{
    struct server *server = self;
    notify_wake(server->notify);
}

/* Links are made by putting a path behind it. */
static bool
check_public_url(const char *url, struct err *err)
{
    struct str text = str_from(url);
    bool good = str_starts(text, STR("https://")) || str_starts(text, STR("http://"));
    for (size_t i = 0; i < text.len; i++)
        good = good && text.ptr[i] > ' ' && text.ptr[i] < 0x7f &&
               strchr("<>\"'?#", text.ptr[i]) == NULL;
    if (good && text.ptr[text.len - 1] != '/')
        return true;
    return err_set(err, ERR_INPUT, "--public-url: wants http(s)://... without a slash at its end");
}

static bool
open_mail(struct server *server, struct err *err)
{
    const struct options *options = server->options;
    const char *password = getenv("TOCSIN_SMTP_PASSWORD");
    struct mail_server_options mail = {
        .url = options->smtp_url,
        .password = password != NULL && *password != '\0' ? password : NULL,
        .ca_file = options->smtp_ca,
        .from = options->mail_from,
    };
    if (options->public_url != NULL && !check_public_url(options->public_url, err))
        return false;
    if (options->smtp_url != NULL)
        return mail_server_new(&mail, &server->mail, err);
    if (options->mail_from == NULL && options->smtp_ca == NULL && mail.password == NULL)
        return true;
    return err_set(err, ERR_INPUT,
                   "--mail-from, --smtp-ca and TOCSIN_SMTP_PASSWORD want --smtp-url");
}

static bool
open_notify(struct server *server, struct err *err)
{
    struct notify_options options = {.journal = server->journal,
                                     .store = server->store,
                                     .clock = server->clock,
                                     .random = server->random,
                                     .mail = server->mail,
                                     .version = TOCSIN_VERSION};
    if (server->options->public_url != NULL)
        options.public_url = str_from(server->options->public_url);
    return notify_transport_curl(server->options->allowed, server->options->webhook_allow.count,
                                 &options.transport, err) &&
           notify_new(&options, &server->notify, err);
}

static bool
open_engine(struct server *server, struct err *err)
{
    if (server->mail != NULL && !api_mail_is_there(server->store, server->clock, err))
        return false;
    struct engine_options options = {.journal = server->journal,
                                     .store = server->store,
                                     .states = server->states,
                                     .clock = server->clock,
                                     .wake = wake_notify,
                                     .wake_self = server,
                                     .ends_process = true};
    return engine_start(&options, &server->engine, err);
}

/* On the first start there is no workspace yet: one is made with its first key, which is shown
 * once. */
static bool
first_key(struct server *server, struct err *err)
{
    char key[64];
    const char *given = getenv("TOCSIN_ADMIN_KEY");
    struct str wanted = given != NULL && *given != '\0' ? str_from(given) : (struct str){0};
    struct err refused = {0};
    if (api_make_first_key(server->store, server->engine, server->random, server->clock, wanted,
                           key, &refused)) {
        if (wanted.ptr == NULL)
            printf("admin key: %s\n", key);
        fflush(stdout);
        return true;
    }
    if (refused.code == ERR_CONFLICT)
        return true;
    *err = refused;
    return false;
}

static bool
open_api(struct server *server, struct err *err)
{
    const struct options *options = server->options;
    struct api_options api = {
        .journal = server->journal,
        .store = server->store,
        .enrich = server->enrich,
        .engine = server->engine,
        .notify = server->notify,
        .clock = server->clock,
        .random = server->random,
        .listen = options->listen,
        .workers = (size_t)options->workers,
        .tls_cert = options->tls_cert,
        .tls_key = options->tls_key,
        .http2 = options->http2,
        .trusted = options->trusted,
        .trusted_count = options->trust_proxy.count,
        .metrics_public = options->metrics_public,
        .public_url = options->public_url,
        .has_mail = server->mail != NULL,
        .request_timeout_ms = options->request_timeout_s * 1000,
        .version = TOCSIN_VERSION,
    };
    return api_start(&api, &server->api, err);
}

static bool
open_all(struct server *server, struct err *err)
{
    if (server->options->http2 && server->options->tls_cert == NULL)
        return err_set(err, ERR_INPUT, "--http2 wants --tls-cert and --tls-key");
    return open_mail(server, err) && open_folders(server, err) &&
           store_open(server->options->data, &server->store, err) && open_enrich(server, err) &&
           open_journal(server, err) &&
           store_states_open(server->options->data, &server->states, err) &&
           open_notify(server, err) && open_engine(server, err) && first_key(server, err) &&
           open_api(server, err);
}

static void
close_all(struct server *server)
{
    if (server->api != NULL)
        api_stop(server->api);
    if (server->engine != NULL)
        engine_stop(server->engine);
    if (server->notify != NULL)
        notify_free(server->notify);
    mail_server_free(server->mail);
    if (server->states != NULL)
        store_states_close(server->states);
    if (server->journal != NULL)
        journal_close(server->journal);
    if (server->enrich != NULL)
        enrich_close(server->enrich);
    if (server->store != NULL)
        store_close(server->store);
    if (server->has_disk)
        log_disk_close(&server->disk);
}

/* -- running ------------------------------------------------------------------------- */

static void
reload(struct server *server)
{
    struct err err = {0};
    int64_t now = server->clock.wall_us(server->clock.self);
    if (!enrich_reload(server->enrich, now, &err))
        diag_error("reload: %s; what was loaded before stays in use", err.text);
    else if (!api_reload(server->api, &err))
        diag_error("reload: %s; the certificate from before stays in use", err.text);
    else
        diag_note("reloaded");
}

static void
raise_limits(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* Blocked in every thread, so that one place waits for them. SIGXFSZ would kill the process where a
 * write beyond a limit should fail like a full disk. */
static sigset_t
block_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    return set;
}

/* What was delivered, or given up, is kept for a month to be looked at. */
static void
forget_old_deliveries(struct server *server)
{
    struct err err = {0};
    int64_t now = server->clock.wall_us(server->clock.self);
    if (!store_deliveries_prune(server->store, now - DELIVERIES_KEPT_US, &err))
        diag_warn("%s", err.text);
}

static void
wait_for_end(struct server *server, const sigset_t *set)
{
    const struct timespec hour = {.tv_sec = 3600};
    for (;;) {
        forget_old_deliveries(server);
        int caught = sigtimedwait(set, NULL, &hour);
        if (caught == SIGHUP)
            reload(server);
        else if (caught > 0)
            return;
    }
}

int
command_serve(const struct options *options)
{
    struct server *server = base_alloc(1, sizeof *server);
    struct err err = {0};
    *server =
        (struct server){.options = options, .clock = clock_system(), .random = random_system()};
    sigset_t set = block_signals();
    raise_limits();
    curl_global_init(CURL_GLOBAL_DEFAULT);
    int status = EXIT_STOPPED;
    if (open_all(server, &err)) {
        notify_start(server->notify);
        printf("listening on %s\n", api_url(server->api));
        fflush(stdout);
        wait_for_end(server, &set);
        api_stop(server->api);
        server->api = NULL;
        notify_stop(server->notify);
    } else {
        status = fail(&err);
    }
    close_all(server);
    base_free(server);
    return status;
}

int
command_key(const struct options *options)
{
    char folder[PATH_SIZE], key[64];
    struct log_disk disk;
    struct store *store = NULL;
    struct err err = {0};
    if (snprintf(folder, sizeof folder, "%s/log", options->data) >= PATH_SIZE)
        return EXIT_USAGE;
    /* Taking the lock shows that no server runs on the folder. */
    if (!log_disk_open(folder, 0, &disk, &err))
        return fail(&err);
    bool ok = store_open(options->data, &store, &err) &&
              api_make_admin_key(store, random_system(), clock_system(), key, &err);
    if (store != NULL)
        store_close(store);
    log_disk_close(&disk);
    if (!ok)
        return fail(&err);
    printf("admin key: %s\n", key);
    return EXIT_STOPPED;
}
