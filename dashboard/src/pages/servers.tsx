import { useMemo, useReducer } from "react";
import { Link } from "wouter";
import { FacetsDocument, ServersDocument } from "../gql/graphql";
import { useAsk, useAskAgain } from "../state/asking";
import { errorOutcomes, noFilter, pick, pickAll } from "../state/filter";
import { listAddress } from "../state/place";
import { count, percent, visible } from "../state/words";
import { Moment } from "../view/moment";
import { PlainTable } from "../view/plain-table";
import { Problem } from "../view/problem";
import { Skeleton } from "../view/skeleton";
import { useTitle } from "../view/title";

const headings = ["Server", { number: "Calls" }, { number: "Errors" }, "First call", "Last call"];

/** How often the servers are asked for again, in milliseconds. */
const refresh = 15_000;

/** All servers, and how they do. */
export default function ServersPage() {
  useTitle("Servers");
  const [round, again] = useReducer((before: number) => before + 1, 0);
  const servers = useAsk(
    ServersDocument,
    useMemo(() => ({ first: 500 }), []),
    round,
  );
  const { data, problem } = servers;
  const calls = useAsk(
    FacetsDocument,
    useMemo(() => ({ filter: {}, servers: true }), []),
    round,
  );
  const failed = useAsk(
    FacetsDocument,
    useMemo(() => ({ filter: { outcomes: [...errorOutcomes] }, servers: true }), []),
    round,
  );
  useAskAgain({ loading: servers.loading || calls.loading || failed.loading, again }, refresh);
  const countOf = (asked: typeof calls, name: string) =>
    asked.data && (asked.data.facets.servers?.find(({ value }) => value === name)?.count ?? 0);
  return (
    <div className="page">
      <div className="page-head">
        <h1>Servers</h1>
        {data?.servers.pageInfo.hasNextPage && (
          <span className="quiet">The first {count(data.servers.nodes.length)} by name; there are more</span>
        )}
      </div>
      {problem !== undefined && !data && <Problem problem={problem} again={again} />}
      {!data && problem === undefined && <Skeleton lines={6} />}
      {data?.servers.nodes.length === 0 && (
        <div className="none">
          <h2>No servers yet</h2>
          <p>
            <Link href="/setup">Set one up</Link>, and it appears here with its first call.
          </p>
        </div>
      )}
      {data && data.servers.nodes.length > 0 && (
        <PlainTable label="Servers" headings={headings}>
          {data.servers.nodes.map((server) => {
            const all = countOf(calls, server.name);
            const wrong = countOf(failed, server.name);
            const ofServer = pick(noFilter, "server", server.name, "include");
            return (
              <tr key={server.id}>
                <td className="names wide" title={server.name}>
                  <Link href={`/servers/${encodeURIComponent(server.name)}`}>
                    <strong>{visible(server.name)}</strong>
                  </Link>
                </td>
                <td className="number" data-label="calls">
                  {all !== undefined && <Link href={listAddress(ofServer)}>{count(all)}</Link>}
                </td>
                <td className="number" data-label="errors">
                  {wrong !== undefined && all !== undefined && (
                    <Link href={listAddress(pickAll(ofServer, "outcome", errorOutcomes))}>
                      {count(wrong)} ({percent(wrong, all)})
                    </Link>
                  )}
                </td>
                <td data-before="first call">
                  <Moment time={server.firstSeenAt} />
                </td>
                <td data-before="last call">
                  <Moment time={server.lastSeenAt} />
                </td>
              </tr>
            );
          })}
        </PlainTable>
      )}
    </div>
  );
}
