// Secrets, cut out of texts before they leave the process.
//
// The rules are a part of those of the collector, over the same table: tokens by their shape, values under the names of secrets,
// credentials behind their scheme, passwords in URLs, private keys, and what the operator adds. The collector goes over
// everything again when it comes.

import { complain } from "./complaint.js";
import { isDrawn, isLot, isPlaceholder } from "./looks.js";
import { isCut, isSecret, isSecretNumber, keyOf, namer, type Kind } from "./names.js";
import { redaction } from "./tables.js";
import { findTokens, type Cut } from "./tokens.js";

/** The text that replaces a secret. */
export const REDACTED = redaction.marker;
const CHALLENGE = new Set(redaction.challenge);
/** How many strings of JSON inside strings of JSON are read. */
const DEEPEST = 6;
/** How deep JSON may be nested to be walked; what is deeper is cut. */
const DEEPEST_TREE = 200;

const CREDENTIAL = /(?<![A-Za-z0-9_])(?:bearer|basic)(?:[\s+]+|%20)(?=([A-Za-z0-9._~+/=%-]{8,}))\1(?!…)/dgi;
const URL_USER = /:\/\/([^\s/?#"'\\<>`:@]*)(?::([^\s/?#"'\\<>`]*))?@/dg;
const SIGNATURE = /(?<![A-Za-z0-9_])(?:sig|signature)=([A-Za-z0-9%+/=_-]{16,})/dgi;
const CURL = /\bcurl\b[^\n]{0,120}? (?:-u|--user|--proxy-user)[ =]?["']?[^\s:"']+:([^\s"'\\]{3,})/dg;
const SIGN = String.raw`(\\?["']?[ \t]{0,3}(?:=>|:=|[=:])[ \t]{0,3})`;
// The last two are of a text that was cut within a value.
const VALUE = String.raw`(?:\\?"((?:[^"\\]|\\.)*)\\?"|\\?'([^'\\]*)\\?'|([^\s"'\\,;&<>{}()\[\]]+)|\\?"((?:[^"\\]|\\.)*)\\?$|\\?'([^'\\]*)\\?$)`;
const PAIR = new RegExp(String.raw`(?<![\p{L}\p{N}_\-])(--?)?([\p{L}_][\p{L}\p{M}\p{N}_.\-]{1,79})${SIGN}${VALUE}`, "dgu");
const SPACED = new Map(redaction.spaced.map(({ name, kind }) => [name, kind as Kind]));
const SPACED_PAIR = new RegExp(String.raw`(?<![\p{L}\p{N}_\-])()(${[...SPACED.keys()].join("|")})${SIGN}${VALUE}`, "dgiu");
const BEHIND_SCHEME = /[ \t]+([^\s"'\\,;<>{}[\]]+)/y;
const FLAG = /(?<![A-Za-z0-9_-])--?([A-Za-z][A-Za-z0-9-]{1,60}) +(?:"([^"]*)"|'([^']*)'|([^\s"'-][^\s"']*)|"([^"]*)$|'([^']*)$)/dg;

/** A rule of the operator's that cannot be kept; it says what would be right. */
export class BadRule extends Error {}

/** What the operator adds to the built-in rules. */
export interface Rules {
  /** Names whose values are cut, whatever they are. */
  keys?: string[];
  /** Regular expressions of what is cut. */
  patterns?: string[];
  /** Secret values of at least 6 bytes, by the names that they are known by. They are cut in whatever form they leak. */
  values?: Record<string, string>;
}

/** A function of the application over a text; undefined leaves it. */
type Then = (text: string) => string | undefined;
let hasFailed = false;

/** Cuts secrets out, by the built-in rules and these. */
export class Redactor {
  readonly #rules: Rules;
  readonly #kind: (name: string) => Kind | undefined;
  readonly #patterns: RegExp[];
  readonly #values: RegExp | undefined;

  #then: Then | undefined;

