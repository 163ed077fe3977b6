import { useVirtualizer } from "@tanstack/react-virtual";
import { useMemo, useRef } from "react";
import { cutAt } from "../state/words";

/** Longer lines are broken: no browser likes a line of a million letters. */
const longest = 400;

function broken(text: string): string[] {
  const lines: string[] = [];
  for (const line of text.split("\n")) {
    if (line.length <= longest) lines.push(line);
    else
      for (let at = 0, end = 0; at < line.length; at = end) {
        end = cutAt(line, at + longest);
        lines.push(line.slice(at, end));
      }
  }
  return lines;
}

/** Text as it is, of any size: only the lines in sight are in the page. */
export function RawText({ text, label }: { text: string; label: string }) {
  const lines = useMemo(() => broken(text), [text]);
  const scroller = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({
    count: lines.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => 20,
    overscan: 30,
  });
  return (
    <div className="raw" ref={scroller} tabIndex={0} role="group" aria-label={label}>
      <div style={{ height: virtual.getTotalSize() }}>
        {virtual.getVirtualItems().map((item) => (
          <pre
            key={item.key}
            ref={virtual.measureElement}
            data-index={item.index}
            style={{ transform: `translateY(${item.start}px)` }}
          >
            {lines[item.index] || " "}
          </pre>
        ))}
      </div>
    </div>
  );
}
