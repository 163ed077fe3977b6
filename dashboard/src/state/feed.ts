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

/** How often a connection is asked for a sign of life, in milliseconds. */
const keepAlive = 10_000;
/** How long nothing may come after that, in milliseconds. Nobody is told of a path that drops everything. */
const patience = 5_000;

/** The calls stored after `cursor`, until `signal` ends it, or the server or the network does by an error. */
export async function follow(
  filter: CallFilter,
  cursor: string,
  on: FeedListener,
  signal: AbortSignal,
): Promise<void> {
  const key = currentKey();
  let silence: ReturnType<typeof setTimeout> | undefined;
  const listen = () => {
    clearTimeout(silence);
    silence = setTimeout(() => client.terminate(), patience);
  };
  const isAlive = () => {
    clearTimeout(silence);
    silence = undefined;
  };
  // The client's own retries would ask again from the first cursor, and deliver calls twice.
  const client = createClient({
    url: socketEndpoint.href,
    retryAttempts: 0,
    keepAlive,
    on: {
      ping: (received) => void (received || listen()),
      // an answer may wait behind a burst of calls
      message: () => void (silence === undefined || listen()),
      pong: (received) => void (received && isAlive()),
      closed: isAlive,
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
    signal.removeEventListener("abort", stop);
    await client.dispose();
  }
}
