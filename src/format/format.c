/* format - the table of formats, and the name that a delivery bears in all of them. */
#include "format/format_priv.h"

#include "codec/hash.h"
#include "codec/text.h"
#include "model/ids.h"

#include <string.h>

/* A file per format, a row per file. */
static const struct {
    void (*write)(struct buffer *out, const struct format_parts *parts);
    void (*write_test)(struct buffer *out, const struct webhook *webhook, int64_t now_us,
                       struct random random);
} formats[] = {
    [WEBHOOK_IMMUTABLE] = {immutable_write, immutable_write_test},
    [WEBHOOK_FUSIONAUTH] = {fusionauth_write, fusionauth_write_test},
    [WEBHOOK_SLACK] = {slack_write, slack_write_test},
    [WEBHOOK_PAGERDUTY] = {pagerduty_write, pagerduty_write_test},
};

bool
format_write(struct buffer *out, const struct format_parts *parts, struct err *err)
{
    enum webhook_format format = parts->webhook->format;
    must((size_t)format < COUNT_OF(formats));
    if (!webhook_event_is_of(parts->kind, format))
        return err_set(err, ERR_INPUT, "payloads of this format cannot be written");
    formats[format].write(out, parts);
    if (out->ran_out || parts->arena->ran_out)
        return err_set(err, ERR_LIMIT, "the payload is too large");
    return true;
}

void
format_write_test(struct buffer *out, const struct webhook *webhook, int64_t now_us,
                  struct random random)
{
    must((size_t)webhook->format < COUNT_OF(formats));
    formats[webhook->format].write_test(out, webhook, now_us, random);
}

struct str
format_record_id(const struct format_parts *parts)
{
    return webhook_event_is_login(parts->kind) ? parts->event->id : parts->alerts[0].alert.id;
}

void
format_delivery_id(struct str record_id, enum webhook_event kind, struct str webhook_id,
                   char out[static ID_SIZE])
{
    struct buffer both;
    unsigned char hash[SHA256_SIZE];
    buffer_init(&both, 4096);
    buffer_add(&both, record_id);
    if (kind != WEBHOOK_ALERT) /* which needs no name: it was the first */
        buffer_add(&both, webhook_event_name(kind));
    buffer_add(&both, webhook_id);
    sha256_once(buffer_str(&both), hash);
    buffer_fini(&both);
    struct uuid uuid = uuid_v8(hash);
    memcpy(out, "dlv_", 4);
    uuid_format(&uuid, out + 4);
}
