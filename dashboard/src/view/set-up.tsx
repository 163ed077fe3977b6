import { useMemo, useState } from "react";
import { Link } from "wouter";
import { sendSnippet } from "../state/api-keys";
import type { LiveState } from "../state/list-state";
import { type Receivers, useReceivers } from "../state/receivers";
import type { Call } from "../state/row";
import { may, useViewer } from "../state/viewer";
import { callWords, visible } from "../state/words";
import { Icon } from "./icon";
import { Moment } from "./moment";
import { Narrowed, useBound } from "./narrowed";
import { SetUpHelp } from "./set-up-help";
import { kindsFor } from "./set-up-kinds";
import { Snippet } from "./snippet";

interface Props {
  /** How the feed is. Undefined where the key of this tab reads no calls. */
  state: LiveState | undefined;
  /** A call that came since the page was opened. */
  arrived: Call | undefined;
  /** Whether nothing is stored yet. */
  first?: boolean;
}

/** What to do so that a server's calls appear here, for each kind of server. Green when one has arrived. */
export function SetUp({ state, arrived, first = false }: Props) {
  const viewer = useViewer();
  const bound = useBound().length > 0;
  const [chosen, setChosen] = useState(0);
  // one that was away may have been started anew
  const receivers = useReceivers(state === "live" ? 1 : 0);
  const kinds = useMemo(() => kindsFor(receivers), [receivers]);
  const kind = kinds[chosen] ?? kinds[0];
  return (
    <section className={arrived ? "set-up arrived" : "set-up"} aria-label="Setup">
      <div className="set-up-state">
        <p>
          {arrived ? (
            <span className="badge-big good">
              <Icon name="check" />
            </span>
          ) : (
            // green is for the call alone
            state && (
              <span
                className={state === "live" ? "dot" : `dot ${state.replace(" ", "-")}`}
                aria-hidden="true"
              />
            )
          )}
          <span>
            <span role="status">
              {arrived ? (
                <>
                  <strong>It works: a call has arrived.</strong>
                  <br />
                  {visible(arrived.server.name)}:{" "}
                  <Link href={`/calls/${encodeURIComponent(arrived.id)}`}>{callWords(arrived)}</Link>
                </>
              ) : (
                <Waiting state={state} first={first} bound={bound} />
              )}
            </span>
            {/* a status is said again whenever any of it changes, and this goes on */}
            {arrived && (
              <>
                , <Moment time={arrived.startedAt} />
              </>
            )}
          </span>
        </p>
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
          {kind?.steps.map((step) => (
            <Snippet key={step.words} {...step} done={arrived !== undefined} />
          ))}
          {viewer?.keysExist && (
            <>
              <Snippet
                words="This mcptap only accepts calls with an API key that has the scope Ingest: set it too."
                code={sendSnippet("YOUR_KEY")}
                done={arrived !== undefined}
              />
              {may(viewer, "ADMIN") && (
                <p className="hint">
                  Create one on the page <Link href="/keys">Keys</Link>.
                </p>
              )}
            </>
          )}
          {kind && (
            <p className="hint">
              Recorded: {kind.inLog}{" "}
              <Link href={`/docs/instrumenting${kind.anchor}`}>Read more in the documentation</Link>
            </p>
          )}
          <p className="hint">{receiversWords(receivers)}</p>
          <SetUpHelp receivers={receivers} />
        </>
      )}
    </section>
  );
}

/** That no call has arrived, and whether one would be seen here. */
function Waiting({ state, first, bound }: Pick<Props, "state"> & { first: boolean; bound: boolean }) {
  if (state === undefined) return "Your key cannot read calls, so arriving calls are not shown here.";
  const title =
    state === "paused"
      ? "Live is off"
      : state === "catching up"
        ? "Connecting…"
        : state !== "live"
          ? "Not connected"
          : first
            ? "No calls yet"
            : "Waiting for a call";
  return (
    <>
      <strong>{title}</strong> <Narrowed />
      <br />
      {state === "live" || state === "catching up"
        ? `This turns green when the ${first ? "first" : "next"} call${bound ? " that your key sees" : ""} arrives.`
        : state === "paused"
          ? "Turn it on to see the first call as it arrives."
          : "mcptap, or its database, does not answer; retrying."}
    </>
  );
}

/** Where telemetry is received, in words. */
function receiversWords({ http, grpc, known, onlyThere }: Receivers): string {
  if (!known)
    return "4318 and 4317 are the default ports for OTLP over HTTP and gRPC. If mcptap was started with others, use those: it prints them when it starts.";
  const where = `This mcptap receives OTLP over HTTP at ${http} and over gRPC at ${grpc}`;
  return onlyThere
    ? `${where}, on its own machine only. To receive from others, start it with --otlp-http and --otlp-grpc.`
    : `${where}. If ports are mapped (e.g. in a container), use the mapped ports.`;
}
