// Every block of shell commands in README and docs, as it stands, in a new home. What cannot run here is no `sh` but a
// `console`, and says why.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, readdir, symlink, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { test } from "node:test";

import { BINARY, Mcptap, ROOT, eventually, scratch } from "../support/mcptap.mjs";
import { PYTHON } from "../support/peers.mjs";

const FILES = ["README.md", "examples/README.md", ...(await readdir(join(ROOT, "docs"))).filter((name) => name.endsWith(".md")).map((name) => `docs/${name}`)];

/** The blocks of a file: their language, their text, and the line before them. */
async function blocks(file) {
  const text = await readFile(join(ROOT, file), "utf8");
  return [...text.matchAll(/^(.*)\n```(\w*)\n([\s\S]*?)^```$/gm)].map(([, before, language, text]) => ({ before, language, text }));
}

/** What an MCP client says first. */
const HELLO = `${JSON.stringify({
  jsonrpc: "2.0",
  id: 1,
  method: "initialize",
  params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "reader", version: "1" } },
})}\n`;

/** A server that the telemetry of its libraries tells of. */
const SERVER = `import logging
from opentelemetry import trace
with trace.get_tracer("docs").start_as_current_span("tools/call greet", kind=trace.SpanKind.SERVER) as span:
    span.set_attribute("mcp.method.name", "tools/call")
    span.set_attribute("gen_ai.tool.name", "greet")
    logging.getLogger().warning("greeting")
`;

const CURSOR = `${JSON.stringify({ mcpServers: { everything: { command: "npx", args: ["-y", "@modelcontextprotocol/server-everything"] } } }, null, 2)}\n`;

/** A reader's machine: a home, a project beside a copy of the repository, and mcptap on the PATH. */
async function machine(t, mcptap) {
  const root = await scratch(t);
  const [home, project] = [join(root, "home"), join(root, "project")];
  await mkdir(join(home, ".cursor"), { recursive: true });
  await mkdir(join(project, "src"), { recursive: true });
  await symlink(ROOT, join(root, "mcptap"));
  await symlink(join(ROOT, "tests/peers/node_modules"), join(project, "node_modules"));
  // The ports of the docs may be taken by somebody's mcptap.
  await writeFile(join(home, ".curlrc"), `connect-to = "localhost:6278:${new URL(mcptap.web).host}"\n`);
  await writeFile(join(home, ".cursor/mcp.json"), CURSOR);
  await writeFile(join(project, "server.py"), SERVER);
  await writeFile(join(project, "Cargo.toml"), '[package]\nname = "project"\nversion = "0.1.0"\nedition = "2024"\n');
  await writeFile(join(project, "src/main.rs"), "fn main() {}\n");
  const real = (name, folder) => process.env[name] ?? join(homedir(), folder);
  return {
    home,
    cwd: project,
    env: {
      ...process.env,
      ...mcptap.env,
      HOME: home,
      PATH: [dirname(BINARY), dirname(PYTHON), process.env.PATH].join(delimiter),
      CARGO_HOME: real("CARGO_HOME", ".cargo"),
      RUSTUP_HOME: real("RUSTUP_HOME", ".rustup"),
      CARGO_NET_OFFLINE: "true",
      PIP_NO_INDEX: "1",
      PIP_DISABLE_PIP_VERSION_CHECK: "1",
      MCPTAP_DATABASE_URL: `sqlite://${root}/calls.db?mode=rwc`,
      MCPTAP_LISTEN: "127.0.0.1:0",
      MCPTAP_OTLP_GRPC: "127.0.0.1:0",
      MCPTAP_OTLP_HTTP: "127.0.0.1:0",
      MCPTAP_PROXY_LISTEN: "127.0.0.1:0",
    },
  };
}

/** Runs a block to its end. A server is stopped when it says where it listens. */
async function run(t, { cwd, env }, text) {
  const child = spawn("bash", ["-euo", "pipefail", "-c", text], { cwd, env, detached: true, stdio: ["pipe", "pipe", "pipe"] });
  const said = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"]) child[name].on("data", (data) => { said[name] += data; });
  child.stdin.on("error", () => {});
  child.stdin.end(HELLO);
  const end = once(child, "close");
  const kill = (signal) => { try { process.kill(-child.pid, signal); } catch { /* It has ended. */ } };
  t.after(() => kill("SIGKILL"));
  await eventually(`the end of:\n${text}`, async () => {
    const ended = child.exitCode !== null || child.signalCode !== null;
    return ended || /(traffic log|proxy) on http/.test(said.stderr) ? true : undefined;
  }).catch((error) => { throw new Error(`${error.message}\n${said.stdout}\n${said.stderr}`); });
  kill("SIGTERM");
  const [code, signal] = await end;
  assert.equal(code, 0, `${text}\nended with ${code ?? signal}:\n${said.stdout}\n${said.stderr}`);
  return said.stdout;
}

for (const file of FILES) {
  test(`the commands of ${file}`, async (t) => {
    const all = await blocks(file);
    for (const { language, before, text } of all) {
      assert.notEqual(language, "bash", text);
      if (language === "console") assert.match(before, /^<!-- not run by the tests: .+ -->$/, `without a reason:\n${text}`);
    }
    const commands = all.filter(({ language }) => language === "sh");
    if (commands.length === 0) return;
    const mcptap = await Mcptap.start(t);
    await mcptap.report("greet");
    const reader = await machine(t, mcptap);
    for (const { text } of commands) {
      const printed = await run(t, reader, text);
      if (text.startsWith("curl ")) {
        const { data, errors } = JSON.parse(printed);
        assert.equal(errors, undefined, printed);
        assert.ok(data.calls.nodes, printed);
      }
      if (text.includes("server.py")) {
        const call = (await mcptap.settled(3)).at(-1);
        assert.equal(call.target, "greet");
        assert.deepEqual(call.logs.nodes.map(({ body }) => body), ["greeting"]);
      }
      if (text.startsWith("mcptap wrap -- ")) {
        const calls = await mcptap.settled(2);
        assert.deepEqual(calls.map(({ method }) => method), ["tools/call", "initialize"]);
      }
      if (text.includes(".cursor")) assert.equal(await readFile(join(reader.home, ".cursor/mcp.json"), "utf8"), CURSOR);
      if (text.includes("cargo add")) assert.match(await readFile(join(reader.cwd, "Cargo.toml"), "utf8"), /mcptap-sdk/);
    }
  });
}
