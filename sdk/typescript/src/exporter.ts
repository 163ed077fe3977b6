// Sends records as OTLP over HTTP, once: the courier tries again. OpenTelemetry's own exporters do so by themselves, and a process that
// has nothing more to do waits for them.

import { request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { promisify } from "node:util";
import { gzip } from "node:zlib";

import { type ExportResult, ExportResultCode } from "@opentelemetry/core";
import { convertLegacyHttpOptions } from "@opentelemetry/otlp-exporter-base/node-http";
import { ProtobufLogsSerializer, ProtobufTraceSerializer } from "@opentelemetry/otlp-transformer";

import type { Signal } from "./courier.js";

/** How much of an answer is read, in bytes. */
const MOST_ANSWERED = 64 * 1024;
const pack = promisify(gzip);

interface Serializer {
  serializeRequest(records: unknown): Uint8Array | undefined;
}

/** What the variables `OTEL_EXPORTER_OTLP_…` do not say. */
export interface ExporterOptions {
  url?: string;
  compression?: any;
  headers?: Record<string, string>;
}

/** A failure with the status of HTTP, if there was an answer. */
class Refusal extends Error {
  constructor(message: string, readonly code?: number) {
    super(message);
  }
}

const failed = (error: Error): ExportResult => ({ code: ExportResultCode.FAILED, error });

export class HttpExporter {
  readonly #options: ReturnType<typeof convertLegacyHttpOptions>;
  readonly #serializer: Serializer;
  readonly #ends = new AbortController();

  constructor(signal: Signal, options: ExporterOptions) {
    const [name, path] = signal === "spans" ? ["TRACES", "v1/traces"] : ["LOGS", "v1/logs"];
    this.#options = convertLegacyHttpOptions(options, name, path, { "Content-Type": "application/x-protobuf" });
    this.#serializer = (signal === "spans" ? ProtobufTraceSerializer : ProtobufLogsSerializer) as Serializer;
  }

  export(records: unknown[], done: (result: ExportResult) => void): void {
    void this.#export(records).then(done, (error: Error) => done(failed(error)));
  }

  /** Records as they are sent; undefined where something in them cannot be written. */
  written(records: unknown[]): Uint8Array | undefined {
    try {
      return this.#serializer.serializeRequest(records);
    } catch {
      return undefined;
    }
  }

  /** Sends what was written. */
  async resend(message: Uint8Array): Promise<ExportResult> {
    try {
      const status = await this.#send(message);
      return status >= 200 && status < 300 ? { code: ExportResultCode.SUCCESS } : failed(new Refusal(`HTTP ${status}`, status));
    } catch (error) {
      return failed(error as Error);
    }
  }

  /** Gives up what is under way. */
  async shutdown(): Promise<void> {
    this.#ends.abort();
  }

  async #export(records: unknown[]): Promise<ExportResult> {
    // Where something in it cannot be written, the others can.
    const message = this.written(records);
    const status = message ? await this.#send(message) : 413;
    if (status >= 200 && status < 300) return { code: ExportResultCode.SUCCESS };
    if (status !== 413 || records.length === 1) return failed(new Refusal(`HTTP ${status}`, status));
    // It is too large for what is in front of the collector. What is sent twice is known by its ids.
    const middle = Math.ceil(records.length / 2);
    const halves = [await this.#export(records.slice(0, middle)), await this.#export(records.slice(middle))];
    const isAway = ({ error }: ExportResult) => error !== undefined && (error as Refusal).code !== 413;
    return halves.find(isAway) ?? { code: ExportResultCode.SUCCESS };
  }

  /** The status of the answer. */
  async #send(message: Uint8Array): Promise<number> {
    const { url, compression, timeoutMillis, agentFactory } = this.#options;
    const isPacked = compression === "gzip";
    const body = isPacked ? await pack(message) : message;
    const headers = { ...(await this.#options.headers()), ...(isPacked ? { "Content-Encoding": "gzip" } : {}), "Content-Length": body.length };
    const signal = AbortSignal.any([this.#ends.signal, AbortSignal.timeout(timeoutMillis)]);
    const to = new URL(url);
    const agent = await agentFactory(to.protocol);
    return new Promise((tell, fail) => {
      const asked = (to.protocol === "https:" ? requestHttps : requestHttp)(to, { method: "POST", headers, agent, signal }, (answer) => {
        let size = 0;
        answer.on("data", (piece: Buffer) => {
          size += piece.length;
          // Its status says it all.
          if (size > MOST_ANSWERED) answer.destroy();
        });
        answer.on("error", fail);
        answer.on("close", () => tell(answer.statusCode ?? 0));
      });
      // It keeps no process alive; who closes the courier waits for it.
      asked.on("socket", (socket) => socket.unref());
      asked.on("error", fail);
      asked.end(body);
    });
  }
}
