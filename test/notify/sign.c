/* Signatures, against the published vectors. */
#include "notify/notify.h"

#include "codec/text.h"

#include "tap.h"

/* From the test suite of the Standard Webhooks libraries. */
#define SECRET  "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define MESSAGE "msg_p5jXN8AQM9LWM0D4loKWxJek"
#define BODY    "{\"test\": 2432232314}"
#define SECONDS 1614265330LL

static void
check_signed(const struct webhook *webhook, const char *want)
{
    struct buffer out;
    buffer_init(&out, 65536);
    notify_sign(&out, webhook, STR(MESSAGE), SECONDS * 1000000 + 999999, STR(BODY));
    buffer_add_char(&out, '\0');
    CHECK_TEXT(out.ptr, want);
    buffer_fini(&out);
}

static void
test_the_vector_of_standard_webhooks_holds(void)
{
    struct webhook webhook = {.secret = STR(SECRET)};
    check_signed(&webhook, "X-Immutable-Signature: sha256="
                           "80ec8a89ce3cd22133a1066caecb4d04fea7467657c8514d717ec42c38a5c94c\n"
                           "webhook-id: " MESSAGE "\n"
                           "webhook-timestamp: 1614265330\n"
                           "webhook-signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=\n");
}

static void
test_a_secret_without_prefix_is_the_key_itself(void)
{
    struct webhook webhook = {.secret = STR("a plain secret of theirs")};
    check_signed(&webhook, "X-Immutable-Signature: sha256="
                           "2bc7767ba26b5f3907c6b94cbcb6cd2ee0cc4eba5fe0b4479dc40ddf9b4bb5d3\n"
                           "webhook-id: " MESSAGE "\n"
                           "webhook-timestamp: 1614265330\n"
                           "webhook-signature: v1,8RX/1O2YL60kUxfvElpVTTB3PngBJVz9Rq1OdlzDm7o=\n");
    webhook.secret = STR("whsec_!!! this is no base64");
    check_signed(&webhook, "X-Immutable-Signature: sha256="
                           "ce4a30114d1fef10d513c7b023a1449bea361d9a24a8cbc38f4d7158d612e914\n"
                           "webhook-id: " MESSAGE "\n"
                           "webhook-timestamp: 1614265330\n"
                           "webhook-signature: v1,thU976D0TxyAEwexv+chIz52muWxiV2Pyo02+dtppwY=\n");
}

static void
test_while_a_rotation_lasts_both_secrets_sign(void)
{
    struct webhook webhook = {.secret = STR("a plain secret of theirs"),
                              .old_secret = STR(SECRET),
                              .old_secret_until = SECONDS * 1000000 + 1000000};
    check_signed(&webhook, "X-Immutable-Signature: sha256="
                           "2bc7767ba26b5f3907c6b94cbcb6cd2ee0cc4eba5fe0b4479dc40ddf9b4bb5d3\n"
                           "webhook-id: " MESSAGE "\n"
                           "webhook-timestamp: 1614265330\n"
                           "webhook-signature: v1,8RX/1O2YL60kUxfvElpVTTB3PngBJVz9Rq1OdlzDm7o="
                           " v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=\n");
    webhook.old_secret_until = SECONDS * 1000000 + 999999; /* over */
    check_signed(&webhook, "X-Immutable-Signature: sha256="
                           "2bc7767ba26b5f3907c6b94cbcb6cd2ee0cc4eba5fe0b4479dc40ddf9b4bb5d3\n"
                           "webhook-id: " MESSAGE "\n"
                           "webhook-timestamp: 1614265330\n"
                           "webhook-signature: v1,8RX/1O2YL60kUxfvElpVTTB3PngBJVz9Rq1OdlzDm7o=\n");
}

/* The vector of the Standard Webhooks libraries; its key's public half verifies it there. */
static void
test_the_vector_of_an_asymmetric_key_holds(void)
{
#define SIGNING_KEY                                                                                \
    "whsk_6Xb/dCcHpPea21PS1N9VY/"                                                                  \
    "NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
#define V1A                                                                                        \
    "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
#define HEAD                                                                                       \
    "X-Immutable-Signature: sha256="                                                               \
    "80ec8a89ce3cd22133a1066caecb4d04fea7467657c8514d717ec42c38a5c94c\n"                           \
    "webhook-id: " MESSAGE "\n"                                                                    \
    "webhook-timestamp: 1614265330\n"                                                              \
    "webhook-signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    struct webhook webhook = {
        .secret = STR(SECRET), .asymmetric = true, .signing_key = STR(SIGNING_KEY)};
    check_signed(&webhook, HEAD " " V1A "\n");
    /* While a rotation lasts the old key signs too. */
    webhook.old_signing_key = webhook.signing_key;
    webhook.old_secret_until = INT64_MAX;
    check_signed(&webhook, HEAD " " V1A " " V1A "\n");
    webhook.asymmetric = false;
    check_signed(&webhook, HEAD "\n");
    /* What is no key signs nothing. */
    webhook = (struct webhook){.secret = STR(SECRET), .asymmetric = true};
    static const char *const bad[] = {"", "whsk_", "whsk_AAAA", "whsec_AAAA", "whsk_!"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        webhook.signing_key = str_from(bad[i]);
        check_signed(&webhook, HEAD "\n");
    }
}

int
main(void)
{
    RUN(test_the_vector_of_standard_webhooks_holds);
    RUN(test_a_secret_without_prefix_is_the_key_itself);
    RUN(test_while_a_rotation_lasts_both_secrets_sign);
    RUN(test_the_vector_of_an_asymmetric_key_holds);
    return tap_done();
}
