// Tenants: what belongs to one is not seen by another, from either side: not by its webhooks, not
// in its alerts, not in a list, not by a key that is bound to it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { startReceiver, startServer, until } from "./harness.mjs";

const secret = "a secret that both sides know";
const watch = { name: "Any", rule_type: "watched_action", conditions: { action_pattern: "*" }, channels: ["webhook"] };
const tenants = ["acme", "umbrella", undefined];
/** The same actor everywhere: a name says nothing about whose it is. */
const login = (tenant_id, more = {}) => ({ actor_id: "ana", action: "auth.login", tenant_id, session_id: "s", resource: { type: "doc", id: "d" }, ip_address: "203.0.113.7", ...more });

async function bind(server, tenant_ids, roles = ["ingest", "read", "triage"]) {
  const answer = await server.post("/keys", { roles, tenant_ids });
  assert.equal(answer.status, 201, answer.text);
  return answer.body.key;
}

async function store(server) {
  const events = {};
  for (const tenant of tenants) {
    const answer = await server.post("/events", login(tenant));
    assert.equal(answer.status, 201, answer.text);
    events[tenant ?? "none"] = answer.body;
  }
  return events;
}

const formats = {
  immutable: ["alert.triggered", "alert.resolved"],
  fusionauth: ["user.login.suspicious", "user.login.success", "user.login.failed"],
};

for (const [format, events] of Object.entries(formats)) {
  test(`a webhook of the format ${format} hears of its own tenants and of no other`, async (t) => {
    const server = await startServer(t);
    assert.equal((await server.post("/rules", watch)).status, 201);
    const hear = async (tenant_ids) => {
      const receiver = await startReceiver(t);
      const made = await server.post("/webhooks", { url: receiver.url, format, events, tenant_ids, secret });
      assert.equal(made.status, 201, made.text);
      return receiver;
    };
    const acme = await hear(["acme"]), umbrella = await hear(["umbrella"]), both = await hear(["acme", "umbrella"]), all = await hear([]), nobody = await hear(["acm", "Acme", "acme "]);
    const sent = [];
    for (const tenant of tenants) {
      const good = (await server.post("/events", login(tenant))).body;
      const bad = (await server.post("/events", login(tenant, { action: "auth.login_failed" }))).body;
      sent.push(good, bad);
      if (format === "immutable")
        for (const { alerts } of [good, bad]) assert.equal((await server.patch(`/alerts/${alerts[0].id}`, { status: "resolved" })).status, 200);
    }
    // Of each: two alerts raised and resolved; or one login that is told twice, and one failed.
    const each = format === "immutable" ? 4 : 3;
    await all.nth(3 * each);
    await both.nth(2 * each);
    await acme.nth(each);
    await umbrella.nth(each);
    // Of plain logins only what fails leaves a row.
    const rows = format === "immutable" ? 7 * each : 7;
    await until(async () => {
      const { data } = (await server.get("/deliveries?limit=100")).body;
      return data.length === rows && data.every((row) => row.status === "delivered");
    }, "every delivery, and no more");
    const heard = (receiver) => {
      const found = receiver.requests.map(({ body }) => (format === "immutable" ? body.event.tenant_id : body.event.tenantId));
      return [...new Set(found.map((tenant) => tenant ?? "none"))].sort();
    };
    assert.deepEqual(heard(acme), ["acme"]);
    assert.deepEqual(heard(umbrella), ["umbrella"]);
    assert.deepEqual(heard(both), ["acme", "umbrella"]);
    assert.deepEqual(heard(all), ["acme", "none", "umbrella"]);
    assert.equal(nobody.requests.length, 0);
    // Not even inside: no body holds another tenant's id, or an event's of it.
    const foreign = sent.filter((event) => event.tenant_id !== "acme").map((event) => event.id);
    for (const { rawBody } of acme.requests) {
      assert.ok(!rawBody.toString().includes("umbrella"));
      for (const id of foreign) assert.ok(!rawBody.toString().includes(id));
    }
  });
}

