import { useCallback, useMemo, useRef, useState } from "react";
import { Link, useLocation } from "wouter";
import { SessionDetailDocument, type SessionDetailQuery } from "../gql/graphql";
import { isBadInput } from "../state/api";
import { useAskAgain } from "../state/asking";
import { type Filter, noFilter, pick, writeFilter } from "../state/filter";
import { useReturnTo } from "../state/focus";
import { useKeys } from "../state/keys";
import { useNeighbours } from "../state/neighbours";
import { useNow } from "../state/now";
import { usePages } from "../state/paging";
import { callAddress, listAddress, usePlace } from "../state/place";
import type { Call } from "../state/row";
import { useEndings } from "../state/running";
import { type Step, useSteps } from "../state/steps";
import { type Bar, timeline } from "../state/timeline";
import { count, duration, short, sourceWords, tail, visible } from "../state/words";
import type { OnPick } from "../view/call-row";
import { StatusChip } from "../view/chip";
import { Copy } from "../view/copy";
import { Drawer } from "../view/drawer";
import { Duration } from "../view/duration";
import { LoadMore } from "../view/load-more";
import { Moment } from "../view/moment";
import { Narrowed, useReasons } from "../view/narrowed";
import { Outdated } from "../view/outdated";
import { Problem } from "../view/problem";
import { Skeleton } from "../view/skeleton";
import { useTitle } from "../view/title";

const pageSize = 200;
/** How often the session is asked for again, in milliseconds. */
const refresh = 15_000;

const noCalls: readonly [] = [];
const callsOf = ({ session }: SessionDetailQuery) => ({
  items: session?.calls.nodes ?? noCalls,
  pageInfo: session?.calls.pageInfo ?? { hasNextPage: false, endCursor: null },
});

/** One session as a timeline: what ran when, what beside what, and where it paused. */
export default function SessionPage({ id }: { id: string }) {
  const { used, change } = usePlace();
  const [, navigate] = useLocation();
  const question = useCallback(() => ({ id, first: pageSize }), [id]);
  const asked = usePages(SessionDetailDocument, question, callsOf);
  const { head, items = noCalls, problem, loading, again } = asked;
  const session = head?.session;
  const title = session
    ? `Session${session.clientName ? ` of ${visible(session.clientName)}` : ""} with ${visible(session.server.name)}`
    : "Session";
  useTitle(title);
  const shown = used.get("call") ?? undefined;
  const [opened, setOpened] = useState<Call>();
  const calls = useEndings(items, shown, opened);
  const now = useNow(calls.some(({ outcome }) => outcome === "RUNNING"));
  const bars = useMemo(() => timeline(calls, now), [calls, now]);
  useAskAgain(asked, refresh);

  const at = bars.findIndex(({ call }) => call.id === shown);
  // a call of a page that is not loaded has its neighbours all the same
  const inSession = useMemo(() => ({ ...noFilter, session: id }), [id]);
  const isAlone = at < 0 || (at + 1 === bars.length && asked.more !== undefined);
  const beside = useNeighbours(session && isAlone ? shown : undefined, inSession);
  // in a session time runs downwards: what comes next is newer
  const before = (at > 0 ? bars[at - 1]?.call.id : undefined) ?? beside.older;
  const after = (at >= 0 ? bars[at + 1]?.call.id : undefined) ?? beside.newer;
  useReturnTo(shown);
  const list = useRef<HTMLOListElement>(null);
  const step = useSteps(
    shown,
    !isAlone || beside.isKnown,
    (by) => (by === 1 ? after : before),
    (to) => change("call", to, true),
  );
  const move = (by: Step) => {
    const moments = [...(list.current?.querySelectorAll<HTMLElement>(".moment") ?? [])];
    const from = moments.indexOf(document.activeElement as HTMLElement);
    moments[from < 0 ? 0 : from + by]?.focus();
  };
  useKeys(shown ? {} : { j: () => move(1), k: () => move(-1), r: again });
  const onPick: OnPick = (name, value, as) => navigate(listAddress(pick(noFilter, name, value, as)));

  const unknown = isBadInput(problem);
  const reasons = useReasons("Its calls have expired", "they were deleted", "the address is wrong");
  if (problem !== undefined && !unknown && !head) return <Problem problem={problem} again={again} />;
  return (
    <div className="page">
      <div className="page-head">
        <h1 title={title}>{title}</h1>
        {/* the client's own, where it has one, is what people know it by */}
        <span className="code" title={visible(session?.wireId ?? id)}>
          {session?.wireId ? short(session.wireId) : tail(id)}
        </span>
        <Copy text={session?.wireId ?? id} label="Copy the session id" />
        <Narrowed />
        <span className="space" />
        {session && (
          <Link href={listAddress(filterOf(session))} className="button small">
            Show calls in list
          </Link>
        )}
      </div>
      {!head && loading && <Skeleton lines={12} />}
      {(head || unknown) && !session && (
        <div className="problem">
          <h2>There is no such session</h2>
          <p>{reasons}.</p>
        </div>
      )}
      {!unknown && <Outdated of={asked} />}
      {session && (
        <>
          <dl className="facts">
            <Fact label="Server" title={visible(session.server.name)}>
              <Link href={`/servers/${encodeURIComponent(session.server.name)}`}>
                {visible(session.server.name)}
              </Link>
            </Fact>
            <Fact label="Client" title={session.clientName ? visible(session.clientName) : undefined}>
              {session.clientName ? visible(session.clientName) : <span className="quiet">unknown</span>}{" "}
              {visible(session.clientVersion ?? "")}
            </Fact>
            {session.wireId && (
              <Fact label="Session ID">
                <span className="code" title={visible(session.wireId)}>
                  {short(session.wireId)}
                </span>{" "}
                <Copy text={session.wireId} label="Copy the Mcp-Session-Id" />
              </Fact>
            )}
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
          <LoadMore list={asked} what="later calls" label="Calls in order" />
        </>
      )}
      <Drawer
        id={shown}
        onClose={() => change("call", undefined)}
        onCall={setOpened}
        onMove={step}
        addressOf={(call) => callAddress(call, writeFilter(inSession))}
        canMove={{ newer: before !== undefined, older: after !== undefined }}
        onPick={onPick}
      />
    </div>
  );
}

/** The calls of a session. By the client's own id where that tells it, which people know it by. */
function filterOf({ id, wireId, source, server }: NonNullable<SessionDetailQuery["session"]>): Filter {
  if (source !== "WIRE" || !wireId) return { ...noFilter, session: id };
  return { ...pick(noFilter, "server", server.name, "include"), session: wireId };
}

function Fact({
  label,
  title,
  children,
}: {
  label: string;
  title?: string | undefined;
  children: React.ReactNode;
}) {
  return (
    <div>
      <dt>{label}</dt>
      <dd className="few-lines" title={title}>
        {children}
      </dd>
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
        <button
          type="button"
          className={failed ? "moment failed" : "moment"}
          data-call={call.id}
          onClick={onOpen}
        >
          <span className="since">+{duration(since)}</span>
          <span className="moment-status">
            <StatusChip call={call} />
          </span>
          <span className="moment-words">
            <span className="code">{visible(call.method)}</span>{" "}
            <strong className="code">{visible(call.target ?? "")}</strong>
            {beside > 0 && <span className="chip plain">{beside} concurrent</span>}
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
