// Exceptions: which of them a record tells, and as what.

import { inspect } from "node:util";

import { MARGIN } from "./body.js";
import { currentCall } from "./observer.js";
import { semconv } from "./tables.js";

/** The most bytes that are shown of a message, and of a stack. */
const LONGEST = 64 * 1024;
/** What a handler throws to say what the answer is to be. */
const ANSWERS = new Set(["McpError", "ProtocolError", "UrlElicitationRequiredError"]);

/** The name of its class: many do not set theirs. */
const typeOf = (error: Error): string => (error.name === "Error" ? (error.constructor?.name ?? error.name) : error.name);

/** Its type, and where texts are recorded, its message and its stack with its causes. Not redacted yet, and cut a little behind what is shown. */
export function described(error: unknown, hasTexts: boolean): Record<string, string> {
  const said: Record<string, string> = { [semconv.EXCEPTION_TYPE]: error instanceof Error ? typeOf(error) : typeof error };
  if (!hasTexts) return said;
  const message = error instanceof Error ? error.message : inspect(error);
  said[semconv.EXCEPTION_MESSAGE] = String(message).slice(0, LONGEST + MARGIN);
  if (error instanceof Error) said[semconv.EXCEPTION_STACKTRACE] = inspect(error, { maxStringLength: LONGEST }).slice(0, LONGEST + MARGIN);
  return said;
}

/** Has the record of the current call tell what a handler threw. */
function tell(error: unknown): void {
  const call = currentCall.getStore();
  if (!call || (error instanceof Error && ANSWERS.has(typeOf(error)))) return;
  call.observer.safely("an exception could not be recorded", () => call.raised(error));
}

const known = new WeakSet<object>();

/** The same function, whose exceptions the record of the call tells. */
export function telling<F extends (...given: any[]) => any>(run: F): F {
  if (known.has(run)) return run;
  const failed = (error: unknown): never => {
    tell(error);
    throw error;
  };
  const watched = function watched(this: unknown, ...given: unknown[]): unknown {
    try {
      const result: unknown = Reflect.apply(run, this, given);
      return result instanceof Promise ? result.then((value) => value, failed) : result;
    } catch (error) {
      return failed(error);
    }
  } as F;
  known.add(watched);
  return watched;
}
