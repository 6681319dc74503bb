import assert from "node:assert/strict";
import test from "node:test";
import * as sdk from "../dist/index.js";
import { clientOf, startMock } from "./support/mock.mjs";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

function withoutKey({ idempotency_key, ...event }) {
  assert.match(idempotency_key, UUID);
  return event;
}

test("the walkthrough's login goes out as one POST with the key and every field", async (t) => {
  const mock = await startMock(t);
  const client = clientOf(mock);

  const answer = await client
    .actor("user_5a3c8f", { name: "Jordan Mitchell", type: "user" })
    .session("sess_7b2d4e6f")
    .track("auth.login", "account", { login_method: "password", tenant_id: "org_acme_corp" });

  assert.equal(answer.status, "stored");
  const [request] = mock.requests;
  assert.equal(`${request.method} ${request.url}`, "POST /api/v1/events");
  assert.equal(request.headers.authorization, "Bearer imk_sk_test");
  assert.equal(request.headers["content-type"], "application/json");
  assert.deepEqual(withoutKey(request.body), {
    actor_id: "user_5a3c8f",
    actor_name: "Jordan Mitchell",
    actor_type: "user",
    session_id: "sess_7b2d4e6f",
    action: "auth.login",
    resource: "account",
    metadata: { login_method: "password", tenant_id: "org_acme_corp" },
  });
});

test("every word of the builder reaches the wire", async (t) => {
  const mock = await startMock(t);
  await clientOf(mock)
    .actor({ id: 42, name: "Ana", type: "user" })
    .session("s")
    .tenant("t")
    .occurredAt(new Date(Date.UTC(2026, 2, 27, 7, 17, 41)))
    .idempotencyKey("k")
    .ip("::ffff:198.51.100.42")
    .userAgent("UA")
    .version(0)
    .actionCategory("auth")
    .target("doc", "d1", "Plan", { pages: 2 })
    .target("doc")
    .track("doc.read", { type: "doc", id: "d1", name: "Plan" }, null);

  assert.deepEqual(mock.requests[0].body, {
    actor_id: "42",
    actor_name: "Ana",
    actor_type: "user",
    session_id: "s",
    tenant_id: "t",
    occurred_at: "2026-03-27T07:17:41.000Z",
    idempotency_key: "k",
    ip_address: "198.51.100.42",
    user_agent: "UA",
    version: 0,
    action_category: "auth",
    targets: [{ type: "doc", id: "d1", name: "Plan", metadata: { pages: 2 } }, { type: "doc" }],
    action: "doc.read",
    resource: "doc",
    resource_id: "d1",
    resource_name: "Plan",
  });
});

test("one builder can track several events, each with a key of its own", async (t) => {
  const mock = await startMock(t);
  const pending = clientOf(mock)
    .actor("u")
    .targets([{ type: "a" }]);
  await pending.track("one");
  await pending.track("two", "r", { m: 1 });
  await pending.track("three");
  const [one, two, three] = mock.requests.map((request) => request.body);
  assert.deepEqual([one.action, two.action, three.action], ["one", "two", "three"]);
  assert.equal(new Set([one, two, three].map((event) => event.idempotency_key)).size, 3);
  assert.deepEqual([three.resource, three.metadata], [undefined, undefined]);
});

test("what is absent is not sent, and the caller's object is left alone", async (t) => {
  const mock = await startMock(t);
  const event = Object.freeze({
    actor_id: "u",
    action: "a",
    actor_name: null,
    session_id: "",
    tenant_id: undefined,
    metadata: Object.freeze({}),
  });
  await clientOf(mock).track(event);
  assert.deepEqual(withoutKey(mock.requests[0].body), { actor_id: "u", action: "a", metadata: {} });
});

test("a batch is one request, and each of its events has a key", async (t) => {
  const mock = await startMock(t, () => ({ body: { events: [] } }));
  const client = clientOf(mock);
  await client.trackBatch(
    [
      { actor_id: "a", action: "x" },
      { actor_id: "b", action: "y" },
    ],
    {
      backfill: true,
    },
  );
  const [{ url, body }] = mock.requests;
  assert.equal(url, "/api/v1/events/batch?backfill=true");
  assert.deepEqual(body.events.map(withoutKey), [
    { actor_id: "a", action: "x" },
    { actor_id: "b", action: "y" },
  ]);
});

test("filters become the query, times and all, and absent ones do not", async (t) => {
  const mock = await startMock(t, () => ({ body: { data: [], pagination: {} } }));
  const client = clientOf(mock);
  await client.getEvents({ actor_id: "user_5a3c8f", limit: 20, cursor: undefined });
  await client.getEvents();
  await client.getAlerts({ rule_type: "new_country", from: new Date(0) });
  assert.deepEqual(
    mock.requests.map((request) => `${request.method} ${request.url}`),
    [
      "GET /api/v1/events?actor_id=user_5a3c8f&limit=20",
      "GET /api/v1/events",
      "GET /api/v1/alerts?rule_type=new_country&from=1970-01-01T00%3A00%3A00.000Z",
    ],
  );
});

test("verify takes a range or the three one by one, and answers bare and under data", async (t) => {
  const verdict = { valid: true, events_checked: 3, breaks: [] };
  const mock = await startMock(t, () => ({ body: { data: verdict } }));
  const client = clientOf(mock);
  const answer = await client.verify({ from: "2026-01-01T00:00:00Z", limit: 5 });
  await client.verify("2026-01-01T00:00:00Z", undefined, 5);
  await client.verify();
  const [a, b, c] = mock.requests.map((request) => request.url);
  assert.equal(a, "/api/v1/verify?from=2026-01-01T00%3A00%3A00Z&limit=5");
  assert.equal(b, a);
  assert.equal(c, "/api/v1/verify");
  assert.deepEqual(answer, { ...verdict, data: verdict });
});

