// Which answer is whose: of requests that are open at once, of HTTP requests in one session, of ids written otherwise.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Conversation } from "../dist/conversation.js";
import { watch } from "../dist/exchange.js";
import { canonical } from "../dist/ids.js";
import { Capture, CaptureError } from "../dist/index.js";
import { observed } from "./support.mjs";

const HERE = { attributes: {} };
const call = (name, id, params = {}) => ({ jsonrpc: "2.0", id, method: "tools/call", params: { name, ...params } });
const answer = (id, result = {}) => ({ jsonrpc: "2.0", id, result });
const bodies = ({ spans }) => Object.fromEntries(spans.map(({ name, attributes }) => [name.split(" ")[1], JSON.parse(attributes["mcptap.response.body"] ?? "null")]));

/** Requests of one session whose answers come when the test says so. */
function pooled(observer) {
  const says = new Map();
  const ask = async (message) => {
    const request = new Request("http://localhost/mcp", {
      method: "POST", body: JSON.stringify(message),
      headers: { accept: "application/json, text/event-stream", "content-type": "application/json", "mcp-session-id": "pooled" },
    });
    const { promise, resolve } = Promise.withResolvers?.() ?? deferred();
    says.set(message.params?.name, resolve);
    const { promise: begun, resolve: begin } = deferred();
    const done = watch(observer, request, undefined, () => { begin(); return promise; }).then((response) => response.text());
    await begun;
    return done;
  };
  return { asked: async (message) => ({ done: ask(message) }), says };
}

function deferred() {
  let resolve;
  const promise = new Promise((tell) => { resolve = tell; });
  return { promise, resolve };
}

/** Lets everything go on that waits for nothing from outside. */
async function turn() {
  for (let turns = 0; turns < 20; turns++) await new Promise(setImmediate);
}

for (const kind of ["application/json", "text/event-stream"]) {
  test(`each POST of a pooled session has its own answer, ${kind}`, async (t) => {
    const { observer, collector, flush } = await observed(t);
    const { asked, says } = pooled(observer);
    const pending = [];
    for (const name of ["a", "b", "c"]) {
      pending.push((await asked(call(name, 1, { _meta: { progressToken: 1 } }))).done);
      await turn();
    }
    for (const name of ["b", "a", "c"]) {
      const said = JSON.stringify(answer(1, { of: name }));
      says.get(name)(new Response(kind === "text/event-stream" ? `data: ${said}\n\n` : said, { headers: { "content-type": kind } }));
      await turn();
    }
    await Promise.all(pending);
    assert.ok(await flush());
    assert.deepEqual(bodies(collector), { a: { of: "a" }, b: { of: "b" }, c: { of: "c" } });
    assert.ok(collector.spans.every(({ status }) => status.code === 0));
  });
}

test("a cancellation in a pooled session is of the one that ends without an answer", async (t) => {
  const { observer, collector, flush } = await observed(t);
  const { asked, says } = pooled(observer);
  const pending = [];
  for (const name of ["a", "b"]) {
    pending.push((await asked(call(name, 1))).done);
    await turn();
  }
  pending.push((await asked({ jsonrpc: "2.0", method: "notifications/cancelled", params: { name: "told", requestId: 1, reason: "enough" } })).done);
  await turn();
  says.get("told")(new Response(null, { status: 202 }));
  says.get("a")(Response.json(answer(1, { of: "a" })));
  await turn();
  says.get("b")(Response.json({}));
  await Promise.all(pending);
  assert.ok(await flush());
  const outcome = (name) => collector.spans.find((span) => span.name.endsWith(name)).attributes["mcptap.outcome"];
  assert.deepEqual([outcome("a"), outcome("b")], [undefined, "cancelled"]);
});

test("the same id twice on one stream shows no answer that may be another's", async (t) => {
  const { observer, collector, flush } = await observed(t);
  const conversation = new Conversation(observer);
  for (const name of ["a", "b"]) conversation.take("client", call(name, 1), HERE);
  for (const name of ["b", "a"]) conversation.take("server", answer(1, { of: name }), HERE);
  assert.ok(await flush());
  assert.equal(collector.spans.length, 2);
  for (const { attributes, status } of collector.spans) {
    assert.match(attributes["mcptap.response.unreadable"], /same id/);
    assert.deepEqual([attributes["mcptap.response.body"], attributes["mcptap.outcome"], status.code], [undefined, "unknown", 0]);
  }
});

for (const written of ["1", "1.0", "1e0", "10E-1", '"1"']) {
  test(`ids pair by value, ${written}`, async (t) => {
    const { observer, collector, flush } = await observed(t);
    const conversation = new Conversation(observer);
    conversation.take("client", call("one", 1), HERE);
    conversation.take("client", call("two", "2"), HERE);
    conversation.take("server", JSON.parse(`{"jsonrpc":"2.0","id":${written},"result":{"of":1}}`), HERE);
    conversation.take("server", answer(2, { of: 2 }), HERE);
    assert.ok(await flush());
    assert.deepEqual(bodies(collector), { one: { of: 1 }, two: { of: 2 } });
  });
}

test("a number and a text are two ids", async (t) => {
  const { observer, collector, flush } = await observed(t);
  const conversation = new Conversation(observer);
  conversation.take("client", call("number", 1), HERE);
  conversation.take("client", call("text", "1"), HERE);
  conversation.take("server", answer("1", { of: "text" }), HERE);
  conversation.take("server", answer(1, { of: "number" }), HERE);
  assert.ok(await flush());
  assert.deepEqual(bodies(collector), { number: { of: "number" }, text: { of: "text" } });
});

