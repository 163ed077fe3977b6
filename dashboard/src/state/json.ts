/** A JSON value that keeps what `JSON.parse` loses: every digit of a number, and double members. */
export type Json =
  | { kind: "object"; members: { key: string; value: Json }[]; cut: boolean }
  | { kind: "list"; items: Json[]; cut: boolean }
  | { kind: "text"; value: string; cut: boolean }
  | { kind: "word"; value: string };

/** Nested deeper than this, a value is shown as text. */
const maxDepth = 500;

/**
 * Reads JSON, also JSON that was cut off: what is open at the end is marked as cut. Undefined where the text is no
 * JSON at all.
 */
export function readJson(text: string): Json | undefined {
  const reader = new Reader(text);
  try {
    const value = reader.value(0);
    return reader.done() ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Whether a string may hold JSON itself, as the text of many tool results does. */
export function holdsJson(value: string): boolean {
  return /^\s*[[{]/.test(value) && /[\]}]\s*$/.test(value);
}

class Reader {
  private at = 0;
  private readonly plain = /[^"\\]*/y;
  private readonly word = /-?[0-9][0-9eE.+-]*|true|false|null/y;
  private readonly space = /[ \t\r\n]*/y;

  constructor(private readonly text: string) {}

  done(): boolean {
    this.skip();
    return this.at >= this.text.length;
  }

  value(depth: number): Json {
    if (depth > maxDepth) throw new Error("too deep");
    this.skip();
    switch (this.text[this.at]) {
      case "{":
        return this.object(depth);
      case "[":
        return this.list(depth);
      case '"':
        return this.string();
      default: {
        this.word.lastIndex = this.at;
        const found = this.word.exec(this.text)?.[0];
        if (found === undefined) throw new Error("no value");
        this.at += found.length;
        return { kind: "word", value: found };
      }
    }
  }

  private object(depth: number): Json {
    const members: { key: string; value: Json }[] = [];
    this.at++;
    if (this.take("}")) return { kind: "object", members, cut: false };
    while (!this.done()) {
      const key = this.string();
      if (key.kind !== "text" || key.cut || !this.take(":") || this.done()) break;
      const value = this.rest(depth);
      if (!value) break;
      members.push({ key: key.value, value });
      if (this.take("}")) return { kind: "object", members, cut: false };
      if (!this.take(",") && !this.done()) throw new Error("no comma");
    }
    if (!this.done()) throw new Error("no colon");
    return { kind: "object", members, cut: true };
  }

  private list(depth: number): Json {
    const items: Json[] = [];
    this.at++;
    if (this.take("]")) return { kind: "list", items, cut: false };
    while (!this.done()) {
      const value = this.rest(depth);
      if (!value) break;
      items.push(value);
      if (this.take("]")) return { kind: "list", items, cut: false };
      if (!this.take(",") && !this.done()) throw new Error("no comma");
    }
    return { kind: "list", items, cut: true };
  }

  /** A value inside another. Undefined where the text ends in the middle of a word. */
  private rest(depth: number): Json | undefined {
    const left = this.text.length - this.at;
    if (left < 5 && /^(t|tr|tru|f|fa|fal|fals|n|nu|nul|-)$/.test(this.text.slice(this.at))) {
      this.at = this.text.length;
      return undefined;
    }
    return this.value(depth + 1);
  }

  private string(): Json {
    this.skip();
    if (this.text[this.at] !== '"') throw new Error("no string");
    const from = this.at++;
    for (;;) {
      this.plain.lastIndex = this.at;
      this.at += this.plain.exec(this.text)?.[0].length ?? 0;
      const next = this.text[this.at];
      if (next === '"') {
        this.at++;
        const value: unknown = JSON.parse(this.text.slice(from, this.at).replace(/[\n\r\t]/g, " "));
        return { kind: "text", value: String(value), cut: false };
      }
      if (next === undefined) {
        // half an escape at the very end is left out
        const kept = this.text.slice(from + 1).replace(/\\(u[0-9a-fA-F]{0,3})?$/, "");
        this.at = this.text.length;
        return { kind: "text", value: String(JSON.parse(`"${kept}"`)), cut: true };
      }
      this.at += 2;
    }
  }

  private take(wanted: string): boolean {
    this.skip();
    if (this.text[this.at] !== wanted) return false;
    this.at++;
    return true;
  }

  private skip(): void {
    this.space.lastIndex = this.at;
    this.at += this.space.exec(this.text)?.[0].length ?? 0;
  }
}

/** The text of a value as JSON, indented by two spaces. */
export function writeJson(value: Json, indent = ""): string {
  const inner = `${indent}  `;
  switch (value.kind) {
    case "object": {
      if (value.members.length === 0) return "{}";
      const members = value.members.map(
        ({ key, value: member }) => `${inner}${JSON.stringify(key)}: ${writeJson(member, inner)}`,
      );
      return `{\n${members.join(",\n")}\n${indent}}`;
    }
    case "list":
      if (value.items.length === 0) return "[]";
      return `[\n${value.items.map((item) => inner + writeJson(item, inner)).join(",\n")}\n${indent}]`;
    case "text":
      return JSON.stringify(value.value);
    case "word":
      return value.value;
  }
}
