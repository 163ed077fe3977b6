import type { Call, Row } from "./row";

/** The truth about the feed, as the dot tells it. */
export type LiveState = "paused" | "catching up" | "live" | "reconnecting" | "not connected";

export interface ListState {
  /** What the rows answer, so that nobody takes them for the answer to another question. */
  question: unknown;
  rows: readonly Row[];
  /** What is being asked for. */
  loading: "first" | "more" | undefined;
  problem: unknown;
  /** Why the list was not answered when it was asked for again. Its rows are those of before then, as they were `at`. */
  outdated: unknown;
  hasMore: boolean;
  live: LiveState;
  /** New calls that wait above the list, because the reader is further down. */
  waiting: number;
  /** How many calls the feed has told of. What was counted before it told of another is not their number. */
  told: number;
  /** The call that the feed added last. */
  arrived: Call | undefined;
  /** When the rows were last known to be so: when the first page was answered, or the feed was lost. In milliseconds since 1970. */
  at: number | undefined;
}

/** A list that was left. */
export interface Left {
  question: unknown;
  rows: readonly Row[];
  hasMore: boolean;
  endCursor: string | undefined;
  liveCursor: string;
  /** Where its range ended. */
  end: string | undefined;
  at: number | undefined;
}

/** A list of which nothing was asked yet. */
export const unasked: ListState = {
  question: undefined,
  rows: [],
  loading: "first",
  problem: undefined,
  outdated: undefined,
  hasMore: false,
  live: "paused",
  waiting: 0,
  told: 0,
  arrived: undefined,
  at: undefined,
};
