/* eslint-disable */
/** Internal type. DO NOT USE DIRECTLY. */
type Exact<T extends { [key: string]: unknown }> = { [K in keyof T]: T[K] };
/** Internal type. DO NOT USE DIRECTLY. */
export type Incremental<T> = T | { [P in keyof T]?: P extends ' $fragmentName' | '__typename' ? T[P] : never };
import type { DocumentTypeDecoration } from '@graphql-typed-document-node/core';
/**
 * How tools and servers are sorted. Where the figure is the same, they stand by name, from A on; what has no figure (no
 * call with an end) stands last. Figures change while calls come in, and pages are of the moment in which they are asked
 * for: something whose figure passes that of the cursor meanwhile is on two pages, or on none.
 */
export type AggregateOrder = {
  /** Which end comes first. */
  direction?: OrderDirection;
  /** The field that decides. */
  field: AggregateOrderField;
};

/** The fields that tools and servers are sorted by. Figures are those of `CallStats`, over the calls of the list's filter. */
export type AggregateOrderField =
  /** How many calls. */
  | 'CALL_COUNT'
  /** How many of them are errors. */
  | 'ERROR_COUNT'
  /**
   * The share of errors that is certain: the lower bound of Wilson's interval for 95 %. One failure of one call stands
   * below forty of fifty.
   */
  | 'ERROR_RATE'
  /** The name, then that of the server. */
  | 'KEY'
  /** The median duration. */
  | 'P50'
  /** The duration that 95 % of the calls do not exceed. */
  | 'P95'
  /** The duration that 99 % of the calls do not exceed. */
  | 'P99';

/**
 * Which calls are meant. All that is given must hold; inside a list, any one value; an empty list, or null, is no
 * constraint. Logic is two-valued: a call whose field is null is in no list, so `not` keeps it. The same filter means
 * the same calls in a list, in facets, in statistics and in the live feed. A list may have up to 500 values, all lists
 * together 2,000; names may have any length.
 *
 * Failed calls of two tools since noon:
 * `{ tools: ["search", "fetch"], outcomes: [TOOL_ERROR], from: "2026-11-22T12:00:00Z" }`.
 */
export type CallFilter = {
  /** Addresses of clients, exactly as `Call.clientIp` has them. */
  clientIps?: Array<string> | null | undefined;
  /** Names of clients, exactly as `Call.clientName` has them. */
  clients?: Array<string> | null | undefined;
  /** Countries of clients by their ISO 3166-1 alpha-2 codes, such as `NL`. */
  countries?: Array<string> | null | undefined;
  /** Only calls that began at this moment or later. */
  from?: string | null | undefined;
  /** HTTP statuses, such as 401. A call of which nobody saw a status (stdio) is in no such list. */
  httpStatuses?: Array<number> | null | undefined;
  /** Requests, streams, or both. Lists and the live feed show both without it, statistics requests alone. */
  kinds?: Array<CallKind> | null | undefined;
  /** Only calls whose answer came late (`Call.late`), or only others. */
  late?: boolean | null | undefined;
  /** Only calls that took this many milliseconds or fewer. */
  maxDurationMs?: number | null | undefined;
  /** MCP methods, such as `tools/call` or `initialize`. */
  methods?: Array<string> | null | undefined;
  /** Only calls that took this many milliseconds or more. */
  minDurationMs?: number | null | undefined;
  /**
   * Only calls that run now and have for this many milliseconds or more. In a subscription this is judged when a call
   * changes, so one that goes on running without news is not delivered when it gets that old.
   */
  minRunningMs?: number | null | undefined;
  /** What must not hold. `not` and `or` may be nested 8 deep, with 100 filters in all. */
  not?: CallFilter | null | undefined;
  /** At least one of these must hold, besides all the rest. */
  or?: Array<CallFilter> | null | undefined;
  /** How calls ended. */
  outcomes?: Array<Outcome> | null | undefined;
  /**
   * Up to 32 words, phrases in quotes and `prefix*`, up to 1000 characters in all; case does not matter. All of them
   * must occur, anywhere in the request, the response, the error message, the target or the log lines; for keys
   * without scope `payloads`, in the target.
   */
  search?: string | null | undefined;
  /** Names of servers, exactly as `Server.name` has them. */
  servers?: Array<string> | null | undefined;
  /** The session: the id on the wire (`Call.sessionId`) or the id of a `Session`. */
  sessionId?: string | null | undefined;
  /** Only calls that began before this moment. */
  to?: string | null | undefined;
  /** Names of tools, whatever server they belong to. */
  tools?: Array<string> | null | undefined;
  /** The trace, as 32 hex digits. */
  traceId?: string | null | undefined;
};

/** Whether something is answered, or stays open. */
export type CallKind =
  /** A request that has one answer. */
  | 'REQUEST'
  /**
   * A stream for the server's messages, open for as long as the client listens: the GET of Streamable HTTP and HTTP+SSE,
   * and `subscriptions/listen`. Statistics count streams only where the filter names `kinds`.
   */
  | 'STREAM';

/** How a count relates to the truth. */
export type CountRelation =
  /** There are this many or more: counting stopped there. */
  | 'AT_LEAST'
  /** There are exactly this many. */
  | 'EXACT';

