#include "base/base.h"
#include "tap.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define IS_POISONED(at) (__asan_address_is_poisoned(at) != 0)
#else
#define IS_POISONED(at) ((void)(at), true)
#endif

static void
test_pieces_are_zeroed_and_aligned(void)
{
    struct arena arena;
    arena_init(&arena, 64, 4096);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 20; i++) {
            char *odd = arena_array(&arena, 3, char);
            int64_t *number = arena_new(&arena, int64_t);
            long double *wide = arena_new(&arena, long double);
            if (!CHECK(odd != NULL && number != NULL && wide != NULL))
                break;
            CHECK(odd[0] == 0 && odd[2] == 0 && *number == 0);
            CHECK((uintptr_t)number % _Alignof(int64_t) == 0);
            CHECK((uintptr_t)wide % _Alignof(long double) == 0);
            memset(odd, 0xAA, 3);
            memset(number, 0xAA, sizeof *number);
        }
        arena_reset(&arena);
    }
    arena_fini(&arena);
}

static void
test_arena_never_exceeds_its_limit_and_remembers(void)
{
    struct arena arena;
    arena_init(&arena, 64, 1000);
    size_t taken = 0;
    while (arena_alloc(&arena, 10, 1, 1) != NULL)
        taken += 10;
    CHECK(taken >= 300 && taken <= 1000);
    CHECK(arena.ran_out);
    CHECK(arena.total <= arena.limit);
    arena_reset(&arena);
    CHECK(!arena.ran_out);
    CHECK_INT((intmax_t)arena.total, 64);
    CHECK(arena_alloc(&arena, SIZE_MAX, 2, 1) == NULL && arena.ran_out);
    CHECK(arena_alloc(&arena, SIZE_MAX / 8, 8, 8) == NULL);
    struct str copy = {0};
    CHECK(!arena_copy(&arena, (struct str){"", SIZE_MAX}, &copy));
    arena_fini(&arena);
}

static void
test_large_pieces_get_chunks_of_their_own(void)
{
    struct arena arena;
    arena_init(&arena, 64, 1 << 20);
    char *small = arena_array(&arena, 8, char);
    char *large = arena_array(&arena, 100000, char);
    char *after = arena_array(&arena, 8, char);
    CHECK(small != NULL && large != NULL && after != NULL);
    memset(large, 1, 100000);
    CHECK(small[0] == 0 && after[0] == 0);
    arena_fini(&arena);
    CHECK(arena.first == NULL);
}

static void
test_nothing_is_a_piece_too(void)
{
    struct arena arena;
    arena_init(&arena, 64, 128);
    CHECK(arena_array(&arena, 0, int64_t) != NULL);
    struct str copy = STR("x");
    CHECK(arena_copy(&arena, (struct str){0}, &copy) && copy.ptr == NULL);
    CHECK(arena_copy(&arena, STR(""), &copy) && copy.ptr != NULL && copy.len == 0);
    CHECK(arena_copy(&arena, STR("abc"), &copy));
    CHECK_STR(copy, STR("abc"));
    arena_fini(&arena);
}

static void
test_asan_sees_over_the_end_of_a_piece(void)
{
    struct arena arena;
    arena_init(&arena, 256, 1024);
    char *piece = arena_array(&arena, 13, char);
    CHECK(arena_array(&arena, 8, char) != NULL);
    CHECK(IS_POISONED(piece + 13));
    arena_reset(&arena);
    CHECK(IS_POISONED(piece));
    arena_fini(&arena);
}

static void
test_buffer_grows_to_its_limit_and_no_further(void)
{
    struct buffer buffer;
    buffer_init(&buffer, 1000);
    CHECK_STR(buffer_str(&buffer), STR(""));
    for (int i = 0; i < 100; i++)
        buffer_add(&buffer, STR("0123456789"));
    CHECK(!buffer.ran_out);
    CHECK_INT((intmax_t)buffer.len, 1000);
    buffer_add_char(&buffer, 'x');
    CHECK(buffer.ran_out);
    CHECK_INT((intmax_t)buffer.len, 1000);
    CHECK(buffer.cap <= 1000);
    CHECK(buffer_reserve(&buffer, 0) == NULL);
    buffer_clear(&buffer);
    buffer_add(&buffer, STR("again"));
    CHECK_STR(buffer_str(&buffer), STR("again"));
    CHECK(buffer_reserve(&buffer, SIZE_MAX) == NULL);
    buffer_fini(&buffer);
}

static void
test_buffer_adds_nothing_after_running_out(void)
{
    struct buffer buffer;
    buffer_init(&buffer, 4);
    buffer_add(&buffer, STR("12345"));
    buffer_add(&buffer, STR("1"));
    CHECK(buffer.ran_out);
    CHECK_INT((intmax_t)buffer.len, 0);
    buffer_fini(&buffer);
}

static void
test_buffer_prints_any_length(void)
{
    struct buffer buffer;
    buffer_init(&buffer, 10000);
    buffer_printf(&buffer, "%d-%s", 7, "x");
    CHECK_STR(buffer_str(&buffer), STR("7-x"));
    buffer_printf(&buffer, "%2000d", 1);
    CHECK_INT((intmax_t)buffer.len, 2003);
    CHECK(buffer.ptr[2002] == '1' && buffer.ptr[2001] == ' ');
    buffer_fini(&buffer);
}

int
main(void)
{
    RUN(test_pieces_are_zeroed_and_aligned);
    RUN(test_arena_never_exceeds_its_limit_and_remembers);
    RUN(test_large_pieces_get_chunks_of_their_own);
    RUN(test_nothing_is_a_piece_too);
    RUN(test_asan_sees_over_the_end_of_a_piece);
    RUN(test_buffer_grows_to_its_limit_and_no_further);
    RUN(test_buffer_adds_nothing_after_running_out);
    RUN(test_buffer_prints_any_length);
    return tap_done();
}
