import { useCallback, useEffect, useRef, useState } from "react";
import type { TypedDocumentString } from "../gql/graphql";
import { ask, mayPass } from "./api";
import { clock } from "./clock";
import { keyStore } from "./key";
import { healPause, repeat } from "./repeat";
import { useStore } from "./store";

export interface Asked<T> {
  /** The last answer; that of the question before while the next is on its way. */
  data: T | undefined;
  problem: unknown;
  loading: boolean;
  /** The variables of the question that `data` answers. */
  answered: unknown;
  /** The subject of the question that `data` answers. */
  of: unknown;
  /** When `data` was answered, in milliseconds since 1970. */
  at: number | undefined;
  again: () => void;
}

interface State<Result> {
  data?: Result;
  at?: number;
  /** What `data` is about. */
  of?: unknown;
  answered?: unknown;
  problem?: unknown;
  /** What `problem` is about. */
  failed?: unknown;
  loading: boolean;
}

/** Asks again every so many milliseconds while somebody looks, and never while an answer is on its way. */
export function useAskAgain(
  asked: Pick<Asked<unknown>, "loading" | "again">,
  every: number | undefined,
): void {
  const { loading, again } = asked;
  useEffect(() => {
    if (every === undefined || loading) return;
    return repeat(every, again);
  }, [every, loading, again]);
}

/**
 * Asks whenever the question or the round changes. `undefined` variables ask nothing. `subject`: what the question is about,
 * where its text has a time in it too; else that is the question itself. An answer about another subject does not outlive a
 * failure. A failure that may pass is asked about again.
 */
export function useAsk<Result, Variables>(
  document: TypedDocumentString<Result, Variables>,
  variables: Variables | undefined,
  round = 0,
  subject?: unknown,
): Asked<Result> {
  const [state, setState] = useState<State<Result>>({
    loading: true,
  });
  const [retries, setRetries] = useState(0);
  const { attempt } = useStore(keyStore);
  const question = variables === undefined ? undefined : JSON.stringify(variables);
  const latest = useRef(variables);
  latest.current = variables;
  const aboutWhat = useRef<unknown>(undefined);
  aboutWhat.current = subject ?? question;

  // the question is its text; the others ask it anew
  useEffect(() => {
    if (question === undefined || latest.current === undefined) return;
    const asking = new AbortController();
    const about = aboutWhat.current;
    const answered = latest.current;
    setState((before) => ({
      ...before,
      problem: before.failed === about ? before.problem : undefined,
      loading: true,
    }));
    ask(document, latest.current, asking.signal).then(
      (data) => setState({ data, at: clock(), of: about, answered, loading: false }),
      (problem: unknown) => {
        if (!asking.signal.aborted)
          setState((before) => ({
            ...(before.of === about ? before : {}),
            problem,
            failed: about,
            loading: false,
          }));
      },
    );
    return () => asking.abort();
  }, [document, question, round, retries, attempt]);

  const again = useCallback(() => setRetries((before) => before + 1), []);
  const { data, of, answered, problem, loading, at } = state;
  useAskAgain({ loading, again }, mayPass(problem) ? healPause : undefined);
  return { data, of, answered, problem, loading, at, again };
}
