// What `mcptap wrap` and `mcptap proxy` add to a small call, beside the same call without them, in one run:
//
//     cargo build --release && node benches/overhead.mjs
//
// CALLS says how many calls of each kind are measured (5000), MCPTAP_BIN which binary. Calls with and without take turns,
// so that whatever else the machine does meets both alike. mcptap itself is running and takes everything in.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { Agent, createServer, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const CALLS = Number(process.env.CALLS ?? 5000);
const WARM_UP = 500;
const BINARY = process.env.MCPTAP_BIN ?? fileURLToPath(new URL("../target/release/mcptap", import.meta.url));
const ECHO = `import sys, json
for line in sys.stdin.buffer:
    sys.stdout.buffer.write(b'{"jsonrpc":"2.0","id":%d,"result":{"content":[{"type":"text","text":"42"}]}}\\n' % json.loads(line)["id"])
    sys.stdout.buffer.flush()`;

const directory = mkdtempSync(join(tmpdir(), "mcptap-overhead-"));
const children = [];
process.on("exit", () => {
  for (const child of children) child.kill("SIGKILL");
  rmSync(directory, { recursive: true, force: true });
});

function start(args, { said, ...options } = {}) {
  const child = spawn(args[0], args.slice(1), { stdio: ["pipe", "pipe", said ? "pipe" : "inherit"], ...options });
  children.push(child);
  if (!said) return child;
  return new Promise((resolve, reject) => {
    createInterface({ input: child.stderr }).on("line", (line) => {
      const found = line.match(said);
      if (found) resolve(found[1]);
    });
    child.on("exit", (code) => reject(new Error(`${args.join(" ")} ended with ${code}`)));
  });
}

let next = 0;
const call = () => JSON.stringify({ jsonrpc: "2.0", id: ++next, method: "tools/call", params: { name: "answer", arguments: { to: "everything" } } });

/** A server over stdio: what calls it once, and ends when it has answered. */
function piped(command, env) {
  const child = start(command, { env });
  let heard;
  child.on("exit", (code) => {
    console.error(`${command.join(" ")} ended with ${code}`);
    process.exit(1);
  });
  createInterface({ input: child.stdout }).on("line", () => heard());
  return () => new Promise((resolve) => {
    heard = resolve;
    child.stdin.write(`${call()}\n`);
  });
}

/** A server over HTTP. */
function posted(url) {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  return () => new Promise((resolve, reject) => {
    const headers = { "content-type": "application/json", accept: "application/json, text/event-stream" };
    const asked = request(url, { method: "POST", agent, headers }, (answer) => answer.on("end", resolve).resume());
    asked.on("error", reject).end(call());
  });
}

/** Times of both, in milliseconds, sorted. */
async function compare(without, withIt) {
  const times = [[], []];
  for (let round = -WARM_UP; round < CALLS; round += 1) {
    // Whoever is second finds warmer caches, so they swap.
    for (const which of round % 2 ? [0, 1] : [1, 0]) {
      const begun = process.hrtime.bigint();
      await [without, withIt][which]();
      if (round >= 0) times[which].push(Number(process.hrtime.bigint() - begun) / 1e6);
    }
  }
  return times.map((list) => list.sort((a, b) => a - b));
}

const at = (sorted, share) => sorted[Math.floor(sorted.length * share)];

function report(name, [without, withIt]) {
  const row = (list) => `p50 ${at(list, 0.5).toFixed(3)} ms   p99 ${at(list, 0.99).toFixed(3)} ms`;
  console.log(`${name}\n  without   ${row(without)}\n  with      ${row(withIt)}`);
  console.log(`  added     p50 ${(at(withIt, 0.5) - at(without, 0.5)).toFixed(3)} ms   p99 ${(at(withIt, 0.99) - at(without, 0.99)).toFixed(3)} ms`);
}

const free = "127.0.0.1:0";
const database = `sqlite://${directory}/calls.db?mode=rwc`;
const serve = [BINARY, "serve", "--listen", free, "--otlp-grpc", free, "--otlp-http", free, "--database-url", database];
const collector = await start(serve, { cwd: directory, said: /OTLP\/HTTP on (http:\S+)/, env: { ...process.env, NO_COLOR: "1" } });
const env = { ...process.env, NO_COLOR: "1", OTEL_EXPORTER_OTLP_ENDPOINT: collector, MCPTAP_SPOOL_DIR: join(directory, "spool") };

const server = ["python3", "-u", "-c", ECHO];
console.log(`${CALLS} calls each`);
report("wrap, a server over stdio", await compare(piped(server, env), piped([BINARY, "wrap", "--", ...server], env)));

const upstream = createServer((asked, answer) => {
  const body = [];
  asked.on("data", (bytes) => body.push(bytes)).on("end", () => {
    const { id } = JSON.parse(Buffer.concat(body));
    answer.writeHead(200, { "content-type": "application/json" });
    answer.end(JSON.stringify({ jsonrpc: "2.0", id, result: { content: [{ type: "text", text: "42" }] } }));
  });
});
await new Promise((listening) => upstream.listen(0, "127.0.0.1", listening));
const url = `http://127.0.0.1:${upstream.address().port}/mcp`;
const proxy = await start([BINARY, "proxy", "--upstream", url, "--listen", free], { cwd: directory, env, said: /(127\.0\.0\.1:\d+)/ });
report("proxy, a server over HTTP", await compare(posted(url), posted(`http://${proxy}/mcp`)));
process.exit(0);
