// For applications that refuse requests before a server sees them: what they refuse is recorded as well.

import type { IncomingMessage, ServerResponse } from "node:http";

import { currentPeer } from "./carrier.js";
import { isRecorded, isWatched, watch } from "./exchange.js";
import { complain } from "./complaint.js";
import type { Observer } from "./observer.js";
import { observerOf } from "./servers.js";

/** How much of a refusal is shown. */
const MOST_SHOWN = 64 * 1024;

function known(server: object): Observer | undefined {
  const observer = observerOf(server);
  if (!observer) complain("the server that a middleware was made for is not instrumented; refusals are not recorded");
  return observer;
}

/** Middleware for Express, and for anything that has requests and responses of Node.js. Use it before what refuses. */
export function express(server: object): (request: IncomingMessage, response: ServerResponse, next: (error?: unknown) => void) => void {
  const observer = known(server);
  return (request, response, next) => {
    if (observer) observer.safely("a request could not be watched", () => watchRefusal(observer, request, response));
    next();
  };
}

/** Records a request when its answer is a refusal and no server saw it. */
function watchRefusal(observer: Observer, request: IncomingMessage, response: ServerResponse): void {
  const pieces: Buffer[] = [];
  let size = 0;
  for (const name of ["write", "end"] as const) {
    const send = response[name] as (...given: unknown[]) => any;
    response[name] = function watched(this: unknown, ...given: unknown[]): any {
      const [chunk] = given;
      if (response.statusCode >= 400 && size < MOST_SHOWN && (typeof chunk === "string" || chunk instanceof Uint8Array)) {
        const piece = Buffer.from(chunk as string);
        pieces.push(piece.subarray(0, MOST_SHOWN - size));
        size += piece.length;
      }
      return send.apply(response, given);
    } as any;
  }
  const record = (): void => {
    if (response.statusCode < 400 || handled.has(request) || !isRecorded(request.method)) return;
    const { remoteAddress: address, remotePort: port } = request.socket;
    const headers = new Headers();
    for (const [key, value] of Object.entries(request.headers)) if (value !== undefined) headers.set(key, String(value));
    const { originalUrl = request.url, body } = request as IncomingMessage & { originalUrl?: string; body?: unknown };
    // An address may be whatever a client wrote; `//` is one without a host.
    const path = originalUrl?.startsWith("/") ? originalUrl : "/";
    const asked = new Request(`http://localhost${path}`, { method: request.method ?? "GET", headers });
    const told = new Headers();
    for (const name of ["content-type", "content-encoding"]) told.set(name, String(response.getHeader(name) ?? ""));
    const answer = new Response(Buffer.concat(pieces), { status: response.statusCode, headers: told });
    const watched = () => watch(observer, asked, body ?? "", () => answer).then((seen) => seen.arrayBuffer());
    void currentPeer.run({ address, port, version: request.httpVersion }, watched).catch((error) => observer.failed("a refusal could not be recorded", error));
  };
  // Not every method and address of Node.js is one of a `Request`, and what a listener throws ends the process.
  response.once("finish", () => observer.safely("a refusal could not be recorded", record));
}

/** Requests of Node.js that a server was given. */
export const handled = new WeakSet<object>();

/** What of a context of Hono is used here. */
interface HonoContext {
  req: { raw: Request };
  res: Response;
}

/** Middleware for Hono. Use it before what refuses. */
export function hono(server: object): (context: HonoContext, next: () => Promise<void>) => Promise<void> {
  const observer = known(server);
  return async (context, next) => {
    await next();
    const { res, req: { raw } } = context;
    if (!observer || res.status < 400 || isWatched(raw)) return;
    try {
      const answer = res.clone();
      await (await watch(observer, new Request(raw.url, { method: raw.method, headers: raw.headers }), "", () => answer)).arrayBuffer();
    } catch (error) {
      observer.failed("a refusal could not be recorded", error);
    }
  };
}
