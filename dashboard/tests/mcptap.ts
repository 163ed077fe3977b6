import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A call as a server in the tests reports it. Without a method it is a tools/call. */
export interface Reported {
  tool?: string;
  method?: string;
  server?: string;
  session?: string;
  client?: string;
  status?: number;
  ip?: string;
  country?: string;
  authorization?: string;
  request?: string;
  response?: string;
  /** The size of the response before the sender cut it, in bytes. */
  responseSize?: number;
  error?: string;
  stack?: string;
  /** How long ago it ended, in milliseconds. */
  agoMs?: number;
  durationMs?: number;
  logs?: { severity: string; body: string; attributes?: Record<string, string> }[];
  transport?: "pipe" | "tcp";
  /** The span of a call that was announced before. */
  span?: { traceId: string; spanId: string };
}

/** A mcptap of its own for a test: free ports, an empty database, gone with the test. */
export class Mcptap {
  readonly url: string;
  /** The key that calls are reported with. */
  sendsWith: string | undefined;
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

  private get database(): string {
    return `sqlite://${join(this.dir, "mcptap.db")}?mode=rwc`;
  }

  /** Makes a key on the command line, beside the running server, and gives its secret when the server knows it. */
  async createKey(name: string, scopes: string, ...more: readonly string[]): Promise<string> {
    const created = ["keys", "create", "--name", name, "--scope", scopes, ...more];
    const secret = this.run(...created).trim();
    for (let tries = 0; tries < 300; tries++) {
      const asked = this.question("{ viewer { key { id } } }", {}, secret);
      const answer = await fetch(`${this.url}/graphql`, asked);
      // a key that is for sending alone is known too; without any key known everybody is let in
      if (answer.status === 403 || (await answer.text()).includes('"id"')) return secret;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error("the server did not learn of the key in 30 seconds");
  }

  /** Runs a command on the database, and gives what it prints. */
  run(...args: readonly string[]): string {
    const all = [...args, "--database-url", this.database];
    return execFileSync(binary(), all, {
      cwd: this.dir,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
  }

  /** Asks the API, and gives the data. */
  async ask(query: string, variables: object = {}, key?: string): Promise<Record<string, unknown>> {
    const answer = await fetch(`${this.url}/graphql`, this.question(query, variables, key));
    const { data, errors } = (await answer.json()) as { data?: Record<string, unknown>; errors?: unknown };
    if (!data) throw new Error(JSON.stringify(errors));
    return data;
  }

  private question(query: string, variables: object, key: string | undefined): RequestInit {
    return {
      method: "POST",
      headers: { "content-type": "application/json", ...(key ? { authorization: `Bearer ${key}` } : {}) },
      body: JSON.stringify({ query, variables }),
    };
  }

  /** Starts the process, also a second time: the same ports, the same database. */
  async launch(): Promise<void> {
    const { web, grpc, http } = this.ports;
    const child = spawn(
      binary(),
      [
        ...["serve", "--listen", `127.0.0.1:${web}`],
        ...["--otlp-grpc", `127.0.0.1:${grpc}`, "--otlp-http", `127.0.0.1:${http}`],
        ...["--database-url", this.database],
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

  /** Ends the process, and starts it with another, empty database in the place of the one that it had. */
  async replaceDatabase(): Promise<void> {
    await this.terminate();
    for (const file of readdirSync(this.dir)) rmSync(join(this.dir, file), { recursive: true });
    await this.launch();
  }

  async stop(): Promise<void> {
    try {
      await this.terminate();
    } finally {
      rmSync(this.dir, { recursive: true, force: true });
    }
  }

  /** Exports the server span of a call as OTLP/JSON, then what it wrote. */
  async report(call: Reported): Promise<void> {
    await this.reportAll([call]);
  }

  /** Tells that a call runs, as the SDK does after a second. Report it with the span that this gives when it ends. */
  async announce(call: Reported): Promise<{ traceId: string; spanId: string }> {
    const { traceId, spanId, name, startTimeUnixNano, attributes } = toSpan(call);
    const kind = { key: "mcptap.span.kind", value: { intValue: "2" } };
    const record = {
      ...{ traceId, spanId, eventName: "mcptap.call.running", timeUnixNano: startTimeUnixNano },
      body: { stringValue: name },
      attributes: [...attributes, kind],
    };
    const resource = { attributes: attributeList({ "service.name": call.server ?? "weather" }) };
    await this.post("logs", {
      resourceLogs: [{ resource, scopeLogs: [{ scope: { name: "test" }, logRecords: [record] }] }],
    });
    return { traceId, spanId };
  }

  /** Exports many calls in one request. */
  async reportAll(calls: readonly Reported[]): Promise<void> {
    const spans = calls.map((call) => ({ call, span: toSpan(call) }));
    const byServer = groupBy(spans, ({ call }) => call.server ?? "weather");
    await this.post("traces", {
      resourceSpans: [...byServer].map(([server, ofServer]) => ({
        resource: { attributes: attributeList({ "service.name": server }) },
        scopeSpans: [{ scope: { name: "test" }, spans: ofServer.map(({ span }) => span) }],
      })),
    });
    for (const { call, span } of spans.filter(({ call: one }) => one.logs)) {
      await this.post("logs", {
        resourceLogs: [
          {
            resource: { attributes: attributeList({ "service.name": call.server ?? "weather" }) },
            scopeLogs: [
              {
                logRecords: (call.logs ?? []).map(({ severity, body, attributes }, index) => ({
                  timeUnixNano: String(BigInt(span.startTimeUnixNano) + BigInt(index + 1) * 1_000_000n),
                  severityText: severity,
                  body: { stringValue: body },
                  attributes: attributeList(attributes ?? {}),
                  traceId: span.traceId,
                  spanId: span.spanId,
                })),
              },
            ],
          },
        ],
      });
    }
  }

  private async post(signal: "traces" | "logs", body: unknown): Promise<void> {
    const answer = await fetch(`http://127.0.0.1:${this.ports.http}/v1/${signal}`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        ...(this.sendsWith ? { "x-api-key": this.sendsWith } : {}),
      },
      body: JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(`the export was answered with ${answer.status}: ${await answer.text()}`);
  }
}

function binary(): string {
  const path = process.env.MCPTAP_BIN;
  if (!path) throw new Error("MCPTAP_BIN must name the mcptap binary to test");
  return path;
}

function toSpan(call: Reported) {
  const { tool, method = "tools/call", error, stack, durationMs = 42, agoMs = 0 } = call;
  const end = BigInt(Date.now() - agoMs) * 1_000_000n;
  const attributes = {
    "mcp.method.name": method,
    "gen_ai.tool.name": tool,
    "mcp.session.id": call.session,
    "mcp.client.name": call.client,
    "http.response.status_code": call.status,
    "client.address": call.ip,
    "mcptap.country": call.country,
    "mcptap.authorization": call.authorization,
    "mcptap.request.body": call.request,
    "mcptap.response.body": call.response,
    "mcptap.response.size": call.responseSize,
    "error.type": error ? "tool_error" : undefined,
    "network.transport": call.transport,
  };
  const exception = { "exception.type": "Error", "exception.message": error, "exception.stacktrace": stack };
  return {
    ...(call.span ?? { traceId: randomBytes(16).toString("hex"), spanId: randomBytes(8).toString("hex") }),
    name: `${method} ${tool ?? ""}`,
    kind: 2,
    startTimeUnixNano: String(end - BigInt(Math.round(durationMs * 1e6))),
    endTimeUnixNano: String(end),
    attributes: attributeList(attributes),
    status: error ? { code: 2, message: error } : {},
    events: stack
      ? [{ name: "exception", timeUnixNano: String(end), attributes: attributeList(exception) }]
      : [],
  };
}

function attributeList(values: Record<string, string | number | undefined>) {
  return Object.entries(values).flatMap(([key, value]) => {
    if (value === undefined) return [];
    return [{ key, value: typeof value === "number" ? { intValue: String(value) } : { stringValue: value } }];
  });
}

function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) groups.set(keyOf(item), [...(groups.get(keyOf(item)) ?? []), item]);
  return groups;
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
