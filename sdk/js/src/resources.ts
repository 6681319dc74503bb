// What is configured: rules, webhooks and keys; and the deliveries that came of it. One row per
// route.

import { pages } from "./pages.js";
import type { Transport } from "./transport.js";
import type * as T from "./types.js";

/** A path with its parts made safe: an id with a slash in it must not name another route. */
export function at(...parts: (string | number)[]): string {
  for (const part of parts) if (part === "") throw new TypeError("an id is required");
  return parts.map((part) => `/${encodeURIComponent(part)}`).join("");
}

abstract class Resource {
  constructor(protected readonly http: Transport) {}

  protected read<R>(path: string, query?: object): Promise<R> {
    return this.http.send({ method: "GET", path, query, repeatable: true });
  }

  /**
   * PUT, PATCH and DELETE leave the same behind, once or twice; a POST that makes something does
   * not.
   */
  protected change<R>(method: "PUT" | "PATCH" | "DELETE", path: string, body?: object): Promise<R> {
    return this.http.send({ method, path, body: body && JSON.stringify(body), repeatable: true });
  }

  protected make<R>(path: string, body: object = {}, repeatable = false): Promise<R> {
    return this.http.send({ method: "POST", path, body: JSON.stringify(body), repeatable });
  }
}

export class Rules extends Resource {
  list(filters?: object): Promise<T.Page<T.Rule>> {
    return this.read("/rules", filters);
  }
  get(id: string): Promise<T.Rule> {
    return this.read(at("rules", id));
  }
  create(rule: T.RuleInput): Promise<T.Rule> {
    return this.make("/rules", rule);
  }
  /** Changes the members that are given. */
  update(id: string, changes: Partial<T.RuleInput>): Promise<T.Rule> {
    return this.change("PATCH", at("rules", id), changes);
  }
  /** Sets the whole rule. */
  replace(id: string, rule: T.RuleInput): Promise<T.Rule> {
    return this.change("PUT", at("rules", id), rule);
  }
  delete(id: string): Promise<unknown> {
    return this.change("DELETE", at("rules", id));
  }
  /** What a rule would have raised between two times; nothing is stored or sent. */
  backtest(trial: T.BacktestInput): Promise<T.Backtest> {
    return this.make("/rules/backtest", trial, true);
  }
  /** What rule types the server has, and what each wants to know. */
  types(): Promise<{ data: T.Metadata[] }> {
    return this.read("/rule-types");
  }
}

export class Webhooks extends Resource {
  list(filters?: object): Promise<T.Page<T.Webhook>> {
    return this.read("/webhooks", filters);
  }
  get(id: string): Promise<T.Webhook> {
    return this.read(at("webhooks", id));
  }
  /** The answer holds the secret, this once. */
  create(webhook: T.WebhookInput): Promise<T.Webhook & { secret: string }> {
    return this.make("/webhooks", webhook);
  }
  update(id: string, changes: Partial<T.WebhookInput>): Promise<T.Webhook> {
    return this.change("PATCH", at("webhooks", id), changes);
  }
  delete(id: string): Promise<unknown> {
    return this.change("DELETE", at("webhooks", id));
  }
  /** Sends it a test message. */
  test(id: string): Promise<T.WebhookTest> {
    return this.make(at("webhooks", id, "test"));
  }
  /** Sends every dead delivery again, of what was raised since then; says how many. */
  replay(id: string, since: T.Time): Promise<{ replayed: number }> {
    return this.make(at("webhooks", id, "replay"), { since });
  }
  /** The answer holds the new secret; for a day the old one signs too. */
  rotateSecret(id: string): Promise<T.Webhook & { secret: string }> {
    return this.make(at("webhooks", id, "rotate-secret"));
  }
}

export class Deliveries extends Resource {
  list(filters?: T.DeliveryFilters): Promise<T.Page<T.Delivery>> {
    return this.read("/deliveries", filters);
  }
  /** All of them, page after page. */
  all(filters: T.DeliveryFilters = {}): AsyncGenerator<T.Delivery, void, undefined> {
    return pages(filters, (page) => this.list(page));
  }
  get(id: string): Promise<T.DeliveryWithAttempts> {
    return this.read(at("deliveries", id));
  }
  replay(id: string): Promise<T.DeliveryWithAttempts> {
    return this.make(at("deliveries", id, "replay"));
  }
}

export class Keys extends Resource {
  list(filters?: object): Promise<T.Page<T.Key>> {
    return this.read("/keys", filters);
  }
  /** The answer holds the key itself, this once. */
  create(key: T.KeyInput): Promise<T.Key & { key: string }> {
    return this.make("/keys", key);
  }
  delete(id: string): Promise<unknown> {
    return this.change("DELETE", at("keys", id));
  }
}

export class Members extends Resource {
  list(): Promise<T.Page<T.Member>> {
    return this.read("/members");
  }
  create(member: T.MemberInput): Promise<T.Member> {
    return this.make("/members", member);
  }
  update(id: string, changes: Partial<T.MemberInput>): Promise<T.Member> {
    return this.change("PATCH", at("members", id), changes);
  }
  delete(id: string): Promise<unknown> {
    return this.change("DELETE", at("members", id));
  }
}

export class Settings extends Resource {
  get(): Promise<T.Settings> {
    return this.read("/settings");
  }
  update(changes: T.SettingsChanges): Promise<T.Settings> {
    return this.change("PATCH", "/settings", changes);
  }
  /** Sends a test mail, to an address or to the first owner or admin. */
  testEmail(to?: string): Promise<T.MailTest> {
    return this.make("/settings/test-email", to === undefined ? {} : { to });
  }
}
