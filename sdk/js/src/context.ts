// What is known of the request being handled, carried to every event tracked while it is.

import { AsyncLocalStorage } from "node:async_hooks";
import type { AddressFinder } from "./address.js";

type HeaderBag =
  { get: (name: string) => string | null } | { [name: string]: string | string[] | undefined };

interface Emitter {
  emit: (name: string | symbol, ...args: any[]) => boolean;
}

/** A request of Node, Express, Fastify, or of the fetch standard: as much of it as is read here. */
export interface RequestLike {
  headers: HeaderBag | object;
  socket?: { remoteAddress?: string | undefined } | null;
  /** Fastify's way to Node's request. */
  raw?: { socket?: { remoteAddress?: string | undefined } | null };
}

/** Who is at the other end. Absent: not known. */
export interface Caller {
  ip_address?: string | undefined;
  user_agent?: string | undefined;
}

// One for the process: a request taken in by one client's middleware is also known to the others.
const current = new AsyncLocalStorage<Caller>();

export function currentCaller(): Caller {
  return current.getStore() ?? {};
}

/**
 * `peer`: the address of the connection, where the framework tells it otherwise than by the
 * request.
 */
export function callerOf(request: RequestLike, finder: AddressFinder, peer?: string): Caller {
  const from = peer ?? request.socket?.remoteAddress ?? request.raw?.socket?.remoteAddress;
  return {
    ip_address: finder.find(from, headerOf(request, "x-forwarded-for")),
    user_agent: headerOf(request, "user-agent"),
  };
}

export function runAs<T>(caller: Caller, work: () => T): T {
  return current.run(caller, work);
}

/**
 * Lets all that is heard of an emitter be heard as that caller. A request's body arrives in the
 * context of its connection, so without this a parser's callback would forget whose request it is.
 */
export function bindEmitter(emitter: unknown, caller: Caller): void {
  if (!isEmitter(emitter)) return;
  const emit = emitter.emit;
  const bound = (...args: Parameters<typeof emit>) =>
    current.run(caller, () => emit.apply(emitter, args));
  Object.defineProperty(emitter, "emit", { value: bound, configurable: true, writable: true });
}

function isEmitter(value: unknown): value is Emitter {
  return typeof (value as Partial<Emitter> | null | undefined)?.emit === "function";
}

function headerOf(request: RequestLike, name: string): string | undefined {
  const headers = request.headers as HeaderBag;
  const value =
    typeof headers.get === "function"
      ? (headers.get(name) ?? undefined)
      : (headers as Record<string, string | string[] | undefined>)[name];
  return Array.isArray(value) ? value.join(", ") : value;
}
