// An MCP server over stdio by the official SDK. The SDK has no telemetry of its own: `mcptap wrap` records what passes.
//
//     mcptap serve                      # in one terminal; then open http://127.0.0.1:6278
//
//     cd examples/typescript_server     # in another
//     npm ci
//     npx @modelcontextprotocol/inspector mcptap wrap -- npx tsx server.ts
//
// In the configuration of a client (Claude Desktop, Cursor, VS Code) put the same before the server's command:
//
//     { "command": "mcptap", "args": ["wrap", "--", "npx", "tsx", "server.ts"] }

import { McpServer } from "@modelcontextprotocol/server";
import { serveStdio } from "@modelcontextprotocol/server/stdio";
import * as z from "zod";

serveStdio(() => {
  const server = new McpServer({ name: "library", version: "1.0.0" });
  server.registerTool(
    "find_book",
    { description: "Where a book stands", inputSchema: z.object({ title: z.string() }) },
    async ({ title }) => {
      // In the log this line is part of the call.
      console.error(`looking for ${title}`);
      if (title !== "Moby-Dick") {
        return { isError: true, content: [{ type: "text", text: `${title} is not here` }] };
      }
      return { content: [{ type: "text", text: "shelf 7" }] };
    },
  );
  return server;
});
