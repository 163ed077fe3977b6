// The open requests of one conversation, and which of them a message is about.

import type { Call } from "./call.js";
import { digits, exact } from "./ids.js";

export type Side = "client" | "server";

/** The stream that a message came on, and so which open requests it can be about. */
export interface Scope {
  /** Those that it is about first: of the HTTP request in whose answer, or with which, it came. */
  own: readonly Call[];
  /**
   * `only`: there is no other stream. `answer`: the body of an HTTP answer, which is about its own requests alone. `session`: another
   * stream of a session.
   */
  kind: "only" | "answer" | "session";
}

export const ONLY: Scope = { own: [], kind: "only" };

const named = (side: Side, id: unknown): string => `${side} ${digits(id)}`;

/** Requests that are open. A client that pools a session may have several open with one id. */
export class OpenRequests {
  // In the order in which they began.
  readonly #calls = new Set<Call>();
  readonly #named = new Map<string, Call[]>();
  readonly #tokens = new Map<string, Call[]>();

  get size(): number {
    return this.#calls.size;
  }

  [Symbol.iterator](): IterableIterator<Call> {
    return [...this.#calls].values();
  }

  add(call: Call): void {
    this.#calls.add(call);
    put(this.#named, named(call.side, call.id), call);
    if (call.token !== undefined) put(this.#tokens, call.token, call);
  }

  /** Whether it was open. */
  remove(call: Call): boolean {
    if (!this.#calls.delete(call)) return false;
    drop(this.#named, named(call.side, call.id), call);
    if (call.token !== undefined) drop(this.#tokens, call.token, call);
    return true;
  }

  /** Whether one is open with this id, at least by its digits. */
  has(side: Side, id: unknown): boolean {
    return this.#named.has(named(side, id));
  }

  /**
   * What a message on this stream is about that names a request: none, one, or several of which nothing on the wire tells which is
   * meant. What `mayBeAwaited` allows are requests whose answers come in HTTP answers of their own.
   */
  find(side: Side, id: unknown, { own, kind }: Scope, mayBeAwaited: boolean): Call[] {
    const all = this.#named.get(named(side, id)) ?? [];
    const mine = narrowed(all.filter((call) => own.includes(call)), id);
    if (mine.length > 0 || kind === "answer") return mine.slice(0, 1);
    const found = narrowed(all.filter((call) => mayBeAwaited || !call.isAwaited), id);
    // What a body is still awaited for will be answered there, unless nothing else can be meant.
    const free = found.filter((call) => !call.isAwaited);
    return free.length > 0 ? free : found;
  }

  /** The request that a token of progress was given with, where only one can be meant. */
  withToken(token: unknown, { own, kind }: Scope): Call | undefined {
    const all = this.#tokens.get(exact(token)) ?? [];
    const mine = all.find((call) => own.includes(call));
    if (mine || kind === "answer") return mine;
    const free = all.filter((call) => !call.isAwaited);
    const [one, ...others] = free.length > 0 ? free : all;
    return others.length === 0 ? one : undefined;
  }
}

function narrowed(calls: Call[], id: unknown): Call[] {
  const same = calls.filter((call) => exact(call.id) === exact(id));
  return same.length > 0 ? same : calls;
}

function put(lists: Map<string, Call[]>, name: string, call: Call): void {
  const list = lists.get(name);
  if (list) list.push(call);
  else lists.set(name, [call]);
}

function drop(lists: Map<string, Call[]>, name: string, call: Call): void {
  const left = (lists.get(name) ?? []).filter((other) => other !== call);
  if (left.length > 0) lists.set(name, left);
  else lists.delete(name);
}
