// Is a webhook ours? Two schemes are signed on each: the Standard Webhooks headers (1.0, `v1`),
// which hold a time, and `X-Immutable-Signature`, which does not.

import { createHmac, timingSafeEqual } from "node:crypto";

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

/**
 * Whether a webhook was signed with the secret. `rawBody` is the body as it came, before any
 * parser. `secret` may be a list, for the day on which it is changed.
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

  const header = reader(headers as WebhookHeaders);
  const body = Buffer.from(rawBody as Uint8Array);
  const standard = header("webhook-signature");
  if (standard !== undefined) return standardFits(body, header, standard, secrets, options);
  const immutable = header("x-immutable-signature");
  if (immutable === undefined || options.requireTimestamp) return false;
  return anyFits(
    immutable.split(",").map((one) => one.trim()),
    secrets.map((one) => `sha256=${createHmac("sha256", one).update(body).digest("hex")}`),
  );
}

function standardFits(
  body: Buffer,
  header: (name: string) => string | undefined,
  signatures: string,
  secrets: string[],
  options: VerifyOptions,
): boolean {
  const id = header("webhook-id");
  const timestamp = header("webhook-timestamp");
  if (id === undefined || timestamp === undefined || !/^\d{1,12}$/.test(timestamp)) return false;
  const age = Math.abs((options.now ?? Date.now()) / 1000 - Number(timestamp));
  if (age > (options.toleranceSeconds ?? TOLERANCE_SECONDS)) return false;

  const expected = secrets.map((one) => {
    const hmac = createHmac("sha256", keyOf(one)).update(`${id}.${timestamp}.`).update(body);
    return `v1,${hmac.digest("base64")}`;
  });
  return anyFits(signatures.split(" "), expected);
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
