// What a receiver written for FusionAuth gets from us, and how either side knows the other.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash, generateKeyPairSync } from "node:crypto";
import { mkdir, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { createLocalJWKSet, decodeProtectedHeader, jwtVerify, SignJWT } from "jose";
import { startReceiver, startServer, tempFolder, top, until } from "./harness.mjs";

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const places = "42.42.42.0/24,US,Denver,39.77777,-104.9191,\n81.2.69.0/24,GB,London,51.5142,-0.0931,\n";
const travel = { name: "Too fast", rule_type: "impossible_travel", conditions: { action_pattern: "auth.login" }, channels: ["webhook"] };
const watch = { name: "Any login", rule_type: "watched_action", conditions: { action_pattern: "auth.login*" }, channels: ["webhook"], severity: "low" };

/** The documented event, as its page shows it. */
const documented = {
  applicationId: "134f7157-0252-4100-889e-8b3084b85660",
  authenticationType: "PASSWORD",
  connectorId: "e3306678-a53a-4964-9040-1c96f36dda72",
  createInstant: 1630383272048,
  id: "0f2a3e31-d7c9-48dc-841a-b47ca4830773",
  info: {
    ipAddress: "42.42.42.42",
    location: { city: "Denver", country: "US", displayString: "Denver, CO, US", latitude: 39.77777, longitude: -104.9191, region: "CO" },
    userAgent: "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/92.0.4515.131 Safari/537.36",
  },
  ipAddress: "127.0.0.1",
  tenantId: "30663132-6464-6665-3032-326466613934",
  threatsDetected: ["ImpossibleTravel"],
  type: "user.login.suspicious",
  user: {
    active: true,
    birthDate: "1981-06-04",
    connectorId: "e3306678-a53a-4964-9040-1c96f36dda72",
    data: { Company: "PiedPiper", PreviousCompany: "Aviato", user_type: "iconclast" },
    email: "example@fusionauth.io",
    firstName: "Erlich",
    id: "00000000-0000-0000-0000-000000000001",
    insertInstant: 1630083026349,
    lastLoginInstant: 1630383233716,
    lastName: "Bachman",
    lastUpdateInstant: 1630083026349,
    memberships: [],
    passwordChangeRequired: false,
    passwordLastUpdateInstant: 1630083026431,
    preferredLanguages: [],
    registrations: [],
    tenantId: "30663132-6464-6665-3032-326466613934",
    twoFactor: { methods: [], recoveryCodes: [] },
    usernameStatus: "ACTIVE",
    verified: true,
  },
};

/** The login that it tells of, as user.login.success has it. */
const denver = () => {
  const { threatsDetected, ...login } = structuredClone(documented);
  return { ...login, type: "user.login.success" };
};
/** Half an hour earlier, half a world away. */
const london = () => ({
  ...denver(),
  id: "0f2a3e31-d7c9-48dc-841a-b47ca4830772",
  createInstant: documented.createInstant - 1800000,
  info: { ...documented.info, ipAddress: "81.2.69.160", location: undefined },
});

const sorted = (value) => {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.keys(value).sort().map((name) => [name, sorted(value[name])]));
};
const secret = "a secret that both sides know";

async function setUp(t, { rules = [travel], answer, ...webhook } = {}) {
  const folder = await tempFolder(t);
  const file = path.join(folder, "places.csv");
  await writeFile(file, places);
  const receiver = await startReceiver(t, answer);
  const server = await startServer(t, { args: ["--places", file] });
  const made = await server.post("/webhooks", { url: receiver.url, format: "fusionauth", secret, ...webhook });
  assert.equal(made.status, 201, made.text);
  for (const rule of rules) assert.equal((await server.post("/rules", rule)).status, 201);
  return { server, receiver, webhook: made.body };
}
async function send(server, event) {
  const answer = await server.post("/intake/fusionauth", { event });
  assert.equal(answer.status, 201, answer.text);
  return answer.body;
}
/** All that there are, once so many have been delivered. */
const delivered = (server, count) =>
  until(async () => {
    const { data } = (await server.get("/deliveries?limit=100")).body;
    return data.filter((d) => d.status === "delivered").length >= count && data;
  }, `${count} deliveries`);
