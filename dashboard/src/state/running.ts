import { useEffect, useMemo, useRef, useState } from "react";
import { type CallRowFragment, CallRowFragmentDoc, TypedDocumentString } from "../gql/graphql";
import { ask } from "./api";
import type { Call } from "./row";

/** How often calls that run are asked for again, in milliseconds. */
export const runningPause = 3_000;
/** How many calls are asked for at once: the API bounds the aliases of a query. */
export const mostAtOnce = 10;

type Answer = Record<string, CallRowFragment | null>;

/** The calls of some ids as they are now, at most `mostAtOnce`. What is no longer stored is left out. */
export async function callsAgain(ids: readonly string[], signal: AbortSignal): Promise<Call[]> {
  const few = ids.slice(0, mostAtOnce);
  const names = few.map((_, index) => `$id${index}: ID!`).join(", ");
  const fields = few.map((_, index) => `c${index}: call(id: $id${index}) { ...CallRow }`).join("\n");
  const text = `query RunningCalls(${names}) {\n${fields}\n}\n${CallRowFragmentDoc}`;
  const variables = Object.fromEntries(few.map((id, index) => [`id${index}`, id]));
  const answer = await ask(new TypedDocumentString<Answer, Record<string, string>>(text), variables, signal);
  return Object.values(answer).filter((call) => call !== null);
}

/** Those of `running` whose turn it is: a crowd is gone through, the first of them does not stand for all. */
export function takeTurns(running: readonly string[], turn: number): string[] {
  const from = running.length > mostAtOnce ? turn % running.length : 0;
  return [...running.slice(from), ...running.slice(0, from)].slice(0, mostAtOnce);
}

/** The same calls; those that run are asked for again until they have ended, while somebody looks. */
export function useEndings(calls: readonly Call[]): readonly Call[] {
  const [fresh, setFresh] = useState<ReadonlyMap<string, Call>>(new Map());
  const shown = useMemo(
    () => calls.map((call) => (call.outcome === "RUNNING" ? (fresh.get(call.id) ?? call) : call)),
    [calls, fresh],
  );
  const running = shown.filter(({ outcome }) => outcome === "RUNNING").map(({ id }) => id);
  const latest = useRef(running);
  latest.current = running;
  const any = running.length > 0;
  useEffect(() => {
    if (!any) return;
    const asking = new AbortController();
    let [turn, busy] = [0, false];
    const timer = setInterval(async () => {
      if (busy || document.visibilityState !== "visible") return;
      busy = true;
      try {
        const found = await callsAgain(takeTurns(latest.current, turn), asking.signal);
        setFresh((before) => new Map([...before, ...found.map((call) => [call.id, call] as const)]));
      } catch {
        // asked again with the next round
      }
      turn += mostAtOnce;
      busy = false;
    }, runningPause);
    return () => {
      clearInterval(timer);
      asking.abort();
    };
  }, [any]);
  return shown;
}
