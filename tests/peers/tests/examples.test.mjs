// The examples, run as their heads say, and called by real clients.

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";

import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";

import { BINARY, Mcptap, ROOT, eventually } from "../support/mcptap.mjs";
import { PYTHON, freePort, listening, run } from "../support/peers.mjs";

const BUILT = join(BINARY, "..", "examples");
const FASTMCP = join(ROOT, "examples/fastmcp_server");
const INSTRUMENT = join(PYTHON, "../opentelemetry-instrument");

/** Connects a client, lets it act, and closes. */
async function visit(transport, mode, act) {
  const client = new Client({ name: "visitor", version: "1" }, { versionNegotiation: { mode } });
  await client.connect(transport);
  await act(client);
  await transport.terminateSession?.();
  await client.close();
}

const text = (result) => result.content[0].text;
const lines = (call) => call.logs.nodes.map(({ body }) => body);
const summary = (calls) => calls.map(({ method, target, outcome }) => [method, target, outcome].filter(Boolean).join(" "));

/** All that a call by way of the SDK, the wrapper or the proxy must have. */
function assertWhole(call, { tool, args, answer, server, transport, status }) {
  assert.equal(call.target, tool);
  assert.deepEqual(call.request.json.params.arguments ?? call.request.json.arguments, args);
  assert.equal(text(call.response.json), answer);
  assert.equal(call.clientName, "visitor");
  assert.equal(call.server.name, server);
  assert.equal(call.transport, transport);
  assert.equal(call.httpStatus, status);
}

for (const mode of ["legacy", "auto"]) {
  test(`weather_server.rs, ${mode}`, async (t) => {
    const mcptap = await Mcptap.start(t);
    const transport = new StdioClientTransport({ command: join(BUILT, "weather_server"), env: { ...process.env, ...mcptap.env } });
    await visit(transport, mode, async (client) => {
      assert.equal(text(await client.callTool({ name: "current_weather", arguments: { city: "Lisbon" } })), "Lisbon: sunny, 24 °C");
      assert.ok((await client.callTool({ name: "current_weather", arguments: { city: "Atlantis" } })).isError);
    });
    await mcptap.settled(mode === "legacy" ? 3 : 2);
    // Whether it is a modern server the client asks a process of its own, which it kills as soon as that has answered.
    const calls = (await mcptap.calls()).filter(({ method }) => method === "tools/call");
    assert.deepEqual(summary(calls), ["tools/call current_weather OK", "tools/call current_weather TOOL_ERROR"]);
    const expected = { tool: "current_weather", args: { city: "Lisbon" }, answer: "Lisbon: sunny, 24 °C", server: "weather", transport: "STDIO", status: null };
    assertWhole(calls[0], expected);
  });

  test(`http_server.rs, ${mode}`, async (t) => {
    const mcptap = await Mcptap.start(t);
    const port = await freePort();
    await listening(t, [join(BUILT, "http_server"), `127.0.0.1:${port}`], port, { env: mcptap.env });
    const url = new URL(`http://127.0.0.1:${port}/mcp`);
    await assert.rejects(visit(new StreamableHTTPClientTransport(url), mode, async () => {}));
    const refused = await mcptap.settled(1);
    assert.ok(refused.length >= 1);
    for (const call of refused) {
      assert.equal(call.outcome, "TRANSPORT_ERROR");
      assert.equal(call.httpStatus, 401);
      assert.equal(call.authorization, null);
    }

    const requestInit = { headers: { authorization: "Bearer let-me-in" } };
    await visit(new StreamableHTTPClientTransport(url, { requestInit }), mode, async (client) => {
      assert.equal(text(await client.callTool({ name: "roll_dice", arguments: { sides: 6 } })), "1");
    });
    const isRoll = ({ target }) => target === "roll_dice";
    await eventually("the roll", async () => ((await mcptap.calls()).some(isRoll) ? true : undefined));
    const rolls = (await mcptap.settled(refused.length + 2)).filter(isRoll);
    assert.equal(rolls.length, 1);
    assertWhole(rolls[0], { tool: "roll_dice", args: { sides: 6 }, answer: "1", server: "casino", transport: "STREAMABLE_HTTP", status: 200 });
    assert.equal(rolls[0].outcome, "OK");
    assert.equal(rolls[0].clientIp, "127.0.0.1");
    assert.equal(rolls[0].authorization, "Bearer let…");
    assert.equal(rolls[0].sessionId !== null, mode === "legacy");
    // Without a session rmcp serves each request by itself, within the call, and says so in lines of its own.
    const written = rolls[0].logs.nodes.filter(({ attributes }) => !/[/]rmcp-[0-9.]+[/]/.test(attributes["code.file.path"]));
    assert.deepEqual(written.map(({ body }) => body), ["rolling"]);
  });

  test(`typescript_server under mcptap wrap, ${mode}`, async (t) => {
    const mcptap = await Mcptap.start(t);
    const transport = new StdioClientTransport({
      command: BINARY,
      args: ["wrap", "--", "npx", "tsx", "server.ts"],
      cwd: join(ROOT, "examples/typescript_server"),
      env: { ...process.env, ...mcptap.env },
      stderr: "ignore",
    });
    await visit(transport, mode, async (client) => {
      assert.equal(text(await client.callTool({ name: "find_book", arguments: { title: "Moby-Dick" } })), "shelf 7");
      assert.ok((await client.callTool({ name: "find_book", arguments: { title: "Ulysses" } })).isError);
    });
    const calls = await mcptap.settled(3);
    const found = calls.filter(({ method }) => method === "tools/call");
    assert.deepEqual(summary(found), ["tools/call find_book OK", "tools/call find_book TOOL_ERROR"]);
    assertWhole(found[0], { tool: "find_book", args: { title: "Moby-Dick" }, answer: "shelf 7", server: "library", transport: "STDIO", status: null });
    assert.deepEqual(lines(found[0]), ["looking for Moby-Dick"]);
    assert.ok(calls.filter(({ method }) => method !== "tools/call").every(({ outcome }) => outcome === "OK"), summary(calls).join());
  });
}

