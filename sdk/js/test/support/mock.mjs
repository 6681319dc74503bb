// A Tocsin that answers what it is told to, and remembers what it was asked.
import { once } from "node:events";
import http from "node:http";
import { ImmutableClient } from "../../dist/index.js";

export const stored = (request) => ({
  status: 201,
  body: { id: "evt_1", status: "stored", alerts: [], ...request.body },
});

/** `answer(request, number)` says {status, headers, body}, or "hang", or "break". */
export async function startMock(t, answer = stored) {
  const mock = { requests: [], answer };
  const server = http.createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString();
    const { method, url, headers } = request;
    const got = { method, url, headers, text, body: text === "" ? undefined : JSON.parse(text) };
    mock.requests.push(got);
    const said = mock.answer(got, mock.requests.length);
    if (said === "hang") return;
    if (said === "break") return void request.socket.destroy();
    const { status = 200, headers: more = {}, body = {} } = said;
    response.writeHead(status, { "content-type": "application/json", ...more });
    response.end(typeof body === "string" ? body : JSON.stringify(body));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  mock.close = () => {
    server.closeAllConnections();
    server.close();
  };
  t.after(mock.close);
  mock.url = `http://127.0.0.1:${server.address().port}`;
  return mock;
}

/** A client of it whose waits pass at once; they are listed in `waits`. */
export function clientOf(mock, config = {}) {
  const waits = [];
  const seams = {
    delay: async (ms) => void waits.push(ms),
    random: () => 0.5,
    ...config.seams,
  };
  const client = new ImmutableClient({
    apiKey: "imk_sk_test",
    baseUrl: mock.url,
    ...config,
    seams,
  });
  return Object.assign(client, { waits });
}
