import type { Outcome, SessionSource, Transport, Vantage } from "../gql/graphql";

/** How things are called on the screen. */
export const outcomeWords: Record<Outcome, string> = {
  OK: "OK",
  TOOL_ERROR: "Tool error",
  PROTOCOL_ERROR: "Protocol error",
  TRANSPORT_ERROR: "Transport error",
  INPUT_REQUIRED: "Input required",
  CANCELLED: "Cancelled",
  RUNNING: "Running",
  LOST: "Lost",
};

/** The meaning of a call that is lost. */
export const lostWords =
  "The call never ended here: its process sent no heartbeat for a minute (or --lost-after), or reported the call as ended and the result never arrived.";

export const sourceWords: Record<SessionSource, string> = {
  WIRE: "Mcp-Session-Id",
  CONVERSATION: "Conversation",
  CONNECTION: "Connection",
  TRACE: "Trace",
  CLIENT: "Client activity",
};

export const transportWords: Record<Transport, string> = {
  STDIO: "stdio",
  STREAMABLE_HTTP: "Streamable HTTP",
  SSE: "HTTP with SSE",
  WEBSOCKET: "WebSocket",
};

export const vantageWords: Record<Vantage, string> = {
  SERVER: "MCP server",
  CLIENT: "MCP client only",
  GATEWAY: "Gateway",
};

export const outcomeOf = (value: string): string =>
  (outcomeWords as Record<string, string | undefined>)[value] ?? value;

export type Tone = "good" | "bad" | "warn" | "plain";

export function outcomeTone(outcome: Outcome): Tone {
  if (outcome === "OK") return "good";
  if (outcome === "RUNNING") return "plain";
  return outcome === "INPUT_REQUIRED" || outcome === "CANCELLED" || outcome === "LOST" ? "warn" : "bad";
}

export function statusTone(status: number): Tone {
  if (status >= 400) return "bad";
  return status >= 200 && status < 300 ? "good" : "warn";
}