/** An API key that is to be made. */
export type CreateApiKeyInput = {
  /** When it ends by itself. Without it, never. */
  expiresAt?: string | null | undefined;
  /** The name for people: 1 to 100 characters, none of them NUL. */
  name: string;
  /** What it allows: at least one. `PAYLOADS` only together with `READ`. */
  scopes: Array<Scope>;
  /** The names of the only servers whose calls it sends and sees, at most 100. Without any, all; never with `ADMIN`. */
  servers?: Array<string> | null | undefined;
};

/** Which end of an order comes first. */
export type OrderDirection =
  /** The least first. */
  | 'ASC'
  /** The greatest first. */
  | 'DESC';

/**
 * How a call ended. Where several would hold, the first does of: CANCELLED, TOOL_ERROR, PROTOCOL_ERROR,
 * INPUT_REQUIRED, TRANSPORT_ERROR, OK. TOOL_ERROR, PROTOCOL_ERROR and TRANSPORT_ERROR count as errors. RUNNING and LOST
 * have no end: they are no errors, and have no part in percentiles.
 */
export type Outcome =
  /** The client gave up before there was an answer, or told the server to stop. */
  | 'CANCELLED'
  /** The answer asks the client for more (`resultType: "input_required"`); the client is expected to try again. */
  | 'INPUT_REQUIRED'
  /**
   * It had begun, and its process or connection was gone before it told of an end, or the word of its end was lost on the
   * way. Should the end come after all, it takes the place of this, and `late` is true.
   */
  | 'LOST'
  /** Answered. The handle of a task is an answer too: how the task ended is the outcome of its `tasks/get`. */
  | 'OK'
  /** The answer was a JSON-RPC error, whatever the HTTP status; `rpcErrorCode` has the code, where it is known. */
  | 'PROTOCOL_ERROR'
  /** It has begun and has not ended. Senders announce what runs for longer than a second. */
  | 'RUNNING'
  /** The tool itself said that it failed (`isError`), or raised an exception. */
  | 'TOOL_ERROR'
  /** Refused or broken without an MCP answer: HTTP 401, 403, 404 or 5xx, a timeout, a closed connection. */
  | 'TRANSPORT_ERROR';

/** Something that an API key may allow. */
export type Scope =
  /** To make and revoke keys, to delete calls, to read the audit. Not to read calls. */
  | 'ADMIN'
  /** To send spans and log lines over OTLP. */
  | 'INGEST'
  /** To read, with `READ`, what was said: bodies, log lines, error messages, stack traces, attributes. */
  | 'PAYLOADS'
  /** To read records: calls, facets, statistics, sessions, the live feed. Without what was said in them. */
  | 'READ';

/** What the calls of a session have in common, most certain first. */
export type SessionSource =
  /**
   * The same client name and version, address and credentials on the same server, with no pause of more than 30
   * minutes.
   */
  | 'CLIENT'
  /** One stdio process, or one connection. */
  | 'CONNECTION'
  /** An id that the sender gave to the conversation. */
  | 'CONVERSATION'
  /** One trace. */
  | 'TRACE'
  /** The protocol's own session id (protocols up to 2025-11-25), where it can be trusted. */
  | 'WIRE';

/** How client and server talked to one another. */
export type Transport =
  /** HTTP with Server-Sent Events, as protocol 2024-11-05 had it. */
  | 'SSE'
  /** Standard input and output of a child process. */
  | 'STDIO'
  /** HTTP as the protocol has it since 2025-03-26. */
  | 'STREAMABLE_HTTP'
  /** WebSocket. */
  | 'WEBSOCKET';

/** Who saw the call. */
export type Vantage =
  /** Only the client: the server sent nothing about it. */
  | 'CLIENT'
  /** A gateway on the way, about its own handling; the server's handling is a call of its own in the same trace. */
  | 'GATEWAY'
  /** The server that handled it. What the client saw of it is part of the same call. */
  | 'SERVER';

/** A view that is to be saved. */
export type ViewInput = {
  /** The columns to show, in order, by whatever names the client uses for them; at most 100. */
  columns?: Array<string> | null | undefined;
  /** The filter: an object of the form of `CallFilter`, at most 16 KiB. */
  filter: unknown;
  /**
   * Besides, only calls that began in the last so many seconds, whenever the view is opened: 1 or more. Not together
   * with `from` and `to` of the filter.
   */
  lastSeconds?: number | null | undefined;
  /** The name for people: 1 to 100 characters, none of them NUL. */
  name: string;
};

export type ViewerQueryVariables = Exact<{ [key: string]: never; }>;


export type ViewerQuery = { viewer: { keysExist: boolean, scopes: Array<Scope>, servers: Array<string>, key: { id: string, name: string, expiresAt: string | null } | null } };

export type KeyRowFragment = { id: string, name: string, scopes: Array<Scope>, servers: Array<string>, createdAt: string, expiresAt: string | null, lastUsedAt: string | null, revokedAt: string | null };

export type KeysQueryVariables = Exact<{
  first: number;
  after?: string | null | undefined;
}>;


