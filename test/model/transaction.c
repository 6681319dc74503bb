/* How many are enough is what FusionAuth says of the same names. */
#include "model/transaction.h"

#include "tap.h"

/* A row per setting: of one to five that were asked, the least that is enough. */
static const struct {
    enum transaction_type type;
    const char *name;
    size_t least[5];
} rows[] = {
    {TRANSACTION_NONE, "None", {0, 0, 0, 0, 0}},
    {TRANSACTION_ANY, "Any", {1, 1, 1, 1, 1}},
    {TRANSACTION_SIMPLE_MAJORITY, "SimpleMajority", {1, 1, 2, 2, 3}},
    {TRANSACTION_SUPER_MAJORITY, "SuperMajority", {1, 2, 2, 3, 4}},
    {TRANSACTION_ABSOLUTE_MAJORITY, "AbsoluteMajority", {1, 2, 3, 4, 5}},
};

static void
test_thresholds(void)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        CHECK(transaction_passes(rows[i].type, 0, 0));
        for (size_t asked = 1; asked <= 5; asked++)
            for (size_t good = 0; good <= asked; good++)
                CHECK(transaction_passes(rows[i].type, asked, good) ==
                      (good >= rows[i].least[asked - 1]));
    }
}

static void
test_names_are_read_as_they_are_written(void)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        enum transaction_type type;
        CHECK(str_equal(transaction_name(rows[i].type), str_from(rows[i].name)));
        CHECK(transaction_parse(str_from(rows[i].name), &type) && type == rows[i].type);
    }
    enum transaction_type type;
    CHECK(!transaction_parse(STR("All"), &type));
    CHECK(!transaction_parse(STR("any"), &type));
}

static bool
read(const char *text, struct transactions *transactions, const char **why)
{
    struct json_parser *parser = json_parser_new();
    struct arena arena;
    struct json json;
    struct err err = {0};
    arena_init(&arena, 4096, 1 << 20);
    CHECK(json_parse(parser, str_from(text), &arena, &json, &err));
    bool ok = transactions_read(&json, transactions, why);
    arena_fini(&arena);
    json_parser_free(parser);
    return ok;
}

static void
test_what_is_not_named_stays_and_what_is_wrong_changes_nothing(void)
{
    struct transactions set = {0};
    const char *why;
    CHECK(!transactions_any(&set));
    CHECK(
        read("{\"user.login.success\":\"Any\",\"alert.triggered\":\"SuperMajority\"}", &set, &why));
    CHECK(read("{\"user.login.failed\":\"AbsoluteMajority\"}", &set, &why));
    CHECK_INT(set.of[WEBHOOK_LOGIN_SUCCESS], TRANSACTION_ANY);
    CHECK_INT(set.of[WEBHOOK_LOGIN_FAILED], TRANSACTION_ABSOLUTE_MAJORITY);
    CHECK_INT(set.of[WEBHOOK_ALERT], TRANSACTION_SUPER_MAJORITY);
    CHECK_INT(set.of[WEBHOOK_LOGIN_SUSPICIOUS], TRANSACTION_NONE);
    CHECK(transactions_any(&set));
    static const char *const bad[] = {"[]", "{\"user.login.success\":\"None\",\"x\":\"Any\"}",
                                      "{\"user.login.success\":\"None\",\"alert.triggered\":1}",
                                      "{\"alert.resolved\":\"Any\"}"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        CHECK(!read(bad[i], &set, &why));
        CHECK_INT(set.of[WEBHOOK_LOGIN_SUCCESS], TRANSACTION_ANY);
    }
    struct buffer out;
    struct transactions again = {0};
    buffer_init(&out, 4096);
    transactions_write(&out, &set);
    buffer_add_char(&out, '\0');
    CHECK(read(out.ptr, &again, &why));
    CHECK(memcmp(&again, &set, sizeof set) == 0);
    buffer_fini(&out);
}

int
main(void)
{
    RUN(test_thresholds);
    RUN(test_names_are_read_as_they_are_written);
    RUN(test_what_is_not_named_stays_and_what_is_wrong_changes_nothing);
    return tap_done();
}
