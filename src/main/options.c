/* The options: one row each, with the sentence that the usage shows. */
#include "main/main_priv.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { TEXT, LIST, NUMBER, FLAG };
enum { SERVE = 1, REPLAY = 2, VERIFY = 4, KEY = 8 };

static const struct option {
    const char *name;
    enum kind kind;
    unsigned commands;
    size_t offset; /* in struct options */
    int64_t least, most;
    const char *summary;
} rows[] = {
    {"data", TEXT, SERVE | VERIFY | KEY, offsetof(struct options, data), 0, 0,
     "DIR: where everything is kept (./data)"},
    {"listen", TEXT, SERVE, offsetof(struct options, listen), 0, 0,
     "ADDR:PORT (127.0.0.1:7410; port 0 takes a free one)"},
    {"geo", LIST, SERVE | REPLAY, offsetof(struct options, geo), 0, 0,
     "FILE.mmdb: places of addresses; may be given several times"},
    {"asn", TEXT, SERVE | REPLAY, offsetof(struct options, asn), 0, 0,
     "FILE.mmdb: networks of addresses"},
    {"places", TEXT, SERVE | REPLAY, offsetof(struct options, places), 0, 0,
     "FILE.csv: places of one's own, CIDR,country,city,latitude,longitude,name"},
    {"ip-list", LIST, SERVE | REPLAY, offsetof(struct options, ip_list), 0, 0,
     "NAME=FILE: a list of networks, one a line; may be given several times"},
    {"devices", TEXT, SERVE | REPLAY, offsetof(struct options, devices), 0, 0,
     "FILE.yaml: uap-core's regexes (Debian's)"},
    {"rules", TEXT, REPLAY, offsetof(struct options, rules), 0, 0,
     "FILE.json: the rules, as posted or as GET /rules prints them"},
    {"trust-proxy", LIST, SERVE, offsetof(struct options, trust_proxy), 0, 0,
     "CIDR: proxies whose X-Forwarded-For is believed; may be given several times"},
    {"webhook-allow", LIST, SERVE, offsetof(struct options, webhook_allow), 0, 0,
     "CIDR: networks that webhooks may call although not public"},
    {"tls-cert", TEXT, SERVE, offsetof(struct options, tls_cert), 0, 0, "FILE.pem"},
    {"tls-key", TEXT, SERVE, offsetof(struct options, tls_key), 0, 0, "FILE.pem"},
    {"http2", FLAG, SERVE, offsetof(struct options, http2), 0, 0, "HTTP/2, over TLS only"},
    {"workers", NUMBER, SERVE, offsetof(struct options, workers), 1, 256,
     "N: threads that serve HTTP (one per core)"},
    {"public-url", TEXT, SERVE, offsetof(struct options, public_url), 0, 0,
     "URL: where people reach this server, for links"},
    {"smtp-url", TEXT, SERVE, offsetof(struct options, smtp_url), 0, 0,
     "smtp[s]://[USER@]HOST[:PORT]: the server that mail goes to; its password: "
     "TOCSIN_SMTP_PASSWORD"},
    {"mail-from", TEXT, SERVE, offsetof(struct options, mail_from), 0, 0,
     "ADDR: whom mail is from"},
    {"smtp-ca", TEXT, SERVE, offsetof(struct options, smtp_ca), 0, 0,
     "FILE.pem: the certificates that the mail server's must stem from (the system's)"},
    {"metrics-public", FLAG, SERVE, offsetof(struct options, metrics_public), 0, 0,
     "/metrics without a key"},
    {"request-timeout", NUMBER, SERVE, offsetof(struct options, request_timeout_s), 1, 3600,
     "SECONDS: for a request to be there whole, and for idle connections (60)"},
    {"segment-bytes", NUMBER, SERVE, offsetof(struct options, segment_bytes), 65536, 1LL << 40,
     "BYTES: about how long a segment of the log is (268435456)"},
};

void
options_usage(void)
{
    static const struct {
        unsigned bit;
        const char *synopsis;
    } commands[] = {
        {SERVE, "tocsin serve [option ...]"},
        {REPLAY, "tocsin replay --rules FILE [option ...] [EVENTS.ndjson|-]"},
        {VERIFY, "tocsin verify --data DIR"},
        {KEY, "tocsin key --data DIR"},
    };
    for (size_t c = 0; c < COUNT_OF(commands); c++) {
        fprintf(stderr, "%s%s\n", c == 0 ? "usage: " : "       ", commands[c].synopsis);
        for (size_t i = 0; i < COUNT_OF(rows); i++)
            if ((rows[i].commands & commands[c].bit) != 0)
                fprintf(stderr, "           --%-16s %s\n", rows[i].name, rows[i].summary);
    }
    fprintf(stderr, "       tocsin version\n"
                    "Every option can also be an environment variable: --trust-proxy is\n"
                    "TOCSIN_TRUST_PROXY, lists separated by commas. The command line wins.\n");
}

