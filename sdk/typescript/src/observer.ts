// What an instrumented server is watched by: its settings, where records go, and its conversations.

import { AsyncLocalStorage } from "node:async_hooks";

import type { Attributes, SpanContext } from "@opentelemetry/api";

import { Budget } from "./budget.js";
import type { Call } from "./call.js";
import type { Capture } from "./capture.js";
import { Conversation } from "./conversation.js";
import { complain } from "./complaint.js";
import { Running } from "./running.js";
import type { Telemetry } from "./telemetry.js";

/** How many sessions are remembered; the least used are forgotten. One that a client ends stays: a cancellation may follow. */
const MOST_SESSIONS = 10_000;

/** How many bytes open calls hold together, with what of HTTP bodies is being read. */
const OPEN_BYTES = 64 << 20;

/** The call that is being handled. */
export const currentCall = new AsyncLocalStorage<Call>();

/** What the transport knows of a message besides its text. */
export interface Carrier {
  attributes: Attributes;
  session?: string | undefined;
  version?: string | undefined;
  headerParent?: SpanContext | undefined;
  /** All of them, for the functions of the application; only some are recorded. */
  headers?: Record<string, string>;
  /** Whether it is the body of an HTTP request, whose answer has the answer. */
  isHttp?: boolean;
}

/** A request as the functions of the application see it. */
export interface Incoming {
  method: string;
  /** The tool, prompt or resource. */
  target?: string | undefined;
  params: Record<string, unknown>;
  /** Of the HTTP request, by names in lower case; none over stdio. */
  headers: Record<string, string>;
}

/** Asked who sent a request: gives an id, or attributes. */
export type Caller = (incoming: Incoming) => Attributes | string | undefined;

export class Observer {
  readonly running = new Running();
  /** Whether console output belongs to its calls. */
  hearsConsole = true;
  readonly openBytes = new Budget(OPEN_BYTES);
  readonly #sessions = new Map<string, Conversation>();
  #hasFailed = false;
  #said = new Set<string>();

  constructor(
    readonly telemetry: Telemetry,
    readonly capture: Capture,
    /** The server's name; undefined until it says it, where nobody gave one. */
    public name: string | undefined,
    readonly caller: Caller | undefined,
  ) {}

  /** The conversation of a session that has this id on the wire. */
  session(id: string): Conversation {
    const found = this.#sessions.get(id) ?? new Conversation(this, id);
    this.beginSession(id, found);
    return found;
  }

  /** The server gave a conversation an id. */
  beginSession(id: string, conversation: Conversation): void {
    conversation.session = id;
    this.#sessions.delete(id);
    this.#sessions.set(id, conversation);
    const [oldest] = this.#sessions.keys();
    if (this.#sessions.size > MOST_SESSIONS && oldest !== undefined) this.#sessions.delete(oldest);
  }

  /** What the application says of the caller. */
  who(incoming: Incoming): Attributes {
    try {
      const said = this.caller?.(incoming);
      return typeof said === "string" ? { "enduser.id": said } : { ...said };
    } catch (error) {
      this.failed("the hook that names callers failed", error);
      return {};
    }
  }

  /** What the application adds to the attributes of a request. */
  tags(incoming: Incoming): Attributes {
    return (this.safely("tagWith failed", () => ({ ...this.capture.tagWith?.(incoming) })) ?? {}) as Attributes;
  }

  /** Says once that open calls hold as much as they may. */
  full(): void {
    this.#say("the calls that are open hold as much as they may together; of some not everything is recorded");
  }

  /** Says once that attributes came after the end of their call. */
  tooLate(): void {
    this.#say("attributes were set after their call had been answered; they are not recorded");
  }

  #say(said: string): void {
    if (this.#said.has(said)) return;
    this.#said.add(said);
    complain(said);
  }

  /** Says once that something here went wrong; the server goes on. */
  failed(what: string, error: unknown): void {
    if (this.#hasFailed) return;
    this.#hasFailed = true;
    complain(`${what}; the server is not concerned: ${error instanceof Error ? error.stack : String(error)}`);
  }

  /** Does something that may not disturb the server. */
  safely<T>(what: string, act: () => T): T | undefined {
    try {
      return act();
    } catch (error) {
      this.failed(what, error);
      return undefined;
    }
  }
}
