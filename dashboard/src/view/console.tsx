import { useState } from "react";
import { Button } from "react-aria-components";
import { CallLogsDocument, type LogPageFragment } from "../gql/graphql";
import { ask } from "../state/api";
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

/** The console output of a call, oldest first. */
export function Console({ id, first }: { id: string; first: LogPageFragment }) {
  const { zone } = useStore(settings);
  const hidden = withoutPayloads(useViewer());
  const [page, setPage] = useState(first);
  const more = async () => {
    try {
      const { call } = await ask(CallLogsDocument, { id, after: page.pageInfo.endCursor ?? null });
      if (call) setPage({ nodes: [...page.nodes, ...call.logs.nodes], pageInfo: call.logs.pageInfo });
    } catch {
      notice("The log lines could not be loaded");
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
        <p className="hint">This call wrote nothing.</p>
      ) : (
        <ol className="console">
          {page.nodes.map((line, index) => {
            const more = Object.keys(line.attributes ?? {}).length > 0;
            return (
              // biome-ignore lint/suspicious/noArrayIndexKey: lines are only ever added at the end
              <li key={index} className={tone(line.severity)}>
                <time dateTime={line.time} title={line.time}>
                  {absolute(line.time, zone).slice(11, 23)}
                </time>
                <span className="severity">{line.severity}</span>
                <span className="body">
                  {line.body}
                  {more && <span className="quiet"> {JSON.stringify(line.attributes)}</span>}
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
