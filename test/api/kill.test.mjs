// kill -9 while a thousand alerts are delivered, at moments that a seed chooses: each arrives at
// least once, and what arrives twice bears the same webhook-id.

import assert from "node:assert/strict";
import { test } from "node:test";
import { startReceiver, startServer, until } from "./harness.mjs";

const ALERTS = 1000;
const KILLS = 6;
const watch = { name: "Watch", rule_type: "watched_action", conditions: { action_pattern: "key.*" }, channels: ["webhook"] };
const event = (i) => ({ actor_id: `u${i}`, action: "key.made" });

/** mulberry32: the same numbers for the same seed. */
function dice(seed) {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) % below;
  };
}

/** TOCSIN_KILL_SEED=1,2,3 for other moments. */
for (const seed of (process.env.TOCSIN_KILL_SEED ?? "1").split(",").map(Number)) {
  test(`kill -9 at moments of seed ${seed}: none of ${ALERTS} alerts is lost`, async (t) => {
    const roll = dice(seed);
    // Now and then an answer is late, so that requests are under way whenever the end comes.
    const receiver = await startReceiver(t, async () => {
      for (let turns = roll(40) === 0 ? 2000 : 0; turns > 0; turns--) await new Promise(setImmediate);
      return { status: 200 };
    });
    const server = await startServer(t);
    assert.equal((await server.post("/webhooks", { url: receiver.url })).status, 201);
    assert.equal((await server.post("/rules", watch)).status, 201);

    const wanted = new Set();
    const send = async (count) => {
      const events = Array.from({ length: count }, (_, i) => event(wanted.size + i));
      const { body } = await server.post("/events/batch", { events });
      for (const { alerts } of body.events) for (const { id } of alerts) wanted.add(id);
    };
    for (let kill = 0; kill < KILLS; kill++) {
      await send(kill + 1 < KILLS ? Math.floor(ALERTS / KILLS) : ALERTS - wanted.size);
      // At once, before a row is made of any; or after so many more have come.
      const more = roll(4) === 0 ? 0 : 1 + roll(Math.floor(ALERTS / KILLS));
      const arrived = new Set(receiver.requests.map((r) => r.body.alert_id)).size;
      await receiver.nth(receiver.requests.length + Math.min(more, wanted.size - arrived));
      await server.restart("SIGKILL");
    }
    assert.equal(wanted.size, ALERTS);

    const ids = new Map();
    await until(async () => {
      await server.get("//healthz", { key: null });
      return new Set(receiver.requests.map((r) => r.body.alert_id)).size === ALERTS;
    }, "all alerts");
    await until(async () => (await server.get("/deliveries?status=pending")).body.data.length === 0, "all to be written down");
    for (const { body, headers } of receiver.requests) {
      assert.ok(wanted.has(body.alert_id));
      assert.equal(ids.get(body.alert_id) ?? headers["webhook-id"], headers["webhook-id"]);
      ids.set(body.alert_id, headers["webhook-id"]);
    }
    assert.equal(new Set(ids.values()).size, ALERTS);
    t.diagnostic(`${receiver.requests.length - ALERTS} came twice`);
  });
}
