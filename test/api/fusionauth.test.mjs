// FusionAuth in and out: its events as its webhooks send them, and the events that a receiver written
// for it gets from us.

import assert from "node:assert/strict";
import { test } from "node:test";
import { startServer } from "./harness.mjs";

const agent =
  "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/92.0.4515.131 Safari/537.36";
const tenant = "e872a880-b14f-6d62-c312-cb40f22af465";
const userId = "00000000-0000-0001-0000-000000000000";
const application = "10000000-0000-0002-0000-000000000001";
const connector = "e3306678-a53a-4964-9040-1c96f36dda72";

/** The shape of 1.59 and later; what stands in `more` is laid over it. */
function success(more = {}) {
  return {
    applicationId: application,
    authenticationType: "PASSWORD",
    connectorId: connector,
    createInstant: 1505762615056,
    id: "e502168a-b469-45d9-a079-fd45f83e0406",
    info: {
      deviceName: "macOS Chrome",
      deviceType: "BROWSER",
      ipAddress: "42.42.42.42",
      location: { city: "Denver", country: "US", displayString: "Denver, CO, US", latitude: 39.77777, longitude: -104.9191, region: "CO", zipcode: "80202" },
      userAgent: agent,
    },
    ipAddress: "42.42.42.42",
    linkedObjectId: userId,
    tenantId: tenant,
    type: "user.login.success",
    user: {
      active: true,
      connectorId: connector,
      data: {},
      email: "example@fusionauth.io",
      id: userId,
      identities: [{ displayValue: "example@fusionauth.io", insertInstant: 1446064706250, lastLoginInstant: 1505762615055, lastUpdateInstant: 1446064706250, moderationStatus: "ACTIVE", primary: true, type: "email", value: "example@fusionauth.io", verified: true, verifiedReason: "Completed" }],
      insertInstant: 1446064706250,
      memberships: [],
      passwordChangeRequired: false,
      registrations: [{ applicationId: application, data: {}, id: "00000000-0000-0002-0000-000000000000", roles: ["user"], tokens: {}, usernameStatus: "ACTIVE", verified: true }],
      tenantId: tenant,
      twoFactor: { methods: [], recoveryCodes: [] },
      usernameStatus: "ACTIVE",
      verified: true,
    },
    ...more,
  };
}

/** The official sample of a failed login: no reason, no ipAddress of its own, no linkedObjectId. */
function failed(more = {}) {
  const { connectorId, ipAddress, linkedObjectId, ...event } = success();
  return { ...event, id: "e502168a-b469-45d9-a079-fd45f83e0407", type: "user.login.failed", ...more };
}

const send = (server, event, options) => server.post("/intake/fusionauth", { event }, options);

/** Stored, and as it is read again with what FusionAuth sent beside it. */
async function stored(server, event) {
  const answer = await send(server, event);
  assert.equal(answer.status, 201, answer.text);
  const got = await server.get(`/events/${answer.body.id}?include=source`);
  assert.equal(got.status, 200, got.text);
  return got.body;
}

test("a login as FusionAuth sends it is a login of ours, and what it sent is kept", async (t) => {
  const server = await startServer(t);
  const event = await stored(server, success());
  assert.equal(event.action, "auth.login");
  assert.equal(event.actor_id, userId);
  assert.equal(event.actor_name, "example@fusionauth.io");
  assert.equal(event.actor_type, "user");
  assert.equal(event.tenant_id, tenant);
  assert.equal(event.ip_address, "42.42.42.42");
  assert.equal(event.user_agent, agent);
  assert.equal(Date.parse(event.occurred_at), 1505762615056);
  assert.deepEqual(event.metadata, { application_id: application, authentication_type: "PASSWORD", connector_id: connector, device_name: "macOS Chrome", device_type: "BROWSER" });
  const sent = success();
  assert.deepEqual(event.source_record, sent);
});

test("a failed login tells why, when FusionAuth did", async (t) => {
  const server = await startServer(t);
  const old = await stored(server, failed());
  assert.equal(old.action, "auth.login_failed");
  assert.equal(old.metadata.reason_code, undefined);
  const reason = { code: "lambdaValidation", lambdaId: connector, lambdaResult: { fieldErrors: {}, generalErrors: [{ code: "[LoginValidation]", message: "no" }] } };
  const recent = await stored(server, failed({ id: "e502168a-b469-45d9-a079-fd45f83e0408", reason }));
  assert.equal(recent.metadata.reason_code, "lambdaValidation");
  assert.deepEqual(recent.source_record.reason, reason);
});

