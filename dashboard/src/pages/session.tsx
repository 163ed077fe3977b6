import { useEffect, useMemo, useRef, useState } from "react";
import { Button } from "react-aria-components";
import { Link, useLocation } from "wouter";
import { SessionDetailDocument } from "../gql/graphql";
import { ask, isBadInput } from "../state/api";
import { useAsk, useAskAgain } from "../state/asking";
import { noFilter, pick } from "../state/filter";
import { useKeys } from "../state/keys";
import { useNow } from "../state/now";
import { listAddress, usePlace } from "../state/place";
import type { Call } from "../state/row";
import { useEndings } from "../state/running";
import { type Bar, timeline } from "../state/timeline";
import { count, duration, sourceWords, tail, visible } from "../state/words";
import type { OnPick } from "../view/call-row";
import { StatusChip } from "../view/chip";
import { Copy } from "../view/copy";
import { Drawer } from "../view/drawer";
import { Duration } from "../view/duration";
import { Moment } from "../view/moment";
import { notice } from "../view/notice";
import { Problem } from "../view/problem";
import { Skeleton } from "../view/skeleton";
import { useTitle } from "../view/title";

const pageSize = 200;
/** How often the session is asked for again, in milliseconds. */
const refresh = 15_000;

/** One session as a timeline: what ran when, what beside what, and where it paused. */
export default function SessionPage({ id }: { id: string }) {
  useTitle("Session");
  const { parameters, change } = usePlace();
  const [, navigate] = useLocation();
  const variables = useMemo(() => ({ id, first: pageSize }), [id]);
  const asked = useAsk(SessionDetailDocument, variables);
  const { data, problem, loading, again } = asked;
  const session = data?.session;
  const [later, setLater] = useState<readonly Call[]>([]);
  const [next, setNext] = useState<string | null>();
  useEffect(() => {
    setLater([]);
    setNext(session?.calls.pageInfo.hasNextPage ? session.calls.pageInfo.endCursor : null);
  }, [session]);
  const loaded = useMemo(() => [...(session?.calls.nodes ?? []), ...later], [session, later]);
  const calls = useEndings(loaded);
  const now = useNow(calls.some(({ outcome }) => outcome === "RUNNING"));
  const bars = useMemo(() => timeline(calls, now), [calls, now]);
  // pages that were loaded after the first would go with its answer
  useAskAgain(asked, later.length === 0 ? refresh : undefined);
  const more = async () => {
    try {
      const { session: asked } = await ask(SessionDetailDocument, { ...variables, after: next ?? null });
      setLater([...later, ...(asked?.calls.nodes ?? [])]);
      setNext(asked?.calls.pageInfo.hasNextPage ? asked.calls.pageInfo.endCursor : null);
    } catch {
      notice("Later calls could not be loaded");
    }
  };

  const shown = parameters.get("call") ?? undefined;
  const at = bars.findIndex(({ call }) => call.id === shown);
  const list = useRef<HTMLOListElement>(null);
  const step = (by: 1 | -1) => {
    const moments = [...(list.current?.querySelectorAll<HTMLElement>(".moment") ?? [])];
    const from = moments.indexOf(document.activeElement as HTMLElement);
    moments[from < 0 ? 0 : from + by]?.focus();
  };
  useKeys(shown ? {} : { j: () => step(1), k: () => step(-1), r: again });
  const onPick: OnPick = (name, value, as) => navigate(listAddress(pick(noFilter, name, value, as)));

  const unknown = isBadInput(problem);
  if (problem !== undefined && !unknown && !data) return <Problem problem={problem} again={again} />;
  return (
    <div className="page">
      <div className="page-head">
        <h1>Session</h1>
        <span className="code" title={id}>
          {tail(id)}
        </span>
        <Copy text={id} label="Copy the session id" />
        <span className="space" />
        {session && (
          <Link href={listAddress({ ...noFilter, session: id })} className="button small">
            Its calls as a list
          </Link>
        )}
      </div>
      {!data && loading && <Skeleton lines={12} />}
      {(data || unknown) && !session && (
        <div className="problem">
          <h2>There is no such session</h2>
          <p>None of its calls is kept any longer, or the address is wrong.</p>
        </div>
      )}
      {session && (
        <>
          <dl className="facts">
            <Fact label="Server">
              <Link href={`/servers/${encodeURIComponent(session.server.name)}`}>
                {visible(session.server.name)}
              </Link>
            </Fact>
            <Fact label="Client">
              {session.clientName ? visible(session.clientName) : <span className="quiet">not known</span>}{" "}
              {session.clientVersion}
            </Fact>
            <Fact label="Grouped by">{sourceWords[session.source]}</Fact>
            <Fact label="Started">
              <Moment time={session.startedAt} full />
            </Fact>
            <Fact label="Last call">
              <Moment time={session.lastCallAt} full />
            </Fact>
            <Fact label="Calls">{count(session.callCount)}</Fact>
            <Fact label="Errors">{count(session.errorCount)}</Fact>
          </dl>
          <div className="card flat">
            <ol className="timeline" aria-label="Calls in order" ref={list}>
              {bars.map((bar) => (
                <Line key={bar.call.id} bar={bar} onOpen={() => change("call", bar.call.id)} />
              ))}
            </ol>
          </div>
          {next && (
            <Button className="load-more" onPress={more}>
              Load more
            </Button>
          )}
        </>
      )}
      <Drawer
        id={shown}
        onClose={() => change("call", undefined)}
        // in a session time runs downwards: what comes next is newer
        onMove={(by) => {
          const to = bars[at + by];
          if (to) change("call", to.call.id, true);
        }}
        canMove={{ newer: at > 0, older: at >= 0 && at + 1 < bars.length }}
        onPick={onPick}
      />
    </div>
  );
}

function Fact({ label, children }: { label: string; children: React.ReactNode }) {
  return (
    <div>
      <dt>{label}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Line({ bar, onOpen }: { bar: Bar; onOpen: () => void }) {
  const { call, left, width, beside, pause, since } = bar;
  const failed = call.outcome.endsWith("_ERROR");
  return (
    <>
      {pause !== undefined && (
        <li className="pause">
          <span>{duration(pause)} without a call</span>
        </li>
      )}
      <li>
        <button type="button" className={failed ? "moment failed" : "moment"} onClick={onOpen}>
          <span className="since">+{duration(since)}</span>
          <span className="moment-status">
            <StatusChip call={call} />
          </span>
          <span className="moment-words">
            <span className="code">{visible(call.method)}</span>{" "}
            <strong className="code">{visible(call.target ?? "")}</strong>
            {beside > 0 && (
              <span className="chip plain">
                beside {beside} other{beside > 1 ? "s" : ""}
              </span>
            )}
            {call.errorMessage && <span className="message">{call.errorMessage}</span>}
          </span>
          <span className="track" aria-hidden="true">
            <span
              className="track-bar"
              style={{ left: `${Math.min(99.5, left * 100)}%`, width: `max(3px, ${width * 100}%)` }}
            />
          </span>
          <span className="number">
            <Duration call={call} />
          </span>
        </button>
      </li>
    </>
  );
}
