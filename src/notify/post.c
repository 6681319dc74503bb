/* post - whom mail goes to: the owners and admins of a workspace, and the addresses that a rule
 * names.
 *
 * An address has a lane of its own, as a webhook has, under the id `mailto:` and the address. What
 * was found while no mail server was configured is said once and not kept; what waits from a time
 * when there was one, waits on. */
#include "notify/notify_priv.h"

#include "codec/text.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { MEMBERS_MEMORY = 64 * 1024 * 1024, ROWS_MEMORY = 1024 * 1024, NAMED_MAX = 20 };

struct post {
    struct arena arena; /* of the members */
    struct store_member *members;
    size_t member_count;
    int64_t seen; /* alerts up to here have been looked at */
    bool said;    /* that there is no mail server */
};

struct post *
post_new(void)
{
    struct post *post = base_alloc(1, sizeof *post);
    arena_init(&post->arena, 4096, MEMBERS_MEMORY);
    return post;
}

void
post_free(struct post *post)
{
    arena_fini(&post->arena);
    base_free(post);
}

bool
post_read_members(struct notify *notify, struct err *err)
{
    struct post *post = notify->post;
    struct store_member *members = NULL;
    size_t count = 0;
    struct arena arena;
    arena_init(&arena, 4096, MEMBERS_MEMORY);
    if (!store_members(notify->options.store, (struct str){0}, &arena, &members, &count, err)) {
        arena_fini(&arena);
        return false;
    }
    arena_fini(&post->arena);
    post->arena = arena;
    post->members = members;
    post->member_count = count;
    return true;
}

/* -- whom ---------------------------------------------------------------------------- */

static bool
same_address(struct str a, struct str b)
{
    return a.len == b.len && strncasecmp(a.ptr, b.ptr, a.len) == 0;
}

static bool
gets_mail(const struct store_member *member, struct str workspace_id)
{
    return (member->role == MEMBER_OWNER || member->role == MEMBER_ADMIN) &&
           str_equal(member->workspace_id, workspace_id) && mail_address_valid(member->email);
}

struct recipients {
    struct str addresses[POST_RECIPIENTS_MAX];
    size_t count;
};

/* A member's way to write the address comes before that of a rule. */
static void
add_recipient(struct recipients *recipients, struct str address)
{
    for (size_t i = 0; i < recipients->count; i++)
        if (same_address(recipients->addresses[i], address))
            return;
    if (recipients->count < POST_RECIPIENTS_MAX)
        recipients->addresses[recipients->count++] = address;
}

static void
add_members(const struct notify *notify, struct str workspace_id, struct recipients *recipients)
{
    const struct post *post = notify->post;
    for (size_t i = 0; i < post->member_count; i++)
        if (gets_mail(&post->members[i], workspace_id))
            add_recipient(recipients, post->members[i].email);
}

static bool
is_address(const struct json *item)
{
    return item->type == JSON_STRING && mail_address_valid(item->text);
}

static void
find_recipients(const struct notify *notify, struct str workspace_id, const struct alert *alert,
                struct recipients *recipients)
{
    recipients->count = 0;
    add_members(notify, workspace_id, recipients);
    const struct json *named = &alert->emails;
    for (size_t i = 0; named->type == JSON_ARRAY && i < named->count && i < NAMED_MAX; i++)
        if (is_address(&named->items[i]))
            add_recipient(recipients, named->items[i].text);
}

bool
post_is_meant(const struct notify *notify, const struct lane *lane, const struct alert *alert)
{
    const struct post *post = notify->post;
    struct str address = post_address(lane);
    for (size_t i = 0; i < post->member_count; i++)
        if (gets_mail(&post->members[i], lane->workspace_id) &&
            same_address(post->members[i].email, address))
            return true;
    for (size_t i = 0; alert != NULL && alert->emails.type == JSON_ARRAY && i < alert->emails.count;
         i++)
        if (is_address(&alert->emails.items[i]) &&
            same_address(alert->emails.items[i].text, address))
            return true;
    return false;
}

struct str
post_address(const struct lane *lane)
{
    size_t prefix = sizeof NOTIFY_MAIL_PREFIX - 1;
    return (struct str){lane->webhook_id.ptr + prefix, lane->webhook_id.len - prefix};
}

static struct lane *
lane_of(struct notify *notify, struct str workspace_id, struct str address)
{
    char id[sizeof NOTIFY_MAIL_PREFIX + MAIL_ADDRESS_MAX];
    int len = snprintf(id, sizeof id, NOTIFY_MAIL_PREFIX "%.*s", STR_ARG(address));
    must(len > 0 && (size_t)len < sizeof id);
    return lanes_make(&notify->lanes, workspace_id, (struct str){id, (size_t)len});
}