  constructor(rules: Rules = {}) {
    const { keys = [], patterns = [], values = {} } = rules;
    this.#rules = rules;
    for (const key of keys) {
      if (!/[\p{L}\p{N}]/u.test(key)) throw new BadRule(`the redaction key ${JSON.stringify(key)} is no name; give the name of a key, such as ssn`);
    }
    this.#kind = namer(new Set(keys.map(keyOf)));
    this.#patterns = patterns.map(compiled);
    const forms = new Set<string>();
    for (const [name, value] of Object.entries(values)) {
      const bytes = Buffer.byteLength(value);
      if (bytes < redaction.shortestValue) {
        throw new BadRule(
          `the value of ${name} has ${bytes} bytes, and one so short would be cut out of everything; only values of at least ${redaction.shortestValue} bytes can be redacted`,
        );
      }
      if (REDACTED.includes(value)) throw new BadRule(`the value of ${name} is part of "${REDACTED}", which stands in the place of secrets`);
      for (const form of formsOf(value)) forms.add(form);
    }
    const longestFirst = [...forms].sort((one, other) => other.length - one.length);
    const escaped = longestFirst.map((form) => form.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"));
    this.#values = escaped.length > 0 ? new RegExp(escaped.join("|"), "g") : undefined;
  }

  /** The same rules, and then this function over each text; what it fails on is not kept. */
  followedBy(then: Then | undefined): Redactor {
    if (!then) return this;
    const followed = new Redactor(this.#rules);
    followed.#then = then;
    return followed;
  }

  #follow(text: string): string {
    if (!this.#then) return text;
    try {
      return this.#then(text) ?? text;
    } catch (error) {
      if (!hasFailed) complain(`redactWith failed: the text is not recorded, and neither is one on which it fails again: ${String(error)}`);
      hasFailed = true;
      return REDACTED;
    }
  }

  #followAll(value: unknown): unknown {
    if (!this.#then) return value;
    if (typeof value === "string") return this.#follow(value);
    if (Array.isArray(value)) return value.map((item) => this.#followAll(item));
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, this.#followAll(member)]));
  }

  /** The text without the secrets in it. */
  text(text: string): string {
    return this.#follow(this.#text(text, 0));
  }

  /** A value of JSON without the secrets in it; the same object where there are none. */
  value<T>(value: T): T {
    return this.#followAll(this.#value(value, undefined, 0, 0)) as T;
  }

  /** A text of JSON without the secrets in it: JSON afterwards, too. What is no JSON is redacted as text. */
  json(text: string): string {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      return this.text(text);
    }
    const redacted = this.#value(value, undefined, 0, 0);
    return this.#follow(redacted === value ? text : JSON.stringify(redacted));
  }

  #value(value: unknown, kind: Kind | undefined, depth: number, inside: number): unknown {
    if (depth > DEEPEST_TREE) return REDACTED;
    if (typeof value === "string") return kind && isSecret(kind, value) ? REDACTED : this.#text(value, inside);
    if (typeof value === "number") return kind && isSecretNumber(kind, value) ? REDACTED : value;
    if (Array.isArray(value)) return this.#items(value, kind, depth, inside);
    if (typeof value === "object" && value !== null) return this.#members(value as Record<string, unknown>, kind, depth, inside);
    return value;
  }

  #members(value: Record<string, unknown>, kind: Kind | undefined, depth: number, inside: number): unknown {
    let changed = false;
    const redacted: Record<string, unknown> = Object.create(null);
    // `{"name": "API_KEY", "value": "…"}`: an environment, headers, a form.
    const told = value["name"] ?? value["key"];
    const toldKind = typeof told === "string" && "value" in value ? this.#kind(told) : undefined;
    for (const [name, member] of Object.entries(value)) {
      const own = this.#kind(name) ?? (name === "value" ? toldKind : undefined) ?? (kind === "token" ? undefined : kind);
      const keptName = this.#text(name, inside);
      const kept = this.#value(member, own, depth + 1, inside);
      changed ||= kept !== member || keptName !== name;
      redacted[keptName] = kept;
    }
    return changed ? redacted : value;
  }

