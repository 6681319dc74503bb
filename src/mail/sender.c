/* sender - the threads that messages are sent on. */
#include "mail/mail_priv.h"

#include "base/queue.h"
#include "codec/text.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

struct sending {
    struct sending *next; /* of those that have ended */
    char to[MAIL_ADDRESS_MAX];
    size_t to_len;
    struct str message; /* a copy */
    struct mail_result result;
};

struct mail_sender {
    const struct mail_server *server;
    void (*wake)(void *self);
    void *self;
    struct queue *queue;
    pthread_t threads[MAIL_AT_ONCE];
    atomic_bool stopping;
    size_t count; /* under way or not taken; of the thread that starts and takes */
    pthread_mutex_t lock;
    struct sending *first, **end; /* ended; under the lock */
};

static void
free_sending(struct sending *sending)
{
    base_free((void *)(uintptr_t)sending->message.ptr);
    base_free(sending);
}

static void
finish(struct mail_sender *sender, struct sending *sending)
{
    must(pthread_mutex_lock(&sender->lock) == 0);
    *sender->end = sending;
    sender->end = &sending->next;
    must(pthread_mutex_unlock(&sender->lock) == 0);
    if (!atomic_load(&sender->stopping))
        sender->wake(sender->self);
}

static void *
run(void *self)
{
    struct mail_sender *sender = self;
    void *item = NULL;
    while (queue_pop(sender->queue, &item, 1, -1) > 0) {
        struct sending *sending = item;
        uint64_t token = sending->result.token;
        transfer_run(sender->server, (struct str){sending->to, sending->to_len}, sending->message,
                     &sender->stopping, &sending->result);
        sending->result.token = token;
        finish(sender, sending);
    }
    return NULL;
}

struct mail_sender *
mail_sender_new(const struct mail_server *server, void (*wake)(void *self), void *self)
{
    struct mail_sender *sender = base_alloc(1, sizeof *sender);
    sender->server = server;
    sender->wake = wake;
    sender->self = self;
    sender->end = &sender->first;
    sender->queue = queue_new(MAIL_AT_ONCE, SIZE_MAX);
    must(pthread_mutex_init(&sender->lock, NULL) == 0);
    /* Signals are for the main thread; a mail server that hangs up must not send us SIGPIPE. */
    sigset_t all, before;
    sigfillset(&all);
    must(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
    for (size_t i = 0; i < MAIL_AT_ONCE; i++)
        must(pthread_create(&sender->threads[i], NULL, run, sender) == 0);
    must(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    return sender;
}

void
mail_sender_free(struct mail_sender *sender)
{
    if (sender == NULL)
        return;
    struct mail_result forgotten;
    atomic_store(&sender->stopping, true);
    queue_close(sender->queue);
    for (size_t i = 0; i < MAIL_AT_ONCE; i++)
        must(pthread_join(sender->threads[i], NULL) == 0);
    while (mail_sender_take(sender, &forgotten))
        continue;
    queue_free(sender->queue);
    must(pthread_mutex_destroy(&sender->lock) == 0);
    base_free(sender);
}

bool
mail_sender_start(struct mail_sender *sender, uint64_t token, struct str to, struct str message)
{
    must(to.len <= MAIL_ADDRESS_MAX);
    if (sender->count == MAIL_AT_ONCE)
        return false;
    struct sending *sending = base_alloc(1, sizeof *sending);
    sending->result.token = token;
    memcpy(sending->to, to.ptr, to.len);
    sending->to_len = to.len;
    sending->message = base_copy(message);
    must(queue_push(sender->queue, sending, 1)); /* it holds as many as there may be */
    sender->count++;
    return true;
}

bool
mail_sender_take(struct mail_sender *sender, struct mail_result *result_out)
{
    must(pthread_mutex_lock(&sender->lock) == 0);
    struct sending *sending = sender->first;
    if (sending != NULL && (sender->first = sending->next) == NULL)
        sender->end = &sender->first;
    must(pthread_mutex_unlock(&sender->lock) == 0);
    if (sending == NULL)
        return false;
    *result_out = sending->result;
    free_sending(sending);
    sender->count--;
    return true;
}
