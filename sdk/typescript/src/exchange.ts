// One HTTP request to a server and its answer: messages in their bodies, status, session, client, refusals.

import { AsyncLocalStorage } from "node:async_hooks";

import { context, SpanKind } from "@opentelemetry/api";

import { Call } from "./call.js";
import { carrierOf, currentPeer } from "./carrier.js";
import { Decoder } from "./coding.js";
import { Conversation } from "./conversation.js";
import { Events, MOST_READ } from "./events.js";
import { exact, written } from "./ids.js";
import { cancelled, failureOf, isObject, type Json, over, redirected, refused, type Target, targetAttributes } from "./messages.js";
import type { Scope } from "./open.js";
import { outside } from "./outside.js";
import { currentCall, type Carrier, type Observer } from "./observer.js";
import { semconv } from "./tables.js";

/** How much of a body that is no message is shown. */
const MOST_SHOWN = 64 * 1024;
/** How long an answer is waited for that may come on another stream, and a cancellation, in milliseconds. */
const MOST_AWAITED = 300_000;
const GRACE = 5000;
const TOO_LONG = "it is longer than 16 MiB";
const CROWDED = "too much is being read at once";

export const currentExchange = new AsyncLocalStorage<Exchange>();

type Handle = () => Response | Promise<Response>;

/** Requests that are watched already, where several look. */
const watched = new WeakSet<Request>();
export const isWatched = (request: Request): boolean => watched.has(request);

/** Whether requests of this method may be of MCP. */
export const isRecorded = (method: string | undefined): boolean => ["POST", "GET", "DELETE", "PUT"].includes(method ?? "");

/** Has a request handled, and records it. */
export async function watch(observer: Observer, request: Request, parsedBody: unknown, handle: Handle): Promise<Response> {
  const exchange = observer.safely("an HTTP request could not be recorded", () => {
    // HTTP+SSE answers on another stream, where its messages are watched.
    if (watched.has(request) || !isRecorded(request.method) || /[?&]session_?id=/i.test(request.url)) return undefined;
    watched.add(request);
    return new Exchange(observer, request);
  });
  if (!exchange) return handle();
  const body = parsedBody === undefined ? await exchange.textOf(request) : parsedBody;
  observer.safely("an HTTP request could not be recorded", () => exchange.asked(body));
  const run = () => currentExchange.run(exchange, handle);
  let response: Response;
  try {
    const [first] = exchange.calls;
    response = await (first ? currentCall.run(first, () => context.with(first.context, run)) : run());
  } catch (error) {
    exchange.over("failed");
    throw error;
  }
  return observer.safely("an HTTP answer could not be recorded", () => exchange.answered(response)) ?? response;
}

export class Exchange {
  readonly calls: Call[] = [];
  readonly conversation: Conversation;
  readonly #observer: Observer;
  readonly #request: Request;
  readonly #carrier: Carrier;
  #shown: string | undefined;
  #isRequest = false;
  #isJson = false;
  #status: number | undefined;
  #events: Events | undefined;
  #answer: Uint8Array[] = [];
  #size = 0;
  #stream: Call | undefined;
  #unreadable: string | undefined;
  /** Why the body of the request could not be read. */
  #unasked: string | undefined;
  /** Why messages on the stream were passed over; those after them were read. */
  #skipped: string | undefined;
  #readBytes = 0;
  #eventsBytes = 0;
  #decoder: Decoder;
  #isOver = false;

