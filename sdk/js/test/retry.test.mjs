import assert from "node:assert/strict";
import test from "node:test";
import {
  AuthError,
  ConflictError,
  NetworkError,
  NotFoundError,
  RateLimitError,
  ServerError,
  TimeoutError,
  TocsinError,
  TransactionError,
  ValidationError,
} from "../dist/index.js";
import { clientOf, startMock, stored } from "./support/mock.mjs";

const login = { actor_id: "u", action: "auth.login" };
const failFirst = (count, failure) => (request, number) =>
  number <= count ? failure : stored(request);

for (const [what, failure] of [
  ["an answer of 500", { status: 500, body: { error: "internal", message: "Broken." } }],
  ["an answer of 503", { status: 503, body: { error: "overloaded", message: "Full." } }],
  ["an answer of 429", { status: 429, body: { error: "rate_limited", message: "Slow down." } }],
  ["a proxy's page of HTML", { status: 502, body: "<html>Bad Gateway</html>" }],
  ["a connection that breaks", "break"],
]) {
  test(`${what} is tried again, with the same key, after growing waits`, async (t) => {
    const mock = await startMock(t, failFirst(2, failure));
    const client = clientOf(mock);
    const answer = await client.track(login);
    assert.equal(answer.status, "stored");
    assert.equal(mock.requests.length, 3);
    const keys = mock.requests.map((request) => request.body.idempotency_key);
    assert.ok(keys[0] && keys.every((key) => key === keys[0]));
    assert.deepEqual(client.waits, [150, 300]);
  });
}

test("a batch is sent again whole, each event with the key it had", async (t) => {
  const mock = await startMock(t, failFirst(1, "break"));
  await clientOf(mock).trackBatch([login, login]);
  assert.deepEqual(mock.requests[1].body, mock.requests[0].body);
});

test("Retry-After is obeyed, as seconds and as a date", async (t) => {
  const now = Date.UTC(2026, 2, 27, 12, 0, 0);
  const said = ["2", "Fri, 27 Mar 2026 12:00:04 GMT"];
  const mock = await startMock(t, (request, number) =>
    number <= 2 ? { status: 429, headers: { "retry-after": said[number - 1] } } : stored(request),
  );
  const client = clientOf(mock, { seams: { now: () => now } });
  await client.track(login);
  assert.deepEqual(client.waits, [2000, 4000]);
});

test("too long a Retry-After is not waited for: the error says how long", async (t) => {
  const mock = await startMock(t, () => ({ status: 429, headers: { "retry-after": "61" } }));
  const client = clientOf(mock);
  await assert.rejects(client.track(login), (error) => {
    assert.ok(error instanceof RateLimitError);
    assert.equal(error.retryAfter, 61);
    return true;
  });
  assert.equal(mock.requests.length, 1);
});

test("there is an end to it, and the last failure is what the caller sees", async (t) => {
  const mock = await startMock(t, (_request, number) => ({
    status: 500,
    body: { error: "internal", message: `Broken ${number}.` },
  }));
  await assert.rejects(clientOf(mock).track(login), { name: "ServerError", message: "Broken 3." });
  assert.equal(mock.requests.length, 3);
  await assert.rejects(clientOf(mock, { maxRetries: 0 }).track(login), ServerError);
  assert.equal(mock.requests.length, 4);
});

test("waits differ by chance and never exceed their most", async (t) => {
  const mock = await startMock(t, () => ({ status: 500 }));
  for (const [random, waits] of [
    [0, [100, 200, 400, 500]],
    [0.9999999, [200, 400, 800, 1000]],
  ]) {
    const seams = { random: () => random };
    const client = clientOf(mock, { seams, maxRetries: 4, maxRetryDelay: 1000 });
    await assert.rejects(client.track(login), ServerError);
    assert.deepEqual(client.waits.map(Math.round), waits);
  }
});

test("a request without an answer is a TimeoutError, after as many tries", async (t) => {
  let expire;
  let settled = 0;
  const mock = await startMock(t, () => {
    queueMicrotask(expire);
    return "hang";
  });
  const limits = [];
  const limit = (ms, call) => {
    limits.push(ms);
    expire = call;
    return () => settled++;
  };
  const client = clientOf(mock, { timeout: 1234, seams: { limit } });
  await assert.rejects(client.track(login), (error) => {
    assert.ok(error instanceof TimeoutError);
    assert.equal(error.statusCode, 0);
    assert.match(error.message, /1234 ms/);
    return true;
  });
  assert.deepEqual(limits, [1234, 1234, 1234]);
  assert.equal(settled, 3);
});

test("a body that never ends runs into the same limit", async (t) => {
  let expire;
  const mock = await startMock(t);
  const never = new Promise(() => {});
  const fetch = async (_url, { signal }) => {
    const aborted = new Promise((_, reject) => {
      signal.addEventListener("abort", () => reject(new Error("aborted")));
    });
    queueMicrotask(() => queueMicrotask(expire));
    return {
      ok: true,
      status: 200,
      headers: new Headers(),
      text: () => Promise.race([never, aborted]),
    };
  };
  const limit = (_ms, call) => {
    expire = call;
    return () => {};
  };
  const client = clientOf(mock, { maxRetries: 0, seams: { fetch, limit } });
  await assert.rejects(client.track(login), TimeoutError);
});

