// What one client and one server say to each other: requests and answers are paired, whatever order they come in.

import { type Attributes, SpanKind } from "@opentelemetry/api";
import { SeverityNumber } from "@opentelemetry/api-logs";

import { Call, type Late } from "./call.js";
import { exact, written } from "./ids.js";
import { broken, cancelled, cut, type Ending, failureOf, implementation, isObject, type Json, member, over, STATELESS, targetAttributes, targetOf, text, unknown } from "./messages.js";
import type { Carrier, Observer } from "./observer.js";
import { ONLY, OpenRequests, type Scope, type Side } from "./open.js";
import { semconv } from "./tables.js";

/** How many requests may be open, and how many that ended without an answer are remembered. */
const MOST_OPEN = 10_000;
const MOST_PAST = 32;
/** How many open requests a line of console output is written to that belongs to none. */
const MOST_LISTENERS = 16;
const META = "io.modelcontextprotocol/";
const AMBIGUOUS = "requests with the same id were open at once, and which of their answers is its own cannot be told";

const SEVERITIES: Record<string, SeverityNumber> = {
  debug: SeverityNumber.DEBUG, info: SeverityNumber.INFO, notice: SeverityNumber.INFO2, warning: SeverityNumber.WARN,
  error: SeverityNumber.ERROR, critical: SeverityNumber.ERROR2, alert: SeverityNumber.ERROR3, emergency: SeverityNumber.FATAL,
};

const otherOf = (side: Side): Side => (side === "client" ? "server" : "client");

export class Conversation {
  session: string | undefined;
  readonly #observer: Observer;
  readonly #open = new OpenRequests();
  #past: { side: Side; id: string; late: Late }[] = [];
  /** Cancellations that may be of any of several requests: of the one that ends without an answer. */
  #cancellations: { side: Side; id: string; reason: string | undefined }[] = [];
  #reusesIds = false;
  #client: { name: string; version?: string } | undefined;
  #version: string | undefined;

