// A mail server in the test process, on node's own net and tls: EHLO, STARTTLS, AUTH PLAIN and
// LOGIN, SIZE. It keeps every message as it came, read by an independent MIME parser, and behaves
// as badly as it is told, at any stage.
//
//   const sink = await startSink(t, { tls: "starttls", user: "ana", password: "secret" });
//   const mail = await sink.nth(1);    // {from, to, raw, tls, user, parsed}
//   sink.behave = (stage, session) => …
//
// `behave` is asked before each answer: undefined goes on as usual, a string is answered instead
// ("451 4.7.1 later"), `sink.cut` closes the connection, `sink.hang` says nothing more. Stages:
// connect ehlo starttls auth mail rcpt data body quit.

import { execFile } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import net from "node:net";
import path from "node:path";
import tls from "node:tls";
import { promisify } from "node:util";
import { createRequire } from "node:module";
import { tempFolder, top, within } from "./harness.mjs";

const { simpleParser } = createRequire(path.join(top, "test/package.json"))("mailparser");

/** A key and a certificate of its own making, for 127.0.0.1. {key, cert, file} */
export async function makeCertificate(t) {
  const folder = await tempFolder(t, "tocsin-cert-");
  const [key, cert] = ["key.pem", "cert.pem"].map((name) => path.join(folder, name));
  await promisify(execFile)("openssl", [
    ..."req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2".split(" "),
    ...["-subj", "/CN=sink", "-addext", "subjectAltName=IP:127.0.0.1"],
    ...["-keyout", key, "-out", cert],
  ]);
  return { key: await readFile(key), cert: await readFile(cert), file: cert };
}

export async function startSink(t, options = {}) {
  const certificate = options.tls ? (options.certificate ?? (await makeCertificate(t))) : null;
  const sink = new Sink({ ...options, certificate });
  await sink.listen();
  t?.after(() => sink.close());
  return sink;
}

class Sink {
  cut = Symbol("cut");
  hang = Symbol("hang");
  behave = () => undefined;
  mails = [];
  sessions = [];
  waiting = [];

  constructor(options) {
    this.options = options;
    this.ca = options.certificate?.file;
  }

  async listen() {
    this.server = net.createServer((socket) => this.receive(socket));
    this.server.listen(this.options.port ?? 0, "127.0.0.1");
    await once(this.server, "listening");
    this.port = this.server.address().port;
  }

  get url() {
    const { tls: way, user } = this.options;
    const who = user ? `${encodeURIComponent(user)}@` : "";
    return `${way === "implicit" ? "smtps" : "smtp"}://${who}127.0.0.1:${this.port}`;
  }

  /** Arguments and environment that make a server send here. */
  get server_options() {
    const args = ["--smtp-url", this.url, "--mail-from", "tocsin@example.com"];
    if (this.ca && !this.options.stranger) args.push("--smtp-ca", this.ca);
    const env = this.options.password ? { TOCSIN_SMTP_PASSWORD: this.options.password } : {};
    return { args, env };
  }

  receive(socket) {
    const session = new Session(this, socket);
    this.sessions.push(session);
    session.run().catch(() => socket.destroy());
  }

  /** The n-th mail that was accepted, from 1; waits for it. */
  async nth(n, ms) {
    if (this.mails.length < n) {
      const come = new Promise((resolve) => this.waiting.push({ n, resolve }));
      const seen = () => `${this.mails.length} came; ${this.told()}`;
      await within(come, `mail ${n}`, seen, ms);
    }
    return this.mails[n - 1];
  }

  told() {
    return this.sessions.map((session) => session.told.join("\n")).join("\n\n");
  }

  async accept(session) {
    const { from, to, raw, secure, user } = session;
    const mail = { from, to, raw, tls: secure, user, parsed: await simpleParser(raw) };
    const count = this.mails.push(mail);
    this.waiting = this.waiting.filter((wait) => wait.n > count || wait.resolve());
  }

  async close() {
    for (const { socket } of this.sessions) socket.destroy();
    this.server.close();
    await once(this.server, "close");
  }
}

class Session {
  told = []; // who said what
  buffer = Buffer.alloc(0);
  ended = false;
  secure = false;
  user = null;
  to = [];

  constructor(sink, socket) {
    this.sink = sink;
    this.use(socket);
  }

  use(socket) {
    socket.setNoDelay(true);
    this.socket = socket;
    this.wake = () => {};
    socket.on("data", (chunk) => {
      this.buffer = Buffer.concat([this.buffer, chunk]);
      this.wake();
    });
    for (const end of ["end", "close", "error"])
      socket.on(end, () => {
        this.ended = true;
        this.wake();
      });
  }

