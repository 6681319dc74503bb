// What the server refuses, and how: every refusal is JSON, says what was wrong, and changes nothing.

import assert from "node:assert/strict";
import { test } from "node:test";
import { startServer } from "./harness.mjs";

const login = { actor_id: "u1", action: "auth.login" };

/** The refusal has this status and code, and its sentence holds `words`. */
function refused(answer, status, code, words = "") {
  assert.equal(answer.status, status, answer.text);
  assert.equal(answer.body?.error, code, answer.text);
  assert.equal(typeof answer.body.message, "string");
  assert.ok(answer.body.message.includes(words), `${answer.body.message} lacks ${words}`);
  assert.match(answer.headers.get("content-type"), /^application\/json/);
  assert.match(answer.headers.get("x-request-id"), /^req_/);
  assert.equal(answer.headers.get("server"), null);
}

test("refusals", async (t) => {
  const server = await startServer(t);

  await t.test("text that is not JSON is 400", async () => {
    for (const text of ["{", "", "nonsense", '{"actor_id":"u1",}', '{"a":"\xff"}'.slice(0, 5)])
      if (text !== "") refused(await server.post("/events", text), 400, "malformed_json");
    refused(await server.post("/events", Buffer.from([0x7b, 0xff, 0x7d])), 400, "malformed_json");
  });

  await t.test("a wrong field is 422 with its path", async () => {
    const wrong = [
      [{ action: "a" }, "actor_id"],
      [{ actor_id: "u1" }, "action"],
      [{ ...login, actor_id: 5 }, "actor_id"],
      [{ ...login, actr_name: "x" }, "actr_name"],
      [{ ...login, ip_address: "300.1.1.1" }, "ip_address"],
      [{ ...login, occurred_at: "yesterday" }, "occurred_at"],
      [{ ...login, metadata: [1] }, "metadata"],
      [{ ...login, targets: [{ id: "x" }] }, "targets[0].type"],
      [{ ...login, version: 1.5 }, "version"],
    ];
    for (const [event, field] of wrong) {
      const answer = await server.post("/events", event);
      refused(answer, 422, "validation_failed", field);
      assert.equal(answer.body.violations[0].field, field);
    }
  });

  await t.test("a name that occurs twice and a number too large are named", async () => {
    const twice = await server.post("/events", '{"actor_id":"u1","action":"a","metadata":{"x":1,"x":2}}');
    refused(twice, 422, "validation_failed", "metadata.x");
    for (const number of ["9007199254740992", "1e400", "123456789012345678901234567890"]) {
      const body = `{"actor_id":"u1","action":"a","metadata":{"n":${number}}}`;
      refused(await server.post("/events", body), 422, "validation_failed", "metadata.n");
    }
  });

  await t.test("a string is taken at its limit and refused one byte over it", async () => {
    for (const [field, limit] of [["actor_id", 256], ["action", 256], ["actor_name", 1024], ["session_id", 1024]]) {
      const at = await server.post("/events", { ...login, [field]: "x".repeat(limit) });
      assert.equal(at.status, 201, at.text);
      const over = await server.post("/events", { ...login, [field]: "x".repeat(limit + 1) });
      refused(over, 422, "validation_failed", limit.toLocaleString("en"));
    }
  });

  await t.test("a user agent that is too long is cut, not refused", async () => {
    const answer = await server.post("/events", { ...login, user_agent: "é".repeat(600) });
    assert.equal(answer.status, 201);
    assert.equal(Buffer.byteLength(answer.body.user_agent), 1024);
  });

  await t.test("a body over the limit is 413", async () => {
    refused(await server.post("/events", "x".repeat(1024 * 1024 + 1)), 413, "body_too_large");
    refused(await server.post("/events/batch", "x".repeat(16 * 1024 * 1024 + 1)), 413, "body_too_large");
  });

  await t.test("another media type is 415", async () => {
    const headers = { "content-type": "text/plain" };
    refused(await server.post("/events", "{}", { headers }), 415, "unsupported_media_type");
    const lines = { "content-type": "application/x-ndjson" };
    refused(await server.post("/events", "{}", { headers: lines }), 415, "unsupported_media_type");
  });

  await t.test("no key and a key of nobody are 401", async () => {
    for (const key of [null, "", "imk_sk_nobody", server.apiKey.slice(0, -1)])
      refused(await server.get("/events", { key }), 401, "unauthenticated");
  });

  await t.test("an unknown route is 404, a wrong method 405 with Allow", async () => {
    refused(await server.get("/nothing"), 404, "not_found");
    refused(await server.get("//"), 404, "not_found");
    const answer = await server.delete("/events");
    refused(answer, 405, "method_not_allowed");
    assert.deepEqual(answer.headers.get("allow").split(", ").sort(), ["GET", "POST"]);
  });

  await t.test("things that are not there are 404", async () => {
    const id = "00000000-0000-4000-8000-000000000000";
    for (const route of [`/events/evt_${id}`, `/alerts/alt_${id}`, `/rules/rul_${id}`, `/webhooks/whk_${id}`, `/deliveries/dlv_${id}`])
      refused(await server.get(route), 404, "not_found");
    refused(await server.delete(`/keys/key_${id}`), 404, "not_found");
  });

  await t.test("a query parameter that is unknown, doubled or out of range is 422", async () => {
    refused(await server.get("/events?actorid=u1"), 422, "validation_failed", "actorid");
    refused(await server.get("/events?limit=1&limit=2"), 422, "validation_failed", "limit");
    for (const limit of ["0", "101", "x", "-1"])
      refused(await server.get(`/events?limit=${limit}`), 422, "validation_failed", "limit");
    refused(await server.get("/events?order=up"), 422, "validation_failed", "order");
    refused(await server.get("/events?from=monday"), 422, "validation_failed", "from");
    refused(await server.get("/alerts?severity=huge"), 422, "validation_failed", "severity");
    refused(await server.get("/alerts?status=gone"), 422, "validation_failed", "status");
  });

  await t.test("a cursor that no list has given is 400", async () => {
    const made = Buffer.from('{"created_at":"x"}').toString("base64url");
    for (const cursor of ["x", "!!!", made]) refused(await server.get(`/events?cursor=${cursor}`), 400, "invalid_cursor");
  });

  await t.test("bytes that are no HTTP request are 400, and a body too large for any route is JSON", async () => {
    assert.match(await server.raw("nonsense\r\n\r\n"), /^HTTP\/1\.1 400 /);
    const head = `POST /api/v1/events HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\n\r\n`;
    const answer = await server.raw(head);
    assert.match(answer, /^HTTP\/1\.1 413 /);
    assert.match(answer, /"error":"body_too_large"/);
    assert.match(answer, /x-request-id/i);
  });

  await t.test("HEAD answers as GET does, without a body", async () => {
    const response = await fetch(`${server.url}/healthz`, { method: "HEAD" });
    assert.equal(response.status, 200);
    assert.equal(await response.text(), "");
  });
});
