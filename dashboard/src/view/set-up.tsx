import { useState } from "react";
import { Link } from "wouter";
import type { LiveState } from "../state/list";
import type { Call } from "../state/row";
import { Copy } from "./copy";
import { Icon } from "./icon";
import { Moment } from "./moment";
import { kinds } from "./set-up-kinds";

interface Props {
  state: LiveState;
  /** A call that came since the page was opened. */
  arrived: Call | undefined;
  /** Whether nothing is stored yet. */
  first?: boolean;
}

/** What to do so that a server's calls appear here, for each kind of server. Green when one has arrived. */
export function SetUp({ state, arrived, first = false }: Props) {
  const [chosen, setChosen] = useState(0);
  const kind = kinds[chosen] ?? kinds[0];
  return (
    <section className={arrived ? "set-up arrived" : "set-up"} aria-label="Set-up">
      <div className="set-up-state" role="status">
        {arrived ? (
          <p>
            <span className="badge-big good">
              <Icon name="check" />
            </span>
            <span>
              <strong>It works: a call has arrived.</strong>
              <br />
              {arrived.server.name}:{" "}
              <Link href={`/calls/${encodeURIComponent(arrived.id)}`}>
                {arrived.method} {arrived.target ?? ""}
              </Link>
              , <Moment time={arrived.startedAt} />
            </span>
          </p>
        ) : (
          <p>
            <span className={`dot ${state.replace(" ", "-")}`} aria-hidden="true" />
            <span>
              <strong>{first ? "No calls yet" : "Waiting for a call"}</strong>
              <br />
              {state === "live"
                ? "This turns green when the first span of a call arrives."
                : "The page is not connected to mcptap at the moment; it keeps trying."}
            </span>
          </p>
        )}
      </div>
      {!(arrived && first) && (
        <>
          <div className="kinds" role="group" aria-label="Kind of server">
            {kinds.map(({ name }, index) => (
              <button
                type="button"
                key={name}
                className={index === chosen ? "kind chosen" : "kind"}
                aria-pressed={index === chosen}
                onClick={() => setChosen(index)}
              >
                {name}
              </button>
            ))}
          </div>
          {kind?.steps.map(({ words, code }) => (
            <div key={words} className="step">
              <p>{words}</p>
              {code && (
                <div className={arrived ? "snippet done" : "snippet"}>
                  <pre tabIndex={0}>
                    <code>{code}</code>
                  </pre>
                  <Copy text={code} label="Copy the snippet" words="Copy" />
                </div>
              )}
            </div>
          ))}
          {kind && <p className="hint">In the log: {kind.inLog}</p>}
          <p className="hint">
            4318 is the port for OTLP over HTTP and 4317 the one for gRPC, unless mcptap was started with
            others.
          </p>
        </>
      )}
    </section>
  );
}