  /** Everything up to and without `end`; null when the connection is over. */
  async read(end) {
    for (;;) {
      const at = this.buffer.indexOf(end);
      if (at >= 0) {
        const got = this.buffer.subarray(0, at);
        this.buffer = this.buffer.subarray(at + end.length);
        return got;
      }
      if (this.ended) return null;
      await new Promise((resolve) => (this.wake = resolve));
    }
  }

  say(...lines) {
    const coded = lines.map((line, i) =>
      i + 1 < lines.length ? line.replace(" ", "-") : line,
    );
    this.told.push(...coded.map((line) => `S: ${line}`));
    this.socket.write(coded.map((line) => `${line}\r\n`).join(""));
  }

  /** Whether all is as usual. */
  usual(stage) {
    const how = this.sink.behave(stage, this);
    if (how === undefined) return true;
    if (how === this.sink.cut) this.socket.destroy();
    else if (how !== this.sink.hang) this.say(...[how].flat());
    return false;
  }

  async line() {
    const got = await this.read("\r\n");
    if (got === null) return null;
    this.told.push(`C: ${got}`);
    return got.toString();
  }

  async run() {
    if (this.sink.options.tls === "implicit" && !(await this.secureNow())) return;
    if (this.usual("connect")) this.say("220 sink.example ESMTP");
    for (let line; (line = await this.line()) !== null;) {
      const [word] = line.toUpperCase().split(/[ :]/);
      const how = this[`on_${word}`];
      if (how) await how.call(this, line);
      else this.say("500 5.5.1 what?");
    }
  }

  on_EHLO() {
    if (!this.usual("ehlo")) return;
    const { tls: way, user } = this.sink.options;
    const lines = ["250 sink.example", "250 SIZE 1000000", "250 8BITMIME"];
    if (way === "starttls" && !this.secure) lines.push("250 STARTTLS");
    if (user && (this.secure || !way)) lines.push(`250 AUTH ${this.sink.options.auth ?? "PLAIN LOGIN"}`);
    this.say(...lines);
  }

  async on_STARTTLS() {
    if (!this.usual("starttls")) return;
    this.say("220 2.0.0 go ahead");
    await this.secureNow();
  }

  async secureNow() {
    const { key, cert } = this.sink.options.certificate;
    const plain = this.socket;
    plain.removeAllListeners();
    plain.on("error", () => {});
    const secure = new tls.TLSSocket(plain, { isServer: true, key, cert });
    const done = new Promise((resolve) => {
      secure.once("secure", () => resolve(true));
      for (const end of ["error", "close"]) secure.once(end, () => resolve(false));
    });
    this.use(secure);
    this.secure = await done;
    return this.secure;
  }

  async on_AUTH(line) {
    if (!this.usual("auth")) return;
    const [, how, first] = line.split(" ");
    const decode = (text) => Buffer.from(text ?? "", "base64").toString();
    const ask = async (what) => {
      this.say(`334 ${Buffer.from(what).toString("base64")}`);
      return decode(await this.line());
    };
    let user, password;
    if (how === "PLAIN") [, user, password] = (first ? decode(first) : await ask("")).split("\0");
    else [user, password] = [first ? decode(first) : await ask("Username:"), await ask("Password:")];
    const { user: wanted, password: secret } = this.sink.options;
    if (user !== wanted || password !== secret) return this.say("535 5.7.8 who are you?");
    this.user = user;
    this.say("235 2.7.0 welcome");
  }

  on_MAIL(line) {
    this.from = /<(.*?)>/.exec(line)[1];
    this.to = [];
    if (this.usual("mail")) this.say("250 2.1.0 ok");
  }

  on_RCPT(line) {
    const to = /<(.*?)>/.exec(line)[1];
    if (!this.usual("rcpt")) return;
    this.to.push(to);
    this.say("250 2.1.5 ok");
  }

  async on_DATA() {
    if (!this.usual("data")) return;
    this.say("354 go on");
    const got = await this.read("\r\n.\r\n");
    if (got === null) return;
    this.raw = Buffer.from(`${got.toString("latin1").replace(/^\.\./gm, ".")}\r\n`, "latin1");
    if (!this.usual("body")) return;
    await this.sink.accept(this);
    this.say("250 2.0.0 taken");
  }

  on_RSET() {
    this.say("250 2.0.0 ok");
  }
  on_NOOP() {
    this.say("250 2.0.0 ok");
  }
  on_QUIT() {
    if (!this.usual("quit")) return;
    this.say("221 2.0.0 bye");
    this.socket.end();
  }
}
