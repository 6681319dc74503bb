// Measures what figures.md sets goals for, and prints it as a table. See README.md.

import { existsSync, openSync, writeFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import path from "node:path";
import { clear, folder, geoOptions, run, Server, startCeiling, startReceiver } from "./programs.mjs";

const EVENTS = Number(process.env.BENCH_EVENTS ?? 1_000_000);
const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 3);
const CONNECTIONS = Number(process.env.BENCH_CONNECTIONS ?? 64);
const SINGLES = 100_000; // requests of a round
const BATCH = 500;

/** Five rules of the kinds that most people switch on; none waits for a certain hour to alert. */
const away = (new Date().getUTCHours() + 12) % 24;
const rules = [
  ["new_country", { action_pattern: "auth.*" }],
  ["impossible_travel", { action_pattern: "auth.*" }],
  ["new_device", { action_pattern: "auth.*" }],
  ["repeated_action", { action_pattern: "auth.login_failed", threshold: 5, window_minutes: 10 }],
  [
    "off_hours",
    { action_pattern: "auth.*", timezone: "Etc/UTC", start_hour: away, end_hour: (away + 1) % 24 },
  ],
].map(([type, conditions]) => ({ name: type, rule_type: type, conditions, channels: [] }));

/** Ten, all of which keep a state for each actor. */
const logins = { action_pattern: "auth.*" };
const tenRules = [
  ...rules.filter((rule) => rule.rule_type !== "repeated_action"),
  ...[
    ["repeated_action", { ...logins, threshold: 50, window_minutes: 10 }],
    ["new_network", logins],
    ["high_volume_destructive", { ...logins, threshold: 50 }],
    ["dormant_account", logins],
    [
      "sequence",
      {
        first: { action_pattern: "auth.login_failed", count: 5 },
        then: { action_pattern: "auth.login" },
        within_minutes: 10,
      },
    ],
    ["session_anomaly", logins],
  ].map(([type, conditions]) => ({ name: type, rule_type: type, conditions, channels: [] })),
];

/** Every type there is. */
const allRules = [
  ...tenRules,
  ...[
    ["ingestion_spike", {}],
    ["blocklisted_ip", { ...logins, networks: ["203.0.113.0/24", "2001:db8::/32"] }],
    ["suspicious_user_agent", logins],
    [
      "watched_action",
      { ...logins, where: [{ field: "metadata.mfa", op: "eq", value: false }] },
    ],
    ["combination", { all: ["rul_new_country", "rul_off_hours"] }],
  ].map(([type, conditions]) => ({ name: type, rule_type: type, conditions, channels: [] })),
].map((rule) => ({ id: `rul_${rule.rule_type}`, ...rule }));

const rows = [];
const tables = []; // that a program printed
const number = (value, digits = 0) =>
  value.toLocaleString("en-US", { maximumFractionDigits: digits, minimumFractionDigits: digits });
const perSecond = (value) => `${number(value)}/s`;
const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];
const percentile = (values, part) =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length * part)];

/** `ratio` is shown as it is told; `met` decides about the mark. */
function row(what, goal, measured, ceiling = "", ratio = "", met = undefined) {
  const mark = met === undefined ? "" : met ? "yes" : "no";
  rows.push([what, goal, measured, ceiling, ratio, mark]);
  console.error(`  ${what}: ${measured}${ratio && `, ${ratio} of ${ceiling}`}`);
}

let seed = 1;
const singles = (server, more = {}) =>
  server.load({ count: SINGLES, connections: CONNECTIONS, seed: seed++, ...more });
const batches = (server, events, more = {}) =>
  server.load({
    count: Math.ceil(events / BATCH),
    batch: BATCH,
    connections: 16,
    seed: seed++,
    ...more,
  });

const plainLog = async (delayUs = 0) => {
  const where = path.join(folder, "plain");
  const args = ["--plain", "--rows", "200000", "--folder", where, "--delay", String(delayUs)];
  const { out } = await run("log", args);
  return Number(/plain synced append\s+(\d+)/.exec(out)[1]);
};

