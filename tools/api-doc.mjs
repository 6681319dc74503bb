// Makes the part of doc/api.md between its marks from /openapi.json:
//   node tools/api-doc.mjs openapi.json doc/api.md
// Writes the file anew where it differs. Used by the test that demands that it does not.

import { readFile, writeFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";

const begin = "<!-- routes: made by tools/api-doc.mjs from /openapi.json -->";
const end = "<!-- end of routes -->";

function parameters(operation) {
  const query = operation.parameters.filter((p) => p.in === "query");
  if (query.length === 0) return "";
  const rows = query.map((p) => `| \`${p.name}\` | ${p.description} |`);
  return `\n| parameter | |\n|---|---|\n${rows.join("\n")}\n`;
}

function typeOf(schema) {
  if (schema.anyOf) return `${typeOf(schema.anyOf[0])} or null`;
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.type === "array") return `list of ${typeOf(schema.items)}`;
  if (schema.format === "date-time") return "time";
  return schema.type ?? "any";
}

function body(operation, schemas) {
  const ref = operation.requestBody?.content["application/json"]?.schema?.$ref;
  if (!ref) return "";
  const schema = schemas[ref.split("/").pop()];
  const rows = Object.entries(schema.properties).map(
    ([name, of]) => `| \`${name}\` | ${typeOf(of)} | ${schema.required.includes(name) ? "yes" : ""} |`,
  );
  return `\n| member sent | type | required |\n|---|---|---|\n${rows.join("\n")}\n`;
}

/** The Markdown of all routes. */
export function routes(openapi) {
  const parts = [];
  for (const [path, methods] of Object.entries(openapi.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const roles = operation["x-roles"];
      const who = roles.length > 0 ? `Role: ${roles.join(", ")}.` : "No key is asked for.";
      parts.push(
        `### ${method.toUpperCase()} ${path}\n\n${operation.summary} ${who}\n` +
          parameters(operation) +
          body(operation, openapi.components.schemas),
      );
    }
  }
  return parts.join("\n");
}

/** The document with its routes as they are. */
export function renew(document, openapi) {
  const from = document.indexOf(begin);
  const to = document.indexOf(end);
  if (from < 0 || to < from) throw new Error("the marks are missing");
  return `${document.slice(0, from + begin.length)}\n\n${routes(openapi)}\n${document.slice(to)}`;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const [, , openapiFile, documentFile] = process.argv;
  const openapi = JSON.parse(await readFile(openapiFile, "utf8"));
  const document = await readFile(documentFile, "utf8");
  const fresh = renew(document, openapi);
  if (fresh !== document) await writeFile(documentFile, fresh);
}
