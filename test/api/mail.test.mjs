// Mail: from an event to what arrives at a mail server that is real, and badly behaved.

import assert from "node:assert/strict";
import { test } from "node:test";
import { run, startReceiver, startServer, tempFolder, until } from "./harness.mjs";
import { makeCertificate, startSink } from "./smtp_sink.mjs";

const ACCOUNT = { user: "ana@mail.example", password: "s3 cr:et/@%" };
const WATCHED = { name: "Sign-ins", rule_type: "watched_action", conditions: { action_pattern: "auth.login" } };

async function startMailing(t, sink, { members = ["ana@example.com"], args = [], ...options } = {}) {
  const { args: smtp, env } = sink.server_options;
  const server = await startServer(t, { ...options, args: [...smtp, ...args], env });
  for (const email of members) {
    const answer = await server.post("/members", { email, role: "owner" });
    assert.equal(answer.status, 201, answer.text);
  }
  return server;
}

async function makeRule(server, members = {}) {
  const answer = await server.post("/rules", { ...WATCHED, channels: ["email"], ...members });
  assert.equal(answer.status, 201, answer.text);
  const { id } = answer.body;
  await until(async () => (await server.get(`/rules/${id}`)).body.status === "active", "an active rule");
  return answer.body;
}

async function signIn(server, members = {}) {
  const answer = await server.post("/events", { actor_id: "user_1", action: "auth.login", ...members });
  assert.equal(answer.status, 201, answer.text);
  return answer.body;
}

/** The only delivery, once it has been tried so often. */
async function tried(server, attempts = 1) {
  const { data } = await until(async () => {
    const { body } = await server.get("/deliveries");
    return body.data.length === 1 && body.data[0].attempts_made >= attempts && body;
  }, `${attempts} attempts`);
  return (await server.get(`/deliveries/${data[0].id}`)).body;
}

test("an alert reaches its admins, encrypted, signed in, and readable", async (t) => {
  const sink = await startSink(t, { tls: "starttls", ...ACCOUNT });
  const server = await startMailing(t, sink, {
    members: ["ana@example.com", "ben@example.com"],
    args: ["--public-url", "https://tocsin.example"],
  });
  await server.post("/members", { email: "vic@example.com", role: "viewer" });
  const rule = await makeRule(server, { name: "Anmeldung – überwacht", emails: ["soc@example.com", "ANA@example.com"] });
  const stored = await signIn(server, { actor_name: "Jörg Müller", ip_address: "91.203.144.12" });
  await sink.nth(3);
  const byAddress = new Map(sink.mails.map((mail) => [mail.to[0], mail]));
  assert.deepEqual([...byAddress.keys()].sort(), ["ana@example.com", "ben@example.com", "soc@example.com"]);
  assert.equal(sink.mails.length, 3);
  for (const { tls, user, from } of sink.mails)
    assert.deepEqual({ tls, user, from }, { tls: true, user: ACCOUNT.user, from: "tocsin@example.com" });

  const { parsed } = byAddress.get("ana@example.com");
  assert.equal(parsed.subject, `[Medium] ${rule.name}: Jörg Müller (user_1)`);
  assert.equal(parsed.from.value[0].address, "tocsin@example.com");
  assert.equal(parsed.from.value[0].name, "Tocsin");
  assert.deepEqual(parsed.to.value.map(({ address }) => address), ["ana@example.com"]);
  assert.ok(Math.abs(parsed.date - new Date(stored.created_at)) < 60_000);
  assert.match(parsed.messageId, /^<dlv_[0-9a-f-]{36}@example\.com>$/);
  assert.equal(parsed.headers.get("auto-submitted"), "auto-generated");
  const link = `https://tocsin.example/alerts/${stored.alerts[0].id}`;
  for (const part of [parsed.text, parsed.html]) {
    for (const told of ["Jörg Müller", "auth.login", "91.203.144.12", "UTC", rule.name, link, "What to do next"])
      assert.ok(part.includes(told), `${told} in ${part}`);
  }
  assert.ok(parsed.html.includes(`href="${link}"`));
  assert.ok(!`${server.stdout}${server.stderr}`.includes(ACCOUNT.password));

  const { id } = await until(async () => {
    const { data } = (await server.get("/deliveries?email=ben@example.com")).body;
    return data.length === 1 && data[0].status === "delivered" && data[0];
  }, "the outcome");
  const delivery = (await server.get(`/deliveries/${id}`)).body;
  assert.equal(delivery.channel, "email");
  assert.equal(delivery.email, "ben@example.com");
  assert.equal(delivery.webhook_id, null);
  assert.equal(delivery.alert_id, stored.alerts[0].id);
  assert.equal(delivery.attempts[0].status, 250);
  assert.equal(delivery.attempts[0].answer, "250 2.0.0 taken");
  assert.equal((await server.get("/deliveries?email=ben@example.com&webhook_id=x")).status, 422);
  assert.equal((await server.get("/deliveries?email=ben")).status, 422);
  assert.ok((await server.get(`/alerts/${stored.alerts[0].id}`)).body.notified_at);
});