test("a list filtered to a tenant holds its rows only, whatever else is asked", async (t) => {
  const server = await startServer(t);
  await server.post("/rules", watch);
  for (let i = 0; i < 3; i++) await store(server);
  for (const query of ["", "&actor_id=ana", "&session_id=s", "&resource=doc", "&resource_id=d", "&action=auth.*", "&search=login", "&ip_address=203.0.113.7", "&order=asc"]) {
    const { data, pagination } = (await server.get(`/events?tenant_id=acme${query}`)).body;
    assert.deepEqual(data.map((event) => event.tenant_id), ["acme", "acme", "acme"], query);
    if (!query.includes("search")) assert.equal(pagination.total, 3, query);
  }
  assert.equal((await server.get("/events?tenant_id=acm")).body.data.length, 0);
  assert.equal((await server.get("/events?tenant_id=Acme")).body.data.length, 0);
});

test("a bound key lists, counts, pages and reads what is its tenants', and nothing else", async (t) => {
  const server = await startServer(t);
  await server.post("/rules", watch);
  const events = await store(server);
  for (let i = 0; i < 4; i++) await store(server);
  for (const tenant of ["acme", "umbrella"]) {
    const key = await bind(server, [tenant]);
    for (const route of ["/events", "/alerts"]) {
      for (const query of ["?", "?actor_id=ana&", "?order=asc&", "?from=2020-01-01T00:00:00Z&"]) {
        const { data, pagination } = (await server.get(`${route}${query}`, { key })).body;
        const whose = data.map((row) => (route === "/events" ? row.tenant_id : row.event.tenant_id));
        assert.deepEqual([...new Set(whose)], [tenant], route + query);
        assert.equal(data.length, 5, route + query);
        assert.equal(pagination.total, 5, route + query);
        // Page by page: cursors do not lead to others' rows.
        let cursor = "", seen = 0;
        do {
          const page = (await server.get(`${route}${query}limit=2${cursor && `&cursor=${cursor}`}`, { key })).body;
          for (const row of page.data) assert.equal(route === "/events" ? row.tenant_id : row.event.tenant_id, tenant);
          seen += page.data.length;
          cursor = page.pagination.has_more ? page.pagination.next_cursor : "";
        } while (cursor);
        assert.equal(seen, 5, route + query);
      }
    }
    for (const [whose, event] of Object.entries(events)) {
      const own = whose === tenant, [alert] = event.alerts;
      const status = own ? 200 : 404;
      assert.equal((await server.get(`/events/${event.id}`, { key })).status, status, whose);
      assert.equal((await server.get(`/events/${event.id}?include=source`, { key })).status, status, whose);
      assert.equal((await server.get(`/alerts/${alert.id}`, { key })).status, status, whose);
      assert.equal((await server.patch(`/alerts/${alert.id}`, { status: "acknowledged" }, { key })).status, status, whose);
      const found = (await server.get(`/alerts/${alert.id}`)).body;
      if (!own && whose === "none") assert.equal(found.status, "open", "what it may not see it did not change");
      assert.equal((await server.get(`/events?tenant_id=${whose}`, { key })).body.data.length, own ? 5 : 0, whose);
    }
  }
});

