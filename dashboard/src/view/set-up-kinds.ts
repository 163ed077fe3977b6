import guide from "../../../docs/instrumenting.md?codes";
import type { Codes } from "../../markdown";
import { anchorOf } from "../state/anchor";
import type { Receivers } from "../state/receivers";

interface Step {
  words: string;
  code?: string;
}

/** A kind of MCP server, and how its calls come to be in the log. */
export interface Kind {
  name: string;
  steps: readonly Step[];
  /** What a record will hold. */
  inLog: string;
}

/** A kind, and where the documentation on instrumenting servers tells more of it. */
export interface DocumentedKind extends Kind {
  anchor: string;
}

const endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT";
const endpointOf = (address: string) => `export ${endpoint}=http://${address}`;

/** What sends to port 4318 of its own machine unless it is told otherwise. */
const bySelf = /^mcptap (wrap|proxy)|mcptap_sdk::init|mcptap\.instrument|@mcptap\/sdk/;

/** Steps that also say where to send to, for what does not say so itself. */
function withAddress(receivers: Receivers, steps: readonly Step[]): readonly Step[] {
  if (!steps.some(({ code = "" }) => bySelf.test(code))) return steps;
  const senders = "The wrapper, the proxy and the SDK send to";
  if (!receivers.isDefault) {
    const words = `${senders} port 4318 of their own machine unless they are told otherwise: set the address first.`;
    // what is set there is not to be set again
    const line = `${endpointOf(receivers.http)}\n`;
    const rest = steps.map((step) => (step.code ? { ...step, code: step.code.replace(line, "") } : step));
    return [{ words, code: endpointOf(receivers.http) }, ...rest];
  }
  if (steps.some(({ code }) => code?.includes(endpoint))) {
    const words = `${senders} the machine that they run on. If mcptap runs elsewhere, set its address as ${endpoint} for them too.`;
    return [...steps, { words }];
  }
  const words = `${senders} the machine that they run on. If mcptap runs elsewhere, set its address.`;
  return [...steps, { words, code: endpointOf("HOST_OF_MCPTAP:4318") }];
}

const all = "everything: requests, responses, errors, sessions and clients";

