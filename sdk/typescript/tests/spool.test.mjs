// What is recorded while the collector is away, where a directory is named to keep it in.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import fs from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";

import { Conversation } from "../dist/conversation.js";
import { Capture } from "../dist/index.js";
import { Observer } from "../dist/observer.js";
import { Spool, spoolOfEnvironment, TIMES } from "../dist/spool.js";
import { Telemetry } from "../dist/telemetry.js";
import { eventually, observed } from "./support.mjs";

const SECRET = "sk-live-0123456789abcdefghij";
const HERE = { attributes: {} };
const numbers = (count, from = 0) => Array.from({ length: count }, (_, at) => at + from);

function directory(t) {
  const root = join(fs.mkdtempSync(join(tmpdir(), "mcptap-spool-")), "spool");
  process.env.MCPTAP_SPOOL_DIR = root;
  t.after(() => {
    delete process.env.MCPTAP_SPOOL_DIR;
    fs.rmSync(join(root, ".."), { recursive: true });
  });
  return root;
}

const files = (root) => (fs.existsSync(root) ? fs.readdirSync(root).flatMap((name) => fs.readdirSync(join(root, name)).map((file) => join(root, name, file))) : []);
const held = (root) => files(root).map((file) => gunzipSync(fs.readFileSync(file)).toString("latin1")).join("");
const ids = ({ spans }) => spans.map(({ attributes }) => Number(attributes["jsonrpc.request.id"])).sort((one, other) => one - other);

function say(observer, ids, text = "") {
  const conversation = new Conversation(observer);
  for (const id of ids) {
    conversation.take("client", { jsonrpc: "2.0", id, method: "tools/call", params: { name: "get", arguments: { text, password: "hunter2" } } }, HERE);
    conversation.take("server", { jsonrpc: "2.0", id, result: {} }, HERE);
  }
}

/** Keeps what is said on standard error; files are written that way, too. */
function muted(t) {
  const write = fs.writeSync;
  return t.mock.method(fs, "writeSync", (file, ...given) => (file === 2 ? 0 : write(file, ...given)));
}
const said = ({ mock }, text) => mock.calls.filter(({ arguments: [file, line] }) => file === 2 && line.includes(text)).length;

test("an outage is kept on disk, and delivered when it is over", async (t) => {
  const root = directory(t);
  muted(t);
  const { observer, collector, flush } = await observed(t);
  collector.status = 503;
  say(observer, numbers(20), `is ${SECRET}`);
  await eventually(() => files(root).length > 0 && observer.telemetry.courier.bytes === 0);
  // Nobody says that it was sent.
  assert.ok(!(await observer.telemetry.courier.flush(300)));
  assert.ok(held(root).includes("tools/call") && !held(root).includes(SECRET) && !held(root).includes("hunter2"));
  assert.deepEqual([...new Set(files(root).map((file) => fs.statSync(file).mode & 0o777))], [0o600]);
  collector.status = 200;
  // No other record brings it about.
  await eventually(() => collector.spans.length === 20);
  assert.deepEqual(ids(collector), numbers(20));
  assert.ok(await flush());
  assert.deepEqual(files(root), []);
});

test("the next process delivers what is left", async (t) => {
  const root = directory(t);
  muted(t);
  const { observer, collector } = await observed(t);
  collector.status = 503;
  say(observer, [1, 2]);
  await observer.telemetry.courier.close(5000);
  assert.ok(files(root).length > 0 && collector.spans.length === 0);
  collector.status = 200;
  const elsewhere = new Spool(root, "http://elsewhere", 1 << 20);
  elsewhere.put("spans", Buffer.from("of another address"));
  const telemetry = new Telemetry("shop", { endpoint: collector.url });
  t.after(() => telemetry.courier.close(100));
  say(new Observer(telemetry, new Capture(), "shop"), [3]);
  assert.ok(await telemetry.courier.flush(20_000));
  assert.deepEqual(ids(collector), [1, 2, 3]);
  assert.equal(files(root).length, 1);
  assert.equal(Buffer.from(elsewhere.take("spans").data).toString(), "of another address");
});

