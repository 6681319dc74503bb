// The rules that a workspace begins with: whoever is told that it is there can rely on them.

import assert from "node:assert/strict";
import { test } from "node:test";
import { startReceiver, startServer } from "./harness.mjs";

const failure = { actor_id: "u", action: "auth.login_failed" };
const bruteForce = { events: Array.from({ length: 10 }, () => failure) };
const other = { name: "Other", rule_type: "watched_action", conditions: { action_pattern: "none" }, channels: [] };

async function ring(server, options) {
  const answer = await server.post("/events/batch", bruteForce, options);
  assert.equal(answer.status, 200, answer.text);
  const alerts = answer.body.events.flatMap((event) => event.alerts);
  assert.deepEqual(alerts.map((alert) => alert.rule_name), ["Brute force on an account"]);
  return alerts[0];
}

const make = async (server, rule) => assert.equal((await server.post("/rules", rule)).status, 201);

/** Rules that take a while to look through. */
async function startBusy(t) {
  const server = await startServer(t, { starter: true });
  const value = Array.from({ length: 1000 }, (_, i) => `${i}`.padEnd(20));
  const where = [{ field: "actor_id", op: "in", value }];
  for (let i = 0; i < 15; i++) await make(server, { ...other, conditions: { ...other.conditions, where } });
  return server;
}

test("the first events that a new server gets are watched", async (t) => {
  const servers = await Promise.all([1, 2, 3].map(() => startServer(t, { starter: true })));
  for (const server of servers) await ring(server);
});

test("the first events of a new workspace are watched", async (t) => {
  const server = await startBusy(t);
  for (const name of ["second", "third", "fourth"])
    await ring(server, { key: (await server.post("/workspaces", { name })).body.admin_key });
});

test("what the starter rules find once the first webhook is there rings it", async (t) => {
  const receiver = await startReceiver(t);
  const server = await startBusy(t);
  assert.equal((await server.post("/webhooks", { url: receiver.url })).status, 201);
  const alert = await ring(server);
  await make(server, { ...other, conditions: { action_pattern: "rung" }, channels: ["webhook"] });
  const later = (await server.post("/events", { actor_id: "u", action: "rung" })).body.alerts[0]; // the last to come
  await receiver.nth(2);
  assert.deepEqual(receiver.requests.map((request) => request.body.alert_id), [alert.id, later.id]);
});