test("a bound key sends its tenants' events only, by every door", async (t) => {
  const server = await startServer(t);
  const key = await bind(server, ["acme"], ["ingest"]);
  const options = { key };
  assert.equal((await server.post("/events", login("acme"), options)).status, 201);
  assert.equal((await server.post("/events", login(undefined, { metadata: { tenant_id: "acme" } }), options)).status, 201);
  for (const tenant of ["umbrella", undefined, "Acme", "acme "])
    assert.equal((await server.post("/events", login(tenant), options)).status, 403, tenant);
  assert.equal((await server.post("/events", login(undefined, { metadata: { tenant_id: "umbrella" } }), options)).status, 403);
  const batch = await server.post("/events/batch", { events: [login("umbrella"), login("acme"), login(undefined)] }, options);
  assert.deepEqual(batch.body.events.map((event) => event.error ?? event.status), ["forbidden", "stored", "forbidden"]);
  const lines = [login("umbrella"), login("acme")].map((event) => JSON.stringify(event)).join("\n");
  const ndjson = await server.post("/events/batch?backfill=true", lines, { key, headers: { "content-type": "application/x-ndjson" } });
  assert.deepEqual(ndjson.body.events.map((event) => event.error ?? event.status), ["forbidden", "stored"]);
  const fusionauth = (tenantId, id) => ({ event: { type: "user.login.success", id, createInstant: Date.now(), tenantId, user: { id: "u" } } });
  assert.equal((await server.post("/intake/fusionauth", fusionauth("acme", "a"), options)).status, 201);
  assert.equal((await server.post("/intake/fusionauth", fusionauth("umbrella", "b"), options)).status, 403);
  assert.equal((await server.post("/intake/fusionauth", fusionauth(undefined, "c"), options)).status, 403);
  const { data } = (await server.get("/events")).body;
  assert.deepEqual([...new Set(data.map((event) => event.tenant_id))], ["acme"]);
  assert.equal(data.length, 5);
});

test("an idempotency key of one tenant is not another's", async (t) => {
  const server = await startServer(t);
  const acme = await bind(server, ["acme"]), umbrella = await bind(server, ["umbrella"]);
  const first = await server.post("/events", login("acme", { idempotency_key: "k" }), { key: acme });
  const second = await server.post("/events", login("umbrella", { idempotency_key: "k" }), { key: umbrella });
  assert.deepEqual([first.status, second.status], [201, 201]);
  const again = await server.post("/events", login("umbrella", { idempotency_key: "k" }), { key: umbrella });
  assert.equal(again.status, 200);
  assert.equal(again.body.id, second.body.id);
});

test("no route tells a bound key of all tenants", async (t) => {
  const server = await startServer(t);
  await server.post("/rules", watch);
  const events = await store(server);
  const { key, ...rest } = (await server.post("/keys", { roles: ["ingest", "read", "triage"], tenant_ids: ["acme"] })).body;
  assert.equal((await server.post("/keys", { roles: ["admin"], tenant_ids: ["acme"] })).status, 422);
  const openapi = (await server.get("//openapi.json", { key: null })).body;
  const foreign = [events.umbrella.id, events.none.id, events.umbrella.alerts[0].id, events.none.alerts[0].id, "umbrella", rest.id];
  const refused = [];
  for (const [path, methods] of Object.entries(openapi.paths)) {
    for (const [method, { "x-roles": roles }] of Object.entries(methods)) {
      if (roles.length === 0) continue;
      const route = (path.startsWith("/api/v1") ? path.slice(7) : `/${path}`).replace("{id}", events.umbrella.id);
      const body = ["post", "put", "patch"].includes(method) ? {} : undefined;
      const answer = await server.request(method.toUpperCase(), route, body, { key });
      if (answer.status === 403) refused.push(`${method} ${path}`);
      assert.equal(answer.status === 403, !roles.some((role) => role !== "admin") || refused.includes(`${method} ${path}`));
      // What stands in the path may be repeated.
      const text = answer.text.replaceAll(events.umbrella.id, "");
      for (const word of foreign) assert.ok(!text.includes(word) || word === events.umbrella.id, `${method} ${path}: ${answer.text}`);
    }
  }
  for (const route of ["get /api/v1/verify", "post /api/v1/rules/backtest", "get /metrics", "get /api/v1/deliveries", "get /api/v1/keys", "get /api/v1/webhooks"])
    assert.ok(refused.includes(route), route);
  for (const route of ["get /api/v1/events", "get /api/v1/alerts", "get /api/v1/rules", "post /api/v1/events"])
    assert.ok(!refused.includes(route), route);
});
