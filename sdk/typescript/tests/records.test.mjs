// What leaves the process, of messages that pass and of HTTP requests.

import assert from "node:assert/strict";
import { test } from "node:test";

import { trace } from "@opentelemetry/api";
import { SeverityNumber } from "@opentelemetry/api-logs";
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base";

import { maskAuthorization } from "../dist/carrier.js";
import { Conversation } from "../dist/conversation.js";
import { watch } from "../dist/exchange.js";
import { Capture, Redactor } from "../dist/index.js";
import { cut, endingOf } from "../dist/messages.js";
import { TIMES } from "../dist/running.js";
import { eventually, observed } from "./support.mjs";

const SECRET = "sk-live-0123456789abcdefghij";
const TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";
const HERE = { attributes: {} };

const call = (name = "get", id = 1, params = {}) => ({ jsonrpc: "2.0", id, method: "tools/call", params: { name, ...params } });
const answer = (id = 1, result = {}) => ({ jsonrpc: "2.0", id, result });
const cancelled = (requestId, reason) => ({ jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId, reason } });

test("no part of a record keeps a secret", async (t) => {
  const { observer, collector, flush } = await observed(t, { caller: () => ({ who: SECRET }) });
  const conversation = new Conversation(observer);
  const made = conversation.take("client", call(`get ${SECRET}`, 1, { arguments: { api_key: "hunter2", at: SECRET } }), { attributes: { x: SECRET } });
  made.log(SeverityNumber.INFO, `is ${SECRET}`, { y: SECRET });
  made.set({ z: SECRET });
  conversation.take("server", { jsonrpc: "2.0", id: 1, error: { code: -32603, message: `no ${SECRET}`, data: { password: "hunter2" } } }, HERE);
  assert.ok(await flush());
  assert.deepEqual([collector.spans.length, collector.logs.length], [1, 1]);
  assert.ok(!collector.text.includes(SECRET) && !collector.text.includes("hunter2"));
  assert.ok(collector.text.split("[redacted]").length > 8, collector.text);
});

test("a call has what both said", async (t) => {
  const { observer, collector, flush } = await observed(t, { caller: ({ params }) => params.name });
  const conversation = new Conversation(observer);
  conversation.take("client", call("get", 1, { _meta: { traceparent: TRACEPARENT } }), HERE);
  conversation.take("server", answer(1, { isError: true, content: [] }), HERE);
  assert.ok(await flush());
  const [{ name, kind, status, traceId, parentId, attributes: said }] = collector.spans;
  assert.deepEqual([name, kind, status.code], ["tools/call get", 2, 2]);
  assert.deepEqual([traceId, parentId], [TRACEPARENT.slice(3, 35), TRACEPARENT.slice(36, 52)]);
  assert.deepEqual([said["jsonrpc.request.id"], said["error.type"], said["enduser.id"]], ["1", "tool_error", "get"]);
  assert.equal(JSON.parse(said["mcptap.request.body"]).params.name, "get");
  assert.deepEqual(JSON.parse(said["mcptap.response.body"]), { isError: true, content: [] });
  assert.equal(said["mcptap.request.truncated"], false);
  assert.equal(collector.resources[0]["service.name"], "shop");
  assert.ok(collector.resources[0]["service.instance.id"] && collector.resources[0]["process.pid"]);
});

test("bodies are cut and their size is kept; metadata has none", async (t) => {
  const long = call("get", 1, { arguments: { text: "word ".repeat(100) } });
  const hi = { jsonrpc: "2.0", method: "notifications/message", params: { level: "info", data: "hi" } };
  for (const [capture, check] of [
    [{ bodyCap: 60 }, (said) => assert.ok(said["mcptap.request.truncated"] && said["mcptap.request.size"] > 500 && said["mcptap.request.body"].length <= 60)],
    [{ mode: "metadata" }, (said, logs) => assert.ok(!Object.keys(said).some((key) => /body|size/.test(key)) && logs.length === 0)],
    [{ redactor: new Redactor({ keys: ["text"] }) }, (said) => assert.ok(said["mcptap.request.body"].includes("[redacted]"))],
  ]) {
    const { observer, collector, flush } = await observed(t, { capture: new Capture(capture) });
    const conversation = new Conversation(observer);
    conversation.take("client", long, HERE);
    conversation.take("server", hi, HERE);
    conversation.take("server", answer(), HERE);
    assert.ok(await flush());
    check(collector.spans[0].attributes, collector.logs);
  }
});

