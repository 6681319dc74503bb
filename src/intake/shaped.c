/* shaped - metadata and targets: the fields of an event that are more than a
 * string. */
#include <stdio.h>
#include <string.h>

#include "intake/intake_priv.h"
#include "model/limits.h"

#define TARGET_PATH_SIZE 64

/* PHP clients send an empty object as an empty list. */
static bool
is_empty_list(const struct json *value)
{
    return value->type == JSON_ARRAY && value->count == 0;
}

bool
intake_read_metadata(const struct reading *reading, const struct json *value)
{
    struct str name = STR("metadata");
    if (is_empty_list(value)) {
        reading->event->metadata = (struct json){.type = JSON_OBJECT};
        return true;
    }
    if (value->type != JSON_OBJECT)
        return intake_refuse(reading, name, "must be an object");
    if (value->count > LIMIT_METADATA_KEYS)
        return intake_refuse(reading, name, "may hold at most 50 keys");
    struct intake_step step = {.name = name};
    size_t size_most = 0;
    if (!intake_check_value(reading, value, &step, &size_most))
        return false;
    if (size_most > LIMIT_METADATA_BYTES &&
        intake_canonical_len(value, LIMIT_METADATA_BYTES, reading->context->arena) >
            LIMIT_METADATA_BYTES)
        return intake_refuse(reading, name, "may be at most 65,536 bytes");
    reading->event->metadata = *value;
    return true;
}

/* -- targets -------------------------------------------------------------------- */

/* All targets while they are read. */
struct targets {
    const struct reading *reading;
    size_t metadata_bytes; /* of all of them, canonical */
    size_t size_most;      /* an upper bound of the whole, canonical */
    bool needs_copy;       /* one has an empty list for metadata */
    bool ok;
};

static void
refuse_target(struct targets *targets, size_t index, const char *name, const char *why)
{
    char path[TARGET_PATH_SIZE];
    int len =
        snprintf(path, sizeof path, "targets[%zu]%s%s", index, *name != '\0' ? "." : "", name);
    must(len > 0);
    size_t kept = (size_t)len < sizeof path ? (size_t)len : sizeof path - 1;
    targets->ok = intake_refuse(targets->reading, (struct str){path, kept}, why);
}

static void
check_text(struct targets *targets, size_t index, const char *name, const struct json *value)
{
    targets->size_most += JSON_NUMBER_SIZE;
    if (value->type == JSON_NULL)
        return;
    if (value->type != JSON_STRING)
        refuse_target(targets, index, name, "must be a string");
    else if (value->text.len > LIMIT_STRING_BYTES)
        refuse_target(targets, index, name, "may be at most 1,024 bytes");
    else if (memchr(value->text.ptr, '\0', value->text.len) != NULL)
        refuse_target(targets, index, name, "may not hold a NUL");
    else
        targets->size_most += 6 * value->text.len;
}

static void
check_metadata(struct targets *targets, size_t index, const struct json *value)
{
    if (value->type == JSON_NULL)
        return;
    if (is_empty_list(value)) {
        targets->needs_copy = true;
        return;
    }
    if (value->type != JSON_OBJECT) {
        refuse_target(targets, index, "metadata", "must be an object");
        return;
    }
    struct intake_step list = {.name = STR("targets")};
    struct intake_step item = {.up = &list, .index = index};
    struct intake_step step = {.up = &item, .name = STR("metadata")};
    size_t size_most = 0;
    if (!intake_check_value(targets->reading, value, &step, &size_most))
        targets->ok = false;
    else
        targets->metadata_bytes +=
            intake_canonical_len(value, LIMIT_TARGETS_BYTES, targets->reading->context->arena);
}

static void
check_target(struct targets *targets, size_t index, const struct json *target)
{
    static const char *const texts[] = {"type", "id", "name"};
    if (target->type != JSON_OBJECT) {
        refuse_target(targets, index, "", "must be an object");
        return;
    }
    if (json_duplicate(target).ptr != NULL)
        refuse_target(targets, index, "", "has a member twice");
    for (uint32_t i = 0; i < target->count; i++) {
        const struct json_member *member = &target->members[i];
        size_t row = 0;
        while (row < COUNT_OF(texts) && !str_equal(member->name, str_from(texts[row])))
            row++;
        if (row < COUNT_OF(texts)) {
            check_text(targets, index, texts[row], &member->value);
        } else if (str_equal(member->name, STR("metadata"))) {
            check_metadata(targets, index, &member->value);
        } else {
            struct intake_step list = {.name = STR("targets")};
            struct intake_step item = {.up = &list, .index = index};
            struct intake_step step = {.up = &item, .name = member->name};
            targets->ok = intake_refuse_step(targets->reading, &step, "is not known");
        }
    }
    const struct json *type = json_get(target, STR("type"));
    if (type->type == JSON_ABSENT || type->type == JSON_NULL ||
        (type->type == JSON_STRING && type->text.len == 0))
        refuse_target(targets, index, "type", "is required");
}

/* The same target, with an object where an empty list was sent. */
static bool
copy_target(const struct json *target, struct arena *arena, struct json *copy_out)
{
    struct json_member *members = arena_array(arena, target->count, struct json_member);
    if (members == NULL)
        return false;
    for (uint32_t i = 0; i < target->count; i++) {
        members[i] = target->members[i];
        if (is_empty_list(&members[i].value))
            members[i].value = (struct json){.type = JSON_OBJECT};
    }
    *copy_out = *target;
    copy_out->members = members;
    return true;
}

static bool
copy_targets(const struct json *list, struct arena *arena, struct json *copy_out)
{
    struct json *items = arena_array(arena, list->count, struct json);
    for (uint32_t i = 0; items != NULL && i < list->count; i++)
        if (!copy_target(&list->items[i], arena, &items[i]))
            return false;
    *copy_out = *list;
    copy_out->items = items;
    return items != NULL;
}

bool
intake_read_targets(const struct reading *reading, const struct json *value)
{
    struct str name = STR("targets");
    if (value->type != JSON_ARRAY)
        return intake_refuse(reading, name, "must be a list");
    if (value->count > LIMIT_TARGETS)
        return intake_refuse(reading, name, "may hold at most 100 targets");
    struct targets targets = {.reading = reading, .ok = true};
    for (uint32_t i = 0; i < value->count; i++)
        check_target(&targets, i, &value->items[i]);
    if (!targets.ok)
        return false;
    if (targets.metadata_bytes > LIMIT_TARGETS_BYTES)
        return intake_refuse(reading, name, "may hold at most 65,536 bytes of metadata together");
    if (targets.size_most + targets.metadata_bytes > LIMIT_TARGETS_WHOLE &&
        intake_canonical_len(value, LIMIT_TARGETS_WHOLE, reading->context->arena) >
            LIMIT_TARGETS_WHOLE)
        return intake_refuse(reading, name, "may be at most 524,288 bytes in all");
    if (value->count == 0)
        return true; /* none is none, sent or not */
    if (!targets.needs_copy)
        reading->event->targets = *value;
    else if (!copy_targets(value, reading->context->arena, &reading->event->targets))
        return intake_refuse(reading, name, "is too large");
    return true;
}
