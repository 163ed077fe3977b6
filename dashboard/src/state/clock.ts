import { createStore, useStore } from "./store";

/**
 * By how much the clock of mcptap is ahead of this browser's, in milliseconds. 0 as long as they may be the same. What calls
 * are asked for by time, and how long ago they were, goes by mcptap's clock.
 */
export const skewStore = createStore(0);

/** Now, by the clock of mcptap, in milliseconds since 1970. */
export function clock(): number {
  return Date.now() + skewStore.get();
}

/** `Date` of an answer has no part of a second, in milliseconds. */
const precision = 1_000;
/** By how much clocks may differ and are taken for the same, in milliseconds: each other skew asks lists of a range anew. */
const tolerance = 2_000;

/**
 * Learns the clock of mcptap from an answer. `date`: its header `Date`; `asked`, `answered`: when, by this browser's clock. As
 * long as what is known of it can be right it stays, so that times do not wander with the network.
 */
export function learnClock(date: string | null, asked: number, answered: number): void {
  const from = Date.parse(date ?? "");
  if (Number.isNaN(from)) return;
  const canBe = (skew: number) =>
    asked + skew < from + precision + tolerance && answered + skew >= from - tolerance;
  if (canBe(skewStore.get())) return;
  skewStore.set(canBe(0) ? 0 : Math.round(from + precision / 2 - (asked + answered) / 2));
}

/** The same for a component: its questions about a time are asked anew when another clock becomes known. Not `on`: 0. */
export function useSkew(on: boolean): number {
  const skew = useStore(skewStore);
  return on ? skew : 0;
}
