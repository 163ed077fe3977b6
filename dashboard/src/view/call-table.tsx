import { useVirtualizer } from "@tanstack/react-virtual";
import { type ReactNode, type RefObject, useEffect, useRef } from "react";
import type { Row } from "../state/row";
import { type Column, columnNames } from "../state/settings";
import type { Total } from "../state/total";
import type { Place } from "../state/use-list";
import { CallRow, type OnPick } from "./call-row";
import { narrow, useMedia } from "./media";

const widths: Record<Column, string> = {
  status: "minmax(12.6rem, 0.6fr)",
  method: "minmax(9rem, 0.8fr)",
  target: "minmax(11rem, 2.2fr)",
  server: "minmax(7rem, 1fr)",
  ip: "minmax(9.5rem, 0.9fr)",
  client: "minmax(7rem, 1fr)",
  session: "9rem",
  duration: "7.3rem",
  time: "minmax(7.5rem, 0.5fr)",
};

interface Props {
  rows: readonly Row[];
  columns: readonly Column[];
  /** How many calls the whole list has, as far as they were counted. */
  count: Total | undefined;
  /** Whether there are calls after the last row. */
  hasMore: boolean;
  busy: boolean;
  /** Rows that are still on their way, drawn grey. */
  ghosts: number;
  selected: string | undefined;
  /** The list that was come back to: its place is where it was left, wherever the selected row is. */
  back: Place | undefined;
  scroller: RefObject<HTMLDivElement | null>;
  addressOf: (id: string) => string;
  onOpen: (id: string) => void;
  /** A row has got the focus. */
  onMark: (id: string) => void;
  onPick: OnPick;
  /** How far down it is scrolled, in pixels, and whether that is away from the top. */
  onScroll: (top: number, away: boolean) => void;
  children: ReactNode;
}

/** How many rows the whole list has, with that of the headers; -1 where nobody knows. */
function rowCount(loaded: number, count: Total | undefined, hasMore: boolean): number {
  if (!hasMore) return loaded + 1;
  return count && !count.more && count.value >= loaded ? count.value + 1 : -1;
}

/** The list of calls: only the rows in sight are in the page, however many there are. */
export function CallTable(props: Props) {
  const {
    rows,
    columns,
    count,
    hasMore,
    busy,
    ghosts,
    selected,
    back,
    scroller,
    addressOf,
    onOpen,
    onMark,
    onPick,
    onScroll,
    children,
  } = props;
  const small = useMedia(narrow);
  const height = small ? 68 : 38;
  const head = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => height,
    overscan: 12,
    getItemKey: (index) => rows[index]?.call.id ?? index,
    scrollPaddingStart: small ? 0 : 40,
    scrollPaddingEnd: 8,
  });
  const virtualiser = useRef(virtual);
  virtualiser.current = virtual;
  // other rows have other heights
  useEffect(() => virtualiser.current.measure(), [height]);

  const latest = useRef(rows);
  latest.current = rows;
  const found = useRef<string>(undefined);
  useEffect(() => {
    found.current = back?.marked;
  }, [back]);
  // follows the choice, not every row that comes in
  useEffect(() => {
    const wasFound = selected !== undefined && selected === found.current;
    found.current = undefined;
    if (wasFound) return;
    const at = selected ? latest.current.findIndex((row) => row.call.id === selected) : -1;
    if (at >= 0) virtualiser.current.scrollToIndex(at, { align: "auto" });
  }, [selected]);

  return (
    <div
      className="table-scroll"
      ref={scroller}
      onScroll={({ currentTarget: { scrollTop } }) => onScroll(scrollTop, scrollTop > height)}
    >
      <div
        role="table"
        aria-label="Calls"
        aria-rowcount={rowCount(rows.length, count, hasMore)}
        aria-busy={busy}
        className="calls"
        onFocus={(event) => {
          const id = event.target.closest<HTMLElement>("[data-call]")?.dataset.call;
          if (id) onMark(id);
        }}
        style={{ ["--columns" as string]: columns.map((column) => widths[column]).join(" ") }}
      >
        <div role="rowgroup" className="head" ref={head}>
          <div role="row" aria-rowindex={1} className="row">
            {columns.map((column) => (
              <div role="columnheader" key={column} className={`cell ${column}`}>
                {columnNames[column]}
              </div>
            ))}
          </div>
        </div>
        <div role="rowgroup" className="body" style={{ height: virtual.getTotalSize() }}>
          {virtual.getVirtualItems().map((item) => {
            const row = rows[item.index];
            if (!row) return null;
            return (
              <CallRow
                key={item.key}
                call={row.call}
                columns={columns}
                index={item.index}
                href={addressOf(row.call.id)}
                top={item.start}
                height={height}
                selected={row.call.id === selected}
                onOpen={onOpen}
                onPick={onPick}
              />
            );
          })}
        </div>
      </div>
      {ghosts > 0 && (
        <div className="ghosts" aria-hidden="true">
          {Array.from({ length: ghosts }, (_, ghost) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: ghosts have nothing but their number
            <div key={ghost} style={{ height }}>
              <span />
            </div>
          ))}
        </div>
      )}
      {children}
    </div>
  );
}
