// Servers and clients of the official SDK 1.x in one process: what `instrument` and the middleware see.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { connect as netConnect } from "node:net";
import { test } from "node:test";

import { serve } from "@hono/node-server";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { InMemoryTransport } from "@modelcontextprotocol/sdk/inMemory.js";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { McpServer as ModernServer } from "@modelcontextprotocol/server";
import connect from "express";
import { Hono } from "hono";

import { Capture, express, flush, hono, instrument, set } from "../dist/index.js";
import { Collector, eventually } from "./support.mjs";

function shop(Server = McpServer) {
  const server = new Server({ name: "shop", version: "1" });
  server.registerTool("greet", {}, async () => {
    set({ tenant: "a" });
    console.log("greeting");
    return { content: [{ type: "text", text: "hello" }] };
  });
  return server;
}

const calls = ({ spans }) => spans.filter(({ name }) => name === "tools/call greet");

test("a call over a pipe has what its tool wrote and set", async (t) => {
  const collector = await Collector.start(t);
  const server = instrument(shop(), { endpoint: collector.url, apiKey: "mcptap_x", caller: ({ target }) => `by ${target}` });
  assert.equal(instrument(server), server, "once is enough");
  const [near, far] = InMemoryTransport.createLinkedPair();
  const client = new Client({ name: "probe", version: "2" });
  await Promise.all([server.connect(far), client.connect(near)]);
  await client.callTool({ name: "greet" });
  await client.close();
  assert.ok(await flush(server));
  assert.equal(collector.headers["x-api-key"], "mcptap_x");
  const [{ spanId, attributes }] = calls(collector);
  assert.equal(calls(collector).length, 1);
  assert.deepEqual([attributes.tenant, attributes["enduser.id"], attributes["mcp.client.name"], attributes["mcp.server.name"]], ["a", "by greet", "probe", "shop"]);
  assert.deepEqual(collector.logs.map(({ body, spanId: of }) => [body, of]), [["greeting", spanId]]);
});

test("servers of one name, one for each session, tell of themselves together", async (t) => {
  const collector = await Collector.start(t);
  const servers = [];
  const http = createServer(async (request, response) => {
    const server = instrument(shop(), { endpoint: collector.url, capture: new Capture() });
    servers.push(server);
    const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined });
    await server.connect(transport);
    await transport.handleRequest(request, response);
  }).listen(0, "127.0.0.1");
  t.after(() => { http.closeAllConnections(); http.close(); });
  await once(http, "listening");
  const client = new Client({ name: "probe", version: "2" });
  await client.connect(new StreamableHTTPClientTransport(new URL(`http://127.0.0.1:${http.address().port}/mcp`)));
  await Promise.all([1, 2, 3].map(() => client.callTool({ name: "greet" })));
  await client.close();
  assert.ok(await flush(servers[0]));
  assert.equal(calls(collector).length, 3);
  for (const { attributes } of calls(collector)) {
    assert.deepEqual([attributes["http.response.status_code"], attributes["client.address"], attributes["network.protocol.version"]], [200, "127.0.0.1", "1.1"]);
  }
  assert.equal(new Set(collector.resources.map((resource) => resource["service.instance.id"])).size, 1);
});

const ASKED = {
  method: "POST",
  headers: { accept: "application/json, text/event-stream", "content-type": "application/json" },
  body: JSON.stringify({ jsonrpc: "2.0", id: 7, method: "tools/call", params: { name: "greet" } }),
};

test("what an application refuses is recorded", async (t) => {
  const collector = await Collector.start(t);
  const server = instrument(shop(), { endpoint: collector.url });
  const ours = connect().use(express(server)).use((_, response) => response.status(401).json({ error: "who are you?" })).listen(0, "127.0.0.1");
  t.after(() => ours.close());
  await once(ours, "listening");
  const app = new Hono();
  app.use(hono(server));
  app.all("/mcp", (context) => context.json({ error: "not you" }, 403));
  const theirs = serve({ fetch: app.fetch, hostname: "127.0.0.1", port: 0 });
  t.after(() => theirs.close());
  if (!theirs.listening) await once(theirs, "listening");
  for (const [{ port }, status] of [[ours.address(), 401], [theirs.address(), 403]]) {
    assert.equal((await fetch(`http://127.0.0.1:${port}/mcp`, ASKED)).status, status);
  }
  await eventually(async () => (await flush(server)) && collector.spans.length >= 2);
  assert.deepEqual(collector.spans.map(({ attributes }) => attributes["http.response.status_code"]).sort(), [401, 403]);
  assert.ok(collector.text.includes("who are you?") && collector.text.includes("not you"));
});

test("what is no server is an error, and a wrong setting none", async (t) => {
  assert.throws(() => instrument({}), TypeError);
  process.env.MCPTAP_CAPTURE = "ful";
  t.after(() => { delete process.env.MCPTAP_CAPTURE; });
  for (const Server of [McpServer, ModernServer]) {
    const server = shop(Server);
    const before = server.server.connect;
    assert.equal(instrument(server), server);
    assert.equal(server.server.connect, before);
  }
});

test("what Node.js takes and no Request does ends no process", async (t) => {
  const server = instrument(shop(), { endpoint: "http://127.0.0.1:9" });
  const watched = express(server);
  const listener = createServer((request, response) => watched(request, response, () => response.writeHead(404).end("no")));
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  t.after(() => listener.close());
  const { port } = listener.address();
  for (const head of ["TRACE /mcp", "GET //", "GET http://u:p@localhost/", "OPTIONS *"]) {
    const socket = netConnect(port, "127.0.0.1");
    socket.end(`${head} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
    const [answer] = await once(socket, "data");
    assert.match(String(answer), /^HTTP\/1.1 404/, head);
    socket.destroy();
  }
});

test("a client of Node.js that leaves while its tool waits is told of", async (t) => {
  const collector = await Collector.start(t);
  const server = instrument(shop(), { endpoint: collector.url });
  let begin;
  const begun = new Promise((tell) => { begin = tell; });
  server.registerTool("wait", {}, () => { begin(); return new Promise(() => {}); });
  const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined, enableJsonResponse: true });
  await server.connect(transport);
  const http = createServer((request, response) => transport.handleRequest(request, response)).listen(0, "127.0.0.1");
  t.after(() => { http.closeAllConnections(); http.close(); });
  await once(http, "listening");
  const left = new AbortController();
  const body = JSON.stringify({ jsonrpc: "2.0", id: 7, method: "tools/call", params: { name: "wait" } });
  const asked = fetch(`http://127.0.0.1:${http.address().port}/mcp`, { ...ASKED, body, signal: left.signal }).catch((error) => error.name);
  await begun;
  left.abort();
  assert.equal(await asked, "AbortError");
  await eventually(() => collector.spans.length === 1);
  assert.equal(collector.spans[0].status.message, "the client went away");
});
