import { type KeyboardEvent, useEffect, useRef, useState } from "react";
import { Button, Input, SearchField } from "react-aria-components";
import {
  defined,
  type Filter,
  type ListName,
  listLabels,
  lists,
  noFilter,
  nonsense,
  pick,
} from "../state/filter";
import { focusPage } from "../state/focus";
import { useKeys } from "../state/keys";
import { useFilter, usePlace } from "../state/place";
import { useSessionWords } from "../state/session-words";
import { settings } from "../state/settings";
import { useStore } from "../state/store";
import { useViewer, withoutPayloads } from "../state/viewer";
import { duration, short } from "../state/words";
import { DurationFilter, SessionFilter } from "./filter-fields";
import { FilterMenu, valueWords } from "./filter-menu";
import { Icon } from "./icon";
import { TimeFilter, timeWords } from "./time-filter";

/**
 * The filters of a page, which are part of its address, and below them what is chosen. `onFound`: takes the focus from the
 * search to what it found; without it that is the page.
 */
export function FilterBar({
  without = [],
  onFound = () => document.getElementById("main")?.focus(),
}: {
  without?: readonly ListName[];
  onFound?: () => void;
}) {
  const { filter, setFilter } = useFilter();
  const [shown, setShown] = useState(false);
  const change = (next: Filter) => setFilter(next);
  const menu = (name: Exclude<ListName, "ip" | "kind">) =>
    without.includes(name) ? null : <FilterMenu key={name} name={name} filter={filter} onChange={change} />;
  return (
    <search className={shown ? "filters shown" : "filters"} aria-label="Filters">
      <div className="filter-row">
        <Search filter={filter} onChange={setFilter} onFound={onFound} />
        <Button className="filter only-narrow" aria-expanded={shown} onPress={() => setShown(!shown)}>
          <Icon name="filter" />
          Filters
        </Button>
        <div className="filter-menus">
          {menu("server")}
          {menu("tool")}
          {menu("method")}
          {menu("status")}
          <TimeFilter filter={filter} onChange={change} />
          {menu("outcome")}
          {menu("client")}
          {menu("country")}
          <DurationFilter filter={filter} onChange={change} />
          <SessionFilter filter={filter} onChange={change} />
        </div>
      </div>
      <Chosen filter={filter} without={without} onChange={change} />
      <Doubts filter={filter} />
    </search>
  );
}

/** Says what of the filter finds nothing by itself, so that nobody takes it for a finding. */
function Doubts({ filter }: { filter: Filter }) {
  return (
    <div role="status">
      {nonsense(filter).map((words) => (
        <p key={words} className="sight cut filter-doubt break">
          {words}
        </p>
      ))}
    </div>
  );
}

function Search({
  filter,
  onChange,
  onFound,
}: {
  filter: Filter;
  onChange: (filter: Filter, replace?: boolean) => void;
  onFound: () => void;
}) {
  const namesAlone = withoutPayloads(useViewer());
  const input = useRef<HTMLInputElement>(null);
  // one that is ignored stays in the field, to be put right
  const inAddress = usePlace().parameters.get("q")?.trim() ?? "";
  const asked = filter.search ?? inAddress;
  const [text, setText] = useState(asked);
  // going back changes the address, and the field with it
  const [known, setKnown] = useState(asked);
  if (known !== asked) {
    setKnown(asked);
    if (text.trim() !== asked) setText(asked);
  }
  const latest = useRef({ filter, onChange, asked });
  latest.current = { filter, onChange, asked };

  useEffect(() => {
    if (text.trim() === latest.current.asked) return;
    const timer = setTimeout(() => {
      const { filter: now, onChange: tell, asked: before } = latest.current;
      // one step back leaves the search, not its last letter
      tell(defined({ ...now, search: text.trim() || undefined }), before !== "");
    }, 350);
    return () => clearTimeout(timer);
  }, [text]);
  useKeys({ "/": () => input.current?.focus() });
  const leave = (event: KeyboardEvent) => {
    // Enter and Escape of an input method are about the word that is being composed
    if (event.nativeEvent.isComposing) return;
    if (event.key === "Enter") {
      const search = text.trim();
      const { filter: now, onChange: tell, asked: before } = latest.current;
      if (search !== before) tell(defined({ ...now, search: search || undefined }), before !== "");
      input.current?.blur();
      onFound();
    } else if (event.key === "Escape" && text === "") input.current?.blur();
  };

  return (
    <SearchField aria-label="Search" className="search" value={text} onChange={setText}>
      <Icon name="search" />
      <Input
        ref={input}
        placeholder={
          namesAlone ? "Search tools, prompts, resources" : "Search requests, responses, errors, logs"
        }
        maxLength={1000}
        onKeyDown={leave}
      />
      {text !== "" && (
        <Button className="plain icon-only" aria-label="Clear the search">
          <Icon name="close" />
        </Button>
      )}
    </SearchField>
  );
}