/** Once so many requests have been answered well since the start: of every login no row is kept. */
const answered = (server, count) =>
  until(async () => {
    const { text } = await server.get("//metrics");
    return Number(/^tocsin_webhook_attempts_total\{outcome="delivered"\} (\d+)$/m.exec(text)[1]) >= count;
  }, `${count} good answers`);

test("the example of the page: Denver half an hour after London, key by key", async (t) => {
  const { server, receiver } = await setUp(t);
  await send(server, london());
  const stored = await send(server, denver());
  const { headers, rawBody, body } = await receiver.nth(1);
  assert.equal(headers["content-type"], "application/json");
  assert.deepEqual(Object.keys(body), ["event"]);
  const { id, info, ...rest } = body.event;
  const { id: _, info: documentedInfo, ...expected } = documented;
  // Both addresses are the same, as FusionAuth's own code makes them.
  assert.deepEqual(rest, { ...expected, ipAddress: "42.42.42.42" });
  const { data, ...shown } = info;
  assert.deepEqual(shown, documentedInfo);
  assert.match(id, uuid);
  assert.equal(rawBody.toString(), JSON.stringify(sorted(body)), "names sorted, no blanks, no nulls");

  // What theirs does not say: why, and from where.
  assert.deepEqual(Object.keys(data), ["tocsin"]);
  const [alert] = stored.alerts;
  assert.equal(data.tocsin.event_id, stored.id);
  assert.equal(data.tocsin.alerts.length, 1);
  const [told] = data.tocsin.alerts;
  assert.equal(told.id, alert.id);
  assert.equal(told.reason, alert.reason);
  assert.equal(told.context.from.city, "London");
  assert.ok(told.context.distance_km > 7000 && told.context.speed_kmh > 14000, JSON.stringify(told));
});

test("the types of FusionAuth's client accept it", async (t) => {
  const { server, receiver } = await setUp(t, { rules: [watch], events: ["user.login.suspicious", "user.login.success"] });
  await send(server, denver());
  await receiver.nth(2);
  const folder = path.join(top, "build/test-types", String(process.pid));
  const lines = [
    'import type { UserLoginSuccessEvent, UserLoginSuspiciousEvent } from "@fusionauth/typescript-client";',
    // Its enums are strings on the wire.
    "type Wire<T> = T extends string ? `${T}` : T extends (infer U)[] ? Wire<U>[] : T extends object ? { [K in keyof T]: Wire<T[K]> } : T;",
  ];
  for (const { body } of receiver.requests) {
    const name = body.event.type === "user.login.success" ? "UserLoginSuccessEvent" : "UserLoginSuspiciousEvent";
    lines.push(`export const ${name}_: { event: Wire<${name}> } = ${JSON.stringify(body)};`);
  }
  await mkdir(folder, { recursive: true });
  t.after(() => rm(folder, { recursive: true, force: true }));
  const file = path.join(folder, "captured.ts");
  const check = async (text) => {
    await writeFile(file, text);
    const config = { compilerOptions: { strict: true, noEmit: true, skipLibCheck: true, module: "nodenext", target: "es2022", types: [], baseUrl: ".", paths: { "@fusionauth/typescript-client": [path.join(top, "test/node_modules/@fusionauth/typescript-client")] } }, files: [file] };
    await writeFile(path.join(folder, "tsconfig.json"), JSON.stringify(config));
    return promisify(execFile)(process.execPath, [path.join(top, "sdk/js/node_modules/typescript/bin/tsc"), "-p", folder]).then(() => "", (error) => error.stdout);
  };
  assert.equal(await check(lines.join("\n")), "");
  // And it would say so if it were otherwise.
  assert.match(await check(lines.join("\n").replace('"createInstant":1630383272048', '"createInstant":"now"')), /TS2322/);
});

