/* receiver - a webhook's other end on loopback: a thread per connection, and a path for each way to
 * behave badly. Ends when it is freed, whatever its connections are doing. */
#ifndef TEST_NOTIFY_RECEIVER_H
#define TEST_NOTIFY_RECEIVER_H

#include "base/base.h"

#include "tap.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RECEIVER_CONNECTIONS = 512, RECEIVER_REQUEST_MAX = 65536 };

struct receiver {
    int port, listening, ended[2]; /* a pipe: readable when it is over */
    pthread_t thread, threads[RECEIVER_CONNECTIONS];
    SSL_CTX *tls; /* NULL: plain */
    pthread_mutex_t lock;
    int connections, requests;
    char last[RECEIVER_REQUEST_MAX];
    size_t last_len;
};

struct receiver_connection {
    struct receiver *receiver;
    int socket;
    SSL *ssl;
};

static inline int
receiver_count(struct receiver *receiver, const int *number)
{
    must(pthread_mutex_lock(&receiver->lock) == 0);
    int count = *number;
    must(pthread_mutex_unlock(&receiver->lock) == 0);
    return count;
}

static inline struct str
receiver_last(struct receiver *receiver)
{
    return (struct str){receiver->last, receiver->last_len};
}

/* Until there is something to read; false when it is over. */
static inline bool
receiver_wait(struct receiver *receiver, int socket, int timeout_ms)
{
    struct pollfd polls[] = {{.fd = socket, .events = POLLIN},
                             {.fd = receiver->ended[0], .events = POLLIN}};
    return poll(polls, COUNT_OF(polls), timeout_ms) >= 0 && polls[1].revents == 0;
}

/* Until so many milliseconds have passed; false when it is over. */
static inline bool
receiver_pause(struct receiver *receiver, int ms)
{
    struct pollfd over = {.fd = receiver->ended[0], .events = POLLIN};
    return poll(&over, 1, ms) == 0;
}

static inline bool
receiver_write(struct receiver_connection *c, const char *bytes, size_t len)
{
    if (c->ssl != NULL)
        return SSL_write(c->ssl, bytes, (int)len) == (int)len;
    return send(c->socket, bytes, len, MSG_NOSIGNAL) == (ssize_t)len;
}

static inline bool
receiver_say(struct receiver_connection *c, const char *text)
{
    return receiver_write(c, text, strlen(text));
}

static inline bool
receiver_endless(struct receiver_connection *c, const char *begin, const char *part)
{
    bool open = receiver_say(c, begin);
    while (open && receiver_pause(c->receiver, 0))
        open = receiver_say(c, part);
    return false;
}

