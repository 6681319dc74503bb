/* webhook_call - what a webhook is called with, checked and shown. A format may have its secret in
 * the URL (Slack's has), and headers hold tokens: neither is shown once it is stored. What is sent
 * back as it was shown leaves what is stored as it is. */
#ifndef MODEL_WEBHOOK_CALL_H
#define MODEL_WEBHOOK_CALL_H

#include "model/webhook.h"

#define WEBHOOK_HIDDEN "********"

/* Why it may not be called, as the end of a sentence; NULL: it may. */
const char *webhook_url_wrong(struct str url);
void webhook_url_write_shown(struct buffer *out, const struct webhook *webhook);

/* Why the header at this place is refused; NULL: it is not. */
const char *webhook_header_wrong(const struct json *headers, uint32_t at);
/* What the server says itself, in any case of letters. */
bool webhook_header_is_reserved(struct str name);
void webhook_headers_write_shown(struct buffer *out, const struct webhook *webhook);
/* Puts in the values from before where they came as they are shown. False: the arena ran out. */
bool webhook_headers_keep_hidden(struct json *headers, const struct json *before,
                                 struct arena *arena) MUST_USE;

#endif
