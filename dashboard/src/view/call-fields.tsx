import type { ReactNode } from "react";
import { Link } from "wouter";
import type { CallDetailQuery } from "../gql/graphql";
import { type ListName, noFilter } from "../state/filter";
import { listAddress } from "../state/place";
import { lostWords, short, sourceWords, transportWords, vantageWords, visible } from "../state/words";
import type { OnPick } from "./call-row";
import { StatusChip } from "./chip";
import { Copy } from "./copy";
import { Country } from "./country";
import { Duration } from "./duration";
import { Moment } from "./moment";
import { ValueMenu } from "./value-menu";

export type Detail = NonNullable<CallDetailQuery["call"]>;

function Field({ label, children }: { label: string; children: ReactNode }) {
  return (
    <div>
      <dt>{label}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/** An id: short to look at, whole to copy. */
function Id({ id, label, children }: { id: string; label: string; children?: ReactNode }) {
  return (
    <>
      {children ?? (
        <span className="code" title={visible(id)}>
          {short(id)}
        </span>
      )}
      <Copy text={id} label={`Copy the ${label}`} />
    </>
  );
}

const nobody = <span className="quiet">unknown</span>;

/** All that is known of a call, but its bodies. What nobody observed says so where the reader would look for it. */
export function CallFields({ call, onPick }: { call: Detail; onPick: OnPick }) {
  const value = (name: ListName, text: string | null | undefined, shown?: ReactNode) =>
    text ? (
      <ValueMenu name={name} value={text} onPick={onPick}>
        {shown ?? visible(text)}
      </ValueMenu>
    ) : (
      nobody
    );
  return (
    <dl className="fields-list">
      <Field label="Status">
        {call.httpStatus == null
          ? value("outcome", call.outcome, <StatusChip call={call} />)
          : value("status", String(call.httpStatus), <StatusChip call={call} />)}
      </Field>
      {call.outcome === "LOST" && (
        <Field label="Why lost">
          <span className="hint">{lostWords}</span>
        </Field>
      )}
      <Field label="Method">
        {value("method", call.method, <span className="code">{visible(call.method)}</span>)}
      </Field>
      {call.tool && (
        <Field label="Tool">
          {value("tool", call.tool, <span className="code">{visible(call.tool)}</span>)}
        </Field>
      )}
      {call.prompt && (
        <Field label="Prompt">
          <span className="code">{visible(call.prompt)}</span>
        </Field>
      )}
      {call.resourceUri && (
        <Field label="Resource">
          <span className="code break">{visible(call.resourceUri)}</span>
          <Copy text={call.resourceUri} label="Copy the URI" />
        </Field>
      )}
      <Field label="Server">
        {value("server", call.server.name)}{" "}
        <Link href={`/servers/${encodeURIComponent(call.server.name)}`} className="small-link">
          open
        </Link>
      </Field>
      <Field label="Session">
        {call.sessionId ? <Id id={call.sessionId} label="session id" /> : call.session ? null : nobody}
        {call.session && (
          <Link href={`/sessions/${encodeURIComponent(call.session.id)}`} className="small-link">
            {call.sessionId ? "open" : `open (${sourceWords[call.session.source].toLowerCase()})`}
          </Link>
        )}
      </Field>
      <Field label="Time">
        <Moment time={call.startedAt} full />
      </Field>
      <Field label="Duration">
        <Duration call={call} />
        {call.late && <span className="chip warn">answered late</span>}
      </Field>
      {call.senderLastSeenAt && (
        <Field label="Sender last seen">
          <Moment time={call.senderLastSeenAt} full />
        </Field>
      )}
      <Field label="Country">
        {value("country", call.country, call.country && <Country code={call.country} named />)}
      </Field>
      <Field label="IP address">
        {value("ip", call.clientIp, <span className="code break">{visible(call.clientIp ?? "")}</span>)}
      </Field>
      <Field label="Authorization">
        {call.authorization ? (
          <span className="code">{visible(call.authorization)}</span>
        ) : (
          <span className="quiet">none recorded</span>
        )}
      </Field>
      <Field label="Client">
        {value(
          "client",
          call.clientName,
          `${visible(call.clientName ?? "")}${call.clientVersion ? ` ${visible(call.clientVersion)}` : ""}`,
        )}
      </Field>
      {call.userAgent && <Field label="User agent">{visible(call.userAgent)}</Field>}
      {call.rpcErrorCode != null && (
        <Field label="JSON-RPC error">
          <span className="code">{call.rpcErrorCode}</span>
        </Field>
      )}
      {call.requestId && (
        <Field label="JSON-RPC ID">
          <span className="code">{visible(call.requestId)}</span>
        </Field>
      )}
      <Field label="Protocol">{call.protocolVersion ? visible(call.protocolVersion) : nobody}</Field>
      <Field label="Transport">{call.transport ? transportWords[call.transport] : nobody}</Field>
      <Field label="Observed by">{vantageWords[call.observedBy]}</Field>
      <Field label="Received">
        <Moment time={call.receivedAt} full />
      </Field>
      <Field label="Trace">
        <Id id={call.traceId} label="trace id">
          <Link
            href={listAddress({ ...noFilter, trace: call.traceId })}
            className="code"
            title={call.traceId}
          >
            {short(call.traceId)}
          </Link>
        </Id>
      </Field>
      <Field label="Span">
        <Id id={call.spanId} label="span id">
          <span className="code">{call.spanId}</span>
        </Id>
      </Field>
      {call.parentSpanId && (
        <Field label="Parent span">
          <span className="code">{call.parentSpanId}</span>
        </Field>
      )}
      <Field label="Call ID">
        <Id id={call.id} label="call id" />
      </Field>
    </dl>
  );
}