test("one actor is one thread, whoever else comes in between", async (t) => {
  const sink = await startSink(t);
  const server = await startMailing(t, sink);
  await makeRule(server);
  for (const actor_id of ["user_1", "user_2", "user_1"]) await signIn(server, { actor_id });
  await sink.nth(3);
  const threads = new Map();
  for (const { parsed } of sink.mails) {
    const who = /user_\d/.exec(parsed.subject)[0];
    threads.set(who, [...(threads.get(who) ?? []), parsed]);
  }
  const [first, second] = threads.get("user_1");
  assert.equal(first.inReplyTo, second.inReplyTo);
  assert.equal([first.references].flat()[0], first.inReplyTo);
  assert.notEqual(first.messageId, second.messageId);
  assert.notEqual(threads.get("user_2")[0].inReplyTo, first.inReplyTo);
});

test("what somebody else wrote ends no header, makes no part and no link", async (t) => {
  const sink = await startSink(t);
  const server = await startMailing(t, sink);
  await makeRule(server, { name: "Rule\r\nBcc: eve@example.com\r\n\r\nhello" });
  const actor_name = "Eve\r\n\r\n--=_tocsin--\r\n.\r\nQUIT\r\n<a href='https://evil.example'>click</a> =?UTF-8?Q?=0D=0A?=";
  await signIn(server, { actor_name, user_agent: "https://evil.example/\u202egpj" });
  const { parsed, raw } = await sink.nth(1);
  assert.equal(parsed.bcc, undefined);
  assert.deepEqual([...parsed.headers.keys()].sort(), [
    "auto-submitted", "content-type", "date", "from", "in-reply-to", "message-id", "mime-version", "references",
    "subject", "to", "x-auto-response-suppress",
  ]);
  assert.equal(parsed.attachments.length, 0);
  assert.ok(!parsed.html.includes("<a href='"));
  assert.ok(!/https?:\/\/evil/.test(parsed.html + parsed.text));
  assert.ok(!parsed.html.includes("\u202e"));
  assert.ok(raw.every((byte) => byte < 0x80));
  assert.ok(raw.toString().split("\r\n").every((line) => line.length <= 78));
  assert.equal(sink.mails.length, 1);
});

// What comes of it: tried again, or dead at once. `status` is what the list of attempts shows.
const FAULTS = [
  ["connect", "421 4.3.2 too busy", "pending", 421],
  ["connect", "554 5.7.1 go away", "pending", 554],
  ["connect", "cut", "pending", null],
  ["ehlo", "cut", "pending", null],
  ["starttls", "454 4.7.0 not now", "pending", 454],
  ["starttls", "cut", "pending", null],
  ["auth", "535 5.7.8 who are you?", "pending", 535],
  ["auth", "cut", "pending", null],
  ["mail", "451 4.3.0 later", "pending", 451],
  ["mail", "530 5.7.0 sign in first", "pending", 530],
  ["mail", "550 5.7.1 not you", "dead", 550],
  ["mail", "cut", "pending", null],
  ["rcpt", "450 4.2.1 full", "pending", 450],
  ["rcpt", "550 5.1.1 no such user", "dead", 550],
  ["rcpt", ["550 5.1.1 no such user", "550 5.1.1 here"], "dead", 550],
  ["rcpt", "cut", "pending", null],
  ["data", "451 4.3.0 later", "pending", 451],
  ["data", "554 5.5.1 no", "dead", 554],
  ["data", "cut", "pending", null],
  ["body", "451 4.7.1 greylisted", "pending", 451],
  ["body", "552 5.3.4 too big", "dead", 552],
  ["body", "cut", "pending", null],
];

