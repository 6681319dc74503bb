/* walk - looks once at all of an MMDB file, so that no later lookup meets a surprise.
 *
 * FORMAT. A search tree of `node_count` nodes with two records each: below node_count the number of
 * a node, equal to it nothing, above it an offset into the data section (plus node_count + 16). The
 * data section holds values: a control byte (type in the upper three bits, 0: the next byte plus 7;
 * size in the lower five, 29 to 31: one to three bytes more), then the value. A pointer holds an
 * offset; it may not point to a pointer. */
#include "enrich/enrich_priv.h"

#include "codec/text.h"

#include <string.h>

enum { STACK_MAX = 129, VALUE_DEPTH_MAX = 32, UNSEEN = 0, ON_PATH = 255 };

enum value_type {
    VALUE_POINTER = 1,
    VALUE_STRING = 2,
    VALUE_DOUBLE = 3,
    VALUE_BYTES = 4,
    VALUE_UINT16 = 5,
    VALUE_UINT32 = 6,
    VALUE_MAP = 7,
    VALUE_INT32 = 8,
    VALUE_UINT64 = 9,
    VALUE_UINT128 = 10,
    VALUE_ARRAY = 11,
    VALUE_BOOL = 14,
    VALUE_FLOAT = 15
};

struct walk {
    const MMDB_s *db;
    unsigned char *height; /* per node: longest way down, in nodes; UNSEEN, ON_PATH */
    uint64_t *checked;     /* a bit for each offset where a good value begins */
    uint64_t steps_left;   /* against files made to be walked for ever */
    bool (*see)(void *self, const MMDB_s *db, uint32_t offset);
    bool enough; /* it has seen */
    void *self;
    struct err *err;
};

static bool
damaged(struct walk *walk, const char *where, uint64_t at)
{
    return err_set(walk->err, ERR_INPUT, "damaged: %s %llu", where, (unsigned long long)at);
}

/* -- the data section ---------------------------------------------------------- */

struct value {
    enum value_type type;
    uint32_t size;   /* bytes; of a map or an array: members */
    uint32_t target; /* of a pointer */
    uint32_t next;   /* offset of what follows the control bytes (and a pointer) */
};

static bool
read_number(const MMDB_s *db, uint32_t *at, unsigned bytes, uint32_t *number_out)
{
    uint32_t number = 0;
    if (db->data_section_size < bytes || *at > db->data_section_size - bytes)
        return false;
    for (unsigned i = 0; i < bytes; i++)
        number = number << 8 | db->data_section[(*at)++];
    *number_out = number;
    return true;
}

static bool
read_pointer(const MMDB_s *db, uint32_t control, struct value *value)
{
    static const uint32_t base[] = {0, 2048, 526336, 0};
    uint32_t size = control >> 3 & 3, rest;
    if (!read_number(db, &value->next, size + 1, &rest))
        return false;
    value->target = rest + base[size];
    if (size < 3)
        value->target += (control & 7) << (8 * (size + 1));
    return value->target < db->data_section_size;
}

static bool
read_control(const MMDB_s *db, uint32_t offset, struct value *value)
{
    static const uint32_t base[] = {29, 285, 65821};
    uint32_t control, extended, more;
    *value = (struct value){.next = offset};
    if (!read_number(db, &value->next, 1, &control))
        return false;
    uint32_t type = control >> 5;
    if (type == VALUE_POINTER) {
        value->type = VALUE_POINTER;
        return read_pointer(db, control, value);
    }
    if (type == 0) {
        if (!read_number(db, &value->next, 1, &extended))
            return false;
        type = extended + 7;
        if (type < VALUE_INT32)
            return false;
    }
    value->type = (enum value_type)type;
    value->size = control & 31;
    if (value->size < 29)
        return true;
    uint32_t row = value->size - 29;
    if (!read_number(db, &value->next, row + 1, &more))
        return false;
    value->size = base[row] + more;
    return true;
}

static bool
is_scalar_sound(const struct walk *walk, const struct value *value)
{
    static const struct {
        unsigned char least, most;
    } sizes[] = {[VALUE_DOUBLE] = {8, 8}, [VALUE_UINT16] = {0, 2}, [VALUE_UINT32] = {0, 4},
                 [VALUE_INT32] = {0, 4},  [VALUE_UINT64] = {0, 8}, [VALUE_UINT128] = {0, 16},
                 [VALUE_BOOL] = {0, 1},   [VALUE_FLOAT] = {4, 4}};
    if (value->type == VALUE_BOOL)
        return value->size <= 1;
    if (value->size > walk->db->data_section_size - value->next)
        return false;
    if (value->type == VALUE_STRING)
        return utf8_valid(
            (struct str){(const char *)walk->db->data_section + value->next, value->size});
    if (value->type == VALUE_BYTES)
        return true;
    return (size_t)value->type < COUNT_OF(sizes) && sizes[value->type].most > 0 &&
           value->size >= sizes[value->type].least && value->size <= sizes[value->type].most;
}

