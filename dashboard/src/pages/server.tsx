import { useCallback } from "react";
import { Link } from "wouter";
import { ToolsDocument, type ToolsQuery } from "../gql/graphql";
import { useAskAgain } from "../state/asking";
import { errorOutcomes, noFilter, pick, pickAll } from "../state/filter";
import { useKeys } from "../state/keys";
import { usePages } from "../state/paging";
import { listAddress, usePlace } from "../state/place";
import { count, duration, many, percent, plural, visible } from "../state/words";
import { Calls } from "../view/calls";
import { LoadMore } from "../view/load-more";
import { Outdated } from "../view/outdated";
import { PlainTable } from "../view/plain-table";
import { Problem } from "../view/problem";
import { Skeleton } from "../view/skeleton";
import { useTitle } from "../view/title";

const headings = [
  "Tool",
  "Health",
  { number: "Calls" },
  { number: "Errors" },
  { number: "p50" },
  { number: "p95" },
  { number: "p99" },
];

/** How often the tools are asked for again, in milliseconds. */
const refresh = 15_000;

/** One server: its logs, and its tools. */
export default function ServerPage({ name }: { name: string }) {
  useTitle(visible(name));
  const { parameters, path } = usePlace();
  const tab = parameters.get("tab") === "tools" ? "tools" : "logs";
  const tabs = [
    ["logs", "Logs", path],
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
      {tab === "logs" ? <Calls title={visible(name)} server={name} /> : <Tools server={name} />}
    </div>
  );
}

/** How well a tool does, in a word: a colour alone would not say it. */
function health(calls: number, failed: number): { words: string; tone: string } {
  const rate = calls === 0 ? 0 : failed / calls;
  if (rate === 0) return { words: "Healthy", tone: "good" };
  return rate < 0.1 ? { words: "Some errors", tone: "warn" } : { words: "Failing", tone: "bad" };
}

const pageSize = 200;
const toolsOf = ({ tools }: ToolsQuery) => ({ items: tools.nodes, pageInfo: tools.pageInfo });

function Tools({ server }: { server: string }) {
  const question = useCallback(() => ({ filter: { servers: [server] }, first: pageSize }), [server]);
  const tools = usePages(ToolsDocument, question, toolsOf);
  useAskAgain(tools, refresh);
  const { items, problem, again } = tools;
  useKeys({ r: again });
  const ofServer = pick(noFilter, "server", server, "include");
  return (
    <div className="page">
      <div className="page-head">
        <h1>{visible(server)}</h1>
        <span className="quiet">
          {items &&
            (tools.more
              ? `First ${many(items.length, "tool")} by name`
              : `${many(items.length, "tool")} with calls`)}
        </span>
      </div>
      {problem !== undefined && !items && <Problem problem={problem} again={again} />}
      <Outdated of={tools} />
      {!items && problem === undefined && <Skeleton lines={6} />}
      {items?.length === 0 && (
        <div className="none">
          <h2>No tools</h2>
          <p>No call of a tool of this server is stored.</p>
        </div>
      )}
      {items && items.length > 0 && (
        <PlainTable label="Tools" headings={headings}>
          {items.map(({ id, name, stats }) => {
            const { words, tone } = health(stats.callCount, stats.errorCount);
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
      <LoadMore list={tools} what="More tools" label="Tools" />
    </div>
  );
}