// -- events in ---------------------------------------------------------------------------------

async function measureIngest(server, ceiling, rounds, count, delayUs = 0) {
  const got = { single: [], keyed: [], batch: [], keyedBatch: [] };
  const note = (kind, load, rate, against) =>
    got[kind].push({ rate, p99: load.p99_ms, against, ratio: rate / against });
  for (let round = 0; round < rounds; round++) {
    const top = await singles(ceiling, { count });
    const single = await singles(server, { count });
    note("single", single, single.events_per_s, top.requests_per_s);
    const keyed = await singles(server, { count, distinct: true });
    note("keyed", keyed, keyed.events_per_s, single.events_per_s);
    const plain = await plainLog(delayUs);
    const batch = await batches(server, 2 * count);
    note("batch", batch, batch.events_per_s, plain);
    const keyedBatch = await batches(server, 2 * count, { distinct: true });
    note("keyedBatch", keyedBatch, keyedBatch.events_per_s, plain);
  }
  const summary = (list) => ({
    rate: median(list.map((one) => one.rate)),
    p99: median(list.map((one) => one.p99)),
    against: median(list.map((one) => one.against)),
    ratio: median(list.map((one) => one.ratio)),
  });
  return Object.fromEntries(Object.entries(got).map(([kind, list]) => [kind, summary(list)]));
}

function ingestRows(got, suffix, goals) {
  const show = (what, goal, one, ceiling, met) =>
    row(
      what + suffix,
      goals ? goal : "",
      `${perSecond(one.rate)}, p99 ${number(one.p99, 1)} ms`,
      `${ceiling} ${perSecond(one.against)}`,
      one.ratio.toFixed(2),
      goals ? met : undefined,
    );
  const { single, keyed, batch, keyedBatch } = got;
  show(
    "one event a POST",
    "40,000/s, p99 15 ms; 0.5",
    single,
    "libh2o",
    single.ratio >= 0.5 || (single.rate >= 40_000 && single.p99 <= 15),
  );
  show(
    "… with keys, agents all different",
    "25,000/s",
    keyed,
    "the row above",
    keyed.rate >= 25_000 || keyed.ratio >= 25 / 40,
  );
  show(
    "batches of 500",
    "150,000/s; 0.15",
    batch,
    "plain log",
    batch.rate >= 150_000 || batch.ratio >= 0.15,
  );
  show("… with keys, agents all different", "", keyedBatch, "plain log");
}

/** A server with the five rules, and what libh2o makes of answers of the size that it gives. */
async function withServer(options, use) {
  const server = await new Server().begin(options);
  try {
    await server.setRules(rules);
    const warm = await singles(server, { count: 20_000 });
    const ceiling = await startCeiling(cpus().length, warm.body_bytes);
    try {
      await singles(ceiling, { count: 20_000 });
      return await use(server, ceiling);
    } finally {
      await ceiling.stop("SIGKILL");
    }
  } finally {
    await server.stop();
  }
}

async function ingest() {
  await withServer({ name: "ingest" }, async (server, ceiling) =>
    ingestRows(await measureIngest(server, ceiling, ROUNDS, SINGLES), "", true),
  );
}

/** The same on slower disks, which most are. */
async function slow() {
  for (const ms of [1, 5]) {
    await withServer({ name: `slow-${ms}`, syncDelayUs: ms * 1000 }, async (server, ceiling) => {
      const got = await measureIngest(server, ceiling, 1, ms === 1 ? 60_000 : 20_000, ms * 1000);
      ingestRows(got, `, ${ms} ms a sync`, false);
    });
  }
}

// -- replay --------------------------------------------------------------------------------------

/** Writes `count` events of so many actors, once. */
async function writeEvents(count, actors) {
  const events = path.join(folder, `events-${actors}.ndjson`);
  const args = ["--print", String(count), "--actors", String(actors)];
  if (!existsSync(events)) await run("load", args, { stdout: openSync(events, "w") });
  return events;
}

