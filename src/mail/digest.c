/* digest - many alerts in one mail: how many of what, and then one by one, the gravest first. */
#include "mail/mail_priv.h"

#include <string.h>

enum { RULES_MAX = 64, RULES_SHOWN = 10 };

struct tally {
    struct str name; /* of a rule */
    size_t count;
};

struct sums {
    size_t severities[SEVERITY_COUNT];
    struct tally rules[RULES_MAX]; /* what is beyond counts as others */
    size_t rule_count;
    bool one_actor;
};

static void
count_rule(struct sums *sums, struct str name)
{
    for (size_t i = 0; i < sums->rule_count; i++) {
        if (str_equal(sums->rules[i].name, name)) {
            sums->rules[i].count++;
            return;
        }
    }
    if (sums->rule_count < RULES_MAX)
        sums->rules[sums->rule_count++] = (struct tally){name, 1};
}

static struct sums
add_up(const struct mail_alert *alerts, size_t count)
{
    struct sums sums = {.one_actor = count > 0};
    for (size_t i = 0; i < count; i++) {
        const struct alert *alert = alerts[i].alert;
        sums.severities[alert->severity]++;
        count_rule(&sums, alert->rule_name);
        sums.one_actor = sums.one_actor && str_equal(alert->actor_id, alerts[0].alert->actor_id);
    }
    /* The most frequent first; there are few. */
    for (size_t i = 1; i < sums.rule_count; i++)
        for (size_t k = i; k > 0 && sums.rules[k].count > sums.rules[k - 1].count; k--) {
            struct tally tally = sums.rules[k];
            sums.rules[k] = sums.rules[k - 1];
            sums.rules[k - 1] = tally;
        }
    return sums;
}

static void
add_sums(struct page *page, const struct sums *sums)
{
    struct buffer *out = page_open(page, LINE_LEAD, NULL);
    for (size_t i = SEVERITY_COUNT, told = 0; i-- > 0;)
        if (sums->severities[i] > 0)
            buffer_printf(out, "%s%zu %.*s", told++ > 0 ? ", " : "", sums->severities[i],
                          STR_ARG(severity_name((enum severity)i)));
    page_close(page);
    if (sums->rule_count > 0)
        page_add(page, LINE_HEADING, NULL, STR("By rule"));
    size_t shown = 0;
    for (size_t i = 0; i < sums->rule_count && i < RULES_SHOWN; i++) {
        out = page_open(page, LINE_BULLET, NULL);
        buffer_printf(out, "%zu \xC3\x97 ", sums->rules[i].count);
        clean_add(out, sums->rules[i].name);
        page_close(page);
        shown++;
    }
    if (shown < sums->rule_count)
        page_add(page, LINE_BULLET, NULL, STR("and others"));
}

static void
add_alert(struct page *page, const struct mail_letter *letter, const struct mail_alert *alert)
{
    struct buffer *out = page_open(page, LINE_BULLET, NULL);
    buffer_printf(out, "[%.*s] ", STR_ARG(severity_name(alert->alert->severity)));
    clean_add(out, alert->alert->rule_name);
    buffer_add(out, STR(": "));
    clean_add(out, alert->alert->reason);
    buffer_add(out, STR(" \xE2\x80\x93 "));
    tell_utc(out, alert->event != NULL ? alert->event->occurred_at : alert->alert->event_at);
    if (letter->public_url.len > 0) {
        buffer_add(out, STR(" \xE2\x80\x93 "));
        tell_link(out, letter, alert->alert->id);
    }
    page_close(page);
}

static void
add_alerts(struct page *page, const struct mail_letter *letter, const struct mail_alert *alerts,
           size_t count)
{
    size_t shown = 0;
    if (count > 0)
        page_add(page, LINE_HEADING, NULL, STR("One by one"));
    for (size_t severity = SEVERITY_COUNT; severity-- > 0;)
        for (size_t i = 0; i < count && shown < MAIL_DIGEST_LIST; i++)
            if (alerts[i].alert->severity == (enum severity)severity) {
                add_alert(page, letter, &alerts[i]);
                shown++;
            }
    if (shown < count) {
        buffer_printf(page_open(page, LINE_BULLET, NULL),
                      "and %zu more, which the list of alerts shows", count - shown);
        page_close(page);
    }
}

static void
add_notices(struct page *page, const struct mail_notice *notices, size_t count)
{
    if (count > 0)
        page_add(page, LINE_HEADING, NULL, STR("From the server itself"));
    for (size_t i = 0; i < count && i < MAIL_DIGEST_LIST; i++) {
        struct buffer *out = page_open(page, LINE_BULLET, NULL);
        clean_add(out, notices[i].subject);
        buffer_add(out, STR(": "));
        clean_add(out, notices[i].text);
        page_close(page);
    }
}

static void
fill(struct page *page, const struct mail_letter *letter, const struct mail_alert *alerts,
     size_t count)
{
    struct sums sums = add_up(alerts, count);
    for (size_t i = 0; i < SEVERITY_COUNT; i++)
        if (sums.severities[i] > 0)
            page->severity = (enum severity)i;
    page->has_severity = count > 0;
    if (count > 0)
        add_sums(page, &sums);
    add_alerts(page, letter, alerts, count);
}

static struct str
thread(const struct mail_letter *letter, const struct mail_alert *alerts, size_t count,
       char out[static THREAD_SIZE])
{
    if (add_up(alerts, count).one_actor)
        return thread_of("actor", letter->workspace_id, alerts[0].alert->actor_id, out);
    return thread_of("digest", letter->workspace_id, STR(""), out);
}

bool
mail_write_digest(struct buffer *out, const struct mail_letter *letter,
                  const struct mail_alert *alerts, size_t count, const struct mail_notice *notices,
                  size_t notice_count)
{
    struct page page;
    struct buffer subject;
    char thread_text[THREAD_SIZE];
    page_init(&page);
    buffer_init(&subject, 4096);
    buffer_printf(&subject, "%zu %s at once", count + notice_count,
                  notice_count == 0 ? "alerts" : "messages");
    page_add(&page, LINE_TITLE, NULL, buffer_str(&subject));
    fill(&page, letter, alerts, count);
    add_notices(&page, notices, notice_count);
    page_add(&page, LINE_FOOT, NULL,
             STR("So much came at once that it is gathered here; each alert is in the list too."));
    page_add(&page, LINE_FOOT, "Workspace", letter->workspace_id);
    struct message message = {.letter = letter,
                              .subject = buffer_str(&subject),
                              .thread = thread(letter, alerts, count, thread_text),
                              .page = &page};
    bool ok = message_write(out, &message);
    buffer_fini(&subject);
    page_fini(&page);
    return ok;
}