/** The code of docs/instrumenting.md, for a mcptap that receives there. It stands in that document alone. */
function readerOf(codes: Codes, receivers: Receivers) {
  const find = (section: string, beginning: string, among: readonly string[]) => {
    const found = among.find((code) => code.startsWith(beginning));
    if (found === undefined)
      throw new Error(`docs/instrumenting.md has no code below "${section}" that begins with: ${beginning}`);
    return found.replaceAll("127.0.0.1:4318", receivers.http).replaceAll("127.0.0.1:4317", receivers.grpc);
  };
  const below = (section: string) => codes[section] ?? [];
  return {
    /** The whole of what begins so. */
    block: (section: string, beginning: string) => find(section, beginning, below(section)).trimEnd(),
    /** The line that begins so, without what the document says of it: not every shell takes a comment that is pasted. */
    line: (section: string, beginning: string) =>
      find(
        section,
        beginning,
        below(section).flatMap((code) => code.split("\n")),
      ).replace(/ +# .*$| …$/, ""),
  };
}

/** The kinds of docs/instrumenting.md, for a mcptap that receives there. `codes`: those of that document. */
export function kindsFor(receivers: Receivers, codes: Codes = guide): readonly DocumentedKind[] {
  const { block, line } = readerOf(codes, receivers);
  const variables = [
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_SERVICE_NAME",
    "OTEL_TRACES_SAMPLER",
  ]
    .map((name) => line("Variables", `export ${name}=`))
    .join("\n");
  const overStdio = {
    words: "Over stdio, put mcptap wrap -- in front of the server's command, as here.",
    code: line("Anything over stdio", "mcptap wrap -- "),
  };
  const overHttp = {
    words: "Over HTTP, in front of the server. Clients then use http://127.0.0.1:6280/mcp.",
    code: line("Anything over HTTP", "mcptap proxy --upstream "),
  };
  const kinds: readonly Kind[] = [
    {
      name: "Any server",
      steps: [
        {
          words:
            "A server that emits OpenTelemetry spans of its MCP requests: say where mcptap listens, then start it as usual. OTEL_SERVICE_NAME is its name in the log, unless its spans name the server themselves. Otherwise, as with most official SDKs, use the wrapper or the proxy (next two tabs).",
          code: variables,
        },
        {
          words:
            "No server at hand? Stop this mcptap, and start one that has a sample server and a database of its own.",
          code: "mcptap demo",
        },
      ],
      inLog: "what the server's instrumentation records; fields the sender does not report stay empty.",
    },
    {
      name: "Any, over stdio",
      steps: [
        {
          ...overStdio,
          words:
            "Put mcptap wrap -- in front of the server's command, as here. The server itself does not change.",
        },
        {
          words:
            "Or let mcptap change the configuration of Claude Desktop, Cursor or VS Code; --uninstall takes it back.",
          code: line("Anything over stdio", "mcptap wrap --install "),
        },
      ],
      inLog: `${all}, and console output.`,
    },
    {
      name: "Any, over HTTP",
      steps: [
        {
          ...overHttp,
          words: "In front of the server, which does not change. Clients then use http://127.0.0.1:6280/mcp.",
        },
      ],
      inLog: `${all} with their addresses, HTTP status and what was refused; no console output.`,
    },
    {
      name: "Rust",
      steps: [
        {
          words: "Add the SDK: it is the folder sdk of mcptap's source.",
          code: line("Rust", "cargo add mcptap-sdk "),
        },
        {
          words: "With rmcp, over any transport, wrap the handler.",
          code: block("Rust", "let _telemetry = "),
        },
        {
          words:
            "Over HTTP, with rmcp or without, put the layer outermost for HTTP status, the client's address (feature axum, and into_make_service_with_connect_info) and what is refused.",
          code: block("Rust", ".layer("),
        },
        {
          words: "For console output, add the log layer to tracing.",
          code: block("Rust", "tracing_subscriber::registry()"),
        },
      ],
      inLog: `${all}; HTTP status and what was refused with layer, console output with log_layer.`,
    },
    {
      name: "Python",
      steps: [
        {
          words:
            "With the SDK for Python, the folder sdk/python of mcptap's source: for servers of the official SDK 1.x and 2.x and of FastMCP 2 to 4.",
          code: line("Python", "pip install ../mcptap/"),
        },
        {
          words: "It is one line of the server.",
          code: block("Python", "import mcptap"),
        },
        {
          words:
            "Without a line of code: the official SDK 2.x, FastMCP 3 and 4 record spans themselves; the launcher sends them.",
          code: line("Python", "pip install opentelemetry-distro "),
        },
        {
          words:
            "Start the server under it. With the last variable, Python's logging becomes console output.",
          code: [
            variables,
            line("Python", "export OTEL_PYTHON_LOGGING_"),
            line("Python", "opentelemetry-instrument python "),
          ].join("\n"),
        },
        {
          words:
            "The official SDK 1.x and FastMCP 2 record nothing themselves: use these, or a library such as Logfire, OpenLIT, Traceloop or AWS Distro. Over stdio, put mcptap wrap -- in front of the server's command, as here.",
          code: overStdio.code,
        },
        overHttp,
      ],
      inLog:
        "everything with the SDK, wrap or proxy; otherwise method, target, outcome and console output, no bodies, and HTTP status with an ASGI instrumentation.",
    },
    {
      name: "TypeScript",
      steps: [
        {
          words:
            "With the SDK for TypeScript, the folder sdk/typescript of mcptap's source: for servers of the official SDK 1.x and 2.x.",
          code: line("TypeScript", "npm install ../mcptap/"),
        },
        {
          words: "It is one line of the server.",
          code: block("TypeScript", "import { instrument } from"),
        },
        {
          ...overStdio,
          words: `Without a line of code: the official SDK records nothing itself. ${overStdio.words}`,
        },
        overHttp,
        {
          words:
            "Libraries that export by OTLP record a part of it: Sentry 10 (wrapMcpServerWithSentry, beside an OTLP exporter) every method, bodies if asked for; Shinzo tool calls, arguments if asked for; AgentCat initialize, tools/list and tools/call, without bodies.",
        },
      ],
      inLog: `${all}; console output over stdio, HTTP status over HTTP.`,
    },
    {
      name: "C#",
      steps: [
        {
          words:
            "The official SDK has an activity source: add it to the tracer provider, with AddOtlpExporter() and, over HTTP, AddAspNetCoreInstrumentation().",
          code: block("C#", "AddSource("),
        },
        { words: "The exporter reads these variables.", code: variables },
      ],
      inLog:
        "method, target, outcome, a tool's error and a session of its own; HTTP status from ASP.NET Core.",
    },
    {
      name: "Java",
      steps: [
        {
          words: "Quarkus MCP server 2: add quarkus-opentelemetry, and set its property.",
          code: block("Java", "quarkus.otel.exporter.otlp.endpoint="),
        },
        {
          ...overStdio,
          words: `The official SDK and Spring AI record nothing of an MCP server but HTTP requests. ${overStdio.words}`,
        },
        overHttp,
      ],
      inLog: "of Quarkus: method, target, outcome, session and HTTP status; no bodies. Otherwise everything.",
    },
    {
      name: "Go",
      steps: [
        { ...overStdio, words: `The official SDK records nothing. ${overStdio.words}` },
        overHttp,
        {
          words: "mcp-go has a module otel that takes a tracer of yours, whose exporter reads these.",
          code: variables,
        },
      ],
      inLog: "everything; of mcp-go's own telemetry method, target, outcome and session, no bodies.",
    },
    {
      name: "Gateways",
      steps: [
        {
          words: "ContextForge, Envoy AI Gateway and Docker MCP Gateway read these variables.",
          code: variables,
        },
        { words: "ContextForge needs one more.", code: block("Gateways", "OTEL_ENABLE_OBSERVABILITY=") },
        { words: "So does Envoy AI Gateway.", code: block("Gateways", "AI_GATEWAY_TRACING_SEMCONV=") },
        {
          words: "agentgateway, in its configuration.",
          code: block("Gateways", "frontendPolicies: "),
        },
        {
          words: "ToolHive, beside its other arguments.",
          code: line("Gateways", "thv run "),
        },
      ],
      inLog:
        "the gateway's own handling, as calls observed by a gateway, mostly without bodies. To have these, put mcptap proxy in front of it.",
    },
    {
      name: "OpenTelemetry Collector",
      steps: [
        {
          words:
            "In the configuration of a Collector that servers send to already: an exporter to mcptap, and pipelines of traces and of logs that lead there, without sampling. Before version 0.144 the exporter is called otlphttp.",
          code: block("OpenTelemetry Collector", "exporters:"),
        },
        {
          words:
            "A Collector on the same machine has the ports 4317 and 4318 itself: start mcptap at others, and name those above. Servers go on sending to the Collector.",
          code: line("OpenTelemetry Collector", "mcptap serve --otlp-grpc "),
        },
      ],
      inLog:
        "what the servers that send to the Collector record. Console output needs the pipeline of logs; a call that is sampled away is not in the log.",
    },
  ];
  return kinds.map((kind, index) => ({
    ...kind,
    steps: withAddress(receivers, kind.steps),
    // the first is of all
    anchor: index === 0 ? "" : `#${anchorOf(kind.name.replace("Any,", "Anything"))}`,
  }));
}
