/* User agents: uap-core's own tests, that the prefilter changes no answer, and kinds of devices. */
#include "enrich/enrich_priv.h"

#include "codec/hash.h"
#include "enrich/uap_cases.h"
#include "tap.h"

#include <stdlib.h>

#define UAP_CORE "/usr/share/uap-core/"

static struct devices *devices; /* of Debian's uap-core, for the tests that need all of it */
static struct device_scratch *scratch;

static void
load_all(void)
{
    struct str yaml;
    struct err err = {0};
    if (!CHECK(text_read_file(UAP_CORE "regexes.yaml", 16 << 20, &yaml, &err)) ||
        !CHECK(devices_parse_yaml(yaml, "regexes.yaml", &devices, &err))) {
        printf("# %s (apt package uap-core)\n", err.text);
        return;
    }
    text_free(yaml);
    scratch = device_scratch_new(devices);
}

static void
test_debians_regexes_are_read(void)
{
    load_all();
    must(devices != NULL);
    CHECK(devices_count(devices) > 1000);
}

static struct str
name_of(const struct device *device, enum device_kind kind)
{
    return (struct str){device->name[kind], device->len[kind]};
}

/* -- the public tests ----------------------------------------------------------- */

struct tally {
    enum device_kind kind;
    size_t passed, failed;
};

static void
check_case(void *self, struct str user_agent, struct str family)
{
    struct tally *tally = self;
    struct device device;
    devices_find(devices, scratch, user_agent, false, &device);
    struct str got = name_of(&device, tally->kind);
    bool same = str_equal(got, family);
    tally->passed += same;
    tally->failed += !same;
    if (!same && tally->failed <= 10)
        printf("# got \"%.*s\", want \"%.*s\" of %.*s\n", STR_ARG(got), STR_ARG(family),
               STR_ARG(user_agent));
}

static void
check_cases(const char *path, enum device_kind kind, size_t least)
{
    struct tally tally = {.kind = kind};
    if (!CHECK(uap_cases(path, check_case, &tally) >= least))
        printf("# %s cannot be read\n", path);
    CHECK_INT((intmax_t)tally.failed, 0);
    CHECK(tally.passed >= least);
}

static void
test_uap_cores_own_tests_pass(void)
{
    check_cases(UAP_CORE "tests/test_ua.yaml", DEVICE_BROWSER, 1400);
    check_cases(UAP_CORE "tests/test_os.yaml", DEVICE_OS, 450);
    check_cases(UAP_CORE "tests/test_device.yaml", DEVICE_MODEL, 16000);
    check_cases(UAP_CORE "test_resources/additional_os_tests.yaml", DEVICE_OS, 20);
    check_cases(UAP_CORE "test_resources/firefox_user_agent_strings.yaml", DEVICE_BROWSER, 200);
    check_cases(UAP_CORE "test_resources/opera_mini_user_agent_strings.yaml", DEVICE_BROWSER, 200);
    check_cases(UAP_CORE "test_resources/podcasting_user_agent_strings.yaml", DEVICE_BROWSER, 100);
    check_cases(UAP_CORE "test_resources/pgts_browser_list.yaml", DEVICE_BROWSER, 12000);
}

/* -- the prefilter changes nothing -------------------------------------------------- */

struct comparison {
    size_t compared, different, every;
};

static void
compare(struct comparison *comparison, struct str text)
{
    struct device with, without;
    devices_find(devices, scratch, text, false, &with);
    devices_find(devices, scratch, text, true, &without);
    comparison->compared++;
    bool same = memcmp(with.regex, without.regex, sizeof with.regex) == 0;
    for (enum device_kind kind = 0; kind < DEVICE_KINDS; kind++)
        same = same && str_equal(name_of(&with, kind), name_of(&without, kind));
    if (!same && comparison->different++ < 10)
        printf("# %d %d %d, plainly %d %d %d of %.*s\n", with.regex[0], with.regex[1],
               with.regex[2], without.regex[0], without.regex[1], without.regex[2], STR_ARG(text));
}

/* As it is, in capitals, and with a piece taken out: what people send is not quite in the list. */
static void
compare_variants(void *self, struct str user_agent, struct str family)
{
    struct comparison *comparison = self;
    char text[2048];
    (void)family;
    uint64_t dice = hash64(3, user_agent.ptr, user_agent.len);
    if (dice % comparison->every != 0 || user_agent.len == 0 || user_agent.len > sizeof text)
        return;
    compare(comparison, user_agent);
    for (size_t i = 0; i < user_agent.len; i++) {
        char c = user_agent.ptr[i];
        text[i] = c >= 'a' && c <= 'z' ? (char)(c & ~0x20) : c;
    }
    compare(comparison, (struct str){text, user_agent.len});
    size_t from = (dice >> 20) % user_agent.len, cut = (dice >> 40) % 12;
    size_t behind = from + cut < user_agent.len ? from + cut : user_agent.len;
    memcpy(text, user_agent.ptr, from);
    memcpy(text + from, user_agent.ptr + behind, user_agent.len - behind);
    compare(comparison, (struct str){text, from + user_agent.len - behind});
}

