import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { codesOf } from "../../markdown";
import { parseCounters } from "../../src/state/counters";
import { receiversFor } from "../../src/state/receivers";
import { kindsFor } from "../../src/view/set-up-kinds";

const read = (path: string) => readFileSync(join(import.meta.dirname, "../../..", path), "utf8");
const guide = read("docs/instrumenting.md");

const kinds = kindsFor(receiversFor("localhost", null));

const bound = (http: [string, number], grpc: [string, number]) => ({
  otlpHttp: { host: http[0], port: http[1] },
  otlpGrpc: { host: grpc[0], port: grpc[1] },
});

/** All that the page tells to run or to set. */
const shown = (all: typeof kinds) =>
  all.flatMap(({ steps }) => steps.map(({ code = "" }) => code)).join("\n");

test("what the page Setup tells to run or to set is that of the documentation, line by line", () => {
  const lines = [guide, read("docs/dashboard.md")]
    .flatMap((text) => Object.values(codesOf(text)).flat())
    .flatMap((code) => code.split("\n"))
    .flatMap((line) => [line, line.replace(/ +# .*$| …$/, "")]);
  const missing = kinds.flatMap(({ name, steps }) =>
    steps
      .flatMap(({ code = "" }) => code.replace("HOST_OF_MCPTAP", "127.0.0.1").split("\n"))
      .filter((line) => !lines.includes(line))
      .map((line) => `${name}: ${line}`),
  );
  expect(missing).toEqual([]);
});

test.each([
  ["mcptap wrap -- npx -y", "mcptap wrap -- node"],
  ["OTEL_SERVICE_NAME=my-server ", "OTEL_SERVICE_NAME=weather "],
  ["MyServer::new()", "Weather::new()"],
  ["exporters: [otlp_http/mcptap]", "exporters: [otlp_http/tap]"],
  ["--otel-sampling-rate 1.0", "--otel-sampling-rate 0.5"],
])("with %s changed in the documentation, the page has it as %s", (before, after) => {
  expect(guide).toContain(before);
  const changed = kindsFor(receiversFor("localhost", null), codesOf(guide.replaceAll(before, after)));
  expect(shown(kinds)).not.toContain(after.trim());
  expect(shown(changed)).toContain(after.trim());
});

test("what the documentation does not have is named", () => {
  const without = guide.replace(/^import mcptap$/m, "import other");
  expect(() => kindsFor(receiversFor("localhost", null), codesOf(without))).toThrow(
    'docs/instrumenting.md has no code below "Python" that begins with: import mcptap',
  );
});

test("README, documentation and page name the same versions that record spans themselves", () => {
  const versions = "official SDK 2.x, FastMCP 3 and 4";
  const page = kinds.flatMap(({ steps }) => steps.map(({ words }) => words)).join("\n");
  for (const text of [read("README.md"), read("docs/instrumenting.md"), page])
    expect(text).toContain(versions);
});

test("every kind of server of the documentation has its place on the page", () => {
  const headings = [...read("docs/instrumenting.md").matchAll(/^## (.+)$/gm)].map(([, heading = ""]) =>
    heading.replace("Anything", "Any,"),
  );
  const names = kinds.map(({ name }) => name);
  const others = ["Variables", "When nothing shows up", "Reference"];
  expect(headings.filter((heading) => !others.includes(heading) && !names.includes(heading))).toEqual([]);
});

test("a Collector is told to forward traces and logs to where mcptap listens", () => {
  const told = kindsFor(receiversFor("localhost", bound(["127.0.0.1", 14318], ["127.0.0.1", 14317])));
  const [code = ""] = told
    .filter(({ name }) => name === "OpenTelemetry Collector")
    .flatMap(({ steps }) => steps.map((step) => step.code ?? ""));
  expect(code).toContain("endpoint: http://127.0.0.1:14318");
  for (const signal of ["traces", "logs"])
    expect(code).toMatch(
      new RegExp(`${signal}/mcptap:\\n +receivers: \\[otlp\\]\\n +exporters: \\[otlp_http/mcptap\\]`),
    );
});

test("no page sends a reader to files that they do not have", () => {
  const texts = kinds.flatMap(({ steps, inLog }) => [inLog, ...steps.map(({ words }) => words)]);
  expect(texts.filter((text) => /docs\/|\.md\b/.test(text))).toEqual([]);
});

test("the how-to comes before the reference", () => {
  const guide = read("docs/instrumenting.md").split("\n");
  expect(guide.indexOf("```sh")).toBeLessThan(30);
  const at = (heading: string) => guide.indexOf(heading);
  expect(at("## Variables")).toBeGreaterThan(0);
  expect(at("## Reference")).toBeGreaterThan(at("## OpenTelemetry Collector"));
  const readme = [...read("README.md").matchAll(/^## (.+)$/gm)].map(([, heading]) => heading);
  expect(readme.slice(0, 4)).toEqual(["See it", "Point a server at it", "Ask it", "Share it"]);
  expect(readme.indexOf("Settings")).toBeGreaterThan(3);
  expect(read("README.md")).toContain("pip install opentelemetry-distro");
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

test.each([
  // nothing is known: the defaults, by the name that the page was opened by
  ["localhost", null, "127.0.0.1:4318", "127.0.0.1:4317", true, false],
  ["tap.example", null, "tap.example:4318", "tap.example:4317", false, false],
  [
    "127.0.0.1",
    bound(["127.0.0.1", 4318], ["127.0.0.1", 4317]),
    "127.0.0.1:4318",
    "127.0.0.1:4317",
    true,
    false,
  ],
  ["127.0.0.1", bound(["0.0.0.0", 14318], ["::", 14317]), "127.0.0.1:14318", "127.0.0.1:14317", false, false],
  [
    "tap.example",
    bound(["0.0.0.0", 4318], ["::", 4317]),
    "tap.example:4318",
    "tap.example:4317",
    false,
    false,
  ],
  ["tap.example", bound(["127.0.0.1", 4318], ["::1", 4317]), "127.0.0.1:4318", "[::1]:4317", true, true],
  [
    "[2001:db8::1]",
    bound(["::", 4318], ["::", 4317]),
    "[2001:db8::1]:4318",
    "[2001:db8::1]:4317",
    false,
    false,
  ],
  [
    "tap.example",
    bound(["192.0.2.7", 4318], ["2001:db8::2", 4317]),
    "192.0.2.7:4318",
    "[2001:db8::2]:4317",
    false,
    false,
  ],
] as const)(
  "opened as %s, telemetry goes where mcptap listens",
  (name, receivers, http, grpc, isDefault, onlyThere) => {
    expect(receiversFor(name, receivers)).toEqual({
      http,
      grpc,
      known: receivers !== null,
      isDefault,
      onlyThere,
    });
  },
);

test("what sends to the default port is told another one first", () => {
  const others = kindsFor(receiversFor("localhost", bound(["127.0.0.1", 14318], ["127.0.0.1", 14317])));
  const codes = others.map(({ name, steps }) => [name, steps.map(({ code = "" }) => code)] as const);
  const outside = codes.filter(([, all]) => all.some((code) => /^mcptap (wrap|proxy)/.test(code)));
  expect(outside.length).toBeGreaterThan(4);
  for (const [name, [first]] of outside)
    expect(first, name).toBe("export OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:14318");
  // no other port is named anywhere
  expect(codes.flatMap(([, all]) => all).filter((code) => /:431[78]/.test(code))).toEqual([]);
});

test.each([
  ["the default port", receiversFor("localhost", null)],
  ["another port", receiversFor("localhost", bound(["127.0.0.1", 14318], ["127.0.0.1", 14317]))],
])("with %s no kind of server is told the same line twice", (_, receivers) => {
  const twice = kindsFor(receivers).flatMap(({ name, steps }) => {
    const lines = steps
      .flatMap(({ code = "" }) => code.split("\n"))
      .map((line) => line.replace(/=http:.*/, "="));
    return lines
      .filter((line, at) => line.startsWith("export") && lines.indexOf(line) !== at)
      .map((line) => `${name}: ${line}`);
  });
  expect(twice).toEqual([]);
});