static bool
is_checked(const struct walk *walk, uint32_t offset)
{
    return (walk->checked[offset / 64] >> offset % 64 & 1) != 0;
}

/* Checks the value at `offset` and all below it; `*end_out` is what follows it. */
static bool
check_value(struct walk *walk, uint32_t offset, unsigned depth, bool want_string, uint32_t *end_out)
{
    struct value value;
    uint32_t end;

    if (walk->steps_left == 0 || depth > VALUE_DEPTH_MAX || !read_control(walk->db, offset, &value))
        return damaged(walk, "value at data offset", offset);
    walk->steps_left--;
    if (value.type == VALUE_POINTER) {
        struct value target;
        *end_out = value.next;
        if (!read_control(walk->db, value.target, &target) || target.type == VALUE_POINTER ||
            (want_string && target.type != VALUE_STRING))
            return damaged(walk, "pointer at data offset", offset);
        return is_checked(walk, value.target) ||
               check_value(walk, value.target, depth + 1, want_string, &end);
    }
    if (want_string && value.type != VALUE_STRING)
        return damaged(walk, "name at data offset", offset);
    end = value.next;
    if (value.type == VALUE_MAP || value.type == VALUE_ARRAY) {
        for (uint32_t i = 0; i < value.size; i++) {
            if (value.type == VALUE_MAP && !check_value(walk, end, depth + 1, true, &end))
                return false;
            if (!check_value(walk, end, depth + 1, false, &end))
                return false;
        }
    } else if (!is_scalar_sound(walk, &value)) {
        return damaged(walk, "value at data offset", offset);
    } else if (value.type != VALUE_BOOL) {
        end += value.size;
    }
    walk->checked[offset / 64] |= (uint64_t)1 << offset % 64;
    *end_out = end;
    return true;
}

/* A record of the tree that is no node and not empty. Pointers to records are checked too, so one
 * that was met as a value of another is seen all the same. */
static bool
check_record(struct walk *walk, uint64_t record, uint64_t *seen)
{
    uint64_t first = (uint64_t)walk->db->metadata.node_count + 16;
    uint32_t end;
    if (record < first || record - first >= walk->db->data_section_size)
        return damaged(walk, "record in the tree,", record);
    uint32_t offset = (uint32_t)(record - first);
    uint64_t bit = (uint64_t)1 << offset % 64;
    if ((seen[offset / 64] & bit) != 0)
        return true;
    seen[offset / 64] |= bit;
    if (!is_checked(walk, offset) && !check_value(walk, offset, 0, false, &end))
        return false;
    walk->enough = !walk->see(walk->self, walk->db, offset);
    return true;
}

/* -- the tree ------------------------------------------------------------------ */

struct step {
    uint32_t node;
    unsigned side;        /* 0, 1: that child is next; 2: both done */
    unsigned char height; /* of the children so far */
    uint32_t records[2];
};

static void
enter(struct walk *walk, struct step *step, uint32_t node)
{
    step->node = node;
    step->side = 0;
    step->height = 0;
    mmdb_read_node(walk->db, node, step->records);
    walk->height[node] = ON_PATH;
}

/* One child of the node on top. `*down_out` says that it must be entered first. */
static bool
look_at_child(struct walk *walk, struct step *step, uint64_t *seen, bool *down_out)
{
    uint32_t node_count = walk->db->metadata.node_count;
    uint32_t record = step->records[step->side];

    *down_out = false;
    if (record > node_count && !check_record(walk, record, seen))
        return false;
    if (record < node_count) {
        unsigned char height = walk->height[record];
        if (height == ON_PATH)
            return damaged(walk, "a circle at node", record);
        *down_out = height == UNSEEN;
        if (height > step->height && !*down_out)
            step->height = height;
    }
    step->side += !*down_out;
    return true;
}