test("the shapes before 1.30 have no info, and those before 1.27 no address", async (t) => {
  const server = await startServer(t);
  const { info, linkedObjectId, connectorId, ...old } = success();
  assert.equal((await stored(server, old)).ip_address, "42.42.42.42");
  const { ipAddress, ...older } = old;
  const event = await stored(server, { ...older, id: "e502168a-b469-45d9-a079-fd45f83e0409" });
  assert.equal(event.ip_address, null);
  assert.equal(event.action, "auth.login");
});

test("a session that is used again is no login", async (t) => {
  const server = await startServer(t);
  assert.equal((await stored(server, success({ authenticationType: "PING" }))).action, "auth.session_reused");
});

test("an event that is delivered again is stored once", async (t) => {
  const server = await startServer(t);
  const first = await send(server, success());
  const again = await send(server, success());
  assert.equal(again.status, 200, again.text);
  assert.equal(again.body.id, first.body.id);
  assert.equal((await server.get("/events")).body.pagination.total, 1);
});

test("secrets are not kept, wherever they stand", async (t) => {
  const server = await startServer(t);
  const user = {
    ...success().user,
    password: "S3CRET",
    salt: "S3CRET",
    factor: 24000,
    encryptionScheme: "salted-pbkdf2-hmac-sha256",
    registrations: [{ applicationId: application, authenticationToken: "S3CRET", tokens: { Google: "S3CRET" } }],
    twoFactor: { methods: [{ id: "X", method: "authenticator", secret: "S3CRET", authenticator: { algorithm: "HmacSHA1" } }], recoveryCodes: ["S3CRET"] },
  };
  const event = await stored(server, success({ user, refreshToken: "S3CRET" }));
  assert.equal(JSON.stringify(event).includes("S3CRET"), false);
  assert.deepEqual(event.source_record.user.twoFactor, { methods: [{ authenticator: {}, id: "X", method: "authenticator" }], recoveryCodes: [] });
  assert.deepEqual(event.source_record.user.registrations, [{ applicationId: application, tokens: {} }]);
  assert.equal("factor" in event.source_record.user, false);
});

test("a user without a mail address has the name of an identity", async (t) => {
  const server = await startServer(t);
  const { email, ...user } = success().user;
  user.identities = [{ displayValue: "+1 303 555 0100", primary: true, type: "phoneNumber", value: "+13035550100", verified: true }];
  assert.equal((await stored(server, success({ user }))).actor_name, "+1 303 555 0100");
});

test("what is not known is kept under its own type, with or without a user", async (t) => {
  const server = await startServer(t);
  const event = await stored(server, success({ type: "user.login.suspicious", threatsDetected: ["ImpossibleTravel"], ofTheNextVersion: { a: [1, null] } }));
  assert.equal(event.action, "user.login.suspicious");
  assert.deepEqual(event.source_record.ofTheNextVersion, { a: [1, null] });
  const kickstart = await stored(server, { createInstant: 1629434864788, id: "1ceffdea-2748-43d6-8972-004e5fffc8e8", instanceId: "4c4f459a-cff5-4b11-95e8-8027759d2526", type: "kickstart.success" });
  assert.deepEqual([kickstart.action, kickstart.actor_type, kickstart.tenant_id], ["kickstart.success", "system", null]);
});

test("what cannot be an event of FusionAuth's is refused by name", async (t) => {
  const server = await startServer(t);
  for (const [body, field] of [
    [{}, "event"],
    [{ event: [] }, "event"],
    [{ event: { id: "x" } }, "event.type"],
    [{ event: success({ createInstant: "yesterday" }) }, "event.createInstant"],
  ]) {
    const answer = await server.post("/intake/fusionauth", body);
    assert.equal(answer.status, 422, answer.text);
    assert.ok(answer.text.includes(`"${field}"`), answer.text);
  }
  assert.equal((await server.post("/intake/fusionauth", '{"event":{"type":"a","type":"b"}}')).status, 422);
});

test("the key goes as Bearer token or as the password of Basic, and Basic nowhere else", async (t) => {
  const server = await startServer(t);
  const basic = (password) => ({ key: null, headers: { authorization: `Basic ${Buffer.from(`fusionauth:${password}`).toString("base64")}` } });
  assert.equal((await send(server, success(), basic(server.apiKey))).status, 201);
  assert.equal((await send(server, success(), basic("imk_sk_wrong"))).status, 401);
  assert.equal((await send(server, success(), { key: null })).status, 401);
  assert.equal((await server.get("/events", basic(server.apiKey))).status, 401);
  const { body } = await server.post("/keys", { roles: ["ingest"], label: "FusionAuth", tenant_ids: ["another"] });
  assert.equal((await send(server, failed(), { key: body.key })).status, 403);
});
