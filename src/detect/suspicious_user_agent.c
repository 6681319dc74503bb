/* suspicious_user_agent - something that calls itself a tool and no browser. No state of its
 * own. */
#include "detect/detect_priv.h"

struct suspicious_user_agent {
    struct globs patterns;
    bool missing;
};

/* Command-line clients, HTTP libraries, scanners, headless browsers. Not okhttp, Dalvik, CFNetwork:
 * apps on phones use them. */
#define USUAL                                                                                      \
    "[\"curl/*\",\"wget/*\",\"httpie/*\",\"xh/*\",\"powershell/*\",\"*WindowsPowerShell*\","       \
    "\"lynx/*\",\"links (*\",\"w3m/*\","                                                           \
    "\"python-requests/*\",\"python-urllib*\",\"python-httpx/*\",\"python/*aiohttp*\","            \
    "\"aiohttp/*\",\"scrapy/*\",\"mechanize*\",\"go-http-client/*\",\"java/*\","                   \
    "\"apache-httpclient/*\",\"jakarta commons-httpclient*\",\"libwww-perl/*\",\"lwp::*\","        \
    "\"php/*\",\"guzzlehttp/*\",\"ruby\",\"faraday*\",\"rest-client/*\",\"axios/*\","              \
    "\"node-fetch/*\",\"node-superagent/*\",\"undici*\",\"got (*\",\"node\",\"deno/*\","           \
    "\"bun/*\",\"reqwest/*\",\"restsharp/*\",\"postmanruntime/*\",\"insomnia/*\","                 \
    "\"apachebench/*\",\"wrk/*\",\"hey/*\","                                                       \
    "\"sqlmap/*\",\"*nikto*\",\"*nmap scripting engine*\",\"masscan/*\",\"*zgrab/*\","             \
    "\"*nuclei*\",\"gobuster/*\",\"dirbuster*\",\"feroxbuster/*\",\"fuzz faster u fool*\","        \
    "\"wfuzz/*\",\"wpscan*\",\"*acunetix*\",\"*nessus*\",\"*openvas*\",\"*qualys*\","              \
    "\"*burpsuite*\",\"*owasp zap*\",\"*hydra)*\","                                                \
    "\"*headlesschrome/*\",\"*phantomjs*\",\"*puppeteer*\",\"*playwright*\",\"*selenium*\","       \
    "\"*webdriver*\",\"*cypress/*\"]"

#define AT(member) offsetof(struct suspicious_user_agent, member)
static const struct condition conditions[] = {
    {
        .name = "patterns",
        .type = CONDITION_AGENTS,
        .offset = AT(patterns),
        .fallback = USUAL,
        .summary = "Globs on the user agent, case ignored.",
    },
    {
        .name = "missing",
        .type = CONDITION_BOOLEAN,
        .offset = AT(missing),
        .fallback = "false",
        .summary = "Whether an event without a user agent is one, too.",
    },
};

static bool
check(struct reading *reading, void *self)
{
    const struct suspicious_user_agent *rule = self;
    return rule->patterns.count > 0 || rule->missing ||
           reading_complain(reading, STR("conditions.patterns"),
                            "must not be empty unless missing is true");
}

static void
step(const void *self, const struct event *event, struct fold *fold)
{
    const struct suspicious_user_agent *rule = self;
    struct str agent = event->user_agent;
    const struct glob *found = agent.len > 0 ? globs_match_agent(&rule->patterns, agent) : NULL;
    bool missing = rule->missing && agent.len == 0;
    if ((found == NULL && !missing) || !fold_fires(fold))
        return;
    tell_action(&fold->reason, event);
    if (found == NULL)
        buffer_add(&fold->reason, STR(" without a user agent"));
    else
        buffer_printf(&fold->reason, " with %.*s, which matches %.*s",
                      STR_ARG(utf8_cut(agent, 128)), STR_ARG(found->text));
    json_put_str(&fold->context, "user_agent",
                 found == NULL ? (struct str){0} : utf8_cut(agent, LIMIT_STRING_BYTES));
    json_put_str(&fold->context, "pattern", found == NULL ? (struct str){0} : found->text);
}

const struct detector suspicious_user_agent_detector = {
    .rule_type = "suspicious_user_agent",
    .summary = "The user agent is a command-line client, a library, a scanner or a headless "
               "browser.",
    .notes = "The patterns that come with it are command-line clients, HTTP libraries, scanners "
             "and headless browsers; okhttp is not among them, since apps on phones use it. "
             "Context: user_agent, pattern; both null when it was missing.",
    .severity = SEVERITY_MEDIUM,
    .cooldown_minutes = 60,
    .conditions = conditions,
    .condition_count = COUNT_OF(conditions),
    .size = sizeof(struct suspicious_user_agent),
    .check = check,
    .step = step,
};