test("numbers are written in one form", () => {
  for (const [one, other] of [["1", "1.0"], ["0", "-0"], ["120", "1.2e+2"], ["-7", "-7.00"], ["0.5", "5e-1"], ["1e400", "10e399"]]) {
    assert.ok(canonical(one) !== undefined);
    assert.equal(canonical(one), canonical(other));
  }
  assert.notEqual(canonical("9007199254740993"), canonical("9007199254740992"));
  assert.deepEqual([canonical("1.5"), canonical("01"), canonical("one")], ["15e-1", undefined, undefined]);
});

test("null is nothing", async (t) => {
  const { observer, collector, flush } = await observed(t);
  const conversation = new Conversation(observer);
  const failure = { code: -32603, message: "no" };
  const answers = [{ result: { ok: true }, error: null }, { result: null, error: failure }, { method: null, result: { ok: true } }, { result: null }];
  for (const [id, members] of answers.entries()) {
    conversation.take("client", call(String(id), id), HERE);
    conversation.take("server", { jsonrpc: "2.0", id, ...members }, HERE);
  }
  assert.ok(await flush());
  assert.deepEqual(bodies(collector), { 0: { ok: true }, 1: { error: failure }, 2: { ok: true }, 3: null });
  assert.deepEqual(collector.spans.map(({ status }) => status.code), [0, 2, 0, 0]);
});

test("methods that are excluded are not recorded", async (t) => {
  assert.throws(() => new Capture({ excludeMethods: ["p*g"] }), CaptureError);
  const { observer, collector, flush } = await observed(t, { capture: new Capture({ excludeMethods: ["ping", "resources/*"] }) });
  const conversation = new Conversation(observer);
  for (const [id, method] of ["ping", "resources/read", "tools/list"].entries()) {
    conversation.take("client", { jsonrpc: "2.0", id, method }, HERE);
    conversation.take("server", answer(id), HERE);
  }
  assert.ok(await flush());
  assert.deepEqual(collector.spans.map(({ name }) => name), ["tools/list"]);
});

test("of a sampled method failures are all there, and weights make up the rest", async (t) => {
  assert.throws(() => new Capture({ sampleMethods: { ping: 0 } }), CaptureError);
  const { observer, collector, flush } = await observed(t, { capture: new Capture({ sampleMethods: { "tools/call": 4 } }) });
  const conversation = new Conversation(observer);
  for (let id = 0; id < 13; id += 1) {
    conversation.take("client", call(String(id), id), HERE);
    conversation.take("server", { jsonrpc: "2.0", id, ...([5, 8].includes(id) ? { error: { code: -32603, message: "no" } } : { result: {} }) }, HERE);
  }
  conversation.take("client", { jsonrpc: "2.0", id: 20, method: "ping" }, HERE);
  conversation.take("server", answer(20), HERE);
  assert.ok(await flush());
  const weights = Object.fromEntries(collector.spans.map(({ name, attributes }) => [name.split(" ").at(-1), attributes["mcptap.weight"]]));
  assert.deepEqual(weights, { 0: 1, 4: 4, 5: undefined, 8: undefined, 12: 6, ping: undefined });
  const { status, attributes } = collector.spans.find(({ name }) => name === "tools/call 5");
  assert.deepEqual([status.code, "mcptap.response.body" in attributes, "mcptap.request.body" in attributes], [2, true, false]);
  assert.equal(observer.openBytes.held, 0);
});

test("tags of an application, which sees all headers", async (t) => {
  const tagWith = ({ target, headers }) => {
    if (target === "bad") throw new Error("the hook is broken");
    return { tenant: headers["x-tenant"], password: "hunter2" };
  };
  const { observer, collector, flush } = await observed(t, { capture: new Capture({ tagWith }) });
  for (const [id, name] of ["good", "bad"].entries()) {
    const request = new Request("http://localhost/mcp", { method: "POST", body: JSON.stringify(call(name, id)), headers: { "x-tenant": "a" } });
    await (await watch(observer, request, undefined, () => Response.json(answer(id)))).text();
  }
  assert.ok(await flush());
  const [good, bad] = collector.spans.map(({ attributes }) => attributes);
  assert.deepEqual([good.tenant, good.password, good["http.request.header.x-tenant"], bad.tenant], ["a", "[redacted]", undefined, undefined]);
});

test("the first answer after a cancelled request of the same id is in doubt", async (t) => {
  const { observer, collector, flush } = await observed(t);
  const conversation = new Conversation(observer);
  conversation.take("client", call("first", 1), HERE);
  conversation.take("client", { jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: 1 } }, HERE);
  for (const name of ["second", "third"]) {
    conversation.take("client", call(name, 1), HERE);
    conversation.take("server", answer(1, { of: name }), HERE);
  }
  assert.ok(await flush());
  const said = Object.fromEntries(collector.spans.map(({ name, attributes }) => [name.split(" ")[1], attributes]));
  assert.deepEqual(["first", "second", "third"].map((name) => said[name]["mcptap.outcome"]), ["cancelled", "unknown", undefined]);
  assert.deepEqual([bodies(collector).third, said.second["mcptap.response.body"]], [{ of: "third" }, undefined]);
});