/* Answers one request; false closes the connection. */
static inline bool
receiver_answer(struct receiver_connection *c, const char *path)
{
    static const struct {
        const char *path, *answer;
        bool stays;
    } plain[] = {
        {"/ok", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nthanks", true},
        {"/redirect", "HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: 0\r\n\r\n", true},
        {"/busy", "HTTP/1.1 503 Busy\r\nRetry-After: 120\r\nContent-Length: 0\r\n\r\n", true},
        {"/error", "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", true},
        {"/gone", "HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n", true},
        {"/garbage", "\x16\x03\x01\x02 this is no HTTP at all\r\n\r\n\xff\xfe", false},
        {"/nothing", "", false},
        {"/half", "HTTP/1.1 200 OK\r\nContent-Le", false},
    };
    for (size_t i = 0; i < COUNT_OF(plain); i++)
        if (strncmp(path, plain[i].path, strlen(plain[i].path)) == 0)
            return receiver_say(c, plain[i].answer) && plain[i].stays;
    if (strncmp(path, "/endless-headers", 16) == 0)
        return receiver_endless(c, "HTTP/1.1 200 OK\r\n", "X-More: and more and more and more\r\n");
    if (strncmp(path, "/endless", 8) == 0)
        return receiver_endless(c, "HTTP/1.1 200 OK\r\n\r\n", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
    if (strncmp(path, "/drip", 5) == 0) {
        for (const char *at = "HTTP/1.1 200 OK\r\nX: yyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n"; *at != '\0';
             at++)
            if (!receiver_write(c, at, 1) || !receiver_pause(c->receiver, 40))
                return false;
        return false;
    }
    if (strncmp(path, "/reset", 6) == 0) {
        struct linger now = {.l_onoff = 1};
        setsockopt(c->socket, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        return false;
    }
    receiver_pause(c->receiver, -1); /* "/hang" */
    return false;
}

static inline ssize_t
receiver_read(struct receiver_connection *c, char *to, size_t len)
{
    if (c->ssl != NULL)
        return SSL_read(c->ssl, to, (int)len);
    return recv(c->socket, to, len, 0);
}

/* Reads one request, whole, into `text`; false at the end of the connection. */
static inline bool
receiver_request(struct receiver_connection *c, char *text, size_t *len_out)
{
    size_t len = 0;
    for (;;) {
        if (!receiver_wait(c->receiver, c->socket, -1))
            return false;
        ssize_t got = receiver_read(c, text + len, RECEIVER_REQUEST_MAX - 1 - len);
        if (got <= 0)
            return false;
        len += (size_t)got;
        text[len] = '\0';
        const char *end = strstr(text, "\r\n\r\n"), *size = strstr(text, "Content-Length: ");
        if (end == NULL)
            continue;
        size_t body = size == NULL ? 0 : strtoul(size + 16, NULL, 10);
        if (len >= (size_t)(end - text) + 4 + body)
            break;
    }
    *len_out = len;
    return true;
}

static inline void
receiver_serve(struct receiver_connection *c)
{
    struct receiver *receiver = c->receiver;
    char *text = base_alloc(RECEIVER_REQUEST_MAX, 1);
    size_t len = 0;
    while (receiver_request(c, text, &len)) {
        must(pthread_mutex_lock(&receiver->lock) == 0);
        receiver->requests++;
        memcpy(receiver->last, text, len + 1);
        receiver->last_len = len;
        must(pthread_mutex_unlock(&receiver->lock) == 0);
        if (!receiver_answer(c, text + strlen("POST ")))
            break;
    }
    base_free(text);
}

static inline void *
receiver_connection_run(void *self)
{
    struct receiver_connection *c = self;
    if (c->receiver->tls != NULL) {
        c->ssl = SSL_new(c->receiver->tls);
        SSL_set_fd(c->ssl, c->socket);
        if (SSL_accept(c->ssl) == 1)
            receiver_serve(c);
        SSL_free(c->ssl);
    } else {
        receiver_serve(c);
    }
    close(c->socket);
    base_free(c);
    return NULL;
}

static inline void *
receiver_run(void *self)
{
    struct receiver *receiver = self;
    while (receiver_wait(receiver, receiver->listening, -1)) {
        struct receiver_connection *c = base_alloc(1, sizeof *c);
        c->receiver = receiver;
        c->socket = accept(receiver->listening, NULL, NULL);
        must(c->socket >= 0 && receiver->connections < RECEIVER_CONNECTIONS);
        must(pthread_mutex_lock(&receiver->lock) == 0);
        pthread_t *thread = &receiver->threads[receiver->connections++];
        must(pthread_mutex_unlock(&receiver->lock) == 0);
        must(pthread_create(thread, NULL, receiver_connection_run, c) == 0);
    }
    return NULL;
}

static inline struct receiver *
receiver_begin(SSL_CTX *tls)
{
    struct receiver *receiver = base_alloc(1, sizeof *receiver);
    receiver->tls = tls;
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
    must(pthread_mutex_init(&receiver->lock, NULL) == 0);
    must(pipe(receiver->ended) == 0);
    receiver->listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof at;
    must(bind(receiver->listening, (struct sockaddr *)&at, sizeof at) == 0);
    must(listen(receiver->listening, 128) == 0);
    must(getsockname(receiver->listening, (struct sockaddr *)&at, &len) == 0);
    receiver->port = ntohs(at.sin_port);
    must(pthread_create(&receiver->thread, NULL, receiver_run, receiver) == 0);
    return receiver;
}

static inline struct receiver *
receiver_new(void)
{
    return receiver_begin(NULL);
}

/* With a certificate of its own making. */
static inline struct receiver *
receiver_new_tls(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -60);
    X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
    X509_set_pubkey(cert, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                               (const unsigned char *)"127.0.0.1", -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(cert));
    must(X509_sign(cert, key, EVP_sha256()) > 0);
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    must(SSL_CTX_use_certificate(tls, cert) == 1 && SSL_CTX_use_PrivateKey(tls, key) == 1);
    X509_free(cert);
    EVP_PKEY_free(key);
    return receiver_begin(tls);
}

static inline void
receiver_free(struct receiver *receiver)
{
    must(write(receiver->ended[1], "x", 1) == 1);
    must(pthread_join(receiver->thread, NULL) == 0);
    for (int i = 0; i < receiver->connections; i++)
        must(pthread_join(receiver->threads[i], NULL) == 0);
    close(receiver->listening);
    close(receiver->ended[0]);
    close(receiver->ended[1]);
    SSL_CTX_free(receiver->tls);
    pthread_mutex_destroy(&receiver->lock);
    base_free(receiver);
}

#endif
