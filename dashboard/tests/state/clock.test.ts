import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { clock, learnClock, skewStore } from "../../src/state/clock";

beforeEach(() => {
  vi.useFakeTimers({ now: Date.UTC(2026, 0, 1, 12) });
  skewStore.set(0);
});
afterEach(() => vi.useRealTimers());

/** An answer of a server whose clock is ahead, `late` milliseconds after it was asked for. */
const answer = (ahead: number, late = 20) => {
  const asked = Date.now();
  vi.advanceTimersByTime(late);
  learnClock(new Date(Date.now() + ahead).toUTCString(), asked, Date.now());
};

test("clocks that may be the same are taken for the same", () => {
  for (const ahead of [0, 400, -400, 1_500, -1_500]) answer(ahead, 700);
  expect(skewStore.get()).toBe(0);
  learnClock(null, 0, 0);
  learnClock("yesterday", 0, 0);
  expect(skewStore.get()).toBe(0);
});

test("a clock that is wrong is put right, and back, and does not wander", () => {
  answer(600_000);
  expect(Math.abs(clock() - Date.now() - 600_000)).toBeLessThan(1_000);
  const known = skewStore.get();
  for (let times = 0; times < 50; times++) answer(600_000, 17 * times);
  expect(skewStore.get()).toBe(known);
  answer(-7_200_000);
  expect(Math.abs(clock() - Date.now() + 7_200_000)).toBeLessThan(1_000);
  answer(0);
  expect(skewStore.get()).toBe(0);
});