async function replayOnce(events, ruleList) {
  const written = path.join(folder, "rules.json");
  writeFileSync(written, JSON.stringify({ rules: ruleList }));
  const nowhere = openSync("/dev/null", "w");
  const args = ["replay", "--rules", written, ...geoOptions, events];
  const { err, memory } = await run("tocsin", args, { stdout: nowhere });
  const [, read, seconds] = /(\d+) events, .* in ([\d.]+) s/.exec(err);
  return { rate: Number(read) / Number(seconds), memory };
}

async function replay() {
  const events = await writeEvents(Math.min(EVENTS, 1_000_000), 100_000);
  const five = [];
  const all = [];
  for (let round = 0; round < ROUNDS; round++) {
    five.push((await replayOnce(events, rules)).rate);
    all.push((await replayOnce(events, allRules)).rate);
  }
  const rate = median(five);
  row("replay, five rules, 100,000 actors", "500,000/s", perSecond(rate), "", "", rate >= 500_000);
  row(
    `replay, a rule of each of the ${allRules.length} types`,
    "",
    perSecond(median(all)),
    `five rules ${perSecond(rate)}`,
    (median(all) / rate).toFixed(2),
  );
}

// -- rule types, and many actors -------------------------------------------------------------------

async function detect() {
  for (const actors of [100_000, 1_000_000]) {
    const { out } = await run("detect", [String(2 * actors + 800_000), String(actors)]);
    tables.push(`Processor time of each rule type, ${number(actors)} actors:\n\n${out}`);
  }
}

const SUBJECTS_MAX = 1_000_000; // of a rule, as doc/rules.md says

/** A million actors and ten rules, then more actors than a rule may keep. */
async function actors() {
  const million = await writeEvents(3_000_000, SUBJECTS_MAX);
  const replayed = await replayOnce(million, tenRules);
  row(
    "replay, ten rules, 1,000,000 actors",
    "",
    perSecond(replayed.rate),
    `${number(replayed.memory / 1e6)} MB anonymous at most`,
  );
  const server = await new Server().begin({ name: "actors" });
  try {
    await server.setRules(tenRules);
    const show = async (what) => {
      const subjects = await server.metric("rule_subjects");
      const bytes = await server.metric("rule_state_bytes");
      const dropped = await server.metric("rule_subjects_dropped_total");
      const most = tenRules.length * SUBJECTS_MAX;
      row(
        what,
        `${number(most)} subjects at most`,
        `${number(subjects)} subjects, ${number(dropped)} had to go, ` +
          `${number(bytes / subjects)} bytes each, ${number(server.memory() / 1e6)} MB anonymous`,
        `states ${number(bytes / 1e6)} MB`,
        "",
        subjects <= most,
      );
    };
    await batches(server, 3_000_000, { actors: SUBJECTS_MAX });
    await show("ten rules, 1,000,000 actors");
    await batches(server, 3_000_000, { actors: 1.5 * SUBJECTS_MAX });
    await show("ten rules, 1,500,000 actors");
  } finally {
    await server.stop("SIGKILL"); // an orderly end would write all of it down
  }
}

// -- a webhook -------------------------------------------------------------------------------------

/** Alerts for each event that `ring` of the load makes. */
const bell = {
  name: "rung",
  rule_type: "watched_action",
  conditions: { action_pattern: "bench.rung" },
  channels: ["webhook"],
};
async function webhook() {
  const receiver = await startReceiver();
  const allow = ["--webhook-allow", "127.0.0.0/8"];
  await withServer({ name: "webhook", args: allow }, async (server) => {
    await server.addRules([bell]);
    const events = ["alert.triggered"];
    await server.ask("POST", "/api/v1/webhooks", { url: receiver.url, events });
    const seconds = 10;
    const rate = 5000;
    const ring = 20;
    const load = await singles(server, { count: seconds * rate, rate, ring });
    const wanted = (seconds * rate) / ring;
    const until = performance.now() + 20_000;
    while (receiver.tookMs.length < wanted && performance.now() < until)
      await new Promise((go) => setTimeout(go, 20));
    const p99 = percentile(receiver.tookMs, 0.99);
    const { sum, count } = await server.histogram("log_sync_seconds");
    const sync = (sum / count) * 1000;
    row(
      `POST to webhook, ${number(rate)} events/s, ${number(rate / ring)} webhooks/s`,
      "p99 20 ms",
      `p50 ${number(percentile(receiver.tookMs, 0.5), 1)}, p99 ${number(p99, 1)} ms ` +
        `(${receiver.tookMs.length} of ${wanted} came; POST p99 ${number(load.p99_ms, 1)} ms)`,
      `a sync ${sync.toFixed(2)} ms`,
      "",
      p99 <= 20,
    );
  });
  receiver.stop();
}

