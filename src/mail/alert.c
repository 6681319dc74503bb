/* alert - the mail about one alert: a row for each fact there is to tell. */
#include "mail/mail_priv.h"

#include <string.h>

static const char *const severity_titles[SEVERITY_COUNT] = {
    [SEVERITY_LOW] = "Low",
    [SEVERITY_MEDIUM] = "Medium",
    [SEVERITY_HIGH] = "High",
    [SEVERITY_CRITICAL] = "Critical",
};

/* -- facts -------------------------------------------------------------------------- */

static void
add_with(struct buffer *out, const char *before, struct str text, const char *after)
{
    if (text.len == 0)
        return;
    buffer_add(out, str_from(before));
    clean_add(out, text);
    buffer_add(out, str_from(after));
}

void
tell_actor(struct buffer *out, const struct mail_alert *alert)
{
    struct str name = alert->event == NULL ? (struct str){0} : alert->event->actor_name;
    struct str id = alert->alert->actor_id;
    if (id.len == 0 && alert->event != NULL)
        id = alert->event->actor_id;
    clean_add(out, name.len > 0 ? name : id);
    if (name.len > 0 && !str_equal(name, id))
        add_with(out, " (", id, ")");
}

static void
tell_what(struct buffer *out, const struct mail_alert *alert)
{
    const struct event *event = alert->event;
    clean_add(out, event->action);
    add_with(out, " on ", event->resource_type, "");
    add_with(out, " ", event->resource_name.len > 0 ? event->resource_name : event->resource_id,
             "");
}

static void
tell_who(struct buffer *out, const struct mail_alert *alert)
{
    tell_actor(out, alert);
    add_with(out, ", ", alert->event->actor_type, "");
    add_with(out, ", tenant ", alert->event->tenant_id, "");
}

static void
tell_place(struct buffer *out, const struct mail_alert *alert)
{
    const struct event_location *place = &alert->event->location;
    const struct str parts[] = {alert->event->network.name, place->city, place->region,
                                place->country};
    for (size_t i = 0, told = 0; place->known && i < COUNT_OF(parts); i++)
        if (parts[i].len > 0)
            add_with(out, told++ > 0 ? ", " : "", parts[i], "");
}

static void
tell_address(struct buffer *out, const struct mail_alert *alert)
{
    clean_add(out, alert->event->ip_address);
}

static void
tell_network(struct buffer *out, const struct mail_alert *alert)
{
    const struct event_network *network = &alert->event->network;
    if (network->asn > 0)
        buffer_printf(out, "AS%lld%s", (long long)network->asn, network->org.len > 0 ? " " : "");
    clean_add(out, network->org);
    for (size_t i = 0; i < network->list_count; i++)
        add_with(out, i == 0 ? " (on your list " : ", ", network->lists[i],
                 i + 1 == network->list_count ? ")" : "");
}

static void
tell_device(struct buffer *out, const struct mail_alert *alert)
{
    const struct event_device *device = &alert->event->device;
    const struct str parts[] = {device->browser, device->os, device->type};
    static const char *const between[] = {"", " on ", ", "};
    size_t before = out->len;
    for (size_t i = 0; device->known && i < COUNT_OF(parts); i++)
        add_with(out, out->len > before ? between[i] : "", parts[i], "");
    if (out->len == before)
        clean_add(out, alert->event->user_agent);
}

static void
tell_rule_time(struct buffer *out, const struct mail_alert *alert)
{
    const struct json *zone = json_get(&alert->context, STR("timezone"));
    if (zone->type == JSON_STRING)
        (void)!tell_local(out, alert->event->occurred_at, zone->text);
}

static void
tell_place_time(struct buffer *out, const struct mail_alert *alert)
{
    if (alert->event->location.known)
        (void)!tell_local(out, alert->event->occurred_at, alert->event->location.time_zone);
}

static void
tell_time_utc(struct buffer *out, const struct mail_alert *alert)
{
    tell_utc(out, alert->event->occurred_at);
}

static const struct {
    const char *label;
    void (*tell)(struct buffer *out, const struct mail_alert *alert);
} facts[] = {
    {"What", tell_what},
    {"Who", tell_who},
    {"Where", tell_place},
    {"Address", tell_address},
    {"Network", tell_network},
    {"Device", tell_device},
    {"When, by the rule's clock", tell_rule_time},
    {"When, by the clock there", tell_place_time},
    {"When", tell_time_utc},
};

