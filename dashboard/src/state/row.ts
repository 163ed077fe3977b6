import type { CallRowFragment } from "../gql/graphql";

export type Call = CallRowFragment;

/** A call in the list, and where it stands there. */
export interface Row {
  call: Call;
  cursor: string;
  /** Sorts by time down to the nanosecond, which a Date would lose. */
  key: string;
}

export function toRow(edge: { cursor: string; node: Call }): Row {
  return { call: edge.node, cursor: edge.cursor, key: timeKey(edge.node.startedAt) };
}

/** RFC 3339 in UTC with the fraction filled up, so that text order is the order of time. */
export function timeKey(time: string): string {
  const [whole = "", fraction = ""] = time.replace(/Z$/, "").split(".");
  return `${whole}.${fraction.padEnd(9, "0")}`;
}

/** Newest first, as the API's own pages are. */
export function newestFirst(a: Row, b: Row): number {
  if (a.key !== b.key) return a.key < b.key ? 1 : -1;
  if (a.call.id === b.call.id) return 0;
  return a.call.id < b.call.id ? 1 : -1;
}

/**
 * Two sorted lists as one, each call once; what is in `fresh` replaces what is in `rows`. As what is fresh is mostly
 * newer than everything else, the rest of `rows` is copied and not compared.
 */
export function merge(rows: readonly Row[], fresh: readonly Row[]): Row[] {
  if (fresh.length === 0) return [...rows];
  const merged: Row[] = [];
  let at = 0;
  for (const row of fresh) {
    for (let old = rows[at]; old && newestFirst(old, row) < 0; old = rows[++at]) merged.push(old);
    merged.push(row);
    if (rows[at]?.call.id === row.call.id) at++;
  }
  return merged.concat(rows.slice(at));
}
