// Webhooks from end to end: what a receiver gets, how it is signed, and what becomes of failures.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import { test } from "node:test";
import { startReceiver, startServer, until } from "./harness.mjs";

const watch = { name: "Watch", rule_type: "watched_action", conditions: { action_pattern: "key.*" }, channels: ["webhook"] };
const event = { actor_id: "u", actor_name: "Ann", action: "key.made", ip_address: "10.0.0.1", tenant_id: "t1" };

async function setUp(t, webhooks, options) {
  const server = await startServer(t, options);
  const made = [];
  for (const webhook of webhooks) {
    const answer = await server.post("/webhooks", webhook);
    assert.equal(answer.status, 201, answer.text);
    made.push(answer.body);
  }
  assert.equal((await server.post("/rules", watch)).status, 201);
  return { server, made };
}

function signedBy(request, secret) {
  const { headers, rawBody } = request;
  const hex = createHmac("sha256", secret).update(rawBody).digest("hex");
  const key = secret.startsWith("whsec_") ? Buffer.from(secret.slice(6), "base64") : secret;
  const content = `${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${rawBody}`;
  const standard = `v1,${createHmac("sha256", key).update(content).digest("base64")}`;
  return {
    immutable: headers["x-immutable-signature"] === `sha256=${hex}`,
    standard: headers["webhook-signature"].split(" ").includes(standard),
  };
}

const delivered = (server, count) =>
  until(async () => {
    const { data } = (await server.get("/deliveries?status=delivered&limit=100")).body;
    return data.length >= count && data;
  }, `${count} deliveries`);

