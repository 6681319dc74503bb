/* told - what the receivers of a transaction said, until its event has come by in the log.
 *
 * It lives in memory alone. A crash before the event is stored leaves nothing, and its receivers
 * have heard of an event that is not there; a crash behind it lets the deliveries go out again,
 * under the ids that they had. */
#include "notify/notify_priv.h"

#include "codec/hash.h"

#include <string.h>

struct asking *
asking_new(void)
{
    struct asking *asking = base_alloc(1, sizeof *asking);
    asking->calls = base_alloc(ASKING_CALLS, sizeof *asking->calls);
    asking->all = base_alloc(ASKING_CALLS, sizeof *asking->all);
    asking->end = &asking->first;
    return asking;
}

void
asking_free(struct asking *asking)
{
    base_free(asking->calls);
    base_free(asking->all);
    base_free(asking);
}

/* Those that were never taken are not touched: most servers ask nobody, and it is megabytes. */
struct outcall *
told_take_call(struct asking *asking)
{
    struct outcall *call = asking->free_calls;
    if (call != NULL)
        asking->free_calls = call->next;
    else if (asking->calls_used < ASKING_CALLS)
        call = &asking->calls[asking->calls_used++];
    return call;
}

struct asked *
told_take_asked(struct asking *asking)
{
    struct asked *asked = asking->free_asked;
    if (asked != NULL)
        asking->free_asked = asked->next;
    else if (asking->asked_used < ASKING_CALLS)
        asked = &asking->all[asking->asked_used++];
    return asked;
}

/* -- what is kept ------------------------------------------------------------------ */

static struct outcall **
bucket_of(struct asking *asking, const char id[static ID_SIZE])
{
    return &asking->buckets[hash64(0, id, ID_SIZE) % ASKING_BUCKETS];
}

void
told_keep(struct asking *asking, struct asked *asked)
{
    for (struct outcall *call = asked->first; call != NULL; call = call->next) {
        struct outcall **bucket = bucket_of(asking, call->id);
        call->chain = *bucket;
        *bucket = call;
    }
}

/* False: it was used, or never kept. */
static bool
take_out(struct asking *asking, const struct outcall *call)
{
    struct outcall **link = bucket_of(asking, call->id);
    while (*link != NULL && *link != call)
        link = &(*link)->chain;
    if (*link == NULL)
        return false;
    *link = call->chain;
    return true;
}

/* Not linked among the live ones any more. */
void
told_release(struct asking *asking, struct asked *asked)
{
    for (struct outcall *call = asked->first, *next; call != NULL; call = next) {
        next = call->next;
        (void)take_out(asking, call);
        *call = (struct outcall){.next = asking->free_calls};
        asking->free_calls = call;
    }
    *asked = (struct asked){.next = asking->free_asked};
    asking->free_asked = asked;
}

void
told_unlink(struct asking *asking, const struct asked *asked)
{
    struct asked **link = &asking->live;
    while (*link != asked)
        link = &(*link)->next;
    *link = asked->next;
}

bool
told_already(struct notify *notify, struct job *job, const char id[static ID_SIZE])
{
    struct outcall *call = *bucket_of(notify->asking, id);
    while (call != NULL && memcmp(call->id, id, ID_SIZE) != 0)
        call = call->chain;
    if (call == NULL)
        return false;
    must(take_out(notify->asking, call));
    send_settle(notify, job, call->began_at, &call->result);
    return true;
}

/* Those whose records the cursor has passed, or that have none. */
void
told_forget(struct notify *notify)
{
    struct asking *asking = notify->asking;
    if (!atomic_exchange(&asking->some_settled, false))
        return;
    bool some_left = false;
    notify_lock(notify);
    for (struct asked **link = &asking->live; *link != NULL;) {
        struct asked *asked = *link;
        if (!asked->settled || asked->last_at > notify->book.cursor) {
            some_left |= asked->settled;
            link = &asked->next;
            continue;
        }
        *link = asked->next;
        told_release(asking, asked);
    }
    notify_unlock(notify);
    if (some_left)
        atomic_store(&asking->some_settled, true);
}

void
notify_settle(struct notify *notify, struct notify_transaction *transaction, int64_t last_at)
{
    struct asked *asked = transaction->asked;
    if (asked == NULL)
        return;
    transaction->asked = NULL;
    notify_lock(notify);
    asked->settled = true;
    asked->last_at = last_at;
    notify_unlock(notify);
    atomic_store(&notify->asking->some_settled, true);
    notify_wake(notify);
}
