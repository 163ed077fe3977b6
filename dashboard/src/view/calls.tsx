import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";
import { Button } from "react-aria-components";
import { isEmpty, noFilter, pick, pickAll, writeFilter } from "../state/filter";
import { focusCall, useReturnTo } from "../state/focus";
import { useKeys } from "../state/keys";
import { useNeighbours } from "../state/neighbours";
import { callAddress, listParameters, useColumns, useFilter, usePlace } from "../state/place";
import type { Call } from "../state/row";
import { settings } from "../state/settings";
import { type Step, useSteps } from "../state/steps";
import { useStore } from "../state/store";
import { useTotal } from "../state/total";
import { type Place, useCallList, useGoesOn } from "../state/use-list";
import { count, many } from "../state/words";
import { AsOf } from "./as-of";
import type { OnPick } from "./call-row";
import { CallTable } from "./call-table";
import { ColumnsMenu } from "./columns-menu";
import { Drawer } from "./drawer";
import { FilterBar } from "./filter-bar";
import { Icon } from "./icon";
import { LiveSwitch } from "./live-switch";
import { Narrowed, useBound } from "./narrowed";
import { Outdated } from "./outdated";
import { Problem } from "./problem";
import { SetUp } from "./set-up";
import { Spoken } from "./spoken";
import { ViewsMenu } from "./views-menu";

/** Whoever turns Live off wants it off, also on an empty store, and when they come back to it. */
let isTurnedOff = false;

