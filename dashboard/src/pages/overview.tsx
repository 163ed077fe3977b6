import { useMemo } from "react";
import { Link, useLocation } from "wouter";
import type { Outcome } from "../gql/graphql";
import { defined, errorOutcomes, type Filter, isEmpty, type ListName, pick, pickAll } from "../state/filter";
import { refresh, useOverview } from "../state/overview";
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
  shortly,
  statusTone,
  visible,
} from "../state/words";
import { type Bucket, Chart } from "../view/chart";
import { Country } from "../view/country";
import { Figures, type Totals } from "../view/figures";
import { FilterBar } from "../view/filter-bar";
import { Narrowed, useBound } from "../view/narrowed";
import { Outdated } from "../view/outdated";
import { Problem } from "../view/problem";
import { longestRanking, type Rank, Ranking } from "../view/ranking";
import { Skeleton } from "../view/skeleton";
import { useTitle } from "../view/title";

/** How many ranks are asked for: one more than are shown tells that there are more. */
const ranks = longestRanking + 1;

/** How much, how often wrong, how slow; every number leads to its calls. */
export default function OverviewPage() {
  useTitle("Overview");
  const { filter } = useFilter();
  const bound = useBound().length > 0;
  const [, navigate] = useLocation();
  const { zone } = useStore(settings);
  // of streams, which stay open, durations say nothing; the same calls are behind all figures, and behind their links
  const requests = useMemo(
    () => (filter.include.kind || filter.exclude.kind ? filter : pick(filter, "kind", "REQUEST", "include")),
    [filter],
  );
  const { shown, failed, all, problem, again } = useOverview(requests, ranks);
  const { from, to, stats, facets, tools } = shown;
  const brush = (first: string, end = to) =>
    navigate(listAddress(defined({ ...requests, range: undefined, from: first, to: end })));
  return (
    <div className="page">
      <div className="page-head">
        <h1>Overview</h1>
        <span className="hint">
          {from ? shortly([from, to], zone).join(" – ") : `Data through ${absolute(to, zone, "short")}`} ·
          auto-refresh {refresh / 1000} s
        </span>
        <Narrowed />
      </div>
      <FilterBar />
      {problem !== undefined && <Problem problem={problem} again={again} />}
      <Outdated of={all} />
      {isEmpty(filter) && stats?.callCount === 0 && (
        <p className="hint">
          No calls yet. <Link href="/setup">Set up a server</Link>
        </p>
      )}
      <Figures filter={requests} stats={stats} failed={failed.stats} />
      <div className="cards wide-cards">
        <section className="card" aria-label="Calls and errors">
          <h2>Calls and errors</h2>
          {stats ? (
            <>
              <Chart
                series={stats.series}
                to={to}
                kind="calls"
                label="Calls and errors over time"
                onBrush={brush}
              />
              <BucketTable series={stats.series} to={to} filter={requests} />
            </>
          ) : (
            <Skeleton lines={7} failed={failed.stats} />
          )}
        </section>
        <section className="card" aria-label="Durations">
          <h2>Durations</h2>
          {stats ? (
            <Chart
              series={stats.series}
              to={to}
              kind="latency"
              label="Percentiles of durations over time"
              onBrush={brush}
            />
          ) : (
            <Skeleton lines={7} failed={failed.stats} />
          )}
        </section>
      </div>
      <div className="cards">
        <Ranking
          title="Outcomes"
          none={`${isEmpty(filter) ? "No calls are stored" : "No calls match these filters"}${bound ? ", or this key may not see them" : ""}.`}
          failed={failed.facets}
          ranks={valueRanks(requests, "outcome", facets?.outcomes, (value) => ({
            words: outcomeOf(value),
            tone: outcomeTone(value as Outcome),
          }))}
        />
        <Ranking
          title="HTTP status"
          none="No HTTP status recorded."
          failed={failed.facets}
          ranks={valueRanks(requests, "status", facets?.httpStatuses, (value) => ({
            words: value,
            tone: statusTone(Number(value)),
          }))}
        />
        <Ranking
          title="Top tools"
          none="No tool calls."
          failed={failed.facets}
          ranks={valueRanks(requests, "tool", facets?.tools, code)}
        />
        <Ranking
          title="Slowest tools (p95)"
          none="No tool calls."
          failed={failed.tools}
          ranks={slowest(requests, tools?.slowest.nodes)}
        />
        <Ranking
          title="Most failing tools"
          none="No failed tool calls."
          order="Ranked by error rate, adjusted for low call counts (95% Wilson lower bound)."
          failed={failed.tools}
          ranks={failing(requests, tools?.failing.nodes)}
        />
        <Ranking
          title="Servers"
          none="No servers."
          failed={failed.facets}
          ranks={valueRanks(requests, "server", facets?.servers, name)}
        />
        <Ranking
          title="Clients"
          none="No client names recorded."
          failed={failed.facets}
          ranks={valueRanks(requests, "client", facets?.clients, name)}
        />
        <Ranking
          title="Countries"
          none="No countries recorded. Private addresses have none."
          failed={failed.facets}
          ranks={valueRanks(requests, "country", facets?.countries, (value) => ({
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
function BucketTable({
  series,
  to,
  filter,
}: {
  series: readonly Bucket[];
  /** The end of the last bucket. */
  to: string;
  filter: Filter;
}) {
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
            <th scope="col">p50</th>
            <th scope="col">p95</th>
            <th scope="col">p99</th>
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
                        to: series[index + 1]?.start ?? to,
                      }),
                    )}
                  >
                    {absolute(bucket.start, zone, "short")}
                  </Link>
                </td>
                <td>{count(bucket.callCount)}</td>
                <td>{count(bucket.errorCount)}</td>
                {([bucket.p50Ms, bucket.p95Ms, bucket.p99Ms] as const).map((ms, at) => (
                  // biome-ignore lint/suspicious/noArrayIndexKey: the columns have a fixed order
                  <td key={at}>{ms == null ? "" : duration(ms)}</td>
                ))}
              </tr>
            ),
          )}
        </tbody>
      </table>
    </details>
  );
}
