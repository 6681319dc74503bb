/* format_priv - the formats, and what they share. */
#ifndef FORMAT_PRIV_H
#define FORMAT_PRIV_H

#include "codec/time.h"
#include "format/format.h"

void immutable_write(struct buffer *out, const struct format_parts *parts);
void immutable_write_test(struct buffer *out, const struct webhook *webhook, int64_t now_us,
                          struct random random);
void fusionauth_write(struct buffer *out, const struct format_parts *parts);
void fusionauth_write_test(struct buffer *out, const struct webhook *webhook, int64_t now_us,
                           struct random random);
void slack_write(struct buffer *out, const struct format_parts *parts);
void slack_write_test(struct buffer *out, const struct webhook *webhook, int64_t now_us,
                      struct random random);
void pagerduty_write(struct buffer *out, const struct format_parts *parts);
void pagerduty_write_test(struct buffer *out, const struct webhook *webhook, int64_t now_us,
                          struct random random);

#endif