for (const [way, last] of Object.entries({ "has nothing more to do": "", "exits": "setTimeout(() => process.exit(0), 300);" })) {
  test(`a process that ${way} while its collector does not answer leaves what it has`, async (t) => {
    const root = directory(t);
    const deaf = createServer(() => {}).listen(0, "127.0.0.1");
    t.after(() => { deaf.closeAllConnections(); deaf.close(); });
    await once(deaf, "listening");
    const from = (file) => JSON.stringify(new URL(`../dist/${file}.js`, import.meta.url).href);
    const program = `
      import { Conversation } from ${from("conversation")};
      import { Capture } from ${from("index")};
      import { Observer } from ${from("observer")};
      import { Telemetry } from ${from("telemetry")};
      const conversation = new Conversation(new Observer(new Telemetry("shop", { endpoint: process.argv[1] }), new Capture(), "shop"));
      for (let id = 0; id < 50; id += 1) {
        conversation.take("client", { jsonrpc: "2.0", id, method: "tools/call", params: { name: "number-" + id } }, { attributes: {} });
        conversation.take("server", { jsonrpc: "2.0", id, result: {} }, { attributes: {} });
      }
      ${last}
    `;
    const child = spawn(process.execPath, ["--input-type=module", "--eval", program, `http://127.0.0.1:${deaf.address().port}`], { stdio: "ignore" });
    t.after(() => child.kill("SIGKILL"));
    const [code] = await once(child, "exit");
    assert.equal(code, 0);
    assert.deepEqual(numbers(50).filter((id) => !held(root).includes(`number-${id}`)), []);
  });
}

test("what overflows memory goes to disk", async (t) => {
  const root = directory(t);
  muted(t);
  const { observer, collector } = await observed(t, { spill: 200_000 });
  collector.status = 503;
  say(observer, [0]);
  await eventually(() => files(root).length > 0);
  for (const id of numbers(59, 1)) {
    say(observer, [id], "word ".repeat(5000));
    await eventually(() => observer.telemetry.courier.bytes < 300_000);
  }
  assert.ok(files(root).length > 3);
  collector.status = 200;
  assert.ok(await observer.telemetry.courier.flush(30_000));
  assert.deepEqual(ids(collector), numbers(60));
});

test("the disk is bounded, and the oldest go", (t) => {
  const [root, heard] = [directory(t), muted(t)];
  const [kept, other] = ["here", "there"].map((address) => new Spool(root, address, 5 * 4096));
  for (const number of numbers(3)) assert.ok(kept.put("spans", Buffer.from(String(number))));
  for (const number of numbers(4)) assert.ok(other.put("logs", Buffer.from(String(number))));
  assert.equal(files(root).length, 5);
  assert.ok(said(heard, "the oldest is dropped") > 0);
  assert.ok(!kept.put("spans", randomBytes(6 * 4096)));
  assert.equal(Buffer.from(kept.take("spans").data).toString(), "2");
  assert.deepEqual([kept.take("spans"), other.take("spans")], [undefined, undefined]);
});

test("a piece is delivered by one, and not lost with it; what is torn is passed over", (t) => {
  const root = directory(t);
  const [one, other] = [1, 2].map(() => new Spool(root, "here", 1 << 20));
  const text = (piece) => piece && Buffer.from(piece.data).toString();
  for (const word of ["first", "second"]) one.put("spans", Buffer.from(word));
  const first = one.take("spans");
  assert.deepEqual([text(first), text(other.take("spans")), text(other.take("spans"))], ["first", "second", undefined]);
  one.back(first);
  assert.equal(text(other.take("spans")), "first");
  // Its deliverer has gone.
  const { taken } = TIMES;
  t.after(() => { TIMES.taken = taken; });
  TIMES.taken = -1;
  one.done(one.take("spans"));
  assert.equal(files(root).length, 1);
  for (const file of files(root)) fs.truncateSync(file, 9);
  one.put("spans", Buffer.from("whole"));
  assert.equal(text(one.take("spans")), "whole");
});

test("a disk that takes nothing leaves it in memory, and what is refused later is dropped", async (t) => {
  const [root, heard] = [directory(t), muted(t)];
  fs.writeFileSync(root, "no directory");
  const { observer, collector, flush } = await observed(t);
  collector.status = 503;
  say(observer, [1]);
  await eventually(() => collector.asked > 0);
  collector.status = 200;
  assert.ok(await flush());
  assert.deepEqual(ids(collector), [1]);
  assert.equal(said(heard, "they are kept in memory"), 1);
  fs.rmSync(root);
  const later = await observed(t);
  later.collector.status = 503;
  say(later.observer, [2]);
  await eventually(() => files(root).length > 0);
  later.collector.status = 401;
  assert.ok(await later.flush());
  assert.deepEqual([files(root), later.collector.spans], [[], []]);
});

test("a size that is none is told, and off keeps nothing", (t) => {
  directory(t);
  t.after(() => { delete process.env.MCPTAP_SPOOL_BYTES; });
  process.env.MCPTAP_SPOOL_BYTES = "off";
  assert.equal(spoolOfEnvironment("here"), undefined);
  process.env.MCPTAP_SPOOL_BYTES = "a lot";
  assert.throws(() => spoolOfEnvironment("here"), /MCPTAP_SPOOL_BYTES is "a lot"; give a number of bytes/);
  delete process.env.MCPTAP_SPOOL_BYTES;
  assert.ok(spoolOfEnvironment("here"));
  delete process.env.MCPTAP_SPOOL_DIR;
  assert.equal(spoolOfEnvironment("here"), undefined);
});
