import { useCallback, useMemo, useReducer } from "react";
import { Link } from "wouter";
import { FacetsDocument, ServersDocument, type ServersQuery } from "../gql/graphql";
import { useAsk, useAskAgain } from "../state/asking";
import { errorOutcomes, noFilter, pick, pickAll } from "../state/filter";
import { useKeys } from "../state/keys";
import { serverFields, toOrderBy } from "../state/order";
import { usePages } from "../state/paging";
import { listAddress } from "../state/place";
import { useOrder } from "../state/use-order";
import { count, percent, plural, visible } from "../state/words";
import { loadedWords, useFind } from "../view/find";
import { LoadMore } from "../view/load-more";
import { Moment } from "../view/moment";
import { Narrowed } from "../view/narrowed";
import { Outdated } from "../view/outdated";
import { type Heading, PlainTable } from "../view/plain-table";
import { Problem } from "../view/problem";
import { Skeleton } from "../view/skeleton";
import { useTitle } from "../view/title";

const headings: readonly Heading[] = [
  { words: "Server", by: "name" },
  { number: "Calls", by: "calls" },
  { number: "Errors", by: "errors" },
  "First call",
  "Last call",
];

/** How often the servers are asked for again, in milliseconds. */
const refresh = 15_000;

const pageSize = 200;
const serversOf = ({ servers }: ServersQuery) => ({ items: servers.nodes, pageInfo: servers.pageInfo });

/** All servers, and how they do. */
export default function ServersPage() {
  useTitle("Servers");
  const [round, again] = useReducer((before: number) => before + 1, 0);
  const { order, sortBy } = useOrder(serverFields);
  const { by, descending } = order;
  const question = useCallback(
    () => ({ orderBy: toOrderBy({ by, descending }), first: pageSize }),
    [by, descending],
  );
  const servers = usePages(ServersDocument, question, serversOf, round);
  const found = useFind(servers, "Find a server");
  const { items } = found;
  const { problem } = servers;
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
  useKeys({ r: again });
  // the menu of servers has an end: of one that is not in it nothing is known
  const countOf = ({ data }: typeof calls, name: string) =>
    data &&
    (data.facets.servers?.find(({ value }) => value === name)?.count ??
      (data.facets.more.servers ? undefined : 0));
  /** Of how many servers the figures are known, where that is not all. */
  const longest = calls.data?.facets.more.servers ? calls.data.facets.servers?.length : undefined;
  return (
    <div className="page">
      <div className="page-head">
        <h1>Servers</h1>
        <Narrowed />
        {servers.items && servers.items.length > 0 && (
          <>
            <span className="quiet" role="status">
              {loadedWords(servers, found, "server")}
            </span>
            <span className="space" />
            {found.field}
          </>
        )}
      </div>
      {problem !== undefined && !items && <Problem problem={problem} again={again} />}
      <Outdated of={[servers, calls, failed].map((asked) => ({ ...asked, again }))} />
      {found.unsearched}
      {!items && problem === undefined && <Skeleton lines={6} />}
      {found.typed && items?.length === 0 && !servers.more && <p className="hint">No servers match.</p>}
      {servers.items?.length === 0 && (
        <div className="none">
          <h2>No servers yet</h2>
          <p>
            A server appears here with its first call. <Link href="/setup">Set up a server</Link>
          </p>
        </div>
      )}
      {longest !== undefined && (
        <p className="hint">Counts are shown for the top {count(longest)} servers by calls and by errors.</p>
      )}
      {items && items.length > 0 && (
        <PlainTable label="Servers" headings={headings} order={order} onSort={sortBy}>
          {items.map((server) => {
            const all = countOf(calls, server.name);
            const wrong = countOf(failed, server.name);
            const ofServer = pick(noFilter, "server", server.name, "include");
            return (
              <tr key={server.id}>
                <td className="names wide" title={visible(server.name)}>
                  <Link href={`/servers/${encodeURIComponent(server.name)}`}>
                    <strong>{visible(server.name)}</strong>
                  </Link>
                </td>
                <td className="number" data-label={plural(all ?? 0, "call")}>
                  {all !== undefined ? (
                    <Link href={listAddress(ofServer)}>{count(all)}</Link>
                  ) : (
                    calls.data && "–"
                  )}
                </td>
                <td className="number" data-label={plural(wrong ?? 0, "error")}>
                  {wrong !== undefined && all !== undefined ? (
                    <Link href={listAddress(pickAll(ofServer, "outcome", errorOutcomes))}>
                      {count(wrong)} ({percent(wrong, all)})
                    </Link>
                  ) : (
                    calls.data && "–"
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
      {!found.typed && <LoadMore list={servers} what="more servers" label="Servers" />}
    </div>
  );
}
