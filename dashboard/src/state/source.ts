import { type CallFilter, CallPageDocument, CallStretchDocument } from "../gql/graphql";
import { ask } from "./api";
import { type FeedListener, follow } from "./feed";
import { pause, seen } from "./repeat";
import { type Call, type Row, toRow } from "./row";
import { callsAgain } from "./running";
import { mostStretched, type Stretch } from "./stretch";

/** A page of the list. */
export interface Page {
  rows: Row[];
  hasMore: boolean;
  endCursor: string | null | undefined;
  liveCursor: string;
}

/** Where calls come from: the API, or a test. */
export interface Source {
  page(filter: CallFilter, first: number, after: string | undefined, signal: AbortSignal): Promise<Page>;
  follow(filter: CallFilter, cursor: string, on: FeedListener, signal: AbortSignal): Promise<void>;
  /** Which calls there are after a cursor, newest first: at most `mostStretched`. */
  stretch(filter: CallFilter, after: string | undefined, signal: AbortSignal): Promise<Stretch>;
  /** The calls of a few ids as they are now. */
  again(ids: readonly string[], signal: AbortSignal): Promise<Call[]>;
  /** Runs something before the next picture is drawn. */
  frame(run: () => void): void;
  wait(ms: number, signal: AbortSignal): Promise<void>;
  /** Waits until somebody looks. */
  seen(signal: AbortSignal): Promise<void>;
}

export const api: Source = {
  async page(filter, first, after, signal) {
    const { calls } = await ask(CallPageDocument, { filter, first, after }, signal);
    return {
      rows: calls.edges.map(toRow),
      hasMore: calls.pageInfo.hasNextPage,
      endCursor: calls.pageInfo.endCursor,
      liveCursor: calls.liveCursor,
    };
  },
  async stretch(filter, after, signal) {
    const { calls } = await ask(CallStretchDocument, { filter, first: mostStretched, after }, signal);
    return { calls: calls.nodes, hasMore: calls.pageInfo.hasNextPage };
  },
  follow,
  again: callsAgain,
  frame: (run) => void requestAnimationFrame(run),
  wait: pause,
  seen,
};
