// An event being put together: who, in which session, from where; `track` says what and sends it.

import type { Caller, RequestLike } from "./context.js";
import type { EventInput, Metadata, ResourceRef, Target, Time, TrackedEvent } from "./types.js";

export interface Actor {
  id: string | number;
  name?: string | null | undefined;
  type?: string | null | undefined;
}

/** What a pending event needs of its client. */
export interface Tracker {
  track(event: EventInput): Promise<TrackedEvent>;
  callerOf(request: RequestLike): Caller;
}

export class PendingEvent {
  private readonly event: Partial<EventInput>;

  constructor(
    private readonly tracker: Tracker,
    actor: Actor,
  ) {
    this.event = { actor_id: actor.id };
    this.set("actor_name", actor.name);
    this.set("actor_type", actor.type);
  }

  session(id: string | null | undefined): this {
    return this.set("session_id", id);
  }

  tenant(id: string | null | undefined): this {
    return this.set("tenant_id", id);
  }

  /** When it happened, where that is not now. */
  occurredAt(time: Time | null | undefined): this {
    return this.set("occurred_at", time);
  }

  /** Of all events with the same key, the first is stored; default: a new key for each `track`. */
  idempotencyKey(key: string | null | undefined): this {
    return this.set("idempotency_key", key);
  }

  /** The user's address; null: none, not even that of the request being handled. */
  ip(address: string | null | undefined): this {
    if (address !== undefined) this.event.ip_address = address;
    return this;
  }

  /** The user's browser; null: none, not even that of the request being handled. */
  userAgent(userAgent: string | null | undefined): this {
    if (userAgent !== undefined) this.event.user_agent = userAgent;
    return this;
  }

  /** Takes address and browser from a request of Node, Express, Fastify or the fetch standard. */
  fromRequest(request: RequestLike): this {
    const { ip_address, user_agent } = this.tracker.callerOf(request);
    return this.ip(ip_address ?? null).userAgent(user_agent ?? null);
  }

  /** The version of the event's own schema. */
  version(version: number | null | undefined): this {
    return this.set("version", version);
  }

  actionCategory(category: string | null | undefined): this {
    return this.set("action_category", category);
  }

  /** Adds one more thing that was acted on. */
  target(type: string, id?: string, name?: string, metadata?: Metadata): this {
    const target: Target = { type };
    if (id !== undefined) target.id = id;
    if (name !== undefined) target.name = name;
    if (metadata !== undefined) target.metadata = metadata;
    return this.set("targets", [...(this.event.targets ?? []), target]);
  }

  /** Sets all things that were acted on. */
  targets(targets: Target[]): this {
    return this.set("targets", [...targets]);
  }

  /** Sends it. The answer is the stored event and what is suspicious about it (`alerts`). */
  track(
    action: string,
    resource?: string | ResourceRef | null,
    metadata?: Metadata | null,
  ): Promise<TrackedEvent> {
    const event = { ...this.event, action } as EventInput;
    if (resource !== undefined) event.resource = resource;
    if (metadata !== undefined) event.metadata = metadata;
    return this.tracker.track(event);
  }

  private set<K extends keyof EventInput>(name: K, value: EventInput[K] | null | undefined): this {
    if (value !== undefined && value !== null) this.event[name] = value as EventInput[K];
    return this;
  }
}
