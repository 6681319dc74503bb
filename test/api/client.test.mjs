// The client and the server hold to one contract: every call of the client against the real server,
// and what somebody else may have chosen is stored all the same.
import assert from "node:assert/strict";
import test from "node:test";
import * as sdk from "../../sdk/js/dist/index.js";
import { startReceiver, startServer, until } from "./harness.mjs";

async function start(t, config = {}) {
  const server = await startServer(t);
  const client = new sdk.TocsinClient({ apiKey: server.apiKey, baseUrl: server.url, ...config });
  return { server, client };
}

const watch = {
  name: "Deletions",
  rule_type: "watched_action",
  conditions: { action_pattern: "*.deleted" },
  channels: ["webhook"],
};

async function active(client, rule) {
  await until(async () => (await client.rules.get(rule.id)).status === "active", "an active rule");
  return rule;
}

test("rules are made, read, changed, replaced, tried and deleted", async (t) => {
  const { client } = await start(t);
  const rule = await active(client, await client.rules.create(watch));
  assert.match(rule.id, /^rul_/);
  assert.deepEqual(
    (await client.rules.list()).data.map((one) => one.id),
    [rule.id],
  );
  assert.equal((await client.rules.update(rule.id, { severity: "high" })).severity, "high");
  const replaced = await client.rules.replace(rule.id, { ...watch, name: "Again" });
  assert.deepEqual([replaced.id, replaced.name], [rule.id, "Again"]);
  await active(client, rule);

  const { id } = await client.track({ actor_id: "u", action: "file.deleted" });
  await client.track({ actor_id: "u", action: "file.read" });
  const { watched_action: known } = Object.fromEntries(
    (await client.rules.types()).data.map((type) => [type.rule_type, type]),
  );
  assert.ok(known);
  const range = { from: "2020-01-01T00:00:00Z", to: new Date(Date.now() + 60_000) };
  for (const what of [{ rule: watch }, { rule_id: rule.id }]) {
    const trial = await client.rules.backtest({ ...what, ...range });
    assert.deepEqual([trial.events_scanned, trial.events_matched, trial.alerts_total], [2, 1, 1]);
    assert.equal(trial.alerts[0].event_id, id);
  }
  await client.rules.delete(rule.id);
  await assert.rejects(client.rules.get(rule.id), sdk.NotFoundError);
});

test("an alert is found, triaged and delivered, and its delivery can be replayed", async (t) => {
  const { client } = await start(t);
  const receiver = await startReceiver(t);
  const webhook = await client.webhooks.create({ url: receiver.url, description: "mine" });
  await active(client, await client.rules.create(watch));
  const event = await client.track({ actor_id: "u", action: "file.deleted" });
  const [{ id }] = event.alerts;

  assert.deepEqual((await client.getAlert(id)).event.id, event.id);
  const changed = await client.updateAlert(id, { status: "acknowledged", note: "on it" });
  assert.deepEqual([changed.status, changed.note], ["acknowledged", "on it"]);
  assert.equal((await client.getAlerts({ status: "open" })).data.length, 0);
  assert.equal((await client.getAlerts({ status: "acknowledged" })).data.length, 1);

  await receiver.nth(1);
  const delivered = async () =>
    (await client.deliveries.list({ webhook_id: webhook.id })).data.find(
      (one) => one.status === "delivered",
    );
  const delivery = await until(delivered, "a delivery to be written down");
  assert.equal((await client.deliveries.get(delivery.id)).webhook_id, webhook.id);
  await client.deliveries.replay(delivery.id);
  const again = await receiver.nth(2);
  assert.equal(again.body.alert_id, id);
});

test("a webhook is read, changed, tested, given a new secret, and deleted", async (t) => {
  const { client } = await start(t);
  const receiver = await startReceiver(t);
  const webhook = await client.webhooks.create({ url: receiver.url });
  assert.match(webhook.secret, /^whsec_/);
  const read = await client.webhooks.get(webhook.id);
  assert.deepEqual([read.url, read.secret, read.enabled], [receiver.url, undefined, true]);
  assert.equal((await client.webhooks.list()).data.length, 1);
  assert.equal((await client.webhooks.update(webhook.id, { enabled: true })).enabled, true);

  await client.webhooks.test(webhook.id);
  const before = await receiver.nth(1);
  const holds = ({ rawBody, headers }, secret) =>
    sdk.verifyWebhookSignature(rawBody, headers, secret);
  assert.ok(holds(before, webhook.secret));

  const { secret } = await client.webhooks.rotateSecret(webhook.id);
  assert.notEqual(secret, webhook.secret);
  await client.webhooks.test(webhook.id);
  const after = await receiver.nth(2);
  assert.ok(holds(after, secret), "the new secret");
  assert.ok(holds(after, webhook.secret), "the old one, for a day");
  assert.ok(!holds(before, secret));

  await client.webhooks.delete(webhook.id);
  await assert.rejects(client.webhooks.get(webhook.id), sdk.NotFoundError);
});

