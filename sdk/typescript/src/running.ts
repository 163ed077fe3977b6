// Requests that run: each is announced once it has run for a second, and its process says that it lives for as long as there are
// such. A span is sent when it ends, so a request that hangs, or whose process is killed, would never be seen.

import type { Call } from "./call.js";
import { outside } from "./outside.js";

/** Times in milliseconds; tests shorten them. */
export const TIMES = { announcedAfter: 1000, heartbeat: 10_000, namedAfter: 60_000 };
/** How many of the ended requests one heartbeat names, and how many requests are watched or remembered. */
const NAMED_AT_ONCE = 512;
const MOST = 8192;

export class Running {
  readonly #begun = new Map<Call, number>();
  readonly #announced = new Set<Call>();
  #ended: { at: number; span: string }[] = [];
  #beaten = 0;
  #timer: NodeJS.Timeout | undefined;

  add(call: Call): void {
    if (this.#begun.size >= MOST) return;
    this.#begun.set(call, Date.now() + TIMES.announcedAfter);
    if (!this.#timer) this.#wait();
  }

  /** Notes that a request has ended. */
  ended(call: Call): void {
    this.#begun.delete(call);
    if (!this.#announced.delete(call)) return;
    this.#ended.push({ at: Date.now(), span: call.spanId });
    if (this.#ended.length > MOST) this.#ended.shift();
  }

  #wait(): void {
    const [due] = this.#begun.values();
    const beat = this.#announced.size > 0 ? this.#beaten + TIMES.heartbeat : undefined;
    const next = Math.min(due ?? Number.POSITIVE_INFINITY, beat ?? Number.POSITIVE_INFINITY);
    this.#timer = undefined;
    if (next === Number.POSITIVE_INFINITY) return;
    this.#timer = outside(() => setTimeout(() => this.#look(), Math.max(50, next - Date.now())));
    // It keeps no process alive.
    this.#timer.unref();
  }

  #look(): void {
    const now = Date.now();
    for (const [call, due] of this.#begun) {
      if (due > now) break;
      this.#begun.delete(call);
      if (this.#announced.size === 0) this.#beaten = now;
      this.#announced.add(call);
      call.announce();
    }
    const [alive] = this.#announced;
    if (alive && now - this.#beaten >= TIMES.heartbeat) {
      this.#beaten = now;
      alive.beat(this.#named(now));
    }
    this.#wait();
  }

  /** Those that the next heartbeat names, in turn: the end of each may have been lost on its way. */
  #named(now: number): string[] {
    const named = this.#ended.filter(({ at }) => at + TIMES.namedAfter <= now).slice(0, NAMED_AT_ONCE);
    this.#ended = [...this.#ended.slice(named.length), ...named];
    return named.map(({ span }) => span);
  }
}
