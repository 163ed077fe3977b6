import { useEffect, useMemo, useState } from "react";
import { Button } from "react-aria-components";
import { Link } from "wouter";
import { type SessionRowFragment, SessionsDocument } from "../gql/graphql";
import { ask } from "../state/api";
import { useAsk } from "../state/asking";
import { toCallFilter } from "../state/filter";
import { useFilter } from "../state/place";
import { count, duration, sourceWords, tail } from "../state/words";
import { FilterBar } from "../view/filter-bar";
import { Moment } from "../view/moment";
import { notice } from "../view/notice";
import { Problem } from "../view/problem";
import { Skeleton } from "../view/skeleton";
import { useTitle } from "../view/title";

const pageSize = 50;

/** Visits of clients, newest activity first. */
export default function SessionsPage() {
  useTitle("Sessions");
  const { filter } = useFilter();
  const variables = useMemo(() => ({ filter: toCallFilter(filter, new Date()), first: pageSize }), [filter]);
  const { data, problem, loading, again } = useAsk(SessionsDocument, variables);
  const [older, setOlder] = useState<readonly SessionRowFragment[]>([]);
  const [next, setNext] = useState<string | null>();
  const [asking, setAsking] = useState(false);
  useEffect(() => {
    setOlder([]);
    setNext(data?.sessions.pageInfo.hasNextPage ? data.sessions.pageInfo.endCursor : null);
  }, [data]);
  const more = async () => {
    setAsking(true);
    try {
      const { sessions } = await ask(SessionsDocument, { ...variables, after: next ?? null });
      setOlder([...older, ...sessions.nodes]);
      setNext(sessions.pageInfo.hasNextPage ? sessions.pageInfo.endCursor : null);
    } catch {
      notice("Older sessions could not be loaded");
    }
    setAsking(false);
  };
  const sessions = data && [...data.sessions.nodes, ...older];

  return (
    <div className="page">
      <div className="page-head">
        <h1>Sessions</h1>
        <span className="hint">What belongs together in one client's visit to one server.</span>
      </div>
      <FilterBar />
      {problem !== undefined && !data && <Problem problem={problem} again={again} />}
      {!sessions && loading && <Skeleton lines={10} />}
      {sessions?.length === 0 && (
        <div className="none">
          <h2>No sessions</h2>
          <p>No session has a call that matches.</p>
        </div>
      )}
      {sessions && sessions.length > 0 && (
        <div className="card flat">
          <table className="plain-table cards-when-narrow" aria-label="Sessions" aria-busy={loading}>
            <thead>
              <tr>
                <th scope="col">Session</th>
                <th scope="col">Known by</th>
                <th scope="col">Server</th>
                <th scope="col">Client</th>
                <th scope="col" className="number">
                  Calls
                </th>
                <th scope="col" className="number">
                  Errors
                </th>
                <th scope="col" className="number">
                  Lasted
                </th>
                <th scope="col">Last call</th>
              </tr>
            </thead>
            <tbody>
              {sessions.map((session) => (
                <SessionLine key={session.id} session={session} />
              ))}
            </tbody>
          </table>
        </div>
      )}
      {next && (
        <Button className="load-more" isDisabled={asking} onPress={more}>
          {asking ? "Loading…" : "Load more"}
        </Button>
      )}
    </div>
  );
}

function SessionLine({ session }: { session: SessionRowFragment }) {
  const lasted = Date.parse(session.lastCallAt) - Date.parse(session.startedAt);
  return (
    <tr>
      <td>
        <Link href={`/sessions/${encodeURIComponent(session.id)}`} className="code" title={session.id}>
          {tail(session.id)}
        </Link>
      </td>
      <td>{sourceWords[session.source]}</td>
      <td>
        <Link href={`/servers/${encodeURIComponent(session.server.name)}`}>{session.server.name}</Link>
      </td>
      <td>
        {session.clientName ?? <span className="quiet">not known</span>}{" "}
        <span className="quiet">{session.clientVersion}</span>
      </td>
      <td className="number" data-label="calls">
        {count(session.callCount)}
      </td>
      <td className="number" data-label="errors">
        {session.errorCount > 0 ? <span className="chip bad">{count(session.errorCount)}</span> : "0"}
      </td>
      <td className="number" data-label="long">
        {lasted === 0 ? "–" : duration(lasted)}
      </td>
      <td>
        <Moment time={session.lastCallAt} />
      </td>
    </tr>
  );
}