// -- a transaction ---------------------------------------------------------------------------------

const LOGINS = ["user.login.success", "user.login.failed"];
const askReceivers = (server, type) =>
  server.ask("PATCH", "/api/v1/settings", {
    transactions: Object.fromEntries(LOGINS.map((name) => [name, type])),
  });

/** The time under which `part` of what was counted between two looks at a histogram lie, in ms. */
function quantile(before, after, part) {
  const wanted = part * (after.count - before.count);
  let low = 0;
  let below = 0;
  for (const [i, [bound, upTo]] of after.upTo.entries()) {
    const count = upTo - before.upTo[i][1];
    if (count >= wanted)
      return 1000 * (low + ((bound - low) * (wanted - below)) / (count - below));
    low = bound;
    below = count;
  }
  return Infinity;
}

/**
 * A receiver alone, a POST without and one with a transaction, in turn, many times for a short
 * while: what the machine does beside it spoils some of the times, and the medians stand.
 */
async function inTurn(server, receiver, load) {
  const got = { receiver: [], plain: [], transaction: [], sync: [] };
  await singles(receiver, load);
  for (let i = 0; i < 5 * ROUNDS; i++) {
    got.receiver.push(await singles(receiver, load));
    await askReceivers(server, "None");
    got.plain.push(await singles(server, load));
    await askReceivers(server, "AbsoluteMajority");
    const before = await server.histogram("log_sync_seconds");
    got.transaction.push(await singles(server, load));
    got.sync.push(quantile(before, await server.histogram("log_sync_seconds"), 0.99));
  }
  const middle = (list) => ({
    p50: median(list.map((one) => one.p50_ms)),
    p99: median(list.map((one) => one.p99_ms)),
    rate: median(list.map((one) => one.events_per_s)),
  });
  return {
    receiver: middle(got.receiver),
    plain: middle(got.plain),
    transaction: middle(got.transaction),
    sync: median(got.sync),
  };
}

/** Every event is asked about; receivers answer at once, and are libh2o themselves. */
async function transaction() {
  const receivers = [];
  for (let i = 0; i < 3; i++) receivers.push(await startCeiling(1, 32));
  const allow = ["--webhook-allow", "127.0.0.0/8"];
  const times = (one) => `p50 ${number(one.p50, 1)}, p99 ${number(one.p99, 1)} ms`;
  await withServer({ name: "transaction", args: allow }, async (server) => {
    const hear = ({ url }) =>
      server.ask("POST", "/api/v1/webhooks", { url, format: "fusionauth", events: LOGINS });
    const show = (what, got, goal) =>
      row(
        what,
        goal ? "p99 3 receivers + a sync" : "",
        `${times(got.transaction)}, ${perSecond(got.transaction.rate)}`,
        `a receiver ${times(got.receiver)}; a sync p99 ${number(got.sync, 1)} ms; ` +
          `without ${times(got.plain)}`,
        "",
        goal ? got.transaction.p99 <= 3 * got.receiver.p99 + got.sync : undefined,
      );
    await hear(receivers[0]);
    const one = { count: 1000, connections: 1 };
    const many = { count: 4000, connections: 16 };
    const ask = (load) => inTurn(server, receivers[0], load);
    show("POST with a transaction of 1 receiver, 1 connection", await ask(one), true);
    show("… 16 connections, 500/s", await ask({ ...many, count: 1000, rate: 500 }), true);
    show("… 16 connections, as fast as it goes", await ask(many), true);
    for (const receiver of receivers.slice(1)) await hear(receiver);
    show("… of 3 receivers, 1 connection", await ask(one), false);
  });
  for (const receiver of receivers) await receiver.stop("SIGKILL");
}