  #items(value: unknown[], kind: Kind | undefined, depth: number, inside: number): unknown[] {
    let flag: Kind | undefined;
    const redacted = value.map((item) => {
      const kept = this.#value(item, flag ?? kind, depth + 1, inside);
      const isFlag = typeof item === "string" && item.startsWith("-") && !item.includes("=");
      flag = isFlag ? this.#kind(item.replace(/^-+/, "")) : undefined;
      // A flag of a command is nobody's word.
      if (flag === "token") flag = "secret";
      return kept;
    });
    return redacted.every((item, at) => item === value[at]) ? value : redacted;
  }

  #text(text: string, inside: number): string {
    if (text.length < 4) return text;
    if (inside < DEEPEST && /^[{["]/.test(text) && /[}\]"]$/.test(text)) {
      try {
        const value: unknown = JSON.parse(text);
        const redacted = this.#value(value, undefined, 0, inside + 1);
        return redacted === value ? text : JSON.stringify(redacted);
      } catch {
        // It only looks like JSON.
      }
    }
    const cuts = [...findTokens(text), ...credentials(text), ...this.#pairs(text), ...this.#operators(text)];
    if (cuts.length === 0) return text;
    let [kept, at] = ["", 0];
    for (const [start, end] of cuts.sort(([one], [other]) => one - other)) {
      if (start >= at) kept += text.slice(at, start) + REDACTED;
      at = Math.max(at, end);
    }
    return kept + text.slice(at);
  }

  #operators(text: string): Cut[] {
    const expressions = this.#values ? [...this.#patterns, this.#values] : this.#patterns;
    return expressions.flatMap((expression) =>
      [...text.matchAll(expression)].filter(([found]) => found && found !== REDACTED).map(({ index, 0: found }): Cut => [index, index + found.length]),
    );
  }

  #pairs(text: string): Cut[] {
    const cuts: Cut[] = [];
    for (const found of text.matchAll(PAIR)) cuts.push(...pair(found, this.#kind(found[2] ?? ""), text));
    for (const found of text.matchAll(SPACED_PAIR)) cuts.push(...pair(found, SPACED.get((found[2] ?? "").toLowerCase()), text));
    for (const found of text.matchAll(FLAG)) {
      const given = this.#kind(found[1] ?? "");
      const kind = given === "token" ? "secret" : given;
      const at = [2, 3, 4, 5, 6].find((group) => found[group] !== undefined) ?? 4;
      const [span, value = ""] = [found.indices?.[at], found[at]];
      const isWritten = given === "token" && at === 4 && !(isDrawn(value) && /[0-9]/.test(value));
      const isOne = kind === "key" ? value !== REDACTED : kind === "secret" && !isWritten && isSecret(kind, value);
      if (span && isOne) cuts.push(span);
    }
    return cuts;
  }
}

function pair(found: RegExpExecArray, given: Kind | undefined, text: string): Cut[] {
  if (!given) return [];
  const kind = given === "token" && found[1] ? "secret" : given;
  const at = [4, 5, 6, 7, 8].find((group) => found[group] !== undefined) ?? 6;
  const [span, value = ""] = [found.indices?.[at], found[at]];
  if (!span) return [];
  if (kind === "authorization" && at === 6 && redaction.schemes.includes(value.toLowerCase())) {
    BEHIND_SCHEME.lastIndex = span[1];
    const behind = BEHIND_SCHEME.exec(text);
    const credential = behind?.[1] ?? "";
    if (!behind || isPlaceholder(credential) || isCut(credential) || credential === REDACTED) return [];
    return [[span[0], span[1] + behind[0].length]];
  }
  if (at === 6 && kind !== "key" && kind !== "cookie" && !isWrittenSecret(found, kind, text)) return [];
  return isSecret(kind, value) ? [span] : [];
}

/** Whether a value without quotes can be one: sentences and code are written like that, too. */
function isWrittenSecret(found: RegExpExecArray, kind: Kind, text: string): boolean {
  const value = found[6] ?? "";
  const end = found.index + found[0].length;
  if (kind === "authorization") return isDrawn(value);
  if (/^[A-Za-z_$&@!][\w.\->:?()[\]`!]*$/.test(value) && ((value.includes(".") && !/[0-9]/.test(value)) || /^[([]/.test(text.slice(end)))) return false;
  if (/^(?:null|true|false|none|None|nil|undefined|[0-9]{1,3})$/.test(value)) return false;
  if (kind === "secret" && /[ \t]$/.test(found[3] ?? "")) {
    const begins = found.index === 0 || /[\r\n]/.test(text[found.index - 1] ?? "");
    const ends = end >= text.length || /[\r\n]/.test(text[end] ?? "");
    return (begins && ends) || (isDrawn(value) && /[0-9]/.test(value));
  }
  return true;
}

function credentials(text: string): Cut[] {
  const cuts: Cut[] = [];
  const add = (found: RegExpExecArray, group: number) => {
    const span = found.indices?.[group];
    if (span) cuts.push(span);
  };
  for (const found of text.matchAll(CREDENTIAL)) {
    const value = found[1] ?? "";
    if (CHALLENGE.has(value.split("=", 1)[0] ?? "") && value.replace(/=+$/, "").includes("=")) continue;
    if ((/[0-9]|[a-z][A-Z]/.test(value) || value.endsWith("=")) && !isCut(value)) add(found, 1);
  }
  for (const found of text.matchAll(URL_USER)) {
    const [, user = "", password] = found;
    // A token may stand in the place of a user.
    if (password === undefined ? user.length >= 16 && isDrawn(user) : password && !isCut(password) && !isPlaceholder(password) && password !== REDACTED) {
      add(found, password === undefined ? 1 : 2);
    }
  }
  for (const found of text.matchAll(SIGNATURE)) if (isLot(found[1] ?? "")) add(found, 1);
  for (const found of text.matchAll(CURL)) if (!isCut(found[1] ?? "") && !isPlaceholder(found[1] ?? "")) add(found, 1);
  return cuts;
}

function compiled(pattern: string): RegExp {
  let expression: RegExp;
  try {
    expression = new RegExp(pattern, "g");
  } catch (error) {
    throw new BadRule(
      `the redaction pattern ${JSON.stringify(pattern)} cannot be read: ${(error as Error).message}; give a regular expression such as ACME-[0-9]{6}`,
    );
  }
  if (new RegExp(`^(?:${pattern})`).exec("")) {
    throw new BadRule(
      `the redaction pattern ${JSON.stringify(pattern)} also matches an empty text, so it would cut everywhere; make it need at least one character`,
    );
  }
  return expression;
}

/** The forms in which a value may appear: as it is, escaped as in JSON, percent-encoded, and in base64. */
function formsOf(value: string): string[] {
  const inner = (text: string) => JSON.stringify(text).slice(1, -1);
  const ascii = (text: string) => text.replace(/[\u0080-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
  const json = inner(value);
  const percent = encodeURIComponent(value);
  const strict = percent.replace(/[!'()*]/g, (kept) => `%${kept.charCodeAt(0).toString(16).toUpperCase()}`);
  const form = new URLSearchParams({ a: value }).toString().slice(2);
  const encoded = [percent, strict, form, strict.replaceAll("%20", "+"), encodeURI(value), percent.replaceAll("%2F", "/")];
  const lower = encoded.map((text) => text.replace(/%[0-9A-F]{2}/g, (found) => found.toLowerCase()));
  const data = Buffer.from(value);
  const base64 = [0, 1, 2].flatMap((shift) => {
    const shifted = Buffer.concat([Buffer.alloc(shift), data]);
    const [first, whole] = [Math.ceil((shift * 8) / 6), Math.floor((shifted.length * 8) / 6)];
    return (["base64", "base64url"] as const).map((coding) => shifted.toString(coding).slice(first, whole));
  });
  return [value, json, inner(json), json.replaceAll("/", "\\/"), ascii(json), inner(ascii(json)), ...encoded, ...lower, ...base64];
}
