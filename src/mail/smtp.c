/* smtp - what libcurl is told of a mail server, and what came of a message.
 *
 * No signal, no proxy, no .netrc, no other protocol, no wait without an end; a handle that is given
 * up does not wait for its resolver. Each message has a connection of its own: mail servers close
 * idle ones soon, and one that is kept would say its QUIT, and wait, when nobody looks. */
#include "mail/mail_priv.h"

#include "codec/text.h"

#include <stdio.h>
#include <string.h>

enum {
    CONNECT_TIMEOUT_MS = 15000,
    TIMEOUT_MS = 60000, /* some servers think for long on purpose */
    URL_MAX = 512,
    USER_MAX = 256,
};

/* -- the server ---------------------------------------------------------------------- */

static char *
copy(struct str text)
{
    char *bytes = base_alloc(text.len + 1, 1);
    if (text.len > 0)
        memcpy(bytes, text.ptr, text.len);
    return bytes;
}

static bool
is_host_and_port(struct str text)
{
    struct str host = text, port = {0};
    if (host.len > 0 && host.ptr[0] == '[') {
        (void)str_split(&text, ']');
        if (text.ptr == NULL || (text.len > 0 && text.ptr[0] != ':'))
            return false;
        port = text.len > 0 ? (struct str){text.ptr + 1, text.len - 1} : (struct str){0};
    } else {
        port = host;
        host = str_split(&port, ':');
    }
    int64_t number = 0;
    for (size_t i = 0; i < host.len; i++) {
        char c = host.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              strchr(".-_:[]", c) != NULL))
            return false;
    }
    return host.len > 0 &&
           (port.ptr == NULL || (str_to_int(port, &number) && number >= 1 && number <= 65535));
}

static bool
decode_user(struct str text, char out[static USER_MAX])
{
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c == '%' &&
            (i + 2 >= text.len || !hex_decode((struct str){text.ptr + i + 1, 2}, &c, 1)))
            return false;
        i += text.ptr[i] == '%' ? 2 : 0;
        if (c < ' ' || c == 0x7F || len + 1 >= USER_MAX)
            return false;
        out[len++] = (char)c;
    }
    out[len] = '\0';
    return len > 0;
}

static bool
read_url(struct str url, struct mail_server *server, struct err *err)
{
    static const char wants[] = "--smtp-url: wants smtp://[user@]host[:port] or smtps://...";
    bool tls = str_starts(url, STR("smtps://"));
    struct str prefix = tls ? STR("smtps://") : STR("smtp://");
    char user[USER_MAX];
    if (!str_starts(url, prefix) || url.len > URL_MAX)
        return err_set(err, ERR_INPUT, "%s", wants);
    struct str rest = {url.ptr + prefix.len, url.len - prefix.len};
    if (rest.len > 0 && rest.ptr[rest.len - 1] == '/')
        rest.len--;
    struct str host = rest, before = str_split(&host, '@');
    bool has_user = host.ptr != NULL;
    if (!has_user)
        host = before;
    if (has_user && memchr(before.ptr, ':', before.len) != NULL)
        return err_set(err, ERR_INPUT,
                       "--smtp-url: a password does not belong there, where others can read it: "
                       "put it into TOCSIN_SMTP_PASSWORD");
    if (!is_host_and_port(host) || (has_user && !decode_user(before, user)))
        return err_set(err, ERR_INPUT, "%s", wants);
    server->user = has_user ? copy(str_from(user)) : NULL;
    struct buffer text;
    buffer_init(&text, URL_MAX + 16);
    buffer_printf(&text, "%.*s%.*s", STR_ARG(prefix), STR_ARG(host));
    server->url = copy(buffer_str(&text));
    buffer_fini(&text);
    server->must_encrypt = tls || has_user;
    return true;
}

