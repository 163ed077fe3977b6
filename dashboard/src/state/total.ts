import { useEffect, useMemo, useReducer, useRef } from "react";
import { CallCountDocument } from "../gql/graphql";
import { useAsk, useAskAgain } from "./asking";
import { clock, useSkew } from "./clock";
import { type Filter, toCallFilter } from "./filter";
import type { ListState } from "./list-state";

/** How often calls are counted again while Live is on, in milliseconds: they are also deleted, and expire. */
const totalPause = 5_000;
/** How long they are not counted again after they were, though there are others, in milliseconds. */
const shortest = 1_000;
/** How much longer it takes until they are counted again than it took to count them. */
const share = 3;

export interface Total {
  value: number;
  /** Whether there are more than that: counting stopped there. */
  more: boolean;
  /** When they were counted, in milliseconds since 1970. */
  at: number;
}

/**
 * How many calls a filter means, as the API has counted them. `goesOn`: its range has no end. While Live is on they are counted again when the list has become
 * another: from the first page on, when the feed has caught up, and when it has told of calls.
 */
export function useTotal(
  filter: Filter,
  round: number,
  live: boolean,
  goesOn: boolean,
  list: Pick<ListState, "at" | "live" | "told">,
): { total: Total | undefined; problem: unknown } {
  const [turn, again] = useReducer((before: number) => before + 1, 0);
  const skew = useSkew(filter.range !== undefined);
  // each turn has its own now; the skew is part of it
  const variables = useMemo(
    () => ({ filter: toCallFilter(filter, new Date(clock()), goesOn) }),
    [filter, turn, skew, goesOn],
  );
  const { data, of, at, loading, problem } = useAsk(CallCountDocument, variables, round + turn, filter);
  useAskAgain({ loading, again }, live ? totalPause : undefined);

  const mark = `${list.at} ${list.live === "live"} ${list.told}`;
  const asked = useRef({ mark, at: 0 });
  const took = useRef(0);
  // the variables and the round are the question
  useEffect(() => {
    asked.current = { mark: latest.current, at: Date.now() };
  }, [variables, round]);
  const latest = useRef(mark);
  latest.current = mark;
  useEffect(() => {
    if (!loading) took.current = Date.now() - asked.current.at;
  }, [loading]);
  const isOld = live && !loading && mark !== asked.current.mark;
  useEffect(() => {
    if (!isOld) return;
    const timer = setTimeout(again, Math.max(shortest, share * took.current));
    return () => clearTimeout(timer);
  }, [isOld]);

  if (!data || at === undefined || of !== filter) return { total: undefined, problem };
  const { value, relation } = data.calls.totalCount;
  return { total: { value, more: relation === "AT_LEAST", at }, problem };
}
