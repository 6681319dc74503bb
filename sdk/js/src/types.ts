// The nouns of the HTTP contract, named as they are on the wire.

export type Json = string | number | boolean | null | Json[] | { [name: string]: Json | undefined };
export type Metadata = Record<string, unknown>;
export type Time = string | Date;

export interface Target {
  type: string;
  id?: string;
  name?: string;
  metadata?: Metadata;
}

export interface ResourceRef {
  type?: string;
  id?: string;
  name?: string;
}

/** An event, as sent. Only `actor_id` and `action` are required. */
export interface EventInput {
  actor_id: string | number;
  action: string;
  actor_name?: string | null;
  actor_type?: string | null;
  action_category?: string | null;
  resource?: string | ResourceRef | null;
  resource_id?: string | null;
  resource_name?: string | null;
  targets?: Target[] | null;
  metadata?: Metadata | null;
  session_id?: string | null;
  tenant_id?: string | null;
  idempotency_key?: string | null;
  version?: number | null;
  /** When it happened; default: when the server took it. */
  occurred_at?: Time | null;
  /** Default: the address of the request being handled (see `middleware`). `null`: none at all. */
  ip_address?: string | null;
  /** Default: the user agent of the request being handled. `null`: none at all. */
  user_agent?: string | null;
}

export interface Place {
  country: string | null;
  region: string | null;
  city: string | null;
  postal_code: string | null;
  latitude: number | null;
  longitude: number | null;
  time_zone: string | null;
}

export interface Network {
  asn: number | null;
  org: string | null;
  name: string | null;
  lists: string[];
}

export interface Device {
  browser: string | null;
  os: string | null;
  type: string | null;
}

/** An event, as read: flat, and the actor and resource once more as objects. */
export interface Event {
  id: string;
  actor_id: string;
  actor_name: string | null;
  actor_type: string | null;
  actor: { id: string; name: string | null; type: string | null };
  action: string;
  action_category: string | null;
  resource: { type: string | null; id: string | null; name: string | null };
  resource_id: string | null;
  resource_name: string | null;
  targets: Target[];
  metadata: Metadata | null;
  tenant_id: string | null;
  session_id: string | null;
  idempotency_key: string | null;
  version: number | null;
  ip_address: string | null;
  ip_country: string | null;
  ip_city: string | null;
  user_agent: string | null;
  location: Place | null;
  network: Network | null;
  device: Device | null;
  source: { kind: string; sha256: string } | null;
  integrity: { event_hash: string | null; previous_event_hash: string | null };
  occurred_at: string;
  created_at: string;
}

export type Severity = "low" | "medium" | "high" | "critical";
export type AlertStatus = "open" | "acknowledged" | "resolved" | "false_positive";

/** One of the server's rule types; a newer server may know more than this list. */
export type RuleType =
  | "new_country"
  | "new_device"
  | "new_network"
  | "off_hours"
  | "repeated_action"
  | "high_volume_destructive"
  | "ingestion_spike"
  | "impossible_travel"
  | "dormant_account"
  | "blocklisted_ip"
  | "suspicious_user_agent"
  | "watched_action"
  | "session_anomaly"
  | "sequence"
  | "combination"
  | (string & {});

/** An alert as the answer to an event holds it: the event itself stands beside it. */
export interface RaisedAlert {
  id: string;
  rule_id: string;
  rule_name: string;
  rule_type: RuleType;
  severity: Severity;
  reason: string;
  triggered_at: string;
  notified_at: string | null;
  status: AlertStatus;
  note?: string | null;
  event_id: string;
  context: Metadata;
}

export interface Alert extends RaisedAlert {
  event: Event;
}

/** What the alerts of one event come to, as one number to act on: 0 to 100. */
export interface Risk {
  score: number;
  level: "low" | "medium" | "high";
}

/** The answer to `track`: the stored event, and what is suspicious about it. */
export interface TrackedEvent extends Event {
  status: "stored" | "duplicate";
  alerts: RaisedAlert[];
  risk?: Risk;
  warnings?: string[];
}

export interface Violation {
  field: string;
  message: string;
}

export type BatchItem =
  | { id: string; status: "stored" | "duplicate"; alerts: RaisedAlert[]; risk?: Risk }
  | { status: "invalid"; error: string; message: string; violations?: Violation[] };

