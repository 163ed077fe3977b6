// Official clients and servers over pipes, with `mcptap wrap` in between.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { BINARY, Mcptap, scratch } from "../support/mcptap.mjs";
import { EVERYTHING, converse, modernServer, recorded } from "../support/peers.mjs";
import { assertSame, logged, ofPipe } from "../support/wire.mjs";

const SERVERS = {
  everything: { command: EVERYTHING, scenario: "everything" },
  fastmcp: { command: modernServer("fastmcp"), scenario: "modern" },
  mcp: { command: modernServer("mcp"), scenario: "modern" },
};

for (const [name, { command, scenario }] of Object.entries(SERVERS)) {
  for (const language of ["python", "typescript"]) {
    for (const mode of ["legacy", "auto"]) {
      test(`${name}, called by ${language}, ${mode}`, (t) => conversation(t, command, scenario, language, mode));
    }
  }
}

/** Recorders on both sides of the wrapper see the same bytes; the log has what they saw. */
async function conversation(t, command, scenario, language, mode) {
  const mcptap = await Mcptap.start(t);
  const directory = await scratch(t);
  const [before, behind] = [join(directory, "before"), join(directory, "behind")];
  const wrapped = recorded(before, [BINARY, "wrap", "--", ...recorded(behind, command)]);
  const variables = Object.entries(mcptap.env).map(([name, value]) => `${name}=${value}`);
  const seen = await converse(language, mode, "stdio", scenario, ["/usr/bin/env", ...variables, ...wrapped]);
  assert.ok(seen.steps.length > 0);
  for (const way of ["in", "out"]) {
    assert.ok(readFileSync(`${before}.${way}`).equals(readFileSync(`${behind}.${way}`)), `what went ${way} is not the same`);
  }
  const expected = ofPipe(before);
  const calls = await mcptap.settled(expected.length);
  assertSame(calls.map(logged), expected);
  for (const call of calls) {
    assert.ok(call.session || call.protocolVersion >= "2026-07-28", `${call.method} belongs to no session`);
    assert.equal(call.request.truncated || call.request.redacted, false);
    assert.equal(call.httpStatus, null);
  }
  // What the server said of a call, on its console and to its client, belongs to the call.
  const [shout] = calls.filter(({ target }) => target === "shout");
  if (shout) {
    const lines = shout.logs.nodes.map(({ body }) => body).join("\n");
    assert.match(lines, /shouting naïve ☕/);
    if (mode === "legacy") assert.match(lines, /about to shout/);
  }
  const slow = calls.find(({ target, outcome }) => ["slow", "trigger-long-running-operation"].includes(target) && outcome === "OK");
  assert.ok(slow.logs.nodes.some(({ body }) => /^progress 1(\.0)? of/.test(body)), "the progress of a call is part of it");
}

// What differs from run to run is the time of day alone, in two resources; and which of many calls is answered first.
const normalised = (file) =>
  readFileSync(file, "utf8")
    .replace(/created at \d+:\d+:\d+ [AP]M/g, "created at TIME")
    .replace(/"blob":"UmVzb3VyY2Ug[^"]*"/g, '"blob":"TIME"')
    .split("\n")
    .sort();

test("a client gets the same bytes with and without the wrapper", async (t) => {
  const mcptap = await Mcptap.start(t);
  const directory = await scratch(t);
  const [plain, wrapped] = [join(directory, "plain"), join(directory, "wrapped")];
  const variables = Object.entries(mcptap.env).map(([name, value]) => `${name}=${value}`);
  const visit = (where) => converse("python", "legacy", "stdio", "everything", where);
  const seen = await Promise.all([
    visit(recorded(plain, EVERYTHING)),
    visit(recorded(wrapped, ["/usr/bin/env", ...variables, BINARY, "wrap", "--", ...EVERYTHING])),
  ]);
  assert.deepEqual(seen[0].steps, seen[1].steps);
  for (const way of ["in", "out"]) assert.deepEqual(normalised(`${wrapped}.${way}`), normalised(`${plain}.${way}`));
});
