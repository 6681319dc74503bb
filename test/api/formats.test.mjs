// Webhooks of the formats slack and pagerduty, and what nobody may read back.

import assert from "node:assert/strict";
import { test } from "node:test";
import { startReceiver, startServer, until } from "./harness.mjs";

const watch = { name: "Keys <made>", rule_type: "watched_action", severity: "critical", conditions: { action_pattern: "key.*" }, channels: ["webhook"] };
const event = { actor_id: "u7", actor_name: "Ann <!here>", action: "key.made", ip_address: "10.0.0.1", user_agent: "curl/8" };
const routing_key = "R0UT1NGKEY0123456789ABCDEF012345";

async function setUp(t, webhook, options) {
  const receiver = await startReceiver(t, options?.answer);
  const server = await startServer(t, { args: ["--public-url", "https://tocsin.example"] });
  const made = await server.post("/webhooks", { url: receiver.url, ...webhook });
  assert.equal(made.status, 201, made.text);
  assert.equal((await server.post("/rules", watch)).status, 201);
  const ring = async () => (await server.post("/events", event)).body.alerts[0];
  return { receiver, server, webhook: made.body, ring };
}

/** The list once it is so long: a row is written beside the call that it tells of, not before. */
async function listed(server, query, count) {
  const { body } = await server.get(`/deliveries?${query}`);
  return body.data.length === count && body;
}

test("Slack gets a message of blocks, escaped, with a link", async (t) => {
  const { receiver, ring } = await setUp(t, { format: "slack" });
  const alert = await ring();
  const { body } = await receiver.nth(1);
  const texts = JSON.stringify(body.blocks);
  assert.deepEqual(body.blocks.map((block) => block.type), ["header", "section", "section", "context"]);
  assert.equal(body.blocks[0].text.text, "Critical: Keys <made>");
  assert.ok(body.text.startsWith("Critical: "));
  assert.ok(texts.includes("Ann &lt;!here&gt; (u7)") && !texts.includes("<!here>"), texts);
  assert.ok(texts.includes(`<https://tocsin.example/alerts/${alert.id}|`), texts);
});

test("PagerDuty gets an incident, and hears once that the alert was resolved", async (t) => {
  const { receiver, server, webhook, ring } = await setUp(t, { format: "pagerduty", routing_key }, { answer: () => ({ status: 202 }) });
  assert.deepEqual(webhook.events, ["alert.triggered", "alert.resolved"]);
  const alert = await ring();
  const trigger = await receiver.nth(1);
  assert.deepEqual([trigger.body.routing_key, trigger.body.event_action, trigger.body.dedup_key], [routing_key, "trigger", alert.id]);
  assert.deepEqual([trigger.body.payload.severity, trigger.body.payload.summary], ["critical", alert.reason]);
  assert.equal(trigger.body.client_url, `https://tocsin.example/alerts/${alert.id}`);
  for (const status of ["acknowledged", "resolved", "resolved", "false_positive"])
    assert.equal((await server.patch(`/alerts/${alert.id}`, { status })).status, 200);
  const resolve = await receiver.nth(2);
  assert.deepEqual(resolve.body, { routing_key, event_action: "resolve", dedup_key: alert.id });
  await ring();
  assert.equal((await receiver.nth(3)).body.event_action, "trigger");
  const { data } = await until(() => listed(server, `alert_id=${alert.id}`, 2), "both rows");
  assert.deepEqual(data.map((d) => d.event_type).sort(), ["alert.resolved", "alert.triggered"]);
});

test("an alert that was resolved while nobody listened is resolved after it is told of", async (t) => {
  let status = 500;
  const told = [];
  const answer = ({ body }) => {
    told.push({ action: body.event_action, status });
    return { status };
  };
  const { receiver, server, ring } = await setUp(t, { format: "pagerduty", routing_key }, { answer });
  const alert = await ring();
  await receiver.nth(1);
  await server.patch(`/alerts/${alert.id}`, { status: "resolved" });
  await server.restart("SIGKILL");
  status = 202;
  const { data } = await until(() => listed(server, "limit=100", 2), "both rows");
  const triggered = data.find((d) => d.event_type === "alert.triggered");
  await server.post(`/deliveries/${triggered.id}/replay`);
  await until(() => told.some(({ action }) => action === "resolve"), "the resolve");
  // The schedule may send it again beside the replay.
  const resolved = told.findIndex(({ action }) => action === "resolve");
  assert.deepEqual(told.find((one) => one.status === 202), { action: "trigger", status: 202 });
  assert.ok(told.slice(0, resolved).every(({ action }) => action === "trigger"));
  assert.equal(told.filter(({ action }) => action === "resolve").length, 1);
});

test("a test call of each format is one that its receiver understands", async (t) => {
  for (const [format, check] of [
    ["slack", (body) => assert.equal(typeof body.text, "string")],
    ["pagerduty", (body) => assert.deepEqual([body.event_action, body.payload.severity, body.routing_key], ["trigger", "info", routing_key])],
  ]) {
    const { receiver, server, webhook } = await setUp(t, { format, ...(format === "pagerduty" && { routing_key }) });
    assert.equal((await server.post(`/webhooks/${webhook.id}/test`)).body.delivered, true);
    check((await receiver.nth(1)).body);
  }
});