/* -- the page ------------------------------------------------------------------------ */

static void
add_facts(struct page *page, const struct mail_alert *alert)
{
    for (size_t i = 0; i < COUNT_OF(facts) && alert->event != NULL; i++) {
        facts[i].tell(page_open(page, LINE_FACT, facts[i].label), alert);
        page_close(page);
    }
    if (alert->event != NULL)
        return;
    tell_actor(page_open(page, LINE_FACT, "Who"), alert);
    page_close(page);
    tell_utc(page_open(page, LINE_FACT, "When"), alert->alert->event_at);
    page_close(page);
}

static void
add_reasons(struct page *page, const struct mail_alert *alert)
{
    const struct lore *lore = lore_of(alert->alert->rule_type);
    const struct json *held = json_get(&alert->context, STR("suppressed"));
    page_add(page, LINE_HEADING, NULL, STR("Why"));
    page_add(page, LINE_PARAGRAPH, NULL, str_from(lore->why));
    if (held->type == JSON_NUMBER && held->is_integer && held->integer > 0) {
        buffer_printf(page_open(page, LINE_PARAGRAPH, NULL),
                      "%lld more like it were held back since the last alert.",
                      (long long)held->integer);
        page_close(page);
    }
    size_t before = page->count;
    page_add(page, LINE_HEADING, NULL, STR("What was usual before"));
    struct buffer *out = page_open(page, LINE_PARAGRAPH, NULL);
    if (lore->usual != NULL)
        lore_fill(out, lore->usual, &alert->context);
    page_close(page);
    if (page->count == before + 1)
        page_add(page, LINE_PARAGRAPH, NULL,
                 lore->usual == NULL ? STR("This rule learns nothing: it fires on every match.")
                                     : STR("Nothing is known of the time before."));
    page_add(page, LINE_HEADING, NULL, STR("What to do next"));
    for (size_t i = 0; i < LORE_STEPS_MAX && lore->next[i] != NULL; i++)
        page_add(page, LINE_BULLET, NULL, str_from(lore->next[i]));
}

void
tell_link(struct buffer *out, const struct mail_letter *letter, struct str alert_id)
{
    if (letter->public_url.len == 0)
        return;
    buffer_add(out, letter->public_url);
    buffer_add(out, STR("/alerts/"));
    clean_add(out, alert_id);
}

static void
add_foot(struct page *page, const struct mail_letter *letter, const struct alert *alert)
{
    const struct {
        const char *label;
        struct str text;
    } rows[] = {{"Rule", alert->rule_name},
                {"Type", alert->rule_type},
                {"Alert", alert->id},
                {"Workspace", letter->workspace_id}};
    tell_link(page_open(page, LINE_LINK, "Open the alert"), letter, alert->id);
    page_close(page);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        add_with(page_open(page, LINE_FOOT, rows[i].label), "", rows[i].text, "");
        page_close(page);
    }
    page_add(page, LINE_FOOT, NULL,
             STR("You get this as an owner or admin of the workspace, or because the rule names "
                 "your address."));
}

bool
mail_write_alert(struct buffer *out, const struct mail_letter *letter,
                 const struct mail_alert *alert)
{
    const struct alert *found = alert->alert;
    struct page page;
    struct buffer subject;
    char thread[THREAD_SIZE];
    page_init(&page);
    buffer_init(&subject, 16 * 1024);
    page.severity = found->severity;
    page.has_severity = true;
    buffer_printf(&subject, "[%s] ", severity_titles[found->severity]);
    clean_add(&subject, found->rule_name);
    buffer_add(&subject, STR(": "));
    tell_actor(&subject, alert);

    add_with(page_open(&page, LINE_TITLE, severity_titles[found->severity]), "", found->rule_name,
             "");
    page_close(&page);
    page_add(&page, LINE_LEAD, NULL, found->reason);
    add_facts(&page, alert);
    add_reasons(&page, alert);
    add_foot(&page, letter, found);
    struct message message = {.letter = letter,
                              .subject = buffer_str(&subject),
                              .thread =
                                  thread_of("actor", letter->workspace_id, found->actor_id, thread),
                              .page = &page};
    bool ok = message_write(out, &message);
    buffer_fini(&subject);
    page_fini(&page);
    return ok;
}
