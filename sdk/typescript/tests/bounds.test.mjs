// Secrets where a text is cut, how much is held, and in whose context it is sent.

import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import { createServer } from "node:http";
import { test } from "node:test";

import { context, createContextKey, ROOT_CONTEXT, trace } from "@opentelemetry/api";
import { SeverityNumber } from "@opentelemetry/api-logs";
import { isTracingSuppressed } from "@opentelemetry/core";

import { beginning, Body } from "../dist/body.js";
import { Conversation } from "../dist/conversation.js";
import { Courier } from "../dist/courier.js";
import { Events } from "../dist/events.js";
import { watch } from "../dist/exchange.js";
import { Capture, Redactor, set } from "../dist/index.js";
import { currentCall } from "../dist/observer.js";
import { Telemetry } from "../dist/telemetry.js";
import { eventually, observed } from "./support.mjs";

const HERE = { attributes: {} };
const call = (name = "get", id = 1, params = {}) => ({ jsonrpc: "2.0", id, method: "tools/call", params: { name, ...params } });
const answer = (id = 1, result = {}) => ({ jsonrpc: "2.0", id, result });

const SECRETS = {
  "a token": { said: "is ghp_aB3dE5gH7aB3dE5gH7aB3dE5gH7aB3dE5gH7 it" },
  "words under a name": { password: "correct horse battery staple" },
  "a value in an environment": { name: "API_KEY", value: "kV9zQ2mLw7xB4nR8tY3pS6" },
  "a number": { password: 823_456_781_234_567 },
  "below a name": { password: { of: { it: ["kV9zQ2mLw7xB4", "nR8tY3pS6kV9z"] } } },
  "behind a flag": ["--password", "kV9zQ2mLw7xB4nR8tY3pS6"],
  "an operator's": { note: "the open sesame of the cave" },
  "a key": { pem: "-----BEGIN PRIVATE KEY-----\nkV9zQ2mLw7xB4 nR8tY3pS6\n-----END PRIVATE KEY-----" },
};
const PIECES = ["ghp_", "correct", "horse", "kV9z", "nR8t", "8234", "open ses", "sesame of"];

for (const [name, secret] of Object.entries(SECRETS)) {
  test(`a secret is cut out wherever the text is cut: ${name}`, () => {
    const redactor = new Redactor({ values: { CAVE: "open sesame of the cave" } });
    const value = { before: "some words ".repeat(5), it: secret, after: "and more words ".repeat(600) };
    const text = JSON.stringify(value);
    for (let cap = 75; cap < 150; cap += 4) {
      for (const shown of [Body.of(value, cap).redacted(redactor), Body.ofText(text, text.length, cap).redacted(redactor), beginning(text, cap, redactor)]) {
        assert.ok(Buffer.byteLength(shown) <= cap);
        assert.ok(!PIECES.some((piece) => shown.includes(piece)), `${cap} ${shown}`);
      }
    }
  });
}

test("a text that ends within a value is known as such", () => {
  for (const text of [
    '{"a":1,"password":"correct horse bat', 'x password: "corr3ct horse', "{'password': 'correct horse", 'run --password "correct horse',
    '{"a":"{\\"password\\":\\"correct horse',
  ]) assert.ok(!new Redactor().text(text).includes("horse"), text);
});

test("a line of output is cut after its secrets", async (t) => {
  const { observer, collector, flush } = await observed(t);
  const conversation = new Conversation(observer);
  const made = conversation.take("client", call(), HERE);
  for (let before = 64 * 1024 - 30; before < 64 * 1024; before += 5) made.log(SeverityNumber.INFO, `${"w ".repeat(before / 2)}ghp_aB3dE5gH7aB3dE5gH7aB3dE5gH7aB3dE5gH7`);
  conversation.take("server", answer(), HERE);
  assert.ok(await flush());
  assert.equal(collector.logs.length, 6);
  for (const { body } of collector.logs) assert.ok(!body.includes("ghp_") && body.length <= 64 * 1024);
});