export type KeysQuery = { apiKeys: { nodes: Array<{ id: string, name: string, scopes: Array<Scope>, servers: Array<string>, createdAt: string, expiresAt: string | null, lastUsedAt: string | null, revokedAt: string | null }>, pageInfo: { hasNextPage: boolean, endCursor: string | null } } };

export type AuditQueryVariables = Exact<{
  first: number;
  after?: string | null | undefined;
}>;


export type AuditQuery = { audit: { edges: Array<{ cursor: string, node: { time: string, action: string, subject: string, keyId: string | null } }>, pageInfo: { hasNextPage: boolean, endCursor: string | null } } };

export type CreateKeyMutationVariables = Exact<{
  input: CreateApiKeyInput;
}>;


export type CreateKeyMutation = { createApiKey:
    | { __typename: 'ApiKeyCreated', secret: string, apiKey: { id: string, name: string, scopes: Array<Scope>, servers: Array<string>, createdAt: string, expiresAt: string | null, lastUsedAt: string | null, revokedAt: string | null } }
    | { __typename: 'Forbidden', message: string }
    | { __typename: 'InvalidInput', field: string, message: string }
   };

export type RevokeKeyMutationVariables = Exact<{
  id: string | number;
}>;


export type RevokeKeyMutation = { revokeApiKey:
    | { __typename: 'ApiKeyRevoked' }
    | { __typename: 'Forbidden', message: string }
    | { __typename: 'NotFound', message: string }
   };

export type CallRowFragment = { id: string, startedAt: string, durationMs: number | null, kind: CallKind, late: boolean, outcome: Outcome, httpStatus: number | null, rpcErrorCode: number | null, errorMessage: string | null, method: string, target: string | null, tool: string | null, clientIp: string | null, country: string | null, clientName: string | null, sessionId: string | null, server: { name: string } };

export type CallPageQueryVariables = Exact<{
  filter?: CallFilter | null | undefined;
  first?: number | null | undefined;
  after?: string | null | undefined;
}>;


export type CallPageQuery = { calls: { liveCursor: string, edges: Array<{ cursor: string, node: { id: string, startedAt: string, durationMs: number | null, kind: CallKind, late: boolean, outcome: Outcome, httpStatus: number | null, rpcErrorCode: number | null, errorMessage: string | null, method: string, target: string | null, tool: string | null, clientIp: string | null, country: string | null, clientName: string | null, sessionId: string | null, server: { name: string } } }>, pageInfo: { hasNextPage: boolean, endCursor: string | null } } };

export type CallStretchQueryVariables = Exact<{
  filter?: CallFilter | null | undefined;
  first?: number | null | undefined;
  after?: string | null | undefined;
}>;


export type CallStretchQuery = { calls: { nodes: Array<{ id: string, startedAt: string }>, pageInfo: { hasNextPage: boolean } } };

export type CallCountQueryVariables = Exact<{
  filter?: CallFilter | null | undefined;
}>;


export type CallCountQuery = { calls: { totalCount: { value: number, relation: CountRelation } } };

export type CallTimeQueryVariables = Exact<{
  id: string | number;
}>;


export type CallTimeQuery = { call: { startedAt: string } | null };

export type CallNeighboursQueryVariables = Exact<{
  since?: CallFilter | null | undefined;
  before?: CallFilter | null | undefined;
  cursor?: string | null | undefined;
}>;


export type CallNeighboursQuery = { since: { nodes: Array<{ id: string, startedAt: string }>, pageInfo: { hasPreviousPage: boolean, startCursor: string | null } }, before: { nodes: Array<{ id: string }> } };

export type CallFeedSubscriptionVariables = Exact<{
  filter?: CallFilter | null | undefined;
  after?: string | null | undefined;
}>;


export type CallFeedSubscription = { calls:
    | { __typename: 'CallsAdded', cursor: string, edges: Array<{ cursor: string, node: { id: string, startedAt: string, durationMs: number | null, kind: CallKind, late: boolean, outcome: Outcome, httpStatus: number | null, rpcErrorCode: number | null, errorMessage: string | null, method: string, target: string | null, tool: string | null, clientIp: string | null, country: string | null, clientName: string | null, sessionId: string | null, server: { name: string } } }> }
    | { __typename: 'CallsUpdated', cursor: string, edges: Array<{ cursor: string, node: { id: string, startedAt: string, durationMs: number | null, kind: CallKind, late: boolean, outcome: Outcome, httpStatus: number | null, rpcErrorCode: number | null, errorMessage: string | null, method: string, target: string | null, tool: string | null, clientIp: string | null, country: string | null, clientName: string | null, sessionId: string | null, server: { name: string } } }> }
    | { __typename: 'CaughtUp', cursor: string }
   };

export type PayloadSizeFragment = { bytes: number, truncated: boolean, redacted: boolean };

export type CallDetailQueryVariables = Exact<{
  id: string | number;
}>;


