// Servers that the SDK for Python records, called by official clients: the log has what was said on the wire, and what
// `mcptap wrap` and `mcptap proxy` record of the same calls.

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";

import { HttpRecorder } from "../support/http_recorder.mjs";
import { BINARY, Mcptap, scratch } from "../support/mcptap.mjs";
import { assertLike, ended } from "../support/likeness.mjs";
import { converse, freePort, handshakeServer, listening, modernServer, recorded } from "../support/peers.mjs";
import { assertSame, lines, logged, loggedHttp, ofHttp, ofPipe } from "../support/wire.mjs";

const MODERN = ["mcp", "fastmcp"].flatMap((library) =>
  ["legacy", "auto"].map((mode) => ({ name: `${library} of today, ${mode}`, mode, command: modernServer(library) })),
);
const HANDSHAKE = ["mcp", "fastmcp"].map((library) => (
  { name: `${library} of the era of handshakes`, mode: "legacy", command: handshakeServer(library) }
));
const variables = (env) => Object.entries(env).map(([name, value]) => `${name}=${value}`);

for (const { name, mode, command } of [...MODERN, ...HANDSHAKE]) {
  test(`${name}, over stdio`, async (t) => {
    const [own, watch] = [await Mcptap.start(t), await Mcptap.start(t)];
    const wire = join(await scratch(t), "wire");
    // The wrapper tells another mcptap, so that both records are there whole.
    const instrumented = ["/usr/bin/env", ...variables(own.env), "INSTRUMENTED=1", ...command];
    const wrapped = recorded(wire, ["/usr/bin/env", ...variables(watch.env), BINARY, "wrap", "--", ...instrumented]);
    await converse("python", mode, "stdio", "modern", wrapped);
    const expected = ofPipe(wire);
    const [calls, wraps] = [await ended(own, expected.length), await ended(watch, expected.length)];
    assertSame(calls.map(logged), expected);
    assertLike(calls, wraps);
    const [shout] = calls.filter(({ target }) => target === "shout");
    const told = shout.logs.nodes.map(({ body }) => body).join("\n");
    assert.match(told, /shouting naïve ☕/);
    if (mode === "legacy") assert.match(told, /about to shout/);
  });

  test(`${name}, over HTTP`, async (t) => {
    const [own, watch] = [await Mcptap.start(t), await Mcptap.start(t)];
    const [port, front] = [await freePort(), await freePort()];
    await listening(t, [...command, String(port)], port, { env: { ...own.env, INSTRUMENTED: "1" } });
    const proxy = [BINARY, "proxy", "--upstream", `http://127.0.0.1:${port}`, "--listen", `127.0.0.1:${front}`];
    await listening(t, proxy, front, { env: watch.env });
    const before = await HttpRecorder.start(t, `http://127.0.0.1:${front}`);
    await converse("python", mode, "http", "modern", [`${before.url}/mcp`]);
    const expected = ofHttp(before.exchanges);
    const [calls, proxied] = [await ended(own, expected.length), await ended(watch, expected.length)];
    assertSame(calls.map(loggedHttp), expected);
    assertLike(calls, proxied);
  });
}

test("HTTP+SSE, whose answers come on a stream of their own", async (t) => {
  const own = await Mcptap.start(t);
  const port = await freePort();
  await listening(t, [...modernServer("mcp"), String(port), "sse"], port, { env: { ...own.env, INSTRUMENTED: "1" } });
  const before = await HttpRecorder.start(t, `http://127.0.0.1:${port}`);
  await converse("python", "legacy", "sse", "modern", [`${before.url}/sse`]);
  // The status of a POST that only takes a message is not seen here.
  const said = ofHttp(before.exchanges).map(({ httpStatus, sessionId, ...record }) => record);
  // Whether what is given up at the end is cancelled or answered first depends on the server.
  const givenUp = said.find(({ outcome }) => outcome === "CANCELLED");
  const isCertain = ({ method, requestId }) => method !== givenUp.method || requestId !== givenUp.requestId;
  const calls = await ended(own, said.length);
  assertSame(calls.map(logged).filter(isCertain), said.filter(isCertain));
  assert.equal(calls.length, said.length);
});

test("a server whose collector is away goes on as if nobody looked, and says nothing on standard output", async (t) => {
  const nobody = [`OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:${await freePort()}`];
  const [plain, watched] = [join(await scratch(t), "plain"), join(await scratch(t), "watched")];
  const visit = (file, env) => converse("python", "legacy", "stdio", "modern", recorded(file, ["/usr/bin/env", ...env, ...modernServer("mcp")]));
  const seen = await Promise.all([visit(plain, []), visit(watched, [...nobody, "INSTRUMENTED=1"])]);
  assert.deepEqual(seen[1].steps, seen[0].steps);
  // What was given up may have come further in one of the two; and the library tells a client of the span it asks in.
  const said = (file) => lines(`${file}.out`)
    .filter(({ method }) => method !== "notifications/progress")
    .map(({ params: { _meta, ...params } = {}, ...message }) => JSON.stringify({ ...message, params }))
    .sort();
  assert.deepEqual(said(watched), said(plain));
});

test("a server runs where a setting is wrong, and records nothing", async (t) => {
  const mcptap = await Mcptap.start(t);
  const wrong = [...variables(mcptap.env), "INSTRUMENTED=1", "MCPTAP_CAPTURE=ful"];
  const seen = await converse("python", "legacy", "stdio", "modern", ["/usr/bin/env", ...wrong, ...modernServer("mcp")]);
  assert.ok(seen.steps.length > 5);
  assert.deepEqual(await mcptap.settled(0), []);
});
