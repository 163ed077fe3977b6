import { createStore } from "./store";

export type Theme = "system" | "light" | "dark";

/** Columns of the list, in the order in which they stand. */
export const columns = [
  "status",
  "method",
  "target",
  "server",
  "ip",
  "client",
  "session",
  "duration",
  "time",
] as const;
export type Column = (typeof columns)[number];

export const columnNames: Record<Column, string> = {
  status: "Status",
  method: "Method",
  target: "Target",
  server: "Server",
  ip: "IP",
  client: "Client",
  session: "Session",
  duration: "Duration",
  time: "Time",
};

export const defaultColumns: readonly Column[] = [
  "status",
  "method",
  "target",
  "server",
  "ip",
  "duration",
  "time",
];

/** What a person prefers on this machine. What a view shows is in its address instead. */
export interface Settings {
  theme: Theme;
  /** An IANA time zone, or `local`. */
  zone: string;
  /** Whether times in lists are relative, such as "3 min ago". */
  relative: boolean;
  columns: readonly Column[];
  pageSize: number;
  /** Whether single letters are shortcuts. */
  keys: boolean;
}

export const pageSizes = [10, 50, 200, 500] as const;

const initial: Settings = {
  theme: "system",
  zone: "local",
  relative: true,
  columns: defaultColumns,
  pageSize: 10,
  keys: true,
};
const place = "mcptap.settings";

/** Reads what was stored, and ignores what an older or a younger version wrote. */
export function readSettings(text: string | null): Settings {
  let found: Partial<Record<keyof Settings, unknown>> = {};
  try {
    const parsed: unknown = JSON.parse(text ?? "{}");
    if (parsed && typeof parsed === "object") found = parsed;
  } catch {
    // as if nothing was stored
  }
  const theme = (["system", "light", "dark"] as const).find((name) => name === found.theme);
  const chosen = readColumns(Array.isArray(found.columns) ? found.columns : []);
  return {
    theme: theme ?? initial.theme,
    zone: typeof found.zone === "string" && isZone(found.zone) ? found.zone : initial.zone,
    relative: typeof found.relative === "boolean" ? found.relative : initial.relative,
    columns: chosen ?? initial.columns,
    pageSize: pageSizes.find((size) => size === found.pageSize) ?? initial.pageSize,
    keys: typeof found.keys === "boolean" ? found.keys : initial.keys,
  };
}

/** The columns of a list of names, in the order in which they stand. Undefined where it names none. */
export function readColumns(names: readonly unknown[]): readonly Column[] | undefined {
  const known = columns.filter((name) => names.includes(name));
  return known.length > 0 ? known : undefined;
}

function isZone(zone: string): boolean {
  if (zone === "local") return true;
  try {
    return Boolean(new Intl.DateTimeFormat("en", { timeZone: zone }));
  } catch {
    return false;
  }
}

function stored(): string | null {
  try {
    return localStorage.getItem(place);
  } catch {
    return null;
  }
}

export const settings = createStore<Settings>(readSettings(stored()));

export function changeSettings(change: Partial<Settings>): void {
  const next = { ...settings.get(), ...change };
  settings.set(next);
  try {
    localStorage.setItem(place, JSON.stringify(next));
  } catch {
    // then it holds until the page is left
  }
}
