import { useEffect, useRef } from "react";

/** To the next call of a list, or to the previous one. */
export type Step = 1 | -1;

/**
 * Steps from call to call. What is asked for before it is known what is beside a call is not lost: it is done as soon as that is
 * known. `find` gives the id of the call beside the one with `id`, undefined where there is none, and `go` shows a call.
 */
export function useSteps(
  id: string | undefined,
  isKnown: boolean,
  find: (by: Step) => string | undefined | Promise<string | undefined>,
  go: (id: string) => void,
): (by: Step) => void {
  const latest = useRef({ id, isKnown, find, go });
  latest.current = { id, isKnown, find, go };
  /** How many steps onwards are still to be made, and from which call. */
  const owed = useRef({ id, steps: 0 });
  const busy = useRef(false);

  const settle = async () => {
    const { id: from, isKnown: known, find: next } = latest.current;
    if (busy.current) return;
    // somebody went to another call in between
    if (owed.current.id !== from) owed.current = { id: from, steps: 0 };
    const { steps } = owed.current;
    if (steps === 0 || !known || from === undefined) return;
    busy.current = true;
    const by = steps > 0 ? 1 : -1;
    const to = await next(by);
    busy.current = false;
    // at the end of the list the rest leads nowhere
    const left = to === undefined ? 0 : owed.current.steps - by;
    if (latest.current.id !== from) return;
    owed.current = { id: to ?? from, steps: left };
    if (to !== undefined) latest.current.go(to);
  };
  const settling = useRef(settle);
  settling.current = settle;
  useEffect(() => {
    if (owed.current.steps !== 0) void settling.current();
  });
  return (by) => {
    if (!busy.current && owed.current.id !== latest.current.id)
      owed.current = { id: latest.current.id, steps: 0 };
    owed.current = { ...owed.current, steps: owed.current.steps + by };
    void settle();
  };
}
