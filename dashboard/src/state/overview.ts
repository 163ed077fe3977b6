import { useMemo, useReducer, useRef } from "react";
import {
  FacetsDocument,
  type FacetsQuery,
  StatsDocument,
  type StatsQuery,
  ToolRankingsDocument,
  type ToolRankingsQuery,
} from "../gql/graphql";
import { type Asked, useAsk, useAskAgain } from "./asking";
import { clock, useSkew } from "./clock";
import { type Filter, toCallFilter } from "./filter";

/** How often the figures are asked for again, in milliseconds. */
export const refresh = 15_000;

/** The figures of one time range, as far as they are known. */
export interface Overview {
  /** The first moment of the range. Undefined: from the first call on. */
  from: string | undefined;
  /** The first moment after it. */
  to: string;
  stats: StatsQuery["stats"] | undefined;
  facets: FacetsQuery["facets"] | undefined;
  tools: ToolRankingsQuery | undefined;
}

/**
 * The figures of a filter's calls. The time range is fixed once for each refresh, and a new one takes the place of the old when
 * all of its figures are there, so that what is shown together is of the same time.
 */
export function useOverview(filter: Filter, ranks: number) {
  const [round, again] = useReducer((before: number) => before + 1, 0);
  const skew = useSkew(true);
  // each round has its own now; the skew is part of it
  const asked = useMemo(() => {
    const now = new Date(clock());
    const wanted = toCallFilter(filter, now);
    return { ...wanted, to: wanted.to ?? now.toISOString() };
  }, [filter, round, skew]);
  const stats = useAsk(
    StatsDocument,
    useMemo(() => ({ filter: asked, buckets: 60 }), [asked]),
    round,
    filter,
  );
  const facets = useAsk(
    FacetsDocument,
    useMemo(
      () => ({
        filter: asked,
        servers: true,
        tools: true,
        httpStatuses: true,
        outcomes: true,
        countries: true,
        clients: true,
      }),
      [asked],
    ),
    round,
    filter,
  );
  const tools = useAsk(
    ToolRankingsDocument,
    useMemo(() => ({ filter: asked, first: ranks }), [asked, ranks]),
    round,
    filter,
  );
  const all = [stats, facets, tools] as const;
  useAskAgain({ loading: all.some(({ loading }) => loading), again }, refresh);

  const whole = useRef<{ filter: Filter; of: Overview }>(undefined);
  const now = figuresOf(asked, stats, facets, tools);
  if (now.stats && now.facets && now.tools) whole.current = { filter, of: now };
  const isWhole = whole.current?.filter === filter;
  const shown = isWhole && whole.current ? whole.current.of : now;
  // what is old says so itself
  const problem = isWhole ? undefined : all.find((one) => one.problem !== undefined)?.problem;
  const isFailed = ({ problem }: Asked<unknown>, answer: unknown) =>
    problem !== undefined && answer === undefined;
  const failed = {
    stats: isFailed(stats, shown.stats),
    facets: isFailed(facets, shown.facets),
    tools: isFailed(tools, shown.tools),
  };
  return { shown, failed, all: all.map((one) => ({ ...one, again })), problem, again };
}

/** What there is of one question. Answers of an earlier one are not of its time. */
function figuresOf(
  asked: ReturnType<typeof toCallFilter> & { to: string },
  stats: Asked<StatsQuery>,
  facets: Asked<FacetsQuery>,
  tools: Asked<ToolRankingsQuery>,
): Overview {
  const answer = <Result>({ data, answered }: Asked<Result>) =>
    (answered as { filter?: unknown } | undefined)?.filter === asked ? data : undefined;
  return {
    from: asked.from ?? undefined,
    to: asked.to,
    stats: answer(stats)?.stats,
    facets: answer(facets)?.facets,
    tools: answer(tools),
  };
}
