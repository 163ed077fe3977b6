// What every client of graphql-ws needs to go on where it was: on each new connection graphql-ws sends a subscription
// again as its payload says it then, so the payload must hold the last cursor, and not the first.

import { createClient } from "graphql-ws";

/** The header with an API key, as HTTP requests have it and as the socket is opened with. Empty without one. */
export const withKey = (key) => (key ? { authorization: `Bearer ${key}` } : {});

/** How the socket is closed where a key is missing, wrong or not for this: asking again does not help. */
const refusals = [4401, 4403];

/** Whether the server's database does not answer: once it does, the feed goes on. */
const isAway = (error) =>
  Array.isArray(error) && error.some(({ extensions }) => extensions?.code === "UNAVAILABLE");

/** How long to wait before subscribing again then, in milliseconds. */
const pause = 2_000;

/**
 * How often the server is asked for a sign of life, and how long nothing may come after that, in milliseconds. Nobody is told of
 * a path that drops everything, such as that of a laptop which has changed its network.
 */
const keepAlive = 10_000;
const patience = 5_000;

/** A connection to the feed that is made anew for as long as it takes. `url`: http://… of the API. */
export function connect(url, key, options = {}) {
  let silence;
  const isAlive = () => {
    clearTimeout(silence);
    silence = undefined;
  };
  const listen = () => {
    clearTimeout(silence);
    silence = setTimeout(() => client.terminate(), patience);
  };
  const client = createClient({
    url: url.replace(/^http/, "ws"),
    connectionParams: withKey(key),
    shouldRetry: ({ code }) => !refusals.includes(code),
    retryAttempts: Number.POSITIVE_INFINITY,
    keepAlive,
    on: {
      ping: (received) => received || listen(),
      // an answer may wait behind a burst of calls
      message: () => silence === undefined || listen(),
      pong: (received) => received && isAlive(),
      closed: isAlive,
    },
    ...options,
  });
  return client;
}

/**
 * Subscribes to `calls(after: $after)`. Every event must select `cursor`. Returns what ends the subscription.
 * @param {import("graphql-ws").Client} socket
 * @param {{ query: string, operationName?: string, variables: { after: string } }} request
 */
export function follow(socket, request, sink) {
  const payload = { ...request, variables: { ...request.variables } };
  let again;
  let end;
  const begin = () => {
    end = socket.subscribe(payload, {
      next(result) {
        sink.next(result);
        // After the event was taken: what fails on it gets it again.
        payload.variables.after = result.data?.calls?.cursor ?? payload.variables.after;
      },
      error(error) {
        if (isAway(error)) again = setTimeout(begin, pause);
        else sink.error(error);
      },
      complete: () => sink.complete(),
    });
  };
  begin();
  return () => {
    clearTimeout(again);
    end();
  };
}
