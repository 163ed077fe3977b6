import { useCallback, useEffect, useMemo, useState } from "react";
import { Button } from "react-aria-components";
import { Link } from "wouter";
import { CallBodyDocument } from "../gql/graphql";
import { ask } from "../state/api";
import { readJson } from "../state/json";
import { useFilter } from "../state/place";
import { useViewer, withoutPayloads } from "../state/viewer";
import { lostWords, size } from "../state/words";
import type { Detail } from "./call-fields";
import { Copy } from "./copy";
import { Hidden } from "./hidden";
import { Icon } from "./icon";
import { JsonTree } from "./json-tree";
import { RawText } from "./raw-text";
import { Skeleton } from "./skeleton";

/** Bodies up to this size are loaded with the call; larger ones when asked for. In bytes. */
const atOnce = 100_000;

export type Side = "request" | "response";

/** A body as it is stored. Undefined where it is stored no longer, as that of a call that has expired. */
async function loadBody(id: string, side: Side): Promise<string | undefined> {
  const { call } = await ask(CallBodyDocument, {
    id,
    request: side === "request",
    response: side === "response",
  });
  return call?.[side]?.text;
}

interface Props {
  id: string;
  side: Side;
  call: Detail;
  /** What else can be copied of it. Not of a body that was cut: that would be another request. */
  copies?: { words: string; text: (body: string | undefined) => string }[];
}

/** Bodies that were captured and hold nothing. */
const nothing: readonly string[] = ["", "{}", "[]", "null", '""'];

/** What was sent or answered. Not captured, empty, cut off, redacted and kept from this key are different sights. */
export function PayloadView({ id, side, call, copies = [] }: Props) {
  const payload = call[side];
  const title = side === "request" ? "Request" : "Response";
  const hidden = withoutPayloads(useViewer());
  const { filter } = useFilter();
  const [loaded, setLoaded] = useState<{ text: string | undefined }>();
  const text = loaded?.text;
  const [problem, setProblem] = useState<unknown>();
  const [wanted, setWanted] = useState(false);
  const [attempt, setAttempt] = useState(0);
  const [raw, setRaw] = useState(false);
  const load = payload != null && payload.bytes > 0 && (wanted || payload.bytes <= atOnce);

  // a call that ran has another body when it ends; an attempt asks for the same one more
  const bytes = payload?.bytes;
  useEffect(() => {
    if (!load) return;
    let gone = false;
    setProblem(undefined);
    loadBody(id, side).then(
      (body) => !gone && setLoaded({ text: body }),
      (error: unknown) => !gone && setProblem(error),
    );
    return () => {
      gone = true;
    };
  }, [id, side, load, bytes, attempt]);

  const empty = payload?.bytes === 0 || (text !== undefined && nothing.includes(text.trim()));
  const value = useMemo(() => (text === undefined ? undefined : readJson(text)), [text]);
  const body = useCallback(async () => {
    if (text !== undefined || !payload) return text;
    const stored = await loadBody(id, side);
    if (stored === undefined) throw new Error(`the ${side} is no longer stored`);
    return stored;
  }, [text, id, side, payload]);

  return (
    <section className="payload" aria-label={title}>
      <header>
        <h2>{title}</h2>
        {payload && <span className="quiet">{size(payload.bytes)}</span>}
        {payload?.redacted && (
          <span className="chip secret">
            <Icon name="lock" />
            Redacted
          </span>
        )}
        {payload?.truncated && (
          <span className="chip warn">
            <Icon name="cut" />
            Truncated
          </span>
        )}
        <span className="space" />
        {value && !empty && (
          <Button className="small" aria-pressed={raw} onPress={() => setRaw(!raw)}>
            {raw ? "Tree" : "Raw"}
          </Button>
        )}
        {payload && payload.bytes > 0 && (
          <Copy words="Copy" label={`Copy the ${side}`} text={async () => (await body()) ?? ""} />
        )}
        {(hidden || payload?.truncated ? [] : copies).map((copy) => (
          <Copy
            key={copy.words}
            words={copy.words}
            label={copy.words}
            text={async () => copy.text(await body())}
          />
        ))}
      </header>
      {hidden ? (
        <Hidden what={`The ${side} is`} />
      ) : payload == null ? (
        <Missing side={side} method={call.method} outcome={call.outcome} />
      ) : empty ? (
        <p className="sight empty">
          <strong>Empty.</strong> The {side} was captured, and there is nothing in it
          {text ? `: ${text}` : "."}
        </p>
      ) : (
        <>
          {payload.truncated && (
            <p className="sight cut">
              <strong>Truncated.</strong> The {side} had {size(payload.bytes)}; only its beginning was kept.
            </p>
          )}
          {payload.redacted && (
            <p className="sight redacted">
              <strong>Redacted.</strong> Secrets were cut out before anything was stored.
            </p>
          )}
          {problem !== undefined ? (
            <p className="sight cut">
              <strong>Not loaded.</strong> The {side} could not be read.{" "}
              <Button className="small" onPress={() => setAttempt(attempt + 1)}>
                Try again
              </Button>
            </p>
          ) : !load ? (
            <Button className="primary" onPress={() => setWanted(true)}>
              Load {payload.truncated ? "what was kept" : size(payload.bytes)}
            </Button>
          ) : !loaded ? (
            <Skeleton lines={5} />
          ) : text === undefined ? (
            <p className="sight missing">
              <strong>No longer stored.</strong> The call has expired or been deleted since this page was
              loaded.
            </p>
          ) : value && !raw ? (
            <JsonTree value={value} label={title} sought={filter.search} />
          ) : (
            <RawText text={text} label={`${title} as text`} />
          )}
        </>
      )}
    </section>
  );
}

/** Why there is no body: none has been sent yet, none was seen, or nobody captured it. */
function Missing({ side, method, outcome }: { side: Side } & Pick<Detail, "method" | "outcome">) {
  if (/^(GET|DELETE|HEAD|OPTIONS)$/.test(method))
    return (
      <p className="sight empty">
        <strong>No {side} message.</strong> {method} is an HTTP request that holds no MCP message.{" "}
        {method === "GET" && "Messages on this stream are recorded with their calls."}
      </p>
    );
  if (side === "response" && outcome === "RUNNING")
    return (
      <p className="sight empty">
        <strong>No response yet.</strong> The call is still running. Its response appears here when it
        arrives.
      </p>
    );
  if (side === "response" && outcome === "LOST")
    return (
      <p className="sight missing">
        <strong>No response recorded.</strong> {lostWords} A late response still appears here.
      </p>
    );
  return (
    <p className="sight missing">
      <strong>Not captured.</strong> No span carried the {side}. Most SDKs leave bodies out;{" "}
      <Link href="/setup">Setup</Link> says how to capture them.
    </p>
  );
}