static bool
fill(const struct mail_server_options *options, struct mail_server *server, struct err *err)
{
    if (options->from == NULL || !mail_address_valid(str_from(options->from)))
        return err_set(err, ERR_INPUT,
                       "--mail-from: wants the address that mail is from, such as "
                       "tocsin@example.com");
    if (!read_url(str_from(options->url), server, err))
        return false;
    if (server->user != NULL && options->password == NULL)
        return err_set(err, ERR_INPUT,
                       "--smtp-url names a user, but TOCSIN_SMTP_PASSWORD is not set");
    if (server->user == NULL && options->password != NULL)
        return err_set(err, ERR_INPUT, "TOCSIN_SMTP_PASSWORD is set, but --smtp-url names no user");
    server->password = options->password == NULL ? NULL : copy(str_from(options->password));
    server->ca_file = options->ca_file == NULL ? NULL : copy(str_from(options->ca_file));
    server->must_encrypt = server->must_encrypt || server->ca_file != NULL;
    server->verifies = server->must_encrypt;
    server->from = copy(str_from(options->from));
    return true;
}

bool
mail_server_new(const struct mail_server_options *options, struct mail_server **server_out,
                struct err *err)
{
    struct mail_server *server = base_alloc(1, sizeof *server);
    if (!fill(options, server, err)) {
        mail_server_free(server);
        return false;
    }
    *server_out = server;
    return true;
}

void
mail_server_free(struct mail_server *server)
{
    if (server == NULL)
        return;
    if (server->password != NULL)
        explicit_bzero(server->password, strlen(server->password));
    base_free(server->url);
    base_free(server->user);
    base_free(server->password);
    base_free(server->ca_file);
    base_free(server->from);
    base_free(server);
}

/* -- a message ----------------------------------------------------------------------- */

static size_t
give_message(char *out, size_t size, size_t count, void *self)
{
    struct mail_transfer *transfer = self;
    size_t room = size * count, left = transfer->message.len - transfer->sent;
    size_t len = left < room ? left : room;
    memcpy(out, transfer->message.ptr + transfer->sent, len);
    transfer->sent += len;
    return len;
}

static void
keep_line(struct mail_transfer *transfer, struct str line)
{
    size_t room = sizeof transfer->answer - transfer->answer_len;
    size_t len = line.len < room ? line.len : room;
    memcpy(transfer->answer + transfer->answer_len, line.ptr, len);
    transfer->answer_len += len;
}

/* Each line that the server says; all of an answer but the last have a hyphen behind the code. */
static size_t
take_line(char *bytes, size_t size, size_t count, void *self)
{
    struct mail_transfer *transfer = self;
    struct str line = {bytes, size * count};
    int64_t code = 0;
    if (transfer->said_quit || line.len < 4 || !str_to_int((struct str){line.ptr, 3}, &code))
        return size * count;
    if (!transfer->between_lines)
        transfer->answer_len = 0;
    transfer->answer_code = code;
    keep_line(transfer, line);
    transfer->between_lines = line.ptr[3] == '-';
    return size * count;
}

static size_t
drop_body(char *bytes, size_t size, size_t count, void *self)
{
    (void)bytes, (void)self;
    return size * count;
}

/* Once QUIT is said the message's fate is known: what comes of that is not waited for. */
static int
watch(CURL *easy, curl_infotype type, char *bytes, size_t len, void *self)
{
    struct mail_transfer *transfer = self;
    (void)easy;
    if (type == CURLINFO_HEADER_OUT && str_starts((struct str){bytes, len}, STR("QUIT")))
        transfer->said_quit = true;
    return 0;
}

/* Asked every second at least; not 0: it is broken off. */
static int
look_whether_to_go_on(void *self, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    const struct mail_transfer *transfer = self;
    (void)a, (void)b, (void)c, (void)d;
    return transfer->said_quit || atomic_load(transfer->stop);
}

static bool
set_way(CURL *easy, const struct mail_server *server)
{
    CURLcode bad = curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    bad |= curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    bad |= curl_easy_setopt(easy, CURLOPT_PROXY, "");
    bad |= curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    bad |= curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    bad |= curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    bad |= curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    bad |= curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)TIMEOUT_MS);
    bad |= curl_easy_setopt(easy, CURLOPT_URL, server->url);
    bad |= curl_easy_setopt(easy, CURLOPT_USE_SSL,
                            (long)(server->must_encrypt ? CURLUSESSL_ALL : CURLUSESSL_TRY));
    bad |= curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    bad |= curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, server->verifies ? 1L : 0L);
    bad |= curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, server->verifies ? 2L : 0L);
    if (server->ca_file != NULL)
        bad |= curl_easy_setopt(easy, CURLOPT_CAINFO, server->ca_file);
    if (server->user != NULL) {
        bad |= curl_easy_setopt(easy, CURLOPT_USERNAME, server->user);
        bad |= curl_easy_setopt(easy, CURLOPT_PASSWORD, server->password);
    }
    return bad == CURLE_OK;
}

