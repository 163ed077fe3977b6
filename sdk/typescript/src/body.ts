// Bodies: how much of one is held, and how much of that is shown once the secrets are cut out of it.
//
// A text is cut after its secrets are: half of one is not known as one. So a little more is held than is shown, and what is held of
// JSON is JSON again, since some secrets are known only by where they stand.

import { cut, isObject } from "./messages.js";
import type { Redactor } from "./redaction.js";

/** How much more is looked at than is kept, in bytes: longer than any token. */
export const MARGIN = 8 * 1024;
/** How deep JSON may be nested to be gone through; what is deeper is no text that anybody sees. */
const DEEPEST = 200;

/** As much of a body as is held. */
export class Body {
  private constructor(
    readonly text: string,
    /** Of the whole, in bytes. */
    readonly size: number,
    /** How many bytes are kept at most. */
    readonly cap: number,
    /** Whether all of it is held. */
    readonly isWhole: boolean,
  ) {}

  /** Of a value of JSON. */
  static of(value: unknown, cap: number): Body {
    const text = written(value);
    const size = Buffer.byteLength(text);
    if (size <= cap + MARGIN) return new Body(cap > 0 ? text : "", size, cap, true);
    return new Body(cap > 0 ? written(beginningOf(value, cap + MARGIN)) : "", size, cap, false);
  }

  /** Of a text that need not be JSON, of which this much is there. */
  static ofText(text: string, size: number, cap: number): Body {
    const there = Buffer.byteLength(text);
    if (there <= cap + MARGIN) return new Body(cap > 0 ? text : "", Math.max(size, there), cap, there >= size);
    if (/^\s*[{[]/.test(text)) {
      try {
        return new Body(written(beginningOf(JSON.parse(text), cap + MARGIN)), size, cap, false);
      } catch {
        // It only looks like JSON.
      }
    }
    return new Body(cut(text, cap + MARGIN), size, cap, false);
  }

  /** Whether less is kept than there was. */
  get isCut(): boolean {
    return this.size > this.cap || !this.isWhole;
  }

  /** What is kept, without the secrets in it. */
  redacted(redactor: Redactor): string {
    const text = redactor.json(this.text);
    if (!this.isCut) return text;
    // What stands before the end of what was looked at may be half of a secret.
    return cut(text, this.isWhole ? this.cap : Math.min(this.cap, Math.max(0, Buffer.byteLength(text) - MARGIN)));
  }
}

/** At most so many bytes of a text, without the secrets in it. */
export function beginning(text: string, most: number, redactor: Redactor): string {
  if (text.length * 3 <= most || Buffer.byteLength(text) <= most) return redactor.text(text);
  return Body.ofText(text, Buffer.byteLength(text), most).redacted(redactor);
}

const written = (value: unknown): string => JSON.stringify(value) ?? "null";

/** So much of a value, in order, that its text is about so many bytes long, or somewhat longer. */
function beginningOf(value: unknown, room: number): unknown {
  let left = room;
  const taken = (part: unknown, depth: number): unknown => {
    if (typeof part === "string") {
      const kept = part.length * 3 <= left ? part : cut(part, Math.max(left, 0));
      left -= kept.length + 2;
      return kept;
    }
    if (typeof part !== "object" || part === null) {
      left -= 4;
      return part;
    }
    left -= 2;
    if (depth > DEEPEST) return null;
    if (Array.isArray(part)) {
      const items: unknown[] = [];
      for (const item of part) {
        if (left <= 0) break;
        items.push(taken(item, depth + 1));
      }
      return items;
    }
    const members: Record<string, unknown> = Object.create(null);
    for (const [name, member] of Object.entries(isObject(part) ? part : {})) {
      if (left <= 0) break;
      members[taken(name, depth) as string] = taken(member, depth + 1);
    }
    return members;
  };
  return taken(value, 0);
}
