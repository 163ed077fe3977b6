import type { CallFilter, ViewInput } from "../gql/graphql";
import { defined, type Filter, type ListName, lists, ranges, toCallFilter, writeFilter } from "./filter";
import { readFilter } from "./parameters";

/** What a view asks by: a filter, which may have moments, or besides it the last so many seconds. */
export type ViewFilter = Pick<ViewInput, "filter" | "lastSeconds">;

/** The members of a CallFilter that are lists of values, by their names in the address. */
const members = {
  server: "servers",
  tool: "tools",
  method: "methods",
  status: "httpStatuses",
  outcome: "outcomes",
  country: "countries",
  client: "clients",
  ip: "clientIps",
  kind: "kinds",
} as const satisfies Record<ListName, keyof CallFilter>;

/** Any moment: only a range up to now would ask for one, and the filter of a view has none. */
const never = new Date(0);

/**
 * What a view keeps of a filter, in the form in which every client of the API can use it. A range up to now is
 * seconds: as moments it would mean another range tomorrow.
 */
export function toViewFilter(filter: Filter): ViewFilter {
  const range = ranges.find(([name]) => name === filter.range);
  return {
    filter: toCallFilter(defined({ ...filter, range: undefined }), never),
    lastSeconds: range ? range[2] / 1000 : null,
  };
}

/** The filter of a view as the address has it. Undefined where the address has no words for it. */
export function fromViewFilter(saved: ViewFilter): Filter | undefined {
  const wanted = plain(saved.filter);
  if (!wanted) return undefined;
  const parameters = new URLSearchParams();
  const put = (from: Record<string, unknown>, sign: "" | "-") => {
    for (const name of lists) {
      const values = from[members[name]];
      if (Array.isArray(values))
        for (const value of values) parameters.append(`${sign}${name}`, String(value));
    }
  };
  put(wanted, "");
  for (const excluded of exclusions(wanted.not)) put(excluded, "-");
  for (const [name, member] of [
    ["session", "sessionId"],
    ["trace", "traceId"],
    ["min", "minDurationMs"],
    ["max", "maxDurationMs"],
    ["q", "search"],
    ["from", "from"],
    ["to", "to"],
  ] as const) {
    const value = wanted[member];
    if (value !== undefined) parameters.set(name, String(value));
  }
  const range = ranges.find(([, , milliseconds]) => milliseconds / 1000 === saved.lastSeconds);
  if (range) parameters.set("range", range[0]);
  const filter = readFilter(parameters);
  // whatever got lost on the way, the way back shows it
  return sameFilter(toViewFilter(filter), saved) ? filter : undefined;
}

/** `not` with one list, or with one of several: nothing else is an exclusion in the address. */
function exclusions(not: unknown): Record<string, unknown>[] {
  if (not === null || typeof not !== "object") return [];
  const { or } = not as { or?: unknown };
  return Array.isArray(or) ? or : [not as Record<string, unknown>];
}

/** The same filter without what is no constraint: null, and empty lists. */
function plain(value: unknown): Record<string, unknown> | undefined {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return undefined;
  const entries = Object.entries(value).flatMap(([name, inner]): [string, unknown][] => {
    if (inner === null || inner === undefined || (Array.isArray(inner) && inner.length === 0)) return [];
    if (Array.isArray(inner)) return [[name, inner.map((item) => plain(item) ?? item)]];
    return [[name, plain(inner) ?? inner]];
  });
  return Object.fromEntries(entries);
}

/** Whether two values are the same, whatever the order of their members and of the values in their lists. */
function same(one: unknown, other: unknown): boolean {
  return ordered(one) === ordered(other);
}

function ordered(value: unknown): string {
  if (Array.isArray(value)) return `[${[...new Set(value.map(ordered))].sort().join()}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value) ?? "";
  const entries = Object.entries(value).map(([name, inner]) => `${JSON.stringify(name)}:${ordered(inner)}`);
  return `{${entries.sort().join()}}`;
}

/** Whether two views ask by the same, whatever else they have. */
export function sameFilter(one: ViewFilter, other: ViewFilter): boolean {
  return same(
    plain({ filter: one.filter, lastSeconds: one.lastSeconds }),
    plain({ filter: other.filter, lastSeconds: other.lastSeconds }),
  );
}

/** The address of the list as a view shows it. The switch Live is not the view's: it stays as `now` has it. */
export function viewAddress(filter: Filter, columns: string | undefined, now: URLSearchParams): string {
  const parameters = writeFilter(filter);
  if (columns) parameters.set("columns", columns);
  if (now.has("live")) parameters.set("live", "1");
  const text = parameters.toString();
  return text ? `/?${text}` : "/";
}
