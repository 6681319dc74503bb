// Who may do what: roles, tenants, workspaces, rates, networks, expiry.

import assert from "node:assert/strict";
import { test } from "node:test";
import { startServer } from "./harness.mjs";

async function makeKey(server, members, options) {
  const answer = await server.post("/keys", members, options);
  assert.equal(answer.status, 201, answer.text);
  assert.match(answer.body.key, /^imk_sk_[0-9a-f]{48}$/);
  return answer.body.key;
}

test("every route opens to its roles and to admin, and to no other", async (t) => {
  const server = await startServer(t);
  const openapi = (await server.get("//openapi.json", { key: null })).body;
  const keys = {};
  for (const role of ["ingest", "read", "triage", "admin"]) keys[role] = await makeKey(server, { roles: [role] });
  const id = "xxx_00000000-0000-4000-8000-000000000000";
  let looked = 0;
  for (const [path, methods] of Object.entries(openapi.paths)) {
    for (const [method, { "x-roles": roles }] of Object.entries(methods)) {
      const route = path.startsWith("/api/v1") ? path.slice(7) : `/${path}`;
      for (const role of [null, ...Object.keys(keys)]) {
        const body = ["post", "put", "patch"].includes(method) ? {} : undefined;
        const key = role === null ? null : keys[role];
        const { status, text } = await server.request(method.toUpperCase(), route.replace("{id}", id), body, { key });
        const opens = roles.length === 0 || roles.includes(role) || role === "admin";
        const refusal = role === null ? 401 : 403;
        assert.equal(status === refusal, !opens, `${method} ${path} as ${role}: ${status} ${text}`);
        looked++;
      }
    }
  }
  assert.ok(looked > 150);
});

test("a key is shown once, works at once, and is gone at once", async (t) => {
  const server = await startServer(t);
  const { body } = await server.post("/keys", { label: "app", roles: ["ingest"] });
  const list = (await server.get("/keys")).body.data;
  assert.ok(list.every((key) => key.key === undefined));
  assert.ok(list.some((key) => key.id === body.id && body.key.startsWith(key.prefix)));
  const event = { actor_id: "u", action: "a" };
  assert.equal((await server.post("/events", event, { key: body.key })).status, 201);
  assert.equal((await server.delete(`/keys/${body.id}`)).status, 200);
  assert.equal((await server.post("/events", event, { key: body.key })).status, 401);
});

test("a key's members are checked by name", async (t) => {
  const server = await startServer(t);
  for (const [members, field] of [
    [{}, "roles"],
    [{ roles: [] }, "roles"],
    [{ roles: ["root"] }, "roles"],
    [{ roles: ["read"], rate_per_minute: 0 }, "rate_per_minute"],
    [{ roles: ["read"], ip_allow: ["10.0.0.0/33"] }, "ip_allow"],
    [{ roles: ["read"], expires_at: "2020-01-01T00:00:00Z" }, "expires_at"],
    [{ roles: ["read"], tenant_ids: [""] }, "tenant_ids"],
    [{ roles: ["read"], labl: "x" }, "labl"],
  ]) {
    const answer = await server.post("/keys", members);
    assert.equal(answer.status, 422, answer.text);
    assert.ok(answer.body.message.includes(field), answer.text);
  }
});

test("a key over its rate gets 429 with Retry-After, and others do not", async (t) => {
  const server = await startServer(t);
  const key = await makeKey(server, { roles: ["read"], rate_per_minute: 3 });
  const statuses = [];
  for (let i = 0; i < 4; i++) statuses.push((await server.get("/events", { key })).status);
  assert.deepEqual(statuses, [200, 200, 200, 429]);
  const refused = await server.get("/events", { key });
  assert.equal(refused.body.error, "rate_limited");
  assert.ok(Number(refused.headers.get("retry-after")) >= 1);
  assert.equal((await server.get("/events")).status, 200);
});

test("a key with an IP allow-list works from there only, proxies considered", async (t) => {
  const server = await startServer(t, { args: ["--trust-proxy", "127.0.0.0/8"] });
  const key = await makeKey(server, { roles: ["read"], ip_allow: ["203.0.113.0/24"] });
  const from = (address) => server.get("/events", { key, headers: { "x-forwarded-for": address } });
  assert.equal((await from("203.0.113.7")).status, 200);
  assert.equal((await from("203.0.113.7, 127.0.0.9")).status, 200);
  assert.equal((await from("203.0.113.7, 198.51.100.1")).status, 403);
  assert.equal((await server.get("/events", { key })).status, 403);
});