  constructor(observer: Observer, request: Request) {
    [this.#observer, this.#request] = [observer, request];
    this.#carrier = carrierOf(request, currentPeer.getStore());
    const session = this.#carrier.session;
    this.conversation = session ? observer.session(session) : new Conversation(observer);
    this.#decoder = this.#decoding(null);
    // A handler that waits hears nothing of a client that left.
    request.signal.addEventListener("abort", () => this.over("gone"), { once: true });
  }

  /** The open request with this id, for who handles it. */
  callOf(id: unknown): Call | undefined {
    return this.calls.find((call) => !call.isOver && exact(call.id) === exact(id));
  }

  /** The body of a request, which its handler reads as well. */
  async textOf(request: Request): Promise<string> {
    if (request.body === null) return "";
    if (Number(request.headers.get("content-length") ?? 0) > MOST_READ) {
      this.#unasked = TOO_LONG;
      return "";
    }
    try {
      const reader = request.clone().body?.getReader();
      const read: Uint8Array[] = [];
      let size = 0;
      // By what comes, and not by what a head claims: a body in chunks has no length.
      for (let piece = await reader?.read(); piece?.value; piece = await reader?.read()) {
        size += piece.value.length;
        if (size > MOST_READ) this.#unasked = TOO_LONG;
        else if (!this.#mayRead(piece.value.length)) this.#unasked = CROWDED;
        if (this.#unasked !== undefined) {
          // It ends when its handler has ended the other branch, too.
          reader?.cancel().catch(() => {});
          return "";
        }
        read.push(piece.value);
      }
      return Buffer.concat(read).toString("utf8");
    } catch {
      // It is read already, or broken off: its handler hears of that.
      return "";
    }
  }

  /** Takes so many bytes of what may be held, until the end. Whether there was room. */
  #mayRead(size: number): boolean {
    if (!this.#observer.openBytes.take(size)) {
      this.#observer.full();
      return false;
    }
    this.#readBytes += size;
    return true;
  }

  #giveBack(): void {
    this.#observer.openBytes.give(this.#readBytes);
    this.#readBytes = 0;
  }

  /** The body of the request, as text or parsed. */
  asked(body: unknown): void {
    let said = body;
    if (typeof body === "string") {
      this.#shown = body;
      try {
        said = body ? JSON.parse(body) : undefined;
      } catch {
        return;
      }
    } else if (body !== undefined) this.#shown = JSON.stringify(body);
    this.#isJson = said !== undefined;
    for (const message of Array.isArray(said) ? said : [said]) {
      if (!isObject(message) || message["jsonrpc"] !== "2.0") continue;
      this.#isRequest = true;
      // A cancellation in a batch may be of what stands before it.
      const call = this.conversation.take("client", message, this.#carrier, { own: this.calls, kind: "session" });
      if (!call) continue;
      call.awaitsHead = true;
      this.calls.push(call);
    }
    if (!this.#isRequest) return;
    // What is kept of it the calls have.
    this.#shown = undefined;
    this.#giveBack();
  }

  /** The answer. Gives the one that is to be sent in its place, which is the same to its client. */
  answered(response: Response): Response {
    if (this.#request.signal.aborted) {
      // Nobody is there to see it.
      this.over("gone");
      return response;
    }
    this.#status = response.status;
    const kind = (response.headers.get("content-type") ?? "").split(";")[0]?.trim().toLowerCase();
    this.#decoder = this.#decoding(response.headers.get("content-encoding"));
    if (kind === "text/event-stream") this.#events = new Events();
    const given = response.headers.get("mcp-session-id");
    if (given && response.ok && given !== this.conversation.session) {
      for (const call of this.calls) call.set({ [semconv.MCP_SESSION_ID]: given });
      this.#observer.beginSession(given, this.conversation);
    }
    for (const call of this.calls) {
      call.set({ [semconv.HTTP_RESPONSE_STATUS_CODE]: response.status });
      call.headed();
    }
    if (this.#request.method === "GET" && response.ok && this.#events) {
      this.#stream = this.#httpCall();
      this.#stream.set({ [semconv.STREAM]: true, [semconv.HTTP_RESPONSE_STATUS_CODE]: response.status });
    }
    if (!response.body) {
      this.over("complete");
      return response;
    }
    return new Response(this.#passing(response.body), { status: response.status, statusText: response.statusText, headers: response.headers });
  }

  #passing(body: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
    const reader = body.getReader();
    return new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          try {
            const { done, value } = await reader.read();
            if (done) {
              this.over("complete");
              controller.close();
              return;
            }
            if (!this.#isOver) this.#observer.safely("an HTTP answer could not be recorded", () => this.#decoder.feed(value));
            controller.enqueue(value);
          } catch (error) {
            this.over("failed");
            controller.error(error);
          }
        },
        cancel: (reason) => {
          this.over("gone");
          return reader.cancel(reason);
        },
      },
      { highWaterMark: 0 },
    );
  }