// -- webhooks of which two are ill ------------------------------------------------------------------

const ILL = [() => {}, (response) => response.writeHead(500).end("no")]; // one hangs, one says no
const ALERTS = 10_000;
let servers = 0;

/** How fast a good receiver gets its alerts, `ill` of others beside it. */
async function withReceivers(ill, use) {
  const receivers = [await startReceiver(), ...(await Promise.all(ill.map(startReceiver)))];
  const options = { name: `isolation-${++servers}`, args: ["--webhook-allow", "127.0.0.0/8"] };
  const server = await new Server().begin(options);
  try {
    await server.setRules([bell]);
    for (const { url } of receivers) await server.ask("POST", "/api/v1/webhooks", { url });
    return await use(server, receivers[0]);
  } finally {
    await server.stop("SIGKILL"); // what the ill ones owe is not waited for
    receivers.forEach((receiver) => receiver.stop());
  }
}

async function arrive(receiver, count) {
  const until = performance.now() + 60_000;
  while (receiver.tookMs.length < count && performance.now() < until)
    await new Promise((go) => setTimeout(go, 5));
  if (receiver.tookMs.length < count)
    throw new Error(`isolation: ${receiver.tookMs.length} of ${count} alerts came`);
}

/** All at once: alerts a second, from the first POST to the last arrival. */
async function flood(server, receiver) {
  const began = performance.now();
  for (let sent = 0; sent < ALERTS; sent += BATCH) {
    const now = String(process.hrtime.bigint() / 1000n);
    const event = { actor_id: "u", actor_name: `rung ${now}`, action: "bench.rung" };
    await server.ask("POST", "/api/v1/events/batch", { events: Array(BATCH).fill(event) });
  }
  await arrive(receiver, ALERTS);
  return ALERTS / ((performance.now() - began) / 1000);
}

/** One in five of 5,000 events a second: milliseconds from POST to arrival. */
async function paced(server, receiver) {
  await singles(server, { count: 5 * ALERTS, rate: 5000, ring: 5 });
  await arrive(receiver, ALERTS);
  return receiver.tookMs;
}

async function isolation() {
  const rates = { alone: [], ill: [] };
  for (let round = 0; round < ROUNDS; round++) {
    rates.alone.push(await withReceivers([], flood));
    rates.ill.push(await withReceivers(ILL, flood));
  }
  const rate = median(rates.ill);
  const alone = median(rates.alone);
  row(
    `${number(ALERTS)} alerts at once, one of three receivers hanging, one answering 500`,
    "0.5",
    perSecond(rate),
    `the third alone ${perSecond(alone)}`,
    (rate / alone).toFixed(2),
    rate >= 0.5 * alone,
  );
  const took = {
    alone: await withReceivers([], paced),
    ill: await withReceivers(ILL, paced),
  };
  const show = (list) =>
    `p50 ${number(percentile(list, 0.5), 1)}, p99 ${number(percentile(list, 0.99), 1)} ms`;
  row(
    "… at 1,000 alerts a second, from POST to webhook",
    "p99 20 ms",
    show(took.ill),
    `the third alone ${show(took.alone)}`,
    "",
    percentile(took.ill, 0.99) <= 20,
  );
}

// -- a log that grows --------------------------------------------------------------------------------

const queries = [
  ["last 20 events of an actor", "/api/v1/events?actor_id=user_*&limit=20"],
  ["last 20 alerts of a rule type", "/api/v1/alerts?rule_type=new_country&limit=20"],
];
const ask = async (server) => {
  const took = [];
  for (const [, get] of queries) {
    await server.load({ get, count: 1000, connections: 1, seed: seed++ });
    took.push(await server.load({ get, count: 5000, connections: 1, seed: seed++ }));
  }
  return took;
};

