import { useMemo, useReducer } from "react";
import { Link, useLocation } from "wouter";
import { FacetsDocument, type Outcome, StatsDocument, ToolRankingsDocument } from "../gql/graphql";
import { useAsk, useAskAgain } from "../state/asking";
import {
  defined,
  errorOutcomes,
  type Filter,
  isEmpty,
  type ListName,
  pick,
  pickAll,
  toCallFilter,
} from "../state/filter";
import { listAddress, useFilter } from "../state/place";
import { settings } from "../state/settings";
import { useStore } from "../state/store";
import {
  absolute,
  count,
  duration,
  outcomeOf,
  outcomeTone,
  percent,
  statusTone,
  visible,
} from "../state/words";
import { type Bucket, Chart } from "../view/chart";
import { Country } from "../view/country";
import { Figures, type Totals } from "../view/figures";
import { FilterBar } from "../view/filter-bar";
import { Outdated } from "../view/outdated";
import { Problem } from "../view/problem";
import { longestRanking, type Rank, Ranking } from "../view/ranking";
import { Skeleton } from "../view/skeleton";
import { useTitle } from "../view/title";

/** How often the figures are asked for again, in milliseconds. */
const refresh = 15_000;
/** How many ranks are asked for: one more than are shown tells that there are more. */
const ranks = longestRanking + 1;