/** The traffic log: filters, the switch Live, the list, and a call of it in a drawer. */
export function Calls({ title, server }: { title: string; server?: string }) {
  const { parameters, used, change, go } = usePlace();
  const { filter, setFilter } = useFilter();
  const bound = useBound().length > 0;
  const { pageSize } = useStore(settings);
  const { columns: all } = useColumns();
  // the same name in each row would say nothing
  const columns = useMemo(() => {
    const others = all.filter((column) => column !== "server");
    return server && others.length > 0 ? others : all;
  }, [all, server]);
  const [round, setRound] = useState(0);
  const live = used.has("live");
  const asked = useMemo(() => (server ? pickAll(filter, "server", [server]) : filter), [filter, server]);
  const place = useRef<Place>({ top: 0, marked: undefined });
  const [back, setBack] = useState<Place>();
  const goesOn = useGoesOn(live, asked, round);
  const { list, state } = useCallList(asked, pageSize, live, goesOn, round, place, setBack);
  const { rows, loading, problem, outdated, hasMore, waiting } = state;
  const { total, problem: untold } = useTotal(asked, round, live, goesOn, state);

  const scroller = useRef<HTMLDivElement>(null);
  const [marked, setMarked] = useState<string>();
  place.current.marked = marked;
  useLayoutEffect(() => {
    if (!back) return;
    setMarked(back.marked);
    scroller.current?.scrollTo({ top: back.top });
  }, [back]);
  const shown = used.get("call") ?? undefined;
  const selected = shown ?? marked;
  useEffect(() => list.setOpen(shown), [list, shown]);
  const onCall = useCallback((call: Call) => list.tell(call), [list]);
  const setLive = (on: boolean) => {
    isTurnedOff = !on;
    change("live", on ? "1" : undefined, true);
  };
  const again = () => setRound((before) => before + 1);

  // an empty store is waited for: the first call appears by itself
  const empty =
    loading === undefined && problem === undefined && rows.length === 0 && !hasMore && isEmpty(asked);
  const [wasEmpty, setWasEmpty] = useState(false);
  if (empty && !wasEmpty) setWasEmpty(true);
  useEffect(() => {
    if (empty && !live && !isTurnedOff) change("live", "1", true);
  }, [empty, live, change]);

  const query = writeFilter(asked, listParameters(parameters)).toString();
  const addressOf = useCallback((id: string) => callAddress(id, new URLSearchParams(query)), [query]);
  const latest = useRef({ change, filter, setFilter, parameters, go });
  latest.current = { change, filter, setFilter, parameters, go };
  const open = useCallback((id: string) => {
    setMarked(id);
    latest.current.change("call", id);
  }, []);
  const pickValue: OnPick = useCallback((name, value, as) => {
    const { filter: now, setFilter: set } = latest.current;
    set(pick(now, name, value, as));
  }, []);
  const pickInDrawer: OnPick = useCallback((name, value, as) => {
    const { filter: now, parameters: here, go: to } = latest.current;
    const next = writeFilter(pick(now, name, value, as), new URLSearchParams(here));
    next.delete("call");
    to(next);
  }, []);

  const scrolled = useCallback(
    (top: number, away: boolean) => {
      place.current.top = top;
      list.setAway(away);
    },
    [list],
  );

  const at = selected ? rows.findIndex((row) => row.call.id === selected) : -1;
  // a call that is not loaded, as from a link, has its neighbours in the list all the same
  const beside = useNeighbours(at < 0 && loading !== "first" ? shown : undefined, asked);
  const moveTo = (id: string) => {
    setMarked(id);
    if (shown) change("call", id, true);
    else focusCall(id);
  };
  const find = async (by: Step) => {
    if (shown && at < 0) return by === 1 ? beside.older : beside.newer;
    const to = at < 0 ? 0 : at + by;
    if (to >= rows.length) await list.more();
    return list.state.get().rows[to]?.call.id;
  };
  const move = async (by: Step) => {
    const next = await find(by);
    if (next) moveTo(next);
  };
  const step = useSteps(shown, at >= 0 || beside.isKnown, find, moveTo);
  /** Loads the next page, and goes to the first call of it. */
  const more = async () => {
    if (loading !== undefined) return;
    const last = rows.at(-1)?.call.id;
    await list.more();
    const now = list.state.get().rows;
    const next = now[now.findIndex(({ call }) => call.id === last) + 1];
    if (next && last !== undefined) moveTo(next.call.id);
  };
  // Enter in the search goes to the first call that it finds, when that is there
  const [searched, setSearched] = useState(false);
  const goTo = useRef(moveTo);
  goTo.current = moveTo;
  useEffect(() => {
    if (!searched || loading !== undefined) return;
    setSearched(false);
    if (rows[0]) goTo.current(rows[0].call.id);
    else document.getElementById("main")?.focus();
  }, [searched, loading, rows]);
  useReturnTo(shown);
  const toTop = () => {
    scroller.current?.scrollTo({ top: 0 });
    list.setAway(false);
  };
  useKeys(
    shown
      ? {}
      : {
          j: () => void move(1),
          k: () => void move(-1),
          l: () => setLive(!live),
          r: again,
          t: toTop,
          Escape: () => setMarked(undefined),
        },
  );

  return (
    <div className="calls-page">
      <div className="page-head">
        <h1 title={title}>{title}</h1>
        <Spoken
          words={
            total === undefined ? "" : total.more ? `${count(total.value)}+ calls` : many(total.value, "call")
          }
        />
        {total && <AsOf at={live ? total.at : Math.min(total.at, state.at ?? total.at)} />}
        <Narrowed />
        <span className="space" />
        <ViewsMenu filter={asked} live={live} />
        <ColumnsMenu />
        <Button className="filter" onPress={again} aria-label="Refresh">
          <Icon name="again" />
        </Button>
        <LiveSwitch on={live} state={state.live} onChange={setLive} />
      </div>
      {empty ? (
        <SetUp state={state.live} arrived={undefined} first />
      ) : (
        <>
          {wasEmpty && rows[0] && <SetUp state={state.live} arrived={rows[0].call} first />}
          <FilterBar without={server ? ["server"] : []} onFound={() => setSearched(true)} />
          {problem !== undefined && (
            <Problem problem={problem} again={rows.length ? () => void list.more() : again} />
          )}
          {/* the rows are those of now while the feed goes on, whether they were counted or not */}
          {problem === undefined && rows.length > 0 && (
            <Outdated
              of={{ at: state.at, problem: outdated ?? (state.live === "live" ? undefined : untold), again }}
            />
          )}
          <div className="table-box">
            {waiting > 0 && (
              <Button className="new-pill" onPress={toTop}>
                <Icon name="up" />
                {count(waiting)} new
              </Button>
            )}
            <CallTable
              rows={rows}
              columns={columns}
              count={total}
              hasMore={hasMore}
              busy={loading !== undefined}
              ghosts={
                loading === "more" || (loading === "first" && rows.length === 0) ? Math.min(pageSize, 10) : 0
              }
              selected={selected}
              back={back}
              scroller={scroller}
              addressOf={addressOf}
              onOpen={open}
              onMark={setMarked}
              onPick={pickValue}
              onScroll={scrolled}
            >
              {hasMore && (
                // not disabled meanwhile: it would lose the focus
                <Button className="load-more" onPress={() => void more()}>
                  {loading === "more" ? "Loading…" : "Load more"}
                </Button>
              )}
              {rows.length === 0 && loading === undefined && problem === undefined && (
                <div className="none">
                  <h2>{isEmpty(filter) ? "No calls" : "No calls match"}</h2>
                  <p>
                    {isEmpty(filter)
                      ? `No calls of a server with this name are stored${bound ? ", or this key may not see them" : ""}.`
                      : `No stored calls match these filters${bound ? ", or this key may not see them" : ""}.`}
                  </p>
                  {!isEmpty(filter) && (
                    <Button className="primary" onPress={() => setFilter(noFilter)}>
                      Clear filters
                    </Button>
                  )}
                </div>
              )}
              {rows.length > 0 && !hasMore && loading === undefined && (
                <p className="hint end">
                  {isEmpty(asked)
                    ? bound
                      ? "All calls that this key sees are shown."
                      : "All stored calls are shown."
                    : "All matching calls are shown."}
                </p>
              )}
            </CallTable>
          </div>
        </>
      )}
      <Drawer
        id={shown}
        onClose={() => change("call", undefined)}
        onCall={onCall}
        onMove={step}
        addressOf={addressOf}
        canMove={
          at < 0
            ? { newer: beside.newer !== undefined, older: beside.older !== undefined }
            : { newer: at > 0, older: hasMore || at + 1 < rows.length }
        }
        onPick={pickInDrawer}
      />
    </div>
  );
}
