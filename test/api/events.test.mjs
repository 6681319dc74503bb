// Events: what is answered is what is stored; batches, duplicates, lists, the chain.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { startServer } from "./harness.mjs";

const whole = {
  actor_id: "user_5a3c8f",
  actor_name: "Jordan Mitchell",
  actor_type: "user",
  action: "auth.login",
  action_category: "auth",
  resource: { type: "account", id: "acc_1", name: "Main" },
  targets: [{ type: "app", id: "a1", name: "App", metadata: { z: 1, a: [true, null, 1.5] } }],
  metadata: { mfa_used: true, "ключ": "значение", nested: { b: 2, a: 1 } },
  session_id: "sess_1",
  tenant_id: "org_acme",
  version: 3,
  occurred_at: "2026-03-27T10:32:18.291034-04:00",
  ip_address: "::ffff:198.51.100.42",
  user_agent: "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/122.0.0.0 Safari/537.36",
};

/** RFC 8785 for what JSON.parse gives: V8 writes numbers and strings as it asks. */
function canonical(value) {
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  const names = Object.keys(value).sort();
  return `{${names.map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`).join(",")}}`;
}

/** The hash of an event as answered, by the published rule alone. */
function eventHash(event) {
  const { integrity, actor, resource_id, resource_name, status, alerts, warnings, risk, data, ...stored } = event;
  for (const name of Object.keys(stored)) if (stored[name] === null) delete stored[name];
  const previous = Buffer.from(integrity.previous_event_hash, "hex");
  return createHash("sha256").update(previous).update(canonical(stored)).digest("hex");
}

test("an event is answered whole, and read back the same", async (t) => {
  const server = await startServer(t);
  const posted = await server.post("/events", whole);
  assert.equal(posted.status, 201, posted.text);
  const { status, alerts, warnings, risk, ...event } = posted.body;
  assert.deepEqual(risk, { score: 0, level: "low" });
  assert.equal(status, "stored");
  assert.deepEqual(alerts, []);
  assert.equal(warnings, undefined);
  assert.match(event.id, /^evt_[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-/);
  assert.equal(event.ip_address, "198.51.100.42");
  assert.equal(event.occurred_at, "2026-03-27T14:32:18.291034Z");
  assert.match(event.created_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
  assert.deepEqual(event.actor, { id: "user_5a3c8f", name: "Jordan Mitchell", type: "user" });
  assert.deepEqual(event.resource, { type: "account", id: "acc_1", name: "Main" });
  assert.deepEqual(event.metadata, whole.metadata);
  assert.deepEqual(event.targets, whole.targets);
  assert.equal(event.device.browser, "Chrome");
  assert.equal(event.version, 3);

  const read = await server.get(`/events/${event.id}`);
  const { data, ...top } = read.body;
  assert.deepEqual(top, event);
  assert.deepEqual(data, event);
  const list = await server.get("/events");
  assert.deepEqual(list.body.data, [event]);
  assert.deepEqual(list.body.pagination, { has_more: false, next_cursor: null, total: 1, total_is_exact: true });
});

test("absent fields are answered as null, and a missing address is warned of", async (t) => {
  const server = await startServer(t);
  const { body } = await server.post("/events", { actor_id: "u", action: "a", metadata: null });
  assert.deepEqual(body.warnings, ["no_ip_address"]);
  for (const name of ["actor_name", "actor_type", "action_category", "tenant_id", "session_id", "idempotency_key", "version", "ip_address", "ip_country", "ip_city", "user_agent", "location", "network", "device", "source", "resource_id", "resource_name", "metadata"])
    assert.equal(body[name], null, name);
  assert.deepEqual(body.targets, []);
});

test("whoever has exported events can check their chain without us", async (t) => {
  const server = await startServer(t);
  for (let i = 0; i < 5; i++) await server.post("/events", { ...whole, metadata: { i, half: i / 2, big: 1e21, small: 1e-7 } });
  const { body } = await server.get("/events?order=asc");
  let previous = null;
  for (const event of body.data) {
    assert.equal(eventHash(event), event.integrity.event_hash);
    if (previous) assert.equal(event.integrity.previous_event_hash, previous);
    previous = event.integrity.event_hash;
  }
  const verdict = (await server.get("/verify")).body.data;
  assert.equal(verdict.valid, true);
  assert.equal(verdict.events_checked, 5);
  assert.deepEqual(verdict.breaks, []);
  assert.equal(verdict.head.event_hash, previous);
});

test("an idempotency key makes one event, whoever asks again and however", async (t) => {
  const server = await startServer(t);
  const event = { ...whole, idempotency_key: "once" };
  const answers = await Promise.all(Array.from({ length: 20 }, () => server.post("/events", event)));
  assert.equal(answers.filter((a) => a.status === 201 && a.body.status === "stored").length, 1);
  assert.equal(answers.filter((a) => a.status === 200 && a.body.status === "duplicate").length, 19);
  assert.equal(new Set(answers.map((a) => a.body.id)).size, 1);
  const again = await server.post("/events/batch", { events: [event, { ...event, tenant_id: "other" }, event] });
  assert.deepEqual(again.body.events.map((e) => e.status), ["duplicate", "stored", "duplicate"]);
  await server.restart();
  const after = await server.post("/events", event);
  assert.equal(after.status, 200);
  assert.equal(after.body.id, answers[0].body.id);
  assert.equal((await server.get("/events")).body.pagination.total, 2);
});

test("in a batch the good are stored though others are not, in the order sent", async (t) => {
  const server = await startServer(t);
  const { status, body } = await server.post("/events/batch", {
    events: [{ actor_id: "u", action: "one" }, { actor_id: "u" }, { actor_id: "u", action: "two", oops: 1 }, { actor_id: "u", action: "three" }],
  });
  assert.equal(status, 200);
  assert.deepEqual(body.events.map((e) => e.status), ["stored", "invalid", "invalid", "stored"]);
  assert.equal(body.events[1].violations[0].field, "events[1].action");
  assert.equal(body.events[2].violations[0].field, "events[2].oops");
  assert.equal(body.events[1].error, "validation_failed");
  const { data } = (await server.get("/events?order=asc")).body;
  assert.deepEqual(data.map((e) => e.action), ["one", "three"]);
  const none = await server.post("/events/batch", { events: [{}, 5] });
  assert.equal(none.status, 422);
  assert.ok(none.body.violations.length >= 2);
  for (const empty of [{ events: [] }, { events: 1 }, {}, { events: [{ actor_id: "u", action: "a" }], more: 1 }])
    assert.equal((await server.post("/events/batch", empty)).status, 422);
});

test("NDJSON takes 10,000 lines and names a line that is no JSON", async (t) => {
  const server = await startServer(t);
  const headers = { "content-type": "application/x-ndjson" };
  const line = (i) => JSON.stringify({ actor_id: `u${i}`, action: "a" });
  const text = Array.from({ length: 10000 }, (_, i) => line(i)).join("\n");
  const full = await server.post("/events/batch", text, { headers });
  assert.equal(full.status, 200);
  assert.equal(full.body.events.length, 10000);
  assert.ok(full.body.events.every((e) => e.status === "stored"));
  assert.equal((await server.post("/events/batch", `${text}\n${line(1)}`, { headers })).status, 422);
  const mixed = await server.post("/events/batch", `${line(1)}\r\n\n{oops\n${line(2)}\n`, { headers });
  assert.deepEqual(mixed.body.events.map((e) => e.status), ["stored", "invalid", "stored"]);
  assert.equal(mixed.body.events[1].error, "malformed_json");
  const { pagination } = (await server.get("/events?limit=1")).body;
  assert.deepEqual([pagination.total, pagination.total_is_exact], [10002, true]);
});

test("1,000 events go in one batch, 1,001 do not", async (t) => {
  const server = await startServer(t);
  const events = Array.from({ length: 1001 }, () => ({ actor_id: "u", action: "a" }));
  assert.equal((await server.post("/events/batch", { events: events.slice(1) })).status, 200);
  assert.equal((await server.post("/events/batch", { events })).status, 422);
});

test("every filter of the list shows just what fits, page by page, both ways", async (t) => {
  const server = await startServer(t);
  const all = [];
  for (let i = 0; i < 60; i++) {
    all.push({
      actor_id: `user_${i % 3}`,
      actor_name: i % 2 ? "Ünal Öz" : "Ann",
      action: ["auth.login", "auth.login_failed", "doc.deleted"][i % 3],
      resource: i % 4 ? "doc" : "account",
      resource_id: `r${i % 5}`,
      tenant_id: `t${i % 2}`,
      session_id: `s${i % 6}`,
      targets: i % 7 ? [] : [{ type: "app", id: `x${i}` }],
      ip_address: i % 2 ? "10.0.0.1" : "2001:db8::1",
      metadata: { note: `Number ${i}` },
    });
  }
  const stored = (await server.post("/events/batch", { events: all })).body.events.map((e) => e.id);
  const expect = {
    "actor_id=user_1": (e) => e.actor_id === "user_1",
    "action=auth.login": (e) => e.action === "auth.login",
    "action=auth.*": (e) => e.action.startsWith("auth."),
    "action=*deleted&tenant_id=t0": (e) => e.action === "doc.deleted" && e.tenant_id === "t0",
    "resource=doc": (e) => e.resource === "doc",
    "resource_id=r2": (e) => e.resource_id === "r2",
    "session_id=s4": (e) => e.session_id === "s4",
    "target_type=app": (e) => e.targets.length > 0,
    "target_id=x14": (e) => e.targets[0]?.id === "x14",
    "ip_address=2001:DB8:0::1": (e) => e.ip_address === "2001:db8::1",
    "search=number+1": (e) => e.metadata.note.includes("Number 1"),
    "search=ÜNAL": (e) => e.actor_name === "Ünal Öz",
    "actor_id=user_1&search=NUMBER%204": (e) => e.actor_id === "user_1" && e.metadata.note.includes("Number 4"),
    "ip_country=RO": () => false,
  };
  for (const [query, fits] of Object.entries(expect)) {
    const want = stored.filter((_, i) => fits(all[i]));
    for (const order of ["asc", "desc"]) {
      const got = [];
      let cursor = "";
      do {
        const { body } = await server.get(`/events?${query}&order=${order}&limit=7${cursor && `&cursor=${cursor}`}`);
        got.push(...body.data.map((e) => e.id));
        cursor = body.pagination.next_cursor ?? "";
        assert.equal(body.pagination.has_more, cursor !== "");
      } while (cursor);
      assert.deepEqual(got, order === "asc" ? want : want.toReversed?.() ?? [...want].reverse(), `${query} ${order}`);
    }
  }
});

test("from and to are inclusive on created_at", async (t) => {
  const server = await startServer(t);
  for (let i = 0; i < 5; i++) await server.post("/events", { actor_id: "u", action: `a${i}` });
  const { data } = (await server.get("/events?order=asc")).body;
  const { body } = await server.get(`/events?from=${data[1].created_at}&to=${data[3].created_at}&order=asc`);
  assert.deepEqual(body.data.map((e) => e.action), ["a1", "a2", "a3"]);
});

test("the tenant may stand in metadata, where the published clients can only send it", async (t) => {
  const server = await startServer(t);
  const { body } = await server.post("/events", { actor_id: "u", action: "a", metadata: { tenant_id: "org_1" } });
  assert.equal(body.tenant_id, "org_1");
  assert.equal((await server.get("/events?tenant_id=org_1")).body.data.length, 1);
});
