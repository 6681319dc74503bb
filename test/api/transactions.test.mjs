// Webhooks that are asked before an event is stored: who has to agree, what is then true of either
// outcome, and what a crash leaves.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import net from "node:net";
import { once } from "node:events";
import { test } from "node:test";
import { startReceiver, startServer, until, within } from "./harness.mjs";

const secret = "a secret that both sides know";
const watch = { name: "Any login", rule_type: "watched_action", conditions: { action_pattern: "auth.login" }, channels: ["webhook"] };
const country = { name: "Country", rule_type: "new_country", conditions: { action_pattern: "auth.login" }, channels: ["webhook"] };
const types = ["alert.triggered", "user.login.suspicious", "user.login.new-device", "user.login.success", "user.login.failed"];
const settings = ["None", "Any", "SimpleMajority", "SuperMajority", "AbsoluteMajority"];

const login = (more = {}) => ({ actor_id: "ana", action: "auth.login", ip_address: "203.0.113.7", ...more });

/** A receiver whose status can be changed, and a webhook that calls it. */
async function hear(t, server, { events = ["user.login.success"], format = "fusionauth", answer, ...more } = {}) {
  const receiver = await startReceiver(t, answer ?? (() => ({ status: receiver.status ?? 200 })));
  const made = await server.post("/webhooks", { url: receiver.url, format, events, secret, ...more });
  assert.equal(made.status, 201, made.text);
  receiver.webhook = made.body;
  return receiver;
}

async function set(server, transactions) {
  const answer = await server.patch("/settings", { transactions });
  assert.equal(answer.status, 200, answer.text);
  return answer.body.transactions;
}

const count = async (server, route) => (await server.get(route)).body.pagination.total;
const rows = async (server) => (await server.get("/deliveries?limit=100")).body.data;
/** The one row of a webhook once it is there, with its attempts. */
const row = (server, receiver, ready = () => true) =>
  until(async () => {
    const found = (await rows(server)).filter((each) => each.webhook_id === receiver.webhook.id);
    assert.ok(found.length <= 1, JSON.stringify(found));
    if (found.length === 0) return null;
    const { body } = await server.get(`/deliveries/${found[0].id}`);
    return body.attempts.length > 0 && ready(body) && body;
  }, `a delivery of ${receiver.webhook.id}`);

test("the setting: every type, None where nobody said otherwise; what is not sent stays", async (t) => {
  const server = await startServer(t);
  const none = Object.fromEntries(types.map((type) => [type, "None"]));
  assert.deepEqual((await server.get("/settings")).body.transactions, none);
  assert.deepEqual(await set(server, { "user.login.success": "Any" }), { ...none, "user.login.success": "Any" });
  assert.deepEqual(await set(server, { "user.login.failed": "SuperMajority" }), { ...none, "user.login.success": "Any", "user.login.failed": "SuperMajority" });
  assert.deepEqual(await set(server, { "user.login.success": "None" }), { ...none, "user.login.failed": "SuperMajority" });
  for (const bad of [[], "Any", null, { "user.login": "Any" }, { "user.login.success": "All" }, { "user.login.success": true }, { "alert.resolved": "Any" }])
    assert.equal((await server.patch("/settings", { transactions: bad })).status, 422, JSON.stringify(bad));
  await server.restart();
  assert.deepEqual((await server.get("/settings")).body.transactions, { ...none, "user.login.failed": "SuperMajority" });
});

/** As FusionAuth has them. */
const enough = {
  None: () => true,
  Any: (size, good) => good > 0,
  SimpleMajority: (size, good) => good >= size / 2,
  SuperMajority: (size, good) => good >= (size / 3) * 2,
  AbsoluteMajority: (size, good) => good === size,
};