test("a mail server that misbehaves at any stage loses nothing", async (t) => {
  const certificate = await makeCertificate(t);
  for (const [stage, how, status, code] of FAULTS) {
    await t.test(`${stage}: ${how}`, async (t) => {
      const sink = await startSink(t, { tls: "starttls", certificate, ...ACCOUNT });
      const raws = [];
      sink.behave = (at, session) => {
        if (at === "body") raws.push(session.raw.toString());
        return at === stage ? (sink[how] ?? how) : undefined;
      };
      const server = await startMailing(t, sink);
      await makeRule(server);
      await signIn(server);
      const failed = await tried(server);
      assert.equal(failed.status, status, JSON.stringify(failed));
      assert.equal(failed.attempts[0].status, code, JSON.stringify(failed));
      assert.ok(failed.attempts[0].error, JSON.stringify(failed));
      if (code) assert.ok(failed.attempts[0].answer.startsWith([how].flat()[0].replace(" ", how.at ? " " : "-").slice(0, 3)));
      assert.ok(!JSON.stringify(failed).includes(ACCOUNT.password));
      assert.equal(sink.mails.length, 0);

      sink.behave = (at, session) => void (at === "body" && raws.push(session.raw.toString()));
      await server.post(`/deliveries/${failed.id}/replay`);
      const { parsed } = await sink.nth(1);
      assert.equal(parsed.messageId, `<${failed.id}@example.com>`);
      for (const raw of raws) assert.ok(raw.includes(failed.id)); // the same mail, both times
    });
  }
});

test("a mail that was put off is tried again by itself", async (t) => {
  const sink = await startSink(t);
  sink.behave = (stage) => (stage === "rcpt" && sink.sessions.length === 1 ? "451 4.7.1 greylisted" : undefined);
  const server = await startMailing(t, sink);
  await makeRule(server);
  await signIn(server);
  await sink.nth(1); // five seconds later
  const delivery = await until(async () => {
    const one = await tried(server, 2);
    return one.status === "delivered" && one;
  }, "the outcome");
  assert.deepEqual(delivery.attempts.map(({ status }) => status), [451, 250]);
  const metrics = (await server.get("//metrics")).text;
  assert.match(metrics, /^tocsin_mail_attempts_total\{outcome="accepted"\} 1$/m);
  assert.match(metrics, /^tocsin_mail_attempts_total\{outcome="failed"\} 1$/m);
  assert.match(metrics, /^tocsin_mail_deliveries_waiting 0$/m);
});

test("a mail server that hangs at any stage delays no webhook and no stop", async (t) => {
  const certificate = await makeCertificate(t);
  for (const stage of ["connect", "ehlo", "starttls", "auth", "mail", "rcpt", "data", "body", "quit"]) {
    await t.test(stage, async (t) => {
      const sink = await startSink(t, { tls: "starttls", certificate, ...ACCOUNT });
      let hung;
      const hangs = new Promise((resolve) => (hung = resolve));
      sink.behave = (at) => {
        if (stage === "quit" && at === "rcpt") return "550 5.1.1 no such user";
        if (at !== stage) return undefined;
        hung();
        return sink.hang;
      };
      const server = await startMailing(t, sink, { members: ["ana@example.com", "ben@example.com"] });
      const receiver = await startReceiver(t);
      await server.post("/webhooks", { url: receiver.url });
      await makeRule(server, { channels: ["email"] });
      await signIn(server);
      await hangs;
      await makeRule(server, { name: "To the webhook", channels: ["webhook"] });
      for (let i = 0; i < 20; i++) await signIn(server, { actor_id: `user_${i}` });
      // Far less than the mail server may take.
      await receiver.nth(20, 10_000);
      if (stage === "quit") await until(async () => (await server.get("/deliveries?status=dead")).body.data.length > 0, "an outcome", 10_000);
      const { ms } = await server.stop();
      assert.ok(ms < 10_000, `${ms} ms`);
    });
  }
});

test("a mail server that hangs loses nothing, and what waits goes out with the next start", async (t) => {
  const sink = await startSink(t);
  sink.behave = () => sink.hang;
  const server = await startMailing(t, sink);
  const receiver = await startReceiver(t);
  await server.post("/webhooks", { url: receiver.url });
  await makeRule(server, { channels: ["email", "webhook"] });
  for (let i = 0; i < 50; i++) await signIn(server, { actor_id: `user_${i}` });
  await receiver.nth(50);
  assert.equal(sink.mails.length, 0);
  const { ms } = await server.stop();
  assert.ok(ms < 10_000, `${ms} ms`);
  sink.behave = () => undefined;
  await server.start();
  const told = () => sink.mails.map(({ parsed }) => Number(/^(\d+) alerts/.exec(parsed.subject)?.[1] ?? 1));
  await until(() => told().reduce((a, b) => a + b, 0) >= 50, "all of them");
  assert.equal(told().reduce((a, b) => a + b, 0), 50);
});

