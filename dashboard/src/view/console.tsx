import { useRef, useState } from "react";
import { Button } from "react-aria-components";
import { flushSync } from "react-dom";
import { CallLogsDocument, type LogPageFragment } from "../gql/graphql";
import { ask, explain } from "../state/api";
import { focusOn } from "../state/focus";
import { settings } from "../state/settings";
import { useStore } from "../state/store";
import { useViewer, withoutPayloads } from "../state/viewer";
import { absolute, many } from "../state/words";
import { Hidden } from "./hidden";
import { notice } from "./notice";

function tone(severity: string): string {
  if (/err|fatal|crit|emerg|alert/i.test(severity)) return "bad";
  return /warn|notice/i.test(severity) ? "warn" : "plain";
}

/**
 * The attributes of a line as JSON, but for its stream. Of a line that a pipe gave nobody knows the severity: the pipe's
 * name, `stdout` or `stderr`, says more than the level that it is filed under.
 */
function streamOf(line: LogPageFragment["nodes"][number]): { stream?: string; rest?: string } {
  const { stream, ...rest } = (line.attributes ?? {}) as Record<string, unknown>;
  const pipe = stream === "stdout" || stream === "stderr" ? stream : undefined;
  const others = pipe ? rest : (line.attributes as Record<string, unknown> | null);
  return {
    ...(pipe && line.severity === "INFO" ? { stream: pipe } : {}),
    ...(Object.keys(others ?? {}).length > 0 ? { rest: JSON.stringify(others) } : {}),
  };
}

/** The console output of a call, oldest first. */
export function Console({ id, first, ended }: { id: string; first: LogPageFragment; ended: boolean }) {
  const { zone } = useStore(settings);
  const hidden = withoutPayloads(useViewer());
  const [later, setLater] = useState<LogPageFragment & { after: string }>();
  const after = first.pageInfo.endCursor ?? null;
  // the first page grows while the call runs, and what was loaded after it belongs to the page as it was
  const page =
    later && later.after === after
      ? { nodes: [...first.nodes, ...later.nodes], pageInfo: later.pageInfo }
      : first;
  const list = useRef<HTMLOListElement>(null);
  const more = async () => {
    const before = page.nodes.length;
    try {
      const from = page.pageInfo.endCursor ?? after;
      const { call } = await ask(CallLogsDocument, { id, after: from });
      if (after === null) return;
      if (!call) throw new Error("the call is no longer stored");
      const nodes = [...page.nodes.slice(first.nodes.length), ...call.logs.nodes];
      const endCursor = call.logs.pageInfo.endCursor ?? from;
      flushSync(() => setLater({ after, nodes, pageInfo: { ...call.logs.pageInfo, endCursor } }));
      focusOn(list.current?.children[before]);
    } catch (problem) {
      notice(`Could not load log lines: ${explain(problem) || "mcptap does not answer"}`);
    }
  };
  return (
    <section aria-label="Console output">
      <header>
        <h2>Console output</h2>
        {page.nodes.length > 0 && (
          <span className="quiet">
            {page.pageInfo.hasNextPage ? `${page.nodes.length}+ lines` : many(page.nodes.length, "line")}
          </span>
        )}
      </header>
      {hidden ? (
        <Hidden what="Console output is" />
      ) : page.nodes.length === 0 ? (
        <p className="hint">{ended ? "No log lines were received for this call." : "No log lines yet."}</p>
      ) : (
        <ol className="console" tabIndex={0} aria-label="Lines" ref={list}>
          {page.nodes.map((line, index) => {
            const { stream, rest } = streamOf(line);
            return (
              // biome-ignore lint/suspicious/noArrayIndexKey: lines are only ever added at the end
              <li key={index} className={tone(line.severity)}>
                <time dateTime={line.time} title={line.time}>
                  {absolute(line.time, zone).slice(11, 23)}
                </time>
                <span className="severity">{stream ?? line.severity}</span>
                <span className="body">
                  {line.body}
                  {rest && <span className="quiet"> {rest}</span>}
                </span>
              </li>
            );
          })}
        </ol>
      )}
      {page.pageInfo.hasNextPage && (
        <Button className="small" onPress={more}>
          More lines
        </Button>
      )}
    </section>
  );
}
