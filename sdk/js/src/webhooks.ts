// Is a webhook ours? Two schemes are signed on each: the Standard Webhooks headers (1.0, `v1`, and
// `v1a` where the webhook asks for it), which hold a time, and `X-Immutable-Signature`, which does
// not.

import { createHmac, createPublicKey, timingSafeEqual, verify } from "node:crypto";
import type { KeyObject } from "node:crypto";

export interface VerifyOptions {
  /** Seconds that the time in the headers may differ from now. Default 300. */
  toleranceSeconds?: number;
  /** Refuse a webhook that has no time in its headers, and so could be an old one sent again. */
  requireTimestamp?: boolean;
  /** Now, in milliseconds. */
  now?: number;
}

export type WebhookHeaders =
  { get: (name: string) => string | null } | { [name: string]: string | string[] | undefined };

const TOLERANCE_SECONDS = 300;
const PUBLIC = "whpk_";
const V1A = "v1a,";

/**
 * Whether a webhook was signed with the secret. `rawBody` is the body as it came, before any
 * parser. `secret` may be a list, for the day on which it is changed. It may also be the public key
 * of a webhook that is `asymmetric` (`whpk_…`), which proves nothing of `X-Immutable-Signature`.
 *
 * Where the Standard Webhooks headers are present, they alone decide: one of their signatures must
 * fit, and their time must be within the tolerance. (Both schemes prove the same secret; but after
 * a change of it each side may still hold the other one, and only this header has room for two
 * signatures.) Else `X-Immutable-Signature` decides. With neither, the answer is no.
 */
export function verifyWebhookSignature(
  rawBody: string | Uint8Array,
  headers: WebhookHeaders | object,
  secret: string | string[],
  options: VerifyOptions = {},
): boolean {
  if (typeof rawBody !== "string" && !(rawBody instanceof Uint8Array)) {
    throw new TypeError(
      "verifyWebhookSignature wants the raw body, as text or bytes, not what was parsed",
    );
  }
  const secrets = (Array.isArray(secret) ? secret : [secret]).filter(Boolean);
  if (secrets.length === 0)
    throw new TypeError("verifyWebhookSignature wants the webhook's secret");

  const shared = secrets.filter((one) => !one.startsWith(PUBLIC));
  const keys = secrets.filter((one) => one.startsWith(PUBLIC)).map(publicKeyOf);
  const header = reader(headers as WebhookHeaders);
  const body = Buffer.from(rawBody as Uint8Array);
  const standard = header("webhook-signature");
  if (standard !== undefined) {
    const signed = signedContent(body, header, options);
    if (signed === null) return false;
    const given = standard.split(" ");
    return anyFits(given, shared.map((one) => v1(one, signed))) || anyVerifies(given, keys, signed);
  }
  const immutable = header("x-immutable-signature");
  if (immutable === undefined || options.requireTimestamp) return false;
  return anyFits(
    immutable.split(",").map((one) => one.trim()),
    shared.map((one) => `sha256=${createHmac("sha256", one).update(body).digest("hex")}`),
  );
}

/** What both signatures of Standard Webhooks are of; null where its time is none, or too far off. */
function signedContent(
  body: Buffer,
  header: (name: string) => string | undefined,
  options: VerifyOptions,
): Buffer | null {
  const id = header("webhook-id");
  const timestamp = header("webhook-timestamp");
  if (id === undefined || timestamp === undefined || !/^\d{1,12}$/.test(timestamp)) return null;
  const age = Math.abs((options.now ?? Date.now()) / 1000 - Number(timestamp));
  if (age > (options.toleranceSeconds ?? TOLERANCE_SECONDS)) return null;
  return Buffer.concat([Buffer.from(`${id}.${timestamp}.`), body]);
}

function v1(secret: string, signed: Buffer): string {
  return `v1,${createHmac("sha256", keyOf(secret)).update(signed).digest("base64")}`;
}

/** A public key is no secret: nothing is ever compared with an HMAC by it. */
function publicKeyOf(key: string): KeyObject {
  const bytes = Buffer.from(key.slice(PUBLIC.length), "base64");
  if (bytes.length !== 32)
    throw new TypeError("verifyWebhookSignature wants a key of 32 bytes behind whpk_");
  const jwk = { kty: "OKP", crv: "Ed25519", x: bytes.toString("base64url") };
  return createPublicKey({ key: jwk, format: "jwk" });
}

function anyVerifies(given: string[], keys: KeyObject[], signed: Buffer): boolean {
  const signatures = given
    .filter((one) => one.startsWith(V1A))
    .map((one) => Buffer.from(one.slice(V1A.length), "base64"));
  return keys.some((key) => signatures.some((one) => verify(null, signed, key, one)));
}

/** A secret of Standard Webhooks is base64 behind its prefix; any other is taken as it is. */
function keyOf(secret: string): Buffer {
  const [, coded] = /^whsec_(.*)$/s.exec(secret) ?? [];
  if (coded === undefined) return Buffer.from(secret);
  const key = Buffer.from(coded, "base64");
  // An empty key is one that everybody has.
  if (key.length === 0) throw new TypeError("verifyWebhookSignature wants a secret behind whsec_");
  return key;
}

/** Compares all with all, so that the time taken tells nothing of which one was near. */
function anyFits(given: string[], expected: string[]): boolean {
  let fits = false;
  for (const one of given) {
    for (const other of expected) {
      const [a, b] = [Buffer.from(one), Buffer.from(other)];
      if (a.length === b.length && timingSafeEqual(a, b)) fits = true;
    }
  }
  return fits;
}

function reader(headers: WebhookHeaders): (name: string) => string | undefined {
  if (typeof headers.get === "function") {
    const { get } = headers as { get: (name: string) => string | null };
    return (name) => get.call(headers, name) ?? undefined;
  }
  const lower = new Map<string, string>();
  for (const [name, value] of Object.entries(
    headers as Record<string, string | string[] | undefined>,
  )) {
    if (value !== undefined)
      lower.set(name.toLowerCase(), String(Array.isArray(value) ? value[0] : value));
  }
  return (name) => lower.get(name);
}
