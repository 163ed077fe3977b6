// Whether a text looks like a secret, or plainly is none: as `model/src/redact/looks.rs` has it, over the same words.

import { redaction } from "./tables.js";

const WORDS = new Set(redaction.words);
const SENTENCE = new Set(redaction.sentence);
const ALGORITHMS = new Set(redaction.algorithms);
const SECRETS = new Set(redaction.labels.secrets);
const OF = new Set(redaction.labels.of);
const LOOK = 200;
// The longest label, in bytes, and the most words of one.
const LABEL = 80;
const MOST_WORDS = 6;

const count = (text: string, what: RegExp): number => text.match(what)?.length ?? 0;
const isLocation = (text: string): boolean => redaction.locations.some((begin) => text.startsWith(begin));
const isFile = (text: string): boolean => redaction.files.some((end) => text.endsWith(end)) && /^[A-Za-z0-9/._\-:\\~${}]+$/.test(text);

/** Digits among letters, or capitals among small ones, and nothing that sentences, paths and versions are made of. */
export function isDrawn(whole: string): boolean {
  const text = whole.slice(0, LOOK);
  if (text.length < 6 || /[\s\u0080-\uffff]/.test(text)) return false;
  const digits = count(text, /[0-9]/g);
  const letters = count(text, /[A-Za-z]/g);
  const dots = count(text, /\./g);
  if (/^(?:\/|\.\/|http)/.test(text) || text.endsWith("(")) return false;
  if (/^[0-9^~v<>=]/.test(text) && dots >= 1 && digits + dots + 4 > text.length) return false;
  return (digits > 0 && letters > 0) || (digits >= 6 && digits === text.length) || (text.length >= 16 && humps(text) >= 2);
}

/** Drawn by lot, and not like words with numbers between them. */
export function isLot(whole: string): boolean {
  const text = whole.slice(0, LOOK);
  return !/\s/.test(text) && !isLocation(text) && text.split(/[^A-Za-z0-9]/).some(isLotPart);
}

function isLotPart(part: string): boolean {
  const digits = count(part, /[0-9]/g);
  const changes = count(part, /[0-9](?=[A-Za-z])|[A-Za-z](?=[0-9])/g);
  const mixed = digits > 0 && digits < part.length;
  const numbered = changes === 1 && digits <= 4 && /[0-9]$/.test(part) && part.length < 16;
  return (
    (mixed && part.length >= 8 && !numbered) ||
    (mixed && part.length >= 6 && changes >= 2) ||
    (part.length >= 16 && humps(part) >= 3)
  );
}

const humps = (text: string): number => count(text, /[a-z](?=[A-Z])/g);

/** Nothing but drawn by lot, and neither a hash nor a UUID. */
export function isRandom(text: string): boolean {
  return (
    /^[A-Za-z0-9_.=+/-]{16,150}$/.test(text) &&
    /[0-9]/.test(text) &&
    /[a-z]/.test(text) &&
    (text.length >= 24 || /[A-Z]/.test(text)) &&
    !/^[0-9A-Fa-f-]+$/.test(text) &&
    isLot(text)
  );
}

/** Words, with numbers of their own at most. */
export function isWords(text: string): boolean {
  const parts = text.split(/[_\-./ ]/);
  return parts.length > 1 && parts.every((part) => /^(?:[A-Za-z]*|[0-9]*)$/.test(part));
}

/** A word of a schema, a sentence about a secret, a version, a place where one is to be put. */
export function isHarmless(whole: string): boolean {
  const text = whole.slice(0, LOOK).trim();
  return (
    WORDS.has(text.replace(/[,;).!?]+$/, "").toLowerCase()) ||
    isLocation(text) ||
    isFile(text) ||
    isAlgorithm(text) ||
    isPlaceholder(text) ||
    isVersion(text) ||
    isSentence(text)
  );
}

function isAlgorithm(text: string): boolean {
  const parts = text.split(/[-_.]/);
  const letters = parts.map((part) => part.replace(/[0-9]+$/, "").toLowerCase());
  return (
    text.length <= 24 &&
    ALGORITHMS.has(letters[0] ?? "") &&
    parts.every((part) => part.length <= 8) &&
    letters.every((part) => /^[a-z]*$/.test(part))
  );
}

/** `<password>`, `${PASSWORD}`, `$PASSWORD`, `{{ password }}`, `%s`, `***`, `…`, `your-api-key`, `[Filtered]`, `YOUR_API_KEY`, `New password`. */
export function isPlaceholder(text: string): boolean {
  return (
    (text.startsWith("<") && text.endsWith(">")) ||
    /^(?:\{\{|\$\{|\$\(|%\(|\.\.\.)/.test(text) ||
    /^(?:%[sqv]|\$[A-Z_][A-Z0-9_]*)$/.test(text) ||
    /^[*.…xX•_#-]{3,}$/.test(text) ||
    /^(?:your[-_ ]|<your)/i.test(text) ||
    (Buffer.byteLength(text) <= LABEL && isPut(text))
  );
}

function isPut(text: string): boolean {
  const lower = text.toLowerCase();
  return (
    /^(?:\[[\p{L}_][\p{L} _.-]*\]|\{[\p{L}_][\p{L} _.-]*\})$/u.test(text) ||
    /^[A-Z]+(?:[_. ][A-Z]+)+$/.test(text.replace(/\.+$/, "")) ||
    (/^[a-z _\-.<>'\u0080-\uffff]+$/.test(lower) && (/^(?:(?:insert|replace|enter)[ _-]|your)/.test(lower) || lower.endsWith("here"))) ||
    isSample(text) ||
    isLabel(text)
  );
}

/** What nobody drew by lot, and what the manuals of AWS give. */
export const isSample = (text: string): boolean => isMonotone(text.slice(0, LABEL)) || /EXAMPLE(?:KEY)?$/.test(text);

/** Made of two characters at most. */
function isMonotone(text: string): boolean {
  const drawn = text.replace(/[-_. ]/g, "");
  return new Set(drawn).size <= 2 && (drawn.length >= 16 || /^[xX]{8,}$/.test(drawn));
}

/** The label of a field, or a value that only says what belongs there. */
function isLabel(whole: string): boolean {
  const text = whole.replace(/[!?.:…* ]+$/, "");
  const words = text.toLowerCase().split(/[ \-_/.]/);
  const [first = ""] = words;
  if (words.length > MOST_WORDS || !words.every((word) => /^\p{L}+$/u.test(word))) return false;
  if (words.length === 1) return SECRETS.has(first.replace(/^(?:my|your|some)/, ""));
  const begins = text.includes(" ") && /^\p{Lu}/u.test(text);
  const speaks = SECRETS.has(first) || SECRETS.has(words.at(-1) ?? "");
  return speaks && (begins || words.every((word) => OF.has(word) || SECRETS.has(word)));
}

function isVersion(text: string): boolean {
  if (text === "*" || text.startsWith("npm:") || text.startsWith("workspace:")) return true;
  const rest = text.replace(/^[\^~>=<v ]+/, "");
  const number = rest.split(/[.\- +]/)[0] ?? "";
  const ranged = rest.length < text.length || count(rest, /\./g) >= 2;
  return ranged && /^[0-9]{1,4}$/.test(number) && rest.includes(".");
}

function isSentence(text: string): boolean {
  const words = text.split(/\s+/).filter(Boolean);
  return (
    words.length >= 3 &&
    words.some((word) => SENTENCE.has(word.toLowerCase())) &&
    words.every((word) => count(word, /[0-9]/g) < 3)
  );
}