test("a call that runs is announced, a late answer told, and that the process lives", async (t) => {
  const usual = { ...TIMES };
  t.after(() => Object.assign(TIMES, usual));
  Object.assign(TIMES, { announcedAfter: 50, heartbeat: 100, namedAfter: 0 });
  const { observer, collector, flush } = await observed(t);
  const conversation = new Conversation(observer);
  const made = conversation.take("client", call(), HERE);
  conversation.take("client", call("other", 2), HERE);
  conversation.take("client", call("short", 3), HERE);
  conversation.take("server", answer(3), HERE);
  await eventually(() => collector.logs.filter(({ event }) => event === "mcptap.call.running").length === 2);
  const told = collector.logs.find(({ spanId }) => spanId === made.spanId);
  assert.equal(told.attributes["mcptap.span.kind"], 2);
  assert.ok(told.attributes["mcptap.request.body"]);
  await eventually(() => collector.logs.some(({ event }) => event === "mcptap.heartbeat"));
  conversation.take("client", cancelled(1, "enough"), HERE);
  conversation.take("server", answer(1), HERE);
  await eventually(() => collector.logs.some(({ attributes }) => attributes["mcptap.ended"]?.includes(made.spanId)));
  assert.ok(await flush());
  const ended = collector.spans.find(({ spanId }) => spanId === made.spanId);
  assert.deepEqual([ended.attributes["mcptap.outcome"], ended.status.message], ["cancelled", "enough"]);
  const late = collector.logs.filter(({ attributes }) => attributes["mcptap.late"]);
  assert.deepEqual(late.map(({ event, spanId }) => [event, spanId]), [["mcptap.call.running", made.spanId]]);
});

test("an application's provider has the spans as well, and no secrets", async (t) => {
  const memory = new InMemorySpanExporter();
  trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(memory)] }));
  t.after(() => trace.disable());
  const { observer, collector, flush } = await observed(t);
  const conversation = new Conversation(observer);
  const made = conversation.take("client", call("get", 1, { arguments: { password: "hunter2" } }), HERE);
  trace.getTracer("app").startSpan("query", {}, made.context).end();
  conversation.take("server", answer(), HERE);
  assert.ok(await flush());
  const [query, joined] = ["query", "tools/call get"].map((name) => memory.getFinishedSpans().find((span) => span.name === name));
  assert.equal(query.parentSpanContext.spanId, joined.spanContext().spanId);
  assert.ok(!JSON.stringify(joined.attributes).includes("hunter2"));
  assert.deepEqual(collector.spans.map(({ spanId }) => spanId), [made.spanId]);
});

