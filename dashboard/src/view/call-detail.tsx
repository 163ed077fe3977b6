import { lazy, Suspense, useEffect, useMemo, useState } from "react";
import { Button } from "react-aria-components";
import { CallDetailDocument } from "../gql/graphql";
import { isBadInput } from "../state/api";
import { useAsk, useAskAgain } from "../state/asking";
import { readJson } from "../state/json";
import { useKeys } from "../state/keys";
import { asCurl, asJsonRpc } from "../state/snippet";
import { useViewer, withoutPayloads } from "../state/viewer";
import { visible } from "../state/words";
import { CallFields, type Detail } from "./call-fields";
import type { OnPick } from "./call-row";
import { Console } from "./console";
import { Copy } from "./copy";
import { Hidden } from "./hidden";
import { Icon } from "./icon";
import { useReasons } from "./narrowed";
import { Outdated } from "./outdated";
import { Problem } from "./problem";
import { Skeleton } from "./skeleton";
import { valueHelp } from "./value-menu";

/** How often a call that has not ended is asked for, in milliseconds. The end of one that was lost hardly ever comes. */
const pauses: Partial<Record<Detail["outcome"], number>> = { RUNNING: 2_000, LOST: 15_000 };

const PayloadView = lazy(() => import("./payload").then((module) => ({ default: module.PayloadView })));
const JsonTree = lazy(() => import("./json-tree").then((module) => ({ default: module.JsonTree })));

/** All of one call: what is known of it on the left, what was said on the right. */
export function CallDetail({
  id,
  onPick,
  onCall,
}: {
  id: string;
  onPick: OnPick;
  /** Is told of the call when it is known, and again when it changes. */
  onCall?: (call: Detail) => void;
}) {
  const variables = useMemo(() => ({ id }), [id]);
  const asked = useAsk(CallDetailDocument, variables);
  const { data, problem, loading, again } = asked;
  const call = data?.call;
  useAskAgain(asked, call?.id === id ? pauses[call.outcome] : undefined);
  useKeys({ r: again });
  useEffect(() => {
    if (call?.id === id) onCall?.(call);
  }, [call, id, onCall]);
  const unknown = isBadInput(problem);
  const reasons = useReasons("It has expired", "it was deleted", "the address is wrong");
  // also while it is asked for again: the button in it keeps the focus
  if (problem !== undefined && !unknown && !call) return <Problem problem={problem} again={again} />;
  // the answer to the question before is of another call
  if (call && call.id === id)
    return (
      <>
        <Outdated of={asked} />
        <Parts key={id} call={call} onPick={onPick} />
      </>
    );
  if ((data || unknown) && !loading && !call) {
    return (
      <div className="problem">
        <h2>There is no such call</h2>
        <p>{reasons}.</p>
      </div>
    );
  }
  return (
    <div className="detail" aria-busy="true">
      <Skeleton lines={12} />
      <Skeleton lines={12} />
    </div>
  );
}

function Parts({ call, onPick }: { call: Detail; onPick: OnPick }) {
  const json = { words: "Copy as JSON-RPC", text: (body: string | undefined) => asJsonRpc(call, body) };
  const curl = { words: "Copy as curl", text: (body: string | undefined) => asCurl(call, body) };
  // a pipe has no address that curl could ask
  const copies = call.transport === "STDIO" ? [json] : [curl, json];
  const captured = call.request !== null;
  return (
    <div className="detail">
      <span id={valueHelp} hidden>
        Opens a menu: filter by it, or copy it
      </span>
      <section aria-label="Fields" className="left">
        <CallFields call={call} onPick={onPick} />
      </section>
      <div className="right">
        {(call.errorMessage || call.errorType || call.stackTrace) && <Failure call={call} />}
        <Suspense fallback={<Skeleton lines={8} />}>
          <PayloadView id={call.id} side="request" call={call} copies={captured ? copies : []} />
          <PayloadView id={call.id} side="response" call={call} />
        </Suspense>
        <Console id={call.id} first={call.logs} ended={call.outcome !== "RUNNING"} />
        <Attributes attributes={call.attributes} />
      </div>
    </div>
  );
}

function Failure({ call }: { call: Detail }) {
  const hidden = withoutPayloads(useViewer());
  return (
    <section className="failure" aria-label="Error">
      <header>
        <h2>Error</h2>
        {call.errorType && <span className="code">{visible(call.errorType)}</span>}
        <span className="space" />
        {call.errorMessage && <Copy label="Copy the error" text={call.errorMessage} />}
      </header>
      {hidden ? (
        <Hidden what="The error message is" />
      ) : call.errorMessage ? (
        <p className="message">{call.errorMessage}</p>
      ) : (
        <p className="hint">No error message was recorded.</p>
      )}
      {call.stackTrace && (
        <details open>
          <summary>Stack trace</summary>
          <pre tabIndex={0}>{call.stackTrace}</pre>
        </details>
      )}
    </section>
  );
}

function Attributes({ attributes }: { attributes: unknown }) {
  const hidden = withoutPayloads(useViewer());
  const [open, setOpen] = useState(false);
  const text = JSON.stringify(attributes ?? {});
  const value = useMemo(() => readJson(text), [text]);
  return (
    <section aria-label="Raw attributes">
      <header>
        <h2>
          <Button className="plain" aria-expanded={open} onPress={() => setOpen(!open)}>
            <Icon name={open ? "down" : "right"} />
            Raw attributes
          </Button>
        </h2>
        {!hidden && <span className="quiet">{Object.keys(attributes ?? {}).length}</span>}
        <span className="space" />
        {!hidden && (
          <Copy
            label="Copy the attributes"
            text={() => Promise.resolve(JSON.stringify(attributes, null, 2))}
          />
        )}
      </header>
      {open && hidden && <Hidden what="Attributes are" />}
      {open && !hidden && value && (
        <Suspense fallback={<Skeleton lines={5} />}>
          <JsonTree value={value} label="Raw attributes" />
        </Suspense>
      )}
    </section>
  );
}
