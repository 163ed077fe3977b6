// The tools of tests/peers/servers/modern.py on the official SDK 1.x, recorded by the SDK of mcptap.
//
//     node handshake.mjs stdio
//     node handshake.mjs node|express|hono PORT

import { randomUUID } from "node:crypto";
import { createServer } from "node:http";

import { serve } from "@hono/node-server";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { WebStandardStreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js";
import express from "express";
import { Hono } from "hono";
import { z } from "zod";

import { instrument } from "../../dist/index.js";

const [way, port] = process.argv.slice(2);
const text = (text) => ({ content: [{ type: "text", text }] });

function shop() {
  const server = new McpServer({ name: "handshake", version: "1.0.0" }, { capabilities: { logging: {} } });
  server.registerTool("shout", { inputSchema: { text: z.string() } }, async ({ text: said }, { sendNotification }) => {
    console.error(`shouting ${said}`);
    await sendNotification({ method: "notifications/message", params: { level: "info", data: "about to shout" } });
    return text(said.toUpperCase());
  });
  server.registerTool("fail", {}, async () => { throw new Error("the printer is on fire"); });
  server.registerTool("ask", {}, async () => {
    const requestedSchema = { type: "object", properties: { name: { type: "string" } }, required: ["name"] };
    const { content } = await server.server.elicitInput({ message: "Your name?", requestedSchema });
    return text(`hello ${content.name}`);
  });
  server.registerTool("slow", { inputSchema: { steps: z.number() } }, async ({ steps }, { _meta, sendNotification, signal }) => {
    for (let progress = 1; progress <= steps && !signal.aborted; progress += 1) {
      await new Promise((wake) => setTimeout(wake, 100));
      const progressToken = _meta?.progressToken;
      if (progressToken !== undefined) await sendNotification({ method: "notifications/progress", params: { progressToken, progress, total: steps } });
    }
    return text("done");
  });
  server.registerResource("hours", "shop://hours", {}, async ({ href: uri }) => ({ contents: [{ uri, text: "nine to five" }] }));
  server.registerPrompt("greet", { argsSchema: { name: z.string() } }, ({ name }) => (
    { messages: [{ role: "user", content: { type: "text", text: `Say hello to ${name}` } }] }
  ));
  return process.env.INSTRUMENTED ? instrument(server) : server;
}

/** The transport of each session, made by its first request. */
function sessions(Transport) {
  const open = new Map();
  return async (id) => {
    if (id !== undefined && open.has(id)) return open.get(id);
    const transport = new Transport({ sessionIdGenerator: randomUUID, onsessioninitialized: (id) => open.set(id, transport) });
    await shop().connect(transport);
    return transport;
  };
}

if (way === "stdio") await shop().connect(new StdioServerTransport());
else if (way === "hono") {
  const transportOf = sessions(WebStandardStreamableHTTPServerTransport);
  const app = new Hono();
  app.all("/mcp", async (context) => (await transportOf(context.req.header("mcp-session-id"))).handleRequest(context.req.raw));
  serve({ fetch: app.fetch, hostname: "127.0.0.1", port: Number(port) });
} else {
  const transportOf = sessions(StreamableHTTPServerTransport);
  const handle = async (request, response) => (await transportOf(request.headers["mcp-session-id"])).handleRequest(request, response, request.body);
  const app = express().use(express.json());
  app.all("/mcp", handle);
  (way === "express" ? app : createServer(handle)).listen(Number(port), "127.0.0.1");
}
