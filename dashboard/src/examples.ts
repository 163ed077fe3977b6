const newest = `# The newest calls, a page at a time.
# The next page: calls(after: endCursor).
# Live from exactly this page on: put the
# liveCursor into the tab LiveCalls.
query NewestCalls {
  calls(first: 20) {
    nodes {
      id
      startedAt
      durationMs
      outcome
      method
      target
      httpStatus
      server { name }
      clientName
    }
    totalCount { value relation }
    pageInfo { hasNextPage endCursor }
    liveCursor
  }
}
`;

const failed = `# Tool calls that went wrong.
# Everything in a filter must hold;
# inside a list, any one.
query FailedToolCalls($filter: CallFilter) {
  calls(filter: $filter, first: 20) {
    nodes {
      id
      startedAt
      tool
      outcome
      rpcErrorCode
      errorType
      errorMessage
      response { text truncated }
    }
    pageInfo { hasNextPage endCursor }
  }
}
`;

const failedVariables = `{
  "filter": {
    "methods": ["tools/call"],
    "outcomes": ["TOOL_ERROR", "PROTOCOL_ERROR", "TRANSPORT_ERROR"]
  }
}
`;

const facets = `# The values to filter by, with counts.
# Each list honours every part of the
# filter but its own.
query FilterMenus($filter: CallFilter) {
  facets(filter: $filter) {
    servers { value count }
    tools { value count }
    methods { value count }
    outcomes { value count }
    httpStatuses { value count }
    clients { value count }
    countries { value count }
  }
}
`;

const live = `# Every call as it is stored. With a
# liveCursor or cursor in $after, first what
# was missed, each call exactly once.
subscription LiveCalls($filter: CallFilter, $after: String) {
  calls(filter: $filter, after: $after) {
    __typename
    ... on CallsAdded {
      edges { node { ...LiveCall } }
      cursor
    }
    ... on CallsUpdated {
      edges { node { ...LiveCall } }
      cursor
    }
    ... on CaughtUp { cursor }
  }
}

fragment LiveCall on Call {
  id
  startedAt
  durationMs
  outcome
  method
  target
  server { name }
}
`;

const one = `# One call with all that was captured.
# null: not captured, which is not
# the same as empty.
query OneCall($id: ID!) {
  call(id: $id) {
    startedAt
    durationMs
    outcome
    method
    target
    server { name }
    session { id source callCount }
    transport
    request { json text bytes truncated redacted }
    response { json text bytes truncated redacted }
    logs(first: 100) {
      nodes { time severity body attributes }
      pageInfo { hasNextPage endCursor }
    }
    traceId
    spanId
    attributes
  }
}
`;

/** A tab of GraphiQL as it is on a first visit. */
export interface Example {
  query: string;
  variables?: string;
}

/** The tabs of a first visit. `callId` is a call to look at, where there is one already. */
export function examples(callId: string | undefined): Example[] {
  return [
    { query: newest },
    { query: failed, variables: failedVariables },
    { query: facets, variables: `{\n  "filter": {}\n}\n` },
    { query: live, variables: `{\n  "filter": {}\n}\n` },
    { query: one, variables: `${JSON.stringify({ id: callId ?? "the id of a call" }, null, 2)}\n` },
  ];
}