export interface BatchResult {
  events: BatchItem[];
}

export interface Pagination {
  has_more: boolean;
  next_cursor: string | null;
  total: number;
  total_is_exact?: boolean;
}

export interface Page<T> {
  data: T[];
  pagination: Pagination;
}

interface ListFilters {
  from?: Time;
  to?: Time;
  order?: "asc" | "desc";
  limit?: number;
  cursor?: string;
}

export interface EventFilters extends ListFilters {
  actor_id?: string | number;
  /** May hold `*`. */
  action?: string;
  resource?: string;
  resource_id?: string;
  tenant_id?: string;
  session_id?: string;
  target_type?: string;
  target_id?: string;
  ip_address?: string;
  ip_country?: string;
  search?: string;
}

export interface AlertFilters extends ListFilters {
  rule_type?: RuleType;
  rule_id?: string;
  severity?: Severity;
  status?: AlertStatus;
  actor_id?: string | number;
}

export interface AlertUpdate {
  status?: AlertStatus;
  note?: string | null;
}

export interface VerifyRange {
  from?: Time;
  to?: Time;
  limit?: number;
}

export interface ChainBreak {
  event_id: string;
  type: "hash_mismatch" | "chain_break" | (string & {});
  expected_hash?: string;
  actual_hash?: string;
}

export interface Verification {
  valid: boolean;
  events_checked: number;
  breaks: ChainBreak[];
  /** The newest event's hash: keep it elsewhere, and a cut-off end will show. */
  head?: { event_id: string | null; event_hash: string | null; created_at: string | null };
}

export interface RuleInput {
  name: string;
  rule_type: RuleType;
  conditions: Metadata;
  channels: ("email" | "webhook" | (string & {}))[];
  /** Who is written to beside owners and admins, with the channel `email`. */
  emails?: string[];
  severity?: Severity;
  enabled?: boolean;
  cooldown_minutes?: number;
}

export interface Rule extends Required<Omit<RuleInput, "emails">> {
  id: string;
  emails?: string[];
  status: "learning" | "active" | (string & {});
  created_at: string;
  updated_at: string;
}

export interface BacktestInput {
  rule?: RuleInput;
  rule_id?: string;
  from?: Time;
  to?: Time;
}

export interface Backtest {
  events_scanned: number;
  events_matched: number;
  alerts_total: number;
  alerts: Alert[];
  by_day: { day: string; count: number }[];
  /** The ten with most alerts. */
  by_actor: { actor_id: string; count: number }[];
}

export interface WebhookInput {
  /** Of the format pagerduty, PagerDuty's own where it is left out. */
  url?: string;
  description?: string;
  format?: "immutable" | "fusionauth" | "slack" | "pagerduty";
  events?: string[];
  rule_types?: RuleType[];
  min_severity?: Severity;
  tenant_ids?: string[];
  enabled?: boolean;
  /** Default: a new one, `whsec_…`. */
  secret?: string;
  /** Shown as `********` once they are stored; sent back like that, they stay as they are. */
  headers?: Record<string, string>;
  /** Of the format fusionauth. */
  signing_algorithm?: "HS256" | "RS256" | "ES256" | "Ed25519";
  /** Sign by Ed25519 (`v1a` of Standard Webhooks) too. */
  asymmetric?: boolean;
  /** Of the format pagerduty, which cannot do without: its integration key. Never shown. */
  routing_key?: string;
  connect_timeout_ms?: number;
  timeout_ms?: number;
}

/** `secret` only in the answer that made it. */
export interface Webhook extends Omit<WebhookInput, "min_severity" | "description" | "secret" | "routing_key"> {
  id: string;
  /** Of the format slack without its path, which is a secret. */
  url: string;
  description: string | null;
  min_severity: Severity | null;
  enabled: boolean;
  /** Why the server switched it off; null: it did not. */
  disabled_reason: string | null;
  /** The first of the failures since the last success; null: its receiver answers. */
  failing_since: string | null;
  /** What `verifyWebhookSignature` takes in place of a secret; null: it is not asymmetric. */
  public_key: string | null;
  secret?: string;
  created_at: string;
  updated_at: string;
}

