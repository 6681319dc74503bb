/* Keys: made once, shown once, kept as SHA-256. And the first of them. */
#include "api/api_priv.h"
#include "codec/time.h"
#include "model/ids.h"
#include "model/limits.h"

#include <stdio.h>
#include <string.h>

#define KEY_PREFIX       "imk_sk_"
#define KEY_RANDOM       24 /* bytes: 48 characters of hex */
#define KEY_PREFIX_SHOWN 12
#define LABEL_MAX        256
#define NETWORKS_MAX     100
#define KEYS_ARENA       (16u * 1024u * 1024u)

static const struct {
    unsigned bit;
    const char *name;
} roles[] = {
    {ROLE_INGEST, "ingest"}, {ROLE_READ, "read"}, {ROLE_TRIAGE, "triage"}, {ROLE_ADMIN, "admin"}};

/* Its text, its hash and the prefix that is shown. */
static void
make(struct random random, char text_out[static API_TOKEN_SIZE], struct store_key *key)
{
    unsigned char bytes[KEY_RANDOM];
    random.fill(random.self, bytes, sizeof bytes);
    memcpy(text_out, KEY_PREFIX, sizeof KEY_PREFIX - 1);
    hex_encode(bytes, sizeof bytes, text_out + sizeof KEY_PREFIX - 1);
    size_t len = sizeof KEY_PREFIX - 1 + 2 * sizeof bytes;
    text_out[len] = '\0';
    sha256_once((struct str){text_out, len}, key->hash);
    key->prefix = (struct str){text_out, KEY_PREFIX_SHOWN};
}

struct store_key
key_make_admin(struct random random, int64_t now_us, struct str given, struct str workspace_id,
               char id_out[static ID_SIZE], char text_out[static API_TOKEN_SIZE])
{
    struct store_key key = {.workspace_id = workspace_id,
                            .label = STR("admin"),
                            .roles = ROLE_ADMIN,
                            .created_at = now_us};
    id_new(random, "key_", id_out);
    key.id = (struct str){id_out, ID_SIZE};
    if (given.ptr == NULL) {
        make(random, text_out, &key);
    } else {
        memcpy(text_out, given.ptr, given.len);
        text_out[given.len] = '\0';
        sha256_once(given, key.hash);
        key.prefix = (struct str){given.ptr, KEY_PREFIX_SHOWN};
    }
    return key;
}

static void
write_key(struct buffer *out, const struct store_key *key, struct str text)
{
    char network[ADDRESS_TEXT_SIZE + 4];
    json_open(out, '{');
    json_put_str(out, "id", key->id);
    json_put_str(out, "label", key->label);
    json_put_str(out, "prefix", key->prefix);
    if (text.ptr != NULL)
        json_put_str(out, "key", text);
    json_name(out, "roles");
    json_open(out, '[');
    for (size_t i = 0; i < COUNT_OF(roles); i++)
        if ((key->roles & roles[i].bit) != 0)
            json_str(out, str_from(roles[i].name));
    json_close(out, ']');
    if (key->rate_per_minute > 0)
        json_put_int(out, "rate_per_minute", key->rate_per_minute);
    else
        json_put_null(out, "rate_per_minute");
    json_name(out, "ip_allow");
    json_open(out, '[');
    for (size_t i = 0; i < key->network_count; i++)
        json_str(out, (struct str){network, network_format(&key->networks[i], network)});
    json_close(out, ']');
    json_name(out, "tenant_ids");
    json_open(out, '[');
    for (size_t i = 0; i < key->tenant_count; i++)
        json_str(out, key->tenants[i]);
    json_close(out, ']');
    if (key->expires_at != 0)
        json_put_time(out, "expires_at", key->expires_at);
    else
        json_put_null(out, "expires_at");
    json_put_time(out, "created_at", key->created_at);
    json_close(out, '}');
}

void
keys_list(struct call *call)
{
    struct store_key *keys = NULL;
    size_t count = 0;
    struct err err = {0};
    if (!store_keys(call->api->options.store, call->workspace_id, call_arena(call), &keys, &count,
                    &err)) {
        call_fail_err(call, &err);
        return;
    }
    struct buffer *out = answer_list(call);
    for (size_t i = 0; i < count; i++)
        write_key(out, &keys[i], (struct str){0});
    answer_all_listed(out, count);
}

