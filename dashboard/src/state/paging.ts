import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "react";
import type { TypedDocumentString } from "../gql/graphql";
import { ask, mayPass } from "./api";
import { type Asked, useAskAgain } from "./asking";
import { clock } from "./clock";
import { keyStore } from "./key";
import { listParameters } from "./place";
import { healPause } from "./repeat";
import { Memory, takeReturn } from "./returning";
import { useStore } from "./store";

/** How much of a list was loaded, and how far down the page was scrolled, by the address and the text of the question. */
const memory = new Memory<{ count: number; top: number }>();

/** What scrolls, on all pages that have a list of this kind. */
const scroller = () => document.getElementById("main");

/** The most that the API gives at once. */
const largestPage = 500;

interface Connection<Item> {
  items: readonly Item[];
  pageInfo: { hasNextPage: boolean; endCursor: string | null };
}

interface PageVariables {
  first: number;
  after?: string | null | undefined;
}

export interface Paged<Item, Result = unknown> extends Omit<Asked<Result>, "data" | "answered" | "of"> {
  /** What is loaded of the list, in its order. Undefined until the first page is there. */
  items: readonly Item[] | undefined;
  /** The whole answer that the first page is from. */
  head: Result | undefined;
  /** Loads the next page, and gives the problem if there was one. Undefined where there is no next page. */
  more: (() => Promise<unknown>) | undefined;
  /** Whether the next page is being loaded. */
  loadingMore: boolean;
}

interface State<Result> {
  /** Which list the answers are of. */
  of: unknown;
  answers: readonly Result[];
  loading: boolean;
  at?: number;
  problem?: unknown;
}

/**
 * A list whose pages are asked for one after the other. `question` gives the variables of its first page; another function is
 * another list. `connection` finds the page in the answer. Asked again, the list comes with all pages that are loaded. A
 * failure that may pass is asked about again.
 */
export function usePages<Result, Variables extends PageVariables, Item>(
  document: TypedDocumentString<Result, Variables>,
  question: () => Variables,
  connection: (result: Result) => Connection<Item>,
  round = 0,
): Paged<Item, Result> {
  const [state, setState] = useState<State<Result>>({ of: undefined, answers: [], loading: true });
  const [retries, setRetries] = useState(0);
  const [loadingMore, setLoadingMore] = useState(false);
  const { attempt } = useStore(keyStore);
  const latest = useRef(state);
  latest.current = state;
  /** How many items the list is to have when it is asked again. */
  const wanted = useRef(0);
  const name = useRef("");
  // while the page is still there
  useLayoutEffect(() => {
    const list = listParameters(new URLSearchParams(location.search));
    name.current = `${location.pathname}?${list} ${document}`;
    return () => memory.keep(name.current, { count: wanted.current, top: scroller()?.scrollTop ?? 0 });
  }, [document, question]);

  const [back, setBack] = useState<{ top: number }>();
  // with the rows that the place is among
  useLayoutEffect(() => {
    if (back) scroller()?.scrollTo({ top: back.top });
  }, [back]);

  // round, retries and attempt ask anew
  useEffect(() => {
    const asking = new AbortController();
    const before = latest.current.of !== question && takeReturn() ? memory.find(name.current) : undefined;
    if (latest.current.of !== question) wanted.current = before?.count ?? 0;
    setState((before) => ({ ...before, loading: true }));
    const first = question();
    // in whole pages, as what came meanwhile is to be in sight too
    const next = (from: Variables, most: number) =>
      ask(
        document,
        { ...from, first: Math.min(largestPage, Math.max(1, Math.ceil(most / first.first)) * first.first) },
        asking.signal,
      );
    const all = async () => {
      const answers = [await next(first, wanted.current)];
      for (;;) {
        const last = answers.at(-1);
        const page = last && connection(last).pageInfo;
        const missing = wanted.current - countOf(answers, connection);
        if (missing <= 0 || !page?.hasNextPage) return answers;
        answers.push(await next({ ...first, after: page.endCursor }, missing));
      }
    };
    all().then(
      (answers) => {
        if (asking.signal.aborted) return;
        setState({ of: question, answers, loading: false, at: clock() });
        if (before) setBack(before);
      },
      (problem: unknown) => {
        // pages of another list are no old ones of this
        if (!asking.signal.aborted)
          setState(({ of, answers, at }) => ({
            ...(of === question ? { of, answers, ...(at === undefined ? {} : { at }) } : { of, answers: [] }),
            problem,
            loading: false,
          }));
      },
    );
    return () => asking.abort();
  }, [document, question, connection, round, retries, attempt]);

  const again = useCallback(() => setRetries((before) => before + 1), []);
  const { answers, loading, problem } = state;
  const busy = loading || loadingMore;
  useAskAgain({ loading: busy, again }, mayPass(problem) ? healPause : undefined);
  const tail = answers.at(-1);
  const end = tail && connection(tail).pageInfo;
  const after = end?.hasNextPage ? end.endCursor : null;
  const more = async () => {
    setLoadingMore(true);
    try {
      const next = await ask(document, { ...question(), after });
      if (latest.current.of !== question) return undefined;
      wanted.current = countOf(answers, connection) + connection(next).items.length;
      // the page goes on from the list as it was; one that came anew meanwhile is asked for as long
      if (latest.current.answers !== answers || latest.current.loading) again();
      else setState((before) => ({ ...before, answers: [...answers, next] }));
      return undefined;
    } catch (problem) {
      return problem;
    } finally {
      setLoadingMore(false);
    }
  };
  return {
    items: tail && answers.flatMap((answer) => connection(answer).items),
    head: answers[0],
    problem,
    // a list that is asked for anew as often as a page of it comes would never be whole
    loading: busy,
    at: state.at,
    again,
    more: after === null ? undefined : more,
    loadingMore,
  };
}

function countOf<Result>(
  answers: readonly Result[],
  connection: (result: Result) => Connection<unknown>,
): number {
  return answers.reduce((sum, answer) => sum + connection(answer).items.length, 0);
}
