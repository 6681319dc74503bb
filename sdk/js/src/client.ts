// The client: events in, events and alerts out.

import { randomUUID } from "node:crypto";
import { AddressFinder } from "./address.js";
import { bindEmitter, callerOf, currentCaller, runAs } from "./context.js";
import type { Caller, RequestLike } from "./context.js";
import { eventJson, fitEvent } from "./limits.js";
import { pages } from "./pages.js";
import { PendingEvent } from "./pending.js";
import type { Actor, Tracker } from "./pending.js";
import { at, Deliveries, Keys, Members, Rules, Settings, Webhooks } from "./resources.js";
import { Transport } from "./transport.js";
import type { ClientConfig } from "./transport.js";
import type * as T from "./types.js";
import { verifyWebhookSignature } from "./webhooks.js";

type Next = (error?: any) => void;
export type Middleware = (request: any, response: any, next: Next) => void;

export class TocsinClient implements Tracker {
  static readonly verifyWebhookSignature = verifyWebhookSignature;

  readonly rules: Rules;
  readonly webhooks: Webhooks;
  readonly deliveries: Deliveries;
  readonly keys: Keys;
  readonly members: Members;
  readonly settings: Settings;
  private readonly http: Transport;
  private readonly finder: AddressFinder;

  constructor(config: ClientConfig) {
    this.http = new Transport(config);
    this.finder = new AddressFinder(config.trustProxy);
    this.rules = new Rules(this.http);
    this.webhooks = new Webhooks(this.http);
    this.deliveries = new Deliveries(this.http);
    this.keys = new Keys(this.http);
    this.members = new Members(this.http);
    this.settings = new Settings(this.http);
  }

  /** Begins an event: `client.actor("user_1", {name, type})`, or all of it as one object. */
  actor(actor: string | number | Actor, more: Omit<Actor, "id"> = {}): PendingEvent {
    return new PendingEvent(this, typeof actor === "object" ? actor : { ...more, id: actor });
  }

  /** Stores an event. The answer is the event, enriched, and the alerts it raised. */
  async track(event: T.EventInput): Promise<T.TrackedEvent> {
    const body = eventJson(this.prepare(event));
    return this.http.send({ method: "POST", path: "/events", body, repeatable: true });
  }

  /**
   * Stores up to 1,000 events, in order. The answers are in the same order; a bad one does not stop
   * the others. `backfill`: history, for which nobody is to be called.
   */
  async trackBatch(
    events: T.EventInput[],
    options: { backfill?: boolean } = {},
  ): Promise<T.BatchResult> {
    const body = eventJson({ events: events.map((event) => this.prepare(event)) });
    const query = options.backfill ? { backfill: true } : undefined;
    return this.http.send({ method: "POST", path: "/events/batch", query, body, repeatable: true });
  }

  getEvents(filters?: T.EventFilters): Promise<T.Page<T.Event>> {
    return this.read("/events", filters);
  }

  /** All events, page after page: `for await (const event of client.events({actor_id}))`. */
  events(filters: T.EventFilters = {}): AsyncGenerator<T.Event, void, undefined> {
    return pages(filters, (page) => this.getEvents(page));
  }

  getEvent(id: string, query?: { include?: "source" }): Promise<T.Event & { data: T.Event }> {
    return this.read(at("events", id), query);
  }

  getAlerts(filters?: T.AlertFilters): Promise<T.Page<T.Alert>> {
    return this.read("/alerts", filters);
  }

  /** All alerts, page after page. */
  alerts(filters: T.AlertFilters = {}): AsyncGenerator<T.Alert, void, undefined> {
    return pages(filters, (page) => this.getAlerts(page));
  }

  getAlert(id: string): Promise<T.Alert> {
    return this.read(at("alerts", id));
  }

  /** Triage: what became of it. */
  updateAlert(id: string, changes: T.AlertUpdate): Promise<T.Alert> {
    const body = JSON.stringify(changes);
    return this.http.send({ method: "PATCH", path: at("alerts", id), body, repeatable: true });
  }

  /** Recomputes the hash chain: `verify({from, to, limit})`, or the three one by one. */
  async verify(
    from?: T.VerifyRange | T.Time | null,
    to?: T.Time | null,
    limit?: number | null,
  ): Promise<T.Verification & { data: T.Verification }> {
    const isRange = typeof from === "object" && from !== null && !(from instanceof Date);
    const range = isRange ? from : { from, to, limit };
    const { data } = await this.read<{ data: T.Verification }>("/verify", range);
    return { ...data, data };
  }

  /**
   * Carries a request's address and browser to every event tracked while it is handled. Express:
   * `app.use(client.middleware())`. Fastify: `app.addHook("onRequest", client.middleware())`, or
   * `app.register(client.fastify())`. Node: call it with request, response and what is to follow.
   */
  middleware(): Middleware {
    // Three parameters, no more, no less: Express and Fastify both tell by that what it is.
    return (request: RequestLike & { raw?: unknown }, response: { raw?: unknown }, next: Next) => {
      const caller = this.callerOf(request);
      bindEmitter(request.raw ?? request, caller);
      bindEmitter(response?.raw ?? response, caller);
      runAs(caller, () => next());
    };
  }

  /** The same as a Fastify plugin. */
  fastify(): (instance: any, options: unknown, done: Next) => void {
    const plugin = (instance: any, _options: unknown, done: Next) => {
      instance.addHook("onRequest", this.middleware());
      done();
    };
    // Fastify's word for: holds for the whole application, not for this plugin's routes alone.
    return Object.assign(plugin, { [Symbol.for("skip-override")]: true });
  }

  /**
   * The same for one function, where there is no middleware. A request of the fetch standard does
   * not hold its connection's address: give it, where it is known.
   */
  withRequest<R>(request: RequestLike, work: () => R, options: { address?: string } = {}): R {
    return runAs(this.callerOf(request, options.address), work);
  }

  /** What a request tells of who sent it. */
  callerOf(request: RequestLike, address?: string): Caller {
    return callerOf(request, this.finder, address);
  }

  /** The event as it goes out. The key is what makes sending it again safe. */
  private prepare(event: T.EventInput): Record<string, unknown> {
    const caller = currentCaller();
    return fitEvent({
      ...event,
      ip_address: event.ip_address === undefined ? caller.ip_address : event.ip_address,
      user_agent: event.user_agent === undefined ? caller.user_agent : event.user_agent,
      idempotency_key: event.idempotency_key || randomUUID(),
    } as T.EventInput);
  }

  private read<R>(path: string, query?: object): Promise<R> {
    return this.http.send({ method: "GET", path, query, repeatable: true });
  }
}

/** The same in the shape of Immutable's second client class. */
export class Immutable {
  readonly client: TocsinClient;
  readonly events: Pick<TocsinClient, "verify"> & {
    list: TocsinClient["getEvents"];
    get: TocsinClient["getEvent"];
  };
  readonly alerts: { list: TocsinClient["getAlerts"] };

  constructor(config: ClientConfig) {
    const client = new TocsinClient(config);
    this.client = client;
    this.events = {
      list: (filters) => client.getEvents(filters),
      get: (id, query) => client.getEvent(id, query),
      verify: (from, to, limit) => client.verify(from, to, limit),
    };
    this.alerts = { list: (filters) => client.getAlerts(filters) };
  }

  actor(actor: Actor): PendingEvent {
    return this.client.actor(actor);
  }
}