test("one event per login, however many alerts, and none of a login that failed", async (t) => {
  const { server, receiver } = await setUp(t, { rules: [travel, watch] });
  await send(server, { ...london(), id: "a", type: "user.login.failed" });
  await send(server, london());
  const stored = await send(server, { ...denver(), info: { ...documented.info, location: undefined } });
  assert.equal(stored.alerts.length, 2);
  const [first, second] = [await receiver.nth(1), await receiver.nth(2)].map((r) => r.body.event);
  assert.deepEqual([first.threatsDetected, second.threatsDetected], [[], ["ImpossibleTravel"]]);
  assert.deepEqual(second.info.data.tocsin.alerts.map((a) => a.id).sort(), stored.alerts.map((a) => a.id).sort());
  // Without a place of FusionAuth's own it is where we put the address.
  assert.deepEqual(second.info.location, { city: "Denver", country: "US", displayString: "Denver, US", latitude: 39.77777, longitude: -104.9191 });
  const list = await delivered(server, 2);
  assert.deepEqual(list.map((d) => d.event_type), ["user.login.suspicious", "user.login.suspicious"]);
  assert.equal(receiver.requests.length, 2);
});

test("each event is switched by `events`, and one login may be told of in several ways", async (t) => {
  const events = ["user.login.suspicious", "user.login.success", "user.login.failed", "user.login.new-device"];
  const { server, receiver, webhook } = await setUp(t, { rules: [watch], events });
  await send(server, denver());
  await send(server, { ...denver(), id: "b", type: "user.login.failed", reason: { code: "lambdaValidation" } });
  await send(server, { ...denver(), id: "c", type: "user.update" });
  await receiver.nth(3);
  const got = Object.fromEntries(receiver.requests.map((r) => [r.body.event.type, r.body.event]));
  assert.deepEqual(Object.keys(got).sort(), ["user.login.failed", "user.login.success", "user.login.suspicious"]);
  const failed = got["user.login.failed"];
  assert.deepEqual(failed.reason, { code: "lambdaValidation" });
  for (const name of ["connectorId", "threatsDetected"]) assert.equal(name in failed, false, name);
  const success = got["user.login.success"];
  assert.equal("threatsDetected" in success, false);
  assert.deepEqual(success.info, documented.info);
  assert.equal(new Set(receiver.requests.map((r) => r.headers["webhook-id"])).size, 3);
  assert.equal(new Set(receiver.requests.map((r) => r.body.event.id)).size, 3);

  await answered(server, 3);
  assert.equal((await server.patch(`/webhooks/${webhook.id}`, { events: ["user.login.failed"] })).status, 200);
  await send(server, { ...denver(), id: "d" });
  await send(server, { ...denver(), id: "e", type: "user.login.failed" });
  assert.equal((await receiver.nth(4)).body.event.type, "user.login.failed");
  assert.equal((await receiver.nth(4)).body.event.reason.code, "credentials");
});

test("a login with a new device is told as one", async (t) => {
  const device = { name: "New device", rule_type: "new_device", conditions: { action_pattern: "auth.login" }, channels: ["webhook"] };
  const { server, receiver } = await setUp(t, { rules: [device], events: ["user.login.suspicious", "user.login.new-device"] });
  await send(server, { ...denver(), id: "known", createInstant: documented.createInstant - 86400000 });
  const agent = "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0";
  const stored = await send(server, { ...denver(), info: { ...documented.info, userAgent: agent } });
  assert.equal(stored.alerts.length, 1);
  await receiver.nth(2);
  const got = Object.fromEntries(receiver.requests.map((r) => [r.body.event.type, r.body.event]));
  assert.deepEqual(got["user.login.suspicious"].threatsDetected, ["UnrecognizedDevice"]);
  assert.equal(got["user.login.new-device"].info.userAgent, agent);
});

test("a login soon after a change of the password is told as one", async (t) => {
  const sequence = { name: "Took over", rule_type: "sequence", conditions: { first: { action_pattern: "user.password*", count: 1 }, then: { action_pattern: "auth.login" }, within_minutes: 60, group_by: ["actor_id"] }, channels: ["webhook"] };
  const { server, receiver } = await setUp(t, { rules: [sequence] });
  await send(server, { ...london(), type: "user.password.update" });
  await send(server, denver());
  assert.deepEqual((await receiver.nth(1)).body.event.threatsDetected, ["RecentPasswordChange"]);
});

