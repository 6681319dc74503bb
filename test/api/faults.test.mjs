// What goes wrong around the server, and what it does then: disks, files, clients, signals.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, open, readFile, readdir, rm, stat, writeFile } from "node:fs/promises";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { test } from "node:test";
import tls from "node:tls";
import { promisify } from "node:util";
import { geoFiles, run, startServer, tempFolder, until, within } from "./harness.mjs";

const exec = promisify(execFile);
const event = { actor_id: "u", action: "a" };
const small = ["--segment-bytes", "65536"];

async function segments(server) {
  const folder = path.join(server.data, "log");
  const names = (await readdir(folder)).filter((name) => /^\d+/.test(name)).sort();
  return names.map((name) => path.join(folder, name));
}

async function fill(server, count) {
  const events = Array.from({ length: 100 }, (_, i) => ({ ...event, metadata: { i, pad: "x".repeat(300) } }));
  for (let i = 0; i < count; i += 100) assert.equal((await server.post("/events/batch", { events })).status, 200);
}

test("a full disk makes writes answer 503, reads go on, and it ends when there is room", async (t) => {
  const server = await startServer(t, { args: small });
  await fill(server, 100);
  await exec("prlimit", ["--pid", String(server.pid), "--fsize=100:"]);
  const refused = await server.post("/events", event);
  assert.equal(refused.status, 503, refused.text);
  assert.equal(refused.body.error, "overloaded");
  assert.ok(Number(refused.headers.get("retry-after")) > 0);
  const before = (await server.get("/events?limit=1")).body;
  assert.equal(before.pagination.total, 100);
  assert.equal((await server.get("/verify")).body.data.valid, true);
  await exec("prlimit", ["--pid", String(server.pid), "--fsize=unlimited:"]);
  await until(async () => (await server.post("/events", event)).status === 201, "room again");
  assert.equal((await server.get("/verify")).body.data.valid, true);
  await server.restart();
  assert.equal((await server.get("/events?limit=1")).body.pagination.total, 101);
});

test("a torn last commit is dropped at the start, with one line saying what", async (t) => {
  const server = await startServer(t);
  await fill(server, 100);
  await server.kill();
  const [newest] = (await segments(server)).slice(-1);
  const bytes = await readFile(newest);
  let end = bytes.length;
  while (bytes[end - 1] === 0) end--;
  const file = await open(newest, "r+");
  await file.write(Buffer.alloc(60), 0, 60, end - 60);
  await file.close();
  await server.start();
  assert.equal(server.stderr.split("\n").filter((line) => /dropped/.test(line)).length, 1, server.stderr);
  assert.equal((await server.get("/verify")).body.data.valid, true);
  assert.equal((await server.post("/events", event)).status, 201);
});

test("a damaged log refuses to start, naming the file and the offset", async (t) => {
  const server = await startServer(t);
  await fill(server, 300);
  await server.stop();
  const [newest] = (await segments(server)).slice(-1);
  const file = await open(newest, "r+");
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, 20000);
  byte[0] ^= 1;
  await file.write(byte, 0, 1, 20000);
  await file.close();
  const { code, stderr } = await run(["serve", "--data", server.data, "--listen", "127.0.0.1:0"]);
  assert.equal(code, 1);
  assert.ok(stderr.includes(path.basename(newest)), stderr);
  assert.match(stderr, /\b1\d{4}\b|\b20000\b/);
  const verdict = await run(["verify", "--data", server.data]);
  assert.equal(verdict.code, 1, verdict.stdout + verdict.stderr);
});

test("a damaged store refuses to start, naming the file", async (t) => {
  const server = await startServer(t);
  await server.stop();
  const store = path.join(server.data, "tocsin.db");
  await writeFile(store, Buffer.alloc((await stat(store)).size, 7));
  const { code, stderr } = await run(["serve", "--data", server.data, "--listen", "127.0.0.1:0"]);
  assert.equal(code, 1);
  assert.match(stderr, /tocsin\.db/);
});

test("rule states that cannot be read are folded anew from the log", async (t) => {
  const server = await startServer(t);
  await server.post("/rules", { name: "Three", rule_type: "repeated_action", conditions: { action_pattern: "a", threshold: 3, window_minutes: 10 }, channels: [] });
  await server.post("/events", event);
  await server.post("/events", event);
  await server.stop();
  await writeFile(path.join(server.data, "state.db"), "nonsense");
  await server.start();
  assert.equal((await server.post("/events", event)).body.alerts.length, 1);
});

