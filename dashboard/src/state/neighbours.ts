import { useCallback, useEffect, useState } from "react";
import { CallNeighboursDocument, CallTimeDocument } from "../gql/graphql";
import { ask, mayPass } from "./api";
import { useAskAgain } from "./asking";
import { clock } from "./clock";
import { type Filter, toCallFilter } from "./filter";
import { healPause } from "./repeat";
import { timeKey } from "./row";

export interface Neighbours {
  newer?: string | undefined;
  older?: string | undefined;
}

/** How many pages of calls with one and the same time are gone through. */
const mostPages = 20;

/** The calls beside one in the list of a filter, also where several began at the same moment. */
export async function neighboursOf(id: string, filter: Filter, signal: AbortSignal): Promise<Neighbours> {
  const { call } = await ask(CallTimeDocument, { id }, signal);
  if (!call) return {};
  const at = call.startedAt;
  const asked = toCallFilter(filter, new Date(clock()));
  const isLater = (one: string, other: string) => Date.parse(one) > Date.parse(other);
  const since = { ...asked, from: asked.from && isLater(asked.from, at) ? asked.from : at };
  const before = { ...asked, to: asked.to && isLater(at, asked.to) ? asked.to : at };
  const isNewer = (other: { id: string; startedAt: string }) => {
    const [key, own] = [timeKey(other.startedAt), timeKey(at)];
    return key === own ? other.id > id : key > own;
  };

  // newest first, down to the oldest of those that began with the call
  let known: readonly { id: string; startedAt: string }[] = [];
  let earlier: string | undefined;
  let cursor: string | null = null;
  for (let page = 0; page < mostPages; page++) {
    const answer: Awaited<ReturnType<typeof askPage>> = await askPage({ since, before, cursor }, signal);
    earlier = answer.before.nodes[0]?.id;
    known = [...answer.since.nodes, ...known];
    const found = known.findIndex((other) => other.id === id);
    const newest = known[0];
    const isPast = newest !== undefined && timeKey(newest.startedAt) > timeKey(at);
    if (found > 0 || isPast || !answer.since.pageInfo.hasPreviousPage) {
      // a call that is not of the filter stands between two that are
      const place = found < 0 ? known.filter(isNewer).length : found;
      return { newer: known[place - 1]?.id, older: known[found < 0 ? place : place + 1]?.id ?? earlier };
    }
    cursor = answer.since.pageInfo.startCursor;
  }
  return { older: earlier };
}

const askPage = (
  variables: {
    since: ReturnType<typeof toCallFilter>;
    before: ReturnType<typeof toCallFilter>;
    cursor: string | null;
  },
  signal: AbortSignal,
) => ask(CallNeighboursDocument, variables, signal);

/** The same for a component. Nothing without an id, and until it `isKnown`. A failure that may pass is asked about again. */
export function useNeighbours(id: string | undefined, filter: Filter): Neighbours & { isKnown: boolean } {
  const [state, setState] = useState<{
    id: string | undefined;
    filter: Filter;
    found: Neighbours;
    problem?: unknown;
  }>();
  const [retries, setRetries] = useState(0);
  // retries ask anew
  useEffect(() => {
    if (id === undefined) return;
    const asking = new AbortController();
    neighboursOf(id, filter, asking.signal).then(
      (found) => !asking.signal.aborted && setState({ id, filter, found }),
      // then there is no way on; the call itself says what is wrong
      (problem: unknown) => !asking.signal.aborted && setState({ id, filter, found: {}, problem }),
    );
    return () => asking.abort();
  }, [id, filter, retries]);
  const isKnown = id !== undefined && state?.id === id && state.filter === filter;
  const again = useCallback(() => setRetries((before) => before + 1), []);
  useAskAgain({ loading: !isKnown, again }, isKnown && mayPass(state.problem) ? healPause : undefined);
  return { ...(isKnown ? state.found : {}), isKnown };
}