function queryRows(events, early, late) {
  queries.forEach(([what], i) => {
    const growth = late[i].p99_ms / early[i].p99_ms;
    row(
      `${what}, ${number(events)} events`,
      "p99 2 ms; growth 1.5",
      `p50 ${number(late[i].p50_ms, 2)}, p99 ${number(late[i].p99_ms, 2)} ms`,
      `at ${number(events / 10)}: p99 ${number(early[i].p99_ms, 2)} ms`,
      growth.toFixed(2),
      late[i].p99_ms <= 2 && growth <= 1.5,
    );
  });
}

async function diskRow(server) {
  while ((await server.metric("log_seals_waiting")) > 0);
  const sealed = await server.metric("log_sealed_bytes");
  const records = await server.metric("log_sealed_records");
  if (records === 0) return;
  const share = (await server.metric("events_total")) / (await server.metric("log_records_total"));
  const each = sealed / (records * share);
  row("disk per event once sealed", "250 bytes", `${number(each)} bytes`, "", "", each <= 250);
}

async function grow() {
  let server = await new Server().begin({ name: "grow" });
  try {
    await server.setRules(rules);
    const first = await batches(server, EVENTS / 10);
    const early = await ask(server);
    await batches(server, EVENTS * 0.8);
    const last = await batches(server, EVENTS / 10);
    await diskRow(server);
    const memory = server.memory() / 1e6;
    const late = await ask(server);
    await server.stop("SIGKILL");
    server = await new Server().begin({ name: "grow" });
    await server.ask("GET", "/readyz");
    const started = (performance.now() - server.startedAt) / 1000;
    queryRows(EVENTS, early, late);
    row(
      `start after kill -9, ${number(EVENTS)} events`,
      "3 s",
      `${number(started, 1)} s to the first answer`,
      "",
      "",
      started <= 3,
    );
    row(
      `memory, ${number(EVENTS)} events, 100,000 actors`,
      "300 MB",
      `${number(memory)} MB anonymous`,
      "",
      "",
      memory <= 300,
    );
    const kept = last.events_per_s / first.events_per_s;
    row(
      `rate of the last tenth, ${number(EVENTS)} events`,
      "0.9",
      perSecond(last.events_per_s),
      `the first tenth ${perSecond(first.events_per_s)}`,
      kept.toFixed(2),
      kept >= 0.9,
    );
  } finally {
    await server.stop();
  }
}

// -- a user agent --------------------------------------------------------------------------------------

async function device() {
  const { out } = await run("device", []);
  const [, mean] = /test_ua\.yaml\s+\d+\s+([\d.]+)/.exec(out);
  row("one unseen user agent", "30 us", `${mean} us`, "", "", Number(mean) <= 30);
}

// -- all of it --------------------------------------------------------------------------------------------

function print() {
  const head = ["what", "goal", "measured", "ceiling, in the same run", "ratio", "met"];
  const table = [head, head.map(() => ""), ...rows];
  const widths = head.map((_, i) => Math.max(...table.map((line) => line[i].length)));
  for (const [n, line] of table.entries())
    console.log(
      `| ${line.map((cell, i) => cell.padEnd(widths[i], n === 1 ? "-" : " ")).join(" | ")} |`,
    );
}

const parts = { ingest, slow, replay, detect, actors, webhook, isolation, transaction, grow, device };
const wanted = process.argv.slice(2);
const unknown = wanted.find((name) => !(name in parts));
if (unknown) {
  console.error(`bench/run: there is no part ${unknown}; there are ${Object.keys(parts)}`);
  process.exit(2);
}
const load = () => loadavg()[0].toFixed(1);
console.error(`${cpus().length} cores; load before it ${load()}`);
for (const [name, part] of Object.entries(parts)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  console.error(`${name} …`);
  await clear();
  await part();
}
await clear();
console.log(`${cpus().length} cores; ${number(EVENTS)} events in the log that grows\n`);
print();
for (const table of tables) console.log(`\n${table}`);
