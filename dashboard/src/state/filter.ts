import type { CallFilter, CallKind, Outcome } from "../gql/graphql";
import { nanoseconds } from "./moment";

/** The parts of a filter that are lists of values, by their names in the address. */
export const lists = [
  "server",
  "tool",
  "method",
  "status",
  "outcome",
  "country",
  "client",
  "ip",
  "kind",
] as const;
export type ListName = (typeof lists)[number];

export const listLabels: Record<ListName, string> = {
  server: "Server",
  tool: "Tool",
  method: "Method",
  status: "Status",
  outcome: "Outcome",
  country: "Country",
  client: "Client",
  ip: "IP",
  kind: "Kind",
};

/** The presets of the time filter: name in the address, words, milliseconds. */
export const ranges = [
  ["15m", "Last 15 minutes", 15 * 60_000],
  ["1h", "Last hour", 3_600_000],
  ["6h", "Last 6 hours", 6 * 3_600_000],
  ["24h", "Last 24 hours", 24 * 3_600_000],
  ["7d", "Last 7 days", 7 * 24 * 3_600_000],
  ["30d", "Last 30 days", 30 * 24 * 3_600_000],
] as const;
export type RangeName = (typeof ranges)[number][0];

/** A filter as a person chose it, and as the address of the page holds it. */
export interface Filter {
  include: Partial<Record<ListName, readonly string[]>>;
  exclude: Partial<Record<ListName, readonly string[]>>;
  session?: string;
  trace?: string;
  /** Milliseconds, inclusive. */
  min?: number;
  max?: number;
  search?: string;
  range?: RangeName;
  /** RFC 3339; `from` inclusive, `to` exclusive. Not together with `range`. */
  from?: string;
  to?: string;
}

export const noFilter: Filter = { include: {}, exclude: {} };

const outcomes: Record<Outcome, true> = {
  OK: true,
  TOOL_ERROR: true,
  PROTOCOL_ERROR: true,
  TRANSPORT_ERROR: true,
  INPUT_REQUIRED: true,
  CANCELLED: true,
  RUNNING: true,
  LOST: true,
};
export const outcomeNames = Object.keys(outcomes) as Outcome[];
const kinds: Record<CallKind, true> = { REQUEST: true, STREAM: true };
export const kindNames = Object.keys(kinds) as CallKind[];
export const isKind = (value: string): value is CallKind => Object.hasOwn(kinds, value);
/** The outcomes that count as errors, as they do in every `errorCount` of the API. */
export const errorOutcomes: readonly Outcome[] = ["TOOL_ERROR", "PROTOCOL_ERROR", "TRANSPORT_ERROR"];
export const isOutcome = (value: string): value is Outcome => Object.hasOwn(outcomes, value);

/** The parts of a filter that are one value, by their names in the address. */
export const singles = ["session", "trace", "min", "max", "q", "range", "from", "to"] as const;
export type SingleName = (typeof singles)[number];

/** Writes the filter into parameters that may hold other things too. */
export function writeFilter(filter: Filter, into = new URLSearchParams()): URLSearchParams {
  for (const name of lists) {
    into.delete(name);
    into.delete(`-${name}`);
    for (const value of filter.include[name] ?? []) into.append(name, value);
    for (const value of filter.exclude[name] ?? []) into.append(`-${name}`, value);
  }
  const rest = { ...filter, q: filter.search };
  for (const name of singles) {
    into.delete(name);
    const value = rest[name];
    if (value !== undefined && value !== "") into.set(name, String(value));
  }
  return into;
}