static void
test_the_prefilter_changes_no_answer(void)
{
    struct comparison comparison = {.every = 24};
    const char *all = getenv("TOCSIN_TEST_ALL"); /* each of them takes a fifth of a millisecond */
    if (all != NULL)
        comparison.every = 1;
    uap_cases(UAP_CORE "tests/test_ua.yaml", compare_variants, &comparison);
    uap_cases(UAP_CORE "tests/test_os.yaml", compare_variants, &comparison);
    uap_cases(UAP_CORE "tests/test_device.yaml", compare_variants, &comparison);
    CHECK(comparison.compared > 1500);
    CHECK_INT((intmax_t)comparison.different, 0);
}

/* -- kinds of devices ---------------------------------------------------------------- */

static void
test_the_type_is_told(void)
{
    static const struct {
        const char *user_agent, *browser, *os, *type;
    } rows[] = {
        {"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
         "Chrome/120.0.0.0 Safari/537.36",
         "Chrome", "Windows", "desktop"},
        {"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
         "Version/17.2 Safari/605.1.15",
         "Safari", "Mac OS X", "desktop"},
        {"Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:121.0) Gecko/20100101 Firefox/121.0",
         "Firefox", "Ubuntu", "desktop"},
        {"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) "
         "Chrome/119.0.0.0 Safari/537.36",
         "Chrome", "Chrome OS", "desktop"},
        {"Mozilla/5.0 (iPhone; CPU iPhone OS 17_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
         "Gecko) Version/17.2 Mobile/15E148 Safari/604.1",
         "Mobile Safari", "iOS", "mobile"},
        {"Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
         "Version/16.6 Mobile/15E148 Safari/604.1",
         "Mobile Safari", "iOS", "tablet"},
        {"Mozilla/5.0 (Linux; Android 13; Pixel 7) AppleWebKit/537.36 (KHTML, like Gecko) "
         "Chrome/120.0.0.0 Mobile Safari/537.36",
         "Chrome Mobile", "Android", "mobile"},
        {"Mozilla/5.0 (Linux; Android 12; SM-X700) AppleWebKit/537.36 (KHTML, like Gecko) "
         "Chrome/120.0.0.0 Safari/537.36",
         "Chrome", "Android", "tablet"},
        {"Dalvik/2.1.0 (Linux; U; Android 9; SM-G960F Build/PPR1.180610.011)", "Android", "Android",
         "mobile"},
        {"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "Googlebot",
         "Other", "bot"},
        {"Mozilla/5.0 (SMART-TV; Linux; Tizen 5.0) AppleWebKit/537.36 (KHTML, like Gecko) "
         "Version/5.0 TV Safari/537.36",
         NULL, NULL, "other"},
        {"curl/8.4.0", "curl", "Other", "other"},
        {"python-requests/2.31.0", "Python Requests", "Other", "other"},
        {"okhttp/4.12.0", "okhttp", NULL, NULL},
        {"x", "Other", "Other", "other"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct device device;
        devices_find(devices, scratch, str_from(rows[i].user_agent), false, &device);
        bool good = true;
        if (rows[i].browser != NULL)
            good &= CHECK_STR(name_of(&device, DEVICE_BROWSER), str_from(rows[i].browser));
        if (rows[i].os != NULL)
            good &= CHECK_STR(name_of(&device, DEVICE_OS), str_from(rows[i].os));
        if (rows[i].type != NULL)
            good &= CHECK_STR(device.type, str_from(rows[i].type));
        if (!good)
            printf("# of %s\n", rows[i].user_agent);
    }
}

/* -- hostile ones ---------------------------------------------------------------------- */

static void
test_only_the_first_512_bytes_count(void)
{
    static char text[4096];
    struct device device;
    memset(text, ' ', sizeof text);
    memcpy(text + USER_AGENT_MAX - 3, "curl/8.4", 8);
    devices_find(devices, scratch, (struct str){text, sizeof text}, false, &device);
    CHECK_INT(device.regex[DEVICE_BROWSER], -1);
    memcpy(text + USER_AGENT_MAX - 8, "curl/8.4", 8);
    devices_find(devices, scratch, (struct str){text, sizeof text}, false, &device);
    CHECK_STR(name_of(&device, DEVICE_BROWSER), STR("curl"));
}

static struct devices *
parse(const char *yaml)
{
    struct devices *made = NULL;
    struct err err = {0};
    if (!CHECK(devices_parse_yaml(str_from(yaml), "mine.yaml", &made, &err)))
        printf("# %s\n", err.text);
    return made;
}

/* Without the limit the first would match too, after a million steps back. */
static void
test_a_regex_that_runs_away_counts_as_no_match(void)
{
    struct device device;
    struct devices *made = parse("user_agent_parsers:\n"
                                 "  - regex: '((?:x+x+)+y|x+z)'\n"
                                 "    family_replacement: 'first'\n"
                                 "  - regex: '(x)'\n"
                                 "    family_replacement: 'second'\n");
    struct device_scratch *own = device_scratch_new(made);
    devices_find(made, own, STR("yxxxz"), false, &device);
    CHECK_STR(name_of(&device, DEVICE_BROWSER), STR("first"));
    devices_find(made, own, STR("yxxxxxxxxxxxxxxxxxxxxz"), false, &device);
    CHECK_STR(name_of(&device, DEVICE_BROWSER), STR("second"));
    CHECK_STR(name_of(&device, DEVICE_OS), STR("Other"));
    device_scratch_free(own);
    devices_free(made);
}

static void
test_names_are_made_from_groups(void)
{
    struct device device;
    struct devices *made = parse("os_parsers:\n"
                                 "  - regex: '(foo) ?(bar|)'\n"
                                 "    regex_flag: 'i'\n"
                                 "    os_replacement: ' $1-$2 $9$ '\n"
                                 "    os_v1_replacement: '7'\n"
                                 "user_agent_parsers:\n"
                                 "  - regex: 'B([^;]+);'\n"
                                 "device_parsers:\n"
                                 "  - regex: 'nothing (in)? it'\n");
    struct device_scratch *own = device_scratch_new(made);
    devices_find(made, own, STR("FOO BAR B  caf\xc3\xa9 ; nothing  it"), false, &device);
    CHECK_STR(name_of(&device, DEVICE_OS), STR("FOO-BAR $"));
    CHECK_STR(name_of(&device, DEVICE_BROWSER), STR("AR B  caf\xc3\xa9"));
    CHECK_STR(name_of(&device, DEVICE_MODEL), STR("Other"));
    CHECK_INT(device.regex[DEVICE_MODEL], 2);
    devices_find(made, own, STR("B\xc3;"), false, &device); /* half a character */
    CHECK_STR(name_of(&device, DEVICE_BROWSER), STR("Other"));
    device_scratch_free(own);
    devices_free(made);
}

static void
test_a_bad_file_is_refused_by_line(void)
{
    static const struct {
        const char *yaml, *complaint;
    } rows[] = {
        {"", "mine.yaml: line"},
        {"- 1\n", "mine.yaml: line 1: not what a list"},
        {"user_agent_parsers:\n", "mine.yaml: line 1: not what a list"},
        {"user_agent_parsers: []\n", "mine.yaml: no regexes in it"},
        {"other_parsers: []\n", "mine.yaml: line 1: not what a list"},
        {"os_parsers:\n  - regex: 'a'\nos_parsers:\n  - regex: 'b'\n", "mine.yaml: line 3: not"},
        {"os_parsers:\n  - os_replacement: 'a'\n", "mine.yaml: line 2: no regex"},
        {"os_parsers:\n  - regex: 'a'\n  - regex: '(b'\n", "mine.yaml: line 3: "},
        {"os_parsers:\n  - regex: 'a'\n    regex_flag: 'x'\n", "mine.yaml: line 2: regex_flag"},
        {"os_parsers:\n  - regex: &x 'a'\n  - regex: *x\n", "mine.yaml: line 3: not what"},
        {"os_parsers: [{regex: [a]}]\n", "mine.yaml: line 1: not what a list"},
        {"os_parsers:\n  - regex: 'a\n", "mine.yaml: line "},
        {"os_parsers:\n  - regex: \"\xff\"\n", "mine.yaml: line "},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct devices *made = NULL;
        struct err err = {0};
        CHECK(!devices_parse_yaml(str_from(rows[i].yaml), "mine.yaml", &made, &err));
        CHECK_INT(err.code, ERR_INPUT);
        if (!CHECK(strstr(err.text, rows[i].complaint) == err.text))
            printf("# %s\n# want %s\n", err.text, rows[i].complaint);
    }
}

int
main(void)
{
    RUN(test_debians_regexes_are_read);
    RUN(test_uap_cores_own_tests_pass);
    RUN(test_the_prefilter_changes_no_answer);
    RUN(test_the_type_is_told);
    RUN(test_only_the_first_512_bytes_count);
    device_scratch_free(scratch);
    devices_free(devices);
    RUN(test_a_regex_that_runs_away_counts_as_no_match);
    RUN(test_names_are_made_from_groups);
    RUN(test_a_bad_file_is_refused_by_line);
    return tap_done();
}