test("a login from elsewhere is told with what is known of it", async (t) => {
  const { server, receiver } = await setUp(t, { rules: [watch] });
  const login = { actor_id: "u1", actor_name: "Ann", action: "auth.login", tenant_id: "t1", ip_address: "42.42.42.1", user_agent: documented.info.userAgent, occurred_at: "2026-01-02T03:04:05.678Z" };
  assert.equal((await server.post("/events", login)).status, 201);
  const { event } = (await receiver.nth(1)).body;
  assert.deepEqual(event.user, { active: true, fullName: "Ann", id: "u1", memberships: [], preferredLanguages: [], registrations: [], tenantId: "t1", twoFactor: { methods: [], recoveryCodes: [] }, usernameStatus: "ACTIVE" });
  assert.equal(event.createInstant, Date.parse(login.occurred_at));
  assert.equal(event.authenticationType, "PASSWORD");
  assert.equal(event.connectorId, documented.connectorId);
  assert.equal(event.info.deviceType, "BROWSER");
  assert.equal("applicationId" in event, false);
});

test("nothing goes out for what is sent as history", async (t) => {
  const { server, receiver } = await setUp(t, { rules: [watch], events: ["user.login.suspicious", "user.login.success", "user.login.failed"] });
  const login = { actor_id: "u1", action: "auth.login", ip_address: "42.42.42.1" };
  const history = [login, { ...login, action: "auth.login_failed" }];
  const batch = await server.post("/events/batch?backfill=true", { events: history });
  assert.deepEqual(batch.body.events.map((event) => event.alerts.length), [1, 1], "alerts are recorded");
  const { body: live } = await server.post("/events", login);
  await answered(server, 2);
  assert.equal(receiver.requests.length, 2);
  for (const { body } of receiver.requests) assert.equal(body.event.info.data?.tocsin.event_id ?? live.id, live.id);
  assert.deepEqual(receiver.requests.map((r) => r.body.event.type).sort(), ["user.login.success", "user.login.suspicious"]);
  // It is still history after a start: the record says so.
  await server.restart();
  await server.post("/events", { ...login, action: "auth.login_failed" });
  await receiver.nth(3);
  assert.equal(receiver.requests[2].body.event.type, "user.login.failed");
  await answered(server, 1);
  assert.equal(receiver.requests.length, 3);
  assert.equal((await server.get("/verify")).body.data.valid, true);
});

test("of every login only those are listed that did not arrive at once", async (t) => {
  let status = 200;
  const { server, receiver } = await setUp(t, { events: ["user.login.success"], answer: () => ({ status }) });
  for (let i = 0; i < 20; i++) await send(server, { ...denver(), id: `good ${i}` });
  await answered(server, 20);
  status = 500;
  await send(server, { ...denver(), id: "bad" });
  const [row] = await until(async () => {
    const { data } = (await server.get("/deliveries?limit=100")).body;
    return data.length > 0 && data[0].attempts_made === 1 && data;
  }, "the one that failed");
  // Nothing of it is forgotten, nor of what follows, and nothing comes twice.
  await server.restart();
  status = 200;
  await server.post(`/deliveries/${row.id}/replay`);
  await answered(server, 1);
  const data = await delivered(server, 1);
  assert.deepEqual(data.map((d) => [d.id, d.attempts_made]), [[row.id, 2]]);
  assert.equal(receiver.requests.length, 22);
  assert.equal(new Set(receiver.requests.map((r) => r.headers["webhook-id"])).size, 21);
});

