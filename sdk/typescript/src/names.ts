// Names under which secrets stand, and whether what stands there is one: `model/src/redact/names.rs` and `named.rs` for whole
// names, over the same table.

import { isDrawn, isHarmless, isLot, isPlaceholder, isRandom, isWords } from "./looks.js";
import { redaction } from "./tables.js";

export type Kind =
  | "key" | "secret" | "weak" | "affixed" | "loose" | "pin" | "token" | "phrase" | "cookie" | "authorization";

const bare = (names: string[]): Set<string> => new Set(names.map((name) => name.replaceAll("?", "")));
const { secret, weak, loose, pin, otherKeys, same, another, harmless, doubtful } = redaction.names;
const [SECRET, WEAK, LOOSE, PIN] = [bare(secret), bare(weak), bare(loose), bare(pin)];
const [OTHER_KEYS, SAME, ANOTHER] = [new Set(otherKeys), new Set(same), new Set(another)];
const [HARMLESS, DOUBTFUL, SCHEMES] = [new Set(harmless), new Set(doubtful), new Set(redaction.schemes)];
const OTHERS = new Map<string, Kind>([
  ["mnemonic", "phrase"], ["seedphrase", "phrase"], ["cookie", "cookie"], ["cookies", "cookie"], ["authorization", "authorization"],
]);
const JOINTS = /[_\-.\s]+|(?<=[a-z])(?=[A-Z])|(?<=[A-Za-z])(?=[0-9])|(?<=[0-9])(?=[A-Za-z])/;
const LONGEST = 256;
// More than one word may make a name: `shared access key`.
const MOST_WORDS = 4;
/** How many names are remembered. */
const MOST_KNOWN = 4096;

/** An operator's key as it is compared: capitals are small letters, and joints are nothing. */
export const keyOf = (name: string): string => name.replace(/[_\-.\s]+/g, "").toLowerCase();

/** Knows the kind of a whole name, by these keys of the operator's too. */
export function namer(keys: Set<string>): (name: string) => Kind | undefined {
  const known = new Map<string, Kind | undefined>();
  return (name) => {
    if (known.has(name)) return known.get(name);
    const kind = kindOf(name, keys);
    if (known.size >= MOST_KNOWN) known.clear();
    known.set(name, kind);
    return kind;
  };
}

function kindOf(name: string, keys: Set<string>): Kind | undefined {
  const trimmed = name.slice(-LONGEST).replace(/^[-_ .]+|[-_ .]+$/g, "");
  const words = trimmed.split(JOINTS).filter(Boolean).map((word) => word.toLowerCase());
  if (words.some((_, begin) => keys.has(words.slice(begin).join("")))) return "key";
  for (let end = words.length; end > 0; end -= 1) {
    const kind = ending(words, end);
    if (!kind) continue;
    if (end === words.length) return kind;
    const behind = words.slice(end).filter((word) => !/^[0-9]+$/.test(word));
    if (["pin", "cookie", "authorization", "phrase"].includes(kind) || ANOTHER.has(behind.at(-1) ?? "")) return undefined;
    return kind === "loose" || behind.every((word) => SAME.has(word)) ? kind : "affixed";
  }
  return undefined;
}

/** The kind of what ends with the word before `end`. */
function ending(words: string[], end: number): Kind | undefined {
  for (let begin = Math.max(0, end - MOST_WORDS); begin < end; begin += 1) {
    const name = words.slice(begin, end).join("");
    if (SECRET.has(name)) return "secret";
    const other = OTHERS.get(name);
    if (other) return other;
    if (WEAK.has(name)) return "weak";
    if (PIN.has(name) && words.length === end) return "pin";
  }
  const [last, before] = [words[end - 1] ?? "", words[end - 2]];
  if (last === "token") {
    if (before === undefined) return "token";
    const joined = words.slice(0, end - 1).join("");
    if (DOUBTFUL.has(before) || DOUBTFUL.has(joined)) return "affixed";
    return HARMLESS.has(before) || HARMLESS.has(joined) ? undefined : "secret";
  }
  if (LOOSE.has(last) && (before !== undefined || end < words.length)) {
    const isOther = OTHER_KEYS.has(before ?? "") || OTHER_KEYS.has(words.slice(Math.max(0, end - 3), end - 1).join(""));
    return isOther ? undefined : "loose";
  }
  return undefined;
}

/** Whether a text under a name of this kind is a secret. */
export function isSecret(kind: Kind, value: string): boolean {
  if (kind === "key") return value !== redaction.marker;
  if (!value || value === redaction.marker || isCut(value) || isPlaceholder(value)) return false;
  switch (kind) {
    case "secret": return !isHarmless(value);
    case "weak": return isDrawn(value) && !isWords(value) && !isHarmless(value);
    case "affixed": return isLot(value) && !isHarmless(value);
    case "loose": return isRandom(value);
    case "pin": return isLot(value) || /^[0-9]{3,8}$/.test(value);
    case "token": return isToken(value);
    case "phrase": return value.split(/\s+/).filter(Boolean).length >= 11;
    case "cookie": return value.includes("=");
    case "authorization": {
      const space = value.indexOf(" ");
      const rest = space < 0 ? "" : value.slice(space + 1).trim();
      if (rest && SCHEMES.has(value.slice(0, space).toLowerCase())) return !isPlaceholder(rest) && !isCut(rest);
      return isDrawn(value) || (value.length >= 12 && space < 0 && !isHarmless(value));
    }
  }
}

/** Whether a number under a name of this kind is a secret; short ones are counts. */
export const isSecretNumber = (kind: Kind, number: number): boolean =>
  kind === "key" || (kind === "secret" && Number.isInteger(number) && number >= 1000);

/** Whether it is what cutting a credential leaves: ten characters and an ellipsis. */
export const isCut = (value: string): boolean => value.endsWith("…") && value.length <= 11;

function isToken(value: string): boolean {
  const mixed = /[0-9]/.test(value) && /[A-Za-z]/.test(value);
  return (
    value.length >= 8 &&
    !/[\s\u0080-\uffff]/.test(value) &&
    !/^0x[0-9A-Fa-f]{40}$/.test(value) &&
    !/^[A-Za-z]{0,10}[0-9]{0,4}$/.test(value) &&
    (mixed || isDrawn(value))
  );
}
