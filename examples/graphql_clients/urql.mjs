// The newest calls, then each new one, with urql, through restarts of the server and lost connections.
//
//     cd examples/graphql_clients && npm ci
//     node urql.mjs [http://127.0.0.1:6278/graphql]

import { Client, cacheExchange, fetchExchange, gql, subscriptionExchange } from "@urql/core";
import WebSocket from "ws";

import { connect, follow, withKey } from "./follow.mjs";

const url = process.argv[2] ?? "http://127.0.0.1:6278/graphql";
// Needed where API keys exist: one with scope read, from `mcptap keys create`.
const key = process.env.API_KEY;

const CALL = gql`fragment Row on Call { id startedAt outcome method target }`;
const PAGE = gql`query Page { calls(first: 20) { nodes { ...Row } liveCursor } } ${CALL}`;
const LIVE = gql`
  subscription Live($after: String!) {
    calls(after: $after) {
      __typename
      ... on CallsAdded { cursor edges { node { ...Row } } }
      ... on CallsUpdated { cursor edges { node { ...Row } } }
      ... on CaughtUp { cursor }
    }
  }
  ${CALL}
`;

// In a browser, and from Node.js 22 on, WebSocket is there already.
const socket = connect(url, key, { webSocketImpl: WebSocket });

const client = new Client({
  url,
  preferGetMethod: false,
  fetchOptions: { headers: withKey(key) },
  exchanges: [
    cacheExchange,
    fetchExchange,
    subscriptionExchange({
      forwardSubscription: ({ query, variables }) => ({
        subscribe: (sink) => ({ unsubscribe: follow(socket, { query, variables }, sink) }),
      }),
    }),
  ],
});

function show({ startedAt, outcome, method, target }) {
  console.log([startedAt, outcome, method, target].filter(Boolean).join(" "));
}

const { data, error } = await client.query(PAGE, {}).toPromise();
if (error) throw error;
for (const call of [...data.calls.nodes].reverse()) show(call);
client.subscription(LIVE, { after: data.calls.liveCursor }).subscribe(({ data, error }) => {
  if (error) throw error;
  // CallsUpdated has calls that are in the list already: by their id, they take the place of what was there.
  if (data.calls.__typename === "CallsAdded") for (const { node } of data.calls.edges) show(node);
});