/* Depth first; each node is entered once, however many ways lead to it. */
static bool
walk_tree(struct walk *walk, uint64_t *seen)
{
    struct step stack[STACK_MAX];
    unsigned bits = walk->db->metadata.ip_version == 4 ? 32 : 128, depth = 1;
    bool down;

    enter(walk, &stack[0], 0);
    while (depth > 0) {
        struct step *top = &stack[depth - 1];
        if (top->side == 2) {
            walk->height[top->node] = (unsigned char)(top->height + 1);
            if (top->height + depth > bits)
                return damaged(walk, "too deep at node", top->node);
            depth--;
            continue;
        }
        if (!look_at_child(walk, top, seen, &down))
            return false;
        if (walk->enough)
            return true;
        if (down) {
            uint32_t child = top->records[top->side];
            if (depth == bits)
                return damaged(walk, "too deep at node", child);
            enter(walk, &stack[depth++], child);
        }
    }
    return walk->height[0] <= bits || damaged(walk, "too deep at node", 0);
}

bool
mmdb_walk(const MMDB_s *db, bool (*see)(void *self, const MMDB_s *db, uint32_t offset), void *self,
          struct err *err)
{
    struct walk walk = {.db = db, .see = see, .self = self, .err = err};
    size_t words = (size_t)db->data_section_size / 64 + 1;
    uint64_t tree = (uint64_t)db->metadata.node_count * db->full_record_byte_size;

    if (db->metadata.ip_version != 4 && db->metadata.ip_version != 6)
        return err_set(err, ERR_INPUT, "damaged: IP version %u", db->metadata.ip_version);
    if (db->metadata.node_count == 0)
        return err_set(err, ERR_INPUT, "holds no addresses");
    if (db->full_record_byte_size * 4u != db->metadata.record_size || db->file_size < 0 ||
        tree + 16 > (uint64_t)db->file_size ||
        tree + 16 + db->data_section_size > (uint64_t)db->file_size)
        return err_set(err, ERR_INPUT, "damaged: shorter than its tree");
    walk.height = base_alloc(db->metadata.node_count, 1);
    walk.checked = base_alloc(words, sizeof *walk.checked);
    walk.steps_left = (uint64_t)db->data_section_size * 8 + 1000;
    uint64_t *seen = base_alloc(words, sizeof *seen);
    bool ok = walk_tree(&walk, seen);
    base_free(seen);
    base_free(walk.checked);
    base_free(walk.height);
    return ok;
}

/* -- one record --------------------------------------------------------------------- */

/* Where a name or a value lies; `*at` moves on to what follows it here. */
static bool
place_scalar(const MMDB_s *db, uint32_t *at, uint32_t *offset_out)
{
    struct value value;
    if (!read_control(db, *at, &value))
        return false;
    if (value.type == VALUE_POINTER) {
        *offset_out = value.target;
        *at = value.next;
        return true;
    }
    uint32_t bytes = value.type == VALUE_BOOL ? 0 : value.size;
    if (value.type == VALUE_MAP || value.type == VALUE_ARRAY ||
        bytes > db->data_section_size - value.next)
        return false;
    *offset_out = *at;
    *at = value.next + bytes;
    return true;
}

bool
mmdb_members(const MMDB_s *db, uint32_t offset, struct mmdb_member members[static MMDB_MEMBERS_MAX],
             size_t *count_out)
{
    struct value map;
    if (!read_control(db, offset, &map) || map.type != VALUE_MAP || map.size > MMDB_MEMBERS_MAX)
        return false;
    uint32_t at = map.next;
    for (uint32_t i = 0; i < map.size; i++) {
        if (!place_scalar(db, &at, &members[i].name) || !place_scalar(db, &at, &members[i].value))
            return false;
        __builtin_prefetch(db->data_section + members[i].value);
    }
    *count_out = map.size;
    return true;
}

bool
mmdb_scalar(const MMDB_s *db, uint32_t offset, enum mmdb_kind *kind_out, struct str *bytes_out)
{
    static const enum mmdb_kind kinds[] = {
        [VALUE_STRING] = MMDB_STRING, [VALUE_DOUBLE] = MMDB_DOUBLE, [VALUE_FLOAT] = MMDB_FLOAT};
    struct value value;
    if (!read_control(db, offset, &value) || value.type == VALUE_POINTER ||
        value.type == VALUE_MAP || value.type == VALUE_ARRAY)
        return false;
    uint32_t bytes = value.type == VALUE_BOOL ? 0 : value.size;
    if (bytes > db->data_section_size - value.next)
        return false;
    *kind_out = (size_t)value.type < COUNT_OF(kinds) ? kinds[value.type] : MMDB_OTHER;
    *bytes_out = (struct str){(const char *)db->data_section + value.next, bytes};
    return true;
}
