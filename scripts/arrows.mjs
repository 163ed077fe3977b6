// Checks who may depend on whom, by the list in deny.toml, with nothing but cargo and Node.js.
// Tests may reach further than the code they test, but our own crates keep to the list there too.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

const root = new URL("..", import.meta.url);
const text = readFileSync(new URL("deny.toml", root), "utf8");

/** Crate -> the crates that may depend on it. */
const law = new Map();
for (const line of text.split("\n").filter((line) => line.includes("crate ="))) {
  const entry = line.match(/^\s*\{ crate = "([^"]+)"(?:, wrappers = \[([^\]]*)\])? \},$/);
  if (!entry) throw new Error(`deny.toml: cannot read this line: ${line.trim()}`);
  law.set(entry[1], new Set([...(entry[2] ?? "").matchAll(/"([^"]+)"/g)].map((name) => name[1])));
}
if (law.size === 0) throw new Error("deny.toml lists no crates");

/** All direct dependencies in the workspace's graph, as [who, on whom]. */
function dependencies(kinds) {
  const options = ["tree", "--workspace", "--locked", "--edges", kinds, "--prefix", "depth"];
  const tree = execFileSync("cargo", options, { cwd: root, encoding: "utf8", maxBuffer: 1 << 26 });
  const found = [];
  const path = [];
  for (const line of tree.split("\n")) {
    const [, depth, name] = line.match(/^(\d+)(\S+) v/) ?? [];
    if (!name) continue;
    path.length = Number(depth);
    if (path.length > 0) found.push([path.at(-1), name]);
    path.push(name);
  }
  return found;
}

const ours = (name) => name === "mcptap" || name.startsWith("mcptap-");
const used = dependencies("normal,build");
const inTests = dependencies("normal,build,dev").filter(([from, to]) => ours(from) && ours(to));
const broken = [...used, ...inTests].filter(([from, to]) => law.has(to) && !law.get(to).has(from));
const unlisted = [...new Set(used.flat())].filter((name) => ours(name) && name !== "mcptap" && !law.has(name));

for (const line of new Set(broken.map(([from, to]) => `${from} must not depend on ${to}`))) console.error(line);
for (const name of unlisted) console.error(`${name} has no entry in deny.toml`);
if (broken.length > 0 || unlisted.length > 0) process.exit(1);
console.log(`arrows: ${used.length} dependencies keep to the ${law.size} entries of deny.toml`);