static bool
set_message(CURL *easy, struct mail_transfer *transfer, const char *from)
{
    CURLcode bad = curl_easy_setopt(easy, CURLOPT_MAIL_FROM, from);
    bad |= curl_easy_setopt(easy, CURLOPT_MAIL_RCPT, transfer->to);
    bad |= curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
    bad |= curl_easy_setopt(easy, CURLOPT_READFUNCTION, give_message);
    bad |= curl_easy_setopt(easy, CURLOPT_READDATA, transfer);
    bad |= curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)transfer->message.len);
    bad |= curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_line);
    bad |= curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
    bad |= curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, drop_body);
    bad |= curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error);
    bad |= curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
    bad |= curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, look_whether_to_go_on);
    bad |= curl_easy_setopt(easy, CURLOPT_XFERINFODATA, transfer);
    bad |= curl_easy_setopt(easy, CURLOPT_VERBOSE, 1L); /* so that `watch` is told */
    bad |= curl_easy_setopt(easy, CURLOPT_DEBUGFUNCTION, watch);
    bad |= curl_easy_setopt(easy, CURLOPT_DEBUGDATA, transfer);
    return bad == CURLE_OK;
}

/* A refused login says nothing about the message, nor does a greeting that sends us away: somebody
 * will set it right. 530 to 538 are logins, too, wherever they come. */
static enum mail_outcome
judge(const struct mail_transfer *transfer, CURLcode code)
{
    bool greeting = code == CURLE_WEIRD_SERVER_REPLY && transfer->sent == 0;
    bool about_message =
        code == CURLE_SEND_ERROR || code == CURLE_RECV_ERROR || code == CURLE_WEIRD_SERVER_REPLY;
    bool refused = transfer->answer_code >= 500 && transfer->answer_code < 600;
    bool login = transfer->answer_code >= 530 && transfer->answer_code <= 538;
    if (code == CURLE_OK)
        return MAIL_ACCEPTED;
    return about_message && refused && !greeting && !login ? MAIL_REFUSED : MAIL_TRY_LATER;
}

static void
tell(struct mail_transfer *transfer, CURLcode code, struct mail_result *result)
{
    curl_off_t duration = 0;
    curl_easy_getinfo(transfer->easy, CURLINFO_TOTAL_TIME_T, &duration);
    result->outcome = judge(transfer, code);
    result->duration_us = (int64_t)duration;
    result->code = transfer->answer_code;
    memcpy(result->answer, transfer->answer, transfer->answer_len);
    result->answer_len = transfer->answer_len;
    while (result->answer_len > 0 && strchr("\r\n", result->answer[result->answer_len - 1]) != NULL)
        result->answer_len--;
    if (code != CURLE_OK)
        snprintf(result->error, sizeof result->error, "%.150s",
                 transfer->error[0] != '\0' ? transfer->error : curl_easy_strerror(code));
}

void
transfer_run(const struct mail_server *server, struct str to, struct str message,
             const atomic_bool *stop, struct mail_result *result_out)
{
    char address[MAIL_ADDRESS_MAX + 3];
    must(mail_address_valid(to));
    snprintf(address, sizeof address, "<%.*s>", STR_ARG(to));
    struct mail_transfer transfer = {.message = message, .stop = stop};
    *result_out = (struct mail_result){.outcome = MAIL_TRY_LATER};
    transfer.easy = curl_easy_init();
    transfer.to = curl_slist_append(NULL, address);
    if (transfer.easy != NULL && transfer.to != NULL && set_way(transfer.easy, server) &&
        set_message(transfer.easy, &transfer, server->from))
        tell(&transfer, curl_easy_perform(transfer.easy), result_out);
    else
        snprintf(result_out->error, sizeof result_out->error, "the mail could not be prepared");
    curl_easy_cleanup(transfer.easy);
    curl_slist_free_all(transfer.to);
}
