// Console output: lines on standard output and error, while a call is handled.

import { SeverityNumber } from "@opentelemetry/api-logs";

import type { Call } from "./call.js";
import { currentCall } from "./observer.js";

/** The longest beginning of a line that is kept until the line ends, in characters: somewhat longer than what is shown of it. */
const LONGEST_LINE = 96 * 1024;

const begun = new WeakMap<Call, Map<string, string>>();
let isInstalled = false;
let transportWrites = 0;

/** What is written meanwhile is the transport's, and no output. */
export function asTransport<T>(write: () => T): T {
  transportWrites += 1;
  try {
    return write();
  } finally {
    transportWrites -= 1;
  }
}

/** Watches both streams, once in a process. They stay what they are, and what is written passes as it is. */
export function installConsole(): void {
  if (isInstalled) return;
  isInstalled = true;
  for (const name of ["stdout", "stderr"] as const) {
    const stream = process[name];
    const write = stream.write as (...given: unknown[]) => boolean;
    stream.write = function watched(this: unknown, ...given: unknown[]): boolean {
      const written = write.apply(stream, given);
      const call = currentCall.getStore();
      const [chunk] = given;
      if (call?.observer.hearsConsole && !call.isOver && transportWrites === 0 && (typeof chunk === "string" || chunk instanceof Uint8Array)) {
        call.observer.safely("a line of output could not be recorded", () => lines(call, name, typeof chunk === "string" ? chunk : Buffer.from(chunk).toString()));
      }
      return written;
    } as typeof stream.write;
  }
}

function lines(call: Call, name: string, text: string): void {
  const rests = begun.get(call) ?? new Map<string, string>();
  begun.set(call, rests);
  const found = text.split("\n");
  const rest = found.pop() ?? "";
  let before = rests.get(name) ?? "";
  if (found.length > 0) [found[0], before] = [joined(before, found[0] ?? ""), ""];
  rests.set(name, joined(before, rest));
  for (const line of found) if (line.trim()) call.log(SeverityNumber.INFO, line.replace(/\r$/, ""), { "log.iostream": name });
}

/** A line as it goes on, as far as it is kept. */
const joined = (before: string, text: string): string => before + text.slice(0, Math.max(0, LONGEST_LINE - before.length));
