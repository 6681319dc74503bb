/* Who calls: keys, roles, rates. Workers read a snapshot and never wait for the store. */
#include "api/api_priv.h"

#include <string.h>

#define ACCESS_ARENA_MAX (64u * 1024u * 1024u)
#define SECOND_US        1000000

/* -- the snapshot ------------------------------------------------------------ */

static struct rate *
rate_of(struct api *api, struct str key_id)
{
    for (struct rate *rate = api->rates; rate != NULL; rate = rate->next)
        if (str_equal(str_from(rate->key_id), key_id))
            return rate;
    struct rate *rate = base_alloc(1, sizeof *rate);
    must(key_id.len < sizeof rate->key_id + 1);
    memcpy(rate->key_id, key_id.ptr,
           key_id.len < sizeof rate->key_id ? key_id.len : sizeof rate->key_id - 1);
    rate->next = api->rates;
    api->rates = rate;
    return rate;
}

static size_t
slot_of(const struct access *access, const unsigned char hash[static SHA256_SIZE])
{
    uint64_t first;
    memcpy(&first, hash, sizeof first); /* a SHA-256: as good as random */
    return (size_t)first & (access->slot_count - 1);
}

static void
index_keys(struct access *access)
{
    access->slot_count = 16;
    while (access->slot_count < access->key_count * 2)
        access->slot_count *= 2;
    access->slots = arena_array(&access->arena, access->slot_count, uint32_t);
    must(access->slots != NULL);
    for (size_t i = 0; i < access->key_count; i++) {
        size_t slot = slot_of(access, access->keys[i].key.hash);
        while (access->slots[slot] != 0)
            slot = (slot + 1) & (access->slot_count - 1);
        access->slots[slot] = (uint32_t)i + 1;
    }
}

static void
take_setting(void *self, struct str workspace_id, struct str name, struct str json)
{
    struct access *access = self;
    for (size_t i = 0; i < access->workspace_count; i++) {
        struct access_workspace *workspace = &access->workspaces[i];
        if (!str_equal(workspace->workspace.id, workspace_id))
            continue;
        if (str_equal(name, STR("address_from_peer")))
            workspace->address_from_peer = str_equal(json, STR("true"));
        if (str_equal(name, STR("fusionauth_keys")))
            signatures_read(json, &access->arena, &workspace->fusionauth_keys,
                            &workspace->fusionauth_key_count);
        if (str_equal(name, STR("transactions"))) {
            transaction_read_setting(json, &access->arena, &workspace->transactions);
            access->any_transactions |= transactions_any(&workspace->transactions);
        }
    }
}

static bool
read_store(struct api *api, struct access *access, struct err *err)
{
    struct store *store = api->options.store;
    struct store_key *keys = NULL;
    struct store_workspace *workspaces = NULL;
    if (!store_keys(store, (struct str){0}, &access->arena, &keys, &access->key_count, err) ||
        !store_workspaces(store, &access->arena, &workspaces, &access->workspace_count, err))
        return false;
    access->keys = arena_array(&access->arena, access->key_count, struct access_key);
    access->workspaces =
        arena_array(&access->arena, access->workspace_count, struct access_workspace);
    must(access->keys != NULL && access->workspaces != NULL);
    for (size_t i = 0; i < access->key_count; i++)
        access->keys[i] = (struct access_key){keys[i], rate_of(api, keys[i].id)};
    for (size_t i = 0; i < access->workspace_count; i++) {
        access->workspaces[i].workspace = workspaces[i];
        access->workspaces[i].gauge = transaction_gauge(api, workspaces[i].id);
        access->workspaces[i].signer.key =
            (struct store_key){.workspace_id = workspaces[i].id, .roles = ROLE_INGEST};
    }
    index_keys(access);
    return store_settings(store, (struct str){0}, take_setting, access, err);
}

bool
access_refresh(struct api *api, struct err *err)
{
    struct access *fresh = base_alloc(1, sizeof *fresh);
    fresh->references = 1;
    arena_init(&fresh->arena, 64 * 1024, ACCESS_ARENA_MAX);
    /* One at a time, so that an older reading never replaces a newer one. */
    pthread_mutex_lock(&api->access_lock);
    bool ok = read_store(api, fresh, err);
    if (ok) {
        fresh->generation = atomic_load(&api->access_generation) + 1;
        struct access *old = api->access;
        api->access = fresh;
        atomic_store(&api->access_generation, fresh->generation);
        fresh = old;
    }
    pthread_mutex_unlock(&api->access_lock);
    if (fresh != NULL)
        access_release(fresh);
    return ok;
}

