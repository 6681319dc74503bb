/* lore - what each type of rule means to whoever gets the mail: why it fires, what was usual
 * before, and what to do now. One row per type. */
#include "mail/mail_priv.h"

#include <math.h>
#include <string.h>

enum { LISTED_MAX = 8 };

#define ASK_THEM "Ask the person, by another way than the account itself, whether this was them."
#define END_SESSIONS                                                                               \
    "If it was not: end the account's sessions, reset its password and its second factors."
#define LOOK_AROUND "Look at what else the account did since then, above all at what it changed."

/* clang-format off */
static const struct lore lores[] = {
    {"new_country",
     "The rule fires when an actor acts from a country that it has not been seen in before.",
     "Until now: {previous_countries}.",
     {ASK_THEM, END_SESSIONS, LOOK_AROUND}},
    {"new_device",
     "The rule fires when an actor uses a device that it has not used before.",
     "Devices known until now: {known_devices}.",
     {ASK_THEM, END_SESSIONS, LOOK_AROUND}},
    {"new_network",
     "The rule fires when an actor comes from a network that it has not come from before.",
     "Networks known until now: {previous_networks}.",
     {ASK_THEM, "Home, mobile and office networks change; a hosting provider or a VPN is rarer.",
      END_SESSIONS}},
    {"impossible_travel",
     "The rule fires when an actor is seen at two places too far apart for the time in between.",
     "Before that: [{from.city}, ]{from.country}[, from {from.ip_address}], "
     "{from.occurred_at}[; {distance_km} km away].",
     {ASK_THEM, "A VPN or a mobile provider may explain it: look at the network.", END_SESSIONS}},
    {"off_hours",
     "The rule fires when something happens outside working hours, on a day off or on a holiday.",
     "Quiet is[ from {start_hour}:00 to {end_hour}:00,] by the clock of {timezone}.",
     {"Ask whether somebody is on call or travelling.", LOOK_AROUND, END_SESSIONS}},
    {"repeated_action",
     "The rule fires when the same thing happens too often within a window.",
     "The rule calls {threshold} within {window_minutes} minutes too often; it was {count}"
     "[, from {ip_addresses}].",
     {"See whether one of the attempts got in.", "Block the addresses, or slow them down.",
      "If an account is named: " ASK_THEM}},
    {"high_volume_destructive",
     "The rule fires when somebody deletes, removes or destroys many things within a window.",
     "The rule calls {threshold} within {window_minutes} minutes too many; it was {count}.",
     {"Stop it first: take the account's rights away until this is clear.",
      "See what was destroyed, and that there are copies of it.", ASK_THEM}},
    {"ingestion_spike",
     "The rule fires when many more events come in than in the windows before.",
     "In such a window {baseline} events came on average; now {count}.",
     {"See which actions and actors the events are about.",
      "A release or an import may explain it; so may somebody who tries passwords.", NULL}},
    {"dormant_account",
     "The rule fires when an actor acts again after a long silence.",
     "Last seen {last_seen}, {idle_days} days before.",
     {ASK_THEM, "If the account is not needed any more, close it.", END_SESSIONS}},
    {"blocklisted_ip",
     "The rule fires when something comes from an address in a network, or on a list, that you "
     "named.",
     "The address is in {network}[, on the list {list}].",
     {"Block the address where your application is reached.", END_SESSIONS, LOOK_AROUND}},
    {"suspicious_user_agent",
     "The rule fires when the user agent is a tool's and not a browser's.",
     "The user agent was: {user_agent}[ (it matches {pattern})].",
     {"If it is a script of your own, exclude it in the rule.", "Else block the address.",
      END_SESSIONS}},
    {"watched_action",
     "The rule fires each time: somebody wants to know of every one.",
     NULL,
     {"See that it was meant to happen, and by whom.", END_SESSIONS, NULL}},
    {"session_anomaly",
     "The rule fires when a session goes on from another country, or with another browser or "
     "system.",
     "The session began[ in {began.country}][ with {began.browser}][ on {began.os}], "
     "{began.occurred_at}.",
     {"End the session: its cookie may be in other hands.", ASK_THEM, END_SESSIONS}},
    {"sequence",
     "The rule fires when one thing happens, once or many times, and then another.",
     "The first happened {count} times, from {first_at} to {last_at}; what followed, {then_at}.",
     {"Take it as an account that was broken into until you know better.", END_SESSIONS,
      LOOK_AROUND}},
    {"combination",
     "The rule fires when several others fire for the same actor.",
     "Together: {alerts}.",
     {"Several signs at once are rarely chance: look at it first.", END_SESSIONS, LOOK_AROUND}},
};
/* clang-format on */

static const struct lore unknown = {.why = "A rule of your workspace fired.",
                                    .next = {ASK_THEM, END_SESSIONS, LOOK_AROUND}};

const struct lore *
lore_of(struct str rule_type)
{
    for (size_t i = 0; i < COUNT_OF(lores); i++)
        if (str_equal(rule_type, str_from(lores[i].rule_type)))
            return &lores[i];
    return &unknown;
}

/* -- templates ---------------------------------------------------------------------- */

static const struct json *
value_at(const struct json *context, struct str path)
{
    while (path.ptr != NULL)
        context = json_get(context, str_split(&path, '.'));
    return context;
}

static void
tell_value(struct buffer *out, const struct json *value)
{
    char number[JSON_NUMBER_SIZE];
    int64_t time_us = 0;
    if (value->type == JSON_STRING && value->text.len >= 20 && time_parse(value->text, &time_us))
        tell_utc(out, time_us);
    else if (value->type == JSON_STRING)
        clean_add(out, value->text);
    else if (value->type == JSON_NUMBER)
        buffer_add(out, (struct str){number, json_format_number(
                                                 floor(value->number * 10 + 0.5) / 10, number)});
    else if (value->type == JSON_OBJECT) /* an alert that a combination lists */
        clean_add(out, json_get(value, STR("rule_name"))->type == JSON_STRING
                           ? json_get(value, STR("rule_name"))->text
                           : STR("?"));
}

/* Whether there was anything to tell. */
static bool
tell_json(struct buffer *out, const struct json *value)
{
    size_t before = out->len;
    if (value->type != JSON_ARRAY) {
        tell_value(out, value);
        return out->len > before;
    }
    for (size_t i = 0; i < value->count && i < LISTED_MAX; i++) {
        if (i > 0)
            buffer_add(out, STR(", "));
        tell_value(out, &value->items[i]);
    }
    if (value->count > LISTED_MAX)
        buffer_printf(out, " and %zu more", (size_t)value->count - LISTED_MAX);
    return out->len > before;
}

void
lore_fill(struct buffer *out, const char *template, const struct json *context)
{
    size_t all = out->len, optional = 0;
    bool in_option = false, missing = false;
    for (const char *at = template; *at != '\0'; at++) {
        if (*at == '[') {
            in_option = true;
            missing = false;
            optional = out->len;
        } else if (*at == ']') {
            in_option = false;
            if (missing)
                out->len = optional;
            missing = false;
        } else if (*at == '{') {
            const char *end = strchr(at, '}');
            must(end != NULL);
            struct str path = {at + 1, (size_t)(end - at - 1)};
            if (!tell_json(out, value_at(context, path))) {
                missing = true;
                if (!in_option) {
                    out->len = all;
                    return;
                }
            }
            at = end;
        } else {
            buffer_add_char(out, *at);
        }
    }
}
