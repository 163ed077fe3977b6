import { useMemo, useReducer } from "react";
import { Link, useLocation } from "wouter";
import { FacetsDocument, type Outcome, StatsDocument, ToolsDocument } from "../gql/graphql";
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
import { type Rank, Ranking } from "../view/ranking";
import { Skeleton } from "../view/skeleton";
import { useTitle } from "../view/title";

/** How often the figures are asked for again, in milliseconds. */
const refresh = 15_000;
const longest = 8;
/** How many tools are compared with one another, by name: as many as the API gives at once. */
const mostTools = 500;

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
    ToolsDocument,
    useMemo(() => ({ filter: asked.filter, first: mostTools }), [asked]),
    round,
    filter,
  );
  useAskAgain({ loading: stats.loading || facets.loading || tools.loading, again }, refresh);
  const brush = (from: string, to = filter.to) =>
    navigate(listAddress(defined({ ...filter, range: undefined, from, to })));
  const problem = stats.data ? undefined : stats.problem;
  const notAll = tools.data?.tools.pageInfo.hasNextPage
    ? `Only the first ${mostTools} tools by name are compared. Narrow the filters to compare others.`
    : undefined;

  return (
    <div className="page">
      <div className="page-head">
        <h1>Overview</h1>
        <span className="hint">Refreshes every {refresh / 1000} s</span>
      </div>
      <FilterBar />
      {problem !== undefined && <Problem problem={problem} again={again} />}
      <Outdated of={[stats, facets, tools].map((asked) => ({ ...asked, again }))} />
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
          ranks={slowest(filter, tools.data?.tools.nodes)}
          note={notAll}
        />
        <Ranking
          title="Most failing tools"
          none="No failed tool calls."
          ranks={failing(filter, tools.data?.tools.nodes)}
          note={notAll}
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
  return facets?.slice(0, longest).map((facet) => ({
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

function slowest(filter: Filter, tools: readonly ToolTotals[] | undefined): Rank[] | undefined {
  // of a tool whose calls all run nobody knows how slow it is
  const sorted = tools
    ?.filter(({ stats }) => stats.p95Ms != null)
    .sort((a, b) => (b.stats.p95Ms ?? 0) - (a.stats.p95Ms ?? 0))
    .slice(0, longest);
  const most = sorted?.[0]?.stats.p95Ms || 1;
  return sorted?.map((tool) => ({
    ...toolRank(filter, tool),
    share: (tool.stats.p95Ms ?? 0) / most,
    value: duration(tool.stats.p95Ms ?? 0),
    tone: "warn",
  }));
}

/** How often calls fail at least, with 95% confidence (Wilson): one failure of one call says little. */
function leastRate({ callCount, errorCount }: Totals): number {
  if (callCount === 0) return 0;
  const [z, share] = [1.96, errorCount / callCount];
  const spread = z * Math.sqrt((share * (1 - share)) / callCount + (z * z) / (4 * callCount * callCount));
  return (share + (z * z) / (2 * callCount) - spread) / (1 + (z * z) / callCount);
}

function failing(filter: Filter, tools: readonly ToolTotals[] | undefined): Rank[] | undefined {
  const rate = ({ stats }: ToolTotals) => stats.errorCount / Math.max(1, stats.callCount);
  const failed = tools
    ?.filter(({ stats }) => stats.errorCount > 0)
    .sort((a, b) => leastRate(b.stats) - leastRate(a.stats));
  return failed?.slice(0, longest).map((tool) => {
    const { href, ...rest } = toolRank(pickAll(filter, "outcome", errorOutcomes), tool);
    return {
      ...rest,
      href,
      share: rate(tool),
      value: `${percent(tool.stats.errorCount, tool.stats.callCount)} of ${count(tool.stats.callCount)}`,
      tone: "bad",
    };
  });
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