export type CallDetailQuery = { call: { receivedAt: string, senderLastSeenAt: string | null, errorType: string | null, stackTrace: string | null, prompt: string | null, resourceUri: string | null, requestId: string | null, protocolVersion: string | null, transport: Transport | null, observedBy: Vantage, clientVersion: string | null, authorization: string | null, userAgent: string | null, traceId: string, spanId: string, parentSpanId: string | null, attributes: unknown, id: string, startedAt: string, durationMs: number | null, kind: CallKind, late: boolean, outcome: Outcome, httpStatus: number | null, rpcErrorCode: number | null, errorMessage: string | null, method: string, target: string | null, tool: string | null, clientIp: string | null, country: string | null, clientName: string | null, sessionId: string | null, session: { id: string, source: SessionSource, callCount: number } | null, request: { bytes: number, truncated: boolean, redacted: boolean } | null, response: { bytes: number, truncated: boolean, redacted: boolean } | null, logs: { nodes: Array<{ time: string, severity: string, body: string, attributes: unknown }>, pageInfo: { hasNextPage: boolean, endCursor: string | null } }, server: { name: string } } | null };

export type LogPageFragment = { nodes: Array<{ time: string, severity: string, body: string, attributes: unknown }>, pageInfo: { hasNextPage: boolean, endCursor: string | null } };

export type CallBodyQueryVariables = Exact<{
  id: string | number;
  request: boolean;
  response: boolean;
}>;


export type CallBodyQuery = { call: { request?: { text: string } | null, response?: { text: string } | null } | null };

export type CallLogsQueryVariables = Exact<{
  id: string | number;
  after?: string | null | undefined;
}>;


export type CallLogsQuery = { call: { logs: { nodes: Array<{ time: string, severity: string, body: string, attributes: unknown }>, pageInfo: { hasNextPage: boolean, endCursor: string | null } } } | null };

export type FacetValueFragment = { value: string, count: number };

export type FacetsQueryVariables = Exact<{
  filter?: CallFilter | null | undefined;
  servers?: boolean | null | undefined;
  tools?: boolean | null | undefined;
  methods?: boolean | null | undefined;
  httpStatuses?: boolean | null | undefined;
  outcomes?: boolean | null | undefined;
  countries?: boolean | null | undefined;
  clients?: boolean | null | undefined;
}>;


export type FacetsQuery = { facets: { servers?: Array<{ value: string, count: number }>, tools?: Array<{ value: string, count: number }>, methods?: Array<{ value: string, count: number }>, httpStatuses?: Array<{ value: string, count: number }>, outcomes?: Array<{ value: string, count: number }>, countries?: Array<{ value: string, count: number }>, clients?: Array<{ value: string, count: number }>, more: { servers?: boolean, tools?: boolean, methods?: boolean, httpStatuses?: boolean, outcomes?: boolean, countries?: boolean, clients?: boolean } } };

export type StatsQueryVariables = Exact<{
  filter?: CallFilter | null | undefined;
  buckets: number;
}>;


export type StatsQuery = { stats: { callCount: number, errorCount: number, p50Ms: number | null, p95Ms: number | null, p99Ms: number | null, series: Array<{ start: string, callCount: number, errorCount: number, p50Ms: number | null, p95Ms: number | null, p99Ms: number | null }> } };

export type ToolTotalsFragment = { id: string, name: string, server: { name: string }, stats: { callCount: number, errorCount: number, p50Ms: number | null, p95Ms: number | null, p99Ms: number | null } };

export type ToolsQueryVariables = Exact<{
  filter?: CallFilter | null | undefined;
  orderBy?: AggregateOrder | null | undefined;
  first: number;
  after?: string | null | undefined;
}>;


export type ToolsQuery = { tools: { nodes: Array<{ id: string, name: string, server: { name: string }, stats: { callCount: number, errorCount: number, p50Ms: number | null, p95Ms: number | null, p99Ms: number | null } }>, pageInfo: { hasNextPage: boolean, endCursor: string | null } } };

export type ToolRankingsQueryVariables = Exact<{
  filter?: CallFilter | null | undefined;
  first: number;
}>;


export type ToolRankingsQuery = { slowest: { nodes: Array<{ id: string, name: string, server: { name: string }, stats: { callCount: number, errorCount: number, p50Ms: number | null, p95Ms: number | null, p99Ms: number | null } }> }, failing: { nodes: Array<{ id: string, name: string, server: { name: string }, stats: { callCount: number, errorCount: number, p50Ms: number | null, p95Ms: number | null, p99Ms: number | null } }> } };

export type ServersQueryVariables = Exact<{
  orderBy?: AggregateOrder | null | undefined;
  first: number;
  after?: string | null | undefined;
}>;


export type ServersQuery = { servers: { nodes: Array<{ id: string, name: string, firstSeenAt: string, lastSeenAt: string }>, pageInfo: { hasNextPage: boolean, endCursor: string | null } } };

export type SessionRowFragment = { id: string, wireId: string | null, source: SessionSource, clientName: string | null, clientVersion: string | null, startedAt: string, lastCallAt: string, callCount: number, errorCount: number, server: { name: string } };

export type SessionsQueryVariables = Exact<{
  filter?: CallFilter | null | undefined;
  first: number;
  after?: string | null | undefined;
}>;


export type SessionsQuery = { sessions: { nodes: Array<{ id: string, wireId: string | null, source: SessionSource, clientName: string | null, clientVersion: string | null, startedAt: string, lastCallAt: string, callCount: number, errorCount: number, server: { name: string } }>, pageInfo: { hasNextPage: boolean, endCursor: string | null } } };