test("each setting with one to five webhooks, of which none to all answer well", async (t) => {
  const server = await startServer(t);
  const receivers = [];
  let stored = 0;
  for (let size = 1; size <= 5; size++) {
    receivers.push(await hear(t, server));
    for (const setting of settings.slice(1)) {
      await set(server, { "user.login.success": setting });
      for (let good = 0; good <= size; good++) {
        receivers.forEach((receiver, i) => (receiver.status = i < good ? 204 : [500, 302, 404, 429, 503][i]));
        const before = receivers.map((receiver) => receiver.requests.length);
        const answer = await server.post("/events", login());
        const passes = enough[setting](size, good);
        assert.equal(answer.status, passes ? 201 : 504, `${setting}, ${good} of ${size}: ${answer.text}`);
        stored += passes;
        receivers.forEach((receiver, i) => assert.equal(receiver.requests.length, before[i] + 1, "called once, at once"));
        if (passes) continue;
        assert.equal(answer.body.error, "webhook_transaction_failed");
        assert.deepEqual(
          answer.body.webhooks.map((said) => [said.webhook_id, said.delivered, said.status]).sort(),
          receivers.map((r) => [r.webhook.id, r.status === 204, r.status]).sort(),
        );
      }
    }
  }
  assert.equal(await count(server, "/events"), stored);
});

/** What a receiver may do instead of answering. */
const troubles = {
  "answers 500": { answer: () => ({ status: 500, body: "no" }), said: { status: 500, answer: "no", delivered: false } },
  "closes": { raw: (socket) => socket.destroy(), said: { status: null, delivered: false } },
  "is not there": { gone: true, said: { status: null, delivered: false } },
  "never answers": { answer: () => new Promise(() => {}), said: { status: null, delivered: false } },
  "hangs after the headers": {
    raw: (socket) => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"),
    said: { status: 200, delivered: true },
  },
  "hangs within the headers": { raw: (socket) => socket.write("HTTP/1.1 200 OK\r\nContent-Le"), said: { status: null, delivered: false } },
  "is slow": { answer: () => new Promise((resolve) => setTimeout(resolve, 100, { status: 200 })), said: { status: 200, delivered: true } },
};

/** The URL of a receiver with this trouble. */
async function trouble(t, name) {
  const { raw, gone, answer } = troubles[name];
  if (!raw && !gone) return (await startReceiver(t, answer)).url;
  const listener = net.createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => raw(socket));
  });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  const url = `http://127.0.0.1:${listener.address().port}/`;
  if (gone) listener.close();
  else t.after(() => listener.close());
  return url;
}

for (const name of Object.keys(troubles)) {
  test(`a receiver that ${name}: what is said of it, alone and beside up to four good ones, in each setting`, async (t) => {
    const server = await startServer(t);
    const { said: expected } = troubles[name];
    const [bad, good] = [await trouble(t, name), (await startReceiver(t)).url];
    // A workspace for each setting, so that they wait for a bad receiver side by side.
    const tries = settings.slice(1).map(async (setting) => {
      const made = await server.post("/workspaces", { name: setting });
      const options = { key: made.body.admin_key };
      await server.deleteRules(options);
      const patched = await server.patch("/settings", { transactions: { "user.login.success": setting } }, options);
      assert.equal(patched.status, 200, patched.text);
      let suspect;
      for (let size = 1; size <= 5; size++) {
        const webhook = { url: size === 1 ? bad : good, format: "fusionauth", events: ["user.login.success"], secret, timeout_ms: 700 };
        const added = await server.post("/webhooks", webhook, options);
        assert.equal(added.status, 201, added.text);
        suspect ??= added.body.id;
        const answer = await server.post("/events", login(), options);
        const passes = enough[setting](size, size - 1 + (expected.delivered ? 1 : 0));
        assert.equal(answer.status, passes ? 201 : 504, `${setting} of ${size}: ${answer.text}`);
        if (passes) continue;
        const found = answer.body.webhooks.find((each) => each.webhook_id === suspect);
        for (const [key, value] of Object.entries(expected)) assert.equal(found[key], value, `${key}: ${answer.text}`);
        if (expected.status === null) assert.ok(found.error, answer.text);
      }
    });
    await Promise.all(tries);
  });
}

