/* prefilter - which regexes can match a text at all, in one pass over it (Aho and Corasick).
 *
 * The literals of all regexes make one automaton over lowercase bytes. Each end of a literal ticks
 * off the sets that it belongs to; a regex all of whose sets are ticked off is let through. */
#include "enrich/enrich_priv.h"

#include <stdlib.h>
#include <string.h>

enum { NO_LITERAL = 0 };

#define ENDS_HERE 0x80000000u

/* One literal of one set of one regex. */
struct use {
    struct str text;
    uint32_t regex;
    uint32_t set;
};

struct state {
    uint32_t literal; /* that ends here, numbered from 1; NO_LITERAL */
    uint32_t shorter; /* next state on the way of suffixes that ends a literal; 0 for none */
};

struct prefilter {
    struct arena arena; /* texts while being made */
    struct use *uses;   /* sorted by text once finished */
    size_t use_count, use_room;
    uint8_t *wanted; /* per regex: a bit for each of its sets */
    size_t regex_count, regex_room;
    size_t unfiltered;
    uint64_t *always; /* bit per regex that no set stands for */

    unsigned char class_of[256]; /* byte to column; 0: occurs in no literal */
    uint32_t class_count;
    /* [state][column]: while being made the next state, then the offset of its row, and ENDS_HERE
     * when a literal ends there. */
    uint32_t *next;
    struct state *states;
    uint32_t state_count;
    uint32_t *first_use; /* literal to its first use; one more at the end */
    uint32_t literal_count;
};

struct prefilter_scratch {
    uint8_t *met;      /* per regex: sets ticked off */
    uint64_t *seen;    /* bit per literal */
    uint64_t *passing; /* bit per regex */
};

static size_t
words_for(size_t bits)
{
    return bits / 64 + 1;
}

struct prefilter *
prefilter_new(void)
{
    struct prefilter *prefilter = base_alloc(1, sizeof *prefilter);
    arena_init(&prefilter->arena, 65536, 256u << 20);
    return prefilter;
}

static void
add_use(struct prefilter *prefilter, struct use use)
{
    if (prefilter->use_count == prefilter->use_room) {
        prefilter->use_room = prefilter->use_room == 0 ? 1024 : prefilter->use_room * 2;
        prefilter->uses =
            base_realloc(prefilter->uses, prefilter->use_room * sizeof *prefilter->uses);
    }
    prefilter->uses[prefilter->use_count++] = use;
}

void
prefilter_add(struct prefilter *prefilter, struct str regex)
{
    struct literal_set sets[LITERAL_SETS_MAX];
    size_t count = literals_of(regex, &prefilter->arena, sets);

    if (prefilter->regex_count == prefilter->regex_room) {
        prefilter->regex_room = prefilter->regex_room == 0 ? 1024 : prefilter->regex_room * 2;
        prefilter->wanted = base_realloc(prefilter->wanted, prefilter->regex_room);
    }
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < sets[i].count; k++)
            add_use(prefilter,
                    (struct use){sets[i].items[k], (uint32_t)prefilter->regex_count, (uint32_t)i});
    prefilter->wanted[prefilter->regex_count++] = (uint8_t)((1u << count) - 1);
    prefilter->unfiltered += count == 0;
}

/* -- the automaton ----------------------------------------------------------- */

static int
compare_uses(const void *left, const void *right)
{
    const struct use *a = left, *b = right;
    return str_compare(a->text, b->text);
}

/* Gives each byte of a literal its column; capitals go with their small letters. */
static size_t
give_columns(struct prefilter *prefilter)
{
    size_t bytes = 0;
    prefilter->class_count = 1;
    for (size_t i = 0; i < prefilter->use_count; i++) {
        struct str text = prefilter->uses[i].text;
        bytes += text.len;
        for (size_t k = 0; k < text.len; k++) {
            unsigned char *column = &prefilter->class_of[(unsigned char)text.ptr[k]];
            if (*column == 0)
                *column = (unsigned char)prefilter->class_count++;
        }
    }
    for (unsigned c = 'A'; c <= 'Z'; c++)
        prefilter->class_of[c] = prefilter->class_of[c | 0x20];
    return bytes;
}