  constructor(observer: Observer, session?: string) {
    [this.#observer, this.session] = [observer, session];
  }

  /** Takes a message that this side sent on this stream. Returns the call that it began, if it began one. */
  take(side: Side, message: unknown, carrier: Carrier, scope: Scope = ONLY): Call | undefined {
    if (!isObject(message)) return undefined;
    const [method, id] = [text(message["method"]), message["id"] ?? undefined];
    if (method === undefined) {
      const isAnswer = "result" in message || failureOf(message) !== undefined;
      if (id !== undefined && isAnswer) this.#answer(otherOf(side), id, message, scope);
      return undefined;
    }
    if (method.startsWith("notifications/") || id === undefined) {
      this.#notification(side, method, message["params"], scope);
      return undefined;
    }
    return this.#request(side, method, id, message, carrier);
  }

  #request(side: Side, method: string, id: unknown, message: Json, carrier: Carrier): Call | undefined {
    const params = message["params"];
    if (method === "initialize") this.#client = implementation(member(params, "clientInfo")) ?? this.#client;
    if (side === "client" && carrier.isHttp && this.#open.has(side, id)) this.#reusesIds = true;
    if (this.#open.size >= MOST_OPEN || this.#observer.capture.excludes(method)) return undefined;
    const [target, meta] = [targetOf(method, params), member(params, "_meta")];
    const incoming = { method, target: target.name, params: isObject(params) ? params : {}, headers: carrier.headers ?? {} };
    const who = { ...this.#observer.tags(incoming), ...(side === "client" ? this.#observer.who(incoming) : {}) };
    const call = new Call(this.#observer, {
      kind: side === "client" ? SpanKind.SERVER : SpanKind.CLIENT,
      method,
      target,
      attributes: {
        ...targetAttributes(method, target),
        [semconv.JSONRPC_REQUEST_ID]: written(id),
        ...(this.#observer.name === undefined ? {} : { [semconv.MCP_SERVER_NAME]: this.#observer.name }),
        ...carrier.attributes,
        ...this.known(method, meta, carrier),
      },
      said: who,
      headers: carrier.headers,
      id,
      meta,
      headerParent: carrier.headerParent,
      sampling: this.#observer.capture.sampling(method),
    });
    call.isAwaited = side === "client" && carrier.isHttp === true;
    const token = member(meta, "progressToken") ?? undefined;
    if (token !== undefined) call.token = exact(token);
    this.#open.add(call);
    call.holdRequest(message);
    return call;
  }

  /** What is known of a request besides what it says and how it came. */
  known(method: string, meta: unknown, carrier: Carrier): Attributes {
    const known: Attributes = {};
    const own = text(member(meta, `${META}protocolVersion`));
    // The version that a handshake asks for is not the one in force; the server's answer says that.
    const version = method === "initialize" ? undefined : (own ?? this.#version ?? carrier.version);
    if (version !== undefined) known[semconv.MCP_PROTOCOL_VERSION] = cut(version);
    const session = this.session ?? carrier.session;
    // Since 2026-07-28 there are no sessions, whatever a client still sends.
    if (session !== undefined && (version === undefined || version < STATELESS)) known[semconv.MCP_SESSION_ID] = session;
    const client = implementation(member(meta, `${META}clientInfo`)) ?? this.#client;
    if (client) known[semconv.MCP_CLIENT_NAME] = client.name;
    if (client?.version !== undefined) known[semconv.MCP_CLIENT_VERSION] = client.version;
    return known;
  }

  /** Whether the version in force has no sessions, so that a closed stream is a cancellation. */
  isStateless(carrier: Carrier): boolean {
    return (this.#version ?? carrier.version ?? "") >= STATELESS;
  }

  #answer(side: Side, id: unknown, message: Json, scope: Scope): void {
    // Where ids are used again, one that is answered in an HTTP answer of its own is not meant by what comes elsewhere.
    const [call, ...others] = this.#open.find(side, id, scope, !this.#reusesIds);
    if (!call) {
      this.#late(side, id);
      return;
    }
    for (const other of others) other.isAmbiguous = true;
    if (call.method === "initialize") {
      const version = text(member(message, "result", "protocolVersion"));
      this.#version = version === undefined ? this.#version : cut(version);
    }
    this.#learn(call, message["result"]);
    this.#forget(call);
    if (others.length > 0 || ((call.isAmbiguous || this.#isDoubted(call, scope)) && !scope.own.includes(call))) {
      call.set({ [semconv.RESPONSE_UNREADABLE]: AMBIGUOUS });
      // Where there is a status of HTTP, that is the outcome.
      call.end(call.hasStatus ? over() : unknown());
    } else call.answered(message);
  }

  /** What an answer says of the server, where nobody gave it a name. */
  #learn(call: Call, result: unknown): void {
    if (this.#observer.name !== undefined) return;
    const own = implementation(member(result, "serverInfo")) ?? implementation(member(result, "_meta", `${META}serverInfo`));
    if (!own) return;
    this.#observer.name = own.name;
    call.set({ [semconv.MCP_SERVER_NAME]: own.name });
  }

  /** Whether an answer may be that of a request with the same id which was cancelled before. */
  #isDoubted(call: Call, scope: Scope): boolean {
    const before = scope.kind === "only" ? this.#past.filter(({ side, id }) => side === call.side && id === exact(call.id)) : [];
    this.#past = this.#past.filter((past) => !before.includes(past));
    return before.length > 0;
  }

  #late(side: Side, id: unknown): void {
    // Where ids are used again, which one it answers cannot be told.
    const found = this.#reusesIds ? undefined : this.#past.find((past) => past.side === side && past.id === exact(id));
    if (!found) return;
    this.#past = this.#past.filter((past) => past !== found);
    found.late.tell();
  }

  #notification(side: Side, method: string, params: unknown, scope: Scope): void {
    if (method === "notifications/cancelled") this.#cancel(side, member(params, "requestId"), text(member(params, "reason")), scope);
    else if (side === "server" && method === "notifications/progress") this.#open.withToken(member(params, "progressToken"), scope)?.progressed(params);
    else if (side === "server" && method === "notifications/message") {
      const [data, logger] = [member(params, "data"), text(member(params, "logger"))];
      const body = typeof data === "string" ? data : (JSON.stringify(data) ?? "");
      const severity = SEVERITIES[String(member(params, "level"))] ?? SeverityNumber.INFO;
      const about = scope.kind === "answer" && scope.own.length > 0 ? scope.own : [...this.#open];
      const running = about.filter((call) => call.side === "client" && !call.longLived);
      for (const call of running.slice(-MOST_LISTENERS)) call.log(severity, body, logger === undefined ? {} : { logger });
    }
  }

  #cancel(side: Side, id: unknown, reason: string | undefined, scope: Scope): void {
    const found = this.#open.find(side, id, scope, true);
    const [call] = found;
    if (!call) return;
    // It may also be of an earlier request with the same id, which was answered meanwhile.
    if (found.length === 1 && (!this.#reusesIds || !call.isAwaited || scope.own.includes(call))) {
      this.#end(call, cancelled(reason));
      this.#past = [...this.#past.slice(1 - MOST_PAST), { side, id: exact(id), late: call.late() }];
    } else if (this.#cancellations.length < this.#open.size) this.#cancellations.push({ side, id: exact(id), reason });
  }

  /** Ends a call that was not answered and that nobody refused. If one with its id was cancelled, it was this. */
  giveUp(call: Call, reason: string): void {
    const meant = this.#cancellations.find(({ side, id }) => side === call.side && id === exact(call.id));
    this.#cancellations = this.#cancellations.filter((other) => other !== meant);
    this.#end(call, meant ? cancelled(meant.reason) : broken(reason));
  }

  /** Ends a call without an answer, or with one that does not name it. */
  end(call: Call, ending: Ending | { answer: Json }): void {
    if (!("answer" in ending)) this.#end(call, ending);
    else if (this.#forget(call)) call.answered(ending.answer);
  }

  /** The transport is over: nothing that is open will be answered. */
  close(reason: string): void {
    for (const call of this.#open) this.#end(call, call.longLived ? over() : broken(reason));
  }

  #end(call: Call, ending: Ending): void {
    if (this.#forget(call)) call.end(ending);
  }

  #forget(call: Call): boolean {
    if (!this.#open.remove(call)) return false;
    if (this.#cancellations.length > 0 && !this.#open.has(call.side, call.id)) {
      this.#cancellations = this.#cancellations.filter(({ side, id }) => side !== call.side || id !== exact(call.id));
    }
    return true;
  }
}
