import { type RefObject, useEffect, useRef, useState } from "react";
import { clock, useSkew } from "./clock";
import { type Filter, toCallFilter, writeFilter } from "./filter";
import { keyStore } from "./key";
import { CallList } from "./list";
import type { Left } from "./list-state";
import { repeat } from "./repeat";
import { Memory, takeReturn } from "./returning";
import { runningPause } from "./running";
import { useStore } from "./store";

/** How often calls that have left the range are let go, in milliseconds. */
const windowPause = 1_000;
/** How often the list is gone through for calls that are not there any more, in milliseconds. */
const recheckPause = 5_000;

/** Where a reader was in a list: how far down, in pixels, and at which call. */
export interface Place {
  top: number;
  marked: string | undefined;
}

const memory = new Memory<{ left: Left; place: Place }>();

/**
 * The list of a filter's calls, which follows the filter, the switch Live and the key. `goesOn`: its range has no end. `place` is where the reader is; going
 * back to a list finds its rows again, and `onReturn` is told of the place.
 */
export function useCallList(
  filter: Filter,
  pageSize: number,
  live: boolean,
  goesOn: boolean,
  round: number,
  place?: RefObject<Place>,
  onReturn?: (place: Place) => void,
) {
  const [list] = useState(() => new CallList());
  const { attempt } = useStore(keyStore);
  const state = useStore(list.state);
  const skew = useSkew(filter.range !== undefined);
  const known = useRef({ round, attempt });
  const tell = useRef(onReturn);
  tell.current = onReturn;
  const isOpen = useRef(goesOn);
  isOpen.current = goesOn;

  // round, attempt and another clock ask anew
  useEffect(() => {
    const name = `${writeFilter(filter)} ${pageSize} ${attempt}`;
    const isAsked = known.current.round !== round || known.current.attempt !== attempt;
    known.current = { round, attempt };
    const before = place && takeReturn() && !isAsked ? memory.find(name) : undefined;
    const now = new Date(clock());
    const asked = toCallFilter(filter, now, true);
    const end = filter.range === undefined || isOpen.current ? undefined : now.toISOString();
    if (before) {
      list.goOn(asked, pageSize, filter, before.left, before.place.top > 0);
      tell.current?.(before.place);
    } else void list.start(asked, pageSize, filter, end);
    return () => {
      const left = list.leave();
      if (place && left?.question === filter) memory.keep(name, { left, place: { ...place.current } });
      list.stop();
    };
  }, [list, filter, pageSize, round, attempt, skew, place]);
  useEffect(() => list.setLive(live), [list, live]);
  // a range that ends now goes on with the time
  useEffect(() => {
    if (!live || filter.range === undefined) return;
    return repeat(windowPause, () => {
      const { from } = toCallFilter(filter, new Date(clock()));
      if (from) list.dropBefore(from);
    });
  }, [list, live, filter]);
  useEffect(() => (live ? repeat(recheckPause, () => list.recheck()) : undefined), [list, live]);
  useEffect(() => repeat(runningPause, () => list.refreshRunning()), [list]);
  // for one moment the state still answers the question before
  return { list, state: state.question === filter ? state : { ...state, loading: "first" as const } };
}

/** Whether a range goes on with the time: while Live is on, and after that until it is asked for anew. */
export function useGoesOn(live: boolean, filter: Filter, round: number): boolean {
  const [known, setKnown] = useState({ filter, round, live });
  const isSame = known.filter === filter && known.round === round;
  if (!isSame || (live && !known.live)) setKnown({ filter, round, live });
  return live || (isSame && known.live);
}