export type SessionNameQueryVariables = Exact<{
  id: string | number;
}>;


export type SessionNameQuery = { session: { wireId: string | null, source: SessionSource } | null };

export type SessionDetailQueryVariables = Exact<{
  id: string | number;
  first: number;
  after?: string | null | undefined;
}>;


export type SessionDetailQuery = { session: { id: string, wireId: string | null, source: SessionSource, clientName: string | null, clientVersion: string | null, startedAt: string, lastCallAt: string, callCount: number, errorCount: number, calls: { nodes: Array<{ id: string, startedAt: string, durationMs: number | null, kind: CallKind, late: boolean, outcome: Outcome, httpStatus: number | null, rpcErrorCode: number | null, errorMessage: string | null, method: string, target: string | null, tool: string | null, clientIp: string | null, country: string | null, clientName: string | null, sessionId: string | null, server: { name: string } }>, pageInfo: { hasNextPage: boolean, endCursor: string | null } }, server: { name: string } } | null };

export type ReceiversQueryVariables = Exact<{ [key: string]: never; }>;


export type ReceiversQuery = { receivers: { otlpHttp: { host: string, port: number }, otlpGrpc: { host: string, port: number } } | null };

export type SavedViewFragment = { id: string, name: string, filter: unknown, lastSeconds: number | null, columns: Array<string>, ownerId: string | null };

export type ViewsQueryVariables = Exact<{ [key: string]: never; }>;


export type ViewsQuery = { views: Array<{ id: string, name: string, filter: unknown, lastSeconds: number | null, columns: Array<string>, ownerId: string | null }> };

export type SaveViewMutationVariables = Exact<{
  input: ViewInput;
  shared: boolean;
}>;


export type SaveViewMutation = { saveView:
    | { __typename: 'Forbidden', message: string }
    | { __typename: 'InvalidInput', message: string }
    | { __typename: 'ViewSaved', view: { id: string, name: string, filter: unknown, lastSeconds: number | null, columns: Array<string>, ownerId: string | null } }
   };

export type UpdateViewMutationVariables = Exact<{
  id: string | number;
  input: ViewInput;
}>;


export type UpdateViewMutation = { updateView:
    | { __typename: 'Forbidden', message: string }
    | { __typename: 'InvalidInput', message: string }
    | { __typename: 'NotFound', message: string }
    | { __typename: 'ViewSaved', view: { id: string, name: string, filter: unknown, lastSeconds: number | null, columns: Array<string>, ownerId: string | null } }
   };

export type DeleteViewMutationVariables = Exact<{
  id: string | number;
}>;


export type DeleteViewMutation = { deleteView:
    | { __typename: 'Forbidden', message: string }
    | { __typename: 'NotFound', message: string }
    | { __typename: 'ViewDeleted' }
   };

export class TypedDocumentString<TResult, TVariables>
  extends String
  implements DocumentTypeDecoration<TResult, TVariables>
{
  __apiType?: NonNullable<DocumentTypeDecoration<TResult, TVariables>['__apiType']>;
  private value: string;
  public __meta__?: Record<string, any> | undefined;

  constructor(value: string, __meta__?: Record<string, any> | undefined) {
    super(value);
    this.value = value;
    this.__meta__ = __meta__;
  }

  override toString(): string & DocumentTypeDecoration<TResult, TVariables> {
    return this.value;
  }
}
export const KeyRowFragmentDoc = new TypedDocumentString(`
    fragment KeyRow on ApiKey {
  id
  name
  scopes
  servers
  createdAt
  expiresAt
  lastUsedAt
  revokedAt
}
    `, {"fragmentName":"KeyRow"}) as unknown as TypedDocumentString<KeyRowFragment, unknown>;
export const CallRowFragmentDoc = new TypedDocumentString(`
    fragment CallRow on Call {
  id
  startedAt
  durationMs
  kind
  late
  outcome
  httpStatus
  rpcErrorCode
  errorMessage
  method
  target
  tool
  server {
    name
  }
  clientIp
  country
  clientName
  sessionId
}
    `, {"fragmentName":"CallRow"}) as unknown as TypedDocumentString<CallRowFragment, unknown>;
export const PayloadSizeFragmentDoc = new TypedDocumentString(`
    fragment PayloadSize on Payload {
  bytes
  truncated
  redacted
}
    `, {"fragmentName":"PayloadSize"}) as unknown as TypedDocumentString<PayloadSizeFragment, unknown>;
export const LogPageFragmentDoc = new TypedDocumentString(`
    fragment LogPage on LogLineConnection {
  nodes {
    time
    severity
    body
    attributes
  }
  pageInfo {
    hasNextPage
    endCursor
  }
}
    `, {"fragmentName":"LogPage"}) as unknown as TypedDocumentString<LogPageFragment, unknown>;
export const FacetValueFragmentDoc = new TypedDocumentString(`
    fragment FacetValue on Facet {
  value
  count
}
    `, {"fragmentName":"FacetValue"}) as unknown as TypedDocumentString<FacetValueFragment, unknown>;
