// The call that a tool runs in, for the tool itself; and the exceptions of its handler.

import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { EventEmitter, once } from "node:events";
import fs from "node:fs";
import { test } from "node:test";

import { context, propagation, ROOT_CONTEXT, trace } from "@opentelemetry/api";
import { BasicTracerProvider } from "@opentelemetry/sdk-trace-base";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { InMemoryTransport } from "@modelcontextprotocol/sdk/inMemory.js";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { McpServer as ModernServer } from "@modelcontextprotocol/server";

import { Conversation } from "../dist/conversation.js";
import { Call, Capture, flush, instrument } from "../dist/index.js";
import { currentCall } from "../dist/observer.js";
import { Collector, observed } from "./support.mjs";

const SECRET = "sk-live-0123456789abcdefghij";
const TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";
const HERE = { attributes: {} };
const call = (id = 1, params = {}) => ({ jsonrpc: "2.0", id, method: "tools/call", params: { name: "get", ...params } });
const answer = (id = 1, result = {}) => ({ jsonrpc: "2.0", id, result });
const done = { content: [{ type: "text", text: "done" }] };

/** What the record of a call has that runs a tool. */
async function recorded(t, Server, tool, { capture } = {}) {
  const collector = await Collector.start(t);
  const server = instrument(new Server({ name: "shop", version: "1" }), { endpoint: collector.url, capture });
  server.registerTool("get", {}, tool);
  server.registerResource("hours", "shop://hours", {}, () => { throw new RangeError("nobody knows"); });
  const [near, far] = InMemoryTransport.createLinkedPair();
  const client = new Client({ name: "probe", version: "2" });
  await Promise.all([server.connect(far), client.connect(near)]);
  await client.callTool({ name: "get" });
  await client.readResource({ uri: "shop://hours" }).catch(() => {});
  await client.close();
  assert.ok(await flush(server, 10_000));
  const [span] = collector.spans.filter(({ name }) => name === "tools/call get");
  return { collector, span, read: collector.spans.find(({ name }) => name === "resources/read") };
}

for (const [name, Server] of Object.entries({ "SDK 1.x": McpServer, "SDK 2.x": ModernServer })) {
  test(`a call is there in promises, callbacks and where it is taken: ${name}`, async (t) => {
    const emitter = new EventEmitter();
    const headers = new Headers();
    assert.equal(Call.current(), undefined);
    const others = setInterval(() => emitter.emit("tick", Call.current()), 5);
    t.after(() => clearInterval(others));
    const { span } = await recorded(t, Server, async () => {
      const own = Call.current();
      own.caller("u-17");
      await Promise.resolve().then(() => Call.current().set("promise", 1));
      await new Promise((wake) => setTimeout(() => { Call.current().set("timer", 2); wake(); }, 1));
      const [elsewhere] = await once(emitter, "tick");
      assert.equal(elsewhere, undefined);
      const taken = await new Promise((tell) => emitter.once("tick", () => tell(own.run((value) => { Call.current().set("taken", value); return value; }, 3))));
      assert.equal(taken, 3);
      assert.equal(own.inject(headers), headers);
      return done;
    });
    const { "enduser.id": caller, promise, timer, taken } = span.attributes;
    assert.deepEqual([caller, promise, timer, taken], ["u-17", 1, 2, 3]);
    assert.equal(headers.get("traceparent"), `00-${span.traceId}-${span.spanId}-01`);
  });

  test(`what a tool throws is told with its stack and without secrets: ${name}`, async (t) => {
    const lookUp = () => { throw new TypeError(`no ${SECRET}`); };
    const { span, read, collector } = await recorded(t, Server, async () => {
      try {
        lookUp();
      } catch (cause) {
        throw new Error("the printer is on fire", { cause });
      }
    });
    const [{ name: event, attributes: told }, ...others] = span.events;
    assert.deepEqual([event, told["exception.type"], told["exception.message"], others], ["exception", "Error", "the printer is on fire", []]);
    assert.match(told["exception.stacktrace"], /current\.test\.mjs/);
    assert.match(told["exception.stacktrace"], /cause.*TypeError: no \[redacted\][^]*lookUp/);
    assert.equal(span.attributes["error.type"], "tool_error");
    assert.deepEqual(read.events.map(({ attributes }) => attributes["exception.type"]), ["RangeError"]);
    assert.ok(!collector.text.includes(SECRET));
  });
}

test("where no bodies are kept an exception has a type alone, and one that is handled is no failure", async (t) => {
  const tool = async () => {
    Call.current().exception(new RangeError("the printer is on fire"));
    return done;
  };
  const { span, collector } = await recorded(t, McpServer, tool, { capture: new Capture({ mode: "metadata" }) });
  assert.deepEqual(span.events.map(({ attributes }) => attributes), [{ "exception.type": "RangeError" }]);
  assert.deepEqual([span.status.code, span.attributes["error.type"], collector.text.includes("printer")], [0, undefined, false]);
});

