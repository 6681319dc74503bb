/* curl - the real transport: one libcurl multi handle, for the notify thread alone.
 *
 * WHOM WE CALL. A webhook's URL is chosen by somebody who may not be trusted with our network,
 * so every address is looked at in the moment its socket is made: after the name was resolved,
 * on every attempt, whatever form the address had in the URL. No proxy, no redirect, no protocol
 * but http and https.
 *
 * WHAT WE TAKE. A receiver may answer slowly, for ever, or nonsense: the time is bounded by the
 * webhook's timeouts, headers and body by ANSWER_MAX, of which the first kilobyte is kept. Once
 * the headers are there the status counts, whatever becomes of the body. */
#include "notify/notify_priv.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum {
    ANSWER_MAX = 64 * 1024,
    IDLE_CONNECTIONS = 64,
    CONNECTION_AGE_S = 300, /* then the name is resolved, and the address looked at, again */
};

struct call {
    struct call *next, *before; /* in flight, or free */
    struct curl_transport *transport;
    CURL *easy;
    struct curl_slist *headers;
    struct notify_result result;
    size_t header_bytes, body_bytes;
    bool has_headers; /* of the final answer, all */
    bool cut;         /* we had enough */
    char refused[INET6_ADDRSTRLEN];
    char error[CURL_ERROR_SIZE];
};

struct curl_transport {
    CURLM *multi;
    struct network *allow;
    size_t allow_count;
    struct call *flying, *free;
    struct mail_sender *sender; /* NULL: no mail was sent yet */
};

/* -- whom we call ------------------------------------- */

static bool
address_of(const struct curl_sockaddr *from, struct address *address_out)
{
    struct address address = {0};
    if (from->family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, &from->addr, sizeof in);
        address.is_v4 = true;
        address.bytes[10] = address.bytes[11] = 0xff;
        memcpy(address.bytes + 12, &in.sin_addr, 4);
    } else if (from->family == AF_INET6) {
        static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
        struct sockaddr_in6 in6;
        memcpy(&in6, &from->addr, sizeof in6);
        memcpy(address.bytes, &in6.sin6_addr, 16);
        address.is_v4 = memcmp(address.bytes, mapped, sizeof mapped) == 0;
    } else {
        return false;
    }
    *address_out = address;
    return true;
}

static bool
may_call(const struct curl_transport *transport, const struct address *address)
{
    if (address_is_safe_to_call(address))
        return true;
    for (size_t i = 0; i < transport->allow_count; i++)
        if (network_contains(&transport->allow[i], address))
            return true;
    return false;
}