test("every resource has its route", async (t) => {
  const mock = await startMock(t, () => ({}));
  const client = clientOf(mock);
  const rule = { name: "n", rule_type: "new_country", conditions: {}, channels: [] };
  await client.getEvent("evt_1", { include: "source" });
  await client.getAlert("alt_1");
  await client.updateAlert("alt_1", { status: "resolved", note: "was me" });
  await client.rules.list();
  await client.rules.create(rule);
  await client.rules.get("r");
  await client.rules.update("r", { enabled: false });
  await client.rules.replace("r", rule);
  await client.rules.delete("r");
  await client.rules.backtest({ rule, from: "2026-01-01T00:00:00Z" });
  await client.rules.types();
  await client.webhooks.list();
  await client.webhooks.create({ url: "https://example.com" });
  await client.webhooks.get("w");
  await client.webhooks.update("w", { enabled: true });
  await client.webhooks.delete("w/../../keys");
  await client.webhooks.test("w");
  await client.webhooks.replay("w", new Date("2026-01-01T00:00:00Z"));
  await client.webhooks.rotateSecret("w");
  await client.deliveries.list({ webhook_id: "w" });
  await client.deliveries.get("d");
  await client.deliveries.replay("d");
  await client.keys.list();
  await client.keys.create({ roles: ["ingest"] });
  await client.keys.delete("k");
  await client.members.list();
  await client.members.create({ email: "ana@example.com", role: "owner" });
  await client.members.update("m", { role: "viewer" });
  await client.members.delete("m");
  await client.settings.get();
  await client.settings.update({ address_from_peer: true });
  await client.settings.testEmail("ana@example.com");
  assert.deepEqual(
    mock.requests.map((request) => `${request.method} ${request.url.replace("/api/v1", "")}`),
    [
      "GET /events/evt_1?include=source",
      "GET /alerts/alt_1",
      "PATCH /alerts/alt_1",
      "GET /rules",
      "POST /rules",
      "GET /rules/r",
      "PATCH /rules/r",
      "PUT /rules/r",
      "DELETE /rules/r",
      "POST /rules/backtest",
      "GET /rule-types",
      "GET /webhooks",
      "POST /webhooks",
      "GET /webhooks/w",
      "PATCH /webhooks/w",
      "DELETE /webhooks/w%2F..%2F..%2Fkeys",
      "POST /webhooks/w/test",
      "POST /webhooks/w/replay",
      "POST /webhooks/w/rotate-secret",
      "GET /deliveries?webhook_id=w",
      "GET /deliveries/d",
      "POST /deliveries/d/replay",
      "GET /keys",
      "POST /keys",
      "DELETE /keys/k",
      "GET /members",
      "POST /members",
      "PATCH /members/m",
      "DELETE /members/m",
      "GET /settings",
      "PATCH /settings",
      "POST /settings/test-email",
    ],
  );
  assert.deepEqual(mock.requests[2].body, { status: "resolved", note: "was me" });
  assert.throws(() => client.getEvent(""), /id is required/);
});

test("an iterator walks all pages, the short and the empty ones too", async (t) => {
  const answers = [
    { data: [{ id: 1 }, { id: 2 }], pagination: { has_more: true, next_cursor: "c1" } },
    { data: [], pagination: { has_more: true, next_cursor: "c2" } },
    { data: [{ id: 3 }], pagination: { has_more: false, next_cursor: null } },
  ];
  const mock = await startMock(t, (_request, count) => ({ body: answers[count - 1] }));
  const ids = [];
  for await (const event of clientOf(mock).events({ actor_id: "u" })) ids.push(event.id);
  assert.deepEqual(ids, [1, 2, 3]);
  assert.deepEqual(
    mock.requests.map((request) => request.url),
    ["", "&cursor=c1", "&cursor=c2"].map((end) => `/api/v1/events?limit=100&actor_id=u${end}`),
  );
});

test("Immutable's second client class works as well", async (t) => {
  const mock = await startMock(t, () => ({ body: { data: {} } }));
  const { seams: _none, ...config } = { apiKey: "k", baseUrl: mock.url };
  const immutable = new sdk.Immutable(config);
  await immutable.actor({ id: "u", name: "N", type: "user" }).track("a");
  await new sdk.PendingEvent(immutable.client, { id: "v" }).track("b");
  await immutable.events.list({ limit: 1 });
  await immutable.events.get("e");
  await immutable.events.verify();
  await immutable.alerts.list({ limit: 1 });
  assert.equal(mock.requests.length, 6);
  assert.equal(mock.requests[0].body.actor_name, "N");
  assert.equal(mock.requests[1].body.actor_id, "v");
  assert.equal(sdk.ImmutableClient, sdk.TocsinClient);
  assert.equal(sdk.ImmutableError, sdk.TocsinError);
});

test("the base address may end in a slash or in the API's own path", async (t) => {
  const mock = await startMock(t, () => ({}));
  for (const end of ["", "/", "/api", "/api/v1", "/api/v1/"]) {
    await clientOf(mock, { baseUrl: mock.url + end }).getAlerts();
  }
  assert.ok(mock.requests.every((request) => request.url === "/api/v1/alerts"));
  assert.throws(() => new sdk.TocsinClient({ apiKey: "k", baseUrl: "tocsin.example" }), TypeError);
  assert.throws(() => new sdk.TocsinClient({ apiKey: "k", baseUrl: "ftp://x" }), /http/);
  assert.throws(() => new sdk.TocsinClient({ apiKey: "", baseUrl: mock.url }), /apiKey/);
});
