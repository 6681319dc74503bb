/* device - how long one user agent takes that no cache has seen.
 *
 *   build/release/bench/device [regexes.yaml [tests.yaml]]
 *
 * Browsers are uap-core's own test strings, each parsed once per round; junk is 1 kB of random
 * printable characters (cut to 512 bytes, as always), and of words that the regexes look for. */
#include "enrich/enrich_priv.h"

#include "../test/enrich/uap_cases.h"

#include "codec/hash.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { TEXTS_MAX = 20000, JUNK_SIZE = 1024, JUNK_COUNT = 2000, ROUNDS = 5 };

struct texts {
    struct str items[TEXTS_MAX];
    size_t count;
};

struct outcome {
    double mean_us, worst_us, tried;
};

static void
gather(void *self, struct str user_agent, struct str family)
{
    struct texts *texts = self;
    (void)family;
    if (texts->count < TEXTS_MAX)
        texts->items[texts->count++] = base_copy(user_agent);
}

/* Of the processor, not of the day: others may be at work on the machine. */
static int64_t
now_us(void)
{
    struct timespec now;
    must(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) == 0);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static struct outcome
measure(const struct devices *devices, const struct texts *texts, bool plain, unsigned rounds)
{
    struct device_scratch *scratch = device_scratch_new(devices);
    struct device device;
    struct outcome outcome = {0};
    size_t tried = 0;
    int64_t began = now_us();

    for (unsigned round = 0; round < rounds; round++) {
        for (size_t i = 0; i < texts->count; i++) {
            int64_t before = now_us();
            devices_find(devices, scratch, texts->items[i], plain, &device);
            double took = (double)(now_us() - before);
            outcome.worst_us = took > outcome.worst_us && round > 0 ? took : outcome.worst_us;
            tried += device_scratch_tried(scratch);
        }
    }
    double parsed = (double)texts->count * rounds;
    outcome.mean_us = (double)(now_us() - began) / parsed;
    outcome.tried = (double)tried / parsed;
    device_scratch_free(scratch);
    return outcome;
}

static void
print_row(const struct devices *devices, const char *what, const struct texts *texts)
{
    struct outcome with = measure(devices, texts, false, ROUNDS);
    struct outcome without = measure(devices, texts, true, 1);
    printf("%-34s %6zu %9.1f %9.0f %8.1f %11.1f\n", what, texts->count, with.mean_us, with.worst_us,
           with.tried, without.mean_us);
}

static void
add_junk(struct texts *texts, const struct texts *words)
{
    static char text[JUNK_SIZE];
    for (uint64_t k = 0; k < JUNK_COUNT; k++) {
        for (uint64_t i = 0; i < JUNK_SIZE; i++) {
            uint64_t key[2] = {k, i}, dice = hash64(1, key, sizeof key);
            text[i] = (char)(' ' + dice % 95);
            struct str word = words == NULL ? (struct str){0} : words->items[dice % words->count];
            for (size_t n = 0; n < 12 && n < word.len && i < JUNK_SIZE; n++)
                text[i++] =
                    word.ptr[(dice >> 32) % (word.len - (word.len < 12 ? 0 : 11)) + n < word.len
                                 ? (dice >> 32) % (word.len - (word.len < 12 ? 0 : 11)) + n
                                 : n];
        }
        texts->items[texts->count++] = base_copy((struct str){text, JUNK_SIZE});
    }
}

static struct devices *
load(const char *path)
{
    struct devices *devices;
    struct str yaml;
    struct err err;
    int64_t before = now_us();
    if (!text_read_file(path, 16u << 20, &yaml, &err) ||
        !devices_parse_yaml(yaml, path, &devices, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return NULL;
    }
    text_free(yaml);
    printf("%zu regexes compiled in %lld ms\n\n", devices_count(devices),
           (long long)(now_us() - before) / 1000);
    return devices;
}

int
main(int argc, char **argv)
{
    static struct texts browsers, models, junk, words;
    struct devices *devices = load(argc > 1 ? argv[1] : "/usr/share/uap-core/regexes.yaml");
    if (devices == NULL)
        return 1;
    uap_cases(argc > 2 ? argv[2] : "/usr/share/uap-core/tests/test_ua.yaml", gather, &browsers);
    uap_cases("/usr/share/uap-core/tests/test_device.yaml", gather, &models);
    add_junk(&junk, NULL);
    if (browsers.count > 0)
        add_junk(&words, &browsers);

    printf("%-34s %6s %9s %9s %8s %11s\n", "user agents", "count", "mean us", "worst us", "tried",
           "plainly us");
    print_row(devices, "test_ua.yaml", &browsers);
    print_row(devices, "test_device.yaml", &models);
    print_row(devices, "1 kB of random characters", &junk);
    print_row(devices, "1 kB of pieces of user agents", &words);
    devices_free(devices);
    return 0;
}