test("keys and settings; a key without the role is an AuthError", async (t) => {
  const { server, client } = await start(t);
  const made = await client.keys.create({ label: "reader", roles: ["read"] });
  const reader = new sdk.TocsinClient({ apiKey: made.key, baseUrl: server.url });
  assert.equal((await reader.getEvents()).pagination.total, 0);
  await assert.rejects(reader.track({ actor_id: "u", action: "a" }), (error) => {
    assert.ok(error instanceof sdk.AuthError);
    assert.deepEqual([error.statusCode, error.code], [403, "forbidden"]);
    assert.ok(error.requestId);
    return true;
  });
  assert.ok((await client.keys.list()).data.some((key) => key.id === made.id));
  await client.keys.delete(made.id);
  await assert.rejects(reader.getEvents(), { statusCode: 401, name: "AuthError" });

  assert.equal((await client.settings.get()).address_from_peer, false);
  assert.equal((await client.settings.update({ address_from_peer: true })).address_from_peer, true);
});

test("what somebody else chose, however long or broken, does not cost the event", async (t) => {
  const { client } = await start(t);
  const long = "ä€😀".repeat(2000);
  const event = await client.track({
    actor_id: long,
    action: "auth.login_failed",
    actor_name: `half \ud800 a pair`,
    user_agent: long,
    ip_address: "unknown",
    idempotency_key: long,
    metadata: { attempted_email: "x".repeat(100_000), nul: "\u0000" },
  });
  assert.equal(event.status, "stored");
  assert.equal(event.actor_name, "half \ufffd a pair");
  assert.deepEqual([event.metadata.ip_address_raw, event.metadata.nul], ["unknown", "\ufffd"]);
  assert.deepEqual(event.metadata._truncated, [
    "actor_id",
    "user_agent",
    "idempotency_key",
    "metadata.attempted_email",
  ]);
  assert.ok(Buffer.byteLength(event.actor_id) <= 256);

  const full = { text: "x".repeat(65_536 - '{"text":""}'.length) };
  const fitting = await client.track({ actor_id: "u", action: "a", metadata: full });
  assert.deepEqual(fitting.metadata, full);
});

test("what the caller got wrong is a ValidationError that names the field", async (t) => {
  const { client } = await start(t);
  await assert.rejects(client.track({ actor_id: "u", action: "a", actorName: "typo" }), (error) => {
    assert.ok(error instanceof sdk.ValidationError);
    assert.deepEqual([error.statusCode, error.code], [422, "validation_failed"]);
    assert.equal(error.violations[0].field, "actorName");
    return true;
  });
  await assert.rejects(client.actor("").track("a"), { statusCode: 422 });
});

test("an answer that was lost is asked for again, and the event is there once", async (t) => {
  let lose = true;
  const seams = {
    delay: async () => {},
    fetch: async (...request) => {
      const response = await fetch(...request);
      if (!lose) return response;
      lose = false;
      await response.text();
      throw new TypeError("the connection broke after the server had answered");
    },
  };
  const { client } = await start(t, { seams });
  const event = await client.actor("u").track("auth.login");
  assert.equal(event.status, "duplicate");
  assert.equal((await client.getEvents({ actor_id: "u" })).pagination.total, 1);
  assert.equal((await client.getEvent(event.id)).data.actor_id, "u");
});

test("a batch is answered item by item, and an iterator finds all of it", async (t) => {
  const { client } = await start(t);
  const events = Array.from({ length: 250 }, (_, i) => ({ actor_id: `u${i}`, action: "a.b" }));
  const { events: items } = await client.trackBatch([...events, { actor_id: "x", action: "" }]);
  assert.equal(items.filter((item) => item.status === "stored").length, 250);
  assert.deepEqual([items[250].status, items[250].error], ["invalid", "validation_failed"]);

  const seen = [];
  for await (const event of client.events({ action: "a.*", order: "asc" }))
    seen.push(event.actor_id);
  assert.deepEqual(
    seen,
    events.map((event) => event.actor_id),
  );
  const { valid, events_checked: checked } = await client.verify();
  assert.deepEqual([valid, checked], [true, 250]);
});