test("an exception is cut, told once and bounded in number", async (t) => {
  const { observer, collector, flush } = await observed(t);
  const conversation = new Conversation(observer);
  const made = conversation.take("client", call(), HERE);
  const own = currentCall.run(made, () => Call.current());
  const held = observer.openBytes.held;
  const same = new Error("w ".repeat(1_000_000));
  class Mine extends Error {}
  for (const error of [same, same, new Mine("it"), "a text", undefined, ...Array.from({ length: 40 }, (_, at) => new Error(String(at)))]) own.exception(error);
  assert.ok(observer.openBytes.held - held < 400_000);
  conversation.take("server", answer(), HERE);
  own.exception(new Error("too late"));
  assert.ok(await flush());
  const told = collector.spans[0].events.map(({ attributes }) => attributes);
  assert.equal(told.length, 32);
  assert.ok(told.every((said) => said["exception.message"].length <= 64 * 1024 && (said["exception.stacktrace"] ?? "").length <= 64 * 1024));
  assert.ok(told[0]["exception.message"].length > 60_000);
  assert.deepEqual(told.slice(1, 4).map((said) => [said["exception.type"], said["exception.message"]]), [["Mine", "it"], ["string", "'a text'"], ["undefined", "undefined"]]);
  assert.equal(observer.openBytes.held, 0);
});

test("what a tool sets is bounded, and leaves the record as it is", async (t) => {
  const { observer, collector, flush } = await observed(t, { caller: () => "hook" });
  const conversation = new Conversation(observer);
  const own = currentCall.run(conversation.take("client", call(), HERE), () => Call.current());
  own.caller("u-17");
  own.set("mcp.method.name", "nothing");
  own.set("error.type", "mine");
  own.set("password", "hunter2");
  for (let at = 0; at < 100; at += 1) own.set("again", "w".repeat(10_000));
  own.set("large", "w".repeat(64 * 1024 + 1));
  const { held } = observer.openBytes;
  for (let at = 0; at < 100; at += 1) for (const size of [1, 10_000]) own.set("again", "w".repeat(size));
  assert.equal(observer.openBytes.held, held);
  for (let at = 0; at < 64; at += 1) own.set(`n${at}`, at);
  const circular = {};
  circular.circular = circular;
  const said = t.mock.method(fs, "writeSync", () => 0);
  own.set("circular", circular);
  said.mock.restore();
  conversation.take("server", answer(1, { isError: true }), HERE);
  assert.ok(await flush());
  const { attributes } = collector.spans[0];
  assert.deepEqual([attributes["enduser.id"], attributes["mcp.method.name"], attributes["error.type"], attributes.password], ["u-17", "tools/call", "tool_error", "[redacted]"]);
  assert.deepEqual([attributes.again.length, attributes.large, attributes.n0, attributes.n63], [10_000, undefined, 0, undefined]);
  // Five names are taken already.
  assert.equal(attributes["mcptap.dropped_attributes"], 6);
  assert.equal(observer.openBytes.held, 0);
});

test("what is asked of others is below the call, or the span in it", async (t) => {
  const storage = new AsyncLocalStorage();
  context.setGlobalContextManager({
    active: () => storage.getStore() ?? ROOT_CONTEXT, bind: (_, target) => target, enable() { return this; }, disable() { return this; },
    with: (given, act, self, ...rest) => storage.run(given, () => act.call(self, ...rest)),
  });
  t.after(() => context.disable());
  const { observer } = await observed(t, { capture: new Capture({ sampleMethods: { "tools/call": 2 } }) });
  const conversation = new Conversation(observer);
  const meta = { _meta: { traceparent: TRACEPARENT, baggage: "tenant=shop" } };
  const made = conversation.take("client", call(1, meta), HERE);
  const take = (of) => currentCall.run(of, () => Call.current());
  const own = take(made);
  const headers = own.inject({ accept: "*/*" });
  assert.deepEqual(headers, { accept: "*/*", traceparent: `${TRACEPARENT.slice(0, 36)}${made.spanId}-01`, baggage: "tenant=shop" });
  assert.equal(own.inject(new Map()).get("traceparent"), headers.traceparent);
  assert.equal(propagation.getBaggage(made.context).getEntry("tenant").value, "shop");
  const tracer = new BasicTracerProvider().getTracer("mine");
  own.run(() => {
    const span = tracer.startSpan("query");
    context.with(trace.setSpan(context.active(), span), () => own.inject(headers));
    assert.equal(headers.traceparent.slice(36, 52), span.spanContext().spanId);
  });
  context.with(trace.setSpan(ROOT_CONTEXT, tracer.startSpan("of another trace")), () => own.inject(headers));
  assert.equal(headers.traceparent.slice(36, 52), made.spanId);
  // One that is not recorded leaves what it asks to the trace of its client.
  assert.equal(take(conversation.take("client", call(2, meta), HERE)).inject({}).traceparent, TRACEPARENT);
  const sent = conversation.take("client", call(3), { ...HERE, headers: { baggage: "team=a" } });
  assert.equal(propagation.getBaggage(sent.context).getEntry("team").value, "a");
  // What takes nothing breaks nothing.
  const said = t.mock.method(fs, "writeSync", () => 0);
  own.inject(Object.freeze({}));
  said.mock.restore();
  assert.equal(said.mock.callCount(), 1);
});
