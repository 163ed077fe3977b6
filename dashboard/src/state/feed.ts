import { createClient } from "graphql-ws";
import { CallFeedDocument, type CallFeedSubscription, type CallFilter } from "../gql/graphql";
import { dataOf } from "./api";
import { socketEndpoint } from "./endpoint";
import { currentKey, refuseKey } from "./key";
import { type Row, toRow } from "./row";

/** What is told of the feed, in this order for each event. */
export interface FeedListener {
  /** History is done; what follows is live. */
  live(): void;
  calls(rows: Row[], added: boolean): void;
  /** The event is taken: the next attempt goes on after this cursor. */
  moved(cursor: string): void;
}

/** How often the other end is asked whether it is still there, and how long it may take to say so, in milliseconds. */
const pingPause = 12_000;
const pongPatience = 5_000;

/** The calls stored after `cursor`, until `signal` ends it, or the server or the network does by an error. */
export async function follow(
  filter: CallFilter,
  cursor: string,
  on: FeedListener,
  signal: AbortSignal,
): Promise<void> {
  const key = currentKey();
  let unanswered: ReturnType<typeof setTimeout> | undefined;
  // The client's own retries would ask again from the first cursor, and deliver calls twice.
  const client = createClient({
    url: socketEndpoint.href,
    retryAttempts: 0,
    // a network that is gone closes no socket, and nothing comes through one that looks open
    keepAlive: pingPause,
    on: {
      ping: (received) => {
        if (!received) unanswered = setTimeout(() => client.terminate(), pongPatience);
      },
      pong: (received) => {
        if (received) clearTimeout(unanswered);
      },
    },
    ...(key ? { connectionParams: { authorization: `Bearer ${key}` } } : {}),
  });
  const answers = client.iterate<CallFeedSubscription>({
    query: CallFeedDocument.toString(),
    variables: { filter, after: cursor },
  });
  // the subscription first: a closed client would still try to send what waits for its connection
  const stop = () => void answers.return?.();
  signal.addEventListener("abort", stop);
  try {
    for await (const answer of answers) {
      if (signal.aborted) return;
      const event = dataOf(answer).calls;
      if (event.__typename === "CaughtUp") on.live();
      else on.calls(event.edges.map(toRow), event.__typename === "CallsAdded");
      on.moved(event.cursor);
    }
  } catch (error) {
    if (error instanceof CloseEvent && (error.code === 4401 || error.code === 4403))
      refuseKey(key, error.reason);
    throw error;
  } finally {
    clearTimeout(unanswered);
    signal.removeEventListener("abort", stop);
    await client.dispose();
  }
}
