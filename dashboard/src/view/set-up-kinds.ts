/** A kind of MCP server, and how its calls come to be in the log. */
export interface Kind {
  name: string;
  steps: readonly { words: string; code?: string }[];
  /** What a record will hold. */
  inLog: string;
}

const host = typeof location === "undefined" ? "127.0.0.1" : location.hostname || "127.0.0.1";

const variables = `export OTEL_EXPORTER_OTLP_ENDPOINT=http://${host}:4318
export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf
export OTEL_SERVICE_NAME=my-server
export OTEL_TRACES_SAMPLER=always_on`;

/** The kinds of the README, most complete records first. */
export const kinds: readonly Kind[] = [
  {
    name: "Any server",
    steps: [
      {
        words:
          "Every server that emits OpenTelemetry spans: say where mcptap listens, then start it as always. OTEL_SERVICE_NAME is its name in the log, unless its spans name the server themselves.",
        code: variables,
      },
      {
        words: "No server at hand? This sends the calls of a sample server.",
        code: "mcptap demo",
      },
    ],
    inLog: "what the server's instrumentation records; a field that nobody observed stays empty.",
  },
  {
    name: "Rust (rmcp)",
    steps: [
      { words: "Add the SDK.", code: "cargo add mcptap-sdk" },
      {
        words: "Wrap the handler.",
        code: `let _telemetry = mcptap_sdk::init("my-server")?; // keep it until the end of main
instrument(MyServer::new()).serve(stdio()).await?.waiting().await?;`,
      },
      {
        words:
          "Over HTTP, give rmcp's StreamableHttpService a factory that returns instrument(MyServer::new()). Where mcptap does not run on this machine, say where it listens.",
        code: variables,
      },
    ],
    inLog: "everything: requests, responses, errors, console output, sessions and clients.",
  },
  {
    name: "Any, over stdio",
    steps: [
      {
        words: "In place of the server's command, without touching the server.",
        code: "mcptap wrap -- COMMAND",
      },
      {
        words:
          "Or let mcptap change the configuration of Claude Desktop, Cursor or VS Code; --uninstall takes it back.",
        code: "mcptap wrap --install ~/.cursor/mcp.json --server NAME",
      },
      { words: "Where mcptap does not run on this machine, say where it listens.", code: variables },
    ],
    inLog: "everything: requests, responses, errors, console output, sessions and clients.",
  },
  {
    name: "Any, over HTTP",
    steps: [
      {
        words: "In front of the server, without touching it. Clients then use http://127.0.0.1:6280/mcp.",
        code: "mcptap proxy --upstream http://127.0.0.1:8000/mcp",
      },
      { words: "Where mcptap does not run on this machine, say where it listens.", code: variables },
    ],
    inLog:
      "everything but console output: requests, responses, what was refused, HTTP status, sessions, clients and their addresses.",
  },
  {
    name: "Python",
    steps: [
      {
        words: "The official SDK 2.x and FastMCP 3 record spans themselves; the launcher sends them.",
        code: "pip install opentelemetry-distro opentelemetry-exporter-otlp",
      },
      {
        words: "Start the server under it.",
        code: `${variables}\nopentelemetry-instrument python server.py`,
      },
      {
        words:
          "The official SDK 1.x needs an instrumentation such as Logfire, OpenLIT, Traceloop or AWS Distro, with the same variables.",
      },
    ],
    inLog:
      "method, tool, duration and errors; arguments and results only where the instrumentation sends them.",
  },
  {
    name: "TypeScript",
    steps: [
      {
        words:
          "Add an instrumentation that exports by OTLP, such as Sentry's or Shinzo's, and start the server with these.",
        code: `${variables}\nnode server.js`,
      },
    ],
    inLog: "method, tool, duration and errors; bodies where the instrumentation is told to record them.",
  },
  {
    name: "C#, Quarkus, Go",
    steps: [
      {
        words: "Turn on the framework's own OpenTelemetry support; it reads these variables.",
        code: variables,
      },
      {
        words: "Quarkus reads its own property instead.",
        code: `quarkus.otel.exporter.otlp.endpoint=http://${host}:4317`,
      },
    ],
    inLog: "method, tool, duration, errors and mostly the session.",
  },
  {
    name: "Gateways",
    steps: [
      {
        words:
          "agentgateway, ToolHive, Envoy AI Gateway, ContextForge and Docker's gateway trace every server behind them: turn on tracing, with OTLP over gRPC to this address.",
        code: `http://${host}:4317`,
      },
    ],
    inLog: "the gateway's own handling, as calls observed by a gateway.",
  },
];
