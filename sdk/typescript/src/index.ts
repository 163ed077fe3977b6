/**
 * Makes an MCP server written in TypeScript speak OTLP: one line, one span for each request, with bodies.
 *
 *     const server = instrument(new McpServer({ name: "weather", version: "1.0.0" }));
 *
 * @module
 */

import { Capture } from "./capture.js";
import { installConsole } from "./console.js";
import { complain } from "./complaint.js";
import { Call } from "./current.js";
import { type Caller, Observer } from "./observer.js";
import { attach, observerOf, serverOf } from "./servers.js";
import { serviceNameOfEnvironment, Telemetry } from "./telemetry.js";

export { Capture, CaptureError, type CaptureOptions, DEFAULT_BODY_CAP } from "./capture.js";
export { Call, type Outgoing } from "./current.js";
export { express, hono } from "./middleware.js";
export type { Caller, Incoming } from "./observer.js";
export { BadRule, REDACTED, Redactor, type Rules } from "./redaction.js";

export interface Options {
  /** The server's name in the log, where `OTEL_SERVICE_NAME` gives none; without both it is the server's own. */
  name?: string;
  /** A base URL of OTLP over HTTP that wins over the variables `OTEL_EXPORTER_OTLP_…`. */
  endpoint?: string;
  /** A key of mcptap with scope `ingest`. */
  apiKey?: string;
  /** What is recorded, in place of the variables `MCPTAP_…`. */
  capture?: Capture;
  /** Asked who sent a request: gives an id, or attributes. */
  caller?: Caller;
  /** Whether lines on standard output and error are recorded with the call that they were written in; by default they are. */
  console?: boolean;
}

/** Of one name and address there is one, since servers are often made for each session or request. */
const telemetries = new Map<string, Telemetry>();
/** Of the same settings there is one. What the application made of them they are kept by, so that they go with it. */
const observers = new WeakMap<object, WeakMap<object, Map<string, Observer>>>();
/** Stands for what nobody gave. */
const NONE = {};

/**
 * Has every request to a server recorded, and gives the server back: a `Server` or `McpServer` of the official SDK (1.x or 2.x),
 * before it is connected, or what `createMcpHandler` makes.
 *
 * Nothing here can make the server fail: where a setting is wrong, it runs, nothing is recorded, and standard error says why. What is
 * no server is a `TypeError`.
 */
export function instrument<S extends object>(server: S, options: Options = {}): S {
  const inner = serverOf(server);
  if (observerOf(server)) return server;
  try {
    const observer = observerFor(inner, options);
    if (!observer) return server;
    attach(server, observer);
    if (options.console !== false) installConsole();
  } catch (error) {
    complain(`nothing is recorded until this is mended: ${(error as Error).message}`);
  }
  return server;
}

function observerFor(inner: any, { name, endpoint, apiKey, capture, caller, console }: Options): Observer | undefined {
  const own = serviceNameOfEnvironment() ?? name ?? (inner?._serverInfo?.name as string | undefined);
  const called = own ?? "mcp-server";
  const key = JSON.stringify([called, endpoint, apiKey, console !== false]);
  const known = observersOf(capture, caller);
  const found = known.get(key);
  if (found) return found;
  const given = capture ?? Capture.fromEnv();
  if (!given.records) return undefined;
  const place = JSON.stringify([called, endpoint, apiKey]);
  const telemetry = telemetries.get(place) ?? new Telemetry(called, { endpoint, apiKey });
  telemetries.set(place, telemetry);
  if (!telemetry.sends) return undefined;
  const observer = new Observer(telemetry, given, own, caller);
  observer.hearsConsole = console !== false;
  known.set(key, observer);
  return observer;
}

/** Those of the same capture and the same caller. */
function observersOf(capture: Capture = NONE as Capture, caller: Caller = NONE as Caller): Map<string, Observer> {
  const ofCapture = observers.get(capture) ?? new WeakMap<object, Map<string, Observer>>();
  observers.set(capture, ofCapture);
  const found = ofCapture.get(caller) ?? new Map<string, Observer>();
  ofCapture.set(caller, found);
  return found;
}

/** Sets attributes of the call that is being handled, as `Call.set` does; outside one nothing happens. */
export function set(attributes: Record<string, unknown>): void {
  const call = Call.current();
  for (const [name, value] of Object.entries(attributes)) call?.set(name, value);
}

/** Sends what is recorded of a server so far. Whether that was done within so many milliseconds. */
export async function flush(server: object, timeout = 3000): Promise<boolean> {
  return (await observerOf(server)?.telemetry.courier.flush(timeout)) ?? true;
}
