// Where records go: spans through the application's tracer provider, if it has one, and always to mcptap.

import { randomUUID } from "node:crypto";

import { type Attributes, type Context, type Link, ProxyTracerProvider, ROOT_CONTEXT, type Span, type SpanContext, SpanKind, trace, TraceFlags } from "@opentelemetry/api";
import { SeverityNumber } from "@opentelemetry/api-logs";
import { defaultResource, detectResources, envDetector, resourceFromAttributes } from "@opentelemetry/resources";
import { LoggerProvider, type LogRecordProcessor, type SdkLogRecord } from "@opentelemetry/sdk-logs";
import { AlwaysOnSampler, BasicTracerProvider } from "@opentelemetry/sdk-trace-base";

import { Courier, type Signal } from "./courier.js";
import { HttpExporter } from "./exporter.js";
import { spoolOfEnvironment } from "./spool.js";
import { semconv } from "./tables.js";

export const SCOPE = "@mcptap/sdk";
export const VERSION = "0.1.0";
const ENDPOINT = "http://127.0.0.1:4318";
// Far shorter than OpenTelemetry's 5 s, so that a feed of calls feels live and a process that is killed loses little.
const LINGER = 100;

/** A variable's value; an empty one counts as not set, as the specification says. */
const variable = (name: string): string | undefined => process.env[name]?.trim() || undefined;

/** A value that may be percent-encoded. */
function decoded(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}

/** The name that somebody gave the service. */
export function serviceNameOfEnvironment(): string | undefined {
  const given = variable("OTEL_SERVICE_NAME");
  if (given) return given;
  for (const pair of (variable("OTEL_RESOURCE_ATTRIBUTES") ?? "").split(",")) {
    const at = pair.indexOf("=");
    if (at > 0 && pair.slice(0, at).trim() === semconv.SERVICE_NAME) return decoded(pair.slice(at + 1).trim()) || undefined;
  }
  return undefined;
}

function isOff(signal: Signal): boolean {
  const exporter = signal === "spans" ? "OTEL_TRACES_EXPORTER" : "OTEL_LOGS_EXPORTER";
  return variable("OTEL_SDK_DISABLED")?.toLowerCase() === "true" || variable(exporter)?.toLowerCase() === "none";
}

export interface TelemetryOptions {
  endpoint?: string | undefined;
  apiKey?: string | undefined;
  /** How much may wait, in bytes. */
  limit?: number | undefined;
  /** How much waits in memory before it goes to disk while the collector is away, in bytes. */
  spill?: number | undefined;
}

/** The providers of one name. Nothing is sent before the first request. */
export class Telemetry {
  readonly courier: Courier;
  readonly #own: BasicTracerProvider;
  readonly #logger: ReturnType<LoggerProvider["getLogger"]>;

  constructor(name: string, { endpoint, apiKey, limit, spill }: TelemetryOptions = {}) {
    const linger = Number(variable("OTEL_BSP_SCHEDULE_DELAY") ?? LINGER);
    const { exporters, where } = exportersOf(endpoint, apiKey);
    const spool = spoolOfEnvironment(where);
    this.courier = new Courier(exporters, Number.isFinite(linger) ? linger : LINGER, where, limit, spool, spill);
    const environment = detectResources({ detectors: [envDetector] });
    const instance = environment.attributes[semconv.SERVICE_INSTANCE_ID] ?? randomUUID();
    const resource = defaultResource().merge(environment).merge(
      resourceFromAttributes({ [semconv.SERVICE_NAME]: name, [semconv.SERVICE_INSTANCE_ID]: instance, [semconv.PROCESS_PID]: process.pid }),
    );
    // The specification's default asks the parent, so that a client which does not sample would hide its calls.
    this.#own = new BasicTracerProvider({ resource, ...(variable("OTEL_TRACES_SAMPLER") ? {} : { sampler: new AlwaysOnSampler() }) });
    const { courier } = this;
    const processor: LogRecordProcessor = {
      onEmit: (record: SdkLogRecord) => courier.send("logs", record, typeof record.body === "string" ? record.body.length : 0),
      forceFlush: async () => {},
      shutdown: async () => {},
    };
    this.#logger = new LoggerProvider({ resource, processors: [processor] }).getLogger(SCOPE, VERSION);
  }