/* -- making one -------------------------------------------------------------------- */

static bool
read_roles(const struct json *sent, struct store_key *key, struct violations *violations)
{
    if (sent->type != JSON_ARRAY || sent->count == 0)
        return violations_must_be(violations, "roles", "a list of ingest, read, triage, admin");
    for (size_t i = 0; i < sent->count; i++) {
        unsigned bit = 0;
        for (size_t r = 0; r < COUNT_OF(roles); r++)
            if (sent->items[i].type == JSON_STRING &&
                str_equal(sent->items[i].text, str_from(roles[r].name)))
                bit = roles[r].bit;
        if (bit == 0)
            return violations_must_be(violations, "roles", "a list of ingest, read, triage, admin");
        key->roles |= bit;
    }
    return true;
}

static bool
read_networks(const struct json *sent, struct arena *arena, struct store_key *key,
              struct violations *violations)
{
    if (sent->type == JSON_ABSENT || sent->type == JSON_NULL)
        return true;
    if (sent->type != JSON_ARRAY || sent->count > NETWORKS_MAX)
        return violations_must_be(violations, "ip_allow", "a list of at most 100 networks (CIDR)");
    struct network *networks = arena_array(arena, sent->count, struct network);
    must(networks != NULL);
    for (size_t i = 0; i < sent->count; i++)
        if (sent->items[i].type != JSON_STRING || !network_parse(sent->items[i].text, &networks[i]))
            return violations_must_be(violations, "ip_allow",
                                      "a list of at most 100 networks (CIDR)");
    key->networks = networks;
    key->network_count = sent->count;
    return true;
}

static bool
read_tenants(const struct json *sent, struct arena *arena, struct store_key *key,
             struct violations *violations)
{
    if (sent->type == JSON_ABSENT || sent->type == JSON_NULL)
        return true;
    if (sent->type != JSON_ARRAY || sent->count > LIMIT_TENANTS)
        return violations_must_be(violations, "tenant_ids", "a list of at most 100 strings");
    struct str *tenants = arena_array(arena, sent->count, struct str);
    must(tenants != NULL);
    for (size_t i = 0; i < sent->count; i++) {
        const struct json *item = &sent->items[i];
        if (item->type != JSON_STRING || item->text.len == 0 || item->text.len > LIMIT_STRING_BYTES)
            return violations_must_be(violations, "tenant_ids", "a list of at most 100 strings");
        tenants[i] = item->text;
    }
    key->tenants = tenants;
    key->tenant_count = sent->count;
    return true;
}

static bool
read_scalars(const struct call *call, struct store_key *key, struct violations *violations)
{
    const struct json *label = json_get(&call->json, STR("label"));
    const struct json *rate = json_get(&call->json, STR("rate_per_minute"));
    const struct json *expires = json_get(&call->json, STR("expires_at"));
    if (label->type == JSON_STRING && label->text.len <= LABEL_MAX)
        key->label = label->text;
    else if (label->type != JSON_ABSENT && label->type != JSON_NULL)
        return violations_must_be(violations, "label", "a string of at most 256 bytes");
    if (rate->type == JSON_NUMBER && rate->is_integer && rate->integer >= 1 &&
        rate->integer <= 60000000)
        key->rate_per_minute = rate->integer;
    else if (rate->type != JSON_ABSENT && rate->type != JSON_NULL)
        return violations_must_be(violations, "rate_per_minute",
                                  "a whole number from 1 to 60000000");
    if (expires->type == JSON_ABSENT || expires->type == JSON_NULL)
        return true;
    if (expires->type != JSON_STRING || !time_parse(expires->text, &key->expires_at) ||
        key->expires_at <= call->taken_at_us)
        return violations_must_be(violations, "expires_at", "an RFC 3339 time to come");
    return true;
}

