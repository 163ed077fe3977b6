import { type MouseEvent, memo, useState } from "react";
import { Link } from "wouter";
import type { ListName, Picked } from "../state/filter";
import type { Call } from "../state/row";
import { type Column, columnNames, settings } from "../state/settings";
import { useStore } from "../state/store";
import { absolute, callWords, head, short, visible } from "../state/words";
import { StatusChip, statusText } from "./chip";
import { Country } from "./country";
import { Duration } from "./duration";
import { Icon } from "./icon";
import { Moment } from "./moment";

/** What a click on a value in the list does with it. */
export type OnPick = (name: ListName, value: string, as: Picked) => void;

/** The value of a column that one can filter by. */
function pickable(call: Call, column: Column): [ListName, string] | undefined {
  const value = (name: ListName, text: string | null | undefined): [ListName, string] | undefined =>
    text ? [name, text] : undefined;
  switch (column) {
    case "status":
      return call.httpStatus == null
        ? value("outcome", call.outcome)
        : value("status", String(call.httpStatus));
    case "method":
      return value("method", call.method);
    case "target":
      return value("tool", call.tool);
    case "server":
      return value("server", call.server.name);
    case "ip":
      return value("ip", call.clientIp);
    case "client":
      return value("client", call.clientName);
    case "session":
    case "duration":
    case "time":
      return undefined;
  }
}

/** The link to the call. Its name is that of the call, after the value that it is seen as. */
function RowLink({ call, column, href }: { call: Call; column: Column; href: string }) {
  const { zone } = useStore(settings);
  const [, seen] = (["server", "ip", "client"].includes(column) && pickable(call, column)) || [];
  const name = [seen && visible(seen), callWords(call), statusText(call)].filter(Boolean).join(", ");
  return (
    <Link
      href={href}
      className={column === "status" ? "row-link" : "row-link in-text"}
      aria-label={`${name}, ${absolute(call.startedAt, zone, "short")}`}
      title={call.errorMessage ?? undefined}
      // the row opens it beside the list
      onClick={(event) => event.preventDefault()}
    >
      <Value call={call} column={column} />
    </Link>
  );
}

function Value({ call, column }: { call: Call; column: Column }) {
  switch (column) {
    case "status":
      return <StatusChip call={call} />;
    case "method":
      return <span className="code">{visible(call.method)}</span>;
    case "target":
      return (
        <>
          {call.target && (
            <span className="code strong" title={visible(call.target)}>
              {visible(call.target)}
            </span>
          )}
          {call.errorMessage && (
            <span className="why" title={call.errorMessage}>
              {" "}
              {head(call.errorMessage, 200)}
            </span>
          )}
        </>
      );
    case "server":
      return <span title={visible(call.server.name)}>{visible(call.server.name)}</span>;
    case "ip":
      return (
        <>
          {call.country && <Country code={call.country} />}
          {call.country && call.clientIp && " "}
          {call.clientIp && <span className="code">{visible(call.clientIp)}</span>}
        </>
      );
    case "client":
      return call.clientName ? visible(call.clientName) : null;
    case "session":
      return call.sessionId ? <span className="code">{short(call.sessionId)}</span> : null;
    case "duration":
      return <Duration call={call} />;
    case "time":
      return <Moment time={call.startedAt} />;
  }
}

interface Props {
  call: Call;
  columns: readonly Column[];
  index: number;
  href: string;
  top: number;
  height: number;
  selected: boolean;
  onOpen: (id: string) => void;
  onPick: OnPick;
}

/** A row of the list. The whole of it opens the call; the link in its first cell does the same for keyboards and new tabs. */
export const CallRow = memo(function CallRow(props: Props) {
  const { call, columns, index, href, top, height, selected, onOpen, onPick } = props;
  const [hovered, setHovered] = useState(false);
  const open = (event: MouseEvent<HTMLElement>) => {
    // marking text is no click; a keyboard's click has no count
    if (event.shiftKey || event.button !== 0) return;
    if (event.detail > 0 && getSelection()?.toString()) return;
    if (event.ctrlKey || event.metaKey) {
      // the link does that itself
      const link = event.currentTarget.querySelector<HTMLAnchorElement>(".row-link");
      if (link && !link.contains(event.target as Node)) window.open(link.href, "_blank", "noopener");
      return;
    }
    event.preventDefault();
    onOpen(call.id);
  };
  return (
    <div
      role="row"
      aria-rowindex={index + 2}
      className={`row${selected ? " selected" : ""}${call.outcome.endsWith("_ERROR") ? " failed" : ""}`}
      style={{ transform: `translateY(${top}px)`, height }}
      data-call={call.id}
      onClick={open}
      onPointerEnter={(event) => event.pointerType === "mouse" && setHovered(true)}
      onPointerLeave={() => setHovered(false)}
    >
      {columns.map((column, at) => {
        const value = hovered ? pickable(call, column) : undefined;
        return (
          <div role="cell" key={column} className={`cell ${column}`}>
            <span className="text">
              {at === 0 ? (
                <RowLink call={call} column={column} href={href} />
              ) : (
                <Value call={call} column={column} />
              )}
            </span>
            {value && <Picks value={value} column={column} onPick={onPick} />}
          </div>
        );
      })}
    </div>
  );
});

/** For the mouse: only this value, or all but this one. The detail of a call has the same for keyboards. */
function Picks({
  value: [name, value],
  column,
  onPick,
}: {
  value: [ListName, string];
  column: Column;
  onPick: OnPick;
}) {
  const press = (as: Picked) => (event: MouseEvent) => {
    event.stopPropagation();
    event.preventDefault();
    onPick(name, value, as);
  };
  const label = columnNames[column];
  return (
    <span className="picks">
      <button
        type="button"
        tabIndex={-1}
        title={`Filter for ${label} ${visible(value)}`}
        onClick={press("include")}
      >
        <Icon name="plus" />
      </button>
      <button
        type="button"
        tabIndex={-1}
        title={`Filter out ${label} ${visible(value)}`}
        onClick={press("exclude")}
      >
        <Icon name="minus" />
      </button>
    </span>
  );
}