/* Always false, so that a reader can `return` it. */
static bool complain(const char *fmt, ...) PRINTF_LIKE(1, 2);

static bool
complain(const char *fmt, ...)
{
    va_list args;
    fprintf(stderr, "tocsin: ");
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fprintf(stderr, "\n");
    return false;
}

static bool
add_to_list(struct option_list *list, const char *name, const char *value)
{
    if (list->count == OPTION_LIST_MAX)
        return complain("--%s: given too often (%s)", name, value);
    list->items[list->count++] = value;
    return true;
}

static bool
set(struct options *options, const struct option *row, const char *value)
{
    void *at = (char *)options + row->offset;
    int64_t number = 0;
    switch (row->kind) {
    case TEXT:
        *(const char **)at = value;
        return true;
    case LIST:
        return add_to_list(at, row->name, value);
    case NUMBER:
        if (!str_to_int(str_from(value), &number) || number < row->least || number > row->most)
            return complain("--%s: %s is not a number in its range", row->name, value);
        *(int64_t *)at = number;
        return true;
    case FLAG:
        *(bool *)at = true;
        return true;
    }
    return false;
}

static bool
set_from_environment(struct options *options, const struct option *row)
{
    char name[64] = "TOCSIN_";
    size_t len = strlen(name);
    for (const char *c = row->name; *c != '\0'; c++)
        name[len++] = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
    name[len] = '\0';
    const char *value = getenv(name);
    if (value == NULL || *value == '\0')
        return true;
    if (row->kind == FLAG) {
        if (strcmp(value, "0") == 0 || strcmp(value, "false") == 0)
            return true;
        return set(options, row, value);
    }
    if (row->kind != LIST)
        return set(options, row, value);
    struct str rest = str_from(value);
    while (rest.ptr != NULL) {
        struct str item = str_split(&rest, ',');
        char *copy = base_alloc(item.len + 1, 1);
        memcpy(copy, item.ptr, item.len);
        if (item.len > 0 && !set(options, row, copy))
            return false;
    }
    return true;
}

static const struct option *
find(unsigned command, const char *name, size_t len)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if ((rows[i].commands & command) != 0 && strlen(rows[i].name) == len &&
            memcmp(rows[i].name, name, len) == 0)
            return &rows[i];
    return NULL;
}

/* One argument of the form --name value, --name=value or --name (a flag); `*i` moves on. */
static bool
read_argument(struct options *options, unsigned command, int argc, char **argv, int *i)
{
    const char *name = argv[*i] + 2, *equals = strchr(name, '=');
    size_t len = equals != NULL ? (size_t)(equals - name) : strlen(name);
    const struct option *row = find(command, name, len);
    if (row == NULL)
        return complain("%s is not an option here", argv[*i]);
    if (row->kind == FLAG)
        return equals == NULL ? set(options, row, "") : complain("--%s takes no value", name);
    if (equals != NULL)
        return set(options, row, equals + 1);
    if (*i + 1 >= argc)
        return complain("--%s wants a value", name);
    return set(options, row, argv[++*i]);
}

/* A list on the command line replaces that of the environment. */
static void
forget_environment(struct options *options, unsigned command, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "--", 2) != 0)
            continue;
        const char *equals = strchr(argv[i], '=');
        size_t len = equals != NULL ? (size_t)(equals - argv[i] - 2) : strlen(argv[i]) - 2;
        const struct option *row = find(command, argv[i] + 2, len);
        if (row != NULL && row->kind == LIST)
            ((struct option_list *)((char *)options + row->offset))->count = 0;
    }
}

static bool
parse_networks(const struct option_list *list, const char *name, struct network *out)
{
    for (size_t i = 0; i < list->count; i++)
        if (!network_parse(str_from(list->items[i]), &out[i]))
            return complain("--%s: %s is not a network (CIDR)", name, list->items[i]);
    return true;
}

bool
options_read(const char *command, int argc, char **argv, struct options *options)
{
    unsigned bit = strcmp(command, "serve") == 0    ? SERVE
                   : strcmp(command, "replay") == 0 ? REPLAY
                   : strcmp(command, "verify") == 0 ? VERIFY
                                                    : KEY;
    *options = (struct options){.data = "./data", .listen = "127.0.0.1:7410"};
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if ((rows[i].commands & bit) != 0 && !set_from_environment(options, &rows[i]))
            return false;
    forget_environment(options, bit, argc, argv);
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "--", 2) == 0) {
            if (!read_argument(options, bit, argc, argv, &i))
                return false;
        } else if (bit == REPLAY && options->input == NULL) {
            options->input = argv[i];
        } else {
            return complain("%s is not expected here", argv[i]);
        }
    }
    if (bit == REPLAY && options->rules == NULL)
        return complain("%s wants --rules FILE", command);
    return parse_networks(&options->trust_proxy, "trust-proxy", options->trusted) &&
           parse_networks(&options->webhook_allow, "webhook-allow", options->allowed);
}