/* The state at the end of the text, made if need be. */
static uint32_t
grow(struct prefilter *prefilter, struct str text)
{
    uint32_t state = 0;
    for (size_t i = 0; i < text.len; i++) {
        uint32_t *next = &prefilter->next[state * prefilter->class_count +
                                          prefilter->class_of[(unsigned char)text.ptr[i]]];
        if (*next == 0)
            *next = prefilter->state_count++;
        state = *next;
    }
    return state;
}

static void
grow_all(struct prefilter *prefilter)
{
    prefilter->first_use = base_alloc(prefilter->use_count + 2, sizeof *prefilter->first_use);
    for (size_t i = 0; i < prefilter->use_count; i++) {
        if (i > 0 && str_equal(prefilter->uses[i].text, prefilter->uses[i - 1].text))
            continue;
        prefilter->literal_count++;
        prefilter->first_use[prefilter->literal_count] = (uint32_t)i;
        prefilter->states[grow(prefilter, prefilter->uses[i].text)].literal =
            prefilter->literal_count;
    }
    prefilter->first_use[prefilter->literal_count + 1] = (uint32_t)prefilter->use_count;
}

/* Breadth first: where a state has no way on, it goes on where its longest suffix would. */
static void
link_suffixes(struct prefilter *prefilter)
{
    uint32_t columns = prefilter->class_count, queued = 0;
    uint32_t *queue = base_alloc(prefilter->state_count, sizeof *queue);
    uint32_t *suffix = base_alloc(prefilter->state_count, sizeof *suffix);

    for (uint32_t column = 0; column < columns; column++)
        if (prefilter->next[column] != 0)
            queue[queued++] = prefilter->next[column];
    for (uint32_t done = 0; done < queued; done++) {
        uint32_t state = queue[done], back = suffix[state];
        prefilter->states[state].shorter =
            prefilter->states[back].literal != NO_LITERAL ? back : prefilter->states[back].shorter;
        for (uint32_t column = 0; column < columns; column++) {
            uint32_t *next = &prefilter->next[state * columns + column];
            uint32_t instead = prefilter->next[back * columns + column];
            if (*next == 0) {
                *next = instead;
                continue;
            }
            suffix[*next] = instead;
            queue[queued++] = *next;
        }
    }
    base_free(queue);
    base_free(suffix);
}

/* So that a step of the pass is one load. */
static void
scale_rows(struct prefilter *prefilter)
{
    size_t cells = (size_t)prefilter->state_count * prefilter->class_count;
    for (size_t i = 0; i < cells; i++) {
        const struct state *state = &prefilter->states[prefilter->next[i]];
        prefilter->next[i] *= prefilter->class_count;
        if (state->literal != NO_LITERAL || state->shorter != 0)
            prefilter->next[i] |= ENDS_HERE;
    }
}

void
prefilter_finish(struct prefilter *prefilter)
{
    must(prefilter->next == NULL);
    if (prefilter->use_count > 0)
        qsort(prefilter->uses, prefilter->use_count, sizeof *prefilter->uses, compare_uses);
    size_t states_max = give_columns(prefilter) + 1;
    must(states_max * prefilter->class_count < ENDS_HERE);
    prefilter->next = base_alloc(states_max * prefilter->class_count, sizeof *prefilter->next);
    prefilter->states = base_alloc(states_max, sizeof *prefilter->states);
    prefilter->state_count = 1;
    prefilter->always = base_alloc(words_for(prefilter->regex_count), sizeof *prefilter->always);
    for (size_t i = 0; i < prefilter->regex_count; i++)
        prefilter->always[i / 64] |= (uint64_t)(prefilter->wanted[i] == 0) << i % 64;
    grow_all(prefilter);
    link_suffixes(prefilter);
    scale_rows(prefilter);
    prefilter->next =
        base_realloc(prefilter->next, (size_t)prefilter->state_count * prefilter->class_count *
                                          sizeof *prefilter->next);
    for (size_t i = 0; i < prefilter->use_count; i++)
        prefilter->uses[i].text = (struct str){0};
    arena_fini(&prefilter->arena);
}

