// The tools of tests/peers/servers/modern.py on the official SDK 2.x, recorded by the SDK of mcptap.
//
//     node modern.mjs stdio
//     node modern.mjs http PORT

import { createServer } from "node:http";

import { toNodeHandler } from "@modelcontextprotocol/node";
import { acceptedContent, createMcpHandler, inputRequired, McpServer } from "@modelcontextprotocol/server";
import { serveStdio } from "@modelcontextprotocol/server/stdio";
import { z } from "zod";

import { instrument } from "../../dist/index.js";

const [way, port] = process.argv.slice(2);
const record = process.env.INSTRUMENTED ? instrument : (server) => server;
const text = (text) => ({ content: [{ type: "text", text }] });
const SCHEMA = { type: "object", properties: { name: { type: "string" } }, required: ["name"] };

function shop({ era }) {
  const server = new McpServer({ name: "modern", version: "1.0.0" }, { capabilities: { logging: {} } });
  server.registerTool("shout", { inputSchema: z.object({ text: z.string() }) }, async ({ text: said }, context) => {
    console.error(`shouting ${said}`);
    await context.mcpReq.log("info", "about to shout");
    return text(said.toUpperCase());
  });
  server.registerTool("fail", {}, async () => { throw new Error("the printer is on fire"); });
  server.registerTool("ask", {}, async (context) => {
    if (era === "legacy") {
      const { content } = await context.mcpReq.elicitInput({ message: "Your name?", requestedSchema: SCHEMA });
      return text(`hello ${content.name}`);
    }
    const given = acceptedContent(context.mcpReq.inputResponses, "name");
    if (given) return text(`hello ${given.name}`);
    return inputRequired({ inputRequests: { name: inputRequired.elicit({ message: "Your name?", requestedSchema: SCHEMA }) } });
  });
  server.registerTool("slow", { inputSchema: z.object({ steps: z.number() }) }, async ({ steps }, { mcpReq }) => {
    for (let progress = 1; progress <= steps && !mcpReq.signal.aborted; progress += 1) {
      await new Promise((wake) => setTimeout(wake, 100));
      const progressToken = mcpReq._meta?.progressToken;
      if (progressToken !== undefined) await mcpReq.notify({ method: "notifications/progress", params: { progressToken, progress, total: steps } });
    }
    return text("done");
  });
  server.registerResource("hours", "shop://hours", {}, async ({ href: uri }) => ({ contents: [{ uri, text: "nine to five" }] }));
  server.registerPrompt("greet", { argsSchema: z.object({ name: z.string() }) }, ({ name }) => (
    { messages: [{ role: "user", content: { type: "text", text: `Say hello to ${name}` } }] }
  ));
  return server;
}

if (way === "stdio") serveStdio((context) => record(shop(context)));
else {
  const handler = record(createMcpHandler(shop));
  createServer(toNodeHandler(handler)).listen(Number(port), "127.0.0.1");
}
