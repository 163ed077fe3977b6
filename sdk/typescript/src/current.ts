// The call that code runs in, for the code itself.

import { type Context, context, propagation, type TextMapPropagator, type TextMapSetter, trace } from "@opentelemetry/api";
import { W3CBaggagePropagator, W3CTraceContextPropagator } from "@opentelemetry/core";

import type * as own from "./call.js";
import { currentCall } from "./observer.js";

const CALLER = "enduser.id";

/** What carries a trace to another server: headers of an HTTP request, or the `_meta` of a request of MCP. */
export type Outgoing = Record<string, unknown> | Headers | Map<string, string>;

const setter: TextMapSetter<Outgoing> = {
  set(into, name, value) {
    if (into instanceof Headers || into instanceof Map) into.set(name, value);
    else into[name] = value;
  },
};

const traceOf = (of: Context): string | undefined => trace.getSpanContext(of)?.traceId;

/**
 * The call that the current code runs in. It goes along to promises, timers and callbacks that a tool begins. To code that others begin,
 * such as a pool's or an emitter's, it is taken with {@link Call.run}. Nothing here throws, whatever it is given: standard error says
 * what could not be recorded.
 */
export class Call {
  readonly #own: own.Call;

  private constructor(call: own.Call) {
    this.#own = call;
  }

  /** The call that is handled here. Undefined outside of calls, where nothing is instrumented, and where nobody takes records. */
  static current(): Call | undefined {
    const call = currentCall.getStore();
    return call && new Call(call);
  }

  /**
   * Sets an attribute of the call, in place of one that was set with that name. What is no value of attributes, such as an object, is
   * written as JSON. Secrets are cut out of it; after the end of the call nothing happens, and standard error says so once.
   *
   * Of each call 64 names and 64 KiB are kept; `mcptap.dropped_attributes` counts the values that there was no room for. What the
   * record says by itself, such as `error.type`, stays as it is.
   */
  set(key: string, value: unknown): void {
    this.#own.observer.safely("an attribute could not be set", () => this.#own.give(key, value));
  }

  /** Says who calls: the id of a user or an account, as the attribute `enduser.id`. */
  caller(id: string): void {
    this.set(CALLER, id);
  }

  /**
   * Records an error, as the event `exception`: its type, its message and its stack, with its causes. Those that leave a handler are
   * recorded by themselves; this is for what a tool handles itself. Message and stack are cut at 64 KiB each, secrets are cut out of
   * both, and where bodies of the call are not kept, the type alone is recorded. How the call ends is said by its answer all the same.
   */
  exception(error: unknown): void {
    this.#own.observer.safely("an exception could not be recorded", () => this.#own.raised(error));
  }

  /**
   * Writes the trace and the baggage into what goes out to another server: the headers of an HTTP request, or the `_meta` of a request
   * of MCP. What is asked there is then below the call, or below the span that is current in it. Gives back what it was given.
   */
  inject<T extends Outgoing>(into: T): T {
    this.#own.observer.safely("a trace could not be injected", () => {
      const [current, mine] = [context.active(), this.#own.context];
      const from = traceOf(current) === traceOf(mine) ? current : mine;
      for (const propagator of [new W3CTraceContextPropagator(), new W3CBaggagePropagator()] as TextMapPropagator[]) propagator.inject(from, into, setter);
      propagation.inject(from, into, setter);
    });
    return into;
  }

  /** Runs a function within the call, whoever calls it. */
  run<A extends unknown[], R>(act: (...given: A) => R, ...given: A): R {
    return currentCall.run(this.#own, () => context.with(this.#own.context, () => act(...given)));
  }
}
