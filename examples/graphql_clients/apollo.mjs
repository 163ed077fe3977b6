// A live list of calls in Apollo Client's cache: a page, then each new call, through restarts of the server and lost
// connections. It prints each call that comes into the list.
//
//     cd examples/graphql_clients && npm ci
//     node apollo.mjs [http://127.0.0.1:6278/graphql]

import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, Observable, gql } from "@apollo/client";
import { OperationTypeNode, print } from "graphql";
import WebSocket from "ws";

import { connect, follow, withKey } from "./follow.mjs";

const url = process.argv[2] ?? "http://127.0.0.1:6278/graphql";
// Needed where API keys exist: one with scope read, from `mcptap keys create`.
const key = process.env.API_KEY;

const CALL = gql`fragment Row on Call { id startedAt outcome method target }`;
const PAGE = gql`query Page { calls(first: 20) { edges { node { ...Row } } liveCursor } } ${CALL}`;
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

/** In the place of GraphQLWsLink, which would subscribe with the first cursor again after each lost connection. */
const live = new ApolloLink(
  ({ operationName, query, variables }) =>
    new Observable((sink) => follow(socket, { operationName, query: print(query), variables }, sink)),
);

const client = new ApolloClient({
  link: ApolloLink.split(
    ({ operationType }) => operationType === OperationTypeNode.SUBSCRIPTION,
    live,
    new HttpLink({ uri: url, headers: withKey(key) }),
  ),
  cache: new InMemoryCache({
    typePolicies: {
      // The feed goes on from the first page that was asked for, whatever pages of older calls come after it.
      CallConnection: { fields: { liveCursor: { merge: (first, next) => first ?? next } } },
    },
  }),
});

/** New calls go before the others. Calls that change are changed by the cache itself, wherever they are. */
function add(edges) {
  client.cache.updateQuery({ query: PAGE }, (list) => {
    const known = new Set(list.calls.edges.map(({ node }) => node.id));
    const fresh = edges.filter(({ node }) => !known.has(node.id));
    for (const { node } of fresh) show(node);
    return { ...list, calls: { ...list.calls, edges: [...fresh.reverse(), ...list.calls.edges] } };
  });
}

function show({ startedAt, outcome, method, target }) {
  console.log([startedAt, outcome, method, target].filter(Boolean).join(" "));
}

const { data } = await client.query({ query: PAGE });
for (const { node } of [...data.calls.edges].reverse()) show(node);
client.subscribe({ query: LIVE, variables: { after: data.calls.liveCursor } }).subscribe({
  next: ({ data, error }) => {
    if (error) throw error;
    if (data.calls.__typename === "CallsAdded") add([...data.calls.edges]);
  },
});