test("a transaction that failed has changed nothing, and its key is free", async (t) => {
  const server = await startServer(t);
  assert.equal((await server.post("/rules", watch)).status, 201);
  const often = { name: "Often", rule_type: "repeated_action", conditions: { action_pattern: "auth.login", threshold: 3, window_minutes: 60 }, channels: ["webhook"] };
  assert.equal((await server.post("/rules", often)).status, 201);
  const receiver = await hear(t, server, { events: ["user.login.suspicious"] });
  await set(server, { "user.login.suspicious": "Any" });
  receiver.status = 500;
  for (let i = 0; i < 5; i++) {
    const answer = await server.post("/events", login({ idempotency_key: "k" }));
    assert.equal(answer.status, 504, answer.text);
    const { event } = (await receiver.nth(i + 1)).body;
    // Five times the first: a state that was kept would make the third one three.
    assert.deepEqual(event.info.data.tocsin.alerts.map((alert) => alert.rule_type), ["watched_action"]);
  }
  assert.equal(await count(server, "/events"), 0);
  assert.equal(await count(server, "/alerts"), 0);
  assert.deepEqual(await rows(server), []);
  receiver.status = 200;
  assert.equal((await server.post("/events", login({ idempotency_key: "k" }))).status, 201);
  assert.equal((await server.post("/events", login({ idempotency_key: "k" }))).status, 200);
  assert.equal(await count(server, "/events"), 1);
  assert.equal(await count(server, "/alerts"), 1);
  assert.equal((await server.get("/verify")).body.data.valid, true);
});

test("who was asked is not told again: its row says delivered, under the id that it was called with", async (t) => {
  const server = await startServer(t);
  assert.equal((await server.post("/rules", watch)).status, 201);
  const login_ = await hear(t, server, { events: ["user.login.success"] });
  const suspicious = await hear(t, server, { events: ["user.login.suspicious"] });
  const alerts = await hear(t, server, { events: ["alert.triggered"], format: "immutable" });
  const plain = await hear(t, server, { events: ["user.login.success"] });
  await set(server, { "user.login.success": "AbsoluteMajority", "user.login.suspicious": "Any", "alert.triggered": "AbsoluteMajority" });
  const answer = await server.post("/events", login());
  assert.equal(answer.status, 201, answer.text);
  for (const receiver of [login_, suspicious, alerts, plain]) {
    const delivery = await row(server, receiver, (body) => body.status === "delivered");
    assert.equal(delivery.id, receiver.requests[0].headers["webhook-id"]);
    assert.equal(delivery.attempts.length, 1);
    assert.equal(delivery.attempts[0].status, 200);
    assert.equal(receiver.requests.length, 1);
  }
  const told = alerts.requests[0].body;
  assert.equal(told.alert_id, answer.body.alerts[0].id);
  assert.equal(told.event.id, answer.body.id);
  assert.equal(told.event.integrity, null, "it was in no chain yet");
  assert.equal((await server.get(`/alerts/${told.alert_id}`)).body.status, "open");
  assert.ok((await server.get(`/alerts/${told.alert_id}`)).body.notified_at);
});

test("who failed although the rest agreed is tried again as usual, with that attempt logged", async (t) => {
  const server = await startServer(t);
  const good = await hear(t, server);
  const bad = await hear(t, server);
  bad.status = 500;
  await set(server, { "user.login.success": "SimpleMajority" });
  assert.equal((await server.post("/events", login())).status, 201);
  const delivery = await row(server, bad);
  assert.equal(delivery.status, "pending");
  assert.equal(delivery.attempts[0].status, 500);
  assert.ok(Date.parse(delivery.next_attempt_at) > Date.now());
  assert.equal((await row(server, good)).status, "delivered");
  bad.status = 200;
  const second = await bad.nth(2);
  assert.equal(second.headers["webhook-id"], bad.requests[0].headers["webhook-id"]);
  assert.deepEqual(second.body.event.id, bad.requests[0].body.event.id);
  assert.equal((await row(server, bad, (body) => body.status === "delivered")).attempts.length, 2);
  assert.equal(good.requests.length, 1);
});