test("what open calls hold is bounded and given back", async (t) => {
  const { observer, collector, flush } = await observed(t);
  observer.openBytes.most = 500_000;
  const conversation = new Conversation(observer);
  for (let id = 0; id < 40; id += 1) {
    conversation.take("client", call("get", id, { arguments: { text: "word ".repeat(10_000) } }), HERE);
    // So that the queue is empty, and only the calls hold it.
    assert.ok(await flush());
    assert.ok(observer.openBytes.held <= 540_000);
  }
  for (let id = 0; id < 40; id += 1) conversation.take("server", answer(id), HERE);
  assert.ok(await flush());
  assert.equal(observer.openBytes.held, 0);
  assert.equal(collector.spans.length, 40);
  const [kept, left] = [true, false].map((has) => collector.spans.filter(({ attributes }) => "mcptap.request.body" in attributes === has));
  assert.ok(kept.length >= 5 && kept.length < 20, `${kept.length}`);
  assert.ok(left.every(({ attributes }) => attributes["mcptap.request.truncated"] && attributes["mcptap.request.size"] > 50_000));
});

test("a body that is too much to be read is told of", async (t) => {
  const { observer, collector, flush } = await observed(t);
  observer.openBytes.most = 1000;
  const request = new Request("http://localhost/mcp", {
    method: "POST", body: JSON.stringify(call("get", 1, { text: "w ".repeat(5000) })),
    headers: { accept: "application/json, text/event-stream", "mcp-method": "tools/call", "mcp-name": "get" },
  });
  await (await watch(observer, request, undefined, () => Response.json(answer(1, { text: "w".repeat(5000) })))).text();
  assert.ok(await flush());
  const [{ name, status, attributes }] = collector.spans;
  assert.deepEqual([name, status.code, attributes["http.response.status_code"]], ["tools/call get", 0, 200]);
  assert.match(attributes["mcptap.request.unreadable"], /at once/);
  assert.equal(observer.openBytes.held, 0);
});

test("an event may come in any number of pieces", () => {
  const said = Buffer.from('event: message\r\nid: 1\r\ndata: {"a":\r\ndata: 1}\r\n\r\ndata: 2\n\n');
  for (const size of [1, 2, 3, 7, 100]) {
    const events = new Events();
    const found = [];
    for (let at = 0; at < said.length; at += size) found.push(...events.feed(said.subarray(at, at + size)));
    assert.deepEqual([found, events.held, events.hasIds], [['{"a":\n1}', "2"], 0, true]);
  }
});

test("a function of one's own redacts last, and keeps nothing where it fails", async (t) => {
  const seen = [];
  const redactWith = (text) => {
    seen.push(text);
    if (text.includes("boom")) throw new Error(text);
    return text.includes("ACME") ? text.replaceAll("ACME", "***") : undefined;
  };
  const { observer, collector, flush } = await observed(t, { capture: new Capture({ redactWith }) });
  const conversation = new Conversation(observer);
  for (const [id, said] of ["ACME", "boom"].entries()) {
    const made = conversation.take("client", call(said, id, { arguments: { at: said, password: "hunter2" } }), { attributes: { x: said } });
    made.log(SeverityNumber.INFO, `is ${said}`);
    conversation.take("server", { jsonrpc: "2.0", id, error: { code: -32603, message: `no ${said}` } }, HERE);
  }
  assert.ok(await flush());
  assert.ok(!collector.text.includes("ACME") && !collector.text.includes("boom"));
  const [first, second] = collector.spans;
  assert.deepEqual(JSON.parse(first.attributes["mcptap.request.body"]).params.arguments, { at: "***", password: "[redacted]" });
  assert.deepEqual([second.attributes["mcptap.request.body"], second.attributes.x, second.name], ["[redacted]", "[redacted]", "[redacted]"]);
  assert.ok(!seen.some((text) => text.includes("hunter2")));
});