  /** Whether spans are sent at all. */
  get sends(): boolean {
    return this.courier.sends("spans");
  }

  /** Starts a span: one of the application's provider, where there is one, so that its exporters have it as well. */
  start(name: string, kind: SpanKind, attributes: Attributes, links: Link[], parent: Context, startTime: number): Span {
    const joined = trace.getTracerProvider();
    const delegate = joined instanceof ProxyTracerProvider ? joined.getDelegate() : joined;
    // Without one it is the API's own, whose spans record nothing.
    const isOwn = delegate.constructor.name === "NoopTracerProvider";
    return (isOwn ? this.#own : joined).getTracer(SCOPE, VERSION).startSpan(name, { kind, attributes, links, startTime }, parent);
  }

  /** Ends a span, and sends it. For the courier. */
  end(span: Span, at: number, size: number): void {
    span.end(at);
    // One of another implementation of the API is its application's alone.
    if ("resource" in span && "ended" in span && (span.spanContext().traceFlags & TraceFlags.SAMPLED) !== 0) this.courier.send("spans", span, size);
  }

  /** Writes a log record. For the courier. */
  emit(span: SpanContext | undefined, at: number, severityNumber: SeverityNumber, body: string, attributes: Attributes, eventName?: string): void {
    if (!this.courier.sends("logs")) return;
    this.#logger.emit({
      timestamp: at,
      observedTimestamp: at,
      severityNumber,
      severityText: SeverityNumber[severityNumber],
      body: body || undefined,
      attributes,
      eventName,
      context: span ? trace.setSpanContext(ROOT_CONTEXT, span) : ROOT_CONTEXT,
    });
  }
}

/** An address that is none would be silently replaced by the usual one. */
function checkEndpoint(given: string): void {
  const protocol = URL.canParse(given) ? new URL(given).protocol : undefined;
  if (protocol === "http:" || protocol === "https:") return;
  throw new Error(`the endpoint is ${JSON.stringify(given)}; give a URL such as ${ENDPOINT}`);
}

function exportersOf(endpoint: string | undefined, apiKey: string | undefined) {
  const exporters = new Map<Signal, any>();
  const general = variable("OTEL_EXPORTER_OTLP_ENDPOINT");
  for (const signal of ["spans", "logs"] as const) {
    if (!endpoint && isOff(signal)) continue;
    const own = signal === "spans" ? "TRACES" : "LOGS";
    const protocol = endpoint ? undefined : (variable(`OTEL_EXPORTER_OTLP_${own}_PROTOCOL`) ?? variable("OTEL_EXPORTER_OTLP_PROTOCOL"));
    if (protocol !== undefined && protocol !== "http/protobuf") {
      throw new Error(`OTEL_EXPORTER_OTLP_PROTOCOL is ${JSON.stringify(protocol)}; this SDK sends http/protobuf`);
    }
    const isSaid = !endpoint && (variable(`OTEL_EXPORTER_OTLP_${own}_ENDPOINT`) ?? general);
    checkEndpoint(endpoint ?? (isSaid || ENDPOINT));
    const isPacked = variable(`OTEL_EXPORTER_OTLP_${own}_COMPRESSION`) ?? variable("OTEL_EXPORTER_OTLP_COMPRESSION");
    const options = {
      ...(isSaid ? {} : { url: `${(endpoint ?? ENDPOINT).replace(/\/+$/, "")}/v1/${signal === "spans" ? "traces" : "logs"}` }),
      // Bodies are texts, which compress well.
      ...(isPacked ? {} : { compression: "gzip" as any }),
      ...(apiKey ? { headers: { "x-api-key": apiKey } } : {}),
    };
    exporters.set(signal, new HttpExporter(signal, options));
  }
  return { exporters, where: endpoint ?? variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") ?? general ?? ENDPOINT };
}
