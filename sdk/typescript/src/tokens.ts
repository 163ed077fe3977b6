// Tokens that are known by their shape: the tables of `model/src/redact/shapes.rs` and `patterns.rs`, read by regular expressions.

import { isLot, isSample } from "./looks.js";
import { redaction } from "./tables.js";

export type Cut = [start: number, end: number];

const LOOK = 200;
const CLASSES: Record<string, string> = {
  a: "A-Za-z0-9", A: "A-Z0-9", h: "0-9a-f", H: "0-9A-Fa-f", D: "0-9", w: "A-Za-z0-9_", d: "A-Za-z0-9_=\\-",
  t: "A-Za-z0-9_=.\\-", b: "A-Za-z0-9_=+/\\-", p: "A-Za-z0-9%", _: "_\\-",
  hex: "0-9a-f", upper: "A-Z0-9", word: "A-Za-z0-9_", dashed: "A-Za-z0-9_\\-", dotted: "A-Za-z0-9_.\\-",
  base64: "A-Za-z0-9_+/=%\\-",
};

interface Shape {
  rest: RegExp;
  inside: RegExp;
  drawn: boolean;
  mixed: boolean;
  digit: boolean;
  keepsPrefix: boolean;
  /** Whether it may go on a short word: it is so long and particular that nothing else is written so. */
  loose: boolean;
}

const escaped = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");

function ofClass(name: string, least: number, most: number | null, last: boolean): string {
  const inside = CLASSES[name] ?? "";
  const text = `[${inside}]{${least},${most ?? ""}}`;
  // Behind a token there is no more of its kind; padding may follow.
  return last ? `${text}(?![A-Za-z0-9${inside.replace("=", "")}])` : text;
}

/** The pattern of `{c n-m}` as a regular expression. */
function patternOf(rest: string): string {
  const parts = rest.split(/\{(.)(\d*)(-?)(\d*)\}/);
  let text = escaped(parts[0] ?? "");
  for (let at = 1; at < parts.length; at += 5) {
    const [name = "", least = "", dash = "", most = "", literal = ""] = parts.slice(at, at + 5);
    const from = Number(least || 1);
    text += ofClass(name, from, dash ? (most ? Number(most) : null) : from, at + 5 >= parts.length && !literal) + escaped(literal);
  }
  return rest.endsWith("}") ? text : `${text}(?![A-Za-z0-9])`;
}