test("the address comes from a trusted proxy's header, and from nowhere else unasked", async (t) => {
  const event = { actor_id: "u", action: "a" };
  const headers = { "x-forwarded-for": "1.2.3.4, 8.8.4.4" };
  const plain = await startServer(t);
  assert.equal((await plain.post("/events", event, { headers })).body.ip_address, null);
  const behind = await startServer(t, { args: ["--trust-proxy", "127.0.0.0/8"] });
  assert.equal((await behind.post("/events", event, { headers })).body.ip_address, "8.8.4.4");
  const told = await behind.post("/events", { ...event, ip_address: "9.9.9.9" }, { headers });
  assert.equal(told.body.ip_address, "9.9.9.9");
  assert.equal((await plain.patch("/settings", { address_from_peer: true })).body.address_from_peer, true);
  const loopback = await plain.post("/events", event);
  assert.equal(loopback.body.ip_address, null, "a loopback peer is nobody's address");
});

test("a key bound to tenants sees and sends only theirs", async (t) => {
  const server = await startServer(t);
  await server.post("/rules", { name: "all", rule_type: "watched_action", conditions: { action_pattern: "*" }, channels: [] });
  const key = await makeKey(server, { roles: ["ingest", "read", "triage"], tenant_ids: ["t1", "t2"] });
  const send = (tenant_id, who) => server.post("/events", { actor_id: "u", action: "a", tenant_id }, who);
  const mine = await send("t1", { key });
  assert.equal(mine.status, 201);
  assert.equal((await send("t2", { key })).status, 201);
  assert.equal((await send("t3", { key })).status, 403);
  assert.equal((await send(undefined, { key })).status, 403);
  const theirs = await send("t3");
  assert.equal(theirs.status, 201);

  const events = (await server.get("/events", { key })).body.data;
  assert.deepEqual(events.map((e) => e.tenant_id).sort(), ["t1", "t2"]);
  assert.equal((await server.get("/events?tenant_id=t3", { key })).body.data.length, 0);
  assert.equal((await server.get(`/events/${theirs.body.id}`, { key })).status, 404);
  assert.equal((await server.get(`/events/${mine.body.id}`, { key })).status, 200);
  const alerts = (await server.get("/alerts", { key })).body.data;
  assert.deepEqual(alerts.map((a) => a.event.tenant_id).sort(), ["t1", "t2"]);
  const [foreign] = theirs.body.alerts;
  assert.equal((await server.get(`/alerts/${foreign.id}`, { key })).status, 404);
  assert.equal((await server.patch(`/alerts/${foreign.id}`, { status: "resolved" }, { key })).status, 404);
  const batch = await server.post("/events/batch", { events: [{ actor_id: "u", action: "a", tenant_id: "t1" }, { actor_id: "u", action: "a" }] }, { key });
  assert.deepEqual(batch.body.events.map((e) => e.status), ["stored", "invalid"]);
});

test("workspaces share nothing", async (t) => {
  const server = await startServer(t);
  const made = await server.post("/workspaces", { name: "second" });
  assert.equal(made.status, 201, made.text);
  const key = made.body.admin_key;
  await server.deleteRules({ key });
  assert.equal((await server.post("/workspaces", { name: "second" })).status, 409);
  assert.equal((await server.post("/workspaces", { name: "third" }, { key })).status, 403);
  assert.equal((await server.get("/workspaces", { key })).status, 403);
  await server.post("/rules", { name: "all", rule_type: "watched_action", conditions: { action_pattern: "*" }, channels: [] });
  const event = { actor_id: "u", action: "a", idempotency_key: "same" };
  const first = await server.post("/events", event);
  const second = await server.post("/events", event, { key });
  assert.deepEqual([first.body.status, second.body.status], ["stored", "stored"]);
  assert.deepEqual([first.body.alerts.length, second.body.alerts.length], [1, 0]);
  assert.notEqual(first.body.integrity.previous_event_hash, second.body.integrity.previous_event_hash);
  assert.equal((await server.get(`/events/${first.body.id}`, { key })).status, 404);
  assert.equal((await server.get("/rules", { key })).body.data.length, 0);
  assert.equal((await server.get("/alerts", { key })).body.data.length, 0);
  assert.equal((await server.get("/keys", { key })).body.data.length, 1);
  for (const who of [{}, { key }]) assert.equal((await server.get("/verify", who)).body.data.events_checked, 1);
});

test("TOCSIN_ADMIN_KEY counts on the first start only, and is not printed", async (t) => {
  const server = await startServer(t, { env: { TOCSIN_ADMIN_KEY: "imk_sk_given_on_the_first_start" } });
  assert.doesNotMatch(server.stdout, /admin key/);
  assert.equal((await server.get("/events")).status, 200);
  server.options.env = { TOCSIN_ADMIN_KEY: "imk_sk_another_one_later_on" };
  await server.restart();
  assert.equal((await server.get("/events")).status, 200);
  assert.equal((await server.get("/events", { key: "imk_sk_another_one_later_on" })).status, 401);
});

test("metrics need a key, unless they are public", async (t) => {
  const server = await startServer(t);
  assert.equal((await server.get("//metrics", { key: null })).status, 401);
  const { text } = await server.get("//metrics");
  assert.match(text, /^tocsin_events_total 0$/m);
  const open = await startServer(t, { args: ["--metrics-public"] });
  assert.equal((await open.get("//metrics", { key: null })).status, 200);
});
