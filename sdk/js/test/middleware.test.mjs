import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import test from "node:test";
import { clientOf, startMock } from "./support/mock.mjs";

async function serve(t, handler) {
  const server = http.createServer(handler);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${server.address().port}`;
}

/** As Express runs them: one after the other, each calling the next. */
function chain(...steps) {
  return (request, response) => {
    const run = (i) =>
      steps[i](request, response, (error) => (error ? response.end() : run(i + 1)));
    run(0);
  };
}

/** As body parsers were long written: callbacks on the request, next() when it is whole. */
function parseBody(request, _response, next) {
  let text = "";
  request.on("data", (chunk) => (text += chunk));
  request.on("end", () => {
    request.body = JSON.parse(text);
    next();
  });
}

const as = (address, agent = "UA") => ({ "x-forwarded-for": address, "user-agent": agent });
const seen = (mock) =>
  mock.requests.map(({ body }) => [body.action, body.ip_address, body.user_agent]);

test("an event tracked inside a request carries its user, though nothing says so", async (t) => {
  const mock = await startMock(t);
  const client = clientOf(mock, { trustProxy: true });
  const url = await serve(
    t,
    chain(client.middleware(), async (_request, response) => {
      await new Promise(setImmediate);
      await client.actor("u").track("auth.login");
      response.end();
    }),
  );
  await fetch(url, { headers: as("198.51.100.42", "Firefox") });
  assert.deepEqual(seen(mock), [["auth.login", "198.51.100.42", "Firefox"]]);
});

test("requests at the same time, and on the same connection, are kept apart", async (t) => {
  const mock = await startMock(t);
  const client = clientOf(mock, { trustProxy: true });
  let arrived = 0;
  let open;
  const gate = new Promise((resolve) => (open = resolve));
  const url = await serve(
    t,
    chain(client.middleware(), parseBody, async (request, response) => {
      if (++arrived === 3) open();
      await gate;
      await client.track({ actor_id: request.body.who, action: request.body.who });
      response.end();
    }),
  );
  const hosts = ["192.0.2.1", "192.0.2.2", "192.0.2.3"];
  const post = (address) =>
    fetch(url, { method: "POST", headers: as(address), body: JSON.stringify({ who: address }) });
  await Promise.all(hosts.map(post));
  for (const host of hosts) await (await post(host)).text();
  assert.equal(mock.requests.length, 6);
  for (const [action, address] of seen(mock)) assert.equal(address, action);
});

test("after a body parser of callbacks it is still known whose request it is", async (t) => {
  const mock = await startMock(t);
  const client = clientOf(mock, { trustProxy: true });
  const url = await serve(
    t,
    chain(client.middleware(), parseBody, async (_request, response) => {
      response.on("finish", () => client.track({ actor_id: "u", action: "finished" }).then(told));
      await client.track({ actor_id: "u", action: "parsed" });
      response.end();
    }),
  );
  let told;
  const finished = new Promise((resolve) => (told = resolve));
  await fetch(url, { method: "POST", headers: as("192.0.2.9"), body: "{}" });
  await finished;
  assert.deepEqual(seen(mock), [
    ["parsed", "192.0.2.9", "UA"],
    ["finished", "192.0.2.9", "UA"],
  ]);
});

test("what the caller says wins, and null means none", async (t) => {
  const mock = await startMock(t);
  const client = clientOf(mock, { trustProxy: true });
  const url = await serve(
    t,
    chain(client.middleware(), async (_request, response) => {
      await client.actor("u").ip("203.0.113.5").track("own");
      await client.actor("system").ip(null).userAgent(null).track("none");
      await client.track({ actor_id: "u", action: "payload", ip_address: null });
      await client.trackBatch([{ actor_id: "u", action: "batch" }]);
      response.end();
    }),
  );
  mock.answer = () => ({ body: {} });
  await fetch(url, { headers: as("192.0.2.9") });
  assert.deepEqual(seen(mock).slice(0, 3), [
    ["own", "203.0.113.5", "UA"],
    ["none", undefined, undefined],
    ["payload", undefined, "UA"],
  ]);
  assert.equal(mock.requests[3].body.events[0].ip_address, "192.0.2.9");
});

test("outside of a request nothing is carried", async (t) => {
  const mock = await startMock(t);
  const client = clientOf(mock, { trustProxy: true });
  const url = await serve(
    t,
    chain(client.middleware(), (_request, response) => response.end()),
  );
  await fetch(url, { headers: as("192.0.2.9") });
  await client.track({ actor_id: "u", action: "outside" });
  assert.deepEqual(seen(mock), [["outside", undefined, undefined]]);
});

test("a request beside the middleware carries nothing of the one before it", async (t) => {
  const mock = await startMock(t);
  const client = clientOf(mock, { trustProxy: true });
  const middleware = client.middleware();
  const url = await serve(t, (request, response) => {
    const track = () =>
      client.track({ actor_id: "u", action: request.url }).then(() => response.end());
    return request.url === "/in" ? middleware(request, response, track) : track();
  });
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  for (const path of ["/in", "/beside"]) {
    const request = http.get(url + path, { agent, headers: as("192.0.2.9") });
    const [response] = await once(request, "response");
    await once(response.resume(), "end");
  }
  client.withRequest({ headers: as("192.0.2.9") }, () => {});
  await client.track({ actor_id: "u", action: "after" });
  assert.deepEqual(seen(mock), [
    ["/in", "192.0.2.9", "UA"],
    ["/beside", undefined, undefined],
    ["after", undefined, undefined],
  ]);
});

test("without trusted proxies the address is the connection's", async (t) => {
  const mock = await startMock(t);
  const client = clientOf(mock);
  const url = await serve(
    t,
    chain(client.middleware(), async (_request, response) => {
      await client.track({ actor_id: "u", action: "a" });
      response.end();
    }),
  );
  await fetch(url, { headers: as("192.0.2.9") });
  assert.deepEqual(seen(mock), [["a", "127.0.0.1", "UA"]]);
});

test("an address that cannot be read goes along as text", async (t) => {
  const mock = await startMock(t);
  const client = clientOf(mock, { trustProxy: true });
  const url = await serve(
    t,
    chain(client.middleware(), async (_request, response) => {
      await client.track({ actor_id: "u", action: "a" });
      response.end();
    }),
  );
  await fetch(url, { headers: as("unknown") });
  assert.deepEqual(mock.requests[0].body.metadata, { ip_address_raw: "unknown" });
});

test("Fastify takes it as a hook, and as a plugin for the whole application", async (t) => {
  const mock = await startMock(t);
  const client = clientOf(mock, { trustProxy: true });
  const hooks = [];
  const plugin = client.fastify();
  await new Promise((done) =>
    plugin({ addHook: (name, hook) => hooks.push([name, hook]) }, {}, done),
  );
  assert.equal(plugin[Symbol.for("skip-override")], true);
  assert.deepEqual(
    hooks.map(([name, hook]) => [name, hook.length]),
    [["onRequest", 3]],
  );
  assert.equal(client.middleware().length, 3);

  // Fastify hands over objects around Node's, and reads the body after the hook.
  const url = await serve(t, (raw, rawReply) => {
    const request = { raw, headers: raw.headers, socket: raw.socket };
    hooks[0][1](request, { raw: rawReply }, () => {
      parseBody(raw, rawReply, async () => {
        await client.track({ actor_id: "u", action: "a" });
        rawReply.end();
      });
    });
  });
  await fetch(url, { method: "POST", headers: as("192.0.2.9"), body: "{}" });
  assert.deepEqual(seen(mock), [["a", "192.0.2.9", "UA"]]);
});

test("fromRequest and withRequest do the same by name", async (t) => {
  const mock = await startMock(t);
  const client = clientOf(mock, { trustProxy: ["127.0.0.1"] });
  const url = await serve(t, async (request, response) => {
    await client.actor("u").fromRequest(request).track("from");
    await client.withRequest(request, () => client.actor("u").track("with"));
    const standard = new Request("http://x/", { headers: { "user-agent": "Fetch" } });
    await client.withRequest(standard, () => client.actor("u").track("fetch"), {
      address: "192.0.2.8",
    });
    response.end();
  });
  await fetch(url, { headers: as("192.0.2.9") });
  assert.deepEqual(seen(mock), [
    ["from", "192.0.2.9", "UA"],
    ["with", "192.0.2.9", "UA"],
    ["fetch", "192.0.2.8", "Fetch"],
  ]);
});
