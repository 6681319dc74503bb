/* A mail of any texts: a message like any other, with nothing in it that the texts brought along.
 * The input is cut at NUL bytes: two ids, a name, and so on; what is missing is empty. */
#include "mail/check.h"

#include "codec/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(const struct buffer *message, bool written)
{
    must(written);
    const char *bad = check_message(buffer_str(message));
    if (bad != NULL)
        printf("%s\n%.*s\n", bad, (int)message->len, message->ptr);
    must(bad == NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = {(const char *)data, size};
    struct alert alert = {.rule_name = str_split(&rest, '\0')};
    struct event event = {.occurred_at = 0};
    struct mail_letter letter = {
        .from = STR("a@b"), .to = STR("c@d"), .id = STR("dlv_1"), .workspace_id = STR("ws_1")};
    struct json zone = {0};
    struct json_member member = {.name = STR("timezone")};
    struct str *const texts[] = {
        &alert.actor_id,      &alert.reason,           &alert.rule_type,    &alert.id,
        &event.actor_name,    &event.action,           &event.ip_address,   &event.user_agent,
        &event.location.city, &event.location.country, &event.network.org,  &event.device.os,
        &event.tenant_id,     &event.resource_type,    &event.network.name, &zone.text,
    };
    for (size_t i = 0; i < COUNT_OF(texts) && rest.ptr != NULL; i++)
        *texts[i] = str_split(&rest, '\0');
    zone.type = JSON_STRING;
    member.value = zone;
    event.location.known = event.network.known = event.device.known = true;
    struct mail_alert one = {&alert, {.type = JSON_OBJECT, .count = 1, .members = &member}, &event};
    struct mail_notice notice = {alert.rule_name, alert.reason};
    struct mail_alert both[] = {one, one};
    struct buffer message;
    buffer_init(&message, MAIL_MESSAGE_MAX);
    check(&message, mail_write_alert(&message, &letter, &one));
    check(&message, mail_write_digest(&message, &letter, both, 2, &notice, 1));
    check(&message, mail_write_notice(&message, &letter, &notice));
    buffer_fini(&message);
    return 0;
}
