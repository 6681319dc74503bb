import assert from "node:assert/strict";
import test from "node:test";
import { cutText } from "../dist/limits.js";
import { clientOf, startMock } from "./support/mock.mjs";

const bytes = (text) => Buffer.byteLength(text);

async function sent(t, event) {
  const mock = await startMock(t);
  await clientOf(mock).track({ actor_id: "u", action: "a", ...event });
  return mock.requests[0].body;
}

test("a text is cut at the last whole character that fits", () => {
  for (const [text, max, want] of [
    ["abc", 3, "abc"],
    ["abcd", 3, "abc"],
    ["äöü", 4, "äö"],
    ["äöü", 5, "äö"],
    ["a€", 3, "a"],
    ["😀😀", 7, "😀"],
    ["😀", 3, ""],
    ["", 0, ""],
  ]) {
    assert.equal(cutText(text, max), want);
  }
});

test("over-long strings are cut to the server's limits and named", async (t) => {
  const long = "ä".repeat(2000);
  const event = await sent(t, {
    actor_id: long,
    action: long,
    user_agent: long,
    session_id: "x".repeat(1024),
    targets: [{ type: "t" }, { type: "t", name: long }],
    metadata: { kept: 1 },
  });
  assert.deepEqual(
    [event.actor_id, event.action, event.user_agent, event.session_id, event.targets[1].name].map(
      bytes,
    ),
    [256, 256, 1024, 1024, 1024],
  );
  assert.deepEqual(event.metadata, {
    kept: 1,
    _truncated: ["actor_id", "action", "user_agent", "targets[1].name"],
  });
});

test("an over-long idempotency key stays one of its kind", async (t) => {
  const base = "k".repeat(2000);
  const one = await sent(t, { idempotency_key: `${base}1` });
  const two = await sent(t, { idempotency_key: `${base}2` });
  assert.match(one.idempotency_key, /^sha256:[0-9a-f]{64}$/);
  assert.notEqual(one.idempotency_key, two.idempotency_key);
  assert.deepEqual(one.metadata, { _truncated: ["idempotency_key"] });
});

test("addresses go out in one form", async (t) => {
  for (const [told, want] of [
    ["198.51.100.42", "198.51.100.42"],
    [" 198.51.100.42 ", "198.51.100.42"],
    ["198.51.100.42:51234", "198.51.100.42"],
    ["::ffff:198.51.100.42", "198.51.100.42"],
    ["::FFFF:198.51.100.42", "198.51.100.42"],
    ["[2001:db8::1]:443", "2001:db8::1"],
    ["[2001:db8::1]", "2001:db8::1"],
    ["fe80::1%eth0", "fe80::1"],
  ]) {
    const event = await sent(t, { ip_address: told });
    assert.equal(event.ip_address, want);
    assert.equal(event.metadata, undefined);
  }
});

test("an address that is none is kept as text and does not cost the event", async (t) => {
  for (const told of [
    "unknown",
    "198.51.100.256",
    "1.2.3",
    "_hidden",
    "[::1",
    "1.2.3.4, 5.6.7.8",
  ]) {
    const event = await sent(t, { ip_address: told, metadata: { kept: 1 } });
    assert.equal(event.ip_address, undefined);
    assert.deepEqual(event.metadata, { kept: 1, ip_address_raw: told });
  }
});

test("metadata that is too big as a whole has its strings cut, deep ones too", async (t) => {
  const big = "x".repeat(70_000);
  const { metadata } = await sent(t, {
    metadata: { attempted_email: big, n: 1, deep: [{ email: big }], short: "s" },
  });
  assert.equal(bytes(metadata.attempted_email), 1024);
  assert.equal(bytes(metadata.deep[0].email), 1024);
  assert.deepEqual([metadata.n, metadata.short], [1, "s"]);
  assert.deepEqual(metadata._truncated, ["metadata.attempted_email", "metadata.deep[0].email"]);
});

test("metadata that fits is not touched, and one that notes make too big still fits", async (t) => {
  const fits = { text: "x".repeat(60_000) };
  assert.deepEqual((await sent(t, { metadata: fits })).metadata, fits);
  const full = { text: "x".repeat(65_536 - '{"text":""}'.length) };
  assert.deepEqual((await sent(t, { metadata: full })).metadata, full);
  const { metadata } = await sent(t, { metadata: full, ip_address: "unknown" });
  assert.ok(bytes(JSON.stringify(metadata)) <= 65_536);
  assert.equal(metadata.ip_address_raw, "unknown");
});

test("notes take no key beyond the fiftieth", async (t) => {
  const metadata = Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`k${i}`, i]));
  const event = await sent(t, { metadata, actor_name: "x".repeat(2000), ip_address: "unknown" });
  assert.deepEqual(event.metadata, metadata);
});

test("half a surrogate pair, or a NUL, does not spoil the event, in names neither", async (t) => {
  const event = await sent(t, {
    actor_name: "a\ud800b",
    targets: [{ type: "t\u0000" }],
    metadata: { email: "\udc00\u0000", "na\udfffme": [{ deep: "\ud83d" }], fine: "😀 \\u0000" },
  });
  assert.equal(event.actor_name, "a\ufffdb");
  assert.deepEqual(event.targets, [{ type: "t\ufffd" }]);
  assert.deepEqual(event.metadata, {
    email: "\ufffd\ufffd",
    "na\ufffdme": [{ deep: "\ufffd" }],
    fine: "😀 \\u0000",
  });
});
