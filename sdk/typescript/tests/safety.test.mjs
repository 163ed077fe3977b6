// Nothing that goes wrong in the recorder reaches the server, and nothing is recorded twice.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import { test } from "node:test";

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { InMemoryTransport } from "@modelcontextprotocol/sdk/inMemory.js";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { McpServer as ModernServer } from "@modelcontextprotocol/server";

import { Call as OpenCall } from "../dist/call.js";
import { Conversation } from "../dist/conversation.js";
import { Courier } from "../dist/courier.js";
import { Exchange, watch } from "../dist/exchange.js";
import { Capture, flush, instrument } from "../dist/index.js";
import { Observer } from "../dist/observer.js";
import { observerOf } from "../dist/servers.js";
import { Collector, observed } from "./support.mjs";

const call = (id = 1) => ({ jsonrpc: "2.0", id, method: "tools/call", params: { name: "get" } });
const answer = (id = 1) => ({ jsonrpc: "2.0", id, result: {} });

/** A server that is called by a client in the same process. What the client says first may be sent before the server listens. */
async function greeted(server, { isEarly = false } = {}) {
  server.registerTool("greet", {}, async () => {
    console.log(`greeting of ${server.word}`);
    return { content: [{ type: "text", text: "hello" }] };
  });
  const [near, far] = InMemoryTransport.createLinkedPair();
  const client = new Client({ name: "probe", version: "2" });
  const asked = client.connect(near);
  if (isEarly) await new Promise((wake) => setTimeout(wake, 20));
  await Promise.all([server.connect(far), asked]);
  const { content } = await client.callTool({ name: "greet" });
  await client.close();
  return content[0].text;
}

const INTERNALS = {
  "messages": [Conversation, "take"], "the end of a conversation": [Conversation, "close"], "a call": [OpenCall, "holdRequest"], "its answer": [OpenCall, "answered"],
  "tasks": [Courier, "later"], "a session": [Observer, "session"], "the request of an exchange": [Exchange, "asked"], "its answer over HTTP": [Exchange, "answered"],
  "which call is handled": [Exchange, "callOf"],
};

for (const [name, [owner, method]] of Object.entries(INTERNALS)) {
  test(`what is broken in the recorder does not reach the server: ${name}`, async (t) => {
    const { observer, collector } = await observed(t);
    const server = instrument(new McpServer({ name: "shop", version: "1" }), { endpoint: collector.url });
    t.mock.method(fs, "writeSync", () => 0);
    t.mock.method(owner.prototype, method, () => { throw new Error("the recorder is broken"); });
    const request = new Request("http://localhost/mcp", { method: "POST", body: JSON.stringify(call()), headers: { "mcp-session-id": "s-1" } });
    const response = await watch(observer, request, undefined, async () => Response.json(answer((JSON.parse(await request.text())).id)));
    assert.deepEqual(await response.json(), answer());
    assert.equal(await greeted(server), "hello");
  });
}

for (const [name, Server] of Object.entries({ "SDK 1.x": McpServer, "SDK 2.x": ModernServer })) {
  test(`what a client said before its server was connected is recorded: ${name}`, async (t) => {
    const collector = await Collector.start(t);
    const server = instrument(new Server({ name: "shop", version: "1" }), { endpoint: collector.url });
    assert.equal(await greeted(server, { isEarly: true }), "hello");
    assert.ok(await flush(server, 10_000));
    assert.deepEqual(collector.spans.map(({ name }) => name).sort(), ["initialize", "tools/call greet"]);
    assert.equal(collector.spans.find(({ name }) => name !== "initialize").attributes["mcp.client.name"], "probe");
  });
}

test("console output is recorded of the servers that want it", async (t) => {
  const collector = await Collector.start(t);
  for (const [word, console] of [["loud", true], ["silent", false]]) {
    const server = instrument(new McpServer({ name: "shop", version: "1" }), { endpoint: collector.url, console });
    server.word = word;
    await greeted(server);
    assert.ok(await flush(server, 10_000));
  }
  assert.deepEqual(collector.logs.map(({ body }) => body), ["greeting of loud"]);
});

test("servers of the same settings share what watches them, and others do not", async (t) => {
  const { url: endpoint } = await Collector.start(t);
  const [capture, caller] = [new Capture(), () => "u-17"];
  const observers = [{ capture, caller }, { capture, caller }, { caller }, { capture: new Capture(), caller }, { capture, caller, name: "other" }].map((options) => (
    observerOf(instrument(new McpServer({ name: "shop", version: "1" }), { endpoint, ...options }))
  ));
  assert.equal(observers[0], observers[1]);
  assert.equal(new Set(observers).size, 4);
});

test("an exporter that throws ends no process, and costs its batch alone", async (t) => {
  const sent = [];
  const exporter = {
    export(records, done) {
      if (records.includes("bad")) throw new Error("the exporter is broken");
      sent.push(...records);
      done({ code: 0 });
    },
    shutdown: async () => {},
  };
  t.mock.method(fs, "writeSync", () => 0);
  const courier = new Courier(new Map([["spans", exporter]]), 5, "here");
  t.after(() => courier.close(10));
  courier.send("spans", "bad");
  assert.ok(await courier.flush(1000));
  courier.send("spans", "good");
  assert.ok(await courier.flush(1000));
  assert.deepEqual([sent, courier.bytes], [["good"], 0]);
});

test("a process whose standard error nobody reads does not end by what is said there", async (t) => {
  const program = `
    import { complain } from ${JSON.stringify(new URL("../dist/complaint.js", import.meta.url).href)};
    process.stdin.once("data", () => {
      complain("nobody hears it");
      complain("nor this");
      setTimeout(() => { process.stdout.write("alive"); process.exit(0); }, 100);
    });
    process.stdout.write("begun");
  `;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", program], { stdio: ["pipe", "pipe", "pipe"] });
  t.after(() => child.kill("SIGKILL"));
  let said = "";
  child.stdout.on("data", (data) => {
    said += data;
    if (said !== "begun") return;
    child.stderr.destroy();
    child.stdin.write("go\n");
  });
  const [code] = await once(child, "close");
  assert.deepEqual([code, said], [0, "begunalive"]);
});
