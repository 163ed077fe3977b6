import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { Button } from "react-aria-components";
import { CallCountDocument } from "../gql/graphql";
import { useAsk } from "../state/asking";
import { type Filter, isEmpty, noFilter, pick, pickAll, toCallFilter, writeFilter } from "../state/filter";
import { useKeys } from "../state/keys";
import { useColumns, useFilter, usePlace } from "../state/place";
import { settings } from "../state/settings";
import { useStore } from "../state/store";
import { useCallList } from "../state/use-list";
import { useViewer } from "../state/viewer";
import { count } from "../state/words";
import type { OnPick } from "./call-row";
import { CallTable } from "./call-table";
import { ColumnsMenu } from "./columns-menu";
import { Drawer } from "./drawer";
import { FilterBar } from "./filter-bar";
import { Icon } from "./icon";
import { LiveSwitch } from "./live-switch";
import { Problem } from "./problem";
import { SetUp } from "./set-up";
import { ViewsMenu } from "./views-menu";

/** The traffic log: filters, the switch Live, the list, and a call of it in a drawer. */
export function Calls({ title, server }: { title: string; server?: string }) {
  const { parameters, change, go } = usePlace();
  const { filter, setFilter } = useFilter();
  const viewer = useViewer();
  const bound = viewer !== undefined && viewer.servers.length > 0;
  const { pageSize } = useStore(settings);
  const { columns } = useColumns();
  const [round, setRound] = useState(0);
  const live = parameters.get("live") === "1";
  const asked = useMemo(() => (server ? pickAll(filter, "server", [server]) : filter), [filter, server]);
  const { list, state } = useCallList(asked, pageSize, live, round);
  const { rows, loading, problem, hasMore, waiting } = state;
  const total = useTotal(asked, round);

  const scroller = useRef<HTMLDivElement>(null);
  const [marked, setMarked] = useState<string>();
  const shown = parameters.get("call") ?? undefined;
  const selected = shown ?? marked;
  const setLive = (on: boolean) => change("live", on ? "1" : undefined, true);
  const again = () => setRound((before) => before + 1);

  // an empty store is waited for: the first call appears by itself
  const empty =
    loading === undefined && problem === undefined && rows.length === 0 && !hasMore && isEmpty(asked);
  const [wasEmpty, setWasEmpty] = useState(false);
  if (empty && !wasEmpty) setWasEmpty(true);
  useEffect(() => {
    if (empty && !live) change("live", "1", true);
  }, [empty, live, change]);

  const addressOf = useCallback((id: string) => `/calls/${encodeURIComponent(id)}`, []);
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

  const setAway = useCallback((away: boolean) => list.setAway(away), [list]);

  const at = selected ? rows.findIndex((row) => row.call.id === selected) : -1;
  const move = (by: 1 | -1) => {
    const next = rows[at < 0 ? 0 : at + by];
    if (!next) {
      if (by === 1) void list.more();
      return;
    }
    setMarked(next.call.id);
    if (shown) change("call", next.call.id, true);
    else requestAnimationFrame(() => requestAnimationFrame(() => focusRow(scroller.current, next.call.id)));
  };
  const close = () => {
    change("call", undefined);
    // the keyboard goes on from the call that was shown last, wherever the drawer was opened
    if (shown) requestAnimationFrame(() => requestAnimationFrame(() => focusRow(scroller.current, shown)));
  };
  const toTop = () => {
    scroller.current?.scrollTo({ top: 0 });
    list.setAway(false);
  };
  useKeys(
    shown
      ? {}
      : {
          j: () => move(1),
          k: () => move(-1),
          l: () => setLive(!live),
          r: again,
          t: toTop,
          Escape: () => setMarked(undefined),
        },
  );

  return (
    <div className="calls-page">
      <div className="page-head">
        <h1>{title}</h1>
        <span className="quiet" role="status">
          {total === undefined
            ? ""
            : total.more
              ? `${count(total.value)}+ in all`
              : `${count(total.value + state.added)} in all`}
        </span>
        {bound && !server && <span className="hint">Your key sees {viewer.servers.join(", ")} alone.</span>}
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
          <FilterBar without={server ? ["server"] : []} />
          {problem !== undefined && (
            <Problem problem={problem} again={rows.length ? () => void list.more() : again} />
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
              busy={loading !== undefined}
              ghosts={
                loading === "more" || (loading === "first" && rows.length === 0) ? Math.min(pageSize, 10) : 0
              }
              selected={selected}
              scroller={scroller}
              addressOf={addressOf}
              onOpen={open}
              onMark={setMarked}
              onPick={pickValue}
              onAway={setAway}
            >
              {hasMore && (
                <Button
                  className="load-more"
                  isDisabled={loading !== undefined}
                  onPress={() => void list.more()}
                >
                  {loading === "more" ? "Loading…" : "Load more"}
                </Button>
              )}
              {rows.length === 0 && loading === undefined && problem === undefined && (
                <div className="none">
                  <h2>{isEmpty(filter) ? "No calls" : "No calls match"}</h2>
                  <p>
                    {isEmpty(filter)
                      ? "No call of a server with this name is stored."
                      : "No call that is stored has all of what is chosen."}
                  </p>
                  {!isEmpty(filter) && (
                    <Button className="primary" onPress={() => setFilter(noFilter)}>
                      Clear the filters
                    </Button>
                  )}
                </div>
              )}
              {rows.length > 0 && !hasMore && loading === undefined && (
                <p className="hint end">
                  These are all{" "}
                  {isEmpty(asked) ? `calls that ${bound ? "your key sees" : "are stored"}` : "that match"}.
                </p>
              )}
            </CallTable>
          </div>
        </>
      )}
      <Drawer
        id={shown}
        onClose={close}
        onMove={move}
        canMove={{ newer: at > 0, older: hasMore || at + 1 < rows.length }}
        onPick={pickInDrawer}
      />
    </div>
  );
}

function focusRow(table: HTMLElement | null, id: string): void {
  table?.querySelector<HTMLElement>(`[data-call="${CSS.escape(id)}"] a`)?.focus({ preventScroll: true });
}

function useTotal(filter: Filter, round: number): { value: number; more: boolean } | undefined {
  const variables = useMemo(() => ({ filter: toCallFilter(filter, new Date()) }), [filter]);
  const { data, loading } = useAsk(CallCountDocument, variables, round);
  if (!data || loading) return undefined;
  const { value, relation } = data.calls.totalCount;
  return { value, more: relation === "AT_LEAST" };
}
