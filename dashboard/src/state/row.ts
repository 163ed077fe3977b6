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

/** Newest first, as the API's own pages are; of calls that began at the same moment in another order than theirs. */
export function newestFirst(a: Row, b: Row): number {
  if (a.key !== b.key) return a.key < b.key ? 1 : -1;
  if (a.call.id === b.call.id) return 0;
  return a.call.id < b.call.id ? 1 : -1;
}

/**
 * Two sorted lists as one, each call once; what is in `fresh` replaces what is in `rows`. Of calls that began at the same moment
 * those of `rows` keep their order, which the API alone knows, and others stand before them. As what is fresh is mostly newer
 * than everything else, the rest of `rows` is copied and not compared.
 */
export function merge(rows: readonly Row[], fresh: readonly Row[]): Row[] {
  const merged: Row[] = [];
  let at = 0;
  let next = 0;
  for (let first = fresh[next]; first; first = fresh[next]) {
    const { key } = first;
    for (let old = rows[at]; old && old.key > key; old = rows[++at]) merged.push(old);
    const known = new Map<string, Row>();
    for (let old = rows[at]; old?.key === key; old = rows[++at]) known.set(old.call.id, old);
    for (let row = fresh[next]; row?.key === key; row = fresh[++next]) {
      if (known.has(row.call.id)) known.set(row.call.id, row);
      else merged.push(row);
    }
    for (const row of known.values()) merged.push(row);
  }
  return merged.concat(rows.slice(at));
}

/** The rows of the next page after those that are loaded, each call once. */
export function append(rows: readonly Row[], page: readonly Row[]): Row[] {
  const known = new Set(rows.map(({ call }) => call.id));
  return rows.concat(page.filter(({ call }) => !known.has(call.id)));
}
