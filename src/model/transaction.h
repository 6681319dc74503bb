/* transaction - how many of the webhooks that take an event must answer well before it is stored.
 *
 * The names and thresholds are FusionAuth's, so that what its users have configured means the same
 * here. */
#ifndef MODEL_TRANSACTION_H
#define MODEL_TRANSACTION_H

#include "model/webhook.h"

enum transaction_type {
    TRANSACTION_NONE,              /* none: they are told afterwards */
    TRANSACTION_ANY,               /* one */
    TRANSACTION_SIMPLE_MAJORITY,   /* half of them */
    TRANSACTION_SUPER_MAJORITY,    /* two thirds */
    TRANSACTION_ABSOLUTE_MAJORITY, /* all */
};

struct str transaction_name(enum transaction_type transaction);
bool transaction_parse(struct str text, enum transaction_type *transaction_out) MUST_USE;
/* Whether `good` of `asked` are enough. Of none that could be asked, none is needed. */
bool transaction_passes(enum transaction_type transaction, size_t asked, size_t good);

/* The setting of a workspace: one for each kind of event, by the name that its webhooks know. */
struct transactions {
    enum transaction_type of[WEBHOOK_EVENTS];
};
/* Whether there is anything to refuse: of what somebody said later of an alert there is not. */
bool transactions_know(enum webhook_event kind);
bool transactions_any(const struct transactions *transactions);
/* Lays what was sent, an object of names, over `*transactions`; a kind that is not named stays as
 * it is. False: `*why_out` completes the sentence "The transactions field …"; nothing changed. */
bool transactions_read(const struct json *sent, struct transactions *transactions,
                       const char **why_out) MUST_USE;
void transactions_write(struct buffer *out, const struct transactions *transactions);

#endif