static curl_socket_t
open_socket(void *self, curlsocktype purpose, struct curl_sockaddr *to)
{
    struct call *call = self;
    struct address address;
    (void)purpose;
    if (!address_of(to, &address))
        return CURL_SOCKET_BAD;
    if (!may_call(call->transport, &address)) {
        char text[ADDRESS_TEXT_SIZE];
        size_t len = address_format(&address, text);
        snprintf(call->refused, sizeof call->refused, "%.*s", (int)len, text);
        return CURL_SOCKET_BAD;
    }
    return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

/* -- what we take ------------------------------------- */

/* Seconds, or a date. */
int64_t
transport_retry_after(struct str value)
{
    while (value.len > 0 && (value.ptr[0] == ' ' || value.ptr[0] == '\t')) {
        value.ptr++;
        value.len--;
    }
    while (value.len > 0 && strchr("\r\n \t", value.ptr[value.len - 1]) != NULL)
        value.len--;
    int64_t seconds = 0;
    if (str_to_int(value, &seconds))
        return seconds < 0 || seconds > INT32_MAX ? -1 : seconds * TIME_US_PER_SECOND;
    char text[64];
    if (value.len == 0 || value.len >= sizeof text)
        return -1;
    snprintf(text, sizeof text, "%.*s", STR_ARG(value));
    time_t at = curl_getdate(text, NULL), now = time(NULL);
    if (at == -1)
        return -1;
    return at > now ? (int64_t)(at - now) * TIME_US_PER_SECOND : 0;
}

static size_t
take_header(char *bytes, size_t size, size_t count, void *self)
{
    static const struct str retry_after = STR_INIT("retry-after:");
    struct call *call = self;
    struct str line = {bytes, size * count};
    call->header_bytes += line.len;
    if (call->header_bytes > ANSWER_MAX)
        return 0;
    if (str_starts(line, STR("HTTP/"))) {
        call->has_headers = false;
        call->result.retry_after_us = -1;
    }
    if (line.len <= 2 && line.len > 0 && (line.ptr[0] == '\r' || line.ptr[0] == '\n')) {
        long status = 0;
        curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
        call->has_headers = status >= 200;
    }
    if (line.len > retry_after.len && strncasecmp(line.ptr, retry_after.ptr, retry_after.len) == 0)
        call->result.retry_after_us = transport_retry_after(
            (struct str){line.ptr + retry_after.len, line.len - retry_after.len});
    return line.len;
}

static size_t
take_body(char *bytes, size_t size, size_t count, void *self)
{
    struct call *call = self;
    struct notify_result *result = &call->result;
    size_t len = size * count, room = sizeof result->answer - result->answer_len;
    size_t kept = len < room ? len : room;
    memcpy(result->answer + result->answer_len, bytes, kept);
    result->answer_len += kept;
    call->body_bytes += len;
    call->cut = call->body_bytes > ANSWER_MAX;
    return call->cut ? 0 : len;
}

/* -- starting ------------------------------------- */

static void
link_call(struct call **list, struct call *call)
{
    call->before = NULL;
    call->next = *list;
    if (*list != NULL)
        (*list)->before = call;
    *list = call;
}

static void
unlink_call(struct call **list, struct call *call)
{
    if (call->before != NULL)
        call->before->next = call->next;
    else
        *list = call->next;
    if (call->next != NULL)
        call->next->before = call->before;
}

static struct call *
take_call(struct curl_transport *transport)
{
    struct call *call = transport->free;
    CURL *easy = NULL;
    if (call != NULL) {
        unlink_call(&transport->free, call);
        easy = call->easy;
        curl_easy_reset(easy);
    } else {
        call = base_alloc(1, sizeof *call);
        easy = curl_easy_init();
        must(easy != NULL);
    }
    *call = (struct call){.transport = transport, .easy = easy};
    return call;
}

static void
give_back(struct curl_transport *transport, struct call *call)
{
    curl_slist_free_all(call->headers);
    call->headers = NULL;
    link_call(&transport->free, call);
}

static bool
set_headers(struct call *call, const char *const *headers)
{
    call->headers = curl_slist_append(NULL, "Expect:"); /* no waiting for 100 */
    for (size_t i = 0; headers[i] != NULL && call->headers != NULL; i++) {
        struct curl_slist *more = curl_slist_append(call->headers, headers[i]);
        if (more == NULL)
            return false;
        call->headers = more;
    }
    return call->headers != NULL;
}

/* Each option is one this libcurl knows, so setting it can only fail for lack of memory. */
static bool
set_limits(struct call *call, const struct notify_request *request)
{
    CURL *easy = call->easy;
    CURLcode bad = curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    bad |= curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    bad |= curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    bad |= curl_easy_setopt(easy, CURLOPT_PROXY, "");
    bad |= curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    bad |= curl_easy_setopt(easy, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    bad |= curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    bad |= curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    bad |= curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    bad |= curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    bad |= curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    bad |= curl_easy_setopt(easy, CURLOPT_MAXLIFETIME_CONN, (long)CONNECTION_AGE_S);
    bad |= curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)request->connect_timeout_ms);
    bad |= curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)request->timeout_ms);
    bad |= curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    bad |= curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, call);
    return bad == CURLE_OK;
}

static bool
set_request(struct call *call, const struct notify_request *request)
{
    CURL *easy = call->easy;
    CURLcode bad = curl_easy_setopt(easy, CURLOPT_URL, request->url);
    bad |= curl_easy_setopt(easy, CURLOPT_POST, 1L);
    bad |= curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.len);
    bad |= curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, request->body.ptr);
    bad |= curl_easy_setopt(easy, CURLOPT_HTTPHEADER, call->headers);
    bad |= curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
    bad |= curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
    bad |= curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
    bad |= curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    bad |= curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->error);
    bad |= curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    return bad == CURLE_OK;
}

static bool
set_http(struct call *call, const struct notify_request *request)
{
    must(request->connect_timeout_ms > 0 && request->timeout_ms > 0); /* 0 would be for ever */
    return set_headers(call, request->headers) && set_limits(call, request) &&
           set_request(call, request);
}

static void
transport_wake(void *self)
{
    struct curl_transport *transport = self;
    must(curl_multi_wakeup(transport->multi) == CURLM_OK);
}

static bool
start_mail(struct curl_transport *transport, const struct notify_request *request, struct err *err)
{
    if (transport->sender == NULL)
        transport->sender = mail_sender_new(request->mail, transport_wake, transport);
    return mail_sender_start(transport->sender, request->token, request->mail_to, request->body) ||
           err_set(err, ERR_LIMIT, "too many mails are under way at once");
}

static bool
transport_start(void *self, const struct notify_request *request, struct err *err)
{
    struct curl_transport *transport = self;
    if (request->mail != NULL)
        return start_mail(transport, request, err);
    struct call *call = take_call(transport);
    call->result.token = request->token;
    call->result.retry_after_us = -1;
    if (!set_http(call, request) ||
        curl_multi_add_handle(transport->multi, call->easy) != CURLM_OK) {
        give_back(transport, call);
        return err_set(err, ERR_IO, "the request could not be made");
    }
    link_call(&transport->flying, call);
    return true;
}

/* -- ending ------------------------------------- */

