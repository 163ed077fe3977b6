// Answers that are compressed: they are read, or it is told why not.

import assert from "node:assert/strict";
import { test } from "node:test";
import zlib from "node:zlib";

import { Budget } from "../dist/budget.js";
import { Decoder } from "../dist/coding.js";
import { watch } from "../dist/exchange.js";
import { eventually, observed } from "./support.mjs";

const call = (id = 1) => ({ jsonrpc: "2.0", id, method: "tools/call", params: { name: "get" } });
const answer = (id = 1, result = {}) => ({ jsonrpc: "2.0", id, result });
const HAS_ZSTD = "createZstdDecompress" in zlib;
// What zstd makes of `{"jsonrpc":"2.0","id":1,"result":{}}`: also Node.js that has no zstd is asked to read it.
const ZSTD = Buffer.from("KLUv/SAkIQEAeyJqc29ucnBjIjoiMi4wIiwiaWQiOjEsInJlc3VsdCI6e319", "base64");

const PACKED = {
  gzip: ["gzip", zlib.gzipSync], "gzip in members": ["x-gzip", (data) => Buffer.concat([zlib.gzipSync(data.subarray(0, 9)), zlib.gzipSync(data.subarray(9))])],
  deflate: ["Deflate", zlib.deflateSync], "raw deflate": ["deflate", zlib.deflateRawSync], br: ["br", zlib.brotliCompressSync],
  stacked: ["gzip, identity, br", (data) => zlib.brotliCompressSync(zlib.gzipSync(data))],
};

async function read(header, data, size, budget = new Budget(64 << 20)) {
  const pieces = [];
  const decoder = new Decoder(header, budget, (piece) => pieces.push(Buffer.from(piece)));
  for (let at = 0; at < data.length; at += size) {
    decoder.feed(data.subarray(at, at + size));
    // As pieces come from a network.
    await new Promise((wake) => setImmediate(wake));
  }
  await new Promise((tell) => decoder.finish(tell));
  assert.equal(budget.held, 0);
  return { fault: decoder.fault, text: Buffer.concat(pieces).toString() };
}

for (const [name, [header, pack]] of Object.entries(PACKED)) {
  test(`a body is read in any pieces: ${name}`, async () => {
    const said = JSON.stringify(answer(1, { text: "word, ".repeat(200) }));
    for (const size of [1, 7, 1 << 20]) assert.deepEqual(await read(header, pack(Buffer.from(said)), size), { fault: undefined, text: said });
  });
}

test("what is damaged, too short or grows without bounds is not read", async () => {
  const said = Buffer.from(Array.from({ length: 10_000 }, (_, at) => (at * 7919) % 256));
  for (const name of ["gzip", "raw deflate", "br", "stacked"]) {
    const [header, pack] = PACKED[name];
    const packed = pack(said);
    assert.match((await read(header, Buffer.concat([Buffer.from([15, 255]), packed.subarray(9)]), 100)).fault, /damaged|too early/, name);
    assert.match((await read(header, packed.subarray(0, -9), 100)).fault, /ends too early/, name);
    assert.match((await read(header, pack(Buffer.alloc(17 << 20, "w")), 1 << 20)).fault, /grows too large/, name);
  }
  assert.match((await read("br", zlib.brotliCompressSync("word ".repeat(100_000)), 1 << 20, new Budget(1 << 20))).fault, /at once/);
  assert.match((await read("gzip, gzip, gzip, gzip, gzip", said, 100)).fault, /more than 4/);
});

async function exchange(observer, id, header, body, kind = "application/json") {
  const request = new Request("http://localhost/mcp", { method: "POST", body: JSON.stringify(call(id)), headers: { accept: "text/event-stream" } });
  const handle = () => new Response(body, { headers: { "content-type": kind, "content-encoding": header } });
  return Buffer.from(await (await watch(observer, request, undefined, handle)).arrayBuffer());
}

test("a compressed answer is recorded, and passes as it is", async (t) => {
  const { observer, collector } = await observed(t);
  for (const [at, name] of Object.keys(PACKED).entries()) {
    const [header, pack] = PACKED[name];
    const packed = pack(Buffer.from(JSON.stringify(answer(at, { isError: true, content: [] }))));
    assert.deepEqual(await exchange(observer, at, header, packed), packed);
  }
  const events = zlib.brotliCompressSync(`data: ${JSON.stringify(answer("e", { content: ["seen"] }))}\n\n`);
  assert.deepEqual(await exchange(observer, "e", "br", events, "text/event-stream"), events);
  const count = Object.keys(PACKED).length + 1;
  await eventually(() => collector.spans.length === count);
  for (const { attributes } of collector.spans) {
    const isEvent = attributes["jsonrpc.request.id"] === "e";
    assert.equal(attributes["error.type"], isEvent ? undefined : "tool_error");
    assert.deepEqual(JSON.parse(attributes["mcptap.response.body"]), isEvent ? { content: ["seen"] } : { isError: true, content: [] });
  }
  assert.equal(observer.openBytes.held, 0);
});

test("an answer that nobody here reads is no failure", async (t) => {
  const { observer, collector } = await observed(t);
  await exchange(observer, 1, "zstd", ZSTD);
  await exchange(observer, 2, "pack200", "\u0000\u0001");
  // Some write an encoding of characters there.
  await exchange(observer, 3, "utf-8", JSON.stringify(answer(3)));
  await exchange(observer, 4, "br", "nothing of the kind");
  await eventually(() => collector.spans.length === 4);
  assert.deepEqual(collector.spans.map(({ status }) => status.code), [0, 0, 0, 0]);
  const told = Object.fromEntries(collector.spans.map(({ attributes }) => [attributes["jsonrpc.request.id"], attributes]));
  if (HAS_ZSTD) assert.equal(told[1]["mcptap.response.body"], "{}");
  else assert.match(told[1]["mcptap.response.unreadable"], /needs Node.js 22.15/);
  assert.equal(told[2]["mcptap.response.unreadable"], 'its content coding "pack200" is not known');
  assert.deepEqual([told[3]["mcptap.response.unreadable"], told[3]["mcptap.response.body"]], [undefined, "{}"]);
  assert.match(told[4]["mcptap.response.unreadable"], /^its br data (is damaged|ends too early)$/);
  assert.equal(observer.openBytes.held, 0);
});
