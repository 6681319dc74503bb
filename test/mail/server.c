/* Which --smtp-url is taken, and what it is taken to mean. */
#include "mail/mail.h"

#include "tap.h"

static bool
take(const char *url, const char *password, const char *ca_file, struct mail_server **server_out,
     struct err *err)
{
    struct mail_server_options options = {
        .url = url, .password = password, .ca_file = ca_file, .from = "tocsin@example.com"};
    *err = (struct err){0};
    return mail_server_new(&options, server_out, err);
}

static void
test_whoever_gives_a_password_gets_encryption_and_a_checked_certificate(void)
{
    static const struct {
        const char *url, *password, *ca_file, *way, *user;
        bool must_encrypt, verifies;
    } rows[] = {
        {"smtp://localhost", NULL, NULL, "smtp://localhost", NULL, false, false},
        {"smtp://127.0.0.1:25/", NULL, NULL, "smtp://127.0.0.1:25", NULL, false, false},
        {"smtp://[::1]:2525", NULL, NULL, "smtp://[::1]:2525", NULL, false, false},
        {"smtp://mail.example:587", NULL, "/ca.pem", "smtp://mail.example:587", NULL, true, true},
        {"smtp://ana@mail.example:587", "x", NULL, "smtp://mail.example:587", "ana", true, true},
        {"smtps://mail.example", NULL, NULL, "smtps://mail.example", NULL, true, true},
        {"smtps://ana%40example.com@mail.example:465", "p:w@/ ", NULL, "smtps://mail.example:465",
         "ana@example.com", true, true},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct mail_server *server = NULL;
        struct err err;
        if (!CHECK(take(rows[i].url, rows[i].password, rows[i].ca_file, &server, &err))) {
            printf("# %s: %s\n", rows[i].url, err.text);
            continue;
        }
        CHECK_TEXT(server->url, rows[i].way);
        CHECK((server->user == NULL) == (rows[i].user == NULL));
        if (server->user != NULL && rows[i].user != NULL) {
            CHECK_TEXT(server->user, rows[i].user);
            CHECK_TEXT(server->password, rows[i].password);
        }
        CHECK_INT(server->must_encrypt, rows[i].must_encrypt);
        CHECK_INT(server->verifies, rows[i].verifies);
        mail_server_free(server);
    }
}

static void
test_what_is_wrong_is_said_by_the_options_name(void)
{
    static const struct {
        const char *url, *password, *told;
    } rows[] = {
        {"mail.example", NULL, "--smtp-url"},
        {"http://mail.example", NULL, "--smtp-url"},
        {"smtp://", NULL, "--smtp-url"},
        {"smtp://@mail.example", NULL, "--smtp-url"},
        {"smtp://mail.example:0", NULL, "--smtp-url"},
        {"smtp://mail.example:99999", NULL, "--smtp-url"},
        {"smtp://mail.example:25x", NULL, "--smtp-url"},
        {"smtp://mail.example/path", NULL, "--smtp-url"},
        {"smtp://mail.example?x", NULL, "--smtp-url"},
        {"smtp://mail example", NULL, "--smtp-url"},
        {"smtp://mail.example\r\nX", NULL, "--smtp-url"},
        {"smtp://a%0d%0ab@mail.example", "x", "--smtp-url"},
        {"smtp://a%4@mail.example", "x", "--smtp-url"},
        {"smtp://[::1", NULL, "--smtp-url"},
        {"smtp://ana:secret@mail.example", NULL, "TOCSIN_SMTP_PASSWORD"},
        {"smtp://ana@mail.example", NULL, "TOCSIN_SMTP_PASSWORD is not set"},
        {"smtp://mail.example", "secret", "names no user"},
    };
    struct mail_server *server = NULL;
    struct err err;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (!CHECK(!take(rows[i].url, rows[i].password, NULL, &server, &err)) ||
            !CHECK(strstr(err.text, rows[i].told) != NULL))
            printf("# %s: %s\n", rows[i].url, err.text);
        CHECK_INT(err.code, ERR_INPUT);
        CHECK(strstr(err.text, "secret") == NULL);
    }
    struct mail_server_options options = {.url = "smtp://localhost", .from = "Tocsin <a@b>"};
    CHECK(!mail_server_new(&options, &server, &err));
    CHECK(strstr(err.text, "--mail-from") != NULL);
    options.from = NULL;
    CHECK(!mail_server_new(&options, &server, &err));
    mail_server_free(NULL);
}

int
main(void)
{
    RUN(test_whoever_gives_a_password_gets_encryption_and_a_checked_certificate);
    RUN(test_what_is_wrong_is_said_by_the_options_name);
    return tap_done();
}
