// Official clients and servers over HTTP, with `mcptap proxy` in between.

import assert from "node:assert/strict";
import { test } from "node:test";

import { HttpRecorder } from "../support/http_recorder.mjs";
import { BINARY, Mcptap } from "../support/mcptap.mjs";
import { EVERYTHING, converse, freePort, listening, modernServer } from "../support/peers.mjs";
import { assertPassed, assertSame, loggedHttp, ofHttp } from "../support/wire.mjs";

const SERVERS = {
  "everything over streamable HTTP": {
    command: () => [...EVERYTHING, "streamableHttp"], scenario: "everything", transport: "http", path: "/mcp", modes: ["legacy", "auto"],
  },
  "everything over SSE": {
    command: () => [...EVERYTHING, "sse"], scenario: "everything", transport: "sse", path: "/sse", modes: ["legacy"],
  },
  fastmcp: { command: (port) => [...modernServer("fastmcp"), port], scenario: "modern", transport: "http", path: "/mcp", modes: ["legacy", "auto"] },
  mcp: { command: (port) => [...modernServer("mcp"), port], scenario: "modern", transport: "http", path: "/mcp", modes: ["legacy", "auto"] },
};

for (const [name, server] of Object.entries(SERVERS)) {
  for (const language of ["python", "typescript"]) {
    for (const mode of server.modes) {
      test(`${name}, called by ${language}, ${mode}`, (t) => conversation(t, server, language, mode));
    }
  }
}

/** Recorders on both sides of the proxy see the same exchanges; the log has what they saw. */
async function conversation(t, { command, scenario, transport, path }, language, mode) {
  const mcptap = await Mcptap.start(t);
  const [serverPort, proxyPort] = [await freePort(), await freePort()];
  await listening(t, command(String(serverPort)), serverPort, { env: { PORT: String(serverPort) } });
  const behind = await HttpRecorder.start(t, `http://127.0.0.1:${serverPort}`);
  const proxy = [BINARY, "proxy", "--upstream", behind.url, "--listen", `127.0.0.1:${proxyPort}`];
  await listening(t, proxy, proxyPort, { env: mcptap.env });
  const before = await HttpRecorder.start(t, `http://127.0.0.1:${proxyPort}`);

  const seen = await converse(language, mode, transport, scenario, [`${before.url}${path}`]);
  assert.ok(seen.steps.length > 0);
  const expected = ofHttp(before.exchanges);
  const calls = await mcptap.settled(expected.length);
  assertSame(calls.map(loggedHttp), expected);
  assertPassed(before.exchanges, behind.exchanges);
}
