import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A tool call as a server in the tests reports it. */
export interface Reported {
  tool: string;
  error?: string;
}

/** A mcptap of its own for a test: free ports, an empty database, gone with the test. */
export class Mcptap {
  readonly url: string;
  private process: ChildProcess | undefined;

  private constructor(
    private readonly dir: string,
    private readonly ports: { web: number; grpc: number; http: number },
  ) {
    this.url = `http://127.0.0.1:${ports.web}`;
  }

  static async start(): Promise<Mcptap> {
    const dir = mkdtempSync(join(tmpdir(), "mcptap-pages-"));
    const [web = 0, grpc = 0, http = 0] = await freePorts(3);
    const started = new Mcptap(dir, { web, grpc, http });
    await started.launch();
    return started;
  }

  /** Starts the process, also a second time: the same ports, the same database. */
  async launch(): Promise<void> {
    const binary = process.env.MCPTAP_BIN;
    if (!binary) throw new Error("MCPTAP_BIN must name the mcptap binary to test");
    const { web, grpc, http } = this.ports;
    const child = spawn(
      binary,
      [
        ...["serve", "--listen", `127.0.0.1:${web}`],
        ...["--otlp-grpc", `127.0.0.1:${grpc}`, "--otlp-http", `127.0.0.1:${http}`],
        ...["--database-url", `sqlite://${join(this.dir, "mcptap.db")}?mode=rwc`],
      ],
      { cwd: this.dir, stdio: ["ignore", "inherit", "inherit"] },
    );
    this.process = child;
    for (let tries = 0; tries < 300; tries++) {
      if (child.exitCode !== null) throw new Error(`mcptap ended with ${child.exitCode}`);
      const answer = await fetch(`${this.url}/healthz`).catch(() => undefined);
      if (answer?.ok) return;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error("mcptap did not answer in 30 seconds");
  }

  /** Ends the process as an operator would, and insists that it ends. */
  async terminate(): Promise<void> {
    const child = this.process;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    const impatient = setTimeout(() => child.kill("SIGKILL"), 15_000);
    child.kill("SIGTERM");
    await ended;
    clearTimeout(impatient);
    if (child.signalCode === "SIGKILL") throw new Error("mcptap did not end within 15 seconds of SIGTERM");
  }

  async stop(): Promise<void> {
    try {
      await this.terminate();
    } finally {
      rmSync(this.dir, { recursive: true, force: true });
    }
  }

  /** Exports the server span of one tools/call as OTLP/JSON. */
  async report({ tool, error }: Reported): Promise<void> {
    const end = BigInt(Date.now()) * 1_000_000n;
    const attributes = { "mcp.method.name": "tools/call", "gen_ai.tool.name": tool };
    const span = {
      traceId: randomBytes(16).toString("hex"),
      spanId: randomBytes(8).toString("hex"),
      name: `tools/call ${tool}`,
      kind: 2,
      startTimeUnixNano: String(end - 42_000_000n),
      endTimeUnixNano: String(end),
      attributes: attributeList(error ? { ...attributes, "error.type": "tool_error" } : attributes),
      status: error ? { code: 2, message: error } : {},
    };
    const resource = { attributes: attributeList({ "service.name": "weather" }) };
    const answer = await fetch(`http://127.0.0.1:${this.ports.http}/v1/traces`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        resourceSpans: [{ resource, scopeSpans: [{ scope: { name: "test" }, spans: [span] }] }],
      }),
    });
    if (!answer.ok) throw new Error(`the export was answered with ${answer.status}: ${await answer.text()}`);
  }
}

function attributeList(values: Record<string, string>) {
  return Object.entries(values).map(([key, stringValue]) => ({ key, value: { stringValue } }));
}

/** Ports that nobody listens on. All are held until the last is found, so that no two are the same. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports = await Promise.all(
    servers.map(
      (server) =>
        new Promise<number>((resolve, reject) => {
          server.once("error", reject);
          server.listen(0, "127.0.0.1", () => {
            const address = server.address();
            resolve(typeof address === "object" && address ? address.port : 0);
          });
        }),
    ),
  );
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