test("a storm is one mail", async (t) => {
  const sink = await startSink(t);
  const server = await startMailing(t, sink);
  await makeRule(server);
  const events = Array.from({ length: 60 }, (_, i) => ({ actor_id: `user_${i}`, action: "auth.login" }));
  assert.equal((await server.post("/events/batch", { events })).status, 200);
  const { parsed } = await sink.nth(1);
  assert.equal(parsed.subject, "60 alerts at once");
  assert.ok(parsed.text.includes("60 × Sign-ins"));
  assert.ok(parsed.text.includes("and 10 more"));
  await until(async () => (await server.get("/deliveries?status=delivered&limit=100")).body.data.length === 60, "60 delivered");
  assert.match((await server.get("//metrics")).text, /^tocsin_mail_digests_total 1$/m);
});

test("kill -9 in the midst of mailing: each arrives, and a second one is the same mail", async (t) => {
  const sink = await startSink(t);
  const emails = Array.from({ length: 10 }, (_, i) => `soc${i}@example.com`);
  const server = await startMailing(t, sink, { members: [] });
  await makeRule(server, { emails });
  let kills = 0;
  const alerts = [];
  for (let i = 0; i < 4; i++) {
    alerts.push((await signIn(server, { actor_id: `user_${i}` })).alerts[0].id);
    if (i % 2 === 0) continue;
    await sink.nth(8 + 14 * kills++);
    await server.restart("SIGKILL");
  }
  const seen = () => {
    const ids = new Map();
    for (const { parsed, to } of sink.mails) {
      const alert = /alt_[0-9a-f-]{36}/.exec(parsed.text)?.[0];
      const key = `${alert} ${to[0]}`;
      ids.set(key, (ids.get(key) ?? new Set()).add(parsed.messageId));
    }
    return ids;
  };
  await until(() => seen().size >= 40, "one mail for each alert and address");
  for (const alert of alerts)
    for (const email of emails) assert.equal(seen().get(`${alert} ${email}`)?.size, 1, `${alert} ${email}`);
  await until(async () => (await server.get("/deliveries?status=pending")).body.data.length === 0, "nothing that waits");
});

test("the password is shown to nobody but a server with a good certificate", async (t) => {
  const plain = await startSink(t, ACCOUNT); // offers AUTH, and no encryption
  const stranger = await startSink(t, { tls: "starttls", stranger: true, ...ACCOUNT });
  const implicit = await startSink(t, { tls: "implicit", stranger: true, ...ACCOUNT });
  for (const sink of [plain, stranger, implicit]) {
    const server = await startMailing(t, sink);
    const { body } = await server.post("/settings/test-email");
    assert.equal(body.delivered, false, JSON.stringify(body));
    assert.equal(body.status, null);
    assert.ok(body.error, JSON.stringify(body));
    assert.ok(!sink.told().includes("AUTH PLAIN A"), sink.told());
    assert.ok(!sink.told().includes("MAIL FROM"), sink.told());
    assert.ok(!JSON.stringify(body).includes(ACCOUNT.password));
  }
});

test("without a password encryption is taken where it is offered", async (t) => {
  const sinks = [
    [await startSink(t), false],
    [await startSink(t, { tls: "starttls", stranger: true }), true],
    [await startSink(t, { tls: "implicit" }), true],
    [await startSink(t, { tls: "implicit", auth: "LOGIN", ...ACCOUNT }), true],
  ];
  for (const [sink, encrypted] of sinks) {
    const server = await startMailing(t, sink);
    const { body } = await server.post("/settings/test-email");
    assert.equal(body.delivered, true, JSON.stringify(body));
    assert.equal(sink.mails[0].tls, encrypted);
  }
});

test("a test mail tells plainly what the server said", async (t) => {
  const sink = await startSink(t);
  const server = await startMailing(t, sink, { members: [] });
  const nobody = await server.post("/settings/test-email");
  assert.equal(nobody.status, 422, nobody.text);
  assert.ok(nobody.body.message.includes("to"), nobody.text);
  for (const to of ["", "ana", "a@b\r\nBcc: x@y", 5, null])
    assert.equal((await server.post("/settings/test-email", { to })).status, 422);
  assert.equal((await server.post("/settings/test-email", { too: "a@b" })).status, 422);

  const good = await server.post("/settings/test-email", { to: "eve@example.com" });
  assert.equal(good.status, 200, good.text);
  const { duration_ms, ...rest } = good.body;
  assert.deepEqual(rest, { to: "eve@example.com", delivered: true, status: 250, answer: "250 2.0.0 taken", error: null });
  assert.ok(duration_ms >= 0);
  assert.equal(sink.mails[0].parsed.subject, "Tocsin: a test of the mail");

  await server.post("/members", { email: "vic@example.com", role: "analyst" });
  await server.post("/members", { email: "ana@example.com", role: "admin" });
  sink.behave = (stage) => (stage === "rcpt" ? "550 5.1.1 no such user" : undefined);
  const refused = (await server.post("/settings/test-email", {})).body;
  assert.equal(refused.to, "ana@example.com");
  assert.equal(refused.delivered, false);
  assert.equal(refused.status, 550);
  assert.equal(refused.answer, "550 5.1.1 no such user");
  assert.ok(refused.error.includes("550"), JSON.stringify(refused));

  await sink.close();
  const down = (await server.post("/settings/test-email")).body;
  assert.equal(down.delivered, false);
  assert.equal(down.status, null);
  assert.equal(down.answer, null);
  assert.ok(/connect/i.test(down.error), JSON.stringify(down));
  assert.deepEqual((await server.get("/deliveries")).body.data, []);
});

