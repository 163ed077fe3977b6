// The official TypeScript client, taking server-everything (or a modern server) through all that it has.
//
//     node client.mjs MODE TRANSPORT SCENARIO WHERE…    MODE legacy or auto; TRANSPORT stdio, http or sse
//
// It prints what each step brought as JSON. What was said on the wire is not asked here: recorders write that down.

import { Client, SSEClientTransport, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";

const [mode, transport, scenario, ...where] = process.argv.slice(2);
const seen = { steps: [], notifications: [], asked: [] };
const lines = [];
const listeners = [];

const client = new Client(
  { name: "typescript-client", version: "2.4.0" },
  {
    capabilities: { sampling: {}, elicitation: { form: {} }, roots: { listChanged: true } },
    versionNegotiation: { mode, probe: { timeoutMs: 5000 } },
  },
);
client.setRequestHandler("sampling/createMessage", async () => {
  seen.asked.push("sampling/createMessage");
  return { role: "assistant", content: { type: "text", text: "ahoy" }, model: "parrot" };
});
client.setRequestHandler("elicitation/create", async () => {
  seen.asked.push("elicitation/create");
  return { action: "accept", content: { name: "Ada" } };
});
client.setRequestHandler("roots/list", async () => {
  seen.asked.push("roots/list");
  return { roots: [{ uri: "file:///srv/data", name: "data" }] };
});
client.setNotificationHandler("notifications/message", async ({ params }) => {
  seen.notifications.push(["notifications/message", params.level, params.data]);
  lines.push(params.data);
  listeners.shift()?.();
});

/** Waits for the next log line of the server that was not waited for before. */
async function logged() {
  if (lines.length === 0) await new Promise((heard) => listeners.push(heard));
  return lines.shift();
}

async function step(name, doing) {
  try {
    const result = await doing();
    seen.steps.push([name, result?.isError ? "tool error" : "ok"]);
    return result;
  } catch (error) {
    seen.steps.push([name, error.constructor.name]);
  }
}

const call = (name, args, options) => () => client.callTool({ name, arguments: args }, options);
const progressed = { onprogress: ({ progress, total }) => seen.notifications.push(["notifications/progress", progress, total]) };

/** Gives a call up after a while, and says so to the server. */
async function giveUp(name, args) {
  await step("cancelled", call(name, args, { signal: AbortSignal.timeout(500) }));
}

const SCENARIOS = {
  /** server-everything: a legacy server with sessions, which asks its client back. */
  async everything() {
    await logged();
    await step("ping", () => client.ping());
    await step("set level", () => client.setLoggingLevel("debug"));
    await step("tools", () => client.listTools());
    await step("echo", call("echo", { message: 'naïve ☕ \u2028 \\ " \u0000 done' }));
    await step("sum", call("get-sum", { a: 2, b: 40 }));
    await step("sum of nothing", call("get-sum", { a: "x" }));
    await step("no such tool", call("no-such-tool", { deep: { er: [1, 2.5, null, true] } }));
    await step("image", call("get-tiny-image", {}));
    await step("annotated", call("get-annotated-message", { messageType: "error", includeImage: true }));
    await step("structured", call("get-structured-content", { location: "Chicago" }));
    await step("links", call("get-resource-links", { count: 4 }));
    await step("reference", call("get-resource-reference", { resourceType: "Text", resourceId: 2 }));
    await step("long", call("trigger-long-running-operation", { duration: 0.5, steps: 5 }, progressed));
    await step("sampling", call("trigger-sampling-request", { prompt: "greet", maxTokens: 10 }));
    await step("elicitation", call("trigger-elicitation-request", {}));
    await step("roots", call("get-roots-list", {}));
    await step("resources", () => client.listResources());
    await step("templates", () => client.listResourceTemplates());
    const uri = "demo://resource/dynamic/text/7";
    await step("read", () => client.readResource({ uri }));
    await step("read blob", () => client.readResource({ uri: "demo://resource/dynamic/blob/7" }));
    await step("read nothing", () => client.readResource({ uri: "demo://nowhere" }));
    await step("subscribe", () => client.subscribeResource({ uri }));
    await logged();
    await step("unsubscribe", () => client.unsubscribeResource({ uri }));
    await logged();
    await step("prompts", () => client.listPrompts());
    await step("prompt", () => client.getPrompt({ name: "simple-prompt" }));
    await step("prompt with arguments", () => client.getPrompt({ name: "args-prompt", arguments: { city: "Oslo", state: "Viken" } }));
    await step("no such prompt", () => client.getPrompt({ name: "no-such-prompt" }));
    const ref = { type: "ref/prompt", name: "completable-prompt" };
    await step("complete", () => client.complete({ ref, argument: { name: "department", value: "E" } }));
    await giveUp("trigger-long-running-operation", { duration: 30, steps: 1 });
    await Promise.all(Array.from({ length: 20 }, (_, a) => step("many", call("get-sum", { a, b: 1 }))));
  },

  /** servers/modern.py: rounds of input, log lines, progress, a listening stream. */
  async modern() {
    await step("tools", () => client.listTools());
    await step("shout", call("shout", { text: "naïve ☕" }));
    await step("fail", call("fail", {}));
    await step("no such tool", call("no_such_tool", {}));
    await step("ask", call("ask", {}));
    await step("slow", call("slow", { steps: 3 }, progressed));
    await step("resources", () => client.listResources());
    await step("read", () => client.readResource({ uri: "shop://hours" }));
    await step("read nothing", () => client.readResource({ uri: "shop://nowhere" }));
    await step("prompts", () => client.listPrompts());
    await step("prompt", () => client.getPrompt({ name: "greet", arguments: { name: "Ada" } }));
    if (client.getProtocolEra() === "modern") {
      await step("listen", async () => {
        const subscription = await client.listen({ toolsListChanged: true });
        await step("while listening", call("shout", { text: "still here" }));
        await subscription.close();
      });
    }
    await giveUp("slow", { steps: 300 });
  },
};

const TRANSPORTS = {
  stdio: () => new StdioClientTransport({ command: where[0], args: where.slice(1), env: process.env, stderr: "inherit" }),
  http: () => new StreamableHTTPClientTransport(new URL(where[0])),
  sse: () => new SSEClientTransport(new URL(where[0])),
};

const connection = TRANSPORTS[transport]();
await client.connect(connection);
seen.protocolVersion = client.getNegotiatedProtocolVersion();
await SCENARIOS[scenario]();
if (transport === "http") await connection.terminateSession?.();
await client.close();
console.log(JSON.stringify(seen));