struct access *
access_take(struct api *api)
{
    pthread_mutex_lock(&api->access_lock);
    struct access *access = api->access;
    atomic_fetch_add(&access->references, 1);
    pthread_mutex_unlock(&api->access_lock);
    return access;
}

void
access_release(struct access *access)
{
    if (atomic_fetch_sub(&access->references, 1) > 1)
        return;
    for (size_t i = 0; i < access->workspace_count; i++)
        for (size_t j = 0; j < access->workspaces[i].fusionauth_key_count; j++)
            jwt_key_free(access->workspaces[i].fusionauth_keys[j].key);
    arena_fini(&access->arena);
    base_free(access);
}

const struct access_key *
access_find(const struct access *access, struct str token)
{
    unsigned char hash[SHA256_SIZE];
    sha256_once(token, hash);
    size_t slot = slot_of(access, hash);
    for (; access->slots[slot] != 0; slot = (slot + 1) & (access->slot_count - 1)) {
        const struct access_key *key = &access->keys[access->slots[slot] - 1];
        if (constant_time_equal(key->key.hash, hash, sizeof hash))
            return key;
    }
    return NULL;
}

const struct access_workspace *
access_workspace(const struct access *access, struct str id)
{
    for (size_t i = 0; i < access->workspace_count; i++)
        if (str_equal(access->workspaces[i].workspace.id, id))
            return &access->workspaces[i];
    return NULL;
}

/* -- the check -------------------------------------------------------------------- */

/* The generic cell rate algorithm with a burst of a whole minute. */
static bool
within_rate(struct call *call, const struct access_key *key)
{
    int64_t per_minute = key->key.rate_per_minute;
    if (per_minute <= 0)
        return true;
    int64_t step = 60 * SECOND_US / per_minute, now = call->taken_at_us;
    int64_t next = atomic_load(&key->rate->next_at_us);
    for (;;) {
        int64_t base = next > now ? next : now;
        if (base + step - now > 60 * SECOND_US) {
            int64_t wait = base + step - now - 60 * SECOND_US;
            call->retry_after_s = (int)((wait + SECOND_US - 1) / SECOND_US);
            call_fail(call, 429, "rate_limited", "This key may make %lld requests a minute.",
                      (long long)per_minute);
            return false;
        }
        if (atomic_compare_exchange_weak(&key->rate->next_at_us, &next, base + step))
            return true;
    }
}

static bool
allowed_from(const struct call *call, const struct store_key *key)
{
    if (key->network_count == 0)
        return true;
    for (size_t i = 0; call->has_peer && i < key->network_count; i++)
        if (network_contains(&key->networks[i], &call->peer))
            return true;
    return false;
}

/* What these tell cannot be cut down to some tenants: chain, back-test and metrics go through all
 * of them, and an admin could give himself another key. */
static bool
is_of_all_tenants(const struct route *route)
{
    return route->roles == ROLE_ADMIN || route->handle == events_verify ||
           route->handle == rules_backtest || route->handle == ops_metrics;
}

static bool
may_call(struct call *call, const struct store_key *key)
{
    const struct route *route = call->route;
    bool has_role = (key->roles & (route->roles | ROLE_ADMIN)) != 0;
    if (!has_role) {
        call_fail(call, 403, "forbidden", "This key's roles do not open %s %s.", route->method,
                  route->path);
        return false;
    }
    if (route->first_workspace &&
        !str_equal(key->workspace_id, call->access->workspaces[0].workspace.id)) {
        call_fail(call, 403, "forbidden", "Only an admin of the first workspace may do this.");
        return false;
    }
    if (key->tenant_count > 0 && is_of_all_tenants(route)) {
        call_fail(call, 403, "forbidden",
                  "This key is bound to tenants; %s %s goes through all of them.", route->method,
                  route->path);
        return false;
    }
    if (!allowed_from(call, key)) {
        call_fail(call, 403, "forbidden", "This key may not be used from your IP address.");
        return false;
    }
    return true;
}

