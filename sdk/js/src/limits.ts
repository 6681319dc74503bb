// Makes an event fit the server's limits. What somebody else chose (a browser's name for itself,
// the e-mail address typed by who tries to get in) must not keep the event from being recorded: so
// what is too long is cut and named in `metadata._truncated`, and an address that is none goes
// along as text.

import { createHash } from "node:crypto";
import { parseAddress } from "./address.js";
import type { EventInput, Metadata, Target } from "./types.js";

const TEXT_MAX = 1_024;
const NAME_MAX = 256;
const METADATA_MAX = 64 * 1_024;
const METADATA_KEYS_MAX = 50;
const CUT_NAMED_MAX = 20;

const FIELDS: readonly [keyof EventInput, number][] = [
  ["actor_id", NAME_MAX],
  ["action", NAME_MAX],
  ["actor_name", TEXT_MAX],
  ["actor_type", TEXT_MAX],
  ["action_category", TEXT_MAX],
  ["resource", TEXT_MAX],
  ["resource_id", TEXT_MAX],
  ["resource_name", TEXT_MAX],
  ["session_id", TEXT_MAX],
  ["tenant_id", TEXT_MAX],
  ["user_agent", TEXT_MAX],
];

/** At most so many bytes of UTF-8 from the beginning, and no character in part. */
export function cutText(text: string, bytesMax: number): string {
  // Three bytes are the most that one UTF-16 unit can come to.
  if (text.length * 3 <= bytesMax) return text;
  const bytes = Buffer.from(text, "utf8");
  if (bytes.length <= bytesMax) return text;
  let end = bytesMax;
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return bytes.toString("utf8", 0, end);
}

/** A copy that fits, in the wire's form. `input` is left as it was. */
export function fitEvent(input: EventInput): Record<string, unknown> {
  const event: Record<string, unknown> = { ...input };
  const cut: string[] = [];
  const notes: Metadata = {};

  flattenResource(event);
  if (typeof event.actor_id === "number") event.actor_id = String(event.actor_id);
  if (event.occurred_at instanceof Date) event.occurred_at = event.occurred_at.toISOString();
  for (const [name, max] of FIELDS) event[name] = fitText(event[name], max, name, cut);
  event.idempotency_key = fitKey(event.idempotency_key, cut);
  event.targets = fitTargets(input.targets, cut);
  fitAddress(event, notes);
  event.metadata = fitMetadata(input.metadata, notes, cut);
  dropAbsent(event);
  return event;
}

function flattenResource(event: Record<string, unknown>): void {
  const { resource } = event;
  if (typeof resource !== "object" || resource === null) return;
  const { type, id, name } = resource as { type?: unknown; id?: unknown; name?: unknown };
  event.resource = type;
  event.resource_id ??= id;
  event.resource_name ??= name;
}

function fitText(value: unknown, max: number, name: string, cut: string[]): unknown {
  if (typeof value !== "string") return value;
  const short = cutText(value, max);
  if (short !== value) cut.push(name);
  return short;
}

/** Cut short, two keys could become one, and the second event a "duplicate": so it is hashed. */
function fitKey(key: unknown, cut: string[]): unknown {
  if (typeof key !== "string" || Buffer.byteLength(key) <= TEXT_MAX) return key;
  cut.push("idempotency_key");
  return `sha256:${createHash("sha256").update(key).digest("hex")}`;
}

function fitTargets(targets: Target[] | null | undefined, cut: string[]): unknown {
  if (!Array.isArray(targets)) return targets;
  return targets.map((target, i) => {
    const fitted: Record<string, unknown> = { ...target };
    for (const name of ["type", "id", "name"]) {
      fitted[name] = fitText(fitted[name], TEXT_MAX, `targets[${i}].${name}`, cut);
    }
    dropAbsent(fitted);
    return fitted;
  });
}

function fitAddress(event: Record<string, unknown>, notes: Metadata): void {
  const told = event.ip_address;
  if (typeof told !== "string" || told === "") return;
  const address = parseAddress(told);
  event.ip_address = address;
  if (address === undefined) notes.ip_address_raw = cutText(told, TEXT_MAX);
}

/**
 * The server refuses metadata that is too big as a whole; then, and only then, its strings are cut.
 */
function fitMetadata(metadata: unknown, notes: Metadata, cut: string[]): unknown {
  if (metadata !== undefined && metadata !== null && typeof metadata !== "object") return metadata;
  const given = metadata as Metadata | null | undefined;
  const noted = withNotes(given, notes, cut);
  if (Buffer.byteLength(JSON.stringify(noted) ?? "") <= METADATA_MAX) return noted;
  return withNotes(cutDeep(given, "metadata", cut) as Metadata, notes, cut);
}

function withNotes(metadata: Metadata | null | undefined, notes: Metadata, cut: string[]): unknown {
  const all = cut.length > 0 ? { ...notes, _truncated: cut.slice(0, CUT_NAMED_MAX) } : notes;
  const room = METADATA_KEYS_MAX - Object.keys(metadata ?? {}).length;
  // A note that finds no room is left out: it must not cost the event.
  const kept = Object.entries(all).slice(0, Math.max(0, room));
  return kept.length > 0 ? { ...metadata, ...Object.fromEntries(kept) } : metadata;
}

function cutDeep(value: unknown, path: string, cut: string[]): unknown {
  if (typeof value === "string") return fitText(value, TEXT_MAX, path, cut);
  if (Array.isArray(value)) return value.map((item, i) => cutDeep(item, `${path}[${i}]`, cut));
  if (typeof value !== "object" || value === null || "toJSON" in value) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [name, cutDeep(item, `${path}.${name}`, cut)]),
  );
}

/** What is required stays even when it is empty: the server shall say so. */
function dropAbsent(object: Record<string, unknown>): void {
  for (const [name, value] of Object.entries(object)) {
    const needed = name === "actor_id" || name === "action" || name === "type";
    if (value === undefined || value === null || (value === "" && !needed)) delete object[name];
  }
}

// As JSON.stringify writes them: a NUL, and half of a surrogate pair, which has no UTF-8.
const REFUSED_JSON = /\\u(?:0000|d[89a-f])/;
const REFUSED_TEXT = /[\0\p{Surrogate}]/gu;

/** JSON of an event, without the characters for which the server would refuse the whole. */
export function eventJson(value: unknown): string {
  const json = JSON.stringify(value);
  return REFUSED_JSON.test(json) ? JSON.stringify(cleanDeep(JSON.parse(json))) : json;
}

function cleanDeep(value: unknown): unknown {
  if (typeof value === "string") return value.replace(REFUSED_TEXT, "\uFFFD");
  if (Array.isArray(value)) return value.map(cleanDeep);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [cleanDeep(name), cleanDeep(item)]),
  );
}
