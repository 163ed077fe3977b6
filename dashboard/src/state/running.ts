import { useEffect, useMemo, useRef, useState } from "react";
import { type CallRowFragment, CallRowFragmentDoc, TypedDocumentString } from "../gql/graphql";
import { ask } from "./api";
import { repeat } from "./repeat";
import type { Call } from "./row";

/** How often calls that run are asked for again, in milliseconds. */
export const runningPause = 3_000;
/** How many calls are asked for at once: the API bounds the aliases of a query. */
export const mostAtOnce = 10;

type Answer = Record<string, CallRowFragment | null>;

/** The calls of some ids as they are now, at most `mostAtOnce`. Those that are no longer stored are left out. */
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

/**
 * The same calls; those that run are asked for again until they have ended, while somebody looks. `open`: the one beside them,
 * which asks for itself; `told`: what it found.
 */
export function useEndings(calls: readonly Call[], open?: string, told?: Call): readonly Call[] {
  // by the call as it was given: one that is given anew is newer than what was known of it
  const [fresh, setFresh] = useState<ReadonlyMap<Call, Call>>(new Map());
  const shown = useMemo(() => calls.map((call) => fresh.get(call) ?? call), [calls, fresh]);
  const running = shown.filter(({ id, outcome }) => outcome === "RUNNING" && id !== open).map(({ id }) => id);
  const latest = useRef({ calls, running });
  latest.current = { calls, running };
  useEffect(() => {
    const given = told && latest.current.calls.find(({ id }) => id === told.id);
    if (given) setFresh((before) => new Map(before).set(given, told));
  }, [told]);
  const any = running.length > 0;
  useEffect(() => {
    if (!any) return;
    const asking = new AbortController();
    let turn = 0;
    const stop = repeat(runningPause, async () => {
      try {
        const answer = await callsAgain(takeTurns(latest.current.running, turn), asking.signal);
        const found = new Map(answer.map((call) => [call.id, call]));
        const given = latest.current.calls;
        setFresh((before) => {
          const known = given.map((call) => [call, found.get(call.id) ?? before.get(call)] as const);
          return new Map(known.filter((pair): pair is readonly [Call, Call] => pair[1] !== undefined));
        });
      } catch {
        // asked again with the next round
      }
      turn += mostAtOnce;
    });
    return () => {
      stop();
      asking.abort();
    };
  }, [any]);
  return shown;
}
