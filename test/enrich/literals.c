/* What a regex cannot match without; and that the prefilter never holds back one that matches. */
#include "enrich/enrich_priv.h"

#include "tap.h"

/* The sets in the order found, "a|b & c". */
static void
check(const char *regex, const char *want)
{
    struct arena arena;
    struct literal_set sets[LITERAL_SETS_MAX];
    struct buffer got;
    arena_init(&arena, 4096, 1 << 20);
    buffer_init(&got, 1 << 16);
    size_t count = literals_of(str_from(regex), &arena, sets);
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < sets[i].count; k++)
            buffer_printf(&got, "%s%.*s", k > 0 ? "|" : (i > 0 ? " & " : ""),
                          STR_ARG(sets[i].items[k]));
    }
    buffer_add_char(&got, '\0');
    if (!CHECK_TEXT(got.ptr, want))
        printf("# of %s\n", regex);
    buffer_fini(&got);
    arena_fini(&arena);
}

static void
test_literals_are_what_must_occur(void)
{
    check("Firefox", "firefox");
    check("(Fire)(fox)/(\\d+)\\.(\\d+)", "firefox/ & .");
    check("^Opera Mini$", "opera mini");
    check("[Gg]oogle[Bb]ot", "googlebot");
    check("a[bc]d", "abd|acd");
    check("MSIE (\\d+)", "msie ");
    check("(Chrome|Chromium)/\\d", "chrome/|chromium/");
    check("(foo|ba.)x", "foo|ba & x");
    check("foo(?:bar|)baz", "foobarbaz|foobaz");
    check("foo(bar)?baz", "foobarbaz|foobaz");
    check("foo(?:\\d+|)baz", "foo & baz");
    check("foo(bar)*baz", "foo & baz");
    check("x(ab)+y", "xab & y");
    check("x(ab){2}y", "xabab & y");
    check("; {0,2}(HTC)", "; & htc");
    check("A verylongliteralindeed", "a verylongli");
    check("\\bLG\\b", "lg");
    check("a\\.b\\/c", "a.b/c");
    check("a.{0,200}b", "a & b");
    check("a(?:b|c", "");
    check("", "");
    check(".*", "");
    check("(?:|foo)", "");
}

static void
test_a_construct_not_understood_gives_nothing(void)
{
    static const char *const regexes[] = {
        "foo(?=bar)", "(?i)foo",   "foo(?!x)", "(?<n>foo)", "foo\\1",         "\\Qfoo\\E",
        "\\x41foo",   "\\p{L}foo", "foo{,3}",  "foo{a}",    "[[:alpha:]]foo", "(*UTF)foo",
        "foo[abc",    "foo\\",     "*foo",     "foo)",      "(foo",           "a{2}{3}",
    };
    for (size_t i = 0; i < COUNT_OF(regexes); i++)
        check(regexes[i], "");
}

static bool
passes(const struct prefilter *prefilter, struct prefilter_scratch *scratch, const char *text,
       size_t index)
{
    return (prefilter_scan(prefilter, scratch, str_from(text))[index / 64] >> index % 64 & 1) != 0;
}

static void
test_the_pass_lets_through_what_has_all_its_sets(void)
{
    struct prefilter *prefilter = prefilter_new();
    prefilter_add(prefilter, STR("Chrome/(\\d+).*Mobile"));
    prefilter_add(prefilter, STR("\\d+"));
    prefilter_add(prefilter, STR("hrom|safari"));
    prefilter_add(prefilter, STR("me/"));
    prefilter_add(prefilter, STR("e"));
    prefilter_finish(prefilter);
    struct prefilter_scratch *scratch = prefilter_scratch_new(prefilter);
    CHECK_INT((intmax_t)prefilter_unfiltered(prefilter), 1);
    CHECK(passes(prefilter, scratch, "x CHROME/4 mobile", 0));
    CHECK(!passes(prefilter, scratch, "x chrome/4 mob", 0));
    CHECK(!passes(prefilter, scratch, "chrom mobile", 0));
    CHECK(passes(prefilter, scratch, "", 1));
    CHECK(passes(prefilter, scratch, "chrome/", 2)); /* ends inside of a longer one */
    CHECK(passes(prefilter, scratch, "chrome/", 3));
    CHECK(!passes(prefilter, scratch, "chro-me", 2));
    CHECK(passes(prefilter, scratch, "chrome/", 4));
    CHECK(passes(prefilter, scratch, "E", 4));
    prefilter_scratch_free(scratch);
    prefilter_free(prefilter);
}

static void
test_no_regexes_pass_nothing(void)
{
    struct prefilter *prefilter = prefilter_new();
    prefilter_finish(prefilter);
    struct prefilter_scratch *scratch = prefilter_scratch_new(prefilter);
    CHECK(prefilter_scan(prefilter, scratch, STR("anything"))[0] == 0);
    prefilter_scratch_free(scratch);
    prefilter_free(prefilter);
}

int
main(void)
{
    RUN(test_literals_are_what_must_occur);
    RUN(test_a_construct_not_understood_gives_nothing);
    RUN(test_the_pass_lets_through_what_has_all_its_sets);
    RUN(test_no_regexes_pass_nothing);
    return tap_done();
}
