// One request and its answer: the key, the time limit, and another attempt where one can help and
// cannot harm.

import { errorOf, NetworkError, TimeoutError, TocsinError } from "./errors.js";

export interface ClientConfig {
  apiKey: string;
  /** Where the server is, such as `https://tocsin.example.com`. */
  baseUrl: string;
  /** Milliseconds for one attempt, the answer's body included. Default 5,000. */
  timeout?: number;
  /** Attempts after the first. Default 2. */
  maxRetries?: number;
  /** The longest wait before another attempt, in milliseconds. A server that asks for a longer one
   *  is not asked again: the error says how long (`retryAfter`). Default 10,000. */
  maxRetryDelay?: number;
  /**
   * Who may say, by `X-Forwarded-For`, where a request comes from: `true` for the one proxy that
   * connects to this process, or the proxies' addresses and CIDR ranges. Default: nobody, the
   * connection's own address counts.
   */
  trustProxy?: boolean | string | string[];
  /** What stands in for the world in tests. */
  seams?: Partial<Seams>;
}

/** As much of `fetch` as is used, so that the types ask for no library. */
type Fetch = (
  url: string,
  init: {
    method: string;
    headers: Record<string, string>;
    body?: string | undefined;
    redirect: "manual";
    /** An AbortSignal. */
    signal: any;
  },
) => Promise<Answer>;

interface Answer {
  status: number;
  ok: boolean;
  headers: { get: (name: string) => string | null };
  text: () => Promise<string>;
}

export interface Seams {
  fetch: Fetch;
  /** Waits before another attempt. */
  delay: (ms: number) => Promise<void>;
  /** Calls `expire` after so long, unless what it returns is called before. */
  limit: (ms: number, expire: () => void) => () => void;
  /** From 0 (included) to 1 (not). */
  random: () => number;
  now: () => number;
}

export interface RequestSpec {
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  path: string;
  query?: object | undefined;
  /** JSON text. */
  body?: string | undefined;
  /** That sending it twice does what sending it once does. */
  repeatable: boolean;
}

const RETRY_BASE_MS = 200;

const world: Seams = {
  fetch: (url, init) => fetch(url, init as RequestInit),
  delay: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  limit: (ms, expire) => {
    const timer = setTimeout(expire, ms);
    return () => clearTimeout(timer);
  },
  random: Math.random,
  now: Date.now,
};

export class Transport {
  private readonly base: string;
  private readonly headers: Record<string, string>;
  private readonly timeout: number;
  private readonly maxRetries: number;
  private readonly maxRetryDelay: number;
  private readonly seams: Seams;

  constructor(config: ClientConfig) {
    if (!config.apiKey) throw new TypeError("apiKey is required");
    if (!config.baseUrl) throw new TypeError("baseUrl is required, such as http://127.0.0.1:7410");
    this.base = config.baseUrl.replace(/\/+$/, "").replace(/\/api(\/v1)?$/, "") + "/api/v1";
    // Said here, where it can be mended, and not as a network error at the first login.
    const { protocol } = new URL(this.base);
    if (protocol !== "http:" && protocol !== "https:") {
      throw new TypeError(`baseUrl must begin with http:// or https://, not ${protocol}`);
    }
    this.headers = {
      accept: "application/json",
      authorization: `Bearer ${config.apiKey}`,
      "content-type": "application/json",
      "user-agent": "tocsin-js/0.1.0",
    };
    this.timeout = config.timeout ?? 5_000;
    this.maxRetries = config.maxRetries ?? 2;
    this.maxRetryDelay = config.maxRetryDelay ?? 10_000;
    this.seams = { ...world, ...config.seams };
  }

  async send<T>(spec: RequestSpec): Promise<T> {
    for (let attempt = 0; ; attempt++) {
      try {
        return (await this.once(spec)) as T;
      } catch (error) {
        const wait = attempt < this.maxRetries ? this.waitAfter(error, spec, attempt) : undefined;
        if (wait === undefined) throw error;
        await this.seams.delay(wait);
      }
    }
  }

