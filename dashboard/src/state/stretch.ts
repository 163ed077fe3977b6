import { type Row, timeKey } from "./row";

/** How many calls are looked for at once: as many as the API gives. */
export const mostStretched = 500;

/** Which calls there are in a stretch of the list, newest first. */
export interface Stretch {
  calls: readonly { id: string; startedAt: string }[];
  /** Whether there are older ones than these. */
  hasMore: boolean;
}

/**
 * Those of `rows` that are no longer where they would be: after the call whose cursor was asked with, as far down as the answer
 * goes. Of those that began with the first or the last of the answer it is not known on which side of it they would stand.
 */
export function goneOf(rows: readonly Row[], after: Row | undefined, { calls, hasMore }: Stretch): Row[] {
  const there = new Set(calls.map(({ id }) => id));
  const last = calls.at(-1);
  if (hasMore && !last) return [];
  const end = hasMore && last ? timeKey(last.startedAt) : "";
  return rows.filter(({ key, call }) => !there.has(call.id) && key > end && (!after || key < after.key));
}
