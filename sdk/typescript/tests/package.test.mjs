// What is packed, and how it is loaded.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createRequire } from "node:module";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const root = fileURLToPath(new URL("..", import.meta.url));
const NAMES = ["BadRule", "Call", "Capture", "CaptureError", "DEFAULT_BODY_CAP", "REDACTED", "Redactor", "express", "flush", "hono", "instrument", "set"];

test("the package has what it is run and read with, and nothing else", async () => {
  const { stdout } = await promisify(execFile)("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], { cwd: root });
  const found = JSON.parse(stdout);
  // Newer versions of npm name the package.
  const [{ files }] = Array.isArray(found) ? found : Object.values(found);
  const paths = files.map(({ path }) => path);
  for (const path of ["dist/index.js", "dist/index.d.ts", "dist/tables.json", "package.json", "README.md", "LICENSE-APACHE", "LICENSE-MIT"]) assert.ok(paths.includes(path), path);
  const others = paths.filter((path) => !/^(dist\/\w+\.(js|d\.ts|json)|package\.json|README\.md|LICENSE-(APACHE|MIT))$/.test(path));
  assert.deepEqual(others, []);
});

test("it is imported and required by its name", async () => {
  const imported = await import("@mcptap/sdk");
  const required = createRequire(import.meta.url)("@mcptap/sdk");
  assert.deepEqual(Object.keys(imported).sort(), NAMES);
  assert.equal(required.instrument, imported.instrument);
});
