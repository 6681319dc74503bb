// The property that holds detection together: for any events, batch splits, restarts and a kill, the
// alerts raised live, those of `tocsin replay` over the export, and those of a back-test are the same.

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { test } from "node:test";
import { run, startServer, tempFolder, until } from "./harness.mjs";

/** Random numbers that come again: a failure names its seed. */
function randomFrom(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  return { below: (n) => Math.floor(next() * n), chance: (p) => next() < p, of: (list) => list[Math.floor(next() * list.length)] };
}

const places = [
  "10.1.0.0/16,US,Denver,39.74,-104.99,",
  "10.2.0.0/16,RO,Bucharest,44.43,26.10,",
  "10.3.0.0/16,DE,Berlin,52.52,13.40,office",
  "10.4.0.0/16,AU,Sydney,-33.87,151.21,",
  "10.5.0.0/16,JP,,35.68,139.69,",
  "2001:db8:6::/48,FR,Paris,48.86,2.35,",
].join("\n");
const agents = [
  "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/122.0.0.0 Safari/537.36",
  "Mozilla/5.0 (iPhone; CPU iPhone OS 17_3 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.3 Mobile/15E148 Safari/604.1",
  "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:123.0) Gecko/20100101 Firefox/123.0",
  "curl/8.5.0",
];

/** A rule of every type. */
const rules = [
  { rule_type: "new_country", conditions: { action_pattern: "auth.login" } },
  { rule_type: "new_device", conditions: { action_pattern: "auth.login" } },
  { rule_type: "new_network", conditions: { action_pattern: "auth.login", forget_after_days: 1 } },
  { rule_type: "off_hours", conditions: { action_pattern: "auth.*", timezone: "Asia/Kolkata", start_hour: 22, end_hour: 6, days: ["sun"] } },
  { rule_type: "repeated_action", conditions: { action_pattern: "auth.login_failed", threshold: 3, window_minutes: 90, reset_on: { action_pattern: "auth.login" } } },
  { rule_type: "repeated_action", conditions: { action_pattern: "auth.login_failed", threshold: 3, window_seconds: 14400, group_by: ["ip_address"], distinct: "metadata.attempted_email" } },
  { rule_type: "high_volume_destructive", conditions: { threshold: 4, window_minutes: 120 } },
  { rule_type: "ingestion_spike", conditions: { min_events: 5, multiplier: 1.5, baseline_windows: 3 } },
  { rule_type: "impossible_travel", conditions: { action_pattern: "auth.login" }, cooldown_minutes: 30 },
  { rule_type: "dormant_account", conditions: { action_pattern: "auth.login", days: 1 } },
  { rule_type: "blocklisted_ip", conditions: { action_pattern: "auth.*", networks: ["10.4.7.0/24"], lists: ["bad"] }, cooldown_minutes: 5 },
  { rule_type: "suspicious_user_agent", conditions: { action_pattern: "auth.*", missing: true }, cooldown_minutes: 0 },
  { rule_type: "watched_action", conditions: { action_pattern: "key.*", where: [{ field: "metadata.scope", op: "eq", value: "admin" }] } },
  { rule_type: "session_anomaly", conditions: { action_pattern: "*" } },
  { rule_type: "sequence", conditions: { first: { action_pattern: "auth.login_failed", count: 2 }, then: { action_pattern: "auth.login" }, within_minutes: 120, group_by: ["ip_address"] } },
];

function randomEvent(random, time) {
  const event = {
    actor_id: `user_${random.below(8)}`,
    action: random.of(["auth.login", "auth.login", "auth.login", "auth.login_failed", "auth.login_failed", "doc.deleted", "key.made", "doc.read"]),
    occurred_at: new Date(time - (random.chance(0.1) ? random.below(3600_000) : 0)).toISOString(),
    metadata: { attempted_email: `m${random.below(4)}@example.com`, scope: random.of(["admin", "user"]) },
  };
  if (random.chance(0.05)) event.actor_type = "anonymous";
  if (random.chance(0.9)) event.ip_address = random.chance(0.9) ? `10.${1 + random.below(5)}.${random.of([0, 3, 7])}.${random.below(2)}` : `2001:db8:6::${random.below(4)}`;
  if (random.chance(0.9)) event.user_agent = random.of(agents);
  if (random.chance(0.5)) event.session_id = `s${random.below(6)}`;
  if (random.chance(0.05)) event.idempotency_key = `k${random.below(20)}`;
  return event;
}