test("without a mail server nothing is kept, and it is said once", async (t) => {
  const server = await startServer(t);
  await server.post("/members", { email: "ana@example.com", role: "owner" });
  await makeRule(server);
  for (let i = 0; i < 3; i++) await signIn(server);
  await until(() => server.stderr.includes("--smtp-url"), "the warning");
  assert.equal(server.stderr.match(/--smtp-url/g).length, 1);
  assert.deepEqual((await server.get("/deliveries")).body.data, []);
  const answer = await server.post("/settings/test-email", { to: "ana@example.com" });
  assert.equal(answer.status, 409, answer.text);
  assert.ok(answer.body.message.includes("--smtp-url"));
});

test("history that is sent in afterwards is not mailed", async (t) => {
  const sink = await startSink(t);
  const server = await startMailing(t, sink);
  await makeRule(server);
  const events = [{ actor_id: "user_1", action: "auth.login" }];
  assert.equal((await server.post("/events/batch?backfill=true", { events })).status, 200);
  assert.equal((await server.get("/alerts")).body.data.length, 1);
  await signIn(server, { actor_id: "user_2" });
  await sink.nth(1);
  await tried(server); // which is the only one
  assert.ok(sink.mails[0].parsed.subject.includes("user_2"));
});

test("the starter rules get their channels from the first one who can be written to", async (t) => {
  const sink = await startSink(t);
  const server = await startMailing(t, sink, { starter: true, members: [] });
  const channels = async () => (await server.get("/rules")).body.data.map((rule) => rule.channels.length);
  await server.post("/members", { email: "vic@example.com", role: "viewer" });
  assert.ok((await channels()).every((count) => count === 0));
  const { id } = (await server.post("/members", { email: "ana@example.com", role: "analyst" })).body;
  await server.patch(`/members/${id}`, { role: "owner" });
  assert.ok((await channels()).every((count) => count === 2));

  const without = await startServer(t, { starter: true });
  await without.post("/members", { email: "ana@example.com", role: "owner" });
  const { data } = (await without.get("/rules")).body;
  assert.ok(data.every((rule) => rule.channels.length === 0));
  // A mail server that comes later finds somebody to write to.
  without.options.args = sink.server_options.args;
  await without.restart();
  const later = (await without.get("/rules")).body.data;
  assert.ok(later.every((rule) => rule.channels.length === 2), JSON.stringify(later));
});

test("wrong options are said by name, and nothing starts", async (t) => {
  const data = await tempFolder(t);
  const from = ["--mail-from", "a@example.com"];
  for (const [args, told, env = {}] of [
    [["--smtp-url", "smtp://localhost"], /--mail-from/],
    [["--smtp-url", "smtp://localhost", "--mail-from", "Tocsin"], /--mail-from/],
    [["--smtp-url", "http://localhost", ...from], /--smtp-url/],
    [["--smtp-url", "smtp://ana:s3cret@localhost", ...from], /TOCSIN_SMTP_PASSWORD/],
    [["--smtp-url", "smtp://ana@localhost", ...from], /TOCSIN_SMTP_PASSWORD/],
    [["--smtp-url", "smtp://localhost", ...from], /names no user/, { TOCSIN_SMTP_PASSWORD: "s3cret" }],
    [from, /--smtp-url/],
    [["--public-url", "tocsin.example"], /--public-url/],
    [["--public-url", "https://tocsin.example/"], /--public-url/],
  ]) {
    const { code, stderr } = await run(["serve", "--data", data, "--listen", "127.0.0.1:0", ...args], { env });
    assert.equal(code, 1, stderr);
    assert.match(stderr, told);
    assert.ok(!stderr.includes("s3cret"), stderr);
  }
});
