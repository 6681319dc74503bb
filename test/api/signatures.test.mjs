// What is signed, as the libraries that receivers use see it: standardwebhooks and svix from npm, and
// our own client. Before, during and after a rotation; and what must not pass.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import path from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { Webhook as Standard } from "standardwebhooks";
import { Webhook as Svix } from "svix";
import { verifyWebhookSignature } from "../../sdk/js/dist/index.js";
import { startReceiver, startServer } from "./harness.mjs";

const watch = { name: "Watch", rule_type: "watched_action", conditions: { action_pattern: "key.*" }, channels: ["webhook"] };
const event = { actor_id: "u", actor_name: "Jürgen €", action: "key.made" };

/** Whether each of them takes the request as signed with the secret; they must agree. */
function verifies({ rawBody, headers }, secret) {
  const says = [
    [Standard, (it) => it.verify(rawBody.toString(), headers)],
    [Svix, (it) => it.verify(rawBody.toString(), headers)],
    [null, () => assert.ok(verifyWebhookSignature(rawBody, headers, secret, { requireTimestamp: true }))],
  ].map(([Kind, verify]) => {
    try {
      verify(Kind && new Kind(secret));
      return true;
    } catch {
      return false;
    }
  });
  assert.ok(says.every((one) => one === says[0]), `they disagree: ${says}`);
  return says[0];
}

async function setUp(t, webhook = {}) {
  const receiver = await startReceiver(t);
  const server = await startServer(t);
  const { body } = await server.post("/webhooks", { url: receiver.url, ...webhook });
  await server.post("/rules", watch);
  let sent = 0;
  const ring = async () => {
    await server.post("/events", event);
    return receiver.nth(++sent);
  };
  return { server, receiver, webhook: body, ring };
}

const run = promisify(execFile);

/** As if its day were over: the server has no clock that a test could turn. */
async function endRotation(server) {
  await server.stop();
  const text = `import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("UPDATE webhooks SET body = json_set(body, '$.old_secret_until', 1)")
db.commit()`;
  await run("python3", ["-c", text, path.join(server.data, "tocsin.db")]);
  await server.start();
}

test("before, during and after a rotation the libraries verify what is received", async (t) => {
  const { server, webhook, ring } = await setUp(t);
  const first = webhook.secret;
  const before = await ring();
  assert.equal(verifies(before, first), true);

  const { secret: second } = (await server.post(`/webhooks/${webhook.id}/rotate-secret`)).body;
  assert.notEqual(first, second);
  const during = await ring();
  assert.deepEqual([verifies(during, first), verifies(during, second)], [true, true]);
  assert.equal(verifies(before, second), false);

  await endRotation(server);
  const after = await ring();
  assert.deepEqual([verifies(after, first), verifies(after, second)], [false, true]);

  // Of three secrets, two sign.
  const { secret: third } = (await server.post(`/webhooks/${webhook.id}/rotate-secret`)).body;
  const again = await ring();
  assert.deepEqual([first, second, third].map((secret) => verifies(again, secret)), [false, true, true]);
});

test("a changed body, an old time and a wrong secret fail", async (t) => {
  const { webhook, ring } = await setUp(t);
  const { secret } = webhook;
  const request = await ring();
  const { rawBody, headers } = request;
  assert.equal(verifies(request, secret), true);
  for (const at of [0, rawBody.length >> 1, rawBody.length - 2]) {
    const changed = Buffer.from(rawBody);
    changed[at] ^= 1;
    assert.equal(verifies({ headers, rawBody: changed }, secret), false, `byte ${at}`);
  }
  assert.equal(verifies({ headers, rawBody: Buffer.concat([rawBody, Buffer.from(" ")]) }, secret), false);
  const other = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;
  assert.equal(verifies(request, other), false);
  const spoilt = (name, value) => ({ rawBody, headers: { ...headers, [name]: value } });
  assert.equal(verifies(spoilt("webhook-id", "dlv_other"), secret), false);
  const old = String(Number(headers["webhook-timestamp"]) - 3600);
  assert.equal(verifies(spoilt("webhook-timestamp", old), secret), false);
  // One that was signed then, and is sent again now.
  const signature = new Standard(secret).sign(headers["webhook-id"], new Date(Number(old) * 1000), rawBody.toString());
  const replayed = { ...headers, "webhook-timestamp": old, "webhook-signature": signature };
  assert.equal(verifies({ rawBody, headers: replayed }, secret), false);
});

test("an asymmetric webhook signs by a key whose public half anybody may know", async (t) => {
  const { server, webhook, ring } = await setUp(t, { asymmetric: true });
  const holds = ({ rawBody, headers }, key) => verifyWebhookSignature(rawBody, headers, key);
  const { public_key: first, id } = webhook;
  assert.match(first, /^whpk_[A-Za-z0-9+/]{43}=$/);
  assert.equal((await server.get(`/webhooks/${id}`)).body.public_key, first);
  const before = await ring();
  assert.equal(holds(before, first), true);
  assert.equal(verifies(before, webhook.secret), true); // those who know v1 alone lose nothing
  const changed = Buffer.from(before.rawBody);
  changed[1] ^= 1;
  assert.equal(holds({ ...before, rawBody: changed }, first), false);

  const rotated = (await server.post(`/webhooks/${id}/rotate-secret`)).body;
  assert.notEqual(rotated.public_key, first);
  const during = await ring();
  assert.deepEqual([holds(during, first), holds(during, rotated.public_key)], [true, true]);
  assert.equal(verifies(during, rotated.secret), true);
  await endRotation(server);
  const after = await ring();
  assert.deepEqual([holds(after, first), holds(after, rotated.public_key)], [false, true]);

  assert.equal((await server.patch(`/webhooks/${id}`, { asymmetric: false })).body.public_key, null);
  assert.doesNotMatch((await ring()).headers["webhook-signature"], /v1a/);
});
