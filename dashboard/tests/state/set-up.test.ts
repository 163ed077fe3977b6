import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parseCounters } from "../../src/state/counters";
import { kinds } from "../../src/view/set-up-kinds";

const read = (path: string) => readFileSync(join(import.meta.dirname, "../../..", path), "utf8");
const docs = ["docs/instrumenting.md", "docs/dashboard.md", "README.md"].map(read).join();

/** A line without what each reader puts in its place. */
const stem = (line: string) => line.split(/HOST_OF_MCPTAP|COMMAND|NAME/)[0]?.trimEnd() ?? "";

test("what the page Set-up tells to run or to set stands in the documentation too", () => {
  const missing = kinds.flatMap(({ name, steps }) =>
    steps
      .flatMap(({ code = "" }) => code.split("\n"))
      .filter((line) => !docs.includes(stem(line)))
      .map((line) => `${name}: ${line}`),
  );
  expect(missing).toEqual([]);
});

test("every kind of server of the documentation has its place on the page", () => {
  const headings = [...read("docs/instrumenting.md").matchAll(/^## (.+)$/gm)].map(([, heading = ""]) =>
    heading.replace("Anything", "Any,"),
  );
  const names = kinds.map(({ name }) => name);
  const others = ["Variables", "Nothing shows up"];
  expect(headings.filter((heading) => !others.includes(heading) && !names.includes(heading))).toEqual([]);
});

test("counters are read from the text of /metrics, those with labels as a sum", () => {
  const text = `# HELP mcptap_spans Spans received
# TYPE mcptap_spans counter
mcptap_spans_total 12
mcptap_rejections_total{reason="a"} 1
mcptap_rejections_total{reason="b"} 2
# EOF`;
  expect(parseCounters(text)).toEqual(
    new Map([
      ["mcptap_spans_total", 12],
      ["mcptap_rejections_total", 3],
    ]),
  );
});
