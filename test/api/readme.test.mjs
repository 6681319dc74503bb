// The README's examples, run as they stand: what it shows is what the server answers.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { startServer, top } from "./harness.mjs";

const run = promisify(execFile);
const made = /^(evt|rul|alt|whk|key)_[0-9a-f-]{36}$|^\d{4}-\d\d-\d\dT|^[0-9a-f]{64}$/;

/** What is documented must be there; what is made anew each time (ids, times, hashes) by its form. */
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

test("every example of the README answers what the README shows", async (t) => {
  const server = await startServer(t, { geo: true, starter: true });
  const text = await readFile(path.join(top, "README.md"), "utf8");
  const examples = [...text.matchAll(/```sh\n(curl [^`]*)```\n\n```json\n([^`]*)```/g)];
  assert.equal(examples.length, 6, "an example lost its output");
  for (const [, command, output] of examples) {
    const here = command.replaceAll("http://127.0.0.1:7410", server.url);
    const { stdout } = await run("bash", ["-c", here], { env: { ...process.env, KEY: server.apiKey } });
    shows(JSON.parse(stdout), JSON.parse(output), command.split("\n")[0]);
  }
});
