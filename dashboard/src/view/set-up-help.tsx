import { useEffect, useReducer, useState } from "react";
import { Link } from "wouter";
import { AskError, explain } from "../state/api";
import { clock } from "../state/clock";
import { metricsAddress, readCounters } from "../state/counters";
import type { Receivers } from "../state/receivers";
import { repeat } from "../state/repeat";
import { count } from "../state/words";
import { Outdated } from "./outdated";

/** How often the counters are read while somebody looks, in milliseconds. */
const pause = 3_000;

/** The counters of `/metrics` that say how far spans get, each in words. */
const counters = [
  ["Spans received", "mcptap_spans_total"],
  ["of these, MCP requests", "mcptap_mcp_spans_total"],
  ["of these, not MCP", "mcptap_foreign_spans_total"],
  ["Exports refused", "mcptap_refused_exports_total"],
  ["Spans and log records rejected", "mcptap_rejections_total"],
] as const;

/** Where to look when calls do not appear. */
export function SetUpHelp({ receivers }: { receivers: Receivers }) {
  const [open, setOpen] = useState(false);
  return (
    <details className="set-up-help" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>No data?</summary>
      {open && <Counters />}
      <ul>
        <li>
          <strong>No count increases:</strong> nothing reaches mcptap. OTLP over HTTP goes to{" "}
          <code>{receivers.http}</code> with <code>OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf</code>, gRPC to{" "}
          <code>{receivers.grpc}</code> with <code>grpc</code>. The endpoint has no path: exporters add{" "}
          <code>/v1/traces</code>. In a container <code>127.0.0.1</code> is the container itself.{" "}
          <code>OTEL_SDK_DISABLED</code>, <code>OTEL_TRACES_EXPORTER=none</code> or a sampler may suppress all
          of it.
        </li>
        <li>
          <strong>Exports are refused:</strong> where API keys exist, the header <code>x-api-key</code> is
          missing, wrong or of a key without the scope Ingest (401, 403); or the port is the one of the other
          protocol (400, 415). The sender logs the answer: look at its own log, on stderr.
        </li>
        <li>
          <strong>Spans arrive, but no MCP requests:</strong> they come from HTTP or other libraries. The
          server's SDK records no MCP spans: use <code>mcptap wrap</code> or <code>mcptap proxy</code>.
        </li>
        <li>
          <strong>Some cannot be stored:</strong> <code>mcptap_rejections_total</code> says why, such as a
          time older than what is kept, or a key that is bound to other servers.
        </li>
      </ul>
      <p>
        <Link href="/docs/instrumenting#when-nothing-shows-up">More in the documentation</Link>
      </p>
    </details>
  );
}

const isAway = (problem: unknown) => problem instanceof AskError && problem.kind === "away";

function Counters() {
  const [state, setState] = useState<{ known?: ReadonlyMap<string, number>; at?: number; problem?: unknown }>(
    {},
  );
  const [turn, again] = useReducer((before: number) => before + 1, 0);
  // a turn reads them at once
  useEffect(() => {
    const asking = new AbortController();
    const read = () =>
      readCounters(asking.signal).then(
        (known) => setState({ known, at: clock() }),
        (problem: unknown) => {
          if (!asking.signal.aborted) setState((before) => ({ ...before, problem }));
        },
      );
    void read();
    const stop = repeat(pause, read);
    return () => {
      stop();
      asking.abort();
    };
  }, [turn]);
  const { known, at, problem } = state;
  return (
    <>
      <p className="hint">
        Counters of <code>{metricsAddress.href}</code> since mcptap was started:
      </p>
      {problem !== undefined && !known && (
        <p className="hint" role="status">
          The counters could not be read: {isAway(problem) ? "mcptap does not answer" : explain(problem)}.
        </p>
      )}
      <Outdated of={{ at, problem, again }} />
      {known && (
        <dl className="counters" aria-label="Counters">
          {counters.map(([words, name]) => (
            <div key={name}>
              <dt>{words}</dt>
              <dd>{count(known.get(name) ?? 0)}</dd>
            </div>
          ))}
        </dl>
      )}
    </>
  );
}