test("a receiver gets the alert as documented, signed both ways", async (t) => {
  const receiver = await startReceiver(t);
  const { server, made } = await setUp(t, [{ url: receiver.url }]);
  const { body: stored } = await server.post("/events", event);
  const request = await receiver.nth(1);
  assert.equal(request.method, "POST");
  assert.equal(request.headers["content-type"], "application/json");
  assert.match(request.headers["user-agent"], /^Tocsin\//);
  assert.deepEqual(signedBy(request, made[0].secret), { immutable: true, standard: true });
  const [alert] = stored.alerts;
  const { body } = request;
  assert.equal(body.event_type, "alert.triggered");
  for (const [member, value] of Object.entries({ alert_id: alert.id, rule_id: alert.rule_id, rule_name: "Watch", rule_type: "watched_action", severity: "medium", reason: alert.reason, triggered_at: alert.triggered_at }))
    assert.equal(body[member], value, member);
  assert.match(body.workspace_id, /^ws_[0-9a-f]{8}$/);
  assert.deepEqual(body.context, alert.context);
  for (const name of ["id", "actor_id", "actor_name", "action", "ip_address", "ip_country", "ip_city", "occurred_at"])
    assert.equal(body.event[name], stored[name], name);
  await delivered(server, 1);
  const listed = (await server.get(`/alerts/${alert.id}`)).body;
  assert.match(listed.notified_at, /^\d{4}-/);
});

test("the secret is shown once; after a rotation both sign", async (t) => {
  const receiver = await startReceiver(t);
  const { server, made } = await setUp(t, [{ url: receiver.url }]);
  const [{ id, secret }] = made;
  assert.match(secret, /^whsec_/);
  assert.equal((await server.get(`/webhooks/${id}`)).body.secret, undefined);
  assert.equal((await server.get("/webhooks")).body.data[0].secret, undefined);
  const rotated = (await server.post(`/webhooks/${id}/rotate-secret`)).body.secret;
  assert.notEqual(rotated, secret);
  await server.post("/events", event);
  const request = await receiver.nth(1);
  assert.equal(signedBy(request, rotated).immutable, true);
  assert.equal(signedBy(request, rotated).standard, true);
  assert.equal(signedBy(request, secret).standard, true);
});

test("filters: events go only to webhooks that take them", async (t) => {
  const receivers = [await startReceiver(t), await startReceiver(t), await startReceiver(t), await startReceiver(t)];
  const filters = [{}, { min_severity: "high" }, { tenant_ids: ["t2"] }, { rule_types: ["new_country"] }];
  const { server } = await setUp(t, filters.map((filter, i) => ({ url: receivers[i].url, ...filter })));
  await server.post("/events", event);
  await server.post("/events", { ...event, tenant_id: "t2" });
  await server.patch(`/rules/${(await server.get("/rules")).body.data[0].id}`, { severity: "critical" });
  await server.post("/events", event);
  await receivers[0].nth(3);
  await receivers[1].nth(1);
  await receivers[2].nth(1);
  await delivered(server, 5);
  assert.deepEqual(receivers.map((r) => r.requests.length), [3, 1, 1, 0]);
});

test("a receiver that hangs and one that fails delay no other", async (t) => {
  const hanging = await startReceiver(t, () => new Promise(() => {}));
  const failing = await startReceiver(t, () => ({ status: 500, body: "no" }));
  const good = await startReceiver(t);
  const { server } = await setUp(t, [{ url: hanging.url }, { url: failing.url }, { url: good.url }]);
  await server.post("/events/batch", { events: Array.from({ length: 200 }, () => event) });
  await good.nth(200);
  assert.equal(new Set(good.requests.map((r) => r.headers["webhook-id"])).size, 200);
  await until(async () => (await server.get("/deliveries?status=pending&limit=1")).body.data.length === 1, "one that waits");
});

test("each attempt is kept with its status and the beginning of the answer, and can be made again", async (t) => {
  let status = 500;
  const receiver = await startReceiver(t, () => ({ status, body: "x".repeat(5000) }));
  const { server, made } = await setUp(t, [{ url: receiver.url }]);
  await server.post("/events", event);
  const first = await receiver.nth(1);
  const delivery = await until(async () => {
    const { data } = (await server.get(`/deliveries?webhook_id=${made[0].id}`)).body;
    return data.length === 1 && data[0].attempts_made === 1 && data[0];
  }, "the attempt");
  assert.equal(delivery.status, "pending");
  assert.ok(Date.parse(delivery.next_attempt_at) > Date.now());
  const { attempts } = (await server.get(`/deliveries/${delivery.id}`)).body;
  assert.deepEqual([attempts[0].status, attempts[0].answer.length], [500, 1024]);
  status = 204;
  assert.equal((await server.post(`/deliveries/${delivery.id}/replay`)).status, 200);
  const second = await receiver.nth(2);
  assert.equal(second.headers["webhook-id"], first.headers["webhook-id"]);
  await delivered(server, 1);
});

test("a redirect is a failure and is not followed", async (t) => {
  const target = await startReceiver(t);
  const receiver = await startReceiver(t, () => ({ status: 302, headers: { location: target.url } }));
  const { server } = await setUp(t, [{ url: receiver.url }]);
  await server.post("/events", event);
  await receiver.nth(1);
  await until(async () => (await server.get("/deliveries")).body.data[0]?.attempts_made === 1, "the attempt");
  assert.equal((await server.get("/deliveries")).body.data[0].status, "pending");
  assert.equal(target.requests.length, 0);
});

test("410 disables the webhook, and it says why", async (t) => {
  const receiver = await startReceiver(t, () => ({ status: 410 }));
  const { server, made } = await setUp(t, [{ url: receiver.url }]);
  await server.post("/events", event);
  await receiver.nth(1);
  const webhook = await until(async () => {
    const { body } = await server.get(`/webhooks/${made[0].id}`);
    return body.enabled === false && body;
  }, "the webhook to be disabled");
  assert.match(JSON.stringify(webhook), /410/);
});

test("an address that is not public is refused when connecting, unless allowed", async (t) => {
  const inner = http.createServer((_, response) => response.end());
  inner.listen(0, "::1");
  await once(inner, "listening");
  t.after(() => inner.close());
  let reached = 0;
  inner.on("request", () => reached++);
  const { server, made } = await setUp(t, [{ url: `http://[::1]:${inner.address().port}/` }]);
  const { body } = await server.post(`/webhooks/${made[0].id}/test`);
  assert.equal(body.delivered, false);
  assert.match(body.error, /address|refused|allowed|public/i);
  assert.equal(reached, 0);
});

test("a test call tells what the receiver answered", async (t) => {
  const receiver = await startReceiver(t, () => ({ status: 202, body: "thanks" }));
  const { server, made } = await setUp(t, [{ url: receiver.url }]);
  const { body } = await server.post(`/webhooks/${made[0].id}/test`);
  assert.deepEqual([body.delivered, body.status, body.answer], [true, 202, "thanks"]);
  const request = await receiver.nth(1);
  assert.equal(request.body.event_type, "webhook.test");
  assert.equal(signedBy(request, made[0].secret).standard, true);
});

test("what is wrong with a webhook is named", async (t) => {
  const server = await startServer(t);
  for (const [webhook, field] of [
    [{}, "url"],
    [{ url: "ftp://x.example" }, "url"],
    [{ url: "https://user:pw@x.example" }, "url"],
    [{ url: "https://x.example", format: "telegram" }, "format"],
    [{ url: "https://x.example", events: ["nothing"] }, "events"],
    [{ url: "https://x.example", rule_types: ["new_contry"] }, "rule_types"],
    [{ url: "https://x.example", timeout_ms: 1 }, "timeout_ms"],
    [{ url: "https://x.example", headers: { a: "b\r\nc: d" } }, "headers"],
    [{ url: "https://x.example", secrt: "x" }, "secrt"],
  ]) {
    const answer = await server.post("/webhooks", webhook);
    assert.equal(answer.status, 422, answer.text);
    assert.ok(answer.body.violations.some((v) => v.field.startsWith(field)), answer.text);
  }
});

test("kill -9 while delivering: each alert arrives, duplicates under the same id", async (t) => {
  const receiver = await startReceiver(t);
  const { server } = await setUp(t, [{ url: receiver.url }]);
  const { body } = await server.post("/events/batch", { events: Array.from({ length: 300 }, () => event) });
  await receiver.nth(50);
  await server.restart("SIGKILL");
  const wanted = new Set(body.events.flatMap((e) => e.alerts.map((a) => a.id)));
  assert.equal(wanted.size, 300);
  const got = () => new Map(receiver.requests.map((r) => [r.body.alert_id, r.headers["webhook-id"]]));
  await until(async () => {
    await server.get("//healthz", { key: null });
    return got().size === 300;
  }, "all alerts");
  const ids = new Map();
  for (const { body: sent, headers } of receiver.requests) {
    assert.ok(wanted.has(sent.alert_id));
    assert.equal(ids.get(sent.alert_id) ?? headers["webhook-id"], headers["webhook-id"]);
    ids.set(sent.alert_id, headers["webhook-id"]);
  }
});