test("a server that is not there is a NetworkError that says why", async (t) => {
  const mock = await startMock(t);
  const client = clientOf(mock);
  mock.close();
  await assert.rejects(client.track(login), (error) => {
    assert.ok(error instanceof NetworkError);
    assert.equal(error.statusCode, 0);
    assert.equal(error.code, "ECONNREFUSED");
    assert.match(error.message, /ECONNREFUSED/);
    return true;
  });
  assert.equal(client.waits.length, 2);
});

test("what would make a second thing is sent again only when the first was refused", async (t) => {
  const webhook = { url: "https://example.com" };
  for (const [failure, requests] of [
    ["break", 1],
    [{ status: 500 }, 1],
    [{ status: 503 }, 3],
    [{ status: 429 }, 3],
  ]) {
    const mock = await startMock(t, () => failure);
    await assert.rejects(clientOf(mock).webhooks.create(webhook), TocsinError);
    assert.equal(mock.requests.length, requests, JSON.stringify(failure));
  }
});

test("a verdict of the receivers is not asked for twice", async (t) => {
  const body = { error: "webhook_transaction_failed", message: "A receiver said no." };
  const mock = await startMock(t, () => ({ status: 504, body }));
  await assert.rejects(clientOf(mock).track(login), { code: "webhook_transaction_failed" });
  assert.equal(mock.requests.length, 1);
});

test("each refusal has its class, and is not tried again", async (t) => {
  for (const [status, Kind] of [
    [400, ValidationError],
    [401, AuthError],
    [403, AuthError],
    [404, NotFoundError],
    [409, ConflictError],
    [413, ValidationError],
    [415, ValidationError],
    [422, ValidationError],
    [405, TocsinError],
  ]) {
    const mock = await startMock(t, () => ({
      status,
      body: { error: "code", message: "Sentence." },
    }));
    await assert.rejects(clientOf(mock).track(login), (error) => {
      assert.equal(error.constructor, Kind);
      assert.equal(error.name, Kind.name);
      assert.ok(error instanceof TocsinError && error instanceof Error);
      assert.equal(error.statusCode, status);
      assert.equal(error.code, "code");
      assert.equal(error.message, "Sentence.");
      return true;
    });
    assert.equal(mock.requests.length, 1, `status ${status}`);
  }
});

test("a 422 names the fields, and every error the request", async (t) => {
  const body = {
    error: "validation_failed",
    message: "metadata: too many keys.",
    violations: [{ field: "metadata", message: "too many keys" }],
  };
  const mock = await startMock(t, () => ({ status: 422, headers: { "x-request-id": "r7" }, body }));
  await assert.rejects(clientOf(mock).track(login), (error) => {
    assert.deepEqual(error.violations, body.violations);
    assert.deepEqual(error.responseBody, body);
    assert.equal(error.requestId, "r7");
    return true;
  });
});

test("a redirect is not followed, and says where it pointed", async (t) => {
  const headers = { location: "https://elsewhere.example/" };
  const mock = await startMock(t, () => ({ status: 301, headers }));
  await assert.rejects(
    clientOf(mock).track(login),
    /301, pointing to https:\/\/elsewhere\.example/,
  );
  assert.equal(mock.requests.length, 1);
});

test("a page that is not JSON is an error even with status 200", async (t) => {
  const mock = await startMock(t, () => ({ status: 200, body: "<html>" }));
  await assert.rejects(clientOf(mock).track(login), { name: "TocsinError", statusCode: 200 });
});

test("what cannot be written as JSON rejects and does not throw", async (t) => {
  const mock = await startMock(t);
  const promise = clientOf(mock).track({ ...login, metadata: { big: 1n } });
  await assert.rejects(promise, TypeError);
});

test("too few webhooks agreed: an error of its own, with what they said, and no second try", async (t) => {
  const said = { webhook_id: "whk_1", event_type: "user.login.success", delivered: false, status: 403, answer: "no" };
  const body = { error: "webhook_transaction_failed", message: "0 of 1.", webhooks: [said] };
  const mock = await startMock(t, () => ({ status: 504, body }));
  await assert.rejects(clientOf(mock).track(login), (error) => {
    assert.ok(error instanceof TransactionError && error instanceof ServerError);
    assert.equal(error.statusCode, 504);
    assert.deepEqual(error.webhooks, [said]);
    return true;
  });
  assert.equal(mock.requests.length, 1);
});

test("a key that a transaction holds is tried again after its Retry-After; another conflict is not", async (t) => {
  const held = { status: 409, headers: { "retry-after": "1" }, body: { error: "conflict", message: "Held." } };
  const mock = await startMock(t, failFirst(1, held));
  const client = clientOf(mock);
  assert.equal((await client.track(login)).status, "stored");
  assert.deepEqual(client.waits, [1000]);
  const taken = await startMock(t, () => ({ status: 409, body: { error: "conflict", message: "Taken." } }));
  await assert.rejects(clientOf(taken).track(login), ConflictError);
  assert.equal(taken.requests.length, 1);
});
