import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";

const dist = join(import.meta.dirname, "../dist");
/** The bound of the first visit, in bytes as they travel. */
const bound = 250_000;

/** A script and all that it imports before it runs. What is imported on demand is not among them. */
function withImports(path: string, found = new Set<string>()): Set<string> {
  if (found.has(path)) return found;
  found.add(path);
  const text = readFileSync(join(dist, path), "utf8");
  for (const [, name] of text.matchAll(/(?:from|import)\s*["']\.\/([\w.-]+\.js)["']/g)) {
    withImports(`assets/${name}`, found);
  }
  return found;
}

test("the first visit loads less than 250 kB", () => {
  const html = readFileSync(join(dist, "index.html"), "utf8");
  const named = [...html.matchAll(/"\.\/(assets\/[\w.-]+)"/g)].map(([, path]) => path ?? "");
  const scripts = named.filter((path) => path.endsWith(".js"));
  expect(scripts.length).toBeGreaterThan(0);
  const all = new Set(["index.html", ...named, ...scripts.flatMap((path) => [...withImports(path)])]);
  const sizes = [...all].map(
    (path) => [path, gzipSync(readFileSync(join(dist, path)), { level: 9 }).length] as const,
  );
  const total = sizes.reduce((sum, [, size]) => sum + size, 0);
  console.log(`first visit: ${total} bytes in ${sizes.length} files`);
  expect(total).toBeLessThan(bound);
  // GraphiQL, the calendar and the tree of JSON come when they are wanted
  for (const path of all) expect(path).not.toMatch(/graphiql|monaco|editor|calendar|json-tree|overview/);
});