/** How much, how often wrong, how slow; every number leads to its calls. */
export default function OverviewPage() {
  useTitle("Overview");
  const { filter } = useFilter();
  const [round, again] = useReducer((before: number) => before + 1, 0);
  const [, navigate] = useLocation();
  // each round has its own now
  const asked = useMemo(() => ({ filter: toCallFilter(filter, new Date()), buckets: 60 }), [filter, round]);
  const stats = useAsk(StatsDocument, asked, round, filter);
  const facets = useAsk(
    FacetsDocument,
    useMemo(
      () => ({
        filter: asked.filter,
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
    useMemo(() => ({ filter: asked.filter, first: ranks }), [asked]),
    round,
    filter,
  );
  useAskAgain({ loading: stats.loading || facets.loading || tools.loading, again }, refresh);
  const brush = (from: string, to = filter.to) =>
    navigate(listAddress(defined({ ...filter, range: undefined, from, to })));
  const problem = stats.data ? undefined : stats.problem;

  return (
    <div className="page">
      <div className="page-head">
        <h1>Overview</h1>
        <span className="hint">Refreshes every {refresh / 1000} s</span>
      </div>
      <FilterBar />
      {problem !== undefined && <Problem problem={problem} again={again} />}
      <Outdated of={[stats, facets, tools].map((asked) => ({ ...asked, again }))} />
      {isEmpty(filter) && stats.data?.stats.callCount === 0 && (
        <p className="hint">
          No calls yet: figures appear with the calls of a server. <Link href="/setup">Set one up</Link>
        </p>
      )}
      <Figures filter={filter} stats={stats.data?.stats} />
      <div className="cards wide-cards">
        <section className="card" aria-label="Calls and errors">
          <h2>Calls and errors</h2>
          {stats.data ? (
            <>
              <Chart
                series={stats.data.stats.series}
                kind="calls"
                label="Calls and errors over time"
                onBrush={brush}
              />
              <BucketTable series={stats.data.stats.series} filter={filter} />
            </>
          ) : (
            <Skeleton lines={7} />
          )}
        </section>
        <section className="card" aria-label="Durations">
          <h2>Durations</h2>
          {stats.data ? (
            <Chart
              series={stats.data.stats.series}
              kind="latency"
              label="Percentiles of durations over time"
              onBrush={brush}
            />
          ) : (
            <Skeleton lines={7} />
          )}
        </section>
      </div>
      <div className="cards">
        <Ranking
          title="Outcomes"
          none={isEmpty(filter) ? "No calls are stored." : "No calls match these filters."}
          ranks={valueRanks(filter, "outcome", facets.data?.facets.outcomes, (value) => ({
            words: outcomeOf(value),
            tone: outcomeTone(value as Outcome),
          }))}
        />
        <Ranking
          title="HTTP status"
          none="No HTTP status recorded."
          ranks={valueRanks(filter, "status", facets.data?.facets.httpStatuses, (value) => ({
            words: value,
            tone: statusTone(Number(value)),
          }))}
        />
        <Ranking
          title="Top tools"
          none="No tool calls."
          ranks={valueRanks(filter, "tool", facets.data?.facets.tools, code)}
        />
        <Ranking
          title="Slowest tools (p95)"
          none="No tool calls."
          ranks={slowest(filter, tools.data?.slowest.nodes)}
        />
        <Ranking
          title="Most failing tools"
          none="No failed tool calls."
          ranks={failing(filter, tools.data?.failing.nodes)}
        />
        <Ranking
          title="Servers"
          none="No servers."
          ranks={valueRanks(filter, "server", facets.data?.facets.servers, name)}
        />
        <Ranking
          title="Clients"
          none="No client names recorded."
          ranks={valueRanks(filter, "client", facets.data?.facets.clients, name)}
        />
        <Ranking
          title="Countries"
          none="No countries recorded. Private addresses have none."
          ranks={valueRanks(filter, "country", facets.data?.facets.countries, (value) => ({
            words: <Country code={value} named />,
          }))}
        />
      </div>
    </div>
  );
}

type Facet = { value: string; count: number };

const code = (value: string) => ({
  words: <span className="code">{visible(value)}</span>,
  title: visible(value),
});

const name = (value: string) => ({ words: visible(value), title: visible(value) });

function valueRanks(
  filter: Filter,
  name: ListName,
  facets: readonly Facet[] | undefined,
  show: (value: string) => Pick<Rank, "words" | "tone" | "title">,
): Rank[] | undefined {
  const most = facets?.[0]?.count ?? 1;
  return facets?.slice(0, ranks).map((facet) => ({
    key: facet.value,
    ...show(facet.value),
    share: facet.count / most,
    value: count(facet.count),
    href: listAddress(pick(filter, name, facet.value, "include")),
  }));
}

interface ToolTotals {
  id: string;
  name: string;
  server: { name: string };
  stats: Totals;
}

function toolRank(filter: Filter, tool: ToolTotals): Pick<Rank, "key" | "words" | "title" | "href"> {
  const ofServer = pickAll(filter, "server", [tool.server.name]);
  return {
    key: tool.id,
    title: visible(`${tool.name}, ${tool.server.name}`),
    words: (
      <>
        <span className="code">{visible(tool.name)}</span>{" "}
        <span className="quiet">{visible(tool.server.name)}</span>
      </>
    ),
    href: listAddress(pickAll(ofServer, "tool", [tool.name])),
  };
}

/** Tools as the API ranks them, slowest first. */
function slowest(filter: Filter, tools: readonly ToolTotals[] | undefined): Rank[] | undefined {
  // of a tool whose calls all run nobody knows how slow it is
  const timed = tools?.filter(({ stats }) => stats.p95Ms != null);
  const most = timed?.[0]?.stats.p95Ms || 1;
  return timed?.map((tool) => ({
    ...toolRank(filter, tool),
    share: (tool.stats.p95Ms ?? 0) / most,
    value: duration(tool.stats.p95Ms ?? 0),
    tone: "warn",
  }));
}

/** Tools as the API ranks them: by how often they fail at least, as one failure of one call says little. */
function failing(filter: Filter, tools: readonly ToolTotals[] | undefined): Rank[] | undefined {
  const failed = tools?.filter(({ stats }) => stats.errorCount > 0);
  return failed?.map((tool) => ({
    ...toolRank(pickAll(filter, "outcome", errorOutcomes), tool),
    share: tool.stats.errorCount / Math.max(1, tool.stats.callCount),
    value: `${percent(tool.stats.errorCount, tool.stats.callCount)} of ${count(tool.stats.callCount)}`,
    tone: "bad",
  }));
}

/** The chart for those who cannot see it or have no mouse. */
function BucketTable({ series, filter }: { series: readonly Bucket[]; filter: Filter }) {
  const { zone } = useStore(settings);
  return (
    <details>
      <summary>Show as table</summary>
      <table className="plain-table">
        <thead>
          <tr>
            <th scope="col">From</th>
            <th scope="col">Calls</th>
            <th scope="col">Errors</th>
            <th scope="col">p95</th>
          </tr>
        </thead>
        <tbody>
          {series.map((bucket, index) =>
            bucket.callCount === 0 ? null : (
              <tr key={bucket.start}>
                <td>
                  <Link
                    href={listAddress(
                      defined({
                        ...filter,
                        range: undefined,
                        from: bucket.start,
                        to: series[index + 1]?.start ?? filter.to,
                      }),
                    )}
                  >
                    {absolute(bucket.start, zone, "short")}
                  </Link>
                </td>
                <td>{count(bucket.callCount)}</td>
                <td>{count(bucket.errorCount)}</td>
                <td>{bucket.p95Ms == null ? "" : duration(bucket.p95Ms)}</td>
              </tr>
            ),
          )}
        </tbody>
      </table>
    </details>
  );
}
