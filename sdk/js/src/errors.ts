// What can go wrong, by what a caller would do about it.

import type { TransactionAnswer, Violation } from "./types.js";

export interface ErrorFacts {
  message: string;
  /** The HTTP status; 0 where no answer came. */
  statusCode: number;
  /** The answer's body, parsed where it was JSON. */
  responseBody?: unknown;
  code?: string | undefined;
  violations?: Violation[] | undefined;
  requestId?: string | undefined;
  retryAfter?: number | undefined;
  cause?: unknown;
}

export class TocsinError extends Error {
  readonly statusCode: number;
  readonly responseBody: unknown;
  /** The machine-readable code, such as `validation_failed`. */
  readonly code: string | undefined;
  /** The fields that were refused, on 422. */
  readonly violations: Violation[];
  /** The answer's `X-Request-Id`, to be told to whoever runs the server. */
  readonly requestId: string | undefined;
  /** Seconds after which to try again, where the server said so. */
  readonly retryAfter: number | undefined;

  constructor(facts: ErrorFacts) {
    super(facts.message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.name = new.target.name;
    this.statusCode = facts.statusCode;
    this.responseBody = facts.responseBody ?? null;
    this.code = facts.code;
    this.violations = facts.violations ?? [];
    this.requestId = facts.requestId;
    this.retryAfter = facts.retryAfter;
  }
}

/** What was sent was refused: sending it again cannot help. */
export class ValidationError extends TocsinError {}
/** The API key is wrong, has expired, or lacks the role. */
export class AuthError extends TocsinError {}
export class NotFoundError extends TocsinError {}
export class ConflictError extends TocsinError {}
export class ServerError extends TocsinError {}
/**
 * Too few webhooks agreed (504, `webhook_transaction_failed`): nothing was stored, and `webhooks`
 * says what each of them answered. It is a verdict and no fault, so it is not tried again.
 */
export class TransactionError extends ServerError {
  get webhooks(): TransactionAnswer[] {
    const said = (this.responseBody as { webhooks?: unknown } | null)?.webhooks;
    return Array.isArray(said) ? (said as TransactionAnswer[]) : [];
  }
}
/** The server did not answer in time, in any of the attempts. */
export class TimeoutError extends TocsinError {}
/** The server could not be reached, or the connection broke, in every attempt. */
export class NetworkError extends TocsinError {}
/** The key's rate is used up; `retryAfter` says for how long. */
export class RateLimitError extends TocsinError {}

const byStatus: Record<number, new (facts: ErrorFacts) => TocsinError> = {
  400: ValidationError,
  401: AuthError,
  403: AuthError,
  404: NotFoundError,
  409: ConflictError,
  413: ValidationError,
  415: ValidationError,
  422: ValidationError,
  429: RateLimitError,
};

/** The error for an answer that is no success. */
export function errorOf(
  statusCode: number,
  responseBody: unknown,
  header: (name: string) => string | undefined,
  retryAfter: number | undefined,
): TocsinError {
  const body =
    typeof responseBody === "object" ? (responseBody as Record<string, unknown> | null) : null;
  const code = typeof body?.error === "string" ? body.error : undefined;
  const said = typeof body?.message === "string" ? body.message : code;
  const message = said ?? `The server answered ${statusCode}${pointer(header("location"))}.`;
  const violations = Array.isArray(body?.violations) ? (body.violations as Violation[]) : undefined;
  const requestId = header("x-request-id");
  const Kind =
    (code === "webhook_transaction_failed" ? TransactionError : undefined) ??
    byStatus[statusCode] ?? (statusCode >= 500 ? ServerError : TocsinError);
  return new Kind({ message, statusCode, responseBody, code, violations, requestId, retryAfter });
}

function pointer(location: string | undefined): string {
  return location ? `, pointing to ${location}: give baseUrl the address it has in the end` : "";
}