void
prefilter_free(struct prefilter *prefilter)
{
    if (prefilter == NULL)
        return;
    arena_fini(&prefilter->arena);
    base_free(prefilter->uses);
    base_free(prefilter->wanted);
    base_free(prefilter->always);
    base_free(prefilter->next);
    base_free(prefilter->states);
    base_free(prefilter->first_use);
    base_free(prefilter);
}

size_t
prefilter_unfiltered(const struct prefilter *prefilter)
{
    return prefilter->unfiltered;
}

/* -- the pass ---------------------------------------------------------------- */

struct prefilter_scratch *
prefilter_scratch_new(const struct prefilter *prefilter)
{
    struct prefilter_scratch *scratch = base_alloc(1, sizeof *scratch);
    must(prefilter->next != NULL);
    scratch->met = base_alloc(prefilter->regex_count + 1, 1);
    scratch->seen = base_alloc(words_for(prefilter->literal_count), sizeof *scratch->seen);
    scratch->passing = base_alloc(words_for(prefilter->regex_count), sizeof *scratch->passing);
    return scratch;
}

void
prefilter_scratch_free(struct prefilter_scratch *scratch)
{
    if (scratch == NULL)
        return;
    base_free(scratch->met);
    base_free(scratch->seen);
    base_free(scratch->passing);
    base_free(scratch);
}

static void
tick_off_use(const struct prefilter *prefilter, struct prefilter_scratch *scratch,
             const struct use *use)
{
    uint8_t *met = &scratch->met[use->regex];
    *met |= (uint8_t)(1u << use->set);
    if (*met == prefilter->wanted[use->regex])
        scratch->passing[use->regex / 64] |= (uint64_t)1 << use->regex % 64;
}

/* Ticks off what ends in this state. A literal seen before has ticked off its suffixes too. */
static void
tick_off(const struct prefilter *prefilter, struct prefilter_scratch *scratch, uint32_t state)
{
    if (prefilter->states[state].literal == NO_LITERAL)
        state = prefilter->states[state].shorter;
    for (; state != 0; state = prefilter->states[state].shorter) {
        uint32_t literal = prefilter->states[state].literal;
        uint64_t bit = (uint64_t)1 << literal % 64;
        if ((scratch->seen[literal / 64] & bit) != 0)
            return;
        scratch->seen[literal / 64] |= bit;
        for (uint32_t i = prefilter->first_use[literal]; i < prefilter->first_use[literal + 1]; i++)
            tick_off_use(prefilter, scratch, &prefilter->uses[i]);
    }
}

const uint64_t *
prefilter_scan(const struct prefilter *prefilter, struct prefilter_scratch *scratch,
               struct str text)
{
    size_t words = words_for(prefilter->regex_count);
    uint32_t row = 0;

    memset(scratch->met, 0, prefilter->regex_count);
    memset(scratch->seen, 0, words_for(prefilter->literal_count) * sizeof *scratch->seen);
    memcpy(scratch->passing, prefilter->always, words * sizeof *scratch->passing);
    for (size_t i = 0; i < text.len; i++) {
        uint32_t next = prefilter->next[row + prefilter->class_of[(unsigned char)text.ptr[i]]];
        row = next & ~ENDS_HERE;
        if (row != next)
            tick_off(prefilter, scratch, row / prefilter->class_count);
    }
    return scratch->passing;
}
