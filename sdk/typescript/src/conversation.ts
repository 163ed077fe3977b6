// What one client and one server say to each other: requests and answers are paired, whatever order they come in.

import { type Attributes, SpanKind } from "@opentelemetry/api";
import { SeverityNumber } from "@opentelemetry/api-logs";

import { Call } from "./call.js";
import { broken, cancelled, cut, type Ending, implementation, isObject, type Json, member, over, STATELESS, targetAttributes, targetOf, text } from "./messages.js";
import type { Carrier, Observer } from "./observer.js";
import { semconv } from "./tables.js";

export type Side = "client" | "server";

/** How many requests may be open, and how many that ended without an answer are remembered. */
const MOST_OPEN = 10_000;
const MOST_PAST = 32;
/** How many open requests a line of console output is written to that belongs to none. */
const MOST_LISTENERS = 16;
const META = "io.modelcontextprotocol/";

const SEVERITIES: Record<string, SeverityNumber> = {
  debug: SeverityNumber.DEBUG, info: SeverityNumber.INFO, notice: SeverityNumber.INFO2, warning: SeverityNumber.WARN,
  error: SeverityNumber.ERROR, critical: SeverityNumber.ERROR2, alert: SeverityNumber.ERROR3, emergency: SeverityNumber.FATAL,
};

/** A request as it is found: by who sent it, and its id, where 1 is not "1". */
const keyOf = (side: Side, id: unknown): string => `${side} ${JSON.stringify(id)}`;
const otherOf = (side: Side): Side => (side === "client" ? "server" : "client");

export class Conversation {
  session: string | undefined;
  readonly #observer: Observer;
  readonly #open = new Map<string, Call>();
  readonly #tokens = new Map<string, Call>();
  #past: { key: string; call: Call }[] = [];
  #client: { name: string; version?: string } | undefined;
  #version: string | undefined;

  constructor(observer: Observer, session?: string) {
    [this.#observer, this.session] = [observer, session];
  }

  /**
   * Takes a message that this side sent. Returns the call that it began, if it began one. `only` are the calls of the HTTP request
   * in whose answer it came.
   */
  take(side: Side, message: unknown, carrier: Carrier, only?: Call[]): Call | undefined {
    if (!isObject(message)) return undefined;
    const [method, id] = [text(message["method"]), message["id"]];
    if (method === undefined) {
      if (id !== undefined && id !== null && ("result" in message || "error" in message)) this.#answer(keyOf(otherOf(side), id), message);
      return undefined;
    }
    if (method.startsWith("notifications/") || id === undefined || id === null) {
      this.#notification(side, method, message["params"], only);
      return undefined;
    }
    return this.#request(side, method, id, message, carrier);
  }

  /** The open request of the client with this id. */
  handled(id: unknown): Call | undefined {
    return this.#open.get(keyOf("client", id));
  }

  #request(side: Side, method: string, id: unknown, message: Json, carrier: Carrier): Call | undefined {
    const params = message["params"];
    if (method === "initialize") this.#client = implementation(member(params, "clientInfo")) ?? this.#client;
    const key = keyOf(side, id);
    const earlier = this.#open.get(key);
    if (earlier) this.#end(key, earlier, broken("its id was used again before it was answered"));
    if (this.#open.size >= MOST_OPEN) return undefined;
    const [target, meta] = [targetOf(method, params), member(params, "_meta")];
    const who = side === "client"
      ? this.#observer.who({ method, target: target.name, params: isObject(params) ? params : {}, headers: carrier.headers ?? {} })
      : {};
    const call = new Call(this.#observer, {
      kind: side === "client" ? SpanKind.SERVER : SpanKind.CLIENT,
      method,
      target,
      attributes: {
        ...targetAttributes(method, target),
        [semconv.JSONRPC_REQUEST_ID]: String(id),
        ...(this.#observer.name === undefined ? {} : { [semconv.MCP_SERVER_NAME]: this.#observer.name }),
        ...carrier.attributes,
        ...this.known(method, meta, carrier),
        ...who,
      },
      meta,
      headerParent: carrier.headerParent,
    });
    this.#open.set(key, call);
    call.holdRequest(message);
    const token = member(meta, "progressToken");
    if (token !== undefined) {
      call.token = JSON.stringify(token);
      this.#tokens.set(call.token, call);
    }
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

  #answer(key: string, message: Json): void {
    const call = this.#open.get(key);
    if (!call) {
      this.#late(key);
      return;
    }
    if (call.method === "initialize") this.#version = text(member(message, "result", "protocolVersion")) ?? this.#version;
    this.#learn(call, message["result"]);
    this.#forget(key, call);
    call.answered(message);
  }

  /** What an answer says of the server, where nobody gave it a name. */
  #learn(call: Call, result: unknown): void {
    if (this.#observer.name !== undefined) return;
    const own = implementation(member(result, "serverInfo")) ?? implementation(member(result, "_meta", `${META}serverInfo`));
    if (!own) return;
    this.#observer.name = own.name;
    call.set({ [semconv.MCP_SERVER_NAME]: own.name });
  }

  #late(key: string): void {
    const found = this.#past.find((past) => past.key === key);
    if (!found) return;
    this.#past = this.#past.filter((past) => past !== found);
    found.call.log(SeverityNumber.WARN, "the answer came after the request was cancelled");
    found.call.tellLate();
  }

  #notification(side: Side, method: string, params: unknown, only: Call[] | undefined): void {
    if (method === "notifications/cancelled") {
      const key = keyOf(side, member(params, "requestId"));
      const call = this.#open.get(key);
      if (!call) return;
      this.#past = [...this.#past.slice(1 - MOST_PAST), { key, call }];
      this.#end(key, call, cancelled(text(member(params, "reason"))));
    } else if (side === "server" && method === "notifications/progress") {
      this.#tokens.get(JSON.stringify(member(params, "progressToken")))?.progressed(params);
    } else if (side === "server" && method === "notifications/message") {
      const [data, logger] = [member(params, "data"), text(member(params, "logger"))];
      const body = typeof data === "string" ? data : (JSON.stringify(data) ?? "");
      const severity = SEVERITIES[String(member(params, "level"))] ?? SeverityNumber.INFO;
      const running = only ?? [...this.#open].filter(([key, call]) => key.startsWith("client ") && !call.longLived).map(([, call]) => call);
      for (const call of running.slice(-MOST_LISTENERS)) call.log(severity, body, logger === undefined ? {} : { logger });
    }
  }

  /** Ends a call without an answer, or with one that does not name it. */
  end(call: Call, ending: Ending | { answer: Json }): void {
    for (const [key, other] of this.#open) {
      if (other !== call) continue;
      this.#forget(key, call);
      if ("answer" in ending) call.answered(ending.answer);
      else call.end(ending);
      return;
    }
  }

  /** The transport is over: nothing that is open will be answered. */
  close(reason: string): void {
    for (const [key, call] of [...this.#open]) this.#end(key, call, call.longLived ? over() : broken(reason));
  }

  #end(key: string, call: Call, ending: Ending): void {
    this.#forget(key, call);
    call.end(ending);
  }

  #forget(key: string, call: Call): void {
    this.#open.delete(key);
    if (call.token !== undefined) this.#tokens.delete(call.token);
  }
}