test("410 in a transaction switches its webhook off, whatever becomes of the event", async (t) => {
  const server = await startServer(t);
  const receiver = await hear(t, server);
  receiver.status = 410;
  await set(server, { "user.login.success": "AbsoluteMajority" });
  assert.equal((await server.post("/events", login())).status, 504);
  assert.equal((await server.get(`/webhooks/${receiver.webhook.id}`)).body.enabled, false);
  assert.equal((await server.post("/events", login())).status, 201, "now nobody takes it");
});

test("a type that no webhook takes counts as None, and so does another type's event", async (t) => {
  const server = await startServer(t);
  await set(server, Object.fromEntries(types.map((type) => [type, "AbsoluteMajority"])));
  assert.equal((await server.post("/events", login())).status, 201);
  const receiver = await hear(t, server, { events: ["user.login.failed"] });
  receiver.status = 500;
  assert.equal((await server.post("/events", login())).status, 201);
  assert.equal((await server.post("/events", login({ action: "doc.read" }))).status, 201);
  assert.equal((await server.post("/events", login({ action: "auth.login_failed" }))).status, 504);
  assert.equal(receiver.requests.length, 1);
  // Without a setting it is told afterwards.
  await set(server, { "user.login.failed": "None" });
  assert.equal((await server.post("/events", login({ action: "auth.login_failed" }))).status, 201);
  await receiver.nth(2);
});

test("batches are stored without a transaction, and their webhooks are told afterwards", async (t) => {
  const server = await startServer(t);
  const receiver = await hear(t, server);
  receiver.status = 500;
  await set(server, { "user.login.success": "AbsoluteMajority" });
  const answer = await server.post("/events/batch", { events: [login(), login()] });
  assert.equal(answer.status, 200, answer.text);
  assert.deepEqual(answer.body.events.map((event) => event.status), ["stored", "stored"]);
  await receiver.nth(2);
});

test("FusionAuth's own webhook is answered 504 too, so that it can refuse the login", async (t) => {
  const server = await startServer(t);
  const receiver = await hear(t, server);
  await set(server, { "user.login.success": "Any" });
  const event = { type: "user.login.success", id: "0f2a3e31-d7c9-48dc-841a-b47ca4830772", createInstant: Date.now(), authenticationType: "PASSWORD", user: { id: "u1", email: "u1@example.com" }, info: { ipAddress: "203.0.113.7" } };
  receiver.status = 403;
  assert.equal((await server.post("/intake/fusionauth", { event })).status, 504);
  assert.equal(await count(server, "/events"), 0);
  receiver.status = 200;
  assert.equal((await server.post("/intake/fusionauth", { event })).status, 201, "it comes again, and its id is free");
  assert.equal((await server.post("/intake/fusionauth", { event })).status, 200);
  assert.equal(receiver.requests.length, 2);
  assert.equal(receiver.requests[1].body.event.user.email, "u1@example.com", "what the source sent is told");
});

test("while a transaction holds an idempotency key, another with it gets 409", async (t) => {
  const server = await startServer(t);
  let open;
  const gate = new Promise((resolve) => (open = resolve));
  const receiver = await hear(t, server, { answer: () => gate });
  await set(server, { "user.login.success": "Any" });
  const event = login({ idempotency_key: "k", tenant_id: "acme" });
  const first = server.post("/events", event);
  await receiver.nth(1);
  const second = await server.post("/events", event);
  assert.equal(second.status, 409, second.text);
  assert.equal(second.body.error, "conflict");
  assert.equal(second.headers.get("retry-after"), "1");
  // However it comes.
  assert.equal((await server.post("/events", { ...event, action: "doc.read" })).status, 409);
  const batch = await server.post("/events/batch", { events: [event, login({ action: "doc.read" })] });
  assert.deepEqual(batch.body.events.map((each) => each.error ?? each.status), ["conflict", "stored"]);
  // Another tenant's key is another key, and so is another.
  assert.equal((await server.post("/events", { ...event, tenant_id: "umbrella", action: "doc.read" })).status, 201);
  assert.equal((await server.post("/events", { ...event, idempotency_key: "l", action: "doc.read" })).status, 201);
  open({ status: 200 });
  assert.equal((await first).status, 201);
  assert.equal((await server.post("/events", event)).status, 200);
  assert.equal(receiver.requests.length, 1);
});