/** What the API is asked. A relative range ends `now`, or `goesOn` with the time. */
export function toCallFilter(filter: Filter, now: Date, goesOn = false): CallFilter {
  const range = ranges.find(([name]) => name === filter.range);
  const without = lists
    .filter((name) => (filter.exclude[name]?.length ?? 0) > 0)
    .map((name) => listInput(name, filter.exclude[name] ?? []));
  const asked: CallFilter = {};
  for (const name of lists) {
    const values = filter.include[name];
    if (values?.length) Object.assign(asked, listInput(name, values));
  }
  if (filter.session) asked.sessionId = filter.session;
  if (filter.trace) asked.traceId = filter.trace;
  if (filter.min !== undefined) asked.minDurationMs = filter.min;
  if (filter.max !== undefined) asked.maxDurationMs = filter.max;
  if (filter.search) asked.search = filter.search;
  if (range) {
    asked.from = new Date(now.getTime() - range[2]).toISOString();
    if (!goesOn) asked.to = now.toISOString();
  } else {
    if (filter.from) asked.from = filter.from;
    if (filter.to) asked.to = filter.to;
  }
  // what is in one of the lists is out: not (A or B)
  if (without.length === 1 && without[0]) asked.not = without[0];
  else if (without.length > 1) asked.not = { or: without };
  return asked;
}

function listInput(name: ListName, values: readonly string[]): CallFilter {
  const all = [...values];
  switch (name) {
    case "server":
      return { servers: all };
    case "tool":
      return { tools: all };
    case "method":
      return { methods: all };
    case "status":
      return { httpStatuses: all.map(Number) };
    case "outcome":
      return { outcomes: all.filter(isOutcome) };
    case "country":
      return { countries: all };
    case "client":
      return { clients: all };
    case "ip":
      return { clientIps: all };
    case "kind":
      return { kinds: all.filter(isKind) };
  }
}

export type Picked = "include" | "exclude" | undefined;

export function picked(filter: Filter, name: ListName, value: string): Picked {
  if (filter.include[name]?.includes(value)) return "include";
  return filter.exclude[name]?.includes(value) ? "exclude" : undefined;
}

/** Puts one value among those wanted or those unwanted, or takes it out of both. */
export function pick(filter: Filter, name: ListName, value: string, as: Picked): Filter {
  const change = (values: readonly string[] | undefined, wanted: boolean) => {
    const others = (values ?? []).filter((other) => other !== value);
    return wanted ? [...others, value] : others;
  };
  return tidy({
    ...filter,
    include: { ...filter.include, [name]: change(filter.include[name], as === "include") },
    exclude: { ...filter.exclude, [name]: change(filter.exclude[name], as === "exclude") },
  });
}

export function pickAll(filter: Filter, name: ListName, values: readonly string[]): Filter {
  const exclude = (filter.exclude[name] ?? []).filter((value) => !values.includes(value));
  return tidy({
    ...filter,
    include: { ...filter.include, [name]: values },
    exclude: { ...filter.exclude, [name]: exclude },
  });
}

function tidy(filter: Filter): Filter {
  const full = (side: Filter["include"]): Filter["include"] =>
    Object.fromEntries(Object.entries(side).filter(([, values]) => values.length > 0));
  return { ...filter, include: full(filter.include), exclude: full(filter.exclude) };
}

/** The same filter without what is undefined. */
export function defined(filter: { [Key in keyof Filter]: Filter[Key] | undefined }): Filter {
  return Object.fromEntries(
    Object.entries(filter).filter(([, value]) => value !== undefined),
  ) as unknown as Filter;
}

export function isEmpty(filter: Filter): boolean {
  return [...writeFilter(filter).keys()].length === 0;
}

/** Whether a search has a word to look for: a word is a run of letters and digits. */
export function hasWord(search: string): boolean {
  return /[\p{Alphabetic}\p{N}]/u.test(search);
}

/** The parts of a filter that cannot mean what they seem to, in words for a person. */
export function nonsense(filter: Filter): string[] {
  const { search, min, max, from, to } = filter;
  const found: string[] = [];
  if (search && !hasWord(search)) found.push(`Search ignored: ${search} has no letters or digits.`);
  if (min !== undefined && max !== undefined && min > max)
    found.push("The minimum duration is above the maximum, so no call can match.");
  const [first, end] = [from, to].map((time) => (time === undefined ? undefined : nanoseconds(time)));
  if (first !== undefined && end !== undefined && first >= end)
    found.push("The time range ends before it starts, so no call can match.");
  return found;
}
