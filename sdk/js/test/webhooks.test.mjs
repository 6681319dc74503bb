import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import test from "node:test";
import { TocsinClient, verifyWebhookSignature } from "../dist/index.js";

// The vector that the Standard Webhooks libraries are tested with.
const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const BODY = '{"test": 2432232314}';
const FITS = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
const AT = 1614265330;
const standard = {
  "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
  "webhook-timestamp": String(AT),
  "webhook-signature": FITS,
};
const now = AT * 1000;
const OTHER = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

const immutable = (secret = SECRET, body = BODY) => ({
  "x-immutable-signature": `sha256=${createHmac("sha256", secret).update(body).digest("hex")}`,
});
const holds = (headers, { secret = SECRET, body = BODY, ...options } = {}) =>
  verifyWebhookSignature(body, headers, secret, { now, ...options });

test("the published vector of Standard Webhooks verifies", () => {
  assert.equal(holds(standard), true);
});

test("a secret without the prefix is the key itself, in both schemes", () => {
  const secret = "sixteen characters, or more";
  const text = `${standard["webhook-id"]}.${AT}.${BODY}`;
  const mac = createHmac("sha256", secret).update(text).digest("base64");
  assert.equal(holds({ ...standard, "webhook-signature": `v1,${mac}` }, { secret }), true);
  assert.equal(holds(immutable(secret), { secret }), true);
  assert.throws(() => holds(standard, { secret: "whsec_" }), /secret/);
});

test("X-Immutable-Signature verifies, with the secret as it was given", () => {
  assert.equal(holds(immutable()), true);
  assert.equal(holds(immutable(OTHER)), false);
});

test("a changed byte, id or time is found", () => {
  assert.equal(holds(standard, { body: BODY.replace("2", "3") }), false);
  assert.equal(holds(immutable(), { body: BODY.replace("2", "3") }), false);
  assert.equal(holds({ ...standard, "webhook-id": "msg_other" }), false);
  assert.equal(holds({ ...standard, "webhook-timestamp": String(AT + 1) }), false);
  assert.equal(holds({ ...standard, "webhook-signature": FITS.replace("g", "h") }), false);
  assert.equal(holds({ ...standard, "webhook-signature": FITS.replace("v1", "v2") }), false);
});

test("five minutes either way are tolerated, and not a second more", () => {
  for (const [seconds, want] of [
    [300, true],
    [-300, true],
    [301, false],
    [-301, false],
  ]) {
    assert.equal(holds(standard, { now: (AT + seconds) * 1000 }), want, `${seconds}`);
  }
  assert.equal(holds(standard, { now: (AT + 301) * 1000, toleranceSeconds: 400 }), true);
});

test("one of several signatures is enough, and so is one of several secrets", () => {
  assert.equal(holds({ ...standard, "webhook-signature": `v1,AAAA v2,x ${FITS}` }), true);
  assert.equal(holds(standard, { secret: [OTHER, SECRET] }), true);
  assert.equal(holds(immutable(), { secret: [OTHER, SECRET] }), true);
  assert.equal(holds(standard, { secret: [OTHER] }), false);
});

test("where the Standard Webhooks headers are present they decide alone", () => {
  // An old webhook sent again does not pass because its other signature has no time.
  assert.equal(holds({ ...standard, ...immutable() }, { now: now + 3_600_000 }), false);
  assert.equal(holds({ "webhook-signature": FITS, ...immutable() }), false);
  // In the day after a change of the secret, the header with room for two of them counts.
  assert.equal(holds({ ...standard, ...immutable(OTHER) }), true);
});

test("requireTimestamp refuses what could be an old one sent again", () => {
  assert.equal(holds(immutable(), { requireTimestamp: true }), false);
  assert.equal(holds(standard, { requireTimestamp: true }), true);
});

test("no signature, or a strange one, is no", () => {
  const strange = ["", "sha256=", "sha256", "md5=00", "\u0000", "sha256=é".repeat(9)];
  assert.equal(holds({}), false);
  for (const text of strange) {
    assert.equal(holds({ "x-immutable-signature": text }), false);
    assert.equal(holds({ ...standard, "webhook-signature": text }), false);
    assert.equal(holds({ ...standard, "webhook-timestamp": text }), false);
  }
});

test("headers may be Node's or the fetch standard's, in any case; the body may be bytes", () => {
  const upper = Object.fromEntries(Object.entries(standard).map(([k, v]) => [k.toUpperCase(), v]));
  assert.equal(holds(upper), true);
  assert.equal(holds(new Headers(standard)), true);
  assert.equal(holds(standard, { body: Buffer.from(BODY) }), true);
  assert.equal(holds(standard, { body: new TextEncoder().encode(BODY) }), true);
  assert.equal(TocsinClient.verifyWebhookSignature(BODY, standard, SECRET, { now }), true);
});

test("a parsed body or a missing secret is the caller's mistake, and is said", () => {
  assert.throws(() => holds(standard, { body: JSON.parse(BODY) }), /raw body/);
  assert.throws(() => holds(standard, { secret: "" }), /secret/);
  assert.throws(() => verifyWebhookSignature(BODY, standard, undefined), /secret/);
});

// The vector of the asymmetric kind.
const PUBLIC_KEY = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";
const V1A =
  "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==";
const asymmetric = { ...standard, "webhook-signature": `v1,${"A".repeat(43)}= ${V1A}` };

test("a public key verifies the published vector, and nothing else", () => {
  const secret = PUBLIC_KEY;
  const other = `whpk_${Buffer.alloc(32, 1).toString("base64")}`;
  assert.equal(holds(asymmetric, { secret }), true);
  assert.equal(holds(asymmetric, { secret: [other, secret] }), true);
  assert.equal(holds(asymmetric, { secret: other }), false);
  assert.equal(holds(asymmetric, { secret, body: BODY.replace("2", "3") }), false);
  assert.equal(holds({ ...asymmetric, "webhook-id": "msg_other" }, { secret }), false);
  assert.equal(holds(asymmetric, { secret, now: (AT + 301) * 1000 }), false);
  assert.equal(holds({ ...asymmetric, "webhook-signature": V1A.slice(0, -8) }, { secret }), false);
  assert.equal(holds(standard, { secret }), false);
  assert.equal(holds(standard, { secret: [secret, SECRET] }), true);
  assert.throws(() => holds(asymmetric, { secret: "whpk_AAAA" }), /32 bytes/);
});

test("what everybody knows is no secret: a public key signs nothing by HMAC", () => {
  const secret = PUBLIC_KEY;
  const text = `${standard["webhook-id"]}.${AT}.${BODY}`;
  for (const key of [secret, Buffer.from(secret.slice(5), "base64")]) {
    const mac = createHmac("sha256", key).update(text).digest("base64");
    for (const name of ["v1", "v1a"])
      assert.equal(holds({ ...standard, "webhook-signature": `${name},${mac}` }, { secret }), false);
  }
  assert.equal(holds(immutable(secret), { secret }), false);
});