test("a second server on the same folder, or the same port, refuses to start", async (t) => {
  const server = await startServer(t);
  const folder = await run(["serve", "--data", server.data, "--listen", "127.0.0.1:0"]);
  assert.equal(folder.code, 1);
  assert.ok(folder.stderr.includes(server.data), folder.stderr);
  const port = await run(["serve", "--data", await tempFolder(t), "--listen", `127.0.0.1:${server.port}`]);
  assert.equal(port.code, 1);
  assert.ok(port.stderr.includes(String(server.port)), port.stderr);
  for (const args of [["verify"], ["key"]]) assert.equal((await run([...args, "--data", server.data])).code, 1);
});

test("wrong usage exits with 2 and says what is wrong", async () => {
  for (const args of [[], ["dance"], ["serve", "--colour", "red"], ["serve", "--listen"], ["serve", "--workers", "0"], ["replay"], ["serve", "--trust-proxy", "x"]]) {
    const { code, stderr } = await run(args);
    assert.equal(code, 2, args.join(" "));
    assert.ok(stderr.length > 10);
  }
  assert.match((await run(["version"])).stdout, /^tocsin \d+\.\d+\.\d+\n$/);
});

test("`tocsin key` makes an admin key while the server is stopped", async (t) => {
  const server = await startServer(t);
  await server.stop();
  const { code, stdout } = await run(["key", "--data", server.data]);
  assert.equal(code, 0);
  const key = /^admin key: (\S+)$/m.exec(stdout)[1];
  await server.start();
  assert.equal((await server.get("/keys", { key })).status, 200);
});

test("`tocsin verify` finds a whole log whole and prints its heads", async (t) => {
  const server = await startServer(t, { args: small });
  await fill(server, 500);
  const head = (await server.get("/verify")).body.data.head;
  await server.stop();
  const { code, stdout } = await run(["verify", "--data", server.data]);
  assert.equal(code, 0, stdout);
  assert.ok(stdout.includes(head.event_hash), stdout);
});

test("slow clients are cut off, in the head and in the body", async (t) => {
  const server = await startServer(t, { args: ["--request-timeout", "1"] });
  const cut = async (bytes) => {
    const socket = net.connect(server.port, "127.0.0.1");
    socket.on("error", () => {});
    socket.resume();
    socket.write(bytes);
    const drip = setInterval(() => socket.write("x"), 100);
    await within(once(socket, "close"), "the cut");
    clearInterval(drip);
  };
  const head = `POST /api/v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${server.apiKey}\r\n`;
  await Promise.all([cut(head), cut(`${head}content-length: 1000\r\n\r\n{`)]);
});

test("idle connections are closed when their time is up", async (t) => {
  const server = await startServer(t, { args: ["--request-timeout", "1"] });
  const socket = net.connect(server.port, "127.0.0.1");
  socket.resume();
  socket.write("GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n");
  await within(once(socket, "close"), "the close of an idle connection");
});

test("SIGTERM: what was accepted is answered, and the end comes within 5 s", async (t) => {
  const server = await startServer(t);
  const idle = net.connect(server.port, "127.0.0.1");
  idle.on("error", () => {});
  await once(idle, "connect");
  const events = Array.from({ length: 1000 }, (_, i) => ({ ...event, metadata: { i } }));
  const sent = Array.from({ length: 20 }, () => server.post("/events/batch", { events }));
  await Promise.race(sent);
  const stopped = server.stop();
  const answers = await Promise.allSettled(sent);
  const { code, ms } = await stopped;
  assert.equal(code, 0);
  assert.ok(ms < 5000, `${ms} ms`);
  const answered = answers.filter((a) => a.status === "fulfilled" && a.value.status === 200).length;
  await server.start();
  const { total } = (await server.get("/events?limit=1")).body.pagination;
  assert.ok(total >= answered * 1000, `${total} stored, ${answered} thousand acknowledged`);
});

test("kill -9 under load loses no acknowledged event and doubles none", async (t) => {
  const server = await startServer(t, { args: small });
  const acknowledged = [];
  let going = true;
  const sender = async (s) => {
    for (let i = 0; going; i++) {
      const key = `${s}-${i}`;
      const answer = await server.post("/events", { ...event, idempotency_key: key, metadata: { pad: "y".repeat(200) } }).catch(() => null);
      if (answer?.status === 201) acknowledged.push([key, answer.body.id]);
    }
  };
  const senders = [0, 1, 2, 3].map(sender);
  await until(async () => {
    await server.get("//healthz", { key: null });
    return acknowledged.length > 400;
  }, "some events");
  going = false;
  await server.kill();
  await Promise.all(senders);
  await server.start();
  assert.equal((await server.get("/verify")).body.data.valid, true);
  for (const [key, id] of acknowledged.slice(-50)) {
    const again = await server.post("/events", { ...event, idempotency_key: key });
    assert.deepEqual([again.status, again.body.id], [200, id]);
  }
});

