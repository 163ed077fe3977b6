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
  const env = mcptap.env;
  const seen = await converse(language, mode, "stdio", scenario, ["/usr/bin/env", ...Object.entries(env).map(([name, value]) => `${name}=${value}`), ...wrapped]);
  assert.ok(seen.steps.length > 0);
  for (const way of ["in", "out"]) {
    assert.ok(readFileSync(`${before}.${way}`).equals(readFileSync(`${behind}.${way}`)), `what went ${way} is not the same`);
  }
  const expected = ofPipe(before);
  assertSame((await mcptap.settled(expected.length)).map(logged), expected);
}