test("four seconds in all, whatever a webhook's own time", async (t) => {
  const server = await startServer(t);
  await hear(t, server, { answer: () => new Promise(() => {}), timeout_ms: 30000, connect_timeout_ms: 10000 });
  await set(server, { "user.login.success": "Any" });
  const began = performance.now();
  const answer = await server.post("/events", login());
  const took = performance.now() - began;
  assert.equal(answer.status, 504);
  assert.ok(took > 3000 && took < 4900, `${took} ms`);
});

/** A receiver of many: what came in is counted, and all are answered when told. */
async function crowd(t) {
  const sockets = new Set();
  const listener = net.createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => sockets.add(socket));
  });
  listener.listen({ port: 0, host: "127.0.0.1", backlog: 2000 });
  await once(listener, "listening");
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    listener.close();
  });
  const open = () => {
    for (const socket of sockets) socket.end("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
  };
  return { url: `http://127.0.0.1:${listener.address().port}/`, sockets, open };
}

test("at most 1,000 at once in a workspace; beyond, 503", async (t) => {
  const server = await startServer(t, { args: ["--workers", "2"] });
  const other = (await server.post("/workspaces", { name: "other" })).body.admin_key;
  const receivers = await crowd(t);
  const webhook = { url: receivers.url, format: "fusionauth", events: ["user.login.success"], secret };
  assert.equal((await server.post("/webhooks", webhook)).status, 201);
  await set(server, { "user.login.success": "Any" });
  // The connections are there before the first event, so that a slow machine has its four seconds
  // for the events alone.
  const body = JSON.stringify(login());
  const request = `POST /api/v1/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer ${server.apiKey}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  const clients = await Promise.all(
    Array.from({ length: 1000 }, async () => {
      const socket = net.connect(server.port, "127.0.0.1");
      socket.on("error", () => {});
      await once(socket, "connect");
      return socket;
    }),
  );
  const answers = clients.map(async (socket) => {
    let text = "";
    socket.on("data", (chunk) => (text += chunk));
    await once(socket, "close");
    return Number(/^HTTP\/1.1 (\d+)/.exec(text)?.[1]);
  });
  for (const socket of clients) socket.write(request);
  const began = performance.now();
  await until(() => receivers.sockets.size >= 1000 || performance.now() - began > 3500, "all are asked");
  if (receivers.sockets.size < 1000) {
    receivers.open();
    await Promise.all(answers);
    t.skip(`this machine brought ${receivers.sockets.size} there within their time`);
    return;
  }
  const more = await server.post("/events", login());
  const elsewhere = await server.post("/events", login(), { key: other });
  receivers.open();
  assert.equal(more.status, 503, more.text);
  assert.equal(more.body.error, "overloaded");
  assert.equal(elsewhere.status, 201, "another workspace has a thousand of its own");
  const statuses = await Promise.all(answers);
  assert.deepEqual([...new Set(statuses)], [201]);
  assert.equal((await server.get("/events")).body.pagination.total, 1000);
});

test("two logins of one actor at once: each is tried without the other, and stored after it", async (t) => {
  const server = await startServer(t);
  const once_ = { name: "Twice", rule_type: "repeated_action", conditions: { action_pattern: "auth.login", threshold: 2, window_minutes: 60 }, channels: ["webhook"] };
  assert.equal((await server.post("/rules", once_)).status, 201);
  let open;
  const gate = new Promise((resolve) => (open = resolve));
  const success = await hear(t, server, { answer: () => gate });
  const suspicious = await hear(t, server, { events: ["user.login.suspicious"] });
  await set(server, { "user.login.success": "Any", "user.login.suspicious": "AbsoluteMajority" });
  const both = [server.post("/events", login()), server.post("/events", login())];
  await success.nth(2);
  assert.equal(suspicious.requests.length, 0, "neither was the second when it was tried");
  open({ status: 200 });
  const answers = await Promise.all(both);
  assert.deepEqual(answers.map((answer) => answer.status), [201, 201]);
  assert.deepEqual(answers.map((answer) => answer.body.alerts.length).sort(), [0, 1], "the one stored second");
  // What only the second decision found is delivered as usual.
  const told = await suspicious.nth(1);
  const which = answers.find((answer) => answer.body.alerts.length === 1).body;
  assert.equal(told.body.event.info.data.tocsin.event_id, which.id);
  assert.equal((await row(server, suspicious, (body) => body.status === "delivered")).attempts.length, 1);
});

test("an alert that only the first decision raised was announced, and is not stored", async (t) => {
  const server = await startServer(t);
  assert.equal((await server.post("/rules", country)).status, 201);
  assert.equal((await server.post("/rules", { ...watch, cooldown_minutes: 60 })).status, 201);
  let open;
  const gate = new Promise((resolve) => (open = resolve));
  const suspicious = await hear(t, server, { events: ["user.login.suspicious"], answer: () => gate });
  await set(server, { "user.login.suspicious": "Any" });
  const both = [server.post("/events", login()), server.post("/events", login())];
  await suspicious.nth(2);
  open({ status: 200 });
  const answers = await Promise.all(both);
  assert.deepEqual(answers.map((answer) => answer.status), [201, 201]);
  assert.deepEqual(answers.map((answer) => answer.body.alerts.length).sort(), [0, 1], "the cooldown holds back the second");
  assert.equal(await count(server, "/alerts"), 1);
  await until(async () => (await rows(server)).length === 1, "one delivery");
  assert.equal(suspicious.requests.length, 2);
});

test("a webhook of a tenant is asked about that tenant's events only", async (t) => {
  const server = await startServer(t);
  const acme = await hear(t, server, { tenant_ids: ["acme"] });
  const umbrella = await hear(t, server, { tenant_ids: ["umbrella"] });
  await set(server, { "user.login.success": "AbsoluteMajority" });
  umbrella.status = 500;
  assert.equal((await server.post("/events", login({ tenant_id: "acme" }))).status, 201);
  const refused = await server.post("/events", login({ tenant_id: "umbrella" }));
  assert.equal(refused.status, 504);
  assert.deepEqual(refused.body.webhooks.map((said) => said.webhook_id), [umbrella.webhook.id]);
  assert.equal((await server.post("/events", login())).status, 201, "of no tenant: nobody takes it");
  assert.equal(acme.requests.length, 1);
  assert.equal(umbrella.requests.length, 1);
});

test("the setting is a workspace's own", async (t) => {
  const server = await startServer(t);
  const other = (await server.post("/workspaces", { name: "other" })).body.admin_key;
  await set(server, { "user.login.success": "Any" });
  const receiver = await startReceiver(t, () => ({ status: 500 }));
  assert.equal((await server.post("/webhooks", { url: receiver.url, format: "fusionauth", events: ["user.login.success"], secret }, { key: other })).status, 201);
  assert.equal((await server.post("/events", login(), { key: other })).status, 201);
  assert.equal((await server.post("/events", login())).status, 201);
});

test("metrics count transactions by what they came to", async (t) => {
  const server = await startServer(t);
  const receiver = await hear(t, server);
  await set(server, { "user.login.success": "Any" });
  await server.post("/events", login());
  receiver.status = 500;
  await server.post("/events", login());
  await until(async () => {
    const { text } = await server.get("//metrics");
    return /tocsin_transactions_total\{outcome="passed"\} 1\n/.test(text) && /tocsin_transactions_total\{outcome="failed"\} 1\n/.test(text);
  }, "the counters");
});

test("a client that leaves does not end its transaction", async (t) => {
  const server = await startServer(t);
  let open;
  const gate = new Promise((resolve) => (open = resolve));
  const receiver = await hear(t, server, { answer: () => gate });
  await set(server, { "user.login.success": "Any" });
  const body = JSON.stringify(login());
  const socket = net.connect(server.port, "127.0.0.1");
  socket.write(`POST /api/v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${server.apiKey}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  await receiver.nth(1);
  socket.destroy();
  await once(socket, "close");
  open({ status: 200 });
  await until(async () => (await count(server, "/events")) === 1, "the event");
});

