import { type CallFilter, CallPageDocument } from "../gql/graphql";
import { ask } from "./api";
import { type FeedListener, follow } from "./feed";
import { type Call, type Row, toRow } from "./row";
import { callsAgain } from "./running";

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
  /** The calls of a few ids as they are now. */
  again(ids: readonly string[], signal: AbortSignal): Promise<Call[]>;
  /** Runs something before the next picture is drawn. */
  frame(run: () => void): void;
  wait(ms: number, signal: AbortSignal): Promise<void>;
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
  follow,
  again: callsAgain,
  frame: (run) => void requestAnimationFrame(run),
  wait: (ms, signal) =>
    new Promise((resolve) => {
      // all tabs of a restarted server at the same moment would be a crowd
      const timer = setTimeout(resolve, ms * (0.75 + Math.random() / 2));
      for (const [target, event] of [
        [signal, "abort"],
        [globalThis, "online"],
      ] as const) {
        target.addEventListener(
          event,
          () => {
            clearTimeout(timer);
            resolve();
          },
          { once: true },
        );
      }
    }),
};