test("attributes of any kind are set, and late ones said", async (t) => {
  const { observer, collector, flush } = await observed(t);
  const conversation = new Conversation(observer);
  const said = t.mock.method(fs, "writeSync", () => 0);
  currentCall.run(conversation.take("client", call(), HERE), () => {
    set({ plain: 1, listed: ["a", "b"], mixed: [1, "a"], nothing: null, deep: { password: "hunter2" }, password: "hunter2" });
    conversation.take("server", answer(), HERE);
    set({ late: 1 });
    set({ later: 2 });
  });
  set({ outside: 1 });
  said.mock.restore();
  assert.ok(await flush());
  const { plain, listed, mixed, nothing, deep, password, ...others } = collector.spans[0].attributes;
  assert.deepEqual([plain, listed, mixed, nothing], [1, ["a", "b"], '[1,"a"]', "null"]);
  assert.deepEqual([deep, password], ['{"password":"[redacted]"}', "[redacted]"]);
  assert.ok(!("late" in others || "later" in others || "outside" in others));
  assert.equal(said.mock.calls.filter(({ arguments: [, text] }) => text.includes("after their call")).length, 1);
});

test("a client that does not sample is recorded", async (t) => {
  const { observer, collector, flush } = await observed(t);
  const conversation = new Conversation(observer);
  conversation.take("client", call("get", 1, { _meta: { traceparent: `00-${"a".repeat(32)}-${"b".repeat(16)}-00` } }), HERE);
  conversation.take("server", answer(), HERE);
  assert.ok(await flush());
  assert.deepEqual(collector.spans.map(({ traceId }) => traceId), ["a".repeat(32)]);
});

test("what is sent is in no call, in no span, and where no instrumentation looks", async (t) => {
  const storage = new AsyncLocalStorage();
  const key = createContextKey("mine");
  const active = () => storage.getStore() ?? ROOT_CONTEXT;
  context.setGlobalContextManager({
    active, bind: (_, target) => target, enable() { return this; }, disable() { return this; },
    with: (given, act, self, ...rest) => storage.run(given, () => act.call(self, ...rest)),
  });
  t.after(() => context.disable());
  const found = [];
  const exporter = {
    export(_, done) {
      found.push([currentCall.getStore(), active().getValue(key), trace.getSpan(active()), isTracingSuppressed(active())]);
      setTimeout(() => done({ code: 0 }), 1);
    },
    shutdown: async () => {},
  };
  const { observer } = await observed(t);
  const made = new Conversation(observer).take("client", call(), HERE);
  for (const flushes of [false, true]) {
    const courier = new Courier(new Map([["spans", exporter]]), 5, "here");
    t.after(() => courier.close(10));
    await storage.run(ROOT_CONTEXT.setValue(key, 1), () => currentCall.run(made, async () => {
      courier.later(() => courier.send("spans", {}));
      if (flushes) await courier.flush(1000);
    }));
    await eventually(() => found.length === (flushes ? 2 : 1));
  }
  assert.deepEqual(found, [[undefined, undefined, undefined, true], [undefined, undefined, undefined, true]]);
});

test("a call that comes alone is sent at once, and those after it together", async (t) => {
  // So far apart are two exports, unless somebody flushes.
  process.env.OTEL_BSP_SCHEDULE_DELAY = "3600000";
  t.after(() => { delete process.env.OTEL_BSP_SCHEDULE_DELAY; });
  const { observer, collector, flush } = await observed(t);
  const conversation = new Conversation(observer);
  const say = (name, id) => {
    conversation.take("client", call(name, id), HERE);
    conversation.take("server", answer(id), HERE);
  };
  say("alone", 1);
  await eventually(() => collector.spans.length === 1);
  for (const id of [2, 3, 4]) say("other", id);
  const before = collector.asked;
  assert.ok(await flush());
  assert.deepEqual([collector.spans.length, collector.asked - before], [4, 1]);
});