/** Milliseconds in the unit that reads best. */
export function duration(ms: number): string {
  if (ms === 0) return "0 ms";
  if (ms < 0.001) return `${Number((ms * 1e6).toPrecision(2))} ns`;
  if (ms < 1) return `${(ms * 1000).toFixed(0)} µs`;
  if (ms < 1000) return `${ms < 10 ? ms.toFixed(1) : ms.toFixed(0)} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
  // rounded before it is cut into units: there is no "1 min 60 s"
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  const minutes = Math.round(seconds / 60);
  return `${count(Math.floor(minutes / 60))} h ${minutes % 60} min`;
}

export function size(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  if (bytes < 1_000_000) return `${(bytes / 1000).toFixed(1)} kB`;
  return `${(bytes / 1_000_000).toFixed(1)} MB`;
}

export const count = (value: number): string => value.toLocaleString("en");

/** A number of things, such as "1 call" and "2 calls". */
export const many = (value: number, thing: string): string => `${count(value)} ${plural(value, thing)}`;

/** The word for a number that stands elsewhere. */
export const plural = (value: number, thing: string): string => (value === 1 ? thing : `${thing}s`);

export function percent(part: number, whole: number): string {
  if (whole === 0) return "0%";
  const share = (100 * part) / whole;
  if (share > 0 && share < 1) return "<1%";
  return share < 100 && share >= 99.5 ? ">99%" : `${Math.round(share)}%`;
}

/**
 * Control characters, all that Unicode says is drawn as nothing, and what fonts draw as nothing besides: marks of layout, fillers,
 * and code points that are no characters.
 */
const unseen = String.raw`[\p{Cc}\p{Default_Ignorable_Code_Point}\p{Noncharacter_Code_Point}\u070f\u2028\u2029\ufff9-\ufffc\u{1107f}\u{13430}-\u{1345f}\u{16fe4}\u{1d159}]`;

/** Spaces of other kinds than the usual one, and the usual one where it is overlooked: first, last, and doubled. */
const unseenSpaces = String.raw`[[\p{Zs}\u2800]--[\x20]]|^ +| +$| {2,}`;

/**
 * An emoji that Unicode recommends, in its one recommended spelling: its selectors, joiners and tags make it what it is. Any other
 * spelling looks the same, or falls apart. The look-ahead spares other characters the long list.
 */
const emoji = String.raw`(?=\p{Emoji})\p{RGI_Emoji}`;

// what is to be drawn as marks is the group; the rest is stepped over
const inNames = new RegExp(`${emoji}|(${unseen}|${unseenSpaces})`, "gv");

/** Scripts whose letters no joiner shapes. */
const unjoined = ["Latn", "Grek", "Cyrl", "Hani", "Hira", "Kana", "Hang"].map(
  (script) => `\\p{scx=${script}}`,
);

/**
 * What stands in texts for good reasons and hides nothing there: lines and tabs, the selectors and joiners that keyboards write
 * into emoji beyond those that Unicode recommends, and joiners that shape the letter before them.
 */
const usualInTexts = [
  String.raw`[\t\n\r]`,
  String.raw`(?<=\p{Extended_Pictographic})[\ufe0e\ufe0f]`,
  String.raw`(?<=\p{Extended_Pictographic}\ufe0f?|\p{Emoji_Modifier})\u200d(?=\p{Extended_Pictographic})`,
  String.raw`(?<=[[\p{L}\p{M}]--[${unjoined.join("")}]])[\u200c\u200d]`,
].join("|");
const inTexts = new RegExp(`${emoji}|${usualInTexts}|(${unseen})`, "gv");
const anyUnseen = new RegExp(unseen, "v");

const asMarks = (found: string, hidden: string | undefined) =>
  hidden === undefined
    ? found
    : [...hidden]
        .map(
          (character) => `⟨U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}⟩`,
        )
        .join("");

/** A name with what cannot be seen drawn as marks, so that two names that differ look different. */
export function visible(name: string): string {
  return name.replace(inNames, asMarks);
}

/** A text of any kind with what would hide or reorder it drawn as marks. */
export function drawn(text: string): string {
  // long texts hardly ever have any
  return anyUnseen.test(text) ? text.replace(inTexts, asMarks) : text;
}

/** What a call was of, in a line: its method, and what it acted on. */
export function callWords({ method, target }: { method: string; target?: string | null }): string {
  return target ? `${visible(method)} ${visible(target)}` : visible(method);
}

/** How long ago a moment was. */
export function ago(time: string, now: number): string {
  const seconds = Math.round((now - Date.parse(time)) / 1000);
  if (seconds < 2) return seconds < -2 ? "in the future" : "just now";
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  const days = Math.floor(seconds / 86_400);
  return days === 1 ? "1 day ago" : `${days} days ago`;
}

/** The time of day that numbers are of, with the date where that is another than today's. In milliseconds since 1970. */
export function dayTime(at: number, zone: string, now: number): string {
  const [of, today] = [at, now].map((time) => absolute(new Date(time).toISOString(), zone));
  return of?.slice(0, 10) === today?.slice(0, 10) ? (of ?? "").slice(11, 19) : (of ?? "").slice(0, 19);
}

/** How far ahead a moment is. */
export function until(time: string, now: number): string {
  const seconds = Math.round((Date.parse(time) - now) / 1000);
  if (seconds <= 0) return ago(time, now);
  // rounded, as what is set to 90 days would be 89 a second later
  if (seconds < 60) return `in ${seconds} s`;
  if (seconds < 3570) return `in ${Math.round(seconds / 60)} min`;
  if (seconds < 84_600) return `in ${Math.round(seconds / 3600)} h`;
  const days = Math.round(seconds / 86_400);
  return days === 1 ? "in 1 day" : `in ${days} days`;
}

const clocks = new Map<string, Intl.DateTimeFormat>();

/** The parts of a time in a time zone. */
function partsOf(time: string | number, zone: string): Partial<Record<Intl.DateTimeFormatPartTypes, string>> {
  const clock =
    clocks.get(zone) ??
    new Intl.DateTimeFormat("en-GB", {
      year: "numeric",
      month: "2-digit",
      day: "2-digit",
      hour: "2-digit",
      minute: "2-digit",
      second: "2-digit",
      fractionalSecondDigits: 3,
      hourCycle: "h23",
      timeZoneName: "short",
      ...(zone === "local" ? {} : { timeZone: zone }),
    });
  clocks.set(zone, clock);
  return Object.fromEntries(clock.formatToParts(new Date(time)).map(({ type, value }) => [type, value]));
}

/** The full date and time to the millisecond in a time zone, such as `2026-11-24 06:04:46.355 UTC`; or shortly, see `shortly`. */
export function absolute(time: string, zone: string, form: "full" | "short" = "full"): string {
  if (form === "short") return shortly([time], zone)[0] ?? "";
  const { year, month, day, hour, minute, second, fractionalSecond, timeZoneName } = partsOf(time, zone);
  return `${year}-${month}-${day} ${hour}:${minute}:${second}.${fractionalSecond} ${timeZoneName}`;
}

/** Times to the second, such as `11-24 06:04:46`; all with the year, where one of them is of another year than `now`. */
export function shortly(times: readonly string[], zone: string, now = Date.now()): string[] {
  const all = times.map((time) => partsOf(time, zone));
  const { year: thisYear } = partsOf(now, zone);
  const isOther = all.some(({ year }) => year !== thisYear);
  return all.map(
    ({ year, month, day, hour, minute, second }) =>
      `${isOther ? `${year}-` : ""}${month}-${day} ${hour}:${minute}:${second}`,
  );
}

let names: Intl.DisplayNames | undefined;

export function countryName(country: string): string {
  try {
    names ??= new Intl.DisplayNames(["en"], { type: "region" });
    return names.of(country) ?? country;
  } catch {
    return country;
  }
}

/** The end of an id of mcptap's own: all of one kind begin alike. */
export function tail(id: string): string {
  return id.length <= 12 ? id : `…${id.slice(-10)}`;
}

const characters = new Intl.Segmenter("en", { granularity: "grapheme" });

/** The first characters of a text, as a person counts them: none is cut in half. */
export function head(text: string, most: number): string {
  let end = 0;
  let taken = 0;
  for (const { index, segment } of characters.segment(text.slice(0, most * 16))) {
    if (taken === most) break;
    end = index + segment.length;
    taken += 1;
  }
  return text.slice(0, end);
}

/** Where a text may be cut near a place without going through a character: there, or a little before. */
export function cutAt(text: string, at: number): number {
  if (at >= text.length) return text.length;
  // the longest emoji has 35 units; a longer one is no character that anybody would miss
  const from = Math.max(0, at - 48);
  const around = text.slice(from, at + 48);
  const cut = from + (characters.segment(around).containing(at - from)?.index ?? at - from);
  return cut > from || from === 0 ? cut : at;
}

/** The head and tail of a long id, with what cannot be seen drawn as marks. */
export function short(id: string): string {
  const all = Array.from(characters.segment(id), ({ segment }) => segment);
  return visible(all.length <= 14 ? id : `${all.slice(0, 8).join("")}…${all.slice(-4).join("")}`);
}
