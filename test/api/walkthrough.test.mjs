// The product's walkthrough of suspicious logins, from its first line to its last, against the real
// server: the client installed under the name `getimmutable`, real HTTP, DB-IP's places, and a
// receiver that checks the HMAC of the raw bytes. First with addresses and times said by the
// caller, so that every rule can be shown; then as an application runs it, where the middleware
// says them.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHmac } from "node:crypto";
import { copyFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import test, { after, before } from "node:test";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import {
  haveGeo,
  startProcess,
  startReceiver,
  startServer,
  tempFolder,
  top,
  until,
} from "./harness.mjs";

const US = "24.5.0.1"; // Comcast, California
const RO = "188.25.0.1"; // RCS & RDS, Bucharest
const BROWSER =
  "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) " +
  "Chrome/122.0.0.0 Safari/537.36";
const JORDAN = "user_5a3c8f";
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/;

const rules = [
  {
    name: "Login from New Country",
    rule_type: "new_country",
    conditions: { action_pattern: "auth.login" },
    channels: ["email", "webhook"],
  },
  {
    name: "Off-Hours Login",
    rule_type: "off_hours",
    conditions: {
      action_pattern: "auth.login",
      timezone: "America/New_York",
      start_hour: 22,
      end_hour: 6,
    },
    channels: ["email", "webhook"],
  },
  {
    name: "Brute Force Detection",
    rule_type: "repeated_action",
    conditions: { action_pattern: "auth.login_failed", threshold: 5, window_minutes: 10 },
    channels: ["email", "webhook"],
  },
];

let folder; // where an application has installed the client
let sdk;

before(async () => {
  assert.ok(haveGeo, "build/geo lacks DB-IP's files: `make setup` fetches them");
  folder = await tempFolder(null, "tocsin-app-");
  // By link or by copy, as this npm does it; offline, since the client has no dependencies.
  const client = `getimmutable@file:${path.join(top, "sdk/js")}`;
  await promisify(execFile)("npm", ["install", "--offline", "--no-audit", "--no-fund", client], {
    cwd: folder,
    env: { ...process.env, npm_config_update_notifier: "false" },
  });
  const installed = createRequire(path.join(folder, "app.mjs")).resolve("getimmutable");
  sdk = await import(pathToFileURL(installed));
});

after(() => folder && rm(folder, { recursive: true, force: true }));

/** Makes the three rules and a webhook for them; they are in force when it returns. */
async function configure(client, receiver) {
  const webhook = await client.webhooks.create({ url: receiver.url });
  for (const rule of rules) {
    const { id } = await client.rules.create(rule);
    const active = async () => (await client.rules.get(id)).status === "active";
    await until(active, `rule ${rule.name} to become active`);
  }
  return webhook;
}

const types = (event) => event.alerts.map((alert) => alert.rule_type);

test("from a login to a signed webhook", async (t) => {
  const server = await startServer(t, { geo: true });
  const receiver = await startReceiver(t);
  const client = new sdk.ImmutableClient({ apiKey: server.apiKey, baseUrl: server.url });
  const webhook = await configure(client, receiver);

  const login = (address, time) =>
    client
      .actor(JORDAN, { name: "Jordan Mitchell", type: "user" })
      .session("sess_7b2d4e6f")
      .ip(address)
      .occurredAt(time)
      .track("auth.login", "account", { login_method: "password", tenant_id: "org_acme_corp" });

  await t.test("a first login is stored with its place, and alerts nobody", async () => {
    const event = await login(US, "2026-03-26T14:32:18.291034Z");
    assert.equal(event.status, "stored");
    assert.match(event.id, /^evt_[0-9a-f-]{36}$/);
    assert.equal(event.actor_id, JORDAN);
    assert.equal(event.actor_name, "Jordan Mitchell");
    assert.equal(event.action, "auth.login");
    assert.equal(event.resource.type, "account");
    assert.equal(event.session_id, "sess_7b2d4e6f");
    assert.equal(event.tenant_id, "org_acme_corp");
    assert.equal(event.ip_address, US);
    assert.equal(event.ip_country, "US");
    assert.ok(event.ip_city);
    assert.equal(event.occurred_at, "2026-03-26T14:32:18.291034Z");
    assert.match(event.created_at, TIME);
    assert.deepEqual(event.alerts, []);
  });

  await t.test("a login from Romania is answered with the alert of a new country", async () => {
    const event = await login(RO, "2026-03-27T14:40:00.000000Z");
    assert.equal(event.ip_country, "RO");
    assert.deepEqual(types(event), ["new_country"]);
    assert.deepEqual(event.alerts[0].context, { previous_countries: ["US"], new_country: "RO" });
    assert.equal(event.alerts[0].event_id, event.id);
    assert.match(event.alerts[0].reason, /Jordan Mitchell/);
  });

  await t.test(
    "a login at 03:17 in New York is out of hours, whatever the clock here says",
    async () => {
      const event = await login(US, "2026-03-27T07:17:41.482910Z");
      assert.deepEqual(types(event), ["off_hours"]);
      const { context } = event.alerts[0];
      assert.equal(context.timezone, "America/New_York");
      assert.match(context.local_time, /^2026-03-27T03:17:41/);
    },
  );

  await t.test(
    "the fifth failed login within ten minutes is brute force, the others are not",
    async () => {
      const raised = [];
      for (let minute = 0; minute < 6; minute++) {
        const event = await client
          .actor("unknown", { name: "Unknown", type: "anonymous" })
          .ip(RO)
          .occurredAt(`2026-03-27T14:0${minute}:00Z`)
          .track("auth.login_failed", "account", { attempted_email: "jordan@acmecorp.com" });
        raised.push(types(event));
      }
      assert.deepEqual(raised, [[], [], [], [], ["repeated_action"], []]);
    },
  );

  await t.test(
    "each alert reaches the receiver, signed over the bytes that were sent",
    async () => {
      const requests = [await receiver.nth(1), await receiver.nth(2), await receiver.nth(3)];
      for (const { method, headers, rawBody, body } of requests) {
        assert.equal(method, "POST");
        assert.match(headers["content-type"], /^application\/json/);
        assert.match(headers["user-agent"], /^Tocsin\//);
        const mac = createHmac("sha256", webhook.secret).update(rawBody).digest("hex");
        assert.equal(headers["x-immutable-signature"], `sha256=${mac}`);

        const holds = (bytes, some = headers) =>
          sdk.verifyWebhookSignature(bytes, some, webhook.secret);
        const { "x-immutable-signature": immutable, ...standard } = headers;
        assert.ok(holds(rawBody));
        assert.ok(holds(rawBody, standard), "the Standard Webhooks headers alone");
        assert.ok(holds(rawBody, { "x-immutable-signature": immutable }), "the other one alone");
        assert.ok(!holds(Buffer.concat([rawBody, Buffer.from(" ")])));
        assert.match(body.alert_id, /^alt_/);
        assert.match(body.triggered_at, TIME);
      }
      const byType = new Map(requests.map(({ body }) => [body.rule_type, body]));
      assert.deepEqual([...byType.keys()].sort(), ["new_country", "off_hours", "repeated_action"]);

      const told = byType.get("new_country");
      assert.equal(told.rule_name, "Login from New Country");
      assert.deepEqual(told.context, { previous_countries: ["US"], new_country: "RO" });
      const { id, ...event } = told.event;
      assert.match(id, /^evt_/);
      assert.equal(event.actor_id, JORDAN);
      assert.equal(event.actor_name, "Jordan Mitchell");
      assert.equal(event.action, "auth.login");
      assert.equal(event.ip_address, RO);
      assert.equal(event.ip_country, "RO");
      assert.ok(event.ip_city);
      assert.equal(event.occurred_at, "2026-03-27T14:40:00.000000Z");
    },
  );

  await t.test("the lists tell the same afterwards, and after a restart", async () => {
    const look = async (from) => {
      const alerts = await from.getAlerts({ rule_type: "new_country", limit: 10 });
      const events = await from.getEvents({ actor_id: JORDAN, limit: 20 });
      const newest = await from.getEvent(events.data[0].id);
      return {
        alerts: alerts.data.map((a) => [
          a.rule_name,
          a.event.actor_name,
          a.event.ip_country,
          a.context,
        ]),
        events: events.data.map((e) => [e.occurred_at, e.action, e.ip_country, e.actor.name]),
        totals: [alerts.pagination.total, events.pagination.total],
        newest: [newest.id, newest.data.id],
        chain: (await from.verify()).data,
      };
    };
    const seen = await look(client);
    assert.deepEqual(seen.alerts, [
      [
        "Login from New Country",
        "Jordan Mitchell",
        "RO",
        { previous_countries: ["US"], new_country: "RO" },
      ],
    ]);
    assert.deepEqual(seen.events, [
      ["2026-03-27T07:17:41.482910Z", "auth.login", "US", "Jordan Mitchell"],
      ["2026-03-27T14:40:00.000000Z", "auth.login", "RO", "Jordan Mitchell"],
      ["2026-03-26T14:32:18.291034Z", "auth.login", "US", "Jordan Mitchell"],
    ]);
    assert.deepEqual(seen.totals, [1, 3]);
    assert.equal(seen.newest[0], seen.newest[1]);
    assert.deepEqual(
      [seen.chain.valid, seen.chain.events_checked, seen.chain.breaks],
      [true, 9, []],
    );

    const stopped = await server.stop();
    assert.equal(stopped.code, 0, server.told());
    assert.ok(stopped.ms < 5000, `stopped after ${stopped.ms} ms`);
    await server.start();
    const again = new sdk.ImmutableClient({ apiKey: server.apiKey, baseUrl: server.url });
    assert.deepEqual(await look(again), seen);
    assert.equal(receiver.requests.length, 3);
  });
});

test("an application with the middleware says no address, and every event has one", async (t) => {
  const env = { TOCSIN_ADMIN_KEY: "imk_sk_a1b2c3d4e5f6g7h8i9j0" };
  const server = await startServer(t, { geo: true, env });
  const receiver = await startReceiver(t);
  await configure(
    new sdk.ImmutableClient({ apiKey: server.apiKey, baseUrl: server.url }),
    receiver,
  );

  const script = path.join(folder, "app.mjs");
  await copyFile(path.join(top, "test/api/fixtures/walkthrough-app.mjs"), script);
  const app = await startProcess(t, process.execPath, [script], { TOCSIN_URL: server.url });
  const ask = async (route, address) => {
    const headers = { "x-forwarded-for": `10.9.8.7, ${address}`, "user-agent": BROWSER };
    const response = await fetch(app.url + route, { method: "POST", headers, body: "{}" });
    const body = await response.json();
    assert.equal(response.status, 200, JSON.stringify(body));
    return body;
  };
  // Off hours are told elsewhere: whether they are now depends on when this runs.
  const unusual = (event) => types(event).filter((type) => type !== "off_hours");

  const home = await ask("/login", US);
  assert.deepEqual([home.ip_address, home.ip_country, home.user_agent], [US, "US", BROWSER]);
  assert.equal(home.device.browser, "Chrome");
  assert.deepEqual(unusual(home), []);

  const away = await ask("/login", RO);
  assert.deepEqual([away.ip_address, away.ip_country], [RO, "RO"]);
  assert.deepEqual(unusual(away), ["new_country"]);

  const failures = [];
  for (let i = 0; i < 5; i++) failures.push(unusual(await ask("/login-failed", RO)));
  assert.deepEqual(failures, [[], [], [], [], ["repeated_action"]]);

  await ask("/alerts", US);
  await ask("/investigate", US);
  const [alert, found, event] = app.stdout.trim().split("\n").slice(1);
  assert.match(alert, /^\S+Z \| Login from New Country \| Jordan Mitchell from RO$/);
  assert.equal(found, "Found 1 suspicious events for user_5a3c8f");
  assert.equal(event, `  ${away.occurred_at} | auth.login | RO (${away.ip_city})`);
});
