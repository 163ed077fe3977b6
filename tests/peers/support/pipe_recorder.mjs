// Stands on a pipe between a client and a server, and writes down every byte that passes.
//
//     node pipe_recorder.mjs FILE COMMAND…     what passes is in FILE.in and FILE.out

import { spawn } from "node:child_process";
import { openSync, writeSync } from "node:fs";

const [file, command, ...args] = process.argv.slice(2);
const server = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
const copy = (from, to, name) => {
  const copied = openSync(`${file}.${name}`, "a");
  from.on("data", (bytes) => writeSync(copied, bytes));
  from.pipe(to);
  to.on("error", () => from.unpipe(to));
};
copy(process.stdin, server.stdin, "in");
copy(server.stdout, process.stdout, "out");
for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"]) process.on(signal, () => server.kill(signal));
server.on("error", (error) => {
  console.error(`${command}: ${error.message}`);
  process.exit(127);
});
server.on("close", (code, signal) => {
  process.exitCode = code ?? 1;
  if (signal) console.error(`killed by ${signal}`);
  process.stdin.destroy();
});