  #decoding(header: string | null): Decoder {
    return new Decoder(header, this.#observer.openBytes, (piece) => {
      this.#observer.safely("an HTTP answer could not be recorded", () => this.#read(piece));
    });
  }

  #read(piece: Uint8Array): void {
    if (this.#unreadable) return;
    if (this.#events) {
      for (const text of this.#events.feed(piece)) this.#take(text);
      if (this.#events.hasSkipped) this.#skipped = TOO_LONG;
      const more = this.#events.held - this.#eventsBytes;
      if (more <= 0) return;
      if (this.#mayRead(more)) this.#eventsBytes += more;
      else [this.#unreadable, this.#events] = [CROWDED, new Events()];
      return;
    }
    this.#size += piece.length;
    if (this.#size > MOST_READ) this.#unreadable = TOO_LONG;
    else if (!this.#mayRead(piece.length)) this.#unreadable = CROWDED;
    if (this.#unreadable) this.#answer = [];
    else this.#answer.push(piece);
  }

  /** Takes the messages in a text. Whether it was JSON. */
  #take(text: string): boolean {
    let said: unknown;
    try {
      said = JSON.parse(text);
    } catch {
      return false;
    }
    const scope: Scope = this.#request.method === "GET" ? { own: [], kind: "session" } : { own: this.calls, kind: "answer" };
    for (const message of Array.isArray(said) ? said : [said]) {
      if (!isObject(message) || message["jsonrpc"] !== "2.0") continue;
      if (failureOf(message) !== undefined && (message["id"] ?? undefined) === undefined) {
        // An error without an id answers every request of the same POST.
        for (const call of this.calls) this.conversation.end(call, { answer: message });
      } else this.conversation.take("server", message, this.#carrier, scope);
    }
    return true;
  }

  /** The exchange is over: what is open of it will not be answered, unless elsewhere. */
  over(how: "complete" | "gone" | "failed"): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const isAborted = this.#request.signal.aborted;
    const settle = () => {
      // A handler whose client is gone may end the answer as if it were whole.
      const isGone = how === "complete" && isAborted && this.calls.some((call) => !call.isOver);
      this.#observer.safely("the end of an HTTP request could not be recorded", () => this.#settle(isGone ? "gone" : how));
      this.#giveBack();
      [this.#answer, this.#shown, this.#events] = [[], undefined, undefined];
    };
    if (how === "complete") this.#decoder.finish(settle);
    else {
      this.#decoder.close();
      settle();
    }
  }

  #settle(how: "complete" | "gone" | "failed"): void {
    this.#unreadable ??= this.#decoder.fault;
    const text = this.#events || this.#unreadable ? "" : Buffer.concat(this.#answer).toString();
    if (text && how === "complete" && !this.#take(text) && (this.#status ?? 500) < 300) this.#unreadable = this.#decoder.unknown ?? "it is no JSON";
    this.#stream?.end(over());
    for (const call of this.calls) call.headed();
    if (this.calls.length === 0) this.#refused(text);
    for (const call of this.calls) if (!call.isOver) this.#end(call, how, text);
  }

  #end(call: Call, how: "complete" | "gone" | "failed", text: string): void {
    const { conversation } = this;
    const status = this.#status;
    const unread = this.#unreadable ?? this.#skipped ?? this.#decoder.unknown;
    const reason = how === "gone" ? "the client went away" : "the answer ended without a result";
    if (status !== undefined && status >= 300) {
      call.holdText(text, "RESPONSE", MOST_SHOWN);
      conversation.end(call, status < 400 ? redirected() : refused(status));
    } else if (call.longLived) conversation.end(call, over());
    else if (unread !== undefined && how === "complete") {
      // It was answered, as far as anybody can tell.
      call.set({ [semconv.RESPONSE_UNREADABLE]: unread });
      conversation.end(call, over());
    } else if (conversation.isStateless(this.#carrier) && (how !== "complete" || this.#events)) {
      conversation.end(call, cancelled("the client closed the stream"));
    } else if (status === 202 || ((this.#events || how === "gone") && conversation.session !== undefined)) {
      // Its answer may come on another stream, and a client that went away may say yet that it cancelled.
      const wait = status === 202 || this.#events?.hasIds ? MOST_AWAITED : GRACE;
      call.isAwaited = false;
      const giveUp = () => this.#observer.safely("a request could not be given up", () => conversation.giveUp(call, reason));
      outside(() => setTimeout(giveUp, wait).unref());
    } else {
      call.holdText(text, "RESPONSE", MOST_SHOWN);
      conversation.giveUp(call, reason);
    }
  }

  /** A request that never became one of JSON-RPC: refused before anybody read it, or not to be read. */
  #refused(text: string): void {
    const status = this.#status ?? 0;
    if (this.#isRequest || !this.#isMcp()) return;
    if (this.#unasked !== undefined && this.#status !== undefined) {
      this.#unread(status, this.#unasked, text);
      return;
    }
    if (status < 400 || this.#isRoutine(status)) return;
    const { headers } = this.#request;
    if (this.#isJson && !headers.has("mcp-method") && !headers.has("mcp-session-id")) return;
    const call = this.#httpCall();
    call.set({ [semconv.HTTP_RESPONSE_STATUS_CODE]: status });
    if (this.#shown) call.holdText(this.#shown, "REQUEST", MOST_SHOWN);
    let said: unknown;
    try {
      said = JSON.parse(text);
    } catch {
      // It is shown as it is.
    }
    if (isObject(said) && said["jsonrpc"] === "2.0" && (failureOf(said) !== undefined || "result" in said)) {
      if (said["id"] !== null && said["id"] !== undefined) call.set({ [semconv.JSONRPC_REQUEST_ID]: written(said["id"]) });
      call.answered(said as Json);
      return;
    }
    call.holdText(text, "RESPONSE", MOST_SHOWN);
    call.end(refused(status));
  }

  /** A request whose body was too much to be read: its head tells what there is to tell. */
  #unread(status: number, why: string, text: string): void {
    const call = this.#httpCall();
    call.set({ [semconv.HTTP_RESPONSE_STATUS_CODE]: status, [semconv.REQUEST_UNREADABLE]: why });
    call.holdText(text, "RESPONSE", MOST_SHOWN);
    call.end(status >= 400 ? refused(status) : over());
  }

  #isMcp(): boolean {
    const { headers, url } = this.#request;
    const isMeant = headers.get("accept")?.toLowerCase().includes("text/event-stream") || headers.has("mcp-method") || headers.has("mcp-session-id");
    return Boolean(isMeant) && !new URL(url).pathname.startsWith("/.well-known/");
  }

  /** Whether a refusal is part of an ordinary visit: what the specification lets a server not offer. */
  #isRoutine(status: number): boolean {
    const { method, headers } = this.#request;
    if (method === "DELETE") return [404, 405, 501].includes(status);
    if (method !== "GET") return false;
    return status === 405 || status === 501 || ([400, 404, 406].includes(status) && !headers.has("mcp-session-id"));
  }

  /** The call of an HTTP request that is no request of JSON-RPC. */
  #httpCall(): Call {
    const { headers, method: verb } = this.#request;
    const method = headers.get("mcp-method") ?? verb;
    const name = decoded(headers.get("mcp-name") ?? "");
    const kind = method === "tools/call" ? "tool" : method === "prompts/get" ? "prompt" : method.startsWith("resources/") ? "resource" : undefined;
    const target: Target = name && kind ? { kind, name } : {};
    return new Call(this.#observer, {
      kind: SpanKind.SERVER,
      method,
      target,
      attributes: {
        ...targetAttributes(method, target),
        ...(this.#observer.name === undefined ? {} : { [semconv.MCP_SERVER_NAME]: this.#observer.name }),
        ...this.#carrier.attributes,
        ...this.conversation.known("", undefined, this.#carrier),
      },
      headerParent: this.#carrier.headerParent,
    });
  }
}

/** A header that may be written as `=?base64?…?=` (MCP 2026-07-28). */
function decoded(value: string): string {
  const inner = /^=\?base64\?(.*)\?=$/.exec(value)?.[1];
  return inner === undefined ? value : Buffer.from(inner, "base64").toString();
}
