// Servers that the SDK for TypeScript records, called by official clients: the log has what was said on the wire, and what
// `mcptap wrap` and `mcptap proxy` record of the same calls.

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";

import { HttpRecorder } from "../support/http_recorder.mjs";
import { assertLike, ended } from "../support/likeness.mjs";
import { BINARY, Mcptap, ROOT, scratch } from "../support/mcptap.mjs";
import { NODE, converse, freePort, listening, recorded } from "../support/peers.mjs";
import { assertSame, lines, logged, loggedHttp, ofHttp, ofPipe } from "../support/wire.mjs";

const server = (name, way) => [NODE, join(ROOT, "sdk/typescript/tests/servers", `${name}.mjs`), way];
const variables = (env) => Object.entries(env).map(([name, value]) => `${name}=${value}`);

const PIPES = [["handshake", "legacy"], ["modern", "legacy"], ["modern", "auto"]];
const WAYS = [["handshake", "node", "legacy"], ["handshake", "express", "legacy"], ["handshake", "hono", "legacy"], ["modern", "http", "legacy"], ["modern", "http", "auto"]];

for (const [name, mode] of PIPES) {
  test(`the ${name} server over stdio, ${mode}`, async (t) => {
    const [own, watch] = [await Mcptap.start(t), await Mcptap.start(t)];
    const wire = join(await scratch(t), "wire");
    // The wrapper tells another mcptap, so that both records are there whole.
    const instrumented = ["/usr/bin/env", ...variables(own.env), "INSTRUMENTED=1", ...server(name, "stdio")];
    const wrapped = recorded(wire, ["/usr/bin/env", ...variables(watch.env), BINARY, "wrap", "--", ...instrumented]);
    await converse("python", mode, "stdio", "modern", wrapped);
    // A listening stream is answered by what starts the server, before any server sees it.
    const isServed = ({ method }) => method !== "subscriptions/listen";
    const everything = ofPipe(wire);
    const expected = everything.filter(isServed);
    const [calls, wraps] = [await ended(own, expected.length), await ended(watch, everything.length)];
    // The library gives the members of a message in an order of its own.
    assertSame(calls.map(logged).map(ordered), expected.map(ordered));
    assertLike(calls, wraps.filter(isServed));
    assertTold(calls, mode);
  });
}

for (const [name, way, mode] of WAYS) {
  test(`the ${name} server over HTTP by ${way}, ${mode}`, async (t) => {
    const [own, watch] = [await Mcptap.start(t), await Mcptap.start(t)];
    const [port, front] = [await freePort(), await freePort()];
    await listening(t, [...server(name, way), String(port)], port, { env: { ...own.env, INSTRUMENTED: "1" } });
    const proxy = [BINARY, "proxy", "--upstream", `http://127.0.0.1:${port}`, "--listen", `127.0.0.1:${front}`];
    await listening(t, proxy, front, { env: watch.env });
    const before = await HttpRecorder.start(t, `http://127.0.0.1:${front}`);
    await converse("python", mode, "http", "modern", [`${before.url}/mcp`]);
    // Without sessions nobody knows whose request it is that does not say so; and a client that left saw no status.
    const isStateless = name === "modern" && mode === "legacy";
    const seen = ({ clientName, httpStatus, ...record }) => (
      { ...record, clientName: isStateless ? undefined : clientName, httpStatus: httpStatus ?? undefined }
    );
    const expected = ofHttp(before.exchanges).map(seen);
    const [calls, proxied] = [await ended(own, expected.length), await ended(watch, expected.length)];
    assertSame(calls.map(loggedHttp), expected);
    const [ours, theirs] = [calls, proxied].map((list) => list.map((call) => (hasAnswer(call) ? call : { ...call, httpStatus: null })));
    assertLike(ours, theirs);
    assertTold(calls, mode);
  });
}

const hasAnswer = ({ outcome }) => outcome !== "CANCELLED" && outcome !== "TRANSPORT_ERROR";

/** The same value with the members of objects in order. */
function ordered(value) {
  if (Array.isArray(value)) return value.map(ordered);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.keys(value).sort().map((key) => [key, ordered(value[key])]));
}

/** What the server said of a call, on its console and to its client, belongs to the call. */
function assertTold(calls, mode) {
  const [shout] = calls.filter(({ target }) => target === "shout");
  const told = shout.logs.nodes.map(({ body }) => body).join("\n");
  assert.match(told, /shouting naïve ☕/);
  if (mode === "legacy") assert.match(told, /about to shout/);
}

test("a server whose collector is away goes on as if nobody looked, and says nothing on standard output", async (t) => {
  const nobody = [`OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:${await freePort()}`];
  const [plain, watched] = [join(await scratch(t), "plain"), join(await scratch(t), "watched")];
  const visit = (file, env) => converse("python", "legacy", "stdio", "modern", recorded(file, ["/usr/bin/env", ...env, ...server("handshake", "stdio")]));
  const seen = await Promise.all([visit(plain, []), visit(watched, [...nobody, "INSTRUMENTED=1"])]);
  assert.deepEqual(seen[1].steps, seen[0].steps);
  // What was given up may have come further in one of the two.
  const said = (file) => lines(`${file}.out`).filter(({ method }) => method !== "notifications/progress").map((message) => JSON.stringify(message)).sort();
  assert.deepEqual(said(watched), said(plain));
});