export const ToolTotalsFragmentDoc = new TypedDocumentString(`
    fragment ToolTotals on Tool {
  id
  name
  server {
    name
  }
  stats {
    callCount
    errorCount
    p50Ms
    p95Ms
    p99Ms
  }
}
    `, {"fragmentName":"ToolTotals"}) as unknown as TypedDocumentString<ToolTotalsFragment, unknown>;
export const SessionRowFragmentDoc = new TypedDocumentString(`
    fragment SessionRow on Session {
  id
  wireId
  source
  server {
    name
  }
  clientName
  clientVersion
  startedAt
  lastCallAt
  callCount
  errorCount
}
    `, {"fragmentName":"SessionRow"}) as unknown as TypedDocumentString<SessionRowFragment, unknown>;
export const SavedViewFragmentDoc = new TypedDocumentString(`
    fragment SavedView on View {
  id
  name
  filter
  lastSeconds
  columns
  ownerId
}
    `, {"fragmentName":"SavedView"}) as unknown as TypedDocumentString<SavedViewFragment, unknown>;
export const ViewerDocument = new TypedDocumentString(`
    query Viewer {
  viewer {
    key {
      id
      name
      expiresAt
    }
    keysExist
    scopes
    servers
  }
}
    `) as unknown as TypedDocumentString<ViewerQuery, ViewerQueryVariables>;
export const KeysDocument = new TypedDocumentString(`
    query Keys($first: Int!, $after: String) {
  apiKeys(first: $first, after: $after) {
    nodes {
      ...KeyRow
    }
    pageInfo {
      hasNextPage
      endCursor
    }
  }
}
    fragment KeyRow on ApiKey {
  id
  name
  scopes
  servers
  createdAt
  expiresAt
  lastUsedAt
  revokedAt
}`) as unknown as TypedDocumentString<KeysQuery, KeysQueryVariables>;
export const AuditDocument = new TypedDocumentString(`
    query Audit($first: Int!, $after: String) {
  audit(first: $first, after: $after) {
    edges {
      cursor
      node {
        time
        action
        subject
        keyId
      }
    }
    pageInfo {
      hasNextPage
      endCursor
    }
  }
}
    `) as unknown as TypedDocumentString<AuditQuery, AuditQueryVariables>;
export const CreateKeyDocument = new TypedDocumentString(`
    mutation CreateKey($input: CreateApiKeyInput!) {
  createApiKey(input: $input) {
    __typename
    ... on ApiKeyCreated {
      apiKey {
        ...KeyRow
      }
      secret
    }
    ... on InvalidInput {
      field
      message
    }
    ... on Forbidden {
      message
    }
  }
}
    fragment KeyRow on ApiKey {
  id
  name
  scopes
  servers
  createdAt
  expiresAt
  lastUsedAt
  revokedAt
}`) as unknown as TypedDocumentString<CreateKeyMutation, CreateKeyMutationVariables>;
export const RevokeKeyDocument = new TypedDocumentString(`
    mutation RevokeKey($id: ID!) {
  revokeApiKey(id: $id) {
    __typename
    ... on Refusal {
      message
    }
  }
}
    `) as unknown as TypedDocumentString<RevokeKeyMutation, RevokeKeyMutationVariables>;
export const CallPageDocument = new TypedDocumentString(`
    query CallPage($filter: CallFilter, $first: Int, $after: String) {
  calls(filter: $filter, first: $first, after: $after) {
    edges {
      cursor
      node {
        ...CallRow
      }
    }
    pageInfo {
      hasNextPage
      endCursor
    }
    liveCursor
  }
}
    fragment CallRow on Call {
  id
  startedAt
  durationMs
  kind
  late
  outcome
  httpStatus
  rpcErrorCode
  errorMessage
  method
  target
  tool
  server {
    name
  }
  clientIp
  country
  clientName
  sessionId
}`) as unknown as TypedDocumentString<CallPageQuery, CallPageQueryVariables>;
export const CallStretchDocument = new TypedDocumentString(`
    query CallStretch($filter: CallFilter, $first: Int, $after: String) {
  calls(filter: $filter, first: $first, after: $after) {
    nodes {
      id
      startedAt
    }
    pageInfo {
      hasNextPage
    }
  }
}
    `) as unknown as TypedDocumentString<CallStretchQuery, CallStretchQueryVariables>;
export const CallCountDocument = new TypedDocumentString(`
    query CallCount($filter: CallFilter) {
  calls(filter: $filter, first: 1) {
    totalCount {
      value
      relation
    }
  }
}
    `) as unknown as TypedDocumentString<CallCountQuery, CallCountQueryVariables>;
export const CallTimeDocument = new TypedDocumentString(`
    query CallTime($id: ID!) {
  call(id: $id) {
    startedAt
  }
}
    `) as unknown as TypedDocumentString<CallTimeQuery, CallTimeQueryVariables>;
export const CallNeighboursDocument = new TypedDocumentString(`
    query CallNeighbours($since: CallFilter, $before: CallFilter, $cursor: String) {
  since: calls(filter: $since, last: 100, before: $cursor) {
    nodes {
      id
      startedAt
    }
    pageInfo {
      hasPreviousPage
      startCursor
    }
  }
  before: calls(filter: $before, first: 1) {
    nodes {
      id
    }
  }
}
    `) as unknown as TypedDocumentString<CallNeighboursQuery, CallNeighboursQueryVariables>;