test("of one tenant nothing reaches the webhook of another", async (t) => {
  const { server, receiver } = await setUp(t, { rules: [watch], tenant_ids: ["mine"], events: ["user.login.suspicious", "user.login.success"] });
  await send(server, { ...denver(), tenantId: "another" });
  await send(server, { ...denver(), id: "mine", tenantId: "mine" });
  await receiver.nth(2);
  await answered(server, 2);
  assert.deepEqual(receiver.requests.map((r) => r.body.event.tenantId), ["mine", "mine"]);
});

test("each is signed: by the secret, or by a key whose public half anybody may fetch", async (t) => {
  const { server, receiver, webhook } = await setUp(t, { rules: [watch], headers: { Authorization: "Basic dXNlcjpwdw==", "X-Game": "7" } });
  assert.equal(webhook.signing_algorithm, "HS256");
  assert.deepEqual((await server.get("//.well-known/jwks.json", { key: null })).body, { keys: [] });
  const seen = [];
  for (const algorithm of ["HS256", "RS256", "ES256", "Ed25519"]) {
    assert.equal((await server.patch(`/webhooks/${webhook.id}`, { signing_algorithm: algorithm })).status, 200);
    assert.equal((await server.post(`/webhooks/${webhook.id}/test`)).body.delivered, true);
    const request = await receiver.nth(seen.push(algorithm));
    assert.equal(request.body.event.type, "test");
    assert.equal(request.headers.authorization, "Basic dXNlcjpwdw==");
    assert.equal(request.headers["x-game"], "7");
    const token = request.headers["x-fusionauth-signature-jwt"];
    const jwks = createLocalJWKSet((await server.get("//.well-known/jwks.json", { key: null })).body);
    const { payload } = await jwtVerify(token, algorithm === "HS256" ? Buffer.from(secret) : jwks, { algorithms: [algorithm === "Ed25519" ? "EdDSA" : algorithm] });
    assert.deepEqual(payload, { request_body_sha256: createHash("sha256").update(request.rawBody).digest("base64") });
    assert.equal("kid" in decodeProtectedHeader(token), algorithm !== "HS256");
  }
  // The keys are made once.
  const { body: before } = await server.get("//.well-known/jwks.json", { key: null });
  assert.deepEqual(before.keys.map((k) => k.kty), ["RSA", "EC", "OKP"]);
  for (const key of before.keys) assert.equal("d" in key, false);
  await server.restart();
  assert.deepEqual((await server.get("//.well-known/jwks.json", { key: null })).body, before);
  await server.post("/intake/fusionauth", { event: denver() });
  const request = await receiver.nth(5);
  await jwtVerify(request.headers["x-fusionauth-signature-jwt"], createLocalJWKSet(before));
});

test("what does not belong to the format is refused by name", async (t) => {
  const server = await startServer(t);
  const url = "http://127.0.0.1:1/";
  for (const [webhook, field] of [
    [{ url, format: "fusionauth", events: ["alert.triggered"] }, "events"],
    [{ url, events: ["user.login.suspicious"] }, "events"],
    [{ url, format: "fusionauth", signing_algorithm: "none" }, "signing_algorithm"],
    [{ url, format: "fusionauth", headers: { "x-fusionauth-signature-jwt": "a" } }, "headers"],
  ]) {
    const answer = await server.post("/webhooks", webhook);
    assert.equal(answer.status, 422, answer.text);
    assert.equal(answer.body.violations[0].field, field);
  }
  const { body } = await server.post("/webhooks", { url, format: "fusionauth" });
  assert.deepEqual(body.events, ["user.login.suspicious"]);
});

/** As FusionAuth signs: one claim, the hash of the body. */
async function signed(body, key, header) {
  const claim = { request_body_sha256: createHash("sha256").update(body).digest("base64") };
  return new SignJWT(claim).setProtectedHeader({ typ: "JWT", ...header }).sign(key);
}
const pairs = {
  RS256: generateKeyPairSync("rsa", { modulusLength: 2048 }),
  ES256: generateKeyPairSync("ec", { namedCurve: "P-256" }),
  EdDSA: generateKeyPairSync("ed25519"),
};
const post = (server, body, token, options) =>
  server.post("/intake/fusionauth", body, { key: null, ...options, headers: token ? { "x-fusionauth-signature-jwt": token } : {} });