/** What a webhook of a transaction answered. */
export interface TransactionAnswer {
  webhook_id: string;
  event_type: TransactionEvent;
  /** Of `alert.triggered`: which. */
  alert_id: string | null;
  /** It answered 2xx, in time. */
  delivered: boolean;
  /** The HTTP status; null: none came, see `error`. */
  status: number | null;
  duration_ms: number;
  error: string | null;
  /** The answer's first 1,024 bytes. */
  answer: string | null;
}

export type TransactionEvent =
  | "alert.triggered"
  | "user.login.suspicious"
  | "user.login.new-device"
  | "user.login.success"
  | "user.login.failed";

/** How many of the webhooks that take an event must agree before it is stored. */
export type TransactionType =
  | "None"
  | "Any"
  | "SimpleMajority"
  | "SuperMajority"
  | "AbsoluteMajority";

export interface FusionAuthKey {
  kid?: string | null;
  algorithm: "HS256" | "HS384" | "HS512" | "RS256" | "ES256" | "Ed25519";
  /** A secret is not shown again. */
  key?: string;
}

export interface Settings {
  address_from_peer: boolean;
  fusionauth_keys: FusionAuthKey[];
  transactions: Record<TransactionEvent, TransactionType>;
  [name: string]: unknown;
}

export interface SettingsChanges {
  address_from_peer?: boolean;
  /** The whole list. */
  fusionauth_keys?: FusionAuthKey[];
  /** What is not named stays as it is. */
  transactions?: Partial<Record<TransactionEvent, TransactionType>>;
  [name: string]: unknown;
}

/** What came of a test message. */
export interface WebhookTest {
  delivered: boolean;
  status: number;
  duration_ms: number;
  error: string | null;
  answer: string | null;
}

export interface DeliveryFilters {
  webhook_id?: string;
  alert_id?: string;
  /** Mail to this address; without webhook_id. */
  email?: string;
  status?: Delivery["status"];
  limit?: number;
  cursor?: string;
}

export interface Delivery {
  id: string;
  channel: "webhook" | "email";
  /** Null where it goes by mail. */
  webhook_id: string | null;
  /** The address, where it goes by mail. */
  email: string | null;
  alert_id: string | null;
  event_type: string;
  status: "pending" | "delivered" | "dead";
  attempts_made: number;
  next_attempt_at: string | null;
  created_at: string;
  updated_at: string;
}

export interface DeliveryAttempt {
  number: number;
  at: string;
  duration_ms: number;
  /** The HTTP status; null: none came, see `error`. */
  status: number | null;
  error: string | null;
  /** The answer's first 1,024 bytes. */
  answer: string | null;
}

export interface DeliveryWithAttempts extends Delivery {
  attempts: DeliveryAttempt[];
}

export type Role = "ingest" | "read" | "triage" | "admin";

export interface KeyInput {
  roles: Role[];
  label?: string;
  rate_per_minute?: number;
  /** Addresses and CIDR ranges it may be used from; none: from everywhere. */
  ip_allow?: string[];
  tenant_ids?: string[];
  expires_at?: Time;
}

export interface Key {
  id: string;
  label: string | null;
  prefix: string;
  roles: Role[];
  rate_per_minute: number | null;
  ip_allow: string[];
  /** Only in the answer that made it. */
  key?: string;
}

export interface MailTest {
  to: string;
  delivered: boolean;
  /** What the mail server answered last; null: it did not. */
  status: number | null;
  answer: string | null;
  error: string | null;
  duration_ms: number;
}

export type MemberRole = "owner" | "admin" | "analyst" | "viewer";

export interface MemberInput {
  /** Once in a workspace, whatever its case. */
  email: string;
  name?: string | null;
  /** Owners and admins are written to when a rule with the channel `email` fires. */
  role: MemberRole;
}

export interface Member {
  id: string;
  email: string;
  name: string | null;
  role: MemberRole;
  created_at: Time;
  updated_at: Time;
}

/** What an alert webhook's body holds. */
export interface AlertWebhook {
  event_type: "alert.triggered";
  alert_id: string;
  rule_id: string;
  rule_name: string;
  rule_type: RuleType;
  severity: Severity;
  reason: string;
  triggered_at: string;
  workspace_id: string;
  event: Partial<Event> & Pick<Event, "id" | "actor_id" | "action">;
  context: Metadata;
}
