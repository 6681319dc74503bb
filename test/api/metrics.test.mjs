// /metrics as Prometheus reads it: the text format, its naming conventions, and the numbers of
// deliveries.

import assert from "node:assert/strict";
import { test } from "node:test";
import { startReceiver, startServer, until } from "./harness.mjs";

const watch = { name: "Watch", rule_type: "watched_action", conditions: { action_pattern: "key.*" }, channels: ["webhook"] };
const event = { actor_id: "u", action: "key.made" };
const label = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"/g;

/** {name: {help, type, samples: [{name, labels, value}]}}; throws at what Prometheus would refuse. */
function parse(text) {
  assert.ok(text.endsWith("\n"), "the last line has an end");
  const families = new Map();
  let family = null;
  for (const line of text.slice(0, -1).split("\n")) {
    const [, kind, name, rest] = /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$/.exec(line) ?? [];
    if (kind === "HELP") {
      assert.ok(!families.has(name), `${name} is there twice`);
      family = { name, help: rest, samples: [] };
      families.set(name, family);
    } else if (kind === "TYPE") {
      assert.equal(name, family.name, "TYPE follows HELP");
      assert.match(rest, /^(counter|gauge|histogram)$/);
      family.type = rest;
    } else {
      const [, sample, labels, value] = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/.exec(line) ?? assert.fail(`no sample: ${line}`);
      const suffix = sample.slice(family.name.length);
      assert.ok(sample.startsWith(family.name), `${line} stands below ${family.name}`);
      assert.ok(suffix === "" || (family.type === "histogram" && ["_bucket", "_sum", "_count"].includes(suffix)), line);
      assert.equal((labels ?? "").replace(label, "").replaceAll(",", ""), "", line);
      const number = value === "+Inf" ? Infinity : Number(value);
      assert.ok(!Number.isNaN(number), line);
      family.samples.push({ name: sample, labels: Object.fromEntries([...(labels ?? "").matchAll(label)].map((m) => [m[1], m[2]])), value: number });
    }
  }
  return families;
}

/** What `promtool check metrics` asks for. */
function lint(families) {
  for (const { name, help, type, samples } of families.values()) {
    assert.match(name, /^tocsin_[a-z0-9_]+$/);
    assert.ok(help.length > 0 && type, name);
    assert.equal(type === "counter", name.endsWith("_total"), `${name}: counters, and no others, end in _total`);
    assert.doesNotMatch(name, /_(?:milliseconds|ms|us|minutes|hours|days|kb|mb|kilobytes|percent)(?:_|$)/, `${name}: base units`);
    assert.doesNotMatch(name, /_(?:counter|gauge|histogram)(?:_|$)/, name);
    assert.doesNotMatch(name, /_(?:count|sum|bucket)$/, `${name} is what a histogram's parts are called`);
    assert.ok(samples.length > 0 || name === "tocsin_geo_file_age_seconds", `${name} has no sample`);
    assert.equal(new Set(samples.map((s) => s.name + JSON.stringify(s.labels))).size, samples.length, `${name}: a sample twice`);
    if (type !== "histogram") continue;
    const buckets = samples.filter((s) => s.name === `${name}_bucket`);
    const bounds = buckets.map((s) => (s.labels.le === "+Inf" ? Infinity : Number(s.labels.le)));
    assert.deepEqual(bounds, [...bounds].sort((a, b) => a - b), name);
    assert.equal(bounds.at(-1), Infinity);
    assert.ok(buckets.every((s, i) => i === 0 || s.value >= buckets[i - 1].value), `${name} is cumulative`);
    assert.equal(samples.find((s) => s.name === `${name}_count`).value, buckets.at(-1).value);
    assert.ok(name.endsWith("_seconds") && samples.some((s) => s.name === `${name}_sum`), name);
  }
}

test("everything in /metrics is named and written as Prometheus wants it", async (t) => {
  const server = await startServer(t);
  await server.post("/events", event);
  const answer = await server.get("//metrics");
  assert.match(answer.headers.get("content-type"), /^text\/plain; version=0\.0\.4/);
  lint(parse(answer.text));
});

test("the numbers of deliveries are what came to pass", async (t) => {
  const good = await startReceiver(t);
  const bad = await startReceiver(t, () => ({ status: 500 }));
  const gone = await startReceiver(t, () => ({ status: 410 }));
  const hanging = await startReceiver(t, () => new Promise(() => {}));
  const server = await startServer(t);
  for (const url of [good.url, bad.url, gone.url, hanging.url, "http://127.0.0.1:1/nobody"])
    assert.equal((await server.post("/webhooks", { url })).status, 201);
  assert.equal((await server.post("/rules", watch)).status, 201);
  const read = async () => {
    const families = parse((await server.get("//metrics")).text);
    lint(families);
    const value = (name, labels = {}, suffix = "") =>
      families.get(`tocsin_${name}`).samples.find((s) => s.name === `tocsin_${name}${suffix}` && Object.entries(labels).every(([key, is]) => s.labels[key] === is)).value;
    return value;
  };
  await server.post("/events", event);
  await hanging.nth(1);
  const value = await until(async () => {
    const now = await read();
    const outcome = (is) => now("webhook_attempts_total", { outcome: is });
    return outcome("delivered") === 1 && outcome("failed") === 2 && outcome("unanswered") === 1 && now("webhook_oldest_waiting_seconds") > 0 && now("webhooks_failing") === 2 && now;
  }, "the attempts to be counted");
  assert.equal(value("webhook_in_flight"), 1);
  assert.equal(value("webhook_deliveries_waiting"), 3); // the bad, the hanging, the one nobody hears
  assert.equal(value("webhook_deliveries_dead_total"), 1);
  assert.equal(value("webhooks_disabled_total"), 1);
  assert.equal(value("webhook_latency_seconds", {}, "_count"), 1);
  assert.ok(value("webhook_latency_seconds", {}, "_sum") > 0);
  assert.equal(value("webhook_request_duration_seconds", {}, "_count"), 4);
  assert.ok(value("webhook_oldest_waiting_seconds") < 60);
});