test("SIGHUP reads geo data and lists again and drops no request", async (t) => {
  const folder = await tempFolder(t);
  const places = path.join(folder, "places.csv");
  const list = path.join(folder, "bad.txt");
  await writeFile(places, "10.0.0.0/8,DE,Berlin,52.52,13.40,office\n");
  await writeFile(list, "# none\n");
  const server = await startServer(t, { args: ["--places", places, "--ip-list", `bad=${list}`, "--geo", geoFiles[0]] });
  const look = async () => (await server.post("/events", { ...event, ip_address: "10.1.2.3" })).body;
  assert.deepEqual([(await look()).ip_city, (await look()).network.name], ["Berlin", "office"]);
  let going = true;
  const statuses = new Set();
  const load = [0, 1, 2].map(async () => {
    while (going) statuses.add((await server.post("/events", { ...event, ip_address: "8.8.8.8" })).status);
  });
  await writeFile(places, "10.0.0.0/8,RO,Bucharest,44.43,26.10,\n");
  await writeFile(list, "10.1.0.0/16\n");
  process.kill(server.pid, "SIGHUP");
  await server.says(/reloaded/);
  assert.deepEqual([(await look()).ip_city, (await look()).network.lists], ["Bucharest", ["bad"]]);
  await writeFile(places, "10.0.0.0/8,RO,Bucharest,a lot,26.10,\n");
  process.kill(server.pid, "SIGHUP");
  await server.says(/places\.csv.*stays in use/);
  assert.equal((await look()).ip_city, "Bucharest");
  going = false;
  await Promise.all(load);
  assert.deepEqual([...statuses], [201]);
  await writeFile(places, "10.0.0.0/8,AT,Vienna,48.21,16.37,\n");
  process.kill(server.pid, "SIGHUP"); // nobody asks it anything now: the next one wakes it
  await server.says(/reloaded[^]*reloaded/);
  assert.equal((await look()).ip_city, "Vienna");
});

test("without geo data it starts, says so once and loudly, and answers null places", async (t) => {
  const server = await startServer(t);
  assert.equal(server.stderr.split("\n").filter((line) => /geo/i.test(line)).length, 1, server.stderr);
  const { body } = await server.post("/events", { ...event, ip_address: "8.8.8.8" });
  assert.deepEqual([body.ip_country, body.location], [null, null]);
});

test("TLS with a certificate that SIGHUP reads again, and HTTP/2 where it is asked for", async (t) => {
  const folder = await mkdtemp(path.join(os.tmpdir(), "tocsin-tls-"));
  t.after(() => rm(folder, { recursive: true }));
  const [cert, key] = [path.join(folder, "cert.pem"), path.join(folder, "key.pem")];
  const make = (name) => exec("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", `/CN=${name}`, "-keyout", key, "-out", cert]);
  await make("first");
  const server = await startServer(t, { args: ["--tls-cert", cert, "--tls-key", key, "--http2"] });
  assert.match(server.url, /^https:/);
  const hello = async (protocol) => {
    const socket = tls.connect({ port: server.port, host: "127.0.0.1", rejectUnauthorized: false, ALPNProtocols: [protocol] });
    await once(socket, "secureConnect");
    const told = [socket.getPeerCertificate().subject.CN, socket.alpnProtocol];
    socket.destroy();
    return told;
  };
  assert.deepEqual(await hello("http/1.1"), ["first", "http/1.1"]);
  const { stdout } = await exec("curl", ["-sk", "--http2", "-o", "/dev/null", "-w", "%{http_version} %{http_code}", `${server.url}/healthz`]);
  assert.equal(stdout, "2 200");
  await make("second");
  process.kill(server.pid, "SIGHUP");
  await server.says(/reloaded/);
  assert.deepEqual(await hello("http/1.1"), ["second", "http/1.1"]);
  await writeFile(cert, "nonsense");
  process.kill(server.pid, "SIGHUP");
  await server.says(/certificate from before/);
  assert.equal((await hello("h2"))[0], "second");
});

test("an old data folder copied while stopped is a backup", async (t) => {
  const server = await startServer(t);
  await fill(server, 100);
  await server.stop();
  const copy = await tempFolder(t);
  await exec("cp", ["-a", `${server.data}/.`, copy]);
  const other = await startServer(t, { data: copy, apiKey: server.apiKey });
  assert.equal((await other.get("/events?limit=1")).body.pagination.total, 100);
});
