// Makes dist/ when it is missing or older than the source. npm runs this when the folder is
// installed somewhere, by link or by copy, so that a fresh clone can be installed with nothing done
// before; where dist/ is up to date it does nothing, and installing needs neither the compiler nor
// the network.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const top = fileURLToPath(new URL("..", import.meta.url));
const made = path.join(top, "dist/index.js");
const compiler = path.join(top, "node_modules/typescript/bin/tsc");

function newest(folder) {
  const files = readdirSync(path.join(top, folder)).map((name) => path.join(top, folder, name));
  return Math.max(...files.map((file) => statSync(file).mtimeMs));
}

function run(command, args) {
  const shell = process.platform === "win32";
  const { status, error } = spawnSync(command, args, { cwd: top, stdio: "inherit", shell });
  if (error) console.error(`@tocsin/client: ${command}: ${error.message}`);
  if (status !== 0) process.exit(status ?? 1);
}

if (!existsSync(made) || statSync(made).mtimeMs < newest("src")) {
  // Without its scripts, or this one would be run again.
  if (!existsSync(compiler)) run("npm", ["ci", "--ignore-scripts"]);
  run(process.execPath, [compiler, "-p", "tsconfig.json"]);
}