function shapesByPrefix(): Map<string, Shape[]> {
  const shapes = new Map<string, Shape[]>();
  const add = (prefix: string, shape: Shape) => shapes.set(prefix, [...(shapes.get(prefix) ?? []), shape]);
  for (const { prefixes, class: of, least, most, mixed, drawn, keepsPrefix } of redaction.shapes) {
    const shape = {
      rest: new RegExp(ofClass(of, least, most, most !== null), "y"), inside: new RegExp(`[${CLASSES[of]}]*`, "y"),
      drawn, mixed, digit: false, keepsPrefix, loose: keepsPrefix || (least >= 20 && !mixed),
    };
    for (const prefix of prefixes) add(prefix, shape);
  }
  for (const { prefix, rest, border } of redaction.patterns) {
    add(prefix, {
      rest: new RegExp(patternOf(rest), "y"), inside: /[^\s"']*/y,
      drawn: false, mixed: false, digit: border === "drawn", keepsPrefix: false, loose: border === "none",
    });
  }
  return shapes;
}

const SHAPES = shapesByPrefix();
const LENGTHS = [...new Set([...SHAPES.keys()].map((prefix) => prefix.length))].sort((one, other) => other - one);
const PREFIX = new RegExp(`(?<![A-Za-z0-9])(?=${trie([...SHAPES.keys()].sort())})`, "g");
const LOOSE = [...SHAPES].filter(([, shapes]) => shapes.some(({ loose }) => loose)).map(([prefix]) => prefix);
// In the middle of a long run of letters anything may stand by chance.
const BLOB = 24;
const RUN = /[A-Za-z0-9_.-]{20,}/g;
const WEB_HEADER = /(?<![A-Za-z0-9])eyJ[A-Za-z0-9_-]{8,}/;
// As long as the shortest of those that may go on a word.
const LONG_RUN = /[A-Za-z0-9_.=+/%-]{22}/;
const SHORTEST = 14;
const PRIVATE_KEY = /-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----[^]*?(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|$(?![^]))/g;
const TELEGRAM = /(?<![0-9])[0-9]{8,10}:AA[A-Za-z0-9_-]{31,38}(?![A-Za-z0-9_-])/g;

/** An expression that finds the words without trying each of them everywhere. */
function trie(words: string[]): string {
  const groups = new Map<string, string[]>();
  for (const word of words) groups.set(word.slice(0, 1), [...(groups.get(word.slice(0, 1)) ?? []), word.slice(1)]);
  const branches = [...groups].filter(([first]) => first).map(([first, rest]) => escaped(first) + (rest.some(Boolean) ? trie(rest) : ""));
  return `(?:${branches.join("|")})${groups.has("") ? "?" : ""}`;
}

/** Where the token of a shape ends whose prefix ends at `at`. */
function endOf(shape: Shape, text: string, at: number): number | undefined {
  // What is looked at is bounded, so that a long text that is no token is not gone through for each beginning of one in it.
  const near = text.slice(at, at + LOOK);
  shape.inside.lastIndex = 0;
  const look = shape.inside.exec(near)?.[0] ?? "";
  if (shape.mixed && !(/[0-9]|[a-z][A-Z]/.test(look) && /[A-Za-z]/.test(look))) return undefined;
  if (shape.drawn && !isLot(look.slice(0, 64))) return undefined;
  if (shape.digit && !/[0-9]/.test(look)) return undefined;
  shape.rest.lastIndex = at;
  const found = shape.rest.exec(text);
  if (!found) return undefined;
  let end = at + found[0].length;
  while (end - at > 1 && text[end - 1] === ".") end -= 1;
  return end;
}

/** The longest token that begins with this prefix. */
function tokenAt(text: string, start: number, prefix: string, loosely: boolean): Cut | undefined {
  const from = start + prefix.length;
  let best: Cut | undefined;
  for (const shape of SHAPES.get(prefix) ?? []) {
    if (loosely && !shape.loose) continue;
    const end = endOf(shape, text, from);
    if (end !== undefined && (!best || end > best[1])) best = [shape.keepsPrefix ? from : start, end];
  }
  return best;
}

/** Where tokens are. */
export function findTokens(text: string): Cut[] {
  if (text.length < SHORTEST) return [];
  const cuts: Cut[] = [];
  let covered = 0;
  for (const { index: start } of text.matchAll(PREFIX)) {
    if (start < covered) continue;
    for (const length of LENGTHS) {
      const prefix = text.slice(start, start + length);
      const token = SHAPES.has(prefix) ? tokenAt(text, start, prefix, false) : undefined;
      if (!token) continue;
      covered = token[1];
      if (!isSample(text.slice(start + length, token[1]))) cuts.push(token);
      break;
    }
  }
  for (const prefix of LONG_RUN.test(text) ? LOOSE : []) {
    covered = 0;
    for (let start = text.indexOf(prefix); start >= 0; start = text.indexOf(prefix, Math.max(start + 1, covered))) {
      const word = text.slice(Math.max(0, start - BLOB), start);
      const isInside = /[A-Za-z0-9]$/.test(word) && !(word.length === BLOB && /^[A-Za-z0-9_+/]+$/.test(word));
      const token = isInside ? tokenAt(text, start, prefix, true) : undefined;
      if (!token) continue;
      covered = token[1];
      if (!isSample(text.slice(start + prefix.length, token[1]))) cuts.push(token);
    }
  }
  const all = (expression: RegExp) => [...text.matchAll(expression)].map(({ index, 0: found }): Cut => [index, index + found.length]);
  if (text.includes("eyJ")) cuts.push(...webTokens(text));
  if (text.includes(":AA")) cuts.push(...all(TELEGRAM));
  if (text.includes("-----BEGIN ")) cuts.push(...all(PRIVATE_KEY));
  return cuts;
}

/** JSON web tokens, signed or encrypted: two parts or more, the first of which says that it is an object. */
function webTokens(text: string): Cut[] {
  const cuts: Cut[] = [];
  for (const { index, 0: run } of text.matchAll(RUN)) {
    const whole = run.replace(/\.+$/, "");
    const parts = whole.split(".");
    let at = index;
    for (const [number, part] of parts.slice(0, -1).entries()) {
      const next = parts[number + 1] ?? "";
      const header = next.length >= 8 || (next === "" && parts.length >= number + 5) ? WEB_HEADER.exec(part) : null;
      if (header) {
        cuts.push([at + header.index, index + whole.length]);
        break;
      }
      at += part.length + 1;
    }
  }
  return cuts;
}