  private async once(spec: RequestSpec): Promise<unknown> {
    const abort = new AbortController();
    const settle = this.seams.limit(this.timeout, () => abort.abort());
    let response: Answer;
    let text: string;
    try {
      response = await this.seams.fetch(this.base + spec.path + queryOf(spec.query), {
        method: spec.method,
        headers: this.headers,
        body: spec.body,
        // A redirect would turn a POST into a GET, or carry the event somewhere else.
        redirect: "manual",
        signal: abort.signal,
      });
      text = await response.text();
    } catch (cause) {
      throw this.unanswered(cause, abort.signal.aborted);
    } finally {
      settle();
    }
    return this.read(response, text);
  }

  private unanswered(cause: unknown, timedOut: boolean): TocsinError {
    if (timedOut) {
      const message = `The server did not answer within ${this.timeout} ms.`;
      return new TimeoutError({ message, statusCode: 0, code: "timeout", cause });
    }
    const message = `The server could not be reached: ${reasonOf(cause)}`;
    return new NetworkError({
      message,
      statusCode: 0,
      code: codeOf(cause) ?? "network_error",
      cause,
    });
  }

  private read(response: Answer, text: string): unknown {
    let body: unknown = text;
    let isJson = true;
    try {
      body = text === "" ? {} : JSON.parse(text);
    } catch {
      isJson = false;
    }
    if (response.ok && isJson) return body;
    const header = (name: string) => response.headers.get(name) ?? undefined;
    if (response.ok) {
      const message = "The answer is not JSON: is baseUrl the address of a Tocsin server?";
      const requestId = header("x-request-id");
      throw new TocsinError({
        message,
        statusCode: response.status,
        responseBody: body,
        requestId,
      });
    }
    const retryAfter = secondsOf(header("retry-after"), this.seams.now());
    throw errorOf(response.status, body, header, retryAfter);
  }

  /** How long to wait before another attempt; undefined: there is none. */
  private waitAfter(error: unknown, spec: RequestSpec, attempt: number): number | undefined {
    if (!(error instanceof TocsinError) || !mayRepeat(error, spec)) return undefined;
    const asked = error.retryAfter;
    if (asked !== undefined) {
      return asked * 1000 <= this.maxRetryDelay ? asked * 1000 : undefined;
    }
    // Half of it is chance, so that clients that failed together do not come back together.
    const most = Math.min(RETRY_BASE_MS * 2 ** attempt, this.maxRetryDelay);
    return most / 2 + (this.seams.random() * most) / 2;
  }
}

/** Refused before anything was done with it: these may be sent again whatever they are. */
const REFUSED = new Set([429, 503]);

function mayRepeat(error: TocsinError, spec: RequestSpec): boolean {
  if (REFUSED.has(error.statusCode) || error.code === "ECONNREFUSED") return true;
  // Another event with its key is with the webhooks of a transaction: in a moment it is known.
  if (error.statusCode === 409 && error.retryAfter !== undefined) return true;
  // The receivers' verdict on the event, not a fault: to ask again is to overrule them.
  if (error.code === "webhook_transaction_failed") return false;
  return spec.repeatable && (error.statusCode === 0 || error.statusCode >= 500);
}

function queryOf(query: object | undefined): string {
  const all = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value === undefined || value === null) continue;
    all.append(name, value instanceof Date ? value.toISOString() : String(value));
  }
  const text = all.toString();
  return text && `?${text}`;
}

function secondsOf(retryAfter: string | undefined, now: number): number | undefined {
  if (retryAfter === undefined) return undefined;
  if (/^\d+$/.test(retryAfter)) return Number(retryAfter);
  const date = Date.parse(retryAfter);
  return Number.isNaN(date) ? undefined : Math.max(0, (date - now) / 1000);
}

/** fetch says "fetch failed" and keeps the reason one or two causes below. */
function reasonOf(error: unknown): string {
  let deepest = error;
  while (deepest instanceof Error && deepest.cause instanceof Error) deepest = deepest.cause;
  return deepest instanceof Error
    ? deepest.message || codeOf(error) || deepest.name
    : String(deepest);
}

function codeOf(error: unknown): string | undefined {
  for (let at = error; at instanceof Error; at = at.cause) {
    const { code } = at as Error & { code?: unknown };
    if (typeof code === "string") return code;
  }
  return undefined;
}
