import { useVirtualizer } from "@tanstack/react-virtual";
import { useMemo, useRef, useState } from "react";
import { Button, Input, SearchField } from "react-aria-components";
import { holdsJson, type Json, readJson, writeJson } from "../state/json";
import { count, cutAt, many } from "../state/words";
import { Copy } from "./copy";
import { Icon } from "./icon";

/** One line of the tree. */
interface Line {
  path: string;
  depth: number;
  name: string | undefined;
  value: Json;
  /** How many things are inside; undefined for what has no inside. */
  inside: number | undefined;
  /** Whether it is a JSON text, and is shown as such when open. */
  text: boolean;
}

/** Opened without being asked to, as long as all of it is this many lines. */
const small = 200;

function children(line: Line): { name: string | undefined; value: Json }[] {
  const value = line.text && line.value.kind === "text" ? readJson(line.value.value) : line.value;
  if (value?.kind === "object")
    return value.members.map(({ key, value: member }) => ({ name: key, value: member }));
  if (value?.kind === "list") return value.items.map((item, index) => ({ name: String(index), value: item }));
  return [];
}

function toLine(path: string, depth: number, name: string | undefined, value: Json): Line {
  const text = value.kind === "text" && !value.cut && holdsJson(value.value);
  const inside =
    value.kind === "object" ? value.members.length : value.kind === "list" ? value.items.length : undefined;
  return { path, depth, name, value, inside: text ? 0 : inside, text };
}

function size(value: Json): number {
  if (value.kind === "object") return value.members.reduce((sum, { value: member }) => sum + size(member), 1);
  if (value.kind === "list") return value.items.reduce((sum, item) => sum + size(item), 1);
  return 1;
}

/** The lines in sight: what is inside a closed line is left out. */
function visible(root: Json, isOpen: (line: Line) => boolean): Line[] {
  const lines: Line[] = [];
  const walk = (line: Line) => {
    lines.push(line);
    if (line.inside === undefined || !isOpen(line)) return;
    for (const [index, { name, value }] of children(line).entries()) {
      walk(toLine(`${line.path}/${index}`, line.depth + 1, name, value));
    }
  };
  walk(toLine("", 0, undefined, root));
  return lines;
}

function matches(line: Line, words: string): boolean {
  const value = line.value.kind === "text" || line.value.kind === "word" ? line.value.value : "";
  return `${line.name ?? ""} ${value}`.toLowerCase().includes(words);
}

interface Found {
  hits: Set<string>;
  ways: Set<string>;
}

/** What has these words, one after the other. Where nothing has, what has any of them, as a search of calls finds them anywhere. */
function find(root: Json, words: string): Found {
  const whole = findText(root, words);
  const each = words.split(/\s+/).filter((word) => word !== "");
  if (whole.hits.size > 0 || each.length < 2) return whole;
  const all = each.map((word) => findText(root, word));
  return {
    hits: new Set(all.flatMap(({ hits }) => [...hits])),
    ways: new Set(all.flatMap(({ ways }) => [...ways])),
  };
}

/** The paths of all lines that match, and of all that lead to them. */
function findText(root: Json, words: string): Found {
  const hits = new Set<string>();
  const ways = new Set<string>();
  const walk = (line: Line): boolean => {
    let inside = false;
    if (line.inside !== undefined) {
      for (const [index, { name, value }] of children(line).entries()) {
        if (walk(toLine(`${line.path}/${index}`, line.depth + 1, name, value))) inside = true;
      }
    }
    if (inside) ways.add(line.path);
    const hit = matches(line, words) && !(line.text && inside);
    if (hit) hits.add(line.path);
    return inside || hit;
  };
  walk(toLine("", 0, undefined, root));
  return { hits, ways };
}

interface Props {
  value: Json;
  label: string;
  /** What the list was searched for: it is searched for here too, if it is here. */
  sought?: string | undefined;
}

