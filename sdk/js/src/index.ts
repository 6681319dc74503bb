export { Immutable, TocsinClient, TocsinClient as ImmutableClient } from "./client.js";
export type { Middleware } from "./client.js";
export { PendingEvent } from "./pending.js";
export type { Actor } from "./pending.js";
export {
  AuthError,
  ConflictError,
  NetworkError,
  NotFoundError,
  RateLimitError,
  ServerError,
  TimeoutError,
  TocsinError,
  TocsinError as ImmutableError,
  TransactionError,
  ValidationError,
} from "./errors.js";
export type { Caller, RequestLike } from "./context.js";
export type { ClientConfig, Seams } from "./transport.js";
export type * from "./types.js";
export { verifyWebhookSignature } from "./webhooks.js";
export type { VerifyOptions, WebhookHeaders } from "./webhooks.js";