test("an answer whose event is too long to be read is no failure", async (t) => {
  const { observer, collector, flush } = await observed(t);
  const pieces = [Buffer.from("data: "), ...Array.from({ length: 17 }, () => Buffer.alloc(1 << 20, "w")), Buffer.from("\n\n")];
  const body = new ReadableStream({ pull(controller) { const piece = pieces.shift(); if (piece) controller.enqueue(piece); else controller.close(); } });
  const request = new Request("http://localhost/mcp", { method: "POST", body: JSON.stringify(call()), headers: { "mcp-session-id": "s-1" } });
  const answered = await watch(observer, request, undefined, () => new Response(body, { headers: { "content-type": "text/event-stream" } }));
  assert.equal((await answered.arrayBuffer()).byteLength, (17 << 20) + 8);
  assert.ok(await flush());
  const [{ status, attributes }] = collector.spans;
  assert.equal(status.code, 0);
  assert.match(attributes["mcptap.response.unreadable"], /16 MiB/);
  assert.equal(observer.openBytes.held, 0);
});

test("a client that leaves while its handler waits is told of", async (t) => {
  const { observer, collector, flush } = await observed(t);
  const left = new AbortController();
  const request = new Request("http://localhost/mcp", { method: "POST", body: JSON.stringify(call()), signal: left.signal });
  let begin;
  const begun = new Promise((tell) => { begin = tell; });
  void watch(observer, request, undefined, () => { begin(); return new Promise(() => {}); });
  await begun;
  left.abort();
  assert.ok(await flush());
  assert.deepEqual(collector.spans.map(({ status }) => status.message), ["the client went away"]);
});

test("what is too large for a collector is cut until it passes", async (t) => {
  const { observer, collector, flush } = await observed(t);
  collector.limit = 20_000;
  const conversation = new Conversation(observer);
  for (let id = 0; id < 9; id += 1) {
    conversation.take("client", call(String(id), id, { text: "w ".repeat(id === 4 ? 50_000 : 2000) }), HERE);
    conversation.take("server", answer(id), HERE);
  }
  assert.ok(await flush());
  assert.deepEqual([...new Set(collector.spans.map(({ name }) => name.at(-1)))].sort().join(""), "01235678");
});

test("an endpoint that is none is told", () => {
  for (const endpoint of ["nonsense", "http://127.0.0.1:99999", "ftp://h", "127.0.0.1:4318"]) {
    assert.throws(() => new Telemetry("shop", { endpoint }), /give a URL such as http:\/\/127\.0\.0\.1:4318/);
  }
});

test("a process that has nothing more to do waits for no collector that does not answer", async (t) => {
  const asked = [];
  const deaf = createServer((request) => asked.push(request.url)).listen(0, "127.0.0.1");
  t.after(() => { deaf.closeAllConnections(); deaf.close(); });
  await once(deaf, "listening");
  const program = `
    import { Conversation } from ${JSON.stringify(new URL("../dist/conversation.js", import.meta.url).href)};
    import { Capture } from ${JSON.stringify(new URL("../dist/index.js", import.meta.url).href)};
    import { Observer } from ${JSON.stringify(new URL("../dist/observer.js", import.meta.url).href)};
    import { Telemetry } from ${JSON.stringify(new URL("../dist/telemetry.js", import.meta.url).href)};
    const observer = new Observer(new Telemetry("shop", { endpoint: process.argv[1] }), new Capture(), "shop");
    const conversation = new Conversation(observer);
    conversation.take("client", ${JSON.stringify(call())}, { attributes: {} });
    conversation.take("server", ${JSON.stringify(answer())}, { attributes: {} });
  `;
  const env = { ...process.env, OTEL_EXPORTER_OTLP_TIMEOUT: "3600000" };
  const child = spawn(process.execPath, ["--input-type=module", "--eval", program, `http://127.0.0.1:${deaf.address().port}`], { env, stdio: "ignore" });
  t.after(() => child.kill("SIGKILL"));
  const [code] = await once(child, "exit");
  await eventually(() => asked.length > 0);
  assert.deepEqual([code, asked], [0, ["/v1/traces"]]);
});