static void
tell_error(struct call *call, CURLcode code)
{
    struct notify_result *result = &call->result;
    if (call->refused[0] != '\0')
        snprintf(result->error, sizeof result->error,
                 "refused to call %s: it is not a public address", call->refused);
    else if (call->header_bytes > ANSWER_MAX)
        snprintf(result->error, sizeof result->error, "the answer's headers are too long");
    else
        snprintf(result->error, sizeof result->error, "%.150s",
                 call->error[0] != '\0' ? call->error : curl_easy_strerror(code));
}

static void
finish(struct call *call, CURLcode code)
{
    struct notify_result *result = &call->result;
    curl_off_t duration = 0;
    long status = 0;
    curl_easy_getinfo(call->easy, CURLINFO_TOTAL_TIME_T, &duration);
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    result->duration_us = (int64_t)duration;
    result->status = call->has_headers ? status : 0;
    if (code != CURLE_OK && !call->cut)
        tell_error(call, code);
    else if (result->status == 0)
        snprintf(result->error, sizeof result->error, "the answer is no HTTP, or ended too early");
}

typedef void (*done_fn)(void *each, const struct notify_result *result);

static bool
collect(struct curl_transport *transport, done_fn done, void *each)
{
    bool any = false;
    int left = 0;
    for (CURLMsg *told; (told = curl_multi_info_read(transport->multi, &left)) != NULL;) {
        if (told->msg != CURLMSG_DONE)
            continue;
        struct call *call = NULL;
        CURL *easy = told->easy_handle;
        CURLcode code = told->data.result;
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, &call);
        finish(call, code);
        must(curl_multi_remove_handle(transport->multi, easy) == CURLM_OK);
        unlink_call(&transport->flying, call);
        struct notify_result result = call->result;
        give_back(transport, call);
        done(each, &result);
        any = true;
    }
    return any;
}

/* A server that said something good and then broke off has not accepted the message. */
static bool
collect_mails(struct curl_transport *transport, done_fn done, void *each)
{
    struct mail_result mail;
    bool any = false;
    while (transport->sender != NULL && mail_sender_take(transport->sender, &mail)) {
        struct notify_result result = {.token = mail.token,
                                       .is_final = mail.outcome == MAIL_REFUSED,
                                       .retry_after_us = -1,
                                       .duration_us = mail.duration_us,
                                       .answer_len = mail.answer_len};
        _Static_assert(sizeof result.answer >= sizeof mail.answer, "an answer has to fit");
        _Static_assert(sizeof result.error >= sizeof mail.error, "and an error");
        if (mail.outcome == MAIL_ACCEPTED || mail.code >= 400)
            result.status = mail.code;
        memcpy(result.answer, mail.answer, mail.answer_len);
        memcpy(result.error, mail.error, sizeof mail.error);
        done(each, &result);
        any = true;
    }
    return any;
}

static void
transport_run(void *self, int64_t wait_us, done_fn done, void *each)
{
    struct curl_transport *transport = self;
    int running = 0;
    must(curl_multi_perform(transport->multi, &running) == CURLM_OK);
    bool any = collect(transport, done, each);
    if (collect_mails(transport, done, each) || any)
        return;
    int64_t wait_ms = (wait_us + 999) / 1000;
    if (wait_ms > INT32_MAX)
        wait_ms = INT32_MAX;
    must(curl_multi_poll(transport->multi, NULL, 0, (int)wait_ms, NULL) == CURLM_OK);
    must(curl_multi_perform(transport->multi, &running) == CURLM_OK);
    collect(transport, done, each);
    collect_mails(transport, done, each);
}

static void
free_calls(struct curl_transport *transport, struct call *call, bool flying)
{
    while (call != NULL) {
        struct call *next = call->next;
        if (flying)
            must(curl_multi_remove_handle(transport->multi, call->easy) == CURLM_OK);
        curl_easy_cleanup(call->easy);
        curl_slist_free_all(call->headers);
        base_free(call);
        call = next;
    }
}

static void
transport_close(void *self)
{
    struct curl_transport *transport = self;
    mail_sender_free(transport->sender);
    free_calls(transport, transport->flying, true);
    free_calls(transport, transport->free, false);
    must(curl_multi_cleanup(transport->multi) == CURLM_OK);
    base_free(transport->allow);
    base_free(transport);
    curl_global_cleanup();
}

bool
notify_transport_curl(const struct network *allow, size_t allow_count,
                      struct notify_transport *transport_out, struct err *err)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return err_set(err, ERR_IO, "libcurl could not be started");
    CURLM *multi = curl_multi_init();
    if (multi == NULL) {
        curl_global_cleanup();
        return err_set(err, ERR_IO, "libcurl could not be started");
    }
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)IDLE_CONNECTIONS);

    struct curl_transport *transport = base_alloc(1, sizeof *transport);
    transport->multi = multi;
    transport->allow = base_alloc(allow_count + 1, sizeof *transport->allow);
    if (allow_count > 0)
        memcpy(transport->allow, allow, allow_count * sizeof *allow);
    transport->allow_count = allow_count;
    *transport_out = (struct notify_transport){
        .self = transport,
        .start = transport_start,
        .run = transport_run,
        .wake = transport_wake,
        .close = transport_close,
    };
    return true;
}
