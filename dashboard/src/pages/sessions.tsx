import { useCallback } from "react";
import { Link } from "wouter";
import { type SessionRowFragment, SessionsDocument, type SessionsQuery } from "../gql/graphql";
import { useAskAgain } from "../state/asking";
import { clock, useSkew } from "../state/clock";
import { isEmpty, toCallFilter } from "../state/filter";
import { useKeys } from "../state/keys";
import { usePages } from "../state/paging";
import { useFilter } from "../state/place";
import { count, duration, plural, short, sourceWords, tail, visible } from "../state/words";
import { FilterBar } from "../view/filter-bar";
import { LoadMore } from "../view/load-more";
import { Moment } from "../view/moment";
import { Narrowed } from "../view/narrowed";
import { Outdated } from "../view/outdated";
import { PlainTable } from "../view/plain-table";
import { Problem } from "../view/problem";
import { Skeleton } from "../view/skeleton";
import { useTitle } from "../view/title";

const pageSize = 50;
/** How often the sessions are asked for again, in milliseconds. */
const refresh = 15_000;

const headings = [
  "Session",
  "Grouped by",
  "Server",
  "Client",
  { number: "Calls" },
  { number: "Errors" },
  { number: "Duration" },
  "Last call",
];

const sessionsOf = ({ sessions }: SessionsQuery) => ({ items: sessions.nodes, pageInfo: sessions.pageInfo });

/** Visits of clients, newest activity first. */
export default function SessionsPage() {
  useTitle("Sessions");
  const { filter } = useFilter();
  const skew = useSkew(filter.range !== undefined);
  // each time it has its own now; the skew is part of it
  const question = useCallback(
    () => ({ filter: toCallFilter(filter, new Date(clock())), first: pageSize }),
    [filter, skew],
  );
  const list = usePages(SessionsDocument, question, sessionsOf);
  useAskAgain(list, refresh);
  useKeys({ r: list.again });
  const { items: sessions, problem, loading, again } = list;

  return (
    <div className="page">
      <div className="page-head">
        <h1>Sessions</h1>
        <span className="hint">Calls grouped by session ID, connection, trace or client.</span>
        <Narrowed />
      </div>
      <FilterBar />
      {problem !== undefined && !sessions && <Problem problem={problem} again={again} />}
      <Outdated of={list} />
      {!sessions && loading && <Skeleton lines={10} />}
      {sessions?.length === 0 && (
        <div className="none">
          {isEmpty(filter) ? (
            <>
              <h2>No sessions</h2>
              <p>
                Calls with a session ID, connection, trace or client in common appear here.{" "}
                <Link href="/setup">Set up a server</Link>
              </p>
            </>
          ) : (
            <>
              <h2>No sessions match</h2>
              <p>No sessions match these filters.</p>
            </>
          )}
        </div>
      )}
      {sessions && sessions.length > 0 && (
        <PlainTable label="Sessions" headings={headings}>
          {sessions.map((session) => (
            <SessionLine key={session.id} session={session} />
          ))}
        </PlainTable>
      )}
      <LoadMore list={list} what="older sessions" label="Sessions" />
    </div>
  );
}

function SessionLine({ session }: { session: SessionRowFragment }) {
  const lasted = Date.parse(session.lastCallAt) - Date.parse(session.startedAt);
  return (
    <tr>
      <td>
        <Link
          href={`/sessions/${encodeURIComponent(session.id)}`}
          className="code"
          title={visible(session.wireId ?? session.id)}
        >
          {session.wireId ? short(session.wireId) : tail(session.id)}
        </Link>
      </td>
      <td>{sourceWords[session.source]}</td>
      <td className="names" title={visible(session.server.name)}>
        <Link href={`/servers/${encodeURIComponent(session.server.name)}`}>
          {visible(session.server.name)}
        </Link>
      </td>
      <td className="names" title={session.clientName ? visible(session.clientName) : undefined}>
        {session.clientName ? visible(session.clientName) : <span className="quiet">unknown</span>}{" "}
        <span className="quiet">{visible(session.clientVersion ?? "")}</span>
      </td>
      <td className="number" data-label={plural(session.callCount, "call")}>
        {count(session.callCount)}
      </td>
      <td className="number" data-label={plural(session.errorCount, "error")}>
        {session.errorCount > 0 ? <span className="chip bad">{count(session.errorCount)}</span> : "0"}
      </td>
      <td className="number" data-before="duration">
        {lasted === 0 ? "–" : duration(lasted)}
      </td>
      <td data-before="last call">
        <Moment time={session.lastCallAt} />
      </td>
    </tr>
  );
}
