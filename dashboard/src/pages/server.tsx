import { useCallback } from "react";
import { Link } from "wouter";
import { ToolsDocument, type ToolsQuery } from "../gql/graphql";
import { useAskAgain } from "../state/asking";
import { errorOutcomes, noFilter, pick, pickAll } from "../state/filter";
import { failing, health } from "../state/health";
import { useKeys } from "../state/keys";
import { toOrderBy, toolFields } from "../state/order";
import { usePages } from "../state/paging";
import { listAddress, usePlace } from "../state/place";
import { useOrder } from "../state/use-order";
import { count, duration, percent, plural, visible } from "../state/words";
import { Calls } from "../view/calls";
import { loadedWords, useFind } from "../view/find";
import { LoadMore } from "../view/load-more";
import { Narrowed, useBound } from "../view/narrowed";
import { Outdated } from "../view/outdated";
import { type Heading, PlainTable } from "../view/plain-table";
import { Problem } from "../view/problem";
import { Skeleton } from "../view/skeleton";
import { useTitle } from "../view/title";

const headings: readonly Heading[] = [
  { words: "Tool", by: "name" },
  "Health",
  { number: "Calls", by: "calls" },
  { number: "Errors", by: "errors" },
  { number: "p50", by: "p50" },
  { number: "p95", by: "p95" },
  { number: "p99", by: "p99" },
];

/** How often the tools are asked for again, in milliseconds. */
const refresh = 15_000;

/** One server: its calls, and its tools. */
export default function ServerPage({ name }: { name: string }) {
  useTitle(visible(name));
  const { used, path } = usePlace();
  const tab = used.get("tab") === "tools" ? "tools" : "calls";
  const tabs = [
    ["calls", "Calls", path],
    ["tools", "Tools", `${path}?tab=tools`],
  ] as const;
  return (
    <div className="server-page">
      <nav className="tabs" aria-label={`Server ${visible(name)}`}>
        {tabs.map(([key, words, href]) => (
          <Link key={key} href={href} className="nav-link" aria-current={tab === key ? "page" : undefined}>
            {words}
          </Link>
        ))}
      </nav>
      {tab === "calls" ? <Calls title={visible(name)} server={name} /> : <Tools server={name} />}
    </div>
  );
}

const pageSize = 200;
const toolsOf = ({ tools }: ToolsQuery) => ({ items: tools.nodes, pageInfo: tools.pageInfo });

function Tools({ server }: { server: string }) {
  const { order, sortBy } = useOrder(toolFields);
  const { by, descending } = order;
  const question = useCallback(
    () => ({ filter: { servers: [server] }, orderBy: toOrderBy({ by, descending }), first: pageSize }),
    [server, by, descending],
  );
  const tools = usePages(ToolsDocument, question, toolsOf);
  useAskAgain(tools, refresh);
  const found = useFind(tools, "Find a tool");
  const { items } = found;
  const { problem, again } = tools;
  const bound = useBound().length > 0;
  useKeys({ r: again });
  const ofServer = pick(noFilter, "server", server, "include");
  return (
    <div className="page">
      <div className="page-head">
        <h1 title={visible(server)}>{visible(server)}</h1>
        <Narrowed />
        {tools.items && tools.items.length > 0 && (
          <>
            <span className="quiet" role="status">
              {loadedWords(tools, found, "tool")}
            </span>
            <span className="hint">
              Failing: error rate ≥ {failing * 100}%. Some errors: below {failing * 100}%.
            </span>
            <span className="space" />
            {found.field}
          </>
        )}
      </div>
      {problem !== undefined && !items && <Problem problem={problem} again={again} />}
      <Outdated of={tools} />
      {found.unsearched}
      {!items && problem === undefined && <Skeleton lines={6} />}
      {found.typed && items?.length === 0 && !tools.more && <p className="hint">No tools match.</p>}
      {tools.items?.length === 0 && (
        <div className="none">
          <h2>No tools</h2>
          <p>No tool calls of this server are stored{bound ? ", or this key may not see them" : ""}.</p>
        </div>
      )}
      {items && items.length > 0 && (
        <PlainTable label="Tools" headings={headings} order={order} onSort={sortBy}>
          {items.map(({ id, name, stats }) => {
            const { words, tone } = health(stats);
            const ofTool = pickAll(ofServer, "tool", [name]);
            return (
              <tr key={id}>
                <td className="names wide" title={visible(name)}>
                  <Link href={listAddress(ofTool)} className="code">
                    {visible(name)}
                  </Link>
                </td>
                <td>
                  <span className={`chip ${tone}`}>
                    <span className="mark" aria-hidden="true" />
                    {words}
                  </span>
                </td>
                <td className="number" data-label={plural(stats.callCount, "call")}>
                  {count(stats.callCount)}
                </td>
                <td className="number" data-label={plural(stats.errorCount, "error")}>
                  <Link href={listAddress(pickAll(ofTool, "outcome", errorOutcomes))}>
                    {count(stats.errorCount)} ({percent(stats.errorCount, stats.callCount)})
                  </Link>
                </td>
                {(["p50", "p95", "p99"] as const).map((name) => {
                  const ms = stats[`${name}Ms`];
                  return (
                    <td className="number" data-label={name} key={name}>
                      {ms == null ? "–" : duration(ms)}
                    </td>
                  );
                })}
              </tr>
            );
          })}
        </PlainTable>
      )}
      {!found.typed && <LoadMore list={tools} what="more tools" label="Tools" />}
    </div>
  );
}