/** What of a search text stands in a body: the signs of the search do not. */
const plain = (sought: string) => sought.replace(/["*]/g, "").trim();

/** JSON as a tree that folds, and that can be searched. Only the lines in sight are in the page. */
export function JsonTree({ value, label, sought }: Props) {
  const few = useMemo(() => size(value) <= small, [value]);
  const [turned, setTurned] = useState<ReadonlySet<string>>(new Set());
  const [words, setWords] = useState(() => {
    const given = plain(sought ?? "");
    return given && find(value, given.toLowerCase()).hits.size > 0 ? given : "";
  });
  const found = useMemo(() => (words ? find(value, words.toLowerCase()) : undefined), [value, words]);
  const isOpen = (line: Line) => {
    const usual = found?.ways.has(line.path) || (!line.text && (few || line.depth < 2));
    return usual !== turned.has(line.path);
  };
  const lines = visible(value, isOpen);
  const turn = (path: string) => {
    const next = new Set(turned);
    if (!next.delete(path)) next.add(path);
    setTurned(next);
  };

  const search = (text: string) => {
    setWords(text);
    // what is found must be in sight, whatever was folded before
    setTurned(new Set());
  };

  const scroller = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({
    count: lines.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => 22,
    overscan: 20,
    getItemKey: (index) => lines[index]?.path ?? index,
  });
  return (
    <div className="tree-box">
      <SearchField
        aria-label={`Search in ${label}`}
        className="search small-search"
        value={words}
        onChange={search}
      >
        <Icon name="search" />
        <Input placeholder="Search" />
        {found && <span className="hint">{count(found.hits.size)} found</span>}
      </SearchField>
      <div className="tree-scroll" ref={scroller} tabIndex={0} role="group" aria-label={`${label} as a tree`}>
        <div className="tree" style={{ height: virtual.getTotalSize() }}>
          {virtual.getVirtualItems().map((item) => {
            const line = lines[item.index];
            if (!line) return null;
            return (
              <div
                key={item.key}
                ref={virtual.measureElement}
                data-index={item.index}
                className={found?.hits.has(line.path) ? "line hit" : "line"}
                style={{
                  transform: `translateY(${item.start}px)`,
                  paddingLeft: `${line.depth * 1.1 + 0.2}rem`,
                }}
              >
                <TreeLine
                  line={line}
                  open={line.inside !== undefined && isOpen(line)}
                  onTurn={() => turn(line.path)}
                />
              </div>
            );
          })}
        </div>
      </div>
    </div>
  );
}

/** Texts longer than this are shown in part, and copied whole. */
const longText = 2000;

function TreeLine({ line, open, onTurn }: { line: Line; open: boolean; onTurn: () => void }) {
  const { name, value, inside, text } = line;
  return (
    <>
      {inside !== undefined ? (
        <Button
          className="plain icon-only fold"
          aria-expanded={open}
          aria-label={`${open ? "Collapse" : "Expand"} ${name ?? "all"}`}
          onPress={onTurn}
        >
          <Icon name={open ? "down" : "right"} />
        </Button>
      ) : (
        <span className="fold" />
      )}
      <span className="line-text">
        {name !== undefined && <span className="name">{name}: </span>}
        <Leaf value={value} open={open} text={text} />
      </span>
      <span className="line-copy">
        <Copy
          label={`Copy ${name ?? "all"}`}
          text={async () => (value.kind === "text" ? value.value : writeJson(value))}
        />
      </span>
    </>
  );
}

function Leaf({ value, open, text }: { value: Json; open: boolean; text: boolean }) {
  switch (value.kind) {
    case "object":
      return (
        <span className="quiet">{`{${open ? "" : "…"}} ${many(value.members.length, "key")}${value.cut ? ", truncated" : ""}`}</span>
      );
    case "list":
      return (
        <span className="quiet">{`[${open ? "" : "…"}] ${many(value.items.length, "item")}${value.cut ? ", truncated" : ""}`}</span>
      );
    case "word":
      return <span className="word">{value.value}</span>;
    case "text": {
      if (text && open) return <span className="quiet">JSON text</span>;
      const end = cutAt(value.value, longText);
      return (
        <span className={value.value === "[redacted]" ? "secret" : "string"}>
          {JSON.stringify(value.value.slice(0, end)).slice(0, end < value.value.length ? -1 : undefined)}
          {end < value.value.length && (
            <span className="quiet">
              {" "}
              … {count(value.value.length - end)} more characters (copy has them all)
            </span>
          )}
          {value.cut && <span className="quiet"> truncated</span>}
        </span>
      );
    }
  }
}