export const CallFeedDocument = new TypedDocumentString(`
    subscription CallFeed($filter: CallFilter, $after: String) {
  calls(filter: $filter, after: $after, batchSize: 500) {
    __typename
    ... on CallsAdded {
      cursor
      edges {
        cursor
        node {
          ...CallRow
        }
      }
    }
    ... on CallsUpdated {
      cursor
      edges {
        cursor
        node {
          ...CallRow
        }
      }
    }
    ... on CaughtUp {
      cursor
    }
  }
}
    fragment CallRow on Call {
  id
  startedAt
  durationMs
  kind
  late
  outcome
  httpStatus
  rpcErrorCode
  errorMessage
  method
  target
  tool
  server {
    name
  }
  clientIp
  country
  clientName
  sessionId
}`) as unknown as TypedDocumentString<CallFeedSubscription, CallFeedSubscriptionVariables>;
export const CallDetailDocument = new TypedDocumentString(`
    query CallDetail($id: ID!) {
  call(id: $id) {
    ...CallRow
    receivedAt
    senderLastSeenAt
    errorType
    stackTrace
    prompt
    resourceUri
    session {
      id
      source
      callCount
    }
    requestId
    protocolVersion
    transport
    observedBy
    clientVersion
    authorization
    userAgent
    traceId
    spanId
    parentSpanId
    attributes
    request {
      ...PayloadSize
    }
    response {
      ...PayloadSize
    }
    logs(first: 100) {
      ...LogPage
    }
  }
}
    fragment CallRow on Call {
  id
  startedAt
  durationMs
  kind
  late
  outcome
  httpStatus
  rpcErrorCode
  errorMessage
  method
  target
  tool
  server {
    name
  }
  clientIp
  country
  clientName
  sessionId
}
fragment PayloadSize on Payload {
  bytes
  truncated
  redacted
}
fragment LogPage on LogLineConnection {
  nodes {
    time
    severity
    body
    attributes
  }
  pageInfo {
    hasNextPage
    endCursor
  }
}`) as unknown as TypedDocumentString<CallDetailQuery, CallDetailQueryVariables>;
export const CallBodyDocument = new TypedDocumentString(`
    query CallBody($id: ID!, $request: Boolean!, $response: Boolean!) {
  call(id: $id) {
    request @include(if: $request) {
      text
    }
    response @include(if: $response) {
      text
    }
  }
}
    `) as unknown as TypedDocumentString<CallBodyQuery, CallBodyQueryVariables>;
export const CallLogsDocument = new TypedDocumentString(`
    query CallLogs($id: ID!, $after: String) {
  call(id: $id) {
    logs(first: 500, after: $after) {
      ...LogPage
    }
  }
}
    fragment LogPage on LogLineConnection {
  nodes {
    time
    severity
    body
    attributes
  }
  pageInfo {
    hasNextPage
    endCursor
  }
}`) as unknown as TypedDocumentString<CallLogsQuery, CallLogsQueryVariables>;
export const FacetsDocument = new TypedDocumentString(`
    query Facets($filter: CallFilter, $servers: Boolean = false, $tools: Boolean = false, $methods: Boolean = false, $httpStatuses: Boolean = false, $outcomes: Boolean = false, $countries: Boolean = false, $clients: Boolean = false) {
  facets(filter: $filter) {
    servers @include(if: $servers) {
      ...FacetValue
    }
    tools @include(if: $tools) {
      ...FacetValue
    }
    methods @include(if: $methods) {
      ...FacetValue
    }
    httpStatuses @include(if: $httpStatuses) {
      ...FacetValue
    }
    outcomes @include(if: $outcomes) {
      ...FacetValue
    }
    countries @include(if: $countries) {
      ...FacetValue
    }
    clients @include(if: $clients) {
      ...FacetValue
    }
    more {
      servers @include(if: $servers)
      tools @include(if: $tools)
      methods @include(if: $methods)
      httpStatuses @include(if: $httpStatuses)
      outcomes @include(if: $outcomes)
      countries @include(if: $countries)
      clients @include(if: $clients)
    }
  }
}
    fragment FacetValue on Facet {
  value
  count
}`) as unknown as TypedDocumentString<FacetsQuery, FacetsQueryVariables>;
export const StatsDocument = new TypedDocumentString(`
    query Stats($filter: CallFilter, $buckets: Int!) {
  stats(filter: $filter, buckets: $buckets) {
    callCount
    errorCount
    p50Ms
    p95Ms
    p99Ms
    series {
      start
      callCount
      errorCount
      p50Ms
      p95Ms
      p99Ms
    }
  }
}
    `) as unknown as TypedDocumentString<StatsQuery, StatsQueryVariables>;
