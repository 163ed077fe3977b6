import {
  hasWord,
  isKind,
  isOutcome,
  kindNames,
  type ListName,
  outcomeNames,
  ranges,
  type SingleName,
} from "./filter";
import { millisecondsWords, readMilliseconds } from "./milliseconds";
import { momentWords, nanoseconds } from "./moment";
import { count } from "./words";

/** How the values of a parameter are read. */
export interface Form {
  /** The value as it is used. Undefined where it means nothing, or the API would refuse it. */
  read: (value: string) => string | undefined;
  /** What is right, in words, for somebody who wrote another. */
  right: string;
}

/** Any text but none, to the letter: names may begin and end with spaces, and consist of them. */
export const exactly: Form = { read: (value) => value || undefined, right: "any text" };

/** Words of the address's own: spaces around them mean nothing. */
export const known = (is: (value: string) => boolean, right: string): Form => ({
  read(value) {
    const trimmed = value.trim();
    return trimmed !== "" && is(trimmed) ? trimmed : undefined;
  },
  right,
});

export const oneOf = (names: readonly string[]): Form =>
  known((value) => names.includes(value), names.join(", "));

const milliseconds: Form = {
  read(value) {
    const read = readMilliseconds(value);
    return "value" in read && read.value !== undefined ? String(read.value) : undefined;
  },
  right: millisecondsWords,
};
const moment: Form = {
  read(value) {
    const text = value.trim().toUpperCase();
    return nanoseconds(text) === undefined ? undefined : text;
  },
  right: momentWords,
};

/** The most characters and terms that the API searches for. */
const [longestSearch, mostTerms] = [1000, 32];
/** The longest id of a session, in bytes of UTF-8. */
const longestSession = 4096;

/** How many words, phrases in quotes and prefixes a search has, as the API counts them: what has no letter or digit is none. */
function termsOf(search: string): number {
  const parts = search.split('"');
  const pieces = parts.flatMap((part, at) => (at % 2 === 1 ? [part] : part.split(/\p{White_Space}+/u)));
  return pieces.filter(hasWord).length;
}

/** Whether a text is an IP address, by what a browser takes for the host of one. */
function isAddress(value: string): boolean {
  if (/^\d{1,3}(\.\d{1,3}){3}$/.test(value)) return value.split(".").every((part) => Number(part) <= 255);
  return /^[0-9a-f:.]*:[0-9a-f:.]*$/i.test(value) && URL.canParse(`http://[${value}]/`);
}

/** The forms of the values of a filter. */
export const forms: Record<ListName | SingleName, Form> = {
  server: exactly,
  tool: exactly,
  method: exactly,
  client: exactly,
  status: known((value) => /^[1-5]\d\d$/.test(value), "100–599"),
  outcome: known(isOutcome, outcomeNames.join(", ")),
  country: known((value) => /^[A-Z]{2}$/.test(value), "a two-letter country code, such as NL"),
  kind: known(isKind, kindNames.join(", ")),
  ip: known(isAddress, "an IPv4 or IPv6 address"),
  session: {
    read: (value) =>
      value !== "" && new TextEncoder().encode(value).length <= longestSession ? value : undefined,
    right: `at most ${count(longestSession)} bytes`,
  },
  trace: {
    read(value) {
      const trace = value.trim().toLowerCase();
      return /^[0-9a-f]{32}$/.test(trace) && /[^0]/.test(trace) ? trace : undefined;
    },
    right: "32 hexadecimal digits, not all zero",
  },
  q: known(
    (value) => [...value].length <= longestSearch && termsOf(value) <= mostTerms,
    `at most ${count(longestSearch)} characters and ${mostTerms} words, phrases and prefixes`,
  ),
  min: milliseconds,
  max: milliseconds,
  range: oneOf(ranges.map(([name]) => name)),
  from: moment,
  to: moment,
};