interface Chip {
  key: string;
  label: string;
  words: string;
  without: Filter;
  /** The same turned round, excluded where it was wanted, and the key of that chip. */
  turned?: { filter: Filter; key: string };
  excluded: boolean;
}

function chips(
  filter: Filter,
  without: readonly ListName[],
  zone: string,
  session: string | undefined,
): Chip[] {
  const found: Chip[] = [];
  for (const name of lists.filter((name) => !without.includes(name))) {
    for (const excluded of [false, true]) {
      for (const value of (excluded ? filter.exclude : filter.include)[name] ?? []) {
        const keyOf = (out: boolean) => `${name} ${out} ${value}`;
        found.push({
          key: keyOf(excluded),
          label: listLabels[name],
          words: valueWords(name, value),
          without: pick(filter, name, value, undefined),
          turned: {
            filter: pick(filter, name, value, excluded ? "include" : "exclude"),
            key: keyOf(!excluded),
          },
          excluded,
        });
      }
    }
  }
  const single = (key: string, label: string, words: string | undefined, without: Partial<Filter>) => {
    if (words)
      found.push({
        key,
        label,
        words,
        without: defined({ ...filter, ...without } as Filter),
        excluded: false,
      });
  };
  const none = undefined as never;
  single("time", "Time", timeWords(filter, zone), { range: none, from: none, to: none });
  single("session", "Session", session, { session: none });
  single("trace", "Trace", filter.trace && short(filter.trace), { trace: none });
  single("min", "Duration", filter.min === undefined ? undefined : `at least ${duration(filter.min)}`, {
    min: none,
  });
  single("max", "Duration", filter.max === undefined ? undefined : `at most ${duration(filter.max)}`, {
    max: none,
  });
  return found;
}

function Chosen({
  filter,
  without,
  onChange,
}: {
  filter: Filter;
  without: readonly ListName[];
  onChange: (filter: Filter) => void;
}) {
  const { zone } = useStore(settings);
  const list = useRef<HTMLUListElement>(null);
  /** Where the focus goes when the chip that has it is gone: to the one that is in its place, or that it has become. */
  const goal = useRef<number | string>(undefined);
  useEffect(() => {
    const { current: to } = goal;
    if (to === undefined) return;
    goal.current = undefined;
    const left = [...(list.current?.querySelectorAll<HTMLElement>(".chosen-filter") ?? [])];
    const chip =
      typeof to === "string" ? left.find(({ dataset }) => dataset.chip === to) : (left[to] ?? left.at(-1));
    const next = chip?.querySelector<HTMLElement>(typeof to === "string" ? ".turn" : ".icon-only");
    if (next) next.focus();
    else focusPage();
  });
  const choose = (next: Filter, to: number | string) => {
    goal.current = to;
    onChange(next);
  };
  const chosen = chips(filter, without, zone, useSessionWords(filter.session));
  if (chosen.length === 0) return null;
  return (
    <ul className="chosen-filters" aria-label="Chosen filters" ref={list}>
      {chosen.map(({ key, label, words, without: rest, turned, excluded }, index) => (
        <li key={key} data-chip={key} className={excluded ? "chosen-filter out" : "chosen-filter"}>
          <span>{label}</span>
          {turned ? (
            <Button
              className="turn"
              aria-label={`${label} ${excluded ? "is not" : "is"} ${words}: switch to ${excluded ? "is" : "is not"}`}
              onPress={() => choose(turned.filter, turned.key)}
            >
              {excluded ? "is not" : "is"}
            </Button>
          ) : (
            <span className="quiet">is</span>
          )}
          <strong>{words}</strong>
          <Button
            className="plain icon-only"
            aria-label={`Remove ${label} ${words}`}
            onPress={() => choose(rest, index)}
          >
            <Icon name="close" />
          </Button>
        </li>
      ))}
      <li>
        <Button className="plain" onPress={() => choose(noFilter, 0)}>
          Clear all
        </Button>
      </li>
    </ul>
  );
}
