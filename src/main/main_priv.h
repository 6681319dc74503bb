/* What the commands share: the options, from the command line and the environment. */
#ifndef MAIN_PRIV_H
#define MAIN_PRIV_H

#include "base/system.h"
#include "codec/address.h"
#include "detect/detect.h"
#include "enrich/enrich.h"

#define TOCSIN_VERSION  "0.1.0"
#define OPTION_LIST_MAX 64

enum { EXIT_STOPPED = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct option_list {
    const char *items[OPTION_LIST_MAX];
    size_t count;
};

struct options {
    const char *data, *listen;
    struct option_list geo, ip_list, trust_proxy, webhook_allow;
    const char *asn, *places, *devices;
    const char *tls_cert, *tls_key;
    const char *public_url;
    const char *smtp_url, *mail_from, *smtp_ca;
    const char *rules; /* replay */
    const char *input; /* replay: a file, or NULL or "-" for standard input */
    int64_t workers, request_timeout_s, segment_bytes;
    int64_t sync_delay_us; /* added to each sync; no option sets it: benches play a slow disk */
    bool metrics_public, http2;
    /* parsed */
    struct network trusted[OPTION_LIST_MAX], allowed[OPTION_LIST_MAX];
};

/* `command` chooses which options there are. False: usage, said on standard error. Values are
 * borrowed from argv and the environment (lists from the environment are copied for the process's
 * lifetime). */
bool options_read(const char *command, int argc, char **argv, struct options *options);
void options_usage(void);

int command_serve(const struct options *options);
int command_replay(const struct options *options);
int command_verify(const struct options *options);
int command_key(const struct options *options);

/* -- replay_rules.c: the rules of a file ------------------------------------------------ */

struct running {
    struct detect_rule *rule;
    struct detect_table *table;
};
struct running_rules { /* zeroed is empty */
    struct arena arena;
    struct running *items;     /* combinations last */
    struct detect_pair *pairs; /* the same */
    size_t count;
};
bool running_read(struct running_rules *rules, const char *path, struct random random,
                  struct err *err) MUST_USE;
void running_free(struct running_rules *rules);

/* -- replay_lines.c: the lines of a file become events ------------------------------------ */

enum line_kind { LINE_STORED, LINE_POSTED, LINE_REFUSED };
struct line {
    uint64_t number; /* in the file, from 1 */
    enum line_kind kind;
    struct str complaint; /* of one refused */
    struct event event;   /* of the others; a posted one has no created_at yet */
};
struct lines_options {
    int fd;
    struct enrich *enrich;
    struct clock clock;
    struct random random;
    /* Some lines, blank ones left out; in the order of the file, on changing threads, one at a
     * time. */
    void (*fold)(void *self, struct line *lines, size_t count);
    void *self;
};
/* Until the end. False: what follows the lines that were folded cannot be read. */
bool lines_fold(const struct lines_options *options, struct err *err) MUST_USE;

/* "a: b" on standard error, and EXIT_FAILED. */
int fail(const struct err *err);

#endif