/* -- alerts -------------------------------------------------------------------------- */

static void
say_once(struct post *post, const struct alert *alert)
{
    if (post->said)
        return;
    post->said = true;
    diag_warn("rule %.*s has the channel email, but the server runs without --smtp-url: nobody is "
              "written to, for this alert and those to come",
              STR_ARG(alert->rule_id));
}

static bool
is_for_mail(struct notify *notify, const struct alert *alert)
{
    if ((alert->channels & CHANNEL_EMAIL) == 0 || alert->silent || alert->at <= notify->post->seen)
        return false;
    if (notify->options.mail != NULL)
        return true;
    say_once(notify->post, alert);
    return false;
}

size_t
post_count(struct notify *notify, struct str workspace_id, const struct alert *alert)
{
    struct recipients recipients;
    if (!is_for_mail(notify, alert))
        return 0;
    find_recipients(notify, workspace_id, alert, &recipients);
    return recipients.count;
}

void
post_take(struct notify *notify, struct str workspace_id, const struct alert *alert, int64_t now_us)
{
    struct recipients recipients;
    struct occasion occasion = {.kind = WEBHOOK_ALERT,
                                .record_at = alert->at,
                                .record_id = alert->id,
                                .alert_id = alert->id};
    if (is_for_mail(notify, alert)) {
        find_recipients(notify, workspace_id, alert, &recipients);
        for (size_t i = 0; i < recipients.count; i++)
            follow_deliver(notify, lane_of(notify, workspace_id, recipients.addresses[i]),
                           &occasion, now_us);
    }
    /* The log is read again for a webhook that came late: these have had theirs. */
    if (alert->at > notify->post->seen)
        notify->post->seen = alert->at;
}

/* -- notices -------------------------------------------------------------------------- */

struct str
post_notice_id(int64_t at, char out[static POST_NOTICE_ID_SIZE])
{
    int len = snprintf(out, POST_NOTICE_ID_SIZE, "notice %lld", (long long)at);
    must(len > 0 && len < POST_NOTICE_ID_SIZE);
    return (struct str){out, (size_t)len};
}

/* Rows at once, not by the book: they have no place in the log to be made from again. */
static bool
make_rows(struct notify *notify, const struct store_notice *notice,
          const struct recipients *recipients, struct err *err)
{
    struct arena arena;
    char record[POST_NOTICE_ID_SIZE];
    int64_t now = wall_us(notify);
    arena_init(&arena, 16 * 1024, ROWS_MEMORY);
    struct store_delivery *rows = arena_array(&arena, recipients->count, struct store_delivery);
    must(rows != NULL);
    for (size_t i = 0; i < recipients->count; i++) {
        struct lane *lane = lane_of(notify, notice->workspace_id, recipients->addresses[i]);
        char *id = arena_array(&arena, ID_SIZE, char);
        must(id != NULL);
        format_delivery_id(post_notice_id(notice->at, record), WEBHOOK_NOTICE, lane->webhook_id,
                           id);
        rows[i] = (struct store_delivery){.workspace_id = lane->workspace_id,
                                          .id = {id, ID_SIZE},
                                          .webhook_id = lane->webhook_id,
                                          .alert_id = STR(""),
                                          .event_type = webhook_event_name(WEBHOOK_NOTICE),
                                          .record_at = notice->at,
                                          .status = DELIVERY_PENDING,
                                          .next_attempt_at = now,
                                          .created_at = now};
    }
    bool ok = store_deliveries_make(notify->options.store, rows, recipients->count, 0, err);
    for (size_t i = 0; ok && i < recipients->count; i++) {
        struct lane *lane = lane_of(notify, notice->workspace_id, recipients->addresses[i]);
        lanes_ready(&notify->lanes,
                    lanes_add(&notify->lanes, lane, notice->at, WEBHOOK_NOTICE, now));
    }
    arena_fini(&arena);
    return ok;
}

bool
post_notice(struct notify *notify, struct str workspace_id, struct str subject, struct str text,
            struct err *err)
{
    struct recipients recipients = {.count = 0};
    struct store_notice notice = {
        .workspace_id = workspace_id, .subject = subject, .text = text, .at = wall_us(notify)};
    add_members(notify, workspace_id, &recipients);
    if (notify->options.mail == NULL || recipients.count == 0) {
        diag_warn("workspace %.*s: %.*s (nobody is told by mail: %s)", STR_ARG(workspace_id),
                  STR_ARG(subject),
                  notify->options.mail == NULL ? "the server runs without --smtp-url"
                                               : "it has no owner or admin");
        return true;
    }
    return store_notice_add(notify->options.store, &notice, err) &&
           make_rows(notify, &notice, &recipients, err);
}