test("a collector that is away gets all when it is back, and what waits is bounded in bytes", async (t) => {
  const { observer, collector, flush } = await observed(t, { limit: 300_000 });
  collector.status = 400;
  const conversation = new Conversation(observer);
  const say = (id, text) => {
    conversation.take("client", call("get", id, { arguments: { text } }), HERE);
    conversation.take("server", answer(id), HERE);
  };
  // Refused for good: dropped.
  say(1, "");
  assert.ok(await flush());
  assert.ok(collector.asked > 0);
  collector.status = 503;
  for (let id = 2; id < 12; id += 1) say(id, "");
  await eventually(() => collector.asked > 1);
  collector.status = 200;
  assert.ok(await observer.telemetry.courier.flush(30_000));
  assert.deepEqual(collector.spans.map(({ attributes }) => Number(attributes["jsonrpc.request.id"])).sort((one, other) => one - other), [2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
  for (let id = 20; id < 80; id += 1) {
    say(id, "word ".repeat(5000));
    assert.ok(observer.telemetry.courier.bytes <= 300_000);
  }
});

// === over HTTP ===

const ask = (body, headers = {}, method = "POST") => new Request("http://localhost/mcp", {
  method, headers: { accept: "application/json, text/event-stream", "content-type": "application/json", ...headers }, ...(method === "POST" ? { body: JSON.stringify(body) } : {}),
});

async function exchange(observer, request, handle) {
  const response = await watch(observer, request, undefined, handle);
  return { response, text: await response.text() };
}

test("an exchange has session, status, client and credentials cut short", async (t) => {
  const { observer, collector, flush } = await observed(t);
  const hello = { jsonrpc: "2.0", id: 0, method: "initialize", params: { protocolVersion: "2025-11-25", clientInfo: { name: "probe", version: "1" } } };
  const events = `event: message\r\ndata: ${JSON.stringify(answer(0, { protocolVersion: "2025-06-18" }))}\r\n\r\n`;
  const { text } = await exchange(observer, ask(hello, { authorization: `Bearer ${SECRET}`, "user-agent": "probe/1" }), () => (
    new Response(new Blob([events.slice(0, 20), events.slice(20)]).stream(), { headers: { "content-type": "text/event-stream", "mcp-session-id": "s-1" } })
  ));
  assert.equal(text, events);
  const second = ask(call(), { "mcp-session-id": "s-1" });
  await exchange(observer, second, async () => Response.json(answer((JSON.parse(await second.text())).id)));
  assert.ok(await flush());
  const [one, other] = collector.spans.map(({ attributes }) => attributes);
  assert.deepEqual([one["mcp.session.id"], other["mcp.session.id"]], ["s-1", "s-1"]);
  assert.deepEqual([one["http.response.status_code"], one["mcp.protocol.version"]], [200, "2025-06-18"]);
  assert.deepEqual([one["mcptap.authorization"], one["user_agent.original"]], ["Bearer sk-…", "probe/1"]);
  assert.deepEqual([other["mcp.client.name"], other["mcp.protocol.version"]], ["probe", "2025-06-18"]);
  assert.ok(!collector.text.includes(SECRET));
});

test("refusals are recorded, and what is no refusal or not MCP is not", async (t) => {
  const { observer, collector, flush } = await observed(t);
  await exchange(observer, ask(call()), () => Response.json({ error: "no" }, { status: 401 }));
  await exchange(observer, ask(undefined, {}, "GET"), () => new Response("", { status: 405 }));
  await exchange(observer, ask(undefined, { accept: "text/html" }, "GET"), () => new Response("", { status: 404 }));
  await exchange(observer, ask({ id: 1, method: "tools/call" }), () => Response.json({}));
  const response = await watch(observer, ask(call("other", 7)), undefined, () => { throw new Error("boom"); }).catch((error) => error.message);
  assert.equal(response, "boom");
  assert.ok(await flush());
  const [refused, failed] = collector.spans;
  assert.equal(collector.spans.length, 2);
  assert.deepEqual([refused.name, refused.attributes["http.response.status_code"], refused.attributes["error.type"], refused.status.message], ["tools/call get", 401, "401", "HTTP 401"]);
  assert.deepEqual(JSON.parse(refused.attributes["mcptap.response.body"]), { error: "no" });
  assert.equal(failed.attributes["error.type"], "closed");
});

test("a hook that fails breaks nothing", async (t) => {
  const { observer, collector, flush } = await observed(t, { caller: () => { throw new Error("the hook is broken"); } });
  const { response } = await exchange(observer, ask(call()), () => Response.json(answer()));
  assert.equal(response.status, 200);
  assert.ok(await flush());
  assert.equal(collector.spans.length, 1);
});

test("what messages say", () => {
  for (const [value, masked] of [
    ["Bearer sk-very-secret", "Bearer sk-…"], ["Basic dTpw", "Basic d…"], ["letmein12", "let…"], ["Basic", "Basic"], ["ß".repeat(40), `${"ß".repeat(10)}…`],
    ["", ""], ["X-Very-Long-Scheme abc", "X-Very-Lon…"],
  ]) {
    assert.equal(maskAuthorization(value), masked);
    assert.equal(maskAuthorization(masked), masked);
  }
  assert.deepEqual([cut("key: ghp_0123456789", 12), cut('["é"]', 3), cut("ghp_0", 5)], ["key: ", '["', "ghp_0"]);
  assert.deepEqual([cut("card 4111 1111 1111 1111", 19), cut("card 4111 1111 1111 1111", 15), cut("in 2026 there were 3", 15)], ["card ", "card ", "in 2026 there "]);
  for (const [code, isError] of [[-32601, false], [-32602, false], [-32603, true], ["-32000", true]]) {
    const ending = endingOf("tools/call", { error: { code, message: "no" } });
    assert.deepEqual([ending.error !== undefined, ending.attributes["rpc.response.status_code"]], [isError, String(code)]);
  }
});

test("a body without an end is not read to it before its handler is called", async (t) => {
  const { observer } = await observed(t);
  let given = 0;
  const body = new ReadableStream({
    pull(controller) {
      given += 1 << 20;
      controller.enqueue(new Uint8Array(1 << 20).fill(32));
    },
  });
  const request = new Request("http://localhost/mcp", { method: "POST", body, duplex: "half" });
  const answered = await watch(observer, request, undefined, () => new Response(null, { status: 413 }));
  assert.equal(answered.status, 413);
  assert.ok(given < 40 << 20, `${given}`);
  await request.body.cancel();
});
