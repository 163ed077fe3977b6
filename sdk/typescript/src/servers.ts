// The servers of the official SDK 1.x and 2.x: where their messages come in, and where they are handled.

import { context } from "@opentelemetry/api";

import { carrierOf, currentPeer } from "./carrier.js";
import { asTransport } from "./console.js";
import { Conversation } from "./conversation.js";
import { currentExchange, watch } from "./exchange.js";
import { handled } from "./middleware.js";
import { currentCall, type Carrier, type Observer } from "./observer.js";
import { telling } from "./raised.js";
import { semconv } from "./tables.js";

type Method = (...given: any[]) => any;

/** What of a transport is used here. */
interface Transport {
  onmessage?: Method | undefined;
  onclose?: Method | undefined;
  send: Method;
  start?: Method;
  handleRequest?: Method;
  _webStandardTransport?: Transport;
}

const PIPE: Carrier = { attributes: { [semconv.NETWORK_TRANSPORT]: "pipe" } };
const observers = new WeakMap<object, Observer>();

/** What watches a server already. */
export const observerOf = (server: object): Observer | undefined => observers.get(server);

/** Whether it is the handler of HTTP requests that `createMcpHandler` makes. */
const isHandler = (server: any): server is { fetch: Method } => typeof server?.fetch === "function" && typeof server?.connect !== "function";

/** The low-level server of a server, which has its name. */
export function serverOf(server: any): any {
  const inner = typeof server?.server?.connect === "function" ? server.server : server;
  if (typeof inner?.connect === "function" || isHandler(server)) return inner;
  throw new TypeError("this is no MCP server that is known here; give a Server or McpServer of the official SDK, or what createMcpHandler makes");
}

/** Has a server watched. */
export function attach(server: any, observer: Observer): void {
  const inner = serverOf(server);
  observers.set(server, observer);
  observers.set(inner, observer);
  if (isHandler(server)) {
    const fetch = server.fetch;
    server.fetch = (request: Request, options?: any) =>
      watch(observer, request, options?.parsedBody, () => Reflect.apply(fetch, server, [request, options]));
    return;
  }
  // What runs a tool of an McpServer, which makes an answer of what that throws before anybody sees it.
  if (typeof server.executeToolHandler === "function") server.executeToolHandler = telling(server.executeToolHandler);
  const connect: Method = inner.connect;
  inner.connect = async function connected(this: unknown, transport: Transport, ...rest: unknown[]) {
    let isWatched = false;
    const watch = () => {
      if (isWatched) return;
      isWatched = true;
      observer.safely("a transport could not be watched", () => watchTransport(transport, observer, inner));
    };
    // What the library sets on the transport while it connects comes first; what waits on the transport it hands on when it starts.
    const start = transport?.start;
    const begun = function begun(this: unknown, ...given: unknown[]): unknown {
      if (transport.onmessage) watch();
      return Reflect.apply(start as Method, transport, given);
    };
    if (typeof start === "function") observer.safely("a transport could not be watched", () => { transport.start = begun; });
    try {
      const result = await Reflect.apply(connect, inner, [transport, ...rest]);
      watch();
      return result;
    } finally {
      if (transport?.start === begun && start) observer.safely("a transport could not be watched", () => { transport.start = start; });
    }
  };
}

/** Has what the handler of a method throws told. */
function watchHandler(inner: any, method: unknown): void {
  const handlers = inner?._requestHandlers;
  const handler = handlers instanceof Map ? handlers.get(method) : undefined;
  if (typeof handler === "function") handlers.set(method, telling(handler));
}

function watchTransport(transport: Transport, observer: Observer, inner: any): void {
  watchRequests(transport, observer);
  const conversation = new Conversation(observer);
  // Over HTTP the bodies have the messages; here is only where they are handled.
  let isSeenElsewhere = false;
  let carrier = PIPE;
  const { onmessage, send, onclose } = transport;
  transport.onmessage = (message: any, ...rest: any[]) => {
    const exchange = currentExchange.getStore();
    isSeenElsewhere ||= exchange !== undefined;
    const call = observer.safely("a message could not be recorded", () => {
      if (isSeenElsewhere) return exchange?.callOf(message?.id);
      // Its answer comes by this transport, whatever it makes of it.
      const came = { ...carrierFor(rest[0]), isHttp: false };
      carrier = { ...came, headers: {} };
      return conversation.take("client", message, came);
    });
    const handle = () => onmessage?.call(transport, message, ...rest);
    if (!call || message?.method === undefined) return handle();
    observer.safely("a handler could not be watched", () => watchHandler(inner, message.method));
    return currentCall.run(call, () => context.with(call.context, handle));
  };
  transport.send = (message: any, ...rest: unknown[]) => {
    if (!isSeenElsewhere) observer.safely("a message could not be recorded", () => conversation.take("server", message, carrier));
    return asTransport(() => send.call(transport, message, ...rest));
  };
  transport.onclose = (...given: unknown[]) => {
    observer.safely("the end of a connection could not be recorded", () => conversation.close("the transport ended before the answer"));
    return onclose?.call(transport, ...given);
  };
}

/** How a message came, as the transport tells. */
function carrierFor(extra: any): Carrier {
  if (extra?.request instanceof Request) return carrierOf(extra.request, currentPeer.getStore());
  const headers = extra?.requestInfo?.headers;
  if (!headers) return PIPE;
  const given = Object.entries(headers).filter((entry): entry is [string, string] => typeof entry[1] === "string");
  return carrierOf(new Request("http://localhost/", { method: "POST", headers: given }), currentPeer.getStore());
}

/** Watches the HTTP requests that a transport is given, if it is given any. */
function watchRequests(transport: Transport, observer: Observer): void {
  const handle = transport.handleRequest;
  if (typeof handle !== "function") return;
  // One for Node.js hands them on to one for requests as the web has them.
  const web = transport._webStandardTransport;
  if (!web || typeof web.handleRequest !== "function") {
    watchWeb(transport, observer);
    return;
  }
  watchWeb(web, observer);
  transport.handleRequest = (request: any, ...rest: unknown[]) => {
    if (typeof request === "object" && request !== null) handled.add(request);
    const { remoteAddress: address, remotePort: port } = request?.socket ?? {};
    return currentPeer.run({ address, port, version: request?.httpVersion }, () => handle.call(transport, request, ...rest));
  };
}

function watchWeb(transport: Transport, observer: Observer): void {
  const handle = transport.handleRequest;
  transport.handleRequest = (request: any, ...rest: any[]) => {
    const pass = () => handle?.call(transport, request, ...rest);
    // Before 1.25 there were transports that take requests of Node.js themselves: their messages are recorded without a status.
    return request instanceof Request ? watch(observer, request, rest[0]?.parsedBody, pass) : pass();
  };
}
