/* value - what a client sends in a shape of its own (metadata): anything that
 * is JSON, as long as it can be stored, hashed and read back as the same. */
#include <stdio.h>
#include <string.h>

#include "codec/text.h"
#include "intake/intake_priv.h"
#include "model/limits.h"

bool
intake_refuse(const struct reading *reading, struct str path, const char *why)
{
    char field[INTAKE_PATH_SIZE];
    int len = snprintf(field, sizeof field, "%s%.*s", reading->prefix, STR_ARG(path));
    must(len >= 0);
    struct str whole = {field, (size_t)len < sizeof field ? (size_t)len : sizeof field - 1};
    whole.len = utf8_valid_len(whole);
    return violations_add(reading->violations, whole, "The %.*s field %s.",
                          STR_ARG(utf8_cut(path, 200)), why);
}

/* Writes the path of a step, "metadata.a[2].b", cut to `size`; returns its length. */
static size_t
write_path(const struct intake_step *step, char *out, size_t size)
{
    size_t len = step->up != NULL ? write_path(step->up, out, size) : 0;
    int more;
    if (step->name.ptr == NULL)
        more = snprintf(out + len, size - len, "[%zu]", step->index);
    else
        more = snprintf(out + len, size - len, "%s%.*s", step->up != NULL ? "." : "",
                        STR_ARG(utf8_cut(step->name, 100)));
    must(more >= 0);
    size_t room = size - len - 1;
    return len + ((size_t)more < room ? (size_t)more : room);
}

bool
intake_refuse_step(const struct reading *reading, const struct intake_step *step, const char *why)
{
    char path[INTAKE_PATH_SIZE];
    size_t len = write_path(step, path, sizeof path);
    struct str whole = {path, len};
    whole.len = utf8_valid_len(whole); /* it may have been cut within a character */
    return intake_refuse(reading, whole, why);
}

static bool
holds_nul(struct str text)
{
    return memchr(text.ptr, '\0', text.len) != NULL;
}

/* A value within its surroundings; `depth` counts the objects and lists around it. */
struct walk {
    const struct reading *reading;
    size_t *size_most;
    bool ok;
};

static void walk_value(struct walk *walk, const struct json *value, const struct intake_step *step,
                       size_t depth);

static void
walk_object(struct walk *walk, const struct json *object, const struct intake_step *step,
            size_t depth)
{
    struct str twice = json_duplicate(object);
    if (twice.ptr != NULL) {
        struct intake_step inner = {.up = step, .name = twice};
        walk->ok = intake_refuse_step(walk->reading, &inner, "is given twice");
    }
    for (uint32_t i = 0; i < object->count; i++) {
        const struct json_member *member = &object->members[i];
        struct intake_step inner = {.up = step, .name = member->name};
        *walk->size_most += 6 * member->name.len + 4;
        if (holds_nul(member->name))
            walk->ok = intake_refuse_step(walk->reading, step, "has a name with a NUL in it");
        walk_value(walk, &member->value, &inner, depth + 1);
    }
}

static void
walk_list(struct walk *walk, const struct json *list, const struct intake_step *step, size_t depth)
{
    for (uint32_t i = 0; i < list->count; i++) {
        struct intake_step inner = {.up = step, .index = i};
        *walk->size_most += 1;
        walk_value(walk, &list->items[i], &inner, depth + 1);
    }
}

static void
walk_value(struct walk *walk, const struct json *value, const struct intake_step *step,
           size_t depth)
{
    *walk->size_most += JSON_NUMBER_SIZE;
    if (value->type == JSON_STRING) {
        *walk->size_most += 6 * value->text.len;
        if (holds_nul(value->text))
            walk->ok = intake_refuse_step(walk->reading, step, "may not hold a NUL");
    } else if (value->type == JSON_NUMBER) {
        if (value->out_of_range)
            walk->ok =
                intake_refuse_step(walk->reading, step,
                                   "is a number that cannot be kept exactly: send it as a string");
    } else if (value->type == JSON_OBJECT || value->type == JSON_ARRAY) {
        if (depth >= LIMIT_METADATA_DEPTH)
            walk->ok = intake_refuse_step(walk->reading, step, "lies deeper than 8 levels");
        else if (value->type == JSON_OBJECT)
            walk_object(walk, value, step, depth);
        else
            walk_list(walk, value, step, depth);
    }
}

bool
intake_check_value(const struct reading *reading, const struct json *value,
                   const struct intake_step *step, size_t *size_most)
{
    struct walk walk = {reading, size_most, true};
    walk_value(&walk, value, step, 0);
    return walk.ok;
}

size_t
intake_canonical_len(const struct json *value, size_t most, struct arena *arena)
{
    struct buffer text;
    buffer_init(&text, most);
    json_write_canonical(&text, value, arena);
    size_t len = text.ran_out ? most + 1 : text.len;
    buffer_fini(&text);
    return len;
}
