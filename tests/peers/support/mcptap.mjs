// A running mcptap on free ports, with a database that goes when it stops; and what its API says.

import { execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

export const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
export const BINARY = process.env.MCPTAP_BIN ?? join(ROOT, "target/debug/mcptap");

/** How long anything may take, in milliseconds: far more than it ever does. */
const PATIENCE = 60_000;

const CALLS = `query ($after: String) {
  calls(first: 100, after: $after) {
    nodes {
      method target outcome requestId sessionId httpStatus rpcErrorCode errorMessage clientName clientVersion
      protocolVersion transport observedBy userAgent authorization clientIp server { name } traceId spanId
      attributes session { id source }
      request { text json truncated redacted bytes } response { text json truncated redacted bytes }
      logs(first: 100) { nodes { severity body attributes } }
    }
    pageInfo { hasNextPage endCursor }
  }
}`;

/** Asks until the answer is not undefined. */
export async function eventually(what, ask) {
  const end = Date.now() + PATIENCE;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (Date.now() > end) throw new Error(`${what} did not come`);
    await new Promise((wake) => setTimeout(wake, 50));
  }
}

/** A directory that goes with the test. */
export async function scratch(t) {
  const directory = await mkdtemp(join(tmpdir(), "mcptap-peers-"));
  t.after(() => rm(directory, { recursive: true, force: true, maxRetries: 5 }));
  return directory;
}

export class Mcptap {
  /** Starts `mcptap serve`, and stops it after the test. */
  static async start(t) {
    const mcptap = new Mcptap(await scratch(t));
    t.after(() => mcptap.kill());
    await mcptap.launch();
    return mcptap;
  }

  constructor(directory) {
    this.directory = directory;
  }

  /** On free ports at first, later on those that it had. */
  async launch() {
    const [listen, grpc, http] = [this.web, this.grpc, this.otlp].map((url) => url?.slice("http://".length) ?? "127.0.0.1:0");
    const child = spawn(
      BINARY,
      ["serve", "--listen", listen, "--otlp-grpc", grpc, "--otlp-http", http, "--retention", "off"],
      {
        cwd: this.directory,
        env: { ...process.env, NO_COLOR: "1", MCPTAP_DATABASE_URL: `sqlite://${this.directory}/calls.db?mode=rwc` },
        stdio: ["ignore", "ignore", "pipe"],
      },
    );
    this.child = child;
    const said = [];
    const addresses = await new Promise((resolve, reject) => {
      const found = {};
      createInterface({ input: child.stderr }).on("line", (line) => {
        said.push(line);
        const [, what, url] = line.match(/(traffic log|OTLP\/gRPC|OTLP\/HTTP) on (http:\S+)/) ?? [];
        if (what) found[what] = url;
        if (Object.keys(found).length === 3) resolve(found);
      });
      child.on("exit", (code) => reject(new Error(`mcptap ended with ${code}:\n${said.join("\n")}`)));
      child.on("error", reject);
    });
    this.web = addresses["traffic log"];
    this.grpc = addresses["OTLP/gRPC"];
    this.otlp = addresses["OTLP/HTTP"];
  }

  /** Ends it, by default without a word. */
  async kill(signal = "SIGKILL") {
    const { child } = this;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, "exit");
    child.kill(signal);
    await exit;
  }

  /** Makes an API key beside the running server, and gives it when the server knows it. */
  async createKey(name, scope) {
    const env = { ...process.env, MCPTAP_DATABASE_URL: `sqlite://${this.directory}/calls.db?mode=rwc` };
    const created = await promisify(execFile)(BINARY, ["keys", "create", "--name", name, "--scope", scope], { cwd: this.directory, env });
    await eventually("the key", async () => {
      const answer = await fetch(`${this.web}/graphql?query={viewer{keysExist}}`);
      return answer.status === 401 || undefined;
    });
    return created.stdout.trim();
  }

  /** Tells it of a call of a tool, as a server would. */
  async report(tool) {
    const now = BigInt(Date.now()) * 1_000_000n;
    const attributes = [
      { key: "mcp.method.name", value: { stringValue: "tools/call" } },
      { key: "gen_ai.tool.name", value: { stringValue: tool } },
    ];
    const span = {
      traceId: randomBytes(16).toString("hex"),
      spanId: randomBytes(8).toString("hex"),
      name: `tools/call ${tool}`,
      kind: 2,
      startTimeUnixNano: String(now - 1_000_000n),
      endTimeUnixNano: String(now),
      attributes,
    };
    const answer = await fetch(`${this.otlp}/v1/traces`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ resourceSpans: [{ scopeSpans: [{ scope: { name: "test" }, spans: [span] }] }] }),
    });
    if (!answer.ok) throw new Error(`${answer.status}: ${await answer.text()}`);
  }

  /** The variables that point a server at it. */
  get env() {
    return {
      OTEL_EXPORTER_OTLP_ENDPOINT: this.otlp,
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/protobuf",
      OTEL_BSP_SCHEDULE_DELAY: "100",
      OTEL_BLRP_SCHEDULE_DELAY: "100",
      MCPTAP_SPOOL_DIR: join(this.directory, "spool"),
    };
  }

  async graphql(query, variables) {
    const answer = await fetch(`${this.web}/graphql`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ query, variables }),
    });
    const { data, errors } = await answer.json();
    if (errors) throw new Error(JSON.stringify(errors));
    return data;
  }

  /** Every call, oldest first. */
  async calls() {
    const calls = [];
    for (let after = null; ; ) {
      const { nodes, pageInfo } = (await this.graphql(CALLS, { after })).calls;
      calls.push(...nodes);
      if (!pageInfo.hasNextPage) return calls.reverse();
      after = pageInfo.endCursor;
    }
  }

  /** Every call, once there are that many and nothing more comes. */
  async settled(count) {
    let calls = [];
    await eventually(`call number ${count}`, async () => {
      calls = await this.calls();
      return calls.length >= count ? true : undefined;
    }).catch((error) => {
      throw new Error(`${error.message}; there are ${calls.length}: ${calls.map((call) => call.method)}`);
    });
    // What would be one too many may still be on its way, and log lines come by a request of their own.
    for (let before = ""; before !== JSON.stringify(calls); ) {
      before = JSON.stringify(calls);
      await new Promise((wake) => setTimeout(wake, 1000));
      calls = await this.calls();
    }
    return calls;
  }
}
