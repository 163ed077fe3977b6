// The attributes that the application's code sets on its call. They wait until the call ends: what the record itself says has its place
// before them.

import type { Attributes, AttributeValue } from "@opentelemetry/api";

import { semconv } from "./tables.js";

/** The most bytes that those of one call take, names and values; and the most names. */
export const MOST_BYTES = 64 * 1024;
export const MOST_NAMES = 64;

/** The attributes of one call. */
export class Given {
  readonly #attributes = new Map<string, { value: AttributeValue; size: number }>();
  #dropped = 0;
  #most = 0;

  get #bytes(): number {
    let bytes = 0;
    for (const { size } of this.#attributes.values()) bytes += size;
    return bytes;
  }

  /** How many bytes more than ever before they take with one of this size, at most. */
  more(size: number): number {
    const before = this.#most;
    this.#most = Math.max(before, Math.min(MOST_BYTES, this.#bytes + size));
    return this.#most - before;
  }

  /** Sets one, in place of one of that name. */
  put(name: string, value: AttributeValue, size: number): void {
    // An old value is not left where a new one does not fit.
    this.#attributes.delete(name);
    if (this.#bytes + size > MOST_BYTES || this.#attributes.size >= MOST_NAMES) this.#dropped += 1;
    else this.#attributes.set(name, { value, size });
  }

  /** Notes that there was no room for a value; an old one of that name goes, too. */
  drop(name: string): void {
    this.#attributes.delete(name);
    this.#dropped += 1;
  }

  /** What was set so far, besides what the record itself says. */
  all(own: Set<string>): Attributes {
    const given: Attributes = {};
    for (const [name, { value }] of this.#attributes) if (!own.has(name)) given[name] = value;
    return this.#dropped > 0 ? { ...given, [semconv.MCPTAP_DROPPED_ATTRIBUTES]: this.#dropped } : given;
  }
}
