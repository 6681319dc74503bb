// The walkthrough of doc/fusionauth.md, run as it stands.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { startReceiver, startServer, tempFolder, top } from "./harness.mjs";

const run = promisify(execFile);
const made = /^(evt_)?[0-9a-f]{8}-[0-9a-f]{4}-[78][0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** What is documented must be there; ids that are made anew each time, by their form. */
function shows(actual, documented, where) {
  if (Array.isArray(documented)) {
    assert.equal(actual?.length, documented.length, where);
    documented.forEach((item, i) => shows(actual[i], item, `${where}[${i}]`));
  } else if (documented !== null && typeof documented === "object") {
    for (const [name, value] of Object.entries(documented)) shows(actual?.[name], value, `${where}.${name}`);
  } else if (typeof documented === "string" && made.test(documented)) {
    assert.match(String(actual), made, where);
  } else {
    assert.deepEqual(actual, documented, where);
  }
}

test("every step of doc/fusionauth.md answers what it shows", async (t) => {
  const text = await readFile(path.join(top, "doc/fusionauth.md"), "utf8");
  const file = path.join(await tempFolder(t), "places.csv");
  await writeFile(file, /```csv\n([^`]*)```/.exec(text)[1]);
  // The first is taken; the second it does not want.
  const receiver = await startReceiver(t, (_, n) => (n === 1 ? { status: 200 } : { status: 403, body: "not from there" }));
  const server = await startServer(t, { args: ["--places", file] });
  const steps = [...text.matchAll(/```(sh|json)\n([^`]*)```/g)];
  assert.deepEqual(steps.map((step) => step[1]).join(" "), "sh json ".repeat(8).trim(), "a step lost its output");
  for (let i = 0; i < steps.length; i += 2) {
    const command = steps[i][2].replaceAll("http://127.0.0.1:7410", server.url).replaceAll("http://127.0.0.1:9000/hook", receiver.url);
    const { stdout } = await run("bash", ["-c", command], { env: { ...process.env, KEY: server.apiKey } });
    const shown = JSON.parse(steps[i + 1][2]);
    const received = shown.event !== undefined; // what the receiver gets, not what is answered
    shows(received ? (await receiver.nth(1)).body : JSON.parse(stdout), shown, command.split("\n")[0]);
    if (received) assert.deepEqual(Object.keys((await receiver.nth(1)).body.event), Object.keys(shown.event));
  }
  assert.equal((await receiver.nth(1)).headers.authorization, "Basic dXNlcjpwYXNzd29yZA==");
});
