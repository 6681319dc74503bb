/* transaction - thresholds, and their written form. */
#include "model/transaction.h"

static const struct str names[] = {
    [TRANSACTION_NONE] = STR_INIT("None"),
    [TRANSACTION_ANY] = STR_INIT("Any"),
    [TRANSACTION_SIMPLE_MAJORITY] = STR_INIT("SimpleMajority"),
    [TRANSACTION_SUPER_MAJORITY] = STR_INIT("SuperMajority"),
    [TRANSACTION_ABSOLUTE_MAJORITY] = STR_INIT("AbsoluteMajority"),
};

struct str
transaction_name(enum transaction_type transaction)
{
    must((size_t)transaction < COUNT_OF(names));
    return names[transaction];
}

bool
transaction_parse(struct str text, enum transaction_type *transaction_out)
{
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (str_equal(names[i], text)) {
            *transaction_out = (enum transaction_type)i;
            return true;
        }
    }
    return false;
}

bool
transaction_passes(enum transaction_type transaction, size_t asked, size_t good)
{
    must(good <= asked);
    if (asked == 0)
        return true;
    switch (transaction) {
    case TRANSACTION_NONE:
        return true;
    case TRANSACTION_ANY:
        return good > 0;
    case TRANSACTION_SIMPLE_MAJORITY:
        return 2 * good >= asked;
    case TRANSACTION_SUPER_MAJORITY:
        return 3 * good >= 2 * asked;
    case TRANSACTION_ABSOLUTE_MAJORITY:
        break;
    }
    return good == asked;
}

bool
transactions_know(enum webhook_event kind)
{
    return kind == WEBHOOK_ALERT || webhook_event_is_login(kind);
}

bool
transactions_any(const struct transactions *transactions)
{
    for (size_t i = 0; i < COUNT_OF(transactions->of); i++)
        if (transactions->of[i] != TRANSACTION_NONE)
            return true;
    return false;
}

bool
transactions_read(const struct json *sent, struct transactions *transactions, const char **why_out)
{
    struct transactions read = *transactions;
    *why_out = "must be an object of event types";
    if (sent->type != JSON_OBJECT)
        return false;
    for (size_t i = 0; i < sent->count; i++) {
        const struct json_member *member = &sent->members[i];
        enum webhook_event kind;
        *why_out = "names an event type that is none of alert.triggered, user.login.suspicious, "
                   "user.login.new-device, user.login.success, user.login.failed";
        if (!webhook_event_parse(member->name, &kind) || !transactions_know(kind))
            return false;
        *why_out = "holds a value that is none of None, Any, SimpleMajority, SuperMajority, "
                   "AbsoluteMajority";
        if (member->value.type != JSON_STRING ||
            !transaction_parse(member->value.text, &read.of[kind]))
            return false;
    }
    *transactions = read;
    return true;
}

void
transactions_write(struct buffer *out, const struct transactions *transactions)
{
    json_open(out, '{');
    for (size_t i = 0; i < COUNT_OF(transactions->of); i++) {
        struct str name = webhook_event_name((enum webhook_event)i);
        char text[64];
        if (!transactions_know((enum webhook_event)i))
            continue;
        must(name.len < sizeof text);
        memcpy(text, name.ptr, name.len);
        text[name.len] = '\0';
        json_put_str(out, text, transaction_name(transactions->of[i]));
    }
    json_close(out, '}');
}