test("an orderly stop answers the transactions that are under way", async (t) => {
  const server = await startServer(t);
  const receiver = await hear(t, server, { answer: () => new Promise((resolve) => setTimeout(resolve, 500, { status: 200 })) });
  await set(server, { "user.login.success": "Any" });
  const post = server.post("/events", login());
  await receiver.nth(1);
  const [answer, end] = await Promise.all([post, server.stop()]);
  assert.equal(answer.status, 201);
  assert.equal(end.code, 0);
  await server.start();
  assert.equal(await count(server, "/events"), 1);
  assert.equal((await row(server, receiver)).status, "delivered");
  assert.equal(receiver.requests.length, 1);
});

// -- crashes ----------------------------------------------------------------------

/** A signal says stop; when each thread does is the kernel's business. */
function stands(pid) {
  return readdirSync(`/proc/${pid}/task`).every((task) => / T /.test(readFileSync(`/proc/${pid}/task/${task}/stat`, "utf8").replace(/^.*\)/, "")));
}

/** The webhook has answered; the server, stopped meanwhile, has not heard of it and never will. */
test("a crash between the webhooks' answers and the commit: nothing is stored, the key is free", async (t) => {
  const server = await startServer(t);
  let answered;
  const done = new Promise((resolve) => (answered = resolve));
  const receiver = await hear(t, server, {
    answer: async (_, n) => {
      if (n > 1) return { status: 200 };
      process.kill(server.pid, "SIGSTOP");
      await until(() => stands(server.pid), "every thread of the server to stand still");
      setImmediate(answered);
      return { status: 200 };
    },
  });
  await set(server, { "user.login.success": "Any" });
  const event = login({ idempotency_key: "k" });
  const post = server.post("/events", event).catch((error) => error);
  await within(done, "the webhook's answer");
  await server.kill();
  assert.ok((await post) instanceof Error, "the client has no answer");
  await server.start();
  assert.equal(await count(server, "/events"), 0);
  assert.deepEqual(await rows(server), []);
  const again = await server.post("/events", event);
  assert.equal(again.status, 201, again.text);
  const [first, second] = receiver.requests;
  assert.notEqual(second.headers["webhook-id"], first.headers["webhook-id"], "another event: its receiver hears of both");
  assert.equal((await row(server, receiver)).status, "delivered");
  assert.equal((await server.get("/verify")).body.data.valid, true);
});

test("a crash right after the answer: the event is there, and who was asked hears of it under the same id or not again", async (t) => {
  const server = await startServer(t);
  const receiver = await hear(t, server);
  await set(server, { "user.login.success": "Any" });
  for (let round = 0; round < 3; round++) {
    const before = receiver.requests.length;
    const answer = await server.post("/events", login({ idempotency_key: `k${round}` }));
    assert.equal(answer.status, 201);
    await server.kill();
    await server.start();
    assert.equal((await server.get(`/events/${answer.body.id}`)).status, 200);
    // What was written down is listed; what was not goes out again, as one of every login.
    const { headers, body } = receiver.requests[before];
    const id = headers["webhook-id"];
    const told = () => receiver.requests.filter((request) => request.body.event.id === body.event.id);
    await until(async () => {
      const listed = (await rows(server)).some((each) => each.id === id && each.status === "delivered");
      return listed || told().length > 1;
    }, "it to be listed, or to come again");
    assert.ok(told().every((request) => request.headers["webhook-id"] === id));
  }
});
