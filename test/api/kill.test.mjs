// kill -9 while things are delivered, at moments that a seed chooses: each arrives at least once, and
// what arrives twice bears the same webhook-id. A thousand alerts; and a stream of logins, of which no
// rows are kept.

import assert from "node:assert/strict";
import { test } from "node:test";
import { startReceiver, startServer, until } from "./harness.mjs";

const watch = { name: "Watch", rule_type: "watched_action", conditions: { action_pattern: "key.*" }, channels: ["webhook"] };
const kinds = [
  { what: "alerts", count: 1000, kills: 6, action: "key.made", webhook: {}, who: (body) => body.event.actor_id },
  { what: "logins", count: 400, kills: 3, action: "auth.login", webhook: { format: "fusionauth", events: ["user.login.success"] }, who: (body) => body.event.user.id },
];

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

async function killWhileDelivering(t, { count, kills, action, webhook, who }, roll) {
  // Now and then an answer is late, so that requests are under way whenever the end comes.
  const receiver = await startReceiver(t, async () => {
    for (let turns = roll(40) === 0 ? 2000 : 0; turns > 0; turns--) await new Promise(setImmediate);
    return { status: 200 };
  });
  const server = await startServer(t);
  assert.equal((await server.post("/webhooks", { url: receiver.url, ...webhook })).status, 201);
  assert.equal((await server.post("/rules", watch)).status, 201);

  const arrived = () => new Set(receiver.requests.map((r) => who(r.body)));
  let sent = 0;
  for (let kill = 0; kill < kills; kill++) {
    const some = kill + 1 < kills ? Math.floor(count / kills) : count - sent;
    const events = Array.from({ length: some }, () => ({ actor_id: `u${sent++}`, action }));
    const { body } = await server.post("/events/batch", { events });
    assert.ok(body.events.every((one) => one.status === "stored"));
    // At once, before a row is made of any; or after so many more have come.
    const more = roll(4) === 0 ? 0 : 1 + roll(some);
    await receiver.nth(receiver.requests.length + Math.min(more, sent - arrived().size));
    await server.restart("SIGKILL");
  }

  await until(async () => {
    await server.get("//healthz", { key: null });
    return arrived().size === count;
  }, "all of them");
  await until(async () => (await server.get("/deliveries?status=pending")).body.data.length === 0, "all to be written down");
  const ids = new Map();
  for (const { body, headers } of receiver.requests) {
    assert.equal(ids.get(who(body)) ?? headers["webhook-id"], headers["webhook-id"]);
    ids.set(who(body), headers["webhook-id"]);
  }
  assert.equal(new Set(ids.values()).size, count);
  t.diagnostic(`${receiver.requests.length - count} came twice`);
}

/** TOCSIN_KILL_SEED=1,2,3 for other moments. */
for (const seed of (process.env.TOCSIN_KILL_SEED ?? "1").split(",").map(Number))
  for (const kind of kinds)
    test(`kill -9 at moments of seed ${seed}: none of ${kind.count} ${kind.what} is lost`, (t) =>
      killWhileDelivering(t, kind, dice(seed)));