/** Runs the example's own client. */
async function orders(url) {
  const { code, stdout, stderr } = await run([PYTHON, join(FASTMCP, "client.py"), url]);
  assert.equal(code, 0, stderr);
  assert.equal(stdout, "A-1 shipped\nB-2 there is no order B-2\n");
}

const ORDERS = ["tools/call order_status OK", "tools/call order_status TOOL_ERROR"];

test("fastmcp_server with its own telemetry", async (t) => {
  const mcptap = await Mcptap.start(t);
  const port = await freePort();
  const env = { ...mcptap.env, OTEL_SERVICE_NAME: "shop", OTEL_TRACES_SAMPLER: "always_on", OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED: "true" };
  await listening(t, [INSTRUMENT, PYTHON, "server.py", String(port)], port, { env, cwd: FASTMCP });
  await orders(`http://127.0.0.1:${port}/mcp`);
  const calls = await mcptap.settled(4);
  assert.deepEqual(summary(calls.filter(({ method }) => method === "tools/call")), ORDERS);
  const [found, missing] = calls.filter(({ method }) => method === "tools/call");
  assert.equal(found.server.name, "shop");
  assert.deepEqual(lines(found), ["looking up A-1"]);
  assert.equal(missing.errorMessage, "there is no order B-2");
  // This is all that FastMCP tells.
  assert.equal(found.request, null);
  assert.equal(found.httpStatus, null);
});

test("fastmcp_server behind mcptap proxy", async (t) => {
  const mcptap = await Mcptap.start(t);
  const [port, front] = [await freePort(), await freePort()];
  await listening(t, [PYTHON, "server.py", String(port)], port, { cwd: FASTMCP });
  const proxy = [BINARY, "proxy", "--upstream", `http://127.0.0.1:${port}/mcp`, "--listen", `127.0.0.1:${front}`];
  await listening(t, proxy, front, { env: mcptap.env });
  await orders(`http://127.0.0.1:${front}/mcp`);
  const calls = await mcptap.settled(4);
  const [found, missing] = calls.filter(({ method }) => method === "tools/call");
  assert.deepEqual(summary([found, missing]), ORDERS);
  assert.equal(found.server.name, "shop");
  assert.deepEqual(found.request.json.params.arguments, { order: "A-1" });
  assert.equal(text(found.response.json), "shipped");
  assert.equal(found.httpStatus, 200);
  assert.equal(found.clientIp, "127.0.0.1");
  assert.ok(found.clientName);
  assert.equal(text(missing.response.json), "there is no order B-2");
});