async function allPages(server, route) {
  const all = [];
  let cursor = "";
  do {
    const { body } = await server.get(`${route}?order=asc&limit=100${cursor && `&cursor=${cursor}`}`);
    all.push(...body.data);
    cursor = body.pagination.next_cursor ?? "";
  } while (cursor);
  return all;
}

const idsByRule = (alerts) => {
  const map = new Map();
  for (const alert of alerts) map.set(alert.rule_id, [...(map.get(alert.rule_id) ?? []), alert.id]);
  for (const ids of map.values()) ids.sort();
  return map;
};

for (const seed of [1, 2]) {
  test(`live, replayed and back-tested alerts are the same ones (seed ${seed})`, async (t) => {
    const random = randomFrom(seed);
    const folder = await tempFolder(t);
    const [placesFile, listFile] = [path.join(folder, "places.csv"), path.join(folder, "bad.txt")];
    await writeFile(placesFile, `${places}\n`);
    await writeFile(listFile, "10.2.3.0/24\n");
    const server = await startServer(t, { args: ["--places", placesFile, "--ip-list", `bad=${listFile}`, "--segment-bytes", "131072"] });
    const made = [];
    for (const [i, rule] of rules.entries()) {
      const answer = await server.post("/rules", { name: `r${i}`, channels: [], ...rule });
      assert.equal(answer.status, 201, answer.text);
      if (answer.body.status === "learning") // the answer waits two seconds for it, and no longer
        await until(async () => (await server.get(`/rules/${answer.body.id}`)).body.status === "active", "the rule in force");
      made.push(answer.body);
    }
    const combined = await server.post("/rules", { name: "both", rule_type: "combination", channels: [], conditions: { all: [made[0].id, made[8].id], within_minutes: 60 } });
    assert.equal(combined.status, 201, combined.text);
    made.push(combined.body);

    let time = Date.parse("2026-03-20T00:00:00Z");
    for (let sent = 0; sent < 2500; ) {
      const count = 1 + random.below(random.chance(0.2) ? 300 : 20);
      const events = Array.from({ length: count }, () => randomEvent(random, (time += random.below(240_000))));
      const { status, text } = await server.post("/events/batch", { events });
      assert.equal(status, 200, text);
      sent += count;
      if (sent > 2000 && time < Date.parse("2026-04-20T00:00:00Z")) time += 40 * 86400_000; // all went quiet once
      if (random.chance(0.02)) await server.restart(random.of(["SIGTERM", "SIGKILL"]));
    }
    await server.restart("SIGKILL");

    const live = idsByRule(await allPages(server, "/alerts"));
    const events = await allPages(server, "/events");
    for (const rule of made) assert.ok(live.get(rule.id)?.length > 0, `no alert of ${rule.rule_type}: the test is blind there`);

    const rulesFile = path.join(folder, "rules.json");
    const eventsFile = path.join(folder, "events.ndjson");
    await writeFile(rulesFile, (await server.get("/rules")).text);
    await writeFile(eventsFile, events.map((event) => `${JSON.stringify(event)}\n`).join(""));
    const { code, stdout, stderr } = await run(["replay", "--rules", rulesFile, eventsFile]);
    assert.equal(code, 0, stderr);
    const replayed = idsByRule(stdout.trim().split("\n").map((line) => JSON.parse(line)));
    for (const rule of made) assert.deepEqual(replayed.get(rule.id), live.get(rule.id), `replay of ${rule.rule_type}`);

    for (const rule of made) {
      const { body } = await server.post("/rules/backtest", { rule_id: rule.id });
      assert.equal(body.alerts_total, live.get(rule.id).length, `back-test of ${rule.rule_type}`);
      const liveIds = new Set(live.get(rule.id));
      for (const alert of body.alerts) assert.ok(liveIds.has(alert.id), `back-test of ${rule.rule_type}`);
    }
    assert.equal((await server.get("/verify?limit=1000000")).body.data.valid, true);
    assert.doesNotMatch(server.stderr, /differ/);
  });
}

