import { Link } from "wouter";
import { defined, errorOutcomes, type Filter, pickAll } from "../state/filter";
import { listAddress } from "../state/place";
import { count, duration, percent } from "../state/words";

export interface Totals {
  callCount: number;
  errorCount: number;
  p50Ms?: number | null | undefined;
  p95Ms?: number | null | undefined;
  p99Ms?: number | null | undefined;
}

/** The totals, each with a link to the calls that it counts. `failed`: the question for them did. */
export function Figures({
  filter,
  stats,
  failed,
}: {
  filter: Filter;
  stats: Totals | undefined;
  failed: boolean;
}) {
  const slower = (ms: number | null | undefined) => listAddress(defined({ ...filter, min: ms ?? undefined }));
  const figures = [
    ["Calls", stats && count(stats.callCount), listAddress(filter)],
    [
      "Errors",
      stats && `${count(stats.errorCount)} (${percent(stats.errorCount, stats.callCount)})`,
      listAddress(pickAll(filter, "outcome", errorOutcomes)),
    ],
    ["Median (p50)", stats && (stats.p50Ms == null ? "–" : duration(stats.p50Ms)), slower(stats?.p50Ms)],
    [
      "95th percentile (p95)",
      stats && (stats.p95Ms == null ? "–" : duration(stats.p95Ms)),
      slower(stats?.p95Ms),
    ],
    [
      "99th percentile (p99)",
      stats && (stats.p99Ms == null ? "–" : duration(stats.p99Ms)),
      slower(stats?.p99Ms),
    ],
  ] as const;
  return (
    <ul className="figures">
      {figures.map(([label, value, href]) => (
        <li key={label}>
          <Link href={href} className="card figure">
            <span className="quiet">{label}</span>
            <strong>{value ?? (failed ? "–" : "…")}</strong>
          </Link>
        </li>
      ))}
    </ul>
  );
}
