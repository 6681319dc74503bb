// Members: the people of a workspace, whom mail goes to.

import assert from "node:assert/strict";
import { test } from "node:test";
import { startServer } from "./harness.mjs";

const MEMBER = /^mem_[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

test("a member is added, changed, listed and removed, and survives a restart", async (t) => {
  const server = await startServer(t);
  const made = await server.post("/members", { email: "Ana@Example.com", name: "Ana Mañana", role: "owner" });
  assert.equal(made.status, 201, made.text);
  assert.match(made.body.id, MEMBER);
  const { id, created_at } = made.body;
  const ana = { id, email: "Ana@Example.com", name: "Ana Mañana", role: "owner", created_at, updated_at: created_at };
  assert.deepEqual(made.body, ana);

  const ben = (await server.post("/members", { email: "ben@example.com", role: "viewer" })).body;
  assert.equal(ben.name, null);
  const changed = await server.patch(`/members/${ben.id}`, { role: "admin", name: "Ben" });
  assert.equal(changed.status, 200, changed.text);
  assert.equal(changed.body.role, "admin");
  assert.equal(changed.body.email, "ben@example.com");
  assert.ok(changed.body.updated_at > ben.updated_at);
  assert.equal((await server.patch(`/members/${ben.id}`, { name: null })).body.name, null);

  await server.restart("SIGKILL");
  const { data, pagination } = (await server.get("/members")).body;
  assert.deepEqual(data[0], ana);
  assert.equal(data[1].role, "admin");
  assert.deepEqual(pagination, { has_more: false, next_cursor: null, total: 2, total_is_exact: true });

  assert.deepEqual((await server.delete(`/members/${id}`)).body, { id, deleted: true });
  assert.equal((await server.delete(`/members/${id}`)).status, 404);
  assert.equal((await server.patch(`/members/${id}`, { role: "admin" })).status, 404);
  assert.deepEqual((await server.get("/members")).body.data.map((member) => member.id), [ben.id]);
});

test("an address is a member once, whatever its case", async (t) => {
  const server = await startServer(t);
  const ana = (await server.post("/members", { email: "ana@example.com", role: "owner" })).body;
  const again = await server.post("/members", { email: "ANA@example.COM", role: "viewer" });
  assert.equal(again.status, 409, again.text);
  assert.equal(again.body.error, "conflict");
  assert.ok(again.body.message.includes("ANA@example.COM"), again.text);
  const ben = (await server.post("/members", { email: "ben@example.com", role: "viewer" })).body;
  assert.equal((await server.patch(`/members/${ben.id}`, { email: "Ana@Example.com" })).status, 409);
  assert.equal((await server.patch(`/members/${ana.id}`, { email: "ANA@EXAMPLE.COM" })).status, 200);

  const workspace = (await server.post("/workspaces", { name: "other" })).body;
  const key = workspace.admin_key;
  assert.deepEqual((await server.get("/members", { key })).body.data, []);
  assert.equal((await server.post("/members", { email: "ana@example.com", role: "owner" }, { key })).status, 201);
  assert.equal((await server.delete(`/members/${ben.id}`, { key })).status, 404);
  assert.equal((await server.patch(`/members/${ben.id}`, { role: "owner" }, { key })).status, 404);
});

test("what is wrong with a member is said field by field", async (t) => {
  const server = await startServer(t);
  const good = { email: "ana@example.com", role: "owner" };
  const refused = [
    [{}, ["email", "role"]],
    [{ ...good, email: null }, ["email"]],
    [{ ...good, email: "ana" }, ["email"]],
    [{ ...good, email: "ana@example.com\r\nBcc: eve@example.com" }, ["email"]],
    [{ ...good, email: "Ana <ana@example.com>" }, ["email"]],
    [{ ...good, email: "ana@exämple.com" }, ["email"]],
    [{ ...good, email: `${"a".repeat(65)}@example.com` }, ["email"]],
    [{ ...good, email: ["ana@example.com"] }, ["email"]],
    [{ ...good, name: "" }, ["name"]],
    [{ ...good, name: "x".repeat(257) }, ["name"]],
    [{ ...good, name: 5, role: "root" }, ["name", "role"]],
    [{ ...good, role: null }, ["role"]],
  ];
  for (const [member, fields] of refused) {
    const answer = await server.post("/members", member);
    assert.equal(answer.status, 422, answer.text);
    assert.deepEqual(answer.body.violations.map(({ field }) => field), fields, answer.text);
    for (const { field, message } of answer.body.violations) assert.ok(message.includes(field), message);
  }
  const typo = await server.post("/members", { ...good, roll: "owner" });
  assert.equal(typo.status, 422);
  assert.ok(typo.body.message.includes("roll"), typo.text);

  const { id } = (await server.post("/members", good)).body;
  for (const change of [{ email: null }, { role: null }, { role: "root" }, { name: "" }]) {
    const answer = await server.patch(`/members/${id}`, change);
    assert.equal(answer.status, 422, answer.text);
  }
  assert.equal((await server.get("/members")).body.data.length, 1);
});