test("no list, no error and no log shows a secret", async (t) => {
  const { receiver, server } = await setUp(t, { headers: { Authorization: "Bearer T0PSECRET1" } }, { answer: () => ({ status: 500 }) });
  const path = "/services/T0PSECRET2";
  const secrets = ["T0PSECRET", routing_key];
  const shown = [];
  const see = (answer) => shown.push(answer.text);
  const make = async (webhook) => {
    const { body } = await server.post("/webhooks", webhook);
    secrets.push(body.secret, body.secret.slice(6));
    delete body.secret;
    shown.push(JSON.stringify(body));
    return body;
  };
  const hooks = [
    await make({ url: `${new URL(receiver.url).origin}${path}`, format: "slack" }),
    await make({ url: `http://127.0.0.1:1${path}`, format: "slack" }),
    await make({ url: `http://no-such-host.invalid${path}`, format: "slack" }),
    await make({ url: receiver.url, format: "pagerduty", routing_key, asymmetric: true }),
  ];
  assert.equal(hooks[0].url, `${new URL(receiver.url).origin}/********`);
  await server.post("/events", event);
  await until(async () => (await server.get("/deliveries?limit=100")).body.data.filter((d) => d.attempts_made > 0).length === 5, "five attempts");
  for (const { id } of hooks) {
    see(await server.post(`/webhooks/${id}/test`));
    see(await server.get(`/webhooks/${id}`));
    see(await server.patch(`/webhooks/${id}`, { description: "changed" }));
    see(await server.patch(`/webhooks/${id}`, { format: "immutable" }));
    see(await server.patch(`/webhooks/${id}`, { routing_key: "bad key" }));
  }
  see(await server.get("/webhooks"));
  see(await server.get("/deliveries?limit=100"));
  for (const { id } of (await server.get("/deliveries?limit=100")).body.data) see(await server.get(`/deliveries/${id}`));
  see(await server.get("//metrics"));
  see(await server.get("/settings"));
  await server.stop();
  shown.push(server.stdout, server.stderr);
  for (const secret of secrets) assert.ok(shown.every((text) => !text.includes(secret)), secret);
  assert.ok(shown.every((text) => !text.includes("whsk_")));
});

test("what is read and sent back leaves the secrets as they were", async (t) => {
  const { receiver, server, webhook, ring } = await setUp(t, { format: "slack", headers: { "X-Token": "t0k3n" } });
  const { id, url, headers, events, description, min_severity, rule_types, tenant_ids, enabled } = (await server.get(`/webhooks/${webhook.id}`)).body;
  assert.deepEqual(headers, { "X-Token": "********" });
  const answer = await server.patch(`/webhooks/${id}`, { url, headers, events, description, min_severity, rule_types, tenant_ids, enabled });
  assert.equal(answer.status, 200, answer.text);
  await ring();
  const request = await receiver.nth(1);
  assert.deepEqual([request.url, request.headers["x-token"]], ["/hook", "t0k3n"]);
});

test("what was given up is sent again, of one webhook and since a time", async (t) => {
  let status = 410;
  const { receiver, server, webhook, ring } = await setUp(t, {}, { answer: () => ({ status }) });
  const old = await ring();
  const off = await until(async () => {
    const { body } = await server.get(`/webhooks/${webhook.id}`);
    return !body.enabled && body;
  }, "the webhook to be switched off");
  assert.equal(off.disabled_reason, "its receiver answered 410 Gone");
  await until(async () => (await server.get("/deliveries?status=dead")).body.data.length === 1, "the dead delivery");
  const route = `/webhooks/${webhook.id}/replay`;
  assert.equal((await server.post(route, { since: old.triggered_at })).status, 409);
  const on = (await server.patch(`/webhooks/${webhook.id}`, { enabled: true })).body;
  assert.deepEqual([on.disabled_reason, on.failing_since], [null, null]);
  status = 200;
  assert.equal((await server.post(route, {})).status, 422);
  assert.equal((await server.post(route, { since: "yesterday" })).status, 422);
  assert.equal((await server.post("/webhooks/whk_none/replay", { since: old.triggered_at })).status, 404);
  assert.deepEqual((await server.post(route, { since: new Date(Date.now() + 60_000).toISOString() })).body, { replayed: 0 });
  assert.deepEqual((await server.post(route, { since: old.triggered_at })).body, { replayed: 1 });
  const again = await receiver.nth(2);
  assert.equal(again.headers["webhook-id"], receiver.requests[0].headers["webhook-id"]);
  await until(async () => (await server.get("/deliveries?status=delivered")).body.data.length === 1, "the delivery");
  assert.deepEqual((await server.post(route, { since: old.triggered_at })).body, { replayed: 0 });
});

test("a receiver that fails bears a mark in the list until it answers", async (t) => {
  let status = 500;
  const { receiver, server, webhook, ring } = await setUp(t, {}, { answer: () => ({ status }) });
  await ring();
  await receiver.nth(1);
  const marked = () => server.get("/webhooks").then(({ body }) => body.data[0].failing_since);
  const since = await until(marked, "the mark");
  assert.ok(Math.abs(Date.parse(since) - Date.now()) < 60_000);
  assert.equal((await server.post(`/webhooks/${webhook.id}/test`)).body.status, 500);
  status = 200;
  const { data } = await until(() => listed(server, "limit=100", 1), "the row");
  await server.post(`/deliveries/${data[0].id}/replay`);
  await until(async () => (await marked()) === null, "the mark to go");
});
