// Documents made from tables are what the tables say.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { test } from "node:test";
import { renew } from "../../tools/api-doc.mjs";
import { startServer, top } from "./harness.mjs";

test("doc/api.md lists the routes that the server has", async (t) => {
  const server = await startServer(t);
  const openapi = (await server.get("//openapi.json", { key: null })).body;
  const document = await readFile(path.join(top, "doc/api.md"), "utf8");
  assert.equal(renew(document, openapi), document, "make it anew with tools/api-doc.mjs");
});

test("openapi.json refers only to schemas that it has", async (t) => {
  const server = await startServer(t);
  const { text, body } = await server.get("//openapi.json", { key: null });
  assert.equal(body.openapi, "3.1.0");
  for (const [, name] of text.matchAll(/#\/components\/schemas\/(\w+)/g))
    assert.ok(body.components.schemas[name], `there is no schema ${name}`);
});