test("where a signing key is known, the signature alone opens the door", async (t) => {
  const server = await startServer(t);
  const body = JSON.stringify({ event: denver() });
  const hmac = Buffer.from(secret);
  assert.equal((await post(server, body, await signed(body, hmac, { alg: "HS256" }))).status, 401, "nobody is known yet");
  const pem = (alg) => pairs[alg].publicKey.export({ type: "spki", format: "pem" });
  const tries = [
    ["HS256", secret, hmac],
    ["HS384", secret, hmac],
    ["HS512", secret, hmac],
    ["RS256", pem("RS256"), pairs.RS256.privateKey],
    ["ES256", pem("ES256"), pairs.ES256.privateKey],
    ["EdDSA", pem("EdDSA"), pairs.EdDSA.privateKey],
  ];
  for (const [alg, key, signer] of tries) {
    const algorithm = alg === "EdDSA" ? "Ed25519" : alg;
    const set = await server.patch("/settings", { fusionauth_keys: [{ kid: "ours", algorithm, key }] });
    assert.equal(set.status, 200, set.text);
    assert.deepEqual(set.body.fusionauth_keys, [{ kid: "ours", algorithm, ...(alg.startsWith("HS") ? {} : { key }) }]);
    const other = JSON.stringify({ event: { ...denver(), id: alg } });
    const token = await signed(other, signer, { alg, kid: "ours" });
    const answer = await post(server, other, token);
    assert.equal(answer.status, 201, `${alg} ${answer.text}`);
    assert.equal((await post(server, body, token)).status, 401, "another body");
    assert.equal((await post(server, other, await signed(other, signer, { alg, kid: "theirs" }))).status, 401, "another kid");
    assert.equal((await post(server, other, await signed(other, signer, { alg }))).status, 200, "no kid: tried in turn");
    assert.equal((await post(server, other, `${token.slice(0, -6)}AAAAAA`)).status, 401, "another signature");
    // The text of a public key is no secret.
    if (!alg.startsWith("HS")) assert.equal((await post(server, other, await signed(other, Buffer.from(key), { alg: "HS256" }))).status, 401);
  }
  assert.equal((await post(server, body, "x.y.z")).status, 401);
  assert.equal((await post(server, body, undefined)).status, 401);
  assert.equal((await server.get("/events", { key: null, headers: { "x-fusionauth-signature-jwt": await signed("", pairs.EdDSA.privateKey, { alg: "EdDSA" }) } })).status, 401);
  // With a key beside it, both must be right.
  assert.equal((await post(server, body, "x.y.z", { key: server.apiKey })).status, 401);
  assert.equal((await post(server, body, undefined, { key: server.apiKey })).status, 201);
});

test("a signature brings an event into the workspace whose key it is, and no other", async (t) => {
  const server = await startServer(t);
  const made = await server.post("/workspaces", { name: "second" });
  assert.equal(made.status, 201, made.text);
  const key = made.body.admin_key;
  const theirs = "the secret of the second workspace";
  assert.equal((await server.patch("/settings", { fusionauth_keys: [{ algorithm: "HS256", key: secret }] })).status, 200);
  assert.equal((await server.patch("/settings", { fusionauth_keys: [{ algorithm: "HS256", key: theirs }] }, { key })).status, 200);
  const body = JSON.stringify({ event: denver() });
  assert.equal((await post(server, body, await signed(body, Buffer.from(theirs), { alg: "HS256" }))).status, 201);
  assert.equal((await server.get("/events", { key })).body.data.length, 1);
  assert.equal((await server.get("/events")).body.data.length, 0);
  for (const keys of [{}, [{}], [{ algorithm: "HS256", key: "short" }], [{ algorithm: "none", key: secret }], [{ algorithm: "RS256", key: secret }], [{ algorithm: "ES256", key: pairs.RS256.publicKey.export({ type: "spki", format: "pem" }) }]])
    assert.equal((await server.patch("/settings", { fusionauth_keys: keys })).status, 422, JSON.stringify(keys));
});
