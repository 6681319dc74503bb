/* replay_main - runs a fuzz entry without a fuzzer: every file of its corpus,
 * and mutations of each that are the same on every run. Prints TAP. The corpus
 * of build/V/test/fuzz/NAME.t lies in test/fuzz/corpus/NAME/; the program is
 * started at the top of the tree, as prove does. */
#include "tap.h"

#include <dirent.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 1 << 20, MUTATIONS = 200 };

static uint64_t
next_random(uint64_t *state)
{
    *state += 0x9E3779B97F4A7C15; /* splitmix64 */
    uint64_t z = *state;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
    z = (z ^ z >> 27) * 0x94D049BB133111EB;
    return z ^ z >> 31;
}

/* A copy of exactly this size, so that ASan sees a byte read beyond its end. */
static void
feed(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size == 0 ? 1 : size);
    must(copy != NULL);
    memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static size_t
mutate(uint8_t *data, size_t size, uint64_t *state)
{
    static const uint8_t telling[] = "\0\"\\{}[]:,-+.*/%0129eE \n\x7F\x80\xC3\xED\xF0\xFF";
    uint64_t random = next_random(state);
    size_t at = size == 0 ? 0 : (random >> 8) % size;
    switch (size == 0 ? 3 : random % 6) {
    case 0: /* turn a bit */
        data[at] ^= (uint8_t)(1U << (random >> 40 & 7));
        return size;
    case 1: /* any byte */
        data[at] = (uint8_t)(random >> 48);
        return size;
    case 2: /* cut off */
        return at;
    case 3: /* put in a byte that means something somewhere */
        if (size == INPUT_MAX)
            return size;
        memmove(data + at + 1, data + at, size - at);
        data[at] = telling[(random >> 48) % (sizeof telling - 1)];
        return size + 1;
    case 4: /* take out */
        memmove(data + at, data + at + 1, size - at - 1);
        return size - 1;
    default: /* say again */
        if (size + (size - at) > INPUT_MAX)
            return size;
        memmove(data + size, data + at, size - at);
        return size + (size - at);
    }
}

static bool
replay(const char *path, uint8_t *data, uint8_t *work)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return false;
    size_t size = fread(data, 1, INPUT_MAX, file);
    fclose(file);
    feed(data, size);

    uint64_t state = size;
    size_t mutations = size > 64 * 1024 ? 4 : MUTATIONS;
    for (size_t i = 0; i < mutations; i++) {
        memcpy(work, data, size);
        size_t len = size;
        for (uint64_t steps = 1 + next_random(&state) % 4; steps > 0; steps--)
            len = mutate(work, len, &state);
        feed(work, len);
    }
    return true;
}

static void
corpus_of(const char *program, char *out, size_t size)
{
    const char *slash = strrchr(program, '/');
    const char *name = slash == NULL ? program : slash + 1;
    const char *dot = strrchr(name, '.');
    int len = dot == NULL ? (int)strlen(name) : (int)(dot - name);
    snprintf(out, size, "test/fuzz/corpus/%.*s", len, name);
}

int
main(int argc, char **argv)
{
    char folder[256], path[600];
    corpus_of(argc > 0 ? argv[0] : "", folder, sizeof folder);
    struct dirent **entries;
    int count = scandir(folder, &entries, NULL, alphasort);
    uint8_t *data = malloc(INPUT_MAX), *work = malloc(INPUT_MAX);
    must(data != NULL && work != NULL);
    for (int i = 0; i < count; i++) {
        if (entries[i]->d_name[0] != '.') {
            snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
            bool read = replay(path, data, work);
            tap_failed += !read;
            printf("%s %u - %s\n", read ? "ok" : "not ok", ++tap_count, path);
            fflush(stdout);
        }
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
    free(data);
    free(work);
    if (tap_count == 0)
        printf("not ok %u - %s holds no corpus\n", ++tap_count, folder);
    return tap_done();
}