static bool
read_key(struct call *call, struct store_key *key)
{
    static const char *const known[] = {
        "label", "roles", "rate_per_minute", "ip_allow", "tenant_ids", "expires_at", NULL};
    struct violations violations = {.arena = call_arena(call)};
    if (!call_read_json(call) || !call_check_members(call, &call->json, known))
        return false;
    (void)read_roles(json_get(&call->json, STR("roles")), key, &violations);
    (void)read_networks(json_get(&call->json, STR("ip_allow")), call_arena(call), key, &violations);
    (void)read_tenants(json_get(&call->json, STR("tenant_ids")), call_arena(call), key,
                       &violations);
    if (key->tenant_count > 0 && (key->roles & ROLE_ADMIN) != 0)
        violations_add(&violations, STR("tenant_ids"),
                       "The tenant_ids field does not go with the role admin.");
    (void)read_scalars(call, key, &violations);
    if (violations.count == 0)
        return true;
    call_fail_fields(call, &violations);
    return false;
}

/* Workers read keys from a snapshot: it is made anew before the answer, so that a key works, and
 * one that was taken back does not, from the moment the caller knows of it. */
static bool
publish(struct call *call)
{
    struct err err = {0};
    if (access_refresh(call->api, &err))
        return true;
    call_fail_err(call, &err);
    return false;
}

void
keys_post(struct call *call)
{
    char id[ID_SIZE], text[API_TOKEN_SIZE];
    struct err err = {0};
    struct store_key key = {.workspace_id = call->workspace_id, .created_at = call->taken_at_us};
    if (!read_key(call, &key))
        return;
    id_new(call->api->options.random, "key_", id);
    key.id = (struct str){id, sizeof id};
    make(call->api->options.random, text, &key);
    if (!store_key_add(call->api->options.store, &key, &err))
        call_fail_err(call, &err);
    else if (publish(call))
        write_key(call_answer(call, 201), &key, str_from(text));
}

void
keys_delete(struct call *call)
{
    struct err err = {0};
    struct str id = call->parameters[0];
    if (!store_key_delete(call->api->options.store, call->workspace_id, id, &err)) {
        if (err.code == ERR_NOT_FOUND)
            call_fail(call, 404, "not_found", "There is no key %.*s.",
                      (int)(id.len < 100 ? id.len : 100), id.ptr);
        else
            call_fail_err(call, &err);
        return;
    }
    if (!publish(call))
        return;
    struct buffer *out = call_answer(call, 200);
    json_open(out, '{');
    json_put_str(out, "id", id);
    json_put_bool(out, "deleted", true);
    json_close(out, '}');
}

/* -- the first one ------------------------------------------------------------------------ */

bool
api_make_first_key(struct store *store, struct engine *engine, struct random random,
                   struct clock clock, struct str key, char key_out[static API_TOKEN_SIZE],
                   struct err *err)
{
    char id[WORKSPACE_ID_SIZE], key_id[ID_SIZE];
    struct arena arena;
    struct store_workspace *workspaces = NULL;
    size_t count = 0;
    if (key.ptr != NULL && (key.len < 16 || key.len >= API_TOKEN_SIZE || !utf8_valid(key)))
        return err_set(err, ERR_INPUT, "TOCSIN_ADMIN_KEY: wants 16 to 63 characters");
    arena_init(&arena, 4096, KEYS_ARENA);
    bool ok = store_workspaces(store, &arena, &workspaces, &count, err);
    arena_fini(&arena);
    if (!ok)
        return false;
    if (count > 0)
        return err_set(err, ERR_CONFLICT, "there is a workspace already");
    id_new_workspace(random, id);
    struct store_workspace workspace = {
        .id = {id, sizeof id}, .name = STR("default"), .created_at = clock.wall_us(clock.self)};
    struct store_key first =
        key_make_admin(random, workspace.created_at, key, workspace.id, key_id, key_out);
    return starter_add_workspace(store, engine, random, &workspace, &first, err);
}

bool
api_make_admin_key(struct store *store, struct random random, struct clock clock,
                   char key_out[static API_TOKEN_SIZE], struct err *err)
{
    char id[ID_SIZE];
    struct arena arena;
    struct store_workspace *workspaces = NULL;
    size_t count = 0;
    arena_init(&arena, 4096, KEYS_ARENA);
    bool ok = store_workspaces(store, &arena, &workspaces, &count, err);
    if (ok && count == 0)
        ok = err_set(err, ERR_NOT_FOUND, "there is no workspace yet: start the server first");
    if (ok) {
        struct store_key key = key_make_admin(random, clock.wall_us(clock.self), (struct str){0},
                                              workspaces[0].id, id, key_out);
        ok = store_key_add(store, &key, err);
    }
    arena_fini(&arena);
    return ok;
}
