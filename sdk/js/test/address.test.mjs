import assert from "node:assert/strict";
import test from "node:test";
import { TocsinClient } from "../dist/index.js";

function addressOf(trustProxy, peer, forwarded) {
  const client = new TocsinClient({ apiKey: "k", baseUrl: "http://127.0.0.1", trustProxy });
  const headers = forwarded === undefined ? {} : { "x-forwarded-for": forwarded };
  return client.callerOf({ headers, socket: { remoteAddress: peer } }).ip_address;
}

test("without trusted proxies the header is anybody's word, and counts for nothing", () => {
  for (const trust of [undefined, false, []]) {
    assert.equal(addressOf(trust, "10.0.0.1", "8.8.8.8"), "10.0.0.1");
  }
});

test("the right-most address that is no trusted proxy's counts", () => {
  const trust = ["10.0.0.0/8", "2001:db8::/32", "192.0.2.7"];
  for (const [peer, forwarded, want] of [
    ["10.0.0.1", "8.8.8.8", "8.8.8.8"],
    ["::ffff:10.0.0.1", "8.8.8.8", "8.8.8.8"],
    ["10.0.0.1", "1.1.1.1, 8.8.8.8", "8.8.8.8"],
    ["10.0.0.1", "1.1.1.1, 8.8.8.8, 10.2.3.4, 192.0.2.7", "8.8.8.8"],
    ["2001:db8::5", "2606:4700::1111, 2001:db8::9", "2606:4700::1111"],
    ["10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"],
    ["10.0.0.1", "8.8.8.8:4711", "8.8.8.8:4711"],
    ["10.0.0.1", "8.8.8.8, unknown", "unknown"],
    ["10.0.0.1", " , ", "10.0.0.1"],
    ["10.0.0.1", undefined, "10.0.0.1"],
    ["192.0.2.8", "8.8.8.8", "192.0.2.8"],
    [undefined, "8.8.8.8, 10.0.0.2", "8.8.8.8"],
    [undefined, undefined, undefined],
  ]) {
    assert.equal(addressOf(trust, peer, forwarded), want, `${peer} said ${forwarded}`);
  }
});

test("`true` trusts the one proxy that connects, and no word from before it", () => {
  assert.equal(addressOf(true, "10.0.0.1", "6.6.6.6, 8.8.8.8"), "8.8.8.8");
  assert.equal(addressOf(true, "10.0.0.1", undefined), "10.0.0.1");
});

test("a list that cannot be read is refused when the client is made", () => {
  for (const trust of ["10.0.0.0/33", ["nonsense"], "10.0.0.0/8/8", ["::/129"], ["1.2.3.4/x"]]) {
    assert.throws(() => addressOf(trust, "10.0.0.1"), /trustProxy/);
  }
  assert.equal(addressOf("10.0.0.0/8, 172.16.0.0/12", "172.16.0.1", "8.8.8.8"), "8.8.8.8");
});

test("a request of the fetch standard, Fastify's and a given address are understood", () => {
  const client = new TocsinClient({ apiKey: "k", baseUrl: "http://127.0.0.1", trustProxy: true });
  const headers = { "x-forwarded-for": "8.8.8.8", "User-Agent": "UA" };
  const request = new Request("http://x/", { headers });
  assert.deepEqual(client.callerOf(request), { ip_address: "8.8.8.8", user_agent: "UA" });

  const strict = new TocsinClient({ apiKey: "k", baseUrl: "http://127.0.0.1" });
  assert.equal(strict.callerOf(request).ip_address, undefined);
  assert.equal(strict.callerOf(request, "9.9.9.9").ip_address, "9.9.9.9");
  const fastify = { headers: {}, raw: { socket: { remoteAddress: "9.9.9.8" } } };
  assert.equal(strict.callerOf(fastify).ip_address, "9.9.9.8");
});
