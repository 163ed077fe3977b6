// The peers: official clients and servers, as processes.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, connect } from "node:net";
import { fileURLToPath } from "node:url";

import { eventually } from "./mcptap.mjs";

const here = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));

export const NODE = process.execPath;
/** Python with the packages of requirements.txt. */
export const PYTHON = process.env.PEERS_PYTHON ?? here("../../target/peers/venv/bin/python");
/** Python with those of requirements-handshake.txt: the libraries before 2026-07-28. */
export const HANDSHAKE_PYTHON = process.env.PEERS_HANDSHAKE_PYTHON ?? here("../../target/peers/venv-handshake/bin/python");
export const EVERYTHING = [NODE, here("node_modules/@modelcontextprotocol/server-everything/dist/index.js")];
export const modernServer = (library) => [PYTHON, here("servers/modern.py"), library];
export const handshakeServer = (library) => [HANDSHAKE_PYTHON, here("servers/handshake.py"), library];
export const recorded = (file, command) => [NODE, here("support/pipe_recorder.mjs"), file, ...command];

const CLIENTS = { python: [PYTHON, here("clients/client.py")], typescript: [NODE, here("clients/client.mjs")] };

/** Runs a command to its end. Whatever it says is shown if it fails. */
export async function run([command, ...args], { env, cwd, input } = {}) {
  const child = spawn(command, args, { cwd, env: { ...process.env, ...env }, stdio: ["pipe", "pipe", "pipe"] });
  const said = { stdout: [], stderr: [] };
  for (const name of ["stdout", "stderr"]) child[name].on("data", (bytes) => said[name].push(bytes));
  child.stdin.on("error", () => {});
  if (input === undefined) child.stdin.end();
  else child.stdin.end(input);
  const [code, signal] = await once(child, "close");
  const [stdout, stderr] = [said.stdout, said.stderr].map((pieces) => Buffer.concat(pieces).toString());
  return { code, signal, stdout, stderr };
}

/** Takes a server through a scenario. Returns what the client saw. */
export async function converse(language, mode, transport, scenario, where, env) {
  const command = [...CLIENTS[language], mode, transport, scenario, ...where];
  const { code, signal, stdout, stderr } = await run(command, { env });
  if (code !== 0) throw new Error(`the client ended with ${code ?? signal}:\n${stdout}\n${stderr}`);
  return JSON.parse(stdout);
}

/** A port that is free now. */
export async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/** Starts a server that listens on `port`, waits until it does, and stops it after the test. */
export async function listening(t, [command, ...args], port, { env, cwd } = {}) {
  const child = spawn(command, args, { cwd, env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
  const said = [];
  let ended;
  for (const name of ["stdout", "stderr"]) child[name].on("data", (bytes) => said.push(bytes));
  child.on("error", (error) => { ended = error.message; });
  child.on("exit", (code, signal) => { ended = `it ended with ${code ?? signal}`; });
  t.after(() => stop(child));
  await eventually(`${command} on port ${port}`, async () => {
    if (ended) throw new Error(`${[command, ...args].join(" ")}: ${ended}:\n${Buffer.concat(said)}`);
    return (await answers(port)) ? true : undefined;
  });
  return { child, said: () => Buffer.concat(said).toString() };
}

function answers(port) {
  return new Promise((tell) => {
    const socket = connect(port, "127.0.0.1");
    socket.on("connect", () => { socket.destroy(); tell(true); });
    socket.on("error", () => tell(false));
  });
}

/** Ends a process that was started here. */
export async function stop(child, signal = "SIGTERM") {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, "exit");
  child.kill(signal);
  const patience = setTimeout(() => child.kill("SIGKILL"), 5000);
  await exit;
  clearTimeout(patience);
}