// More than a chunk of lines, whatever a thread takes at once: bytes (64 KiB), lines (256).
test("replay folds in the order of the file, and names each line that it refuses", async (t) => {
  const folder = await tempFolder(t);
  const rulesFile = path.join(folder, "rules.json");
  const threes = { id: "rul_threes", name: "threes", rule_type: "repeated_action", channels: [] };
  const conditions = { action_pattern: "a", threshold: 3, window_minutes: 10080, group_by: ["metadata.all"] };
  await writeFile(rulesFile, JSON.stringify([{ ...threes, conditions }]));
  const random = randomFrom(7);
  const lines = [];
  const refused = [];
  const counted = [];
  const keys = new Set();
  let duplicates = 0;
  let time = Date.parse("2026-03-20T00:00:00Z");
  while (counted.length < 4000) {
    const event = { actor_id: `u${lines.length}`, action: "a", occurred_at: new Date(time++).toISOString(), metadata: { all: 1 } };
    const kind = random.below(25);
    if (kind === 0) lines.push(...Array(random.below(60) * random.below(8)).fill(""));
    if (kind === 1) {
      lines.push(random.of(["{", "[]", '{"actor_id":"u"}', "\r{\r"]));
      refused.push(lines.length);
      continue;
    }
    if (kind === 2) event.metadata.long = "x".repeat(random.below(60_000));
    if (kind === 3) {
      lines.push(`{"more":"${"x".repeat(65_536 + random.below(300_000))}"}`);
      refused.push(lines.length);
      continue;
    }
    if (kind === 4) event.idempotency_key = `k${random.below(30)}`;
    lines.push(JSON.stringify(event) + (kind === 5 ? "\r" : ""));
    if (event.idempotency_key && keys.has(event.idempotency_key)) duplicates++;
    else counted.push(event.actor_id);
    if (event.idempotency_key) keys.add(event.idempotency_key);
  }
  assert.ok(refused.length > 100 && duplicates > 50);
  const eventsFile = path.join(folder, "events.ndjson");
  await writeFile(eventsFile, lines.join("\n")); // nothing closes the last line
  const { code, stdout, stderr } = await run(["replay", "--rules", rulesFile, eventsFile]);
  assert.equal(code, 0, stderr);
  const told = stdout.trim().split("\n").map((line) => JSON.parse(line).actor_id);
  assert.deepEqual(told, counted.filter((_, i) => i % 3 === 2));
  const named = [...stderr.matchAll(/line (\d+): /g)].map((found) => Number(found[1]));
  assert.deepEqual(named, refused.slice(0, 20));
  const counts = [counted.length, refused.length, duplicates].map((count) => `${count} `);
  assert.match(stderr, new RegExp(`${counts[0]}events, ${counts[1]}refused, ${counts[2]}duplicates`));

  // A line that no event can be ends the run, after all that stands before it.
  await writeFile(eventsFile, `${lines.slice(0, 1000).join("\n")}\n${"x".repeat(4_194_305)}\n${lines.at(-1)}\n`);
  const stopped = await run(["replay", "--rules", rulesFile, eventsFile]);
  assert.equal(stopped.code, 1);
  assert.match(stopped.stderr, /line 1001: longer than 4194304 bytes/);
  const before = told.filter((actor) => Number(actor.slice(1)) < 1000);
  assert.deepEqual(stopped.stdout.trim().split("\n").map((line) => JSON.parse(line).actor_id), before);
});