static struct str
behind(struct str text, size_t len)
{
    text = (struct str){text.ptr + len, text.len - len};
    while (text.len > 0 && text.ptr[0] == ' ')
        text = (struct str){text.ptr + 1, text.len - 1};
    return text;
}

/* The password of Basic credentials: what a webhook's sender can be given where it cannot be given
 * a header of one's own. */
static struct str
basic_password(struct call *call, struct str credentials)
{
    struct buffer decoded;
    struct str password = {0}, kept = {0};
    buffer_init(&decoded, 1024);
    if (credentials.len < 1024 && base64_decode(&decoded, credentials, false)) {
        password = buffer_str(&decoded);
        (void)str_split(&password, ':');
    }
    if (password.ptr != NULL && !arena_copy(call_arena(call), password, &kept))
        kept = (struct str){0};
    buffer_fini(&decoded);
    return kept;
}

/* The key as Bearer token, or, for what other products' webhooks call, as the password of Basic. */
static struct str
find_token(struct call *call)
{
    const h2o_req_t *req = call->req;
    ssize_t at = h2o_find_header(&req->headers, H2O_TOKEN_AUTHORIZATION, -1);
    if (at < 0)
        return (struct str){0};
    h2o_iovec_t value = req->headers.entries[at].value;
    struct str text = {value.base, value.len};
    if (str_starts(text, STR("Bearer ")) || glob_match_nocase(STR("bearer *"), text))
        return behind(text, 7);
    if (call->route->handle == ingest_fusionauth && glob_match_nocase(STR("basic *"), text))
        return basic_password(call, behind(text, 6));
    return (struct str){0};
}

/* Where a workspace knows whom to expect, the signature alone is who calls; with a key beside it,
 * both must be right. */
static const struct access_key *
signed_key(struct call *call, struct str token, const struct access_key *key)
{
    const struct access_workspace *only = NULL, *workspace = NULL;
    if (token.len > 0 && key == NULL)
        return NULL;
    if (key != NULL) {
        only = access_workspace(call->access, key->key.workspace_id);
        if (only == NULL || only->fusionauth_key_count == 0)
            return key;
    }
    switch (signatures_judge(call, only, &workspace)) {
    case SIGNATURE_GOOD:
        return key != NULL ? key : &workspace->signer;
    case SIGNATURE_WRONG:
        return NULL;
    case SIGNATURE_NONE:
        break;
    }
    return key;
}

static const struct access_key *
find_key(const struct call *call, struct str token)
{
    struct seen_token *seen = &call->worker->seen;
    if (seen->generation == call->access->generation && seen->len == token.len &&
        constant_time_equal(seen->text, token.ptr, token.len))
        return seen->key;
    const struct access_key *key = access_find(call->access, token);
    if (key == NULL || token.len > sizeof seen->text)
        return key;
    *seen =
        (struct seen_token){.generation = call->access->generation, .len = token.len, .key = key};
    memcpy(seen->text, token.ptr, token.len);
    return key;
}

bool
access_check(struct call *call)
{
    if (call->route->roles == 0 ||
        (call->api->options.metrics_public && call->route->handle == ops_metrics))
        return true;
    struct str token = find_token(call);
    const struct access_key *key = token.len > 0 ? find_key(call, token) : NULL;
    if (call->route->handle == ingest_fusionauth)
        key = signed_key(call, token, key);
    if (key == NULL || (key->key.expires_at != 0 && key->key.expires_at <= call->taken_at_us)) {
        call_fail(call, 401, "unauthenticated", "Invalid or missing API key.");
        return false;
    }
    call->key = key;
    call->workspace_id = key->key.workspace_id;
    call->submission.workspace_id = call->workspace_id;
    return may_call(call, &key->key) && within_rate(call, key);
}

bool
call_may_see_tenant(const struct call *call, struct str tenant_id)
{
    const struct store_key *key = &call->key->key;
    for (size_t i = 0; i < key->tenant_count; i++)
        if (str_equal(key->tenants[i], tenant_id))
            return true;
    return key->tenant_count == 0;
}