export const ToolsDocument = new TypedDocumentString(`
    query Tools($filter: CallFilter, $orderBy: AggregateOrder, $first: Int!, $after: String) {
  tools(filter: $filter, orderBy: $orderBy, first: $first, after: $after) {
    nodes {
      ...ToolTotals
    }
    pageInfo {
      hasNextPage
      endCursor
    }
  }
}
    fragment ToolTotals on Tool {
  id
  name
  server {
    name
  }
  stats {
    callCount
    errorCount
    p50Ms
    p95Ms
    p99Ms
  }
}`) as unknown as TypedDocumentString<ToolsQuery, ToolsQueryVariables>;
export const ToolRankingsDocument = new TypedDocumentString(`
    query ToolRankings($filter: CallFilter, $first: Int!) {
  slowest: tools(filter: $filter, orderBy: {field: P95}, first: $first) {
    nodes {
      ...ToolTotals
    }
  }
  failing: tools(filter: $filter, orderBy: {field: ERROR_RATE}, first: $first) {
    nodes {
      ...ToolTotals
    }
  }
}
    fragment ToolTotals on Tool {
  id
  name
  server {
    name
  }
  stats {
    callCount
    errorCount
    p50Ms
    p95Ms
    p99Ms
  }
}`) as unknown as TypedDocumentString<ToolRankingsQuery, ToolRankingsQueryVariables>;
export const ServersDocument = new TypedDocumentString(`
    query Servers($orderBy: AggregateOrder, $first: Int!, $after: String) {
  servers(orderBy: $orderBy, first: $first, after: $after) {
    nodes {
      id
      name
      firstSeenAt
      lastSeenAt
    }
    pageInfo {
      hasNextPage
      endCursor
    }
  }
}
    `) as unknown as TypedDocumentString<ServersQuery, ServersQueryVariables>;
export const SessionsDocument = new TypedDocumentString(`
    query Sessions($filter: CallFilter, $first: Int!, $after: String) {
  sessions(filter: $filter, first: $first, after: $after) {
    nodes {
      ...SessionRow
    }
    pageInfo {
      hasNextPage
      endCursor
    }
  }
}
    fragment SessionRow on Session {
  id
  wireId
  source
  server {
    name
  }
  clientName
  clientVersion
  startedAt
  lastCallAt
  callCount
  errorCount
}`) as unknown as TypedDocumentString<SessionsQuery, SessionsQueryVariables>;
export const SessionNameDocument = new TypedDocumentString(`
    query SessionName($id: ID!) {
  session(id: $id) {
    wireId
    source
  }
}
    `) as unknown as TypedDocumentString<SessionNameQuery, SessionNameQueryVariables>;
export const SessionDetailDocument = new TypedDocumentString(`
    query SessionDetail($id: ID!, $first: Int!, $after: String) {
  session(id: $id) {
    ...SessionRow
    calls(first: $first, after: $after) {
      nodes {
        ...CallRow
      }
      pageInfo {
        hasNextPage
        endCursor
      }
    }
  }
}
    fragment CallRow on Call {
  id
  startedAt
  durationMs
  kind
  late
  outcome
  httpStatus
  rpcErrorCode
  errorMessage
  method
  target
  tool
  server {
    name
  }
  clientIp
  country
  clientName
  sessionId
}
fragment SessionRow on Session {
  id
  wireId
  source
  server {
    name
  }
  clientName
  clientVersion
  startedAt
  lastCallAt
  callCount
  errorCount
}`) as unknown as TypedDocumentString<SessionDetailQuery, SessionDetailQueryVariables>;
export const ReceiversDocument = new TypedDocumentString(`
    query Receivers {
  receivers {
    otlpHttp {
      host
      port
    }
    otlpGrpc {
      host
      port
    }
  }
}
    `) as unknown as TypedDocumentString<ReceiversQuery, ReceiversQueryVariables>;
export const ViewsDocument = new TypedDocumentString(`
    query Views {
  views {
    ...SavedView
  }
}
    fragment SavedView on View {
  id
  name
  filter
  lastSeconds
  columns
  ownerId
}`) as unknown as TypedDocumentString<ViewsQuery, ViewsQueryVariables>;
export const SaveViewDocument = new TypedDocumentString(`
    mutation SaveView($input: ViewInput!, $shared: Boolean!) {
  saveView(input: $input, shared: $shared) {
    __typename
    ... on ViewSaved {
      view {
        ...SavedView
      }
    }
    ... on Refusal {
      message
    }
  }
}
    fragment SavedView on View {
  id
  name
  filter
  lastSeconds
  columns
  ownerId
}`) as unknown as TypedDocumentString<SaveViewMutation, SaveViewMutationVariables>;
export const UpdateViewDocument = new TypedDocumentString(`
    mutation UpdateView($id: ID!, $input: ViewInput!) {
  updateView(id: $id, input: $input) {
    __typename
    ... on ViewSaved {
      view {
        ...SavedView
      }
    }
    ... on Refusal {
      message
    }
  }
}
    fragment SavedView on View {
  id
  name
  filter
  lastSeconds
  columns
  ownerId
}`) as unknown as TypedDocumentString<UpdateViewMutation, UpdateViewMutationVariables>;
export const DeleteViewDocument = new TypedDocumentString(`
    mutation DeleteView($id: ID!) {
  deleteView(id: $id) {
    __typename
    ... on Refusal {
      message
    }
  }
}
    `) as unknown as TypedDocumentString<DeleteViewMutation, DeleteViewMutationVariables>;